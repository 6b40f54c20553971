/*-------------------------------------------------------------------------
 * usage_flush.h
 *	  Writing accounts to the table usage_day.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_USAGE_FLUSH_H
#define OSS_USAGE_FLUSH_H

/*
 * Write this database's counts, in the current transaction, and delete old ones.
 * If it is rolled back, the counts are written by a later call.  Returns false if
 * another process does it.  Only with shared memory.
 */
extern bool oss_usage_flush(void);

/* For _PG_init(): without shared memory, sessions write theirs at commit. */
extern void oss_usage_init(void);

/* The setting oss_labels.usage_retention, in minutes, 0: for ever. */
extern int	oss_usage_retention;

#endif							/* OSS_USAGE_FLUSH_H */
