# Worker, postmaster and stand-in are killed again and again while the queue is
# drained.  In the end every image has its labels once, nothing is left over,
# and hardly anything was asked for twice: what was in flight at each kill.
#
# OSS_TEST_LONG=1 drains 20 000 images instead of 3 000.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use lib 'test/perl';
use QueueTest;

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

# The stand-in forgets its counters when it is killed: add them up before.
my $requests = 0;
my ($lost, $kills) = (0, 0);

sub slow_answers { $oss->fault(kind => 'delay', delay => $long ? '20-60' : '10-40') }

# Kill the stand-in while it is stopped, so that nothing comes between the
# count and the kill.
sub kill_oss
{
	my $in_flight = $test->count('label_in_flight');
	$requests += $test->count('label_requests');
	$oss->kill9;
	$lost += $concurrency;
	sleep rand 0.5;
	$oss->restart;
	slow_answers();
	return;
}

sub kill_worker
{
	my $pid = eval { $test->worker_pid };
	return unless $pid;
	kill 'KILL', $pid;
	$lost += $concurrency;
	return;
}

sub kill_postmaster
{
	$test->kill_postmaster;
	$lost += $concurrency;
	return;
}

sub terminate_worker
{
	my $pid = eval { $test->worker_pid };
	return unless $pid;
	kill 'TERM', $pid;
	$lost += $concurrency;
	return;
}

slow_answers();
$test->enqueue($images);
my $begun = time;
my %done;
while (1)
{
	my ($name, $kill) = @{ (
			[ oss => \&kill_oss ],
			[ worker => \&kill_worker ],
			[ postmaster => \&kill_postmaster ],
			[ terminate => \&terminate_worker ]
		)[ $kills % 4 ] };
	my $out;

	sleep 0.15 + rand($long ? 1 : 0.5);
	$node->psql('postgres', 'SELECT count(*) FROM oss_labels.job', stdout => \$out);
	last if defined $out && $out eq '0';
	last if $kills >= $least_kills && $kills >= ($long ? 60 : 12);
	$kill->();
	$done{$name}++;
	$kills++;
}
note join ', ', map { "$_ $done{$_}" } sort keys %done;
cmp_ok($kills, '>=', $least_kills, "killed again and again ($kills times)");
ok($test->wait_empty(seconds => 170), 'the queue is empty');
$requests += $test->count('label_requests');
is($test->stored, "$images|0", 'every image has its labels exactly once');
is($test->sql('SELECT count(*) FROM oss_labels.failed_job'), '0', 'no job failed');
is($test->sql('SELECT count(*) FROM oss_labels.image_label'), 10 * $images, 'no label too many');
cmp_ok($requests, '>=', $images, 'requests were counted');
cmp_ok($requests, '<=', $images + $lost,
	"$requests requests for $images images and $kills kills with up to $concurrency in flight");
note sprintf '%d images, %d kills, %d requests (%d twice), %.1f s', $images,
  $kills, $requests, $requests - $images, time - $begun;
$node->stop;
$oss->stop;
done_testing;
