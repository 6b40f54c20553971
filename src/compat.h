/*-------------------------------------------------------------------------
 * compat.h
 *	  Versions: our own, and everything that depends on that of PostgreSQL (15
 *	  to 19) or of libcurl.  No other file tests versions.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_COMPAT_H
#define OSS_COMPAT_H

/* Of this library, and of the extension's SQL that belongs to it. */
#define OSS_LABELS_VERSION "1.0"

#if PG_VERSION_NUM < 150000
#error "oss_labels needs PostgreSQL 15 or newer"
#endif

#include "utils/jsonb.h"

/* PostgreSQL 16 split VARDATA_ANY and friends off. */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* The connection limit of an invalid database, which old minor versions lack. */
#define OSS_DATABASE_INVALID (-2)

/* PostgreSQL 18 split ExplainProperty...() off. */
#if PG_VERSION_NUM >= 180000
#include "commands/explain_format.h"
#endif

/* PostgreSQL 18 can name a module. */
#if PG_VERSION_NUM >= 180000
#define OSS_MODULE_MAGIC(name_, version_) \
	PG_MODULE_MAGIC_EXT(.name = name_, .version = version_)
#else
#define OSS_MODULE_MAGIC(name_, version_) PG_MODULE_MAGIC
#endif

/* PostgreSQL 17 gives a wait event set to a resource owner. */
#if PG_VERSION_NUM >= 170000
#define oss_create_wait_event_set(n) CreateWaitEventSet(NULL, n)
#else
#define oss_create_wait_event_set(n) CreateWaitEventSet(TopMemoryContext, n)
#endif

/* PostgreSQL 17 has wait events with names of our own. */
#if PG_VERSION_NUM >= 170000
#define oss_wait_event_new(name) WaitEventExtensionNew(name)
#else
#define oss_wait_event_new(name) PG_WAIT_EXTENSION
#endif

/* PostgreSQL 16 renamed how the statistics of a process are had by index. */
#if PG_VERSION_NUM >= 160000
#define oss_local_beentry(i) pgstat_get_local_beentry_by_index(i)
#else
#define oss_local_beentry(i) pgstat_fetch_stat_local_beentry(i)
#endif

/* PostgreSQL 17 can ask for stronger locks too. */
#if PG_VERSION_NUM >= 170000
#define oss_lock_held(tag, mode) LockHeldByMe(tag, mode, false)
#else
#define oss_lock_held(tag, mode) LockHeldByMe(tag, mode)
#endif

/* PostgreSQL 17 lets an index keep something from one insertion to the next. */
#if PG_VERSION_NUM >= 170000
#define oss_index_insert_cleanup(index, info) index_insert_cleanup(index, info)
#else
#define oss_index_insert_cleanup(index, info) ((void) 0)
#endif

/* PostgreSQL 19 builds jsonb in a state that has the result too. */
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

/* PostgreSQL 16 merged the ACL checks. */
#if PG_VERSION_NUM >= 160000
#define oss_server_aclcheck(serverid, userid, mode) \
	object_aclcheck(ForeignServerRelationId, serverid, userid, mode)
#define oss_database_ownercheck(dbid, userid) \
	object_ownercheck(DatabaseRelationId, dbid, userid)
#define oss_class_ownercheck(relid, userid) \
	object_ownercheck(RelationRelationId, relid, userid)
#define oss_function_aclcheck(funcid, userid) \
	object_aclcheck(ProcedureRelationId, funcid, userid, ACL_EXECUTE)
#else
#define oss_server_aclcheck(serverid, userid, mode) \
	pg_foreign_server_aclcheck(serverid, userid, mode)
#define oss_database_ownercheck(dbid, userid) \
	pg_database_ownercheck(dbid, userid)
#define oss_class_ownercheck(relid, userid) \
	pg_class_ownercheck(relid, userid)
#define oss_function_aclcheck(funcid, userid) \
	pg_proc_aclcheck(funcid, userid, ACL_EXECUTE)
#endif

/*
 * PostgreSQL 17 puts conditions without variables above a custom join by
 * itself, when the path says what its conditions are.
 */
#if PG_VERSION_NUM >= 170000
#define OSS_CUSTOM_JOIN_IS_GATED true
#define oss_path_set_restrictinfo(cpath, rinfos) \
	((cpath)->custom_restrictinfo = (rinfos))
#else
#define OSS_CUSTOM_JOIN_IS_GATED false
#define oss_path_set_restrictinfo(cpath, rinfos) ((void) (rinfos))
#endif

/* PostgreSQL 18 can leave room in front of a minimal tuple. */
#if PG_VERSION_NUM >= 180000
#define oss_form_minimal_tuple(desc, values, nulls) \
	heap_form_minimal_tuple(desc, values, nulls, 0)
#else
#define oss_form_minimal_tuple(desc, values, nulls) \
	heap_form_minimal_tuple(desc, values, nulls)
#endif

/* PostgreSQL 18 counts disabled nodes instead of adding to the cost. */
#if PG_VERSION_NUM >= 180000
#define oss_path_copy_disabled(path, from) \
	((path)->disabled_nodes = (from)->disabled_nodes)
#else
#define oss_path_copy_disabled(path, from) ((void) (from))
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
 * libcurl.  Outside the guard of the rest: only files that include
 * curl/curl.h see this part.
 */
#if defined(LIBCURL_VERSION_NUM) && !defined(OSS_COMPAT_CURL)
#define OSS_COMPAT_CURL

/* 7.85 replaced the bit mask of protocols by a list. */
#if LIBCURL_VERSION_NUM >= 0x075500
#define oss_set_protocols(easy, http) \
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, (http) ? "https,http" : "https")
#else
#define oss_set_protocols(easy, http) \
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS, \
					 (long) ((http) ? CURLPROTO_HTTPS | CURLPROTO_HTTP : CURLPROTO_HTTPS))
#endif

/*
 * 7.87: leave a resolver thread behind instead of waiting for it, without
 * which no timeout and no cancel holds during DNS; and keep the parsed CA
 * store.
 */
#if LIBCURL_VERSION_NUM >= 0x075700
#define oss_set_quick_exit(easy) curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L)
#define oss_set_ca_cache(easy) curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 3600L)
#else
#define oss_set_quick_exit(easy) CURLE_OK
#define oss_set_ca_cache(easy) CURLE_OK
#endif

/*
 * 7.80 can be asked to tell before each time that it sends a request; before, a
 * connection that is not kept is what it sends one by.  It can also end
 * connections by their age.
 */
#if LIBCURL_VERSION_NUM >= 0x075000
#define oss_set_before_send(easy, function, arg) \
	(curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, function), \
	 curl_easy_setopt(easy, CURLOPT_PREREQDATA, arg))
#define oss_set_max_life(easy, seconds) \
	curl_easy_setopt(easy, CURLOPT_MAXLIFETIME_CONN, seconds)
#else
#define oss_set_before_send(easy, function, arg) \
	((void) (function), \
	 curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L), \
	 curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L))
#define oss_set_max_life(easy, seconds) CURLE_OK
#endif

/* 7.84 tells where it finds the system's CA certificates; NULL: not in a file. */
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

/* 8.6 has a code of its own for an answer that is beyond its limits. */
#if LIBCURL_VERSION_NUM >= 0x080600
#define OSS_CURLE_TOO_LARGE CURLE_TOO_LARGE
#else
#define OSS_CURLE_TOO_LARGE CURLE_OBSOLETE20
#endif

#endif							/* OSS_COMPAT_CURL */
