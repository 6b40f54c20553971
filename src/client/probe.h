/*-------------------------------------------------------------------------
 * probe.h
 *	  Single requests without label detection, by which check_server() tests
 *	  a server.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_PROBE_H
#define OSS_PROBE_H

#include "client/failure.h"
#include "client/signed_request.h"

/*
 * Send one request, without retries, and wait for its end; who NULL sends it
 * unsigned.  The answer and *failure (NULL if the status is 2xx) live in
 * CurrentMemoryContext; the failure's scope is its rule's.  Errors: 57014 and
 * so on while waiting; class 53.
 */
extern const HttpAnswer *oss_probe(OssServer *server, const OssRoute *route,
								   const OssTarget *target,
								   const OssCredentials *who,
								   const OssFailure **failure);

#endif							/* OSS_PROBE_H */
