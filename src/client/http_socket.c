/*-------------------------------------------------------------------------
 * http_socket.c
 *	  The open sockets of libcurl, counted against PostgreSQL's limit on
 *	  descriptors.
 *
 * libcurl does not report all closed sockets: some versions (7.87 to 8.x) close
 * a socket whose connection was refused without calling us.  So open sockets
 * are listed, and closed ones are removed from the list from time to time.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/http_internal.h"
#include "storage/fd.h"

/* With fewer sockets, the list is not checked. */
#define FEW_SOCKETS 16

/*
 * A peer that has lost a connection, as behind a replaced gateway, sends
 * nothing.  These limit the time until that is noticed.
 */
#define UNACKNOWLEDGED_MS	5000
#define PROBE_AFTER_SECONDS	5
#define PROBE_EVERY_SECONDS	2

/* A socket; the inode tells whether fd has been reused for another file. */
typedef struct Socket
{
	int			fd;
	ino_t		inode;
	bool		connected;
} Socket;

/*
 * Open sockets, each with one of PostgreSQL's external descriptors.
 * malloc'd, since the array grows in a callback of curl.
 */
static Socket *sockets = NULL;
static int	nsockets = 0;
static int	capacity = 0;

/* Number of sockets at which closed ones are removed. */
static int	sweep_at = FEW_SOCKETS;

static void
remove_socket(int i)
{
	sockets[i] = sockets[--nsockets];
	ReleaseExternalFD();
}

static bool
is_open(const Socket *s)
{
	struct stat st;

	return fstat(s->fd, &st) == 0 && S_ISSOCK(st.st_mode) &&
		st.st_ino == s->inode;
}

/* Remove sockets that libcurl closed without calling us. */
static void
remove_closed_sockets(void)
{
	for (int i = nsockets - 1; i >= 0; i--)
		if (!is_open(&sockets[i]))
			remove_socket(i);
	sweep_at = Max(FEW_SOCKETS, 2 * nsockets);
}

/* Make room for one more.  Returns false when out of memory. */
static bool
make_room(void)
{
	int			wanted = Max(FEW_SOCKETS, 2 * capacity);
	Socket	   *grown;

	if (nsockets < capacity)
		return true;
	grown = realloc(sockets, wanted * sizeof(Socket));
	if (grown == NULL)
		return false;
	sockets = grown;
	capacity = wanted;
	return true;
}

/* Reserve one of PostgreSQL's external descriptors. */
static bool
reserve_sockets(void)
{
	if (nsockets >= sweep_at)
		remove_closed_sockets();
	if (AcquireExternalFD())
		return true;
	remove_closed_sockets();
	return AcquireExternalFD();
}

int
oss_http_socket_open(int family, int type, int protocol)
{
	struct stat st = {0};
	int			fd;

	if (!make_room() || !reserve_sockets())
		return -1;
	fd = socket(family, type | SOCK_CLOEXEC, protocol);
	if (fd < 0)
	{
		ReleaseExternalFD();
		return -1;
	}
	(void) fstat(fd, &st);
	sockets[nsockets].connected = false;
	sockets[nsockets].fd = fd;
	sockets[nsockets++].inode = st.st_ino;
	return fd;
}

/* Not before the socket is connected: connect_timeout_ms covers that time. */
void
oss_http_socket_connected(int fd)
{
	unsigned int unacknowledged = UNACKNOWLEDGED_MS;
	int			after = PROBE_AFTER_SECONDS;
	int			every = PROBE_EVERY_SECONDS;
	int			on = 1;

	for (int i = nsockets - 1; i >= 0; i--)
	{
		if (sockets[i].fd != fd)
			continue;
		if (sockets[i].connected)
			return;
		sockets[i].connected = true;
		break;
	}
	(void) setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged,
					  sizeof(unacknowledged));
	(void) setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &after, sizeof(after));
	(void) setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof(every));
	(void) setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

int
oss_http_socket_close(int fd)
{
	for (int i = 0; i < nsockets; i++)
	{
		if (sockets[i].fd == fd && is_open(&sockets[i]))
		{
			remove_socket(i);
			break;
		}
	}
	return close(fd);
}
