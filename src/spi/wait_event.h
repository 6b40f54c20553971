/*-------------------------------------------------------------------------
 * wait_event.h
 *	  The wait event of everything that waits for the queue.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_WAIT_EVENT_H
#define OSS_WAIT_EVENT_H

#include "postgres.h"

/* What pg_stat_activity shows while a process waits for work or its turn. */
extern uint32 oss_queue_wait_event(void);

#endif							/* OSS_WAIT_EVENT_H */
