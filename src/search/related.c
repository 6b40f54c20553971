/*-------------------------------------------------------------------------
 * related.c
 *	  rank_images(): stored images whose labels are most similar to given ones.
 *
 * Candidates are the images of the wanted labels with the highest weights, for
 * each label a bounded number of the most confident ones.  The best candidates
 * by the labels found so far are then compared exactly, with all their labels.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "client/utf8.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "lib/binaryheap.h"
#include "search/related_rank.h"
#include "search/search_scope.h"
#include "search/unknown_name.h"
#include "spi/column_array.h"
#include "spi/read_rows.h"
#include "spi/result_rows.h"
#include "spi/statement.h"
#include "store/coverage.h"
#include "store/rights.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/float.h"

PG_FUNCTION_INFO_V1(oss_labels_rank_images);

/* Label rows read per candidate, in total and of one label. */
#define ROWS_PER_CANDIDATE	16
#define LIST_PER_CANDIDATE	6

/* Limit on candidates, whatever max_rows. */
#define MOST_CANDIDATES		100000

/* All labels with their rarity, and what they are read as. */
#define READ_RARITIES \
	"SELECT r.label_name, r.rarity, v.label_id, v.min_confidence " \
	"FROM oss_labels.label_rarity() r JOIN oss_labels.vocabulary v " \
	"ON v.shown AND v.effective_name = r.label_name"

/* Replace aliases by the names of their labels. */
#define READ_ALIASES \
	"SELECT w.n, a.label_name FROM unnest($1) WITH ORDINALITY AS w (name, n) " \
	"JOIN oss_labels.label_alias a ON a.alias_name = w.name"

/*
 * The images in which some labels count, most confident first.  The first condition
 * looks up one image at a time, the second leaves the choice to the planner.
 */
#define READ_LISTS \
	"SELECT w.n, p.image_id, p.label_confidence " \
	"FROM ROWS FROM (unnest($1), unnest($2)) WITH ORDINALITY AS w (name, most, n) " \
	"JOIN oss_labels.vocabulary v ON v.shown AND v.effective_name = w.name " \
	"CROSS JOIN LATERAL ((SELECT x.image_id, x.label_confidence " \
	"FROM oss_labels.image_label x WHERE x.label_id = v.label_id " \
	"AND x.label_confidence >= coalesce(v.min_confidence, oss_labels.read_threshold())%1$s " \
	"ORDER BY x.label_confidence DESC LIMIT w.most) UNION ALL " \
	"(SELECT x.image_id, NULL FROM oss_labels.image_label x WHERE x.label_id = v.label_id " \
	"AND x.label_confidence IS NULL AND coalesce(v.min_confidence, 0) = 0%1$s " \
	"LIMIT w.most) UNION ALL " \
	"(SELECT x.image_id, x.label_confidence " \
	"FROM oss_labels.label_correction x WHERE x.label_id = v.label_id AND x.added%2$s " \
	"ORDER BY x.label_confidence DESC LIMIT w.most)) p"

/* Images stored by the id of a version are not candidates. */
#define ONLY_CURRENT \
	" AND (SELECT false FROM oss_labels.image i WHERE i.image_id = x.image_id " \
	"AND i.version_id IS NOT NULL) IS NULL"
#define ANY_VERSION \
	"SELECT EXISTS (SELECT FROM oss_labels.image WHERE version_id IS NOT NULL)"

/*
 * The labels of images, and their corrections: effective_image_label would look up
 * each of them.
 */
#define READ_PARTS \
	"SELECT image_id, label_id, label_confidence, centric_score " \
	"FROM oss_labels.image_label WHERE image_id = ANY ($1)"
#define READ_CORRECTIONS \
	"SELECT DISTINCT ON (c.image_id, v.effective_name) c.image_id, c.label_id, " \
	"c.label_confidence, NULL::float8, c.added " \
	"FROM oss_labels.label_correction c " \
	"JOIN oss_labels.vocabulary v ON v.label_id = c.label_id " \
	"WHERE c.image_id = ANY ($1) " \
	"ORDER BY c.image_id, v.effective_name, c.corrected_at DESC, c.label_id DESC"

/* A label, after the house rules. */
typedef struct KnownLabel
{
	char	   *name;
	int			number;
	double		rarity;
	double		wanted;			/* weight times rarity; 0: not wanted */
	char		status;
} KnownLabel;

#define SH_PREFIX labels
#define SH_ELEMENT_TYPE KnownLabel
#define SH_KEY_TYPE char *
#define SH_KEY name
#define SH_HASH_KEY(table, key) \
	hash_bytes((const unsigned char *) (key), strlen(key))
#define SH_EQUAL(table, a, b) (strcmp(a, b) == 0)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* Meaning of a label_id in image_label. */
typedef struct LabelNumber
{
	int64		label_id;
	int			label;			/* KnownLabel.number */
	double		min_confidence; /* negative: no rule sets it */
	char		status;
} LabelNumber;

#define SH_PREFIX numbers
#define SH_ELEMENT_TYPE LabelNumber
#define SH_KEY_TYPE int64
#define SH_KEY label_id
#define SH_HASH_KEY(table, key) ((uint32) (key))
#define SH_EQUAL(table, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* A corrected label of an image. */
typedef struct CorrectedPart
{
	int64		image_id;
	int			label;
} CorrectedPart;

/*
 * A candidate: promise is the product of its labels found so far with the wanted
 * ones, square the square of their length.
 */
typedef struct Candidate
{
	int64		image_id;
	double		promise;
	double		square;
	char		status;
} Candidate;

#define SH_PREFIX candidates
#define SH_ELEMENT_TYPE Candidate
#define SH_KEY_TYPE int64
#define SH_KEY image_id
#define SH_HASH_KEY(table, key) \
	murmurhash32((uint32) (key) ^ (uint32) ((uint64) (key) >> 32))
#define SH_EQUAL(table, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/*
 * State of a ranking.  wanted are the wanted labels, best first once sorted;
 * norm is the length of the wanted vector.
 */
typedef struct Ranking
{
	MemoryContext context;
	struct labels_hash *labels;
	KnownLabel **by_number;
	struct numbers_hash *numbers;
	Datum	   *names;			/* wanted, as text */
	KnownLabel **wanted;
	int			nwanted;
	double		norm;
	bool		has_except;
	int64		except_id;
	int			most;			/* candidates */
	const char *scope;
	struct candidates_hash *candidates;
	CorrectedPart *corrected;	/* by image and label */
	int			ncorrected;
	RelatedPart *parts;
	int64		nparts;
	int64		room;
} Ranking;

/* Take a label, its rarity, and one of its numbers. */
static void
take_rarity(TupleTableSlot *slot, void *arg)
{
	Ranking    *ranking = arg;
	char	   *name = TextDatumGetCString(slot->tts_values[0]);
	bool		found;
	KnownLabel *label = labels_insert(ranking->labels, name, &found);
	LabelNumber *number;

	if (!found)
	{
		label->name = MemoryContextStrdup(ranking->context, name);
		label->number = ranking->labels->members;
		label->rarity = DatumGetFloat8(slot->tts_values[1]);
		label->wanted = 0;
	}
	number = numbers_insert(ranking->numbers, DatumGetInt64(slot->tts_values[2]), &found);
	number->label = label->number;
	number->min_confidence = slot->tts_isnull[3] ? -1 :
		DatumGetFloat8(slot->tts_values[3]);
}

/* Return the elements of an array argument; none for NULL. */
static Datum *
argument_elements(FunctionCallInfo fcinfo, int arg, Oid type, int16 length, bool by_value,
				  char align, bool **nulls, int *n)
{
	Datum	   *values;

	*n = 0;
	if (PG_ARGISNULL(arg))
		return NULL;
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(arg), type, length, by_value, align,
					  &values, nulls, n);
	return values;
}

/*
 * Add a wanted label; of equal ones the highest weight counts.  Returns false if
 * there is none of this name.
 */
static bool
want_label(Ranking *ranking, const char *name, double weight)
{
	KnownLabel *label = labels_lookup(ranking->labels, unconstify(char *, name));

	if (!isfinite(weight))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the weight of a label must be a finite number"),
				 errhint("Leave out labels without a weight.")));
	if (label == NULL || weight == 0)
		return label != NULL;
	if (label->wanted == 0)
		ranking->wanted[ranking->nwanted++] = label;
	else
		weight = Max(weight, label->wanted);
	label->wanted = weight;
	return true;
}

/*
 * Multiply weights with rarities.  Since a cosine does not depend on the
 * vector's length, the greatest weight is scaled to 1, so that nothing
 * overflows.
 */
static void
scale_wish(Ranking *ranking)
{
	double		greatest = 0;
	double		square = 0;

	for (int i = 0; i < ranking->nwanted; i++)
		greatest = Max(greatest, fabs(ranking->wanted[i]->wanted));
	for (int i = 0; i < ranking->nwanted; i++)
	{
		KnownLabel *label = ranking->wanted[i];

		label->wanted = label->wanted / greatest * label->rarity;
		square += label->wanted * label->wanted;
	}
	ranking->norm = sqrt(square);
}

/* Replace an alias by the name of its label. */
static void
take_alias(TupleTableSlot *slot, void *arg)
{
	Ranking    *ranking = arg;
	KnownLabel *label = labels_lookup(ranking->labels,
									  TextDatumGetCString(slot->tts_values[1]));

	MemoryContext row = MemoryContextSwitchTo(ranking->context);

	if (label != NULL)
		ranking->names[DatumGetInt64(slot->tts_values[0]) - 1] =
			CStringGetTextDatum(label->name);
	MemoryContextSwitchTo(row);
}

/* Read the wanted labels from the arguments. */
static void
read_wish(FunctionCallInfo fcinfo, Ranking *ranking)
{
	OssArguments arguments = {0};
	OssColumn	wanted;
	List	   *unknown = NIL;
	int			nnames;
	int			nweights;
	bool	   *no_name;
	bool	   *no_weight;
	Datum	   *names = argument_elements(fcinfo, 0, TEXTOID, -1, false, TYPALIGN_INT,
										  &no_name, &nnames);
	Datum	   *weights = argument_elements(fcinfo, 1, FLOAT8OID, sizeof(float8),
											FLOAT8PASSBYVAL, TYPALIGN_DOUBLE, &no_weight,
											&nweights);

	ranking->names = names;
	ranking->wanted = palloc(sizeof(KnownLabel *) * Max(nnames, 1));
	oss_column_init(&wanted, TEXTOID, Max(nnames, 1));
	for (int i = 0; i < nnames; i++)
	{
		if (!no_name[i])
			names[i] = PointerGetDatum(oss_nfc(DatumGetTextPP(names[i])));
		oss_column_add(&wanted, names[i], no_name[i]);
	}
	if (nnames > 0)
	{
		oss_add_argument(&arguments, TEXTARRAYOID, oss_column_array(&wanted));
		oss_read(READ_ALIASES, &arguments, take_alias, ranking);
	}
	for (int i = 0; i < Min(nnames, nweights); i++)
	{
		LabelQueryNode *term;

		if (no_name[i] || no_weight[i])
			continue;
		term = palloc0(sizeof(LabelQueryNode));
		term->name = TextDatumGetCString(names[i]);
		if (!want_label(ranking, term->name, DatumGetFloat8(weights[i])))
			unknown = lappend(unknown, term);
	}
	oss_report_unknown(unknown);
	scale_wish(ranking);
}

/* Order labels by their possible contribution to a score, descending. */
static int
compare_gains(const void *a, const void *b)
{
	const KnownLabel *left = *(KnownLabel *const *) a;
	const KnownLabel *right = *(KnownLabel *const *) b;
	double		left_gain = left->wanted * left->rarity;
	double		right_gain = right->wanted * right->rarity;

	if (left_gain != right_gain)
		return left_gain > right_gain ? -1 : 1;
	return strcmp(left->name, right->name);
}

/* Return a numeric column, NaN for null. */
static double
slot_number(const TupleTableSlot *slot, int i)
{
	return slot->tts_isnull[i] ? get_float8_nan() : DatumGetFloat8(slot->tts_values[i]);
}

/* Add an image of a label to the candidates. */
static void
take_label_image(TupleTableSlot *slot, void *arg)
{
	Ranking    *ranking = arg;
	const KnownLabel *label = ranking->wanted[DatumGetInt64(slot->tts_values[0]) - 1];
	int64		image_id = DatumGetInt64(slot->tts_values[1]);
	double		confidence = slot_number(slot, 2);
	double		weight = oss_related_weight(confidence, get_float8_nan()) * label->rarity;
	Candidate  *candidate;
	bool		found;

	if (ranking->has_except && image_id == ranking->except_id)
		return;
	candidate = candidates_insert(ranking->candidates, image_id, &found);
	if (!found)
		candidate->promise = candidate->square = 0;
	candidate->promise += label->wanted * weight;
	candidate->square += weight * weight;
}

/* Write the query for the images with labels. */
static const char *
make_lists_query(const Ranking *ranking)
{
	OssArguments arguments = {0};
	const char *current;

	oss_read(ANY_VERSION, &arguments, NULL, NULL);
	current = DatumGetBool(oss_result_column(0, 1, NULL)) ? ONLY_CURRENT : "";
	return psprintf(READ_LISTS,
					psprintf("%s%s", oss_scope_condition(ranking->scope, "x", true), current),
					psprintf("%s%s", oss_scope_condition(ranking->scope, "x", false), current));
}

/*
 * Find candidates.  The number of a label's images is derived from its
 * rarity, so that the number of rows read is bounded.
 */
static void
find_candidates(Ranking *ranking, double images)
{
	OssArguments arguments = {0};
	OssColumn	names;
	OssColumn	most;
	double		left = (double) ROWS_PER_CANDIDATE * ranking->most;

	qsort(ranking->wanted, ranking->nwanted, sizeof(KnownLabel *), compare_gains);
	oss_column_init(&names, TEXTOID, 32);
	oss_column_init(&most, INT8OID, 32);
	for (int i = 0; i < ranking->nwanted && left > 0; i++)
	{
		const KnownLabel *label = ranking->wanted[i];
		double		list = Min(left, (double) LIST_PER_CANDIDATE * ranking->most);

		if (label->wanted <= 0)
			break;
		oss_column_add_string(&names, label->name);
		oss_column_add(&most, Int64GetDatum((int64) ceil(list)), false);
		left -= Min(list, images / expm1(label->rarity));
	}
	oss_add_argument(&arguments, TEXTARRAYOID, oss_column_array(&names));
	oss_add_argument(&arguments, INT8ARRAYOID, oss_column_array(&most));
	oss_read(make_lists_query(ranking), &arguments, take_label_image, ranking);
}

/* Add an image of the scope to the candidates. */
static void
take_scope(TupleTableSlot *slot, void *arg)
{
	Ranking    *ranking = arg;
	int64		image_id = DatumGetInt64(slot->tts_values[0]);
	Candidate  *candidate;
	bool		found;

	if (ranking->has_except && image_id == ranking->except_id)
		return;
	candidate = candidates_insert(ranking->candidates, image_id, &found);
	candidate->promise = candidate->square = 0;
}

/*
 * Take all images of the scope as candidates, unless they exceed the limit.  Returns
 * false if they do.
 */
static bool
take_few(Ranking *ranking)
{
	OssArguments arguments = {0};

	if (ranking->scope == NULL)
		return false;
	oss_read(psprintf("SELECT i.image_id FROM oss_labels.image i WHERE %s "
					  "AND i.version_id IS NULL LIMIT %d",
					  ranking->scope, ranking->most + 1),
			 &arguments, take_scope, ranking);
	if (ranking->candidates->members <= ranking->most)
		return true;
	candidates_reset(ranking->candidates);
	return false;
}

/* Heap order: by promise, descending. */
static int
compare_candidates(Datum a, Datum b, void *arg)
{
	const Candidate *left = (const Candidate *) DatumGetPointer(a);
	const Candidate *right = (const Candidate *) DatumGetPointer(b);

	if (left->promise != right->promise)
		return left->promise < right->promise ? 1 : -1;
	return left->image_id < right->image_id ? -1 : left->image_id > right->image_id;
}

/*
 * Store the best candidates in an array of size most: those whose labels found so far
 * are most similar to the wanted ones.  Returns their number.
 */
static int
best_candidates(const Ranking *ranking, Datum *best, int most)
{
	binaryheap *heap = binaryheap_allocate(most, compare_candidates, NULL);
	candidates_iterator iterator;
	Candidate  *candidate;
	int			n = 0;

	candidates_start_iterate(ranking->candidates, &iterator);
	while ((candidate = candidates_iterate(ranking->candidates, &iterator)) != NULL)
	{
		Datum		datum = PointerGetDatum(candidate);

		if (candidate->square > 0)
			candidate->promise /= sqrt(candidate->square);
		if (n < most)
		{
			binaryheap_add(heap, datum);
			n++;
		}
		else if (compare_candidates(datum, binaryheap_first(heap), NULL) < 0)
			binaryheap_replace_first(heap, datum);
	}
	for (int i = 0; i < n; i++)
		best[i] = binaryheap_remove_first(heap);
	return n;
}

/* Return the ids of the candidates that promise most, as an array. */
static Datum
best_ids(const Ranking *ranking)
{
	int			most = Max(Min(ranking->most, ranking->candidates->members), 1);
	Datum	   *best = palloc(sizeof(Datum) * most);
	int			n = best_candidates(ranking, best, most);
	OssColumn	ids;

	oss_column_init(&ids, INT8OID, n);
	for (int i = 0; i < n; i++)
	{
		const Candidate *candidate = (Candidate *) DatumGetPointer(best[i]);

		oss_column_add(&ids, Int64GetDatum(candidate->image_id), false);
	}
	return oss_column_array(&ids);
}

/* Order corrected labels by image and label. */
static int
compare_corrected(const void *a, const void *b)
{
	const CorrectedPart *left = a;
	const CorrectedPart *right = b;

	if (left->image_id != right->image_id)
		return left->image_id < right->image_id ? -1 : 1;
	return left->label - right->label;
}

/* Add a label of a candidate, whose confidence and prominence are in a row. */
static void
add_part(Ranking *ranking, const TupleTableSlot *slot, int number)
{
	const KnownLabel *label = ranking->by_number[number];
	RelatedPart *part;

	if (ranking->nparts == ranking->room)
	{
		ranking->room *= 2;
		ranking->parts = repalloc_huge(ranking->parts,
									   sizeof(RelatedPart) * ranking->room);
	}
	part = &ranking->parts[ranking->nparts++];
	part->image_id = DatumGetInt64(slot->tts_values[0]);
	part->label = number;
	part->weight = oss_related_weight(slot_number(slot, 2), slot_number(slot, 3)) * label->rarity;
	part->wanted = label->wanted;
}

/* Apply a correction to a label of a candidate. */
static void
take_corrected_part(TupleTableSlot *slot, void *arg)
{
	Ranking    *ranking = arg;
	LabelNumber *number = numbers_lookup(ranking->numbers,
										 DatumGetInt64(slot->tts_values[1]));

	if (number == NULL)
		return;
	if (ranking->corrected == NULL)
		ranking->corrected = MemoryContextAlloc(ranking->context,
												sizeof(CorrectedPart) * 64);
	else if (ranking->ncorrected >= 64 &&
			 (ranking->ncorrected & (ranking->ncorrected - 1)) == 0)
		ranking->corrected = repalloc_huge(ranking->corrected, sizeof(CorrectedPart) *
										   2 * (Size) ranking->ncorrected);
	ranking->corrected[ranking->ncorrected++] = (CorrectedPart)
	{
		DatumGetInt64(slot->tts_values[0]), number->label
	};
	if (DatumGetBool(slot->tts_values[4]))
		add_part(ranking, slot, number->label);
}

/* Take a label of a candidate, unless a rule hides it or it was corrected. */
static void
take_part(TupleTableSlot *slot, void *arg)
{
	Ranking    *ranking = arg;
	LabelNumber *number = numbers_lookup(ranking->numbers,
										 DatumGetInt64(slot->tts_values[1]));
	CorrectedPart wanted;

	if (number == NULL ||
		(number->min_confidence < 0 && slot_number(slot, 2) < oss_read_threshold) ||
		(number->min_confidence > 0 && !(slot_number(slot, 2) >= number->min_confidence)))
		return;
	wanted.image_id = DatumGetInt64(slot->tts_values[0]);
	wanted.label = number->label;
	if (ranking->ncorrected == 0 ||
		bsearch(&wanted, ranking->corrected, ranking->ncorrected, sizeof(wanted),
				compare_corrected) == NULL)
		add_part(ranking, slot, number->label);
}

/* Read all labels of the best candidates. */
static void
read_parts(Ranking *ranking)
{
	OssArguments arguments = {0};

	ranking->room = 8192;
	ranking->parts = palloc(sizeof(RelatedPart) * ranking->room);
	oss_add_argument(&arguments, INT8ARRAYOID, best_ids(ranking));
	oss_read(READ_CORRECTIONS, &arguments, take_corrected_part, ranking);
	if (ranking->ncorrected > 1)
		qsort(ranking->corrected, ranking->ncorrected, sizeof(CorrectedPart),
			  compare_corrected);
	oss_read(READ_PARTS, &arguments, take_part, ranking);
}

/* Initialize a ranking with all labels and their rarities. */
static void
begin_ranking(Ranking *ranking, FunctionCallInfo fcinfo)
{
	OssArguments arguments = {0};
	labels_iterator iterator;
	KnownLabel *label;

	ranking->context = CurrentMemoryContext;
	ranking->labels = labels_create(ranking->context, 4096, NULL);
	ranking->numbers = numbers_create(ranking->context, 4096, NULL);
	ranking->candidates = candidates_create(ranking->context, 32768, NULL);
	ranking->has_except = !PG_ARGISNULL(2);
	if (ranking->has_except)
		ranking->except_id = PG_GETARG_INT64(2);
	oss_read(READ_RARITIES, &arguments, take_rarity, ranking);
	ranking->by_number = palloc(sizeof(KnownLabel *) * (ranking->labels->members + 1));
	labels_start_iterate(ranking->labels, &iterator);
	while ((label = labels_iterate(ranking->labels, &iterator)) != NULL)
		ranking->by_number[label->number] = label;
}

/*
 * Return the estimated number of images that the rarities are based on.  For a
 * caller who may not read all images, those of others must not count.
 */
static double
count_images(void)
{
	OssArguments arguments = {0};

	oss_read(oss_rights_reads_all() ?
			 "SELECT greatest(reltuples, 1)::float8 FROM pg_class "
			 "WHERE oid = 'oss_labels.image'::regclass" :
			 "SELECT greatest(count(*), 1)::float8 FROM "
			 "(SELECT FROM oss_labels.image LIMIT 10000) i", &arguments, NULL, NULL);
	return DatumGetFloat8(oss_result_column(0, 1, NULL));
}

/*
 * rank_images(names, weights, except_id, max_rows, max_likeness, candidates,
 * bucket, prefix)
 */
Datum
oss_labels_rank_images(PG_FUNCTION_ARGS)
{
	OssResult	result = oss_result_begin(fcinfo);
	int			max_rows = oss_related_max_rows(fcinfo, 3);
	double		max_likeness = oss_related_max_likeness(fcinfo, 4);
	Ranking		ranking = {0};
	OssStatementState state;
	RelatedImage *images;
	int			n;

	ranking.most = PG_ARGISNULL(5) ? 0 : Max(PG_GETARG_INT32(5), 0);
	if (!PG_ARGISNULL(3))
		ranking.most = Max(ranking.most, Min(max_rows, MOST_CANDIDATES / 2) * 2);
	oss_statement_begin(&state, OSS_STATEMENT_CALLER);
	begin_ranking(&ranking, fcinfo);
	read_wish(fcinfo, &ranking);
	ranking.scope = oss_search_scope(fcinfo, 6);
	if (!take_few(&ranking))
		find_candidates(&ranking, count_images());
	read_parts(&ranking);
	images = oss_related_make_images(ranking.parts, ranking.nparts, ranking.norm, &n);
	n = oss_related_rank(images, n, max_rows, max_likeness);
	for (int i = 0; i < n; i++)
	{
		Datum		values[2];
		bool		nulls[] = {false, false};

		values[0] = Int64GetDatum(images[i].image_id);
		values[1] = Float8GetDatum(images[i].score);
		oss_result_add(&result, values, nulls);
	}
	oss_statement_end(&state);
	return (Datum) 0;
}
