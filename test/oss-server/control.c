/*
 * control.c
 *	  The control interface: plain HTTP on a port of its own.
 *
 * Every command is a path with query parameters, by GET or POST alike; a
 * POST's body is the bytes some commands take.  README.md lists them.
 */
#include "control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "bucket.h"
#include "counter.h"
#include "credential.h"
#include "event.h"
#include "fault.h"
#include "http.h"
#include "labels.h"
#include "object.h"
#include "service.h"
#include "signature.h"
#include "state.h"
#include "stock.h"
#include "token.h"
#include "version.h"

/* A control request under way. */
typedef struct call
{
	char	   *target;
	bool		begun;
	buffer		upload;
	buffer		storage;
	pair_list	params;
	buffer		out;
	int			status;
} call;

/* Return a parameter as a C string, or "". */
static const char *
param(call *c, const char *name)
{
	text		value;

	if (!pair_list_get(&c->params, name, &value))
		return "";
	return value.data;
}

/* Return a parameter's bytes. */
static text
param_text(call *c, const char *name)
{
	text		value = {"", 0};

	pair_list_get(&c->params, name, &value);
	return value;
}

/* Return a parameter as a number. */
static int64_t
param_int(call *c, const char *name, int64_t otherwise)
{
	const char *s = param(c, name);

	return s[0] ? strtoll(s, NULL, 10) : otherwise;
}

/* Refuse a call. */
static void
bad(call *c, const char *why)
{
	c->status = 400;
	buffer_printf(&c->out, "%s\n", why);
}

/* Copy a parameter into a field; false when it is too long. */
static bool
copy_param(call *c, const char *name, char *field, size_t size)
{
	return snprintf(field, size, "%s", param(c, name)) < (int) size;
}

/* Copy the code of a parameter; false when the table of errors does not have it. */
static bool
copy_code(call *c, const char *name, char *field, size_t size)
{
	return copy_param(c, name, field, size) &&
		(field[0] == '\0' || service_error_find(field) != NULL);
}

/* Read a limit; false when the code is unknown or a number negative. */
static bool
read_throttle(call *c, throttle *t)
{
	int64_t		rate = param_int(c, "rate", 0);

	if (strcmp(param(c, "throttle"), THROTTLE_IMM) == 0)
		strcpy(t->code, THROTTLE_IMM);
	else if (!copy_code(c, "throttle", t->code, sizeof(t->code)))
		return false;
	t->retry_after = (int) param_int(c, "retry_after", 0);
	if (rate < 0 || t->retry_after < 0)
		return false;
	meter_init(&t->let_by, t->code[0] ? rate : 0);
	return true;
}

/*
 * Take the query apart.  Values are used as C strings, so each is copied with
 * a NUL behind it.
 */
static void
parse_params(call *c, text query)
{
	pair_list	raw = {0};
	buffer		decoded = {0};

	query_parse(&raw, &decoded, query);
	buffer_reserve(&c->storage, decoded.len + (size_t) raw.n * 2 + 1);
	for (int i = 0; i < raw.n; i++)
	{
		text		parts[2] = {raw.items[i].name, raw.items[i].value};

		for (int j = 0; j < 2; j++)
		{
			const char *at = c->storage.data + c->storage.len;

			buffer_text(&c->storage, parts[j]);
			buffer_add(&c->storage, "", 1);
			parts[j].data = at;
		}
		pair_list_add(&c->params, parts[0], parts[1]);
	}
	free(raw.items);
	buffer_free(&decoded);
}

/* Set what a bucket is like. */
static void
do_bucket(call *c)
{
	bucket_settings s = {0};

	if (!bucket_name_valid(param_text(c, "name")) ||
		!copy_param(c, "name", s.name, sizeof(s.name)) ||
		!copy_param(c, "region", s.region, sizeof(s.region)) ||
		!copy_param(c, "image", s.image, sizeof(s.image)) ||
		!copy_code(c, "refuse", s.refuse, sizeof(s.refuse)) ||
		strstr(s.image, "..") != NULL || !read_throttle(c, &s.limit))
	{
		bad(c, "no valid bucket name, or a bad value");
		return;
	}
	s.requester_pays = param_int(c, "requester_pays", 0) != 0;
	s.not_attached = param_int(c, "not_attached", 0) != 0;
	s.archive = param_int(c, "archive", 0) != 0;
	s.versioning = param_int(c, "versioning", 0) != 0;
	s.path_forbidden = param_int(c, "path_forbidden", 0) != 0;
	s.public_forbidden = param_int(c, "public_forbidden", 0) != 0;
	s.keys = param_int(c, "keys", 0);
	if (s.keys < 0 || s.keys > 10000000 ||
		!copy_param(c, "prefix", s.key_prefix, sizeof(s.key_prefix)))
	{
		bad(c, "keys must be at most 10000000, the prefix at most 63 bytes");
		return;
	}
	if (s.keys > 0 && s.image[0] == '\0')
		strcpy(s.image, "examplebucket/example.jpg");
	if (s.keys > 0 && pair_list_count(&c->params, "prefix") == 0)
		strcpy(s.key_prefix, "photos/");
	s.labels = (int) param_int(c, "labels", 0);
	s.labels_etag = param_int(c, "labels_etag", 0) != 0;
	bucket_set(&s);
	buffer_puts(&c->out, "ok\n");
}

/* Release what a call owns. */
static void
call_clear(call *c)
{
	free(c->target);
	free(c->params.items);
	buffer_free(&c->upload);
	buffer_free(&c->storage);
	buffer_free(&c->out);
}

/* Set the buckets that the data directory's file "buckets" describes. */
bool
control_load_buckets(void)
{
	char		path[PATH_MAX + 16];
	buffer		lines = {0};
	text		rest;
	bool		ok = true;

	snprintf(path, sizeof(path), "%s/buckets", object_root());
	if (!file_read(path, &lines))
		return true;
	rest = text_from(lines.data, lines.len);
	while (rest.len > 0)
	{
		text		line = text_cut(&rest, '\n');
		call		c = {.status = 200};

		if (line.len == 0 || line.data[0] == '#')
			continue;
		parse_params(&c, line);
		do_bucket(&c);
		ok = ok && c.status == 200;
		call_clear(&c);
	}
	buffer_free(&lines);
	return ok;
}

/* Forget counters, or everything that control ever said. */
static void
do_reset(call *c)
{
	const char *what = param(c, "what");

	if (what[0] == '\0' || strcmp(what, "faults") == 0)
		fault_remove(0);
	if (what[0] == '\0')
	{
		credential_reset();
		bucket_reset();
		state_reset();
		event_reset();
		token_ttl(0);
		service_labels_etag(false);
		control_load_buckets();
		cname_reset();
		labels_reset();
		server_time_shift(0);
		xml_style_usual(XML_PLAIN);
		http_keepalive(0, false);
	}
	if (what[0] == '\0' || strcmp(what, "counters") == 0)
		counter_reset(param(c, "tell")[0] ? &c->out : NULL);
	buffer_puts(&c->out, "ok\n");
}

/* List the counters. */
static void
do_counters(call *c)
{
	counter_list(&c->out, strcmp(param(c, "format"), "json") == 0);
}

/* Print one counter. */
static void
do_count(call *c)
{
	buffer_printf(&c->out, "%llu\n",
				  (unsigned long long) counter_value(param(c, "name")));
}

/* Print what was counted of a bucket, a requester, or both. */
static void
do_tally(call *c)
{
	if (param(c, "bucket")[0] == '\0' && param(c, "requester")[0] == '\0')
		bad(c, "no bucket and no requester");
	else
		counter_tally(&c->out, param(c, "bucket"), param(c, "requester"));
}

/* List requests of a kind by object. */
static void
do_keys(call *c)
{
	const char *name = param(c, "kind");
	request_kind kind = KIND_LABEL;

	if (name[0] && !request_kind_find(name, &kind))
		bad(c, "unknown kind");
	else
		counter_list_keys(&c->out, param(c, "bucket"), kind);
}

/* Print the label requests for one object. */
static void
do_key(call *c)
{
	buffer_printf(&c->out, "%llu\n", (unsigned long long)
				  counter_key(param(c, "bucket"), param_text(c, "key")));
}

/* Print the log. */
static void
do_log(call *c)
{
	counter_log(&c->out, (int) param_int(c, "n", -1),
				strcmp(param(c, "format"), "json") == 0);
}

/* Add a fault. */
static void
do_fault(call *c)
{
	buffer		reason = {0};
	int			id = fault_add(&c->params,
							   text_from(c->upload.data, c->upload.len), &reason);

	if (id == 0)
		bad(c, reason.data);
	else
		buffer_printf(&c->out, "%d\n", id);
	buffer_free(&reason);
}

/* List the faults. */
static void
do_faults(call *c)
{
	fault_list(&c->out);
}

/* Remove a fault, or all. */
static void
do_unfault(call *c)
{
	buffer_printf(&c->out, "%d\n", fault_remove((int) param_int(c, "id", 0)));
}

/* Copy the prefixes of a policy, one a line. */
static bool
copy_allow(call *c, char *field, size_t size)
{
	size_t		len = 0;

	for (int i = 0; i < c->params.n && len < size; i++)
	{
		if (text_eq(c->params.items[i].name, "allow"))
			len += (size_t) snprintf(field + len, size - len, "%s\n",
									 c->params.items[i].value.data);
	}
	return len < size;
}

/* Add or replace a credential. */
static void
do_credential(call *c)
{
	credential	k = {0};
	int64_t		expires_in = param_int(c, "expires_in", 0);

	if (!copy_param(c, "id", k.id, sizeof(k.id)) || k.id[0] == '\0' ||
		!copy_param(c, "secret", k.secret, sizeof(k.secret)) ||
		!copy_param(c, "token", k.token, sizeof(k.token)) ||
		!copy_code(c, "refuse", k.refuse, sizeof(k.refuse)) ||
		!copy_allow(c, k.allow, sizeof(k.allow)))
	{
		bad(c, "id missing, a value too long, or an unknown code");
		return;
	}
	k.disabled = param_int(c, "disabled", 0) != 0;
	k.deny_get = param_int(c, "deny_get", 0) != 0;
	k.deny_imm = param_int(c, "deny_imm", 0) != 0;
	k.deny_put = param_int(c, "deny_put", 0) != 0;
	k.deny_list = param_int(c, "deny_list", 0) != 0;
	k.uses_left = param_int(c, "uses", -1);
	k.expires_at = param_int(c, "expires_at",
							 expires_in ? server_time() + expires_in : 0);
	credential_set(&k);
	buffer_puts(&c->out, "ok\n");
}

/* Remove a credential. */
static void
do_credential_remove(call *c)
{
	buffer_puts(&c->out, credential_remove(param(c, "id")) ? "ok\n"
				: "no such id\n");
}

/* List the credentials. */
static void
do_credentials(call *c)
{
	credential_list(&c->out);
}

/* Shift the server's clock. */
static void
do_clock(call *c)
{
	server_time_shift(param_int(c, "shift", 0));
	buffer_printf(&c->out, "%lld\n", (long long) server_time());
}

/* Set the region and product that signatures must name. */
static void
do_scope(call *c)
{
	sign_scope	scope = server_scope;

	if ((param(c, "region")[0] &&
		 !copy_param(c, "region", scope.region, sizeof(scope.region))) ||
		(param(c, "product")[0] &&
		 !copy_param(c, "product", scope.product, sizeof(scope.product))))
	{
		bad(c, "a value is too long");
		return;
	}
	server_scope = scope;
	buffer_printf(&c->out, "%s %s\n", scope.region, scope.product);
}

/* Return a parameter as a truth, or -1 when it is not there. */
static int
param_truth(call *c, const char *name)
{
	return pair_list_count(&c->params, name) == 0 ? -1 :
		param_int(c, name, 0) != 0;
}

/* Read what is said of an object; false when a value is too long. */
static bool
read_traits(call *c, object_traits *t)
{
	traits_clear(t);
	t->size = param_int(c, "size", -1);
	t->modified = param_int(c, "modified", 0);
	t->archive = param_truth(c, "archive");
	t->deleted = param_truth(c, "deleted");
	t->changed = param_int(c, "changed", 0) != 0;
	if (t->changed && t->modified == 0)
		t->modified = server_time();
	return copy_param(c, "etag", t->etag, sizeof(t->etag)) &&
		copy_param(c, "class", t->storage_class, sizeof(t->storage_class)) &&
		copy_param(c, "type", t->type, sizeof(t->type)) &&
		copy_param(c, "restored", t->restored, sizeof(t->restored));
}

/* Set the state of an object or of one of its versions. */
static void
do_object(call *c)
{
	object_state s = {0};
	text		key = param_text(c, "key");
	text		content = param_text(c, "content");

	if (!copy_param(c, "bucket", s.bucket, sizeof(s.bucket)) ||
		!copy_param(c, "version", s.version, sizeof(s.version)) ||
		key.len == 0 || !read_traits(c, &s.traits) ||
		!read_throttle(c, &s.limit))
	{
		bad(c, "bucket or key missing, or a bad value");
		return;
	}
	s.key = (char *) key.data;
	s.key_len = key.len;
	s.content = content.len ? (char *) content.data : NULL;
	s.content_len = content.len;
	s.delete_marker = param_int(c, "delete_marker", 0) != 0;
	object_state_set(&s);
	buffer_puts(&c->out, "ok\n");
}

/* Say something of many objects. */
static void
do_objects(call *c)
{
	object_rule rule = {0};
	text		prefix = param_text(c, "prefix");

	rule.from = param_int(c, "from", 0);
	rule.to = param_int(c, "to", -1);
	rule.every = param_int(c, "every", 1);
	if (!copy_param(c, "bucket", rule.bucket, sizeof(rule.bucket)) ||
		rule.bucket[0] == '\0' || !read_traits(c, &rule.traits) ||
		rule.from < 0 || rule.every < 1 || (prefix.len > 0 && rule.to >= 0))
	{
		bad(c, "bucket missing, prefix and to at once, or a bad value");
		return;
	}
	rule.prefix = (char *) prefix.data;
	rule.prefix_len = prefix.len;
	object_rule_add(&rule);
	buffer_puts(&c->out, "ok\n");
}

/* Remove an object, unsigned. */
static void
do_delete(call *c)
{
	buffer_puts(&c->out, version_delete(param(c, "bucket"), param_text(c, "key"),
										param_text(c, "version")) ?
				"ok\n" : "no such object\n");
}

/* Print the event of an object. */
static void
do_event(call *c)
{
	event_shape shape;
	object_event e = {.name = param(c, "name")};

	if (!event_shape_of(param(c, "shape"), &shape) || param(c, "bucket")[0] == '\0')
	{
		bad(c, "no bucket, or an unknown shape");
		return;
	}
	if (e.name[0] == '\0')
		e.name = "ObjectCreated:PutObject";
	snprintf(e.bucket, sizeof(e.bucket), "%s", param(c, "bucket"));
	e.key = param_text(c, "key");
	event_fill(&e);
	if (param(c, "etag")[0])
		copy_param(c, "etag", e.etag, sizeof(e.etag));
	e.size = param_int(c, "size", e.size);
	e.when_ms = param_int(c, "time_ms", e.when_ms);
	event_write(&c->out, &e, shape);
}

/* Print the events of all that was stored and deleted since the last call. */
static void
do_events(call *c)
{
	event_shape shape;
	event_delivery how = {.drop = (int) param_int(c, "drop", 0),
		.repeat = (int) param_int(c, "repeat", 1),
		.shuffle = param_int(c, "shuffle", 0) != 0,
	.seed = (uint64_t) param_int(c, "seed", 1)};

	if (!event_shape_of(param(c, "shape"), &shape) || how.drop < 0 ||
		how.drop > 100 || how.repeat < 1 || how.repeat > 100)
		bad(c, "an unknown shape, or a bad number");
	else
		event_list(&c->out, shape, &how);
}

/* Set what the service does everywhere. */
static void
do_set(call *c)
{
	for (int i = 0; i < c->params.n; i++)
	{
		const pair *p = &c->params.items[i];

		if (text_eq(p->name, "token_ttl"))
			token_ttl(param_int(c, "token_ttl", 0));
		else if (text_eq(p->name, "labels_etag"))
			service_labels_etag(param_int(c, "labels_etag", 0) != 0);
		else
		{
			bad(c, "unknown setting");
			return;
		}
	}
	buffer_puts(&c->out, "ok\n");
}

/* Point a host at a bucket. */
static void
do_cname(call *c)
{
	if (param(c, "bucket")[0] && !bucket_name_valid(param_text(c, "bucket")))
	{
		bad(c, "no valid bucket name");
		return;
	}
	cname_set(param(c, "host"), param(c, "bucket"));
	buffer_puts(&c->out, "ok\n");
}

/* Store the request's body as an object, unsigned. */
static void
do_put(call *c)
{
	int			err = version_put(param(c, "bucket"), param_text(c, "key"),
								 text_from(c->upload.data, c->upload.len));

	if (err != 0)
		bad(c, strerror(err));
	else
		buffer_puts(&c->out, "ok\n");
}

/* Print the file of an object. */
static void
do_path(call *c)
{
	object		o;

	if (object_find(param(c, "bucket"), param_text(c, "key"), &o) !=
		LOOKUP_FOUND)
		bad(c, "no such object");
	else
		buffer_printf(&c->out, "%s\n", o.path);
}

/* Close all connections of clients. */
static void
do_close_connections(call *c)
{
	buffer_printf(&c->out, "%d\n", http_close_connections());
}

/* Say after how many requests a connection is closed. */
static void
do_keepalive(call *c)
{
	http_keepalive((int) param_int(c, "requests", 0),
				   param_int(c, "quiet", 0) != 0);
	buffer_puts(&c->out, "ok\n");
}

/* Set the form of errors. */
static void
do_errors(call *c)
{
	xml_style	style;

	if (!xml_style_of(param(c, "xml"), &style))
	{
		bad(c, "unknown xml");
		return;
	}
	xml_style_usual(style);
	buffer_puts(&c->out, "ok\n");
}

/* List the codes of the table of errors. */
static void
do_codes(call *c)
{
	const service_error *e;

	for (int i = 0; (e = service_error_at(i)) != NULL; i++)
		buffer_printf(&c->out, "%d\t%s\t%s\t%s\n", e->status, e->code,
					  e->ec[0] ? e->ec : "-", e->message);
}

/* Say that the server is alive. */
static void
do_ready(call *c)
{
	buffer_puts(&c->out, "ready\n");
}

static const struct
{
	const char *path;
	void		(*run) (call *c);
}			commands[] = {
	{"/ready", do_ready},
	{"/reset", do_reset},
	{"/counters", do_counters},
	{"/count", do_count},
	{"/tally", do_tally},
	{"/keys", do_keys},
	{"/key", do_key},
	{"/log", do_log},
	{"/fault", do_fault},
	{"/faults", do_faults},
	{"/unfault", do_unfault},
	{"/credential", do_credential},
	{"/credential-remove", do_credential_remove},
	{"/credentials", do_credentials},
	{"/clock", do_clock},
	{"/bucket", do_bucket},
	{"/scope", do_scope},
	{"/object", do_object},
	{"/objects", do_objects},
	{"/delete", do_delete},
	{"/set", do_set},
	{"/event", do_event},
	{"/events", do_events},
	{"/cname", do_cname},
	{"/put", do_put},
	{"/path", do_path},
	{"/close-connections", do_close_connections},
	{"/keepalive", do_keepalive},
	{"/errors", do_errors},
	{"/codes", do_codes},
};

/* Begin a call when the request line is there. */
void *
control_line(void *cls, const char *target, struct MHD_Connection *connection)
{
	call	   *c = must_alloc(sizeof(*c));

	c->target = strdup(target);
	c->status = 200;
	return c;
}

/* Run the command of a complete call. */
static void
run(call *c)
{
	text		query = text_of(c->target);
	text		path = text_cut(&query, '?');

	parse_params(c, query);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
	{
		if (text_eq(path, commands[i].path))
		{
			commands[i].run(c);
			return;
		}
	}
	c->status = 404;
	buffer_puts(&c->out, "no such command\n");
}

/* MHD's call for each step of a control request. */
enum MHD_Result
control_request(void *cls, struct MHD_Connection *connection, const char *url,
				const char *method, const char *version, const char *data,
				size_t *size, void **context)
{
	call	   *c = *context;
	struct MHD_Response *response;
	enum MHD_Result ok;

	if (!c->begun)
	{
		c->begun = true;
		return MHD_YES;
	}
	if (*size > 0)
	{
		buffer_add(&c->upload, data, *size);
		*size = 0;
		return MHD_YES;
	}
	run(c);
	response = MHD_create_response_from_buffer(c->out.len, c->out.data,
											   MHD_RESPMEM_PERSISTENT);
	MHD_add_response_header(response, "Content-Type",
							c->out.len > 0 && strchr("[{", c->out.data[0])
							? "application/json" : "text/plain");
	ok = MHD_queue_response(connection, (unsigned int) c->status, response);
	MHD_destroy_response(response);
	return ok;
}

/* End a call. */
void
control_completed(void *cls, struct MHD_Connection *connection, void **context,
				  enum MHD_RequestTerminationCode code)
{
	call	   *c = *context;

	if (c == NULL)
		return;
	*context = NULL;
	call_clear(c);
	free(c);
}
