# What is always throttled - an object, a bucket - steps aside: all others go
# on, and in the end it fails.  (Limits that a lower rate satisfies:
# queue_flow.pl.)

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use lib 'test/perl';
use QueueTest;

my $test = QueueTest->new;
my $node = $test->{node};
my $oss = $test->{oss};

sub enqueue
{
	my ($bucket, $prefix, $n) = @_;
	return $test->sql("SELECT count(oss_labels.enqueue('$bucket', '$prefix' || g)) FROM generate_series(1, $n) g");
}

sub stored_of
{
	my ($bucket, $prefix) = @_;
	return "SELECT count(*) FROM oss_labels.image WHERE bucket = '$bucket' AND key LIKE '$prefix%'";
}

# Pretend that a job has been throttled often: twenty times take a minute.
sub age
{
	my ($where) = @_;
	return $test->sql("UPDATE oss_labels.job SET throttles = 20, attempts = 4 WHERE leased_until IS NULL AND $where");
}

# How long as many images take when nothing is wrong.
enqueue('everykey', 'alone', 2000);
my $begun = time;
ok($test->wait_empty, 'alone: drained');
my $alone = time - $begun;

# ---- one object, asked for before all others ----

$test->reset;
$oss->fault(kind => 'error', code => 'QpsLimitExceeded', key => 'poison');
enqueue('everykey', 'good_before', 50);
$test->sql("SELECT oss_labels.enqueue('everykey', 'poison')");
ok($oss->wait_counted(code_QpsLimitExceeded => 3), 'one object: throttled again and again');
enqueue('everykey', 'good', 2000);
enqueue('tenlabels', 'good', 1000);
$begun = time;
ok($test->wait_sql(stored_of('tenlabels', 'good'), 1000, seconds => 5 + 3 * $alone),
	'one object: another bucket goes on');
ok($test->wait_sql(stored_of('everykey', 'good'), 2050, seconds => 15 + 3 * $alone),
	'one object: so does its own');
note sprintf '%.1f s, alone %.1f s', time - $begun, $alone;
ok($test->wait_sql("SELECT count(*) FROM oss_labels.queue WHERE bucket = 'everykey' AND last_trouble LIKE '%poison%'", 1),
	'one object: the view shows its trouble');
like($test->log, qr/throttled in bucket "everykey"/, 'one object: and the log');
is($test->sql('SELECT count(*) FROM oss_labels.failed_job'), 0, 'one object: it has not failed yet');
$test->wait_sql("SELECT count(*) FROM oss_labels.job WHERE throttles > 0 AND leased_until IS NULL", 1);
age("key = 'poison'") while $test->sql("SELECT count(*) FROM oss_labels.job WHERE throttles < 20 AND key = 'poison'");
ok($test->wait_sql("SELECT code, attempts FROM oss_labels.failed_job WHERE key = 'poison'", 'QpsLimitExceeded|5'),
	'one object: it fails in the end, with the code of the service');
is($test->count('label_answers'), 3050, 'one object: all others were paid for once');

# ---- fifty-one of them among good ones ----

$test->reset;
$oss->fault(kind => 'error', code => 'QpsLimitExceeded', prefix => 'bad');
$test->sql("SELECT count(oss_labels.enqueue('everykey', CASE g % 40 WHEN 0 THEN 'bad' ELSE 'fine' END || g)),"
	  . " count(oss_labels.enqueue('tenlabels', 'fine' || g)) FROM generate_series(1, 2040) g");
ok($test->wait_sql(stored_of('tenlabels', 'fine'), 2040, seconds => 5 + 5 * $alone), 'many objects: another bucket goes on');
ok($test->wait_sql(stored_of('everykey', 'fine'), 1989, seconds => 30 + 5 * $alone), 'many objects: so does their own');
$test->sql("DELETE FROM oss_labels.job; DELETE FROM oss_labels.failed_job");
ok($test->wait_empty, 'many objects: deleted');

# ---- one object that a session asks for again and again ----

$test->reset;
$oss->fault(kind => 'error', code => 'QpsLimitExceeded', key => 'poison');
my $calls = PostgreSQL::Test::Utils::tempdir . '/calls.sql';
append_to_file($calls, "SELECT count(*) FROM oss_labels.try_detect('everykey', 'poison');\n" x 500);
my $stubborn = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-f', $calls ], '>', '/dev/null', '2>', '/dev/null');
ok($oss->wait_counted(code_QpsLimitExceeded => 4), "a session's object: throttled again and again");
enqueue('everykey', 'session', 2000);
ok($test->wait_sql(stored_of('everykey', 'session'), 2000, seconds => 10 + 3 * $alone), "a session's object: the queue goes on");
is($test->sql("SELECT slowed_down FROM oss_labels.rate_status() WHERE bucket = 'everykey'"), 'f', "a session's object: the bucket is not slowed down");
$stubborn->kill_kill;
cmp_ok($oss->count('code_QpsLimitExceeded'), '>', 4, "a session's object: it was throttled meanwhile");

# ---- a bucket that answers nothing, and one that answers five a second ----

$test->reset;
$oss->fault(kind => 'error', code => 'QpsLimitExceeded', bucket => 'tenlabels');
enqueue('tenlabels', 'never', 20);
ok($oss->wait_counted(code_QpsLimitExceeded => 10), 'a bucket: throttled');
ok($test->wait_sql("SELECT count(*) FROM oss_labels.queue WHERE bucket = 'tenlabels' AND last_trouble LIKE '%throttled%'", 1, seconds => 5),
	'a bucket: the view says so within seconds');
$test->sql("SELECT count(oss_labels.enqueue('everykey', 'healthy' || g)) FROM generate_series(1, 2000) g");
$begun = time;
ok($test->wait_sql(stored_of('everykey', 'healthy'), 2000, seconds => 5 + 3 * $alone), 'a bucket: the other goes on');
note sprintf '%.1f s, alone %.1f s', time - $begun, $alone;
$begun = time;
like($test->sql("SET statement_timeout = '20s'; SELECT count(*) FROM oss_labels.detect('everykey', 'mine')"), qr/^\d+$/,
	'a bucket: a call for the other is answered');
cmp_ok(time - $begun, '<', 5 * OssServer::patience(), 'a bucket: and at once');
is($test->sql('SELECT count(*) FROM oss_labels.failed_job'), 0, 'a bucket: no job has failed yet');
ok($test->wait_sql("SELECT count(*) > 0 FROM oss_labels.queue WHERE bucket = 'tenlabels' AND last_trouble IS NOT NULL"),
	'a bucket: the view says why it stands');
# All jobs are aged, in nobody's hands: of some only, one a second would be tried.
# A worker that begins knows nothing of what the bucket answered before.
$test->sql("SELECT oss_labels.pause('oss')");
$test->sql('SELECT pg_terminate_backend(' . $test->worker_pid . ', 10000)');
ok($test->wait_sql('SELECT count(*) FROM oss_labels.job WHERE leased_until IS NOT NULL', 0), 'a bucket: paused, its jobs are given back');
age("bucket = 'tenlabels'");
$test->sql("SELECT oss_labels.resume('oss')");
ok($test->wait_sql("SELECT count(*) > 0 FROM oss_labels.failed_job WHERE bucket = 'tenlabels' AND code = 'QpsLimitExceeded'", undef, seconds => 20),
	'a bucket: its jobs fail in the end');
$oss->control('/reset?what=faults');
$test->sql("DELETE FROM oss_labels.failed_job; SELECT oss_labels.resume('oss')");
ok($test->wait_empty, 'a bucket: when it answers again, the rest is done');

$test->reset;
$oss->fault(kind => 'throttle', code => 'QpsLimitExceeded', bucket => 'tenlabels', rate => 5);
enqueue('tenlabels', 'slow', 40);
$test->sql("SELECT count(oss_labels.enqueue('everykey', 'beside' || g)) FROM generate_series(1, 2000) g");
ok($test->wait_sql(stored_of('everykey', 'beside'), 2000, seconds => 5 + 3 * $alone), 'a slow bucket: the other goes on');
ok($test->wait_empty(seconds => 40), 'a slow bucket: drained');
is($test->sql('SELECT count(*) FROM oss_labels.failed_job'), 0, 'a slow bucket: nothing failed that only waited');

# ---- one answer that asks for an hour ----

$test->reset;

# a worker mentions a bucket once a minute; another one does at once
$test->sql('SELECT pg_terminate_backend(' . $test->worker_pid . ', 10000)');
$oss->fault(kind => 'error', code => 'Busy', status => 429, header => 'Retry-After: 3600', key => 'one', times => 1);
$test->sql("SELECT oss_labels.enqueue('tenlabels', 'one')");
ok($oss->wait_counted(status_429 => 1), 'an hour: asked for');
my $held = "SELECT count(*) FROM oss_labels.queue WHERE bucket = 'tenlabels' AND last_trouble LIKE 'held until %'";
ok($test->wait_sql($held, 1, seconds => 5), 'an hour: the view says until when the bucket is held');
like($test->log, qr/throttled in bucket "tenlabels" of server "oss": [^\n]*\n[^\n]*DETAIL: [^\n]*429/, 'an hour: so does the log');
$test->sql("CREATE ROLE mine; CREATE ROLE other; GRANT USAGE ON SCHEMA oss_labels TO mine, other; GRANT SELECT ON oss_labels.queue TO mine, other;"
	  . " GRANT EXECUTE ON FUNCTION oss_labels.rate_status TO mine, other; GRANT USAGE ON FOREIGN SERVER oss TO mine, other;"
	  . " UPDATE oss_labels.job SET requester = 'mine'::regrole, requester_name = 'mine'");
is($test->sql("SET ROLE mine; $held"), 1, 'an hour: to whose jobs wait');
is($test->sql('SET ROLE other; SELECT count(*) FROM oss_labels.queue'), 0, 'an hour: to nobody else');
$test->sql("UPDATE oss_labels.job SET requester = 'postgres'::regrole, requester_name = 'postgres'");
enqueue('everykey', 'meanwhile', 100);
ok($test->wait_sql(stored_of('everykey', 'meanwhile'), 100), 'an hour: another bucket goes on');
is($test->sql("SELECT count(*) FROM oss_labels.queue WHERE bucket <> 'tenlabels' AND last_trouble IS NOT NULL"), 0,
	'an hour: and has no trouble in the view');
$test->sql("SELECT oss_labels.resume('oss')");
is($test->sql($held), 0, 'an hour: resume() takes it from the view');
ok($test->wait_empty(seconds => 20), 'an hour: resume() ends it');

# ---- the rest of one object, while its bucket answers others ----

for (['resume()', "SELECT oss_labels.resume('oss')"],
	['ALTER SERVER', "ALTER SERVER oss OPTIONS (ADD max_concurrency '30')"],
	['another AccessKey', "ALTER USER MAPPING FOR CURRENT_USER SERVER oss OPTIONS (SET access_key_secret 'testsecret')"])
{
	my ($how, $sql) = @$_;

	$test->reset;
	$test->sql('DELETE FROM oss_labels.image');
	$oss->fault(kind => 'error', code => 'Busy', status => 429, header => 'Retry-After: 3600', key => 'rests');
	$test->sql("SELECT oss_labels.enqueue('everykey', 'rests')");
	my $rests = "SELECT count(*) FROM oss_labels.job WHERE key = 'rests' AND lease IS NULL AND throttles > 0 AND due > now() + '20 s'";
	for (1 .. 20)
	{
		last if $test->wait_sql($rests, 1, seconds => 3);
		# not its own rest yet, but its bucket's
		enqueue('everykey', "more$_", 50);
		$test->sql("SELECT oss_labels.resume('oss')");
	}
	is($test->sql($rests), 1, 'a rest: of its own');
	my $asked = $test->count('status_429');
	$oss->control('/unfault');
	$test->sql("BEGIN; $sql; ROLLBACK; SELECT oss_labels.resume('other')");
	is($test->sql($rests), 1, "a rest: another server's resume(), or $how that is rolled back, ends nothing");
	$test->sql($sql);
	ok($test->wait_empty(seconds => 10), "a rest: $how ends it");
	is($test->count('status_429'), $asked, 'a rest: it was answered at once');
}

$test->accounts_agree;
$node->stop;
done_testing;
