/*-------------------------------------------------------------------------
 * column_array.c
 *	  Columns of values that become array parameters of a statement.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "spi/column_array.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

void
oss_column_init(OssColumn *column, Oid type, int size)
{
	column->type = type;
	column->n = 0;
	column->size = Max(size, 8);
	column->values = palloc(sizeof(Datum) * column->size);
	column->nulls = palloc(sizeof(bool) * column->size);
}

void
oss_column_add(OssColumn *column, Datum value, bool isnull)
{
	if (column->n == column->size)
	{
		column->size *= 2;
		column->values = repalloc(column->values,
								  sizeof(Datum) * column->size);
		column->nulls = repalloc(column->nulls, sizeof(bool) * column->size);
	}
	column->values[column->n] = value;
	column->nulls[column->n++] = isnull;
}

void
oss_column_add_string(OssColumn *column, const char *value)
{
	oss_column_add(column, value ? CStringGetTextDatum(value) : (Datum) 0,
				   value == NULL);
}

Datum
oss_column_array(const OssColumn *column)
{
	int16		length;
	bool		by_value;
	char		align;
	int			dimension = column->n;
	int			lower = 1;

	get_typlenbyvalalign(column->type, &length, &by_value, &align);
	if (column->n == 0)
		return PointerGetDatum(construct_empty_array(column->type));
	return PointerGetDatum(construct_md_array(column->values, column->nulls, 1,
											  &dimension, &lower, column->type,
											  length, by_value, align));
}
