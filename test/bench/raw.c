/*-------------------------------------------------------------------------
 * raw.c
 *	  Label requests by libcurl and nothing else: what the database is
 *	  measured against.
 *
 * It makes the requests detect() makes, each signed anew with the same
 * signer, keeps a fixed number in flight, and takes an answer for good when
 * it is a 200 that mentions Labels; it does not parse it.  It is meant to be
 * as fast as libcurl allows: kept handles and connections, and epoll under
 * curl_multi_socket_action() unless one request follows another.
 *
 * Usage: raw -n REQUESTS -c IN_FLIGHT [-k KEYS] [-b BUCKET] [-f] [-l] URL
 * Keys are 1.jpg, 2.jpg, ... KEYS.jpg, over and over.  -f opens a new
 * connection for each request.  -l lists the bucket instead, one page of 1,000
 * objects after another, and looks for nothing in them but the token.  OSS_CA_FILE names the CA file, if any, and
 * credentials are the stand-in's.  Prints requests per second, seconds of
 * CPU and connections opened, separated by tabs.
 *-------------------------------------------------------------------------
 */
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "protocol/signature_v4.h"
#include "protocol/uri.h"

#define REGION "cn-hangzhou"
#define PROCESS "image/labels"
#define EVENTS 256

/* What is asked for, from the command line. */
typedef struct Load
{
	long		requests;
	long		in_flight;
	long		keys;
	const char *bucket;
	bool		fresh;
	bool		list;
	OssEndpoint endpoint;
	const char *ca_file;
} Load;

/* One request at a time; headers belong to the request under way. */
typedef struct Slot
{
	CURL	   *easy;
	struct curl_slist *headers;
	OssText		url;
	OssText		authorization;
	OssText		body;
} Slot;

static Load load = {
	.requests = 1000,
	.in_flight = 1,
	.keys = 1,
	.bucket = "bench"
};
static OssSigningKey signing_key;
static Slot *slots;
static long started;
static long connections;
static char token[1024];		/* of the next page, or "" */
static int	epoll_fd;
static double act_by = -1;		/* when libcurl wants to be called, if ever */

/* Say what went wrong and give up. */
static void
fail(const char *what, const char *why)
{
	fprintf(stderr, "raw: %s: %s\n", what, why);
	exit(1);
}

/* Read the clock that never goes back, in seconds. */
static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* Return the CPU time used so far, in seconds. */
static double
cpu_seconds(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return u.ru_utime.tv_sec + u.ru_utime.tv_usec / 1e6 +
		u.ru_stime.tv_sec + u.ru_stime.tv_usec / 1e6;
}

/* Keep a piece of the body (libcurl's write callback). */
static size_t
keep_body(char *data, size_t size, size_t n, void *arg)
{
	oss_text_add(arg, data, size * n);
	return size * n;
}

/* Append a formatted header to a slot's list. */
static void
add_header(Slot *slot, const char *name, const char *value)
{
	char		line[2048];

	snprintf(line, sizeof(line), "%s: %s", name, value);
	slot->headers = curl_slist_append(slot->headers, line);
}

/* Keep the token of the page after one; "" after the last. */
static void
keep_token(const char *body)
{
	static const char open[] = "<NextContinuationToken>";
	const char *begin = strstr(body, open);
	size_t		n;

	token[0] = '\0';
	if (!begin)
		return;
	begin += strlen(open);
	n = strcspn(begin, "<");
	if (n >= sizeof(token))
		fail("token", "too long");
	memcpy(token, begin, n);
	token[n] = '\0';
	if (!oss_query_unescape(token, &n))
		fail("token", begin);
	token[n] = '\0';
}

/*
 * Sign a request for a key, or for a page if that is NULL, and give it to the
 * slot's handle.
 */
static void
sign(Slot *slot, const char *key)
{
	OssCredentials who = {"testid", "testsecret", NULL};
	OssField	labels[] = {{"x-oss-process", PROCESS}};
	OssField	page[] = {{"list-type", "2"}, {"encoding-type", "url"}, {"max-keys", "1000"},
	{"continuation-token", token}};
	OssField	headers[] = {{"x-oss-content-sha256", "UNSIGNED-PAYLOAD"}, {"x-oss-date", NULL}};
	OssToSign	what = {
		.method = "GET",
		.bucket = load.bucket,
		.key = key,
		.query = key ? labels : page,
		.nquery = key ? 1 : token[0] ? 4 : 3,
		.headers = headers,
		.nheaders = 2,
		.region = REGION,
		.product = "oss"
	};

	oss_timestamp(time(NULL), what.timestamp);
	headers[1].value = what.timestamp;
	oss_text_reset(&slot->authorization);
	if (!oss_sign_header(&slot->authorization, &what, &who, &signing_key))
		fail("signing", key ? key : load.bucket);
	curl_slist_free_all(slot->headers);
	slot->headers = NULL;
	add_header(slot, headers[0].name, headers[0].value);
	add_header(slot, headers[1].name, headers[1].value);
	add_header(slot, "Authorization", slot->authorization.data);

	oss_text_reset(&slot->url);
	oss_object_url(&slot->url, &load.endpoint, OSS_PATH, load.bucket, key);
	oss_text_adds(&slot->url, "?");
	oss_query_string(&slot->url, what.query, what.nquery);
}

/* Make a slot's handle ready for the next request. */
static void
prepare(Slot *slot)
{
	char		key[32];

	snprintf(key, sizeof(key), "%ld.jpg", started++ % load.keys + 1);
	sign(slot, load.list ? NULL : key);
	oss_text_reset(&slot->body);
	curl_easy_setopt(slot->easy, CURLOPT_URL, slot->url.data);
	curl_easy_setopt(slot->easy, CURLOPT_HTTPHEADER, slot->headers);
}

/* Take a finished answer, which has to be labels. */
static void
take(Slot *slot, CURLcode result)
{
	long		status = 0;
	long		opened = 0;

	if (result != CURLE_OK)
		fail(slot->url.data, curl_easy_strerror(result));
	curl_easy_getinfo(slot->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(slot->easy, CURLINFO_NUM_CONNECTS, &opened);
	connections += opened;
	if (status != 200 || !slot->body.data ||
		(!load.list && !strstr(slot->body.data, "\"Labels\"")))
		fail(slot->url.data, slot->body.data ? slot->body.data : "no answer");
	if (load.list)
		keep_token(slot->body.data);
}

/* Give a slot its handle, with all that stays the same. */
static void
open_slot(Slot *slot)
{
	CURL	   *easy = curl_easy_init();

	slot->easy = easy;
	curl_easy_setopt(easy, CURLOPT_PRIVATE, slot);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, keep_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, &slot->body);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT, 60L);
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, load.fresh ? 1L : 0L);
	if (load.ca_file)
		curl_easy_setopt(easy, CURLOPT_CAINFO, load.ca_file);

	/* so that libcurl parses the file once, not for each connection */
	curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
}

/* Make one request after another. */
static void
one_by_one(void)
{
	while (started < load.requests)
	{
		prepare(&slots[0]);
		take(&slots[0], curl_easy_perform(slots[0].easy));
	}
}

/* Watch a socket as libcurl wants (its socket callback). */
static int
watch(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
	struct epoll_event event = {.data.fd = fd};

	(void) easy;
	if (what == CURL_POLL_REMOVE)
	{
		epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);
		return 0;
	}
	event.events = (what & CURL_POLL_IN ? EPOLLIN : 0) |
		(what & CURL_POLL_OUT ? EPOLLOUT : 0);
	epoll_ctl(epoll_fd, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event);
	curl_multi_assign(arg, fd, &epoll_fd);
	return 0;
}

/* Remember when libcurl wants to be called (its timer callback). */
static int
set_timer(CURLM *multi, long ms, void *arg)
{
	(void) multi;
	(void) arg;
	act_by = ms < 0 ? -1 : now() + ms / 1e3;
	return 0;
}

/* Take what has finished and start what comes next; return how many finished. */
static long
refill(CURLM *multi)
{
	CURLMsg    *message;
	int			left;
	long		finished = 0;

	while ((message = curl_multi_info_read(multi, &left)))
	{
		Slot	   *slot;
		CURLcode	result = message->data.result;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &slot);
		curl_multi_remove_handle(multi, slot->easy);
		take(slot, result);
		finished++;
		if (started < load.requests)
		{
			prepare(slot);
			curl_multi_add_handle(multi, slot->easy);
		}
	}
	return finished;
}

/* Return how many milliseconds to wait at most for a socket. */
static int
patience(void)
{
	double		left = act_by - now();

	if (act_by < 0)
		return 1000;
	return left <= 0 ? 0 : (int) (left * 1e3) + 1;
}

/* Wait for sockets or the timer, and let libcurl act on them. */
static void
act(CURLM *multi)
{
	struct epoll_event events[EVENTS];
	int			running;
	int			n = epoll_wait(epoll_fd, events, EVENTS, patience());

	if (n < 0 && errno != EINTR)
		fail("epoll_wait", strerror(errno));
	for (int i = 0; i < n; i++)
	{
		uint32_t	what = events[i].events;
		int			mask = ((what & EPOLLIN ? CURL_CSELECT_IN : 0) |
							(what & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
							(what & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0));

		curl_multi_socket_action(multi, events[i].data.fd, mask, &running);
	}
	if (act_by >= 0 && now() >= act_by)
	{
		act_by = -1;
		curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
	}
}

/* Keep the wanted number of requests in flight until all are answered. */
static void
many_at_once(void)
{
	CURLM	   *multi = curl_multi_init();
	long		done = 0;

	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, watch);
	curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, multi);
	curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, set_timer);
	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, load.in_flight);
	curl_multi_setopt(multi, CURLMOPT_PIPELINING, (long) CURLPIPE_NOTHING);
	for (long i = 0; i < load.in_flight && started < load.requests; i++)
	{
		prepare(&slots[i]);
		curl_multi_add_handle(multi, slots[i].easy);
	}
	while (done < load.requests)
	{
		act(multi);
		done += refill(multi);
	}
}

/* Read the command line. */
static void
read_arguments(int argc, char **argv)
{
	int			c;
	const char *problem;

	while ((c = getopt(argc, argv, "n:c:k:b:fl")) != -1)
	{
		switch (c)
		{
			case 'n':
				load.requests = atol(optarg);
				break;
			case 'c':
				load.in_flight = atol(optarg);
				break;
			case 'k':
				load.keys = atol(optarg);
				break;
			case 'b':
				load.bucket = optarg;
				break;
			case 'f':
				load.fresh = true;
				break;
			case 'l':
				load.list = true;
				break;
			default:
				exit(2);
		}
	}
	if (optind != argc - 1)
		fail("usage", "raw -n REQUESTS -c IN_FLIGHT [-k KEYS] [-b BUCKET] [-f] [-l] URL");
	if (load.list && load.in_flight > 1)
		fail("usage", "each page of a listing names the next one");
	if (load.requests < 1 || load.in_flight < 1 || load.keys < 1)
		fail("usage", "-n, -c and -k are 1 at least");
	if ((problem = oss_endpoint_parse(argv[optind], &load.endpoint)))
		fail(argv[optind], problem);
	load.ca_file = getenv("OSS_CA_FILE");
}

int
main(int argc, char **argv)
{
	double		began;

	read_arguments(argc, argv);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	slots = calloc(load.in_flight, sizeof(Slot));
	for (long i = 0; i < load.in_flight; i++)
		open_slot(&slots[i]);
	began = now();
	if (load.in_flight == 1)
		one_by_one();
	else
		many_at_once();
	printf("%.1f\t%.3f\t%ld\n", load.requests / (now() - began), cpu_seconds(), connections);
	return 0;
}
