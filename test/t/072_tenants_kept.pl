# Tenants through dump and restore, beside others' open transactions, and where row
# security is forced upon an owner who is no superuser and whose worker stores.
use strict;
use warnings;
use lib 'test/perl';
use QueueTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $test = QueueTest->new(name => 'tenants_kept', bare => 1);
my $node = $test->{node};

# Run SQL as a role.
sub as
{
	my ($role, $sql, $database) = @_;
	return $test->sql("SET ROLE $role; $sql", $database);
}

# ---- the worker of an owner without privileges, who is subject to his policies ----

$test->sql('CREATE ROLE dba SUPERUSER LOGIN; SET ROLE dba; CREATE EXTENSION oss_labels;'
	  . " CREATE SERVER oss FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', endpoint '" . $test->{oss}->http_endpoint . "');"
	  . " CREATE USER MAPPING FOR PUBLIC SERVER oss OPTIONS (access_key_id 'testid', access_key_secret 'testsecret');"
	  . ' CREATE ROLE "Tenant A"; CREATE ROLE tenant_b; CREATE ROLE app; GRANT USAGE ON FOREIGN SERVER oss TO "Tenant A", tenant_b, app;'
	  . q{ CALL oss_labels.grant_writing('"Tenant A"', 'tenlabels', 'a/'); CALL oss_labels.grant_reading('tenant_b', 'tenlabels', 'b/');}
	  . q{ CALL oss_labels.grant_paying('"Tenant A"'); CALL oss_labels.grant_reading('app');}
	  . ' GRANT EXECUTE ON FUNCTION oss_labels.enqueue TO "Tenant A";'
	  . ' ALTER ROLE dba NOSUPERUSER;');
for my $table (qw(image image_label label_correction vocabulary album album_pin))
{
	$test->sql("ALTER TABLE oss_labels.$table FORCE ROW LEVEL SECURITY");
}
as('"Tenant A"', "SELECT oss_labels.enqueue('tenlabels', 'a/' || i) FROM generate_series(1, 3) i");
ok($test->wait_empty, 'the worker stores');
as('"Tenant A"', "SELECT count(*) FROM oss_labels.tag('tenlabels', 'a/4')");
ok($test->wait_sql("SELECT count(*) FROM oss_labels.image", '4'), 'and what tag() has got');
is(as('"Tenant A"', 'SELECT count(*) FROM oss_labels.image; SELECT count(*) > 30 FROM oss_labels.label'), "4\nt", 'for the tenant to read');
is(as('tenant_b', 'SELECT count(*) FROM oss_labels.image; SELECT count(*) FROM oss_labels.label'), "0\n0", 'and not for another');
as('"Tenant A"', "SELECT oss_labels.enqueue('tenlabels', 'a/1', thr => 0)");
ok($test->wait_empty, 'an image again');
is(as('"Tenant A"', "SELECT oss_labels.correct('tenlabels', 'a/1', 'Toy', true); SELECT oss_labels.forget('tenlabels', 'a/3')"), "\nt", 'the tenant writes');
is($test->sql("SELECT count(*) FROM oss_labels.image_label WHERE image_id = oss_labels.image_id('tenlabels', 'a/3')"), '0', 'labels go with their image');

# a table of its own does not forget others' images
$test->sql('GRANT EXECUTE ON FUNCTION oss_labels.watch, oss_labels.unwatch, oss_labels.check_watch, oss_labels.forget_watch, oss_labels.enqueue_trigger TO tenant_b;'
	  . ' CREATE SCHEMA b AUTHORIZATION tenant_b');
is(as('tenant_b', "CREATE TABLE b.pic (key text); CREATE INDEX ON b.pic (key); INSERT INTO b.pic VALUES ('a/1');"
	  . " SELECT oss_labels.watch('b.pic', 'key', bucket => 'tenlabels', forget_deleted => true); BEGIN; DELETE FROM b.pic;"
	  . ' RESET ROLE; SELECT count(*) FROM oss_labels.deleted_row; COMMIT'), "\n0", 'watch() forgets nothing for who may not write everything');
is(as('"Tenant A"', "SELECT count(*) FROM oss_labels.image WHERE key = 'a/1'"), '1', 'the image stays');

$test->sql("CREATE ROLE stranger; GRANT USAGE ON SCHEMA b TO stranger; GRANT SELECT, DELETE ON b.pic TO stranger; INSERT INTO b.pic VALUES ('a/2')");
is(as('stranger', 'DELETE FROM b.pic; SELECT count(*) FROM b.pic'), '0', 'nor does a statement fail of who has no right on the extension');

# ---- beside an open transaction ----

my $session = $node->background_psql('postgres', on_error_stop => 0);
$session->query_safe(q{BEGIN; SET ROLE tenant_b; SELECT count(*) FROM oss_labels.image});
$test->sql("CALL oss_labels.grant_reading('tenant_b', 'tenlabels', 'a/1')");
is($session->query_safe('SELECT count(*) FROM oss_labels.label') > 0 ? 1 : 0, 1, 'a grant counts in an open transaction');
$test->sql("CALL oss_labels.revoke_reading('tenant_b', 'tenlabels', 'a/1')");
is($session->query_safe('SELECT count(*) FROM oss_labels.label'), '0', 'so does that it is revoked');
$session->query_safe('COMMIT');
$session->query_safe("RESET ROLE; BEGIN; CALL oss_labels.grant_reading('tenant_b', 'tenlabels', 'a/')");
is(as('tenant_b', 'SELECT count(*) FROM oss_labels.image'), '0', 'an uncommitted grant is none');
$session->query_safe('ROLLBACK');
$session->quit;
is(as('tenant_b', 'SELECT count(*) FROM oss_labels.image'), '0', 'nor one that was rolled back');

# ---- dump and restore ----

as('"Tenant A"', "INSERT INTO oss_labels.album (name, rule) VALUES ('Toys', 'Toy')");
my $all = q{SELECT 'image', i.key FROM oss_labels.image i UNION ALL SELECT 'label', e.label_name FROM oss_labels.effective_label e
	UNION ALL SELECT 'album', name FROM oss_labels.album UNION ALL SELECT 'member', key FROM oss_labels.album_member
	UNION ALL SELECT corrected_by, role::text FROM oss_labels.label_correction ORDER BY 1, 2};
my %before = map { $_ => as($_, $all) } '"Tenant A"', 'tenant_b', 'app';
like($before{'"Tenant A"'}, qr/album\|Toys/, 'there is something to lose');
$test->sql($_) for 'ALTER ROLE "Tenant A" RENAME TO "tenant Ä"', 'CREATE DATABASE target', 'CREATE DATABASE elsewhere';
$before{'"tenant Ä"'} = delete $before{'"Tenant A"'};
s/\|Tenant A$/|tenant Ä/m for values %before;
my $file = PostgreSQL::Test::Utils::tempdir . '/dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $file, $node->connstr('postgres') ], 'dump');
$node->command_ok([ 'pg_restore', '-e', '-d', $node->connstr('target'), $file ], 'restore');
is(as($_, $all, 'target'), $before{$_}, "$_ reads the same") for sort keys %before;
is($test->sql('SELECT role, bucket, prefix, writes FROM oss_labels.bucket_grant ORDER BY role::text', 'target'),
	"tenant Ä|tenlabels|a/|t\ntenant_b|tenlabels|b/|f", 'grants are restored, also of a role that was renamed');
is($test->sql('SELECT count(*) FROM pg_class WHERE relnamespace = $$oss_labels$$::regnamespace AND relrowsecurity', 'target'), '6', 'with row security');

# by several processes, whose order nobody knows
$test->sql(q{SELECT count(oss_labels.import_label_rows('tenlabels', 'n/' || i, ARRAY['L' || i % 90, 'M' || i % 7], thr => 0)) FROM generate_series(1, 500) i;
	SELECT count(oss_labels.correct('tenlabels', 'n/' || i, 'N' || i % 60, true, 'P' || i % 5)) FROM generate_series(1, 400) i;
	INSERT INTO oss_labels.label_alias SELECT 'N' || i, 'M' || i % 7 FROM generate_series(1, 59) i;
	SELECT oss_labels.pin(album_id, 'tenlabels', 'n/1') FROM oss_labels.album});
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$file.jobs", $node->connstr('postgres') ], 'dump with more labels');
my $words = 'SELECT v::text FROM oss_labels.vocabulary v WHERE NOT is_new ORDER BY label_id';
my $read = q{SELECT count(*), count(DISTINCT label_name) FROM oss_labels.effective_label UNION ALL SELECT count(*), 0 FROM oss_labels.album_member};
for my $try (1 .. 4)
{
	$test->sql("CREATE DATABASE jobs$try; ALTER DATABASE jobs$try SET oss_labels.worker = off");
	$node->command_ok([ 'pg_restore', '-e', '-j', '4', '-d', $node->connstr("jobs$try"), "$file.jobs" ], "restore by four processes, $try");
	is($test->sql($words, "jobs$try"), $test->sql($words), 'the vocabulary is the same');
	is($test->sql($read, "jobs$try"), $test->sql($read), 'so is what is read');
}
$test->sql("SELECT count(oss_labels.forget('tenlabels', 'n/' || i)) FROM generate_series(1, 500) i; DELETE FROM oss_labels.label_alias");
$test->sql("DELETE FROM oss_labels.album_pin");

# the data alone, without triggers
$node->command_ok([ 'pg_dump', '-Fc', '--data-only', '-f', "$file.data", $node->connstr('postgres') ], 'dump of the data');
$test->sql('CREATE DATABASE bulk');
$node->command_ok([ 'pg_restore', '-e', '--schema-only', '-d', $node->connstr('bulk'), $file ], 'restore of the schema');
$node->command_ok([ 'pg_restore', '-e', '--data-only', '--disable-triggers', '-d', $node->connstr('bulk'), "$file.data" ], 'restore without triggers');
is(as($_, $all, 'bulk'), $before{$_}, "$_ reads the same there") for sort keys %before;
my $fires = q{SELECT string_agg(tgname || ' ' || tgenabled::text, ', ' ORDER BY tgrelid::regclass::text, tgname) FROM pg_trigger
	WHERE tgrelid::regclass::text LIKE 'oss_labels.%' AND NOT tgisinternal};
is($test->sql($fires, 'bulk'), $test->sql($fires), 'and the triggers fire as before');

# into a cluster that lacks the roles
my $other = PostgreSQL::Test::Cluster->new('elsewhere');
$other->init;
$other->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$other->start;
$other->safe_psql('postgres', 'CREATE ROLE dba SUPERUSER');
$other->command_ok([ 'pg_restore', '-e', '-O', '-x', '--no-comments', '-d', $other->connstr('postgres'), $file ], 'restore where the roles are not');
is($other->safe_psql('postgres', 'SELECT role, writes FROM oss_labels.bucket_grant ORDER BY role::text'), "tenant Ä|t\ntenant_b|f", 'their names are kept');
$other->safe_psql('postgres', q{CREATE ROLE "tenant Ä"; CREATE ROLE stranger; GRANT USAGE ON SCHEMA oss_labels TO stranger});
$other->safe_psql('postgres', qq{CALL oss_labels.grant_family('reading', '$_')}) for '"tenant Ä"', 'stranger';
is($other->safe_psql('postgres', 'SET ROLE "tenant Ä"; SELECT count(*) FROM oss_labels.image'), '3', 'and are theirs when they are made');
is($other->safe_psql('postgres', 'SET ROLE stranger; SELECT count(*) FROM oss_labels.image'), '0', 'and nobody else\'s');
is($other->safe_psql('postgres', q{CALL oss_labels.grant_reading('"tenant Ä"', 'tenlabels', 'b/'); CALL oss_labels.revoke_writing('"tenant Ä"', 'tenlabels');
	SELECT role, prefix, writes FROM oss_labels.bucket_grant WHERE role::text LIKE 'tenant Ä' ORDER BY prefix}), "tenant Ä|a/|f\ntenant Ä|b/|f", 'writing is revoked from them');
is($other->safe_psql('postgres', q{CALL oss_labels.revoke_reading('"tenant Ä"', 'tenlabels'); SELECT count(*) FROM oss_labels.bucket_grant WHERE role::text LIKE 'tenant Ä'}), '0', 'and reading');

# a role that is dropped has no heir
my $gone = $other->safe_psql('postgres', q{CREATE ROLE gone; CALL oss_labels.grant_writing('gone', 'tenlabels'); SET ROLE gone; INSERT INTO oss_labels.album (name) VALUES ('Hers');
	RESET ROLE; DROP OWNED BY gone; DROP ROLE gone; SELECT DISTINCT role FROM oss_labels.bucket_grant WHERE bucket = 'tenlabels' AND prefix = ''});
my ($status, $out, $err) = $other->psql('postgres', qq{CREATE ROLE "$gone"});
like($err, qr/is reserved/, "nobody can be made $gone");

done_testing;
