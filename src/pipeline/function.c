/*-------------------------------------------------------------------------
 * function.c
 *	  The functions whose requests the pipeline begins, and their planner support.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "call/object_info.h"
#include "catalog/dependency.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "commands/extension.h"
#include "fmgr.h"
#include "nodes/supportnodes.h"
#include "optimizer/optimizer.h"
#include "pipeline/pipeline.h"
#include "store/tag_stored.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/syscache.h"

/* Labels of an image, and a call's cost in operators, as in the script. */
#define TYPICAL_LABELS	10
#define CALL_COST		1000000

/*
 * A cached result of oss_pipeline_function(); invalid if funcid is
 * InvalidOid.
 */
typedef struct KnownFunction
{
	Oid			funcid;
	bool		ours;
} KnownFunction;

/* C symbols, indexed by OssFunction */
static const char *const symbols[] = {
	[OSS_DETECT] = "oss_labels_detect",
	[OSS_TRY_DETECT] = "oss_labels_try_detect",
	[OSS_TAG] = "oss_labels_tag",
	[OSS_TRY_TAG] = "oss_labels_try_tag",
	[OSS_OBJECT_INFO] = "oss_labels_object_info",
	[OSS_TRY_OBJECT_INFO] = "oss_labels_try_object_info",
	[OSS_DETECT_JSON] = "oss_labels_detect_json"
};

bool		oss_pipeline_enabled = true;

static KnownFunction known_functions[lengthof(symbols)];

PG_FUNCTION_INFO_V1(oss_labels_detect_support);

/* Invalidation callback. */
static void
on_function_change(Datum arg, int cacheid, uint32 hashvalue)
{
	memset(known_functions, 0, sizeof(known_functions));
}

/* Register the callback, once per process. */
static void
watch_functions(void)
{
	static bool watching = false;

	if (watching)
		return;
	CacheRegisterSyscacheCallback(PROCOID, on_function_change, 0);
	watching = true;
}

const char *
oss_function_name(OssFunction which)
{
	return symbols[which] + strlen("oss_labels_");
}

/* Return the index in symbols of a function's C symbol, or -1. */
static int
find_symbol(HeapTuple proc)
{
	bool		isnull;
	Datum		source = SysCacheGetAttr(PROCOID, proc,
										 Anum_pg_proc_prosrc, &isnull);
	char	   *symbol;

	if (isnull)
		return -1;
	symbol = TextDatumGetCString(source);
	for (int i = 0; i < lengthof(symbols); i++)
	{
		if (strcmp(symbol, symbols[i]) == 0)
			return i;
	}
	return -1;
}

int
oss_function_arguments(OssFunction which)
{
	if (oss_function_is_head(which))
		return INFO_ARGUMENTS;
	return oss_function_is_tag(which) ? TAG_ARGUMENTS : DETECT_ARGUMENTS;
}

/*
 * Has a function the properties given by the extension's script?  One that
 * runs as another role or with other settings would not ask as the pipeline does,
 * so that nothing is begun for it.
 */
static bool
is_as_defined(HeapTuple proc, OssFunction which)
{
	Form_pg_proc form = (Form_pg_proc) GETSTRUCT(proc);
	bool		no_settings;

	(void) SysCacheGetAttr(PROCOID, proc, Anum_pg_proc_proconfig, &no_settings);
	return no_settings && form->proretset == (which != OSS_DETECT_JSON) && !form->prosecdef &&
		form->pronargs == oss_function_arguments(which);
}

static bool
is_member(Oid funcid)
{
	Oid			extension = get_extension_oid("oss_labels", true);

	return OidIsValid(extension) &&
		getExtensionOfObject(ProcedureRelationId, funcid) == extension;
}

bool
oss_pipeline_function(Oid funcid, OssFunction *which)
{
	HeapTuple	proc;
	bool		candidate;
	int			i;

	for (i = 0; i < lengthof(symbols); i++)
	{
		if (known_functions[i].funcid == funcid && OidIsValid(funcid))
		{
			*which = (OssFunction) i;
			return known_functions[i].ours;
		}
	}

	proc = SearchSysCache1(PROCOID, ObjectIdGetDatum(funcid));
	if (!HeapTupleIsValid(proc))
		return false;
	i = -1;
	if (((Form_pg_proc) GETSTRUCT(proc))->prolang == ClanguageId)
		i = find_symbol(proc);
	candidate = i >= 0 && is_as_defined(proc, (OssFunction) i);
	ReleaseSysCache(proc);
	if (!candidate)
		return false;

	watch_functions();
	known_functions[i].ours = is_member(funcid);
	known_functions[i].funcid = funcid;
	*which = (OssFunction) i;
	return known_functions[i].ours;
}

/*
 * Planner support function of detect, tag, object_info and their try_ forms.
 *
 * Its main purpose is that the planner calls it before it plans any join: the
 * call loads the library and thereby the hooks, so that the first query of a
 * session is pipelined too.
 */
Datum
oss_labels_detect_support(PG_FUNCTION_ARGS)
{
	Node	   *request = (Node *) PG_GETARG_POINTER(0);

	if (IsA(request, SupportRequestRows))
	{
		SupportRequestRows *rows = (SupportRequestRows *) request;
		OssFunction which;

		rows->rows = oss_pipeline_function(rows->funcid, &which) &&
			oss_function_is_head(which) ? 1 : TYPICAL_LABELS;
		PG_RETURN_POINTER(request);
	}
	if (IsA(request, SupportRequestCost))
	{
		SupportRequestCost *cost = (SupportRequestCost *) request;

		cost->startup = 0;
		cost->per_tuple = CALL_COST * cpu_operator_cost;
		PG_RETURN_POINTER(request);
	}
	PG_RETURN_POINTER(NULL);
}
