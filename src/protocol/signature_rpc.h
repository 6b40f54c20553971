/*-------------------------------------------------------------------------
 * signature_rpc.h
 *	  Signature 1.0 (HMAC-SHA1) of RPC calls, as STS takes it.
 *
 * Rules: README.md 5.3; vectors: test/unit/test_signature_rpc.c.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_SIGNATURE_RPC_H
#define OSS_SIGNATURE_RPC_H

#include "protocol/signature_v4.h"

/*
 * Append the base64 signature of a call: method, and all fields of query and
 * form but Signature itself, in any order; at most OSS_RPC_FIELDS_MAX.
 * Returns false, without appending anything, when there are more, libcrypto
 * fails or memory runs out.
 */
#define OSS_RPC_FIELDS_MAX	32

extern bool oss_sign_rpc(OssText *out, const char *method, const OssField *fields,
						 size_t nfields, const char *secret);

#endif							/* OSS_SIGNATURE_RPC_H */
