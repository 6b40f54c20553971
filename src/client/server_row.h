/*-------------------------------------------------------------------------
 * server_row.h
 *	  The catalog rows that a server is made from, and their digests.
 *
 * For server.c alone.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_SERVER_ROW_H
#define OSS_SERVER_ROW_H

#include "access/htup.h"
#include "client/credential_option.h"

/*
 * The catalog rows of a server and of a role's mapping; their secrets are in
 * the digests only.
 */
typedef struct OssServerRows
{
	NameData	name;
	Oid			owner;
	Oid			mapping;
	bool		server_tentative;	/* written by this transaction, which may
									 * be rolled back */
	bool		mapping_tentative;
	uint8		digest[CREDENTIAL_DIGEST_LEN];	/* of server and mapping */
	uint8		mapping_digest[CREDENTIAL_DIGEST_LEN];	/* and proxy */
} OssServerRows;

/*
 * Return the tuple of the role's mapping of a server, else PUBLIC's, else
 * NULL.  The caller releases it.
 */
extern HeapTuple oss_mapping_tuple(Oid serverid, Oid userid);

/*
 * Read the catalog rows of a server and of a role's mapping.  Returns false
 * if one of them is missing.
 */
extern bool oss_server_rows_read(Oid serverid, Oid userid, OssServerRows *rows);

#endif							/* OSS_SERVER_ROW_H */
