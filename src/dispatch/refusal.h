/*-------------------------------------------------------------------------
 * refusal.h
 *	  Dispatching, in a transaction: a store that takes no answer.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_REFUSAL_H
#define OSS_REFUSAL_H

#include "dispatch/dispatcher.h"

/* Findings of one turn about what the store refuses. */
typedef struct OssRefusals
{
	bool		all;			/* everything */
	List	   *refused;		/* buckets, as strings: all images of these */
	List	   *taken;			/* buckets of which some images are stored */
} OssRefusals;

/*
 * Was a job's answer refused because the store refuses every answer?  Tries to store
 * another one for the same bucket and, if that is refused too, for another bucket.
 * Pauses the bucket or the whole database.  Sets *stop to the error if the process
 * was interrupted.
 */
extern bool oss_dispatch_store_refuses(OssDispatcher *dispatcher, OssRefusals *refusals,
									   const OssJob *job, ErrorData **stop);

/*
 * Keep a refused answer until something can be stored: in its job's row, or where
 * a session has spooled it.
 */
extern void oss_dispatch_keep_refused(OssDispatcher *dispatcher, OssJob *job);

/* End pauses that are due when something can be stored again. */
extern void oss_dispatch_try_store(OssDispatcher *dispatcher);

#endif							/* OSS_REFUSAL_H */
