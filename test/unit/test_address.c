/*-------------------------------------------------------------------------
 * test_address.c
 *	  The classes of network addresses.
 *-------------------------------------------------------------------------
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "protocol/address.h"
#include "tap.h"
#include "scarce.h"

typedef struct Case
{
	const char *text;
	OssAddressClass want;
} Case;

static const Case cases[] = {
	/* public, private, and OSS's internal endpoints */
	{"1.1.1.1", OSS_ADDRESS_ORDINARY},
	{"10.0.0.1", OSS_ADDRESS_PRIVATE},
	{"172.16.0.1", OSS_ADDRESS_PRIVATE},
	{"192.168.0.1", OSS_ADDRESS_PRIVATE},
	{"100.64.0.0", OSS_ADDRESS_PRIVATE},
	{"100.100.100.199", OSS_ADDRESS_PRIVATE},
	{"100.100.100.201", OSS_ADDRESS_PRIVATE},
	{"100.100.101.200", OSS_ADDRESS_PRIVATE},
	{"100.127.255.255", OSS_ADDRESS_PRIVATE},
	{"126.255.255.255", OSS_ADDRESS_ORDINARY},
	{"128.0.0.0", OSS_ADDRESS_ORDINARY},
	{"169.253.255.255", OSS_ADDRESS_ORDINARY},
	{"169.255.0.0", OSS_ADDRESS_ORDINARY},
	{"168.254.0.1", OSS_ADDRESS_ORDINARY},
	{"223.255.255.255", OSS_ADDRESS_ORDINARY},
	{"2400:3200::1", OSS_ADDRESS_ORDINARY},
	{"fd00::1", OSS_ADDRESS_PRIVATE},
	{"::ffff:8.8.8.8", OSS_ADDRESS_ORDINARY},
	{"::ffff:100.64.0.1", OSS_ADDRESS_PRIVATE},
	{"fe00::1", OSS_ADDRESS_ORDINARY},
	{"fec0::1", OSS_ADDRESS_ORDINARY},
	{"1::7f00:1", OSS_ADDRESS_ORDINARY},

	/* private ones to their ends, and embedded */
	{"10.255.255.255", OSS_ADDRESS_PRIVATE},
	{"9.255.255.255", OSS_ADDRESS_ORDINARY},
	{"11.0.0.0", OSS_ADDRESS_ORDINARY},
	{"172.31.255.255", OSS_ADDRESS_PRIVATE},
	{"172.15.255.255", OSS_ADDRESS_ORDINARY},
	{"172.32.0.0", OSS_ADDRESS_ORDINARY},
	{"192.167.255.255", OSS_ADDRESS_ORDINARY},
	{"192.169.0.0", OSS_ADDRESS_ORDINARY},
	{"100.63.255.255", OSS_ADDRESS_ORDINARY},
	{"100.128.0.0", OSS_ADDRESS_ORDINARY},
	{"fc00::", OSS_ADDRESS_PRIVATE},
	{"fdff:ffff::1", OSS_ADDRESS_PRIVATE},
	{"fbff::1", OSS_ADDRESS_ORDINARY},
	{"::ffff:192.168.1.1", OSS_ADDRESS_PRIVATE},
	{"::192.168.1.1", OSS_ADDRESS_ORDINARY},
	{"64:ff9b::10.0.0.1", OSS_ADDRESS_ORDINARY},
	{"2002:a00:1::", OSS_ADDRESS_ORDINARY},

	/* metadata services of other clouds, in private networks */
	{"fd00:ec2::254", OSS_ADDRESS_METADATA},
	{"fd20:ce::254", OSS_ADDRESS_METADATA},
	{"fd00:c1::a9fe:a9fe", OSS_ADDRESS_METADATA},
	{"fd00:42::42", OSS_ADDRESS_METADATA},
	{"fd00:ec2::255", OSS_ADDRESS_PRIVATE},

	{"127.0.0.0", OSS_ADDRESS_LOOPBACK},
	{"127.0.0.1", OSS_ADDRESS_LOOPBACK},
	{"127.255.255.255", OSS_ADDRESS_LOOPBACK},
	{"::1", OSS_ADDRESS_LOOPBACK},
	{"::ffff:127.0.0.1", OSS_ADDRESS_LOOPBACK},
	{"::127.0.0.1", OSS_ADDRESS_LOOPBACK},

	{"169.254.0.0", OSS_ADDRESS_LINK_LOCAL},
	{"169.254.169.254", OSS_ADDRESS_LINK_LOCAL},
	{"169.254.255.255", OSS_ADDRESS_LINK_LOCAL},
	{"fe80::1", OSS_ADDRESS_LINK_LOCAL},
	{"febf:ffff::1", OSS_ADDRESS_LINK_LOCAL},
	{"::ffff:169.254.169.254", OSS_ADDRESS_LINK_LOCAL},
	{"::169.254.169.254", OSS_ADDRESS_LINK_LOCAL},
	{"::ffff:0:169.254.169.254", OSS_ADDRESS_LINK_LOCAL},
	{"64:ff9b::169.254.169.254", OSS_ADDRESS_LINK_LOCAL},
	{"2002:a9fe:a9fe::1", OSS_ADDRESS_LINK_LOCAL},

	{"100.100.100.200", OSS_ADDRESS_METADATA},
	{"::ffff:100.100.100.200", OSS_ADDRESS_METADATA},
	{"::100.100.100.200", OSS_ADDRESS_METADATA},
	{"::ffff:0:100.100.100.200", OSS_ADDRESS_METADATA},
	{"64:ff9b::100.100.100.200", OSS_ADDRESS_METADATA},
	{"2002:6464:64c8::", OSS_ADDRESS_METADATA},

	{"0.0.0.0", OSS_ADDRESS_UNUSABLE},
	{"0.1.2.3", OSS_ADDRESS_UNUSABLE},
	{"224.0.0.1", OSS_ADDRESS_UNUSABLE},
	{"239.255.255.255", OSS_ADDRESS_UNUSABLE},
	{"240.0.0.1", OSS_ADDRESS_UNUSABLE},
	{"255.255.255.255", OSS_ADDRESS_UNUSABLE},
	{"::", OSS_ADDRESS_UNUSABLE},
	{"::2", OSS_ADDRESS_UNUSABLE},
	{"ff02::1", OSS_ADDRESS_UNUSABLE},
	{"::ffff:0.0.0.0", OSS_ADDRESS_UNUSABLE},
	{"::ffff:224.0.0.1", OSS_ADDRESS_UNUSABLE},
};

/* Return the class of an address written as text. */
static OssAddressClass
class_of(const char *text)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};

	if (inet_pton(AF_INET, text, &in.sin_addr) == 1)
		return oss_address_class((struct sockaddr *) &in);
	if (inet_pton(AF_INET6, text, &in6.sin6_addr) == 1)
		return oss_address_class((struct sockaddr *) &in6);
	return (OssAddressClass) -1;
}

int
main(void)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct sockaddr none = {.sa_family = AF_UNSPEC};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		OssAddressClass got = class_of(cases[i].text);

		ok(got == cases[i].want, "%s is of class %d (got %d)",
		   cases[i].text, cases[i].want, got);
	}
	ok(oss_address_class((struct sockaddr *) &un) == OSS_ADDRESS_UNUSABLE,
	   "a local socket is unusable");
	ok(oss_address_class(&none) == OSS_ADDRESS_UNUSABLE,
	   "an address of no family is unusable");
	return tap_done();
}
