# The life of a key: fetched once for many calls, renewed before it ends and
# after it was refused, dropped when the mapping changes, kept through a
# cancelled query.  What went out is what the servers counted.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use lib 'test/perl';
use CredentialServer;
use CredentialTest;

my $test = CredentialTest->new;
my $server = $test->{credentials};
my %ecs = (credential_source => 'ecs_ram_role', role_name => 'TestRole');
my $call = $test->detect_sql;

# Keys STS.1, STS.2, ... are given out one after another; OSS knows them.
sub keys_to_come
{
	my ($n, %how) = @_;
	$test->oss('/reset');
	$server->reset_counts;
	$server->issue(id => 'STS.%d', secret => 'secret-%d', token => 'token-%d',
		lifetime => delete $how{lifetime} // 3600);
	$test->oss_key("STS.$_", "secret-$_", "token-$_", %how) for 1 .. $n;
	return;
}

# SQL that calls n times, one after another, and counts what came.  A pipeline would
# request the image once.
sub calls
{
	my ($n, $pause) = @_;
	return "SET oss_labels.pipeline = off; SELECT 'labels for ' || count(*) || ' images' FROM generate_series(1, $n) AS i"
	  . ' WHERE EXISTS (SELECT FROM oss_labels.detect('
	  . "CASE WHEN i > 0 THEN 'examplebucket' END, 'example.jpg'))"
	  . ($pause ? " AND pg_catalog.pg_sleep($pause) IS NOT NULL" : '') . ';';
}

# ---- one fetch for a thousand calls ----

keys_to_come(2);
is( join('', $test->psql($test->create_mapping(%ecs) . calls(1000))),
	'labels for 1000 images', '1000 calls');
is_deeply(
	[ map { $server->count($_) } qw(token roles key other) ],
	[ 1, 0, 1, 0 ], '1000 calls: one fetch');
is($test->oss_count('label_requests'), 1000, '1000 calls: 1000 requests');

# ---- refused in the middle of a thousand calls ----

for my $code (qw(SecurityTokenExpired InvalidSecurityToken AccessKeyIdAndSecurityTokenNotMatch
	InvalidAccessKeyId))
{
	keys_to_come(2);
	$test->oss("/fault?code=$code&skip=500&times=1");
	is( join('', $test->psql(calls(1000))),
		'labels for 1000 images', "$code: 1000 calls, no failure seen");
	is($test->oss_count("code_$code"), 1, "$code: refused once");
	is($test->oss_count('label_requests'), 1001, "$code: one request again");
	is($server->count('key'), 2, "$code: one more fetch");
}

# Each key ends after 300 uses.
keys_to_come(4, uses => 300);
is( join('', $test->psql(calls(1000))),
	'labels for 1000 images', 'expired three times: no failure seen');
is($test->oss_count('code_SecurityTokenExpired'), 3, 'expired three times: refused');
is($test->oss_count('label_requests'), 1003, 'expired three times: three requests again');
is($server->count('key'), 4, 'expired three times: four fetches');

# Many in flight at once, if the plan has it so: still one fetch each.
keys_to_come(2, uses => 300);
is( join('', $test->psql(
		"SELECT count(*) FROM generate_series(1, 500) i"
		  . " CROSS JOIN LATERAL (SELECT 1 FROM oss_labels.detect('tenlabels', 'k' || i) LIMIT 1) l")),
	'500', 'a lateral join over an expiry');
is($server->count('key'), 2, 'a lateral join over an expiry: two fetches');

# A source that gives the same bad key again is asked twice, not for ever.
keys_to_come(0);
$server->issue(id => 'testid', secret => 'wrong', token => 'bad');
my ($out, $err) = $test->psql("$call $call");
is(() = $err =~ /ERROR:  28000: /g, 2, 'a bad key: the error is seen');
is($server->count('key'), 2, 'a bad key: fetched again once');
is($test->oss_count('label_requests'), 3, 'a bad key: one request again');

# A key refused to a request of a cursor, while check_server() uses it.
keys_to_come(2);
$test->oss('/fault?bucket=tenlabels&key=k3&code=InvalidAccessKeyId&times=1&delay=200');
my $checked = $test->psql_ok(
	"BEGIN; DECLARE c CURSOR FOR SELECT k FROM (SELECT 'k' || i FROM generate_series(1, 9) i) p(k),"
	  . " LATERAL oss_labels.detect('tenlabels', k) l; FETCH 11 FROM c;\n" . wait_for('refused')
	  . "\nSELECT check_name || ' ' || ok FROM oss_labels.check_server('oss', 'examplebucket')"
	  . " WHERE check_name IN ('signature', 'bucket'); COMMIT;",
	while_running => sub { await_count('code_InvalidAccessKeyId', 1); raise('refused') });
like($checked, qr/^signature true\nbucket true$/m, 'check_server() keeps the key that it began with');

# ---- renewed before it ends ----

# Keys live for so many seconds, exactly: a date has no fractions of one, so the
# service has its own idea of the time.
sub keys_live
{
	my ($seconds) = @_;
	$server->set(date => 'Mon, 05 Jan 2015 00:00:00 GMT');
	$server->issue(id => 'STS.%d', secret => 'secret-%d', token => 'token-%d',
		expiration => "2015-01-05T00:00:0${seconds}Z");
	return;
}

# Keys live for 4 s.  From 2 s on a new one is looked for, which takes the
# service 0.8 s: no call may wait for it.  OSS takes the first for 5 s at least.
keys_to_come(9);
keys_live(4);
$test->oss_key('STS.1', 'secret-1', 'token-1', expires_in => 6);
my $loop = <<'SQL';
DO $$
DECLARE
	begin_at timestamptz := clock_timestamp();
	call_at timestamptz;
	slowest interval := '0';
	n integer := 0;
BEGIN
	PERFORM oss_labels.detect('examplebucket', 'example.jpg');
	WHILE clock_timestamp() < begin_at + interval '6.5 s' LOOP
		call_at := clock_timestamp();
		PERFORM oss_labels.detect('examplebucket', 'example.jpg');
		slowest := greatest(slowest, clock_timestamp() - call_at);
		n := n + 1;
		PERFORM pg_sleep(0.002);
	END LOOP;
	RAISE INFO '% calls, slowest % ms', n, round(1000 * extract(epoch FROM slowest));
END $$;
SQL
($out, $err) = $test->psql($loop,
	while_running => sub {
		await_count('label_requests', 1);
		$server->answer('key', delay => 0.8);
	});
my ($calls, $slowest) = $err =~ /(\d+) calls, slowest (\d+) ms/;
unlike($err, qr/ERROR/, 'renewed in time: no failure seen');
cmp_ok($calls, '>', 100, 'renewed in time: many calls');
cmp_ok($slowest, '<', 500, 'renewed in time: none has waited for a key');
is($test->oss_count('label_requests'), $calls + 1, 'renewed in time: nothing was refused');
cmp_ok($server->count('key'), '>=', 2, 'renewed in time: fetched again');
$server->answer('key');

# The service is down when it is time to renew: the old key is used while it
# lives, from 3.75 s at the latest to 5.4 s.
keys_to_come(1);
keys_live(6);
($out, $err) = $test->psql(
	"$call\n\\! touch " . flag('first') . "\n" . wait_for('down') . "\n" . calls(20, 0.01),
	while_running => sub {
		await('first');
		$server->answer('key', status => 500);
		Time::HiRes::sleep(3.9);
		raise('down');
	});
$server->set(date => undef);
is("$out$err", "t\nlabels for 20 images", 'renewal fails: the old key is used');
like(
	slurp_file($test->{node}->logfile),
	qr/LOG:  could not renew credentials from source "ecs_ram_role"/,
	'renewal fails: the log says so');
$server->answer('key');

# ---- a failed fetch is remembered for a second ----

keys_to_come(1);
$server->answer('key', status => 404);
my $tries = <<'SQL';
DO $$
DECLARE
	failed integer := 0;
BEGIN
	FOR i IN 1 .. 50 LOOP
		BEGIN
			PERFORM oss_labels.detect('examplebucket', 'example.jpg');
		EXCEPTION WHEN invalid_authorization_specification THEN
			failed := failed + 1;
		END;
	END LOOP;
	RAISE INFO '% failed', failed;
END $$;
SQL
($out, $err) = $test->psql($tries);
like($err, qr/50 failed/, 'no key: 50 calls fail');
is($server->count('key'), 1, 'no key: one fetch for all of them');
($out, $err) = $test->psql("$call SELECT pg_catalog.pg_sleep(1.1) IS NULL; \\! touch "
	  . flag('failed') . "\n" . wait_for('mended') . "\n$call",
	while_running => sub { await('failed'); $server->answer('key'); raise('mended'); });
like($out, qr/t$/, 'no key: tried again after a second');

# A silent service is given up in time.
keys_to_come(1);
$server->answer('key', delay => 30);
my $begin = time;
($out, $err) = $test->psql($call);
like($err, qr/did not answer in time/, 'a silent service: the error says so');
cmp_ok(time - $begin, '<', 5, 'a silent service: within 5 s');
$server->answer('key');

# ---- cancelled in the middle of a fetch ----

keys_to_come(1);
$server->answer('key', delay => 1, times => 1);
$begin = time;
($out, $err) = $test->psql("SET statement_timeout = 200; $call RESET statement_timeout; $call");
like($err, qr/\A[^\n]*ERROR:  57014: [^\n]*\n[^E]*\z/, 'cancelled in a fetch: only that query');
is($out, 't', 'cancelled in a fetch: the next query has its labels');
is($server->count('key'), 1, 'cancelled in a fetch: the fetch went on');
cmp_ok(time - $begin, '<', 3, 'cancelled in a fetch: no waiting');

# Long after: begun anew, the old answer being of no use.
keys_to_come(2);
$server->answer('key', delay => 1, times => 1);
($out, $err) = $test->psql("SET statement_timeout = 200; $call RESET statement_timeout;"
	  . "SELECT pg_catalog.pg_sleep(4.5) IS NULL; $call");
like($out, qr/t$/, 'resumed long after a cancel: labels');
is($server->count('key'), 2, 'resumed long after a cancel: begun anew');

# The session ends, or the mapping goes, in the middle of a fetch.
keys_to_come(1);
$server->answer('key', delay => 1);
($out, $err) = $test->psql("SET statement_timeout = 200; $call");
like($err, qr/57014/, 'the session ends in a fetch');
($out, $err) = $test->psql("SET statement_timeout = 200; $call RESET statement_timeout;"
	  . $test->create_mapping(access_key_id => 'testid', access_key_secret => 'testsecret')
	  . $call);
is($out, 't', 'the mapping goes in a fetch');
$server->answer('key');

# ---- dropped when the definition changes ----

$test->psql_ok($test->create_mapping(%ecs));
keys_to_come(6);
my $psql = "\\! psql -X -q -d '" . $test->{node}->connstr('postgres') . "' -c ";
is( $test->psql_ok("$call$call"
		  . "ALTER USER MAPPING FOR CURRENT_USER SERVER oss OPTIONS (SET role_name 'TestRole');"
		  . "$call$call"),
	"t\nt\nt\nt", 'ALTER USER MAPPING');
is($server->count('key'), 2, 'ALTER USER MAPPING: fetched again');
is( $test->psql_ok("$call ALTER SERVER oss OPTIONS (ADD timeout_ms '50000');$call"),
	"t\nt", 'ALTER SERVER');
is($server->count('key'), 3, 'ALTER SERVER: the key is kept');
is( $test->psql_ok("$call\n$psql\"ALTER SERVER oss OPTIONS (SET timeout_ms '40000')\"\n$call"),
	"t\nt", 'ALTER SERVER in another session');
is($server->count('key'), 4, 'ALTER SERVER in another session: the key is kept');

# Keys from a file are read again when they are refused, and by and by.
my $dir = PostgreSQL::Test::Utils::tempdir;
sub config_file
{
	my ($id, $secret) = @_;
	open my $file, '>', "$dir/new" or die;
	print $file qq({"current":"a","profiles":[{"name":"a","mode":"AK",)
	  . qq("access_key_id":"$id","access_key_secret":"$secret"}]});
	close $file;
	chmod 0600, "$dir/new";
	rename "$dir/new", "$dir/config.json";
	return;
}
keys_to_come(0);
$test->oss_key('old', 'old-secret', '', uses => 1);
config_file('old', 'old-secret');
($out, $err) = $test->psql(
	$test->create_mapping(credential_source => 'config_file', config_file => "$dir/config.json")
	  . "$call\n\\! touch "
	  . flag('read') . "\n"
	  . wait_for('written') . "\n$call",
	while_running => sub { await('read'); config_file('testid', 'testsecret'); raise('written'); });
is("$out$err", "t\nt", 'a file with a new key: read again');

# The clock of this machine is wrong by hours: keys are not taken for expired.
# (The service's Date counts; libfaketime is not needed, the service lies.)
keys_to_come(1);
$server->set(date => 'Mon, 05 Jan 2015 00:00:10 GMT');
$server->issue(id => 'STS.1', secret => 'secret-1', token => 'token-1',
	expiration => '2015-01-05T01:00:00Z');
is( $test->psql_ok($test->create_mapping(%ecs) . "$call$call"),
	"t\nt", 'clocks differ: the key is used');
is($server->count('key'), 1, 'clocks differ: and kept');
$server->issue(id => 'STS.1', secret => 'secret-1', token => 'token-1',
	expiration => '2015-01-05T00:00:00Z');
($out, $err) = $test->psql($call);
like($err, qr/has expired already/, 'clocks differ: an old key is old');

done_testing();

# ---- taking turns with a running psql ----

# A file that one side makes and the other waits for.
my $flags;

sub flag
{
	$flags //= PostgreSQL::Test::Utils::tempdir;
	return "$flags/$_[0]";
}

sub raise { open my $f, '>', flag($_[0]) or die; return; }

sub await
{
	my $until = time + 60;
	until (-e flag($_[0]))
	{
		die "no $_[0]" if time > $until;
		Time::HiRes::sleep(0.01);
	}
	return;
}

# Wait until OSS has counted so many.
sub await_count
{
	my ($name, $n) = @_;
	my $until = time + 60;
	until ($test->oss_count($name) >= $n)
	{
		die "no $name" if time > $until;
		Time::HiRes::sleep(0.01);
	}
	return;
}

sub wait_for
{
	my $file = flag($_[0]);
	return "\\! i=0; while [ ! -e $file ] && [ \$i -lt 6000 ]; do sleep 0.01; i=\$((i+1)); done";
}
