/*-------------------------------------------------------------------------
 * spool_read.c
 *	  Answers that wait for the worker to store them: the side of who stores
 *	  them.
 *
 * One process at a time reads the files of a database.  It empties a file when
 * all of it is stored, and on disk: what a crash leaves is then what is not
 * stored, but for some that are stored twice, which changes nothing.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "store/spool_file.h"
#include "utils/memutils.h"

/* Bytes that are read at once, at least one record. */
#define READ_BYTES (256 * 1024)

/* Records of one file in hand, at most: its owner's locks may keep them there. */
#define MOST_IN_HAND 1024

/* How far a file is read. */
typedef struct SpoolReader
{
	int64		start;			/* the file's, as in the table */
	int			pid;
	int			number;
	uint64		offset;
	uint64		read;			/* records */
	uint64		storing;		/* of them, by commits nobody was told of */
	uint64		unflushed;		/* by commits that may not be on disk */
	uint64		in_hand;
} SpoolReader;

static SpoolReader *readers = NULL;

/* Bytes of answers in hand; beyond so many no more are read. */
#define MOST_BYTES (UINT64CONST(64) * 1024 * 1024)
static uint64 bytes_in_hand = 0;

/*
 * A file of a process that is gone is taken over so often: an answer in it may
 * kill who stores it.  Its number tells, in units of TAKEN_OVER.
 */
#define MOST_TAKEN_OVER 5
#define TAKEN_OVER 10000000

/* Give up all files. */
void
oss_spool_leave(void)
{
	if (readers == NULL)
		return;
	LWLockAcquire(oss_spool_lock, LW_EXCLUSIVE);
	for (int i = 0; i < oss_spool->nfiles; i++)
	{
		if (oss_spool->files[i].reader == MyProcPid)
			oss_spool->files[i].reader = 0;
	}
	LWLockRelease(oss_spool_lock);
	free(readers);
	readers = NULL;
	bytes_in_hand = 0;
}

/* Give them up as the process ends. */
static void
on_exit_reader(int code, Datum arg)
{
	oss_spool_leave();
}

/* Make ready to read; false without memory. */
static bool
prepare_readers(void)
{
	static bool registered = false;

	if (!registered)
		on_shmem_exit(on_exit_reader, (Datum) 0);
	registered = true;
	if (readers == NULL)
		readers = calloc(oss_spool->nfiles, sizeof(SpoolReader));
	return readers != NULL;
}

/* Is the reader of a place that of the file which is there? */
static bool
is_same_file(const SpoolReader *reader, const SpoolFile *file)
{
	return reader->start == file->start && reader->pid == file->pid &&
		reader->number == file->number;
}

/* Read a file from its beginning, if nobody else does. */
static bool
take_file(int i)
{
	SpoolFile  *file = &oss_spool->files[i];
	SpoolReader *reader = &readers[i];

	if (file->dbid != MyDatabaseId ||
		(file->reader != 0 && file->reader != MyProcPid))
		return false;
	if (file->reader == MyProcPid && is_same_file(reader, file))
		return true;
	memset(reader, 0, sizeof(*reader));
	reader->start = file->start;
	reader->pid = file->pid;
	reader->number = file->number;
	file->reader = MyProcPid;
	file->stored = file->flushed = 0;
	return true;
}

/* Find the strings of a record whose checksum is right. */
static bool
find_strings(const char *bytes, const SpoolHead *head, const char **strings)
{
	const char *next = bytes + sizeof(SpoolHead);
	const char *end = bytes + head->length;

	for (int i = 0; i < SPOOL_STRINGS; i++)
	{
		if (head->sizes[i] == 0 || head->sizes[i] > end - next ||
			next[head->sizes[i] - 1] != '\0')
			return false;
		strings[i] = next;
		next += head->sizes[i];
	}
	return next == end;
}

/*
 * Parse a record at the beginning of bytes, which it then points into.  Returns
 * its length, 0 when it is not whole, -1 when it is none.
 */
static int64
parse_record(const char *bytes, Size len, OssSpoolRecord *record)
{
	SpoolHead	head;
	const char *strings[SPOOL_STRINGS];
	pg_crc32c	crc;

	if (len < sizeof(head))
		return 0;
	memcpy(&head, bytes, sizeof(head));
	if (head.magic != SPOOL_MAGIC || head.length < sizeof(head) ||
		head.length > MaxAllocSize)
		return -1;
	if (head.length > len)
		return 0;
	INIT_CRC32C(crc);
	COMP_CRC32C(crc, bytes + SPOOL_CRC_FROM, head.length - SPOOL_CRC_FROM);
	FIN_CRC32C(crc);
	if (!EQ_CRC32C(crc, head.crc) || !find_strings(bytes, &head, strings))
		return -1;
	record->requester = head.requester;
	record->asked_at = head.asked_at;
	record->facts = head.facts;
	record->image.has_thr = head.has_thr != 0;
	record->image.thr = head.thr;
	record->server = strings[SPOOL_SERVER];
	record->image.bucket = strings[SPOOL_BUCKET];
	record->image.key = strings[SPOOL_KEY];
	record->image.version_id = head.has_version ? strings[SPOOL_VERSION] : NULL;
	record->image.etag = head.sizes[SPOOL_ETAG] > 1 ? strings[SPOOL_ETAG] : NULL;
	record->request_id = strings[SPOOL_REQUEST_ID];
	record->body = strings[SPOOL_BODY];
	record->body_len = head.sizes[SPOOL_BODY] - 1;
	return head.length;
}

/* Read bytes of a file into memory of CurrentMemoryContext; NULL: none. */
static char *
read_bytes(const char *path, uint64 offset, Size most, Size *len)
{
	int			fd = BasicOpenFile(path, O_RDONLY | PG_BINARY);
	char	   *bytes;
	ssize_t		n;

	*len = 0;
	if (fd < 0)
		return NULL;
	bytes = MemoryContextAllocExtended(CurrentMemoryContext, most, MCXT_ALLOC_NO_OOM);
	n = bytes == NULL ? -1 : pg_pread(fd, bytes, most, (off_t) offset);
	close(fd);
	if (n <= 0)
		return NULL;
	*len = n;
	return bytes;
}

/* Read a record of whichever session. */
bool
oss_spool_fetch(const OssSpoolPlace *place, OssSpoolRecord *record)
{
	char		path[SPOOL_PATH];
	char	   *bytes;
	Size		len;

	oss_spool_path(path, MyDatabaseId, place->start, place->pid, place->number);
	bytes = read_bytes(path, place->offset, place->length, &len);
	return bytes != NULL && parse_record(bytes, len, record) == (int64) place->length;
}

/*
 * Count what cannot be read as stored: it is lost, and nobody shall wait for it.
 */
static void
give_up_rest(int i)
{
	SpoolFile  *file = &oss_spool->files[i];
	SpoolReader *reader = &readers[i];

	LWLockAcquire(oss_spool_lock, LW_EXCLUSIVE);
	if (file->records > reader->read)
	{
		file->stored += file->records - reader->read;
		file->flushed += file->records - reader->read;
		reader->read = file->records;
	}
	reader->offset = file->bytes;
	LWLockRelease(oss_spool_lock);
	ereport(LOG,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("oss_labels found a file of answers that it cannot read to its end"),
			 errdetail("Answers in it are lost: the images are asked for again by who needs them.")));
}

/* Count a record of a file that its owner has not counted. */
static void
count_read(int i)
{
	SpoolFile  *file = &oss_spool->files[i];

	readers[i].read++;
	readers[i].in_hand++;
	if (file->owner == 0 && file->records < readers[i].read)
	{
		LWLockAcquire(oss_spool_lock, LW_EXCLUSIVE);
		file->records = readers[i].read;
		LWLockRelease(oss_spool_lock);
	}
}

/* Read what is new in a file; returns how many records were taken. */
static int
read_file(int i, uint64 bytes, int most,
		  void (*take) (void *arg, const OssSpoolRecord *record, int file), void *arg)
{
	SpoolReader *reader = &readers[i];
	OssSpoolRecord record;
	char		path[SPOOL_PATH];
	Size		want = READ_BYTES;
	int			n = 0;

	oss_spool_path(path, MyDatabaseId, reader->start, reader->pid, reader->number);
	while (reader->offset < bytes && n < most)
	{
		Size		len;
		Size		at = 0;
		char	   *buffer = read_bytes(path, reader->offset,
										Min(want, bytes - reader->offset), &len);
		int64		length = 0;

		while (n < most && at < len && bytes_in_hand < MOST_BYTES &&
			   (length = parse_record(buffer + at, len - at, &record)) > 0)
		{
			take(arg, &record, i);
			count_read(i);
			bytes_in_hand += record.body_len;
			at += length;
			n++;
		}
		reader->offset += at;
		if (buffer)
			pfree(buffer);
		if (bytes_in_hand >= MOST_BYTES)
			break;
		if (at > 0)
			continue;

		/* one that is longer than the buffer, or the end of what can be read */
		if (length < 0 || len < want || want > MaxAllocSize / 4)
		{
			give_up_rest(i);
			break;
		}
		want *= 4;
	}
	return n;
}

/*
 * Note a file of a process that is gone, unless it is in the table, under a name
 * that counts how often it was taken over.
 */
static void
adopt_file(const char *path, int64 start, int pid, int number, uint64 bytes)
{
	SpoolFile  *place = NULL;
	char		name[SPOOL_PATH];

	for (int i = 0; i < oss_spool->nfiles; i++)
	{
		SpoolFile  *file = &oss_spool->files[i];

		if (!OidIsValid(file->dbid))
			place = place ? place : file;
		else if (file->dbid == MyDatabaseId && file->start == start &&
				 file->pid == pid && file->number == number)
			return;
	}
	if (place == NULL)
		return;
	number += TAKEN_OVER;
	oss_spool_path(name, MyDatabaseId, start, pid, number);
	if (number / TAKEN_OVER > MOST_TAKEN_OVER)
		strlcat(name, ".bad", sizeof(name));
	if (rename(path, name) != 0)
		return;
	if (number / TAKEN_OVER > MOST_TAKEN_OVER)
	{
		ereport(LOG,
				(errmsg("oss_labels puts a file of answers aside, as who stored them died each time"),
				 errdetail("It is \"%s\" in the data directory.", name)));
		return;
	}
	memset(place, 0, sizeof(*place));
	place->dbid = MyDatabaseId;
	place->start = start;
	place->pid = pid;
	place->number = number;
	place->bytes = bytes;
}

/* Read a name in the directory; false when it is none of ours. */
static bool
parse_name(const char *name, Oid *dbid, int64 *start, int *pid, int *number)
{
	unsigned long long s;
	int			end = 0;

	if (sscanf(name, "%u-%llu-%d-%d%n", dbid, &s, pid, number, &end) != 4 ||
		name[end] != '\0')
		return false;
	*start = (int64) s;
	return true;
}

/* Note the files that processes have left which are gone. */
static void
adopt_files(void)
{
	DIR		   *directory = AllocateDir(OSS_SPOOL_DIRECTORY);
	struct dirent *entry;

	while ((entry = ReadDirExtended(directory, OSS_SPOOL_DIRECTORY, LOG)) != NULL)
	{
		char		path[MAXPGPATH];
		struct stat status;
		Oid			dbid;
		int64		start;
		int			pid;
		int			number;

		if (!parse_name(entry->d_name, &dbid, &start, &pid, &number) ||
			dbid != MyDatabaseId)
			continue;
		snprintf(path, sizeof(path), OSS_SPOOL_DIRECTORY "/%s", entry->d_name);
		LWLockAcquire(oss_spool_lock, LW_EXCLUSIVE);
		if (stat(path, &status) == 0 && S_ISREG(status.st_mode))
			adopt_file(path, start, pid, number, status.st_size);
		LWLockRelease(oss_spool_lock);
	}
	FreeDir(directory);
}

/* Is a file left in this database? */
bool
oss_spool_waits(void)
{
	if (oss_spool == NULL)
		return false;
	adopt_files();
	for (int i = 0; i < oss_spool->nfiles; i++)
	{
		const SpoolFile *file = &oss_spool->files[i];

		if (file->dbid == MyDatabaseId && (file->bytes > 0 || file->owner == 0))
			return true;
	}
	return false;
}

/* Read what is new in this database. */
bool
oss_spool_read(int most, bool first,
			   void (*take) (void *arg, const OssSpoolRecord *record, int file), void *arg)
{
	bool		more = false;

	if (oss_spool == NULL || !prepare_readers())
		return false;
	if (first)
		adopt_files();
	for (int i = 0; i < oss_spool->nfiles; i++)
	{
		SpoolFile  *file = &oss_spool->files[i];
		uint64		bytes = 0;
		int			n;

		if (file->dbid != MyDatabaseId)
			continue;
		LWLockAcquire(oss_spool_lock, LW_EXCLUSIVE);
		if (take_file(i))
			bytes = file->bytes;
		LWLockRelease(oss_spool_lock);
		if (bytes <= readers[i].offset)
			continue;
		n = Min(most, MOST_IN_HAND - (int) readers[i].in_hand);
		if (n > 0)
			most -= read_file(i, bytes, n, take, arg);
		more |= readers[i].offset < bytes;
	}
	return more;
}

/* A record was stored. */
void
oss_spool_stored(int file, size_t bytes)
{
	Assert(readers != NULL && readers[file].in_hand > 0);
	readers[file].storing++;
	readers[file].in_hand--;
	bytes_in_hand -= Min(bytes, bytes_in_hand);
}

/* Empty a file that is stored, or remove it if its owner is gone. */
static void
empty_file(int i)
{
	SpoolFile  *file = &oss_spool->files[i];
	char		path[SPOOL_PATH];

	if (file->writing || file->flushed < file->records ||
		readers[i].offset < file->bytes || (file->bytes == 0 && file->owner != 0))
		return;
	oss_spool_path(path, file->dbid, file->start, file->pid, file->number);
	if (file->owner == 0)
	{
		(void) unlink(path);
		file->dbid = InvalidOid;
	}
	else if (truncate(path, 0) != 0)
		return;
	file->bytes = file->records = file->stored = file->flushed = 0;
	memset(&readers[i], 0, sizeof(readers[i]));
	readers[i].start = file->start;
	readers[i].pid = file->pid;
	readers[i].number = file->number;
}

/* Tell those that wait what was stored. */
void
oss_spool_tell(bool flushed)
{
	bool		any = false;

	if (readers == NULL)
		return;
	LWLockAcquire(oss_spool_lock, LW_EXCLUSIVE);
	for (int i = 0; i < oss_spool->nfiles; i++)
	{
		SpoolFile  *file = &oss_spool->files[i];
		SpoolReader *reader = &readers[i];

		if (file->dbid != MyDatabaseId || file->reader != MyProcPid ||
			!is_same_file(reader, file))
			continue;
		any |= reader->storing > 0;
		file->stored += reader->storing;
		reader->unflushed += reader->storing;
		reader->storing = 0;
		if (!flushed)
			continue;
		file->flushed += reader->unflushed;
		reader->unflushed = 0;
		empty_file(i);
	}
	LWLockRelease(oss_spool_lock);
	if (any)
		oss_spool_broadcast();
}

/* Throw away what waits in this database. */
void
oss_spool_discard(void)
{
	if (oss_spool == NULL || !prepare_readers())
		return;
	adopt_files();
	LWLockAcquire(oss_spool_lock, LW_EXCLUSIVE);
	for (int i = 0; i < oss_spool->nfiles; i++)
	{
		SpoolFile  *file = &oss_spool->files[i];

		if (!take_file(i))
			continue;
		file->stored = file->flushed = file->records;
		readers[i].offset = file->bytes;
		empty_file(i);
	}
	LWLockRelease(oss_spool_lock);
	oss_spool_broadcast();
}

/* List the databases that have files, in CurrentMemoryContext. */
List *
oss_spool_databases(void)
{
	List	   *dbids = NIL;
	DIR		   *directory;
	struct dirent *entry;

	if (oss_spool == NULL)
		return NIL;
	directory = AllocateDir(OSS_SPOOL_DIRECTORY);
	while ((entry = ReadDirExtended(directory, OSS_SPOOL_DIRECTORY, LOG)) != NULL)
	{
		Oid			dbid;
		int64		start;
		int			pid;
		int			number;

		if (parse_name(entry->d_name, &dbid, &start, &pid, &number))
			dbids = list_append_unique_oid(dbids, dbid);
	}
	FreeDir(directory);
	return dbids;
}

/* Remove the files of a database that is gone. */
void
oss_spool_remove(Oid gone)
{
	DIR		   *directory = AllocateDir(OSS_SPOOL_DIRECTORY);
	struct dirent *entry;

	while ((entry = ReadDirExtended(directory, OSS_SPOOL_DIRECTORY, LOG)) != NULL)
	{
		char		path[MAXPGPATH];
		Oid			dbid;
		int64		start;
		int			pid;
		int			number;

		if (!parse_name(entry->d_name, &dbid, &start, &pid, &number) || dbid != gone)
			continue;
		snprintf(path, sizeof(path), OSS_SPOOL_DIRECTORY "/%s", entry->d_name);
		(void) unlink(path);
	}
	FreeDir(directory);
	LWLockAcquire(oss_spool_lock, LW_EXCLUSIVE);
	for (int i = 0; i < oss_spool->nfiles; i++)
	{
		if (oss_spool->files[i].dbid == gone)
			oss_spool->files[i].dbid = InvalidOid;
	}
	LWLockRelease(oss_spool_lock);
}
