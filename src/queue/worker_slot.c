/*-------------------------------------------------------------------------
 * worker_slot.c
 *	  A slot per database in shared memory, and wake-ups at commit.
 *
 * oss_worker_shmem->lock guards everything but the wake flags, which are atomic
 * so that a commit writes only if the worker was not woken already.  No code
 * waits while holding the lock.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "client/budget.h"
#include "client/credential_cache.h"
#include "client/http.h"
#include "client/rate_limit.h"
#include "client/rate_table.h"
#include "client/usage.h"
#include "compat.h"
#include "miscadmin.h"
#include "queue/worker_slot.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "store/flight.h"
#include "store/spool.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

OssWorkerShmem *oss_worker_shmem = NULL;

static shmem_request_hook_type previous_request_hook;
static shmem_startup_hook_type previous_startup_hook;

/* This transaction enqueued jobs or created the extension. */
static bool wake_pending = false;

/*
 * Servers whose holds and rates end when this transaction commits;
 * InvalidOid: all.  In TopTransactionContext.
 */
static List *resume_pending = NIL;

/* This transaction created or altered a database. */
static bool list_pending = false;

/* This transaction set oss_labels.worker for a database or role. */
static bool recheck_pending = false;

static void
request_shared_memory(void)
{
	if (previous_request_hook)
		previous_request_hook();
	RequestAddinShmemSpace(add_size(MAXALIGN(sizeof(OssWorkerShmem)),
									oss_rate_table_size()));
	oss_credential_cache_shared_request();
	RequestAddinShmemSpace(add_size(oss_spool_shared_size(), oss_flight_shared_size()));
	RequestAddinShmemSpace(add_size(oss_usage_shared_size(), oss_budget_shared_size()));
	RequestNamedLWLockTranche("oss_labels", 5);
}

/* Attach to the shared memory, or initialize it. */
static void
start_shared_memory(void)
{
	bool		found;

	if (previous_startup_hook)
		previous_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	oss_worker_shmem = ShmemInitStruct("oss_labels", sizeof(OssWorkerShmem), &found);
	if (!found)
	{
		memset(oss_worker_shmem, 0, sizeof(OssWorkerShmem));
		pg_atomic_init_u32(&oss_worker_shmem->waiting, 0);
		oss_worker_shmem->lock = &GetNamedLWLockTranche("oss_labels")->lock;
		for (int i = 0; i < OSS_MAX_SLOTS; i++)
		{
			pg_atomic_init_u32(&oss_worker_shmem->slots[i].wake, 0);
			pg_atomic_init_u32(&oss_worker_shmem->slots[i].recheck, 0);
			pg_atomic_init_u32(&oss_worker_shmem->slots[i].spooled, 0);
			pg_atomic_init_u32(&oss_worker_shmem->slots[i].counted, 0);
		}
	}
	oss_rate_table_start();
	oss_usage_shared_start();
	oss_credential_cache_shared_start();
	oss_spool_shared_start(&GetNamedLWLockTranche("oss_labels")[1].lock);
	oss_flight_shared_start(&GetNamedLWLockTranche("oss_labels")[2].lock);
	oss_budget_shared_start(&GetNamedLWLockTranche("oss_labels")[3].lock,
							&GetNamedLWLockTranche("oss_labels")[4].lock);
	LWLockRelease(AddinShmemInitLock);
}

OssSlot *
oss_slot_find(Oid dbid)
{
	/* a session looks up its own database at each commit that enqueues */
	static int	last = 0;

	Assert(LWLockHeldByMe(oss_worker_shmem->lock));
	if (oss_worker_shmem->slots[last].dbid == dbid)
		return &oss_worker_shmem->slots[last];
	for (int i = 0; i < OSS_MAX_SLOTS; i++)
	{
		if (oss_worker_shmem->slots[i].dbid == dbid)
		{
			last = i;
			return &oss_worker_shmem->slots[i];
		}
	}
	return NULL;
}

/*
 * Return when a slot's database needs it again, 0 if it must keep it,
 * PG_INT64_MAX if it needs none until it is asked for.
 */
static int64
needed_again(OssSlot *slot)
{
	if (slot->pid != 0 || slot->ddl_holds > 0 || slot->foreground > 0 ||
		pg_atomic_read_u32(&slot->wake) != 0 ||
		pg_atomic_read_u32(&slot->spooled) != 0 ||
		pg_atomic_read_u32(&slot->counted) != 0)
		return 0;
	switch (slot->state)
	{
		case OSS_SLOT_ABSENT:
			return PG_INT64_MAX;
		case OSS_SLOT_IDLE:
		case OSS_SLOT_COPY:
		case OSS_SLOT_DISABLED:
		case OSS_SLOT_MISMATCH:
			return slot->start_at;
		default:
			return 0;
	}
}

/*
 * Return the slot that is not needed for the longest time; one of a database
 * without the extension first.  Returns NULL if all are needed.
 */
static OssSlot *
take_idle_slot(void)
{
	OssSlot    *best = NULL;
	int64		best_at = oss_clock_us();

	for (int i = 0; i < OSS_MAX_SLOTS && best_at != PG_INT64_MAX; i++)
	{
		int64		at = needed_again(&oss_worker_shmem->slots[i]);

		if (at > best_at)
		{
			best = &oss_worker_shmem->slots[i];
			best_at = at;
		}
	}
	return best;
}

OssSlot *
oss_slot_make(Oid dbid)
{
	OssSlot    *slot = oss_slot_find(dbid);

	Assert(OidIsValid(dbid));
	if (slot)
		return slot;
	slot = oss_slot_find(InvalidOid);
	if (slot == NULL)
		slot = take_idle_slot();
	if (slot == NULL)
		return NULL;
	slot->dbid = dbid;
	slot->ddl_holds = 0;
	slot->foreground = 0;
	slot->failures = 0;
	slot->pid = 0;
	slot->latch = NULL;
	slot->start_at = 0;
	slot->pending = false;
	slot->clock_offset = 0;
	slot->last_error[0] = '\0';
	memset(slot->resumed, 0, sizeof(slot->resumed));
	memset(slot->obeyed, 0, sizeof(slot->obeyed));
	pg_atomic_write_u32(&slot->wake, 0);
	pg_atomic_write_u32(&slot->recheck, 0);
	pg_atomic_write_u32(&slot->spooled, 0);
	pg_atomic_write_u32(&slot->counted, 0);
	oss_slot_set_state(slot, OSS_SLOT_UNKNOWN);
	return slot;
}

void
oss_slot_set_state(OssSlot *slot, OssSlotState state)
{
	/* changing between these states does not restart the wait */
	if ((slot->state != state || slot->since == 0) &&
		!(slot->state == OSS_SLOT_CAPPED && state == OSS_SLOT_NO_PROCESS) &&
		!(slot->state == OSS_SLOT_NO_PROCESS && state == OSS_SLOT_CAPPED))
	{
		slot->since = GetCurrentTimestamp();
		slot->since_us = oss_clock_us();
	}
	slot->state = state;
}

void
oss_wake_launcher(void)
{
	if (oss_worker_shmem == NULL)
		return;
	LWLockAcquire(oss_worker_shmem->lock, LW_SHARED);
	if (oss_worker_shmem->launcher_latch)
		SetLatch(oss_worker_shmem->launcher_latch);
	LWLockRelease(oss_worker_shmem->lock);
}

/*
 * Set the flag at this offset of this database's slot and wake its worker, or the
 * launcher to start it.
 */
static void
set_slot_flag(size_t flag)
{
	OssSlot    *slot;

	LWLockAcquire(oss_worker_shmem->lock, LW_SHARED);
	slot = oss_slot_find(MyDatabaseId);
	if (slot == NULL)
	{
		/* New slot: the launcher must check the database again. */
		LWLockRelease(oss_worker_shmem->lock);
		LWLockAcquire(oss_worker_shmem->lock, LW_EXCLUSIVE);
		slot = oss_slot_make(MyDatabaseId);
	}
	if (slot == NULL)
	{
		/* no slot: the launcher must find out which database it was */
		oss_worker_shmem->wake_lost = true;
		if (oss_worker_shmem->launcher_latch)
			SetLatch(oss_worker_shmem->launcher_latch);
	}
	else if (pg_atomic_exchange_u32((pg_atomic_uint32 *) ((char *) slot + flag), 1) == 0)
	{
		if (slot->latch)
			SetLatch(slot->latch);
		else if (oss_worker_shmem->launcher_latch)
			SetLatch(oss_worker_shmem->launcher_latch);
	}
	LWLockRelease(oss_worker_shmem->lock);
}

/* There are new jobs. */
static void
wake_worker(void)
{
	set_slot_flag(offsetof(OssSlot, wake));
}

/* An answer is to be stored. */
static void
wake_for_spool(void)
{
	set_slot_flag(offsetof(OssSlot, spooled));
}

/* Accounts are to be written. */
static void
wake_for_usage(void)
{
	set_slot_flag(offsetof(OssSlot, counted));
}

static void
ask_for_databases(void)
{
	LWLockAcquire(oss_worker_shmem->lock, LW_EXCLUSIVE);
	oss_worker_shmem->new_databases = true;
	if (oss_worker_shmem->launcher_latch)
		SetLatch(oss_worker_shmem->launcher_latch);
	LWLockRelease(oss_worker_shmem->lock);
}

static void
resume_rates(void)
{
	ListCell   *cell;
	OssSlot    *slot;

	foreach(cell, resume_pending)
		oss_rate_resume(lfirst_oid(cell), NULL);
	if (resume_pending == NIL || oss_worker_shmem == NULL)
		return;
	LWLockAcquire(oss_worker_shmem->lock, LW_EXCLUSIVE);
	slot = oss_slot_make(MyDatabaseId);
	foreach(cell, resume_pending)
	{
		Oid			serverid = lfirst_oid(cell);

		for (int i = 0; slot && i < OSS_RESUME_COUNTS; i++)
		{
			if (!OidIsValid(serverid) || serverid % OSS_RESUME_COUNTS == i)
				slot->resumed[i]++;
		}
	}
	LWLockRelease(oss_worker_shmem->lock);
}

uint32
oss_resume_count(Oid serverid, uint32 *obeyed)
{
	OssSlot    *slot;
	uint32		count = 0;

	*obeyed = 0;
	if (oss_worker_shmem == NULL)
		return 0;
	LWLockAcquire(oss_worker_shmem->lock, LW_SHARED);
	slot = oss_slot_find(MyDatabaseId);
	if (slot)
	{
		count = slot->resumed[serverid % OSS_RESUME_COUNTS];
		*obeyed = slot->obeyed[serverid % OSS_RESUME_COUNTS];
	}
	LWLockRelease(oss_worker_shmem->lock);
	return count;
}

void
oss_resume_obeyed(Oid serverid, uint32 count)
{
	OssSlot    *slot;

	if (oss_worker_shmem == NULL)
		return;
	LWLockAcquire(oss_worker_shmem->lock, LW_EXCLUSIVE);
	slot = oss_slot_find(MyDatabaseId);
	if (slot)
		slot->obeyed[serverid % OSS_RESUME_COUNTS] = count;
	LWLockRelease(oss_worker_shmem->lock);
}

/* Is a process there that stores answers, or will it be at once? */
static bool
is_served(void)
{
	OssSlot    *slot;
	bool		served = true;

	LWLockAcquire(oss_worker_shmem->lock, LW_SHARED);
	slot = oss_slot_find(MyDatabaseId);
	if (slot && slot->pid == 0 && slot->foreground == 0)
		served = slot->ddl_holds == 0 && slot->state != OSS_SLOT_MISMATCH &&
			slot->state != OSS_SLOT_FAILED && slot->state != OSS_SLOT_NO_PROCESS &&
			slot->state != OSS_SLOT_CAPPED;
	LWLockRelease(oss_worker_shmem->lock);
	return served;
}

void
oss_slots_recheck(void)
{
	Assert(LWLockHeldByMeInMode(oss_worker_shmem->lock, LW_EXCLUSIVE));
	for (int i = 0; i < OSS_MAX_SLOTS; i++)
	{
		OssSlot    *slot = &oss_worker_shmem->slots[i];

		if (!OidIsValid(slot->dbid))
			continue;
		pg_atomic_write_u32(&slot->recheck, 1);
		if (slot->state == OSS_SLOT_DISABLED)
			slot->start_at = 0;
		if (slot->latch)
			SetLatch(slot->latch);
	}
	if (oss_worker_shmem->launcher_latch)
		SetLatch(oss_worker_shmem->launcher_latch);
}

/*
 * Transaction callback.
 *
 * The commit event comes after the transaction has left the list of running
 * ones, so that the process woken sees its rows.  Nothing here may throw.
 * Jobs of a prepared transaction are announced by COMMIT PREPARED.
 */
static void
tell_at_commit(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
			resume_rates();
			if (wake_pending && oss_worker_shmem)
				wake_worker();
			if (list_pending && oss_worker_shmem)
				ask_for_databases();
			if (recheck_pending && oss_worker_shmem)
			{
				LWLockAcquire(oss_worker_shmem->lock, LW_EXCLUSIVE);
				oss_slots_recheck();
				LWLockRelease(oss_worker_shmem->lock);
			}
			wake_pending = list_pending = recheck_pending = false;
			resume_pending = NIL;
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			wake_pending = list_pending = recheck_pending = false;
			resume_pending = NIL;
			break;
		default:
			break;
	}
}

void
oss_wake_at_commit(void)
{
	wake_pending = true;
}

void
oss_resume_at_commit(Oid serverid)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);

	resume_pending = list_append_unique_oid(resume_pending, serverid);
	MemoryContextSwitchTo(old);
	wake_pending = true;
}

void
oss_list_databases_at_commit(void)
{
	list_pending = true;
}

void
oss_recheck_at_commit(void)
{
	recheck_pending = true;
}

void
oss_foreground_count(int change)
{
	OssSlot    *slot;

	if (oss_worker_shmem == NULL)
		return;
	LWLockAcquire(oss_worker_shmem->lock, LW_EXCLUSIVE);
	slot = oss_slot_make(MyDatabaseId);
	if (slot)
		slot->foreground = Max(slot->foreground + change, 0);
	LWLockRelease(oss_worker_shmem->lock);
}

bool
oss_foreground_any(void)
{
	OssSlot    *slot;
	bool		any;

	if (oss_worker_shmem == NULL)
		return true;
	LWLockAcquire(oss_worker_shmem->lock, LW_SHARED);
	slot = oss_slot_find(MyDatabaseId);
	any = slot == NULL || slot->foreground > 0;
	LWLockRelease(oss_worker_shmem->lock);
	return any;
}

bool
oss_wake_pending(void)
{
	return wake_pending;
}

const char *
oss_slot_state_name(OssSlotState state)
{
	static const char *const names[] = {
		[OSS_SLOT_UNKNOWN] = "not looked at yet",
		[OSS_SLOT_STARTING] = "starting",
		[OSS_SLOT_RUNNING] = "running",
		[OSS_SLOT_IDLE] = "idle, started when needed",
		[OSS_SLOT_ABSENT] = "no extension",
		[OSS_SLOT_DISABLED] = "off (oss_labels.worker)",
		[OSS_SLOT_MISMATCH] = "library and extension differ in version",
		[OSS_SLOT_FAILED] = "failed, started again later",
		[OSS_SLOT_COPY] = "copy of another database, its jobs wait for oss_labels.resume()",
		[OSS_SLOT_NO_PROCESS] = "waiting for max_worker_processes",
		[OSS_SLOT_CAPPED] = "waiting for oss_labels.max_workers"
	};

	return names[state];
}

void
oss_worker_shmem_init(void)
{
	RegisterXactCallback(tell_at_commit, NULL);
	if (!process_shared_preload_libraries_in_progress)
		return;
	oss_spool_wake = wake_for_spool;
	oss_usage_wake = wake_for_usage;
	oss_spool_served = is_served;
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = request_shared_memory;
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = start_shared_memory;
}

void
oss_notice_no_worker(void)
{
	static bool said = false;

	if (oss_worker_shmem || said)
		return;
	said = true;
	ereport(NOTICE,
			(errmsg("no worker runs to process the queue"),
			 errdetail("oss_labels is not in shared_preload_libraries."),
			 errhint("Add it there and restart the server, or run CALL oss_labels.process_queue().")));
}
