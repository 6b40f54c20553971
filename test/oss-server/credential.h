/*
 * credential.h
 *	  The AccessKeys the stand-in knows, their tokens, rights and life time.
 */
#ifndef STANDIN_CREDENTIAL_H
#define STANDIN_CREDENTIAL_H

#include "request.h"

#define MAX_SECRET	128

/*
 * One AccessKey.  A token that is not empty is required of every request.
 * expires_at (server clock) and uses_left tell when token or key end; 0 and
 * -1 mean never.
 */
typedef struct credential
{
	char		id[64];
	char		secret[MAX_SECRET];
	char		token[2048];
	char		arn[160];		/* of the role it is of, or "" */
	bool		disabled;
	bool		deny_get;		/* no oss:GetObject */
	bool		deny_imm;		/* no oss:ProcessImm */
	bool		deny_put;		/* neither PutObject nor DeleteObject */
	bool		deny_list;		/* no oss:ListObjects */
	char		refuse[MAX_CODE];	/* "" = no; else every request's error */
	char		allow[1024];	/* "bucket/prefix\n" lines; "" = everything */
	int64_t		expires_at;
	int64_t		uses_left;
	struct credential *next;
} credential;

/* Forget everything and set up the documented default table. */
extern void credential_reset(void);

/* Add a credential, or replace the one of the same id. */
extern void credential_set(const credential *c);

/* Remove a credential; false if there is none. */
extern bool credential_remove(const char *id);

/* Copy the credential of an id; false if there is none. */
extern bool credential_find(const char *id, credential *copy);

/* Return whether a policy allows an object. */
extern bool credential_allows(const credential *c, const char *bucket,
							  text key);

/* Return whether any credential carries this token. */
extern bool credential_token_known(text token);

/*
 * Count one authenticated use; false when the number of uses is exhausted,
 * after which the credential has expired.
 */
extern bool credential_use(const char *id);

/* Append the table, without secrets, as lines. */
extern void credential_list(buffer *out);

#endif							/* STANDIN_CREDENTIAL_H */
