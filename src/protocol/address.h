/*-------------------------------------------------------------------------
 * address.h
 *	  Which network addresses a request may be sent to.
 *
 * Rules: README.md 4.5.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_ADDRESS_H
#define OSS_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

typedef enum OssAddressClass
{
	OSS_ADDRESS_ORDINARY,		/* public */
	OSS_ADDRESS_PRIVATE,		/* 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16,
								 * 100.64.0.0/10, fc00::/7 */
	OSS_ADDRESS_LOOPBACK,		/* 127.0.0.0/8, ::1 */
	OSS_ADDRESS_LINK_LOCAL,		/* 169.254.0.0/16, fe80::/10 */
	OSS_ADDRESS_METADATA,		/* 100.100.100.200; of other clouds, in
								 * fc00::/7 */
	OSS_ADDRESS_UNUSABLE		/* 0.0.0.0/8, ::, multicast, reserved,
								 * broadcast, or an unknown family */
} OssAddressClass;

/*
 * Classify an address.  An IPv6 address that embeds an IPv4 address (mapped,
 * compatible, translated, 6to4, NAT64 64:ff9b::/96) has the class of the
 * embedded address, but only the mapped one is private.  addr must be a
 * complete sockaddr_in or sockaddr_in6 if its family is AF_INET or AF_INET6.
 */
extern OssAddressClass oss_address_class(const struct sockaddr *addr);

#endif							/* OSS_ADDRESS_H */
