# What goes wrong: no server's troubles are another's, wrong credentials pause
# theirs, failures are tried again later and later, told, and tried by hand.

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
my $other = OssServer->new;

my $create = "CREATE SERVER %1\$s FOREIGN DATA WRAPPER oss_labels"
  . " OPTIONS (region 'cn-hangzhou', endpoint '%2\$s');"
  . " CREATE USER MAPPING FOR CURRENT_USER SERVER %1\$s"
  . " OPTIONS (access_key_id 'testid', access_key_secret 'testsecret')";
$test->sql(sprintf $create, 'other', $other->http_endpoint);

sub enqueue
{
	my ($n, $prefix, $server) = @_;
	return $test->sql("SELECT count(oss_labels.enqueue('tenlabels', '$prefix' || g,"
		  . " server => '$server')) FROM generate_series(1, $n) g");
}

sub failed { return $test->sql('SELECT count(*) FROM oss_labels.failed_job') }

# Drain the other server; returns the seconds.
sub drain_other
{
	my ($prefix) = @_;
	my $begun = time;
	enqueue(2000, $prefix, 'other');
	ok($test->wait_sql("SELECT count(*) FROM oss_labels.job WHERE server = 'other'", '0'), 'the other server is drained');
	return time - $begun;
}
my $alone = drain_other('alone');

sub as_fast_as_ever
{
	my $took = drain_other(@_);
	cmp_ok($took, '<', 3 * $alone + 2, sprintf 'as fast as ever: %.1f s, alone %.1f s', $took, $alone);
	return;
}

# ---- one server throttles, the other goes on ----

$test->sql(sprintf $create, 'busy', $oss->http_endpoint);
$oss->fault(kind => 'throttle', rate => 2, header => 'Retry-After: 1');
enqueue(50, 'slowly', 'busy');
ok($oss->wait_counted(code_TotalQpsLimitExceeded => 1), 'one server throttles');
as_fast_as_ever('beside');
is($test->sql("SELECT count(*) FROM oss_labels.job WHERE attempts > 1"), '0', 'throttled jobs are charged no attempt');
is(failed(), '0', 'nor do they fail');
cmp_ok($test->count('label_answers'), '<', 50, 'they wait');
$test->sql("SELECT oss_labels.pause('busy')");

# ---- one server hangs, the other goes on ----

$test->reset;
$oss->fault(kind => 'delay', delay => 30000);
enqueue(300, 'hangs', 'oss');
# a bucket that is silent leaves half of the slots to others
ok($oss->wait_count(label_in_flight => 32), 'one server hangs');
as_fast_as_ever('fast');

# ---- one server is gone, the other goes on, and nothing is lost ----

$oss->kill9;
enqueue(500, 'gone', 'other');
ok($test->wait_sql("SELECT count(*) FROM oss_labels.job WHERE server = 'other'", '0'),
	'a server that is gone holds nobody up');
is(failed(), '0', 'a server that is gone fails no job');
ok($test->wait_sql("SELECT count(*) > 0 FROM oss_labels.queue WHERE server = 'oss' AND (last_trouble LIKE '%connect%' OR last_trouble LIKE '%reached%')"),
	'the view says why');
$oss->restart;
ok($test->wait_sql("SELECT count(*) FROM oss_labels.job WHERE server = 'oss'", '0', seconds => 90), 'a server that is back is asked again');
$test->sql("SELECT oss_labels.resume('busy')");
ok($test->wait_empty, 'so is one that throttled');
is(failed(), '0', 'no job failed');

# ---- an endpoint that was not reached and is mended ----

$node->append_conf('postgresql.conf', "log_min_messages = debug1\n");
$node->reload;
$test->log;
$test->sql("ALTER SERVER oss OPTIONS (SET endpoint 'http://127.0.0.1:1')");
$other->kill9;
enqueue(20, 'mended', $_) for 'oss', 'other';
my %held;
for (1 .. 600)
{
	$held{$_} = 1 for $test->log =~ /of server "(\w+)" can't be used, held for 8000 ms/g;
	last if keys %held == 2;
	sleep 0.05;
}
is(join(' ', sort keys %held), 'oss other', 'an endpoint that is not reached: held for eight seconds');
$test->sql("BEGIN; SELECT oss_labels.resume(); ROLLBACK");
$other->restart;
for (['oss', 'ALTER SERVER', "ALTER SERVER oss OPTIONS (SET endpoint '" . $oss->http_endpoint . "')"],
	['other', 'resume()', "SELECT oss_labels.resume('other')"])
{
	my ($server, $how, $sql) = @$_;
	my $start = time;
	$test->sql($sql);
	ok($test->wait_sql("SELECT count(*) FROM oss_labels.job WHERE server = '$server'", '0', seconds => 3),
		sprintf "$how ends the hold: all is done after %.1f s", time - $start);
}
is(failed(), '0', 'an endpoint that is mended: no job failed');
$node->append_conf('postgresql.conf', "log_min_messages = warning\n");
$node->reload;

# ---- wrong credentials pause the server ----

$test->reset;
$test->log;
$test->sql("ALTER USER MAPPING FOR CURRENT_USER SERVER oss OPTIONS (SET access_key_secret 'wrong')");
enqueue(500, 'secret', 'oss');
ok($test->wait_sql("SELECT paused LIKE '%signature%' FROM oss_labels.queue WHERE server = 'oss'"),
	'wrong credentials: paused, and the view says why');
enqueue(20, 'meanwhile', 'other');
ok($test->wait_sql("SELECT count(*) FROM oss_labels.job WHERE server = 'other'", '0'),
	'wrong credentials: the other server goes on');
$oss->wait_count(in_flight => 0);
my $requests = $test->count;
cmp_ok($requests, '<=', 64, "wrong credentials: $requests requests, no more");
is($test->sql("SELECT count(*), max(attempts) FROM oss_labels.job WHERE lease IS NULL"),
	'500|0', 'wrong credentials: no attempt was charged');
is(() = $test->log =~ /oss_labels pauses server/g, 1, 'wrong credentials: one line in the log');
is(failed(), '0', 'wrong credentials: no job failed');
$test->sql("ALTER USER MAPPING FOR CURRENT_USER SERVER oss OPTIONS (SET access_key_secret 'testsecret')");
my $begun = time;
ok($test->wait_empty, 'a changed mapping: it goes on');
cmp_ok(time - $begun, '<', 4, 'a changed mapping: at once');
is(failed(), '0', 'a changed mapping: no job failed');

# what was signed with the old key and is refused after the change
$test->reset;
$test->sql("ALTER USER MAPPING FOR CURRENT_USER SERVER oss OPTIONS (SET access_key_secret 'wrong')");
$oss->fault(kind => 'delay', delay => 1500);
enqueue(5, 'late', 'oss');
ok($oss->wait_count(label_in_flight => 5), 'a mapping changed in flight: requests are');
$test->sql("ALTER USER MAPPING FOR CURRENT_USER SERVER oss OPTIONS (SET access_key_secret 'testsecret')");
ok($oss->wait_count(label_in_flight => 0), 'a mapping changed in flight: they are refused');
$oss->control('/unfault');
ok($test->wait_empty, 'a mapping changed in flight: it goes on');
is(failed(), '0', 'a mapping changed in flight: no job failed');

# again and again: the change is visible before the worker is told of it, and
# what the worker asks for between must not be paused for the new key's sake
my $held_up = 0;
for my $round (1 .. 60)
{
	$test->sql("ALTER USER MAPPING FOR CURRENT_USER SERVER oss OPTIONS (SET access_key_secret 'wrong')");
	enqueue(1, "again$round", 'oss');
	$test->wait_sql('SELECT count(*) FROM oss_labels.active_pause', 1, seconds => 10) or last;
	$test->sql("ALTER USER MAPPING FOR CURRENT_USER SERVER oss OPTIONS (SET access_key_secret 'testsecret')");
	next if $test->wait_empty(seconds => 10);
	$held_up++;
	last;
}
is($held_up, 0, 'a mapping changed sixty times: it goes on each time');

# one role is refused while another's pause is being written
$test->reset;
$test->sql("CREATE ROLE second; GRANT USAGE ON SCHEMA oss_labels TO second;"
	  . " GRANT EXECUTE ON FUNCTION oss_labels.enqueue TO second; GRANT USAGE ON FOREIGN SERVER oss TO second;"
	  . " CREATE USER MAPPING FOR second SERVER oss OPTIONS (access_key_id 'testid', access_key_secret 'testsecret');"
	  . " ALTER SERVER oss OPTIONS (ADD max_concurrency '2');"
	  . ' CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(2); RETURN NEW; END $$;'
	  . ' CREATE TRIGGER linger BEFORE UPDATE ON oss_labels.job FOR EACH ROW'
	  . " WHEN (OLD.lease IS NOT NULL AND NEW.lease IS NULL AND OLD.key = 'mine') EXECUTE FUNCTION linger()");
$oss->fault(code => 'InvalidAccessKeyId', delay => 500, key => 'mine');
$oss->fault(code => 'InvalidAccessKeyId', delay => 1000, prefix => 'theirs');
$test->sql("BEGIN; SELECT oss_labels.enqueue('tenlabels', 'mine', server => 'oss', priority => 1); SET ROLE second;"
	  . " SELECT count(oss_labels.enqueue('tenlabels', 'theirs' || g, server => 'oss')) FROM generate_series(1, 20) g; COMMIT");
ok($test->wait_sql("SELECT count(DISTINCT requester) FROM oss_labels.active_pause", '2'), 'two roles are refused: both are paused');
ok($oss->wait_count(in_flight => 0), 'two roles are refused: nothing is in flight');
is($test->count, 2, 'two roles are refused: one request each');
$oss->control('/unfault');
$test->sql('DROP TRIGGER linger ON oss_labels.job; ALTER SERVER oss OPTIONS (DROP max_concurrency)');
ok($test->wait_empty, 'two roles are refused: an altered server goes on');

$test->reset;
$oss->fault(code => 'InvalidAccessKeyId', times => 1);
enqueue(1, 'resumed', 'oss');
ok($test->wait_sql('SELECT count(*) FROM oss_labels.active_pause', '1'), 'paused again');
sleep 0.5;
is($test->count, 1, 'paused: nothing is asked');
$test->sql("SELECT oss_labels.resume('oss')");
ok($test->wait_empty, 'resume(): it goes on');

# ---- pause by hand ----

$test->sql("SELECT oss_labels.pause('oss')");
enqueue(3, 'byhand', 'oss');
enqueue(3, 'byhand', 'other');
ok($test->wait_sql("SELECT count(*) FROM oss_labels.job WHERE server = 'other'", '0'), 'pause(oss): the other goes on');
is($test->sql("SELECT queued, paused LIKE 'paused by %' FROM oss_labels.queue WHERE server = 'oss'"), '3|t', 'pause(oss): the view');
$test->sql("SELECT oss_labels.pause(); SELECT oss_labels.resume('oss')");
sleep 0.5;
is($test->sql('SELECT count(*) FROM oss_labels.job'), '3', 'pause(): the whole database');
$test->sql('SELECT oss_labels.resume()');
ok($test->wait_empty, 'resume(): goes on');

# ---- a server that is dropped, and made again ----

$test->sql("SELECT oss_labels.pause('other')");
enqueue(2, 'dropped', 'other');
$test->sql("DROP SERVER other CASCADE; SELECT oss_labels.resume('other')");
ok($test->wait_sql("SELECT paused LIKE '%does not exist%' FROM oss_labels.queue WHERE server = 'other'"),
	'a dropped server: its jobs are paused, and the view says why');
enqueue(1, 'undropped', 'oss');
ok($test->wait_sql("SELECT count(*) FROM oss_labels.job WHERE server = 'oss'", '0'), 'a dropped server: the other goes on');
is($test->sql('SELECT count(*), max(attempts) FROM oss_labels.job'), '2|0', 'a dropped server: its jobs stay');
$test->sql(sprintf $create, 'other', $other->http_endpoint);
ok($test->wait_empty, 'a server of that name again: it goes on');
is($test->sql("SELECT count(*) FROM oss_labels.image WHERE key LIKE 'dropped%'"), '2', 'a server of that name again: tagged');
is(failed(), '0', 'a dropped server: no job failed');

# ---- failures: retried later and later, counted, told ----

$test->reset;
$oss->fault(code => 'InternalError', prefix => 'later');
$test->sql('CREATE TABLE put_back AS SELECT key, attempts, enqueued_at, due, reason, now() AS at FROM oss_labels.job WITH NO DATA;'
	  . ' CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN'
	  . ' INSERT INTO public.put_back VALUES (NEW.key, NEW.attempts, NEW.enqueued_at, NEW.due, NEW.reason, clock_timestamp());'
	  . ' RETURN NULL; END $$;'
	  . ' CREATE TRIGGER note AFTER UPDATE ON oss_labels.job FOR EACH ROW'
	  . ' WHEN (OLD.lease IS NOT NULL AND NEW.lease IS NULL) EXECUTE FUNCTION note()');
enqueue(40, 'later', 'oss');
ok($test->wait_sql('SELECT count(*) FROM put_back WHERE attempts <= 2', '80'), 'failures: put off twice');
is($test->sql("SELECT bool_and(due > enqueued_at + '0.5 s' AND due < at + '1.5 s'), max(due) - min(due) > '0.4 s',"
	  . " min(reason) LIKE '%the service failed%' FROM put_back WHERE attempts = 1"),
	't|t|t', 'failures: for about a second, each for another time, and the reason is told');
is($test->sql("SELECT bool_and(b.due > a.due + '1 s' AND b.due < b.at + '3 s'), max(b.due) - min(b.due) > '0.8 s'"
	  . ' FROM put_back a JOIN put_back b USING (key) WHERE a.attempts = 1 AND b.attempts = 2'),
	't|t', 'failures: for twice as long');
$test->sql("DROP TRIGGER note ON oss_labels.job; DELETE FROM oss_labels.job WHERE key LIKE 'later%'");

# a service that fails everything for a while
$test->reset;
my $stored = $test->sql('SELECT count(*) FROM oss_labels.image');
$oss->fault(code => 'InternalError');
enqueue(600, 'outage', 'oss');
my $until = time + 5;
ok($oss->wait_counted(code_InternalError => 20), 'an outage: tried');
sleep 0.1 while time < $until;
cmp_ok($oss->count('code_InternalError'), '<=', 300, 'an outage: hardly anything is asked for');
$oss->control('/unfault');
ok($test->wait_empty, 'an outage: over');
is(failed(), '0', 'an outage: no job has failed');
is($test->sql('SELECT count(*) FROM oss_labels.image') - $stored, 600, 'an outage: all is stored');

$test->reset;
$oss->fault(code => 'InternalError', key => 'flaky1', times => 2);
enqueue(1, 'flaky', 'oss');
ok($test->wait_empty, 'a failure that passes');
is($oss->count_key('tenlabels', 'flaky1'), 3, 'a failure that passes: three requests');
$node->append_conf('postgresql.conf', "oss_labels.job_attempts = 2\n");
$node->reload;
$oss->fault(code => 'InternalError', key => 'broken1');
enqueue(1, 'broken', 'oss');
ok($test->wait_empty, 'a failure that stays');
is($oss->count_key('tenlabels', 'broken1'), 2, 'a failure that stays: two attempts');
is($test->sql("SELECT \"sqlstate\", code, http_status, attempts, message LIKE '%tenlabels/broken1%', request_id IS NOT NULL, failed_at IS NOT NULL FROM oss_labels.failed_job"),
	'58000|InternalError|500|2|t|t|t', 'a failure that stays: told');
is($test->sql("SELECT oss_labels.retry_failed(code => 'NoSuchKey')"), '0', 'retry_failed: by code, another');
is($test->sql("SELECT oss_labels.retry_failed(bucket => 'other')"), '0', 'retry_failed: by bucket, another');
is($test->sql("SELECT oss_labels.retry_failed(younger_than => '-1 hour')"), '0', 'retry_failed: by age, none');
$oss->control('/unfault');
is($test->sql("SELECT oss_labels.retry_failed('oss', 'tenlabels', '58000', '1 hour')"), '1', 'retry_failed');
ok($test->wait_empty, 'retry_failed: done');
is(failed(), '0', 'retry_failed: no longer failed');

$node->stop;
$other->stop;
done_testing;
