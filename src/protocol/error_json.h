/*-------------------------------------------------------------------------
 * error_json.h
 *	  Read a JSON document with which a gateway explains a refusal.
 *
 * Ground floor: no PostgreSQL, no curl.  Rules: README.md 6.1.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_ERROR_JSON_H
#define OSS_ERROR_JSON_H

#include "protocol/error_xml.h"

/*
 * Read a body into *error: the members Code, Message, RequestId, EC and so on
 * of an object, or of the object Error within it, whatever the case of their
 * names.  Returns false, with *error empty, when it is no such document.
 */
extern bool oss_error_json_parse(const char *body, size_t len,
								 OssErrorXml *error);

#endif							/* OSS_ERROR_JSON_H */
