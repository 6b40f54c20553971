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
#include "json.h"
#include "taxonomy.h"

#define CACHE_SLOTS 4096
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

/* One label: its JSON object, and its confidence if that is a number. */
typedef struct label
{
	text		json;
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
	free(e->path);
	free(e->labels);
	free(e->others.items);
	buffer_free(&e->source);
	free(e);
}

/* Return the next pseudo-random number of a sequence. */
static uint64_t
next_random(uint64_t *state)
{
	*state += 0x9e3779b97f4a7c15ULL;
	return hash_bytes(state, sizeof(*state), 0);
}

/* Return a score of three digits between low and 1000 thousandths. */
static double
random_score(uint64_t *state, int low)
{
	return (double) (low + (int) (next_random(state) %
								  (uint64_t) (1001 - low))) / 1000.0;
}

/* Append one derived label as JSON. */
static void
derive_label(buffer *out, int level, const char *name, const char *parent,
			 double confidence, double centric)
{
	if (out->len > 1)
		buffer_puts(out, ",");
	buffer_printf(out, "{\"CentricScore\":%.3f,\"LabelConfidence\":%.3f,"
				  "\"LabelLevel\":%d,\"LabelName\":\"%s\","
				  "\"Language\":\"zh-Hans\"",
				  centric, confidence, level, name);
	if (parent)
		buffer_printf(out, ",\"ParentLabelName\":\"%s\"", parent);
	buffer_puts(out, "}");
}

/*
 * Append an array of labels derived from a hash.  With exact, so many level-2
 * labels of distinct names, none below the default threshold; otherwise three
 * to twelve of any confidence, some with their parent and a level-3 child.
 */
static void
derive_labels(buffer *out, uint64_t seed, int exact)
{
	uint64_t	state = seed;
	int			n = exact > 0 ? exact : 3 + (int) (next_random(&state) % 10);
	int			size = taxonomy_size();
	int			at = (int) (next_random(&state) % (uint64_t) size);
	/* a step without common factor with 340 meets every label once */
	static const int steps[] = {7, 11, 13, 19, 23, 29, 31, 37};
	int			step = steps[next_random(&state) % 8];
	char		child[128];

	buffer_puts(out, "[");
	for (int i = 0; i < n; i++)
	{
		taxon		t = taxonomy_at(at);
		double		confidence = random_score(&state, exact > 0 ? 700 : 350);
		double		centric = random_score(&state, 100);

		derive_label(out, 2, t.name, t.parent, confidence, centric);
		if (exact <= 0 && next_random(&state) % 4 == 0)
			derive_label(out, 1, t.parent, NULL, confidence, centric);
		if (exact <= 0 && next_random(&state) % 6 == 0)
		{
			snprintf(child, sizeof(child), "%s Close-up", t.name);
			derive_label(out, 3, child, t.name, confidence, centric);
		}
		at = (at + step) % size;
	}
	buffer_puts(out, "]");
}

/* Keep one label and read its confidence. */
static void
add_label(entry *e, text json)
{
	label	   *l;
	text		inside;
	text		name;
	text		value;

	e->labels = must_realloc(e->labels,
							 (size_t) (e->n_labels + 1) * sizeof(label));
	l = &e->labels[e->n_labels++];
	l->json = json;
	l->has_confidence = false;
	if (!json_open(json, '{', &inside))
		return;
	while (json_next(&inside, &name, &value))
	{
		if (text_eq(name, "\"LabelConfidence\""))
			l->has_confidence = json_number(value, &l->confidence);
	}
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
static entry *
entry_load(const object *o, const char *label_path, const identity *file,
		   int exact)
{
	entry	   *e = must_alloc(sizeof(*e));
	buffer		bytes = {0};

	e->path = strdup(o->path);
	e->exact = exact;
	e->image = identity_of(&o->st);
	e->file = *file;
	e->verdict = image_check(o->path, o->st.st_size);
	if (e->verdict != IMAGE_OK)
		return e;
	if (exact <= 0 && file->exists)
	{
		file_read(label_path, &e->source);
		e->seed = hash_bytes(e->source.data, e->source.len, 0);
	}
	else
	{
		file_read(o->path, &bytes);
		e->seed = hash_bytes(bytes.data, bytes.len, 0);
		derive_labels(&e->source, e->seed, exact);
		buffer_free(&bytes);
	}
	parse_source(e);
	return e;
}

/* Append the members of a label, in an order the seed decides. */
static void
render_label(buffer *out, text json, uint64_t seed)
{
	text		names[MAX_MEMBERS];
	text		values[MAX_MEMBERS];
	text		inside;
	int			n = 0;

	if (!json_open(json, '{', &inside))
	{
		buffer_text(out, json);
		return;
	}
	while (n < MAX_MEMBERS && json_next(&inside, &names[n], &values[n]))
		n++;
	buffer_puts(out, "{");
	for (int i = 0; i < n; i++)
	{
		int			j = i + (int) (next_random(&seed) % (uint64_t) (n - i));

		if (i > 0)
			buffer_puts(out, ",");
		buffer_text(out, names[j]);
		buffer_puts(out, ":");
		buffer_text(out, values[j]);
		names[j] = names[i];
		values[j] = values[i];
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
		render_label(out, l->json, seed + (uint64_t) i);
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

/* Append the answer of a synthetic object: derived from its key. */
static void
render_synthetic(buffer *out, text key, double thr, int exact)
{
	entry		e = {.seed = hash_bytes(key.data, key.len, 0)};

	derive_labels(&e.source, e.seed, exact);
	parse_source(&e);
	render(out, &e, thr);
	free(e.labels);
	buffer_free(&e.source);
}

/* Return the cached entry if both files are unchanged; needs the lock. */
static entry **
cache_slot(const char *path, int exact)
{
	uint64_t	h = hash_bytes(path, strlen(path), (uint64_t) exact);

	return &cache[h % CACHE_SLOTS];
}

/* Append the answer for an object. */
image_verdict
labels_answer(const object *o, text key, double thr, int exact, buffer *out)
{
	char		label_path[PATH_MAX + 16];
	identity	image = identity_of(&o->st);
	identity	file = {0};
	struct stat st;
	entry	  **slot = cache_slot(o->path, exact);
	entry	   *e;
	image_verdict verdict;

	snprintf(label_path, sizeof(label_path), "%s.labels.json", o->path);
	if (!o->synthetic && stat(label_path, &st) == 0)
		file = identity_of(&st);
	pthread_mutex_lock(&lock);
	e = *slot;
	if (e == NULL || e->exact != exact || strcmp(e->path, o->path) != 0 ||
		!identity_same(&e->image, &image) || !identity_same(&e->file, &file))
	{
		entry_free(e);
		e = *slot = entry_load(o, label_path, &file, exact);
	}
	verdict = e->verdict;
	if (verdict == IMAGE_OK && !o->synthetic)
		render(out, e, thr);
	pthread_mutex_unlock(&lock);
	if (verdict == IMAGE_OK && o->synthetic)
		render_synthetic(out, key, thr, exact);
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
