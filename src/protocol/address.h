/*-------------------------------------------------------------------------
 * address.h
 *	  Which network addresses a request may be sent to.
 *
 * Ground floor: no PostgreSQL, no curl.  Rules: README.md 4.5.
 *-------------------------------------------------------------------------
 */
#ifndef OSS_ADDRESS_H
#define OSS_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

typedef enum OssAddressClass
{
	OSS_ADDRESS_ORDINARY,		/* public, private and 100.64.0.0/10 ones */
	OSS_ADDRESS_LOOPBACK,		/* 127.0.0.0/8, ::1 */
	OSS_ADDRESS_LINK_LOCAL,		/* 169.254.0.0/16, fe80::/10 */
	OSS_ADDRESS_METADATA,		/* 100.100.100.200 */
	OSS_ADDRESS_UNUSABLE		/* 0.0.0.0/8, ::, multicast, reserved and
								 * broadcast ones, unknown family */
} OssAddressClass;

/*
 * Classify an address; IPv4-mapped, -compatible, -translated, 6to4 and NAT64
 * (64:ff9b::/96) forms of an IPv4 address count as the address they carry.
 * addr is a whole sockaddr_in or sockaddr_in6 when its family says so.
 */
extern OssAddressClass oss_address_class(const struct sockaddr *addr);

#endif							/* OSS_ADDRESS_H */
