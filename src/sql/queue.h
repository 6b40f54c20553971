/*-------------------------------------------------------------------------
 * queue.h
 *	  How C runs statements on the extension's tables.
 *
 * Top floor.  Every statement runs between oss_queue_begin() and
 * oss_queue_end(), as the extension's owner, with a search path and planner
 * settings of our own, from plans that are kept for the session.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_QUEUE_H
#define OSS_QUEUE_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "executor/spi.h"

/* A statement: its text, parameter types and the plan kept for it. */
typedef struct OssPlan
{
	const char *sql;
	int			nargs;
	Oid			types[16];
	SPIPlanPtr	plan;
} OssPlan;

/*
 * What kind of statements follow.  INSERT is for those that name functions,
 * types and operators with their schema and have nothing to plan: they do
 * without settings, which cost more than a row.  STORE pins the search path
 * alone: IS NOT DISTINCT FROM and ON CONFLICT take operators from there, and
 * whose they are must not be the caller's choice.
 */
typedef enum OssQueueUse
{
	OSS_QUEUE_INSERT,
	OSS_QUEUE_STORE,
	OSS_QUEUE_WORK
} OssQueueUse;

/* What oss_queue_begin() changed. */
typedef struct OssQueueState
{
	Oid			userid;
	int			seccontext;
	int			guc_level;		/* 0: no settings were changed */
} OssQueueState;

/*
 * Become the extension's owner with our settings.  SPI must be connected by
 * the caller.  Undone by oss_queue_end(), or by the end of the transaction
 * when something throws.  Error 55000 when the extension is not there.
 */
extern void oss_queue_begin(OssQueueState *state, OssQueueUse use);
extern void oss_queue_end(const OssQueueState *state);

/*
 * Execute a plan; nulls may be NULL.  Results are in SPI_tuptable and
 * SPI_processed.  expect is the SPI result code that means success.
 */
extern void oss_queue_execute(OssPlan *plan, Datum *values, const char *nulls,
							  int expect);

/* Number of the process as lease holder: made from its pid and its start. */
extern int64 oss_lease_token(void);

/* Say once per session that no worker will come, when that is so. */
extern void oss_notice_no_worker(void);

/* What pg_stat_activity shows while we wait for work. */
extern uint32 oss_queue_wait_event(void);

/* Fill an entry of a SPI call's arrays. */
static inline void
oss_arg(Datum *values, char *nulls, int i, Datum value, bool isnull)
{
	values[i] = isnull ? (Datum) 0 : value;
	nulls[i] = isnull ? 'n' : ' ';
}

#endif							/* OSS_QUEUE_H */
