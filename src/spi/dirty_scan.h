/*-------------------------------------------------------------------------
 * dirty_scan.h
 *	  Reading rows that are not committed yet, too.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_DIRTY_SCAN_H
#define OSS_DIRTY_SCAN_H

#include "access/genam.h"
#include "utils/relcache.h"
#include "utils/snapmgr.h"

/*
 * Open a scan of a table of ours for a bigint in a column, by an index, that also
 * returns uncommitted rows; *dirty then says whose each is.
 */
extern SysScanDesc oss_dirty_scan(Relation relation, const char *column,
								  const char *index, int64 value, SnapshotData *dirty);

#endif							/* OSS_DIRTY_SCAN_H */
