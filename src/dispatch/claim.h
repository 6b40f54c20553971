/*-------------------------------------------------------------------------
 * claim.h
 *	  Dispatching, in a transaction: claiming.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_CLAIM_H
#define OSS_CLAIM_H

#include "dispatch/dispatcher.h"

/* Claim as many jobs as the servers can start soon. */
extern void oss_dispatch_claim(OssDispatcher *dispatcher);

#endif							/* OSS_CLAIM_H */
