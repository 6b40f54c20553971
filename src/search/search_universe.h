/*-------------------------------------------------------------------------
 * search_universe.h
 *	  Reading the ids of images whatever their labels are.
 *
 * SPI must be connected.  These functions read with the rights of the current role
 * and the active snapshot.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_SEARCH_UNIVERSE_H
#define OSS_SEARCH_UNIVERSE_H

#include "search/search_runs.h"

/* Return the stored images in a scope, up to "most", without scores. */
extern ImageSet oss_read_universe(const char *scope, int64 most);

/* Add the stored images in a scope to runs, as those of a term, without scores. */
extern void oss_read_universe_runs(const char *scope, ImageRuns *runs, int term);

/* Return the images that are stored by the id of a version, without scores. */
extern ImageSet oss_read_versions(void);

#endif							/* OSS_SEARCH_UNIVERSE_H */
