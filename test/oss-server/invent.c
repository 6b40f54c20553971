/*
 * invent.c
 *	  Answers the service should never give: what faults put in its place.
 */
#include "fault.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <zlib.h>

#include "listing.h"
#include "object.h"

#define HTML "<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title>" \
	"</head>\n<body><h1>502 Bad Gateway</h1><p>proxy.example.com" \
	"</p></body></html>\n"

/* A PNG of one pixel. */
static const unsigned char tiny_png[] = {
	0x89, 'P', 'N', 'G', 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 0x0d, 'I', 'H', 'D',
	'R', 0, 0, 0, 1, 0, 0, 0, 1, 8, 6, 0, 0, 0, 0x1f, 0x15, 0xc4, 0x89, 0, 0,
	0, 0x0d, 'I', 'D', 'A', 'T', 0x78, 0x9c, 0x62, 0, 1, 0, 0, 5, 0, 1, 0x0d,
	0x0a, 0x2d, 0xb4, 0, 0, 0, 0, 'I', 'E', 'N', 'D', 0xae, 0x42, 0x60, 0x82
};

/* An odd labels document; %s stands for a fresh RequestId. */
typedef struct odd_document
{
	const char *variant;
	const char *before;
	const char *after;
} odd_document;

#define ID "{\"RequestId\":\""
#define GOOD "\"CentricScore\":0.5,\"LabelConfidence\":0.9,\"LabelLevel\":2," \
	"\"LabelName\":\"Cat\",\"Language\":\"zh-Hans\"," \
	"\"ParentLabelName\":\"Animal\""

static const odd_document documents[] = {
	{"missing", ID, "\"}"},
	{"null", ID, "\",\"Labels\":null}"},
	{"empty", ID, "\",\"Labels\":[]}"},
	{"object", ID, "\",\"Labels\":{" GOOD "}}"},
	{"string", ID, "\",\"Labels\":\"none\"}"},
	{"number", ID, "\",\"Labels\":7}"},
	{"no-id", "{\"Labels\":[{" GOOD "}],\"Unused\":\"", "\"}"},
	{"only-id", ID, "\"}"},
	{"neither", "{\"Message\":\"", "\"}"},
	{"unknown", ID, "\",\"Labels\":[{" GOOD ",\"NewField\":{\"a\":[1,2]},"
		"\"LabelAlias\":\"Kitty\",\"Clips\":[{\"TimeRange\":[0,1]}]}],"
	"\"Version\":\"2\"}"},
	{"level3", ID, "\",\"Labels\":[{" GOOD "},{\"LabelName\":\"Animal\","
		"\"LabelLevel\":1,\"LabelConfidence\":0.99,\"CentricScore\":0.5,"
		"\"Language\":\"zh-Hans\",\"ParentLabelName\":\"\"},"
		"{\"LabelName\":\"Siamese\",\"LabelLevel\":3,"
		"\"LabelConfidence\":0.8,\"CentricScore\":0.5,"
	"\"Language\":\"zh-Hans\",\"ParentLabelName\":\"Cat\"}]}"},
	{"types", ID, "\",\"Labels\":[{\"LabelName\":42,\"LabelLevel\":\"two\","
		"\"LabelConfidence\":\"high\",\"CentricScore\":null,"
		"\"Language\":[\"zh\"],\"ParentLabelName\":{\"a\":1}},"
		"{\"LabelName\":null,\"LabelLevel\":2.5,\"LabelConfidence\":true,"
	"\"CentricScore\":1e400,\"Language\":false,\"ParentLabelName\":[]}]}"},
	{"fields-missing", ID, "\",\"Labels\":[{},{\"LabelName\":\"Cat\"},"
	"{\"LabelConfidence\":1}]}"},
	{"elements", ID, "\",\"Labels\":[null,1,\"x\",[],{" GOOD "}]}"},
	{"duplicates", ID, "\",\"Labels\":[{" GOOD "},{" GOOD "},"
		"{\"LabelName\":\"A\",\"LabelName\":\"B\",\"LabelConfidence\":0.9}],"
	"\"Labels\":[{" GOOD "}]}"},
	{"chinese", ID, "\",\"Labels\":[{\"LabelName\":\"\xe7\x8c\xab\","
		"\"ParentLabelName\":\"\xe5\x8a\xa8\xe7\x89\xa9\",\"LabelLevel\":2,"
		"\"LabelConfidence\":0.9270000457763672,\"CentricScore\":1,"
	"\"Language\":\"zh-Hans\"}]}"},
	{"escapes", ID, "\",\"Labels\":[{\"LabelName\":\"\\u732b \\ud83d\\ude00 "
		"\\\"q\\\" \\\\ \\/\",\"LabelLevel\":2,\"LabelConfidence\":1,"
	"\"CentricScore\":0}]}"},
	{"nul-escape", ID, "\",\"Labels\":[{\"LabelName\":\"a\\u0000b\","
	"\"LabelLevel\":2,\"LabelConfidence\":1}]}"},
	{"broken", ID, "\",\"Labels\":[{" GOOD "},{\"LabelName\":"},
	{"trailing", ID, "\",\"Labels\":[]} trailing"},
	{"array", "[\"", "\"]"},
	{"empty-body", "", ""},
};

/* Make the answer a success with a body that is empty so far. */
static buffer *
begin_body(request *r, const char *content_type)
{
	answer	   *a = &r->answer;

	if (a->fd >= 0)
		close(a->fd);
	a->fd = -1;
	a->status = 200;
	a->code[0] = a->ec[0] = '\0';
	a->is_directory = false;
	a->head_size = -1;
	r->listed = 0;
	a->content_type = content_type;
	buffer_reset(&a->body);
	buffer_reset(&a->headers);
	return &a->body;
}

/* Write a labels document of n labels. */
static void
many_labels(buffer *out, int64_t n)
{
	buffer_puts(out, ID);
	random_uuid(out);
	buffer_puts(out, "\",\"Labels\":[");
	for (int64_t i = 0; i < n; i++)
		buffer_printf(out, "%s{\"LabelName\":\"Label %lld\",\"LabelLevel\":2,"
					  "\"LabelConfidence\":0.9,\"CentricScore\":0.5,"
					  "\"Language\":\"zh-Hans\",\"ParentLabelName\":\"P\"}",
					  i ? "," : "", (long long) i);
	buffer_puts(out, "]}");
}

/* Write arrays within arrays. */
static void
deep_labels(buffer *out, int64_t depth)
{
	buffer_puts(out, ID);
	random_uuid(out);
	buffer_puts(out, "\",\"Labels\":");
	for (int64_t i = 0; i < depth; i++)
		buffer_puts(out, "[");
	for (int64_t i = 0; i < depth; i++)
		buffer_puts(out, "]");
	buffer_puts(out, "}");
}

/* Write the odd labels document of a variant. */
static void
odd_labels(request *r, const fault *f)
{
	const char *variant = f->variant ? f->variant : "missing";
	buffer	   *out = begin_body(r, "application/json");

	if (strcmp(variant, "many") == 0)
	{
		many_labels(out, f->bytes);
		return;
	}
	if (strcmp(variant, "deep") == 0)
	{
		deep_labels(out, f->bytes);
		return;
	}
	for (size_t i = 0; i < sizeof(documents) / sizeof(documents[0]); i++)
	{
		const odd_document *d = &documents[i];

		if (strcmp(d->variant, variant) != 0)
			continue;
		buffer_puts(out, d->before);
		if (d->before[0] != '\0')
			random_uuid(out);
		buffer_puts(out, d->after);
		return;
	}
	answer_error(r, 501, "UnknownVariant", NULL,
				 "the stand-in knows no such variant", NULL);
}

/* Return whether a method's answer may carry a body. */
static bool
is_head(const request *r)
{
	return strcmp(r->method, "HEAD") == 0;
}

/* Compress the body. */
static void
gzip_body(request *r)
{
	buffer	   *body = &r->answer.body;
	z_stream	z = {0};
	buffer		out = {0};

	if (r->answer.fd >= 0 || is_head(r))
		return;
	deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
	buffer_reserve(&out, deflateBound(&z, body->len) + 32);
	z.next_in = (unsigned char *) body->data;
	z.avail_in = (unsigned int) body->len;
	z.next_out = (unsigned char *) out.data;
	z.avail_out = (unsigned int) (out.cap - 1);
	deflate(&z, Z_FINISH);
	out.len = z.total_out;
	deflateEnd(&z);
	buffer_free(body);
	*body = out;
	answer_header(r, "Content-Encoding", "gzip");
}

/* Answer the object's bytes, or a tiny image, in place of labels. */
static void
image_instead(request *r)
{
	buffer	   *out = begin_body(r, "image/png");
	object		o;

	if (object_find(r->bucket, r->key, &o) == LOOKUP_FOUND &&
		!o.is_directory && file_read(o.path, out))
		r->answer.content_type = "image/jpeg";
	else
		buffer_add(out, tiny_png, sizeof(tiny_png));
}

/* Put a label whose name holds a byte that JSON or UTF-8 forbids. */
static void
bad_byte(request *r, char byte)
{
	buffer	   *out = begin_body(r, "application/json");

	buffer_puts(out, ID);
	random_uuid(out);
	buffer_puts(out, "\",\"Labels\":[{\"LabelLevel\":2,"
				"\"LabelConfidence\":0.9,\"LabelName\":\"Ca");
	buffer_add(out, &byte, 1);
	buffer_puts(out, "t\"}]}");
}

/* Answer with the bytes given to the control request. */
static void
given_body(request *r, const fault *f)
{
	buffer	   *out = begin_body(r, f->content_type ? f->content_type
								 : "application/json");

	buffer_add(out, f->body.data, f->body.len);
	r->answer.status = f->status ? f->status : 200;
}

/* Send the client elsewhere. */
static void
redirect(request *r, const fault *f)
{
	int			status = f->status ? f->status : 307;

	begin_body(r, "text/html");
	r->answer.status = status;
	snprintf(r->answer.code, sizeof(r->answer.code), "redirect");
	answer_header(r, "Location", f->location ? f->location
				  : "http://127.0.0.1:1/elsewhere");
}

/* Write a valid document of about so many bytes, mostly padding. */
static void
huge_body(request *r, const fault *f)
{
	buffer	   *out = begin_body(r, "application/json");
	static const char filler[] = {
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	};
	size_t		room = f->bytes > 0 ? (size_t) f->bytes : 0;

	buffer_puts(out, "{\"Labels\":[],\"Padding\":\"");
	buffer_reserve(out, room + 2);
	while (out->len + 2 < room)
	{
		size_t		n = room - out->len - 2;

		buffer_add(out, filler, n < sizeof(filler) - 1 ? n :
				   sizeof(filler) - 1);
	}
	buffer_puts(out, "\"}");
}

/* Answer with an error of the service, as the fault says. */
static void
error_instead(request *r, const fault *f, const char *code)
{
	if (r->answer.fd >= 0)
		close(r->answer.fd);
	r->answer.fd = -1;
	r->answer.is_directory = false;
	r->answer.head_size = -1;
	r->listed = 0;
	buffer_reset(&r->answer.headers);
	answer_error_styled(r, f->style, f->status, f->code ? f->code : code,
						f->ec, f->message, NULL);
}

/* Change the answer as a fault says. */
void
fault_invent(request *r, const fault *f)
{
	switch (f->kind)
	{
		case FAULT_ERROR:
			error_instead(r, f, f->status == 500 || f->status == 0 ?
						  "InternalError" : "ServiceUnavailable");
			break;
		case FAULT_THROTTLE:
			error_instead(r, f, "TotalQpsLimitExceeded");
			break;
		case FAULT_ACTIVE:
			error_instead(r, f, "ActiveRequestLimitExceeded");
			break;
		case FAULT_REDIRECT:
			redirect(r, f);
			break;
		case FAULT_HTML:
			buffer_puts(begin_body(r, "text/html"), HTML);
			r->answer.status = f->status ? f->status : 200;
			break;
		case FAULT_IMAGE:
			image_instead(r);
			break;
		case FAULT_LABELS:
			odd_labels(r, f);
			break;
		case FAULT_BODY:
			given_body(r, f);
			break;
		case FAULT_GZIP:
			gzip_body(r);
			break;
		case FAULT_NUL:
			bad_byte(r, '\0');
			break;
		case FAULT_UTF8:
			bad_byte(r, '\xff');
			break;
		case FAULT_HUGE:
			huge_body(r, f);
			break;
		case FAULT_LISTING:
			if (r->is_list && r->answer.code[0] == '\0')
				listing_answer(r, f->variant, f->bytes);
			break;
		default:
			break;
	}
	buffer_text(&r->answer.headers, text_from(f->headers.data, f->headers.len));
	if (f->content_type)
		r->answer.content_type = f->content_type;
}
