/*-------------------------------------------------------------------------
 * clock.c
 *	  By how much this machine's clock differs from that of a server's service.
 *
 * Only servers are in the table whose service has refused a request for its
 * time, or whose clock check_server() has looked at, so that it is empty on a
 * machine whose clock is right.  It is read for each request: without a lock.
 * An entry's server never changes but when the table is full, and then the
 * worst that may come of it is a request that is refused and sent again.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/clock.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/shmem.h"

#define ENTRIES 256

typedef struct ClockEntry
{
	pg_atomic_uint64 server;	/* database and server, 0: free, and so are
								 * all that follow */
	pg_atomic_uint64 offset_ms;
} ClockEntry;

typedef struct ClockTable
{
	ClockEntry	entries[ENTRIES];
} ClockTable;

static ClockTable *table = NULL;

/* Make a table empty. */
static void
init_table(ClockTable *new_table)
{
	for (int i = 0; i < ENTRIES; i++)
	{
		pg_atomic_init_u64(&new_table->entries[i].server, 0);
		pg_atomic_init_u64(&new_table->entries[i].offset_ms, 0);
	}
}

/* Return the bytes of shared memory. */
Size
oss_clock_shared_size(void)
{
	return MAXALIGN(sizeof(ClockTable));
}

/* Attach to the shared table. */
void
oss_clock_shared_start(void)
{
	bool		found;

	table = ShmemInitStruct("oss_labels clocks", sizeof(ClockTable), &found);
	if (!found)
		init_table(table);
}

/* Return the table, which is this process's own without shared memory. */
static ClockTable *
the_table(void)
{
	static ClockTable own;

	if (table == NULL)
	{
		init_table(&own);
		table = &own;
	}
	return table;
}

/* Name a server of this database. */
static uint64
server_name(Oid serverid)
{
	return (uint64) MyDatabaseId << 32 | serverid;
}

/* Return what to add to our clock. */
int64
oss_clock_offset_ms(Oid serverid)
{
	ClockTable *clocks = the_table();
	uint64		name = server_name(serverid);

	for (int i = 0; i < ENTRIES; i++)
	{
		ClockEntry *entry = &clocks->entries[i];
		uint64		server = pg_atomic_read_u64(&entry->server);

		if (server == name)
			return (int64) pg_atomic_read_u64(&entry->offset_ms);
		if (server == 0)
			break;
	}
	return 0;
}

/* Remember what to add to our clock. */
void
oss_clock_set_offset_ms(Oid serverid, int64 ms)
{
	ClockTable *clocks = the_table();
	uint64		name = server_name(serverid);
	ClockEntry *entry = NULL;

	for (int i = 0; i < ENTRIES; i++)
	{
		uint64		server = 0;

		/* takes a free entry, and says whose it is otherwise */
		entry = &clocks->entries[i];
		if (pg_atomic_compare_exchange_u64(&entry->server, &server, name) ||
			server == name)
		{
			pg_atomic_write_u64(&entry->offset_ms, (uint64) ms);
			return;
		}
	}

	/* full: replace another server's entry */
	entry = &clocks->entries[name % ENTRIES];
	pg_atomic_write_u64(&entry->server, name);
	pg_atomic_write_u64(&entry->offset_ms, (uint64) ms);
}
