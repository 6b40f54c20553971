/*-------------------------------------------------------------------------
 * test_vectors.c
 *	  The signer against the vectors of official SDKs (v4-vectors.json,
 *	  which names where each comes from; src/protocol/README.md 3).
 *-------------------------------------------------------------------------
 */
#include <jansson.h>
#include <openssl/sha.h>
#include <stdlib.h>

#include "protocol/signature_v4.h"
#include "protocol/uri.h"
#include "tap.h"
#include "scarce.h"

#define FIELDS_MAX		32
#define VECTORS			43

/* A vector as the signer wants it; texts belong to the JSON document. */
typedef struct Vector
{
	const		json_t *json;
	const char *id;
	const char *mode;
	OssToSign	what;
	OssCredentials who;
	long		expires;
	OssField	query[FIELDS_MAX];
	OssField	headers[FIELDS_MAX];
	const char *additional[FIELDS_MAX];
	char		text[8192];		/* decoded parts of a URL */
	size_t		text_len;
} Vector;

/* Return a member that is a text, or NULL. */
static const char *
text_of(const json_t * object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

/* Return what a vector expects or, failing that, what was computed. */
static const char *
wanted(const Vector *v, const char *name)
{
	const char *text = text_of(json_object_get(v->json, "expected"), name);

	return text != NULL ? text :
		text_of(json_object_get(v->json, "computed"), name);
}

/* Read [[name, value], ...]. */
static size_t
read_fields(const json_t * array, OssField *fields)
{
	size_t		n = json_array_size(array);

	for (size_t i = 0; i < n; i++)
	{
		const		json_t *pair = json_array_get(array, i);

		fields[i].name = json_string_value(json_array_get(pair, 0));
		fields[i].value = json_string_value(json_array_get(pair, 1));
	}
	return n;
}

/* Append a header, unless it is there. */
static void
add_header(Vector *v, const char *name, const char *value)
{
	for (size_t i = 0; i < v->what.nheaders; i++)
	{
		if (strcmp(v->headers[i].name, name) == 0)
			return;
	}
	v->headers[v->what.nheaders++] = oss_field(name, value);
}

/* Decode a stretch of a URL to a text of the vector. */
static const char *
decode(Vector *v, const char *s, size_t len, bool plus_is_space)
{
	char	   *to = v->text + v->text_len;
	char	   *start = to;

	for (size_t i = 0; i < len; i++)
	{
		char		hex[3] = {0};

		if (s[i] == '%')
		{
			memcpy(hex, s + i + 1, 2);
			*to++ = (char) strtol(hex, NULL, 16);
			i += 2;
		}
		else
			*to++ = s[i] == '+' && plus_is_space ? ' ' : s[i];
	}
	*to++ = '\0';
	v->text_len = to - v->text;
	return start;
}

/* Split "a;b" into the additional names; the text is changed. */
static void
split_additional(Vector *v, char *list)
{
	for (char *name = strtok(list, ";"); name != NULL;
		 name = strtok(NULL, ";"))
		v->additional[v->what.nadditional++] = name;
}

/* Take one decoded parameter of a signed URL into the vector. */
static void
take_parameter(Vector *v, const char *name, const char *value)
{
	if (strcmp(name, "x-oss-credential") == 0)
	{
		char	   *copy = (char *) value;

		v->who.key_id = strtok(copy, "/");
		strtok(NULL, "/");
		v->what.region = strtok(NULL, "/");
		v->what.product = strtok(NULL, "/");
	}
	else if (strcmp(name, "x-oss-date") == 0)
		strcpy(v->what.timestamp, value);
	else if (strcmp(name, "x-oss-expires") == 0)
		v->expires = atol(value);
	else if (strcmp(name, "x-oss-security-token") == 0)
		v->who.token = value;
	else if (strcmp(name, "x-oss-additional-headers") == 0)
		split_additional(v, (char *) value);
	else if (strcmp(name, "x-oss-signature-version") != 0 &&
			 strcmp(name, "x-oss-signature") != 0)
		v->query[v->what.nquery++] = oss_field(name, value);
}

/* Take a signed URL apart, as a server would. */
static void
read_url(Vector *v)
{
	const char *url = text_of(v->json, "signed_url");
	const char *path = strchr(strstr(url, "://") + 3, '/') + 1;
	const char *part = strchr(path, '?') + 1;

	v->what.key = decode(v, path, part - 1 - path, false);
	while (*part != '\0')
	{
		size_t		len = strcspn(part, "&");
		size_t		name_len = strcspn(part, "=&");
		const char *name = decode(v, part, name_len, true);
		const char *value = "";

		if (name_len < len)
			value = decode(v, part + name_len + 1, len - name_len - 1, true);
		take_parameter(v, name, value);
		part += len + (part[len] == '&');
	}
}

/* Read a vector. */
static void
read_vector(const json_t * json, Vector *v)
{
	const		json_t *credentials = json_object_get(json, "credentials");
	const		json_t *additional = json_object_get(json, "additional_headers");
	const char *iso = text_of(json, "sign_time_iso");

	memset(v, 0, sizeof(*v));
	v->json = json;
	v->id = text_of(json, "id");
	v->mode = text_of(json, "mode");
	v->who.key_id = text_of(credentials, "access_key_id");
	v->who.secret = text_of(credentials, "access_key_secret");
	v->who.token = text_of(credentials, "security_token");
	v->what.method = text_of(json, "method");
	v->what.bucket = text_of(json, "bucket");
	v->what.key = text_of(json, "key");
	v->what.region = text_of(json, "region");
	v->what.product = text_of(json, "product");
	v->what.query = v->query;
	v->what.headers = v->headers;
	v->what.additional = v->additional;
	v->what.nquery = read_fields(json_object_get(json, "query"), v->query);
	v->what.nheaders = read_fields(json_object_get(json, "headers"),
								   v->headers);
	v->what.nadditional = json_array_size(additional);
	for (size_t i = 0; i < v->what.nadditional; i++)
		v->additional[i] = json_string_value(json_array_get(additional, i));
	v->expires = json_integer_value(json_object_get(json, "expires_seconds"));
	if (iso != NULL)
		strcpy(v->what.timestamp, iso);
	else
		oss_timestamp(json_integer_value(json_object_get(json,
														 "sign_time_unix")),
					  v->what.timestamp);
}

/* Add the headers that the header form obliges a client to send. */
static void
add_obligatory_headers(Vector *v)
{
	add_header(v, "x-oss-date", v->what.timestamp);
	add_header(v, "x-oss-content-sha256", "UNSIGNED-PAYLOAD");
	if (v->who.token != NULL)
		add_header(v, "x-oss-security-token", v->who.token);
}

/* Write the SHA-256 of a text in hex. */
static void
hash_text(const OssText *text, char hex[65])
{
	unsigned char hash[SHA256_DIGEST_LENGTH];

	SHA256((const unsigned char *) text->data, text->len, hash);
	for (int i = 0; i < SHA256_DIGEST_LENGTH; i++)
		sprintf(hex + 2 * i, "%02x", hash[i]);
}

/* Check a canonical request and its hash. */
static void
check_request(const Vector *v, bool built, const OssText *request)
{
	char		name[128];
	char		hex[65];

	ok(built, "%s: canonical request is built", v->id);
	snprintf(name, sizeof(name), "%s: canonical request", v->id);
	is_text(request->data, wanted(v, "canonical_request"), name);
	hash_text(request, hex);
	snprintf(name, sizeof(name), "%s: its SHA-256", v->id);
	is_text(hex, wanted(v, "canonical_request_sha256"), name);
}

/* Check the header form; twice, without and with a cached key. */
static void
check_header(Vector *v)
{
	OssText		out = {0};
	OssText		request = {0};
	OssSigningKey cache = {0};
	char		name[128];

	add_obligatory_headers(v);
	check_request(v, oss_canonical_request(&request, &v->what), &request);
	for (int i = 0; i < 3; i++)
	{
		oss_text_reset(&out);
		snprintf(name, sizeof(name), "%s: Authorization, %s", v->id,
				 i == 0 ? "no cache" : i == 1 ? "new key" : "cached key");
		if (!oss_sign_header(&out, &v->what, &v->who, i ? &cache : NULL))
			ok(false, "%s is made", name);
		is_text(out.data, wanted(v, "authorization"), name);
	}
	ok(cache.valid, "%s: the key is kept", v->id);
	snprintf(name, sizeof(name), "%s: signature", v->id);
	is_text(out.data + out.len - OSS_SIGNATURE_LEN, wanted(v, "signature"),
			name);
	oss_text_free(&out);
	oss_text_free(&request);
}

/* Check the URL form. */
static void
check_query(Vector *v)
{
	OssText		out = {0};
	OssText		request = {0};
	const char *url = wanted(v, "signed_url");
	const char *at;
	char		name[128];

	check_request(v, oss_canonical_query_request(&request, &v->what, &v->who,
												 v->expires), &request);
	ok(oss_sign_query(&out, &v->what, &v->who, v->expires, NULL),
	   "%s: query is signed", v->id);
	at = strstr(out.data, "&x-oss-signature=");
	snprintf(name, sizeof(name), "%s: signature", v->id);
	is_text(at != NULL ? at + strlen("&x-oss-signature=") : NULL,
			wanted(v, "signature"), name);
	snprintf(name, sizeof(name), "%s: whole query", v->id);
	if (url != NULL)
		is_text(out.data, strchr(url, '?') + 1, name);
	oss_text_free(&out);
	oss_text_free(&request);
}

/* Check that a URL signed by another client verifies. */
static void
check_url(Vector *v)
{
	char		name[128];

	read_url(v);
	snprintf(name, sizeof(name), "%s: key", v->id);
	is_text(v->what.key, wanted(v, "key"), name);
	check_query(v);
}

/* Check the canonical headers alone: they stand behind four newlines. */
static void
check_canonical_headers(Vector *v)
{
	OssText		request = {0};
	OssText		want = {0};

	v->what.method = "GET";
	oss_text_adds(&want, "GET\n/\n\n");
	oss_text_adds(&want, wanted(v, "canonical_headers"));
	oss_text_adds(&want, "\n\nUNSIGNED-PAYLOAD");
	oss_canonical_request(&request, &v->what);
	is_text(request.data, want.data, "canonical headers");
	oss_text_free(&request);
	oss_text_free(&want);
}

/* Check a vector that gives the signing key in place of the secret. */
static void
check_given_key(Vector *v)
{
	OssText		out = {0};
	OssText		request = {0};
	OssSigningKey cache = {0};
	const char *hex = text_of(v->json, "signing_key_hex");
	char		name[128];

	check_request(v, oss_canonical_request(&request, &v->what), &request);
	/* let the signer note whose key it is, then slip in the given one */
	oss_sign_header(&out, &v->what, &v->who, &cache);
	for (int i = 0; i < 32; i++)
	{
		char		byte[3] = {hex[2 * i], hex[2 * i + 1], '\0'};

		cache.key[i] = (unsigned char) strtol(byte, NULL, 16);
	}
	oss_text_reset(&out);
	oss_sign_header(&out, &v->what, &v->who, &cache);
	snprintf(name, sizeof(name), "%s: signature", v->id);
	is_text(out.data + out.len - OSS_SIGNATURE_LEN, wanted(v, "signature"),
			name);
	ok(strstr(out.data, wanted(v, "additional")) != NULL,
	   "%s: additional headers", v->id);
	oss_text_free(&out);
	oss_text_free(&request);
}

/* Check one vector. */
static void
check_vector(const json_t * json)
{
	Vector	   *v = malloc(sizeof(Vector));

	read_vector(json, v);
	if (strcmp(v->mode, "header") == 0)
		check_header(v);
	else if (strcmp(v->mode, "query") == 0)
		check_query(v);
	else if (strcmp(v->mode, "verify-url") == 0)
		check_url(v);
	else if (strcmp(v->mode, "canonical-headers") == 0)
		check_canonical_headers(v);
	else if (strcmp(v->mode, "header-given-key") == 0)
		check_given_key(v);
	else
		ok(false, "%s: unknown mode %s", v->id, v->mode);
	free(v);
}

/* Check all vectors of a file. */
static void
check_vectors(const char *path)
{
	json_error_t error;
	json_t	   *doc = json_load_file(path, 0, &error);
	const		json_t *vectors = json_object_get(doc, "vectors");

	if (!ok(doc != NULL, "%s is JSON", path))
		return;
	ok(json_array_size(vectors) == VECTORS, "there are %d vectors", VECTORS);
	for (size_t i = 0; i < json_array_size(vectors); i++)
		check_vector(json_array_get(vectors, i));
	json_decref(doc);
}

/* Usage: test_vectors vectors.json */
int
main(int argc, char **argv)
{
	check_vectors(argc > 1 ? argv[1] : "v4-vectors.json");
	return tap_done();
}
