# Budgets are exact: fifty sessions and the worker together get what they allow
# and no image more, beside throttles, broken answers, connections that are
# refused, and changes of the budgets.  What counts is what the stand-in billed.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use lib 'test/perl';
use QueueTest;

my $test = QueueTest->new(name => 'budget', conf => "max_connections = 100\n");
my ($node, $oss) = ($test->{node}, $test->{oss});

# What the service has done for money.
sub billed { return $oss->count('label_billed') }

# What a budget has spent, once nothing is in flight.
sub spent
{
	my ($where) = @_;
	$test->wait_sql('SELECT sum(in_flight) FROM oss_labels.budget_status', 0);
	return $test->sql("SELECT spent FROM oss_labels.budget_status WHERE $where");
}

# SQL of a statement that asks for images, as try_detect() does it.
sub try_sql
{
	my ($n, $prefix, $bucket) = @_;
	$bucket //= 'tenlabels';
	return "SELECT count(*) FILTER (WHERE error_code IS NULL) || ' ' || count(*) FILTER (WHERE error_code = 'BudgetExhausted')"
	  . " FROM (SELECT DISTINCT g, l.error_code FROM generate_series(1, $n) g,"
	  . " LATERAL oss_labels.try_detect('$bucket', $prefix || g) l) q;\n";
}

# Run a script in n sessions, once each.
sub in_sessions
{
	my ($n, $script, $what) = @_;
	my $file = $node->basedir . '/script.sql';
	open my $fh, '>', $file or die $!;
	print $fh $script;
	close $fh;
	$node->command_ok([ 'pgbench', '-n', '-c', $n, '-j', 2, '-t', 1, '-f', $file, 'postgres' ], $what);
	return;
}

# ---- a cap for all together ----

$test->bucket('capped', throttle => 'TotalQpsLimitExceeded', rate => 300);
$oss->fault(kind => 'delay', delay => '5-40');
$test->sql("SELECT oss_labels.set_budget(1000, 'day')");
$test->sql("SELECT count(oss_labels.enqueue('capped', 'q' || g, server => 'oss', max_age => '0')) FROM generate_series(1, 2000) g");
in_sessions(50, try_sql(60, "'s' || :client_id || '-'", 'capped'), 'fifty sessions end without an error');
ok($test->wait_sql('SELECT spent = 1000 AND in_flight = 0 FROM oss_labels.budget_status', 't'), 'all is spent');
ok($test->wait_sql("SELECT count(*) > 0 FROM oss_labels.active_pause WHERE budget_id IS NOT NULL"), 'the queue is paused');
is(billed(), 1000, 'the service has billed 1000');
cmp_ok($oss->count('label_requests'), '>', 1000, 'and throttled others, which did not count');
my $requests = $oss->count('label_requests');
sleep 1;    # nothing must come: there is no event to wait for
is($oss->count('label_requests'), $requests, 'nothing is sent in the second after it');
like($test->sql("SELECT DISTINCT paused FROM oss_labels.queue WHERE queued > 0"),
	qr/Budget \d+ allows 1000 requests a day, which are used up until \d/, 'the queue says so, and until when');
is($test->sql("SELECT until > now() AND until < now() + interval '25 hours' FROM oss_labels.own_pause"), 't', 'and when the pause ends');
is($test->sql("SELECT count(*) FROM oss_labels.failed_job"), 0, 'no job has failed');

$test->sql("SELECT oss_labels.set_budget(1500, 'day')");
ok($test->wait_sql('SELECT spent = 1500 AND in_flight = 0 FROM oss_labels.budget_status', 't'), 'a higher cap wakes the worker');
ok($test->wait_sql("SELECT count(*) > 0 FROM oss_labels.active_pause WHERE budget_id IS NOT NULL"), 'until it is paused again');
is(billed(), 1500, 'the service has billed 1500');
$test->sql("SELECT oss_labels.set_budget(NULL, 'day')");
ok($test->wait_empty, 'without a budget the queue is emptied');
$test->reset;

# ---- several budgets at once ----

$test->bucket($_) for qw(bucketone buckettwo);
$test->sql("CREATE SERVER other FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', endpoint '" . $oss->http_endpoint . "')");
$test->sql("CREATE USER MAPPING FOR CURRENT_USER SERVER other OPTIONS (access_key_id 'testid', access_key_secret 'testsecret')");
$test->role('anna', 'oss', 'other');
$test->role('bert', 'oss', 'other');
my $set = "SELECT oss_labels.set_budget(400, 'ever'), oss_labels.set_budget(390, 'month', server => 'oss'),"
  . " oss_labels.set_budget(200, 'day', requester => 'anna'), oss_labels.set_budget(150, 'day', bucket => 'bucketone'),"
  . " oss_labels.set_budget(60, 'day', server => 'oss', requester => 'anna', bucket => 'bucketone'),"
  . " oss_labels.set_budget(10, 'day', requester => 'bert', bucket => 'buckettwo')";
$test->sql($set);

sub asks
{
	my ($role, $n, $server, $bucket, $expected, $what) = @_;
	my $out = $test->sql("SET ROLE $role; SET oss_labels.server = '$server'; " . try_sql($n, "'$what '", $bucket));
	is($out, $expected, $what);
	return;
}
asks('anna', 100, 'oss', 'bucketone', '60 40', 'the budget of all three columns');
asks('anna', 100, 'other', 'bucketone', '90 10', 'the budget of the bucket');
asks('anna', 100, 'oss', 'buckettwo', '50 50', 'the budget of the role');
asks('bert', 20, 'other', 'buckettwo', '10 10', 'the budget of role and bucket');
asks('bert', 20, 'other', 'tenlabels', '20 0', 'another bucket is not covered by it');
asks('postgres', 300, 'oss', 'buckettwo', '170 130', 'the budget of all');
is(billed(), 400, 'in all what the widest allows');
is($test->sql("SELECT string_agg(spent || '/' || max_requests, ' ' ORDER BY budget_id) FROM oss_labels.budget_status"),
	'400/400 280/390 200/200 150/150 60/60 10/10', 'each has counted what it covers, and nothing that another refused');
is($test->sql("SET ROLE bert; SELECT count(*) FROM oss_labels.budget_status"), 4, 'a role sees the budgets that concern it');
like($test->sql_error("SET ROLE bert; SELECT oss_labels.set_budget(1000)"), qr/permission denied/, 'and sets none');

# ---- errors, and what says so ----

$test->sql("ALTER SYSTEM SET oss_labels.server = 'oss'");
$node->reload;
ok($test->wait_sql('SHOW oss_labels.server', 'oss'), 'one server is the default');
my $detect = "oss_labels.detect('tenlabels', 'more')";
like($test->sql_error("SELECT count(*) FROM $detect"), qr/ERROR:  53000: .*a budget is used up.*\n.*DETAIL:  Budget \d+ allows 400 requests, which are used up\./s,
	'detect() raises 53000');
like($test->sql_error("SELECT count(*) FROM oss_labels.tag('tenlabels', 'more')"), qr/ERROR:  53000/, 'so does tag()');
is($test->sql("SELECT error_code FROM oss_labels.try_tag('tenlabels', 'more')"), 'BudgetExhausted', 'try_tag() gives a row');
like($test->sql("EXPLAIN (ANALYZE, COSTS off, TIMING off) SELECT * FROM (SELECT g FROM generate_series(1, 5) g OFFSET 0) g, LATERAL oss_labels.try_detect('tenlabels', 'x' || g) l"),
	qr/Requests: 0\n.*Refused by Budget: 5\n/s, 'EXPLAIN ANALYZE counts what it refused');
like($test->sql("SELECT ok || ' ' || detail FROM oss_labels.check_server('oss') WHERE check_name = 'budget'"), qr/^false Budget \d+ allows 400/,
	'check_server() says that it is used up');
is(billed(), 400, 'none of it was sent');
is($test->sql("SELECT etag IS NOT NULL FROM oss_labels.object_info('examplebucket', 'example.jpg')"), 't', 'a HEAD is of no label budget');
$test->sql('DELETE FROM oss_labels.budget');
like($test->sql("SELECT detail FROM oss_labels.check_server('oss') WHERE check_name = 'budget'"), qr/^no budget is set/, 'or that there is none');
$test->reset;

# ---- what was sent and is not answered may be billed ----

$test->sql("ALTER SERVER oss OPTIONS (ADD timeout_ms '300', ADD max_attempts '2')");
$test->sql("SELECT oss_labels.set_budget(30)");
$oss->fault(kind => 'delay', delay => 1500, every => 2);
$test->sql("SET oss_labels.concurrency = 8; " . try_sql(60, "'late'"));
ok($oss->wait_count('label_in_flight', 0), 'the service has ended what it began');
cmp_ok(billed(), '<=', 30, 'answers that came too late count');
is(spent('true'), 30, 'and the budget is used up');
$test->sql("ALTER SERVER oss OPTIONS (DROP timeout_ms, DROP max_attempts)");
$test->reset;

# ---- what costs nothing ----

$test->sql("DELETE FROM oss_labels.budget; SELECT oss_labels.set_budget(30)");
$test->sql("CREATE SERVER closed FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', endpoint 'http://127.0.0.1:9', max_attempts '1')");
$test->sql("CREATE USER MAPPING FOR CURRENT_USER SERVER closed OPTIONS (access_key_id 'testid', access_key_secret 'testsecret')");
$test->sql("DO \$\$ BEGIN FOR i IN 1..1000 LOOP BEGIN PERFORM oss_labels.detect('tenlabels', 'k' || i, server => 'closed');"
	  . " EXCEPTION WHEN OTHERS THEN IF SQLSTATE LIKE '53%' THEN RAISE; END IF; END; END LOOP; END \$\$");
is(spent('true'), 0, 'a thousand connections that were refused cost nothing');
for my $fault ([ error => code => 'NoSuchKey' ], [ error => code => 'InternalError' ], [ throttle => rate => 0 ])
{
	$oss->fault(kind => $fault->[0], $fault->[1], $fault->[2]);
	$test->sql("SELECT count(*) FROM generate_series(1, 20) g, LATERAL oss_labels.try_detect('tenlabels', 'bad' || g) l");
	is(spent('true'), 0, "$fault->[2] costs nothing");
	$test->reset;
}
$test->sql('ALTER SYSTEM SET oss_labels.count_refused = on');
$node->reload;
$oss->fault(kind => 'error', code => 'NoSuchKey');
ok($test->wait_sql('SHOW oss_labels.count_refused', 'on'), 'refused requests count if that is asked for');
$test->sql("SELECT count(*) FROM generate_series(1, 20) g, LATERAL oss_labels.try_detect('tenlabels', 'bad' || g) l");
is(spent('true'), 20, 'all of them');
$test->sql('ALTER SYSTEM RESET oss_labels.count_refused');
$node->reload;
$test->reset;

# ---- cancelled, in a subtransaction, in a session that ends ----

$test->sql("DELETE FROM oss_labels.budget; SELECT oss_labels.set_budget(100)");
$oss->fault(kind => 'delay', delay => 2000);
my $slow = "SELECT count(*) FROM generate_series(1, 8) g, LATERAL oss_labels.try_detect('tenlabels', 'slow' || g) l";
like($test->sql_error("SET statement_timeout = '300ms'; $slow"), qr/57014/, 'a statement is cancelled');
my $sent = $oss->count('label_requests');
cmp_ok($sent, '>', 0, 'with requests in flight');
is(spent('true'), $sent, 'they may be billed');
$test->sql("DO \$\$ BEGIN SET LOCAL statement_timeout = '300ms'; PERFORM * FROM oss_labels.detect('tenlabels', 'sub');"
	  . " EXCEPTION WHEN query_canceled THEN NULL; END \$\$");
my $session = $test->session("SELECT pg_backend_pid() AS pid \\gset\n\\echo pid :pid\n$slow;", qr/pid (\d+)/);
$test->wait_asked($sent + 2, 'another asks');
$test->sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT count(*) FROM generate_series(1, 8)%' AND pid <> pg_backend_pid()");
ok($test->wait_sql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT count(*) FROM generate_series(1, 8)%' AND pid <> pg_backend_pid()", 0),
	'and is terminated');
is(spent('true'), $oss->count('label_requests'), 'each attempt was settled once');
eval { $session->quit };
$test->reset;

# ---- the cap is lowered while requests are in flight ----

$test->sql("DELETE FROM oss_labels.budget; SELECT oss_labels.set_budget(100000)");
$test->sql("ALTER SERVER oss OPTIONS (ADD max_concurrency '64')");
$oss->fault(kind => 'delay', delay => 300);
$test->enqueue(600, 'low');
ok($test->wait_sql('SELECT in_flight >= 32 FROM oss_labels.budget_status', 't'), 'many are in flight');
$test->sql("SELECT oss_labels.set_budget(0)");
$requests = $oss->count('label_requests');
my $known = $test->sql("SELECT spent FROM oss_labels.budget_status");
ok($test->wait_sql('SELECT in_flight FROM oss_labels.budget_status', 0), 'they end');
is($oss->count('label_requests'), $known, 'nothing was begun after the commit that lowered the cap');
cmp_ok($requests, '<=', $known, 'what was under way came to its end');
ok($test->wait_sql("SELECT count(*) > 0 FROM oss_labels.queue WHERE paused LIKE '%allows 0 requests%'"), 'the queue says so');
$test->sql("SELECT oss_labels.set_budget(NULL)");
ok($test->wait_empty, 'the rest comes without a budget');
is($test->sql("SELECT count(*) FROM oss_labels.failed_job"), 0, 'nothing has failed');

$node->stop;
done_testing();
