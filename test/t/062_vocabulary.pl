# Rows of vocabulary belong to no transaction, and are whole all the same: after
# an error, a crash and a rollback, in a standby, under old snapshots, and beside
# a prepared transaction that changes aliases.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use lib 'test/perl';
use QueueTest;

my $test = QueueTest->new(preload => 0, standby => 1, conf => "max_prepared_transactions = 2\n");
my $node = $test->{node};

sub import_sql
{
	my ($key, $label) = @_;
	return "SELECT oss_labels.import_labels('{\"Labels\": [{\"LabelName\": \"$label\", \"LabelConfidence\": 0.9}]}', 'bucket', '$key')";
}

# How often a label stands in the table, and in the index by name.
sub found
{
	my ($label, $where) = @_;
	return ($where // $node)->safe_psql('postgres',
		"SET enable_indexscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off;"
		  . " SELECT count(*) FROM oss_labels.vocabulary WHERE label_name = '$label'; RESET ALL; SET enable_seqscan = off;"
		  . " SELECT count(*) FROM oss_labels.vocabulary WHERE label_name = '$label'") =~ s/\n/ /r;
}

my $whole = "SELECT count(bt_index_check(i.indexrelid, true)) FROM pg_index i WHERE i.indrelid = 'oss_labels.vocabulary'::regclass";

# ---- an error, or a crash, between the row and its last index entry ----

$test->sql('CREATE EXTENSION amcheck');
$test->sql(q{CREATE FUNCTION touchy(name text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN
	IF name = 'Raises' THEN RAISE 'not this one'; END IF;
	IF name = 'Sleeps' AND current_setting('application_name') = 'sleeper' THEN PERFORM pg_sleep(600); END IF;
	RETURN name; END $$;
	CREATE INDEX ON oss_labels.vocabulary (touchy(label_name))});
like($test->sql_error(import_sql('raises', 'Raises')), qr/not this one/, 'error: the last index refuses the label');
is(found('Raises'), '0 0', 'error: nothing is left of the row');
is($test->sql($whole), '6', 'error: indexes and table agree');

my $sleeper = $node->background_psql('postgres');
$sleeper->query_safe("SET application_name = 'sleeper'");
$sleeper->query_until(qr/asleep/, "\\echo asleep\n" . import_sql('sleeps', 'Sleeps') . ";\n");
ok($test->wait_sql("SELECT wait_event FROM pg_stat_activity WHERE application_name = 'sleeper'", 'PgSleep'),
	'crash: the row is written, its last index entry is not');
is(found('Sleeps'), '0 0', 'crash: nobody sees such a row');
$test->sql('CHECKPOINT');
$node->stop('immediate');
$node->start;
is(found('Sleeps'), '0 0', 'crash: nothing is left of the row');
is($test->sql($whole), '6', 'crash: indexes and table agree');
$test->sql('DROP FUNCTION touchy CASCADE');
is($test->sql(import_sql('raises', 'Raises') . ';' . import_sql('sleeps', 'Sleeps')), "t\nt", 'both are stored when nothing is against it');
is(found('Raises') . found('Sleeps'), '1 11 1', 'once each');

# ---- a rollback, then a crash ----

$node->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'b', has_streaming => 1);
$standby->start;

my $old = $node->background_psql('postgres');
$old->query_safe('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1');
my $open = $node->background_psql('postgres');
$open->query_safe('BEGIN; ' . import_sql('one', 'Okapi'));
is($test->sql("SET lock_timeout = '10s'; " . import_sql('two', 'Okapi')), 't', 'open transaction: nobody waits for it');
$open->query_safe('ROLLBACK');
is($old->query_safe("SELECT label_name FROM oss_labels.vocabulary WHERE label_name = 'Okapi'"), 'Okapi', 'an old snapshot has it');
$old->query_safe(import_sql('three', 'Okapi'));
is($old->query_safe("SELECT label_name FROM oss_labels.label WHERE key = 'three'"), 'Okapi',
	'repeatable read: what was stored in the transaction has its name');
$old->query_safe('COMMIT');
my $again = "SELECT string_agg(key || ' ' || label_name, ', ' ORDER BY key) FROM oss_labels.label WHERE key IN ('one', 'two', 'three')";
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', $again), 'three Okapi, two Okapi', 'standby: the others rely on it');
is(found('Okapi', $standby), '1 1', 'standby: table and index have it');
$_->quit for $old, $open;
$node->stop('immediate');
$node->start;
is($test->sql($again), 'three Okapi, two Okapi', 'crash after the rollback: the same');
is($test->sql($whole), '5', 'crash after the rollback: indexes and table agree');
$test->sql('VACUUM (FREEZE) oss_labels.vocabulary');
is(found('Okapi'), '1 1', 'vacuum leaves it');

# ---- a row too long for its page is one of the transaction ----

my $long = "(SELECT string_agg(chr(19968 + ('x' || left(md5(n::text), 4))::bit(16)::int % 20000), '') FROM generate_series(1, 250) n)";
my $long_import = "SELECT oss_labels.import_labels(jsonb_build_object('Labels', jsonb_build_array("
  . "jsonb_build_object('LabelName', $long, 'ParentLabelName', 'P' || $long, 'LabelConfidence', 0.9))), 'bucket', 'long')";
$test->sql("BEGIN; $long_import; ROLLBACK");
is($test->sql($long_import), 't', 'long names: stored after a rollback');
is($test->sql("SELECT label_name = $long AND parent_label_name = 'P' || $long FROM oss_labels.label WHERE key = 'long'"), 't',
	'long names: they are read');
is($test->sql("SELECT count(*) FROM oss_labels.vocabulary WHERE length(label_name) = 250"), '1', 'long names: one row');

# ---- beside a prepared transaction that changes aliases ----

$test->sql("BEGIN; INSERT INTO oss_labels.label_alias VALUES ('Forest giraffe', 'Okapi'); PREPARE TRANSACTION 'alias'");
is($test->sql("SET lock_timeout = '10s'; " . import_sql('four', 'Forest giraffe')), 't', 'prepared aliases: nobody waits for them');
is($test->sql("SELECT effective_name FROM oss_labels.vocabulary WHERE label_name = 'Forest giraffe'"), 'Forest giraffe',
	'prepared aliases: not in force');
$test->sql("COMMIT PREPARED 'alias'");
$test->sql(import_sql('five', 'Forest giraffe'));
is($test->sql("SELECT string_agg(key || ' ' || label_name, ', ' ORDER BY key) FROM oss_labels.effective_label WHERE key IN ('four', 'five')"),
	'five Okapi, four Okapi', 'prepared aliases: in force for labels that came meanwhile');

$standby->stop;
$node->stop;
done_testing();
