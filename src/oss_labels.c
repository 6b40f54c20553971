/*-------------------------------------------------------------------------
 * oss_labels.c
 *	  Entry point of the module: settings and hooks.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "account/usage_flush.h"
#include "bucket/plan.h"
#include "budget/budget_table.h"
#include "client/budget.h"
#include "client/request.h"
#include "client/server.h"
#include "compat.h"
#include "dispatch/finished.h"
#include "dispatch/turn.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pipeline/pipeline.h"
#include "queue/worker_slot.h"
#include "store/coverage.h"
#include "store/statement_end.h"
#include "store/tag_stored.h"
#include "utils/guc.h"
#include "worker/worker.h"

OSS_MODULE_MAGIC("oss_labels", OSS_LABELS_VERSION);

void		_PG_init(void);

static void
define_request_settings(void)
{
	DefineCustomStringVariable("oss_labels.server",
							   "Foreign server that requests go to when the argument server is NULL.",
							   "Empty: the only server of the foreign-data wrapper oss_labels.",
							   &oss_server_setting, "",
							   PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("oss_labels.max_response_size",
							"Largest answer that is accepted.",
							"A labels document has a few kilobytes.",
							&oss_max_response_kb, 1024, 16, 1024 * 1024,
							PGC_SUSET, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomStringVariable("oss_labels.metadata_endpoint",
							   "Address of the metadata service for credential_source 'ecs_ram_role'.",
							   NULL,
							   &oss_metadata_endpoint, OSS_METADATA_ENDPOINT,
							   PGC_SUSET, GUC_SUPERUSER_ONLY,
							   oss_credential_metadata_endpoint_check, NULL, NULL);
}

/* Define the settings of the accounts. */
static void
define_account_settings(void)
{
	DefineCustomIntVariable("oss_labels.usage_retention",
							"Time for which accounts are kept.",
							"0 keeps them for ever.",
							&oss_usage_retention, 400 * 24 * 60, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MIN, NULL, NULL, NULL);
}

/* Define the settings that limit what is paid for. */
static void
define_budget_settings(void)
{
	DefineCustomBoolVariable("oss_labels.allow_requests",
							 "Lets requests for labels and objects be sent.",
							 "Off: calls that would send one fail before it.",
							 &oss_allow_requests, true,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("oss_labels.max_requests_per_statement",
							"Requests for labels that one statement may send.",
							"A guard against accidents; 0: no limit. Budgets are the control.",
							&oss_max_requests_per_statement, 100000, 0, INT_MAX,
							PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("oss_labels.billing_time_zone",
							   "Time zone in which the days and months of budgets begin.",
							   "A change holds from the next period on.",
							   &oss_billing_time_zone, "Asia/Shanghai",
							   PGC_SIGHUP, 0, oss_billing_time_zone_check,
							   oss_billing_time_zone_assign, NULL);
	DefineCustomBoolVariable("oss_labels.count_refused",
							 "Counts requests that the service refuses with 4xx against budgets.",
							 "For whoever finds them on the bill; throttled ones are never counted.",
							 &oss_count_refused, false,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
}

/* Define the settings of the store. */
static void
define_store_settings(void)
{
	DefineCustomBoolVariable("oss_labels.keep",
							 "Stores the answers of detect(), try_detect() and detect_json(), too.",
							 "Only where the library is preloaded: the worker stores them as those of tag().",
							 &oss_keep_detected, false,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomRealVariable("oss_labels.read_threshold",
							 "Least confidence of stored labels that are read, where neither a rule nor an argument says it.",
							 "All labels are stored; this costs no request.",
							 &oss_read_threshold, OSS_LABELS_THR_DEFAULT, 0, 1,
							 PGC_USERSET, 0, NULL, NULL, NULL);
}

static void
define_pipeline_settings(void)
{
	DefineCustomBoolVariable("oss_labels.pipeline",
							 "Keeps many requests in flight in queries that call detect(), tag(), object_info(), their try_ forms or detect_json() for each row.",
							 "Off: the ordinary plan, one request at a time.",
							 &oss_pipeline_enabled, true,
							 PGC_USERSET, GUC_EXPLAIN, NULL, NULL, NULL);
	DefineCustomIntVariable("oss_labels.concurrency",
							"Requests that one query may have in flight.",
							"The server's option max_concurrency limits all queries of a session together.",
							&oss_pipeline_concurrency, 16, 1, 1000,
							PGC_USERSET, GUC_EXPLAIN, NULL, NULL, NULL);
}

/* Define the settings of the queue and its workers. */
static void
define_queue_settings(void)
{
	DefineCustomBoolVariable("oss_labels.worker",
							 "Lets the background worker tag what is queued.",
							 "Off in a database (ALTER DATABASE ... SET) keeps its queue as it is, such as in a copy made for tests.",
							 &oss_worker_enabled, true,
							 PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("oss_labels.worker_idle_timeout",
							"Time after which a worker without work ends.",
							"It is started again when something is enqueued or due.",
							&oss_worker_idle_timeout, 60, 1, 86400,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("oss_labels.max_workers",
							"Workers that run at the same time.",
							"0: as many as max_worker_processes leaves, which parallel queries and other extensions use, too.",
							&oss_max_workers, 0, 0, 1000,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("oss_labels.job_attempts",
							"Attempts at a job before it fails for good.",
							"Throttles, unreachable endpoints and pauses are not counted.",
							&oss_job_attempts, 5, 1, 100,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("oss_labels.failed_job_retention",
							"Time for which failed jobs are kept.",
							"0 keeps them for ever.",
							&oss_failed_job_retention, 30 * 24 * 60, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MIN, NULL, NULL, NULL);
}

void
_PG_init(void)
{
	define_request_settings();
	define_account_settings();
	define_budget_settings();
	define_store_settings();
	define_pipeline_settings();
	define_queue_settings();
	oss_worker_shmem_init();
	oss_usage_init();
	oss_budget_table_init();
	oss_launcher_init();
	oss_ddl_init();
	if (process_shared_preload_libraries_in_progress)
		oss_statement_end_init();
	MarkGUCPrefixReserved("oss_labels");
	oss_bucket_init();
	oss_pipeline_init();
}
