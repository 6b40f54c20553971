# Accounts where the library is not preloaded, and the statements that sql/README.md
# has for Prometheus.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use lib 'test/perl';
use QueueTest;

# ---- without preloading: a session writes its own ----

my $alone = QueueTest->new(name => 'alone', preload => 0);
my $oss = $alone->{oss};
my $day = "SELECT coalesce(sum(requests), 0) FROM oss_labels.usage_day WHERE bucket = '%s'";

$alone->bucket($_) for qw(plain rolled readonly serial locked held part);
sub ask { return "SELECT count(*) FROM oss_labels.detect('$_[0]', '" . ($_[1] // 'a') . "');" }
is($alone->sql(ask('plain') . sprintf $day, 'plain'), "10\n1", 'it is written with the commit');
is($alone->sql("BEGIN;" . ask('rolled') . "SELECT requests FROM oss_labels.usage WHERE bucket = 'rolled'; ROLLBACK; SELECT 1;"
		. sprintf($day, 'rolled')), "10\n1\n1\n1", 'a rollback: with the next one');
is($alone->sql('BEGIN READ ONLY;' . ask('readonly') . 'COMMIT; ' . sprintf($day, 'readonly') . ';'
		. "SELECT requests FROM oss_labels.usage WHERE bucket = 'readonly'; SELECT 1;" . sprintf($day, 'readonly')),
	"10\n0\n1\n1\n1", 'READ ONLY: with the next one that can write');
is($alone->sql('BEGIN ISOLATION LEVEL SERIALIZABLE;' . ask('serial') . 'COMMIT;' . sprintf($day, 'serial') . ';'
		. sprintf($day, 'serial')), "10\n0\n1", 'SERIALIZABLE: likewise');
is($alone->sql("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1;" . ask('plain') . 'COMMIT;' . sprintf($day, 'plain')), "1\n10\n2", 'REPEATABLE READ writes');
is($alone->sql("BEGIN;" . ask('part') . "SAVEPOINT s;" . ask('part') . "ROLLBACK TO s; COMMIT;" . sprintf($day, 'part')), "10\n10\n2", 'what a savepoint rolls back was paid for, too');
like($alone->sql_error("BEGIN;" . ask('part') . "PREPARE TRANSACTION 'p';"), qr/55000|prepared transactions are disabled/, 'PREPARE is as it was');

# a lock that others hold neither delays nor fails a commit
my $lock = $alone->session('BEGIN; LOCK TABLE oss_labels.usage_day;', qr/done/);
my $start = time;
is($alone->sql('CREATE TABLE own (x int); BEGIN; INSERT INTO own VALUES (1);' . ask('locked') . 'COMMIT; SELECT count(*) FROM own'), "10\n1", 'while the table is locked');
cmp_ok(time - $start, '<', 5 * OssServer::patience(), 'a commit does not wait');
$lock->query('COMMIT');
$lock->quit;
my $row = $alone->session("BEGIN; UPDATE oss_labels.usage_day SET bytes = bytes WHERE bucket = 'plain';", qr/done/);
is($alone->sql("SELECT 1;" . ask('plain') . "SELECT requests FROM oss_labels.usage WHERE bucket = 'plain'"), "1\n10\n3", 'while its row is locked: the view has it');
$row->query('COMMIT');
$row->quit;

# nor does a trigger of somebody's
$alone->sql("CREATE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN RAISE 'no'; END \$\$;"
	. ' CREATE TRIGGER t BEFORE INSERT ON oss_labels.usage_day FOR EACH ROW EXECUTE FUNCTION fails()');
is($alone->sql('BEGIN; INSERT INTO own VALUES (2);' . ask('held') . 'COMMIT; SELECT count(*) FROM own'), "10\n2", 'an error there fails no commit');
$alone->sql('DROP TRIGGER t ON oss_labels.usage_day');
is($alone->sql("SELECT count(oss_labels.enqueue('tenlabels', 'q' || g)) FROM generate_series(1, 5) g; CALL oss_labels.process_queue();"
		. sprintf($day, 'tenlabels')), "5\n5", 'process_queue() writes');
is($alone->sql("SELECT count(*) FROM oss_labels.tag('tenlabels', 'q1') a, oss_labels.tag('tenlabels', 'q1') b;"
		. "SELECT stored_hits, requests FROM oss_labels.usage_day WHERE bucket = 'tenlabels' AND stored_hits > 0"), "100\n2|0", 'stored answers');

# sessions at once add to the same rows
$alone->bucket('many');
append_to_file($alone->{node}->basedir . '/many.sql', "SELECT count(*) FROM oss_labels.detect('many', :client_id::text);\n");
$alone->{node}->command_ok([ 'pgbench', '-n', '-c', 8, '-j', 2, '-t', 20, '-f', $alone->{node}->basedir . '/many.sql', 'postgres' ], 'eight sessions');
cmp_ok($alone->sql(sprintf $day, 'many'), '>=', 150, 'write nearly all before they end');
cmp_ok($alone->sql(sprintf $day, 'many'), '<=', $alone->count, 'and no more than was asked');
$alone->sql('DROP EXTENSION oss_labels CASCADE');
is($alone->sql('SELECT 1'), 1, 'and without the extension');
$alone->{node}->stop;

# ---- Prometheus ----

my $test = QueueTest->new(name => 'metrics', conf => "oss_labels.worker_idle_timeout = 60s\n");
my ($document) = slurp_file('sql/README.md') =~ /^\*\*Prometheus\.\*\*(.*?)^`oss_labels\.worker` has/ms;
my %metric;
$metric{$1} = $2 while $document =~ /^```sql\n-- oss_labels_(\w+) \((?:gauge|counter)\): [^\n]*\n(.*?);\n```/msg;
is(join(' ', sort keys %metric), 'budget_left images_per_second jobs oldest_job_seconds requests_total worker_up', 'a statement each');

$test->sql('CREATE ROLE exporter LOGIN IN ROLE pg_monitor');
sub value { my ($name, $where) = @_; return $test->sql("SET ROLE exporter; SELECT value FROM ($metric{$name}) m WHERE $where") }
$test->sql("SELECT oss_labels.pause('oss'); SELECT count(oss_labels.enqueue('tenlabels', 'm' || g)) FROM generate_series(1, 3) g;"
	. " SELECT oss_labels.set_budget(100); SELECT oss_labels.set_budget(10, bucket => 'tenlabels')");
is(value('jobs', "server = 'oss' AND bucket = 'tenlabels' AND state = 'queued'"), 3, 'jobs that are queued');
is($test->sql("SET ROLE exporter; SELECT string_agg(state, ' ' ORDER BY state) FROM ($metric{jobs}) m"), 'deferred failed in_flight queued', 'all states');
cmp_ok(value('oldest_job_seconds', "bucket = 'tenlabels'"), '>=', 0, 'the oldest one');
$test->{oss}->fault(code => 'NoSuchKey', key => 'm1');
$test->sql("SELECT oss_labels.resume('oss')");
ok($test->wait_empty, 'they are done');
is(value('jobs', "state = 'failed'"), 1, 'one has failed');
is(value('budget_left', "period = 'day' AND bucket = 'tenlabels'"), 8, 'what a budget has left');
is(value('budget_left', 'bucket IS NULL'), 98, 'and another');
is(value('requests_total', "bucket = 'tenlabels' AND outcome = 'billed'"), 2, 'requests that were billed');
is(value('requests_total', "bucket = 'tenlabels' AND outcome = 'refused'"), 1, 'and refused');
cmp_ok(value('images_per_second', "bucket = 'tenlabels'"), '>', 0, 'speed');
is(value('worker_up', "database = 'postgres'"), 1, 'the worker is up');
is(value('worker_up', "database = 'launcher'"), 1, 'and the launcher');
$test->sql('ALTER DATABASE postgres SET oss_labels.worker = off');
ok($test->wait_sql("SET ROLE exporter; SELECT value FROM ($metric{worker_up}) m WHERE database = 'postgres'", 0), 'a worker that is off is not');
$test->accounts_agree;
done_testing;
