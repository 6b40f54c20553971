/*-------------------------------------------------------------------------
 * probe.h
 *	  Single requests for no labels, by which check_server() looks at a
 *	  server.
 *
 * Middle floor.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_PROBE_H
#define OSS_PROBE_H

#include "client/failure.h"
#include "client/signed_request.h"

/*
 * Send one request and wait for its end.  who NULL sends it unsigned.  The
 * answer and, unless its status is 2xx, the failure live in
 * CurrentMemoryContext; the failure's scope is its rule's.  Errors: 57014 and
 * so on; 53000-class.
 */
extern const HttpAnswer *oss_probe(OssServer *server, const OssTarget *target,
								   const OssCredentials *who,
								   const OssFailure **failure);

#endif							/* OSS_PROBE_H */
