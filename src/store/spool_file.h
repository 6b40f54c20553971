/*-------------------------------------------------------------------------
 * spool_file.h
 *	  What writers and readers of the spool share: the table of its files and
 *	  the form of a record.
 *
 * Top floor; for spool.c and spool_read.c alone.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_SPOOL_FILE_H
#define OSS_SPOOL_FILE_H


#include "port/pg_crc32c.h"
#include "storage/condition_variable.h"
#include "store/spool.h"

/* In the data directory. */
#define OSS_SPOOL_DIRECTORY "oss_labels"

/*
 * A file.  Its owner appends to it while writing is set; reader alone counts
 * what is stored and empties it.  records, stored and flushed count since it
 * was empty.
 */
typedef struct SpoolFile
{
	Oid			dbid;			/* InvalidOid: there is none */
	int64		start;			/* these three name it */
	int			pid;
	int			number;
	int			owner;			/* pid, 0: gone */
	int			reader;			/* pid, 0: nobody */
	bool		writing;
	uint64		bytes;
	uint64		records;
	uint64		stored;
	uint64		flushed;
} SpoolFile;

typedef struct SpoolShared
{
	ConditionVariable changed;	/* something was stored, or a flight ended */
	int			nfiles;
	SpoolFile	files[FLEXIBLE_ARRAY_MEMBER];
} SpoolShared;

/* NULL without shared memory.  The lock guards all of it. */
extern SpoolShared *oss_spool;
extern LWLock *oss_spool_lock;

/* The strings of a record, in their order; each ends with a NUL. */
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

/* The beginning of a record; crc is that of all behind it. */
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
	uint32		sizes[SPOOL_STRINGS];	/* with their NUL */
} SpoolHead;

#define SPOOL_CRC_FROM offsetof(SpoolHead, requester)

/* Longest path of a file. */
#define SPOOL_PATH 96

/* Write the path of a file. */
extern void oss_spool_path(char *path, Oid dbid, int64 start, int pid, int number);

#endif							/* OSS_SPOOL_FILE_H */
