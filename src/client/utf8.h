/*-------------------------------------------------------------------------
 * utf8.h
 *	  Text of the database as requests want it: in UTF-8.
 *
 * Top floor.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_UTF8_H
#define OSS_UTF8_H

#include "postgres.h"

/*
 * Return a string of the database's encoding in UTF-8, perhaps the same
 * pointer; NULL for NULL.  In SQL_ASCII any bytes may be there: they are taken
 * for UTF-8, and whoever takes them looks whether they are.
 *
 * Errors: 22P05 a character that UTF-8 does not have, 22021 bytes that are none.
 */
extern char *oss_utf8(const char *string);

/* The same without an error: false when there is no such form. */
extern bool oss_utf8_try(const char *string, char **utf8);

#endif							/* OSS_UTF8_H */
