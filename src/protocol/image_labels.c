/*-------------------------------------------------------------------------
 * image_labels.c
 *	  The process instruction of a request: image/labels, and what a
 *	  presigned URL may carry.
 *-------------------------------------------------------------------------
 */
#include "protocol/image_labels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DECIMALS_MAX	17

bool
oss_thr_valid(double thr)
{
	/* NaN fails both comparisons */
	return thr >= 0.0 && thr <= 1.0;
}

/*
 * Write thr with the fewest decimals that read back as the same double.
 * Returns their number.
 */
static int
shortest_decimal(double thr, char *out, size_t size)
{
	for (int decimals = 0;; decimals++)
	{
		snprintf(out, size, "%.*f", decimals, thr);
		if (decimals == DECIMALS_MAX || strtod(out, NULL) == thr)
			return decimals;
	}
}

void
oss_labels_process(char out[OSS_LABELS_PROCESS_MAX], bool has_thr, double thr)
{
	char		number[32];
	int			decimals;

	if (!has_thr)
	{
		strcpy(out, "image/labels");
		return;
	}
	/* adding zero makes a negative zero positive */
	decimals = shortest_decimal(thr + 0.0, number, sizeof(number));
	/* replace the decimal point, which depends on the locale */
	snprintf(out, OSS_LABELS_PROCESS_MAX, "image/labels,thr_%c%s%s",
			 number[0], decimals > 0 ? "." : "",
			 number + strlen(number) - decimals);
}

/* ---------- process instructions of presigned URLs ---------- */

/* Operations that are free of charge: they transform or describe the image. */
static const char *const basic_operations[] = {
	"resize", "crop", "circle", "indexcrop", "rounded-corners", "blur",
	"rotate", "auto-orient", "interlace", "quality", "format", "watermark",
	"bright", "sharpen", "contrast", "info", "average-hue"
};

static bool
is_basic_operation(const char *name, size_t len)
{
	size_t		n = sizeof(basic_operations) / sizeof(basic_operations[0]);

	for (size_t i = 0; i < n; i++)
	{
		const char *operation = basic_operations[i];

		if (strlen(operation) == len && memcmp(operation, name, len) == 0)
			return true;
	}
	return false;
}

static bool
is_alphanumeric_or(char c, const char *others)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
		(c >= '0' && c <= '9') || (c != '\0' && strchr(others, c) != NULL);
}

/* Do len bytes consist of letters, digits and the characters in others? */
static bool
consists_of(const char *s, size_t len, const char *others)
{
	for (size_t i = 0; i < len; i++)
	{
		if (!is_alphanumeric_or(s[i], others))
			return false;
	}
	return true;
}

/*
 * Return what is wrong with an operation of len bytes, "name[,values]", or
 * NULL.
 */
static const char *
operation_problem(const char *operation, size_t len)
{
	size_t		name_len = strcspn(operation, ",/");

	if (len == 0)
		return "an image operation is missing between slashes";
	if (name_len == 6 && memcmp(operation, "labels", 6) == 0)
		return "the action image/labels costs money each time the URL is opened";
	if (!is_basic_operation(operation, name_len))
		return "only basic image operations, such as resize, may stand in "
			"a presigned URL";
	if (!consists_of(operation + name_len, len - name_len, ",_-.=+~"))
		return "an image operation has a value with a character that no "
			"value contains";
	return NULL;
}

/* Return what is wrong with a chain of operations, "a/b/c", or NULL. */
static const char *
chain_problem(const char *chain)
{
	for (;;)
	{
		size_t		len = strcspn(chain, "/");
		const char *problem = operation_problem(chain, len);

		if (problem != NULL || chain[len] == '\0')
			return problem;
		chain += len + 1;
	}
}

/* Return what is wrong with a style's name, or NULL. */
static const char *
style_problem(const char *name)
{
	size_t		len = strlen(name);

	if (len < 1 || len > 63 || !consists_of(name, len, "_-. "))
		return "a style's name has 1 to 63 letters, digits, hyphens, "
			"underscores, dots and spaces";
	return NULL;
}

const char *
oss_process_presign_problem(const char *process)
{
	if (strchr(process, '|') != NULL)
		return "a presigned URL must not chain actions with \"|\"";
	if (strncmp(process, "image/", 6) == 0)
		return chain_problem(process + 6);
	if (strncmp(process, "style/", 6) == 0)
		return style_problem(process + 6);
	return "only image/ operations and style/ names may stand in a "
		"presigned URL";
}
