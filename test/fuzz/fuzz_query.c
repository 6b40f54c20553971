/*-------------------------------------------------------------------------
 * fuzz_query.c
 *	  Read the input as a label_query, write it, and read that again.
 *-------------------------------------------------------------------------
 */
#include "backend.h"

/* what is fuzzed is static there */
#include "search/label_query.c"

/* Check a tree against what its structs promise. */
static void
check_node(const LabelQueryNode *node)
{
	ListCell   *lc;

	switch (node->kind)
	{
		case LABEL_QUERY_TERM:
			promise(node->args == NIL && node->name[0] != '\0');
			promise(fuzz_is_text(node->name, strlen(node->name)));
			promise(!node->has_min || (node->min >= 0 && node->min <= 1));
			return;
		case LABEL_QUERY_NOT:
			promise(list_length(node->args) == 1);
			break;
		default:
			promise(list_length(node->args) >= 2);
	}
	foreach(lc, node->args)
	{
		const LabelQueryNode *arg = lfirst(lc);

		promise(arg->kind != node->kind);
		check_node(arg);
	}
}

/* Check that the type refuses what the parser refused, as a syntax error. */
static void
check_refused(char *text, const LabelQueryProblem *problem)
{
	MemoryContext caller = CurrentMemoryContext;
	volatile bool thrown = false;

	promise(problem->message != NULL);
	promise(problem->at >= 0 && (size_t) problem->at <= strlen(text));
	promise(fuzz_is_text(text, problem->at));
	PG_TRY();
	{
		DirectFunctionCall1(oss_labels_label_query_in, CStringGetDatum(text));
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		promise(geterrcode() == ERRCODE_SYNTAX_ERROR);
		FlushErrorState();
		thrown = true;
	}
	PG_END_TRY();
	promise(thrown);
}

/* Check that a query is what is read of its own text. */
static char *
check_canonical(const LabelQueryNode *node)
{
	LabelQueryProblem problem;
	char	   *printed = print_query(node);
	LabelQueryNode *again;

	check_node(node);
	promise(fuzz_is_text(printed, strlen(printed)));
	again = parse_query(printed, &problem);
	promise(again != NULL);
	promise(strcmp(print_query(again), printed) == 0);
	return printed;
}

/* Check what an operator made. */
static void
check_value(Datum value)
{
	char	   *printed = TextDatumGetCString(value);

	promise(strcmp(check_canonical(oss_label_query_get((struct varlena *)
													   DatumGetPointer(value))),
				   printed) == 0);
}

/* Run one input, in memory of exactly its size. */
void
fuzz_query(const uint8_t *data, size_t size)
{
	LabelQueryProblem problem;
	LabelQueryNode *node;
	char	   *text;
	Datum		value;

	/* no other text reaches a type's input function */
	if (memchr(data, '\0', size) != NULL ||
		!fuzz_is_text((const char *) data, size))
		return;
	text = fuzz_text(data, size);
	PG_TRY();
	{
		node = parse_query(text, &problem);
		if (node == NULL)
			check_refused(text, &problem);
		else
		{
			value = CStringGetTextDatum(check_canonical(node));
			check_value(DirectFunctionCall1(oss_labels_label_query_in,
											CStringGetDatum(text)));
			check_value(DirectFunctionCall1(oss_labels_label_query_not, value));
			check_value(DirectFunctionCall2(oss_labels_label_query_and, value, value));
			check_value(DirectFunctionCall2(oss_labels_label_query_or, value, value));
		}
	}
	PG_FINALLY();
	{
		free(text);
	}
	PG_END_TRY();
}
