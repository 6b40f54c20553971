/*
 * call.c
 *	  The parameters of a control request.
 */
#include "call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"

/* Return a parameter as a C string, or "". */
const char *
param(call *c, const char *name)
{
	text		value;

	if (!pair_list_get(&c->params, name, &value))
		return "";
	return value.data;
}

/* Return a parameter's bytes. */
text
param_text(call *c, const char *name)
{
	text		value = {"", 0};

	pair_list_get(&c->params, name, &value);
	return value;
}

/* Return a parameter as a number. */
int64_t
param_int(call *c, const char *name, int64_t otherwise)
{
	const char *s = param(c, name);

	return s[0] ? strtoll(s, NULL, 10) : otherwise;
}

/* Refuse a call. */
void
bad(call *c, const char *why)
{
	c->status = 400;
	buffer_printf(&c->out, "%s\n", why);
}

/* Copy a parameter into a field; false when it is too long. */
bool
copy_param(call *c, const char *name, char *field, size_t size)
{
	return snprintf(field, size, "%s", param(c, name)) < (int) size;
}

/* Copy the code of a parameter; false when the table of errors does not have it. */
bool
copy_code(call *c, const char *name, char *field, size_t size)
{
	return copy_param(c, name, field, size) &&
		(field[0] == '\0' || service_error_find(field) != NULL);
}

/* Read a limit; false when the code is unknown or a number negative. */
bool
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
void
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

/* Release what a call owns. */
void
call_clear(call *c)
{
	free(c->target);
	free(c->params.items);
	buffer_free(&c->upload);
	buffer_free(&c->storage);
	buffer_free(&c->out);
}
