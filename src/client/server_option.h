/*-------------------------------------------------------------------------
 * server_option.h
 *	  The options of a foreign server.
 *
 * For server.c; the validator is the wrapper's.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_SERVER_OPTION_H
#define OSS_SERVER_OPTION_H

#include "client/server.h"

/*
 * Set the fields of *server from options (a list of DefElems) and defaults.
 * Strings are copied into server->context.  Errors: 22023, whose DETAIL says
 * what is legal.
 */
extern void oss_server_options_read(OssServer *server, List *options);

#endif							/* OSS_SERVER_OPTION_H */
