# What is not asked for: images whose stored answer serves a job, and images that
# have failed for good.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use lib 'test/perl';
use QueueTest;

my $test = QueueTest->new;
my $node = $test->{node};
my $oss = $test->{oss};

# Run SQL, wait until the queue is empty, and compare the number of requests since
# the last call.
my $asked = 0;

sub requests
{
	my ($sql, $expected, $name) = @_;
	$test->sql($sql) if $sql ne '';
	$test->wait_empty or die "$name: the queue does not get empty";
	is($test->count - $asked, $expected, $name);
	$asked = $test->count;
	return;
}

# ---- a stored answer serves a job ----

my $backfill = "SELECT count(oss_labels.enqueue('tenlabels', 'k' || g)) FROM generate_series(1, 300) g";
requests($backfill, 300, 'a backfill: each image once');
requests($backfill, 0, 'its second run: nothing');
requests("SELECT count(oss_labels.enqueue('tenlabels', 'k' || g, thr => 0.9, max_age => '1 hour')) FROM generate_series(1, 300) g",
	0, 'young enough, and with more labels than asked for');
requests("SELECT count(oss_labels.enqueue('tenlabels', 'k' || g, max_age => '0')) FROM generate_series(1, 10) g",
	10, 'none is young enough');
requests("SELECT count(oss_labels.enqueue('tenlabels', 'k1', max_age => '0')) FROM generate_series(1, 10) g",
	1, 'ten jobs of one transaction that want a new answer share it');
$test->sql("UPDATE oss_labels.image SET tagged_at = tagged_at - interval '1 day' WHERE key IN ('k2', 'k3')");
requests("SELECT count(oss_labels.enqueue('tenlabels', 'k' || g, max_age => '1 hour')) FROM generate_series(1, 10) g",
	2, 'two are too old');
requests("SELECT oss_labels.enqueue('tenlabels', 'k1', version_id => 'CAEQ')", 1, 'another version, which is not there');
requests("SELECT oss_labels.enqueue('tenlabels', 'k1', version_id => 'CAEQ')", 0, 'the same version');

# A backlog over what is tagged meanwhile.
$test->sql('SELECT oss_labels.pause()');
$test->sql("SELECT count(oss_labels.enqueue('tenlabels', 'b' || g, max_age => '0')) FROM generate_series(1, 20) g");
$test->sql("SELECT count(*) FROM generate_series(1, 20) g, LATERAL oss_labels.tag('tenlabels', 'b' || g)");
requests('SELECT oss_labels.resume()', 20, 'a backlog over what is tagged meanwhile costs nothing');

like($test->sql_error("SELECT oss_labels.enqueue('tenlabels', 'k1', max_age => '-1 s')"), qr/22023: max_age must not be negative/,
	'a negative age is refused');
like($test->sql_error("SELECT oss_labels.enqueue('tenlabels', 'k1', max_age => '1000000 years')"), qr/22008/,
	'so is one before the calendar begins');

# ---- an answer never gets poorer ----

my $stored = "SELECT thr, label_count, (SELECT count(*) FROM oss_labels.image_label l WHERE l.image_id = i.image_id)"
  . " FROM oss_labels.image i WHERE key = 'photos/beach.jpg'";

requests("SELECT oss_labels.enqueue('examplebucket', 'photos/beach.jpg', thr => 0)", 1, 'a rich answer');
is($test->sql($stored), '0|5|5', 'all labels are stored');
requests("SELECT oss_labels.enqueue('examplebucket', 'photos/beach.jpg')", 0, 'a job that wants less: nothing');
requests("SELECT oss_labels.enqueue('examplebucket', 'photos/beach.jpg', thr => 0.9, max_age => '0')", 1, 'and wants it new');
is($test->sql($stored), '0|5|5', 'it gets as much as was stored');
requests("SELECT oss_labels.enqueue('examplebucket', 'photos/beach.jpg', thr => 0.9, max_age => '0')", 1, 'each time once');
requests("SELECT count(*) FROM oss_labels.tag('examplebucket', 'photos/beach.jpg', 0)", 0, 'tag() finds all of it');

my $empty = q({"RequestId":"imported","Labels":[]});
is($test->sql("SELECT oss_labels.import_labels('$empty', 'examplebucket', 'photos/beach.jpg', 0.9)"), 'f', 'an import with a higher threshold is refused');
is($test->sql("SELECT oss_labels.import_labels('$empty', 'examplebucket', 'photos/beach.jpg')"), 'f', 'one with the default threshold, too');
is($test->sql("SELECT oss_labels.import_labels('$empty', 'examplebucket', 'photos/beach.jpg', 0, tagged_at => now() - interval '1 day')"), 'f', 'one that is older, too');
is($test->sql($stored), '0|5|5', 'all labels are there');
is($test->sql("SELECT oss_labels.import_labels('$empty', 'examplebucket', 'photos/beach.jpg', 0)"), 't', 'a younger one with the same threshold is stored');
is($test->sql($stored), '0|0|0', 'and has no labels');

# ---- watched tables ----

$test->sql("CREATE TABLE a (id int, key text); SELECT oss_labels.watch('a', 'key', bucket => 'tenlabels');"
	. " CREATE TABLE b (id int, key text); SELECT oss_labels.watch('b', 'key', bucket => 'tenlabels');"
	. " CREATE TABLE c (id int, key text); SELECT oss_labels.watch('c', 'key', bucket => 'tenlabels', max_age => '0');"
	. " CREATE TABLE d (id int, key text); CREATE TRIGGER own AFTER INSERT ON d REFERENCING NEW TABLE AS n"
	. " FOR EACH STATEMENT EXECUTE FUNCTION oss_labels.enqueue_trigger('key_column', 'key', 'bucket', 'tenlabels', 'max_age', '1 day')");
requests("INSERT INTO a VALUES (1, 'w1'), (2, 'w2')", 2, 'watched rows');
requests("INSERT INTO b VALUES (1, 'w1'), (2, 'w2')", 0, 'the same objects in another watched table');
requests("BEGIN; UPDATE a SET key = 'w3' WHERE id = 1; UPDATE a SET key = 'w1' WHERE id = 1; COMMIT", 0, 'a key there and back in one transaction');
requests("UPDATE a SET key = 'w4' WHERE id = 1", 1, 'a changed key');
requests("UPDATE a SET key = 'w1' WHERE id = 1", 0, 'and back');
requests("DELETE FROM a; INSERT INTO a VALUES (1, 'w1'), (2, 'w2')", 0, 'deleted and inserted again');
requests("INSERT INTO c VALUES (1, 'w1'), (2, 'w2')", 2, 'max_age 0: asked for again');
requests("INSERT INTO d VALUES (1, 'w1'), (2, 'w2'), (3, 'w5')", 1, 'a trigger by hand has max_age, too');
$test->sql("UPDATE oss_labels.image SET tagged_at = tagged_at - interval '2 days' WHERE key = 'w1'");
requests("INSERT INTO d VALUES (1, 'w1'), (2, 'w2'), (3, 'w5')", 1, 'it finds one too old');
like($test->sql_error("SELECT oss_labels.watch('a', 'key', bucket => 'tenlabels', max_age => '-1 s')"), qr/22023: max_age must not be negative/,
	'watch: a negative age is refused');
is($test->sql("SELECT count(*) FROM pg_trigger WHERE tgname = 'oss_labels_insert' AND tgrelid = 'a'::regclass"), '1', 'and the table is still watched');

# ---- what has failed for good ----

my $bad = "SELECT count(oss_labels.enqueue('examplebucket', k)) FROM unnest('{notes.txt,nosuch.jpg,nosuch/too.jpg}'::text[]) k";
my $failed = 'SELECT count(*), count(DISTINCT key), sum(attempts), bool_and(permanent) FROM oss_labels.own_failed_job WHERE bucket = \'examplebucket\'';

requests($bad, 3, 'three bad keys');
is($test->sql($failed), '3|3|3|t', 'have failed');
requests($bad, 0, 'the next run of the same backfill: nothing');
requests($bad =~ s/k\)\) FROM/k, thr => 0.2, max_age => '1 day', priority => 1)) FROM/r, 0, 'with other arguments, too');
is($test->sql($failed), '3|3|3|t', 'a row each');
requests($bad =~ s/k\)\) FROM/k, max_age => '0')) FROM/r, 3, 'max_age asks again');
is($test->sql($failed), '3|3|6|t', 'a row each, with the attempts of both');
requests("SELECT count(oss_labels.enqueue('examplebucket', 'nosuch.jpg', max_age => '0')) FROM generate_series(1, 20)", 1, 'twenty jobs of one bad key: one request');
is($test->sql($failed), '3|3|7|t', 'and one row');
requests("SELECT oss_labels.enqueue('examplebucket', 'nosuch.jpg', version_id => 'CAEQ')", 1, 'another version is another image');
is($test->sql($failed), '4|3|8|t', 'with a row of its own');
$test->role('other');
requests("SET SESSION AUTHORIZATION other; SELECT oss_labels.enqueue('examplebucket', 'nosuch.jpg', server => 'oss')", 1, 'another role asks for itself');
requests("SET SESSION AUTHORIZATION other; SELECT oss_labels.enqueue('examplebucket', 'nosuch.jpg', server => 'oss')", 0, 'once');
is($test->sql($failed), '5|3|9|t', 'with a row of its own, too');
requests("ALTER SERVER oss OPTIONS (ADD requester_pays 'true'); $bad", 3, 'a changed server: asked again');
requests($bad, 0, 'once');
requests(q(SELECT oss_labels.retry_failed(code => 'NoSuchKey')), 3, 'retry_failed() asks again: two keys, and the other role');
requests("CREATE TABLE e (id int, key text); SELECT oss_labels.watch('e', 'key', bucket => 'examplebucket'); INSERT INTO e VALUES (1, 'late.jpg')",
	1, 'a row before its object');
requests("SELECT oss_labels.enqueue('examplebucket', 'late.jpg')", 0, 'a backfill does not ask again');
$oss->put('examplebucket', 'late.jpg', PostgreSQL::Test::Utils::slurp_file($oss->data_dir . '/examplebucket/example.jpg'));
requests("DELETE FROM e; INSERT INTO e VALUES (1, 'late.jpg')", 1, 'a row that is written when the object is there: asked for');
is($test->sql("SELECT count(*) FROM oss_labels.image WHERE key = 'late.jpg'"), '1', 'it is tagged');
is($test->sql("SELECT count(*) FROM oss_labels.failed_job WHERE key = 'late.jpg'"), '0', 'and has not failed any more');

# What may succeed later is asked for again.
$node->append_conf('postgresql.conf', "oss_labels.job_attempts = 1\n");
$node->reload;
$test->wait_worker('%');
$oss->fault(code => 'InternalError', key => 'flaky', times => 1);
requests("SELECT oss_labels.enqueue('tenlabels', 'flaky')", 1, 'a failure of the service');
is($test->sql("SELECT permanent FROM oss_labels.failed_job WHERE key = 'flaky'"), 'f', 'is not permanent');
requests("SELECT oss_labels.enqueue('tenlabels', 'flaky')", 1, 'and asked for again');
is($test->sql("SELECT count(*) FROM oss_labels.failed_job WHERE key = 'flaky'"), '0', 'with success');

$node->stop;
done_testing;
