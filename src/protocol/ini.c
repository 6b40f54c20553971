/*-------------------------------------------------------------------------
 * ini.c
 *	  Look up a value in an INI file.
 *-------------------------------------------------------------------------
 */
#include "protocol/ini.h"

#include <string.h>

/* A range of the text. */
typedef struct Span
{
	const char *begin;
	const char *end;
} Span;

static bool
is_line_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static Span
trim_span(Span span)
{
	while (span.begin < span.end && is_line_blank(*span.begin))
		span.begin++;
	while (span.end > span.begin && is_line_blank(span.end[-1]))
		span.end--;
	return span;
}

/* Move the first line of *rest to *line.  Returns false if *rest is empty. */
static bool
next_line(Span *rest, Span *line)
{
	const char *newline;

	if (rest->begin == rest->end)
		return false;
	newline = memchr(rest->begin, '\n', rest->end - rest->begin);
	line->begin = rest->begin;
	line->end = newline != NULL ? newline : rest->end;
	rest->begin = newline != NULL ? newline + 1 : rest->end;
	*line = trim_span(*line);
	return true;
}

static bool
span_equals(Span span, const char *string)
{
	size_t		len = strlen(string);

	return (size_t) (span.end - span.begin) == len &&
		memcmp(span.begin, string, len) == 0;
}

/* Remove a trailing comment and the blanks before it. */
static Span
cut_comment(Span span)
{
	for (const char *c = span.begin; c < span.end; c++)
		if ((*c == '#' || *c == ';') &&
			(c == span.begin || is_line_blank(c[-1])))
			span.end = c;
	return trim_span(span);
}

/* Is the line a section header?  If so, set *name. */
static bool
section_name(Span line, Span *name)
{
	line = cut_comment(line);
	if (line.end - line.begin < 2 || *line.begin != '[' ||
		line.end[-1] != ']')
		return false;
	name->begin = line.begin + 1;
	name->end = line.end - 1;
	*name = trim_span(*name);
	return true;
}

/* Split a line into name and value.  Returns false for other lines. */
static bool
split_line(Span line, Span *name, Span *value)
{
	const char *sign = line.begin;

	if (line.begin == line.end || *line.begin == '#' || *line.begin == ';')
		return false;
	while (sign < line.end && *sign != '=' && *sign != ':')
		sign++;
	if (sign == line.end)
		return false;
	name->begin = line.begin;
	name->end = sign;
	*name = trim_span(*name);
	value->begin = sign + 1;
	value->end = line.end;
	*value = cut_comment(*value);
	return true;
}

bool
oss_ini_has_section(const char *bytes, size_t len, const char *section)
{
	Span		rest = {bytes, bytes + len};
	Span		line;
	Span		name;

	while (next_line(&rest, &line))
		if (section_name(line, &name) && span_equals(name, section))
			return true;
	return false;
}

bool
oss_ini_find(const char *bytes, size_t len, const char *section,
			 const char *name, const char **value, size_t *value_len)
{
	Span		rest = {bytes, bytes + len};
	Span		line;
	Span		found_name;
	Span		found;
	bool		in_section = false;
	bool		is_there = false;

	while (next_line(&rest, &line))
	{
		if (section_name(line, &found))
			in_section = span_equals(found, section);
		else if (in_section && split_line(line, &found_name, &found) &&
				 span_equals(found_name, name))
		{
			*value = found.begin;
			*value_len = found.end - found.begin;
			is_there = true;
		}
	}
	return is_there;
}
