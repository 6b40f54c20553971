/*
 * version.h
 *	  The versions of objects in a bucket that keeps them.
 */
#ifndef STANDIN_VERSION_H
#define STANDIN_VERSION_H

#include "object.h"
#include "state.h"

/* Store bytes; in a bucket with versioning, as a new version. */
extern int	version_put(const char *bucket, text key, text bytes);

/*
 * Delete an object, which in a bucket with versioning sets a delete marker, or
 * one version of it; version "" is the object as such.  Returns whether there
 * was anything.
 */
extern bool version_delete(const char *bucket, text key, text version);

/* Find the bytes of a version; false when they are gone. */
extern bool version_find(const char *bucket, text key,
						 const object_state *version, object *found);

#endif							/* STANDIN_VERSION_H */
