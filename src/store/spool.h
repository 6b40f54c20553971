/*-------------------------------------------------------------------------
 * spool.h
 *	  Answers that the worker has not stored yet: one file per session, and in
 *	  shared memory how much of each file is written and stored.
 *
 * Only where the library is preloaded.  A session appends an answer as soon as it
 * arrives.  The answer belongs to no transaction: the worker stores it even if the
 * statement, the session or the server fails.
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
	const char *body;			/* as received; ends with a NUL when read */
	size_t		body_len;
} OssSpoolRecord;

/* The position of a record. */
typedef struct OssSpoolPlace
{
	int64		start;			/* start, pid and number identify the file */
	int			pid;
	int			number;
	uint64		offset;
	uint32		length;
} OssSpoolPlace;

/* Return the size of shared memory; attach to it, and use this lock. */
extern Size oss_spool_shared_size(void);
extern void oss_spool_shared_start(LWLock *lock);

/*
 * Wakes or starts the worker of this database; does any process store answers, or
 * soon?  Set by the queue.
 */
extern void (*oss_spool_wake) (void);
extern bool (*oss_spool_served) (void);

/*
 * Open this session's file before a request is sent.  Returns false if answers
 * cannot be given to the worker, with a WARNING if the cause is an error.
 */
extern bool oss_spool_prepare(void);

/*
 * Append an answer and wake the worker.  Returns false if writing fails.  Neither
 * throws nor allocates memory.
 */
extern bool oss_spool_append(const OssSpoolRecord *record, OssSpoolPlace *place);

/*
 * Wait, at most a second, until all answers of this session are stored.  Not if no
 * process is there to store them.
 */
extern void oss_spool_await(void);

/* Does this database have answers that are not stored yet? */
extern bool oss_spool_pending(void);

/* Wake all processes that wait for a change of the spool or of a flight. */
extern void oss_spool_broadcast(void);

/*
 * oss_spool_sleep() waits for the next such change after oss_spool_watch(), at most
 * for ms.  Transfers of this process continue meanwhile.
 */
extern void oss_spool_watch(void);
extern void oss_spool_sleep(long ms);
extern void oss_spool_unwatch(void);

/*
 * in spool_read.c: read a record of any session into CurrentMemoryContext.
 * Returns false if it does not exist any more.
 */
extern bool oss_spool_fetch(const OssSpoolPlace *place, OssSpoolRecord *record);

/*
 * in spool_read.c: read up to "most" new records of this database, and call take()
 * for each in CurrentMemoryContext.  take() keeps "file" for oss_spool_stored().
 * From now on no other process reads these files.  first: also search for files of
 * processes that have ended.  Returns whether more records may be there.
 */
extern bool oss_spool_read(int most, bool first,
						   void (*take) (void *arg, const OssSpoolRecord *record, int file),
						   void *arg);

/* in spool_read.c: does this database have a file that a process left? */
extern bool oss_spool_waits(void);

/*
 * in spool_read.c: count a record as stored, by a commit that may not be on disk
 * yet.  bytes is the length of its body.
 */
extern void oss_spool_stored(int file, size_t bytes);

/*
 * in spool_read.c: publish what was counted as stored, and wake those that wait for
 * it.  flushed: all of it is on disk, so that files can be emptied.
 */
extern void oss_spool_tell(bool flushed);

/*
 * in spool_read.c: stop reading, so that another process may read.  Returns whether
 * files that were read have answers that may not be stored.
 */
extern bool oss_spool_leave(void);

/* in spool_read.c: delete the answers of this database, which cannot be stored. */
extern void oss_spool_discard(void);

/*
 * in spool_read.c: list the databases that have files; remove the files of a
 * database that was dropped.
 */
extern List *oss_spool_databases(void);
extern void oss_spool_remove(Oid gone);

#endif							/* OSS_SPOOL_H */
