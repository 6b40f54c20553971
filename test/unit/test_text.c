/*-------------------------------------------------------------------------
 * test_text.c
 *	  The growable byte string: growth, wiping, memory that runs out.
 *-------------------------------------------------------------------------
 */
#include <stdint.h>

#include "protocol/text.h"
#include "tap.h"
#include "scarce.h"

/* Is all of a text's memory zero? */
static bool
all_zero(const OssText *text)
{
	for (size_t i = 0; i < text->cap; i++)
	{
		if (text->data[i] != '\0')
			return false;
	}
	return true;
}

/* What is appended is there, whole and ended by a NUL. */
static void
check_append(void)
{
	OssText		text = {0};
	bool		right = true;

	oss_text_add(&text, NULL, 0);
	is_text(text.data, "", "nothing appended is an empty text");
	oss_text_adds(&text, "one");
	oss_text_add(&text, "two\0three", 9);
	ok(text.len == 12, "a NUL inside is kept");
	ok(memcmp(text.data, "onetwo\0three", 13) == 0,
	   "the bytes and the final NUL are there");
	oss_text_reset(&text);
	ok(text.len == 0 && text.data[0] == '\0', "reset empties");
	for (int i = 0; i < 100000; i++)
	{
		char		c = 'a' + i % 26;

		oss_text_add(&text, &c, 1);
		right = right && text.cap > text.len && text.data[text.len] == '\0';
	}
	ok(right, "room for the final NUL at every length");
	for (int i = 0; i < 100000; i++)
		right = right && text.data[i] == 'a' + i % 26;
	ok(right && text.len == 100000, "contents survive growth");
	oss_text_free(&text);
	ok(text.data == NULL && text.cap == 0, "free gives all back");
}

/* Truncating drops the end only, and does so for good. */
static void
check_truncate(void)
{
	OssText		text = {0};

	oss_text_truncate(&text, 0);
	ok(text.data == NULL, "an empty text can be truncated");
	oss_text_adds(&text, "keep secret");
	oss_text_truncate(&text, 20);
	is_text(text.data, "keep secret", "truncating beyond the end does nothing");
	oss_text_truncate(&text, 4);
	is_text(text.data, "keep", "truncated");
	ok(memcmp(text.data + 4, "\0\0\0\0\0\0\0", 7) == 0,
	   "what was dropped is overwritten");
	oss_text_free(&text);
}

/* Wiping leaves no byte of what was there, at whatever length it was. */
static void
check_wipe(void)
{
	OssText		text = {0};

	oss_text_wipe(&text);
	ok(text.data == NULL, "an empty text can be wiped");
	oss_text_adds(&text, "a long secret");
	oss_text_reset(&text);
	oss_text_adds(&text, "short");
	oss_text_wipe(&text);
	ok(text.cap > 0 && all_zero(&text), "all of the memory is overwritten");
	ok(text.len == 0, "and the text empty");
	oss_text_free(&text);
}

/* Running out of memory is remembered, and harms nothing. */
static void
check_failure(void)
{
	OssText		text = {0};

	scarce_left = 0;
	oss_text_adds(&text, "x");
	ok(text.failed && text.data == NULL, "the first block fails");
	scarce_left = -1;
	oss_text_adds(&text, "x");
	ok(text.len == 0, "an append after a failure does nothing");
	oss_text_reset(&text);
	oss_text_adds(&text, "kept");
	is_text(text.data, "kept", "reset ends a failure");
	scarce_left = 0;
	ok(!oss_text_reserve(&text, 1 << 20), "growth fails");
	scarce_left = -1;
	is_text(text.data, "kept", "a failed growth keeps the contents");
	oss_text_reset(&text);
	ok(!oss_text_reserve(&text, SIZE_MAX), "all memory there is is too much");
	oss_text_reset(&text);
	ok(!oss_text_reserve(&text, SIZE_MAX / 2 + 1), "half of it too");
	oss_text_wipe(&text);
	ok(!text.failed, "wiping ends a failure");
	oss_text_free(&text);
}

int
main(void)
{
	check_append();
	check_truncate();
	check_wipe();
	check_failure();
	return tap_done();
}
