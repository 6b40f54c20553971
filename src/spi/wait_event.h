/*-------------------------------------------------------------------------
 * wait_event.h
 *	  Waiting for the queue, as OssLabelsQueue.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_WAIT_EVENT_H
#define OSS_WAIT_EVENT_H

/*
 * Return the wait event of every wait for the queue: of a worker for jobs, of
 * tag() for a worker that holds the image's job, of DDL for a worker to end.
 */
extern uint32 oss_queue_wait_event(void);

/*
 * Wait until the process latch is set or ms (-1: no limit) are over, and handle
 * interrupts, which may throw.
 */
extern void oss_queue_wait(long ms);

#endif							/* OSS_WAIT_EVENT_H */
