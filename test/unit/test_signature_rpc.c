/*-------------------------------------------------------------------------
 * test_signature_rpc.c
 *	  The RPC signature: the vector of the documents and one of the SDK's tests,
 *	  order, escaping, limits, memory that runs out.
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "protocol/signature_rpc.h"
#include "tap.h"
#include "scarce.h"

/* The example of the documents ("Request signatures", DescribeRegions). */
static const OssField documented[] = {
	{"Timestamp", "2016-02-23T12:46:24Z"}, {"Format", "XML"},
	{"AccessKeyId", "testid"}, {"Action", "DescribeRegions"},
	{"SignatureMethod", "HMAC-SHA1"},
	{"SignatureNonce", "3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf"},
	{"Version", "2014-05-26"}, {"SignatureVersion", "1.0"}
};

#define N_DOCUMENTED (sizeof(documented) / sizeof(documented[0]))

static const char documented_signature[] = "OLeaidS1JvxuMvnyHOwuJ+uX5qY=";

/* Sign, and compare. */
static void
check(const char *method, const OssField *fields, size_t n, const char *secret,
	  const char *expected, const char *what)
{
	OssText		out = {0};

	ok(oss_sign_rpc(&out, method, fields, n, secret), "%s", what);
	is_text(out.data, expected, what);
	oss_text_free(&out);
}

/* The signature does not depend on the order in which fields are given. */
static void
check_order(void)
{
	OssField	turned[N_DOCUMENTED];

	for (size_t i = 0; i < N_DOCUMENTED; i++)
		turned[i] = documented[N_DOCUMENTED - 1 - i];
	check("GET", turned, N_DOCUMENTED, "testsecret", documented_signature,
		  "fields in another order");
}

/* Values that need escaping; computed by Python's hmac and urllib. */
static void
check_escapes(void)
{
	const OssField fields[] = {
		{"Policy", "{\"a\": \"*/~ +%&=\"}"}, {"RoleArn", "acs:ram::1:role/r"},
		{"Empty", ""}, {"Null", NULL}, {"Key", "\xE7\x85\xA7"}
	};

	check("POST", fields, 5, "secret", "RW2ZHc0vbnrF1shbEeaKowZgpfM=", "escaped values");
}

/* Too many fields, and memory that runs out at any place. */
static void
check_failures(void)
{
	OssField	many[OSS_RPC_FIELDS_MAX + 1];
	OssText		out = {0};
	bool		right = true;
	int			n;

	for (int i = 0; i <= OSS_RPC_FIELDS_MAX; i++)
		many[i] = oss_field("a", "b");
	oss_text_adds(&out, "before");
	ok(!oss_sign_rpc(&out, "POST", many, OSS_RPC_FIELDS_MAX + 1, "s"), "too many fields");
	is_text(out.data, "before", "nothing is appended");
	oss_text_free(&out);
	for (n = 0; n < 200; n++)
	{
		bool		done;

		scarce_left = n;
		done = oss_sign_rpc(&out, "GET", documented, N_DOCUMENTED, "testsecret");
		scarce_left = -1;
		right = right && (done ? strcmp(out.data, documented_signature) == 0 : out.len == 0);
		oss_text_free(&out);
		if (done)
			break;
	}
	ok(right && n > 2, "memory that runs out gives no signature");
}

int
main(void)
{
	check("GET", documented, N_DOCUMENTED, "testsecret", documented_signature,
		  "the vector of the documents");
	check_order();
	check_escapes();
	check_failures();
	return tap_done();
}
