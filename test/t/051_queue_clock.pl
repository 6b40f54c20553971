# A clock that was ahead, before a failover or where a dump was made, silences
# nothing: labels, jobs and pauses from the future.
use strict;
use warnings;
use lib 'test/perl';
use PostgreSQL::Test::Utils;
use QueueTest;
use Test::More;
use Time::HiRes qw(sleep time);

my $test = QueueTest->new(name => 'clock', preload => 0);

# Process the queue; returns how many requests that took.
sub process
{
	$test->reset;
	$test->sql('CALL oss_labels.process_queue()');
	return $test->count;
}

# ---- labels from the future ----

$test->enqueue(1, 'future');
is(process(), 1, 'an image is tagged');
for my $ahead ('10 seconds', '1 day', '100 years')
{
	$test->sql("UPDATE oss_labels.image SET tagged_at = clock_timestamp() + interval '$ahead'");
	$test->enqueue(1, 'future');
	is(process(), 1, "labels from $ahead ahead do not answer a job");
	is($test->sql('SELECT tagged_at <= clock_timestamp() FROM oss_labels.image'), 't', 'and are replaced');
}
$test->sql("UPDATE oss_labels.image SET tagged_at = 'infinity'");
$test->enqueue(1, 'future');
is(process(), 1, 'nor do those that are always younger');
$test->sql("SELECT oss_labels.enqueue('tenlabels', 'future1'); UPDATE oss_labels.image SET tagged_at = clock_timestamp()");
is(process(), 0, 'labels of now do');

my $tag = "SELECT count(*) FROM oss_labels.tag('tenlabels', 'future1', max_age => '1 hour')";
$test->reset;
is($test->sql($tag), '10', 'tag() reads labels of now');
is($test->count, 0, 'for nothing');
$test->sql("UPDATE oss_labels.image SET tagged_at = clock_timestamp() + interval '1 day'");
is($test->sql($tag), '10', 'labels from the future have no age');
is($test->count, 1, 'and are asked for again');
is($test->sql('SELECT tagged_at <= clock_timestamp() FROM oss_labels.image'), 't', 'and replaced');
is($test->sql("SELECT count(*) FROM oss_labels.tag('tenlabels', 'future1')"), '10', 'without max_age');
is($test->count, 1, 'whatever is stored will do');

# ---- import ----

my $import = "SELECT oss_labels.import_labels('{\"Labels\": []}', 'tenlabels', 'imported', tagged_at => %s)";
for my $ahead ("clock_timestamp() + interval '1 hour'", "'infinity'")
{
	like($test->sql_error(sprintf $import, $ahead), qr/22023: tagged_at must not be in the future/, "import of what was made at $ahead");
}
is($test->sql(sprintf $import, "clock_timestamp() + interval '5 s'"), 't', 'clocks may differ by a little');
is($test->sql("SELECT tagged_at <= clock_timestamp() FROM oss_labels.image WHERE key = 'imported'"), 't', 'which makes it no younger than now');
is($test->sql(sprintf $import, "'-infinity'"), 'f', 'what is older than what is stored is not stored');
$test->sql("UPDATE oss_labels.image SET tagged_at = clock_timestamp() + interval '1 day' WHERE key = 'imported'");
is($test->sql(sprintf $import, 'NULL'), 't', 'what is stored from the future is replaced');

# ---- jobs from the future ----

$test->enqueue(1, 'ahead') for 1 .. 3;
$test->enqueue(20, 'many');
$test->sql("UPDATE oss_labels.job SET enqueued_at = enqueued_at + interval '5 hours', due = due + interval '5 hours'");
is(process(), 21, 'jobs that were enqueued in the future run now, equal ones once');
$test->sql("SELECT count(oss_labels.enqueue('tenlabels', 'ahead')) FROM generate_series(1, 2500);"
	  . " UPDATE oss_labels.job SET enqueued_at = enqueued_at + interval '5 hours', due = due + interval '5 hours'");
process();
is($test->sql('SELECT count(*) FROM oss_labels.job'), '0', 'however many there are');
$test->enqueue(1, 'long');
$test->sql("UPDATE oss_labels.job SET due = due + interval '3 days'");
is(process(), 1, 'so does what was put off for days');
$test->enqueue(1, 'soon');
$test->sql("UPDATE oss_labels.job SET due = due + interval '1 hour'");
is(process(), 0, 'what was put off for an hour waits');

# ---- pauses from the future ----

$test->sql("UPDATE oss_labels.job SET due = clock_timestamp(); INSERT INTO oss_labels.active_pause (server, automatic, since, reason, seen)"
	  . " VALUES ('oss', true, clock_timestamp() + interval '1 day', 'x', oss_labels.fingerprint('oss', NULL))");
is(process(), 1, 'an automatic pause from the future ends');
$test->{node}->stop;

# ---- the clock is set back while the worker or the launcher waits ----

$test = QueueTest->new(name => 'set_back', clock => PostgreSQL::Test::Utils::tempdir . '/clock',
	conf => "oss_labels.worker_idle_timeout = 1\nlog_min_messages = debug1\n");
my $error = "SELECT coalesce(last_error, '') FROM oss_labels.worker WHERE database = 'postgres'";
$test->enqueue(1, 'before');
ok($test->wait_empty, 'set back: the worker works');
$test->reset;

sub rename_column { return $test->sql("ALTER TABLE oss_labels.job RENAME $_[0] TO $_[1]") }

# Is the queue emptied within half a minute?  A clock set back by minutes would
# stop it for as long.
sub goes_on
{
	my ($name) = @_;
	my $requests = $test->count;
	rename_column('importance', 'priority');
	$test->enqueue(1, $name);
	ok($test->wait_empty(seconds => 30), "$name: the queue goes on");
	is($test->count, $requests + 1, "$name: one request");
	return ok($test->wait_sql($error, ''), "$name: an error that is over is not shown");
}

rename_column('priority', 'importance');
$test->sql('SELECT oss_labels.announce()');
ok($test->wait_sql("SELECT last_error LIKE '%priority%' FROM oss_labels.worker WHERE database = 'postgres'"), 'set back: a turn fails');
$test->set_clock(-600);
goes_on('worker that waits after an error');

rename_column('priority', 'importance');
$test->sql('SELECT oss_labels.announce()');
ok($test->wait_worker('failed%'), 'set back: the worker fails');
like($test->sql($error), qr/priority/, 'set back: and the view says why');
$test->set_clock(-700);
goes_on('launcher that waits before it starts a worker');

# The clock is set back while turns fail: what was put off does not wait longer.
$test->sql("BEGIN; SELECT oss_labels.enqueue('tenlabels', 'put off'); UPDATE oss_labels.job"
	  . " SET enqueued_at = clock_timestamp() - interval '1 hour', due = clock_timestamp() + interval '10 s'; COMMIT");
rename_column('priority', 'importance');
$test->log;
$test->sql('SELECT oss_labels.announce()');
ok($test->wait_sql("SELECT last_error LIKE '%priority%' FROM oss_labels.worker WHERE database = 'postgres'"), 'set back: turns fail');
$test->set_clock(-800);
my ($told, $until) = ('', time + 30 * OssServer::patience());
sleep 0.05 until ($told .= $test->log) =~ /the clock was set by -(99|100)/ || time > $until;
like($told, qr/the clock was set by -(99|100)/, 'set back: which is seen by a turn that fails');
rename_column('importance', 'priority');
ok($test->wait_empty, 'set back: what was put off is done');

# Put jobs off for five seconds, set the clock back, and see that they are not put
# off for ten minutes more.
sub put_off
{
	my ($name, $clock, $left) = @_;
	$test->sql("BEGIN; SELECT count(oss_labels.enqueue('tenlabels', '$name')) FROM generate_series(1, 1500); UPDATE oss_labels.job"
		  . " SET enqueued_at = clock_timestamp() - interval '1 hour', due = clock_timestamp() + interval '5 s'"
		  . " WHERE key = '$name'; COMMIT");
	$test->set_clock($clock);
	$test->enqueue(1, "$name, beside");
	return ok($test->wait_sql('SELECT count(*) FROM oss_labels.job', $left), "$name: done");
}

ok($test->wait_worker('idle%'), 'put off: no worker runs');
put_off('put off and set back before a worker starts', -1300, 0);

# A request in flight when the clock is set forward by more than a lease lasts.
$test->{oss}->fault(kind => 'delay', delay => 60000 * OssServer::patience(), key => 'slow1');
$test->enqueue(1, 'slow');
ok($test->{oss}->wait_count(label_in_flight => 1), 'set forward: a request in flight');
$test->set_clock(-700);
my $leased = "SELECT attempts, leased_until > clock_timestamp() FROM oss_labels.job WHERE key = 'slow1'";
ok($test->wait_sql($leased, '1|t', seconds => 30), 'set forward: its lease is renewed');
$test->enqueue(1, 'beside');
ok($test->wait_sql('SELECT count(*) FROM oss_labels.job', '1'), 'set forward: the queue goes on');
is($test->sql($leased), '1|t', 'set forward: the job is not claimed again');
put_off('put off and set back while a worker runs', -1300, 1);

# The worker waits a second and a half for that answer when it is terminated.
# Another that asks again is answered at once.
$test->{oss}->control('/unfault');
my $pid = $test->worker_pid;
my ($log, $end) = ('', time + 30 * OssServer::patience());
$test->log;
kill 'TERM', $pid;
sleep 0.01 until ($log .= $test->log) =~ /worker stops with 1 requests/ || time > $end;
$test->set_clock(-1900);
ok($test->wait_sql("SELECT count(*) FROM pg_stat_activity WHERE pid = $pid", '0', seconds => 30), 'set back: a terminated worker ends');
ok($test->wait_empty, 'set back: done');
is($test->{oss}->count_key('tenlabels', 'slow1'), 2, 'set back: what was cancelled is asked for again, once');

# ---- a worker that is registered and never starts ----

ok($test->wait_worker('idle%'), 'no start: no worker');
my ($postmaster) = split /\n/, PostgreSQL::Test::Utils::slurp_file($test->{node}->data_dir . '/postmaster.pid');
my $launcher = $test->sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'oss_labels launcher'");
my $session = IPC::Run::start([ $test->{node}->installed_command('psql'), '-XAtq', '-d', $test->{node}->connstr('postgres') ],
	'<', \my $in, '>', \my $out, '2>&1');

# Ask in a session that is there, for the postmaster starts none.
sub ask
{
	($in, $out) = ("$_[0];\n\\echo .\n", '');
	$session->pump until $out =~ s/^\.\n//m;
	return $out;
}

# Wait for an answer there.
sub asked
{
	my ($query, $expected) = @_;
	my $end = time + 30 * OssServer::patience();
	my $answer;
	sleep 0.05 until ($answer = ask($query)) =~ $expected || time > $end;
	return like($answer, $expected, "no start: $query");
}

my $requests = $test->count;
my $state = "SELECT state FROM oss_labels.worker WHERE database = 'postgres'";
ask('SELECT 1');
kill 'STOP', $postmaster;
ask("SELECT oss_labels.enqueue('tenlabels', 'never')");
asked($state, qr/^starting/);
$test->log;
$test->set_clock(-1900, 31);
kill 'HUP', $launcher;
($log, $end) = ('', time + 30 * OssServer::patience());
sleep 0.05 until ($log .= $test->log) =~ /gives up a worker/ || time > $end;
like($log, qr/gives up a worker for database \d+ that does not start/, 'no start: it is given up after half a minute');
kill 'CONT', $postmaster;
asked('SELECT count(*) FROM oss_labels.job', qr/^0$/);
is($test->count, $requests + 1, 'no start: another worker does the job, once');
$test->log;
$in = "\\q\n";
$session->finish;
$test->{node}->stop;

done_testing;
