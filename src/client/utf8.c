/*-------------------------------------------------------------------------
 * utf8.c
 *	  Text of the database as requests want it.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "client/utf8.h"
#include "mb/pg_wchar.h"

/* Is a string the same in UTF-8 as it is, or taken to be? */
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

/* Return a string in UTF-8. */
char *
oss_utf8(const char *string)
{
	if (string == NULL || is_utf8_as_it_is(string))
		return unconstify(char *, string);
	return pg_server_to_any(string, strlen(string), PG_UTF8);
}

/* Convert a string to UTF-8, if that can be done. */
bool
oss_utf8_try(const char *string, char **utf8)
{
	Size		len;
	Size		room;
	Oid			conversion;

	*utf8 = unconstify(char *, string);
	if (string == NULL || is_utf8_as_it_is(string))
		return true;
	conversion = FindDefaultConversionProc(GetDatabaseEncoding(), PG_UTF8);
	if (!OidIsValid(conversion))
		return false;
	len = strlen(string);
	room = len * MAX_CONVERSION_GROWTH + 1;
	*utf8 = palloc(room);
	return pg_do_encoding_conversion_buf(conversion, GetDatabaseEncoding(),
										 PG_UTF8,
										 (unsigned char *) unconstify(char *, string),
										 len, (unsigned char *) *utf8, room,
										 true) == len;
}
