/*-------------------------------------------------------------------------
 * wait_event.c
 *	  The wait event OssLabelsQueue.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "spi/wait_event.h"
#include "utils/wait_event.h"

uint32
oss_queue_wait_event(void)
{
	static uint32 event = 0;

	if (event == 0)
		event = oss_wait_event_new("OssLabelsQueue");
	return event;
}
