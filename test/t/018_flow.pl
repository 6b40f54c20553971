# Rates and holds: each bucket has its own, below the limit of its server, which
# holds for any number of servers.  They end when they are told to, and who waits
# for them sleeps.

use strict;
use warnings;

use List::Util qw(max min);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use lib 'test/perl';
use QueueTest;

my $test = QueueTest->new(conf => "oss_labels.worker = off\n");
my $node = $test->{node};
my $oss = $test->{oss};
my $endpoint = $oss->http_endpoint;

# SQL that makes servers with options.
sub servers_sql
{
	my ($prefix, $n, $options) = @_;
	return "DO \$\$ BEGIN FOR i IN 1 .. $n LOOP EXECUTE format("
	  . "'CREATE SERVER %I FOREIGN DATA WRAPPER oss_labels"
	  . " OPTIONS (region ''cn-hangzhou'', endpoint ''$endpoint'', $options)',"
	  . " '$prefix' || i); EXECUTE format('CREATE USER MAPPING FOR CURRENT_USER SERVER %I"
	  . " OPTIONS (access_key_id ''testid'', access_key_secret ''testsecret'')', '$prefix' || i);"
	  . " END LOOP; END \$\$;";
}

# Start psql with SQL.
sub begin
{
	my ($sql, $database) = @_;
	my %run = (begun => time);

	$run{harness} = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr($database // 'postgres'), '-c', $sql ],
		'>', \$run{out}, '2>', \$run{err});
	return \%run;
}

# Wait for its end; returns what it said and the seconds that it took.
sub finish
{
	my ($run) = @_;
	$run->{harness}->finish;
	return ($run->{out} . $run->{err}, time - $run->{begun});
}

# Let a bucket be held for a minute by what process_queue() is answered.
sub hold_bucket
{
	my ($bucket) = @_;
	$oss->fault(kind => 'error', code => 'QpsLimitExceeded', bucket => $bucket, header => 'Retry-After: 3600');
	$test->sql("TRUNCATE oss_labels.job; SELECT oss_labels.enqueue('$bucket', 'held')");
	my $run = begin("CALL oss_labels.process_queue()");
	my $held = $test->wait_sql("SELECT count(*) FROM oss_labels.rate_status()"
		  . " WHERE bucket = '$bucket' AND held_until BETWEEN now() + '30 s' AND now() + '61 s'", '1');
	$test->sql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'CALL oss_labels.process_queue%'");
	finish($run);
	$test->sql('TRUNCATE oss_labels.job');
	$test->reset;
	return $held;
}

# ---- one bucket's throttles are not another's ----

$oss->fault(kind => 'error', code => $_, bucket => $_ eq 'SlowDown' ? 'everykey' : 'tenlabels')
  for qw(TotalQpsLimitExceeded SlowDown);
is($test->sql("SELECT count(*), count(error_code) FROM (VALUES ('tenlabels'), ('everykey')) b (bucket),"
	. " generate_series(1, 3) g, LATERAL oss_labels.try_detect(bucket, 'throttled' || g)"),
	'6|6', 'two buckets are throttled');
my $refused = $test->count;
is($test->sql("SELECT string_agg(bucket || slowed_down, ' ' ORDER BY bucket) FROM oss_labels.rate_status()"),
	'everykeytrue tenlabelstrue', 'both are slowed down');
$test->sql("SET statement_timeout = '10 s'; SELECT count(*) FROM generate_series(1, 100) g,"
	. " LATERAL oss_labels.detect('examplebucket', 'example.jpg', thr => g / 1000.0::float8)");
is($test->count - $refused, 100, 'a third goes at full speed');
is($test->sql("SELECT slowed_down, held_until IS NULL FROM oss_labels.rate_status() WHERE bucket = 'examplebucket'"),
	'f|t', 'and is not slowed down');
$test->reset;

# ---- a hold lasts a minute at most, for its bucket alone, and can be ended ----

ok(hold_bucket('tenlabels'), 'an hour asked for: a minute held');
my ($out, $took) = finish(begin("SELECT count(*) FROM oss_labels.detect('everykey', 'free')"));
cmp_ok($out, '>=', 0, 'held: another bucket goes');
cmp_ok($took, '<', 5 * OssServer::patience(), 'held: at once');
is($test->count, 1, 'held: with one request');
$test->reset;

my %ends = (
	'resume()' => "SELECT oss_labels.resume('oss')",
	'resume() of all' => 'SELECT oss_labels.resume()',
	'ALTER SERVER' => "ALTER SERVER oss OPTIONS (ADD max_attempts '3')",
	'ALTER USER MAPPING' => "ALTER USER MAPPING FOR CURRENT_USER SERVER oss OPTIONS (SET access_key_id 'testid')");
for my $name (sort keys %ends)
{
	ok(hold_bucket('tenlabels'), "$name: a bucket is held") if $name ne 'ALTER SERVER';
	my $run = begin("SELECT count(*) FROM oss_labels.detect('tenlabels', 'waits')");
	ok($test->wait_sql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%waits%' AND state = 'active' AND pid <> pg_backend_pid()", '1'),
		"$name: another session waits");
	$test->sql("BEGIN; $ends{$name}; ROLLBACK");
	is($test->sql("SELECT held_until > now() FROM oss_labels.rate_status() WHERE bucket = 'tenlabels'"),
		't', "$name: rolled back it ends nothing");
	is($test->count, 0, "$name: nothing is sent");
	my $ended = time;
	$test->sql($ends{$name});
	($out) = finish($run);
	is($out, "10\n", "$name: the session goes on");
	cmp_ok(time - $ended, '<', 5 * OssServer::patience(), "$name: at once");
	is($test->sql("SELECT held_until, slowed_down FROM oss_labels.rate_status() WHERE bucket = 'tenlabels'"),
		'|f', "$name: hold and rate are forgotten");
}

# ---- who waits for a rate sleeps ----

# Return how often a process went to sleep.
sub sleeps
{
	my ($pid) = @_;
	my ($n) = slurp_file("/proc/$pid/status") =~ /^voluntary_ctxt_switches:\s+(\d+)/m;
	return $n;
}

$test->reset;
$test->sql("ALTER SERVER oss OPTIONS (ADD max_requests_per_second '0.1')");
is($test->sql("SELECT count(*) FROM oss_labels.detect('tenlabels', 'first')"), '10', 'the first one goes');
$test->sql("SELECT oss_labels.enqueue('tenlabels', 'sleepy')");
for my $call ("SELECT count(*) FROM oss_labels.detect('tenlabels', 'sleepy')", 'CALL oss_labels.process_queue()')
{
	my $run = begin($call);
	my $where = "query LIKE '%" . substr($call, 0, 30) . "%' AND state = 'active' AND pid <> pg_backend_pid()";
	ok($test->wait_sql("SELECT count(*) FROM pg_stat_activity WHERE $where", '1'), "$call: waits for the rate");
	my $pid = $test->sql("SELECT pid FROM pg_stat_activity WHERE $where");
	sleep 0.5;
	my $before = sleeps($pid);
	sleep 2;
	cmp_ok(sleeps($pid) - $before, '<=', 40, "$call: wakes up seldom");
	is($test->count, 1, "$call: sends nothing meanwhile");
	$test->sql("SELECT pg_cancel_backend($pid)");
	finish($run);
}
$test->sql("TRUNCATE oss_labels.job; ALTER SERVER oss OPTIONS (DROP max_requests_per_second)");

# ---- limits of many servers ----

# 240 servers over three databases, each of which may send one request a second.
$test->sql("CREATE DATABASE $_") for qw(db1 db2 db3);
for my $database (qw(db1 db2 db3))
{
	$test->sql($test->create_sql . servers_sql('many', 80, "max_requests_per_second ''1''"), $database);
	$test->sql("SELECT count(oss_labels.enqueue('tenlabels', '$database-' || i || '-' || j, server => 'many' || i))"
		. " FROM generate_series(1, 80) i, generate_series(1, 3) j", $database);
}
$test->reset;
my @runs = map { begin('CALL oss_labels.process_queue()', $_) } qw(db1 db2 db3);
finish($_) for @runs;
is($test->count('label_answers'), 720, '240 servers: every image is asked for once');
# Those of one server take two seconds.  Some arrive late on a busy machine.
my %arrived;
for (split /\n/, $oss->logged)
{
	my @f = split /\t/;
	push @{ $arrived{$1} }, $f[7] / 1e6 if $f[3] =~ /(db\d-\d+)-\d/;
}
is(scalar(keys %arrived), 240, '240 servers: each has sent');
my @fast = grep { max(@{ $arrived{$_} }) - min(@{ $arrived{$_} }) < 1 } keys %arrived;
cmp_ok(scalar(@fast), '<=', 12, '240 servers: one a second each') or diag("too fast: @fast");

# More than there are slots: those without one are slow, but never fast.
my $servers = 4300;
$test->sql(servers_sql('full', $servers, "max_requests_per_second ''0.01'', timeout_ms ''10''"), 'postgres');
$test->reset;
my $ask = "SELECT count(*) FROM generate_series(1, %d) i, LATERAL oss_labels.try_detect('tenlabels', '%s' || i, server => ('full' || i)::name)";
my $asked = 0;
for my $pass (qw(one two))
{
	$test->sql("SET oss_labels.pipeline = off; " . sprintf($ask, $pass eq 'one' ? $servers : 100, $pass));
	my $n = $test->count;
	if ($pass eq 'one')
	{
		cmp_ok($n, '>=', 3500, "$servers servers: most have a slot");
		cmp_ok($n, '<=', $servers, "$servers servers: at most one request each");
	}
	else
	{
		is($n, $asked, "$servers servers: none sends another within its window");
	}
	$asked = $n;
}

$node->stop;
done_testing;
