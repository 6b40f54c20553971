# Where requests may go, and what hostile input and hostile answers can do:
# addresses, redirects, proxies, injection, floods, nonsense.

use strict;
use warnings;

use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;

use lib 'test/perl';
use OssTest qw(literal);

my $proxy = 'http://127.0.0.1:' . OssTest::closed_port;
my $t = OssTest->new(
	env => { map { ($_ => $proxy, uc $_ => $proxy) } qw(http_proxy https_proxy all_proxy) });
my $oss = $t->{oss};

# ---- the environment's proxies ----

ok($t->detect->{rows}, 'http: proxies of the environment are ignored');
$t->server($t->https);
ok($t->detect->{rows}, 'https: proxies of the environment are ignored');

# ---- addresses, as names resolve to them ----

my @forbidden = (
	'169.254.0.1', '169.254.169.254', '100.100.100.200', '::ffff:169.254.169.254',
	'::ffff:100.100.100.200', '64:ff9b::6464:64c8', '2002:a9fe:a9fe::1', '::a9fe:a9fe',
	'fe80::1', 'fe80::1%lo', '0.0.0.0', '::', '224.0.0.1', 'ff02::1', '255.255.255.255');
$t->server(endpoint => 'https://inner.test:' . $oss->https_port, ca_file => $oss->ca_file,
	addressing => 'path', connect_timeout_ms => 300);
$t->fault;
for my $address (@forbidden)
{
	$t->names('inner.test' => $address);
	my $outcome = $t->detect;
	is($outcome->{sqlstate}, '42501', "$address: refused");
	like($outcome->{message}, qr/resolves to an address that requests may not go to/, "$address: says why");
}
$t->names('inner.test' => '169.254.169.254 100.100.100.200 fe80::1');
is($t->detect->{sqlstate}, '42501', 'several bad ones: refused');
$t->names('inner.test' => '100.100.100.200 127.0.0.1');
my $outcome = $t->detect;
is($outcome->{sqlstate}, '08001', 'a bad one and loopback: the latter is connected to');
like($outcome->{detail}, qr/127\.0\.0\.1/, 'and named');
for my $address ('100.64.0.1', '100.100.100.201', '10.1.2.3')
{
	$t->names('inner.test' => $address);
	is($t->detect->{sqlstate}, '08001', "$address: not refused, nobody there");
}
is($oss->count('requests_total'), 0, 'nothing was sent');
for my $host ('169.254.169.254', '[fe80::1]', '100.100.100.200', '[::ffff:100.100.100.200]')
{
	my ($out, $err) = $t->psql($t->server_sql(endpoint => "https://$host") . 'SET client_min_messages = error;' . OssTest::detect_sql());
	like($err, qr/ERROR:  (42501|22023)/, "endpoint https://$host: refused");
}
my ($out, $err) = $t->psql($t->server_sql(endpoint => 'http://oss.example.com'));
like($err, qr/ERROR:  22023.*endpoint/s, 'http beyond loopback: refused');
$t->names('localhost' => '10.1.2.3');
$t->server(endpoint => 'http://localhost:' . $oss->http_port);
ok($t->detect->{rows}, 'http to localhost: never asked of DNS');
$t->names;

# ---- redirects ----

$t->server;
for my $status (301, 302, 303, 307, 308)
{
	$t->fault(kind => 'redirect', status => $status, location => $oss->http_endpoint . '/examplebucket/photos/cat.png?x-oss-process=image/labels');
	my $redirected = $t->detect;
	is($redirected->{sqlstate}, '08P01', "status $status: an error");
	is($oss->count('requests_total'), 1, "status $status: not followed");
}

# ---- injection: what arrives is what was asked for, escaped ----

# Host, target of the last request.
sub last_request { return (split /\t/, (split /\n/, $oss->logged(1))[-1])[ 2, 3 ] }

my @hostile = (
	"a\r\nX-Injected: yes\r\n\r\n", "a HTTP/1.1\r\nHost: evil", 'a?x-oss-process=image/resize,w_1',
	'a&versionId=1', 'a#fragment', '../../../etc/passwd', './a', 'a/../b', 'a//b', 'a%2e%2e%2fb',
	'a%00b', "a\tb", "a'\";--", "a\x7fb", 'a b+c', '{a}[b]<c>', 'a\\b', 'user:pass@host', ':80/x', '?', '&x=y');
for my $key (@hostile)
{
	$t->fault;
	my $name = $key =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ger;
	my $refused = $t->detect($key, 'everykey');
	my ($host, $target) = last_request();
	my $escaped = join '/', map { s/([^A-Za-z0-9_.~-])/sprintf '%%%02X', ord $1/ger } split m{/}, $key, -1;
	is($target, "/everykey/$escaped?x-oss-process=image%2Flabels", "key $name: the target");
	is($host, '127.0.0.1:' . $oss->http_port, "key $name: the host");
	is($oss->count('requests_total'), 1, "key $name: one request");
	is($oss->count_key('everykey', $key), 1, "key $name: the object");
}
$t->fault;
for my $version ("1\r\nX: y", '1&x-oss-process=image/resize', '1#', "1\t2", '../x', "v\x{1}")
{
	$t->outcome(q{SELECT * FROM oss_labels.detect('everykey', 'a', version_id => } . literal($version) . ')');
}
unlike($oss->logged, qr/\r|X: y|[&?]x-oss-process=image\/resize|versionId=[^\t]*[&#]/, 'version_id is escaped or refused');
for my $bucket ("a\r\nb", 'a/b', 'a.b', 'a?b', 'evil.com#', 'a%2fb', 'ab', 'x' x 64, '-abc', 'abc-', 'ABC', "ab\xc3\xa9c", '..', '')
{
	$t->fault;
	is($t->detect('a', $bucket)->{sqlstate}, '22023', 'bucket ' . ($bucket =~ s/[^ -~]/./gr) . ': refused');
	is($oss->count('requests_total'), 0, 'without a request');
}
for my $option (
	[ region => "cn-hangzhou\r\nX: y" ], [ region => 'cn/hangzhou' ], [ region => 'oss-cn-hangzhou' ],
	[ product => "oss\r\nX: y" ], [ product => 'oss/x' ], [ endpoint => "https://a\r\nb" ],
	[ endpoint => 'https://user:password@host' ], [ endpoint => 'https://host/path' ],
	[ endpoint => 'https://host?x=y' ], [ endpoint => 'ftp://host' ], [ endpoint => 'file:///etc/passwd' ],
	[ endpoint => 'https://host:99999' ], [ timeout_ms => '1e3' ], [ timeout_ms => '0' ],
	[ max_attempts => '11' ], [ addressing => 'any' ], [ ca_file => 'relative.pem' ])
{
	my ($name, $value) = @$option;
	($out, $err) = $t->psql($t->server_sql(name => 'bad', $name => $value));
	like($err, qr/ERROR:  22023/, "server option $name: refused");
}
for my $option ([ access_key_id => "a\r\nb" ], [ access_key_secret => "a\nb" ], [ security_token => "a\r\nX: y" ])
{
	my ($name, $value) = @$option;
	($out, $err) = $t->psql($t->server_sql(name => 'bad',
		mapping => { access_key_id => 'a', access_key_secret => 'b', $name => $value }));
	like($err, qr/ERROR:  22023/, "mapping option $name: refused");
}
$t->psql('DROP SERVER IF EXISTS bad CASCADE');

# ---- answers that are none, or too much ----

my @nonsense = (
	[ '54000', kind => 'huge', bytes => 9_000_000 ], [ '54000', kind => 'headers', bytes => 200_000 ],
	[ '22000', kind => 'gzip' ], [ '22000', kind => 'nul' ], [ '22021', kind => 'utf8' ],
	[ '08P01', kind => 'garbage' ], [ '22000', kind => 'html' ], [ '22000', kind => 'image' ],
	[ '22000', kind => 'body', content => '' ],
	[ '22000', kind => 'body', content => '{"RequestId":"x","Code":"ResourceNotFound","Message":"m"}' ],
	[ '22000', kind => 'body', content => '[]' ], [ '22000', kind => 'body', content => 'null' ],
	[ '22000', kind => 'body', content => '{"Labels":[' . '[' x 100_000 . ']' x 100_000 . ']}' ],
	[ '22023', kind => 'body', status => 400, content => '<Error><Code>' . 'x' x 100_000 . '</Code></Error>' ],
	[ '22023', kind => 'body', status => 400, content => '<!DOCTYPE a [<!ENTITY b "c">]><Error><Code>&b;</Code></Error>' ],
	[ '22023', kind => 'body', status => 400, content => "<Error><Code>\xff\xfe</Code></Error>" ],
	[ '22000', kind => 'body', status => 206, content => '{"Labels":[]}' ],
	[ '22000', kind => 'raw', content => "HTTP/1.1 204 No Content\r\n\r\n" ]);
$t->server(max_attempts => 1);
for my $case (@nonsense)
{
	my ($sqlstate, %fault) = @$case;
	$t->fault(%fault);
	my $bad = $t->detect;
	is($bad->{sqlstate}, $sqlstate, join ' ', $fault{kind}, substr($fault{content} // '', 0, 40) =~ s/[^ -~]/?/gr);
	is($t->requests, 1, 'one request');
}
for my $bytes ("\xff\xfe", "caf\xe9", "a\x00b")
{
	$t->fault(kind => 'raw', content => "HTTP/1.1 404 Not Found\r\nx-oss-request-id: id$bytes\r\nx-oss-ec: 0026-$bytes\r\nContent-Length: 0\r\n\r\n");
	($out, $err) = $t->psql(q{SELECT request_id, error_message FROM oss_labels.try_detect('everykey', 'a')});
	like($out, $bytes =~ /\0/ ? qr/nul byte in header/i : qr/^id[?a-z]+\|.*EC 0026-/s, 'a header with strange bytes arrives');
	unlike($out . $err, qr/[^ -~\n]/, 'but they do not become text');
}

# ---- the cap is a setting ----

$t->fault(kind => 'labels', variant => 'many', bytes => 1000);
is($t->outcome(OssTest::detect_sql('a', 'everykey'))->{rows}, 1000, 'a thousand labels are below the cap');
($out, $err) = $t->psql("SET oss_labels.max_response_size = '16kB';" . OssTest::detect_sql('a', 'everykey'));
like($err, qr/ERROR:  54000/, 'but not below a lower one');

# ---- floods leave the session as it was ----

$t->fault(kind => 'huge', bytes => 300_000_000);
my $rss = "\\! awk '/^VmRSS/ {print \"rss\", \$2}' /proc/\$BACKEND/status\n";
my $call = OssTest::detect_sql() . ";\n";
($out) = $t->psql("SELECT pg_backend_pid() AS pid \\gset\n\\setenv BACKEND :pid\n" . $call x 2 . $rss . $call x 5 . $rss);
my @rss = $out =~ /^rss (\d+)$/mg;
if (OssServer::sizes_tell)
{
	cmp_ok($rss[1] - $rss[0], '<', 2000, 'floods leave no memory behind');
	cmp_ok($rss[1], '<', 120_000, 'and never had it all');
}

done_testing();
