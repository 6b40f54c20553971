/*-------------------------------------------------------------------------
 * http_timeout.c
 *	  Timeouts of a transfer, which idle periods of the loop extend.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/http_internal.h"

/* Extension for queued transfers that time out while the loop is idle. */
#define GRACE_MS			200

static void
set_timeouts(const HttpTimeout *t, CURL *easy)
{
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long) t->connect_ms);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long) t->all_ms);
}

/* Set the timeouts of a transfer that starts. */
void
oss_http_timeout_begin(HttpTimeout *t, CURL *easy, const HttpSpec *spec)
{
	t->queued = spec->queued;
	t->started_us = oss_clock_us();
	t->connect_ms = spec->connect_timeout_ms;
	t->all_ms = t->agreed_ms = spec->timeout_ms;
	set_timeouts(t, easy);
}

static void
extend_timeouts(HttpTimeout *t, CURL *easy, int64 connect_ms, int64 all_ms)
{
	t->connect_ms += connect_ms;
	t->all_ms += all_ms;
	t->stretched = true;
	set_timeouts(t, easy);
}

/*
 * Extend timeouts after an idle period.
 *
 * Those of a queued transfer are extended no more than necessary; otherwise a busy
 * process would wait for a hanging transfer for a multiple of the timeout.  If the
 * request was sent, its response may have arrived: leave time to read it, only
 * once after the transfer's time is over.  If it was not sent and too little time
 * is left, add the idle period, only once.
 */
void
oss_http_timeout_make_up(HttpTimeout *t, CURL *easy, bool sent, int64 us)
{
	int64		ms = us / 1000;
	int64		age_ms = (oss_clock_us() - t->started_us) / 1000;
	int64		until_ms = age_ms + GRACE_MS;

	if (!t->queued)
		extend_timeouts(t, easy, ms, ms);
	else if (sent)
	{
		if (t->over || until_ms <= t->all_ms)
			return;
		t->over = age_ms >= t->agreed_ms;
		extend_timeouts(t, easy, 0, until_ms - t->all_ms);
	}
	else if (!t->made_up && until_ms > Min(t->connect_ms, t->all_ms))
	{
		t->made_up = true;
		t->agreed_ms += ms;
		extend_timeouts(t, easy, ms, ms);
	}
}
