/*-------------------------------------------------------------------------
 * http_socket.h
 *	  The open sockets of libcurl, counted against PostgreSQL's limit on
 *	  descriptors.
 *
 * For http.c and http_loop.c alone.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_HTTP_SOCKET_H
#define OSS_HTTP_SOCKET_H

/*
 * Open a socket.  Returns -1 if the system or PostgreSQL's limit on
 * descriptors refuses.  Does not throw: libcurl calls it.
 */
extern int	oss_http_socket_open(int family, int type, int protocol);

/*
 * Let a connected socket fail with ETIMEDOUT within seconds if its peer does
 * not acknowledge data or does not answer keepalive probes.  Does not throw.
 */
extern void oss_http_socket_connected(int fd);

/* Close a socket of oss_http_socket_open().  Returns the result of close(). */
extern int	oss_http_socket_close(int fd);

#endif							/* OSS_HTTP_SOCKET_H */
