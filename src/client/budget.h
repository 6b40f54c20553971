/*-------------------------------------------------------------------------
 * budget.h
 *	  Budgets: how many labels requests may be paid for, counted in shared
 *	  memory before each one is sent.
 *
 * A request that costs nothing is given back.  The counters survive crashes:
 * budget_file.c.  Budgets themselves are rows of a table; a hook of the upper
 * floor reads them.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_BUDGET_H
#define OSS_BUDGET_H

#include "client/outcome.h"
#include "client/server.h"
#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "storage/lwlock.h"
#include "utils/date.h"
#include "utils/guc.h"

/* Budgets of all databases together. */
#define OSS_MOST_BUDGETS 256

/* Budgets that may cover one request: three periods of each of eight scopes. */
#define OSS_MOST_COVERING 24

/* Which columns of a budget are set; the others mean all together. */
#define OSS_BUDGET_OF_SERVER 1
#define OSS_BUDGET_OF_REQUESTER 2
#define OSS_BUDGET_OF_BUCKET 4

typedef enum OssPeriod
{
	OSS_PERIOD_DAY,
	OSS_PERIOD_MONTH,
	OSS_PERIOD_EVER
} OssPeriod;

/* A budget.  Two are the same if id and since are. */
typedef struct OssBudget
{
	int64		id;
	TimestampTz since;			/* when it was set; counted from then on */
	int			scope;
	Oid			serverid;		/* it is of the server with this OID or name */
	NameData	server;
	Oid			requester;		/* InvalidOid with OF_REQUESTER: no such role */
	char		bucket[OSS_BUCKET_MAX + 1];
	OssPeriod	period;
	int64		most;			/* requests within a period */
	TimestampTz starts;			/* of the period in which spent was counted */
	TimestampTz ends;			/* DT_NOEND: never */
	int64		spent;
	int			in_flight;		/* counted in spent, not settled */
} OssBudget;

/* A request's reservation in the budgets that cover it. */
typedef struct OssReservation
{
	uint64		stamp;			/* see BudgetCell */
	bool		held;
	uint8		database;
	uint8		ncells;
	uint8		cells[OSS_MOST_COVERING];
} OssReservation;

typedef enum OssBudgetAnswer
{
	OSS_BUDGET_OPEN,
	OSS_BUDGET_LATER,			/* ask again in some ms */
	OSS_BUDGET_REFUSED
} OssBudgetAnswer;

/* Why a request was refused. */
typedef struct OssBudgetRefusal
{
	const char *code;			/* in the error table */
	int64		budget;			/* the one that is used up, or 0 */
	int			scope;			/* of it */
	TimestampTz until;			/* when its period ends */
	char		detail[384];	/* a sentence */
} OssBudgetRefusal;

/*
 * May a request be sent, as far as settings and budgets tell?  queued: a job,
 * which no limit of a statement concerns.  Reads the budgets if they have
 * changed, and may throw then.
 */
extern OssBudgetAnswer oss_budget_look(const OssServer *server, const char *bucket,
									   OssKind kind, bool queued,
									   OssBudgetRefusal *why);

/*
 * The same, and take it from all budgets that cover it, or from none.  Does not
 * throw.
 */
extern OssBudgetAnswer oss_budget_reserve(const OssServer *server, const char *bucket,
										  OssKind kind, bool queued,
										  OssReservation *reservation,
										  OssBudgetRefusal *why);

/*
 * End a reservation, if it is held, and refund it unless the request is charged.
 * sent: a request was sent.  Does not throw.
 */
extern void oss_budget_settle(OssReservation *reservation, bool costs, bool sent);

/*
 * Return how many labels requests this database had sent before the server started;
 * at least that many after a crash, 0 without shared memory.
 */
extern int64 oss_budget_attempts_before(void);

/* ---------- for the upper floor ---------- */

/*
 * Reads the budgets of this database and calls oss_budget_publish(); LATER if it
 * cannot now.
 */
extern OssBudgetAnswer (*oss_budget_load) (void);

/* Return the number of changes to budgets of this database. */
extern uint64 oss_budget_generation(void);

/*
 * Publish budgets that were read after this generation began.  Returns false if
 * there is no room for them: then all requests are refused.
 */
extern bool oss_budget_publish(uint64 generation, const OssBudget *budgets, int n);

/*
 * Note that a commit changed budgets; restored: perhaps also what they have spent.
 * Does not throw.
 */
extern void oss_budget_changed(bool restored);

/* This transaction has changed budgets, so it may not send labels requests. */
extern bool oss_budget_changing;

/*
 * Copy the budgets of this database as they are counted now, reading them if
 * they have changed.  Returns their number, -1 without shared memory.
 */
extern int	oss_budget_copy(OssBudget *budgets, int most);

/* Return how many budgets other databases leave room for. */
extern int	oss_budget_room(void);

/* Does a budget cover a role's requests to a server for a bucket? */
extern bool oss_budget_covers(const OssBudget *budget, const OssServer *server,
							  const char *bucket);

/* Forget what a database has counted, and its file. */
extern void oss_budget_drop(Oid dbid);

/* List the databases that have files, in CurrentMemoryContext. */
extern List *oss_budget_databases(void);

/* For the shared memory hooks. */
extern Size oss_budget_shared_size(void);
extern void oss_budget_shared_start(LWLock *cells, LWLock *file);

/* Return the day of oss_labels.billing_time_zone.  Neither throws nor allocates. */
extern DateADT oss_billing_day(TimestampTz at);

/* Requests are refused while it is above 0, whatever the settings say. */
extern int	oss_requests_forbidden;

/* Settings. */
extern bool oss_allow_requests;
extern int	oss_max_requests_per_statement;
extern char *oss_billing_time_zone;
extern bool oss_billing_time_zone_check(char **value, void **extra, GucSource source);
extern void oss_billing_time_zone_assign(const char *value, void *extra);

#endif							/* OSS_BUDGET_H */
