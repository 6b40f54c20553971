/*-------------------------------------------------------------------------
 * column_array.h
 *	  Columns of values that become array parameters of a statement.
 *
 * Top floor.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_COLUMN_ARRAY_H
#define OSS_COLUMN_ARRAY_H

#include "postgres.h"

/* A growing column of one type, in the memory context it was made in. */
typedef struct OssColumn
{
	Oid			type;
	int			n;
	int			size;
	Datum	   *values;
	bool	   *nulls;
} OssColumn;

/* Make an empty column of a built-in type; size is a guess. */
extern void oss_column_init(OssColumn *column, Oid type, int size);

/* Append a value. */
extern void oss_column_add(OssColumn *column, Datum value, bool isnull);

/* Append a string as text; NULL gives null. */
extern void oss_column_add_string(OssColumn *column, const char *value);

/* Return the column as an array. */
extern Datum oss_column_array(const OssColumn *column);

#endif							/* OSS_COLUMN_ARRAY_H */
