/*-------------------------------------------------------------------------
 * http_ca.h
 *	  Files of CA certificates that are replaced while the process runs.
 *
 * Middle floor, private to http.c.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_HTTP_CA_H
#define OSS_HTTP_CA_H

#include "postgres.h"

/*
 * Return a name of a file of CA certificates that it has had for no other
 * content: all that libcurl keeps, a parsed store, a connection, a TLS session,
 * it keeps by this name.  Valid until the next call.
 */
extern const char *oss_http_ca_name(const char *path);

#endif							/* OSS_HTTP_CA_H */
