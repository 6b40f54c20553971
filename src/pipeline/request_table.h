/*-------------------------------------------------------------------------
 * request_table.h
 *	  The answers of one query, shared by all pipeline nodes in it: equal
 *	  requests are one, and no more are in flight than the setting allows.
 *
 * Top floor.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_REQUEST_TABLE_H
#define OSS_REQUEST_TABLE_H

#include "postgres.h"

#include "access/htup.h"
#include "access/tupdesc.h"
#include "nodes/execnodes.h"
#include "pipeline/pipeline.h"
#include "store/tag_stored.h"

typedef struct PipelineQuery PipelineQuery;
typedef struct PipelineAnswer PipelineAnswer;

/*
 * One node's part in its query.  started, delivered and outstanding count
 * requests, not rows: started <= 2 * delivered + 1, but for a request that the
 * row whose turn it is waits for.  outstanding are those that some row still
 * is to be joined with.
 */
typedef struct PipelineMember
{
	PipelineQuery *query;
	OssGroup   *group;
	bool		running;		/* began to read and is not at its end */
	int64		started;
	int64		delivered;
	int			outstanding;
	int64		coalesced;		/* rows that shared a request */
	int64		lost;			/* sent, dropped and never delivered */
} PipelineMember;

/* The label rows of an answer, in the columns of the function. */
typedef struct PipelineLabels
{
	int			n;
	MinimalTuple *tuples;
} PipelineLabels;

/* Join the query that runs in estate.  Ends with the estate, or at leave. */
extern PipelineMember *oss_pipeline_join(EState *estate);

/*
 * Leave the query.  The last one to leave cancels what is in flight and frees
 * everything.
 */
extern void oss_pipeline_leave(PipelineMember *member);

/* Requests that the member sent and did not deliver. */
extern int64 oss_pipeline_undelivered(const PipelineMember *member);

/* Requests that the query may have in flight: oss_labels.concurrency. */
extern int	oss_pipeline_member_concurrency(const PipelineMember *member);

/* May the member start a request ahead of the row whose turn it is? */
extern bool oss_pipeline_may_start(const PipelineMember *member);

/*
 * Get the answer of a request, with a reference: one that is there or under
 * way, else NULL.
 */
extern PipelineAnswer *oss_pipeline_find(PipelineMember *member,
										 OssFunction which,
										 const OssLabelsSpec *spec);

/*
 * Start a request that oss_pipeline_find() did not find; the caller has seen to
 * oss_pipeline_may_start() or oss_pipeline_wait_turn().  With a wish, the answer is
 * kept in the store for it as soon as it is there.  Errors: as
 * oss_request_start().
 */
extern PipelineAnswer *oss_pipeline_start(PipelineMember *member,
										  OssFunction which,
										  const OssLabelsSpec *spec,
										  const OssWish *wish);

/* Is an answer there, or a failure? */
extern bool oss_pipeline_done(const PipelineAnswer *answer);

/* Drive the network without waiting. */
extern void oss_pipeline_poll(PipelineMember *member);

/* Drive the network until something changed; the answer is not done yet. */
extern void oss_pipeline_wait(const PipelineAnswer *answer);

/* Wait until the query has less in flight than it may. */
extern void oss_pipeline_wait_turn(PipelineMember *member);

/*
 * Return the rows of an answer that is done; valid while it is referenced.
 * desc describes the function's result.  Errors: those of oss_detect_rows().
 */
extern const PipelineLabels *oss_pipeline_labels(PipelineAnswer *answer,
												 TupleDesc desc);

/*
 * Drop a reference.  delivered says whether all of its rows were given out.
 * An answer without references is kept for equal requests to come, as far as
 * work_mem goes, and cancelled when it is under way.
 */
extern void oss_pipeline_release(PipelineAnswer *answer, bool delivered);

/* Make labels of rows, in CurrentMemoryContext. */
extern PipelineLabels *oss_pipeline_make_labels(const DetectRows *rows,
												TupleDesc desc);

/* Turn a spec's failure into rows in CurrentMemoryContext, or raise it. */
extern PipelineLabels *oss_pipeline_failure_labels(const OssFailure *failure,
												   OssFunction which,
												   TupleDesc desc);

#endif							/* OSS_REQUEST_TABLE_H */
