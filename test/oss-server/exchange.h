/*
 * exchange.h
 *	  One request under way: where it stands, and how it will be delivered.
 */
#ifndef STANDIN_EXCHANGE_H
#define STANDIN_EXCHANGE_H

#include <microhttpd.h>

#include "fault.h"
#include "request.h"
#include "timer.h"

typedef enum exchange_stage
{
	STAGE_NEW,					/* nothing but the request line is known */
	STAGE_BODY,					/* head read and counted, body coming */
	STAGE_WAITING,				/* answered, waiting for its delay */
	STAGE_RAW,					/* another thread wrote raw bytes */
	STAGE_QUEUED				/* the response is MHD's */
} exchange_stage;

/*
 * One exchange; owned by MHD's connection from the request line until the
 * completion callback frees it.
 */
typedef struct exchange
{
	request    *r;
	struct MHD_Connection *connection;
	int			fd;
	exchange_stage stage;
	fault_plan	plan;
	waiter		wait;
	bool		counted;
	bool		abandoned;
	bool		is_last;		/* of its connection */
	uint64_t	sent;			/* body bytes handed over */
	size_t		at;				/* place within a streamed body */
	bool		paused;
} exchange;

/* Deliver the answer as the plan says. */
extern enum MHD_Result deliver(exchange *x);

#endif							/* STANDIN_EXCHANGE_H */
