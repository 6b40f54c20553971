/*-------------------------------------------------------------------------
 * program.h
 *	  A program that runs beside the process, which reads what it writes.
 *
 * It runs as the operating system's user of the database server, in a process
 * group of its own, without a shell; its standard input and error are
 * /dev/null.  It and its children are killed when the program is freed, when a
 * transaction or subtransaction fails, and at the end of the process.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_PROGRAM_H
#define OSS_PROGRAM_H

#include "utils/timestamp.h"

typedef struct OssProgram OssProgram;

typedef enum OssProgramState
{
	PROGRAM_RUNNING,
	PROGRAM_ENDED,				/* with status 0; all output is there */
	PROGRAM_FAILED,				/* with another status or by a signal */
	PROGRAM_TOO_LONG,			/* more than max_output */
	PROGRAM_TOO_SLOW,			/* killed after timeout_ms */
	PROGRAM_KILLED				/* as a transaction failed */
} OssProgramState;

/*
 * Start a program, owned by context: argv ends with NULL, argv[0] is looked up
 * in PATH.  Returns NULL, with errno, if it cannot be started.
 */
extern OssProgram *oss_program_start(MemoryContext context, char *const *argv,
									 int timeout_ms, size_t max_output);

/* Look at a program, without waiting. */
extern OssProgramState oss_program_look(OssProgram *program);

/* Return what it wrote, NUL-terminated; overwritten when it is freed. */
extern char *oss_program_output(OssProgram *program, size_t *len);

/* Return its status as waitpid() gives it, when it has failed. */
extern int	oss_program_status(const OssProgram *program);

#endif							/* OSS_PROGRAM_H */
