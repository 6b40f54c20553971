/*
 * credential.c
 *	  The AccessKeys the stand-in knows, their tokens, rights and life time.
 */
#include "credential.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static credential *credentials;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* The defaults; README.md lists them for users. */
static const credential defaults[] = {
	{.id = "testid",.secret = "testsecret",.uses_left = -1},
	{.id = "stsid",.secret = "stssecret",.token = "ststoken",.uses_left = -1},
	{.id = "expiredid",.secret = "expiredsecret",.token = "expiredtoken",
	.expires_at = 1,.uses_left = -1},
	{.id = "deniedid",.secret = "deniedsecret",.deny_get = true,
	.deny_imm = true,.deny_put = true,.deny_list = true,.uses_left = -1},
	{.id = "noimmid",.secret = "noimmsecret",.deny_imm = true,
	.deny_list = true,.uses_left = -1},
	{.id = "disabledid",.secret = "disabledsecret",.disabled = true,
	.uses_left = -1},
	/* the pair that the test vectors are signed with */
	{.id = "ak",.secret = "sk",.uses_left = -1},
};

/* Find a credential; the caller holds the lock. */
static credential *
find(const char *id)
{
	for (credential *c = credentials; c; c = c->next)
	{
		if (strcmp(c->id, id) == 0)
			return c;
	}
	return NULL;
}

/* Add or replace; the caller holds the lock. */
static void
set(const credential *c)
{
	credential *mine = find(c->id);
	credential *next;

	if (mine == NULL)
	{
		mine = must_alloc(sizeof(*mine));
		mine->next = credentials;
		credentials = mine;
	}
	next = mine->next;
	*mine = *c;
	mine->next = next;
}

/* Set up the default table. */
void
credential_reset(void)
{
	pthread_mutex_lock(&lock);
	while (credentials)
	{
		credential *gone = credentials;

		credentials = gone->next;
		free(gone);
	}
	for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++)
		set(&defaults[i]);
	pthread_mutex_unlock(&lock);
}

/* Add a credential, or replace the one of the same id. */
void
credential_set(const credential *c)
{
	pthread_mutex_lock(&lock);
	set(c);
	pthread_mutex_unlock(&lock);
}

/* Remove a credential. */
bool
credential_remove(const char *id)
{
	bool		found = false;

	pthread_mutex_lock(&lock);
	for (credential **link = &credentials; *link; link = &(*link)->next)
	{
		if (strcmp((*link)->id, id) == 0)
		{
			credential *gone = *link;

			*link = gone->next;
			free(gone);
			found = true;
			break;
		}
	}
	pthread_mutex_unlock(&lock);
	return found;
}

/* Copy a credential out. */
bool
credential_find(const char *id, credential *copy)
{
	credential *c;

	pthread_mutex_lock(&lock);
	c = find(id);
	if (c)
		*copy = *c;
	pthread_mutex_unlock(&lock);
	return c != NULL;
}

/* Return whether a policy allows an object. */
bool
credential_allows(const credential *c, const char *bucket, text key)
{
	text		rest = text_of(c->allow);

	if (rest.len == 0)
		return true;
	while (rest.len > 0)
	{
		text		prefix = text_cut(&rest, '\n');
		text		name = text_cut(&prefix, '/');

		if (text_eq(name, bucket) && key.len >= prefix.len &&
			memcmp(key.data, prefix.data, prefix.len) == 0)
			return true;
	}
	return false;
}

/* Return whether any credential carries this token. */
bool
credential_token_known(text token)
{
	bool		known = false;

	pthread_mutex_lock(&lock);
	for (credential *c = credentials; c && !known; c = c->next)
		known = c->token[0] != '\0' && text_eq(token, c->token);
	pthread_mutex_unlock(&lock);
	return known;
}

/* Count one use. */
bool
credential_use(const char *id)
{
	credential *c;
	bool		ok = true;

	pthread_mutex_lock(&lock);
	c = find(id);
	if (c && c->uses_left == 0)
		ok = false;
	else if (c && c->uses_left > 0)
		c->uses_left--;
	pthread_mutex_unlock(&lock);
	return ok;
}

/* Append the table without secrets. */
void
credential_list(buffer *out)
{
	pthread_mutex_lock(&lock);
	for (credential *c = credentials; c; c = c->next)
		buffer_printf(out, "%s token=%s disabled=%d deny_get=%d deny_imm=%d "
					  "deny_put=%d deny_list=%d refuse=%s expires_at=%lld uses_left=%lld\n",
					  c->id, c->token[0] ? "yes" : "no", c->disabled,
					  c->deny_get, c->deny_imm, c->deny_put, c->deny_list,
					  c->refuse[0] ? c->refuse : "-",
					  (long long) c->expires_at, (long long) c->uses_left);
	pthread_mutex_unlock(&lock);
}
