/*
 * http.h
 *	  The listeners: sockets, threads, TLS, and the life of each exchange.
 */
#ifndef STANDIN_HTTP_H
#define STANDIN_HTTP_H

#include <microhttpd.h>

#include "request.h"

/* What a listener is for. */
typedef enum listener_kind
{
	LISTEN_OSS_HTTP,
	LISTEN_OSS_HTTPS,
	LISTEN_CONTROL
} listener_kind;

/* How to listen. */
typedef struct listener
{
	listener_kind kind;
	int			port;			/* 0 = any; filled in once listening */
	int			threads;
	int			max_connections;
	int			idle_timeout;	/* seconds, 0 = never */
	const char *cert;			/* file of the chain; https only */
	const char *key;
	char	   *pem[2];			/* what they hold */
} listener;

/* Start listening on 127.0.0.1 and, where possible, ::1; false with a report. */
extern bool http_listen(listener *l);

/* Close all open connections of clients (control's are not counted). */
extern int	http_close_connections(void);

/*
 * Close each connection after so many requests (0 = never), as proxies do:
 * with "Connection: close", or quietly.
 */
extern void http_keepalive(int requests, bool quiet);

/* Queue the bytes of an answer in the ordinary way. */
extern enum MHD_Result http_queue(struct MHD_Connection *connection,
								  request *r);

/* Add the headers every answer of the service carries. */
extern void http_common_headers(struct MHD_Response *response, request *r);

#endif							/* STANDIN_HTTP_H */
