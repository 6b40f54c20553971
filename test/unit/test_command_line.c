/*-------------------------------------------------------------------------
 * test_command_line.c
 *	  Commands split into arguments: quotes, backslashes, what is malformed.
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <string.h>

#include "protocol/command_line.h"
#include "tap.h"
#include "scarce.h"

/* Split, and compare the arguments, each in brackets. */
static void
check(const char *command, const char *expected)
{
	char		copy[4096];
	char		got[4096] = "";
	char	   *argv[OSS_ARGUMENTS_MAX + 1];

	snprintf(copy, sizeof(copy), "%s", command);
	if (oss_command_split(copy, argv) == NULL)
	{
		for (int i = 0; argv[i] != NULL; i++)
		{
			strcat(got, "[");
			strcat(got, argv[i]);
			strcat(got, "]");
		}
	}
	is_text(got, expected, command);
}

/* It is refused, in these words. */
static void
check_problem(const char *command, const char *word)
{
	char		copy[4096];
	char	   *argv[OSS_ARGUMENTS_MAX + 1];

	snprintf(copy, sizeof(copy), "%s", command);
	is_problem(oss_command_split(copy, argv), word, command);
}

int
main(void)
{
	char		many[2 * OSS_ARGUMENTS_MAX + 3] = "";

	check("program", "[program]");
	check("  program  a\tb\n c  ", "[program][a][b][c]");
	check("p 'a b' \"c d\"", "[p][a b][c d]");
	check("p a'b c'd\"e f\"", "[p][ab cde f]");
	check("p '' \"\" x", "[p][][][x]");
	check("p ''", "[p][]");
	check("p a\\ b \\'c \\\\ \\n", "[p][a b]['c][\\][n]");
	check("p '\\n $HOME `x`'", "[p][\\n $HOME `x`]");
	check("p \"\\\" \\\\ \\$ \\` \\n\"", "[p][\" \\ $ ` \\n]");
	check("p a\\\nb \"c\\\nd\" \\\n e", "[p][ab][cd][e]");
	check("p $(x) | y > z; w &", "[p][$(x)][|][y][>][z;][w][&]");
	check("'/opt/my tool' --x=\"1 2\"", "[/opt/my tool][--x=1 2]");
	check_problem("", "empty");
	check_problem(" \t\n", "empty");
	check_problem("'' x", "empty");
	check_problem("p 'a", "quote");
	check_problem("p \"a", "quote");
	check_problem("p \"a\\\"", "quote");
	check_problem("p a\\", "backslash");
	for (int i = 0; i < OSS_ARGUMENTS_MAX; i++)
		strcat(many, "a ");
	many[strlen(many) - 1] = '\0';
	check_problem(strcat(many, " b"), "too many");
	return tap_done();
}
