/*
 * tally.c
 *	  What was counted of each bucket and each requester (an AccessKey id).
 */
#include "tally.h"

#include <stdlib.h>
#include <string.h>

#include "meter.h"

/* The counts of a bucket, of a requester, or of one in the other. */
typedef struct tally
{
	char		bucket[MAX_BUCKET + 1]; /* "" = all */
	char		requester[64];	/* "" = all */
	uint64_t	requests;
	uint64_t	label_requests;
	uint64_t	label_answers;
	uint64_t	label_billed;
	uint64_t	label_throttled;	/* handed over in full, as the next two */
	uint64_t	label_refused;
	uint64_t	label_failed;
	uint64_t	kinds[N_KINDS]; /* requests of each kind */
	uint64_t	list_objects;	/* in listings handed over in full */
	uint64_t	throttled;
	uint64_t	refused;		/* 4xx, and no throttle */
	uint64_t	failed;			/* 5xx, and no throttle */
	uint64_t	abandoned;
	uint64_t	label_in_flight;
	uint64_t	label_most_in_flight;
	peak		labels;
	struct tally *next;
} tally;

static tally *tallies;

/* Find the counts of a bucket and a requester, or NULL. */
static tally *
find(const char *bucket, const char *requester)
{
	for (tally *t = tallies; t; t = t->next)
	{
		if (strcmp(t->bucket, bucket) == 0 &&
			strcmp(t->requester, requester) == 0)
			return t;
	}
	return NULL;
}

/* The same; makes them when there are none. */
static tally *
get(const char *bucket, const char *requester)
{
	tally	   *t = find(bucket, requester);

	if (t)
		return t;
	t = must_alloc(sizeof(*t));
	strcpy(t->bucket, bucket);
	strcpy(t->requester, requester);
	t->next = tallies;
	tallies = t;
	return t;
}

/* Return the i-th of the three counts that a request belongs to. */
static tally *
tally_of(const request *r, int i)
{
	const char *requester = r->access_key_id[0] ? r->access_key_id : "-";
	const char *bucket = r->bucket[0] ? r->bucket : "-";

	return get(i == 1 ? "" : bucket, i == 0 ? "" : requester);
}

/* Set all counts to zero, but what is in flight. */
void
tally_reset(void)
{
	for (tally *t = tallies; t; t = t->next)
	{
		uint64_t	in_flight = t->label_in_flight;

		memset(t->kinds, 0, sizeof(t->kinds));
		t->label_billed = t->list_objects = 0;
		t->label_throttled = t->label_refused = t->label_failed = 0;
		t->requests = t->label_requests = t->label_answers = 0;
		t->throttled = t->refused = t->failed = t->abandoned = 0;
		t->label_in_flight = t->label_most_in_flight = in_flight;
		peak_reset(&t->labels);
	}
}

/* Count a request. */
void
tally_begin(const request *r)
{
	for (int i = 0; i < 3; i++)
	{
		tally	   *t = tally_of(r, i);

		t->requests++;
		t->kinds[request_kind_of(r)]++;
		if (!r->is_label)
			continue;
		t->label_requests++;
		if (++t->label_in_flight > t->label_most_in_flight)
			t->label_most_in_flight = t->label_in_flight;
		peak_add(&t->labels, r->arrived_us);
	}
}

/* Count what became of a request. */
void
tally_end(const request *r, bool given, bool completed, bool abandoned)
{
	int			status = r->answer.status;
	bool		throttled = r->answer.throttled || status == 429;
	bool		refused = !throttled && status / 100 == 4;
	bool		failed = !throttled && status / 100 == 5;
	bool		labels = r->is_label && completed;

	for (int i = 0; i < 3; i++)
	{
		tally	   *t = tally_of(r, i);

		t->label_in_flight -= r->is_label;
		t->label_answers += given;
		t->abandoned += abandoned;
		t->throttled += throttled;
		t->refused += refused;
		t->failed += failed;
		t->label_billed += r->billed;
		t->list_objects += completed ? (uint64_t) r->listed : 0;
		t->label_throttled += labels && throttled;
		t->label_refused += labels && refused;
		t->label_failed += labels && failed;
	}
}

/* Append the counts of all buckets, each after a line "bucket NAME". */
void
tally_list_buckets(buffer *out)
{
	for (tally *t = tallies; t; t = t->next)
	{
		if (t->bucket[0] == '\0' || t->requester[0] != '\0')
			continue;
		buffer_printf(out, "bucket %s\n", t->bucket);
		tally_list(out, t->bucket, "");
	}
}

/* Append counts. */
void
tally_list(buffer *out, const char *bucket, const char *requester)
{
	static const tally none;
	const tally *t = find(bucket, requester);

	if (t == NULL)
		t = &none;
#define LINE(name, value) \
	buffer_printf(out, name " %llu\n", (unsigned long long) (value))
	LINE("requests", t->requests);
	LINE("label_requests", t->label_requests);
	LINE("label_answers", t->label_answers);
	LINE("label_billed", t->label_billed);
	LINE("label_throttled", t->label_throttled);
	LINE("label_refused", t->label_refused);
	LINE("label_failed", t->label_failed);
	LINE("list_requests", t->kinds[KIND_LIST]);
	LINE("list_objects", t->list_objects);
	LINE("head_requests", t->kinds[KIND_HEAD]);
	LINE("put_requests", t->kinds[KIND_PUT]);
	LINE("delete_requests", t->kinds[KIND_DELETE]);
	LINE("throttled", t->throttled);
	LINE("refused", t->refused);
	LINE("failed", t->failed);
	LINE("abandoned", t->abandoned);
	LINE("label_in_flight", t->label_in_flight);
	LINE("label_most_in_flight", t->label_most_in_flight);
	LINE("label_max_per_second", t->labels.most);
#undef LINE
}
