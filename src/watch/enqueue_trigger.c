/*-------------------------------------------------------------------------
 * enqueue_trigger.c
 *	  oss_labels.enqueue_trigger(): enqueues the images of changed rows and
 *	  cancels those of deleted ones.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/trigger.h"
#include "fmgr.h"
#include "replication/logicalworker.h"
#include "utils/tuplestore.h"
#include "watch/changed_rows.h"
#include "watch/trigger_columns.h"

PG_FUNCTION_INFO_V1(oss_labels_enqueue_trigger);

static void
protocol_error(const char *message, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
			 errmsg("%s", message),
			 errhint("%s", hint)));
}

/* Check that the function is called by a suitable trigger.  Errors: 39P01. */
static void
check_call(FunctionCallInfo fcinfo)
{
	TriggerData *call = (TriggerData *) fcinfo->context;
	TriggerEvent event;

	if (!CALLED_AS_TRIGGER(fcinfo))
		protocol_error("oss_labels.enqueue_trigger() must be called by a trigger",
					   "Use oss_labels.enqueue() elsewhere.");
	event = call->tg_event;
	if (!TRIGGER_FIRED_AFTER(event))
		protocol_error("oss_labels.enqueue_trigger() must be called by an AFTER trigger",
					   "Use CREATE TRIGGER ... AFTER.");
	if (TRIGGER_FIRED_FOR_ROW(event) || TRIGGER_FIRED_BY_TRUNCATE(event))
		return;
	if ((!TRIGGER_FIRED_BY_DELETE(event) && call->tg_newtable == NULL) ||
		(!TRIGGER_FIRED_BY_INSERT(event) && call->tg_oldtable == NULL))
		protocol_error("oss_labels.enqueue_trigger() needs the transition tables of a statement trigger",
					   "Use REFERENCING NEW TABLE for INSERT, OLD TABLE for DELETE, both for UPDATE, or FOR EACH ROW.");
}

/* Can the call be ignored? */
static bool
nothing_happened(TriggerData *call)
{
	/*
	 * Triggers for logical replication must not act on a restore or bulk load
	 * with session_replication_role = replica, nor when ENABLE TRIGGER ALL
	 * makes them fire.
	 */
	if ((oss_watch_is_replica(call->tg_trigger) ||
		 (TRIGGER_FIRED_BY_TRUNCATE(call->tg_event) &&
		  SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA)) &&
		!IsLogicalWorker())
		return true;
	if (TRIGGER_FIRED_FOR_ROW(call->tg_event) ||
		TRIGGER_FIRED_BY_TRUNCATE(call->tg_event))
		return false;
	return (call->tg_newtable == NULL ||
			tuplestore_tuple_count(call->tg_newtable) == 0) &&
		(call->tg_oldtable == NULL ||
		 tuplestore_tuple_count(call->tg_oldtable) == 0);
}

/* oss_labels.enqueue_trigger() */
Datum
oss_labels_enqueue_trigger(PG_FUNCTION_ARGS)
{
	TriggerData *call;
	OssWatch   *watch;

	check_call(fcinfo);
	call = (TriggerData *) fcinfo->context;
	if (nothing_happened(call))
		return PointerGetDatum(NULL);
	watch = oss_watch_enter(call);
	PG_TRY();
	{
		if (!watch->shadowed)
			oss_watch_serve(watch, call);
	}
	PG_FINALLY();
	{
		oss_watch_leave(watch);
	}
	PG_END_TRY();
	return PointerGetDatum(NULL);
}
