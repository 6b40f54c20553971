/*-------------------------------------------------------------------------
 * http_address.c
 *	  Which addresses a transfer may connect to.
 *
 * Addresses are checked when a socket is opened, after the name was resolved.
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "client/http_internal.h"
#include "protocol/address.h"

HttpAllowed
oss_http_allowed(const HttpSpec *spec)
{
	HttpAllowed allowed = {.reach = spec->reach};

	allowed.plain = spec->reach == HTTP_REACH_OSS &&
		pg_strncasecmp(spec->url, "https:", 6) != 0;
	allowed.private_too = spec->private_http;
	return allowed;
}

bool
oss_http_may_connect(const HttpAllowed *allowed, const struct sockaddr *addr)
{
	switch (oss_address_class(addr))
	{
		case OSS_ADDRESS_LOOPBACK:
			return true;
		case OSS_ADDRESS_PRIVATE:
			return !allowed->plain || allowed->private_too;
		case OSS_ADDRESS_ORDINARY:
			return !allowed->plain;
		case OSS_ADDRESS_LINK_LOCAL:
		case OSS_ADDRESS_METADATA:
			return allowed->reach == HTTP_REACH_METADATA;
		case OSS_ADDRESS_UNUSABLE:
			break;
	}
	return false;
}
