/*-------------------------------------------------------------------------
 * spooled.c
 *	  Dispatching: answers of sessions, from the spool.
 *
 * Each one is a finished job in a lane of their own, without a row in the table.
 * Settling stores it, splits a batch that fails, and defers what others have locked.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "client/http.h"
#include "dispatch/finished.h"
#include "dispatch/lane.h"
#include "dispatch/spooled.h"
#include "queue/job.h"
#include "spi/role.h"
#include "spi/statement.h"
#include "store/spool.h"
#include "store/store.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

/* Most answers of the spool in memory. */
#define MOST_SPOOLED 8192

/* One row remains of an image, a role and a server, as of jobs. */
static OssPlan add_failed = {
	"WITH last AS (SELECT $4 AS requester, $6 AS server, $7 AS bucket, $8 AS key,"
	" $9 AS version_id, oss_labels.origin() AS origin, coalesce((SELECT oid"
	" FROM pg_foreign_server WHERE srvname = $6), 0) AS server_id),"
	" earlier AS (DELETE FROM oss_labels.failed_job WHERE ctid = ANY (ARRAY("
	"SELECT e.ctid FROM last JOIN oss_labels.failed_job e ON "
	OSS_SAME_FAILURE("e", "last") " FOR UPDATE OF e SKIP LOCKED)) RETURNING attempts) "
	"INSERT INTO oss_labels.failed_job (job_id, enqueued_at, thr, priority,"
	" attempts, http_status, requester, requester_name, origin, server, server_id,"
	" bucket, key, version_id, \"sqlstate\", code, message, detail, hint, request_id,"
	" etag, permanent, seen) "
	"SELECT nextval(pg_get_serial_sequence('oss_labels.job', 'job_id')), $1, $2, 0,"
	" 1 + coalesce((SELECT sum(attempts) FROM earlier), 0), $3, requester, $5,"
	" origin, server, server_id, bucket, key, version_id, $10, $11, $12, $13, $14,"
	" $15, $16, true, oss_labels.fingerprint(server, requester) FROM last",
	16, {TIMESTAMPTZOID, FLOAT8OID, INT4OID, OIDOID, TEXTOID, TEXTOID, TEXTOID,
	TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID}
};

/* Create the lane of these answers. */
static DispatchLane *
make_lane(OssDispatcher *dispatcher)
{
	DispatchLane *lane = MemoryContextAllocZero(dispatcher->context, sizeof(DispatchLane));

	lane->bucket = MemoryContextAllocZero(dispatcher->context, sizeof(DispatchBucket));
	lane->bucket->server = MemoryContextAllocZero(dispatcher->context, sizeof(DispatchServer));
	dlist_init(&lane->ready);
	return lane;
}

/* Make a record a finished job. */
static void
take_record(void *arg, const OssSpoolRecord *record, int file)
{
	OssDispatcher *dispatcher = arg;
	MemoryContext context = AllocSetContextCreate(dispatcher->context,
												  "oss_labels spooled answer",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	OssJob	   *job = palloc0(sizeof(OssJob));

	job->context = context;
	job->lane = dispatcher->queue.spool_lane;
	job->lane->njobs++;
	job->image = oss_image_copy(&record->image);
	job->hash = oss_image_hash(&job->image);
	job->requester = record->requester;
	job->attempts = 1;
	job->pause = OSS_SCOPE_IMAGE;
	job->started_at = job->enqueued_at = record->asked_at;
	job->spooled = true;
	job->file = file;
	job->server_name = pstrdup(record->server);
	job->facts = record->facts;
	job->asked_id = pstrdup(record->request_id);
	job->body = pnstrdup(record->body, record->body_len);
	job->body_len = record->body_len;
	MemoryContextSwitchTo(old);
	oss_dispatch_finish(dispatcher, job, OSS_VERDICT_ANSWERED);
}

/* Take answers from the spool as finished jobs. */
bool
oss_dispatch_take_spooled(OssDispatcher *dispatcher, bool first)
{
	MemoryContext work;
	MemoryContext old;
	bool		more;

	if (dispatcher->queue.spool_lane == NULL)
		dispatcher->queue.spool_lane = make_lane(dispatcher);
	work = AllocSetContextCreate(dispatcher->context, "oss_labels spool",
								 ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(work);
	more = oss_spool_read(MOST_SPOOLED - dispatcher->queue.spool_lane->njobs, first,
						  take_record, dispatcher);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(work);
	return more;
}

/* Free an answer that cannot be stored now. */
void
oss_dispatch_drop_spooled(OssDispatcher *dispatcher, OssJob *job)
{
	oss_dispatch_free_job(job);
}

/* Insert the answers that can never be stored into failed_job. */
void
oss_dispatch_fail_spooled(OssJob **jobs, int n)
{
	for (int i = 0; i < n; i++)
	{
		const OssJob *job = jobs[i];
		const OssReason *reason = &job->reason;
		const char *texts[] = {oss_role_name(job->requester), job->server_name,
			job->image.bucket, job->image.key, job->image.version_id,
			unpack_sql_state(reason->sqlerrcode), reason->code, reason->message,
		reason->detail, reason->hint, reason->request_id, job->image.etag};
		Datum		values[16];
		char		nulls[16];

		/*
		 * the session has raised the error of an answer that is no labels
		 * document
		 */
		if (reason->code == NULL || (strcmp(reason->code, "NotStored") != 0 &&
									 strcmp(reason->code, OSS_ID_COLLISION) != 0))
			continue;
		oss_arg(values, nulls, 0, TimestampTzGetDatum(job->started_at), false);
		oss_arg(values, nulls, 1, Float8GetDatum(job->image.thr), !job->image.has_thr);
		oss_arg(values, nulls, 2, Int32GetDatum(reason->http_status), false);
		oss_arg(values, nulls, 3, ObjectIdGetDatum(job->requester), false);
		for (int t = 0; t < lengthof(texts); t++)
			oss_arg(values, nulls, 4 + t, texts[t] ? CStringGetTextDatum(texts[t]) : (Datum) 0,
					texts[t] == NULL);
		oss_statement_execute(&add_failed, values, nulls, SPI_OK_INSERT);
	}
}
