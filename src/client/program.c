/*-------------------------------------------------------------------------
 * program.c
 *	  A program that runs beside the process, which reads what it writes.
 *
 * Nothing here waits: who runs the event loop looks from time to time.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "access/xact.h"
#include "client/http.h"
#include "client/program.h"
#include "lib/ilist.h"
#include "libpq/pqsignal.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/ipc.h"

struct OssProgram
{
	dlist_node	node;
	pid_t		pid;			/* also its process group; 0: reaped */
	int			fd;				/* its output; -1: closed */
	int64		killed_at;		/* oss_clock_us() of its time limit */
	size_t		max_output;
	size_t		len;
	char	   *output;
	int			status;
	OssProgramState state;
};

static dlist_head running = DLIST_STATIC_INIT(running);

/* Kill a program and its children, if it runs, and reap it. */
static void
kill_program(OssProgram *program)
{
	if (program->pid > 0)
	{
		(void) kill(-program->pid, SIGKILL);
		(void) kill(program->pid, SIGKILL);
		while (waitpid(program->pid, &program->status, 0) < 0 && errno == EINTR)
			;
		program->pid = 0;
		dlist_delete(&program->node);
	}
	if (program->fd >= 0)
	{
		close(program->fd);
		ReleaseExternalFD();
		program->fd = -1;
	}
}

static void
kill_running(void)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &running)
	{
		OssProgram *program = dlist_container(OssProgram, node, iter.cur);

		kill_program(program);
		program->state = PROGRAM_KILLED;
	}
}

/*
 * A session may be idle after a statement that was cancelled.  After a commit a
 * program goes on: the next query takes its output.
 */
static void
at_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT)
		kill_running();
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId subid,
					  SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		kill_running();
}

static void
kill_at_exit(int code, Datum arg)
{
	kill_running();
}

/* Register the callbacks, once per process. */
static void
watch_ends_of_programs(void)
{
	static bool registered = false;

	if (registered)
		return;
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterSubXactCallback(at_subtransaction_end, NULL);
	before_shmem_exit(kill_at_exit, (Datum) 0);
	registered = true;
}

/* Close all descriptors from 3 on: a server does not have more than these. */
static void
close_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > 65536)
		limit.rlim_cur = 65536;
	for (int fd = 3; fd < (int) limit.rlim_cur; fd++)
		(void) close(fd);
}

/* In the child: become the program.  Only functions that signals allow. */
static void
become_program(char *const *argv, int null, int output, int timeout_ms)
{
	static const int caught[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGALRM, SIGPIPE,
	SIGUSR1, SIGUSR2, SIGCHLD};
	sigset_t	none;

	(void) setsid();
	for (int i = 0; i < lengthof(caught); i++)
		(void) signal(caught[i], SIG_DFL);
	sigemptyset(&none);
	(void) sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(null, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 ||
		dup2(null, STDERR_FILENO) < 0)
		_exit(126);
	close_descriptors();

	/* nobody may look at the program of a session that is idle */
	(void) alarm(timeout_ms / 1000 + 2);
	(void) execvp(argv[0], argv);
	_exit(127);
}

/*
 * Fork and start the program with its output going to "output".  Signals are
 * blocked meanwhile: the server's handlers must not run in the child.
 */
static pid_t
fork_program(char *const *argv, int output, int timeout_ms)
{
	sigset_t	all;
	sigset_t	before;
	int			null = open("/dev/null", O_RDWR | O_CLOEXEC);
	pid_t		pid;
	int			error;

	if (null < 0)
		return -1;
	sigfillset(&all);
	(void) sigprocmask(SIG_SETMASK, &all, &before);
	pid = fork();
	if (pid == 0)
		become_program(argv, null, output, timeout_ms);
	error = errno;
	(void) sigprocmask(SIG_SETMASK, &before, NULL);
	close(null);
	errno = error;
	return pid;
}

/* Reset callback. */
static void
free_program(void *arg)
{
	OssProgram *program = arg;

	kill_program(program);
	explicit_bzero(program->output, program->max_output);
}

OssProgram *
oss_program_start(MemoryContext context, char *const *argv, int timeout_ms,
				  size_t max_output)
{
	OssProgram *program = MemoryContextAllocZero(context, sizeof(*program));
	MemoryContextCallback *callback = MemoryContextAllocZero(context, sizeof(*callback));
	int			fds[2];

	program->output = MemoryContextAllocZero(context, max_output + 2);
	program->max_output = max_output;
	program->fd = -1;
	callback->func = free_program;
	callback->arg = program;
	MemoryContextRegisterResetCallback(context, callback);
	watch_ends_of_programs();
	if (!AcquireExternalFD())
		return NULL;
	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0)
	{
		ReleaseExternalFD();
		return NULL;
	}
	program->fd = fds[0];
	/* the program's end must block as usual */
	(void) fcntl(fds[1], F_SETFL, 0);
	program->pid = fork_program(argv, fds[1], timeout_ms);
	close(fds[1]);
	if (program->pid < 0)
	{
		program->pid = 0;
		return NULL;
	}
	dlist_push_tail(&running, &program->node);
	program->killed_at = oss_clock_us() + timeout_ms * INT64CONST(1000);
	return program;
}

/* Read what there is, up to a byte more than max_output. */
static void
read_output(OssProgram *program)
{
	while (program->len <= program->max_output)
	{
		ssize_t		n = read(program->fd, program->output + program->len,
							 program->max_output + 1 - program->len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		program->len += n;
	}
}

/*
 * It has ended when it is gone: all that it wrote can be read then.  Children
 * that it left behind are killed.
 */
OssProgramState
oss_program_look(OssProgram *program)
{
	pid_t		gone;

	if (program->state != PROGRAM_RUNNING)
		return program->state;
	gone = waitpid(program->pid, &program->status, WNOHANG);
	read_output(program);
	if (program->len > program->max_output)
		program->state = PROGRAM_TOO_LONG;
	else if (gone == program->pid)
		program->state = program->status == 0 ? PROGRAM_ENDED : PROGRAM_FAILED;
	else if (oss_clock_us() >= program->killed_at)
		program->state = PROGRAM_TOO_SLOW;
	else
		return PROGRAM_RUNNING;
	if (gone == program->pid)
	{
		(void) kill(-program->pid, SIGKILL);
		program->pid = 0;
		dlist_delete(&program->node);
	}
	kill_program(program);
	return program->state;
}

char *
oss_program_output(OssProgram *program, size_t *len)
{
	*len = program->len;
	program->output[program->len] = '\0';
	return program->output;
}

int
oss_program_status(const OssProgram *program)
{
	return program->status;
}
