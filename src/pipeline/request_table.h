/*-------------------------------------------------------------------------
 * request_table.h
 *	  The requests of a query, shared by all its pipeline nodes: equal ones are
 *	  sent once, and the query's concurrency is limited.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_REQUEST_TABLE_H
#define OSS_REQUEST_TABLE_H


#include "nodes/execnodes.h"
#include "pipeline/labels.h"
#include "pipeline/pipeline.h"
#include "store/tag_stored.h"

typedef struct PipelineQuery PipelineQuery;
typedef struct PipelineAnswer PipelineAnswer;

/*
 * A node's membership in its query.  The node sets window.  started, delivered and
 * outstanding count requests, not rows.  started <= 2 * delivered + 1, except for
 * requests that the current row waits for.  outstanding counts requests whose answers some
 * row still needs.
 */
typedef struct PipelineMember
{
	PipelineQuery *query;
	struct PipelineWindow *window;
	OssGroup   *group;
	const int  *above;			/* rows that a node above has read ahead, each
								 * one of ours, or NULL */
	bool		running;		/* has started to read and not reached the end */
	int64		started;
	int64		delivered;
	int			outstanding;
	int64		coalesced;		/* rows that shared a request */
	int64		lost;			/* sent, dropped and never delivered */
} PipelineMember;

/*
 * Join the query of estate, until oss_pipeline_leave() or the end of estate.
 */
extern PipelineMember *oss_pipeline_join(EState *estate);

/*
 * Leave the query.  When the last member leaves, requests in flight are
 * cancelled and everything is freed.
 */
extern void oss_pipeline_leave(PipelineMember *member);

/* Return the members of the query of estate. */
extern List *oss_pipeline_members(EState *estate);

/* Return how many requests the member sent without delivering a row. */
extern int64 oss_pipeline_undelivered(const PipelineMember *member);

/* Return the limit of the query's requests in flight. */
extern int	oss_pipeline_member_concurrency(const PipelineMember *member);

/* May the member start a request ahead of the current row? */
extern bool oss_pipeline_may_start(const PipelineMember *member);

/* Return how many requests are started, at most, until the last of so many is delivered. */
extern double oss_pipeline_most_started(const PipelineMember *member, double delivered);

/*
 * Return the answer of an equal request, finished or not, with a reference;
 * NULL if there is none.
 */
extern PipelineAnswer *oss_pipeline_find(PipelineMember *member,
										 OssFunction which,
										 const OssLabelsSpec *spec);

/*
 * Start a request for which oss_pipeline_find() returned NULL and
 * oss_pipeline_may_start() true, or after oss_pipeline_wait_turn().  With a
 * wish, the answer is stored for it when it arrives; flight, in a context of its
 * own, is ours or NULL.  The result has one reference.  Errors: those of
 * oss_request_start().
 */
extern PipelineAnswer *oss_pipeline_start(PipelineMember *member,
										  OssFunction which,
										  const OssLabelsSpec *asked,
										  const OssWish *wish,
										  OssFlight *flight);

/* Has the request finished? */
extern bool oss_pipeline_done(const PipelineAnswer *answer);

/* The same, and will it give rows? */
extern bool oss_pipeline_succeeded(const PipelineAnswer *answer);

/* Run the event loop without waiting. */
extern void oss_pipeline_poll(PipelineMember *member);

/* Run the event loop until something changes; the answer is not done yet. */
extern void oss_pipeline_wait(const PipelineAnswer *answer);

/* Wait until the query may have another request in flight. */
extern void oss_pipeline_wait_turn(PipelineMember *member);

/*
 * Return the rows of an answer that is done, valid while it is referenced, of the
 * labels whose confidence is at least "least" or missing; in CurrentMemoryContext
 * unless these are all.  desc describes the function's result.  Errors: those of
 * oss_detect_rows().
 */
extern const PipelineLabels *oss_pipeline_labels(PipelineAnswer *answer,
												 TupleDesc desc, double least);

/* Return the document of detect_json() likewise, valid as long. */
extern Datum oss_pipeline_json(PipelineAnswer *answer);

/*
 * Drop a reference; delivered: all its rows were returned.  Without
 * references, an answer is kept for equal requests within work_mem, and an
 * unfinished one is cancelled.
 */
extern void oss_pipeline_release(PipelineAnswer *answer, bool delivered);

#endif							/* OSS_REQUEST_TABLE_H */
