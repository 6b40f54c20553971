# No secret, token or signature in the log at DEBUG5, in pg_stat_activity, in
# pg_stat_statements, in what PUBLIC can read, in an error or in EXPLAIN.
#
# CREATE USER MAPPING carries the secret in its text, which PostgreSQL itself
# logs if told to: log_statement = none, log_min_duration_statement off,
# log_min_error_statement = panic and pg_stat_statements.track_utility off are
# what the README asks for while a mapping is made.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use lib 'test/perl';
use OssTest qw(literal);

my $SECRET = 'sEcReT-0123456789-of-the-test';
my $TOKEN = 'tOkEn-0123456789-of-the-test';
my $statements = -e `pg_config --sharedir` =~ s/\s+\z//r . '/extension/pg_stat_statements.control';
my $t = OssTest->new(
	conf => "log_statement = none\nlog_min_error_statement = panic\n"
	  . "log_duration = off\nlog_min_duration_statement = -1\noss_labels.server = 'oss'\n"
	  . ($statements ? "shared_preload_libraries = 'pg_stat_statements'\npg_stat_statements.track_utility = off\n" : ''));
my $oss = $t->{oss};
my $node = $t->{node};
my $log_begin = -s $node->logfile;
my @fields = (access_key_id => 'grepid', access_key_secret => $SECRET, security_token => $TOKEN);
$oss->control("/credential?id=grepid&secret=$SECRET&token=$TOKEN");

# Not from the start: the postmaster logs its environment at DEBUG3.
$node->append_conf('postgresql.conf', "log_min_messages = debug5\n");
$node->reload;
$t->server(mapping => {@fields});
$t->ok('CREATE ROLE reader LOGIN');
$t->ok('CREATE EXTENSION pg_stat_statements') if $statements;
$t->{shown} = '';

# ---- everything that may speak ----

ok($t->detect->{rows}, 'labels');
my $https = $t->server_sql(name => 'https', mapping => {@fields}, $t->https);
$t->ok($https);
ok($t->outcome(q{SELECT * FROM oss_labels.detect('examplebucket', 'example.jpg', server => 'https')})->{rows}, 'labels over https');
$t->ok('SET client_min_messages = debug5;' . OssTest::detect_sql());
$t->ok('EXPLAIN (VERBOSE, ANALYZE) ' . OssTest::detect_sql());
$t->ok(q{EXPLAIN (VERBOSE, ANALYZE, FORMAT json) SELECT * FROM (VALUES ('example.jpg')) v(k), LATERAL oss_labels.try_detect('examplebucket', k, server => 'oss')});
$t->ok(q{SELECT * FROM oss_labels.check_server('oss', 'examplebucket', 'example.jpg')});
my @faults = (
	[ code => 'SignatureDoesNotMatch' ], [ code => 'InvalidSecurityToken' ], [ code => 'AccessDenied' ],
	[ code => 'InternalError', status => 500 ], [ kind => 'garbage' ], [ kind => 'drop' ], [ kind => 'html' ],
	[ kind => 'redirect' ], [ kind => 'headers' ]);
for my $fault (@faults)
{
	$oss->control('/unfault');
	$oss->fault(@$fault);
	$t->detect;
	$t->psql('SET client_min_messages = debug5;' . OssTest::detect_sql());
	$t->psql(q{SELECT * FROM oss_labels.check_server('oss', 'examplebucket', 'example.jpg')});
}
$oss->control('/unfault');

# the service's answer to a wrong signature says what it signed and got
$oss->control("/credential?id=grepid&secret=another&token=$TOKEN");
like($t->detect->{message}, qr/signature does not match/, 'a real signature error');
$t->psql(q{SELECT * FROM oss_labels.check_server('oss', 'examplebucket')});
$oss->control("/credential?id=grepid&secret=$SECRET&token=$TOKEN");

# errors of definitions
for my $options (
	"access_key_id 'grepid', access_key_secret '$SECRET\n'", "access_key_id '$SECRET/', access_key_secret 'x'",
	"access_key_secret '$SECRET'", "access_key_id 'a', access_key_secret 'b', security_token '$TOKEN \t'",
	"acces_key_id 'a', access_key_secret '$SECRET'", "credential_source '$SECRET'",
	"credential_source 'environment', access_key_secret '$SECRET'")
{
	my ($out, $err) = $t->psql("ALTER SERVER https OPTIONS (ADD max_attempts '1'); CREATE USER MAPPING FOR reader SERVER https OPTIONS ($options)",
		params => [ '-v', 'SHOW_CONTEXT=always' ]);
	like($err, qr/ERROR/, 'a bad mapping is refused');
	# psql shows the line; the server's own words must not
	unlike($err =~ s/^LINE \d+:.*\n.*//mgr, qr/sEcReT|tOkEn/, 'without its value');
	$t->{shown} = '';
}

# ---- a request in flight, as another role sees it ----

$t->ok(q{GRANT pg_read_all_stats TO reader});
$oss->fault(key => 'slow', bucket => 'everykey', kind => 'hang', times => 1);
my $run = $t->begin(OssTest::detect_sql('slow', 'everykey'));
ok($oss->wait_count('label_in_flight', 1), 'a request in flight');
my ($activity) = $t->psql('SET ROLE reader; SELECT a::text FROM pg_stat_activity a');
like($activity, qr/oss_labels\.detect/, 'pg_stat_activity shows the call');
$oss->control('/close-connections');
$node->safe_psql('postgres', q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE '%slow%' AND pid <> pg_backend_pid()});
$t->finish($run);

# ---- all that a role without rights can read ----

my ($public) = $t->psql(q{SET ROLE reader;
	CREATE FUNCTION pg_temp.try(rel text) RETURNS SETOF text LANGUAGE plpgsql AS $$
	BEGIN RETURN QUERY EXECUTE 'SELECT t::text FROM ' || rel || ' t'; EXCEPTION WHEN OTHERS THEN END $$;
	SELECT c.oid::regclass || ': ' || pg_temp.try(c.oid::regclass::text) FROM pg_class c
		JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'v', 'm', 'p') AND nspname IN ('pg_catalog', 'information_schema', 'oss_labels', 'public')
		AND c.relname NOT IN ('pg_attribute', 'pg_proc', 'pg_depend', 'pg_description', 'pg_operator', 'pg_collation')});
like($public, qr/^pg_user_mappings: \(.*,oss,/m, 'PUBLIC sees that there is a mapping');
cmp_ok(length $public, '>', 100_000, 'PUBLIC sees a lot');
if ($statements)
{
	my $seen = $t->ok('SELECT query FROM pg_stat_statements');
	like($seen, qr/oss_labels\.detect/, 'pg_stat_statements has the calls');
	$public .= $seen;
}

# ---- the greps ----

my $log = substr slurp_file($node->logfile), $log_begin;
like($log, qr/DEBUG:  /, 'the log is at DEBUG5');
cmp_ok(length $log, '>', 50_000, 'and has a lot');
my %where = (
	'the log' => $log, 'what was shown' => $t->{shown}, 'pg_stat_activity' => $activity,
	'what PUBLIC can read' => $public);
for my $place (sort keys %where)
{
	unlike($where{$place}, qr/\Q$SECRET\E/i, "no secret in $place");
	unlike($where{$place}, qr/\Q$TOKEN\E/i, "no token in $place");
	unlike($where{$place}, qr/(signature|credential)=|OSS4-HMAC|aliyun_v4|\b[0-9a-f]{64}\b/i, "no signature in $place");
}

# the greps would find them: presign() returns a signature and the token
my $url = $t->ok(q{SELECT oss_labels.presign('examplebucket', 'example.jpg')});
like($url, qr/signature=[0-9a-f]{64}/i, 'a presigned URL has a signature');
like($url, qr/\Q$TOKEN\E/, 'and the token, as anybody who has it needs');
unlike($url, qr/\Q$SECRET\E/, 'but never the secret');

done_testing();
