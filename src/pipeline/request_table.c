/*-------------------------------------------------------------------------
 * request_table.c
 *	  The requests of a query, shared by all its pipeline nodes.
 *
 * A query is an EState.  Its answers are keyed by function, server, bucket, key,
 * threshold and version.  When an answer has arrived, the first node that needs
 * it makes rows of it and frees the request.  Answers without references are
 * kept in a list, least recently used first, within work_mem.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "call/object_info.h"
#include "client/labels_response.h"
#include "client/usage.h"
#include "common/hashfn.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "pipeline/labels.h"
#include "pipeline/request_table.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

/* Memory charged for an answer that was not parsed yet. */
#define UNREAD_BYTES	(16 * 1024)

/* Answers that may wait for their rows, as a multiple of concurrency. */
#define WINDOW_FACTOR	2

/* Answers stored at once. */
#define ARRIVALS		64

int			oss_pipeline_concurrency = 16;

typedef struct AnswerKey
{
	OssFunction which;
	const OssServer *server;
	OssImage	image;
} AnswerKey;

/*
 * A request and its answer.  request is set until rows are made of it; then
 * labels.tuples or json is.  kept: it has no references, node is in the query's list,
 * and bytes is included in kept_bytes.
 */
struct PipelineAnswer
{
	MemoryContext context;
	PipelineQuery *query;
	PipelineMember *starter;
	AnswerKey	key;
	OssRequest *request;
	PipelineLabels labels;
	Jsonb	   *json;			/* for detect_json(), instead */
	Size		body;			/* of the response, counted in its query */
	OssWish    *wish;			/* store the answer for it on arrival, or NULL */
	OssKeep    *keep;			/* hands it to the worker, or NULL */
	SubTransactionId stored_in; /* that has stored it for wish */
	TimestampTz asked_at;
	bool		delivered;
	bool		outstanding;	/* counted by its starter */
	int			references;
	bool		kept;
	Size		bytes;
	dlist_node	node;
};

/* An entry of the hash table. */
typedef struct AnswerSlot
{
	AnswerKey	key;
	PipelineAnswer *answer;
	char		status;
} AnswerSlot;

static inline uint32
key_hash(const AnswerKey *key)
{
	return hash_combine(oss_image_hash(&key->image),
						hash_bytes((const unsigned char *) &key->image.thr,
								   sizeof(key->image.thr)));
}

static inline bool
keys_are_equal(const AnswerKey *a, const AnswerKey *b)
{
	return a->which == b->which && a->server == b->server &&
		a->image.has_thr == b->image.has_thr &&
		memcmp(&a->image.thr, &b->image.thr, sizeof(a->image.thr)) == 0 &&
		oss_image_same(&a->image, &b->image);
}

#define SH_PREFIX answers
#define SH_ELEMENT_TYPE AnswerSlot
#define SH_KEY_TYPE AnswerKey
#define SH_KEY key
#define SH_HASH_KEY(table, key) key_hash(&(key))
#define SH_EQUAL(table, a, b) keys_are_equal(&(a), &(b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/*
 * The requests of one EState.  kept_bytes is the sum of bytes of the answers
 * in kept, held_bytes that of the bodies of those that are waited for; arrived and
 * arrived_bytes are of all.  stored_in is the latest of all answers'; unstored is set when such
 * a subtransaction was rolled back.
 */
struct PipelineQuery
{
	dlist_node	node;
	MemoryContextCallback reset;
	MemoryContext context;
	EState	   *estate;
	int			concurrency;
	List	   *members;
	struct answers_hash *answers;
	dlist_head	kept;
	Size		kept_bytes;
	Size		held_bytes;
	int64		arrived;
	int64		arrived_bytes;
	SubTransactionId stored_in;
	bool		unstored;
};

static dlist_head queries = DLIST_STATIC_INIT(queries);

/* Reset callback. */
static void
on_query_reset(void *arg)
{
	dlist_delete(&((PipelineQuery *) arg)->node);
}

/*
 * Follow the ends of subtransactions.  A cursor outlives a savepoint in which
 * it read ahead: what was stored then must be stored again.
 */
static void
on_subtransaction(SubXactEvent event, SubTransactionId mine,
				  SubTransactionId parent, void *arg)
{
	bool		aborted = event == SUBXACT_EVENT_ABORT_SUB;
	dlist_iter	iter;

	if (!aborted && event != SUBXACT_EVENT_COMMIT_SUB)
		return;
	dlist_foreach(iter, &queries)
	{
		PipelineQuery *query = dlist_container(PipelineQuery, node, iter.cur);
		answers_iterator iterator;
		AnswerSlot *slot;

		if (query->stored_in < mine)
			continue;
		query->stored_in = parent;
		answers_start_iterate(query->answers, &iterator);
		while ((slot = answers_iterate(query->answers, &iterator)) != NULL)
		{
			if (slot->answer->stored_in != mine)
				continue;
			slot->answer->stored_in = aborted ? InvalidSubTransactionId : parent;
			query->unstored |= aborted;
		}
	}
}

/* Register the callback, once per process. */
static void
watch_subtransactions(void)
{
	static bool watching = false;

	if (watching)
		return;
	RegisterSubXactCallback(on_subtransaction, NULL);
	watching = true;
}

static PipelineQuery *
find_query(EState *estate)
{
	dlist_iter	iter;

	dlist_foreach(iter, &queries)
	{
		PipelineQuery *query = dlist_container(PipelineQuery, node, iter.cur);

		if (query->estate == estate)
			return query;
	}
	return NULL;
}

static PipelineQuery *
make_query(EState *estate)
{
	MemoryContext context = AllocSetContextCreate(estate->es_query_cxt,
												  "oss_labels pipeline",
												  ALLOCSET_DEFAULT_SIZES);
	PipelineQuery *query = MemoryContextAllocZero(context,
												  sizeof(PipelineQuery));

	query->context = context;
	query->estate = estate;
	query->concurrency = oss_pipeline_concurrency;
	query->answers = answers_create(context, 64, NULL);
	watch_subtransactions();
	dlist_init(&query->kept);
	dlist_push_tail(&queries, &query->node);
	query->reset.func = on_query_reset;
	query->reset.arg = query;
	MemoryContextRegisterResetCallback(context, &query->reset);
	return query;
}

PipelineMember *
oss_pipeline_join(EState *estate)
{
	PipelineQuery *query = find_query(estate);
	PipelineMember *member;
	MemoryContext old;

	if (query == NULL)
		query = make_query(estate);
	old = MemoryContextSwitchTo(query->context);
	member = palloc0(sizeof(PipelineMember));
	member->query = query;
	member->group = oss_group_create(query->context);
	query->members = lappend(query->members, member);
	MemoryContextSwitchTo(old);
	return member;
}

void
oss_pipeline_leave(PipelineMember *member)
{
	PipelineQuery *query = member->query;

	query->members = list_delete_ptr(query->members, member);
	if (query->members == NIL)
		MemoryContextDelete(query->context);
}

List *
oss_pipeline_members(EState *estate)
{
	PipelineQuery *query = find_query(estate);

	return query != NULL ? query->members : NIL;
}

int
oss_pipeline_member_concurrency(const PipelineMember *member)
{
	return member->query->concurrency;
}

static int
count_unfinished(const PipelineQuery *query)
{
	int			n = 0;
	ListCell   *lc;

	foreach(lc, query->members)
		n += oss_group_counters(((PipelineMember *) lfirst(lc))->group)->unfinished;
	return n;
}

/*
 * Return how many of the query's requests may be a member's: an equal share,
 * so that a node does not starve the one that reads from it.
 */
static int
share_request(const PipelineMember *member)
{
	int			running = 0;
	ListCell   *lc;

	foreach(lc, member->query->members)
	{
		if (((PipelineMember *) lfirst(lc))->running)
			running++;
	}
	return Max(1, member->query->concurrency / Max(running, 1));
}

/*
 * Is there memory for one more answer, as large as those before?  One is always
 * possible.
 */
static bool
has_memory(const PipelineQuery *query)
{
	int			unfinished = count_unfinished(query);
	double		average = query->arrived > 0 ? (double) query->arrived_bytes / query->arrived : 0;

	return (unfinished == 0 && query->held_bytes == 0) ||
		query->held_bytes + (unfinished + 1) * average <= work_mem * 1024.0;
}

bool
oss_pipeline_may_start(const PipelineMember *member)
{
	int			concurrency = member->query->concurrency;
	int			ahead = member->above ? Max(*member->above - 1, 0) : 0;

	return has_memory(member->query) &&
		member->started < 2 * Max(member->delivered - ahead, 0) + 1 &&
		member->outstanding < WINDOW_FACTOR * concurrency &&
		oss_group_counters(member->group)->unfinished < share_request(member) &&
		count_unfinished(member->query) < concurrency;
}

double
oss_pipeline_most_started(const PipelineMember *member, double delivered)
{
	return delivered - 1 + Min(delivered, WINDOW_FACTOR * member->query->concurrency);
}

/* Remove an answer from the list of those without references. */
static void
unkeep_answer(PipelineAnswer *answer)
{
	if (!answer->kept)
		return;
	dlist_delete(&answer->node);
	Assert(answer->references == 0);
	Assert(answer->query->kept_bytes >= answer->bytes);
	answer->query->kept_bytes -= answer->bytes;
	answer->kept = false;
}

/* Was the request sent, but no row delivered? */
static bool
is_undelivered(const PipelineAnswer *answer)
{
	return !answer->delivered &&
		(answer->request == NULL || oss_request_attempts(answer->request) > 0);
}

int64
oss_pipeline_undelivered(const PipelineMember *member)
{
	struct answers_hash *answers = member->query->answers;
	answers_iterator iterator;
	AnswerSlot *slot;
	int64		n = member->lost;

	answers_start_iterate(answers, &iterator);
	while ((slot = answers_iterate(answers, &iterator)) != NULL)
	{
		if (slot->answer->starter == member && is_undelivered(slot->answer))
			n++;
	}
	return n;
}

/* Note that a response has come. */
static void
count_body(PipelineAnswer *answer)
{
	size_t		len = 0;

	if (answer->body > 0 || answer->request == NULL)
		return;
	if (!oss_request_failed(answer->request))
		(void) oss_request_body(answer->request, &len);
	answer->body = Max(len, 1);
	answer->query->held_bytes += answer->body;
	answer->query->arrived++;
	answer->query->arrived_bytes += answer->body;
}

/* An answer is not waited for any more. */
static void
discount_body(PipelineAnswer *answer)
{
	Assert(answer->query->held_bytes >= answer->body);
	answer->query->held_bytes -= answer->body;
	answer->body = 0;
}

/* Free an answer, cancelling its request. */
static void
forget_answer(PipelineAnswer *answer)
{
	if (is_undelivered(answer))
		answer->starter->lost++;
	unkeep_answer(answer);
	discount_body(answer);
	answers_delete(answer->query->answers, answer->key);
	if (answer->request != NULL)
		oss_request_free(answer->request);
	MemoryContextDelete(answer->context);
}

PipelineAnswer *
oss_pipeline_find(PipelineMember *member, OssFunction which,
				  const OssLabelsSpec *spec)
{
	AnswerKey	key = {which, spec->server, spec->image};
	AnswerSlot *slot = answers_lookup(member->query->answers, key);

	if (slot == NULL)
		return NULL;
	unkeep_answer(slot->answer);
	slot->answer->references++;
	member->coalesced++;
	if (!oss_function_is_head(which))
		oss_usage_free(OSS_USAGE_SHARED, spec->server->name, spec->server->userid,
					   spec->image.bucket, 1);
	return slot->answer;
}

PipelineAnswer *
oss_pipeline_start(PipelineMember *member, OssFunction which,
				   const OssLabelsSpec *asked, const OssWish *wish, OssFlight *flight)
{
	OssLabelsSpec spec = *asked;
	PipelineQuery *query = member->query;
	MemoryContext context = AllocSetContextCreate(query->context,
												  "oss_labels answer",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	PipelineAnswer *answer = palloc0(sizeof(PipelineAnswer));
	bool		found;

	Assert(count_unfinished(query) < query->concurrency);
	answer->context = context;
	answer->query = query;
	answer->starter = member;
	answer->key.which = which;
	answer->key.server = spec.server;
	answer->key.image = oss_image_copy(&spec.image);
	if (flight != NULL)
		MemoryContextSetParent(GetMemoryChunkContext(flight), context);
	if (wish != NULL)
	{
		answer->wish = palloc0(sizeof(OssWish));
		answer->wish->image = oss_image_copy(&wish->image);
		answer->keep = oss_stored_hand_on(answer->wish, &spec, flight);
	}
	answer->asked_at = GetCurrentTimestamp();
	answer->request = oss_request_start(member->group, &spec, answer);
	MemoryContextSwitchTo(old);
	answers_insert(query->answers, answer->key, &found)->answer = answer;
	Assert(!found);
	answer->references = 1;
	answer->outstanding = true;
	member->outstanding++;
	member->started++;
	return answer;
}

bool
oss_pipeline_done(const PipelineAnswer *answer)
{
	return answer->request == NULL || oss_request_done(answer->request);
}

bool
oss_pipeline_succeeded(const PipelineAnswer *answer)
{
	return answer->request == NULL ||
		(oss_request_done(answer->request) &&
		 (oss_function_is_try(answer->key.which) || !oss_request_failed(answer->request)));
}

/* Store answers for tag(). */
static void
store_answers(PipelineQuery *query, const OssArrival *arrivals, int n)
{
	SubTransactionId here = GetCurrentSubTransactionId();

	if (n == 0)
		return;
	oss_stored_keep(arrivals, n);
	for (int i = 0; i < n; i++)
		((PipelineAnswer *) oss_request_tag(arrivals[i].request))->stored_in = here;
	query->stored_in = Max(query->stored_in, here);
}

/*
 * Append an answer to arrivals if it is for tag(), storing those when they are
 * many.  Returns their number.
 */
static int
add_arrival(PipelineQuery *query, OssArrival *arrivals, int n,
			const PipelineAnswer *answer)
{
	if (answer->wish == NULL || (answer->keep != NULL && answer->keep->handed))
		return n;
	if (n == ARRIVALS)
	{
		store_answers(query, arrivals, n);
		n = 0;
	}
	arrivals[n].wish = answer->wish;
	arrivals[n].request = answer->request;
	arrivals[n].asked_at = answer->asked_at;
	return n + 1;
}

/*
 * Store again what was rolled back.  Not the answers whose rows were returned:
 * whoever read them has rolled that back as well.
 */
static void
store_again(PipelineQuery *query)
{
	OssArrival	arrivals[ARRIVALS];
	int			n = 0;
	answers_iterator iterator;
	AnswerSlot *slot;

	query->unstored = false;
	answers_start_iterate(query->answers, &iterator);
	while ((slot = answers_iterate(query->answers, &iterator)) != NULL)
	{
		const PipelineAnswer *answer = slot->answer;

		if (answer->stored_in == InvalidSubTransactionId &&
			answer->request != NULL && oss_request_done(answer->request))
			n = add_arrival(query, arrivals, n, answer);
	}
	store_answers(query, arrivals, n);
}

/*
 * Take the finished requests of a member, waiting up to timeout_ms for the
 * first, and store the answers for tag() in batches.
 */
static void
take_finished(PipelineMember *member, long timeout_ms)
{
	OssArrival	arrivals[ARRIVALS];
	OssRequest *request = oss_group_wait(member->group, timeout_ms);
	int			n = 0;

	while (request != NULL)
	{
		count_body(oss_request_tag(request));
		n = add_arrival(member->query, arrivals, n, oss_request_tag(request));
		request = oss_group_next(member->group);
	}
	store_answers(member->query, arrivals, n);
	if (member->query->unstored)
		store_again(member->query);
}

/*
 * The requests returned by the group need no more than to be taken, since
 * oss_pipeline_done() asks the request itself.
 */
void
oss_pipeline_poll(PipelineMember *member)
{
	take_finished(member, 0);
}

void
oss_pipeline_wait(const PipelineAnswer *answer)
{
	Assert(!oss_pipeline_done(answer));
	oss_request_await(answer->request);
	take_finished(answer->starter, -1);
}

void
oss_pipeline_wait_turn(PipelineMember *member)
{
	PipelineQuery *query = member->query;

	while (count_unfinished(query) >= query->concurrency)
	{
		ListCell   *lc;

		foreach(lc, query->members)
		{
			PipelineMember *other = lfirst(lc);

			if (oss_group_counters(other->group)->unfinished > 0)
			{
				oss_group_await(other->group);
				take_finished(other, -1);
				break;
			}
		}
	}
}

const PipelineLabels *
oss_pipeline_labels(PipelineAnswer *answer, TupleDesc desc, double least)
{
	MemoryContext work;
	MemoryContext old;
	DetectRows *rows;

	if (answer->request == NULL)
		return oss_labels_confident(&answer->labels, least);
	Assert(answer->references > 0 && oss_pipeline_done(answer));
	if (answer->query->unstored)
		store_again(answer->query);
	work = AllocSetContextCreate(answer->context, "oss_labels parsing",
								 ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(work);
	if (oss_function_is_head(answer->key.which))
		rows = oss_object_rows(answer->request, oss_function_is_try(answer->key.which));
	else
		rows = oss_detect_rows(answer->request, oss_function_is_try(answer->key.which), 0);
	MemoryContextSwitchTo(answer->context);
	oss_labels_form(&answer->labels, rows, desc);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(work);
	oss_request_free(answer->request);
	answer->request = NULL;
	return oss_labels_confident(&answer->labels, least);
}

Datum
oss_pipeline_json(PipelineAnswer *answer)
{
	const OssFailure *failure;
	MemoryContext old;

	if (answer->json == NULL)
	{
		Assert(answer->references > 0 && oss_pipeline_done(answer));
		old = MemoryContextSwitchTo(answer->context);
		answer->json = oss_response_parse(answer->request, NULL, &failure);
		MemoryContextSwitchTo(old);
		if (answer->json == NULL)
			oss_failure_throw(failure);
		oss_request_free(answer->request);
		answer->request = NULL;
	}
	return JsonbPGetDatum(answer->json);
}

/*
 * Keep an answer without references, freeing the least recently used ones
 * above work_mem.
 */
static void
keep_answer(PipelineAnswer *answer)
{
	PipelineQuery *query = answer->query;

	answer->bytes = MemoryContextMemAllocated(answer->context, true) +
		(answer->request != NULL ? UNREAD_BYTES : 0);
	discount_body(answer);
	answer->kept = true;
	dlist_push_tail(&query->kept, &answer->node);
	query->kept_bytes += answer->bytes;
	while (query->kept_bytes > (Size) work_mem * 1024)
		forget_answer(dlist_head_element(PipelineAnswer, node, &query->kept));
}

/* Stop counting an answer as outstanding. */
static void
settle_answer(PipelineAnswer *answer)
{
	if (answer->outstanding)
	{
		Assert(answer->starter->outstanding > 0);
		answer->starter->outstanding--;
	}
	answer->outstanding = false;
}

void
oss_pipeline_release(PipelineAnswer *answer, bool delivered)
{
	Assert(answer->references > 0 && !answer->kept);
	if (delivered && !answer->delivered)
	{
		answer->delivered = true;
		answer->starter->delivered++;
	}
	if (delivered || answer->references == 1)
		settle_answer(answer);
	if (--answer->references > 0)
		return;
	if (oss_pipeline_done(answer))
		keep_answer(answer);
	else
		forget_answer(answer);
}
