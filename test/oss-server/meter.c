/*
 * meter.c
 *	  Rates: what is above one, and the most of anything within a second.
 */
#include "meter.h"

#include <stdlib.h>
#include <string.h>

#include "text.h"

#define SECOND_US 1000000

/* Set the limit. */
void
meter_init(meter *m, int64_t rate)
{
	m->rate = rate;
	m->at = 0;
	m->ring = rate > 0 ? must_alloc((size_t) rate * sizeof(uint64_t)) : NULL;
}

/* End a limit. */
void
meter_free(meter *m)
{
	free(m->ring);
	m->ring = NULL;
}

/* Return whether now is above the limit. */
bool
meter_over(meter *m)
{
	uint64_t	now = now_us();

	if (m->rate == 0)
		return true;
	/* the slot holds the time of the one rate ago */
	if (m->ring[m->at] != 0 && m->ring[m->at] + SECOND_US > now)
		return true;
	m->ring[m->at] = now;
	m->at = (m->at + 1) % m->rate;
	return false;
}

/* Note an arrival. */
void
peak_add(peak *p, uint64_t when)
{
	while (p->len > 0 && p->ring[p->head] + SECOND_US <= when)
	{
		p->head = (p->head + 1) % p->size;
		p->len--;
	}
	if (p->len == p->size)
	{
		size_t		bigger = p->size ? p->size * 2 : 1024;
		uint64_t   *ring = must_alloc(bigger * sizeof(*ring));

		for (size_t i = 0; i < p->len; i++)
			ring[i] = p->ring[(p->head + i) % p->size];
		free(p->ring);
		p->ring = ring;
		p->size = bigger;
		p->head = 0;
	}
	p->ring[(p->head + p->len++) % p->size] = when;
	if (p->len > p->most)
		p->most = p->len;
}

/* Forget the arrivals. */
void
peak_reset(peak *p)
{
	free(p->ring);
	memset(p, 0, sizeof(*p));
}
