/*-------------------------------------------------------------------------
 * credential_fetch.c
 *	  Fetching a key.
 *
 * A fetch is a chain of transfers on the process's event loop.  The end of a
 * transfer only sets a flag; the next step runs in oss_credential_get(), called
 * by any request that needs the key.  So the next query continues a fetch that
 * a cancelled one left behind, or restarts it if it has timed out.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/uio.h>

#include "client/credential_fetch.h"
#include "common/pg_prng.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "protocol/error_json.h"
#include "utils/memutils.h"

/* Of requests to STS and the like, unless the mapping says otherwise. */
#define CONNECT_TIMEOUT_MS	5000
#define TIMEOUT_MS			10000

/* How often, and first after how long, a throttled request is repeated. */
#define THROTTLED_MAX		4
#define THROTTLED_PAUSE		(USECS_PER_SEC / 2)

/* A key is renewed this long before it expires; but see set_lifetime(). */
#define REFRESH_WINDOW	(180 * USECS_PER_SEC)

/* A key that never expires is read again from its file after this time. */
#define REREAD_AFTER	(60 * USECS_PER_SEC)

/* Clock difference that the resolution of a Date header may cause. */
#define DATE_TOLERANCE	(2 * USECS_PER_SEC)

/* A key is not used so shortly before it expires: requests take time. */
#define EXPIRY_MARGIN	(5 * USECS_PER_SEC)

static void
wipe_string(char **string)
{
	if (*string == NULL)
		return;
	explicit_bzero(*string, strlen(*string));
	pfree(*string);
	*string = NULL;
}

void
oss_credential_key_wipe(CredentialKey *key)
{
	wipe_string(&key->id);
	wipe_string(&key->secret);
	wipe_string(&key->token);
}

void
oss_credential_fetch_end(CredentialSource *source)
{
	source->fetching = NULL;
	source->transfer = NULL;
	source->transfer_done = false;
	source->resume_at = 0;
	source->throttled = 0;
	source->metadata_token = NULL;
	source->program = NULL;
	source->from_program = false;
	source->uses = NULL;
	source->fallback = NULL;
	source->fallback_reasons = NULL;
	source->base = NULL;
	MemoryContextReset(source->fetch_context);
}

const char *
oss_credential_skip_bom(const char *bytes, size_t *len)
{
	static const char bom[] = "\xEF\xBB\xBF";

	if (*len < strlen(bom) || memcmp(bytes, bom, strlen(bom)) != 0)
		return bytes;
	*len -= strlen(bom);
	return bytes + strlen(bom);
}

bool
oss_credential_error_read(const HttpAnswer *answer, OssErrorXml *error)
{
	size_t		len = answer->body_len;
	const char *body = oss_credential_skip_bom(answer->body, &len);

	return oss_error_xml_parse(body, len, error) ||
		oss_error_json_parse(body, len, error);
}

void
oss_credential_set_network(HttpSpec *spec, const CredentialSource *source)
{
	const CredentialOptions *options = &source->options;

	spec->ca_file = options->ca_file;
	spec->connect_timeout_ms = options->connect_timeout_ms != NULL ?
		atoi(options->connect_timeout_ms) : CONNECT_TIMEOUT_MS;
	spec->timeout_ms = options->timeout_ms != NULL ?
		atoi(options->timeout_ms) : TIMEOUT_MS;
	spec->max_body = CREDENTIAL_DOCUMENT_MAX;
}

bool
oss_credential_key_usable(const CredentialSource *source, TimestampTz now)
{
	return source->key.id != NULL &&
		(!source->key.expires || now < source->key.expires_at);
}

/* Keep a usable key after a renewal failed, and set when to try again. */
static void
go_on_with_old_key(CredentialSource *source, const char *detail)
{
	CredentialKey *key = &source->key;
	int64		wait = REREAD_AFTER;

	if (key->expires)
		wait = Max((key->expires_at - source->failed_at) / 10,
				   CREDENTIAL_FAILURE_REMEMBERED);
	key->refresh_at = source->failed_at + Min(wait, REREAD_AFTER);
	ereport(LOG,
			(errmsg("could not renew credentials from source \"%s\"",
					oss_credential_kind_name(source->provider->kind)),
			 errdetail_log("%s", detail),
			 errhint("The present credentials are used while they last.")));
}

/* by CredentialTrouble: codes of the table of errors */
static const char *const trouble_codes[] = {
	[CREDENTIAL_UNAVAILABLE] = "CredentialsUnavailable",
	[CREDENTIAL_ROLE_REFUSED] = "RoleRefused",
	[CREDENTIAL_ROLE_KEY_REFUSED] = "RoleKeyRefused",
	[CREDENTIAL_ROLE_CALL_REFUSED] = "RoleCallRefused"
};

void
oss_credential_remember_failure(CredentialSource *source, CredentialTrouble trouble,
								const char *detail, TimestampTz failed_at)
{
	MemoryContext old = MemoryContextSwitchTo(source->failure_context);

	source->failure = oss_failure_make(trouble_codes[trouble], detail,
									   psprintf("credentials from source \"%s\"",
												oss_credential_kind_name(source->provider->kind)));
	MemoryContextSwitchTo(old);
	source->failed_at = failed_at;
	source->wanted_until = 0;
}

/* Go on with a step of a provider. */
static void
set_step(CredentialSource *source, const CredentialProvider *provider,
		 const CredentialOptions *options, int step)
{
	source->fetching = provider;
	source->fetch_options = options;
	source->step = step;
	source->transfer_done = false;
	source->throttled = 0;
}

/*
 * Run the step that the source set for the case that a step fails.
 */
static void
fall_back(CredentialSource *source, const char *detail)
{
	MemoryContext old = MemoryContextSwitchTo(source->fetch_context);

	source->fallback_reasons = source->fallback_reasons == NULL ? pstrdup(detail) :
		psprintf("%s %s", source->fallback_reasons, detail);
	MemoryContextSwitchTo(old);
	set_step(source, source->fallback, source->fallback_options, source->fallback_step);
	source->uses = source->fallback_uses;
	source->program = NULL;
	source->from_program = false;
	source->again = true;
}

/* End the fetch with a failure; detail is allocated in failure_context. */
static void
end_failed(CredentialSource *source, CredentialTrouble trouble, const char *detail)
{
	bool		usable;

	oss_credential_remember_failure(source, trouble, detail, GetCurrentTimestamp());
	source->fetching = NULL;
	usable = oss_credential_key_usable(source, source->failed_at);
	if (usable)
		go_on_with_old_key(source, detail);
	oss_credential_cache_fail(&source->identity, &source->ticket, trouble, detail,
							  source->failed_at,
							  usable ? source->key.refresh_at : 0);
}

static void fail_with(CredentialSource *source, CredentialTrouble trouble,
					  const char *format, va_list args)
			pg_attribute_printf(3, 0);

/* Write the DETAIL of a failure; see oss_credential_fail(). */
static void
fail_with(CredentialSource *source, CredentialTrouble trouble, const char *format,
		  va_list args)
{
	MemoryContext old;
	StringInfoData detail;
	int			needed;

	MemoryContextReset(source->failure_context);
	source->failure = NULL;
	old = MemoryContextSwitchTo(source->failure_context);
	initStringInfo(&detail);
	for (;;)
	{
		va_list		copy;

		va_copy(copy, args);
		needed = appendStringInfoVA(&detail, format, copy);
		va_end(copy);
		if (needed == 0)
			break;
		enlargeStringInfo(&detail, needed);
	}
	MemoryContextSwitchTo(old);
	if (source->fallback != NULL)
		fall_back(source, detail.data);
	else
		end_failed(source, trouble, detail.data);
}

void
oss_credential_fail(CredentialSource *source, const char *format,...)
{
	va_list		args;

	va_start(args, format);
	fail_with(source, CREDENTIAL_UNAVAILABLE, format, args);
	va_end(args);
}

void
oss_credential_fail_as(CredentialSource *source, CredentialTrouble trouble,
					   const char *format,...)
{
	va_list		args;

	va_start(args, format);
	fail_with(source, trouble, format, args);
	va_end(args);
}

/*
 * Set when a key expires and when to renew it.
 *
 * The window before expiry shrinks with the remaining life, so that a service
 * that returns the same key repeatedly is asked a few times and not with each
 * request.  The random part keeps the processes of a machine from renewing
 * all at once.
 */
static void
set_lifetime(CredentialKey *key, TimestampTz now, TimestampTz expires_at)
{
	int64		left = expires_at - now;
	int64		window = Min(Max(left / 5, REFRESH_WINDOW), left / 2);

	window -= (int64) (window / 4 * pg_prng_double(&pg_global_prng_state));
	key->expires = true;
	key->expires_at = expires_at - Min(EXPIRY_MARGIN, left / 10);
	key->refresh_at = expires_at - window;
}

static const char *
key_problem(const char *id, const char *secret, const char *token)
{
	const char *problem = oss_credential_id_problem(id);

	if (problem == NULL)
		problem = oss_credential_secret_problem(secret);
	if (problem == NULL && token != NULL)
		problem = oss_credential_token_problem(token);
	return problem;
}

/*
 * Return the time of the service that sent the key.  The local clock may be
 * hours off, which must neither expire a key at once nor keep it too long.
 */
static TimestampTz
service_time(const CredentialSource *source, TimestampTz now)
{
	time_t		date = (time_t) -1;
	TimestampTz there;

	if (source->transfer_done)
		date = oss_http_parse_date(oss_http_answer(source->transfer)->date);
	if (date == (time_t) -1)
		return now;
	there = time_t_to_timestamptz(date);
	return there - now > DATE_TOLERANCE || now - there > DATE_TOLERANCE ?
		there : now;
}

/* Reset callback of fetch_context. */
static void
wipe_bytes(void *arg)
{
	const struct iovec *bytes = arg;

	explicit_bzero(bytes->iov_base, bytes->iov_len);
}

void
oss_credential_wipe_later(CredentialSource *source, char *bytes, size_t len)
{
	struct
	{
		MemoryContextCallback callback;
		struct iovec bytes;
	}		   *later = MemoryContextAllocZero(source->fetch_context, sizeof(*later));

	later->bytes.iov_base = bytes;
	later->bytes.iov_len = len;
	later->callback.func = wipe_bytes;
	later->callback.arg = &later->bytes;
	MemoryContextRegisterResetCallback(source->fetch_context, &later->callback);
}

/* Copy a secret into fetch_context. */
static char *
copy_secret(CredentialSource *source, const char *secret)
{
	char	   *copy = MemoryContextStrdup(source->fetch_context, secret);

	oss_credential_wipe_later(source, copy, strlen(copy));
	return copy;
}

void
oss_credential_use_by(CredentialSource *source, const CredentialProvider *provider,
					  const CredentialOptions *options)
{
	CredentialUse *use = MemoryContextAlloc(source->fetch_context, sizeof(*use));

	Assert(provider->signed_step > 0);
	use->provider = provider;
	use->options = options;
	use->next = source->uses;
	source->uses = use;
}

/* A key is there: what was to be tried instead is not, if it is that key. */
static void
leave_fallback(CredentialSource *source)
{
	if (source->fallback == NULL || source->uses != source->fallback_uses)
		return;
	source->default_found = source->fallback_step;
	source->fallback = NULL;
}

/* Go on with the last provider that is to use the key. */
static void
use_key(CredentialSource *source, const char *id, const char *secret,
		const char *token)
{
	CredentialUse *use = source->uses;
	CredentialOptions *base = MemoryContextAllocZero(source->fetch_context,
													 sizeof(*base));

	base->access_key_id = copy_secret(source, id);
	base->access_key_secret = copy_secret(source, secret);
	if (token != NULL)
		base->security_token = copy_secret(source, token);
	leave_fallback(source);
	source->uses = use->next;
	source->base = base;
	set_step(source, use->provider, use->options, use->provider->signed_step);
	use->provider->step(source);
}

void
oss_credential_deliver(CredentialSource *source, const char *id,
					   const char *secret, const char *token,
					   TimestampTz expires_at)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		expires = !TIMESTAMP_NOT_FINITE(expires_at);
	const char *problem;
	CredentialKey key = {0};

	if (token != NULL && token[0] == '\0')
		token = NULL;
	problem = key_problem(id, secret, token);
	if (problem != NULL)
	{
		oss_credential_fail(source, "The key is malformed. %s", problem);
		return;
	}
	if (expires)
		expires_at += now - service_time(source, now);
	if (expires && expires_at <= now)
	{
		oss_credential_fail(source, "The key has expired already.");
		return;
	}
	if (source->uses != NULL)
	{
		use_key(source, id, secret, token);
		return;
	}
	leave_fallback(source);
	key.id = MemoryContextStrdup(source->context, id);
	key.secret = MemoryContextStrdup(source->context, secret);
	if (token != NULL)
		key.token = MemoryContextStrdup(source->context, token);
	if (expires)
		set_lifetime(&key, now, expires_at);
	else
		key.refresh_at = source->provider->renewable ?
			now + REREAD_AFTER : DT_NOEND;
	oss_credential_key_wipe(&source->key);
	key.own = source->from_program;
	key.default_found = source->default_found;
	source->key = key;
	source->fetching = NULL;
	source->wanted_until = 0;
	oss_credential_cache_store(&source->identity, &source->ticket, &source->key);
}

static void
transfer_done(HttpTransfer *transfer, void *arg)
{
	CredentialSource *source = arg;

	source->transfer_done = true;
}

void
oss_credential_send(CredentialSource *source, const HttpSpec *spec, int next)
{
	source->spec = *spec;

	/* the metadata service is the machine's own */
	source->spec.proxy = source->fetching->kind == CREDENTIAL_ECS_RAM_ROLE ? NULL : source->proxy;
	source->step = next;
	source->transfer_repeated = false;
	source->transfer_done = false;
	source->transfer = oss_http_start(source->fetch_context, &source->spec,
									  transfer_done, source);
}

void
oss_credential_delegate(CredentialSource *source,
						const CredentialProvider *provider,
						const CredentialOptions *options)
{
	set_step(source, provider, options, 0);
	provider->step(source);
}

/* Should the step's request be sent a second time? */
static bool
transfer_worth_repeating(const CredentialSource *source)
{
	const HttpAnswer *answer = oss_http_answer(source->transfer);

	if (source->transfer_repeated)
		return false;
	if (answer->end == HTTP_ANSWERED)
		return answer->status == 429 || answer->status >= 500;
	return answer->end == HTTP_BROKEN;
}

/* Send the step's request again; a signed one is signed anew. */
static void
repeat_transfer(CredentialSource *source)
{
	int			step = source->fetching->signed_step;

	if (step > 0 && source->step > step)
	{
		source->step = step;
		source->transfer_done = false;
		source->fetching->step(source);
	}
	else
		oss_credential_send(source, &source->spec, source->step);
	source->transfer_repeated = true;
}

/*
 * Return the text of a caught error.  Data exceptions come from the JSON
 * parser and quote the document, so they are replaced.
 */
static const char *
caught_error_text(const ErrorData *error)
{
	int			category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	if (category == ERRCODE_DATA_EXCEPTION ||
		category == ERRCODE_PROGRAM_LIMIT_EXCEEDED)
		return "The document that should hold the key is not valid JSON.";
	return error->message;
}

/*
 * Has the service throttled the request, and is it worth while to wait?  Then
 * set when it is repeated.
 */
static bool
wait_throttled(CredentialSource *source)
{
	const HttpAnswer *answer = oss_http_answer(source->transfer);
	int64		wait = THROTTLED_PAUSE << source->throttled;
	OssErrorXml error;

	if (answer->end != HTTP_ANSWERED || answer->status == 200 ||
		source->throttled >= THROTTLED_MAX ||
		!oss_credential_error_read(answer, &error) ||
		strncmp(error.code, "Throttling", strlen("Throttling")) != 0)
		return false;
	wait += (int64) (wait / 2 * pg_prng_double(&pg_global_prng_state));
	source->throttled++;
	source->resume_at = GetCurrentTimestamp() + wait;
	elog(DEBUG1, "credentials from source \"%s\" are throttled (%s): asking again after " INT64_FORMAT " ms",
		 oss_credential_kind_name(source->provider->kind), error.code, wait / 1000);
	return true;
}

/* Run the next step, or repeat the last one; see do_step(). */
static void
advance_step(CredentialSource *source)
{
	if (source->resume_at != 0)
	{
		source->resume_at = 0;
		repeat_transfer(source);
	}
	else if (source->transfer_done && wait_throttled(source))
		return;
	else if (source->transfer_done && transfer_worth_repeating(source))
		repeat_transfer(source);
	else
		source->fetching->step(source);
}

/*
 * Run the next step.  Errors come from oss_http_start(), when memory or
 * descriptors run out, and from parsers that refuse a document.  That code
 * has no side effects that need a rollback.
 */
static void
try_step(CredentialSource *source)
{
	MemoryContext old = MemoryContextSwitchTo(source->fetch_context);
	uint32		interrupts = InterruptHoldoffCount;
	uint32		cancels = QueryCancelHoldoffCount;

	PG_TRY();
	{
		advance_step(source);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		/* first of all: fetching must not stay set without a transfer */
		source->fetching = NULL;
		source->resume_at = 0;

		/* restore what the ERROR reset, since this is not the top level */
		InterruptHoldoffCount = interrupts;
		QueryCancelHoldoffCount = cancels;
		MemoryContextSwitchTo(source->fetch_context);
		error = CopyErrorData();
		if (error->sqlerrcode == ERRCODE_OUT_OF_MEMORY ||
			error->sqlerrcode == ERRCODE_QUERY_CANCELED)
		{
			oss_credential_fetch_end(source);
			oss_credential_cache_give_up(&source->identity, &source->ticket);
			MemoryContextSwitchTo(old);
			PG_RE_THROW();
		}
		FlushErrorState();
		oss_credential_fail(source, "%s", caught_error_text(error));
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
}

/* Run the next step, and those that need not wait for a transfer. */
static void
do_step(CredentialSource *source)
{
	do
	{
		source->again = false;
		try_step(source);
	} while (source->again);
	if (source->fetching == NULL)
		oss_credential_fetch_end(source);
}

/* Is it time to repeat a throttled request?  The clock may have been set. */
static bool
is_resumed(const CredentialSource *source, TimestampTz now)
{
	return now >= source->resume_at ||
		source->resume_at - now > THROTTLED_PAUSE << (THROTTLED_MAX + 1);
}

void
oss_credential_fetch(CredentialSource *source, TimestampTz now)
{
	int64		patience = (source->spec.timeout_ms + 1000) * INT64CONST(1000);

	Assert(source->fetching == NULL || source->transfer != NULL || source->program != NULL);

	/* a time-out means nothing if no query ran the event loop meanwhile */
	if (source->fetching == NULL || now - source->asked_at > patience)
	{
		oss_credential_fetch_end(source);
		set_step(source, source->provider, &source->options, 0);
		do_step(source);
	}
	else if (source->resume_at != 0 ? is_resumed(source, now) :
			 (source->transfer_done || source->program != NULL))
		do_step(source);
	Assert(source->fetching == NULL || source->transfer != NULL || source->program != NULL);
}
