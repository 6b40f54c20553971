/*
 * json.c
 *	  Walk JSON as raw slices, so that numbers keep the digits they came with.
 *
 * A label file says LabelConfidence 0.735 and the client must get 0.735, not
 * the nearest double printed in full: therefore values are never converted.
 */
#include "json.h"

#include <stdlib.h>
#include <string.h>

/* Drop n bytes. */
static void
advance(text *t, size_t n)
{
	t->data += n;
	t->len -= n;
}

/* Drop white space. */
static void
skip_blanks(text *t)
{
	while (t->len > 0 && strchr(" \t\r\n", t->data[0]) != NULL &&
		   t->data[0] != '\0')
		advance(t, 1);
}

/* Drop a string with its quotes. */
static bool
skip_string(text *t)
{
	if (t->len == 0 || t->data[0] != '"')
		return false;
	advance(t, 1);
	while (t->len > 0 && t->data[0] != '"')
	{
		if (t->data[0] == '\\' && t->len > 1)
			advance(t, 1);
		advance(t, 1);
	}
	if (t->len == 0)
		return false;
	advance(t, 1);
	return true;
}

/* Drop a number or one of true, false, null. */
static bool
skip_word(text *t)
{
	size_t		n = 0;

	while (n < t->len && t->data[n] != '\0' &&
		   strchr(",]} \t\r\n:", t->data[n]) == NULL)
		n++;
	if (n == 0)
		return false;
	advance(t, n);
	return true;
}

/* Drop an object or array, however deep, by counting brackets. */
static bool
skip_nested(text *t)
{
	int			depth = 0;

	while (t->len > 0)
	{
		char		c = t->data[0];

		if (c == '"')
		{
			if (!skip_string(t))
				return false;
			continue;
		}
		advance(t, 1);
		if (c == '{' || c == '[')
			depth++;
		else if (c == '}' || c == ']')
		{
			if (--depth == 0)
				return true;
		}
	}
	return false;
}

/* Take one value. */
bool
json_value(text *rest, text *value)
{
	bool		ok;

	skip_blanks(rest);
	*value = *rest;
	if (rest->len == 0)
		return false;
	if (rest->data[0] == '"')
		ok = skip_string(rest);
	else if (rest->data[0] == '{' || rest->data[0] == '[')
		ok = skip_nested(rest);
	else
		ok = skip_word(rest);
	value->len = (size_t) (rest->data - value->data);
	return ok;
}

/* Open an object or array. */
bool
json_open(text value, char bracket, text *inside)
{
	if (value.len < 2 || value.data[0] != bracket)
		return false;
	inside->data = value.data + 1;
	inside->len = value.len - 2;
	return true;
}

/* Take the next member or element. */
bool
json_next(text *inside, text *name, text *value)
{
	skip_blanks(inside);
	if (inside->len > 0 && inside->data[0] == ',')
		advance(inside, 1);
	if (name != NULL)
	{
		if (!json_value(inside, name) || name->data[0] != '"')
			return false;
		skip_blanks(inside);
		if (inside->len == 0 || inside->data[0] != ':')
			return false;
		advance(inside, 1);
	}
	return json_value(inside, value);
}

/* Read a number. */
bool
json_number(text value, double *number)
{
	char		s[64];
	char	   *end;

	if (value.len == 0 || value.len >= sizeof(s) ||
		(value.data[0] != '-' &&
		 (value.data[0] < '0' || value.data[0] > '9')))
		return false;
	memcpy(s, value.data, value.len);
	s[value.len] = '\0';
	*number = strtod(s, &end);
	return *end == '\0';
}
