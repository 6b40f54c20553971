/*-------------------------------------------------------------------------
 * backend.h
 *	  What the fuzz targets share that run inside a PostgreSQL backend.
 *-------------------------------------------------------------------------
 */
#ifndef FUZZ_BACKEND_H
#define FUZZ_BACKEND_H

#include "postgres.h"

#include "fuzz.h"
#include "mb/pg_wchar.h"

/*
 * Run one input.  CurrentMemoryContext is empty and is reset afterwards.  May
 * only throw what the SQLSTATEs of its row in backend.c allow.
 */
extern void fuzz_answer(const uint8_t *data, size_t size);
extern void fuzz_credentials(const uint8_t *data, size_t size);
extern void fuzz_import(const uint8_t *data, size_t size);
extern void fuzz_query(const uint8_t *data, size_t size);

/* Is this valid text of the database, which is UTF-8? */
static inline bool
fuzz_is_text(const char *bytes, size_t len)
{
	return pg_verify_mbstr(PG_UTF8, bytes, (int) len, true);
}

#endif							/* FUZZ_BACKEND_H */
