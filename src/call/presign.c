/*-------------------------------------------------------------------------
 * presign.c
 *	  presign(): a URL with which a browser can show an image for a limited
 *	  time.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/request.h"
#include "client/signed_request.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "protocol/image_labels.h"
#include "spi/result_rows.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(oss_labels_presign);

/* Default lifetime of a URL in seconds, if the key lives that long. */
#define DEFAULT_EXPIRES	900

/* Arguments, in the order of the SQL declaration. */
enum PresignArgument
{
	PRESIGN_BUCKET,
	PRESIGN_KEY,
	PRESIGN_EXPIRES,
	PRESIGN_PROCESS,
	PRESIGN_VERSION_ID,
	PRESIGN_SERVER
};

/*
 * Convert a lifetime to seconds.  Errors: 22023 if the service does not
 * accept it.
 */
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
				 errdetail("Valid is 1 second to 7 days."),
				 errhint("Give expires such an interval, or NULL for 15 minutes.")));
	return (long) seconds;
}

/*
 * Return the lifetime of a URL whose key lives for "left" more seconds (-1:
 * unknown), after which the service refuses it.  told: the caller chose the
 * lifetime.
 */
static long
living_seconds(const OssServer *server, long expires, bool told, long left)
{
	if (left < 0 || expires <= left)
		return expires;
	if (!told && left > 0)
		return left;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("a presigned URL cannot outlive the key that signs it"),
			 errdetail("The URL is to live for %ld seconds, but the key from source \"%s\" ends in %ld seconds, at %s.",
					   expires, oss_credential_source_name(server->source), left,
					   timestamptz_to_str(GetCurrentTimestamp() + left * USECS_PER_SEC)),
			 errhint("Ask for a shorter expires, or use a user mapping with an access key that does not expire.")));
	return 0;
}

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

/* Set the route of a URL.  Errors: 55000 there is none. */
static void
find_url_route(const OssServer *server, const OssImage *image, OssRoute *route)
{
	const char *problem = oss_route_find(server, image->bucket, route);

	if (problem != NULL)
		oss_failure_throw(oss_route_failure(server, problem,
											psprintf("a URL of \"oss://%s/%s\"",
													 image->bucket, image->key)));
}

/* presign(bucket, key, expires, process, version_id, server) */
Datum
oss_labels_presign(PG_FUNCTION_ARGS)
{
	OssImage	image = {0};
	OssServer  *server;
	OssRoute	route;
	OssTarget	target = {.method = "GET"};
	OssCredentials who;
	bool		told = !PG_ARGISNULL(PRESIGN_EXPIRES);
	long		expires = DEFAULT_EXPIRES;

	if (PG_ARGISNULL(PRESIGN_BUCKET) || PG_ARGISNULL(PRESIGN_KEY))
		PG_RETURN_NULL();
	target.bucket = image.bucket = oss_utf8_argument(fcinfo, PRESIGN_BUCKET);
	target.key = image.key = oss_utf8_argument(fcinfo, PRESIGN_KEY);
	target.version_id = image.version_id = oss_utf8_argument(fcinfo, PRESIGN_VERSION_ID);
	target.process = oss_utf8_argument(fcinfo, PRESIGN_PROCESS);
	if (told)
		expires = expires_seconds(PG_GETARG_INTERVAL_P(PRESIGN_EXPIRES));
	check_process(target.process);
	oss_image_check(&image);
	server = oss_server_get(oss_name_argument(fcinfo, PRESIGN_SERVER),
							GetUserId());

	/* waiting for credentials may process invalidations */
	oss_server_pin_in_context(server);
	find_url_route(server, &image, &route);
	expires = living_seconds(server, expires, told,
							 oss_server_credentials_for(server, expires, &who));
	PG_RETURN_TEXT_P(cstring_to_text(oss_signed_url(server, &route, &target,
													&who, expires)));
}
