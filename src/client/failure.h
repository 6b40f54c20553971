/*-------------------------------------------------------------------------
 * failure.h
 *	  What can go wrong with a request: the one table that gives every code
 *	  of the service and every trouble of the network its SQLSTATE, its retry
 *	  class and its hint.
 *
 * Middle floor.  Rules: protocol/README.md 4.2, 6.2 and 6.3.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_FAILURE_H
#define OSS_FAILURE_H

#include "client/http.h"
#include "compat.h"
#include "protocol/error_xml.h"

typedef enum OssRetry
{
	OSS_RETRY_NEVER,			/* the same request will fail again */
	OSS_RETRY_TRANSIENT,		/* again after a backoff */
	OSS_RETRY_THROTTLED,		/* again, slower; the service is well */
	OSS_RETRY_CREDENTIALS,		/* once more with fresh credentials */
	OSS_RETRY_CLOCK				/* once more with the corrected clock */
} OssRetry;

/*
 * What a failure is about: what fails with it, and what the worker pauses.
 * IMAGE gives a row of try_detect() and a failed job; what is wider is an
 * error in the set-up, which try_detect() raises.  The last two stand in rules
 * only: whoever sent the request replaces them by what they come to.
 */
typedef enum OssScope
{
	OSS_SCOPE_IMAGE,			/* the object, or the moment */
	OSS_SCOPE_CALL,				/* an argument that is the statement's */
	OSS_SCOPE_ACCESS,			/* what this role asks of this bucket */
	OSS_SCOPE_BUCKET,			/* the bucket, whoever asks */
	OSS_SCOPE_REQUESTER,		/* the role's user mapping */
	OSS_SCOPE_SERVER,			/* the server: every requester and bucket */
	OSS_SCOPE_DENIAL,			/* IMAGE; ACCESS when it is said of every
								 * image of the bucket */
	OSS_SCOPE_ACCOUNT			/* REQUESTER; ACCESS when another bucket has
								 * answered, for then its owner is meant */
} OssScope;

/*
 * One failed request.  Every pointer lives as long as the request, hint is
 * static; the strings are in the database's encoding and hold no secret.
 */
typedef struct OssFailure
{
	int			sqlerrcode;
	OssRetry	retry;
	OssScope	scope;
	bool		denial;			/* its rule's scope is DENIAL */
	bool		unsent;			/* it was said of another request */
	int			ask_again_s;	/* of a denial, 0: nothing tells when */
	int			http_status;	/* 0 when there was no answer */
	long		delay_ms;		/* what the service asked to wait, or 0 */
	const char *code;			/* OSS's Code, or our own such as
								 * AnswerTimeout */
	const char *message;		/* primary message */
	const char *summary;		/* static: the same, naming no object */
	const char *detail;
	const char *hint;			/* NULL when there is no next step */
	const char *request_id;		/* x-oss-request-id, or NULL */
} OssFailure;

/*
 * One row of the table.  A NULL or 0 in the key columns matches anything; the
 * first matching row wins.  http_status 4 and 5 mean any 4xx and 5xx, 3 any
 * 3xx; code matches OSS's Code or our own name of a trouble, and its beginning
 * when it ends in an asterisk; ec matches the beginning of OSS's EC; text is
 * looked for in the service's message, in any case, with anything at each
 * asterisk.
 */
typedef struct OssFailureRule
{
	int			http_status;
	const char *code;
	const char *ec;
	const char *text;
	int			sqlerrcode;
	OssRetry	retry;
	OssScope	scope;
	const char *message;
	const char *hint;
} OssFailureRule;

/* The table and its length, for the copy in sql/README.md and its test. */
extern const OssFailureRule oss_failure_rules[];
extern const int oss_failure_rule_count;

/*
 * Find the rule for an answer whose status is not 200, or for a transfer that
 * ended without one, and read what the service said into *xml (empty when it said nothing).  Allocates
 * nothing and never throws.
 */
extern const OssFailureRule *oss_failure_classify(const HttpAnswer *answer,
												  OssErrorXml *xml);

/*
 * May the body of an answer with status 200 be a labels document, at a glance?
 * The page of a proxy is none, nor is the image itself, which is what a CDN
 * gives that drops parameters.  Whoever reads the answer looks closer.
 */
extern bool oss_failure_may_be_labels(const HttpAnswer *answer);

/* Name the statuses that a rule speaks of: 404, 5xx; NULL for any. */
extern const char *oss_failure_status_name(const OssFailureRule *rule);

/* Return the rule of a trouble of our own; code must be in the table. */
extern const OssFailureRule *oss_failure_rule(const char *code);

/* Return how long the service asks to wait, in ms; 0 when it does not. */
extern long oss_failure_delay(const HttpAnswer *answer);

/*
 * Put a classified answer into words, in CurrentMemoryContext.  what names the
 * thing asked for, such as labels of "oss://bucket/key".
 */
extern OssFailure *oss_failure_describe(const OssFailureRule *rule,
										const HttpAnswer *answer,
										const OssErrorXml *xml,
										const char *what);

/*
 * Make a failure of our own, in CurrentMemoryContext: code must be in the
 * table.  No secrets in detail.
 */
extern OssFailure *oss_failure_make(const char *code, const char *detail,
									const char *what);

/*
 * Make the failure of a request that was not sent because others were refused
 * by that rule, with that Code of the service; as oss_failure_make().
 */
extern OssFailure *oss_failure_refuse(const OssFailureRule *rule,
									  const char *code, const char *detail,
									  const char *what);

/*
 * Return what a rule comes to at a custom domain, which belongs to one bucket:
 * a signature for another one does not match there.
 */
extern const OssFailureRule *oss_failure_on_cname(const OssFailureRule *rule);

/* Raise it as an ERROR. */
extern void oss_failure_throw(const OssFailure *failure);

/*
 * Make a sentence, as a DETAIL wants it, of a clause such as "a key must not be
 * empty"; in CurrentMemoryContext.
 */
extern char *oss_sentence(const char *clause);

/* Name of a retry class: never, transient, throttled, credentials, clock. */
extern const char *oss_retry_name(OssRetry retry);

/* Name of a scope, as error_table() has it. */
extern const char *oss_scope_name(OssScope scope);

/* Is an error of this scope always one of the set-up? */
extern bool oss_scope_is_setup(OssScope scope);

#endif							/* OSS_FAILURE_H */
