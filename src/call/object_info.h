/*-------------------------------------------------------------------------
 * object_info.h
 *	  Arguments and rows of object_info() and try_object_info(), for the
 *	  functions and for the pipeline.
 *
 * The request is a HEAD, which has no price as labels have.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_OBJECT_INFO_H
#define OSS_OBJECT_INFO_H

#include "call/detect.h"

/* Arguments, in the order of the SQL declaration. */
enum ObjectArgument
{
	INFO_BUCKET,
	INFO_KEY,
	INFO_VERSION_ID,
	INFO_SERVER,
	INFO_ARGUMENTS
};

/* As oss_detect_spec(), for these arguments. */
extern bool oss_object_spec(const Datum *args, const bool *nulls,
							OssLabelsSpec *spec);

/* As oss_detect_rows(), of a request made by such a spec. */
extern DetectRows *oss_object_rows(const OssRequest *request, bool is_try);

#endif							/* OSS_OBJECT_INFO_H */
