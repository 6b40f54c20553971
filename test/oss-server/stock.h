/*
 * stock.h
 *	  The keys of a bucket in the order of their bytes.
 *
 * Three kinds: files of the bucket's directory, keys that are made up from
 * their number (no files: /bucket?keys=N), and keys of which only a state is
 * known, such as those whose latest version is a delete marker.
 */
#ifndef STANDIN_STOCK_H
#define STANDIN_STOCK_H

#include "bucket.h"
#include "state.h"

/* A key of a bucket. */
typedef struct stock_entry
{
	text		key;			/* valid until the next call */
	int64_t		number;			/* of a made-up key, else -1 */
	bool		made_up;		/* and no file stands in its place */
	object_traits traits;		/* what was said of it */
} stock_entry;

/* A place among the keys of a bucket. */
typedef struct stock_cursor
{
	bucket_settings settings;
	char		bucket[MAX_BUCKET + 1];
	struct file_index *files;
	bool		versions;		/* keys without a current object, too */
	size_t		at_file;
	int64_t		at_made;
	char		made[MAX_KEY + 1];
} stock_cursor;

/*
 * Begin at the first key.  fresh says that the directory must be read anew,
 * not as it was at most two seconds ago; versions that keys without a current
 * object are wanted, too.
 */
extern void stock_open(stock_cursor *s, const char *bucket, bool fresh,
					   bool versions);
extern void stock_close(stock_cursor *s);

/* Go to the first key that is at or after one. */
extern void stock_seek(stock_cursor *s, text key);

/*
 * Look at the key there, passing over deleted ones unless versions are wanted;
 * false at the end.
 */
extern bool stock_peek(stock_cursor *s, stock_entry *e);

/* Go on to the next key. */
extern void stock_next(stock_cursor *s);

/* The directory of a bucket has changed. */
extern void stock_changed(const char *bucket);

/* Return the number of a bucket's made-up key, or -1 when it is none. */
extern int64_t stock_number(const bucket_settings *s, text key);

#endif							/* STANDIN_STOCK_H */
