/*-------------------------------------------------------------------------
 * deferred_end.h
 *	  Dispatching in a session: deferring SIGTERM while answers are in hand, and
 *	  noticing a cancel that a lock time-out hides.
 *
 * SIGTERM ends a session at the next interrupt, and the answers that it has not
 * stored are lost, though paid for.  process_queue() defers the signal while it
 * waits for the network or does a turn.  It then stores the answers that have come,
 * and ends.  That is bounded in time unless a user's trigger on our tables is not: a
 * signal that is repeated after five seconds ends the session at once.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_DEFERRED_END_H
#define OSS_DEFERRED_END_H

/*
 * Replace the handler of SIGTERM; restore it, and raise the signal if it was
 * deferred.
 */
extern void oss_end_take(void);
extern void oss_end_give_back(void);

/* Defer the signal from now on, or handle it as any session does. */
extern void oss_end_defer(void);
extern void oss_end_allow(void);

/* Has a deferred signal come? */
extern bool oss_end_came(void);

/*
 * Raise a cancel, or the statement's time-out, that came together with one of our lock
 * time-outs: PostgreSQL then reports that alone, and we try again.
 */
extern void oss_end_check_cancel(void);

#endif							/* OSS_DEFERRED_END_H */
