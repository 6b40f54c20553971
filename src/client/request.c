/*-------------------------------------------------------------------------
 * request.c
 *	  Labels requests as state machines on the event loop.
 *
 * A request waits (for credentials, for the server's limits, for the end of a
 * backoff), is in flight, or is done.  Waiting for one group drives the
 * requests of all groups of the process.  Every attempt is signed anew, and
 * none is sent whose response would come too late, since each costs money.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/rate_limit.h"
#include "client/request_state.h"
#include "client/signed_request.h"
#include "miscadmin.h"
#include "utils/memutils.h"

/* How long to wait for a lock that keeps budgets from being read. */
#define BUDGET_POLL_MS 20

static dlist_head waiting = DLIST_STATIC_INIT(waiting);

static void on_answer(HttpTransfer *transfer, void *arg);

static void
unlist_request(OssRequest *request)
{
	if (request->listed)
		dlist_delete(&request->node);
	request->listed = false;
}

static void
finish_request(OssRequest *request)
{
	Assert(request->state != REQUEST_DONE);
	Assert(request->group->counters.unfinished > 0);
	unlist_request(request);
	request->state = REQUEST_DONE;
	request->group->counters.unfinished--;
	dlist_push_tail(&request->group->finished, &request->node);
	request->listed = true;
	if (request->arrived)
		request->arrived(request, request->arrived_arg);
}

/*
 * Add a request to the list of waiting ones, in front if a call waits for it.
 */
static void
wait_until(OssRequest *request, int64 due)
{
	Assert(!request->listed && request->state != REQUEST_DONE);
	request->state = REQUEST_WAITING;
	request->due = due;
	if (request->awaited)
		dlist_push_head(&waiting, &request->node);
	else
		dlist_push_tail(&waiting, &request->node);
	request->listed = true;
}

/* Note that the attempt in flight has ended. */
static void
end_in_flight(OssRequest *request, OssRateOutcome outcome)
{
	Assert(request->state == REQUEST_IN_FLIGHT && !request->unsettled);
	Assert(request->group->counters.in_flight > 0);
	unlist_request(request);
	request->group->counters.in_flight--;
	oss_access_end(request->access, request->trial);
	oss_rate_end(request->server, oss_request_rate_bucket(request), request->key, outcome);
}

/*
 * Reset callback: release what a request holds outside of its memory.  The
 * context of the transfer, a child, has been deleted already.
 */
static void
on_request_reset(void *arg)
{
	OssRequest *request = arg;

	oss_attempt_settle(request, oss_outcome_of_lost(request->on_wire), 0);
	unlist_request(request);
	if (request->state == REQUEST_IN_FLIGHT)
		end_in_flight(request, OSS_RATE_LOST);
	if (request->state != REQUEST_DONE)
		request->group->counters.unfinished--;
	oss_access_forgive(request->access, request, request->queued);
	oss_access_leave(request->access);
	oss_list_page_free(&request->page);
	oss_server_unpin(request->server);
}

OssGroup *
oss_group_create(MemoryContext parent)
{
	MemoryContext context = AllocSetContextCreate(parent, "oss_labels requests",
												  ALLOCSET_DEFAULT_SIZES);
	OssGroup   *group = MemoryContextAllocZero(context, sizeof(OssGroup));

	group->context = context;
	dlist_init(&group->finished);
	return group;
}

void
oss_group_free(OssGroup *group)
{
	MemoryContextDelete(group->context);
}

const OssCounters *
oss_group_counters(const OssGroup *group)
{
	return &group->counters;
}

StaticAssertDecl(sizeof(OssRequest) - offsetof(OssRequest, xml) <
				 sizeof(OssErrorXml) + MAXIMUM_ALIGNOF,
				 "xml, which make_request() leaves unset, is last");

/* Make a request that is in no list yet. */
static OssRequest *
make_request(OssGroup *group, const OssLabelsSpec *spec, void *tag)
{
	MemoryContext context = AllocSetContextCreate(group->context,
												  "oss_labels request",
												  ALLOCSET_SMALL_SIZES);
	OssRequest *request = MemoryContextAlloc(context, sizeof(OssRequest));

	memset(request, 0, offsetof(OssRequest, xml));
	request->context = context;
	request->group = group;
	request->tag = tag;
	oss_request_copy_kind(request, spec);
	request->queued = spec->queued;
	request->max_attempts = spec->max_attempts > 0 ? spec->max_attempts :
		spec->server->max_attempts;
	request->suspect = spec->suspect;
	request->arrived = spec->arrived;
	request->arrived_arg = spec->arrived_arg;

	request->no_route = oss_route_find(spec->server, request->bucket, &request->route);
	request->access = oss_access_join(spec->server, spec->image.bucket, request->kind);

	/* nothing can throw from here on */
	request->server = spec->server;
	oss_server_pin(request->server);
	group->counters.unfinished++;
	request->reset.func = on_request_reset;
	request->reset.arg = request;
	MemoryContextRegisterResetCallback(context, &request->reset);
	return request;
}

/* Sign and send an attempt.  Errors: class 53. */
static void
send_signed(OssRequest *request, const OssCredentials *who, int64 now)
{
	HttpSpec	spec;

	oss_request_sign(request, who, &spec);
	spec.timeout_ms = (int) Max(1, (request->deadline - now) / 1000);
	spec.queued = request->queued;
	spec.sent = &request->on_wire;

	/* after a broken connection, other idle ones may be broken too */
	spec.fresh = request->transfer != NULL &&
		oss_http_answer(request->transfer)->end != HTTP_ANSWERED;
	if (request->transfer != NULL)
		oss_http_free(request->transfer);
	request->transfer = NULL;
	request->transfer = oss_http_start(request->context, &spec, on_answer, request);
}

/* Count an attempt that was sent. */
static void
count_attempt(OssRequest *request, int64 now)
{
	OssCounters *counters = &request->group->counters;

	Assert(request->state == REQUEST_WAITING && request->transfer != NULL);
	unlist_request(request);
	request->state = REQUEST_IN_FLIGHT;
	oss_attempt_list(request);
	request->sent = now;
	request->trial = oss_access_start(request->access, request->key, now);
	request->attempts++;
	request->charged++;
	counters->requests++;
	if (request->attempts > 1)
		counters->retries++;
	counters->in_flight++;
	counters->most_in_flight = Max(counters->most_in_flight,
								   counters->in_flight);
}

/* Finish a request with a copy of a failure. */
static void
fail_request(OssRequest *request, const OssFailure *failure)
{
	OssFailure *copy = MemoryContextAllocZero(request->context,
											  sizeof(OssFailure));

	*copy = *failure;
	copy->message = MemoryContextStrdup(request->context, failure->message);
	copy->code = MemoryContextStrdup(request->context, failure->code);
	if (failure->detail != NULL)
		copy->detail = MemoryContextStrdup(request->context, failure->detail);
	copy->request_id = NULL;
	request->failure = copy;
	finish_request(request);
}

/*
 * Send an attempt that the limits permit.  A lack of memory or descriptors
 * fails only this request: the caller may be waiting for another one.
 */
static void
send_or_fail(OssRequest *request, const OssCredentials *who, int64 now)
{
	MemoryContext caller = CurrentMemoryContext;
	uint32		interrupts = InterruptHoldoffCount;
	uint32		cancels = QueryCancelHoldoffCount;

	PG_TRY();
	{
		send_signed(request, who, now);
		count_attempt(request, now);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(caller);
		oss_attempt_settle(request, OSS_OUTCOME_UNSENT, 0);
		oss_rate_end(request->server, oss_request_rate_bucket(request), request->key,
					 OSS_RATE_LOST);
		if (ERRCODE_TO_CATEGORY(geterrcode()) != ERRCODE_INSUFFICIENT_RESOURCES)
			PG_RE_THROW();

		/* restore what the ERROR reset, since this is not the top level */
		InterruptHoldoffCount = interrupts;
		QueryCancelHoldoffCount = cancels;
		error = CopyErrorData();
		FlushErrorState();
		fail_request(request, oss_failure_make("OutOfMemory", error->message,
											   oss_request_what(request)));
	}
	PG_END_TRY();
}

/*
 * Finish a request without sending it if requests for its bucket are refused.
 * Returns false if they are not.
 */
static bool
refuse_request(OssRequest *request)
{
	OssScope	scope;
	const OssFailureRule *rule = oss_access_refused(request->access, &scope);

	if (rule == NULL)
		return false;
	request->rule = rule;
	request->scope = scope;
	request->refused = true;
	finish_request(request);
	return true;
}

/*
 * Report a failure to the access state of the bucket, which decides the
 * scope.
 */
static void
judge_response(OssRequest *request)
{
	const char *code = request->xml.code;
	char		status[16];

	if (code[0] == '\0' && request->rule->code == NULL)
	{
		snprintf(status, sizeof(status), "HTTP%d",
				 oss_http_answer(request->transfer)->status);
		code = status;
	}
	request->scope = oss_route_scope(&request->route, request->rule,
									 oss_access_failure(request->access, request->key,
														request->rule, code, request));
}

/* Start timeout_ms unless it has started. */
static void
begin_deadline(OssRequest *request, int64 now)
{
	if (request->deadline == 0)
		request->deadline = now + request->server->timeout_ms * INT64CONST(1000);
}

/* Return a sentence that says which limit delays a request. */
static char *
limit_detail(const OssRequest *request)
{
	OssServer  *server = request->server;
	long		of_server = oss_rate_wait(server, NULL);
	long		of_bucket = oss_rate_wait(server, oss_request_rate_bucket(request));

	if (of_server > 0)
		return psprintf("Server \"%s\" has max_requests_per_second %g; the next request may go in %ld ms.",
						server->name, server->max_requests_per_second, of_server);
	if (of_bucket > 0)
		return psprintf("The service slowed down bucket \"%s\"; the next request may go in %ld ms.",
						request->bucket, of_bucket);
	if (server->in_flight >= server->max_concurrency)
		return psprintf("Server \"%s\" has max_concurrency %d, and as many requests are in flight.",
						server->name, server->max_concurrency);
	return psprintf("Other requests took what the limits of server \"%s\" let through.",
					server->name);
}

/* Finish a request whose deadline is too near for another attempt. */
static void
give_up_request(OssRequest *request)
{
	const char *what = oss_request_what(request);

	if (request->attempts > 0)
	{
		/* the last attempt's failure stands */
		judge_response(request);
		finish_request(request);
	}
	else if (request->wants_key)
		fail_request(request, oss_failure_make("CredentialsUnavailable",
											   psprintf("The credentials did not arrive within timeout_ms (%d ms).",
														request->server->timeout_ms),
											   what));
	else
		fail_request(request, oss_failure_make("RateLimitTimeout", limit_detail(request),
											   what));
}

/* Finish a request if budgets or settings refuse it. */
static bool
refused_by_budget(OssRequest *request, OssBudgetAnswer answer, const OssBudgetRefusal *why)
{
	if (answer != OSS_BUDGET_REFUSED)
		return false;
	fail_request(request, oss_attempt_refusal(request, why, oss_request_what(request)));
	return true;
}

/*
 * Send or finish a waiting request if possible.  Returns how many ms to wait
 * before the next call, 0 if the request no longer waits, -1 if an event of
 * the loop must come first.
 */
static long
advance_request(OssRequest *request, int64 now)
{
	OssCredentials who;
	OssBudgetRefusal why;
	OssBudgetAnswer paid;
	const OssFailure *failure = NULL;
	long		left = oss_time_left(request, now);
	long		ms;

	if (refuse_request(request))
		return 0;
	if (request->due > now)
		return TimestampDifferenceMilliseconds(now, request->due);
	if (oss_too_late(request, now))
	{
		give_up_request(request);
		return 0;
	}
	paid = oss_attempt_look(request, &why);
	if (paid != OSS_BUDGET_OPEN)
		return refused_by_budget(request, paid, &why) ? 0 :
			oss_shorter_wait(left, BUDGET_POLL_MS);
	request->wants_key = false;
	switch (oss_credential_get(request->server->source, &who, &failure))
	{
		case CREDENTIAL_PENDING:
			request->wants_key = true;
			return oss_shorter_wait(left, oss_credential_poll_ms(request->server->source));
		case CREDENTIAL_FAILED:
			fail_request(request, failure);
			return 0;
		case CREDENTIAL_READY:
			break;
	}
	ms = oss_access_wait(request->access, request->key, now);
	if (ms != 0)
		return oss_shorter_wait(left, ms);

	/* one that has waited for its turn must not hold what others could use */
	ms = oss_rate_try_start(request->server, oss_request_rate_bucket(request));
	if (ms != 0)
		return oss_shorter_wait(left, ms);
	paid = oss_attempt_begin(request, &why);
	if (paid != OSS_BUDGET_OPEN)
	{
		oss_rate_end(request->server, oss_request_rate_bucket(request), request->key,
					 OSS_RATE_LOST);
		return refused_by_budget(request, paid, &why) ? 0 : 1;
	}
	begin_deadline(request, now);
	strlcpy(request->key_id, who.key_id, sizeof(request->key_id));
	send_or_fail(request, &who, now);
	return 0;
}

/*
 * Send all waiting requests of the process that can be sent.  Returns how
 * many ms the loop may sleep, -1 for no limit.
 */
static long
advance_all(void)
{
	dlist_mutable_iter iter;
	int64		now;
	long		sleep_ms = -1;

	if (dlist_is_empty(&waiting))
		return -1;
	now = oss_http_now();
	dlist_foreach_modify(iter, &waiting)
	{
		long		ms = advance_request(dlist_container(OssRequest, node, iter.cur),
										 now);

		if (ms > 0)
			sleep_ms = oss_shorter_wait(sleep_ms, ms);
	}
	return sleep_ms;
}

OssRequest *
oss_request_start(OssGroup *group, const OssLabelsSpec *spec, void *tag)
{
	OssRequest *request;

	request = make_request(group, spec, tag);
	if (request->no_route != NULL)
	{
		fail_request(request, oss_route_failure(request->server, request->no_route,
												oss_request_what(request)));
		return request;
	}
	wait_until(request, 0);

	/* older requests to the same server go first */
	advance_all();
	return request;
}

void
oss_request_await(OssRequest *request)
{
	if (request->awaited || request->state == REQUEST_DONE)
		return;
	request->awaited = true;
	begin_deadline(request, oss_http_now());
	if (request->state == REQUEST_WAITING)
	{
		unlist_request(request);
		wait_until(request, request->due);
	}
}

void
oss_group_await(OssGroup *group)
{
	dlist_iter	iter;

	dlist_foreach(iter, &waiting)
	{
		OssRequest *request = dlist_container(OssRequest, node, iter.cur);

		if (request->group == group)
		{
			oss_request_await(request);
			return;
		}
	}
}

/* Have a failed request, whose rule is set, sent again, or finish it. */
static void
retry_or_finish(OssRequest *request, const HttpAnswer *answer)
{
	int64		due;
	bool		retry = oss_retry(request, answer, &due);

	/* denials are counted per attempt, not per image */
	if (!retry || request->rule->scope == OSS_SCOPE_DENIAL)
		judge_response(request);
	if (retry && !oss_scope_is_setup(request->scope))
		wait_until(request, due);
	else
		finish_request(request);
}

/* Handle a response with status 200. */
static void
take_document(OssRequest *request, const HttpAnswer *answer)
{
	request->rule = oss_request_judge(request, answer);
	if (request->rule == NULL)
		oss_access_labels(request->access, request->key);
	else if (request->kind == OSS_KIND_LISTING)
	{
		retry_or_finish(request, answer);
		return;
	}
	else
	{
		judge_response(request);

		/* parsing it will give a more specific failure */
		if (request->scope == OSS_SCOPE_IMAGE)
			request->rule = NULL;
	}
	finish_request(request);
}

/* Callback for the end of an attempt; must not throw. */
static void
on_answer(HttpTransfer *transfer, void *arg)
{
	OssRequest *request = arg;
	const HttpAnswer *answer = oss_http_answer(transfer);
	bool		answered = answer->end == HTTP_ANSWERED;

	request->group->counters.bytes_received += answer->bytes_received;
	if (answered && answer->status == 200)
	{
		oss_attempt_settle(request, OSS_OUTCOME_BILLED, answer->bytes_received);
		end_in_flight(request, OSS_RATE_ANSWERED);
		oss_request_reach(request)->failed = 0;
		take_document(request, answer);
		return;
	}
	request->rule = oss_request_classify(request, answer);
	request->rule = oss_route_rule(&request->route, request->rule);
	oss_attempt_settle(request, oss_outcome(request->kind, answer, request->rule->retry),
					   answer->bytes_received);
	request->took_ms = answered ? (long) (answer->total_us / 1000) : 0;
	if (request->rule->retry == OSS_RETRY_THROTTLED)
	{
		request->group->counters.throttled++;
		end_in_flight(request, request->suspect ? OSS_RATE_LOST :
					  OSS_RATE_THROTTLED);
	}
	else
		end_in_flight(request, answered ? OSS_RATE_ANSWERED : OSS_RATE_LOST);
	retry_or_finish(request, answer);
}

OssRequest *
oss_group_next(OssGroup *group)
{
	OssRequest *request;

	if (dlist_is_empty(&group->finished))
		return NULL;
	request = dlist_container(OssRequest, node,
							  dlist_pop_head_node(&group->finished));
	request->listed = false;
	return request;
}

OssRequest *
oss_group_wait(OssGroup *group, long timeout_ms)
{
	int64		end = 0;
	bool		over = false;

	if (timeout_ms > 0)
		end = oss_clock_us() + timeout_ms * INT64CONST(1000);
	for (;;)
	{
		OssRequest *request = oss_group_next(group);
		long		ms;

		if (request != NULL || group->counters.unfinished == 0 || over)
			return request;
		ms = advance_all();
		if (!dlist_is_empty(&group->finished))
			continue;
		if (timeout_ms == 0)
			ms = 0;
		else if (timeout_ms > 0)
			ms = oss_wait_until(ms, oss_clock_us(), end);
		over = oss_http_turn(ms) || timeout_ms == 0 ||
			(timeout_ms > 0 && oss_clock_us() >= end);
		advance_all();
	}
}

/* Drive the network, for whichever groups. */
void
oss_network_wait(long timeout_ms)
{
	long		ms = advance_all();

	(void) oss_http_turn(ms < 0 ? timeout_ms : Min(ms, timeout_ms));
	(void) advance_all();
}

bool
oss_request_done(const OssRequest *request)
{
	return request->state == REQUEST_DONE;
}

void *
oss_request_tag(const OssRequest *request)
{
	return request->tag;
}

const OssFailure *
oss_request_failure(const OssRequest *request)
{
	OssRequest *r = unconstify(OssRequest *, request);
	MemoryContext old;
	OssFailure *failure;

	if (r->failure != NULL || r->rule == NULL)
		return r->failure;
	old = MemoryContextSwitchTo(r->context);
	if (r->refused)
		failure = oss_access_refusal(r->access, r->rule,
									 oss_request_what(r));
	else
		failure = oss_failure_describe(r->rule, oss_http_answer(r->transfer),
									   &r->xml, oss_request_what(r));
	failure->hint = oss_request_hint(r);
	if (!r->refused)
		failure->detail = oss_route_detail(&r->route, r->bucket, failure->detail);
	failure->scope = r->scope;
	failure->denial = r->rule->scope == OSS_SCOPE_DENIAL;
	failure->unsent = r->refused;
	failure->ask_again_s = oss_access_ask_again(r->access);
	if (r->scope == OSS_SCOPE_ACCESS && !r->refused &&
		r->rule->scope == OSS_SCOPE_DENIAL)
		failure->detail = psprintf("%s\n%s", failure->detail,
								   oss_access_reason(r->access));
	r->failure = failure;
	MemoryContextSwitchTo(old);
	return failure;
}

const char *
oss_request_body(const OssRequest *request, size_t *len)
{
	const HttpAnswer *answer = oss_http_answer(request->transfer);

	*len = answer->body_len;
	return answer->body;
}

const char *
oss_request_id(const OssRequest *request)
{
	if (request->transfer == NULL)
		return "";
	return oss_http_answer(request->transfer)->request_id;
}

void
oss_request_free(OssRequest *request)
{
	MemoryContextDelete(request->context);
}
