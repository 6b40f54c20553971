/*-------------------------------------------------------------------------
 * role_name.c
 *	  The type role_name: the role that a row belongs to.
 *
 * A value stores the OID of a role and is output as its present name, so that
 * it follows renames and can be restored in another cluster.  A name that is no
 * role's on input is kept, and is the role of that name once there is one.  A
 * role that was dropped is output as a name that no role can be given: a later one
 * does not inherit from it.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "compat.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(oss_labels_role_name_in);
PG_FUNCTION_INFO_V1(oss_labels_role_name_out);
PG_FUNCTION_INFO_V1(oss_labels_role_value);

/* The type role_name; values of the same role have the same bytes. */
typedef struct RoleName
{
	int32		vl_len_;
	Oid			role;			/* InvalidOid: no such role on input */
	char		name[FLEXIBLE_ARRAY_MEMBER];	/* the name on input in that
												 * case */
} RoleName;

/* role_name_in(name) */
Datum
oss_labels_role_name_in(PG_FUNCTION_ARGS)
{
	const char *name = PG_GETARG_CSTRING(0);
	Oid			role = get_role_oid(name, true);
	Size		size = offsetof(RoleName, name) + (OidIsValid(role) ? 0 : strlen(name) + 1);
	RoleName   *value = palloc0(size);

	SET_VARSIZE(value, size);
	value->role = role;
	if (!OidIsValid(role))
		strcpy(value->name, name);
	PG_RETURN_POINTER(value);
}

/* role_name_out(role_name) */
Datum
oss_labels_role_name_out(PG_FUNCTION_ARGS)
{
	const RoleName *value = (RoleName *) PG_DETOAST_DATUM(PG_GETARG_DATUM(0));
	char	   *name;

	if (!OidIsValid(value->role))
		PG_RETURN_CSTRING(pstrdup(value->name));
	name = GetUserNameFromId(value->role, true);
	PG_RETURN_CSTRING(name != NULL ? name : psprintf("pg_dropped_role_%u", value->role));
}

/* role_value(role) */
Datum
oss_labels_role_value(PG_FUNCTION_ARGS)
{
	Size		size = offsetof(RoleName, name);
	RoleName   *value = palloc0(size);

	SET_VARSIZE(value, size);
	value->role = PG_GETARG_OID(0);
	PG_RETURN_POINTER(value);
}
