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

#include <openssl/evp.h>

#include "answer.h"
#include "bucket.h"
#include "labels.h"
#include "object.h"
#include "signature.h"

/* The x-oss-process of a request, understood. */
typedef enum action
{
	ACTION_NONE,
	ACTION_LABELS,
	ACTION_BASIC,				/* resize and the like: the bytes will do */
	ACTION_STYLE,
	ACTION_INVALID
} action;

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
	else if (r->bucket[0] == '\0' || r->key.len == 0)
		answer_error(r, 0, "NotImplemented", NULL, "The stand-in answers "
					 "requests for objects only.", NULL);
	else if (!object_key_valid(r->key))
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

	if (!bucket_throttles(r->bucket, r->key, r->is_label, &t))
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
	bool		put = strcmp(r->method, "PUT") == 0;

	if (!credential_allows(who, r->bucket, r->key))
		answer_error(r, 0, "AccessDenied", "0003-00000001", who->token[0] ?
					 "Access denied by authorizer's policy." : NULL, NULL);
	else if (put ? who->deny_put : who->deny_get)
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

/* Resolve versionId; *key becomes the key that holds the bytes. */
static bool
check_version(request *r, text *key, bool *archive, char **content)
{
	object_state state = {0};
	text		version;
	bool		asked = pair_list_get(&r->query, "versionId", &version);
	bool		known;

	if (asked && version.len == 0)
	{
		answer_error(r, 400, "InvalidArgument", NULL,
					 "Version id can not be the empty string.", NULL);
		return false;
	}
	if (!asked || text_eq(version, "null"))
		version = text_of("");
	known = object_state_get(r->bucket, r->key, version, &state);
	if (version.len > 0 && !known)
	{
		refuse_with(r, "NoSuchVersion", "VersionId", version);
		return false;
	}
	if (known && state.delete_marker)
	{
		answer_header(r, "x-oss-delete-marker", "true");
		refuse_with(r, "NoSuchKey", "Key", r->key);
		return false;
	}
	*archive = known && state.archive;
	*content = state.content;
	if (state.content)
		*key = text_from(state.content, state.content_len);
	if (version.len > 0)
		answer_header(r, "x-oss-version-id", state.version);
	return true;
}

/* Find the object, or refuse. */
static bool
find_object(request *r, const bucket_settings *s, object *o)
{
	text		key = r->key;
	bool		archive = false;
	char	   *content = NULL;
	lookup		found = object_find(r->bucket, key, o);

	if (found == LOOKUP_NO_BUCKET)
	{
		refuse_with(r, "NoSuchBucket", "BucketName", text_of(r->bucket));
		return false;
	}
	if (!check_version(r, &key, &archive, &content))
		return false;
	if (content)
		found = object_find(r->bucket, key, o);
	free(content);
	if (found != LOOKUP_FOUND)
	{
		refuse_with(r, "NoSuchKey", "Key", r->key);
		return false;
	}
	if (s->archive || archive)
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

/* Compute the ETag of a file: its MD5 in upper-case hex, within quotes. */
static void
file_etag(int fd, buffer *out)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int len = 0;
	char		bytes[65536];
	ssize_t		n;
	off_t		at = 0;

	EVP_DigestInit_ex(ctx, EVP_md5(), NULL);
	while ((n = pread(fd, bytes, sizeof(bytes), at)) > 0)
	{
		EVP_DigestUpdate(ctx, bytes, (size_t) n);
		at += n;
	}
	EVP_DigestFinal_ex(ctx, digest, &len);
	EVP_MD_CTX_free(ctx);
	buffer_puts(out, "\"");
	buffer_hex(out, digest, len, true);
	buffer_puts(out, "\"");
}

/* Say which content an object has; *etag becomes its ETag. */
static void
answer_identity(request *r, const object *o, int fd, buffer *etag, char *class)
{
	object_state state = {0};
	text		version = {"", 0};
	char		date[40];

	pair_list_get(&r->query, "versionId", &version);
	object_state_get(r->bucket, r->key, version, &state);
	if (state.etag[0])
		buffer_puts(etag, state.etag);
	else
		file_etag(fd, etag);
	strcpy(class, state.storage_class[0] ? state.storage_class : "Standard");
	free(state.content);
	answer_header(r, "ETag", etag->data);
	format_http_date(o->st.st_mtim.tv_sec, date, sizeof(date));
	answer_header(r, "Last-Modified", date);
}

/* Answer image/labels. */
static void
answer_labels(request *r, const bucket_settings *s, const object *o,
			  double thr)
{
	buffer		message = {0};
	buffer		etag = {0};
	char		class[32];
	image_verdict verdict;
	int			fd;

	if (s->not_attached)
	{
		buffer_puts(&message, "ResourceNotFound, The specified resource "
					"Attachment is not found. ");
		random_uuid(&message);
		answer_error(r, 400, "Imm Client", NULL, message.data, NULL);
		buffer_free(&message);
		return;
	}
	verdict = labels_answer(o, r->key, thr, s->labels, &r->answer.body);
	if (verdict != IMAGE_OK)
	{
		refuse_image(r, verdict);
		return;
	}
	r->answer.content_type = "application/json";
	if (s->labels_etag && (fd = open(o->path, O_RDONLY | O_CLOEXEC)) >= 0)
	{
		answer_identity(r, o, fd, &etag, class);
		buffer_free(&etag);
		close(fd);
	}
}

/* Compute the CRC-64 (ECMA-182) of a file, as decimal digits. */
static void
file_crc64(int fd, char *out, size_t size)
{
	uint64_t	crc = ~(uint64_t) 0;
	unsigned char bytes[65536];
	ssize_t		n;
	off_t		at = 0;

	while ((n = pread(fd, bytes, sizeof(bytes), at)) > 0)
	{
		for (ssize_t i = 0; i < n; i++)
		{
			crc ^= bytes[i];
			for (int bit = 0; bit < 8; bit++)
				crc = crc >> 1 ^ (crc & 1 ? UINT64_C(0xC96C5795D7870F42) : 0);
		}
		at += n;
	}
	snprintf(out, size, "%llu", (unsigned long long) ~crc);
}

/* Answer with the object's bytes. */
static void
answer_bytes(request *r, const object *o)
{
	answer	   *a = &r->answer;
	buffer		etag = {0};
	char		class[32];
	char		crc[24];

	a->fd = open(o->path, O_RDONLY | O_CLOEXEC);
	if (a->fd < 0)
	{
		answer_error(r, 0, "InternalError", NULL, NULL, NULL);
		return;
	}
	a->size = o->st.st_size;
	a->content_type = content_type_of(r->key);
	answer_identity(r, o, a->fd, &etag, class);
	answer_header(r, "x-oss-object-type", "Normal");
	answer_header(r, "x-oss-storage-class", class);
	file_crc64(a->fd, crc, sizeof(crc));
	answer_header(r, "x-oss-hash-crc64ecma", crc);
	if (text_same(request_header(r, "if-none-match"),
				  text_from(etag.data, etag.len)))
	{
		close(a->fd);
		a->fd = -1;
		a->status = 304;
	}
	buffer_free(&etag);
}

/* Answer PUT. */
static void
answer_put(request *r)
{
	int			err = object_put(r->bucket, r->key,
								 text_from(r->upload.data, r->upload.len));
	buffer		etag = {0};
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int len = 0;

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
	EVP_Digest(r->upload.data ? r->upload.data : "", r->upload.len, digest,
			   &len, EVP_md5(), NULL);
	buffer_puts(&etag, "\"");
	buffer_hex(&etag, digest, len, true);
	buffer_puts(&etag, "\"");
	answer_header(r, "ETag", etag.data);
	buffer_free(&etag);
}

/* Answer GET and HEAD of an object that was found. */
static void
answer_get(request *r, const bucket_settings *s, const object *o, action act,
		   double thr)
{
	if (o->is_directory)
	{
		/* a directory object answers 200 whatever process was asked for */
		r->answer.content_type = "application/x-directory";
		r->answer.is_directory = true;
	}
	else if (act == ACTION_LABELS && strcmp(r->method, "GET") == 0)
		answer_labels(r, s, o, thr);
	else
		answer_bytes(r, o);
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
	double		thr = THR_DEFAULT;
	action		act = parse_process(r, &thr);
	bool		put = strcmp(r->method, "PUT") == 0;

	answer_begin(r);
	if (!check_names(r) || !signature_check(r, &who))
		return false;
	if (!put && strcmp(r->method, "GET") != 0 &&
		strcmp(r->method, "HEAD") != 0)
	{
		answer_error(r, 0, "MethodNotAllowed", NULL, NULL, NULL);
		return false;
	}
	bucket_get(r->bucket, &settings);
	if (!check_account(r, &who, &settings) || !check_throttle(r) ||
		!check_rights(r, &who, act) || !check_bucket(r, &settings))
		return true;
	if (put)
		answer_put(r);
	else if (find_object(r, &settings, &o) && check_action(r, act))
		answer_get(r, &settings, &o, act, thr);
	return true;
}
