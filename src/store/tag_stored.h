/*-------------------------------------------------------------------------
 * tag_stored.h
 *	  Stored answers for tag(): find one that serves a call, share a request in
 *	  flight, and keep a new answer.
 *
 * All of this runs as the extension's owner, and reads what is committed now at
 * every isolation level, so that no stored answer is paid for again.
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

/* A call of tag() or detect(); strings are in the database's encoding. */
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
 * Check arguments before a request.  Raises 22023; with is_try, returns an error of
 * the image instead of raising it.
 */
extern const OssFailure *oss_stored_check_wish(const OssWish *wish, bool is_try);

/*
 * Return the rows of a stored answer that covers a wish and that the caller may
 * have, in CurrentMemoryContext, or NULL.  Errors, if a new answer could not be
 * stored: 25006 in a read-only transaction without the worker; 40001 under
 * REPEATABLE READ if another transaction has stored the image's labels since the
 * snapshot; those of oss_server_get() if the caller may neither read nor request.
 */
extern DetectRows *oss_stored_find(const OssWish *wish, bool is_try);

/*
 * Has any flight ended since oss_stored_find() last looked?  A caller that boards a
 * flight of its own then looks again: the answer may have been stored in between.
 */
extern bool oss_stored_may_have_come(void);

/*
 * Lower the threshold of a call of tag(), and of its request, to the server's
 * stored_threshold, or to that of the stored answer if it is lower.
 */
extern void oss_stored_ask_for_all(OssWish *wish, OssLabelsSpec *spec);

/*
 * Return why no answer of an image's bucket can be stored now, palloc'd, or NULL: a
 * request would be paid for nothing.  The second raises that, 55000.
 */
extern char *oss_stored_refusal(const OssWish *wish, const OssServer *server);
extern void oss_stored_check_taken(const OssWish *wish, const OssServer *server);

/* An answer to give to the worker. */
typedef struct OssKeep
{
	OssSpoolRecord record;
	OssFlight  *flight;			/* ours, or NULL */
	bool		handed;			/* it was given to the worker */
} OssKeep;

/*
 * Before a request is started: have its answer given to the worker as soon as it
 * arrives.  The wish and CurrentMemoryContext must live as long as the request.
 * Returns NULL if that is impossible: then the caller calls oss_stored_keep().
 */
extern OssKeep *oss_stored_hand_on(const OssWish *wish, OssLabelsSpec *spec,
								   OssFlight *flight);

/* Board the flight of an image; see flight.h. */
extern OssFlight *oss_stored_board(const OssWish *wish, const OssServer *server);

/*
 * Return the rows of the answer to another process's flight, or NULL if it cannot be
 * read: it may be stored, or the request failed.
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
 * Store answers in the caller's transaction.  Leaves out images that others have
 * locked, failed requests, and answers that are no labels document.
 */
extern void oss_stored_keep(const OssArrival *arrivals, int n);

/* The function for oss_detect_keep. */
extern void oss_stored_keep_detected(const Datum *args, const bool *nulls,
									 OssLabelsSpec *spec);

/* The setting oss_labels.keep: store the answers of detect(), too. */
extern bool oss_keep_detected;

#endif							/* OSS_TAG_STORED_H */
