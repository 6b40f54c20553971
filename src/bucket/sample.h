/*-------------------------------------------------------------------------
 * sample.h
 *	  ANALYZE of a foreign table.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_SAMPLE_H
#define OSS_SAMPLE_H

#include "foreign/fdwapi.h"

/* AnalyzeForeignTable: one that has no bucket is skipped. */
extern bool oss_bucket_analyze(Relation relation, AcquireSampleRowsFunc *sample, BlockNumber *pages);

#endif							/* OSS_SAMPLE_H */
