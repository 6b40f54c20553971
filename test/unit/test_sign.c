/*-------------------------------------------------------------------------
 * test_sign.c
 *	  The signer against the vectors of official SDKs (v4-vectors.json; the
 *	  protocol reference, section 3, names where each comes from).
 *-------------------------------------------------------------------------
 */
#include <jansson.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <time.h>

#include "protocol/sign.h"
#include "protocol/uri.h"
#include "tap.h"
#include "scarce.h"

#define FIELDS_MAX		32
#define VECTORS			35

/* A vector as the signer wants it; texts belong to the JSON document. */
typedef struct Vector
{
	const json_t *json;
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
text_of(const json_t *object, const char *name)
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
read_fields(const json_t *array, OssField *fields)
{
	size_t		n = json_array_size(array);

	for (size_t i = 0; i < n; i++)
	{
		const json_t *pair = json_array_get(array, i);

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
	v->headers[v->what.nheaders++] = (OssField) {name, value};
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
		v->query[v->what.nquery++] = (OssField) {name, value};
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
read_vector(const json_t *json, Vector *v)
{
	const json_t *credentials = json_object_get(json, "credentials");
	const json_t *additional = json_object_get(json, "additional_headers");
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
check_vector(const json_t *json)
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
	const json_t *vectors = json_object_get(doc, "vectors");

	if (!ok(doc != NULL, "%s is JSON", path))
		return;
	ok(json_array_size(vectors) == VECTORS, "there are %d vectors", VECTORS);
	for (size_t i = 0; i < json_array_size(vectors); i++)
		check_vector(json_array_get(vectors, i));
	json_decref(doc);
}

/* Return a small request to sign. */
static OssToSign
sample(const OssField *query, size_t nquery)
{
	static const OssField headers[] = {
		{"x-oss-date", "20231216T162057Z"},
		{"x-oss-content-sha256", "UNSIGNED-PAYLOAD"},
	};
	OssToSign	what = {
		.method = "GET", .bucket = "examplebucket", .key = "example.jpg",
		.query = query, .nquery = nquery,
		.headers = headers, .nheaders = 2,
		.region = "cn-hangzhou", .product = "oss",
		.timestamp = "20231216T162057Z"
	};

	return what;
}

static const OssCredentials ak = {"ak", "sk", NULL};

/* Sign with a cache and without; both must agree. */
static void
check_cache_agrees(const OssToSign *what, const OssCredentials *who,
				   OssSigningKey *cache, const char *name)
{
	OssText		cached = {0};
	OssText		fresh = {0};

	oss_sign_header(&cached, what, who, cache);
	oss_sign_header(&fresh, what, who, NULL);
	is_text(cached.data, fresh.data, name);
	oss_text_free(&cached);
	oss_text_free(&fresh);
}

/* A cached key serves its own day, region, product and secret only. */
static void
check_cache(void)
{
	OssToSign	what = sample(NULL, 0);
	OssCredentials who = ak;
	OssSigningKey cache = {0};
	static const OssSigningKey empty;

	check_cache_agrees(&what, &who, &cache, "cache: first use");
	strcpy(what.timestamp, "20231217T000000Z");
	check_cache_agrees(&what, &who, &cache, "cache: another day");
	what.region = "cn-beijing";
	check_cache_agrees(&what, &who, &cache, "cache: another region");
	what.product = "oss-cloudbox";
	check_cache_agrees(&what, &who, &cache, "cache: another product");
	who.secret = "sk2";
	check_cache_agrees(&what, &who, &cache, "cache: another secret");
	who.key_id = "a";
	who.secret = "ksk2";
	check_cache_agrees(&what, &who, &cache,
					   "cache: another split of key id and secret");
	oss_signing_key_wipe(&cache);
	ok(memcmp(&cache, &empty, sizeof(cache)) == 0, "cache: wiped");
	check_cache_agrees(&what, &who, &cache, "cache: after a wipe");
}

/* Check the canonical query and headers of a request made for it. */
static void
check_canonical(const OssToSign *what, const char *want, const char *name)
{
	OssText		request = {0};

	ok(oss_canonical_request(&request, what), "%s: built", name);
	is_text(request.data, want, name);
	oss_text_free(&request);
}

/* What the vectors do not hold: duplicates, blanks, NULLs. */
static void
check_unusual(void)
{
	static const OssField query[] = {
		{"p", "2"}, {"p", "10"}, {"p", NULL}, {"a", ""}, {"a!", "1"}
	};
	static const OssField headers[] = {
		{"X-Oss-Meta-B", "\t two  words \r\n"}, {"x-oss-meta-b", "again"},
		{"Content-MD5", "m"}, {"X-OSS-META-A", NULL}, {"If-Match", "e"},
		{"range", " "}, {"HOST", "h"}
	};
	static const char *const additional[] = {
		"host", "Host", "range", "Content-Type", "x-oss-meta-b", "absent"
	};
	OssToSign	what = sample(query, 5);

	what.headers = headers;
	what.nheaders = 7;
	what.additional = additional;
	what.nadditional = 6;
	check_canonical(&what,
					"GET\n/examplebucket/example.jpg\n"
					"a&a%21=1&p&p=10&p=2\n"
					"content-md5:m\nhost:h\nx-oss-meta-a:\n"
					"x-oss-meta-b:two  words,again\n\nhost\n"
					"UNSIGNED-PAYLOAD",
					"duplicates, blanks and names in any case");

	what = sample(NULL, 0);
	what.nheaders = 0;
	what.key = NULL;
	check_canonical(&what, "GET\n/examplebucket/\n\n\n\nUNSIGNED-PAYLOAD",
					"a bucket request");
	what.bucket = NULL;
	check_canonical(&what, "GET\n/\n\n\n\nUNSIGNED-PAYLOAD",
					"a service request");
}

/* More parameters and headers than the first blocks hold. */
static void
check_many(void)
{
	OssField	fields[200];
	char		names[200][24];
	OssText		request = {0};
	OssToSign	what;
	bool		sorted = true;
	char		previous[24] = "";
	int			n = 0;

	for (int i = 0; i < 200; i++)
	{
		sprintf(names[i], "x-oss-meta-%03d", (i * 77) % 200);
		fields[i] = (OssField) {names[i], "v"};
	}
	what = sample(fields, 200);
	what.headers = fields;
	what.nheaders = 200;
	oss_canonical_request(&request, &what);
	for (char *at = request.data; (at = strstr(at, "x-oss-meta-")) != NULL;
		 at++)
	{
		/* the second half are the headers */
		if (n == 200)
			previous[0] = '\0';
		sorted = sorted && strncmp(previous, at, 14) < 0;
		memcpy(previous, at, 14);
		n++;
	}
	ok(n == 400, "200 parameters and 200 headers are all there");
	ok(sorted, "and sorted");
	oss_text_free(&request);
}

/* The lifetime of a URL has limits, and a refusal leaves no trace. */
static void
check_expires(void)
{
	OssToSign	what = sample(NULL, 0);
	OssText		out = {0};

	oss_text_adds(&out, "before");
	ok(!oss_sign_query(&out, &what, &ak, 0, NULL), "expires 0 is refused");
	ok(!oss_sign_query(&out, &what, &ak, -1, NULL), "expires -1 is refused");
	ok(!oss_sign_query(&out, &what, &ak, OSS_EXPIRES_MAX + 1, NULL),
	   "expires over seven days is refused");
	is_text(out.data, "before", "a refusal appends nothing");
	ok(oss_sign_query(&out, &what, &ak, 1, NULL), "expires 1 is signed");
	ok(strncmp(out.data, "beforex-oss-credential=", 23) == 0,
	   "a signature is appended");
	ok(oss_sign_query(&out, &what, &ak, OSS_EXPIRES_MAX, NULL),
	   "expires of seven days is signed");
	oss_text_free(&out);
}

/* An empty token is no token. */
static void
check_empty_token(void)
{
	OssToSign	what = sample(NULL, 0);
	OssCredentials empty = {"ak", "sk", ""};
	OssText		with = {0};
	OssText		without = {0};

	oss_sign_query(&with, &what, &empty, 60, NULL);
	oss_sign_query(&without, &what, &ak, 60, NULL);
	is_text(with.data, without.data, "an empty token is no token");
	oss_text_free(&with);
	oss_text_free(&without);
}

/* A query for the wire is escaped in the order given. */
static void
check_query_string(void)
{
	static const OssField query[] = {
		{"x-oss-process", "image/labels,thr_0.85"}, {"acl", NULL},
		{"b", ""}, {"a b", "c+d&\xe7\x85\xa7"}
	};
	OssText		out = {0};

	oss_query_string(&out, query, 4);
	is_text(out.data, "x-oss-process=image%2Flabels%2Cthr_0.85&acl&b&"
			"a%20b=c%2Bd%26%E7%85%A7", "query string");
	oss_text_free(&out);
}

/* Timestamps, also those that have no four-digit year. */
static void
check_timestamp(void)
{
	char		out[OSS_TIMESTAMP_LEN + 1];

	oss_timestamp(1702743657, out);
	is_text(out, "20231216T162057Z", "timestamp");
	oss_timestamp(0, out);
	is_text(out, "19700101T000000Z", "timestamp of the epoch");
	oss_timestamp(1709164800, out);
	is_text(out, "20240229T000000Z", "timestamp of a leap day");
	oss_timestamp(253402300799, out);
	is_text(out, "99991231T235959Z", "the last timestamp of four digits");
	oss_timestamp(253402300800, out);
	is_text(out, "19700101T000000Z", "a year of five digits has none");
}

/*
 * Memory that runs out anywhere makes signing fail, append nothing, and
 * succeed as soon as there is memory again.  Buffers are kept, so this must
 * come first.
 */
static void
check_scarce(void)
{
	static const OssField query[] = {{"a", "1"}, {"b", "2"}};
	OssToSign	what = sample(query, 2);
	OssText		out = {0};
	int			failures = 0;
	int			wrong = 0;

	for (int left = 0; left < 100; left++)
	{
		bool		signed_now;

		scarce_left = left;
		signed_now = oss_sign_query(&out, &what, &ak, 60, NULL);
		scarce_left = -1;
		if (signed_now)
			break;
		failures++;
		wrong += out.len != 0;
		oss_text_reset(&out);
	}
	ok(failures >= 4, "memory ran out in %d places", failures);
	ok(wrong == 0, "and nothing was appended then");
	ok(strstr(out.data, "&x-oss-signature=") != NULL,
	   "signing succeeds once there is memory");
	/* in steady state none is asked for */
	oss_text_reset(&out);
	scarce_left = 0;
	ok(oss_sign_query(&out, &what, &ak, 60, NULL), "URL without malloc");
	oss_text_reset(&out);
	ok(oss_sign_header(&out, &what, &ak, NULL), "header without malloc");
	scarce_left = -1;
	oss_text_free(&out);
}

/* Measure header signatures with a cached key. */
static int
measure(int n)
{
	static const OssField query[] = {
		{"x-oss-process", "image/labels,thr_0.85"}
	};
	OssToSign	what = sample(query, 1);
	OssSigningKey cache = {0};
	OssText		out = {0};
	struct timespec start;
	struct timespec end;

	what.key = "albums/2023/\xe7\x85\xa7\xe7\x89\x87/IMG_20231216_162057.jpg";
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
	for (int i = 0; i < n; i++)
	{
		oss_text_reset(&out);
		if (!oss_sign_header(&out, &what, &ak, &cache))
			return 1;
	}
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
	printf("%.3f us per header signature\n",
		   ((end.tv_sec - start.tv_sec) * 1e9 +
			(end.tv_nsec - start.tv_nsec)) / 1e3 / n);
	oss_text_free(&out);
	return 0;
}

/* Usage: test_sign vectors.json | test_sign --measure count */
int
main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "--measure") == 0)
		return measure(atoi(argv[2]));
	check_scarce();
	check_vectors(argc > 1 ? argv[1] : "v4-vectors.json");
	check_cache();
	check_unusual();
	check_many();
	check_expires();
	check_empty_token();
	check_query_string();
	check_timestamp();
	return tap_done();
}
