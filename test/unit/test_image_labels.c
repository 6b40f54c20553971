/*-------------------------------------------------------------------------
 * test_image_labels.c
 *	  How labels are asked for, and what a presigned URL may carry.
 *-------------------------------------------------------------------------
 */
#include <locale.h>
#include <math.h>
#include <stdlib.h>

#include "protocol/image_labels.h"
#include "tap.h"
#include "scarce.h"

/* Check how a threshold is written. */
static void
check_thr(double thr, const char *want)
{
	char		process[OSS_LABELS_PROCESS_MAX];
	char		full[OSS_LABELS_PROCESS_MAX + 20];
	char		name[64];

	oss_labels_process(process, true, thr);
	snprintf(full, sizeof(full), "image/labels,thr_%s", want);
	snprintf(name, sizeof(name), "thr %.17g", thr);
	is_text(process, full, name);
}

/* Thresholds are plain decimals, as short as they can be. */
static void
check_thresholds(void)
{
	char		process[OSS_LABELS_PROCESS_MAX];

	oss_labels_process(process, false, 0.5);
	is_text(process, "image/labels", "without a threshold");
	check_thr(0, "0");
	check_thr(-0.0, "0");
	check_thr(1, "1");
	check_thr(OSS_LABELS_THR_DEFAULT, "0.7");
	check_thr(0.85, "0.85");
	check_thr(0.5, "0.5");
	check_thr(0.1, "0.1");
	check_thr(0.05, "0.05");
	check_thr(1e-5, "0.00001");
	check_thr(1e-17, "0.00000000000000001");
	check_thr(1e-300, "0.00000000000000000");
	check_thr(0.1 + 0.2, "0.30000000000000004");
	check_thr(nextafter(1, 0), "0.9999999999999999");
	check_thr(nextafter(0.85, 1), "0.8500000000000001");
	check_thr(1.0 / 3, "0.3333333333333333");
	check_thr((float) 0.7, "0.699999988079071");
	check_thr(0.012345678901234567, "0.01234567890123457");
}

/* What is written reads back as the same number. */
static void
check_round_trip(void)
{
	char		process[OSS_LABELS_PROCESS_MAX];
	int			wrong = 0;

	srand48(1);
	for (int i = 0; i < 20000; i++)
	{
		double		thr = 0.1 + 0.9 * drand48();

		oss_labels_process(process, true, thr);
		wrong += strtod(process + strlen("image/labels,thr_"), NULL) != thr;
		wrong += strpbrk(process, "eE+- ") !=
			strchr(process, 'e');	/* that of "image" */
	}
	ok(wrong == 0, "20000 thresholds read back as the same (%d do not)",
	   wrong);
}

/* A locale with another decimal point changes nothing. */
static void
check_locale(void)
{
	if (setlocale(LC_NUMERIC, "de_DE.UTF-8") == NULL)
	{
		skip("another decimal point", "no such locale");
		return;
	}
	check_thr(0.85, "0.85");
	setlocale(LC_NUMERIC, "C");
}

/* Only numbers from 0 to 1 are thresholds. */
static void
check_valid(void)
{
	ok(oss_thr_valid(0), "0 is valid");
	ok(oss_thr_valid(-0.0), "-0 is valid");
	ok(oss_thr_valid(1), "1 is valid");
	ok(oss_thr_valid(0.7), "0.7 is valid");
	ok(!oss_thr_valid(nextafter(1, 2)), "just over 1 is not");
	ok(!oss_thr_valid(-5e-324), "just under 0 is not");
	ok(!oss_thr_valid(NAN), "NaN is not");
	ok(!oss_thr_valid(INFINITY), "infinity is not");
	ok(!oss_thr_valid(-INFINITY), "minus infinity is not");
}

/* What a presigned URL may carry. */
static void
check_allowed(void)
{
	static const char *const allowed[] = {
		"image/resize,w_100", "image/resize,m_fill,w_100,h_100,limit_0",
		"image/crop,x_10,y_10,w_200,h_200,g_center", "image/circle,r_100",
		"image/indexcrop,x_100,i_0", "image/rounded-corners,r_30",
		"image/blur,r_3,s_2", "image/rotate,90", "image/auto-orient,1",
		"image/interlace,1", "image/quality,q_80", "image/format,webp",
		"image/watermark,text_SGVsbG8gV29ybGQ=,type_d3F5LXplbmhlaQ,x_10",
		"image/bright,50", "image/bright,-50", "image/sharpen,100",
		"image/contrast,-50", "image/info", "image/average-hue",
		"image/resize,w_100/rotate,90/format,png",
		"style/thumbnail", "style/my style", "style/A-b_c.1"
	};

	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
		is_text(oss_process_presign_problem(allowed[i]), NULL, allowed[i]);
}

/* A process instruction and a word of the refusal. */
typedef struct Refusal
{
	const char *process;
	const char *word;
} Refusal;

/* What a presigned URL must not carry. */
static void
check_refused(void)
{
	static const Refusal refused[] = {
		{"", "only image/"}, {"image", "only image/"},
		{"image/", "missing"}, {"image/resize,w_1/", "missing"},
		{"image//resize,w_1", "missing"}, {"/image/resize", "only image/"},
		{"image/labels", "costs money"},
		{"image/labels,thr_0.5", "costs money"},
		{"image/resize,w_100/labels", "costs money"},
		{"image/labels/resize,w_100", "costs money"},
		{"image/detect", "basic"}, {"image/faces", "basic"},
		{"image/labelsx", "basic"}, {"image/Labels", "basic"},
		{"image/resizes", "basic"}, {"image/resiz", "basic"},
		{"image/,w_1", "basic"}, {"image/resize%2Flabels", "basic"},
		{"image/saveas,o_eA", "basic"}, {"image/ resize", "basic"},
		{"imm/tagimage", "only image/"}, {"IMAGE/resize", "only image/"},
		{"video/snapshot,t_1", "only image/"},
		{"doc/preview", "only image/"}, {"sys/saveas,o_eA", "only image/"},
		{"image/resize,w_1|sys/saveas,o_eA", "chain"},
		{"style/a|image/labels", "chain"},
		{"image/resize,w_1&x-oss-process=image", "character"},
		{"image/resize,w_1?x", "character"},
		{"image/resize,w_1\n", "character"},
		{"image/resize,w_1 ", "character"},
		{"image/resize,w_\xc3\xa9", "character"},
		{"image/resize,w_%31", "character"},
		{"style/", "style"}, {"style/a/b", "style"}, {"style/a,b", "style"},
		{"style/\xc3\xa9", "style"},
		{"style/0123456789012345678901234567890123456789012345678901234567"
		"890123", "style"},
	};

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		is_problem(oss_process_presign_problem(refused[i].process),
				   refused[i].word, refused[i].process[0] == '\0' ?
				   "empty" : refused[i].process);
}

int
main(void)
{
	check_thresholds();
	check_round_trip();
	check_locale();
	check_valid();
	check_allowed();
	check_refused();
	return tap_done();
}
