/*-------------------------------------------------------------------------
 * unknown_name.h
 *	  Saying that a query names a label that nothing has.
 *
 * Top floor.  SPI must be connected.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_UNKNOWN_NAME_H
#define OSS_UNKNOWN_NAME_H

#include "search/label_query.h"

/*
 * Say by NOTICE which terms, of LabelQueryNode, name what the caller knows no
 * label by, with the most similar name that he knows.  Each is said once a
 * statement.  Names may be aliases.
 */
extern void oss_say_unknown(const List *terms);

#endif							/* OSS_UNKNOWN_NAME_H */
