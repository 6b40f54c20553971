/*-------------------------------------------------------------------------
 * alias_check.c
 *	  Aliases and rules that other transactions have made.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "spi/statement.h"
#include "store/alias_check.h"
#include "utils/snapmgr.h"

void
oss_alias_check(void)
{
	static OssPlan find_alias = {
		"SELECT b.alias_name FROM oss_labels.label_alias b "
		"WHERE EXISTS (SELECT FROM oss_labels.label_alias a WHERE a.label_name = b.alias_name) "
		"OR EXISTS (SELECT FROM oss_labels.label_rule r WHERE r.label_name = b.alias_name) "
		"LIMIT 1",
		0
	};
	OssStatementState state;

	if (!IsolationUsesXactSnapshot())
		return;
	oss_statement_begin(&state, OSS_STATEMENT_STORE);
	CommandCounterIncrement();
	if (oss_statement_execute_in(GetLatestSnapshot(), &find_alias, NULL, NULL,
								 SPI_OK_SELECT) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to concurrent update"),
				 errdetail("Another transaction has changed aliases or rules: label \"%s\" is an alias and has aliases or a rule itself.",
						   oss_result_string(0, 1)),
				 errhint("The transaction might succeed if retried.")));
	oss_statement_end(&state);
}
