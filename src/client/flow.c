/*-------------------------------------------------------------------------
 * flow.c
 *	  The gate before each request of a server.
 *
 * Two limits on the rate.  max_requests_per_second is exact: the n-th request
 * before this one must be a second old, for which the times of sending are
 * kept.  What the service tells by throttling is found by additive increase
 * and multiplicative decrease, and followed by even pacing.
 *
 * Locking: a slot's mutex guards it; the registry's mutex guards which server
 * a slot belongs to and is taken first.  Both are spinlocks: under them is
 * nothing but arithmetic on one slot and a look at each slot's owner.  Times are
 * http_clock_us()'s, the same in all processes.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>
#include <math.h>

#include "client/flow.h"
#include "client/http.h"
#include "client/http_loop.h"
#include "miscadmin.h"
#include "storage/shmem.h"
#include "storage/spin.h"

#define SLOTS 64
#define SECOND INT64CONST(1000000)

/*
 * A little more than a second, for requests do not all take the same time to
 * the service, which counts when they arrive.  For the same reason they go out
 * evenly and not all at the beginning of the second, with so much time to make
 * up for a late one.
 */
#define WINDOW (SECOND + 40000)
#define SLACK 20000

/* Times of sending that are kept; above, one stands for several requests. */
#define TIMES 256

/* Answers are counted by tenths of a second, for ten seconds. */
#define TENTH (SECOND / 10)
#define TENTHS 100

/* A throttle lowers the rate to this share of what went through. */
#define DECREASE 0.95
/* Throttles within this time are answers to the same excess. */
#define EPOCH (SECOND * 3 / 10)
/* Share of the rate at the last decrease that is added in a second. */
#define INCREASE 0.03
/* Without throttles for so long, the limit seems gone: double each second. */
#define QUIET (3 * SECOND)

/*
 * A server's flow.  sent counts requests under the exact limit; they come in
 * groups of group_size, of which groups make a window's worth; times has the
 * last request's time of each group.
 */
typedef struct FlowSlot
{
	slock_t		mutex;
	Oid			dbid;			/* InvalidOid: free */
	Oid			serverid;
	int64		used_at;

	double		limit;			/* that the exact limit was set up for, -1:
								 * nothing was asked yet */
	int64		limit_read_at;	/* of the server that set it */
	int64		window;
	uint64		sent;
	int			group_size;
	int			groups;
	int64		times[TIMES];
	int64		next_at;		/* when the next one is due, evenly */

	double		rate;			/* found by throttles, 0: none */
	double		last_rate;		/* before the last decrease */
	double		tokens;
	int64		tokens_at;
	int64		decreased_at;
	bool		guessed;		/* the first decrease: too few answers had
								 * come to know the rate */
	int64		throttled_at;
	int64		held_until;
	int64		throttled;

	int64		tenth;			/* number of the current one */
	uint32		answered[TENTHS];
} FlowSlot;

typedef struct FlowTable
{
	slock_t		mutex;
	FlowSlot	slots[SLOTS];
} FlowTable;

static FlowTable *table = NULL;

/* Make a table's locks. */
static void
init_table(FlowTable *new_table)
{
	memset(new_table, 0, sizeof(FlowTable));
	SpinLockInit(&new_table->mutex);
	for (int i = 0; i < SLOTS; i++)
		SpinLockInit(&new_table->slots[i].mutex);
}

/* Return the bytes of shared memory. */
Size
oss_flow_shared_size(void)
{
	return MAXALIGN(sizeof(FlowTable));
}

/* Attach to the shared table. */
void
oss_flow_shared_start(void)
{
	bool		found;

	table = ShmemInitStruct("oss_labels flow", sizeof(FlowTable), &found);
	if (!found)
		init_table(table);
}

/* Forget a slot's server. */
static void
clear_slot(FlowSlot *slot, Oid serverid, int64 now)
{
	Size		from = offsetof(FlowSlot, limit);

	memset((char *) slot + from, 0, sizeof(FlowSlot) - from);
	slot->limit = -1;
	slot->dbid = MyDatabaseId;
	slot->serverid = serverid;
	slot->used_at = now;
	slot->tenth = now / TENTH;
}

/* Find a server's slot, taking the one least recently used when it has none. */
static FlowSlot *
find_slot(Oid serverid, int64 now)
{
	static FlowTable own;
	FlowSlot   *oldest;

	if (table == NULL)
	{
		init_table(&own);
		table = &own;
	}
	SpinLockAcquire(&table->mutex);
	oldest = &table->slots[0];
	for (int i = 0; i < SLOTS; i++)
	{
		FlowSlot   *slot = &table->slots[i];

		if (slot->serverid == serverid && slot->dbid == MyDatabaseId)
		{
			slot->used_at = now;
			SpinLockRelease(&table->mutex);
			return slot;
		}
		if (slot->used_at < oldest->used_at)
			oldest = slot;
	}
	SpinLockAcquire(&oldest->mutex);
	clear_slot(oldest, serverid, now);
	SpinLockRelease(&oldest->mutex);
	SpinLockRelease(&table->mutex);
	return oldest;
}

/* Count answers of the present, forgetting those of ten seconds ago. */
static void
turn_tenths(FlowSlot *slot, int64 now)
{
	int64		tenth = now / TENTH;

	/* who waited for the lock has an older now than who was before */
	if (tenth <= slot->tenth)
		return;
	if (tenth - slot->tenth >= TENTHS)
		memset(slot->answered, 0, sizeof(slot->answered));
	else
		for (int64 t = slot->tenth + 1; t <= tenth; t++)
			slot->answered[t % TENTHS] = 0;
	slot->tenth = tenth;
}

/* Return the answers within the last n tenths of a second. */
static double
answers_within(FlowSlot *slot, int64 now, int n)
{
	double		sum = 0;

	turn_tenths(slot, now);
	for (int i = 0; i < n; i++)
		sum += slot->answered[(slot->tenth - i + TENTHS) % TENTHS];
	return sum;
}

/* Return the answers of about the last second. */
static double
answers_of_second(FlowSlot *slot, int64 now)
{
	double		with_present = answers_within(slot, now, 10);
	uint32		present = slot->answered[slot->tenth % TENTHS];
	uint32		eleventh = slot->answered[(slot->tenth - 10 + TENTHS) % TENTHS];

	return Max(with_present, with_present - present + eleventh);
}

/*
 * Set up the exact limit; when there was another before, as if a second's worth
 * had been sent just now.
 */
static void
set_limit(FlowSlot *slot, double limit, int64 now)
{
	bool		first = slot->limit < 0;
	int			n = (int) Min(Max(floor(limit), 1), 1e9);

	slot->limit = limit;
	if (limit == 0)
		return;
	slot->window = limit < 1 ? (int64) (WINDOW / limit) : WINDOW;
	slot->group_size = (n + TIMES - 1) / TIMES;
	slot->groups = n / slot->group_size;
	slot->sent = 0;
	slot->next_at = 0;
	for (int i = 0; i < TIMES; i++)
		slot->times[i] = first ? now - slot->window : now;
}

/* Has a server another limit, and been read later than the one that set ours? */
static bool
is_altered(const FlowSlot *slot, const OssServer *server)
{
	return server->max_requests_per_second != slot->limit &&
		(slot->limit < 0 || server->read_at > slot->limit_read_at);
}

/*
 * Take over a limit that was altered.  What was read before ALTER SERVER and is
 * still in use, by a long query, follows the new limit: with one limit each,
 * the two would undo each other's and nothing would ever start.
 */
static void
follow_limit(FlowSlot *slot, const OssServer *server, int64 now)
{
	if (is_altered(slot, server))
		set_limit(slot, server->max_requests_per_second, now);
	slot->limit_read_at = Max(slot->limit_read_at, server->read_at);
}

/* Return for how many us the exact limit says to wait. */
static int64
exact_wait(const FlowSlot *slot, int64 now)
{
	uint64		group;

	if (slot->limit <= 0)
		return 0;
	if (slot->next_at - SLACK > now)
		return slot->next_at - SLACK - now;
	if (slot->sent % slot->group_size != 0)
		return 0;
	group = slot->sent / slot->group_size;
	return Max(slot->times[group % slot->groups] + slot->window - now, 0);
}

/* Note a request under the exact limit. */
static void
exact_sent(FlowSlot *slot, int64 now)
{
	if (slot->limit <= 0)
		return;
	slot->times[(slot->sent / slot->group_size) % slot->groups] = now;
	slot->sent++;
	slot->next_at = Max(slot->next_at, now) +
		slot->window / (slot->groups * slot->group_size);
}

/* Let the rate grow with time. */
static void
grow(FlowSlot *slot, int64 now)
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
	if (slot->rate > 1e5 || now - slot->throttled_at > 60 * SECOND)
		slot->rate = 0;
}

/* Return for how many us the rate that throttles taught says to wait. */
static int64
paced_wait(FlowSlot *slot, int64 now)
{
	if (slot->held_until > now)
		return slot->held_until - now;
	if (slot->rate > 0)
		grow(slot, now);
	if (slot->rate == 0 || slot->tokens >= 1)
		return 0;
	return (int64) ((1 - slot->tokens) / slot->rate * SECOND) + 1;
}

/* Lower the rate, once for each excess. */
static void
throttle(FlowSlot *slot, int64 now)
{
	double		through = Max(answers_of_second(slot, now), 1);

	slot->throttled++;
	slot->throttled_at = now;
	if (slot->rate > 0 && now - slot->decreased_at < EPOCH)
		return;
	slot->guessed = slot->rate == 0;
	if (slot->rate > 0)
		through = Min(slot->rate, through * 1.1);
	slot->last_rate = through;
	slot->rate = Max(through * DECREASE, 0.2);

	/* before the first one, most of a second's worth went out at once */
	slot->tokens = slot->guessed ? slot->rate * -0.8 : Min(slot->tokens, 0);
	slot->tokens_at = now;
	slot->decreased_at = now;
}

/* Count an answer. */
static void
count_answer(FlowSlot *slot, int64 now)
{
	turn_tenths(slot, now);
	slot->answered[slot->tenth % TENTHS]++;
	if (slot->rate > 0 && slot->guessed && now - slot->decreased_at < SECOND)
	{
		slot->last_rate = Max(slot->last_rate, answers_of_second(slot, now));
		slot->rate = Max(slot->rate, slot->last_rate * DECREASE);
	}
}

/* Ask to send one request now. */
long
oss_flow_try_start(OssServer *server)
{
	int64		now;
	int64		wait;
	FlowSlot   *slot;

	if (server->in_flight >= server->max_concurrency ||
		http_in_flight() >= http_loop_connections())
		return OSS_FLOW_WAIT_FOR_END;
	now = http_clock_us();
	slot = find_slot(server->serverid, now);
	SpinLockAcquire(&slot->mutex);
	follow_limit(slot, server, now);
	wait = Max(exact_wait(slot, now), paced_wait(slot, now));
	if (wait == 0)
	{
		exact_sent(slot, now);
		if (slot->rate > 0)
			slot->tokens -= 1;
	}
	SpinLockRelease(&slot->mutex);
	if (wait > 0)
		return (long) ((wait + 999) / 1000);
	server->in_flight++;
	return 0;
}

/* Tell the end of a request. */
void
oss_flow_end(OssServer *server, OssFlowOutcome outcome)
{
	int64		now = http_clock_us();
	FlowSlot   *slot = find_slot(server->serverid, now);

	server->in_flight--;
	SpinLockAcquire(&slot->mutex);
	if (outcome == OSS_FLOW_THROTTLED)
		throttle(slot, now);
	else if (outcome == OSS_FLOW_ANSWERED)
		count_answer(slot, now);
	SpinLockRelease(&slot->mutex);
}

/* Let nothing start for a while. */
void
oss_flow_hold(OssServer *server, long ms)
{
	int64		now = http_clock_us();
	FlowSlot   *slot = find_slot(server->serverid, now);

	SpinLockAcquire(&slot->mutex);
	slot->held_until = Max(slot->held_until, now + (int64) ms * 1000);
	SpinLockRelease(&slot->mutex);
}

/* Estimate how many requests may start within the next ms. */
int
oss_flow_allowance(OssServer *server, long ms)
{
	int64		now = http_clock_us();
	FlowSlot   *slot = find_slot(server->serverid, now);
	double		most = INT_MAX;
	double		limit;
	bool		altered;

	SpinLockAcquire(&slot->mutex);

	/* a limit that was altered is for those to set who start something */
	altered = is_altered(slot, server);
	limit = altered ? server->max_requests_per_second : slot->limit;
	if (limit > 0 && !altered && exact_wait(slot, now) > ms * 1000)
		most = 0;
	else if (limit > 0)
		most = Max(limit * ms / 1000, 1);
	if (paced_wait(slot, now) > ms * 1000)
		most = 0;
	else if (slot->rate > 0)
		most = Min(most, Max(slot->rate * ms / 1000, 1));
	SpinLockRelease(&slot->mutex);
	return (int) most;
}

/*
 * Return the answers a second over the last ten seconds, or since the first of
 * them when that is later.
 */
static double
answer_rate(FlowSlot *slot, int64 now)
{
	double		sum = answers_within(slot, now, TENTHS);
	int			age = TENTHS;

	while (age > 10 &&
		   slot->answered[(slot->tenth - (age - 1) + TENTHS) % TENTHS] == 0)
		age--;
	return sum * 10 / age;
}

/* Describe the servers of this database. */
int
oss_flow_report(OssFlowReport *reports, int n)
{
	int64		now = http_clock_us();
	int			filled = 0;

	for (int i = 0; table && i < SLOTS && filled < n; i++)
	{
		FlowSlot   *slot = &table->slots[i];
		OssFlowReport *report = &reports[filled];

		SpinLockAcquire(&slot->mutex);
		if (slot->dbid == MyDatabaseId && OidIsValid(slot->serverid))
		{
			report->serverid = slot->serverid;
			report->answers_per_second = answer_rate(slot, now);
			report->slowed_down = slot->rate > 0;
			report->requests_per_second = slot->rate > 0 &&
				(slot->limit <= 0 || slot->rate < slot->limit) ?
				slot->rate : Max(slot->limit, 0);
			report->throttled = slot->throttled;
			filled++;
		}
		SpinLockRelease(&slot->mutex);
	}
	return filled;
}
