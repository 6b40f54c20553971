/*-------------------------------------------------------------------------
 * still_used.h
 *	  Whether a row of a watched table has the name of an image.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_STILL_USED_H
#define OSS_STILL_USED_H

#include "nodes/pg_list.h"
#include "queue/job_insert.h"
#include "utils/rel.h"

/*
 * Return an index by which rows with a key, and a bucket if bucket_column is not 0,
 * are found, or InvalidOid: a valid btree index of all rows, whose first columns are
 * these.
 */
extern Oid	oss_watch_index(Relation relation, AttrNumber key_column,
							AttrNumber bucket_column);

/* Return the OIDs of the watched tables, in CurrentMemoryContext. */
extern List *oss_watched_tables(void);

/*
 * Does a row of these tables have this bucket and key, whatever its condition?  A
 * table that cannot be looked at by an index counts as if it had one.  Waits for no
 * lock: 55P03 if somebody has locked one of the tables.
 */
extern bool oss_watch_uses(List *tables, const OssJobObject *object);

#endif							/* OSS_STILL_USED_H */
