/*-------------------------------------------------------------------------
 * endpoint_option.c
 *	  The options of a server that say where its requests go.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/endpoint_option.h"
#include "client/failure.h"
#include "commands/defrem.h"

/* What separates buckets and hosts in bucket_domains. */
#define BLANKS " \t\r\n"

/* Return the endpoint meant by a URL with a path, for a hint, or NULL. */
static char *
without_path(const char *value)
{
	const char *scheme_end = strstr(value, "://");
	const char *host = scheme_end != NULL ? scheme_end + 3 : value;
	char	   *text = pnstrdup(value, host - value + strcspn(host, "/?#\\"));
	OssEndpoint endpoint;
	const char *own;

	if (oss_endpoint_parse(text, false, &endpoint) != NULL)
		return NULL;
	own = oss_endpoint_behind_bucket(&endpoint);
	return own != NULL ? psprintf("https://%s", own) : text;
}

static void
refuse_endpoint(const char *value, const char *problem)
{
	const char *right = without_path(value);

	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),

	/* user information may contain a password */
			 errmsg("invalid value for option \"%s\": \"%s\"", "endpoint",
					strchr(value, '@') == NULL ? value : "..."),
			 errdetail_internal("%s", oss_sentence(problem)),
			 right != NULL ?
			 errhint("Write \"%s\"; bucket and key are arguments of each call.", right) :
			 errhint("An endpoint looks like \"https://oss-cn-hangzhou-internal.aliyuncs.com\", for custom domains also \"https://{bucket}.img.example.com\"; plain http is for loopback addresses, and for private ones with the option plain_http.")));
}

/* by OssEndpointType */
static const char *const type_names[] = {
	[OSS_ENDPOINT_PUBLIC] = "public",
	[OSS_ENDPOINT_INTERNAL] = "internal",
	[OSS_ENDPOINT_ACCELERATE] = "accelerate",
	[OSS_ENDPOINT_DUALSTACK] = "dualstack"
};

/*
 * Refuse an endpoint whose host begins with a bucket, to which another one
 * would be prepended, and one that is only a region or a type.
 */
static void
check_endpoint(const OssServer *server, const char *value)
{
	const OssEndpoint *endpoint = &server->endpoint;
	const char *own = oss_endpoint_behind_bucket(endpoint);
	size_t		len = strlen(server->region);

	if (own != NULL && server->addressing != OSS_CNAME)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for option \"%s\": \"%s\"", "endpoint", value),
				 errdetail("The endpoint has a bucket in it, \"%.*s\".",
						   (int) (own - endpoint->host - 1), endpoint->host),
				 errhint("Write \"https://%s\"; the bucket is an argument of each call.", own)));
	if (strchr(endpoint->host, '.') != NULL || endpoint->is_ip)
		return;
	for (int i = 0; i < lengthof(type_names); i++)
		if (strcmp(endpoint->host, type_names[i]) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("invalid value for option \"%s\": \"%s\"", "endpoint", value),
					 errdetail("It is a type of endpoint, not a host."),
					 errhint("Write endpoint_type '%s'.", type_names[i])));
	if (oss_is_endpoint_label(endpoint->host) ||
		(strncmp(endpoint->host, server->region, len) == 0 &&
		 (endpoint->host[len] == '\0' ||
		  strcmp(endpoint->host + len, "-internal") == 0)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for option \"%s\": \"%s\"", "endpoint", value),
				 errdetail("The endpoint has no domain."),
				 errhint("Write \"https://%s%s.aliyuncs.com\".",
						 strncmp(endpoint->host, "oss-", 4) == 0 ? "" : "oss-",
						 endpoint->host)));
}

/* Read an endpoint with {bucket}. */
static void
read_template(OssServer *server, const char *value, bool addressed)
{
	const char *problem = oss_template_problem(value, server->private_http);

	if (problem != NULL)
		refuse_endpoint(value, problem);
	if (addressed && server->addressing != OSS_CNAME)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("options \"%s\" and \"%s\" contradict each other", "endpoint", "addressing"),
				 errdetail("The endpoint says where the bucket stands in the host."),
				 errhint("Leave addressing out, or take {bucket} out of the endpoint.")));
	server->endpoint_template = MemoryContextStrdup(server->context, value);
	server->addressing = OSS_CNAME;
}

/* Read an endpoint that is the same for all buckets. */
static void
read_endpoint(OssServer *server, const char *value, bool addressed)
{
	const char *problem = oss_endpoint_parse(value, server->private_http,
											 &server->endpoint);

	if (problem != NULL)
		refuse_endpoint(value, problem);

	/* protocol/README.md 4.4: the SDKs take an IP for a path-style endpoint */
	if (!addressed)
		server->addressing = server->endpoint.is_ip || server->endpoint.is_loopback ?
			OSS_PATH : OSS_VIRTUAL_HOST;
	check_endpoint(server, value);
}

/* Derive the endpoint from region and endpoint_type. */
static void
read_endpoint_type(OssServer *server, const char *value)
{
	const char *problem = "valid are public, internal, accelerate and dualstack";

	for (int i = 0; i < lengthof(type_names); i++)
	{
		if (strcmp(value, type_names[i]) == 0)
			problem = oss_endpoint_of_region(server->region, i, &server->endpoint);
	}
	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for option \"%s\": \"%s\"", "endpoint_type", value),
				 errdetail_internal("%s", oss_sentence(problem)),
				 errhint("Give one of these, or leave it out for the public endpoint; other hosts are named by the option endpoint.")));
}

static void
refuse_domain(const char *bucket, const char *host, const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid domain \"%s\" of bucket \"%s\" in option \"%s\"",
					strchr(host, '@') == NULL ? host : "...", bucket, "bucket_domains"),
			 errdetail_internal("%s", oss_sentence(problem)),
			 errhint("Write 'bucket-a=img.example.com, bucket-b=photos.example.org', or insert into oss_labels.bucket_domain.")));
}

/* Read one domain. */
static void
read_domain(const OssServer *server, const char *bucket, const char *host,
			OssDomain *domain)
{
	const char *problem = oss_bucket_problem(bucket);

	if (problem == NULL)
		problem = oss_endpoint_parse(host, server->private_http, &domain->endpoint);
	if (problem == NULL && oss_endpoint_type(&domain->endpoint) != OSS_ENDPOINT_OTHER &&
		oss_endpoint_behind_bucket(&domain->endpoint) == NULL)
		problem = "the host is an endpoint of OSS itself, which all buckets share";
	if (problem != NULL)
		refuse_domain(bucket, host, problem);
	domain->bucket = MemoryContextStrdup(server->context, bucket);
}

/* Return, palloc'd, a range of text without blanks at its ends. */
static char *
copy_trimmed(const char *begin, const char *end)
{
	while (begin < end && strchr(BLANKS, *begin))
		begin++;
	while (end > begin && strchr(BLANKS, end[-1]))
		end--;
	return pnstrdup(begin, end - begin);
}

bool
oss_domain_next(const char **rest, char **bucket, char **host)
{
	const char *entry = *rest + strspn(*rest, BLANKS ",");
	const char *end = entry + strcspn(entry, ",");
	const char *equals = entry + strcspn(entry, ",=");

	*rest = end;
	if (entry == end)
		return false;
	*bucket = copy_trimmed(entry, equals);
	*host = copy_trimmed(Min(equals + 1, end), end);
	return true;
}

static int
compare_domains(const void *a, const void *b)
{
	return strcmp(((const OssDomain *) a)->bucket, ((const OssDomain *) b)->bucket);
}

/* Read the domains of single buckets. */
static void
read_domains(OssServer *server, const char *value)
{
	int			capacity = 8;
	char	   *bucket;
	char	   *host;

	server->domains = MemoryContextAlloc(server->context, capacity * sizeof(OssDomain));
	while (oss_domain_next(&value, &bucket, &host))
	{
		if (server->ndomains == capacity)
		{
			capacity *= 2;
			server->domains = repalloc(server->domains, capacity * sizeof(OssDomain));
		}
		read_domain(server, bucket, host, &server->domains[server->ndomains++]);
	}
	qsort(server->domains, server->ndomains, sizeof(OssDomain), compare_domains);
	for (int i = 1; i < server->ndomains; i++)
	{
		if (compare_domains(&server->domains[i - 1], &server->domains[i]) == 0)
			refuse_domain(server->domains[i].bucket, server->domains[i].endpoint.host,
						  "the bucket is named twice");
	}
}

const char *
oss_option_value(List *options, const char *name)
{
	foreach_ptr(DefElem, option, options)
		if (strcmp(option->defname, name) == 0)
		return defGetString(option);
	return NULL;
}

void
oss_endpoint_options_read(OssServer *server, List *options)
{
	const char *endpoint = oss_option_value(options, "endpoint");
	const char *type = oss_option_value(options, "endpoint_type");
	const char *domains = oss_option_value(options, "bucket_domains");
	bool		addressed = oss_option_value(options, "addressing") != NULL;

	if (type != NULL && endpoint != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("options \"%s\" and \"%s\" contradict each other", "endpoint", "endpoint_type"),
				 errdetail("endpoint names a host, endpoint_type derives one from the region."),
				 errhint("Leave one of them out.")));
	if (type != NULL && addressed && server->addressing == OSS_CNAME)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("options \"%s\" and \"%s\" contradict each other", "endpoint_type", "addressing"),
				 errdetail("A custom domain is named by the option endpoint."),
				 errhint("Leave addressing out.")));
	if (endpoint == NULL)
		read_endpoint_type(server, type != NULL ? type : "public");
	else if (oss_endpoint_is_template(endpoint))
		read_template(server, endpoint, addressed);
	else
		read_endpoint(server, endpoint, addressed);
	if (domains != NULL)
		read_domains(server, domains);
}
