/*-------------------------------------------------------------------------
 * fuzz_sign.c
 *	  Sign requests made of the input.
 *
 * The input is texts with a NUL behind each: method, bucket, key, region, key
 * id, secret, token, then names and values, which serve as query parameters,
 * as headers and as additional headers.
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"
#include "protocol/signature_v4.h"
#include "protocol/uri.h"

#define FIELDS_MAX	64

/* Take the next text; empty ones follow the last. */
static const char *
next(char **at, const char *end)
{
	const char *text = *at;

	if (*at >= end)
		return "";
	*at += strlen(*at) + 1;
	return text;
}

/* Return the value of a hex digit in upper case. */
static int
digit(char c)
{
	promise((c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'));
	return c <= '9' ? c - '0' : c - 'A' + 10;
}

/* Decode len bytes of a URI, which must be escaped throughout. */
static char *
decode(const char *s, size_t len, bool slash_kept)
{
	char	   *text = malloc(len + 1);
	char	   *to = text;

	for (size_t i = 0; i < len; i++)
	{
		if (s[i] == '%')
		{
			promise(i + 2 < len);
			*to++ = (char) (digit(s[i + 1]) << 4 | digit(s[i + 2]));
			i += 2;
			continue;
		}
		promise((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') ||
				(s[i] >= '0' && s[i] <= '9') || strchr("-_.~", s[i]) ||
				(s[i] == '/' && slash_kept));
		*to++ = s[i];
	}
	*to = '\0';
	return text;
}

/* Is this parameter one of the caller's, or one that signing adds? */
static bool
is_known(const OssToSign *what, const char *name, const char *value)
{
	for (size_t i = 0; i < what->nquery; i++)
	{
		if (strcmp(what->query[i].name, name) == 0 &&
			strcmp(what->query[i].value, value) == 0)
			return true;
	}
	return strncmp(name, "x-oss-", 6) == 0;
}

/* Check a query: sorted, escaped, every parameter there. */
static void
check_query(const OssToSign *what, const char *query, size_t added)
{
	const char *last = NULL;
	size_t		last_len = 0;
	size_t		n = 0;

	/* the signature stands behind all */
	while (*query != '\0')
	{
		size_t		len = strcspn(query, "&");
		size_t		name_len = strcspn(query, "=&");
		size_t		both = name_len < last_len ? name_len : last_len;
		char	   *name = decode(query, name_len, false);
		char	   *value = (name_len < len ?
							 decode(query + name_len + 1, len - name_len - 1, false) :
							 fuzz_text(NULL, 0));

		promise(is_known(what, name, value));
		promise(name_len == len || value[0] != '\0');
		if (last != NULL && strcmp(name, "x-oss-signature") != 0)
		{
			int			order = memcmp(last, query, both);

			promise(order < 0 || (order == 0 && last_len <= name_len));
		}
		last = query;
		last_len = name_len;
		free(name);
		free(value);
		n++;
		query += len;
		if (*query == '&')
			query++;
	}
	/* x-oss-additional-headers is there or not */
	promise(n == what->nquery + added || n == what->nquery + added + 1);
}

/* Check the canonical request: its URI is that of bucket and key. */
static void
check_request(const OssToSign *what)
{
	OssText		request = {0};
	const char *uri;
	char	   *path;
	char	   *want = malloc(strlen(what->bucket) + strlen(what->key) + 3);

	promise(oss_canonical_request(&request, what));
	promise(strncmp(request.data, what->method, strlen(what->method)) == 0);
	uri = request.data + strlen(what->method) + 1;
	path = decode(uri, strcspn(uri, "\n"), true);
	sprintf(want, "/%s/%s", what->bucket, what->key);
	promise(strcmp(path, want) == 0);
	promise(strcmp(request.data + request.len - 17, "\nUNSIGNED-PAYLOAD") == 0);
	free(path);
	free(want);
	oss_text_free(&request);
}

/* Sign in both forms, with a cached key and without. */
static void
sign(const OssToSign *what, const OssCredentials *who, long expires)
{
	static OssSigningKey cache;
	OssText		fresh = {0};
	OssText		cached = {0};
	bool		in_range = expires >= 1 && expires <= OSS_EXPIRES_MAX;

	promise(oss_sign_header(&fresh, what, who, NULL));
	promise(oss_sign_header(&cached, what, who, &cache));
	promise(strcmp(fresh.data, cached.data) == 0);
	promise(fresh.len > OSS_SIGNATURE_LEN);
	oss_text_reset(&fresh);
	oss_text_reset(&cached);
	promise(oss_sign_query(&fresh, what, who, expires, NULL) == in_range);
	promise(oss_sign_query(&cached, what, who, expires, &cache) == in_range);
	promise(fresh.len == cached.len);
	if (in_range)
	{
		promise(strcmp(fresh.data, cached.data) == 0);
		check_query(what, fresh.data, who->token[0] != '\0' ? 6 : 5);
	}
	else
		promise(fresh.len == 0);
	oss_text_free(&fresh);
	oss_text_free(&cached);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text = fuzz_text(data, size);
	char	   *at = text;
	const char *end = text + size;
	OssField	fields[FIELDS_MAX];
	const char *names[FIELDS_MAX];
	OssCredentials who;
	OssToSign	what = {
		.product = "oss",
		.timestamp = "20231216T162057Z"
	};
	size_t		n = 0;

	what.method = next(&at, end);
	what.bucket = next(&at, end);
	what.key = next(&at, end);
	what.region = next(&at, end);
	who.key_id = next(&at, end);
	who.secret = next(&at, end);
	who.token = next(&at, end);
	while (at < end && n < FIELDS_MAX)
	{
		fields[n].name = next(&at, end);
		fields[n].value = next(&at, end);
		names[n] = fields[n].name;
		n++;
	}
	what.query = fields;
	what.nquery = n;
	what.headers = fields;
	what.nheaders = n;
	what.additional = names;
	what.nadditional = n / 2;
	check_request(&what);
	sign(&what, &who, size > 0 ? (long) data[size - 1] - 1 : 0);
	sign(&what, &who, OSS_EXPIRES_MAX + (size & 1));
	free(text);
	return 0;
}
