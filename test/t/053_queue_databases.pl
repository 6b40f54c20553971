# Many databases: more than there are slots, of which several have the extension
# and the others do not, some are templates, renamed, moved, closed or half
# dropped.  Each that has jobs gets its worker, after restarts too.

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
	conf => "oss_labels.worker_idle_timeout = 1\nfsync = off\nmax_worker_processes = 8\n"
	  . "max_logical_replication_workers = 0\nautovacuum = off\n");
my $node = $test->{node};
my $oss = $test->{oss};
my $slots = 128;

# Copies of an empty database are made fastest file by file.
my $how = $node->pg_version >= 15 ? ' STRATEGY file_copy' : '';
$test->sql(join ' ', map { "CREATE DATABASE d$_ TEMPLATE template0$how;\n" } 1 .. $slots + 7);
my @with = (1, 60, $slots + 3, $slots + 7);
$test->sql($test->create_sql, "d$_") for @with;

# Enqueue in databases and wait until all is done, each image asked for once.
sub drained
{
	my ($what, @databases) = @_;
	my $before = $test->count;
	$test->enqueue(2, $what, $_) for @databases;
	ok($test->wait_sql('SELECT count(*) FROM oss_labels.job', '0', database => $_), "$what: $_")
	  for @databases;
	is($test->count, $before + 2 * @databases, "$what: each once");
	return;
}
cmp_ok($test->sql('SELECT count(*) FROM pg_database WHERE datallowconn'), '>', $slots, 'more databases than slots');
drained('made', map { "d$_" } @with);

# ---- all start at the same time, and none is woken ----

my $before = $test->count;
$test->sql('SELECT oss_labels.pause()', "d$_") for @with;
$test->enqueue(1, 'asleep', "d$_") for @with;
$test->sql('DELETE FROM oss_labels.active_pause', "d$_") for @with;
$node->restart;
ok($test->wait_sql('SELECT count(*) FROM oss_labels.job', '0', database => "d$_", seconds => 120), "restarted: d$_")
  for @with;
is($test->count, $before + @with, 'restarted: each once');
drained('woken', map { "d$_" } @with);

# ---- a crash, and what the launcher knew is gone ----

my $launcher = $test->sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'oss_labels launcher'");
kill 'TERM', $launcher;
ok($test->wait_sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'oss_labels launcher' AND pid <> $launcher", '1'),
	'another launcher');
drained('launcher', map { "d$_" } @with);

# ---- renamed, and the extension made where none was ----

$test->sql("ALTER DATABASE d$with[2] RENAME TO renamed");
$test->sql($test->create_sql, 'd2');
drained('renamed', 'renamed', 'd2');
ok($test->sql("SELECT count(*) FROM oss_labels.worker WHERE database = 'renamed'", 'renamed'), 'the view has the new name');

# ---- databases that nobody can get into ----

$test->log;
$test->sql("UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'd3'; ALTER DATABASE d4 ALLOW_CONNECTIONS false");
$test->sql('CREATE DATABASE another TEMPLATE template0');
$node->restart;
$test->sql($test->create_sql, 'another');
drained('beside the closed', 'another', map { $_ == $with[2] ? 'renamed' : "d$_" } @with);
unlike($test->log, qr/FATAL.*(invalid|accepting)|worker for database.*exited with exit code/, 'invalid and closed databases: no worker is tried');
$test->sql('ALTER DATABASE d4 ALLOW_CONNECTIONS true');
$test->sql($test->create_sql, 'd4');
drained('opened', 'd4');

# ---- what needs nobody in the database, and what does not ----

$oss->fault(kind => 'delay', delay => 1000 * OssServer::patience());
$test->reset;
$oss->fault(kind => 'delay', delay => 1000 * OssServer::patience());
$test->enqueue(5, 'altered', 'd1');
ok($oss->wait_count(label_in_flight => 5), 'ALTER DATABASE: in flight');
$test->sql('ALTER DATABASE d1 CONNECTION LIMIT 50; ALTER DATABASE d1 IS_TEMPLATE false; ALTER DATABASE d1 SET work_mem = \'5MB\'');
ok($test->wait_sql('SELECT count(*) FROM oss_labels.job', '0', database => 'd1'), 'ALTER DATABASE: done');
is($test->count, 5, 'ALTER DATABASE: nothing was cancelled');
is($test->count('label_abandoned'), 0, 'ALTER DATABASE: nothing was abandoned');

# An orderly end waits for what is paid for.
$test->enqueue(5, 'moved', 'd1');
ok($oss->wait_count(label_in_flight => 5), 'RENAME: in flight');
$test->sql('ALTER DATABASE d1 RENAME TO first');
$test->sql('ALTER DATABASE first RENAME TO d1');
ok($test->wait_sql('SELECT count(*) FROM oss_labels.job', '0', database => 'd1'), 'RENAME: done');
is($test->count, 10, 'RENAME: the answers under way were waited for');
for my $mode ('fast', 'terminate')
{
	my $requests = $test->count;
	$test->enqueue(5, $mode, 'd1');
	ok($oss->wait_count(label_in_flight => 5), "$mode: in flight");
	if ($mode eq 'fast') { $node->restart }
	else { $test->sql("SELECT pg_terminate_backend(pid) FROM oss_labels.worker WHERE database = 'd1'", 'd1') }
	ok($test->wait_sql('SELECT count(*) FROM oss_labels.job', '0', database => 'd1'), "$mode: done");
	is($test->count, $requests + 5, "$mode: the answers under way were waited for");
}

# ---- a cap of our own on workers: they take turns ----

$oss->control('/unfault');
$test->sql('ALTER SYSTEM SET oss_labels.max_workers = 1');
$node->reload;
drained('capped', map { $_ == $with[2] ? 'renamed' : "d$_" } @with);
# Workers that were started before the cap are to be gone.
ok($test->wait_sql(q{SELECT count(*) FROM oss_labels.worker WHERE pid IS NOT NULL AND state = 'running'}, '0', database => 'another'), 'capped: all ended');
$oss->fault(kind => 'delay', delay => 20000 * OssServer::patience());
$test->enqueue(1, 'holds', 'd1');
ok($oss->wait_count(label_in_flight => 1), 'capped: one works');
$test->enqueue(1, 'waits', 'd60');
ok($test->wait_worker('waiting for oss_labels.max_workers', 'd60', 'd1'), 'capped: the view says what the other waits for');
$oss->control('/unfault');
$test->sql("SELECT pg_terminate_backend(pid) FROM oss_labels.worker WHERE database = 'd1'", 'd1');
ok($test->wait_sql('SELECT count(*) FROM oss_labels.job', '0', database => 'd60'), 'capped: then the other');

$node->stop;
done_testing;
