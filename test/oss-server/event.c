/*
 * event.c
 *	  The events that OSS sends about objects.
 *
 * The shapes are those of real events.
 */
#include "event.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "answer.h"
#include "derive.h"
#include "identity.h"
#include "object.h"
#include "signature.h"

#define OWNER "5939306421830868"

static object_event *noted;
static size_t n_noted;
static size_t cap_noted;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Read the name of a shape. */
bool
event_shape_of(const char *name, event_shape *shape)
{
	static const char *const names[] = {"oss", "eventbridge", "smq-base64"};

	*shape = EVENT_OSS;
	for (int i = 0; i < 3; i++)
	{
		if (strcmp(name, names[i]) == 0)
			*shape = (event_shape) i;
	}
	return name[0] == '\0' || strcmp(name, names[*shape]) == 0;
}

/* Fill in time, size and ETag. */
void
event_fill(object_event *e)
{
	struct timespec now;
	bucket_settings s;
	object_traits traits;
	object		o;
	identity	id;
	text		etag;

	clock_gettime(CLOCK_REALTIME, &now);
	e->when_ms = server_time() * 1000 + now.tv_nsec / 1000000;
	if (object_find(e->bucket, e->key, &o) != LOOKUP_FOUND)
		return;
	bucket_get(e->bucket, &s);
	object_state_traits(e->bucket, e->key, text_of(""), o.number, &traits);
	identity_find(&s, e->key, &o, &traits, &id);
	e->size = id.size;
	etag = text_of(id.etag);
	if (etag.len >= 2 && etag.data[0] == '"')
		etag = text_from(etag.data + 1, etag.len - 2);
	snprintf(e->etag, sizeof(e->etag), "%.*s", (int) etag.len, etag.data);
}

/* Append the time of an event as a JSON string. */
static void
write_time(buffer *out, int64_t when_ms)
{
	char		date[40];

	format_iso(when_ms / 1000, date, sizeof(date));
	snprintf(date + 20, sizeof(date) - 20, "%03dZ", (int) (when_ms % 1000));
	buffer_printf(out, "\"%s\"", date);
}

/* Append the members of an event of OSS's own. */
static void
write_own(buffer *out, const object_event *e)
{
	uint64_t	id = hash_bytes(e->key.data, e->key.len, (uint64_t) e->when_ms);

	buffer_puts(out, "{\"eventName\":");
	buffer_json(out, text_of(e->name));
	buffer_puts(out, ",\"eventSource\":\"acs:oss\",\"eventTime\":");
	write_time(out, e->when_ms);
	buffer_printf(out, ",\"eventVersion\":\"1.0\",\"oss\":{\"bucket\":{\"arn\":"
				  "\"acs:oss:%s:" OWNER ":%s\",\"name\":\"%s\","
				  "\"ownerIdentity\":\"" OWNER "\",\"virtualBucket\":\"\"},"
				  "\"object\":{\"deltaSize\":%lld,\"eTag\":", server_scope.region,
				  e->bucket, e->bucket, (long long) e->size);
	buffer_json(out, text_of(e->etag));
	buffer_puts(out, ",\"key\":");
	buffer_json(out, e->key);
	buffer_printf(out, ",\"size\":%lld},\"ossSchemaVersion\":\"1.0\",\"ruleId\":"
				  "\"stand-in\"},\"region\":\"%s\",\"requestParameters\":"
				  "{\"sourceIPAddress\":\"127.0.0.1\"},\"responseElements\":"
				  "{\"requestId\":\"%016llX\"},\"userIdentity\":{\"principalId\":"
				  "\"" OWNER "\"}}", (long long) e->size, server_scope.region,
				  (unsigned long long) id);
}

/* Append an event as EventBridge sends it. */
static void
write_eventbridge(buffer *out, const object_event *e)
{
	uint64_t	id = hash_bytes(e->key.data, e->key.len,
								(uint64_t) e->when_ms + 1);
	buffer		subject = {0};

	buffer_puts(out, "{\"datacontenttype\":\"application/json;charset=utf-8\","
				"\"aliyunaccountid\":\"" OWNER "\",\"data\":");
	write_own(out, e);
	buffer_printf(&subject, "acs:oss:%s:" OWNER ":%s/", server_scope.region,
				  e->bucket);
	buffer_text(&subject, e->key);
	buffer_puts(out, ",\"subject\":");
	buffer_json(out, text_from(subject.data, subject.len));
	buffer_free(&subject);
	buffer_printf(out, ",\"source\":\"acs.oss\",\"type\":\"oss:%s\","
				  "\"specversion\":\"1.0\",\"aliyuneventbusname\":\"default\","
				  "\"id\":\"%016llX\",\"time\":", e->name,
				  (unsigned long long) id);
	write_time(out, e->when_ms);
	buffer_printf(out, ",\"aliyunregionid\":\"%s\"}", server_scope.region);
}

/* Append an event, one line. */
void
event_write(buffer *out, const object_event *e, event_shape shape)
{
	buffer		own = {0};

	if (shape == EVENT_EVENTBRIDGE)
		write_eventbridge(out, e);
	else
	{
		buffer_puts(&own, "{\"events\":[");
		write_own(&own, e);
		buffer_puts(&own, "]}");
		if (shape == EVENT_SMQ_BASE64)
			buffer_base64(out, own.data, own.len);
		else
			buffer_text(out, text_from(own.data, own.len));
		buffer_free(&own);
	}
	buffer_puts(out, "\n");
}

/* Note that an object was stored or deleted. */
void
event_note(const char *bucket, text key, const char *name)
{
	object_event e = {.name = name};

	snprintf(e.bucket, sizeof(e.bucket), "%s", bucket);
	e.key = key;
	event_fill(&e);
	e.key = text_from(text_dup(key), key.len);
	pthread_mutex_lock(&lock);
	if (n_noted == cap_noted)
	{
		cap_noted = cap_noted ? cap_noted * 2 : 256;
		noted = must_realloc(noted, cap_noted * sizeof(object_event));
	}
	noted[n_noted++] = e;
	pthread_mutex_unlock(&lock);
}

/* Forget what was noted; needs the lock. */
static void
forget(void)
{
	for (size_t i = 0; i < n_noted; i++)
		free((char *) noted[i].key.data);
	n_noted = 0;
}

/* Append what was noted since the last call. */
void
event_list(buffer *out, event_shape shape, const event_delivery *how)
{
	uint64_t	state = how->seed;
	size_t	   *order;
	size_t		n = 0;

	pthread_mutex_lock(&lock);
	order = must_alloc((n_noted * (size_t) how->repeat + 1) * sizeof(size_t));
	for (size_t i = 0; i < n_noted; i++)
	{
		if (next_random(&state) % 100 < (uint64_t) how->drop)
			continue;
		for (int times = 0; times < how->repeat; times++)
			order[n++] = i;
	}
	for (size_t i = n; how->shuffle && i > 1; i--)
	{
		size_t		j = next_random(&state) % i;
		size_t		swap = order[i - 1];

		order[i - 1] = order[j];
		order[j] = swap;
	}
	for (size_t i = 0; i < n; i++)
		event_write(out, &noted[order[i]], shape);
	free(order);
	forget();
	pthread_mutex_unlock(&lock);
}

/* Forget everything. */
void
event_reset(void)
{
	pthread_mutex_lock(&lock);
	forget();
	pthread_mutex_unlock(&lock);
}
