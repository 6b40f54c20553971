/*
 * answer.h
 *	  Fill the answer of a request: errors as the service words them, headers.
 */
#ifndef STANDIN_ANSWER_H
#define STANDIN_ANSWER_H

#include "request.h"

/* How an error's XML is written; all are seen in documents or SDK tests. */
typedef enum xml_style
{
	XML_USUAL,					/* what control said, else plain */
	XML_PLAIN,
	XML_NAMESPACE,				/* default namespace, as in the documents */
	XML_SPACES,					/* white space around every text */
	XML_DETAIL,					/* RequestTime and ServerTime within Detail */
	XML_JSON,					/* IMM's own JSON form */
	XML_JSON_ERROR,				/* the same within {"Error":...} */
	XML_NONE					/* no body */
} xml_style;

/* A row of the table of errors. */
typedef struct service_error
{
	const char *code;
	int			status;
	const char *ec;				/* "" where no document gives one */
	const char *message;
} service_error;

/* Find the (first) row of a code, or NULL. */
extern const service_error *service_error_find(const char *code);

/* Return the i-th row, or NULL after the last. */
extern const service_error *service_error_at(int i);

/* Give the answer a fresh request id and make it empty. */
extern void answer_begin(request *r);

/* Add a response header. */
extern void answer_header(request *r, const char *name, const char *value);

/*
 * Make the answer an error.  A status of 0, or a NULL ec or message, means
 * that of the table.  extra holds further XML elements, already escaped.
 */
extern void answer_error(request *r, int status, const char *code,
						 const char *ec, const char *message,
						 const char *extra);

/* The same in a given style. */
extern void answer_error_styled(request *r, xml_style style, int status,
								const char *code, const char *ec,
								const char *message, const char *extra);

/*
 * Read "plain", "namespace", "spaces", "detail", "json", "json-error" or
 * "none"; false if it is none of them.
 */
extern bool xml_style_of(const char *name, xml_style *style);

/* Set the style of errors that are given none. */
extern void xml_style_usual(xml_style style);

/* Append "<name>escaped value</name>" (one line) to extra elements. */
extern void xml_element(buffer *b, const char *name, text value);

/* Append a random UUID in upper case, as IMM's request ids are. */
extern void random_uuid(buffer *b);

/* The server's clock: real time plus the offset set by control, in seconds. */
extern int64_t server_time(void);
extern void server_time_shift(int64_t seconds);

/* Format a time as 2025-04-10T11:00:57.000Z and as RFC 1123. */
extern void format_iso(int64_t when, char *out, size_t size);
extern void format_http_date(int64_t when, char *out, size_t size);

#endif							/* STANDIN_ANSWER_H */
