/*-------------------------------------------------------------------------
 * credential_sts.h
 *	  Calls of STS, signed and not.
 *
 * For the providers alone.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_CREDENTIAL_STS_H
#define OSS_CREDENTIAL_STS_H

#include "client/credential_document.h"

#define OSS_STS_DEFAULT_SESSION		"oss-labels"
#define OSS_STS_DEFAULT_DURATION	"3600"	/* seconds */

/* The fields of a form; one without a value is left out. */
#define OSS_STS_FIELDS_MAX	10

/*
 * Set missing options of STS from the environment, as the SDKs do: for
 * sources that use the machine only.
 */
extern void oss_sts_add_environment(CredentialOptions *options);

/*
 * End a step by calling an action of STS with a form; step "next" runs when the
 * answer is there.  The call is signed with who's key, or not if that is NULL.
 * Secrets among the fields are in the transfer until the next step.
 */
extern void oss_sts_call(CredentialSource *source, const CredentialOptions *options,
						 const char *action, const OssField *form, int nform,
						 const OssCredentials *who, int next);

/*
 * Did STS refuse the last call for its time, and is this the first time?  The
 * next call will have the time of STS.
 */
extern bool oss_sts_clock_differs(CredentialSource *source);

#endif							/* OSS_CREDENTIAL_STS_H */
