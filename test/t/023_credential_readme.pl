# The reference's section on credentials (sql/README.md): each snippet is run as it stands and
# gives labels, its table names every option, its warnings are true.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use lib 'test/perl';
use CredentialServer;
use CredentialTest;

my ($section) = slurp_file('sql/README.md') =~ /^## Credentials\n(.*?)^## /ms;
ok($section, 'sql/README.md has a section on credentials');
my @snippets = $section =~ /^```sql\n(.*?)^```/msg;
is(scalar @snippets, 7, 'it has seven snippets');

my $home = PostgreSQL::Test::Utils::tempdir;
mkdir "$home/.aliyun" or die;
append_to_file("$home/.aliyun/config.json",
	'{"current":"other","profiles":[{"name":"images","mode":"AK",'
	  . '"access_key_id":"fileid","access_key_secret":"filesecret"}]}');
chmod 0600, "$home/.aliyun/config.json" or die;
append_to_file("$home/token", 'oidc-token');

my $test = CredentialTest->new(
	env => {
		HOME => $home,
		ALIBABA_CLOUD_ROLE_ARN => 'acs:ram::1:role/r',
		ALIBABA_CLOUD_OIDC_PROVIDER_ARN => 'acs:ram::1:oidc-provider/p',
		ALIBABA_CLOUD_OIDC_TOKEN_FILE => "$home/token",
		OSS_ACCESS_KEY_ID => 'envid',
		OSS_ACCESS_KEY_SECRET => 'envsecret'
	});
my $server = $test->{credentials};
$server->issue(id => 'issued', secret => 'issuedsecret', token => 'issuedtoken');
$test->oss_key('issued', 'issuedsecret', 'issuedtoken');
$test->oss_key('fileid', 'filesecret');
$test->oss_key('envid', 'envsecret');
$test->oss_key('LTAI5tExample', 'ExampleSecret');
$test->{node}->append_conf('postgresql.conf',
	"log_statement = all\nlog_min_duration_statement = 0\n");
$test->{node}->reload;
$test->psql_ok('CREATE ROLE app LOGIN;'
	  . 'GRANT USAGE ON FOREIGN SERVER oss TO app;'
	  . 'GRANT USAGE ON SCHEMA oss_labels TO app;'
	  . 'GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA oss_labels TO app;');

# Services that are elsewhere in the world are here in this test.
my %here = (
	oidc => "ADD sts_endpoint '" . $server->url . "'",
	ram_role_arn => "ADD sts_endpoint '" . $server->url . "'",
	credentials_uri => "SET credentials_uri '" . $server->url . "/credentials'");
my %key = (config_file => 'fileid', environment => 'envid', static => 'LTAI5tExample');

for my $snippet (@snippets)
{
	my $source = $snippet =~ /credential_source '(\w+)'/ ? $1 : 'static';
	$test->psql_ok('DROP USER MAPPING IF EXISTS FOR app SERVER oss');
	$test->psql_ok($snippet);
	$test->psql_ok("ALTER USER MAPPING FOR app SERVER oss OPTIONS ($here{$source})")
	  if $here{$source};
	my ($out, $err) = $test->psql('SET SESSION AUTHORIZATION app;' . $test->detect_sql);
	is("$out$err", 't', "$source: labels for app");
	my $id = $key{$source} // 'issued';
	like($test->{oss}->logged(1), qr/\b$id\b/, "$source: its key");
}
unlike(slurp_file($test->{node}->logfile),
	qr/ExampleSecret/, 'the statement with the key is not in the log');

# ---- the table ----

my $names = $test->psql_ok('CREATE USER MAPPING FOR PUBLIC SERVER oss');
my ($table) = $section =~ /^(\| option of.*?)\n\n/ms;
my %documented = map { $_ => 1 } map { /`(\w+)`/g } map { (split /\|/)[1] }
  grep { /^\| `/ } split /\n/, $table;
my ($known) = slurp_file('src/client/credential_option.c') =~ /option_defs\[\] = \{(.*?)\};/s;
is( join(' ', sort keys %documented),
	join(' ', sort $known =~ /(?:OPTION\(|\{")(\w+)/g),
	'the table has every option and no other');

# ---- dumps ----

$test->psql_ok('CREATE ROLE dumper LOGIN; GRANT pg_read_all_data TO dumper;');
my $secret = qr/access_key_secret 'ExampleSecret'/;
my ($dump, $err) = run_command([ 'pg_dump', '-d', $test->{node}->connstr('postgres') ]);
like($dump, $secret, "a superuser's dump has the key");
($dump, $err) = run_command([ 'pg_dump', '-U', 'dumper', '-N', 'oss_labels', '-d', $test->{node}->connstr('postgres') ]);
like($dump, qr/^CREATE USER MAPPING FOR app SERVER oss\s*;/m, "another role's dump has the mapping")
  or diag $err;
unlike($dump, $secret, "another role's dump does not have the key");

# ---- who sees the options ----

my $view = "SELECT count(umoptions) FROM pg_user_mappings WHERE usename = 'app'";
is($test->psql_ok($view), 1, 'a superuser sees the options');
is($test->psql_ok("SET SESSION AUTHORIZATION app; $view"), 1, 'so does the mapped role');
is($test->psql_ok("SET SESSION AUTHORIZATION dumper; $view"), 0, 'another role does not');
my ($out, $denied) = $test->psql('SET SESSION AUTHORIZATION app; SELECT umoptions FROM pg_user_mapping');
like($denied, qr/ERROR:  42501/, 'the catalog is closed');

done_testing();
