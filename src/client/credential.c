/*-------------------------------------------------------------------------
 * credential.c
 *	  A source of credentials: its key, and the fetch that renews it.
 *
 * A fetch is a chain of transfers on the process's event loop.  Nothing but a
 * flag is set when one of them is done; the next step is done in
 * oss_credential_get(), by whichever request asks first.  So a query that is
 * cancelled leaves a fetch that the next one goes on with, or begins anew when
 * it has been waiting for too long.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/credential_cache.h"
#include "client/credential_source.h"
#include "common/pg_prng.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#define SECONDS					USECS_PER_SEC

/* A key refused again within this time after being asked for again is bad. */
#define REFUSAL_REMEMBERED		(10 * SECONDS)

/* A newer key is looked for when so little of the old one's life is left. */
#define REFRESH_WINDOW			(180 * SECONDS)

/* A key that does not expire is read again from its file after so long. */
#define REREAD_AFTER			(60 * SECONDS)

/* A key is fetched anew for the sake of a longer life once in so long. */
#define WANTED_AGAIN			(60 * SECONDS)

/* A difference of clocks that the second of a Date header explains. */
#define DATE_TOLERANCE			(2 * SECONDS)

/* A key is not used in its last moments: the request takes time to arrive. */
#define EXPIRY_MARGIN			(5 * SECONDS)

/* Overwrite and free a string that was secret. */
static void
wipe_string(char **string)
{
	if (*string == NULL)
		return;
	explicit_bzero(*string, strlen(*string));
	pfree(*string);
	*string = NULL;
}

/* Forget a key. */
static void
wipe_key(CredentialKey *key)
{
	wipe_string(&key->id);
	wipe_string(&key->secret);
	wipe_string(&key->token);
}

/* Overwrite what is secret when the source's memory goes. */
static void
wipe_on_reset(void *arg)
{
	CredentialSource *source = arg;

	/* The fetch's memory, a child, is gone already. */
	source->fetching = NULL;
	oss_credential_cache_give_up(&source->identity, &source->ticket);
	wipe_key(&source->key);
	wipe_string(&source->options.access_key_secret);
	wipe_string(&source->options.security_token);
}

/* Make a source in a memory context of its own below the caller's. */
static CredentialSource *
make_source(MemoryContext parent)
{
	MemoryContext context = AllocSetContextCreate(parent,
												  "oss_labels credentials",
												  ALLOCSET_SMALL_SIZES);
	CredentialSource *source = MemoryContextAllocZero(context,
													  sizeof(*source));
	MemoryContextCallback *callback = MemoryContextAllocZero(context,
															 sizeof(*callback));

	source->context = context;
	source->fetch_context = AllocSetContextCreate(context,
												  "oss_labels credential fetch",
												  ALLOCSET_SMALL_SIZES);
	source->failure_context = AllocSetContextCreate(context,
													"oss_labels credential failure",
													ALLOCSET_SMALL_SIZES);
	callback->func = wipe_on_reset;
	callback->arg = source;
	MemoryContextRegisterResetCallback(context, callback);
	return source;
}

/* Make the source that a mapping's options describe. */
CredentialSource *
oss_credential_source_make(MemoryContext context, List *options)
{
	CredentialSource *source;

	oss_credential_options_check(options);
	source = make_source(context);
	oss_credential_options_read(&source->options, source->context, options);
	source->provider = &oss_credential_static;
	if (source->options.credential_source != NULL)
		source->provider =
			oss_credential_provider_by_name(source->options.credential_source);
	if (source->provider == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown credential source")));
	return source;
}

/* Return the source's name. */
const char *
oss_credential_source_name(const CredentialSource *source)
{
	return source->provider->name;
}

/* Give up the fetch under way, if any. */
static void
end_credential_fetch(CredentialSource *source)
{
	source->fetching = NULL;
	source->transfer = NULL;
	source->transfer_done = false;
	source->metadata_token = NULL;
	MemoryContextReset(source->fetch_context);
}

/* Has a span passed since then, or the clock been set back before it? */
static bool
time_has_passed(TimestampTz since, int64 span, TimestampTz now)
{
	return now - since >= span || now < since;
}

/* Is there a key whose life is not over? */
static bool
key_usable(const CredentialSource *source, TimestampTz now)
{
	return source->key.id != NULL &&
		(!source->key.expires || now < source->key.expires_at);
}

/* Put the next try to renew a usable key off. */
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
			(errmsg("could not renew credentials from source \"%s\", going on with those at hand",
					source->provider->name),
			 errdetail_log("%s", detail)));
}

/* Remember why there is no key; detail lives in the failure's context. */
static void
remember_failure(CredentialSource *source, const char *detail,
				 TimestampTz failed_at)
{
	MemoryContext old = MemoryContextSwitchTo(source->failure_context);

	source->failure = oss_failure_make("CredentialsUnavailable", detail,
									   psprintf("credentials from source \"%s\"",
												source->provider->name));
	MemoryContextSwitchTo(old);
	source->failed_at = failed_at;
	source->wanted_until = 0;
}

/* End the fetch and remember why it failed. */
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
	remember_failure(source, detail.data, GetCurrentTimestamp());
	source->fetching = NULL;
	usable = key_usable(source, source->failed_at);
	if (usable)
		go_on_with_old_key(source, detail.data);
	oss_credential_cache_fail(&source->identity, &source->ticket, detail.data,
							  source->failed_at,
							  usable ? source->key.refresh_at : 0);
}

/*
 * Set when a key ends and from when a newer one is looked for.
 *
 * The window shrinks with what is left, so that a service that gives the same
 * key again and again is asked a few times, not at each request; the random
 * part keeps the processes of one machine from asking all at once.
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

/* Return what is wrong with a key that was fetched, or NULL. */
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
 * Return what time it is for the service that answered.  Our own clock may be
 * wrong by hours, which must neither end a key at once nor keep it too long.
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

/* End the fetch with a key. */
void
oss_credential_deliver(CredentialSource *source, const char *id,
					   const char *secret, const char *token,
					   const char *expiration)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz expires_at = 0;
	bool		expires = expiration != NULL && expiration[0] != '\0';
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
	if (expires && !oss_credential_expiration(expiration, &expires_at))
	{
		oss_credential_fail(source, "The time at which the key expires is malformed; a right one is 2030-01-31T12:00:00Z.");
		return;
	}
	expires_at += now - service_time(source, now);
	if (expires && expires_at <= now)
	{
		oss_credential_fail(source, "The key that was given out has expired already.");
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
	wipe_key(&source->key);
	source->key = key;
	source->fetching = NULL;
	source->wanted_until = 0;
	oss_credential_cache_store(&source->identity, &source->ticket, &source->key);
}

/* Note that the transfer of a step is done. */
static void
transfer_done(HttpTransfer *transfer, void *arg)
{
	CredentialSource *source = arg;

	source->transfer_done = true;
}

/* Send a step's request. */
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

/* Hand the fetch over to another provider. */
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

/* Is a second try of the step's request worth while? */
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

/* Send the step's request again. */
static void
repeat_transfer(CredentialSource *source)
{
	oss_credential_send(source, &source->spec, source->step);
	source->transfer_repeated = true;
}

/*
 * Return what to say of an error.  One about data comes from the JSON parser,
 * and is better said without the data.
 */
static const char *
error_words(const ErrorData *error)
{
	int			category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	if (category == ERRCODE_DATA_EXCEPTION ||
		category == ERRCODE_PROGRAM_LIMIT_EXCEEDED)
		return "The document that should hold the key is not valid JSON.";
	return error->message;
}

/*
 * Do one step, or begin when there is none.  What is thrown is either a
 * descriptor or memory that can't be had by oss_http_start() or a document that a
 * parser refuses: all of it happens in code without side effects, so that
 * nothing needs to be rolled back.
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
			repeat_transfer(source);
		else
			source->fetching->step(source);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		/* Even if memory runs out again: no fetching without a transfer. */
		source->fetching = NULL;

		/* An ERROR sets these to 0, which is right at top level only. */
		InterruptHoldoffCount = interrupts;
		QueryCancelHoldoffCount = cancels;
		MemoryContextSwitchTo(source->fetch_context);
		error = CopyErrorData();
		if (error->sqlerrcode == ERRCODE_OUT_OF_MEMORY ||
			error->sqlerrcode == ERRCODE_QUERY_CANCELED)
		{
			end_credential_fetch(source);
			oss_credential_cache_give_up(&source->identity, &source->ticket);
			MemoryContextSwitchTo(old);
			PG_RE_THROW();
		}
		FlushErrorState();
		oss_credential_fail(source, "%s", error_words(error));
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	if (source->fetching == NULL)
		end_credential_fetch(source);
}

/* Begin a fetch. */
static void
begin_fetch(CredentialSource *source)
{
	end_credential_fetch(source);
	source->fetching = source->provider;
	source->fetch_options = &source->options;
	source->step = 0;
	do_step(source);
}

/* Go on with the fetch as far as it goes without waiting. */
static void
continue_fetch(CredentialSource *source, TimestampTz now)
{
	int64		patience = (source->spec.timeout_ms + 1000) * INT64CONST(1000);

	/* Nobody has turned the loop for it: its time-out would mean nothing. */
	if (now - source->asked_at > patience)
		begin_fetch(source);
	else if (source->transfer_done)
		do_step(source);
}

/* Take over a key that another process has fetched. */
static void
take_key(CredentialSource *source, const CredentialCached *cached)
{
	CredentialKey key = {
		.id = MemoryContextStrdup(source->context, cached->id),
		.secret = MemoryContextStrdup(source->context, cached->secret),
		.expires = true,
		.expires_at = cached->expires_at,
		.refresh_at = cached->refresh_at
	};

	if (cached->token[0] != '\0')
		key.token = MemoryContextStrdup(source->context, cached->token);
	wipe_key(&source->key);
	source->key = key;
}

/* Does a source want a key: the first one, or a newer one? */
static bool
wants_key(const CredentialSource *source, TimestampTz now)
{
	return (!key_usable(source, now) || now >= source->key.refresh_at ||
			source->wanted_until > oss_credential_ends_at(source)) &&
		(source->failure == NULL ||
		 time_has_passed(source->failed_at, CREDENTIAL_FAILURE_REMEMBERED, now));
}

/* Does somebody wait for the key that is fetched? */
static bool
wants_now(const CredentialSource *source, TimestampTz now)
{
	return !key_usable(source, now) || source->wanted_until != 0;
}

/*
 * Fetch a key, or go on with it, unless another process does or has done so.
 */
static void
look_for_key(CredentialSource *source, TimestampTz now)
{
	CredentialAnswer answer;
	CredentialAdvice advice = oss_credential_cache_ask(&source->identity,
													   &source->ticket,
													   wants_now(source, now),
													   source->wanted_until,
													   &answer);

	if (advice == CREDENTIAL_FETCH)
	{
		if (source->fetching != NULL)
			continue_fetch(source, now);
		else
			begin_fetch(source);
		return;
	}
	end_credential_fetch(source);
	if (advice == CREDENTIAL_TAKE)
	{
		take_key(source, &answer.key);
		explicit_bzero(&answer.key, sizeof(answer.key));
	}
	else if (advice == CREDENTIAL_FAIL)
	{
		MemoryContextReset(source->failure_context);
		source->failure = NULL;
		remember_failure(source,
						 MemoryContextStrdup(source->failure_context,
											 answer.detail),
						 answer.failed_at);
	}
	else
		source->waiting = wants_now(source, now);
}

/* Ask for credentials. */
CredentialState
oss_credential_get(CredentialSource *source, OssCredentials *out,
				   const OssFailure **failure)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		waited = source->waiting;

	source->waiting = false;
	if (source->fetching != NULL || wants_key(source, now))
		look_for_key(source, now);

	/* another process's key may end too soon, too */
	if (source->wanted_until != 0 && source->fetching == NULL &&
		wants_key(source, now))
		look_for_key(source, now);
	source->asked_at = now;
	if (waited && !source->waiting)
		oss_credential_cache_stop_waiting();
	else if (source->waiting && !waited)
		elog(DEBUG1, "waiting for another process that fetches credentials from source \"%s\"",
			 source->provider->name);

	if (key_usable(source, now))
	{
		out->key_id = source->key.id;
		out->secret = source->key.secret;
		out->token = source->key.token;
		return CREDENTIAL_READY;
	}
	if (source->fetching != NULL || source->waiting)
		return CREDENTIAL_PENDING;
	*failure = source->failure;
	return CREDENTIAL_FAILED;
}

/* Look for a key that lives long enough. */
void
oss_credential_want(CredentialSource *source, TimestampTz until)
{
	TimestampTz now = GetCurrentTimestamp();

	source->wanted_until = 0;
	if (until == 0 || !source->provider->renewable ||
		oss_credential_ends_at(source) >= until)
		return;
	if (key_usable(source, now))
	{
		if (!time_has_passed(source->wanted_at, WANTED_AGAIN, now))
			return;
		source->wanted_at = now;
		elog(DEBUG1, "renewing credentials from source \"%s\" for a use that they do not live for",
			 source->provider->name);
	}
	source->wanted_until = until;
}

/* Is a longer-lived key on its way? */
bool
oss_credential_wanted(const CredentialSource *source)
{
	return source->wanted_until > oss_credential_ends_at(source) &&
		(source->fetching != NULL || source->waiting);
}

/* Return when the key at hand ends. */
TimestampTz
oss_credential_ends_at(const CredentialSource *source)
{
	if (source->key.id == NULL)
		return DT_NOBEGIN;
	return source->key.expires ? source->key.expires_at : DT_NOEND;
}

/* Forget a key that the service refused. */
bool
oss_credential_refused(CredentialSource *source, const char *key_id)
{
	TimestampTz now = GetCurrentTimestamp();

	if (!source->provider->renewable)
		return false;
	if (source->key.id == NULL || strcmp(source->key.id, key_id) != 0)
		return true;

	/* Asked again, the source has given the same key again. */
	if (strcmp(source->refused_id, key_id) == 0 &&
		!time_has_passed(source->refused_at, REFUSAL_REMEMBERED, now))
		return false;
	if (!oss_credential_cache_refuse(&source->identity, key_id, REFUSAL_REMEMBERED))
		return false;
	strlcpy(source->refused_id, key_id, sizeof(source->refused_id));
	source->refused_at = now;
	wipe_key(&source->key);
	return true;
}

/* Give the key that the mapping holds. */
static void
static_step(CredentialSource *source)
{
	const CredentialOptions *options = source->fetch_options;

	if (options->access_key_id == NULL || options->access_key_secret == NULL)
		oss_credential_fail(source, "The user mapping has no access_key_id and access_key_secret.");
	else
		oss_credential_deliver(source, options->access_key_id,
							   options->access_key_secret,
							   options->security_token, NULL);
}

const CredentialProvider oss_credential_static = {"static", false, static_step};

/* Deliver the key of one family of environment variables, if it is there. */
static bool
deliver_from_environment(CredentialSource *source, const char *id_name,
						 const char *secret_name, const char *token_name)
{
	const char *id = getenv(id_name);
	const char *secret = getenv(secret_name);

	if (id == NULL || secret == NULL)
		return false;
	oss_credential_deliver(source, id, secret, getenv(token_name), NULL);
	return true;
}

/* Give the key of the environment of the database server (protocol/README.md 5.1). */
static void
environment_step(CredentialSource *source)
{
	if (!deliver_from_environment(source, "OSS_ACCESS_KEY_ID",
								  "OSS_ACCESS_KEY_SECRET",
								  "OSS_SESSION_TOKEN") &&
		!deliver_from_environment(source, "ALIBABA_CLOUD_ACCESS_KEY_ID",
								  "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
								  "ALIBABA_CLOUD_SECURITY_TOKEN"))
		oss_credential_fail(source, "The environment of the database server has neither OSS_ACCESS_KEY_ID and OSS_ACCESS_KEY_SECRET nor ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET.");
}

const CredentialProvider oss_credential_environment = {
	"environment", false, environment_step
};
