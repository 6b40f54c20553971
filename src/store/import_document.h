/*-------------------------------------------------------------------------
 * import_document.h
 *	  Labels that were paid for elsewhere: documents of several services, and
 *	  arrays, made into answers as image/labels gives them.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_IMPORT_DOCUMENT_H
#define OSS_IMPORT_DOCUMENT_H


#include "utils/array.h"
#include "utils/jsonb.h"

/* One image of a document; fields that the document lacks are NULL. */
typedef struct OssImported
{
	char	   *bucket;
	char	   *key;
	Jsonb	   *response;		/* a document with Labels; NULL: failed */
	char	   *failure;		/* the service's error, in place of labels */
} OssImported;

extern int	oss_import_read(const char *format, Jsonb *document, OssImported **images);
extern Jsonb *oss_import_rows(ArrayType *names, ArrayType *confidences, ArrayType *parents);

#endif							/* OSS_IMPORT_DOCUMENT_H */
