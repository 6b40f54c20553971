# Whole buckets against hostile or unlucky events: times of the future, and syncs that
# are paused; removed objects in databases of other encodings; a
# clock that is set back.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use lib 'test/perl';
use QueueTest;

my $test = QueueTest->new(name => 'hostile', clock => PostgreSQL::Test::Utils::tempdir . '/clock');
my ($node, $oss) = ($test->{node}, $test->{oss});
my $jpeg = slurp_file('test/oss-server/data/examplebucket/example.jpg');

$test->sql("CREATE ROLE poster LOGIN; GRANT USAGE ON SCHEMA oss_labels TO poster;"
	  . " GRANT EXECUTE ON FUNCTION oss_labels.ingest_event, oss_labels.ingest_message TO poster;"
	  . " SELECT oss_labels.sync_bucket('live', list => false)");

# What the poster is told of a message.
sub post
{
	my ($message) = @_;
	return $node->safe_psql('postgres', "SELECT concat_ws(' ', action, reason) FROM oss_labels.ingest_message(\$m\$$message\$m\$)",
		extra_params => [ '-U', 'poster' ]);
}

# An event of an object, as the stand-in has it; and one that is invented.
sub event { my ($key, %option) = @_; return $oss->set(event => bucket => 'live', key => $key, %option) =~ s/\n\z//r }

sub invented
{
	my ($name, $key, $at) = @_;
	return qq({"events": [{"eventName": "$name", "eventTime": "$at", "oss": {"bucket": {"name": "live"},)
	  . qq( "object": {"key": "$key", "eTag": "NONE", "size": 5000}}}]});
}

sub put { my ($key, $content) = @_; return $oss->put('live', $key, $jpeg . ($content // $key)) }
sub stored { return $test->sql("SELECT string_agg(key || ' ' || (etag = 'NONE'), ',' ORDER BY key) FROM oss_labels.image") }

# ---- times of the future ----

put($_) for qw(removed.jpg written.jpg);
is(post(invented('ObjectRemoved:DeleteObject', 'removed.jpg', '2099-01-01T00:00:00.000Z')), 'ignored no time', 'a removal in the future is none');
is(post(event('removed.jpg')), 'enqueued new', 'it keeps no true event away');
is(post(invented('ObjectCreated:PutObject', 'written.jpg', '2099-01-01T00:00:00.000Z')), 'enqueued new', 'a content of the future');
$test->wait_empty;
is(post(event('written.jpg')), 'enqueued changed', 'is replaced by a true event');
$test->wait_empty;
is(stored(), 'removed.jpg false,written.jpg false', 'the store has what is there');

# ---- events while a sync is paused ----

my $id = $test->sql('SELECT sync_id FROM oss_labels.bucket_sync');
my $asked = $test->count;
$test->sql("SELECT oss_labels.pause_sync($id)");
put($_) for qw(kept.jpg gone.jpg twice.jpg undone.jpg);
my $first = event('twice.jpg');
is(post($first), 'enqueued new', 'of a paused sync, a content is kept');
is(post($first), 'ignored queued', 'once');
put('twice.jpg', 'again');
is(post(event('twice.jpg', time_ms => int(1000 * time) + 2000)), 'enqueued new', 'another content of the object');
is(post($first), 'ignored older', 'the first one comes late');
is(post(event($_)), 'enqueued new', $_) for qw(kept.jpg gone.jpg);
$oss->delete('live', $_) for qw(gone.jpg removed.jpg);
is(post(event($_, name => 'ObjectRemoved:DeleteObject', time_ms => int(1000 * time) + 2000)), 'forgotten', "$_ is removed") for qw(gone.jpg removed.jpg);
my $session = $test->session("BEGIN; SAVEPOINT s; SELECT * FROM oss_labels.ingest_event('" . event('undone.jpg') . "'); ROLLBACK TO s;");
$session->query('COMMIT');
$session->query("BEGIN; SELECT * FROM oss_labels.ingest_event('" . event('undone.jpg') . "');");
my $resuming = $node->background_psql('postgres');
$resuming->query_until(qr/begun/, "\\echo begun\nSELECT oss_labels.resume_sync($id);\n");
ok($test->wait_sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%resume_sync%'", 1), 'who resumes it waits for an open event');
is($test->sql("SELECT state || ' ' || queued FROM oss_labels.bucket_sync"), 'paused 2', 'two contents are kept, and one is not committed');
is($test->count, $asked, 'nothing was asked for');
$session->query('COMMIT');
$resuming->quit;
ok($test->wait_sql('SELECT state FROM oss_labels.bucket_sync', 'done'), 'it is resumed');
$test->wait_empty;
is($test->count - $asked, 3, 'each content that is there is asked for once');
is(stored(), join(',', map { "$_.jpg false" } qw(kept twice undone written)), 'and stored');
is($oss->count('list_requests'), 0, 'nothing was listed');

# ---- the clock is set back while a bucket is listed ----

$oss->set(bucket => name => 'back', keys => 1500, labels => 1);
$test->sql('SELECT oss_labels.pause()');
$test->set_clock(3600);
my $back = $test->sql("SELECT oss_labels.sync_bucket('back')");
$test->set_clock(0);
$test->sql('SELECT oss_labels.resume()');
ok($test->wait_sql("SELECT state || ' ' || stored FROM oss_labels.bucket_sync WHERE sync_id = $back", 'done 1500'), 'it goes on at once')
  or diag($test->sql('SELECT * FROM oss_labels.bucket_sync'));

# ---- in other encodings, what is after the last key that is there ----

$oss->put('last', $_, $jpeg . $_) for 'a.jpg', "\xc3\xbfz.jpg", "\xf4\x8f\xbf\xbfz.jpg";
$test->sql('CREATE DATABASE ' . lc($_) . " ENCODING '$_' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0") for qw(LATIN1 UTF8 SQL_ASCII);
$test->sql($_) for 'ALTER SYSTEM SET oss_labels.worker = off', 'SELECT pg_reload_conf()';
ok($test->wait_sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'oss_labels worker'", 0), 'there is no worker');
my $sync = "SET oss_labels.server = 'oss'; SELECT oss_labels.sync_bucket('last', forget => true); CALL oss_labels.process_queue()";
my %there = (latin1 => 2, utf8 => 3, sql_ascii => 3);
for my $database (sort keys %there)
{
	$node->safe_psql($database, $test->create_sql);
	$node->safe_psql($database, $sync);
	is($node->safe_psql($database, 'SELECT count(*) FROM oss_labels.image'), $there{$database}, "$database: all is stored that can be");
}
$oss->delete('last', $_) for "\xc3\xbfz.jpg", "\xf4\x8f\xbf\xbfz.jpg";
for my $database (sort keys %there)
{
	$node->safe_psql($database, $sync) for 1, 2;
	is($node->safe_psql($database, "SELECT string_agg(key, ' ') FROM oss_labels.image"), 'a.jpg', "$database: the last ones are forgotten");
}

$session->quit;
$node->stop;
done_testing();
