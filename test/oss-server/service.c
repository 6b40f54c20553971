/*
 * service.c
 *	  What the service answers to a request, before any fault is applied.
 *
 * The order of checks is that of src/protocol/README.md 8.
 */
#include "service.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "answer.h"
#include "bucket.h"
#include "identity.h"
#include "labels.h"
#include "listing.h"
#include "object.h"
#include "signature.h"
#include "sts.h"
#include "version.h"

/* The x-oss-process of a request, understood. */
typedef enum action
{
	ACTION_NONE,
	ACTION_LABELS,
	ACTION_BASIC,				/* resize and the like: the bytes will do */
	ACTION_STYLE,
	ACTION_INVALID
} action;

static _Atomic bool labels_etag;

/* Refuse with one more XML element. */
static void
refuse_with(request *r, const char *code, const char *name, text value)
{
	buffer		extra = {0};

	xml_element(&extra, name, value);
	answer_error(r, 0, code, NULL, NULL, extra.data);
	buffer_free(&extra);
}

/* Read a plain decimal in [0,1]. */
static bool
parse_thr(text t, double *thr)
{
	char		s[32];
	size_t		digits = 0;
	size_t		points = 0;

	if (t.len == 0 || t.len >= sizeof(s))
		return false;
	for (size_t i = 0; i < t.len; i++)
	{
		if (t.data[i] >= '0' && t.data[i] <= '9')
			digits++;
		else if (t.data[i] == '.')
			points++;
		else
			return false;
	}
	if (digits == 0 || points > 1)
		return false;
	memcpy(s, t.data, t.len);
	s[t.len] = '\0';
	*thr = strtod(s, NULL);
	return *thr <= 1.0;
}

/* Understand what follows "image/labels". */
static action
parse_labels(text rest, double *thr)
{
	text		param;

	*thr = THR_DEFAULT;
	if (rest.len == 0)
		return ACTION_LABELS;
	/* "image/labels/resize,…" or "image/labels|…" is a chain */
	if (rest.data[0] != ',')
		return ACTION_INVALID;
	text_cut(&rest, ',');
	param = text_cut(&rest, '_');
	if (!text_eq(param, "thr") || !parse_thr(rest, thr))
		return ACTION_INVALID;
	return ACTION_LABELS;
}

/* Understand x-oss-process. */
static action
parse_process(request *r, double *thr)
{
	static const char *const basic[] = {"resize", "crop", "rotate", "quality",
		"format", "info", "watermark", "circle", "blur", "bright", "contrast",
	"sharpen", "interlace", "average-hue", "auto-orient", "indexcrop"};
	text		process;
	text		first;

	if (!pair_list_get(&r->query, "x-oss-process", &process))
		return ACTION_NONE;
	if (text_starts(process, "style/"))
		return ACTION_STYLE;
	if (!text_starts(process, "image/"))
		return ACTION_INVALID;
	text_cut(&process, '/');
	if (text_starts(process, "labels"))
	{
		process.data += 6;
		process.len -= 6;
		return parse_labels(process, thr);
	}
	/* an AI action cannot be chained behind a basic one either */
	if (memmem(process.data, process.len, "/labels", 7) != NULL)
		return ACTION_INVALID;
	first = text_cut(&process, '/');
	first = text_cut(&first, ',');
	for (size_t i = 0; i < sizeof(basic) / sizeof(basic[0]); i++)
	{
		if (text_eq(first, basic[i]))
			return ACTION_BASIC;
	}
	return ACTION_INVALID;
}

/* Refuse a host or path that names no valid bucket or key. */
static bool
check_names(request *r)
{
	if (r->style == HOST_UNKNOWN)
		answer_error(r, 0, "NonStandardHostForbidden", NULL, NULL, NULL);
	else if (r->style == HOST_SERVICE)
		answer_error(r, 0, "SecondLevelDomainForbidden", NULL, NULL, NULL);
	else if (r->bucket_invalid)
		refuse_with(r, "InvalidBucketName", "BucketName", text_of(r->bucket));
	else if (r->bucket[0] == '\0' || (r->key.len == 0 && !r->is_list))
		answer_error(r, 0, "NotImplemented", NULL, "The stand-in answers "
					 "requests for objects and listings only.", NULL);
	else if (r->key.len > 0 && !object_key_valid(r->key))
		refuse_with(r, "InvalidObjectName", "ObjectName", r->key);
	else
		return true;
	return false;
}

/* Return whether a host is one of OSS's own public endpoints. */
static bool
host_is_public(request *r)
{
	text		rest = r->host;
	text		endpoint;

	if (r->style != HOST_VIRTUAL || !text_ends(rest, ".aliyuncs.com"))
		return false;
	text_cut(&rest, '.');
	endpoint = text_cut(&rest, '.');
	return !text_ends(endpoint, "-internal");
}

/* Return whether a host is an accelerate endpoint. */
static bool
host_accelerates(request *r)
{
	text		rest = r->host;

	text_cut(&rest, '.');
	return r->style == HOST_VIRTUAL && text_starts(rest, "oss-accelerate") &&
		text_ends(rest, ".aliyuncs.com");
}

/* Refuse what the account of the sender or of the bucket forbids. */
static bool
check_account(request *r, const credential *who, const bucket_settings *s)
{
	if (who->refuse[0])
		answer_error(r, 0, who->refuse, NULL, NULL, NULL);
	else if (s->refuse[0])
		answer_error(r, 0, s->refuse, NULL, NULL, NULL);
	else if (s->public_forbidden && host_is_public(r))
		answer_error(r, 0, "PublicEndpointForbidden", NULL, NULL, NULL);
	else if (s->not_accelerated && host_accelerates(r))
		answer_error(r, 0, "TransferAccelerationDisabled", NULL, NULL, NULL);
	else
		return true;
	return false;
}

/* Refuse what is above the limit of a bucket or of an object. */
static bool
check_throttle(request *r)
{
	throttle	t;
	buffer		message = {0};
	char		seconds[16];

	if (!bucket_throttles(r->bucket, r->is_label, &t) &&
		!object_throttles(r->bucket, r->key, r->is_label, &t))
		return true;
	if (strcmp(t.code, THROTTLE_IMM) == 0)
	{
		buffer_puts(&message, "Throttling.User, Request was denied due to "
					"user flow control. ");
		random_uuid(&message);
		answer_error(r, 400, "Imm Client", NULL, message.data, NULL);
		buffer_free(&message);
	}
	else
		answer_error(r, 0, t.code, NULL, NULL, NULL);
	if (t.retry_after > 0)
	{
		snprintf(seconds, sizeof(seconds), "%d", t.retry_after);
		answer_header(r, "Retry-After", seconds);
	}
	return false;
}

/* Refuse what the sender has no right to. */
static bool
check_rights(request *r, const credential *who, action act)
{
	bool		denied = r->is_list ? who->deny_list :
	request_kind_of(r) == KIND_PUT || request_kind_of(r) == KIND_DELETE ?
	who->deny_put : who->deny_get;

	if (!credential_allows(who, r->bucket, r->key))
		answer_error(r, 0, "AccessDenied", "0003-00000001", who->token[0] ?
					 "Access denied by authorizer's policy." : NULL, NULL);
	else if (denied)
		answer_error(r, 0, "AccessDenied", "0003-00000001", NULL, NULL);
	else if (act == ACTION_LABELS && who->deny_imm)
		answer_error(r, 0, "AccessDenied", NULL, "AccessDenied.", NULL);
	else
		return true;
	return false;
}

/* Return whether a host is that of another region's public endpoint. */
static bool
host_of_other_region(request *r, const char *region)
{
	text		rest = r->host;
	text		endpoint;

	text_cut(&rest, '.');
	endpoint = text_cut(&rest, '.');
	if (!text_eq(rest, "aliyuncs.com") || !text_starts(endpoint, "oss-") ||
		text_starts(endpoint, "oss-accelerate"))
		return false;
	endpoint.data += 4;
	endpoint.len -= 4;
	if (text_ends(endpoint, "-internal"))
		endpoint.len -= 9;
	return !text_eq(endpoint, region);
}

/* Refuse because the bucket lives elsewhere. */
static bool
check_region(request *r, const bucket_settings *s)
{
	const char *region = s->region[0] ? s->region : server_scope.region;
	buffer		extra = {0};
	char		endpoint[128];

	if (strcmp(region, server_scope.region) == 0 &&
		!host_of_other_region(r, region))
		return true;
	snprintf(endpoint, sizeof(endpoint), "oss-%s.aliyuncs.com", region);
	xml_element(&extra, "Bucket", text_of(r->bucket));
	xml_element(&extra, "Endpoint", text_of(endpoint));
	answer_error(r, 403, "AccessDenied", NULL,
				 "The bucket you are attempting to access must be addressed "
				 "using the specified endpoint. Please send all future "
				 "requests to this endpoint.", extra.data);
	buffer_free(&extra);
	return false;
}

/* Refuse what the bucket's settings forbid. */
static bool
check_bucket(request *r, const bucket_settings *s)
{
	text		payer = request_header(r, "x-oss-request-payer");
	text		in_url;

	if (!check_region(r, s))
		return false;
	if (s->path_forbidden && r->style == HOST_PATH)
	{
		answer_error(r, 0, "SecondLevelDomainForbidden", NULL, NULL, NULL);
		return false;
	}
	if (pair_list_get(&r->query, "x-oss-request-payer", &in_url))
		payer = in_url;
	if (s->requester_pays && !text_eq(payer, "requester"))
	{
		answer_error(r, 403, "AccessDenied", "0003-00000703",
					 "Access denied for requester pay bucket", NULL);
		return false;
	}
	return true;
}

/* Resolve versionId into the state of that version; "" is the current one. */
static bool
check_version(request *r, const bucket_settings *s, object_state *state)
{
	text		version = {"", 0};
	bool		asked = pair_list_get(&r->query, "versionId", &version);
	bool		known = object_state_get(r->bucket, r->key, text_of(""), state);
	bool		current;

	if (asked && version.len == 0)
	{
		answer_error(r, 400, "InvalidArgument", NULL,
					 "Version id can not be the empty string.", NULL);
		return false;
	}
	current = !asked || text_eq(version, state->current[0] ? state->current
								: "null");
	if (!current)
	{
		object_state_clear(state);
		known = object_state_get(r->bucket, r->key, version, state);
		if (!known)
		{
			refuse_with(r, "NoSuchVersion", "VersionId", version);
			return false;
		}
	}
	/* a marker that control set stands above the version "null" */
	if (known && state->delete_marker &&
		!(current && asked && state->current[0] == '\0'))
	{
		answer_header(r, "x-oss-delete-marker", "true");
		refuse_with(r, "NoSuchKey", "Key", r->key);
		return false;
	}
	if (!current || state->current[0] || s->versioning)
		answer_header(r, "x-oss-version-id", !current ? state->version :
					  state->current[0] ? state->current : "null");
	return true;
}

/* Find the object and its identity, or refuse. */
static bool
find_object(request *r, const bucket_settings *s, object *o, identity *id)
{
	object_state state = {0};
	object_traits traits;
	bool		ok;

	if (object_find(r->bucket, r->key, o) == LOOKUP_NO_BUCKET)
	{
		refuse_with(r, "NoSuchBucket", "BucketName", text_of(r->bucket));
		return false;
	}
	ok = check_version(r, s, &state);
	if (ok && !version_find(r->bucket, r->key, &state, o))
	{
		refuse_with(r, "NoSuchKey", "Key", r->key);
		ok = false;
	}
	object_state_clear(&state);
	if (!ok)
		return false;
	object_state_traits(r->bucket, r->key, text_of(state.version), o->number,
						&traits);
	identity_find(s, r->key, o, &traits, id);
	if (id->archived && request_kind_of(r) != KIND_HEAD)
	{
		refuse_with(r, "InvalidObjectState", "ObjectName", r->key);
		return false;
	}
	return true;
}

/* Refuse an image the service does not take. */
static void
refuse_image(request *r, image_verdict verdict)
{
	if (verdict == IMAGE_TOO_LARGE)
		answer_error(r, 0, "ImageTooLarge", NULL, NULL, NULL);
	else if (verdict == IMAGE_UNSUPPORTED)
		answer_error(r, 0, "ImageDamage", "0040-00000005", NULL, NULL);
	else
		answer_error(r, 0, "ImageDamage", NULL, NULL, NULL);
}

/* Return the Content-Type of a key by its ending. */
static const char *
content_type_of(text key)
{
	if (text_ends(key, ".jpg") || text_ends(key, ".jpeg"))
		return "image/jpeg";
	if (text_ends(key, ".png"))
		return "image/png";
	if (text_ends(key, ".json"))
		return "application/json";
	return "application/octet-stream";
}

/* Say which content an object has. */
static void
answer_identity(request *r, const identity *id)
{
	char		date[40];

	answer_header(r, "ETag", id->etag);
	format_http_date(id->modified, date, sizeof(date));
	answer_header(r, "Last-Modified", date);
}

/* Answer image/labels. */
static void
answer_labels(request *r, const bucket_settings *s, const object *o,
			  const identity *id, double thr)
{
	buffer		message = {0};
	image_verdict verdict;

	if (s->not_attached)
	{
		buffer_puts(&message, "ResourceNotFound, The specified resource "
					"Attachment is not found. ");
		random_uuid(&message);
		answer_error(r, 400, "Imm Client", NULL, message.data, NULL);
		buffer_free(&message);
		return;
	}
	if (id->size > IMAGE_MAX_BYTES)
		verdict = IMAGE_TOO_LARGE;
	else if (id->size == 0)
		verdict = IMAGE_UNSUPPORTED;
	else
		verdict = labels_answer(o, r->key, thr, s->labels, &r->answer.body);
	if (verdict != IMAGE_OK)
	{
		refuse_image(r, verdict);
		return;
	}
	r->answer.content_type = "application/json";
	if (s->labels_etag || labels_etag)
		answer_identity(r, id);
}

/* Let the labels answers of all buckets carry the object's identity, or not. */
void
service_labels_etag(bool on)
{
	labels_etag = on;
}

/* Answer HEAD ?objectMeta: not much, and no class. */
static void
answer_object_meta(request *r, const identity *id)
{
	answer_identity(r, id);
	r->answer.head_size = id->size;
}

/* Answer with the object's bytes. */
static void
answer_bytes(request *r, const object *o, const identity *id)
{
	answer	   *a = &r->answer;
	char		number[24];

	a->fd = open(o->path, O_RDONLY | O_CLOEXEC);
	if (a->fd < 0)
	{
		answer_error(r, 0, "InternalError", NULL, NULL, NULL);
		return;
	}
	a->size = o->st.st_size;
	a->head_size = id->size;
	a->content_type = content_type_of(r->key);
	answer_identity(r, id);
	answer_header(r, "x-oss-object-type", id->type);
	answer_header(r, "x-oss-storage-class", id->storage_class);
	snprintf(number, sizeof(number), "%llu",
			 (unsigned long long) identity_crc64(o, id));
	answer_header(r, "x-oss-hash-crc64ecma", number);
	if (id->restore[0])
		answer_header(r, "x-oss-restore", id->restore);
}

/* Return whether a list of ETags has one; '*' has all. */
static bool
etag_listed(text list, const char *etag)
{
	while (list.len > 0)
	{
		text		one = text_trim(text_cut(&list, ','));

		if (text_eq(one, "*") || text_eq(one, etag))
			return true;
	}
	return false;
}

/* Refuse what a condition forbids; true when the answer goes on. */
static bool
check_conditions(request *r, const identity *id)
{
	text		match = request_header(r, "if-match");
	text		none_match = request_header(r, "if-none-match");

	if (match.len > 0 && !etag_listed(match, id->etag))
	{
		refuse_with(r, "PreconditionFailed", "Condition", text_of("If-Match"));
		return false;
	}
	if (none_match.len > 0 && etag_listed(none_match, id->etag))
	{
		r->answer.status = 304;
		answer_header(r, "x-oss-ec", "0017-00001001");
		answer_identity(r, id);
		return false;
	}
	return true;
}

/* Say which version is the current one now, where there are versions. */
static void
answer_current(request *r)
{
	object_state state = {0};

	if (object_state_get(r->bucket, r->key, text_of(""), &state) &&
		state.current[0])
		answer_header(r, "x-oss-version-id", state.current);
	if (state.delete_marker)
		answer_header(r, "x-oss-delete-marker", "true");
	object_state_clear(&state);
}

/* Answer PUT. */
static void
answer_put(request *r)
{
	int			err = version_put(r->bucket, r->key,
								  text_from(r->upload.data, r->upload.len));
	buffer		etag = {0};

	if (err == ENOENT)
	{
		refuse_with(r, "NoSuchBucket", "BucketName", text_of(r->bucket));
		return;
	}
	if (err != 0)
	{
		answer_error(r, 0, "InternalError", NULL, strerror(err), NULL);
		return;
	}
	etag_of(&etag, text_from(r->upload.data, r->upload.len));
	answer_header(r, "ETag", etag.data);
	answer_current(r);
	buffer_free(&etag);
}

/* Answer DELETE: that there was nothing to delete is no error. */
static void
answer_delete(request *r)
{
	object		o;
	text		version = {"", 0};
	bool		asked = pair_list_get(&r->query, "versionId", &version);

	if (object_find(r->bucket, r->key, &o) == LOOKUP_NO_BUCKET)
	{
		refuse_with(r, "NoSuchBucket", "BucketName", text_of(r->bucket));
		return;
	}
	if (asked && version.len == 0)
	{
		answer_error(r, 400, "InvalidArgument", NULL,
					 "Version id can not be the empty string.", NULL);
		return;
	}
	version_delete(r->bucket, r->key, version);
	r->answer.status = 204;
	if (!asked)
		answer_current(r);
}

/* Answer a listing. */
static void
answer_list(request *r)
{
	object		o;

	if (object_find(r->bucket, text_of("/"), &o) == LOOKUP_NO_BUCKET)
		refuse_with(r, "NoSuchBucket", "BucketName", text_of(r->bucket));
	else
		listing_answer(r, NULL, 0);
}

/* Answer GET and HEAD of an object that was found. */
static void
answer_get(request *r, const bucket_settings *s, const object *o,
		   const identity *id, action act, double thr)
{
	bool		head = request_kind_of(r) == KIND_HEAD;

	/* whether image/labels heeds conditions is not documented: it does not */
	if (act != ACTION_LABELS && !check_conditions(r, id))
		return;
	if (o->is_directory)
	{
		/* a directory object answers 200 whatever process was asked for */
		r->answer.content_type = "application/x-directory";
		r->answer.is_directory = true;
		answer_identity(r, id);
	}
	else if (act == ACTION_LABELS && !head)
		answer_labels(r, s, o, id, thr);
	else if (head && pair_list_count(&r->query, "objectMeta") > 0)
		answer_object_meta(r, id);
	else
		answer_bytes(r, o, id);
}

/* Refuse an x-oss-process that is not understood. */
static bool
check_action(request *r, action act)
{
	text		process = {"", 0};
	buffer		extra = {0};

	if (act != ACTION_INVALID && act != ACTION_STYLE)
		return true;
	pair_list_get(&r->query, "x-oss-process", &process);
	xml_element(&extra, "ArgumentName", text_of("x-oss-process"));
	xml_element(&extra, "ArgumentValue", process);
	answer_error(r, 0, act == ACTION_STYLE ? "NoSuchStyle" :
				 "InvalidArgument", NULL, NULL, extra.data);
	buffer_free(&extra);
	return false;
}

/* Compute the answer of a complete request. */
bool
service_answer(request *r)
{
	credential	who;
	bucket_settings settings;
	object		o;
	identity	id;
	double		thr = THR_DEFAULT;
	action		act = parse_process(r, &thr);
	request_kind kind = request_kind_of(r);

	answer_begin(r);
	if (r->is_sts)
		return sts_answer(r);
	if (!check_names(r) || !signature_check(r, &who))
		return false;
	if (kind == KIND_OTHER && strcmp(r->method, "GET") != 0)
	{
		answer_error(r, 0, "MethodNotAllowed", NULL, NULL, NULL);
		return false;
	}
	bucket_get(r->bucket, &settings);
	if (!check_account(r, &who, &settings) || !check_throttle(r) ||
		!check_rights(r, &who, act) || !check_bucket(r, &settings))
		return true;
	if (kind == KIND_LIST)
		answer_list(r);
	else if (kind == KIND_PUT)
		answer_put(r);
	else if (kind == KIND_DELETE)
		answer_delete(r);
	else if (find_object(r, &settings, &o, &id) && check_action(r, act))
		answer_get(r, &settings, &o, &id, act, thr);
	return true;
}
