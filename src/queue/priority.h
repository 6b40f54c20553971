/*-------------------------------------------------------------------------
 * priority.h
 *	  The privilege to use priorities above 0.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_PRIORITY_H
#define OSS_PRIORITY_H

/* May a role use priorities above 0? */
extern bool oss_may_prioritize(Oid role);

/* Check that the current role may use a priority.  Errors: 42501. */
extern void oss_check_priority(int32 priority);

/*
 * Return the priority for jobs of a table's trigger: the given one if the
 * current role or the table's owner may use it, else 0, with one WARNING per
 * transaction.
 */
extern int32 oss_table_priority(int32 priority, Oid table);

#endif							/* OSS_PRIORITY_H */
