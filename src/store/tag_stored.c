/*-------------------------------------------------------------------------
 * tag_stored.c
 *	  The store as tag() uses it.
 *
 * A stored answer is given to callers who may read it, and to those who may
 * request it.  If the library is not preloaded, answers are stored in the caller's
 * transaction; that never waits for other transactions, and then skips what they
 * have locked.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "client/http.h"
#include "client/utf8.h"
#include "miscadmin.h"
#include "protocol/image_labels.h"
#include "spi/result_rows.h"
#include "spi/statement.h"
#include "spi/subtransaction.h"
#include "storage/lmgr.h"
#include "store/coverage.h"
#include "store/forgotten.h"
#include "store/rights.h"
#include "store/store.h"
#include "store/tag_stored.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/*
 * How long to wait for a lock that was not expected.  Shorter than any
 * deadlock_timeout in use.
 */
#define LOCK_TIMEOUT	"20ms"

/* $1 to $7; $5: what the service takes for no threshold; $7: an ETag. */
#define WISH_PARAMETERS \
	7, {TEXTOID, TEXTOID, TEXTOID, FLOAT8OID, FLOAT8OID, INTERVALOID, TEXTOID}

/* The row of the image; another image might have the same id. */
#define THIS_IMAGE \
	"image_id OPERATOR(pg_catalog.=) oss_labels.image_id($1, $2, $3) " \
	"AND bucket OPERATOR(pg_catalog.=) $1 AND key OPERATOR(pg_catalog.=) $2 " \
	"AND version_id IS NOT DISTINCT FROM $3 "

/* Its answer covers the wish. */
#define COVERS \
	"AND coalesce(thr, $5) OPERATOR(pg_catalog.<=) coalesce($4, $5) " \
	"AND ($6 IS NULL OR (tagged_at OPERATOR(pg_catalog.>=) " \
	"(pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) $6) " \
	"AND tagged_at OPERATOR(pg_catalog.<=) pg_catalog.clock_timestamp())) " \
	"AND ($7 IS NULL OR etag OPERATOR(pg_catalog.=) $7)"

static OssPlan find_stored = {
	"SELECT response FROM oss_labels.image WHERE " THIS_IMAGE COVERS,
	WISH_PARAMETERS
};

/* The same for a caller who reads with his own rights and search path. */
static OssPlan find_visible = {
	"SELECT response FROM oss_labels.image "
	"WHERE bucket OPERATOR(pg_catalog.=) $1 AND key OPERATOR(pg_catalog.=) $2 "
	"AND (version_id OPERATOR(pg_catalog.=) $3 OR (version_id IS NULL AND $3 IS NULL)) "
	COVERS,
	WISH_PARAMETERS
};

/* The threshold of the stored answer. */
static OssPlan find_thr = {
	"SELECT coalesce(thr, $5) FROM oss_labels.image WHERE " THIS_IMAGE,
	WISH_PARAMETERS
};

/* The transaction that wrote the image's row. */
static OssPlan find_writer = {
	"SELECT xmin FROM oss_labels.image WHERE " THIS_IMAGE,
	WISH_PARAMETERS
};

/*
 * Why no answer of a bucket can be stored.  A process tries again from time to time.
 */
static OssPlan find_refusal = {
	"SELECT reason FROM oss_labels.active_pause p WHERE p.storing "
	"AND clock_timestamp() BETWEEN p.since AND p.since + p.lasts "
	"AND (p.bucket IS NULL OR (p.bucket = $1 "
	"AND oss_labels.server_of(p.origin, p.server_id, p.server) = $2)) LIMIT 1",
	2, {TEXTOID, TEXTOID}
};

/* For how long a bucket without such a reason is not looked up again. */
#define TAKEN_US INT64CONST(50000)

bool		oss_keep_detected = false;

/* Number of changes of flights before the store was last looked at. */
static uint64 flights_seen = 0;

bool
oss_stored_wish(const Datum *args, const bool *nulls, bool is_tag, OssWish *wish)
{
	memset(wish, 0, sizeof(*wish));
	if (!oss_detect_image(args, nulls, &wish->image))
		return false;
	wish->least = wish->image.has_thr ? wish->image.thr : OSS_LABELS_THR_DEFAULT;
	if (!nulls[DETECT_SERVER])
		wish->server = pstrdup(NameStr(*DatumGetName(args[DETECT_SERVER])));
	if (is_tag && !nulls[TAG_MAX_AGE])
	{
		wish->max_age = palloc(sizeof(Interval));
		*wish->max_age = *DatumGetIntervalP(args[TAG_MAX_AGE]);
	}
	if (is_tag && !nulls[TAG_ETAG])
		wish->image.etag = oss_etag_argument(TextDatumGetCString(args[TAG_ETAG]));
	return true;
}

const OssFailure *
oss_stored_check_wish(const OssWish *wish, bool is_try)
{
	OssImage	utf8 = oss_image_utf8(&wish->image);
	const OssFailure *failure = oss_image_failure(&utf8);

	if (failure != NULL && !(is_try && !oss_scope_is_setup(failure->scope)))
		oss_failure_throw(failure);
	if (wish->max_age != NULL)
		(void) oss_fresh_since(wish->max_age);
	return failure;
}

/* Set the first three parameters of a statement to an image. */
static void
wish_parameters(const OssImage *image, Datum *values, char *nulls)
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
	Datum		values[7];
	char		nulls[7];
	bool		no_etag;
	Datum		etag = oss_text_or_null(wish->image.etag, &no_etag);

	wish_parameters(&wish->image, values, nulls);
	oss_arg(values, nulls, 3, Float8GetDatum(wish->image.thr), !wish->image.has_thr);
	oss_arg(values, nulls, 4, Float8GetDatum(OSS_LABELS_THR_DEFAULT), false);
	oss_arg(values, nulls, 5, IntervalPGetDatum(wish->max_age),
			wish->max_age == NULL);
	oss_arg(values, nulls, 6, etag, no_etag);
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
	TransactionId writer = writer_in(GetLatestSnapshot(), wish);

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

/* Look a wish up, and return the rows of the answer, or NULL. */
static DetectRows *
find_rows(OssStatementUse use, OssPlan *plan, const OssWish *wish, bool is_try)
{
	OssStatementState state;
	DetectRows *rows = NULL;

	oss_statement_begin(&state, use);
	if (look_up(plan, wish))
		rows = oss_detect_document_rows(DatumGetJsonbPCopy(oss_result_column(0, 1, NULL)),
										wish->least, is_try);
	oss_statement_end(&state);
	return rows;
}

/*
 * Find a stored answer.  A caller who may read the table gets the rows that row
 * security shows.  A caller who may not gets the answer if entitled to request it;
 * if not, that raises an error.
 */
static DetectRows *
find_allowed(const OssWish *wish, bool is_try)
{
	Oid			schema = get_namespace_oid("oss_labels", true);
	Oid			image = OidIsValid(schema) ? get_relname_relid("image", schema) : InvalidOid;
	bool		readable = OidIsValid(image) &&
	pg_class_aclcheck(image, GetUserId(), ACL_SELECT) == ACLCHECK_OK;

	if (OidIsValid(image) &&
		check_enable_rls(image, GetUserId(), true) == RLS_ENABLED)
		return readable ?
			find_rows(OSS_STATEMENT_CALLER, &find_visible, wish, is_try) : NULL;
	if (!readable)
		(void) oss_server_get(wish->server, GetUserId());
	return find_rows(OSS_STATEMENT_STORE, &find_stored, wish, is_try);
}

bool
oss_stored_may_have_come(void)
{
	return oss_flight_changes() != flights_seen;
}

/*
 * Without a stored answer a request will be needed, so this raises an error
 * if the answer could not be stored.
 */
DetectRows *
oss_stored_find(const OssWish *wish, bool is_try)
{
	DetectRows *rows;

	flights_seen = oss_flight_changes();
	rows = find_allowed(wish, is_try);
	if (rows != NULL || oss_spool_prepare())
		return rows;
	if (IsolationUsesXactSnapshot())
	{
		OssStatementState state;

		oss_statement_begin(&state, OSS_STATEMENT_STORE);
		check_replaceable(wish);
		oss_statement_end(&state);
	}
	PreventCommandIfReadOnly("tag()");
	return NULL;
}

char *
oss_stored_refusal(const OssWish *wish, const OssServer *server)
{
	static int64 taken_at = 0;
	Datum		values[2];
	OssStatementState state;
	char	   *reason = NULL;

	/* nobody waits for a transaction that has locked the table */
	if ((taken_at != 0 && oss_clock_us() - taken_at < TAKEN_US) ||
		!ConditionalLockRelationOid(get_relname_relid("active_pause",
													  get_namespace_oid("oss_labels", false)),
									AccessShareLock))
		return NULL;
	values[0] = CStringGetTextDatum(wish->image.bucket);
	values[1] = CStringGetTextDatum(server->name);
	oss_statement_begin(&state, OSS_STATEMENT_STORE);
	if (oss_statement_execute_in(GetLatestSnapshot(), &find_refusal, values, NULL,
								 SPI_OK_SELECT) > 0)
		reason = oss_result_string(0, 1);
	oss_statement_end(&state);
	if (reason == NULL)
		taken_at = oss_clock_us();
	return reason;
}

void
oss_stored_check_taken(const OssWish *wish, const OssServer *server)
{
	char	   *reason = oss_stored_refusal(wish, server);

	if (reason != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the labels of \"oss://%s/%s\" were not requested, as they could not be stored",
						wish->image.bucket, wish->image.key),
				 errdetail_internal("%s", oss_sentence(reason)),
				 errhint("The extension's owner removes the cause and calls oss_labels.resume(). detect() returns labels without storing them.")));
}

void
oss_stored_ask_for_all(OssWish *wish, OssLabelsSpec *spec)
{
	oss_image_lower_thr(&wish->image, spec->server->stored_threshold);
	if (!wish->image.has_thr || wish->image.thr > 0)
	{
		OssStatementState state;

		oss_statement_begin(&state, OSS_STATEMENT_STORE);
		if (look_up(&find_thr, wish))
			oss_image_lower_thr(&wish->image,
								DatumGetFloat8(oss_result_column(0, 1, NULL)));
		oss_statement_end(&state);
	}
	spec->image.has_thr = wish->image.has_thr;
	spec->image.thr = wish->image.thr;
}

/* Write rows, several of which may be of the same image. */
static void
write_answers(const OssStoreRow *rows, int n)
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
		(void) oss_store_write(rows + begin, i - begin);
		begin = i;
	}
	oss_statement_end(&state);
}

/* Rows to be written, as a function for a subtransaction. */
typedef struct Rows
{
	OssStoreRow *rows;
	int			n;
} Rows;

/* Write rows but those that others have locked or forgotten. */
static void
write_unlocked(void *arg)
{
	Rows	   *rows = arg;
	OssImage   *images = palloc(sizeof(OssImage) * rows->n);
	bool	   *blocked = palloc(sizeof(bool) * rows->n);
	OssStatementState state;
	ErrorData  *error;
	Relation	notes;
	int			n = 0;

	for (int i = 0; i < rows->n; i++)
		images[i] = rows->rows[i].image;
	oss_statement_begin(&state, OSS_STATEMENT_STORE);
	(void) set_config_option("lock_timeout", LOCK_TIMEOUT, PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	error = oss_store_probe(images, rows->n, blocked);
	if (error != NULL)
		ReThrowError(error);
	notes = oss_forgotten_open();
	for (int i = 0; i < rows->n; i++)
	{
		const OssStoreRow *row = &rows->rows[i];

		if (!blocked[i] &&
			(notes == NULL ||
			 oss_forgotten_look(notes, &row->image, row->tagged_at) == OSS_NOT_FORGOTTEN))
			rows->rows[n++] = *row;
	}
	if (notes != NULL)
		oss_forgotten_close(notes);
	if (n > 0)
		write_answers(rows->rows, n);
	oss_forgotten_check(rows->rows, n);
	oss_statement_end(&state);
}

/*
 * Keep answers in the caller's transaction.  The caller has the labels already, so
 * rows that others have locked are skipped.
 */
static void
keep_rows(OssStoreRow *rows, int n)
{
	Rows		arg = {rows, n};
	ErrorData  *error = oss_subtransaction(write_unlocked, &arg);

	if (error == NULL)
		return;
	if (!oss_error_is_wait(error) &&
		error->sqlerrcode != ERRCODE_T_R_SERIALIZATION_FAILURE)
		ReThrowError(error);
	elog(DEBUG1, "oss_labels: answers were not kept, as others have locked something: %s",
		 error->message);
	FreeErrorData(error);
}

/*
 * Set an image's ETag and time from the headers of its answer.  The ETag that was
 * asked for stays even if the service's differs, so that asking for it again costs
 * nothing.  Facts that a HEAD returned for the same content are added.  Neither
 * throws nor allocates.
 */
static void
identify_answer(const OssRequest *request, OssImage *image, char etag[OSS_ETAG_MAX + 1],
				OssObjectFacts *facts)
{
	oss_request_identity(request, etag, &facts->last_modified);
	if (image->etag == NULL && etag[0] != '\0')
		image->etag = etag;
	oss_object_recall(image, facts);
}

void
oss_stored_keep(const OssArrival *arrivals, int n)
{
	MemoryContext work;
	MemoryContext old;
	OssStoreRow *rows;
	int			count = 0;

	if (n == 0 || XactReadOnly)
		return;
	work = AllocSetContextCreate(CurrentMemoryContext, "oss_labels keeping",
								 ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(work);
	rows = palloc(sizeof(OssStoreRow) * n);
	for (int i = 0; i < n; i++)
	{
		const OssFailure *failure;
		char	   *etag = palloc(OSS_ETAG_MAX + 1);
		OssStoreRow row = {
			.image = arrivals[i].wish->image,
			.tagged_at = arrivals[i].asked_at,
			.request_id = oss_request_id(arrivals[i].request),
			.response = oss_response_parse(arrivals[i].request, NULL, &failure)
		};

		identify_answer(arrivals[i].request, &row.image, etag, &row.facts);
		if (row.response != NULL && oss_rights_may_keep(&row.image))
			rows[count++] = row;
	}
	if (count > 0)
		keep_rows(rows, count);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(work);
}

/* Take a request that has ended. */
static void
take_arrival(const OssRequest *request, void *arg)
{
	OssKeep    *keep = arg;
	OssSpoolRecord record = keep->record;
	char		etag[OSS_ETAG_MAX + 1];
	OssSpoolPlace place;

	if (oss_request_failed(request))
	{
		if (keep->flight)
			oss_flight_end(keep->flight);
		return;
	}
	identify_answer(request, &record.image, etag, &record.facts);
	record.request_id = oss_request_id(request);
	record.body = oss_request_body(request, &record.body_len);
	keep->handed = oss_spool_append(&record, &place);
	if (keep->flight == NULL)
		return;
	if (keep->handed)
		oss_flight_answer(keep->flight, &place);
	else
		oss_flight_end(keep->flight);
}

/* Have the answer of a request handed to the worker as soon as it has come. */
OssKeep *
oss_stored_hand_on(const OssWish *wish, OssLabelsSpec *spec, OssFlight *flight)
{
	OssKeep    *keep;

	if (!oss_spool_prepare() || !oss_rights_may_keep(&wish->image))
		return NULL;
	keep = palloc0(sizeof(OssKeep));
	keep->flight = flight;
	keep->record.requester = GetUserId();
	keep->record.asked_at = GetCurrentTimestamp();
	keep->record.server = pstrdup(spec->server->name);
	keep->record.image = wish->image;
	spec->arrived = take_arrival;
	spec->arrived_arg = keep;
	return keep;
}

/* Has the answer of detect() kept, if that is set. */
void
oss_stored_keep_detected(const Datum *args, const bool *nulls, OssLabelsSpec *spec)
{
	OssWish    *wish;

	if (!oss_keep_detected)
		return;
	wish = palloc(sizeof(OssWish));
	if (oss_stored_wish(args, nulls, false, wish))
		(void) oss_stored_hand_on(wish, spec, NULL);
}

/* Board the flight of an image. */
OssFlight *
oss_stored_board(const OssWish *wish, const OssServer *server)
{
	OssFlightName name = {
		.serverid = server->serverid,
		.userid = GetUserId(),
		.image = wish->image
	};

	return oss_flight_board(&name, wish->max_age ? oss_fresh_since(wish->max_age) : DT_NOBEGIN,
							DT_NOEND, false);
}

/* Was an image forgotten after a request for it began? */
static bool
is_forgotten(const OssSpoolRecord *record)
{
	Relation	notes = oss_forgotten_open();
	bool		forgotten;

	if (notes == NULL)
		return false;
	forgotten = oss_forgotten_look(notes, &record->image, record->asked_at) == OSS_FORGOTTEN;
	oss_forgotten_close(notes);
	return forgotten;
}

/* Return the rows of an answer that somebody else was given, or NULL. */
DetectRows *
oss_stored_share(const OssWish *wish, OssFlight *flight, bool is_try)
{
	OssSpoolPlace place;
	OssSpoolRecord record;
	const OssFailure *failure;
	Jsonb	   *document;

	if (oss_flight_state(flight, &place) != OSS_FLIGHT_ANSWERED ||
		!oss_spool_fetch(&place, &record) || record.requester != GetUserId() ||
		!oss_image_covers(&record.image, &wish->image) ||
		!oss_etag_covers(record.image.etag, wish->image.etag) || is_forgotten(&record))
		return NULL;
	document = oss_response_read(record.body, record.body_len, NULL, &failure);
	if (document == NULL)
		return NULL;
	return oss_detect_document_rows(document, wish->least, is_try);
}
