/*-------------------------------------------------------------------------
 * fuzz_uri.c
 *	  Parse the input as an endpoint, a proxy, a key, a bucket and a region.
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"
#include "protocol/uri.h"

/* Check an endpoint that was accepted: its own URL means the same. */
static void
check_endpoint(const OssEndpoint *endpoint)
{
	OssEndpoint again;
	OssText		url = {0};
	size_t		len = strlen(endpoint->host);

	promise(len > 0 && len <= OSS_HOST_MAX);
	promise(endpoint->host[strspn(endpoint->host,
								  "abcdefghijklmnopqrstuvwxyz0123456789-.:")]
			== '\0');
	promise(endpoint->is_ip || strchr(endpoint->host, ':') == NULL);
	promise(endpoint->port >= 1 && endpoint->port <= 65535);
	promise(endpoint->default_port ==
			(endpoint->port == (endpoint->https ? 443 : 80)));
	promise(endpoint->https || endpoint->is_loopback);

	oss_object_url(&url, endpoint, OSS_CNAME, NULL, NULL);
	promise(strncmp(url.data, endpoint->https ? "https://" : "http://",
					endpoint->https ? 8 : 7) == 0);
	promise(url.data[url.len - 1] == '/');
	promise(oss_endpoint_parse(url.data, false, &again) == NULL);
	promise(memcmp(endpoint, &again, sizeof(again)) == 0);
	oss_text_free(&url);
}

/* Check a name of these characters, letters and digits that was accepted. */
static void
check_name(const char *name, const char *others)
{
	for (const char *c = name; *c; c++)
		promise((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || strchr(others, *c));
	promise(name[0] != '\0' && !strchr(others, name[0]));
	promise(!strchr(others, name[strlen(name) - 1]));
}

/* Check what is said about a key, against the C library's opinion. */
static void
check_key(const char *key, size_t len)
{
	bool		legal = (len >= 1 && len <= OSS_KEY_MAX &&
						 key[0] != '/' && key[0] != '\\' &&
						 memchr(key, '\0', len) == NULL && fuzz_is_utf8(key, len));

	promise((oss_key_problem(key, len) == NULL) == legal);
}

/* Check a template that was accepted: no bucket chooses the domain. */
static void
check_template(const char *text)
{
	OssEndpoint one;
	OssEndpoint other;
	const char *domain;

	promise(oss_endpoint_expand(text, "aaa", false, &one) == NULL);
	promise(oss_endpoint_expand(text, "b_b", false, &other) == NULL);
	domain = strchr(strstr(one.host, "aaa"), '.');
	promise(domain != NULL && domain[1] != '\0' && !one.is_ip && !other.is_ip);
	promise(strlen(one.host) == strlen(other.host) && one.port == other.port);
	promise(strcmp(domain, other.host + (domain - one.host)) == 0);
}

/* Check a proxy that was accepted: its URL means the same. */
static void
check_proxy(const OssEndpoint *proxy)
{
	OssEndpoint again;
	OssText		url = {0};
	OssAddressClass class = oss_host_class(proxy->host);

	promise(proxy->port >= 1 && proxy->port <= 65535);
	promise(class != OSS_ADDRESS_LINK_LOCAL && class != OSS_ADDRESS_METADATA &&
			class != OSS_ADDRESS_UNUSABLE);
	promise(proxy->is_loopback == (class == OSS_ADDRESS_LOOPBACK));
	oss_proxy_url(&url, proxy);
	promise(oss_proxy_parse(url.data, &again) == NULL);
	promise(memcmp(proxy, &again, sizeof(again)) == 0);
	oss_text_free(&url);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text = fuzz_text(data, size);
	OssEndpoint endpoint;
	OssText		url = {0};

	if (oss_endpoint_parse(text, false, &endpoint) == NULL)
		check_endpoint(&endpoint);
	if (oss_template_problem(text, false) == NULL)
		check_template(text);
	if (oss_proxy_parse(text, &endpoint) == NULL)
		check_proxy(&endpoint);
	(void) oss_host_class(text);
	check_key(text, size);
	if (oss_bucket_problem(text) == NULL)
		check_name(text, "-_");
	if (oss_region_problem(text) == NULL)
	{
		check_name(text, "-");
		promise(oss_endpoint_of_region(text, OSS_ENDPOINT_PUBLIC, &endpoint) == NULL);
		check_endpoint(&endpoint);
	}
	oss_version_id_problem(text);

	oss_escape(&url, text, size, false);
	promise(url.len >= size && url.len <= 3 * size);
	promise(strlen(url.data) == url.len);
	oss_text_free(&url);
	free(text);
	return 0;
}
