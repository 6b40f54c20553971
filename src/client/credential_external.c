/*-------------------------------------------------------------------------
 * credential_external.c
 *	  Credentials that a program writes: the mode External of profiles.
 *
 * protocol/README.md 5.2.  Nothing that the program writes is shown.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/wait.h>

#include "client/credential_document.h"
#include "client/program.h"
#include "protocol/command_line.h"

#define TIMEOUT_MS	60000		/* as the SDKs */

/* Steps of the fetch. */
enum
{
	STEP_START,
	STEP_LOOK
};

static void
start_program(CredentialSource *source)
{
	const CredentialOptions *options = source->fetch_options;
	int			timeout_ms = source->options.timeout_ms != NULL ?
	atoi(source->options.timeout_ms) : TIMEOUT_MS;
	char	   *argv[OSS_ARGUMENTS_MAX + 1];
	char	   *command;
	const char *problem;

	if (!source->may_run_programs)
	{
		/* the failure is this role's alone */
		oss_credential_cache_give_up(&source->identity, &source->ticket);
		oss_credential_fail(source, "Only superusers may use a profile of mode External, since it runs a program.");
		return;
	}
	command = pstrdup(options->process_command != NULL ? options->process_command : "");
	oss_credential_wipe_later(source, command, strlen(command));
	problem = oss_command_split(command, argv);
	if (problem != NULL)
	{
		oss_credential_fail(source, "The profile's process_command cannot be used: %s.", problem);
		return;
	}
	source->program = oss_program_start(source->fetch_context, argv, timeout_ms,
										CREDENTIAL_DOCUMENT_MAX);
	source->step = STEP_LOOK;
	source->spec.timeout_ms = timeout_ms;
	source->from_program = true;
	if (source->program == NULL)
		oss_credential_fail(source, "The program of the profile's process_command cannot be started: %s.",
							strerror(errno));
}

/* End the fetch with the key in the program's output. */
static void
deliver_output(CredentialSource *source)
{
	size_t		len;
	char	   *output = oss_program_output(source->program, &len);
	Jsonb	   *json = oss_credential_json(output, len);
	const char *mode = oss_credential_json_text(&json->root, "mode");
	char	   *id = oss_credential_json_text(&json->root, "access_key_id");
	char	   *secret = oss_credential_json_text(&json->root, "access_key_secret");
	char	   *token = oss_credential_json_text(&json->root, "sts_token");
	const char *expiration = oss_credential_json_text(&json->root, "expiration");
	TimestampTz expires_at = DT_NOEND;

	oss_credential_json_wipe(json);
	source->program = NULL;
	if (secret != NULL)
		oss_credential_wipe_later(source, secret, strlen(secret));
	if (token != NULL)
		oss_credential_wipe_later(source, token, strlen(token));
	if (id == NULL || secret == NULL)
		oss_credential_fail(source, "The output of the profile's program has no access_key_id and access_key_secret.");
	else if (mode != NULL && strcmp(mode, "StsToken") == 0 && token == NULL)
		oss_credential_fail(source, "The output of the profile's program has no sts_token.");
	else if (expiration != NULL && !oss_credential_expiration_read(expiration, &expires_at))
		oss_credential_fail(source, "The time at which the key expires is malformed; a right one is 2030-01-31T12:00:00Z.");
	else
		oss_credential_deliver(source, id, secret, token, expires_at);
}

static void
look_at_program(CredentialSource *source)
{
	int			status;

	switch (oss_program_look(source->program))
	{
		case PROGRAM_RUNNING:
			return;
		case PROGRAM_ENDED:
			deliver_output(source);
			return;
		case PROGRAM_FAILED:
			status = oss_program_status(source->program);
			if (WIFSIGNALED(status))
				oss_credential_fail(source, "The profile's program was ended by signal %d.",
									WTERMSIG(status));
			else if (WEXITSTATUS(status) == 127)
				oss_credential_fail(source, "The profile's program could not be run, or ended with status 127.");
			else
				oss_credential_fail(source, "The profile's program ended with status %d.",
									WEXITSTATUS(status));
			break;
		case PROGRAM_TOO_LONG:
			oss_credential_fail(source, "The output of the profile's program is too long.");
			break;
		case PROGRAM_TOO_SLOW:
			oss_credential_fail(source, "The profile's program did not end in time.");
			break;
		case PROGRAM_KILLED:
			start_program(source);
			return;
	}
	source->program = NULL;
}

static void
external_step(CredentialSource *source)
{
	if (source->step == STEP_START)
		start_program(source);
	else
		look_at_program(source);
}

const CredentialProvider oss_credential_external = {
	CREDENTIAL_EXTERNAL, true, external_step, 0
};
