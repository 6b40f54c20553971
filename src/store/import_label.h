/*-------------------------------------------------------------------------
 * import_label.h
 *	  A label that was paid for elsewhere: what it may be, and how it is
 *	  written as image/labels does.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_IMPORT_LABEL_H
#define OSS_IMPORT_LABEL_H


#include "compat.h"

/* The fields of a label. */
enum
{
	LABEL_NAME, LABEL_PARENT, LABEL_LEVEL, LABEL_CONFIDENCE, LABEL_CENTRIC,
	LABEL_LANGUAGE, LABEL_FIELDS
};

/* Their values; those of type jbvNull are absent. */
typedef struct OssLabelFields
{
	JsonbValue	values[LABEL_FIELDS];
} OssLabelFields;

/* The array of labels in a document of image/labels. */
#define OSS_LABELS_ARRAY "Labels"

/*
 * The place of an imported value, for messages: a field, or an element of an array,
 * below another place.
 */
typedef struct OssPlace
{
	const struct OssPlace *above;
	const char *field;			/* NULL: an element */
	int			index;
} OssPlace;

extern const char *oss_place_name(const OssPlace *place);
extern void oss_check_label_name(const OssPlace *place, const char *name, int length);
extern void oss_check_confidence(const OssPlace *place, double number, double most);
extern void oss_check_label_count(int n);

extern void oss_push_others(OssJsonbState *out, JsonbContainer *object,
							const char *const *names, int n);
extern void oss_labels_begin(OssJsonbState *out);
extern void oss_label_push(OssJsonbState *out, JsonbContainer *object,
						   OssLabelFields *label);
extern Jsonb *oss_labels_end(OssJsonbState *out);

#endif							/* OSS_IMPORT_LABEL_H */
