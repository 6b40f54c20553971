/*
 * bucket.c
 *	  What control said about buckets and single objects.
 */
#include "bucket.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static bucket_settings *buckets;
static object_state *states;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Release an object's state. */
static void
state_free(object_state *s)
{
	free(s->key);
	free(s->content);
	meter_free(&s->limit.let_by);
	free(s);
}

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
	while (states)
	{
		object_state *gone = states;

		states = gone->next;
		state_free(gone);
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

/* Return whether a state is that of (bucket, key, version). */
static bool
state_is(const object_state *s, const char *bucket, text key, text version)
{
	return strcmp(s->bucket, bucket) == 0 &&
		text_same(text_from(s->key, s->key_len), key) &&
		text_eq(version, s->version);
}

/* Add or replace an object's state. */
void
object_state_set(const object_state *s)
{
	text		key = {s->key, s->key_len};
	object_state *mine = must_alloc(sizeof(*mine));

	*mine = *s;
	mine->key = text_dup(key);
	if (s->content)
		mine->content = text_dup(text_from(s->content, s->content_len));
	pthread_mutex_lock(&lock);
	for (object_state **link = &states; *link; link = &(*link)->next)
	{
		if (state_is(*link, s->bucket, key, text_of(s->version)))
		{
			object_state *gone = *link;

			*link = gone->next;
			state_free(gone);
			break;
		}
	}
	mine->next = states;
	states = mine;
	pthread_mutex_unlock(&lock);
}

/* Return whether a limit refuses a request now. */
static bool
refuses(throttle *t, bool label, throttle *copy)
{
	if (t->code[0] == '\0' || (strcmp(t->code, THROTTLE_IMM) == 0 && !label) ||
		!meter_over(&t->let_by))
		return false;
	*copy = *t;
	return true;
}

/* Return whether the limit of a bucket or of an object refuses a request. */
bool
bucket_throttles(const char *bucket, text key, bool label, throttle *copy)
{
	bucket_settings *b;
	bool		refused;

	pthread_mutex_lock(&lock);
	b = find_bucket(bucket);
	refused = b && refuses(&b->limit, label, copy);
	for (object_state *s = states; s && !refused; s = s->next)
		refused = state_is(s, bucket, key, text_of("")) &&
			refuses(&s->limit, label, copy);
	pthread_mutex_unlock(&lock);
	return refused;
}

/* Copy an object's state out. */
bool
object_state_get(const char *bucket, text key, text version,
				 object_state *copy)
{
	bool		found = false;

	pthread_mutex_lock(&lock);
	for (object_state *s = states; s && !found; s = s->next)
	{
		if (state_is(s, bucket, key, version))
		{
			*copy = *s;
			copy->key = NULL;
			copy->next = NULL;
			if (s->content)
				copy->content = text_dup(text_from(s->content, s->content_len));
			found = true;
		}
	}
	pthread_mutex_unlock(&lock);
	return found;
}
