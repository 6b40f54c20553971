# Whole buckets beside trouble: what one sync meets holds up nobody else, and nothing
# is forgotten unless two complete listings did not have it.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use lib 'test/perl';
use QueueTest;

my $test = QueueTest->new(conf => "default_transaction_isolation = serializable\n");
my $oss = $test->{oss};
my $node = $test->{node};

# Make a bucket of so many objects.
sub make
{
	my ($name, $n, %setting) = @_;
	return $oss->set(bucket => name => $name, keys => $n, %setting);
}

# Register a bucket; more arguments as SQL.
sub sync
{
	my ($bucket, $more) = @_;
	return $test->sql("SELECT oss_labels.sync_bucket('$bucket'" . ($more // '') . ')');
}

# Wait until a sync is in a state; says why if it is not.
sub state_is
{
	my ($id, $state, $what) = @_;
	ok($test->wait_sql("SELECT state FROM oss_labels.bucket_sync WHERE sync_id = $id", $state, seconds => 60), $what)
	  or diag($test->sql("SELECT * FROM oss_labels.bucket_sync WHERE sync_id = $id"));
	return;
}

# Run another round.
sub again
{
	my ($id, $state, $what) = @_;
	my $round = "SELECT finished_at > '" . $test->sql('SELECT clock_timestamp()') . "' FROM oss_labels.bucket_sync WHERE sync_id = $id";
	$test->sql("SELECT oss_labels.resume_sync($id)");
	ok($test->wait_sql($round), "$what: the round ends") if $state eq 'done';
	state_is($id, $state, $what);
	return;
}

sub shown
{
	my ($id, $what) = @_;
	return $test->sql("SELECT $what FROM oss_labels.bucket_sync WHERE sync_id = $id");
}

sub images
{
	my ($bucket) = @_;
	return $test->sql("SELECT count(*) FROM oss_labels.image WHERE bucket = '$bucket'");
}

# --- keys whose order in the database is another: Chinese, cases, LIKE's characters
$test->sql("CREATE DATABASE sorted TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LOCALE 'C.UTF-8' ENCODING UTF8");
$test->sql($test->create_sql, 'sorted');
my @awkward = ('a%b/B.jpg', 'a%b/a.jpg', 'a%b/_.jpg', 'a%b/猫.jpg', 'a%b/照片 2.jpg', 'a%b/Z.jpg', 'a%b/z.JPG', "a%b/back\\slash.jpg");
my $letters = 0;
for my $i (1 .. 1100)
{
	push @awkward, sprintf('a%%b/%s%04d.jpg', (qw(a B c D 猫 _ ä Z))[ $letters++ % 8 ], $i);
}
$oss->put('sortbucket', $_, 'x') for 'axb/outside.jpg', 'a%bb.jpg';
$oss->put('sortbucket', $_, "bytes of $_") for @awkward;
my $literals = join ',', map { "'$_'" } @awkward, 'axb/outside.jpg', 'a%bb.jpg';
$test->sql("INSERT INTO oss_labels.image (image_id, tagged_at, label_count, bucket, key, response, etag)"
	  . " SELECT oss_labels.image_id('sortbucket', k), now() - interval '1 day', 0, 'sortbucket', k, '{}', 'OLD'"
	  . " FROM unnest(ARRAY[$literals]) k", 'sorted');
$test->sql("INSERT INTO oss_labels.image (image_id, tagged_at, label_count, bucket, key, response)"
	  . " SELECT oss_labels.image_id('sortbucket', k), now() - interval '1 day', 0, 'sortbucket', k, '{}'"
	  . " FROM unnest('{a%b/gone.jpg,a%b/Gone.jpg,a%b/没有.jpg,a%b/zz.jpg,axb/gone.jpg,a%bc.jpg}'::text[]) k", 'sorted');
my $sorted = $test->sql("SELECT oss_labels.sync_bucket('sortbucket', 'a%b/', max_requests => 0, suffixes => '{}')", 'sorted');
my $done = "SELECT state || round FROM oss_labels.bucket_sync";
ok($test->wait_sql($done, 'done1', database => 'sorted'), 'a bucket is listed whose keys the database sorts otherwise');
is($test->sql("SELECT count(*) FROM oss_labels.sync_missing", 'sorted'), '4', 'the missing ones are noted, below the prefix alone');
$test->sql("SELECT oss_labels.resume_sync($sorted)", 'sorted');
ok($test->wait_sql($done, 'done2', database => 'sorted'), 'and again');
is($test->sql("SELECT string_agg(key, ' ' ORDER BY key COLLATE \"C\") FROM oss_labels.image WHERE key LIKE '%gone%' OR key LIKE 'a_bc%' OR key LIKE '%没有%' OR key LIKE '%zz%'", 'sorted'),
	'a%bc.jpg axb/gone.jpg', 'those are forgotten, and no other');
is($test->sql('SELECT count(*) FROM oss_labels.image', 'sorted'), scalar(@awkward) + 4, 'what the bucket has stays');

# --- two listings before forgetting; corrected images stay
make('rooms', 1500);
my $rooms = sync('rooms');
state_is($rooms, 'done', 'a bucket of two pages');
is(images('rooms'), '1500', 'has its labels');
$oss->set(objects => bucket => 'rooms', from => 0, to => 1499, every => 100, deleted => 1);
$test->sql("SELECT oss_labels.correct('rooms', '" . $oss->made_up(100) . "', 'Cat', true)");
again($rooms, 'done', 'a listing without fifteen objects');
is(images('rooms') . shown($rooms, 'forgotten'), '15000', 'one listing forgets nothing');
$oss->set(objects => bucket => 'rooms', from => 200, to => 200, deleted => 0);
again($rooms, 'done', 'a second one, where one of them is back');
is(images('rooms') . ' ' . shown($rooms, 'forgotten'), '1487 13', 'two do, but not what is back or corrected');

# --- nothing is forgotten by an incomplete, denied or empty listing
$oss->set(objects => bucket => 'rooms', from => 1, to => 1, deleted => 1);
for my $fault ([ status => 403, code => 'AccessDenied' ], [ status => 404, code => 'NoSuchBucket' ])
{
	$oss->fault(@$fault, scope => 'list');
	again($rooms, 'stopped', "a listing that ends with $fault->[3]") for 1 .. 2;
	like(shown($rooms, 'reason'), qr/\w/, 'it says why');
	$oss->control('/unfault');
}
is(images('rooms'), '1487', 'nothing is forgotten');
$oss->set(objects => bucket => 'rooms', from => 0, to => 1499, deleted => 1);
again($rooms, 'done', 'an empty listing') for 1 .. 3;
is(images('rooms'), '1487', 'forgets nothing');
my $wrong = sync('rooms', ", prefix => 'fotos/'");
state_is($wrong, 'done', 'a wrong prefix');
again($wrong, 'done', 'twice');
is(images('rooms'), '1487', 'forgets nothing');
$test->sql("SELECT oss_labels.cancel_sync(sync_id) FROM oss_labels.bucket_sync");

# --- two roles, one prefix: paid for once
$test->role($_) foreach qw(ada bob);
$test->sql("GRANT EXECUTE ON FUNCTION oss_labels.sync_bucket, oss_labels.resume_sync, oss_labels.pause_sync,"
	  . " oss_labels.cancel_sync TO ada, bob; GRANT SELECT ON oss_labels.bucket_sync TO ada, bob");
make('shared', 300);
$oss->fault(kind => 'delay', delay => 20);
$oss->control('/reset?what=counters');
$test->sql("SET ROLE $_; SELECT oss_labels.sync_bucket('shared')") foreach qw(ada bob);
ok($test->wait_sql("SELECT count(*) FROM oss_labels.bucket_sync WHERE state = 'done'", '2'), 'two roles have a sync over one bucket');
is($test->count, 300, 'each image is paid for once');
is($test->sql("SET ROLE ada; SELECT string_agg(requester, ',') FROM oss_labels.bucket_sync"), 'ada', 'a role sees its own');
like($test->sql_error("SET ROLE bob; SELECT oss_labels.cancel_sync((SELECT min(sync_id) FROM (VALUES ("
			  . $test->sql('SELECT min(sync_id) FROM oss_labels.bucket_sync') . ")) v (sync_id)))"),
	qr/42704/, 'and changes no other\'s');

# --- a user's job in the middle is answered next
make('slowly', 2000);
my $slow = sync('slowly');
ok($test->wait_sql("SELECT stored > 50 FROM oss_labels.bucket_sync WHERE sync_id = $slow"), 'a sync is under way');
$test->sql("SELECT oss_labels.enqueue('tenlabels', 'mine.jpg')");
ok($test->wait_sql("SELECT count(*) FROM oss_labels.image WHERE key = 'mine.jpg'", '1', seconds => 10), 'a user\'s job is answered');
cmp_ok(shown($slow, 'queued'), '>', 100, 'while most of the sync\'s wait');

# --- pause: nothing starts, and nothing is lost
$test->sql("SELECT oss_labels.pause_sync($slow)");
$oss->wait_count(in_flight => 0);
sleep 0.5;
my $sent = $test->count;
sleep 1;
is($test->count, $sent, 'nothing starts while it is paused');
is(shown($slow, 'state'), 'paused', 'it says so');
$test->sql("SELECT oss_labels.resume_sync($slow)");
$oss->control('/unfault');
state_is($slow, 'done', 'it goes on');
is(images('slowly') . shown($slow, "' ' || new || ' ' || stored"), '2000 2000 2000', 'and all has its labels');
is($oss->tally(bucket => 'slowly')->{keys_repeated}, 0, 'each was paid for once');

# --- others' trouble: throttled, denied, hanging; and a row of the sync that is locked
make('throttled', 50, throttle => 'SlowDown');
make('hanging', 50);
make('healthy', 1200);
$oss->fault(kind => 'hang', bucket => 'hanging', scope => 'list');
$oss->set(credential => id => 'bob', secret => 'secret-of-bob', deny_list => 1);
my $throttled = sync('throttled');
my $hanging = sync('hanging');
my $denied = $test->sql("SET ROLE bob; SELECT oss_labels.sync_bucket('healthy', prefix => 'photos/0000/')");
my $locked = sync('emptybucket');
my $blocker = $node->background_psql('postgres');
$blocker->query_safe("BEGIN ISOLATION LEVEL READ COMMITTED; SELECT FROM oss_labels.sync WHERE sync_id = $locked FOR UPDATE; SELECT FROM oss_labels.image FOR UPDATE LIMIT 100;");
my $healthy = sync('healthy');
state_is($healthy, 'done', 'a healthy bucket beside others\' trouble');
state_is($denied, 'stopped', 'a denied listing stops');
like(shown($denied, 'reason'), qr/ListObjects|denied/i, 'it says why');
isnt(shown($throttled, 'state'), 'done', 'a throttled bucket is not done');
isnt(shown($hanging, 'state'), 'done', 'nor is one whose listing hangs');
$blocker->query_safe('ROLLBACK');
$blocker->quit;
state_is($locked, 'done', 'what was locked goes on');
$oss->control('/unfault');
make('throttled', 50);
$oss->set(credential => id => 'bob', secret => 'secret-of-bob');
state_is($throttled, 'done', 'the throttled one goes on by itself');
$test->sql("SELECT oss_labels.resume_sync($denied)");
state_is($denied, 'done', 'the denied one when it is told to');

# --- the role, the server, the mapping
$test->sql("ALTER SERVER oss RENAME TO other");
again($healthy, 'done', 'a renamed server');
$test->sql('ALTER SERVER other RENAME TO oss; REVOKE USAGE ON FOREIGN SERVER oss FROM ada');
my $ada = $test->sql("SELECT sync_id FROM oss_labels.bucket_sync WHERE requester = 'ada'");
again($ada, 'stopped', 'USAGE is revoked');
$test->sql("GRANT USAGE ON FOREIGN SERVER oss TO ada; DROP USER MAPPING FOR ada SERVER oss");
again($ada, 'stopped', 'the mapping is gone');
like(shown($ada, 'reason'), qr/mapping/, 'it says so');
$test->sql("DROP OWNED BY bob; DROP ROLE bob");
again($denied, 'stopped', 'the role is dropped');
like(shown($denied, 'reason'), qr/role/, 'it says so');
again($healthy, 'done', 'others go on');

# --- process_queue() does it, to the end of the listing
$test->sql('ALTER DATABASE postgres SET oss_labels.worker = off');
ok($test->wait_worker('off%'), 'the worker is off');
make('byhand', 2500);
my $hand = sync('byhand');
$test->sql('CALL oss_labels.process_queue()');
is(shown($hand, "state || ' ' || listed || ' ' || stored"), 'done 2500 2500', 'process_queue() lists and tags the whole bucket');

done_testing;
