/*
 * listing.c
 *	  ListObjectsV2 and ListObjectVersions.
 *
 * A page is written while the keys are walked.  The order of elements carries
 * no meaning, so it is one of two, chosen by the key or the page; a blank in
 * an escaped value is "+" or "%20" by its place, as clients must take both.
 */
#include "listing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "bucket.h"
#include "identity.h"
#include "object.h"
#include "stock.h"
#include "token.h"
#include "version.h"

#define MAX_KEYS 1000
#define DEFAULT_KEYS 100
#define MAX_VALUE 1023
#define OWNER "<Owner><ID>1234567890123456</ID>" \
	"<DisplayName>1234567890123456</DisplayName></Owner>"

/* The ways in which a page can be odd. */
static const char *const variants[] = {"broken", "truncated", "namespace",
	"unknown-elements", "no-truncated", "no-token", "same-token", "empty-page",
	"duplicate", "out-of-order", "huge-keys", "control-characters",
	"bad-escapes", "not-utf8", "nul", "entity", "encoding-last", "not-encoded",
"wrong-root", "bad-values"};

/* A page being written. */
typedef struct listing_page
{
	request    *r;
	const char *variant;		/* "" = none */
	int64_t		bytes;
	bool		versions;
	text		prefix;
	text		delimiter;
	text		after;			/* start-after, or key-marker */
	text		version_after;	/* version-id-marker, until it is met */
	text		version_asked;
	text		token;			/* "" = none */
	bool		url;
	bool		owner;
	int64_t		max;
	stock_cursor stock;
	buffer		contents;
	buffer		groups;
	int64_t		n;
	buffer		last;			/* the last key, or common prefix */
	bool		last_is_group;
	char		last_version[256];
	bool		truncated;
	object		image;			/* that stands for made-up keys */
	object		file;
	identity	id;
} listing_page;

/* Return whether a page is odd in a way. */
static bool
odd(const listing_page *p, const char *variant)
{
	return strcmp(p->variant, variant) == 0;
}

/* Return whether there is a variant of that name. */
bool
listing_variant_known(const char *variant)
{
	for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++)
	{
		if (strcmp(variants[i], variant) == 0)
			return true;
	}
	return false;
}

/* Refuse a parameter. */
static bool
refuse(listing_page *p, const char *name, text value, const char *message)
{
	buffer		extra = {0};

	xml_element(&extra, "ArgumentName", text_of(name));
	xml_element(&extra, "ArgumentValue", value);
	answer_error(p->r, 0, "InvalidArgument", NULL, message, extra.data);
	buffer_free(&extra);
	return false;
}

/* Read a parameter of limited length. */
static bool
read_value(listing_page *p, const char *name, text *value)
{
	*value = text_of("");
	pair_list_get(&p->r->query, name, value);
	return value->len <= MAX_VALUE ||
		refuse(p, name, *value, "The length of a parameter must be less than 1024.");
}

/* Read the parameters; false when one is refused. */
static bool
read_parameters(listing_page *p)
{
	text		value;

	p->versions = pair_list_count(&p->r->query, "versions") > 0;
	p->max = DEFAULT_KEYS;
	if (!p->versions && pair_list_get(&p->r->query, "list-type", &value) &&
		!text_eq(value, "2"))
		return refuse(p, "list-type", value, NULL);
	if (pair_list_get(&p->r->query, "max-keys", &value) &&
		(!text_number(value, &p->max) || p->max < 1 || p->max > MAX_KEYS))
		return refuse(p, "max-keys", value,
					  "Argument max-keys must be an integer between 1 and 1000.");
	if (pair_list_get(&p->r->query, "encoding-type", &value) &&
		!(p->url = text_eq(value, "url")))
		return refuse(p, "encoding-type", value, "Invalid Encoding Method specified in Request.");
	if (pair_list_get(&p->r->query, "fetch-owner", &value) &&
		!(p->owner = text_eq(value, "true")) && !text_eq(value, "false"))
		return refuse(p, "fetch-owner", value, NULL);
	if (pair_list_get(&p->r->query, "continuation-token", &p->token) &&
		p->token.len == 0)
		return refuse(p, "continuation-token", p->token,
					  "The continuation token provided is incorrect.");
	if (p->versions && pair_list_get(&p->r->query, "version-id-marker", &p->version_after) &&
		p->version_after.len > 0 && pair_list_count(&p->r->query, "key-marker") == 0)
		return refuse(p, "version-id-marker", p->version_after,
					  "A version-id marker cannot be specified without a key marker.");
	p->version_asked = p->version_after;
	return read_value(p, "prefix", &p->prefix) &&
		read_value(p, "delimiter", &p->delimiter) &&
		read_value(p, p->versions ? "key-marker" : "start-after", &p->after);
}

/* Return a hash of what is listed. */
static uint64_t
listing_hash(const listing_page *p)
{
	uint64_t	h = hash_bytes(p->r->bucket, strlen(p->r->bucket), 0);

	h = hash_bytes(p->prefix.data, p->prefix.len, h);
	return hash_bytes(p->delimiter.data, p->delimiter.len, h + 1);
}

/* Go to the first key after one, or after all that begin with a group. */
static void
seek_after(listing_page *p, text last, bool group)
{
	buffer		next = {0};

	buffer_text(&next, last);
	if (!group)
		buffer_add(&next, "", 1);
	while (group && next.len > 0 && (unsigned char) next.data[next.len - 1] == 0xFF)
		next.len--;
	if (group && next.len > 0)
		next.data[next.len - 1]++;
	if (text_compare(text_from(next.data, next.len), p->prefix) > 0)
		stock_seek(&p->stock, text_from(next.data, next.len));
	else
		stock_seek(&p->stock, p->prefix);
	buffer_free(&next);
}

/* Go where the page begins; false when the token is refused. */
static bool
seek_page(listing_page *p)
{
	token_place place;
	buffer		storage = {0};
	bool		ok = true;

	if (p->token.len > 0)
	{
		ok = token_read(p->token, &place, &storage) &&
			place.listing == listing_hash(p);
		if (ok)
		{
			buffer_text(&p->last, place.last);
			p->last_is_group = place.group;
			seek_after(p, place.last, place.group);
		}
		else
			refuse(p, "continuation-token", p->token,
				   "The continuation token provided is incorrect.");
		buffer_free(&storage);
	}
	else if (p->after.len > 0)
	{
		/* a marker that ends in the delimiter stands for its whole group */
		bool		group = p->versions && p->delimiter.len > 0 &&
		p->after.len >= p->delimiter.len &&
		memcmp(p->after.data + p->after.len - p->delimiter.len,
			   p->delimiter.data, p->delimiter.len) == 0;

		buffer_text(&p->last, p->after);
		if (p->version_after.len > 0 && text_compare(p->after, p->prefix) > 0)
			stock_seek(&p->stock, p->after);
		else
			seek_after(p, p->after, group);
	}
	else
		stock_seek(&p->stock, p->prefix);
	return ok;
}

/* Append a value that encoding-type concerns. */
static void
put_value(listing_page *p, buffer *out, const char *name, text value)
{
	buffer_puts(out, "<");
	buffer_puts(out, name);
	buffer_puts(out, ">");
	if (p->url && !odd(p, "not-encoded"))
	{
		size_t		at = out->len;

		buffer_escape(out, value, false);
		for (char *c = out->data + at; value.len > 0 && (c = strstr(c, "%20")); c++)
		{
			if ((c - out->data) % 2 == 0)
				continue;
			*c = '+';
			memmove(c + 1, c + 3, out->len - (size_t) (c + 3 - out->data) + 1);
			out->len -= 2;
		}
	}
	else
	{
		/* as the service: what XML cannot hold is sent all the same */
		for (size_t i = 0; i < value.len; i++)
		{
			if ((unsigned char) value.data[i] < 0x20)
				buffer_add(out, value.data + i, 1);
			else
				buffer_xml(out, text_from(value.data + i, 1));
		}
	}
	buffer_puts(out, "</");
	buffer_puts(out, name);
	buffer_puts(out, ">");
}

/* Append a key, or what an odd page has in its place. */
static void
put_key(listing_page *p, text key)
{
	buffer		odd_key = {0};
	buffer	   *out = &p->contents;

	if (odd(p, "bad-escapes"))
		buffer_printf(out, "<Key>%%ZZ%.*s%%4</Key>", (int) key.len, key.data);
	else if (odd(p, "not-utf8"))
		buffer_puts(out, "<Key>%FF%C0%AF.jpg</Key>");
	else if (odd(p, "nul"))
		buffer_puts(out, "<Key>a%00b.jpg</Key>");
	else if (odd(p, "entity"))
		buffer_puts(out, "<Key>&b;</Key>");
	else if (odd(p, "huge-keys") || odd(p, "control-characters"))
	{
		buffer_text(&odd_key, key);
		if (odd(p, "control-characters"))
			buffer_puts(&odd_key, "\x01\x08\t\n\x0b\r\x1f\x7f");
		while (odd(p, "huge-keys") && (int64_t) odd_key.len < p->bytes)
			buffer_puts(&odd_key, "\x7f");
		put_value(p, out, "Key", text_from(odd_key.data, odd_key.len));
		buffer_free(&odd_key);
	}
	else
		put_value(p, out, "Key", key);
}

/* Append an element whose value is as it is. */
static void
put_plain(buffer *out, const char *name, const char *value)
{
	buffer_puts(out, "<");
	buffer_puts(out, name);
	buffer_puts(out, ">");
	buffer_puts(out, value);
	buffer_puts(out, "</");
	buffer_puts(out, name);
	buffer_puts(out, ">");
}

/* Append what is said of an object. */
static void
put_identity(listing_page *p, bool second)
{
	buffer	   *out = &p->contents;
	identity   *id = &p->id;
	bool		bad = odd(p, "bad-values");
	char		value[64];

	for (int i = 0; i < 2; i++)
	{
		if ((i == 0) == second)
		{
			snprintf(value, sizeof(value), "%lld", (long long) id->size);
			put_plain(out, "Size", bad ? "many" : value);
			put_plain(out, "StorageClass", id->storage_class);
			format_iso(id->modified, value, sizeof(value));
			put_plain(out, "LastModified", bad ? "yesterday" : value);
		}
		else
		{
			buffer_puts(out, "<ETag>");
			buffer_xml(out, text_of(id->etag));
			buffer_puts(out, "</ETag>");
			put_plain(out, "Type", id->type);
			if (p->owner || p->versions)
				buffer_puts(out, OWNER);
		}
	}
	if (id->restore[0])
	{
		buffer_puts(out, "<RestoreInfo>");
		buffer_xml(out, text_of(id->restore));
		buffer_puts(out, "</RestoreInfo>");
	}
}

/* Append an object. */
static void
put_object(listing_page *p, const stock_entry *e)
{
	buffer	   *out = &p->contents;
	bool		second = hash_bytes(e->key.data, e->key.len, 7) % 2;
	size_t		at = out->len;

	p->image.number = e->number;
	/* a file may have gone since the directory was read */
	if (!e->made_up &&
		object_find(p->r->bucket, e->key, &p->file) != LOOKUP_FOUND)
		return;
	identity_find(&p->stock.settings, e->key, e->made_up ? &p->image : &p->file,
				  &e->traits, &p->id);
	buffer_puts(out, "<Contents>");
	if (!second)
		put_key(p, e->key);
	if (odd(p, "unknown-elements"))
		buffer_puts(out, "<Extra a=\"1\"><Size>9</Size><Key>no</Key></Extra>");
	put_identity(p, second);
	if (second)
		put_key(p, e->key);
	buffer_puts(out, "</Contents>\n");
	p->r->listed++;
	if (odd(p, "duplicate") && p->n == 0)
	{
		buffer		copy = {0};

		buffer_add(&copy, out->data + at, out->len - at);
		buffer_add(out, copy.data, copy.len);
		buffer_free(&copy);
	}
	if (odd(p, "out-of-order") && p->n == 1)
	{
		buffer		moved = {0};

		buffer_add(&moved, out->data + at, out->len - at);
		buffer_add(&moved, out->data, at);
		buffer_free(out);
		*out = moved;
	}
}

/* Note what the page has come to. */
static void
set_last(listing_page *p, text last)
{
	buffer_reset(&p->last);
	buffer_text(&p->last, last);
}

/* Append a version, or a delete marker. */
static void
put_version(listing_page *p, text key, const char *id, bool marker, bool latest)
{
	buffer	   *out = &p->contents;
	char		date[40];

	buffer_puts(out, marker ? "<DeleteMarker>" : "<Version>");
	put_key(p, key);
	put_plain(out, "VersionId", id);
	put_plain(out, "IsLatest", latest ? "true" : "false");
	if (!marker)
		put_identity(p, latest);
	else
	{
		format_iso(p->id.modified, date, sizeof(date));
		put_plain(out, "LastModified", date);
		buffer_puts(out, OWNER);
	}
	buffer_puts(out, marker ? "</DeleteMarker>\n" : "</Version>\n");
	p->r->listed++;
	p->n++;
	set_last(p, key);
	snprintf(p->last_version, sizeof(p->last_version), "%s", id);
}

/*
 * Pass over a version that stands before the page; return whether this one is
 * to be listed, and set *full when the page has no room for it.
 */
static bool
is_wanted(listing_page *p, text key, const char *id, bool *full)
{
	if (p->version_after.len > 0 && text_same(key, p->after))
	{
		if (text_eq(p->version_after, id))
			p->version_after = text_of("");
		return false;
	}
	*full = *full || p->n >= p->max;
	return !*full;
}

/* Append all versions of a key; false when the page is full before the last. */
static bool
put_versions(listing_page *p, const stock_entry *e)
{
	object_state now = {0};
	object_state *old;
	int			n = object_state_versions(p->r->bucket, e->key, &old);
	bool		known = object_state_get(p->r->bucket, e->key, text_of(""), &now);
	const char *id = now.current[0] ? now.current : "null";
	bool		full = false;
	bool		latest = true;

	if (known && now.delete_marker)
	{
		/* a marker that control set stands above the version "null" */
		const char *marker = now.current[0] ? now.current : "CAEQmarker";

		p->id.modified = now.traits.modified ? now.traits.modified : server_time();
		if (is_wanted(p, e->key, marker, &full))
			put_version(p, e->key, marker, true, true);
		latest = false;
	}
	if (object_find(p->r->bucket, e->key, &p->file) == LOOKUP_FOUND)
	{
		identity_find(&p->stock.settings, e->key, &p->file, &e->traits, &p->id);
		if (is_wanted(p, e->key, id, &full))
			put_version(p, e->key, id, false, latest);
		latest = false;
	}
	for (int i = 0; i < n; i++)
	{
		object_state *v = &old[i];

		p->id.modified = v->traits.modified;
		if (!v->delete_marker && version_find(p->r->bucket, e->key, v, &p->file))
			identity_find(&p->stock.settings, e->key, &p->file, &v->traits, &p->id);
		if (is_wanted(p, e->key, v->version, &full))
			put_version(p, e->key, v->version, v->delete_marker, latest);
		latest = false;
		object_state_clear(v);
	}
	free(old);
	object_state_clear(&now);
	/* when its version is gone, the page begins with the next key */
	p->version_after = text_of("");
	return !full;
}

/* Return the common prefix of a key, or the empty slice. */
static text
group_of(const listing_page *p, text key)
{
	const char *at;

	if (p->delimiter.len == 0 || key.len <= p->prefix.len)
		return text_of("");
	at = memmem(key.data + p->prefix.len, key.len - p->prefix.len,
				p->delimiter.data, p->delimiter.len);
	if (at == NULL)
		return text_of("");
	return text_from(key.data, (size_t) (at - key.data) + p->delimiter.len);
}

/* Return whether there is one more key to list. */
static bool
peek(listing_page *p, stock_entry *e)
{
	return stock_peek(&p->stock, e) && e->key.len >= p->prefix.len &&
		memcmp(e->key.data, p->prefix.data, p->prefix.len) == 0;
}

/* Walk the keys of a page. */
static void
walk(listing_page *p)
{
	stock_entry e;

	while (p->n < p->max && peek(p, &e))
	{
		text		group = group_of(p, e.key);

		p->last_is_group = group.len > 0;
		if (p->last_is_group)
		{
			set_last(p, group);
			buffer_puts(&p->groups, "<CommonPrefixes>");
			put_value(p, &p->groups, "Prefix", group);
			buffer_puts(&p->groups, "</CommonPrefixes>\n");
			seek_after(p, text_from(p->last.data, p->last.len), true);
			p->n++;
		}
		else if (p->versions)
		{
			if (!put_versions(p, &e))
				break;
			stock_next(&p->stock);
		}
		else
		{
			set_last(p, e.key);
			put_object(p, &e);
			stock_next(&p->stock);
			p->n++;
		}
	}
	p->truncated = odd(p, "empty-page") || peek(p, &e);
}

/* Append what says how the listing goes on. */
static void
put_next(listing_page *p, buffer *out)
{
	token_place place = {.listing = listing_hash(p),.group = p->last_is_group,
	.last = text_from(p->last.data, p->last.len)};
	buffer		token = {0};

	if (!odd(p, "no-truncated"))
		put_plain(out, "IsTruncated", odd(p, "bad-values") ? "perhaps" :
				  p->truncated ? "true" : "false");
	if (!p->truncated || odd(p, "no-token"))
		return;
	if (p->versions)
	{
		put_value(p, out, "NextKeyMarker", place.last);
		if (!p->last_is_group)
			put_plain(out, "NextVersionIdMarker", p->last_version);
		return;
	}
	if (odd(p, "same-token") && p->token.len > 0)
		buffer_text(&token, p->token);
	else
		token_write(&token, &place);
	put_value(p, out, "NextContinuationToken", text_from(token.data, token.len));
	buffer_free(&token);
}

/* Append what was asked for. */
static void
put_request(listing_page *p, buffer *out)
{
	char		number[24];

	put_plain(out, "Name", p->r->bucket);
	put_value(p, out, "Prefix", p->prefix);
	if (p->after.len > 0 || p->versions)
		put_value(p, out, p->versions ? "KeyMarker" : "StartAfter", p->after);
	if (p->versions)
		put_value(p, out, "VersionIdMarker", p->version_asked);
	if (p->delimiter.len > 0)
		put_value(p, out, "Delimiter", p->delimiter);
	if (p->token.len > 0)
		put_value(p, out, "ContinuationToken", p->token);
	snprintf(number, sizeof(number), "%lld", (long long) p->max);
	put_plain(out, "MaxKeys", number);
	if (p->url && !odd(p, "encoding-last") && !odd(p, "not-encoded"))
		put_plain(out, "EncodingType", "url");
	if (odd(p, "unknown-elements"))
		buffer_puts(out, "<New b='2'><!-- > --><Contents><Key>no</Key></Contents>"
					"<NextContinuationToken>no</NextContinuationToken>"
					"<![CDATA[<Key>no</Key>]]></New><?pi <Key>?>");
}

/* Write the document. */
static void
put_page(listing_page *p, buffer *out)
{
	const char *root = odd(p, "wrong-root") ? "ListResult" :
	p->versions ? "ListVersionsResult" : "ListBucketResult";
	bool		contents_first = hash_bytes(p->last.data, p->last.len, 3) % 2;
	char		number[24];

	buffer_puts(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
	if (odd(p, "entity"))
		buffer_puts(out, "<!DOCTYPE ListBucketResult [<!ENTITY a \"aaaaaaaaaa\">"
					"<!ENTITY b \"&a;&a;&a;&a;\">]>\n");
	buffer_printf(out, "<%s%s>\n", root, odd(p, "namespace") ?
				  " xmlns=\"http://doc.oss-cn-hangzhou.aliyuncs.com\"" : "");
	put_request(p, out);
	if (!contents_first)
		put_next(p, out);
	buffer_add(out, p->contents.data, p->contents.len);
	buffer_add(out, p->groups.data, p->groups.len);
	if (contents_first)
		put_next(p, out);
	snprintf(number, sizeof(number), "%lld", (long long) p->n);
	if (!p->versions)
		put_plain(out, "KeyCount", number);
	if (p->url && odd(p, "encoding-last"))
		put_plain(out, "EncodingType", "url");
	if (odd(p, "broken"))
		buffer_puts(out, "<Contents><Key>a</Contents>");
	buffer_printf(out, "</%s>\n", root);
	if (odd(p, "truncated"))
	{
		out->len /= 2;
		out->data[out->len] = '\0';
	}
}

/* Answer a listing. */
bool
listing_answer(request *r, const char *variant, int64_t bytes)
{
	listing_page *p;

	if (variant && !listing_variant_known(variant))
		return false;
	p = must_alloc(sizeof(*p));
	p->r = r;
	p->variant = variant ? variant : "";
	p->bytes = bytes;
	r->listed = 0;
	if (read_parameters(p))
	{
		stock_open(&p->stock, r->bucket, p->token.len == 0, p->versions);
		object_image(&p->stock.settings, &p->image);
		if (seek_page(p))
		{
			if (odd(p, "empty-page"))
				p->max = 0;
			walk(p);
			buffer_reset(&r->answer.body);
			put_page(p, &r->answer.body);
			r->answer.content_type = "application/xml";
		}
		stock_close(&p->stock);
	}
	buffer_free(&p->contents);
	buffer_free(&p->groups);
	buffer_free(&p->last);
	free(p);
	return true;
}
