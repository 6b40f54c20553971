/*
 * control_object.c
 *	  The control interface: what is said to and of objects.
 */
#include "call.h"

#include <stdio.h>
#include <string.h>

#include "answer.h"
#include "event.h"
#include "object.h"
#include "state.h"
#include "version.h"

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
void
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
void
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
void
do_delete(call *c)
{
	buffer_puts(&c->out, version_delete(param(c, "bucket"), param_text(c, "key"),
										param_text(c, "version")) ?
				"ok\n" : "no such object\n");
}

/* Store the request's body as an object, unsigned. */
void
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
void
do_path(call *c)
{
	object		o;

	if (object_find(param(c, "bucket"), param_text(c, "key"), &o) !=
		LOOKUP_FOUND)
		bad(c, "no such object");
	else
		buffer_printf(&c->out, "%s\n", o.path);
}

/* Print the event of an object. */
void
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
void
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
