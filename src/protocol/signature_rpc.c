/*-------------------------------------------------------------------------
 * signature_rpc.c
 *	  Signature 1.0 (HMAC-SHA1) of RPC calls, as STS takes it.
 *
 * Rules: README.md 5.3.  A call is signed once an hour, so nothing is cached.
 *-------------------------------------------------------------------------
 */
#include "protocol/signature_rpc.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "protocol/uri.h"

#define SHA1_LEN	20
#define BASE64_LEN	28			/* of SHA1_LEN bytes */

/* qsort's comparison: names are different and ASCII. */
static int
compare_names(const void *a, const void *b)
{
	return strcmp((*(const OssField *const *) a)->name,
				  (*(const OssField *const *) b)->name);
}

/* Append name=value pairs in the order of names, each escaped. */
static void
add_sorted(OssText *out, const OssField *fields, size_t nfields)
{
	const OssField *sorted[OSS_RPC_FIELDS_MAX] = {0};

	for (size_t i = 0; i < nfields; i++)
		sorted[i] = &fields[i];
	qsort(sorted, nfields, sizeof(sorted[0]), compare_names);
	for (size_t i = 0; i < nfields; i++)
	{
		const char *value = sorted[i]->value != NULL ? sorted[i]->value : "";

		if (i > 0)
			oss_text_add(out, "&", 1);
		oss_escape(out, sorted[i]->name, strlen(sorted[i]->name), false);
		oss_text_add(out, "=", 1);
		oss_escape(out, value, strlen(value), false);
	}
}

bool
oss_sign_rpc(OssText *out, const char *method, const OssField *fields,
			 size_t nfields, const char *secret)
{
	OssText		canonical = {0};
	OssText		to_sign = {0};
	OssText		key = {0};
	unsigned char mac[SHA1_LEN];
	unsigned char base64[BASE64_LEN + 1];
	size_t		mac_len = 0;
	size_t		start = out->len;
	bool		ok = nfields <= OSS_RPC_FIELDS_MAX;

	if (ok)
		add_sorted(&canonical, fields, nfields);
	oss_text_adds(&to_sign, method);
	oss_text_adds(&to_sign, "&%2F&");
	if (!canonical.failed && canonical.len > 0)
		oss_escape(&to_sign, canonical.data, canonical.len, false);
	oss_text_adds(&key, secret);
	oss_text_add(&key, "&", 1);
	ok = ok && !canonical.failed && !to_sign.failed && !key.failed &&
		EVP_Q_mac(NULL, "HMAC", NULL, "SHA1", NULL, key.data, key.len,
				  (const unsigned char *) to_sign.data, to_sign.len,
				  mac, sizeof(mac), &mac_len) != NULL &&
		mac_len == SHA1_LEN;
	if (ok)
	{
		(void) EVP_EncodeBlock(base64, mac, SHA1_LEN);
		oss_text_add(out, (const char *) base64, BASE64_LEN);
	}
	oss_text_free(&canonical);
	oss_text_free(&to_sign);
	oss_text_free(&key);
	if (out->failed)
		oss_text_truncate(out, start);
	return ok && !out->failed;
}
