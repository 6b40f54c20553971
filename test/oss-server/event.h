/*
 * event.h
 *	  The events that OSS sends about objects.
 */
#ifndef STANDIN_EVENT_H
#define STANDIN_EVENT_H

#include "request.h"

typedef enum event_shape
{
	EVENT_OSS,					/* OSS's own */
	EVENT_EVENTBRIDGE,
	EVENT_SMQ_BASE64			/* OSS's own in Base64, as SMQ sends it */
} event_shape;

typedef struct object_event
{
	char		bucket[MAX_BUCKET + 1];
	text		key;
	const char *name;			/* such as ObjectCreated:PutObject */
	int64_t		size;
	char		etag[512];		/* without quotes */
	int64_t		when_ms;		/* milliseconds since 1970 */
} object_event;

/* How events are delivered. */
typedef struct event_delivery
{
	int			drop;			/* per cent that get lost */
	int			repeat;			/* times that each comes */
	bool		shuffle;
	uint64_t	seed;
} event_delivery;

/* Read the name of a shape, "" being OSS's own; false if there is none. */
extern bool event_shape_of(const char *name, event_shape *shape);

/* Fill in time, and size and ETag of the object as it is, if there is one. */
extern void event_fill(object_event *e);

/* Append an event, one line. */
extern void event_write(buffer *out, const object_event *e, event_shape shape);

/* Note that an object was stored or deleted; name must last. */
extern void event_note(const char *bucket, text key, const char *name);

/* Append what was noted since the last call, and forget it. */
extern void event_list(buffer *out, event_shape shape,
					   const event_delivery *how);

extern void event_reset(void);

#endif							/* STANDIN_EVENT_H */
