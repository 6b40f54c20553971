/*-------------------------------------------------------------------------
 * spool.c
 *	  Answers that the worker has not stored yet: the sessions that append them.
 *
 * A session writes a record by one system call and then counts it in shared
 * memory, so that a reader sees complete records only.  After a crash there are
 * only the files: the checksums show up to where they are complete.
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
#include "compat.h"
#include "miscadmin.h"
#include "spi/wait_event.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/shmem.h"
#include "store/spool_file.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

/* Entries for files of sessions that have ended. */
#define SPARE_FILES 64

/* A session leaves a longer file to the worker, and begins a new one. */
#define LONGEST_FILE (16 * 1024 * 1024)

/*
 * How long a statement waits until its answers are stored; how long if nothing was
 * stored since the last statement gave up; how often it checks whether a process is
 * there to store them.
 */
#define AWAIT_MS 1000
#define AWAIT_AGAIN_MS 100
#define SERVED_MS 50

SpoolShared *oss_spool = NULL;
LWLock	   *oss_spool_lock = NULL;
void		(*oss_spool_wake) (void) = NULL;
bool		(*oss_spool_served) (void) = NULL;

/* This session's file: its index in the table (-1: none), and its descriptor. */
static int	mine = -1;
static int	fd = -1;
static int	number = 0;

/* errno of a failure to append that is not reported yet; 0: none. */
static int	write_error = 0;

/* Was anything appended since oss_spool_await() was last called? */
static bool unawaited = false;

/*
 * How many records were not stored when a statement gave up waiting, so that no
 * statement waits for them again; and how many were stored at that time.
 */
static uint64 stuck = 0;
static uint64 stored_then = 0;

/* Return the number of entries in the table. */
static int
most_files(void)
{
	return MaxBackends + SPARE_FILES;
}

/* Return the size of shared memory. */
Size
oss_spool_shared_size(void)
{
	return add_size(offsetof(SpoolShared, files),
					mul_size(most_files(), sizeof(SpoolFile)));
}

/* Create the directory unless it exists; returns false with errno set. */
static bool
make_directory(void)
{
	return mkdir(OSS_SPOOL_DIRECTORY, S_IRWXU) == 0 || errno == EEXIST;
}

/* Attach to shared memory, and create the directory. */
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

/* Leave this session's file to the worker, or remove it if it is empty. */
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

/* Leave the file when the session ends. */
static void
on_exit_session(int code, Datum arg)
{
	leave_file();
}

/* Take a free entry of the table; returns -1 if there is none. */
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

/* Free an entry whose file could not be created. */
static void
give_place_back(int place)
{
	LWLockAcquire(oss_spool_lock, LW_EXCLUSIVE);
	oss_spool->files[place].dbid = InvalidOid;
	LWLockRelease(oss_spool_lock);
}

/* Create a file; returns -1 with errno set on failure. */
static int
open_file(const char *path)
{
	return BasicOpenFilePerm(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | PG_BINARY,
							 S_IRUSR | S_IWUSR);
}

/* Create this session's file.  Returns false with errno set, to 0 if no entry is free. */
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

	/* the directory was removed */
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

/*
 * Warn, once a minute, that answers cannot be given to the worker.  error 0: no
 * entry is free.
 */
static void
warn_of_spool(int error)
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

/* Report that an answer could not be appended; oss_spool_append() must not. */
static void
warn_of_writing(void)
{
	int			error = write_error;

	write_error = 0;
	if (error != 0)
		warn_of_spool(error);
}

/* Open the file before a request is sent. */
bool
oss_spool_prepare(void)
{
	if (oss_spool == NULL || RecoveryInProgress())
		return false;
	if (mine >= 0 && oss_spool->files[mine].bytes > LONGEST_FILE)
		leave_file();
	if (mine < 0 && !make_file())
	{
		warn_of_spool(errno);
		return false;
	}
	warn_of_writing();
	return true;
}

/* Set a string of a record. */
static void
put_record_string(SpoolHead *head, struct iovec *pieces, enum SpoolString which,
				  const char *string, size_t len)
{
	static const char *const nul = "";

	head->sizes[which] = len + 1;
	pieces[1 + 2 * which].iov_base = unconstify(char *, string);
	pieces[1 + 2 * which].iov_len = len;
	pieces[2 + 2 * which].iov_base = unconstify(char *, nul);
	pieces[2 + 2 * which].iov_len = 1;
}

/* Set the pieces of a record; the first one is the head. */
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
	put_record_string(head, pieces, SPOOL_SERVER, record->server, strlen(record->server));
	put_record_string(head, pieces, SPOOL_BUCKET, record->image.bucket, strlen(record->image.bucket));
	put_record_string(head, pieces, SPOOL_KEY, record->image.key, strlen(record->image.key));
	put_record_string(head, pieces, SPOOL_VERSION, version, strlen(version));
	put_record_string(head, pieces, SPOOL_ETAG, etag, strlen(etag));
	put_record_string(head, pieces, SPOOL_REQUEST_ID, record->request_id,
					  strlen(record->request_id));
	put_record_string(head, pieces, SPOOL_BODY, record->body, record->body_len);
	head->length = 0;
	for (int i = 0; i < n; i++)
		head->length += pieces[i].iov_len;
	INIT_CRC32C(head->crc);
	COMP_CRC32C(head->crc, (char *) head + SPOOL_CRC_FROM, sizeof(*head) - SPOOL_CRC_FROM);
	for (int i = 1; i < n; i++)
		COMP_CRC32C(head->crc, pieces[i].iov_base, pieces[i].iov_len);
	FIN_CRC32C(head->crc);
}

/*
 * Keep the reader from emptying the file while we write; returns the position.
 * Stuck records that were stored meanwhile are no longer stuck.
 */
static uint64
begin_writing(void)
{
	SpoolFile  *file = &oss_spool->files[mine];
	uint64		offset;

	LWLockAcquire(oss_spool_lock, LW_EXCLUSIVE);
	file->writing = true;
	offset = file->bytes;
	stuck = Min(stuck, file->records - file->stored);
	LWLockRelease(oss_spool_lock);
	return offset;
}

/* Let the reader empty the file again, which has grown by length bytes. */
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

/* Are all answers of this session stored, except for stuck ones? */
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

/* Was nothing of this session stored since it gave up waiting? */
static bool
stands_still(void)
{
	bool		still;

	LWLockAcquire(oss_spool_lock, LW_SHARED);
	still = stuck > 0 && oss_spool->files[mine].stored == stored_then;
	LWLockRelease(oss_spool_lock);
	return still;
}

/* Give up waiting for the records that are not stored now. */
static void
give_up_waiting(void)
{
	const SpoolFile *file = &oss_spool->files[mine];

	LWLockAcquire(oss_spool_lock, LW_SHARED);
	stuck = file->records - file->stored;
	stored_then = file->stored;
	LWLockRelease(oss_spool_lock);
	elog(DEBUG1, "oss_labels: " UINT64_FORMAT " answers are not stored yet", stuck);
}

/*
 * Return how long to wait: at most half of what a timeout leaves, since the labels
 * are there, and the statement must not fail because of the wait.
 */
static int64
await_us(void)
{
	static const TimeoutId timeouts[] = {STATEMENT_TIMEOUT, OSS_TRANSACTION_TIMEOUT};
	int64		us = (stands_still() ? AWAIT_AGAIN_MS : AWAIT_MS) * INT64CONST(1000);

	for (int i = 0; i < lengthof(timeouts); i++)
	{
		if (get_timeout_active(timeouts[i]))
			us = Min(us, (get_timeout_finish_time(timeouts[i]) - GetCurrentTimestamp()) / 2);
	}
	return us;
}

/* Wait until all answers of this session are stored. */
void
oss_spool_await(void)
{
	int64		end;

	warn_of_writing();
	if (!unawaited || mine < 0)
		return;
	unawaited = false;
	end = oss_clock_us() + await_us();
	ConditionVariablePrepareToSleep(&oss_spool->changed);
	while (!is_stored())
	{
		int64		left = (end - oss_clock_us()) / 1000 + 1;

		if (left <= 1 || !oss_spool_served())
		{
			give_up_waiting();
			break;
		}
		(void) ConditionVariableTimedSleep(&oss_spool->changed, (long) Min(left, SERVED_MS),
										   oss_queue_wait_event());
	}
	ConditionVariableCancelSleep();
}

/* Does this database have answers that are not stored yet? */
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

/* Wake all processes that wait for a change. */
void
oss_spool_broadcast(void)
{
	if (oss_spool)
		ConditionVariableBroadcast(&oss_spool->changed);
}

/* Register to be woken by the next change. */
void
oss_spool_watch(void)
{
	ConditionVariablePrepareToSleep(&oss_spool->changed);
}

/* Sleep until a change. */
void
oss_spool_sleep(long ms)
{
	oss_network_wait(ms);
}

/* Unregister. */
void
oss_spool_unwatch(void)
{
	ConditionVariableCancelSleep();
}
