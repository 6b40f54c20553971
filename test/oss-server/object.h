/*
 * object.h
 *	  Buckets and keys as directories and files.
 *
 * An ordinary key k of bucket b is the file DIR/b/k.  A key that cannot be a
 * path (see README.md) is DIR/b/.keys/<escaped>, so that no key can ever name
 * a file outside its bucket.
 */
#ifndef STANDIN_OBJECT_H
#define STANDIN_OBJECT_H

#include <limits.h>
#include <sys/stat.h>

#include "bucket.h"
#include "request.h"

/* A stored object. */
typedef struct object
{
	char		path[PATH_MAX];
	struct stat st;
	bool		is_directory;	/* the key ends in '/' */
	bool		synthetic;		/* an image stands for it */
	int64_t		number;			/* of a made-up key, else -1 */
	uint32_t	changed;		/* how often a synthetic object changed */
} object;

typedef enum lookup
{
	LOOKUP_FOUND,
	LOOKUP_NO_BUCKET,
	LOOKUP_NO_KEY
} lookup;

/* Set the directory of buckets; false if it is not one. */
extern bool object_set_root(const char *dir);
extern const char *object_root(void);

/* Find the file of an object. */
extern lookup object_find(const char *bucket, text key, object *found);

/* Find the image that stands for the keys of a synthetic bucket. */
extern bool object_image(const bucket_settings *s, object *found);

/* Store bytes as an object; returns 0 or an errno. */
extern int	object_put(const char *bucket, text key, text bytes);

/* Remove the file of an object; whether there was one. */
extern bool object_delete(const char *bucket, text key);

/* Store all objects DIR/manifest names; returns how many, or -1. */
extern int	object_load_manifest(void);

/* Return whether a key may exist in OSS: 1..1023 bytes UTF-8, no leading / \. */
extern bool object_key_valid(text key);

/* Read a whole file; false when it can't be read. */
extern bool file_read(const char *path, buffer *out);

#endif							/* STANDIN_OBJECT_H */
