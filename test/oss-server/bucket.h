/*
 * bucket.h
 *	  What control said about buckets.
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
 * the bucket synthetic: every key that is no file resolves to that file; with
 * keys above 0 only the made-up ones do (stock.c).
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
	bool		not_accelerated;	/* transfer acceleration is off */
	char		refuse[MAX_CODE];	/* "" = no; else every request's error */
	throttle	limit;
	char		region[64];		/* "" = the server's */
	char		image[1024];	/* relative to the data directory */
	int64_t		keys;			/* so many made-up keys and no other; 0 = none */
	char		key_prefix[64]; /* of the made-up keys */
	bool		versioning;
	struct bucket_settings *next;
} bucket_settings;

extern void bucket_reset(void);

/* Set the settings of s->name, replacing earlier ones; takes its meter. */
extern void bucket_set(const bucket_settings *s);

/* Copy the settings of a bucket; all zero (and false) when there are none. */
extern bool bucket_get(const char *name, bucket_settings *copy);

/*
 * Return whether a limit refuses a request now; *copy tells how.  label says
 * that labels are asked for.  The caller serialises calls for one limit.
 */
extern bool throttle_refuses(throttle *t, bool label, throttle *copy);

/* The same of the limit of a bucket. */
extern bool bucket_throttles(const char *bucket, bool label, throttle *copy);

#endif							/* STANDIN_BUCKET_H */
