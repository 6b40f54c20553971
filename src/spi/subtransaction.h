/*-------------------------------------------------------------------------
 * subtransaction.h
 *	  Running code in a subtransaction, and classifying its error.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_SUBTRANSACTION_H
#define OSS_SUBTRANSACTION_H

/*
 * Run a function in a subtransaction, in CurrentMemoryContext.  Returns NULL,
 * or its error in CurrentMemoryContext after rolling back the subtransaction.
 * That includes cancel and termination, which the caller must raise again.
 */
extern ErrorData *oss_subtransaction(void (*function) (void *arg), void *arg);

/* The same, but the subtransaction is rolled back in any case. */
extern ErrorData *oss_subtransaction_trial(void (*function) (void *arg), void *arg);

/*
 * Classify an error.  Since a user's trigger may raise any SQLSTATE, these
 * also check where it was raised; no error raised by a procedural language is
 * in one of the first three classes.  interrupt: a cancel or time-out of this process.
 * wait: waiting for a lock of another transaction took too long or would be a
 * deadlock.  trouble: the machine or the server is the cause, such as a full
 * disk.  data: the data is, whatever the circumstances.
 */
extern bool oss_error_is_interrupt(const ErrorData *error);
extern bool oss_error_is_wait(const ErrorData *error);
extern bool oss_error_is_trouble(const ErrorData *error);
extern bool oss_error_is_data(const ErrorData *error);

#endif							/* OSS_SUBTRANSACTION_H */
