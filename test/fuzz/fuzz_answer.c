/*-------------------------------------------------------------------------
 * fuzz_answer.c
 *	  Read the input as the body of an answer, and walk its labels.
 *-------------------------------------------------------------------------
 */
#include "backend.h"

#include <math.h>

#include "client/labels_response.h"
#include "call/detect.h"
#include "utils/builtins.h"

static char *body;
static size_t body_len;

/* The linker gives these in place of what request.c has. */
extern const char *__wrap_oss_request_body(const OssRequest *request, size_t *len);
extern const OssFailure *__wrap_oss_request_failure(const OssRequest *request);
extern const char *__wrap_oss_request_id(const OssRequest *request);
extern const char *__wrap_oss_request_what(const OssRequest *request);

const char *
__wrap_oss_request_body(const OssRequest *request, size_t *len)
{
	*len = body_len;
	return body;
}

const OssFailure *
__wrap_oss_request_failure(const OssRequest *request)
{
	return NULL;
}

const char *
__wrap_oss_request_id(const OssRequest *request)
{
	return "656C5A2F4B0A5C3030A2D0A1";
}

const char *
__wrap_oss_request_what(const OssRequest *request)
{
	return "labels of \"oss://bucket/key\"";
}

/* Check a text, which may be absent. */
static void
check_text(struct varlena *t)
{
	if (t != NULL)
		promise(fuzz_is_text(VARDATA_ANY(t), VARSIZE_ANY_EXHDR(t)));
}

/* Walk the labels of a document. */
static void
check_labels(const Jsonb *answer)
{
	OssLabel   *labels;
	int			n = oss_response_labels(answer, true, &labels);

	promise(n >= 0);
	for (int i = 0; i < n; i++)
	{
		check_text(labels[i].name);
		check_text(labels[i].parent);
		check_text(labels[i].language);
		promise(!labels[i].has_confidence || isfinite(labels[i].confidence));
		promise(!labels[i].has_centric || isfinite(labels[i].centric));
		promise(JB_ROOT_IS_OBJECT(labels[i].raw));
	}
	promise(oss_response_labels(answer, false, &labels) == n);
	promise(oss_detect_document_rows(answer, 0, false)->nrows <= n);
	promise(oss_detect_document_rows(answer, 0.5, true)->nrows <= n);
}

/* Are two texts equal, or both absent? */
static bool
is_same_text(const text * a, const text * b)
{
	return a == NULL || b == NULL ? a == b :
		VARSIZE_ANY_EXHDR(a) == VARSIZE_ANY_EXHDR(b) &&
		memcmp(VARDATA_ANY(a), VARDATA_ANY(b), VARSIZE_ANY_EXHDR(a)) == 0;
}

/* Check that our reader gives what jsonb_in() does, and the same labels. */
static void
check_reading(const Jsonb *answer, const OssLabels *read)
{
	Jsonb	   *same = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(body)));
	OssLabel   *labels;

	promise(VARSIZE(same) == VARSIZE(answer) && memcmp(same, answer, VARSIZE(same)) == 0);
	promise(oss_response_labels(same, false, &labels) == read->n);
	for (int i = 0; i < read->n; i++)
	{
		const OssLabel *a = &labels[i];
		const OssLabel *b = &read->labels[i];

		promise(is_same_text(a->name, b->name) && is_same_text(a->parent, b->parent) &&
				is_same_text(a->language, b->language));
		promise(a->has_level == b->has_level && a->level == b->level);
		promise(a->has_confidence == b->has_confidence &&
				(!a->has_confidence || a->confidence == b->confidence));
		promise(a->has_centric == b->has_centric &&
				(!a->has_centric || a->centric == b->centric));
	}
}

/* Run one input, in memory of exactly its size. */
void
fuzz_answer(const uint8_t *data, size_t size)
{
	const OssFailure *failure = NULL;
	OssLabels	labels;
	Jsonb	   *answer;
	Jsonb	   *copy;

	body = fuzz_text(data, size);
	body_len = size;
	answer = oss_response_parse(NULL, &labels, &failure);
	if (answer != NULL)
		check_reading(answer, &labels);
	free(body);
	promise((answer == NULL) == (failure != NULL));
	if (answer == NULL)
	{
		promise(fuzz_is_text(failure->message, strlen(failure->message)));
		promise(fuzz_is_text(failure->detail, strlen(failure->detail)));
		return;
	}
	copy = malloc(VARSIZE(answer));
	memcpy(copy, answer, VARSIZE(answer));
	check_labels(copy);
	free(copy);
}
