# How fast: the limits are kept, throttles cost no attempt and teach the rate.
# (What goes wrong: queue_failure.pl.)

use strict;
use warnings;

use IPC::Run ();
use List::Util qw(max min);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use lib 'test/perl';
use QueueTest;

my $test = QueueTest->new;
my $node = $test->{node};
my $oss = $test->{oss};

sub enqueue
{
	my ($n, $prefix, $server) = @_;
	return $test->sql("SELECT count(oss_labels.enqueue('tenlabels', '$prefix' || g,"
		  . " server => '$server')) FROM generate_series(1, $n) g");
}

sub failed { return $test->sql('SELECT count(*) FROM oss_labels.failed_job') }

# Make another server like oss.
sub create_server
{
	my ($name, $options) = @_;
	return $test->sql("CREATE SERVER $name FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', endpoint '"
		  . $oss->http_endpoint . "' $options); CREATE USER MAPPING FOR CURRENT_USER SERVER $name"
		  . " OPTIONS (access_key_id 'testid', access_key_secret 'testsecret')");
}

# ---- a service that takes 50 a second ----

# Beside it, so that the machine takes as much from both, is one that takes all, at
# a limit of 50.
my $images = 500;
my %rate;
create_server('told', q(, max_requests_per_second '50'));
$oss->fault(kind => 'throttle', rate => 50, prefix => 'throttled');
my $begun = time;
enqueue($images, 'throttled', 'oss');
enqueue($images, 'told', 'told');
while (keys %rate < 2 && time - $begun < 60)
{
	for my $server (split /\n/, $test->sql("SELECT s FROM unnest(ARRAY['oss', 'told']) s"
			  . ' WHERE s NOT IN (SELECT server FROM oss_labels.job WHERE server IS NOT NULL)'))
	{
		$rate{$server} //= $images / (time - $begun);
	}
	sleep 0.05;
}
is(join(' ', sort keys %rate), 'oss told', 'throttled: drained');
$rate{$_} //= 0 for qw(oss told);
cmp_ok($rate{oss}, '>', 0.9 * $rate{told},
	sprintf 'throttled at 50 a second: drained at %.1f, at a limit of 50 at %.1f', @rate{qw(oss told)});
is(failed(), '0', 'throttled: no failed job');
is($test->stored, 2 * $images . '|0', 'throttled: labels are there');
my $throttles = $test->count('code_TotalQpsLimitExceeded');
cmp_ok($throttles, '>', 0, 'throttled: it was');
cmp_ok($throttles, '<=', $images, "throttled: $throttles times for $images images");
is($test->count('label_answers'), 2 * $images, 'throttled: each image was paid for once');

# ---- the rate is back within 10 seconds of the limit's lifting ----

# A server that nothing slows down goes as fast as the machine can, beside it.
create_server('free', '');

# What the servers were answered so far.
sub answered
{
	my @keys = map { (split /\t/)[2] } split /\n/, $oss->control('/keys?bucket=tenlabels');
	return map { my $server = $_; scalar grep { /^$server/ } @keys } qw(lifted free);
}

$oss->fault(kind => 'throttle', rate => 50, prefix => 'lifted');
$oss->fault(kind => 'delay', delay => 20);
enqueue(20000, 'lifted', 'oss');
sleep 2;
is($test->sql("SELECT slowed_down FROM oss_labels.rate_status() WHERE server = 'oss'"),
	't', 'the view knows that it is slowed down');
$oss->control('/unfault');
$oss->fault(kind => 'delay', delay => 20);
my $lifted = time;
enqueue(20000, 'free', 'free');
my ($answers, $free) = answered();
my ($rate, $enough);
do
{
	my ($before, $free_before) = ($answers, $free);
	sleep 1;
	($answers, $free) = answered();
	$rate = $answers - $before;
	$enough = max(100, min(1000, ($free - $free_before) / 2));
} while ($rate < $enough && time - $lifted < 9);
cmp_ok($rate, '>=', $enough, sprintf q(%.0f s after the limit's lifting: %d images a second again), time - $lifted, $rate);
$test->sql('TRUNCATE oss_labels.job');
ok($test->wait_sql('SELECT count(*) FROM oss_labels.job', '0'), 'truncated');
$oss->wait_count(label_in_flight => 0);

# ---- max_requests_per_second, exactly, worker and backends together ----

$test->sql("ALTER SERVER oss OPTIONS (ADD max_requests_per_second '40')");
sleep 1.2;
$test->reset;
enqueue(120, 'limited', 'oss');
# a backend's own requests come out of the same forty
my $detect = "SELECT count(*) FROM generate_series(1, 40) g,"
  . " LATERAL oss_labels.detect('tenlabels', 'mine' || g, server => 'oss')";
$begun = time;
is($test->sql($detect), '400', 'limited: detect() too');
ok($test->wait_empty, 'limited: drained');
my $took = time - $begun;
$test->rate_at_most(40, 'limited: never more than 40 within any second');
cmp_ok($took, '>=', 2.9, sprintf 'limited: 160 requests took %.2f s', $took);
# at half of that rate it would take seven seconds
cmp_ok($took, '<', 7 * OssServer::patience(), 'limited: and not much more');
is($test->count, 160, 'limited: 160 requests');

# ---- a limit that is altered while a query goes on under the one before ----

$test->reset;
my $long = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c',
		"SELECT count(*) FROM generate_series(1, 120) g,"
		. " LATERAL oss_labels.detect('tenlabels', 'old' || g, server => 'oss')" ], '>', \my $counted);
ok($oss->wait_counted(label_answers => 10), 'altered: a query goes on');
$test->sql("ALTER SERVER oss OPTIONS (SET max_requests_per_second '60')");
is($test->sql("SET statement_timeout = '30s';"
		. " SELECT count(*) FROM oss_labels.detect('tenlabels', 'new', server => 'oss')"),
	'10', 'altered: another starts beside it');
$long->finish;
is($counted, "1200\n", 'altered: and it goes on to its end');
$test->rate_at_most(60, 'altered: both keep the new limit');
$test->sql("BEGIN; ALTER SERVER oss OPTIONS (SET max_requests_per_second '1000');"
	  . " SELECT count(*) FROM oss_labels.detect('tenlabels', 'never', server => 'oss'); ROLLBACK");
is($test->sql("SELECT requests_per_second_now FROM oss_labels.rate_status() WHERE server = 'oss'"),
	'60', 'altered and rolled back: the limit is what it was');
$test->sql("ALTER SERVER oss OPTIONS (DROP max_requests_per_second, ADD max_concurrency '7')");

# ---- max_concurrency ----

$test->reset;
$oss->fault(kind => 'delay', delay => 50);
enqueue(50, 'seven', 'oss');
ok($test->wait_empty, 'max_concurrency: drained');
is($test->count('label_most_in_flight'), '7', 'max_concurrency: seven, no more and no less');

# One of the seven is slow: the others do not wait for it.
$test->reset;
$oss->fault(kind => 'delay', delay => 10);
$oss->fault(kind => 'delay', delay => 2500, key => 'refill3');
enqueue(100, 'refill', 'oss');
ok($oss->wait_count(label_answers => 99), 'refill: ninety-nine are answered');
is($test->count('label_in_flight'), 1, 'refill: while one is in flight');
ok($test->wait_empty, 'refill: drained');
$test->sql("ALTER SERVER oss OPTIONS (DROP max_concurrency)");

$test->accounts_agree;
$node->stop;
done_testing;
