/*-------------------------------------------------------------------------
 * error_xml.h
 *	  Read the XML document with which OSS explains a refusal.
 *
 * Expat parses.  Rules: README.md 6.1 and 6.3.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_ERROR_XML_H
#define OSS_ERROR_XML_H

#include <stdbool.h>
#include <stddef.h>

#define OSS_ERROR_FIELD_MAX	1024	/* bytes kept of any one element */

/*
 * The fields of an error document.  Each is NUL-terminated, trimmed,
 * truncated at a UTF-8 character boundary, empty when absent, and free of
 * control characters, so that it can stand in a message.  Elements that
 * repeat what was signed (SignatureProvided, StringToSign and the like) are
 * not kept.
 */
typedef struct OssErrorXml
{
	char		code[128];
	char		message[OSS_ERROR_FIELD_MAX];
	char		request_id[128];
	char		ec[64];
	char		endpoint[256];	/* the bucket's endpoint, if another one */
	char		server_time[64];	/* ISO 8601, as sent */
	char		imm_request_id[128];	/* of an IMM error, else empty */
} OssErrorXml;

/*
 * Parse a body into *error.  Returns false, with *error zeroed, if it is not
 * an <Error> document (namespace prefixes are ignored), has a document type
 * declaration, or memory runs out.
 */
extern bool oss_error_xml_parse(const char *body, size_t len,
								OssErrorXml *error);

/*
 * Parse the value of an x-oss-err header (the base64 of the document), which
 * replaces the body in the response to a HEAD request.
 */
extern bool oss_error_xml_parse_base64(const char *text, size_t len,
									   OssErrorXml *error);

/*
 * For error_json.c: store len bytes of UTF-8, at most OSS_ERROR_FIELD_MAX, in
 * the field of that name (compared case-insensitively), unless it has a value
 * already.
 */
extern void oss_error_keep(OssErrorXml *error, const char *name,
						   const char *text, size_t len);

/* For error_json.c: set the fields that are derived from others. */
extern void oss_error_finish(OssErrorXml *error);

#endif							/* OSS_ERROR_XML_H */
