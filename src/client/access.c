/*-------------------------------------------------------------------------
 * access.c
 *	  A role's access to a bucket, as far as responses tell.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/access.h"
#include "client/http.h"
#include "common/hashfn.h"
#include "utils/hsearch.h"

/* Denials in a row after which the whole bucket counts as denied. */
#define DENIED_LIMIT		20

/*
 * The same if the bucket returned labels lately for directories other than
 * those denied now, as happens with a policy for a prefix.
 */
#define DENIED_ELSEWHERE_LIMIT	200

/* Limit on requests in flight plus denials in a row, until labels come. */
#define PROBATION_LIMIT		32

/* A bucket that returns nothing for this time does not deny access. */
#define PROBATION_US		INT64CONST(3000000)

/* How long labels prove that the bucket can be read. */
#define PROOF_US			INT64CONST(600000000)

/* Delay before trying again where labels came before: first and longest. */
#define ASK_AGAIN_FIRST_S	30
#define ASK_AGAIN_LAST_S	600

#define DIRECTORIES			8

/* Above this number of buckets per server, unused ones are forgotten. */
#define MANY_BUCKETS		256

/*
 * A bucket.  elsewhere counts denials in a row; denied counts those of them
 * that a policy for a prefix does not explain.
 */
struct OssAccess
{
	char		bucket[OSS_BUCKET_MAX + 1];
	OssServer  *server;
	HTAB	   *buckets;		/* that it is in */
	int			users;
	int			in_flight;
	int64		began_at;		/* first start without labels, 0: none */
	int64		proof_until;	/* 0: it has given no labels */
	int			denied;
	int			elsewhere;
	uint32		directories[DIRECTORIES];	/* hashes of those that returned
											 * labels */
	int			ndirectories;	/* ever remembered; the array is a ring */
	uint32		denials[DIRECTORIES];	/* hashes of those that were denied */
	int			ndenials;
	int			trials;			/* requests in flight for these */
	int			ask_again_s;	/* see oss_access_ask_again() */
	uint32		refused_directory;
	const void *refused_by;
	const OssFailureRule *refused;
	OssScope	scope;			/* of the refusal */
	char		code[128];
	OssReach	reach;			/* of a host that is the bucket's own */
};

static bool
is_proven(const OssAccess *access, int64 now)
{
	return access->proof_until > now;
}

static uint32
directory_of(const char *key)
{
	const char *slash = strrchr(key, '/');

	return hash_bytes((const unsigned char *) key,
					  slash == NULL ? 0 : (int) (slash - key));
}

static bool
is_remembered(const uint32 *directories, int n, uint32 directory)
{
	for (int i = 0; i < Min(n, DIRECTORIES); i++)
	{
		if (directories[i] == directory)
			return true;
	}
	return false;
}

/* Did this directory return labels since the last forget_proof()? */
static bool
knows_directory(const OssAccess *access, uint32 directory)
{
	return is_remembered(access->directories, access->ndirectories, directory);
}

/* Was this directory denied, without labels since? */
static bool
is_denied(const OssAccess *access, uint32 directory)
{
	return is_remembered(access->denials, access->ndenials, directory);
}

static void
forget_denial(OssAccess *access, uint32 directory)
{
	int			n = Min(access->ndenials, DIRECTORIES);

	for (int i = 0; i < n; i++)
	{
		if (access->denials[i] != directory)
			continue;
		access->denials[i] = access->denials[n - 1];
		access->ndenials = n - 1;
		return;
	}
}

static void
forget_proof(OssAccess *access)
{
	access->proof_until = 0;
	access->began_at = 0;
	access->ndirectories = 0;
	access->denied = 0;
	access->elsewhere = 0;
}

/* Forget buckets without requests. */
static void
forget_idle(HTAB *table)
{
	HASH_SEQ_STATUS seq;
	OssAccess  *access;

	hash_seq_init(&seq, table);
	while ((access = hash_seq_search(&seq)) != NULL)
	{
		if (access->users == 0)
			hash_search(table, access->bucket, HASH_REMOVE, NULL);
	}
}

static HTAB *
make_access_table(MemoryContext context)
{
	HASHCTL		ctl = {0};

	ctl.keysize = OSS_BUCKET_MAX + 1;
	ctl.entrysize = sizeof(OssAccess);
	ctl.hcxt = context;
	return hash_create("oss_labels buckets", 16, &ctl,
					   HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
}

StaticAssertDecl(lengthof(((OssServer *) NULL)->buckets) == OSS_KINDS,
				 "a server has a table of buckets for each kind of request");

OssAccess *
oss_access_join(OssServer *server, const char *bucket, OssKind kind)
{
	HTAB	  **buckets = &server->buckets[kind];
	OssAccess  *access;
	bool		found;

	if (*buckets == NULL)
		*buckets = make_access_table(server->context);
	if (hash_get_num_entries(*buckets) > MANY_BUCKETS)
		forget_idle(*buckets);
	access = hash_search(*buckets, bucket, HASH_ENTER, &found);
	if (!found)
	{
		memset((char *) access + offsetof(OssAccess, server), 0,
			   sizeof(OssAccess) - offsetof(OssAccess, server));
		access->server = server;
		access->buckets = *buckets;
	}
	access->users++;
	return access;
}

OssReach *
oss_access_reach(OssAccess *access)
{
	return &access->reach;
}

void
oss_access_leave(OssAccess *access)
{
	Assert(access->users > 0);
	access->users--;
}

long
oss_access_wait(OssAccess *access, const char *key, int64 now)
{
	if (access->trials > 0 && is_denied(access, directory_of(key)))
		return PROBATION_US / 1000;
	if (access->in_flight + access->denied < PROBATION_LIMIT)
		return 0;
	if (access->denied > 0)
		return PROBATION_US / 1000;
	if (is_proven(access, now))
		return 0;
	return TimestampDifferenceMilliseconds(now, access->began_at + PROBATION_US);
}

bool
oss_access_start(OssAccess *access, const char *key, int64 now)
{
	bool		trial = is_denied(access, directory_of(key));

	access->in_flight++;
	if (trial)
		access->trials++;
	if (access->began_at == 0 || access->in_flight == 1)
		access->began_at = now;
	return trial;
}

void
oss_access_end(OssAccess *access, bool trial)
{
	Assert(access->in_flight > 0);
	access->in_flight--;
	if (trial)
		access->trials--;
}

/* Note that an object could be read. */
static void
note_readable(OssAccess *access, const char *key)
{
	uint32		directory = directory_of(key);

	access->denied = 0;
	access->elsewhere = 0;
	access->proof_until = oss_http_now() + PROOF_US;
	forget_denial(access, directory);
	if (!knows_directory(access, directory))
		access->directories[access->ndirectories++ % DIRECTORIES] = directory;
}

void
oss_access_labels(OssAccess *access, const char *key)
{
	access->server->owing[0] = '\0';
	note_readable(access, key);
}

/* Note a denial.  Returns whether the whole bucket counts as denied. */
static bool
note_denial(OssAccess *access, const char *key)
{
	uint32		directory = directory_of(key);

	access->elsewhere++;
	if (!is_proven(access, oss_http_now()) || knows_directory(access, directory))
		access->denied++;
	return is_denied(access, directory) || access->denied >= DENIED_LIMIT ||
		access->elsewhere >= DENIED_ELSEWHERE_LIMIT;
}

/* Has another bucket of the same server and role returned labels lately? */
static bool
another_is_proven(const OssAccess *access)
{
	HASH_SEQ_STATUS seq;
	OssAccess  *other;
	int64		now = oss_http_now();
	bool		proven = false;

	hash_seq_init(&seq, access->buckets);
	while ((other = hash_seq_search(&seq)) != NULL)
		proven |= other != access && is_proven(other, now);
	return proven;
}

/*
 * Decide whether a failure concerns the account of the requester or of the
 * bucket's owner.  It is the requester's if a second bucket fails likewise
 * and no bucket returns labels.
 */
static OssScope
blame_account(OssAccess *access)
{
	char	   *owing = access->server->owing;
	bool		second = owing[0] != '\0' && strcmp(owing, access->bucket) != 0;

	forget_proof(access);
	if (another_is_proven(access))
		return OSS_SCOPE_ACCESS;
	strlcpy(owing, access->bucket, OSS_BUCKET_MAX + 1);
	return second ? OSS_SCOPE_REQUESTER : OSS_SCOPE_ACCESS;
}

/* Refuse all further requests for the bucket. */
static void
refuse_all(OssAccess *access, const char *key, const OssFailureRule *rule,
		   OssScope scope, const char *code, const void *by)
{
	if (access->refused != NULL)
	{
		forget_proof(access);
		return;
	}
	access->refused_directory = directory_of(key);
	access->ask_again_s = knows_directory(access, access->refused_directory) ?
		ASK_AGAIN_FIRST_S : Min(access->ask_again_s * 2, ASK_AGAIN_LAST_S);
	forget_proof(access);
	access->refused_by = by;
	access->refused = rule;
	access->scope = scope;
	if (code[0] == '\0')
		code = rule->code;
	strlcpy(access->code, code, sizeof(access->code));
}

/*
 * Does this failure prove that the role may read the object?  The service
 * checks rights before it reports a missing or archived object or a file that
 * is no image.  Unknown codes and responses of proxies prove nothing.
 */
static bool
proves_access(const OssFailureRule *rule, const char *code)
{
	return rule->scope == OSS_SCOPE_IMAGE &&
		rule->retry == OSS_RETRY_NEVER && code[0] != '\0' &&
		(rule->code != NULL || rule->ec != NULL) &&
		(rule->sqlerrcode == ERRCODE_DATA_EXCEPTION ||
		 rule->sqlerrcode == ERRCODE_NO_DATA_FOUND ||
		 rule->sqlerrcode == ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE);
}

OssScope
oss_access_failure(OssAccess *access, const char *key,
				   const OssFailureRule *rule, const char *code,
				   const void *by)
{
	OssScope	scope = rule->scope;

	if (scope == OSS_SCOPE_ACCOUNT)
		scope = blame_account(access);
	else if (scope == OSS_SCOPE_DENIAL)
		/* if refused, it was in flight when the whole bucket was found denied */
		scope = access->refused != NULL || note_denial(access, key) ?
			OSS_SCOPE_ACCESS : OSS_SCOPE_IMAGE;
	if (scope == OSS_SCOPE_ACCESS || scope == OSS_SCOPE_BUCKET ||
		scope == OSS_SCOPE_REQUESTER)
		refuse_all(access, key, rule, scope, code, by);
	else if (proves_access(rule, code))
		note_readable(access, key);
	return scope;
}

void
oss_access_forgive(OssAccess *access, const void *by, bool queued)
{
	if (access->refused_by != by)
		return;
	if (queued && access->refused->scope == OSS_SCOPE_DENIAL)
	{
		if (!is_denied(access, access->refused_directory))
			access->denials[access->ndenials++ % DIRECTORIES] = access->refused_directory;
		access->denied = PROBATION_LIMIT - 1;
	}
	access->refused_by = NULL;
	access->refused = NULL;
}

int
oss_access_ask_again(const OssAccess *access)
{
	return access->ask_again_s;
}

const OssFailureRule *
oss_access_refused(const OssAccess *access, OssScope *scope)
{
	*scope = access->scope;
	return access->refused;
}

char *
oss_access_reason(const OssAccess *access)
{
	if (access->buckets == access->server->buckets[OSS_KIND_LISTING])
		return psprintf("At least %d listings of bucket \"%s\" failed likewise in a row.",
						DENIED_LIMIT, access->bucket);
	return psprintf("At least %d requests for images of bucket \"%s\" failed likewise in a row.",
					DENIED_LIMIT, access->bucket);
}

OssFailure *
oss_access_refusal(const OssAccess *access, const OssFailureRule *rule,
				   const char *what)
{
	const char *reason;

	reason = rule->scope == OSS_SCOPE_DENIAL ? oss_access_reason(access) :
		psprintf("Another request for bucket \"%s\" failed likewise.",
				 access->bucket);
	return oss_failure_refuse(rule, access->code,
							  psprintf("The request was not sent. %s", reason),
							  what);
}
