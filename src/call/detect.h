/*-------------------------------------------------------------------------
 * detect.h
 *	  Arguments and rows of detect() and try_detect(), the same for the
 *	  functions and for the pipeline.
 *
 * Top floor.  src/README.md, "The life of a request".
 *-------------------------------------------------------------------------
 */
#ifndef OSS_DETECT_H
#define OSS_DETECT_H

#include "client/request.h"
#include "spi/result_rows.h"
#include "utils/jsonb.h"

/* The arguments, in the order of the SQL declaration. */
enum DetectArgument
{
	DETECT_BUCKET,
	DETECT_KEY,
	DETECT_THR,
	DETECT_VERSION_ID,
	DETECT_SERVER,
	DETECT_ARGUMENTS
};

/* Result columns: the seven of detect(), then the four of try_detect(). */
#define DETECT_COLUMNS		7
#define TRY_DETECT_COLUMNS	11

/*
 * Rows of one image: nrows times ncolumns values and nulls, row by row, all in
 * one memory context.
 */
typedef struct DetectRows
{
	int			nrows;
	int			ncolumns;
	Datum	   *values;
	bool	   *nulls;
} DetectRows;

/*
 * Read the image of SQL arguments, in the database's encoding, into
 * CurrentMemoryContext.  Returns false when bucket or key is NULL.
 */
extern bool oss_detect_image(const Datum *args, const bool *nulls, OssImage *image);

/*
 * Turn SQL arguments into a spec in CurrentMemoryContext: resolves the server
 * for the current role, converts to UTF-8.  Returns false when bucket or key
 * is NULL, which means no rows and no request.  Errors: those of
 * oss_server_get(); 22021, 22P05 for text that UTF-8 can't hold.  Illegal
 * bucket names and so on are oss_image_failure()'s to find.
 */
extern bool oss_detect_spec(const Datum *args, const bool *nulls,
							OssLabelsSpec *spec);

/*
 * Send one request and wait for its end; *group, in CurrentMemoryContext, owns
 * it.  Errors: those of oss_group_wait().
 */
extern OssRequest *oss_detect_run(const OssLabelsSpec *spec, OssGroup **group);

/*
 * Make the rows of a finished request, in CurrentMemoryContext.  A failure is
 * raised, or for try_detect() one row unless it lies in the set-up.
 */
extern DetectRows *oss_detect_rows(const OssRequest *request, bool is_try);

/* The same for a failure that came before any request. */
extern DetectRows *oss_detect_failure_rows(const OssFailure *failure, bool is_try);

/*
 * Make the rows of a stored answer, as of detect(): those of labels with a
 * confidence of least or more, or without any.
 */
extern DetectRows *oss_detect_document_rows(const Jsonb *answer, double least);

/* Add rows to the result of a function that has these columns. */
extern void oss_detect_add_rows(const OssResult *result, const DetectRows *rows);

#endif							/* OSS_DETECT_H */
