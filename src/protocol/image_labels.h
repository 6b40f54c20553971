/*-------------------------------------------------------------------------
 * image_labels.h
 *	  The process instruction of a request: image/labels, and what a
 *	  presigned URL may carry.
 *
 * Rules: README.md 7.1.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_IMAGE_LABELS_H
#define OSS_IMAGE_LABELS_H

#include <stdbool.h>
#include <stddef.h>

#define OSS_LABELS_THR_DEFAULT	0.7
#define OSS_LABELS_PROCESS_MAX	64

/* Is this a legal threshold, a number from 0 to 1? */
extern bool oss_thr_valid(double thr);

/*
 * Write the value of x-oss-process: "image/labels", or with a threshold
 * "image/labels,thr_0.85".  thr, which must be legal, is written without
 * exponent and with the fewest decimals, at most 17, that read back as the
 * same double.
 */
extern void oss_labels_process(char out[OSS_LABELS_PROCESS_MAX],
							   bool has_thr, double thr);

/*
 * Return NULL if a presigned URL may carry this process instruction, else
 * what is wrong with it (a static lower-case clause).  Only styles and chains
 * of basic image/ operations (resize, crop, ...) are allowed.  AI actions
 * (image/labels, imm/..., image/detect, unknown ones) are refused, since each
 * use of the URL would cost money, and pipes and sys/ actions, since they
 * write.
 */
extern const char *oss_process_presign_problem(const char *process);

#endif							/* OSS_IMAGE_LABELS_H */
