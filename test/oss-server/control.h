/*
 * control.h
 *	  The control interface: plain HTTP on a port of its own.
 */
#ifndef STANDIN_CONTROL_H
#define STANDIN_CONTROL_H

#include <microhttpd.h>
#include <stdbool.h>

/* Set the buckets that DIR/buckets describes; false if a line is wrong. */
extern bool control_load_buckets(void);

/* The callbacks of the control listener. */
extern void *control_line(void *cls, const char *target,
						  struct MHD_Connection *connection);
extern enum MHD_Result control_request(void *cls,
									   struct MHD_Connection *connection,
									   const char *url, const char *method,
									   const char *version, const char *data,
									   size_t *size, void **context);
extern void control_completed(void *cls, struct MHD_Connection *connection,
							  void **context,
							  enum MHD_RequestTerminationCode code);

#endif							/* STANDIN_CONTROL_H */
