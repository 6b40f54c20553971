/*-------------------------------------------------------------------------
 * text.h
 *	  A growable byte string for code without memory contexts.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_TEXT_H
#define OSS_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Initialize with {0}.  data is NULL or a malloc'd block of cap > len bytes
 * with data[len] == '\0'.  When memory runs out, failed is set and every
 * later append is a no-op, so that callers check it once, at the end.
 */
typedef struct OssText
{
	char	   *data;
	size_t		len;
	size_t		cap;
	bool		failed;
} OssText;

/*
 * Make room for n more bytes and the terminating NUL, so that the caller may
 * write at data + len.  Returns false, having set failed, when out of memory.
 */
extern bool oss_text_reserve(OssText *text, size_t n);

extern void oss_text_add(OssText *text, const char *bytes, size_t n);

extern void oss_text_adds(OssText *text, const char *s);

/* Cut to len bytes, overwriting the rest; no-op if shorter already. */
extern void oss_text_truncate(OssText *text, size_t len);

/* Empty the text and clear failed, keeping the memory. */
extern void oss_text_reset(OssText *text);

/* The same, overwriting the contents, which may hold a secret. */
extern void oss_text_wipe(OssText *text);

/* Wipe the text and free its memory. */
extern void oss_text_free(OssText *text);

#endif							/* OSS_TEXT_H */
