/*
 * bucket.c
 *	  What control said about buckets.
 */
#include "bucket.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static bucket_settings *buckets;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Forget everything. */
void
bucket_reset(void)
{
	pthread_mutex_lock(&lock);
	while (buckets)
	{
		bucket_settings *gone = buckets;

		buckets = gone->next;
		meter_free(&gone->limit.let_by);
		free(gone);
	}
	pthread_mutex_unlock(&lock);
}

/* Find a bucket's settings; the caller holds the lock. */
static bucket_settings *
find_bucket(const char *name)
{
	for (bucket_settings *b = buckets; b; b = b->next)
	{
		if (strcmp(b->name, name) == 0)
			return b;
	}
	return NULL;
}

/* Set a bucket's settings. */
void
bucket_set(const bucket_settings *s)
{
	bucket_settings *mine;
	bucket_settings *next;

	pthread_mutex_lock(&lock);
	mine = find_bucket(s->name);
	if (mine == NULL)
	{
		mine = must_alloc(sizeof(*mine));
		mine->next = buckets;
		buckets = mine;
	}
	next = mine->next;
	meter_free(&mine->limit.let_by);
	*mine = *s;
	mine->next = next;
	pthread_mutex_unlock(&lock);
}

/* Copy a bucket's settings. */
bool
bucket_get(const char *name, bucket_settings *copy)
{
	bucket_settings *b;

	memset(copy, 0, sizeof(*copy));
	pthread_mutex_lock(&lock);
	b = find_bucket(name);
	if (b)
		*copy = *b;
	pthread_mutex_unlock(&lock);
	return b != NULL;
}

/* Return whether a limit refuses a request now. */
bool
throttle_refuses(throttle *t, bool label, throttle *copy)
{
	if (t->code[0] == '\0' || (strcmp(t->code, THROTTLE_IMM) == 0 && !label) ||
		!meter_over(&t->let_by))
		return false;
	*copy = *t;
	return true;
}

/* Return whether the limit of a bucket refuses a request. */
bool
bucket_throttles(const char *bucket, bool label, throttle *copy)
{
	bucket_settings *b;
	bool		refused;

	pthread_mutex_lock(&lock);
	b = find_bucket(bucket);
	refused = b && throttle_refuses(&b->limit, label, copy);
	pthread_mutex_unlock(&lock);
	return refused;
}
