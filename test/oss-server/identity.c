/*
 * identity.c
 *	  What the service says of an object besides its bytes.
 *
 * The ETag of a file is the MD5 of its bytes; it is remembered per path until
 * the file's inode, size or time changes.  That of a made-up key, and of any
 * object that was told to have changed, is made from key and number of changes.
 */
#include "identity.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "answer.h"

#define SLOTS (1 << 16)
#define ETAG_LEN 34				/* with the quotes */
/* 2026-01-01, when the first made-up object was stored */
#define MADE_UP_TIME 1767225600

/* The MD5 of a file as it was. */
typedef struct file_digest
{
	char	   *path;
	ino_t		ino;
	off_t		size;
	struct timespec mtime;
	char		etag[ETAG_LEN + 1];
} file_digest;

static file_digest digests[SLOTS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Append the MD5 of bytes as an ETag. */
void
etag_of(buffer *out, text bytes)
{
	unsigned char md5[EVP_MAX_MD_SIZE];
	unsigned int len = 0;

	EVP_Digest(bytes.len ? bytes.data : "", bytes.len, md5, &len, EVP_md5(),
			   NULL);
	buffer_puts(out, "\"");
	buffer_hex(out, md5, len, true);
	buffer_puts(out, "\"");
}

/* Compute the ETag of a file. */
static void
read_etag(const char *path, char *etag)
{
	buffer		bytes = {0};
	buffer		out = {0};

	file_read(path, &bytes);
	etag_of(&out, text_from(bytes.data, bytes.len));
	memcpy(etag, out.data, ETAG_LEN + 1);
	buffer_free(&bytes);
	buffer_free(&out);
}

/* Return the ETag of a file. */
static void
file_etag(const object *o, char *etag)
{
	file_digest *d = &digests[hash_bytes(o->path, strlen(o->path), 0) % SLOTS];

	pthread_mutex_lock(&lock);
	if (d->path == NULL || strcmp(d->path, o->path) != 0 ||
		d->ino != o->st.st_ino || d->size != o->st.st_size ||
		d->mtime.tv_sec != o->st.st_mtim.tv_sec ||
		d->mtime.tv_nsec != o->st.st_mtim.tv_nsec)
	{
		free(d->path);
		d->path = strdup(o->path);
		d->ino = o->st.st_ino;
		d->size = o->st.st_size;
		d->mtime = o->st.st_mtim;
		read_etag(o->path, d->etag);
	}
	memcpy(etag, d->etag, ETAG_LEN + 1);
	pthread_mutex_unlock(&lock);
}

/* Make an ETag of a key and a number. */
static void
made_etag(text key, uint32_t changed, char *etag)
{
	static const char digits[] = "0123456789ABCDEF";
	uint64_t	half = hash_bytes(key.data, key.len, changed);

	*etag++ = '"';
	for (int i = 0; i < 2; i++)
	{
		for (int shift = 60; shift >= 0; shift -= 4)
			*etag++ = digits[half >> shift & 15];
		half = hash_bytes(&half, sizeof(half), changed + 1);
	}
	*etag++ = '"';
	*etag = '\0';
}

/* Return whether objects of a class must be restored before they are read. */
static bool
class_is_archive(const char *storage_class)
{
	size_t		len = strlen(storage_class);

	return len >= 7 && strcmp(storage_class + len - 7, "Archive") == 0;
}

/* Find out whether an object is archived, and what says so. */
static void
find_class(const bucket_settings *s, const object_traits *traits, identity *id)
{
	bool		archive = traits->archive > 0 || s->archive;
	char		date[40];

	strcpy(id->storage_class, traits->storage_class[0] ? traits->storage_class :
		   archive ? "Archive" : "Standard");
	id->archived = archive || class_is_archive(id->storage_class);
	id->restore[0] = '\0';
	if (strcmp(traits->restored, "ongoing") == 0)
		strcpy(id->restore, "ongoing-request=\"true\"");
	else if (id->archived && strcmp(traits->restored, "1") == 0)
	{
		format_http_date(server_time() + 7 * 86400, date, sizeof(date));
		snprintf(id->restore, sizeof(id->restore),
				 "ongoing-request=\"false\", expiry-date=\"%s\"", date);
		id->archived = false;
	}
}

/* Find the identity of an object. */
void
identity_find(const bucket_settings *s, text key, const object *o,
			  const object_traits *traits, identity *out)
{
	strcpy(out->type, traits->type[0] ? traits->type : "Normal");
	if (traits->etag[0])
		strcpy(out->etag, traits->etag);
	else
	{
		if (o->number >= 0 || traits->changed > 0)
			made_etag(key, traits->changed, out->etag);
		else
			file_etag(o, out->etag);
		/* the parts of a multipart upload are counted behind its ETag */
		if (strcmp(out->type, "Multipart") == 0)
			strcpy(out->etag + ETAG_LEN - 1, "-2\"");
	}
	out->size = traits->size >= 0 ? traits->size :
		o->is_directory ? 0 : o->st.st_size;
	out->modified = traits->modified ? traits->modified :
		o->number >= 0 ? MADE_UP_TIME + o->number : o->st.st_mtim.tv_sec;
	find_class(s, traits, out);
}

/* Return the CRC-64 (ECMA-182) of an object. */
uint64_t
identity_crc64(const object *o, const identity *id)
{
	uint64_t	crc = ~(uint64_t) 0;
	buffer		bytes = {0};

	if (o->number >= 0)
		return hash_bytes(id->etag, strlen(id->etag), 64);
	file_read(o->path, &bytes);
	for (size_t i = 0; i < bytes.len; i++)
	{
		crc ^= (unsigned char) bytes.data[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? UINT64_C(0xC96C5795D7870F42) : 0);
	}
	buffer_free(&bytes);
	return ~crc;
}
