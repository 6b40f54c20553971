/*
 * state.c
 *	  What control, PUT and DELETE said of objects and of their versions.
 *
 * States are in a hash table by bucket and key; rules, of which there are few,
 * are a list, the latest first.
 */
#include "state.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS (1 << 16)

static object_state *table[SLOTS];
static object_rule *rules;
static uint64_t serial;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Release an object's state. */
static void
state_free(object_state *s)
{
	free(s->key);
	free(s->content);
	free(s->file);
	meter_free(&s->limit.let_by);
	free(s);
}

/* Forget everything. */
void
state_reset(void)
{
	pthread_mutex_lock(&lock);
	for (int i = 0; i < SLOTS; i++)
	{
		while (table[i])
		{
			object_state *gone = table[i];

			table[i] = gone->next;
			state_free(gone);
		}
	}
	while (rules)
	{
		object_rule *gone = rules;

		rules = gone->next;
		free(gone->prefix);
		free(gone);
	}
	pthread_mutex_unlock(&lock);
}

/* Make traits that say nothing. */
void
traits_clear(object_traits *t)
{
	memset(t, 0, sizeof(*t));
	t->size = t->archive = t->deleted = -1;
}

/* Return the chain of an object's states. */
static object_state **
slot_of(const char *bucket, text key)
{
	return &table[hash_bytes(key.data, key.len,
							 hash_bytes(bucket, strlen(bucket), 0)) % SLOTS];
}

/* Find a state; needs the lock. */
static object_state *
find(const char *bucket, text key, text version)
{
	object_state *s = *slot_of(bucket, key);

	while (s && !(strcmp(s->bucket, bucket) == 0 &&
				  text_same(text_from(s->key, s->key_len), key) &&
				  text_eq(version, s->version)))
		s = s->next;
	return s;
}

/* Find a state, or add an empty one; needs the lock. */
static object_state *
find_or_add(const char *bucket, text key, text version)
{
	object_state *s = find(bucket, key, version);
	object_state **slot = slot_of(bucket, key);

	if (s)
		return s;
	s = must_alloc(sizeof(*s));
	snprintf(s->bucket, sizeof(s->bucket), "%s", bucket);
	s->key = text_dup(key);
	s->key_len = key.len;
	snprintf(s->version, sizeof(s->version), "%.*s", (int) version.len,
			 version.len ? version.data : "");
	traits_clear(&s->traits);
	s->next = *slot;
	*slot = s;
	return s;
}

/* Add or replace an object's state. */
void
object_state_set(const object_state *s)
{
	text		key = {s->key, s->key_len};
	object_state *mine;
	int			deleted;

	pthread_mutex_lock(&lock);
	mine = find_or_add(s->bucket, key, text_of(s->version));
	deleted = mine->traits.deleted;
	mine->traits = s->traits;
	if (mine->traits.deleted < 0)
		mine->traits.deleted = deleted;
	mine->delete_marker = s->delete_marker;
	free(mine->content);
	mine->content = s->content ?
		text_dup(text_from(s->content, s->content_len)) : NULL;
	mine->content_len = s->content_len;
	free(mine->file);
	mine->file = s->file ? strdup(s->file) : NULL;
	mine->serial = ++serial;
	meter_free(&mine->limit.let_by);
	mine->limit = s->limit;
	pthread_mutex_unlock(&lock);
}

/* Copy a state for a caller. */
static void
copy_out(object_state *copy, const object_state *s)
{
	*copy = *s;
	copy->key = NULL;
	copy->next = NULL;
	memset(&copy->limit, 0, sizeof(copy->limit));
	if (s->content)
		copy->content = text_dup(text_from(s->content, s->content_len));
	if (s->file)
		copy->file = strdup(s->file);
}

/* Release what a copy owns. */
void
object_state_clear(object_state *copy)
{
	free(copy->content);
	free(copy->file);
	copy->content = copy->file = NULL;
}

/* Copy an object's state out. */
bool
object_state_get(const char *bucket, text key, text version,
				 object_state *copy)
{
	const object_state *s;

	pthread_mutex_lock(&lock);
	s = find(bucket, key, version);
	if (s)
		copy_out(copy, s);
	pthread_mutex_unlock(&lock);
	return s != NULL;
}

/* Forget the state of a version. */
void
object_state_remove(const char *bucket, text key, text version)
{
	pthread_mutex_lock(&lock);
	for (object_state **link = slot_of(bucket, key); *link; link = &(*link)->next)
	{
		object_state *s = *link;

		if (s == find(bucket, key, version))
		{
			*link = s->next;
			state_free(s);
			break;
		}
	}
	pthread_mutex_unlock(&lock);
}

/* Compare versions for qsort(), the latest first. */
static int
compare_versions(const void *a, const void *b)
{
	const object_state *x = a;
	const object_state *y = b;

	return x->serial > y->serial ? -1 : x->serial < y->serial;
}

/* Copy out the states of all versions of an object. */
int
object_state_versions(const char *bucket, text key, object_state **out)
{
	int			n = 0;

	*out = NULL;
	pthread_mutex_lock(&lock);
	for (const object_state *s = *slot_of(bucket, key); s; s = s->next)
	{
		if (s->version[0] == '\0' || strcmp(s->bucket, bucket) != 0 ||
			!text_same(text_from(s->key, s->key_len), key))
			continue;
		*out = must_realloc(*out, (size_t) (n + 1) * sizeof(object_state));
		copy_out(&(*out)[n++], s);
	}
	pthread_mutex_unlock(&lock);
	if (n > 1)
		qsort(*out, (size_t) n, sizeof(object_state), compare_versions);
	return n;
}

/* Call back for each key of a bucket that has versions or a delete marker. */
void
object_state_each(const char *bucket, void (*found) (void *arg, text key),
				  void *arg)
{
	pthread_mutex_lock(&lock);
	for (int i = 0; i < SLOTS; i++)
	{
		for (const object_state *s = table[i]; s; s = s->next)
		{
			if ((s->version[0] || s->delete_marker) &&
				strcmp(s->bucket, bucket) == 0)
				found(arg, text_from(s->key, s->key_len));
		}
	}
	pthread_mutex_unlock(&lock);
}

/* Say which version is an object's current one. */
void
object_state_current(const char *bucket, text key, const char *id,
					 bool delete_marker, int64_t modified)
{
	object_state *s;

	pthread_mutex_lock(&lock);
	s = find_or_add(bucket, key, text_of(""));
	snprintf(s->current, sizeof(s->current), "%s", id);
	s->delete_marker = delete_marker;
	if (delete_marker)
		s->traits.modified = modified;
	pthread_mutex_unlock(&lock);
}

/* Add a rule. */
void
object_rule_add(const object_rule *rule)
{
	object_rule *mine = must_alloc(sizeof(*mine));

	*mine = *rule;
	mine->prefix = text_dup(text_from(rule->prefix, rule->prefix_len));
	pthread_mutex_lock(&lock);
	mine->serial = ++serial;
	mine->next = rules;
	rules = mine;
	pthread_mutex_unlock(&lock);
}

/* Note that an object was stored, or deleted. */
void
object_state_stored(const char *bucket, text key, bool deleted)
{
	object_state *s;

	pthread_mutex_lock(&lock);
	s = find_or_add(bucket, key, text_of(""));
	traits_clear(&s->traits);
	s->traits.deleted = deleted;
	s->delete_marker = false;
	free(s->content);
	s->content = NULL;
	s->content_len = 0;
	s->since = ++serial;
	pthread_mutex_unlock(&lock);
}

/* Take over what is not said yet; a change is counted. */
static void
merge(object_traits *t, const object_traits *more)
{
	if (t->etag[0] == '\0' && t->changed == 0)
		strcpy(t->etag, more->etag);
	if (t->storage_class[0] == '\0')
		strcpy(t->storage_class, more->storage_class);
	if (t->type[0] == '\0')
		strcpy(t->type, more->type);
	if (t->restored[0] == '\0')
		strcpy(t->restored, more->restored);
	if (t->size < 0)
		t->size = more->size;
	if (t->modified == 0)
		t->modified = more->modified;
	if (t->archive < 0)
		t->archive = more->archive;
	if (t->deleted < 0)
		t->deleted = more->deleted;
	t->changed += more->changed;
}

/* Return whether a rule is about an object. */
static bool
rule_covers(const object_rule *rule, const char *bucket, text key,
			int64_t number)
{
	if (strcmp(rule->bucket, bucket) != 0)
		return false;
	if (rule->to >= 0)
		return number >= rule->from && number <= rule->to &&
			(number - rule->from) % rule->every == 0;
	return key.len >= rule->prefix_len &&
		memcmp(key.data, rule->prefix, rule->prefix_len) == 0;
}

/* Find all that was said of an object or version. */
bool
object_state_traits(const char *bucket, text key, text version,
					int64_t number, object_traits *out)
{
	const object_state *s;
	bool		found;

	traits_clear(out);
	pthread_mutex_lock(&lock);
	s = find(bucket, key, version);
	found = s != NULL;
	if (s)
		*out = s->traits;
	for (const object_rule *rule = rules;
		 rule && version.len == 0 && (s == NULL || rule->serial > s->since);
		 rule = rule->next)
	{
		if (rule_covers(rule, bucket, key, number))
		{
			merge(out, &rule->traits);
			found = true;
		}
	}
	pthread_mutex_unlock(&lock);
	return found;
}

/* Return whether the limit of an object refuses a request. */
bool
object_throttles(const char *bucket, text key, bool label, throttle *copy)
{
	object_state *s;
	bool		refused;

	pthread_mutex_lock(&lock);
	s = find(bucket, key, text_of(""));
	refused = s && throttle_refuses(&s->limit, label, copy);
	pthread_mutex_unlock(&lock);
	return refused;
}
