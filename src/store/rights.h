/*-------------------------------------------------------------------------
 * rights.h
 *	  What the caller may read and write of what is stored.
 *
 * Without row security on image, as long as no role is limited to
 * buckets, the right to execute a function is all that is needed.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_RIGHTS_H
#define OSS_RIGHTS_H

#include "client/image.h"

/* Is nothing of image hidden from the caller? */
extern bool oss_rights_reads_all(void);

/*
 * May the caller write an image?  Returns false where he may write what he sees, and
 * does not see it.  Errors: 42501.
 */
extern bool oss_rights_check_write(const OssImage *image);

/* May the caller write all images?  Never throws for want of a right. */
extern bool oss_rights_writes_all(void);

/*
 * Has the caller written what he sees?  Errors: 42501, which undoes it.
 */
extern void oss_rights_check_written(const OssImage *image);

/* May an answer that the service gave the caller be stored? */
extern bool oss_rights_may_keep(const OssImage *image);

#endif							/* OSS_RIGHTS_H */
