# What tag() was given is stored, whatever becomes of the transaction, the
# session, the worker and the server, and nobody asks for it again.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use lib 'test/perl';
use QueueTest;

my $test = QueueTest->new(name => 'kept', conf => "max_prepared_transactions = 5\nmax_connections = 40\n");
my ($node, $oss) = ($test->{node}, $test->{oss});
my $spool = $node->data_dir . '/oss_labels';

# SQL that tags n images of a prefix.
sub tag
{
	my ($prefix, $n, $extra) = @_;
	return "SELECT count(*) FROM generate_series(1, $n) i,"
	  . " LATERAL oss_labels.tag('tenlabels', '$prefix' || i, 0) l" . ($extra // '') . ";\n";
}

# How many images of a prefix are stored, with all their labels.
sub stored
{
	my ($prefix) = @_;
	return "SELECT count(*) FROM oss_labels.image i WHERE key LIKE '$prefix%' AND label_count = 10"
	  . " AND 10 = (SELECT count(*) FROM oss_labels.image_label l WHERE l.image_id = i.image_id)";
}

# All of a prefix get stored, and then cost nothing more.
sub is_kept
{
	my ($prefix, $n, $what, $requests) = @_;
	ok($test->wait_sql(stored($prefix), $n), "$what: all $n are stored");
	is($test->sql(tag($prefix, $n)), 10 * $n, "$what: and are given out");
	is($test->count, $requests // $n, "$what: each was paid once");
	$test->reset;
	return;
}

# Run SQL that fails.
sub fails
{
	my ($sql, $state, $what) = @_;
	my ($status, $out, $err) = $node->psql('postgres', $sql,
		on_error_stop => 0, extra_params => [ '-v', 'VERBOSITY=sqlstate' ]);
	like($err, qr/$state/, "$what: fails with $state");
	return;
}

# ---- whatever becomes of the transaction ----

$test->sql('BEGIN;' . tag('rollback', 20) . 'ROLLBACK;');
is_kept('rollback', 20, 'ROLLBACK');

$test->sql('BEGIN; SAVEPOINT s;' . tag('savepoint', 5) . 'ROLLBACK TO s; COMMIT;');
is_kept('savepoint', 5, 'ROLLBACK TO SAVEPOINT');

$test->sql('BEGIN;' . tag('prepared', 5) . "PREPARE TRANSACTION 'p'; ROLLBACK PREPARED 'p';");
is_kept('prepared', 5, 'PREPARE TRANSACTION');

fails("SELECT count(*) FROM (SELECT 'tenlabels' AS b, 'later' || i AS k FROM generate_series(1, 20) i
	UNION ALL SELECT 'examplebucket', 'nosuch.jpg') v, LATERAL oss_labels.tag(v.b, v.k, 0) l", 'P0002',
	'an error in a later row');
is_kept('later', 20, 'an error in a later row', 21);

fails("DO \$\$ BEGIN PERFORM oss_labels.tag('tenlabels', 'do' || i, 0) FROM generate_series(1, 3) i;
	RAISE 'no'; END \$\$", 'P0001', 'an error in PL/pgSQL');
is_kept('do', 3, 'an error in PL/pgSQL');

$oss->control('/fault?kind=delay&delay=100');
$test->sql('CREATE TABLE kept (k text)');
fails("SET statement_timeout = '1s'; INSERT INTO kept SELECT l.label_name FROM generate_series(1, 2000) i,
	LATERAL oss_labels.tag('tenlabels', 'timeout' || i, 0) l", '57014', 'statement_timeout');
my $asked = $test->count;
ok($test->wait_sql("SELECT count(*) BETWEEN greatest(1, $asked - 16) AND $asked FROM oss_labels.image WHERE key LIKE 'timeout%'"),
	"statement_timeout: what came is stored, but for what was in flight ($asked sent)");
$test->reset;

for my $how ('terminate', 'cancel')
{
	my $ended = $test->session("SET application_name = '$how';");
	$oss->control('/fault?kind=delay&delay=100');
	$ended->query_until(qr/^/, tag($how, 2000));
	ok($test->wait_sql("SELECT count(*) >= 5 FROM oss_labels.image WHERE key LIKE '$how%'"),
		"$how: answers are stored while the statement goes on");
	$test->sql("SELECT pg_${how}_backend(pid) FROM pg_stat_activity WHERE application_name = '$how'");
	ok($test->wait_sql("SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = '$how' AND state = 'active'"),
		"$how: it ends");
	$asked = $test->count;
	ok($test->wait_sql("SELECT count(*) >= $asked - 16 FROM oss_labels.image WHERE key LIKE '$how%'"),
		"$how: what came is stored");
	eval { $ended->{run}->kill_kill };
	$test->reset;
}

# ---- who reads it ----

is($test->sql('BEGIN;' . tag('next', 20) . stored('next') . '; COMMIT;'), "200\n20",
	'the next statement of the transaction reads what was stored');
is($test->sql("CREATE FUNCTION f() RETURNS bigint LANGUAGE plpgsql AS \$\$ DECLARE n bigint; BEGIN
	PERFORM oss_labels.tag('tenlabels', 'fn' || i, 0) FROM generate_series(1, 3) i;
	SELECT count(*) INTO n FROM oss_labels.image WHERE key LIKE 'fn%'; RETURN n; END \$\$; SELECT f()"),
	3, 'so does the next one of a function');
is($test->sql("BEGIN; DECLARE c CURSOR FOR SELECT l.label_name FROM generate_series(1, 50) i,
	LATERAL oss_labels.tag('tenlabels', 'cursor' || i, 0) l; FETCH 1 FROM c;
	SELECT count(*) > 0 FROM oss_labels.image WHERE key LIKE 'cursor%'; COMMIT") =~ /\bt$/ ? 1 : 0, 1,
	'and what follows a FETCH');
is($test->sql("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1;" . tag('old', 3) . tag('old', 3) . 'COMMIT;'),
	"1\n30\n30", 'an old snapshot reads it by tag()');
is($test->sql('BEGIN READ ONLY;' . tag('readonly', 2) . 'COMMIT;'), 20, 'a READ ONLY transaction has it stored');
is($test->sql(stored('readonly')), 2, 'for others');
$test->reset;

# ---- beside others' locks ----

$test->sql(tag('own', 1));
my $start = time;
is($test->sql("BEGIN; SELECT oss_labels.forget('tenlabels', 'own1');" . tag('own', 1) . 'COMMIT;'), "t\n10",
	'who has locked the image himself gets the labels');
cmp_ok(time - $start, '<', 4, 'after a second');
is_kept('own', 1, 'what he forgot before', 2);

my $locker = $test->session("BEGIN;\nSELECT FROM oss_labels.image WHERE key = 'own1' FOR UPDATE;");
$start = time;
is($test->sql("BEGIN; SELECT count(*) FROM oss_labels.tag('tenlabels', 'own1', 0, max_age => '0');
	SELECT count(*) FROM oss_labels.tag('tenlabels', 'free', 0); ROLLBACK"), "10\n10", "another's lock");
cmp_ok(time - $start, '<', 4, "another's lock is waited for no longer than a second");
is($test->sql(stored('free')), 1, 'and others are stored meanwhile');
is($test->sql("SELECT count(*) FROM oss_labels.tag('tenlabels', 'own1', 0, max_age => '10 s')"), 10,
	'who comes meanwhile shares the answer');
is($test->count, 2, 'without another request');
$locker->quit;
$test->reset;

# ---- two databases, and a worker that is off ----

$test->sql('CREATE DATABASE second');
$test->sql($test->create_sql, 'second');
$test->sql('ALTER DATABASE second SET oss_labels.worker = off');
is($test->sql('BEGIN;' . tag('rollback', 4) . 'ROLLBACK;', 'second'), 40, 'another database asks for itself');
ok($test->wait_sql(stored('rollback'), 4, database => 'second'), 'and stores with its worker off');
is($test->sql(stored('rollback')), 20, 'what the first has is as it was');
is($test->sql("SELECT oss_labels.enqueue('tenlabels', 'queued')" . ';' . tag('off', 2), 'second') =~ /20$/ ? 1 : 0, 1,
	'off: tag() goes on');
is($test->sql(stored('off'), 'second'), 2, 'off: and its answers are there at once');
is($test->sql('SELECT count(*) FROM oss_labels.job', 'second'), 1, 'off: the queue stands still');
$test->reset;

$test->sql("SELECT oss_labels.pause()");
$test->sql('BEGIN;' . tag('paused', 2) . 'ROLLBACK;');
is_kept('paused', 2, 'a paused queue');
$test->sql('SELECT oss_labels.resume()');

# ---- crashes: what is in the files is stored by who comes after ----

for my $how ('kill -9 of a backend', 'an immediate stop', 'kill -9 of the worker')
{
	my $prefix = $how =~ /stop/ ? 'stopped' : $how =~ /worker/ ? 'worker' : 'killed';
	my $lock = $test->session("BEGIN;\nLOCK oss_labels.image IN SHARE MODE;");
	my $victim = $test->session("SELECT set_config('application_name', 'victim', false);\nBEGIN;\n" . tag($prefix, 10));
	is($test->count, 10, "$how: ten were asked for");
	is($test->sql(stored($prefix)), 0, "$how: and none stored");
	my $files = () = glob "$spool/*-*";
	cmp_ok($files, '>=', 1, "$how: they wait in a file");
	my $mode = 0;
	$mode |= (stat $_)[2] & 0077 for $spool, glob "$spool/*";
	is($mode, 0, "$how: that nobody else may read");
	if ($how =~ /stop/)
	{
		$node->stop('immediate');
		$node->start;
	}
	else
	{
		my $victim_pid = $how =~ /worker/ ? $test->worker_pid :
		  $test->sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'victim'");
		kill 9, $victim_pid;
		ok($test->wait_sql("SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'victim'"),
			"$how: the server comes back");
	}
	for my $session ($lock, $victim) { eval { $session->{run}->kill_kill } }
	is_kept($prefix, 10, $how);
	ok($test->wait_sql("SELECT count(*) = 0 FROM pg_ls_dir('oss_labels') f WHERE (pg_stat_file('oss_labels/' || f)).size > 0"),
		"$how: and the files are empty");
}

# In the midst of a statement: what the service has answered and nobody stored can
# only be what was in flight.
for my $whom ('backend', 'worker', 'server')
{
	$test->reset;
	$oss->control('/fault?kind=delay&delay=20');
	my $victim = $test->session("SELECT set_config('application_name', 'victim', false);");
	$victim->query_until(qr/^/, tag("midst-$whom-", 5000));
	my $end = time + 60;
	sleep 0.01 while $test->count < 300 && time < $end;
	if ($whom eq 'server') { $test->kill_postmaster }
	else
	{
		kill 9, $whom eq 'worker' ? $test->worker_pid :
		  $test->sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'victim'");
	}
	ok($test->wait_sql("SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'victim'"),
		"$whom: the server comes back");
	ok($test->wait_sql("SELECT count(*) = 0 FROM pg_ls_dir('oss_labels') f WHERE (pg_stat_file('oss_labels/' || f)).size > 0"),
		"$whom: all that waits is settled");
	my $given = $oss->tally(bucket => 'tenlabels')->{label_answers};
	my $kept = $test->sql("SELECT count(*) FROM oss_labels.image WHERE key LIKE 'midst-$whom-%'");
	note("kill -9 of the $whom: of $given answers that the service gave, ", $given - $kept, ' are lost');
	cmp_ok($given, '>', 200, "$whom: answers had come");
	cmp_ok($given - $kept, '<=', 16, "$whom: of them none is lost but what was in flight");
	eval { $victim->{run}->kill_kill };
}
$test->reset;

# ---- many answers in one transaction ----

my $lock = $test->session("BEGIN;\nLOCK oss_labels.image IN SHARE MODE;");
is($test->sql('BEGIN;' . tag('many', 6000) . 'ROLLBACK;'), 60000, 'six thousand answers in a transaction that is rolled back');
cmp_ok(-s (sort { -s $b <=> -s $a } glob "$spool/*-*")[0], '>', 4e6, 'wait in its file');
$lock->quit;
is_kept('many', 6000, 'six thousand answers');

# ---- trouble with the files ----

my $old = "$spool/" . $test->sql("SELECT oid FROM pg_database WHERE datname = 'postgres'") . '-12345-999999-1';
$node->stop;
append_to_file($old, 'garbage' x 1000);
append_to_file("$spool/4294967290-1-1-1", 'of a database that is gone');
append_to_file("$spool/readme.txt", 'not ours');
$node->start;
$test->sql(tag('garbage', 3));
is_kept('garbage', 3, 'beside a file of garbage');
ok($test->wait_sql("SELECT NOT EXISTS (SELECT FROM pg_ls_dir('oss_labels') f WHERE f ~ '-12345-|^4294967290')"),
	'garbage and what is left of other databases goes');
ok(-e "$spool/readme.txt", 'what is not ours stays');
like($test->log, qr/could not read the rest of a file/, 'the log says so');

SKIP:
{
	chmod 0500, $spool;
	if (open my $fh, '>', "$spool/probe") { unlink "$spool/probe"; chmod 0700, $spool; skip 'root writes anywhere', 4 }
	my ($status, $out, $err) = $node->psql('postgres', 'BEGIN;' . tag('unwritable', 2) . 'COMMIT;');
	like($err, qr/WARNING:.*could not write a file/, 'no file can be made: a WARNING');
	is($out, 20, 'no file can be made: the labels are there');
	chmod 0700, $spool;
	is_kept('unwritable', 2, 'stored in the transaction');
}

# ---- what cannot be stored at all ----

$test->sql(q{CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	IF NEW.key = 'refused1' THEN RAISE check_violation USING MESSAGE = 'not this one'; END IF; RETURN NEW; END $$;
	CREATE TRIGGER refuse BEFORE INSERT ON oss_labels.image FOR EACH ROW EXECUTE FUNCTION refuse()});
is($test->sql(tag('refused', 3)), 30, 'an answer that cannot be stored is given out');
ok($test->wait_sql("SELECT code || ' ' || message FROM oss_labels.failed_job WHERE key = 'refused1'",
	'NotStored not this one'), 'and failed_job says why it is not stored');
is($test->sql(stored('refused')), 2, 'the others are');
$test->sql('DROP FUNCTION refuse() CASCADE');
$test->reset;

# ---- detect() ----

$test->sql("SELECT count(*) FROM oss_labels.detect('tenlabels', 'detected1', 0)");
$test->sql("SET oss_labels.keep = on; SELECT count(*) FROM oss_labels.detect('tenlabels', 'keep1', 0);
	SELECT oss_labels.detect_json('tenlabels', 'keep2', 0);
	SELECT count(*) FROM generate_series(3, 6) i, LATERAL oss_labels.try_detect('tenlabels', 'keep' || i, 0) l");
is_kept('keep', 6, 'detect() with oss_labels.keep', 7);
is($test->sql("SELECT count(*) FROM oss_labels.image WHERE key LIKE 'detected%'"), 0, 'and without it nothing is');

# ---- try_tag() ----

my $mixed = "(VALUES ('tenlabels', 'try1'), ('examplebucket', 'nosuch.jpg'), ('tenlabels', 'try2'),
	('tenlabels', '/bad'), ('tenlabels', 'try3')) v (b, k)";
is($test->sql("SELECT k, count(l.label_name), max(error_code) FROM $mixed,
	LATERAL oss_labels.try_tag(v.b, v.k, 0) l GROUP BY k ORDER BY k"),
	"/bad|0|InvalidObjectName\nnosuch.jpg|0|NoSuchKey\ntry1|10|\ntry2|10|\ntry3|10|",
	'try_tag() gives a row for an image that fails');
is($test->sql("SET oss_labels.pipeline = off; SELECT count(*) FROM $mixed, LATERAL oss_labels.try_tag(v.b, v.k, 0) l"),
	32, 'also without the pipeline');
is($test->count, 5, 'and asks for what is stored no more');
like($test->sql("EXPLAIN SELECT * FROM $mixed, LATERAL oss_labels.try_tag(v.b, v.k) l"), qr/OSS Labels Pipeline/,
	'it is pipelined');
$test->reset;

# ---- who may have what is stored ----

$test->sql("CREATE ROLE payer; CALL oss_labels.grant_paying('payer');
	CREATE ROLE reader; CALL oss_labels.grant_paying('reader'); CALL oss_labels.grant_reading('reader')");
my $one = "SELECT count(*) FROM oss_labels.tag('tenlabels', '%s', 0)";
fails("SET ROLE payer; " . sprintf($one, 'try1'), '42501', 'who may neither read nor ask, of what is stored');
fails("SET ROLE payer; " . sprintf($one, 'unknown'), '42501', 'and of what is not');
is($test->sql("SET ROLE reader; " . sprintf($one, 'try1')), 10, 'who may read gets what is stored');
$test->sql("GRANT USAGE ON FOREIGN SERVER oss TO payer; CREATE USER MAPPING FOR payer SERVER oss
	OPTIONS (access_key_id 'testid', access_key_secret 'testsecret')");
is($test->sql("SET ROLE payer; " . sprintf($one, 'try1')), 10, 'so does who may ask');
is($test->count, 0, 'none of them asked');
$test->sql("ALTER TABLE oss_labels.image ENABLE ROW LEVEL SECURITY;
	CREATE POLICY p ON oss_labels.image USING (bucket <> 'tenlabels')");
fails("SET ROLE reader; " . sprintf($one, 'try1'), '42501', 'what row security hides is as if not stored');
is($test->sql("SET ROLE payer; " . sprintf($one, 'try1')), 10, 'and is paid for by who may');
is($test->count, 1, 'with a request of his own');
$test->sql('DROP POLICY p ON oss_labels.image; ALTER TABLE oss_labels.image DISABLE ROW LEVEL SECURITY');

$node->stop;

# ---- no process for a worker ----

my $alone = QueueTest->new(name => 'alone',
	conf => "max_worker_processes = 1\nmax_logical_replication_workers = 0\nmax_parallel_workers = 0\n");
is($alone->sql('BEGIN;' . tag('alone', 3) . 'ROLLBACK;'), 30, 'without a worker tag() gives the labels');
is($alone->sql(stored('alone')), 0, 'that wait');
$alone->sql('CALL oss_labels.process_queue()');
is($alone->sql(stored('alone')), 3, 'until process_queue() stores them');
is($alone->count, 3, 'each was paid once');
$start = time;
$alone->sql(tag('later', 1)) for 1 .. 3;
cmp_ok(time - $start, '<', 5, 'who waits in vain does so once');
$alone->sql("CALL oss_labels.process_queue()");
$alone->sql("CALL oss_labels.wait_for_queue('10 s')");
is($alone->sql(stored('later')), 1, 'and at last it is stored');
$alone->{node}->stop;
done_testing();
