/*-------------------------------------------------------------------------
 * ini.c
 *	  Look a value up in an INI file.
 *-------------------------------------------------------------------------
 */
#include "protocol/ini.h"

#include <string.h>

/* A part of the text. */
typedef struct Span
{
	const char *begin;
	const char *end;
} Span;

/* Is this byte white space within a line? */
static bool
is_line_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* Leave the blanks around a span out. */
static Span
trim_span(Span span)
{
	while (span.begin < span.end && is_line_blank(*span.begin))
		span.begin++;
	while (span.end > span.begin && is_line_blank(span.end[-1]))
		span.end--;
	return span;
}

/* Cut the first line off the rest; return false when there is none. */
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

/* Does a span consist of this string? */
static bool
span_equals(Span span, const char *string)
{
	size_t		len = strlen(string);

	return (size_t) (span.end - span.begin) == len &&
		memcmp(span.begin, string, len) == 0;
}

/* Leave out the comment at the end of a span, and the blanks before it. */
static Span
cut_comment(Span span)
{
	for (const char *c = span.begin; c < span.end; c++)
		if ((*c == '#' || *c == ';') &&
			(c == span.begin || is_line_blank(c[-1])))
			span.end = c;
	return trim_span(span);
}

/* Is the line the header of a section?  Give its name. */
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

/* Split a line into name and value; return false when it has none. */
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

/* Tell whether there is a section. */
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

/* Find a value. */
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
