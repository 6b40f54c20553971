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

#include "client/credential_fetch.h"
#include "common/pg_prng.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/memutils.h"

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
	source->metadata_token = NULL;
	MemoryContextReset(source->fetch_context);
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

void
oss_credential_remember_failure(CredentialSource *source, const char *detail,
								TimestampTz failed_at)
{
	MemoryContext old = MemoryContextSwitchTo(source->failure_context);

	source->failure = oss_failure_make("CredentialsUnavailable", detail,
									   psprintf("credentials from source \"%s\"",
												oss_credential_kind_name(source->provider->kind)));
	MemoryContextSwitchTo(old);
	source->failed_at = failed_at;
	source->wanted_until = 0;
}

void
oss_credential_fail(CredentialSource *source, const char *format,...)
{
	MemoryContext old;
	StringInfoData detail;
	bool		usable;
	int			needed;

	MemoryContextReset(source->failure_context);
	source->failure = NULL;
	old = MemoryContextSwitchTo(source->failure_context);
	initStringInfo(&detail);
	for (;;)
	{
		va_list		args;

		va_start(args, format);
		needed = appendStringInfoVA(&detail, format, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&detail, needed);
	}
	MemoryContextSwitchTo(old);
	oss_credential_remember_failure(source, detail.data, GetCurrentTimestamp());
	source->fetching = NULL;
	usable = oss_credential_key_usable(source, source->failed_at);
	if (usable)
		go_on_with_old_key(source, detail.data);
	oss_credential_cache_fail(&source->identity, &source->ticket, detail.data,
							  source->failed_at,
							  usable ? source->key.refresh_at : 0);
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
	source->step = next;
	source->transfer_repeated = false;
	source->transfer_done = false;
	source->transfer = oss_http_start(source->fetch_context, spec,
									  transfer_done, source);
}

void
oss_credential_delegate(CredentialSource *source,
						const CredentialProvider *provider,
						const CredentialOptions *options)
{
	source->fetching = provider;
	source->fetch_options = options;
	source->step = 0;
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
 * Run the next step.  Errors come from oss_http_start(), when memory or
 * descriptors run out, and from parsers that refuse a document.  That code
 * has no side effects that need a rollback.
 */
static void
do_step(CredentialSource *source)
{
	MemoryContext old = MemoryContextSwitchTo(source->fetch_context);
	uint32		interrupts = InterruptHoldoffCount;
	uint32		cancels = QueryCancelHoldoffCount;

	PG_TRY();
	{
		if (source->transfer_done && transfer_worth_repeating(source))
		{
			oss_credential_send(source, &source->spec, source->step);
			source->transfer_repeated = true;
		}
		else
			source->fetching->step(source);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		/* first of all: fetching must not stay set without a transfer */
		source->fetching = NULL;

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
	if (source->fetching == NULL)
		oss_credential_fetch_end(source);
}

void
oss_credential_fetch(CredentialSource *source, TimestampTz now)
{
	int64		patience = (source->spec.timeout_ms + 1000) * INT64CONST(1000);

	Assert(source->fetching == NULL || source->transfer != NULL);

	/* a time-out means nothing if no query ran the event loop meanwhile */
	if (source->fetching == NULL || now - source->asked_at > patience)
	{
		oss_credential_fetch_end(source);
		source->fetching = source->provider;
		source->fetch_options = &source->options;
		source->step = 0;
		do_step(source);
	}
	else if (source->transfer_done)
		do_step(source);
	Assert(source->fetching == NULL || source->transfer != NULL);
}
