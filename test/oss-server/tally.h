/*
 * tally.h
 *	  What was counted of each bucket and each requester (an AccessKey id).
 *	  The caller serialises all calls.
 */
#ifndef STANDIN_TALLY_H
#define STANDIN_TALLY_H

#include "request.h"

extern void tally_reset(void);

/* A request's signature has been looked at, and its answer is known. */
extern void tally_begin(const request *r);

/*
 * It is over; given says that its labels were handed over in full, completed
 * that its answer was, whatever it is.
 */
extern void tally_end(const request *r, bool given, bool completed,
					  bool abandoned);

/*
 * Append "name value" lines of a bucket, of a requester, or of both together;
 * "" stands for all.
 */
extern void tally_list(buffer *out, const char *bucket, const char *requester);

/* Append the lines of each bucket, after a line "bucket NAME". */
extern void tally_list_buckets(buffer *out);

#endif							/* STANDIN_TALLY_H */
