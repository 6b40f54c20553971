/*-------------------------------------------------------------------------
 * access.h
 *	  A role's access to a bucket, as far as responses tell.
 *
 * A single denial may come from a policy for a prefix; many in a row, without
 * a success, mean that the set-up is wrong.  Until a bucket has returned
 * labels, and while denials are being counted, few requests are in flight, so
 * that few are paid for to find out.  The state is that of this process.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_ACCESS_H
#define OSS_ACCESS_H

#include "client/outcome.h"
#include "client/server.h"

typedef struct OssAccess OssAccess;

/*
 * Return the state of the server's role at a bucket, which is valid until
 * oss_access_leave().  The kinds of requests need different rights, and have
 * states of their own.  Errors: 53200.
 */
extern OssAccess *oss_access_join(OssServer *server, const char *bucket, OssKind kind);
extern void oss_access_leave(OssAccess *access);

/*
 * Return the attempts without a response of the bucket's host, for one whose
 * host is its own.
 */
extern OssReach *oss_access_reach(OssAccess *access);

/*
 * Return 0 if a request for this key may start at the time now (of
 * oss_http_now()), else how many ms to wait; the end of a request may end the
 * wait earlier.
 */
extern long oss_access_wait(OssAccess *access, const char *key, int64 now);

/*
 * Count a request as in flight until oss_access_end().  Returns whether it is
 * a trial: it probes a directory that was denied; pass that to
 * oss_access_end().
 */
extern bool oss_access_start(OssAccess *access, const char *key, int64 now);
extern void oss_access_end(OssAccess *access, bool trial);

/* Note that the request for a key (UTF-8) returned what it asked for. */
extern void oss_access_labels(OssAccess *access, const char *key);

/*
 * Note a failed request, with the service's Code ("" without one), and return
 * its scope, never DENIAL or ACCOUNT.  If that is ACCESS, BUCKET or
 * REQUESTER, all requests for the bucket are refused until
 * oss_access_forgive() is called with the same by (any pointer that
 * identifies the caller).  With queued, when the reason was a denial,
 * requests then start one at a time, and the next denial refuses the bucket
 * again.
 */
extern OssScope oss_access_failure(OssAccess *access, const char *key,
								   const OssFailureRule *rule,
								   const char *code, const void *by);
extern void oss_access_forgive(OssAccess *access, const void *by, bool queued);

/*
 * Return after how many seconds to try again after the last denial of the
 * whole bucket: soon if the directory returned labels before, each time
 * later; 0 if it is unknown.
 */
extern int	oss_access_ask_again(const OssAccess *access);

/*
 * Return the rule because of which all requests for the bucket are refused,
 * and its scope; NULL if they are not.
 */
extern const OssFailureRule *oss_access_refused(const OssAccess *access,
												OssScope *scope);

/*
 * Return, palloc'd, a sentence that says why a denial is taken for one of the
 * whole bucket.
 */
extern char *oss_access_reason(const OssAccess *access);

/*
 * Return, palloc'd, the failure of a request that was refused without being
 * sent; what names the request, as for oss_failure_describe().
 */
extern OssFailure *oss_access_refusal(const OssAccess *access,
									  const OssFailureRule *rule,
									  const char *what);

#endif							/* OSS_ACCESS_H */
