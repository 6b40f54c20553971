/*-------------------------------------------------------------------------
 * ini.h
 *	  Look a value up in an INI file, such as ~/.alibabacloud/credentials.
 *
 * Ground floor: no PostgreSQL, no curl.  Rules: README.md 5.2.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_INI_H
#define OSS_INI_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Is there a section of this name?  Names are compared byte by byte, blanks
 * around them left out.
 */
extern bool oss_ini_has_section(const char *bytes, size_t len,
								const char *section);

/*
 * Find the last "name = value" (or "name: value") of a section, all sections of
 * one name being one, as the SDKs of Go, Java and Node.js have it.  Sets *value
 * to where it begins in bytes and *value_len to its length without the blanks
 * around it and without a comment, which begins with '#' or ';' after a blank;
 * lines that begin with one of them are comments.  Returns whether it is there.
 */
extern bool oss_ini_find(const char *bytes, size_t len, const char *section,
						 const char *name, const char **value,
						 size_t *value_len);

#endif							/* OSS_INI_H */
