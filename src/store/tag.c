/*-------------------------------------------------------------------------
 * tag.c
 *	  tag(), labels_of() and import_labels().
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "client/labels_response.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "protocol/image_labels.h"
#include "spi/statement.h"
#include "store/tag_stored.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(oss_labels_tag);
PG_FUNCTION_INFO_V1(oss_labels_try_tag);
PG_FUNCTION_INFO_V1(oss_labels_labels_of);
PG_FUNCTION_INFO_V1(oss_labels_import_labels);

/* How long to wait for somebody else's request before we look again. */
#define FLIGHT_MS 1000

/* Ask the service, and keep the answer. */
static DetectRows *
ask_service(OssLabelsSpec *spec, const OssWish *wish, OssFlight *flight, bool is_try)
{
	OssArrival	arrival = {
		.wish = wish,
		.asked_at = GetCurrentTimestamp()
	};
	OssKeep    *keep = oss_stored_hand_on(wish, spec, flight);
	OssGroup   *group;
	DetectRows *rows;

	arrival.request = oss_detect_run(spec, &group);
	if (keep == NULL || !keep->handed)
		oss_stored_keep(&arrival, 1);
	rows = oss_detect_rows(arrival.request, is_try);
	oss_group_free(group);
	return rows;
}

/*
 * Return the labels of an image of which no answer is stored: somebody else's, who
 * asks for it just now, or ours.
 */
static DetectRows *
share_or_ask(OssLabelsSpec *spec, const OssWish *wish, bool is_try)
{
	for (;;)
	{
		OssFlight  *flight = oss_stored_board(wish, spec->server);
		DetectRows *rows;

		if (flight == NULL || oss_flight_state(flight, NULL) == OSS_FLIGHT_OURS)
			return ask_service(spec, wish, flight, is_try);
		while (oss_flight_state(flight, NULL) == OSS_FLIGHT_ASKED)
		{
			if (!oss_flight_wait(flight, FLIGHT_MS))
				return ask_service(spec, wish, NULL, is_try);
		}
		rows = oss_stored_share(wish, flight, is_try);
		if (rows == NULL)
			rows = oss_stored_find(wish, is_try);
		if (rows != NULL)
			return rows;
		if (oss_flight_state(flight, NULL) == OSS_FLIGHT_ANSWERED)
			oss_flight_end(flight);
	}
}

/* Return the labels of one image as a set. */
static Datum
return_tagged(FunctionCallInfo fcinfo, bool is_try)
{
	OssResult	result = oss_result_begin(fcinfo);
	Datum		args[TAG_ARGUMENTS];
	bool		nulls[TAG_ARGUMENTS];
	OssWish		wish;
	OssLabelsSpec spec;
	const OssFailure *failure;
	DetectRows *rows;

	for (int i = 0; i < TAG_ARGUMENTS; i++)
	{
		args[i] = fcinfo->args[i].value;
		nulls[i] = fcinfo->args[i].isnull;
	}
	if (!oss_stored_wish(args, nulls, true, &wish))
		return (Datum) 0;
	failure = oss_stored_check_wish(&wish, is_try);
	if (failure != NULL)
		rows = oss_detect_failure_rows(failure, is_try);
	else if ((rows = oss_stored_find(&wish, is_try)) == NULL)
	{
		(void) oss_detect_spec(args, nulls, &spec);
		oss_server_pin_in_context(spec.server);
		rows = share_or_ask(&spec, &wish, is_try);
	}
	oss_detect_add_rows(&result, rows);
	return (Datum) 0;
}

/* tag(bucket, key, thr, version_id, server, max_age) */
Datum
oss_labels_tag(PG_FUNCTION_ARGS)
{
	return return_tagged(fcinfo, false);
}

/* try_tag(bucket, key, thr, version_id, server, max_age) */
Datum
oss_labels_try_tag(PG_FUNCTION_ARGS)
{
	return return_tagged(fcinfo, true);
}

/*
 * Return the stored answer of an image, read with the caller's rights, or
 * NULL.
 */
static Jsonb *
read_answer(FunctionCallInfo fcinfo)
{
	static OssPlan read = {
		"SELECT response FROM oss_labels.image "
		"WHERE image_id OPERATOR(pg_catalog.=) "
		"oss_labels.image_id($1, $2, $3) "
		"AND bucket OPERATOR(pg_catalog.=) $1 "
		"AND key OPERATOR(pg_catalog.=) $2 "
		"AND (version_id OPERATOR(pg_catalog.=) $3 "
		"OR (version_id IS NULL AND $3 IS NULL))",
		3, {TEXTOID, TEXTOID, TEXTOID}, OSS_PLAN_READ
	};
	Datum		values[] = {PG_GETARG_DATUM(0), PG_GETARG_DATUM(1), PG_GETARG_DATUM(3)};
	const char	nulls[] = {' ', ' ', PG_ARGISNULL(3) ? 'n' : ' '};
	Jsonb	   *answer = NULL;
	OssStatementState state;

	oss_statement_begin(&state, OSS_STATEMENT_CALLER);
	if (oss_statement_execute(&read, values, nulls, SPI_OK_SELECT) > 0)
		answer = DatumGetJsonbPCopy(oss_result_column(0, 1, NULL));
	oss_statement_end(&state);
	return answer;
}

/* labels_of(bucket, key, thr, version_id) */
Datum
oss_labels_labels_of(PG_FUNCTION_ARGS)
{
	OssResult	result = oss_result_begin(fcinfo);
	double		least = PG_ARGISNULL(2) ? 0 : PG_GETARG_FLOAT8(2);
	Jsonb	   *answer;

	if (!oss_thr_valid(least))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("thr must be a number from 0 to 1")));
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		return (Datum) 0;
	answer = read_answer(fcinfo);
	if (answer != NULL)
		oss_detect_add_rows(&result, oss_detect_document_rows(answer, least, false));
	return (Datum) 0;
}

static JsonbValue *
document_field(const Jsonb *object, const char *name, JsonbValue *value)
{
	if (!JB_ROOT_IS_OBJECT(object))
		return NULL;
	return getKeyJsonValueFromContainer(unconstify(JsonbContainer *, &object->root),
										name, strlen(name), value);
}

/* Return a field that is an object or array, or NULL. */
static Jsonb *
container_field(const Jsonb *object, const char *name)
{
	JsonbValue	value;

	if (document_field(object, name, &value) == NULL || value.type != jbvBinary)
		return NULL;
	return JsonbValueToJsonb(&value);
}

static bool
has_array(const Jsonb *object, const char *name)
{
	const Jsonb *array = container_field(object, name);

	return array != NULL && JB_ROOT_IS_ARRAY(array);
}

/*
 * Return a document with Labels: the given one, the one in its field "body",
 * as the SDKs save it, or one converted from the Tags of imm/tagimage, which
 * it keeps.  Returns NULL for other documents.
 */
static Jsonb *
labels_document(Jsonb *document)
{
	static OssPlan convert = {
		"SELECT $1 OPERATOR(pg_catalog.||) pg_catalog.jsonb_build_object('Labels', "
		"coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_strip_nulls("
		"pg_catalog.jsonb_build_object("
		"'LabelName', t.value OPERATOR(pg_catalog.->) 'TagName', "
		"'ParentLabelName', t.value OPERATOR(pg_catalog.->) 'ParentTagName', "
		"'LabelLevel', t.value OPERATOR(pg_catalog.->) 'TagLevel', "
		"'LabelConfidence', t.value OPERATOR(pg_catalog.->) 'TagConfidence')) "
		"ORDER BY t.ordinality), '[]')) "
		"FROM pg_catalog.jsonb_array_elements($1 OPERATOR(pg_catalog.->) 'Tags') "
		"WITH ORDINALITY t WHERE pg_catalog.jsonb_typeof(t.value) "
		"OPERATOR(pg_catalog.=) 'object'",
		1, {JSONBOID}
	};
	Jsonb	   *body = container_field(document, "body");
	OssStatementState state;
	Datum		value;

	if (body != NULL && !has_array(document, "Labels"))
		document = body;
	if (has_array(document, "Labels"))
		return document;
	if (!has_array(document, "Tags"))
		return NULL;
	value = JsonbPGetDatum(document);
	oss_statement_begin(&state, OSS_STATEMENT_CALLER);
	oss_statement_execute(&convert, &value, NULL, SPI_OK_SELECT);
	document = DatumGetJsonbPCopy(oss_result_column(0, 1, NULL));
	oss_statement_end(&state);
	return document;
}

/* Check that confidences are from 0 to 1.  Errors: 22023. */
static void
check_confidences(Jsonb *document)
{
	OssLabel   *labels;
	int			n = oss_response_labels(document, false, &labels);

	for (int i = 0; i < n; i++)
	{
		if (labels[i].has_confidence &&
			!(labels[i].confidence >= 0 && labels[i].confidence <= 1))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("document has a confidence of %g", labels[i].confidence),
					 errdetail("A confidence is a number from 0 to 1.")));
	}
}

/*
 * Set a missing bucket or key from the document's ImageUri,
 * "oss://bucket/key".
 */
static void
read_uri(const Jsonb *document, OssImage *image)
{
	JsonbValue	value;
	char	   *uri;
	char	   *slash;

	if (document_field(document, "ImageUri", &value) == NULL || value.type != jbvString)
		return;
	uri = pnstrdup(value.val.string.val, value.val.string.len);
	if (strncmp(uri, "oss://", 6) != 0 || (slash = strchr(uri + 6, '/')) == NULL)
		return;
	if (image->bucket == NULL)
		image->bucket = pnstrdup(uri + 6, slash - uri - 6);
	if (image->key == NULL)
		image->key = slash + 1;
}

static char *
string_argument(FunctionCallInfo fcinfo, int i)
{
	return PG_ARGISNULL(i) ? NULL : TextDatumGetCString(PG_GETARG_DATUM(i));
}

/*
 * Return the time of a document, now for NULL.  A little clock difference is
 * tolerated; a time in the future would make the labels newer than all later
 * ones.  Errors: 22023.
 */
static TimestampTz
import_time(FunctionCallInfo fcinfo, int i)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz given = PG_ARGISNULL(i) ? now : PG_GETARG_TIMESTAMPTZ(i);

	if (given > now && given - now > USECS_PER_MINUTE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("tagged_at must not be in the future"),
				 errhint("Give the time at which the service was asked, or NULL for now.")));
	return Min(now, given);
}

/* import_labels(document, bucket, key, thr, version_id, tagged_at) */
Datum
oss_labels_import_labels(PG_FUNCTION_ARGS)
{
	OssWish		wish = {0};
	Jsonb	   *document;

	if (PG_ARGISNULL(0))
		PG_RETURN_BOOL(false);
	document = labels_document(PG_GETARG_JSONB_P(0));
	if (document == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("document holds neither Labels nor Tags"),
				 errhint("Give the answer of image/labels, of DetectImageLabels or of imm/tagimage.")));
	check_confidences(document);
	wish.image.bucket = string_argument(fcinfo, 1);
	wish.image.key = string_argument(fcinfo, 2);
	read_uri(document, &wish.image);
	if (wish.image.bucket == NULL || wish.image.key == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("bucket and key must be given"),
				 errdetail("The document has no ImageUri of the form oss://bucket/key.")));
	wish.image.has_thr = !PG_ARGISNULL(3);
	wish.image.thr = wish.image.has_thr ? PG_GETARG_FLOAT8(3) : 0;
	wish.image.version_id = string_argument(fcinfo, 4);
	(void) oss_stored_check_wish(&wish, false);
	PG_RETURN_BOOL(oss_stored_keep_document(&wish, document, import_time(fcinfo, 5)));
}
