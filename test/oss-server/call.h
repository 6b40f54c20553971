/*
 * call.h
 *	  The parameters of a control request.
 */
#ifndef STANDIN_CALL_H
#define STANDIN_CALL_H

#include "bucket.h"
#include "request.h"

/* A control request under way. */
typedef struct call
{
	char	   *target;
	bool		begun;
	buffer		upload;
	buffer		storage;
	pair_list	params;
	buffer		out;
	int			status;
} call;

/* Return a parameter as a C string, or "". */
extern const char *param(call *c, const char *name);

/* Return a parameter's bytes. */
extern text param_text(call *c, const char *name);

/* Return a parameter as a number. */
extern int64_t param_int(call *c, const char *name, int64_t otherwise);

/* Refuse a call. */
extern void bad(call *c, const char *why);

/* Copy a parameter into a field; false when it is too long. */
extern bool copy_param(call *c, const char *name, char *field, size_t size);

/* Copy the code of a parameter; false when the table of errors does not have it. */
extern bool copy_code(call *c, const char *name, char *field, size_t size);

/* Read a limit; false when the code is unknown or a number negative. */
extern bool read_throttle(call *c, throttle *t);

/*
 * Take the query apart.  Values are used as C strings, so each is copied with
 * a NUL behind it.
 */
extern void parse_params(call *c, text query);

/* Release what a call owns. */
extern void call_clear(call *c);

/* What can be said to and of objects (control_object.c). */
extern void do_object(call *c);
extern void do_objects(call *c);
extern void do_put(call *c);
extern void do_delete(call *c);
extern void do_path(call *c);
extern void do_event(call *c);
extern void do_events(call *c);

#endif							/* STANDIN_CALL_H */
