# Imported labels beside others: in transactions, from several sessions, and as
# what tag() finds.  No import asks the service for anything.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use lib 'test/perl';
use QueueTest;

my $test = QueueTest->new(name => 'import', conf => "deadlock_timeout = 200ms\n");
my $node = $test->{node};

# SQL that imports n images of a prefix in one statement.
sub import_set
{
	my ($prefix, $n, $order) = @_;
	return "SELECT oss_labels.import_label_set('tenlabels', '$prefix' || i, ARRAY['Dog', 'Label ' || i % 100],"
	  . " ARRAY[0.9, 0.5], ARRAY['Animal', NULL], 'shop' ORDER BY i " . ($order // '') . ") FROM generate_series(1, $n) i;\n";
}

# How many images of a prefix are stored, with all their labels.
sub stored
{
	my ($prefix) = @_;
	return $test->sql("SELECT count(*) FROM oss_labels.image i WHERE key LIKE '$prefix%' AND source = 'shop' AND label_count = 2"
		  . " AND 2 = (SELECT count(*) FROM oss_labels.image_label l WHERE l.image_id = i.image_id)");
}

# ---- what is imported is not asked for ----

is($test->sql(import_set('own', 50)), 50, 'fifty images are imported');
is($test->sql("SELECT count(*), count(DISTINCT label_name) FROM generate_series(1, 50) i,
	LATERAL oss_labels.tag('tenlabels', 'own' || i) l WHERE label_name = 'Dog'"), '50|1', 'tag() finds them');
is($test->sql("SELECT count(*) FROM oss_labels.search('parent:Animal')"), 50, 'and so does search()');
is($test->count, 0, 'which costs nothing');

# ---- the caller's transaction ----

$test->sql('BEGIN;' . import_set('undone', 1500) . 'ROLLBACK;');
is(stored('undone'), 0, 'what is rolled back is not there');
$test->sql('BEGIN; SAVEPOINT s;' . import_set('undone', 1500) . 'ROLLBACK TO s; ' . import_set('kept', 20) . 'COMMIT;');
is(stored('undone'), 0, 'nor what a savepoint undoes');
is(stored('kept'), 20, 'and the rest is');
my ($status, $out, $err) = $node->psql('postgres', "SELECT oss_labels.import_label_set('tenlabels', 'half' || i,
	'{Dog}', ARRAY[1.0 / (2500 - i)], NULL, 'shop') FROM generate_series(1, 2500) i");
like($err, qr/division by zero/, 'a query that fails after two thousand images');
is(stored('half'), 0, 'has stored none of them');
is($test->sql(import_set('half', 10)), 10, 'and can be tried again');
is($test->sql("DO \$\$ BEGIN PERFORM oss_labels.import_label_rows('tenlabels', 'block' || i, '{Dog,Cat}', source => 'shop')
	FROM generate_series(1, 3) i; RAISE EXCEPTION 'no'; EXCEPTION WHEN raise_exception THEN NULL; END \$\$;
	SELECT count(*) FROM oss_labels.image WHERE key LIKE 'block%'"), 0, 'nor does a block that fails');

# ---- two sessions ----

my $first = $test->session('BEGIN;' . import_set('both', 300));
my $second = $node->background_psql('postgres', on_error_stop => 0);
$second->query_until(qr/asked/, "\\echo asked\n" . import_set('both', 300, 'DESC'));
ok($test->wait_sql("SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"), 'two import the same images');
is($test->sql(import_set('other', 300)), 300, 'others are not in their way, with the same labels');
$first->query_safe('COMMIT');
is($second->query_safe('SELECT 1'), "300\n1", 'the second has them when the first has committed');
is(stored('both'), 300, 'each once');
$_->quit for $first, $second;

my $script = $node->basedir . '/import.sql';
append_to_file($script, "\\set n random(0, 1)\n\\if :n\n" . import_set('pgbench', 200) . "\\else\n"
	  . import_set('pgbench', 200, 'DESC') . "\\endif\n");
$node->command_ok([ 'pgbench', '-n', '-c', 6, '-j', 2, '-t', 5, '-f', $script, 'postgres' ],
	'sessions that import the same images in opposite orders do not deadlock');
is(stored('pgbench'), 200, 'and leave each once');

# Whoever sees that images are new may not be the first to insert them.
$test->sql('CREATE SEQUENCE round; CREATE INDEX shops ON oss_labels.image (key) WHERE source = $$shop$$;
	CREATE INDEX others ON oss_labels.image (key) WHERE source <> $$shop$$');
$script = $node->basedir . '/race.sql';
append_to_file($script, "SELECT nextval('round') / 4 AS round \\gset\n" . import_set("race' || :round || '-", 50));
$node->command_ok([ 'pgbench', '-n', '-c', 4, '-j', 2, '-t', 100, '-f', $script, 'postgres' ],
	'sessions that import the same new images at the same time do not fail');
is(stored('race'), 5050, 'and leave each once');
is($test->sql("SELECT count(*) FROM oss_labels.image_label l LEFT JOIN oss_labels.image i USING (image_id) WHERE i.image_id IS NULL"),
	0, 'without labels of what was undone');
$test->sql("CREATE EXTENSION amcheck; SELECT bt_index_check(indexrelid, true) FROM pg_index
	WHERE indrelid IN ('oss_labels.image'::regclass, 'oss_labels.image_label'::regclass)");
is($test->sql("SET enable_seqscan = off; SELECT pg_relation_size('oss_labels.others'), count(*) > 5000 FROM oss_labels.image WHERE source = 'shop'"),
	'8192|t', 'in all indexes, and in no partial one that is not for them');
$test->sql('DROP INDEX oss_labels.shops, oss_labels.others');

# ---- isolation ----

my $old = $test->session("BEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT count(*) FROM oss_labels.image;");
$test->sql("SELECT oss_labels.import_label_rows('tenlabels', 'own1', '{New}', '{1}', source => 'later')");
$old->query_until(qr/code 40001/, import_set('own', 1) . "\\echo code :SQLSTATE\n");
$old->{stderr} = '';
$old->query_safe('ROLLBACK');
is($test->sql("SELECT source FROM oss_labels.image WHERE key = 'own1'"), 'later', 'a snapshot that is too old is refused, not used');
$old->quit;

# ---- a session that is cancelled, or whose client goes ----

my $long = $node->background_psql('postgres', on_error_stop => 0);
$long->query_until(qr/asked/, "\\echo asked\n" . import_set('long', 200_000));
ok($test->wait_sql("SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
	WHERE c.relname = 'image_label' AND l.mode = 'RowExclusiveLock' AND l.pid <> pg_backend_pid()", 1), 'a long import is under way');
my $start = time;
$test->sql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE '%long%' AND pid <> pg_backend_pid()");
$long->query_until(qr/code 57014/, "\\echo code :SQLSTATE\n");
cmp_ok(time - $start, '<', 5, 'and is cancelled at once');
$long->{stderr} = '';
$long->quit;
is(stored('long'), 0, 'without a trace');

# ---- two sets of more images than are written at once, in opposite orders ----

$test->sql(q{CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.3); RETURN NULL; END $$;
	CREATE TRIGGER slow AFTER INSERT ON oss_labels.image FOR EACH STATEMENT EXECUTE FUNCTION slow()});
my @both = map { my $session = $test->session('SELECT 1;');
	$session->query_until(qr/asked/, "\\echo asked\n" . import_set('large', 3000, $_)); $session } 'ASC', 'DESC';
$_->query_until(qr/code 00000/, "\\echo code :SQLSTATE\n") for @both;
unlike(join('', map { $_->{stderr} } @both), qr/deadlock/, 'two sets in opposite orders do not deadlock');
$_->quit for @both;
is(stored('large'), 3000, 'and all of it is stored');
$test->sql('DROP FUNCTION slow() CASCADE');
like($test->sql_error("SELECT oss_labels.import_label_set('tenlabels', 'twice' || i % 1500, '{Dog}', NULL, NULL, 'shop')"
		. ' FROM generate_series(1, 3000) i'), qr/22023: "oss:.*" is imported twice/, 'an image twice, far apart');
is(stored('twice'), 0, 'stores nothing');
is($test->sql("SET work_mem = '64kB'; " . import_set('files', 2500, 'DESC')), 2500, 'a set that needs temporary files');
is(stored('files'), 2500, 'is stored');
is($test->sql("SELECT count(*) FROM pg_ls_tmpdir()"), 0, 'and leaves none');

is($test->count, 0, 'none of it asked the service for anything');
done_testing();
