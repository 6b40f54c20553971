/*
 * request.h
 *	  One request as it came over the wire, and the answer it will get.
 */
#ifndef STANDIN_REQUEST_H
#define STANDIN_REQUEST_H

#include <sys/types.h>

#include "text.h"

#define MAX_BUCKET	64
#define MAX_KEY		1023
#define MAX_CODE	64
#define REQUEST_ID_LEN 24

/* A name and a value; slices of the owning request's storage. */
typedef struct pair
{
	text		name;
	text		value;
} pair;

/* A list of pairs in order of arrival. */
typedef struct pair_list
{
	pair	   *items;
	int			n;
	int			cap;
} pair_list;

typedef enum host_style
{
	HOST_VIRTUAL,				/* bucket is the first label of Host */
	HOST_PATH,					/* bucket is the first segment of the path */
	HOST_CNAME,					/* bucket comes from the CNAME table */
	HOST_SERVICE,				/* a service endpoint of OSS, no bucket */
	HOST_UNKNOWN				/* a host no bucket can be read from */
} host_style;

/*
 * The answer to a request.  Either body or file (fd >= 0) carries the bytes;
 * code is empty exactly when the request succeeded.
 */
typedef struct answer
{
	int			status;
	char		code[MAX_CODE];
	char		ec[24];
	char		request_id[REQUEST_ID_LEN + 1];
	const char *content_type;
	buffer		headers;		/* "Name: value\n" lines */
	buffer		body;
	int			fd;
	off_t		size;			/* of the file behind fd */
	int64_t		head_size;		/* Content-Length of HEAD, -1 = the bytes' */
	bool		is_directory;
	bool		throttled;		/* an error that says "too often" */
} answer;

/*
 * A request.  target is exactly what stood on the request line; all slices
 * point into storage or into MHD's memory, both of which outlive the answer.
 */
typedef struct request
{
	char	   *method;
	char	   *target;
	pair_list	headers;		/* names in lower case, values trimmed */
	pair_list	query;			/* decoded */
	buffer		storage;		/* decoded query */
	buffer		header_names;	/* in lower case */
	buffer		path;			/* decoded, begins with '/' */
	buffer		upload;
	char	   *additional;		/* the additional headers, in lower case */
	text		host;
	host_style	style;
	char		bucket[MAX_BUCKET + 1];
	text		key;
	bool		bucket_invalid;
	bool		is_label;		/* asks for the action image/labels */
	bool		is_list;		/* lists a bucket: key is empty */
	bool		is_sts;			/* calls STS, not OSS */
	text		list_prefix;	/* of what it lists */
	int64_t		listed;			/* objects in the answer of a listing */
	bool		https;
	bool		tallied;		/* counted for bucket and requester */
	bool		billed;			/* a label request whose work the service
								 * finishes, whatever becomes of the
								 * connection */
	uint64_t	connection_id;
	uint64_t	arrived_us;
	uint64_t	queued_us;
	char		access_key_id[64];
	answer answer;
} request;

/* What a request is for, as it is billed. */
typedef enum request_kind
{
	KIND_LABEL,
	KIND_LIST,
	KIND_HEAD,
	KIND_PUT,
	KIND_DELETE,
	KIND_OTHER
} request_kind;

#define N_KINDS (KIND_OTHER + 1)

/* Return the kind of a request. */
extern request_kind request_kind_of(const request *r);

/* Name a kind: "label", "list", "head", "put", "delete" or "other". */
extern const char *request_kind_name(request_kind kind);

/* Find a kind by its name; false if there is none. */
extern bool request_kind_find(const char *name, request_kind *kind);

/* Add a pair to a list. */
extern void pair_list_add(pair_list *list, text name, text value);

/* Return the first value of that name; false when it is absent. */
extern bool pair_list_get(const pair_list *list, const char *name, text *value);

/* Return how often a name occurs. */
extern int	pair_list_count(const pair_list *list, const char *name);

/* Return a header's first value, or the empty slice. */
extern text request_header(const request *r, const char *name);

/*
 * Parse the request's target and Host into path, query, style, bucket and
 * key (src/protocol/README.md 8, items 1 and 2).  Headers must be there already.
 */
extern void request_parse(request *r);
extern void request_free(request *r);

/*
 * Split a query string at & and =, decode %XX and '+', and append the pairs.
 * Decoded bytes go to storage, which must not move afterwards.
 */
extern void query_parse(pair_list *list, buffer *storage, text query);

/* Name a host that belongs to a bucket (CNAME); an empty bucket removes it. */
extern void cname_set(const char *host, const char *bucket);
extern void cname_reset(void);

/* Return whether a bucket name follows the documented rules. */
extern bool bucket_name_valid(text name);

#endif							/* STANDIN_REQUEST_H */
