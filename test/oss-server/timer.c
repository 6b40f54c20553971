/*
 * timer.c
 *	  Wake suspended connections when their time has come or their client left.
 */
#include "timer.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

#include "text.h"

/* How often clients of waiting requests are looked at, in microseconds. */
#define LOOK_US 20000

static waiter **heap;			/* heap[0] is due first */
static size_t heap_len;
static size_t heap_cap;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed;

/* Put a waiter at a place of the heap. */
static void
place(waiter *w, size_t at)
{
	heap[at] = w;
	w->heap_at = at;
}

/* Move the waiter at a place up as far as it belongs. */
static void
sift_up(size_t at)
{
	waiter	   *w = heap[at];

	while (at > 0 && heap[(at - 1) / 2]->due_us > w->due_us)
	{
		place(heap[(at - 1) / 2], at);
		at = (at - 1) / 2;
	}
	place(w, at);
}

/* Move the waiter at a place down as far as it belongs. */
static void
sift_down(size_t at)
{
	waiter	   *w = heap[at];

	for (;;)
	{
		size_t		child = at * 2 + 1;

		if (child >= heap_len)
			break;
		if (child + 1 < heap_len &&
			heap[child + 1]->due_us < heap[child]->due_us)
			child++;
		if (heap[child]->due_us >= w->due_us)
			break;
		place(heap[child], at);
		at = child;
	}
	place(w, at);
}

/* Take a waiter out of the heap and wake its connection; needs the lock. */
static void
wake(waiter *w)
{
	size_t		at = w->heap_at;
	waiter	   *last = heap[--heap_len];

	if (last != w)
	{
		place(last, at);
		sift_up(at);
		sift_down(last->heap_at);
	}
	MHD_resume_connection(w->connection);
}

/* Wake the waiters whose clients have gone; needs the lock. */
static void
look_at_clients(uint64_t now)
{
	struct pollfd *fds = must_alloc(heap_len * sizeof(*fds));
	waiter	  **waiters = must_alloc(heap_len * sizeof(*waiters));
	size_t		n = 0;

	for (size_t i = 0; i < heap_len; i++)
	{
		/* those due at once will find out by themselves */
		if (heap[i]->due_us < now + 2000)
			continue;
		fds[n].fd = heap[i]->fd;
		fds[n].events = POLLRDHUP;
		waiters[n++] = heap[i];
	}
	if (poll(fds, n, 0) > 0)
	{
		for (size_t i = 0; i < n; i++)
		{
			if (fds[i].revents & (POLLRDHUP | POLLHUP | POLLERR))
			{
				waiters[i]->hung_up = true;
				wake(waiters[i]);
			}
		}
	}
	free(fds);
	free(waiters);
}

/* Sleep until a time or until something changed; needs the lock. */
static void
sleep_until(uint64_t when)
{
	struct timespec ts;

	ts.tv_sec = (time_t) (when / 1000000);
	ts.tv_nsec = (long) (when % 1000000) * 1000;
	pthread_cond_timedwait(&changed, &lock, &ts);
}

/* Wake waiters for ever. */
static void *
timer_main(void *arg)
{
	uint64_t	next_look = 0;

	/* the kernel's usual slack of 50 us would blur short delays */
	prctl(PR_SET_TIMERSLACK, 1000UL);
	pthread_mutex_lock(&lock);
	for (;;)
	{
		uint64_t	now = now_us();

		while (heap_len > 0 && heap[0]->due_us <= now)
			wake(heap[0]);
		if (heap_len == 0)
		{
			pthread_cond_wait(&changed, &lock);
			continue;
		}
		if (now >= next_look)
		{
			look_at_clients(now);
			next_look = now + LOOK_US;
		}
		if (heap_len > 0)
			sleep_until(heap[0]->due_us < next_look ? heap[0]->due_us
						: next_look);
	}
	return NULL;
}

/* Start the timer's thread. */
bool
timer_start(void)
{
	pthread_condattr_t attr;
	pthread_t	thread;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&changed, &attr);
	return pthread_create(&thread, NULL, timer_main, NULL) == 0 &&
		pthread_detach(thread) == 0;
}

/* Suspend a connection. */
void
timer_suspend(waiter *w, uint64_t due_us)
{
	MHD_suspend_connection(w->connection);
	pthread_mutex_lock(&lock);
	w->due_us = due_us;
	if (heap_len == heap_cap)
	{
		heap_cap = heap_cap ? heap_cap * 2 : 256;
		heap = must_realloc(heap, heap_cap * sizeof(*heap));
	}
	place(w, heap_len++);
	sift_up(w->heap_at);
	if (heap[0] == w || heap_len == 1)
		pthread_cond_signal(&changed);
	pthread_mutex_unlock(&lock);
}
