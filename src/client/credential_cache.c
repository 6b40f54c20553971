/*-------------------------------------------------------------------------
 * credential_cache.c
 *	  Fetched keys that the processes of a cluster share.
 *
 * The table's lock guards all of it; no code that holds it can fail or wait.  A
 * process that waits for another one's fetch sleeps on the table's condition
 * variable, in oss_http_turn().  Leases use oss_clock_us(), expiry and failures
 * the wall clock.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_database.h"
#include "catalog/pg_user_mapping.h"
#include "client/credential_cache.h"
#include "client/http.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/memutils.h"

#define SLOTS	128
#define TRANCHE	"oss_labels credentials"

/*
 * Another process may take over a fetch that was not continued for this time.
 * A waiting fetch is continued every half second.
 */
#define LEASE_US	INT64CONST(5000000)

/*
 * A mapping's key.  The first three fields identify it, the next two the
 * options it was fetched with.  The options read last win; a process with
 * older ones does not use the slot.
 */
typedef struct CacheSlot
{
	Oid			dbid;			/* InvalidOid: free */
	Oid			mapping;
	uint32		endpoint;		/* hash of the metadata service's address */
	int64		read_at;
	uint8		digest[CREDENTIAL_DIGEST_LEN];
	int64		used_at;

	uint64		version;		/* of the key, 0: none */
	CredentialCached key;

	uint64		fetch;			/* ticket of the fetch under way, 0: none */
	int			fetcher;		/* PID of its process */
	int64		leased_until;

	TimestampTz failed_at;		/* 0: the last fetch did not fail */
	CredentialTrouble trouble;
	char		detail[CREDENTIAL_DETAIL_MAX];

	char		refused_id[CREDENTIAL_ID_MAX + 1];
	TimestampTz refused_at;
} CacheSlot;

typedef struct CacheTable
{
	LWLock	   *lock;
	ConditionVariable changed;
	uint64		numbers;		/* last one given to a ticket or version */
	CacheSlot	slots[SLOTS];
} CacheTable;

static CacheTable *table = NULL;

/* May this process have tickets? */
static bool has_tickets = false;

/* Mappings and databases that this transaction dropped; TopTransactionContext. */
static List *dropped_mappings = NIL;
static List *dropped_databases = NIL;

void
oss_credential_cache_shared_request(void)
{
	RequestAddinShmemSpace(MAXALIGN(sizeof(CacheTable)));
	RequestNamedLWLockTranche(TRANCHE, 1);
}

void
oss_credential_cache_shared_start(void)
{
	bool		found;

	table = ShmemInitStruct(TRANCHE, sizeof(CacheTable), &found);
	if (found)
		return;
	memset(table, 0, sizeof(CacheTable));
	table->lock = &GetNamedLWLockTranche(TRANCHE)->lock;
	ConditionVariableInit(&table->changed);
}

/* Overwrite a slot's key. */
static void
drop_key(CacheSlot *slot)
{
	explicit_bzero(slot->key.id, sizeof(slot->key.id));
	explicit_bzero(slot->key.secret, sizeof(slot->key.secret));
	explicit_bzero(slot->key.token, sizeof(slot->key.token));
	slot->version = 0;
}

static void
free_slot(CacheSlot *slot)
{
	drop_key(slot);
	memset(slot, 0, sizeof(*slot));
}

/* Is a fetch under way whose lease has not expired? */
static bool
is_leased(const CacheSlot *slot, int64 now)
{
	return slot->fetch != 0 && now < slot->leased_until;
}

static void
end_shared_fetch(CacheSlot *slot)
{
	slot->fetch = 0;
	slot->fetcher = 0;
	ConditionVariableBroadcast(&table->changed);
}

/* Return a hash of the address of this session's metadata service. */
static uint32
endpoint_hash(void)
{
	const char *endpoint = oss_metadata_endpoint;

	return endpoint == NULL ? 0 :
		hash_bytes((const unsigned char *) endpoint, strlen(endpoint));
}

/* Assign the least recently used slot, which may be NULL, to a mapping. */
static CacheSlot *
make_slot(const CredentialIdentity *who, CacheSlot *oldest)
{
	if (oldest == NULL)
		return NULL;
	free_slot(oldest);
	oldest->dbid = MyDatabaseId;
	oldest->mapping = who->mapping;
	oldest->endpoint = endpoint_hash();
	oldest->read_at = who->read_at;
	memcpy(oldest->digest, who->digest, sizeof(oldest->digest));
	return oldest;
}

/*
 * Find a mapping's slot, making one if asked.  Returns NULL if there is none
 * for these options.  The table is locked.
 */
static CacheSlot *
find_key_slot(const CredentialIdentity *who, bool make)
{
	int64		now = oss_clock_us();
	uint32		endpoint = endpoint_hash();
	CacheSlot  *oldest = NULL;
	CacheSlot  *slot = NULL;

	for (int i = 0; i < SLOTS && slot == NULL; i++)
	{
		CacheSlot  *s = &table->slots[i];

		if (s->dbid == MyDatabaseId && s->mapping == who->mapping &&
			s->endpoint == endpoint)
			slot = s;
		else if (!is_leased(s, now) &&
				 (oldest == NULL || s->used_at < oldest->used_at))
			oldest = s;
	}
	if (slot == NULL)
		slot = make ? make_slot(who, oldest) : NULL;
	else if (memcmp(slot->digest, who->digest, sizeof(slot->digest)) != 0)
		slot = who->read_at > slot->read_at ? make_slot(who, slot) : NULL;
	if (slot == NULL)
		return NULL;
	slot->read_at = Max(slot->read_at, who->read_at);
	slot->used_at = now;
	return slot;
}

static bool
is_shared(const CredentialIdentity *who)
{
	return table != NULL && OidIsValid(who->mapping) && who->read_at != 0;
}

/* Release all tickets of this process. */
static void
return_tickets(void)
{
	if (!has_tickets)
		return;
	has_tickets = false;
	LWLockAcquire(table->lock, LW_EXCLUSIVE);
	for (int i = 0; i < SLOTS; i++)
		if (table->slots[i].fetcher == MyProcPid)
			end_shared_fetch(&table->slots[i]);
	LWLockRelease(table->lock);
}

static void
at_exit(int code, Datum arg)
{
	return_tickets();
}

/* Free the slots of dropped mappings and databases. */
static void
free_dropped(void)
{
	if (dropped_mappings == NIL && dropped_databases == NIL)
		return;
	LWLockAcquire(table->lock, LW_EXCLUSIVE);
	for (int i = 0; i < SLOTS; i++)
	{
		CacheSlot  *slot = &table->slots[i];

		if (list_member_oid(dropped_databases, slot->dbid) ||
			(slot->dbid == MyDatabaseId &&
			 list_member_oid(dropped_mappings, slot->mapping)))
			free_slot(slot);
	}
	ConditionVariableBroadcast(&table->changed);
	LWLockRelease(table->lock);
}

/*
 * Transaction callback.  A session may be idle for hours after a transaction
 * and must not keep a fetch from others.  Workers keep theirs, since they run
 * the event loop between transactions too.
 */
static void
drop_keys_at_commit(XactEvent event, void *arg)
{
	bool		committed = event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE;

	if (!committed && event != XACT_EVENT_ABORT)
		return;
	if (committed)
		free_dropped();
	dropped_mappings = dropped_databases = NIL;
	if (MyBackendType == B_BACKEND)
		return_tickets();
}

/* Register the callbacks, once per process. */
static void
watch_ends(void)
{
	static bool registered = false;

	if (registered)
		return;
	RegisterXactCallback(drop_keys_at_commit, NULL);
	on_shmem_exit(at_exit, (Datum) 0);
	registered = true;
}

/* Decide what to do about a slot's key.  The table is locked. */
static CredentialAdvice
advise_fetch(CacheSlot *slot, CredentialTicket *ticket, TimestampTz until,
			 CredentialAnswer *answer)
{
	int64		now_us = oss_clock_us();
	TimestampTz now = GetCurrentTimestamp();
	bool		usable = slot->version != 0 && now < slot->key.expires_at;

	if (slot->fetch != 0 && slot->fetch == ticket->number)
	{
		slot->leased_until = now_us + LEASE_US;
		return CREDENTIAL_FETCH;
	}
	ticket->number = 0;
	if (usable &&
		(slot->version != ticket->version ||
		 (now < slot->key.refresh_at && slot->key.expires_at >= until)))
	{
		answer->key = slot->key;
		ticket->version = slot->version;
		return CREDENTIAL_TAKE;
	}
	if (is_leased(slot, now_us))
		return CREDENTIAL_WAIT;
	if (!usable && slot->failed_at != 0 && now >= slot->failed_at &&
		now - slot->failed_at < CREDENTIAL_FAILURE_REMEMBERED)
	{
		answer->trouble = slot->trouble;
		strlcpy(answer->detail, slot->detail, sizeof(answer->detail));
		answer->failed_at = slot->failed_at;
		return CREDENTIAL_FAIL;
	}
	slot->fetch = ticket->number = ++table->numbers;
	slot->fetcher = MyProcPid;
	slot->leased_until = now_us + LEASE_US;
	has_tickets = true;
	return CREDENTIAL_FETCH;
}

CredentialAdvice
oss_credential_cache_ask(const CredentialIdentity *who, CredentialTicket *ticket,
						 bool wait, TimestampTz until, CredentialAnswer *answer)
{
	CredentialAdvice advice = CREDENTIAL_FETCH;
	CacheSlot  *slot;

	if (!is_shared(who))
	{
		ticket->number = 0;
		return CREDENTIAL_FETCH;
	}
	watch_ends();
	LWLockAcquire(table->lock, LW_EXCLUSIVE);
	slot = find_key_slot(who, true);
	if (slot != NULL)
		advice = advise_fetch(slot, ticket, until, answer);
	else
		ticket->number = 0;

	/* under the lock: the fetch must not end before we prepare to sleep */
	if (advice == CREDENTIAL_WAIT && wait)
		ConditionVariablePrepareToSleep(&table->changed);
	LWLockRelease(table->lock);
	return advice;
}

void
oss_credential_cache_stop_waiting(void)
{
	ConditionVariableCancelSleep();
}

/*
 * Lock the table and return the mapping's slot.  Returns NULL, with the table
 * not locked, if there is none.
 */
static CacheSlot *
lock_slot(const CredentialIdentity *who)
{
	CacheSlot  *slot;

	if (!is_shared(who))
		return NULL;
	LWLockAcquire(table->lock, LW_EXCLUSIVE);
	slot = find_key_slot(who, false);
	if (slot == NULL)
		LWLockRelease(table->lock);
	return slot;
}

/* End the ticket's fetch, if any, and unlock the table. */
static void
unlock_slot(CacheSlot *slot, CredentialTicket *ticket)
{
	if (slot->fetch != 0 && slot->fetch == ticket->number)
		end_shared_fetch(slot);
	ticket->number = 0;
	LWLockRelease(table->lock);
}

/*
 * Keys that never expire are not shared: they come from files, which each
 * process can read as fast itself, so that a changed file is noticed sooner.
 */
void
oss_credential_cache_store(const CredentialIdentity *who, CredentialTicket *ticket,
						   const CredentialKey *key)
{
	CacheSlot  *slot = lock_slot(who);

	if (slot == NULL)
		return;
	drop_key(slot);
	slot->failed_at = 0;
	if (key->expires && !key->own &&
		(key->token == NULL || strlen(key->token) <= CREDENTIAL_CACHED_TOKEN_MAX))
	{
		Assert(strlen(key->id) <= CREDENTIAL_ID_MAX &&
			   strlen(key->secret) <= CREDENTIAL_SECRET_MAX);
		strlcpy(slot->key.id, key->id, sizeof(slot->key.id));
		strlcpy(slot->key.secret, key->secret, sizeof(slot->key.secret));
		strlcpy(slot->key.token, key->token != NULL ? key->token : "",
				sizeof(slot->key.token));
		slot->key.default_found = key->default_found;
		slot->key.expires_at = key->expires_at;
		slot->key.refresh_at = key->refresh_at;
		slot->version = ticket->version = ++table->numbers;
	}
	unlock_slot(slot, ticket);
}

void
oss_credential_cache_fail(const CredentialIdentity *who, CredentialTicket *ticket,
						  CredentialTrouble trouble, const char *detail,
						  TimestampTz failed_at, TimestampTz refresh_at)
{
	CacheSlot  *slot = lock_slot(who);

	if (slot == NULL)
		return;
	if (slot->fetch != 0 && slot->fetch == ticket->number)
	{
		slot->failed_at = failed_at;
		slot->trouble = trouble;
		strlcpy(slot->detail, detail, sizeof(slot->detail));
		if (refresh_at != 0 && slot->version == ticket->version)
			slot->key.refresh_at = refresh_at;
	}
	unlock_slot(slot, ticket);
}

void
oss_credential_cache_give_up(const CredentialIdentity *who, CredentialTicket *ticket)
{
	CacheSlot  *slot;

	if (ticket->number == 0)
		return;
	slot = lock_slot(who);
	if (slot != NULL)
		unlock_slot(slot, ticket);
}

bool
oss_credential_cache_refuse(const CredentialIdentity *who, const char *key_id,
							int64 span)
{
	CacheSlot  *slot = lock_slot(who);
	TimestampTz now = GetCurrentTimestamp();
	bool		good = true;

	if (slot == NULL)
		return true;
	if (slot->version != 0 && strcmp(slot->key.id, key_id) == 0)
	{
		good = strcmp(slot->refused_id, key_id) != 0 ||
			now - slot->refused_at >= span || now < slot->refused_at;
		if (good)
		{
			strlcpy(slot->refused_id, key_id, sizeof(slot->refused_id));
			slot->refused_at = now;
			drop_key(slot);
		}
	}
	LWLockRelease(table->lock);
	return good;
}

void
oss_credential_cache_dropped(Oid catalog, Oid object)
{
	MemoryContext old;

	if (table == NULL)
		return;
	if (catalog != UserMappingRelationId && catalog != DatabaseRelationId)
		return;
	watch_ends();
	old = MemoryContextSwitchTo(TopTransactionContext);
	if (catalog == UserMappingRelationId)
		dropped_mappings = lappend_oid(dropped_mappings, object);
	else
		dropped_databases = lappend_oid(dropped_databases, object);
	MemoryContextSwitchTo(old);
}
