/*-------------------------------------------------------------------------
 * forgotten.h
 *	  Keeping out of the store what was asked for before it was forgotten.
 *
 * Top floor.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_FORGOTTEN_H
#define OSS_FORGOTTEN_H


#include "store/store.h"
#include "utils/relcache.h"

/* Whether an image was forgotten after a request for it began. */
typedef enum OssForgotten
{
	OSS_NOT_FORGOTTEN,
	OSS_FORGOTTEN,
	OSS_BEING_FORGOTTEN			/* by another transaction that is open */
} OssForgotten;

/*
 * Open the notes that forget() leaves; NULL if there are none.  A look needs an
 * image and the time at which it was asked for.
 */
extern Relation oss_forgotten_open(void);
extern OssForgotten oss_forgotten_look(Relation notes, const OssImage *image,
									   TimestampTz asked_at);
extern void oss_forgotten_close(Relation notes);

/*
 * Raise 55P03 if one of the answers that were just written is forgotten or being
 * forgotten: a look before had not seen that.  To be tried again.
 */
extern void oss_forgotten_check(const OssStoreRow *rows, int n);

/* Delete up to n notes that are too old to matter; returns their number. */
extern uint64 oss_forgotten_expire(int n);

#endif							/* OSS_FORGOTTEN_H */
