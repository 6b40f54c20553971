/*-------------------------------------------------------------------------
 * access.h
 *	  What is known of a role's access to a bucket, from its answers.
 *
 * Middle floor.  One refusal says little: a policy may be for a prefix.  Many
 * in a row, and nothing else, are an error in the set-up.  Until a bucket has
 * given labels, and while refusals are being counted, few requests are in
 * flight, so that few are paid for to find out.  State of this process.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_ACCESS_H
#define OSS_ACCESS_H

#include "client/failure.h"
#include "client/server.h"

typedef struct OssAccess OssAccess;

/*
 * Find what is known of the server's role and a bucket; it stays until
 * oss_access_leave().  Errors: 53200.
 */
extern OssAccess *oss_access_join(OssServer *server, const char *bucket);
extern void oss_access_leave(OssAccess *access);

/*
 * Return 0 when a request may start at that time, of oss_http_now(), else for how
 * many ms to wait unless one ends.
 */
extern long oss_access_wait(OssAccess *access, const char *key, int64 now);

/*
 * Count a request that starts, returning whether it is to find out if a
 * directory is still refused, or one that ends.
 */
extern bool oss_access_start(OssAccess *access, const char *key, int64 now);
extern void oss_access_end(OssAccess *access, bool trial);

/* Note labels of a key, in UTF-8. */
extern void oss_access_labels(OssAccess *access, const char *key);

/*
 * Note a failed request, with the service's Code, and return its scope.  When
 * that is ACCESS, BUCKET or REQUESTER, what else is asked of the bucket is
 * refused until oss_access_forgive() is called with the same by.  Who has a queue
 * goes on with one request at a time then, and the next refusal counts at once.
 */
extern OssScope oss_access_failure(OssAccess *access, const char *key,
								   const OssFailureRule *rule,
								   const char *code, const void *by);
extern void oss_access_forgive(OssAccess *access, const void *by, bool queued);

/*
 * Return in how many seconds to ask again after the last denial of all: soon
 * where there were labels before, each time later; 0: nothing tells.
 */
extern int	oss_access_ask_again(const OssAccess *access);

/*
 * Return the rule by which everything asked of the bucket is refused now, and
 * its scope, or NULL.
 */
extern const OssFailureRule *oss_access_refused(const OssAccess *access,
												OssScope *scope);

/* Say, in CurrentMemoryContext, why a denial is one of the whole bucket. */
extern char *oss_access_reason(const OssAccess *access);

/* Make the failure of a request that was refused so, without being sent. */
extern OssFailure *oss_access_refusal(const OssAccess *access,
									  const OssFailureRule *rule,
									  const char *what);

#endif							/* OSS_ACCESS_H */
