/*-------------------------------------------------------------------------
 * pause.c
 *	  Dispatching, in a transaction: pausing after failures of the set-up.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/budget.h"
#include "dispatch/lane.h"
#include "dispatch/pause.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "spi/role.h"
#include "utils/acl.h"

/* May the reader of this process's messages see a role's jobs? */
static bool
may_see(Oid requester)
{
	Oid			caller = GetOuterUserId();

	return MyBgworkerEntry != NULL || oss_sees_all(caller) ||
		(OidIsValid(requester) && has_privs_of_role(caller, requester));
}

int
oss_dispatch_log_level(Oid requester)
{
	if (MyBgworkerEntry != NULL)
		return LOG;
	return may_see(requester) ? WARNING : LOG_SERVER_ONLY;
}

/* How long automatic pauses last if nothing changes. */
#define PAUSE_SECONDS 600

/*
 * The same if no request was sent, for lack of credentials, or because of a setting
 * or a budget that cannot be counted: a retry costs nothing, and a reload or a
 * restart may remove the cause.
 */
#define UNSENT_SECONDS 10

/*
 * A denial pauses the image's directory, since policies often allow a prefix.  It
 * pauses the top directory after MOST_BELOW directories below it, and the bucket
 * after MOST_DIRECTORIES in all.
 */
#define MOST_BELOW 3
#define MOST_DIRECTORIES 8

/* Return a key's directory up to a slash, its first or last one. */
static char *
key_directory(const char *key, const char *slash)
{
	return slash == NULL ? pstrdup("/") : pnstrdup(key, slash - key + 1);
}

/* Return the directory that a denied job pauses, NULL: the bucket. */
static char *
denied_directory(const OssJob *job)
{
	List	   *closed = oss_dispatch_paused_directories(oss_pause_list(), job->lane, job->requester);
	char	   *top = key_directory(job->image.key, strchr(job->image.key, '/'));
	int			below = 0;
	ListCell   *cell;

	if (list_length(closed) >= MOST_DIRECTORIES)
		return NULL;
	foreach(cell, closed)
		below += oss_in_directory(lfirst(cell), top);
	return below >= MOST_BELOW ? top :
		key_directory(job->image.key, strrchr(job->image.key, '/'));
}

/*
 * Report a pause.  Only those who may see the job see the service's message:
 * process_queue() works on the jobs of all roles.
 */
static void
announce_pause(const OssJob *job, const OssPause *pause, const char *details)
{
	bool		open = may_see(job->requester);

	ereport(MyBgworkerEntry ? LOG : NOTICE,
			(!open || pause->bucket == NULL ?
			 errmsg("oss_labels pauses server \"%s\"", pause->server) :
			 pause->directory == NULL ?
			 errmsg("oss_labels pauses bucket \"%s\" of server \"%s\"",
					pause->bucket, pause->server) :
			 errmsg("oss_labels pauses directory \"%s\" of bucket \"%s\" of server \"%s\"",
					pause->directory, pause->bucket, pause->server),
			 open ? errdetail("The cause is: %s", details) :
			 errdetail("The cause concerns another role's jobs."),
			 errhint("The pause ends when the server or its user mapping is altered, or with oss_labels.resume().")));
}

/* Is this the code of an error that occurs before any request? */
static bool
is_before_request(const char *code)
{
	static const char *const codes[] = {
		"CredentialsUnavailable", "RequestsForbidden", "BudgetUnenforceable"
	};

	for (int i = 0; i < lengthof(codes); i++)
	{
		if (strcmp(code, codes[i]) == 0)
			return true;
	}
	return false;
}

/* Pause the scope of a budget that is used up. */
static void
pause_by_budget(const OssJob *job, OssPause *pause, const char *details)
{
	pause->budget = job->budget;
	pause->seconds = job->pause_s;
	pause->reason = job->reason.detail;
	if (!(job->budget_scope & OSS_BUDGET_OF_SERVER))
		pause->server = NULL;
	if (job->budget_scope & OSS_BUDGET_OF_REQUESTER)
		pause->requester = job->requester;
	if (job->budget_scope & OSS_BUDGET_OF_BUCKET)
		pause->bucket = job->image.bucket;
	if (!oss_pause_add(pause))
		return;
	ereport(MyBgworkerEntry ? LOG : NOTICE,
			(errmsg("oss_labels pauses the jobs of a budget that is used up"),
			 may_see(pause->requester) ? errdetail("%s", details) :
			 errdetail("The budget covers another role's jobs."),
			 errhint("The pause ends with the period, or when the budget is raised.")));
}

void
oss_dispatch_pause(OssJob *job)
{
	OssPause	pause = {.server = job->lane->bucket->server->name};
	char	   *details = psprintf("%s%s%s", job->reason.message,
								   job->reason.detail ? ": " : "",
								   job->reason.detail ? job->reason.detail : "");

	/* not sent because of a denial in another directory, which is paused */
	if (job->denied && job->unsent)
		return;
	pause.sqlerrcode = job->reason.sqlerrcode;
	if (job->budget != 0)
	{
		pause_by_budget(job, &pause, job->reason.detail);
		return;
	}
	pause.seconds = job->pause_s > 0 ? job->pause_s : PAUSE_SECONDS;
	if (job->reason.code != NULL && is_before_request(job->reason.code))
		pause.seconds = UNSENT_SECONDS;
	if (job->pause == OSS_SCOPE_BUCKET || job->pause == OSS_SCOPE_ACCESS)
		pause.bucket = job->image.bucket;

	/* a server that does not exist concerns all requesters */
	if ((job->pause == OSS_SCOPE_REQUESTER || job->pause == OSS_SCOPE_ACCESS) &&
		OidIsValid(get_foreign_server_oid(pause.server, true)))
		pause.requester = job->requester;
	if (job->denied && job->pause == OSS_SCOPE_ACCESS && OidIsValid(pause.requester))
		pause.directory = denied_directory(job);
	pause.reason = pause.directory ?
		psprintf("directory %s: %s", pause.directory, details) : details;
	if (job->reason.summary && !OidIsValid(pause.requester))
		pause.reason = psprintf("%s (%s)", job->reason.summary, job->reason.code);
	if (oss_pause_add(&pause))
		announce_pause(job, &pause, details);
}
