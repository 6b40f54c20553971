/*-------------------------------------------------------------------------
 * subtransaction.h
 *	  Running what may fail so that its error leaves nothing behind.
 *
 * Top floor.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_SUBTRANSACTION_H
#define OSS_SUBTRANSACTION_H

#include "postgres.h"

/*
 * Run a function in a subtransaction, with CurrentMemoryContext.  Returns NULL,
 * or its error in CurrentMemoryContext, once the subtransaction is rolled back.
 * Being cancelled or terminated is such an error, too: raise it again.
 */
extern ErrorData *oss_subtransaction(void (*function) (void *arg), void *arg);

#endif							/* OSS_SUBTRANSACTION_H */
