/*
 * service.h
 *	  What the service answers to a request, before any fault is applied.
 */
#ifndef STANDIN_SERVICE_H
#define STANDIN_SERVICE_H

#include "request.h"

/*
 * Compute the answer of a complete request: signature, rights, bucket, object,
 * x-oss-process.  Returns whether the request was authenticated and its names
 * were well-formed, so that a fault may replace the answer.
 */
extern bool service_answer(request *r);

/* Let the labels answers of all buckets carry the object's identity, or not. */
extern void service_labels_etag(bool on);

#endif							/* STANDIN_SERVICE_H */
