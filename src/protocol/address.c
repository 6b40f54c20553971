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

/*
 * Metadata services of clouds at unique local addresses, fd00::/8, which plain
 * http to private addresses must not reach.
 */
static const unsigned char metadata_ipv6[][16] = {
	{0xfd, 0, 0x0e, 0xc2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x54},
	{0xfd, 0x20, 0, 0xce, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0x54},
	{0xfd, 0, 0, 0xc1, 0, 0, 0, 0, 0, 0, 0, 0, 0xa9, 0xfe, 0xa9, 0xfe},
	{0xfd, 0, 0, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x42},
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
	if (a[0] == 10 || (a[0] == 172 && (a[1] & 0xf0) == 16) ||
		(a[0] == 192 && a[1] == 168) || (a[0] == 100 && (a[1] & 0xc0) == 64))
		return OSS_ADDRESS_PRIVATE;
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
		OssAddressClass class;

		if (memcmp(a, c->prefix, c->prefix_len) != 0)
			continue;
		class = class_of_ipv4(a + c->at);

		/* only the first carrier does not lead through other networks */
		return class == OSS_ADDRESS_PRIVATE && i > 0 ? OSS_ADDRESS_ORDINARY : class;
	}
	for (size_t i = 0; i < sizeof(metadata_ipv6) / sizeof(metadata_ipv6[0]); i++)
	{
		if (memcmp(a, metadata_ipv6[i], 16) == 0)
			return OSS_ADDRESS_METADATA;
	}
	return (a[0] & 0xfe) == 0xfc ? OSS_ADDRESS_PRIVATE : OSS_ADDRESS_ORDINARY;
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
