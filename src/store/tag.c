/*-------------------------------------------------------------------------
 * tag.c
 *	  tag() and labels_of().
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "client/labels_response.h"
#include "client/usage.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "protocol/image_labels.h"
#include "spi/statement.h"
#include "store/coverage.h"
#include "store/tag_stored.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(oss_labels_tag);
PG_FUNCTION_INFO_V1(oss_labels_try_tag);
PG_FUNCTION_INFO_V1(oss_labels_labels_of);

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
	OssKeep    *keep;
	OssGroup   *group;
	DetectRows *rows;

	oss_stored_check_taken(wish, spec->server);
	keep = oss_stored_hand_on(wish, spec, flight);
	arrival.request = oss_detect_run_alone(is_try ? OSS_TRY_TAG : OSS_TAG, spec, &group);
	if (keep == NULL || !keep->handed)
		oss_stored_keep(&arrival, 1);
	rows = oss_detect_rows(arrival.request, is_try, wish->least);
	oss_group_free(group);
	return rows;
}

/*
 * Return the labels of an image without a stored answer: from another process's
 * request in flight, or from ours.
 */
static DetectRows *
share_or_ask(OssLabelsSpec *spec, const OssWish *wish, bool is_try)
{
	for (;;)
	{
		OssFlight  *flight = oss_stored_board(wish, spec->server);
		DetectRows *rows;

		if (flight == NULL || oss_flight_state(flight, NULL) == OSS_FLIGHT_OURS)
		{
			rows = oss_stored_may_have_come() ? oss_stored_find(wish, is_try) : NULL;
			if (rows == NULL)
				return ask_service(spec, wish, flight, is_try);
			if (flight != NULL)
				oss_flight_end(flight);
			oss_usage_free(OSS_USAGE_SHARED, spec->server->name, spec->server->userid,
						   wish->image.bucket, 1);
			return rows;
		}
		while (oss_flight_state(flight, NULL) == OSS_FLIGHT_ASKED)
		{
			if (!oss_flight_wait(flight, FLIGHT_MS))
				return ask_service(spec, wish, NULL, is_try);
		}
		rows = oss_stored_share(wish, flight, is_try);
		if (rows == NULL)
			rows = oss_stored_find(wish, is_try);
		if (rows != NULL)
		{
			oss_usage_free(OSS_USAGE_SHARED, spec->server->name, spec->server->userid,
						   wish->image.bucket, 1);
			return rows;
		}
		if (oss_flight_state(flight, NULL) == OSS_FLIGHT_ANSWERED)
			oss_flight_end(flight);
	}
}

/* Return the labels of one image as a set. */
static Datum
return_tagged(FunctionCallInfo fcinfo, OssFunction which)
{
	bool		is_try = which == OSS_TRY_TAG;
	OssResult	result = oss_result_begin(fcinfo);
	Datum		args[TAG_ARGUMENTS];
	bool		nulls[TAG_ARGUMENTS];
	OssWish		wish;
	OssLabelsSpec spec;
	const OssFailure *failure;
	DetectRows *rows;

	if (oss_answer_begun && oss_answer_begun(which, fcinfo, &result, NULL))
		return (Datum) 0;
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
	else if ((rows = oss_stored_find(&wish, is_try)) != NULL)
		oss_usage_free(OSS_USAGE_STORED_HITS, wish.server, GetUserId(), wish.image.bucket, 1);
	else
	{
		(void) oss_detect_spec(args, nulls, &spec);
		oss_server_pin_in_context(spec.server);
		oss_stored_ask_for_all(&wish, &spec);
		rows = share_or_ask(&spec, &wish, is_try);
	}
	oss_detect_add_rows(&result, rows);
	return (Datum) 0;
}

/* tag(bucket, key, thr, version_id, server, max_age) */
Datum
oss_labels_tag(PG_FUNCTION_ARGS)
{
	return return_tagged(fcinfo, OSS_TAG);
}

/* try_tag(bucket, key, thr, version_id, server, max_age) */
Datum
oss_labels_try_tag(PG_FUNCTION_ARGS)
{
	return return_tagged(fcinfo, OSS_TRY_TAG);
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
	double		least = PG_ARGISNULL(2) ? oss_read_threshold : PG_GETARG_FLOAT8(2);
	Jsonb	   *answer;

	if (!oss_thr_valid(least))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("thr must be a number from 0 to 1"),
				 errhint("Give the least confidence of the labels that are wanted, or NULL for oss_labels.read_threshold.")));
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		return (Datum) 0;
	answer = read_answer(fcinfo);
	if (answer != NULL)
		oss_detect_add_rows(&result, oss_detect_document_rows(answer, least, false));
	return (Datum) 0;
}
