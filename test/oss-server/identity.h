/*
 * identity.h
 *	  What the service says of an object besides its bytes.
 */
#ifndef STANDIN_IDENTITY_H
#define STANDIN_IDENTITY_H

#include "object.h"
#include "state.h"

typedef struct identity
{
	char		etag[512];		/* as it is sent, with its quotes */
	int64_t		size;
	int64_t		modified;		/* seconds since 1970 */
	char		storage_class[32];
	char		type[16];
	char		restore[80];	/* as x-oss-restore says it, "" = nothing */
	bool		archived;		/* cannot be read now */
} identity;

/*
 * Find the identity of an object whose bytes are o and of which traits were
 * said.
 */
extern void identity_find(const bucket_settings *s, text key, const object *o,
						  const object_traits *traits, identity *out);

/* Return the CRC-64 (ECMA-182) of an object. */
extern uint64_t identity_crc64(const object *o, const identity *id);

/* Append the MD5 of bytes as an ETag, in upper case and quotes. */
extern void etag_of(buffer *out, text bytes);

#endif							/* STANDIN_IDENTITY_H */
