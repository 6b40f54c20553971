/*-------------------------------------------------------------------------
 * deferred_end.h
 *	  Dispatching in a session: SIGTERM, put off while answers are in hand.
 *
 * A session ends by SIGTERM at the next interrupt, and what it was about to
 * store is lost, though paid for.  process_queue() has the signal only noted
 * while it waits for the network or is at the tables, which takes a bounded time;
 * it then stores what has come, and ends.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_DEFERRED_END_H
#define OSS_DEFERRED_END_H

#include "postgres.h"

/* Take the signal; give it back, and raise it if it came. */
extern void oss_end_take(void);
extern void oss_end_give_back(void);

/* Have it noted from now on, or handled as in any session. */
extern void oss_end_defer(void);
extern void oss_end_allow(void);

/* Did it come while it was only noted? */
extern bool oss_end_came(void);

#endif							/* OSS_DEFERRED_END_H */
