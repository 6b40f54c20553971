# Nobody's trouble is another's: three roles have jobs in five buckets, of which
# one is throttled for good, and one is on a server that cannot be reached.  The
# three healthy buckets are drained as if they were alone: what the stand-in
# counts is one request for each of their images, and nobody waits.
#
# OSS_TEST_LONG=1 does it with 100 000 jobs, and compares the time with that of
# the healthy buckets alone.

use strict;
use warnings;

use List::Util qw(sum0);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use lib 'test/perl';
use DeadPorts;
use QueueTest;

my $long = $ENV{OSS_TEST_LONG};
my $each = $long ? 20_000 : 1000;
my $sick_each = $long ? 20_000 : 300;
my $test = QueueTest->new(conf => "oss_labels.job_attempts = 3\nmax_wal_size = 4GB\n");
my $oss = $test->{oss};
my $dead = DeadPorts->new;

# Who has jobs where; the sick ones first.
my @healthy = ([ ann => 'meadow' ], [ bob => 'forest' ], [ eve => 'river' ]);
$test->sql("CREATE SERVER lost FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou',"
	  . " endpoint 'http://127.0.0.1:" . $dead->full . "')");
$test->role($_, 'oss', 'lost') for qw(ann bob eve);
$test->bucket($_) for map { $_->[1] } @healthy;

# Enqueue as a role.
sub enqueue_as
{
	my ($role, $bucket, $n, $server) = @_;
	$server //= 'oss';
	return $test->sql("SET ROLE $role; SELECT count(oss_labels.enqueue('$bucket', 'k' || g, server => '$server'))"
		  . " FROM generate_series(1, $n) g");
}

# Enqueue the healthy jobs, and wait until they are done; returns the seconds.
sub drain_healthy
{
	my ($what) = @_;
	my $begun;

	if ($long)
	{
		$test->sql('SELECT oss_labels.pause()');
		enqueue_as(@$_, $each) for @healthy;
		$test->sql('VACUUM ANALYZE oss_labels.job; CHECKPOINT');
		$begun = time;
		$test->sql('SELECT oss_labels.resume()');
	}
	else
	{
		$begun = time;
		enqueue_as(@$_, $each) for @healthy;
	}
	ok($test->wait_sql("SELECT count(*) FROM oss_labels.job WHERE bucket IN ('meadow', 'forest', 'river')", '0',
			seconds => $long ? 300 : 60), "$what: the healthy buckets are drained");
	# the last images' own times: looking costs time, too
	return $test->sql('SELECT coalesce(extract(epoch FROM max(tagged_at)), extract(epoch FROM now())) FROM oss_labels.image'
		  . " WHERE bucket IN ('meadow', 'forest', 'river')") - $begun;
}

# What was counted of the healthy buckets.
sub healthy_counts
{
	my @tally = map { $oss->tally(bucket => $_->[1]) } @healthy;
	return join ' ', map { my $name = $_; "$name=" . sum0 map { $_->{$name} } @tally }
	  qw(label_requests label_answers throttled refused failed abandoned keys_distinct keys_repeated);
}
sub expected_counts
{
	my $n = @healthy * $each;
	return "label_requests=$n label_answers=$n throttled=0 refused=0 failed=0 abandoned=0 keys_distinct=$n keys_repeated=0";
}

# ---- alone ----

$oss->fault(kind => 'delay', delay => 20);
my @alone = drain_healthy('alone');
is(healthy_counts(), expected_counts(), 'alone: one request for each image');

# ---- with trouble beside them ----

my @beside;
sub with_trouble
{
	$test->sql('TRUNCATE oss_labels.image, oss_labels.job, oss_labels.failed_job');
	$test->bucket('desert', throttle => 'QpsLimitExceeded');
	$oss->control('/reset?what=counters');
	enqueue_as(ann => 'desert', $sick_each);
	enqueue_as(bob => 'moon', $sick_each, 'lost');
	ok($oss->wait_counted(code_QpsLimitExceeded => 1), 'beside: the throttled bucket was asked');
	push @beside, drain_healthy('beside');
	is(healthy_counts(), expected_counts(), 'beside: one request for each image of the healthy buckets');
	is($test->sql("SELECT count(*) FROM oss_labels.failed_job WHERE bucket NOT IN ('desert', 'moon')"), '0',
		'beside: no healthy job failed');
	return;
}
with_trouble();
my $sick = $oss->tally(bucket => 'desert');
# as many as were in flight when the first was refused, and then a few a second
cmp_ok($sick->{requests}, '<=', 64 + 10 + 3 * $beside[0],
	sprintf 'beside: the throttled bucket was asked %d times in %.1f s', $sick->{requests}, $beside[0]);
is($sick->{throttled} + $sick->{label_in_flight}, $sick->{requests}, 'beside: in vain');

# ---- a session that asks for itself ----

for my $bucket ('meadow', 'tenlabels')
{
	is(scalar eval { $test->sql("SET statement_timeout = '10s'; SET ROLE eve;"
			. " SELECT count(*) FROM oss_labels.detect('$bucket', 'mine', server => 'oss')") },
		'10', "a session asks for an image of $bucket meanwhile");
}

# ---- who may see what is wrong ----

my $trouble = sub {
	my ($role, $bucket) = @_;
	return $test->sql("SET ROLE $role; SELECT count(*) FROM oss_labels.queue WHERE bucket = '$bucket'"
		  . " AND (last_trouble IS NOT NULL OR failed > 0 OR paused IS NOT NULL)");
};
ok($test->wait_sql("SELECT count(*) FROM oss_labels.queue WHERE bucket = 'desert'"
	  . " AND (last_trouble IS NOT NULL OR failed > 0)", '1'), 'the queue shows the trouble of the throttled bucket');
ok($test->wait_sql("SELECT count(*) FROM oss_labels.queue WHERE bucket = 'moon'"
	  . " AND (last_trouble IS NOT NULL OR failed > 0)", '1'), 'and that of the server that cannot be reached');
is($trouble->(ann => 'desert'), '1', 'so sees who has jobs there');
is($trouble->(eve => $_), '0', "and not who has none: $_") for 'desert', 'moon';
is($test->sql("SELECT count(*) FROM oss_labels.queue WHERE bucket IN ('meadow', 'forest', 'river')"
	  . " AND (last_trouble IS NOT NULL OR failed > 0 OR paused IS NOT NULL)"), '0', 'the healthy buckets have none');

# ---- the end of the trouble ----

if (!$long)
{
	# each is asked for once more, whatever they met before
	my $failed = $test->sql("SELECT count(*) FROM oss_labels.failed_job WHERE bucket = 'desert'");
	$test->bucket('desert');
	$oss->control('/reset?what=counters');
	$test->sql("SELECT oss_labels.resume('oss')");
	ok($test->wait_sql("SELECT count(*) FROM oss_labels.job WHERE bucket = 'desert'", '0'),
		'the limit is lifted: the bucket is drained');
	is($oss->tally(bucket => 'desert')->{label_requests}, $sick_each - $failed, 'by a request for each image');

	# a bucket that answers slowly is claimed as slowly: what waits for it would
	# keep others from getting ready
	$oss->fault(kind => 'delay', delay => 1000, bucket => 'marsh');
	$test->bucket('marsh');
	$test->sql('SELECT oss_labels.pause()');
	enqueue_as(@$_, 2000) for [ ann => 'marsh' ], [ bob => 'brook' ];
	$test->bucket('brook');
	$test->sql('SELECT oss_labels.resume()');
	ok($test->wait_sql("SELECT count(*) FROM oss_labels.job WHERE bucket = 'brook'", '0'),
		'beside a bucket that answers slowly another is drained');
	my $asked = $oss->tally(bucket => 'marsh')->{label_requests};
	cmp_ok($asked, '<', 2000, "when the slow one is not done ($asked of 2000 requests)");
	$test->sql("DELETE FROM oss_labels.job WHERE bucket = 'marsh'");
	ok($oss->wait_count(label_in_flight => 0), 'and nothing that was deleted is asked for');

	# a bucket that never answers does not take all that may be in flight
	$oss->fault(kind => 'hang', bucket => 'swamp');
	$test->bucket('swamp');
	enqueue_as(ann => 'swamp', 300);
	ok($oss->wait_count(label_in_flight => 32), 'a bucket that never answers has half of the slots');
	$test->enqueue(300, 'beside');
	ok($test->wait_sql("SELECT count(*) FROM oss_labels.job WHERE bucket = 'tenlabels'", '0', seconds => 20),
		'and another is drained');
	is($oss->tally(bucket => 'swamp')->{label_requests}, 32, 'while it is asked no more');
}
else
{
	# by turns, so that a busy machine troubles both alike
	for (1 .. 2)
	{
		$test->sql('TRUNCATE oss_labels.image, oss_labels.job, oss_labels.failed_job');
		$test->bucket('desert');
		$oss->control('/reset?what=counters');
		push @alone, drain_healthy('alone');
		with_trouble();
	}
	my ($alone, $beside) = map { (sort { $a <=> $b } @$_)[1] } \@alone, \@beside;
	note sprintf '%d healthy jobs beside %d others: alone %s s, beside %s s', @healthy * $each, 2 * $sick_each,
	  map { join ', ', map { sprintf '%.2f', $_ } @$_ } \@alone, \@beside;
	cmp_ok($beside / $alone, '<=', 1.1, sprintf 'as fast as alone: %.2f times the time', $beside / $alone);
}
$test->{node}->stop;
$oss->stop;
done_testing;
