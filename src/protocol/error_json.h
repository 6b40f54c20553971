/*-------------------------------------------------------------------------
 * error_json.h
 *	  Read a JSON document with which a gateway explains a refusal.
 *
 * Rules: README.md 6.1.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_ERROR_JSON_H
#define OSS_ERROR_JSON_H

#include "protocol/error_xml.h"

/*
 * Parse a body into *error.  It must be a JSON object; its members Code,
 * Message, RequestId, EC and so on, and those of its member Error, are read,
 * with names compared case-insensitively.  Returns false, with *error zeroed,
 * if the body is anything else or has neither Code, EC nor Message.
 */
extern bool oss_error_json_parse(const char *body, size_t len,
								 OssErrorXml *error);

#endif							/* OSS_ERROR_JSON_H */
