/*-------------------------------------------------------------------------
 * error_xml.h
 *	  Read the XML document with which OSS explains a refusal.
 *
 * Ground floor: no PostgreSQL, no curl; expat parses.  Rules:
 * README.md 6.1 and 6.3.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_ERROR_XML_H
#define OSS_ERROR_XML_H

#include <stdbool.h>
#include <stddef.h>

#define OSS_ERROR_FIELD_MAX	1024	/* bytes kept of any one element */

/*
 * What a refusal says.  Every field is NUL-terminated, trimmed, at most
 * OSS_ERROR_FIELD_MAX - 1 bytes (cut at a UTF-8 character), empty when absent, and
 * free of control characters, so that it can stand in a message.  Nothing
 * that the request was signed with is kept (SignatureProvided, StringToSign
 * and the like are skipped).
 */
typedef struct OssErrorXml
{
	char		code[128];
	char		message[OSS_ERROR_FIELD_MAX];
	char		request_id[128];
	char		ec[64];
	char		endpoint[256];	/* where the bucket is, if not here */
	char		server_time[64];	/* ISO 8601, as sent */
	char		imm_request_id[128];	/* of IMM's own message, else empty */
} OssErrorXml;

/*
 * Read a body into *error.  Returns false, with *error empty, when it is not
 * an <Error> document (namespaces ignored); entity declarations are refused.
 */
extern bool oss_error_xml_parse(const char *body, size_t len,
								OssErrorXml *error);

/*
 * Read the value of an x-oss-err header (base64 of the document), which a HEAD
 * request gets in place of a body.
 */
extern bool oss_error_xml_parse_base64(const char *text, size_t len,
									   OssErrorXml *error);

/*
 * For error_json.c: keep len bytes of UTF-8 as the field of that name (in any
 * case of letters), unless it has a value; len at most OSS_ERROR_FIELD_MAX.
 */
extern void oss_error_keep(OssErrorXml *error, const char *name,
						   const char *text, size_t len);

/* For error_json.c: find in the fields what they say together. */
extern void oss_error_finish(OssErrorXml *error);

#endif							/* OSS_ERROR_XML_H */
