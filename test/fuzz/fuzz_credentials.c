/*-------------------------------------------------------------------------
 * fuzz_credentials.c
 *	  Take the input for what gives out credentials: a URI, the metadata
 *	  service, STS, a configuration file.
 *
 * The input's first byte chooses the source, its second the status of the
 * answers.  The rest is the answers, with a byte FF between them, of which the
 * last comes again and again; or the file.
 *-------------------------------------------------------------------------
 */
#include "backend.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/credential.h"
#include "client/failure.h"
#include "client/http.h"
#include "nodes/makefuncs.h"
#include "nodes/value.h"

/* More steps than any source has. */
#define STEPS_MAX	10

static HttpAnswer answer;
static char *answer_copy;
static const uint8_t *rest;
static size_t rest_len;

/* The linker gives these in place of what http.c has. */
extern HttpTransfer *__wrap_oss_http_start(MemoryContext context,
										   const HttpSpec *spec, HttpDone done,
										   void *arg);
extern const HttpAnswer *__wrap_oss_http_answer(const HttpTransfer *transfer);

/* Answer at once, with the next part of the input. */
HttpTransfer *
__wrap_oss_http_start(MemoryContext context, const HttpSpec *spec, HttpDone done,
					  void *arg)
{
	const uint8_t *end = memchr(rest, 0xff, rest_len);
	size_t		len = end ? (size_t) (end - rest) : rest_len;

	promise(spec->url != NULL && spec->method != NULL);
	free(answer_copy);
	answer_copy = fuzz_text(rest, len);
	answer.end = HTTP_ANSWERED;
	answer.body = answer_copy;
	answer.body_len = len;
	if (end != NULL)
	{
		rest_len -= len + 1;
		rest = end + 1;
	}
	done((HttpTransfer *) &answer, arg);
	return (HttpTransfer *) &answer;
}

const HttpAnswer *
__wrap_oss_http_answer(const HttpTransfer *transfer)
{
	return &answer;
}

/* Make an option. */
static DefElem *
option(const char *name, const char *value)
{
	return makeDefElem(pstrdup(name), (Node *) makeString(pstrdup(value)), -1);
}

/* Write the file that a source reads, in memory; returns its name. */
static const char *
write_file(const void *bytes, size_t len)
{
	static char path[64];
	static int	fd = -1;

	if (fd < 0)
	{
		fd = memfd_create("credentials", MFD_CLOEXEC);
		promise(fd >= 0 && fchmod(fd, 0600) == 0);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	promise(ftruncate(fd, 0) == 0);
	promise(pwrite(fd, bytes, len, 0) == (ssize_t) len);
	return path;
}

/* Make a source. */
static CredentialSource *
make_source(int kind)
{
	static const char *const names[] = {
		"credentials_uri", "ecs_ram_role", "oidc", "config_file", "ram_role_arn",
		"default"
	};
	List	   *options = list_make1(option("credential_source", names[kind]));

	switch (kind)
	{
		case 0:
			options = lappend(options, option("credentials_uri",
											  "http://127.0.0.1:8000/key"));
			break;
		case 2:
			options = lappend(options, option("role_arn",
											  "acs:ram::1:role/r"));
			options = lappend(options, option("oidc_provider_arn",
											  "acs:ram::1:oidc-provider/p"));
			options = lappend(options, option("oidc_token_file",
											  write_file("ey.J.x\n", 7)));
			break;
		case 3:
			options = lappend(options, option("config_file",
											  write_file(rest, rest_len)));
			break;
		case 4:
			options = lappend(options, option("role_arn", "acs:ram::1:role/r"));
			options = lappend(options, option("role_source", "credentials_uri"));
			options = lappend(options, option("credentials_uri",
											  "http://127.0.0.1:8000/key"));
			break;
		default:
			break;
	}
	return oss_credential_source_make(CurrentMemoryContext, options);
}

/* Check a key that was accepted: it can stand in a header. */
static void
check_key(const OssCredentials *key)
{
	promise(oss_credential_id_problem(key->key_id) == NULL);
	promise(oss_credential_secret_problem(key->secret) == NULL);
	promise(key->token == NULL || key->token[0] == '\0' ||
			oss_credential_token_problem(key->token) == NULL);
}

/* Check the words of a failure: none of the input's but safe ones. */
static void
check_failure(const OssFailure *failure)
{
	promise(failure != NULL && failure->detail != NULL);
	for (const char *p = failure->detail; *p != '\0'; p++)
		promise(*p >= ' ' && *p <= '~');
}

/* Run one input. */
void
fuzz_credentials(const uint8_t *data, size_t size)
{
	static const int statuses[] = {200, 404, 403, 500};
	CredentialSource *source;
	CredentialState state = CREDENTIAL_PENDING;
	OssCredentials key = {0};
	const OssFailure *failure = NULL;

	if (size < 2)
		return;
	answer.status = statuses[data[1] % lengthof(statuses)];
	rest = data + 2;
	rest_len = size - 2;
	source = make_source(data[0] % 6);
	for (int i = 0; i < STEPS_MAX && state == CREDENTIAL_PENDING; i++)
		state = oss_credential_get(source, &key, &failure);

	/* one that is throttled rests */
	if (state == CREDENTIAL_PENDING)
		return;
	if (state == CREDENTIAL_READY)
		check_key(&key);
	else
		check_failure(failure);
}
