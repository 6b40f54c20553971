/*-------------------------------------------------------------------------
 * job_insert.h
 *	  Insert the images that a watched table's rows name into the queue.
 *
 * Top floor.  Part of the statement of an application, which must neither fail
 * nor wait because of the queue: rows go into job and failed_job past the
 * executor, so that no constraint, trigger, privilege or plan is in the way.
 */
#ifndef OSS_JOB_INSERT_H
#define OSS_JOB_INSERT_H

#include "postgres.h"

#include "utils/rel.h"

/* What the jobs of one statement have in common. */
typedef struct OssJobCommon
{
	const char *server;
	bool		has_thr;
	double		thr;
	int32		priority;
	Oid			source;			/* the watched table */
} OssJobCommon;

/* Why a row goes to failed_job; strings of the server's encoding. */
typedef struct OssRefusal
{
	int			sqlerrcode;
	const char *code;
	const char *message;
	const char *detail;			/* NULL: none */
	const char *hint;			/* NULL: none */
} OssRefusal;

typedef struct OssJobInsert OssJobInsert;

/*
 * Open a table of the queue for writing.  Waits half a second at most in a
 * transaction for who has locked it.  Returns NULL and why, if it cannot be written to.
 */
extern Relation oss_queue_open(const char *name, const char **why);

/*
 * Begin to insert jobs of the current user; allocates in CurrentMemoryContext.
 * Returns NULL and why, if the queue cannot be written to.
 */
extern OssJobInsert *oss_job_insert_begin(const OssJobCommon *common,
										  const char **why);

/*
 * Insert a job.  bucket and key are text that is not compressed or out of
 * line, and need not outlive the call.  What is longer than any bucket's or
 * object's name goes to failed_job.
 */
extern void oss_job_insert(OssJobInsert *insert, Datum bucket, Datum key);

/* Insert a job into failed_job. */
extern void oss_job_insert_failed(OssJobInsert *insert, Datum bucket, Datum key,
								  const OssRefusal *refusal);

/* Write what is left; returns how many went into job.  Frees insert. */
extern uint64 oss_job_insert_end(OssJobInsert *insert);

#endif							/* OSS_JOB_INSERT_H */
