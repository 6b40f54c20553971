/*-------------------------------------------------------------------------
 * list_xml.c
 *	  Read a page of a listing: the objects of a bucket, or their versions.
 *
 * Elements come in any order, the one that says whether keys are escaped too,
 * so that they are unescaped at the end.  Until then strings are offsets into
 * the page's text, which moves as it grows.
 *-------------------------------------------------------------------------
 */
#include "protocol/list_xml.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <expat.h>

#include "protocol/uri.h"

#define DEPTH_MAX	16			/* of elements; real documents have 4 */

/* Between a namespace and a name; no legal name has it. */
#define SEPARATOR	'\n'

const char	oss_list_no_memory[] = "memory ran out";

/* The texts of a page that are kept, then those of an object. */
typedef enum FieldId
{
	PAGE_TRUNCATED,
	PAGE_ENCODING,
	PAGE_TOKEN,
	PAGE_KEY,
	PAGE_VERSION,
	PAGE_FIELDS,
	ENTRY_KEY = PAGE_FIELDS,
	ENTRY_SIZE,
	ENTRY_ETAG,
	ENTRY_MODIFIED,
	ENTRY_CLASS,
	ENTRY_TYPE,
	ENTRY_RESTORE,
	ENTRY_VERSION,
	ENTRY_LATEST,
	FIELDS
} FieldId;

static const char *const elements[FIELDS] = {
	[PAGE_TRUNCATED] = "IsTruncated",
	[PAGE_ENCODING] = "EncodingType",
	[PAGE_TOKEN] = "NextContinuationToken",
	[PAGE_KEY] = "NextKeyMarker",
	[PAGE_VERSION] = "NextVersionIdMarker",
	[ENTRY_KEY] = "Key",
	[ENTRY_SIZE] = "Size",
	[ENTRY_ETAG] = "ETag",
	[ENTRY_MODIFIED] = "LastModified",
	[ENTRY_CLASS] = "StorageClass",
	[ENTRY_TYPE] = "Type",
	[ENTRY_RESTORE] = "RestoreInfo",
	[ENTRY_VERSION] = "VersionId",
	[ENTRY_LATEST] = "IsLatest"
};

/* The text of a field: where it is in the page's text; len -1: missing. */
typedef struct Span
{
	size_t		offset;
	ptrdiff_t	len;
} Span;

/* The texts of an object; those of a page come before. */
typedef struct EntrySpans
{
	Span		spans[FIELDS - PAGE_FIELDS];
	bool		delete_marker;
} EntrySpans;

/*
 * The parser's state.  entry is the object that is being read, or NULL; field
 * the text, or FIELDS.
 */
typedef struct Reader
{
	XML_Parser	parser;
	OssListPage *page;
	bool		versions;
	const char *problem;
	char	   *space;			/* the root's namespace, NULL: none */
	int			depth;
	FieldId		field;
	Span		spans[PAGE_FIELDS];
	EntrySpans *entries;
	size_t		nentries;
	size_t		room;
	EntrySpans *entry;
} Reader;

static void
refuse_page(Reader *reader, const char *problem)
{
	if (reader->problem == NULL)
		reader->problem = problem;
	reader->field = FIELDS;
	XML_StopParser(reader->parser, XML_FALSE);
}

/* Begin an object. */
static void
begin_entry(Reader *reader, bool delete_marker)
{
	if (reader->nentries == reader->room)
	{
		size_t		room = reader->room > 0 ? 2 * reader->room : 64;
		EntrySpans *entries = realloc(reader->entries, room * sizeof(EntrySpans));

		if (entries == NULL)
		{
			refuse_page(reader, oss_list_no_memory);
			return;
		}
		reader->entries = entries;
		reader->room = room;
	}
	reader->entry = &reader->entries[reader->nentries++];
	for (int i = 0; i < FIELDS - PAGE_FIELDS; i++)
		reader->entry->spans[i].len = -1;
	reader->entry->delete_marker = delete_marker;
}

/* Check the root element, and remember its namespace. */
static void
begin_page(Reader *reader, const char *name)
{
	const char *end = strrchr(name, SEPARATOR);

	if (strcmp(end != NULL ? end + 1 : name,
			   reader->versions ? "ListVersionsResult" : "ListBucketResult") != 0)
		refuse_page(reader, "the document is no page of a listing");
	else if (end != NULL &&
			 (reader->space = strndup(name, end - name)) == NULL)
		refuse_page(reader, oss_list_no_memory);
}

/* Return an element's own name, NULL if its namespace is not the root's. */
static const char *
own_name(const Reader *reader, const char *name)
{
	const char *end = strrchr(name, SEPARATOR);

	if (reader->space == NULL)
		return end == NULL ? name : NULL;
	if (end == NULL || strlen(reader->space) != (size_t) (end - name) ||
		strncmp(name, reader->space, end - name) != 0)
		return NULL;
	return end + 1;
}

static Span *
span_of(Reader *reader, FieldId field)
{
	return field < PAGE_FIELDS ? &reader->spans[field] :
		&reader->entry->spans[field - PAGE_FIELDS];
}

/* Begin the text of an element, if it is one that is kept. */
static void
begin_field(Reader *reader, const char *name, FieldId first, FieldId end)
{
	for (FieldId field = first; field < end; field++)
	{
		Span	   *span = span_of(reader, field);

		if (strcmp(name, elements[field]) != 0)
			continue;
		if (span->len >= 0)
		{
			refuse_page(reader, "an element of the page stands there twice");
			return;
		}
		span->offset = reader->page->text.len;
		span->len = 0;
		reader->field = field;
		return;
	}
}

static void XMLCALL
on_start(void *data, const XML_Char *name, const XML_Char **attributes)
{
	Reader	   *reader = data;

	reader->depth++;
	if (reader->depth > DEPTH_MAX || reader->field != FIELDS)
	{
		refuse_page(reader, "the page has an element where none can be");
		return;
	}
	if (reader->depth == 1)
	{
		begin_page(reader, name);
		return;
	}
	name = own_name(reader, name);
	if (name == NULL)
		return;
	if (reader->depth == 2 &&
		strcmp(name, reader->versions ? "Version" : "Contents") == 0)
		begin_entry(reader, false);
	else if (reader->depth == 2 && reader->versions &&
			 strcmp(name, "DeleteMarker") == 0)
		begin_entry(reader, true);
	else if (reader->depth == 2)
		begin_field(reader, name, 0, PAGE_FIELDS);
	else if (reader->depth == 3 && reader->entry != NULL)
		begin_field(reader, name, PAGE_FIELDS, FIELDS);
}

static void XMLCALL
on_end(void *data, const XML_Char *name)
{
	Reader	   *reader = data;

	reader->depth--;
	if (reader->field != FIELDS)
		oss_text_add(&reader->page->text, "", 1);
	reader->field = FIELDS;
	if (reader->depth == 1)
		reader->entry = NULL;
}

static void XMLCALL
on_text(void *data, const XML_Char *s, int n)
{
	Reader	   *reader = data;
	Span	   *span;

	if (reader->field == FIELDS)
		return;
	span = span_of(reader, reader->field);
	span->len += n;
	if (span->len > OSS_LIST_FIELD_MAX)
		refuse_page(reader, "a text of the page is too long");
	else
		oss_text_add(&reader->page->text, s, n);
	if (reader->page->text.failed)
		refuse_page(reader, oss_list_no_memory);
}

/* Refuse a document type declaration: no service sends one. */
static void XMLCALL
on_doctype(void *data, const XML_Char *name, const XML_Char *system_id,
		   const XML_Char *public_id, int has_internal_subset)
{
	refuse_page(data, "the document has a document type declaration");
}

static void
run_parser(const char *body, size_t len, Reader *reader)
{
	reader->parser = XML_ParserCreateNS(NULL, SEPARATOR);
	if (reader->parser == NULL)
	{
		reader->problem = oss_list_no_memory;
		return;
	}
	XML_SetUserData(reader->parser, reader);
	XML_SetElementHandler(reader->parser, on_start, on_end);
	XML_SetCharacterDataHandler(reader->parser, on_text);
	XML_SetStartDoctypeDeclHandler(reader->parser, on_doctype);
	if (XML_Parse(reader->parser, body, (int) len, 1) != XML_STATUS_OK &&
		reader->problem == NULL)
		reader->problem = XML_GetErrorCode(reader->parser) == XML_ERROR_NO_MEMORY ?
			oss_list_no_memory : "the document is no well-formed XML";
	XML_ParserFree(reader->parser);
	if (reader->page->text.failed && reader->problem == NULL)
		reader->problem = oss_list_no_memory;
}

/* Return the text of a field as it was sent, "" if it is missing. */
static char *
text_of(const Reader *reader, const Span *span)
{
	static char none[1];

	none[0] = '\0';
	return span->len < 0 ? none : reader->page->text.data + span->offset;
}

/* Return where a text that stands for a value begins, and cut its end. */
static char *
word_of(const Reader *reader, const Span *span)
{
	char	   *text = text_of(reader, span);
	size_t		len;

	text += strspn(text, " \t\r\n");
	len = strlen(text);
	while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL)
		text[--len] = '\0';
	return text;
}

/* Read true or false.  Returns what is wrong, or NULL. */
static const char *
read_bool(const Reader *reader, const Span *span, bool *value)
{
	const char *word = word_of(reader, span);

	*value = strcasecmp(word, "true") == 0;
	return *value || strcasecmp(word, "false") == 0 ? NULL :
		"the page has neither true nor false where it must";
}

/* Read the size of an object.  Returns what is wrong, or NULL. */
static const char *
read_size(const Reader *reader, const Span *span, int64_t *size)
{
	const char *word = word_of(reader, span);

	*size = -1;
	if (span->len < 0)
		return NULL;
	*size = 0;
	for (const char *c = word; *c != '\0'; c++)
	{
		int			digit = *c - '0';

		if (digit < 0 || digit > 9 || *size > (INT64_MAX - digit) / 10)
			return "the size of an object is no number";
		*size = *size * 10 + digit;
	}
	return word[0] == '\0' ? "the size of an object is no number" : NULL;
}

/*
 * Read a text that may be escaped: unescape it in its place.  Returns what is
 * wrong, or NULL.
 */
static const char *
read_escaped(const Reader *reader, bool escaped, const Span *span,
			 const char **text, size_t *len)
{
	char	   *place = text_of(reader, span);

	*text = place;
	*len = span->len < 0 ? 0 : span->len;
	if (escaped && *len > 0 && !oss_query_unescape(place, len))
		return "a text of the page is wrongly escaped";
	if (*len > 0)
		place[*len] = '\0';
	return NULL;
}

/* Read an object.  Returns what is wrong, or NULL. */
static const char *
read_entry(const Reader *reader, bool escaped, const EntrySpans *from,
		   OssListEntry *entry)
{
	const Span *spans = from->spans;
	const char *problem;
	bool		latest = true;

	problem = read_escaped(reader, escaped, &spans[ENTRY_KEY - PAGE_FIELDS],
						   &entry->key, &entry->key_len);
	if (problem == NULL && entry->key_len == 0)
		problem = "an object has no key";
	if (problem == NULL && entry->key_len > OSS_KEY_MAX)
		problem = "a key is longer than 1023 bytes";
	if (problem == NULL)
		problem = read_size(reader, &spans[ENTRY_SIZE - PAGE_FIELDS], &entry->size);
	if (problem == NULL && spans[ENTRY_LATEST - PAGE_FIELDS].len >= 0)
		problem = read_bool(reader, &spans[ENTRY_LATEST - PAGE_FIELDS], &latest);
	entry->etag = word_of(reader, &spans[ENTRY_ETAG - PAGE_FIELDS]);
	entry->last_modified = word_of(reader, &spans[ENTRY_MODIFIED - PAGE_FIELDS]);
	entry->storage_class = word_of(reader, &spans[ENTRY_CLASS - PAGE_FIELDS]);
	entry->object_type = word_of(reader, &spans[ENTRY_TYPE - PAGE_FIELDS]);
	entry->restore_info = word_of(reader, &spans[ENTRY_RESTORE - PAGE_FIELDS]);
	entry->version_id = word_of(reader, &spans[ENTRY_VERSION - PAGE_FIELDS]);
	if (problem == NULL && reader->versions &&
		(entry->version_id[0] == '\0' || oss_version_id_problem(entry->version_id) != NULL))
		problem = "a version has no version id that can be";
	entry->not_latest = !latest;
	entry->delete_marker = from->delete_marker;
	return problem;
}

/* Read how the listing goes on.  Returns what is wrong, or NULL. */
static const char *
read_next(const Reader *reader, bool escaped)
{
	OssListPage *page = reader->page;
	const Span *spans = reader->spans;
	const char *problem;
	size_t		len;

	problem = read_bool(reader, &spans[PAGE_TRUNCATED], &page->truncated);
	if (problem != NULL)
		return problem;
	problem = read_escaped(reader, escaped, &spans[PAGE_TOKEN], &page->next_token, &len);
	if (problem == NULL && strlen(page->next_token) != len)
		problem = "the continuation token holds a NUL byte";
	if (problem == NULL)
		problem = read_escaped(reader, escaped, &spans[PAGE_KEY], &page->next_key, &len);
	if (problem == NULL && strlen(page->next_key) != len)
		problem = "the key marker holds a NUL byte";
	page->next_version = word_of(reader, &spans[PAGE_VERSION]);
	if (problem == NULL && page->truncated &&
		(reader->versions ? page->next_key : page->next_token)[0] == '\0')
		problem = "another page follows, and nothing says where it begins";
	return problem;
}

/* Make the page of what was parsed.  Returns what is wrong, or NULL. */
static const char *
make_page(Reader *reader)
{
	OssListPage *page = reader->page;
	const char *encoding = word_of(reader, &reader->spans[PAGE_ENCODING]);
	bool		escaped = strcasecmp(encoding, "url") == 0;
	const char *problem = NULL;

	if (!escaped && encoding[0] != '\0')
		return "the encoding of keys is unknown";
	problem = read_next(reader, escaped);
	page->entries = calloc(reader->nentries + 1, sizeof(OssListEntry));
	if (page->entries == NULL)
		return oss_list_no_memory;
	while (page->nentries < reader->nentries && problem == NULL)
	{
		problem = read_entry(reader, escaped, &reader->entries[page->nentries],
							 &page->entries[page->nentries]);
		page->nentries++;
	}
	return problem;
}

const char *
oss_list_xml_parse(const char *body, size_t len, bool versions, OssListPage *page)
{
	Reader		reader = {.page = page,.versions = versions,.field = FIELDS};
	const char *problem;

	for (int i = 0; i < PAGE_FIELDS; i++)
		reader.spans[i].len = -1;
	if (len > INT_MAX)
		reader.problem = "the document is too long";
	else
		run_parser(body, len, &reader);
	problem = reader.problem != NULL ? reader.problem : make_page(&reader);
	free(reader.entries);
	free(reader.space);
	if (problem != NULL)
		oss_list_page_free(page);
	return problem;
}

void
oss_list_page_free(OssListPage *page)
{
	free(page->entries);
	oss_text_free(&page->text);
	memset(page, 0, sizeof(*page));
}
