/*-------------------------------------------------------------------------
 * canonical.h
 *	  The canonical request, the text whose hash is signed.
 *
 * Ground floor, and private to it: signature_v4.c is the only caller.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_CANONICAL_H
#define OSS_CANONICAL_H

#include "protocol/signature_v4.h"

/* What was built; valid until the next build or wipe. */
typedef struct OssCanonical
{
	const OssText *request;
	const OssText *query;
	const OssText *additional;	/* names of the additional headers, "a;b" */
} OssCanonical;

/*
 * Build the canonical request.  The URL form adds parameters to the caller's,
 * besides x-oss-additional-headers which is added here; the header form none.
 * Returns false when memory is out; wipe in any case.
 */
extern bool oss_canonical_build(const OssToSign *what, const OssField *added,
								size_t nadded, OssCanonical *canonical);

/* Wipe the buffers: they may have held a security token. */
extern void oss_canonical_wipe(void);

#endif							/* OSS_CANONICAL_H */
