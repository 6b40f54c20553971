/*
 * stock.c
 *	  The keys of a bucket in the order of their bytes.
 *
 * Made-up key i of N is PREFIX + i/1000 in four digits + "/" + i in seven
 * digits + ".jpg": the order of the numbers is that of the bytes, so that a
 * page is found by arithmetic.
 */
#include "stock.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "object.h"

#define INDEXES 16
#define MAX_AGE_US 2000000
#define LABEL_FILE ".labels.json"

/* The keys that are files of a bucket, sorted. */
typedef struct file_index
{
	char		bucket[MAX_BUCKET + 1];
	text	   *keys;
	size_t		n;
	size_t		cap;
	uint64_t	built_us;
	int			refs;
} file_index;

static file_index *indexes[INDEXES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Drop a reference; needs the lock. */
static void
unref(file_index *x)
{
	if (x == NULL || --x->refs > 0)
		return;
	for (size_t i = 0; i < x->n; i++)
		free((char *) x->keys[i].data);
	free(x->keys);
	free(x);
}

/* Add a key to an index. */
static void
add_key(file_index *x, text key)
{
	if (x->n == x->cap)
	{
		x->cap = x->cap ? x->cap * 2 : 256;
		x->keys = must_realloc(x->keys, x->cap * sizeof(text));
	}
	x->keys[x->n++] = text_from(text_dup(key), key.len);
}

/*
 * Add the keys of a directory.  key holds what stands before its names: with
 * encoded, pieces of escaped keys, whose directories end in '+'.
 */
static void
scan(file_index *x, const char *dir, buffer *key, bool encoded)
{
	DIR		   *d = opendir(dir);
	struct dirent *e;

	while (d && (e = readdir(d)) != NULL)
	{
		char		path[PATH_MAX];
		size_t		before = key->len;
		bool		is_dir = e->d_type == DT_DIR;
		bool		keys = strcmp(e->d_name, ".keys") == 0 && before == 0;

		if ((e->d_name[0] == '.' && !keys) ||
			(encoded && strchr(e->d_name, '.')) ||
			snprintf(path, sizeof(path), "%s/%s", dir, e->d_name) >=
			(int) sizeof(path))
			continue;
		if (!keys)
			buffer_puts(key, e->d_name);
		if (is_dir && encoded && key->len > before)
			key->data[--key->len] = '\0';
		else if (is_dir && !keys)
			buffer_puts(key, "/");
		if (is_dir)
			scan(x, path, key, encoded || keys);
		else if (encoded)
		{
			buffer		plain = {0};

			buffer_unescape(&plain, text_from(key->data, key->len), false);
			add_key(x, text_from(plain.data, plain.len));
			buffer_free(&plain);
		}
		else
			add_key(x, text_from(key->data, key->len));
		key->len = before;
		if (key->data)
			key->data[before] = '\0';
	}
	if (d)
		closedir(d);
}

/* Compare two keys for qsort(). */
static int
compare_keys(const void *a, const void *b)
{
	return text_compare(*(const text *) a, *(const text *) b);
}

/* Return the place of the first key that is at or after one. */
static size_t
find_file(const file_index *x, text key)
{
	size_t		low = 0;
	size_t		high = x->n;

	while (low < high)
	{
		size_t		middle = low + (high - low) / 2;

		if (text_compare(x->keys[middle], key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Leave out the label files that stand beside images. */
static void
drop_label_files(file_index *x)
{
	size_t		kept = 0;
	bool	   *drop = must_alloc(x->n * sizeof(bool));

	for (size_t i = 0; i < x->n; i++)
	{
		text		image = x->keys[i];
		size_t		at;

		if (!text_ends(image, LABEL_FILE))
			continue;
		image.len -= strlen(LABEL_FILE);
		at = find_file(x, image);
		drop[i] = at < x->n && text_same(x->keys[at], image);
	}
	for (size_t i = 0; i < x->n; i++)
	{
		if (drop[i])
			free((char *) x->keys[i].data);
		else
			x->keys[kept++] = x->keys[i];
	}
	x->n = kept;
	free(drop);
}

/* Read the directory of a bucket. */
static file_index *
build(const char *bucket)
{
	file_index *x = must_alloc(sizeof(*x));
	char		path[PATH_MAX + MAX_BUCKET + 2];
	buffer		key = {0};

	strcpy(x->bucket, bucket);
	x->built_us = now_us();
	snprintf(path, sizeof(path), "%s/%s", object_root(), bucket);
	scan(x, path, &key, false);
	buffer_free(&key);
	qsort(x->keys, x->n, sizeof(text), compare_keys);
	drop_label_files(x);
	return x;
}

/* Return the index of a bucket, referenced. */
static file_index *
get_index(const char *bucket, bool fresh)
{
	file_index **slot = &indexes[hash_bytes(bucket, strlen(bucket), 0) % INDEXES];
	file_index *x;

	pthread_mutex_lock(&lock);
	x = *slot;
	if (x == NULL || strcmp(x->bucket, bucket) != 0 || fresh ||
		now_us() - x->built_us > MAX_AGE_US)
	{
		unref(x);
		x = *slot = build(bucket);
		x->refs = 1;
	}
	x->refs++;
	pthread_mutex_unlock(&lock);
	return x;
}

/* Forget the index of a bucket. */
void
stock_changed(const char *bucket)
{
	file_index **slot = &indexes[hash_bytes(bucket, strlen(bucket), 0) % INDEXES];

	pthread_mutex_lock(&lock);
	unref(*slot);
	*slot = NULL;
	pthread_mutex_unlock(&lock);
}

/* Write a made-up key. */
static text
made_key(const bucket_settings *s, int64_t number, char *out)
{
	int			n = snprintf(out, MAX_KEY + 1, "%s%04lld/%07lld.jpg",
							 s->key_prefix, (long long) (number / 1000),
							 (long long) number);

	return text_from(out, (size_t) n);
}

/* Return the number of a made-up key. */
int64_t
stock_number(const bucket_settings *s, text key)
{
	char		made[MAX_KEY + 1];
	size_t		prefix = strlen(s->key_prefix);
	int64_t		number;

	if (s->keys <= 0 || key.len != prefix + 16 ||
		!text_number(text_from(key.data + prefix + 5, 7), &number) ||
		number >= s->keys || !text_same(made_key(s, number, made), key))
		return -1;
	return number;
}

/* Add a key that is known by its state. */
static void
add_state_key(void *arg, text key)
{
	add_key(arg, key);
}

/* Read the directory, and add keys that have versions or a delete marker. */
static file_index *
build_versions(const char *bucket)
{
	file_index *x = build(bucket);
	size_t		kept = 0;

	object_state_each(bucket, add_state_key, x);
	qsort(x->keys, x->n, sizeof(text), compare_keys);
	for (size_t i = 0; i < x->n; i++)
	{
		if (kept > 0 && text_same(x->keys[kept - 1], x->keys[i]))
			free((char *) x->keys[i].data);
		else
			x->keys[kept++] = x->keys[i];
	}
	x->n = kept;
	x->refs = 1;
	return x;
}

/* Begin at the first key. */
void
stock_open(stock_cursor *s, const char *bucket, bool fresh, bool versions)
{
	memset(s, 0, sizeof(*s));
	snprintf(s->bucket, sizeof(s->bucket), "%s", bucket);
	bucket_get(bucket, &s->settings);
	s->versions = versions;
	s->files = versions ? build_versions(bucket) : get_index(bucket, fresh);
}

/* End. */
void
stock_close(stock_cursor *s)
{
	pthread_mutex_lock(&lock);
	unref(s->files);
	pthread_mutex_unlock(&lock);
}

/* Go to the first key that is at or after one. */
void
stock_seek(stock_cursor *s, text key)
{
	int64_t		low = 0;
	int64_t		high = s->settings.keys;

	s->at_file = find_file(s->files, key);
	while (low < high)
	{
		int64_t		middle = low + (high - low) / 2;

		if (text_compare(made_key(&s->settings, middle, s->made), key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	s->at_made = low;
}

/* Look at the key there. */
bool
stock_peek(stock_cursor *s, stock_entry *e)
{
	for (;;)
	{
		bool		file = s->at_file < s->files->n;
		bool		made = s->at_made < s->settings.keys;
		text		key;
		int			order = 0;

		if (!file && !made)
			return false;
		if (made)
			key = made_key(&s->settings, s->at_made, s->made);
		if (file && made)
			order = text_compare(s->files->keys[s->at_file], key);
		/* a file stands in place of the made-up key of its name */
		e->made_up = made && (!file || order > 0);
		e->number = s->at_made;
		if (!e->made_up)
		{
			key = s->files->keys[s->at_file];
			e->number = stock_number(&s->settings, key);
		}
		e->key = key;
		object_state_traits(s->bucket, key, text_of(""), e->number, &e->traits);
		if (s->versions || e->traits.deleted <= 0)
			return true;
		stock_next(s);
	}
}

/* Go on to the next key. */
void
stock_next(stock_cursor *s)
{
	bool		file = s->at_file < s->files->n;
	bool		made = s->at_made < s->settings.keys;
	int			order = file ? -1 : 1;

	if (file && made)
		order = text_compare(s->files->keys[s->at_file],
							 made_key(&s->settings, s->at_made, s->made));
	s->at_file += order <= 0;
	s->at_made += order >= 0;
}
