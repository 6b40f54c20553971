/*
 * request.c
 *	  Take a request apart: target, Host, bucket, key and query.
 *
 * Everything is computed from the raw bytes of the request line, never from
 * what the HTTP library made of them.
 */
#include "request.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A host that a bucket's owner pointed at the service. */
typedef struct cname
{
	char	   *host;
	char		bucket[MAX_BUCKET + 1];
	struct cname *next;
} cname;

static const char *const kinds[N_KINDS] = {"label", "list", "head", "put",
"delete", "other"};

static cname *cnames;
static pthread_mutex_t cname_lock = PTHREAD_MUTEX_INITIALIZER;

/* Add a pair to a list. */
void
pair_list_add(pair_list *list, text name, text value)
{
	if (list->n == list->cap)
	{
		list->cap = list->cap ? list->cap * 2 : 16;
		list->items = must_realloc(list->items,
								   (size_t) list->cap * sizeof(pair));
	}
	list->items[list->n].name = name;
	list->items[list->n].value = value;
	list->n++;
}

/* Find the first value of a name. */
bool
pair_list_get(const pair_list *list, const char *name, text *value)
{
	for (int i = 0; i < list->n; i++)
	{
		if (text_eq(list->items[i].name, name))
		{
			*value = list->items[i].value;
			return true;
		}
	}
	return false;
}

/* Return how often a name occurs. */
int
pair_list_count(const pair_list *list, const char *name)
{
	int			n = 0;

	for (int i = 0; i < list->n; i++)
		n += text_eq(list->items[i].name, name);
	return n;
}

/* Return a header's first value, or the empty slice. */
text
request_header(const request *r, const char *name)
{
	text		value = {"", 0};

	pair_list_get(&r->headers, name, &value);
	return value;
}

/* Split a query string into decoded pairs. */
void
query_parse(pair_list *list, buffer *storage, text query)
{
	/* decoded text is never longer, so storage will not move under us */
	buffer_reserve(storage, query.len + 1);
	while (query.len > 0)
	{
		text		value = text_cut(&query, '&');
		text		name = text_cut(&value, '=');
		text		dname = {storage->data + storage->len, 0};
		text		dvalue;

		if (name.len == 0 && value.len == 0)
			continue;
		buffer_unescape(storage, name, true);
		dname.len = (size_t) (storage->data + storage->len - dname.data);
		dvalue.data = storage->data + storage->len;
		buffer_unescape(storage, value, true);
		dvalue.len = (size_t) (storage->data + storage->len - dvalue.data);
		pair_list_add(list, dname, dvalue);
	}
}

/* Point a host at a bucket, or forget it. */
void
cname_set(const char *host, const char *bucket)
{
	cname	  **link;

	pthread_mutex_lock(&cname_lock);
	for (link = &cnames; *link; link = &(*link)->next)
	{
		if (strcasecmp((*link)->host, host) == 0)
		{
			cname	   *gone = *link;

			*link = gone->next;
			free(gone->host);
			free(gone);
			break;
		}
	}
	if (bucket[0] != '\0')
	{
		cname	   *c = must_alloc(sizeof(*c));

		c->host = strdup(host);
		snprintf(c->bucket, sizeof(c->bucket), "%s", bucket);
		c->next = cnames;
		cnames = c;
	}
	pthread_mutex_unlock(&cname_lock);
}

/* Forget all CNAMEs. */
void
cname_reset(void)
{
	pthread_mutex_lock(&cname_lock);
	while (cnames)
	{
		cname	   *gone = cnames;

		cnames = gone->next;
		free(gone->host);
		free(gone);
	}
	pthread_mutex_unlock(&cname_lock);
}

/* Look a host up in the CNAME table. */
static bool
cname_find(text host, char *bucket)
{
	bool		found = false;

	pthread_mutex_lock(&cname_lock);
	for (cname *c = cnames; c && !found; c = c->next)
	{
		if (strlen(c->host) == host.len &&
			strncasecmp(c->host, host.data, host.len) == 0)
		{
			strcpy(bucket, c->bucket);
			found = true;
		}
	}
	pthread_mutex_unlock(&cname_lock);
	return found;
}

/*
 * Return whether a bucket name follows the documented rules, but that old ones
 * may have underscores within.
 */
bool
bucket_name_valid(text name)
{
	if (name.len < 3 || name.len > 63 || strchr("-_", name.data[0]) ||
		strchr("-_", name.data[name.len - 1]))
		return false;
	for (size_t i = 0; i < name.len; i++)
	{
		char		c = name.data[i];

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_'))
			return false;
	}
	return true;
}

/* Return the host without its port; brackets of IPv6 stay. */
static text
host_name(text host)
{
	const char *p;

	if (host.len > 0 && host.data[0] == '[')
	{
		p = memchr(host.data, ']', host.len);
		if (p)
			host.len = (size_t) (p - host.data) + 1;
		return host;
	}
	return text_cut(&host, ':');
}

/* Return whether a host is an IP literal or localhost itself. */
static bool
is_address(text host)
{
	char		name[64];
	struct in_addr in;

	if (host.len > 0 && host.data[0] == '[')
		return true;
	if (host.len >= sizeof(name))
		return false;
	memcpy(name, host.data, host.len);
	name[host.len] = '\0';
	return strcasecmp(name, "localhost") == 0 || inet_aton(name, &in) != 0;
}

/* Return whether a host is an endpoint of OSS without a bucket. */
static bool
is_service_host(text host)
{
	text		rest = host;
	text		first = text_cut(&rest, '.');

	return text_eq(rest, "aliyuncs.com") && text_starts(first, "oss");
}

/* Find out where the bucket's name stands and take it from a host's label. */
static void
parse_host(request *r)
{
	text		host = host_name(request_header(r, "host"));
	text		rest = host;
	text		bucket;

	r->host = host;
	if (cname_find(host, r->bucket))
		r->style = HOST_CNAME;
	else if (is_address(host))
		r->style = HOST_PATH;
	else if (is_service_host(host))
		r->style = HOST_SERVICE;
	else if (memchr(host.data, '.', host.len) == NULL)
		r->style = HOST_UNKNOWN;
	else
	{
		r->style = HOST_VIRTUAL;
		bucket = text_cut(&rest, '.');
		if (bucket.len > MAX_BUCKET)
			bucket.len = MAX_BUCKET;
		for (size_t i = 0; i < bucket.len; i++)
			r->bucket[i] = (char) tolower((unsigned char) bucket.data[i]);
		r->bucket[bucket.len] = '\0';
	}
}

/* Split the raw target into decoded path and query. */
static void
parse_target(request *r)
{
	text		query = text_of(r->target);
	text		path = text_cut(&query, '?');
	const char *slash;

	/* the absolute form of proxies: drop scheme and authority */
	if (text_starts(path, "http://") || text_starts(path, "https://"))
	{
		text		tail = path;

		text_cut(&tail, ':');
		tail.data += 2;
		tail.len -= 2;
		slash = memchr(tail.data, '/', tail.len);
		path.len = slash ? (size_t) (path.data + path.len - slash) : 0;
		path.data = slash;
	}
	buffer_unescape(&r->path, path, false);
	query_parse(&r->query, &r->storage, query);
}

/* Take the bucket off the path of a path-style request. */
static void
parse_path_bucket(request *r, text rest)
{
	text		bucket = text_cut(&rest, '/');

	r->bucket_invalid = bucket.len > 0 && !bucket_name_valid(bucket);
	if (bucket.len > MAX_BUCKET)
		bucket.len = MAX_BUCKET;
	memcpy(r->bucket, bucket.data, bucket.len);
	r->bucket[bucket.len] = '\0';
	r->key = rest;
}

/* Take the request apart. */
void
request_parse(request *r)
{
	text		rest;
	text		process;

	parse_host(r);
	parse_target(r);
	rest.data = r->path.data;
	rest.len = r->path.len;
	if (rest.len > 0 && rest.data[0] == '/')
	{
		rest.data++;
		rest.len--;
	}
	if (r->style == HOST_PATH)
		parse_path_bucket(r, rest);
	else
	{
		r->key = rest;
		if (r->style == HOST_VIRTUAL)
			r->bucket_invalid = !bucket_name_valid(text_of(r->bucket));
	}
	r->is_sts = strcmp(r->method, "POST") == 0 &&
		pair_list_count(&r->query, "Action") > 0;
	r->is_list = strcmp(r->method, "GET") == 0 && r->bucket[0] != '\0' &&
		r->key.len == 0 && (pair_list_count(&r->query, "list-type") > 0 ||
							pair_list_count(&r->query, "versions") > 0);
	if (r->is_list)
		pair_list_get(&r->query, "prefix", &r->list_prefix);
	else if (pair_list_get(&r->query, "x-oss-process", &process))
		r->is_label = text_starts(process, "image/labels");
}

/* Release all a request owns. */
void
request_free(request *r)
{
	free(r->method);
	free(r->target);
	free(r->additional);
	free(r->headers.items);
	free(r->query.items);
	buffer_free(&r->storage);
	buffer_free(&r->path);
	buffer_free(&r->header_names);
	buffer_free(&r->upload);
	buffer_free(&r->answer.headers);
	buffer_free(&r->answer.body);
	free(r);
}

/* Return what a request is for. */
request_kind
request_kind_of(const request *r)
{
	if (r->is_label || r->is_list)
		return r->is_label ? KIND_LABEL : KIND_LIST;
	for (request_kind kind = KIND_HEAD; r->method && kind < KIND_OTHER; kind++)
	{
		if (strcasecmp(r->method, kinds[kind]) == 0)
			return kind;
	}
	return KIND_OTHER;
}

/* Name a kind. */
const char *
request_kind_name(request_kind kind)
{
	return kinds[kind];
}

/* Find a kind by its name. */
bool
request_kind_find(const char *name, request_kind *kind)
{
	for (*kind = 0; *kind < N_KINDS; ++*kind)
	{
		if (strcmp(kinds[*kind], name) == 0)
			return true;
	}
	return false;
}
