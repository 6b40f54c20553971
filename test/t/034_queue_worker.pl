# The worker's life: found by itself, started on demand, gone when idle, one for
# each database, nothing open while it waits for the network, and out of the
# way of whatever is done to its database.  Each time with requests in flight.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use lib 'test/perl';
use QueueTest;

my $test = QueueTest->new(
	bare => 1,
	conf => "oss_labels.worker_idle_timeout = 1\nmax_worker_processes = 8\n");
my $node = $test->{node};
my $oss = $test->{oss};

# Put jobs in flight that the stand-in answers only after ms.
sub in_flight
{
	my ($n, $prefix, $database, $ms) = @_;
	$oss->control('/unfault');
	$oss->fault(kind => 'delay', delay => $ms // 20000 * OssServer::patience());
	my $before = $test->count('label_in_flight');
	$test->enqueue($n, $prefix, $database);
	ok($oss->wait_count(label_in_flight => $before + $n), "$prefix: $n in flight");
	return;
}

# Answer at once from now on.
sub answer { return $oss->control('/unfault') }

# ---- found by itself, in a running cluster ----

$test->log;
$test->sql($test->create_sql);
ok($test->wait_worker('%'), 'CREATE EXTENSION in a running cluster: a slot');
$test->enqueue(3, 'first');
ok($test->wait_empty, 'found by itself: tagged');
is($test->stored, '3|0', 'found by itself: labels are there');
is($test->count, 3, 'found by itself: three requests');

# ---- gone when idle, back on demand ----

ok($test->wait_worker('idle%'), 'gone when idle');
is($test->worker_pid, '', 'gone when idle: no process');
$test->enqueue(2, 'again');
ok($test->wait_empty, 'back on demand');
$test->sql('BEGIN; SELECT oss_labels.enqueue(\'tenlabels\', \'rolled\'); ROLLBACK');
is($test->sql('SELECT count(*) FROM oss_labels.job'), '0', 'a rollback leaves nothing');

# ---- nothing is open while the network is waited for ----

in_flight(5, 'open');
my $pid = $test->worker_pid;
is( $test->sql("SELECT xact_start IS NULL, backend_xid IS NULL, backend_xmin IS NULL,"
		  . " wait_event_type, wait_event, state, backend_type"
		  . " FROM pg_stat_activity WHERE pid = $pid")
	  =~ s/\|(Extension\|Extension|Extension\|OssLabels\w*)\|/|ours|/r,
	't|t|t|ours|idle|oss_labels worker',
	'no transaction, no snapshot, our wait event');
is($test->sql("SELECT count(*) FROM pg_locks WHERE pid = $pid"), '0', 'no lock');
is($test->sql('SELECT in_flight FROM oss_labels.queue'), '5', 'the view shows them');

# ---- DROP EXTENSION, rolled back and not ----

$test->sql('BEGIN; DROP EXTENSION oss_labels CASCADE; SELECT pg_sleep(0.5); ROLLBACK');
is($test->worker_pid, $pid, 'DROP EXTENSION rolled back: the worker is there');
my $requests = $test->count;
$oss->control('/unfault');
kill 'TERM', $pid;
ok($test->wait_empty, 'pg_terminate_backend: what was in flight is asked for again');
is($test->sql('SELECT count(*) FROM oss_labels.failed_job'), '0', 'pg_terminate_backend: no job failed');
cmp_ok($test->count, '<=', $requests + 5, 'pg_terminate_backend: each once more');

# Answers that came while the worker had no time to read them are stored before
# it ends, but for those that a row is locked of.
in_flight(5, 'answered', 'postgres', 400);
answer();
$pid = $test->worker_pid;
kill 'STOP', $pid;
ok($oss->wait_count(label_in_flight => 0), 'pg_terminate_backend: answers have come');
$requests = $test->count;
kill 'TERM', $pid;
kill 'CONT', $pid;
ok($test->wait_empty, 'pg_terminate_backend: what was answered is stored');
is($test->count, $requests, 'pg_terminate_backend: and not asked for again');

in_flight(5, 'locked', 'postgres', 1500);
$requests = $test->count;
$pid = $test->worker_pid;
$test->sql('BEGIN; DROP EXTENSION oss_labels CASCADE; SELECT pg_sleep(2.5); ROLLBACK');
ok($test->wait_empty, 'DROP EXTENSION rolled back after the answers came');
is($test->count, $requests, 'DROP EXTENSION rolled back: what was paid for is stored');
is($test->worker_pid, $pid, 'DROP EXTENSION rolled back: the same worker');
answer();

in_flight(5, 'drop');
my $begun = time;
my $answers = $test->count('label_answers');
$test->sql('DROP EXTENSION oss_labels CASCADE');
cmp_ok(time - $begun, '<', 10 * OssServer::patience(), 'DROP EXTENSION does not wait');
ok( $test->wait_sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'oss_labels worker'", '0'),
	'DROP EXTENSION: the worker is gone');
ok($oss->wait_count(label_in_flight => 0), 'DROP EXTENSION: no request goes on');
is($test->count('label_answers'), $answers, 'DROP EXTENSION: they were cancelled');
answer();
$test->sql($test->create_sql);
$test->enqueue(3, 'recreated');
ok($test->wait_empty, 'CREATE EXTENSION again: works');

# ---- databases ----

$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('postgres', 'CREATE DATABASE without');
$test->sql($test->create_sql, 'other');
my @alone = OssServer::drop_database_seconds($node);
in_flight(3, 'both', 'postgres');
in_flight(3, 'both', 'other');
is( $test->sql("SELECT string_agg(database, ',' ORDER BY database) FROM oss_labels.worker WHERE state = 'running'"),
	'other,postgres', 'a worker for each database');
ok( $test->wait_sql("SELECT state FROM oss_labels.worker WHERE database = 'without'", 'no extension'),
	'a database without the extension has none');
my ($took) = OssServer::drop_database_seconds($node);
cmp_ok($took, '<', 2 * $alone[-1] + 0.3 * OssServer::patience(),
	sprintf 'DROP DATABASE of an unrelated one does not wait: %.2f s, without requests %.2f s', $took, $alone[-1]);
$test->sql('DROP DATABASE without');
$answers = $test->count('label_answers');
$begun = time;
# it fails after the five seconds that PostgreSQL waits for others to leave
$test->sql('DROP DATABASE other');
cmp_ok(time - $begun, '<', 2 * $alone[-1] + 3 * OssServer::patience(), 'DROP DATABASE of a worked-in one');
ok($oss->wait_count(label_in_flight => 3), 'its requests are over, the other database has its own');
is($test->count('label_answers'), $answers, 'they were cancelled');
answer();
$test->sql("SELECT pg_terminate_backend(pid) FROM oss_labels.worker WHERE database = 'postgres'");
ok($test->wait_empty, 'the other database goes on');

in_flight(3, 'renamed');
$node->safe_psql('template1', 'ALTER DATABASE postgres RENAME TO pg2');
answer();
$node->safe_psql('template1', 'ALTER DATABASE pg2 RENAME TO postgres');
ok($test->wait_empty, 'ALTER DATABASE RENAME with requests in flight');
in_flight(3, 'template');
$node->safe_psql('template1', 'CREATE DATABASE copy TEMPLATE postgres');
answer();
ok($test->wait_empty, 'CREATE DATABASE TEMPLATE with requests in flight');
ok($test->wait_worker('copy of another database%', 'copy'), 'a copy: the view says so');
$requests = $test->count;
like($test->sql('SELECT paused FROM oss_labels.queue', 'copy'), qr/resume\(\) accepts them/, 'a copy: its queue is paused');
like($test->sql_error('CALL oss_labels.process_queue()', 'copy'), qr/55000.*HINT:  SELECT oss_labels\.resume/s,
	'a copy: process_queue is refused');
$test->enqueue(1, 'of its own', 'copy');
is($test->count, $requests, 'a copy: nothing was requested');
$test->sql('CREATE DATABASE copy2 TEMPLATE copy; ALTER DATABASE copy2 SET oss_labels.worker = off');
$test->sql('SELECT oss_labels.resume()', 'copy');
ok( $test->wait_sql('SELECT count(*) FROM oss_labels.job', '0', database => 'copy'),
	'a copied database has a worker of its own, once resumed');
ok($test->wait_worker('idle%', 'copy'), 'a copy: no longer one');
is($test->count, $requests + 4, 'a copy: then its jobs were requested');
like($test->sql_error('CALL oss_labels.process_queue()', 'copy2'), qr/55000/, 'a copy of a copy: refused too');
$test->sql('DROP DATABASE copy2');

# a copy without jobs works at once
$test->sql('CREATE DATABASE empty TEMPLATE postgres');
$test->enqueue(1, 'own', 'empty');
ok($test->wait_sql('SELECT count(*) FROM oss_labels.job', '0', database => 'empty'), 'a copy without jobs works at once');
$test->sql('DROP DATABASE empty');
$test->sql('DROP DATABASE copy');
$test->log;
$test->sql('CREATE DATABASE from_template0 TEMPLATE template0');
ok($test->wait_sql("SELECT state FROM oss_labels.worker WHERE database = 'from_template0'", 'no extension'),
	'a copy of template0 is looked at');
unlike($test->log, qr/template0" is not currently/, 'template0 itself is not');
$test->sql('DROP DATABASE from_template0');

# ---- somebody enqueues in a template: its worker comes, and leaves for a copy ----

$test->sql($test->create_sql, 'template1');
in_flight(3, 'template1', 'template1');
# a launcher that comes late finds all at once: the worker gone, and a new database
my $launcher = $test->sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'oss_labels launcher'");
kill 'STOP', $launcher;
$begun = time;
$test->sql('CREATE DATABASE child');
kill 'CONT', $launcher;
cmp_ok(time - $begun, '<', 10 * OssServer::patience(), 'CREATE DATABASE does not wait for the worker in template1');
ok($test->wait_worker('copy of another database%', 'child'), 'what is in a template is copied, and waits');
$test->sql('SELECT oss_labels.resume()', 'child');
ok($oss->wait_count(label_in_flight => 6), 'both have a worker');
answer();
$test->sql("SELECT pg_terminate_backend(pid) FROM oss_labels.worker WHERE database IN ('template1', 'child')");
ok($test->wait_sql('SELECT count(*) FROM oss_labels.job', '0', database => $_), "the queue of $_ is done")
  for qw(template1 child);
$test->sql('DROP DATABASE child');
ok($test->wait_worker('idle%', 'template1'), 'template1: the worker is gone');
$test->sql('DROP EXTENSION oss_labels CASCADE', 'template1');

# ---- shutdowns and reload ----

for my $mode (qw(fast immediate))
{
	in_flight(5, $mode);
	$begun = time;
	$node->stop($mode);
	cmp_ok(time - $begun, '<', 10 * OssServer::patience(), "$mode shutdown does not wait");
	answer();
	$node->start;
	ok($test->wait_empty, "$mode shutdown: the queue goes on");
}
in_flight(5, 'hup');
$pid = $test->worker_pid;
$node->append_conf('postgresql.conf', "oss_labels.job_attempts = 7\n");
$node->reload;
answer();
$test->sql("SELECT pg_cancel_backend($pid)");
sleep 0.2;
is($test->worker_pid, $pid, 'SIGHUP and a cancel leave the worker');
$test->sql("SELECT pg_terminate_backend($pid)");
ok($test->wait_empty, 'SIGHUP: goes on');

in_flight(5, 'postmaster');
$pid = $test->worker_pid;
answer();
$test->kill_postmaster;
ok(!kill(0, $pid), 'postmaster death: the worker is gone');
ok($test->wait_empty, 'postmaster death: the queue goes on');

# ---- a job that kills its process ends in failed_job ----

$test->sql('ALTER SYSTEM SET oss_labels.job_attempts = 2');
$node->reload;
$oss->control('/unfault');
$oss->fault(kind => 'delay', delay => 20000 * OssServer::patience());
$requests = $test->count;
$test->enqueue(1, 'killer');
for my $life (1, 2)
{
	ok($oss->wait_count(label_in_flight => 1, 60), "killer: claimed for time $life");
	# what commits now commits the claim, which the worker may not have flushed
	$test->sql("SELECT pg_logical_emit_message(true, 'test', '')");
	kill 'KILL', $test->worker_pid;
	ok($oss->wait_count(label_in_flight => 0), "killer: killed for time $life");
}
ok($test->wait_sql('SELECT code, attempts FROM oss_labels.failed_job', 'ProcessDied|3'), 'killer: failed, never to be claimed again');
is($test->count, $requests + 2, 'killer: two requests');
$test->sql('TRUNCATE oss_labels.failed_job; ALTER SYSTEM RESET oss_labels.job_attempts');
$node->reload;
answer();

# ---- DROP DATABASE that fails lets the worker come back ----

# PostgreSQL waits five seconds for others to leave; the next part goes on.
$test->sql('CREATE DATABASE busy');
$test->sql($test->create_sql, 'busy');
my ($in, $out, $err, $dropped) = ('', '', '', '');
my @psql = ($node->installed_command('psql'), '-XAtq', '-d');
my $session = IPC::Run::start([ @psql, $node->connstr('busy') ], '<', \$in, '>', \$out, '2>', \$err);
$in = "SELECT 'in';\n";
$session->pump until $out =~ /in/;
my $drop = IPC::Run::start([ @psql, $node->connstr('postgres'), '-c', 'DROP DATABASE busy' ], '>', '/dev/null', '2>', \$dropped);

# ---- a worker that fails again and again is started ever more slowly ----

$test->log;
$test->sql('ALTER TABLE oss_labels.job RENAME priority TO importance');
$test->sql("SELECT pg_terminate_backend(pid) FROM oss_labels.worker WHERE database = 'postgres' AND pid IS NOT NULL");
$test->sql("INSERT INTO oss_labels.job (requester, server, bucket, key) VALUES (current_user::regrole, 'oss', 'tenlabels', 'patience')");
$test->sql('SELECT oss_labels.announce()');
ok($test->wait_worker('failed%'), 'a worker that fails: the view says so');
like($test->sql("SELECT last_error FROM oss_labels.worker WHERE database = 'postgres'"), qr/priority/, 'a worker that fails: and why');
cmp_ok((() = $test->log =~ /ERROR: .*priority/g), '<=', 6, 'a worker that fails does not fill the log');
$test->sql('ALTER TABLE oss_labels.job RENAME importance TO priority');
ok($test->wait_empty, 'a worker that fails is started again');

# ---- and has that DROP DATABASE failed? ----

$drop->finish;
like($dropped, qr/is being accessed by other users/, 'DROP DATABASE fails');
$in = "\\q\n";
$session->finish;
$test->enqueue(2, 'back', 'busy');
ok($test->wait_sql('SELECT count(*) FROM oss_labels.job', '0', database => 'busy'),
	'DROP DATABASE that failed: the worker is back');
$test->sql('DROP DATABASE busy');

# ---- off in a database ----

$test->sql('ALTER DATABASE postgres SET oss_labels.worker = off');
$test->sql("SELECT pg_terminate_backend(pid) FROM oss_labels.worker WHERE database = 'postgres' AND pid IS NOT NULL");
$test->enqueue(1, 'off');
ok($test->wait_worker('off%'), 'oss_labels.worker = off');
is($test->sql('SELECT count(*) FROM oss_labels.job'), '1', 'off: nothing is done');
$test->sql('ALTER DATABASE postgres RESET oss_labels.worker');

is($test->sql('SELECT count(*) FROM oss_labels.failed_job'), '0', 'no job ever failed');
$node->stop;
done_testing;
