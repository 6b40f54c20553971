/*-------------------------------------------------------------------------
 * error_json.c
 *	  Read a JSON document with which a gateway explains a refusal.
 *
 * The text comes from the network and goes into error messages: nesting is
 * bounded, nothing is allocated, and values pass through oss_error_keep(),
 * which truncates and cleans them as it does those of XML documents.
 *-------------------------------------------------------------------------
 */
#include "protocol/error_json.h"

#include <string.h>
#include <strings.h>

#define DEPTH_MAX	32			/* of objects and arrays; real documents have
								 * 2 */

/* The parser: p is the next byte to read, end the byte after the last one. */
typedef struct Reader
{
	const char *p;
	const char *end;
	OssErrorXml *error;
} Reader;

/* A decoded string, truncated to its size and NUL-terminated. */
typedef struct Value
{
	char		text[OSS_ERROR_FIELD_MAX];
	size_t		len;
} Value;

static bool read_value(Reader *reader, int depth, bool keep);

/* Skip white space.  Returns the next byte, '\0' at the end. */
static char
skip_space(Reader *reader)
{
	while (reader->p < reader->end && strchr(" \t\r\n", *reader->p) != NULL &&
		   *reader->p != '\0')
		reader->p++;
	return reader->p < reader->end ? *reader->p : '\0';
}

/* Skip white space and then c.  Returns false if another byte comes next. */
static bool
accept_byte(Reader *reader, char c)
{
	if (skip_space(reader) != c)
		return false;
	reader->p++;
	return true;
}

/* Append the bytes of one character, unless they do not fit. */
static void
add_byte(Value *value, const char *bytes, size_t len)
{
	if (value->len + len >= sizeof(value->text))
		return;
	memcpy(value->text + value->len, bytes, len);
	value->len += len;
	value->text[value->len] = '\0';
}

/* Return the value of a hexadecimal digit, or -1. */
static int
read_hex(char c)
{
	const char *digits = "0123456789abcdef";
	const char *found = c == '\0' ? NULL : strchr(digits, c >= 'A' && c <= 'F' ? c + 32 : c);

	return found == NULL ? -1 : (int) (found - digits);
}

/*
 * Decode the four digits of a \u escape.  Returns false if they are not
 * hexadecimal.  A surrogate, paired or not, becomes a question mark.
 */
static bool
read_unicode(Reader *reader, Value *value)
{
	unsigned int code = 0;
	char		utf8[3];

	if (reader->end - reader->p < 4)
		return false;
	for (int i = 0; i < 4; i++)
	{
		int			digit = read_hex(*reader->p++);

		if (digit < 0)
			return false;
		code = code << 4 | (unsigned int) digit;
	}
	if (code == 0 || (code >= 0xD800 && code <= 0xDFFF))
		code = '?';
	if (code < 0x80)
	{
		utf8[0] = (char) code;
		add_byte(value, utf8, 1);
	}
	else if (code < 0x800)
	{
		utf8[0] = (char) (0xC0 | code >> 6);
		utf8[1] = (char) (0x80 | (code & 0x3F));
		add_byte(value, utf8, 2);
	}
	else
	{
		utf8[0] = (char) (0xE0 | code >> 12);
		utf8[1] = (char) (0x80 | (code >> 6 & 0x3F));
		utf8[2] = (char) (0x80 | (code & 0x3F));
		add_byte(value, utf8, 3);
	}
	return true;
}

/* Decode an escape sequence, whose backslash was read. */
static bool
read_escaped_byte(Reader *reader, Value *value)
{
	char		c;

	if (reader->p == reader->end)
		return false;
	c = *reader->p++;
	if (c == 'u')
		return read_unicode(reader, value);
	if (c == '\0' || strchr("\"\\/bfnrt", c) == NULL)
		return false;
	if (strchr("bfnrt", c) != NULL)
		c = ' ';
	add_byte(value, &c, 1);
	return true;
}

/* Read a string, from its opening quote on. */
static bool
read_string(Reader *reader, Value *value)
{
	value->len = 0;
	value->text[0] = '\0';
	if (!accept_byte(reader, '"'))
		return false;
	while (reader->p < reader->end && *reader->p != '"')
	{
		const char *from = reader->p++;

		if (*from == '\\')
		{
			if (!read_escaped_byte(reader, value))
				return false;
			continue;
		}
		/* add the bytes of one character together */
		while (reader->p < reader->end && ((unsigned char) *reader->p & 0xC0) == 0x80)
			reader->p++;
		if (*from != '\0')
			add_byte(value, from, (size_t) (reader->p - from));
	}
	return accept_byte(reader, '"');
}

/* Skip a number, true, false or null. */
static bool
skip_word(Reader *reader)
{
	const char *from = reader->p;

	while (reader->p < reader->end && *reader->p != '\0' &&
		   strchr("+-.0123456789aeflnrstuE", *reader->p) != NULL)
		reader->p++;
	return reader->p > from;
}

/*
 * Read the members of an object, whose opening brace was read.  keep: they
 * describe the error.
 */
static bool
read_members(Reader *reader, int depth, bool keep)
{
	if (accept_byte(reader, '}'))
		return true;
	do
	{
		Value		name;
		Value		text;
		char		c;

		if (!read_string(reader, &name) || !accept_byte(reader, ':'))
			return false;
		c = skip_space(reader);
		if (c == '"')
		{
			if (!read_string(reader, &text))
				return false;
			if (keep)
				oss_error_keep(reader->error, name.text, text.text, text.len);
		}
		else if (!read_value(reader, depth,
							 depth == 1 && strcasecmp(name.text, "Error") == 0))
			return false;
	} while (accept_byte(reader, ','));
	return accept_byte(reader, '}');
}

/* Read the elements of an array, whose opening bracket was read. */
static bool
read_elements(Reader *reader, int depth)
{
	if (accept_byte(reader, ']'))
		return true;
	do
	{
		if (!read_value(reader, depth, false))
			return false;
	} while (accept_byte(reader, ','));
	return accept_byte(reader, ']');
}

/*
 * Read a value at a nesting depth.  keep: if it is an object, its members
 * describe the error.
 */
static bool
read_value(Reader *reader, int depth, bool keep)
{
	Value		text;
	char		c = skip_space(reader);

	if (depth >= DEPTH_MAX)
		return false;
	if (c == '"')
		return read_string(reader, &text);
	if (accept_byte(reader, '{'))
		return read_members(reader, depth + 1, keep);
	if (accept_byte(reader, '['))
		return read_elements(reader, depth + 1);
	return skip_word(reader);
}

bool
oss_error_json_parse(const char *body, size_t len, OssErrorXml *error)
{
	Reader		reader = {.p = body,.end = body + len,.error = error};
	bool		ok;

	memset(error, 0, sizeof(*error));
	ok = skip_space(&reader) == '{' && read_value(&reader, 0, true) &&
		skip_space(&reader) == '\0' && reader.p == reader.end &&
		(error->code[0] != '\0' || error->ec[0] != '\0' || error->message[0] != '\0');
	if (!ok)
	{
		memset(error, 0, sizeof(*error));
		return false;
	}
	oss_error_finish(error);
	return true;
}
