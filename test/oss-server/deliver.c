/*
 * deliver.c
 *	  Hand an answer over: whole, slowly, in part, wrongly or not at all.
 *
 * Bodies that stop or crawl come from a reader that suspends its connection
 * between pieces.  What no HTTP library would send is written to the socket
 * by a thread of its own while the connection is suspended.
 */
#include "exchange.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gnutls/gnutls.h>

#include "http.h"
#include "object.h"

/* No HTTP at all. */
static const char garbage[] = {
	"\x16\x03\xff\0garbage \xfe\xff\r\n\r\n no http"
};

/* Raw bytes on their way. */
typedef struct raw_job
{
	exchange   *x;
	gnutls_session_t session;	/* NULL without TLS */
	buffer		bytes;
} raw_job;

/*
 * Break the connection with a reset.  Connecting to nowhere makes Linux send
 * the RST at once, whatever MHD does with the socket later.
 */
static void
reset_connection(int fd)
{
	struct sockaddr sa = {.sa_family = AF_UNSPEC};

	connect(fd, &sa, sizeof(sa));
}

/* Read the file behind an answer into its body. */
static void
load_body(answer *a)
{
	char		bytes[65536];
	ssize_t		n;

	if (a->fd < 0)
		return;
	while ((n = read(a->fd, bytes, sizeof(bytes))) > 0)
		buffer_add(&a->body, bytes, (size_t) n);
	close(a->fd);
	a->fd = -1;
}

/* Return how many bytes of the body will be sent, all in all. */
static size_t
bytes_to_send(const exchange *x)
{
	const fault *f = x->plan.delivery;
	size_t		len = x->r->answer.body.len;

	if (f->kind == FAULT_TRUNCATE || f->kind == FAULT_RESET_BODY ||
		f->kind == FAULT_HANG_BODY)
		return (size_t) f->bytes < len ? (size_t) f->bytes : len;
	return len;
}

/* Return how many bytes may be sent in this step. */
static size_t
step_size(const exchange *x, size_t max, size_t left)
{
	const fault *f = x->plan.delivery;
	size_t		n = left < max ? left : max;

	if (f->kind == FAULT_SLOW && n > (size_t) f->bytes)
		n = (size_t) f->bytes;
	if (f->kind == FAULT_PAUSE && x->at < (size_t) f->bytes &&
		n > (size_t) f->bytes - x->at)
		n = (size_t) f->bytes - x->at;
	return n;
}

/* Return whether the body rests now, and until when. */
static bool
must_rest(const exchange *x, size_t total, uint64_t *until)
{
	const fault *f = x->plan.delivery;
	bool		all = x->at >= total;

	*until = now_us() + f->interval_us;
	switch (f->kind)
	{
		case FAULT_SLOW:
			return !all && x->at > 0;
		case FAULT_PAUSE:
			return x->at == (size_t) f->bytes;
		case FAULT_RESET_BODY:
			/* let what was sent arrive before the reset */
			*until = now_us() + 20000;
			return all;
		case FAULT_HANG_BODY:
			*until = TIMER_NEVER;
			return all;
		default:
			return false;
	}
}

/* Give MHD the next piece of a body that does not come at once. */
static ssize_t
read_body(void *cls, uint64_t pos, char *buf, size_t max)
{
	exchange   *x = cls;
	const fault *f = x->plan.delivery;
	size_t		total = bytes_to_send(x);
	size_t		n;
	uint64_t	until;

	if (x->wait.hung_up)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	if (!x->paused && must_rest(x, total, &until))
	{
		x->paused = true;
		timer_suspend(&x->wait, until);
		return 0;
	}
	x->paused = false;
	if (x->at >= total)
	{
		if (f->kind == FAULT_RESET_BODY)
			reset_connection(x->fd);
		return f->kind == FAULT_CHUNKED ? MHD_CONTENT_READER_END_OF_STREAM
			: MHD_CONTENT_READER_END_WITH_ERROR;
	}
	n = step_size(x, max, total - x->at);
	memcpy(buf, x->r->answer.body.data + x->at, n);
	x->at += n;
	return (ssize_t) n;
}

/* Queue a body that the reader above will give. */
static enum MHD_Result
deliver_streamed(exchange *x)
{
	const fault *f = x->plan.delivery;
	answer	   *a = &x->r->answer;
	uint64_t	size;
	struct MHD_Response *response;
	enum MHD_Result ok;

	load_body(a);
	size = f->kind == FAULT_CHUNKED ? MHD_SIZE_UNKNOWN : a->body.len;
	if (f->kind == FAULT_LENGTH)
		size = a->body.len + (uint64_t) f->bytes;
	response = MHD_create_response_from_callback(size, 32768, read_body, x,
												 NULL);
	http_common_headers(response, x->r);
	x->stage = STAGE_QUEUED;
	ok = MHD_queue_response(x->connection, (unsigned int) a->status,
							response);
	MHD_destroy_response(response);
	return ok;
}

/* Wait until a socket is ready; false when it never will be. */
static bool
wait_ready(int fd, short events)
{
	struct pollfd p = {fd, events, 0};

	return poll(&p, 1, 10000) > 0 && !(p.revents & (POLLERR | POLLHUP));
}

/* Write some raw bytes, through TLS if there is any. */
static ssize_t
write_some(raw_job *job, const char *data, size_t len)
{
	ssize_t		n;

	if (job->session == NULL)
	{
		n = send(job->x->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : n;
	}
	n = gnutls_record_send(job->session, data, len < 16000 ? len : 16000);
	return n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED ? 0 : n;
}

/* Write all raw bytes, then let MHD close the connection. */
static void *
raw_main(void *arg)
{
	raw_job    *job = arg;
	exchange   *x = job->x;
	size_t		at = 0;

	while (at < job->bytes.len)
	{
		ssize_t		n = write_some(job, job->bytes.data + at,
								   job->bytes.len - at);

		if (n < 0 || (n == 0 && !wait_ready(x->fd, POLLOUT)))
			break;
		at += (size_t) n;
	}
	x->sent = at;
	buffer_free(&job->bytes);
	free(job);
	MHD_resume_connection(x->connection);
	return NULL;
}

/* Write the head of a response by hand. */
static void
raw_head(exchange *x, buffer *out, int64_t length)
{
	answer	   *a = &x->r->answer;

	buffer_printf(out, "HTTP/1.1 %d Odd\r\nServer: AliyunOSS\r\n"
				  "x-oss-request-id: %s\r\nContent-Type: %s\r\n"
				  "Content-Length: %lld\r\n", a->status, a->request_id,
				  a->content_type ? a->content_type : "text/plain",
				  (long long) length);
}

/* Compose the raw bytes of a fault. */
static void
raw_bytes(exchange *x, buffer *out)
{
	const fault *f = x->plan.delivery;
	buffer	   *body = &x->r->answer.body;
	int64_t		length = (int64_t) body->len;

	if (f->kind == FAULT_RAW || (f->kind == FAULT_GARBAGE && f->body.len > 0))
	{
		buffer_add(out, f->body.data, f->body.len);
		return;
	}
	if (f->kind == FAULT_GARBAGE)
	{
		buffer_add(out, garbage, sizeof(garbage) - 1);
		return;
	}
	if (f->kind == FAULT_LENGTH)
		length = length + f->bytes > 0 ? length + f->bytes : 0;
	raw_head(x, out, length);
	if (f->kind == FAULT_NUL_HEADER)
		buffer_add(out, "x-odd: a\0b\r\n", 12);
	for (size_t n = 0; f->kind == FAULT_HEADERS && n < (size_t) f->bytes;)
	{
		size_t		before = out->len;

		buffer_printf(out, "x-odd-%zu: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
					  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n", n);
		n += out->len - before;
	}
	buffer_puts(out, "\r\n");
	buffer_add(out, body->data, body->len);
}

/* Have raw bytes written while the connection is suspended. */
static enum MHD_Result
deliver_raw(exchange *x)
{
	const union MHD_ConnectionInfo *info = NULL;
	raw_job    *job = must_alloc(sizeof(*job));
	pthread_t	thread;

	if (x->r->https)
		info = MHD_get_connection_info(x->connection,
									   MHD_CONNECTION_INFO_GNUTLS_SESSION);
	load_body(&x->r->answer);
	job->x = x;
	job->session = info ? (gnutls_session_t) info->tls_session : NULL;
	raw_bytes(x, &job->bytes);
	x->stage = STAGE_RAW;
	MHD_suspend_connection(x->connection);
	if (pthread_create(&thread, NULL, raw_main, job) == 0)
		pthread_detach(thread);
	else
		raw_main(job);
	return MHD_YES;
}

/* Name in the counters what was done instead of answering. */
static void
no_answer(exchange *x, const char *name)
{
	snprintf(x->r->answer.code, sizeof(x->r->answer.code), "%s", name);
	x->r->answer.status = 0;
}

/* Deliver the answer as the plan says. */
enum MHD_Result
deliver(exchange *x)
{
	const fault *f = x->plan.delivery;

	if (f == NULL)
	{
		x->stage = STAGE_QUEUED;
		return http_queue(x->connection, x->r);
	}
	switch (f->kind)
	{
		case FAULT_DROP:
			no_answer(x, "drop");
			return MHD_NO;
		case FAULT_RESET:
			no_answer(x, "reset");
			reset_connection(x->fd);
			return MHD_NO;
		case FAULT_HANG:
			no_answer(x, "hang");
			x->stage = STAGE_WAITING;
			timer_suspend(&x->wait, TIMER_NEVER);
			return MHD_YES;
		case FAULT_CLOSE:
			answer_header(x->r, "Connection", "close");
			x->stage = STAGE_QUEUED;
			return http_queue(x->connection, x->r);
		case FAULT_LENGTH:
			return f->bytes > 0 ? deliver_streamed(x) : deliver_raw(x);
		case FAULT_GARBAGE:
		case FAULT_HEADERS:
		case FAULT_NUL_HEADER:
		case FAULT_RAW:
			return deliver_raw(x);
		default:
			return deliver_streamed(x);
	}
}
