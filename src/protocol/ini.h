/*-------------------------------------------------------------------------
 * ini.h
 *	  Look up a value in an INI file, such as ~/.alibabacloud/credentials.
 *
 * Rules: README.md 5.2.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_INI_H
#define OSS_INI_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Does the text have a section of this name?  Names are compared bytewise,
 * without surrounding blanks.
 */
extern bool oss_ini_has_section(const char *bytes, size_t len,
								const char *section);

/*
 * Find the last "name = value" (or "name: value") of a section.  Sections of
 * the same name count as one, as in the SDKs for Go, Java and Node.js.  Sets
 * *value to the value's first byte within bytes, and *value_len to its length
 * without surrounding blanks and trailing comment; a comment begins with '#'
 * or ';' at the start of a line or after a blank.  Returns false, without
 * setting them, if the name is absent.
 */
extern bool oss_ini_find(const char *bytes, size_t len, const char *section,
						 const char *name, const char **value,
						 size_t *value_len);

#endif							/* OSS_INI_H */
