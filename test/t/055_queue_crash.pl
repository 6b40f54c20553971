# Worker, postmaster and stand-in are killed again and again while the queue is
# drained.  In the end every image has its labels once and nothing is left over.
# Nothing is asked for twice but what was in flight at a kill: asked for and not
# answered, or answered and not stored yet.  Both are measured at each kill.  All
# of it beside the trouble of a neighbour (see Trouble), which changes nothing of
# this.
#
# OSS_TEST_LONG=1 drains 20 000 images instead of 3 000.

use strict;
use warnings;

use List::Util qw(max sum0);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use lib 'test/perl';
use QueueTest;
use Trouble;

my $long = $ENV{OSS_TEST_LONG};
my $images = $long ? 20000 : 3000;
my $least_kills = $long ? 30 : 8;
my $concurrency = 32;
my $seed = $ENV{OSS_TEST_SEED} // time ^ $$;
srand $seed;
note "seed $seed";

my $test = QueueTest->new(conf => "oss_labels.job_attempts = 10\n");
my $node = $test->{node};
my $oss = $test->{oss};
$test->sql("ALTER SERVER oss OPTIONS (ADD max_concurrency '$concurrency')");

# What happened until each kill since the one before: kill (which), at (seconds),
# requests, repeated (keys asked for more than once), in_flight (not answered yet).
my @lives;

sub slow_answers { $oss->fault(kind => 'delay', delay => '20-60') }

# What the stand-in counted of our bucket.
sub counted { return $oss->tally(bucket => 'tenlabels')->{ $_[0] } }

# Note what the stand-in counted since the last kill, while nobody asks it, and
# how much was in flight when that came.
sub end_life
{
	my ($kill, $in_flight) = @_;
	push @lives, { kill => $kill, at => time, in_flight => $in_flight,
		requests => counted('label_requests'), repeated => counted('keys_repeated') };
	$oss->control('/reset?what=counters');
	return;
}

# Stop the worker for a moment; returns its pid and how much it has in flight.
sub stop_worker
{
	my $worker = eval { $test->worker_pid } or return;
	my ($seen, $requests) = (-1, 0);
	my $in_flight;

	kill 'STOP', $worker;
	while ($seen != $requests)
	{
		($seen, $requests) = ($requests, counted('label_requests'));
		$in_flight //= counted('label_in_flight');
		sleep 0.002;
	}
	return ($worker, $in_flight);
}

# Is a process there and no zombie?
sub is_alive
{
	my ($pid) = @_;
	open my $stat, '<', "/proc/$pid/stat" or return 0;
	return (<$stat> // '') =~ /^\d+ \(.*\) [^ZX]/;
}

# End the worker by a signal.  Nobody starts another meanwhile.
sub end_worker
{
	my ($kill, $signal) = @_;
	my ($worker, $in_flight) = stop_worker() or return;
	my ($postmaster) = split /\n/, slurp_file($node->data_dir . '/postmaster.pid');

	kill 'STOP', $postmaster;
	kill $signal, $worker;
	kill 'CONT', $worker;
	sleep 0.002 while is_alive($worker);
	$oss->wait_count(label_in_flight => 0) or die 'requests of the dead';
	end_life($kill, $in_flight);
	kill 'CONT', $postmaster;
	return;
}

sub end_postmaster
{
	my ($worker, $in_flight) = stop_worker() or return;

	$test->kill_postmaster(
		killed => sub { kill 'CONT', $worker },
		gone => sub {
			$oss->wait_count(label_in_flight => 0) or die 'requests of the dead';
			end_life('postmaster', $in_flight);
		});
	return;
}

# Kill the stand-in, with the worker stopped lest it asks between count and kill.
sub end_oss
{
	my ($worker, $in_flight) = stop_worker() or return;

	end_life('oss', $in_flight);
	$oss->kill9;
	kill 'CONT', $worker;
	sleep rand 0.5;
	$oss->restart;
	slow_answers();
	return;
}

my $left = "SELECT count(*) FROM oss_labels.job WHERE bucket = 'tenlabels'";
my $trouble = Trouble->new($test);
$trouble->begin;
$oss->control('/reset?what=counters');
slow_answers();
$test->enqueue($images);
my $begun = time;
while (@lives < $least_kills || @lives < ($long ? 60 : 12))
{
	my $out;

	sleep 0.1 + rand($long ? 1 : 0.3);
	$node->psql('postgres', $left, stdout => \$out);
	last if defined $out && $out eq '0';

	# so that each kill finds something, also when the one before is hardly over
	for (my $until = time + 5; counted('label_in_flight') == 0 && time < $until;) { sleep 0.02 }
	(sub { end_oss() }, sub { end_worker(worker => 'KILL') },
		sub { end_postmaster() }, sub { end_worker(terminate => 'TERM') })[ @lives % 4 ]->();
}
ok($test->wait_sql($left, '0', seconds => 120), 'the queue is empty');
my $kills = @lives;
end_life('end', 0);
ok($trouble->end, "the neighbour's jobs come to their ends, too");
cmp_ok($kills, '>=', $least_kills, "killed again and again ($kills times)");

# ---- every image, once ----

is($test->stored('tenlabels'), "$images|0", 'every image has its labels exactly once');
is($test->sql("SELECT count(*) FROM oss_labels.failed_job WHERE bucket = 'tenlabels'"), '0', 'no job failed');
is($test->sql("SELECT count(*) FROM oss_labels.label WHERE bucket = 'tenlabels'"), 10 * $images, 'no label too many');

# ---- and what it cost ----

# An image's tagged_at is when the request was made that it was stored of.
my @stored = split /\n/, $test->sql('SELECT count(i.image_id) FROM unnest(ARRAY['
	  . join(', ', map { $_->{at} } @lives)
	  . ']) WITH ORDINALITY life(at, n) LEFT JOIN oss_labels.image i'
	  . q{ ON i.bucket = 'tenlabels' AND width_bucket(extract(epoch FROM i.tagged_at)::float8, ARRAY[}
	  . join(', ', map { "$_->{at}::float8" } @lives) . ']) = n - 1 GROUP BY n ORDER BY n');
for my $n (0 .. $#lives)
{
	my $life = $lives[$n];

	# asked for in vain
	$life->{lost} = $life->{requests} - $stored[$n];
	$life->{unstored} = max(0, $life->{lost} - $life->{in_flight});
	note sprintf '%-10s %5d requests, %5d stored, %2d in flight, %2d answered and not stored',
	  @$life{qw(kill requests)}, $stored[$n], @$life{qw(in_flight unstored)};
}
my %of = map { my $kill = $_; ($kill => [ grep { $_->{kill} eq $kill } @lives ]) }
  qw(oss worker postmaster terminate end);
my ($requests, $in_flight, $unstored) =
  map { my $what = $_; sum0 map { $_->{$what} } @lives } qw(requests in_flight unstored);
is(sum0(@stored), $images, 'each image belongs to a time between two kills');
is(sum0(map { $_->{repeated} } @lives), 0, 'between two kills nothing was asked for twice');
is(sum0(map { $_->{lost} } @{ $of{end} }), 0, 'after the last kill nothing was asked for in vain');
cmp_ok(max(map { $_->{in_flight} } @lives), '<=', $concurrency, 'as many in flight as allowed');
for my $kill (qw(oss terminate))
{
	# the worker lives on, or ends by itself and stores what was answered
	cmp_ok($_->{lost}, '<=', $concurrency, "$kill: nothing was lost but what was in flight")
	  for @{ $of{$kill} };
}
cmp_ok($requests, '>=', $images, 'requests were counted');
cmp_ok($requests, '<=', $images + $in_flight + $unstored,
	"$requests requests: $images images, $in_flight in flight and $unstored not stored yet at $kills kills");
# 256 finished jobs are stored at once; while that is done as many more may come
# as are in flight
cmp_ok(max(map { $_->{unstored} } @lives), '<=', 256 + $concurrency, 'no more than one batch was not stored yet');
note sprintf '%d images, %d kills (%s), %d in flight and %d answered and not stored at them,'
  . ' %d requests (%d twice), %.1f s', $images, $kills,
  join(', ', map { scalar(@{ $of{$_} }) . " $_" } qw(oss worker postmaster terminate)),
  $in_flight, $unstored, $requests, $requests - $images, time - $begun;
$node->stop;
$oss->stop;
done_testing;
