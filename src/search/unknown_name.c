/*-------------------------------------------------------------------------
 * unknown_name.c
 *	  NOTICEs for names in a query that no label has.
 *
 * vocabulary is read with the caller's rights: a name that row security hides from
 * the caller counts as unknown, and is not proposed.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "mb/pg_wchar.h"
#include "port/pg_bitutils.h"
#include "search/unknown_name.h"
#include "spi/column_array.h"
#include "spi/read_rows.h"
#include "spi/statement.h"
#include "utils/builtins.h"
#include "utils/varlena.h"

/* Names that one statement reports at most. */
#define MOST_SAID		5

/* Characters in which a proposed name differs at most. */
#define MOST_DISTANCE	3

/* Longer names, in bytes, are not compared. */
#define LONGEST_NAME	255

/*
 * Which of the names $1 are unknown, by columns of vocabulary, and whether they
 * are known as the other kind: as parents, or as labels.
 */
#define FIND_UNKNOWN(effective, raw, other) \
	"SELECT u.n, EXISTS (SELECT FROM oss_labels.vocabulary v WHERE v." other " = u.name) " \
	"FROM unnest($1) WITH ORDINALITY u (name, n) " \
	"WHERE NOT EXISTS (SELECT FROM oss_labels.vocabulary v WHERE v." effective " = u.name) " \
	"AND NOT EXISTS (SELECT FROM oss_labels.label_alias a WHERE a.alias_name = u.name) " \
	"AND NOT EXISTS (SELECT FROM oss_labels.label_alias a WHERE a.label_name = u.name) " \
	"AND NOT EXISTS (SELECT FROM oss_labels.vocabulary v WHERE v." raw " = u.name) " \
	"ORDER BY u.n"

/* All names of labels and of parents, as stored and after aliases. */
#define READ_NAMES \
	"SELECT v.effective_name, nullif(v.label_name, v.effective_name) " \
	"FROM oss_labels.vocabulary v WHERE v.shown " \
	"UNION ALL SELECT a.alias_name, NULL FROM oss_labels.label_alias a"
#define READ_PARENTS \
	"SELECT v.effective_parent, nullif(v.parent_label_name, v.effective_parent) " \
	"FROM oss_labels.vocabulary v WHERE v.effective_parent IS NOT NULL"

/* A name to compare: ASCII letters in lower case, and the set of its bytes. */
typedef struct Comparable
{
	char		folded[LONGEST_NAME];
	int			length;			/* in bytes; 0: too long */
	int			characters;
	uint64		bytes;			/* a bit for each value of a byte modulo 64 */
} Comparable;

/* An unknown name, and the most similar one. */
typedef struct Unknown
{
	const LabelQueryNode *term;
	Comparable	name;
	char		best[LONGEST_NAME + 1];
	int			best_distance;	/* at most; best is empty if there is none */
	bool		is_other;		/* a parent in place of a label, or the
								 * reverse */
} Unknown;

/* The unknown names of a query, of labels or of parents. */
typedef struct UnknownNames
{
	int			n;
	Unknown		names[MOST_SAID];
} UnknownNames;

/* The start of the present statement, what it has reported, and its last query. */
static TimestampTz statement = 0;
static uint32 said[MOST_SAID];
static int	nsaid = 0;
static uint32 last_query = 0;

/* Make a name comparable. */
static void
make_comparable(Comparable *comparable, const char *name, int length)
{
	comparable->length = length <= LONGEST_NAME ? length : 0;
	comparable->bytes = 0;
	for (int i = 0; i < comparable->length; i++)
	{
		unsigned char c = name[i];

		if (c >= 'A' && c <= 'Z')
			c += 'a' - 'A';
		comparable->folded[i] = (char) c;
		comparable->bytes |= UINT64CONST(1) << (c & 63);
	}
	comparable->characters = pg_mbstrlen_with_len(name, comparable->length);
}

/* Return a hash of a term. */
static uint32
term_hash(const LabelQueryNode *term)
{
	uint32		hash = hash_bytes((const unsigned char *) term->name, strlen(term->name));

	return term->parent ? ~hash : hash;
}

/*
 * Note that this statement reports a term.  Returns false if it has done so before,
 * or has reported as many as it may.
 */
static bool
is_to_be_reported(const LabelQueryNode *term)
{
	uint32		hash = term_hash(term);

	for (int i = 0; i < nsaid; i++)
	{
		if (said[i] == hash)
			return false;
	}
	if (nsaid == MOST_SAID)
		return false;
	said[nsaid++] = hash;
	return true;
}

/*
 * Was the last query of this statement the same?  A statement may evaluate a query
 * once per image.
 */
static bool
is_repeated_query(const List *terms)
{
	uint32		query = 0;
	ListCell   *lc;

	foreach(lc, terms)
		query = hash_combine(query, term_hash(lfirst(lc)));
	if (statement != GetCurrentStatementStartTimestamp())
	{
		statement = GetCurrentStatementStartTimestamp();
		nsaid = 0;
	}
	else if (query == last_query)
		return true;
	last_query = query;
	return false;
}

/*
 * Does a name have more bytes that the other one lacks than this number of changed
 * characters can explain?
 */
static bool
is_too_different(const Comparable *a, const Comparable *b, int most)
{
	int			bytes = a->characters == a->length ? 1 : MAX_MULTIBYTE_CHAR_LEN;

	return pg_popcount64(a->bytes & ~b->bytes) > most * bytes;
}

/* Compare a known name with the unknown ones. */
static void
compare_name(UnknownNames *unknown_names, const text * value)
{
	Comparable	known;

	make_comparable(&known, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
	if (known.length == 0)
		return;
	for (int i = 0; i < unknown_names->n; i++)
	{
		Unknown    *unknown = &unknown_names->names[i];
		const Comparable *name = &unknown->name;
		int			distance;

		if (name->length == 0 ||
			abs(name->characters - known.characters) > unknown->best_distance ||
			is_too_different(name, &known, unknown->best_distance) ||
			is_too_different(&known, name, unknown->best_distance))
			continue;
		distance = varstr_levenshtein_less_equal(name->folded, name->length,
												 known.folded, known.length, 1, 1, 1,
												 unknown->best_distance, true);
		if (distance > unknown->best_distance ||
			(distance == unknown->best_distance && unknown->best[0] != '\0') ||
			distance >= Max(name->characters, known.characters))
			continue;
		unknown->best_distance = distance;
		memcpy(unknown->best, VARDATA_ANY(value), known.length);
		unknown->best[known.length] = '\0';
	}
}

/* Compare the names in a row of vocabulary. */
static void
take_names(TupleTableSlot *slot, void *unknown_names)
{
	for (int i = 0; i < 2; i++)
	{
		if (!slot->tts_isnull[i])
			compare_name(unknown_names, DatumGetTextPP(slot->tts_values[i]));
	}
}

/* Give the most similar name as a hint, if there is one. */
static int
hint_of_similar(const Unknown *unknown)
{
	return unknown->best[0] == '\0' ? 0 :
		errhint("The most similar name is \"%s\".", unknown->best);
}

/* Report an unknown name. */
static void
report_unknown_name(const Unknown *unknown)
{
	const char *name = unknown->term->name;

	if (unknown->term->parent)
		ereport(NOTICE,
				(errmsg("no label has a parent named \"%s\"", name),
				 unknown->is_other ?
				 errhint("It is a label itself: write it without \"parent:\".") :
				 hint_of_similar(unknown)));
	else
		ereport(NOTICE,
				(errmsg("no label is named \"%s\"", name),
				 unknown->is_other ?
				 errhint("It is the parent of labels, which a search finds by parent:\"%s\".", name) :
				 hint_of_similar(unknown)));
}

/* Find the unknown names that are to be reported. */
static void
find_unknown(UnknownNames *unknown_names, const List *terms, bool parents)
{
	static OssPlan find_labels = {
		FIND_UNKNOWN("effective_name", "label_name", "effective_parent"), 1,
		{TEXTARRAYOID}, OSS_PLAN_READ
	};
	static OssPlan find_parents = {
		FIND_UNKNOWN("effective_parent", "parent_label_name", "effective_name"), 1,
		{TEXTARRAYOID}, OSS_PLAN_READ
	};
	OssColumn	names;
	Datum		value;
	uint64		n;
	ListCell   *lc;

	oss_column_init(&names, TEXTOID, list_length(terms));
	foreach(lc, terms)
		oss_column_add_string(&names, ((LabelQueryNode *) lfirst(lc))->name);
	value = oss_column_array(&names);
	n = oss_statement_execute(parents ? &find_parents : &find_labels, &value, NULL,
							  SPI_OK_SELECT);
	for (uint64 i = 0; i < n; i++)
	{
		LabelQueryNode *term = list_nth(terms, DatumGetInt64(oss_result_column(i, 1, NULL)) - 1);
		Unknown    *unknown = &unknown_names->names[unknown_names->n];

		if (!is_to_be_reported(term))
			continue;
		unknown->term = term;
		unknown->is_other = DatumGetBool(oss_result_column(i, 2, NULL));
		unknown->best[0] = '\0';
		make_comparable(&unknown->name, term->name, strlen(term->name));
		unknown->best_distance = Min(MOST_DISTANCE, (unknown->name.characters + 1) / 2);
		unknown_names->n++;
	}
}

/* Report the unknown names among the terms for labels, or among those for parents. */
static void
check_terms(const List *terms, bool parents)
{
	UnknownNames *unknown_names = palloc(sizeof(UnknownNames));
	OssArguments none = {0};
	List	   *some = NIL;
	ListCell   *lc;

	foreach(lc, terms)
	{
		if (((LabelQueryNode *) lfirst(lc))->parent == parents)
			some = lappend(some, lfirst(lc));
	}
	unknown_names->n = 0;
	if (some != NIL)
		find_unknown(unknown_names, some, parents);
	if (unknown_names->n > 0)
		oss_read(parents ? READ_PARENTS : READ_NAMES, &none, take_names, unknown_names);
	for (int i = 0; i < unknown_names->n; i++)
		report_unknown_name(&unknown_names->names[i]);
	pfree(unknown_names);
}

void
oss_report_unknown(const List *terms)
{
	if (!message_level_is_interesting(NOTICE) || terms == NIL || is_repeated_query(terms))
		return;
	check_terms(terms, false);
	check_terms(terms, true);
}
