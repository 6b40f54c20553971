/*-------------------------------------------------------------------------
 * signature_v4.h
 *	  OSS Signature Version 4, in the request header and in the URL.
 *
 * Libcrypto computes hashes.  Rules: README.md 1 and 2; vectors:
 * test/unit/v4-vectors.json.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_SIGNATURE_V4_H
#define OSS_SIGNATURE_V4_H

#include <time.h>

#include "protocol/text.h"

#define OSS_TIMESTAMP_LEN	16	/* YYYYMMDDTHHMMSSZ */
#define OSS_SIGNATURE_LEN	64	/* lower-case hex */
#define OSS_EXPIRES_MAX		604800	/* seconds, seven days */

/*
 * A header or query parameter, not escaped; a NULL value means an empty one.
 */
typedef struct OssField
{
	const char *name;
	const char *value;
} OssField;

static inline OssField
oss_field(const char *name, const char *value)
{
	OssField	made = {name, value};

	return made;
}

/* An access key; token is NULL if it has no security token. */
typedef struct OssCredentials
{
	const char *key_id;
	const char *secret;
	const char *token;
} OssCredentials;

/*
 * The request to sign.  bucket is NULL for a service request, key for a
 * bucket request.  headers are all headers that will be sent, query the
 * parameters of the URL without the x-oss-* parameters that oss_sign_query()
 * adds.  additional lists the names of headers to sign besides the mandatory
 * ones; absent headers and those signed anyway are ignored (README.md 1.6).
 */
typedef struct OssToSign
{
	const char *method;
	const char *bucket;
	const char *key;
	const OssField *query;
	size_t		nquery;
	const OssField *headers;
	size_t		nheaders;
	const char *const *additional;
	size_t		nadditional;
	const char *region;
	const char *product;
	char		timestamp[OSS_TIMESTAMP_LEN + 1];
} OssToSign;

/*
 * Cache of a signing key, derived from key id, secret, day, region and
 * product.  Initialize with {0}; release with oss_signing_key_wipe().
 */
typedef struct OssSigningKey
{
	bool		valid;
	unsigned char owner[32];	/* SHA-256 of the five inputs */
	unsigned char key[32];
} OssSigningKey;

/* Hash bytes.  Returns false when libcrypto has no SHA-256. */
#define OSS_SHA256_LEN	32

extern bool oss_sha256(const char *data, size_t len,
					   unsigned char hash[OSS_SHA256_LEN]);

/*
 * Write a Unix time as a UTC timestamp; a year of more than four digits gives
 * 19700101T000000Z.
 */
extern void oss_timestamp(time_t when, char out[OSS_TIMESTAMP_LEN + 1]);

/*
 * Append the value of the Authorization header.  headers must include
 * x-oss-date, x-oss-content-sha256 (UNSIGNED-PAYLOAD) and, if the key has a
 * token, x-oss-security-token.  cache may be NULL.  Returns false, without
 * appending anything, when libcrypto fails or memory runs out.
 */
extern bool oss_sign_header(OssText *out, const OssToSign *what,
							const OssCredentials *who, OssSigningKey *cache);

/*
 * Append the complete query string of a presigned URL (without '?'): the
 * caller's parameters, those of the signature, and the signature.  The URL
 * expires "expires" seconds after the timestamp, 1 to OSS_EXPIRES_MAX.  cache
 * may be NULL.  Returns false, without appending anything, when expires is
 * out of range, libcrypto fails or memory runs out.
 */
extern bool oss_sign_query(OssText *out, const OssToSign *what,
						   const OssCredentials *who, long expires,
						   OssSigningKey *cache);

/*
 * Append name=value pairs, escaped and joined with '&': the query string of a
 * request that is signed in its header.  An empty value leaves out "=".
 */
extern void oss_query_string(OssText *out, const OssField *query,
							 size_t nquery);

/* Overwrite a cached key, also libcrypto's copy of the last key used. */
extern void oss_signing_key_wipe(OssSigningKey *cache);

/*
 * For tests and fuzzers: append the canonical request of the header form or
 * of the URL form.  Return false, without appending anything, when memory
 * runs out.
 */
extern bool oss_canonical_request(OssText *out, const OssToSign *what);
extern bool oss_canonical_query_request(OssText *out, const OssToSign *what,
										const OssCredentials *who,
										long expires);

#endif							/* OSS_SIGNATURE_V4_H */
