/*-------------------------------------------------------------------------
 * worker.h
 *	  The launcher and the workers, and DDL that they must not block.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_WORKER_H
#define OSS_WORKER_H

/*
 * How often a worker is started in a database without work, to find jobs that
 * were committed without a wake-up, as by INSERT into job.
 */
#define OSS_LOOK_MS 60000

/* For _PG_init(): register the launcher. */
extern void oss_launcher_init(void);

/* For _PG_init(): install the hooks for DDL. */
extern void oss_ddl_init(void);

/*
 * Override settings of the database and the role.  Call it after connecting and
 * after each reload.
 */
extern void oss_worker_settings(void);

/* oss_labels.worker as set by ALTER DATABASE and ALTER ROLE. */
typedef enum OssWorkerSwitch
{
	OSS_WORKER_UNSET,			/* not set: the configuration file applies */
	OSS_WORKER_ON,
	OSS_WORKER_OFF
} OssWorkerSwitch;

/* Read it from pg_db_role_setting.  Needs a transaction. */
extern OssWorkerSwitch oss_worker_switch(void);

/* Entry points of the processes. */
extern PGDLLEXPORT void oss_labels_launcher_main(Datum arg);
extern PGDLLEXPORT void oss_labels_worker_main(Datum dbid);

/* Settings. */
extern bool oss_worker_enabled;
extern int	oss_worker_idle_timeout;
extern int	oss_max_workers;

#endif							/* OSS_WORKER_H */
