/*-------------------------------------------------------------------------
 * profile.c
 *	  The aggregate profile(): weights of labels, from the labels of the images
 *	  that somebody looked at.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "common/hashfn.h"
#include "compat.h"
#include "fmgr.h"
#include "search/related_rank.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

PG_FUNCTION_INFO_V1(oss_labels_profile_add);
PG_FUNCTION_INFO_V1(oss_labels_profile_result);
PG_FUNCTION_INFO_V1(oss_labels_check_profile);

/* A label and the sum of its weights. */
typedef struct Liking
{
	char	   *name;
	double		weight;
	char		status;
} Liking;

#define SH_PREFIX likings
#define SH_ELEMENT_TYPE Liking
#define SH_KEY_TYPE char *
#define SH_KEY name
#define SH_HASH_KEY(table, key) \
	hash_bytes((const unsigned char *) (key), strlen(key))
#define SH_EQUAL(table, a, b) (strcmp(a, b) == 0)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

static double
number_argument(FunctionCallInfo fcinfo, int i)
{
	return PG_ARGISNULL(i) ? get_float8_nan() : PG_GETARG_FLOAT8(i);
}

/* Transition function: (state, label_name, confidence, centric, weight) */
Datum
oss_labels_profile_add(PG_FUNCTION_ARGS)
{
	struct likings_hash *likings;
	MemoryContext context;
	Liking	   *liking;
	char	   *name;
	bool		found;

	if (!AggCheckCallContext(fcinfo, &context))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("profile_add() works in the aggregate profile() only"),
				 errhint("Call the aggregate profile().")));
	likings = PG_ARGISNULL(0) ? likings_create(context, 64, NULL) :
		(struct likings_hash *) PG_GETARG_POINTER(0);
	if (PG_ARGISNULL(1) || PG_ARGISNULL(4))
		PG_RETURN_POINTER(likings);
	name = TextDatumGetCString(PG_GETARG_DATUM(1));
	liking = likings_insert(likings, name, &found);
	if (!found)
	{
		liking->name = MemoryContextStrdup(context, name);
		liking->weight = 0;
	}

	liking->weight += PG_GETARG_FLOAT8(4) *
		oss_related_weight(number_argument(fcinfo, 2), number_argument(fcinfo, 3));
	PG_RETURN_POINTER(likings);
}

static void
push_pair(OssJsonbState *state, const Liking *liking)
{
	JsonbValue	value;

	value.type = jbvString;
	value.val.string.val = liking->name;
	value.val.string.len = strlen(liking->name);
	oss_push_jsonb(state, WJB_KEY, &value);
	value.type = jbvNumeric;
	value.val.numeric = DatumGetNumeric(DirectFunctionCall1(float8_numeric,
															Float8GetDatum(liking->weight)));
	oss_push_jsonb(state, WJB_VALUE, &value);
}

/* Final function: (state) -> jsonb object of labels and weights */
Datum
oss_labels_profile_result(PG_FUNCTION_ARGS)
{
	OssJsonbState state = {0};
	likings_iterator iterator;
	struct likings_hash *likings;
	Liking	   *liking;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	likings = (struct likings_hash *) PG_GETARG_POINTER(0);
	oss_push_jsonb(&state, WJB_BEGIN_OBJECT, NULL);
	likings_start_iterate(likings, &iterator);
	while ((liking = likings_iterate(likings, &iterator)) != NULL)
	{
		/* JSON has no infinity */
		if (isfinite(liking->weight))
			push_pair(&state, liking);
	}
	oss_push_jsonb(&state, WJB_END_OBJECT, NULL);
	PG_RETURN_JSONB_P(JsonbValueToJsonb(state.result));
}

static void
refuse_profile(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("the profile is not an object of numbers"),
			 errdetail_internal("%s", detail),
			 errhint("Give labels with their weights, such as {\"Dog\": 1.5}, as oss_labels.profile() makes them.")));
}

/* check_profile(profile): returns it.  A weight may be the text of a number, or null. */
Datum
oss_labels_check_profile(PG_FUNCTION_ARGS)
{
	Jsonb	   *profile = PG_GETARG_JSONB_P(0);
	JsonbIterator *it = JsonbIteratorInit(&profile->root);
	JsonbIteratorToken token;
	JsonbValue	value;

	if (!JB_ROOT_IS_OBJECT(profile))
		refuse_profile("It is an array or a single value.");
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_VALUE && (value.type == jbvBinary || value.type == jbvBool))
			refuse_profile("A weight is an object, an array or a boolean.");
	}
	PG_RETURN_JSONB_P(profile);
}
