/*-------------------------------------------------------------------------
 * price.c
 *	  What requests cost, by the table price.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "account/price.h"
#include "catalog/pg_type.h"
#include "client/budget.h"
#include "spi/statement.h"
#include "utils/datum.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

static OssPlan find_price = {
	"SELECT pg_catalog.trim_scale(p.per_1000 * $4 / 1000), p.currency"
	" FROM oss_labels.price_of($1, $2, $3) p WHERE p.per_1000 IS NOT NULL",
	4, {TEXTOID, TEXTOID, DATEOID, INT8OID}, OSS_PLAN_READ
};

bool
oss_price_of(const char *item, const char *server, int64 requests,
			 Datum *cost, char **currency)
{
	Datum		values[] = {
		CStringGetTextDatum(item), server ? CStringGetTextDatum(server) : (Datum) 0,
		DateADTGetDatum(oss_billing_day(GetCurrentTimestamp())), Int64GetDatum(requests)
	};
	const char	nulls[] = {' ', server ? ' ' : 'n', ' ', ' ', '\0'};
	OssStatementState state;
	bool		pushed = !ActiveSnapshotSet();
	bool		known;

	/* auto_explain has none */
	if (pushed)
		PushActiveSnapshot(GetTransactionSnapshot());
	oss_statement_begin(&state, OSS_STATEMENT_STORE);
	known = oss_statement_execute(&find_price, values, nulls, SPI_OK_SELECT) > 0;
	if (known)
	{
		*cost = datumCopy(oss_result_column(0, 1, NULL), false, -1);
		*currency = oss_result_string(0, 2);
	}
	oss_statement_end(&state);
	if (pushed)
		PopActiveSnapshot();
	return known;
}
