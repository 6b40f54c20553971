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
#include "call.h"
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
#include "sts.h"
#include "token.h"

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
	s.not_accelerated = param_int(c, "not_accelerated", 0) != 0;
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
		sts_reset();
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

/* Add a role that STS knows, or replace it. */
static void
do_sts_role(call *c)
{
	sts_role	role = {0};

	if (!copy_param(c, "arn", role.arn, sizeof(role.arn)) || role.arn[0] == '\0' ||
		!copy_param(c, "trust", role.trust, sizeof(role.trust)) ||
		!copy_param(c, "external_id", role.external_id, sizeof(role.external_id)) ||
		!copy_param(c, "oidc_token", role.oidc_token, sizeof(role.oidc_token)))
	{
		bad(c, "arn missing, or a value too long");
		return;
	}
	role.max_duration = param_int(c, "max_duration", 3600);
	role.lifetime = param_int(c, "lifetime", 0);
	sts_role_set(&role);
	buffer_puts(&c->out, "ok\n");
}

/* List the calls of STS. */
static void
do_sts_log(call *c)
{
	sts_log(&c->out);
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
	{"/sts-role", do_sts_role},
	{"/sts-log", do_sts_log},
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
