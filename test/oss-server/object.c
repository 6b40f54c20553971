/*
 * object.c
 *	  Buckets and keys as directories and files.
 */
#include "object.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bucket.h"
#include "stock.h"

/* File names end at 255 bytes; ".labels.json" must fit behind a key's. */
#define MAX_SEGMENT 200
#define ENCODED_DIR "/.keys/"

static char root[PATH_MAX];

/* Set the directory of buckets. */
bool
object_set_root(const char *dir)
{
	struct stat st;

	return realpath(dir, root) != NULL && stat(root, &st) == 0 &&
		S_ISDIR(st.st_mode);
}

/* Return the directory of buckets. */
const char *
object_root(void)
{
	return root;
}

/* Return the length of the UTF-8 sequence at p, or 0 if it is not one. */
static size_t
utf8_length(const unsigned char *p, size_t len)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t		n = p[0] < 0x80 ? 1 : p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : 2;
	uint32_t	c = p[0];

	if (n == 1)
		return 1;
	if (p[0] < 0xC2 || p[0] > 0xF4 || n > len)
		return 0;
	c &= 0x7F >> n;
	for (size_t i = 1; i < n; i++)
	{
		if ((p[i] & 0xC0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3F);
	}
	if (c < least[n] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000))
		return 0;
	return n;
}

/* Return whether a key may exist in OSS. */
bool
object_key_valid(text key)
{
	if (key.len < 1 || key.len > MAX_KEY ||
		key.data[0] == '/' || key.data[0] == '\\')
		return false;
	for (size_t i = 0; i < key.len;)
	{
		size_t		n = utf8_length((const unsigned char *) key.data + i,
									key.len - i);

		if (n == 0)
			return false;
		i += n;
	}
	return true;
}

/* Return whether a segment can be a file name as it is. */
static bool
segment_is_plain(text segment)
{
	if (segment.len == 0 || segment.len > MAX_SEGMENT ||
		segment.data[0] == '.')
		return false;
	for (size_t i = 0; i < segment.len; i++)
	{
		unsigned char c = (unsigned char) segment.data[i];

		if (c < 0x20 || c == 0x7F)
			return false;
	}
	return true;
}

/* Return whether a key can be a path as it is. */
static bool
key_is_plain(text key)
{
	if (key.len == 0 || key.data[key.len - 1] == '/')
		return false;
	while (key.len > 0)
	{
		if (!segment_is_plain(text_cut(&key, '/')))
			return false;
	}
	return true;
}

/* Write the path of an ordinary key. */
static bool
plain_path(const char *bucket, text key, char *path)
{
	int			n;

	if (!key_is_plain(key))
		return false;
	n = snprintf(path, PATH_MAX, "%s/%s/%.*s", root, bucket, (int) key.len,
				 key.data);
	return n > 0 && n < PATH_MAX - 16;
}

/*
 * Write the path of any key: every byte but letters, digits, - and _ becomes
 * %XX, and the whole is cut into pieces of MAX_SEGMENT bytes, all but the last
 * being directories whose names end in '+'.
 */
static bool
encoded_path(const char *bucket, text key, char *path)
{
	buffer		out = {0};
	size_t		in_piece = 0;
	bool		fits;

	buffer_printf(&out, "%s/%s" ENCODED_DIR, root, bucket);
	for (size_t i = 0; i < key.len; i++)
	{
		unsigned char c = (unsigned char) key.data[i];
		bool		keep = ((c >= 'a' && c <= 'z') ||
							(c >= 'A' && c <= 'Z') ||
							(c >= '0' && c <= '9') || c == '-' || c == '_');

		if (in_piece >= MAX_SEGMENT)
		{
			buffer_puts(&out, "+/");
			in_piece = 0;
		}
		if (keep)
			buffer_add(&out, &c, 1);
		else
			buffer_printf(&out, "%%%02X", c);
		in_piece += keep ? 1 : 3;
	}
	fits = out.len < PATH_MAX - 16;
	if (fits)
		strcpy(path, out.data);
	buffer_free(&out);
	return fits;
}

/* Return whether a bucket's directory exists. */
static bool
bucket_exists(const char *bucket)
{
	char		path[PATH_MAX + MAX_BUCKET + 2];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", root, bucket);
	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Fill found if path is a file. */
static bool
is_file(const char *path, object *found)
{
	return stat(path, &found->st) == 0 && S_ISREG(found->st.st_mode);
}

/* Find the image that stands for the keys of a synthetic bucket. */
bool
object_image(const bucket_settings *s, object *found)
{
	return s->image[0] != '\0' &&
		snprintf(found->path, PATH_MAX, "%s/%s", root, s->image) < PATH_MAX &&
		is_file(found->path, found);
}

/* Find a key of a synthetic bucket. */
static bool
find_synthetic(const char *bucket, text key, object *found)
{
	bucket_settings s;
	object_traits traits;

	if (!bucket_get(bucket, &s) || s.image[0] == '\0')
		return false;
	found->number = stock_number(&s, key);
	if (s.keys > 0 && found->number < 0)
		return false;
	object_state_traits(bucket, key, text_of(""), found->number, &traits);
	found->synthetic = true;
	found->changed = traits.changed;
	return traits.deleted <= 0 && object_image(&s, found);
}

/* Find an object among the files. */
static bool
find_file(const char *bucket, text key, object *found)
{
	object_traits traits;

	if (!(plain_path(bucket, key, found->path) && is_file(found->path, found)) &&
		!(encoded_path(bucket, key, found->path) && is_file(found->path, found)))
		return false;
	object_state_traits(bucket, key, text_of(""), -1, &traits);
	return traits.deleted <= 0;
}

/* Find the file of an object. */
lookup
object_find(const char *bucket, text key, object *found)
{
	bucket_settings s;

	found->synthetic = false;
	found->number = -1;
	found->changed = 0;
	found->is_directory = key.len > 0 && key.data[key.len - 1] == '/';
	if (find_file(bucket, key, found) || find_synthetic(bucket, key, found))
		return LOOKUP_FOUND;
	return bucket_exists(bucket) || (bucket_get(bucket, &s) && s.image[0]) ?
		LOOKUP_NO_KEY : LOOKUP_NO_BUCKET;
}

/* Make all directories above a path. */
static int
make_parents(const char *path)
{
	char		dir[PATH_MAX];

	strcpy(dir, path);
	for (char *p = dir + strlen(root) + 1; (p = strchr(p, '/')) != NULL; p++)
	{
		*p = '\0';
		if (mkdir(dir, 0755) != 0 && errno != EEXIST)
			return errno;
		*p = '/';
	}
	return 0;
}

/* Write a file so that readers see the old or the new bytes, never a part. */
static int
write_file(const char *path, text bytes)
{
	char		temp[PATH_MAX + MAX_BUCKET + 32];
	static _Atomic unsigned int serial;
	int			err = make_parents(path);
	int			fd;

	if (err != 0)
		return err;
	snprintf(temp, sizeof(temp), "%s/.put.%d.%u", root, (int) getpid(),
			 serial++);
	fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return errno;
	while (bytes.len > 0 && err == 0)
	{
		ssize_t		n = write(fd, bytes.data, bytes.len);

		if (n < 0 && errno != EINTR)
			err = errno;
		else if (n > 0)
		{
			bytes.data += n;
			bytes.len -= (size_t) n;
		}
	}
	close(fd);
	if (err == 0 && rename(temp, path) != 0)
		err = errno;
	if (err != 0)
		unlink(temp);
	return err;
}

/* Store bytes as an object. */
int
object_put(const char *bucket, text key, text bytes)
{
	char		path[PATH_MAX];

	bucket_settings s;
	int			err = 0;

	/* a bucket of made-up keys gets a directory when something is stored */
	if (!bucket_exists(bucket) && !(bucket_get(bucket, &s) && s.keys > 0))
		return ENOENT;
	/* "a" and "a/b" may both be keys: what can't be a path is encoded */
	if (!plain_path(bucket, key, path) || write_file(path, bytes) != 0)
		err = !encoded_path(bucket, key, path) ? ENAMETOOLONG :
			write_file(path, bytes);
	if (err == 0)
	{
		object_state_stored(bucket, key, false);
		stock_changed(bucket);
	}
	return err;
}

/* Remove the file of an object. */
bool
object_delete(const char *bucket, text key)
{
	object		o;
	bool		found = object_find(bucket, key, &o) == LOOKUP_FOUND;

	if (!found)
		return false;
	if (!o.synthetic)
		unlink(o.path);
	/* a made-up key, under the file or by itself, is deleted by its state */
	object_state_stored(bucket, key, find_synthetic(bucket, key, &o));
	stock_changed(bucket);
	return true;
}

/* Read a whole file. */
bool
file_read(const char *path, buffer *out)
{
	int			fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t		n;

	if (fd < 0)
		return false;
	do
	{
		buffer_reserve(out, 65536);
		n = read(fd, out->data + out->len, 65536);
		if (n > 0)
			out->len += (size_t) n;
	} while (n > 0 || (n < 0 && errno == EINTR));
	out->data[out->len] = '\0';
	close(fd);
	return n == 0;
}

/* Store the object of one line "bucket TAB escaped key TAB source file". */
static bool
load_line(text line)
{
	text		bucket = text_cut(&line, '\t');
	text		escaped = text_cut(&line, '\t');
	char		path[PATH_MAX];
	char		name[MAX_BUCKET + 1];
	buffer		key = {0};
	buffer		bytes = {0};
	bool		ok;

	snprintf(name, sizeof(name), "%.*s", (int) bucket.len, bucket.data);
	if (snprintf(path, sizeof(path), "%s/%.*s", root, (int) line.len,
				 line.data) >= (int) sizeof(path))
		return false;
	buffer_unescape(&key, escaped, false);
	ok = bucket_name_valid(bucket) && (line.len == 0 || file_read(path, &bytes));
	ok = ok && object_put(name, text_from(key.data, key.len),
						  text_from(bytes.data, bytes.len)) == 0;
	if (!ok)
		fprintf(stderr, "oss-server: manifest: cannot store %.*s/%s\n",
				(int) bucket.len, bucket.data, key.data ? key.data : "");
	buffer_free(&key);
	buffer_free(&bytes);
	return ok;
}

/* Store all objects the manifest names. */
int
object_load_manifest(void)
{
	char		path[PATH_MAX + 16];
	buffer		lines = {0};
	text		rest;
	int			n = 0;

	snprintf(path, sizeof(path), "%s/manifest", root);
	if (access(path, F_OK) != 0)
		return 0;
	if (!file_read(path, &lines))
		return -1;
	rest = text_from(lines.data, lines.len);
	while (rest.len > 0 && n >= 0)
	{
		text		line = text_cut(&rest, '\n');

		if (line.len == 0 || line.data[0] == '#')
			continue;
		n = load_line(line) ? n + 1 : -1;
	}
	buffer_free(&lines);
	return n;
}
