/*-------------------------------------------------------------------------
 * http_ca.h
 *	  Files of CA certificates that may be replaced while the process runs.
 *
 * Private to http.c.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_HTTP_CA_H
#define OSS_HTTP_CA_H

/*
 * Return a name of the file of CA certificates at path that it had with no
 * other content.  libcurl's caches of parsed stores, connections and TLS
 * sessions are keyed by this name.  The result is valid until the next call.
 */
extern const char *oss_http_ca_name(const char *path);

#endif							/* OSS_HTTP_CA_H */
