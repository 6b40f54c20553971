/*-------------------------------------------------------------------------
 * known_label.c
 *	  Maintaining the table known_label.
 *
 * There are thousands of labels and millions of rows with them, so a process
 * caches the pairs that it has found or inserted.  Since its own insertions may
 * be rolled back, an abort empties the cache.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/value.h"
#include "parser/parse_func.h"
#include "spi/statement.h"
#include "store/known_label.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(oss_labels_learn_labels);

/* Limit on the cache. */
#define MOST_REMEMBERED	100000

/*
 * A cached pair: the name, a NUL, and, if there is a parent, "p" and its
 * name.
 */
typedef struct KnownPair
{
	char	   *pair;
	char		status;
} KnownPair;

#define SH_PREFIX pairs
#define SH_ELEMENT_TYPE KnownPair
#define SH_KEY_TYPE char *
#define SH_KEY pair
#define SH_HASH_KEY(table, key) pair_hash(key)
#define SH_EQUAL(table, a, b) pairs_are_equal(a, b)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE

static inline Size
pair_length(const char *pair)
{
	Size		name = strlen(pair) + 1;

	return name + strlen(pair + name);
}

static inline uint32
pair_hash(const char *pair)
{
	return hash_bytes((const unsigned char *) pair, pair_length(pair));
}

static inline bool
pairs_are_equal(const char *a, const char *b)
{
	return strcmp(a, b) == 0 && strcmp(a + strlen(a) + 1, b + strlen(b) + 1) == 0;
}

#include "lib/simplehash.h"

static struct pairs_hash *known = NULL;
static MemoryContext known_context = NULL;
static Oid	known_trigger = InvalidOid;

/* Empty the cache. */
static void
forget_all(void)
{
	if (known_context != NULL)
		MemoryContextReset(known_context);
	known = NULL;
	known_trigger = InvalidOid;
}

/* Transaction callback. */
static void
on_xact_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		forget_all();
}

/* Subtransaction callback. */
static void
on_subxact_end(SubXactEvent event, SubTransactionId id,
			   SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		forget_all();
}

/*
 * Initialize the cache.  Another trigger function means that the extension
 * was created again, so that the cache is invalid.
 */
static void
prepare_pairs(Oid trigger)
{
	if (known_context == NULL)
	{
		known_context = AllocSetContextCreate(TopMemoryContext,
											  "oss_labels known labels",
											  ALLOCSET_DEFAULT_SIZES);
		RegisterXactCallback(on_xact_end, NULL);
		RegisterSubXactCallback(on_subxact_end, NULL);
	}
	if (known != NULL &&
		(known->members > MOST_REMEMBERED || known_trigger != trigger))
		forget_all();
	if (known == NULL)
	{
		known = pairs_create(known_context, 256, NULL);
		known_trigger = trigger;
	}
}

static void
append_text(StringInfo string, Datum value)
{
	text	   *detoasted = DatumGetTextPP(value);

	appendBinaryStringInfo(string, VARDATA_ANY(detoasted),
						   VARSIZE_ANY_EXHDR(detoasted));
	if ((Pointer) detoasted != DatumGetPointer(value))
		pfree(detoasted);
}

/* Return a pair as a key, valid until the next call. */
static char *
make_pair(Datum name, Datum parent, bool no_parent)
{
	static StringInfoData pair;

	if (pair.data == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		initStringInfo(&pair);
		MemoryContextSwitchTo(old);
	}
	resetStringInfo(&pair);
	append_text(&pair, name);
	appendStringInfoChar(&pair, '\0');
	if (!no_parent)
	{
		appendStringInfoChar(&pair, 'p');
		append_text(&pair, parent);
	}
	return pair.data;
}

/* Insert a pair into known_label unless it exists. */
static void
write_pair(Datum name, Datum parent, bool no_parent)
{
	static OssPlan insert = {
		"INSERT INTO oss_labels.known_label "
		"(label_name, parent_label_name) SELECT $1, $2 "
		"WHERE NOT EXISTS (SELECT FROM oss_labels.known_label k "
		"WHERE k.label_name = $1 "
		"AND k.parent_label_name IS NOT DISTINCT FROM $2)",
		2, {TEXTOID, TEXTOID}
	};
	Datum		values[2];
	char		nulls[2];

	oss_arg(values, nulls, 0, name, false);
	oss_arg(values, nulls, 1, parent, no_parent);
	oss_statement_execute(&insert, values, nulls, SPI_OK_INSERT);
}

void
oss_learn_label(Oid learn_function, Datum name, bool no_name, Datum parent,
				bool no_parent)
{
	bool		found;
	char	   *pair;
	KnownPair  *entry;

	if (no_name)
		return;
	prepare_pairs(learn_function);
	pair = make_pair(name, parent, no_parent);
	if (pairs_lookup(known, pair) != NULL)
		return;
	write_pair(name, parent, no_parent);
	prepare_pairs(learn_function);
	entry = pairs_insert(known, pair, &found);
	if (!found)
	{
		entry->pair = MemoryContextAlloc(known_context, pair_length(pair) + 1);
		memcpy(entry->pair, pair, pair_length(pair) + 1);
	}
}

Oid
oss_learn_function(void)
{
	List	   *name = list_make2(makeString("oss_labels"),
								  makeString("learn_labels"));

	return LookupFuncName(name, 0, NULL, true);
}

/* learn_labels() */
Datum
oss_labels_learn_labels(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleTableSlot *slot;
	TupleDesc	desc;
	AttrNumber	name_attno;
	AttrNumber	parent_attno;
	OssStatementState state;

	if (!CALLED_AS_TRIGGER(fcinfo) || trigger->tg_newtable == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("learn_labels() is a statement trigger with a new table")));
	desc = RelationGetDescr(trigger->tg_relation);
	oss_statement_begin(&state, OSS_STATEMENT_CALLER);
	name_attno = SPI_fnumber(desc, "label_name");
	parent_attno = SPI_fnumber(desc, "parent_label_name");
	if (name_attno <= 0 || parent_attno <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("learn_labels() needs columns label_name and parent_label_name")));
	tuplestore_rescan(trigger->tg_newtable);
	slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	while (tuplestore_gettupleslot(trigger->tg_newtable, true, false, slot))
	{
		bool		no_name;
		bool		no_parent;
		Datum		name = slot_getattr(slot, name_attno, &no_name);
		Datum		parent = slot_getattr(slot, parent_attno, &no_parent);

		CHECK_FOR_INTERRUPTS();
		oss_learn_label(fcinfo->flinfo->fn_oid, name, no_name, parent, no_parent);
	}
	ExecDropSingleTupleTableSlot(slot);
	oss_statement_end(&state);
	return PointerGetDatum(NULL);
}
