/*-------------------------------------------------------------------------
 * request_state.h
 *	  The state of a labels request, what its attempts cost, and the decision
 *	  about retries.
 *
 * For request*.c alone.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_REQUEST_STATE_H
#define OSS_REQUEST_STATE_H

#include "client/access.h"
#include "client/budget.h"
#include "client/http.h"
#include "client/outcome.h"
#include "client/request.h"
#include "client/route.h"
#include "lib/ilist.h"
#include "protocol/image_labels.h"

typedef enum RequestState
{
	REQUEST_WAITING,			/* node is in the list of waiting requests in
								 * request.c */
	REQUEST_IN_FLIGHT,			/* node is in the list in request_settle.c;
								 * transfer is set and counted by the rate
								 * limit */
	REQUEST_DONE				/* node is in group->finished until returned
								 * to the caller */
} RequestState;

struct OssGroup
{
	MemoryContext context;
	dlist_head	finished;
	OssCounters counters;
};

/*
 * A request.  transfer belongs to context and is kept with its response.
 * rule and xml are set by a failure.  Times are those of oss_http_now();
 * deadline is 0 until the first attempt is sent or a call waits for the
 * request.
 */
struct OssRequest
{
	MemoryContext context;
	MemoryContextCallback reset;
	dlist_node	node;
	bool		listed;
	RequestState state;
	OssGroup   *group;
	void	   *tag;
	OssServer  *server;
	OssAccess  *access;
	OssRoute	route;
	const char *no_route;		/* why there is none, or NULL */
	char	   *bucket;
	char	   *key;
	char	   *version_id;
	OssKind		kind;			/* HEAD: instead of process */
	char		process[OSS_LABELS_PROCESS_MAX];
	OssListQuery *list;			/* LISTING: instead of process; key is its
								 * prefix */
	OssListPage page;			/* that came */
	int			attempts;		/* sent */
	int			charged;		/* of these, counted against max_attempts */
	int			max_attempts;
	bool		suspect;		/* see OssLabelsSpec */
	bool		trial;			/* of the attempt in flight, for
								 * oss_access_end() */
	bool		clock_corrected;
	bool		key_renewed;
	char		key_id[CREDENTIAL_ID_MAX + 1];	/* of the key that signed the
												 * attempt in flight */
	bool		awaited;		/* a call waits for it */
	bool		queued;			/* a job of the queue */
	bool		wants_key;		/* credentials are being fetched */
	int64		due;			/* not sent before */
	int64		sent;			/* when the last attempt was started */
	bool		on_wire;		/* and whether a part of it was sent */
	bool		unsettled;		/* an attempt was begun whose outcome is not
								 * counted yet */
	OssReservation reservation; /* of that attempt */
	int			costs;			/* attempts that count against budgets */
	long		took_ms;		/* that attempt until its response; 0 without
								 * one */
	int64		deadline;
	void		(*arrived) (const OssRequest *request, void *arg);
	void	   *arrived_arg;
	HttpTransfer *transfer;
	const OssFailureRule *rule;
	OssScope	scope;			/* of rule */
	bool		refused;		/* because of rule, without being sent */
	const OssFailure *failure;
	OssErrorXml xml;			/* must be last: not initialized without a
								 * failure */
};

/* ---------- request_kind.c: what the kinds of requests differ in ---------- */

/* Copy what is requested.  Errors: 53200. */
extern void oss_request_copy_kind(OssRequest *request, const OssLabelsSpec *spec);

/* Return the bucket whose rate the request heeds, or NULL. */
extern const char *oss_request_rate_bucket(const OssRequest *request);

/*
 * Set *spec to a newly signed attempt, except timeout_ms, queued and fresh.
 * Errors: class 53.
 */
extern void oss_request_sign(OssRequest *request, const OssCredentials *who, HttpSpec *spec);

/*
 * Judge a response with status 200: return NULL if it can be used, else its
 * rule, with xml set.  Neither throws nor allocates palloc'd memory.
 */
extern const OssFailureRule *oss_request_judge(OssRequest *request, const HttpAnswer *answer);

/* The same for another response, or none. */
extern const OssFailureRule *oss_request_classify(OssRequest *request, const HttpAnswer *answer);

/*
 * Have further attempts ask for what follows start_after.  Returns false if they
 * did so already.
 */
extern bool oss_request_drop_token(OssRequest *request);

/*
 * Return the attempts without a response of the host that the request goes to.
 */
extern OssReach *oss_request_reach(const OssRequest *request);

/* Return the hint for a failed request. */
extern const char *oss_request_hint(const OssRequest *request);

/* ---------- request_settle.c ---------- */

/*
 * Return whether a request may be sent as far as budgets tell; if not, fill in
 * why.  May throw.
 */
extern OssBudgetAnswer oss_attempt_look(const OssRequest *request, OssBudgetRefusal *why);

/* Begin an attempt, if budgets let it: it must be settled.  Does not throw. */
extern OssBudgetAnswer oss_attempt_begin(OssRequest *request, OssBudgetRefusal *why);

/*
 * Return the failure of a request that was refused, in CurrentMemoryContext, and
 * count it.
 */
extern OssFailure *oss_attempt_refusal(OssRequest *request, const OssBudgetRefusal *why,
									   const char *what);

/* Add a request whose attempt is sent to the list of those in flight. */
extern void oss_attempt_list(OssRequest *request);

/*
 * Settle the outcome of the attempt that was begun, once: later calls do
 * nothing.  Neither throws nor needs a transaction, also while the process
 * exits.
 */
extern void oss_attempt_settle(OssRequest *request, OssOutcome outcome, int64 bytes);

/* ---------- request_retry.c ---------- */

/* Return the ms until the deadline, never 0; -1 without a deadline. */
extern long oss_time_left(const OssRequest *request, int64 now);

/*
 * Would the response to an attempt sent at that time come after the deadline?
 */
extern bool oss_too_late(const OssRequest *request, int64 when);

/*
 * Decide whether to send another attempt after a failed one, whose rule is
 * set.  *due says when, 0 meaning at once.  Does not throw.
 * protocol/README.md 4.2.
 */
extern bool oss_retry(OssRequest *request, const HttpAnswer *answer,
					  int64 *due);

#endif							/* OSS_REQUEST_STATE_H */
