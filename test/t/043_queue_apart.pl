# What stops one thing stops nothing else: an image that a trigger or a deferred
# constraint refuses, whatever SQLSTATE it gives; buckets that ask to be left
# alone; and what rests after a throttle obeys pauses and deletions.

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

# ---- an image that is refused, at once or at the commit ----

my $drop = 'DROP TRIGGER IF EXISTS refuse ON oss_labels.image';
my %when = (
	row => 'TRIGGER refuse AFTER INSERT OR UPDATE ON oss_labels.image',
	deferred => 'CONSTRAINT TRIGGER refuse AFTER INSERT OR UPDATE ON oss_labels.image DEFERRABLE INITIALLY DEFERRED'
);
for my $case ([ 'deferred', 'P0001' ], [ 'deferred', '42501' ], map { [ 'row', $_ ] } qw(42501 55000 XX000 42P01 28000 40001 40P01 53100 53300 55P03 57014 57P01 58030))
{
	my ($when, $sqlstate) = @$case;
	my $name = "$when $sqlstate";
	my $prefix = $when . $sqlstate;

	$test->reset;
	$test->sql("CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN"
		  . " IF NEW.key LIKE '%poison%' THEN RAISE 'not this one' USING ERRCODE = '$sqlstate'; END IF; RETURN NULL; END \$\$;"
		  . " CREATE $when{$when} FOR EACH ROW EXECUTE FUNCTION refuse()");
	enqueue('tenlabels', "${prefix}before", 50);
	enqueue('tenlabels', "${prefix}poison", 1);
	enqueue('tenlabels', "${prefix}after", 300);
	ok($test->wait_sql("SELECT count(*) FROM oss_labels.image WHERE key LIKE '$prefix%'", 350, seconds => 20),
		"$name: all others are stored");
	$test->sql($drop);
	ok($test->wait_empty(seconds => 20), "$name: nothing is left");
	is($test->count, 351, "$name: each was paid for once");
}
$test->sql('SELECT oss_labels.retry_failed()');
ok($test->wait_empty, 'refused: tried again');

# One that is refused each time fails in the end, when others are stored.
$test->reset;
$test->sql("CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN"
	  . " IF NEW.key LIKE '%poison%' THEN RAISE 'not this one' USING ERRCODE = '42501'; END IF; RETURN NULL; END \$\$;"
	  . " CREATE $when{row} FOR EACH ROW EXECUTE FUNCTION refuse()");
$test->sql("SELECT oss_labels.enqueue('tenlabels', 'poison')");
ok($test->wait_sql("SELECT last_error FROM oss_labels.worker WHERE database = 'postgres'", 'not this one'), 'alone: the view says what is wrong');
enqueue('tenlabels', 'beside', 20);
ok($test->wait_sql("SELECT key, code, \"sqlstate\" FROM oss_labels.failed_job", 'poison|NotStored|42501'), 'alone: it fails in the end');
is($test->count, 21, 'alone: it was paid for once');
$test->sql($drop);

# ---- buckets that ask for an hour, more than their server has slots ----

$test->reset;
for my $i (1 .. 12)
{
	$test->bucket("busy$i", throttle => 'QpsLimitExceeded', retry_after => 3600);
	enqueue("busy$i", 'busy', 50);
}
ok($oss->wait_counted(code_QpsLimitExceeded => 12), 'an hour: asked for');
my $asked = 0;
for (1 .. 10)
{
	last if $asked == $test->count;
	$asked = $test->count;
	sleep 3;
}
is($test->count, $asked, 'an hour: nothing more is asked for');
$test->bucket('healthy');
my $begun = time;
enqueue('healthy', 'healthy', 3000);
ok($test->wait_sql("SELECT count(*) FROM oss_labels.image WHERE bucket = 'healthy'", 3000, seconds => 15),
	sprintf 'an hour: another bucket goes on (%.1f s)', time - $begun);
$test->sql('DELETE FROM oss_labels.job');
ok($test->wait_empty, 'an hour: deleted');
$oss->control('/reset');
$test->sql('SELECT oss_labels.resume()');

# ---- what rests after a throttle obeys a pause, and is forgotten when deleted ----

for my $case ([ 'paused', 'SELECT oss_labels.pause()' ], [ 'deleted', 'DELETE FROM oss_labels.job' ])
{
	my ($name, $sql) = @$case;
	$test->reset;
	enqueue('everykey', "warm$name", 300);
	ok($test->wait_empty, "$name: the bucket answers");
	$oss->fault(kind => 'error', code => 'QpsLimitExceeded', prefix => "rest$name");
	enqueue('everykey', "rest$name", 20);
	ok($oss->wait_counted(code_QpsLimitExceeded => 15), "$name: throttled");
	$test->sql($sql);
	sleep($name eq 'paused' ? 0.5 : 1.2);    # deletions are looked for once a second
	my $before = $test->count;
	sleep 4;      # the longest rest
	is($test->count, $before, "$name: what rests is not asked for");
	is($test->sql('SELECT count(*) FROM oss_labels.job WHERE lease IS NOT NULL'), 0, "$name: nothing is in hand");
	$test->sql('DELETE FROM oss_labels.job; SELECT oss_labels.resume()');
	ok($test->wait_empty, "$name: the end");
}

$node->stop;
done_testing;
