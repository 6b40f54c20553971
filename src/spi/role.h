/*-------------------------------------------------------------------------
 * role.h
 *	  What a role may see, and how a row names it.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_ROLE_H
#define OSS_ROLE_H

/* May a role see all rows: has it pg_monitor, or the rights of the owner? */
extern bool oss_sees_all(Oid role);

/* Return the name of a role, its number if it was dropped. */
extern char *oss_role_name(Oid role);

#endif							/* OSS_ROLE_H */
