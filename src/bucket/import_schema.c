/*-------------------------------------------------------------------------
 * import_schema.c
 *	  IMPORT FOREIGN SCHEMA: a bucket becomes a table.
 *
 * Nothing is asked for: a bucket that does not exist is seen when it is listed.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "bucket/bucket.h"
#include "bucket/import_schema.h"
#include "client/failure.h"
#include "commands/defrem.h"
#include "compat.h"
#include "foreign/foreign.h"
#include "lib/stringinfo.h"
#include "protocol/uri.h"
#include "utils/builtins.h"

#define TABLE_NAME_OPTION "table_name"

static void
check_schema_name(const char *bucket)
{
	const char *problem = oss_bucket_problem(bucket);

	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the bucket name \"%s\" is invalid", bucket),
				 errdetail_internal("%s", oss_sentence(problem)),
				 errhint("Write IMPORT FOREIGN SCHEMA \"examplebucket\" FROM SERVER ...: the foreign schema is the bucket.")));
}

static void
refuse_option(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
			 errmsg("invalid option \"%s\"", name),
			 strcmp(name, "bucket") == 0 ?
			 errhint("The bucket is the foreign schema: IMPORT FOREIGN SCHEMA \"examplebucket\".") :
			 errhint("Valid options are: prefix, versions, %s.", TABLE_NAME_OPTION)));
}

/* Return the table's options except bucket, as ", name 'value'". */
static char *
option_list(List *options)
{
	StringInfoData list;

	initStringInfo(&list);
	foreach_ptr(DefElem, option, options)
	{
		if (strcmp(option->defname, TABLE_NAME_OPTION) == 0)
			continue;
		if (strcmp(option->defname, "prefix") != 0 && strcmp(option->defname, "versions") != 0)
			refuse_option(option->defname);
		appendStringInfo(&list, ", %s %s", option->defname,
						 quote_literal_cstr(defGetString(option)));
	}
	return list.data;
}

/* Return the value of the option table_name, else the bucket's name. */
static const char *
table_name(const ImportForeignSchemaStmt *statement)
{
	const char *name = statement->remote_schema;

	foreach_ptr(DefElem, option, statement->options)
	{
		if (strcmp(option->defname, TABLE_NAME_OPTION) == 0)
			name = defGetString(option);
	}
	return name;
}

List *
oss_bucket_import(ImportForeignSchemaStmt *statement, Oid serverid)
{
	OssTableOptions options;
	StringInfoData command;

	check_schema_name(statement->remote_schema);
	oss_table_options_read(&options, statement->options);
	initStringInfo(&command);
	appendStringInfo(&command, "CREATE FOREIGN TABLE %s (", quote_identifier(table_name(statement)));
	for (int i = 0; i < (options.versions ? OSS_COLUMNS : OSS_COLUMN_VERSION_ID); i++)
		appendStringInfo(&command, "%s%s", i > 0 ? ", " : "", oss_bucket_column_sql(i));
	appendStringInfo(&command, ") SERVER %s OPTIONS (bucket %s%s)",
					 quote_identifier(GetForeignServer(serverid)->servername),
					 quote_literal_cstr(statement->remote_schema), option_list(statement->options));
	return list_make1(command.data);
}
