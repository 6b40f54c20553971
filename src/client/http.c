/*-------------------------------------------------------------------------
 * http.c
 *	  HTTP transfers.
 *
 * The callbacks of curl neither palloc nor ereport, because a longjmp must not
 * cross libcurl's frames.  They set fields of the transfer instead.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <curl/curl.h>

#include "client/http_internal.h"
#include "compat.h"
#include "lib/ilist.h"
#include "utils/memutils.h"

#define USER_AGENT "oss_labels/" OSS_LABELS_VERSION

/* Limit on the bytes of a response's headers; real ones have under 2000. */
#define MAX_HEADER_BYTES	(64 * 1024)

/* Servers close connections after 50 to 60 s of idling (protocol/README.md 4.1). */
#define MAX_IDLE_SECONDS	45L

/* Connections are closed after this time, since addresses change. */
#define MAX_LIFE_SECONDS	300L

/* The loop counts as idle if nobody ran it for this time. */
#define LEFT_ALONE_US		(100 * 1000)

/* How often transfers with changed timeouts are checked. */
#define CHECK_MS			500

/* Easy handles kept for reuse. */
#define MAX_SPARE_HANDLES	256

/*
 * A transfer.  easy is NULL before the start and after the end, and in the
 * loop while in_loop.  node is in "running" while in_loop; then, while
 * listed, in "finished" until done() was called.
 */
struct HttpTransfer
{
	MemoryContext context;
	MemoryContextCallback reset;
	dlist_node	node;
	bool		listed;
	bool		in_loop;
	HttpTimeout timeout;
	CURL	   *easy;
	struct curl_slist *headers;
	char	   *sent_body;
	char	   *body;			/* malloc'd, since it grows in a callback */
	size_t		body_cap;
	size_t		max_body;
	size_t		header_bytes;
	bool		want_headers;
	HttpAllowed allowed;
	HttpTunnel	tunnel;
	bool		refused_address;
	bool		too_large;
	bool		no_memory;
	bool		sent;
	bool	   *tell_sent;
	bool		sent_again;		/* curl tried to */
	HttpDone	done;
	void	   *arg;
	char		errors[CURL_ERROR_SIZE];
	HttpAnswer	answer;
};

static dlist_head running = DLIST_STATIC_INIT(running);
static dlist_head finished = DLIST_STATIC_INIT(finished);
static CURL *spare[MAX_SPARE_HANDLES];
static int	nspare = 0;
static int	in_flight = 0;
static int	nstretched = 0;

/*
 * When the loop was last run, the sum of its idle periods, and whether one ended
 * since the sockets were last polled.
 */
static int64 driven_us = 0;
static int64 alone_us = 0;
static bool left_alone = false;

/* When an idle connection turned out to be dead, as others may be. */
static int64 dead_us = 0;

/* Append to the body.  Returns false when it is too large or memory is out. */
static bool
append_body(HttpTransfer *t, const char *bytes, size_t n)
{
	size_t		len = t->answer.body_len;

	if (n > t->max_body || len > t->max_body - n)
	{
		t->too_large = true;
		return false;
	}
	if (len + n + 1 > t->body_cap)
	{
		size_t		cap = Max(len + n + 1, Max(2 * t->body_cap, 2048));
		char	   *grown = realloc(t->body, cap);

		if (grown == NULL)
		{
			t->no_memory = true;
			return false;
		}
		t->body = grown;
		t->body_cap = cap;
	}
	memcpy(t->body + len, bytes, n);
	t->answer.body_len = len + n;
	t->body[len + n] = '\0';
	return true;
}

/* curl's callback for a header line. */
static size_t
on_header(char *line, size_t size, size_t n, void *arg)
{
	HttpTransfer *t = arg;

	n *= size;
	t->header_bytes += n;
	if (t->header_bytes > MAX_HEADER_BYTES)
	{
		t->too_large = true;
		return 0;
	}
	if (!t->sent && !oss_http_tunnel_open(&t->tunnel))
	{
		oss_http_tunnel_header(&t->tunnel, line, n);
		return n;
	}
	oss_http_keep_header(&t->answer, line, n);
	if (!t->want_headers)
		return n;

	/* the lines of an interim answer do not count */
	if (n >= 5 && strncmp(line, "HTTP/", 5) == 0)
	{
		t->answer.body_len = 0;
		return n;
	}
	return append_body(t, line, n) ? n : 0;
}

/* curl's callback for a part of the body. */
static size_t
on_body(char *bytes, size_t size, size_t n, void *arg)
{
	HttpTransfer *t = arg;

	n *= size;
	t->answer.in_body = true;
	return append_body(t, bytes, n) ? n : 0;
}

/* curl's callback to open a socket; refuses forbidden addresses. */
static curl_socket_t
on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *peer)
{
	HttpTransfer *t = arg;
	int			fd;

	if (!oss_http_may_connect(&t->allowed, &peer->addr))
	{
		t->refused_address = true;
		return CURL_SOCKET_BAD;
	}
	fd = oss_http_socket_open(peer->family, peer->socktype, peer->protocol);
	return fd < 0 ? CURL_SOCKET_BAD : fd;
}

/* curl's callback to close a socket, perhaps long after the transfer. */
static int
on_close_socket(void *arg, curl_socket_t fd)
{
	return oss_http_socket_close(fd);
}

/*
 * curl's callback before a request is sent; allows it once.  If an idle
 * connection breaks before the response, curl would send the request again up
 * to five times: attempts that may be billed and are not counted.
 */
static int
on_send(void *arg, char *address, char *local_address, int port,
		int local_port)
{
	HttpTransfer *t = arg;

	t->sent_again = t->sent;
	t->sent = true;
	if (t->tell_sent)
		*t->tell_sent = true;
	return t->sent_again ? 1 : 0;
}

/* Return the end that curl's code means. */
static HttpEnd
end_of_code(const HttpTransfer *t, CURLcode code)
{
	if (t->too_large)
		return HTTP_TOO_LARGE;
	if (t->no_memory)
		return HTTP_NO_MEMORY;
	if (t->sent_again)
		return HTTP_BROKEN;
	switch (code)
	{
		case CURLE_OK:
			return HTTP_ANSWERED;
		case CURLE_COULDNT_RESOLVE_HOST:
		case CURLE_COULDNT_RESOLVE_PROXY:
			return HTTP_RESOLVE;
		case CURLE_COULDNT_CONNECT:
			return t->refused_address ? HTTP_FORBIDDEN_ADDRESS : HTTP_CONNECT;
		case CURLE_SSL_CONNECT_ERROR:
		case CURLE_SSL_CIPHER:
			return HTTP_TLS;
		case CURLE_PEER_FAILED_VERIFICATION:
		case CURLE_SSL_CACERT_BADFILE:
		case CURLE_SSL_ISSUER_ERROR:
			return HTTP_CERTIFICATE;
		case CURLE_OPERATION_TIMEDOUT:
			return HTTP_TIMEOUT;
		case CURLE_GOT_NOTHING:
		case CURLE_RECV_ERROR:
		case CURLE_SEND_ERROR:
		case CURLE_PARTIAL_FILE:
			return HTTP_BROKEN;
		case OSS_CURLE_TOO_LARGE:
			return HTTP_TOO_LARGE;
		case CURLE_OUT_OF_MEMORY:

			/*
			 * older libcurls return it for a header line that is too long,
			 * too
			 */
			return t->header_bytes > 0 && !t->answer.in_body ?
				HTTP_TOO_LARGE : HTTP_NO_MEMORY;
		default:
			return HTTP_OTHER;
	}
}

static int64
time_of(CURL *easy, CURLINFO info)
{
	curl_off_t	us = 0;

	curl_easy_getinfo(easy, info, &us);
	return us;
}

/* Return for how many seconds a connection may be idle, 0: none is reused. */
static long
usable_idle_seconds(void)
{
	int64		since = dead_us == 0 ? MAX_IDLE_SECONDS + 1 :
	(oss_clock_us() - dead_us) / 1000000;

	return (long) Max(Min(since - 1, MAX_IDLE_SECONDS), 0);
}

static void
fill_answer(HttpTransfer *t, CURLcode code)
{
	HttpAnswer *a = &t->answer;
	long		status = 0;
	long		connects = 0;
	long		local_port = 0;
	long		request_size = 0;
	long		error = 0;
	char	   *address = NULL;
	const char *words;

	curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(t->easy, CURLINFO_NUM_CONNECTS, &connects);
	curl_easy_getinfo(t->easy, CURLINFO_LOCAL_PORT, &local_port);
	curl_easy_getinfo(t->easy, CURLINFO_REQUEST_SIZE, &request_size);
	curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &error);
	curl_easy_getinfo(t->easy, CURLINFO_PRIMARY_IP, &address);

	/* the size includes CONNECT */
	a->sent = t->sent || (request_size > 0 && oss_http_tunnel_open(&t->tunnel) &&
						  (t->tunnel.proxy == NULL || !OSS_TELLS_SENT));
	a->end = end_of_code(t, code);
	if (t->tunnel.proxy != NULL)
	{
		strlcpy(a->proxy, t->tunnel.proxy->url, sizeof(a->proxy));
		a->proxy_status = t->tunnel.status;
		if (!a->sent)
			a->end = oss_http_tunnel_end(&t->tunnel, a->end);
	}
	a->status = a->sent ? (int) status : 0;
	a->new_connection = connects > 0;
	a->body = t->body != NULL ? t->body : "";
	a->dns_us = time_of(t->easy, CURLINFO_NAMELOOKUP_TIME_T);
	a->connect_us = time_of(t->easy, CURLINFO_CONNECT_TIME_T);
	a->tls_us = time_of(t->easy, CURLINFO_APPCONNECT_TIME_T);
	/* newer libcurls also set this time if nothing was sent */
	if (a->sent && request_size > 0)
		a->sent_us = time_of(t->easy, CURLINFO_PRETRANSFER_TIME_T);
	a->first_byte_us = time_of(t->easy, CURLINFO_STARTTRANSFER_TIME_T);
	a->connected = local_port > 0 || a->connect_us > 0;
	a->total_us = time_of(t->easy, CURLINFO_TOTAL_TIME_T);
	a->bytes_received = t->header_bytes + (t->want_headers ? 0 : a->body_len);

	/* the peer did not acknowledge */
	if (a->end == HTTP_BROKEN && error == ETIMEDOUT)
		dead_us = oss_clock_us();
	if (address != NULL)
		strlcpy(a->address, address, sizeof(a->address));
	if (code != CURLE_OK)
	{
		words = t->errors[0] ? t->errors : curl_easy_strerror(code);

		/* in a tunnel the file's name has a mark made from secrets */
		if (code == CURLE_SSL_CACERT_BADFILE && t->tunnel.proxy != NULL)
			words = "a file of CA certificates (ca_file, proxy_ca_file) cannot be read";
		strlcpy(a->trouble, words, sizeof(a->trouble));
	}
}

/* Release a transfer's curl objects; may be called at any stage. */
static void
release_handle(HttpTransfer *t)
{
	if (t->in_loop)
	{
		oss_http_loop_remove(t->easy);
		t->in_loop = false;
		in_flight--;
		dlist_delete(&t->node);
		if (t->timeout.stretched)
			nstretched--;
	}
	if (t->easy != NULL)
	{
		/*
		 * so that it does not refer to the error buffer, which will be freed
		 */
		curl_easy_reset(t->easy);
		if (nspare < MAX_SPARE_HANDLES)
			spare[nspare++] = t->easy;
		else
			curl_easy_cleanup(t->easy);
		t->easy = NULL;
	}

	/* one may contain a security token */
	for (struct curl_slist *h = t->headers; h != NULL; h = h->next)
		explicit_bzero(h->data, strlen(h->data));
	curl_slist_free_all(t->headers);
	t->headers = NULL;
}

/* Callback of the loop for the end of a transfer. */
static void
on_ended(CURL *easy, CURLcode code)
{
	HttpTransfer *t = NULL;

	curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **) &t);
	fill_answer(t, code);
	release_handle(t);
	dlist_push_tail(&finished, &t->node);
	t->listed = true;
}

/* Reset callback: end the transfer and free what is malloc'd. */
static void
on_transfer_reset(void *arg)
{
	HttpTransfer *t = arg;

	if (t->listed)
		dlist_delete(&t->node);
	t->listed = false;
	release_handle(t);
	if (t->sent_body != NULL)
		explicit_bzero(t->sent_body, strlen(t->sent_body));
	if (t->body != NULL)
	{
		/* it may contain credentials */
		explicit_bzero(t->body, t->body_cap);
		free(t->body);
	}
	t->body = NULL;
}

/* Add a request header.  Returns false when out of memory. */
static bool
add_transfer_header(HttpTransfer *t, const OssField *header)
{
	OssText		line = {0};
	struct curl_slist *longer = NULL;

	oss_text_adds(&line, header->name);
	oss_text_adds(&line, ": ");
	oss_text_adds(&line, header->value ? header->value : "");
	if (!line.failed)
		longer = curl_slist_append(t->headers, line.data);
	oss_text_free(&line);
	if (longer == NULL)
		return false;
	t->headers = longer;
	return true;
}

/* Set URL, method, headers and body.  Returns false if libcurl refuses. */
static bool
set_request(HttpTransfer *t, const HttpSpec *spec)
{
	CURL	   *e = t->easy;
	CURLcode	code;

	code = curl_easy_setopt(e, CURLOPT_URL, spec->url);

	/* dot segments and double slashes are part of a key */
	if (code == CURLE_OK)
		code = curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);
	if (code == CURLE_OK && strcmp(spec->method, "HEAD") == 0)
		code = curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
	else if (code == CURLE_OK && strcmp(spec->method, "GET") != 0)
	{
		curl_easy_setopt(e, CURLOPT_POSTFIELDS, t->sent_body ? t->sent_body : "");
		curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE, (long) spec->body_len);
		code = curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, spec->method);
	}
	for (size_t i = 0; i < spec->nheaders; i++)
		if (!add_transfer_header(t, &spec->headers[i]))
			return false;
	if (code == CURLE_OK)
		code = curl_easy_setopt(e, CURLOPT_HTTPHEADER, t->headers);
	return code == CURLE_OK;
}

/* Set where it may go and how long it may take. */
static bool
set_limits(HttpTransfer *t, const HttpSpec *spec)
{
	CURL	   *e = t->easy;
	long		idle = usable_idle_seconds();

	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	oss_http_timeout_begin(&t->timeout, e, spec);
	if (spec->fresh || idle == 0)
		curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L);
	curl_easy_setopt(e, CURLOPT_MAXAGE_CONN, Max(idle, 1));
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(e, CURLOPT_HTTP_TRANSFER_DECODING, 1L);
	curl_easy_setopt(e, CURLOPT_USERAGENT, USER_AGENT);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, t);
	curl_easy_setopt(e, CURLOPT_CLOSESOCKETFUNCTION, on_close_socket);
	oss_set_before_send(e, on_send, t);

	/* a connection to the metadata service must not serve other requests */
	if (spec->reach == HTTP_REACH_METADATA)
		curl_easy_setopt(e, CURLOPT_FORBID_REUSE, 1L);
	curl_easy_setopt(e, CURLOPT_RESOLVER_START_FUNCTION, oss_http_loop_on_resolve);
	if (!oss_http_tunnel_begin(&t->tunnel, e, spec))
		return false;

	/* a proxy may be where an endpoint may be */
	if (t->tunnel.proxy != NULL)
		t->allowed.reach = HTTP_REACH_OSS;
	return oss_set_quick_exit(e) == CURLE_OK &&
		oss_set_max_life(e, MAX_LIFE_SECONDS) == CURLE_OK &&
		oss_set_protocols(e, spec->allow_http) == CURLE_OK;
}

/* Set the callbacks for the response. */
static bool
set_answer(HttpTransfer *t)
{
	CURL	   *e = t->easy;

	curl_easy_setopt(e, CURLOPT_PRIVATE, t);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->errors);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	return curl_easy_setopt(e, CURLOPT_WRITEDATA, t) == CURLE_OK;
}

/* Allocate a transfer in a context of its own. */
static HttpTransfer *
make_transfer(MemoryContext parent, const HttpSpec *spec, HttpDone done,
			  void *arg)
{
	MemoryContext context;
	HttpTransfer *t;

	context = AllocSetContextCreate(parent, "oss_labels transfer",
									ALLOCSET_SMALL_SIZES);
	t = MemoryContextAllocZero(context, sizeof(HttpTransfer));
	t->context = context;
	t->done = done;
	t->arg = arg;
	t->max_body = spec->max_body;
	t->want_headers = spec->want_headers;
	t->tell_sent = spec->sent;
	if (t->tell_sent)
		*t->tell_sent = !OSS_TELLS_SENT;
	t->allowed = oss_http_allowed(spec);
	if (spec->body != NULL)
	{
		t->sent_body = MemoryContextAllocZero(context, spec->body_len + 1);
		memcpy(t->sent_body, spec->body, spec->body_len);
	}
	t->reset.func = on_transfer_reset;
	t->reset.arg = t;
	MemoryContextRegisterResetCallback(context, &t->reset);
	return t;
}

/* Account for an idle period of the loop that ends now: extend timeouts. */
static void
make_up_for(int64 us)
{
	dlist_iter	iter;

	driven_us = oss_clock_us();
	if (us < LEFT_ALONE_US)
		return;
	alone_us += us;
	left_alone = true;
	dlist_foreach(iter, &running)
	{
		HttpTransfer *t = dlist_container(HttpTransfer, node, iter.cur);
		bool		before = t->timeout.stretched;

		oss_http_timeout_make_up(&t->timeout, t->easy, t->sent, us);
		if (t->timeout.stretched && !before)
			nstretched++;
	}
}

/* Account for the time since the loop was last run, if it was idle. */
static void
make_up_for_time_alone(void)
{
	make_up_for(driven_us == 0 ? 0 : oss_clock_us() - driven_us);
}

int64
oss_http_now(void)
{
	make_up_for_time_alone();
	return oss_clock_us() - alone_us;
}

/* If libcurl has given up, fail all transfers and discard the loop. */
static void
mend_loop(void)
{
	dlist_mutable_iter iter;

	if (!oss_http_loop_broken())
		return;
	dlist_foreach_modify(iter, &running)
	{
		HttpTransfer *t = dlist_container(HttpTransfer, node, iter.cur);

		t->no_memory = true;
		on_ended(t->easy, CURLE_OUT_OF_MEMORY);
	}
	oss_http_loop_discard();
}

HttpTransfer *
oss_http_start(MemoryContext context, const HttpSpec *spec, HttpDone done, void *arg)
{
	HttpTransfer *t;

	mend_loop();
	oss_http_loop_init(on_ended);
	make_up_for_time_alone();
	t = make_transfer(context, spec, done, arg);
	t->easy = nspare > 0 ? spare[--nspare] : curl_easy_init();
	if (t->easy == NULL || !set_request(t, spec) || !set_limits(t, spec) ||
		!oss_http_tls_begin(t->easy, spec, t->tunnel.proxy) || !set_answer(t) || !oss_http_loop_add(t->easy))
	{
		oss_http_free(t);
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not start an HTTP request"),
				 errdetail("libcurl refused it, most likely for lack of memory.")));
	}
	t->in_loop = true;
	in_flight++;
	dlist_push_tail(&running, &t->node);
	return t;
}

const HttpAnswer *
oss_http_answer(const HttpTransfer *t)
{
	return &t->answer;
}

void
oss_http_free(HttpTransfer *t)
{
	MemoryContextDelete(t->context);
}

bool
oss_http_turn(long timeout_ms)
{
	bool		latch_set;
	int64		late_us;

	mend_loop();
	oss_http_loop_init(on_ended);
	make_up_for_time_alone();
	if (!dlist_is_empty(&finished))
		timeout_ms = 0;
	else if (nstretched > 0 && (timeout_ms < 0 || timeout_ms > CHECK_MS))
		timeout_ms = CHECK_MS;
	latch_set = oss_http_loop_wait(timeout_ms, &late_us);

	/* a wait that took too long is idle time: the process was stopped */
	make_up_for(late_us);
	oss_http_loop_pump(left_alone);
	left_alone = false;
	if (nstretched > 0)
		oss_http_loop_check();
	mend_loop();
	while (!dlist_is_empty(&finished))
	{
		HttpTransfer *t = dlist_container(HttpTransfer, node,
										  dlist_pop_head_node(&finished));

		t->listed = false;
		t->done(t, t->arg);
	}
	return latch_set;
}

int
oss_http_in_flight(void)
{
	return in_flight;
}
