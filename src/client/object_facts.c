/*-------------------------------------------------------------------------
 * object_facts.c
 *	  Facts about objects that HEAD requests of this process returned.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/object_facts.h"
#include "common/hashfn.h"

/*
 * An image is in one set, the youngest first.  Two queries may read 1024 images
 * ahead; with a quarter of the places in use hardly a set is full.
 */
#define SETS 512
#define PLACES 8

typedef struct Noted
{
	uint64		image;			/* a hash of image and ETag, 0: none */
	OssObjectFacts facts;
} Noted;

static Noted noted[SETS][PLACES];

/* Hash an image with its ETag. */
static uint64
hash_content(const OssImage *image)
{
	const char *strings[] = {image->bucket, image->key, image->version_id, image->etag};
	uint64		hash = 1;

	for (int i = 0; i < lengthof(strings); i++)
	{
		if (strings[i] != NULL)
			hash = hash_bytes_extended((const unsigned char *) strings[i],
									   strlen(strings[i]) + 1, hash);
		hash = hash_combine64(hash, i);
	}
	return hash | 1;
}

void
oss_object_note(const OssImage *image, const OssObjectFacts *facts)
{
	uint64		hash;
	Noted	   *set;

	if (image->etag == NULL)
		return;
	hash = hash_content(image);
	set = noted[hash / 2 % SETS];
	memmove(set + 1, set, sizeof(Noted) * (PLACES - 1));
	set->image = hash;
	set->facts = *facts;
}

void
oss_object_recall(const OssImage *image, OssObjectFacts *facts)
{
	const Noted *place;
	const Noted *end;
	uint64		hash;

	if (image->etag == NULL)
		return;
	hash = hash_content(image);
	place = noted[hash / 2 % SETS];
	for (end = place + PLACES; place->image != hash; place++)
	{
		if (place + 1 == end)
			return;
	}
	if (facts->size == 0)
		facts->size = place->facts.size;
	if (facts->last_modified == 0)
		facts->last_modified = place->facts.last_modified;
}
