/*-------------------------------------------------------------------------
 * identity.h
 *	  A job's requester, source table and server, across dumps.
 *
 * A row of the queue has the OID of each, the name at that time, and the
 * origin: the database in which the OID is valid.
 */
#ifndef OSS_IDENTITY_H
#define OSS_IDENTITY_H

/*
 * Return the number of this database: a hash of the cluster in the upper
 * half, the database's OID in the lower.
 */
extern int64 oss_origin(void);

/*
 * Return the qualified name of a table for a row of the queue; NULL if the
 * table is temporary or was dropped.
 */
extern char *oss_table_name(Oid table);

/*
 * Return the source table of a row of the queue, or InvalidOid; name NULL:
 * unknown.
 */
extern Oid	oss_table_of(int64 origin, Oid table, const char *name);

/*
 * Return the present name of the server of a row of the queue; server
 * InvalidOid: the row has no OID.
 */
extern const char *oss_server_of(int64 origin, Oid server, const char *name);

#endif							/* OSS_IDENTITY_H */
