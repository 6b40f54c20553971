/*-------------------------------------------------------------------------
 * signed_request.c
 *	  Signing requests to a server.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/rate_limit.h"
#include "client/signed_request.h"
#include "utils/timestamp.h"

/* sha256, date, token, payer, authorization */
#define MAX_HEADERS		5
/* process, version, payer, and the target's own */
#define MAX_PARAMETERS	(3 + OSS_QUERY_MAX)

/*
 * The request being signed.  Its fields point into the target, the
 * credentials and this struct.
 */
typedef struct Signing
{
	OssToSign	what;
	OssField	headers[MAX_HEADERS];
	OssField	query[MAX_PARAMETERS];
} Signing;

bool
oss_correct_clock(const OssServer *server, const char *date)
{
	time_t		theirs = oss_http_parse_date(date);

	if (theirs == (time_t) -1)
		return false;
	oss_clock_set_offset_ms(server->serverid,
							(time_t_to_timestamptz(theirs) -
							 GetCurrentTimestamp()) / 1000);
	return true;
}

static void
out_of_memory(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_OUT_OF_MEMORY),
			 errmsg("could not sign a request"),
			 errdetail("Out of memory, or libcrypto failed.")));
}

/* Set what the header form and the URL form have in common. */
static void
begin_signing(Signing *signing, const OssServer *server, const OssTarget *target)
{
	OssToSign  *what = &signing->what;

	memset(signing, 0, sizeof(*signing));
	what->method = target->method;
	what->bucket = target->bucket;
	what->key = target->key;
	what->region = server->region;
	what->product = server->product;
	what->headers = signing->headers;
	what->query = signing->query;

	/* the service's time is the local clock plus the server's offset */
	oss_timestamp(timestamptz_to_time_t(GetCurrentTimestamp() +
										oss_clock_offset_ms(server->serverid) * 1000),
				  what->timestamp);
	if (target->process != NULL)
		signing->query[what->nquery++] = oss_field("x-oss-process", target->process);
	if (target->version_id != NULL)
		signing->query[what->nquery++] = oss_field("versionId", target->version_id);
	Assert(target->nquery <= OSS_QUERY_MAX);
	for (size_t i = 0; i < target->nquery; i++)
		signing->query[what->nquery++] = target->query[i];
}

static void
add_signed_header(Signing *signing, const char *name, const char *value)
{
	signing->headers[signing->what.nheaders++] = oss_field(name, value);
}

/* Add the signed headers and the signature.  Returns false on failure. */
static bool
sign_request(Signing *signing, OssServer *server, const OssCredentials *who,
			 OssText *authorization)
{
	add_signed_header(signing, "x-oss-content-sha256", "UNSIGNED-PAYLOAD");
	add_signed_header(signing, "x-oss-date", signing->what.timestamp);
	if (who->token != NULL)
		add_signed_header(signing, "x-oss-security-token", who->token);
	if (server->requester_pays)
		add_signed_header(signing, "x-oss-request-payer", "requester");
	oss_text_reset(authorization);
	if (!oss_sign_header(authorization, &signing->what, who,
						 &server->signing_key))
		return false;
	add_signed_header(signing, "Authorization", authorization->data);
	return true;
}

void
oss_signed_spec(OssServer *server, const OssRoute *route,
				const OssTarget *target, const OssCredentials *who,
				HttpSpec *spec)
{
	static Signing signing;
	static OssText url = {0};
	static OssText authorization = {0};

	begin_signing(&signing, server, target);
	if (who != NULL && !sign_request(&signing, server, who, &authorization))
		out_of_memory();
	oss_text_reset(&url);
	oss_object_url(&url, &route->endpoint, route->addressing,
				   target->bucket, target->key);
	if (signing.what.nquery > 0)
		oss_text_adds(&url, "?");
	oss_query_string(&url, signing.what.query, signing.what.nquery);
	if (url.failed)
		out_of_memory();

	memset(spec, 0, sizeof(*spec));
	spec->method = target->method;
	spec->url = url.data;
	spec->headers = signing.headers;
	spec->nheaders = signing.what.nheaders;
	spec->ca_file = server->ca_file;
	spec->proxy = &server->proxy;
	spec->connect_timeout_ms = server->connect_timeout_ms;
	spec->reach = HTTP_REACH_OSS;
	spec->allow_http = !route->endpoint.https;
	spec->private_http = server->private_http;
}

char *
oss_signed_url(OssServer *server, const OssRoute *route,
			   const OssTarget *target, const OssCredentials *who,
			   long expires)
{
	static OssText url = {0};
	Signing		signing;
	char	   *copy;

	begin_signing(&signing, server, target);
	if (server->requester_pays)
		signing.query[signing.what.nquery++] =
			oss_field("x-oss-request-payer", "requester");
	oss_text_reset(&url);
	oss_object_url(&url, &route->endpoint, route->addressing,
				   target->bucket, target->key);
	oss_text_adds(&url, "?");
	if (url.failed ||
		!oss_sign_query(&url, &signing.what, who, expires, &server->signing_key) ||
		url.failed)
		out_of_memory();
	copy = pstrdup(url.data);
	oss_text_wipe(&url);
	return copy;
}
