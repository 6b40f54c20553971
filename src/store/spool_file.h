/*-------------------------------------------------------------------------
 * spool_file.h
 *	  The table of the spool's files in shared memory, and the format of a record.
 *
 * Only for spool.c and spool_read.c.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_SPOOL_FILE_H
#define OSS_SPOOL_FILE_H


#include "port/pg_crc32c.h"
#include "storage/condition_variable.h"
#include "store/spool.h"

/* The directory of the files, below the data directory. */
#define OSS_SPOOL_DIRECTORY "oss_labels"

/*
 * A file.  Its owner sets "writing" while it appends.  Only the reader counts what
 * is stored, and empties the file.  records, stored and flushed count the records
 * since the file was last empty.
 */
typedef struct SpoolFile
{
	Oid			dbid;			/* InvalidOid: a free entry */
	int64		start;			/* start, pid and number are its name */
	int			pid;
	int			number;
	int			owner;			/* pid; 0: it has ended */
	int			reader;			/* pid; 0: none */
	bool		adopted;		/* found in the directory */
	bool		writing;
	uint64		bytes;
	uint64		records;
	uint64		stored;
	uint64		flushed;
} SpoolFile;

typedef struct SpoolShared
{
	ConditionVariable changed;	/* answers were stored, or a flight ended */
	int			nfiles;
	SpoolFile	files[FLEXIBLE_ARRAY_MEMBER];
} SpoolShared;

/* NULL without shared memory.  The lock protects all of it. */
extern SpoolShared *oss_spool;
extern LWLock *oss_spool_lock;

/* The strings of a record, in this order; each ends with a NUL. */
enum SpoolString
{
	SPOOL_SERVER,
	SPOOL_BUCKET,
	SPOOL_KEY,
	SPOOL_VERSION,
	SPOOL_ETAG,
	SPOOL_REQUEST_ID,
	SPOOL_BODY,
	SPOOL_STRINGS
};

#define SPOOL_MAGIC 0x4f4c5331

/* The head of a record; crc covers everything after it. */
typedef struct SpoolHead
{
	uint32		magic;
	uint32		length;
	pg_crc32c	crc;
	Oid			requester;
	TimestampTz asked_at;
	OssObjectFacts facts;
	double		thr;
	uint32		has_thr;
	uint32		has_version;
	uint32		sizes[SPOOL_STRINGS];	/* including the NUL */
} SpoolHead;

#define SPOOL_CRC_FROM offsetof(SpoolHead, requester)

/* Bytes of the longest path of a file. */
#define SPOOL_PATH 96

/* Write the path of a file. */
extern void oss_spool_path(char *path, Oid dbid, int64 start, int pid, int number);

#endif							/* OSS_SPOOL_FILE_H */
