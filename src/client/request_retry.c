/*-------------------------------------------------------------------------
 * request_retry.c
 *	  Whether and when a failed request is sent again.
 *
 * No attempt is sent whose response would come too late, since each costs
 * money.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "client/request_state.h"
#include "client/signed_request.h"
#include "common/pg_prng.h"
#include "utils/timestamp.h"

/* Full jitter over min(base * 2^n, cap), as the SDKs do (protocol/README.md 4.2). */
#define BACKOFF_BASE_MS		200.0
#define BACKOFF_CAP_MS		20000.0

/*
 * With less time left than this (or half of timeout_ms), or than the last
 * response took, the response to a new attempt would not be received in time.
 */
#define LEAST_TIME_MS		100

/*
 * Attempts in a row without any response after which the set-up is at fault.
 */
#define UNREACHABLE_LIMIT	5

/* Return the last time for another attempt, by oss_http_now(). */
static int64
last_call(const OssRequest *request)
{
	long		least = Min(LEAST_TIME_MS, request->server->timeout_ms / 2);

	return request->deadline - Max(least, request->took_ms) * INT64CONST(1000);
}

long
oss_time_left(const OssRequest *request, int64 now)
{
	if (request->deadline == 0)
		return -1;
	return (long) ((Max(last_call(request) - now, 0) + 999) / 1000) + 1;
}

bool
oss_too_late(const OssRequest *request, int64 when)
{
	return request->deadline != 0 && when > last_call(request);
}

/*
 * Count an attempt without a response.  Attempts that were in flight at the
 * same time count once.
 */
static void
note_unreachable(OssRequest *request)
{
	OssReach   *reach = oss_request_reach(request);

	if (reach->failed > 0 && request->sent < reach->failed_at)
		return;
	reach->failed++;
	reach->failed_at = oss_http_now();
}

/* Count attempts without any response from the endpoint. */
static void
note_reachable(OssRequest *request, const HttpAnswer *answer)
{
	switch (answer->end)
	{
		case HTTP_RESOLVE:
		case HTTP_CONNECT:
		case HTTP_TLS:
			note_unreachable(request);
			break;
		case HTTP_TIMEOUT:
			if (answer->sent_us == 0)
				note_unreachable(request);
			break;
		case HTTP_ANSWERED:
			oss_request_reach(request)->failed = 0;
			break;
		default:
			break;
	}
	if (oss_request_reach(request)->failed >= UNREACHABLE_LIMIT &&
		answer->status == 0 && request->rule->retry == OSS_RETRY_TRANSIENT)
		request->rule = oss_failure_rule("Unreachable");
}

/*
 * Return when to try again after a backoff, 0 if that is after the deadline.
 * The jitter is added to the delay that the service asked for, so that
 * throttled requests do not all return at the same time.
 */
static int64
backoff_end(const OssRequest *request, long asked_ms)
{
	double		ceiling = Min(BACKOFF_BASE_MS * pow(2, request->charged),
							  BACKOFF_CAP_MS);
	double		ms = pg_prng_double(&pg_global_prng_state) * ceiling;
	int64		due = oss_http_now() + ((int64) ms + asked_ms) * 1000;

	return oss_too_late(request, due) ? 0 : due;
}

/*
 * Decide whether to send another attempt.  A response with status 200 has been
 * paid for: repeat that request only when the connection broke, or when it asks
 * for a page, which is cheap.
 */
static bool
may_retry(OssRequest *request, const HttpAnswer *answer, int64 *due)
{
	*due = 0;
	if (answer->status == 200 && answer->end != HTTP_BROKEN &&
		answer->end != HTTP_OTHER && request->kind != OSS_KIND_LISTING)
		return false;
	switch (request->rule->retry)
	{
		case OSS_RETRY_NEVER:
			return false;
		case OSS_RETRY_CLOCK:
			if (request->clock_corrected ||
				!(oss_correct_clock(request->server, answer->date) ||
				  oss_correct_clock(request->server, request->xml.server_time)))
				return false;
			request->clock_corrected = true;
			break;
		case OSS_RETRY_CREDENTIALS:
			if (request->key_renewed ||
				!oss_credential_refused(request->server->source, request->key_id))
				return false;
			request->key_renewed = true;
			break;
		case OSS_RETRY_TRANSIENT:
		case OSS_RETRY_THROTTLED:
			if (request->charged >= request->max_attempts)
				return false;
			*due = backoff_end(request, oss_failure_delay(answer));
			return *due != 0;
	}

	/* an attempt whose signature was refused is not charged */
	request->charged--;
	return true;
}

bool
oss_retry(OssRequest *request, const HttpAnswer *answer, int64 *due)
{
	bool		again;

	note_reachable(request, answer);
	again = may_retry(request, answer, due);

	/* the service may refuse a token because it has ended */
	if (request->list != NULL && (again || answer->status == 400) &&
		oss_request_drop_token(request))
		again = true;
	elog(DEBUG1, "attempt %d for bucket \"%s\" of server \"%s\" failed: %s; %s",
		 request->attempts, request->bucket, request->server->name,
		 request->rule->message, again ? "trying again" : "giving up");
	return again;
}

bool
oss_request_failed(const OssRequest *request)
{
	return request->failure != NULL || request->rule != NULL;
}

int
oss_request_attempts(const OssRequest *request)
{
	return request->attempts;
}

OssImage
oss_request_image(const OssRequest *request)
{
	return (OssImage)
	{
		.bucket = request->bucket,
			.key = request->key,
			.version_id = request->version_id
	};
}

void
oss_request_identity(const OssRequest *request, char etag[OSS_ETAG_MAX + 1],
					 TimestampTz *last_modified)
{
	const HttpAnswer *answer = request->transfer ? oss_http_answer(request->transfer) : NULL;
	time_t		modified = answer ? oss_http_parse_date(answer->last_modified) : -1;

	*last_modified = modified == (time_t) -1 ? 0 : time_t_to_timestamptz(modified);
	etag[0] = '\0';
	if (answer)
		(void) oss_etag_read(etag, answer->etag, strlen(answer->etag));
}
