/*-------------------------------------------------------------------------
 * http_socket.h
 *	  The sockets that libcurl has open, counted against PostgreSQL's limit
 *	  on descriptors.
 *
 * Middle floor, private to http.c.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_HTTP_SOCKET_H
#define OSS_HTTP_SOCKET_H

#include "postgres.h"

/*
 * Open a socket; returns -1 when the system or PostgreSQL's limit on
 * descriptors refuses.  Never throws: libcurl calls it.
 */
extern int	oss_http_socket_open(int family, int type, int protocol);

/*
 * Have a socket that is connected now end with ETIMEDOUT within seconds when its
 * peer does not acknowledge what it is sent, or does not answer while nothing is
 * sent.  Never throws.
 */
extern void oss_http_socket_connected(int fd);

/* Close a socket of oss_http_socket_open(); returns what close() does. */
extern int	oss_http_socket_close(int fd);

#endif							/* OSS_HTTP_SOCKET_H */
