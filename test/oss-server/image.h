/*
 * image.h
 *	  The service's limits, checked on the header of the real file.
 */
#ifndef STANDIN_IMAGE_H
#define STANDIN_IMAGE_H

#include <sys/types.h>

typedef enum image_verdict
{
	IMAGE_OK,
	IMAGE_TOO_LARGE,			/* bytes, side or pixels above the limit */
	IMAGE_DAMAGED,				/* a JPEG or PNG whose header is broken */
	IMAGE_UNSUPPORTED			/* neither JPEG nor PNG by content */
} image_verdict;

#define IMAGE_MAX_BYTES (20 * 1024 * 1024)
#define IMAGE_MAX_SIDE 30000
#define IMAGE_MAX_PIXELS 250000000LL

/* Judge a file of that size by its header; pixels are never decoded. */
extern image_verdict image_check(const char *path, off_t size);

#endif							/* STANDIN_IMAGE_H */
