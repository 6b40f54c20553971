/*-------------------------------------------------------------------------
 * test_uri.c
 *	  Escaping, names, endpoints and URLs.
 *-------------------------------------------------------------------------
 */
#include "protocol/uri.h"
#include "tap.h"
#include "scarce.h"

/* Every byte is escaped as src/protocol/README.md 1.4 says. */
static void
check_escape(void)
{
	static const char kept[] = {
		"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
		"abcdefghijklmnopqrstuvwxyz0123456789-_.~"
	};
	OssText		out = {0};
	int			wrong = 0;

	for (int i = 0; i < 256; i++)
	{
		char		byte = (char) i;
		char		want[4];

		if (i != 0 && strchr(kept, i) != NULL)
			snprintf(want, sizeof(want), "%c", i);
		else
			snprintf(want, sizeof(want), "%%%02X", i);
		oss_text_reset(&out);
		oss_escape(&out, &byte, 1, false);
		wrong += strcmp(out.data, want) != 0;
		oss_text_reset(&out);
		oss_escape(&out, &byte, 1, true);
		wrong += strcmp(out.data, i == '/' ? "/" : want) != 0;
	}
	ok(wrong == 0, "every byte is escaped as it should be (%d are not)",
	   wrong);
	oss_text_reset(&out);
	oss_text_adds(&out, "before ");
	oss_escape(&out, "a/\xe7\x85\xa7 +%\0*", 10, true);
	is_text(out.data, "before a/%E7%85%A7%20%2B%25%00%2A", "a key is escaped");
	scarce_left = 0;
	oss_escape(&out, "", 0, true);
	ok(!out.failed, "nothing needs no memory");
	oss_escape(&out, out.data, 200, true);
	scarce_left = -1;
	ok(out.failed, "memory that runs out is noted");
	oss_text_free(&out);
}

/*
 * A bucket's name has 3 to 63 of [a-z0-9_-], no hyphen or underscore at the
 * ends.
 */
static void
check_bucket(void)
{
	char		name[66];

	memset(name, 'a', sizeof(name));
	name[64] = '\0';
	is_problem(oss_bucket_problem(name), "63", "bucket of 64 characters");
	name[63] = '\0';
	is_text(oss_bucket_problem(name), NULL, "bucket of 63 characters");
	is_text(oss_bucket_problem("abc"), NULL, "bucket of 3 characters");
	is_text(oss_bucket_problem("0-9"), NULL, "bucket 0-9");
	is_problem(oss_bucket_problem("ab"), "3", "bucket of 2 characters");
	is_problem(oss_bucket_problem(""), "3", "empty bucket");
	is_problem(oss_bucket_problem("-ab"), "hyphen", "bucket -ab");
	is_problem(oss_bucket_problem("ab-"), "hyphen", "bucket ab-");
	is_problem(oss_bucket_problem("Abc"), "lower-case", "bucket Abc");
	is_text(oss_bucket_problem("a_c"), NULL, "bucket a_c, as old ones may be called");
	is_text(oss_bucket_problem("a__-_c"), NULL, "bucket a__-_c");
	is_problem(oss_bucket_problem("_ac"), "underscore", "bucket _ac");
	is_problem(oss_bucket_problem("ac_"), "underscore", "bucket ac_");
	is_problem(oss_bucket_problem("a.c"), "lower-case", "bucket a.c");
	is_problem(oss_bucket_problem("a/c"), "lower-case", "bucket a/c");
	is_problem(oss_bucket_problem("a c"), "lower-case", "bucket with blank");
	is_problem(oss_bucket_problem("abc\n"), "lower-case",
			   "bucket with a line break");
	is_problem(oss_bucket_problem("\xc3\xa9" "bc"), "lower-case",
			   "bucket that is not ASCII");
}

/* The length of a key is counted in bytes. */
static void
check_key_length(void)
{
	char		key[1100];

	memset(key, 'k', sizeof(key));
	is_problem(oss_key_problem(key, 0), "empty", "key of 0 bytes");
	is_text(oss_key_problem(key, 1), NULL, "key of 1 byte");
	is_text(oss_key_problem(key, 1023), NULL, "key of 1023 bytes");
	is_problem(oss_key_problem(key, 1024), "1023", "key of 1024 bytes");
	for (int i = 0; i < 342; i++)
		memcpy(key + 3 * i, "\xe7\x85\xa7", 3);
	is_text(oss_key_problem(key, 3 * 341), NULL,
			"key of 341 characters, 1023 bytes");
	is_problem(oss_key_problem(key, 3 * 342), "1023",
			   "key of 342 characters, 1026 bytes");
	is_problem(oss_key_problem(key, 1022), "UTF-8",
			   "key that ends within a character");
}

/* Check a key given as a literal. */
#define KEY(literal) oss_key_problem(literal, sizeof(literal) - 1)

/* A key is valid UTF-8. */
static void
check_key(void)
{
	is_text(KEY("a/../b//c/./d.jpg"), NULL, "key with dot segments");
	is_text(KEY("\xe7\x85\xa7/\xe7\x8c\xab & dog+1%~*.jpg"), NULL,
			"key of the vectors");
	is_problem(KEY("/a"), "begin", "key that begins with a slash");
	is_problem(KEY("\\a"), "begin", "key that begins with a backslash");
	is_text(KEY("a/"), NULL, "key that ends with a slash");
	is_problem(KEY("a\0b"), "NUL", "key with a NUL byte");
	is_problem(KEY("\0"), "NUL", "key that is a NUL byte");

	is_text(KEY("\x7f"), NULL, "U+007F");
	is_text(KEY("\xc2\x80"), NULL, "U+0080");
	is_text(KEY("\xdf\xbf"), NULL, "U+07FF");
	is_text(KEY("\xe0\xa0\x80"), NULL, "U+0800");
	is_text(KEY("\xed\x9f\xbf"), NULL, "U+D7FF");
	is_text(KEY("\xee\x80\x80"), NULL, "U+E000");
	is_text(KEY("\xef\xbf\xbf"), NULL, "U+FFFF");
	is_text(KEY("\xf0\x90\x80\x80"), NULL, "U+10000");
	is_text(KEY("\xf4\x8f\xbf\xbf"), NULL, "U+10FFFF");

	is_problem(KEY("\x80"), "UTF-8", "a lone continuation byte");
	is_problem(KEY("a\xbf" "b"), "UTF-8", "one between letters");
	is_problem(KEY("\xc0\xaf"), "UTF-8", "a slash of two bytes");
	is_problem(KEY("\xc1\xbf"), "UTF-8", "an overlong form, 2 bytes");
	is_problem(KEY("\xe0\x9f\xbf"), "UTF-8", "an overlong form, 3 bytes");
	is_problem(KEY("\xf0\x8f\xbf\xbf"), "UTF-8", "an overlong form, 4 bytes");
	is_problem(KEY("\xed\xa0\x80"), "UTF-8", "the first surrogate");
	is_problem(KEY("\xed\xbf\xbf"), "UTF-8", "the last surrogate");
	is_problem(KEY("\xf4\x90\x80\x80"), "UTF-8", "U+110000");
	is_problem(KEY("\xf5\x80\x80\x80"), "UTF-8", "a first byte F5");
	is_problem(KEY("\xff"), "UTF-8", "a byte FF");
	is_problem(KEY("\xc3"), "UTF-8", "a character cut after 1 of 2");
	is_problem(KEY("\xe7\x85"), "UTF-8", "a character cut after 2 of 3");
	is_problem(KEY("\xf0\x9f\x98"), "UTF-8", "a character cut after 3 of 4");
	is_problem(KEY("\xe7\x85" "a"), "UTF-8", "a letter in place of byte 3");
	is_problem(KEY("\xf0\x9f\x98" "a"), "UTF-8",
			   "a letter in place of byte 4");
	is_problem(KEY("\xc3("), "UTF-8", "a letter in place of byte 2");
	is_problem(KEY("caf\xe9"), "UTF-8", "Latin 1");
}

/* A region is the bare id. */
static void
check_region(void)
{
	char		region[61];

	memset(region, 'r', sizeof(region));
	region[60] = '\0';
	is_problem(oss_region_problem(region), "59", "region of 60 characters");
	region[59] = '\0';
	is_text(oss_region_problem(region), NULL, "region of 59 characters");
	is_text(oss_region_problem("cn-hangzhou"), NULL, "cn-hangzhou");
	is_text(oss_region_problem("cb-123"), NULL, "cb-123");
	is_text(oss_region_problem("us-west-1"), NULL, "us-west-1");
	is_text(oss_region_problem("ossia-1"), NULL, "ossia-1");
	is_problem(oss_region_problem("oss-cn-hangzhou"), "without \"oss-\"",
			   "oss-cn-hangzhou");
	is_problem(oss_region_problem("oss-cn-hangzhou.aliyuncs.com"),
			   "without \"oss-\"", "an endpoint for a region");
	is_problem(oss_region_problem(""), "empty", "empty region");
	is_problem(oss_region_problem("CN-HANGZHOU"), "lower-case",
			   "region in upper case");
	is_problem(oss_region_problem("cn_hangzhou"), "lower-case",
			   "region with an underscore");
	is_problem(oss_region_problem("cn/hangzhou"), "lower-case",
			   "region with a slash");
	is_problem(oss_region_problem("cn-"), "lower-case", "region cn-");
	is_problem(oss_region_problem("-cn"), "lower-case", "region -cn");
}

/* Version ids are visible ASCII. */
static void
check_version_id(void)
{
	char		id[1026];

	memset(id, '~', sizeof(id));
	id[1025] = '\0';
	is_problem(oss_version_id_problem(id), "1024", "version of 1025");
	id[1024] = '\0';
	is_text(oss_version_id_problem(id), NULL, "version of 1024");
	is_text(oss_version_id_problem("null"), NULL, "version null");
	is_text(oss_version_id_problem("!"), NULL, "version !");
	is_problem(oss_version_id_problem(""), "1024", "empty version");
	is_problem(oss_version_id_problem("a b"), "visible", "version a b");
	is_problem(oss_version_id_problem("a\x7f"), "visible", "version DEL");
	is_problem(oss_version_id_problem("\xc3\xa9"), "visible",
			   "version not ASCII");
	is_problem(oss_version_id_problem("v\r\nHost: x"), "visible",
			   "version with a line break");
}

/* Check an endpoint that is accepted, and a URL made of it. */
static void
check_endpoint(const char *text, const char *host, int port, bool is_ip,
			   bool is_loopback, const char *url)
{
	OssEndpoint endpoint;
	OssText		out = {0};
	const char *problem = oss_endpoint_parse(text, false, &endpoint);

	if (!is_text(problem, NULL, text))
		return;
	is_text(endpoint.host, host, "  its host");
	ok(endpoint.port == port, "  its port is %d", port);
	ok(endpoint.is_ip == is_ip, "  is %san address", is_ip ? "" : "not ");
	ok(endpoint.is_loopback == is_loopback, "  is %sloopback",
	   is_loopback ? "" : "not ");
	oss_object_url(&out, &endpoint, OSS_PATH, "buc", "k y");
	is_text(out.data, url, "  its URL");
	oss_text_free(&out);
}

/* Endpoints that are accepted. */
static void
check_endpoints(void)
{
	check_endpoint("oss-cn-hangzhou.aliyuncs.com",
				   "oss-cn-hangzhou.aliyuncs.com", 443, false, false,
				   "https://oss-cn-hangzhou.aliyuncs.com/buc/k%20y");
	check_endpoint("HTTPS://OSS-cn-Hangzhou.AliyunCS.com/",
				   "oss-cn-hangzhou.aliyuncs.com", 443, false, false,
				   "https://oss-cn-hangzhou.aliyuncs.com/buc/k%20y");
	check_endpoint("https://photos.example.com:8443",
				   "photos.example.com", 8443, false, false,
				   "https://photos.example.com:8443/buc/k%20y");
	check_endpoint("photos.example.com:443/",
				   "photos.example.com", 443, false, false,
				   "https://photos.example.com/buc/k%20y");
	check_endpoint("photos.example.com:80",
				   "photos.example.com", 80, false, false,
				   "https://photos.example.com:80/buc/k%20y");
	check_endpoint("oss.internal-7", "oss.internal-7", 443, false, false,
				   "https://oss.internal-7/buc/k%20y");
	check_endpoint("192.168.1.10:65535", "192.168.1.10", 65535, true, false,
				   "https://192.168.1.10:65535/buc/k%20y");
	check_endpoint("https://[2001:DB8::1]:9000/", "2001:db8::1", 9000, true,
				   false, "https://[2001:db8::1]:9000/buc/k%20y");
	check_endpoint("[2001:db8::1]", "2001:db8::1", 443, true, false,
				   "https://[2001:db8::1]/buc/k%20y");

	check_endpoint("http://127.0.0.1:9000", "127.0.0.1", 9000, true, true,
				   "http://127.0.0.1:9000/buc/k%20y");
	check_endpoint("http://127.1.2.3", "127.1.2.3", 80, true, true,
				   "http://127.1.2.3/buc/k%20y");
	check_endpoint("http://[::1]:80/", "::1", 80, true, true,
				   "http://[::1]/buc/k%20y");
	check_endpoint("http://[::ffff:127.0.0.1]", "::ffff:127.0.0.1", 80,
				   true, true, "http://[::ffff:127.0.0.1]/buc/k%20y");
	check_endpoint("http://localhost:443", "localhost", 443, false, true,
				   "http://localhost:443/buc/k%20y");
	check_endpoint("http://oss.LOCALHOST", "oss.localhost", 80, false, true,
				   "http://oss.localhost/buc/k%20y");
	check_endpoint("localhost:1", "localhost", 1, false, true,
				   "https://localhost:1/buc/k%20y");
}

/* A dot at the end is no part of the name. */
static void
check_absolute_names(void)
{
	check_endpoint("https://oss-cn-hangzhou.aliyuncs.com.",
				   "oss-cn-hangzhou.aliyuncs.com", 443, false, false,
				   "https://oss-cn-hangzhou.aliyuncs.com/buc/k%20y");
	check_endpoint("photos.example.com.:8443/",
				   "photos.example.com", 8443, false, false,
				   "https://photos.example.com:8443/buc/k%20y");
	check_endpoint("http://LOCALHOST.:9000", "localhost", 9000, false, true,
				   "http://localhost:9000/buc/k%20y");
	check_endpoint("http://127.0.0.1.", "127.0.0.1", 80, true, true,
				   "http://127.0.0.1/buc/k%20y");
}

/* A bucket before one of OSS's endpoints is told from what is part of it. */
static void
check_buckets_in_endpoints(void)
{
	static const struct
	{
		const char *text;
		const char *own;
	}			cases[] = {
		{"buc.oss-cn-hangzhou.aliyuncs.com", "oss-cn-hangzhou.aliyuncs.com"},
		{"https://Buc.OSS-cn-hangzhou-internal.aliyuncs.com./",
		"oss-cn-hangzhou-internal.aliyuncs.com"},
		{"oss-cn.oss-us-west-1.aliyuncs.com:443", "oss-us-west-1.aliyuncs.com"},
		{"buc.oss-accelerate.aliyuncs.com", "oss-accelerate.aliyuncs.com"},
		{"buc.oss-accelerate-overseas.aliyuncs.com",
		"oss-accelerate-overseas.aliyuncs.com"},
		{"buc.oss-rg-china-mainland.aliyuncs.com",
		"oss-rg-china-mainland.aliyuncs.com"},
		{"buc.oss-cn-north-2-gov-1.aliyuncs.com",
		"oss-cn-north-2-gov-1.aliyuncs.com"},
		{"s3.oss-cn-hangzhou.aliyuncs.com", "oss-cn-hangzhou.aliyuncs.com"},
		{"a.buc.oss-cn-hangzhou.aliyuncs.com", "oss-cn-hangzhou.aliyuncs.com"},
		{"buc.cn-hangzhou.oss.aliyuncs.com", "cn-hangzhou.oss.aliyuncs.com"},
		{"buc.oss.aliyuncs.com", "oss.aliyuncs.com"},
		{"oss-cn-hangzhou.aliyuncs.com", NULL},
		{"oss-cn-hangzhou-internal.aliyuncs.com", NULL},
		{"vpc100-oss-cn-hangzhou.aliyuncs.com", NULL},
		{"oss-accelerate.aliyuncs.com", NULL},
		{"oss.aliyuncs.com", NULL},
		{"aliyuncs.com", NULL},
		{"cn-hangzhou.oss.aliyuncs.com", NULL},
		{"ep-1.oss.cn-hangzhou.privatelink.aliyuncs.com", NULL},
		{"cb-1.cn-hangzhou.oss-cloudbox.aliyuncs.com", NULL},
		{"cn-hangzhou-j-internal.oss-data-acc.aliyuncs.com", NULL},
		{"ap-1-2.oss-cn-hangzhou.oss-accesspoint.aliyuncs.com", NULL},
		{"buc.oss-cn-hangzhou.aliyuncs.com.example.com", NULL},
		{"buc.oss-cn-hangzhou.notaliyuncs.com", NULL},
		{"photos.example.com", NULL},
		{"127.0.0.1", NULL},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		OssEndpoint endpoint;

		is_text(oss_endpoint_parse(cases[i].text, false, &endpoint), NULL,
				cases[i].text);
		is_text(oss_endpoint_behind_bucket(&endpoint), cases[i].own,
				"  its endpoint behind a bucket");
	}
	ok(oss_is_endpoint_label("oss-cn-hangzhou") &&
	   oss_is_endpoint_label("oss-accelerate") &&
	   !oss_is_endpoint_label("oss") && !oss_is_endpoint_label("oss-proxy") &&
	   !oss_is_endpoint_label("cn-hangzhou"), "labels of endpoints");
}

/* An endpoint and a word of the refusal. */
typedef struct Refusal
{
	const char *text;
	const char *word;
} Refusal;

/* Endpoints that are refused. */
static void
check_bad_endpoints(void)
{
	static const Refusal refused[] = {
		{"", "no host"}, {"https://", "no host"}, {"https:///", "no host"},
		{":443", "no host"}, {"[]", "no host"}, {"[]:1", "no host"},
		{"ftp://example.com", "scheme"}, {"httpss://example.com", "scheme"},
		{"://example.com", "scheme"}, {"htt://example.com", "scheme"},
		{"http\n://localhost", "scheme"},
		{"http://example.com", "loopback"},
		{"http://10.0.0.1", "loopback"}, {"http://[fd00::1]", "loopback"},
		{"http://100.100.100.200", "loopback"},
		{"http://0.0.0.0", "loopback"},
		{"http://localhost.example.com", "loopback"},
		{"http://notlocalhost", "loopback"},
		{"http://128.0.0.1:9000", "loopback"},
		{"user@example.com", "user"}, {"u:p@example.com", "user"},
		{"https://u:p@example.com:443/", "user"},
		{"http://localhost@example.com", "user"},
		{"http://localhost:80@example.com", "user"},
		{"[::1@x]", "user"}, {"[::1]@x", "user"},
		{"example.com/path", "path"}, {"example.com//", "path"},
		{"example.com?x", "path"}, {"example.com#x", "path"},
		{"example.com/?x", "path"}, {"example.com\\x", "path"},
		{"https://https://example.com", "path"},
		{"example.com:", "port"}, {"example.com:0", "port"},
		{"example.com:65536", "port"}, {"example.com:99999", "port"},
		{"example.com:000443", "port"}, {"example.com:+1", "port"},
		{"example.com:-1", "port"}, {"example.com: 1", "port"},
		{"example.com:8a", "port"}, {"example.com:https", "port"},
		{"[::1]:", "port"}, {"[::1]:x", "port"},
		{"[::1]9000", "between"}, {"[::1", "not closed"},
		{"::1", "brackets"}, {"2001:db8::1", "brackets"},
		{"[127.0.0.1]", "IPv6"}, {"[example.com]", "IPv6"},
		{"[fe80::1%eth0]", "IPv6"}, {"[::1::]", "IPv6"},
		{"127.1", "neither"}, {"2130706433", "neither"},
		{"0x7f000001", "neither"}, {"0x7f.1", "neither"},
		{"127.0.0.0x1", "neither"}, {"1.2.3.4.5", "neither"},
		{"256.1.1.1", "neither"}, {"0177.0.0.01", "neither"},
		{"127.1.", "neither"}, {"example.0x", "neither"},
		{"127.0.0.1..", "legal host"}, {"example.com..", "legal host"},
		{".", "legal host"}, {"http://example.com.", "loopback"},
		{"exa mple.com", "legal host"}, {"example..com", "legal host"},
		{".example.com", "legal host"}, {"-a.example.com", "legal host"},
		{"a-.example.com", "legal host"}, {"a_b.example.com", "legal host"},
		{"ex%61mple.com", "legal host"}, {"example.com\n", "legal host"},
		{"\xc3\xa9.example.com", "legal host"}, {" localhost", "legal host"},
		{"a.0123456789012345678901234567890123456789012345678901234567890123"
		".com", "legal host"},
		{"oss-cn-hangzhou.aliyuncs.com,evil.example", "legal host"},
	};
	OssEndpoint endpoint;

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		is_problem(oss_endpoint_parse(refused[i].text, false, &endpoint),
				   refused[i].word, refused[i].text[0] == '\0' ?
				   "empty endpoint" : refused[i].text);
}

/* A host name has at most 253 characters. */
static void
check_host_length(void)
{
	OssEndpoint endpoint;
	char		host[260];

	for (int i = 0; i < 259; i++)
		host[i] = i % 50 == 49 ? '.' : 'h';
	host[254] = '\0';
	is_problem(oss_endpoint_parse(host, false, &endpoint), "too long",
			   "host of 254 characters");
	host[253] = '\0';
	is_text(oss_endpoint_parse(host, false, &endpoint), NULL,
			"host of 253 characters");
}

/* Plain http to private addresses. */
static void
check_private_http(void)
{
	static const char *const allowed[] = {
		"http://10.1.2.3", "http://172.16.0.1:8080", "http://192.168.0.1/",
		"http://100.64.0.1", "http://[fd00::1]:80", "http://oss.corp.example",
		"http://127.0.0.1", "http://localhost"
	};
	static const char *const refused[] = {
		"http://8.8.8.8", "http://172.32.0.1", "http://169.254.169.254",
		"http://100.100.100.200", "http://[2400:3200::1]", "http://[fe80::1]",
		"http://[fd00:ec2::254]", "http://[64:ff9b::10.0.0.1]", "http://0.0.0.0"
	};
	OssEndpoint endpoint;

	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
		is_text(oss_endpoint_parse(allowed[i], true, &endpoint), NULL, allowed[i]);
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		is_problem(oss_endpoint_parse(refused[i], true, &endpoint),
				   "loopback and private", refused[i]);
	is_problem(oss_endpoint_parse("http://10.1.2.3", false, &endpoint),
			   "loopback addresses only", "http://10.1.2.3 unless it is allowed");
}

/* Endpoints with a placeholder for the bucket. */
static void
check_templates(void)
{
	static const struct
	{
		const char *text;
		const char *word;		/* of the problem, or NULL */
	}			cases[] = {
		{"https://{bucket}.img.example.com", NULL},
		{"{bucket}.example.com", NULL},
		{"HTTPS://IMG-{bucket}-1.Example.com:8443/", NULL},
		{"https://cdn.{bucket}.example.com", NULL},
		{"http://{bucket}.localhost:9000", NULL},
		{"http://{bucket}.example.com", "loopback"},
		{"https://{bucket}", "domain follows"},
		{"https://{bucket}.", "domain follows"},
		{"https://{bucket}.com", "domain follows"},
		{"https://cdn-{bucket}.com.:8443", "domain follows"},
		{"https://{bucket}.xlocalhost", "domain follows"},
		{"https://{bucket}:8443", "domain follows"},
		{"https://img.{bucket}", "domain follows"},
		{"https://img.example.{bucket}:443", "domain follows"},
		{"https://10.0.0.{bucket}", "domain follows"},
		{"https://{bucket}.0.0.1", "neither a name nor"},
		{"https://{bucket}.example.com/{bucket}", "one {bucket}"},
		{"https://{bucket}.{bucket}.com", "one {bucket}"},
		{"https://example.com/{bucket}", "no path"},
		{"https://example.com?{bucket}.x", "no path"},
		{"https://example.com:{bucket}", "port"},
		{"https://{bucket}@example.com", "user information"},
		{"https://{bucket}.example.com@evil.example", "user information"},
		{"https://[{bucket}.example.com]", "brackets"},
		{"{bucket}://img.example.com", "scheme"},
		{"https://{Bucket}.example.com", "only placeholder"},
		{"https://{key}.example.com", "only placeholder"},
		{"https://{}.example.com", "only placeholder"},
		{"https://}{.example.com", "only placeholder"},
		{"https://{{bucket}}.example.com", "only placeholder"},
		{"https://{bucket}}.example.com", "no other braces"},
		{"https://{bucket}.{region}.example.com", "no other braces"},
		{"https://{bucket}.img_1.example.com", "legal host"},
		{"https://{bucket}..example.com", "legal host"},
		{"https://-{bucket}.example.com", "legal host"},
		{"https://{bucket}%2e.example.com", "legal host"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		const char *problem = oss_template_problem(cases[i].text, false);

		ok(oss_endpoint_is_template(cases[i].text), "%s is a template", cases[i].text);
		if (cases[i].word == NULL)
			is_text(problem, NULL, "  a legal one");
		else
			is_problem(problem, cases[i].word, "  not a legal one");
	}
	ok(!oss_endpoint_is_template("https://example.com"), "https://example.com is none");
}

/* Templates with a bucket in them. */
static void
check_expansions(void)
{
	static const char text[] = "https://IMG-{bucket}.example.com:8443";
	OssEndpoint endpoint;
	OssText		out = {0};
	char		bucket[OSS_BUCKET_MAX + 1];

	is_text(oss_endpoint_expand(text, "my_bucket", false, &endpoint), NULL, text);
	is_text(endpoint.host, "img-my_bucket.example.com", "  its host");
	oss_object_url(&out, &endpoint, OSS_CNAME, "my_bucket", "a/b.jpg");
	is_text(out.data, "https://img-my_bucket.example.com:8443/a/b.jpg", "  its URL");
	oss_text_free(&out);
	memset(bucket, 'b', OSS_BUCKET_MAX);
	bucket[59] = '\0';
	is_text(oss_endpoint_expand(text, bucket, false, &endpoint), NULL,
			"a bucket that makes a label of 63 characters");
	bucket[59] = 'b';
	bucket[60] = '\0';
	is_problem(oss_endpoint_expand(text, bucket, false, &endpoint), "legal host",
			   "one that makes a label of 64");
	is_text(oss_endpoint_expand("http://{bucket}.localhost", "buc", false, &endpoint), NULL,
			"http to a bucket below localhost");
	ok(endpoint.is_loopback, "  is loopback");
}

/* The service's own endpoints, and which type a host is of. */
static void
check_types(void)
{
	static const struct
	{
		OssEndpointType type;
		const char *host;
	}			cases[] = {
		{OSS_ENDPOINT_PUBLIC, "oss-cn-hangzhou.aliyuncs.com"},
		{OSS_ENDPOINT_INTERNAL, "oss-cn-hangzhou-internal.aliyuncs.com"},
		{OSS_ENDPOINT_ACCELERATE, "oss-accelerate.aliyuncs.com"},
		{OSS_ENDPOINT_DUALSTACK, "cn-hangzhou.oss.aliyuncs.com"},
	};
	static const char *const others[] = {
		"photos.example.com", "aliyuncs.com", "oss-cn-hangzhou-internal.example.com",
		"cb-1.cn-hangzhou.oss-cloudbox.aliyuncs.com", "127.0.0.1",
		"ep-1.oss.cn-hangzhou.privatelink.aliyuncs.com"
	};
	OssEndpoint endpoint;
	char		host[OSS_HOST_MAX + 1];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		is_text(oss_endpoint_of_region("cn-hangzhou", cases[i].type, &endpoint), NULL,
				cases[i].host);
		is_text(endpoint.host, cases[i].host, "  is the host of its type");
		ok(oss_endpoint_type(&endpoint) == cases[i].type, "  and of that type");
		snprintf(host, sizeof(host), "buc.%s", cases[i].host);
		oss_endpoint_parse(host, false, &endpoint);
		ok(oss_endpoint_type(&endpoint) == cases[i].type, "  with a bucket, too");
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
	{
		oss_endpoint_parse(others[i], false, &endpoint);
		ok(oss_endpoint_type(&endpoint) == OSS_ENDPOINT_OTHER, "%s is of no type", others[i]);
	}
	oss_endpoint_parse("oss-accelerate-overseas.aliyuncs.com", false, &endpoint);
	ok(oss_endpoint_type(&endpoint) == OSS_ENDPOINT_ACCELERATE, "the overseas one accelerates");
	memset(host, 'r', OSS_REGION_MAX);
	host[OSS_REGION_MAX] = '\0';
	is_text(oss_endpoint_of_region(host, OSS_ENDPOINT_PUBLIC, &endpoint), NULL,
			"the longest region");
	is_problem(oss_endpoint_of_region(host, OSS_ENDPOINT_INTERNAL, &endpoint), "legal host",
			   "  has no internal endpoint");
}

/* Check the URL of a bucket and key at an endpoint. */
static void
check_url(const char *at, OssAddressing addressing, const char *bucket,
		  const char *key, const char *want)
{
	OssEndpoint endpoint;
	OssText		out = {0};

	is_text(oss_endpoint_parse(at, false, &endpoint), NULL, at);
	oss_object_url(&out, &endpoint, addressing, bucket, key);
	is_text(out.data, want, want);
	oss_text_free(&out);
}

/* URLs of all kinds. */
static void
check_urls(void)
{
	OssEndpoint endpoint;
	OssText		out = {0};

	oss_endpoint_of_region("cn-hangzhou", OSS_ENDPOINT_PUBLIC, &endpoint);
	ok(endpoint.https && endpoint.default_port && endpoint.port == 443 &&
	   !endpoint.is_ip && !endpoint.is_loopback,
	   "the endpoint of a region is https");
	oss_object_url(&out, &endpoint, OSS_VIRTUAL_HOST, "examplebucket",
				   "a/../b//\xe7\x85\xa7 +.jpg");
	is_text(out.data, "https://examplebucket.oss-cn-hangzhou.aliyuncs.com/"
			"a/../b//%E7%85%A7%20%2B.jpg", "URL at a region");
	oss_text_free(&out);

	check_url("e.com", OSS_VIRTUAL_HOST, "buc", "k", "https://buc.e.com/k");
	check_url("e.com", OSS_VIRTUAL_HOST, "buc", NULL, "https://buc.e.com/");
	check_url("e.com", OSS_VIRTUAL_HOST, NULL, NULL, "https://e.com/");
	check_url("e.com", OSS_PATH, "buc", NULL, "https://e.com/buc/");
	check_url("e.com", OSS_PATH, NULL, NULL, "https://e.com/");
	check_url("e.com:1", OSS_CNAME, "buc", "k", "https://e.com:1/k");
	check_url("e.com", OSS_CNAME, "buc", NULL, "https://e.com/");
	check_url("10.0.0.1", OSS_VIRTUAL_HOST, "buc", "k",
			  "https://10.0.0.1/buc/k");
	check_url("[fd00::1]", OSS_VIRTUAL_HOST, "buc", "k",
			  "https://[fd00::1]/buc/k");
	check_url("http://localhost:9", OSS_VIRTUAL_HOST, "buc", "k",
			  "http://buc.localhost:9/k");
}

int
main(void)
{
	check_escape();
	check_bucket();
	check_key_length();
	check_key();
	check_region();
	check_version_id();
	check_endpoints();
	check_absolute_names();
	check_buckets_in_endpoints();
	check_bad_endpoints();
	check_host_length();
	check_private_http();
	check_templates();
	check_expansions();
	check_types();
	check_urls();
	return tap_done();
}
