/*-------------------------------------------------------------------------
 * span.c
 *	  The listings that include all rows that satisfy the conditions, and few
 *	  others.
 *
 * Keys are compared as bytes of UTF-8, in which they are listed.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "bucket/span.h"
#include "client/utf8.h"
#include "lib/qunique.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "protocol/uri.h"

/*
 * Up to this many keys are looked up with a request each; more are found by one
 * listing.
 */
#define MAX_LOOKUPS	32

/* The highest character of Unicode. */
#define LAST_CHARACTER	0x10FFFF

/* Sorted strings without duplicates. */
typedef struct Names
{
	int			n;
	const char **names;
} Names;

/* Keys that begin with prefix, above one and below another; NULL: no bound. */
typedef struct Range
{
	const char *prefix;
	const char *above;
	const char *below;
	bool		empty;
} Range;

char *
oss_like_prefix(const char *pattern, bool *whole)
{
	StringInfoData prefix;

	initStringInfo(&prefix);
	*whole = false;
	for (; *pattern != '%' && *pattern != '_'; pattern++)
	{
		if (*pattern == '\\' && pattern[1] != '\0')
			pattern++;
		if (*pattern == '\0')
		{
			*whole = true;
			break;
		}
		appendStringInfoChar(&prefix, *pattern);
	}
	return prefix.data;
}

static bool
begins_with(const char *string, const char *prefix)
{
	return strncmp(string, prefix, strlen(prefix)) == 0;
}

static void
narrow_prefix(Range *range, const char *prefix)
{
	if (range->prefix == NULL || begins_with(prefix, range->prefix))
		range->prefix = prefix;
	else if (!begins_with(range->prefix, prefix))
		range->empty = true;
}

static void
narrow_above(Range *range, const char *key)
{
	if (range->above == NULL || strcmp(key, range->above) > 0)
		range->above = key;
}

static void
narrow_below(Range *range, const char *key)
{
	if (range->below == NULL || strcmp(key, range->below) < 0)
		range->below = key;
}

/* Return the key that follows a key: no key has the character U+0000. */
static const char *
just_above(const char *key)
{
	return psprintf("%s\001", key);
}

/*
 * Return a bound just below a key: its last character replaced by the one before,
 * followed by the highest character.  "" for the first key of all.
 */
static const char *
just_before(const char *key)
{
	size_t		len = strlen(key);
	size_t		last = len;
	unsigned char buffer[MAX_MULTIBYTE_CHAR_LEN + 1];
	pg_wchar	character;
	StringInfoData before;

	if (len == 0)
		return "";
	do
		last--;
	while (last > 0 && ((unsigned char) key[last] & 0xC0) == 0x80);
	character = utf8_to_unicode((const unsigned char *) key + last);
	initStringInfo(&before);
	appendBinaryStringInfo(&before, key, last);
	if (character <= 1)
		return before.data;
	character--;
	if (character >= 0xD800 && character <= 0xDFFF)
		character = 0xD7FF;
	unicode_to_utf8(character, buffer);
	appendBinaryStringInfo(&before, (char *) buffer, pg_utf_mblen(buffer));
	unicode_to_utf8(LAST_CHARACTER, buffer);
	if (before.len + pg_utf_mblen(buffer) <= OSS_KEY_MAX)
		appendBinaryStringInfo(&before, (char *) buffer, pg_utf_mblen(buffer));
	return before.data;
}

/* Shorten a bound that is longer than any key to a lower one that is not. */
static const char *
cut_bound(const char *bound)
{
	size_t		len = strlen(bound);

	if (len <= OSS_KEY_MAX)
		return bound;
	len = OSS_KEY_MAX;
	while (len > 0 && ((unsigned char) bound[len] & 0xC0) == 0x80)
		len--;
	return pnstrdup(bound, len);
}

/* Remove bounds without effect.  Returns whether the range can have keys. */
static void
finish_range(Range *range)
{
	const char *prefix = range->prefix;

	if (range->above != NULL)
		range->above = cut_bound(range->above);
	if (prefix != NULL && oss_prefix_problem(prefix) != NULL)
		range->empty = true;
	if (prefix != NULL && range->above != NULL && strcmp(range->above, prefix) < 0)
		range->above = NULL;
	if (prefix != NULL && range->above != NULL && !begins_with(range->above, prefix))
		range->empty = true;
	if (range->below != NULL &&
		(strcmp(range->below, prefix != NULL ? prefix : "") <= 0 ||
		 (range->above != NULL && strcmp(range->above, range->below) >= 0)))
		range->empty = true;
	if (range->above != NULL && range->above[0] == '\0')
		range->above = NULL;
}

/* Return a condition's values as UTF-8, without those that no key can have. */
static Names
names_of(const OssCondition *condition)
{
	Names		names = {0, palloc(sizeof(char *) * Max(condition->n, 1))};

	for (int i = 0; i < condition->n; i++)
	{
		const char *utf8;

		if (oss_utf8_try(condition->values[i], &utf8) &&
			pg_verify_mbstr(PG_UTF8, utf8, strlen(utf8), true))
			names.names[names.n++] = utf8;
	}
	qsort(names.names, names.n, sizeof(char *), pg_qsort_strcmp);
	names.n = qunique(names.names, names.n, sizeof(char *), pg_qsort_strcmp);
	return names;
}

/* Intersect two sets of names. */
static void
intersect_names(Names *names, const Names *others)
{
	int			n = 0;

	for (int i = 0; i < names->n; i++)
	{
		if (bsearch(&names->names[i], others->names, others->n, sizeof(char *), pg_qsort_strcmp))
			names->names[n++] = names->names[i];
	}
	names->n = n;
}

static void
narrow_names(Names *names, bool *given, const Names *others)
{
	if (*given)
		intersect_names(names, others);
	else
		*names = *others;
	*given = true;
}

/* Narrow a range by a condition on keys, except by equality. */
static void
narrow_range(Range *range, OssConditionKind kind, const Names *names)
{
	const char *name;

	if (names->n == 0)
	{
		/* not UTF-8: only the condition itself can compare */
		range->empty |= kind == OSS_KEY_BEGINS;
		return;
	}
	name = names->names[0];
	switch (kind)
	{
		case OSS_KEY_BEGINS:
			narrow_prefix(range, name);
			break;
		case OSS_KEY_ABOVE:
			narrow_above(range, name);
			break;
		case OSS_KEY_FROM:
			narrow_above(range, just_before(name));
			break;
		case OSS_KEY_BELOW:
			narrow_below(range, name);
			break;
		default:
			Assert(kind == OSS_KEY_UP_TO);
			narrow_below(range, just_above(name));
			break;
	}
}

/* Return the common beginning of two strings. */
static const char *
common_prefix(const char *a, const char *b)
{
	size_t		len = 0;

	while (a[len] != '\0' && a[len] == b[len])
		len++;
	while (len > 0 && ((unsigned char) a[len] & 0xC0) == 0x80)
		len--;
	return pnstrdup(a, len);
}

/* Return the range of a single key among those of a range. */
static Range
range_of_key(Range range, const char *key)
{
	narrow_prefix(&range, key);
	narrow_below(&range, just_above(key));
	range.empty |= key[0] == '\0';
	finish_range(&range);
	return range;
}

/* The listings of each bucket. */
typedef struct Ranges
{
	int			n;
	Range	   *ranges;
	bool		single;			/* each has one key at most */
} Ranges;

static void
add_range(Ranges *ranges, Range range)
{
	if (!range.empty)
		ranges->ranges[ranges->n++] = range;
}

static Ranges
make_ranges(Range range, bool has_keys, const Names *keys)
{
	Ranges		ranges = {0};

	ranges.ranges = palloc(sizeof(Range) * MAX_LOOKUPS);
	ranges.single = has_keys && keys->n <= MAX_LOOKUPS;
	if (ranges.single)
	{
		for (int i = 0; i < keys->n; i++)
			add_range(&ranges, range_of_key(range, keys->names[i]));
		return ranges;
	}
	if (has_keys)
	{
		const char *first = keys->names[0];
		const char *last = keys->names[keys->n - 1];

		narrow_prefix(&range, common_prefix(first, last));
		narrow_above(&range, just_before(first));
		narrow_below(&range, just_above(last));
	}
	finish_range(&range);
	add_range(&ranges, range);
	return ranges;
}

static OssListSpec
make_spec(const OssBucketTable *table, const char *bucket, const Ranges *ranges, int i)
{
	const Range *range = &ranges->ranges[i];
	OssListSpec spec = {0};
	const OssFailure *failure;

	spec.bucket = bucket;
	spec.prefix = range->prefix != NULL && range->prefix[0] != '\0' ? range->prefix : NULL;
	spec.start_after = range->above;
	spec.stop_at = range->below;
	spec.versions = table->options.versions;
	spec.max_objects = ranges->single && !spec.versions ? 1 : 0;
	failure = oss_list_failure(&spec);
	if (failure != NULL)
		oss_failure_throw(failure);
	return spec;
}

int
oss_bucket_spans(const OssBucketTable *table, const OssCondition *conditions, int n,
				 OssListSpec **spans)
{
	Names		buckets = {1, (const char **) &table->options.bucket};
	Names		keys = {0};
	bool		has_bucket = table->options.bucket != NULL;
	bool		has_keys = false;
	Range		range = {0};
	Ranges		ranges;
	int			found = 0;

	if (table->options.prefix != NULL)
		narrow_prefix(&range, oss_utf8(table->options.prefix));
	for (int i = 0; i < n; i++)
	{
		OssConditionKind kind = conditions[i].kind;
		Names		names = names_of(&conditions[i]);

		if (oss_condition_is_of_bucket(kind))
			narrow_names(&buckets, &has_bucket, &names);
		else if (kind == OSS_KEY_IS || kind == OSS_KEY_IN)
			narrow_names(&keys, &has_keys, &names);
		else
			narrow_range(&range, kind, &names);
	}
	Assert(has_bucket);
	ranges = make_ranges(range, has_keys, &keys);
	*spans = palloc(sizeof(OssListSpec) * Max(buckets.n * ranges.n, 1));
	for (int b = 0; b < buckets.n; b++)
		for (int i = 0; i < ranges.n; i++)
			(*spans)[found++] = make_spec(table, buckets.names[b], &ranges, i);
	return found;
}
