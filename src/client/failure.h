/*-------------------------------------------------------------------------
 * failure.h
 *	  Failures of requests: the table that maps error codes of the service and
 *	  errors of the network to SQLSTATE, retry class, scope and hint.
 *
 * Rules: protocol/README.md 4.2, 6.2 and 6.3.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_FAILURE_H
#define OSS_FAILURE_H

#include "client/http.h"
#include "compat.h"
#include "datatype/timestamp.h"
#include "protocol/error_xml.h"

typedef enum OssRetry
{
	OSS_RETRY_NEVER,			/* the same request will fail again */
	OSS_RETRY_TRANSIENT,		/* again after a backoff */
	OSS_RETRY_THROTTLED,		/* again, at a lower rate */
	OSS_RETRY_CREDENTIALS,		/* once more with fresh credentials */
	OSS_RETRY_CLOCK				/* once more with the corrected clock */
} OssRetry;

/*
 * What a failure is about, and so what the worker pauses.  IMAGE fails a job,
 * and is a row of try_detect(); wider scopes are errors of the set-up, which
 * try_detect() raises.  DENIAL and ACCOUNT occur in rules only: the sender of
 * the request replaces them, see oss_access_failure().
 */
typedef enum OssScope
{
	OSS_SCOPE_IMAGE,			/* the object, or a transient condition */
	OSS_SCOPE_CALL,				/* an argument of the statement */
	OSS_SCOPE_ACCESS,			/* this role's requests for this bucket */
	OSS_SCOPE_BUCKET,			/* all requests for this bucket */
	OSS_SCOPE_REQUESTER,		/* the role's user mapping */
	OSS_SCOPE_SERVER,			/* all requests to the server */
	OSS_SCOPE_DENIAL,			/* IMAGE; ACCESS if all images of the bucket
								 * fail likewise */
	OSS_SCOPE_ACCOUNT			/* REQUESTER; ACCESS if another bucket
								 * returned labels, so that the account of
								 * this bucket's owner is meant */
} OssScope;

/*
 * One failed request.  Pointers are valid as long as the request; hint is
 * static; strings are in the database's encoding and contain no secret.
 */
typedef struct OssFailure
{
	int			sqlerrcode;
	OssRetry	retry;
	OssScope	scope;
	bool		denial;			/* scope of its rule is DENIAL */
	bool		unsent;			/* the request was not sent, because others
								 * failed */
	int			ask_again_s;	/* when to retry after a denial, 0: unknown */
	int64		budget;			/* id of the budget that is used up, or 0 */
	int			budget_scope;	/* OSS_BUDGET_OF_... */
	TimestampTz until;			/* when its period ends */
	int			http_status;	/* 0 without a response */
	long		delay_ms;		/* delay asked for by the service, or 0 */
	const char *code;			/* OSS's Code, or our own such as
								 * AnswerTimeout */
	const char *message;		/* primary message */
	const char *summary;		/* static: the same without the object's name */
	const char *detail;
	const char *hint;			/* or NULL */
	const char *request_id;		/* x-oss-request-id, or NULL */
} OssFailure;

/*
 * One row of the table.  The first row that matches a failure applies; NULL
 * or 0 in a key column matches anything.  http_status 3, 4 and 5 match 3xx,
 * 4xx and 5xx.  code is compared with OSS's Code or our own code; an asterisk
 * at its end matches any rest.  ec is compared with the beginning of OSS's
 * EC.  text is searched for in the service's message, case-insensitively,
 * with asterisks as wildcards.
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

/* The table and its length. */
extern const OssFailureRule oss_failure_rules[];
extern const int oss_failure_rule_count;

/*
 * Find the rule of a response whose status is not 200 or whose body is no
 * labels document, or of a transfer without a response.  Sets *xml from the
 * error document, or to zeros.  Allocates no palloc'd memory and does not
 * throw.
 */
extern const OssFailureRule *oss_failure_classify(const HttpAnswer *answer,
												  OssErrorXml *xml);

/*
 * Does the body of a response with status 200 look like a labels document?
 * It is not if a proxy sent a page, or a CDN that drops parameters sent the
 * image.  The body is parsed later.
 */
extern bool oss_failure_may_be_labels(const HttpAnswer *answer);

/* Return a rule's statuses, palloc'd, as "404" or "5xx"; NULL for any. */
extern const char *oss_failure_status_name(const OssFailureRule *rule);

/* in failure_rules.c: does its hint name rights to objects? */
extern bool oss_failure_names_rights(const OssFailureRule *rule);

/* Return the rule of a code of our own, which must be in the table. */
extern const OssFailureRule *oss_failure_rule(const char *code);

/*
 * Return how many ms the service asks to wait, 60000 at most; 0 if it does
 * not.
 */
extern long oss_failure_delay(const HttpAnswer *answer);

/*
 * Make the failure of a classified response, in CurrentMemoryContext.  what
 * names the object of the request, as in: labels of "oss://bucket/key".
 */
extern OssFailure *oss_failure_describe(const OssFailureRule *rule,
										const HttpAnswer *answer,
										const OssErrorXml *xml,
										const char *what);

/*
 * Make a failure with a code of our own, which must be in the table, in
 * CurrentMemoryContext.  detail is a sentence without secrets, or NULL.
 */
extern OssFailure *oss_failure_make(const char *code, const char *detail,
									const char *what);

/*
 * Make the failure of a request that was not sent because others failed by
 * this rule with this Code; as oss_failure_make().
 */
extern OssFailure *oss_failure_refuse(const OssFailureRule *rule,
									  const char *code, const char *detail,
									  const char *what);

/* Raise a failure as an ERROR. */
extern void oss_failure_throw(const OssFailure *failure);

/*
 * Make a sentence for DETAIL from a lower-case clause such as "a key must not
 * be empty", in CurrentMemoryContext.
 */
extern char *oss_sentence(const char *clause);

/* Return the name of a retry class, as error_table() shows it. */
extern const char *oss_retry_name(OssRetry retry);

/* Return the name of a scope, as error_table() shows it. */
extern const char *oss_scope_name(OssScope scope);

/* Is a failure of this scope always an error of the set-up? */
extern bool oss_scope_is_setup(OssScope scope);

#endif							/* OSS_FAILURE_H */
