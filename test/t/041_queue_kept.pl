# What was paid for is kept, whatever error process_queue() or a worker that
# ends meets when it settles: locks of others, triggers, cancels, time-outs.
# Whoever has the job next stores the answer and asks for nothing.

use strict;
use warnings;

use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use lib 'test/perl';
use QueueTest;

my $test = QueueTest->new(conf => "oss_labels.worker = off\n");
my $node = $test->{node};
my $oss = $test->{oss};

# Start psql with SQL.
sub begin
{
	my ($sql) = @_;
	my %run;

	$run{harness} = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), map { ('-c', $_) } ref $sql ? @$sql : $sql ],
		'<', \undef, '>', \$run{out}, '2>', \$run{err});
	return \%run;
}

# Wait for its end; returns what it said.
sub finish
{
	my ($run) = @_;
	$run->{harness}->finish;
	return $run->{out} . $run->{err};
}

# Hold what SQL locks; returns what release() wants.
sub hold
{
	my ($sql) = @_;
	my ($in, $out) = ("BEGIN; $sql;\n\\echo held\n", '');
	my $session = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres') ], '<', \$in, '>', \$out, '2>&1');

	$session->pump until $out =~ /held$/m;
	unlike($out, qr/ERROR/, "held: $sql");
	return { in => \$in, session => $session };
}

sub release
{
	my ($hold) = @_;
	${ $hold->{in} } = "ROLLBACK;\n\\q\n";
	$hold->{session}->finish;
	return;
}

my $cancel = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'CALL oss_labels.process_queue%'";

# ---- locked while process_queue() has answers, then cancelled, terminated, or not ----

$test->enqueue(31, 'old');
$test->sql('CALL oss_labels.process_queue()');
my %lock = (
	'images' => "SELECT image_id FROM oss_labels.image WHERE key LIKE 'old%' FOR UPDATE",
	'jobs' => "SELECT job_id FROM oss_labels.job FOR UPDATE",
	map { $_ => "LOCK TABLE oss_labels.$_ IN ACCESS EXCLUSIVE MODE" } qw(image image_label vocabulary active_pause failed_job));
for my $name (sort keys %lock)
{
	for my $how ('cancelled', 'terminated', 'let go')
	{
		$test->reset;
		$oss->fault(kind => 'delay', delay => 400);
		$test->sql("SELECT count(oss_labels.enqueue('tenlabels', 'old' || g, max_age => '0')) FROM generate_series(1, 31) g, generate_series(1, 2)");
		my $run = begin('CALL oss_labels.process_queue()');
		ok($oss->wait_count(label_in_flight => 31), "$name, $how: in flight");
		my $hold = hold($lock{$name});
		ok($oss->wait_count(label_answers => 31), "$name, $how: answered");
		if ($how eq 'cancelled')
		{
			is($test->sql($cancel), '1', "$name, $how: told");
			like(finish($run), qr/canceling statement due to user request/, "$name, $how: it ends");
			release($hold);
		}
		elsif ($how eq 'terminated')
		{
			is($test->sql($cancel =~ s/cancel/terminate/r), '1', "$name, $how: told");
			like(finish($run), qr/terminating connection due to administrator command/, "$name, $how: it ends");
			release($hold);
		}
		else
		{
			sleep 0.3;
			ok($run->{harness}->pumpable, "$name, $how: it waits");
			release($hold);
			like(finish($run), qr/tagged 31 images, 0 failed/, "$name, $how: it goes on");
		}
		# what follows another is due a second later, as is what was locked
		my $end = time + 20 * OssServer::patience();
		do
		{
			$test->sql('CALL oss_labels.process_queue()');
		} until $test->sql('SELECT count(*) FROM oss_labels.job') eq '0' || time > $end;
		is($test->sql('SELECT count(*) FROM oss_labels.job'), '0', "$name, $how: nothing is left");
		is($test->count, 31, "$name, $how: each was paid for once");
		is($test->stored, '31|0', "$name, $how: all labels are stored");
	}
}

# ---- a time-out instead of a cancel, and an image whose row is locked for longer ----

$test->reset;
my $hold = hold("SELECT image_id FROM oss_labels.image WHERE key LIKE 'old%' FOR UPDATE");
$test->sql("SELECT count(oss_labels.enqueue('tenlabels', 'old' || g, max_age => '0')) FROM generate_series(1, 31) g");
for (1 .. 3)
{
	like($test->sql_error("SET statement_timeout = '700ms'; CALL oss_labels.process_queue()"), qr/57014/, 'a time-out: it ends');
}
is($test->sql("SELECT count(*), count(answer), count(lease), max(attempts) FROM oss_labels.job"), '31|31|0|0',
	'a time-out: the answers are in the rows of the jobs, which nobody has');
is($test->sql("SELECT count(*) FROM oss_labels.job WHERE reason LIKE 'it is answered%'"), 31, 'a time-out: which say so');
release($hold);
$test->sql("UPDATE oss_labels.image SET tagged_at = '2020-01-01'; CALL oss_labels.process_queue()");
is($test->count, 31, 'a time-out: each was paid for once');
is($test->sql("SELECT count(*) FROM oss_labels.image WHERE tagged_at > '2021-01-01' AND request_id IS NOT NULL"), 31, 'a time-out: stored at last');
is($test->sql('SELECT count(*) FROM oss_labels.job'), 0, 'a time-out: nothing is left');

# ---- a session that may write no temporary files ----

for my $call ('CALL oss_labels.process_queue()', "SELECT count(*) FROM generate_series(1, 100) g, oss_labels.tag('tenlabels', 'temp' || g, server => 'oss')")
{
	$test->reset;
	$test->enqueue(500, 'temp') if $call =~ /CALL/;
	my $before = $test->sql('SELECT count(*) FROM oss_labels.image');
	(undef, undef, my $error) = $node->psql('postgres', "SET work_mem = '64kB'; SET temp_file_limit = 0; $call");
	unlike($error, qr/ERROR/, "no temporary files: $call");
	is($test->sql('SELECT count(*) FROM oss_labels.image') - $before, $test->count, 'no temporary files: what was paid for is stored');
	is($test->sql('SELECT count(*) FROM oss_labels.job'), 0, 'no temporary files: nothing is left');
	$test->sql("DELETE FROM oss_labels.image WHERE key LIKE 'temp%'");
}

# ---- a trigger that makes the session's first temporary table ----

$test->reset;
$test->sql('CREATE FUNCTION note_in_temp() RETURNS trigger LANGUAGE plpgsql SET client_min_messages = error AS'
	  . ' $$ BEGIN CREATE TEMP TABLE IF NOT EXISTS noted (key text); RETURN NEW; END $$;'
	  . ' CREATE TRIGGER note BEFORE INSERT ON oss_labels.image FOR EACH ROW EXECUTE FUNCTION note_in_temp()');
$test->enqueue(3, 'noted');
my $said = finish(begin([ 'CALL oss_labels.process_queue()', 'SELECT pg_terminate_backend(pg_backend_pid()), pg_sleep(20)' ]));
like($said, qr/tagged 3 images/, 'a temporary table: process_queue() succeeds');
like($said, qr/terminating connection/, 'a temporary table: the session can be terminated');
$test->sql('DROP TRIGGER note ON oss_labels.image; DROP FUNCTION note_in_temp()');

# ---- a trigger that never ends, and a session that is terminated ----

$test->reset;
$test->sql('CREATE FUNCTION sleep_long() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(600); RETURN NEW; END $$;'
	  . ' CREATE TRIGGER sleep_long BEFORE INSERT ON oss_labels.image FOR EACH ROW EXECUTE FUNCTION sleep_long()');
$test->enqueue(1, 'sleeping');
my $sleeper = begin('CALL oss_labels.process_queue()');
my $asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
ok($test->wait_sql($asleep, 1), 'a trigger that never ends: it runs');
ok($test->wait_sql("SELECT count(*) FROM (SELECT pg_terminate_backend(pid, 100) FROM pg_stat_activity WHERE wait_event = 'PgSleep') x", 0),
	'a trigger that never ends: who is told again, ends');
like(finish($sleeper), qr/terminating connection/, 'a trigger that never ends: by the signal');
$test->sql('DROP TRIGGER sleep_long ON oss_labels.image; DROP FUNCTION sleep_long()');

# what a process that is gone had is due within a second
my $until = time + 20 * OssServer::patience();
do
{
	$test->sql('CALL oss_labels.process_queue()');
} until $test->sql('SELECT count(*) FROM oss_labels.job') eq '0' || time > $until;
is($test->sql('SELECT count(*) FROM oss_labels.job'), 0, 'a trigger that never ends: the next session does the job');

# ---- an image that a trigger refuses, with any SQLSTATE, in process_queue() ----

for my $sqlstate (qw(40001 40P01 42501 53100 55P03 57014 58030))
{
	$test->reset;
	$test->sql("CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN"
		  . " IF NEW.key LIKE 'poison%' THEN RAISE 'not this one' USING ERRCODE = '$sqlstate'; END IF; RETURN NEW; END \$\$;"
		  . " CREATE TRIGGER refuse BEFORE INSERT ON oss_labels.image FOR EACH ROW EXECUTE FUNCTION refuse()");
	$test->sql("SELECT oss_labels.enqueue('tenlabels', 'poison$sqlstate')");
	$test->enqueue(60, "fine$sqlstate");
	my ($status, $out, $err) = $node->psql('postgres', 'CALL oss_labels.process_queue()');
	is($status, 0, "$sqlstate: no error");
	like($err, qr/WARNING:.*could not store the answer of job \d+: not this one/, "$sqlstate: a warning");
	like($err, qr/tagged 60 images/, "$sqlstate: all others are done");
	is($test->sql("SELECT key, lease IS NULL, answer IS NOT NULL, due > now() + '20 s', reason FROM oss_labels.job"),
		"poison$sqlstate|t|t|t|not this one", "$sqlstate: it stays, with its answer, and says why");
	is($test->sql("SELECT last_trouble ~ 'not this one' FROM oss_labels.queue"), 't', "$sqlstate: so does the view");
	$test->sql('DROP TRIGGER refuse ON oss_labels.image; UPDATE oss_labels.job SET due = now()');
	$test->sql('CALL oss_labels.process_queue()');
	is($test->sql("SELECT count(*) FROM oss_labels.image WHERE key IN ('poison$sqlstate', 'fine${sqlstate}60')"), 2, "$sqlstate: stored once it may be");
	is($test->count, 61, "$sqlstate: each was paid for once");
}
$test->sql("CREATE TRIGGER refuse BEFORE INSERT ON oss_labels.image FOR EACH ROW EXECUTE FUNCTION refuse(); SELECT oss_labels.enqueue('tenlabels', 'poison')");
for (1 .. 6)
{
	$test->sql('UPDATE oss_labels.job SET due = now(); CALL oss_labels.process_queue()') if $test->sql('SELECT count(*) FROM oss_labels.job') eq '1';
}
is($test->sql('SELECT code, message FROM oss_labels.failed_job'), 'NotStored|not this one', 'refused for ever: it fails in the end');
$test->sql('DROP TRIGGER refuse ON oss_labels.image; TRUNCATE oss_labels.failed_job');

# what a role drains of another's is not told it
$test->role($_) for qw(a b);
$test->sql('GRANT EXECUTE ON PROCEDURE oss_labels.process_queue TO b;'
	  . ' CREATE TRIGGER refuse BEFORE INSERT ON oss_labels.image FOR EACH ROW EXECUTE FUNCTION refuse();'
	  . " SET ROLE a; SELECT oss_labels.enqueue('tenlabels', 'poison of a')");
my (undef, undef, $err) = $node->psql('postgres', 'SET client_min_messages = debug1; SET ROLE b; CALL oss_labels.process_queue()');
unlike($err, qr/not this one|poison of a/, "another role's: b is not told why");
$test->sql('DROP TRIGGER refuse ON oss_labels.image; UPDATE oss_labels.job SET due = now(); CALL oss_labels.process_queue()');

# ---- a worker that ends ----

$test->reset;
$test->sql("ALTER SYSTEM RESET oss_labels.worker; SELECT 1");
$node->append_conf('postgresql.conf', "oss_labels.worker = on\n");
$node->reload;
$hold = hold("SELECT image_id FROM oss_labels.image WHERE key LIKE 'old%' FOR UPDATE");
$test->sql("SELECT count(oss_labels.enqueue('tenlabels', 'old' || g, max_age => '0')) FROM generate_series(1, 31) g, generate_series(1, 2)");
ok($oss->wait_count(label_answers => 31), 'a worker that ends: answered');
$test->sql('SELECT pg_terminate_backend(' . $test->worker_pid . ', 20000)');
ok($test->wait_sql("SELECT count(*) >= 31 FROM oss_labels.job WHERE answer IS NOT NULL OR lease IS NOT NULL"), 'a worker that ends: left');
$test->sql('SELECT oss_labels.announce()');
ok($test->wait_sql("SELECT count(*) > 0 FROM oss_labels.job WHERE lease IS NOT NULL"), 'a worker that ends: another one has them');
release($hold);
ok($test->wait_empty, 'a worker that ends: they are stored');
is($test->count, 31, 'a worker that ends: each was paid for once');

# The same when somebody has locked a table, such as CREATE INDEX.  The answers go
# into the jobs' rows, which needs no other table.
for my $lock ('image IN SHARE MODE', 'image_label', 'vocabulary', 'failed_job', 'active_pause')
{
	(my $prefix = $lock) =~ s/ .*//;
	$test->reset;
	$oss->fault(kind => 'delay', delay => 500);
	$test->enqueue(20, $prefix);
	ok($oss->wait_count(label_in_flight => 20), "$lock locked, a worker that ends: in flight");
	$hold = hold("LOCK TABLE oss_labels.$lock");
	ok($oss->wait_count(label_answers => 20), "$lock locked: answered");
	$test->sql('SELECT pg_terminate_backend(' . $test->worker_pid . ', 20000)');
	release($hold);
	$test->sql('SELECT oss_labels.announce()');
	ok($test->wait_empty, "$lock locked: they are stored");
	is($test->count, 20, "$lock locked: each was paid for once");
}

# While the jobs themselves are locked, a worker that is set off keeps them.
$test->reset;
$oss->fault(kind => 'delay', delay => 500);
$test->enqueue(20, 'off');
ok($oss->wait_count(label_in_flight => 20), 'jobs locked, the worker set off: in flight');
my $worker = $test->worker_pid;
$hold = hold('LOCK TABLE oss_labels.job');
ok($oss->wait_count(label_answers => 20), 'jobs locked: answered');
$test->log;
$node->append_conf('postgresql.conf', "oss_labels.worker = off\n");
$node->reload;
ok($node->poll_query_until('postgres', "SELECT last_error = 'another transaction has locked oss_labels.job' FROM oss_labels.worker WHERE database = 'postgres'"),
	'jobs locked: the view says what it waits for');
like($test->log, qr/oss_labels worker waits: another transaction has locked oss_labels\.job/, 'jobs locked: so does the log');
is($test->worker_pid, $worker, 'jobs locked: it is there still');
release($hold);
ok($test->wait_worker('off%'), 'jobs locked no more: it ends');
is($test->sql("SELECT count(*) FROM oss_labels.image WHERE key LIKE 'off%'") + $test->sql('SELECT count(answer) FROM oss_labels.job'), 20,
	'jobs locked no more: all answers are stored or kept');
$node->append_conf('postgresql.conf', "oss_labels.worker = on\n");
$node->reload;
ok($test->wait_empty, 'jobs locked no more: all are done');
is($test->count, 20, 'jobs locked: each was paid for once');

# ---- triggers on the table of jobs, which concern nobody else ----

for my $sqlstate (qw(57014 53100 40P01))
{
	$test->reset;
	$test->sql("CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN"
		  . " IF OLD.key LIKE 'poison%' THEN RAISE 'not this job' USING ERRCODE = '$sqlstate'; END IF; RETURN coalesce(NEW, OLD); END \$\$;"
		  . " CREATE OR REPLACE TRIGGER refuse BEFORE UPDATE OR DELETE ON oss_labels.job FOR EACH ROW EXECUTE FUNCTION refuse()");
	$test->enqueue(50, "before$sqlstate");
	$test->sql("SELECT oss_labels.enqueue('tenlabels', 'poison$sqlstate')");
	$test->enqueue(50, "after$sqlstate");
	ok($test->wait_sql("SELECT count(*) FROM oss_labels.job", 1, seconds => 20), "jobs, $sqlstate: all others are done");
	is($test->count, 100, "jobs, $sqlstate: it was not asked for");
	$test->sql('DROP TRIGGER refuse ON oss_labels.job; DELETE FROM oss_labels.job');
}
$node->stop;
done_testing;
