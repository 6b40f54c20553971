# Who may call what: nothing for PUBLIC, the granted role with USAGE and a
# mapping of its own, SECURITY DEFINER, hostile search_path and objects; and
# the settings with who may set them.

use strict;
use warnings;

use Test::More;

use lib 'test/perl';
use OssTest qw(literal);

my $t = OssTest->new;
my $oss = $t->{oss};
$t->ok(q{CREATE ROLE app LOGIN; CREATE ROLE other LOGIN; CREATE ROLE nobody LOGIN});

# ---- PUBLIC: every object of the extension ----

is($t->ok(q{SELECT p.oid::regprocedure FROM pg_proc p WHERE pronamespace = 'oss_labels'::regnamespace
	AND has_function_privilege('nobody', p.oid, 'EXECUTE')}), '', 'PUBLIC may execute no function');
cmp_ok($t->ok(q{SELECT count(*) FROM pg_proc WHERE pronamespace = 'oss_labels'::regnamespace}), '>', 5, 'and there are some');
is($t->ok(q{SELECT c.oid::regclass FROM pg_class c WHERE relnamespace = 'oss_labels'::regnamespace
	AND relkind IN ('r', 'v', 'm', 'p', 'f') AND has_table_privilege('nobody', c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')}),
	'', 'PUBLIC has no right on a table');
is($t->ok(q{SELECT c.oid::regclass FROM pg_class c WHERE relnamespace = 'oss_labels'::regnamespace
	AND CASE relkind WHEN 'S' THEN has_sequence_privilege('nobody', c.oid, 'SELECT, USAGE, UPDATE') ELSE false END}),
	'', 'PUBLIC has no right on a sequence');
is($t->ok(q{SELECT has_schema_privilege('nobody', 'oss_labels', 'USAGE') OR has_schema_privilege('nobody', 'oss_labels', 'CREATE')
	OR has_foreign_data_wrapper_privilege('nobody', 'oss_labels', 'USAGE')}), 'f', 'nor on schema and wrapper');
my ($out, $err) = $t->psql('SET ROLE nobody;' . OssTest::detect_sql());
like($err, qr/ERROR:  42501/, 'a call is refused');

is($t->ok(q{SELECT p.oid::regprocedure FROM pg_proc p WHERE pronamespace = 'oss_labels'::regnamespace
	AND proname ~ '^(detect|try_detect|presign|check_server|tag)' AND (proparallel <> 'u' OR provolatile <> 'v')}), '',
	'what sends requests is volatile and parallel unsafe');

# ---- a granted role ----

my $grants = q{GRANT USAGE ON SCHEMA oss_labels TO %s; GRANT EXECUTE ON FUNCTION
	oss_labels.detect(text, text, float8, text, name), oss_labels.try_detect(text, text, float8, text, name) TO %s;};
$t->ok(sprintf $grants, 'app', 'app');
my $as_app = 'SET ROLE app; ' . OssTest::detect_sql();
($out, $err) = $t->psql($as_app);
like($err, qr/ERROR:  42501: permission denied for foreign server oss/, 'without USAGE on the server');
$t->ok('GRANT USAGE ON FOREIGN SERVER oss TO app');
($out, $err) = $t->psql($as_app);
like($err, qr/ERROR:  42704: role "app" has no user mapping/, 'without a mapping: not the superuser\'s');
is($t->requests, 0, 'no request so far');
$t->ok(q{CREATE USER MAPPING FOR app SERVER oss OPTIONS (access_key_id 'stsid', access_key_secret 'stssecret', security_token 'ststoken')});
($out, $err) = $t->psql($as_app);
is($err, '', 'with USAGE and a mapping');
like($oss->logged(1), qr/\bstsid\b/, 'signed with the role\'s own key');
($out, $err) = $t->psql("SET ROLE app; SELECT oss_labels.presign('examplebucket', 'example.jpg')");
like($err, qr/ERROR:  42501/, 'another function is not granted with it');
$t->ok(sprintf $grants, 'other', 'other');
$t->ok('GRANT USAGE ON FOREIGN SERVER oss TO other');
($out, $err) = $t->psql('SET ROLE other;' . OssTest::detect_sql());
like($err, qr/ERROR:  42704: role "other" has no user mapping/, 'another role cannot use the mapping');
($out, $err) = $t->psql('SET ROLE app;' . OssTest::detect_sql() . "; RESET ROLE; SET ROLE other;\n" . OssTest::detect_sql());
like($err, qr/ERROR:  42704: role "other"/, 'nor in a session in which it was used');
$t->ok('REVOKE USAGE ON FOREIGN SERVER oss FROM app');
($out, $err) = $t->psql($as_app);
like($err, qr/ERROR:  42501/, 'a revoked right is gone');
$t->ok('GRANT USAGE ON FOREIGN SERVER oss TO app');
$t->ok(q{CREATE USER MAPPING FOR PUBLIC SERVER oss OPTIONS (access_key_id 'testid', access_key_secret 'testsecret')});
($out, $err) = $t->psql('SET ROLE other;' . OssTest::detect_sql());
is($err, '', 'PUBLIC\'s mapping serves who has none');
like($oss->logged(1), qr/\btestid\b/, 'signed with PUBLIC\'s key');
($out, $err) = $t->psql($as_app);
like($oss->logged(1), qr/\bstsid\b/, 'one\'s own mapping comes first');
$t->ok('DROP USER MAPPING FOR PUBLIC SERVER oss');
my $read = 'SELECT umoptions FROM pg_user_mappings; TABLE pg_user_mapping';
($out, $err) = $t->psql("SET ROLE app; $read");
unlike($out, qr/testsecret/, 'a granted role reads no secret of another');
like($out, qr/stssecret/, 'but its own, as PostgreSQL has it: the README says so');
($out, $err) = $t->psql("SET ROLE other; $read");
unlike($out, qr/secret/, 'a role without a mapping reads none');
for my $sql ("CREATE SERVER evil FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', endpoint 'https://evil.example.com')",
	"ALTER SERVER oss OPTIONS (SET endpoint 'https://evil.example.com')", 'SET oss_labels.max_response_size = 100000',
	"SET oss_labels.metadata_endpoint = 'http://127.0.0.1:1'")
{
	($out, $err) = $t->psql("SET ROLE app; LOAD 'oss_labels'; $sql");
	like($err, qr/ERROR:  42501/, "a granted role may not: $sql");
}
($out, $err) = $t->psql("SET ROLE app; ALTER USER MAPPING FOR app SERVER oss OPTIONS (ADD credential_source 'environment')");
like($err, qr/ERROR/, 'a granted role may not use the machine\'s identity');

# ---- SECURITY DEFINER: the definer's mapping and rights ----

$t->ok(q{CREATE FUNCTION public.labels_for_all(key text) RETURNS bigint LANGUAGE sql SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp AS 'SELECT count(*) FROM oss_labels.detect(''examplebucket'', key)';
	ALTER FUNCTION public.labels_for_all(text) OWNER TO app; GRANT EXECUTE ON FUNCTION public.labels_for_all(text) TO nobody});
is($t->ok("SET ROLE nobody; SELECT public.labels_for_all('example.jpg')"), '2', 'SECURITY DEFINER lends rights');
like($oss->logged(1), qr/\bstsid\b/, 'and the definer\'s mapping');

# ---- hostile objects ----

$t->ok(q{CREATE SCHEMA evil; GRANT ALL ON SCHEMA evil TO app;
	SET ROLE app;
	CREATE FUNCTION evil.jsonb_in(cstring) RETURNS jsonb LANGUAGE internal IMMUTABLE STRICT AS 'jsonb_in'} =~ s/CREATE FUNCTION.*//sr);
$t->ok(q{SET ROLE app;
	CREATE TABLE evil.pg_foreign_server (srvname name, srvoptions text[]); CREATE TABLE evil.pg_user_mapping (x int);
	CREATE FUNCTION evil.count(anyelement) RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RAISE ''hijacked''; END';
	CREATE FUNCTION evil.int4pl(int, int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RAISE ''hijacked''; END';
	CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = pg_catalog.textne)});
my $call = q{SET search_path = evil, pg_temp, pg_catalog;};
($out, $err) = $t->psql("$call SELECT pg_catalog.count(*) FROM oss_labels.detect('examplebucket', 'example.jpg')");
is("$out$err", '2', 'a hostile search_path does not matter to detect()');
($out, $err) = $t->psql("$call SELECT pg_catalog.bool_and(ok) FROM oss_labels.check_server(NULL, 'examplebucket')");
is("$out$err", 't', 'nor to check_server()');
$t->ok(q{CALL oss_labels.grant_reading('app'); CALL oss_labels.grant_paying('app');
	GRANT EXECUTE ON FUNCTION oss_labels.import_labels, oss_labels.forget, oss_labels.correct TO app;
	DROP OPERATOR evil.= (text, text)});
for my $operator (['=', 'text', 'text'], ['<>', 'xid', 'integer'], ['<=', 'timestamptz', 'timestamptz'],
	['=', 'bigint', 'bigint'])
{
	my ($name, @types) = @$operator;
	my $types = join ', ', @types;
	$t->ok(qq{SET ROLE app; SET check_function_bodies = off;
		CREATE OR REPLACE FUNCTION evil.hijack($types) RETURNS boolean LANGUAGE plpgsql
			AS 'BEGIN RAISE ''hijacked as %'', current_user; END';
		CREATE OPERATOR evil.$name (LEFTARG = $types[0], RIGHTARG = $types[1], FUNCTION = evil.hijack)});
}
for my $sql ("SELECT pg_catalog.count(*) FROM oss_labels.tag('examplebucket', 'example.jpg')",
	"SELECT pg_catalog.count(*) FROM oss_labels.tag('examplebucket', 'example.jpg', 0)",
	"SELECT pg_catalog.count(*) FROM oss_labels.tag('examplebucket', 'example.jpg', 0, max_age => '1 h')",
	"SELECT pg_catalog.count(*) FROM (VALUES ('example.jpg')) v (key), LATERAL oss_labels.tag('examplebucket', key, 0, max_age => '0') l",
	q{SELECT 2 FROM oss_labels.import_labels('{"Labels": []}', 'examplebucket', 'imported.jpg')},
	"SELECT pg_catalog.count(*) FROM oss_labels.labels_of('examplebucket', 'example.jpg')",
	"SELECT pg_catalog.count(*) + 1 FROM oss_labels.search('Outerwear & parent:Clothing')",
	"SELECT pg_catalog.count(*) + 1 FROM oss_labels.effective_label WHERE image_id @@ 'Outerwear' "
	. "AND label_name OPERATOR(pg_catalog.=) 'Outerwear'",
	"SELECT 2 FROM oss_labels.correct('examplebucket', 'example.jpg', 'Apparel', true)",
	"SELECT pg_catalog.count(*) + 2 FROM oss_labels.related_images('examplebucket', 'example.jpg')",
	"SELECT 2 FROM oss_labels.forget('examplebucket', 'example.jpg')")
{
	($out, $err) = $t->psql("$call SET ROLE app; $sql");
	is("$out$err", '2', "nor to: $sql");
}

$t->ok('CREATE DATABASE squatted');
$t->ok(q{CREATE SCHEMA oss_labels; CREATE FUNCTION oss_labels.detect(text, text, float8, text, name) RETURNS int LANGUAGE sql AS 'SELECT 1'},
	dbname => 'squatted');
($out, $err) = $t->psql('CREATE EXTENSION oss_labels', dbname => 'squatted');
like($err, qr/ERROR:  42P06: schema "oss_labels" already exists/, 'a schema that was there before: CREATE EXTENSION fails');
is($t->ok(q{SELECT count(*) FROM pg_extension WHERE extname = 'oss_labels'}, dbname => 'squatted'), '0', 'and leaves nothing');

# ---- settings ----

my %setting = map { my ($name, @rest) = split /\|/, $_, -1; $name => "@rest" }
  split /\n/, $t->ok(q{LOAD 'oss_labels'; SELECT name, vartype, unit, boot_val, context FROM pg_settings WHERE name LIKE 'oss\_labels.%'});
is($setting{'oss_labels.server'}, 'string   user', 'oss_labels.server');
is($setting{'oss_labels.max_response_size'}, 'integer kB 1024 superuser', 'oss_labels.max_response_size: 1 MB');
is($setting{'oss_labels.metadata_endpoint'}, 'string  http://100.100.100.200 superuser', 'oss_labels.metadata_endpoint');
cmp_ok(keys %setting, '<=', 17, 'settings are few');
is($t->ok(q{LOAD 'oss_labels'; SELECT name FROM pg_settings WHERE name LIKE 'oss\_labels.%' AND coalesce(short_desc, '') = ''}), '',
	'each setting is described');
($out, $err) = $t->psql("LOAD 'oss_labels'; SET oss_labels.no_such = 1");
like($err, qr/ERROR:  42602/, 'a misspelt setting is refused');
($out) = $t->psql(q{SET ROLE app; LOAD 'oss_labels'; SHOW oss_labels.metadata_endpoint});
is($out, '', 'the metadata address is not for everybody to see');

done_testing();
