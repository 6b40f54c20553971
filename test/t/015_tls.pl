# TLS: which certificates are refused and what the error says, the least
# version, reuse of connections, sessions and the parsed CA store, and that
# verification has no switch.

use strict;
use warnings;

use IO::Socket::INET;
use IPC::Run ();
use POSIX ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

use lib 'test/perl';
use OssTest qw(literal);

# An OpenSSL that would itself speak every version: it is for us to refuse.
my $openssl_conf = PostgreSQL::Test::Utils::tempdir . '/openssl.cnf';
append_to_file($openssl_conf, <<'CONF');
openssl_conf = conf
[conf]
ssl_conf = ssl
[ssl]
system_default = lax
[lax]
MinProtocol = TLSv1
CipherString = ALL:@SECLEVEL=0
CONF
chmod 0644, $openssl_conf;
my $t = OssTest->new(env => { OPENSSL_CONF => $openssl_conf });
my $oss = $t->{oss};
my $node = $t->{node};

# ---- what is refused ----

my %refused = (
	WRONGHOST => qr/(subject|certificate|host) name|no alternative certificate/i,
	EXPIRED => qr/certificate has expired/,
	SELFSIGNED => qr/self.signed certificate/);
for my $kind (sort keys %refused)
{
	$t->server($t->https('127.0.0.1', $t->port_of($kind)));
	my $outcome = $t->detect;
	is($outcome->{sqlstate}, '08001', "$kind: 08001");
	like($outcome->{message}, qr/certificate was refused/, "$kind: refused");
	like($outcome->{detail}, $refused{$kind}, "$kind: says which");
}
my %ca = $t->https;
delete $ca{ca_file};
$t->server(%ca);
like($t->detect->{detail}, qr/unable to get local issuer certificate/,
	'an authority that the system does not know is refused');
$t->server($t->https, ca_file => '/nowhere/ca.pem');
my $outcome = $t->detect;
is($outcome->{sqlstate}, '08001', 'a ca_file that is not there');
like($outcome->{detail}, qr{/nowhere/ca\.pem}, 'is named');
is($oss->count('requests_total'), 0, 'nothing was sent to any of them');
$t->server($t->https);
ok($t->detect->{rows}, 'the good one is accepted');
$t->server($t->https('localhost'));
ok($t->detect->{rows}, 'by name as well');
$t->server($t->https('localhost.'));
ok($t->detect->{rows}, 'and by an absolute one, whose dot neither certificate nor signature has');

# ---- no switch ----

for my $option (qw(verify ssl_verify insecure verify_peer sslmode ca_path))
{
	my ($out, $err) = $t->psql("ALTER SERVER oss OPTIONS (ADD $option 'false')");
	like($err, qr/ERROR:  HV00D/, "there is no option $option");
}
is($node->safe_psql('postgres', q{LOAD 'oss_labels'; SELECT count(*) FROM pg_settings
	WHERE name LIKE 'oss\_labels.%' AND name ~ 'verif|tls|ssl|insecure|proxy'}), '0',
	'there is no such setting');

# ---- ca_file is for superusers ----

$t->ok('CREATE ROLE chooser; GRANT USAGE ON FOREIGN DATA WRAPPER oss_labels TO chooser;');
my $ca_file = literal($oss->ca_file);
my ($out, $err) = $t->psql("SET ROLE chooser; CREATE SERVER mine FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', ca_file $ca_file)");
like($err, qr/ERROR:  42501: permission denied to set option "ca_file"/, 'CREATE SERVER with ca_file');
($out, $err) = $t->psql("SET ROLE chooser; CREATE SERVER mine FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou'); ALTER SERVER mine OPTIONS (ADD ca_file $ca_file)");
like($err, qr/ERROR:  42501: permission denied to set option "ca_file"/, 'ALTER SERVER with ca_file');
$t->ok('ALTER SERVER oss OWNER TO chooser');
$t->ok('DROP SERVER mine');
is($t->detect->{sqlstate}, '42501', 'a ca_file is not read for an owner who is no superuser');

# ---- the least version ----

sub free_port { return OssTest::closed_port }

# Start openssl s_server; returns its port and the harness.
sub s_server
{
	my (@options) = @_;
	my $port = free_port();
	my $certs = $oss->{certs};
	my $harness = IPC::Run::start(
		[ 'openssl', 's_server', '-accept', "127.0.0.1:$port", '-cert', "$certs/good.pem",
			'-key', "$certs/good.key", '-www', '-cipher', 'ALL:@SECLEVEL=0', @options ],
		'<', '/dev/null', '>', '/dev/null', '2>', '/dev/null');
	$t->wait_for('s_server', sub { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) });
	return ($port, $harness);
}
my ($old_port, $old) = s_server('-tls1_1');
my $spoken = `openssl s_client -connect 127.0.0.1:$old_port -tls1_1 -cipher 'ALL:\@SECLEVEL=0' </dev/null 2>&1`;
SKIP:
{
	skip 'this OpenSSL speaks no TLS 1.1', 1 unless $spoken =~ /Protocol\s*:\s*TLSv1\.1/;
	$t->server($t->https('127.0.0.1', $old_port), max_attempts => 1);
	is_deeply([ @{ $t->detect }{qw(sqlstate message)} ],
		[ '08001', 'could not get labels of "oss://examplebucket/example.jpg": the TLS handshake failed' ],
		'TLS 1.1 is not spoken');
}
my ($new_port, $new) = s_server('-tls1_2');
$t->server($t->https('127.0.0.1', $new_port), max_attempts => 1);
like($t->detect->{message}, qr/is not a labels document/, 'TLS 1.2 is spoken: the page of s_server comes');
$_->kill_kill for $old, $new;

# ---- reuse ----

my $calls = 20;
my $many = (OssTest::detect_sql() . ";\n") x $calls;
$t->server($t->https);
$t->fault;
$t->ok($many);
is($oss->count('connections_https'), 1, "$calls calls, one connection");

# A kept connection that breaks: curl has several and would try them in turn.
$t->server($t->https, max_attempts => 1);
$t->fault(kind => 'delay', delay => 100, prefix => 'kept');
$oss->fault(kind => 'drop', key => 'dropped');
$t->ok("SELECT count(*) FROM generate_series(1, 8) i, oss_labels.detect('everykey', 'kept' || i);\n"
	  . "SELECT public.outcome(" . literal(OssTest::detect_sql('dropped', 'everykey')) . ')');
cmp_ok($oss->count('label_most_in_flight'), '>', 1, 'several connections are kept');
is($oss->count_key('everykey', 'dropped'), 1, 'a kept connection that breaks: one attempt is one request');

$t->server($t->https);
$t->fault(kind => 'close');
$t->ok($many);
is($oss->count('connections_https'), $calls, 'connections that the service closes are made anew');
is($oss->count('tls_resumed'), $calls - 1, 'all but the first resume the session');

# ---- the CA store is parsed once ----

# CPU in ms of a session per call, after the first call.
sub cpu
{
	my ($sql, $n) = @_;
	my $stat = "\\! cut -d' ' -f14,15 /proc/\$BACKEND/stat\n";
	my ($out) = $t->psql("SELECT pg_backend_pid() AS pid \\gset\n\\setenv BACKEND :pid\n$sql$stat" . $sql x $n . $stat);
	my @ticks = map { /^(\d+) (\d+)$/ ? $1 + $2 : () } split /\n/, $out;
	my $hz = POSIX::sysconf(POSIX::_SC_CLK_TCK());
	return ($ticks[-1] - $ticks[0]) * 1000 / $hz / $n;
}
my $store = `curl-config --ca` =~ s/\s+\z//r;
SKIP:
{
	skip "no CA store of the system at \"$store\"", 3 unless -s $store;
	my $big = PostgreSQL::Test::Utils::tempdir . '/big.pem';
	append_to_file($big, slurp_file($store) . slurp_file($oss->ca_file));
	chmod 0644, $big;
	$t->server($t->https, ca_file => $big);
	my $detect = "SELECT count(*) FROM oss_labels.detect('examplebucket', 'example.jpg');\n";
	my $before = $oss->count('connections_https');
	my $ms = cpu($detect, 100);
	is($oss->count('connections_https') - $before, 101, 'each call connected');

	# to read the store takes some 20 ms, a connection about one
	$t->server($t->https);
	my $least = cpu($detect, 100);
	cmp_ok($ms, '<=', 4 * $least, sprintf 'a connection with the system\'s authorities takes %.2f ms of CPU, with one authority %.2f', $ms, $least);

	# the system's store itself, which refuses the stand-in
	$t->server(%ca);
	$ms = cpu("DO \$\$ BEGIN PERFORM oss_labels.detect('examplebucket', 'example.jpg'); EXCEPTION WHEN OTHERS THEN END \$\$;\n", 100);
	cmp_ok($ms, '<=', 4 * $least, sprintf 'with the system\'s store %.2f ms', $ms);
}

done_testing();
