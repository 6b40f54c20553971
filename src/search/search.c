/*-------------------------------------------------------------------------
 * search.c
 *	  Evaluating a label_query over all stored images, or for one.
 *
 * Over all images, the images of each label are read as a set, and the sets are
 * combined.  If one operand of a conjunction has few images, all labels of
 * those are read instead, and the query is evaluated for each.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "miscadmin.h"
#include "search/search_read.h"
#include "search/unknown_name.h"
#include "utils/float.h"

/* Limit on the label rows of an operand for that. */
#define FEW_IMAGES	1000

/* A term of a search, and how many of its nodes are still to be evaluated. */
typedef struct SharedTerm
{
	const LabelQueryNode *term;
	int			uses;
	bool		read;
	ImageSet	set;
} SharedTerm;

/* A search under way: each of its terms once, however often it stands there. */
typedef struct Search
{
	List	   *terms;			/* of SharedTerm */
	const char *scope;
} Search;

/*
 * A set of images or, if absent, its complement; then its scores are
 * undefined.  A borrowed set belongs to a term that is evaluated again.
 */
typedef struct Part
{
	ImageSet	set;
	bool		absent;
	bool		borrowed;
} Part;

static Part evaluate_query(Search *search, const LabelQueryNode *node);

/* Do two terms find the same? */
static bool
same_term(const LabelQueryNode *a, const LabelQueryNode *b)
{
	return a->kind == LABEL_QUERY_TERM && b->kind == LABEL_QUERY_TERM &&
		a->parent == b->parent && a->has_min == b->has_min &&
		(!a->has_min || a->min == b->min) && strcmp(a->name, b->name) == 0;
}

/* Return what is shared of a term, or NULL. */
static SharedTerm *
find_shared(const Search *search, const LabelQueryNode *term)
{
	ListCell   *lc;

	foreach(lc, search->terms)
	{
		SharedTerm *shared = lfirst(lc);

		if (same_term(shared->term, term))
			return shared;
	}
	return NULL;
}

/* Count how often each term is needed. */
static void
count_uses(Search *search, const LabelQueryNode *node)
{
	ListCell   *lc;

	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	if (node->kind == LABEL_QUERY_TERM)
	{
		SharedTerm *shared = find_shared(search, node);

		if (shared == NULL)
		{
			shared = palloc0(sizeof(SharedTerm));
			shared->term = node;
			search->terms = lappend(search->terms, shared);
		}
		shared->uses++;
		return;
	}
	foreach(lc, node->args)
		count_uses(search, lfirst(lc));
}

/* Evaluate a term: its set is given away with its last use. */
static Part
evaluate_term(Search *search, const LabelQueryNode *term)
{
	SharedTerm *shared = find_shared(search, term);
	Part		part = {.absent = false};

	Assert(shared != NULL && shared->uses > 0);
	if (!shared->read)
		shared->set = oss_read_term(term, -1, search->scope);
	shared->read = true;
	part.set = shared->set;
	part.borrowed = --shared->uses > 0;
	return part;
}

/* Free a part's set unless it is borrowed. */
static void
free_part(Part *part)
{
	if (!part->borrowed && part->set.hits != NULL)
		pfree(part->set.hits);
	part->set.hits = NULL;
}

/* Replace a part's set by another one of its own. */
static void
replace_set(Part *part, ImageSet set)
{
	free_part(part);
	part->set = set;
	part->borrowed = false;
}

/* Replace an absent set by its complement, without scores. */
static void
make_present(const Search *search, Part *part)
{
	Part		all = {.absent = false};

	if (!part->absent)
		return;
	all.set = oss_read_universe(search->scope, PG_INT64_MAX);
	replace_set(part, oss_image_set_minus(&all.set, &part->set));
	free_part(&all);
	part->absent = false;
}

/* Evaluate a "not"; its images have no score. */
static Part
evaluate_not(Search *search, const LabelQueryNode *node)
{
	Part		part = evaluate_query(search, linitial(node->args));

	if (part.borrowed)
	{
		ImageSet	none = {0, NULL};

		replace_set(&part, oss_image_set_minus(&part.set, &none));
	}
	part.absent = !part.absent;
	for (int64 i = 0; i < part.set.n; i++)
		part.set.hits[i].score = get_float8_nan();
	return part;
}

/* Narrow a result down by another part of an "and". */
static void
and_part(Part *result, Part *part)
{
	if (result->absent && part->absent)
		replace_set(result, oss_image_set_or(&result->set, &part->set));
	else if (result->absent)
		replace_set(result, oss_image_set_minus(&part->set, &result->set));
	else if (part->absent)
		replace_set(result, oss_image_set_minus(&result->set, &part->set));
	else
		replace_set(result, oss_image_set_and(&result->set, &part->set));
	result->absent &= part->absent;
	free_part(part);
}

/* Widen a result by another part of an "or". */
static void
or_part(const Search *search, Part *result, Part *part)
{
	make_present(search, part);
	replace_set(result, oss_image_set_or(&result->set, &part->set));
	free_part(part);
}

/* Is an argument a term that is among those before it?  It changes nothing. */
static bool
is_repeated(const LabelQueryNode *node, int argument)
{
	const LabelQueryNode *term = list_nth(node->args, argument);

	for (int i = 0; i < argument; i++)
	{
		if (same_term(list_nth(node->args, i), term))
			return true;
	}
	return false;
}

static Part
evaluate_arguments(Search *search, const LabelQueryNode *node)
{
	bool		is_and = node->kind == LABEL_QUERY_AND;
	Part		result = {.absent = is_and};

	for (int i = 0; i < list_length(node->args); i++)
	{
		Part		part = evaluate_query(search, list_nth(node->args, i));

		if (is_repeated(node, i))
			free_part(&part);
		else if (is_and)
			and_part(&result, &part);
		else
			or_part(search, &result, &part);
	}
	return result;
}

static Part
evaluate_query(Search *search, const LabelQueryNode *node)
{
	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	switch (node->kind)
	{
		case LABEL_QUERY_NOT:
			return evaluate_not(search, node);
		case LABEL_QUERY_TERM:
			return evaluate_term(search, node);
		default:
			return evaluate_arguments(search, node);
	}
}

/* Return the images that meet a query. */
static ImageSet
search_all(const LabelQueryNode *query, const char *scope)
{
	Search		search = {NIL, scope};
	Part		part;

	count_uses(&search, query);
	part = evaluate_query(&search, query);
	make_present(&search, &part);
	Assert(!part.borrowed);
	return part.set;
}

/* Does an image match a term?  If so, sets *score. */
static bool
term_matches(const LabelQueryNode *term, const ReadImage *image, double *score)
{
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
image_matches(const LabelQueryNode *node, const ReadImage *image, double *score)
{
	bool		is_and = node->kind == LABEL_QUERY_AND;
	bool		found = is_and;
	ListCell   *lc;

	check_stack_depth();
	if (node->kind == LABEL_QUERY_TERM)
		return term_matches(node, image, score);
	*score = get_float8_nan();
	foreach(lc, node->args)
	{
		double		part_score;
		bool		part = image_matches(lfirst(lc), image, &part_score);

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
static const LabelQueryNode *
find_few(const LabelQueryNode *query, const char *scope)
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

/* Return the images of a set that match a query. */
static ImageSet
filter_by_query(const LabelQueryNode *query, const ImageSet *candidates)
{
	int64	   *ids = palloc(sizeof(int64) * Max(candidates->n, 1));
	ImageSetBuilder found;
	ListCell   *lc;

	for (int64 i = 0; i < candidates->n; i++)
		ids[i] = candidates->hits[i].image_id;
	oss_image_set_begin(&found);
	foreach(lc, oss_read_images(ids, candidates->n))
	{
		const ReadImage *image = lfirst(lc);
		double		score;

		if (image_matches(query, image, &score))
			oss_image_set_add(&found, image->image_id, score);
	}
	return oss_image_set_finish(&found);
}

ImageSet
oss_search_images(LabelQueryNode *query, int64 most, const char *scope)
{
	const LabelQueryNode *few;
	ImageSet	candidates;

	oss_report_unknown(oss_query_terms(query));
	oss_resolve_query(query);
	if (scope != NULL)
	{
		candidates = oss_read_universe(scope, FEW_IMAGES + 1);
		if (candidates.n <= FEW_IMAGES)
			return filter_by_query(query, &candidates);
	}
	if (query->kind == LABEL_QUERY_TERM)
		return oss_read_term(query, most, scope);
	few = find_few(query, scope);
	if (few == NULL)
		return search_all(query, scope);
	candidates = search_all(few, scope);
	return filter_by_query(query, &candidates);
}

ImageSet
oss_search_current(LabelQueryNode *query, int64 most, const char *scope)
{
	ImageSet	versions = oss_read_versions();
	ImageSet	found;

	if (versions.n == 0)
		return oss_search_images(query, most, scope);
	found = oss_search_images(query, most < 0 ? -1 : most + Min(versions.n, PG_INT64_MAX - most),
							  scope);
	return oss_image_set_minus(&found, &versions);
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
	return image_matches(query, image, &score);
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
		matches[i] = queries[i] != NULL && image_matches(queries[i], image, &score);
	}
}
