/*-------------------------------------------------------------------------
 * tag_stored.h
 *	  Stored answers as tag() sees them: is one there that will do, who is
 *	  about to bring one, and keeping a new one.
 *
 * Top floor.  All of this runs as the extension's owner, and sees what others
 * have committed up to now whatever the transaction's isolation: an answer
 * that is there must not be paid for again.
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

/* What is wished for; strings are in the database's encoding. */
typedef struct OssWish
{
	OssImage	image;
	Interval   *max_age;		/* NULL: any */
} OssWish;

/*
 * Read the arguments of tag(), in CurrentMemoryContext.  Returns false when
 * bucket or key is NULL.
 */
extern bool oss_stored_wish(const Datum *args, const bool *nulls, OssWish *wish);

/* Raise 22023 for arguments that could never be asked for. */
extern void oss_stored_check_wish(const OssWish *wish);

/*
 * Return the rows of a stored answer that covers a wish, in
 * CurrentMemoryContext, or NULL.  Where no answer could be stored it raises
 * instead: 25006 in a read-only transaction, as on a standby, 40001 when
 * another one has stored the image's labels since the snapshot of this one was
 * taken, as REPEATABLE READ keeps it.
 */
extern DetectRows *oss_stored_find(const OssWish *wish);

/*
 * Lock an image against others that would ask for it too.  Without wait,
 * returns false when somebody else has it, or a job whose answer will do.  With
 * wait, waits for either and returns false when that would never end: the other
 * one waits for us.  A job is waited for 10 s at most.
 */
extern bool oss_stored_lock(const OssWish *wish, bool wait);

/* An answer to keep. */
typedef struct OssArrival
{
	const OssWish *wish;
	OssRequest *request;		/* finished */
	TimestampTz asked_at;
} OssArrival;

/*
 * Keep answers: those of failed requests and those that are no labels document
 * are left out.  Then unlock their images unless few are locked yet.
 */
extern void oss_stored_keep(const OssArrival *arrivals, int n);

/*
 * Keep one document.  Returns false when a younger one is there.
 */
extern bool oss_stored_keep_document(const OssWish *wish, Jsonb *document,
									 TimestampTz asked_at);

#endif							/* OSS_TAG_STORED_H */
