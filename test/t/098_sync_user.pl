# A bucket in step, as its users meet it: what one of them gives or breaks stops
# nobody else's images.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use lib 'test/perl';
use QueueTest;

my $test = QueueTest->new;
my $oss = $test->{oss};

$oss->set(bucket => name => 'album', keys => 3);

# --- a time from one round to the next that the calendar does not have
like($test->sql_error("SELECT oss_labels.sync_bucket('album', every => '300000 years')"),
	qr/22023: every must not be longer than 1000 years\nHINT/, 'the next round must be in the calendar');
my $id = $test->sql("SELECT oss_labels.sync_bucket('album', every => '1000 years')");
ok($test->wait_sql("SELECT state || ' ' || stored FROM oss_labels.bucket_sync WHERE sync_id = $id", 'waiting 3'), 'the longest time is waited for');

# --- when the next round begins
$oss->set(bucket => name => 'limited', keys => 3);
my $limited = $test->sql("SELECT oss_labels.sync_bucket('limited', every => '1 day', max_requests => 1)");
ok($test->wait_sql("SELECT state FROM oss_labels.bucket_sync WHERE sync_id = $limited", 'stopped'), 'one has spent what it may');
is($test->sql("SELECT next_at FROM oss_labels.bucket_sync WHERE sync_id = $limited"), '', 'no next round is promised');
my $denied = $test->sql("SELECT oss_labels.sync_bucket('nosuchbucket', every => '1 day')");
ok($test->wait_sql("SELECT state FROM oss_labels.bucket_sync WHERE sync_id = $denied", 'stopped'), 'one cannot be listed');
is($test->sql("SELECT next_at BETWEEN now() + '23 h' AND now() + '1 day' FROM oss_labels.bucket_sync WHERE sync_id = $denied"),
	't', 'the next round tries again');

# --- a sync that cannot even be stopped holds nobody up
$test->sql(qq{
	BEGIN;
	UPDATE oss_labels.sync SET due = now();
	CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
		\$\$ BEGIN RAISE EXCEPTION 'no change' USING ERRCODE = '22008'; END \$\$;
	CREATE TRIGGER refuse BEFORE UPDATE ON oss_labels.sync
		FOR EACH ROW WHEN (OLD.sync_id = $id) EXECUTE FUNCTION refuse();
	COMMIT;
	SELECT oss_labels.sync_bucket('tenlabels', 'none/', every => '1 day')});
$test->enqueue(5);
ok($test->wait_empty, 'jobs are done beside a sync whose row cannot be written');
is($oss->count('label_requests'), 9, 'each image is asked for once');
is($test->sql(q{SELECT coalesce(string_agg(last_error, ''), '') FROM oss_labels.worker}), '', 'no turn of the worker failed');
$test->sql('DROP TRIGGER refuse ON oss_labels.sync');
ok($test->wait_sql("SELECT state || ' ' || round || ' ' || unchanged FROM oss_labels.bucket_sync WHERE sync_id = $id",
		'waiting 2 3', seconds => 30), 'and it goes on when it can');

# --- a join with a table of the user's comes before what is paid for, also without ANALYZE
$oss->set(bucket => name => 'catalogue', keys => 300);
my $of = "'photos/0000/' || lpad(g::text, 7, '0') || '.jpg'";
$test->sql('IMPORT FOREIGN SCHEMA catalogue FROM SERVER oss INTO public');
for my $case ([ 'products', 3, '' ], [ 'keyed', 4, '; CREATE UNIQUE INDEX ON keyed (pic)' ], [ 'analyzed', 5, '; ANALYZE analyzed' ])
{
	my ($table, $n, $more) = @$case;
	my $before = $oss->count('label_requests');

	$test->sql("CREATE TABLE $table WITH (autovacuum_enabled = off) AS SELECT g AS id, $of"
		  . " AS pic FROM generate_series($n * 10, $n * 10 + $n - 1) g$more");
	is($test->sql("SELECT count(DISTINCT p.id) FROM $table p JOIN catalogue o ON o.key = p.pic,"
			. ' LATERAL oss_labels.tag(o.bucket, o.key, thr => 0, etag => o.etag) l'),
		$n, "a join of a bucket with table $table");
	is($oss->count('label_requests') - $before, $n, 'asks for what is joined alone');
}

# --- without a worker, a page that max_requests ends is tagged by the call that lists it
$test->sql('ALTER DATABASE postgres SET oss_labels.worker = off; SELECT oss_labels.cancel_sync(sync_id) FROM oss_labels.sync');
$oss->set(bucket => name => 'foreground', keys => 7);
$test->sql("SELECT oss_labels.sync_bucket('foreground', max_requests => 3)");
for my $most (3, 5, 100)
{
	$test->sql("SELECT oss_labels.resume_sync(sync_id, $most) FROM oss_labels.sync") if $most > 3;
	$test->sql('CALL oss_labels.process_queue()');
	my $n = $most > 7 ? 7 : $most;
	is($test->sql("SELECT state || ' ' || listed || ' ' || stored FROM oss_labels.bucket_sync"),
		($n < 7 ? 'stopped' : 'done') . " $n $n", "$n of 7 are listed and tagged by one call");
	is($oss->tally(bucket => 'foreground')->{label_requests}, $n, 'and asked for once');
}

done_testing;
