/*-------------------------------------------------------------------------
 * database_ddl.c
 *	  Hooks that keep workers from blocking DDL, and that notice DDL.
 *
 * Before a command that needs a database without sessions, its worker is
 * stopped, and none is started until the command ends.  DROP EXTENSION does not
 * need that, since workers hold no locks between turns; it wakes the worker at
 * commit.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>

#include "catalog/objectaccess.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "client/credential_cache.h"
#include "client/http.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "compat.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "queue/worker_slot.h"
#include "spi/wait_event.h"
#include "storage/ipc.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "watch/partition_gone.h"
#include "worker/worker.h"

/* How long to wait for a worker to end; after that the command may fail. */
#define STOP_MS 5000

static ProcessUtility_hook_type previous_utility;
static object_access_hook_type previous_access;

/* Return an option of a statement, or NULL. */
static DefElem *
find_ddl_option(List *options, const char *name)
{
	foreach_ptr(DefElem, option, options)
	{
		if (strcmp(option->defname, name) == 0)
			return option;
	}
	return NULL;
}

/* Return the database that must have no sessions for a command, or NULL. */
static const char *
wanted_database(Node *statement)
{
	DefElem    *template;

	switch (nodeTag(statement))
	{
		case T_DropdbStmt:
			return ((DropdbStmt *) statement)->dbname;
		case T_CreatedbStmt:
			template = find_ddl_option(((CreatedbStmt *) statement)->options, "template");
			return template && template->arg ? defGetString(template) : "template1";
		case T_AlterDatabaseStmt:
			return find_ddl_option(((AlterDatabaseStmt *) statement)->options, "tablespace") ?
				((AlterDatabaseStmt *) statement)->dbname : NULL;
		case T_RenameStmt:
			if (((RenameStmt *) statement)->renameType == OBJECT_DATABASE)
				return ((RenameStmt *) statement)->subname;
			return NULL;
		default:
			return NULL;
	}
}

/*
 * Free a slot that only a hold used: the database may be a template, or dropped.
 * Otherwise the launcher assigns a slot again.
 */
static void
forget_unused(OssSlot *slot)
{
	if (slot->ddl_holds > 0 || slot->pid != 0 || slot->state != OSS_SLOT_UNKNOWN ||
		pg_atomic_read_u32(&slot->wake) != 0)
		return;
	slot->dbid = InvalidOid;
	oss_worker_shmem->new_databases = true;
}

/* Add a hold on a database (1), or remove it (-1). */
static void
hold_database(Oid dbid, int change)
{
	OssSlot    *slot;

	LWLockAcquire(oss_worker_shmem->lock, LW_EXCLUSIVE);
	slot = oss_slot_make(dbid);
	if (slot)
	{
		slot->ddl_holds = Max(slot->ddl_holds + change, 0);
		forget_unused(slot);
	}
	LWLockRelease(oss_worker_shmem->lock);
	if (change < 0)
		oss_wake_launcher();
}

/* Cleanup callback: remove the hold if the command fails or the session ends. */
static void
release_databases(int code, Datum dbid)
{
	hold_database(DatumGetObjectId(dbid), -1);
}

/* Terminate a database's worker; returns true if there is none. */
static bool
stop_worker(Oid dbid)
{
	OssSlot    *slot;
	bool		gone;

	LWLockAcquire(oss_worker_shmem->lock, LW_SHARED);
	slot = oss_slot_find(dbid);
	gone = slot == NULL ||
		(slot->pid == 0 && slot->state != OSS_SLOT_STARTING);
	if (!gone && slot->pid != 0)
		kill(slot->pid, SIGTERM);
	LWLockRelease(oss_worker_shmem->lock);
	return gone;
}

/* Terminate a database's worker and wait for its end, up to STOP_MS. */
static void
wait_for_stop(Oid dbid)
{
	int64		end = oss_clock_us() + STOP_MS * INT64CONST(1000);

	while (!stop_worker(dbid) && oss_clock_us() < end)
		oss_queue_wait(20);
}

/*
 * At commit, end the holds of a server, and have workers end its automatic
 * pauses if their cause has changed.  No effect if there is no such server.
 */
static void
resume_server(const char *name)
{
	Oid			serverid = get_foreign_server_oid(name, true);

	if (OidIsValid(serverid))
		oss_resume_at_commit(serverid);
}

/* Handle a command that may remove the cause of a pause or hold. */
static void
note_repair(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_CreateUserMappingStmt:
			resume_server(((CreateUserMappingStmt *) statement)->servername);
			break;
		case T_AlterUserMappingStmt:
			resume_server(((AlterUserMappingStmt *) statement)->servername);
			break;
		case T_DropUserMappingStmt:
			/* PUBLIC's mapping applies from now on */
			resume_server(((DropUserMappingStmt *) statement)->servername);
			break;
		case T_AlterForeignServerStmt:
			resume_server(((AlterForeignServerStmt *) statement)->servername);
			break;
		case T_AlterOwnerStmt:
			if (((AlterOwnerStmt *) statement)->objectType == OBJECT_FOREIGN_SERVER)
				resume_server(strVal(((AlterOwnerStmt *) statement)->object));
			break;
		case T_AlterRoleStmt:
		case T_CreateForeignServerStmt:
		case T_ReassignOwnedStmt:
		case T_DropOwnedStmt:
			if (IsA(statement, AlterRoleStmt) &&
				!find_ddl_option(((AlterRoleStmt *) statement)->options, "superuser"))
				break;
			if (OidIsValid(get_extension_oid("oss_labels", true)))
				oss_wake_at_commit();
			break;
		default:
			break;
	}
}

/* Is oss_labels.worker set or reset? */
static bool
sets_worker(const VariableSetStmt *statement)
{
	return statement->kind == VAR_RESET_ALL ||
		(statement->name &&
		 pg_strcasecmp(statement->name, "oss_labels.worker") == 0);
}

/* Is it COPY into the table of jobs, as when a dump is restored? */
static bool
fills_queue(const CopyStmt *statement)
{
	return statement->is_from && statement->relation &&
		statement->relation->schemaname &&
		strcmp(statement->relation->schemaname, "oss_labels") == 0 &&
		strcmp(statement->relation->relname, "job") == 0;
}

/* At commit, tell launcher and workers what a command changes for them. */
static void
note_command(Node *statement)
{
	note_repair(statement);
	switch (nodeTag(statement))
	{
		case T_CreatedbStmt:
		case T_DropdbStmt:
		case T_AlterDatabaseStmt:
			oss_list_databases_at_commit();
			break;
		case T_AlterDatabaseSetStmt:
			if (sets_worker(((AlterDatabaseSetStmt *) statement)->setstmt))
				oss_recheck_at_commit();
			break;
		case T_AlterRoleSetStmt:
			if (sets_worker(((AlterRoleSetStmt *) statement)->setstmt))
				oss_recheck_at_commit();
			break;
		case T_TruncateStmt:
		case T_DropStmt:
			oss_watch_partitions_gone(statement);
			break;
		case T_CopyStmt:
			if (fills_queue((CopyStmt *) statement))
				oss_wake_at_commit();
			break;
		default:
			break;
	}
}

/* Run the next hook or the command itself. */
static void
run_command(PlannedStmt *planned, const char *query, bool read_only,
			ProcessUtilityContext context, ParamListInfo params,
			QueryEnvironment *environment, DestReceiver *dest,
			QueryCompletion *completion)
{
	if (previous_utility)
		previous_utility(planned, query, read_only, context, params,
						 environment, dest, completion);
	else
		standard_ProcessUtility(planned, query, read_only, context, params,
								environment, dest, completion);
}

/*
 * Return the database that must have no sessions during a command, if the user
 * may run the command; InvalidOid otherwise.
 */
static Oid
database_to_leave(Node *statement, ProcessUtilityContext context)
{
	const char *name = wanted_database(statement);
	Oid			dbid;

	if (name == NULL || oss_worker_shmem == NULL ||
		context != PROCESS_UTILITY_TOPLEVEL)
		return InvalidOid;
	dbid = get_database_oid(name, true);
	if (OidIsValid(dbid) && !oss_database_ownercheck(dbid, GetUserId()))
		return InvalidOid;
	return dbid;
}

/*
 * Run a command without workers in a database.  Not inlined, since compilers
 * would warn that the setjmp clobbers the caller's variables.
 */
static pg_noinline void
run_without_workers(Oid dbid, PlannedStmt *planned, const char *query,
					bool read_only, ProcessUtilityContext context,
					ParamListInfo params, QueryEnvironment *environment,
					DestReceiver *dest, QueryCompletion *completion)
{
	hold_database(dbid, 1);
	PG_ENSURE_ERROR_CLEANUP(release_databases, ObjectIdGetDatum(dbid));
	{
		wait_for_stop(dbid);
		run_command(planned, query, read_only, context, params, environment,
					dest, completion);
	}
	PG_END_ENSURE_ERROR_CLEANUP(release_databases, ObjectIdGetDatum(dbid));
	hold_database(dbid, -1);
}

/* ProcessUtility_hook */
static void
on_utility(PlannedStmt *planned, const char *query, bool read_only,
		   ProcessUtilityContext context, ParamListInfo params,
		   QueryEnvironment *environment, DestReceiver *dest,
		   QueryCompletion *completion)
{
	Node	   *statement = planned->utilityStmt;
	bool		prepared = oss_worker_shmem && IsA(statement, TransactionStmt) &&
	((TransactionStmt *) statement)->kind == TRANS_STMT_COMMIT_PREPARED;
	Oid			dbid = database_to_leave(statement, context);

	note_command(statement);
	if (OidIsValid(dbid))
		run_without_workers(dbid, planned, query, read_only, context, params,
							environment, dest, completion);
	else
		run_command(planned, query, read_only, context, params, environment,
					dest, completion);

	/* the transaction may have enqueued jobs in another session */
	if (prepared && OidIsValid(get_extension_oid("oss_labels", true)))
		oss_wake_at_commit();
}

/* object_access_hook: at commit, tell worker and key cache of dropped objects. */
static void
on_access(ObjectAccessType access, Oid class, Oid object, int sub, void *arg)
{
	if (previous_access)
		previous_access(access, class, object, sub, arg);
	if (access == OAT_DROP && class == ExtensionRelationId && oss_worker_shmem &&
		object == get_extension_oid("oss_labels", true))
		oss_wake_at_commit();
	if (access == OAT_DROP)
		oss_credential_cache_dropped(class, object);
}

void
oss_ddl_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;
	previous_utility = ProcessUtility_hook;
	ProcessUtility_hook = on_utility;
	previous_access = object_access_hook;
	object_access_hook = on_access;
}
