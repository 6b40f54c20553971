/*-------------------------------------------------------------------------
 * endpoint_option.h
 *	  The options of a server that say where its requests go.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_ENDPOINT_OPTION_H
#define OSS_ENDPOINT_OPTION_H

#include "client/server.h"

/*
 * Set where a server's requests go from options (a list of DefElems), after the
 * other fields of *server.  Errors: 22023, whose DETAIL says what is legal.
 */
extern void oss_endpoint_options_read(OssServer *server, List *options);

/* Return the value of an option in a list of DefElems, or NULL. */
extern const char *oss_option_value(List *options, const char *name);

/*
 * Take the next bucket and its host, palloc'd, from the rest of a value of
 * bucket_domains.  Returns false at the end.
 */
extern bool oss_domain_next(const char **rest, char **bucket, char **host);

#endif							/* OSS_ENDPOINT_OPTION_H */
