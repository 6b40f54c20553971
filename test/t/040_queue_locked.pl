# Rows that somebody else has locked, when the worker comes to them: it goes on
# with the others, and what was paid for is stored, once.

use strict;
use warnings;

use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use lib 'test/perl';
use QueueTest;

my $test = QueueTest->new;
my $node = $test->{node};
my $oss = $test->{oss};

# Lock rows in a session of its own; returns what release() wants.
sub lock_rows
{
	my ($rows) = @_;
	my ($in, $out) = ("BEGIN; SELECT 'locked ' || count(*) FROM (SELECT FROM $rows FOR UPDATE) r;\n", '');
	my $session = IPC::Run::start([ $node->installed_command('psql'), '-XAtq', '-d', $node->connstr('postgres') ],
		'<', \$in, '>', \$out, '2>&1');
	$session->pump until $out =~ /locked|ERROR/;
	like($out, qr/^locked [1-9]/, "rows of $rows are locked");
	return { in => \$in, session => $session };
}

sub release
{
	my ($lock) = @_;
	${ $lock->{in} } = "ROLLBACK;\n\\q\n";
	$lock->{session}->finish;
	return;
}

# ---- a job whose row is locked, in a turn that fails afterwards ----

$test->sql("INSERT INTO oss_labels.active_pause (server, automatic, since, reason, lasts) VALUES ('other', true, now(), 'a test', '30 min')");
$oss->fault(kind => 'delay', delay => 3000);
$test->enqueue(1, 'aborted');
ok($oss->wait_count(label_in_flight => 1), 'a turn that fails: in flight');
$test->sql('CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql'
	  . q{ AS $$ BEGIN RAISE EXCEPTION 'this turn shall fail'; END $$;}
	  . ' CREATE TRIGGER refuse BEFORE DELETE ON oss_labels.active_pause FOR EACH ROW EXECUTE FUNCTION refuse();'
	  . " UPDATE oss_labels.active_pause SET since = now() - interval '1 hour'; SELECT oss_labels.announce()");
my $lock = lock_rows('oss_labels.job');
ok($oss->wait_count(label_answers => 1), 'a turn that fails: answered');
$test->log;
my $until = time + 60 * OssServer::patience();
my $failed = 0;
until ($failed >= 2 || time > $until)
{
	sleep 0.1;
	$failed += () = $test->log =~ /ERROR: .*this turn shall fail/g;
}
cmp_ok($failed, '>=', 2, 'a turn that fails: did, and again');
$test->sql('DROP TRIGGER refuse ON oss_labels.active_pause');
release($lock);
ok($test->wait_empty, 'a turn that fails: the job is done');
is($test->stored, '1|0', 'a turn that fails: its labels are stored');
is($test->count, 1, 'a turn that fails: paid for once');

# ---- a cancel while answers are settled one by one ----

$test->reset;
$test->enqueue(5, 'cancelled');
ok($test->wait_empty, 'a cancelled turn: tagged before');
$test->reset;
$lock = lock_rows("oss_labels.image WHERE key LIKE 'cancelled%'");
$oss->fault(kind => 'delay', delay => 1500);
$test->enqueue(5, 'cancelled');
my $pid = $test->worker_pid;
# It waits for 200 ms with all of them, then with each: one session must be fast
# enough to see that.
like($test->sql_error("DO \$\$ BEGIN FOR i IN 1 .. 4000 LOOP PERFORM pg_stat_clear_snapshot();"
		  . " IF EXISTS (SELECT FROM pg_stat_activity WHERE pid = $pid AND wait_event_type = 'Lock') THEN"
		  . " PERFORM pg_sleep(0.5); PERFORM pg_cancel_backend($pid); RAISE 'it waited'; END IF;"
		  . ' PERFORM pg_sleep(0.005); END LOOP; END $$'),
	qr/it waited/, 'a cancelled turn: waits');
release($lock);
ok($test->wait_empty, 'a cancelled turn: the jobs are done');
is($test->count, 5, 'a cancelled turn: paid for once');

# ---- a pause that has had its time ----

$test->reset;
$test->sql("INSERT INTO oss_labels.active_pause (server, automatic, since, reason, lasts)"
	  . " VALUES ('another', true, now(), 'a test', '3 s')");
$lock = lock_rows("oss_labels.active_pause WHERE server = 'another'");
ok($test->wait_sql("SELECT since + lasts < clock_timestamp() FROM oss_labels.active_pause WHERE server = 'another'"),
	'a pause that is locked has had its time');
$test->log;
$test->enqueue(3, 'beside');
ok($test->wait_empty(seconds => 20), 'an old pause that is locked: others are tagged meanwhile');
unlike($test->log, qr/lock timeout/, 'an old pause that is locked: nobody waits for it');
release($lock);

# ---- a worker begins while the job of a dead one is locked ----

$oss->fault(kind => 'delay', delay => 1500, key => 'dead1');
$test->enqueue(1, 'dead');
ok($oss->wait_count(label_in_flight => 1), 'a dead one: in flight');
$lock = lock_rows("oss_labels.job WHERE key = 'dead1'");
$pid = $test->worker_pid;
$test->sql("SELECT pg_terminate_backend($pid, 10000)");
$test->enqueue(3, 'alive');
ok($test->wait_sql("SELECT count(*) FROM oss_labels.image WHERE key LIKE 'alive%'", '3', seconds => 20),
	'a dead one: the others are tagged');
release($lock);
ok($test->wait_empty(seconds => 120), 'a dead one: so is its own');
is($test->sql('SELECT count(*) FROM oss_labels.failed_job'), '0', 'no job failed');

# ---- an index that each claim reads is being moved ----

$test->reset;
$oss->fault(kind => 'delay', delay => 500);
$test->enqueue(1000, 'moved');
ok($oss->wait_counted(label_requests => 50), 'an index is moved: begun');
$pid = $test->worker_pid;
my ($move, $moved) = ("BEGIN; ALTER INDEX oss_labels.image_bucket_key_version_id_key SET TABLESPACE pg_default;\n\\echo moved\n", '');
my $mover = IPC::Run::start([ $node->installed_command('psql'), '-XAtq', '-d', $node->connstr('postgres') ], '<', \$move, '>', \$moved);
$mover->pump until $moved =~ /moved/;
# a turn holds locks and obeys nobody
my $longest = 0;
$until = time + 4;
while (time < $until)
{
	my $age = $test->sql("SELECT coalesce(extract(epoch FROM clock_timestamp() - xact_start), 0) FROM pg_stat_activity WHERE pid = $pid");
	$longest = $age if $age > $longest;
	sleep 0.05;
}
cmp_ok($longest, '<', 2 * OssServer::patience(), 'an index is moved: no turn of the worker is long');
release({ in => \$move, session => $mover });
ok($test->wait_empty, 'an index is moved: then all are tagged');
is($test->count, 1000, 'an index is moved: each was paid for once');

# ---- the whole queue is locked: an application's transaction waits once ----

$test->sql("CREATE TABLE photo (key text); SELECT oss_labels.watch('photo', 'key', bucket => 'tenlabels')");
my ($in, $out) = ("BEGIN; LOCK oss_labels.job IN SHARE MODE;\n\\echo locked\n", '');
my $session = IPC::Run::start([ $node->installed_command('psql'), '-XAtq', '-d', $node->connstr('postgres') ], '<', \$in, '>', \$out);
$session->pump until $out =~ /locked/;
my $begun = time;
$test->sql(q{SET client_min_messages = error;
	DO $$ BEGIN FOR i IN 1..100 LOOP INSERT INTO photo VALUES ('p' || i); END LOOP; END $$});
cmp_ok(time - $begun, '<', 10, 'a hundred INSERTs in a transaction wait once for who has locked the queue');
is($test->sql('SELECT count(*) FROM photo'), '100', 'and all rows are there');
release({ in => \$in, session => $session });

$node->stop;
$oss->stop;
done_testing;
