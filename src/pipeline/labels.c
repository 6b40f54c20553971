/*-------------------------------------------------------------------------
 * labels.c
 *	  The label rows of an answer, as tuples.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "compat.h"
#include "pipeline/labels.h"
#include "utils/float.h"

void
oss_labels_form(PipelineLabels *labels, const DetectRows *rows, TupleDesc desc)
{
	labels->tuples = palloc(sizeof(MinimalTuple) * Max(rows->nrows, 1));
	labels->confidences = palloc(sizeof(double) * Max(rows->nrows, 1));
	labels->n = rows->nrows;
	for (int i = 0; i < rows->nrows; i++)
	{
		int			first = i * rows->ncolumns;

		labels->tuples[i] = oss_form_minimal_tuple(desc, rows->values + first,
												   rows->nulls + first);

		/* object_info() has another column there, which nobody compares */
		labels->confidences[i] = rows->nulls[first + DETECT_CONFIDENCE] ?
			get_float8_nan() : DatumGetFloat8(rows->values[first + DETECT_CONFIDENCE]);
	}
}

const PipelineLabels *
oss_labels_confident(const PipelineLabels *labels, double least)
{
	PipelineLabels *some;

	if (!(least > 0))
		return labels;
	some = palloc0(sizeof(PipelineLabels));
	some->tuples = palloc(sizeof(MinimalTuple) * Max(labels->n, 1));
	for (int i = 0; i < labels->n; i++)
	{
		if (!(labels->confidences[i] < least))
			some->tuples[some->n++] = labels->tuples[i];
	}
	return some;
}
