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

#include "executor/spi.h"
#include "miscadmin.h"
#include "search/search_read.h"
#include "utils/float.h"

/* Limit on the label rows of an operand for that. */
#define FEW_IMAGES	1000

/*
 * A set of images or, if absent, its complement; then its scores are
 * undefined.
 */
typedef struct Part
{
	ImageSet	set;
	bool		absent;
} Part;

static Part evaluate_query(const LabelQueryNode *node);

/* Return the complement of a set, without scores. */
static ImageSet
all_but(const ImageSet *set)
{
	ImageSet	all = oss_read_universe();

	return oss_image_set_minus(&all, set);
}

/* Evaluate a "not"; its images have no score. */
static Part
evaluate_not(const LabelQueryNode *node)
{
	Part		part = evaluate_query(linitial(node->args));

	part.absent = !part.absent;
	for (int64 i = 0; i < part.set.n; i++)
		part.set.hits[i].score = get_float8_nan();
	return part;
}

static Part
evaluate_and(const LabelQueryNode *node)
{
	Part		result = {.absent = true};
	ListCell   *lc;

	foreach(lc, node->args)
	{
		Part		part = evaluate_query(lfirst(lc));

		if (result.absent && part.absent)
			result.set = oss_image_set_or(&result.set, &part.set);
		else if (result.absent)
			result.set = oss_image_set_minus(&part.set, &result.set);
		else if (part.absent)
			result.set = oss_image_set_minus(&result.set, &part.set);
		else
			result.set = oss_image_set_and(&result.set, &part.set);
		result.absent &= part.absent;
	}
	return result;
}

static Part
evaluate_or(const LabelQueryNode *node)
{
	Part		result = {.absent = false};
	ListCell   *lc;

	foreach(lc, node->args)
	{
		Part		part = evaluate_query(lfirst(lc));

		if (part.absent)
			part.set = all_but(&part.set);
		result.set = oss_image_set_or(&result.set, &part.set);
	}
	return result;
}

static Part
evaluate_query(const LabelQueryNode *node)
{
	Part		part = {.absent = false};

	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	switch (node->kind)
	{
		case LABEL_QUERY_NOT:
			return evaluate_not(node);
		case LABEL_QUERY_AND:
			return evaluate_and(node);
		case LABEL_QUERY_OR:
			return evaluate_or(node);
		case LABEL_QUERY_TERM:
			part.set = oss_read_term(node);
	}
	return part;
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
			(term->has_min && !(label->confidence >= term->min)))
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
count_part(const LabelQueryNode *node, int64 limit)
{
	int64		sum = 0;
	ListCell   *lc;

	if (node->kind == LABEL_QUERY_TERM)
		return oss_count_term(node, limit);
	if (node->kind != LABEL_QUERY_OR)
		return -1;
	foreach(lc, node->args)
	{
		int64		n = count_part(lfirst(lc), limit);

		if (n < 0)
			return -1;
		sum += n;
	}
	return sum;
}

/* Return an operand of a conjunction that matches few images, or NULL. */
static const LabelQueryNode *
find_few(const LabelQueryNode *query)
{
	ListCell   *lc;

	if (query->kind != LABEL_QUERY_AND)
		return NULL;
	foreach(lc, query->args)
	{
		int64		n = count_part(lfirst(lc), FEW_IMAGES + 1);

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
oss_search_images(const LabelQueryNode *query)
{
	const LabelQueryNode *few = find_few(query);
	Part		part;

	if (few != NULL)
	{
		part = evaluate_query(few);
		return filter_by_query(query, &part.set);
	}
	part = evaluate_query(query);
	return part.absent ? all_but(&part.set) : part.set;
}

bool
oss_search_one(const LabelQueryNode *query, int64 image_id)
{
	List	   *images = oss_read_images(&image_id, 1);
	double		score;

	return images != NIL && image_matches(query, linitial(images), &score);
}
