/*-------------------------------------------------------------------------
 * rarity.c
 *	  label_rarity(): how rare labels are among the images that the caller reads.
 *
 * The statistics are of all images.  For a caller who may not read all of them, the
 * visible images are counted, so that rarities reveal nothing about the others.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "spi/result_rows.h"
#include "spi/statement.h"
#include "store/rights.h"

PG_FUNCTION_INFO_V1(oss_labels_label_rarity);

#define RARITY_COLUMNS	2

/* label_rarity() */
Datum
oss_labels_label_rarity(PG_FUNCTION_ARGS)
{
	static OssPlan of_all = {
		"SELECT label_name, rarity FROM oss_labels.rarity_of_all()", 0, {0}, OSS_PLAN_READ
	};
	static OssPlan of_own = {
		"SELECT label_name, rarity FROM oss_labels.rarity_of_own()", 0, {0}, OSS_PLAN_READ
	};
	OssResult	result = oss_result_begin(fcinfo);
	bool		all = oss_rights_reads_all();
	OssStatementState state;
	uint64		n;

	oss_statement_begin(&state, all ? OSS_STATEMENT_STORE : OSS_STATEMENT_CALLER);
	n = oss_statement_execute(all ? &of_all : &of_own, NULL, NULL, SPI_OK_SELECT);
	for (uint64 i = 0; i < n; i++)
	{
		Datum		values[RARITY_COLUMNS];
		bool		nulls[RARITY_COLUMNS];

		for (int k = 0; k < RARITY_COLUMNS; k++)
			values[k] = oss_result_column(i, k + 1, &nulls[k]);
		oss_result_add(&result, values, nulls);
	}
	oss_statement_end(&state);
	return (Datum) 0;
}
