/*-------------------------------------------------------------------------
 * signature_v4.h
 *	  OSS Signature Version 4, in the request header and in the URL.
 *
 * Ground floor: no PostgreSQL, no curl; libcrypto does the hashing.  Rules:
 * README.md 1 and 2; vectors: test/unit/v4-vectors.json.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_SIGNATURE_V4_H
#define OSS_SIGNATURE_V4_H

#include <time.h>

#include "protocol/text.h"

#define OSS_TIMESTAMP_LEN	16	/* YYYYMMDDTHHMMSSZ */
#define OSS_SIGNATURE_LEN	64	/* lower-case hex */
#define OSS_EXPIRES_MAX		604800	/* seconds, seven days */

/* A header or a query parameter, raw (not escaped); value NULL is empty. */
typedef struct OssField
{
	const char *name;
	const char *value;
} OssField;

/* Make a field. */
static inline OssField
oss_field(const char *name, const char *value)
{
	OssField	made = {name, value};

	return made;
}

/* The key to sign with; token is NULL without one. */
typedef struct OssCredentials
{
	const char *key_id;
	const char *secret;
	const char *token;
} OssCredentials;

/*
 * What is signed.  bucket NULL is a service request, key NULL a bucket
 * request.  headers are those that will be sent; query everything that will
 * stand behind '?', without the x-oss-* parameters that the URL form adds.
 * additional lists header names to sign besides the obligatory ones; names
 * that are absent or signed anyway are ignored (README.md 1.6).
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
 * The derived signing key of (key id, secret, day, region, product), kept
 * from one request to the next.  Start from {0}; valid says whether it holds
 * one; wipe it with oss_signing_key_wipe() when the credentials go.
 */
typedef struct OssSigningKey
{
	bool		valid;
	unsigned char owner[32];	/* SHA-256 over the five inputs */
	unsigned char key[32];
} OssSigningKey;

/* Write the UTC timestamp of a Unix time. */
extern void oss_timestamp(time_t when, char out[OSS_TIMESTAMP_LEN + 1]);

/*
 * Append the value of the Authorization header.  The caller has put
 * x-oss-date, x-oss-content-sha256 (UNSIGNED-PAYLOAD) and, with a token,
 * x-oss-security-token into headers and sends them.  cache may be NULL.
 * Returns false when libcrypto or memory fails; out then holds nothing new.
 */
extern bool oss_sign_header(OssText *out, const OssToSign *what,
							const OssCredentials *who, OssSigningKey *cache);

/*
 * Append the complete query string of a presigned URL (without '?'), the
 * caller's parameters and the signature included.  expires is in seconds, 1
 * to OSS_EXPIRES_MAX; out of range is refused.  Returns false on refusal or
 * when libcrypto or memory fails; out then holds nothing new.
 */
extern bool oss_sign_query(OssText *out, const OssToSign *what,
						   const OssCredentials *who, long expires,
						   OssSigningKey *cache);

/*
 * Append name=value pairs escaped and joined with '&': the query of a URL
 * whose signature is in a header.
 */
extern void oss_query_string(OssText *out, const OssField *query,
							 size_t nquery);

/* Overwrite a cached key. */
extern void oss_signing_key_wipe(OssSigningKey *cache);

/*
 * Append the canonical request of the header form or of the URL form, for
 * tests and fuzzers.
 */
extern bool oss_canonical_request(OssText *out, const OssToSign *what);
extern bool oss_canonical_query_request(OssText *out, const OssToSign *what,
										const OssCredentials *who,
										long expires);

#endif							/* OSS_SIGNATURE_V4_H */
