/*
 * bucket.h
 *	  What control said about buckets and single objects.
 */
#ifndef STANDIN_BUCKET_H
#define STANDIN_BUCKET_H

#include "meter.h"
#include "request.h"

/*
 * A limit that stays until it is set otherwise.  code is the error's, or
 * THROTTLE_IMM: then it counts label requests only, as what IMM limits is not
 * read by GetObject.
 */
typedef struct throttle
{
	char		code[MAX_CODE]; /* "" = no limit */
	int			retry_after;	/* seconds; 0 = the answer does not say */
	meter		let_by;
} throttle;

#define THROTTLE_IMM "imm"

/*
 * Settings of a bucket; all zero is an ordinary bucket.  image not empty makes
 * the bucket synthetic: every key that is no file resolves to that file.
 */
typedef struct bucket_settings
{
	char		name[MAX_BUCKET + 1];
	bool		requester_pays;
	bool		not_attached;	/* no IMM project */
	bool		archive;		/* all objects archived, not restored */
	bool		path_forbidden; /* path style refused, as on public OSS */
	int			labels;			/* exactly so many labels; 0 = as derived */
	bool		labels_etag;	/* labels answers tell the object's ETag */
	bool		public_forbidden;	/* at OSS's own public endpoints */
	char		refuse[MAX_CODE];	/* "" = no; else every request's error */
	throttle	limit;
	char		region[64];		/* "" = the server's */
	char		image[1024];	/* relative to the data directory */
	struct bucket_settings *next;
} bucket_settings;

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
	bool		archive;
	bool		delete_marker;
	char		etag[512];		/* as it is sent, "" = by content */
	char		storage_class[32];	/* "" = Standard */
	throttle	limit;
	struct object_state *next;
} object_state;

extern void bucket_reset(void);

/* Set the settings of s->name, replacing earlier ones; takes its meter. */
extern void bucket_set(const bucket_settings *s);

/* Copy the settings of a bucket; all zero (and false) when there are none. */
extern bool bucket_get(const char *name, bucket_settings *copy);

/* Add (or replace) the state of an object or version; takes its meter. */
extern void object_state_set(const object_state *s);

/*
 * Copy a state out (content is malloc'd for the caller); false when there is
 * none.
 */
extern bool object_state_get(const char *bucket, text key, text version,
							 object_state *copy);

/*
 * Return whether the limit of a bucket or of an object refuses a request now;
 * *copy tells how.  label says that labels are asked for.
 */
extern bool bucket_throttles(const char *bucket, text key, bool label,
							 throttle *copy);

#endif							/* STANDIN_BUCKET_H */
