/*-------------------------------------------------------------------------
 * clock.c
 *	  The clock offset between this machine and the service of a server.
 *
 * The table holds only servers whose service refused a request because of its
 * time, or that check_server() has checked, so it is empty on a machine whose
 * clock is right.  It is read for every request, and without a lock: an entry
 * changes its server only when the table is full, and a wrong offset costs at
 * most a request that is refused and sent again.
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
	pg_atomic_uint64 server;	/* database and server; 0: free, as are all
								 * later entries */
	pg_atomic_uint64 offset_ms;
} ClockEntry;

typedef struct ClockTable
{
	ClockEntry	entries[ENTRIES];
} ClockTable;

static ClockTable *table = NULL;

static void
init_table(ClockTable *new_table)
{
	for (int i = 0; i < ENTRIES; i++)
	{
		pg_atomic_init_u64(&new_table->entries[i].server, 0);
		pg_atomic_init_u64(&new_table->entries[i].offset_ms, 0);
	}
}

Size
oss_clock_shared_size(void)
{
	return MAXALIGN(sizeof(ClockTable));
}

void
oss_clock_shared_start(void)
{
	bool		found;

	table = ShmemInitStruct("oss_labels clocks", sizeof(ClockTable), &found);
	if (!found)
		init_table(table);
}

/* Return the shared table, or this process's own if there is none. */
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

/* Return the table's key of a server of this database. */
static uint64
server_name(Oid serverid)
{
	return (uint64) MyDatabaseId << 32 | serverid;
}

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

void
oss_clock_set_offset_ms(Oid serverid, int64 ms)
{
	ClockTable *clocks = the_table();
	uint64		name = server_name(serverid);
	ClockEntry *entry = NULL;

	for (int i = 0; i < ENTRIES; i++)
	{
		uint64		server = 0;

		/* takes a free entry; else sets server to the entry's */
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
