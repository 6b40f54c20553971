/*-------------------------------------------------------------------------
 * backend.c
 *	  Run libFuzzer inside a PostgreSQL backend, for the parsers that need
 *	  one: jsonb, memory contexts, errors.
 *
 * The module's own objects are linked with this into another module; its SQL
 * function is called in a single-user server (test/fuzz/backend) and never
 * returns: libFuzzer ends the process.
 *-------------------------------------------------------------------------
 */
#include "backend.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#define ARGUMENTS_MAX	64

/* A target, and what may be thrown while it runs (0 ends the list). */
typedef struct Target
{
	const char *name;
	void		(*run) (const uint8_t *data, size_t size);
	int			may_throw[10];
} Target;

static const Target targets[] = {
	{"fuzz_answer", fuzz_answer, {0}},
	{"fuzz_credentials", fuzz_credentials, {0}},
	/* the input function's errors, and those of a document that is refused */
	{"fuzz_import", fuzz_import, {ERRCODE_INVALID_TEXT_REPRESENTATION,
			ERRCODE_UNTRANSLATABLE_CHARACTER, ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE,
			ERRCODE_STATEMENT_TOO_COMPLEX, ERRCODE_INVALID_PARAMETER_VALUE,
	ERRCODE_PROGRAM_LIMIT_EXCEEDED, 0}},
	{"fuzz_query", fuzz_query, {ERRCODE_STATEMENT_TOO_COMPLEX, 0}},
};

static const Target *target;
static MemoryContext work;

extern int	LLVMFuzzerRunDriver(int *argc, char ***argv,
								int (*run) (const uint8_t *data, size_t size));

PG_FUNCTION_INFO_V1(fuzz_run);

/* Check the error that a target has thrown, and forget it. */
static void
check_error(void)
{
	int			code = geterrcode();
	bool		allowed = false;

	for (const int *may = target->may_throw; *may != 0; may++)
		allowed |= code == *may;
	if (!allowed)
	{
		MemoryContextSwitchTo(work);
		fprintf(stderr, "thrown: %s: %s\n", unpack_sql_state(code),
				CopyErrorData()->message);
	}
	promise(allowed);
	FlushErrorState();
}

/* Run one input in an empty memory context. */
static int
run_one(const uint8_t *data, size_t size)
{
	MemoryContext old = MemoryContextSwitchTo(work);

	PG_TRY();
	{
		target->run(data, size);
	}
	PG_CATCH();
	{
		check_error();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(old);
	MemoryContextReset(work);
	return 0;
}

/* fuzz_run(text): libFuzzer's command line, the target's name being first. */
Datum
fuzz_run(PG_FUNCTION_ARGS)
{
	char	   *line = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	  **arguments = palloc0(sizeof(char *) * (ARGUMENTS_MAX + 1));
	int			n = 0;
	char	   *rest = NULL;

	for (char *word = strtok_r(line, " ", &rest);
		 word != NULL && n < ARGUMENTS_MAX; word = strtok_r(NULL, " ", &rest))
		arguments[n++] = word;
	for (int i = 0; i < lengthof(targets); i++)
		if (n > 0 && strcmp(arguments[0], targets[i].name) == 0)
			target = &targets[i];
	if (target == NULL)
		elog(ERROR, "no such target");
	work = AllocSetContextCreate(TopMemoryContext, "fuzz", ALLOCSET_DEFAULT_SIZES);
	exit(LLVMFuzzerRunDriver(&n, &arguments, run_one));
}
