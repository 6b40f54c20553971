/*-------------------------------------------------------------------------
 * label_query.c
 *	  The type label_query: input and output.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "client/utf8.h"
#include "common/shortest_dec.h"
#include "compat.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "libpq/pqformat.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "search/label_query.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(oss_labels_label_query_in);
PG_FUNCTION_INFO_V1(oss_labels_label_query_out);
PG_FUNCTION_INFO_V1(oss_labels_label_query_recv);
PG_FUNCTION_INFO_V1(oss_labels_label_query_send);
PG_FUNCTION_INFO_V1(oss_labels_label_query_and);
PG_FUNCTION_INFO_V1(oss_labels_label_query_or);
PG_FUNCTION_INFO_V1(oss_labels_label_query_not);

/* A syntax error, at byte "at" of text. */
typedef struct LabelQueryProblem
{
	const char *text;
	const char *message;		/* NULL: no error */
	int			at;
} LabelQueryProblem;

/* The parser; p is the next byte to read. */
typedef struct Parser
{
	const char *p;
	LabelQueryProblem *problem;
} Parser;

/* Characters shown on either side of the position of an error. */
#define MOST_SHOWN	60

static LabelQueryNode *parse_or(Parser *parser);

/* Return the code point of a character, 0 if it has none. */
static pg_wchar
code_point(const char *p)
{
	const char *utf8;

	if (!IS_HIGHBIT_SET(*p))
		return (unsigned char) *p;
	if (GetDatabaseEncoding() == PG_SQL_ASCII ||
		!oss_utf8_try(pnstrdup(p, pg_mblen(p)), &utf8))
		return 0;
	return utf8_to_unicode((const unsigned char *) utf8);
}

/* Is this white space, as keyboards and pages produce it? */
static bool
is_space(pg_wchar c)
{
	return c == ' ' || (c >= '\t' && c <= '\r') || c == 0x85 || c == 0xa0 ||
		c == 0x1680 || (c >= 0x2000 && c <= 0x200b) || c == 0x2028 || c == 0x2029 ||
		c == 0x202f || c == 0x205f || c == 0x3000 || c == 0xfeff;
}

/*
 * Return the ASCII character that a character is a form of: Chinese keyboards
 * have full-width ones, and word processors put curved quotes.
 */
static pg_wchar
ascii_form(pg_wchar c)
{
	static const struct
	{
		pg_wchar	from;
		char		to;
	}			small[] = {
		{0xfe55, ':'}, {0xfe57, '!'}, {0xfe59, '('}, {0xfe5a, ')'}, {0xfe60, '&'}
	};

	if (c >= 0xff01 && c <= 0xff5e)
		return c - 0xff01 + '!';
	if (c >= 0x2018 && c <= 0x201b)
		return '\'';
	if (c >= 0x201c && c <= 0x201f)
		return '"';
	for (int i = 0; i < lengthof(small); i++)
	{
		if (small[i].from == c)
			return small[i].to;
	}
	return c;
}

/*
 * Return what a character means: one of & | ! ( ) : " ', ' ' for white space,
 * 'a' in a word, '\0' at the end.
 */
static char
symbol_at(const char *p)
{
	pg_wchar	c = *p == '\0' ? 0 : code_point(p);
	pg_wchar	form = ascii_form(c);

	if (*p == '\0')
		return '\0';
	if (is_space(c))
		return ' ';
	return form != 0 && form < 0x80 && strchr("&|!():\"'", (char) form) != NULL ?
		(char) form : 'a';
}

/* Skip a character. */
static void
skip_character(Parser *parser)
{
	parser->p += pg_mblen(parser->p);
}

/* Skip white space.  Returns what the next character means. */
static char
peek_symbol(Parser *parser)
{
	char		symbol;

	while ((symbol = symbol_at(parser->p)) == ' ')
		skip_character(parser);
	return symbol;
}

/* Set the error and its position.  Returns NULL. */
static void *
refuse_query(Parser *parser, const char *at, const char *message)
{
	parser->problem->message = message;
	parser->problem->at = at - parser->problem->text;
	return NULL;
}

static LabelQueryNode *
make_node(LabelQueryKind kind)
{
	LabelQueryNode *node = palloc0(sizeof(LabelQueryNode));

	node->kind = kind;
	return node;
}

/*
 * Parse a quoted label.  An ASCII quote is closed by the same character, another
 * quote by any form of it; a doubled quote stands for one.
 */
static char *
parse_quoted(Parser *parser)
{
	const char *begin = parser->p;
	char		quote = symbol_at(begin);
	bool		is_ascii = *begin == quote;
	StringInfoData name;

	initStringInfo(&name);
	skip_character(parser);
	for (;; skip_character(parser))
	{
		const char *p = parser->p;
		int			len = pg_mblen(p);

		if (*p == '\0')
			return refuse_query(parser, begin, "unterminated quoted label");
		if (is_ascii ? *p == quote : symbol_at(p) == quote)
		{
			if (strncmp(p, p + len, len) != 0)
				break;
			skip_character(parser);
		}
		appendBinaryStringInfo(&name, p, len);
	}
	skip_character(parser);
	if (name.len == 0)
		return refuse_query(parser, begin, "empty label");
	return name.data;
}

/* Parse a name without normalizing it. */
static char *
parse_raw_name(Parser *parser)
{
	char		symbol = peek_symbol(parser);
	const char *begin = parser->p;

	if (symbol == '"' || symbol == '\'')
		return parse_quoted(parser);
	while (symbol_at(parser->p) == 'a')
		skip_character(parser);
	if (parser->p == begin)
		return refuse_query(parser, begin, symbol == '\0' ? "label expected at the end" :
							"label expected");
	return pnstrdup(begin, parser->p - begin);
}

/* Parse a name, and normalize it as those of labels are. */
static char *
parse_term_name(Parser *parser)
{
	char	   *name = parse_raw_name(parser);

	return name == NULL ? NULL : text_to_cstring(oss_nfc(cstring_to_text(name)));
}

/* Parse a number from 0 to 1.  Returns false if there is none. */
static bool
parse_number(Parser *parser, double *number)
{
	const char *begin = (peek_symbol(parser), parser->p);
	char	   *end;

	if (!(*begin >= '0' && *begin <= '9') && *begin != '.')
		return false;
	*number = strtod(begin, &end);
	if (end == begin || symbol_at(end) == 'a')
		return false;
	parser->p = end;
	return true;
}

/* Parse the optional threshold after a name.  Returns false on an error. */
static bool
parse_threshold(Parser *parser, LabelQueryNode *term)
{
	const char *begin;

	if (peek_symbol(parser) != ':')
		return true;
	skip_character(parser);
	(void) peek_symbol(parser);
	begin = parser->p;
	if (!parse_number(parser, &term->min))
		(void) refuse_query(parser, begin, "confidence expected after \":\"");
	else if (!(term->min >= 0 && term->min <= 1))
		(void) refuse_query(parser, begin, "confidence must be from 0 to 1");
	else
		term->has_min = true;
	return term->has_min;
}

/*
 * Is the word that begins there the keyword parent?  In parent:0.9 it is a
 * label.
 */
static bool
is_parent_keyword(Parser *parser, const char *begin)
{
	Parser		ahead = *parser;
	double		number;

	if (parser->p - begin != strlen("parent") ||
		strncmp(begin, "parent", strlen("parent")) != 0 || peek_symbol(&ahead) != ':')
		return false;
	skip_character(&ahead);
	return !parse_number(&ahead, &number);
}

static LabelQueryNode *
parse_term(Parser *parser)
{
	LabelQueryNode *term = make_node(LABEL_QUERY_TERM);
	const char *begin = (peek_symbol(parser), parser->p);

	term->name = parse_term_name(parser);
	if (term->name != NULL && is_parent_keyword(parser, begin))
	{
		(void) peek_symbol(parser);
		skip_character(parser);
		term->parent = true;
		term->name = parse_term_name(parser);
	}
	if (term->name == NULL || !parse_threshold(parser, term))
		return NULL;
	return term;
}

static LabelQueryNode *
parse_factor(Parser *parser)
{
	LabelQueryNode *node;
	LabelQueryNode *arg;
	const char *begin;

	check_stack_depth();
	switch (peek_symbol(parser))
	{
		case '!':
			skip_character(parser);
			arg = parse_factor(parser);
			if (arg == NULL || arg->kind == LABEL_QUERY_NOT)
				return arg == NULL ? NULL : linitial(arg->args);
			node = make_node(LABEL_QUERY_NOT);
			node->args = list_make1(arg);
			return node;
		case '(':
			begin = parser->p;
			skip_character(parser);
			node = parse_or(parser);
			if (node == NULL)
				return NULL;
			if (peek_symbol(parser) != ')')
				return *parser->p == '\0' ?
					refuse_query(parser, begin, "parenthesis is not closed") :
					refuse_query(parser, parser->p, "\"&\", \"|\" or \")\" expected");
			skip_character(parser);
			return node;
		default:
			return parse_term(parser);
	}
}

/* Parse arguments joined by an operator. */
static LabelQueryNode *
parse_joined(Parser *parser, LabelQueryKind kind, char operator,
			 LabelQueryNode *(*parse_arg) (Parser *))
{
	LabelQueryNode *node = make_node(kind);

	for (;;)
	{
		LabelQueryNode *arg = parse_arg(parser);

		if (arg == NULL)
			return NULL;
		node->args = arg->kind == kind ? list_concat(node->args, arg->args) :
			lappend(node->args, arg);
		if (peek_symbol(parser) != operator)
			break;
		skip_character(parser);
	}
	return list_length(node->args) == 1 ? linitial(node->args) : node;
}

static LabelQueryNode *
parse_and(Parser *parser)
{
	return parse_joined(parser, LABEL_QUERY_AND, '&', parse_factor);
}

static LabelQueryNode *
parse_or(Parser *parser)
{
	return parse_joined(parser, LABEL_QUERY_OR, '|', parse_and);
}

/*
 * Parse a query.  Returns NULL and sets *problem if it has a syntax error.
 * Errors: 54001 if it is nested too deeply.
 */
static LabelQueryNode *
parse_query(const char *text, LabelQueryProblem *problem)
{
	Parser		parser = {text, problem};
	LabelQueryNode *node;

	problem->text = text;
	problem->message = NULL;
	node = parse_or(&parser);
	if (node != NULL && peek_symbol(&parser) != '\0')
		return refuse_query(&parser, parser.p, symbol_at(parser.p) == ')' ?
							"parenthesis was never opened" : "\"&\" or \"|\" expected");
	return node;
}

/*
 * Append a name, quoted if necessary.  Behind "parent:" that includes names
 * that look like a number, which would be taken for the threshold of a label
 * "parent".
 */
static void
print_name(StringInfo out, const LabelQueryNode *term)
{
	bool		quote = strcmp(term->name, "parent") == 0;

	if (term->parent && strchr(".0123456789", term->name[0]) != NULL)
		quote = true;
	for (const char *p = term->name; *p != '\0'; p += pg_mblen(p))
		quote |= symbol_at(p) != 'a';
	if (!quote)
	{
		appendStringInfoString(out, term->name);
		return;
	}
	appendStringInfoChar(out, '"');
	for (const char *p = term->name; *p != '\0'; p += pg_mblen(p))
	{
		if (*p == '"')
			appendStringInfoChar(out, '"');
		appendBinaryStringInfo(out, p, pg_mblen(p));
	}
	appendStringInfoChar(out, '"');
}

/* Append a threshold exactly, whatever extra_float_digits is. */
static void
print_number(StringInfo out, double number)
{
	char		digits[DOUBLE_SHORTEST_DECIMAL_LEN];

	double_to_shortest_decimal_buf(number, digits);
	appendStringInfo(out, ":%s", digits);
}

/* Append a node, in parentheses if it binds weaker than the outer node. */
static void
print_node(StringInfo out, const LabelQueryNode *node, LabelQueryKind outer)
{
	bool		closed = node->kind > outer;
	ListCell   *lc;

	check_stack_depth();
	if (closed)
		appendStringInfoChar(out, '(');
	if (node->kind == LABEL_QUERY_TERM)
	{
		if (node->parent)
			appendStringInfoString(out, "parent:");
		print_name(out, node);
		if (node->has_min)
			print_number(out, node->min);
	}
	foreach(lc, node->args)
	{
		if (node->kind == LABEL_QUERY_NOT)
			appendStringInfoChar(out, '!');
		else if (foreach_current_index(lc) > 0)
			appendStringInfoString(out, node->kind == LABEL_QUERY_AND ?
								   " & " : " | ");
		print_node(out, lfirst(lc), node->kind);
	}
	if (closed)
		appendStringInfoChar(out, ')');
}

/* Return a query in canonical form. */
static char *
print_query(const LabelQueryNode *node)
{
	StringInfoData out;

	initStringInfo(&out);
	print_node(&out, node, LABEL_QUERY_OR);
	return out.data;
}

/*
 * Return the line with an error, shortened, and a line with a caret at its
 * position.
 */
static char *
show_place(const LabelQueryProblem *problem)
{
	const char *at = problem->text + problem->at;
	const char *begin = problem->text;
	const char *end = at;
	int			before = 0;
	int			width = 0;

	for (const char *p = begin; p < at; p += pg_mblen(p))
	{
		before = *p == '\n' ? 0 : before + 1;
		if (before == 0)
			begin = p + 1;
	}
	for (; before > MOST_SHOWN; before--)
		begin += pg_mblen(begin);
	for (const char *p = begin; p < at; p += pg_mblen(p))
		width += Max(pg_dsplen(p), 0);
	for (int i = 0; i < MOST_SHOWN && *end != '\0' && *end != '\n'; i++)
		end += pg_mblen(end);
	return psprintf("%.*s\n%*s^", (int) (end - begin), begin, width, "");
}

/*
 * Parse a query.  Errors: 42601, or NULL and the error in escontext if that
 * permits.
 */
static LabelQueryNode *
parse_or_report(const char *text, Node *escontext)
{
	LabelQueryProblem problem = {0};
	LabelQueryNode *node = parse_query(text, &problem);

	if (node == NULL)
		oss_ereturn(escontext, NULL,
					(errcode(ERRCODE_SYNTAX_ERROR),
					 errmsg("syntax error in label query at character %d: %s",
							pg_mbstrlen_with_len(text, problem.at) + 1,
							problem.message),
					 errdetail("Here:\n%s", show_place(&problem)),
					 errhint("Labels are joined with & | ! and parentheses, as in: Beach & (Sunset | \"Blue Sky\":0.9) & !parent:Person")));
	return node;
}

LabelQueryNode *
oss_label_query_get(const struct varlena *value)
{
	return parse_or_report(text_to_cstring((const text *) value), NULL);
}

/* Make a value from its text.  Errors: as parse_or_report(). */
static Datum
make_query_value(const char *text, Node *escontext)
{
	LabelQueryNode *node = parse_or_report(text, escontext);

	return node == NULL ? (Datum) 0 : CStringGetTextDatum(print_query(node));
}

Datum
oss_labels_label_query_in(PG_FUNCTION_ARGS)
{
	return make_query_value(PG_GETARG_CSTRING(0), fcinfo->context);
}

Datum
oss_labels_label_query_out(PG_FUNCTION_ARGS)
{
	PG_RETURN_CSTRING(TextDatumGetCString(PG_GETARG_DATUM(0)));
}

Datum
oss_labels_label_query_recv(PG_FUNCTION_ARGS)
{
	StringInfo	message = (StringInfo) PG_GETARG_POINTER(0);
	int			len;

	return make_query_value(pq_getmsgtext(message, message->len - message->cursor,
										  &len), NULL);
}

Datum
oss_labels_label_query_send(PG_FUNCTION_ARGS)
{
	StringInfoData message;
	text	   *value = PG_GETARG_TEXT_PP(0);

	pq_begintypsend(&message);
	pq_sendtext(&message, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
	PG_RETURN_BYTEA_P(pq_endtypsend(&message));
}

/* Combine two queries by an operator. */
static Datum
join_queries(FunctionCallInfo fcinfo, const char *operator)
{
	return make_query_value(psprintf("(%s) %s (%s)",
									 TextDatumGetCString(PG_GETARG_DATUM(0)), operator,
									 TextDatumGetCString(PG_GETARG_DATUM(1))), NULL);
}

/* label_query && label_query */
Datum
oss_labels_label_query_and(PG_FUNCTION_ARGS)
{
	return join_queries(fcinfo, "&");
}

/* label_query || label_query */
Datum
oss_labels_label_query_or(PG_FUNCTION_ARGS)
{
	return join_queries(fcinfo, "|");
}

/* !! label_query */
Datum
oss_labels_label_query_not(PG_FUNCTION_ARGS)
{
	return make_query_value(psprintf("!(%s)", TextDatumGetCString(PG_GETARG_DATUM(0))),
							NULL);
}
