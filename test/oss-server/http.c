/*
 * http.c
 *	  The listeners: sockets, threads, TLS, and the life of each exchange.
 */
#include "http.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gnutls/gnutls.h>

#include "control.h"
#include "counter.h"
#include "exchange.h"
#include "object.h"
#include "service.h"

#define MAX_DAEMONS 16
#define MAX_UPLOAD (256 * 1024 * 1024)
/* MHD clears all of it for each request, so more than is needed costs time */
#define CONNECTION_MEMORY (24 * 1024)

/* An open connection of a client. */
typedef struct peer
{
	uint64_t	id;
	int			fd;
	bool		https;
	bool		asked_resumed;
	int			requests;
	struct peer *prev;
	struct peer *next;
} peer;

static struct MHD_Daemon *daemons[MAX_DAEMONS];
static int	n_daemons;
static peer *peers;
static pthread_mutex_t peer_lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic uint64_t next_peer;
static gnutls_datum_t ticket_key;
static _Atomic int keepalive_requests;
static _Atomic bool keepalive_quiet;

/* Return the socket of a connection. */
static int
connection_fd(struct MHD_Connection *connection)
{
	return MHD_get_connection_info(connection,
								   MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
}

/* Let TLS sessions be resumed, as the service does. */
static void
enable_tickets(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info;

	info = MHD_get_connection_info(connection,
								   MHD_CONNECTION_INFO_GNUTLS_SESSION);
	if (info && info->tls_session && ticket_key.data)
		gnutls_session_ticket_enable_server(info->tls_session, &ticket_key);
}

/* Remember a connection that was opened. */
static void
peer_opened(struct MHD_Connection *connection, bool https, void **context)
{
	peer	   *p = must_alloc(sizeof(*p));
	int			one = 1;

	p->id = ++next_peer;
	p->fd = connection_fd(connection);
	p->https = https;
	setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (https)
		enable_tickets(connection);
	pthread_mutex_lock(&peer_lock);
	p->next = peers;
	if (peers)
		peers->prev = p;
	peers = p;
	pthread_mutex_unlock(&peer_lock);
	*context = p;
	counter_connection(https, +1);
}

/* Forget a connection that was closed. */
static void
peer_closed(peer *p)
{
	pthread_mutex_lock(&peer_lock);
	if (p->prev)
		p->prev->next = p->next;
	else
		peers = p->next;
	if (p->next)
		p->next->prev = p->prev;
	pthread_mutex_unlock(&peer_lock);
	counter_connection(p->https, -1);
	free(p);
}

/* MHD's notice of a connection's begin and end. */
static void
on_connection(void *cls, struct MHD_Connection *connection, void **context,
			  enum MHD_ConnectionNotificationCode code)
{
	const listener *l = cls;

	if (code == MHD_CONNECTION_NOTIFY_STARTED)
		peer_opened(connection, l->kind == LISTEN_OSS_HTTPS, context);
	else if (*context)
		peer_closed(*context);
}

/* Close all open connections. */
int
http_close_connections(void)
{
	int			n = 0;

	pthread_mutex_lock(&peer_lock);
	for (peer *p = peers; p; p = p->next)
	{
		shutdown(p->fd, SHUT_RDWR);
		n++;
	}
	pthread_mutex_unlock(&peer_lock);
	return n;
}

/* Close each connection after so many requests. */
void
http_keepalive(int requests, bool quiet)
{
	keepalive_requests = requests;
	keepalive_quiet = quiet;
}

/* Refuse a connection at once if a fault says so. */
static enum MHD_Result
on_accept(void *cls, const struct sockaddr *addr, socklen_t len)
{
	if (!fault_refuse())
		return MHD_YES;
	counter_refused_connection();
	return MHD_NO;
}

/* Begin an exchange when the request line is there; keep its raw bytes. */
static void *
on_request_line(void *cls, const char *target,
				struct MHD_Connection *connection)
{
	exchange   *x = must_alloc(sizeof(*x));

	x->r = must_alloc(sizeof(request));
	x->r->target = strdup(target);
	x->r->answer.fd = -1;
	x->connection = connection;
	return x;
}

/* Add up the length of the header names. */
static enum MHD_Result
measure_header(void *cls, enum MHD_ValueKind kind, const char *name,
			   const char *value)
{
	*(size_t *) cls += strlen(name);
	return MHD_YES;
}

/* Keep one header, its name in lower case. */
static enum MHD_Result
keep_header(void *cls, enum MHD_ValueKind kind, const char *name,
			const char *value)
{
	request    *r = cls;
	text		lower = {r->header_names.data + r->header_names.len,
	strlen(name)};

	for (const char *p = name; *p; p++)
		r->header_names.data[r->header_names.len++] =
			(char) tolower((unsigned char) *p);
	pair_list_add(&r->headers, lower, text_trim(text_of(value)));
	return MHD_YES;
}

/* Take in the head of a request. */
static void
read_head(exchange *x, const listener *l, const char *method)
{
	request    *r = x->r;
	size_t		room = 0;
	const union MHD_ConnectionInfo *info;
	peer	   *p;

	info = MHD_get_connection_info(x->connection,
								   MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	p = info->socket_context;
	r->method = strdup(method);
	r->https = l->kind == LISTEN_OSS_HTTPS;
	r->arrived_us = now_us();
	r->connection_id = p->id;
	MHD_get_connection_values(x->connection, MHD_HEADER_KIND, measure_header,
							  &room);
	buffer_reserve(&r->header_names, room + 1);
	MHD_get_connection_values(x->connection, MHD_HEADER_KIND, keep_header, r);
	request_parse(r);
	x->fd = p->fd;
	x->wait.connection = x->connection;
	x->wait.fd = p->fd;
	p->requests++;
	x->is_last = keepalive_requests > 0 && p->requests >= keepalive_requests;
	if (r->https && !p->asked_resumed)
	{
		p->asked_resumed = true;
		info = MHD_get_connection_info(x->connection,
									   MHD_CONNECTION_INFO_GNUTLS_SESSION);
		if (gnutls_session_is_resumed(info->tls_session))
			counter_tls_resumed();
	}
}

/* Compute the answer of a complete request, and wait if a fault says so. */
static enum MHD_Result
answer_now(exchange *x)
{
	bool		may_change = service_answer(x->r);

	x->plan = fault_find(x->r);
	if (may_change && x->plan.answer)
		fault_invent(x->r, x->plan.answer);
	x->r->billed = x->r->is_label &&
		(x->plan.bill >= 0 ? x->plan.bill : x->r->answer.status == 200);
	if (x->is_last && !keepalive_quiet)
		answer_header(x->r, "Connection", "close");
	counter_answered(x->r);
	if (x->plan.delay_us > 0)
	{
		x->stage = STAGE_WAITING;
		timer_suspend(&x->wait, x->r->arrived_us + x->plan.delay_us);
		return MHD_YES;
	}
	return deliver(x);
}

/* Go on after a wait. */
static enum MHD_Result
after_wait(exchange *x)
{
	if (x->wait.hung_up)
	{
		x->abandoned = true;
		return MHD_NO;
	}
	return deliver(x);
}

/* Take in a piece of the request's body. */
static enum MHD_Result
read_upload(exchange *x, const char *data, size_t *size)
{
	if (x->r->upload.len + *size > MAX_UPLOAD)
		return MHD_NO;
	buffer_add(&x->r->upload, data, *size);
	*size = 0;
	return MHD_YES;
}

/* MHD's call for each step of a request. */
static enum MHD_Result
on_request(void *cls, struct MHD_Connection *connection, const char *url,
		   const char *method, const char *version, const char *data,
		   size_t *size, void **context)
{
	exchange   *x = *context;

	switch (x->stage)
	{
		case STAGE_NEW:
			read_head(x, cls, method);
			if (fault_drop_before(x->r))
				return MHD_NO;
			counter_begin(x->r);
			x->counted = true;
			x->stage = STAGE_BODY;
			return MHD_YES;
		case STAGE_BODY:
			if (*size > 0)
				return read_upload(x, data, size);
			return answer_now(x);
		case STAGE_WAITING:
			return after_wait(x);
		case STAGE_RAW:
		case STAGE_QUEUED:
			return MHD_NO;
	}
	return MHD_NO;
}

/* Return whether an answer is a length without its bytes. */
static bool
head_alone(const request *r)
{
	return r->answer.head_size >= 0 && request_kind_of(r) == KIND_HEAD;
}

/* End an exchange. */
static void
on_completed(void *cls, struct MHD_Connection *connection, void **context,
			 enum MHD_RequestTerminationCode code)
{
	exchange   *x = *context;
	bool		completed = code == MHD_REQUEST_TERMINATED_COMPLETED_OK;

	*context = NULL;
	if (x == NULL)
		return;
	if (x->counted)
	{
		if (completed)
			x->sent = x->r->answer.fd >= 0 ? (uint64_t) x->r->answer.size :
				x->r->answer.body.len;
		else
			x->sent += x->at;
		/* MHD closes the answer's file with the response */
		counter_end(x->r, completed, x->abandoned || x->wait.hung_up,
					x->sent);
	}
	if (x->is_last && keepalive_quiet)
		shutdown(x->fd, SHUT_RDWR);
	fault_release(&x->plan);
	if ((x->stage != STAGE_QUEUED || head_alone(x->r)) && x->r->answer.fd >= 0)
		close(x->r->answer.fd);
	request_free(x->r);
	free(x);
}

/* Add the headers every answer of the service carries. */
void
http_common_headers(struct MHD_Response *response, request *r)
{
	const answer *a = &r->answer;
	text		lines = {a->headers.data, a->headers.len};
	char		value[64];

	MHD_add_response_header(response, "Server", "AliyunOSS");
	format_http_date(server_time(), value, sizeof(value));
	MHD_add_response_header(response, "Date", value);
	MHD_add_response_header(response, "x-oss-request-id", a->request_id);
	snprintf(value, sizeof(value), "%llu",
			 (unsigned long long) (now_us() - r->arrived_us) / 1000);
	MHD_add_response_header(response, "x-oss-server-time", value);
	if (a->content_type)
		MHD_add_response_header(response, "Content-Type", a->content_type);
	while (lines.len > 0)
	{
		text		val = text_cut(&lines, '\n');
		text		name = text_cut(&val, ':');
		char	   *n = text_dup(name);
		char	   *v = text_dup(text_trim(val));

		MHD_add_response_header(response, n, v);
		free(n);
		free(v);
	}
}

/* Give the body of an answer to HEAD, which MHD never asks for. */
static ssize_t
read_nothing(void *cls, uint64_t pos, char *buf, size_t max)
{
	return MHD_CONTENT_READER_END_WITH_ERROR;
}

/* Queue the bytes of an answer in the ordinary way. */
enum MHD_Result
http_queue(struct MHD_Connection *connection, request *r)
{
	answer	   *a = &r->answer;
	struct MHD_Response *response;
	enum MHD_Result ok;

	if (head_alone(r))
		response = MHD_create_response_from_callback((uint64_t) a->head_size,
													 1024, read_nothing, NULL,
													 NULL);
	else if (a->fd >= 0)
		response = MHD_create_response_from_fd64((uint64_t) a->size, a->fd);
	else
		response = MHD_create_response_from_buffer(a->body.len, a->body.data,
												   MHD_RESPMEM_PERSISTENT);
	http_common_headers(response, r);
	ok = MHD_queue_response(connection, (unsigned int) a->status, response);
	MHD_destroy_response(response);
	return ok;
}

/* Open a listening socket on a loopback address; -1 when that fails. */
static int
open_socket(bool v6, int *port)
{
	struct sockaddr_in in4 = {.sin_family = AF_INET,
	.sin_port = htons((uint16_t) *port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6,
		.sin6_port = htons((uint16_t) *port),
	.sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct sockaddr *sa = v6 ? (struct sockaddr *) &in6 : (struct sockaddr *) &in4;
	socklen_t	len = v6 ? sizeof(in6) : sizeof(in4);
	int			fd = socket(v6 ? AF_INET6 : AF_INET,
							SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int			one = 1;

	in4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (v6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (bind(fd, sa, len) != 0 || listen(fd, 4096) != 0 ||
		getsockname(fd, sa, &len) != 0)
	{
		close(fd);
		return -1;
	}
	*port = ntohs(v6 ? in6.sin6_port : in4.sin_port);
	return fd;
}

/* Read the certificate's files and the key for session tickets. */
static bool
load_tls(const listener *l, buffer *cert, buffer *key)
{
	if (l->cert == NULL || l->key == NULL || !file_read(l->cert, cert) ||
		!file_read(l->key, key))
	{
		fprintf(stderr, "oss-server: cannot read certificate or key\n");
		return false;
	}
	if (ticket_key.data == NULL)
		gnutls_session_ticket_key_generate(&ticket_key);
	return true;
}

/*
 * Start one of MHD's daemons on a listening socket.  Not by epoll: with 128
 * sockets ready at once MHD 0.9.75 waits for one more before it reads any.
 */
static struct MHD_Daemon *
start_daemon(listener *l, int fd, const char *cert, const char *key)
{
	unsigned int flags = (MHD_USE_POLL_INTERNAL_THREAD |
						  MHD_ALLOW_SUSPEND_RESUME |
						  MHD_USE_SUPPRESS_DATE_NO_CLOCK);
	struct MHD_OptionItem tls[] = {
		{MHD_OPTION_HTTPS_MEM_CERT, 0, (void *) cert},
		{MHD_OPTION_HTTPS_MEM_KEY, 0, (void *) key},
		{MHD_OPTION_END, 0, NULL}
	};
	struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};

	if (l->kind == LISTEN_CONTROL)
		return MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL,
								control_request, NULL,
								MHD_OPTION_LISTEN_SOCKET, fd,
								MHD_OPTION_URI_LOG_CALLBACK, control_line, NULL,
								MHD_OPTION_NOTIFY_COMPLETED, control_completed,
								NULL, MHD_OPTION_END);
	if (l->kind == LISTEN_OSS_HTTPS)
		flags |= MHD_USE_TLS;
	return MHD_start_daemon(flags, 0, on_accept, NULL, on_request, l,
							MHD_OPTION_LISTEN_SOCKET, fd,
							MHD_OPTION_THREAD_POOL_SIZE,
							(unsigned int) l->threads,
							MHD_OPTION_CONNECTION_LIMIT,
							(unsigned int) l->max_connections,
							MHD_OPTION_CONNECTION_TIMEOUT,
							(unsigned int) l->idle_timeout,
							MHD_OPTION_CONNECTION_MEMORY_LIMIT,
							(size_t) CONNECTION_MEMORY,
							MHD_OPTION_URI_LOG_CALLBACK, on_request_line, NULL,
							MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL,
							MHD_OPTION_NOTIFY_CONNECTION, on_connection, l,
							MHD_OPTION_ARRAY,
							flags & MHD_USE_TLS ? tls : none,
							MHD_OPTION_END);
}

/* Listen on one address. */
static bool
listen_on(listener *l, bool v6, const char *cert, const char *key)
{
	int			fd = open_socket(v6, &l->port);
	struct MHD_Daemon *daemon;

	if (fd < 0 || n_daemons == MAX_DAEMONS)
		return false;
	daemon = start_daemon(l, fd, cert, key);
	if (daemon == NULL)
	{
		close(fd);
		return false;
	}
	daemons[n_daemons++] = daemon;
	return true;
}

/* Start listening. */
bool
http_listen(listener *l)
{
	buffer		cert = {0};
	buffer		key = {0};
	bool		ok;

	/* MHD refers to the PEM texts as long as it runs, which is for ever */
	if (l->kind == LISTEN_OSS_HTTPS && !load_tls(l, &cert, &key))
		return false;
	ok = listen_on(l, false, cert.data, key.data);
	if (!ok)
		fprintf(stderr, "oss-server: cannot listen on 127.0.0.1:%d: %s\n",
				l->port, strerror(errno));
	else if (l->kind != LISTEN_CONTROL)
		listen_on(l, true, cert.data, key.data);	/* nice to have */
	l->pem[0] = cert.data;
	l->pem[1] = key.data;
	return ok;
}
