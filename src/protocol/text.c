/*-------------------------------------------------------------------------
 * text.c
 *	  A growable byte string for code without memory contexts.
 *
 * Texts may hold tokens and signatures, so memory is overwritten before it is
 * freed, also when a text grows.
 *-------------------------------------------------------------------------
 */
#include "protocol/text.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#define TEXT_MIN_CAP	256

static bool
text_move(OssText *text, size_t cap)
{
	char	   *data = malloc(cap);

	if (data == NULL)
		return false;
	if (text->len > 0)
		memcpy(data, text->data, text->len);
	data[text->len] = '\0';
	if (text->data != NULL)
		OPENSSL_cleanse(text->data, text->cap);
	free(text->data);
	text->data = data;
	text->cap = cap;
	return true;
}

bool
oss_text_reserve(OssText *text, size_t n)
{
	size_t		cap = text->cap > 0 ? text->cap : TEXT_MIN_CAP;

	if (text->failed)
		return false;
	if (n < text->cap - text->len)
		return true;
	while (cap - text->len <= n && cap <= SIZE_MAX / 2)
		cap *= 2;
	if (cap - text->len <= n || !text_move(text, cap))
		text->failed = true;
	return !text->failed;
}

void
oss_text_add(OssText *text, const char *bytes, size_t n)
{
	if (!oss_text_reserve(text, n))
		return;
	if (n > 0)
		memcpy(text->data + text->len, bytes, n);
	text->len += n;
	text->data[text->len] = '\0';
}

void
oss_text_adds(OssText *text, const char *s)
{
	oss_text_add(text, s, strlen(s));
}

void
oss_text_truncate(OssText *text, size_t len)
{
	if (len >= text->len)
		return;
	OPENSSL_cleanse(text->data + len, text->len - len);
	text->len = len;
}

void
oss_text_reset(OssText *text)
{
	text->len = 0;
	text->failed = false;
	if (text->data != NULL)
		text->data[0] = '\0';
}

void
oss_text_wipe(OssText *text)
{
	if (text->data != NULL)
		OPENSSL_cleanse(text->data, text->cap);
	oss_text_reset(text);
}

void
oss_text_free(OssText *text)
{
	oss_text_wipe(text);
	free(text->data);
	memset(text, 0, sizeof(*text));
}
