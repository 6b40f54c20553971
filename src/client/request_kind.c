/*-------------------------------------------------------------------------
 * request_kind.c
 *	  What the kinds of requests differ in: labels, the headers of an object,
 *	  a page of a listing.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/request_state.h"
#include "client/signed_request.h"

int			oss_max_response_kb = 1024;

/* 1,000 keys of 1,023 bytes, escaped, are 3.4 MB. */
#define PAGE_BYTES_MAX	(8 * 1024 * 1024)

/* Copy a string, or NULL. */
static char *
copy_string(MemoryContext context, const char *string)
{
	return string != NULL ? MemoryContextStrdup(context, string) : NULL;
}

const OssFailure *
oss_spec_failure(const OssLabelsSpec *spec)
{
	return oss_image_kind_failure(&spec->image,
								  spec->head ? OSS_KIND_HEAD : OSS_KIND_LABELS);
}

void
oss_request_copy_kind(OssRequest *request, const OssLabelsSpec *spec)
{
	MemoryContext context = request->context;
	const OssListQuery *list = spec->list;

	request->bucket = copy_string(context, spec->image.bucket);
	request->key = copy_string(context, spec->image.key);
	request->version_id = copy_string(context, spec->image.version_id);
	if (list != NULL)
	{
		request->kind = OSS_KIND_LISTING;
		request->list = MemoryContextAlloc(context, sizeof(OssListQuery));
		*request->list = *list;
		request->list->prefix = copy_string(context, list->prefix);
		request->list->token = copy_string(context, list->token);
		request->list->start_after = copy_string(context, list->start_after);
		request->list->version_after = copy_string(context, list->version_after);
	}
	else if (spec->head)
		request->kind = OSS_KIND_HEAD;
	else
	{
		request->kind = OSS_KIND_LABELS;
		oss_labels_process(request->process, spec->image.has_thr, spec->image.thr);
	}
}

const char *
oss_request_rate_bucket(const OssRequest *request)
{
	return request->kind == OSS_KIND_LISTING ? NULL : request->bucket;
}

/* Add a parameter, if it has a value. */
static void
add_parameter(OssField *query, size_t *n, const char *name, const char *value)
{
	if (value != NULL && value[0] != '\0')
		query[(*n)++] = oss_field(name, value);
}

/* Set the parameters of a listing.  Returns their number. */
static size_t
list_parameters(const OssListQuery *list, OssField query[OSS_QUERY_MAX])
{
	static char max_keys[16];
	size_t		n = 0;

	snprintf(max_keys, sizeof(max_keys), "%d", list->max_keys);
	query[n++] = list->versions ? oss_field("versions", NULL) : oss_field("list-type", "2");
	query[n++] = oss_field("encoding-type", "url");
	query[n++] = oss_field("max-keys", max_keys);
	add_parameter(query, &n, "prefix", list->prefix);
	if (list->versions)
	{
		add_parameter(query, &n, "key-marker", list->start_after);
		add_parameter(query, &n, "version-id-marker", list->version_after);
	}
	else if (list->token != NULL)
		add_parameter(query, &n, "continuation-token", list->token);
	else
		add_parameter(query, &n, "start-after", list->start_after);
	return n;
}

void
oss_request_sign(OssRequest *request, const OssCredentials *who, HttpSpec *spec)
{
	OssField	query[OSS_QUERY_MAX];
	OssTarget	target = {.method = "GET",.bucket = request->bucket};

	switch (request->kind)
	{
		case OSS_KIND_LABELS:
			target.process = request->process;
			target.key = request->key;
			break;
		case OSS_KIND_HEAD:
			target.method = "HEAD";
			target.key = request->key;
			break;
		case OSS_KIND_LISTING:
			target.query = query;
			target.nquery = list_parameters(request->list, query);
			break;
	}
	target.version_id = request->version_id;
	oss_signed_spec(request->server, &request->route, &target, who, spec);
	spec->max_body = request->kind == OSS_KIND_LISTING ? PAGE_BYTES_MAX :
		(size_t) oss_max_response_kb * 1024;
	spec->want_headers = request->kind == OSS_KIND_HEAD;
}

/* Parse a page.  Returns NULL, or the rule of why it cannot be used. */
static const OssFailureRule *
judge_page(OssRequest *request, const HttpAnswer *answer)
{
	const char *problem;

	oss_list_page_free(&request->page);
	problem = oss_list_xml_parse(answer->body, answer->body_len,
								 request->list->versions, &request->page);
	if (problem == NULL)
		return NULL;
	memset(&request->xml, 0, sizeof(request->xml));
	if (problem == oss_list_no_memory)
		return oss_failure_rule("OutOfMemory");
	strlcpy(request->xml.message, problem, sizeof(request->xml.message));
	return oss_failure_rule("NotListing");
}

const OssFailureRule *
oss_request_judge(OssRequest *request, const HttpAnswer *answer)
{
	if (request->kind == OSS_KIND_LISTING)
		return judge_page(request, answer);
	if (request->kind == OSS_KIND_HEAD || oss_failure_may_be_labels(answer))
		return NULL;
	return oss_failure_classify(answer, &request->xml);
}

const OssFailureRule *
oss_request_classify(OssRequest *request, const HttpAnswer *answer)
{
	const OssFailureRule *rule = oss_failure_classify(answer, &request->xml);

	if (request->kind == OSS_KIND_LISTING && answer->end == HTTP_ANSWERED &&
		answer->status / 100 == 2)
		return oss_failure_rule("NotListing");
	return rule;
}

bool
oss_request_drop_token(OssRequest *request)
{
	if (request->list->token == NULL)
		return false;
	request->list->token = NULL;
	return true;
}

OssReach *
oss_request_reach(const OssRequest *request)
{
	return request->route.own ? oss_access_reach(request->access) :
		&request->server->reach;
}

const char *
oss_request_hint(const OssRequest *request)
{
	const OssFailureRule *rule = request->rule;

	if (request->kind != OSS_KIND_LISTING)
		return oss_route_hint(&request->route, rule);
	if (oss_failure_names_rights(rule))
		return request->list->versions ?
			"Grant the key's user oss:ListObjectVersions on the bucket in a RAM policy, and see that no policy of the bucket denies it." :
			"Grant the key's user oss:ListObjects on the bucket in a RAM policy, and see that no policy of the bucket denies it.";
	if (rule == oss_failure_rule("AnswerTooLarge"))
		return "A page of a listing has less than 8 MB. Check that the endpoint is OSS itself and no proxy or CDN answers in its place.";
	return oss_route_hint(&request->route, rule);
}

const char *
oss_request_what(const OssRequest *request)
{
	return oss_object_what(request->bucket, request->key, request->kind);
}

OssListPage *
oss_request_page(OssRequest *request)
{
	Assert(request->kind == OSS_KIND_LISTING && request->state == REQUEST_DONE);
	return &request->page;
}
