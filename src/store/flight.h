/*-------------------------------------------------------------------------
 * flight.h
 *	  Images that are being asked for, by any process: who needs one waits for
 *	  the answer instead of asking, too.
 *
 * Top floor.  Only where the library is preloaded.  What is waited for is a
 * request, never a transaction, and whoever asks holds nothing while he does.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_FLIGHT_H
#define OSS_FLIGHT_H


#include "store/spool.h"

/*
 * What is asked for, and with whose rights: an answer is for those alone who
 * could have asked for it.  Strings in the database's encoding.
 */
typedef struct OssFlightName
{
	Oid			serverid;
	Oid			userid;
	OssImage	image;
} OssFlightName;

typedef enum OssFlightState
{
	OSS_FLIGHT_OURS,			/* we ask */
	OSS_FLIGHT_ASKED,			/* somebody else does */
	OSS_FLIGHT_ANSWERED,		/* he did, and the answer is in the spool */
	OSS_FLIGHT_GONE				/* his came to nothing, or it is stored */
} OssFlightState;

typedef struct OssFlight OssFlight;

/* Shared memory: how much, and attaching to it, with a lock to use. */
extern Size oss_flight_shared_size(void);
extern void oss_flight_shared_start(LWLock *lock);

/*
 * Board the flight of an image: somebody's whose answer will do, or one of our own.
 * Theirs must have begun at fresh or later; or at since or later and, if the image
 * has an ETag, for the same one.  Ours ends with CurrentMemoryContext, and with the
 * statement unless it is lasting.  Returns NULL where flights are not known, or too
 * many are under way: ask.
 */
extern OssFlight *oss_flight_board(const OssFlightName *name, TimestampTz since,
								   TimestampTz fresh, bool lasting);

/* How is it?  place is set when it is answered. */
extern OssFlightState oss_flight_state(const OssFlight *flight, OssSpoolPlace *place);

/* Changes whenever a flight has ended or is answered. */
extern uint64 oss_flight_changes(void);

/* When was the answer there?  0: not yet. */
extern TimestampTz oss_flight_answered_at(const OssFlight *flight);

/* Ours is answered, and the answer appended.  Never throws nor allocates. */
extern void oss_flight_answer(OssFlight *flight, const OssSpoolPlace *place);

/*
 * Ours has come to nothing, or is stored; or the answer of somebody else's is
 * not to be had.  Others ask for themselves.
 */
extern void oss_flight_end(OssFlight *flight);

/*
 * Wait for a change of a flight that somebody else's request is, for ms at most,
 * while the network goes on.  Returns false when this statement has waited for
 * such as long as it may.
 */
extern bool oss_flight_wait(const OssFlight *flight, long ms);

/* End ours but lasting ones: nothing drives these requests from now on. */
extern void oss_flight_end_statement(void);

#endif							/* OSS_FLIGHT_H */
