# A worker that does not look at the network for long - it is stopped, or a user's
# trigger takes seconds of each of its turns - does not take that for the
# service's time: what was answered meanwhile is read, and nothing is asked twice.
use strict;
use warnings;
use lib 'test/perl';
use QueueTest;
use Test::More;
use Time::HiRes qw(sleep time);

my $test = QueueTest->new(name => 'absent', bare => 1);
my $oss = $test->{oss};
my $patience = OssServer::patience();
my $timeout = 1000 * $patience;
$test->sql($test->create_sql(timeout_ms => $timeout, connect_timeout_ms => $timeout, max_concurrency => 200));
$oss->fault(kind => 'delay', delay => 0.5 * $timeout);

# Nothing failed, and each of so many images was asked for once.
sub asked_once
{
	my ($name, $n) = @_;
	ok($test->wait_empty, "$name: done");
	is($test->count, $n, "$name: each was asked for once");
	is($test->count('abandoned'), 0, "$name: no answer was given up");
	is($test->sql('SELECT count(*) FROM oss_labels.failed_job'), '0', "$name: none failed");
	is($test->stored, "$n|0", "$name: all are stored");
	$test->sql('DELETE FROM oss_labels.image');
	return $oss->control('/reset?what=counters');
}

# Stop a process for longer than some milliseconds.
sub stop_long
{
	my ($pid, $ms, $meanwhile) = @_;
	my $end = time + 1.2 * $ms / 1000;
	kill 'STOP', $pid;
	$meanwhile->();
	sleep 0.01 while time < $end;
	return kill 'CONT', $pid;
}

# ---- stopped while it waits for answers ----

$test->enqueue(90, 'stopped');
ok($oss->wait_count(label_requests => 90), 'stopped: requests are sent');
my $pid = $test->worker_pid;
stop_long($pid, 1.5 * $timeout, sub { ok($oss->wait_count(label_completed => 90), 'stopped: answered meanwhile') });
asked_once('stopped', 90);

# ---- stopped while it connects ----

$test->sql("ALTER SERVER oss OPTIONS (SET endpoint '" . $oss->https_endpoint . "', ADD ca_file '" . $oss->ca_file . "',"
	  . " SET timeout_ms '" . 5 * $timeout . "', SET connect_timeout_ms '" . 5 * $timeout . "')");
kill 'STOP', $oss->pid;
$test->enqueue(20, 'connecting');
ok($test->wait_sql('SELECT count(*) FROM oss_labels.job WHERE leased_until > clock_timestamp()', '20'), 'connecting: jobs in hand');
ok($test->wait_sql("SELECT count(*) FROM pg_stat_activity WHERE pid = $pid AND state = 'idle'", '1'), 'connecting: at the network');
stop_long($pid, 5 * $timeout, sub { kill 'CONT', $oss->pid });
ok($test->wait_empty, 'connecting: goes on');
is($test->count('connections_https'), 20, 'connecting: by the connections that it had begun');
asked_once('connecting', 20);

# ---- turns on the tables that take longer than a request may ----

$test->sql("ALTER SERVER oss OPTIONS (SET endpoint '" . $oss->http_endpoint . "', DROP ca_file, SET timeout_ms '$timeout', SET connect_timeout_ms '$timeout')");
$test->sql('CREATE TABLE nap (seconds float8 NOT NULL)');
$test->sql('INSERT INTO nap VALUES (' . 1.5 * $timeout / 1000 . ')');
$test->sql('CREATE FUNCTION nap() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN'
	  . ' PERFORM pg_sleep((SELECT seconds FROM public.nap)); RETURN NULL; END $$');
$test->sql('CREATE TRIGGER nap AFTER INSERT ON oss_labels.image FOR EACH STATEMENT EXECUTE FUNCTION nap()');
$test->enqueue(600, 'napping');
asked_once('long turns', 600);

# ---- what hangs does not hang longer for a worker that is busy ----

$test->sql('UPDATE nap SET seconds = ' . 0.15 * $patience);
$oss->fault(kind => 'delay', delay => 100 * $timeout, key => 'hang1', times => 1);
$test->enqueue(1, 'hang');
ok($oss->wait_count(label_in_flight => 1), 'hang: a request that hangs');
my $start = time;
$test->enqueue(5000, 'busy');
ok($oss->wait_count(label_abandoned => 1), 'hang: it is given up');
cmp_ok(time - $start, '<', 3 * $timeout / 1000, 'hang: in time');
isnt($test->sql('SELECT count(*) FROM oss_labels.job'), '0', 'hang: by a worker that has other work');
$test->sql('DELETE FROM oss_labels.job');

done_testing;
