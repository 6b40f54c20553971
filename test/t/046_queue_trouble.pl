# Troubles of the queue that are nobody's fault but must cost nothing: answers
# that can't be stored, tables that are changed or taken away, sessions that
# drain beside the worker or are cancelled, and what is old.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use lib 'test/perl';
use QueueTest;

my $test = QueueTest->new(conf => "oss_labels.worker_idle_timeout = 1\n");
my $node = $test->{node};
my $oss = $test->{oss};

# ---- answers that come together are stored together ----

$test->sql("ALTER SERVER oss OPTIONS (ADD max_concurrency '300');"
	  . ' CREATE TABLE statement (name text);'
	  . ' CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN'
	  . ' INSERT INTO public.statement VALUES (TG_TABLE_NAME); RETURN NULL; END $$;'
	  . ' CREATE TRIGGER note AFTER DELETE ON oss_labels.job FOR EACH STATEMENT EXECUTE FUNCTION note();'
	  . ' CREATE TRIGGER note AFTER INSERT ON oss_labels.image FOR EACH STATEMENT EXECUTE FUNCTION note();'
	  . ' CREATE TRIGGER note AFTER INSERT ON oss_labels.image_label FOR EACH STATEMENT EXECUTE FUNCTION note()');
$oss->fault(kind => 'delay', delay => 500);
$test->enqueue(300, 'together');
ok($test->wait_empty, 'together: drained');
for my $table (qw(job image image_label))
{
	my $statements = $test->sql("SELECT count(*) FROM statement WHERE name = '$table'");
	cmp_ok($statements, '>', 0, "together: $table is written");
	cmp_ok($statements, '<=', 100, "together: 300 answers take $statements statements on $table");
	$test->sql("DROP TRIGGER note ON oss_labels.$table");
}
$test->sql('ALTER SERVER oss OPTIONS (DROP max_concurrency); TRUNCATE oss_labels.image');
$test->reset;

# ---- an answer that can't be stored loses nothing else ----

$test->sql("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN"
	  . " IF (SELECT key FROM oss_labels.image i WHERE i.image_id = NEW.image_id) IN ('k7', 'k31')"
	  . " THEN RAISE 'no room for %', NEW.label_id; END IF; RETURN NEW; END \$\$;"
	  . " CREATE TRIGGER refuse BEFORE INSERT ON oss_labels.image_label FOR EACH ROW EXECUTE FUNCTION refuse()");
$test->enqueue(100);
ok($test->wait_empty, 'poisoned: the queue gets empty');
is($test->stored, '98|0', 'poisoned: the others are stored');
is($test->count, 100, 'poisoned: each was asked for once');
is($test->sql("SELECT string_agg(key || ' ' || code || ' ' || \"sqlstate\", ', ' ORDER BY key) FROM oss_labels.failed_job WHERE message LIKE 'no room%'"),
	'k31 NotStored P0001, k7 NotStored P0001', 'poisoned: they failed, and it is told why');
$test->sql('DROP TRIGGER refuse ON oss_labels.image_label');
is($test->sql('SELECT oss_labels.retry_failed()'), '2', 'poisoned: tried again');
ok($test->wait_empty, 'poisoned: done');
is($test->stored, '100|0', 'poisoned: stored when there is nothing against it');

# ---- an error of the moment keeps what was paid for ----

$test->reset;
$test->sql("CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN"
	  . " RAISE 'no space left on device' USING ERRCODE = '53100'; END \$\$;"
	  . " CREATE TRIGGER refuse BEFORE INSERT ON oss_labels.image_label FOR EACH ROW EXECUTE FUNCTION refuse()");
$test->enqueue(20, 'full');
ok($oss->wait_count(label_answers => 20), 'disk full: answers came');
ok($test->wait_sql("SELECT count(*) FROM oss_labels.queue WHERE paused LIKE '%no space left on device%'", '1'), 'disk full: the view says so');
is($test->sql('SELECT count(*) FROM oss_labels.job'), '20', 'disk full: nothing is settled');
$test->sql('DROP TRIGGER refuse ON oss_labels.image_label; SELECT oss_labels.resume()');
ok($test->wait_empty, 'disk full no more');
is($test->stored, '120|0', 'disk full: stored later');
is($test->count, 20, 'disk full: each was paid for once');
is($test->sql('SELECT count(*) FROM oss_labels.failed_job'), '0', 'disk full: no job failed');

# ---- an open transaction that has an image holds up no other ----

$test->reset;
my $holder = $node->background_psql('postgres');
my $tag = sub { "SELECT 'labels ' || count(*) FROM oss_labels.tag('tenlabels', '$_[0]', 0);\n" };
$holder->query_until(qr/imported/, "BEGIN;\nSELECT oss_labels.import_labels('{\"Labels\": []}', 'tenlabels', 'held1');\n\\echo imported\n");
$test->sql("SELECT count(oss_labels.enqueue('tenlabels', 'held' || i, 0)) FROM generate_series(1, 50) i");
ok($test->wait_sql("SELECT count(*) FROM oss_labels.job", '1'), 'held: all other jobs are done');
is($test->sql("SELECT count(*) FROM oss_labels.image WHERE key LIKE 'held%'"), '49', 'held: and their labels stored');
$oss->wait_count(label_answers => 50);
$test->sql("SELECT count(oss_labels.enqueue('tenlabels', 'held' || i, 0)) FROM generate_series(51, 60) i");
ok($oss->wait_count(label_answers => 60), 'held: new jobs are started');
like($holder->query_until(qr/labels \d+/, $tag->('held55')), qr/labels 10/, 'held: the transaction gets what the worker asked for');
is($test->count, 60, 'held: which is not asked for again');

# a worker that ends meanwhile stores the others' answers, and loses the one
$test->sql("SELECT count(oss_labels.enqueue('tenlabels', 'ended' || i)) FROM generate_series(1, 20) i");
ok($oss->wait_count(label_answers => 80), 'held: more are answered');
sleep 0.3;
$test->sql("SELECT pg_terminate_backend(pid) FROM oss_labels.worker WHERE database = 'postgres' AND pid IS NOT NULL");
ok($test->wait_sql("SELECT count(*) FROM oss_labels.image WHERE key LIKE 'ended%'", '20'), 'held: the worker ends, and they are stored');
$holder->query_until(qr/done/, "COMMIT;\n\\echo done\n");
ok($test->wait_empty, 'held: and at last its own');
is($test->sql("SELECT count(*) FROM oss_labels.image i WHERE key LIKE 'held%'
	AND label_count = (SELECT count(*) FROM oss_labels.image_label l WHERE l.image_id = i.image_id)"), '60', 'held: each stored once');
cmp_ok($test->count, '<=', 81, 'held: no request more but for the one');
$holder->quit;

# ---- while the worker waits after an error it stands in nobody's way ----

$test->reset;
my @alone = OssServer::drop_database_seconds($node);
$oss->fault(kind => 'delay', delay => 8000, key => 'slow1');
$test->enqueue(1, 'slow');
$oss->wait_count(label_in_flight => 1);
my $pid = $test->worker_pid;
$test->sql('ALTER TABLE oss_labels.job RENAME priority TO importance');
$test->sql('SELECT oss_labels.announce()');
ok($test->wait_sql("SELECT last_error LIKE '%priority%' FROM oss_labels.worker WHERE database = 'postgres'"),
	'an error in a turn: seen');
my ($took) = OssServer::drop_database_seconds($node);
cmp_ok($took, '<', 2 * $alone[-1] + 0.3 * OssServer::patience(),
	sprintf 'an error in a turn: DROP DATABASE of another one takes %.2f s, without %.2f s', $took, $alone[-1]);
$test->sql('ALTER TABLE oss_labels.job RENAME importance TO priority');
ok($test->wait_empty, 'an error in a turn: it goes on');
is($test->count, 1, 'an error in a turn: what was in flight was not lost');
is($test->worker_pid || $pid, $pid, 'an error in a turn: the same worker');

# ---- a session that drains beside the worker ----

{
	my ($in, $out) = ('', '');
	my $session = IPC::Run::start(
		[ $node->installed_command('psql'), '-XAtq', '-d', $node->connstr('postgres') ],
		'<', \$in, '>', \$out, '2>&1');
	$test->reset;
	$oss->fault(kind => 'delay', delay => 1500);
	$in = "BEGIN; SELECT oss_labels.enqueue('tenlabels', 'beside'); \\echo queued\n";
	$session->pump until $out =~ /queued/;
	$test->sql("SELECT oss_labels.enqueue('tenlabels', 'beside')");
	$oss->wait_count(label_in_flight => 1);
	$in .= "COMMIT; CALL oss_labels.process_queue(); \\echo drained\n";
	$session->pump until $out =~ /drained/;
	$in .= "\\q\n";
	$session->finish;
	ok($test->wait_empty, 'process_queue beside the worker: done');
	is($oss->count_key('tenlabels', 'beside'), 1, 'process_queue beside the worker: one request');
	is($test->sql("SELECT count(*) FROM oss_labels.label WHERE key = 'beside'"), '10', 'process_queue beside the worker: labels');
}

# ---- a transaction that takes longer than the one after it ----

# The worker has just looked and found nothing, and has then read past the place
# of the first job when that one appears.
ok($test->wait_worker('idle%'), 'the worker is gone');
{
	my ($in, $out) = ('', '');
	my $session = IPC::Run::start(
		[ $node->installed_command('psql'), '-XAtq', '-d', $node->connstr('postgres') ],
		'<', \$in, '>', \$out, '2>&1');
	$test->reset;
	$in = "BEGIN; SELECT oss_labels.enqueue('tenlabels', 'first'); \\echo queued\n";
	$session->pump until $out =~ /queued/;
	$test->sql('SELECT oss_labels.announce()');
	ok($test->wait_sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'oss_labels worker' AND wait_event_type = 'Extension' AND xact_start IS NULL", '1'), 'late transaction: the worker found nothing');
	$test->sql("SELECT oss_labels.enqueue('tenlabels', 'second')");
	ok($test->wait_empty, 'late transaction: the one after it is done');
	$in .= "COMMIT;\n\\q\n";
	$session->finish;
	ok($test->wait_empty(seconds => 8), 'late transaction: its job is found at once');
	is($test->count, 2, 'late transaction: each was asked for once');
}

# ---- process_queue that is cancelled holds nothing afterwards ----

$test->sql('ALTER DATABASE postgres SET oss_labels.worker = off');
$test->sql("SELECT pg_terminate_backend(pid) FROM oss_labels.worker WHERE database = 'postgres' AND pid IS NOT NULL;"
	  . " SELECT oss_labels.announce()");
ok($test->wait_worker('off%'), 'the worker is off');
{
	my ($in, $out) = ('', '');
	my $session = IPC::Run::start(
		[ $node->installed_command('psql'), '-XAtq', '-d', $node->connstr('postgres') ],
		'<', \$in, '>', \$out, '2>&1');
	$test->reset;
	$oss->fault(kind => 'delay', delay => 20000);
	$test->enqueue(10, 'cancelled');
	$in = "SET statement_timeout = '@{[ 500 * OssServer::patience() ]}ms'; CALL oss_labels.process_queue(); \\echo cancelled\n";
	$session->pump until $out =~ /^cancelled/m;
	like($out, qr/statement timeout/, 'process_queue: cancelled');
	is($test->sql('SELECT count(*) FROM oss_labels.job WHERE lease IS NOT NULL'), '0', 'process_queue cancelled: no lease is left');
	$oss->control('/unfault');
	my ($status, $stdout, $stderr) = $node->psql('postgres', 'CALL oss_labels.process_queue(5)');
	like($stderr, qr/tagged 5 images, 0 failed/, 'process_queue cancelled: another session goes on');
	$oss->fault(kind => 'delay', delay => 20000);
	$out = '';
	$in .= "CALL oss_labels.process_queue(); \\echo cancelled\n";
	$session->pump until $out =~ /^cancelled/m;
	$oss->control('/unfault');
	$out = '';
	$in .= "RESET statement_timeout; CALL oss_labels.process_queue(); \\echo drained\n";
	$session->pump until $out =~ /^drained/m;
	like($out, qr/tagged 5 images, 0 failed/, 'process_queue cancelled: the same session goes on');
	$in .= "\\q\n";
	$session->finish;
}
is($test->sql("SELECT count(*) FROM oss_labels.image WHERE key LIKE 'cancelled%'"), '10', 'process_queue cancelled: all are tagged');
$test->sql('ALTER DATABASE postgres RESET oss_labels.worker');
$node->restart;

# ---- how fast, and until when ----

$test->reset;
$test->sql("ALTER SERVER oss OPTIONS (ADD max_requests_per_second '20')");
$test->enqueue(100, 'eta');
$oss->wait_count(label_answers => 50);
is( $test->sql("SELECT images_per_second BETWEEN 14 AND 22,"
		  . " abs(extract(epoch FROM eta) - (queued + in_flight + deferred) / images_per_second) < 0.01,"
		  . " queued + in_flight + deferred BETWEEN 30 AND 55"
		  . " FROM oss_labels.queue WHERE server = 'oss'"),
	't|t|t', 'the view knows the rate and when it will be done')
  or diag($test->sql('SELECT * FROM oss_labels.queue'));
$test->sql("ALTER SERVER oss OPTIONS (DROP max_requests_per_second)");
ok($test->wait_empty, 'the view: done');

# ---- what is enqueued while another's request waits for a throttle's end ----

$test->reset;
$oss->fault(kind => 'error', code => 'TotalQpsLimitExceeded', times => 1, header => 'Retry-After: 2');
$test->sql("SELECT oss_labels.enqueue('tenlabels', 'throttled')");
ok($oss->wait_count(code_TotalQpsLimitExceeded => 1), 'throttled');
$test->sql("SELECT oss_labels.enqueue('tenlabels', 'throttled')");
# the worker looks for new jobs within a second while it has some in hand
ok($test->wait_empty, 'throttled: done');
is($test->count('label_answers'), 1, 'throttled: both were served by one answer');

# ---- failed jobs are kept for so long ----

ok($test->wait_worker('idle%'), 'the worker is gone');
my $failed = "INSERT INTO oss_labels.failed_job (job_id, enqueued_at, failed_at, priority, attempts, requester, server, bucket, key, \"sqlstate\", message)"
  . " SELECT %s + g, now(), now() - interval '%s', 0, 5, current_user::regrole, 'oss', 'tenlabels', 'f', '58000', 'x' FROM generate_series(1, %s) g";
$test->sql(sprintf $failed, 1000, '29 days', 3);
$test->sql(sprintf $failed, 2000, '31 days', 2500);
$test->enqueue(1, 'tidy');
ok($test->wait_sql('SELECT count(*), min(job_id) FROM oss_labels.failed_job', '3|1001'), 'failed jobs: the old ones are forgotten, in parts');
ok($test->wait_worker('idle%'), 'the worker is gone');
$test->sql(sprintf $failed, 3000, '100 years', 2);
$node->append_conf('postgresql.conf', "oss_labels.failed_job_retention = 0\n");
$node->reload;
$test->enqueue(1, 'tidy0');
ok($test->wait_empty, 'retention 0: a turn');
is($test->sql('SELECT count(*) FROM oss_labels.failed_job'), '5', 'retention 0: kept for ever');

# ---- ALTER EXTENSION UPDATE with a request in flight ----

my $directory = $node->config_data('--sharedir') . '/extension';
my $sharedir = -w $directory;
SKIP:
{
	skip 'cannot add an upgrade script', 6 unless $sharedir;
	my $version = $test->sql("SELECT extversion FROM pg_extension WHERE extname = 'oss_labels'");
	my @steps = ("0.1--$version", "$version--999");
	for my $step (@steps)
	{
		PostgreSQL::Test::Utils::append_to_file("$directory/oss_labels--$step.sql",
			"ALTER TABLE oss_labels.job ADD upgraded int DEFAULT 1;\n");
	}
	$test->reset;
	$oss->fault(kind => 'delay', delay => 800);
	$test->enqueue(5, 'update');
	$oss->wait_count(label_in_flight => 5);
	$pid = $test->worker_pid;
	$test->sql("BEGIN; UPDATE pg_extension SET extversion = '0.1' WHERE extname = 'oss_labels';"
		  . " ALTER EXTENSION oss_labels UPDATE TO '$version'; SELECT pg_sleep(1.5); COMMIT");
	ok($test->wait_empty, 'ALTER EXTENSION UPDATE: answers that came meanwhile are stored');
	is($test->count, 5, 'ALTER EXTENSION UPDATE: each was asked for once');
	is($test->worker_pid || $pid, $pid, 'ALTER EXTENSION UPDATE: the same worker');

	$test->sql('ALTER TABLE oss_labels.job DROP upgraded');
	$test->enqueue(5, 'newer');
	$oss->wait_count(label_in_flight => 5);
	$test->sql("ALTER EXTENSION oss_labels UPDATE TO '999'");
	ok($test->wait_worker('library and extension differ%'), 'ALTER EXTENSION UPDATE to a version of another library: the worker leaves');
	is($test->sql('SELECT count(*) FROM oss_labels.job'), '5', 'ALTER EXTENSION UPDATE: no job is lost');
	$test->sql("UPDATE pg_extension SET extversion = '$version' WHERE extname = 'oss_labels'");
	$node->restart;
	ok($test->wait_empty, 'ALTER EXTENSION UPDATE: goes on with the right library');
	unlink map { "$directory/oss_labels--$_.sql" } @steps;
}

# ---- DROP DATABASE ... WITH (FORCE), with requests in flight ----

$test->reset;
$node->safe_psql('postgres', 'CREATE DATABASE forced');
$test->sql($test->create_sql, 'forced');
$oss->fault(kind => 'delay', delay => 20000);
$test->enqueue(5, 'forced', 'forced');
ok($oss->wait_count(label_in_flight => 5), 'WITH (FORCE): in flight');
$test->sql('DROP DATABASE forced WITH (FORCE)');
ok($oss->wait_count(label_in_flight => 0), 'WITH (FORCE): dropped, no request goes on');
is($test->count('label_answers'), 0, 'WITH (FORCE): requests were cancelled');
is($test->sql("SELECT count(*) FROM oss_labels.worker WHERE database = 'forced' AND pid IS NOT NULL"), '0', 'WITH (FORCE): no worker');

# ---- DROP EXTENSION while the worker is away starts it once, not for ever ----

$oss->control('/unfault');
ok($test->wait_worker('idle%'), 'the worker is gone');
$node->safe_psql('postgres', 'CREATE DATABASE watcher');
$node->safe_psql('watcher', 'CREATE EXTENSION oss_labels');
$test->sql('DROP EXTENSION oss_labels CASCADE');
ok($test->wait_worker('no extension', 'postgres', 'watcher'), 'DROP EXTENSION while idle: noticed');
my $since = $test->sql("SELECT since FROM oss_labels.worker WHERE database = 'postgres'", 'watcher');
sleep 0.7;
is($test->sql("SELECT since FROM oss_labels.worker WHERE database = 'postgres' AND state = 'no extension'", 'watcher'),
	$since, 'DROP EXTENSION while idle: and not looked for again');

$node->stop;
done_testing;
