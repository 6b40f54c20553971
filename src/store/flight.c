/*-------------------------------------------------------------------------
 * flight.c
 *	  Requests in flight of all processes.
 *
 * A hash table of fixed size in shared memory: the hash of a flight's name selects
 * a set of a few seats.  If requests in flight have all seats of a set, a further
 * one is not shared.  An answered flight keeps its seat until the seat is needed,
 * so that other sessions find the answer before it is stored.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "client/http.h"
#include "common/hashfn.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "protocol/image_labels.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "store/flight.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define SETS 512
#define WAYS 8

/*
 * How long a statement waits for other processes' flights.  Flights that ended
 * while it waited do not count: they saved a request.
 */
#define MOST_WAIT_US INT64CONST(10000000)

typedef struct FlightSeat
{
	uint64		name[2];		/* a hash of the OssFlightName */
	uint64		serial;			/* 0: free */
	int			pid;			/* the requesting process */
	bool		lasting;		/* not ended with the statement */
	bool		joined;			/* another process boarded it */
	double		thr;
	uint64		etag;			/* a hash, 0: unknown */
	TimestampTz asked_at;
	TimestampTz answered_at;	/* 0: not yet */
	OssSpoolPlace place;
} FlightSeat;

typedef struct FlightShared
{
	uint64		serial;
	pg_atomic_uint64 changes;
	FlightSeat	seats[SETS][WAYS];
} FlightShared;

struct OssFlight
{
	MemoryContextCallback reset;
	FlightSeat *seat;
	uint64		serial;
	bool		ours;
	bool		lasting;
};

/* Number of this statement's flights that are neither answered nor ended. */
static int	nours = 0;

static FlightShared *flights = NULL;
static LWLock *flights_lock = NULL;

/* Return the size of shared memory. */
Size
oss_flight_shared_size(void)
{
	return sizeof(FlightShared);
}

/* Attach to shared memory. */
void
oss_flight_shared_start(LWLock *lock)
{
	bool		found;

	flights = ShmemInitStruct("oss_labels flights", sizeof(FlightShared), &found);
	flights_lock = lock;
	if (found)
		return;
	memset(flights, 0, sizeof(FlightShared));
	pg_atomic_init_u64(&flights->changes, 0);
}

/* Count a change, and wake the processes that wait for one. */
static void
tell_change(void)
{
	(void) pg_atomic_fetch_add_u64(&flights->changes, 1);
	oss_spool_broadcast();
}

/* Return the number of changes. */
uint64
oss_flight_changes(void)
{
	return flights ? pg_atomic_read_u64(&flights->changes) : 0;
}

/* End the unanswered flights of this process, lasting ones only if "all". */
static void
end_ours(bool all)
{
	bool		any = false;

	LWLockAcquire(flights_lock, LW_EXCLUSIVE);
	for (int i = 0; i < SETS * WAYS; i++)
	{
		FlightSeat *seat = &flights->seats[0][0] + i;

		if (seat->serial == 0 || seat->pid != MyProcPid || seat->answered_at != 0 ||
			(seat->lasting && !all))
			continue;
		seat->serial = 0;
		any = true;
	}
	LWLockRelease(flights_lock);
	if (any)
		tell_change();
}

/* End those of the statement. */
void
oss_flight_end_statement(void)
{
	if (nours > 0)
		end_ours(false);
	nours = 0;
}

/* End all when the process ends. */
static void
on_exit_flights(int code, Datum arg)
{
	end_ours(true);
}

/* Return the threshold that the service applies. */
static double
asked_thr(const OssImage *image)
{
	return image->has_thr ? image->thr : OSS_LABELS_THR_DEFAULT;
}

/* Hash the name of a flight. */
static void
hash_name(const OssFlightName *name, uint64 *hash)
{
	Oid			oids[] = {MyDatabaseId, name->serverid, name->userid};
	StringInfoData bytes;

	initStringInfo(&bytes);
	appendBinaryStringInfo(&bytes, (const char *) oids, sizeof(oids));
	appendBinaryStringInfo(&bytes, name->image.bucket, strlen(name->image.bucket) + 1);
	appendBinaryStringInfo(&bytes, name->image.key, strlen(name->image.key) + 1);
	if (name->image.version_id)
		appendBinaryStringInfo(&bytes, name->image.version_id,
							   strlen(name->image.version_id) + 1);
	for (int i = 0; i < 2; i++)
		hash[i] = hash_bytes_extended((const unsigned char *) bytes.data, bytes.len,
									  0x6f73735f6c616273 + i);
	pfree(bytes.data);
}

/* Return the hash of an image's ETag, 0 without one. */
static uint64
hash_etag(const char *etag)
{
	if (etag == NULL)
		return 0;
	return hash_bytes_extended((const unsigned char *) etag, strlen(etag), 0) | 1;
}

/* Find a flight whose answer serves the wanted one; NULL: none. */
static FlightSeat *
find_seat(FlightSeat *set, const uint64 *hash, const FlightSeat *wanted,
		  TimestampTz since, TimestampTz fresh)
{
	for (int i = 0; i < WAYS; i++)
	{
		FlightSeat *seat = &set[i];

		if (seat->serial != 0 && seat->name[0] == hash[0] && seat->name[1] == hash[1] &&
			seat->thr <= wanted->thr &&
			(seat->asked_at >= fresh ||
			 (seat->asked_at >= since &&
			  (wanted->etag == 0 || seat->etag == wanted->etag))) &&
			(seat->pid != MyProcPid || seat->answered_at != 0))
			return seat;
	}
	return NULL;
}

/* Find a free seat, else the seat of the oldest answer; NULL: none. */
static FlightSeat *
find_room(FlightSeat *set)
{
	FlightSeat *oldest = NULL;

	for (int i = 0; i < WAYS; i++)
	{
		FlightSeat *seat = &set[i];

		if (seat->serial == 0)
			return seat;
		if (seat->answered_at != 0 &&
			(oldest == NULL || seat->answered_at < oldest->answered_at))
			oldest = seat;
	}
	return oldest;
}

/* End a flight when its memory is freed. */
static void
on_flight_reset(void *arg)
{
	oss_flight_end(arg);
}

/* Board the flight of an image. */
OssFlight *
oss_flight_board(const OssFlightName *name, TimestampTz since, TimestampTz fresh,
				 bool lasting)
{
	static bool registered = false;
	OssFlight  *flight;
	FlightSeat	wanted = {0};
	FlightSeat *set;
	FlightSeat *seat;
	uint64		hash[2];

	if (flights == NULL)
		return NULL;
	if (!registered)
		on_shmem_exit(on_exit_flights, (Datum) 0);
	registered = true;
	flight = palloc0(sizeof(OssFlight));
	hash_name(name, hash);
	wanted.thr = asked_thr(&name->image);
	wanted.etag = hash_etag(name->image.etag);
	wanted.pid = MyProcPid;
	wanted.lasting = lasting;
	set = flights->seats[hash[0] % SETS];
	LWLockAcquire(flights_lock, LW_EXCLUSIVE);
	seat = find_seat(set, hash, &wanted, since, fresh);
	if (seat == NULL && (seat = find_room(set)) != NULL)
	{
		flight->ours = true;
		*seat = wanted;
		memcpy(seat->name, hash, sizeof(hash));
		seat->serial = ++flights->serial;
		seat->asked_at = GetCurrentTimestamp();
	}
	else if (seat != NULL)
		seat->joined = true;
	if (seat)
		flight->serial = seat->serial;
	LWLockRelease(flights_lock);
	if (seat == NULL)
	{
		pfree(flight);
		return NULL;
	}
	flight->seat = seat;
	if (flight->ours)
	{
		flight->lasting = lasting;
		nours += !lasting;
		flight->reset.func = on_flight_reset;
		flight->reset.arg = flight;
		MemoryContextRegisterResetCallback(CurrentMemoryContext, &flight->reset);
	}
	return flight;
}

/* Return the state of a flight. */
OssFlightState
oss_flight_state(const OssFlight *flight, OssSpoolPlace *place)
{
	OssFlightState state = flight->ours ? OSS_FLIGHT_OURS : OSS_FLIGHT_ASKED;

	if (flight->ours)
		return state;
	LWLockAcquire(flights_lock, LW_SHARED);
	if (flight->seat->serial != flight->serial)
		state = OSS_FLIGHT_GONE;
	else if (flight->seat->answered_at != 0)
	{
		state = OSS_FLIGHT_ANSWERED;
		if (place)
			*place = flight->seat->place;
	}
	LWLockRelease(flights_lock);
	return state;
}

/* Has another process boarded our flight? */
bool
oss_flight_joined(const OssFlight *flight)
{
	bool		joined;

	LWLockAcquire(flights_lock, LW_SHARED);
	joined = flight->seat->serial == flight->serial && flight->seat->joined;
	LWLockRelease(flights_lock);
	return joined;
}

/* Return when the answer arrived. */
TimestampTz
oss_flight_answered_at(const OssFlight *flight)
{
	TimestampTz at = 0;

	LWLockAcquire(flights_lock, LW_SHARED);
	if (flight->seat->serial == flight->serial)
		at = flight->seat->answered_at;
	LWLockRelease(flights_lock);
	return at;
}

/* Set the answer to our flight. */
void
oss_flight_answer(OssFlight *flight, const OssSpoolPlace *place)
{
	LWLockAcquire(flights_lock, LW_EXCLUSIVE);
	if (flight->seat->serial == flight->serial)
	{
		flight->seat->place = *place;
		flight->seat->answered_at = GetCurrentTimestamp();
		nours -= !flight->lasting;
	}
	LWLockRelease(flights_lock);
	flight->serial = 0;
	tell_change();
}

/* End a flight. */
void
oss_flight_end(OssFlight *flight)
{
	bool		ended = false;

	if (flight->serial == 0)
		return;
	LWLockAcquire(flights_lock, LW_EXCLUSIVE);
	if (flight->seat->serial == flight->serial)
	{
		flight->seat->serial = 0;
		ended = true;
		nours -= flight->ours && !flight->lasting;
	}
	LWLockRelease(flights_lock);
	flight->serial = 0;
	if (ended)
		tell_change();
}

/* Wait for a change. */
bool
oss_flight_wait(const OssFlight *flight, long ms)
{
	static TimestampTz statement = 0;
	static int64 waited = 0;
	static uint64 serial = 0;
	static int64 waited_before = 0;
	int64		start = oss_clock_us();
	int64		left;

	if (statement != GetCurrentStatementStartTimestamp())
		waited = 0;
	statement = GetCurrentStatementStartTimestamp();
	if (serial != flight->serial)
		waited_before = waited;
	serial = flight->serial;
	left = (MOST_WAIT_US - waited) / 1000;
	if (left <= 0)
		return false;
	oss_spool_watch();
	if (oss_flight_state(flight, NULL) == OSS_FLIGHT_ASKED)
		oss_spool_sleep((long) Min(left, ms));
	oss_spool_unwatch();
	waited += oss_clock_us() - start;
	if (oss_flight_state(flight, NULL) != OSS_FLIGHT_ASKED)
		waited = Min(waited, waited_before);
	return true;
}
