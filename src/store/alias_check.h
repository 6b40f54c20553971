/*-------------------------------------------------------------------------
 * alias_check.h
 *	  Aliases and rules that other transactions have made.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_ALIAS_CHECK_H
#define OSS_ALIAS_CHECK_H

/*
 * Under REPEATABLE READ and SERIALIZABLE, check that no alias has aliases or a rule
 * itself: the triggers that refuse them see no more than the transaction's snapshot.
 * Call it while nobody else can commit such a change.  Errors: 40001.
 */
extern void oss_alias_check(void);

#endif							/* OSS_ALIAS_CHECK_H */
