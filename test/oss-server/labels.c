/*
 * labels.c
 *	  The answer to image/labels: from the file beside the image, or derived
 *	  from a hash of its bytes.  Nothing looks at the pixels.
 *
 * What an image's header and label file said is remembered per path and
 * thrown away when either file's identity (inode, size, time) changes, so that
 * a request costs two stat() calls and one rendering.
 */
#include "labels.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "derive.h"
#include "json.h"

#define CACHE_SLOTS 4096
/* So many different sets of labels occur in a bucket where every key exists. */
#define SYNTHETIC_VARIANTS 1024
#define MAX_MEMBERS 64

/* What identifies the content of a file without reading it. */
typedef struct identity
{
	dev_t		dev;
	ino_t		ino;
	off_t		size;
	struct timespec mtime;
	bool		exists;
} identity;

/*
 * One label: the members of its JSON object and its confidence, if that is a
 * number.  An element that is no object has n_members -1 and stands in json.
 */
typedef struct label
{
	text		json;
	pair	   *members;
	int			n_members;
	double		confidence;
	bool		has_confidence;
} label;

/*
 * What is known about one image.  source holds the bytes all slices point
 * into.  verbatim: the label file is not in a form we understand, and is sent
 * as it is.
 */
typedef struct entry
{
	char	   *path;
	int			exact;
	int			variant;		/* of synthetic objects; else 0 */
	identity	image;
	identity	file;
	image_verdict verdict;
	uint64_t	seed;
	buffer		source;
	label	   *labels;
	int			n_labels;
	pair_list	others;			/* top-level members besides Labels */
	text		odd_labels;		/* Labels, when it is no array */
	bool		verbatim;
} entry;

static entry *cache[CACHE_SLOTS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Fill the identity of a stat result. */
static identity
identity_of(const struct stat *st)
{
	identity	id = {st->st_dev, st->st_ino, st->st_size, st->st_mtim, true};

	return id;
}

/* Return whether two files are the same, unchanged. */
static bool
identity_same(const identity *a, const identity *b)
{
	return a->exists == b->exists && a->dev == b->dev && a->ino == b->ino &&
		a->size == b->size && a->mtime.tv_sec == b->mtime.tv_sec &&
		a->mtime.tv_nsec == b->mtime.tv_nsec;
}

/* Release an entry. */
static void
entry_free(entry *e)
{
	if (e == NULL)
		return;
	for (int i = 0; i < e->n_labels; i++)
		free(e->labels[i].members);
	free(e->labels);
	free(e->path);
	free(e->others.items);
	buffer_free(&e->source);
	free(e);
}

/* Keep one label: take its members apart and read its confidence. */
static void
add_label(entry *e, text json)
{
	label	   *l;
	pair_list	members = {0};
	text		inside;
	text		name;
	text		value;

	e->labels = must_realloc(e->labels,
							 (size_t) (e->n_labels + 1) * sizeof(label));
	l = &e->labels[e->n_labels++];
	memset(l, 0, sizeof(*l));
	l->json = json;
	l->n_members = -1;
	if (!json_open(json, '{', &inside))
		return;
	while (members.n < MAX_MEMBERS && json_next(&inside, &name, &value))
	{
		pair_list_add(&members, name, value);
		if (text_eq(name, "\"LabelConfidence\""))
			l->has_confidence = json_number(value, &l->confidence);
	}
	l->members = members.items;
	l->n_members = members.n;
}

/* Take the labels out of an array; false if it is none. */
static bool
parse_array(entry *e, text array)
{
	text		inside;
	text		element;

	if (!json_open(array, '[', &inside))
		return false;
	while (json_next(&inside, NULL, &element))
		add_label(e, element);
	return true;
}

/* Take the source apart: an array of labels, or a whole answer. */
static void
parse_source(entry *e)
{
	text		rest = {e->source.data, e->source.len};
	text		whole;
	text		inside;
	text		name;
	text		value;

	if (!json_value(&rest, &whole))
	{
		e->verbatim = true;
		return;
	}
	if (parse_array(e, whole))
		return;
	if (!json_open(whole, '{', &inside))
	{
		e->verbatim = true;
		return;
	}
	e->odd_labels = text_of("");
	while (json_next(&inside, &name, &value))
	{
		if (text_eq(name, "\"Labels\""))
		{
			if (!parse_array(e, value))
				e->odd_labels = value;
		}
		else if (!text_eq(name, "\"RequestId\""))
			pair_list_add(&e->others, name, value);
	}
}

/* Read an image's header and labels. */
static void
entry_load(entry *e, const object *o, const char *label_path)
{
	buffer		bytes = {0};

	e->verdict = image_check(o->path, o->st.st_size);
	if (e->verdict != IMAGE_OK)
		return;
	if (e->exact <= 0 && e->file.exists)
	{
		file_read(label_path, &e->source);
		e->seed = hash_bytes(e->source.data, e->source.len, 0);
	}
	else
	{
		file_read(o->path, &bytes);
		e->seed = hash_bytes(bytes.data, bytes.len, (uint64_t) e->variant);
		derive_labels(&e->source, e->seed, e->exact);
		buffer_free(&bytes);
	}
	parse_source(e);
}

/* Append the members of a label, in an order the seed decides. */
static void
render_label(buffer *out, const label *l, uint64_t seed)
{
	int			order[MAX_MEMBERS];

	if (l->n_members < 0)
	{
		buffer_text(out, l->json);
		return;
	}
	buffer_puts(out, "{");
	for (int i = 0; i < l->n_members; i++)
		order[i] = i;
	for (int i = 0; i < l->n_members; i++)
	{
		int			j = i + (int) (next_random(&seed) %
								   (uint64_t) (l->n_members - i));
		const pair *p = &l->members[order[j]];

		order[j] = order[i];
		if (i > 0)
			buffer_add(out, ",", 1);
		buffer_text(out, p->name);
		buffer_add(out, ":", 1);
		buffer_text(out, p->value);
	}
	buffer_puts(out, "}");
}

/* Append the member Labels. */
static void
render_labels(buffer *out, const entry *e, double thr, uint64_t seed)
{
	bool		first = true;

	if (e->odd_labels.len > 0)
	{
		buffer_puts(out, "\"Labels\":");
		buffer_text(out, e->odd_labels);
		return;
	}
	buffer_puts(out, "\"Labels\":[");
	for (int i = 0; i < e->n_labels; i++)
	{
		const label *l = &e->labels[i];

		if (l->has_confidence && l->confidence < thr)
			continue;
		if (!first)
			buffer_puts(out, ",");
		first = false;
		render_label(out, l, seed + (uint64_t) i);
	}
	buffer_puts(out, "]");
}

/* Append the whole answer of an entry. */
static void
render(buffer *out, const entry *e, double thr)
{
	uint64_t	seed = e->seed ^ (uint64_t) (thr * 1000);
	bool		id_first = next_random(&seed) % 2 == 0;

	if (e->verbatim)
	{
		buffer_add(out, e->source.data, e->source.len);
		return;
	}
	buffer_puts(out, "{");
	for (int part = 0; part < 2; part++)
	{
		if (part > 0)
			buffer_puts(out, ",");
		if ((part == 0) == id_first)
		{
			buffer_puts(out, "\"RequestId\":\"");
			random_uuid(out);
			buffer_puts(out, "\"");
		}
		else
			render_labels(out, e, thr, seed);
	}
	for (int i = 0; i < e->others.n; i++)
	{
		buffer_puts(out, ",");
		buffer_text(out, e->others.items[i].name);
		buffer_puts(out, ":");
		buffer_text(out, e->others.items[i].value);
	}
	buffer_puts(out, "}");
}

/* Return whether a cached entry still says what the files say. */
static bool
entry_fresh(const entry *e, const entry *want)
{
	return e != NULL && e->exact == want->exact &&
		e->variant == want->variant && strcmp(e->path, want->path) == 0 &&
		identity_same(&e->image, &want->image) &&
		identity_same(&e->file, &want->file);
}

/* Return the entry that want describes, loaded; needs the lock. */
static const entry *
cache_get(const entry *want, const object *o, const char *label_path)
{
	uint64_t	h = hash_bytes(want->path, strlen(want->path),
							   (uint64_t) want->exact * 31 +
							   (uint64_t) want->variant * 1000003);
	entry	  **slot = &cache[h % CACHE_SLOTS];

	if (!entry_fresh(*slot, want))
	{
		entry_free(*slot);
		*slot = must_alloc(sizeof(entry));
		**slot = *want;
		(*slot)->path = strdup(want->path);
		entry_load(*slot, o, label_path);
	}
	return *slot;
}

/* Append the answer for an object. */
image_verdict
labels_answer(const object *o, text key, double thr, int exact, buffer *out)
{
	char		label_path[PATH_MAX + 16];
	entry		want = {.path = (char *) o->path,.exact = exact};
	const entry *e;
	struct stat st;
	image_verdict verdict;

	want.image = identity_of(&o->st);
	snprintf(label_path, sizeof(label_path), "%s.labels.json", o->path);
	if (o->synthetic)
		want.variant = 1 + (int) (hash_bytes(key.data, key.len, o->changed) %
								  SYNTHETIC_VARIANTS);
	else if (stat(label_path, &st) == 0)
		want.file = identity_of(&st);
	pthread_mutex_lock(&lock);
	e = cache_get(&want, o, label_path);
	verdict = e->verdict;
	if (verdict == IMAGE_OK)
	{
		buffer_reserve(out, e->source.len + 256);
		render(out, e, thr);
	}
	pthread_mutex_unlock(&lock);
	return verdict;
}

/* Forget all cached answers. */
void
labels_reset(void)
{
	pthread_mutex_lock(&lock);
	for (int i = 0; i < CACHE_SLOTS; i++)
	{
		entry_free(cache[i]);
		cache[i] = NULL;
	}
	pthread_mutex_unlock(&lock);
}
