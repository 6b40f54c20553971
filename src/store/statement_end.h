/*-------------------------------------------------------------------------
 * statement_end.h
 *	  What tag() leaves to the end of its statement.
 *
 * Top floor.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_STATEMENT_END_H
#define OSS_STATEMENT_END_H

/* Chain the hook.  Called once, by _PG_init, where the library is preloaded. */
extern void oss_statement_end_init(void);

#endif							/* OSS_STATEMENT_END_H */
