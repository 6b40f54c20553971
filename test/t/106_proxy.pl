# Requests through a proxy: a real one, if tinyproxy is there, and one that
# refuses, hangs in each phase, answers what is no answer, or ends in the middle.
# What fails names the proxy, is no paid request, and shows no password; what is
# kept is used for its own mapping alone.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time sleep);

use lib 'test/perl';
use CredentialServer;
use HttpProxy;
use OssTest qw(literal);

my $PASSWORD = 'pr0xy-PaSsWoRd-of-the-test';
my $OTHER = 'oTheR-pr0xy-PaSsWoRd';
my $at_once = 0.2 * OssServer::patience();

# The environment is to be ignored, both what names a proxy and what excludes one.
my $nobody = 'http://127.0.0.1:' . OssTest::closed_port;
my $t = OssTest->new(
	env => { (map { ($_ => $nobody) } qw(http_proxy https_proxy ALL_PROXY all_proxy HTTPS_PROXY)),
		NO_PROXY => '*', no_proxy => '*' },
	conf => "log_statement = none\nlog_min_error_statement = panic\nlog_min_duration_statement = -1\n"
	  . "oss_labels.server = 'oss'\n");
my $oss = $t->{oss};
my $node = $t->{node};
my %key = (access_key_id => 'testid', access_key_secret => 'testsecret');
my $credentials = CredentialServer->new;
$node->append_conf('postgresql.conf', "log_min_messages = debug5\noss_labels.metadata_endpoint = '" . $credentials->url . "'\n");
$node->reload;
my $log_begin = -s $node->logfile;

my $proxy = HttpProxy->new;
my %via = ($t->https, proxy => $proxy->url);
my $labels = OssTest::detect_sql();

# ---- without a proxy ----

$t->server($t->https);
is($t->detect->{rows}, 2, 'the environment names no proxy');

# ---- through one ----

$t->server(%via);
is($t->detect->{rows}, 2, 'labels through a proxy');
my $heads = $proxy->heads;
like($heads, qr/^CONNECT 127\.0\.0\.1:${\$oss->https_port} HTTP\/1\.1\r\n/, 'which is asked for a tunnel, whatever NO_PROXY says');
unlike($heads, qr/^(Authorization|x-oss-\S+|Proxy-Authorization):|OSS4-HMAC/mi, 'and shown nothing of the request');
$proxy->forget;
$t->ok("$labels;\n" x 5);
is($proxy->asked, 1, 'a session keeps its tunnel');
$t->ok(q{SELECT key FROM oss_labels.list_objects('examplebucket'); SELECT * FROM oss_labels.object_info('examplebucket', 'example.jpg')});
is($proxy->asked, 2, 'listings and HEAD go through it too');
my $url = $t->ok(q{SELECT oss_labels.presign('examplebucket', 'example.jpg')});
like($url, qr/^https:\/\/127\.0\.0\.1:${\$oss->https_port}\//, 'presign gives the URL of OSS');
is($proxy->asked, 2, 'and asks nobody');
my %named = (proxy => $proxy->url, ca_file => $oss->ca_file, max_attempts => 1);
$t->server(%named, endpoint => 'https://localhost:' . $oss->https_port, addressing => 'path');
is($t->detect->{rows}, 2, 'path addressing');
$t->server(%named, endpoint => 'https://{bucket}.localhost:' . $oss->https_port);
$t->detect;
like($proxy->heads, qr/^CONNECT examplebucket\.localhost:\d+ /m, 'a host of the bucket is what the proxy is asked for');
$t->server(%named, endpoint => 'https://no-such-name.invalid:' . $oss->https_port);
$proxy->forget;
like($t->detect->{message}, qr/certificate that came through the proxy was refused/, 'a name is resolved by the proxy; TLS is with the endpoint');
like($proxy->heads, qr/^CONNECT examplebucket\.no-such-name\.invalid:/, 'as it was asked for');
$t->server(%via, ca_file => '/nowhere/ca.pem', max_attempts => 1);
my $unread = $t->detect;
like($unread->{detail}, qr/a file of CA certificates \(ca_file, proxy_ca_file\) cannot be read/, 'a CA file that is not there');
unlike($unread->{detail}, qr{/\.}, 'whose name is not shown with the mark of the mapping');
$t->server(proxy => $proxy->url);
$proxy->forget;
is($t->detect->{rows}, 2, 'plain http on loopback');
is($proxy->asked, 1, 'in a tunnel as well');

# ---- a real one ----

SKIP:
{
	my $tinyproxy = (grep { -x } '/usr/bin/tinyproxy', '/usr/sbin/tinyproxy')[0];
	skip 'there is no tinyproxy', 6 unless $tinyproxy;
	my $port = OssTest::closed_port;
	my $dir = PostgreSQL::Test::Utils::tempdir;
	append_to_file("$dir/tinyproxy.conf", "Port $port\nListen 127.0.0.1\nTimeout 60\nBasicAuth app $PASSWORD\nConnectPort "
		  . $oss->https_port . "\nLogFile \"$dir/tinyproxy.log\"\nLogLevel Info\n");
	my $real = IPC::Run::start([ $tinyproxy, '-d', '-c', "$dir/tinyproxy.conf" ], '<', '/dev/null', '>', '/dev/null', '2>', '/dev/null');
	$t->wait_for('tinyproxy', sub { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) });
	my %real = ($t->https, proxy => "http://127.0.0.1:$port");
	my %user = (proxy_user => 'app', proxy_password => $PASSWORD);
	$t->server(%real, mapping => { %key, %user });
	is($t->detect->{rows}, 2, 'tinyproxy: labels');
	is($t->ok(q{SELECT count(*) > 20, count(error_code) FROM generate_series(1, 20) i, oss_labels.try_detect('everykey', 'k' || i)}), 't|0', 'tinyproxy: many at a time');
	is($t->ok(q{SELECT bool_and(ok) FROM oss_labels.check_server('oss', 'examplebucket', 'example.jpg')}), 't', 'tinyproxy: check_server');
	$t->server(%real, mapping => { %key, %user, proxy_password => 'wrong' });
	is($t->detect->{sqlstate}, '28000', 'tinyproxy: a wrong password');
	$t->server(%real, mapping => {%key});
	like($t->detect->{message}, qr/proxy does not accept the user and password/, 'tinyproxy: none');
	$t->server(%real, endpoint => 'https://127.0.0.1:' . $t->port_of('EXPIRED'), mapping => { %key, %user });
	is($t->detect->{sqlstate}, '08004', 'tinyproxy: a port that it refuses');
	$real->kill_kill;
}

# ---- a hostile one ----

my $requests = $oss->count('requests_total');
my $usage = q{SELECT coalesce(sum(requests), 0) FROM oss_labels.usage};
my $counted = $t->ok($usage);
my $oss_error = '<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>no</Message><EC>0003-00000001</EC></Error>';
my %short = (%via, connect_timeout_ms => 400, max_attempts => 2);
$t->server(%via, connect_timeout_ms => 5000, max_attempts => 2);
my @hostile = (
	# name, behaviour, SQLSTATE, message, how often it is asked
	[ 'refuses', { answer => "HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nnope" }, '08004', qr/the proxy refuses the connection/, 1 ],
	[ "refuses with OSS's words", { answer => "HTTP/1.1 403 Forbidden\r\nx-oss-request-id: 1\r\nx-oss-ec: 0003-00000001\r\nContent-Length: "
			  . length($oss_error) . "\r\n\r\n$oss_error" }, '08004', qr/the proxy refuses the connection/, 1 ],
	[ 'redirects', { answer => "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n" }, '08004', qr/proxy refuses/, 1 ],
	[ 'asks for a password', { password => 'x:y' }, '28000', qr/proxy does not accept the user and password/, 1 ],
	[ 'asks for one by NTLM', { answer => "HTTP/1.1 407 No\r\nProxy-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n" }, '28000', qr/proxy does not accept/, 1 ],
	[ 'cannot connect', { answer => "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n" }, '08001', qr/proxy could not make the connection/, 2 ],
	[ 'is asked too often', { answer => "HTTP/1.1 429 Slow\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n" }, '08001', qr/proxy could not make/, 2 ],
	[ 'closes', { answer => '' }, '08001', qr/proxy closed the connection before it had answered/, 2 ],
	[ 'closes in the middle', { answer => "HTTP/1.1 200 OK\r\nVia: x" }, '08P01', qr/proxy's answer is not that of an HTTP proxy/, 2 ],
	[ 'answers HTML', { answer => "<html>\r\n\r\n<body>Log in</body></html>" }, '08P01', qr/proxy's answer is not that/, 2 ],
	[ 'answers 200 and HTML', { answer => "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html><body>Log in</body></html>" }, '08001', qr/TLS handshake through the proxy failed/, 2 ],
	[ 'is no HTTP server', { greeting => "SSH-2.0-OpenSSH_9.2\r\n" }, undef, qr/proxy/, 2 ],
	[ 'floods with headers', { flood => 1 }, '08P01', qr/proxy's answer is not that/, 2 ],
	[ 'sends one line without an end', { answer => 'HTTP/1.1 200 OK' . 'x' x 200_000 }, '08001', qr/proxy closed the connection before it had answered/, 2 ],
	[ 'ends TLS in the middle', { cut => 100 }, '08001', qr/TLS handshake through the proxy failed/, 2 ],
	[ 'is silent', { silent => 1 }, '08001', qr/timed out before the proxy had made a connection/, 2 ],
	[ 'drips', { drip => "HTTP/1.1 200 OK\r\nX: " }, '08001', qr/timed out before the proxy/, 2 ],
	[ 'is silent within a refusal', { answer => "HTTP/1.1 403 No\r\nContent-Length: 10\r\n\r\n", hold => 1 }, '08004', qr/proxy refuses/, 1 ],
	[ 'is silent after 200', { answer => "HTTP/1.1 200 OK\r\n\r\n", hold => 1 }, '08001', qr/timed out before the proxy/, 2 ]);
for my $case (@hostile)
{
	my ($name, $how, $state, $message, $asked) = @$case;
	$proxy->behave(%$how);
	$t->ok("ALTER SERVER oss OPTIONS (SET connect_timeout_ms '400')") if $name eq 'is silent';
	my $begun = time;
	my $outcome = $t->detect;
	my $took = time - $begun;
	is($outcome->{sqlstate}, $state // $outcome->{sqlstate}, "$name: " . ($state // 'an error'));
	like($outcome->{message}, $message, "$name: says so");
	like($outcome->{detail}, qr/through proxy \Q$via{proxy}\E/, "$name: names the proxy");
	like($outcome->{hint}, qr/proxy/, "$name: says what to do");
	unlike("@{$outcome}{qw(message detail)}", qr/AccessDenied|0003-|access denied/, "$name: not OSS's refusal");
	is($proxy->asked, $asked, "$name: tried as often as makes sense") unless $how->{greeting};
	cmp_ok($took, '<', 5 * OssServer::patience(), sprintf "%s: in %.1f s", $name, $took);
	my ($row) = grep { /^proxy\||^tls\|/ } grep { /\|f\|/ } split /\n/, ($t->psql(q{SELECT * FROM oss_labels.check_server('oss')}))[0];
	like($row // '', qr/proxy/, "$name: check_server says it");
}
my %dead = (
	'nobody listens' => [ "http://127.0.0.1:" . OssTest::closed_port, qr/could not connect to the proxy/ ],
	'packets dropped' => [ 'http://127.0.0.1:' . $t->full_port, qr/timed out before the proxy/ ],
	'no such name' => [ 'http://unknown.test:3128', qr/proxy's name could not be resolved/ ],
	'silent DNS' => [ 'http://silent.test:3128', qr/timed out before the proxy/ ],
	'no TLS' => [ 'https://127.0.0.1:' . $oss->http_port, qr/TLS handshake with the proxy failed/ ],
	'mute TLS' => [ 'https://127.0.0.1:' . $t->mute_port, qr/timed out before the proxy/ ],
	'link-local' => [ 'http://inner.test:3128', qr/the proxy is at an address that requests may not go to/, '42501' ]);
$t->names('unknown.test' => 'unknown', 'silent.test' => 'silent', 'inner.test' => '169.254.169.254', 'far.test' => '127.0.0.1');

# a proxy elsewhere is not asked for loopback, so the endpoint is a name
my %far = (endpoint => 'https://far.test:' . $oss->https_port, ca_file => $oss->ca_file, addressing => 'path');
for my $name (sort keys %dead)
{
	my ($at, $message, $state) = @{ $dead{$name} };
	$t->server(%short, %far, proxy => $at);
	my $outcome = $t->detect;
	is($outcome->{sqlstate}, $state // '08001', "$name: " . ($state // '08001'));
	like($outcome->{message}, $message, "$name: says so");
	like($outcome->{detail}, qr/through proxy \Q$at\E/, "$name: names the proxy");
}
$t->server(%via, proxy => 'https://127.0.0.1:' . $t->port_of('EXPIRED'), proxy_ca_file => $oss->ca_file);
like($t->detect->{message}, qr/the proxy's certificate was refused/, "an https proxy's certificate is verified");
is($oss->count('requests_total'), $requests, 'nothing was sent to OSS');
$t->server(%via, proxy => 'https://127.0.0.1:' . $oss->https_port, proxy_ca_file => $oss->ca_file, max_attempts => 1);
like($t->detect->{message}, qr/the proxy/, 'with proxy_ca_file it is accepted, and what answers is no proxy');
is($t->ok($usage), $counted, 'none of them counts as a request');

# ---- not through the proxy ----

$t->server(%short, %far, endpoint => 'https://169.254.169.254', proxy => $proxy->url);
$proxy->behave;
my $outcome = $t->detect;
is_deeply([ $outcome->{sqlstate}, $proxy->asked ], [ '42501', 0 ], 'no proxy is asked for a link-local address');
for my $host ('100.100.100.200', '[::ffff:169.254.169.254]', '[64:ff9b::a9fe:a9fe]', '[fe80::1]', '0.0.0.0')
{
	$t->server(%short, endpoint => "https://$host", proxy => $proxy->url, addressing => 'path');
	is_deeply([ $t->detect->{sqlstate}, $proxy->asked ], [ '42501', 0 ], "nor for $host");
}
$t->server($t->https, proxy => 'http://unknown.test:3128');
is($t->detect->{rows}, 2, 'a proxy elsewhere is not asked for loopback');
my ($row) = grep { /^proxy/ } split /\n/, $t->ok(q{SELECT * FROM oss_labels.check_server('oss')});
like($row, qr/\|t\|not used for 127\.0\.0\.1/, 'and check_server says so');

# ---- sources of keys ----

$oss->control('/credential?id=STS.one&secret=onesecret&token=onetoken');
$credentials->issue(id => 'STS.one', secret => 'onesecret', token => 'onetoken', lifetime => 3600);
my $token_file = PostgreSQL::Test::Utils::tempdir . '/token';
append_to_file($token_file, 'oidc.token.of.the.test');
my %source = (
	sts => { credential_source => 'oidc', role_arn => 'acs:ram::1:role/r', oidc_provider_arn => 'acs:ram::1:oidc-provider/p',
		oidc_token_file => $token_file, sts_endpoint => $credentials->url },
	uri => { credential_source => 'credentials_uri', credentials_uri => $credentials->url . '/credentials' },
	key => { credential_source => 'ecs_ram_role', role_name => 'TestRole' });
my $on = 'CONNECT 127\.0\.0\.1:' . $credentials->port . ' ';
for my $kind (sort keys %source)
{
	$proxy->behave(password => "app:$PASSWORD");
	$t->server(%via, mapping => { %{ $source{$kind} }, proxy_user => 'app', proxy_password => $PASSWORD });
	is($t->detect->{rows}, 2, "$kind: labels");
	my $through = () = $proxy->heads =~ /^$on/mg;
	is($through, $kind eq 'key' ? 0 : 1, $kind eq 'key' ? 'the metadata service is asked directly' : "$kind: asked through the proxy");
	next if $kind eq 'key';
	unlike($credentials->last_request($kind), qr/Proxy-Auth|\Q$PASSWORD\E/i, "$kind: and not shown the proxy's password");
	for my $bad ([ { answer => "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n" }, qr/through proxy \S+ failed: the proxy refuses the connection, HTTP status 403/ ],
		[ { answer => '' }, qr/through proxy \S+ failed: the proxy closed/ ], [ { password => 'x:y' }, qr/the proxy does not accept/ ])
	{
		$proxy->behave(%{ $bad->[0] });
		$t->server(%via, mapping => { %{ $source{$kind} }, proxy_user => 'app', proxy_password => $PASSWORD });
		$outcome = $t->detect;
		is($outcome->{sqlstate}, '28000', "$kind: no key through it");
		like($outcome->{detail}, $bad->[1], "$kind: because of the proxy");
	}

	# within the second for which a failure is remembered
	$proxy->behave;
	my $other = HttpProxy->new;
	is($t->ok("ALTER SERVER oss OPTIONS (SET proxy '" . $other->url . "'); SELECT count(*) FROM ($labels) q"), '2', "$kind: another proxy is used at once");
	cmp_ok($other->asked, '>=', 2, "$kind: for key and labels");
}

# ---- whose tunnel ----

my $second = HttpProxy->new;
$proxy->behave(password => "app:$PASSWORD");
$second->behave;
$t->server(%via, mapping => { %key, proxy_user => 'app', proxy_password => $PASSWORD });
$t->ok($t->server_sql(name => 'second', %via, proxy => $second->url));
$t->ok("CREATE ROLE other LOGIN; GRANT USAGE ON FOREIGN SERVER oss TO other; GRANT USAGE ON SCHEMA oss_labels TO other;"
	  . "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA oss_labels TO other;"
	  . "CREATE USER MAPPING FOR other SERVER oss OPTIONS (access_key_id 'testid', access_key_secret 'testsecret', proxy_user 'app', proxy_password '$OTHER');");
my ($out, $err) = $t->psql("SELECT count(*) FROM ($labels) q; SET ROLE other; $labels; RESET ROLE; SELECT count(*) FROM ($labels) q;"
	  . "SELECT count(*) FROM oss_labels.detect('examplebucket', 'example.jpg', server => 'second');");
like($err, qr/28000: .*the proxy does not accept/, "another role's password is its own, also where a tunnel is open");
is(($out =~ s/\s+/ /gr), '2 2 2', 'the first goes on with its tunnel, and the second server has its own');
is($second->asked, 1, 'which its proxy made');
my @shown = $proxy->heads =~ /^Proxy-Authorization: Basic (\S+)/mg;
is_deeply([ map { MIME::Base64::decode_base64($_) } @shown ], [ "app:$PASSWORD", "app:$OTHER" ], 'each with its password');
$proxy->behave;
$t->ok("ALTER USER MAPPING FOR other SERVER oss OPTIONS (SET proxy_password 'third')");
$t->ok("$labels; SET ROLE other; $labels; $labels; RESET ROLE; $labels");
is($proxy->asked, 2, 'a proxy that takes any password: two tunnels for two roles in one session');

# plain http has no certificate that could tell tunnels apart
$t->server(proxy => $proxy->url, mapping => { %key, proxy_user => 'app', proxy_password => $PASSWORD });
$proxy->forget;
$t->ok("$labels;\n" x 3);
is($proxy->asked, 3, 'plain http: a tunnel for each request');

# ---- altered ----

$t->server(%via);
$proxy->forget;
$second->forget;
$t->ok("$labels; ALTER SERVER oss OPTIONS (SET proxy '" . $second->url . "'); $labels; ALTER SERVER oss OPTIONS (DROP proxy); $labels");
is($proxy->asked . $second->asked, '11', 'an altered option counts at once');

# ---- cancel ----

my %slow = (connect_timeout_ms => 60000, timeout_ms => 60000, max_attempts => 1);
my %phase = (
	'the name' => { %far, proxy => 'http://silent.test:3128' },
	'connecting' => { proxy => 'http://127.0.0.1:' . $t->full_port },
	'TLS with the proxy' => { proxy => 'https://127.0.0.1:' . $t->mute_port },
	'CONNECT' => {}, 'headers' => {}, 'TLS' => {});
my %behaves = (CONNECT => { silent => 1 }, headers => { drip => "HTTP/1.1 200 OK\r\nX: " }, TLS => { answer => "HTTP/1.1 200 OK\r\n\r\n", hold => 1 });
for my $phase (sort keys %phase)
{
	$t->server(%via, %slow, %{ $phase{$phase} });
	$proxy->behave(%{ $behaves{$phase} // {} });
	my $run = $t->begin("$labels;\nSELECT 'usable';\n");
	my $waits = q{SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Extension' AND query LIKE '%oss_labels.detect%' AND pid <> pg_backend_pid()};
	$t->wait_for($phase, sub { $node->safe_psql('postgres', $waits) ne '' });
	$t->wait_for("$phase: the proxy", sub { $proxy->asked }) if $behaves{$phase};
	my $pid = $node->safe_psql('postgres', $waits);
	$t->mark($run);
	kill 'INT', $pid;
	my ($said, $errors, $took) = $t->finish($run);
	like($errors, qr/57014/, "cancelled: $phase");
	like($said, qr/usable/, "and the session goes on: $phase");
	cmp_ok($took, '<', $at_once + 0.1, sprintf '%s: %.0f ms', $phase, 1000 * $took);
}

# ---- the queue ----

$t->server(%via, max_attempts => 1, mapping => { %key, proxy_user => 'app', proxy_password => $PASSWORD });
my $process = 'CALL oss_labels.process_queue()';
my $sent = $oss->count('label_requests');
my %pause = (
	server => [ { answer => "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n" }, 't||t' ],
	requester => [ { password => 'x:y' }, 't|t|' ]);
$t->ok(q{SELECT oss_labels.enqueue('everykey', 'queued' || g) FROM generate_series(1, 100) g});
for my $scope (qw(server requester))
{
	$proxy->behave(%{ $pause{$scope}[0] });
	$t->psql($process);
	is($t->ok(q{SELECT count(*) > 0, string_agg(DISTINCT CASE WHEN requester IS NOT NULL THEN 't' END, ''),
		string_agg(DISTINCT CASE WHEN requester IS NULL THEN 't' END, '') FROM oss_labels.active_pause WHERE bucket IS NULL}),
		$pause{$scope}[1], "a refusal pauses the $scope");
	cmp_ok($proxy->asked, '<=', 40, 'after few CONNECTs');
	is($t->ok('SELECT count(*) FROM oss_labels.failed_job'), '0', 'and fails no job');
	$t->ok(q{SELECT oss_labels.resume('oss')});
}
is($oss->count('label_requests'), $sent, 'nothing was sent');
$proxy->behave;
$t->psql($process);
is($t->ok('SELECT count(*) FROM oss_labels.job'), '0', 'then the jobs are done');
is($oss->count('label_requests') - $sent, 100, 'with a request each');

# ---- who may set it, and what is refused ----

$t->ok('CREATE ROLE chooser; GRANT USAGE ON FOREIGN DATA WRAPPER oss_labels TO chooser');
for my $option ("proxy 'http://127.0.0.1:3128'", "proxy_ca_file '/etc/passwd'")
{
	my $name = $option =~ s/ .*//r;
	($out, $err) = $t->psql("SET ROLE chooser; CREATE SERVER mine FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', $option)");
	like($err, qr/ERROR:  42501: permission denied to set option "$name"/, "$name: for superusers");
	($out, $err) = $t->psql("SET ROLE chooser; CREATE SERVER mine FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou'); ALTER SERVER mine OPTIONS (ADD $option)");
	like($err, qr/ERROR:  42501: permission denied to set option "$name"/, "$name: ALTER SERVER too");
	$t->ok('DROP SERVER mine');
}
$t->ok('ALTER SERVER oss OWNER TO chooser');
is($t->detect->{sqlstate}, '42501', 'a proxy is not used for an owner who is no superuser');
$t->ok('ALTER SERVER oss OWNER TO CURRENT_USER');
for my $bad ('proxy.example.com:3128', 'socks5://127.0.0.1:1080', 'http://proxy.example.com', 'http://app:sEcReT@proxy.example.com:3128',
	'http://proxy.example.com:3128/path', 'http://proxy.example.com:0', 'http://proxy.example.com:99999', 'http://169.254.169.254:80',
	'http://[fe80::1]:3128', 'http://0x7f.1:3128', 'http://2852039166:80', 'http://100.100.100.200:80', 'http://:3128', '', "http://a\r\nb:1")
{
	($out, $err) = $t->psql('ALTER SERVER oss OPTIONS (SET proxy ' . literal($bad) . ')');
	like($err, qr/ERROR:  22023: invalid value for option "proxy"/, 'no proxy: ' . ($bad =~ s/[^ -~]/?/gr));
	like($err, qr/HINT:.*proxy/, 'with a hint');
	unlike($err =~ s/^LINE \d+:.*\n.*//mgr, qr/sEcReT/, 'and without a password');
}
for my $bad ("proxy_user 'a:b'", "proxy_user ''", "proxy_user 'a', proxy_password E'$PASSWORD\\n'", "proxy_password '$PASSWORD'")
{
	($out, $err) = $t->psql("CREATE USER MAPPING FOR chooser SERVER oss OPTIONS (access_key_id 'a', access_key_secret 'b', $bad)");
	like($err, qr/ERROR:  22023: /, 'a bad mapping: ' . ($bad =~ s/\Q$PASSWORD\E/.../r));
	unlike($err =~ s/^LINE \d+:.*\n.*//mgr, qr/\Q$PASSWORD\E/, 'without its value');
	$t->{shown} =~ s/^LINE \d+:.*\n.*//mg;
}

# ---- nobody shows the password ----

$t->ok('EXPLAIN (VERBOSE, ANALYZE) ' . $labels);
$t->psql("SET client_min_messages = debug5; SELECT * FROM oss_labels.check_server('oss', 'examplebucket', 'example.jpg')");
my ($public) = $t->psql('SET ROLE chooser; SELECT * FROM pg_user_mappings; SELECT * FROM pg_foreign_server; SELECT a::text FROM pg_stat_activity a');
like($public, qr/oss/, 'others see that there is a mapping');
my $log = substr slurp_file($node->logfile), $log_begin;
cmp_ok(length $log, '>', 50_000, 'the log has a lot');
my $basic = MIME::Base64::encode_base64("app:$PASSWORD", '');
for my $place ([ 'the log', $log ], [ 'what was shown', $t->{shown} ], [ 'what others can read', $public ])
{
	unlike($place->[1], qr/\Q$PASSWORD\E|\Q$OTHER\E|\Q$basic\E/, "no password in $place->[0]");
}
my $dump = PostgreSQL::Test::Utils::tempdir . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, $node->connstr('postgres') ], 'pg_dump');
like(slurp_file($dump), qr/proxy_password '\Q$PASSWORD\E'/, 'which keeps the mapping as it is, for superusers');

done_testing();
