/*-------------------------------------------------------------------------
 * fuzz_command.c
 *	  Split the input as the command of a profile.
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"
#include "protocol/command_line.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *command = fuzz_text(data, size);
	char	   *argv[OSS_ARGUMENTS_MAX + 1];
	size_t		len = strlen(command);
	int			n = 0;

	if (oss_command_split(command, argv) == NULL)
	{
		for (; argv[n] != NULL; n++)
			promise(argv[n] >= command && argv[n] + strlen(argv[n]) <= command + len);
		promise(n > 0 && n <= OSS_ARGUMENTS_MAX && argv[0][0] != '\0');
	}
	free(command);
	return 0;
}
