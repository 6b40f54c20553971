/*-------------------------------------------------------------------------
 * detect.c
 *	  detect(), try_detect() and detect_json().
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "call/detect.h"
#include "client/labels_response.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(oss_labels_detect);
PG_FUNCTION_INFO_V1(oss_labels_try_detect);
PG_FUNCTION_INFO_V1(oss_labels_detect_json);

void		(*oss_detect_keep) (const Datum *args, const bool *nulls, OssLabelsSpec *spec) = NULL;
bool		(*oss_answer_begun) (OssFunction which, FunctionCallInfo fcinfo,
								 const OssResult *result, Datum *value) = NULL;
void		(*oss_sends_alone) (OssFunction which) = NULL;
uint64		oss_calls_alone = 0;

/* Read the image of SQL arguments. */
bool
oss_detect_image(const Datum *args, const bool *nulls, OssImage *image)
{
	memset(image, 0, sizeof(*image));
	if (nulls[DETECT_BUCKET] || nulls[DETECT_KEY])
		return false;
	image->bucket = TextDatumGetCString(args[DETECT_BUCKET]);
	image->key = TextDatumGetCString(args[DETECT_KEY]);
	if (!nulls[DETECT_VERSION_ID])
		image->version_id = TextDatumGetCString(args[DETECT_VERSION_ID]);
	image->has_thr = !nulls[DETECT_THR];
	if (image->has_thr)
		image->thr = DatumGetFloat8(args[DETECT_THR]);
	return true;
}

bool
oss_detect_spec(const Datum *args, const bool *nulls, OssLabelsSpec *spec)
{
	OssImage	image;

	memset(spec, 0, sizeof(*spec));
	if (!oss_detect_image(args, nulls, &image))
		return false;
	spec->image = oss_image_utf8(&image);
	spec->server = oss_server_get(nulls[DETECT_SERVER] ? NULL :
								  NameStr(*DatumGetName(args[DETECT_SERVER])),
								  GetUserId());
	return true;
}

static DetectRows *
make_rows(int nrows, int columns, bool is_try)
{
	DetectRows *rows = palloc(sizeof(DetectRows));

	rows->nrows = nrows;
	rows->ncolumns = columns + (is_try ? OUTCOME_COLUMNS : 0);
	rows->values = palloc0(sizeof(Datum) * Max(nrows, 1) * rows->ncolumns);
	rows->nulls = palloc0(sizeof(bool) * Max(nrows, 1) * rows->ncolumns);
	return rows;
}

static void
put_column(Datum *value, bool *null, Datum datum, bool present)
{
	*null = !present;
	*value = present ? datum : (Datum) 0;
}

static void
put_label(Datum *values, bool *nulls, const OssLabel *label)
{
	put_column(&values[0], &nulls[0], PointerGetDatum(label->name), label->name != NULL);
	put_column(&values[1], &nulls[1], PointerGetDatum(label->parent), label->parent != NULL);
	put_column(&values[2], &nulls[2], Int32GetDatum(label->level), label->has_level);
	put_column(&values[3], &nulls[3], Float8GetDatum(label->confidence), label->has_confidence);
	put_column(&values[4], &nulls[4], Float8GetDatum(label->centric), label->has_centric);
	put_column(&values[5], &nulls[5], PointerGetDatum(label->language), label->language != NULL);
	put_column(&values[6], &nulls[6], JsonbPGetDatum(label->raw), true);
}

/* Set the four columns that only try_detect() has. */
static void
put_outcome(Datum *values, bool *nulls, int status, const char *code,
			const char *message, const char *request_id)
{
	put_column(&values[0], &nulls[0], Int32GetDatum(status), status != 0);
	values[1] = oss_text_or_null(code, &nulls[1]);
	values[2] = oss_text_or_null(message, &nulls[2]);
	values[3] = oss_text_or_null(request_id, &nulls[3]);
}

/* Set these columns in all rows, after the first "columns" ones, for a success. */
static void
put_success(DetectRows *rows, int columns, const char *request_id)
{
	for (int i = 0; i < rows->nrows; i++)
		put_outcome(rows->values + i * rows->ncolumns + columns,
					rows->nulls + i * rows->ncolumns + columns, 200, NULL, NULL,
					request_id[0] ? request_id : NULL);
}

DetectRows *
oss_success_rows(int nrows, int columns, bool is_try, const char *request_id)
{
	DetectRows *rows = make_rows(nrows, columns, is_try);

	if (is_try)
		put_success(rows, columns, request_id);
	return rows;
}

DetectRows *
oss_failure_rows(const OssFailure *failure, int columns, bool is_try)
{
	DetectRows *rows;
	char	   *message;

	if (!is_try || oss_scope_is_setup(failure->scope))
		oss_failure_throw(failure);
	rows = make_rows(1, columns, true);
	memset(rows->nulls, true, columns);
	message = failure->detail != NULL && failure->detail[0] != '\0' ?
		psprintf("%s\n%s", failure->message, failure->detail) :
		pstrdup(failure->message);
	put_outcome(rows->values + columns, rows->nulls + columns,
				failure->http_status, failure->code, message,
				failure->request_id);
	return rows;
}

DetectRows *
oss_detect_failure_rows(const OssFailure *failure, bool is_try)
{
	return oss_failure_rows(failure, DETECT_COLUMNS, is_try);
}

DetectRows *
oss_detect_rows(const OssRequest *request, bool is_try, double least)
{
	const OssFailure *failure;
	Jsonb	   *answer = oss_response_parse(request, NULL, &failure);
	DetectRows *rows;

	if (answer == NULL)
		return oss_detect_failure_rows(failure, is_try);
	rows = oss_detect_document_rows(answer, least, is_try);
	if (is_try)
		put_success(rows, DETECT_COLUMNS, oss_request_id(request));
	return rows;
}

DetectRows *
oss_detect_document_rows(const Jsonb *answer, double least, bool is_try)
{
	OssLabel   *labels;
	int			n = oss_response_labels(answer, true, &labels);
	DetectRows *rows = make_rows(n, DETECT_COLUMNS, is_try);

	rows->nrows = 0;
	for (int i = 0; i < n; i++)
	{
		int			first = rows->nrows * rows->ncolumns;

		if (least > 0 && labels[i].has_confidence && labels[i].confidence < least)
			continue;
		put_label(rows->values + first, rows->nulls + first, &labels[i]);
		if (is_try)
			memset(rows->nulls + first + DETECT_COLUMNS, true, OUTCOME_COLUMNS);
		rows->nrows++;
	}
	return rows;
}

static void
call_arguments(FunctionCallInfo fcinfo, Datum *args, bool *nulls)
{
	for (int i = 0; i < DETECT_ARGUMENTS; i++)
	{
		args[i] = fcinfo->args[i].value;
		nulls[i] = fcinfo->args[i].isnull;
	}
}

void
oss_detect_add_rows(const OssResult *result, const DetectRows *rows)
{
	for (int i = 0; i < rows->nrows; i++)
		oss_result_add(result, rows->values + i * rows->ncolumns,
					   rows->nulls + i * rows->ncolumns);
}

OssRequest *
oss_detect_run(const OssLabelsSpec *spec, OssGroup **group)
{
	OssRequest *request;

	*group = oss_group_create(CurrentMemoryContext);
	oss_request_await(oss_request_start(*group, spec, NULL));

	/* the wait also ends when the latch is set */
	do
		request = oss_group_wait(*group, -1);
	while (request == NULL);
	return request;
}

OssRequest *
oss_detect_run_alone(OssFunction which, const OssLabelsSpec *spec, OssGroup **group)
{
	oss_calls_alone++;
	if (oss_sends_alone)
		oss_sends_alone(which);
	return oss_detect_run(spec, group);
}

static Datum
return_labels(FunctionCallInfo fcinfo, OssFunction which)
{
	bool		is_try = which == OSS_TRY_DETECT;
	OssResult	result = oss_result_begin(fcinfo);
	Datum		args[DETECT_ARGUMENTS];
	bool		nulls[DETECT_ARGUMENTS];
	OssLabelsSpec spec;
	const OssFailure *failure;
	OssGroup   *group = NULL;
	DetectRows *rows;

	if (oss_answer_begun && oss_answer_begun(which, fcinfo, &result, NULL))
		return (Datum) 0;
	call_arguments(fcinfo, args, nulls);
	if (!oss_detect_spec(args, nulls, &spec))
		return (Datum) 0;
	failure = oss_image_failure(&spec.image);
	if (failure == NULL && oss_detect_keep)
		oss_detect_keep(args, nulls, &spec);
	rows = failure != NULL ? oss_detect_failure_rows(failure, is_try) :
		oss_detect_rows(oss_detect_run_alone(which, &spec, &group), is_try, 0);
	oss_detect_add_rows(&result, rows);
	if (group != NULL)
		oss_group_free(group);
	return (Datum) 0;
}

/* detect(bucket, key, thr, version_id, server) */
Datum
oss_labels_detect(PG_FUNCTION_ARGS)
{
	return return_labels(fcinfo, OSS_DETECT);
}

/* try_detect(bucket, key, thr, version_id, server) */
Datum
oss_labels_try_detect(PG_FUNCTION_ARGS)
{
	return return_labels(fcinfo, OSS_TRY_DETECT);
}

/* detect_json(bucket, key, thr, version_id, server) */
Datum
oss_labels_detect_json(PG_FUNCTION_ARGS)
{
	Datum		args[DETECT_ARGUMENTS];
	bool		nulls[DETECT_ARGUMENTS];
	OssLabelsSpec spec;
	const OssFailure *failure;
	OssGroup   *group;
	OssRequest *request;
	Jsonb	   *answer;
	Datum		begun;

	if (oss_answer_begun && oss_answer_begun(OSS_DETECT_JSON, fcinfo, NULL, &begun))
		return begun;
	call_arguments(fcinfo, args, nulls);
	if (!oss_detect_spec(args, nulls, &spec))
		PG_RETURN_NULL();
	oss_image_check(&spec.image);
	if (oss_detect_keep)
		oss_detect_keep(args, nulls, &spec);
	request = oss_detect_run_alone(OSS_DETECT_JSON, &spec, &group);
	answer = oss_response_parse(request, NULL, &failure);
	if (answer == NULL)
		oss_failure_throw(failure);
	oss_group_free(group);
	PG_RETURN_JSONB_P(answer);
}
