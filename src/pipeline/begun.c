/*-------------------------------------------------------------------------
 * begun.c
 *	  What has been begun ahead for the calls of the queries that are running.
 *
 * A call is answered from the current row of any window of the query that makes it, or
 * of one that runs that: the call may stand in the body of a function.  Not from those
 * of suspended queries, such as cursors: whoever calls then wants an answer of now.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "executor/executor.h"
#include "pipeline/begun.h"
#include "pipeline/window.h"

/* The queries that are running, from the innermost one. */
typedef struct Running
{
	EState	   *estate;
	struct Running *around;
} Running;

static Running *running = NULL;

static ExecutorRun_hook_type prev_run_hook = NULL;
static ExecutorFinish_hook_type prev_finish_hook = NULL;

static void
on_run(OSS_RUN_PARAMETERS)
{
	Running		here = {desc->estate, running};

	running = &here;
	PG_TRY();
	{
		if (prev_run_hook)
			prev_run_hook(OSS_RUN_ARGUMENTS);
		else
			standard_ExecutorRun(OSS_RUN_ARGUMENTS);
	}
	PG_FINALLY();
	{
		running = here.around;
	}
	PG_END_TRY();
}

/* Data-modifying CTEs are run to their end here. */
static void
on_finish(QueryDesc *desc)
{
	Running		here = {desc->estate, running};

	running = &here;
	PG_TRY();
	{
		if (prev_finish_hook)
			prev_finish_hook(desc);
		else
			standard_ExecutorFinish(desc);
	}
	PG_FINALLY();
	{
		running = here.around;
	}
	PG_END_TRY();
}

EState *
oss_begun_query(void)
{
	Running    *r = running;

	while (r != NULL && r->around != NULL)
		r = r->around;
	return r != NULL ? r->estate : NULL;
}

bool
oss_begun_follows(const EState *estate)
{
	for (Running *r = running; r != NULL; r = r->around)
	{
		if (r->estate == estate)
			return true;
	}
	return false;
}

/* Find what was begun for a call, and whose window it is in. */
static PipelineCall *
find_begun(OssFunction which, const NullableDatum *args, PipelineWindow **window)
{
	for (Running *r = running; r != NULL; r = r->around)
	{
		ListCell   *lc;

		foreach(lc, oss_pipeline_members(r->estate))
		{
			PipelineCall *call;

			*window = ((PipelineMember *) lfirst(lc))->window;
			call = oss_window_find(*window, which, args);
			if (call != NULL)
				return call;
		}
	}
	return NULL;
}

/* oss_answer_begun */
static bool
answer_begun(OssFunction which, FunctionCallInfo fcinfo, const OssResult *result, Datum *value)
{
	PipelineWindow *window;
	PipelineCall *call = find_begun(which, fcinfo->args, &window);
	const PipelineLabels *labels;
	MemoryContext old;

	if (call == NULL)
		return false;

	/* the outer side must not be read with the rights of a function's owner */
	if (!oss_window_await(window, call,
						  fcinfo->flinfo->fn_mcxt == window->estate->es_query_cxt))
		return false;
	if (which == OSS_DETECT_JSON)
	{
		*value = oss_pipeline_json(call->answer);
		return true;
	}
	old = MemoryContextSwitchTo(window->turn_context);
	labels = call->answer != NULL ?
		oss_pipeline_labels(call->answer, result->desc, call->least) : call->labels;
	MemoryContextSwitchTo(old);
	oss_result_add_tuples(result, labels->tuples, labels->n);
	return true;
}

void
oss_begun_init(void)
{
	oss_answer_begun = answer_begun;
	prev_run_hook = ExecutorRun_hook;
	ExecutorRun_hook = on_run;
	prev_finish_hook = ExecutorFinish_hook;
	ExecutorFinish_hook = on_finish;
}
