/*-------------------------------------------------------------------------
 * labels_response.h
 *	  Turn the body of an answer into jsonb and labels.
 *
 * Middle floor.  protocol/README.md 7.2 to 7.4: fields in any order, missing,
 * null or of another type give NULL, never an error and never a wrong label.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_LABELS_RESPONSE_H
#define OSS_LABELS_RESPONSE_H

#include "client/request.h"
#include "utils/jsonb.h"

/*
 * One label.  Strings are palloc'd text, NULL when the field is absent or no
 * string; the has_ flags say the same of numbers.  raw is the label's own
 * object, NULL unless it was asked for.
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

/*
 * Parse the body of a finished request in CurrentMemoryContext, converting it to the
 * database's encoding.  Returns NULL and sets *failure if the request failed, if
 * the body is no labels document (code NotLabels, class 22000), or if this encoding
 * lacks one of its characters (22P05).  Needs a transaction.  Does not throw for
 * what the service sent.
 */
extern Jsonb *oss_response_parse(const OssRequest *request,
								 const OssFailure **failure);

/*
 * Read the labels of a parsed answer, in the order sent, into a palloc'd
 * array, with their raw if that is wanted; returns their number.
 */
extern int	oss_response_labels(const Jsonb *answer, bool with_raw,
								OssLabel **labels);

#endif							/* OSS_LABELS_RESPONSE_H */
