# One request at a time for one image, across sessions and the worker: who comes
# meanwhile waits for the answer, never for a transaction.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use lib 'test/perl';
use QueueTest;

my $test = QueueTest->new(name => 'shared', conf => "max_connections = 90\n");
my ($node, $oss) = ($test->{node}, $test->{oss});

# A session that runs SQL and goes on; its output ends with "done".
sub session
{
	my ($sql, $until) = @_;
	return $test->session($sql, $until // qr/begun/);
}

# Run SQL in several sessions at once; returns how long it took.
sub at_once
{
	my ($what, @scripts) = @_;
	my $n = 0;
	my @files = map { my $file = $node->basedir . '/script' . $n++; append_to_file($file, ''); open my $fh, '>', $file or die $!; print $fh $_; close $fh; $file } @scripts;
	my $start = time;
	$node->command_ok([ 'pgbench', '-n', '-c', scalar @scripts, '-j', 2, '-t', 1,
			(map { ('-f', "$_\@1") } @files), 'postgres' ], $what);
	return time - $start;
}

# ---- the same images in opposite orders ----

sub page
{
	my ($prefix, $order) = @_;
	return "SELECT count(*) FROM (SELECT g FROM generate_series(1, 60) g ORDER BY g $order OFFSET 0) v,"
	  . " LATERAL oss_labels.tag('tenlabels', '$prefix' || g, 0) l;";
}
$oss->control('/fault?kind=delay&delay=50');
my $start = time;
$test->sql(page('alone', 'ASC'));
my $alone = time - $start;
is($test->count, 60, 'one session asks for its 60 images');
$oss->control('/reset?what=counters');
$start = time;
my @both = map { session(page('both', $_), qr/begun/) } 'ASC', 'DESC';
ok($test->wait_sql("SELECT count(*) FROM oss_labels.image WHERE key LIKE 'both%'", 60), 'two have them all');
my $took = time - $start;
$_->query_until(qr/done/, "\n") for @both;
like($_->{stdout} . ($_->{out} // ''), qr//, 'each ends') for @both;
is($test->count, 60, 'with 60 requests, in opposite orders');
cmp_ok($took, '<', 3 * $alone + 2, sprintf('about as fast as one: %.2f s, alone %.2f s', $took, $alone));
$_->quit for @both;
$test->reset;

# ---- ten sessions, one image, an open transaction ----

$oss->control('/fault?kind=delay&delay=300');
my $first = session("BEGIN;\nSELECT count(*) FROM oss_labels.tag('tenlabels', 'one', 0);");
$test->wait_asked(1, 'the first asks');
$start = time;
at_once('fifty sessions end', ("SELECT count(*) FROM oss_labels.tag('tenlabels', 'one', 0);\n") x 50);
cmp_ok(time - $start, '<', 20, 'while the transaction of the first is open');
is($test->count, 1, 'one request');
$first->quit;
is($test->sql("SELECT count(*) FROM oss_labels.image_label JOIN oss_labels.image USING (image_id) WHERE key = 'one'"), 10,
	'stored once');
$test->reset;

# ---- others' answers that cannot be stored now ----

$test->sql("SELECT count(*) FROM oss_labels.tag('tenlabels', 'locked')");
$test->sql("UPDATE oss_labels.image SET tagged_at = tagged_at - interval '1 day' WHERE key = 'locked'");
my $locker = session("BEGIN;\nSELECT FROM oss_labels.image WHERE key = 'locked' FOR UPDATE;", qr/done/);
$test->reset;
$test->sql("SELECT count(*) FROM oss_labels.tag('tenlabels', 'locked', 0, max_age => '1 hour')");
is($test->sql("SELECT count(*) FROM oss_labels.tag('tenlabels', 'locked', 0, max_age => '1 hour')"), 10, 'an answer that is not stored yet');
is($test->sql("SELECT count(*) FROM oss_labels.tag('tenlabels', 'locked', 0.2, max_age => '1 hour')"), 10, 'is shared, also with who wants less');
is($test->sql("SELECT min(label_confidence) >= 0.7 FROM oss_labels.tag('tenlabels', 'locked', max_age => '1 hour')"), 't', 'with the threshold of who asks');
is($test->sql("SELECT count(*) FROM oss_labels.try_tag('tenlabels', 'locked', 0, max_age => '1 hour') WHERE error_code IS NULL"), 10, 'and by try_tag()');
is($test->count, 1, 'for one request');
$locker->quit;
$test->reset;

# ---- not with other rights, not what began too early ----

$test->role('tena');
$oss->control('/fault?kind=delay&delay=1000');
my @sessions = (session("SELECT count(*) FROM oss_labels.tag('tenlabels', 'rights', 0);"),
	session("SET ROLE tena;\nSELECT count(*) FROM oss_labels.tag('tenlabels', 'rights', 0);"),
	session("SELECT count(*) FROM oss_labels.tag('tenlabels', 'rights', 0);"));
$test->wait_asked(2, 'another role asks for itself');
$_->query_until(qr/done/, "\n") for @sessions;
$_->quit for @sessions;
is($test->count, 2, 'and the same role does not');
$oss->control('/reset?what=counters');
@sessions = (session("SELECT count(*) FROM oss_labels.tag('tenlabels', 'early', 0);"));
$test->wait_asked(1, 'a request goes out');
$test->sql("SELECT count(*) FROM oss_labels.tag('tenlabels', 'early', 0, max_age => '0')");
is($test->count, 2, 'who wants it as of now does not join it');
$_->quit for @sessions;
$test->reset;

# ---- the leader fails, is cancelled, dies or stands still ----

$oss->control('/fault?kind=delay&delay=1000');
my $leader = session("SELECT pg_backend_pid() AS pid \\gset\n\\echo pid :pid\nSELECT count(*) FROM oss_labels.tag('tenlabels', 'cancelled', 0);", qr/pid \d+/);
$test->wait_asked(1, 'somebody asks');
my $follower = session("SELECT count(*) FROM oss_labels.tag('tenlabels', 'cancelled', 0);");
sleep 0.2;
is($test->count, 1, 'somebody else waits');
$test->sql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE '%cancelled%' AND pid <> pg_backend_pid()
	ORDER BY query_start LIMIT 1");
$test->wait_asked(2, 'and asks when the first was cancelled');
ok($test->wait_sql("SELECT count(*) FROM oss_labels.image WHERE key = 'cancelled'", 1), 'which is stored');
$_->quit for $leader, $follower;
$test->reset;

$oss->control('/fault?kind=delay&delay=1000');
my $page = "SELECT count(*) FROM (SELECT g FROM generate_series(1, 12) g OFFSET 0) v,"
  . " LATERAL oss_labels.tag('tenlabels', 'left' || g, 0) l;";
$leader = session($page);
my $end = time + 30;
sleep 0.02 while $test->count < 4 && time < $end;
$follower = session($page);
sleep 0.2;
$test->sql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE '%left%' AND pid <> pg_backend_pid()
	ORDER BY query_start LIMIT 1");
ok($test->wait_sql("SELECT count(*) FROM oss_labels.image WHERE key LIKE 'left%'", 12), 'of a page whose leader is cancelled, the rest is asked for');
cmp_ok($test->count, '<=', 16, 'and nothing twice but what was in flight');
$_->quit for $leader, $follower;
$test->reset;

is($test->sql("SELECT count(*) FROM generate_series(1, 2) i, LATERAL oss_labels.try_tag('examplebucket', 'nosuch.jpg', 0) l"), 2,
	'a failure is each one\'s own');
$test->reset;

$oss->control('/fault?kind=delay&delay=500');
my $cursor = session("BEGIN;\nDECLARE c CURSOR FOR SELECT l.label_name FROM generate_series(1, 20) i,"
	  . " LATERAL oss_labels.tag('tenlabels', 'cursor' || i, 0) l;\nFETCH 11 FROM c;", qr/done/);
$start = time;
is($test->sql("SELECT count(*) FROM generate_series(1, 20) i, LATERAL oss_labels.tag('tenlabels', 'cursor' || i, 0) l"), 200,
	'a cursor that stands still');
cmp_ok(time - $start, '<', 8, 'is not waited for');
$cursor->quit;
$test->reset;

# ---- the worker ----

$oss->control('/fault?kind=delay&delay=1500');
$test->sql("SELECT oss_labels.enqueue('tenlabels', 'queued' || i, 0) FROM generate_series(1, 3) i");
$test->wait_asked(3, 'the worker asks for three');
is($test->sql("SELECT count(*) FROM generate_series(1, 3) i, LATERAL oss_labels.tag('tenlabels', 'queued' || i, 0) l"), 30,
	'tag() waits for its answers');
is($test->count, 3, 'and asks for none');
$test->reset;
$oss->control('/fault?kind=delay&delay=1500');
my $asking = session("SELECT count(*) FROM oss_labels.tag('tenlabels', 'session1', 0);");
$test->wait_asked(1, 'a session asks');
$test->sql("SELECT oss_labels.enqueue('tenlabels', 'session1', 0)");
ok($test->wait_empty, 'a job for the same image ends');
is($test->count, 1, 'with the answer of the session, though it is younger');
$asking->quit;
$test->reset;
$test->sql("SELECT oss_labels.pause()");
$test->sql("SELECT oss_labels.enqueue('tenlabels', 'session2', 0)");
$oss->control('/fault?kind=delay&delay=1500');
$asking = session("SELECT count(*) FROM oss_labels.tag('tenlabels', 'session2', 0);");
$test->wait_asked(1, 'a session asks for what is queued');
$test->sql("SELECT oss_labels.resume()");
ok($test->wait_empty, 'the job ends');
is($test->count, 1, 'with the answer of the session');
is($test->sql("SELECT count(*) FROM oss_labels.failed_job"), 0, 'and nothing failed');
$asking->quit;
$test->reset;

# ---- one deadline for all that a statement waits for ----

$oss->control('/fault?kind=delay&delay=60000&times=4&prefix=slow');
$test->sql("SELECT oss_labels.enqueue('tenlabels', 'slow' || i, 0) FROM generate_series(1, 4) i");
$test->wait_asked(4, 'the worker asks for four, and waits');
$start = time;
$asking = session("SELECT count(*) FROM (SELECT 'slow' || i FROM generate_series(1, 4) i
	UNION ALL SELECT 'quick' || i FROM generate_series(1, 4) i) v (k), LATERAL oss_labels.tag('tenlabels', k, 0) l;");
ok($test->wait_sql("SELECT count(*) FROM oss_labels.image WHERE key ~ '^(slow|quick)'", 8), 'a page with these four ends');
cmp_ok(time - $start, '<', 20, 'after ten seconds, not ten for each');
is($test->count, 12, 'once more');
$asking->quit;

$node->stop;
done_testing();
