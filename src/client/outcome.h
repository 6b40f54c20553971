/*-------------------------------------------------------------------------
 * outcome.h
 *	  Kinds of requests, and what an attempt may have cost.
 *
 * Once nothing is in flight, requests = billed + ambiguous + throttled + refused +
 * failed.  An attempt that was never sent does not count as a request.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_OUTCOME_H
#define OSS_OUTCOME_H

#include "client/failure.h"

typedef enum OssKind
{
	OSS_KIND_LABELS,			/* the only one that label budgets count */
	OSS_KIND_HEAD,
	OSS_KIND_LISTING
} OssKind;

#define OSS_KINDS 3

typedef enum OssOutcome
{
	OSS_OUTCOME_UNSENT,			/* no request: name, connection, certificate,
								 * forbidden address, memory */
	OSS_OUTCOME_BILLED,			/* answered completely */
	OSS_OUTCOME_AMBIGUOUS,		/* sent, and no complete answer came */
	OSS_OUTCOME_THROTTLED,		/* refused because of the rate */
	OSS_OUTCOME_REFUSED,		/* refused for another reason */
	OSS_OUTCOME_FAILED			/* the service failed */
} OssOutcome;

#define OSS_OUTCOMES 6

/* Return the outcome of an attempt that ended; retry is that of its rule. */
extern OssOutcome oss_outcome(OssKind kind, const HttpAnswer *answer, OssRetry retry);

/*
 * Return the outcome of an attempt that was cancelled or whose process ends,
 * sent or not.
 */
extern OssOutcome oss_outcome_of_lost(bool sent);

/* Does it count against budgets? */
extern bool oss_outcome_costs(OssOutcome outcome);

/* Return the outcome's name, as usage shows it. */
extern const char *oss_outcome_name(OssOutcome outcome);

/* The setting oss_labels.count_refused. */
extern bool oss_count_refused;

#endif							/* OSS_OUTCOME_H */
