/*-------------------------------------------------------------------------
 * rate_object.c
 *	  Objects of a bucket that are throttled whatever the rate.
 *
 * An element of slot->objects is the hash of an object, whose lowest bits are
 * replaced by its throttles in a row; 0 is a free element.  The hash selects
 * the element; on a collision the later object replaces the earlier.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/rate_table.h"
#include "common/hashfn.h"

/*
 * Throttles in a row that the rate explains; after them the object is to
 * blame.
 */
#define TELLING_THROTTLES 2u

#define COUNT_MASK 3u

uint32
oss_rate_object_hash(const char *key)
{
	return hash_bytes((const unsigned char *) key, (int) strlen(key));
}

static uint32 *
object_place(RateSlot *slot, uint32 object)
{
	return &slot->objects[(object / (COUNT_MASK + 1)) % RATE_OBJECTS];
}

/* Does an element belong to an object? */
static bool
is_element_of(const uint32 *place, uint32 object)
{
	return ((*place ^ object) & ~COUNT_MASK) == 0;
}

bool
oss_rate_object_throttled(RateSlot *slot, uint32 object)
{
	uint32	   *place = object_place(slot, object);

	if (!is_element_of(place, object))
		*place = object & ~COUNT_MASK;
	switch (*place & COUNT_MASK)
	{
		case TELLING_THROTTLES:
			slot->blamed += TELLING_THROTTLES;
			(*place)++;
			return true;
		case TELLING_THROTTLES + 1:
			return true;
		default:
			slot->taught++;
			(*place)++;
			return false;
	}
}

void
oss_rate_object_answered(RateSlot *slot, uint32 object)
{
	uint32	   *place = object_place(slot, object);

	if (!is_element_of(place, object))
		return;
	if ((*place & COUNT_MASK) > TELLING_THROTTLES)
		slot->blamed -= Min(slot->blamed, (int) TELLING_THROTTLES);
	*place = 0;
}

bool
oss_rate_object_all_blamed(const RateSlot *slot)
{
	return slot->blamed > 0 && slot->blamed * 4 >= slot->taught * 3;
}
