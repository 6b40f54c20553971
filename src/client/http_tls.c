/*-------------------------------------------------------------------------
 * http_tls.c
 *	  TLS with the host of a transfer and with an https proxy.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <curl/curl.h>

#include "client/http_internal.h"
#include "compat.h"

/* Return the CA file that is meant; NULL if the system's store is in none. */
static const char *
ca_file_of(CURL *easy, const char *ca_file)
{
	/* the system's store may be replaced too, by an update */
	return ca_file != NULL ? ca_file : oss_system_ca_file(easy);
}

/* Set the trusted CAs of the proxy, if that speaks TLS. */
static bool
set_proxy_tls(CURL *easy, const HttpProxy *proxy)
{
	const char *ca_file = ca_file_of(easy, proxy->ca_file);

	if (strncmp(proxy->url, "https:", 6) != 0)
		return true;
	curl_easy_setopt(easy, CURLOPT_PROXY_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(easy, CURLOPT_PROXY_SSL_VERIFYHOST, 2L);
	if (ca_file != NULL &&
		curl_easy_setopt(easy, CURLOPT_PROXY_CAINFO, oss_http_ca_name(ca_file)) != CURLE_OK)
		return false;
	curl_easy_setopt(easy, CURLOPT_PROXY_CAPATH, NULL);
	return curl_easy_setopt(easy, CURLOPT_PROXY_SSLVERSION,
							(long) CURL_SSLVERSION_TLSv1_2) == CURLE_OK;
}

bool
oss_http_tls_begin(CURL *easy, const HttpSpec *spec, const HttpProxy *proxy)
{
	const char *ca_file = ca_file_of(easy, spec->ca_file);
	char	   *marked = NULL;
	CURLcode	code = CURLE_OK;

	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(easy, CURLOPT_SHARE, oss_http_loop_share());
	if (pg_strncasecmp(spec->url, "https:", 6) != 0)
		ca_file = NULL;
	if (ca_file != NULL && proxy != NULL)
		marked = oss_http_ca_name_of(ca_file, proxy->whose);
	if (ca_file != NULL)
		code = curl_easy_setopt(easy, CURLOPT_CAINFO,
								marked != NULL ? marked : oss_http_ca_name(ca_file));
	if (marked != NULL)
		pfree(marked);
	if (code != CURLE_OK || (proxy != NULL && !set_proxy_tls(easy, proxy)))
		return false;

	/* without a name that tells whose it is, a tunnel is used once */
	if (proxy != NULL && ca_file == NULL)
	{
		curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
		curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
	}

	/* libcurl caches a parsed store only if it comes from a single file */
	curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	return curl_easy_setopt(easy, CURLOPT_SSLVERSION,
							(long) CURL_SSLVERSION_TLSv1_2) == CURLE_OK &&
		oss_set_ca_cache(easy) == CURLE_OK;
}
