/*-------------------------------------------------------------------------
 * fuzz_ini.c
 *	  Look values up in the input as a file of credentials.
 *
 * The input is the file; its first line serves as the names of a section and
 * of a value besides those that are really asked for.
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"
#include "protocol/ini.h"

/* Look a value up and check where it lies and how it is trimmed. */
static void
look_up(const char *text, size_t len, const char *section, const char *name)
{
	const char *value = NULL;
	size_t		value_len = 0;

	if (!oss_ini_find(text, len, section, name, &value, &value_len))
		return;
	promise(oss_ini_has_section(text, len, section));
	promise(value >= text && value + value_len <= text + len);
	promise(memchr(value, '\n', value_len) == NULL);
	if (value_len > 0)
	{
		promise(strchr(" \t\r", value[0]) == NULL || value[0] == '\0');
		promise(strchr(" \t\r", value[value_len - 1]) == NULL ||
				value[value_len - 1] == '\0');
		promise(value[0] != '#' && value[0] != ';');
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = {
		"type", "access_key_id", "access_key_secret", "security_token", "",
		"name=", "[x]"
	};
	char	   *first = fuzz_text(data, size);

	first[strcspn(first, "\n")] = '\0';
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		look_up((const char *) data, size, "default", names[i]);
		look_up((const char *) data, size, first, names[i]);
		look_up((const char *) data, size, "default", first);
	}
	free(first);
	return 0;
}
