/*-------------------------------------------------------------------------
 * forget_deleted.c
 *	  Dispatching: forgetting images whose rows were deleted.
 *
 * Each is done in a subtransaction.  What others have locked is left for another
 * turn; what fails, as by a user's trigger, is not tried again.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "dispatch/forget_deleted.h"
#include "spi/statement.h"
#include "spi/subtransaction.h"
#include "utils/builtins.h"
#include "watch/still_used.h"

/*
 * After a restore, wait until all watched tables have their triggers, which are
 * restored last: until then a row of another table may still use an image.
 */
static OssPlan list_deleted = {
	"SELECT job_id, bucket, key FROM oss_labels.deleted_row"
	" WHERE origin = oss_labels.origin() OR (SELECT bool_and(EXISTS ("
	"SELECT FROM pg_trigger t WHERE t.tgrelid = w.relation"
	" AND t.tgfoid = 'oss_labels.enqueue_trigger()'::regprocedure))"
	" FROM (SELECT oss_labels.watched_table(columns) AS relation FROM oss_labels.watched) w"
	" WHERE w.relation IS NOT NULL)"
	" ORDER BY job_id LIMIT $1 FOR UPDATE SKIP LOCKED",
	1, {INT4OID}
};

static OssPlan forget_image = {
	"SELECT oss_labels.forget($1, $2)",
	2, {TEXTOID, TEXTOID}
};

static OssPlan end_deleted = {
	"DELETE FROM oss_labels.deleted_row WHERE job_id = $1",
	1, {INT8OID}
};

/* A deleted row. */
typedef struct Deleted
{
	int64		id;
	OssJobObject object;
	List	   *tables;
} Deleted;

/* Subtransaction: forget the image of a deleted row. */
static void
forget_one(void *arg)
{
	const Deleted *deleted = arg;
	Datum		names[] = {deleted->object.bucket, deleted->object.key};

	if (!oss_watch_uses(deleted->tables, &deleted->object))
		(void) oss_statement_run(OSS_STATEMENT_WORK, &forget_image, names, NULL,
								 SPI_OK_SELECT);
}

/* Forget an image.  Returns false if it must be tried again. */
static bool
try_to_forget(Deleted *deleted)
{
	ErrorData  *error = oss_subtransaction(forget_one, deleted);
	bool		over = true;

	if (error == NULL)
		return true;
	if (oss_error_is_interrupt(error))
		ReThrowError(error);
	if (oss_error_is_wait(error) || oss_error_is_trouble(error) ||
		error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE)
		over = false;
	else
		ereport(LOG,
				(errcode(error->sqlerrcode),
				 errmsg("oss_labels could not forget an image whose row was deleted: %s",
						error->message)));
	FreeErrorData(error);
	return over;
}

bool
oss_forget_deleted(int most)
{
	Datum		limit = Int32GetDatum(most);
	int			n = (int) oss_statement_execute(&list_deleted, &limit, NULL, SPI_OK_SELECT);
	SPITupleTable *table = SPI_tuptable;
	Deleted    *deleted;
	List	   *tables;
	int			over = 0;

	if (n == 0)
	{
		SPI_freetuptable(table);
		return false;
	}
	deleted = palloc(sizeof(Deleted) * n);
	for (int i = 0; i < n; i++)
	{
		deleted[i].id = DatumGetInt64(oss_result_column(i, 1, NULL));
		deleted[i].object = (OssJobObject)
		{
			CStringGetTextDatum(oss_result_string(i, 2)),
				CStringGetTextDatum(oss_result_string(i, 3))
		};
	}
	SPI_freetuptable(table);
	tables = oss_watched_tables();
	for (int i = 0; i < n; i++)
	{
		Datum		id = Int64GetDatum(deleted[i].id);

		deleted[i].tables = tables;
		if (!try_to_forget(&deleted[i]))
			continue;
		oss_statement_execute(&end_deleted, &id, NULL, SPI_OK_DELETE);
		over++;
	}
	return n == most && over > 0;
}
