/*-------------------------------------------------------------------------
 * role.c
 *	  The right of a role to see all rows, and its name.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "miscadmin.h"
#include "spi/role.h"
#include "spi/statement.h"
#include "utils/acl.h"

bool
oss_sees_all(Oid role)
{
	return has_privs_of_role(role, ROLE_PG_MONITOR) ||
		has_privs_of_role(role, oss_extension_owner());
}

char *
oss_role_name(Oid role)
{
	char	   *name = GetUserNameFromId(role, true);

	return name ? name : psprintf("%u", role);
}
