/*-------------------------------------------------------------------------
 * request.h
 *	  Labels requests: from a server and a key to an answer or a failure,
 *	  with credentials, signature, retries, clock correction and deadline.
 *
 * Middle floor.  Upper rooms request labels through this file; check_server()
 * probes with probe.h, and presign() signs with signed_request.h.
 *
 * A group is one caller's requests: a detect() call has one in it, a pipeline
 * node a window of them, the worker hundreds.  Finished requests queue up in
 * their group in the order in which they finish.  Groups of one process share
 * the event loop, the connections and each server's limits.
 *
 *		group = oss_group_create(context);
 *		oss_request_start(group, &spec, tag);		-- never blocks
 *		req = oss_group_wait(group, -1);			-- next finished one
 *		if ((failure = oss_request_failure(req)) == NULL)
 *			body = oss_request_body(req, &len);
 *		oss_request_free(req);
 *
 * Everything belongs to the group's memory context: deleting it (on error the
 * executor does so) cancels what is in flight.  No transaction is needed
 * between start and the end of the wait.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_REQUEST_H
#define OSS_REQUEST_H

#include "postgres.h"

#include "client/failure.h"
#include "client/image.h"
#include "client/server.h"

/*
 * What is asked.  Copied by oss_request_start(); strings are in UTF-8.
 */
typedef struct OssLabelsSpec
{
	OssServer  *server;
	OssImage	image;
	int			max_attempts;	/* 0: the server's option */
	bool		queued;			/* a job of the queue, whose time goes on
								 * while this process works on tables */
	bool		suspect;		/* a throttle is this object's own: it says
								 * nothing of the rate that others may have */
} OssLabelsSpec;

typedef struct OssGroup OssGroup;
typedef struct OssRequest OssRequest;

/* What a group has done so far; requests counts every attempt sent. */
typedef struct OssCounters
{
	int64		requests;
	int64		retries;
	int64		throttled;
	int64		bytes_received;
	int			in_flight;		/* sent and not answered */
	int			most_in_flight;
	int			unfinished;		/* started by the caller and not finished:
								 * waiting or in flight */
} OssCounters;

/* Make an empty group whose memory is a child of parent. */
extern OssGroup *oss_group_create(MemoryContext parent);

/* Cancel everything in the group and free it. */
extern void oss_group_free(OssGroup *group);

/* The group's counters. */
extern const OssCounters *oss_group_counters(const OssGroup *group);

/*
 * Put a request into the group.  It goes out at once when its credentials are
 * there and the server's limits allow, else as soon as they do.  The caller
 * has seen to it that oss_image_failure() has nothing to say.
 */
extern OssRequest *oss_request_start(OssGroup *group,
									 const OssLabelsSpec *spec, void *tag);

/*
 * A call waits for this request from now on: the server's timeout_ms begins, and
 * the request goes before those that nobody waits for.  Rate, holds, concurrency
 * or credentials that do not let it go in time make it fail (53400
 * RateLimitTimeout, 28000 CredentialsUnavailable), with nothing sent.  Without
 * this the time begins when the first attempt goes out: a request started ahead
 * of its call stands in our own line, and a job of the queue may wait.
 */
extern void oss_request_await(OssRequest *request);

/* Let a call wait for whatever of the group is first in line. */
extern void oss_group_await(OssGroup *group);

/*
 * Check an image without sending anything; strings are in UTF-8.  Returns NULL, or what is wrong (22023) in CurrentMemoryContext: InvalidBucketName,
 * InvalidObjectName and InvalidVersionId belong to the image, InvalidThreshold
 * to the set-up.
 */
extern const OssFailure *oss_image_failure(const OssImage *image);

/* in image.c: raise that failure, if there is one. */
extern void oss_image_check(const OssImage *image);

/*
 * Return the next finished request of the group, waiting up to timeout_ms
 * (-1: no limit, 0: do not wait) for one.  Returns NULL on timeout, when the
 * group has nothing unfinished, or when the process latch was set by somebody
 * (after interrupts were handled, which may throw 57014, 57P01, ...).
 */
extern OssRequest *oss_group_wait(OssGroup *group, long timeout_ms);

/* Return the next finished request, or NULL, without a turn of the loop. */
extern OssRequest *oss_group_next(OssGroup *group);

/* Has this one finished? */
extern bool oss_request_done(const OssRequest *request);

/* The tag given at the start. */
extern void *oss_request_tag(const OssRequest *request);

/* The failure, or NULL when an answer with status 200 came. */
extern const OssFailure *oss_request_failure(const OssRequest *request);

/* What it asks for, as errors name it: labels of "oss://bucket/key". */
extern const char *oss_request_what(const OssRequest *request);

/* The answer's body as it came: bytes of UTF-8 JSON, nothing checked yet. */
extern const char *oss_request_body(const OssRequest *request, size_t *len);

/* x-oss-request-id of the answer, "" when there was none. */
extern const char *oss_request_id(const OssRequest *request);

/* Requests sent for it. */
extern int	oss_request_attempts(const OssRequest *request);

/* Take it out of its group, cancelling it when unfinished, and free it. */
extern void oss_request_free(OssRequest *request);

/* Settings: see oss_labels.c. */
extern int	oss_max_response_kb;

#endif							/* OSS_REQUEST_H */
