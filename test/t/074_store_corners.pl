# Answers that a caller, his own locks, a restart or another session could cost: what
# is bought once is bought once, and nobody waits for a transaction.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use lib 'test/perl';
use QueueTest;

my $test = QueueTest->new(name => 'corners', conf => "max_connections = 40\n");
my ($node, $oss) = ($test->{node}, $test->{oss});

# SQL that tags an image of bucket tenlabels.
sub tag
{
	my ($key, $extra) = @_;
	return "SELECT count(*) FROM oss_labels.tag('tenlabels', '$key', 0" . ($extra // '') . ");\n";
}

# What SQL gives, or how it fails.
sub out
{
	my ($sql) = @_;
	my ($status, $out, $err) = $node->psql('postgres', $sql);
	return $status == 0 ? $out : $err;
}

# How many images of a prefix are stored.
sub images
{
	my ($prefix) = @_;
	return "SELECT count(*) FROM oss_labels.image WHERE key LIKE '$prefix%'";
}

# ---- detect() and tag() of those who may not write ----

my @files = map { my $file = $node->basedir . "/detect$_"; append_to_file($file, "SELECT count(*) FROM oss_labels.detect('tenlabels', 'detected', 0);\n"); $file } 1;
$node->command_ok([ 'pgbench', '-n', '-c', 10, '-j', 2, '-t', 1, '-f', $files[0], 'postgres' ],
	'ten sessions detect() one image');
is($test->count, 10, 'with a request each');
is($test->sql(images('detected')), 0, 'and nothing is stored');
$test->reset;
is($test->sql("BEGIN READ ONLY; SELECT count(*) FROM oss_labels.detect('tenlabels', 'readonly1', 0);"
	  . tag('readonly2') . tag('readonly2') . "SELECT count(*) FROM generate_series(3, 5) i,"
	  . " LATERAL oss_labels.try_tag('tenlabels', 'readonly' || i, 0) l; COMMIT;"), "10\n10\n10\n30",
	'READ ONLY: detect() and tag() give labels');
is($test->count, 5, 'each is asked for once');
is($test->sql(images('readonly')), 4, 'and those of tag() are stored');
is($test->sql("SET default_transaction_read_only = on; SET oss_labels.keep = on;"
	  . " SELECT count(*) FROM oss_labels.detect('tenlabels', 'readonly1', 0);" . images('readonly')), "10\n5",
	'those of detect() if it is said so');
$test->reset;

# ---- a caller with little time ----

$test->sql(tag('timed'));
$test->reset;
is(out("BEGIN; SELECT FROM oss_labels.image WHERE key = 'timed' FOR UPDATE; SET LOCAL statement_timeout = '700ms';"
	  . tag('timed', ", max_age => '0'") . 'COMMIT;'), 10, 'waiting until an answer is stored ends before statement_timeout');
is($test->count, 1, 'for one request');
$test->reset;

# ---- what cannot be stored ----

$test->sql(q{CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	IF NEW.key ~ TG_ARGV[0] THEN RAISE check_violation USING MESSAGE = 'not this one'; END IF; RETURN NEW; END $$;
	CREATE TRIGGER refuse BEFORE INSERT ON oss_labels.image FOR EACH ROW EXECUTE FUNCTION refuse('^refused')});
for my $i (1, 2)
{
	is($test->sql(tag('refused')), 10, 'an answer that cannot be stored is given out');
	ok($test->wait_sql("SELECT sum(attempts) FROM oss_labels.failed_job WHERE key = 'refused'", $i), 'and failed_job counts it');
}
is($test->sql("SELECT count(*), max(message) FROM oss_labels.failed_job WHERE key = 'refused'"), '1|not this one', 'in one row');
$test->sql("SELECT oss_labels.enqueue('tenlabels', 'refused', 0, max_age => '0')");
ok($test->wait_sql("SELECT sum(attempts) FROM oss_labels.failed_job WHERE key = 'refused'", 3), 'which the job of the image shares');
is($test->sql("SELECT count(*) FROM oss_labels.failed_job WHERE key = 'refused'"), 1, 'too');
$test->sql('DROP TRIGGER refuse ON oss_labels.image');
$test->reset;

# ---- a store that refuses for long ----

$test->sql("CREATE TRIGGER refuse BEFORE INSERT ON oss_labels.image FOR EACH ROW EXECUTE FUNCTION refuse('.')");
$test->sql("BEGIN; SELECT count(*) FROM generate_series(1, 2) i, LATERAL oss_labels.tag('tenlabels', 'long' || i, 0) l; ROLLBACK;");
for (1 .. 7)
{
	$node->restart;
	$test->sql('CALL oss_labels.process_queue()');
}
$test->sql('DROP TRIGGER refuse ON oss_labels.image; SELECT oss_labels.resume()');
ok($test->wait_sql(images('long'), 2), 'what could not be stored for seven restarts is stored at last');
is($test->sql(tag('long1') . tag('long2')), "10\n10", 'and given out');
is($test->count, 2, 'for no other request');
unlike($test->log, qr/sets a file of answers aside/, 'no file is put aside');
$test->reset;

# ---- a worker that starts while process_queue() has the answers ----

my ($launcher) = $test->sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'oss_labels launcher'");
$test->sql("CREATE TRIGGER refuse BEFORE INSERT ON oss_labels.image FOR EACH ROW EXECUTE FUNCTION refuse('.')");
$test->sql("BEGIN; SELECT count(*) FROM oss_labels.tag('tenlabels', 'handed', 0); ROLLBACK;");
kill 'STOP', $launcher;
my $first = $test->worker_pid;
kill 'TERM', $first;
ok($test->wait_sql("SELECT count(*) FROM pg_stat_activity WHERE pid = $first", 0), 'a worker ends and leaves what it could not store');
my $lock = $node->background_psql('postgres');
$lock->query_safe('SELECT pg_advisory_lock(74)');
$test->sql(q{CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	PERFORM pg_advisory_xact_lock_shared(74); RAISE check_violation USING MESSAGE = 'not this one'; END $$; SELECT oss_labels.resume()});
my $call = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', 'CALL oss_labels.process_queue()' ]);
ok($test->wait_sql("SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"), 'process_queue() is about to store it');
kill 'CONT', $launcher;
$test->sql("SELECT oss_labels.enqueue('tenlabels', 'meanwhile', 0)");
ok($oss->wait_count(label_requests => 2), 'another worker starts, and asks for another image');
$lock->quit;
$call->finish;
$test->sql('DROP TRIGGER refuse ON oss_labels.image; SELECT oss_labels.resume()');
ok($test->wait_sql(images('handed'), 1, seconds => 20), 'it stores what process_queue() could not');
is($test->count, 2, 'for no other request');
$test->reset;

# ---- an answer of the worker that a transaction locks out ----

$test->sql(tag('lockedout'));
$test->reset;
my $locker = $test->session("BEGIN;\nSELECT oss_labels.forget('tenlabels', 'lockedout');");
$test->sql("SELECT oss_labels.enqueue('tenlabels', 'lockedout', 0, max_age => '0')");
$test->wait_asked(1, 'the worker asks for an image that is being forgotten');
sleep 0.5;
my $start = time;
is($test->sql(tag('lockedout')), 10, 'who sees it still reads it');
$locker->query_until(qr/asked/, tag('lockedout') . "\\echo asked\n");
cmp_ok(time - $start, '<', 5, 'who forgets it does not wait for himself');
$locker->quit;
$test->reset;

# ---- a cursor ----

$oss->control('/fault?kind=delay&delay=200');
$test->sql("BEGIN; DECLARE c CURSOR FOR SELECT l.label_name FROM generate_series(1, 100) i,"
	  . " LATERAL oss_labels.tag('tenlabels', 'closed' || i, 0) l; FETCH 55 FROM c; SELECT pg_sleep(1); CLOSE c; COMMIT;");
my $asked = $test->count;
note("of $asked requests are stored ", $test->sql(images('closed')));
ok($test->wait_sql(images('closed'), $asked), 'a cursor that is closed has what came meanwhile stored');
$test->reset;

# ---- who waits for long, and not in vain ----

$oss->control("/fault?kind=delay&key=steady$_&delay=" . 4000 * $_) for 1 .. 3;
$test->sql("SELECT oss_labels.enqueue('tenlabels', 'steady' || i, 0) FROM generate_series(1, 3) i");
$test->wait_asked(3, 'the worker asks for three images that take 4, 8 and 12 seconds');
is($test->sql("SELECT count(*) FROM generate_series(1, 3) i, LATERAL oss_labels.tag('tenlabels', 'steady' || i, 0) l"), 30,
	'a statement waits for them one after the other');
is($test->count, 3, 'and asks for none, as each came');

$node->stop;

# ---- no process for a worker ----

my $alone = QueueTest->new(name => 'nobody',
	conf => "max_worker_processes = 1\nmax_logical_replication_workers = 0\nmax_parallel_workers = 0\n");
$alone->sql('BEGIN;' . tag('crashed') . 'ROLLBACK;');
$alone->{node}->stop('immediate');
$alone->{node}->start;
$alone->sql('CALL oss_labels.process_queue()');
is($alone->sql(images('crashed')), 1, 'process_queue() stores what was left before a restart');
$alone->{node}->stop;
done_testing();
