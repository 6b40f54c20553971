/*-------------------------------------------------------------------------
 * test_error_json.c
 *	  The JSON of refusals: what is kept, and what is refused.
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>

#include "protocol/error_json.h"
#include "tap.h"
#include "scarce.h"

static OssErrorXml error;

/* Read a document that must be accepted; returns what is kept, in brackets. */
static const char *
read_good(const char *json)
{
	static char out[3000];

	memset(&error, 'x', sizeof(error));
	if (!oss_error_json_parse(json, strlen(json), &error))
		return "refused";
	snprintf(out, sizeof(out), "[%s] [%s] [%s] [%s] [%s]", error.code,
			 error.message, error.request_id, error.ec, error.imm_request_id);
	return out;
}

/* Read a document that must be refused, and leave nothing behind. */
static void
read_bad(const char *json, size_t len, const char *name)
{
	static const OssErrorXml empty;

	memset(&error, 'x', sizeof(error));
	ok(!oss_error_json_parse(json, len, &error) &&
	   memcmp(&error, &empty, sizeof(error)) == 0, "refused: %s", name);
}

#define BAD(json) read_bad(json, strlen(json), json)

int
main(void)
{
	char		deep[200];
	char	   *big;

	is_text(read_good("{\"Code\":\"A\",\"Message\":\"m n\",\"RequestId\":\"R\",\"HostId\":\"h\",\"EC\":\"0003-1\"}"),
			"[A] [m n] [R] [0003-1] []", "flat");
	is_text(read_good(" {\"x\":[1,{\"Code\":\"no\"}],\"Error\" : {\"Code\":\"A\",\"Detail\":{\"Message\":\"no\"},\"Message\":\"m\"}}\n"),
			"[A] [m] [] [] []", "nested");
	is_text(read_good("{\"code\":\"A\",\"message\":\"m\",\"requestid\":\"r\",\"ec\":\"e\",\"Code\":\"B\"}"),
			"[A] [m] [r] [e] []", "small letters, the first counts");
	is_text(read_good("{\"Code\":404,\"Message\":\"a\\u0000\\ud800\\n\\t b\\u00e9\\u4e2d\\\"\",\"t\":true,\"n\":null,\"f\":-1.5e+3}"),
			"[] [a?? b\xc3\xa9\xe4\xb8\xad\"] [] [] []", "escapes, a code that is no string");
	is_text(read_good("{\"Code\":\"Imm Client\",\"Message\":\"X, y 0123-4567-89AB-CDEF\"}"),
			"[Imm Client] [X, y 0123-4567-89AB-CDEF] [] [] [0123-4567-89AB-CDEF]", "IMM's request id");

	BAD("");
	BAD("{}");
	BAD("[]");
	BAD("\"Code\"");
	BAD("{\"Labels\":[]}");
	BAD("{\"Code\":\"A\"");
	BAD("{\"Code\":\"A\"} x");
	BAD("{\"Code\":\"A\",}");
	BAD("{\"Code\" \"A\"}");
	BAD("{\"Code\":\"A\\");
	BAD("{\"Code\":\"A\\u12");
	BAD("{\"Code\":\"A\\x\"}");
	BAD("{\"Code\":\"A\",\"b\":}");
	BAD("{\"Code\":\"A\",\"b\":[1,]}");
	read_bad("{\"Code\":\"A\"}\0", 13, "a NUL behind it");
	read_bad("{\"Code\":\0\"A\"}", 13, "a NUL in it");

	memset(deep, '[', sizeof(deep));
	read_bad(deep, sizeof(deep), "two hundred brackets");
	snprintf(deep, sizeof(deep), "{\"Code\":\"A\",\"b\":%.40s1%.40s}",
			 "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]");
	BAD(deep);

	/* a value of any length is cut */
	big = malloc(100000);
	strcpy(big, "{\"Message\":\"");
	memset(big + 12, 'y', 90000);
	strcpy(big + 90012, "\",\"Code\":\"A\"}");
	ok(oss_error_json_parse(big, strlen(big), &error) &&
	   strlen(error.message) <= OSS_ERROR_FIELD_MAX - 1 &&
	   strlen(error.message) >= OSS_ERROR_FIELD_MAX - 8 &&
	   strcmp(error.code, "A") == 0, "90000 bytes are cut");

	/* no beginning of a document is read beyond its end */
	for (size_t n = 0; n < strlen(big) && n < 64; n++)
	{
		char	   *part = malloc(n + 1);

		memcpy(part, big, n);
		oss_error_json_parse(part, n, &error);
		free(part);
	}
	free(big);
	return tap_done();
}
