/*
 * sts.h
 *	  STS: AssumeRole by the RPC signature, and AssumeRoleWithOIDC.
 */
#ifndef STANDIN_STS_H
#define STANDIN_STS_H

#include "credential.h"

/* A role that can be assumed. */
typedef struct sts_role
{
	char		arn[160];
	char		trust[1024];	/* key ids and role ARNs, separated by commas;
								 * "" = everyone */
	char		external_id[128];	/* asked for, unless "" */
	char		oidc_token[512];	/* token that may assume it, "" = none */
	int64_t		max_duration;	/* seconds */
	int64_t		lifetime;		/* of keys, whatever was asked for; 0 = that */
	struct sts_role *next;
} sts_role;

/* Forget all roles and calls. */
extern void sts_reset(void);

/* Add a role, or replace the one of the same ARN. */
extern void sts_role_set(const sts_role *role);

/*
 * Append the calls since the last reset, oldest first, a line each: action,
 * code, role, session, duration, policy, external id, key id, provider,
 * separated by tabs, escaped.
 */
extern void sts_log(buffer *out);

/* Answer a call; true as its answer may be changed by a fault. */
extern bool sts_answer(request *r);

#endif							/* STANDIN_STS_H */
