# The accounts: what was requested of each bucket, by whom, and what became of it
# are what the stand-in has counted, whatever happens.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use lib 'test/perl';
use QueueTest;

my $test = QueueTest->new(name => 'usage', standby => 1,
	conf => "max_connections = 90\noss_labels.worker_idle_timeout = 1s\n");
my ($node, $oss) = ($test->{node}, $test->{oss});

my @outcomes = qw(requests billed ambiguous throttled refused failed);

# Does usage get there?
sub wait_usage
{
	my ($where, $expected, $what, @columns) = @_;
	@columns = @outcomes unless @columns;
	my $ok = ok($test->wait_sql('SELECT ' . join(', ', map { "coalesce(sum($_), 0)" } @columns)
			  . " FROM oss_labels.usage WHERE $where", $expected, seconds => 20), $what);
	diag($test->sql("SELECT * FROM oss_labels.usage WHERE $where")) unless $ok;
	return;
}

# Is it what the stand-in has counted of a bucket?
sub agrees
{
	my ($bucket, $what) = @_;
	$oss->wait_count(in_flight => 0);
	my $t = $oss->tally(bucket => $bucket);
	wait_usage("bucket = '$bucket'", join('|', @$t{qw(label_requests label_answers)},
			$t->{label_billed} - $t->{label_answers}, @$t{qw(label_throttled label_refused label_failed)}),
		$what);
	return;
}

# ---- outcomes ----

$test->role('mei');
$test->bucket($_) for qw(good slow denied broken lost late cut jobs many);
$oss->fault(code => 'QpsLimitExceeded', bucket => 'slow', times => 2);
$oss->fault(code => 'NoSuchKey', bucket => 'denied');
$oss->fault(code => 'InternalError', bucket => 'broken');
$oss->fault(kind => 'drop', bucket => 'lost');
$oss->fault(kind => 'truncate', bucket => 'cut');
for my $bucket (qw(good slow denied broken lost cut))
{
	$test->sql("SET ROLE mei; SELECT count(*) FROM oss_labels.try_detect('$bucket', 'a')");
}
agrees($_, "$_: as the stand-in counts") for qw(good slow denied broken lost cut);
wait_usage("bucket = 'slow' AND requester = 'mei' AND server = 'oss'", '3|1|0|2|0|0', 'two throttles, then an answer');
ok($test->wait_sql('SELECT count(*) FROM oss_labels.usage_day', 6), 'the worker writes them');
wait_usage("bucket = 'good'", '1|1|0|0|0|0', 'and the view counts none twice');
is($test->sql("SELECT DISTINCT day = (now() AT TIME ZONE 'Asia/Shanghai')::date FROM oss_labels.usage"), 't', 'the day is that of the bill');

# what is cancelled, timed out, or whose session ends
$oss->fault(delay => 30000, bucket => 'late');
my $late = "SELECT count(*) FROM generate_series(1, 40) g, LATERAL oss_labels.%s('late', 'l' || g)";
$test->sql_error('SET statement_timeout = 300; ' . sprintf($late, 'detect'));
my $session = $test->session('SET oss_labels.concurrency = 7; ' . sprintf($late, 'tag') . ';', qr/begun/);
$oss->wait_counted(label_in_flight => 1);
$test->sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT count(*) FROM generate_series%' AND pid <> pg_backend_pid()");
$session->{run}->kill_kill;
$test->sql_error("ALTER SERVER oss OPTIONS (ADD timeout_ms '200'); SELECT * FROM oss_labels.detect('late', 'x')");
$test->sql('ALTER SERVER oss OPTIONS (DROP timeout_ms)');
agrees('late', 'ambiguous is what is billed though no answer came');
cmp_ok($test->sql("SELECT sum(ambiguous) FROM oss_labels.usage WHERE bucket = 'late'"), '>=', 3, 'and there is some');

# ---- what needs no request ----

$test->sql("SELECT oss_labels.pause('oss');"
	. " SELECT count(oss_labels.enqueue('jobs', 'j' || g % 10)) FROM generate_series(1, 30) g;"
	. " SELECT oss_labels.resume('oss')");
ok($test->wait_empty, 'thirty jobs for ten images');
wait_usage("bucket = 'jobs'", '10|10|20', 'ten requests, twenty share them', qw(requests billed shared));
$test->sql("SELECT count(oss_labels.enqueue('jobs', 'j' || g)) FROM generate_series(0, 9) g;"
	. " SELECT count(*) FROM oss_labels.tag('jobs', 'j1'), oss_labels.try_tag('jobs', 'j2')");
ok($test->wait_empty, 'ten that are stored');
$test->sql("SELECT count(*) FROM generate_series(0, 9) g, LATERAL oss_labels.tag('jobs', 'j' || g, server => 'oss') l");
wait_usage("bucket = 'jobs'", '10|22|20', 'are counted, and those of tag()', qw(requests stored_hits shared));
$test->sql("SELECT count(*) FROM generate_series(1, 12) g, LATERAL oss_labels.detect('jobs', 'd' || g % 4) l;"
	. " SELECT count(*) FROM oss_labels.object_info('jobs', 'j1');"
	. " SELECT count(*) FROM oss_labels.check_server('oss', 'jobs')");
wait_usage("bucket = 'jobs'", '14|28|2', 'equal calls of a query, and two HEADs', qw(requests shared heads));
$test->sql_error("SET oss_labels.allow_requests = off; SELECT * FROM oss_labels.detect('jobs', 'forbidden')");
wait_usage("bucket = 'jobs'", '14|1', 'one that a setting forbids', qw(requests over_budget));

# ---- fifty sessions and the worker ----

$oss->fault(code => 'InternalError', bucket => 'many', every => 7);
$oss->set(bucket => name => 'many', image => 'examplebucket/example.jpg', labels => 10, throttle => 'QpsLimitExceeded', rate => 400);
$oss->fault(delay => '1-10', bucket => 'many');
append_to_file($node->basedir . '/many.sql',
	"SELECT count(*) FROM generate_series(1, 8) g, LATERAL oss_labels.try_detect('many', :client_id || '-' || g, server => 'oss');\n");
$test->sql("SET ROLE mei; SELECT count(oss_labels.enqueue('many', 'q' || g)) FROM generate_series(1, 200) g");
$node->command_ok([ 'pgbench', '-n', '-c', 50, '-j', 2, '-t', 2, '-f', $node->basedir . '/many.sql', 'postgres' ], 'fifty sessions');
ok($test->wait_empty, 'and the worker');
agrees('many', 'all is counted once');
is($test->sql("SELECT string_agg(DISTINCT requester, ' ' ORDER BY requester) FROM oss_labels.usage WHERE bucket = 'many'"),
	'mei ' . $test->sql('SELECT current_user'), 'of those who asked');
$oss->control('/reset?what=faults');

# ---- who sees what ----

$test->role('lin');
$test->sql('CREATE ROLE watcher IN ROLE pg_monitor; CREATE ROLE nobody');
$test->sql("SET ROLE lin; SELECT count(*) FROM oss_labels.detect('good', 'b')");
wait_usage("requester = 'lin'", '1|1|0|0|0|0', 'another role');
for my $view (qw(usage cost))
{
	my $of = "SELECT string_agg(DISTINCT requester, ' ' ORDER BY requester) FROM oss_labels.$view";
	is($test->sql("SET ROLE lin; $of"), 'lin', "$view: a role sees its own");
	is($test->sql("SET ROLE watcher; $of"), 'lin mei ' . $test->sql('SELECT current_user'), "$view: pg_monitor all");
	like($test->sql_error("SET ROLE nobody; $of"), qr/42501/, "$view: others nothing");
}
is($test->sql("SET ROLE lin; SELECT count(*) FROM oss_labels.usage_now(0) WHERE requester <> 'lin'"), 0, 'nor by the function behind it');
like($test->sql_error('SET ROLE lin; SELECT * FROM oss_labels.usage_day'), qr/42501/, 'the table is not for them');

# a role and a server that are gone before it is written
my $lock = $test->session('BEGIN; LOCK TABLE oss_labels.usage_day;', qr/done/);
$test->sql("CREATE SERVER gone FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', endpoint '" . $oss->http_endpoint . "');");
$test->role('bo', 'gone');
$test->sql("SET ROLE bo; SELECT count(*) FROM oss_labels.detect('good', 'c', server => 'gone')");
my $oid = $test->sql("SELECT 'bo'::regrole::oid");
$test->enqueue(3, 'while locked');
ok($test->wait_empty, 'the worker tags while the accounts are locked');
$test->sql('CALL oss_labels.revoke_paying(\'bo\'); DROP OWNED BY bo CASCADE; DROP SERVER gone CASCADE; DROP ROLE bo');
$lock->query('COMMIT');
$lock->quit;
ok($test->wait_sql("SELECT count(*) FROM oss_labels.usage_day WHERE server = 'gone' AND requester::text = 'pg_dropped_role_$oid'", 1),
	'a dropped role has its number, a dropped server its name');

# ---- retention ----

$test->sql("INSERT INTO oss_labels.usage_day (day, server, bucket, requests) VALUES"
	. " (current_date - 401, 'oss', 'old', 1), (current_date - 398, 'oss', 'young', 1)");
ok($test->wait_sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'oss_labels worker'", 0), 'the worker ends');
$test->sql("SELECT count(*) FROM oss_labels.detect('good', 'd')");
ok($test->wait_sql("SELECT string_agg(bucket, ' ') FROM oss_labels.usage_day WHERE bucket IN ('old', 'young')", 'young'), 'old rows are deleted');

# ---- worker off ----

$test->sql('ALTER DATABASE postgres SET oss_labels.worker = off');
$test->bucket('off');
$test->sql("SELECT count(*) FROM oss_labels.detect('off', 'a')");
ok($test->wait_sql("SELECT requests FROM oss_labels.usage_day WHERE bucket = 'off'", 1), 'accounts are written though the worker is off');
$test->sql('ALTER DATABASE postgres RESET oss_labels.worker');

# ---- a standby ----

$node->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('usage_standby');
$standby->init_from_backup($node, 'b', has_streaming => 1);
$standby->start;
$test->bucket('mirror');
is($standby->safe_psql('postgres', "SELECT count(*) FROM oss_labels.detect('mirror', 'a');"
		. " SELECT requests FROM oss_labels.usage WHERE bucket = 'mirror'"), "10\n1", 'a standby counts');
$standby->promote;
ok($standby->poll_query_until('postgres', "SELECT count(*) = 1 FROM oss_labels.usage_day WHERE bucket = 'mirror' AND requests = 1"),
	'and writes when it is promoted');
$standby->stop;

# ---- a crash ----

my $total = 'SELECT sum(requests) FROM oss_labels.usage';
sub before { return $test->sql("$total WHERE requester IS NOT NULL") }
my $counted = $test->sql($total);
$test->bucket('crash');
for my $round (1 .. 2)
{
	$oss->fault(delay => '1-20', bucket => 'crash');
	my @sessions = map { $test->session("SELECT count(*) FROM generate_series(1, 100000) g, LATERAL oss_labels.detect('crash', '$round-$_-' || g);", qr/begun/) } 1 .. 4;
	my $least = $oss->tally(bucket => 'crash')->{label_requests} + 300;
	sleep 0.05 while $oss->tally(bucket => 'crash')->{label_requests} < $least;
	if ($round == 1)
	{
		$test->kill_postmaster;
	}
	else
	{
		my $pid = $test->sql("SELECT min(pid) FROM pg_stat_activity WHERE query LIKE '%crash%' AND pid <> pg_backend_pid()");
		kill 'KILL', $pid;
		ok($test->wait_sql("SELECT count(*) FROM pg_stat_activity WHERE pid = $pid OR query LIKE '%generate_series(1, 100000)%' AND pid <> pg_backend_pid()", 0),
			'the server starts again');
	}
	$_->{run}->kill_kill for @sessions;
	$oss->wait_count(in_flight => 0);
	$test->sql("SELECT count(*) FROM oss_labels.detect('crash', 'after $round')");
	my $asked = $oss->tally(bucket => 'crash')->{label_requests};
	ok($test->wait_sql("SELECT sum(requests) >= $counted + $asked FROM oss_labels.usage", 't'), "crash $round: no request is missing");
	ok($test->wait_sql("SELECT coalesce(sum(requests), 0) <= $asked FROM oss_labels.usage WHERE bucket = 'crash'", 't'), "crash $round: none of a bucket is counted twice");
	is($test->sql("SELECT count(*) > 0 AND bool_and(requests = ambiguous) FROM oss_labels.usage WHERE requester IS NULL AND server IS NULL AND bucket IS NULL"),
		't', "crash $round: what is not known is ambiguous");
}
$node->restart;
my $unknown = $test->sql('SELECT sum(requests) FROM oss_labels.usage WHERE requester IS NULL');
$test->sql("SELECT count(*) FROM oss_labels.detect('good', 'e')");
ok($test->wait_sql("SELECT sum(requests) FROM oss_labels.usage_day WHERE bucket = 'good'", $test->sql("SELECT sum(requests) FROM oss_labels.usage WHERE bucket = 'good'")), 'after a clean stop');
is($test->sql('SELECT sum(requests) FROM oss_labels.usage WHERE requester IS NULL'), $unknown, 'nothing is unknown');

done_testing;
