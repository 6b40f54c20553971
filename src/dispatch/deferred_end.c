/*-------------------------------------------------------------------------
 * deferred_end.c
 *	  Dispatching in a session: SIGTERM, put off while answers are in hand.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "dispatch/deferred_end.h"
#include "miscadmin.h"
#include "storage/latch.h"

/* What handles the signal in this process otherwise. */
static struct sigaction handler_before;
static bool taken = false;

static volatile sig_atomic_t deferring = false;
static volatile sig_atomic_t came = false;

/* Note the signal, or handle it. */
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

/* Take the signal. */
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

/* Give the signal back. */
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

/* Have the signal noted only, also if it came a moment ago. */
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

/* Have the signal handled. */
void
oss_end_allow(void)
{
	deferring = false;
}

/* Did the signal come? */
bool
oss_end_came(void)
{
	return came;
}
