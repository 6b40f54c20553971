# Whose a job is and where it came from, in its database and beyond: renamed and
# dropped roles and tables, and dumps into the same and into another cluster,
# where roles and tables are missing and OIDs mean others.
use strict;
use warnings;
use lib 'test/perl';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use QueueTest;
use IPC::Run ();
use Test::More;

my $test = QueueTest->new(name => 'source', preload => 0, bare => 1);
my $node = $test->{node};
my $other = PostgreSQL::Test::Cluster->new('elsewhere');
$other->init;
$other->start;

# Run SQL in the other cluster.
sub elsewhere
{
	my ($sql, $database) = @_;
	return $other->safe_psql($database // 'postgres', $sql);
}

my $mapping = "CREATE USER MAPPING IF NOT EXISTS FOR %s SERVER oss OPTIONS (access_key_id 'testid', access_key_secret 'testsecret');";
my $grants = 'GRANT USAGE ON SCHEMA oss_labels TO %1$s; GRANT EXECUTE ON FUNCTION oss_labels.enqueue, oss_labels.retry_failed TO %1$s;'
  . ' GRANT USAGE ON FOREIGN SERVER oss TO %1$s;';

# ---- the same OID is another role's in the other cluster ----

my $alice = $test->sql('CREATE ROLE alice; CREATE ROLE bob') . $test->sql("SELECT 'alice'::regrole::oid");
is(elsewhere('CREATE ROLE intruder') . elsewhere("SELECT 'intruder'::regrole::oid"), $alice, 'two roles in two clusters have one OID');
elsewhere('CREATE ROLE bob');

$test->sql($test->create_sql . join '', map { sprintf("$mapping $grants", $_, $_) } qw(alice bob));
$test->sql(q{
	SELECT oss_labels.pause();
	CREATE SCHEMA "Odd";
	CREATE TABLE photo (key text); CREATE TABLE "Odd"."pic.ture" (key text);
	SELECT oss_labels.watch('photo', 'key', bucket => 'tenlabels'), oss_labels.watch('"Odd"."pic.ture"', 'key', bucket => 'tenlabels');
	GRANT INSERT ON photo TO alice;
	INSERT INTO photo VALUES ('photo1'), ('photo2');
	INSERT INTO "Odd"."pic.ture" VALUES ('odd1'), ('odd2');
	SELECT oss_labels.enqueue('tenlabels', 'mine');
	SET ROLE alice;
	INSERT INTO photo VALUES ('alice1');
	SELECT oss_labels.enqueue('tenlabels', 'alice2');
	SET ROLE bob;
	SELECT oss_labels.enqueue('tenlabels', 'bob1');
	RESET ROLE;
	INSERT INTO oss_labels.failed_job (job_id, enqueued_at, priority, attempts, requester, requester_name, server, bucket, key, "sqlstate", message)
		VALUES (1000, now(), 0, 5, 'alice'::regrole, 'alice', 'oss', 'tenlabels', 'alice3', '58000', 'x');
	INSERT INTO oss_labels.active_pause (server, requester, requester_name, automatic, reason)
		VALUES ('oss', 'alice'::regrole, 'alice', true, 'hers')});

# ---- dumps ----

my $dir = PostgreSQL::Test::Utils::tempdir;
my $kept = "SELECT (SELECT count(*) FROM oss_labels.job), (SELECT count(*) FROM oss_labels.failed_job), (SELECT count(*) FROM oss_labels.active_pause)";
my $before = $test->sql($kept);
is($before, '8|1|2', 'there is a queue');
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$dir/full", $node->connstr('postgres') ], 'dump');
$node->command_ok([ 'pg_dump', '-Fc', '-T', 'photo', '-f', "$dir/part", $node->connstr('postgres') ], 'dump without a table');
$node->command_ok([ 'pg_dump', '-Fd', '-j', '2', '-f', "$dir/dir", $node->connstr('postgres') ], 'dump by two');

# Restore into a new database; whatever is missing, the queue is there.
sub restore
{
	my ($to, $database, $name, @arguments) = @_;
	$to->safe_psql('postgres', "CREATE DATABASE $database");
	$to->safe_psql($database, 'CREATE EXTENSION oss_labels') if grep { /data-only/ } @arguments;
	IPC::Run::run([ 'pg_restore', '-d', $to->connstr($database), @arguments ], '2>', \my $errors);
	is($to->safe_psql($database, $kept), $before, "$name: the whole queue") or diag($errors);
	return;
}

restore($node, 'same', 'same cluster', "$dir/full");
restore($node, 'data', 'data only', '--data-only', "$dir/full");
restore($node, 'part', 'a table is missing', "$dir/part");
restore($other, 'whole', 'roles are missing', "$dir/full");
restore($other, 'nobodys', 'without owners, by two', '--no-owner', '-j', '2', "$dir/dir");
restore($other, 'less', 'roles and a table are missing', '--no-owner', "$dir/part");
restore($other, 'tables', 'tables of the queue alone', '--data-only', '-t', 'job', '-t', 'failed_job', '-t', 'active_pause', "$dir/full");

# ---- another cluster: names decide, and nobody's job runs as somebody else's ----

elsewhere(sprintf("$mapping $grants", 'intruder', 'intruder') . sprintf($mapping, 'bob') . 'GRANT USAGE ON FOREIGN SERVER oss TO bob; SELECT oss_labels.resume()', 'less');
$test->reset;
elsewhere('CALL oss_labels.process_queue()', 'less');
is(elsewhere("SELECT string_agg(key, ',' ORDER BY key) FROM oss_labels.image", 'less'),
	'bob1,mine,odd1,odd2,photo1,photo2', 'the jobs of roles that exist run, wherever they came from');
is(elsewhere("SELECT string_agg(key || ' ' || coalesce(code, ''), ',' ORDER BY key) FROM oss_labels.failed_job", 'less'),
	'alice1 RequesterGone,alice2 RequesterGone,alice3 ', 'those of a missing role fail');
is($test->count, 6, 'and nobody pays for them');
is(elsewhere('SET ROLE intruder; SELECT oss_labels.retry_failed()', 'less'), '0', 'who has her OID may not retry them');
elsewhere('CREATE ROLE alice;' . sprintf("$mapping $grants", 'alice', 'alice'), 'less');
is(elsewhere('SET ROLE alice; SELECT oss_labels.retry_failed()', 'less'), '3', 'when she is there she may');
elsewhere('CALL oss_labels.process_queue()', 'less');
is(elsewhere("SELECT string_agg(key, ',' ORDER BY key) FROM oss_labels.image WHERE key LIKE 'alice%'", 'less'), 'alice1,alice2,alice3', 'and they run');
is($test->count, 9, 'each once');

# a row that is deleted there cancels its job
elsewhere("SELECT oss_labels.pause(); DELETE FROM photo WHERE key = 'photo1'", 'nobodys');
is(elsewhere("SELECT count(*) FROM oss_labels.job WHERE key = 'photo1'", 'nobodys'), '0', 'deleted rows are cancelled where a dump was restored');
elsewhere('TRUNCATE "Odd"."pic.ture"', 'nobodys');
is(elsewhere("SELECT count(*) FROM oss_labels.job WHERE key LIKE 'odd%'", 'nobodys'), '0', 'so are those of an emptied table of odd name');

# ---- the same cluster: roles keep their OIDs, tables their names ----

$test->sql('ALTER ROLE alice RENAME TO alicia');
$test->sql("SELECT oss_labels.resume(), oss_labels.resume('oss')", 'same');
$test->sql('CALL oss_labels.process_queue()', 'same');
is($test->sql("SELECT string_agg(key, ',' ORDER BY key) FROM oss_labels.image", 'same'),
	'alice1,alice2,bob1,mine,odd1,odd2,photo1,photo2', 'a renamed role is followed into a copy');

# ---- its own database: OIDs decide ----

$test->sql('ALTER TABLE photo RENAME TO picture; ALTER SCHEMA "Odd" RENAME TO even');
$test->sql("DELETE FROM picture WHERE key = 'photo1'; DELETE FROM even.\"pic.ture\" WHERE key = 'odd1'");
is($test->sql("SELECT string_agg(key, ',' ORDER BY key) FROM oss_labels.job WHERE key LIKE 'photo%' OR key LIKE 'odd%'"), 'odd2,photo2',
	'deleted rows of a renamed table and schema are cancelled');
$test->sql('DROP TABLE picture');
$test->sql('DROP OWNED BY bob', $_) for qw(postgres same data part);
$test->sql('DROP ROLE bob; CREATE ROLE bob');
$test->sql(sprintf("$mapping $grants", 'bob', 'bob'));
$test->sql("SELECT oss_labels.resume(), oss_labels.resume('oss')");
$test->reset;
$test->sql('CALL oss_labels.process_queue()');
is($test->sql("SELECT string_agg(key, ',' ORDER BY key) FROM oss_labels.image"), 'alice2,mine,odd2', 'what no dropped table or role wanted is tagged');
is($test->sql("SELECT string_agg(key || ' ' || coalesce(code, ''), ',' ORDER BY key) FROM oss_labels.failed_job"),
	'alice1 SourceGone,alice3 ,bob1 RequesterGone,photo2 SourceGone',
	'a dropped role is not who has its name now, and a dropped table loses no job without a trace');
is($test->count, 3, 'nothing else is paid for');
is($test->sql('SET ROLE bob; SELECT oss_labels.retry_failed()'), '0', 'nor may he retry it');
is($test->sql("SELECT oss_labels.retry_failed(code => 'SourceGone')"), '2', 'what a dropped table wanted can be retried');
$test->sql('CALL oss_labels.process_queue()');
is($test->sql("SELECT string_agg(key, ',' ORDER BY key) FROM oss_labels.image WHERE key IN ('alice1', 'photo2')"),
	'alice1,photo2', 'and is tagged then');
is($test->count, 5, 'with one request each');

done_testing;
