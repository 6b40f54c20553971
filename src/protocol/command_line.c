/*-------------------------------------------------------------------------
 * command_line.c
 *	  Split a command into the arguments of a program, without a shell.
 *-------------------------------------------------------------------------
 */
#include "protocol/command_line.h"

#include <stdbool.h>
#include <string.h>

/* Does a backslash before this character, within quote, stand for it? */
static bool
is_escaped(char quote, char next)
{
	return quote != '"' || (next != '\0' && strchr("\"\\$`\n", next) != NULL);
}

const char *
oss_command_split(char *command, char *argv[OSS_ARGUMENTS_MAX + 1])
{
	static const char blanks[] = " \t\r\n\v\f";
	const char *from = command;
	char	   *to = command;
	int			n = 0;

	for (;;)
	{
		char		quote = '\0';
		char	   *begin;
		bool		ends;

		from += strspn(from, blanks);
		while (from[0] == '\\' && from[1] == '\n')
		{
			from += 2;
			from += strspn(from, blanks);
		}
		if (*from == '\0')
			break;
		if (n == OSS_ARGUMENTS_MAX)
			return "the command has too many arguments";
		begin = to;
		for (; *from != '\0' && (quote != '\0' || strchr(blanks, *from) == NULL); from++)
		{
			if (*from == quote && quote != '\0')
				quote = '\0';
			else if (quote == '\0' && (*from == '\'' || *from == '"'))
				quote = *from;
			else if (*from == '\\' && quote != '\'' && is_escaped(quote, from[1]))
			{
				if (*++from == '\0')
					return "the command ends in a backslash";
				if (*from != '\n')
					*to++ = *from;
			}
			else
				*to++ = *from;
		}
		if (quote != '\0')
			return "the command has a quote without its end";

		/* the NUL may be written where from stands */
		ends = *from == '\0';
		*to++ = '\0';
		argv[n++] = begin;
		if (ends)
			break;
		from++;
	}
	argv[n] = NULL;
	if (n == 0 || argv[0][0] == '\0')
		return "the command is empty";
	return NULL;
}
