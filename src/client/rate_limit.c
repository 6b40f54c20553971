/*-------------------------------------------------------------------------
 * rate_limit.c
 *	  Limits on rate and concurrency.
 *
 * A server's max_requests_per_second is exact: requests are spaced evenly, and
 * none is sent much before it is due.  A bucket's rate is found from throttles
 * by additive increase and multiplicative decrease, and paced by tokens.
 *
 * Repeated throttles of a single object, while others are answered, say nothing
 * about the rate.
 *
 * Only one slot is locked at a time.  The token of a bucket is returned when
 * the server's limit refuses the request.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>
#include <math.h>

#include "client/http_internal.h"
#include "client/rate_limit.h"
#include "client/rate_table.h"
#include "miscadmin.h"

#define SECOND INT64CONST(1000000)

/*
 * n requests are spread over WINDOW, a little more than a second, since
 * latencies vary and the service counts requests when they arrive.  A late
 * request may be made up for by SLACK: n + 1 requests in a row take at least
 * WINDOW - SLACK.
 */
#define WINDOW (SECOND + 50000)
#define SLACK 20000

#define TENTH (SECOND / 10)
#define TENTHS RATE_TENTHS

/* A throttle lowers the rate to this fraction of the throughput. */
#define DECREASE 0.95
/* Throttles within this time have the same cause and count once. */
#define EPOCH (SECOND * 3 / 10)
/* Fraction of the rate at the last decrease that is added per second. */
#define INCREASE 0.03
/* After this time without throttles the rate doubles each second. */
#define QUIET (3 * SECOND)
/* After this time without throttles the limit is removed. */
#define FORGET (60 * SECOND)

/* Advance the ring of counters to the present. */
static void
turn_tenths(RateSlot *slot, int64 now)
{
	int64		tenth = now / TENTH;

	/*
	 * another process may have advanced the clock while we waited for the
	 * lock
	 */
	if (tenth <= slot->tenth)
		return;
	if (tenth - slot->tenth >= TENTHS)
		memset(slot->answered, 0, sizeof(slot->answered));
	else
		for (int64 t = slot->tenth + 1; t <= tenth; t++)
			slot->answered[t % TENTHS] = 0;
	slot->tenth = tenth;
}

static double
answers_within(RateSlot *slot, int64 now, int n)
{
	double		sum = 0;

	turn_tenths(slot, now);
	for (int i = 0; i < n; i++)
		sum += slot->answered[(slot->tenth - i + TENTHS) % TENTHS];
	return sum;
}

/*
 * Return the answers of about the last second, of which the present tenth may
 * have just begun.
 */
static double
answers_of_second(RateSlot *slot, int64 now)
{
	double		with_present = answers_within(slot, now, 10);
	uint16		present = slot->answered[slot->tenth % TENTHS];
	uint16		eleventh = slot->answered[(slot->tenth - 10 + TENTHS) % TENTHS];

	return Max(with_present, with_present - present + eleventh);
}

/* Return how many us a limit's window takes: a second, or one request's time. */
static int64
window_of(double limit)
{
	return limit < 1 ? (int64) (WINDOW / limit) : WINDOW;
}

/*
 * Adopt a changed limit, as if a full window of the old one had just been
 * sent.  It also applies to a long query that read its options before ALTER
 * SERVER: otherwise the two sessions would keep resetting each other's limit
 * and no request would start.
 */
static void
follow_limit(RateSlot *slot, const OssServer *server, int64 now)
{
	double		limit = server->max_requests_per_second;

	if (limit != slot->limit &&
		(slot->limit < 0 || server->current_at > slot->read_at))
	{
		if (slot->limit >= 0 && limit > 0)
			slot->next_at = now + window_of(limit);
		slot->limit = limit;
	}
	slot->read_at = Max(slot->read_at, server->current_at);
}

/*
 * Lock a server's slot and update its limit.  Servers without a slot share
 * the spare one, which admits one request per window.  Sets *again if the
 * options were read again since the last call.
 */
static RateSlot *
lock_server(const OssServer *server, int64 now, bool *again)
{
	RateSlot   *slot = oss_rate_slot_lock(server->serverid, "", true, now);

	*again = slot->read_at != 0 && server->read_at > slot->read_at;
	if (!oss_rate_slot_is_spare(slot))
		follow_limit(slot, server, now);
	return slot;
}

/* Return a server's limit; the spare slot has none of its own. */
static double
limit_of(const RateSlot *slot, const OssServer *server)
{
	return oss_rate_slot_is_spare(slot) ? server->max_requests_per_second :
		slot->limit;
}

/* Return how many us a server's limit delays the next request. */
static int64
exact_wait(const RateSlot *slot, double limit, int64 now)
{
	if (limit <= 0)
		return 0;
	return Max(slot->next_at - SLACK - now, 0);
}

/* Count a request against a server's limit. */
static void
exact_sent(RateSlot *slot, double limit, int64 now)
{
	int64		n = oss_rate_slot_is_spare(slot) ? 1 :
	(int64) Min(Max(floor(limit), 1), 1e6);

	if (limit <= 0)
		return;
	slot->next_at = Max(slot->next_at, now) + (window_of(limit) + n - 1) / n;
	slot->busy_until = Max(slot->busy_until, now + window_of(limit) + SLACK);
}

/* Remove the rate found by throttles. */
static void
forget_rate(RateSlot *slot)
{
	slot->rate = 0;
	slot->taught = slot->blamed = 0;
}

/* Raise the rate and add tokens for the time since the last call. */
static void
raise_rate(RateSlot *slot, int64 now)
{
	double		seconds = (double) (now - slot->tokens_at) / SECOND;

	slot->tokens_at = now;
	if (seconds <= 0)
		return;
	if (now - slot->throttled_at < QUIET)
		slot->rate += slot->last_rate * INCREASE * seconds;
	else if (answers_within(slot, now, 10) > slot->rate / 2)
		slot->rate *= exp2(Min(seconds, 1));
	slot->tokens = Min(slot->tokens + slot->rate * seconds,
					   Max(slot->rate / 50, 1));
	if (slot->rate > 1e5 || now - slot->throttled_at > FORGET)
		forget_rate(slot);
}

/* Return how many us a bucket's hold and rate delay the next request. */
static int64
paced_wait(RateSlot *slot, int64 now)
{
	if (slot->held_until > now)
		return slot->held_until - now;
	if (slot->rate > 0)
		raise_rate(slot, now);
	if (slot->rate == 0 || slot->tokens >= 1)
		return 0;
	return (int64) ((1 - slot->tokens) / slot->rate * SECOND) + 1;
}

/*
 * Remove the rate if throttles of single objects caused it, as is known once
 * other objects are answered.
 */
static void
forget_blamed(RateSlot *slot, int64 now)
{
	if (slot->rate > 0 && oss_rate_object_all_blamed(slot) &&
		answers_within(slot, now, TENTHS) > 0)
		forget_rate(slot);
}

/* Lower the rate, once per EPOCH. */
static void
lower_rate(RateSlot *slot, int64 now)
{
	double		through = Max(answers_of_second(slot, now), 1);

	if (slot->rate > 0 && now - slot->decreased_at < EPOCH)
		return;
	slot->guessed = slot->rate == 0;
	if (slot->rate > 0)
		through = Min(slot->rate, through * 1.1);
	slot->last_rate = through;
	slot->rate = Max(through * DECREASE, 0.2);

	/* before the first throttle, most of a second's requests had been sent */
	slot->tokens = slot->guessed ? slot->rate * -0.8 : Min(slot->tokens, 0);
	slot->tokens_at = now;
	slot->decreased_at = now;
}

/* Handle a throttle of an object. */
static void
handle_throttle(RateSlot *slot, uint32 object, int64 now)
{
	bool		blamed = oss_rate_object_throttled(slot, object);

	slot->throttled++;

	/* only answers for other objects show that the object is the cause */
	if (!blamed || answers_within(slot, now, TENTHS) == 0)
	{
		slot->throttled_at = now;
		slot->busy_until = Max(slot->busy_until, now + FORGET);
	}
	if (!blamed)
		lower_rate(slot, now);
	forget_blamed(slot, now);
}

static void
count_answer(RateSlot *slot, uint32 object, int64 now)
{
	oss_rate_object_answered(slot, object);
	turn_tenths(slot, now);
	if (slot->answered[slot->tenth % TENTHS] < PG_UINT16_MAX)
		slot->answered[slot->tenth % TENTHS]++;
	if (slot->rate > 0 && slot->guessed && now - slot->decreased_at < SECOND)
	{
		slot->last_rate = Max(slot->last_rate, answers_of_second(slot, now));
		slot->rate = Max(slot->rate, slot->last_rate * DECREASE);
	}
	forget_blamed(slot, now);
}

/* Take a token of a bucket.  Returns 0, or how many us to wait. */
static int64
take_paced(Oid serverid, const char *bucket, int64 now)
{
	RateSlot   *slot = oss_rate_slot_lock(serverid, bucket, true, now);
	int64		wait = paced_wait(slot, now);

	if (wait == 0 && slot->rate > 0)
		slot->tokens -= 1;
	oss_rate_slot_unlock(slot);
	return wait;
}

/* Return an unused token. */
static void
give_paced(Oid serverid, const char *bucket, int64 now)
{
	RateSlot   *slot = oss_rate_slot_lock(serverid, bucket, false, now);

	if (slot == NULL)
		return;
	if (slot->rate > 0)
		slot->tokens += 1;
	oss_rate_slot_unlock(slot);
}

/*
 * Count a request against a server's limit, if that permits.  Returns 0, or
 * how many us to wait.
 */
static int64
take_exact(const OssServer *server, int64 now)
{
	bool		again;
	RateSlot   *slot = lock_server(server, now, &again);
	double		limit = limit_of(slot, server);
	int64		wait = exact_wait(slot, limit, now);

	if (wait == 0)
		exact_sent(slot, limit, now);
	oss_rate_slot_unlock(slot);
	return wait;
}

/* Convert us to ms, rounding up. */
static long
ms_of(int64 us)
{
	return (long) ((us + 999) / 1000);
}

/*
 * Without shared memory, ALTER SERVER in another process does not end the
 * holds of this one (see worker/database_ddl.c), so end them when the options
 * were read again.
 */
static void
heed_options(const OssServer *server, int64 now)
{
	RateSlot   *slot;
	bool		again;

	if (oss_rate_table_is_shared())
		return;
	slot = lock_server(server, now, &again);
	oss_rate_slot_unlock(slot);
	if (again)
		oss_rate_resume(server->serverid, NULL);
}

long
oss_rate_try_start(OssServer *server, const char *bucket)
{
	int64		now;
	int64		wait;

	if (server->in_flight >= server->max_concurrency ||
		oss_http_in_flight() >= oss_http_loop_connections())
		return OSS_RATE_WAIT_FOR_END;
	now = oss_clock_us();
	heed_options(server, now);
	wait = bucket == NULL ? 0 : take_paced(server->serverid, bucket, now);
	if (wait == 0)
	{
		wait = take_exact(server, now);
		if (wait > 0 && bucket != NULL)
			give_paced(server->serverid, bucket, now);
	}
	if (wait > 0)
		return Min(ms_of(wait), OSS_RATE_LOOK_MS);
	server->in_flight++;
	return 0;
}

void
oss_rate_end(OssServer *server, const char *bucket, const char *key,
			 OssRateOutcome outcome)
{
	int64		now = oss_clock_us();
	uint32		object;
	RateSlot   *slot;

	Assert(server->in_flight > 0);
	server->in_flight--;
	if (outcome == OSS_RATE_LOST || bucket == NULL)
		return;
	object = oss_rate_object_hash(key);
	slot = oss_rate_slot_lock(server->serverid, bucket, true, now);
	if (outcome == OSS_RATE_THROTTLED)
		handle_throttle(slot, object, now);
	else
		count_answer(slot, object, now);
	oss_rate_slot_unlock(slot);
	if (outcome == OSS_RATE_THROTTLED)
		elog(DEBUG1, "bucket \"%s\" of server \"%s\" was throttled",
			 bucket, server->name);
}

void
oss_rate_hold(OssServer *server, const char *bucket, long ms)
{
	int64		now = oss_clock_us();
	int64		until = now + Min(ms, OSS_RATE_MOST_HOLD_MS) * 1000;
	RateSlot   *slot = oss_rate_slot_lock(server->serverid, bucket, true, now);

	slot->held_until = Max(slot->held_until, until);
	slot->busy_until = Max(slot->busy_until, until);
	oss_rate_slot_unlock(slot);
	elog(DEBUG1, "requests to bucket \"%s\" of server \"%s\" are held for %ld ms",
		 bucket, server->name, ms);
}

void
oss_rate_resume(Oid serverid, const char *bucket)
{
	for (int i = 0; i < RATE_SLOTS; i++)
	{
		RateSlot   *slot = oss_rate_slot_lock_nth(i);

		if (slot == NULL)
			return;
		if (slot->dbid == MyDatabaseId &&
			(slot->serverid == serverid || !OidIsValid(serverid)) &&
			(bucket == NULL || strcmp(slot->bucket, bucket) == 0))
		{
			slot->held_until = 0;
			forget_rate(slot);
		}
		oss_rate_slot_unlock(slot);
	}
}

long
oss_rate_wait(OssServer *server, const char *bucket)
{
	int64		now = oss_clock_us();
	RateSlot   *slot;
	bool		again;
	int64		wait;

	heed_options(server, now);
	slot = lock_server(server, now, &again);
	wait = exact_wait(slot, limit_of(slot, server), now);
	oss_rate_slot_unlock(slot);
	slot = bucket == NULL ? NULL :
		oss_rate_slot_lock(server->serverid, bucket, false, now);
	if (slot != NULL)
	{
		wait = Max(wait, paced_wait(slot, now));
		oss_rate_slot_unlock(slot);
	}
	return ms_of(wait);
}

/*
 * Return how many requests start within a second at a rate (0: no limit), the
 * first one after a wait.
 */
static double
requests_of_second(double rate, int64 wait)
{
	if (wait > SECOND)
		return 0;
	return rate > 0 ? Max(rate, 1) : INT_MAX;
}

int
oss_rate_allowance(OssServer *server, const char *bucket)
{
	int64		now = oss_clock_us();
	bool		again;
	RateSlot   *slot = lock_server(server, now, &again);
	double		limit = limit_of(slot, server);
	double		most = requests_of_second(limit, exact_wait(slot, limit, now));

	oss_rate_slot_unlock(slot);
	slot = oss_rate_slot_lock(server->serverid, bucket, false, now);
	if (slot != NULL)
	{
		int64		wait = paced_wait(slot, now);

		most = Min(most, requests_of_second(slot->rate, wait));
		oss_rate_slot_unlock(slot);
	}
	return (int) most;
}

int64
oss_clock_offset_ms(Oid serverid)
{
	RateSlot   *slot = oss_rate_slot_lock(serverid, "", false, oss_clock_us());
	int64		ms;

	if (slot == NULL)
		return 0;
	ms = slot->clock_offset_ms;
	oss_rate_slot_unlock(slot);
	return ms;
}

void
oss_clock_set_offset_ms(Oid serverid, int64 ms)
{
	RateSlot   *slot = oss_rate_slot_lock(serverid, "", true, oss_clock_us());

	if (!oss_rate_slot_is_spare(slot))
		slot->clock_offset_ms = ms;
	oss_rate_slot_unlock(slot);
}

/*
 * Return the answers per second over the last ten seconds, or since the first
 * answer within them.
 */
static double
answer_rate(RateSlot *slot, int64 now)
{
	double		sum = answers_within(slot, now, TENTHS);
	int			age = TENTHS;

	while (age > 10 &&
		   slot->answered[(slot->tenth - (age - 1) + TENTHS) % TENTHS] == 0)
		age--;
	return sum * 10 / age;
}

static void
report_slot(RateSlot *slot, OssRateReport *report, int64 now)
{
	(void) paced_wait(slot, now);
	report->serverid = slot->serverid;
	strlcpy(report->bucket, slot->bucket, sizeof(report->bucket));
	report->answers_per_second = answer_rate(slot, now);
	report->requests_per_second = slot->rate;
	report->slowed_down = slot->rate > 0;
	report->throttled = slot->throttled;
	report->held_ms = ms_of(Max(slot->held_until - now, 0));
}

/* Return a server's limit, 0 without one. */
static double
known_limit(Oid serverid, int64 now)
{
	RateSlot   *slot = oss_rate_slot_lock(serverid, "", false, now);
	double		limit;

	if (slot == NULL)
		return 0;
	limit = Max(slot->limit, 0);
	oss_rate_slot_unlock(slot);
	return limit;
}

bool
oss_rate_report(int *at, OssRateReport *report)
{
	int64		now = oss_clock_us();

	while (*at < RATE_SLOTS)
	{
		RateSlot   *slot = oss_rate_slot_lock_nth((*at)++);
		bool		ours;
		double		limit;

		if (slot == NULL)
			return false;
		ours = slot->dbid == MyDatabaseId && slot->bucket[0] != '\0';
		if (ours)
			report_slot(slot, report, now);
		oss_rate_slot_unlock(slot);
		if (!ours)
			continue;
		limit = known_limit(report->serverid, now);
		if (limit > 0 && (!report->slowed_down || limit < report->requests_per_second))
			report->requests_per_second = limit;
		return true;
	}
	return false;
}
