/*-------------------------------------------------------------------------
 * import_schema.h
 *	  IMPORT FOREIGN SCHEMA: a bucket becomes a table.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_IMPORT_SCHEMA_H
#define OSS_IMPORT_SCHEMA_H

#include "nodes/parsenodes.h"

/* ImportForeignSchema. */
extern List *oss_bucket_import(ImportForeignSchemaStmt *statement, Oid serverid);

#endif							/* OSS_IMPORT_SCHEMA_H */
