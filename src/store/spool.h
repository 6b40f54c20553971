/*-------------------------------------------------------------------------
 * spool.h
 *	  Answers that wait for the worker to store them: a file for each session,
 *	  and in shared memory how far it is written and stored.
 *
 * Top floor.  Only where the library is preloaded.  An answer is appended as
 * soon as it has come and belongs to no transaction: whatever becomes of the
 * caller, of his process or of the server, the worker stores it.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_SPOOL_H
#define OSS_SPOOL_H


#include "client/image.h"
#include "client/object_facts.h"
#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "storage/lwlock.h"

/* An answer; strings but the body are in the database's encoding. */
typedef struct OssSpoolRecord
{
	Oid			requester;
	TimestampTz asked_at;
	const char *server;
	OssImage	image;			/* with its ETag, if it is known */
	OssObjectFacts facts;
	const char *request_id;
	const char *body;			/* as it came, and ends with a NUL when read */
	size_t		body_len;
} OssSpoolRecord;

/* Where a record is. */
typedef struct OssSpoolPlace
{
	int64		start;			/* these three name the file */
	int			pid;
	int			number;
	uint64		offset;
	uint32		length;
} OssSpoolPlace;

/* Shared memory: how much, and attaching to it, with a lock to use. */
extern Size oss_spool_shared_size(void);
extern void oss_spool_shared_start(LWLock *lock);

/* Wakes the worker of this database, or has it started.  Set by the queue. */
extern void (*oss_spool_wake) (void);

/*
 * Make ready to append, before a request is sent.  Returns false, with a
 * WARNING when there is trouble, where answers cannot be handed to the worker.
 */
extern bool oss_spool_prepare(void);

/*
 * Append an answer and wake the worker; returns false when that cannot be done.
 * Never throws nor allocates.
 */
extern bool oss_spool_append(const OssSpoolRecord *record, OssSpoolPlace *place);

/* Wait until what this session has appended is stored, for a second at most. */
extern void oss_spool_await(void);

/* Does anything in this database wait to be stored? */
extern bool oss_spool_pending(void);

/* Wake whoever waits for a change: of the spool or of a flight. */
extern void oss_spool_broadcast(void);

/*
 * Sleep until there was a change since oss_spool_watch(), or for ms: the
 * network goes on.
 */
extern void oss_spool_watch(void);
extern void oss_spool_sleep(long ms);
extern void oss_spool_unwatch(void);

/*
 * in spool_read.c: read a record of whichever session in CurrentMemoryContext;
 * false when it is not there any more.
 */
extern bool oss_spool_fetch(const OssSpoolPlace *place, OssSpoolRecord *record);

/*
 * in spool_read.c: read what is new in this database, up to most records, and
 * have each taken, in CurrentMemoryContext; file is to be given back with it.
 * This process is then the one that reads these files.  first: look also for
 * the files of processes that are gone.  Returns whether there may be more.
 */
extern bool oss_spool_read(int most, bool first,
						   void (*take) (void *arg, const OssSpoolRecord *record, int file),
						   void *arg);

/* in spool_read.c: has anybody who is gone left a file in this database? */
extern bool oss_spool_waits(void);

/*
 * in spool_read.c: a record of a file, with a body of so many bytes, was stored by a
 * commit that is not on disk yet.
 */
extern void oss_spool_stored(int file, size_t bytes);

/*
 * in spool_read.c: tell those that wait what was stored; with flushed, that it
 * is on disk, so that files may go.
 */
extern void oss_spool_tell(bool flushed);

/* in spool_read.c: read no more here, others may. */
extern void oss_spool_leave(void);

/* in spool_read.c: throw away what waits in this database: nothing can store it. */
extern void oss_spool_discard(void);

/*
 * in spool_read.c: list the databases that have files, and remove those of one
 * that is gone.
 */
extern List *oss_spool_databases(void);
extern void oss_spool_remove(Oid gone);

#endif							/* OSS_SPOOL_H */
