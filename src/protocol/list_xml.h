/*-------------------------------------------------------------------------
 * list_xml.h
 *	  Read a page of a listing: the objects of a bucket, or their versions.
 *
 * Expat parses.  Rules: README.md 9.2.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_LIST_XML_H
#define OSS_LIST_XML_H

#include <stdint.h>

#include "protocol/text.h"

#define OSS_LIST_FIELD_MAX	8192	/* bytes of one element, as sent */

/*
 * An object of a page.  Strings end with a NUL and are as sent, but for the
 * key, which is unescaped; "" is one that is missing.
 */
typedef struct OssListEntry
{
	const char *key;			/* 1 to OSS_KEY_MAX bytes, of any value */
	size_t		key_len;
	const char *etag;
	const char *last_modified;
	const char *storage_class;
	const char *object_type;
	const char *restore_info;
	const char *version_id;
	int64_t		size;			/* -1: missing */
	bool		not_latest;		/* of a version */
	bool		delete_marker;
} OssListEntry;

/*
 * A page.  Initialize with {0}; release with oss_list_page_free().  The
 * strings are in the page's memory.
 */
typedef struct OssListPage
{
	OssListEntry *entries;
	size_t		nentries;
	bool		truncated;		/* another page follows */
	const char *next_token;		/* where that page begins, of objects */
	const char *next_key;		/* the same of versions */
	const char *next_version;
	OssText		text;
} OssListPage;

/*
 * Parse a body into *page, which is empty.  Returns NULL, or what is wrong, as a
 * static lower-case clause, with *page empty: it is no ListBucketResult or, with
 * versions, no ListVersionsResult in well-formed XML; has a document type
 * declaration; lacks what says how the listing goes on; or holds what cannot be.
 * Elements of other names or namespaces than the root's are skipped.
 */
extern const char *oss_list_xml_parse(const char *body, size_t len, bool versions,
									  OssListPage *page);

/* What oss_list_xml_parse() returns when memory runs out. */
extern const char oss_list_no_memory[];

extern void oss_list_page_free(OssListPage *page);

#endif							/* OSS_LIST_XML_H */
