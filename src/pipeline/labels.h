/*-------------------------------------------------------------------------
 * labels.h
 *	  The label rows of an answer, as tuples.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_LABELS_H
#define OSS_LABELS_H


#include "access/htup.h"
#include "access/tupdesc.h"
#include "call/detect.h"

/* The label rows of an answer, with the columns of the function. */
typedef struct PipelineLabels
{
	int			n;
	MinimalTuple *tuples;
	double	   *confidences;	/* NaN: missing */
} PipelineLabels;

/* Make tuples of rows, in CurrentMemoryContext. */
extern void oss_labels_form(PipelineLabels *labels, const DetectRows *rows,
							TupleDesc desc);

/*
 * Return the labels with a confidence of at least least, or without one; in
 * CurrentMemoryContext unless these are all.
 */
extern const PipelineLabels *oss_labels_confident(const PipelineLabels *labels,
												  double least);

#endif							/* OSS_LABELS_H */
