/*-------------------------------------------------------------------------
 * utf8.h
 *	  Conversion of text from the database's encoding to UTF-8, and to Unicode's
 *	  normalization form C.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_UTF8_H
#define OSS_UTF8_H

/*
 * Convert a string of the database's encoding to UTF-8.  Returns the same
 * pointer if nothing changes, else a palloc'd copy; NULL for NULL.  With
 * encoding SQL_ASCII the bytes are returned as they are, and the caller must
 * check them.  Needs a transaction.
 *
 * Errors: 22P05 a character has no equivalent in UTF-8, 22021 invalid bytes.
 */
extern char *oss_utf8(const char *string);

/* The same, but returns false instead of raising these errors. */
extern bool oss_utf8_try(const char *string, const char **utf8);

/*
 * Convert UTF-8 to a string of the database's encoding, palloc'd.  Returns NULL if
 * that cannot have it, as U+0000.  Needs a transaction.
 */
extern char *oss_from_utf8(const char *utf8, size_t len);

/*
 * Return a name in normalization form C, in which the same letters are the same
 * bytes: the same pointer if it is, else a palloc'd copy; NULL for NULL.  Where
 * the database's encoding is not UTF8, names are left as they are.
 */
extern text * oss_nfc(text * name);

#endif							/* OSS_UTF8_H */
