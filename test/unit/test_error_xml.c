/*-------------------------------------------------------------------------
 * test_error_xml.c
 *	  The XML of refusals: what is kept, and what is refused.
 *-------------------------------------------------------------------------
 */
#include <openssl/evp.h>

#include "protocol/error_xml.h"
#include "tap.h"
#include "scarce.h"

static OssErrorXml error;

/* Read a document that must be accepted. */
static void
read_good(const char *xml, const char *name)
{
	memset(&error, 'x', sizeof(error));
	ok(oss_error_xml_parse(xml, strlen(xml), &error), "%s", name);
}

/* Is nothing kept? */
static bool
is_empty(void)
{
	static const OssErrorXml empty;

	return memcmp(&error, &empty, sizeof(error)) == 0;
}

/* Read a document that must be refused. */
static void
read_bad(const char *xml, size_t len, const char *name)
{
	memset(&error, 'x', sizeof(error));
	ok(!oss_error_xml_parse(xml, len, &error), "refused: %s", name);
	ok(is_empty(), "  and nothing kept");
}

static const char skewed[] =
"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
"<Error>\n"
"  <Code>RequestTimeTooSkewed</Code>\n"
"  <Message>The difference between the request time and the current time is "
"too large.</Message>\n"
"  <RequestId>5CAC0CF8DE0170A1B2C3D4E5</RequestId>\n"
"  <HostId>bucket.oss-cn-hangzhou.aliyuncs.com</HostId>\n"
"  <MaxAllowedSkewMilliseconds>900000</MaxAllowedSkewMilliseconds>\n"
"  <RequestTime>2025-04-10T11:00:57.000Z</RequestTime>\n"
"  <ServerTime>2025-04-10T10:00:57.000Z</ServerTime>\n"
"  <EC>0002-00000504</EC>\n"
"  <RecommendDoc>https://api.aliyun.com/troubleshoot?q=0002</RecommendDoc>\n"
"</Error>\n";

/* The documented shape, and its variants. */
static void
check_shapes(void)
{
	read_good(skewed, "the documented document");
	is_text(error.code, "RequestTimeTooSkewed", "  code");
	is_text(error.message, "The difference between the request time and the "
			"current time is too large.", "  message");
	is_text(error.request_id, "5CAC0CF8DE0170A1B2C3D4E5", "  request id");
	is_text(error.ec, "0002-00000504", "  EC");
	is_text(error.server_time, "2025-04-10T10:00:57.000Z", "  server time");
	is_text(error.endpoint, "", "  no endpoint");
	is_text(error.imm_request_id, "", "  no IMM request id");

	read_good("<Error xmlns=\"http://doc.oss-cn-hangzhou.aliyuncs.com\">\n"
			  "<Code>\r\n\t NoSuchBucket \n</Code>"
			  "<Message> The  specified\nbucket </Message>"
			  "</Error>",
			  "a namespace, and white space around texts");
	is_text(error.code, "NoSuchBucket", "  code");
	is_text(error.message, "The specified bucket", "  message");

	read_good("<o:Error xmlns:o=\"urn:x\"><o:Code>A</o:Code>"
			  "<o:Endpoint>oss-cn-beijing.aliyuncs.com</o:Endpoint>"
			  "</o:Error>", "a namespace prefix");
	is_text(error.code, "A", "  code");
	is_text(error.endpoint, "oss-cn-beijing.aliyuncs.com", "  endpoint");

	read_good("<Error><Detail><ServerTime>T1</ServerTime><Code>C2</Code>"
			  "<More><EC>E2</EC></More></Detail><Code>C1</Code>"
			  "<X><ServerTime>T2</ServerTime></X></Error>", "Detail");
	is_text(error.server_time, "T1", "  server time in Detail");
	is_text(error.code, "C1", "  code outside of it");
	is_text(error.ec, "", "  EC deeper does not count");

	read_good("<Error><Code>first</Code><Code>second</Code></Error>",
			  "an element twice");
	is_text(error.code, "first", "  the first counts");
	read_good("<Error><Code/><Code>second</Code></Error>",
			  "an element empty, then full");
	is_text(error.code, "second", "  the full one counts");
	read_good("<Error><Message>a<b>hidden</b>c</Message></Error>",
			  "an element inside a text");
	is_text(error.message, "a", "  ends the text");
	read_good("<Error><Message>a &lt;b&gt; &amp; &#x7167; <![CDATA[<c>]]>"
			  "</Message></Error>", "predefined entities and CDATA");
	is_text(error.message, "a <b> & \xe7\x85\xa7 <c>", "  message");
	read_good("<Error/>", "an empty document");
	ok(is_empty(), "  says nothing");
	read_good("\xef\xbb\xbf<Error><Code>A</Code></Error>\r\n",
			  "a byte order mark");
	read_good("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>"
			  "<Error><Message>caf\xe9</Message></Error>", "Latin 1");
	is_text(error.message, "caf\xc3\xa9", "  becomes UTF-8");
}

/* What the request was signed with is not kept. */
static void
check_secrets(void)
{
	static const char secret[] = "VERYSECRET";
	const char *kept = (const char *) &error;
	bool		found = false;

	read_good("<Error><Code>SignatureDoesNotMatch</Code>"
			  "<SignatureProvided>VERYSECRET</SignatureProvided>"
			  "<StringToSign>VERYSECRET</StringToSign>"
			  "<CanonicalRequest>x-oss-security-token:VERYSECRET"
			  "</CanonicalRequest><OSSAccessKeyId>VERYSECRET</OSSAccessKeyId>"
			  "<Unknown a=\"VERYSECRET\"><Code>VERYSECRET</Code></Unknown>"
			  "<!-- VERYSECRET --><?x VERYSECRET?></Error>",
			  "elements with what was signed");
	is_text(error.code, "SignatureDoesNotMatch", "  code");
	for (size_t i = 0; i + sizeof(secret) <= sizeof(error); i++)
		found = found || memcmp(kept + i, secret, sizeof(secret) - 1) == 0;
	ok(!found, "  are not kept");
}

/* What is not an error document, or is dangerous. */
static void
check_refused(void)
{
	static const char *const bad[] = {
		"", " ", "{}", "<html><body>Bad gateway</body></html>",
		"<error><Code>A</Code></error>", "<Error>", "<Error><Code>A</Code>",
		"<Error><Code>A</Error></Code>", "<Error></Error><Error></Error>",
		"<Error></Error>x", "<Error><Code>&undefined;</Code></Error>",
		"<Error><Code>\xff</Code></Error>", "<Error><Code>\x01</Code></Error>",
		"<!DOCTYPE Error><Error><Code>A</Code></Error>",
		"<!DOCTYPE Error SYSTEM \"file:///etc/passwd\"><Error/>",
		"<!DOCTYPE Error [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>"
		"<Error><Code>&x;</Code></Error>",
		"<!DOCTYPE e [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\">"
		"<!ENTITY c \"&b;&b;&b;&b;\">]><Error><Code>&c;</Code></Error>",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		read_bad(bad[i], strlen(bad[i]), bad[i]);
	read_bad("<Error>\0</Error>", 16, "a NUL byte");
	for (size_t len = 0; len < sizeof(skewed) - 2; len++)
	{
		if (oss_error_xml_parse(skewed, len, &error) || !is_empty())
		{
			ok(false, "cut after %zu bytes is refused", len);
			return;
		}
	}
	ok(true, "the documented document cut anywhere is refused");
}

/* Elements may be nested, but not without end. */
static void
check_depth(void)
{
	char		xml[2048] = "<Error>";

	for (int i = 0; i < 15; i++)
		strcat(xml, "<a>");
	for (int i = 0; i < 15; i++)
		strcat(xml, "</a>");
	strcat(xml, "</Error>");
	read_good(xml, "sixteen levels");

	strcpy(xml, "<Error>");
	for (int i = 0; i < 16; i++)
		strcat(xml, "<a>");
	for (int i = 0; i < 16; i++)
		strcat(xml, "</a>");
	strcat(xml, "</Error>");
	read_bad(xml, strlen(xml), "seventeen levels");
}

/* Read a message of n times a text, with something before. */
static void
read_long(const char *before, const char *repeat, int n)
{
	static char xml[1 << 20];
	char	   *to = xml;

	to += sprintf(to, "<Error><Message>%s", before);
	for (int i = 0; i < n; i++)
		to += sprintf(to, "%s", repeat);
	sprintf(to, "</Message><EC>behind</EC></Error>");
	read_good(xml, "a long message");
	is_text(error.ec, "behind", "  what follows is read");
}

/* Characters of 3 and 4 bytes are kept whole behind n bytes of others. */
static void
check_cut(const char *before, size_t n)
{
	read_long(before, "\xe7\x85\xa7", 2000);
	ok(strlen(error.message) == n + (1023 - n) / 3 * 3,
	   "  whole characters of 3 bytes behind %zu", n);
	read_long(before, "\xf0\x9f\x98\x80", 2000);
	ok(strlen(error.message) == n + (1023 - n) / 4 * 4,
	   "  whole characters of 4 bytes behind %zu", n);
}

/* Long texts are cut, at the end of a character. */
static void
check_long(void)
{
	char		before[1100];

	read_long("", "a", 1023);
	ok(strlen(error.message) == 1023, "  1023 bytes fit");
	read_long("", "a", 1024);
	ok(strlen(error.message) == 1023, "  of 1024 bytes 1023 are kept");
	read_long("", "a", 500000);
	ok(strlen(error.message) == 1023, "  of 500000 bytes 1023 are kept");
	for (int i = 0; i < 4; i++)
		check_cut(&"aaa"[3 - i], i);
	/* once a character did not fit, no shorter one may follow it */
	memset(before, 'b', 1021);
	strcpy(before + 1021, "\xf0\x9f\x98\x80");
	read_long(before, "a", 10);
	ok(strlen(error.message) == 1021 && strchr(error.message, 'a') == NULL,
	   "  nothing is left out inside");
	read_long(" \n", " ", 5000);
	is_text(error.message, "", "  blanks only are nothing");
}

/* What could confuse a terminal or a log becomes a blank. */
static void
check_controls(void)
{
	read_good("<Error><Message>a\tb\nc&#13;&#10;d\x7f" "e\xc2\x85" "f"
			  "\xc2\x9b" "31mg\xe2\x80\xa8h\xe2\x80\xae" "i\xe2\x81\xa6j"
			  "\xc2\xa0k</Message></Error>", "control characters");
	is_text(error.message, "a b c d e f 31mg h i j k", "  become blanks");
	read_good("<Error><Message>\xe2\x80\x93 \xe2\x82\xac \xe2\x81\xb0 "
			  "\xe7\x85\xa7 \xf0\x9f\x98\x80 \xc3\xa9</Message></Error>",
			  "characters that look alike in bytes");
	is_text(error.message, "\xe2\x80\x93 \xe2\x82\xac \xe2\x81\xb0 "
			"\xe7\x85\xa7 \xf0\x9f\x98\x80 \xc3\xa9", "  stay");
}

/* Read an IMM error. */
static void
read_imm(const char *code, const char *message)
{
	char		xml[2048];

	snprintf(xml, sizeof(xml),
			 "<Error><Code>%s</Code><Message>%s</Message></Error>", code,
			 message);
	read_good(xml, message);
}

/* IMM's request id is found in its errors. */
static void
check_imm(void)
{
	static const char uuid[] = "2E6D4C2A-0B5E-5F3B-9E1C-3D0A6C5B7F10";
	char		message[1024];

	read_imm("Imm Client", "InvalidArgument, [target]:is required. "
			 "2E6D4C2A-0B5E-5F3B-9E1C-3D0A6C5B7F10");
	is_text(error.code, "Imm Client", "  code");
	is_text(error.imm_request_id, uuid, "  IMM request id");
	read_imm("Imm Server", "ResourceNotFound, the project is not found\n"
			 "2E6D4C2A-0B5E-5F3B-9E1C-3D0A6C5B7F10\n");
	is_text(error.imm_request_id, uuid, "  IMM request id");
	read_imm("Imm Client", "File access forbidden, no role. "
			 "653A1B2C3D4E5F6A7B8C9D0E");
	is_text(error.imm_request_id, "653A1B2C3D4E5F6A7B8C9D0E",
			"  a request id of OSS's form");
	read_imm("Imm Client", "no comma and no id");
	is_text(error.imm_request_id, "", "  no IMM request id");
	read_imm("Imm Client", "[x], y face");
	is_text(error.imm_request_id, "", "  a short word is no request id");
	read_imm("Imm Client", "");
	is_text(error.imm_request_id, "", "  no IMM request id");
	read_imm("InvalidArgument", "A, b 2E6D4C2A-0B5E-5F3B-9E1C-3D0A6C5B7F10");
	is_text(error.imm_request_id, "", "  not of IMM: no IMM request id");

	strcpy(message, "A, x ");
	memset(message + 5, 'A', 127);
	message[5 + 127] = '\0';
	read_imm("Imm Client", message);
	ok(strlen(error.imm_request_id) == 127, "  a request id of 127 bytes fits");
	strcat(message, "A");
	read_imm("Imm Client", message);
	is_text(error.imm_request_id, "", "  one of 128 is none");
}

/* The base64 form. */
static void
check_base64(void)
{
	char		text[2 * sizeof(skewed)];
	size_t		len;

	len = EVP_EncodeBlock((unsigned char *) text,
						  (const unsigned char *) skewed,
						  (int) strlen(skewed));
	memset(&error, 'x', sizeof(error));
	ok(oss_error_xml_parse_base64(text, len, &error), "base64");
	is_text(error.code, "RequestTimeTooSkewed", "  code");
	is_text(error.ec, "0002-00000504", "  EC");
	ok(!oss_error_xml_parse_base64(text, len / 2, &error),
	   "refused: base64 of a part");
	ok(is_empty(), "  and nothing kept");
	for (int pad = 0; pad < 3; pad++)
	{
		char		xml[64];

		sprintf(xml, "<Error><Code>%.*s</Code></Error>", pad + 1, "abc");
		len = EVP_EncodeBlock((unsigned char *) text,
							  (unsigned char *) xml, (int) strlen(xml));
		ok(oss_error_xml_parse_base64(text, len, &error) &&
		   strlen(error.code) == (size_t) pad + 1,
		   "base64 with any padding: %s", text + len - 4);
	}
	memset(&error, 'x', sizeof(error));
	ok(!oss_error_xml_parse_base64("", 0, &error), "refused: no base64");
	ok(is_empty(), "  and nothing kept");
	ok(!oss_error_xml_parse_base64("!!!!", 4, &error),
	   "refused: not base64");
	ok(!oss_error_xml_parse_base64("PEVycm9yLz4", 11, &error),
	   "refused: base64 without its padding");
	scarce_left = 0;
	ok(!oss_error_xml_parse_base64(text, len, &error),
	   "refused: no memory");
	scarce_left = -1;
}

int
main(void)
{
	check_shapes();
	check_secrets();
	check_refused();
	check_depth();
	check_long();
	check_controls();
	check_imm();
	check_base64();
	return tap_done();
}
