/*-------------------------------------------------------------------------
 * listing.c
 *	  The objects of a bucket, page by page.
 *
 * At most one page is asked for, while another one is read.  Whatever the
 * service answers, a listing ends: keys must ascend, and few pages in a row may
 * have no new one.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/listing.h"
#include "client/request.h"
#include "utils/datetime.h"
#include "utils/memutils.h"

/* Objects of a page that are read before the next one is asked for. */
#define READ_BEFORE_NEXT 100

/* Pages in a row that may have no new key. */
#define IDLE_PAGES_MAX 100

/* Objects that are read between looks at the network. */
#define READ_BETWEEN_LOOKS 64

/*
 * A listing.  reading is the request whose page is read, kept until the next
 * page; asked the one that is asked for.  Entries from "at" to "end" of the page
 * are to be read.
 */
struct OssListing
{
	MemoryContext context;
	OssListSpec spec;			/* with strings of its own */
	OssGroup   *group;
	OssRequest *reading;
	OssRequest *asked;
	size_t		at;
	size_t		end;
	bool		page_open;		/* oss_listing_object() has not returned NULL
								 * yet */
	bool		last;			/* no page follows */
	int64		returned;		/* objects */
	OssListed	object;

	/* where it is: the last key, at first spec.start_after, and its version */
	char		key[OSS_KEY_MAX + 1];
	size_t		key_len;
	char		version[OSS_VERSION_ID_MAX + 1];

	/* where the next page begins, as the service says */
	char	   *token;
	char	   *next_key;		/* of versions */
	char	   *next_version;

	int			idle_pages;		/* pages in a row without a new key */
	const OssFailure *failure;
};

const OssFailure *
oss_list_failure(const OssListSpec *spec)
{
	const char *code = "InvalidPrefix";
	const char *prefix = spec->prefix ? spec->prefix : "";
	const char *problem = oss_bucket_problem(spec->bucket);

	if (problem != NULL)
		code = "InvalidBucketName";
	else
		problem = oss_prefix_problem(prefix);
	if (problem == NULL && spec->start_after != NULL)
		problem = oss_marker_problem(spec->start_after);
	if (problem == NULL)
		return NULL;
	return oss_failure_make(code, oss_sentence(problem),
							oss_object_what(spec->bucket, prefix, OSS_KIND_LISTING));
}

/* Release the server, which is not in the listing's memory. */
static void
on_listing_reset(void *arg)
{
	oss_server_unpin(arg);
}

OssListing *
oss_listing_begin(MemoryContext parent, const OssListSpec *spec)
{
	MemoryContext context = AllocSetContextCreate(parent, "oss_labels listing",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	MemoryContextCallback *reset = palloc0(sizeof(MemoryContextCallback));
	OssListing *listing = palloc0(sizeof(OssListing));

	listing->context = context;
	listing->spec = *spec;
	listing->spec.bucket = pstrdup(spec->bucket);
	listing->spec.prefix = pstrdup(spec->prefix ? spec->prefix : "");
	listing->spec.start_after = NULL;
	if (spec->start_after != NULL)
		strlcpy(listing->key, spec->start_after, sizeof(listing->key));
	listing->key_len = strlen(listing->key);
	listing->spec.stop_at = spec->stop_at ? pstrdup(spec->stop_at) : NULL;
	listing->group = oss_group_create(context);
	oss_server_pin(spec->server);
	reset->func = on_listing_reset;
	reset->arg = spec->server;
	MemoryContextRegisterResetCallback(context, reset);
	MemoryContextSwitchTo(old);
	return listing;
}

/* Have the listing fail because of what the service answers. */
static void
fail_listing(OssListing *listing, const char *detail)
{
	MemoryContext old = MemoryContextSwitchTo(listing->context);

	listing->failure = oss_failure_make("ListingInconsistent", detail,
										oss_object_what(listing->spec.bucket,
														listing->spec.prefix,
														OSS_KIND_LISTING));
	MemoryContextSwitchTo(old);
}

/* Compare keys by their bytes. */
static int
compare_keys(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int			order = memcmp(a, b, Min(a_len, b_len));

	return order != 0 ? order : (a_len > b_len) - (a_len < b_len);
}

/*
 * Check that an object follows the last one, and make it the last one.  Returns
 * false if it is the last one again.
 */
static bool
follow_key(OssListing *listing, const OssListEntry *entry)
{
	int			order = compare_keys(entry->key, entry->key_len, listing->key, listing->key_len);

	if (order == 0 && (!listing->spec.versions || listing->version[0] == '\0' ||
					   strcmp(entry->version_id, listing->version) == 0))
		return false;
	if (order < 0)
	{
		fail_listing(listing, "The keys do not ascend.");
		return false;
	}
	memcpy(listing->key, entry->key, entry->key_len + 1);
	listing->key_len = entry->key_len;
	strlcpy(listing->version, entry->version_id, sizeof(listing->version));
	return true;
}

/* Check that an object is one that was asked for. */
static bool
has_prefix(const OssListing *listing, const OssListEntry *entry)
{
	const char *prefix = listing->spec.prefix;
	size_t		len = strlen(prefix);

	return entry->key_len >= len && memcmp(entry->key, prefix, len) == 0;
}

/*
 * Order versions by key: the service may list delete markers apart.  Those of one
 * key stay as they are, since their keys' texts stand in order.
 */
static int
compare_versions(const void *a, const void *b)
{
	const OssListEntry *left = a;
	const OssListEntry *right = b;
	int			order = compare_keys(left->key, left->key_len, right->key, right->key_len);

	return order != 0 ? order : (left->key > right->key) - (left->key < right->key);
}

/* Check the objects of a page and leave those that are wanted. */
static void
take_entries(OssListing *listing, OssListPage *page)
{
	const char *stop = listing->spec.stop_at;
	size_t		n = 0;

	if (listing->spec.versions)
		qsort(page->entries, page->nentries, sizeof(OssListEntry), compare_versions);
	for (size_t i = 0; i < page->nentries; i++)
	{
		OssListEntry *entry = &page->entries[i];

		if (!has_prefix(listing, entry))
			fail_listing(listing, "A key does not begin with the prefix.");
		if (listing->failure != NULL)
			return;
		if (!follow_key(listing, entry))
			continue;
		if (stop != NULL &&
			compare_keys(entry->key, entry->key_len, stop, strlen(stop)) >= 0)
		{
			listing->last = true;
			break;
		}
		page->entries[n++] = *entry;
		if (listing->spec.max_objects > 0 &&
			listing->returned + n >= listing->spec.max_objects)
		{
			listing->last = true;
			break;
		}
	}
	listing->at = 0;
	listing->end = n;
}

/* Is a string, NULL for an empty one, the same as another? */
static bool
is_same(const char *kept, const char *string)
{
	return strcmp(kept != NULL ? kept : "", string) == 0;
}

/* Keep a copy of a string in place of another one; NULL for "". */
static void
keep_string(OssListing *listing, char **place, const char *string)
{
	if (*place != NULL)
		pfree(*place);
	*place = NULL;
	if (string[0] != '\0')
		*place = MemoryContextStrdup(listing->context, string);
}

/* Note where the next page begins. */
static void
note_next(OssListing *listing, const OssListPage *page)
{
	if (!page->truncated)
	{
		listing->last = true;
		return;
	}
	if (is_same(listing->token, page->next_token) &&
		is_same(listing->next_key, page->next_key) &&
		is_same(listing->next_version, page->next_version))
	{
		fail_listing(listing, "A page goes on where it began.");
		return;
	}
	keep_string(listing, &listing->token, page->next_token);
	keep_string(listing, &listing->next_key, page->next_key);
	keep_string(listing, &listing->next_version, page->next_version);
}

/* Check that a listing gets on. */
static void
check_progress(OssListing *listing)
{
	listing->idle_pages = listing->end > 0 || listing->last ? 0 : listing->idle_pages + 1;
	if (listing->idle_pages > IDLE_PAGES_MAX)
		fail_listing(listing, psprintf("%d pages in a row have no new key, and more are said to follow.",
									   listing->idle_pages));
}

/* Take the page that has come in place of the one that is read. */
static void
take_page(OssListing *listing)
{
	OssListPage *page = oss_request_page(listing->asked);

	if (listing->reading != NULL)
		oss_request_free(listing->reading);
	listing->reading = listing->asked;
	listing->asked = NULL;
	listing->page_open = true;
	note_next(listing, page);
	if (listing->failure == NULL)
		take_entries(listing, page);
	if (listing->failure == NULL)
		check_progress(listing);
}

OssListingTurn
oss_listing_turn(OssListing *listing)
{
	const OssFailure *failure;

	if (listing->failure == NULL && !listing->page_open && listing->asked != NULL)
	{
		if (!oss_request_done(listing->asked))
			return OSS_LISTING_PENDING;

		/* it stays in the list of finished ones otherwise */
		(void) oss_group_next(listing->group);
		failure = oss_request_failure(listing->asked);
		if (failure != NULL)
			listing->failure = failure;
		else
			take_page(listing);
	}
	if (listing->failure != NULL)
		return OSS_LISTING_FAILED;
	return listing->page_open ? OSS_LISTING_PAGE : OSS_LISTING_IDLE;
}

void
oss_listing_ask(OssListing *listing)
{
	OssListSpec *spec = &listing->spec;
	int64		known = listing->returned + (listing->end - listing->at);
	int64		left = spec->max_objects > 0 ? spec->max_objects - known : OSS_PAGE_MAX;
	OssListQuery query = {
		.versions = spec->versions,
		.prefix = spec->prefix,
		.start_after = listing->key,
		.token = spec->versions ? NULL : listing->token
	};
	OssLabelsSpec request = {
		.server = spec->server,
		.image = {.bucket = spec->bucket,.key = spec->prefix},
		.queued = spec->queued,
		.list = &query
	};

	if (listing->asked != NULL || listing->last || listing->failure != NULL)
		return;
	query.max_keys = (int) Max(1, Min(left, OSS_PAGE_MAX));
	if (spec->versions && listing->next_key != NULL)
	{
		query.start_after = listing->next_key;
		query.version_after = listing->next_version;
	}
	listing->asked = oss_request_start(listing->group, &request, NULL);
}

/* Read a number of n digits that stands behind a character, and go on after it. */
static bool
read_digits(const char **text, char before, int n, int *value)
{
	const char *c = *text;

	if (before != '\0' && *c++ != before)
		return false;
	for (*value = 0; n > 0 && *c >= '0' && *c <= '9'; n--, c++)
		*value = *value * 10 + (*c - '0');
	*text = c;
	return n == 0;
}

/* Return the time that a text says, as 2020-05-18T05:45:47.000Z, or 0. */
static TimestampTz
read_time(const char *text)
{
	struct pg_tm tm = {0};
	int			ms = 0;
	TimestampTz at;
	int			utc = 0;

	if (!read_digits(&text, '\0', 4, &tm.tm_year) || !read_digits(&text, '-', 2, &tm.tm_mon) ||
		!read_digits(&text, '-', 2, &tm.tm_mday) || !read_digits(&text, 'T', 2, &tm.tm_hour) ||
		!read_digits(&text, ':', 2, &tm.tm_min) || !read_digits(&text, ':', 2, &tm.tm_sec) ||
		(*text == '.' && !read_digits(&text, '.', 3, &ms)) || strcmp(text, "Z") != 0 ||
		ValidateDate(DTK_DATE_M, false, false, false, &tm) != 0 ||
		tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60 ||
		tm2timestamp(&tm, ms * 1000, &utc, &at) != 0)
		return 0;
	return at;
}

const OssListed *
oss_listing_object(OssListing *listing)
{
	OssListed  *object = &listing->object;
	const OssListEntry *entry;

	if (!listing->page_open)
		return NULL;
	if (listing->at == listing->end)
	{
		listing->page_open = false;
		return NULL;
	}
	entry = &oss_request_page(listing->reading)->entries[listing->at++];
	listing->returned++;
	object->key = entry->key;
	object->key_len = entry->key_len;
	object->size = entry->size;
	(void) oss_etag_read(object->etag, entry->etag, strlen(entry->etag));
	object->last_modified = read_time(entry->last_modified);
	object->storage_class = entry->storage_class;
	object->object_type = entry->object_type;
	object->restored = strstr(entry->restore_info, "ongoing-request=\"false\"") != NULL;
	object->version_id = entry->version_id;
	object->is_latest = !entry->not_latest;
	object->delete_marker = entry->delete_marker;
	return object;
}

/* Ask for the next page once some of this one is read, and send it. */
static void
read_ahead(OssListing *listing)
{
	if (listing->at > Min(listing->end / 2, READ_BEFORE_NEXT))
		oss_listing_ask(listing);
	if (listing->asked != NULL && listing->at % READ_BETWEEN_LOOKS == 0)
		oss_network_wait(0);
}

const OssListed *
oss_listing_next(OssListing *listing)
{
	for (;;)
	{
		const OssListed *object = oss_listing_object(listing);

		if (object != NULL)
		{
			read_ahead(listing);
			return object;
		}
		oss_listing_ask(listing);
		if (listing->asked != NULL)
		{
			oss_request_await(listing->asked);
			while (!oss_request_done(listing->asked))
				(void) oss_group_wait(listing->group, -1);
		}
		switch (oss_listing_turn(listing))
		{
			case OSS_LISTING_FAILED:
				oss_failure_throw(listing->failure);
				break;
			case OSS_LISTING_PAGE:
				break;
			case OSS_LISTING_IDLE:
				return NULL;
			case OSS_LISTING_PENDING:
				Assert(false);
		}
	}
}

bool
oss_listing_is_last(const OssListing *listing)
{
	return listing->last;
}

const OssFailure *
oss_listing_failure(const OssListing *listing)
{
	return listing->failure;
}

int64
oss_listing_requests(const OssListing *listing)
{
	return oss_group_counters(listing->group)->requests;
}

void
oss_listing_end(OssListing *listing)
{
	MemoryContextDelete(listing->context);
}
