/*-------------------------------------------------------------------------
 * vocabulary.h
 *	  The labels of answers as numbers that stand in vocabulary.
 *
 * Top floor.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_VOCABULARY_H
#define OSS_VOCABULARY_H


#include "client/labels_response.h"

/* The labels of an answer and their numbers, as many. */
typedef struct OssNumberedLabels
{
	int			n;
	OssLabel   *labels;
	int64	   *ids;
} OssNumberedLabels;

extern void oss_vocabulary_number(OssNumberedLabels *answers, int n);

#endif							/* OSS_VOCABULARY_H */
