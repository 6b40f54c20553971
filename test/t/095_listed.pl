# backfill_listed(), for inventories and other lists: by the rules of sync_bucket(),
# within a limit, in constant memory, as its caller, who can neither write nor request
# by his query.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use lib 'test/perl';
use QueueTest;

my $test = QueueTest->new(name => 'listed');
my ($node, $oss) = ($test->{node}, $test->{oss});
my $listed = 'listed, new, changed, unchanged, queued_already, skipped_suffix, skipped_size, skipped_class, skipped_invalid, repeated, over_limit';

# ---- an inventory: keys are escaped, fields quoted, delete markers empty ----

my $manifest = '{"creationTimestamp":"1642994594","destinationBucket":"dest","fileFormat":"CSV","fileSchema":"Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, StorageClass, LastModifiedDate, ETag, IsMultipartUploaded",'
  . '"files":[{"MD5checksum":"F774","key":"inv/tenlabels/i/data/a1.csv.gz","size":2046}],"sourceBucket":"tenlabels","version":"2019-09-01"}';
my @statements = map { $test->sql("SELECT $_ FROM oss_labels.inventory_columns(\$m\$$manifest\$m\$, 'public.\"My inventory\"')") } qw(create_table copy_from query);
my $csv = join '', map { join(',', map { qq("$_") } @$_) . "\n" }
  [ 'tenlabels', 'photos%2Fa+b%2B%E7%8C%AB.jpg', 'v1', 'true', 'false', 1000, 'Standard', '2026-01-01T00:00:00.000Z', 'A1', 'false' ],
  [ 'tenlabels', 'photos%2Fa+b%2B%E7%8C%AB.jpg', 'v0', 'false', 'false', 1000, 'Standard', '2025-01-01T00:00:00.000Z', 'A0', 'false' ],
  [ 'tenlabels', 'gone.jpg', 'v2', 'true', 'true', '', '', '2026-01-01T00:00:00.000Z', '', '' ],
  [ 'tenlabels', 'old.jpg', 'v3', 'true', 'false', 1000, 'Archive', '2026-01-01T00:00:00.000Z', 'A2', 'true' ],
  [ 'tenlabels', 'big.jpg', 'v4', 'true', 'false', 30000000, 'IA', '2026-01-01T00:00:00.000Z', 'A3', 'true' ],
  [ 'tenlabels', 'a.txt', 'v5', 'true', 'false', 10, 'Standard', '2026-01-01T00:00:00.000Z', 'A4', 'false' ],
  [ 'tenlabels', 'quote%22d%27s.jpg', 'v6', 'true', 'false', 10, 'Standard', '2026-01-01T00:00:00.000Z', 'A5', 'false' ];
$test->sql("$statements[0];\n$statements[1];\n$csv\\.\n");
is($test->sql('SELECT count(*) FROM public."My inventory"'), 7, 'an inventory is loaded by the statements');
is($test->sql("SELECT $listed FROM oss_labels.backfill_listed(\$q\$$statements[2]\$q\$)"), '5|2|0|0|0|1|1|1|0|0|0', 'its objects are judged');
$test->wait_empty;
is($test->count, 2, 'one request for each image');
is($test->sql("SELECT string_agg(key || '=' || etag, ' ' ORDER BY key) FROM oss_labels.image"), "photos/a b+猫.jpg=A1 quote\"d's.jpg=A5", 'by the keys as they are');
ok($test->wait_sql("SELECT state || ' ' || stored || ' ' || spent FROM oss_labels.bucket_sync", 'done 2 2'), 'and it is in bucket_sync');
is($test->sql("SELECT $listed FROM oss_labels.backfill_listed(\$q\$$statements[2]\$q\$)"), '5|0|0|2|0|1|1|1|0|0|0', 'again: nothing has changed');
is($test->count, 2, 'and nothing is asked for');

# ---- as a role: a limit, doubles, names that can be no object's, several buckets ----

$test->role('app');
$test->role('eve');
$test->sql("GRANT EXECUTE ON FUNCTION oss_labels.backfill_listed, oss_labels.backfill_rows, oss_labels.listed_rows, oss_labels.listed_query, oss_labels.event_time,"
	  . " oss_labels.take_listed, oss_labels.sync_list, oss_labels.cancel_sync, oss_labels.sync_bucket TO app, eve;"
	  . " GRANT SELECT ON oss_labels.bucket_sync TO app, eve;"
	  . " CREATE TABLE list (bucket text, key char(40), size integer, etag text, last_modified timestamp);"
	  . " INSERT INTO list SELECT 'tenlabels', 'l' || g || '.jpg', 100, 'E', '2026-01-01' FROM generate_series(1, 30) g;"
	  . " INSERT INTO list SELECT bucket, key, size, 'OLD', '2025-01-01' FROM list;"
	  . " INSERT INTO list VALUES (NULL, 'x.jpg'), ('tenlabels', NULL), ('No', 'x.jpg'), ('tenlabels', '/x.jpg');"
	  . " GRANT SELECT ON list TO app");
$test->bucket('second');
$test->sql("INSERT INTO list VALUES ('second', 's1.png'), ('second', 's2.png'), ('second', 's2.png')");
my $query = "SELECT in_bucket, $listed FROM oss_labels.backfill_listed('SELECT * FROM list', %s) ORDER BY 1";
sub as { my ($role, $sql) = @_; return $test->sql("SET ROLE $role; $sql") }
my $before = $test->count;
is(as('app', sprintf $query, 'dry_run => true'), "second|3|2|0|0|0|0|0|0|0|1|0\ntenlabels|62|30|0|0|0|0|0|0|2|30|0\n|2|0|0|0|0|0|0|0|2|0|0", 'a dry run counts');
is($test->sql("SELECT (SELECT count(*) FROM oss_labels.job) + (SELECT count(*) FROM oss_labels.sync WHERE requester = 'app'::regrole)"), 0, 'and leaves nothing');
is(as('app', "SELECT sum(cost), max(currency) FROM oss_labels.backfill_listed('TABLE list', dry_run => true)"), '0.004544|USD', 'it tells the price');
is(as('app', sprintf $query, 'max_requests => 12'), "second|3|2|0|0|0|0|0|0|0|1|0\ntenlabels|62|10|0|0|0|0|0|0|2|30|20\n|2|0|0|0|0|0|0|0|2|0|0", 'a limit holds for all buckets');
$test->wait_empty;
is($test->count - $before, 12, 'exactly so many are sent');
is(as('app', sprintf $query, 'max_requests => 12') =~ s/.*^(tenlabels\S*)\n.*/$1/smr, 'tenlabels|62|12|0|10|0|0|0|0|2|30|8', 'the next call goes on');
$test->wait_empty;
is($test->count - $before, 24, 'with as many');
is($test->sql("SELECT count(*), count(*) FILTER (WHERE etag = 'E') FROM oss_labels.image WHERE key ^@ 'l'"), '22|22', 'of a key that is listed twice the latest content counts');
is($test->sql("SELECT string_agg(DISTINCT requester, ' ') FROM oss_labels.usage WHERE bucket = 'second'"), 'app', 'the caller pays');

# ---- nothing in the query writes or asks; nobody uses another's list ----

my $ids = as('app', "SELECT sync_id FROM oss_labels.backfill_listed('SELECT ''tenlabels'' AS bucket, ''q.jpg'' AS key')");
like($test->sql_error("SET ROLE eve; SELECT oss_labels.take_listed($ids, '{z.jpg}', '{1}', '{E}', '{now}', '{NULL}', '{f}', false)"), qr/42704/, "another's list");
$test->wait_empty;
$test->sql("CREATE TABLE precious (key text); INSERT INTO precious VALUES ('x'); GRANT ALL ON precious TO app;"
	  . " CREATE FUNCTION drops() RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS \$\$ BEGIN DROP TABLE precious; RETURN 'x'; END \$\$");
$before = $test->count . ' ' . $oss->count('head_requests');
for my $bad (
	"SELECT 'tenlabels' AS bucket, label_name AS key FROM oss_labels.detect('tenlabels', 'n')",
	"SELECT set_config('oss_labels.allow_requests', 'on', true) AS bucket, oss_labels.detect_json('tenlabels', 'n')::text AS key",
	"SELECT set_config('transaction_read_only', 'off', true) AS bucket, public.drops() AS key",
	"SELECT 'tenlabels' AS bucket, public.drops() AS key",
	"SELECT oss_labels.enqueue('tenlabels', 'n')::text AS key",
	"SELECT 'a' AS key) q; DROP TABLE precious; SELECT * FROM (SELECT 'a' AS key",
	"SELECT 'a' AS key; DROP TABLE precious",
	"DELETE FROM precious RETURNING key",
	"WITH d AS (DELETE FROM precious RETURNING key) SELECT * FROM d",
	"SELECT key FROM precious FOR UPDATE",
	"SELECT key INTO copy FROM precious",
	"COMMIT", "DROP TABLE precious", "SELECT bucket FROM list", "SELECT 1", "", "SELECT bucket AS key FROM oss_labels.sync")
{
	my $literal = $bad =~ s/'/''/gr;
	like($test->sql_error("SET ROLE app; SELECT * FROM oss_labels.backfill_listed('$literal', bucket => 'tenlabels')"), qr/ERROR:  [0-9A-Z]{5}/, "refused: $bad");
}
is($test->count . ' ' . $oss->count('head_requests'), $before, 'nothing was sent');
is($test->sql("SELECT count(*) FROM precious"), 1, 'and nothing written');
is($test->sql("SET search_path = public; BEGIN; SELECT sum(listed) FROM oss_labels.backfill_listed('SELECT key FROM precious', bucket => 'tenlabels');"
	  . " INSERT INTO precious VALUES ('y'); COMMIT; SHOW search_path"), "1\npublic", 'the transaction writes on, with its own search_path');

# ---- a long list, in constant memory ----

my $session = $node->background_psql('postgres');
my $pid = $session->query('SELECT pg_backend_pid()');
sub memory { return slurp_file("/proc/$pid/status") =~ /^VmHWM:\s+(\d+)/m ? $1 / 1024 : die }
my @used;
$session->query("SET work_mem = '1MB'");
for my $rows (5_000, 60_000)
{
	is($session->query("SELECT sum(new) FROM oss_labels.backfill_listed('SELECT ''tenlabels'' AS bucket, repeat(''k'', 200) || g || ''.jpg'' AS key FROM generate_series(1, $rows) g', dry_run => true)"), $rows, "$rows objects");
	push @used, memory();
}
cmp_ok($used[1] - $used[0], '<', OssServer::sizes_tell() ? 12 : 1e9, 'take no more memory') or diag("@used MB");
$session->quit;

$test->accounts_agree;
$node->stop;
done_testing();
