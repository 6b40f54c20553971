/*-------------------------------------------------------------------------
 * image_labels.h
 *	  The image/labels action: how it is asked for, and which process
 *	  instructions would spend money.
 *
 * Ground floor: no PostgreSQL, no curl.  Rules: README.md 7.1.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_IMAGE_LABELS_H
#define OSS_IMAGE_LABELS_H

#include <stdbool.h>
#include <stddef.h>

#define OSS_LABELS_THR_DEFAULT	0.7
#define OSS_LABELS_PROCESS_MAX	64

/* Is this a threshold that the action takes: a number from 0 to 1? */
extern bool oss_thr_valid(double thr);

/*
 * Write the value of x-oss-process: "image/labels", or with a threshold
 * "image/labels,thr_0.85": the shortest plain decimal (never an exponent)
 * that reads back as the same double where 17 decimals can do that, else 17
 * decimals.  thr is valid.
 */
extern void oss_labels_process(char out[OSS_LABELS_PROCESS_MAX],
							   bool has_thr, double thr);

/*
 * May a presigned URL carry this process instruction?  Returns NULL for
 * image/ basic operations (resize, crop, ...), styles and nothing else; or
 * what is wrong with it.  AI actions (image/labels, imm/..., image/detect and
 * whatever else is not a known basic operation) are refused, since a URL's
 * holder could spend money with them at will, and so are pipes and sys/
 * actions, which write.
 */
extern const char *oss_process_presign_problem(const char *process);

#endif							/* OSS_IMAGE_LABELS_H */
