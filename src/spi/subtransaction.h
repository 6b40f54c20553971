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

/*
 * Whose error is it?  A trigger of a user's may raise any SQLSTATE, so that
 * this looks at where the error was raised, too: an interrupt is a cancel or
 * time-out of this very process; a wait is one for a lock that another
 * transaction has; trouble is the machine's or the server's, such as a full
 * disk.  What a procedural language raised is none of the three.
 */
extern bool oss_error_is_interrupt(const ErrorData *error);
extern bool oss_error_is_wait(const ErrorData *error);
extern bool oss_error_is_trouble(const ErrorData *error);

#endif							/* OSS_SUBTRANSACTION_H */
