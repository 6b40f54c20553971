/*-------------------------------------------------------------------------
 * url_decode.c
 *	  url_decode(): a key as it is, of one that is escaped as in a query.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/utf8.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "protocol/uri.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(oss_labels_url_decode);

/* oss_labels.url_decode(escaped).  Errors: 22023, 22P05. */
Datum
oss_labels_url_decode(PG_FUNCTION_ARGS)
{
	char	   *escaped = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *text = pstrdup(oss_utf8(escaped));
	size_t		len = strlen(text);

	if (!oss_query_unescape(text, &len))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid escape in \"%s\"", escaped),
				 errdetail("Two hexadecimal digits do not follow a percent sign."),
				 errhint("A key that is not escaped needs no url_decode().")));
	if (memchr(text, '\0', len) != NULL || !pg_verify_mbstr(PG_UTF8, text, (int) len, true))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" is not the escaped form of a text", escaped),
				 errdetail("Its bytes are not UTF-8, or are NUL."),
				 errhint("Give a key as an inventory or a listing of OSS escapes it.")));
	text[len] = '\0';
	PG_RETURN_TEXT_P(cstring_to_text(pg_any_to_server(text, (int) len, PG_UTF8)));
}
