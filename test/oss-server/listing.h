/*
 * listing.h
 *	  ListObjectsV2 and ListObjectVersions.
 */
#ifndef STANDIN_LISTING_H
#define STANDIN_LISTING_H

#include "request.h"

/*
 * Answer a listing, whose bucket exists.  variant names the way in which the
 * answer is odd, or is NULL; bytes goes with it.  False when there is no such
 * variant.
 */
extern bool listing_answer(request *r, const char *variant, int64_t bytes);

/* Return whether there is a variant of that name. */
extern bool listing_variant_known(const char *variant);


#endif							/* STANDIN_LISTING_H */
