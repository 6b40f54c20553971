# Rows that open transactions have locked, in any way: what is answered for them
# is kept and stored when they end, once; all others go on as fast as alone.

use strict;
use warnings;

use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use lib 'test/perl';
use QueueTest;

my $test = QueueTest->new;
my $node = $test->{node};
my $oss = $test->{oss};

# Run SQL in a transaction that stays open; returns what end() wants.
sub hold
{
	my ($sql) = @_;
	my ($in, $out) = ("BEGIN; $sql;\n\\echo held\n", '');
	my $session = IPC::Run::start([ $node->installed_command('psql'), '-XAtq', '-d', $node->connstr('postgres') ],
		'<', \$in, '>', \$out, '2>&1');
	$session->pump until $out =~ /held$/m;
	unlike($out, qr/ERROR/, "held: $sql");
	return { in => \$in, session => $session };
}

sub end
{
	my ($hold, $how) = @_;
	${ $hold->{in} } = "$how;\n\\q\n";
	$hold->{session}->finish;
	return;
}

sub stored_of
{
	my ($prefix) = @_;
	return "SELECT count(*) FROM oss_labels.image WHERE key LIKE '$prefix%'";
}

# Drain so many jobs while so many others stay; and, at the same time, as many in
# a database without any trouble, which have as much of the machine.
sub drain
{
	my ($prefix, $n, $stay) = @_;
	my %left = (alone => 0, postgres => $stay);
	my (%begun, %took);

	for my $database (sort keys %left)
	{
		$begun{$database} = time;
		$test->enqueue($n, $prefix, $database);
	}
	while (keys %took < 2 && time - $begun{alone} < 60 * OssServer::patience())
	{
		for my $database (grep { !exists $took{$_} } sort keys %left)
		{
			$took{$database} = time - $begun{$database}
			  if $test->sql('SELECT count(*) FROM oss_labels.job', $database) eq $left{$database};
		}
		sleep 0.05;
	}
	is(join(' ', sort keys %took), 'alone postgres', "$prefix: all others are done") or return;
	cmp_ok($took{postgres}, '<', 1.5 * $took{alone} + 0.7,
		sprintf '%s: as fast as alone: %.2f s, alone %.2f s', $prefix, @took{qw(postgres alone)});
	return;
}

$test->enqueue(600, 'old');
ok($test->wait_empty, 'tagged before');
$oss->fault(kind => 'delay', delay => 20);
$test->sql("CREATE TABLE label_note (key text)");
$test->sql('CREATE DATABASE alone');
$test->sql($test->create_sql, 'alone');
my $each = 3000;
drain('warm', $each, 0);

# What a transaction does, the images that it is about, and whether it is undone.
my @locks = (
	[ 'eight', 8, "SELECT count(*) FROM oss_labels.image WHERE key ~ '^old[1-8]\$' FOR UPDATE" =~ s/count\(\*\)/key/r, 'ROLLBACK' ],
	[ 'share', 3, "SELECT key FROM oss_labels.image WHERE key ~ '^old(9|10|11)\$' FOR SHARE", 'ROLLBACK' ],
	[ 'deleted', 3, "DELETE FROM oss_labels.image WHERE key ~ '^old(12|13|14)\$'", 'ROLLBACK' ],
	[ 'forgotten', 2, "SELECT oss_labels.forget('tenlabels', 'old' || i) FROM generate_series(15, 16) i", 'COMMIT' ],
	[ 'imported', 12, "SELECT oss_labels.import_labels('{\"Labels\": []}', 'tenlabels', 'new' || i) FROM generate_series(17, 28) i", 'COMMIT' ],
	[ 'inserted', 2, "INSERT INTO oss_labels.image (image_id, bucket, key, tagged_at, label_count, response)"
		  . " SELECT oss_labels.image_id('tenlabels', 'new' || i), 'tenlabels', 'new' || i, '2020-01-01', 0, '{}' FROM generate_series(29, 30) i", 'ROLLBACK' ],
	[ 'labels', 2, "SELECT l.image_id FROM oss_labels.image_label l JOIN oss_labels.image i USING (image_id) WHERE i.key ~ '^old(31|32)\$' FOR UPDATE OF l", 'ROLLBACK' ],
	[ 'five hundred', 500, "SELECT key FROM oss_labels.image WHERE key ~ '^old' AND substr(key, 4)::int BETWEEN 33 AND 532 FOR UPDATE", 'ROLLBACK' ],
);
my %first = (eight => 1, share => 9, deleted => 12, forgotten => 15, imported => 17, inserted => 29, labels => 31, 'five hundred' => 33);
foreach my $lock (@locks)
{
	my ($name, $n, $sql, $how) = @$lock;
	my ($from, $to) = ($first{$name}, $first{$name} + $n - 1);
	my $kind = $sql =~ /'new'/ ? 'new' : 'old';
	my $prefix = 'beside_' . substr($name, 0, 4);
	my $before = $test->count;
	my $hold = hold($sql);

	$test->sql("SELECT count(oss_labels.enqueue('tenlabels', '$kind' || g, thr => 0, max_age => '0')) FROM generate_series($from, $to) g");
	drain($prefix, $each, $n);
	is($test->sql(stored_of($prefix)), $each, "$name: they are stored");
	if ($name eq 'eight')
	{
		ok($test->wait_sql("SELECT last_trouble LIKE '%another transaction%' FROM oss_labels.queue"), "$name: the view says what waits");
		like($test->log, qr/answers that other transactions have locked out/, "$name: and the log");
	}
	end($hold, $how);
	ok($test->wait_empty(seconds => 10), "$name: let go, the rest is stored within seconds");
	is($test->count - $before, 2 * $each + $n, "$name: each was paid for once");
	is($test->sql("SELECT count(*) FROM oss_labels.image WHERE thr = 0 AND key IN (SELECT '$kind' || g FROM generate_series($from, $to) g)"),
		$n, "$name: the answers are stored");
}
is($test->sql("SELECT count(*) FROM oss_labels.failed_job"), 0, 'no job failed');

# ---- the worker goes on when nothing is in the way any more ----

$test->enqueue(20, 'after');
ok($test->wait_empty(seconds => 10), 'afterwards: new jobs are done');

# ---- rows of jobs ----

$oss->fault(kind => 'delay', delay => 600, prefix => 'row');
$test->enqueue(5, 'row');
ok($oss->wait_count(label_in_flight => 5), 'rows of jobs: in flight');
my $hold = hold("SELECT job_id FROM oss_labels.job WHERE key LIKE 'row%' FOR UPDATE");
drain('beside_row', $each, 5);
end($hold, 'ROLLBACK');
ok($test->wait_empty(seconds => 10), 'rows of jobs: let go, they are done');

# ---- the row of a job that fails ----

$oss->control('/reset');
$oss->fault(kind => 'error', code => 'NoSuchKey', prefix => 'fails', delay => 600);
$test->enqueue(1, 'fails');
ok($oss->wait_count(label_in_flight => 1), 'a job that fails: in flight');
$hold = hold("SELECT job_id FROM oss_labels.job WHERE key LIKE 'fails%' FOR UPDATE");
ok($oss->wait_counted(code_NoSuchKey => 1), 'a job that fails: refused');
drain('beside_fails', 50, 1);
end($hold, 'ROLLBACK');
ok($test->wait_empty(seconds => 10), 'a job that fails: let go, it is gone');
is($test->sql("SELECT count(*) FROM oss_labels.failed_job WHERE key = 'fails1'"), 1, 'a job that fails: it has failed');
is($test->count('code_NoSuchKey'), 1, 'a job that fails: it was asked for once');

# ---- the labels of very many images, and then the images ----

# More than may be in hand: whoever has the rest of the queue must not wait for it.
$oss->control('/reset');
$test->bucket('meadow');
$test->enqueue(4000, 'many');
ok($test->wait_empty, 'very many: stored');
for my $table ('image_label', 'image')
{
	$oss->control('/reset?what=counters');
	my $hold = hold("SELECT count(*) FROM (SELECT FROM oss_labels.$table FOR UPDATE) x");
	$test->enqueue(4000, 'many');

	# by and by it is seen that they can't be stored, and they are not asked for
	my ($before, $now, $tries) = (-1, $test->count, 0);
	while ($before != $now && $now < 4000 && $tries++ < 20)
	{
		sleep 1.5 * OssServer::patience();
		($before, $now) = ($now, $test->count);
	}
	cmp_ok($now, '<', 3000, "very many, $table: $now are asked for in vain");
	$test->sql("SELECT oss_labels.enqueue('meadow', 'alone-$table', server => 'oss')");
	ok($test->wait_sql("SELECT count(*) FROM oss_labels.image WHERE bucket = 'meadow' AND key = 'alone-$table'", '1'),
		"very many, $table: one of another bucket is served meanwhile");
	$test->enqueue(1, "behind-$table");
	ok($test->wait_sql("SELECT count(*) FROM oss_labels.image WHERE key = 'behind-${table}1'", '1'),
		"very many, $table: and one behind them in their own");
	end($hold, 'ROLLBACK');
	ok($test->wait_empty, "very many, $table: let go, they are done");
	is($test->count, 4002, "very many, $table: each was asked for once");
}

$node->stop;
done_testing;
