/*-------------------------------------------------------------------------
 * deferred_end.c
 *	  Dispatching in a session: deferring SIGTERM while answers are in hand, and
 *	  noticing a cancel that a lock time-out hides.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "client/http.h"
#include "dispatch/deferred_end.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/timeout.h"

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

/* The same of SIGINT; whether another process sent one; the statement's time-out. */
static struct sigaction cancel_before;
static bool cancel_taken = false;
static volatile sig_atomic_t cancelled = false;
static bool timed = false;

/* Signal handler: note who sent SIGINT, which time-outs also raise, and handle it. */
static void
note_cancel(int signal_number, siginfo_t *info, void *context)
{
	if (info->si_pid != MyProcPid)
		cancelled = true;
	if (cancel_before.sa_flags & SA_SIGINFO)
		cancel_before.sa_sigaction(signal_number, info, context);
	else
		cancel_before.sa_handler(signal_number);
}

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

/* Put a handler in place of one that is neither the default nor none. */
static bool
replace_handler(int signal_number, struct sigaction *before,
				void (*handler) (int, siginfo_t *, void *))
{
	struct sigaction action = {0};

	if (sigaction(signal_number, NULL, before) != 0 ||
		before->sa_handler == SIG_DFL || before->sa_handler == SIG_IGN)
		return false;
	action.sa_sigaction = handler;
	action.sa_flags = before->sa_flags | SA_SIGINFO;
	action.sa_mask = before->sa_mask;
	return sigaction(signal_number, &action, NULL) == 0;
}

void
oss_end_take(void)
{
	came = deferring = cancelled = false;
	memset(&came_info, 0, sizeof(came_info));
	timed = get_timeout_active(STATEMENT_TIMEOUT);
	taken = replace_handler(SIGTERM, &handler_before, note_end);
	cancel_taken = replace_handler(SIGINT, &cancel_before, note_cancel);
}

void
oss_end_give_back(void)
{
	deferring = false;
	if (cancel_taken)
		(void) sigaction(SIGINT, &cancel_before, NULL);
	cancel_taken = false;
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

void
oss_end_check_cancel(void)
{
	CHECK_FOR_INTERRUPTS();
	if (cancelled || (timed && !get_timeout_active(STATEMENT_TIMEOUT)))
	{
		QueryCancelPending = true;
		InterruptPending = true;
		CHECK_FOR_INTERRUPTS();
	}
}
