/*-------------------------------------------------------------------------
 * job_insert.h
 *	  Inserting jobs for rows of a watched table.
 *
 * This is part of the application's statement, which must neither fail nor
 * wait because of the queue: rows are inserted into job and failed_job without
 * the executor, so that no constraint, trigger, privilege or plan can
 * interfere.
 */
#ifndef OSS_JOB_INSERT_H
#define OSS_JOB_INSERT_H

#include "datatype/timestamp.h"
#include "utils/rel.h"

/* The properties that all jobs of a statement share. */
typedef struct OssJobCommon
{
	const char *server;
	bool		has_thr;
	double		thr;
	const Interval *max_age;	/* NULL: any */
	int32		priority;
	Oid			source;			/* the watched table */
} OssJobCommon;

/* Why a row goes to failed_job; strings are in the database's encoding. */
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
 * Open a table of the queue for writing.  Waits for locks for at most half a
 * second per transaction.  Returns NULL, and *why as a sentence, if it cannot
 * be written to.
 */
extern Relation oss_queue_open(const char *name, const char **why);

/*
 * Start to insert jobs of the current user; allocates in
 * CurrentMemoryContext.  Returns NULL, and *why, if the queue cannot be
 * written to.
 */
extern OssJobInsert *oss_job_insert_begin(const OssJobCommon *common,
										  const char **why);

/*
 * The image of a job: text values, neither compressed nor out of line; they are
 * copied. etag is as in job, 0 for null.
 */
typedef struct OssJobObject
{
	Datum		bucket;
	Datum		key;
	Datum		etag;
} OssJobObject;

/*
 * Insert a job.  One with a name too long for the indexes goes to failed_job.
 */
extern void oss_job_insert(OssJobInsert *insert, const OssJobObject *object);

/* Insert a row into failed_job. */
extern void oss_job_insert_failed(OssJobInsert *insert, const OssJobObject *object,
								  const OssRefusal *refusal);

/* Insert a row into deleted_row, for the worker to forget the image. */
extern void oss_job_insert_deleted(OssJobInsert *insert, const OssJobObject *object);

/*
 * Write pending rows and free insert.  Returns the number of rows inserted
 * into job and deleted_row.
 */
extern uint64 oss_job_insert_end(OssJobInsert *insert);

#endif							/* OSS_JOB_INSERT_H */
