/*-------------------------------------------------------------------------
 * text.h
 *	  A growable byte string for code that knows no memory contexts.
 *
 * Ground floor: no PostgreSQL, no curl.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_TEXT_H
#define OSS_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Invariants: data is NULL or malloc'd with cap > len bytes and data[len] is
 * always '\0'; once failed (out of memory) is set, every append is a no-op,
 * so a caller checks it once at the end.  Start from {0}.
 */
typedef struct OssText
{
	char	   *data;
	size_t		len;
	size_t		cap;
	bool		failed;
} OssText;

/*
 * Make room for n more bytes and the final NUL, so that the caller may write
 * at data + len.  Returns false, having set failed, when there is none.
 */
extern bool oss_text_reserve(OssText *text, size_t n);

/* Append n bytes. */
extern void oss_text_add(OssText *text, const char *bytes, size_t n);

/* Append a NUL-terminated string. */
extern void oss_text_adds(OssText *text, const char *s);

/* Drop what was appended after the first len bytes, overwriting it. */
extern void oss_text_truncate(OssText *text, size_t len);

/* Forget the contents, keep the memory; also clears failed. */
extern void oss_text_reset(OssText *text);

/* Overwrite the contents (they held a secret), keep the memory. */
extern void oss_text_wipe(OssText *text);

/* Give the memory back, wiping it first. */
extern void oss_text_free(OssText *text);

#endif							/* OSS_TEXT_H */
