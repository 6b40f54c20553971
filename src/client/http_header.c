/*-------------------------------------------------------------------------
 * http_header.c
 *	  Headers of a response, and the dates in them.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <time.h>

#include <curl/curl.h>

#include "client/http_internal.h"

/*
 * Copy a header's value, truncated to size.  Bytes other than printable ASCII
 * become "?": the value may become part of a text, in which they could be
 * invalid.
 */
static void
copy_value(char *to, size_t size, const char *from, size_t len)
{
	len = Min(len, size - 1);
	for (size_t i = 0; i < len; i++)
		to[i] = from[i] >= ' ' && from[i] < 0x7f ? from[i] : '?';
	to[len] = '\0';
}

void
oss_http_keep_header(HttpAnswer *answer, const char *line, size_t len)
{
	const struct
	{
		const char *name;
		char	   *value;
		size_t		size;
	}			kept[] = {
		{"content-type", answer->content_type, sizeof(answer->content_type)},
		{"etag", answer->etag, sizeof(answer->etag)},
		{"last-modified", answer->last_modified, sizeof(answer->last_modified)},
		{"x-oss-request-id", answer->request_id, sizeof(answer->request_id)},
		{"x-oss-ec", answer->ec, sizeof(answer->ec)},
		{"date", answer->date, sizeof(answer->date)},
		{"retry-after", answer->retry_after, sizeof(answer->retry_after)},
		{"x-oss-qos-delay-time", answer->qos_delay, sizeof(answer->qos_delay)},
		{"x-oss-err", answer->oss_err, sizeof(answer->oss_err)},
	};

	for (int i = 0; i < lengthof(kept); i++)
	{
		size_t		n = strlen(kept[i].name);

		if (len <= n || line[n] != ':' ||
			pg_strncasecmp(line, kept[i].name, n) != 0)
			continue;
		line += n + 1;
		len -= n + 1;
		while (len > 0 && (*line == ' ' || *line == '\t'))
		{
			line++;
			len--;
		}
		while (len > 0 && (unsigned char) line[len - 1] <= ' ')
			len--;
		copy_value(kept[i].value, kept[i].size, line, len);
		return;
	}
}

time_t
oss_http_parse_date(const char *text)
{
	struct tm	tm = {0};

	if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d", &tm.tm_year, &tm.tm_mon,
			   &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec) != 6)
		return text[0] == '\0' ? -1 : curl_getdate(text, NULL);
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	return timegm(&tm);
}
