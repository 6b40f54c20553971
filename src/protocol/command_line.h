/*-------------------------------------------------------------------------
 * command_line.h
 *	  Split a command into the arguments of a program, without a shell.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_COMMAND_LINE_H
#define OSS_COMMAND_LINE_H

#define OSS_ARGUMENTS_MAX	64

/*
 * Split a command in place, as POSIX shells split words: white space outside
 * quotes separates; within '...' all characters are literal, within "..." a
 * backslash escapes ", \, $, ` alone, elsewhere any character; a backslash
 * before a newline disappears with it.  Nothing is expanded.  argv gets
 * pointers into command and a NULL behind the last.  Returns NULL, or what is
 * wrong as a static lower-case clause.
 */
extern const char *oss_command_split(char *command, char *argv[OSS_ARGUMENTS_MAX + 1]);

#endif							/* OSS_COMMAND_LINE_H */
