/*-------------------------------------------------------------------------
 * search_runs.h
 *	  Sets of images that are read side by side, image by image.
 *
 * Sets that exceed work_mem together lie in a temporary file, of which a piece of
 * each is in memory.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_SEARCH_RUNS_H
#define OSS_SEARCH_RUNS_H

#include "search/search_set.h"

typedef struct ImageRuns ImageRuns;

/* Return no sets, in CurrentMemoryContext, with nterms terms that they may be of. */
extern ImageRuns *oss_runs_begin(int nterms);

/* Add images of a term; takes over the set's memory.  A term may have several sets. */
extern void oss_runs_add(ImageRuns *runs, int term, ImageSet set);

/*
 * Go to the next image, the first time to the first; ids ascend.  Nothing may be
 * added afterwards.  Returns false if there is none.
 */
extern bool oss_runs_next(ImageRuns *runs, int64 *image_id);

/* Is the present image one of a term's?  If so, sets *score to its best. */
extern bool oss_runs_has(const ImageRuns *runs, int term, double *score);

/* Free all. */
extern void oss_runs_end(ImageRuns *runs);

#endif							/* OSS_SEARCH_RUNS_H */
