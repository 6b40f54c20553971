/*-------------------------------------------------------------------------
 * search.c
 *	  Evaluating a label_query over all stored images, or for one.
 *
 * The images of each term are read as a set, and the query is evaluated for each
 * image of the sets.  If one operand of a conjunction has few images, all labels
 * of those are read instead.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "search/search.h"
#include "search/search_read.h"
#include "search/search_universe.h"
#include "search/unknown_name.h"
#include "utils/float.h"

/* Limit on the label rows of an operand for that. */
#define FEW_IMAGES	1000

/* Does an image match a term?  If so, sets *score. */
typedef bool (*TermMatches) (const LabelQueryNode *term, const void *image,
							 double *score);

/* By the image's labels. */
static bool
has_label(const LabelQueryNode *term, const void *arg, double *score)
{
	const ReadImage *image = arg;
	bool		found = false;
	ListCell   *lc;

	*score = get_float8_nan();
	foreach(lc, image->labels)
	{
		const ReadLabel *label = lfirst(lc);
		const char *name = term->parent ? label->parent : label->name;

		if (name == NULL || strcmp(name, term->name) != 0 ||
			!(term->has_min ? label->confidence >= term->min : label->counts))
			continue;
		found = true;
		*score = oss_score_or(*score, label->confidence);
	}
	return found;
}

/* Does an image match a query?  If so, sets *score. */
static bool
image_matches(const LabelQueryNode *node, TermMatches matches, const void *image,
			  double *score)
{
	bool		is_and = node->kind == LABEL_QUERY_AND;
	bool		found = is_and;
	ListCell   *lc;

	check_stack_depth();
	if (node->kind == LABEL_QUERY_TERM)
		return matches(node, image, score);
	*score = get_float8_nan();
	foreach(lc, node->args)
	{
		double		part_score;
		bool		part = image_matches(lfirst(lc), matches, image, &part_score);

		if (node->kind == LABEL_QUERY_NOT)
			return !part;
		if (is_and && !part)
			return false;
		if (part)
			*score = is_and ? oss_score_and(*score, part_score) :
				oss_score_or(*score, part_score);
		found |= part;
	}
	return found;
}

/* By the sets that are read side by side. */
static bool
is_in_set(const LabelQueryNode *term, const void *runs, double *score)
{
	return oss_runs_has(runs, term->number, score);
}

/* For an image that is in none of them. */
static bool
is_in_none(const LabelQueryNode *term, const void *image, double *score)
{
	return false;
}

/* Do two terms find the same? */
static bool
same_term(const LabelQueryNode *a, const LabelQueryNode *b)
{
	return a->parent == b->parent && a->has_min == b->has_min &&
		(!a->has_min || a->min == b->min) && strcmp(a->name, b->name) == 0;
}

/* Number a query's terms, equal ones alike.  Returns one of each number. */
static List *
number_terms(LabelQueryNode *query)
{
	List	   *distinct = NIL;
	ListCell   *lc;

	foreach(lc, oss_query_terms(query))
	{
		LabelQueryNode *term = lfirst(lc);
		ListCell   *before;

		CHECK_FOR_INTERRUPTS();
		term->number = 0;
		foreach(before, distinct)
		{
			if (same_term(lfirst(before), term))
				break;
			term->number++;
		}
		if (before == NULL)
			distinct = lappend(distinct, term);
	}
	return distinct;
}

/* Pass on the images that match a query. */
static void
search_all(LabelQueryNode *query, const char *scope, OssTakeHit take, void *arg)
{
	List	   *terms = number_terms(query);
	int			nterms = list_length(terms);
	ImageRuns  *runs = oss_runs_begin(nterms + 1);
	ListCell   *lc;
	int64		image_id;
	double		score;

	foreach(lc, terms)
		oss_runs_add(runs, foreach_current_index(lc), oss_read_term(lfirst(lc), -1, scope));
	if (image_matches(query, is_in_none, NULL, &score))
		oss_read_universe_runs(scope, runs, nterms);
	while (oss_runs_next(runs, &image_id))
	{
		CHECK_FOR_INTERRUPTS();
		if (image_matches(query, is_in_set, runs, &score))
			take(image_id, score, arg);
	}
	oss_runs_end(runs);
}

/*
 * Count the label rows of a term or an "or" of terms, up to a limit; -1 for
 * other nodes.
 */
static int64
count_part(const LabelQueryNode *node, int64 limit, const char *scope)
{
	int64		sum = 0;
	ListCell   *lc;

	if (node->kind == LABEL_QUERY_TERM)
		return oss_count_term(node, limit, scope);
	if (node->kind != LABEL_QUERY_OR)
		return -1;
	foreach(lc, node->args)
	{
		int64		n = count_part(lfirst(lc), limit, scope);

		if (n < 0)
			return -1;
		sum += n;
	}
	return sum;
}

/* Return an operand of a conjunction that matches few images, or NULL. */
static LabelQueryNode *
find_few(LabelQueryNode *query, const char *scope)
{
	ListCell   *lc;

	if (query->kind != LABEL_QUERY_AND)
		return NULL;
	foreach(lc, query->args)
	{
		int64		n = count_part(lfirst(lc), FEW_IMAGES + 1, scope);

		if (n >= 0 && n <= FEW_IMAGES)
			return lfirst(lc);
	}
	return NULL;
}

/* Pass on the images of a set that match a query. */
static void
filter_by_query(const LabelQueryNode *query, const ImageSet *candidates,
				OssTakeHit take, void *arg)
{
	int64	   *ids = palloc(sizeof(int64) * Max(candidates->n, 1));
	ListCell   *lc;

	for (int64 i = 0; i < candidates->n; i++)
		ids[i] = candidates->hits[i].image_id;
	foreach(lc, oss_read_images(ids, candidates->n))
	{
		const ReadImage *image = lfirst(lc);
		double		score;

		if (image_matches(query, has_label, image, &score))
			take(image->image_id, score, arg);
	}
}

/* Add an image to a set. */
static void
take_candidate(int64 image_id, double score, void *builder)
{
	oss_image_set_add(builder, image_id, score);
}

void
oss_search_images(LabelQueryNode *query, int64 most, const char *scope,
				  OssTakeHit take, void *arg)
{
	LabelQueryNode *few;
	ImageSetBuilder builder;
	ImageSet	set;

	oss_report_unknown(oss_query_terms(query));
	oss_resolve_query(query);
	if (scope != NULL)
	{
		set = oss_read_universe(scope, FEW_IMAGES + 1);
		if (set.n <= FEW_IMAGES)
		{
			filter_by_query(query, &set, take, arg);
			return;
		}
	}
	if (query->kind == LABEL_QUERY_TERM)
	{
		set = oss_read_term(query, most, scope);
		for (int64 i = 0; i < set.n; i++)
			take(set.hits[i].image_id, set.hits[i].score, arg);
		return;
	}
	few = find_few(query, scope);
	if (few == NULL)
	{
		search_all(query, scope, take, arg);
		return;
	}
	oss_image_set_begin(&builder);
	search_all(few, scope, take_candidate, &builder);
	set = oss_image_set_finish(&builder);
	filter_by_query(query, &set, take, arg);
}

/* Receiver of images that are not stored by the id of a version. */
typedef struct Current
{
	ImageSet	versions;
	OssTakeHit	take;
	void	   *arg;
} Current;

/* Pass an image on unless it is stored by the id of a version. */
static void
take_current(int64 image_id, double score, void *arg)
{
	const Current *current = arg;

	if (!oss_image_set_has(&current->versions, image_id))
		current->take(image_id, score, current->arg);
}

void
oss_search_current(LabelQueryNode *query, int64 most, const char *scope,
				   OssTakeHit take, void *arg)
{
	Current		current = {oss_read_versions(), take, arg};

	if (most >= 0)
		most += Min(current.versions.n, PG_INT64_MAX - most);
	oss_search_images(query, most, scope, take_current, &current);
}

/* Read the labels of an image; NULL for one that is not stored. */
static const ReadImage *
read_image(int64 image_id)
{
	List	   *images = oss_read_images(&image_id, 1);

	return images == NIL ? NULL : linitial(images);
}

bool
oss_search_one(LabelQueryNode *query, int64 image_id)
{
	const ReadImage *image = read_image(image_id);
	double		score;

	oss_report_unknown(oss_query_terms(query));
	if (image == NULL)
		return false;
	oss_resolve_for_image(list_make1(query), image);
	return image_matches(query, has_label, image, &score);
}

void
oss_search_each(LabelQueryNode *const *queries, int n, int64 image_id,
				bool *matches)
{
	const ReadImage *image = read_image(image_id);
	List	   *given = NIL;

	memset(matches, 0, sizeof(bool) * n);
	for (int i = 0; i < n && image != NULL; i++)
	{
		if (queries[i] != NULL)
			given = lappend(given, queries[i]);
	}
	if (given != NIL)
		oss_resolve_for_image(given, image);
	for (int i = 0; i < n && image != NULL; i++)
	{
		double		score;

		CHECK_FOR_INTERRUPTS();
		matches[i] = queries[i] != NULL && image_matches(queries[i], has_label, image, &score);
	}
}
