/*-------------------------------------------------------------------------
 * worker.h
 *	  The launcher and the workers, and DDL that they must not stand in the
 *	  way of.
 *
 * Top floor.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_WORKER_H
#define OSS_WORKER_H

#include "postgres.h"

/* Define the settings and register the launcher; from _PG_init. */
extern void oss_launcher_init(void);

/* Watch over DDL on databases and the extension; from _PG_init. */
extern void oss_ddl_init(void);

/* Entry points of the processes. */
extern PGDLLEXPORT void oss_launcher_main(Datum arg);
extern PGDLLEXPORT void oss_worker_main(Datum dbid);

/* Settings. */
extern bool oss_worker_enabled;
extern int	oss_worker_idle_timeout;

#endif							/* OSS_WORKER_H */
