/*-------------------------------------------------------------------------
 * utf8.c
 *	  Conversion of text from the database's encoding to UTF-8.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "client/utf8.h"
#include "mb/pg_wchar.h"

/* Can a string be used as UTF-8 without conversion? */
static bool
is_utf8_as_it_is(const char *string)
{
	int			encoding = GetDatabaseEncoding();

	if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII)
		return true;
	for (; *string; string++)
	{
		if (IS_HIGHBIT_SET(*string))
			return false;
	}
	return true;
}

char *
oss_utf8(const char *string)
{
	if (string == NULL || is_utf8_as_it_is(string))
		return unconstify(char *, string);
	return pg_server_to_any(string, strlen(string), PG_UTF8);
}

bool
oss_utf8_try(const char *string, const char **utf8)
{
	Size		len;
	Size		room;
	char	   *converted;
	Oid			conversion;

	*utf8 = string;
	if (string == NULL || is_utf8_as_it_is(string))
		return true;
	conversion = FindDefaultConversionProc(GetDatabaseEncoding(), PG_UTF8);
	if (!OidIsValid(conversion))
		return false;
	len = strlen(string);
	room = len * MAX_CONVERSION_GROWTH + 1;
	*utf8 = converted = palloc(room);
	return pg_do_encoding_conversion_buf(conversion, GetDatabaseEncoding(),
										 PG_UTF8,
										 (unsigned char *) unconstify(char *, string),
										 len, (unsigned char *) converted, room,
										 true) == len;
}
