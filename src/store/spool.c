/*-------------------------------------------------------------------------
 * spool.c
 *	  Answers that wait for the worker to store them: the side of who has them.
 *
 * A record is written by one system call and then counted in shared memory, so
 * that a reader sees whole records only.  After a crash the files alone are
 * there, and their checksums say where they end.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "access/xlog.h"
#include "client/http.h"
#include "client/request.h"
#include "miscadmin.h"
#include "spi/wait_event.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/shmem.h"
#include "store/spool_file.h"
#include "utils/timestamp.h"

/* Files beside those of living sessions. */
#define SPARE_FILES 64

/* A longer file is left to the worker, and another begun. */
#define LONGEST_FILE (16 * 1024 * 1024)

/*
 * How long a statement waits until its answers are stored; and when nothing has
 * been since the last one waited in vain.
 */
#define AWAIT_MS 1000
#define AWAIT_AGAIN_MS 100

SpoolShared *oss_spool = NULL;
LWLock	   *oss_spool_lock = NULL;
void		(*oss_spool_wake) (void) = NULL;

/* This session's file: its place in the table, -1: none; its descriptor. */
static int	mine = -1;
static int	fd = -1;
static int	number = 0;

/* Why an answer could not be appended, 0: none so far. */
static int	write_error = 0;

/* Something was appended since it was last waited for. */
static bool unawaited = false;

/*
 * Records that were waited for in vain, and are not waited for again; and how many
 * had been stored then.
 */
static uint64 stuck = 0;
static uint64 stored_then = 0;

/* Return how many files there may be. */
static int
most_files(void)
{
	return MaxBackends + SPARE_FILES;
}

/* Return how much shared memory is needed. */
Size
oss_spool_shared_size(void)
{
	return add_size(offsetof(SpoolShared, files),
					mul_size(most_files(), sizeof(SpoolFile)));
}

/* Make the directory unless it is there; returns false with errno. */
static bool
make_directory(void)
{
	return mkdir(OSS_SPOOL_DIRECTORY, S_IRWXU) == 0 || errno == EEXIST;
}

/* Attach to shared memory, and make the directory. */
void
oss_spool_shared_start(LWLock *lock)
{
	bool		found;

	oss_spool = ShmemInitStruct("oss_labels spool", oss_spool_shared_size(), &found);
	oss_spool_lock = lock;
	if (found)
		return;
	memset(oss_spool, 0, oss_spool_shared_size());
	oss_spool->nfiles = most_files();
	ConditionVariableInit(&oss_spool->changed);
	if (!make_directory())
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not create directory \"%s\": %m", OSS_SPOOL_DIRECTORY)));
}

/* Write the path of a file. */
void
oss_spool_path(char *path, Oid dbid, int64 start, int pid, int nth)
{
	snprintf(path, SPOOL_PATH, OSS_SPOOL_DIRECTORY "/%u-" UINT64_FORMAT "-%d-%d",
			 dbid, (uint64) start, pid, nth);
}

/* Leave this session's file to the worker; if nothing is in it, it goes. */
static void
leave_file(void)
{
	SpoolFile  *file;
	char		path[SPOOL_PATH];
	bool		left;

	if (mine < 0)
		return;
	LWLockAcquire(oss_spool_lock, LW_EXCLUSIVE);
	file = &oss_spool->files[mine];
	left = file->bytes > 0;
	if (left)
	{
		file->owner = 0;
		file->writing = false;
	}
	else
	{
		oss_spool_path(path, file->dbid, file->start, file->pid, file->number);
		(void) unlink(path);
		file->dbid = InvalidOid;
	}
	LWLockRelease(oss_spool_lock);
	close(fd);
	ReleaseExternalFD();
	mine = fd = -1;
	stuck = 0;
	if (left && oss_spool_wake)
		oss_spool_wake();
}

/* Leave it as the session ends. */
static void
on_exit_session(int code, Datum arg)
{
	leave_file();
}

/* Take a place in the table; returns -1 when there is none. */
static int
take_place(void)
{
	int			place = -1;

	LWLockAcquire(oss_spool_lock, LW_EXCLUSIVE);
	for (int i = 0; i < oss_spool->nfiles && place < 0; i++)
	{
		SpoolFile  *file = &oss_spool->files[i];

		if (OidIsValid(file->dbid))
			continue;
		memset(file, 0, sizeof(*file));
		file->dbid = MyDatabaseId;
		file->start = MyStartTimestamp;
		file->pid = file->owner = MyProcPid;
		file->number = ++number;
		place = i;
	}
	LWLockRelease(oss_spool_lock);
	return place;
}

/* Give a place back whose file could not be made. */
static void
give_place_back(int place)
{
	LWLockAcquire(oss_spool_lock, LW_EXCLUSIVE);
	oss_spool->files[place].dbid = InvalidOid;
	LWLockRelease(oss_spool_lock);
}

/* Create a file; returns -1 with errno when that fails. */
static int
open_file(const char *path)
{
	return BasicOpenFilePerm(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | PG_BINARY,
							 S_IRUSR | S_IWUSR);
}

/* Make this session's file; returns false with errno, 0 when there is no place. */
static bool
make_file(void)
{
	static bool registered = false;
	char		path[SPOOL_PATH];
	int			place;
	int			error;

	if (!registered)
		on_shmem_exit(on_exit_session, (Datum) 0);
	registered = true;
	errno = 0;
	place = take_place();
	if (place < 0)
		return false;
	oss_spool_path(path, MyDatabaseId, MyStartTimestamp, MyProcPid, number);
	if (!AcquireExternalFD())
	{
		give_place_back(place);
		errno = EMFILE;
		return false;
	}
	fd = open_file(path);

	/* somebody has removed the directory */
	if (fd < 0 && errno == ENOENT && make_directory())
		fd = open_file(path);
	if (fd >= 0)
	{
		mine = place;
		return true;
	}
	error = errno;
	ReleaseExternalFD();
	give_place_back(place);
	errno = error;
	return false;
}

/* Say, once a minute, that answers cannot be handed on; error 0: there is no place. */
static void
warn(int error)
{
	static int64 warned_at = 0;
	int64		now = oss_clock_us();

	if (warned_at != 0 && now - warned_at < USECS_PER_MINUTE)
		return;
	warned_at = now;
	errno = error;
	if (error == 0)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("oss_labels has too many answers that are not stored yet"),
				 errdetail("Answers are stored in the transaction of the caller, and lost if it is rolled back.")));
	else
		ereport(WARNING,
				(errcode_for_file_access(),
				 errmsg("could not write a file in \"%s\": %m", OSS_SPOOL_DIRECTORY),
				 errdetail("Answers are stored in the transaction of the caller, and lost if it is rolled back.")));
}

/* Say that an answer could not be appended, which could not be said then. */
static void
warn_of_writing(void)
{
	int			error = write_error;

	write_error = 0;
	if (error != 0)
		warn(error);
}

/* Make ready to append. */
bool
oss_spool_prepare(void)
{
	if (oss_spool == NULL || RecoveryInProgress())
		return false;
	if (mine >= 0 && oss_spool->files[mine].bytes > LONGEST_FILE)
		leave_file();
	if (mine < 0 && !make_file())
	{
		warn(errno);
		return false;
	}
	warn_of_writing();
	return true;
}

/* Fill in a string of a record. */
static void
put_string(SpoolHead *head, struct iovec *pieces, enum SpoolString which,
		   const char *string, size_t len)
{
	static const char *const nul = "";

	head->sizes[which] = len + 1;
	pieces[1 + 2 * which].iov_base = unconstify(char *, string);
	pieces[1 + 2 * which].iov_len = len;
	pieces[2 + 2 * which].iov_base = unconstify(char *, nul);
	pieces[2 + 2 * which].iov_len = 1;
}

/* Fill in the pieces of a record, of which the head is the first. */
static void
put_record(const OssSpoolRecord *record, SpoolHead *head, struct iovec *pieces, int n)
{
	const char *version = record->image.version_id ? record->image.version_id : "";
	const char *etag = record->image.etag ? record->image.etag : "";

	memset(head, 0, sizeof(*head));
	head->magic = SPOOL_MAGIC;
	head->requester = record->requester;
	head->asked_at = record->asked_at;
	head->facts = record->facts;
	head->thr = record->image.thr;
	head->has_thr = record->image.has_thr;
	head->has_version = record->image.version_id != NULL;
	pieces[0].iov_base = head;
	pieces[0].iov_len = sizeof(*head);
	put_string(head, pieces, SPOOL_SERVER, record->server, strlen(record->server));
	put_string(head, pieces, SPOOL_BUCKET, record->image.bucket, strlen(record->image.bucket));
	put_string(head, pieces, SPOOL_KEY, record->image.key, strlen(record->image.key));
	put_string(head, pieces, SPOOL_VERSION, version, strlen(version));
	put_string(head, pieces, SPOOL_ETAG, etag, strlen(etag));
	put_string(head, pieces, SPOOL_REQUEST_ID, record->request_id,
			   strlen(record->request_id));
	put_string(head, pieces, SPOOL_BODY, record->body, record->body_len);
	head->length = 0;
	for (int i = 0; i < n; i++)
		head->length += pieces[i].iov_len;
	INIT_CRC32C(head->crc);
	COMP_CRC32C(head->crc, (char *) head + SPOOL_CRC_FROM, sizeof(*head) - SPOOL_CRC_FROM);
	for (int i = 1; i < n; i++)
		COMP_CRC32C(head->crc, pieces[i].iov_base, pieces[i].iov_len);
	FIN_CRC32C(head->crc);
}

/* Begin to write: the reader must not empty the file now.  Returns where. */
static uint64
begin_writing(void)
{
	uint64		offset;

	LWLockAcquire(oss_spool_lock, LW_EXCLUSIVE);
	oss_spool->files[mine].writing = true;
	offset = oss_spool->files[mine].bytes;
	LWLockRelease(oss_spool_lock);
	return offset;
}

/* End it, with so many bytes more. */
static void
end_writing(uint32 length)
{
	SpoolFile  *file = &oss_spool->files[mine];

	LWLockAcquire(oss_spool_lock, LW_EXCLUSIVE);
	file->writing = false;
	file->bytes += length;
	if (length > 0)
		file->records++;
	LWLockRelease(oss_spool_lock);
}

/* Append an answer. */
bool
oss_spool_append(const OssSpoolRecord *record, OssSpoolPlace *place)
{
	struct iovec pieces[1 + 2 * SPOOL_STRINGS];
	SpoolHead	head;
	bool		written;

	if (mine < 0)
		return false;
	put_record(record, &head, pieces, lengthof(pieces));
	place->start = oss_spool->files[mine].start;
	place->pid = oss_spool->files[mine].pid;
	place->number = oss_spool->files[mine].number;
	place->length = head.length;
	place->offset = begin_writing();
	errno = 0;
	written = writev(fd, pieces, lengthof(pieces)) == (ssize_t) head.length;
	if (!written)
		write_error = errno ? errno : ENOSPC;
	if (!written && ftruncate(fd, (off_t) place->offset) != 0)
		elog(DEBUG1, "oss_labels: a file of answers could not be cut: %m");
	end_writing(written ? head.length : 0);
	if (!written)
		return false;
	unawaited = true;
	if (oss_spool_wake)
		oss_spool_wake();
	return true;
}

/* Is what this session has appended stored, but for what is stuck? */
static bool
is_stored(void)
{
	const SpoolFile *file = &oss_spool->files[mine];
	bool		stored;

	LWLockAcquire(oss_spool_lock, LW_SHARED);
	if (file->stored >= file->records)
		stuck = 0;
	stored = file->stored + stuck >= file->records;
	LWLockRelease(oss_spool_lock);
	return stored;
}

/* Is nothing stored any more, as far as this session can tell? */
static bool
stands_still(void)
{
	bool		still;

	LWLockAcquire(oss_spool_lock, LW_SHARED);
	still = stuck > 0 && oss_spool->files[mine].stored == stored_then;
	LWLockRelease(oss_spool_lock);
	return still;
}

/* Give up waiting. */
static void
give_up(void)
{
	const SpoolFile *file = &oss_spool->files[mine];

	LWLockAcquire(oss_spool_lock, LW_SHARED);
	stuck = file->records - file->stored;
	stored_then = file->stored;
	LWLockRelease(oss_spool_lock);
	elog(DEBUG1, "oss_labels: " UINT64_FORMAT " answers are not stored yet", stuck);
}

/* Wait until what this session has appended is stored. */
void
oss_spool_await(void)
{
	int64		end;

	warn_of_writing();
	if (!unawaited || mine < 0)
		return;
	unawaited = false;
	end = oss_clock_us() +
		(stands_still() ? AWAIT_AGAIN_MS : AWAIT_MS) * INT64CONST(1000);
	ConditionVariablePrepareToSleep(&oss_spool->changed);
	while (!is_stored())
	{
		int64		left = (end - oss_clock_us()) / 1000 + 1;

		if (left <= 1)
		{
			give_up();
			break;
		}
		(void) ConditionVariableTimedSleep(&oss_spool->changed, (long) left,
										   oss_queue_wait_event());
	}
	ConditionVariableCancelSleep();
}

/* Does anything in this database wait to be stored? */
bool
oss_spool_pending(void)
{
	bool		pending = false;

	if (oss_spool == NULL)
		return false;
	LWLockAcquire(oss_spool_lock, LW_SHARED);
	for (int i = 0; i < oss_spool->nfiles && !pending; i++)
	{
		const SpoolFile *file = &oss_spool->files[i];

		pending = file->dbid == MyDatabaseId && file->stored < file->records;
	}
	LWLockRelease(oss_spool_lock);
	return pending;
}

/* Wake whoever waits for a change. */
void
oss_spool_broadcast(void)
{
	if (oss_spool)
		ConditionVariableBroadcast(&oss_spool->changed);
}

/* Be woken by the next change. */
void
oss_spool_watch(void)
{
	ConditionVariablePrepareToSleep(&oss_spool->changed);
}

/* Sleep until something changed. */
void
oss_spool_sleep(long ms)
{
	oss_network_wait(ms);
}

/* Be woken no more. */
void
oss_spool_unwatch(void)
{
	ConditionVariableCancelSleep();
}
