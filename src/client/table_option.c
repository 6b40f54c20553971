/*-------------------------------------------------------------------------
 * table_option.c
 *	  The options of a foreign table.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/failure.h"
#include "client/table_option.h"
#include "client/utf8.h"
#include "commands/defrem.h"
#include "compat.h"
#include "protocol/uri.h"
#include "utils/builtins.h"

static const char *const table_options[] = {"bucket", "prefix", "versions"};

const char *
oss_table_option_name(int i)
{
	return i < lengthof(table_options) ? table_options[i] : NULL;
}

static void
refuse_value(const DefElem *option, const char *value, const char *problem, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for option \"%s\": \"%s\"", option->defname, value),
			 errdetail_internal("%s", problem),
			 errhint("%s", hint)));
}

static const char *
read_bucket(DefElem *option)
{
	const char *value = defGetString(option);
	const char *problem = oss_bucket_problem(value);

	if (problem != NULL)
		refuse_value(option, value, oss_sentence(problem),
					 "Name the bucket alone, or leave the option out for a table whose queries say bucket = ...");
	return value;
}

static const char *
read_prefix(DefElem *option)
{
	const char *value = defGetString(option);
	const char *problem = oss_prefix_problem(oss_utf8(value));

	if (problem != NULL)
		refuse_value(option, value, oss_sentence(problem),
					 "Write what keys begin with, or leave the option out for all keys.");
	return value[0] != '\0' ? value : NULL;
}

void
oss_table_options_read(OssTableOptions *table, List *options)
{
	memset(table, 0, sizeof(*table));
	foreach_ptr(DefElem, option, options)
	{
		if (strcmp(option->defname, "bucket") == 0)
			table->bucket = read_bucket(option);
		else if (strcmp(option->defname, "prefix") == 0)
			table->prefix = read_prefix(option);
		else if (strcmp(option->defname, "versions") == 0 &&
				 !parse_bool(defGetString(option), &table->versions))
			refuse_value(option, defGetString(option), "Valid are true and false.",
						 "Write versions 'true' for all versions and delete markers.");
	}
}
