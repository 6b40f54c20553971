/*-------------------------------------------------------------------------
 * import_sort.c
 *	  Rows of an import, in the order of their images' ids.
 *
 * A row is sorted as a bytea that begins with the id, so that the order of bytes is
 * that of ids.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "compat.h"
#include "lib/stringinfo.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "store/image_id.h"
#include "store/import_sort.h"
#include "utils/tuplesort.h"

struct OssImportSort
{
	Tuplesortstate *state;
	bool		sorted;
};

OssImportSort *
oss_import_sort_begin(void)
{
	OssImportSort *sort = palloc0(sizeof(OssImportSort));

	sort->state = tuplesort_begin_datum(BYTEAOID, ByteaLessOperator, InvalidOid, false,
										work_mem, NULL, TUPLESORT_NONE);
	return sort;
}

static void
put_string(StringInfo out, const char *string)
{
	pq_sendbyte(out, string != NULL);
	if (string != NULL)
		appendBinaryStringInfo(out, string, strlen(string) + 1);
}

void
oss_import_sort_add(OssImportSort *sort, const OssStoreRow *row)
{
	StringInfoData out;

	/* without a request: request_id, ETag and facts are unknown */
	Assert(row->request_id == NULL && row->image.etag == NULL);
	initStringInfo(&out);
	appendStringInfoSpaces(&out, VARHDRSZ);

	/* with the other sign, so that negative ids are before positive ones */
	pq_sendint64(&out, (uint64) (oss_image_id(&row->image) ^ PG_INT64_MIN));
	pq_sendint64(&out, row->tagged_at);
	pq_sendbyte(&out, row->image.has_thr);
	pq_sendfloat8(&out, row->image.thr);
	put_string(&out, row->image.bucket);
	put_string(&out, row->image.key);
	put_string(&out, row->image.version_id);
	put_string(&out, row->source);
	appendBinaryStringInfo(&out, (const char *) row->response, VARSIZE(row->response));
	SET_VARSIZE(out.data, out.len);
	tuplesort_putdatum(sort->state, PointerGetDatum(out.data), false);
	pfree(out.data);
}

static const char *
get_string(StringInfo in)
{
	const char *string = NULL;

	if (pq_getmsgbyte(in) != 0)
	{
		string = in->data + in->cursor;
		in->cursor += strlen(string) + 1;
	}
	return string;
}

bool
oss_import_sort_next(OssImportSort *sort, OssStoreRow *row)
{
	StringInfoData in = {0};
	Datum		value;
	bool		isnull;
	Size		len;

	if (!sort->sorted)
		tuplesort_performsort(sort->state);
	sort->sorted = true;
	if (!oss_sort_next(sort->state, &value, &isnull))
		return false;
	Assert(!isnull);
	in.data = (char *) PG_DETOAST_DATUM(value);
	in.len = in.maxlen = VARSIZE(in.data);
	in.cursor = VARHDRSZ + sizeof(int64);
	memset(row, 0, sizeof(*row));
	row->tagged_at = pq_getmsgint64(&in);
	row->image.has_thr = pq_getmsgbyte(&in) != 0;
	row->image.thr = pq_getmsgfloat8(&in);
	row->image.bucket = get_string(&in);
	row->image.key = get_string(&in);
	row->image.version_id = get_string(&in);
	row->source = get_string(&in);

	/* a jsonb must be aligned */
	len = in.len - in.cursor;
	row->response = palloc(len);
	memcpy(row->response, in.data + in.cursor, len);
	return true;
}

void
oss_import_sort_end(OssImportSort *sort)
{
	if (sort->state != NULL)
		tuplesort_end(sort->state);
	sort->state = NULL;
}
