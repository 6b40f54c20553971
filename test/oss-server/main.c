/*
 * main.c
 *	  The stand-in OSS: options, listeners, ports file, signals.
 */
#include <errno.h>
#include <ftw.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "control.h"
#include "credential.h"
#include "http.h"
#include "object.h"
#include "signature.h"
#include "timer.h"

#define MAX_EXTRA 8

/* A further https listener with a certificate of its own. */
typedef struct extra_https
{
	char		name[64];
	char	   *cert;
	char	   *key;
	listener	l;
} extra_https;

/* All that the command line says. */
typedef struct options
{
	const char *data;
	const char *ports_file;
	const char *cert;
	const char *key;
	int			http_port;		/* -1 = do not listen */
	int			https_port;
	int			control_port;
	int			threads;
	int			max_connections;
	int			idle_timeout;
	bool		with_parent;
	const char *orphan_dir;		/* removed when the parent died */
	extra_https extra[MAX_EXTRA];
	int			n_extra;
} options;

enum
{
	OPT_DATA = 256, OPT_HTTP, OPT_HTTPS, OPT_CONTROL, OPT_CERT, OPT_KEY,
	OPT_PORTS, OPT_REGION, OPT_PRODUCT, OPT_THREADS, OPT_MAX, OPT_IDLE,
	OPT_PARENT, OPT_ORPHAN, OPT_EXTRA, OPT_HELP
};

static const struct option long_options[] = {
	{"data", required_argument, NULL, OPT_DATA},
	{"http-port", required_argument, NULL, OPT_HTTP},
	{"https-port", required_argument, NULL, OPT_HTTPS},
	{"control-port", required_argument, NULL, OPT_CONTROL},
	{"cert", required_argument, NULL, OPT_CERT},
	{"key", required_argument, NULL, OPT_KEY},
	{"ports-file", required_argument, NULL, OPT_PORTS},
	{"region", required_argument, NULL, OPT_REGION},
	{"product", required_argument, NULL, OPT_PRODUCT},
	{"threads", required_argument, NULL, OPT_THREADS},
	{"max-connections", required_argument, NULL, OPT_MAX},
	{"idle-timeout", required_argument, NULL, OPT_IDLE},
	{"with-parent", no_argument, NULL, OPT_PARENT},
	{"remove-if-orphaned", required_argument, NULL, OPT_ORPHAN},
	{"https", required_argument, NULL, OPT_EXTRA},
	{"help", no_argument, NULL, OPT_HELP},
	{NULL, 0, NULL, 0}
};

/* Print how to use the program. */
static void
usage(FILE *out)
{
	fputs("usage: oss-server --data DIR [options]\n"
		  "  --http-port N|0       plain listener (0 = any free port)\n"
		  "  --https-port N|0      TLS listener; needs --cert and --key\n"
		  "  --control-port N|0    control listener\n"
		  "  --cert FILE --key FILE\n"
		  "  --https NAME:CERT:KEY further TLS listener on a free port\n"
		  "  --ports-file FILE     where to write the ports, shell syntax\n"
		  "  --region ID           default cn-hangzhou\n"
		  "  --product NAME        default oss\n"
		  "  --threads N           threads per listener, default 2\n"
		  "  --max-connections N   per listener, default 20000\n"
		  "  --idle-timeout S      close idle connections, default never\n"
		  "  --with-parent         end when the parent process ends\n"
		  "  --remove-if-orphaned DIR\n"
		  "                        then also remove DIR; --data must be DIR/data\n",
		  out);
}

/* Read NAME:CERT:KEY. */
static bool
parse_extra(options *o, char *spec)
{
	extra_https *e = &o->extra[o->n_extra];
	char	   *cert = strchr(spec, ':');
	char	   *key = cert ? strchr(cert + 1, ':') : NULL;

	if (key == NULL || o->n_extra == MAX_EXTRA)
		return false;
	*cert++ = '\0';
	*key++ = '\0';
	snprintf(e->name, sizeof(e->name), "%s", spec);
	e->cert = cert;
	e->key = key;
	o->n_extra++;
	return true;
}

/* Take in one option; false if it is not understood. */
static bool
parse_option(options *o, int opt, char *arg)
{
	switch (opt)
	{
		case OPT_DATA:
			o->data = arg;
			return true;
		case OPT_HTTP:
			o->http_port = atoi(arg);
			return true;
		case OPT_HTTPS:
			o->https_port = atoi(arg);
			return true;
		case OPT_CONTROL:
			o->control_port = atoi(arg);
			return true;
		case OPT_CERT:
			o->cert = arg;
			return true;
		case OPT_KEY:
			o->key = arg;
			return true;
		case OPT_PORTS:
			o->ports_file = arg;
			return true;
		case OPT_REGION:
			snprintf(server_scope.region, sizeof(server_scope.region), "%s",
					 arg);
			return true;
		case OPT_PRODUCT:
			snprintf(server_scope.product, sizeof(server_scope.product), "%s",
					 arg);
			return true;
		case OPT_THREADS:
			o->threads = atoi(arg);
			return o->threads > 0;
		case OPT_MAX:
			o->max_connections = atoi(arg);
			return o->max_connections > 0;
		case OPT_IDLE:
			o->idle_timeout = atoi(arg);
			return true;
		case OPT_PARENT:
			o->with_parent = true;
			return true;
		case OPT_ORPHAN:
			o->orphan_dir = arg;
			return true;
		case OPT_EXTRA:
			return parse_extra(o, arg);
		default:
			return false;
	}
}

/* Read the command line. */
static void
parse_options(options *o, int argc, char **argv)
{
	int			opt;

	o->http_port = o->https_port = o->control_port = -1;
	o->threads = 2;
	o->max_connections = 20000;
	while ((opt = getopt_long(argc, argv, "", long_options, NULL)) != -1)
	{
		if (opt == OPT_HELP)
		{
			usage(stdout);
			exit(0);
		}
		if (!parse_option(o, opt, optarg))
		{
			usage(stderr);
			exit(2);
		}
	}
	if (o->data == NULL || optind < argc)
	{
		usage(stderr);
		exit(2);
	}
}

/* Allow as many open files as the system lets us. */
static void
raise_file_limit(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) == 0)
	{
		lim.rlim_cur = lim.rlim_max;
		setrlimit(RLIMIT_NOFILE, &lim);
	}
}

/* Write the ports file so that it appears complete or not at all. */
static bool
write_ports(const options *o, const listener *http, const listener *https,
			const listener *control)
{
	char		temp[4096];
	FILE	   *f;

	if (o->ports_file == NULL)
		return true;
	snprintf(temp, sizeof(temp), "%s.new", o->ports_file);
	f = fopen(temp, "we");
	if (f == NULL)
		return false;
	fprintf(f, "OSS_SERVER_PID=%d\n", (int) getpid());
	if (o->http_port >= 0)
		fprintf(f, "OSS_HTTP_PORT=%d\n", http->port);
	if (o->https_port >= 0)
		fprintf(f, "OSS_HTTPS_PORT=%d\n", https->port);
	if (o->control_port >= 0)
		fprintf(f, "OSS_CONTROL_PORT=%d\n", control->port);
	for (int i = 0; i < o->n_extra; i++)
		fprintf(f, "OSS_HTTPS_%s_PORT=%d\n", o->extra[i].name,
				o->extra[i].l.port);
	return fclose(f) == 0 && rename(temp, o->ports_file) == 0;
}

/* Start all listeners and say where they are. */
static bool
start(options *o)
{
	/* MHD refers to these as long as it runs */
	static listener http = {.kind = LISTEN_OSS_HTTP};
	static listener https = {.kind = LISTEN_OSS_HTTPS};
	static listener control = {.kind = LISTEN_CONTROL};

	http.threads = https.threads = o->threads;
	http.max_connections = https.max_connections = o->max_connections;
	http.idle_timeout = https.idle_timeout = o->idle_timeout;
	http.port = o->http_port;
	https.port = o->https_port;
	https.cert = o->cert;
	https.key = o->key;
	control.port = o->control_port;
	if ((http.port >= 0 && !http_listen(&http)) ||
		(https.port >= 0 && !http_listen(&https)) ||
		(control.port >= 0 && !http_listen(&control)))
		return false;
	for (int i = 0; i < o->n_extra; i++)
	{
		extra_https *e = &o->extra[i];

		e->l = https;
		e->l.port = 0;
		e->l.threads = 1;
		e->l.cert = e->cert;
		e->l.key = e->key;
		if (!http_listen(&e->l))
			return false;
	}
	return write_ports(o, &http, &https, &control);
}

/* Remove one file or empty directory. */
static int
remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	remove(path);
	return 0;
}

/*
 * Remove the temporary directory of a parent that was killed and so cannot do
 * it.  Only the directory that holds our data is ever removed.
 */
static void
remove_orphaned(const options *o)
{
	char		data[PATH_MAX];
	char		dir[PATH_MAX];

	if (o->orphan_dir == NULL || realpath(o->orphan_dir, dir) == NULL ||
		snprintf(data, sizeof(data), "%s/data", dir) >= (int) sizeof(data) ||
		strcmp(data, object_root()) != 0)
		return;
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Block the signals that end us, so that only sigwait() sees them. */
static sigset_t
block_signals(void)
{
	sigset_t	set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	return set;
}

/* Run until a signal comes. */
int
main(int argc, char **argv)
{
	static options o;
	pid_t		parent = getppid();
	sigset_t	set = block_signals();
	int			sig;

	parse_options(&o, argc, argv);
	if (o.with_parent &&
		(prctl(PR_SET_PDEATHSIG, SIGTERM) != 0 || getppid() != parent))
		return 1;
	raise_file_limit();
	if (!object_set_root(o.data))
	{
		fprintf(stderr, "oss-server: %s: %s\n", o.data, strerror(errno));
		return 1;
	}
	credential_reset();
	if (object_load_manifest() < 0 || !control_load_buckets() ||
		!timer_start() || !start(&o))
		return 1;
	sigwait(&set, &sig);
	if (o.with_parent && getppid() != parent)
		remove_orphaned(&o);
	/* nothing is to be saved; exit() would pull libraries from under threads */
	_exit(0);
}
