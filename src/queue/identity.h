/*-------------------------------------------------------------------------
 * identity.h
 *	  Who enqueued a job, which table it came from and which server it is for,
 *	  across dumps.
 *
 * Top floor.  A row of the queue keeps an OID, the name that it had then, and
 * the origin: the database in which the OID means anything.
 */
#ifndef OSS_IDENTITY_H
#define OSS_IDENTITY_H

#include "postgres.h"

/* Number of this database: its cluster in the upper half, its OID below. */
extern int64 oss_origin(void);

/* May a role see everybody's jobs?  It has pg_monitor, or the owner's rights. */
extern bool oss_sees_all(Oid role);

/* Return the name of a role to be kept, which may have been dropped. */
extern char *oss_role_name(Oid role);

/*
 * Return the qualified name of a table to be kept; NULL when it means nothing
 * elsewhere: it is temporary, or was dropped.
 */
extern char *oss_table_name(Oid table);

/*
 * Find the table that a row of the queue came from, or InvalidOid; name NULL:
 * unknown.
 */
extern Oid	oss_table_of(int64 origin, Oid table, const char *name);

/*
 * Find the present name of the server that a row of the queue means; server
 * InvalidOid: it has no OID.
 */
extern const char *oss_server_of(int64 origin, Oid server, const char *name);

#endif							/* OSS_IDENTITY_H */
