/*-------------------------------------------------------------------------
 * vocabulary.h
 *	  Numbers for the labels of answers, by the table vocabulary.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_VOCABULARY_H
#define OSS_VOCABULARY_H


#include "client/labels_response.h"

/* The labels of an answer, and the number of each. */
typedef struct OssNumberedLabels
{
	int			n;
	OssLabel   *labels;
	int64	   *ids;
} OssNumberedLabels;

extern void oss_vocabulary_number(OssNumberedLabels *answers, int n);

#endif							/* OSS_VOCABULARY_H */
