/*-------------------------------------------------------------------------
 * request_settle.c
 *	  The cost of each attempt, settled once however it ends.
 *
 * An attempt ends with an answer, with the request's memory, which an error or
 * a cancel frees, or with the process.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/request_state.h"
#include "client/usage.h"
#include "storage/ipc.h"

static dlist_head in_flight = DLIST_STATIC_INIT(in_flight);

/* Settle what is in flight when the process ends. */
static void
settle_at_exit(int code, Datum arg)
{
	dlist_iter	iter;

	dlist_foreach(iter, &in_flight)
	{
		OssRequest *request = dlist_container(OssRequest, node, iter.cur);

		oss_attempt_settle(request, oss_outcome_of_lost(request->on_wire), 0);
	}
}

OssBudgetAnswer
oss_attempt_look(const OssRequest *request, OssBudgetRefusal *why)
{
	return oss_budget_look(request->server, request->bucket, request->kind,
						   request->queued, why);
}

OssBudgetAnswer
oss_attempt_begin(OssRequest *request, OssBudgetRefusal *why)
{
	OssBudgetAnswer answer;

	Assert(!request->unsettled);
	answer = oss_budget_reserve(request->server, request->bucket, request->kind,
								request->queued, &request->reservation, why);
	request->unsettled = answer == OSS_BUDGET_OPEN;
	return answer;
}

OssFailure *
oss_attempt_refusal(OssRequest *request, const OssBudgetRefusal *why, const char *what)
{
	OssFailure *failure = oss_failure_make(why->code, why->detail, what);

	failure->unsent = true;
	failure->budget = why->budget;
	failure->budget_scope = why->scope;
	failure->until = why->until;
	request->group->counters.over_budget++;
	oss_usage_over_budget(request->server, request->bucket);
	return failure;
}

void
oss_attempt_list(OssRequest *request)
{
	static bool registered = false;

	if (!registered)
		before_shmem_exit(settle_at_exit, 0);
	registered = true;
	Assert(!request->listed);
	dlist_push_tail(&in_flight, &request->node);
	request->listed = true;
}

void
oss_attempt_settle(OssRequest *request, OssOutcome outcome, int64 bytes)
{
	if (!request->unsettled)
		return;
	request->unsettled = false;
	request->costs += oss_outcome_costs(outcome);
	oss_budget_settle(&request->reservation, oss_outcome_costs(outcome),
					  outcome != OSS_OUTCOME_UNSENT);
	elog(DEBUG2, "an attempt for bucket \"%s\" of server \"%s\" was %s",
		 request->bucket, request->server->name, oss_outcome_name(outcome));
	oss_usage_attempt(request->server, request->bucket, request->kind, outcome, bytes);
}

int
oss_request_costs(const OssRequest *request)
{
	return request->costs;
}
