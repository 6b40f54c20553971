/*-------------------------------------------------------------------------
 * role.h
 *	  The right of a role to see all rows, and its name.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_ROLE_H
#define OSS_ROLE_H

/* May a role see all rows?  It may with pg_monitor or the rights of the owner. */
extern bool oss_sees_all(Oid role);

/* Return the name of a role, its number if it was dropped. */
extern char *oss_role_name(Oid role);

#endif							/* OSS_ROLE_H */
