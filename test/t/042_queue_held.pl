# A transaction that is held open for long: what is gone from the queue stays
# in its tables and indexes, and must be stepped over no more often than its
# cost allows.  No ten minutes are waited for: 200 000 jobs come and go at once
# while a snapshot is held, as in ten minutes at 300 a second.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use lib 'test/perl';
use QueueTest;

my $test = QueueTest->new(conf => "oss_labels.worker_idle_timeout = 1\nautovacuum = off\n");
my $node = $test->{node};
my $oss = $test->{oss};
my $dead = 200_000;
$oss->fault(kind => 'delay', delay => 20);

# What the worker has read of the claim index since the last call; it tells
# when it leaves.
my $read_before = 0;

sub index_entries_read
{
	$test->wait_worker('idle%') or die 'the worker stays';
	my $read = $test->sql("SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'job_claim_idx'");
	my $new = $read - $read_before;
	$read_before = $read;
	return $new;
}

# Drain many jobs at once; returns the seconds.
sub bulk
{
	my ($prefix) = @_;
	my $begun = time;
	$test->enqueue(3000, $prefix);
	$test->wait_empty or die "$prefix: not drained";
	return time - $begun;
}

# Enqueue one by one, each its own transaction, as rows arrive.
sub trickle
{
	my ($prefix) = @_;
	$test->sql("DO \$\$ BEGIN FOR i IN 1 .. 300 LOOP PERFORM oss_labels.enqueue('tenlabels', '$prefix' || i, max_age => '0');"
		  . ' COMMIT; PERFORM pg_sleep(0.005); END LOOP; END $$');
	$test->wait_empty or die "$prefix: not drained";
	return;
}

# Seconds of CPU of a process so far.
sub cpu_of
{
	my ($pid) = @_;
	my ($ns) = split / /, slurp_file("/proc/$pid/schedstat");
	return $ns / 1e9;
}

# The longest that an image of a trickle took, from its enqueueing to its request.
sub latency
{
	my ($prefix) = @_;
	return $test->sql("SELECT extract(epoch FROM max(i.tagged_at - e.at))::numeric(10,3) FROM oss_labels.image i"
		  . " JOIN enqueued e USING (key) WHERE key LIKE '$prefix%'");
}
$test->sql('CREATE TABLE enqueued (key text, at timestamptz);'
	  . ' CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN'
	  . ' INSERT INTO public.enqueued VALUES (NEW.key, NEW.enqueued_at); RETURN NULL; END $$;'
	  . ' CREATE TRIGGER note AFTER INSERT ON oss_labels.job FOR EACH ROW WHEN (NEW.key LIKE \'t%\') EXECUTE FUNCTION note()');

my $took = bulk('warm');
index_entries_read();
trickle('t0_');
my $read = index_entries_read();
note sprintf '3000 jobs take %.1f s; 300 single ones read %d index entries, and took %s s at most', $took, $read, latency('t0_');

# ---- a snapshot is held, and much comes and goes ----

my ($in, $out) = ('', '');
my $holder = IPC::Run::start([ $node->installed_command('psql'), '-XAtq', '-d', $node->connstr('postgres') ],
	'<', \$in, '>', \$out, '2>&1');
$in = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1; \\echo held\n";
$holder->pump until $out =~ /held/;
$test->sql('SELECT oss_labels.pause()');
$test->sql("INSERT INTO oss_labels.job (requester, server, bucket, key)"
	  . " SELECT current_user::regrole, 'oss', 'tenlabels', 'gone' || g FROM generate_series(1, $dead) g;"
	  . ' DELETE FROM oss_labels.job; SELECT oss_labels.resume()');
index_entries_read();

my $held = bulk('held');
cmp_ok($held, '<', 3 * $took + 3, sprintf 'held: 3000 jobs take %.1f s', $held);
my $steps = index_entries_read() / $dead;
note sprintf 'their claims stepped over what is gone %.0f times', $steps;

# Each single job wakes the worker, which must not step over everything each time.
$test->enqueue(1, 'up');
$test->wait_empty or die 'not drained';
my $worker = $test->worker_pid;
my ($begun, $cpu) = (time, cpu_of($worker));
trickle('t1_');
$cpu = (cpu_of($worker) - $cpu) / (time - $begun);
cmp_ok($cpu, '<', OssServer::sizes_tell() ? 0.35 : 1, sprintf 'held: 300 single jobs: the worker is busy for %.0f %% of the time', 100 * $cpu);
$steps = index_entries_read() / $dead;
note sprintf 'it stepped over what is gone %.0f times; an image waited %s s at most', $steps, latency('t1_');
is($test->stored, '6601|0', 'held: all are tagged');

# ---- it is let go ----

$in = "COMMIT; \\echo let go\n";
$holder->pump until $out =~ /let go/;
$holder->kill_kill;
$test->sql('VACUUM oss_labels.job');
my $size = 'SELECT pg_total_relation_size(\'oss_labels.job\')';
my $before = $test->sql($size);
bulk('later');
cmp_ok($test->sql($size), '<=', 1.1 * $before, 'let go: vacuumed, the space is used again');
index_entries_read();
trickle('t2_');
$read = index_entries_read();
cmp_ok($read, '<', $dead / 2, "let go: 300 single jobs read $read index entries");

is($test->count('keys_repeated'), 0, 'nothing was asked for twice');
$node->stop;
done_testing;
