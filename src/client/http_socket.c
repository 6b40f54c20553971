/*-------------------------------------------------------------------------
 * http_socket.c
 *	  The sockets that libcurl has open, counted against PostgreSQL's limit
 *	  on descriptors.
 *
 * libcurl tells when it wants a socket, but not always when it closes one:
 * some versions (7.87 to 8.x) close a socket that never got connected without
 * a word.  Counting calls would leak a descriptor of the limit with every
 * connection refused.  So there is a list of open sockets, from which closed
 * ones are removed now and then.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/http_socket.h"
#include "storage/fd.h"

/* Sockets below which it does not matter whether some are gone. */
#define FEW_SOCKETS 16

/*
 * A peer that forgot a connection, as behind a gateway that was replaced, says
 * nothing.  These bound how long that takes to find out.
 */
#define UNACKNOWLEDGED_MS	5000
#define PROBE_AFTER_SECONDS	5
#define PROBE_EVERY_SECONDS	2

/* A socket: the descriptor may belong to another file by now. */
typedef struct Socket
{
	int			fd;
	ino_t		inode;
	bool		connected;
} Socket;

/*
 * What was opened.  Each element holds one of PostgreSQL's external
 * descriptors.  malloc'd: it grows inside a curl callback.
 */
static Socket *sockets = NULL;
static int	nsockets = 0;
static int	capacity = 0;

/* Look for what is gone when there are so many. */
static int	sweep_at = FEW_SOCKETS;

/* Strike off an element. */
static void
remove_socket(int i)
{
	sockets[i] = sockets[--nsockets];
	ReleaseExternalFD();
}

/* Is the socket still there? */
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

/* Make room for one more; returns false when memory is short. */
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

/*
 * Have a socket end when its peer is silent; not before it is connected, for
 * which the server's option says how long it may take.
 */
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
