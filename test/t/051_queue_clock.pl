# A clock that was ahead, before a failover or where a dump was made, silences
# nothing: labels, jobs and pauses from the future.
use strict;
use warnings;
use lib 'test/perl';
use QueueTest;
use Test::More;

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
$test->enqueue(1, 'long');
$test->sql("UPDATE oss_labels.job SET due = due + interval '3 days'");
is(process(), 1, 'so does what was put off for days');
$test->enqueue(1, 'soon');
$test->sql("UPDATE oss_labels.job SET due = due + interval '1 hour'");
is(process(), 0, 'what was put off for an hour waits');

# ---- pauses from the future ----

$test->sql("UPDATE oss_labels.job SET due = clock_timestamp(); INSERT INTO oss_labels.pause (server, automatic, since, reason, seen)"
	  . " VALUES ('oss', true, clock_timestamp() + interval '1 day', 'x', oss_labels.fingerprint('oss', NULL))");
is(process(), 1, 'an automatic pause from the future ends');

done_testing;
