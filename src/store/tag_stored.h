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


#include "call/detect.h"
#include "client/request.h"
#include "datatype/timestamp.h"
#include "store/flight.h"
#include "store/spool.h"
#include "utils/jsonb.h"

/* The arguments of tag(): those of detect(), then these. */
enum TagArgument
{
	TAG_MAX_AGE = DETECT_ARGUMENTS,
	TAG_ETAG,
	TAG_ARGUMENTS
};

/* What is wished for; strings are in the database's encoding. */
typedef struct OssWish
{
	OssImage	image;			/* with the threshold to be asked for, and the
								 * ETag that is wanted, if any is */
	double		least;			/* confidence of the labels that are wanted */
	Interval   *max_age;		/* NULL: any */
	char	   *server;			/* NULL: the only one, or the setting's */
} OssWish;

/*
 * Read the arguments of tag() or detect(), in CurrentMemoryContext.  Returns
 * false when bucket or key is NULL.  Errors: 22023 for an ETag that is too long.
 */
extern bool oss_stored_wish(const Datum *args, const bool *nulls, bool is_tag,
							OssWish *wish);

/*
 * Check arguments that could never be asked for.  Raises 22023, but returns what
 * is wrong with the image itself for who wants a row of it.
 */
extern const OssFailure *oss_stored_check_wish(const OssWish *wish, bool is_try);

/*
 * Return the rows of a stored answer that covers a wish and that the caller may
 * have, in CurrentMemoryContext, or NULL.  Where an answer could not be stored it
 * raises instead: 25006 in a read-only transaction without the worker, 40001 when
 * another one has stored the image's labels since the snapshot of this one was
 * taken, as REPEATABLE READ keeps it; and the errors of oss_server_get() for who
 * may neither read nor ask.
 */
extern DetectRows *oss_stored_find(const OssWish *wish, bool is_try);

/*
 * Have a wish of tag() that no stored answer covers, and its request, ask for all
 * labels: at the server's stored_threshold, and for no less than is stored.
 */
extern void oss_stored_ask_for_all(OssWish *wish, OssLabelsSpec *spec);

/* What hands an answer on: record is what the worker is given. */
typedef struct OssKeep
{
	OssSpoolRecord record;
	OssFlight  *flight;			/* ours, or NULL */
	bool		handed;			/* the worker has it */
} OssKeep;

/*
 * Have the answer of a request that is to be started handed to the worker as
 * soon as it has come.  In CurrentMemoryContext, which with the wish must live
 * as long as the request.  Returns NULL where that cannot be done: then
 * oss_stored_keep() keeps it.
 */
extern OssKeep *oss_stored_hand_on(const OssWish *wish, OssLabelsSpec *spec,
								   OssFlight *flight);

/* Board the flight of an image; see flight.h. */
extern OssFlight *oss_stored_board(const OssWish *wish, const OssServer *server);

/*
 * Return the rows of the answer of somebody else's flight, or NULL when it is not
 * there: it may be stored, or have come to nothing.
 */
extern DetectRows *oss_stored_share(const OssWish *wish, OssFlight *flight,
									bool is_try);

/* An answer to keep. */
typedef struct OssArrival
{
	const OssWish *wish;
	OssRequest *request;		/* finished */
	TimestampTz asked_at;
} OssArrival;

/*
 * Store answers in the caller's transaction, except for those that others have
 * locked, of failed requests and that are no labels document.
 */
extern void oss_stored_keep(const OssArrival *arrivals, int n);

/* As oss_detect_keep(). */
extern void oss_stored_keep_detected(const Datum *args, const bool *nulls,
									 OssLabelsSpec *spec);

/* Setting oss_labels.keep: detect() hands its answers on, too. */
extern bool oss_keep_detected;

#endif							/* OSS_TAG_STORED_H */
