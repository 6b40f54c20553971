/*
 * state.h
 *	  What control, PUT and DELETE said of objects and of their versions.
 */
#ifndef STANDIN_STATE_H
#define STANDIN_STATE_H

#include "bucket.h"

/* What was said of an object; "", 0 and -1 as told below: nothing. */
typedef struct object_traits
{
	char		etag[512];		/* as it is sent */
	char		storage_class[32];
	char		type[16];
	char		restored[16];	/* "1", "0" or "ongoing" */
	int64_t		size;			/* -1 */
	int64_t		modified;		/* 0 */
	uint32_t	changed;		/* how often its content changed */
	int			archive;		/* -1 */
	int			deleted;		/* -1 */
} object_traits;

/*
 * State of one object.  version "" means the object as such; otherwise the
 * entry says that this version exists.  content is the key that holds its
 * bytes ("" = the key itself).
 */
typedef struct object_state
{
	char		bucket[MAX_BUCKET + 1];
	char	   *key;			/* key_len bytes */
	size_t		key_len;
	char		version[256];
	char	   *content;		/* content_len bytes, or NULL */
	size_t		content_len;
	bool		delete_marker;
	object_traits traits;
	throttle	limit;
	uint64_t	since;			/* rules until then do not concern it */
	uint64_t	serial;			/* of a version: the later the higher */
	char		current[64];	/* of the object as such: its version's id, ""
								 * = "null" */
	char	   *file;			/* of a version: holds its bytes, or NULL */
	struct object_state *next;
} object_state;

/*
 * The same said of many: of the keys that begin with a prefix, or of the
 * made-up keys whose numbers are from, from + every, ... to.
 */
typedef struct object_rule
{
	char		bucket[MAX_BUCKET + 1];
	char	   *prefix;			/* prefix_len bytes */
	size_t		prefix_len;
	int64_t		from;
	int64_t		to;				/* -1: by prefix alone */
	int64_t		every;
	object_traits traits;
	uint64_t	serial;
	struct object_rule *next;
} object_rule;

extern void state_reset(void);

/* Make traits that say nothing. */
extern void traits_clear(object_traits *t);

/* Add (or replace) the state of an object or version; takes its meter. */
extern void object_state_set(const object_state *s);

/*
 * Copy a state out (content is malloc'd for the caller); false when there is
 * none.
 */
extern bool object_state_get(const char *bucket, text key, text version,
							 object_state *copy);

/* Release what a copy owns. */
extern void object_state_clear(object_state *copy);

/* Forget the state of a version. */
extern void object_state_remove(const char *bucket, text key, text version);

/*
 * Copy out the states of all versions of an object but its current one, the
 * latest first; returns how many, in an array malloc'd for the caller.
 */
extern int	object_state_versions(const char *bucket, text key,
								  object_state **out);

/* Call back for each key of a bucket that has versions or a delete marker. */
extern void object_state_each(const char *bucket,
							  void (*found) (void *arg, text key), void *arg);

/* Say which version is an object's current one, and whether it is a marker. */
extern void object_state_current(const char *bucket, text key, const char *id,
								 bool delete_marker, int64_t modified);

/* Add a rule, which goes before those that were there. */
extern void object_rule_add(const object_rule *rule);

/* An object was stored, or deleted, at that time: what was said before is over. */
extern void object_state_stored(const char *bucket, text key, bool deleted);

/*
 * Find all that was said of an object or version; number is that of a made-up
 * key, or -1.  False when nothing was.
 */
extern bool object_state_traits(const char *bucket, text key, text version,
								int64_t number, object_traits *out);

/*
 * Return whether the limit of an object refuses a request now; *copy tells
 * how.  label says that labels are asked for.
 */
extern bool object_throttles(const char *bucket, text key, bool label,
							 throttle *copy);

#endif							/* STANDIN_STATE_H */
