# estimate(): what the run then asks for, whatever is stored, queued, repeated or
# refused; and nothing is sent meanwhile.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use lib 'test/perl';
use QueueTest;

my $test = QueueTest->new(name => 'estimate');
my ($node, $oss) = ($test->{node}, $test->{oss});
srand(my $seed = $ENV{OSS_TEST_SEED} // time);
note("OSS_TEST_SEED=$seed");

# ---- random mixes ----

$test->sql("SELECT oss_labels.pause('oss'); CREATE TABLE mix (n int, bucket text, key text, version_id text, etag text);");
$test->bucket('mixed');
$oss->set(object => bucket => 'mixed', key => "k$_", version => 'v1', content => 'x') for 1 .. 40;
my (%estimated, %asked);
for my $round (1 .. ($ENV{OSS_TEST_LONG} ? 1000 : 20))
{
	my @rows = map {
		my $key = rand() < 0.1 ? ('/bad', '', 'x' x 1100)[ rand 3 ] : 'k' . int(1 + rand 40);
		my $bucket = rand() < 0.05 ? 'Not_A_Bucket' : 'mixed';
		sprintf "(%d, %s, %s, %s, %s)", $round, rand() < 0.05 ? 'NULL' : "'$bucket'", rand() < 0.05 ? 'NULL' : "'$key'",
		  rand() < 0.2 ? "'v1'" : 'NULL', rand() < 0.15 ? "'e" . int(rand 2) . "'" : 'NULL';
	} 1 .. 50;
	my $thr = (qw(NULL 0.3 0.9))[ rand 3 ];
	my $age = ("NULL", "'1 hour'", "'0'")[ rand 2.2 ];
	my $some = join ', ', map { "'k" . int(1 + rand 40) . "'" } 1 .. 5;
	$test->sql("INSERT INTO mix VALUES " . join(', ', @rows) . ';'
		. " DELETE FROM oss_labels.image WHERE random() < 0.5;"
		. " UPDATE oss_labels.image SET tagged_at = now() - interval '2 hours' WHERE random() < 0.2;"
		. " SELECT count(oss_labels.enqueue('mixed', k)) FROM unnest(ARRAY[$some]) k;");
	my $before = $test->count;
	my $query = "SELECT bucket, key, version_id, etag FROM mix WHERE n = $round";
	my ($to_ask, $sum, $objects) = split /\|/, $test->sql("SELECT to_ask, stored + invalid + to_ask, objects FROM oss_labels.estimate('$query', $thr, $age)");
	is($test->count, $before, "round $round: no request");
	is($sum, $objects, "round $round: it adds up");
	$test->sql("SELECT count(*) FROM ($query OFFSET 0) q,"
		. " LATERAL oss_labels.try_tag(q.bucket, q.key, $thr, q.version_id, NULL, $age, q.etag) l");
	$oss->wait_count(in_flight => 0);
	is($test->count - $before, $to_ask, "round $round: the run asks for as many");
	$estimated{$to_ask}++;
}
cmp_ok(scalar keys %estimated, '>', 5, 'the mixes differ');
is($test->sql("SELECT sum(queued) > 0 FROM oss_labels.estimate('SELECT bucket, key FROM mix', max_age => '0')"), 't', 'some are queued');

# ---- no request, no write, whatever stands in the query ----

$test->role('eve');
$test->sql("GRANT SELECT ON mix TO eve; CREATE TABLE precious (key text); INSERT INTO precious VALUES ('x');"
	. " CREATE FUNCTION pays() RETURNS text LANGUAGE sql SECURITY DEFINER AS \$\$ SELECT oss_labels.detect_json('mixed', 'paid')::text \$\$;"
	. " CREATE FUNCTION drops() RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS \$\$ BEGIN DROP TABLE precious; RETURN 'x'; END \$\$;");
my $before = $test->count . ' ' . $oss->count('head_requests');
for my $query (
	"SELECT 'mixed' AS bucket, label_name AS key FROM oss_labels.detect('mixed', 'n')",
	"SELECT 'mixed' AS bucket, label_name AS key FROM oss_labels.try_tag('mixed', 'n')",
	"SELECT 'mixed' AS bucket, etag AS key FROM oss_labels.object_info('mixed', 'k1')",
	"SELECT m.bucket, l.label_name AS key FROM mix m, LATERAL oss_labels.tag(m.bucket, 'n' || m.key) l",
	"SELECT 'mixed' AS bucket, public.pays() AS key",
	"SELECT set_config('oss_labels.allow_requests', 'on', false) AS bucket, public.pays() AS key",
	"SELECT 'mixed' AS bucket, public.drops() AS key",
	"SELECT 'mixed' AS bucket, oss_labels.enqueue('mixed', 'n')::text AS key",
	"SELECT 'mixed' AS bucket, 'a' AS key) q; DROP TABLE precious; SELECT * FROM (SELECT 'mixed' AS bucket, 'a' AS key",
	"SELECT 'mixed' AS bucket, 'a' AS key; DROP TABLE precious",
	"SELECT 'mixed' AS bucket, 'a' AS key UNION SELECT key, key FROM precious",
	"/* */ COMMIT; DROP TABLE precious",
	"DO \$x\$ BEGIN DROP TABLE precious; END \$x\$",
	"CALL oss_labels.process_queue()",
	"SELECT bucket, key FROM mix /*",
	"SELECT bucket, key FROM oss_labels.image")
{
	my $literal = $query =~ s/'/''/gr;
	like($test->sql_error("SET ROLE eve; SELECT * FROM oss_labels.estimate('$literal')"), qr/ERROR:  [0-9A-Z]{5}/, "eve: $query");
}
is($test->count . ' ' . $oss->count('head_requests'), $before, 'nothing was sent');
is($test->sql('SELECT count(*) FROM precious'), 1, 'nothing was dropped');
is($test->sql("SELECT count(*) FROM oss_labels.job WHERE key = 'n'"), 0, 'nothing was queued');
like($test->sql_error("SELECT * FROM oss_labels.estimate('SELECT bucket, kye FROM mix')"), qr/LINE 1: SELECT bucket, kye FROM mix\n +\^/,
	'an error of the query has its place');
is($test->sql("BEGIN; SAVEPOINT s; DO \$\$ BEGIN PERFORM FROM oss_labels.estimate('SELECT 1/0'); EXCEPTION WHEN OTHERS THEN NULL; END \$\$;"
		. " INSERT INTO precious VALUES ('y'); SELECT count(*) > 0 FROM oss_labels.detect('mixed', 'after'); COMMIT"), 't',
	'after an error the transaction writes and asks again');
is($test->sql("BEGIN READ ONLY; SELECT to_ask FROM oss_labels.estimate('SELECT ''mixed'' AS bucket, ''ro'' AS key'); COMMIT"), 1, 'READ ONLY');

# ---- limits, budgets, rights ----

$test->sql("ALTER SERVER oss OPTIONS (ADD max_requests_per_second '50'); SELECT oss_labels.set_budget(1000); SELECT oss_labels.set_budget(30, bucket => 'mixed')");
is($test->sql("SELECT to_ask, cost, currency, budget_left, seconds FROM oss_labels.estimate("
		. "'SELECT ''mixed'' AS bucket, ''s'' || g AS key FROM generate_series(1, 200) g')"), '200|0.0284|USD|30|4', 'price, budget, time');
is($test->sql("SELECT max_cost, currency FROM oss_labels.budget_status ORDER BY 1"), "0.00426|USD\n0.142|USD", 'what a budget costs at most');
like($test->sql_error("CREATE ROLE poor; SET ROLE poor; SELECT * FROM oss_labels.estimate('SELECT 1')"), qr/42501/, 'it is for who may pay');
$test->sql('CREATE ROLE server_less; CALL oss_labels.grant_paying(\'server_less\')');
like($test->sql_error("SET ROLE server_less; SELECT * FROM oss_labels.estimate('SELECT ''b'' AS bucket')"), qr/42501|42704/, 'and has a server');

# ---- EXPLAIN, by the planner's statistics ----

$test->sql("CREATE TABLE planned AS SELECT 'mixed' AS bucket, 'p' || g AS key FROM generate_series(1, 300) g; ANALYZE planned;"
	. " SELECT oss_labels.set_budget(NULL); SELECT oss_labels.set_budget(NULL, bucket => 'mixed')");
$before = $test->count;
my $select = 'SELECT count(*) FROM planned p, LATERAL oss_labels.detect(p.bucket, p.key) l';
like($test->sql("EXPLAIN $select"), qr/Estimated Requests: 300\n +Estimated Cost: 0\.0426 USD/, 'EXPLAIN');
is($test->count, $before, 'sends nothing');
$test->sql($select);
is($test->count - $before, 300, 'the run asks for as many');
like($test->sql("EXPLAIN (FORMAT json) $select"), qr/"Estimated Requests": 300,\s+"Estimated Cost": "0\.0426 USD"/, 'as JSON');

$test->accounts_agree;
done_testing;
