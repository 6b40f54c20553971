/*-------------------------------------------------------------------------
 * credential_ecs.c
 *	  Credentials of the RAM role of the ECS instance that PostgreSQL runs
 *	  on, from the metadata service.
 *
 * protocol/README.md 5.2.  The hardened mode is tried first: PUT returns a
 * token, which is sent with every GET.  If there is no token, the plain mode is
 * used, unless the mapping forbids it.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/credential_document.h"

#define SERVICE				"the ECS metadata service"
#define ROLES				"/latest/meta-data/ram/security-credentials/"
#define CONNECT_TIMEOUT_MS	1000
#define TIMEOUT_MS			3000
#define TOKEN_TTL			"21600" /* seconds */
#define TOKEN_MAX			1024

/* Steps of the fetch; the name tells the request that has been sent. */
enum
{
	STEP_BEGIN,
	STEP_TOKEN,
	STEP_ROLES,
	STEP_KEY
};

/* Send a request with one header, unless that has no value. */
static void
send_to_metadata(CredentialSource *source, const char *method,
				 const char *path, const char *name, const char *value, int next)
{
	OssField   *header = palloc(sizeof(*header));
	const char *endpoint = oss_metadata_endpoint;
	HttpSpec	spec = {0};
	int			len;

	if (endpoint == NULL)
		endpoint = OSS_METADATA_ENDPOINT;
	len = strlen(endpoint);
	while (len > 0 && endpoint[len - 1] == '/')
		len--;
	spec.method = method;
	spec.url = psprintf("%.*s%s", len, endpoint, path);
	*header = oss_field(name, value);
	spec.headers = header;
	spec.nheaders = value == NULL ? 0 : 1;
	spec.connect_timeout_ms = CONNECT_TIMEOUT_MS;
	spec.timeout_ms = TIMEOUT_MS;
	spec.max_body = CREDENTIAL_DOCUMENT_MAX;
	spec.reach = HTTP_REACH_METADATA;
	spec.allow_http = true;
	oss_credential_send(source, &spec, next);
}

/*
 * Request the key of a role, or the role's name if that is not known (NULL).
 */
static void
ask_key(CredentialSource *source, const char *role)
{
	send_to_metadata(source, "GET", psprintf("%s%s", ROLES, role ? role : ""),
					 "X-aliyun-ecs-metadata-token", source->metadata_token,
					 role ? STEP_KEY : STEP_ROLES);
}

/* Copy a body without surrounding white space. */
static char *
body_text(const HttpAnswer *answer)
{
	const char *begin = answer->body;
	const char *end = begin + answer->body_len;

	while (begin < end && isspace((unsigned char) *begin))
		begin++;
	while (end > begin && isspace((unsigned char) end[-1]))
		end--;
	return pnstrdup(begin, end - begin);
}

/* Return the role that the mapping or the environment names, or NULL. */
static const char *
given_role(const CredentialOptions *options)
{
	const char *role = options->role_name;

	if (role == NULL)
		role = getenv("ALIBABA_CLOUD_ECS_METADATA");
	return role != NULL && role[0] != '\0' ? role : NULL;
}

/*
 * Begin, unless the environment forbids it.  What it names must be checked, as
 * it becomes part of a URL.
 */
static void
begin_ecs(CredentialSource *source)
{
	CredentialOptions given = {0};
	const char *problem;

	given.role_name = unconstify(char *, given_role(source->fetch_options));
	if (oss_credential_environment_is_true("ALIBABA_CLOUD_ECS_METADATA_DISABLED"))
		oss_credential_fail(source, "ALIBABA_CLOUD_ECS_METADATA_DISABLED is true in the environment of the database server.");
	else if (oss_credential_options_problem(&given, CREDENTIAL_ECS_RAM_ROLE,
											&problem) != NULL)
		oss_credential_fail(source, "The name of the RAM role cannot be used. %s", problem);
	else
		send_to_metadata(source, "PUT", "/latest/api/token",
						 "X-aliyun-ecs-metadata-token-ttl-seconds", TOKEN_TTL,
						 STEP_TOKEN);
}

/* Read the token, and request the key with or without it. */
static void
take_token(CredentialSource *source)
{
	const HttpAnswer *answer = oss_http_answer(source->transfer);
	const CredentialOptions *options = source->fetch_options;

	if (answer->end == HTTP_ANSWERED && answer->status == 200 &&
		answer->body_len <= TOKEN_MAX)
	{
		char	   *token = body_text(answer);

		if (oss_credential_token_problem(token) == NULL)
			source->metadata_token = token;
	}
	if (source->metadata_token == NULL &&
		(oss_credential_option_is_true(options->disable_imds_v1) ||
		 oss_credential_environment_is_true("ALIBABA_CLOUD_IMDSV1_DISABLED")))
		oss_credential_fail(source, "Asking %s for a token failed, and disable_imds_v1 or ALIBABA_CLOUD_IMDSV1_DISABLED forbids to go on without one.",
							SERVICE);
	else
		ask_key(source, given_role(options));
}

/* Read the name of the instance's role, and request its key. */
static void
take_role(CredentialSource *source)
{
	CredentialOptions found = {0};
	const HttpAnswer *answer = oss_http_answer(source->transfer);
	const char *ignored;

	if (answer->end == HTTP_ANSWERED && answer->status == 404)
	{
		oss_credential_fail(source, "No RAM role is attached to this ECS instance.");
		return;
	}
	if (!oss_credential_answered(source, SERVICE))
		return;
	found.role_name = body_text(answer);
	if (oss_credential_options_problem(&found, CREDENTIAL_ECS_RAM_ROLE,
									   &ignored) != NULL)
		oss_credential_fail(source, "The answer of %s is not the name of a RAM role.",
							SERVICE);
	else
		ask_key(source, found.role_name);
}

static void
ecs_step(CredentialSource *source)
{
	switch (source->step)
	{
		case STEP_BEGIN:
			begin_ecs(source);
			break;
		case STEP_TOKEN:
			take_token(source);
			break;
		case STEP_ROLES:
			take_role(source);
			break;
		default:
			oss_credential_deliver_answer(source, SERVICE, NULL, true);
			break;
	}
}

const CredentialProvider oss_credential_ecs_ram_role = {
	CREDENTIAL_ECS_RAM_ROLE, true, ecs_step, 0
};
