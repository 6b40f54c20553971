/*-------------------------------------------------------------------------
 * request.h
 *	  Requests for labels, with credentials, signature, rate limit, retries,
 *	  clock correction and deadline.
 *
 * Upper rooms request labels through this file; check_server() probes with
 * probe.h, and presign() signs with signed_request.h.
 *
 * A group is the set of requests of one caller: one for a detect() call, a
 * window for a pipeline node, hundreds for the worker.  A group returns its
 * requests in the order in which they finish.  All groups of a process share
 * the event loop, the connections and each server's limits.
 *
 *		group = oss_group_create(context);
 *		oss_request_start(group, &spec, tag);		-- never blocks
 *		req = oss_group_wait(group, -1);			-- next finished one
 *		if ((failure = oss_request_failure(req)) == NULL)
 *			body = oss_request_body(req, &len);
 *		oss_request_free(req);
 *
 * Everything belongs to the group's memory context: deleting that, as the
 * executor does on error, cancels requests in flight.  No transaction is needed
 * between start and the end of the wait.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_REQUEST_H
#define OSS_REQUEST_H

#include "client/failure.h"
#include "client/image.h"
#include "client/outcome.h"
#include "client/server.h"
#include "datatype/timestamp.h"
#include "protocol/list_xml.h"

typedef struct OssGroup OssGroup;
typedef struct OssRequest OssRequest;

/* A page of a listing; strings are in UTF-8, or NULL; "" are left out. */
typedef struct OssListQuery
{
	bool		versions;
	int			max_keys;
	const char *prefix;
	const char *token;			/* where the page begins, for the first
								 * attempt; without versions alone */
	const char *start_after;	/* the same for the next ones, as tokens end,
								 * and without a token */
	const char *version_after;
} OssListQuery;

/* What to request.  oss_request_start() copies it; strings are in UTF-8. */
typedef struct OssLabelsSpec
{
	OssServer  *server;
	OssImage	image;
	int			max_attempts;	/* 0: option of the server */
	bool		queued;			/* a job, whose timeout runs while this
								 * process works on tables */
	bool		suspect;		/* throttles are due to the object and must
								 * not lower the bucket's rate */
	bool		head;			/* ask for its headers alone, which are the
								 * body then: thr does not count */
	const OssListQuery *list;	/* ask for a page of the image's bucket, whose
								 * prefix its key is then */

	/* called when it has ended, whoever drives the network; must not throw */
	void		(*arrived) (const OssRequest *request, void *arg);
	void	   *arrived_arg;
} OssLabelsSpec;

/* Counters of a group.  requests counts all attempts sent. */
typedef struct OssCounters
{
	int64		requests;
	int64		retries;
	int64		throttled;
	int64		over_budget;	/* requests that were refused before they were
								 * sent */
	int64		bytes_received;
	int			in_flight;		/* sent, without response yet */
	int			most_in_flight;
	int			unfinished;		/* started and not finished: waiting or in
								 * flight */
} OssCounters;

/* Make an empty group in a child context of parent. */
extern OssGroup *oss_group_create(MemoryContext parent);

/* Cancel the group's requests and free it. */
extern void oss_group_free(OssGroup *group);

/* Return the group's counters, valid as long as the group. */
extern const OssCounters *oss_group_counters(const OssGroup *group);

/*
 * Start a request.  It is sent as soon as credentials are there and the
 * server's limits permit, perhaps at once.  oss_image_failure() must have
 * returned NULL for the image.  Errors: 53200, of a lack of memory before it
 * is started.
 */
extern OssRequest *oss_request_start(OssGroup *group,
									 const OssLabelsSpec *spec, void *tag);

/*
 * Note that a call waits for this request: the server's timeout_ms starts,
 * and the request goes before those that no call waits for.  If rate, holds,
 * concurrency or credentials do not let it start in time, it fails without
 * being sent (53400 RateLimitTimeout, 28000 CredentialsUnavailable).
 * Otherwise timeout_ms starts with the first attempt: a request that was
 * started ahead, or a job, may wait.
 */
extern void oss_request_await(OssRequest *request);

/* The same for the group's first waiting request. */
extern void oss_group_await(OssGroup *group);

/* in request_kind.c: check the image of a request, as oss_image_failure() does */
extern const OssFailure *oss_spec_failure(const OssLabelsSpec *spec);

/*
 * Return the next finished request of the group, waiting up to timeout_ms
 * (-1: no limit, 0: do not wait).  Returns NULL on timeout, if the group has
 * no unfinished requests, or if somebody set the process latch (after
 * handling interrupts, which may throw 57014, 57P01, ...).
 */
extern OssRequest *oss_group_wait(OssGroup *group, long timeout_ms);

/* Return the next finished request, or NULL, without running the loop. */
extern OssRequest *oss_group_next(OssGroup *group);

/*
 * Drive the network of this process, for whichever groups, until something
 * happened, the latch was set or timeout_ms is over.  May throw for interrupts.
 */
extern void oss_network_wait(long timeout_ms);

extern bool oss_request_done(const OssRequest *request);

/* in request_retry.c: has it failed?  Allocates nothing. */
extern bool oss_request_failed(const OssRequest *request);

/* Return the tag given to oss_request_start(). */
extern void *oss_request_tag(const OssRequest *request);

/*
 * Return the failure of a finished request, composed at the first call and
 * valid as long as the request; NULL if a response with status 200 came, and
 * for a listing a page in it.
 */
extern const OssFailure *oss_request_failure(const OssRequest *request);

/*
 * in request_kind.c: return what is requested, palloc'd, as errors name it:
 * labels of "oss://bucket/key".
 */
extern const char *oss_request_what(const OssRequest *request);

/* Return the body of the response, unchecked, and its length. */
extern const char *oss_request_body(const OssRequest *request, size_t *len);

/* in request_kind.c: return the page of a listing, which has not failed. */
extern OssListPage *oss_request_page(OssRequest *request);

/* Return x-oss-request-id of the response, "" without one. */
extern const char *oss_request_id(const OssRequest *request);

/* in request_retry.c: return the image that it is for, in UTF-8, without thr. */
extern OssImage oss_request_image(const OssRequest *request);

/*
 * in request_retry.c: write what the headers of the response say of the object's
 * content, an empty ETag and 0 if nothing.  Never throws nor allocates.
 */
extern void oss_request_identity(const OssRequest *request,
								 char etag[OSS_ETAG_MAX + 1], TimestampTz *last_modified);

/* in request_retry.c: return the number of attempts sent. */
extern int	oss_request_attempts(const OssRequest *request);

/* in request_settle.c: return the number of those that are billed or may be. */
extern int	oss_request_costs(const OssRequest *request);

/*
 * Remove a request from its group, cancelling it if unfinished, and free it.
 */
extern void oss_request_free(OssRequest *request);

/* in request_kind.c: the setting oss_labels.max_response_size, in kB */
extern int	oss_max_response_kb;

#endif							/* OSS_REQUEST_H */
