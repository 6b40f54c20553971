/*-------------------------------------------------------------------------
 * coverage.h
 *	  Rules: does a stored answer serve a request, and may another replace it?
 *
 * The rules of oss_image_covers() in SQL, for statements on the table image.
 * Arguments are SQL expressions.  Operators are qualified, because these
 * statements may run with the caller's search path.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_COVERAGE_H
#define OSS_COVERAGE_H


#include "datatype/timestamp.h"
#include "protocol/image_labels.h"

/* The threshold that the service applies. */
#define OSS_SQL_THR(thr) \
	"coalesce(" thr ", " CppAsString2(OSS_LABELS_THR_DEFAULT) ")"

/* Does an answer have all labels that are wanted? */
#define OSS_SQL_HOLDS(thr, wanted_thr) \
	OSS_SQL_THR(thr) " OPERATOR(pg_catalog.<=) " OSS_SQL_THR(wanted_thr)

/*
 * Is a time at or after "since" (null: always)?  A time in the future comes from
 * another clock and does not count.
 */
#define OSS_SQL_FRESH(at, since) \
	"(" since " IS NULL OR (" at " OPERATOR(pg_catalog.>=) " since \
	" AND " at " OPERATOR(pg_catalog.<=) pg_catalog.clock_timestamp()))"

/*
 * May the answer "new" replace "old", a row of image?  Not if it has been asked
 * for earlier, or lacks labels that the other has, unless it is of another
 * content.
 */
#define OSS_SQL_REPLACES(new, old) \
	"(" old ".tagged_at OPERATOR(pg_catalog.<=) " new ".tagged_at OR " \
	old ".tagged_at OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp()) AND " \
	"(" OSS_SQL_HOLDS(new ".thr", old ".thr") \
	" OR " new ".etag OPERATOR(pg_catalog.<>) coalesce(" old ".etag, ''))"

/* The setting oss_labels.read_threshold. */
extern double oss_read_threshold;

extern TimestampTz oss_fresh_since(const Interval *max_age);

#endif							/* OSS_COVERAGE_H */
