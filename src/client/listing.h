/*-------------------------------------------------------------------------
 * listing.h
 *	  The objects of a bucket, page by page.
 *
 * Row by row, blocking:
 *
 *		listing = oss_listing_begin(context, &spec);		-- never blocks
 *		while ((object = oss_listing_next(listing)) != NULL)
 *			...
 *		oss_listing_end(listing);
 *
 * The first page is asked for alone; once 100 objects of a page are read, or
 * half of it, the next one is asked for.
 *
 * Page by page, for who drives the network itself, as the worker does, and asks
 * for a page when it has room for it:
 *
 *		oss_listing_ask(listing);							-- never blocks
 *		oss_network_wait(...);
 *		switch (oss_listing_turn(listing)) ...				-- never blocks
 *			while ((object = oss_listing_object(listing)) != NULL)
 *				...
 *
 * A page is parsed and checked before any of its objects is returned, so that
 * an object is returned once, in the order of the keys' bytes, or not at all.
 * What fails in the middle is asked for again from the last key on, as often
 * as the server's max_attempts says: a continuation token may have expired.  A
 * bucket that changes meanwhile shows a changed object as it was or as it is.
 *
 * Everything belongs to a memory context, whose end cancels what is in flight.
 * Only oss_listing_begin() needs a transaction, for its server.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_LISTING_H
#define OSS_LISTING_H

#include "client/failure.h"
#include "client/image.h"
#include "client/server.h"
#include "datatype/timestamp.h"

/* Objects of a page at most. */
#define OSS_PAGE_MAX 1000

typedef struct OssListing OssListing;

/*
 * What to list.  oss_listing_begin() copies it; strings are in UTF-8, NULL: not
 * given.  oss_list_failure() must have returned NULL for it.
 */
typedef struct OssListSpec
{
	OssServer  *server;
	const char *bucket;
	const char *prefix;
	const char *start_after;	/* list keys above this one, which need be no
								 * object's */
	const char *stop_at;		/* list keys below this one */
	bool		versions;		/* all versions, and delete markers */
	int64		max_objects;	/* how many are wanted at most, 0: unknown; no
								 * page is asked for above that, and the
								 * listing ends there */
	bool		queued;			/* as in OssLabelsSpec */
} OssListSpec;

/* An object, valid until the listing is asked for the next one or its turn. */
typedef struct OssListed
{
	const char *key;			/* what should be UTF-8: may contain any byte,
								 * NUL too; another NUL follows */
	size_t		key_len;
	int64		size;			/* -1: unknown, as of a delete marker */
	char		etag[OSS_ETAG_MAX + 1]; /* by oss_etag_read(), or "" */
	TimestampTz last_modified;	/* 0: unknown */
	const char *storage_class;	/* as the service spells it, or "" */
	const char *object_type;	/* the same */
	bool		restored;		/* archived, and can be read at present */
	const char *version_id;		/* "" without versions */
	bool		is_latest;		/* true without versions */
	bool		delete_marker;
} OssListed;

typedef enum OssListingTurn
{
	OSS_LISTING_IDLE,			/* no page is asked for: oss_listing_ask(), or
								 * oss_listing_is_last() */
	OSS_LISTING_PENDING,		/* a page is asked for */
	OSS_LISTING_PAGE,			/* a page has come: read it with
								 * oss_listing_object() */
	OSS_LISTING_FAILED			/* see oss_listing_failure() */
} OssListingTurn;

/*
 * Check what to list, apart from the server.  Returns NULL, or a failure (22023)
 * in CurrentMemoryContext: InvalidBucketName, or InvalidPrefix of a prefix or
 * start_after.
 */
extern const OssFailure *oss_list_failure(const OssListSpec *spec);

/* Begin a listing in a child of parent.  Requests nothing yet. */
extern OssListing *oss_listing_begin(MemoryContext parent, const OssListSpec *spec);

/*
 * Return the next object, or NULL after the last one.  Waits for pages, and asks
 * for them ahead.  Errors: those of the error table; 57014 and the like.
 */
extern const OssListed *oss_listing_next(OssListing *listing);

/*
 * Ask for the next page, unless one is asked for or none is left.  It may be asked
 * for while one is read.  Errors: 53200.
 */
extern void oss_listing_ask(OssListing *listing);

/*
 * Say how far the listing is.  OSS_LISTING_PAGE lasts until oss_listing_object()
 * has returned NULL; a page may have no object.
 */
extern OssListingTurn oss_listing_turn(OssListing *listing);

/* Return the next object of the page, or NULL after its last one. */
extern const OssListed *oss_listing_object(OssListing *listing);

/* Is nothing left but what the present page has, or has had? */
extern bool oss_listing_is_last(const OssListing *listing);

/* Return why it failed, valid as long as the listing, or NULL. */
extern const OssFailure *oss_listing_failure(const OssListing *listing);

/* Return the number of attempts sent so far. */
extern int64 oss_listing_requests(const OssListing *listing);

/* Cancel what is in flight, and free it. */
extern void oss_listing_end(OssListing *listing);

#endif							/* OSS_LISTING_H */
