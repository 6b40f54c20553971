/*-------------------------------------------------------------------------
 * utf8.c
 *	  Conversion of text from the database's encoding to UTF-8, and to Unicode's
 *	  normalization form C.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "client/utf8.h"
#include "compat.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

PG_FUNCTION_INFO_V1(oss_labels_nfc);

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

char *
oss_from_utf8(const char *utf8, size_t len)
{
	int			encoding = GetDatabaseEncoding();
	Oid			conversion;
	size_t		room = len * MAX_CONVERSION_GROWTH + 1;
	char	   *converted;

	if (memchr(utf8, '\0', len) != NULL || !pg_verify_mbstr(PG_UTF8, utf8, (int) len, true))
		return NULL;
	if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII || len == 0)
		return pnstrdup(utf8, len);
	conversion = FindDefaultConversionProc(PG_UTF8, encoding);
	if (!OidIsValid(conversion))
		return NULL;
	converted = palloc(room);
	return pg_do_encoding_conversion_buf(conversion, PG_UTF8, encoding,
										 (unsigned char *) unconstify(char *, utf8), (int) len,
										 (unsigned char *) converted, (int) room,
										 true) == len ? converted : NULL;
}

/*
 * Has text only characters that never compose with others?  Below U+0300 and
 * among the Chinese ones, which nearly all names consist of, there are no
 * others.
 */
static bool
is_plainly_nfc(const text * name)
{
	const unsigned char *p = (const unsigned char *) VARDATA_ANY(name);
	const unsigned char *end = p + VARSIZE_ANY_EXHDR(name);

	for (; p < end; p += pg_utf_mblen(p))
	{
		pg_wchar	c;

		if (!IS_HIGHBIT_SET(*p))
			continue;
		c = utf8_to_unicode(p);
		if (c >= 0x300 && !(c >= 0x4e00 && c <= 0x9fff))
			return false;
	}
	return true;
}

text *
oss_nfc(text * name)
{
	if (name == NULL || GetDatabaseEncoding() != PG_UTF8 || is_plainly_nfc(name))
		return name;
	return DatumGetTextPP(DirectFunctionCall2(unicode_normalize_func,
											  PointerGetDatum(name),
											  CStringGetTextDatum("NFC")));
}

/* nfc(name) */
Datum
oss_labels_nfc(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(oss_nfc(PG_GETARG_TEXT_PP(0)));
}
