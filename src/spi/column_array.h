/*-------------------------------------------------------------------------
 * column_array.h
 *	  Columns of values that become array parameters of a statement.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_COLUMN_ARRAY_H
#define OSS_COLUMN_ARRAY_H

/* A growing column of one type, in the memory context of oss_column_init(). */
typedef struct OssColumn
{
	Oid			type;
	int			n;
	int			size;
	Datum	   *values;
	bool	   *nulls;
} OssColumn;

/*
 * Initialize an empty column of a built-in type; size is the expected number
 * of values.
 */
extern void oss_column_init(OssColumn *column, Oid type, int size);

extern void oss_column_add(OssColumn *column, Datum value, bool isnull);

/* Append a string as text, NULL as null. */
extern void oss_column_add_string(OssColumn *column, const char *value);

/* Return the column as an array. */
extern Datum oss_column_array(const OssColumn *column);

#endif							/* OSS_COLUMN_ARRAY_H */
