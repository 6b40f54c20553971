/*
 * fault.c
 *	  What shall go wrong: a table of faults, set by control requests.
 */
#include "fault.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "counter.h"
#include "listing.h"
#include "object.h"

static const struct
{
	const char *name;
	fault_kind	kind;
}			kinds[] = {
	{"delay", FAULT_DELAY},
	{"error", FAULT_ERROR},
	{"throttle", FAULT_THROTTLE},
	{"active", FAULT_ACTIVE},
	{"redirect", FAULT_REDIRECT},
	{"html", FAULT_HTML},
	{"image", FAULT_IMAGE},
	{"labels", FAULT_LABELS},
	{"body", FAULT_BODY},
	{"gzip", FAULT_GZIP},
	{"nul", FAULT_NUL},
	{"utf8", FAULT_UTF8},
	{"huge", FAULT_HUGE},
	{"listing", FAULT_LISTING},
	{"slow", FAULT_SLOW},
	{"pause", FAULT_PAUSE},
	{"truncate", FAULT_TRUNCATE},
	{"reset-body", FAULT_RESET_BODY},
	{"hang-body", FAULT_HANG_BODY},
	{"length", FAULT_LENGTH},
	{"chunked", FAULT_CHUNKED},
	{"close", FAULT_CLOSE},
	{"garbage", FAULT_GARBAGE},
	{"headers", FAULT_HEADERS},
	{"nul-header", FAULT_NUL_HEADER},
	{"raw", FAULT_RAW},
	{"hang", FAULT_HANG},
	{"drop", FAULT_DROP},
	{"reset", FAULT_RESET},
	{"drop-before", FAULT_DROP_BEFORE},
	{"refuse", FAULT_REFUSE},
};

static const char *const scopes[] = {"label", "any", "get", "put", "head",
"list", "delete", "sts"};

static fault *faults;			/* in order of definition */
static int	next_id = 1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t random_state = 42;

/* Release a fault that nobody references any more. */
static void
fault_free(fault *f)
{
	free(f->key);
	free(f->code);
	free(f->ec);
	free(f->message);
	free(f->location);
	free(f->variant);
	free(f->content_type);
	meter_free(&f->limit);
	buffer_free(&f->headers);
	buffer_free(&f->body);
	free(f);
}

/* Return a parameter as a malloc'd string, or NULL. */
static char *
param_string(const pair_list *params, const char *name)
{
	text		value;

	return pair_list_get(params, name, &value) ? text_dup(value) : NULL;
}

/* Return a parameter as a number that may be negative. */
static int64_t
param_number(const pair_list *params, const char *name, int64_t otherwise)
{
	text		value;

	if (!pair_list_get(params, name, &value) || value.len == 0)
		return otherwise;
	return strtoll(value.data, NULL, 10);
}

/* Read "ms" or "ms-ms" as microseconds. */
static void
param_range(const pair_list *params, const char *name, uint64_t *low,
			uint64_t *high)
{
	text		value;
	text		first;

	if (!pair_list_get(params, name, &value))
		return;
	first = text_cut(&value, '-');
	*low = (uint64_t) (strtod(first.data, NULL) * 1000);
	*high = value.len > 0 ? (uint64_t) (strtod(value.data, NULL) * 1000) : *low;
	if (*high < *low)
		*high = *low;
}

/* Find the kind; a code alone means error, a delay alone delay. */
static bool
param_kind(const pair_list *params, fault_kind *kind)
{
	text		name;

	if (!pair_list_get(params, "kind", &name))
	{
		*kind = pair_list_count(params, "code") > 0 ||
			pair_list_count(params, "status") > 0 ? FAULT_ERROR : FAULT_DELAY;
		return *kind == FAULT_ERROR || pair_list_count(params, "delay") > 0;
	}
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
	{
		if (text_eq(name, kinds[i].name))
		{
			*kind = kinds[i].kind;
			return true;
		}
	}
	return false;
}

/* Return the name of a kind. */
static const char *
kind_name(fault_kind kind)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
	{
		if (kinds[i].kind == kind)
			return kinds[i].name;
	}
	return "?";
}

/* Read the scope; false if there is no such. */
static bool
param_scope(const pair_list *params, fault_scope *scope)
{
	text		name;

	if (!pair_list_get(params, "scope", &name))
		return true;
	for (size_t i = 0; i < sizeof(scopes) / sizeof(scopes[0]); i++)
	{
		if (text_eq(name, scopes[i]))
		{
			*scope = (fault_scope) i;
			return true;
		}
	}
	return false;
}

/* Return whether the variant of an odd listing is known. */
static bool
param_variant(const pair_list *params)
{
	text		variant;

	return pair_list_get(params, "variant", &variant) &&
		listing_variant_known(variant.data);
}

/* Read which requests a fault applies to; odd listings apply to listings. */
static bool
param_match(const pair_list *params, fault *f)
{
	text		bucket;
	text		key;

	if (pair_list_get(params, "bucket", &bucket))
		snprintf(f->bucket, sizeof(f->bucket), "%.*s", (int) bucket.len,
				 bucket.data);
	f->key_is_prefix = pair_list_get(params, "prefix", &key);
	if (f->key_is_prefix || pair_list_get(params, "key", &key))
	{
		f->key = text_dup(key);
		f->key_len = key.len;
	}
	f->times = param_number(params, "times", -1);
	f->skip = param_number(params, "skip", 0);
	f->every = param_number(params, "every", 1);
	f->bill = (int) param_number(params, "bill", -1);
	if (f->kind == FAULT_LISTING)
		f->scope = SCOPE_LIST;
	return f->every > 0 && f->bill <= 1 && param_scope(params, &f->scope);
}

/* Read what a fault answers; false if there is no such style. */
static bool
param_answer(const pair_list *params, fault *f)
{
	text		style;

	f->status = (int) param_number(params, "status", 0);
	f->code = param_string(params, "code");
	f->ec = param_string(params, "ec");
	f->message = param_string(params, "message");
	f->location = param_string(params, "location");
	f->variant = param_string(params, "variant");
	f->content_type = param_string(params, "type");
	for (int i = 0; i < params->n; i++)
	{
		if (text_eq(params->items[i].name, "header"))
		{
			buffer_text(&f->headers, params->items[i].value);
			buffer_puts(&f->headers, "\n");
		}
	}
	return !pair_list_get(params, "xml", &style) ||
		xml_style_of(style.data, &f->style);
}

/* Append a fault at the end of the table. */
static int
append(fault *f)
{
	fault	  **link = &faults;
	int			id;

	pthread_mutex_lock(&lock);
	while (*link)
		link = &(*link)->next;
	*link = f;
	id = f->id = next_id++;
	pthread_mutex_unlock(&lock);
	return id;
}

/* Add a fault. */
int
fault_add(const pair_list *params, text body, buffer *reason)
{
	fault	   *f = must_alloc(sizeof(*f));
	text		file;
	int64_t		rate;

	f->refs = 1;
	if (!param_kind(params, &f->kind))
		buffer_puts(reason, "unknown or missing kind\n");
	else if (!param_match(params, f))
		buffer_puts(reason, "unknown scope, every below 1, or bill above 1\n");
	else if (f->kind == FAULT_LISTING && !param_variant(params))
		buffer_puts(reason, "unknown variant\n");
	f->bytes = param_number(params, "bytes", f->kind == FAULT_LENGTH ? 10 :
							f->kind == FAULT_HEADERS ? 1000000 :
							f->kind == FAULT_HUGE ? 100000000 :
							f->kind == FAULT_SLOW ? 1 :
							f->kind == FAULT_LISTING ? MAX_KEY : 20);
	f->interval_us = (uint64_t) param_number(params, "interval", 10) * 1000;
	rate = param_number(params, f->kind == FAULT_ACTIVE ? "limit" : "rate", 0);
	param_range(params, "delay", &f->delay_min_us, &f->delay_max_us);
	if (!param_answer(params, f))
		buffer_puts(reason, "unknown xml\n");
	if (rate < 0 || (f->kind == FAULT_SLOW && f->bytes < 1))
		buffer_puts(reason, "negative number\n");
	if (pair_list_get(params, "body", &file) && file.len > 0)
	{
		if (!file_read(file.data, &f->body))
			buffer_puts(reason, "cannot read the body's file\n");
	}
	else
		buffer_text(&f->body, body);
	if (reason->len > 0)
	{
		fault_free(f);
		return 0;
	}
	meter_init(&f->limit, rate);
	return append(f);
}

/* Drop a reference; needs the lock. */
static void
unref(fault *f)
{
	if (f && --f->refs == 0)
		fault_free(f);
}

/* Remove one fault, or all. */
int
fault_remove(int id)
{
	fault	  **link = &faults;
	int			n = 0;

	pthread_mutex_lock(&lock);
	while (*link)
	{
		fault	   *f = *link;

		if (id == 0 || f->id == id)
		{
			*link = f->next;
			unref(f);
			n++;
		}
		else
			link = &f->next;
	}
	pthread_mutex_unlock(&lock);
	return n;
}

/* Append the faults as lines. */
void
fault_list(buffer *out)
{
	pthread_mutex_lock(&lock);
	for (fault *f = faults; f; f = f->next)
	{
		buffer_printf(out, "%d %s scope=%s bucket=%s key=", f->id,
					  kind_name(f->kind), scopes[f->scope],
					  f->bucket[0] ? f->bucket : "*");
		if (f->key)
			buffer_escape(out, text_from(f->key, f->key_len), true);
		else
			buffer_puts(out, "*");
		buffer_printf(out, " times=%lld seen=%lld hits=%lld\n",
					  (long long) f->times, (long long) f->seen,
					  (long long) f->hits);
	}
	pthread_mutex_unlock(&lock);
}

/* Return whether a request is of a fault's scope. */
static bool
in_scope(const fault *f, const request *r)
{
	switch (f->scope)
	{
		case SCOPE_LABEL:
			return r->is_label;
		case SCOPE_GET:
			return strcmp(r->method, "GET") == 0;
		case SCOPE_PUT:
			return strcmp(r->method, "PUT") == 0;
		case SCOPE_HEAD:
			return request_kind_of(r) == KIND_HEAD;
		case SCOPE_LIST:
			return r->is_list;
		case SCOPE_DELETE:
			return request_kind_of(r) == KIND_DELETE;
		case SCOPE_STS:
			return r->is_sts;
		case SCOPE_ANY:
			return true;
	}
	return false;
}

/* Return whether a fault's bucket and key are those of a request. */
static bool
names_match(const fault *f, const request *r)
{
	text		key = {f->key, f->key_len};
	text		name = r->is_list ? r->list_prefix : r->key;

	if (f->bucket[0] != '\0' && strcmp(f->bucket, r->bucket) != 0)
		return false;
	if (f->key == NULL)
		return true;
	if (f->key_is_prefix)
		return name.len >= key.len && memcmp(name.data, key.data, key.len) == 0;
	return text_same(key, name);
}

/* Count a matching request; return whether it is the fault's turn. */
static bool
take_turn(fault *f)
{
	int64_t		n = f->seen++;

	if (n < f->skip || (n - f->skip) % f->every != 0)
		return false;
	if (f->times >= 0 && f->hits >= f->times)
		return false;
	f->hits++;
	return true;
}

/* Return whether a fault applies to a request that matches. */
static bool
applies(fault *f)
{
	if (f->kind == FAULT_THROTTLE && !meter_over(&f->limit))
		return false;
	if (f->kind == FAULT_ACTIVE && counter_labels_in_flight() <= f->limit.rate)
		return false;
	return take_turn(f);
}

/* Return a delay of the fault's range. */
static uint64_t
pick_delay(const fault *f)
{
	uint64_t	span = f->delay_max_us - f->delay_min_us;

	random_state = random_state * 6364136223846793005ULL + 1;
	return f->delay_min_us + (span ? (random_state >> 20) % (span + 1) : 0);
}

/* Find what a request meets. */
fault_plan
fault_find(const request *r)
{
	fault_plan	plan = {.bill = -1};

	pthread_mutex_lock(&lock);
	for (fault *f = faults; f; f = f->next)
	{
		bool		is_delivery = f->kind >= FAULT_SLOW;
		fault	  **slot = is_delivery ? &plan.delivery : &plan.answer;

		if (f->kind >= FAULT_DROP_BEFORE || !in_scope(f, r) ||
			!names_match(f, r))
			continue;
		if (f->kind != FAULT_DELAY && *slot != NULL)
			continue;
		if (!applies(f))
			continue;
		plan.delay_us += pick_delay(f);
		if (plan.bill < 0)
			plan.bill = f->bill;
		if (f->kind != FAULT_DELAY)
		{
			*slot = f;
			f->refs++;
		}
	}
	pthread_mutex_unlock(&lock);
	return plan;
}

/* Let go of a plan. */
void
fault_release(fault_plan *plan)
{
	if (plan->answer == NULL && plan->delivery == NULL)
		return;
	pthread_mutex_lock(&lock);
	unref(plan->answer);
	unref(plan->delivery);
	pthread_mutex_unlock(&lock);
	plan->answer = plan->delivery = NULL;
}

/* Return whether a request shall be dropped before it counts. */
bool
fault_drop_before(const request *r)
{
	bool		drop = false;

	pthread_mutex_lock(&lock);
	for (fault *f = faults; f && !drop; f = f->next)
		drop = f->kind == FAULT_DROP_BEFORE && in_scope(f, r) &&
			names_match(f, r) && take_turn(f);
	pthread_mutex_unlock(&lock);
	return drop;
}

/* Return whether a connection shall be closed at once. */
bool
fault_refuse(void)
{
	bool		refuse = false;

	pthread_mutex_lock(&lock);
	for (fault *f = faults; f && !refuse; f = f->next)
		refuse = f->kind == FAULT_REFUSE && take_turn(f);
	pthread_mutex_unlock(&lock);
	return refuse;
}
