/*-------------------------------------------------------------------------
 * label_query.h
 *	  The type label_query: a condition on the labels of an image.
 *
 * For users: sql/README.md, "Search rules".
 *
 *		query  = or
 *		or     = and { "|" and }
 *		and    = factor { "&" factor }
 *		factor = "!" factor | "(" or ")" | term
 *		term   = [ "parent" ":" ] name [ ":" number ]
 *		name   = word | '"' text '"' | "'" text "'"		(a doubled quote is one)
 *
 * A word is anything without white space and without & | ! ( ) : " '; the
 * full-width forms of these, ideographic spaces and curved quotes mean the same.
 * Names are in normalization form C.  A value is stored as its own text in
 * canonical form, so that it can be compared, hashed and indexed as text.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_LABEL_QUERY_H
#define OSS_LABEL_QUERY_H


#include "nodes/pg_list.h"

typedef enum LabelQueryKind
{
	LABEL_QUERY_TERM,
	LABEL_QUERY_NOT,			/* one argument */
	LABEL_QUERY_AND,			/* two arguments or more, none of them AND */
	LABEL_QUERY_OR				/* two arguments or more, none of them OR */
} LabelQueryKind;

/* A node of a parsed query; name and the rest belong to a TERM. */
typedef struct LabelQueryNode
{
	LabelQueryKind kind;
	List	   *args;			/* of LabelQueryNode */
	char	   *name;			/* in the database's encoding, not empty */
	bool		parent;			/* any label whose parent is name */
	bool		has_min;
	double		min;			/* least confidence, 0 to 1 */
	int			number;			/* set by the evaluator */
} LabelQueryNode;

/*
 * Parse a value of the type, or a text, in CurrentMemoryContext.  Errors: 42601,
 * with its place.
 */
extern LabelQueryNode *oss_label_query_get(const struct varlena *value);

#endif							/* OSS_LABEL_QUERY_H */
