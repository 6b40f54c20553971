# Answers of tag() that are not stored yet, beside forget(), younger answers, a disk
# that is full, poolers, copies of the database and of the cluster.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use lib 'test/perl';
use QueueTest;

my $test = QueueTest->new(name => 'trouble', standby => 1, conf => "max_connections = 40\n");
my ($node, $oss) = ($test->{node}, $test->{oss});

# SQL that tags an image of bucket tenlabels.
sub tag
{
	my ($key, $extra) = @_;
	return "SELECT count(*) FROM oss_labels.tag('tenlabels', '$key', 0" . ($extra // '') . ");\n";
}

# How many labels of an image are stored, '' if the image is not.
sub labels
{
	my ($key) = @_;
	return "SELECT label_count FROM oss_labels.image WHERE key = '$key'";
}

# ---- forget() ----

$test->sql(tag('first'));
my $open;
$test->unstored(sub {
	is($test->sql(tag($_)), 10, "$_: an answer that is not stored yet") for qw(gone rolled open back);
	is($test->sql("SELECT oss_labels.forget('tenlabels', 'gone')"), 'f', 'forget() finds no labels');
	$test->sql("BEGIN; SELECT oss_labels.forget('tenlabels', 'rolled'); ROLLBACK");
	$open = $test->session("BEGIN;\nSELECT oss_labels.forget('tenlabels', 'open');\nSAVEPOINT s;\n"
		  . "SELECT oss_labels.forget('tenlabels', 'back');\nROLLBACK TO s;");
});
ok($test->wait_sql(labels('rolled'), 10), 'what was asked for before a forget() that is rolled back is stored');
ok($test->wait_sql(labels('back'), 10), 'also beside the transaction that goes on');
is($test->sql(labels('gone')), '', 'what was asked for before forget() is not');
is($test->sql(labels('open')), '', 'nor while forget() is not committed');
$open->quit;
ok($test->wait_sql(labels('open'), 10), 'but when that is rolled back with its session');
$test->settled('forget()');
is($test->count, 5, 'each was asked for once');
is($test->sql(tag('gone') . labels('gone')), "10\n10", 'who asks after forget() has it stored');
is($test->count, 6, 'with a request of his own');

$test->unstored(sub {
	$test->sql(tag('shared'));
	is($test->sql(tag('shared')), 10, 'an answer that is not stored is shared');
	is($test->count, 7, 'for one request');
	$test->sql("SELECT oss_labels.forget('tenlabels', 'shared')");
	is($test->sql(tag('shared')), 10, 'but not once it is forgotten');
	is($test->count, 8, 'that costs another');
});
ok($test->wait_sql(labels('shared'), 10), 'which is stored');
$test->settled('shared');

$test->reset;
$oss->control('/fault?kind=delay&delay=1000');
$test->sql("SELECT oss_labels.enqueue('tenlabels', 'queued', 0)");
$test->wait_sql("SELECT count(leased_until) FROM oss_labels.job", 1);
sleep 0.02 while $test->count < 1;
$test->sql("SELECT oss_labels.forget('tenlabels', 'queued')");
ok($test->wait_empty, 'a job whose request is in flight at forget() ends');
is($test->sql(labels('queued')), '', 'and stores nothing');
is($test->sql('SELECT count(*) FROM oss_labels.failed_job'), 0, 'nor fails');
$test->reset;

my $old = $test->session("BEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT 1;");
$test->sql(tag('repeatable'));
$old->query_until(qr/forgot t/, "SELECT oss_labels.forget('tenlabels', 'repeatable') AS f \\gset\nCOMMIT;\n\\echo forgot :f\n");
is($test->sql(labels('repeatable')), '', 'an old snapshot forgets what came since');
$old->quit;

$test->reset;

# ---- younger answers ----

$test->unstored(sub {
	$test->sql(tag('imported'));
	$test->sql(q{SELECT oss_labels.import_labels('{"Labels": [{"LabelName": "Cat"}]}', 'tenlabels', 'imported', 0)});
	$test->sql(tag('twice', ", max_age => '0'")) for 1 .. 2;
});
$test->settled('younger');
is($test->sql(labels('imported')), 1, 'an import that is younger than an answer stays');
is($test->sql("SELECT tagged_at = (SELECT max(tagged_at) FROM oss_labels.image WHERE key = 'twice') AND label_count = 10"
	  . " FROM oss_labels.image WHERE key = 'twice'"), 't', 'of two answers one is stored');
is($test->count, 3, 'each was asked for once');
$test->reset;

# ---- a disk that is full, and no directory ----

$test->bucket('large', labels => 400);
my $large = "FROM generate_series(%d, %d) i, LATERAL oss_labels.tag('large', 'big' || i, 0) l";
SKIP:
{
	skip 'no prlimit', 6 if system('command -v prlimit > /dev/null') != 0;
	my ($err, $first) = ('', 0);
	$test->unstored(sub {
		my $session = $test->session('SELECT pg_backend_pid() AS pid \gset
\echo pid :pid');
		my ($pid) = $session->{stdout} =~ /pid (\d+)/;
		$pid //= $session->query('SELECT pg_backend_pid()');
		$session->query_safe(sprintf("SELECT count(*) $large", 1, 1));
		my ($file) = sort { -s $b <=> -s $a } glob $node->data_dir . '/oss_labels/*-*';
		my $answers = 16 * 1024 * 1024 / -s $file;
		system('prlimit', "--pid=$pid", '--fsize=16777216:unlimited') == 0 or die 'prlimit';
		my $given = $session->query(sprintf("SELECT count(DISTINCT i) $large", 2, $answers + 10));
		$err = $session->{stderr};
		is($given, int($answers) + 9, 'answers that do not fit on the disk are given out');
		cmp_ok(-s $file, '<', 16777216, 'the file ends with what was written whole');
		system('prlimit', "--pid=$pid", '--fsize=unlimited:unlimited');
		$first = int($answers) + 15;
		is(scalar $session->query(sprintf("SELECT count(DISTINCT i) $large", $first - 4, $first)), 5, 'and goes on when there is room');
		$session->quit;
	});
	like($err, qr/WARNING:.*could not write a file/, 'with a WARNING');
	ok($test->wait_sql("SELECT count(*) FROM oss_labels.image WHERE bucket = 'large'", $first),
		'and all are stored');
	is($test->count, $first, 'each was asked for once');
	unlike($test->log, qr/could not read the rest of a file/, 'no file is broken');
}
$test->settled('full');
$test->reset;

my $directory = $node->data_dir . '/oss_labels';
unlink glob "$directory/*";
rmdir $directory or die "rmdir: $!";
is($test->sql('BEGIN;' . tag('directory') . 'ROLLBACK;'), 10, 'a directory that somebody has removed');
ok($test->wait_sql(labels('directory'), 10), 'is made again');
$test->reset;

# ---- poolers, isolation, parallel queries ----

is($test->sql('BEGIN;' . tag('pooled1') . 'ROLLBACK; DISCARD ALL;' . tag('pooled2') . 'DISCARD ALL;' . labels('pooled1')),
	"10\n10\n10", 'a session that is used again by DISCARD ALL');
is($test->sql('BEGIN ISOLATION LEVEL SERIALIZABLE;' . tag('serial') . tag('serial') . 'COMMIT;' . labels('serial')),
	"10\n10\n10", 'SERIALIZABLE');
is($test->sql('SET ' . ($node->pg_version->major >= 16 ? 'debug_parallel_query' : 'force_parallel_mode') . ' = on;
	SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
	CREATE TABLE page AS SELECT i FROM generate_series(1, 20) i;
	SELECT count(*) FROM page, LATERAL oss_labels.tag(\'tenlabels\', \'parallel\' || i, 0) l;
	SELECT count(*) FROM page, LATERAL oss_labels.labels_of(\'tenlabels\', \'parallel\' || i) l'), "200\n200",
	'beside parallel workers');
is($test->count, 23, 'each was asked for once');
$test->reset;

my $locker = $test->session('BEGIN;
SELECT FROM page WHERE i > 2 FOR UPDATE;');
is($test->sql("WITH mine AS MATERIALIZED (SELECT i FROM page FOR UPDATE SKIP LOCKED)
	SELECT count(*) FROM mine, LATERAL oss_labels.tag('tenlabels', 'skipped' || i, 0) l"), 20, 'rows that are locked first');
is($test->count, 2, 'and only they are paid for');
$locker->quit;
$test->reset;

# ---- a copy of the cluster ----

$test->unstored(sub {
	$test->sql(tag('copied'));
	$node->backup('copy');
});
$test->settled('backup');
my $copy = PostgreSQL::Test::Cluster->new('copy');
$copy->init_from_backup($node, 'copy', has_streaming => 1);
$copy->start;
$node->wait_for_catchup($copy);
is($copy->safe_psql('postgres', labels('copied')), 10, 'a standby has it by replication');
$copy->promote;
$copy->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()');
my $copied = { node => $copy };
bless $copied, 'QueueTest';
ok($copied->wait_sql("SELECT count(*) = 0 FROM pg_ls_dir('oss_labels') f WHERE (pg_stat_file('oss_labels/' || f)).size > 0"),
	'a file that came with the backup is settled after a promotion');
is($copy->safe_psql('postgres', tag('copied')), 10, 'and what was in it is given out');
is($test->count, 1, 'for one request');
$copy->stop;
$node->stop;

# ---- copies and ends of databases ----

my $alone = QueueTest->new(name => 'alone',
	conf => "max_worker_processes = 1\nmax_logical_replication_workers = 0\nmax_parallel_workers = 0\n");
$alone->sql('BEGIN;' . tag('waits') . 'ROLLBACK;');
$alone->sql('CREATE DATABASE copy TEMPLATE postgres', 'template1');
$alone->sql('SELECT oss_labels.resume(); CALL oss_labels.process_queue()', 'copy');
is($alone->sql(labels('waits'), 'copy'), '', 'what waits in a database is not stored in a copy of it');
$alone->sql('CALL oss_labels.process_queue()');
is($alone->sql(labels('waits')), 10, 'but in itself');
$alone->sql('BEGIN;' . tag('dropped') . 'ROLLBACK;', 'copy');
my $oid = $alone->sql("SELECT oid FROM pg_database WHERE datname = 'copy'");
is($alone->sql("SELECT count(*) FROM pg_ls_dir('oss_labels') f WHERE f LIKE '$oid-%'"), 1, 'an answer waits in a database');
$alone->sql('DROP DATABASE copy');
$alone->{node}->restart;
ok($alone->wait_sql("SELECT count(*) FROM pg_ls_dir('oss_labels') f WHERE f LIKE '$oid-%'", 0),
	'and goes with it');
is($alone->count, 2, 'each was asked for once');

# ---- forget() while its image is being stored ----

# who stores is between its last look at notes and its commit, as claiming a job
# takes long
$alone->sql(q{CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(1.5); RETURN NEW; END $$;
	CREATE TRIGGER slow BEFORE UPDATE ON oss_labels.job FOR EACH ROW EXECUTE FUNCTION slow()});
$alone->sql(tag('slow') . "SELECT oss_labels.enqueue('tenlabels', 'claimed', 0)");
my $storing = $alone->{node}->background_psql('postgres', on_error_stop => 0);
$storing->query_until(qr/begun/, "\\echo begun\nCALL oss_labels.process_queue();\n");
ok($alone->wait_sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'", 1), 'a turn takes long');
is($alone->sql("SELECT oss_labels.forget('tenlabels', 'slow')"), 't', 'forget() waits for who stores the image just now');
ok($alone->wait_empty, 'the turn ends');
is($alone->sql(labels('slow')), '', 'and forget() has deleted what it stored');
$storing->quit;
$alone->{node}->stop;
done_testing();
