/*-------------------------------------------------------------------------
 * route.c
 *	  Where the requests for a bucket go.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/route.h"

/* Return a bucket's own domain, or NULL. */
static const OssDomain *
find_domain(const OssServer *server, const char *bucket)
{
	int			low = 0;
	int			high = server->ndomains;

	while (low < high)
	{
		int			middle = (low + high) / 2;
		int			order = strcmp(server->domains[middle].bucket, bucket);

		if (order == 0)
			return &server->domains[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

const char *
oss_route_find(const OssServer *server, const char *bucket, OssRoute *route)
{
	const OssDomain *domain = bucket != NULL ? find_domain(server, bucket) : NULL;

	route->addressing = OSS_CNAME;
	route->own = true;
	if (domain != NULL)
	{
		route->endpoint = domain->endpoint;
		return NULL;
	}
	if (server->endpoint_template == NULL)
	{
		route->endpoint = server->endpoint;
		route->addressing = server->addressing;
		route->own = false;
		return NULL;
	}
	if (bucket == NULL)
		return "the endpoint has a placeholder for the bucket, and none was given";
	return oss_endpoint_expand(server->endpoint_template, bucket,
							   server->private_http, &route->endpoint);
}

OssFailure *
oss_route_failure(const OssServer *server, const char *problem, const char *what)
{
	return oss_failure_make("NoDomain",
							psprintf("Endpoint \"%s\" of server \"%s\": %s.",
									 server->endpoint_template, server->name, problem),
							what);
}

/* Is a rule's code this one? */
static bool
has_code(const OssFailureRule *rule, const char *code)
{
	return rule->code != NULL && strcmp(rule->code, code) == 0;
}

const OssFailureRule *
oss_route_rule(const OssRoute *route, const OssFailureRule *rule)
{
	if (route->addressing == OSS_CNAME &&
		(has_code(rule, "SignatureDoesNotMatch") ||
		 (rule->ec != NULL && strcmp(rule->ec, "0002-00000040") == 0)))
		return oss_failure_rule("OtherDomain");
	return rule;
}

OssScope
oss_route_scope(const OssRoute *route, const OssFailureRule *rule, OssScope scope)
{
	if (route->own && scope == OSS_SCOPE_SERVER &&
		(has_code(rule, "CertificateRefused") || has_code(rule, "ForbiddenAddress") ||
		 has_code(rule, "Unreachable") || has_code(rule, "ProxyRefused") ||
		 has_code(rule, "ProxyFailed") || has_code(rule, "TunnelTlsFailed") ||
		 has_code(rule, "TunnelCertificateRefused")))
		return OSS_SCOPE_BUCKET;
	return scope;
}

/* Does a rule say that the endpoint was not reached? */
static bool
says_unreached(const OssFailureRule *rule)
{
	return has_code(rule, "CouldNotResolve") || has_code(rule, "CouldNotConnect") ||
		has_code(rule, "ConnectTimeout") || has_code(rule, "Unreachable");
}

const char *
oss_route_hint(const OssRoute *route, const OssFailureRule *rule)
{
	if (!says_unreached(rule))
		return rule->hint;
	if (route->own)
		return "The host is the bucket's own: check the server's option endpoint, oss_labels.bucket_domain and DNS; oss_labels.check_server() shows how far a request gets.";
	switch (oss_endpoint_type(&route->endpoint))
	{
		case OSS_ENDPOINT_INTERNAL:
			return "The internal endpoint is reached from machines of Alibaba Cloud in the same region only. From elsewhere use endpoint_type 'public', or a custom domain; oss_labels.check_server() shows how far a request gets.";
		case OSS_ENDPOINT_PUBLIC:
			return "Check the region and the network. A machine of Alibaba Cloud without access to the internet needs endpoint_type 'internal'; oss_labels.check_server() shows how far a request gets.";
		case OSS_ENDPOINT_DUALSTACK:
			return "Not all regions have a dual-stack endpoint. Check the region, or use endpoint_type 'public', or 'internal' on a machine of Alibaba Cloud in the region.";
		case OSS_ENDPOINT_ACCELERATE:
			return "The accelerate endpoint needs access to the internet. A machine of Alibaba Cloud in the bucket's region uses endpoint_type 'internal'; oss_labels.check_server() shows how far a request gets.";
		case OSS_ENDPOINT_OTHER:
			break;
	}
	return rule->hint;
}

const char *
oss_route_detail(const OssRoute *route, const char *bucket, const char *detail)
{
	if (route->addressing != OSS_CNAME || bucket == NULL)
		return detail;
	return psprintf("%s%sThe domain asked for bucket \"%s\" is \"%s\".",
					detail != NULL ? detail : "",
					detail != NULL && detail[0] != '\0' ? "\n" : "",
					bucket, route->endpoint.host);
}
