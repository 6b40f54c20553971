/*-------------------------------------------------------------------------
 * signature_v4.c
 *	  OSS Signature Version 4, in the request header and in the URL.
 *
 * Rules: README.md 1.7 and 2; canonical.c builds the text that is signed.
 *
 * Algorithms of libcrypto are fetched once and buffers are reused, so that
 * signing with a cached key allocates nothing.  The code is not thread-safe.
 *-------------------------------------------------------------------------
 */
#include "protocol/signature_v4.h"

#include <stdio.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "protocol/canonical.h"
#include "protocol/uri.h"

#define ALGORITHM		"OSS4-HMAC-SHA256"
#define KEY_PREFIX		"aliyun_v4"
#define TERMINATOR		"aliyun_v4_request"
#define HASH_LEN		OSS_SHA256_LEN
#define DAY_LEN			8

/* Buffers reused by each signature, and wiped after it. */
static OssText to_sign;			/* string to sign */
static OssText credential;		/* value of x-oss-credential */

/* Objects of libcrypto; either all are set (ready) or none. */
typedef struct Crypto
{
	bool		ready;
	EVP_MD	   *sha256;
	EVP_MD_CTX *hash;
	EVP_MAC_CTX *mac;
} Crypto;

static Crypto crypto;

/* ---------- libcrypto ---------- */

static void
crypto_release(void)
{
	EVP_MAC_CTX_free(crypto.mac);
	EVP_MD_CTX_free(crypto.hash);
	EVP_MD_free(crypto.sha256);
	memset(&crypto, 0, sizeof(crypto));
}

/*
 * Fetch SHA-256 and HMAC, once in the life of the process.  Returns false on
 * failure.
 */
static bool
crypto_ready(void)
{
	char		digest[] = "SHA256";
	EVP_MAC    *hmac;
	OSSL_PARAM	params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end()
	};

	if (crypto.ready)
		return true;
	hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	crypto.sha256 = EVP_MD_fetch(NULL, digest, NULL);
	crypto.hash = EVP_MD_CTX_new();
	crypto.mac = hmac != NULL ? EVP_MAC_CTX_new(hmac) : NULL;
	EVP_MAC_free(hmac);
	crypto.ready = crypto.sha256 != NULL && crypto.hash != NULL &&
		crypto.mac != NULL && EVP_MAC_CTX_set_params(crypto.mac, params);
	if (!crypto.ready)
		crypto_release();
	return crypto.ready;
}

/* Compute HMAC-SHA256; mac may be the key itself. */
static bool
hmac_sha256(const void *key, size_t key_len, const char *data, size_t len,
			unsigned char mac[HASH_LEN])
{
	size_t		n;

	return EVP_MAC_init(crypto.mac, key, key_len, NULL) &&
		EVP_MAC_update(crypto.mac, (const unsigned char *) data, len) &&
		EVP_MAC_final(crypto.mac, mac, &n, HASH_LEN);
}

static bool
sha256_of(const char *data, size_t len, unsigned char hash[HASH_LEN])
{
	return EVP_DigestInit_ex2(crypto.hash, crypto.sha256, NULL) &&
		EVP_DigestUpdate(crypto.hash, data, len) &&
		EVP_DigestFinal_ex(crypto.hash, hash, NULL);
}

bool
oss_sha256(const char *data, size_t len, unsigned char hash[OSS_SHA256_LEN])
{
	return crypto_ready() && sha256_of(data, len, hash);
}

/* Append bytes as lower-case hex. */
static void
add_hex(OssText *out, const unsigned char bytes[HASH_LEN])
{
	static const char digits[] = "0123456789abcdef";
	char		hex[2 * HASH_LEN];

	for (int i = 0; i < HASH_LEN; i++)
	{
		hex[2 * i] = digits[bytes[i] >> 4];
		hex[2 * i + 1] = digits[bytes[i] & 15];
	}
	oss_text_add(out, hex, sizeof(hex));
}

/* ---------- key and signature (1.7) ---------- */

/* Append <day>/<region>/<product>/aliyun_v4_request. */
static void
add_scope(OssText *out, const OssToSign *what)
{
	oss_text_add(out, what->timestamp, DAY_LEN);
	oss_text_add(out, "/", 1);
	oss_text_adds(out, what->region);
	oss_text_add(out, "/", 1);
	oss_text_adds(out, what->product);
	oss_text_adds(out, "/" TERMINATOR);
}

/*
 * Hash the inputs of a signing key.  The hash covers the NUL that ends each
 * input, so that different inputs cannot concatenate to the same text.
 */
static bool
key_owner(const OssToSign *what, const OssCredentials *who,
		  unsigned char owner[HASH_LEN])
{
	EVP_MD_CTX *hash = crypto.hash;

	return EVP_DigestInit_ex2(hash, crypto.sha256, NULL) &&
		EVP_DigestUpdate(hash, what->timestamp, DAY_LEN) &&
		EVP_DigestUpdate(hash, who->key_id, strlen(who->key_id) + 1) &&
		EVP_DigestUpdate(hash, who->secret, strlen(who->secret) + 1) &&
		EVP_DigestUpdate(hash, what->region, strlen(what->region) + 1) &&
		EVP_DigestUpdate(hash, what->product, strlen(what->product) + 1) &&
		EVP_DigestFinal_ex(hash, owner, NULL);
}

static bool
derive_key(const OssToSign *what, const OssCredentials *who,
		   unsigned char key[HASH_LEN])
{
	OssText    *secret = &to_sign;	/* still unused */
	bool		ok;

	oss_text_adds(secret, KEY_PREFIX);
	oss_text_adds(secret, who->secret);
	ok = !secret->failed &&
		hmac_sha256(secret->data, secret->len, what->timestamp, DAY_LEN,
					key) &&
		hmac_sha256(key, HASH_LEN, what->region, strlen(what->region), key) &&
		hmac_sha256(key, HASH_LEN, what->product, strlen(what->product),
					key) &&
		hmac_sha256(key, HASH_LEN, TERMINATOR, strlen(TERMINATOR), key);
	oss_text_wipe(secret);
	return ok;
}

/* Derive the signing key into *cache, unless *cache holds it already. */
static bool
find_key(const OssToSign *what, const OssCredentials *who,
		 OssSigningKey *cache)
{
	unsigned char owner[HASH_LEN];

	if (!key_owner(what, who, owner))
		return false;
	if (cache->valid && CRYPTO_memcmp(owner, cache->owner, HASH_LEN) == 0)
		return true;
	memcpy(cache->owner, owner, HASH_LEN);
	cache->valid = derive_key(what, who, cache->key);
	return cache->valid;
}

static bool
build_string_to_sign(const OssToSign *what, const OssText *request)
{
	OssText    *out = &to_sign;
	unsigned char hash[HASH_LEN];

	if (!sha256_of(request->data, request->len, hash))
		return false;
	oss_text_reset(out);
	oss_text_adds(out, ALGORITHM "\n");
	oss_text_adds(out, what->timestamp);
	oss_text_add(out, "\n", 1);
	add_scope(out, what);
	oss_text_add(out, "\n", 1);
	add_hex(out, hash);
	return !out->failed;
}

static bool
make_signature(const OssToSign *what, const OssText *request,
			   const OssCredentials *who, OssSigningKey *cache,
			   unsigned char signature[HASH_LEN])
{
	OssSigningKey own = {0};
	OssSigningKey *key = cache != NULL ? cache : &own;
	bool		ok;

	ok = crypto_ready() && find_key(what, who, key) &&
		build_string_to_sign(what, request) &&
		hmac_sha256(key->key, HASH_LEN, to_sign.data, to_sign.len,
					signature);
	if (cache == NULL)
		oss_signing_key_wipe(&own);
	return ok;
}

/* ---------- the two forms ---------- */

/*
 * Wipe the buffers and end an append to out.  If out ran out of memory,
 * remove all that was appended after its first start bytes.  Returns whether
 * everything went well.
 */
static bool
finish_signature(OssText *out, size_t start, bool ok)
{
	oss_canonical_wipe();
	oss_text_wipe(&to_sign);
	oss_text_wipe(&credential);
	if (out->failed)
		oss_text_truncate(out, start);
	return ok && !out->failed;
}

static void
add_authorization(OssText *out, const OssToSign *what,
				  const OssCredentials *who, const OssText *additional,
				  const unsigned char signature[HASH_LEN])
{
	oss_text_adds(out, ALGORITHM " Credential=");
	oss_text_adds(out, who->key_id);
	oss_text_add(out, "/", 1);
	add_scope(out, what);
	if (additional->len > 0)
	{
		oss_text_adds(out, ",AdditionalHeaders=");
		oss_text_add(out, additional->data, additional->len);
	}
	oss_text_adds(out, ",Signature=");
	add_hex(out, signature);
}

bool
oss_sign_header(OssText *out, const OssToSign *what,
				const OssCredentials *who, OssSigningKey *cache)
{
	unsigned char signature[HASH_LEN];
	OssCanonical canonical;
	size_t		start = out->len;
	bool		ok;

	ok = oss_canonical_build(what, NULL, 0, &canonical) &&
		make_signature(what, canonical.request, who, cache, signature);
	if (ok)
		add_authorization(out, what, who, canonical.additional, signature);
	return finish_signature(out, start, ok);
}

static bool
build_for_url(const OssToSign *what, const OssCredentials *who,
			  long expires, OssCanonical *canonical)
{
	char		seconds[24];
	OssField	added[5];
	size_t		n = 0;

	oss_text_reset(&credential);
	oss_text_adds(&credential, who->key_id);
	oss_text_add(&credential, "/", 1);
	add_scope(&credential, what);
	if (credential.failed)
		return false;
	snprintf(seconds, sizeof(seconds), "%ld", expires);
	added[n++] = oss_field("x-oss-signature-version", ALGORITHM);
	added[n++] = oss_field("x-oss-credential", credential.data);
	added[n++] = oss_field("x-oss-date", what->timestamp);
	added[n++] = oss_field("x-oss-expires", seconds);
	if (who->token != NULL && who->token[0] != '\0')
		added[n++] = oss_field("x-oss-security-token", who->token);
	return oss_canonical_build(what, added, n, canonical);
}

bool
oss_sign_query(OssText *out, const OssToSign *what,
			   const OssCredentials *who, long expires, OssSigningKey *cache)
{
	unsigned char signature[HASH_LEN];
	OssCanonical canonical;
	size_t		start = out->len;
	bool		ok;

	if (expires < 1 || expires > OSS_EXPIRES_MAX)
		return false;
	ok = build_for_url(what, who, expires, &canonical) &&
		make_signature(what, canonical.request, who, cache, signature);
	if (ok)
	{
		oss_text_add(out, canonical.query->data, canonical.query->len);
		oss_text_adds(out, "&x-oss-signature=");
		add_hex(out, signature);
	}
	return finish_signature(out, start, ok);
}

bool
oss_canonical_request(OssText *out, const OssToSign *what)
{
	OssCanonical canonical;
	size_t		start = out->len;
	bool		ok;

	ok = oss_canonical_build(what, NULL, 0, &canonical);
	if (ok)
		oss_text_add(out, canonical.request->data, canonical.request->len);
	return finish_signature(out, start, ok);
}

bool
oss_canonical_query_request(OssText *out, const OssToSign *what,
							const OssCredentials *who, long expires)
{
	OssCanonical canonical;
	size_t		start = out->len;
	bool		ok;

	ok = build_for_url(what, who, expires, &canonical);
	if (ok)
		oss_text_add(out, canonical.request->data, canonical.request->len);
	return finish_signature(out, start, ok);
}

void
oss_query_string(OssText *out, const OssField *query, size_t nquery)
{
	for (size_t i = 0; i < nquery; i++)
	{
		const char *value = query[i].value;

		if (i > 0)
			oss_text_add(out, "&", 1);
		oss_escape(out, query[i].name, strlen(query[i].name), false);
		if (value == NULL || value[0] == '\0')
			continue;
		oss_text_add(out, "=", 1);
		oss_escape(out, value, strlen(value), false);
	}
}

void
oss_signing_key_wipe(OssSigningKey *cache)
{
	static const unsigned char nobody[HASH_LEN];

	OPENSSL_cleanse(cache, sizeof(*cache));
	/* libcrypto keeps a copy of the last key used */
	if (crypto.ready)
		(void) EVP_MAC_init(crypto.mac, nobody, HASH_LEN, NULL);
}

void
oss_timestamp(time_t when, char out[OSS_TIMESTAMP_LEN + 1])
{
	struct tm	utc;

	/* a year of five digits does not fit */
	if (gmtime_r(&when, &utc) == NULL ||
		strftime(out, OSS_TIMESTAMP_LEN + 1, "%Y%m%dT%H%M%SZ", &utc) !=
		OSS_TIMESTAMP_LEN)
		memcpy(out, "19700101T000000Z", OSS_TIMESTAMP_LEN + 1);
}
