/*-------------------------------------------------------------------------
 * dirty_scan.c
 *	  Reading rows that are not committed yet, too.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "spi/dirty_scan.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

SysScanDesc
oss_dirty_scan(Relation relation, const char *column, const char *index, int64 value,
			   SnapshotData *dirty)
{
	Oid			indexid = get_relname_relid(index, RelationGetNamespace(relation));
	ScanKeyData key;

	InitDirtySnapshot(*dirty);
	ScanKeyInit(&key, get_attnum(RelationGetRelid(relation), column),
				BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(value));
	return systable_beginscan(relation, indexid, OidIsValid(indexid), dirty, 1, &key);
}
