/*-------------------------------------------------------------------------
 * error_xml.c
 *	  Read the XML document with which OSS explains a refusal.
 *
 * The text comes from the network and goes into error messages.  Hence a
 * document type declaration ends the parse (entities could expand without
 * bound or read files), and the fields are bounded and free of control
 * characters.
 *-------------------------------------------------------------------------
 */
#include "protocol/error_xml.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <expat.h>
#include <openssl/evp.h>

#define DEPTH_MAX	16			/* of elements; real documents have 3 */

/* An element that is kept, and the field of OssErrorXml for its text. */
typedef struct Field
{
	const char *element;
	size_t		offset;
	size_t		size;
	bool		in_detail;		/* also read from <Detail> */
} Field;

#define FIELD(element, member, in_detail) \
	{element, offsetof(OssErrorXml, member), \
	 sizeof(((OssErrorXml *) NULL)->member), in_detail}

static const Field fields[] = {
	FIELD("Code", code, false),
	FIELD("Message", message, false),
	FIELD("RequestId", request_id, false),
	FIELD("EC", ec, false),
	FIELD("Endpoint", endpoint, false),
	FIELD("ServerTime", server_time, true),
};

/*
 * The parser's state.  field is the one whose text is being read, or NULL,
 * and len its length so far; gap: white space was read, which is written as
 * one space before the next character; full: a character did not fit, so that
 * the rest is ignored.
 */
typedef struct Reader
{
	XML_Parser	parser;
	OssErrorXml *error;
	bool		refused;
	bool		in_detail;
	int			depth;
	const Field *field;
	size_t		len;
	bool		gap;
	bool		full;
} Reader;

static void
refuse_document(Reader *reader)
{
	reader->refused = true;
	reader->field = NULL;
	XML_StopParser(reader->parser, XML_FALSE);
}

/* Return an element's name without its namespace prefix. */
static const char *
local_name(const char *name)
{
	const char *colon = strrchr(name, ':');

	return colon != NULL ? colon + 1 : name;
}

static char *
place_of(const Reader *reader, const Field *field)
{
	return (char *) reader->error + field->offset;
}

/* Return the field that an element at the current depth fills, or NULL. */
static const Field *
field_of(const Reader *reader, const char *name)
{
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
	{
		const Field *field = &fields[i];

		if (strcmp(name, field->element) != 0)
			continue;
		if (reader->depth != 2 && !(reader->in_detail && field->in_detail))
			return NULL;
		/* of repeated elements the first counts */
		return place_of(reader, field)[0] == '\0' ? field : NULL;
	}
	return NULL;
}

static void XMLCALL
on_error_start(void *data, const XML_Char *name, const XML_Char **attributes)
{
	Reader	   *reader = data;

	name = local_name(name);
	reader->depth++;
	if (reader->depth > DEPTH_MAX ||
		(reader->depth == 1 && strcmp(name, "Error") != 0))
	{
		refuse_document(reader);
		return;
	}
	if (reader->depth == 2)
		reader->in_detail = strcmp(name, "Detail") == 0;
	reader->field = field_of(reader, name);
	reader->len = 0;
	reader->gap = false;
	reader->full = false;
}

static void XMLCALL
on_error_end(void *data, const XML_Char *name)
{
	Reader	   *reader = data;

	reader->depth--;
	reader->field = NULL;
}

/* Return the length of the UTF-8 character at s, of which n bytes are left. */
static size_t
char_length(const char *s, size_t n)
{
	size_t		len = 1;

	while (len < n && ((unsigned char) s[len] & 0xC0) == 0x80)
		len++;
	return len;
}

/*
 * Is this character of len bytes white space or a control character?  C1
 * controls, line and paragraph separators and bidirectional formatting
 * characters count as such.
 */
static bool
is_gap(const char *s, size_t len)
{
	unsigned char a = s[0];
	unsigned char b = len > 1 ? s[1] : 0;
	unsigned char c = len > 2 ? s[2] : 0;

	if (len == 1)
		return a <= ' ' || a == 0x7F;
	if (len == 2)
		return a == 0xC2 && b <= 0xA0;
	if (len != 3 || a != 0xE2)
		return false;
	return (b == 0x80 && (c == 0x8E || c == 0x8F || (c >= 0xA8 && c <= 0xAE)))
		|| (b == 0x81 && c >= 0xA6 && c <= 0xA9);
}

/* Append a character to the current field, unless it does not fit. */
static void
keep_char(Reader *reader, const char *s, size_t len)
{
	char	   *place = place_of(reader, reader->field);
	size_t		gap = reader->gap && reader->len > 0 ? 1 : 0;

	if (reader->len + gap + len >= reader->field->size)
	{
		reader->full = true;
		return;
	}
	if (gap)
		place[reader->len++] = ' ';
	memcpy(place + reader->len, s, len);
	reader->len += len;
	reader->gap = false;
}

/* Handle text.  expat passes UTF-8 and does not split characters. */
static void XMLCALL
on_error_text(void *data, const XML_Char *s, int n)
{
	Reader	   *reader = data;

	while (n > 0 && reader->field != NULL && !reader->full)
	{
		size_t		len = char_length(s, n);

		if (is_gap(s, len))
			reader->gap = true;
		else
			keep_char(reader, s, len);
		s += len;
		n -= len;
	}
}

void
oss_error_keep(OssErrorXml *error, const char *name, const char *text,
			   size_t len)
{
	Reader		reader = {.error = error};

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
	{
		if (strcasecmp(name, fields[i].element) != 0 ||
			place_of(&reader, &fields[i])[0] != '\0')
			continue;
		reader.field = &fields[i];
		on_error_text(&reader, text, (int) len);
	}
}

/* Refuse a document type declaration: no service sends one. */
static void XMLCALL
on_error_doctype(void *data, const XML_Char *name, const XML_Char *system_id,
				 const XML_Char *public_id, int has_internal_subset)
{
	refuse_document(data);
}

/*
 * Set imm_request_id: the message of an IMM error ends with it, "<IMM code>,
 * <IMM text> <IMM request id>" (README.md 6.3).
 */
void
oss_error_finish(OssErrorXml *error)
{
	const char *last = strrchr(error->message, ' ');
	size_t		len;

	if (strncmp(error->code, "Imm ", 4) != 0 || last == NULL)
		return;
	len = strspn(++last, "0123456789ABCDEFabcdef-");
	/* a hexadecimal word of the text is shorter */
	if (last[len] == '\0' && len >= 16 && len < sizeof(error->imm_request_id))
		memcpy(error->imm_request_id, last, len + 1);
}

static bool
parse_error(const char *body, size_t len, Reader *reader)
{
	bool		ok;

	reader->parser = XML_ParserCreate(NULL);
	if (reader->parser == NULL)
		return false;
	XML_SetUserData(reader->parser, reader);
	XML_SetElementHandler(reader->parser, on_error_start, on_error_end);
	XML_SetCharacterDataHandler(reader->parser, on_error_text);
	XML_SetStartDoctypeDeclHandler(reader->parser, on_error_doctype);
	ok = XML_Parse(reader->parser, body, (int) len, 1) == XML_STATUS_OK;
	XML_ParserFree(reader->parser);
	return ok && !reader->refused;
}

bool
oss_error_xml_parse(const char *body, size_t len, OssErrorXml *error)
{
	Reader		reader = {.error = error};

	memset(error, 0, sizeof(*error));
	if (len > INT_MAX || !parse_error(body, len, &reader))
	{
		memset(error, 0, sizeof(*error));
		return false;
	}
	oss_error_finish(error);
	return true;
}

/* Decode base64 of len bytes into out.  Returns the decoded length, or -1. */
static int
decode_base64(const char *text, int len, unsigned char *out)
{
	EVP_ENCODE_CTX *ctx = EVP_ENCODE_CTX_new();
	int			n = 0;
	int			rest = 0;
	bool		ok;

	if (ctx == NULL)
		return -1;
	EVP_DecodeInit(ctx);
	ok = EVP_DecodeUpdate(ctx, out, &n, (const unsigned char *) text,
						  len) >= 0 &&
		EVP_DecodeFinal(ctx, out + n, &rest) == 1;
	EVP_ENCODE_CTX_free(ctx);
	return ok ? n + rest : -1;
}

bool
oss_error_xml_parse_base64(const char *text, size_t len, OssErrorXml *error)
{
	unsigned char *body;
	int			n;
	bool		ok;

	memset(error, 0, sizeof(*error));
	if (len > INT_MAX)
		return false;
	/* the decoded text is shorter, but the decoder writes whole blocks */
	body = malloc(len + 64);
	if (body == NULL)
		return false;
	n = decode_base64(text, (int) len, body);
	ok = n >= 0 && oss_error_xml_parse((const char *) body, n, error);
	free(body);
	return ok;
}
