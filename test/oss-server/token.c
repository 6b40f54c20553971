/*
 * token.c
 *	  Continuation tokens: opaque, always with '+', '/' and '='.
 *
 * A token is "Cg+/" and the Base64 of: 8 bytes salt, then under a key stream
 * made of it a check sum, the time, what is listed, and the last key, filled
 * up so that the Base64 ends in '='.
 */
#include "token.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#define MARK "Cg+/"

/* What stands before the key. */
typedef struct token_head
{
	uint64_t	salt;
	uint64_t	sum;			/* of all that follows */
	uint64_t	made_us;
	uint64_t	listing;
	uint64_t	group;
} token_head;

static _Atomic int64_t ttl;

/* Let tokens end after so many seconds. */
void
token_ttl(int64_t seconds)
{
	ttl = seconds;
}

/* Cover, or uncover, all but the salt. */
static void
cover(char *bytes, size_t len, uint64_t salt)
{
	for (size_t i = sizeof(salt); i < len; i++)
	{
		uint64_t	place = i / 8;
		uint64_t	stream = hash_bytes(&place, sizeof(place), salt);

		bytes[i] ^= (char) (stream >> i % 8 * 8);
	}
}

/* Return the sum of what follows it. */
static uint64_t
sum_of(const char *bytes, size_t len)
{
	size_t		from = 2 * sizeof(uint64_t);

	return hash_bytes(bytes + from, len - from, 1);
}

/* Append a token. */
void
token_write(buffer *out, const token_place *place)
{
	static _Atomic uint64_t serial;
	uint64_t	n = atomic_fetch_add(&serial, 1);
	token_head	h = {.made_us = now_us(),.listing = place->listing,
	.group = place->group};
	buffer		plain = {0};

	h.salt = hash_bytes(&n, sizeof(n), h.made_us);
	buffer_add(&plain, &h, sizeof(h));
	buffer_text(&plain, place->last);
	/* a key has no NUL at its end, so that these can be taken off */
	do
		buffer_add(&plain, "", 1);
	while (plain.len % 3 == 0);
	h.sum = sum_of(plain.data, plain.len);
	memcpy(plain.data, &h, sizeof(h));
	cover(plain.data, plain.len, h.salt);
	buffer_puts(out, MARK);
	buffer_base64(out, plain.data, plain.len);
	buffer_free(&plain);
}

/* Read a token. */
bool
token_read(text token, token_place *place, buffer *storage)
{
	token_head	h;
	int			len;
	size_t		pad = 0;

	if (!text_starts(token, MARK) || token.len % 4 != 0)
		return false;
	while (pad < token.len && token.data[token.len - 1 - pad] == '=')
		pad++;
	buffer_reset(storage);
	buffer_reserve(storage, token.len);
	len = EVP_DecodeBlock((unsigned char *) storage->data,
						  (const unsigned char *) token.data + strlen(MARK),
						  (int) (token.len - strlen(MARK)));
	len -= (int) pad;
	if (len <= (int) sizeof(h))
		return false;
	memcpy(&h.salt, storage->data, sizeof(h.salt));
	cover(storage->data, (size_t) len, h.salt);
	memcpy(&h, storage->data, sizeof(h));
	if (h.sum != sum_of(storage->data, (size_t) len) ||
		(ttl > 0 && now_us() - h.made_us > (uint64_t) ttl * 1000000))
		return false;
	while (len > (int) sizeof(h) && storage->data[len - 1] == '\0')
		len--;
	place->listing = h.listing;
	place->group = h.group != 0;
	place->last = text_from(storage->data + sizeof(h), (size_t) len - sizeof(h));
	return true;
}
