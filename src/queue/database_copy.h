/*-------------------------------------------------------------------------
 * database_copy.h
 *	  Finding out that this database is a copy of another, whose jobs are
 *	  queued in both.
 *
 * Top floor.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_DATABASE_COPY_H
#define OSS_DATABASE_COPY_H

#include "postgres.h"

/*
 * Is this database a copy whose jobs nobody has accepted by resume()?  Its queue
 * is paused when this is first asked, so it is asked before anything is claimed;
 * within oss_statement_begin(), in a transaction that is to commit.
 */
extern bool oss_database_is_copy(void);

/* Take the jobs of a copy for its own, likewise. */
extern void oss_database_accept_copy(void);

#endif							/* OSS_DATABASE_COPY_H */
