/*
 * counter.h
 *	  What the stand-in counted, and the log of the last requests.
 */
#ifndef STANDIN_COUNTER_H
#define STANDIN_COUNTER_H

#include "request.h"

/*
 * Set everything to zero but the number of open connections.  Appends what was
 * counted of each bucket until then, as tally_list_buckets(), unless out is NULL.
 */
extern void counter_reset(buffer *out);

extern void counter_connection(bool https, int change);

/* Count a TLS connection that resumed an earlier session. */
extern void counter_tls_resumed(void);

/* Count a connection that was closed as soon as it was accepted. */
extern void counter_refused_connection(void);

/* The request's head has been read. */
extern void counter_begin(const request *r);

/* Its signature has been looked at, and its answer is known. */
extern void counter_answered(request *r);

/*
 * The request is over.  completed says that the whole answer was handed to
 * the network; abandoned that the client went away before it.
 */
extern void counter_end(const request *r, bool completed, bool abandoned,
						uint64_t bytes_sent);

/* Return the label requests being answered right now. */
extern int	counter_labels_in_flight(void);

/* Append "name value" lines, or one JSON object. */
extern void counter_list(buffer *out, bool json);

/*
 * Append "name value" lines of a bucket, of a requester, or of both together;
 * "" stands for all.
 */
extern void counter_tally(buffer *out, const char *bucket,
						  const char *requester);

/* Return one counter; 0 if nothing of that name was counted. */
extern uint64_t counter_value(const char *name);

/*
 * Append "count TAB bucket TAB escaped key" of the requests of a kind; "" = all
 * buckets.  The key of a listing is its prefix.
 */
extern void counter_list_keys(buffer *out, const char *bucket,
							  request_kind kind);

/* Return the number of label requests for one object. */
extern uint64_t counter_key(const char *bucket, text key);

/* Append the last n requests, oldest first, as lines or a JSON array. */
extern void counter_log(buffer *out, int n, bool json);

#endif							/* STANDIN_COUNTER_H */
