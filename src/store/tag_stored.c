/*-------------------------------------------------------------------------
 * tag_stored.c
 *	  The store as tag() uses it.
 *
 * A session that requests an image holds an advisory lock on it until the end
 * of its transaction, so that other sessions find the answer and do not request
 * the image too.  A transaction that tags more images than the lock table can
 * hold releases the later locks when the answers are stored; then another
 * session may pay for the same image, but one row remains.  The worker takes no
 * such lock: its lease on the job shows that it requests the image.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "client/http.h"
#include "client/utf8.h"
#include "common/hashfn.h"
#include "compat.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "protocol/image_labels.h"
#include "spi/result_rows.h"
#include "spi/statement.h"
#include "spi/subtransaction.h"
#include "spi/wait_event.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "store/store.h"
#include "store/tag_stored.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/*
 * Images that a transaction keeps locked until its end, cf.
 * max_locks_per_transaction.
 */
#define MOST_LOCKED		64

/*
 * Distinguishes our advisory locks from those of SQL functions, which use 1
 * and 2.
 */
#define LOCK_CLASS		0x4f53

/* $1 to $6; $5: what the service takes for no threshold. */
#define WISH_PARAMETERS \
	6, {TEXTOID, TEXTOID, TEXTOID, FLOAT8OID, FLOAT8OID, INTERVALOID}

/* The row of the image; another image might have the same id. */
#define THIS_IMAGE \
	"image_id OPERATOR(pg_catalog.=) oss_labels.image_id($1, $2, $3) " \
	"AND bucket OPERATOR(pg_catalog.=) $1 AND key OPERATOR(pg_catalog.=) $2 " \
	"AND version_id IS NOT DISTINCT FROM $3 "

/* An answer that covers the wish. */
static OssPlan find_stored = {
	"SELECT response, "
	"coalesce(thr, $5) OPERATOR(pg_catalog.<) coalesce($4, $5), "
	"coalesce($4, $5) FROM oss_labels.image WHERE " THIS_IMAGE
	"AND coalesce(thr, $5) OPERATOR(pg_catalog.<=) coalesce($4, $5) "
	"AND ($6 IS NULL OR (tagged_at OPERATOR(pg_catalog.>=) "
	"(pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) $6) "
	"AND tagged_at OPERATOR(pg_catalog.<=) pg_catalog.clock_timestamp()))",
	WISH_PARAMETERS
};

/* A leased job for the image whose answer will cover the wish. */
static OssPlan find_job = {
	"SELECT FROM oss_labels.job WHERE key OPERATOR(pg_catalog.=) $2 "
	"AND bucket OPERATOR(pg_catalog.=) $1 "
	"AND version_id IS NOT DISTINCT FROM $3 "
	"AND coalesce(thr, $5) OPERATOR(pg_catalog.<=) coalesce($4, $5) "
	"AND leased_until OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp() LIMIT 1",
	WISH_PARAMETERS
};

/* The transaction that wrote the image's row. */
static OssPlan find_writer = {
	"SELECT xmin FROM oss_labels.image WHERE " THIS_IMAGE,
	WISH_PARAMETERS
};

/*
 * How long to wait for a job's answer, and the polling interval.  After that
 * time the job is throttled, or waits for a row that our transaction wrote.
 */
#define MOST_WAIT_MS	10000
#define LOOK_EVERY_MS	20

/*
 * Images that the transaction keeps locked until its end.  Entries left by
 * earlier transactions or rolled back savepoints are removed when the array
 * is full.
 */
static LOCKTAG kept[MOST_LOCKED];
static int	nkept = 0;

bool
oss_stored_wish(const Datum *args, const bool *nulls, OssWish *wish)
{
	memset(wish, 0, sizeof(*wish));
	if (!oss_detect_image(args, nulls, &wish->image))
		return false;
	if (!nulls[TAG_MAX_AGE])
	{
		wish->max_age = palloc(sizeof(Interval));
		*wish->max_age = *DatumGetIntervalP(args[TAG_MAX_AGE]);
	}
	return true;
}

static bool
is_negative(Interval *interval)
{
	Interval	none = {0};

	return DatumGetBool(DirectFunctionCall2(interval_lt,
											IntervalPGetDatum(interval),
											IntervalPGetDatum(&none)));
}

void
oss_stored_check_wish(const OssWish *wish)
{
	OssImage	utf8 = oss_image_utf8(&wish->image);

	oss_image_check(&utf8);
	if (wish->max_age != NULL && is_negative(wish->max_age))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_age must not be negative")));
}

/* Set the first three parameters of a statement to an image. */
static void
image_args(const OssImage *image, Datum *values, char *nulls)
{
	bool		isnull;

	oss_arg(values, nulls, 0, CStringGetTextDatum(image->bucket), false);
	oss_arg(values, nulls, 1, CStringGetTextDatum(image->key), false);
	values[2] = oss_text_or_null(image->version_id, &isnull);
	nulls[2] = isnull ? 'n' : ' ';
}

/* Look a wish up in a snapshot; the row is in SPI_tuptable. */
static bool
look_up_in(Snapshot snapshot, OssPlan *plan, const OssWish *wish)
{
	Datum		values[6];
	char		nulls[6];

	image_args(&wish->image, values, nulls);
	oss_arg(values, nulls, 3, Float8GetDatum(wish->image.thr), !wish->image.has_thr);
	oss_arg(values, nulls, 4, Float8GetDatum(OSS_LABELS_THR_DEFAULT), false);
	oss_arg(values, nulls, 5, IntervalPGetDatum(wish->max_age),
			wish->max_age == NULL);
	return oss_statement_execute_in(snapshot, plan, values, nulls, SPI_OK_SELECT) > 0;
}

static bool
look_up(OssPlan *plan, const OssWish *wish)
{
	CommandCounterIncrement();
	return look_up_in(GetLatestSnapshot(), plan, wish);
}

/* Return who wrote the image's row as a snapshot shows it, if there is one. */
static TransactionId
writer_in(Snapshot seen, const OssWish *wish)
{
	if (!look_up_in(seen, &find_writer, wish))
		return InvalidTransactionId;
	return DatumGetTransactionId(oss_result_column(0, 1, NULL));
}

/*
 * Check that the image's row was not written since the snapshot that our
 * transaction keeps, so that it can be replaced.  Errors: 40001.
 */
static void
check_replaceable(const OssWish *wish)
{
	TransactionId writer;

	if (!IsolationUsesXactSnapshot())
		return;
	writer = writer_in(GetLatestSnapshot(), wish);
	if (TransactionIdIsValid(writer) &&
		!TransactionIdIsCurrentTransactionId(writer) &&
		writer != writer_in(GetTransactionSnapshot(), wish))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to concurrent update"),
				 errdetail("Another transaction has stored the labels of \"%s\" meanwhile; the service was not asked.",
						   wish->image.key),
				 errhint("The transaction might succeed if retried.")));
}

/*
 * Without a stored answer a request will be needed, so this raises an error
 * if the answer could not be stored.
 */
DetectRows *
oss_stored_find(const OssWish *wish)
{
	OssStatementState state;
	DetectRows *rows = NULL;

	oss_statement_begin(&state, OSS_STATEMENT_STORE);
	if (look_up(&find_stored, wish))
	{
		Datum		response = oss_result_column(0, 1, NULL);
		bool		filter = DatumGetBool(oss_result_column(0, 2, NULL));
		double		least = DatumGetFloat8(oss_result_column(0, 3, NULL));

		rows = oss_detect_document_rows(DatumGetJsonbPCopy(response),
										filter ? least : 0);
	}
	else
		check_replaceable(wish);
	oss_statement_end(&state);
	if (rows == NULL)
		PreventCommandIfReadOnly("tag()");
	return rows;
}

static LOCKTAG
lock_of(const OssWish *wish)
{
	LOCKTAG		tag;
	StringInfoData name;
	uint64		hash;

	initStringInfo(&name);
	appendStringInfo(&name, "%s/%s", wish->image.bucket, wish->image.key);
	if (wish->image.version_id != NULL)
		appendStringInfo(&name, "\n%s", wish->image.version_id);
	hash = hash_bytes_extended((const unsigned char *) name.data, name.len, 0);
	pfree(name.data);
	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, (uint32) (hash >> 32),
						 (uint32) hash, LOCK_CLASS);
	return tag;
}

/* Subtransaction: wait for a lock. */
static void
acquire_lock(void *arg)
{
	(void) LockAcquire(arg, ExclusiveLock, false, false);
}

/*
 * Transfer a lock that a subtransaction has left to the transaction to the
 * current resource owner: only the owner may release it.
 */
static void
own_lock(const LOCKTAG *tag)
{
	ResourceOwner owner = CurrentResourceOwner;

	(void) LockAcquire(tag, ExclusiveLock, false, true);
	CurrentResourceOwner = CurTransactionResourceOwner;
	(void) LockRelease(tag, ExclusiveLock, false);
	CurrentResourceOwner = owner;
}

/* Wait for a lock.  Returns false on a deadlock. */
static bool
wait_for_lock(LOCKTAG *tag)
{
	ErrorData  *error = oss_subtransaction(acquire_lock, tag);

	if (error == NULL)
	{
		own_lock(tag);
		return true;
	}
	if (error->sqlerrcode != ERRCODE_T_R_DEADLOCK_DETECTED)
		ReThrowError(error);
	FreeErrorData(error);
	return false;
}

/* Is a job in hand whose answer will cover the wish? */
static bool
job_in_hand(const OssWish *wish)
{
	OssStatementState state;
	bool		found;

	oss_statement_begin(&state, OSS_STATEMENT_STORE);
	found = look_up(&find_job, wish);
	oss_statement_end(&state);
	return found;
}

/* Wait until no such job is in hand, for MOST_WAIT_MS at most. */
static void
wait_for_job(const OssWish *wish)
{
	int64		until = oss_clock_us() + MOST_WAIT_MS * INT64CONST(1000);

	while (job_in_hand(wish) && oss_clock_us() < until)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 LOOK_EVERY_MS, oss_queue_wait_event());
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

bool
oss_stored_lock(const OssWish *wish, bool wait)
{
	LOCKTAG		tag = lock_of(wish);

	if (LockAcquire(&tag, ExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL &&
		!(wait && wait_for_lock(&tag)))
		return false;
	if (!wait && job_in_hand(wish))
	{
		(void) LockRelease(&tag, ExclusiveLock, false);
		return false;
	}
	if (wait)
		wait_for_job(wish);
	return true;
}

/* Remove entries of kept that are not locked any more. */
static void
forget_unlocked(void)
{
	int			n = 0;

	for (int i = 0; i < nkept; i++)
	{
		if (oss_lock_held(&kept[i], ExclusiveLock))
			kept[n++] = kept[i];
	}
	nkept = n;
}

/* Keep an image locked, or release it if too many are. */
static void
keep_locked(const OssWish *wish)
{
	LOCKTAG		tag = lock_of(wish);

	if (!oss_lock_held(&tag, ExclusiveLock))
		return;
	if (nkept == MOST_LOCKED)
		forget_unlocked();
	if (nkept < MOST_LOCKED)
		kept[nkept++] = tag;
	else
		(void) LockRelease(&tag, ExclusiveLock, false);
}

/* Write rows, several of which may be of the same image. */
static void
write_rows(const OssStoreRow *rows, int n)
{
	OssStatementState state;
	int			begin = 0;

	oss_statement_begin(&state, OSS_STATEMENT_STORE);
	for (int i = 1; i <= n; i++)
	{
		bool		cut = i == n;

		for (int j = begin; j < i && !cut; j++)
			cut = oss_image_same(&rows[i].image, &rows[j].image);
		if (!cut)
			continue;
		oss_store_write(rows + begin, i - begin);
		begin = i;
	}
	oss_statement_end(&state);
}

void
oss_stored_keep(const OssArrival *arrivals, int n)
{
	MemoryContext work = AllocSetContextCreate(CurrentMemoryContext,
											   "oss_labels keeping",
											   ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(work);
	OssStoreRow *rows = palloc(sizeof(OssStoreRow) * Max(n, 1));
	int			count = 0;

	for (int i = 0; i < n; i++)
	{
		const OssFailure *failure;
		OssStoreRow row = {
			.image = arrivals[i].wish->image,
			.tagged_at = arrivals[i].asked_at,
			.request_id = oss_request_id(arrivals[i].request),
			.response = oss_response_parse(arrivals[i].request, &failure)
		};

		if (row.response != NULL)
			rows[count++] = row;
	}
	if (count > 0)
		write_rows(rows, count);
	for (int i = 0; i < n; i++)
		keep_locked(arrivals[i].wish);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(work);
}

bool
oss_stored_keep_document(const OssWish *wish, Jsonb *document, TimestampTz asked_at)
{
	static OssPlan is_younger = {
		"SELECT FROM oss_labels.image WHERE " THIS_IMAGE
		"AND tagged_at OPERATOR(pg_catalog.>) $4",
		4, {TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID}
	};
	OssStoreRow row = {
		.image = wish->image,
		.tagged_at = asked_at,
		.response = document
	};
	Datum		values[4];
	char		nulls[4];

	write_rows(&row, 1);
	image_args(&wish->image, values, nulls);
	oss_arg(values, nulls, 3, TimestampTzGetDatum(asked_at), false);
	return oss_statement_run(OSS_STATEMENT_STORE, &is_younger, values, nulls,
							 SPI_OK_SELECT) == 0;
}
