/*-------------------------------------------------------------------------
 * vocabulary.c
 *	  Keep every stored label in the table vocabulary.
 *
 * Millions of rows share a few thousand labels, so a process remembers the numbers
 * that it has found or written there.
 *
 * A row says what a number means.  That is true even if the transaction which adds
 * it is rolled back.  A row is therefore frozen as soon as all indexes have it, and
 * all sessions see it: no session waits for another's transaction in order to write
 * the same row, and no rollback removes a row that another session relies on.
 *
 * The twins of a row are written by an ordinary update of all of them.  Until that
 * commits, the row is marked as new, and the next process that stores the label
 * repeats the update.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "client/utf8.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "compat.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "spi/bulk_insert.h"
#include "spi/column_array.h"
#include "spi/statement.h"
#include "storage/lock.h"
#include "store/alias_check.h"
#include "store/image_id.h"
#include "store/vocabulary.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(oss_labels_learn_labels);
PG_FUNCTION_INFO_V1(oss_labels_refresh_vocabulary);
PG_FUNCTION_INFO_V1(oss_labels_settle_vocabulary);

/* Most labels that a process remembers; the service decides how many there are. */
#define MOST_REMEMBERED	100000

/* Distinguishes the locks from those of SQL functions and of images. */
#define LOCK_CLASS		0x4f56
#define LOCK_ROWS		0
#define LOCK_RULES		1

/* How often the lock of rules is tried, and the time between. */
#define LOCK_TRIES		200
#define LOCK_SLEEP_US	1000

/* Time until a refresh is repeated that locked rows kept incomplete. */
#define REFRESH_EVERY_MS	1000

/* A label as bytes: its level, and its texts, each preceded by its length. */
typedef struct LabelKey
{
	const char *data;
	int			length;
} LabelKey;

/* A label and its number; known: its row in vocabulary is complete. */
typedef struct Remembered
{
	LabelKey	key;
	int64		label_id;
	bool		known;
	char		status;
} Remembered;

#define SH_PREFIX labels
#define SH_ELEMENT_TYPE Remembered
#define SH_KEY_TYPE LabelKey
#define SH_KEY key
#define SH_HASH_KEY(table, key) \
	hash_bytes((const unsigned char *) (key).data, (key).length)
#define SH_EQUAL(table, a, b) \
	((a).length == (b).length && memcmp((a).data, (b).data, (a).length) == 0)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* A label that this process has not seen in vocabulary. */
typedef struct Unknown
{
	const OssLabel *label;
	int64		label_id;
	bool		found;
	bool		is_new;
} Unknown;

static struct labels_hash *remembered = NULL;
static MemoryContext memory = NULL;
static Oid	vocabulary_table = InvalidOid;
static bool outdated = false;
static TimestampTz next_refresh = 0;

/* Forget what is remembered: a rollback may undo updates of twins. */
static void
on_xact_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		outdated = true;
}

/* The same for a subtransaction. */
static void
on_subxact_end(SubXactEvent event, SubTransactionId id, SubTransactionId parent,
			   void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		outdated = true;
}

/* Forget it: the table was truncated, created again or altered. */
static void
on_relcache_change(Datum arg, Oid table)
{
	if (table == vocabulary_table || table == InvalidOid)
		outdated = true;
}

/* Prepare the memory of labels, and empty it if it may be outdated. */
static void
prepare_memory(void)
{
	Oid			table = get_relname_relid("vocabulary",
										  get_namespace_oid("oss_labels", false));

	if (memory == NULL)
	{
		memory = AllocSetContextCreate(TopMemoryContext, "oss_labels vocabulary",
									   ALLOCSET_DEFAULT_SIZES);
		RegisterXactCallback(on_xact_end, NULL);
		RegisterSubXactCallback(on_subxact_end, NULL);
		CacheRegisterRelcacheCallback(on_relcache_change, (Datum) 0);
	}
	if (outdated || table != vocabulary_table ||
		(remembered != NULL && remembered->members > MOST_REMEMBERED))
	{
		MemoryContextReset(memory);
		remembered = NULL;
	}
	outdated = false;
	vocabulary_table = table;
	if (remembered == NULL)
		remembered = labels_create(memory, 4096, NULL);
}

/* Append a text, preceded by its length. */
static void
append_text(StringInfo string, const text * value)
{
	int			length = value == NULL ? -1 : (int) VARSIZE_ANY_EXHDR(value);

	appendBinaryStringInfo(string, (const char *) &length, sizeof(length));
	if (length > 0)
		appendBinaryStringInfo(string, VARDATA_ANY(value), length);
}

/* Return the key of a label, which is valid until the next call. */
static LabelKey
make_key(const OssLabel *label)
{
	static StringInfoData bytes;
	int			level[2] = {label->has_level, label->has_level ? label->level : 0};
	LabelKey	key;

	if (bytes.data == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		initStringInfo(&bytes);
		MemoryContextSwitchTo(old);
	}
	resetStringInfo(&bytes);
	appendBinaryStringInfo(&bytes, (const char *) level, sizeof(level));
	append_text(&bytes, label->name);
	append_text(&bytes, label->parent);
	append_text(&bytes, label->language);
	key.data = bytes.data;
	key.length = bytes.len;
	return key;
}

/* Find or add the entry of a label. */
static Remembered *
remember_label(const OssLabel *label, bool *found)
{
	LabelKey	key = make_key(label);
	Remembered *entry = labels_lookup(remembered, key);
	char	   *data;

	*found = entry != NULL;
	if (entry != NULL)
		return entry;
	data = MemoryContextAlloc(memory, key.length);
	memcpy(data, key.data, key.length);
	key.data = data;
	entry = labels_insert(remembered, key, found);
	entry->label_id = oss_label_id(label);
	entry->known = false;
	*found = false;
	return entry;
}

/* Find the labels that vocabulary has, by the latest snapshot. */
static void
find_labels(Unknown *unknown, int nunknown)
{
	static OssPlan find = {
		"SELECT u.n, v.is_new FROM pg_catalog.unnest($1) WITH ORDINALITY u (label_id, n) "
		"JOIN oss_labels.vocabulary v ON v.label_id OPERATOR(pg_catalog.=) u.label_id",
		1, {INT8ARRAYOID}
	};
	OssColumn	ids;
	Datum		value;
	uint64		n;

	oss_column_init(&ids, INT8OID, nunknown);
	for (int i = 0; i < nunknown; i++)
		oss_column_add(&ids, Int64GetDatum(unknown[i].label_id), false);
	value = oss_column_array(&ids);
	n = oss_statement_execute_in(GetLatestSnapshot(), &find, &value, NULL, SPI_OK_SELECT);
	for (uint64 i = 0; i < n; i++)
	{
		bool		isnull;
		int			found = DatumGetInt64(oss_result_column(i, 1, &isnull)) - 1;

		unknown[found].found = true;
		unknown[found].is_new = DatumGetBool(oss_result_column(i, 2, &isnull));
	}
}

/* Set a column of a row. */
static void
set_vocabulary_column(const OssBulkRow *row, Relation table, const char *column, Datum value,
					  bool isnull)
{
	int			i = get_attnum(RelationGetRelid(table), column) - 1;

	if (i < 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of oss_labels.vocabulary is missing", column),
				 errhint("Use ALTER EXTENSION oss_labels UPDATE.")));
	row->values[i] = isnull ? (Datum) 0 : value;
	row->nulls[i] = isnull;
}

/* Set a column of a row to a text. */
static void
set_text(const OssBulkRow *row, Relation table, const char *column, const text * value)
{
	set_vocabulary_column(row, table, column, PointerGetDatum(value), value == NULL);
}

/* Query what labels are read as; the first column of the result counts them from 1. */
static uint64
read_meanings(const Unknown *unknown, int n)
{
	static OssPlan read = {
		"SELECT u.n, coalesce(a.label_name, u.name), "
		"CASE WHEN pr.hidden IS NOT TRUE THEN coalesce(pa.label_name, u.parent) END, "
		"r.min_confidence, u.name IS NOT NULL AND r.hidden IS NOT TRUE, "
		"CASE WHEN u.name IS NULL THEN '{}'::bigint[] ELSE "
		"array_prepend(oss_labels.label_id(coalesce(a.label_name, u.name)), ARRAY("
		"SELECT oss_labels.label_id(x.alias_name) FROM oss_labels.label_alias x "
		"WHERE x.label_name = coalesce(a.label_name, u.name) ORDER BY x.alias_name)) END "
		"FROM ROWS FROM (unnest($1), unnest($2)) WITH ORDINALITY u (name, parent, n) "
		"LEFT JOIN oss_labels.label_alias a ON a.alias_name = u.name "
		"LEFT JOIN oss_labels.label_alias pa ON pa.alias_name = u.parent "
		"LEFT JOIN oss_labels.label_rule r ON r.label_name = coalesce(a.label_name, u.name) "
		"LEFT JOIN oss_labels.label_rule pr ON pr.label_name = coalesce(pa.label_name, u.parent)",
		2, {TEXTARRAYOID, TEXTARRAYOID}
	};
	OssColumn	columns[2];
	Datum		values[2];

	oss_column_init(&columns[0], TEXTOID, n);
	oss_column_init(&columns[1], TEXTOID, n);
	for (int i = 0; i < n; i++)
	{
		const OssLabel *label = unknown[i].label;

		oss_column_add(&columns[0], PointerGetDatum(label->name), label->name == NULL);
		oss_column_add(&columns[1], PointerGetDatum(label->parent), label->parent == NULL);
	}
	values[0] = oss_column_array(&columns[0]);
	values[1] = oss_column_array(&columns[1]);
	return oss_statement_execute_in(GetLatestSnapshot(), &read, values, NULL, SPI_OK_SELECT);
}

/* Insert the labels that were not found. */
static void
write_labels(Unknown *unknown, int n)
{
	Relation	table = oss_own_table_open("vocabulary", RowExclusiveLock);
	OssBulkRow *rows = oss_bulk_rows(n, RelationGetDescr(table)->natts);
	uint64		nmeanings = read_meanings(unknown, n);
	int			nrows = 0;

	for (uint64 i = 0; i < nmeanings; i++)
	{
		bool		isnull;
		Unknown    *one = &unknown[DatumGetInt64(oss_result_column(i, 1, &isnull)) - 1];
		const OssLabel *label = one->label;
		OssBulkRow *row = &rows[nrows];
		Datum		value;

		if (one->found)
			continue;
		set_vocabulary_column(row, table, "label_id", Int64GetDatum(one->label_id), false);
		set_text(row, table, "label_name", label->name);
		set_text(row, table, "parent_label_name", label->parent);
		set_vocabulary_column(row, table, "label_level", Int32GetDatum(label->level), !label->has_level);
		set_text(row, table, "language", label->language);
		value = oss_result_column(i, 2, &isnull);
		set_vocabulary_column(row, table, "effective_name", value, isnull);
		value = oss_result_column(i, 3, &isnull);
		set_vocabulary_column(row, table, "effective_parent", value, isnull);
		value = oss_result_column(i, 4, &isnull);
		set_vocabulary_column(row, table, "min_confidence", value, isnull);
		value = oss_result_column(i, 5, &isnull);
		set_vocabulary_column(row, table, "shown", value, isnull);
		value = oss_result_column(i, 6, &isnull);
		set_vocabulary_column(row, table, "names", value, isnull);
		set_vocabulary_column(row, table, "merged", BoolGetDatum(false), false);
		set_vocabulary_column(row, table, "is_new", BoolGetDatum(true), false);
		one->is_new = true;
		nrows++;
	}
	oss_bulk_insert_lasting(table, rows, nrows);
	table_close(table, NoLock);
}

/*
 * Return the tag of one of two locks.  A process holds LOCK_ROWS briefly while it
 * adds rows, and waits for no other lock then.  A transaction that changes aliases
 * or rules holds LOCK_RULES from its commit on.
 */
static LOCKTAG
lock_of_vocabulary(uint32 which)
{
	LOCKTAG		tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, 0, which, LOCK_CLASS);
	return tag;
}

/*
 * Lock out changes of aliases and rules.  Returns false after a time: a prepared
 * transaction may hold the lock for long.
 */
static bool
take_lock_of_rules(const LOCKTAG *tag)
{
	for (int i = 0; i < LOCK_TRIES; i++)
	{
		if (LockAcquire(tag, ShareLock, false, true) != LOCKACQUIRE_NOT_AVAIL)
			return true;
		CHECK_FOR_INTERRUPTS();
		pg_usleep(LOCK_SLEEP_US);
	}
	return false;
}

/* The rows that differ from what they should say. */
static OssPlan find_outdated = {
	"SELECT v.label_id FROM oss_labels.vocabulary v "
	"JOIN oss_labels.vocabulary_reading() r ON r.label_id = v.label_id "
	"WHERE v.is_new OR (v.effective_name, v.effective_parent, v.min_confidence, "
	"v.shown, v.names, v.twins) IS DISTINCT FROM (r.effective_name, "
	"r.effective_parent, r.min_confidence, r.shown, r.names, r.twins)",
	0
};

static OssPlan lock_unlocked = {
	"SELECT label_id FROM oss_labels.vocabulary WHERE label_id = ANY ($1) "
	"ORDER BY label_id FOR UPDATE SKIP LOCKED",
	1, {INT8ARRAYOID}
};

/* $2: these are all outdated rows, so that their twins are determined. */
static OssPlan update_outdated = {
	"UPDATE oss_labels.vocabulary v SET effective_name = r.effective_name, "
	"effective_parent = r.effective_parent, min_confidence = r.min_confidence, "
	"shown = r.shown, names = r.names, twins = r.twins, "
	"merged = r.twins IS NOT NULL, is_new = v.is_new AND NOT $2 "
	"FROM oss_labels.vocabulary_reading() r "
	"WHERE r.label_id = v.label_id AND v.label_id = ANY ($1)",
	2, {INT8ARRAYOID, BOOLOID}
};

/* Return the ids of the result as an array. */
static Datum
ids_of_result(uint64 n)
{
	OssColumn	ids;

	oss_column_init(&ids, INT8OID, (int) n);
	for (uint64 i = 0; i < n; i++)
		oss_column_add(&ids, oss_result_column(i, 1, NULL), false);
	return oss_column_array(&ids);
}

/*
 * Update the outdated rows of vocabulary, by the latest snapshot at every isolation
 * level.  Without "wait", leaves out rows that others have locked, and returns false
 * if there are any.
 */
static bool
refresh_vocabulary(bool wait)
{
	uint64		nfound;
	uint64		nlocked;
	Datum		values[2];

	CommandCounterIncrement();
	nfound = nlocked = oss_statement_execute_in(GetLatestSnapshot(), &find_outdated,
												NULL, NULL, SPI_OK_SELECT);
	if (nfound == 0)
		return true;
	values[0] = ids_of_result(nfound);
	if (!wait)
	{
		nlocked = oss_statement_execute_in(GetLatestSnapshot(), &lock_unlocked, values,
										   NULL, SPI_OK_SELECT);
		values[0] = ids_of_result(nlocked);
	}
	values[1] = BoolGetDatum(nlocked == nfound);
	(void) oss_statement_execute_in(GetLatestSnapshot(), &update_outdated, values, NULL,
									SPI_OK_UPDATE);
	return nlocked == nfound;
}

/* Do so without waiting, and not at all shortly after a try that was incomplete. */
static bool
try_refresh(void)
{
	TimestampTz now = GetCurrentTimestamp();

	if (now < next_refresh)
		return false;
	if (refresh_vocabulary(false))
		return true;
	next_refresh = TimestampTzPlusMilliseconds(now, REFRESH_EVERY_MS);
	return false;
}

/* Add missing labels.  Returns false if aliases and rules may be changing. */
static bool
add_new_labels(Unknown *unknown, int n)
{
	LOCKTAG		rules = lock_of_vocabulary(LOCK_RULES);
	LOCKTAG		rows = lock_of_vocabulary(LOCK_ROWS);
	bool		locked = take_lock_of_rules(&rules);

	(void) LockAcquire(&rows, ExclusiveLock, false, false);
	find_labels(unknown, n);
	write_labels(unknown, n);
	(void) LockRelease(&rows, ExclusiveLock, false);
	if (locked)
		(void) LockRelease(&rules, ShareLock, false);
	return locked;
}

/* Make sure that vocabulary has these labels. */
static void
learn_labels(Unknown *unknown, int n)
{
	bool		missing = false;
	bool		any_new = false;
	bool		whole = true;

	find_labels(unknown, n);
	for (int i = 0; i < n; i++)
		missing |= !unknown[i].found;
	if (missing)
		whole = add_new_labels(unknown, n);
	for (int i = 0; i < n; i++)
		any_new |= unknown[i].is_new;
	if (any_new)
		whole = whole && try_refresh();
	for (int i = 0; i < n; i++)
	{
		bool		found;

		if (whole || !unknown[i].is_new)
			remember_label(unknown[i].label, &found)->known = true;
	}
}

/*
 * Number the labels of n answers, in CurrentMemoryContext, and make sure that
 * vocabulary has each.  Call it within oss_statement_begin(), with SPI connected.
 * Waits for no transaction.
 */
void
oss_vocabulary_number(OssNumberedLabels *answers, int n)
{
	Unknown    *unknown = NULL;
	int			nunknown = 0;
	int			room = 0;

	prepare_memory();
	for (int i = 0; i < n; i++)
	{
		OssNumberedLabels *answer = &answers[i];

		answer->ids = palloc(sizeof(int64) * Max(answer->n, 1));
		for (int k = 0; k < answer->n; k++)
		{
			bool		found;
			Remembered *entry = remember_label(&answer->labels[k], &found);

			answer->ids[k] = entry->label_id;
			if (entry->known)
				continue;
			if (nunknown == room)
			{
				room = Max(64, room * 2);
				unknown = unknown == NULL ? palloc(sizeof(Unknown) * room) :
					repalloc(unknown, sizeof(Unknown) * room);
			}
			unknown[nunknown++] = (Unknown)
			{
				&answer->labels[k], entry->label_id
			};

			/* add it once; set to unknown again below */
			entry->known = true;
		}
	}
	if (nunknown == 0)
		return;
	for (int i = 0; i < nunknown; i++)
	{
		bool		found;

		remember_label(unknown[i].label, &found)->known = false;
	}
	learn_labels(unknown, nunknown);
}

/* Learn the labels of one answer. */
static void
learn_answer(OssLabel *labels, int n)
{
	OssNumberedLabels answer = {n, labels};
	OssStatementState state;

	oss_statement_begin(&state, OSS_STATEMENT_STORE);
	oss_vocabulary_number(&answer, 1);
	oss_statement_end(&state);
}

/* Return the number of a column, 0 if there is none. */
static int
column_number(TupleDesc desc, const char *name)
{
	for (int i = 0; i < desc->natts; i++)
	{
		if (namestrcmp(&TupleDescAttr(desc, i)->attname, name) == 0)
			return i + 1;
	}
	return 0;
}

/* Return a column of a row; raises an error if it has none of this name. */
static Datum
row_column(HeapTuple row, TupleDesc desc, const char *name, bool *isnull)
{
	int			number = column_number(desc, name);

	if (number <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("learn_labels() needs the column %s", name)));
	return heap_getattr(row, number, desc, isnull);
}

/*
 * learn_labels(): the trigger, for a row of label_correction with one label, or
 * one of image with an answer.
 */
Datum
oss_labels_learn_labels(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	HeapTuple	row;
	bool		isnull;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("learn_labels() is a trigger for inserted and updated rows")));
	desc = RelationGetDescr(trigger->tg_relation);
	row = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple :
		trigger->tg_trigtuple;
	if (column_number(desc, "response") > 0)
	{
		Datum		response = row_column(row, desc, "response", &isnull);
		OssLabel   *labels;

		if (!isnull)
		{
			int			n = oss_response_labels(DatumGetJsonbP(response), false, &labels);

			learn_answer(labels, n);
		}
	}
	else
	{
		OssLabel	label = {0};
		Datum		value = row_column(row, desc, "label_name", &isnull);

		label.name = isnull ? NULL : oss_nfc(DatumGetTextPP(value));
		value = row_column(row, desc, "parent_label_name", &isnull);
		label.parent = isnull ? NULL : oss_nfc(DatumGetTextPP(value));
		learn_answer(&label, 1);
	}
	return PointerGetDatum(NULL);
}

/* Raise an error unless a function is called as a trigger. */
static void
check_trigger(FunctionCallInfo fcinfo)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("the function must be called as a trigger")));
}

/* Update vocabulary after a change of aliases, rules or rows; waits for locked rows. */
static void
refresh_after_change(void)
{
	OssStatementState state;

	oss_statement_begin(&state, OSS_STATEMENT_STORE);
	(void) refresh_vocabulary(true);
	oss_statement_end(&state);
}

/* refresh_vocabulary(): the trigger after a statement */
Datum
oss_labels_refresh_vocabulary(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	check_trigger(fcinfo);
	if (trigger->tg_newtable != NULL && tuplestore_tuple_count(trigger->tg_newtable) == 0)
		return PointerGetDatum(NULL);

	/* other processes must forget which labels exist */
	if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		CacheInvalidateRelcacheByRelid(get_relname_relid("vocabulary",
														 get_namespace_oid("oss_labels", false)));
	refresh_after_change();
	return PointerGetDatum(NULL);
}

/*
 * settle_vocabulary(): the trigger at commit.  From now on, until the transaction
 * ends, no process adds labels, so that none is added by the old aliases and rules.
 */
Datum
oss_labels_settle_vocabulary(PG_FUNCTION_ARGS)
{
	LOCKTAG		tag = lock_of_vocabulary(LOCK_RULES);

	check_trigger(fcinfo);

	/* held: the trigger has fired for another row of the transaction */
	if (!oss_lock_held(&tag, ExclusiveLock))
	{
		(void) LockAcquire(&tag, ExclusiveLock, false, false);
		refresh_after_change();
	}
	oss_alias_check();
	return PointerGetDatum(NULL);
}
