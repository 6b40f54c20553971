/*-------------------------------------------------------------------------
 * test_list_xml.c
 *	  Pages of listings: what is read of them, and which are refused whole.
 *-------------------------------------------------------------------------
 */
#include "protocol/list_xml.h"
#include "protocol/uri.h"
#include "tap.h"
#include "scarce.h"

static OssListPage page;

/* Read a page that must be accepted. */
static void
read_page(const char *xml, bool versions, const char *name)
{
	oss_list_page_free(&page);
	is_text(oss_list_xml_parse(xml, strlen(xml), versions, &page), NULL, name);
}

/* Read a page that must be refused for a reason. */
static void
refuse(const char *xml, size_t len, bool versions, const char *reason, const char *name)
{
	static const OssListPage empty;
	const char *problem;

	oss_list_page_free(&page);
	problem = oss_list_xml_parse(xml, len, versions, &page);
	ok(problem != NULL && strstr(problem, reason) != NULL, "refused: %s (%s)",
	   name, problem ? problem : "accepted");
	ok(memcmp(&page, &empty, sizeof(page)) == 0, "  and nothing of it kept");
}

/* The same, within the root of a page of objects. */
static void
refuse_inside(const char *inside, const char *reason, const char *name)
{
	char		xml[512];

	snprintf(xml, sizeof(xml), "<ListBucketResult>%s</ListBucketResult>", inside);
	refuse(xml, strlen(xml), false, reason, name);
}

static const char documented[] =
"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
"<ListBucketResult>\n"
"  <Name>examplebucket</Name><Prefix>a/</Prefix><StartAfter>b</StartAfter>\n"
"  <MaxKeys>3</MaxKeys><Delimiter>/</Delimiter>\n"
"  <EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>\n"
"  <NextContinuationToken>CgJiYw--%2B%2F9%3D</NextContinuationToken>\n"
"  <Contents><Key>a/b+c%2Bd%25</Key><LastModified>2020-05-18T05:45:47.000Z</LastModified>"
"<ETag>\"35A27C2B9EAEEB6F48FD7FB5861D0A1B\"</ETag>\n"
"    <Type>Normal</Type><Size>25</Size><StorageClass>STANDARD</StorageClass></Contents>\n"
"  <CommonPrefixes><Prefix>a/b/</Prefix></CommonPrefixes><KeyCount>2</KeyCount>\n"
"</ListBucketResult>\n";

/* The documented shape. */
static void
check_documented(void)
{
	const OssListEntry *entry;

	read_page(documented, false, "the documented page");
	ok(page.nentries == 1 && page.truncated, "  one object, and more follow");
	is_text(page.next_token, "CgJiYw--+/9=", "  token");
	entry = page.entries;
	is_text(entry->key, "a/b c+d%", "  key");
	ok(entry->key_len == 8, "  its length");
	is_text(entry->last_modified, "2020-05-18T05:45:47.000Z", "  time");
	is_text(entry->etag, "\"35A27C2B9EAEEB6F48FD7FB5861D0A1B\"", "  ETag");
	is_text(entry->object_type, "Normal", "  type");
	is_text(entry->storage_class, "STANDARD", "  class");
	is_text(entry->restore_info, "", "  not restored");
	is_text(entry->version_id, "", "  no version");
	ok(entry->size == 25, "  size");
	for (size_t len = 0; len + 2 < sizeof(documented); len++)
	{
		oss_list_page_free(&page);
		if (oss_list_xml_parse(documented, len, false, &page) == NULL)
			ok(false, "the first %zu bytes are refused", len);
	}
	ok(page.entries == NULL, "refused: every part of it");
}

/* What may differ without a difference. */
static void
check_variants(void)
{
	read_page("<ListBucketResult xmlns=\"http://doc.oss-cn-hangzhou.aliyuncs.com\">"
			  "<Contents><Size> 7\n</Size><Key>a%2Bb</Key></Contents>"
			  "<EncodingType>URL</EncodingType>"
			  "<IsTruncated> False </IsTruncated></ListBucketResult>", false,
			  "a namespace, and the encoding after the keys");
	is_text(page.entries[0].key, "a+b", "  key");
	ok(page.entries[0].size == 7 && !page.truncated, "  size, and no more");

	read_page("<o:ListBucketResult xmlns:o='urn:x' xmlns:p='urn:y'>"
			  "<p:IsTruncated>nonsense</p:IsTruncated><o:IsTruncated>false</o:IsTruncated>"
			  "<o:Contents><p:Key>other</p:Key><o:Key>k</o:Key>"
			  "<o:Owner><o:ID>1</o:ID><o:Key>no</o:Key></o:Owner></o:Contents>"
			  "<p:Contents><o:Key>no</o:Key></p:Contents>"
			  "<o:New><o:Contents><o:Key>no</o:Key></o:Contents></o:New>"
			  "</o:ListBucketResult>", false,
			  "prefixes, other namespaces, elements elsewhere and new ones");
	ok(page.nentries == 1, "  one object");
	is_text(page.entries[0].key, "k", "  key");
	ok(page.entries[0].size == -1, "  no size");

	read_page("<ListBucketResult><IsTruncated>false</IsTruncated><Contents>"
			  "<Key> a%2b+&lt;&amp;&#x1F600;\t</Key></Contents></ListBucketResult>",
			  false, "keys that are not encoded");
	is_text(page.entries[0].key, " a%2b+<&\xF0\x9F\x98\x80\t", "  as they are");

	read_page("<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>",
			  false, "an empty bucket");
	ok(page.nentries == 0 && page.entries != NULL, "  no object");

	read_page("<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
			  "<NextContinuationToken>t</NextContinuationToken><Contents><Key>%00%01%0a%FF</Key>"
			  "<RestoreInfo>ongoing-request=\"false\", expiry-date=\"x\"</RestoreInfo></Contents>"
			  "</ListBucketResult>", false, "any byte in a key");
	ok(page.entries[0].key_len == 4 &&
	   memcmp(page.entries[0].key, "\0\1\n\xFF", 5) == 0, "  key");
	is_text(page.entries[0].restore_info, "ongoing-request=\"false\", expiry-date=\"x\"",
			"  restored");
}

/* Versions. */
static void
check_versions(void)
{
	const char *xml =
	"<ListVersionsResult><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
	"<NextKeyMarker>b%2B</NextKeyMarker><NextVersionIdMarker>v%3</NextVersionIdMarker>"
	"<DeleteMarker><Key>a</Key><VersionId>m1</VersionId><IsLatest>true</IsLatest></DeleteMarker>"
	"<Version><Key>a</Key><VersionId>v0</VersionId><IsLatest>false</IsLatest><Size>0</Size></Version>"
	"<Version><Key>b%2B</Key><VersionId>null</VersionId><IsLatest>true</IsLatest></Version>"
	"</ListVersionsResult>";

	read_page(xml, true, "versions");
	ok(page.nentries == 3 && page.truncated, "  three, and more follow");
	is_text(page.next_key, "b+", "  key marker");
	is_text(page.next_version, "v%3", "  version marker");
	ok(page.entries[0].delete_marker && !page.entries[0].not_latest &&
	   page.entries[0].size == -1, "  a delete marker");
	ok(!page.entries[1].delete_marker && page.entries[1].not_latest &&
	   page.entries[1].size == 0, "  an old version");
	is_text(page.entries[2].version_id, "null", "  the version null");
	refuse(xml, strlen(xml), false, "no page", "versions in place of objects");
	refuse(documented, strlen(documented), true, "no page", "objects in place of versions");
	xml = "<ListVersionsResult><IsTruncated>false</IsTruncated>"
		"<Version><Key>a</Key></Version></ListVersionsResult>";
	refuse(xml, strlen(xml), true, "version id", "a version without an id");
	xml = "<ListVersionsResult><IsTruncated>true</IsTruncated>"
		"<NextContinuationToken>t</NextContinuationToken></ListVersionsResult>";
	refuse(xml, strlen(xml), true, "where it begins", "more, without a key marker");
}

#define LAST "<IsTruncated>false</IsTruncated>"
#define URL "<EncodingType>url</EncodingType>"

/* What is refused. */
static void
check_refused(void)
{
	char		long_key[4000];
	char		xml[12000];

	refuse("", 0, false, "well-formed", "nothing");
	refuse("{}", 2, false, "well-formed", "JSON");
	refuse("<Error><Code>X</Code></Error>", 29, false, "no page", "another document");
	refuse_inside("", "true nor false", "no IsTruncated");
	refuse_inside("<IsTruncated>yes</IsTruncated>", "true nor false", "IsTruncated yes");
	refuse_inside("<IsTruncated>true</IsTruncated>", "where it begins", "more, without a token");
	refuse_inside("<IsTruncated>true</IsTruncated><NextContinuationToken/>",
				  "where it begins", "more, with an empty token");
	refuse_inside(URL "<IsTruncated>true</IsTruncated>"
				  "<NextContinuationToken>a%00b</NextContinuationToken>",
				  "NUL", "a token with a NUL byte");
	refuse_inside(LAST "<EncodingType>base64</EncodingType>", "encoding", "another encoding");
	refuse_inside(LAST LAST, "twice", "IsTruncated twice");
	refuse_inside(LAST "<Contents><Key>a</Key><Key>b</Key></Contents>", "twice", "two keys");
	refuse_inside(LAST "<Contents><Size>1</Size></Contents>", "no key", "no key");
	refuse_inside(LAST "<Contents><Key></Key></Contents>", "no key", "an empty key");
	refuse_inside(LAST "<Contents><Key>a<b/></Key></Contents>", "where none", "an element in a key");
	refuse_inside(LAST "<Contents><Key>a</Key><Size>-1</Size></Contents>", "number", "size -1");
	refuse_inside(LAST "<Contents><Key>a</Key><Size></Size></Contents>", "number", "an empty size");
	refuse_inside(LAST "<Contents><Key>a</Key><Size>9223372036854775808</Size></Contents>",
				  "number", "size 2^63");
	refuse_inside(LAST URL "<Contents><Key>a%</Key></Contents>", "escaped", "% at the end");
	refuse_inside(LAST URL "<Contents><Key>a%4</Key></Contents>", "escaped", "%4 at the end");
	refuse_inside(LAST URL "<Contents><Key>%4g</Key></Contents>", "escaped", "%4g");
	refuse_inside(LAST "<Contents><Key>a\x01</Key></Contents>", "well-formed", "a control character");
	refuse_inside(LAST "<Contents><Key>\xFF</Key></Contents>", "well-formed", "a byte that is no UTF-8");
	refuse_inside(LAST "<Contents><Key>&a;</Key></Contents>", "well-formed", "an unknown entity");
	refuse("<!DOCTYPE x [<!ENTITY a 'b'>]><ListBucketResult>" LAST "</ListBucketResult>",
		   strlen("<!DOCTYPE x [<!ENTITY a 'b'>]><ListBucketResult>" LAST "</ListBucketResult>"),
		   false, "type declaration", "a document type");

	memset(long_key, 'k', 1024);
	long_key[1024] = '\0';
	refuse_inside("<a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a>", "where none", "depth");
	snprintf(xml, sizeof(xml), "<ListBucketResult>" LAST "<Contents><Key>%s</Key></Contents>"
			 "</ListBucketResult>", long_key);
	refuse(xml, strlen(xml), false, "1023", "a key of 1,024 bytes");
	long_key[1023] = '\0';
	snprintf(xml, sizeof(xml), "<ListBucketResult>" LAST "<Contents><Key>%s</Key></Contents>"
			 "</ListBucketResult>", long_key);
	read_page(xml, false, "a key of 1,023 bytes");
	ok(page.entries[0].key_len == 1023, "  its length");
	memset(xml, ' ', sizeof(xml) - 1);
	memcpy(xml, "<ListBucketResult><Name>", 24);
	strcpy(xml + sizeof(xml) - 100, "</Name>" LAST "</ListBucketResult>");
	read_page(xml, false, "a long text that is not kept");
	memcpy(xml, "<ListBucketResult><NextContinuationToken>", 41);
	strcpy(xml + sizeof(xml) - 100, "</NextContinuationToken>" LAST "</ListBucketResult>");
	refuse(xml, strlen(xml), false, "too long", "a token of 11 kB");
}

/* Memory that runs out, wherever. */
static void
check_memory(void)
{
	int			n = 0;

	for (;; n++)
	{
		const char *problem;

		oss_list_page_free(&page);
		scarce_left = n;
		problem = oss_list_xml_parse(documented, strlen(documented), false, &page);
		scarce_left = -1;
		if (problem == NULL)
			break;
		if (problem != oss_list_no_memory || page.text.data != NULL || page.entries != NULL)
			ok(false, "without memory after %d allocations: %s", n, problem);
	}
	ok(n > 1, "refused: no memory, %d times", n);
}

/* The escaping of queries, undone. */
static void
check_unescape(void)
{
	char		bytes[3 * 256 + 1];
	char	   *to = bytes;
	size_t		len;
	int			wrong = 0;

	for (int i = 0; i < 256; i++)
		to += sprintf(to, i % 2 ? "%%%02x" : "%%%02X", i);
	len = to - bytes;
	ok(oss_query_unescape(bytes, &len) && len == 256, "every byte is unescaped");
	for (int i = 0; i < 256; i++)
		wrong += (unsigned char) bytes[i] != i;
	ok(wrong == 0, "  as it should be (%d are not)", wrong);
	for (int i = 1; i < 256; i++)
	{
		char		byte = i;

		len = 1;
		if (oss_query_unescape(&byte, &len) != (i != '%') || len != 1 ||
			byte != (char) (i == '+' ? ' ' : i))
			wrong++;
	}
	ok(wrong == 0, "others stand for themselves, + for a space");
	len = 0;
	ok(oss_query_unescape(bytes, &len) && len == 0, "nothing stays nothing");
}

int
main(void)
{
	check_documented();
	check_variants();
	check_versions();
	check_refused();
	check_memory();
	check_unescape();
	oss_list_page_free(&page);
	return tap_done();
}
