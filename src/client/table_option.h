/*-------------------------------------------------------------------------
 * table_option.h
 *	  The options of a foreign table, which is a bucket.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_TABLE_OPTION_H
#define OSS_TABLE_OPTION_H

#include "nodes/pg_list.h"

/* Strings are in the database's encoding. */
typedef struct OssTableOptions
{
	const char *bucket;			/* NULL: queries say it */
	const char *prefix;			/* NULL: all keys */
	bool		versions;		/* all versions, and delete markers */
} OssTableOptions;

/* Read and check options.  Errors: 22023. */
extern void oss_table_options_read(OssTableOptions *table, List *options);

/* Return the name of the i-th option, or NULL. */
extern const char *oss_table_option_name(int i);

#endif							/* OSS_TABLE_OPTION_H */
