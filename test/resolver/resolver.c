/*
 * resolver.c
 *	  A resolver, a wall clock and more that do what a test wants: preload them
 *	  into PostgreSQL.
 *
 * The file OSS_TEST_NAMES has lines "NAME ADDRESS...", where "silent" in place
 * of addresses answers nothing for ten seconds and "unknown" denies the name.
 * Other names are resolved as ever.  libcurl before 8.22 asks once for all
 * addresses, later versions for each family by itself.
 *
 * The file OSS_TEST_CLOCK, if there is one, says by how many seconds the wall
 * clock is off, and after a blank by how many the monotonic one.
 *
 * While the file OSS_TEST_EPOLL is there, it is removed by the next socket that is
 * to be watched by epoll, and that is refused as at fs.epoll.max_user_watches.
 *
 * The file OSS_TEST_ROUTES has lines "ADDRESS PORT LOCAL": what connects to that
 * address and port gets to the port LOCAL of this machine.
 *
 * With OSS_TEST_LIFE set, libcurl is told to use connections for 1/100 of the
 * time that it would be told.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

typedef int (*Resolve) (const char *node, const char *service,
						const struct addrinfo *hints, struct addrinfo **result);

/* Find the line of a name; returns what follows the name, or NULL. */
static char *
find_name(const char *node, char *line, size_t size)
{
	const char *path = getenv("OSS_TEST_NAMES");
	FILE	   *file = path && node ? fopen(path, "r") : NULL;
	size_t		len = node ? strlen(node) : 0;
	char	   *found = NULL;

	while (file && !found && fgets(line, (int) size, file))
		if (strncasecmp(line, node, len) == 0 && line[len] == ' ')
			found = line + len + 1;
	if (file)
		fclose(file);
	return found;
}

/* Was this address asked for? */
static int
is_wanted(const char *address, const struct addrinfo *hints)
{
	int			family = strchr(address, ':') ? AF_INET6 : AF_INET;

	return !hints || hints->ai_family == AF_UNSPEC || hints->ai_family == family;
}

int
getaddrinfo(const char *node, const char *service,
			const struct addrinfo *hints, struct addrinfo **result)
{
	Resolve		resolve = (Resolve) dlsym(RTLD_NEXT, "getaddrinfo");
	char		line[4096];
	char	   *answer = find_name(node, line, sizeof(line));
	char	   *rest = NULL;
	struct addrinfo **tail = result;

	if (answer == NULL)
		return resolve(node, service, hints, result);
	*result = NULL;
	for (char *a = strtok_r(answer, " \n", &rest); a; a = strtok_r(NULL, " \n", &rest))
	{
		int			error;

		if (strcmp(a, "silent") == 0)
		{
			sleep(10);
			return EAI_AGAIN;
		}
		if (strcmp(a, "unknown") == 0)
			return EAI_NONAME;
		if (!is_wanted(a, hints))
			continue;
		error = resolve(a, service, hints, tail);
		if (error != 0)
			return error;
		while (*tail)
			tail = &(*tail)->ai_next;
	}
	return *result ? 0 : EAI_NONAME;
}

/*
 * Read by how many seconds a clock is off.  PostgreSQL asks in signal handlers
 * too, hence the plain calls.
 */
static long
clock_shift(int monotonic)
{
	static int	shifted = -1;
	const char *path = shifted ? getenv("OSS_TEST_CLOCK") : NULL;
	int			fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	char		text[32] = "";
	char	   *end = text;
	long		wall;

	shifted = path != NULL;
	if (fd < 0)
		return 0;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	close(fd);
	wall = strtol(text, &end, 10);
	return monotonic ? strtol(end, NULL, 10) : wall;
}

/* Read a clock without a system call, as is not to be measured in the bench. */
static int
real_clock(clockid_t id, struct timespec *now)
{
	static int	(*real) (clockid_t, struct timespec *);

	if (real == NULL)
		real = (int (*) (clockid_t, struct timespec *)) dlsym(RTLD_NEXT, "clock_gettime");
	return real(id, now);
}

int
gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	struct timespec real;

	real_clock(CLOCK_REALTIME, &real);
	now->tv_sec = real.tv_sec + clock_shift(0);
	now->tv_usec = real.tv_nsec / 1000;
	return 0;
}

int
clock_gettime(clockid_t id, struct timespec *now)
{
	int			result = real_clock(id, now);

	if (result == 0 && id == CLOCK_MONOTONIC)
		now->tv_sec += clock_shift(1);
	return result;
}

int
epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	static int	(*real) (int, int, int, struct epoll_event *);
	const char *path = getenv("OSS_TEST_EPOLL");

	if (real == NULL)
		real = (int (*) (int, int, int, struct epoll_event *)) dlsym(RTLD_NEXT, "epoll_ctl");
	if (path && op == EPOLL_CTL_ADD && event->data.fd == fd && unlink(path) == 0)
	{
		errno = ENOSPC;
		return -1;
	}
	return real(epfd, op, fd, event);
}

/* Find the local port to which an address is routed; 0 for none. */
static int
find_route(const char *address, int port)
{
	const char *path = getenv("OSS_TEST_ROUTES");
	FILE	   *file = path ? fopen(path, "r") : NULL;
	char		from[64];
	int			from_port;
	int			to = 0;
	int			found = 0;

	while (file && !found && fscanf(file, "%63s %d %d", from, &from_port, &to) == 3)
		found = from_port == port && strcmp(from, address) == 0;
	if (file)
		fclose(file);
	return found ? to : 0;
}

int
connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	static int	(*real) (int, const struct sockaddr *, socklen_t);
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	char		address[64];
	int			to;

	if (real == NULL)
		real = (int (*) (int, const struct sockaddr *, socklen_t)) dlsym(RTLD_NEXT, "connect");
	if (addr->sa_family == AF_INET)
	{
		memcpy(&in, addr, sizeof(in));
		inet_ntop(AF_INET, &in.sin_addr, address, sizeof(address));
		to = find_route(address, ntohs(in.sin_port));
		in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		in.sin_port = htons((uint16_t) to);
		if (to > 0)
			return real(fd, (struct sockaddr *) &in, sizeof(in));
	}
	else if (addr->sa_family == AF_INET6)
	{
		memcpy(&in6, addr, sizeof(in6));
		inet_ntop(AF_INET6, &in6.sin6_addr, address, sizeof(address));
		to = find_route(address, ntohs(in6.sin6_port));
		inet_pton(AF_INET6, "::ffff:127.0.0.1", &in6.sin6_addr);
		in6.sin6_port = htons((uint16_t) to);
		if (to > 0)
			return real(fd, (struct sockaddr *) &in6, sizeof(in6));
	}
	return real(fd, addr, len);
}

/* CURLOPT_MAXLIFETIME_CONN, without libcurl's headers. */
#define MAX_LIFETIME_CONN 314

int
curl_easy_setopt(void *easy, int option,...)
{
	static int	(*real) (void *, int,...);
	va_list		args;
	void	   *value;

	if (real == NULL)
		real = (int (*) (void *, int,...)) dlsym(RTLD_NEXT, "curl_easy_setopt");
	va_start(args, option);
	value = va_arg(args, void *);
	va_end(args);
	if (option == MAX_LIFETIME_CONN && getenv("OSS_TEST_LIFE"))
		value = (void *) ((long) value / 100);
	return real(easy, option, value);
}
