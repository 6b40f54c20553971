/*-------------------------------------------------------------------------
 * endpoint.c
 *	  Endpoints: where requests go, perhaps one for each bucket.
 *
 * Characters are compared by their ASCII codes, independent of the locale.
 *-------------------------------------------------------------------------
 */
#include "protocol/endpoint.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "protocol/address.h"
#include "protocol/uri.h"

#define HTTPS_PORT		443
#define HTTP_PORT		80
#define PORT_MAX		65535
#define LABEL_MAX		63

/* The domain of the service's own endpoints. */
#define SERVICE_DOMAIN	".aliyuncs.com"

static const char placeholder[] = "{bucket}";
static const char port_problem[] = "a port is a number from 1 to 65535";

/* Return where a suffix of a host begins, or NULL if it ends otherwise. */
static const char *
find_suffix(const char *host, const char *suffix)
{
	size_t		len = strlen(host);
	size_t		n = strlen(suffix);

	return len >= n && strcmp(host + len - n, suffix) == 0 ? host + len - n : NULL;
}

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
is_host_name(const char *host, bool underscores)
{
	for (;;)
	{
		size_t		len = strcspn(host, ".");

		if (len > LABEL_MAX || !oss_is_name(host, len, underscores))
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
	const char *name = find_suffix(host, "localhost");

	return name != NULL && (name == host || name[-1] == '.');
}

/*
 * Classify a host in lower case that is an address.  Returns false if it is
 * none.
 */
static bool
class_of_literal(const char *host, OssAddressClass *class)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};

	if (inet_pton(AF_INET, host, &in.sin_addr) == 1)
		*class = oss_address_class((const struct sockaddr *) &in);
	else if (inet_pton(AF_INET6, host, &in6.sin6_addr) == 1)
		*class = oss_address_class((const struct sockaddr *) &in6);
	else
		return false;
	return true;
}

OssAddressClass
oss_host_class(const char *host)
{
	OssEndpoint endpoint;
	OssAddressClass class;
	size_t		len;

	if (host[0] == '[')
		host++;

	/* a zone does not change what an address is */
	len = strcspn(host, "]%");
	if (len > 1 && host[len - 1] == '.')
		len--;
	if (!lower_host(host, len, &endpoint))
		return OSS_ADDRESS_UNUSABLE;
	if (class_of_literal(endpoint.host, &class))
		return class;
	if (ends_in_number(endpoint.host))
		return OSS_ADDRESS_UNUSABLE;
	return is_localhost(endpoint.host) ? OSS_ADDRESS_LOOPBACK : OSS_ADDRESS_ORDINARY;
}

/* Set is_ip and is_loopback from the endpoint's host. */
static void
note_literal(OssEndpoint *endpoint)
{
	OssAddressClass class;

	endpoint->is_ip = class_of_literal(endpoint->host, &class);
	endpoint->is_loopback = endpoint->is_ip ? class == OSS_ADDRESS_LOOPBACK :
		is_localhost(endpoint->host);
}

/*
 * Parse the host.  Returns what is wrong with it, or NULL.  The dot that ends
 * an absolute name is removed: no certificate has it, nor does the Host
 * header.
 */
static const char *
parse_host(const char *text, size_t len, bool bracketed, bool underscores,
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
	if (!is_host_name(endpoint->host, underscores))
		return "the endpoint's host is not a legal host name";
	return NULL;
}

/* Parse a port of len digits.  Returns what is wrong with it, or NULL. */
static const char *
parse_port(const char *text, size_t len, int *port)
{
	int			value = 0;

	if (len == 0 || len > 5 || strspn(text, "0123456789") < len)
		return port_problem;
	for (size_t i = 0; i < len; i++)
		value = value * 10 + (text[i] - '0');
	if (value < 1 || value > PORT_MAX)
		return port_problem;
	*port = value;
	return NULL;
}

/*
 * Parse "host[:port]" of len bytes.  Returns what is wrong with it, or NULL.
 */
static const char *
parse_authority(const char *text, size_t len, bool underscores,
				OssEndpoint *endpoint)
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
	problem = parse_host(text, host_end - text, bracketed, underscores, endpoint);
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

/* Is plain http allowed?  Returns why not, or NULL. */
static const char *
http_problem(const OssEndpoint *endpoint, bool private_http)
{
	OssAddressClass class;

	if (endpoint->https || endpoint->is_loopback)
		return NULL;
	if (!private_http)
		return "plain http is for loopback addresses only, since others could "
			"read and replay the request";
	if (class_of_literal(endpoint->host, &class) && class != OSS_ADDRESS_PRIVATE)
		return "plain http is for loopback and private addresses only, since "
			"others could read and replay the request";
	return NULL;
}

/*
 * Parse an endpoint.  underscores: its host may have some, as old buckets'
 * names do.
 */
static const char *
parse_endpoint(const char *text, bool private_http, bool underscores,
			   OssEndpoint *endpoint)
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
	problem = parse_authority(text, len, underscores, endpoint);
	if (problem != NULL)
		return problem;
	endpoint->default_port = endpoint->port == scheme_port;
	return http_problem(endpoint, private_http);
}

const char *
oss_endpoint_parse(const char *text, bool private_http, OssEndpoint *endpoint)
{
	return parse_endpoint(text, private_http, false, endpoint);
}

const char *
oss_proxy_parse(const char *text, OssEndpoint *proxy)
{
	bool		has_scheme = strstr(text, "://") != NULL;
	const char *problem;
	OssAddressClass class;
	size_t		len;

	memset(proxy, 0, sizeof(*proxy));
	if (!has_scheme || parse_scheme(&text, proxy) != NULL)
		return "a proxy begins with http:// or https://";
	len = strcspn(text, "/?#\\");
	if (memchr(text, '@', len) != NULL)
		return "the proxy's user and password are options of the user "
			"mapping, proxy_user and proxy_password";
	if (text[len] != '\0' && strcmp(text + len, "/") != 0)
		return "a proxy has no path, query or fragment";
	problem = parse_authority(text, len, false, proxy);
	if (problem != NULL)
		return problem == port_problem ? problem :
			"the proxy's host is neither a legal name nor an address";
	if (proxy->port == 0)
		return "a proxy has a port, as in http://proxy.example.com:3128";
	class = oss_host_class(proxy->host);
	return class == OSS_ADDRESS_LINK_LOCAL || class == OSS_ADDRESS_METADATA ||
		class == OSS_ADDRESS_UNUSABLE ? "requests may not go to this address" : NULL;
}

/* ---------- an endpoint for each bucket ---------- */

bool
oss_endpoint_is_template(const char *text)
{
	return strpbrk(text, "{}") != NULL;
}

/*
 * Does a domain that is not the bucket's follow the placeholder at p, in the
 * host?  Otherwise a bucket's name would choose the domain.
 */
static bool
domain_follows(const char *text, const char *p)
{
	const char *scheme = strstr(text, "://");
	const char *host = scheme != NULL ? scheme + 3 : text;
	const char *end = host + strcspn(host, "/?#\\");
	const char *domain;
	size_t		len;

	if (p < host || p >= end)
		return false;
	p += sizeof(placeholder) - 1;
	end = p + strcspn(p, ":/?#\\");
	domain = memchr(p, '.', end - p);
	if (domain == NULL)
		return false;
	domain++;
	len = end - domain;
	if (len > 0 && domain[len - 1] == '.')
		len--;

	/* below a top-level domain each may register a bucket's name */
	return memchr(domain, '.', len) != NULL ||
		(len == strlen("localhost") && memcmp(domain, "localhost", len) == 0);
}

const char *
oss_endpoint_expand(const char *text, const char *bucket, bool private_http,
					OssEndpoint *endpoint)
{
	const char *at = strstr(text, placeholder);
	char		expanded[2 * OSS_HOST_MAX];
	int			len;

	if (at == NULL)
		return "the only placeholder of an endpoint is {bucket}";
	len = snprintf(expanded, sizeof(expanded), "%.*s%s%s", (int) (at - text),
				   text, bucket, at + sizeof(placeholder) - 1);
	if (len < 0 || (size_t) len >= sizeof(expanded))
		return "the endpoint's host is too long";
	return parse_endpoint(expanded, private_http, true, endpoint);
}

const char *
oss_template_problem(const char *text, bool private_http)
{
	const char *at = strstr(text, placeholder);
	OssEndpoint ignored;
	const char *problem;

	if (at == NULL || strcspn(text, "{}") != (size_t) (at - text))
		return "the only placeholder of an endpoint is {bucket}";
	if (strpbrk(at + sizeof(placeholder) - 1, "{}") != NULL)
		return "an endpoint has one {bucket}, and no other braces";

	/* what stands around the placeholder has no underscores */
	problem = oss_endpoint_expand(text, "bucket", private_http, &ignored);
	if (problem != NULL)
		return problem;
	if (strchr(text, '_') != NULL)
		return "the endpoint's host is not a legal host name";
	if (!domain_follows(text, at))
		return "a domain follows {bucket} in the host, not a top-level one alone, as in "
			"\"{bucket}.img.example.com\"";
	return NULL;
}

/* ---------- the service's own endpoints ---------- */

const char *
oss_endpoint_of_region(const char *region, OssEndpointType type,
					   OssEndpoint *endpoint)
{
	static const char *const hosts[] = {
		[OSS_ENDPOINT_PUBLIC] = "oss-%s.aliyuncs.com",
		[OSS_ENDPOINT_INTERNAL] = "oss-%s-internal.aliyuncs.com",
		[OSS_ENDPOINT_DUALSTACK] = "%s.oss.aliyuncs.com"
	};
	char		host[OSS_HOST_MAX + 1];

	if (type == OSS_ENDPOINT_ACCELERATE)
		return oss_endpoint_parse("oss-accelerate.aliyuncs.com", false, endpoint);
	snprintf(host, sizeof(host), hosts[type], region);
	return oss_endpoint_parse(host, false, endpoint);
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
	const char *host = endpoint->host;
	const char *end = find_suffix(host, SERVICE_DOMAIN);
	const char *own;

	if (end == NULL)
		return NULL;
	own = label_before(host, end);
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

OssEndpointType
oss_endpoint_type(const OssEndpoint *endpoint)
{
	static const char internal[] = "-internal";
	const char *host = endpoint->host;
	const char *end = find_suffix(host, SERVICE_DOMAIN);
	const char *own;

	if (end == NULL)
		return OSS_ENDPOINT_OTHER;
	own = label_before(host, end);
	if (strncmp(own, "oss.", 4) == 0)
		return own > host ? OSS_ENDPOINT_DUALSTACK : OSS_ENDPOINT_PUBLIC;
	if (!oss_is_endpoint_label(own))
		return OSS_ENDPOINT_OTHER;
	if (strncmp(own, "oss-accelerate", 14) == 0)
		return OSS_ENDPOINT_ACCELERATE;
	if (end - own > (ptrdiff_t) sizeof(internal) &&
		strncmp(end - (sizeof(internal) - 1), internal, sizeof(internal) - 1) == 0)
		return OSS_ENDPOINT_INTERNAL;
	return OSS_ENDPOINT_PUBLIC;
}
