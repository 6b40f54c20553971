/*-------------------------------------------------------------------------
 * alone.h
 *	  Calls whose requests are made one at a time, and saying so.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_ALONE_H
#define OSS_ALONE_H

#include "call/detect.h"

/* For _PG_init(): count such calls, and tell EXPLAIN of them. */
extern void oss_alone_init(void);

#endif							/* OSS_ALONE_H */
