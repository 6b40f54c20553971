/*-------------------------------------------------------------------------
 * canonical.h
 *	  The canonical request, the text whose hash is signed.
 *
 * For signature_v4.c alone.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_CANONICAL_H
#define OSS_CANONICAL_H

#include "protocol/signature_v4.h"

/* Parts of the canonical request; valid until the next build or wipe. */
typedef struct OssCanonical
{
	const OssText *request;
	const OssText *query;
	const OssText *additional;	/* names of the additional headers, "a;b" */
} OssCanonical;

/*
 * Build the canonical request.  The URL form passes in "added" the parameters
 * that it appends to those of the caller; x-oss-additional-headers is
 * appended here.  The header form passes none.  Returns false when out of
 * memory.  The caller calls oss_canonical_wipe() in either case.
 */
extern bool oss_canonical_build(const OssToSign *what, const OssField *added,
								size_t nadded, OssCanonical *canonical);

/* Overwrite the buffers, which may hold a security token. */
extern void oss_canonical_wipe(void);

#endif							/* OSS_CANONICAL_H */
