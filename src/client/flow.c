/*-------------------------------------------------------------------------
 * flow.c
 *	  The gate before each request of a server.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/flow.h"
#include "client/http.h"
#include "storage/fd.h"

/* Ask to send one request now. */
long
oss_flow_try_start(OssServer *server)
{
	/* a third of the descriptors is what extensions may take */
	if (server->in_flight >= server->max_concurrency ||
		http_in_flight() >= Max(max_safe_fds / 3 - 8, 1))
		return OSS_FLOW_WAIT_FOR_END;
	server->in_flight++;
	return 0;
}

/* Tell the end of a request. */
void
oss_flow_end(OssServer *server, OssFlowOutcome outcome)
{
	server->in_flight--;
}
