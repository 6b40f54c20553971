/*-------------------------------------------------------------------------
 * server_option.c
 *	  The options of a foreign server, and the wrapper's validator.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/reloptions.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_foreign_data_wrapper.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_foreign_table.h"
#include "catalog/pg_user_mapping.h"
#include "client/endpoint_option.h"
#include "client/failure.h"
#include "client/server_option.h"
#include "client/table_option.h"
#include "commands/defrem.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "protocol/image_labels.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/varlena.h"

PG_FUNCTION_INFO_V1(oss_labels_validator);

#define MAX_TIMEOUT_MS		3600000
#define MAX_SUGGEST_DISTANCE	4

typedef void (*OptionRead) (OssServer *server, const char *name,
							const char *value);

static void
refuse_server_option(const char *name, const char *value, const char *valid)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for option \"%s\": \"%s\"", name, value),
			 errdetail_internal("%s", valid),
			 errhint("Give a valid value, or leave the option out.")));
}

static int
read_int(const char *name, const char *value, int max)
{
	char	   *end;
	long		number;

	errno = 0;
	number = strtol(value, &end, 10);
	if (errno != 0 || end == value || *end != '\0' ||
		number < 1 || number > max)
		refuse_server_option(name, value, psprintf("Valid is a whole number from 1 to %d.",
												   max));
	return (int) number;
}

static void
read_region(OssServer *server, const char *name, const char *value)
{
	const char *problem = oss_region_problem(value);
	size_t		len = strlen(value);

	if (problem == NULL && len > 9 && strcmp(value + len - 9, "-internal") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for option \"%s\": \"%s\"", name, value),
				 errdetail("A region has no internal form; an endpoint has."),
				 errhint("Write region '%.*s', endpoint_type 'internal'.",
						 (int) len - 9, value)));
	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid value for option \"%s\": \"%s\"", name, value),
				 errdetail_internal("%s", oss_sentence(problem)),
				 strncmp(value, "oss-", 4) == 0 ?
				 errhint("Write \"%s\".", value + 4) :
				 errhint("A region looks like \"cn-hangzhou\".")));
	server->region = MemoryContextStrdup(server->context, value);
}

static void
read_addressing(OssServer *server, const char *name, const char *value)
{
	if (strcmp(value, "virtual") == 0)
		server->addressing = OSS_VIRTUAL_HOST;
	else if (strcmp(value, "path") == 0)
		server->addressing = OSS_PATH;
	else if (strcmp(value, "cname") == 0)
		server->addressing = OSS_CNAME;
	else
		refuse_server_option(name, value, "Valid are virtual, path and cname.");
}

static void
read_product(OssServer *server, const char *name, const char *value)
{
	if (oss_region_problem(value) != NULL && strcmp(value, "oss-cloudbox") != 0)
		refuse_server_option(name, value, "Valid are lower-case letters, digits and hyphens, such as oss or oss-cloudbox.");
	server->product = MemoryContextStrdup(server->context, value);
}

static void
read_ca_file(OssServer *server, const char *name, const char *value)
{
	if (!is_absolute_path(value))
		refuse_server_option(name, value, "Valid is an absolute path on the database server.");
	server->ca_file = MemoryContextStrdup(server->context, value);
}

static void
read_plain_http(OssServer *server, const char *name, const char *value)
{
	server->private_http = strcmp(value, "private") == 0;
	if (!server->private_http && strcmp(value, "loopback") != 0)
		refuse_server_option(name, value, "Valid are loopback and private.");
}

static void
read_proxy(OssServer *server, const char *name, const char *value)
{
	OssEndpoint proxy;
	OssText		url = {0};
	char		copy[OSS_PROXY_URL_MAX + 1];
	const char *problem = oss_proxy_parse(value, &proxy);

	if (problem != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),

		/* user information may contain a password */
				 errmsg("invalid value for option \"%s\": \"%s\"", name,
						strchr(value, '@') == NULL ? value : "..."),
				 errdetail_internal("%s", oss_sentence(problem)),
				 errhint("A proxy looks like \"http://proxy.example.com:3128\"; its user and password are options of the user mapping.")));
	oss_proxy_url(&url, &proxy);
	strlcpy(copy, url.failed ? "" : url.data, sizeof(copy));
	oss_text_free(&url);
	if (copy[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	server->proxy.url = MemoryContextStrdup(server->context, copy);
	server->proxy.is_loopback = proxy.is_loopback;
}

static void
read_proxy_ca_file(OssServer *server, const char *name, const char *value)
{
	if (!is_absolute_path(value))
		refuse_server_option(name, value, "Valid is an absolute path on the database server.");
	server->proxy.ca_file = MemoryContextStrdup(server->context, value);
}

static void
read_max_rate(OssServer *server, const char *name, const char *value)
{
	char	   *end;
	double		rate = strtod(value, &end);

	if (end == value || *end != '\0' || !isfinite(rate) || rate < 0 ||
		rate > 100000 || (rate > 0 && rate < 0.01))
		refuse_server_option(name, value, "Valid is a number from 0.01 to 100000, or 0 for no limit.");
	server->max_requests_per_second = rate;
}

static void
read_requester_pays(OssServer *server, const char *name, const char *value)
{
	if (!parse_bool(value, &server->requester_pays))
		refuse_server_option(name, value, "Valid are true and false.");
}

static void
read_stored_threshold(OssServer *server, const char *name, const char *value)
{
	char	   *end;

	server->stored_threshold = strtod(value, &end);
	if (end == value || *end != '\0' || !oss_thr_valid(server->stored_threshold))
		refuse_server_option(name, value, "Valid is a number from 0 to 1.");
}

/*
 * An option: its reader, or the field and the maximum of a whole number, or
 * neither: those are read by oss_endpoint_options_read().
 */
typedef struct ServerOption
{
	const char *name;
	OptionRead	read;
	size_t		offset;
	int			max;
} ServerOption;

static const ServerOption server_options[] = {
	{"region", read_region},
	{"endpoint"},
	{"endpoint_type"},
	{"bucket_domains"},
	{"addressing", read_addressing},
	{"plain_http", read_plain_http},
	{"product", read_product},
	{"ca_file", read_ca_file},
	{"proxy", read_proxy},
	{"proxy_ca_file", read_proxy_ca_file},
	{"connect_timeout_ms", NULL, offsetof(OssServer, connect_timeout_ms), MAX_TIMEOUT_MS},
	{"timeout_ms", NULL, offsetof(OssServer, timeout_ms), MAX_TIMEOUT_MS},
	{"max_attempts", NULL, offsetof(OssServer, max_attempts), 10},
	{"max_concurrency", NULL, offsetof(OssServer, max_concurrency), 1000},
	{"max_requests_per_second", read_max_rate},
	{"requester_pays", read_requester_pays},
	{"stored_threshold", read_stored_threshold},
};

/* Return a server's option, NULL for an unknown name. */
static const ServerOption *
find_server_option(const char *name)
{
	for (int i = 0; i < lengthof(server_options); i++)
		if (strcmp(server_options[i].name, name) == 0)
			return &server_options[i];
	return NULL;
}

void
oss_server_options_read(OssServer *server, List *options)
{
	server->product = "oss";
	server->connect_timeout_ms = 5000;
	server->timeout_ms = 60000;
	server->max_attempts = 3;
	server->max_concurrency = 64;
	foreach_ptr(DefElem, option, options)
	{
		const ServerOption *known = find_server_option(option->defname);

		if (known != NULL && known->read != NULL)
			known->read(server, option->defname, defGetString(option));
		else if (known != NULL && known->max > 0)
			*(int *) ((char *) server + known->offset) =
				read_int(option->defname, defGetString(option), known->max);
	}
	if (server->region == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"region\" is required"),
				 errhint("Name the bucket's region, such as OPTIONS (region 'cn-hangzhou').")));
	oss_endpoint_options_read(server, options);
	if (server->private_http && server->proxy.url != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("options \"%s\" and \"%s\" contradict each other", "plain_http", "proxy"),
				 errdetail("A proxy resolves names itself, so that plain http could reach the public network."),
				 errhint("Leave one of them out.")));
}

/* Return the name of the i-th option of a catalog's objects, or NULL. */
static const char *
option_name(int i, Oid catalog)
{
	if (catalog == ForeignTableRelationId)
		return oss_table_option_name(i);
	if (catalog == ForeignServerRelationId)
		return i < lengthof(server_options) ? server_options[i].name : NULL;
	return oss_credential_option_name(i);
}

static const char *
option_names(Oid catalog)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; option_name(i, catalog) != NULL; i++)
		appendStringInfo(&names, "%s%s", i > 0 ? ", " : "", option_name(i, catalog));
	return names.data;
}

/*
 * Return an option whose name begins like this one, else that with the most
 * similar name, or NULL.
 */
static const char *
nearest_option(const char *name, Oid catalog)
{
	const char *best = NULL;
	int			len = strlen(name);

	/* half of a short name changed makes another word */
	int			best_distance = Min(MAX_SUGGEST_DISTANCE, len / 2) + 1;

	for (int i = 0;; i++)
	{
		const char *candidate = option_name(i, catalog);
		int			distance;

		if (candidate == NULL)
			return best;
		if (len > 3 && strncmp(candidate, name, len) == 0)
			return candidate;
		distance = varstr_levenshtein_less_equal(name, len, candidate,
												 strlen(candidate), 1, 1, 1,
												 best_distance, true);
		if (distance < best_distance)
		{
			best = candidate;
			best_distance = distance;
		}
	}
}

static bool
is_option(const char *name, Oid catalog)
{
	if (catalog != ForeignServerRelationId && catalog != UserMappingRelationId &&
		catalog != ForeignTableRelationId)
		return false;
	for (int i = 0; option_name(i, catalog) != NULL; i++)
		if (strcmp(option_name(i, catalog), name) == 0)
			return true;
	return false;
}

/* Say what objects of a catalog are, as in: an option of the server. */
static const char *
owner_name(Oid catalog)
{
	switch (catalog)
	{
		case ForeignServerRelationId:
			return "server";
		case UserMappingRelationId:
			return "user mapping";
		case ForeignTableRelationId:
			return "foreign table";
		case AttributeRelationId:
			return "column";
		default:
			return "foreign-data wrapper";
	}
}

static void
refuse_unknown(const char *name, Oid catalog)
{
	static const Oid catalogs[] = {ForeignServerRelationId, UserMappingRelationId, ForeignTableRelationId};
	const char *other = strlen(name) <= 64 ? nearest_option(name, catalog) : NULL;
	const char *hint;

	if (catalog == ForeignDataWrapperRelationId)
		hint = "The wrapper itself has no options; servers, user mappings and foreign tables have.";
	else if (catalog == AttributeRelationId)
		hint = "A column has none: its name says what it shows.";
	else
		hint = other != NULL ?
			psprintf("Perhaps you meant the option \"%s\".", other) :
			psprintf("Valid options are: %s.", option_names(catalog));
	for (int i = 0; i < lengthof(catalogs); i++)
		if (catalog != ForeignDataWrapperRelationId && is_option(name, catalogs[i]))
			hint = psprintf("It is an option of the %s, not of the %s.",
							owner_name(catalogs[i]), owner_name(catalog));
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
			 errmsg("invalid option \"%s\"", name),
			 errhint("%s", hint)));
}

static void
check_server_options(List *options)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "oss_labels validator",
												  ALLOCSET_SMALL_SIZES);
	OssServer	server = {0};

	server.context = context;
	oss_server_options_read(&server, options);
	if ((server.ca_file != NULL || server.proxy.ca_file != NULL) && !superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to set option \"%s\"",
						server.ca_file != NULL ? "ca_file" : "proxy_ca_file"),
				 errdetail("Only superusers may choose trusted CAs and files of the server machine."),
				 errhint("Let a superuser set it, or leave it out for the CA certificates of the system.")));
	if (server.private_http && !superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to set option \"%s\"", "plain_http"),
				 errdetail("Only superusers may send requests unencrypted, or to plain http services of the private network."),
				 errhint("Let a superuser set it, or use an https endpoint.")));
	if (server.private_http)
		ereport(WARNING,
				(errmsg("plain http to private addresses is allowed for this server"),
				 errdetail("Whoever can read or change that traffic can read keys and labels of objects, repeat a request for 15 minutes, use a security token, and forge answers."),
				 errhint("Use an https endpoint with ca_file where the service has one.")));
	if (server.proxy.url != NULL && !superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to set option \"%s\"", "proxy"),
				 errdetail("Only superusers may choose where the server machine sends requests of other hosts."),
				 errhint("Let a superuser set it, or leave it out for direct connections.")));
	MemoryContextDelete(context);
}

/* The wrapper's validator. */
Datum
oss_labels_validator(PG_FUNCTION_ARGS)
{
	List	   *options = untransformRelOptions(PG_GETARG_DATUM(0));
	Oid			catalog = PG_GETARG_OID(1);
	OssTableOptions table;

	foreach_ptr(DefElem, option, options)
	{
		if (!is_option(option->defname, catalog))
			refuse_unknown(option->defname, catalog);
		if (catalog == UserMappingRelationId)
			oss_credential_option_check(option->defname, defGetString(option),
										superuser());
	}
	if (catalog == ForeignServerRelationId)
		check_server_options(options);
	if (catalog == UserMappingRelationId)
		oss_credential_options_check(options);
	if (catalog == ForeignTableRelationId)
		oss_table_options_read(&table, options);
	PG_RETURN_VOID();
}
