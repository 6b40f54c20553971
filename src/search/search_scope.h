/*-------------------------------------------------------------------------
 * search_scope.h
 *	  The bucket and prefix that a search or recommendation is limited to.
 *
 * A scope is a condition in SQL on a row "i" of image, NULL for none.
 * The cut is made where rows are read, before any of them is ranked.
 */
#ifndef OSS_SEARCH_SCOPE_H
#define OSS_SEARCH_SCOPE_H

#include "fmgr.h"

/* Make a scope of two arguments, bucket and prefix, the first of which has a number. */
extern const char *oss_search_scope(FunctionCallInfo fcinfo, int first);

/*
 * Return a condition on the rows of a table with a column image_id, beginning
 * with AND; empty for no scope.  With each, rows are looked at one after another
 * as they come, such as from an index; else the planner chooses.
 */
extern const char *oss_scope_condition(const char *scope, const char *table, bool each);

#endif							/* OSS_SEARCH_SCOPE_H */
