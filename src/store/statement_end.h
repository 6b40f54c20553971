/*-------------------------------------------------------------------------
 * statement_end.h
 *	  At the end of a statement: wait until the answers of tag() are stored.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_STATEMENT_END_H
#define OSS_STATEMENT_END_H

/* Install the hook.  Called once, by _PG_init, where the library is preloaded. */
extern void oss_statement_end_init(void);

#endif							/* OSS_STATEMENT_END_H */
