/*-------------------------------------------------------------------------
 * sync_row.h
 *	  The statements on syncs.
 *
 * Functions that run one are called within oss_statement_begin(), with a
 * transaction open.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_SYNC_ROW_H
#define OSS_SYNC_ROW_H

#include "client/listing.h"
#include "datatype/timestamp.h"
#include "nodes/pg_list.h"

/* Images that are forgotten at once. */
#define OSS_SYNC_FORGET 100

typedef enum OssSyncPhase
{
	OSS_SYNC_LISTING,
	OSS_SYNC_FORGETTING,
	OSS_SYNC_TAGGING,
	OSS_SYNC_TO_BEGIN			/* waiting or stopped, and the next round is
								 * due */
} OssSyncPhase;

/* A sync, as its row is now. */
typedef struct OssSyncRow
{
	int64		id;
	OssSyncPhase phase;
	int32		round;
	char	   *cursor;			/* listing goes on after this key, or NULL */
	Oid			role;			/* InvalidOid: it was dropped */
	char	   *server;			/* its present name */
	bool		allowed;		/* the role may use it, and sync_bucket() */
	char	   *bucket;
	char	   *prefix;
	int64		jobs;			/* that are queued */
	int64		room;			/* for more, by max_requests, or -1 */
	bool		paused;			/* its jobs are */
	bool		taken;			/* another process lists it */
	bool		tallied;		/* there are tallies to be added */
	bool		forgets;
	bool		any_listed;
} OssSyncRow;

/*
 * Return the numbers of the syncs that are due, of one server unless NULL; those
 * of them that are to be listed or forgotten from first.  *next_due: when the next
 * other one is due, 0: none.
 */
extern List *oss_sync_due(const char *only_server, TimestampTz *next_due);

/*
 * Read and lock the row of a sync.  Returns false if it is locked, or needs no
 * step.
 */
extern bool oss_sync_read(int64 id, int64 token, OssSyncRow *row);

/* Add the tallies of a sync to its row. */
extern void oss_sync_add_tallies(int64 id);

/* Begin a round. */
extern void oss_sync_begin_round(int64 id);

/* The result of settling a page. */
typedef struct OssSyncPage
{
	int			n;				/* objects */
	int			foreign;		/* of them, with keys that cannot be in this
								 * database */
	int			taken;			/* how many were settled: the rest is beyond
								 * max_requests */
	bool		last;
	int64		requests;		/* that were sent for it */
} OssSyncPage;

/*
 * Settle a page that has come: judge its objects, queue jobs, note what is
 * missing, and advance the row.  Reads the listing's page to its end.
 */
extern void oss_sync_take_page(const OssSyncRow *row, OssListing *listing, OssSyncPage *page);

/* Note which process, by its token, requests a page; 0: none. */
extern void oss_sync_lease(int64 id, int64 token);

/* Note that a listing failed; it is tried again after some seconds. */
extern void oss_sync_put_off(int64 id, int64 requests, int seconds, const char *reason);

/*
 * Stop a sync until resume_sync(), or, unless for_good, until the next round is
 * due.
 */
extern void oss_sync_stop(int64 id, int64 requests, bool for_good, const char *reason);

/*
 * Forget some of the images that two listings missed, as the role.  Returns
 * whether all are done.
 */
extern bool oss_sync_forget(const OssSyncRow *row);

/*
 * Forget an image with the rights of a role, as forget() does; begins statements of
 * its own.  An error ends the (sub)transaction, which restores the user.  Errors:
 * 42501.
 */
extern bool oss_sync_forget_as(Oid role, Datum bucket, Datum key);

/* End the forgetting: what is left are the jobs. */
extern void oss_sync_end_listing(int64 id);

/* Note that all jobs are done, and when the next round is due. */
extern void oss_sync_finish(int64 id);

/* Is a sync of the caller's roles at work, and not paused? */
extern bool oss_sync_at_work(Oid caller);

#endif							/* OSS_SYNC_ROW_H */
