/*-------------------------------------------------------------------------
 * compat.h
 *	  Our own version, and everything that depends on the version of PostgreSQL
 *	  (15 to 19) or of libcurl.  No other file tests versions.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_COMPAT_H
#define OSS_COMPAT_H

/* Version of this library and of the SQL script that it needs. */
#define OSS_LABELS_VERSION "1.0"

#if PG_VERSION_NUM < 150000
#error "oss_labels needs PostgreSQL 15 or newer"
#endif

#include "nodes/pg_list.h"
#include "utils/jsonb.h"

/* PostgreSQL 16 moved VARDATA_ANY and related macros. */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* DATCONNLIMIT_INVALID_DB, which old minor versions lack. */
#define OSS_DATABASE_INVALID (-2)

/* PostgreSQL 18 moved ExplainProperty...() and ExplainState. */
#if PG_VERSION_NUM >= 180000
#include "commands/explain_format.h"
#include "commands/explain_state.h"
#endif

/* PostgreSQL 18 added names of modules. */
#if PG_VERSION_NUM >= 180000
#define OSS_MODULE_MAGIC(name_, version_) \
	PG_MODULE_MAGIC_EXT(.name = name_, .version = version_)
#else
#define OSS_MODULE_MAGIC(name_, version_) PG_MODULE_MAGIC
#endif

/* PostgreSQL 17 replaced the memory context by a resource owner. */
#if PG_VERSION_NUM >= 170000
#define oss_create_wait_event_set(n) CreateWaitEventSet(NULL, n)
#else
#define oss_create_wait_event_set(n) CreateWaitEventSet(TopMemoryContext, n)
#endif

/* PostgreSQL 17 added custom wait events. */
#if PG_VERSION_NUM >= 170000
#define oss_wait_event_new(name) WaitEventExtensionNew(name)
#else
#define oss_wait_event_new(name) PG_WAIT_EXTENSION
#endif

/* PostgreSQL 16 renamed this function. */
#if PG_VERSION_NUM >= 160000
#define oss_local_beentry(i) pgstat_get_local_beentry_by_index(i)
#else
#define oss_local_beentry(i) pgstat_fetch_stat_local_beentry(i)
#endif

/* PostgreSQL 17 added the argument orstronger. */
#if PG_VERSION_NUM >= 170000
#define oss_lock_held(tag, mode) LockHeldByMe(tag, mode, false)
#else
#define oss_lock_held(tag, mode) LockHeldByMe(tag, mode)
#endif

/* PostgreSQL 17 added transaction_timeout. */
#if PG_VERSION_NUM >= 170000
#define OSS_TRANSACTION_TIMEOUT TRANSACTION_TIMEOUT
#else
#define OSS_TRANSACTION_TIMEOUT STATEMENT_TIMEOUT
#endif

/* PostgreSQL 18 runs a plan without being told whether it is run once. */
#if PG_VERSION_NUM >= 180000
#define OSS_RUN_PARAMETERS QueryDesc *desc, ScanDirection direction, uint64 count
#define OSS_RUN_ARGUMENTS desc, direction, count
#else
#define OSS_RUN_PARAMETERS QueryDesc *desc, ScanDirection direction, uint64 count, bool once
#define OSS_RUN_ARGUMENTS desc, direction, count, once
#endif

/* PostgreSQL 16 added the choice not to copy. */
#if PG_VERSION_NUM >= 160000
#define oss_sort_next(sort, value, isnull) \
	tuplesort_getdatum(sort, true, true, value, isnull, NULL)
#else
#define oss_sort_next(sort, value, isnull) \
	tuplesort_getdatum(sort, true, value, isnull, NULL)
#endif

/* PostgreSQL 19 wants row types that are made by hand to be completed. */
#if PG_VERSION_NUM < 190000
#define TupleDescFinalize(desc) ((void) 0)
#endif

/* PostgreSQL 19 tells the planner of EXPLAIN. */
#if PG_VERSION_NUM >= 190000
#define OSS_PLANNER_PARAMETERS \
	Query *query, const char *string, int options, ParamListInfo params, ExplainState *es
#define OSS_PLANNER_ARGUMENTS query, string, options, params, es
#else
#define OSS_PLANNER_PARAMETERS \
	Query *query, const char *string, int options, ParamListInfo params
#define OSS_PLANNER_ARGUMENTS query, string, options, params
#endif

/* PostgreSQL 17 added this function. */
#if PG_VERSION_NUM >= 170000
#define oss_index_insert_cleanup(index, info) index_insert_cleanup(index, info)
#else
#define oss_index_insert_cleanup(index, info) ((void) 0)
#endif

/* PostgreSQL 19 added the result to the state in which jsonb is built. */
#if PG_VERSION_NUM >= 190000
typedef JsonbInState OssJsonbState;
#define oss_push_jsonb(state, token, value) pushJsonbValue(state, token, value)
#else
typedef struct OssJsonbState
{
	JsonbParseState *parse;
	JsonbValue *result;
} OssJsonbState;

#define oss_push_jsonb(state, token, value) \
	((state)->result = pushJsonbValue(&(state)->parse, token, value))
#endif

/* PostgreSQL 17 added loops that declare the element. */
#ifndef foreach_ptr
#define foreach_element(type, var, lst, get) \
	for (type *var = NULL, *var##__once = (type *) 1; var##__once; var##__once = NULL) \
		for (ForEachState var##__state = {(lst), 0}; \
			 var##__state.l != NIL && var##__state.i < var##__state.l->length && \
			 ((var = get(&var##__state.l->elements[var##__state.i])), true); \
			 var##__state.i++)
#define foreach_ptr(type, var, lst) foreach_element(type, var, lst, lfirst)
#define foreach_node(type, var, lst) foreach_element(type, var, lst, lfirst)
#endif

/* PostgreSQL 16 merged the ACL checks. */
#if PG_VERSION_NUM >= 160000
#define oss_server_aclcheck(serverid, userid, mode) \
	object_aclcheck(ForeignServerRelationId, serverid, userid, mode)
#define oss_server_ownercheck(serverid, userid) \
	object_ownercheck(ForeignServerRelationId, serverid, userid)
#define oss_database_ownercheck(dbid, userid) \
	object_ownercheck(DatabaseRelationId, dbid, userid)
#define oss_class_ownercheck(relid, userid) \
	object_ownercheck(RelationRelationId, relid, userid)
#define oss_schema_ownercheck(schema, userid) \
	object_ownercheck(NamespaceRelationId, schema, userid)
#define oss_function_aclcheck(funcid, userid) \
	object_aclcheck(ProcedureRelationId, funcid, userid, ACL_EXECUTE)
#else
#define oss_server_aclcheck(serverid, userid, mode) \
	pg_foreign_server_aclcheck(serverid, userid, mode)
#define oss_server_ownercheck(serverid, userid) \
	pg_foreign_server_ownercheck(serverid, userid)
#define oss_database_ownercheck(dbid, userid) \
	pg_database_ownercheck(dbid, userid)
#define oss_class_ownercheck(relid, userid) \
	pg_class_ownercheck(relid, userid)
#define oss_schema_ownercheck(schema, userid) \
	pg_namespace_ownercheck(schema, userid)
#define oss_function_aclcheck(funcid, userid) \
	pg_proc_aclcheck(funcid, userid, ACL_EXECUTE)
#endif

/* PostgreSQL 19 added flags. */
#if PG_VERSION_NUM >= 190000
#define oss_table_beginscan(relation, snapshot) \
	table_beginscan(relation, snapshot, 0, NULL, SO_NONE)
#else
#define oss_table_beginscan(relation, snapshot) \
	table_beginscan(relation, snapshot, 0, NULL)
#endif

/* PostgreSQL 18 added the argument extra. */
#if PG_VERSION_NUM >= 180000
#define oss_form_minimal_tuple(desc, values, nulls) \
	heap_form_minimal_tuple(desc, values, nulls, 0)
#else
#define oss_form_minimal_tuple(desc, values, nulls) \
	heap_form_minimal_tuple(desc, values, nulls)
#endif

/* Expressions that evaluate some of their parts only on error; PostgreSQL 17 added one. */
#if PG_VERSION_NUM >= 170000
#define OSS_IS_LAZY_EXPR(node) IsA(node, JsonExpr)
#else
#define OSS_IS_LAZY_EXPR(node) false
#endif

/* PostgreSQL 18 counts disabled nodes instead of adding to the cost. */
#if PG_VERSION_NUM >= 180000
#define oss_path_copy_disabled(path, from) \
	((path)->disabled_nodes = (from)->disabled_nodes)
#else
#define oss_path_copy_disabled(path, from) ((void) (from))
#endif

/*
 * PostgreSQL 17 and 18 added arguments.  disabled is the number of disabled nodes
 * that the path counts as.
 */
#if PG_VERSION_NUM >= 180000
#define oss_foreign_path(root, rel, rows, disabled, startup, total, pathkeys, outer) \
	create_foreignscan_path(root, rel, NULL, rows, disabled, startup, total, pathkeys, \
							outer, NULL, NIL, NIL)
#elif PG_VERSION_NUM >= 170000
#define oss_foreign_path(root, rel, rows, disabled, startup, total, pathkeys, outer) \
	create_foreignscan_path(root, rel, NULL, rows, startup, total, pathkeys, \
							outer, NULL, NIL, NIL)
#else
#define oss_foreign_path(root, rel, rows, disabled, startup, total, pathkeys, outer) \
	create_foreignscan_path(root, rel, NULL, rows, startup, total, pathkeys, \
							outer, NULL, NIL)
#endif

/* PostgreSQL 18 renamed it. */
#if PG_VERSION_NUM >= 180000
#define oss_pathkey_ascends(pathkey) ((pathkey)->pk_cmptype == COMPARE_LT)
#else
#define oss_pathkey_ascends(pathkey) ((pathkey)->pk_strategy == BTLessStrategyNumber)
#endif

/* PostgreSQL 18 keeps that in the locale. */
#if PG_VERSION_NUM >= 180000
#define oss_collates_by_bytes(collation) \
	(pg_newlocale_from_collation(collation)->collate_is_c)
#else
#define oss_collates_by_bytes(collation) lc_collate_is_c(collation)
#endif

/* PostgreSQL 16 moved the role whose rights count into the plan. */
#if PG_VERSION_NUM >= 160000
#define oss_scan_role(plan, rte) ((void) (rte), (plan)->checkAsUser)
#else
#define oss_scan_role(plan, rte) ((rte)->checkAsUser)
#endif

/* PostgreSQL 16 lets input functions report errors without throwing. */
#if PG_VERSION_NUM >= 160000
#include "nodes/miscnodes.h"
#define oss_ereturn(context, value, rest) ereturn(context, value, rest)
#else
#define oss_ereturn(context, value, rest) \
	do { (void) (context); ereport(ERROR, rest); return (value); } while (0)
#endif

#endif							/* OSS_COMPAT_H */

/*
 * libcurl.  Outside of the guard above: only files that include curl/curl.h
 * see this part.
 */
#if defined(LIBCURL_VERSION_NUM) && !defined(OSS_COMPAT_CURL)
#define OSS_COMPAT_CURL

/* 7.85 replaced the bit mask of protocols by a string. */
#if LIBCURL_VERSION_NUM >= 0x075500
#define oss_set_protocols(easy, http) \
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, (http) ? "https,http" : "https")
#else
#define oss_set_protocols(easy, http) \
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS, \
					 (long) ((http) ? CURLPROTO_HTTPS | CURLPROTO_HTTP : CURLPROTO_HTTPS))
#endif

/*
 * 7.87 added quick exit, which does not wait for a resolver thread (without
 * it, no timeout and no cancel works during DNS), and the cache of parsed CA
 * stores.
 */
#if LIBCURL_VERSION_NUM >= 0x075700
#define oss_set_quick_exit(easy) curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L)
#define oss_set_ca_cache(easy) curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 3600L)
#else
#define oss_set_quick_exit(easy) CURLE_OK
#define oss_set_ca_cache(easy) CURLE_OK
#endif

/*
 * 7.80 added a callback before each sending of a request; before, disabling
 * reuse of connections ensures that a request is sent once.  It also added a
 * limit on the age of connections.
 */
#if LIBCURL_VERSION_NUM >= 0x075000
#define oss_set_before_send(easy, function, arg) \
	(curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, function), \
	 curl_easy_setopt(easy, CURLOPT_PREREQDATA, arg))
#define OSS_TELLS_SENT true
#define oss_set_max_life(easy, seconds) \
	curl_easy_setopt(easy, CURLOPT_MAXLIFETIME_CONN, seconds)
#else
#define oss_set_before_send(easy, function, arg) \
	((void) (function), \
	 curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L), \
	 curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L))
#define OSS_TELLS_SENT false
#define oss_set_max_life(easy, seconds) CURLE_OK
#endif

/*
 * 7.84 tells the file of the system's CA certificates; NULL if they are in
 * none.
 */
#if LIBCURL_VERSION_NUM >= 0x075400
static inline const char *
oss_system_ca_file(CURL *easy)
{
	char	   *path = NULL;

	(void) curl_easy_getinfo(easy, CURLINFO_CAINFO, &path);
	return path;
}
#else
#define oss_system_ca_file(easy) ((const char *) NULL)
#endif

/* 8.6 added a code for a response that exceeds its limits. */
#if LIBCURL_VERSION_NUM >= 0x080600
#define OSS_CURLE_TOO_LARGE CURLE_TOO_LARGE
#else
#define OSS_CURLE_TOO_LARGE CURLE_OBSOLETE20
#endif

#endif							/* OSS_COMPAT_CURL */
