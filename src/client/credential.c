/*-------------------------------------------------------------------------
 * credential.c
 *	  Getting a fresh key: the cached one, a new one, or another process's.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/credential.h"
#include "client/credential_fetch.h"
#include "utils/memutils.h"

/* A refused key that the source returns again within this time is bad. */
#define REFUSAL_REMEMBERED		(10 * USECS_PER_SEC)

/*
 * A request that waits for credentials asks again after this time at the
 * latest, since the process that fetches them may die, or to look at a program.
 */
#define POLL_MS			500
#define PROGRAM_POLL_MS	20

/* A key is renewed for a longer life at most once in this time. */
#define WANTED_AGAIN	(60 * USECS_PER_SEC)

/* by CredentialKind */
static const CredentialProvider *const providers[] = {
	&oss_credential_static,
	&oss_credential_environment,
	&oss_credential_ecs_ram_role,
	&oss_credential_oidc,
	&oss_credential_uri,
	&oss_credential_config_file,
	&oss_credential_ram_role_arn,
	&oss_credential_default
};

StaticAssertDecl(lengthof(providers) == CREDENTIAL_KINDS,
				 "each kind of source has a provider");

/* Reset callback: overwrite the secrets. */
static void
wipe_on_reset(void *arg)
{
	CredentialSource *source = arg;

	/* fetch_context, a child, has been deleted already */
	source->fetching = NULL;
	oss_credential_cache_give_up(&source->identity, &source->ticket);
	oss_credential_key_wipe(&source->key);
	oss_credential_options_wipe(&source->options);
}

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
	source->providers = providers;
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

CredentialSource *
oss_credential_source_make(MemoryContext context, List *options)
{
	CredentialSource *source;

	oss_credential_options_check(options);
	source = make_source(context);
	oss_credential_options_read(&source->options, source->context, options);
	source->provider = providers[oss_credential_kind(options)];
	source->uses_machine = oss_credential_uses_machine(options);
	return source;
}

void
oss_credential_source_use_proxy(CredentialSource *source, HttpProxy *proxy)
{
	proxy->user = source->options.proxy_user;
	proxy->password = source->options.proxy_password;
	source->proxy = proxy;
}

void
oss_credential_source_share(CredentialSource *source, Oid mapping,
							const uint8 *digest, int64 read_at)
{
	source->identity.mapping = mapping;
	source->identity.read_at = source->provider->renewable ? read_at : 0;
	memcpy(source->identity.digest, digest, sizeof(source->identity.digest));
}

bool
oss_credential_source_is_of(const CredentialSource *source, Oid mapping,
							const uint8 *digest)
{
	return source->identity.mapping == mapping &&
		memcmp(source->identity.digest, digest, CREDENTIAL_DIGEST_LEN) == 0;
}

void
oss_credential_source_inherit(CredentialSource *source, const CredentialSource *from)
{
	const CredentialKey *old = &from->key;
	CredentialKey key = *old;

	if (!source->provider->renewable || old->id == NULL ||
		!oss_credential_source_is_of(source, from->identity.mapping,
									 from->identity.digest))
		return;
	key.id = MemoryContextStrdup(source->context, old->id);
	key.secret = MemoryContextStrdup(source->context, old->secret);
	if (old->token != NULL)
		key.token = MemoryContextStrdup(source->context, old->token);
	Assert(source->key.id == NULL);
	source->key = key;
	source->ticket.version = from->ticket.version;
}

void
oss_credential_source_allow_programs(CredentialSource *source, bool allow)
{
	source->may_run_programs = allow;

	/* a key that a program gave the role while it was a superuser */
	if (!allow && source->key.own)
		oss_credential_key_wipe(&source->key);
}

int
oss_credential_poll_ms(const CredentialSource *source)
{
	return source->program != NULL ? PROGRAM_POLL_MS : POLL_MS;
}

const char *
oss_credential_source_name(const CredentialSource *source)
{
	return oss_credential_kind_name(source->provider->kind);
}

/* Have span us passed since then, or was the clock set back? */
static bool
time_has_passed(TimestampTz since, int64 span, TimestampTz now)
{
	return now - since >= span || now < since;
}

/* Copy a key that another process fetched. */
static void
take_key(CredentialSource *source, const CredentialCached *cached)
{
	CredentialKey key = {
		.id = MemoryContextStrdup(source->context, cached->id),
		.secret = MemoryContextStrdup(source->context, cached->secret),
		.expires = true,
		.default_found = cached->default_found,
		.expires_at = cached->expires_at,
		.refresh_at = cached->refresh_at
	};

	if (cached->token[0] != '\0')
		key.token = MemoryContextStrdup(source->context, cached->token);
	oss_credential_key_wipe(&source->key);
	source->key = key;
}

/* Is a fetch due: without a usable key, or to renew it? */
static bool
wants_key(const CredentialSource *source, TimestampTz now)
{
	return (!oss_credential_key_usable(source, now) || now >= source->key.refresh_at ||
			source->wanted_until > oss_credential_ends_at(source)) &&
		(source->failure == NULL ||
		 time_has_passed(source->failed_at, CREDENTIAL_FAILURE_REMEMBERED, now));
}

/* Must requests wait for the new key? */
static bool
wants_now(const CredentialSource *source, TimestampTz now)
{
	return !oss_credential_key_usable(source, now) || source->wanted_until != 0;
}

/*
 * Start or continue a fetch, unless another process fetches the key or has
 * done so.
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
		oss_credential_fetch(source, now);
		return;
	}
	oss_credential_fetch_end(source);
	if (advice == CREDENTIAL_TAKE)
	{
		take_key(source, &answer.key);
		explicit_bzero(&answer.key, sizeof(answer.key));
	}
	else if (advice == CREDENTIAL_FAIL)
	{
		MemoryContextReset(source->failure_context);
		source->failure = NULL;
		oss_credential_remember_failure(source, answer.trouble,
										MemoryContextStrdup(source->failure_context,
															answer.detail),
										answer.failed_at);
	}
	else
		source->waiting = wants_now(source, now);
}

CredentialState
oss_credential_get(CredentialSource *source, OssCredentials *out,
				   const OssFailure **failure)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		waited = source->waiting;

	source->waiting = false;
	if (source->fetching != NULL || wants_key(source, now))
		look_for_key(source, now);

	/* the key taken from another process may also expire too soon */
	if (source->wanted_until != 0 && source->fetching == NULL &&
		wants_key(source, now))
		look_for_key(source, now);
	source->asked_at = now;
	if (waited && !source->waiting)
		oss_credential_cache_stop_waiting();
	else if (source->waiting && !waited)
		elog(DEBUG1, "waiting for another process that fetches credentials from source \"%s\"",
			 oss_credential_source_name(source));

	if (oss_credential_key_usable(source, now))
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

void
oss_credential_want(CredentialSource *source, TimestampTz until)
{
	TimestampTz now = GetCurrentTimestamp();

	source->wanted_until = 0;
	if (until == 0 || !source->provider->renewable ||
		oss_credential_ends_at(source) >= until)
		return;
	if (oss_credential_key_usable(source, now))
	{
		if (!time_has_passed(source->wanted_at, WANTED_AGAIN, now))
			return;
		source->wanted_at = now;
		elog(DEBUG1, "renewing credentials from source \"%s\" for a use that they do not live for",
			 oss_credential_source_name(source));
	}
	source->wanted_until = until;
}

bool
oss_credential_wanted(const CredentialSource *source)
{
	return source->wanted_until > oss_credential_ends_at(source) &&
		(source->fetching != NULL || source->waiting);
}

TimestampTz
oss_credential_ends_at(const CredentialSource *source)
{
	if (source->key.id == NULL)
		return DT_NOBEGIN;
	return source->key.expires ? source->key.expires_at : DT_NOEND;
}

bool
oss_credential_refused(CredentialSource *source, const char *key_id)
{
	TimestampTz now = GetCurrentTimestamp();

	if (!source->provider->renewable)
		return false;
	if (source->key.id == NULL || strcmp(source->key.id, key_id) != 0)
		return true;

	/* the source returned the same key again */
	if (strcmp(source->refused_id, key_id) == 0 &&
		!time_has_passed(source->refused_at, REFUSAL_REMEMBERED, now))
		return false;
	if (!oss_credential_cache_refuse(&source->identity, key_id, REFUSAL_REMEMBERED))
		return false;
	strlcpy(source->refused_id, key_id, sizeof(source->refused_id));
	source->refused_at = now;
	oss_credential_key_wipe(&source->key);
	return true;
}
