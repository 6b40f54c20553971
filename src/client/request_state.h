/*-------------------------------------------------------------------------
 * request_state.h
 *	  What a labels request is inside, and whether it is sent again.
 *
 * Middle floor; for request.c and request_retry.c alone.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_REQUEST_STATE_H
#define OSS_REQUEST_STATE_H

#include "client/access.h"
#include "client/http.h"
#include "client/request.h"
#include "lib/ilist.h"
#include "protocol/image_labels.h"

typedef enum RequestState
{
	REQUEST_WAITING,			/* node is in the list of those that wait, in
								 * request.c */
	REQUEST_IN_FLIGHT,			/* transfer is set, the rate limit passed */
	REQUEST_DONE				/* node is in group->finished unless taken */
} RequestState;

struct OssGroup
{
	MemoryContext context;
	dlist_head	finished;
	OssCounters counters;
};

/*
 * A request.  transfer belongs to context and is kept while the answer may be
 * looked at.  rule and xml are set by a failure.  Times are oss_http_now()'s;
 * deadline is 0 until the first attempt goes out or a call waits for it.
 */
struct OssRequest
{
	MemoryContext context;
	MemoryContextCallback reset;
	dlist_node	node;
	bool		listed;
	RequestState state;
	OssGroup   *group;
	void	   *tag;
	OssServer  *server;
	OssAccess  *access;
	char	   *bucket;
	char	   *key;
	char	   *version_id;
	char		process[OSS_LABELS_PROCESS_MAX];
	int			attempts;		/* sent */
	int			charged;		/* of those, counted against max_attempts */
	int			max_attempts;
	bool		suspect;		/* see OssLabelsSpec */
	bool		trial;			/* the attempt in flight, for access */
	bool		clock_corrected;
	bool		key_renewed;
	char		key_id[CREDENTIAL_ID_MAX + 1];	/* that signed the attempt in
												 * flight */
	bool		awaited;		/* by a call */
	bool		queued;			/* a job of the queue */
	bool		wants_key;		/* credentials are being fetched */
	int64		due;			/* not before */
	int64		sent;			/* the last attempt */
	long		took_ms;		/* its answer; 0 without one */
	int64		deadline;
	HttpTransfer *transfer;
	const OssFailureRule *rule;
	OssScope	scope;			/* of rule */
	bool		refused;		/* by rule, without being sent for it */
	const OssFailure *failure;
	OssErrorXml xml;			/* last: large, and unset without a failure */
};

/* In how many ms it is too late for an attempt; never 0, -1 without deadline. */
extern long oss_time_left(const OssRequest *request, int64 now);

/* Would an attempt sent at that time be too late for its answer to be used? */
extern bool oss_too_late(const OssRequest *request, int64 when);

/*
 * Decide after a failed attempt, whose rule is set, whether to send another;
 * *due says when, 0 at once.  Does not throw.  protocol/README.md 4.2.
 */
extern bool oss_retry(OssRequest *request, const HttpAnswer *answer,
					  int64 *due);

#endif							/* OSS_REQUEST_STATE_H */
