/*
 * token.h
 *	  Continuation tokens: opaque, always with '+', '/' and '='.
 */
#ifndef STANDIN_TOKEN_H
#define STANDIN_TOKEN_H

#include "text.h"

/* Where a listing goes on. */
typedef struct token_place
{
	uint64_t	listing;		/* a hash of what is listed */
	bool		group;			/* last is a common prefix */
	text		last;
} token_place;

/* Append a token, different each time, that ends some time from now. */
extern void token_write(buffer *out, const token_place *place);

/* Read a token; last goes to storage.  False when it is none, or has ended. */
extern bool token_read(text token, token_place *place, buffer *storage);

/* Let tokens end after so many seconds; 0 = never. */
extern void token_ttl(int64_t seconds);

#endif							/* STANDIN_TOKEN_H */
