/*
 * log.h
 *	  A ring of the last requests.  The caller serialises all calls.
 */
#ifndef STANDIN_LOG_H
#define STANDIN_LOG_H

#include "request.h"

extern void log_reset(void);
extern void log_add(const request *r, bool completed, bool abandoned);
extern void log_list(buffer *out, int n, bool json);

#endif							/* STANDIN_LOG_H */
