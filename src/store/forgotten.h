/*-------------------------------------------------------------------------
 * forgotten.h
 *	  Answers that were requested before forget(), and must not be stored.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_FORGOTTEN_H
#define OSS_FORGOTTEN_H


#include "store/store.h"
#include "utils/relcache.h"

/* Was an image forgotten after the request for it? */
typedef enum OssForgotten
{
	OSS_NOT_FORGOTTEN,
	OSS_FORGOTTEN,
	OSS_BEING_FORGOTTEN			/* by a transaction that is still open */
} OssForgotten;

/*
 * Open the table of notes that forget() writes; NULL if it is empty.  Look for a note
 * of this image that is younger than its request.
 */
extern Relation oss_forgotten_open(void);
extern OssForgotten oss_forgotten_look(Relation notes, const OssImage *image,
									   TimestampTz asked_at);
extern void oss_forgotten_close(Relation notes);

/*
 * Raise 55P03 if one of the answers just written is forgotten or being forgotten,
 * which a look before did not show.  The caller tries again.
 */
extern void oss_forgotten_check(const OssStoreRow *rows, int n);

/* Delete up to n notes that are too old to have an effect; returns their number. */
extern uint64 oss_forgotten_expire(int n);

#endif							/* OSS_FORGOTTEN_H */
