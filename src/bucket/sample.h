/*-------------------------------------------------------------------------
 * sample.h
 *	  ANALYZE of a foreign table.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_SAMPLE_H
#define OSS_SAMPLE_H

#include "foreign/fdwapi.h"

/* AnalyzeForeignTable: tables without a bucket are skipped. */
extern bool oss_bucket_analyze(Relation relation, AcquireSampleRowsFunc *sample, BlockNumber *pages);

#endif							/* OSS_SAMPLE_H */
