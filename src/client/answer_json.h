/*-------------------------------------------------------------------------
 * answer_json.h
 *	  Labels, and reading them from JSON together with the jsonb of it.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_ANSWER_JSON_H
#define OSS_ANSWER_JSON_H

#include "utils/jsonb.h"

/*
 * One label.  Strings are palloc'd, NULL if the field is absent or no string;
 * the has_ flags tell the same of numbers.  raw is the label's JSON object,
 * NULL unless asked for.
 */
typedef struct OssLabel
{
	text	   *name;
	text	   *parent;
	text	   *language;
	bool		has_level;
	bool		has_confidence;
	bool		has_centric;
	int32		level;
	double		confidence;
	double		centric;
	Jsonb	   *raw;
} OssLabel;

/* The labels of an answer; the array is palloc'd. */
typedef struct OssLabels
{
	int			n;
	OssLabel   *labels;
} OssLabels;

extern Jsonb *oss_answer_json(const char *json, OssLabels *labels);
extern void oss_label_take(OssLabel *label, const JsonbValue *name,
						   const JsonbValue *value);

#endif							/* OSS_ANSWER_JSON_H */
