/*-------------------------------------------------------------------------
 * route.h
 *	  Where the requests for a bucket go.
 *
 * A bucket's own domain (option bucket_domains) comes before a template
 * (endpoint with {bucket}), and that before the server's endpoint.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_ROUTE_H
#define OSS_ROUTE_H

#include "client/failure.h"
#include "client/server.h"

typedef struct OssRoute
{
	OssEndpoint endpoint;
	OssAddressing addressing;
	bool		own;			/* the host is this bucket's alone */
} OssRoute;

/*
 * Set *route for requests to a bucket, whose name is legal; NULL: to the
 * service itself.  Returns NULL, or why there is no route, as a static clause
 * for DETAIL.
 */
extern const char *oss_route_find(const OssServer *server, const char *bucket,
								  OssRoute *route);

/*
 * Return, palloc'd, the failure of a request for which there is no route
 * because of problem; what is as for oss_failure_make().
 */
extern OssFailure *oss_route_failure(const OssServer *server, const char *problem,
									 const char *what);

/*
 * Return the rule that replaces this one, since a custom domain belongs to one
 * bucket: a signature for another one does not match there.
 */
extern const OssFailureRule *oss_route_rule(const OssRoute *route, const OssFailureRule *rule);

/* Return the scope of a failure: what fails at a bucket's own host is its. */
extern OssScope oss_route_scope(const OssRoute *route, const OssFailureRule *rule,
								OssScope scope);

/*
 * Return a hint (static) that says which endpoint was meant, or the rule's.
 */
extern const char *oss_route_hint(const OssRoute *route, const OssFailureRule *rule);

/*
 * Complete the DETAIL of a failure with the domain that was asked, palloc'd, if
 * that is the bucket's or is meant to be.
 */
extern const char *oss_route_detail(const OssRoute *route, const char *bucket,
									const char *detail);

#endif							/* OSS_ROUTE_H */
