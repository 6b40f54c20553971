/*-------------------------------------------------------------------------
 * forget_deleted.h
 *	  Dispatching: forgetting images whose rows were deleted.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_FORGET_DELETED_H
#define OSS_FORGET_DELETED_H

/*
 * Forget the images of rows that were deleted from tables watched with
 * forget_deleted, unless another row has them; at most so many.  Within
 * oss_statement_begin().  Returns whether there may be more.
 */
extern bool oss_forget_deleted(int most);

#endif							/* OSS_FORGET_DELETED_H */
