/*
 * signature.c
 *	  Signature V4 as a server checks it (src/protocol/README.md 1, 2 and 8).
 *
 * Written from the words of that page, apart from the signer it
 * checks: nothing here may ever be shared with the extension.
 */
#include "signature.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include "answer.h"

#define ALGORITHM "OSS4-HMAC-SHA256"
#define TERMINATOR "aliyun_v4_request"
#define PAYLOAD "UNSIGNED-PAYLOAD"
#define MAX_SKEW 900
#define MAX_EXPIRES 604800
#define MAX_ADDITIONAL 64

sign_scope	server_scope = {"cn-hangzhou", "oss"};

/* What a request says about its signature, wherever it says it. */
typedef struct claim
{
	bool		in_url;
	text credential;			/* id/day/region/product/terminator */
	text		id;
	text		day;
	text		region;
	text		product;
	text		stamp;			/* raw x-oss-date */
	int64_t		when;			/* the same as seconds since 1970 */
	text		signature;
	text		additional[MAX_ADDITIONAL]; /* lower case, sorted, distinct */
	int			n_additional;
	text		token;
	int64_t		expires;
} claim;

/* Refuse with InvalidArgument. */
static bool
refuse(request *r, const char *ec, const char *message)
{
	answer_error(r, 400, "InvalidArgument", ec, message, NULL);
	return false;
}

/* Return whether a header is signed without being listed. */
static bool
always_signed(text name)
{
	return text_starts(name, "x-oss-") || text_eq(name, "content-type") ||
		text_eq(name, "content-md5");
}

/* Compare two pairs by name only, for a stable insertion sort. */
static void
sort_pairs(pair *items, int n)
{
	for (int i = 1; i < n; i++)
	{
		pair		p = items[i];
		int			j = i;

		while (j > 0 && text_compare(items[j - 1].name, p.name) > 0)
		{
			items[j] = items[j - 1];
			j--;
		}
		items[j] = p;
	}
}

/* Parse "YYYYMMDDTHHMMSSZ" or RFC 1123; false if it is neither. */
static bool
parse_time(text stamp, int64_t *when)
{
	char		s[40];
	struct tm	tm = {0};
	const char *end;

	if (stamp.len >= sizeof(s))
		return false;
	memcpy(s, stamp.data, stamp.len);
	s[stamp.len] = '\0';
	end = stamp.len == 16 ? strptime(s, "%Y%m%dT%H%M%SZ", &tm) : NULL;
	if (end == NULL || *end != '\0')
	{
		memset(&tm, 0, sizeof(tm));
		end = strptime(s, "%a, %d %b %Y %H:%M:%S GMT", &tm);
	}
	if (end == NULL || *end != '\0')
		return false;
	*when = (int64_t) timegm(&tm);
	return true;
}

/* Take id, day, region and product out of the credential. */
static bool
parse_credential(request *r, claim *c)
{
	text		rest = c->credential;

	c->id = text_cut(&rest, '/');
	c->day = text_cut(&rest, '/');
	c->region = text_cut(&rest, '/');
	c->product = text_cut(&rest, '/');
	if (c->id.len == 0 || c->id.len >= sizeof(r->access_key_id) ||
		c->day.len != 8 || c->region.len == 0 || c->product.len == 0 ||
		!text_eq(rest, TERMINATOR))
		return refuse(r, "0002-00000213",
					  c->in_url ? "Invalid x-oss-credential in query."
					  : "Invalid Credential in Authorization header.");
	memcpy(r->access_key_id, c->id.data, c->id.len);
	return true;
}

/* Return whether the request carries a header. */
static bool
has_header(const request *r, text name)
{
	for (int i = 0; i < r->headers.n; i++)
	{
		if (text_same(r->headers.items[i].name, name))
			return true;
	}
	return false;
}

/* Put a name where it sorts, unless it is there already. */
static void
insert_additional(claim *c, text name)
{
	int			at = c->n_additional;

	while (at > 0 && text_compare(c->additional[at - 1], name) > 0)
		at--;
	if (at > 0 && text_same(c->additional[at - 1], name))
		return;
	memmove(c->additional + at + 1, c->additional + at,
			(size_t) (c->n_additional - at) * sizeof(text));
	c->additional[at] = name;
	c->n_additional++;
}

/* Read the list of additional headers: lower case, sorted, without twins. */
static bool
parse_additional(request *r, claim *c, text list)
{
	if (list.len == 0)
		return refuse(r, "0002-00000209",
					  "The AdditionalHeaders must not be empty.");
	free(r->additional);
	r->additional = text_dup(list);
	for (char *p = r->additional; *p; p++)
		*p = (char) tolower((unsigned char) *p);
	list.data = r->additional;
	while (list.len > 0)
	{
		text		name = text_trim(text_cut(&list, ';'));

		if (name.len == 0 || c->n_additional == MAX_ADDITIONAL)
			return refuse(r, "0002-00000209", "Invalid AdditionalHeaders.");
		if (always_signed(name) || !has_header(r, name))
			return refuse(r, "0002-00000209",
						  "AdditionalHeaders names a header that is absent or "
						  "signed anyway.");
		insert_additional(c, name);
	}
	return true;
}

/* Read the items of the Authorization header, in any order. */
static bool
parse_authorization(request *r, claim *c, text header)
{
	text		list = {NULL, 0};
	bool		has_list = false;
	text		scheme = text_cut(&header, ' ');

	if (!text_eq(scheme, ALGORITHM))
		return refuse(r, NULL, text_eq(scheme, "OSS") ||
					  text_eq(scheme, "OSS2") ||
					  text_starts(scheme, "AWS4") ?
					  "Unsupported Authorization Type." :
					  "Authorization header is invalid.");
	while (header.len > 0)
	{
		text		value = text_trim(text_cut(&header, ','));
		text		name = text_trim(text_cut(&value, '='));

		value = text_trim(value);
		if (text_eq(name, "Credential") && c->credential.data == NULL)
			c->credential = value;
		else if (text_eq(name, "Signature") && c->signature.data == NULL)
			c->signature = value;
		else if (text_eq(name, "AdditionalHeaders") && !has_list)
		{
			list = value;
			has_list = true;
		}
		else
			return refuse(r, NULL,
						  "Unknown parameter in Authorization header.");
	}
	if (c->credential.len == 0 || c->signature.len == 0)
		return refuse(r, NULL, "Authorization header is invalid.");
	return parse_credential(r, c) &&
		(!has_list || parse_additional(r, c, list));
}

/* Read the signature's parts of a request signed in its headers. */
static bool
parse_header_claim(request *r, claim *c)
{
	text		payload;

	if (pair_list_count(&r->headers, "authorization") > 1)
		return refuse(r, NULL, "Authorization header is invalid.");
	if (!parse_authorization(r, c, request_header(r, "authorization")))
		return false;
	if (!pair_list_get(&r->headers, "x-oss-content-sha256", &payload) ||
		!text_eq(payload, PAYLOAD))
		return refuse(r, NULL, "Invalid or missing header "
					  "x-oss-content-sha256: UNSIGNED-PAYLOAD is required.");
	if (!pair_list_get(&r->headers, "x-oss-date", &c->stamp) &&
		!pair_list_get(&r->headers, "date", &c->stamp))
		return refuse(r, "0002-00000503",
					  "OSS authentication requires a valid Date.");
	pair_list_get(&r->headers, "x-oss-security-token", &c->token);
	return true;
}

/* Read the life time of a signed URL. */
static bool
parse_expires(request *r, claim *c)
{
	text		expires;

	if (!pair_list_get(&r->query, "x-oss-expires", &expires))
		return refuse(r, "0002-00000215",
					  "Missing x-oss-expires in query.");
	if (!text_number(expires, &c->expires) ||
		c->expires < 1 || c->expires > MAX_EXPIRES)
		return refuse(r, NULL, "Invalid x-oss-expires in query: it must be "
					  "between 1 and 604800.");
	return true;
}

/* Read the signature's parts of a presigned URL. */
static bool
parse_url_claim(request *r, claim *c)
{
	text		version;
	text		list;

	c->in_url = true;
	pair_list_get(&r->query, "x-oss-signature-version", &version);
	if (!text_eq(version, ALGORITHM))
		return refuse(r, NULL, "Invalid x-oss-signature-version in query.");
	if (!pair_list_get(&r->query, "x-oss-credential", &c->credential))
		return refuse(r, "0002-00000217",
					  "Missing x-oss-credential in query.");
	if (!pair_list_get(&r->query, "x-oss-signature", &c->signature))
		return refuse(r, NULL, "Missing x-oss-signature in query.");
	if (!pair_list_get(&r->query, "x-oss-date", &c->stamp))
		return refuse(r, "0002-00000503",
					  "OSS authentication requires a valid Date.");
	if (!parse_expires(r, c) || !parse_credential(r, c))
		return false;
	pair_list_get(&r->query, "x-oss-security-token", &c->token);
	if (pair_list_get(&r->query, "x-oss-additional-headers", &list))
		return parse_additional(r, c, list);
	return true;
}

/* Find where the request is signed, and read that. */
static bool
parse_claim(request *r, claim *c)
{
	bool		in_header = pair_list_count(&r->headers, "authorization") > 0;
	bool		in_url = pair_list_count(&r->query,
										 "x-oss-signature-version") > 0;
	bool		v1_url = (pair_list_count(&r->query, "OSSAccessKeyId") > 0 ||
						  pair_list_count(&r->query, "Signature") > 0);

	if (in_header && (in_url || v1_url))
		return refuse(r, NULL, "Authorization in both header and URL is not "
					  "allowed.");
	if (pair_list_count(&r->headers, "x-oss-security-token") > 0 &&
		pair_list_count(&r->query, "x-oss-security-token") > 0)
		return refuse(r, "0002-00000010",
					  "The security token is in both header and URL.");
	if (in_header)
		return parse_header_claim(r, c);
	if (in_url)
		return parse_url_claim(r, c);
	if (v1_url)
		return refuse(r, NULL, "Unsupported Authorization Type.");
	answer_error(r, 403, "AccessDenied", NULL,
				 "Anonymous access is forbidden for this operation.", NULL);
	return false;
}

/* Check region, product and day of the scope. */
static bool
check_scope(request *r, claim *c)
{
	char		day[16];
	time_t		t = (time_t) c->when;
	struct tm	tm;

	gmtime_r(&t, &tm);
	strftime(day, sizeof(day), "%Y%m%d", &tm);
	if (!text_eq(c->day, day))
		return refuse(r, c->in_url ? NULL : "0002-00000213",
					  "Invalid signing date in Credential: it is not the day "
					  "of x-oss-date.");
	if (!text_eq(c->region, server_scope.region))
		return refuse(r, c->in_url ? "0002-00000228" : "0002-00000226",
					  c->in_url ? "Invalid signing region in query."
					  : "Invalid signing region in Authorization header.");
	if (!text_eq(c->product, server_scope.product))
		return refuse(r, "0002-00000227",
					  c->in_url ? "Invalid signing product in query."
					  : "Invalid signing product in Authorization header.");
	return true;
}

/* Refuse because the client's clock is wrong. */
static bool
refuse_skew(request *r, claim *c, int64_t now)
{
	buffer		extra = {0};
	char		iso[40];

	xml_element(&extra, "MaxAllowedSkewMilliseconds", text_of("900000"));
	format_iso(c->when, iso, sizeof(iso));
	xml_element(&extra, "RequestTime", text_of(iso));
	format_iso(now, iso, sizeof(iso));
	xml_element(&extra, "ServerTime", text_of(iso));
	answer_error(r, 403, "RequestTimeTooSkewed", NULL, NULL, extra.data);
	buffer_free(&extra);
	return false;
}

/* Check the request's time against the server's clock. */
static bool
check_time(request *r, claim *c)
{
	int64_t		now = server_time();
	buffer		extra = {0};
	char		iso[40];

	if (c->when > now + MAX_SKEW || (!c->in_url && c->when < now - MAX_SKEW))
		return refuse_skew(r, c, now);
	if (!c->in_url || now <= c->when + c->expires)
		return true;
	format_iso(c->when + c->expires, iso, sizeof(iso));
	xml_element(&extra, "Expires", text_of(iso));
	format_iso(now, iso, sizeof(iso));
	xml_element(&extra, "ServerTime", text_of(iso));
	answer_error(r, 403, "AccessDenied", NULL, "Request has expired.",
				 extra.data);
	buffer_free(&extra);
	return false;
}

/* Append the canonical query: escaped, sorted by escaped name, no signature. */
static void
canonical_query(request *r, buffer *out)
{
	buffer		escaped = {0};
	pair	   *items = must_alloc((size_t) (r->query.n + 1) * sizeof(pair));
	size_t		room = 0;
	int			n = 0;

	for (int i = 0; i < r->query.n; i++)
		room += 3 * (r->query.items[i].name.len + r->query.items[i].value.len);
	buffer_reserve(&escaped, room + 1);
	for (int i = 0; i < r->query.n; i++)
	{
		pair	   *p = &items[n];

		if (text_eq(r->query.items[i].name, "x-oss-signature"))
			continue;
		p->name.data = escaped.data + escaped.len;
		buffer_escape(&escaped, r->query.items[i].name, false);
		p->name.len = (size_t) (escaped.data + escaped.len - p->name.data);
		p->value.data = escaped.data + escaped.len;
		buffer_escape(&escaped, r->query.items[i].value, false);
		p->value.len = (size_t) (escaped.data + escaped.len - p->value.data);
		n++;
	}
	sort_pairs(items, n);
	for (int i = 0; i < n; i++)
	{
		if (i > 0)
			buffer_puts(out, "&");
		buffer_text(out, items[i].name);
		if (items[i].value.len > 0)
		{
			buffer_puts(out, "=");
			buffer_text(out, items[i].value);
		}
	}
	free(items);
	buffer_free(&escaped);
}

/* Append the block of canonical headers. */
static void
canonical_headers(request *r, claim *c, buffer *out)
{
	pair	   *items = must_alloc((size_t) (r->headers.n + 1) * sizeof(pair));
	int			n = 0;

	for (int i = 0; i < r->headers.n; i++)
	{
		bool		is_signed = always_signed(r->headers.items[i].name);

		for (int j = 0; j < c->n_additional && !is_signed; j++)
			is_signed = text_same(c->additional[j], r->headers.items[i].name);
		if (is_signed)
			items[n++] = r->headers.items[i];
	}
	sort_pairs(items, n);
	for (int i = 0; i < n; i++)
	{
		buffer_text(out, items[i].name);
		buffer_puts(out, ":");
		buffer_text(out, items[i].value);
		while (i + 1 < n && text_same(items[i].name, items[i + 1].name))
		{
			buffer_puts(out, ",");
			buffer_text(out, items[++i].value);
		}
		buffer_puts(out, "\n");
	}
	free(items);
}

/* Append the canonical request: src/protocol/README.md 1.3. */
static void
canonical_request(request *r, claim *c, buffer *out)
{
	buffer_printf(out, "%s\n/", r->method);
	if (r->bucket[0] != '\0')
	{
		buffer_printf(out, "%s/", r->bucket);
		buffer_escape(out, r->key, true);
	}
	buffer_puts(out, "\n");
	canonical_query(r, out);
	buffer_puts(out, "\n");
	canonical_headers(r, c, out);
	buffer_puts(out, "\n");
	for (int i = 0; i < c->n_additional; i++)
	{
		if (i > 0)
			buffer_puts(out, ";");
		buffer_text(out, c->additional[i]);
	}
	buffer_puts(out, "\n" PAYLOAD);
}

/* Append the string to sign: src/protocol/README.md 1.7. */
static void
string_to_sign(claim *c, const buffer *creq, buffer *out)
{
	unsigned char digest[SHA256_DIGEST_LENGTH];

	SHA256((const unsigned char *) creq->data, creq->len, digest);
	buffer_puts(out, ALGORITHM "\n");
	buffer_text(out, c->stamp);
	buffer_puts(out, "\n");
	buffer_text(out, c->day);
	buffer_puts(out, "/");
	buffer_text(out, c->region);
	buffer_puts(out, "/");
	buffer_text(out, c->product);
	buffer_puts(out, "/" TERMINATOR "\n");
	buffer_hex(out, digest, sizeof(digest), false);
}

/* Compute HMAC-SHA256. */
static void
hmac(const void *key, size_t key_len, text message, unsigned char *out)
{
	unsigned int len = 0;

	HMAC(EVP_sha256(), key, (int) key_len,
		 (const unsigned char *) message.data, message.len, out, &len);
}

/*
 * Derive the signing key.  Each thread remembers the last one, which is all
 * that the load of one client needs.
 */
static void
signing_key(const char *secret, claim *c, unsigned char *key)
{
	static __thread char last_name[512];
	static __thread unsigned char last_key[32];
	char		name[512];
	char		first[MAX_SECRET + 16];

	snprintf(name, sizeof(name), "%s/%.*s/%.*s/%.*s", secret,
			 (int) c->day.len, c->day.data, (int) c->region.len,
			 c->region.data, (int) c->product.len, c->product.data);
	if (strcmp(name, last_name) != 0)
	{
		snprintf(first, sizeof(first), "aliyun_v4%s", secret);
		hmac(first, strlen(first), c->day, last_key);
		hmac(last_key, 32, c->region, last_key);
		hmac(last_key, 32, c->product, last_key);
		hmac(last_key, 32, text_of(TERMINATOR), last_key);
		strcpy(last_name, name);
	}
	memcpy(key, last_key, 32);
}

/* Refuse a wrong signature, showing what the server computed. */
static bool
refuse_signature(request *r, claim *c, const buffer *creq, const buffer *sts)
{
	buffer		extra = {0};

	xml_element(&extra, "OSSAccessKeyId", c->id);
	xml_element(&extra, "SignatureProvided", c->signature);
	/* line ends within these two are written as entities to stay one line */
	for (int i = 0; i < 2; i++)
	{
		const buffer *b = i == 0 ? sts : creq;
		const char *name = i == 0 ? "StringToSign" : "CanonicalRequest";
		text		rest = {b->data, b->len};

		buffer_printf(&extra, "<%s>", name);
		while (rest.len > 0)
		{
			text		line = text_cut(&rest, '\n');
			bool		more = (rest.data < b->data + b->len ||
								b->data[b->len - 1] == '\n');

			buffer_xml(&extra, line);
			if (more)
				buffer_puts(&extra, "&#10;");
		}
		buffer_printf(&extra, "</%s>\n", name);
	}
	answer_error(r, 403, "SignatureDoesNotMatch", NULL, NULL, extra.data);
	buffer_free(&extra);
	return false;
}

/* Recompute the signature and compare. */
static bool
check_signature(request *r, claim *c, const char *secret)
{
	buffer		creq = {0};
	buffer		sts = {0};
	unsigned char key[32];
	unsigned char mac[32];
	buffer		hex = {0};
	bool		same;

	canonical_request(r, c, &creq);
	string_to_sign(c, &creq, &sts);
	signing_key(secret, c, key);
	hmac(key, sizeof(key), text_from(sts.data, sts.len), mac);
	buffer_hex(&hex, mac, sizeof(mac), false);
	same = c->signature.len == hex.len &&
		CRYPTO_memcmp(c->signature.data, hex.data, hex.len) == 0;
	if (!same)
		refuse_signature(r, c, &creq, &sts);
	buffer_free(&creq);
	buffer_free(&sts);
	buffer_free(&hex);
	return same;
}

/* Check the security token, and that the credential has not expired. */
static bool
check_token(request *r, claim *c, const credential *who)
{
	const char *code = NULL;

	if (!text_eq(c->token, who->token))
	{
		if (c->token.len > 0 && (credential_token_known(c->token)))
			code = "AccessKeyIdAndSecurityTokenNotMatch";
		else
			code = "InvalidSecurityToken";
	}
	else if ((who->expires_at != 0 && server_time() >= who->expires_at) ||
			 who->uses_left == 0)
		code = who->token[0] ? "SecurityTokenExpired" : "InvalidAccessKeyId";
	if (code == NULL)
		return true;
	answer_error(r, 403, code, NULL, NULL, NULL);
	return false;
}

/* Find the credential of the claim. */
static bool
find_credential(request *r, claim *c, credential *who)
{
	buffer		extra = {0};
	bool		known = credential_find(r->access_key_id, who);

	if (known && !who->disabled)
		return true;
	xml_element(&extra, "OSSAccessKeyId", c->id);
	answer_error(r, 403, "InvalidAccessKeyId", NULL, known ?
				 "The OSS Access Key Id you provided is disabled." : NULL,
				 extra.data);
	buffer_free(&extra);
	return false;
}

/* Check who sends the request. */
bool
signature_check(request *r, credential *who)
{
	claim		c = {0};

	if (!parse_claim(r, &c))
		return false;
	if (!parse_time(c.stamp, &c.when))
		return refuse(r, "0002-00000503",
					  "OSS authentication requires a valid Date.");
	if (!check_scope(r, &c) || !find_credential(r, &c, who) ||
		!check_token(r, &c, who) || !check_time(r, &c) ||
		!check_signature(r, &c, who->secret))
		return false;
	if (credential_use(who->id))
		return true;
	who->uses_left = 0;
	return check_token(r, &c, who);
}
