/*-------------------------------------------------------------------------
 * spool_read.c
 *	  Answers that the worker has not stored yet: the process that reads them.
 *
 * One process at a time reads the files of a database.  It empties a file when
 * all of its records are stored and on disk.  After a crash, therefore, the files
 * have all answers that are not stored, and some that are: storing an answer again
 * changes nothing.
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

/* Bytes that are read at once, or one record if that is longer. */
#define READ_BYTES (256 * 1024)

/* Most records of one file in memory: its owner's locks may keep them there. */
#define MOST_IN_HAND 1024

/* How much of a file was read. */
typedef struct SpoolReader
{
	int64		start;			/* of the file, as in the table */
	int			pid;
	int			number;
	uint64		offset;
	uint64		read;			/* records */
	uint64		storing;		/* stored by commits that are not published */
	uint64		unflushed;		/* stored by commits that may not be on disk */
	uint64		in_hand;
} SpoolReader;

static SpoolReader *readers = NULL;

/* Bytes of answers in memory, and beyond which no more are read. */
#define MOST_BYTES (UINT64CONST(64) * 1024 * 1024)
static uint64 bytes_in_hand = 0;

/*
 * How many processes may die while they read an adopted file: an answer in it may
 * kill the process that stores it.  Each that begins to read adds ADOPTED to the
 * number in the file's name, and subtracts it if it ends normally.
 */
#define MOST_ADOPTED 5
#define ADOPTED 10000000

/*
 * Add step to the readers that an adopted file's name counts.  Returns false, and
 * sets the file aside, if they are too many.
 */
static bool
count_reader(SpoolFile *file, int step)
{
	int			number = file->number + step * ADOPTED;
	bool		bad = number / ADOPTED > MOST_ADOPTED;
	char		path[SPOOL_PATH];
	char		name[SPOOL_PATH];

	if (!file->adopted)
		return true;
	oss_spool_path(path, file->dbid, file->start, file->pid, file->number);
	oss_spool_path(name, file->dbid, file->start, file->pid, number);
	if (bad)
		strlcat(name, ".bad", sizeof(name));
	if (rename(path, name) == 0)
		file->number = number;
	if (!bad)
		return true;
	file->dbid = InvalidOid;
	ereport(LOG,
			(errmsg("oss_labels sets a file of answers aside: each process that stored them died"),
			 errdetail("It is \"%s\" in the data directory.", name)));
	return false;
}

/* Stop reading all files. */
bool
oss_spool_leave(void)
{
	bool		left = false;

	if (readers == NULL)
		return false;
	LWLockAcquire(oss_spool_lock, LW_EXCLUSIVE);
	for (int i = 0; i < oss_spool->nfiles; i++)
	{
		SpoolFile  *file = &oss_spool->files[i];

		if (!OidIsValid(file->dbid) || file->reader != MyProcPid)
			continue;
		file->reader = 0;
		(void) count_reader(file, -1);
		left |= file->bytes > 0;
	}
	LWLockRelease(oss_spool_lock);
	free(readers);
	readers = NULL;
	bytes_in_hand = 0;
	return left;
}

/* Stop reading when the process ends. */
static void
on_exit_reader(int code, Datum arg)
{
	(void) oss_spool_leave();
}

/* Allocate the state of reading; returns false if memory is exhausted. */
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

/* Does the state of reading belong to the file that has the entry now? */
static bool
is_same_file(const SpoolReader *reader, const SpoolFile *file)
{
	return reader->start == file->start && reader->pid == file->pid &&
		reader->number == file->number;
}

/* Become the reader of a file, unless another process is. */
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
	if (!count_reader(file, 1))
		return false;
	memset(reader, 0, sizeof(*reader));
	reader->start = file->start;
	reader->pid = file->pid;
	reader->number = file->number;
	file->reader = MyProcPid;
	file->stored = file->flushed = 0;
	return true;
}

/* Find the strings of a record whose checksum is correct. */
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
 * Parse the record at the beginning of bytes; its strings point into bytes.
 * Returns its length, 0 if it is incomplete, -1 if it is no record.
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

/* Read bytes of a file into CurrentMemoryContext; returns NULL if there are none. */
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

/* Read a record of any session. */
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
 * Count the rest of a file, which cannot be read, as stored: it is lost, and no
 * session must wait for it.
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
			 errmsg("oss_labels could not read the rest of a file of answers"),
			 errdetail("These answers are lost; their images are requested again when their labels are needed.")));
}

/* Count a record as read.  In an adopted file it also counts as written. */
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

/* Read the new records of a file; returns their number. */
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

		/* a record longer than the buffer, or the end of what can be read */
		if (length < 0 || len < want || want > MaxAllocSize / 4)
		{
			give_up_rest(i);
			break;
		}
		want *= 4;
	}
	return n;
}

/* Enter a file of an ended process into the table, unless it is there. */
static void
adopt_file(int64 start, int pid, int number, uint64 bytes)
{
	SpoolFile  *place = NULL;

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
	memset(place, 0, sizeof(*place));
	place->dbid = MyDatabaseId;
	place->start = start;
	place->pid = pid;
	place->number = number;
	place->adopted = true;
	place->bytes = bytes;
}

/* Parse the name of a file; returns false if it is not of the spool. */
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

/* Adopt the files of ended processes in this database. */
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
			adopt_file(start, pid, number, status.st_size);
		LWLockRelease(oss_spool_lock);
	}
	FreeDir(directory);
}

/* Does this database have a file that a process left? */
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

/* Read the new records of this database. */
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

/* Count a record as stored. */
void
oss_spool_stored(int file, size_t bytes)
{
	Assert(readers != NULL && readers[file].in_hand > 0);
	readers[file].storing++;
	readers[file].in_hand--;
	bytes_in_hand -= Min(bytes, bytes_in_hand);
}

/* Empty a file if all of it is stored, or remove it if its owner has ended. */
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

/* Publish what was counted as stored. */
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

/* Delete the answers of this database. */
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

/* Remove the files of a database that was dropped. */
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
