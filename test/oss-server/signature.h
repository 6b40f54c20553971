/*
 * signature.h
 *	  Signature V4 as a server checks it (src/protocol/README.md 1, 2 and 8).
 */
#ifndef STANDIN_SIGNATURE_H
#define STANDIN_SIGNATURE_H

#include "credential.h"

/* The region and product that a signature's scope must name. */
typedef struct sign_scope
{
	char		region[64];
	char		product[64];
} sign_scope;

extern sign_scope server_scope;

/*
 * Check who sends the request.  Returns true and fills who when the request is
 * signed rightly with a live credential; otherwise false, and the answer holds
 * the service's error.
 */
extern bool signature_check(request *r, credential *who);

#endif							/* STANDIN_SIGNATURE_H */
