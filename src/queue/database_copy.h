/*-------------------------------------------------------------------------
 * database_copy.h
 *	  Detecting that this database is a copy of another one, whose jobs are
 *	  queued in both.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_DATABASE_COPY_H
#define OSS_DATABASE_COPY_H

/*
 * Is this database a copy whose jobs were not accepted by resume()?  The
 * first call pauses the queue of a copy, so call it before claiming jobs,
 * within oss_statement_begin(), in a transaction that will commit.
 */
extern bool oss_database_is_copy(void);

/* Accept the jobs of a copy as this database's own, likewise. */
extern void oss_database_accept_copy(void);

#endif							/* OSS_DATABASE_COPY_H */
