# Answers of tag() that cannot be stored, or not now: nothing more is paid for, what
# was paid for is given out and kept, and nobody waits in vain.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use lib 'test/perl';
use QueueTest;

my $test = QueueTest->new(name => 'unable', conf => "max_connections = 40\n");
my ($node, $oss) = ($test->{node}, $test->{oss});
my $due = "UPDATE oss_labels.active_pause SET since = since - interval '1 hour'; SELECT oss_labels.announce()";
my $active = 'SELECT bool_or(since + lasts > clock_timestamp()) FROM oss_labels.active_pause';

# SQL that tags an image of a bucket, or those with numbers.
sub tag
{
	my ($key, %option) = @_;
	my $function = $option{function} // 'tag';
	my $bucket = $option{bucket} // 'tenlabels';
	my $more = $option{more} // '';
	my ($first, $last) = @{ $option{numbers} // [] };
	return "SELECT count(*) FROM oss_labels.$function('$bucket', '$key', 0$more);\n" unless defined $first;
	return "SELECT count(*) FROM generate_series($first, $last) i,"
	  . " LATERAL oss_labels.$function('$bucket', '$key' || i, 0$more) l;\n";
}

# How many images of a prefix are stored.
sub images
{
	my ($prefix) = @_;
	return "SELECT count(*) FROM oss_labels.image WHERE key LIKE '$prefix%'";
}

# SQL fails as no answer can be stored, without a request.
sub refused
{
	my ($sql, $what) = @_;
	my $before = $test->count;
	my $err = $test->sql_error($sql);
	like($err, qr/ERROR:  55000: the labels of "oss:[^"]*" were not requested.*DETAIL:  No answer can be stored: not now.*HINT:.*resume/s,
		"$what: fails, and says why");
	return is($test->count, $before, "$what: without a request");
}

# ---- a store that takes nothing ----

$test->sql('CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN'
	  . " RAISE 'not now'; END \$\$");
my $refuse = "CREATE TRIGGER refuse BEFORE INSERT ON oss_labels.image FOR EACH ROW EXECUTE FUNCTION refuse();";
my $page = tag('page', numbers => [ 1, 400 ]);

$oss->fault(kind => 'delay', delay => 20);
$test->sql($refuse);
like($test->sql_error($page), qr/ERROR:  55000: .*page/, 'a page ends when nothing can be stored');
my $paid = $test->count;
cmp_ok($paid, '<', 200, "$paid of 400 images were paid for");
refused($page, 'the page again');
refused(tag('page', numbers => [ 1, 400 ], function => 'try_tag'), 'by try_tag()');
refused("SET oss_labels.pipeline = off; $page", 'without the pipeline');
refused(tag('other'), 'one image');
is($test->sql("SET statement_timeout = '20s'; CALL oss_labels.wait_for_queue()"), '', 'wait_for_queue() does not wait for that');
is($test->sql(tag('page1')), 10, 'what was paid for is given out');
is($test->sql(tag('page1', function => 'detect')), 10, 'detect() stores nothing, and goes on');
is($test->count, $paid + 1, 'for one request');
$test->sql("DROP TRIGGER refuse ON oss_labels.image; SELECT oss_labels.resume()");
ok($test->wait_sql(images('page'), $paid), 'what was paid for is stored when that is possible again');
is($test->sql($page), 4000, 'and the page goes on');
is($test->count, 401, 'each was asked for once');
$test->settled('page');
$test->reset;

# ---- beside a queue that has found out ----

$test->sql($refuse);
$test->enqueue(100, 'queued');
ok($test->wait_sql($active), 'the queue pauses');
ok($test->wait_sql('SELECT count(*) FROM oss_labels.job WHERE lease IS NOT NULL', '0'), 'and nothing is in hand');
refused(tag('queued', numbers => [ 1, 200 ]), 'a session');
$test->sql("DROP TRIGGER refuse ON oss_labels.image; $due");
ok($test->wait_empty, 'it goes on by itself');
is($test->sql(tag('queued', numbers => [ 1, 200 ])), 2000, 'so does a session');
is($test->count, 200, 'each was asked for once');
$test->settled('queued');
$test->reset;

# ---- one bucket ----

$test->bucket('refusedbucket');
$test->sql("CREATE TRIGGER refuse BEFORE INSERT ON oss_labels.image FOR EACH ROW"
	  . " WHEN (NEW.bucket = 'refusedbucket') EXECUTE FUNCTION refuse()");
$test->sql_error(tag('apart', bucket => 'refusedbucket', numbers => [ 1, 400 ]));
ok($test->wait_sql('SELECT bucket FROM oss_labels.active_pause', 'refusedbucket'), 'one bucket is paused');
refused(tag('apart', bucket => 'refusedbucket', numbers => [ 1, 400 ]), 'that bucket');
is($test->sql(tag('apart', numbers => [ 1, 5 ]) . images('apart')), "50\n5", 'others are asked for, and stored');
$test->sql("DROP TRIGGER refuse ON oss_labels.image; SELECT oss_labels.resume('oss')");
$test->settled('one bucket');
$test->reset;

# ---- while the worker is off: a process stores what sessions have ----

$test->sql('ALTER SYSTEM SET oss_labels.worker = off');
$test->sql('SELECT pg_reload_conf()');
ok($test->wait_worker('off%'), 'the worker is off');
$test->sql($refuse);
$test->sql_error(tag('off', numbers => [ 1, 400 ]));
ok($test->wait_sql($active), 'off: a pause');
$test->sql($due);
ok($test->wait_sql($active), 'off: which is prolonged');
$paid = $test->count;
refused(tag('off', numbers => [ 1, 400 ]), 'off');
$test->sql("DROP TRIGGER refuse ON oss_labels.image; $due");
ok($test->wait_sql('SELECT count(*) FROM oss_labels.active_pause', 0), 'off: and ends by itself');
ok($test->wait_sql(images('off'), $paid), 'off: all is stored');
is($test->count, $paid, 'off: without another request');
$test->sql('ALTER SYSTEM RESET oss_labels.worker');
$test->sql('SELECT pg_reload_conf()');
$test->reset;

# ---- tables that are locked while the worker has an answer ----

for my $statement ('LOCK TABLE oss_labels.image IN SHARE MODE;', 'LOCK TABLE oss_labels.image_label IN EXCLUSIVE MODE;',
	'LOCK TABLE oss_labels.job IN SHARE MODE;', "SELECT FROM oss_labels.image WHERE key = 'lock' FOR UPDATE;")
{
	my $row = $statement =~ /UPDATE/ ? 1 : 0;
	my ($what) = $statement =~ /(?:TABLE|FROM) oss_labels\.(\w+)/;
	my $key = "lock$what$row";
	my $lock = $statement =~ s/'lock'/'$key'/r;

	$what .= ' row' if $row;
	$test->sql("SELECT oss_labels.import_label_rows('tenlabels', '$key', '{Cat}', tagged_at => now() - interval '1 day')") if $row;
	$test->reset;
	$oss->fault(kind => 'delay', delay => 1000);
	$test->sql("SELECT oss_labels.enqueue('tenlabels', '$key', 0, max_age => '1 hour')");
	$test->wait_asked(1, "$what: the worker asks");
	my $locker = $test->session("BEGIN;\n$lock");
	my $start = time;
	is($test->sql(tag($key, more => ", max_age => '1 hour'")), 10, "$what is locked: tag() has the worker's answer");
	cmp_ok(time - $start, '<', 5, "$what is locked: as soon as it has come");
	is($test->sql(tag($key, more => ", max_age => '1 hour'")), 10, "$what is locked: again");
	$locker->quit;
	ok($test->wait_empty, "$what: the job ends");
	is($test->sql('SELECT count(*) FROM oss_labels.image i WHERE label_count = 10 AND key = ' . "'$key'"
			. ' AND 10 = (SELECT count(*) FROM oss_labels.image_label l WHERE l.image_id = i.image_id)'), 1, "$what: stored once");
	is($test->count, 1, "$what: for one request");
	$test->settled($what);
	is($test->sql('SELECT count(*) FROM oss_labels.failed_job'), 0, "$what: nothing failed");
}
$test->reset;

# ---- who has waited in vain once waits again for what comes later ----

$test->sql(tag('first'));
my $session = $test->session('SELECT 1;');
$test->unstored(sub { is($session->query(tag('vain')), 10, 'nothing is stored') });
$test->settled('vain');
$test->unstored(sub {
	my ($worker) = @_;
	system("(sleep 0.5; kill -CONT $worker) &");
	is($session->query(tag('later')), 10, 'an answer of the same session');
	is($test->sql(images('later')), 1, 'is stored when the statement has ended');
});
$session->quit;
$test->settled('later');
$test->reset;

# ---- what was forgotten is asked for by a job at once ----

$test->sql(tag('forgotten'));
$test->settled('forgotten');
$test->sql("SELECT oss_labels.forget('tenlabels', 'forgotten'); SELECT oss_labels.enqueue('tenlabels', 'forgotten', 0)");
my $asked = time;
ok($test->wait_empty, 'a job for an image that was forgotten ends');
cmp_ok(time - $asked, '<', 15, 'without waiting for what a session was given before');
is($test->sql(images('forgotten')), 1, 'and stores its labels');
is($test->count, 2, 'with a request of its own');
$test->sql("SELECT oss_labels.forget('tenlabels', 'forgotten')");
$test->reset;

# ---- the extension goes while answers wait, and comes back ----

for my $how ('ROLLBACK', 'COMMIT')
{
	$test->log;
	$test->unstored(sub {
		my ($worker) = @_;
		is($test->sql(tag("drop$how")), 10, "$how: an answer waits");
		my $dropping = $node->background_psql('postgres', on_error_stop => 0);
		$dropping->query_until(qr/begun/, "\\echo begun\nBEGIN;\nDROP EXTENSION oss_labels CASCADE;\n\\echo dropped\n");
		kill 'CONT', $worker;
		$dropping->query_until(qr/dropped/, "\n");
		$dropping->query($how);
		$dropping->quit;
	});
	$test->settled("DROP EXTENSION, $how");
	is($test->sql(images('drop')), 1, 'ROLLBACK: the answer is stored') if $how eq 'ROLLBACK';
	unlike($test->log, qr/ERROR|FATAL|PANIC/, "$how: without an error");
}
$test->sql($test->create_sql);
is($test->sql(images('')), 0, 'COMMIT: what waited goes with the extension');
is($test->sql(tag('dropCOMMIT') . images('')), "10\n1", 'a new one asks, and stores');
is($test->count, 3, 'each was asked for once');
$test->settled('new');

# ---- tables that are truncated, also those that follow, or locked ----

$test->sql('TRUNCATE oss_labels.image, oss_labels.image_label, oss_labels.label_correction');
is($test->sql(images('')), 0, 'TRUNCATE of image and what follows it');
is($test->sql(tag('truncated') . 'BEGIN; DECLARE c CURSOR FOR SELECT FROM oss_labels.image_label; FETCH 1 FROM c;'
	  . ' TRUNCATE oss_labels.image; COMMIT; SELECT count(*) FROM oss_labels.image_label'), "10\n0", 'beneath a cursor');
my $pauses = $test->session("BEGIN;\nLOCK TABLE oss_labels.active_pause;");
my $waited = time;
is($test->sql(tag('pauses')), 10, 'pauses that are locked');
cmp_ok(time - $waited, '<', 10, 'are not waited for');
$pauses->quit;
$test->settled('pauses');

# ---- a database that goes with what was just stored ----

$test->sql('CREATE DATABASE gone');
$test->sql($test->create_sql, 'gone');
is($test->sql(tag('gone'), 'gone'), 10, 'another database');
my $slots = 'SELECT count(*) FROM oss_labels.worker';
my $before = $test->sql($slots);
$test->sql('DROP DATABASE gone');
ok($test->wait_sql("SELECT ($slots) < $before", 't', seconds => 20), 'no worker is started any more for one that is dropped');

# ---- who asked, the server and the mapping go while answers wait ----

$test->role('leaver');
$test->unstored(sub {
	$test->sql('SET ROLE leaver;' . tag('leaver', numbers => [ 1, 3 ]));
	$test->sql('DROP OWNED BY leaver; DROP ROLE leaver; DROP SERVER oss CASCADE');
});
$test->settled('DROP ROLE, SERVER and MAPPING');
is($test->sql(images('leaver')), 3, 'what they paid for is stored');
$node->stop;

# ---- no process for a worker ----

my $alone = QueueTest->new(name => 'unserved',
	conf => "max_worker_processes = 1\nmax_logical_replication_workers = 0\nmax_parallel_workers = 0\n");
$alone->sql(tag('first'));
$alone->wait_worker('waiting for max_worker_processes');
my $start = time;
$alone->sql(join '', map { tag("unserved$_") } 1 .. 10);
cmp_ok(time - $start, '<', 1, 'nobody waits for a process that is not there');
is($alone->count, 11, 'each is asked for');
$alone->sql('CALL oss_labels.process_queue()');
is($alone->sql(images('')), 11, 'and stored by process_queue()');
$alone->{node}->stop;
done_testing();
