/*-------------------------------------------------------------------------
 * fuzz_import.c
 *	  Read the input as a document of one of the formats that are imported; its
 *	  first byte names the format.
 *-------------------------------------------------------------------------
 */
#include "backend.h"

#include <math.h>

#include "client/labels_response.h"
#include "store/import_document.h"
#include "utils/builtins.h"

/* Check a string, which may be absent. */
static void
check_string(const char *string)
{
	if (string != NULL)
		promise(fuzz_is_text(string, strlen(string)));
}

/* Check an answer that is to be stored: all its labels can be read. */
static void
check_response(const Jsonb *response)
{
	OssLabel   *labels;
	int			n = oss_response_labels(response, false, &labels);
	JsonbValue	array;

	promise(getKeyJsonValueFromContainer(unconstify(JsonbContainer *, &response->root),
										 "Labels", 6, &array) != NULL);
	promise(array.type == jbvBinary && JsonContainerSize(array.val.binary.data) == n);
	for (int i = 0; i < n; i++)
	{
		const OssLabel *label = &labels[i];

		promise(label->name != NULL && VARSIZE_ANY_EXHDR(label->name) > 0);
		promise(label->parent == NULL || VARSIZE_ANY_EXHDR(label->parent) > 0);
		promise(!label->has_confidence || (label->confidence >= 0 && label->confidence <= 1));
		promise(!label->has_centric || (label->centric >= 0 && label->centric <= 1));
		promise(!label->has_level || label->level >= 0);
	}
}

void
fuzz_import(const uint8_t *data, size_t size)
{
	static const char *const formats[] = {"oss", "rekognition", "google_vision", "other"};
	OssImported *images;
	char	   *text;
	Jsonb	   *document;
	int			n;

	if (size == 0 || memchr(data, '\0', size) != NULL ||
		!fuzz_is_text((const char *) data + 1, size - 1))
		return;
	text = pnstrdup((const char *) data + 1, size - 1);
	document = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
	n = oss_import_read(formats[data[0] % lengthof(formats)], document, &images);
	promise(n > 0);
	for (int i = 0; i < n; i++)
	{
		check_string(images[i].bucket);
		check_string(images[i].key);
		check_string(images[i].failure);
		promise((images[i].response == NULL) == (images[i].failure != NULL));
		if (images[i].response != NULL)
			check_response(images[i].response);
	}
}
