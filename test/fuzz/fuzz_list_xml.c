/*-------------------------------------------------------------------------
 * fuzz_list_xml.c
 *	  Parse the input as a page of a listing, of objects and of versions; undo
 *	  the escaping of the input, and of what it is escaped to.
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"
#include "protocol/list_xml.h"
#include "protocol/uri.h"

/* Check that a text lies in the page's memory, or is none. */
static void
check_text(const OssListPage *page, const char *text)
{
	promise(text != NULL);
	promise(text[0] == '\0' || (text >= page->text.data &&
								text + strlen(text) < page->text.data + page->text.len));
}

/* Check what a page promises; nothing is kept of one that is refused. */
static void
check_page(const uint8_t *data, size_t size, bool versions)
{
	static const OssListPage empty;
	OssListPage page = {0};

	if (oss_list_xml_parse((const char *) data, size, versions, &page) != NULL)
	{
		promise(memcmp(&page, &empty, sizeof(page)) == 0);
		return;
	}
	check_text(&page, page.next_token);
	check_text(&page, page.next_key);
	check_text(&page, page.next_version);
	promise(!page.truncated || (versions ? page.next_key : page.next_token)[0] != '\0');
	for (size_t i = 0; i < page.nentries; i++)
	{
		const OssListEntry *entry = &page.entries[i];

		promise(entry->key_len > 0 && entry->key_len <= OSS_KEY_MAX);
		promise(entry->key >= page.text.data);
		promise(entry->key + entry->key_len < page.text.data + page.text.len);
		promise(entry->key[entry->key_len] == '\0');
		check_text(&page, entry->etag);
		check_text(&page, entry->last_modified);
		check_text(&page, entry->storage_class);
		check_text(&page, entry->object_type);
		check_text(&page, entry->restore_info);
		check_text(&page, entry->version_id);
		promise(entry->size >= -1);
		promise(!versions || entry->version_id[0] != '\0');
	}
	oss_list_page_free(&page);
}

/* Unescape the input, and its escaped form. */
static void
check_unescape(const uint8_t *data, size_t size)
{
	char	   *copy = fuzz_text(data, size);
	OssText		escaped = {0};
	size_t		len = size;

	promise(!oss_query_unescape(copy, &len) || len <= size);
	oss_escape(&escaped, (const char *) data, size, false);
	len = escaped.len;
	promise(oss_query_unescape(escaped.data, &len) && len == size);
	promise(memcmp(escaped.data, data, size) == 0);
	oss_text_free(&escaped);
	free(copy);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	check_page(data, size, false);
	check_page(data, size, true);
	if (size > 0)
		check_unescape(data, size);
	return 0;
}
