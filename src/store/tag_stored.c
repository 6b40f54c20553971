/*-------------------------------------------------------------------------
 * tag_stored.c
 *	  Stored answers as tag() sees them.
 *
 * Whoever asks for an image holds an advisory lock on it until his transaction
 * ends, so that others find the answer instead of asking too.  A transaction
 * that tags more images than a lock table can hold lets go of the later ones
 * when they are stored: then another one may pay twice, but both leave one row.
 * The worker locks nothing: that it is asking is seen from its lease on the job.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
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

/* Images that a transaction keeps locked to its end, as PostgreSQL reckons. */
#define MOST_LOCKED		64

/* Tells our advisory locks from those of SQL functions, which use 1 and 2. */
#define LOCK_CLASS		0x4f53

/* $1 to $6; $5: what the service takes for no threshold. */
#define WISH_PARAMETERS \
	6, {TEXTOID, TEXTOID, TEXTOID, FLOAT8OID, FLOAT8OID, INTERVALOID}

/* An answer that covers the wish. */
static OssPlan find_stored = {
	"SELECT response, "
	"coalesce(thr, $5) OPERATOR(pg_catalog.<) coalesce($4, $5), "
	"coalesce($4, $5) FROM oss_labels.image "
	"WHERE bucket OPERATOR(pg_catalog.=) $1 AND key OPERATOR(pg_catalog.=) $2 "
	"AND version_id IS NOT DISTINCT FROM $3 "
	"AND coalesce(thr, $5) OPERATOR(pg_catalog.<=) coalesce($4, $5) "
	"AND ($6 IS NULL OR (tagged_at OPERATOR(pg_catalog.>=) "
	"(pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) $6) "
	"AND tagged_at OPERATOR(pg_catalog.<=) pg_catalog.clock_timestamp()))",
	WISH_PARAMETERS
};

/* A process has a job for the image whose answer will cover the wish. */
static OssPlan find_job = {
	"SELECT FROM oss_labels.job WHERE key OPERATOR(pg_catalog.=) $2 "
	"AND bucket OPERATOR(pg_catalog.=) $1 "
	"AND version_id IS NOT DISTINCT FROM $3 "
	"AND coalesce(thr, $5) OPERATOR(pg_catalog.<=) coalesce($4, $5) "
	"AND leased_until OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp() LIMIT 1",
	WISH_PARAMETERS
};

/* Who wrote the image's row. */
static OssPlan find_writer = {
	"SELECT xmin FROM oss_labels.image "
	"WHERE bucket OPERATOR(pg_catalog.=) $1 AND key OPERATOR(pg_catalog.=) $2 "
	"AND version_id IS NOT DISTINCT FROM $3",
	WISH_PARAMETERS
};

/*
 * How long a job's answer is waited for, and how often we look.  Longer than
 * that the job is throttled, or waits for what our transaction wrote.
 */
#define MOST_WAIT_MS	10000
#define LOOK_EVERY_MS	20

/*
 * What our transaction keeps locked to its end.  Some may be what an earlier one
 * or a savepoint that was rolled back had locked: looked for when it is full.
 */
static LOCKTAG kept[MOST_LOCKED];
static int	nkept = 0;

/* Read the arguments of tag(). */
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

/* Is an interval less than none? */
static bool
is_negative(Interval *interval)
{
	Interval	none = {0};

	return DatumGetBool(DirectFunctionCall2(interval_lt,
											IntervalPGetDatum(interval),
											IntervalPGetDatum(&none)));
}

/* Raise what is wrong with a wish. */
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

/* Fill the first three parameters of a statement with an image. */
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

/* Look a wish up with a fresh snapshot. */
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
 * Raise 40001 if the image's row cannot be replaced, as somebody has written
 * it since the snapshot that our transaction keeps was taken.
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
 * Return the rows of a stored answer that covers a wish.  Without one the
 * service must be asked, which is not done for what could not be kept.
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

/* Return the lock of an image. */
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

/* Wait for a lock. */
static void
acquire_lock(void *arg)
{
	(void) LockAcquire(arg, ExclusiveLock, false, false);
}

/*
 * Have the statement own a lock that a subtransaction has left to the
 * transaction: only its owner may release it.
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

/* Wait for a lock; returns false when that is a deadlock. */
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

/* Is a process about to bring what is wished for? */
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

/* Wait until nobody is about to bring what is wished for, within reason. */
static void
wait_for_job(const OssWish *wish)
{
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													MOST_WAIT_MS);

	while (job_in_hand(wish) && GetCurrentTimestamp() < until)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 LOOK_EVERY_MS, oss_queue_wait_event());
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

/* Lock an image. */
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

/* Forget the images of kept that are not locked any more. */
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

/* Keep an image locked, or release it when too many are. */
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

/* Write rows, of which several may be of one image. */
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

/* Keep answers. */
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

/* Keep one document. */
bool
oss_stored_keep_document(const OssWish *wish, Jsonb *document, TimestampTz asked_at)
{
	static OssPlan is_younger = {
		"SELECT FROM oss_labels.image WHERE bucket OPERATOR(pg_catalog.=) $1 "
		"AND key OPERATOR(pg_catalog.=) $2 AND version_id IS NOT DISTINCT FROM $3 "
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
