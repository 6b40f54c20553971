/*-------------------------------------------------------------------------
 * scan.h
 *	  The executor's side of a foreign table, for its handler, and its state for
 *	  EXPLAIN.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_SCAN_H
#define OSS_SCAN_H

#include "bucket/row.h"
#include "bucket/span.h"
#include "nodes/execnodes.h"

/*
 * fdw_state of the scan.  The listings belong to context, which is reset when the
 * scan restarts; listing is NULL between two of them.
 */
typedef struct OssBucketScan
{
	OssBucketTable *table;
	List	   *kinds;			/* of the conditions, Integers */
	List	   *values;			/* their ExprStates */
	Oid			serverid;
	Oid			userid;
	OssBucketRow *row;

	MemoryContext context;
	bool		begun;			/* do spans fit the present values? */
	OssListSpec *spans;
	int			nspans;
	int			next_span;
	OssListing *listing;

	int64		listings;
	int64		requests;		/* of listings that have ended */
	int64		objects;
} OssBucketScan;

/* Return the requests sent so far. */
extern int64 oss_bucket_scan_requests(const OssBucketScan *scan);

/* BeginForeignScan, IterateForeignScan, ReScanForeignScan and EndForeignScan. */
extern void oss_bucket_scan_begin(ForeignScanState *node, int eflags);
extern TupleTableSlot *oss_bucket_scan_next(ForeignScanState *node);
extern void oss_bucket_scan_again(ForeignScanState *node);
extern void oss_bucket_scan_end(ForeignScanState *node);

#endif							/* OSS_SCAN_H */
