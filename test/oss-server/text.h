/*
 * text.h
 *	  Byte strings for the stand-in OSS: slices, growable buffers, escapes.
 *
 * Keys and values are bytes with a length, because a key may hold any byte.
 */
#ifndef STANDIN_TEXT_H
#define STANDIN_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A slice of bytes owned by somebody else; data may be NULL when len is 0. */
typedef struct text
{
	const char *data;
	size_t		len;
} text;

/*
 * A growable byte string.  data is NUL-terminated whenever it is not NULL;
 * len does not count that NUL.  Zero-initialise it; buffer_free() ends it.
 */
typedef struct buffer
{
	char	   *data;
	size_t		len;
	size_t		cap;
} buffer;

extern void buffer_reserve(buffer *b, size_t more);
extern void buffer_add(buffer *b, const void *data, size_t len);
extern void buffer_puts(buffer *b, const char *s);
extern void buffer_text(buffer *b, text t);
extern void buffer_printf(buffer *b, const char *fmt,...)
			__attribute__((format(printf, 2, 3)));
extern void buffer_reset(buffer *b);
extern void buffer_free(buffer *b);

/* Append data percent-escaped as src/protocol/README.md 1.4 says. */
extern void buffer_escape(buffer *b, text t, bool keep_slash);

/* Append data with &, <, >, " and ' as XML entities. */
extern void buffer_xml(buffer *b, text t);

/* Append data as a JSON string with its quotes. */
extern void buffer_json(buffer *b, text t);

/* Append lower-case (or upper-case) hexadecimal digits. */
extern void buffer_hex(buffer *b, const unsigned char *data, size_t len,
					   bool upper);

/* Append base64 with padding. */
extern void buffer_base64(buffer *b, const void *data, size_t len);

/*
 * Append data with %XX decoded, and '+' as a blank if plus_is_space.  A % that
 * is not followed by two hexadecimal digits stays as it is.
 */
extern void buffer_unescape(buffer *b, text t, bool plus_is_space);

/* Make a slice: of bytes, or of a NUL-terminated string. */
extern text text_from(const char *data, size_t len);
extern text text_of(const char *s);
extern text text_trim(text t);
extern bool text_eq(text a, const char *b);
extern bool text_same(text a, text b);
extern bool text_starts(text t, const char *prefix);
extern bool text_ends(text t, const char *suffix);
extern int	text_compare(text a, text b);

/* Split off and return what stands before sep; *rest gets what follows. */
extern text text_cut(text *rest, char sep);

/* Read a whole decimal number of at most 18 digits; false if it is not one. */
extern bool text_number(text t, int64_t *value);

/* Return a malloc'd NUL-terminated copy. */
extern char *text_dup(text t);

/* FNV-1a with a final mix; only for tables and choices, never for security. */
extern uint64_t hash_bytes(const void *data, size_t len, uint64_t seed);

/* malloc and friends that end the process when memory is out. */
extern void *must_alloc(size_t size);
extern void *must_realloc(void *p, size_t size);

/* Microseconds of the monotonic clock. */
extern uint64_t now_us(void);

#endif							/* STANDIN_TEXT_H */
