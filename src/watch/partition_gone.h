/*-------------------------------------------------------------------------
 * partition_gone.h
 *	  Cancelling jobs of partitions that are truncated or dropped.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_PARTITION_GONE_H
#define OSS_PARTITION_GONE_H

#include "nodes/nodes.h"

/*
 * Before TRUNCATE or DROP TABLE runs: cancel the jobs that its partitions' rows
 * have from watched ancestors.  Raises no error except a cancel, waits for no
 * lock and holds none afterwards.
 */
extern void oss_watch_partitions_gone(Node *statement);

#endif							/* OSS_PARTITION_GONE_H */
