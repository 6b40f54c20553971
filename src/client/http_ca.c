/*-------------------------------------------------------------------------
 * http_ca.c
 *	  Files of CA certificates that may be replaced while the process runs.
 *
 * libcurl caches a parsed store for an hour, and connections and TLS sessions
 * while they last, all keyed by the file's name.  So a file that was replaced
 * gets another name: /etc/ca.pem, /etc/./ca.pem, /etc/././ca.pem.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <sys/stat.h>

#include "client/http_internal.h"
#include "lib/ilist.h"
#include "lib/stringinfo.h"
#include "utils/memutils.h"

/*
 * Number of names of a file before the first one is used again.  By then,
 * caches have dropped it.
 */
#define MOST_NAMES 500

/* A file, as of the last check. */
typedef struct CaFile
{
	slist_node	node;
	char	   *path;
	char	   *name;			/* of its present content */
	bool		there;
	struct stat state;
	int			replaced;		/* times */
} CaFile;

static slist_head files = SLIST_STATIC_INIT(files);

static void
stat_ca_file(CaFile *file, const char *path)
{
	memset(&file->state, 0, sizeof(file->state));
	file->there = stat(path, &file->state) == 0;
}

static bool
is_same_ca_file(const CaFile *a, const CaFile *b)
{
	return a->there == b->there &&
		a->state.st_dev == b->state.st_dev &&
		a->state.st_ino == b->state.st_ino &&
		a->state.st_size == b->state.st_size &&
		a->state.st_mtim.tv_sec == b->state.st_mtim.tv_sec &&
		a->state.st_mtim.tv_nsec == b->state.st_mtim.tv_nsec &&
		a->state.st_ctim.tv_sec == b->state.st_ctim.tv_sec &&
		a->state.st_ctim.tv_nsec == b->state.st_ctim.tv_nsec;
}

/* Change the name of a file that was replaced. */
static void
rename_file(CaFile *file)
{
	const char *slash = strrchr(file->path, '/');
	int			dir_len = slash == NULL ? 0 : (int) (slash - file->path) + 1;
	StringInfoData name;
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	initStringInfo(&name);
	appendBinaryStringInfo(&name, file->path, dir_len);
	for (int i = 0; i < file->replaced % MOST_NAMES; i++)
		appendStringInfoString(&name, "./");
	appendStringInfoString(&name, file->path + dir_len);
	pfree(file->name);
	file->name = name.data;
	MemoryContextSwitchTo(old);
}

/* Return the entry of a path, making one if needed. */
static CaFile *
find_file(const char *path)
{
	slist_iter	iter;
	CaFile	   *file;

	slist_foreach(iter, &files)
	{
		file = slist_container(CaFile, node, iter.cur);
		if (strcmp(file->path, path) == 0)
			return file;
	}
	file = MemoryContextAllocZero(TopMemoryContext, sizeof(CaFile));
	file->path = MemoryContextStrdup(TopMemoryContext, path);
	file->name = MemoryContextStrdup(TopMemoryContext, path);
	stat_ca_file(file, path);
	slist_push_head(&files, &file->node);
	return file;
}

const char *
oss_http_ca_name(const char *path)
{
	CaFile	   *file = find_file(path);
	CaFile		now;

	stat_ca_file(&now, path);
	if (!is_same_ca_file(file, &now))
	{
		file->replaced++;
		rename_file(file);
		file->there = now.there;
		file->state = now.state;
	}
	return file->name;
}

/*
 * libcurl takes a kept tunnel of another user of the proxy, but not one of
 * another CA file: /etc/ca.pem with the bits 01 is /etc/.//./ca.pem.
 */
char *
oss_http_ca_name_of(const char *path, const uint8 mark[16])
{
	const char *name = oss_http_ca_name(path);
	const char *slash = strrchr(name, '/');
	int			dir_len = slash == NULL ? 0 : (int) (slash - name) + 1;
	StringInfoData marked;

	initStringInfo(&marked);
	appendBinaryStringInfo(&marked, name, dir_len);
	for (int i = 0; i < 128; i++)
		appendStringInfoString(&marked, mark[i / 8] >> (i % 8) & 1 ? "./" : ".//");
	appendStringInfoString(&marked, name + dir_len);
	return marked.data;
}
