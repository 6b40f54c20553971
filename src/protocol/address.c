/*-------------------------------------------------------------------------
 * address.c
 *	  Which network addresses a request may be sent to.
 *
 * An endpoint given by a user must not lead a request to the metadata service
 * of this machine or to a host on the local link.  IPv4 addresses embedded in
 * IPv6 addresses are classified too, since the network may route them to the
 * same host.
 *-------------------------------------------------------------------------
 */
#include "protocol/address.h"

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* IPv6 addresses with this prefix embed an IPv4 address at byte "at". */
typedef struct Carrier
{
	unsigned char prefix[12];
	size_t		prefix_len;
	size_t		at;
} Carrier;

static const Carrier carriers[] = {
	/* IPv4-mapped, ::ffff:a.b.c.d */
	{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 12, 12},
	/* IPv4-compatible, ::a.b.c.d */
	{{0}, 12, 12},
	/* IPv4-translated, ::ffff:0:a.b.c.d */
	{{0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0}, 12, 12},
	/* NAT64, 64:ff9b::a.b.c.d */
	{{0, 0x64, 0xff, 0x9b}, 12, 12},
	/* 6to4, 2002:aabb:ccdd:: */
	{{0x20, 0x02}, 2, 2},
};

/* Classify an IPv4 address given as its four bytes. */
static OssAddressClass
class_of_ipv4(const unsigned char *a)
{
	static const unsigned char metadata[4] = {100, 100, 100, 200};

	if (a[0] == 127)
		return OSS_ADDRESS_LOOPBACK;
	if (a[0] == 169 && a[1] == 254)
		return OSS_ADDRESS_LINK_LOCAL;
	if (memcmp(a, metadata, sizeof(metadata)) == 0)
		return OSS_ADDRESS_METADATA;
	/* this host, multicast, reserved and broadcast */
	if (a[0] == 0 || a[0] >= 224)
		return OSS_ADDRESS_UNUSABLE;
	return OSS_ADDRESS_ORDINARY;
}

/* Classify an IPv6 address given as its sixteen bytes. */
static OssAddressClass
class_of_ipv6(const unsigned char *a)
{
	if (memcmp(a, &in6addr_loopback, 16) == 0)
		return OSS_ADDRESS_LOOPBACK;
	if (a[0] == 0xff)
		return OSS_ADDRESS_UNUSABLE;
	if (a[0] == 0xfe && (a[1] & 0xc0) == 0x80)
		return OSS_ADDRESS_LINK_LOCAL;
	for (size_t i = 0; i < sizeof(carriers) / sizeof(carriers[0]); i++)
	{
		const Carrier *c = &carriers[i];

		if (memcmp(a, c->prefix, c->prefix_len) == 0)
			return class_of_ipv4(a + c->at);
	}
	return OSS_ADDRESS_ORDINARY;
}

OssAddressClass
oss_address_class(const struct sockaddr *addr)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	/* copy, since addr may be aligned for a plain sockaddr only */
	switch (addr->sa_family)
	{
		case AF_INET:
			memcpy(&in, addr, sizeof(in));
			return class_of_ipv4((unsigned char *) &in.sin_addr);
		case AF_INET6:
			memcpy(&in6, addr, sizeof(in6));
			return class_of_ipv6((unsigned char *) &in6.sin6_addr);
		default:
			return OSS_ADDRESS_UNUSABLE;
	}
}
