/*
 * sts.c
 *	  STS: AssumeRole by the RPC signature, and AssumeRoleWithOIDC.
 *
 * The signature is computed from the decoded parameters, as the documents say;
 * each nonce is taken once.
 */
#include "sts.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "answer.h"

#define NONCES		4096
#define SKEW		900			/* seconds */
#define MIN_DURATION	900

static sts_role *roles;
static uint64_t nonces[NONCES];
static uint64_t n_nonces;
static uint64_t n_keys;
static buffer calls;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* A call under way: the parameters of query and form. */
typedef struct sts_call
{
	request    *r;
	pair_list	params;
	buffer		storage;
	credential	who;
} sts_call;

/* Forget all roles and calls. */
void
sts_reset(void)
{
	pthread_mutex_lock(&lock);
	while (roles)
	{
		sts_role   *gone = roles;

		roles = gone->next;
		free(gone);
	}
	buffer_reset(&calls);
	pthread_mutex_unlock(&lock);
}

/* Add or replace a role. */
void
sts_role_set(const sts_role *role)
{
	sts_role   *mine;
	sts_role   *next;

	pthread_mutex_lock(&lock);
	for (mine = roles; mine && strcmp(mine->arn, role->arn) != 0;)
		mine = mine->next;
	if (mine == NULL)
	{
		mine = must_alloc(sizeof(*mine));
		mine->next = roles;
		roles = mine;
	}
	next = mine->next;
	*mine = *role;
	mine->next = next;
	pthread_mutex_unlock(&lock);
}

/* Copy a role out; false if there is none. */
static bool
role_find(text arn, sts_role *copy)
{
	bool		found = false;

	pthread_mutex_lock(&lock);
	for (sts_role *role = roles; role && !found; role = role->next)
	{
		found = text_eq(arn, role->arn);
		if (found)
			*copy = *role;
	}
	pthread_mutex_unlock(&lock);
	return found;
}

/* Return a parameter, or "". */
static text
param_of(const sts_call *c, const char *name)
{
	text		value = {"", 0};

	pair_list_get(&c->params, name, &value);
	return value;
}

/* Refuse a call, as XML unless JSON was asked for. */
static bool
refuse(sts_call *c, int status, const char *code, const char *message)
{
	answer_error_styled(c->r, text_eq(param_of(c, "Format"), "JSON") ? XML_JSON :
						XML_PLAIN, status, code, "", message, NULL);
	return false;
}

/* Append HMAC-SHA1 of a text in base64. */
static void
add_mac(buffer *out, const char *secret, const buffer *message)
{
	char		key[MAX_SECRET + 2];
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned int len = 0;

	snprintf(key, sizeof(key), "%s&", secret);
	HMAC(EVP_sha1(), key, (int) strlen(key), (const unsigned char *) message->data,
		 message->len, mac, &len);
	buffer_base64(out, mac, len);
}

/* qsort's comparison of two parameters by name. */
static int
compare_params(const void *a, const void *b)
{
	return text_compare(((const pair *) a)->name, ((const pair *) b)->name);
}

/* Append what is signed. */
static void
string_to_sign(sts_call *c, buffer *out)
{
	pair	   *sorted = must_alloc(((size_t) c->params.n + 1) * sizeof(pair));
	buffer		joined = {0};
	int			n = 0;

	for (int i = 0; i < c->params.n; i++)
		if (!text_eq(c->params.items[i].name, "Signature"))
			sorted[n++] = c->params.items[i];
	qsort(sorted, (size_t) n, sizeof(pair), compare_params);
	for (int i = 0; i < n; i++)
	{
		if (i > 0)
			buffer_puts(&joined, "&");
		buffer_escape(&joined, sorted[i].name, false);
		buffer_puts(&joined, "=");
		buffer_escape(&joined, sorted[i].value, false);
	}
	buffer_printf(out, "%s&%%2F&", c->r->method);
	buffer_escape(out, text_from(joined.data, joined.len), false);
	buffer_free(&joined);
	free(sorted);
}

/* Check the signature, the last of what is checked of the sender. */
static bool
check_mac(sts_call *c)
{
	text		given = param_of(c, "Signature");
	buffer		signed_text = {0};
	buffer		mac = {0};
	buffer		message = {0};
	bool		same;

	string_to_sign(c, &signed_text);
	add_mac(&mac, c->who.secret, &signed_text);
	same = given.len == mac.len && CRYPTO_memcmp(given.data, mac.data, mac.len) == 0;
	if (!same)
	{
		buffer_printf(&message, "Specified signature is not matched with our "
					  "calculation. server string to sign is:%s", signed_text.data);
		refuse(c, 400, "SignatureDoesNotMatch", message.data);
	}
	buffer_free(&signed_text);
	buffer_free(&mac);
	buffer_free(&message);
	return same;
}

/* Take a nonce; false if it was taken before. */
static bool
take_nonce(text nonce)
{
	uint64_t	hash = hash_bytes(nonce.data, nonce.len, 0);
	bool		new = true;

	pthread_mutex_lock(&lock);
	for (uint64_t i = 0; i < n_nonces && i < NONCES && new; i++)
		new = nonces[i] != hash;
	if (new)
		nonces[n_nonces++ % NONCES] = hash;
	pthread_mutex_unlock(&lock);
	return new;
}

/* Return whether a time is near enough to the server's. */
static bool
time_is_near(text stamp)
{
	struct tm	tm = {0};
	char		s[32];
	int64_t		when;
	const char *end;

	if (stamp.len != 20)
		return false;
	memcpy(s, stamp.data, stamp.len);
	s[stamp.len] = '\0';
	end = strptime(s, "%Y-%m-%dT%H:%M:%SZ", &tm);
	if (end == NULL || *end != '\0')
		return false;
	when = timegm(&tm) - server_time();
	return when <= SKEW && when >= -SKEW;
}

/* Check what every call has. */
static bool
check_common(sts_call *c)
{
	if (!text_eq(param_of(c, "Version"), "2015-04-01"))
		return refuse(c, 400, "InvalidVersion", "Specified parameter Version is not valid.");
	if (!time_is_near(param_of(c, "Timestamp")))
		return refuse(c, 400, "InvalidTimeStamp.Expired", "Specified time stamp or date value is expired.");
	for (int i = 0; i < c->params.n; i++)
	{
		for (int j = 0; j < i; j++)
			if (text_same(c->params.items[i].name, c->params.items[j].name))
				return refuse(c, 400, "InvalidParameter", "A parameter occurs twice.");
	}
	return true;
}

/* Check who calls. */
static bool
check_sender(sts_call *c)
{
	char	   *id = text_dup(param_of(c, "AccessKeyId"));
	bool		known = credential_find(id, &c->who);
	text		token = param_of(c, "SecurityToken");

	free(id);
	if (!known)
		return refuse(c, 404, "InvalidAccessKeyId.NotFound", "Specified access key is not found.");
	if (c->who.disabled)
		return refuse(c, 400, "InvalidAccessKeyId.Inactive", "Specified access key is disabled.");
	if (!text_eq(token, c->who.token))
		return refuse(c, 400, "InvalidSecurityToken.MismatchWithAccessKey", "Specified SecurityToken mismatch with the AccessKey.");
	if (c->who.expires_at != 0 && c->who.expires_at <= server_time())
		return refuse(c, 400, "InvalidSecurityToken.Expired", "Specified SecurityToken is expired.");
	if (!text_eq(param_of(c, "SignatureMethod"), "HMAC-SHA1") ||
		!text_eq(param_of(c, "SignatureVersion"), "1.0"))
		return refuse(c, 400, "InvalidParameter", "The signature's method is not supported.");
	if (!check_mac(c))
		return false;
	if (param_of(c, "SignatureNonce").len == 0 ||
		!take_nonce(param_of(c, "SignatureNonce")))
		return refuse(c, 400, "SignatureNonceUsed", "Specified signature nonce was used already.");
	return true;
}

/* Return whether a session's name is one. */
static bool
session_valid(text name)
{
	static const char legal[] = "0123456789abcdefghijklmnopqrstuvwxyz"
	"ABCDEFGHIJKLMNOPQRSTUVWXYZ.@-_";

	for (size_t i = 0; i < name.len; i++)
		if (name.data[i] == '\0' || strchr(legal, name.data[i]) == NULL)
			return false;
	return name.len >= 2 && name.len <= 64;
}

/* Check what is asked for, and find the role. */
static bool
check_request(sts_call *c, sts_role *role, int64_t *seconds)
{
	text		policy = param_of(c, "Policy");
	text		duration = param_of(c, "DurationSeconds");

	if (param_of(c, "RoleArn").len == 0)
		return refuse(c, 400, "MissingRoleArn", "RoleArn is mandatory for this action.");
	if (!session_valid(param_of(c, "RoleSessionName")))
		return refuse(c, 400, "InvalidParameter.RoleSessionName", "The parameter RoleSessionName is wrongly formed.");
	if (policy.len > 0 && (policy.data[0] != '{' || policy.data[policy.len - 1] != '}'))
		return refuse(c, 400, "InvalidParameter.PolicyGrammar", "The parameter Policy has not passed grammar check.");
	*seconds = 3600;
	if (duration.len > 0 && !text_number(duration, seconds))
		*seconds = 0;
	if (!role_find(param_of(c, "RoleArn"), role))
		return refuse(c, 404, "EntityNotExist.Role", "The specified Role not exists.");
	if (*seconds < MIN_DURATION || *seconds > role->max_duration)
		return refuse(c, 400, "InvalidParameter.DurationSeconds", "The Min/Max value of DurationSeconds is 15min/1hr.");
	return true;
}

/* Return whether the caller is one the role trusts. */
static bool
is_trusted(const sts_role *role, const credential *who)
{
	text		rest = text_of(role->trust);

	if (rest.len == 0)
		return true;
	while (rest.len > 0)
	{
		text		one = text_cut(&rest, ',');

		if (text_eq(one, who->id) || (who->arn[0] && text_eq(one, who->arn)))
			return true;
	}
	return false;
}

/* Give out a key of the role, which OSS knows from now on. */
static void
give_key(sts_call *c, const sts_role *role, int64_t seconds)
{
	credential	key = {.uses_left = -1};
	buffer		random = {0};
	buffer	   *out = &c->r->answer.body;
	char		until[40];
	uint64_t	n;

	pthread_mutex_lock(&lock);
	n = ++n_keys;
	pthread_mutex_unlock(&lock);
	snprintf(key.id, sizeof(key.id), "STS.made%llu", (unsigned long long) n);
	random_uuid(&random);
	snprintf(key.secret, sizeof(key.secret), "made-secret-%s", random.data);
	buffer_reset(&random);
	random_uuid(&random);
	snprintf(key.token, sizeof(key.token), "made-token/%s+==", random.data);
	snprintf(key.arn, sizeof(key.arn), "%s", role->arn);
	key.expires_at = server_time() + (role->lifetime ? role->lifetime : seconds);
	credential_set(&key);
	format_iso(key.expires_at, until, sizeof(until));
	/* STS has no fraction of seconds */
	strcpy(until + 19, "Z");
	buffer_printf(out, "{\"RequestId\":\"%s\",\"AssumedRoleUser\":{\"Arn\":", c->r->answer.request_id);
	buffer_json(out, text_of(role->arn));
	buffer_puts(out, ",\"AssumedRoleId\":\"1\"},\"Credentials\":{\"SecurityToken\":");
	buffer_json(out, text_of(key.token));
	buffer_puts(out, ",\"AccessKeyId\":");
	buffer_json(out, text_of(key.id));
	buffer_puts(out, ",\"AccessKeySecret\":");
	buffer_json(out, text_of(key.secret));
	buffer_printf(out, ",\"Expiration\":\"%s\"}}", until);
	c->r->answer.content_type = "application/json;charset=utf-8";
	buffer_free(&random);
}

/* Do what the call asks for, or refuse it. */
static void
do_call(sts_call *c)
{
	bool		oidc = text_eq(param_of(c, "Action"), "AssumeRoleWithOIDC");
	sts_role	role = {0};
	int64_t		seconds;

	if (!oidc && !text_eq(param_of(c, "Action"), "AssumeRole"))
		refuse(c, 404, "InvalidAction.NotFound", "Specified api is not found.");
	else if (!check_common(c) || (!oidc && !check_sender(c)) ||
			 !check_request(c, &role, &seconds))
		return;
	else if (oidc && (role.oidc_token[0] == '\0' ||
					  !text_eq(param_of(c, "OIDCToken"), role.oidc_token)))
		refuse(c, 400, "AuthenticationFail.OIDCToken.Invalid", "The OIDC token is not valid.");
	else if (!oidc && (!is_trusted(&role, &c->who) ||
					   (role.external_id[0] &&
						!text_eq(param_of(c, "ExternalId"), role.external_id))))
		refuse(c, 403, "NoPermission", "You are not authorized to do this action. You should be authorized by RAM.");
	else
		give_key(c, &role, seconds);
}

/* Note a call for the test. */
static void
note_call(sts_call *c)
{
	static const char *const names[] = {"RoleArn", "RoleSessionName",
	"DurationSeconds", "Policy", "ExternalId", "AccessKeyId", "OIDCProviderArn"};

	pthread_mutex_lock(&lock);
	buffer_text(&calls, param_of(c, "Action"));
	buffer_printf(&calls, "\t%s", c->r->answer.code[0] ? c->r->answer.code : "ok");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		buffer_puts(&calls, "\t");
		buffer_escape(&calls, param_of(c, names[i]), true);
	}
	buffer_puts(&calls, "\n");
	pthread_mutex_unlock(&lock);
}

/* List the calls. */
void
sts_log(buffer *out)
{
	pthread_mutex_lock(&lock);
	buffer_add(out, calls.data ? calls.data : "", calls.len);
	pthread_mutex_unlock(&lock);
}

/* Answer a call. */
bool
sts_answer(request *r)
{
	sts_call	c = {.r = r};

	for (int i = 0; i < r->query.n; i++)
		pair_list_add(&c.params, r->query.items[i].name, r->query.items[i].value);
	query_parse(&c.params, &c.storage, text_from(r->upload.data, r->upload.len));
	do_call(&c);
	note_call(&c);
	buffer_free(&c.storage);
	free(c.params.items);
	return true;
}
