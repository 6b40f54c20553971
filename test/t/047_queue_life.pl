# Where the queue goes: dumped and restored, replicated, upgraded, and without
# preloading.  (Standbys: queue_standby.pl.)

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use lib 'test/perl';
use QueueTest;

# ---- without preloading ----

my $plain = QueueTest->new(name => 'plain', preload => 0);
{
	my ($status, $out, $err) = $plain->{node}->psql('postgres',
		"SELECT oss_labels.enqueue('tenlabels', 'a'); SELECT oss_labels.enqueue('tenlabels', 'b')");
	is($status, 0, 'not preloaded: enqueue works');
	is(() = $err =~ /NOTICE:  no worker runs to process the queue/g, 1, 'not preloaded: said once');
}
like($plain->sql('SELECT state FROM oss_labels.worker'), qr/shared_preload_libraries/, 'not preloaded: the view says so');
$plain->sql("SELECT count(oss_labels.enqueue('tenlabels', 'k' || g)) FROM generate_series(1, 500) g");
$plain->sql("SELECT oss_labels.enqueue('tenlabels', 'elsewhere')");
{
	my ($status, $out, $err) = $plain->{node}->psql('postgres', 'CALL oss_labels.process_queue(max_jobs => 100)');
	is($status, 0, 'process_queue');
	like($err, qr/NOTICE:  tagged 100 images, 0 failed/, 'process_queue: max_jobs and progress');
}
is($plain->sql('SELECT count(*) FROM oss_labels.job WHERE lease IS NOT NULL'), '0', 'process_queue: no lease is left');
$plain->{oss}->fault(code => 'NoSuchKey', key => 'k500');
{
	my ($status, $out, $err) = $plain->{node}->psql('postgres', "CALL oss_labels.process_queue(server => 'oss')");
	like($err, qr/NOTICE:  tagged 402 images, 1 failed/, 'process_queue: all of a server');
}
is($plain->sql('SELECT count(*) FROM oss_labels.job'), '0', 'process_queue: drained');
is($plain->count, 503, 'process_queue: each was asked for once');
like($plain->sql_error('BEGIN; CALL oss_labels.process_queue()'), qr/25001/, 'process_queue: not in a transaction');
{
	# what it has done is committed when it is cancelled
	$plain->{oss}->fault(kind => 'delay', delay => 50);
	$plain->enqueue(2000, 'slow');
	my ($status, $out, $err) = $plain->{node}->psql('postgres',
		'SET statement_timeout = 700; CALL oss_labels.process_queue()');
	like($err, qr/canceling statement due to statement timeout/, 'process_queue can be cancelled');
	my $left = $plain->sql('SELECT count(*) FROM oss_labels.job');
	cmp_ok($left, '<', 2000, "process_queue cancelled: $left are left");
	ok($plain->{oss}->wait_count(label_in_flight => 0), 'process_queue cancelled: requests were');
	$plain->sql('TRUNCATE oss_labels.job');
	$plain->{oss}->control('/unfault');
}
like($plain->sql_error("SELECT oss_labels.enqueue('tenlabels', 'never'); CALL oss_labels.wait_for_queue('200 ms')"),
	qr/ERROR:  57014/, 'wait_for_queue: timeout');

# ---- dumped and restored ----

my $test = QueueTest->new(name => 'dumped');
my $node = $test->{node};
$test->sql("CREATE TABLE photo (id int, dropped int, key text); ALTER TABLE photo DROP COLUMN dropped");
$test->sql("SELECT oss_labels.watch('photo', 'key', bucket => 'tenlabels')");
$test->sql("ALTER TABLE photo RENAME key TO object");
$test->sql("INSERT INTO photo VALUES (1, 'stored')");
ok($test->wait_empty, 'something is stored');
$test->sql("SELECT oss_labels.pause(); INSERT INTO photo VALUES (2, 'kept'); SELECT oss_labels.enqueue('tenlabels', 'kept2', priority => 3)");
$test->sql("UPDATE oss_labels.job SET leased_until = clock_timestamp() + interval '1 hour', lease = 7 WHERE key = 'kept'");
$test->sql("INSERT INTO oss_labels.failed_job (job_id, enqueued_at, priority, attempts, requester, server, bucket, key, \"sqlstate\", message)"
	  . " VALUES (99, now(), 0, 5, current_user::regrole, 'oss', 'tenlabels', 'failed', '58000', 'x')");
my $dump = $node->basedir . '/dump.sql';
$node->command_ok([ 'pg_dump', '-f', $dump, '-d', $node->connstr('postgres') ], 'pg_dump');
$test->sql('CREATE DATABASE restored');
$node->command_ok([ 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $node->connstr('restored') ], 'restored');
my $contents = "SELECT string_agg(t, ' ' ORDER BY t) FROM ("
  . "SELECT 'job ' || key || ' ' || priority || ' ' || requester_name || ' ' || coalesce(source_name, '-') AS t FROM oss_labels.job"
  . " UNION ALL SELECT 'failed ' || key FROM oss_labels.failed_job"
  . " UNION ALL SELECT 'paused ' || reason FROM oss_labels.active_pause"
  . " UNION ALL SELECT 'label ' || key || ' ' || count(*) FROM oss_labels.label GROUP BY key) x";
is($test->sql($contents, 'restored'), $test->sql($contents), 'restored: the same contents');
like($test->sql($contents, 'restored'), qr/job kept 0 \S+ public.photo .*label stored 10/, 'restored: and some');
$test->sql('SELECT oss_labels.resume(); INSERT INTO photo VALUES (3, \'new\')', 'restored');
ok($test->wait_sql('SELECT count(*) FROM oss_labels.job', '0', database => 'restored'), 'restored: the queue runs');
is($test->sql("SELECT string_agg(key, ',' ORDER BY key) FROM oss_labels.image", 'restored'), 'kept,kept2,new,stored', 'restored: all are tagged');
$test->sql('DROP DATABASE restored');

# ---- logical replication's apply ----

my $publisher = PostgreSQL::Test::Cluster->new('publisher');
$publisher->init(allows_streaming => 'logical');
$publisher->start;
$publisher->safe_psql('postgres', "CREATE TABLE photo (id int PRIMARY KEY, object text, note text);"
	  . " INSERT INTO photo VALUES (100, 'initial'); CREATE PUBLICATION p FOR TABLE photo");
$test->sql("SELECT oss_labels.resume(); TRUNCATE oss_labels.image; TRUNCATE photo; ALTER TABLE photo ADD note text");
$test->sql("SELECT oss_labels.pause(); ALTER TABLE photo ADD PRIMARY KEY (id); TRUNCATE oss_labels.job");
$test->sql("CREATE SUBSCRIPTION s CONNECTION '" . $publisher->connstr . " dbname=postgres' PUBLICATION p");
ok($test->wait_sql("SELECT string_agg(key, ',') FROM oss_labels.job", 'initial'), 'logical replication: the first copy');
$publisher->safe_psql('postgres', "INSERT INTO photo VALUES (1, 'one'), (2, 'two'); UPDATE photo SET note = 'x'; UPDATE photo SET object = 'uno' WHERE id = 1; DELETE FROM photo WHERE id = 2");
$publisher->wait_for_catchup('s');
ok($test->wait_sql("SELECT string_agg(key, ',' ORDER BY key) FROM oss_labels.job", 'initial,uno'), 'logical replication: insert, update and delete');
$test->sql("SET session_replication_role = replica; INSERT INTO photo VALUES (7, 'bulk')");
is($test->sql("SELECT count(*) FROM oss_labels.job WHERE key = 'bulk'"), '0', 'session_replication_role = replica enqueues nothing');
$test->sql('DROP SUBSCRIPTION s; SELECT oss_labels.resume()');
ok($test->wait_empty, 'logical replication: tagged');
$publisher->stop;

# ---- a library and an extension of different versions ----

$test->log;
my $version = $test->sql("SELECT extversion FROM pg_extension WHERE extname = 'oss_labels'");
$test->sql("UPDATE pg_extension SET extversion = '0.9' WHERE extname = 'oss_labels'");
$test->sql("SELECT pg_terminate_backend(pid) FROM oss_labels.worker WHERE database = 'postgres' AND pid IS NOT NULL");
$test->enqueue(1, 'version');
ok($test->wait_worker('library and extension differ%'), 'versions differ: no worker');
is(() = $test->log =~ /The library is version \Q$version\E, the extension 0\.9/g, 1, 'versions differ: said once');
is($test->sql('SELECT count(*) FROM oss_labels.job'), '1', 'versions differ: nothing is done');
$test->sql("UPDATE pg_extension SET extversion = '$version' WHERE extname = 'oss_labels'");
$node->restart;
ok($test->wait_empty, 'versions agree: goes on');

# ---- max_worker_processes exhausted ----

$node->append_conf('postgresql.conf', "max_worker_processes = 2\nmax_logical_replication_workers = 0\n");
$node->restart;
ok($test->wait_worker('%'), 'one process is left');
$test->sql('CREATE DATABASE second');
$test->enqueue(1, 'holds');
ok($test->wait_empty, 'it works, and stays for a minute');
$test->sql($test->create_sql, 'second');
$test->enqueue(1, 'waits', 'second');
ok($test->wait_worker('waiting for max_worker_processes', 'second'), 'max_worker_processes exhausted: the view says so');
$test->sql('CREATE DATABASE third');
$test->sql($test->create_sql, 'third');
$test->enqueue(1, 'waits', 'third');
ok($test->wait_worker('waiting for max_worker_processes', 'third'), 'max_worker_processes exhausted: so for another');
is(() = $test->log =~ /max_worker_processes is exhausted/g, 1, 'max_worker_processes exhausted: said once');
$node->append_conf('postgresql.conf', "oss_labels.worker_idle_timeout = 1\n");
$node->reload;
ok($test->wait_sql('SELECT count(*) FROM oss_labels.job', '0', database => $_), "max_worker_processes: a process got free for the $_")
  for qw(second third);
$test->enqueue(1, 'again', $_) for qw(postgres second third);
ok($test->wait_sql('SELECT count(*) FROM oss_labels.job', '0', database => $_), "max_worker_processes: they take turns, $_")
  for qw(postgres second third);

$node->stop;
$plain->{node}->stop;
done_testing;
