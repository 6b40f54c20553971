/*-------------------------------------------------------------------------
 * image_id.h
 *	  The numbers that images and labels have: hashes of their names.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_IMAGE_ID_H
#define OSS_IMAGE_ID_H


#include "client/image.h"
#include "client/labels_response.h"

extern int64 oss_image_id(const OssImage *image);
extern int64 oss_label_id(const OssLabel *label);

#endif							/* OSS_IMAGE_ID_H */
