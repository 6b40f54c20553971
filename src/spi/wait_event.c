/*-------------------------------------------------------------------------
 * wait_event.c
 *	  The wait event of everything that waits for the queue.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "spi/wait_event.h"
#include "utils/wait_event.h"

/*
 * Return the wait event of every wait for the queue: of a worker for jobs, of
 * tag() for a worker that has the image in hand, of DDL for a worker to end.
 */
uint32
oss_queue_wait_event(void)
{
	static uint32 event = 0;

	if (event == 0)
		event = oss_wait_event_new("OssLabelsQueue");
	return event;
}
