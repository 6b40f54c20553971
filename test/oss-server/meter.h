/*
 * meter.h
 *	  Rates: what is above one, and the most of anything within a second.
 */
#ifndef STANDIN_METER_H
#define STANDIN_METER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A limit of rate a second; 0 lets nothing by.  Zero-initialise it. */
typedef struct meter
{
	int64_t		rate;
	int64_t		at;
	uint64_t   *ring;			/* times of the last rate that were let by */
} meter;

/* Count arrivals within the last second.  Zero-initialise it. */
typedef struct peak
{
	uint64_t   *ring;			/* times of arrival */
	size_t		size;
	size_t		head;
	size_t		len;
	uint64_t	most;
} peak;

/* Set the limit, with nothing let by yet; meter_free() ends it. */
extern void meter_init(meter *m, int64_t rate);
extern void meter_free(meter *m);

/* Return whether now is above the limit; otherwise note one let by. */
extern bool meter_over(meter *m);

/* Note an arrival at a time of the monotonic clock. */
extern void peak_add(peak *p, uint64_t when);

/* Forget the arrivals, and the most of them. */
extern void peak_reset(peak *p);

#endif							/* STANDIN_METER_H */
