# Which content of an object the stored labels are of: the same ETag costs no request,
# another one is asked for, by tag(), by jobs and by watched rows; object_info() tells
# the ETag by a HEAD, which is counted apart.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use lib 'test/perl';
use QueueTest;

my $test = QueueTest->new(name => 'identity');
my ($node, $oss) = ($test->{node}, $test->{oss});

# Label requests and HEADs since the last call.
sub spent
{
	my $spent = $test->count . ' labels, ' . $test->count('head_requests') . ' HEAD';
	$oss->control('/reset?what=counters');
	return $spent;
}

sub etag_of { return $test->sql("SELECT etag FROM oss_labels.image WHERE key = '$_[0]'") }

sub tag
{
	my ($key, $etag, $more) = @_;
	$etag = defined $etag ? "'$etag'" : 'NULL';
	return $test->sql("SELECT count(*) FROM oss_labels.tag('tenlabels', '$key', thr => 0, etag => $etag" . ($more // '') . ")");
}

# tag(): the same ETag costs nothing, however it is written
is(tag('a', '5b3c1a2e053d763e1b002cc607c5a0fe'), 10, 'an image is tagged for an ETag');
is(etag_of('a'), '5B3C1A2E053D763E1B002CC607C5A0FE', 'which is stored in upper case');
is(tag('a', $_), 10, "and is the same as $_")
  for '5B3C1A2E053D763E1B002CC607C5A0FE', '"5B3C1A2E053D763E1B002CC607C5A0FE"', ' "5b3c1a2e053d763e1b002cc607c5a0fe" ',
  'W/"5B3C1A2E053D763E1B002CC607C5A0FE"';
is(tag('a'), 10, 'who asks for none gets it, too');
is(spent, '1 labels, 0 HEAD', 'all that for one request');
is(tag('a', 'OTHER-5'), 10, 'another one is asked for');
is(tag('a', 'OTHER-5'), 10, 'once');
is(spent, '1 labels, 0 HEAD', 'one request');
is(etag_of('a'), 'OTHER-5', 'and is stored');
is(tag('a', 'OTHER-5', ", max_age => '0'"), 10, 'the same is asked for when it is too old');
is(spent, '1 labels, 0 HEAD', 'by a request');
is(tag('a', ''), 10, 'an empty ETag is none');
is(spent, '0 labels, 0 HEAD', 'no request');
like($test->sql_error("SELECT * FROM oss_labels.tag('tenlabels', 'a', etag => repeat('x', 129))"),
	qr/22023: etag is too long/, 'one that is too long is refused');
is(spent, '0 labels, 0 HEAD', 'before any request');

# what is stored without one is not known to be it
is(tag('b'), 10, 'tagged without ETag');
is(etag_of('b'), '', 'none is stored');
is(tag('b', 'E1'), 10, 'asked for with one');
is(tag('b', 'E1'), 10, 'once');
is(spent, '2 labels, 0 HEAD', 'two requests');

# an answer that tells it, as far as nobody gave another one
$test->bucket('telling', labels_etag => 1);
$test->sql("SELECT count(*) FROM oss_labels.tag('telling', 'c')");
my ($told, $when) = split /\|/, $test->sql(
	"SELECT etag, last_modified < now() AND last_modified > '2000-01-01' FROM oss_labels.image WHERE bucket = 'telling'");
like($told, qr/^[0-9A-F]{32}$/, 'the ETag of the answer is stored');
is($when, 't', 'and its time');
$test->sql("SELECT count(*) FROM oss_labels.tag('telling', 'c', etag => lower('$told'))");
is(spent, '1 labels, 0 HEAD', 'and covers');
$test->sql("SELECT count(*) FROM oss_labels.tag('telling', 'c', etag => 'x')") for 1 .. 3;
is(spent, '1 labels, 0 HEAD', 'who insists on another one pays once');
is($test->sql("SELECT count(oss_labels.enqueue('telling', 'd', thr => 0))"), 1, 'a job');
ok($test->wait_empty, 'is done');
is($test->sql("SELECT etag = '$told' AND last_modified IS NOT NULL FROM oss_labels.image WHERE key = 'd'"), 't',
	'and keeps the ETag of its answer');
spent;

# detect() with oss_labels.keep, and an answer that no transaction kept
$test->sql("SET oss_labels.keep = on; SELECT count(*) FROM oss_labels.detect('telling', 'e')");
$test->sql("BEGIN; SELECT count(*) FROM oss_labels.tag('tenlabels', 'f', etag => '\"f\"'); ROLLBACK");
ok($test->wait_sql("SELECT string_agg(key || ' ' || etag, ',' ORDER BY key) FROM oss_labels.image WHERE key IN ('e', 'f')",
	"e $told,f F"), 'what the spool kept has its ETag');
is(tag('f', 'F'), 10, 'and covers');
is(spent, '2 labels, 0 HEAD', 'two requests in all');

# enqueue(): a thousand unchanged ones cost nothing
$test->sql("SELECT count(oss_labels.enqueue('tenlabels', 'k' || i, etag => md5(i::text))) FROM generate_series(1, 1000) i");
ok($test->wait_empty, 'a thousand are tagged');
is(spent, '1000 labels, 0 HEAD', 'a request each');
$test->sql("SELECT count(oss_labels.enqueue('tenlabels', 'k' || i, etag => '\"' || upper(md5(i::text)) || '\"'))"
	  . " FROM generate_series(1, 1000) i");
ok($test->wait_empty, 'enqueued again');
is(spent, '0 labels, 0 HEAD', 'without a request');
$test->sql("SELECT count(oss_labels.enqueue('tenlabels', 'k' || i, etag => md5((i / 500)::text))) FROM generate_series(1, 1000) i");
ok($test->wait_empty, 'all but two changed');
is(spent, '1000 labels, 0 HEAD', 'are asked for');
is($test->sql("SELECT count(*) FROM oss_labels.image WHERE key LIKE 'k%' AND etag IN (upper(md5('0')), upper(md5('1')), upper(md5('2')))"),
	1000, 'and have the new ETags');
like($test->sql_error("SELECT oss_labels.enqueue('tenlabels', 'k', etag => repeat('x', 129))"),
	qr/22023: etag is too long/, 'enqueue() refuses one that is too long');

# jobs that are joined: the newest ETag is kept, and nobody asks again for it
$test->sql("SELECT oss_labels.pause()");
$test->sql("SELECT oss_labels.enqueue('tenlabels', 'j', etag => e) FROM unnest(ARRAY['J1', 'J2', NULL, 'J3', NULL]) e");
$test->sql("SELECT oss_labels.resume()");
ok($test->wait_empty, 'five jobs of an object');
is(etag_of('j'), 'J3', 'are served by one answer with the newest ETag');
is(spent, '1 labels, 0 HEAD', 'of one request');

# a job fails and is retried with its ETag
$oss->fault(kind => 'error', code => 'ImageTooLarge', key => 'r', times => 1);
$test->sql("SELECT oss_labels.enqueue('tenlabels', 'r', etag => 'R')");
ok($test->wait_sql("SELECT etag FROM oss_labels.failed_job", 'R'), 'a failed job keeps its ETag');
is($test->sql("SELECT oss_labels.retry_failed()"), 1, 'it is retried');
ok($test->wait_sql("SELECT etag FROM oss_labels.image WHERE key = 'r'", 'R'), 'and stored with it');
$oss->control('/reset');

# two sessions at a time: for the same ETag one request, for another one its own
$oss->fault(kind => 'delay', delay => 700, bucket => 'tenlabels');
my @session = map { $node->background_psql('postgres') } 1 .. 3;
$session[$_]->query_until(qr/begun/, "\\echo begun\nSELECT count(*) FROM oss_labels.tag('tenlabels', 's', thr => 0, etag => '"
	  . (qw(S1 s1 S2))[$_] . "');\n") for 0 .. 2;
$_->query_safe('SELECT 1') for @session;
$_->quit for @session;
is(spent, '2 labels, 0 HEAD', 'of three sessions, two with the same ETag, there are two requests');
$oss->control('/reset');
ok($test->wait_sql("SELECT etag IN ('S1', 'S2') FROM oss_labels.image WHERE key = 's'", 't'), 'one is stored');
spent;

# watch(): rows carry ETags; a changed one is asked for again, in whichever form it is
# written; what is not changed, or was cancelled, is not
$test->sql("CREATE TABLE pic (id int PRIMARY KEY, key text, tag text, note text);"
	  . " SELECT oss_labels.watch('pic', key_column => 'key', bucket => 'tenlabels', etag_column => 'tag')");
$test->sql("INSERT INTO pic SELECT i, 'w' || i, md5(i::text) FROM generate_series(1, 100) i");
ok($test->wait_empty, 'rows are tagged');
is(spent, '100 labels, 0 HEAD', 'a request each');
is($test->sql("SELECT count(*) FROM pic p JOIN oss_labels.image i ON i.key = p.key AND i.etag = upper(p.tag)"), 100,
	'with their ETags');
$test->sql("UPDATE pic SET note = 'n'; UPDATE pic SET tag = tag; UPDATE pic SET tag = '\"' || upper(tag) || '\"';"
	  . " DELETE FROM pic WHERE id > 90; INSERT INTO pic SELECT i, 'w' || i, md5(i::text) FROM generate_series(91, 100) i");
ok($test->wait_empty, 'nothing new');
is(spent, '0 labels, 0 HEAD', 'costs nothing');
$test->sql("UPDATE pic SET tag = 'new' WHERE id <= 7; UPDATE pic SET tag = repeat('x', 500) WHERE id = 8");
ok($test->wait_empty, 'seven changed, and one into what is no ETag');
is($test->sql("SELECT count(*) FROM oss_labels.image WHERE etag = 'NEW'"), 7, 'seven are new');
cmp_ok($test->count, '<=', 8, 'for a request each');
spent;
$test->sql("SELECT oss_labels.pause()");
$test->sql("UPDATE pic SET tag = 'a1' WHERE id IN (9, 10); UPDATE pic SET tag = 'a0' WHERE id = 9; UPDATE pic SET tag = NULL WHERE id = 10;"
	  . " UPDATE pic SET tag = 'a5' WHERE id = 10; UPDATE pic SET tag = 'a4' WHERE id = 11; DELETE FROM pic WHERE id = 11");
is($test->sql("SELECT string_agg(key || ' ' || etag, ',' ORDER BY key) FROM oss_labels.job"), 'w10 A5,w9 A0',
	'an update replaces the job of the ETag before');
$test->sql("SELECT oss_labels.resume()");
ok($test->wait_empty, 'which are done');
is(spent, '2 labels, 0 HEAD', 'by a request each');
$test->sql("ALTER TABLE pic RENAME tag TO checksum; UPDATE pic SET checksum = 'r1' WHERE id = 12");
ok($test->wait_sql("SELECT etag FROM oss_labels.image WHERE key = 'w12'", 'R1'), 'a renamed column is followed');
like($test->sql_error("SELECT oss_labels.watch('pic', 'key', bucket => 'tenlabels', etag_column => 'id')"),
	qr/42804.*column "id" of "pic" is of type integer/s, 'a column that is no text is refused');
like($test->sql_error("SELECT oss_labels.watch('pic', 'key', bucket => 'tenlabels', etag_column => 'nosuch')"), qr/42703/,
	'and one that is not there');
$test->sql("SELECT oss_labels.unwatch('pic')");
$test->wait_empty;
spent;

# object_info(): one HEAD, what the service says
$oss->put('examplebucket', 'info.jpg', 'abc');
is($test->sql("SELECT etag, size, last_modified BETWEEN now() - interval '1 hour' AND now() + interval '1 minute', content_type,"
		  . " storage_class, object_type, current_version_id, headers ->> 'x-oss-hash-crc64ecma', headers ->> 'etag'"
		  . " FROM oss_labels.object_info('examplebucket', 'info.jpg')"),
	'900150983CD24FB0D6963F7D28E17F72|3|t|image/jpeg|Standard|Normal||3231342946509354535|"900150983CD24FB0D6963F7D28E17F72"',
	'object_info() gives the headers');
is(spent, '0 labels, 1 HEAD', 'by one HEAD');
$oss->set(object => bucket => 'examplebucket', key => 'info.jpg', etag => 'W/"ab-5"', class => 'IA');
is($test->sql("SELECT etag, storage_class FROM oss_labels.object_info('examplebucket', 'info.jpg')"), 'AB-5|IA',
	'an ETag of another form, another storage class');
$oss->set(object => bucket => 'examplebucket', key => 'info.jpg', version => 'v7', content => 'example.jpg');
is($test->sql("SELECT current_version_id, size > 3 FROM oss_labels.object_info('examplebucket', 'info.jpg', 'v7')"), 'v7|t',
	'a version');
like($test->sql_error("SELECT * FROM oss_labels.object_info('examplebucket', 'nosuch.jpg')"),
	qr/P0002: could not get the headers of "oss:\/\/examplebucket\/nosuch.jpg": the object does not exist/,
	'it raises the errors of detect()');
is($test->sql("SELECT etag IS NULL, http_status, error_code FROM oss_labels.try_object_info('examplebucket', 'nosuch.jpg')"),
	't|404|NoSuchKey', 'try_object_info() gives them as a row');
is($test->sql("SELECT http_status, error_code, request_id IS NOT NULL FROM oss_labels.try_object_info('examplebucket', 'info.jpg')"),
	'200||t', 'and none');
like($test->sql_error("SELECT * FROM oss_labels.object_info('examplebucket', '/x')"),
	qr/22023: could not get the headers of/, 'a bad key is an error');
spent;
is($test->sql("SELECT count(*) FROM oss_labels.object_info(NULL, 'x'), oss_labels.try_object_info('examplebucket', NULL)"), 0,
	'NULL gives no row');
$test->sql_error("SELECT * FROM oss_labels.object_info('examplebucket', '/x')");
is(spent, '0 labels, 0 HEAD', 'both without a request');

# a HEAD needs no right to process images, and its denials do not count against labels
$oss->set(credential => id => 'headonly', secret => 'h', deny_imm => 1);
$test->sql("CREATE SERVER heads FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', endpoint '"
	  . $oss->http_endpoint . "'); CREATE USER MAPPING FOR CURRENT_USER SERVER heads OPTIONS (access_key_id 'headonly', access_key_secret 'h')");
is($test->sql("SELECT count(l.error_code), count(o.etag) FROM generate_series(1, 15) i,"
		  . " LATERAL oss_labels.try_detect('tenlabels', 'x' || i, server => 'heads') l,"
		  . " LATERAL oss_labels.object_info('tenlabels', 'x' || i, server => 'heads') o"), '15|15',
	'who may not process images may ask for headers');
$test->sql('DROP SERVER heads CASCADE');
spent;

# pipelined, and beneath tag(): nothing is paid for what did not change
$test->sql("CREATE TABLE photo (id int, bucket text, key text); INSERT INTO photo SELECT i, 'tenlabels', 'p' || i FROM generate_series(1, 60) i;"
	  . " ANALYZE photo");
my $join = "FROM photo p, LATERAL oss_labels.object_info(p.bucket, p.key) o";
my $plan = $test->sql("EXPLAIN (COSTS OFF) SELECT * $join, LATERAL oss_labels.tag(p.bucket, p.key, thr => 0, etag => o.etag) l");
is(() = $plan =~ /OSS Labels Pipeline/g, 2, 'object_info() and tag() are both pipelined');
$oss->fault(kind => 'delay', delay => 50, scope => 'head');
is($test->sql("SELECT count(*), min(o.size) > 0 $join"), '60|t', 'sixty HEADs');
cmp_ok($test->count('most_in_flight'), '>=', 8, 'many at a time');
is(spent, '0 labels, 60 HEAD', 'sixty');
$oss->control('/reset');
is($test->sql("SELECT count(*) $join, LATERAL oss_labels.tag(p.bucket, p.key, thr => 0, etag => o.etag) l"), 600, 'tagged by their ETags');
is($test->sql("SELECT count(*) $join, LATERAL oss_labels.tag(p.bucket, p.key, thr => 0, etag => o.etag) l"), 600, 'again');
is(spent, '60 labels, 120 HEAD', 'the second time costs no labels');
ok($test->wait_sql("SELECT count(*) FROM oss_labels.image WHERE key LIKE 'p%' AND object_size > 1000 AND last_modified < now()", 60),
	'size and time are stored');
$oss->set(object => bucket => 'tenlabels', key => 'p7', etag => '"new"');
is($test->sql("SELECT count(*) $join, LATERAL oss_labels.tag(p.bucket, p.key, thr => 0, etag => o.etag) l"), 600, 'one has changed');
is(spent, '1 labels, 60 HEAD', 'and is asked for alone');
is($test->sql("SELECT count(*) FROM (SELECT * FROM photo LIMIT 5) p LEFT JOIN LATERAL oss_labels.try_object_info('nosuchbucket', p.key) o ON true"
		  . " WHERE o.error_code IS NOT NULL"), 5, 'an outer join with failures');
is($test->sql("SET oss_labels.pipeline = off; SELECT count(*) $join"), 60, 'the ordinary plan');
is($test->sql("SET oss_labels.keep = on; SELECT count(*) $join; SELECT count(*) FROM oss_labels.tag('tenlabels', 'after', thr => 0);"
		  . " SELECT count(*) FROM oss_labels.failed_job") =~ s/\n+/,/gr,
	'60,10,0', 'headers are not kept as if they were labels');
spent;

# trouble: throttles, a broken answer, headers without end, and a cancel
$oss->fault(kind => 'error', code => 'SlowDown', status => 503, scope => 'head', times => 2, key => 'p1');
is($test->sql("SELECT size > 0 FROM oss_labels.object_info('tenlabels', 'p1')"), 't', 'a throttled HEAD is repeated');
is(spent, '0 labels, 3 HEAD', 'until it is answered');
$oss->control('/reset');
$oss->fault(kind => 'headers', scope => 'head');
like($test->sql_error("SELECT * FROM oss_labels.object_info('tenlabels', 'p1')"), qr/could not get the headers of .*too large/,
	'headers without end are an error');
$oss->control('/reset');
$oss->fault(kind => 'reset', scope => 'head', times => 1);
is($test->sql("SELECT size > 0 FROM oss_labels.object_info('tenlabels', 'p1')"), 't', 'a broken connection');
$oss->control('/reset');
$oss->fault(kind => 'hang', scope => 'head');
like($test->sql_error("SET statement_timeout = '200ms'; SELECT * FROM oss_labels.object_info('tenlabels', 'p1')"), qr/57014/,
	'a statement_timeout ends the wait');
$oss->control('/reset');

# who may not
$test->sql('CREATE ROLE nobody');
like($test->sql_error("SET ROLE nobody; SELECT * FROM oss_labels.object_info('tenlabels', 'p1')"), qr/42501/, 'PUBLIC may not call it');

$node->stop;
done_testing();
