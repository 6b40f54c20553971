/*-------------------------------------------------------------------------
 * deferred_end.c
 *	  Dispatching in a session: deferring SIGTERM while answers are in hand.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "dispatch/deferred_end.h"
#include "miscadmin.h"
#include "storage/latch.h"

/* The handler that this one replaces. */
static struct sigaction handler_before;
static bool taken = false;

static volatile sig_atomic_t deferring = false;
static volatile sig_atomic_t came = false;

/* Signal handler: note the signal if it is deferred, else handle it. */
static void
note_end(int signal_number)
{
	int			save_errno = errno;

	if (deferring)
	{
		came = true;
		SetLatch(MyLatch);
	}
	else
		handler_before.sa_handler(signal_number);
	errno = save_errno;
}

void
oss_end_take(void)
{
	struct sigaction action = {0};

	came = deferring = false;
	if (sigaction(SIGTERM, NULL, &handler_before) != 0 ||
		(handler_before.sa_flags & SA_SIGINFO) != 0 ||
		handler_before.sa_handler == SIG_DFL || handler_before.sa_handler == SIG_IGN)
		return;
	action.sa_handler = note_end;
	action.sa_flags = handler_before.sa_flags;
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
		(void) raise(SIGTERM);
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
