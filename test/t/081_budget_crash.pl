# No crash lets a budget be exceeded: while twenty sessions and the worker pay,
# backends, the worker and the postmaster are killed, and the server is stopped
# at once, at random moments.  A clean stop forgets nothing and invents nothing; a
# dump and a promoted standby know what was spent.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use lib 'test/perl';
use QueueTest;

my $crashes = $ENV{OSS_TEST_LONG} ? 20 : 8;
my $seed = $ENV{OSS_TEST_SEED} // time ^ $$;
srand $seed;
note "seed $seed";

my $test = QueueTest->new(name => 'crash', conf => "max_connections = 60\noss_labels.job_attempts = 100\n");
my ($node, $oss) = ($test->{node}, $test->{oss});
my $counted = 'SELECT spent FROM oss_labels.budget_status';

sub billed { return $oss->count('label_billed') }

# Wait until the service has ended what it has begun.
sub quiet
{
	my $end = time + 30;
	sleep 0.02 while $oss->count('label_in_flight') > 0 && time < $end;
	return;
}

# ---- a clean stop ----

$test->sql("SELECT oss_labels.set_budget(100000, 'ever'), oss_labels.set_budget(100000, 'day', bucket => 'tenlabels')");
$test->sql("SELECT count(*) FROM generate_series(1, 25) g, LATERAL oss_labels.try_detect('tenlabels', 'a' || g) l");
for my $mode ('fast', 'smart')
{
	$node->stop($mode);
	$node->start;
	is($test->sql("SELECT string_agg(spent::text, ' ') FROM oss_labels.budget_status"), '25 25',
		"$mode stop: what was spent is known, exactly");
}

# ---- crashes ----

$test->sql("ALTER SERVER oss OPTIONS (ADD max_attempts '1')");
$oss->fault(kind => 'delay', delay => '5-30');
$test->sql("SELECT oss_labels.set_budget(25, 'ever')");
$test->enqueue(4000, 'q');
my $file = $node->basedir . '/pay.sql';
open my $fh, '>', $file or die $!;
print $fh "SELECT count(*) FROM generate_series(1, 20) g, LATERAL oss_labels.try_detect('tenlabels', random()::text || g) l;\n";
close $fh;
my ($over, $under, $lost, $cap) = (0, 0, 0, 25);

for my $round (0 .. $crashes - 1)
{
	my $what = ('backend', 'worker', 'postmaster', 'immediate stop')[ $round % 4 ];

	# so that some reach it before the crash; it is never below what is spent
	$cap += 50 + int rand 400;
	my $before = $test->sql("$counted WHERE period = 'ever'");
	$test->sql("SELECT oss_labels.set_budget($cap, 'ever')");
	my $bench = IPC::Run::start(
		[ 'pgbench', '-n', '-c', 20, '-j', 2, '-T', 60, '-f', $file, '-h', $node->host, '-p', $node->port, 'postgres' ],
		'<', '/dev/null', '>', \my $out, '2>', \my $err);
	my $begun = billed();
	my $until = $begun + 50 + rand 300;
	my $end = time + 3;
	sleep 0.01 while billed() < $until && time < $end;
	my $pids = $what eq 'backend'
	  ? $test->sql("SELECT pid FROM pg_stat_activity WHERE query LIKE '%random()%' AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1")
	  : $what eq 'worker' ? $test->worker_pid : '';
	if ($what eq 'postmaster') { $test->kill_postmaster }
	elsif ($what eq 'immediate stop') { $node->stop('immediate'); $node->start }
	elsif ($pids) { kill 'KILL', $pids }
	$bench->finish;
	$node->poll_query_until('postgres', 'SELECT true') or die 'no server';
	quiet();
	my ($spent, $billed) = ($test->sql("$counted WHERE period = 'ever'"), billed());
	note "$what: cap $cap, billed $billed, spent $spent";
	$over++ if $billed > $cap || $spent > $cap;
	$under++ if $spent < $billed;
	$lost += ($spent - $before) - ($billed - $begun);
}
is($over, 0, 'the cap was never exceeded');
is($under, 0, 'nothing that was billed was forgotten');
note "counted for nothing: $lost";

# the rest is spent to the last request
$test->sql('SELECT oss_labels.pause()');
ok($test->wait_sql('SELECT max(in_flight) FROM oss_labels.budget_status', 0), 'the queue is paused');
ok($test->wait_sql('SELECT count(*) FROM oss_labels.job WHERE leased_until > now()', 0), 'and nothing is in hand');
quiet();
my $spent = $test->sql("$counted WHERE period = 'ever'");
my $billed = billed();
$cap = $spent + 200;
$test->sql("SELECT oss_labels.set_budget($cap, 'ever'), oss_labels.resume()");
ok($test->wait_sql("SELECT exhausted AND in_flight = 0 FROM oss_labels.budget_status WHERE period = 'ever'", 't'), 'the budget is used up');
quiet();
is(billed(), $billed + 200, 'to the last request');
is($test->sql("SELECT count(*) FROM oss_labels.failed_job"), 0, 'no job has failed');

# ---- a damaged file ----

$test->sql("SELECT oss_labels.set_budget(NULL, 'ever'); DELETE FROM oss_labels.job");
$test->sql("SELECT oss_labels.set_budget(5, 'ever')");
is($test->sql("SELECT count(*) FROM generate_series(1, 9) g, LATERAL oss_labels.try_detect('tenlabels', 'few' || g) l WHERE l.error_code IS NULL"),
	50, 'five images');
my $dbid = $test->sql("SELECT oid FROM pg_database WHERE datname = 'postgres'");
my $path = $node->data_dir . "/oss_labels_budget/$dbid";
$node->stop('fast');
my $good = slurp_file($path);

sub with_file
{
	my ($bytes, $mode) = @_;
	open my $f, '>', $path or die $!;
	binmode $f;
	print $f $bytes;
	close $f;
	chmod $mode, $path;
	$node->start;
	my $error = $test->sql_error("SELECT count(*) FROM oss_labels.detect('tenlabels', 'unknown')");
	$node->stop('fast');
	chmod 0600, $path;
	return $error;
}
my $before = $oss->count('label_requests');
like(with_file('nonsense', 0600), qr/ERROR:  55000: .*budget cannot be enforced/, 'a file that is damaged lets nothing through');
like(with_file(substr($good, 0, 40), 0600), qr/ERROR:  55000/, 'nor does one that was cut');
like(with_file($good, 0600), qr/ERROR:  53000/, 'the file as it was: the budget is used up');
my $flipped = $good;
substr($flipped, 20, 1) = chr(ord(substr $flipped, 20, 1) ^ 1);
like(with_file($flipped, 0600), qr/ERROR:  5[35]000/, 'one bad record: the other one counts, or none');
is($oss->count('label_requests'), $before, 'nothing was sent');
unlink $path;
$node->start;

# ---- a dump ----

$node->run_log([ 'dropdb', '-h', $node->host, '-p', $node->port, '--if-exists', 'restored' ]);
$test->sql("SELECT oss_labels.set_budget(7, 'ever', note => 'kept')");
$test->sql("SELECT count(*) FROM generate_series(1, 2) g, LATERAL oss_labels.try_detect('tenlabels', 'dump' || g) l");
$test->sql("SELECT oss_labels.enqueue('tenlabels', 'wakes the worker')");
ok($test->wait_sql("SELECT s.spent = b.spent FROM oss_labels.budget_spent s JOIN oss_labels.budget_status b USING (budget_id) WHERE b.period = 'ever'", 't'),
	'the worker writes what was spent');
$spent = $test->sql("$counted WHERE period = 'ever'");
my $dump = $node->basedir . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, '-h', $node->host, '-p', $node->port, 'postgres' ], 'dumped');
$test->sql('CREATE DATABASE restored');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-h', $node->host, '-p', $node->port, '-d', 'restored', '-f', $dump ], 'restored');
is($test->sql("SELECT max_requests || ' ' || spent || ' ' || note FROM oss_labels.budget_status WHERE period = 'ever'", 'restored'),
	"7 $spent kept", 'with what was spent');

$node->stop;
done_testing();
