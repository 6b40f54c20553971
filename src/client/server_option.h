/*-------------------------------------------------------------------------
 * server_option.h
 *	  The options of a foreign server.
 *
 * Middle floor, for server.c; the validator is the wrapper's.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_SERVER_OPTION_H
#define OSS_SERVER_OPTION_H

#include "client/server.h"

/*
 * Set the fields of *server that options (a list of DefElem) speak of, and the
 * defaults of the others.  Strings are copied into server->context.  Errors:
 * 22023 with what is valid.
 */
extern void oss_server_options_read(OssServer *server, List *options);

#endif							/* OSS_SERVER_OPTION_H */
