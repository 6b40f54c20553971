/*-------------------------------------------------------------------------
 * detect.h
 *	  Arguments and rows of detect() and try_detect(), for the functions and
 *	  for the pipeline.
 *
 * src/README.md, "The life of a request".
 *-------------------------------------------------------------------------
 */
#ifndef OSS_DETECT_H
#define OSS_DETECT_H

#include "client/request.h"
#include "spi/result_rows.h"
#include "utils/jsonb.h"

/* Arguments, in the order of the SQL declaration. */
enum DetectArgument
{
	DETECT_BUCKET,
	DETECT_KEY,
	DETECT_THR,
	DETECT_VERSION_ID,
	DETECT_SERVER,
	DETECT_ARGUMENTS
};

/* Result columns: the seven of detect(), then the four that a try_ function adds. */
#define DETECT_COLUMNS		7
#define DETECT_CONFIDENCE	3
#define OUTCOME_COLUMNS		4

/* The functions that send a request. */
typedef enum OssFunction
{
	OSS_DETECT,
	OSS_TRY_DETECT,
	OSS_TAG,
	OSS_TRY_TAG,
	OSS_OBJECT_INFO,
	OSS_TRY_OBJECT_INFO,
	OSS_DETECT_JSON
} OssFunction;

/*
 * Answer a call from the request that was begun ahead for it, if there is one: add
 * its rows to result, or set the return value of fcinfo for detect_json().  Returns
 * false if the call must send its own.  Set by the pipeline, or NULL.
 */
extern bool (*oss_answer_begun) (OssFunction which, FunctionCallInfo fcinfo,
								 const OssResult *result, Datum *value);

/*
 * Note that a call for which nothing was begun ahead sends its request.  Set by the pipeline,
 * or NULL.
 */
extern void (*oss_sends_alone) (OssFunction which);

/* How many there have been. */
extern uint64 oss_calls_alone;

/* Rows of one image: nrows times ncolumns values and nulls, row by row. */
typedef struct DetectRows
{
	int			nrows;
	int			ncolumns;
	Datum	   *values;
	bool	   *nulls;
} DetectRows;

/*
 * Set *image from SQL arguments, in the database's encoding and in
 * CurrentMemoryContext.  Returns false if bucket or key is NULL.
 */
extern bool oss_detect_image(const Datum *args, const bool *nulls, OssImage *image);

/*
 * Set *spec from SQL arguments, in CurrentMemoryContext: resolves the server
 * for the current role, and converts text to UTF-8.  Returns false if bucket
 * or key is NULL, which means no rows and no request.  Legality of the image
 * is left to oss_image_failure().  Errors: those of oss_server_get() and
 * oss_utf8().
 */
extern bool oss_detect_spec(const Datum *args, const bool *nulls,
							OssLabelsSpec *spec);

/*
 * Send one request and wait until it is finished.  *group, in
 * CurrentMemoryContext, owns it.  Errors: those of oss_group_wait().
 */
extern OssRequest *oss_detect_run(const OssLabelsSpec *spec, OssGroup **group);

/* The same for a call for which nothing was begun ahead. */
extern OssRequest *oss_detect_run_alone(OssFunction which, const OssLabelsSpec *spec,
										OssGroup **group);

/*
 * Make the rows of a finished request, in CurrentMemoryContext: those of labels
 * whose confidence is at least "least" or missing.  A failure is raised, except
 * with is_try, if it is not one of the set-up: then it is a row.
 */
extern DetectRows *oss_detect_rows(const OssRequest *request, bool is_try,
								   double least);

/*
 * Make rows of so many columns with the outcome of a success, or the row of a
 * failure.
 */
extern DetectRows *oss_success_rows(int nrows, int columns, bool is_try,
									const char *request_id);
extern DetectRows *oss_failure_rows(const OssFailure *failure, int columns,
									bool is_try);

/* The same for a failure without a request. */
extern DetectRows *oss_detect_failure_rows(const OssFailure *failure, bool is_try);

/* Make the rows of a stored answer likewise. */
extern DetectRows *oss_detect_document_rows(const Jsonb *answer, double least,
											bool is_try);

/*
 * Hook: have the answer of a request that is about to start stored, if
 * oss_labels.keep is set.  Set by the store; NULL: nothing is stored.
 */
extern void (*oss_detect_keep) (const Datum *args, const bool *nulls,
								OssLabelsSpec *spec);

/* Add rows to the result of a function that has these columns. */
extern void oss_detect_add_rows(const OssResult *result, const DetectRows *rows);

#endif							/* OSS_DETECT_H */
