/*-------------------------------------------------------------------------
 * tag_stored.h
 *	  The store as tag() uses it: finding an answer, waiting for another
 *	  session that requests it, and storing a new one.
 *
 * Top floor.  These functions run as the extension's owner and see all
 * committed rows whatever the isolation level, since an answer that is stored
 * must not be paid for again.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_TAG_STORED_H
#define OSS_TAG_STORED_H

#include "postgres.h"

#include "call/detect.h"
#include "client/request.h"
#include "datatype/timestamp.h"
#include "utils/jsonb.h"

/* The arguments of tag(): those of detect(), then max_age. */
#define TAG_MAX_AGE		DETECT_ARGUMENTS
#define TAG_ARGUMENTS	(DETECT_ARGUMENTS + 1)

/* The arguments of a call of tag(); strings are in the database's encoding. */
typedef struct OssWish
{
	OssImage	image;
	Interval   *max_age;		/* NULL: no limit */
} OssWish;

/*
 * Set *wish from the arguments of tag(), in CurrentMemoryContext.  Returns
 * false if bucket or key is NULL.
 */
extern bool oss_stored_wish(const Datum *args, const bool *nulls, OssWish *wish);

/* Check a wish.  Errors: 22023. */
extern void oss_stored_check_wish(const OssWish *wish);

/*
 * Return the rows of a stored answer that covers a wish, in
 * CurrentMemoryContext; NULL if there is none.  Errors, if an answer could
 * not be stored either: 25006 in a read-only transaction, as on a standby;
 * 40001 if another transaction has stored the image's labels since the
 * snapshot of this REPEATABLE READ transaction.
 */
extern DetectRows *oss_stored_find(const OssWish *wish);

/*
 * Lock an image against other sessions that would request it too.  Without
 * wait, returns false if another session has the lock, or a job is in hand
 * whose answer will cover the wish.  With wait, waits for both (10 s at most
 * for a job), and returns false if waiting for the lock would be a deadlock.
 */
extern bool oss_stored_lock(const OssWish *wish, bool wait);

/* An answer to store. */
typedef struct OssArrival
{
	const OssWish *wish;
	OssRequest *request;		/* finished */
	TimestampTz asked_at;
} OssArrival;

/*
 * Store answers, skipping those of failed requests and those that are no
 * labels document.  Then unlock their images, except for the first ones that
 * a transaction locks.
 */
extern void oss_stored_keep(const OssArrival *arrivals, int n);

/* Store a document.  Returns false if a newer one is stored already. */
extern bool oss_stored_keep_document(const OssWish *wish, Jsonb *document,
									 TimestampTz asked_at);

#endif							/* OSS_TAG_STORED_H */
