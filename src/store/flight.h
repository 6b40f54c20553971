/*-------------------------------------------------------------------------
 * flight.h
 *	  Requests in flight of all processes.  A session that needs an image which
 *	  is being requested waits for that answer instead of sending a request.
 *
 * Only where the library is preloaded.  A session waits for a request, never for a
 * transaction, and a process holds no lock while it requests.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_FLIGHT_H
#define OSS_FLIGHT_H


#include "store/spool.h"

/*
 * The image, and the server and user of the request: only sessions with the same
 * rights share an answer.  Strings in the database's encoding.
 */
typedef struct OssFlightName
{
	Oid			serverid;
	Oid			userid;
	OssImage	image;
} OssFlightName;

typedef enum OssFlightState
{
	OSS_FLIGHT_OURS,			/* this process requests it */
	OSS_FLIGHT_ASKED,			/* another process requests it */
	OSS_FLIGHT_ANSWERED,		/* the answer to that is in the spool */
	OSS_FLIGHT_GONE				/* that failed, or its answer is stored */
} OssFlightState;

typedef struct OssFlight OssFlight;

/* Return the size of shared memory; attach to it, and use this lock. */
extern Size oss_flight_shared_size(void);
extern void oss_flight_shared_start(LWLock *lock);

/*
 * Board a flight of an image: another process's whose answer will serve, else a new
 * one of ours.  The other's must have begun at "fresh" or later; or at "since" or
 * later and, if the image has an ETag, for the same one.  Ours ends with
 * CurrentMemoryContext, and with the statement unless it is lasting.  Returns NULL
 * without shared memory, or if too many requests are in flight: send one anyway.
 */
extern OssFlight *oss_flight_board(const OssFlightName *name, TimestampTz since,
								   TimestampTz fresh, bool lasting);

/* Return the state of a flight.  Sets place if it is answered. */
extern OssFlightState oss_flight_state(const OssFlight *flight, OssSpoolPlace *place);

/* Return a number that changes when a flight is answered or ends. */
extern uint64 oss_flight_changes(void);

/* Has another process boarded our flight? */
extern bool oss_flight_joined(const OssFlight *flight);

/* Return when the answer arrived; 0: not yet. */
extern TimestampTz oss_flight_answered_at(const OssFlight *flight);

/* The answer to our flight is appended.  Neither throws nor allocates memory. */
extern void oss_flight_answer(OssFlight *flight, const OssSpoolPlace *place);

/*
 * End a flight: ours failed or its answer is stored, or the answer to another
 * process's cannot be read.  Sessions that waited for it send their own request.
 */
extern void oss_flight_end(OssFlight *flight);

/*
 * Wait for a change of another process's flight, at most for ms.  Our transfers
 * continue meanwhile.  Returns false if the statement has used up its time for
 * waits in vain.
 */
extern bool oss_flight_wait(const OssFlight *flight, long ms);

/* End our flights except for lasting ones: their requests do not continue. */
extern void oss_flight_end_statement(void);

#endif							/* OSS_FLIGHT_H */
