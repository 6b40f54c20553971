# What databases and roles may set: the worker keeps to what it needs, is set off
# and on from anywhere, and process_queue() works at any isolation level and
# is bounded by job_attempts however often it is cancelled.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use lib 'test/perl';
use QueueTest;

my $test = QueueTest->new(conf => "max_prepared_transactions = 10\nmax_worker_processes = 16\n");
my $node = $test->{node};
my $oss = $test->{oss};
my $role = $test->sql('SELECT current_user');

# Have another worker, which takes what is set now.
sub renew_worker
{
	my $pid = $test->worker_pid;
	return 1 if $pid eq '';
	$test->sql("SELECT pg_terminate_backend($pid)", 'template1');
	return $test->wait_sql("SELECT pid IS DISTINCT FROM $pid FROM oss_labels.worker WHERE database = 'postgres'");
}

# Jobs whose images are not stored.
my $left = 'SELECT count(*) FROM oss_labels.job';

# ---- settings of the database that would stop, slow or mislead the worker ----

my %nasty = (
	statement_timeout => 1,
	lock_timeout => 1,
	idle_in_transaction_session_timeout => 1,
	idle_session_timeout => 1,
	transaction_timeout => 1,
	deadlock_timeout => 1,
	client_connection_check_interval => 1,
	exit_on_error => 'on',
	default_transaction_isolation => 'serializable',
	default_transaction_read_only => 'on',
	default_transaction_deferrable => 'on',
	synchronous_commit => 'remote_apply',
	session_replication_role => 'replica',
	search_path => '""',
	row_security => 'on',
	role => 'nobody',
	temp_file_limit => 0,
	work_mem => '64kB',
	enable_indexscan => 'off',
	enable_indexonlyscan => 'off',
	enable_bitmapscan => 'off',
	enable_tidscan => 'off',
	enable_nestloop => 'off',
	enable_seqscan => 'on',
	plan_cache_mode => 'force_custom_plan',
	random_page_cost => 1000,
	max_parallel_workers_per_gather => 8,
	force_parallel_mode => 'on',
	debug_parallel_query => 'on',
	jit => 'on',
	jit_above_cost => 0,
	commit_delay => 100000,
	commit_siblings => 0,
	default_tablespace => 'nowhere',
	default_toast_compression => 'pglz',
	log_min_duration_statement => 0,
	standard_conforming_strings => 'off',
	transform_null_equals => 'on',
	array_nulls => 'off',
	DateStyle => 'German',
	IntervalStyle => 'iso_8601',
	track_activities => 'off',
);
$test->sql('CREATE ROLE nobody');
my %known = map { $_ => 1 } split /\n/, $test->sql('SELECT lower(name) FROM pg_settings UNION ALL VALUES (\'role\')');
# PostgreSQL 19 has it, but takes only on
delete $known{standard_conforming_strings} if $test->sql('SHOW server_version_num') >= 190000;
my @known = grep { $known{ lc $_ } } sort keys %nasty;
cmp_ok(@known, '>', 30, 'most of them exist in every version');
$test->sql(join '', map { "ALTER DATABASE postgres SET $_ = '$nasty{$_}';" } @known);
$test->log;
my $before = $test->count;
{
	# what we ask ourselves is not to suffer from it
	local $ENV{PGOPTIONS} = join ' ', map { "-c $_" } 'exit_on_error=off', 'temp_file_limit=-1', 'work_mem=4MB', 'max_parallel_workers_per_gather=0', 'session_replication_role=origin', 'statement_timeout=0', 'lock_timeout=0',
	  'default_transaction_read_only=off', 'idle_session_timeout=0', 'idle_in_transaction_session_timeout=0',
	  'default_transaction_isolation=read\ committed', 'role=none', 'client_connection_check_interval=0', 'default_transaction_deferrable=off',
	  'synchronous_commit=on', ($known{transaction_timeout} ? 'transaction_timeout=0' : ()),
	  ($known{debug_parallel_query} ? 'debug_parallel_query=off' : 'force_parallel_mode=off');
	ok(renew_worker(), 'nasty settings: another worker');
	$test->enqueue(3000, 'nasty');
	ok($test->wait_sql($left, '0'), 'nasty settings: drained');
	is($test->count, $before + 3000, 'nasty settings: each image once');
	is($test->sql('SELECT count(*) FROM oss_labels.failed_job'), '0', 'nasty settings: nothing failed');
	is($test->stored, '3000|0', 'nasty settings: stored');
	is($test->sql("SELECT last_error FROM oss_labels.worker WHERE database = 'postgres'"), '', 'nasty settings: no error');

	# a lock that is waited for, and an error within
	my ($in, $out) = ('', '');
	my $session = IPC::Run::start([ $node->installed_command('psql'), '-XAtq', '-d', $node->connstr('postgres') ],
		'<', \$in, '>', \$out, '2>&1');
	$in = "BEGIN; SELECT 'locked' FROM oss_labels.image WHERE key = 'nasty1' FOR UPDATE;\n";
	$session->pump until $out =~ /locked/;
	$test->sql("SELECT oss_labels.enqueue('tenlabels', 'nasty1'); SELECT oss_labels.enqueue('tenlabels', 'beside')");
	ok($test->wait_sql("SELECT count(*) FROM oss_labels.image WHERE key = 'beside'", '1'), 'nasty settings: beside a locked row');
	$in = "COMMIT; SELECT 'over';\n";
	$session->pump until $out =~ /over/;
	$in = "\\q\n";
	$session->finish;
	ok($test->wait_sql($left, '0'), 'nasty settings: and then that');
}
unlike($test->log, qr/oss_labels worker.*(exited with exit code|terminat)|FATAL/, 'nasty settings: no worker died');
$test->sql("ALTER DATABASE postgres RESET $_", 'template1') for @known;
ok(renew_worker(), 'another worker');

# ---- off and on, from another database ----

# Put many jobs into the queue, have some tagged, run SQL that sets the worker
# off, see it obey, then SQL that sets it on.
sub off_and_on
{
	my ($what, $off, $on) = @_;
	$test->reset;
	$oss->fault(kind => 'delay', delay => 200);
	$test->enqueue(3000, $what);
	ok($test->wait_sql("SELECT count(*) > 20 FROM oss_labels.image WHERE key LIKE '$what%'"), "$what: some are tagged");
	$off->();
	my $requests = $test->count;
	ok($test->wait_worker('off%'), "$what: off");
	# what was in flight, and what was started while the command ran
	cmp_ok($test->count, '<=', $requests + 40, "$what: at once");
	$requests = $test->count;
	is($test->sql("SELECT count(*) FROM oss_labels.image WHERE key LIKE '$what%'"), $requests, "$what: what was paid for is stored");
	is($test->sql('SELECT count(*) FROM oss_labels.job WHERE lease IS NOT NULL'), '0', "$what: the others are given back");
	is($test->sql('SELECT count(*) FROM oss_labels.job WHERE attempts > 0'), '0', "$what: uncharged");
	$test->enqueue(1, "$what again");
	is($test->count, $requests, "$what: stays off");
	$oss->control('/unfault');
	my $begun = time;
	$on->();
	ok($test->wait_sql("SELECT pid IS NOT NULL FROM oss_labels.worker WHERE database = 'postgres'"), "$what: on");
	cmp_ok(time - $begun, '<', 5 * OssServer::patience(), "$what: soon");
	ok($test->wait_empty, "$what: drained");
	is($test->count, 3001, "$what: each once");
	return;
}
off_and_on('database', sub { $test->sql('ALTER DATABASE postgres SET oss_labels.worker = off', 'template1') },
	sub { $test->sql('ALTER DATABASE postgres RESET oss_labels.worker', 'template1') });
off_and_on('rolled',
	sub { $test->sql('BEGIN; ALTER DATABASE postgres SET "OSS_labels.Worker" = off; SELECT pg_sleep(0.5); COMMIT') },
	sub { $test->sql('ALTER DATABASE postgres RESET ALL') });
off_and_on('role', sub { $test->sql("ALTER ROLE \"$role\" IN DATABASE postgres SET oss_labels.worker TO false", 'template1') },
	sub { $test->sql("ALTER ROLE \"$role\" IN DATABASE postgres SET oss_labels.worker TO on", 'template1') });
$test->sql("ALTER ROLE \"$role\" IN DATABASE postgres RESET ALL");
off_and_on('system', sub { $test->sql('ALTER SYSTEM SET oss_labels.worker = off'); $node->reload },
	sub { $test->sql('ALTER SYSTEM RESET oss_labels.worker'); $node->reload });
off_and_on('all', sub { $test->sql('ALTER ROLE ALL SET oss_labels.worker = off', 'template1') },
	sub { $test->sql('ALTER ROLE ALL RESET oss_labels.worker', 'template1') });

# A setting that says nothing of the worker, or is rolled back, leaves it alone.
{
	$test->reset;
	$oss->fault(kind => 'delay', delay => 2000 * OssServer::patience());
	$test->enqueue(5, 'alone');
	ok($oss->wait_count(label_in_flight => 5), 'other settings: in flight');
	my $pid = $test->worker_pid;
	$test->sql("ALTER DATABASE postgres SET work_mem = '5MB'; ALTER DATABASE postgres RESET ALL;"
		  . 'BEGIN; ALTER DATABASE postgres SET oss_labels.worker = off; ROLLBACK');
	ok($test->wait_empty, 'other settings: done');
	is($test->worker_pid, $pid, 'other settings: the same worker');
	is($test->count, 5, 'other settings: nothing was cancelled');
}

# ---- process_queue() at every isolation level ----

for my $level ('repeatable read', 'serializable')
{
	for my $where ('database', 'role', 'session')
	{
		my $name = $level =~ s/ //r . $where;
		$test->reset;
		$oss->fault(kind => 'delay', delay => 5);
		$test->sql('SELECT oss_labels.pause()');
		$test->enqueue(1500, $name);
		$test->sql("ALTER DATABASE postgres SET default_transaction_isolation = '$level'") if $where eq 'database';
		$test->sql("ALTER ROLE \"$role\" SET default_transaction_isolation = '$level'") if $where eq 'role';
		$test->sql('DELETE FROM oss_labels.active_pause; SELECT oss_labels.announce()');
		my $set = $where eq 'session' ? "SET default_transaction_isolation = '$level'; " : '';
		my @err = ('', '');
		my @call = map {
			IPC::Run::start([ $node->installed_command('psql'), '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres'),
					'-c', $set, '-c', 'CALL oss_labels.process_queue()', '-c', 'SHOW transaction_isolation' ],
				'<', \undef, '>', \my $out, '2>', \$err[$_])
		} 0, 1;
		$_->finish for @call;
		unlike("@err", qr/ERROR/, "$level of the $where: no error");
		ok($test->wait_empty, "$level of the $where: drained");
		is($test->count, 1500, "$level of the $where: each image once");
		$test->sql("ALTER DATABASE postgres RESET default_transaction_isolation; ALTER ROLE \"$role\" RESET default_transaction_isolation");
	}
}
like($test->sql_error('BEGIN ISOLATION LEVEL SERIALIZABLE; CALL oss_labels.process_queue()'), qr/25001/,
	'process_queue in a transaction is refused, at any level');

# ---- process_queue() cancelled again and again ----

$test->sql('ALTER SYSTEM SET oss_labels.worker = off');
$node->reload;
ok($test->wait_worker('off%'), 'the worker is off');
$test->reset;
$oss->fault(kind => 'delay', key => 'slow', delay => 60000);
$test->sql("SELECT oss_labels.enqueue('tenlabels', 'slow')");
for my $round (1 .. 8)
{
	my $error = $test->sql_error("SET statement_timeout = '400ms'; CALL oss_labels.process_queue()");
	like($error, qr/57014/, "cancelled for time $round") if $round <= 5;
	is($test->sql("SELECT attempts FROM oss_labels.job WHERE key = 'slow'"), $round, 'and the attempt counts') if $round <= 5;
}
is($test->count, 5, 'cancelled: requests are bounded by job_attempts');
is($test->sql('SELECT key, code FROM oss_labels.failed_job'), 'slow|ProcessDied', 'cancelled: then it has failed');
$test->sql('TRUNCATE oss_labels.failed_job');

# What has come is stored, and only what was begun is charged.
$test->reset;
$oss->fault(kind => 'delay', key => 'never', delay => 60000);
$test->sql('ALTER SERVER oss OPTIONS (ADD max_concurrency \'4\')');
$test->enqueue(3, 'quick');
$test->sql("SELECT oss_labels.enqueue('tenlabels', k, priority => -1) FROM unnest(ARRAY['never', 'never?1', 'never?2', 'never?3']) k");
$test->enqueue(30, 'unbegun', 'postgres');
$oss->fault(kind => 'delay', prefix => 'never', delay => 60000);
$test->sql("UPDATE oss_labels.job SET priority = -2 WHERE key LIKE 'unbegun%'");
$test->sql_error("SET statement_timeout = '1500ms'; CALL oss_labels.process_queue()");
my $stored = $test->sql('SELECT count(*) FROM oss_labels.image WHERE key ~ \'^(quick|unbegun)\'');
is($test->sql('SELECT count(*) FROM oss_labels.job WHERE attempts > 0 OR lease IS NOT NULL'), $test->count - $stored,
	'cancelled: what was sent and not answered is charged, the rest is free');
$test->sql('TRUNCATE oss_labels.job');

# ---- terminated again and again ----

$test->reset;
$oss->fault(kind => 'delay', key => 'slow', delay => 60000);
$test->sql("SELECT oss_labels.enqueue('tenlabels', 'slow')");
my $failed = "SELECT count(*) FROM oss_labels.failed_job WHERE key = 'slow'";
for my $round (1 .. 30)
{
	my $call = IPC::Run::start([ $node->installed_command('psql'), '-XAtq', '-d', $node->connstr('postgres'), '-c', 'CALL oss_labels.process_queue()' ],
		'<', \undef, '>', \my $out, '2>', \my $err);

	# one call takes the job over from the dead, the next one claims it
	$call->pump_nb, sleep 0.02 while $call->pumpable && $test->count('label_in_flight') == 0;
	$test->sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'CALL oss_labels%'");
	$call->finish;
	ok($oss->wait_count(label_in_flight => 0), "terminated for time $round");
	last if $test->sql($failed) eq '1';
	$test->sql('UPDATE oss_labels.job SET due = clock_timestamp() WHERE lease IS NULL');
}
is($test->sql($failed), '1', 'terminated: then it has failed');
is($test->count, 5, 'terminated: requests are bounded by job_attempts');

# ---- COMMIT PREPARED wakes, ROLLBACK PREPARED leaves nothing ----

$test->sql('ALTER SYSTEM RESET oss_labels.worker; ALTER SYSTEM SET oss_labels.worker_idle_timeout = 1');
$node->reload;
$test->reset;
ok($test->wait_worker('idle%'), 'prepared: the worker is gone');
$test->sql("BEGIN; SELECT oss_labels.enqueue('tenlabels', '$_'); PREPARE TRANSACTION '$_'") for qw(here crash rolled);
$test->sql("COMMIT PREPARED 'here'");
ok($test->wait_sql("SELECT count(*) FROM oss_labels.image WHERE key = 'here'", '1', seconds => 20), 'COMMIT PREPARED in another session wakes the worker');
# the worker commits asynchronously: this flushes what it has stored
$test->sql('CHECKPOINT');
$node->stop('immediate');
$node->start;
ok($test->wait_worker('idle%'), 'prepared: the worker is gone, after a crash');
$test->sql("COMMIT PREPARED 'crash'; ROLLBACK PREPARED 'rolled'");
ok($test->wait_sql("SELECT count(*) FROM oss_labels.image WHERE key = 'crash'", '1', seconds => 20), 'and after a crash');
ok($test->wait_empty, 'prepared: nothing is left');
is($test->count, 2, 'prepared: what was rolled back was not requested');

$node->stop;
done_testing;
