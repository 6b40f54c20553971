/*-------------------------------------------------------------------------
 * uri.c
 *	  URLs of objects: escaping, and the rules for names of buckets, keys,
 *	  regions, versions and endpoints.
 *
 * Characters are compared by their ASCII codes, independent of the locale.
 *-------------------------------------------------------------------------
 */
#include "protocol/uri.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "protocol/address.h"

#define HTTPS_PORT		443
#define HTTP_PORT		80
#define PORT_MAX		65535
#define LABEL_MAX		63

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

/* Is this name of n bytes from [a-z0-9-], with no hyphen at either end? */
static bool
is_name(const char *name, size_t n)
{
	for (size_t i = 0; i < n; i++)
	{
		if (!is_name_char(name[i]))
			return false;
	}
	return n > 0 && name[0] != '-' && name[n - 1] != '-';
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
	if (!is_name(bucket, len))
		return "a bucket name consists of lower-case letters, digits and "
			"hyphens, and neither begins nor ends with a hyphen";
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
	if (!is_name(region, len))
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

/* ---------- endpoints ---------- */

/*
 * Set the endpoint's host to a name of len bytes in lower case.  Returns
 * false if it is too long.
 */
static bool
lower_host(const char *name, size_t len, OssEndpoint *endpoint)
{
	if (len > OSS_HOST_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
	{
		char		c = name[i];

		endpoint->host[i] = c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
	}
	endpoint->host[len] = '\0';
	return true;
}

/*
 * Would a resolver read a host's last label as a number?  Then it takes the
 * whole host for an address in one of inet_aton()'s spellings.
 */
static bool
ends_in_number(const char *host)
{
	const char *label = strrchr(host, '.');

	label = label != NULL ? label + 1 : host;
	if (label[0] == '0' && label[1] == 'x')
		return label[2 + strspn(label + 2, "0123456789abcdef")] == '\0';
	return label[0] != '\0' && label[strspn(label, "0123456789")] == '\0';
}

static bool
is_host_name(const char *host)
{
	for (;;)
	{
		size_t		len = strcspn(host, ".");

		if (len > LABEL_MAX || !is_name(host, len))
			return false;
		if (host[len] == '\0')
			return true;
		host += len + 1;
	}
}

/* Is this name localhost or one below it (RFC 6761)? */
static bool
is_localhost(const char *host)
{
	static const char name[] = "localhost";
	size_t		len = strlen(host);
	size_t		n = sizeof(name) - 1;

	if (len < n || strcmp(host + len - n, name) != 0)
		return false;
	return len == n || host[len - n - 1] == '.';
}

/* Set is_ip and is_loopback from the endpoint's host. */
static void
note_literal(OssEndpoint *endpoint)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
	const struct sockaddr *addr = NULL;

	if (inet_pton(AF_INET, endpoint->host, &in.sin_addr) == 1)
		addr = (const struct sockaddr *) &in;
	else if (inet_pton(AF_INET6, endpoint->host, &in6.sin6_addr) == 1)
		addr = (const struct sockaddr *) &in6;
	endpoint->is_ip = addr != NULL;
	endpoint->is_loopback = addr != NULL ?
		oss_address_class(addr) == OSS_ADDRESS_LOOPBACK :
		is_localhost(endpoint->host);
}

/*
 * Parse the host.  Returns what is wrong with it, or NULL.  The dot that ends
 * an absolute name is removed: no certificate has it, nor does the Host
 * header.
 */
static const char *
parse_host(const char *text, size_t len, bool bracketed,
		   OssEndpoint *endpoint)
{
	if (len > 1 && text[len - 1] == '.' && !bracketed)
		len--;
	if (len == 0)
		return "the endpoint has no host";
	if (!lower_host(text, len, endpoint))
		return "the endpoint's host is too long";
	note_literal(endpoint);
	if (bracketed)
		return endpoint->is_ip && strchr(endpoint->host, ':') != NULL ?
			NULL : "what stands in brackets is not an IPv6 address";
	if (endpoint->is_ip)
		return NULL;
	if (ends_in_number(endpoint->host))
		return "the endpoint's host is neither a name nor an IPv4 address";
	if (!is_host_name(endpoint->host))
		return "the endpoint's host is not a legal host name";
	return NULL;
}

/* Parse a port of len digits.  Returns what is wrong with it, or NULL. */
static const char *
parse_port(const char *text, size_t len, int *port)
{
	static const char problem[] = "a port is a number from 1 to 65535";
	int			value = 0;

	if (len == 0 || len > 5)
		return problem;
	for (size_t i = 0; i < len; i++)
	{
		if (!is_digit(text[i]))
			return problem;
		value = value * 10 + (text[i] - '0');
	}
	if (value < 1 || value > PORT_MAX)
		return problem;
	*port = value;
	return NULL;
}

/*
 * Parse "host[:port]" of len bytes.  Returns what is wrong with it, or NULL.
 */
static const char *
parse_authority(const char *text, size_t len, OssEndpoint *endpoint)
{
	bool		bracketed = len > 0 && text[0] == '[';
	const char *end = text + len;
	const char *host_end;
	const char *after;
	const char *problem;

	if (memchr(text, '@', len) != NULL)
		return "an endpoint must not contain user information";
	if (bracketed)
	{
		text++;
		host_end = memchr(text, ']', end - text);
		if (host_end == NULL)
			return "the endpoint's bracket is not closed";
		after = host_end + 1;
	}
	else
	{
		host_end = memchr(text, ':', len);
		if (host_end == NULL)
			host_end = end;
		else if (memchr(host_end + 1, ':', end - host_end - 1) != NULL)
			return "an IPv6 address in an endpoint stands in brackets";
		after = host_end;
	}
	problem = parse_host(text, host_end - text, bracketed, endpoint);
	if (problem != NULL || after == end)
		return problem;
	if (*after != ':')
		return "the endpoint has characters between host and port";
	return parse_port(after + 1, end - after - 1, &endpoint->port);
}

/*
 * Parse the scheme and move *text past it.  Returns what is wrong with it, or
 * NULL.
 */
static const char *
parse_scheme(const char **text, OssEndpoint *endpoint)
{
	const char *end = strstr(*text, "://");
	size_t		len;

	endpoint->https = true;
	if (end == NULL)
		return NULL;
	len = end - *text;
	if (len == 4 || len == 5)
	{
		char		scheme[6] = {0};

		/* this bit makes an ASCII letter lower case */
		for (size_t i = 0; i < len; i++)
			scheme[i] = (*text)[i] | 0x20;
		endpoint->https = strcmp(scheme, "https") == 0;
		if (endpoint->https || strcmp(scheme, "http") == 0)
		{
			*text = end + 3;
			return NULL;
		}
	}
	return "an endpoint's scheme is https or http";
}

const char *
oss_endpoint_parse(const char *text, OssEndpoint *endpoint)
{
	const char *problem;
	size_t		len;
	int			scheme_port;

	memset(endpoint, 0, sizeof(*endpoint));
	problem = parse_scheme(&text, endpoint);
	if (problem != NULL)
		return problem;
	len = strcspn(text, "/?#\\");
	if (text[len] != '\0' && strcmp(text + len, "/") != 0)
		return "an endpoint has no path, query or fragment";
	scheme_port = endpoint->https ? HTTPS_PORT : HTTP_PORT;
	endpoint->port = scheme_port;
	problem = parse_authority(text, len, endpoint);
	if (problem != NULL)
		return problem;
	endpoint->default_port = endpoint->port == scheme_port;
	if (!endpoint->https && !endpoint->is_loopback)
		return "plain http is for loopback addresses only, since others could "
			"read and replay the request";
	return NULL;
}

void
oss_endpoint_of_region(const char *region, OssEndpoint *endpoint)
{
	memset(endpoint, 0, sizeof(*endpoint));
	endpoint->https = true;
	endpoint->default_port = true;
	endpoint->port = HTTPS_PORT;
	snprintf(endpoint->host, sizeof(endpoint->host), "oss-%s.aliyuncs.com",
			 region);
}

/* Does a host label begin like a region's id, such as cn-hangzhou? */
static bool
begins_like_region(const char *label)
{
	return label[0] >= 'a' && label[0] <= 'z' &&
		label[1] >= 'a' && label[1] <= 'z' && label[2] == '-';
}

bool
oss_is_endpoint_label(const char *label)
{
	return strncmp(label, "oss-", 4) == 0 &&
		(begins_like_region(label + 4) ||
		 strncmp(label + 4, "accelerate", 10) == 0);
}

/* Return the start of the host label that ends before end. */
static const char *
label_before(const char *host, const char *end)
{
	while (end > host && end[-1] != '.')
		end--;
	return end;
}

const char *
oss_endpoint_behind_bucket(const OssEndpoint *endpoint)
{
	static const char domain[] = ".aliyuncs.com";
	const char *host = endpoint->host;
	const char *end = host + strlen(host);
	const char *own;

	if (end - host < (ptrdiff_t) sizeof(domain) ||
		strcmp(end - sizeof(domain) + 1, domain) != 0)
		return NULL;
	own = label_before(host, end - sizeof(domain) + 1);
	if (strncmp(own, "oss.", 4) == 0 && own > host)
	{
		/* dual-stack endpoints look like cn-hangzhou.oss.aliyuncs.com */
		const char *region = label_before(host, own - 1);

		if (begins_like_region(region))
			own = region;
	}
	else if (!oss_is_endpoint_label(own))
		return NULL;
	return own > host ? own : NULL;
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
