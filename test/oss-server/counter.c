/*
 * counter.c
 *	  What the stand-in counted, and the log of the last requests.
 *
 * One lock guards all of it; each request takes it twice, briefly.
 */
#include "counter.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "meter.h"
#include "tally.h"

#define MAX_OUTCOMES 256

/* A number that has a name. */
typedef struct named
{
	char		name[MAX_CODE + 32];
	uint64_t	value;
} named;

/* How often an object was asked for, by kind; key bytes follow. */
typedef struct key_count
{
	uint64_t	hash;
	uint64_t	count[N_KINDS];
	char		bucket[MAX_BUCKET + 1];
	size_t		key_len;
	char		key[];
} key_count;

/* The plain counters; every member is listed by its own name. */
typedef struct totals
{
	uint64_t	requests_total;
	uint64_t	label_requests;
	uint64_t	sts_requests;
	uint64_t	label_answers;
	uint64_t	label_billed;
	uint64_t	label_completed;
	uint64_t	abandoned;
	uint64_t	label_abandoned;
	uint64_t	in_flight;
	uint64_t	most_in_flight;
	uint64_t	label_in_flight;
	uint64_t	label_most_in_flight;
	uint64_t	bytes_sent;
	uint64_t	bytes_received;
	uint64_t	connections_http;
	uint64_t	connections_https;
	uint64_t	connections_open;
	uint64_t	connections_most_open;
	uint64_t	connections_refused;
	uint64_t	tls_resumed;
	uint64_t	list_requests;
	uint64_t	list_objects;
	uint64_t	head_requests;
	uint64_t	put_requests;
	uint64_t	delete_requests;
	uint64_t	keys_distinct;
	uint64_t	keys_repeated;
	uint64_t	key_most;
} totals;

static totals t;
static named outcomes[MAX_OUTCOMES];
static int	n_outcomes;
static key_count **keys;
static size_t keys_size;
static size_t keys_used;
static peak labels;				/* arrivals of label requests */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Name and address of each plain counter. */
static const struct
{
	const char *name;
	uint64_t   *value;
}			plain[] = {
#define PLAIN(x) {#x, &t.x}
	PLAIN(requests_total), PLAIN(label_requests), PLAIN(sts_requests), PLAIN(label_answers),
	PLAIN(label_billed), PLAIN(label_completed), PLAIN(abandoned), PLAIN(label_abandoned),
	PLAIN(in_flight), PLAIN(most_in_flight), PLAIN(label_in_flight),
	PLAIN(label_most_in_flight), PLAIN(bytes_sent), PLAIN(bytes_received),
	PLAIN(connections_http), PLAIN(connections_https),
	PLAIN(connections_open), PLAIN(connections_most_open),
	PLAIN(connections_refused), PLAIN(tls_resumed),
	{"label_max_per_second", &labels.most}, PLAIN(list_requests), PLAIN(list_objects),
	PLAIN(head_requests), PLAIN(put_requests), PLAIN(delete_requests),
	PLAIN(keys_distinct), PLAIN(keys_repeated), PLAIN(key_most),
#undef PLAIN
};

#define N_PLAIN (sizeof(plain) / sizeof(plain[0]))

/* Set everything to zero but what is going on right now. */
void
counter_reset(buffer *out)
{
	totals		now = {0};

	pthread_mutex_lock(&lock);
	now.connections_open = now.connections_most_open = t.connections_open;
	now.in_flight = now.most_in_flight = t.in_flight;
	now.label_in_flight = now.label_most_in_flight = t.label_in_flight;
	t = now;
	n_outcomes = 0;
	for (size_t i = 0; i < keys_size; i++)
		free(keys[i]);
	free(keys);
	keys = NULL;
	keys_size = 0;
	keys_used = 0;
	peak_reset(&labels);
	if (out)
		tally_list_buckets(out);
	tally_reset();
	log_reset();
	pthread_mutex_unlock(&lock);
}

/* Count a connection that was opened (+1) or closed (-1). */
void
counter_connection(bool https, int change)
{
	pthread_mutex_lock(&lock);
	t.connections_open += (uint64_t) change;
	if (change > 0)
	{
		if (https)
			t.connections_https++;
		else
			t.connections_http++;
		if (t.connections_open > t.connections_most_open)
			t.connections_most_open = t.connections_open;
	}
	pthread_mutex_unlock(&lock);
}

/* Count a resumed TLS session. */
void
counter_tls_resumed(void)
{
	pthread_mutex_lock(&lock);
	t.tls_resumed++;
	pthread_mutex_unlock(&lock);
}

/* Count a connection closed when accepted. */
void
counter_refused_connection(void)
{
	pthread_mutex_lock(&lock);
	t.connections_refused++;
	pthread_mutex_unlock(&lock);
}

/* Add one to a counter that is made when first needed. */
static void
bump(const char *prefix, const char *name)
{
	char		full[sizeof(outcomes[0].name)];

	snprintf(full, sizeof(full), "%s%s", prefix, name);
	for (char *p = full; *p; p++)
	{
		if (*p == ' ')
			*p = '_';
	}
	for (int i = 0; i < n_outcomes; i++)
	{
		if (strcmp(outcomes[i].name, full) == 0)
		{
			outcomes[i].value++;
			return;
		}
	}
	if (n_outcomes == MAX_OUTCOMES)
		return;
	strcpy(outcomes[n_outcomes].name, full);
	outcomes[n_outcomes++].value = 1;
}

/* Find the place of an object in the table of counts. */
static key_count **
key_slot(uint64_t hash, const char *bucket, text key)
{
	size_t		i = hash & (keys_size - 1);

	while (keys[i] != NULL &&
		   (keys[i]->hash != hash || strcmp(keys[i]->bucket, bucket) != 0 ||
			!text_same(text_from(keys[i]->key, keys[i]->key_len), key)))
		i = (i + 1) & (keys_size - 1);
	return &keys[i];
}

/* Double the table of counts. */
static void
keys_grow(void)
{
	key_count **old = keys;
	size_t		old_size = keys_size;

	keys_size = old_size ? old_size * 2 : 1 << 16;
	keys = must_alloc(keys_size * sizeof(*keys));
	for (size_t i = 0; i < old_size; i++)
	{
		if (old[i])
			*key_slot(old[i]->hash, old[i]->bucket,
					  text_from(old[i]->key, old[i]->key_len)) = old[i];
	}
	free(old);
}

/* Return the hash of an object's name. */
static uint64_t
key_hash(const char *bucket, text key)
{
	return hash_bytes(key.data, key.len,
					  hash_bytes(bucket, strlen(bucket), 0));
}

/* Count a request for one object, or a listing by its prefix. */
static void
count_key(const char *bucket, text key, request_kind kind)
{
	uint64_t	hash = key_hash(bucket, key);
	uint64_t	count;
	key_count **slot;

	if (keys_used * 10 >= keys_size * 6)
		keys_grow();
	slot = key_slot(hash, bucket, key);
	if (*slot == NULL)
	{
		*slot = must_alloc(sizeof(key_count) + key.len);
		(*slot)->hash = hash;
		strcpy((*slot)->bucket, bucket);
		(*slot)->key_len = key.len;
		memcpy((*slot)->key, key.data, key.len);
		keys_used++;
	}
	count = ++(*slot)->count[kind];
	if (kind != KIND_LABEL)
		return;
	if (count == 1)
		t.keys_distinct++;
	if (count == 2)
		t.keys_repeated++;
	if (count > t.key_most)
		t.key_most = count;
}

/* Count a request whose head has been read. */
void
counter_begin(const request *r)
{
	request_kind kind = request_kind_of(r);

	pthread_mutex_lock(&lock);
	if (r->is_sts)
	{
		t.sts_requests++;
		pthread_mutex_unlock(&lock);
		return;
	}
	t.requests_total++;
	if (++t.in_flight > t.most_in_flight)
		t.most_in_flight = t.in_flight;
	t.list_requests += kind == KIND_LIST;
	t.head_requests += kind == KIND_HEAD;
	t.put_requests += kind == KIND_PUT;
	t.delete_requests += kind == KIND_DELETE;
	if (kind != KIND_OTHER)
		count_key(r->bucket, r->is_list ? r->list_prefix : r->key, kind);
	if (r->bucket[0] != '\0')
		bump("bucket_", r->bucket);
	if (r->is_label)
	{
		t.label_requests++;
		if (++t.label_in_flight > t.label_most_in_flight)
			t.label_most_in_flight = t.label_in_flight;
		peak_add(&labels, r->arrived_us);
	}
	pthread_mutex_unlock(&lock);
}

/* Count a request for its bucket and its requester. */
void
counter_answered(request *r)
{
	if (r->is_sts)
		return;
	pthread_mutex_lock(&lock);
	tally_begin(r);
	r->tallied = true;
	pthread_mutex_unlock(&lock);
}

/* Count what became of a request. */
void
counter_end(const request *r, bool completed, bool abandoned,
			uint64_t bytes_sent)
{
	const answer *a = &r->answer;
	bool		given = (r->is_label && completed && a->status == 200 &&
						 a->code[0] == '\0' && !a->is_directory);
	char		status[16];

	pthread_mutex_lock(&lock);
	if (r->is_sts)
	{
		bump("sts_", abandoned ? "abandoned" : a->code[0] ? a->code : "ok");
		pthread_mutex_unlock(&lock);
		return;
	}
	t.in_flight--;
	t.abandoned += abandoned;
	t.bytes_sent += bytes_sent;
	t.list_objects += completed ? (uint64_t) r->listed : 0;
	t.bytes_received += r->upload.len;
	if (r->is_label)
	{
		t.label_in_flight--;
		t.label_abandoned += abandoned;
		if (completed)
			t.label_completed++;
		t.label_answers += given;
		t.label_billed += r->billed;
	}
	if (r->tallied)
		tally_end(r, given, completed, abandoned);
	snprintf(status, sizeof(status), "%d", a->status);
	bump("status_", abandoned ? "none" : status);
	if (a->code[0] != '\0')
		bump("code_", a->code);
	log_add(r, completed, abandoned);
	pthread_mutex_unlock(&lock);
}

/* Append one counter to a list. */
static void
list_one(buffer *out, bool json, const char *name, uint64_t value)
{
	if (!json)
		buffer_printf(out, "%s %llu\n", name, (unsigned long long) value);
	else
		buffer_printf(out, "%s\"%s\":%llu", out->len > 1 ? "," : "", name,
					  (unsigned long long) value);
}

/* Append how many objects of a bucket were asked for, and how often. */
static void
list_key_counts(buffer *out, const char *bucket)
{
	uint64_t	distinct = 0;
	uint64_t	repeated = 0;
	uint64_t	most = 0;

	for (size_t i = 0; i < keys_size; i++)
	{
		const key_count *k = keys[i];

		if (k == NULL || k->count[KIND_LABEL] == 0 ||
			strcmp(bucket, k->bucket) != 0)
			continue;
		distinct++;
		repeated += k->count[KIND_LABEL] > 1;
		if (k->count[KIND_LABEL] > most)
			most = k->count[KIND_LABEL];
	}
	list_one(out, false, "keys_distinct", distinct);
	list_one(out, false, "keys_repeated", repeated);
	list_one(out, false, "key_most", most);
}

/* Append the counts of a bucket and a requester. */
void
counter_tally(buffer *out, const char *bucket, const char *requester)
{
	pthread_mutex_lock(&lock);
	tally_list(out, bucket, requester);
	if (requester[0] == '\0')
		list_key_counts(out, bucket);
	pthread_mutex_unlock(&lock);
}

/* Return the label requests being answered right now. */
int
counter_labels_in_flight(void)
{
	int			n;

	pthread_mutex_lock(&lock);
	n = (int) t.label_in_flight;
	pthread_mutex_unlock(&lock);
	return n;
}

/* Append all counters. */
void
counter_list(buffer *out, bool json)
{
	if (json)
		buffer_puts(out, "{");
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < N_PLAIN; i++)
		list_one(out, json, plain[i].name, *plain[i].value);
	for (int i = 0; i < n_outcomes; i++)
		list_one(out, json, outcomes[i].name, outcomes[i].value);
	pthread_mutex_unlock(&lock);
	if (json)
		buffer_puts(out, "}\n");
}

/* Return one counter. */
uint64_t
counter_value(const char *name)
{
	uint64_t	value = 0;

	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < N_PLAIN; i++)
	{
		if (strcmp(plain[i].name, name) == 0)
			value = *plain[i].value;
	}
	for (int i = 0; i < n_outcomes; i++)
	{
		if (strcmp(outcomes[i].name, name) == 0)
			value = outcomes[i].value;
	}
	pthread_mutex_unlock(&lock);
	return value;
}

/* Append the counts of all objects. */
void
counter_list_keys(buffer *out, const char *bucket, request_kind kind)
{
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < keys_size; i++)
	{
		const key_count *k = keys[i];

		if (k == NULL || k->count[kind] == 0 ||
			(bucket[0] && strcmp(bucket, k->bucket) != 0))
			continue;
		buffer_printf(out, "%llu\t%s\t", (unsigned long long) k->count[kind],
					  k->bucket);
		buffer_escape(out, text_from(k->key, k->key_len), true);
		buffer_puts(out, "\n");
	}
	pthread_mutex_unlock(&lock);
}

/* Return the count of one object. */
uint64_t
counter_key(const char *bucket, text key)
{
	uint64_t	count = 0;
	key_count **slot;

	pthread_mutex_lock(&lock);
	if (keys_size > 0)
	{
		slot = key_slot(key_hash(bucket, key), bucket, key);
		if (*slot)
			count = (*slot)->count[KIND_LABEL];
	}
	pthread_mutex_unlock(&lock);
	return count;
}

/* Append the last requests. */
void
counter_log(buffer *out, int n, bool json)
{
	pthread_mutex_lock(&lock);
	log_list(out, n, json);
	pthread_mutex_unlock(&lock);
}
