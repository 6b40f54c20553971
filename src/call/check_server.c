/*-------------------------------------------------------------------------
 * check_server.c
 *	  check_server(): step-by-step diagnosis of a server; error_table().
 *
 * The checks go from the catalogs to the paid action, and stop where the next
 * one cannot work.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "call/detect.h"
#include "client/budget.h"
#include "client/labels_response.h"
#include "client/probe.h"
#include "client/signed_request.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "spi/subtransaction.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(oss_labels_check_server);
PG_FUNCTION_INFO_V1(oss_labels_error_table);

#define CHECK_COLUMNS	4
#define ERROR_COLUMNS	11

/* Clock difference that the service tolerates, in seconds. */
#define MAX_SKEW_SECONDS	900

/* An object that hardly exists: requesting it tests its bucket. */
#define PROBE_KEY	".oss_labels-check"

/* State of a check_server() call. */
typedef struct ServerCheck
{
	OssResult	result;
	const char *name;			/* of the server, or NULL */
	const char *step;			/* of resolve_endpoint(), in case of an error */
	OssServer  *server;
	OssRoute	route;
	OssCredentials who;			/* a copy: other requests of the process may
								 * renew the server's */
	char	   *bucket;
	char	   *key;
} ServerCheck;

/* Add a row to the result. */
static void
report_check(ServerCheck *p, const char *check, bool ok, const char *detail,
			 const char *hint)
{
	Datum		values[CHECK_COLUMNS];
	bool		nulls[CHECK_COLUMNS] = {false};

	values[0] = CStringGetTextDatum(check);
	values[1] = BoolGetDatum(ok);
	values[2] = oss_text_or_null(detail, &nulls[2]);
	values[3] = oss_text_or_null(hint, &nulls[3]);
	oss_result_add(&p->result, values, nulls);
}

/* Report a check without result. */
static void
report_unknown(ServerCheck *p, const char *check, const char *detail,
			   const char *hint)
{
	Datum		values[CHECK_COLUMNS] = {0};
	bool		nulls[CHECK_COLUMNS] = {false, true, false, false};

	values[0] = CStringGetTextDatum(check);
	values[2] = CStringGetTextDatum(detail);
	values[3] = CStringGetTextDatum(hint);
	oss_result_add(&p->result, values, nulls);
}

/* Report a failed request.  Returns false. */
static bool
report_failure(ServerCheck *p, const char *check, const OssFailure *failure)
{
	report_check(p, check, false,
				 failure->detail != NULL && failure->detail[0] != '\0' ?
				 psprintf("%s\n%s", failure->message, failure->detail) :
				 failure->message, failure->hint);
	return false;
}

static void
on_credentials_reset(void *arg)
{
	OssCredentials *who = arg;

	explicit_bzero(unconstify(char *, who->secret), strlen(who->secret));
	if (who->token != NULL)
		explicit_bzero(unconstify(char *, who->token), strlen(who->token));
}

/* Copy credentials; the copy is overwritten when its memory is freed. */
static OssCredentials
copy_credentials(const OssCredentials *who)
{
	OssCredentials *copy = palloc(sizeof(*copy));
	MemoryContextCallback *reset = palloc(sizeof(*reset));

	copy->key_id = pstrdup(who->key_id);
	copy->secret = pstrdup(who->secret);
	copy->token = who->token != NULL ? pstrdup(who->token) : NULL;
	reset->func = on_credentials_reset;
	reset->arg = copy;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, reset);
	return *copy;
}

/* Resolve the server and get its credentials. */
static void
resolve_endpoint(void *arg)
{
	ServerCheck *p = arg;
	OssCredentials who;

	p->step = "server";
	oss_server_oid(p->name, GetUserId());
	p->step = "mapping";
	p->server = oss_server_get(p->name, GetUserId());
	oss_server_pin_in_context(p->server);
	p->step = "credentials";
	oss_server_credentials(p->server, &who);
	p->who = copy_credentials(&who);
}

/* Is an error a result of the check?  A cancel, a conflict or a bug is not. */
static bool
is_finding(const ErrorData *error)
{
	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_TRANSACTION_ROLLBACK:
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_INTERNAL_ERROR:
			return false;
		default:
			return true;
	}
}

/*
 * Run resolve_endpoint(), and report an error.  It reads catalogs, so
 * catching errors takes a subtransaction.
 */
static bool
check_catalogs(ServerCheck *p)
{
	ErrorData  *error = oss_subtransaction(resolve_endpoint, p);

	if (error == NULL)
		return true;
	if (!is_finding(error))
		ReThrowError(error);
	report_check(p, p->step, false,
				 error->detail ? psprintf("%s\n%s", error->message, error->detail) :
				 error->message, error->hint);
	return false;
}

static void
report_catalogs(ServerCheck *p)
{
	static const char *const addressing[] = {
		[OSS_VIRTUAL_HOST] = "virtual",[OSS_PATH] = "path",[OSS_CNAME] = "cname"
	};
	const OssServer *s = p->server;

	report_check(p, "server", true, psprintf("\"%s\"", s->name), NULL);
	report_check(p, "options", true,
				 psprintf("region %s, endpoint %s, addressing %s%s", s->region,
						  s->endpoint_template ? s->endpoint_template :
						  psprintf("%s://%s:%d", s->endpoint.https ? "https" : "http",
								   s->endpoint.host, s->endpoint.port),
						  addressing[s->addressing], s->ndomains == 0 ? "" :
						  psprintf(", %d of bucket_domains", s->ndomains)), NULL);
	report_check(p, "mapping", true,
				 psprintf("of %s", s->public_mapping ? "PUBLIC" :
						  psprintf("role \"%s\"", GetUserNameFromId(s->userid, false))),
				 NULL);
	report_check(p, "credentials", true,
				 psprintf("source %s", oss_credential_source_name(s->source)), NULL);
}

/*
 * Report whether a proxy was used, and how far it got.  *done: it was, and stands
 * for name and connection.  Returns false if it failed.
 */
static bool
report_proxy(ServerCheck *p, const HttpAnswer *a, const OssFailure *failure, bool *done)
{
	const OssServer *s = p->server;

	*done = a->proxy[0] != '\0';
	if (!*done && s->proxy.url != NULL)
		report_check(p, "proxy", true,
					 psprintf("not used for %s, but %s would be", p->route.endpoint.host, s->proxy.url),
					 "Requests to a loopback address go through a proxy on loopback only, those to link-local addresses through none.");
	if (!*done)
		return true;
	if ((a->end >= HTTP_PROXY_RESOLVE && a->end <= HTTP_PROXY_GARBLED) &&
		a->proxy_status / 100 != 2)
		return report_failure(p, "proxy", failure);
	report_check(p, "proxy", true,
				 psprintf("%s, which is %s, connects to %s:%d", a->proxy,
						  a->address[0] ? a->address : "known",
						  p->route.endpoint.host, p->route.endpoint.port), NULL);
	return true;
}

/* Report TLS and what comes after it.  Returns whether there was a response. */
static bool
report_tls(ServerCheck *p, const HttpAnswer *a, const OssFailure *failure)
{
	if (a->end == HTTP_TLS || a->end == HTTP_CERTIFICATE || a->end == HTTP_TUNNEL_TLS ||
		a->end == HTTP_TUNNEL_CERTIFICATE || a->end == HTTP_PROXY_TIMEOUT ||
		(a->end == HTTP_TIMEOUT && a->sent_us == 0))
		return report_failure(p, "tls", failure);
	if (p->route.endpoint.https || p->route.endpoint.is_loopback)
		report_check(p, "tls", true, p->route.endpoint.https ?
					 "certificate accepted" : "not used: plain http on loopback", NULL);
	else
		report_check(p, "tls", true, psprintf("not used: plain http to %s, by the option plain_http",
											  a->address),
					 "Others in that network may read what is sent, repeat it for 15 minutes, and forge answers: use https where the service has it.");
	if (a->end != HTTP_ANSWERED)
		return report_failure(p, "answer", failure);
	return true;
}

/*
 * Report the phases of an unsigned request.  Returns whether there was a
 * response.
 */
static bool
report_network(ServerCheck *p, const HttpAnswer *a, const OssFailure *failure)
{
	bool		proxied;

	if (!report_proxy(p, a, failure, &proxied))
		return false;
	if (proxied)
		return report_tls(p, a, failure);
	if (a->end == HTTP_RESOLVE || (a->end == HTTP_TIMEOUT && a->dns_us == 0 && !a->connected))
		return report_failure(p, "dns", failure);
	report_check(p, "dns", true, psprintf("%s is %s, %lld ms", p->route.endpoint.host,
										  a->address[0] ? a->address : "known",
										  (long long) (a->dns_us / 1000)), NULL);
	if (a->end == HTTP_CONNECT || a->end == HTTP_FORBIDDEN_ADDRESS ||
		(a->end == HTTP_TIMEOUT && !a->connected))
		return report_failure(p, "tcp", failure);
	report_check(p, "tcp", true, a->new_connection ?
				 psprintf("connected in %lld ms",
						  (long long) (Max(a->connect_us - a->dns_us, 0) / 1000)) :
				 "a connection was open already", NULL);
	return report_tls(p, a, failure);
}

/* Report the clock difference, and correct for it if it is too large. */
static void
report_clock(ServerCheck *p, const HttpAnswer *a)
{
	time_t		theirs = oss_http_parse_date(a->date);
	long		skew;

	if (theirs == (time_t) -1)
	{
		report_check(p, "clock", false, "the answer has no Date",
					 "Check that the endpoint is OSS itself and no proxy answers in its place.");
		return;
	}
	skew = (long) (time(NULL) - theirs);
	if (labs(skew) >= MAX_SKEW_SECONDS)
		oss_correct_clock(p->server, a->date);
	report_check(p, "clock", labs(skew) < MAX_SKEW_SECONDS,
				 psprintf("ours differs by %ld s, %d s are tolerated", skew,
						  MAX_SKEW_SECONDS),
				 labs(skew) < MAX_SKEW_SECONDS ? NULL :
				 "Requests reckon with it, but let NTP set the clock of the database server.");
}

/* Check the arguments, and find the host to which requests for the bucket go. */
static bool
check_route(ServerCheck *p)
{
	OssImage	image = {.bucket = p->bucket,.key = p->key != NULL ? p->key : PROBE_KEY};
	const OssFailure *failure = p->bucket != NULL ? oss_image_failure(&image) : NULL;
	const char *problem;

	if (failure != NULL)
		return report_failure(p, "arguments", failure);
	problem = oss_route_find(p->server, p->bucket, &p->route);
	if (problem == NULL)
		return true;
	if (p->bucket != NULL)
		return report_failure(p, "dns", oss_route_failure(p->server, problem, "an answer"));
	report_unknown(p, "dns", psprintf("cannot tell: %s", problem),
				   "Give a bucket, whose host is checked then.");
	return false;
}

/* Check network and clock with one unsigned request. */
static bool
check_network(ServerCheck *p)
{
	OssTarget	target = {.method = "GET"};
	const OssFailure *failure;
	const HttpAnswer *answer = oss_probe(p->server, &p->route, &target, NULL, &failure);

	if (!report_network(p, answer, failure))
		return false;
	report_clock(p, answer);
	return true;
}

/*
 * Report the budgets that cover the requests of this role, or that none does.
 * Returns false if nothing may be sent at all.
 */
static bool
check_budget(ServerCheck *p)
{
	const char *bucket = p->bucket ? p->bucket : "";
	OssBudget  *budgets = palloc(sizeof(OssBudget) * OSS_MOST_BUDGETS);
	OssBudgetRefusal why;
	int64		left = PG_INT64_MAX;
	int			n;

	if (oss_budget_look(p->server, bucket, OSS_KIND_LABELS, true, &why) == OSS_BUDGET_REFUSED)
	{
		report_check(p, "budget", false, why.detail, oss_failure_rule(why.code)->hint);
		return strcmp(why.code, "RequestsForbidden") != 0;
	}
	n = oss_budget_copy(budgets, OSS_MOST_BUDGETS);
	for (int i = 0; i < n; i++)
	{
		if (!oss_budget_covers(&budgets[i], p->server, bucket))
			continue;
		left = Min(left, budgets[i].most - budgets[i].spent);
	}
	if (left != PG_INT64_MAX)
		report_check(p, "budget", true,
					 psprintf("the budgets leave " INT64_FORMAT " requests of this role",
							  left), NULL);
	else
		report_check(p, "budget", true, "no budget is set for the requests of this role",
					 "SELECT oss_labels.set_budget(5000) allows 5000 requests a day, by all together.");
	return true;
}

/* Is a failure due to the signature or its parts? */
static bool
blames_signature(const OssFailure *failure)
{
	return failure->http_status == 0 || failure->retry == OSS_RETRY_CLOCK ||
		strcmp(failure->code, "InvalidArgument") == 0 ||
		failure->sqlerrcode == ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION;
}

/* Is a failure due to the object, while its bucket is in order? */
static bool
blames_object(const OssFailure *failure)
{
	return strcmp(failure->code, "MirrorFailed") == 0 ||
		(failure->scope == OSS_SCOPE_IMAGE &&
		 (failure->sqlerrcode == ERRCODE_NO_DATA_FOUND ||
		  failure->sqlerrcode == ERRCODE_DATA_EXCEPTION ||
		  failure->sqlerrcode == ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE));
}

/*
 * Report on the bucket, from the failure of a request for an object in it
 * (NULL: no failure).  Returns false if the check fails.
 */
static bool
report_bucket(ServerCheck *p, const OssFailure *failure)
{
	/* perhaps not to others of the bucket */
	bool		denied = failure != NULL && failure->scope == OSS_SCOPE_DENIAL &&
	failure->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE;

	if (failure != NULL && !denied && !blames_object(failure))
		return report_failure(p, "bucket", failure);
	if (denied && p->key == NULL)
	{
		report_unknown(p, "bucket",
					   psprintf("cannot tell: access to \"%s\" in \"%s\" is denied, which says nothing of other keys\n%s",
								PROBE_KEY, p->bucket, failure->detail),
					   "Give a key that the role may read: a policy may be for a prefix.");
		return true;
	}
	report_check(p, "bucket", true, denied ? psprintf("\"%s\" is there", p->bucket) :
				 psprintf("\"%s\" is in region %s", p->bucket, p->server->region),
				 NULL);
	return true;
}

/*
 * Check signature, bucket and key with a HEAD of an object.  The service
 * checks the signature before the bucket, and the bucket before the key.  The
 * object is the given key, which policies allow and a bucket with mirroring
 * has or fetches; without one, an object that hardly exists.
 */
static bool
check_object(ServerCheck *p)
{
	OssTarget	target = {.method = "HEAD",.bucket = p->bucket,
	.key = p->key != NULL ? p->key : PROBE_KEY};
	const OssFailure *failure;
	const HttpAnswer *a = oss_probe(p->server, &p->route, &target, &p->who, &failure);

	if (failure != NULL && blames_signature(failure))
		return report_failure(p, "signature", failure);
	report_check(p, "signature", true, "accepted", NULL);
	if (!report_bucket(p, failure) || p->key == NULL)
		return false;
	if (failure != NULL)
		return report_failure(p, "key", failure);
	report_check(p, "key", true, psprintf("readable, %s", a->content_type), NULL);
	return true;
}

/* Check the paid action with one request. */
static void
check_labels(ServerCheck *p)
{
	OssLabelsSpec spec = {.server = p->server,.image = {.bucket = p->bucket,.key = p->key}};
	OssGroup   *group;
	OssRequest *request = oss_detect_run(&spec, &group);
	const OssFailure *failure;
	OssLabel   *labels;
	Jsonb	   *answer;

	answer = oss_response_parse(request, NULL, &failure);
	if (answer == NULL)
		report_failure(p, "labels", failure);
	else
		report_check(p, "labels", true,
					 psprintf("%d labels; this check cost %d paid request",
							  oss_response_labels(answer, false, &labels),
							  oss_request_attempts(request)), NULL);
	oss_group_free(group);
}

/* check_server(server, bucket, key) */
Datum
oss_labels_check_server(PG_FUNCTION_ARGS)
{
	ServerCheck p = {0};

	p.result = oss_result_begin(fcinfo);
	p.bucket = oss_utf8_argument(fcinfo, 1);
	p.key = oss_utf8_argument(fcinfo, 2);
	p.name = oss_name_argument(fcinfo, 0);
	if (!check_catalogs(&p))
		return (Datum) 0;
	report_catalogs(&p);
	if (!check_budget(&p) || !check_route(&p) || !check_network(&p))
		return (Datum) 0;
	if (p.bucket == NULL)
	{
		report_check(&p, "bucket", true, "not checked",
					 "Give a bucket to check the signature and the bucket, and a key to check the paid action with one request.");
		return (Datum) 0;
	}
	if (check_object(&p))
		check_labels(&p);
	return (Datum) 0;
}

/* error_table() */
Datum
oss_labels_error_table(PG_FUNCTION_ARGS)
{
	OssResult	result = oss_result_begin(fcinfo);

	for (int i = 0; i < oss_failure_rule_count; i++)
	{
		const OssFailureRule *rule = &oss_failure_rules[i];
		Datum		values[ERROR_COLUMNS];
		bool		nulls[ERROR_COLUMNS] = {false};

		values[0] = Int32GetDatum(i + 1);
		values[1] = oss_text_or_null(oss_failure_status_name(rule), &nulls[1]);
		values[2] = oss_text_or_null(rule->code, &nulls[2]);
		values[3] = oss_text_or_null(rule->ec, &nulls[3]);
		values[4] = oss_text_or_null(rule->text, &nulls[4]);
		values[5] = CStringGetTextDatum(unpack_sql_state(rule->sqlerrcode));
		values[6] = CStringGetTextDatum(oss_retry_name(rule->retry));
		values[7] = BoolGetDatum(oss_scope_is_setup(rule->scope));
		values[8] = CStringGetTextDatum(rule->message);
		values[9] = oss_text_or_null(rule->hint, &nulls[9]);
		values[10] = CStringGetTextDatum(oss_scope_name(rule->scope));
		oss_result_add(&result, values, nulls);
	}
	return (Datum) 0;
}
