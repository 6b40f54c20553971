# What is asked for once: overlapping transactions, a queue with duplicates, a
# lease that was lost, a job that somebody is cancelling.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use lib 'test/perl';
use QueueTest;

my $test = QueueTest->new(conf => "max_prepared_transactions = 2\n");
my $node = $test->{node};
my $oss = $test->{oss};

# A session that stays open.
sub session
{
	my $self = { in => '', out => '' };
	$self->{run} = IPC::Run::start(
		[ $node->installed_command('psql'), '-XAtq', '-d', $node->connstr('postgres') ],
		'<', \$self->{in}, '>', \$self->{out}, '2>&1');
	return $self;
}

sub say_to
{
	my ($session, $sql) = @_;
	$session->{out} = '';
	$session->{in} .= "$sql;\n\\echo done\n";
	$session->{run}->pump until $session->{out} =~ /done/;
	return;
}

# ---- two transactions that overlap ----

my ($one, $two) = (session(), session());
say_to($_, 'BEGIN') for $one, $two;
say_to($_, "SELECT oss_labels.enqueue('tenlabels', 'both')") for $one, $two;
say_to($one, 'COMMIT');
ok($test->wait_sql("SELECT count(*) FROM oss_labels.image WHERE key = 'both'", '1'), 'the first is tagged');
say_to($two, 'COMMIT');
ok($test->wait_empty, 'the second is served');
is($oss->count_key('tenlabels', 'both'), 1, 'overlapping transactions: one request');

# ---- duplicates, in flight and not ----

$oss->fault(kind => 'delay', delay => 300);
$test->sql("SELECT count(oss_labels.enqueue('tenlabels', 'dup' || g % 10)) FROM generate_series(1, 1000) g");
ok($test->wait_empty, 'a thousand jobs for ten objects');
is($test->count('keys_repeated'), 0, 'duplicates: no object was asked for twice');
is($test->count, 11, 'duplicates: ten requests');

# ---- a hundred thousand duplicates do not fill the worker's memory ----

sub worker_memory
{
	my $kb = $test->sql(
		q{SELECT substring(pg_read_file('/proc/' || pid || '/status') FROM 'RssAnon:\s+(\d+)')
		  FROM oss_labels.worker WHERE database = current_database()});
	return $kb;
}

my $before = worker_memory();
my $most = $before;
$test->sql("SELECT count(oss_labels.enqueue('tenlabels', 'many')) FROM generate_series(1, 100000) g");
for (1 .. 1200)
{
	my $now = worker_memory();
	$most = $now if $now > $most;
	last if $test->sql('SELECT count(*) FROM (SELECT FROM oss_labels.job LIMIT 1) j') eq '0';
	sleep 0.05;
}
ok($test->wait_empty, 'a hundred thousand jobs for one object');
is($oss->count_key('tenlabels', 'many'), 1, 'many duplicates: one request');
cmp_ok($before, '>', 0, 'many duplicates: the memory was read');
note 'many duplicates: grew by ' . ($most - $before) . ' kB';
cmp_ok($most - $before, '<', 40 * 1024, 'many duplicates: the worker looks at few of them at a time')
  if OssServer::sizes_tell;

# ---- what was enqueued after the request went out is asked for anew ----

$test->sql("SELECT oss_labels.enqueue('tenlabels', 'later', max_age => '0')");
$oss->wait_count(label_in_flight => 1);
$test->sql("SELECT oss_labels.enqueue('tenlabels', 'later', max_age => '0')");
ok($test->wait_empty, 'enqueued again while in flight');
is($oss->count_key('tenlabels', 'later'), 2, 'enqueued again while in flight: the object may have changed');
is($test->sql("SELECT count(*) FROM oss_labels.label WHERE key = 'later'"), '10', 'labels once');

# ---- a lease that somebody else has taken meanwhile ----

$oss->control('/unfault');
$oss->fault(kind => 'delay', delay => 1000);
$test->sql("SELECT oss_labels.enqueue('tenlabels', 'fenced')");
$oss->wait_count(label_in_flight => 1);
$test->sql("UPDATE oss_labels.job SET lease = 12345");
ok($test->wait_sql("SELECT count(*) FROM oss_labels.image WHERE key = 'fenced'", '1'), 'fence: what was paid for is stored');
sleep 0.2;
is($test->sql("SELECT lease FROM oss_labels.job WHERE key = 'fenced'"), '12345', "fence: the other's job is left alone");
$test->sql("UPDATE oss_labels.job SET leased_until = clock_timestamp()");
ok($test->wait_empty, 'fence: the lease runs out');
is($oss->count_key('tenlabels', 'fenced'), 1, 'fence: the stored answer serves it');

# ---- a job that a transaction is cancelling while its answer comes ----

$test->sql("CREATE TABLE photo (key text); SELECT oss_labels.watch('photo', 'key', bucket => 'tenlabels')");
$test->sql("INSERT INTO photo VALUES ('locked')");
$oss->wait_count(label_in_flight => 1);
say_to($one, "BEGIN; SELECT 1 FROM oss_labels.job FOR UPDATE");
ok($test->wait_sql("SELECT count(*) FROM oss_labels.image WHERE key = 'locked'", '1'), 'locked: the answer is stored');
$test->enqueue(3, 'meanwhile');
ok($test->wait_sql("SELECT count(*) FROM oss_labels.job", '1'), 'locked: nobody else waits');
say_to($one, 'ROLLBACK');
ok($test->wait_empty, 'locked: the job goes when it is let go');
is($oss->count_key('tenlabels', 'locked'), 1, 'locked: one request');

# ---- a prepared transaction wakes nobody, but is found ----

$oss->control('/unfault');
$test->sql("BEGIN; SELECT oss_labels.enqueue('tenlabels', 'prepared'); PREPARE TRANSACTION 'p'");
$test->sql("COMMIT PREPARED 'p'");
ok($test->wait_empty, 'a prepared transaction');

# ---- a hundred thousand transactions in one session ----

my $file = $node->basedir . '/many.sql';
PostgreSQL::Test::Utils::append_to_file($file,
	"SELECT oss_labels.pause();\n"
	  . "CREATE FUNCTION context_bytes() RETURNS bigint LANGUAGE sql AS"
	  . " 'SELECT sum(total_bytes)::bigint FROM pg_backend_memory_contexts';\n"
	  . "CREATE PROCEDURE many(n int) LANGUAGE plpgsql AS \$\$ BEGIN FOR i IN 1 .. n LOOP"
	  . " PERFORM oss_labels.enqueue('tenlabels', 'many' || i); COMMIT; END LOOP; END \$\$;\n"
	  . "CALL many(5000);\n"
	  . "SELECT clock_timestamp() AS t, context_bytes() AS b \\gset a_\n"
	  . "CALL many(10000);\n"
	  . "SELECT clock_timestamp() AS t, context_bytes() AS b \\gset b_\n"
	  . "CALL many(75000);\n"
	  . "SELECT clock_timestamp() AS t \\gset c_\n"
	  . "CALL many(10000);\n"
	  . "SELECT clock_timestamp() AS t, context_bytes() AS b \\gset d_\n"
	  . "SELECT 'figures', :d_b - :b_b, extract(epoch FROM :'b_t'::timestamptz - :'a_t')::numeric(10,3),"
	  . " extract(epoch FROM :'d_t'::timestamptz - :'c_t')::numeric(10,3);\n");
$test->sql("ALTER SYSTEM SET synchronous_commit = off; SELECT pg_reload_conf()");
my $out = $node->safe_psql('postgres', "\\i $file");
my ($growth, $first, $last) = $out =~ /figures\|(-?\d+)\|([\d.]+)\|([\d.]+)/;
note "10^5 enqueuing transactions: memory grew by $growth bytes;"
  . " ten thousand took $first s at first and $last s at last";
cmp_ok($growth, '<', 65536, '100 000 enqueuing transactions: memory is flat');
cmp_ok($last, '<', 2 * $first + 0.5, '100 000 enqueuing transactions: latency is flat');
is($test->sql('SELECT count(*) FROM oss_labels.job'), '100000', '100 000 jobs');

$_->{run}->kill_kill for $one, $two;
$node->stop;
done_testing;
