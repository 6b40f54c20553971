/*-------------------------------------------------------------------------
 * scarce.h
 *	  Memory that runs out on demand.
 *
 * The linker puts these in malloc's and realloc's place for calls from our
 * own objects (--wrap), not for those from libraries.
 *-------------------------------------------------------------------------
 */
#ifndef SCARCE_H
#define SCARCE_H

#include <stdlib.h>

/* How many more allocations succeed; negative means all. */
static int	scarce_left = -1;

extern void *__real_malloc(size_t size);
extern void *__real_realloc(void *old, size_t size);
extern void *__wrap_malloc(size_t size);
extern void *__wrap_realloc(void *old, size_t size);

/* Use up one allocation; false when none is left. */
static bool
scarce_take(void)
{
	if (scarce_left == 0)
		return false;
	if (scarce_left > 0)
		scarce_left--;
	return true;
}

void *
__wrap_malloc(size_t size)
{
	return scarce_take() ? __real_malloc(size) : NULL;
}

void *
__wrap_realloc(void *old, size_t size)
{
	return scarce_take() ? __real_realloc(old, size) : NULL;
}

#endif							/* SCARCE_H */
