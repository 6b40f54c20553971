/*-------------------------------------------------------------------------
 * presign.c
 *	  presign(): a URL with which a browser can show an image for a while.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/request.h"
#include "client/signing.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "protocol/image_labels.h"
#include "sql/srf.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(oss_labels_presign);

/* The arguments, in the order of the SQL declaration. */
enum PresignArgument
{
	PRESIGN_BUCKET,
	PRESIGN_KEY,
	PRESIGN_EXPIRES,
	PRESIGN_PROCESS,
	PRESIGN_VERSION_ID,
	PRESIGN_SERVER
};

/* Return the seconds of an interval; raise unless the service takes them. */
static long
expires_seconds(const Interval *interval)
{
	double		seconds;

	seconds = interval->time / 1000000.0 + interval->day * 86400.0 +
		interval->month * 30.0 * 86400.0;
	if (seconds < 1 || seconds > OSS_EXPIRES_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid lifetime of a presigned URL"),
				 errdetail("Valid is 1 second to 7 days.")));
	return (long) seconds;
}

/* Raise unless the instruction is one that a URL may carry. */
static void
check_process(const char *process)
{
	const char *problem = NULL;

	if (process != NULL)
		problem = oss_process_presign_problem(process);
	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a presigned URL cannot carry this process instruction"),
				 errdetail_internal("%s", oss_sentence(problem)),
				 errhint("Basic image operations are possible, such as \"image/resize,w_200\".")));
}

/* presign(bucket, key, expires, process, version_id, server) */
Datum
oss_labels_presign(PG_FUNCTION_ARGS)
{
	OssLabelsSpec spec = {0};
	OssTarget	target = {.method = "GET"};
	const OssFailure *failure;
	OssCredentials who;
	long		expires;

	if (PG_ARGISNULL(PRESIGN_BUCKET) || PG_ARGISNULL(PRESIGN_KEY) ||
		PG_ARGISNULL(PRESIGN_EXPIRES))
		PG_RETURN_NULL();
	target.bucket = spec.bucket = oss_utf8_argument(fcinfo, PRESIGN_BUCKET);
	target.key = spec.key = oss_utf8_argument(fcinfo, PRESIGN_KEY);
	target.version_id = spec.version_id = oss_utf8_argument(fcinfo, PRESIGN_VERSION_ID);
	target.process = oss_utf8_argument(fcinfo, PRESIGN_PROCESS);
	expires = expires_seconds(PG_GETARG_INTERVAL_P(PRESIGN_EXPIRES));
	check_process(target.process);
	if ((failure = oss_spec_failure(&spec)) != NULL)
		oss_failure_throw(failure);
	spec.server = oss_server_get(oss_name_argument(fcinfo, PRESIGN_SERVER),
								 GetUserId());

	/* waiting for credentials may handle an invalidation */
	oss_server_hold(spec.server);
	oss_server_credentials(spec.server, &who);
	PG_RETURN_TEXT_P(cstring_to_text(oss_signed_url(spec.server, &target, &who,
													expires)));
}
