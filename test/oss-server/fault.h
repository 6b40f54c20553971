/*
 * fault.h
 *	  What shall go wrong: a table of faults, set by control requests.
 */
#ifndef STANDIN_FAULT_H
#define STANDIN_FAULT_H

#include "answer.h"
#include "meter.h"

typedef enum fault_kind
{
	FAULT_DELAY,				/* nothing but its delay */
	/* answers in place of the service's */
	FAULT_ERROR,
	FAULT_THROTTLE,				/* error above rate label requests a second */
	FAULT_ACTIVE,				/* error above limit label requests in flight */
	FAULT_REDIRECT,
	FAULT_HTML,
	FAULT_IMAGE,
	FAULT_LABELS,				/* an odd labels document, see variant */
	FAULT_BODY,					/* bytes given with the control request */
	FAULT_GZIP,
	FAULT_NUL,
	FAULT_UTF8,
	FAULT_HUGE,
	FAULT_LISTING,				/* an odd page, see variant */
	/* ways of delivery */
	FAULT_SLOW,
	FAULT_PAUSE,				/* stop after bytes for interval */
	FAULT_TRUNCATE,				/* close after bytes */
	FAULT_RESET_BODY,			/* reset after bytes */
	FAULT_HANG_BODY,			/* send bytes, then nothing more */
	FAULT_LENGTH,				/* Content-Length off by bytes */
	FAULT_CHUNKED,
	FAULT_CLOSE,				/* Connection: close */
	FAULT_GARBAGE,				/* no HTTP at all */
	FAULT_HEADERS,				/* bytes of headers */
	FAULT_NUL_HEADER,
	FAULT_RAW,					/* the given bytes as the whole response */
	/* no answer */
	FAULT_HANG,
	FAULT_DROP,
	FAULT_RESET,
	FAULT_DROP_BEFORE,			/* before the request is counted */
	FAULT_REFUSE				/* close as soon as accepted */
} fault_kind;

typedef enum fault_scope
{
	SCOPE_LABEL,				/* requests for image/labels */
	SCOPE_ANY,
	SCOPE_GET,
	SCOPE_PUT,
	SCOPE_HEAD,
	SCOPE_LIST,
	SCOPE_DELETE,
	SCOPE_STS
} fault_scope;

/*
 * One fault.  It applies to requests of its scope whose bucket and key match
 * (empty matches all), after the first skip of them, to every every-th, times
 * times (-1 = always).  Referenced by requests under way; refs guards it.
 */
typedef struct fault
{
	int			id;
	fault_kind	kind;
	fault_scope scope;
	char		bucket[MAX_BUCKET + 1];
	char	   *key;
	size_t		key_len;
	bool		key_is_prefix;
	int64_t		times;
	int64_t		skip;
	int64_t		every;
	int			bill;			/* 1: the work is billed, 0: it is not, -1: as
								 * the answer's status says */
	int64_t		seen;			/* matching requests */
	int64_t		hits;			/* applied */
	uint64_t	delay_min_us;
	uint64_t	delay_max_us;
	int			status;
	char	   *code;
	char	   *ec;
	char	   *message;
	xml_style	style;
	char	   *location;
	char	   *variant;
	char	   *content_type;
	buffer		headers;		/* "Name: value\n" lines */
	buffer		body;
	int64_t		bytes;
	uint64_t	interval_us;
	meter		limit;			/* of throttle, and of active its number */
	int			refs;
	bool		removed;
	struct fault *next;
} fault;

/*
 * What one request meets: at most one answer, one delivery, and a delay; bill
 * is that of the first fault that has any, else -1.
 */
typedef struct fault_plan
{
	fault	   *answer;
	fault	   *delivery;
	uint64_t	delay_us;
	int			bill;
} fault_plan;

/*
 * Add a fault from the parameters of a control request; body is the request's
 * own.  Returns its id, or 0 with a reason.
 */
extern int	fault_add(const pair_list *params, text body, buffer *reason);

/* Remove one fault (or all, id 0); returns how many. */
extern int	fault_remove(int id);

/* Append the faults as lines. */
extern void fault_list(buffer *out);

/* Find what a complete request meets; release it when the request ends. */
extern fault_plan fault_find(const request *r);
extern void fault_release(fault_plan *plan);

/* Return whether the request shall be dropped before it counts. */
extern bool fault_drop_before(const request *r);

/* Return whether a connection shall be closed at once. */
extern bool fault_refuse(void);

/* Change the answer of r as f says (invent.c). */
extern void fault_invent(request *r, const fault *f);

#endif							/* STANDIN_FAULT_H */
