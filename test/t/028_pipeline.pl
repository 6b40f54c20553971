# The pipeline in sessions: the first query of one, cancelled ones, idle
# cursors, memory, concurrent updates.

use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use lib 'test/perl';
use OssServer;

my $oss = OssServer->new;
my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
# nothing but the planner is to load the library
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''\n");
$node->start;
$node->safe_psql('postgres', <<SQL);
CREATE EXTENSION oss_labels;
CREATE SERVER oss FOREIGN DATA WRAPPER oss_labels
	OPTIONS (region 'cn-hangzhou', endpoint '@{[ $oss->http_endpoint ]}');
CREATE USER MAPPING FOR CURRENT_USER SERVER oss
	OPTIONS (access_key_id 'testid', access_key_secret 'testsecret');
CREATE TABLE photo (id integer PRIMARY KEY, key text, note text);
INSERT INTO photo SELECT i, 'p' || i || '.jpg', 'old' FROM generate_series(1, 20000) i;
ANALYZE photo;
CREATE VIEW labeled AS
	SELECT p.id, l.label_name FROM photo p, LATERAL oss_labels.detect('album', p.key) l;
CREATE FUNCTION labels(n integer) RETURNS bigint LANGUAGE sql
	RETURN (SELECT count(*) FROM labeled WHERE id <= n);
SQL
reset_oss();

# Forget counters and faults; every key of "album" is an image of three labels.
sub reset_oss
{
	$oss->control('/reset');
	$oss->control('/bucket?name=album&image=examplebucket/example.jpg&labels=3');
	return;
}

# Wait until a condition holds; fail after a minute.
sub wait_until
{
	my ($name, $condition) = @_;
	my $until = time + 60;

	until ($condition->())
	{
		if (time > $until)
		{
			fail($name);
			return;
		}
		sleep 0.01;
	}
	pass($name);
	return;
}

# Start SQL in a session that goes on.
sub start_session
{
	my ($sql) = @_;
	my %session = (in => '', out => '', err => '');

	$session{run} = IPC::Run::start(
		[ $node->installed_command('psql'), '-XqAt', '-d', $node->connstr('postgres'), '-v', 'ON_ERROR_STOP=0' ],
		'<', \$session{in}, '>', \$session{out}, '2>', \$session{err});
	$session{in} .= "$sql\n";
	$session{run}->pump_nb;
	return \%session;
}

# Give a session more SQL, if any, and wait for a line of output.
sub wait_for
{
	my ($session, $line, $sql) = @_;
	my $until = time + 30;

	$session->{in} .= "$sql\n" if $sql;
	while ($session->{out} !~ /^$line$/m)
	{
		die "no $line in: $session->{out} $session->{err}" if time > $until;
		$session->{run}->pump_nb;
		sleep 0.01;
	}
	return;
}

# End a session, if it has not ended by itself; returns what it said.
sub end_session
{
	my ($session) = @_;

	$session->{run}->finish;
	return "$session->{out}$session->{err}";
}

# ---- the first query of a session ----

for my $query (
	[ 'a query', 'SELECT count(*) FROM photo p, LATERAL oss_labels.detect(\'album\', p.key) l WHERE p.id <= 40' ],
	[ 'a view', 'SELECT count(*) FROM labeled WHERE id <= 40' ],
	[ 'a prepared statement', 'PREPARE q (integer) AS SELECT count(*) FROM labeled WHERE id <= $1; EXECUTE q (40)' ],
	[ 'a function', 'SELECT labels(40)' ])
{
	reset_oss();
	$oss->control('/fault?delay=' . 20 * OssServer::patience());
	is($node->safe_psql('postgres', $query->[1]), '120', "$query->[0] first in a session: rows");
	is($oss->count('label_requests'), 40, "$query->[0] first: requests");
	cmp_ok($oss->count('label_most_in_flight'), '>=', 8, "$query->[0] first: in flight");
}

# ---- a slow image holds up its rows, but not the window ----

# When p20 is the next one, up to 39 requests may have been started, and the
# window of 2 x 4 goes up to p27: all but p20 are answered, one after another.
reset_oss();
$oss->control('/fault?delay=1500&key=p20.jpg');
my $slow = start_session("SET oss_labels.concurrency = 4;\n"
	  . "SELECT 'rows ' || count(*) FROM labeled WHERE id <= 40;");
wait_until('the images behind a slow one are answered meanwhile',
	sub { $oss->count('label_answers') == 26 });
sleep 0.2;
is($oss->count('label_requests'), 27, 'but no further than the window goes');
wait_for($slow, 'rows 120');
end_session($slow);
is($oss->count('label_requests'), 40, 'and each once');

# ---- the end of a query ends its requests ----

for my $end (
	[ 'statement_timeout', "SET statement_timeout = 300; SELECT count(*) FROM labeled;", 'statement timeout' ],
	[ 'an error', "SELECT count(*) FROM labeled WHERE id <= 100 AND 1 / (id - 1) > -1;", 'division by zero' ],
	[ 'LIMIT', "SELECT count(*) FROM (SELECT FROM labeled LIMIT 4) x;", '' ],
	[ 'a closed cursor', "BEGIN; DECLARE c CURSOR FOR SELECT id FROM labeled; FETCH 4 FROM c; CLOSE c;", '' ],
	[ 'a savepoint', "BEGIN; SAVEPOINT s; DECLARE c CURSOR FOR SELECT id FROM labeled; FETCH 4 FROM c; ROLLBACK TO s;", '' ])
{
	my ($name, $sql, $error) = @$end;

	reset_oss();
	# the first two are answered at once, the third much later
	$oss->control('/fault?delay=60000&key=p3.jpg');
	my $begun = time;
	my $session = start_session("SET oss_labels.concurrency = 50;\n$sql\n\\echo done");
	wait_for($session, 'done');
	cmp_ok(time - $begun, '<', 20, "$name: ends without waiting for answers");
	wait_until("$name: nothing is left in flight", sub { $oss->count('label_in_flight') == 0 });
	my $requests = $oss->count('label_requests');
	cmp_ok($requests, '<=', 5, "$name: requests");
	like(end_session($session), qr/$error/, "$name: what is said");
	is($oss->count('label_requests'), $requests, "$name: no request afterwards");
}

# pg_cancel_backend() and pg_terminate_backend(), with a window in flight
for my $how (qw(cancel terminate))
{
	reset_oss();
	# slow by key: by arrival, a late early image would rightly hold the window
	$oss->control('/fault?delay=60000&prefix=slow');
	my $session = start_session(<<'SQL');
SET application_name = 'victim';
SELECT count(*)
FROM photo p, LATERAL oss_labels.detect('album', CASE WHEN p.id > 40 THEN 'slow' ELSE '' END || p.key) l;
\echo done
SQL
	wait_until("$how: a window in flight", sub { $oss->count('label_in_flight') == 16 });
	is($node->safe_psql('postgres',
			"SELECT wait_event_type FROM pg_stat_activity WHERE application_name = 'victim'"),
		'Extension', "$how: the wait is shown");
	my $begun = time;
	$node->safe_psql('postgres',
		"SELECT pg_${how}_backend(pid) FROM pg_stat_activity WHERE application_name = 'victim'");
	wait_until("$how: nothing is left in flight", sub { $oss->count('label_in_flight') == 0 });
	cmp_ok(time - $begun, '<', 2 * OssServer::patience(), "$how: at once");
	like(end_session($session), qr/canceling statement due to user request|terminating connection/, "$how: what is said");
}

# ---- a cursor whose client thinks longer than requests may take ----

reset_oss();
$node->safe_psql('postgres', "ALTER SERVER oss OPTIONS (ADD timeout_ms '700')");
$oss->control('/fault?delay=50');
my $idle = start_session(<<'SQL');
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM labeled WHERE id <= 60;
MOVE 40 FROM c;
\! sleep 1.5
MOVE ALL FROM c;
COMMIT;
\echo done
SQL
wait_for($idle, 'done');
unlike(end_session($idle), qr/ERROR/, 'an idle cursor goes on');
is($oss->count('label_requests'), 60, 'and pays for no image twice');
# but an answer that never comes is waited for no longer than before
$oss->control('/unfault');
$oss->control('/fault?delay=60000&key=p3.jpg');
$node->safe_psql('postgres', "ALTER SERVER oss OPTIONS (ADD max_attempts '1')");
my $begun = time;
$idle = start_session(<<'SQL');
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM labeled;
MOVE 4 FROM c;
\! sleep 1.5
MOVE ALL FROM c;
\echo done
SQL
wait_for($idle, 'done');
like(end_session($idle), qr/timed out waiting for the answer/, 'a cursor idles: a late answer is an error');
cmp_ok(time - $begun, '<', 10, 'and in time');
$node->safe_psql('postgres', "ALTER SERVER oss OPTIONS (DROP timeout_ms, DROP max_attempts)");

# ---- memory: not under valgrind, which takes minutes for a million rows ----

reset_oss();
if (OssServer::patience() == 1)
{
	my $used = "SELECT 'used ' || sum(total_bytes) FROM pg_backend_memory_contexts;";
	my $memory = start_session("SET work_mem = '64kB'; SET oss_labels.concurrency = 8;");
	wait_for($memory, 'used \d+', "BEGIN; DECLARE c CURSOR FOR SELECT * FROM photo p,"
		  . " LATERAL oss_labels.detect('album', p.key) l; MOVE 3000 FROM c; $used");
	my ($early) = $memory->{out} =~ /^used (\d+)$/m;
	$memory->{out} = '';
	wait_for($memory, 'used \d+', "MOVE 27000 FROM c; $used");
	my ($late) = $memory->{out} =~ /^used (\d+)$/m;
	cmp_ok($late, '<', $early * 1.05, "memory after 10 000 images ($late) is that after 1 000 ($early)");
	# a million rows that share twenty images
	$memory->{out} = '';
	wait_for($memory, 'used \d+', "CLOSE c; DECLARE m CURSOR FOR SELECT * FROM generate_series(1, 1000000) i,"
		  . " LATERAL oss_labels.detect('album', 'q' || i % 20) l; MOVE 3000 FROM m; $used");
	my ($million_early) = $memory->{out} =~ /^used (\d+)$/m;
	$memory->{out} = '';
	wait_for($memory, 'used \d+', "MOVE 2990000 FROM m; $used");
	my ($million_late) = $memory->{out} =~ /^used (\d+)$/m;
	cmp_ok($million_late, '<', $million_early * 1.05,
		"memory after a million rows ($million_late) is that after a thousand ($million_early)");
	end_session($memory);
}

# ---- rows that change while they are locked ----

reset_oss();
my $writer = start_session("BEGIN; UPDATE photo SET note = 'new', key = 'changed.jpg' WHERE id = 2; \\echo updated");
wait_for($writer, 'updated');
my $reader = start_session("SET application_name = 'reader';"
	  . " SELECT p.id || ' ' || p.note || ' ' || (l.label_name IS NOT NULL) FROM photo p"
	  . " LEFT JOIN LATERAL oss_labels.detect('album', p.key) l ON l.label_level = 2"
	  . " WHERE p.id <= 3 FOR UPDATE OF p;\n\\echo done");
wait_until('the reader waits for the writer', sub {
	$node->safe_psql('postgres',
		"SELECT wait_event_type FROM pg_stat_activity WHERE application_name = 'reader'") eq 'Lock' });
wait_for($writer, 'committed', "COMMIT;\n\\echo committed");
wait_for($reader, 'done');
is($reader->{out}, join('', map { ("$_ " . ($_ == 2 ? 'new' : 'old') . " true\n") x 3 } 1 .. 3) . "done\n",
	'a row changed meanwhile comes with the labels that were fetched');
is($oss->count('label_requests'), 3, 'which are not fetched again');
end_session($_) for $writer, $reader;

# ---- nothing is compiled before the first request ----

SKIP:
{
	my $plan = 'SELECT oss_labels.read_threshold(); SET jit = on; SET jit_above_cost = 0; EXPLAIN (ANALYZE, TIMING OFF) SELECT count(*) FROM labeled WHERE id <= 3';

	skip 'no JIT', 2 if $node->safe_psql('postgres', 'SET jit = on; SELECT pg_jit_available()') ne 't';
	like($node->safe_psql('postgres', "SET oss_labels.pipeline = off; $plan"), qr/JIT:/, 'a costly plan is compiled');
	unlike($node->safe_psql('postgres', $plan), qr/JIT:/, 'but none with a pipeline, whose cost is that of requests');
}

# ---- more in flight than a process may have connections ----

reset_oss();
$oss->fault(kind => 'delay', delay => 100);
$node->append_conf('postgresql.conf', "max_files_per_process = 100\n");
$node->restart;
$node->safe_psql('postgres', "ALTER SERVER oss OPTIONS (ADD max_concurrency '300')");
is($node->safe_psql('postgres', 'SET oss_labels.concurrency = 300; SELECT count(*) FROM labeled WHERE id <= 300'),
	'900', 'too few descriptors for 300 in flight: all are served');
is($oss->count('label_requests'), 300, 'each by one request');
cmp_ok($oss->count('label_most_in_flight'), '<=', 33, 'of which a third of max_files_per_process are in flight');

# connections that are kept to one host must not keep another's from being made
reset_oss();
$oss->fault(kind => 'delay', delay => 100);
my $localhost = $oss->http_endpoint =~ s/127\.0\.0\.1/localhost/r;
$node->safe_psql('postgres', qq{
	CREATE SERVER other FOREIGN DATA WRAPPER oss_labels
		OPTIONS (region 'cn-hangzhou', endpoint '$localhost', max_concurrency '300');
	CREATE USER MAPPING FOR CURRENT_USER SERVER other
		OPTIONS (access_key_id 'testid', access_key_secret 'testsecret')});
is($node->safe_psql('postgres', join(';', 'SET oss_labels.concurrency = 300',
	map { ("SET oss_labels.server = $_", 'SELECT count(*) FROM labeled WHERE id <= 100') } qw(oss other oss))),
	"300\n300\n300", 'as many connections as there may be to one host, then to another, and back');
is($oss->count('label_requests'), 300, 'each image is asked for once');

$node->stop;
$oss->stop;
done_testing();
