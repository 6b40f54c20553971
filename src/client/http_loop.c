/*-------------------------------------------------------------------------
 * http_loop.c
 *	  The event loop: an epoll set of curl's sockets, which is waited for
 *	  together with the process latch in a wait event set.
 *
 * WaitEventSetWait() reacts to everything that a backend must react to: cancel,
 * terminate, timeouts, barriers (DROP DATABASE elsewhere), recovery conflicts
 * and death of the postmaster.  curl's own poll does not.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <curl/curl.h>

#include "client/http_internal.h"
#include "compat.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

#define MUX_EVENTS	64

/* Maximum time that curl handles sockets before http.c checks for idle time. */
#define MOST_PUMP_US	(100 * 1000)

/* Descriptors reserved for the loop itself and the rest of the process. */
#define SPARE_DESCRIPTORS	8

/*
 * The process's loop.  It may be used only if complete; the next attempt to
 * make it releases what a failed one left.  curl_due is the time, by
 * oss_clock_us(), at which curl must be called even if no socket is ready, or
 * 0.
 */
static bool complete = false;
static CURLM *multi = NULL;
static CURLSH *share = NULL;
static int	mux = -1;
static WaitEventSet *waits = NULL;
static int64 curl_due = 0;
static uint32 wait_event = 0;
static HttpLoopEnded tell_ended = NULL;

/*
 * The system refused to watch a socket, for lack of memory or of watches:
 * curl stops driving all transfers.
 */
static bool broken = false;

/* Are signals blocked, and the mask before that. */
static bool signals_blocked = false;
static sigset_t signals_outside;

/*
 * instr_time is not used: from PostgreSQL 19 on, timing_clock_source changes
 * its zero, which may differ between processes.
 */
int64
oss_clock_us(void)
{
	struct timespec now;

	(void) clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64CONST(1000000) + now.tv_nsec / 1000;
}

/* curl's callback to watch a socket. */
static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
	struct epoll_event event = {0};

	if (what == CURL_POLL_REMOVE)
	{
		(void) epoll_ctl(mux, EPOLL_CTL_DEL, fd, NULL);
		return 0;
	}
	event.data.fd = fd;
	if (what & CURL_POLL_IN)
	{
		oss_http_socket_connected(fd);
		event.events |= EPOLLIN;
	}
	if (what & CURL_POLL_OUT)
		event.events |= EPOLLOUT;

	/* adding is the usual case */
	if (epoll_ctl(mux, EPOLL_CTL_ADD, fd, &event) == 0)
		return 0;
	if (errno == EEXIST && epoll_ctl(mux, EPOLL_CTL_MOD, fd, &event) == 0)
		return 0;
	broken = true;
	return -1;
}

/* curl's callback to set its timer. */
static int
on_timer(CURLM *handle, long timeout_ms, void *arg)
{
	curl_due = timeout_ms < 0 ? 0 :
		oss_clock_us() + timeout_ms * INT64CONST(1000);
	return 0;
}

/*
 * Block all signals while curl starts its resolver thread, which would
 * otherwise run PostgreSQL's handlers on its own stack (curl issue 8339).
 */
int
oss_http_loop_on_resolve(void *resolver, void *reserved, void *arg)
{
	sigset_t	all;

	if (signals_blocked)
		return 0;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &signals_outside);
	signals_blocked = true;
	return 0;
}

/* Unblock signals; called after each call of curl that may resolve a name. */
static void
leave_curl(void)
{
	if (signals_blocked)
		pthread_sigmask(SIG_SETMASK, &signals_outside, NULL);
	signals_blocked = false;
}

int
oss_http_loop_connections(void)
{
	return Max(max_safe_fds / 3 - SPARE_DESCRIPTORS, 1);
}

/* Make curl's objects.  Returns NULL, or a sentence that says what failed. */
static const char *
make_multi(void)
{
	long		connections = oss_http_loop_connections();

	if (curl_global_init(CURL_GLOBAL_ALL) != CURLE_OK)
		return "libcurl could not be initialised.";
	if (share == NULL)
		share = curl_share_init();
	multi = curl_multi_init();
	if (share == NULL || multi == NULL)
		return "libcurl is out of memory.";

	/* no lock functions are needed: there is one thread */
	curl_share_setopt(share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);

	if (curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket) != CURLM_OK ||
		curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer) != CURLM_OK ||
		curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, connections) != CURLM_OK ||
		curl_multi_setopt(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, connections) != CURLM_OK)
		return "libcurl refuses its own options.";
	return NULL;
}

/* Make the wait event set for latch, postmaster and curl. */
static void
make_waits(void)
{
	waits = oss_create_wait_event_set(3);
	AddWaitEventToSet(waits, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(waits, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(waits, WL_SOCKET_READABLE, mux, NULL, NULL);
	wait_event = oss_wait_event_new("OssLabelsRequest");

	/* last, since adding the latch may throw */
	complete = true;
}

void
oss_http_loop_discard(void)
{
	complete = broken = false;
	curl_due = 0;
	if (waits != NULL)
		FreeWaitEventSet(waits);
	waits = NULL;
	if (multi != NULL)
		curl_multi_cleanup(multi);
	multi = NULL;
	if (mux >= 0)
	{
		close(mux);
		ReleaseExternalFD();
	}
	mux = -1;
}

void
oss_http_loop_init(HttpLoopEnded ended)
{
	const char *trouble;

	if (complete)
		return;

	oss_http_loop_discard();
	tell_ended = ended;
	if (!AcquireExternalFD())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("no file descriptor left for HTTP requests"),
				 errhint("Raise max_files_per_process.")));
	mux = epoll_create1(EPOLL_CLOEXEC);
	if (mux < 0)
	{
		int			saved_errno = errno;

		ReleaseExternalFD();
		errno = saved_errno;
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not create an epoll descriptor: %m")));
	}
	trouble = make_multi();
	if (trouble != NULL)
	{
		oss_http_loop_discard();
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not set up HTTP requests"),
				 errdetail_internal("%s", trouble)));
	}
	make_waits();
}

/* Have curl handle a socket or its timer. */
static void
act_on_sockets(curl_socket_t fd, int what)
{
	int			running;

	if (curl_multi_socket_action(multi, fd, what, &running) != CURLM_OK)
		broken = true;
}

bool
oss_http_loop_add(CURL *easy)
{
	CURLMcode	code;

	code = curl_multi_add_handle(multi, easy);
	if (code == CURLM_OK)
	{
		/* send now, not when the caller starts to wait */
		curl_due = 0;
		act_on_sockets(CURL_SOCKET_TIMEOUT, 0);
	}
	leave_curl();
	if (code == CURLM_OK && broken)
		oss_http_loop_remove(easy);
	return code == CURLM_OK && !broken;
}

bool
oss_http_loop_broken(void)
{
	return broken;
}

void
oss_http_loop_remove(CURL *easy)
{
	curl_multi_remove_handle(multi, easy);
}

/* Report ended transfers.  Returns whether there were any. */
static bool
reap_transfers(void)
{
	CURLMsg    *msg;
	int			left;
	bool		any = false;

	while ((msg = curl_multi_info_read(multi, &left)) != NULL)
	{
		if (msg->msg != CURLMSG_DONE)
			continue;
		any = true;
		tell_ended(msg->easy_handle, msg->data.result);
	}
	return any;
}

/* Have curl handle up to MUX_EVENTS ready sockets; returns their number. */
static int
act_on_ready(int64 until)
{
	struct epoll_event events[MUX_EVENTS];
	int			n = epoll_wait(mux, events, MUX_EVENTS, 0);

	for (int i = 0; i < n && oss_clock_us() < until; i++)
	{
		int			what = 0;

		if (events[i].events & (EPOLLIN | EPOLLHUP))
			what |= CURL_CSELECT_IN;
		if (events[i].events & EPOLLOUT)
			what |= CURL_CSELECT_OUT;
		if (events[i].events & EPOLLERR)
			what |= CURL_CSELECT_ERR;
		act_on_sockets(events[i].data.fd, what);
	}
	return n;
}

/*
 * Have curl handle ready sockets and its timer, and report ended transfers.  Stop
 * if it takes long, for the process may have been stopped: http.c extends the
 * timeouts before curl checks them again.
 */
void
oss_http_loop_pump(bool all)
{
	int64		until = oss_clock_us() + MOST_PUMP_US;
	int			n;

	do
		n = act_on_ready(until);
	while (all && n > 0 && oss_clock_us() < until);
	if (curl_due != 0 && curl_due <= oss_clock_us() && oss_clock_us() < until)
	{
		curl_due = 0;
		act_on_sockets(CURL_SOCKET_TIMEOUT, 0);
	}
	reap_transfers();
	leave_curl();
}

/* Wait for sockets, latch or timeout.  Returns whether the latch is set. */
static bool
wait_for_any(long timeout_ms)
{
	WaitEvent	occurred[3];
	int			n = WaitEventSetWait(waits, timeout_ms, occurred,
									 lengthof(occurred), wait_event);

	for (int i = 0; i < n; i++)
	{
		if (occurred[i].events & WL_LATCH_SET)
			return true;
	}
	return false;
}

bool
oss_http_loop_wait(long timeout_ms, int64 *late_us)
{
	bool		latch_set;
	int64		end;

	if (reap_transfers())
		timeout_ms = 0;
	else if (curl_due != 0)
		timeout_ms = oss_wait_until(timeout_ms, oss_clock_us(), curl_due);
	end = oss_clock_us() + timeout_ms * INT64CONST(1000);

	/* do not wait: oss_http_loop_pump() polls the sockets */
	latch_set = timeout_ms == 0 ? MyLatch->is_set : wait_for_any(timeout_ms);
	if (latch_set)
		ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	*late_us = timeout_ms < 0 ? 0 : Max(oss_clock_us() - end, 0);
	return latch_set;
}

void
oss_http_loop_check(void)
{
	int			running;

	if (curl_multi_perform(multi, &running) != CURLM_OK)
		broken = true;
	leave_curl();
}

CURLSH *
oss_http_loop_share(void)
{
	return share;
}
