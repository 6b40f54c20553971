/*
 * labels.h
 *	  The answer to image/labels: from the file beside the image, or derived
 *	  from a hash of its bytes.  Nothing looks at the pixels.
 */
#ifndef STANDIN_LABELS_H
#define STANDIN_LABELS_H

#include "image.h"
#include "object.h"

#define THR_DEFAULT 0.7

/*
 * Append the whole JSON answer for an object, keeping labels with confidence
 * at least thr.  exact > 0 asks for exactly so many derived labels.  Returns
 * the verdict about the image; nothing is appended unless it is IMAGE_OK.
 */
extern image_verdict labels_answer(const object *o, text key, double thr,
								   int exact, buffer *out);

/* Forget all cached answers. */
extern void labels_reset(void);

#endif							/* STANDIN_LABELS_H */
