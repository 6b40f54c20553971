# Who goes next, and what is asked for that nobody wants any more: priorities,
# turns of roles and buckets, and how much is leased ahead.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use lib 'test/perl';
use QueueTest;

my $test = QueueTest->new;
my $node = $test->{node};
my $oss = $test->{oss};

$test->sql("CREATE ROLE other LOGIN; GRANT USAGE ON SCHEMA oss_labels TO other;"
	  . " GRANT EXECUTE ON FUNCTION oss_labels.enqueue TO other;"
	  . " GRANT USAGE ON FOREIGN SERVER oss TO other;"
	  . " CREATE USER MAPPING FOR other SERVER oss OPTIONS (access_key_id 'testid', access_key_secret 'testsecret')");

sub stored_key
{
	my ($key) = @_;
	return "SELECT count(*) FROM oss_labels.image WHERE key = '$key'";
}

sub leased
{
	return $test->sql('SELECT count(*) FROM oss_labels.job WHERE leased_until > clock_timestamp()');
}

# Forget what is queued.
sub clear
{
	$test->sql('DELETE FROM oss_labels.job');
	$test->wait_empty;
	$oss->wait_count(label_in_flight => 0);
	return $test->reset;
}

# ---- slow answers: what is leased ahead ----

$test->sql("ALTER SERVER oss OPTIONS (ADD max_concurrency '16')");
$oss->fault(kind => 'delay', delay => 500);
# a trickle made the reserve grow without end
$test->sql("DO \$\$ BEGIN FOR i IN 1 .. 40 LOOP PERFORM oss_labels.enqueue('tenlabels', 'trickle' || i);"
	  . ' COMMIT; PERFORM pg_sleep(0.03); END LOOP; END $$');
$test->enqueue(3000, 'many');
ok($oss->wait_counted(label_requests => 100), 'slow answers: going on');
cmp_ok(leased(), '<=', 16 + 2 * 32, 'slow answers: no more than two seconds of them are leased ahead');

# ---- a higher priority goes next ----

my $before = $test->count;
$test->sql("SELECT oss_labels.enqueue('tenlabels', 'urgent', priority => 1000)");
ok($test->wait_sql(stored_key('urgent'), 1), 'a higher priority: done');
cmp_ok($test->count - $before, '<=', 16 * 5, 'a higher priority: before those that are leased ahead');

# ---- deleted: not asked for ----

$test->sql('DELETE FROM oss_labels.job');
$before = $test->count;
ok($oss->wait_count(label_in_flight => 0), 'deleted: nothing is in flight');
cmp_ok($test->count - $before, '<=', 16 + 32, 'deleted: no more than a second of requests for what nobody wants');
$test->enqueue(3000, 'truncated');
ok($oss->wait_count(label_in_flight => 16), 'truncated: going on');
$test->sql('TRUNCATE oss_labels.job');
$before = $test->count;
ok($oss->wait_count(label_in_flight => 0), 'truncated: nothing is in flight');
cmp_ok($test->count - $before, '<=', 16 + 32, 'truncated: no more than a second of requests');
ok($test->wait_sql('SELECT count(*) FROM oss_labels.job', 0), 'truncated: nothing is left');

# ---- roles and buckets take turns, however slow it goes ----

# Enqueue a job and wait until its image is stored: within three seconds of
# requests to others.
sub goes_soon
{
	my ($sql, $key, $name) = @_;
	$test->sql($sql);
	my $others = -$test->count;
	ok($test->wait_sql(stored_key($key), 1), "turns: $name is done");
	my @log = split /\n/, $oss->control('/log');
	my ($place) = grep { $log[$_] =~ m{/\Q$key\E\b} } 0 .. $#log;
	$others += $place // @log;
	cmp_ok($others, '<=', 3 * 5, "turns: $name goes soon: $others others went before it");
	return;
}

clear();
$test->sql("ALTER SERVER oss OPTIONS (ADD max_requests_per_second '5')");
sleep 1.2;
$test->enqueue(3000, 'thousands');
ok($oss->wait_counted(label_requests => 5), 'turns: going on at five a second');
$before = $test->count;
goes_soon("SET ROLE other; SELECT oss_labels.enqueue('tenlabels', 'single')", 'single', 'a single job of another role');
goes_soon("SELECT oss_labels.enqueue('everykey', 'single2')", 'single2', 'one of another bucket');
goes_soon("SELECT oss_labels.enqueue('tenlabels', 'soon', priority => 1)", 'soon', 'one of a higher priority');
$test->rate_at_most(5, 'turns: and the limit is kept');
clear();
$test->sql('ALTER SERVER oss OPTIONS (DROP max_requests_per_second, DROP max_concurrency)');

# ---- priorities are kept, in one lane and over lanes ----

$test->sql("ALTER SERVER oss OPTIONS (ADD max_concurrency '1'); SELECT oss_labels.pause()");
$test->sql("SELECT count(oss_labels.enqueue('tenlabels', 'p' || g, priority => g)) FROM generate_series(1, 40) g;"
	  . " SELECT count(oss_labels.enqueue('everykey', 'q' || g, priority => 2 * g)) FROM generate_series(1, 20) g;"
	  . " INSERT INTO oss_labels.job (requester, server, bucket, key, priority)"
	  . " SELECT requester, server, bucket, 'lowest', -2147483648 FROM oss_labels.job LIMIT 1;"
	  . " SELECT oss_labels.resume()");
ok($test->wait_empty, 'priorities: drained');
my $order = $test->sql(q{SELECT string_agg(p, ' ' ORDER BY tagged_at) FROM (SELECT tagged_at,}
	  . q{ CASE key WHEN 'lowest' THEN '-' WHEN 'q' || substr(key, 2) THEN (2 * substr(key, 2)::int)::text ELSE substr(key, 2) END AS p}
	  . q{ FROM oss_labels.image WHERE key ~ '^[pq][0-9]+$' OR key = 'lowest') i});
my @order = split / /, $order;
is(pop @order, '-', 'priorities: the lowest there is comes last');
my $late = grep { $order[$_] > $order[ $_ - 1 ] } 1 .. $#order;
cmp_ok($late, '<=', 4, "priorities: kept ($order)");
$test->sql('ALTER SERVER oss OPTIONS (DROP max_concurrency)');

# ---- many priorities cost little ----

sub drain
{
	my ($priority, $prefix) = @_;
	$test->sql("SELECT oss_labels.pause(); SELECT count(oss_labels.enqueue('tenlabels', '$prefix' || g, priority => $priority)) FROM generate_series(1, 8000) g; SELECT oss_labels.resume()");
	my $start = time;
	ok($test->wait_empty, "$prefix: drained");
	return time - $start;
}
my $one = drain(0, 'one');
my $distinct = drain('-g', 'distinct');
cmp_ok($distinct, '<', 2 * $one + 1, sprintf 'as many priorities as jobs: %.1f s, with one %.1f s', $distinct, $one);

# ---- what is deferred or paused is not walked over ----

$test->sql("INSERT INTO oss_labels.job (requester, server, bucket, key, due)"
	  . " SELECT 'other'::regrole, 'oss', 'tenlabels', 'later' || g, clock_timestamp() + interval '1 hour' FROM generate_series(1, 100000) g;"
	  . " INSERT INTO oss_labels.job (requester, server, bucket, key, priority, due)"
	  . " SELECT current_user::regrole, 'oss', 'tenlabels', 'later' || g, 5, clock_timestamp() + interval '1 hour' FROM generate_series(1, 100000) g;"
	  . " INSERT INTO oss_labels.active_pause (server, bucket, automatic, reason) VALUES ('oss', 'examplebucket', false, 'a test');"
	  . " INSERT INTO oss_labels.job (requester, server, bucket, key)"
	  . " SELECT current_user::regrole, 'oss', 'examplebucket', 'paused' || g FROM generate_series(1, 100000) g");
my $reads = "SELECT pg_stat_get_tuples_returned('oss_labels.job_claim_idx'::regclass)";
for my $i (1 .. 20)
{
	$test->sql("SELECT oss_labels.enqueue('tenlabels', 'now$i')");
	$test->wait_sql(stored_key("now$i"), 1, seconds => 5) or last;
}
is($test->sql("SELECT count(*) FROM oss_labels.image WHERE key LIKE 'now%'"), 20, 'deferred and paused: others are done at once');
$test->sql("SELECT pg_terminate_backend(" . $test->worker_pid . ", 10000)");
cmp_ok($test->sql($reads), '<', 400_000, 'deferred and paused: they are not walked over each time');
is($test->sql("SELECT count(*) FROM oss_labels.job WHERE key ~ '^(later|paused)'"), 300000, 'deferred and paused: they are all there');

$node->stop;
done_testing;
