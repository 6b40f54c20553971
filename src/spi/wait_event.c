/*-------------------------------------------------------------------------
 * wait_event.c
 *	  Waiting for the queue, as OssLabelsQueue.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "miscadmin.h"
#include "spi/wait_event.h"
#include "storage/latch.h"
#include "utils/wait_event.h"

uint32
oss_queue_wait_event(void)
{
	static uint32 event = 0;

	if (event == 0)
		event = oss_wait_event_new("OssLabelsQueue");
	return event;
}

void
oss_queue_wait(long ms)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH |
					 (ms < 0 ? 0 : WL_TIMEOUT), ms, oss_queue_wait_event());
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}
