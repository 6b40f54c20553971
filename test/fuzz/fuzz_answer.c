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

/* Run one input, in memory of exactly its size. */
void
fuzz_answer(const uint8_t *data, size_t size)
{
	const OssFailure *failure = NULL;
	Jsonb	   *answer;
	Jsonb	   *copy;

	body = fuzz_text(data, size);
	body_len = size;
	answer = oss_response_parse(NULL, &failure);
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
