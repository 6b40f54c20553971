/*-------------------------------------------------------------------------
 * test_ini.c
 *	  Values of an INI file: sections, comments, blanks, what is malformed.
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "protocol/ini.h"
#include "tap.h"
#include "scarce.h"

static const char file[] = {
	"; head\n"
	"key = before any section\n"
	"[default]\r\n"
	"type = access_key\r\n"
	"access_key_id=an id\r\n"
	"secret :  with=and:in it # a comment\n"
	"semicolon = s3cret ; a comment # in it\n"
	"tabbed = s3cret\t;comment\n"
	"hash = a#b\n"
	"kept = a;b;c\n"
	"empty =\n"
	"only_comment = # nothing\n"
	"only_semicolon =;nothing\n"
	"# key = commented\n"
	"twice = one\n"
	"twice = two\n"
	"no value here\n"
	"[ other ]\n"
	"key = other\n"
	"  [default]  ; of another tool\n"
	"late = merged\n"
	"type = sts\n"
	"[default]not a header\n"
	"later = merged, too\n"
	"[last]\n"
	"end = unterminated"
};

/* Is a value found, and is it this one?  NULL: it must not be there. */
static void
check(const char *section, const char *name, const char *expected)
{
	const char *value = NULL;
	size_t		len = 0;
	bool		found = oss_ini_find(file, strlen(file), section, name, &value,
									 &len);

	ok(found == (expected != NULL) &&
	   (!found || (len == strlen(expected) &&
				   memcmp(value, expected, len) == 0)),
	   "[%s] %s", section, name);
}

/* No prefix of a file is read beyond its end (the sanitizer watches). */
static void
check_prefixes(void)
{
	const char *value;
	size_t		len;
	bool		right = true;

	for (size_t n = 0; n <= strlen(file); n++)
	{
		char	   *copy = malloc(n > 0 ? n : 1);

		memcpy(copy, file, n);
		if (oss_ini_find(copy, n, "last", "end", &value, &len))
			right = right && value >= copy && value + len <= copy + n;
		free(copy);
	}
	ok(right, "values of a cut file lie in it");
}

int
main(void)
{
	check("default", "type", "sts");
	check("default", "access_key_id", "an id");
	check("default", "secret", "with=and:in it");
	check("default", "semicolon", "s3cret");
	check("default", "tabbed", "s3cret");
	check("default", "hash", "a#b");
	check("default", "kept", "a;b;c");
	check("default", "empty", "");
	check("default", "only_comment", "");
	check("default", "only_semicolon", "");
	check("default", "key", NULL);
	check("default", "# key", NULL);
	check("default", "twice", "two");
	check("default", "no value here", NULL);
	check("default", "late", "merged");
	check("default", "later", "merged, too");
	check("default", "TYPE", NULL);
	check("other", "key", "other");
	check("other", "type", NULL);
	check("last", "end", "unterminated");
	check("", "key", NULL);
	check("nowhere", "key", NULL);
	ok(oss_ini_has_section(file, strlen(file), "other"), "a section");
	ok(!oss_ini_has_section(file, strlen(file), "oth"), "part of a name");
	ok(!oss_ini_has_section("", 0, ""), "an empty file");
	check_prefixes();
	return tap_done();
}
