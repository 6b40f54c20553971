/*-------------------------------------------------------------------------
 * tap.h
 *	  Checks for unit tests in C, reported in the Test Anything Protocol.
 *
 * Each test program is one file, so the counters may live in this header.
 * The plan comes last; a program that dies early has none, and fails.
 *-------------------------------------------------------------------------
 */
#ifndef TAP_H
#define TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static int	tap_run;
static int	tap_failed;

/* Print a name so that it stays one line and no directive. */
static void
tap_name(const char *name)
{
	for (; *name != '\0'; name++)
	{
		unsigned char c = *name;

		if (c == '#' || c == '\\')
			putchar('\\');
		putchar(c < ' ' || c == 0x7f ? '?' : c);
	}
}

/* Report one check; the name is a printf format. */
static bool ok(bool passed, const char *name,...)
			__attribute__((format(printf, 2, 3)));

static bool
ok(bool passed, const char *name,...)
{
	char		text[256];
	va_list		args;

	va_start(args, name);
	vsnprintf(text, sizeof(text), name, args);
	va_end(args);
	tap_run++;
	if (!passed)
		tap_failed++;
	printf("%sok %d - ", passed ? "" : "not ", tap_run);
	tap_name(text);
	printf("\n");
	fflush(stdout);
	return passed;
}

/* Report a check that cannot be made here, and why. */
static inline void
skip(const char *name, const char *why)
{
	tap_run++;
	printf("ok %d - %s # SKIP %s\n", tap_run, name, why);
}

/* Print a text as a TAP comment, each line of it marked. */
static inline void
tap_note(const char *label, const char *text)
{
	printf("#   %s: ", label);
	for (; *text != '\0'; text++)
	{
		putchar(*text);
		if (*text == '\n')
			printf("#     ");
	}
	printf("\n");
}

/* Check that two texts are equal; either may be NULL. */
static inline bool
is_text(const char *got, const char *want, const char *name)
{
	bool		same = (got == want ||
						(got != NULL && want != NULL && strcmp(got, want) == 0));

	ok(same, "%s", name);
	if (!same)
	{
		tap_note("got", got != NULL ? got : "(null)");
		tap_note("want", want != NULL ? want : "(null)");
	}
	return same;
}

/* Check that a problem is reported, and that it mentions a word. */
static inline bool
is_problem(const char *got, const char *word, const char *name)
{
	bool		right = got != NULL && strstr(got, word) != NULL;

	ok(right, "%s", name);
	if (!right)
	{
		tap_note("got", got != NULL ? got : "(no problem)");
		tap_note("want", word);
	}
	return right;
}

/* Print the plan and return the exit status. */
static inline int
tap_done(void)
{
	printf("1..%d\n", tap_run);
	return tap_failed > 0 || tap_run == 0 ? 1 : 0;
}

#endif							/* TAP_H */
