/*-------------------------------------------------------------------------
 * object_info.c
 *	  object_info() and try_object_info(): what the service says of an object
 *	  in answer to a HEAD.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "call/object_info.h"
#include "catalog/pg_type.h"
#include "client/http.h"
#include "client/object_facts.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(oss_labels_object_info);
PG_FUNCTION_INFO_V1(oss_labels_try_object_info);

/* Result columns of object_info(), before those of failures. */
enum ObjectColumn
{
	INFO_ETAG,
	INFO_SIZE,
	INFO_LAST_MODIFIED,
	INFO_CONTENT_TYPE,
	INFO_STORAGE_CLASS,
	INFO_TYPE,
	INFO_CURRENT_VERSION_ID,
	INFO_HEADERS,
	INFO_COLUMNS
};

/* The header that a column has. */
static const char *const header_names[] = {
	[INFO_ETAG] = "etag",
	[INFO_SIZE] = "content-length",
	[INFO_LAST_MODIFIED] = "last-modified",
	[INFO_CONTENT_TYPE] = "content-type",
	[INFO_STORAGE_CLASS] = "x-oss-storage-class",
	[INFO_TYPE] = "x-oss-object-type",
	[INFO_CURRENT_VERSION_ID] = "x-oss-version-id"
};

bool
oss_object_spec(const Datum *args, const bool *nulls, OssLabelsSpec *spec)
{
	static const int places[] = {
		[INFO_BUCKET] = DETECT_BUCKET,
		[INFO_KEY] = DETECT_KEY,
		[INFO_VERSION_ID] = DETECT_VERSION_ID,
		[INFO_SERVER] = DETECT_SERVER
	};
	Datum		detect_args[DETECT_ARGUMENTS] = {0};
	bool		detect_nulls[DETECT_ARGUMENTS];

	memset(detect_nulls, true, sizeof(detect_nulls));
	for (int i = 0; i < INFO_ARGUMENTS; i++)
	{
		detect_args[places[i]] = args[i];
		detect_nulls[places[i]] = nulls[i];
	}
	if (!oss_detect_spec(detect_args, detect_nulls, spec))
		return false;
	spec->head = true;
	return true;
}

/* Make the row of a failure, or raise it. */
static DetectRows *
failure_rows(const OssFailure *failure, bool is_try)
{
	return oss_failure_rows(failure, INFO_COLUMNS, is_try);
}

/* Return the value of a column from its header's; sets *isnull if it has none. */
static Datum
column_value(int column, const char *value, bool *isnull)
{
	char		etag[OSS_ETAG_MAX + 1];
	time_t		modified;
	long long	size;
	char	   *end;

	switch (column)
	{
		case INFO_ETAG:
			*isnull = !oss_etag_read(etag, value, strlen(value));
			return CStringGetTextDatum(etag);
		case INFO_SIZE:
			size = strtoll(value, &end, 10);
			*isnull = !isdigit((unsigned char) value[0]) || *end != '\0';
			return Int64GetDatum(size);
		case INFO_LAST_MODIFIED:
			modified = oss_http_parse_date(value);
			*isnull = modified == (time_t) -1;
			return TimestampTzGetDatum(*isnull ? 0 : time_t_to_timestamptz(modified));
		default:
			*isnull = value[0] == '\0';
			return CStringGetTextDatum(value);
	}
}

/*
 * Cut a line of headers, of len bytes, into name, in lower case, and value, in
 * CurrentMemoryContext.  Other bytes than printable ASCII become "?", as they may be
 * invalid in the database's encoding.  Returns false for a line that is no header.
 */
static bool
cut_header(const char *line, size_t len, char **name, char **value)
{
	char	   *copy = pnstrdup(line, len);
	char	   *colon = strchr(copy, ':');

	if (colon == NULL || colon == copy)
		return false;
	len = strlen(copy);
	while (len > 0 && isspace((unsigned char) copy[len - 1]))
		copy[--len] = '\0';
	for (char *c = copy; *c; c++)
	{
		if (c < colon)
			*c = pg_ascii_tolower((unsigned char) *c);
		if ((*c < ' ' && *c != '\t') || *c >= 0x7f)
			*c = '?';
	}
	*colon = '\0';
	*name = copy;
	*value = colon + 1 + strspn(colon + 1, " \t");
	return true;
}

/* Set the columns of a row from lines of headers. */
static void
read_headers(const char *lines, size_t len, Datum *values, bool *nulls)
{
	ArrayBuildState *pairs = initArrayResult(TEXTOID, CurrentMemoryContext, false);
	const char *end = lines + len;

	memset(nulls, true, sizeof(bool) * INFO_COLUMNS);
	while (lines < end)
	{
		const char *newline = memchr(lines, '\n', end - lines);
		const char *next = newline ? newline + 1 : end;
		char	   *name;
		char	   *value;

		if (cut_header(lines, next - lines, &name, &value))
		{
			pairs = accumArrayResult(pairs, CStringGetTextDatum(name), false,
									 TEXTOID, CurrentMemoryContext);
			pairs = accumArrayResult(pairs, CStringGetTextDatum(value), false,
									 TEXTOID, CurrentMemoryContext);
			for (int i = 0; i < lengthof(header_names); i++)
			{
				if (strcmp(name, header_names[i]) == 0)
					values[i] = column_value(i, value, &nulls[i]);
			}
		}
		lines = next;
	}
	values[INFO_HEADERS] = DirectFunctionCall1(jsonb_object,
											   makeArrayResult(pairs, CurrentMemoryContext));
	nulls[INFO_HEADERS] = false;
}

/* Remember what a row says, for the labels that are asked for next. */
static void
note_facts(const OssRequest *request, const DetectRows *rows)
{
	OssImage	image = oss_request_image(request);
	OssObjectFacts facts = {0};

	if (rows->nulls[INFO_ETAG])
		return;
	image.etag = TextDatumGetCString(rows->values[INFO_ETAG]);
	if (!rows->nulls[INFO_SIZE])
		facts.size = DatumGetInt64(rows->values[INFO_SIZE]);
	if (!rows->nulls[INFO_LAST_MODIFIED])
		facts.last_modified = DatumGetTimestampTz(rows->values[INFO_LAST_MODIFIED]);
	oss_object_note(&image, &facts);
}

DetectRows *
oss_object_rows(const OssRequest *request, bool is_try)
{
	const OssFailure *failure = oss_request_failure(request);
	DetectRows *rows;
	const char *lines;
	size_t		len;

	if (failure != NULL)
		return failure_rows(failure, is_try);
	rows = oss_success_rows(1, INFO_COLUMNS, is_try, oss_request_id(request));
	lines = oss_request_body(request, &len);
	read_headers(lines, len, rows->values, rows->nulls);
	note_facts(request, rows);
	return rows;
}

static Datum
return_object(FunctionCallInfo fcinfo, OssFunction which)
{
	bool		is_try = which == OSS_TRY_OBJECT_INFO;
	OssResult	result = oss_result_begin(fcinfo);
	Datum		args[INFO_ARGUMENTS];
	bool		nulls[INFO_ARGUMENTS];
	OssLabelsSpec spec;
	const OssFailure *failure;
	OssGroup   *group = NULL;
	DetectRows *rows;

	if (oss_answer_begun && oss_answer_begun(which, fcinfo, &result, NULL))
		return (Datum) 0;
	for (int i = 0; i < INFO_ARGUMENTS; i++)
	{
		args[i] = fcinfo->args[i].value;
		nulls[i] = fcinfo->args[i].isnull;
	}
	if (!oss_object_spec(args, nulls, &spec))
		return (Datum) 0;
	failure = oss_spec_failure(&spec);
	rows = failure != NULL ? failure_rows(failure, is_try) :
		oss_object_rows(oss_detect_run_alone(which, &spec, &group), is_try);
	oss_detect_add_rows(&result, rows);
	if (group != NULL)
		oss_group_free(group);
	return (Datum) 0;
}

/* object_info(bucket, key, version_id, server) */
Datum
oss_labels_object_info(PG_FUNCTION_ARGS)
{
	return return_object(fcinfo, OSS_OBJECT_INFO);
}

/* try_object_info(bucket, key, version_id, server) */
Datum
oss_labels_try_object_info(PG_FUNCTION_ARGS)
{
	return return_object(fcinfo, OSS_TRY_OBJECT_INFO);
}
