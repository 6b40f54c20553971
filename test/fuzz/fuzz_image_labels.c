/*-------------------------------------------------------------------------
 * fuzz_image_labels.c
 *	  Take the input's first bytes for a threshold, all of it for a process
 *	  instruction.
 *-------------------------------------------------------------------------
 */
#include <math.h>

#include "fuzz.h"
#include "protocol/image_labels.h"

/* Check how a threshold is written: plainly, and close to what it is. */
static void
check_thr(double thr)
{
	char		process[OSS_LABELS_PROCESS_MAX];
	const char *number = process + strlen("image/labels,thr_");

	promise(oss_thr_valid(thr) == (thr >= 0 && thr <= 1));
	if (!oss_thr_valid(thr))
		return;
	oss_labels_process(process, true, thr);
	promise(strncmp(process, "image/labels,thr_", 17) == 0);
	promise(number[0] == '0' || number[0] == '1');
	promise(number[1] == '\0' || number[1] == '.');
	promise(number[strspn(number, "0123456789.")] == '\0');
	promise(strlen(number) <= 19 && number[strlen(number) - 1] != '.');
	promise(fabs(strtod(number, NULL) - thr) <= 1e-17);
	/* from 0.1 on, 17 decimals are enough for every double */
	promise(thr < 0.1 || strtod(number, NULL) == thr);
}

/* Check an instruction that a presigned URL may carry. */
static void
check_allowed(const char *process)
{
	promise(strncmp(process, "image/", 6) == 0 ||
			strncmp(process, "style/", 6) == 0);
	promise(strpbrk(process, "|?&%\\\"'<>;:@#\r\n") == NULL);
	promise(strncmp(process, "style/", 6) == 0 ||
			strstr(process, "/labels") == NULL);
	for (; *process != '\0'; process++)
		promise(*process >= ' ' && *process <= '~');
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *process = fuzz_text(data, size);
	double		thr = 0;
	uint64_t	bits = 0;

	memcpy(&thr, data, size < sizeof(thr) ? size : sizeof(thr));
	check_thr(thr);
	/* few doubles lie from 0 to 1, so make one that does */
	memcpy(&bits, data, size < sizeof(bits) ? size : sizeof(bits));
	check_thr((double) (bits >> 11) / 9007199254740992.0);
	if (oss_process_presign_problem(process) == NULL)
		check_allowed(process);
	free(process);
	return 0;
}
