# Whatever way a query is written, many requests are in flight: each form gives the
# rows of oss_labels.pipeline = off, for as many requests, and with LIMIT 10 for at
# most 2 x 10 + 1.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

use lib 'test/perl';
use OssTest;

my $t = OssTest->new;
my ($node, $oss) = ($t->{node}, $t->{oss});
$t->ok(<<SQL);
CREATE TABLE photo (id integer PRIMARY KEY, bucket text, key text, note text, wanted text DEFAULT 'Cat');
INSERT INTO photo SELECT i, 'album', 'p' || i || '.jpg' FROM generate_series(1, 1000) i;
CREATE TABLE few AS SELECT * FROM photo WHERE id <= 40;
CREATE TABLE parted (LIKE photo) PARTITION BY RANGE (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (500);
INSERT INTO parted SELECT * FROM few;
ANALYZE;
CREATE FUNCTION definer(b text, k text) RETURNS TABLE (label_name text, confidence float8)
	LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS 'SELECT l.label_name, l.label_confidence FROM oss_labels.detect(b, k) l WHERE l.label_level >= 0';
CREATE FUNCTION volatile_set(b text, k text) RETURNS SETOF text
	LANGUAGE sql VOLATILE AS 'SELECT label_name FROM oss_labels.detect(\$1, \$2) ORDER BY 1 DESC LIMIT 2';
CREATE FUNCTION stable_set(b text, k text) RETURNS SETOF text
	LANGUAGE sql STABLE AS 'SELECT label_name FROM oss_labels.detect(\$1, \$2)';
CREATE FUNCTION names(k text) RETURNS text[] LANGUAGE sql STABLE STRICT
	BEGIN ATOMIC SELECT array_agg(label_name) FROM oss_labels.try_detect('album', k); END;
CREATE FUNCTION document(k text) RETURNS jsonb LANGUAGE sql VOLATILE SECURITY DEFINER
	AS \$\$ SELECT oss_labels.detect_json('album', k) \$\$;
SQL

# Forget counters, faults and what is stored.
sub reset_all
{
	my ($delay) = @_;

	# what a LIMIT has cancelled is still being answered
	sleep 0.01 while $oss->count('label_in_flight') > 0;
	$oss->control('/reset');
	$oss->control('/bucket?name=album&image=examplebucket/example.jpg&labels=3');
	$oss->control('/fault?delay=' . 20 * OssServer::patience()) if $delay;
	$node->safe_psql('postgres', 'TRUNCATE oss_labels.image CASCADE');
	return;
}

# The forms, of a table for TABLE; those whose rows may end early have a LIMIT.
my @forms = (
	[ 'lateral', 'SELECT p.id, l.label_name FROM TABLE p, LATERAL oss_labels.detect(p.bucket, p.key) l', 'SELECT count(*) FROM (QUERY LIMIT 30) x' ],
	[ 'left join', 'SELECT p.id, l.label_name FROM TABLE p LEFT JOIN LATERAL oss_labels.detect(p.bucket, p.key) l ON l.label_level = 9' ],
	[ 'anti join', 'SELECT p.id FROM TABLE p LEFT JOIN LATERAL oss_labels.detect(p.bucket, p.key) l ON l.label_level = 9 WHERE l.label_name IS NULL' ],
	[ 'aggregate in lateral', 'SELECT p.id, l.names FROM TABLE p, LATERAL (SELECT array_agg(label_name) AS names FROM oss_labels.detect(p.bucket, p.key)) l' ],
	[ 'top labels in lateral', 'SELECT p.id, l.label_name FROM TABLE p, LATERAL (SELECT * FROM oss_labels.detect(p.bucket, p.key) ORDER BY label_confidence DESC LIMIT 1) l' ],
	[ 'distinct in lateral', 'SELECT p.id, l.label_level FROM TABLE p, LATERAL (SELECT DISTINCT label_level FROM oss_labels.detect(p.bucket, p.key)) l', 'SELECT count(*) FROM (QUERY LIMIT 10) x' ],
	[ 'window in lateral', 'SELECT p.id, l.n FROM TABLE p, LATERAL (SELECT row_number() OVER (ORDER BY label_confidence) AS n FROM oss_labels.detect(p.bucket, p.key)) l WHERE l.n = 1' ],
	[ 'array', 'SELECT p.id, ARRAY(SELECT label_name FROM oss_labels.detect(p.bucket, p.key)) FROM TABLE p' ],
	[ 'scalar sublink', 'SELECT p.id, (SELECT max(label_confidence) FROM oss_labels.detect(p.bucket, p.key)) FROM TABLE p' ],
	[ 'sublink in an expression', 'SELECT p.id, upper(coalesce((SELECT min(label_name) FROM oss_labels.detect(p.bucket, p.key)), p.key)) || 1 FROM TABLE p' ],
	[ 'sublink, ordered', 'SELECT p.id, (SELECT count(*) FROM oss_labels.detect(p.bucket, p.key)) FROM TABLE p ORDER BY p.id' ],
	[ 'exists', 'SELECT p.id FROM TABLE p WHERE EXISTS (SELECT FROM oss_labels.detect(p.bucket, p.key) l WHERE l.label_level >= 0)' ],
	[ 'not exists', 'SELECT p.id FROM TABLE p WHERE NOT EXISTS (SELECT FROM oss_labels.detect(p.bucket, p.key) l WHERE l.label_level = 9)' ],
	[ 'exists behind a condition', 'SELECT p.id FROM TABLE p WHERE p.id % 2 >= 0 AND EXISTS (SELECT FROM oss_labels.detect(p.bucket, p.key) l WHERE l.label_level >= 0)' ],
	[ 'in', "SELECT p.id FROM TABLE p WHERE upper(p.wanted) NOT IN (SELECT label_name FROM oss_labels.detect(p.bucket, p.key))" ],
	[ 'two conditions', 'SELECT p.id FROM TABLE p WHERE EXISTS (SELECT FROM oss_labels.detect(p.bucket, p.key) l WHERE l.label_level >= 0)
		AND NOT EXISTS (SELECT FROM oss_labels.detect(p.bucket, p.key) l WHERE l.label_level = 9)' ],
	[ 'condition and select list', 'SELECT p.id, (SELECT count(*) FROM oss_labels.detect(p.bucket, p.key)) FROM TABLE p
		WHERE EXISTS (SELECT FROM oss_labels.detect(p.bucket, p.key) l WHERE l.label_level >= 0)' ],
	[ 'sublink over a join', 'SELECT p.id, (SELECT count(*) FROM oss_labels.detect(p.bucket, q.key)) FROM TABLE p JOIN TABLE q USING (id)' ],
	[ 'sublink over groups', 'SELECT p.bucket, p.key, (SELECT count(*) FROM oss_labels.detect(p.bucket, p.key)) FROM TABLE p GROUP BY p.bucket, p.key' ],
	[ 'sublink of an aggregate', 'SELECT p.id, (SELECT count(*) FROM oss_labels.detect(\'album\', max(p.key))) FROM TABLE p GROUP BY p.id' ],
	[ 'json', 'SELECT p.id, oss_labels.detect_json(p.bucket, p.key) AS j FROM TABLE p' ],
	[ 'json in an expression', "SELECT p.id, jsonb_array_length(oss_labels.detect_json(p.bucket, p.key) -> 'Labels') AS n FROM TABLE p" ],
	[ 'json in from', "SELECT p.id, j FROM TABLE p, oss_labels.detect_json(p.bucket, p.key) j" ],
	[ 'json elements', "SELECT p.id, e ->> 'LabelName' AS name FROM TABLE p, jsonb_array_elements(oss_labels.detect_json(p.bucket, p.key) -> 'Labels') e", 'SELECT count(*) FROM (QUERY LIMIT 30) x' ],
	[ 'json in a condition', "SELECT p.id FROM TABLE p WHERE oss_labels.detect_json(p.bucket, p.key) ? 'Labels'" ],
	[ 'json in an aggregate', "SELECT jsonb_agg(oss_labels.detect_json(p.bucket, p.key)) FROM TABLE p", '' ],
	[ 'aggregate in HAVING', 'SELECT p.id % 4 AS m FROM TABLE p GROUP BY 1 HAVING min((SELECT count(*) FROM oss_labels.detect(p.bucket, p.key))) = 3', '' ],
	[ 'json in aggregates of grouping sets', "SELECT p.id % 2 AS a, p.id % 3 AS b, jsonb_agg(oss_labels.detect_json(p.bucket, p.key) -> 'Labels' ORDER BY p.id) FROM TABLE p GROUP BY GROUPING SETS ((1, 2), (1), (2))", '' ],
	[ 'sublink beside a window function', 'SELECT * FROM (SELECT row_number() OVER (ORDER BY p.id) AS n, p.id,
		(SELECT count(*) FROM oss_labels.detect(p.bucket, p.key)) FROM TABLE p) w WHERE n <= 40' ],
	[ 'filter of an aggregate', 'SELECT p.id % 3, count(*) FILTER (WHERE EXISTS (SELECT FROM oss_labels.detect(p.bucket, p.key) l WHERE l.label_level >= 0)) FROM TABLE p GROUP BY 1', '' ],
	[ 'aggregate in having', 'SELECT p.id % 3 FROM TABLE p GROUP BY 1 HAVING bool_or(EXISTS (SELECT FROM oss_labels.detect(p.bucket, p.key) l WHERE l.label_level >= 0))', '' ],
	[ 'filter with grouping sets', 'SELECT p.id % 2 AS a, p.id % 3 AS b, count(*) FILTER (WHERE EXISTS (SELECT FROM oss_labels.detect(p.bucket, p.key) l WHERE l.label_level >= 0)) FROM TABLE p GROUP BY GROUPING SETS ((1, 2), (1), (2))', '' ],
	[ 'ordinality', 'SELECT p.id, l.label_name, l.ordinality FROM TABLE p, oss_labels.detect(p.bucket, p.key) WITH ORDINALITY l', 'SELECT count(*) FROM (QUERY LIMIT 30) x' ],
	[ 'rows from', 'SELECT p.id, l.* FROM TABLE p, ROWS FROM (oss_labels.detect(p.bucket, p.key), generate_series(1, 3)) l', 'SELECT count(*) FROM (QUERY LIMIT 30) x' ],
	[ 'set in the select list', 'SELECT p.id, oss_labels.detect(p.bucket, p.key) FROM TABLE p', 'SELECT count(*) FROM (QUERY LIMIT 30) x' ],
	[ 'below an outer join', "SELECT g, x.name FROM generate_series(1, 40) g LEFT JOIN
		(SELECT p.id, coalesce(l.label_name, 'x') AS name FROM TABLE p, LATERAL oss_labels.detect(p.bucket, p.key) l) x ON x.id = g", '' ],
	[ 'a condition without columns', "SELECT p.id, l.label_name FROM TABLE p LEFT JOIN LATERAL oss_labels.detect(p.bucket, p.key) l ON now() > '2000-01-01'", 'SELECT count(*) FROM (QUERY LIMIT 30) x' ],
	[ 'tag', 'SELECT p.id, (SELECT count(*) FROM oss_labels.tag(p.bucket, p.key, 0)) FROM TABLE p' ],
	[ 'try_tag', 'SELECT p.id FROM TABLE p WHERE EXISTS (SELECT FROM oss_labels.try_tag(p.bucket, p.key, 0) l WHERE l.error_code IS NULL)' ],
	[ 'try_detect', 'SELECT p.id, ARRAY(SELECT http_status FROM oss_labels.try_detect(p.bucket, p.key)) FROM TABLE p' ],
	[ 'definer', 'SELECT p.id, l.* FROM TABLE p, definer(p.bucket, p.key) l', 'SELECT count(*) FROM (QUERY LIMIT 30) x' ],
	[ 'volatile wrapper', 'SELECT p.id, l FROM TABLE p, volatile_set(p.bucket, p.key) l', 'SELECT count(*) FROM (QUERY LIMIT 20) x' ],
	[ 'stable wrapper', 'SELECT p.id, l FROM TABLE p, stable_set(p.bucket, p.key) l', 'SELECT count(*) FROM (QUERY LIMIT 30) x' ],
	[ 'scalar wrapper', 'SELECT p.id, names(p.key) FROM TABLE p' ],
	[ 'json wrapper', 'SELECT p.id, document(p.key) FROM TABLE p' ],
	[ 'wrapper in a sublink', 'SELECT p.id, (SELECT count(*) FROM definer(p.bucket, p.key)) FROM TABLE p' ],
	[ 'cursor', 'SELECT p.id, (SELECT count(*) FROM oss_labels.detect(p.bucket, p.key)) FROM TABLE p', 'BEGIN; DECLARE c SCROLL CURSOR FOR QUERY; MOVE 10 FROM c; FETCH PRIOR FROM c; COMMIT' ],
);

# Run one and return rows and counters.
sub run_form
{
	my ($sql, $mode) = @_;

	reset_all($mode eq 'on');
	my ($rc, $out, $err) = $node->psql('postgres', "LOAD 'oss_labels'; SET oss_labels.pipeline = $mode; $sql");
	$out =~ s/""RequestId"": ""[^"]*""//g;
	return { rows => $out . $err, requests => $oss->count('label_requests'),
		flight => $oss->count('label_most_in_flight') };
}

for my $form (@forms)
{
	my ($name, $query, $limit) = @$form;
	my $sql = "SELECT x::text FROM ($query) x ORDER BY 1" =~ s/\bTABLE\b/few/gr;
	my $off = run_form($sql, 'off');
	my $on = run_form($sql, 'on');

	ok($on->{rows} eq $off->{rows}, "$name: rows")
	  or diag substr($on->{rows}, 0, 500), "\noff: ", substr($off->{rows}, 0, 500);
	is($on->{requests}, 40, "$name: requests");
	cmp_ok($on->{flight}, '>=', 8, "$name: in flight") or diag run_form("EXPLAIN (COSTS OFF) $sql", 'on')->{rows};
	is($off->{flight}, 1, "$name: one in flight with oss_labels.pipeline = off");
	next if defined $limit && $limit eq '';
	$limit //= 'SELECT count(*) FROM (QUERY LIMIT 10) x';
	$limit =~ s/QUERY/$query/;
	$limit =~ s/\bTABLE\b/photo/g;
	cmp_ok(run_form($limit, 'on')->{requests}, '<=', 21, "$name: requests with LIMIT")
	  or diag run_form("EXPLAIN (COSTS OFF) $limit", 'on')->{rows};
}

# ---- UPDATE ----

reset_all(1);
$node->safe_psql('postgres', "LOAD 'oss_labels'; UPDATE few SET note = (SELECT string_agg(label_name, ',') FROM oss_labels.detect(bucket, key))");
is($oss->count('label_requests'), 40, 'UPDATE ... SET: requests');
cmp_ok($oss->count('label_most_in_flight'), '>=', 8, 'UPDATE ... SET: in flight');
is($node->safe_psql('postgres', "SELECT count(*) FROM few WHERE note LIKE '%,%,%'"), 40, 'UPDATE ... SET: rows');

# ---- errors come at their turn ----

for my $query (
	"(VALUES (1, 'p1.jpg'), (2, 'p2.jpg'), (3, 'missing.jpg'), (4, 'p4.jpg')) v (i, k), LATERAL oss_labels.detect('album', v.k) x,
		LATERAL oss_labels.detect('album', x.label_name) y LIMIT 18",
	"(VALUES (1, 'p1.jpg'), (2, 'p2.jpg'), (3, 'missing.jpg')) v (i, k)
		WHERE EXISTS (SELECT FROM oss_labels.detect('album', v.k)) AND EXISTS (SELECT FROM oss_labels.detect('album', v.k, thr => 0.1)) LIMIT 2",
	"(VALUES (1, 'p1.jpg'), (2, ''), (0, 'p4.jpg')) v (i, k), LATERAL (SELECT count(*) FROM oss_labels.detect('album', 'p' || 6 / v.i)) x LIMIT 2")
{
	reset_all(0);
	$oss->control('/fault?status=404&code=NoSuchKey&key=missing.jpg');
	my %rows = map { $_ => ($node->psql('postgres', "LOAD 'oss_labels'; SET oss_labels.pipeline = $_; SELECT count(*) FROM (SELECT FROM $query) z"))[1] } qw(on off);
	is($rows{on}, $rows{off}, 'LIMIT before an error') or diag $query;
	isnt($rows{on}, '', 'has rows');
	my %error = map { $_ => ($node->psql('postgres', "LOAD 'oss_labels'; SET oss_labels.pipeline = $_; SELECT FROM " . $query =~ s/LIMIT \d+$//r))[2] } qw(on off);
	s/request id \w+// for values %error;
	is($error{on}, $error{off}, 'and the error without LIMIT');
	isnt($error{on}, '', 'is one');
}

# ---- nothing is begun that the caller may not do, or that is not evaluated ----

$node->safe_psql('postgres', <<'SQL');
CREATE ROLE nobody;
GRANT USAGE ON SCHEMA oss_labels TO nobody;
CREATE FUNCTION forbidden(k text) RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = oss_labels
	AS 'SELECT count(*) FROM detect(''album'', k)';
ALTER FUNCTION forbidden OWNER TO nobody;
SQL
for my $query (
	'SELECT forbidden(key) FROM few',
	'SELECT CASE WHEN id < 0 THEN oss_labels.detect_json(bucket, key) END FROM few',
	"SELECT coalesce(key, (SELECT max(label_name) FROM oss_labels.detect(bucket, key))) FROM few",
	'SELECT id FROM few WHERE id < 0 AND EXISTS (SELECT FROM oss_labels.detect(bucket, key))',
	'SELECT id FROM few p WHERE id > 0 OR EXISTS (SELECT FROM oss_labels.detect(bucket, key))',
	'SELECT * FROM few p, LATERAL (SELECT FROM oss_labels.detect(p.bucket, p.key) LIMIT 0) l',
	'SELECT * FROM few p LEFT JOIN LATERAL oss_labels.detect(p.bucket, p.key) l ON p.id < 0',
	'SELECT * FROM few p, LATERAL (SELECT count(*) FROM oss_labels.detect(p.bucket, p.key) WHERE p.id < 0) l')
{
	reset_all(0);
	$node->psql('postgres', "LOAD 'oss_labels'; $query");
	is($oss->count('label_requests'), 0, "none for $query");
}

# ---- calls that a node would make, or compare, elsewhere than at their row ----

$node->safe_psql('postgres', 'CREATE TABLE name AS SELECT label_name AS name FROM generate_series(1, 3) i, LATERAL (VALUES (\'x\' || i)) v (label_name)');
reset_all(0);
$node->safe_psql('postgres', "INSERT INTO name SELECT label_name FROM oss_labels.detect('album', 'p1.jpg'); CREATE UNIQUE INDEX ON name (name); ANALYZE name");
for my $query (
	"SET work_mem = '64kB'; SET hash_mem_multiplier = 1; SET enable_sort = off;
		SELECT md5(string_agg(x::text, ',' ORDER BY key)) FROM (SELECT key, note, count(oss_labels.detect_json(bucket, key)) FROM photo GROUP BY key, note) x",
	"BEGIN; DECLARE c SCROLL CURSOR FOR SELECT id, (SELECT count(*) FROM oss_labels.detect(bucket, key)) FROM few LIMIT 20;
		FETCH 5 FROM c; FETCH BACKWARD 3 FROM c; FETCH 2 FROM c",
	"BEGIN; DECLARE c SCROLL CURSOR FOR SELECT id, (SELECT count(*) FROM oss_labels.detect(bucket, key)) FROM few UNION ALL SELECT 0, 0;
		FETCH 5 FROM c; FETCH BACKWARD 3 FROM c; FETCH 2 FROM c",
	"SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off; SET enable_material = off;
		SELECT p.id, n.name FROM (SELECT * FROM few WHERE id <= 2 OFFSET 0) p JOIN name n ON n.name = (SELECT max(label_name) FROM oss_labels.detect(p.bucket, p.key)) ORDER BY 1")
{
	my $off = run_form($query, 'off');
	my $on = run_form($query =~ s/^(?=S)/SET client_min_messages = error; /r, 'on');

	is($on->{rows}, $off->{rows}, 'rows') or diag $query;
	isnt($on->{rows}, '', 'there are some');
	# without the pipeline, a hash aggregate that spills makes calls twice
	cmp_ok($on->{requests}, '<=', $query =~ /SCROLL/ ? 11 : $query =~ /GROUP BY/ ? 1000 : $off->{requests}, 'and no more requests');
}

# ---- memory ----

# answers of 0.7 MB: in 4 MB, no more than some at a time
reset_all(1);
$oss->control('/bucket?name=large&image=examplebucket/example.jpg&labels=4000');
is($node->safe_psql('postgres', "LOAD 'oss_labels'; SET oss_labels.concurrency = 64; SET work_mem = '4MB';
	SELECT count(*) FROM few p, LATERAL oss_labels.detect('large', p.key) l"), 160000, 'large answers: rows');
is($oss->count('label_requests'), 40, 'large answers: requests');
cmp_ok($oss->count('label_most_in_flight'), '<=', 10, 'large answers: as many as memory holds');
cmp_ok($oss->count('label_most_in_flight'), '>=', 2, 'large answers: but some');

$node->stop;
$oss->stop;
done_testing();
