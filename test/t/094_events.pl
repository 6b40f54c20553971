# Events of a bucket, from posters that have no other right: lost, doubled and
# shuffled ones leave a store that a sync makes equal to the bucket; two posters, open
# transactions, jobs in flight, others' backlog.
use strict;
use warnings;

use MIME::Base64;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use lib 'test/perl';
use QueueTest;

my $test = QueueTest->new(name => 'events');
my ($node, $oss) = ($test->{node}, $test->{oss});
my $jpeg = slurp_file('test/oss-server/data/examplebucket/example.jpg');
srand(my $seed = $ENV{OSS_TEST_SEED} // time);
note("OSS_TEST_SEED=$seed");

$test->sql("CREATE ROLE poster LOGIN; GRANT USAGE ON SCHEMA oss_labels TO poster;"
	  . " GRANT EXECUTE ON FUNCTION oss_labels.ingest_event, oss_labels.ingest_message TO poster;"
	  . " SELECT oss_labels.sync_bucket('live', list => false);"
	  . " CREATE FOREIGN TABLE live (bucket text, key text, etag text) SERVER oss OPTIONS (bucket 'live')");

# What the poster is told of messages, one a line.
sub post
{
	my (@messages) = @_;
	my $values = join ', ', map { "(\$m\$$_\$m\$)" } @messages;
	return $node->safe_psql('postgres', 'SELECT coalesce(e.reason, e.action) FROM (VALUES '
		  . $values . ') m (m), LATERAL oss_labels.ingest_message(m) e', extra_params => [ '-U', 'poster' ]);
}

# An event of an object, as the stand-in has it.
sub event
{
	my ($key, %option) = @_;
	return $oss->set(event => bucket => 'live', key => $key, %option) =~ s/\n\z//r;
}

# ---- 5 % lost, the others twice and in any order ----

my ($contents, %there) = (0);
sub write_object { my ($key) = @_; $contents++; $there{$key} = 1; return $oss->put('live', $key, $jpeg . $contents . rand) }
write_object("k$_.jpg") for 1 .. 200;
write_object("k$_.jpg") for map { 1 + int rand 200 } 1 .. 40;
for my $key (map { 'k' . (1 + int rand 200) . '.jpg' } 1 .. 40)
{
	$oss->delete('live', $key) if delete $there{$key};
	write_object($key) if rand() < 0.3;
}
$oss->put('live', "notes-$_.txt", 'no image') for 1 .. 10;
my @messages = split /\n/, $oss->set(events => shape => 'smq-base64', drop => 5, repeat => 2, shuffle => 1, seed => int $seed);
cmp_ok(scalar @messages, '>', 400, 'there are events');
my @posters = map { $node->background_psql('postgres', on_error_stop => 0, extra_params => [ '-U', 'poster' ]) } 1, 2;
my $n = 0;
for my $message (@messages)
{
	$posters[ $n++ % 2 ]->query("SELECT count(*) FROM oss_labels.ingest_message('$message')");
}
$_->quit for @posters;
$test->wait_empty;
my $asked = $test->count;
cmp_ok($asked, '<=', $contents, 'no content was asked for twice');
cmp_ok($asked, '>', 150, 'most were asked for');
is($oss->count('list_requests'), 0, 'nothing was listed');
is($test->sql("SELECT count(*) FROM oss_labels.image WHERE key LIKE '%.txt'"), 0, 'no image was made of other objects');
$asked = $test->count;
for my $round (1, 2)
{
	$test->sql($round == 1 ? "SELECT oss_labels.sync_bucket('live')" : "SELECT oss_labels.resume_sync(sync_id) FROM oss_labels.sync");
	ok($test->wait_sql("SELECT state || round FROM oss_labels.bucket_sync", "done" . ($round + 1), seconds => 60), "sync $round is done")
	  or diag($test->sql('SELECT * FROM oss_labels.bucket_sync'));
}
is($test->sql("SELECT string_agg(key || ' ' || etag, ',' ORDER BY key) FROM oss_labels.image WHERE bucket = 'live'"),
	$test->sql("SELECT string_agg(key || ' ' || etag, ',' ORDER BY key) FROM live WHERE key LIKE '%.jpg'"),
	'after a sync the store equals the bucket');
is($test->sql("SELECT string_agg(key, ',' ORDER BY key) FROM oss_labels.image WHERE bucket = 'live'"),
	join(',', sort keys %there), 'and that is what was written');
cmp_ok($test->count - $asked, '<', 60, 'the sync asks for what was lost alone');
$asked = $test->count;

# of objects whose last event was not lost: listings tell whole seconds, within which several contents were written
my %told = map { $_ => 1 } split /\n/, $test->sql("SELECT key FROM oss_labels.image WHERE bucket = 'live' AND last_modified <> date_trunc('second', last_modified)");
my @told = grep { decode_base64($_) =~ /(k\d+\.jpg)/ && $told{$1} } @messages;
cmp_ok(scalar @told, '>', 100, 'the last event of most was not lost');
post(@told[ 0 .. 99 ]);
$test->wait_empty;
is($test->count, $asked, 'events that come again later ask for nothing');

# ---- two posters, and open transactions ----

$oss->put('live', $_, $jpeg . $_) for qw(two.jpg three.jpg four.jpg);
my %event = map { $_ => event("$_.jpg") } qw(two three four);
$test->sql("SELECT oss_labels.pause()");
my $first = $test->session("BEGIN; SELECT * FROM oss_labels.ingest_event('$event{two}');");
is(post($event{three}), 'new', 'an open transaction keeps nobody from posting other events');
my $second = $node->background_psql('postgres', on_error_stop => 0);
$second->query_until(qr/begun/, "\\echo begun\nSELECT 'said ' || reason FROM oss_labels.ingest_event('$event{two}');\n");
ok($test->wait_sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%ingest_event%'", 1), 'the same event waits');
$first->query('COMMIT');
like($second->query_until(qr/said \w+/, ''), qr/said queued/, 'and is ignored once the other is committed');
is($test->sql("SELECT count(*) FROM oss_labels.job WHERE key = 'two.jpg'"), 1, 'one job');
$first->query("BEGIN; SELECT * FROM oss_labels.ingest_event('$event{four}');");
$second->query_until(qr/begun/, "\\echo begun\nSELECT 'said ' || reason FROM oss_labels.ingest_event('$event{four}');\n");
ok($test->wait_sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%ingest_event%'", 1), 'again');
$first->query('ROLLBACK');
like($second->query_until(qr/said \w+/, ''), qr/said new/, 'after a rollback it is queued');
is($test->sql("SELECT count(*) FROM oss_labels.job WHERE key = 'four.jpg'"), 1, 'one job');
$oss->put('live', 'five.jpg', $jpeg . 5);
my $five = event('five.jpg');
for my $level ('REPEATABLE READ', 'SERIALIZABLE')
{
	$second->query("BEGIN ISOLATION LEVEL $level; SELECT count(*) FROM oss_labels.job;");
	post($five);
	my $said = $second->query("SELECT reason FROM oss_labels.ingest_event('$five');");
	$second->query('COMMIT');
	is($test->sql("SELECT count(*) FROM oss_labels.job WHERE key = 'five.jpg'"), 1, "$level: one job");
	is($said, $level =~ /REP/ ? '' : 'queued', "$level: who cannot see that is told to try again, else it is ignored");
}
$test->sql("SELECT oss_labels.resume()");
$test->wait_empty;
is($test->count - $asked, 4, 'one request each');
$asked = $test->count;

# ---- a removal while a job waits, and while it is in flight ----

$oss->fault(kind => 'delay', key => 'live/slow.jpg', delay => 1500);
$oss->put('live', 'slow.jpg', $jpeg . 'slow');
is(post(event('slow.jpg')), 'new', 'an object that is answered slowly');
$test->wait_asked($asked + 1, 'its request is in flight');
$oss->delete('live', 'slow.jpg');
is(post(event('slow.jpg', name => 'ObjectRemoved:DeleteObject', time_ms => int(1000 * time) + 2000)), 'forgotten', 'it is removed meanwhile');
$oss->wait_count(in_flight => 0);
$test->wait_empty;
$test->settled('what was in flight');
is($test->sql("SELECT count(*) FROM oss_labels.image WHERE key = 'slow.jpg'"), 0, 'its answer is not stored');
$oss->control('/reset');

# ---- beside another role's backlog ----

$test->role('busy');
$test->bucket('backlog');
$oss->fault(kind => 'delay', bucket => 'backlog', delay => 1000);
$oss->put('live', 'urgent.jpg', $jpeg . 'urgent');
my $urgent = event('urgent.jpg');
$test->sql("SET ROLE busy; SELECT count(oss_labels.enqueue('backlog', 'b' || g)) FROM generate_series(1, 5000) g");
is(post($urgent), 'new', 'beside a backlog');
ok($test->wait_sql("SELECT count(*) FROM oss_labels.image WHERE key = 'urgent.jpg'", 1), 'it is tagged');
cmp_ok($test->sql("SELECT count(*) FROM oss_labels.job"), '>', 500, 'before the backlog of another role');
$test->sql("DELETE FROM oss_labels.job");

# ---- speed, which is told and not tested ----

$test->sql("SELECT oss_labels.pause(); CREATE TABLE many AS SELECT g, jsonb_build_object('eventName', 'ObjectCreated:PutObject', 'eventTime', '2026-01-01T00:00:00.000Z', 'oss',"
	  . " jsonb_build_object('bucket', jsonb_build_object('name', 'live'), 'object', jsonb_build_object('key', 'm' || g || '.jpg', 'eTag', 'E' || g, 'size', 1000))) AS e FROM generate_series(1, 2000) g");
my $began = time;
is($test->sql("SELECT count(*) FROM many, oss_labels.ingest_event(e) i WHERE i.action = 'enqueued'"), 2000, 'many events');
note(sprintf '%.0f events a second, in one transaction', 2000 / (time - $began));
$began = time;
is($test->sql("SELECT count(*) FROM oss_labels.ingest_event((SELECT jsonb_agg(e) FROM many)) i WHERE i.reason = 'queued'"), 2000, 'and again, as one document');
note(sprintf '%.0f events a second, that are known', 2000 / (time - $began));

$first->quit;
$second->quit;
$node->stop;
done_testing();
