/*-------------------------------------------------------------------------
 * outcome.c
 *	  What an attempt may have cost: the one table of outcomes.
 *
 * By the price list of OSS (protocol/README.md), requests with a 2xx or 3xx status
 * are charged, those with 4xx or 5xx are not.  A redirect detects no labels.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/outcome.h"

bool		oss_count_refused = false;

OssOutcome
oss_outcome(OssKind kind, const HttpAnswer *answer, OssRetry retry)
{
	if (answer->end != HTTP_ANSWERED)
		return oss_outcome_of_lost(answer->sent);
	if (answer->status == 429 || answer->status == 503 ||
		(answer->status >= 400 && retry == OSS_RETRY_THROTTLED))
		return OSS_OUTCOME_THROTTLED;
	switch (answer->status / 100)
	{
		case 2:
			return OSS_OUTCOME_BILLED;
		case 3:
			return kind == OSS_KIND_LABELS ? OSS_OUTCOME_REFUSED : OSS_OUTCOME_BILLED;
		case 4:
			return OSS_OUTCOME_REFUSED;
		case 5:
			return OSS_OUTCOME_FAILED;
		default:
			return OSS_OUTCOME_AMBIGUOUS;
	}
}

OssOutcome
oss_outcome_of_lost(bool sent)
{
	return sent ? OSS_OUTCOME_AMBIGUOUS : OSS_OUTCOME_UNSENT;
}

bool
oss_outcome_costs(OssOutcome outcome)
{
	return outcome == OSS_OUTCOME_BILLED || outcome == OSS_OUTCOME_AMBIGUOUS ||
		(outcome == OSS_OUTCOME_REFUSED && oss_count_refused);
}

const char *
oss_outcome_name(OssOutcome outcome)
{
	static const char *const names[OSS_OUTCOMES] = {
		[OSS_OUTCOME_UNSENT] = "unsent",
		[OSS_OUTCOME_BILLED] = "billed",
		[OSS_OUTCOME_AMBIGUOUS] = "ambiguous",
		[OSS_OUTCOME_THROTTLED] = "throttled",
		[OSS_OUTCOME_REFUSED] = "refused",
		[OSS_OUTCOME_FAILED] = "failed"
	};

	return names[outcome];
}
