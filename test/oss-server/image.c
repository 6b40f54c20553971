/*
 * image.c
 *	  The service's limits, checked on the header of the real file.
 *
 * libjpeg and libpng read the headers; nothing here ever looks at a pixel.
 */
#include "image.h"

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>
#include <png.h>

/* libjpeg's error manager with the place to return to. */
typedef struct jpeg_trap
{
	struct jpeg_error_mgr mgr;
	jmp_buf		env;
} jpeg_trap;

/* Leave libjpeg instead of ending the process. */
static void
jpeg_fail(j_common_ptr cinfo)
{
	jpeg_trap  *trap = (jpeg_trap *) cinfo->err;

	longjmp(trap->env, 1);
}

/* Keep libjpeg's warnings off stderr. */
static void
jpeg_silent(j_common_ptr cinfo, int level)
{
}

/* Read the size of a JPEG; 0 when its header is damaged. */
static int
jpeg_size(FILE *f, int64_t *width, int64_t *height)
{
	struct jpeg_decompress_struct cinfo;
	jpeg_trap	trap;

	cinfo.err = jpeg_std_error(&trap.mgr);
	trap.mgr.error_exit = jpeg_fail;
	trap.mgr.emit_message = jpeg_silent;
	if (setjmp(trap.env))
	{
		jpeg_destroy_decompress(&cinfo);
		return 0;
	}
	jpeg_create_decompress(&cinfo);
	jpeg_stdio_src(&cinfo, f);
	jpeg_read_header(&cinfo, TRUE);
	*width = cinfo.image_width;
	*height = cinfo.image_height;
	jpeg_destroy_decompress(&cinfo);
	return 1;
}

/* Leave libpng quietly. */
static void
png_fail(png_structp png, png_const_charp message)
{
	png_longjmp(png, 1);
}

/* Ignore libpng's warnings. */
static void
png_silent(png_structp png, png_const_charp message)
{
}

/* Read the size of a PNG; 0 when its header is damaged. */
static int
png_size(FILE *f, int64_t *width, int64_t *height)
{
	png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, NULL,
											 png_fail, png_silent);
	png_infop	info = png ? png_create_info_struct(png) : NULL;

	if (info == NULL || setjmp(png_jmpbuf(png)))
	{
		png_destroy_read_struct(&png, &info, NULL);
		return 0;
	}
	/* the service's limits are judged by us, not by libpng's own */
	png_set_user_limits(png, 0x7fffffff, 0x7fffffff);
	png_init_io(png, f);
	png_read_info(png, info);
	*width = png_get_image_width(png, info);
	*height = png_get_image_height(png, info);
	png_destroy_read_struct(&png, &info, NULL);
	return 1;
}

/* Judge width and height. */
static image_verdict
judge_size(int64_t width, int64_t height)
{
	if (width > IMAGE_MAX_SIDE || height > IMAGE_MAX_SIDE ||
		width * height > IMAGE_MAX_PIXELS)
		return IMAGE_TOO_LARGE;
	return width > 0 && height > 0 ? IMAGE_OK : IMAGE_DAMAGED;
}

/* Judge a file by its header. */
image_verdict
image_check(const char *path, off_t size)
{
	unsigned char magic[8] = {0};
	int64_t		width = 0;
	int64_t		height = 0;
	int			readable = 0;
	FILE	   *f;
	size_t		n;

	if (size > IMAGE_MAX_BYTES)
		return IMAGE_TOO_LARGE;
	f = fopen(path, "rbe");
	if (f == NULL)
		return IMAGE_DAMAGED;
	n = fread(magic, 1, sizeof(magic), f);
	rewind(f);
	if (n >= 2 && magic[0] == 0xFF && magic[1] == 0xD8)
		readable = jpeg_size(f, &width, &height);
	else if (n == 8 && png_sig_cmp(magic, 0, 8) == 0)
		readable = png_size(f, &width, &height);
	else
	{
		fclose(f);
		return IMAGE_UNSUPPORTED;
	}
	fclose(f);
	return readable ? judge_size(width, height) : IMAGE_DAMAGED;
}
