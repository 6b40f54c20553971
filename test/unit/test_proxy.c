/*-------------------------------------------------------------------------
 * test_proxy.c
 *	  URLs of proxies, and classes of hosts.
 *-------------------------------------------------------------------------
 */
#include "protocol/uri.h"
#include "tap.h"
#include "scarce.h"

/* Proxies, and what is said of others. */
static void
check_proxies(void)
{
	static const char *const good[][2] = {
		{"http://proxy.example.com:3128", "http://proxy.example.com:3128"},
		{"HTTPS://Proxy.Example.COM.:443/", "https://proxy.example.com:443"},
		{"http://127.0.0.1:80", "http://127.0.0.1:80"},
		{"http://10.1.2.3:65535", "http://10.1.2.3:65535"},
		{"https://[2001:DB8::1]:1", "https://[2001:db8::1]:1"},
	};
	static const char *const bad[][2] = {
		{"", "begins"}, {"proxy.example.com:3128", "begins"}, {"//a:1", "begins"},
		{"socks5://a:1080", "begins"}, {"ftp://a:21", "begins"}, {"://a:1", "begins"},
		{"http://a", "has a port"}, {"http://a/", "has a port"},
		{"http://a:0", "number"}, {"http://a:65536", "number"}, {"http://a:x", "number"},
		{"http://a:", "number"}, {"http://u:p@a:1", "user mapping"},
		{"http://u@a:1", "user mapping"}, {"http://a:1/path", "path"},
		{"http://a:1?x", "path"}, {"http://a:1#x", "path"}, {"http://a:1\\x", "path"},
		{"http://:1", "host"}, {"http://a b:1", "host"}, {"http://a_b:1", "host"},
		{"http://0x7f.1:1", "host"}, {"http://2130706433:1", "host"},
		{"http://::1:1", "host"}, {"http://[::1:1", "host"}, {"http://[fe80::1%25a]:1", "host"},
		{"http://169.254.169.254:80", "address"}, {"http://100.100.100.200:80", "address"},
		{"http://[fe80::1]:80", "address"}, {"http://[::ffff:169.254.0.1]:80", "address"},
		{"http://0.0.0.0:80", "address"}, {"http://[ff02::1]:80", "address"},
	};
	OssEndpoint proxy;
	OssText		url = {0};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
	{
		ok(oss_proxy_parse(good[i][0], &proxy) == NULL, "proxy %s", good[i][0]);
		oss_text_reset(&url);
		oss_proxy_url(&url, &proxy);
		ok(strcmp(url.data, good[i][1]) == 0, "  is %s", url.data);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		const char *problem = oss_proxy_parse(bad[i][0], &proxy);

		ok(problem != NULL && strstr(problem, bad[i][1]) != NULL, "no proxy %s: %s",
		   bad[i][0], problem ? problem : "accepted");
	}
	oss_text_free(&url);
}

/* What can be told of a URL's host before it is resolved. */
static void
check_host_classes(void)
{
	static const struct
	{
		const char *host;
		OssAddressClass class;
	}			hosts[] = {
		{"oss-cn-hangzhou.aliyuncs.com", OSS_ADDRESS_ORDINARY},
		{"8.8.8.8", OSS_ADDRESS_ORDINARY}, {"10.0.0.1", OSS_ADDRESS_PRIVATE},
		{"localhost", OSS_ADDRESS_LOOPBACK}, {"B.LocalHost.", OSS_ADDRESS_LOOPBACK},
		{"127.9.9.9", OSS_ADDRESS_LOOPBACK}, {"[::1]", OSS_ADDRESS_LOOPBACK},
		{"::1", OSS_ADDRESS_LOOPBACK}, {"notlocalhost", OSS_ADDRESS_ORDINARY},
		{"169.254.169.254", OSS_ADDRESS_LINK_LOCAL}, {"169.254.169.254.", OSS_ADDRESS_LINK_LOCAL},
		{"[fe80::1%25eth0]", OSS_ADDRESS_LINK_LOCAL}, {"[::ffff:a9fe:a9fe]", OSS_ADDRESS_LINK_LOCAL},
		{"100.100.100.200", OSS_ADDRESS_METADATA},
		{"2852039166", OSS_ADDRESS_UNUSABLE}, {"0xa9fea9fe", OSS_ADDRESS_UNUSABLE},
		{"169.254.43518", OSS_ADDRESS_UNUSABLE}, {"0.0.0.0", OSS_ADDRESS_UNUSABLE},
	};

	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
		ok(oss_host_class(hosts[i].host) == hosts[i].class, "class of host %s", hosts[i].host);
}

int
main(void)
{
	check_proxies();
	check_host_classes();
	return tap_done();
}
