# A store in which nothing can be stored: the queue pays for one batch, keeps the
# answers, pauses, says why, and goes on by itself or by resume().

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use lib 'test/perl';
use QueueTest;

my $test = QueueTest->new(conf => "oss_labels.worker_idle_timeout = 1\nlog_min_messages = debug1\n");
my $oss = $test->{oss};
my $paused = "SELECT DISTINCT paused IS NOT NULL FROM oss_labels.queue WHERE bucket = 'tenlabels'";
my $due = "UPDATE oss_labels.active_pause SET since = since - interval '1 hour'";

$test->sql("ALTER SERVER oss OPTIONS (ADD max_concurrency '16');"
	  . ' CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN'
	  . " RAISE 'not now' USING ERRCODE = TG_ARGV[0]; END \$\$");

# ---- each way to refuse, in an empty store and in one with images ----

my %refuse = (
	before => [ "CREATE TRIGGER refuse BEFORE INSERT ON oss_labels.image FOR EACH ROW EXECUTE FUNCTION refuse('P0001')",
		'DROP TRIGGER refuse ON oss_labels.image' ],
	after => [ "CREATE TRIGGER refuse AFTER INSERT ON oss_labels.image FOR EACH STATEMENT EXECUTE FUNCTION refuse('42501')",
		'DROP TRIGGER refuse ON oss_labels.image' ],
	deferred => [ 'CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON oss_labels.image DEFERRABLE INITIALLY DEFERRED'
		  . " FOR EACH ROW EXECUTE FUNCTION refuse('42P01')", 'DROP TRIGGER refuse ON oss_labels.image' ],
	label => [ "CREATE TRIGGER refuse BEFORE INSERT ON oss_labels.image_label FOR EACH ROW EXECUTE FUNCTION refuse('53100')",
		'DROP TRIGGER refuse ON oss_labels.image_label' ],
	column => [ "ALTER TABLE oss_labels.image ADD tenant text NOT NULL DEFAULT 'x'; ALTER TABLE oss_labels.image ALTER tenant DROP DEFAULT",
		'ALTER TABLE oss_labels.image DROP tenant' ],
	check => [ 'ALTER TABLE oss_labels.image_label ADD CHECK (label_confidence > 1) NOT VALID',
		'ALTER TABLE oss_labels.image_label DROP CONSTRAINT image_label_label_confidence_check' ]);
my $images = 0;

for my $name (qw(label after deferred column check))
{
	$test->reset;
	$oss->fault(kind => 'delay', delay => 20);
	$test->sql($refuse{$name}[0]);
	$test->enqueue(400, $name);
	ok($test->wait_sql($paused), "$name: paused");
	like($test->sql("SELECT paused FROM oss_labels.queue WHERE bucket = 'tenlabels'"),
		qr/^no answer can be stored: .*resume\(\)/, "$name: the view says why and what to do");
	ok($test->wait_sql('SELECT count(*) FROM oss_labels.job WHERE lease IS NOT NULL', '0'), "$name: nothing is in hand");
	my $paid = $test->count;
	cmp_ok($paid, '<', 200, "$name: $paid of 400 images were paid for");
	is($test->sql('SELECT count(answer) FROM oss_labels.job'), $paid, "$name: their answers are kept");

	# tried again, while nothing can be stored
	$test->log;
	$test->sql("$due; SELECT oss_labels.announce()");
	ok($test->wait_sql('SELECT since + lasts > now() FROM oss_labels.active_pause'), "$name: tried again");
	is($test->count . $test->sql($paused), "${paid}t", "$name: that costs nothing, and the pause goes on");
	$test->sql($refuse{$name}[1]);
	$test->sql("$due; SELECT oss_labels.announce()");
	ok($test->wait_empty, "$name: goes on by itself when something can be stored");
	$images += 400;
	is($test->stored, "$images|0", "$name: all are stored");
	is($test->count, 400, "$name: each was paid for once");
	is($test->sql('SELECT count(*) FROM oss_labels.failed_job, oss_labels.active_pause'), '0', "$name: nothing failed, nothing is paused");
}

# ---- a restart, and resume(): too early, then in time ----

$test->reset;
$test->sql("$refuse{before}[0]; $refuse{column}[0]");
$test->enqueue(100, 'resumed');
ok($test->wait_sql($paused), 'resume: paused');
$test->{node}->restart;
my $paid = $test->sql('SELECT count(answer) FROM oss_labels.job');
is($test->count, $paid, 'restart: what was paid for is kept');
is($test->sql($paused), 't', 'restart: the pause remains');
$test->sql($refuse{before}[1]);
$test->sql('SELECT oss_labels.resume()');
ok($test->wait_sql($paused), 'resume, too early: paused again');
ok($test->wait_sql('SELECT count(*) FROM oss_labels.job WHERE lease IS NOT NULL', '0'), 'resume, too early: nothing is in hand');
is($test->sql('SELECT count(answer) FROM oss_labels.job'), $test->count, 'resume, too early: what was paid for is kept');
like($test->sql('SELECT string_agg(reason, chr(10)) FROM oss_labels.own_pause'), qr/"tenant"/, 'resume, too early: the next reason');
$test->sql($refuse{column}[1]);
$test->sql('SELECT oss_labels.resume()');
ok($test->wait_empty, 'resume: drained');
is($test->count, 100, 'resume: each was paid for once');

# ---- one bucket only, beside another one and an image of its own fault ----

$test->reset;
$oss->fault(kind => 'delay', delay => 20);
$test->bucket('refusedbucket');
$test->sql("CREATE TRIGGER refuse BEFORE INSERT ON oss_labels.image FOR EACH ROW"
	  . " WHEN (NEW.bucket = 'refusedbucket' OR NEW.key = 'own fault') EXECUTE FUNCTION refuse('P0001')");
$test->sql("SELECT oss_labels.enqueue('tenlabels', 'own fault')");
ok($test->wait_sql('SELECT key, code FROM oss_labels.failed_job', 'own fault|NotStored'), 'one image: fails alone');
is($test->sql('SELECT count(*) FROM oss_labels.active_pause'), '0', 'one image: nothing is paused');
$test->sql("TRUNCATE oss_labels.failed_job; SELECT count(oss_labels.enqueue('refusedbucket', 'r' || g)) FROM generate_series(1, 400) g");
$test->enqueue(300, 'beside');
ok($test->wait_sql("SELECT count(*) FROM oss_labels.job WHERE bucket = 'tenlabels'", '0'), 'one bucket: the other one is done');
ok($test->wait_sql("SELECT bucket FROM oss_labels.active_pause", 'refusedbucket'), 'one bucket: only that is paused');
ok($test->wait_sql('SELECT count(*) FROM oss_labels.job WHERE lease IS NOT NULL', '0'), 'one bucket: nothing is in hand');
cmp_ok($test->count, '<', 600, 'one bucket: not all were paid for');
is($test->sql('SELECT count(answer) FROM oss_labels.job'), $test->count - 301, 'one bucket: its answers are kept');
$test->sql("DROP TRIGGER refuse ON oss_labels.image; SELECT oss_labels.resume('oss')");
ok($test->wait_empty, 'one bucket: resumed');
is($test->count, 701, 'one bucket: each was paid for once');

# ---- process_queue() ----

$test->reset;
$test->sql('ALTER SYSTEM SET oss_labels.worker = off');
$test->sql('SELECT pg_reload_conf()');
ok($test->wait_sql("SELECT count(pid) FROM oss_labels.worker WHERE database = 'postgres'", '0'), 'process_queue: no worker');
$test->sql($refuse{label}[0]);
$oss->fault(kind => 'delay', delay => 20);
$test->enqueue(400, 'foreground');
my ($status, undef, $err) = $test->{node}->psql('postgres', 'CALL oss_labels.process_queue()');
is($status, 0, 'process_queue: ends');
like($err, qr/NOTICE:  oss_labels pauses the queue\nDETAIL:  No answer can be stored/, 'process_queue: says why');
$paid = $test->count;
cmp_ok($paid, '<', 200, "process_queue: $paid of 400 images were paid for");
is($test->sql('SELECT count(answer) FROM oss_labels.job'), $paid, 'process_queue: their answers are kept');
$test->sql("$refuse{label}[1]; SELECT oss_labels.resume(); CALL oss_labels.process_queue()");
is($test->sql('SELECT count(*) FROM oss_labels.job'), '0', 'process_queue: goes on');
is($test->count, 400, 'process_queue: each was paid for once');

$test->{node}->stop;
done_testing();
