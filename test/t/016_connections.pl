# Connections: those that the peer forgot, those that are old, those that cannot
# be watched, and those that were made with other CA certificates.

use strict;
use warnings;

use File::Copy qw(copy);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use lib 'test/perl';
use ForgetfulProxy;
BEGIN { ForgetfulProxy::own_network() }
use OssTest qw(literal);

my $dir = PostgreSQL::Test::Utils::tempdir;
my $t = OssTest->new(conf => "shared_preload_libraries = 'oss_labels'\n",
	env => { OSS_TEST_EPOLL => "$dir/epoll", OSS_TEST_LIFE => 1 });
my $oss = $t->{oss};
my $detect = OssTest::detect_sql();

# SQL that asks for n images of ten labels and says how each ended.
sub try_sql
{
	my ($prefix, $n) = @_;
	return "SELECT coalesce(error_code, 'ok'), count(DISTINCT g) FROM generate_series(1, $n) g,"
	  . " LATERAL oss_labels.try_detect('tenlabels', '$prefix' || g) GROUP BY 1 ORDER BY 1;\n";
}

# ---- half-open connections ----

my ($out, $err, $run);
SKIP:
{
	skip 'connections cannot be forgotten here', 1 unless ForgetfulProxy::possible();
	my $proxy = ForgetfulProxy->new($oss->http_endpoint =~ /:(\d+)$/);
	my $forget = "\\! kill -USR1 $proxy->{pid}; sleep 0.3\n";
	$t->server(endpoint => "http://127.0.0.1:$proxy->{port}");

	# sixteen kept connections are forgotten
	my $begin = time;
	($out, $err) = $t->psql(try_sql('before', 64) . $forget
		  . "SELECT count(*) FROM oss_labels.detect('tenlabels', 'single');\n"
		  . try_sql('after', 64));
	my $took = time - $begin;
	is($out, "ok|64\n10\nok|64", 'half-open: no call fails');
	is($err, '', 'half-open: no error');
	cmp_ok($took, '>=', 4, 'half-open: the connections were dead');
	cmp_ok($took, '<', 20 * OssServer::patience(), sprintf 'half-open: it took %.1f s, less than timeout_ms', $took);
	is($oss->count('label_requests'), 129, 'half-open: each image was asked for once');

	# the same under the first of many
	$oss->control('/reset?what=counters');
	($out) = $t->psql(try_sql('first', 64) . $forget . try_sql('many', 64));
	is($out, "ok|64\nok|64", 'half-open: no image of a query is lost');
	is($oss->count('label_requests'), 128, 'half-open: nor asked for twice');

	# and while the answer is waited for: nothing is unacknowledged then
	$oss->control('/reset?what=counters');
	$t->fault(kind => 'delay', delay => 3000 * OssServer::patience(), times => 1);
	$run = $t->begin("SELECT count(*) FROM oss_labels.detect('tenlabels', 'waiting');");
	$oss->wait_count(label_in_flight => 1);
	kill 'USR1', $proxy->{pid};
	($out, $err) = $t->finish($run);
	is("$out$err", "10\n", 'half-open: an answer that never comes is asked for again');
	is($oss->count('label_requests'), 2, 'half-open: once');

	# the worker's
	$t->ok("SELECT count(oss_labels.enqueue('tenlabels', 'worker' || g)) FROM generate_series(1, 64) g");
	ok($t->{node}->poll_query_until('postgres', 'SELECT NOT EXISTS (SELECT FROM oss_labels.job)'), 'worker: drained');
	kill 'USR1', $proxy->{pid};
	sleep 0.3;
	$oss->control('/reset?what=counters');
	$t->ok("SELECT count(oss_labels.enqueue('tenlabels', 'again' || g)) FROM generate_series(1, 64) g");
	ok($t->{node}->poll_query_until('postgres', 'SELECT NOT EXISTS (SELECT FROM oss_labels.job)'), 'worker, half-open: drained');
	is($t->ok('SELECT count(*) FROM oss_labels.failed_job'), '0', 'worker, half-open: no job failed');
	is($oss->count('label_requests'), 64, 'worker, half-open: each image was asked for once');
}

# ---- connections have an end (of 3 s in place of 300) ----

$t->server;
$oss->control('/reset');
my $connections = $oss->count('connections_http');
($out) = $t->psql(join '', map { "SELECT count(*) FROM ($detect) x;\nSELECT pg_sleep(0.5);\n" } 1 .. 10);
is(() = $out =~ /^\d+$/mg, 10, 'old connections: ten calls in five seconds');
my $new = $oss->count('connections_http') - $connections;
cmp_ok($new, '>=', 2, 'old connections: more than one connection');
cmp_ok($new, '<=', 4, "old connections: kept for a while ($new)");

# ---- a socket that the system does not watch ----

$oss->control('/reset');
$t->fault(kind => 'delay', delay => 1500);
$run = $t->begin("SET statement_timeout = '60 s';\n" . try_sql('watched', 40) . "SELECT count(*) FROM ($detect) x;\n");
$oss->wait_count(label_in_flight => 16);
append_to_file("$dir/epoll", '');
($out, $err) = $t->finish($run);
ok(!-e "$dir/epoll", 'epoll_ctl: one fails');
unlike($err, qr/ERROR/, 'epoll_ctl: no query hangs');
like($out, qr/^(OutOfMemory\|\d+\n)?ok\|\d+\n\d+$/, 'epoll_ctl: each image has an answer or an error, and the session goes on');

# ---- CA certificates that are replaced ----

my $ca = "$dir/ca.pem";
my $wrong = "$dir/wrong.pem";
$oss->control('/reset');
chmod 0755, $dir;
system(qw(openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=other -keyout /dev/null -out), $wrong) == 0
  or die 'no other authority';
copy($wrong, $ca) or die $!;
$t->server($t->https, ca_file => $ca, max_attempts => 1);
my $call = 'SELECT ' . 'public.outcome(' . literal($detect) . ") ->> 'sqlstate';\n";
($out) = $t->psql($call
	  . "\\! cp " . $oss->ca_file . " $ca\n" . $call x 2
	  . "\\! cp $wrong $ca\n" . $call
	  . "\\! rm $ca\n" . $call
	  . "\\! cp " . $oss->ca_file . " $ca.new; mv $ca.new $ca\n" . $call);
is($out, "08001\n\n\n08001\n08001\n", 'ca_file: each request goes by what it is then');

$t->{node}->stop;
done_testing;
