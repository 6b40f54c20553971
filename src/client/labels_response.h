/*-------------------------------------------------------------------------
 * labels_response.h
 *	  Parsing a response into jsonb and labels.
 *
 * protocol/README.md 7.2 to 7.4.  Fields may come in any order; one that is
 * missing, null or of another type gives NULL, not an error.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_LABELS_RESPONSE_H
#define OSS_LABELS_RESPONSE_H

#include "client/answer_json.h"
#include "client/request.h"

/*
 * Parse the body of a finished request, converting it to the database's
 * encoding, in CurrentMemoryContext.  Returns NULL and sets *failure if the
 * request failed, or if the body is no labels document (NotLabels, class 22)
 * or cannot be represented in this encoding (22P05).  Needs a transaction.
 * The contents of the body never make it throw.  Sets *labels, if that is not
 * NULL, to what oss_response_labels() finds, which costs nearly nothing here.
 */
extern Jsonb *oss_response_parse(const OssRequest *request, OssLabels *labels,
								 const OssFailure **failure);

/* The same of an answer whose request is gone. */
extern Jsonb *oss_response_read(const char *body, size_t len, OssLabels *labels,
								const OssFailure **failure);

/*
 * Set *labels to a palloc'd array of the labels of a parsed response, in the
 * order sent, with raw if with_raw.  Returns their number.
 */
extern int	oss_response_labels(const Jsonb *answer, bool with_raw,
								OssLabel **labels);

#endif							/* OSS_LABELS_RESPONSE_H */
