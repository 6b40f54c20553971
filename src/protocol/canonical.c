/*-------------------------------------------------------------------------
 * canonical.c
 *	  The canonical request, the text whose hash is signed.
 *
 * Rules: README.md 1.3 to 1.6 and 2; numbers in comments refer to its
 * sections.
 *
 * Every attempt of a request is signed, so the buffers are static and reused:
 * in steady state nothing is allocated.  The code is not thread-safe.
 *-------------------------------------------------------------------------
 */
#include "protocol/canonical.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/uri.h"

/*
 * A header or query parameter that is sorted into the canonical request.
 * name and value are offsets into scratch.pieces, whose memory may move while
 * it grows.
 */
typedef struct Entry
{
	size_t		name;
	size_t		name_len;
	size_t		value;
	size_t		value_len;
	size_t		arrival;		/* order of collection */
	bool		additional;		/* signed because the caller listed it */
} Entry;

/* Buffers kept from one request to the next. */
typedef struct Scratch
{
	OssText		pieces;			/* names and values of entries */
	OssText		query;			/* canonical query */
	OssText		headers;		/* canonical headers */
	OssText		additional;		/* names of additional headers, a;b */
	OssText		request;		/* all together */
	Entry	   *entries;
	size_t		nentries;
	size_t		max_entries;
} Scratch;

static Scratch scratch;

/* ---------- buffers ---------- */

static void
scratch_reset(void)
{
	oss_text_reset(&scratch.pieces);
	oss_text_reset(&scratch.query);
	oss_text_reset(&scratch.headers);
	oss_text_reset(&scratch.additional);
	oss_text_reset(&scratch.request);
	scratch.nentries = 0;
}

void
oss_canonical_wipe(void)
{
	oss_text_wipe(&scratch.pieces);
	oss_text_wipe(&scratch.query);
	oss_text_wipe(&scratch.headers);
	oss_text_wipe(&scratch.additional);
	oss_text_wipe(&scratch.request);
}

static bool
scratch_failed(void)
{
	return scratch.pieces.failed || scratch.query.failed ||
		scratch.headers.failed || scratch.additional.failed ||
		scratch.request.failed;
}

/*
 * Append an entry.  Returns NULL and marks scratch.pieces as failed when out
 * of memory.
 */
static Entry *
new_entry(void)
{
	Entry	   *entry;

	if (scratch.nentries == scratch.max_entries)
	{
		size_t		n = scratch.max_entries > 0 ? 2 * scratch.max_entries : 16;
		Entry	   *entries = realloc(scratch.entries, n * sizeof(Entry));

		if (entries == NULL)
		{
			scratch.pieces.failed = true;
			return NULL;
		}
		scratch.entries = entries;
		scratch.max_entries = n;
	}
	entry = &scratch.entries[scratch.nentries];
	entry->arrival = scratch.nentries++;
	return entry;
}

static void
drop_entries(void)
{
	scratch.nentries = 0;
	oss_text_truncate(&scratch.pieces, 0);
}

/* Compare two ranges of scratch.pieces bytewise. */
static int
compare_pieces(size_t a, size_t a_len, size_t b, size_t b_len)
{
	size_t		len = a_len < b_len ? a_len : b_len;
	int			order;

	order = memcmp(scratch.pieces.data + a, scratch.pieces.data + b, len);
	if (order != 0)
		return order;
	return (a_len > b_len) - (a_len < b_len);
}

static int
compare_header_names(const Entry *a, const Entry *b)
{
	return compare_pieces(a->name, a->name_len, b->name, b->name_len);
}

/* Order query parameters by escaped name, equal ones by escaped value. */
static int
compare_parameters(const void *a, const void *b)
{
	const Entry *x = a;
	const Entry *y = b;
	int			order = compare_header_names(x, y);

	if (order != 0)
		return order;
	return compare_pieces(x->value, x->value_len, y->value, y->value_len);
}

/* Order headers by name, repeated ones by order of collection. */
static int
compare_headers(const void *a, const void *b)
{
	const Entry *x = a;
	const Entry *y = b;
	int			order = compare_header_names(x, y);

	if (order != 0)
		return order;
	return (x->arrival > y->arrival) - (x->arrival < y->arrival);
}

static void
sort_entries(int (*compare) (const void *, const void *))
{
	if (scratch.nentries > 1)
		qsort(scratch.entries, scratch.nentries, sizeof(Entry), compare);
}

/* Append a range of scratch.pieces. */
static void
add_piece(OssText *out, size_t at, size_t len)
{
	oss_text_add(out, scratch.pieces.data + at, len);
}

/* ---------- canonical query (1.5) ---------- */

/* Collect one query parameter, escaped. */
static void
collect_parameter(const char *name, const char *value)
{
	Entry	   *entry = new_entry();
	OssText    *pieces = &scratch.pieces;

	if (entry == NULL)
		return;
	entry->name = pieces->len;
	oss_escape(pieces, name, strlen(name), false);
	entry->name_len = pieces->len - entry->name;
	entry->value = pieces->len;
	if (value != NULL)
		oss_escape(pieces, value, strlen(value), false);
	entry->value_len = pieces->len - entry->value;
}

static void
collect_parameters(const OssField *query, size_t nquery)
{
	for (size_t i = 0; i < nquery; i++)
		collect_parameter(query[i].name, query[i].value);
}

/*
 * Build the canonical query from the caller's parameters and those that the
 * URL form adds.
 */
static void
build_query(const OssToSign *what, const OssField *added, size_t nadded)
{
	OssText    *query = &scratch.query;

	drop_entries();
	collect_parameters(what->query, what->nquery);
	collect_parameters(added, nadded);
	if (nadded > 0 && scratch.additional.len > 0)
		collect_parameter("x-oss-additional-headers",
						  scratch.additional.data);
	if (scratch.pieces.failed)
		return;
	sort_entries(compare_parameters);
	for (size_t i = 0; i < scratch.nentries; i++)
	{
		const Entry *entry = &scratch.entries[i];

		if (i > 0)
			oss_text_add(query, "&", 1);
		add_piece(query, entry->name, entry->name_len);
		if (entry->value_len == 0)
			continue;
		oss_text_add(query, "=", 1);
		add_piece(query, entry->value, entry->value_len);
	}
}

/* ---------- canonical headers (1.6) ---------- */

/* Return the lower-case form of an ASCII letter, in any locale. */
static char
lower_byte(char c)
{
	return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

static bool
is_header_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static void
add_lower(OssText *out, const char *name)
{
	size_t		len = strlen(name);

	if (!oss_text_reserve(out, len))
		return;
	for (size_t i = 0; i < len; i++)
		out->data[out->len + i] = lower_byte(name[i]);
	out->len += len;
	out->data[out->len] = '\0';
}

/* Compare header names case-insensitively. */
static bool
same_name(const char *a, const char *b)
{
	while (*a != '\0' && lower_byte(*a) == lower_byte(*b))
	{
		a++;
		b++;
	}
	return lower_byte(*a) == lower_byte(*b);
}

/* Is a header of this name signed whenever it is sent? */
static bool
is_always_signed(const char *name)
{
	static const char prefix[] = "x-oss-";
	size_t		i = 0;

	while (prefix[i] != '\0' && lower_byte(name[i]) == prefix[i])
		i++;
	return prefix[i] == '\0' || same_name(name, "content-type") ||
		same_name(name, "content-md5");
}

/* Is this header listed as additional? */
static bool
is_parameter_wanted(const OssToSign *what, const char *name)
{
	for (size_t i = 0; i < what->nadditional; i++)
	{
		if (same_name(what->additional[i], name))
			return true;
	}
	return false;
}

/* Collect a header if it is signed: lower-case name, trimmed value. */
static void
collect_header(const OssToSign *what, const OssField *header)
{
	const char *value = header->value != NULL ? header->value : "";
	bool		additional = !is_always_signed(header->name);
	size_t		len;
	Entry	   *entry;

	while (is_header_blank(*value))
		value++;
	len = strlen(value);
	while (len > 0 && is_header_blank(value[len - 1]))
		len--;
	/* an additional header with an empty value counts as absent */
	if (additional && (len == 0 || !is_parameter_wanted(what, header->name)))
		return;

	entry = new_entry();
	if (entry == NULL)
		return;
	entry->name = scratch.pieces.len;
	add_lower(&scratch.pieces, header->name);
	entry->name_len = scratch.pieces.len - entry->name;
	entry->value = scratch.pieces.len;
	oss_text_add(&scratch.pieces, value, len);
	entry->value_len = len;
	entry->additional = additional;
}

/* Append "name:", and list the name if the header is an additional one. */
static void
start_header_line(const Entry *entry)
{
	add_piece(&scratch.headers, entry->name, entry->name_len);
	oss_text_add(&scratch.headers, ":", 1);
	if (!entry->additional)
		return;
	if (scratch.additional.len > 0)
		oss_text_add(&scratch.additional, ";", 1);
	add_piece(&scratch.additional, entry->name, entry->name_len);
}

/*
 * Build the canonical headers and the list of additional headers.  The values
 * of a repeated header are joined with commas.
 */
static void
build_headers(const OssToSign *what)
{
	OssText    *out = &scratch.headers;
	const Entry *last = NULL;

	drop_entries();
	for (size_t i = 0; i < what->nheaders; i++)
		collect_header(what, &what->headers[i]);
	if (scratch.pieces.failed)
		return;
	sort_entries(compare_headers);
	for (size_t i = 0; i < scratch.nentries; i++)
	{
		const Entry *entry = &scratch.entries[i];

		if (last != NULL && compare_header_names(last, entry) == 0)
			oss_text_add(out, ",", 1);
		else
		{
			if (last != NULL)
				oss_text_add(out, "\n", 1);
			start_header_line(entry);
		}
		add_piece(out, entry->value, entry->value_len);
		last = entry;
	}
	if (last != NULL)
		oss_text_add(out, "\n", 1);
}

/* ---------- canonical request (1.3, 1.4) ---------- */

static void
add_uri(OssText *out, const OssToSign *what)
{
	oss_text_add(out, "/", 1);
	if (what->bucket == NULL)
		return;
	oss_escape(out, what->bucket, strlen(what->bucket), true);
	oss_text_add(out, "/", 1);
	if (what->key != NULL)
		oss_escape(out, what->key, strlen(what->key), true);
}

static void
add_request(OssText *out, const OssToSign *what)
{
	oss_text_adds(out, what->method);
	oss_text_add(out, "\n", 1);
	add_uri(out, what);
	oss_text_add(out, "\n", 1);
	oss_text_add(out, scratch.query.data, scratch.query.len);
	oss_text_add(out, "\n", 1);
	oss_text_add(out, scratch.headers.data, scratch.headers.len);
	oss_text_add(out, "\n", 1);
	oss_text_add(out, scratch.additional.data, scratch.additional.len);
	oss_text_adds(out, "\nUNSIGNED-PAYLOAD");
}

bool
oss_canonical_build(const OssToSign *what, const OssField *added,
					size_t nadded, OssCanonical *canonical)
{
	scratch_reset();
	build_headers(what);
	build_query(what, added, nadded);
	add_request(&scratch.request, what);
	canonical->request = &scratch.request;
	canonical->query = &scratch.query;
	canonical->additional = &scratch.additional;
	return !scratch_failed();
}
