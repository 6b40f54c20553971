# How fast: the limits are kept, throttles cost no attempt and teach the rate,
# and no server's troubles are another's.

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

$test->sql("CREATE SERVER other FOREIGN DATA WRAPPER oss_labels"
	  . " OPTIONS (region 'cn-hangzhou', endpoint '" . $other->http_endpoint . "');"
	  . " CREATE USER MAPPING FOR CURRENT_USER SERVER other"
	  . " OPTIONS (access_key_id 'testid', access_key_secret 'testsecret')");

sub enqueue
{
	my ($n, $prefix, $server) = @_;
	return $test->sql("SELECT count(oss_labels.enqueue('tenlabels', '$prefix' || g,"
		  . " server => '$server')) FROM generate_series(1, $n) g");
}

sub failed { return $test->sql('SELECT count(*) FROM oss_labels.failed_job') }

# ---- a service that takes 50 a second ----

my $images = 500;
$oss->fault(kind => 'throttle', rate => 50);
enqueue($images, 'throttled', 'oss');
my $begun = time;
ok($test->wait_empty, 'throttled: drained');
my $rate = $images / (time - $begun);
cmp_ok($rate, '>=', 45, sprintf 'throttled at 50 a second: drained at %.1f', $rate);
is(failed(), '0', 'throttled: no failed job');
is($test->stored, "$images|0", 'throttled: labels are there');
cmp_ok($test->count('code_TotalQpsLimitExceeded'), '>', 0, 'throttled: it was');
is($test->count('label_answers'), $images, 'throttled: each image was paid for once');

# ---- the rate is back within 10 seconds of the limit's lifting ----

$oss->fault(kind => 'delay', delay => 20);
enqueue(20000, 'lifted', 'oss');
sleep 2;
is($test->sql("SELECT slowed_down FROM oss_labels.flow_status() WHERE server = 'oss'"),
	't', 'the view knows that it is slowed down');
$oss->control('/unfault');
$oss->fault(kind => 'delay', delay => 20);
sleep 8.5;
my $before = $test->count('label_answers');
sleep 1;
$rate = $test->count('label_answers') - $before;
cmp_ok($rate, '>=', 1000, "10 s after the limit's lifting: $rate images a second again");
$test->sql('TRUNCATE oss_labels.job');
ok($test->wait_sql('SELECT count(*) FROM oss_labels.job', '0'), 'truncated');
$oss->wait_count(label_in_flight => 0);

# ---- max_requests_per_second, exactly, worker and backends together ----

$test->sql("ALTER SERVER oss OPTIONS (ADD max_requests_per_second '40')");
sleep 1.2;
$test->reset;
enqueue(120, 'limited', 'oss');
# a backend's own requests come out of the same forty
my $detect = "SELECT count(*) FROM generate_series(1, 40) g,"
  . " LATERAL oss_labels.detect('tenlabels', 'mine' || g, server => 'oss')";
$begun = time;
is($test->sql($detect), '400', 'limited: detect() too');
ok($test->wait_empty, 'limited: drained');
my $took = time - $begun;
cmp_ok($test->count('label_max_per_second'), '<=', 40, 'limited: never more than 40 within any second');
cmp_ok($took, '>=', 2.9, sprintf 'limited: 160 requests took %.2f s', $took);
cmp_ok($took, '<=', 5.5, 'limited: and not much more');
is($test->count, 160, 'limited: 160 requests');
$test->sql("ALTER SERVER oss OPTIONS (DROP max_requests_per_second, ADD max_concurrency '7')");

# ---- max_concurrency ----

$test->reset;
$oss->fault(kind => 'delay', delay => 50);
enqueue(50, 'seven', 'oss');
ok($test->wait_empty, 'max_concurrency: drained');
is($test->count('label_most_in_flight'), '7', 'max_concurrency: seven, no more and no less');
$test->sql("ALTER SERVER oss OPTIONS (DROP max_concurrency)");

# ---- one server hangs, the other goes on ----

$test->reset;
$oss->fault(kind => 'delay', delay => 30000);
enqueue(300, 'hangs', 'oss');
ok($oss->wait_count(label_in_flight => 64), 'one server hangs');
$begun = time;
enqueue(2000, 'fast', 'other');
ok($test->wait_sql("SELECT count(*) FROM oss_labels.job WHERE server = 'other'", '0'),
	'the other server goes on');
cmp_ok(time - $begun, '<', 5, 'as fast as ever');

# ---- one server is gone, the other goes on, and nothing is lost ----

$oss->kill9;
enqueue(500, 'gone', 'other');
ok($test->wait_sql("SELECT count(*) FROM oss_labels.job WHERE server = 'other'", '0'),
	'a server that is gone holds nobody up');
is(failed(), '0', 'a server that is gone fails no job');
ok($test->wait_sql("SELECT count(*) > 0 FROM oss_labels.queue WHERE server = 'oss' AND (last_trouble LIKE '%connect%' OR last_trouble LIKE '%reached%')"),
	'the view says why');
$oss->restart;
ok($test->wait_empty(seconds => 90), 'a server that is back is asked again');
is(failed(), '0', 'no job failed');

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
ok($test->wait_empty, 'a changed mapping: it goes on');
is(failed(), '0', 'a changed mapping: no job failed');

$test->reset;
$oss->fault(code => 'InvalidAccessKeyId', times => 1);
enqueue(1, 'resumed', 'oss');
ok($test->wait_sql('SELECT count(*) FROM oss_labels.halted', '1'), 'paused again');
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

# ---- failures: retried, counted, told ----

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
done_testing;
