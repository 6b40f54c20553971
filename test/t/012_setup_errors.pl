# Errors in the set-up of an account, a bucket or a policy: a few dozen requests
# whatever is asked for, then an error or a pause that says what to do; and what
# is in order beside them goes on.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use lib 'test/perl';
use QueueTest;

# Requests that may find out that nothing can be had.
my $few = 32;

my $test = QueueTest->new(conf => "oss_labels.worker = off\n");
my $node = $test->{node};
my $oss = $test->{oss};
my $image = 'image=examplebucket/example.jpg&labels=10';

$test->sql(q{CREATE ROLE alice LOGIN; CALL oss_labels.grant_paying('alice');
	GRANT USAGE ON FOREIGN SERVER oss TO alice; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA oss_labels TO alice;
	CREATE USER MAPPING FOR alice SERVER oss OPTIONS (access_key_id 'aliceid', access_key_secret 'alicesecret');
	ALTER SERVER oss OPTIONS (ADD max_concurrency '256');
	CREATE TABLE work (id int, bucket text, key text); GRANT SELECT ON work TO PUBLIC});

# Begin anew: buckets a and b where every key exists, alice's key in order.  A
# server that was altered has not given any labels yet.
my $begun = 0;
sub begin
{
	my (%state) = @_;
	$test->reset;
	$oss->control("/bucket?name=$_&$image" . ($state{$_} // '')) for qw(bucket-a bucket-b);
	$oss->control('/credential?id=aliceid&secret=alicesecret' . ($state{alice} // ''));
	$test->sql('TRUNCATE work, oss_labels.job, oss_labels.failed_job, oss_labels.active_pause; DELETE FROM oss_labels.image;'
		  . ' ALTER SERVER oss OPTIONS (' . ($begun++ ? 'SET' : 'ADD') . " timeout_ms '${\ (60000 + $begun) }')");
	return;
}

# Put n images of a bucket behind the others.
sub add
{
	my ($bucket, $n, $prefix) = @_;
	$prefix //= 'k';
	$test->sql("INSERT INTO work SELECT (SELECT count(*) FROM work) + g, '$bucket', '$prefix' || g FROM generate_series(1, $n) g");
	return;
}

# try_detect() of all of them by alice; returns what came out and the error.
sub try_all
{
	my ($set) = @_;
	my ($status, $out, $err) = $node->psql('postgres',
		'SET SESSION AUTHORIZATION alice; SET oss_labels.concurrency = 256;' . ($set // '')
		  . ' SELECT DISTINCT w.id, coalesce(t.error_code, \'labels\') FROM (SELECT * FROM work ORDER BY id OFFSET 0) w,'
		  . ' oss_labels.try_detect(w.bucket, w.key) t ORDER BY 1',
		extra_params => [ '-v', 'VERBOSITY=verbose' ]);
	return ($out, $err);
}

# Queue all of them as alice and as the superuser, and drain as alice.
sub enqueue_all
{
	my (@roles) = @_;
	$test->sql("SET SESSION AUTHORIZATION $_; SELECT count(oss_labels.enqueue(bucket, key)) FROM (SELECT * FROM work ORDER BY id) w")
	  for @roles;
	return;
}

sub asked { return 0 + ($oss->control('/tally?' . join '&', @_) =~ /^label_requests (\d+)/m)[0] }
sub pauses { return $test->sql("SELECT string_agg(concat_ws(' ', requester_name, bucket), ', ' ORDER BY bucket) FROM oss_labels.active_pause") }
sub tagged { return $test->sql("SELECT count(*) FROM oss_labels.image WHERE bucket = '$_[0]'") }
sub failed { return $test->sql('SELECT count(*) FROM oss_labels.failed_job') }

# ---- a query: one error that says what to do ----

for my $case (
	[ 'public endpoint', 'bucket-a' => '&refuse=PublicEndpointForbidden', '55000', qr/internal endpoint.*addressing 'cname'/s ],
	[ 'disabled bucket', 'bucket-a' => '&refuse=BucketDisable', '42501', qr/bills and the messages/ ],
	[ 'account in debt', alice => '&refuse=InDebt', '42501', qr/bills and the messages/ ],
	[ 'disabled account', alice => '&refuse=UserDisable', '42501', qr/bills and the messages/ ],
	[ 'no right to read', alice => '&deny_get=1', '42501', qr/oss:GetObject and oss:ProcessImm/ ],
	[ 'no right to label', alice => '&deny_imm=1', '42501', qr/oss:GetObject and oss:ProcessImm/ ])
{
	my ($name, $what, $state, $sqlstate, $hint) = @$case;
	begin($what => $state);
	add('bucket-a', 300);
	$oss->fault(kind => 'delay', delay => 200);
	my ($out, $err) = try_all();
	like($err, qr/ERROR:  $sqlstate: could not get labels/, "$name: $sqlstate");
	like($err, qr/HINT:  .*$hint/s, "$name: the next step");
	cmp_ok($test->count, '<=', $few, "$name: few requests");
	cmp_ok($test->count, '>', 0, "$name: but some");
}

# ---- what nobody has told us of, and what is no answer of the service's ----

my @strange = (
	[ 'an unknown code', '22023', { code => 'NotInvented', status => 400, message => 'Not yet.' } ],
	[ "a proxy's page", '22000', { kind => 'html' } ],
	[ "a proxy's login", '08P01', { kind => 'redirect', location => 'http://127.0.0.1:1/login' } ],
	[ "a proxy's refusal", '22023', { kind => 'html', status => 405 } ],
	[ "a proxy's 404", 'P0002', { kind => 'html', status => 404 } ],
	[ "a gateway's JSON", '22000', { kind => 'labels', variant => 'neither' } ],
	[ 'the image itself', '22000', { kind => 'image' } ],
	[ 'no HTTP', '08P01', { kind => 'garbage' } ],
	[ 'an endless page', '54000', { kind => 'huge', bytes => 2000000 } ]);
for my $case (@strange)
{
	my ($name, $sqlstate, $fault) = @$case;
	begin();
	add('bucket-a', 300);
	$oss->fault(%$fault);
	my ($out, $err) = try_all();
	like($err, qr/ERROR:  $sqlstate: .*At least 20 requests for images.*HINT:  \S/s, "$name: $sqlstate, and the next step");
	cmp_ok($test->count, '<=', $few, "$name: few requests");
}

# one of them is a row, and labels prove that the bucket is in order
begin();
add('bucket-a', 300);
$oss->fault(kind => 'html', every => 3);
my ($mixed, $no_error) = try_all();
is($no_error . (() = $mixed =~ /NotLabels/g), '100', "a proxy's page now and then: a row each");

# no HTTP now and then: each is asked for again
begin();
add('bucket-a', 100);
$oss->fault(kind => 'garbage', every => 3);
my ($again, $no_error2) = try_all('SET oss_labels.concurrency = 1;');
is($no_error2 . (() = $again =~ /labels/g), '100', 'no HTTP now and then: no error, all have labels');

# ---- a policy for a prefix is none for the bucket ----

begin(alice => '&allow=bucket-a/open/');
$test->sql(q{INSERT INTO work SELECT g, 'bucket-a', CASE WHEN g % 5 = 0 THEN 'open/' ELSE 'closed/' END || g FROM generate_series(1, 300) g});
my ($out, $err) = try_all();
is($err, '', 'a policy for a prefix, mixed: no error');
is(() = $out =~ /labels/g, 60, 'mixed: what may be read is');
is(() = $out =~ /AccessDenied/g, 240, 'mixed: what may not is a row');
begin(alice => '&allow=bucket-a/open/');
add('bucket-a', 5, 'open/');
add('bucket-a', 100, 'closed/');
add('bucket-a', 50, 'open/x');
($out, $err) = try_all();
is($err, '', 'a policy for a prefix, one after the other: no error');
is(() = $out =~ /labels/g, 55, 'one after the other: what may be read is');

# ---- an answer about the object proves access: refusals are counted anew ----

for my $case (
	[ 'a key that is not there', '/object?bucket=bucket-a&key=%s&delete_marker=1', 'NoSuchKey' ],
	[ 'an archived object', '/object?bucket=bucket-a&key=%s&archive=1', 'InvalidObjectState' ])
{
	my ($name, $state, $code) = @$case;
	begin(alice => '&allow=bucket-a/open/');
	$test->sql(q{INSERT INTO work SELECT g, 'bucket-a', CASE WHEN g % 15 = 0 THEN 'open/' ELSE 'closed/' END || g FROM generate_series(1, 150) g});
	$oss->control(sprintf $state, 'open/' . 15 * $_) for 1 .. 10;
	my ($out, $err) = try_all('SET oss_labels.concurrency = 1;');
	is($err, '', "$name among refusals: no error");
	is(join(' ', map { my $c = $_; scalar(() = $out =~ /$c/g) } $code, 'AccessDenied'), '10 140', "$name among refusals: each is a row");
	is($test->count, 150, "$name among refusals: one request each");
}
begin(alice => '&allow=bucket-a/open/');
$test->sql(q{INSERT INTO work SELECT g, 'bucket-a', 'closed/' || g FROM generate_series(1, 150) g});
is(() = (try_all('SET oss_labels.concurrency = 1;'))[1] =~ /ERROR:  42501/g, 1, 'refusals and no other answer: an error');

# two buckets, one after the other in turn: each is counted by itself
begin(alice => '&allow=bucket-b/');
$test->sql(q{INSERT INTO work SELECT g, CASE WHEN g % 2 = 0 THEN 'bucket-a' ELSE 'bucket-b' END, 'k' || g FROM generate_series(1, 200) g});
my ($out2, $err2) = try_all('SET oss_labels.concurrency = 1;');
like($err2, qr/ERROR:  42501.*bucket-a/s, "another bucket's labels do not hide that one is refused");
is(asked('bucket=bucket-a'), 20, 'and it costs twenty requests');

# ---- rights that are taken away: not more than what was in flight ----

begin(alice => '&allow=bucket-a/open/&uses=100000');
add('bucket-a', 400, 'open/');
$test->sql("UPDATE work SET key = 'open/' || id");
$oss->fault(kind => 'error', code => 'AccessDenied', skip => 50);
($out, $err) = try_all('SET oss_labels.concurrency = 16;');
like($err, qr/ERROR:  42501/, 'rights taken away: an error');
like($err, qr/At least 20 requests for images of bucket "bucket-a" failed likewise in a row/, 'rights taken away: why it is an error now');
# the last labels may come after the first refusals
cmp_ok($test->count, '<=', 50 + 20 + 2 * 16, 'rights taken away: few requests more');

# ---- what was paid for is given out first ----

begin(alice => '&deny_get=1');
add('bucket-a', 100);
my $rows = $test->sql(q{CREATE OR REPLACE FUNCTION public.rows_before() RETURNS int LANGUAGE plpgsql AS $$
	DECLARE n int := 0; r record; c refcursor; BEGIN
	OPEN c FOR SELECT 1 FROM public.work w, oss_labels.try_detect(w.bucket, w.key);
	LOOP FETCH c INTO r; EXIT WHEN NOT FOUND; n := n + 1; END LOOP;
	RETURN -n; EXCEPTION WHEN insufficient_privilege THEN RETURN n; END $$;
	SET SESSION AUTHORIZATION alice; SELECT public.rows_before()});
ok($rows > 0 && $rows < 20, "refusals are rows before they are an error: $rows");

# ---- the worker: a pause of what it is about, and nothing else ----

$node->append_conf('postgresql.conf', "oss_labels.worker = on\n");
$node->reload;

sub worker_pauses
{
	my ($name, $expected, $state, $budget, @buckets) = @_;
	begin(%$state);
	add($_, 200) for @buckets;
	enqueue_all('alice');
	ok($test->wait_sql("SELECT string_agg(concat_ws(' ', requester_name, bucket), ', ' ORDER BY bucket) FROM oss_labels.active_pause", $expected), "$name: pauses $expected");
	$oss->wait_count(in_flight => 0);
	return cmp_ok($test->count, '<=', $budget, "$name: few requests");
}
worker_pauses('public endpoint', 'bucket-a', { 'bucket-a' => '&refuse=PublicEndpointForbidden' }, $few, 'bucket-a');
is(failed(), 0, 'public endpoint: no job failed');
worker_pauses('blanket denial', 'alice bucket-a', { alice => '&deny_get=1' }, $few, 'bucket-a');
like($test->sql('SELECT reason FROM oss_labels.active_pause'), qr/access denied/, 'blanket denial: the pause says why');
cmp_ok(failed(), '<', 20, 'blanket denial: few jobs failed');
is($test->sql("SELECT count(*) FROM oss_labels.job"), 200 - failed(), 'blanket denial: the others wait');
add('bucket-b', 50);
$test->sql("SELECT count(oss_labels.enqueue(bucket, key)) FROM work");
ok($test->wait_sql("SELECT count(*) FROM oss_labels.job WHERE requester = current_user::regrole", '0'),
	'blanket denial: the other role goes on in both buckets');
is(tagged('bucket-a'), 200, 'blanket denial: and its images are tagged');

# the rights are granted: resume() is enough
$oss->control('/credential?id=aliceid&secret=alicesecret');
$test->sql("SELECT oss_labels.retry_failed(), oss_labels.resume('oss')");
ok($test->wait_empty, 'rights granted: all is done');
is(failed(), 0, 'rights granted: nothing failed');

# an owner who owes: his bucket alone
begin('bucket-a' => '&refuse=InDebt');
add('bucket-a', 200);
add('bucket-b', 200);
enqueue_all('alice');
ok($test->wait_sql("SELECT count(*) FROM oss_labels.image WHERE bucket = 'bucket-b'", '200'), "a bucket whose owner owes: the other one's images are tagged");
is(pauses(), 'alice bucket-a', 'a bucket whose owner owes: it alone is paused');
cmp_ok(asked('bucket=bucket-a'), '<=', $few, 'a bucket whose owner owes: few requests');
is(failed(), 0, 'a bucket whose owner owes: no job failed');

# an account that owes: all that it asks
begin(alice => '&refuse=InDebt');
add($_, 100) for qw(bucket-a bucket-b);
enqueue_all('alice');
ok($test->wait_sql("SELECT count(*) > 0 FROM oss_labels.active_pause WHERE requester = 'alice'::regrole"), 'an account that owes: paused')
  or diag(pauses());
ok($test->wait_sql("SELECT count(*) FROM oss_labels.job j WHERE NOT EXISTS (SELECT FROM oss_labels.active_pause p"
	. " WHERE p.requester = j.requester AND (p.bucket IS NULL OR p.bucket = j.bucket))", '0'), 'an account that owes: in both buckets');
$oss->wait_count(in_flight => 0);
cmp_ok($test->count, '<=', 2 * $few, 'an account that owes: few requests');
$test->sql("SELECT count(oss_labels.enqueue(bucket, key)) FROM work");
ok($test->wait_sql("SELECT count(*) FROM oss_labels.image", '200'), "an account that owes: another role's images are tagged");
is(failed(), 0, 'an account that owes: no job failed');

# what a role is refused says nothing of another's, whoever asks
begin(alice => '&deny_get=1');
add('bucket-a', 15);
enqueue_all('alice');
ok($test->wait_empty, 'two who are refused: the worker fails fifteen of one role');
try_all();
is($test->count, 30, 'two who are refused: and a session of the same role begins to count by itself');
is(pauses(), '', 'two who are refused: neither came to twenty');
$test->sql("SELECT count(oss_labels.enqueue(bucket, key)) FROM work");
ok($test->wait_sql("SELECT count(*) FROM oss_labels.image WHERE bucket = 'bucket-a'", '15'), 'two who are refused: a third is not');

# a policy for a prefix: nothing is paused
begin(alice => '&allow=bucket-a/open/');
add('bucket-a', 40, 'open/');
add('bucket-a', 60, 'closed/');
add('bucket-a', 40, 'open/x');
enqueue_all('alice');
ok($test->wait_empty, 'a policy for a prefix: the queue gets empty');
is(tagged('bucket-a') . ' ' . failed(), '80 60', 'a policy for a prefix: what may be read is tagged, the rest has failed');
is(pauses(), '', 'a policy for a prefix: nothing is paused');

# ---- a prefix that is denied, at the head of the queue ----

sub directories { return $test->sql("SELECT string_agg(coalesce(directory, 'all'), ' ' ORDER BY directory) FROM oss_labels.active_pause") }
sub expire { return $test->sql("UPDATE oss_labels.active_pause SET since = since - interval '1 h'") }

for my $case (
	[ 'a directory', "'closed/' || g", 'closed/', 0 ],
	[ 'keys without a slash', "'k' || g", '/', 0 ],
	[ 'a hundred directories', "format('closed/%s/%s', g % 100, g)", qr{closed/}, 3 ])
{
	my ($name, $key, $directory, $probes) = @$case;
	begin(alice => '&allow=bucket-a/open/');
	$test->sql("INSERT INTO work SELECT g, 'bucket-a', $key FROM generate_series(1, 1000) g");
	add('bucket-a', 300, 'open/');
	enqueue_all('alice');
	ok($test->wait_sql("SELECT count(*) FROM oss_labels.image WHERE bucket = 'bucket-a'", '300'),
		"$name denied first: what may be read is tagged");
	like(directories(), ref $directory ? $directory : qr/^\Q$directory\E$/, "$name denied first: it alone is paused");
	$oss->wait_count(in_flight => 0);
	cmp_ok($test->count, '<=', 300 + $few + $probes, "$name denied first: few requests");
	cmp_ok(failed(), '<', 20, "$name denied first: few jobs failed");
	is($test->sql('SELECT count(*) FROM oss_labels.job'), 1000 - failed(), "$name denied first: the others wait");
	my $asked = $test->count;
	$test->sql("SET SESSION AUTHORIZATION alice; SELECT count(oss_labels.enqueue('bucket-a', 'open/new' || g)) FROM generate_series(1, 50) g");
	$test->sql("CALL oss_labels.wait_for_queue()");
	is(tagged('bucket-a'), 350, "$name denied first: what is enqueued now goes on, and is waited for");
	is($test->count - $asked, 50, "$name denied first: and nothing else is asked for");
}

# when the pause ends, one request finds out; resume() ends it, too
begin(alice => '&allow=bucket-a/open/');
add('bucket-a', 300, 'closed/');
add('bucket-a', 50, 'open/');
enqueue_all('alice');
ok($test->wait_sql("SELECT count(*) FROM oss_labels.image WHERE bucket = 'bucket-a'", '50'), 'a denied directory: the others are tagged');
my ($asked, $failures) = ($test->count, failed());
my $since = $test->sql('SELECT since FROM oss_labels.active_pause');
expire();
ok($test->wait_sql("SELECT count(*) FROM oss_labels.active_pause WHERE since > '$since'", '1'), 'a denied directory: paused again after the pause');
$oss->wait_count(in_flight => 0);
is($test->count - $asked, 1, 'a denied directory: which costs one request');
is(failed(), $failures, 'a denied directory: and no job');
$oss->control('/credential?id=aliceid&secret=alicesecret');
$test->sql("SELECT oss_labels.resume('oss'), oss_labels.retry_failed()");
ok($test->wait_empty, 'a denied directory, allowed: all is done');
is(tagged('bucket-a') . ' ' . failed(), '350 0', 'a denied directory, allowed: all are tagged');

# ---- rights that are gone for a moment: asked for again soon ----

begin();
add('bucket-a', 50, 'open/');
enqueue_all('alice');
ok($test->wait_empty, 'rights gone for a moment: before it');
$oss->control('/credential?id=aliceid&secret=alicesecret&allow=nothing/');
$test->sql('TRUNCATE work');
add('bucket-a', 300, 'open/x');
enqueue_all('alice');
ok($test->wait_sql('SELECT lasts FROM oss_labels.active_pause', '00:00:30'), 'rights gone for a moment: a pause of half a minute')
  or diag(pauses());
$oss->wait_count(in_flight => 0);
($asked, $failures) = ($test->count, failed());
cmp_ok($failures, '<', 20, 'rights gone for a moment: few jobs failed');
expire();
ok($test->wait_sql('SELECT lasts FROM oss_labels.active_pause', '00:01:00'), 'rights still gone: one of a minute');
$oss->wait_count(in_flight => 0);
is($test->count - $asked, 1, 'rights still gone: one request');
$oss->control('/credential?id=aliceid&secret=alicesecret');
expire();
ok($test->wait_empty, 'rights back: all is done');
is(tagged('bucket-a') . ' ' . failed(), (350 - $failures) . " $failures", 'rights back: no job more failed');

# an error that is not known yet: the bucket is paused, the other one goes on
begin();
add($_, 200) for qw(bucket-a bucket-b);
$oss->fault(bucket => 'bucket-a', code => 'NotInvented', status => 400);
enqueue_all('alice');
ok($test->wait_sql("SELECT count(*) FROM oss_labels.image WHERE bucket = 'bucket-b'", '200'), 'an unknown error: the other bucket goes on');
ok($test->wait_sql("SELECT count(*) FROM oss_labels.active_pause WHERE bucket = 'bucket-a' AND reason LIKE '%NotInvented%'", '1'),
	'an unknown error: the bucket is paused, and the reason has its code');
cmp_ok(asked('bucket=bucket-a'), '<=', $few, 'an unknown error: few requests');

# ---- a custom domain belongs to one bucket ----

begin();
$oss->control('/cname?host=localhost&bucket=bucket-a');
$test->sql("ALTER SERVER oss OPTIONS (SET endpoint 'http://localhost:" . $oss->http_port . "', ADD addressing 'cname')");
add('bucket-b', 100);
add('bucket-a', 100);
($out, $err) = try_all();
like($err, qr/ERROR:  28000: .*custom domain/, 'another bucket at a custom domain: the error names the domain');
like($err, qr/HINT:  A custom domain belongs to one bucket/, 'another bucket at a custom domain: and what to look at');
enqueue_all('alice');
ok($test->wait_sql("SELECT count(*) FROM oss_labels.image WHERE bucket = 'bucket-a'", '100'), "another bucket at a custom domain: the domain's own goes on");
is(pauses(), 'alice bucket-b', 'another bucket at a custom domain: it alone is paused');

$node->stop;
$oss->stop;
done_testing();
