/*-------------------------------------------------------------------------
 * test_sign.c
 *	  The signer in what the vectors (test_vectors.c) do not hold: its cache,
 *	  its limits, unusual requests, memory that runs out.
 *-------------------------------------------------------------------------
 */

#include "protocol/signature_v4.h"
#include "tap.h"
#include "scarce.h"

/* Return a small request to sign. */
static OssToSign
sample(const OssField *query, size_t nquery)
{
	static const OssField headers[] = {
		{"x-oss-date", "20231216T162057Z"},
		{"x-oss-content-sha256", "UNSIGNED-PAYLOAD"},
	};
	OssToSign	what = {
		.method = "GET",
		.bucket = "examplebucket",
		.key = "example.jpg",
		.query = query,
		.nquery = nquery,
		.headers = headers,
		.nheaders = 2,
		.region = "cn-hangzhou",
		.product = "oss",
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
		fields[i] = oss_field(names[i], "v");
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
 * A result that does not fit into the memory there is leaves nothing behind,
 * although its first part did fit.
 */
static void
check_no_room(void)
{
	OssToSign	what = sample(NULL, 0);
	OssText		out = {0};

	for (int i = 0; i < 20; i++)
		oss_text_adds(&out, "0123456789");
	scarce_left = 0;
	ok(!oss_sign_header(&out, &what, &ak, NULL) && out.len == 200,
	   "no room for the header form: nothing is appended");
	out.failed = false;
	ok(!oss_sign_query(&out, &what, &ak, 60, NULL) && out.len == 200,
	   "no room for the URL form: nothing is appended");
	scarce_left = -1;
	ok(strlen(out.data) == 200, "and what was there is whole");
	oss_text_free(&out);
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

int
main(void)
{
	check_scarce();
	check_no_room();
	check_cache();
	check_unusual();
	check_many();
	check_expires();
	check_empty_token();
	check_query_string();
	check_timestamp();
	return tap_done();
}
