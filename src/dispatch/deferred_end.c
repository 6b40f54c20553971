/*-------------------------------------------------------------------------
 * deferred_end.c
 *	  Dispatching in a session: deferring SIGTERM while answers are in hand.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "client/http.h"
#include "dispatch/deferred_end.h"
#include "miscadmin.h"
#include "storage/latch.h"

/*
 * For how long the signal is deferred at most.  A user's trigger on our tables may
 * never end: a signal that comes later ends the session.
 */
#define MOST_DEFERRED_US (5 * USECS_PER_SEC)

/* The handler that this one replaces. */
static struct sigaction handler_before;
static bool taken = false;

static volatile sig_atomic_t deferring = false;
static volatile sig_atomic_t came = false;
static volatile int64 came_at;
static siginfo_t came_info;

/* Handle the signal as it was before.  From PostgreSQL 19 on, info is used. */
static void
handle_end(int signal_number, siginfo_t *info, void *context)
{
	if (handler_before.sa_flags & SA_SIGINFO)
		handler_before.sa_sigaction(signal_number, info, context);
	else
		handler_before.sa_handler(signal_number);
}

/* Signal handler: note the signal if it is deferred, else handle it. */
static void
note_end(int signal_number, siginfo_t *info, void *context)
{
	int			save_errno = errno;

	if (deferring && (!came || oss_clock_us() - came_at < MOST_DEFERRED_US))
	{
		if (!came)
		{
			came_at = oss_clock_us();
			came_info = *info;
		}
		came = true;
		SetLatch(MyLatch);
	}
	else
		handle_end(signal_number, info, context);
	errno = save_errno;
}

void
oss_end_take(void)
{
	struct sigaction action = {0};

	came = deferring = false;
	memset(&came_info, 0, sizeof(came_info));
	if (sigaction(SIGTERM, NULL, &handler_before) != 0 ||
		handler_before.sa_handler == SIG_DFL || handler_before.sa_handler == SIG_IGN)
		return;
	action.sa_sigaction = note_end;
	action.sa_flags = handler_before.sa_flags | SA_SIGINFO;
	action.sa_mask = handler_before.sa_mask;
	taken = sigaction(SIGTERM, &action, NULL) == 0;
}

void
oss_end_give_back(void)
{
	deferring = false;
	if (!taken)
		return;
	taken = false;
	(void) sigaction(SIGTERM, &handler_before, NULL);
	if (came)
	{
		came = false;
		handle_end(SIGTERM, &came_info, NULL);
	}
}

/* A signal that is pending is deferred, too. */
void
oss_end_defer(void)
{
	if (!taken)
		return;
	deferring = true;
	if (ProcDiePending)
	{
		ProcDiePending = false;
		if (!came)
			came_at = oss_clock_us();
		came = true;
	}
}

void
oss_end_allow(void)
{
	deferring = false;
}

bool
oss_end_came(void)
{
	return came;
}
