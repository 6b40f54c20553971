/*
 * log.c
 *	  A ring of the last requests.
 *
 * Signatures, tokens and credentials are never written: they are replaced
 * before anything is remembered, and the Authorization header is not kept.
 */
#include "log.h"

#include <stdlib.h>
#include <string.h>

#define LOG_SIZE 4096

/* One request that is over. */
typedef struct record
{
	uint64_t	serial;
	uint64_t	arrived_us;
	uint64_t	took_us;
	uint64_t	connection_id;
	int			status;
	const char *fate;
	const char *kind;
	char		code[MAX_CODE];
	char		request_id[REQUEST_ID_LEN + 1];
	char		access_key_id[64];
	char	   *method;
	char	   *host;
	char	   *target;
	char	   *agent;
	char	   *signed_at;
} record;

static record ring[LOG_SIZE];
static uint64_t next_serial;

/* Release what a record owns. */
static void
record_clear(record *rec)
{
	free(rec->method);
	free(rec->host);
	free(rec->target);
	free(rec->agent);
	free(rec->signed_at);
	memset(rec, 0, sizeof(*rec));
}

/* Forget all records. */
void
log_reset(void)
{
	for (int i = 0; i < LOG_SIZE; i++)
		record_clear(&ring[i]);
	next_serial = 0;
}

/* Return whether a query parameter's value is secret. */
static bool
is_secret(text name)
{
	return text_eq(name, "x-oss-signature") ||
		text_eq(name, "x-oss-security-token") ||
		text_eq(name, "x-oss-credential") || text_eq(name, "Signature") ||
		text_eq(name, "security-token");
}

/* Return the target with the values of secret parameters replaced. */
static char *
safe_target(const char *target)
{
	text		query = text_of(target);
	text		path = text_cut(&query, '?');
	buffer		out = {0};
	char		sep = '?';

	buffer_text(&out, path);
	while (query.len > 0)
	{
		text		value = text_cut(&query, '&');
		text		whole = value;
		text		name = text_cut(&value, '=');

		buffer_add(&out, &sep, 1);
		if (is_secret(name))
		{
			buffer_text(&out, name);
			buffer_puts(&out, "=***");
		}
		else
			buffer_text(&out, whole);
		sep = '&';
	}
	return out.data;
}

/* Remember a request that is over. */
void
log_add(const request *r, bool completed, bool abandoned)
{
	record	   *rec = &ring[next_serial % LOG_SIZE];

	record_clear(rec);
	rec->serial = ++next_serial;
	rec->arrived_us = r->arrived_us;
	rec->took_us = now_us() - r->arrived_us;
	rec->connection_id = r->connection_id;
	rec->status = r->answer.status;
	rec->fate = abandoned ? "abandoned" : completed ? "completed" : "failed";
	rec->kind = request_kind_name(request_kind_of(r));
	strcpy(rec->code, r->answer.code);
	strcpy(rec->request_id, r->answer.request_id);
	strcpy(rec->access_key_id, r->access_key_id);
	rec->method = strdup(r->method);
	rec->host = text_dup(request_header(r, "host"));
	rec->target = safe_target(r->target);
	rec->agent = text_dup(request_header(r, "user-agent"));
	rec->signed_at = text_dup(request_header(r, "x-oss-date"));
}

/* Append one record as a line of fields set apart by tabs. */
static void
list_line(buffer *out, const record *rec)
{
	buffer_printf(out, "%llu\t%s\t%s\t%s\t%d\t%s\t%s\t%llu\t%llu\t%llu\t%s\t"
				  "%s\t%s\t%s\t%s\n",
				  (unsigned long long) rec->serial, rec->method, rec->host,
				  rec->target, rec->status, rec->code[0] ? rec->code : "-",
				  rec->fate, (unsigned long long) rec->arrived_us,
				  (unsigned long long) rec->took_us,
				  (unsigned long long) rec->connection_id, rec->request_id,
				  rec->access_key_id[0] ? rec->access_key_id : "-",
				  rec->agent[0] ? rec->agent : "-",
				  rec->signed_at[0] ? rec->signed_at : "-", rec->kind);
}

/* Append one record as a JSON object. */
static void
list_json(buffer *out, const record *rec)
{
	const char *names[] = {"method", "host", "target", "code", "fate",
	"request_id", "access_key_id", "user_agent", "signed_at", "kind"};
	const char *values[] = {rec->method, rec->host, rec->target, rec->code,
		rec->fate, rec->request_id, rec->access_key_id, rec->agent,
	rec->signed_at, rec->kind};

	if (out->len > 1)
		buffer_puts(out, ",\n");
	buffer_printf(out, "{\"serial\":%llu,\"status\":%d,\"arrived_us\":%llu,"
				  "\"took_us\":%llu,\"connection\":%llu",
				  (unsigned long long) rec->serial, rec->status,
				  (unsigned long long) rec->arrived_us,
				  (unsigned long long) rec->took_us,
				  (unsigned long long) rec->connection_id);
	for (int i = 0; i < 10; i++)
	{
		buffer_printf(out, ",\"%s\":", names[i]);
		buffer_json(out, text_of(values[i]));
	}
	buffer_puts(out, "}");
}

/* Append the last n records, oldest first. */
void
log_list(buffer *out, int n, bool json)
{
	uint64_t	have = next_serial < LOG_SIZE ? next_serial : LOG_SIZE;
	uint64_t	from;

	if (n < 0 || (uint64_t) n > have)
		n = (int) have;
	from = next_serial - (uint64_t) n;
	if (json)
		buffer_puts(out, "[");
	for (uint64_t i = from; i < next_serial; i++)
	{
		if (json)
			list_json(out, &ring[i % LOG_SIZE]);
		else
			list_line(out, &ring[i % LOG_SIZE]);
	}
	if (json)
		buffer_puts(out, "]\n");
}
