/*-------------------------------------------------------------------------
 * probe.c
 *	  Single requests without label detection, for check_server().
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/probe.h"
#include "client/usage.h"

/* Only headers and error documents are used. */
#define PROBE_MAX_BODY	65536

static void
on_done(HttpTransfer *transfer, void *arg)
{
	*(bool *) arg = true;
}

const HttpAnswer *
oss_probe(OssServer *server, const OssRoute *route, const OssTarget *target,
		  const OssCredentials *who, const OssFailure **failure)
{
	bool	   *done = palloc0(sizeof(bool));
	const HttpAnswer *answer;
	HttpTransfer *transfer;
	HttpSpec	spec;
	OssErrorXml xml;
	OssRetry	retry;

	oss_signed_spec(server, route, target, who, &spec);
	spec.timeout_ms = server->timeout_ms;
	spec.max_body = PROBE_MAX_BODY;
	transfer = oss_http_start(CurrentMemoryContext, &spec, on_done, done);
	while (!*done)
		oss_http_turn(-1);
	answer = oss_http_answer(transfer);
	*failure = NULL;
	retry = OSS_RETRY_NEVER;
	if (answer->end != HTTP_ANSWERED || answer->status / 100 != 2)
	{
		const OssFailureRule *rule = oss_failure_classify(answer, &xml);
		OssFailure *made;

		rule = oss_route_rule(route, rule);
		made = oss_failure_describe(rule, answer, &xml, "an answer");
		made->scope = rule->scope;
		made->hint = oss_route_hint(route, rule);
		made->detail = oss_route_detail(route, target->bucket, made->detail);
		*failure = made;
		retry = rule->retry;
	}
	if (who != NULL)
		oss_usage_attempt(server, target->bucket, OSS_KIND_HEAD,
						  oss_outcome(OSS_KIND_HEAD, answer, retry), answer->bytes_received);
	return answer;
}
