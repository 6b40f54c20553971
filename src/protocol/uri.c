/*-------------------------------------------------------------------------
 * uri.c
 *	  URLs of objects: escaping, and the rules for names of buckets, keys,
 *	  regions and versions.
 *
 * Characters are compared by their ASCII codes, independent of the locale.
 *-------------------------------------------------------------------------
 */
#include "protocol/uri.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* ---------- characters ---------- */

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || is_digit(c) || c == '-';
}

static bool
is_unreserved(unsigned char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
		(c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' ||
		c == '~';
}

bool
oss_is_name(const char *name, size_t n, bool underscores)
{
	for (size_t i = 0; i < n; i++)
	{
		if (!is_name_char(name[i]) && !(underscores && name[i] == '_'))
			return false;
	}
	return n > 0 && name[0] != '-' && name[0] != '_' &&
		name[n - 1] != '-' && name[n - 1] != '_';
}

void
oss_escape(OssText *out, const char *bytes, size_t n, bool keep_slash)
{
	static const char digits[] = "0123456789ABCDEF";
	char	   *to;

	if (n > SIZE_MAX / 3)
	{
		out->failed = true;
		return;
	}
	if (!oss_text_reserve(out, 3 * n))
		return;
	to = out->data + out->len;
	for (size_t i = 0; i < n; i++)
	{
		unsigned char c = bytes[i];

		if (is_unreserved(c) || (c == '/' && keep_slash))
			*to++ = c;
		else
		{
			*to++ = '%';
			*to++ = digits[c >> 4];
			*to++ = digits[c & 15];
		}
	}
	*to = '\0';
	out->len = to - out->data;
}

/* Return the value of a hexadecimal digit, or -1. */
static int
hex_value(char c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool
oss_query_unescape(char *bytes, size_t *len)
{
	char	   *to = bytes;

	for (size_t i = 0; i < *len; i++)
	{
		char		c = bytes[i];

		if (c == '+')
			c = ' ';
		else if (c == '%')
		{
			int			high = *len - i > 2 ? hex_value(bytes[i + 1]) : -1;
			int			low = high >= 0 ? hex_value(bytes[i + 2]) : -1;

			if (low < 0)
				return false;
			c = (char) (high << 4 | low);
			i += 2;
		}
		*to++ = c;
	}
	*len = to - bytes;
	return true;
}

/* ---------- UTF-8 ---------- */

/* Return the length of a UTF-8 character from its first byte, 0 if illegal. */
static size_t
utf8_length(unsigned char first)
{
	if (first < 0x80)
		return 1;
	/* 0xC0 and 0xC1 begin overlong forms only */
	if (first >= 0xC2 && first <= 0xDF)
		return 2;
	if (first >= 0xE0 && first <= 0xEF)
		return 3;
	if (first >= 0xF0 && first <= 0xF4)
		return 4;
	return 0;
}

static bool
utf8_second_ok(unsigned char first, unsigned char second)
{
	switch (first)
	{
		case 0xE0:				/* below: overlong */
			return second >= 0xA0 && second <= 0xBF;
		case 0xED:				/* above: surrogates */
			return second >= 0x80 && second <= 0x9F;
		case 0xF0:				/* below: overlong */
			return second >= 0x90 && second <= 0xBF;
		case 0xF4:				/* above: beyond U+10FFFF */
			return second >= 0x80 && second <= 0x8F;
		default:
			return (second & 0xC0) == 0x80;
	}
}

static bool
is_utf8(const char *bytes, size_t len)
{
	const unsigned char *s = (const unsigned char *) bytes;
	size_t		i = 0;

	while (i < len)
	{
		size_t		n = utf8_length(s[i]);

		if (n == 0 || n > len - i)
			return false;
		if (n > 1 && !utf8_second_ok(s[i], s[i + 1]))
			return false;
		for (size_t k = 2; k < n; k++)
		{
			if ((s[i + k] & 0xC0) != 0x80)
				return false;
		}
		i += n;
	}
	return true;
}

/* ---------- names (4.4) ---------- */

const char *
oss_bucket_problem(const char *bucket)
{
	size_t		len = strlen(bucket);

	if (len < 3 || len > OSS_BUCKET_MAX)
		return "a bucket name has 3 to 63 characters";
	/* old buckets may have underscores, new ones may not */
	if (!oss_is_name(bucket, len, true))
		return "a bucket name consists of lower-case letters, digits and "
			"hyphens, old ones also of underscores, and neither begins nor "
			"ends with a hyphen or an underscore";
	return NULL;
}

const char *
oss_key_problem(const char *key, size_t len)
{
	if (len == 0)
		return "a key must not be empty";
	if (len > OSS_KEY_MAX)
		return "a key has at most 1023 bytes in UTF-8";
	if (key[0] == '/' || key[0] == '\\')
		return "a key must not begin with a slash or backslash";
	if (memchr(key, '\0', len) != NULL)
		return "a key must not contain a NUL byte";
	if (!is_utf8(key, len))
		return "a key must be valid UTF-8";
	return NULL;
}

const char *
oss_prefix_problem(const char *prefix)
{
	size_t		len = strlen(prefix);

	if (len > OSS_KEY_MAX)
		return "a prefix has at most 1023 bytes in UTF-8";
	if (prefix[0] == '/' || prefix[0] == '\\')
		return "a prefix must not begin with a slash or backslash, as no key "
			"does";
	if (!is_utf8(prefix, len))
		return "a prefix must be valid UTF-8";
	return NULL;
}

const char *
oss_marker_problem(const char *key)
{
	size_t		len = strlen(key);

	if (len > OSS_KEY_MAX)
		return "the key to start after has at most 1023 bytes in UTF-8";
	if (!is_utf8(key, len))
		return "the key to start after must be valid UTF-8";
	return NULL;
}

const char *
oss_region_problem(const char *region)
{
	size_t		len = strlen(region);

	if (len == 0)
		return "a region must not be empty";
	if (strncmp(region, "oss-", 4) == 0)
		return "a region is written without \"oss-\", as in \"cn-hangzhou\"";
	if (len > OSS_REGION_MAX)
		return "a region has at most 59 characters";
	if (!oss_is_name(region, len, false))
		return "a region consists of lower-case letters, digits and "
			"hyphens, as in \"cn-hangzhou\"";
	return NULL;
}

const char *
oss_version_id_problem(const char *version_id)
{
	size_t		len = strlen(version_id);

	if (len == 0 || len > OSS_VERSION_ID_MAX)
		return "a version id has 1 to 1024 characters";
	for (size_t i = 0; i < len; i++)
	{
		if (version_id[i] < '!' || version_id[i] > '~')
			return "a version id consists of visible ASCII characters";
	}
	return NULL;
}

/* ---------- URLs (1.8) ---------- */

static void
add_host(OssText *out, const OssEndpoint *endpoint)
{
	bool		ipv6 = strchr(endpoint->host, ':') != NULL;
	char		port[16];

	if (ipv6)
		oss_text_add(out, "[", 1);
	oss_text_adds(out, endpoint->host);
	if (ipv6)
		oss_text_add(out, "]", 1);
	if (endpoint->default_port)
		return;
	snprintf(port, sizeof(port), ":%d", endpoint->port);
	oss_text_adds(out, port);
}

void
oss_proxy_url(OssText *out, const OssEndpoint *proxy)
{
	oss_text_adds(out, proxy->https ? "https://" : "http://");
	add_host(out, proxy);
}

void
oss_object_url(OssText *out, const OssEndpoint *endpoint,
			   OssAddressing addressing, const char *bucket, const char *key)
{
	if (addressing == OSS_VIRTUAL_HOST && endpoint->is_ip)
		addressing = OSS_PATH;
	oss_text_adds(out, endpoint->https ? "https://" : "http://");
	if (addressing == OSS_VIRTUAL_HOST && bucket != NULL)
	{
		oss_text_adds(out, bucket);
		oss_text_add(out, ".", 1);
	}
	add_host(out, endpoint);
	oss_text_add(out, "/", 1);
	if (bucket == NULL)
		return;
	if (addressing == OSS_PATH)
	{
		oss_escape(out, bucket, strlen(bucket), false);
		oss_text_add(out, "/", 1);
	}
	if (key != NULL)
		oss_escape(out, key, strlen(key), true);
}
