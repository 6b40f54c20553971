/*-------------------------------------------------------------------------
 * fuzz.h
 *	  What the fuzz targets share: promises, and texts cut from the input.
 *-------------------------------------------------------------------------
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <iconv.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Abort, so that the fuzzer keeps the input, unless a promise is kept. */
#define promise(kept) \
	((kept) ? (void) 0 : \
	 (fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #kept), \
	  abort()))

/* Copy input to a text, ended by a NUL where there is none. */
static inline char *
fuzz_text(const uint8_t *data, size_t size)
{
	char	   *text = malloc(size + 1);

	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	return text;
}

/* Is this UTF-8?  The C library is asked, for a second opinion. */
static inline bool
fuzz_is_utf8(const char *bytes, size_t len)
{
	static iconv_t converter;
	char	   *out = malloc(4 * len + 4);
	char	   *in_at = (char *) bytes;
	char	   *out_at = out;
	size_t		out_left = 4 * len + 4;
	bool		valid;

	/* UTF-32 has neither surrogates nor characters beyond U+10FFFF */
	if (converter == NULL)
		converter = iconv_open("UTF-32LE", "UTF-8");
	iconv(converter, NULL, NULL, NULL, NULL);
	valid = iconv(converter, &in_at, &len, &out_at, &out_left) !=
		(size_t) -1;
	free(out);
	return valid;
}

#endif							/* FUZZ_H */
