/*
 * timer.h
 *	  Wake suspended connections when their time has come or their client left.
 *
 * Thousands of delayed answers cost no thread each: MHD suspends the
 * connection, and one timer thread resumes it.
 */
#ifndef STANDIN_TIMER_H
#define STANDIN_TIMER_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TIMER_NEVER UINT64_MAX

/* A connection that waits.  heap_at is its place while it waits. */
typedef struct waiter
{
	struct MHD_Connection *connection;
	int			fd;
	uint64_t	due_us;
	bool		hung_up;		/* the client closed while we waited */
	size_t		heap_at;
} waiter;

extern bool timer_start(void);

/*
 * Suspend the connection of w until due_us (monotonic clock), or until its
 * client hangs up, which sets w->hung_up.  w must live as long.
 */
extern void timer_suspend(waiter *w, uint64_t due_us);

#endif							/* STANDIN_TIMER_H */
