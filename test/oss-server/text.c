/*
 * text.c
 *	  Byte strings for the stand-in OSS: slices, growable buffers, escapes.
 */
#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/evp.h>

/* Return size bytes of zeroed memory, or end the process. */
void *
must_alloc(size_t size)
{
	void	   *p = calloc(1, size ? size : 1);

	if (p == NULL)
	{
		fputs("oss-server: out of memory\n", stderr);
		abort();
	}
	return p;
}

/* Resize memory, or end the process. */
void *
must_realloc(void *p, size_t size)
{
	p = realloc(p, size ? size : 1);
	if (p == NULL)
	{
		fputs("oss-server: out of memory\n", stderr);
		abort();
	}
	return p;
}

/* Return the monotonic clock in microseconds. */
uint64_t
now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t) ts.tv_sec * 1000000 + (uint64_t) ts.tv_nsec / 1000;
}

/* Make room for more bytes and a NUL. */
void
buffer_reserve(buffer *b, size_t more)
{
	size_t		need = b->len + more + 1;

	if (need <= b->cap)
		return;
	if (b->cap < 128)
		b->cap = 128;
	while (b->cap < need)
		b->cap *= 2;
	b->data = must_realloc(b->data, b->cap);
}

/* Append len bytes. */
void
buffer_add(buffer *b, const void *data, size_t len)
{
	buffer_reserve(b, len);
	if (len > 0)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
}

/* Append a C string. */
void
buffer_puts(buffer *b, const char *s)
{
	buffer_add(b, s, strlen(s));
}

/* Append a slice. */
void
buffer_text(buffer *b, text t)
{
	buffer_add(b, t.data, t.len);
}

/* Append formatted text. */
void
buffer_printf(buffer *b, const char *fmt,...)
{
	va_list		ap;
	int			n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	buffer_reserve(b, (size_t) n);
	va_start(ap, fmt);
	vsnprintf(b->data + b->len, (size_t) n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t) n;
}

/* Make the buffer empty but keep its memory. */
void
buffer_reset(buffer *b)
{
	b->len = 0;
	if (b->data)
		b->data[0] = '\0';
}

/* Release the buffer's memory. */
void
buffer_free(buffer *b)
{
	free(b->data);
	memset(b, 0, sizeof(*b));
}

/* Return whether a byte stays unescaped in canonical texts. */
static bool
is_unreserved(unsigned char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
		(c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' ||
		c == '~';
}

/* Append bytes percent-escaped, upper-case hexadecimal. */
void
buffer_escape(buffer *b, text t, bool keep_slash)
{
	static const char digits[] = "0123456789ABCDEF";

	buffer_reserve(b, t.len * 3);
	for (size_t i = 0; i < t.len; i++)
	{
		unsigned char c = (unsigned char) t.data[i];

		if (is_unreserved(c) || (keep_slash && c == '/'))
			b->data[b->len++] = (char) c;
		else
		{
			b->data[b->len++] = '%';
			b->data[b->len++] = digits[c >> 4];
			b->data[b->len++] = digits[c & 15];
		}
	}
	b->data[b->len] = '\0';
}

/* Append bytes with the five XML entities. */
void
buffer_xml(buffer *b, text t)
{
	for (size_t i = 0; i < t.len; i++)
	{
		switch (t.data[i])
		{
			case '&':
				buffer_puts(b, "&amp;");
				break;
			case '<':
				buffer_puts(b, "&lt;");
				break;
			case '>':
				buffer_puts(b, "&gt;");
				break;
			case '"':
				buffer_puts(b, "&quot;");
				break;
			case '\'':
				buffer_puts(b, "&#39;");
				break;
			default:
				/* XML 1.0 has no way to write the other control bytes */
				if ((unsigned char) t.data[i] < 0x20 && t.data[i] != '\n' &&
					t.data[i] != '\t')
					buffer_puts(b, "?");
				else
					buffer_add(b, t.data + i, 1);
		}
	}
}

/* Append a JSON string. */
void
buffer_json(buffer *b, text t)
{
	buffer_puts(b, "\"");
	for (size_t i = 0; i < t.len; i++)
	{
		unsigned char c = (unsigned char) t.data[i];

		if (c == '"' || c == '\\')
			buffer_printf(b, "\\%c", c);
		else if (c < 0x20)
			buffer_printf(b, "\\u%04x", c);
		else
			buffer_add(b, t.data + i, 1);
	}
	buffer_puts(b, "\"");
}

/* Append hexadecimal digits. */
void
buffer_hex(buffer *b, const unsigned char *data, size_t len, bool upper)
{
	const char *digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";

	buffer_reserve(b, len * 2);
	for (size_t i = 0; i < len; i++)
	{
		b->data[b->len++] = digits[data[i] >> 4];
		b->data[b->len++] = digits[data[i] & 15];
	}
	b->data[b->len] = '\0';
}

/* Append base64. */
void
buffer_base64(buffer *b, const void *data, size_t len)
{
	size_t		size = 4 * ((len + 2) / 3);

	buffer_reserve(b, size + 1);
	EVP_EncodeBlock((unsigned char *) b->data + b->len, data, (int) len);
	b->len += size;
}

/* Return the value of a hexadecimal digit, or -1. */
static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Append bytes with %XX decoded. */
void
buffer_unescape(buffer *b, text t, bool plus_is_space)
{
	buffer_reserve(b, t.len);
	for (size_t i = 0; i < t.len; i++)
	{
		char		c = t.data[i];

		if (c == '%' && i + 2 < t.len && hex_value(t.data[i + 1]) >= 0 &&
			hex_value(t.data[i + 2]) >= 0)
		{
			c = (char) (hex_value(t.data[i + 1]) * 16 +
						hex_value(t.data[i + 2]));
			i += 2;
		}
		else if (c == '+' && plus_is_space)
			c = ' ';
		b->data[b->len++] = c;
	}
	b->data[b->len] = '\0';
}

/* Return a slice of bytes. */
text
text_from(const char *data, size_t len)
{
	text		t = {data, len};

	return t;
}

/* Return the slice of a C string; NULL is the empty slice. */
text
text_of(const char *s)
{
	text		t = {s, s ? strlen(s) : 0};

	return t;
}

/* Return whether a byte is white space of an HTTP header. */
static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Return the slice without white space at both ends. */
text
text_trim(text t)
{
	while (t.len > 0 && is_blank(t.data[0]))
	{
		t.data++;
		t.len--;
	}
	while (t.len > 0 && is_blank(t.data[t.len - 1]))
		t.len--;
	return t;
}

/* Return whether a slice equals a C string. */
bool
text_eq(text a, const char *b)
{
	return text_same(a, text_of(b));
}

/* Return whether two slices hold the same bytes. */
bool
text_same(text a, text b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* Return whether a slice begins with a C string. */
bool
text_starts(text t, const char *prefix)
{
	size_t		n = strlen(prefix);

	return t.len >= n && memcmp(t.data, prefix, n) == 0;
}

/* Return whether a slice ends with a C string. */
bool
text_ends(text t, const char *suffix)
{
	size_t		n = strlen(suffix);

	return t.len >= n && memcmp(t.data + t.len - n, suffix, n) == 0;
}

/* Compare two slices by their bytes, the shorter first when one is a prefix. */
int
text_compare(text a, text b)
{
	size_t		n = a.len < b.len ? a.len : b.len;
	int			c = n ? memcmp(a.data, b.data, n) : 0;

	if (c != 0)
		return c;
	return a.len < b.len ? -1 : a.len > b.len;
}

/* Split off what stands before sep. */
text
text_cut(text *rest, char sep)
{
	const char *p = rest->len ? memchr(rest->data, sep, rest->len) : NULL;
	text		head = *rest;

	if (p == NULL)
	{
		rest->data += rest->len;
		rest->len = 0;
		return head;
	}
	head.len = (size_t) (p - rest->data);
	rest->data = p + 1;
	rest->len -= head.len + 1;
	return head;
}

/* Read a whole decimal number. */
bool
text_number(text t, int64_t *value)
{
	int64_t		v = 0;

	if (t.len == 0 || t.len > 18)
		return false;
	for (size_t i = 0; i < t.len; i++)
	{
		if (t.data[i] < '0' || t.data[i] > '9')
			return false;
		v = v * 10 + (t.data[i] - '0');
	}
	*value = v;
	return true;
}

/* Return a malloc'd NUL-terminated copy. */
char *
text_dup(text t)
{
	char	   *s = must_alloc(t.len + 1);

	if (t.len > 0)
		memcpy(s, t.data, t.len);
	return s;
}

/* Return a 64-bit hash of bytes. */
uint64_t
hash_bytes(const void *data, size_t len, uint64_t seed)
{
	const unsigned char *p = data;
	uint64_t	h = 1469598103934665603ULL ^ seed;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 1099511628211ULL;
	h ^= h >> 33;
	h *= 0xff51afd7ed558ccdULL;
	h ^= h >> 33;
	return h;
}
