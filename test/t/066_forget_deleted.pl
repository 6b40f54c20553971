# watch(forget_deleted): the labels of an image go with the last row that has it, soon
# after the commit; the user's statement neither fails nor waits.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use lib 'test/perl';
use QueueTest;

my $test = QueueTest->new(name => 'forget');
my ($node, $oss) = ($test->{node}, $test->{oss});

# The stored keys of a prefix.
sub stored { return "SELECT coalesce(string_agg(key, ',' ORDER BY key), '') FROM oss_labels.image WHERE key LIKE '$_[0]%'" }
sub gone { my ($prefix, $left, $what) = @_; return ok($test->wait_sql(stored($prefix), $left), $what) }

# All that was deleted is looked at.
sub seen { return ok($test->wait_sql('SELECT count(*) FROM oss_labels.deleted_row', 0), "$_[0]: seen") }

my $watch = "bucket => 'tenlabels', forget_deleted => true";
$test->sql("CREATE TABLE pic (id int PRIMARY KEY, key text, title text)");
like($test->sql_error("SELECT oss_labels.watch('pic', 'key', $watch)"),
	qr/55000: forget_deleted needs an index on column "key" of "pic".*HINT:\s+CREATE INDEX ON pic \(key\)/s, 'it needs an index');
$test->sql("CREATE INDEX ON pic (key); SELECT oss_labels.watch('pic', 'key', $watch);"
	  . " INSERT INTO pic SELECT i, 'a' || i FROM generate_series(1, 6) i; INSERT INTO pic VALUES (10, 'a1')");
$test->wait_empty;
gone('a', 'a1,a2,a3,a4,a5,a6', 'six images are tagged');
$test->sql("SELECT oss_labels.correct('tenlabels', 'a2', 'Mine', true)");

# the last row that has an image
$test->sql('DELETE FROM pic WHERE id IN (1, 2)');
gone('a', 'a1,a3,a4,a5,a6', 'a deleted row takes its labels along, but not those that another row has');
is($test->sql("SELECT count(*) FROM oss_labels.image_label WHERE image_id = oss_labels.image_id('tenlabels', 'a2')"), 0, 'all of them');
$test->sql('DELETE FROM pic WHERE id = 10');
gone('a', 'a3,a4,a5,a6', 'with the last one they go');
$test->sql("UPDATE pic SET title = 't'; UPDATE pic SET id = id + 100; UPDATE pic SET key = 'b3' WHERE key = 'a3'");
gone('a', 'a4,a5,a6', 'a changed key is a deleted one, another column is not');
$test->wait_empty;
is($test->sql(stored('b')), 'b3', 'and the new one is tagged');

# a rollback, a savepoint, a row that is written again
$test->sql("BEGIN; DELETE FROM pic WHERE key = 'a4'; ROLLBACK; BEGIN; SAVEPOINT s; DELETE FROM pic; ROLLBACK TO s; COMMIT");
my $before = $test->count;
$test->sql("BEGIN; DELETE FROM pic WHERE key = 'a5'; INSERT INTO pic VALUES (205, 'a5'); COMMIT");
seen('a row that is written again');
$test->wait_empty;
is($test->sql(stored('a')), 'a4,a5,a6', 'nothing of it is forgotten');

# other tables: one that is watched keeps the image; so does one that cannot be asked
$test->sql("CREATE TABLE other (bucket text, file varchar(50)); CREATE INDEX ON other (bucket, file);"
	  . " INSERT INTO other VALUES ('tenlabels', 'a4'), ('examplebucket', 'a5');"
	  . " SELECT oss_labels.watch('other', 'file', bucket_column => 'bucket')");
$test->sql("DELETE FROM pic WHERE key IN ('a4', 'a5')");
gone('a', 'a4,a6', 'what a row of another watched table has, in this bucket, stays');
$test->sql("DELETE FROM other WHERE file = 'a4'");
seen('of a table without forget_deleted');
is($test->sql(stored('a')), 'a4,a6', 'nothing is forgotten');
$test->sql("CREATE TABLE noindex (key text); SELECT oss_labels.watch('noindex', 'key', bucket => 'tenlabels');"
	  . " INSERT INTO pic VALUES (301, 'a4'); DELETE FROM pic WHERE id = 301");
seen('beside a table without index');
is($test->sql(stored('a')), 'a4,a6', 'which may have it, nothing is forgotten');
$test->sql("SELECT oss_labels.watch('noindex', 'key', bucket => 'otherbucket'); INSERT INTO pic VALUES (301, 'a4')");
$test->wait_empty;
$test->sql('DELETE FROM pic WHERE id = 301');
gone('a', 'a6', 'but for one of another bucket');
$test->sql("DROP TABLE noindex; SELECT oss_labels.unwatch('other')");

# columns of other types of text, as far as their indexes compare texts
my @typed = ('b char(20), k text', 'b char(20), k text', 'b name, k text', 'b name, k text', 'b text, k name', 'b text, k char(20)',
	'b varchar(20), k varchar(20)', 'b text COLLATE "und-x-icu", k text COLLATE "und-x-icu"');
my @index = ('k', 'k, b', 'k', 'k, b', 'k', 'b, k', 'b, k', 'k, b');
for my $i (0 .. $#typed)
{
	$test->sql("CREATE TABLE typed$i ($typed[$i]); CREATE INDEX ON typed$i ($index[$i]); SELECT oss_labels.watch('typed$i', 'k', bucket_column => 'b');"
		  . " INSERT INTO typed$i VALUES ('tenlabels', 't$i'), ('otherbucket', 'tx'); INSERT INTO pic VALUES (5000 + $i, 't$i')");
}
$test->sql("INSERT INTO pic VALUES (5999, 'tx')");
$test->wait_empty;
$test->sql('DELETE FROM pic WHERE id >= 5000');
seen('beside tables of other types');
is($test->sql(stored('t')), join(',', map { "t$_" } 0 .. $#typed) . ',tx', 'whatever the type of its columns, a row keeps its image');
$test->sql("DROP TABLE typed$_") for 4, 5;
$test->sql("INSERT INTO pic VALUES (5999, 'tx')");
$test->wait_empty;
$test->sql('DELETE FROM pic WHERE id >= 5000');
gone('t', join(',', map { "t$_" } 0 .. $#typed), 'and no other');
$test->sql("DROP TABLE typed$_") for 0 .. 3, 6, 7;

# a row that is not committed yet
$test->sql("CREATE TABLE late (k text PRIMARY KEY); SELECT oss_labels.watch('late', 'k', bucket => 'tenlabels');"
	  . " INSERT INTO pic VALUES (6001, 'u1'), (6002, 'u2'), (6003, 'u3')");
$test->wait_empty;
my $asked = $test->count;
my $writer = $node->background_psql('postgres');
$writer->query_safe("BEGIN; INSERT INTO late VALUES ('u1'); SAVEPOINT s; INSERT INTO late VALUES ('u2'); ROLLBACK TO s; INSERT INTO late VALUES ('u3')");
$test->sql("DELETE FROM pic WHERE key IN ('u1', 'u2')");
gone('u', 'u1,u3', 'an uncommitted row keeps its image for the time');
$writer->query_safe('COMMIT');
seen('then');
$test->wait_empty;
is($test->sql(stored('u')), 'u1,u3', 'and when it is committed');
is($test->count, $asked, 'for which nothing is asked again');
$writer->query_safe("BEGIN; DELETE FROM late; INSERT INTO late VALUES ('u3')");
$test->sql("DELETE FROM pic WHERE key = 'u3'");
$writer->query_safe('ROLLBACK');
$writer->quit;
seen('beside a row that is replaced and rolled back');
is($test->sql(stored('u')), 'u1,u3', 'which keeps it');
$test->sql("DROP TABLE late");

# partitions, a condition, and columns that were renamed
$test->sql("CREATE TABLE part (id int, key text, ok bool) PARTITION BY RANGE (id); CREATE INDEX ON part (key);"
	  . " CREATE TABLE part1 PARTITION OF part FOR VALUES FROM (0) TO (100); CREATE TABLE part2 (key text, ok bool, id int);"
	  . " ALTER TABLE part ATTACH PARTITION part2 FOR VALUES FROM (100) TO (200);"
	  . " SELECT oss_labels.watch('part', 'key', $watch, condition => 'ok');"
	  . " INSERT INTO part VALUES (1, 'p1', true), (101, 'p1', true), (2, 'p2', true), (102, 'p3', true), (3, 'p3', false)");
$test->wait_empty;
$test->sql("ALTER TABLE part RENAME key TO file; UPDATE part SET ok = false WHERE file = 'p2'; DELETE FROM part WHERE id IN (1, 102)");
seen('of partitions');
is($test->sql(stored('p')), 'p1,p2,p3', 'a row of another partition, or one that the condition leaves out, keeps the image');
$test->sql("DELETE FROM part WHERE file IN ('p1', 'p2')");
gone('p', 'p2,p3', 'what no row has is forgotten, if the condition held');

# trouble: a locked image, a locked table, a trigger that raises, a database without the right table
$test->sql("SELECT oss_labels.unwatch('part'); INSERT INTO pic SELECT 400 + i, 'c' || i FROM generate_series(1, 5) i");
$test->wait_empty;
my $holder = $node->background_psql('postgres');
$holder->query_safe("BEGIN; SELECT FROM oss_labels.image WHERE key = 'c1' FOR UPDATE");
my $start = time;
$test->sql("DELETE FROM pic WHERE key IN ('c1', 'c2')");
cmp_ok(time - $start, '<', 3, 'a locked image holds no DELETE up');
gone('c', 'c1,c3,c4,c5', 'nor other images');
$holder->query_safe('ROLLBACK');
$test->sql("DELETE FROM pic WHERE key = 'c3'");
gone('c', 'c4,c5', 'and is forgotten later');
$holder->query_safe('BEGIN; LOCK TABLE other IN ACCESS EXCLUSIVE MODE; LOCK TABLE oss_labels.deleted_row IN ACCESS EXCLUSIVE MODE');
$start = time;
my ($status, $out, $err) = $node->psql('postgres', "DELETE FROM pic WHERE key = 'c4'");
is($status, 0, 'a locked table fails no DELETE');
cmp_ok(time - $start, '<', 5, 'nor holds it up');
$holder->query_safe('ROLLBACK');
$holder->quit;
$test->sql("CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN RAISE 'no'; END \$\$;"
	  . " CREATE TRIGGER no BEFORE DELETE ON oss_labels.image FOR EACH ROW WHEN (OLD.key = 'd1') EXECUTE FUNCTION no();"
	  . " INSERT INTO pic VALUES (501, 'd1'), (502, 'd2')");
$test->wait_empty;
$test->sql("DELETE FROM pic WHERE key IN ('d1', 'd2')");
gone('d', 'd1', 'a trigger that raises keeps its image, and no other');
seen('then');
like($test->log, qr/could not forget an image whose row was deleted: no/, 'which the log says');

# a role that may nothing but write its table
$test->role('writer');
$test->sql("CREATE TABLE own (key text PRIMARY KEY); GRANT INSERT, DELETE, SELECT ON own TO writer; SELECT oss_labels.watch('own', 'key', $watch);"
	  . " SET ROLE writer; INSERT INTO own VALUES ('e1'), ('e2')");
$test->wait_empty;
$test->sql("SET ROLE writer; DELETE FROM own WHERE key = 'e1'");
gone('e', 'e2', 'whoever deletes a row');

# a thousand at once, and in the foreground
$test->sql("INSERT INTO own SELECT 'f' || i FROM generate_series(1, 1000) i");
$test->wait_empty;
$test->sql("DELETE FROM own WHERE key LIKE 'f%' AND key <> 'f500'");
gone('f', 'f500', 'a thousand rows');
$test->sql("ALTER DATABASE postgres SET oss_labels.worker = off");
$test->wait_sql("SELECT count(*) FROM oss_labels.worker WHERE database = 'postgres' AND pid IS NOT NULL", 0);
$test->sql("DELETE FROM own WHERE key = 'f500'");
$test->sql('CALL oss_labels.process_queue()');
is($test->sql(stored('f')), '', 'process_queue() forgets, too');

# in a restored database the watched tables come last: until then nothing is forgotten
$test->sql("CREATE TABLE second (key text PRIMARY KEY); SELECT oss_labels.watch('second', 'key', $watch); INSERT INTO own VALUES ('g1'), ('g2'); INSERT INTO second VALUES ('g1')");
$test->sql('CALL oss_labels.process_queue()');
$test->sql("DELETE FROM own WHERE key LIKE 'g%'; CREATE DATABASE restored; ALTER DATABASE restored SET oss_labels.worker = off");
my $dump = PostgreSQL::Test::Utils::tempdir . '/dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, $node->connstr('postgres') ], 'dump');
my @kept;
for my $section (qw(pre-data data post-data))
{
	$node->command_ok([ 'pg_restore', '-e', "--section=$section", '-d', $node->connstr('restored'), $dump ], "restore of $section");
	$test->sql('CALL oss_labels.process_queue()', 'restored');
	push @kept, $test->sql(stored('g'), 'restored');
}
is("@kept", ' g1,g2 g1', 'restored: what no row has goes when it is known that none has it');

$node->stop;
done_testing();
