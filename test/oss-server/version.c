/*
 * version.c
 *	  The versions of objects in a bucket that keeps them.
 *
 * The current version is the object as without versions.  What was current
 * before is a state with the version's id and its identity; its file is moved
 * to the directory .versions, with the label file beside it.
 */
#include "version.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "answer.h"
#include "event.h"
#include "identity.h"
#include "stock.h"

/* Return whether a bucket keeps versions. */
static bool
is_kept(const char *bucket, bucket_settings *s)
{
	return bucket_get(bucket, s) && s->versioning;
}

/* Make up the id of a new version. */
static void
new_id(char *out, size_t size)
{
	static _Atomic uint32_t serial;
	uint32_t	n = ++serial;
	uint64_t	mixed = hash_bytes(&n, sizeof(n), now_us());

	snprintf(out, size, "CAEQ%08X%016llX--", n, (unsigned long long) mixed);
}

/* Rename a file and the label file beside it. */
static void
move_file(const char *from, const char *to)
{
	char		side[2][PATH_MAX + 64];

	rename(from, to);
	snprintf(side[0], sizeof(side[0]), "%s.labels.json", from);
	snprintf(side[1], sizeof(side[1]), "%s.labels.json", to);
	rename(side[0], side[1]);
}

/* Keep the bytes and the identity of an object in a version's state. */
static bool
keep_object(const bucket_settings *s, const char *bucket, text key,
			object_state *version)
{
	static _Atomic uint32_t serial;
	char		path[PATH_MAX + 32];
	object		o;
	object_traits said;
	identity	id;

	if (object_find(bucket, key, &o) != LOOKUP_FOUND)
		return false;
	object_state_traits(bucket, key, text_of(""), o.number, &said);
	identity_find(s, key, &o, &said, &id);
	version->traits = said;
	strcpy(version->traits.etag, id.etag);
	version->traits.size = id.size;
	version->traits.modified = id.modified;
	snprintf(path, sizeof(path), "%s/.versions", object_root());
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/.versions/%u", object_root(), ++serial);
	if (!o.synthetic)
		move_file(o.path, path);
	version->file = strdup(o.synthetic ? o.path : path);
	return true;
}

/* Make the current version, if there is any, one that was. */
static void
keep_current(const bucket_settings *s, const char *bucket, text key)
{
	object_state now = {0};
	object_state version = {0};
	bool		known = object_state_get(bucket, key, text_of(""), &now);

	strcpy(version.bucket, bucket);
	version.key = (char *) key.data;
	version.key_len = key.len;
	strcpy(version.version, known && now.current[0] ? now.current : "null");
	traits_clear(&version.traits);
	if (known && now.delete_marker)
	{
		version.delete_marker = true;
		version.traits.modified = now.traits.modified;
		object_state_set(&version);
	}
	else if (keep_object(s, bucket, key, &version))
		object_state_set(&version);
	free(version.file);
	object_state_clear(&now);
}

/* Store bytes. */
int
version_put(const char *bucket, text key, text bytes)
{
	bucket_settings s;
	char		id[64];
	int			err;

	bool		kept = is_kept(bucket, &s);

	if (kept)
		keep_current(&s, bucket, key);
	err = object_put(bucket, key, bytes);
	new_id(id, sizeof(id));
	if (err == 0 && kept)
		object_state_current(bucket, key, id, false, 0);
	if (err == 0)
		event_note(bucket, key, "ObjectCreated:PutObject");
	return err;
}

/* Make the latest version that was the current one again. */
static void
promote(const char *bucket, text key)
{
	object_state *versions;
	int			n = object_state_versions(bucket, key, &versions);
	buffer		bytes = {0};
	object		o;
	object		place;

	if (n > 0)
	{
		object_state *v = &versions[0];
		const char *id = strcmp(v->version, "null") == 0 ? "" : v->version;

		if (!v->delete_marker && version_find(bucket, key, v, &o))
		{
			object_state now = {0};

			if (o.synthetic)
				object_state_stored(bucket, key, false);
			else if (file_read(o.path, &bytes) &&
					 object_put(bucket, key, text_from(bytes.data, bytes.len)) == 0 &&
					 object_find(bucket, key, &place) == LOOKUP_FOUND)
				move_file(o.path, place.path);
			strcpy(now.bucket, bucket);
			now.key = (char *) key.data;
			now.key_len = key.len;
			now.traits = v->traits;
			object_state_set(&now);
		}
		object_state_current(bucket, key, id, v->delete_marker,
							 v->traits.modified);
		object_state_remove(bucket, key, text_of(v->version));
	}
	else
		object_state_current(bucket, key, "", false, 0);
	for (int i = 0; i < n; i++)
		object_state_clear(&versions[i]);
	free(versions);
	buffer_free(&bytes);
}

/* Delete one version. */
static bool
delete_version(const char *bucket, text key, text version)
{
	object_state now = {0};
	object_state gone = {0};
	bool		known = object_state_get(bucket, key, text_of(""), &now);
	bool		current = text_eq(version, known && now.current[0] ? now.current
								  : "null");
	bool		was;

	if (current)
	{
		was = object_delete(bucket, key) || (known && now.delete_marker);
		promote(bucket, key);
	}
	else
	{
		was = object_state_get(bucket, key, version, &gone);
		object_state_remove(bucket, key, version);
		if (was && gone.file && strstr(gone.file, "/.versions/"))
			unlink(gone.file);
		object_state_clear(&gone);
	}
	object_state_clear(&now);
	return was;
}

/* Delete an object, or one version of it. */
bool
version_delete(const char *bucket, text key, text version)
{
	bucket_settings s;
	char		id[64];
	bool		was;

	if (version.len > 0 || !is_kept(bucket, &s))
	{
		was = version.len > 0 ? delete_version(bucket, key, version) :
			object_delete(bucket, key);
		if (was)
			event_note(bucket, key, "ObjectRemoved:DeleteObject");
		return was;
	}
	/* this fires no event */
	keep_current(&s, bucket, key);
	/* without a file or made-up key in its place */
	object_delete(bucket, key);
	new_id(id, sizeof(id));
	object_state_current(bucket, key, id, true, server_time());
	stock_changed(bucket);
	return true;
}

/* Find the bytes of a version. */
bool
version_find(const char *bucket, text key, const object_state *version,
			 object *found)
{
	if (version->file == NULL)
		return object_find(bucket, version->content ?
						   text_from(version->content, version->content_len) :
						   key, found) == LOOKUP_FOUND;
	memset(found, 0, sizeof(*found));
	found->number = -1;
	found->is_directory = key.len > 0 && key.data[key.len - 1] == '/';
	found->changed = version->traits.changed;
	found->synthetic = strstr(version->file, "/.versions/") == NULL;
	return snprintf(found->path, PATH_MAX, "%s", version->file) < PATH_MAX &&
		stat(found->path, &found->st) == 0;
}
