/*-------------------------------------------------------------------------
 * http_proxy.c
 *	  Transfers through a proxy: a tunnel that the proxy makes on CONNECT, in
 *	  which the request goes as without it.
 *
 * All transfers through a proxy use a tunnel, those of plain http too, so that
 * the proxy's answers are never taken for the service's.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <curl/curl.h>

#include "client/http_internal.h"

/*
 * Classify the host of a URL, as libcurl reads it.  A URL that it does not
 * read will fail in any case.
 */
static OssAddressClass
class_of_url(const char *url)
{
	CURLU	   *parts = curl_url();
	char	   *host = NULL;
	OssAddressClass class = OSS_ADDRESS_UNUSABLE;

	if (parts != NULL && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
		curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK)
		class = oss_host_class(host);
	curl_free(host);
	curl_url_cleanup(parts);
	return class;
}

/* Does a transfer go through its proxy? */
static bool
uses_proxy(const HttpSpec *spec)
{
	OssAddressClass class;

	if (spec->proxy == NULL || spec->proxy->url == NULL)
		return false;
	class = class_of_url(spec->url);
	if (class == OSS_ADDRESS_LOOPBACK)
		return spec->proxy->is_loopback;
	return class != OSS_ADDRESS_LINK_LOCAL && class != OSS_ADDRESS_METADATA &&
		class != OSS_ADDRESS_UNUSABLE;
}

bool
oss_http_tunnel_begin(HttpTunnel *t, CURL *easy, const HttpSpec *spec)
{
	const HttpProxy *proxy = uses_proxy(spec) ? spec->proxy : NULL;

	t->proxy = proxy;

	/* also because libcurl would look into the environment */
	if (curl_easy_setopt(easy, CURLOPT_PROXY, proxy ? proxy->url : "") != CURLE_OK ||
		curl_easy_setopt(easy, CURLOPT_NOPROXY, "") != CURLE_OK)
		return false;
	if (proxy == NULL)
		return true;
	curl_easy_setopt(easy, CURLOPT_HTTPPROXYTUNNEL, 1L);
	curl_easy_setopt(easy, CURLOPT_HEADEROPT, (long) CURLHEADER_SEPARATE);
	if (proxy->user == NULL)
		return true;
	curl_easy_setopt(easy, CURLOPT_PROXYAUTH, (long) CURLAUTH_BASIC);
	return curl_easy_setopt(easy, CURLOPT_PROXYUSERNAME, proxy->user) == CURLE_OK &&
		curl_easy_setopt(easy, CURLOPT_PROXYPASSWORD,
						 proxy->password ? proxy->password : "") == CURLE_OK;
}

bool
oss_http_tunnel_open(const HttpTunnel *t)
{
	return t->proxy == NULL || t->status / 100 == 2;
}

void
oss_http_tunnel_header(HttpTunnel *t, const char *line, size_t len)
{
	t->bytes += len;
	if (len >= 12 && strncmp(line, "HTTP/", 5) == 0)
	{
		const char *blank = memchr(line, ' ', len);

		t->line_status = 0;
		if (blank != NULL && line + len - blank > 3)
			for (int i = 1; i <= 3 && isdigit((unsigned char) blank[i]); i++)
				t->line_status = 10 * t->line_status + blank[i] - '0';
	}

	/* an empty line ends the answer, unless that is an interim one */
	if ((line[0] == '\r' || line[0] == '\n') && t->line_status >= 200)
		t->status = t->line_status;
}

/* Return the end that the status of the proxy's answer means. */
static HttpEnd
end_of_status(int status)
{
	/* 401: tinyproxy, of a wrong password */
	if (status == 407 || status == 401)
		return HTTP_PROXY_AUTHENTICATION;
	return status >= 500 || status == 429 || status == 408 ?
		HTTP_PROXY_FAILED : HTTP_PROXY_REFUSED;
}

HttpEnd
oss_http_tunnel_end(const HttpTunnel *t, HttpEnd end)
{
	bool		open = oss_http_tunnel_open(t);

	if (end == HTTP_NO_MEMORY)
		return end;
	if (t->status != 0 && !open)
		return end_of_status(t->status);
	switch (end)
	{
		case HTTP_RESOLVE:
			return HTTP_PROXY_RESOLVE;
		case HTTP_CONNECT:
			return HTTP_PROXY_CONNECT;
		case HTTP_FORBIDDEN_ADDRESS:
			return HTTP_PROXY_ADDRESS;
		case HTTP_TIMEOUT:
			return HTTP_PROXY_TIMEOUT;
		case HTTP_CERTIFICATE:
			return open ? HTTP_TUNNEL_CERTIFICATE : HTTP_PROXY_CERTIFICATE;
		case HTTP_TLS:
			return open ? HTTP_TUNNEL_TLS : HTTP_PROXY_TLS;
		default:
			if (open)
				return HTTP_TUNNEL_TLS;
			return t->bytes == 0 ? HTTP_PROXY_CLOSED : HTTP_PROXY_GARBLED;
	}
}
