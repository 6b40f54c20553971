/*
 * answer.c
 *	  Fill the answer of a request: errors as the service words them, headers.
 *
 * The table of errors has the codes that the service documents.  ECs stand only
 * where a document or an SDK's test gives them.
 */
#include "answer.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <openssl/rand.h>

static const service_error errors[] = {
	{"InvalidArgument", 400, "", "Invalid Argument. Parameter is invalid."},
	{"BadRequest", 400, "", "Input is not base64 decoding."},
	{"MissingArgument", 400, "", "Missing Some Required Arguments."},
	{"NotImplemented", 400, "",
	"A header you provided implies functionality that is not implemented."},
	{"InvalidBucketName", 400, "", "The specified bucket is not valid."},
	{"InvalidObjectName", 400, "",
	"The Length of Object name must be less than 1024."},
	{"ImageTooLarge", 400, "", "Maximal size of image supported is 20 MB."},
	{"TooManyPipes", 400, "", "Maximal number of pipes supported is 20."},
	{"PublicEndpointForbidden", 400, "0048-00000401",
		"The public endpoint is forbidden for data operations: use a custom "
	"domain name."},
	{"OperationNotSupported", 400, "0016-00000702",
	"The operation is not supported for this resource."},
	{"InvalidTargetType", 400, "0026-00000011",
	"The symbolic's target file type is invalid."},
	{"RequestTimeout", 400, "",
		"Your socket connection to the server was not read from or written to "
	"within the timeout period. Idle connections will be closed."},
	{"Imm Client", 400, "",
	"ResourceNotFound, The specified resource Attachment is not found."},
	{"Imm Server", 500, "", "InternalError, An internal error occurred."},
	{"AccessDenied", 403, "",
	"You have no right to access this object because of bucket acl."},
	{"InvalidAccessKeyId", 403, "0002-00000902",
	"The OSS Access Key Id you provided does not exist in our records."},
	{"SignatureDoesNotMatch", 403, "0002-00000040",
		"The request signature we calculated does not match the signature you "
	"provided. Check your key and signing method."},
	{"RequestTimeTooSkewed", 403, "0002-00000504",
		"The difference between the request time and the current time is too "
	"large."},
	{"InvalidSecurityToken", 403, "0002-00000006",
	"The security token you provided is invalid."},
	{"SecurityTokenExpired", 403, "",
	"The security token you provided has expired."},
	{"AccessKeyIdAndSecurityTokenNotMatch", 403, "",
	"The OSS access key id and security token you provided does not match."},
	{"SecurityTokenNotSupported", 403, "",
	"This interface does not support security token."},
	{"ImageDamage", 403, "", "The image file may be damaged."},
	{"InvalidObjectState", 403, "",
	"The operation is not valid for the object's state."},
	{"SecondLevelDomainForbidden", 403, "",
		"The bucket you are attempting to access must be addressed using OSS "
	"third level domain."},
	{"NonStandardHostForbidden", 403, "",
		"Your host is invalid. Please use Open Storage Service standard "
	"host."},
	{"PermanentRedirect", 403, "",
		"The bucket you are attempting to access must be addressed using the "
		"specified endpoint. Please send all future requests to this "
	"endpoint."},
	{"TransferAccelerationDisabled", 403, "",
	"Transfer acceleration is disabled."},
	{"CnameDenied", 403, "", "The cname belongs to another user."},
	{"UserDisable", 403, "0003-00000801", "UserDisable"},
	{"InDebt", 403, "0003-00000806", "The account has an overdue payment."},
	{"InDebtOverdue", 403, "0003-00000806",
	"The account has an overdue payment."},
	{"UbsmsInvalidBid", 403, "", "The account is not in order."},
	{"BucketDisable", 403, "", "BucketDisable"},
	{"AbnormalBucketOwnerStatus", 403, "", "AbnormalBucketOwnerStatus"},
	{"KmsInDebt", 403, "", "KmsInDebt"},
	{"KmsInDebtOverdue", 403, "", "KmsInDebtOverdue"},
	{"KmsUbsmsInvalidBid", 403, "", "KmsUbsmsInvalidBid"},
	{"NoSuchBucket", 404, "0015-00000101",
	"The specified bucket does not exist."},
	{"NoSuchKey", 404, "0026-00000001", "The specified key does not exist."},
	{"NoSuchVersion", 404, "", "The specified version does not exist."},
	{"SymlinkTargetNotExist", 404, "", "The symlink target object not exist"},
	{"NoSuchStyle", 404, "", "The specified style does not exist."},
	{"KeyNotFound", 404, "", "The specified CMK is not found."},
	{"PreconditionFailed", 412, "",
	"At least one of the pre-conditions you specified did not hold."},
	{"InvalidRange", 416, "", "The requested range cannot be satisfied."},
	{"MirrorFailed", 424, "", "Mirror back to source failed."},
	{"InternalError", 500, "",
	"Please contact the server administrator, oss@service.aliyun.com."},
	{"ServiceUnavailable", 503, "",
	"Thread pool is almost full, please retry later."},
	{"CpuLimitExceeded", 503, "0004-00000801",
	"Please reduce your request rate."},
	{"TotalQpsLimitExceeded", 503, "0004-00000302",
	"Max total qps limit is exceeded."},
	{"MetaOperationQpsLimitExceeded", 503, "",
	"Qps limit for the meta operation is exceeded."},
	{"ActiveRequestLimitExceeded", 503, "",
	"Max active request limit is exceeded."},
	{"DownloadTrafficRateLimitExceeded", 503, "",
	"Please reduce your upload request traffic."},
	{"QpsLimitExceeded", 503, "", "Qps limit is exceeded."},
	{"SlowDown", 503, "", "Please reduce your request rate."},
	{"PartitionQpsLimitted", 503, "", "Please reduce your request rate."},
	{"MethodNotAllowed", 405, "",
	"The specified method is not allowed against this resource."},
};

static _Atomic int64_t clock_shift;
static _Atomic xml_style usual_style;

/* Return the i-th row of the error table. */
const service_error *
service_error_at(int i)
{
	if (i < 0 || i >= (int) (sizeof(errors) / sizeof(errors[0])))
		return NULL;
	return &errors[i];
}

/* Find the row of a code. */
const service_error *
service_error_find(const char *code)
{
	const service_error *e;

	for (int i = 0; (e = service_error_at(i)) != NULL; i++)
	{
		if (strcmp(e->code, code) == 0)
			return e;
	}
	return NULL;
}

/* Return the server's clock. */
int64_t
server_time(void)
{
	return (int64_t) time(NULL) + clock_shift;
}

/* Set how far the server's clock is from the real time. */
void
server_time_shift(int64_t seconds)
{
	clock_shift = seconds;
}

/* Format a time as ISO 8601 with milliseconds. */
void
format_iso(int64_t when, char *out, size_t size)
{
	time_t		t = (time_t) when;
	struct tm	tm;

	gmtime_r(&t, &tm);
	strftime(out, size, "%Y-%m-%dT%H:%M:%S.000Z", &tm);
}

/* Format a time as RFC 1123, independent of the locale. */
void
format_http_date(int64_t when, char *out, size_t size)
{
	static const char days[] = "SunMonTueWedThuFriSat";
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	time_t		t = (time_t) when;
	struct tm	tm;

	gmtime_r(&t, &tm);
	snprintf(out, size, "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT",
			 days + 3 * tm.tm_wday, tm.tm_mday, months + 3 * tm.tm_mon,
			 tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

/*
 * Fill bytes that differ each time.  A counter that is mixed suffices for ids
 * and costs far less than the kernel's generator.
 */
static void
fresh_bytes(unsigned char *out, size_t len)
{
	static _Atomic uint64_t counter;
	static uint64_t seed;

	if (seed == 0)
	{
		uint64_t	s = 0;

		RAND_bytes((unsigned char *) &s, sizeof(s));
		seed = s | 1;
	}
	for (size_t done = 0; done < len;)
	{
		uint64_t	n = atomic_fetch_add(&counter, 1);
		uint64_t	h = hash_bytes(&n, sizeof(n), seed);
		size_t		part = len - done < sizeof(h) ? len - done : sizeof(h);

		memcpy(out + done, &h, part);
		done += part;
	}
}

/* Append a random UUID in upper case. */
void
random_uuid(buffer *b)
{
	static const int parts[] = {4, 2, 2, 2, 6};
	unsigned char bytes[16];
	int			at = 0;

	fresh_bytes(bytes, sizeof(bytes));
	bytes[6] = (bytes[6] & 0x0f) | 0x50;
	bytes[8] = (bytes[8] & 0x3f) | 0x80;
	for (int i = 0; i < 5; i++)
	{
		if (i > 0)
			buffer_puts(b, "-");
		buffer_hex(b, bytes + at, (size_t) parts[i], true);
		at += parts[i];
	}
}

/* Make the answer empty, with a fresh request id. */
void
answer_begin(request *r)
{
	answer	   *a = &r->answer;
	unsigned char bytes[REQUEST_ID_LEN / 2];
	static const char digits[] = "0123456789ABCDEF";

	fresh_bytes(bytes, sizeof(bytes));
	for (int i = 0; i < REQUEST_ID_LEN; i++)
		a->request_id[i] = digits[i & 1 ? bytes[i / 2] & 15 : bytes[i / 2] >> 4];
	a->request_id[REQUEST_ID_LEN] = '\0';
	a->status = 200;
	a->code[0] = a->ec[0] = '\0';
	a->throttled = false;
	a->content_type = NULL;
	buffer_reset(&a->headers);
	buffer_reset(&a->body);
	a->fd = -1;
	a->size = 0;
	a->head_size = -1;
}

/* Add a response header. */
void
answer_header(request *r, const char *name, const char *value)
{
	buffer_printf(&r->answer.headers, "%s: %s\n", name, value);
}

/* Append one XML element. */
void
xml_element(buffer *b, const char *name, text value)
{
	buffer_printf(b, "<%s>", name);
	buffer_xml(b, value);
	buffer_printf(b, "</%s>\n", name);
}

/* Read the name of an XML style. */
bool
xml_style_of(const char *name, xml_style *style)
{
	static const char *const names[] = {"", "plain", "namespace", "spaces",
	"detail", "json", "json-error", "none"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		if (strcmp(names[i], name) == 0)
		{
			*style = (xml_style) i;
			return true;
		}
	}
	return false;
}

/* Set the style of errors that are given none. */
void
xml_style_usual(xml_style style)
{
	usual_style = style;
}

/* Write all elements of an error, one a line. */
static void
error_elements(request *r, buffer *out, const char *message, const char *extra)
{
	answer	   *a = &r->answer;
	char		doc[80];

	xml_element(out, "Code", text_of(a->code));
	xml_element(out, "Message", text_of(message));
	xml_element(out, "RequestId", text_of(a->request_id));
	xml_element(out, "HostId", r->host);
	if (extra)
		buffer_puts(out, extra);
	if (a->ec[0] != '\0')
	{
		snprintf(doc, sizeof(doc),
				 "https://api.aliyun.com/troubleshoot?q=%s", a->ec);
		xml_element(out, "EC", text_of(a->ec));
		xml_element(out, "RecommendDoc", text_of(doc));
	}
}

/* Write element lines indented, or with white space around every text. */
static void
error_xml(buffer *out, xml_style style, text lines)
{
	buffer_puts(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error");
	if (style == XML_NAMESPACE)
		buffer_puts(out, " xmlns=\"http://doc.oss-cn-hangzhou.aliyuncs.com\"");
	buffer_puts(out, ">\n");
	while (lines.len > 0)
	{
		text		line = text_cut(&lines, '\n');

		if (style == XML_SPACES && text_starts(line, "<") &&
			!text_starts(line, "</"))
		{
			text		rest = line;
			text		open = text_cut(&rest, '>');

			buffer_printf(out, "  %.*s>\n    ", (int) open.len, open.data);
			for (size_t i = 0; i < rest.len; i++)
			{
				if (rest.data[i] == '<' && i + 1 < rest.len)
					buffer_puts(out, "\n  ");
				buffer_add(out, rest.data + i, 1);
			}
		}
		else
		{
			buffer_puts(out, "  ");
			buffer_text(out, line);
		}
		buffer_puts(out, "\n");
	}
	buffer_puts(out, "</Error>\n");
}

/* Write a JSON error: flat as IMM's own is, or within "Error". */
static void
error_json(request *r, bool nested, const char *message)
{
	buffer	   *out = &r->answer.body;

	buffer_puts(out, nested ? "{\"Error\":{\"RequestId\":" : "{\"RequestId\":");
	buffer_json(out, text_of(r->answer.request_id));
	buffer_puts(out, ",\"HostId\":");
	buffer_json(out, r->host);
	buffer_puts(out, ",\"Code\":");
	buffer_json(out, text_of(r->answer.code));
	buffer_puts(out, ",\"Message\":");
	buffer_json(out, text_of(message));
	buffer_puts(out, nested ? "}}" : "}");
}

/* Write the body of an error in the given style. */
static void
error_body(request *r, xml_style style, const char *message,
		   const char *extra)
{
	buffer		lines = {0};
	buffer		detail = {0};

	r->answer.content_type = "application/xml";
	if (style == XML_NONE)
		return;
	if (style == XML_JSON || style == XML_JSON_ERROR)
	{
		r->answer.content_type = "application/json";
		error_json(r, style == XML_JSON_ERROR, message);
		return;
	}
	if (style == XML_DETAIL && extra && extra[0] != '\0')
	{
		buffer_printf(&detail, "<Detail>\n%s</Detail>\n", extra);
		extra = detail.data;
	}
	error_elements(r, &lines, message, extra);
	error_xml(&r->answer.body, style, text_from(lines.data, lines.len));
	buffer_free(&lines);
	buffer_free(&detail);
}

/* Return whether an error says that it is asked too often. */
static bool
is_throttle(const answer *a, const char *message)
{
	if (strncmp(a->code, "Imm ", 4) == 0)
		return strstr(message, "Throttling") || strstr(message, "flow control") ||
			strstr(message, "QpsLimit");
	return a->status == 429 || strncmp(a->ec, "0004-", 5) == 0 ||
		strcmp(a->code, "SlowDown") == 0 ||
		(a->status == 503 && strstr(a->code, "Limit") != NULL);
}

/* Make the answer an error in a given style. */
void
answer_error_styled(request *r, xml_style style, int status, const char *code,
					const char *ec, const char *message, const char *extra)
{
	const service_error *row = service_error_find(code);
	answer	   *a = &r->answer;

	if (row)
	{
		status = status ? status : row->status;
		ec = ec ? ec : row->ec;
		message = message ? message : row->message;
	}
	message = message ? message : code;
	a->status = status ? status : 400;
	snprintf(a->code, sizeof(a->code), "%s", code);
	snprintf(a->ec, sizeof(a->ec), "%s", ec ? ec : "");
	buffer_reset(&a->body);
	if (a->ec[0] != '\0')
		answer_header(r, "x-oss-ec", a->ec);
	a->throttled = is_throttle(a, message);
	error_body(r, style ? style : usual_style, message, extra);
	if (strcmp(r->method, "HEAD") == 0 && a->body.len > 0)
	{
		buffer		b64 = {0};

		buffer_base64(&b64, a->body.data, a->body.len);
		answer_header(r, "x-oss-err", b64.data);
		buffer_free(&b64);
		buffer_reset(&a->body);
	}
}

/* Make the answer an error. */
void
answer_error(request *r, int status, const char *code, const char *ec,
			 const char *message, const char *extra)
{
	answer_error_styled(r, XML_USUAL, status, code, ec, message, extra);
}
