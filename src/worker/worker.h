/*-------------------------------------------------------------------------
 * worker.h
 *	  The launcher and the workers, and DDL that they must not stand in the
 *	  way of.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_WORKER_H
#define OSS_WORKER_H

#include "postgres.h"

/*
 * A database without work is looked at that often, to find what was committed
 * without our code, as by INSERT into job.
 */
#define OSS_LOOK_MS 60000

/* Register the launcher; from _PG_init. */
extern void oss_launcher_init(void);

/* Watch over DDL on databases and the extension; from _PG_init. */
extern void oss_ddl_init(void);

/*
 * Make the settings that must not be those of a database or a role; once
 * connected, and after each reload.
 */
extern void oss_worker_settings(void);

/* What the database's and the role's settings say of oss_labels.worker. */
typedef enum OssWorkerSwitch
{
	OSS_WORKER_UNSET,			/* nothing: the configuration file counts */
	OSS_WORKER_ON,
	OSS_WORKER_OFF
} OssWorkerSwitch;

/* Read that from pg_db_role_setting, as it is now; in a transaction. */
extern OssWorkerSwitch oss_worker_switch(void);

/* Entry points of the processes. */
extern PGDLLEXPORT void oss_labels_launcher_main(Datum arg);
extern PGDLLEXPORT void oss_labels_worker_main(Datum dbid);

/* Settings. */
extern bool oss_worker_enabled;
extern int	oss_worker_idle_timeout;
extern int	oss_max_workers;

#endif							/* OSS_WORKER_H */
