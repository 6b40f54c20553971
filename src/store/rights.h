/*-------------------------------------------------------------------------
 * rights.h
 *	  Which stored images the caller may read and write.
 *
 * As long as no role is limited to buckets, image has no row security, and the
 * right to execute a function suffices.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_RIGHTS_H
#define OSS_RIGHTS_H

#include "client/image.h"

/* May the caller read all images? */
extern bool oss_rights_reads_all(void);

/*
 * Check that the caller may write an image.  Returns false if a policy lets the
 * caller write visible rows, and the image is not visible.  Errors: 42501.
 */
extern bool oss_rights_check_write(const OssImage *image);

/*
 * Check that the caller may store an image that is not stored yet, or replace what is.
 * Errors: 42501.
 */
extern void oss_rights_check_import(const OssImage *image);

/* May the caller write all images?  Does not throw if the right is missing. */
extern bool oss_rights_writes_all(void);

/* Raise 42501 if the image that was just written is not visible to the caller. */
extern void oss_rights_check_written(const OssImage *image);

/* May the answer to the caller's request be stored? */
extern bool oss_rights_may_keep(const OssImage *image);

#endif							/* OSS_RIGHTS_H */
