/*-------------------------------------------------------------------------
 * unknown_name.h
 *	  NOTICEs for names in a query that no label has.
 *
 * SPI must be connected.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_UNKNOWN_NAME_H
#define OSS_UNKNOWN_NAME_H

#include "search/label_query.h"

/*
 * Report by NOTICE the terms, a list of LabelQueryNode, whose names no label has
 * that the caller may read, with the most similar name.  A name may be an alias.
 * Each is reported once in a statement.
 */
extern void oss_report_unknown(const List *terms);

#endif							/* OSS_UNKNOWN_NAME_H */
