/*-------------------------------------------------------------------------
 * rights.c
 *	  The caller's rights to read and write stored images; correct(), which
 *	  writes for the caller as the extension's owner.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "compat.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "spi/result_rows.h"
#include "spi/statement.h"
#include "store/rights.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(oss_labels_correct);

#define FIND_IMAGE \
	"SELECT FROM oss_labels.image i WHERE i.image_id = oss_labels.image_id($1, $2, $3) " \
	"AND i.bucket = $1 AND i.key = $2"

/* Return the OID of the table image, or InvalidOid. */
static Oid
image_table(void)
{
	Oid			schema = get_namespace_oid("oss_labels", true);

	return OidIsValid(schema) ? get_relname_relid("image", schema) : InvalidOid;
}

/* Does row security limit the caller? */
static bool
is_limited(void)
{
	Oid			image = image_table();

	return OidIsValid(image) && check_enable_rls(image, InvalidOid, true) == RLS_ENABLED;
}

/* Run a statement for an image's bucket, key and version; returns the number of rows. */
static uint64
run_for_image(OssStatementUse use, OssPlan *plan, const OssImage *image)
{
	Datum		values[3];
	char		nulls[3];
	bool		isnull;

	oss_arg(values, nulls, 0, CStringGetTextDatum(image->bucket), false);
	oss_arg(values, nulls, 1, CStringGetTextDatum(image->key), false);
	values[2] = oss_text_or_null(image->version_id, &isnull);
	nulls[2] = isnull ? 'n' : ' ';
	return oss_statement_run(use, plan, values, nulls, SPI_OK_SELECT);
}

/* Call a function for an image as the caller; isnull may be NULL. */
static bool
ask_for_image(OssPlan *plan, const OssImage *image, bool *isnull)
{
	OssStatementState state;
	Datum		values[2];
	bool		answer;

	values[0] = CStringGetTextDatum(image->bucket);
	values[1] = CStringGetTextDatum(image->key);
	oss_statement_begin(&state, OSS_STATEMENT_PINNED);
	(void) oss_statement_execute(plan, values, NULL, SPI_OK_SELECT);
	answer = DatumGetBool(oss_result_column(0, 1, isnull));
	oss_statement_end(&state);
	return answer;
}

bool
oss_rights_reads_all(void)
{
	static OssPlan ask = {"SELECT oss_labels.reads_all()", 0, {0}, OSS_PLAN_READ};
	OssStatementState state;
	bool		all;

	if (!is_limited())
		return true;
	oss_statement_begin(&state, OSS_STATEMENT_CALLER);
	(void) oss_statement_execute(&ask, NULL, NULL, SPI_OK_SELECT);
	all = DatumGetBool(oss_result_column(0, 1, NULL));
	oss_statement_end(&state);
	return all;
}

/* Does row security show the caller a stored image?  False if it is not stored. */
static bool
sees_image(const OssImage *image)
{
	static OssPlan find = {FIND_IMAGE, 3, {TEXTOID, TEXTOID, TEXTOID}};

	return run_for_image(is_limited() ? OSS_STATEMENT_PINNED : OSS_STATEMENT_STORE, &find,
						 image) > 0;
}

bool
oss_rights_check_write(const OssImage *image)
{
	static OssPlan ask = {"SELECT oss_labels.may_write($1, $2)", 2, {TEXTOID, TEXTOID}};
	bool		by_policy = false;

	if (!is_limited() || ask_for_image(&ask, image, &by_policy))
		return true;
	if (!by_policy)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to write labels of \"oss://%s/%s\"", image->bucket,
						image->key),
				 errhint("The extension's owner grants it: CALL oss_labels.grant_writing('role', 'bucket').")));
	return sees_image(image);
}

void
oss_rights_check_import(const OssImage *image)
{
	static OssPlan find = {FIND_IMAGE, 3, {TEXTOID, TEXTOID, TEXTOID}};

	if (!oss_rights_check_write(image) &&
		run_for_image(OSS_STATEMENT_STORE, &find, image) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("labels of \"oss://%s/%s\" are hidden by row-level security policies of table \"image\"",
						image->bucket, image->key),
				 errhint("A role can replace only labels that it may read.")));
}

bool
oss_rights_writes_all(void)
{
	Oid			marker;

	if (!is_limited())
		return true;

	/* a lookup by name would need USAGE on the schema */
	marker = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
							 CStringGetDatum("may_write_all"),
							 PointerGetDatum(buildoidvector(NULL, 0)),
							 ObjectIdGetDatum(get_namespace_oid("oss_labels", false)));
	return OidIsValid(marker) && oss_function_aclcheck(marker, GetUserId()) == ACLCHECK_OK;
}

void
oss_rights_check_written(const OssImage *image)
{
	if (is_limited() && !sees_image(image))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("new labels of \"oss://%s/%s\" violate row-level security policies of table \"image\"",
						image->bucket, image->key),
				 errhint("Import only images that the policies of oss_labels.image let this role write.")));
}

bool
oss_rights_may_keep(const OssImage *image)
{
	static OssPlan ask = {"SELECT oss_labels.may_keep($1, $2)", 2, {TEXTOID, TEXTOID}};
	static OssPlan find = {FIND_IMAGE, 3, {TEXTOID, TEXTOID, TEXTOID}};
	bool		by_rows;
	bool		may;

	if (!is_limited())
		return true;
	may = ask_for_image(&ask, image, &by_rows);
	if (!by_rows)
		return may;
	if (run_for_image(OSS_STATEMENT_STORE, &find, image) == 0)
		return true;

	/* a caller who only pays for answers sees no rows */
	return pg_class_aclcheck(image_table(), GetUserId(), ACL_SELECT) == ACLCHECK_OK &&
		sees_image(image);
}

/*
 * correct(bucket, key, label_name, present, parent_label_name, version_id,
 * corrected_by, note)
 */
Datum
oss_labels_correct(PG_FUNCTION_ARGS)
{
	static OssPlan correct = {
		"SELECT oss_labels.write_correction($1, $2, $3, $4, $5, $6, $7, $8, $9)", 9,
		{TEXTOID, TEXTOID, TEXTOID, TEXTOID, BOOLOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID}
	};
	Datum		values[9];
	char		nulls[9];
	OssImage	image = {0};

	oss_arg(values, nulls, 0, CStringGetTextDatum(GetUserNameFromId(GetUserId(), false)),
			false);
	for (int i = 0; i < 8; i++)
		oss_arg(values, nulls, i + 1, PG_GETARG_DATUM(i), PG_ARGISNULL(i));
	if (!PG_ARGISNULL(0) && !PG_ARGISNULL(1))
	{
		image.bucket = TextDatumGetCString(PG_GETARG_DATUM(0));
		image.key = TextDatumGetCString(PG_GETARG_DATUM(1));
		if (!PG_ARGISNULL(5))
			image.version_id = TextDatumGetCString(PG_GETARG_DATUM(5));
		if (!oss_rights_check_write(&image))
			ereport(ERROR,
					(errcode(ERRCODE_NO_DATA_FOUND),
					 errmsg("no labels are stored for \"oss://%s/%s\"", image.bucket, image.key),
					 errhint("Tag the image first.")));
	}
	(void) oss_statement_run(OSS_STATEMENT_STORE, &correct, values, nulls, SPI_OK_SELECT);
	PG_RETURN_VOID();
}
