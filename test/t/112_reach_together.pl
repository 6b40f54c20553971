# Ways to a key and to a host beside each other: what one source leaves behind for
# the next, keys of a role that lost its rights, the default order in two sessions,
# hosts that a bucket's name or a proxy would choose.

use strict;
use warnings;

use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use lib 'test/perl';
use CredentialServer;
use CredentialTest qw(write_file);

my $READER = 'acs:ram::1234567890123456:role/reader';
my $OIDC = 'eyJhbGciOi.oidc-token.4711';
my $home = PostgreSQL::Test::Utils::tempdir;
mkdir "$home/.aliyun" or die;
my $cli = "$home/.aliyun/config.json";
my $program = "$home/program";
my $test = CredentialTest->new(
	conf => "shared_preload_libraries = 'oss_labels'\noss_labels.worker = off\n",
	env => { HOME => $home });
my ($server, $oss) = @$test{qw(credentials oss)};
my $detect = $test->detect_sql;

$server->issue(id => 'issued', secret => 'issued-secret-4711', token => 'issued-token-4711');
$test->oss_key('issued', 'issued-secret-4711', 'issued-token-4711');
$test->oss_key('progid', 'prog-secret-4711', 'prog-token-4711');
$test->oss("/sts-role?arn=$READER&oidc_token=" . OssServer::escape($OIDC));
my %default = (credential_source => 'default', sts_endpoint => $oss->http_endpoint);

# ---- a program that fails, before a source that takes its time ----

write_file($cli, JSON::PP::encode_json({ current => 'main', profiles => [ { name => 'main', mode => 'External', process_command => $program } ] }));
write_file($program, "#!/bin/sh\necho no JSON\n", 0700);
$server->answer('token', delay => 1);
$server->reset_counts;
my ($out, $err) = $test->detect(%default);
is("$out$err", 't', 'default: a program without a key, then a slow metadata service: labels');
like($oss->logged(1), qr/\bissued/, 'signed by the key of the instance');
is_deeply([ map { $server->count($_) } qw(token roles key) ], [ 1, 1, 1 ], 'which is asked once for each thing');
$server->answer('token');

# ---- a superuser who is none any more ----

write_file($program, qq(#!/bin/sh\nprintf '%s' '{"mode":"StsToken","access_key_id":"progid","access_key_secret":"prog-secret-4711",)
	  . qq("sts_token":"prog-token-4711","expiration":"2037-01-01T00:00:00Z"}'\n), 0700);
$test->psql_ok('CREATE ROLE was_super SUPERUSER; DROP USER MAPPING IF EXISTS FOR CURRENT_USER SERVER oss;'
	  . 'GRANT USAGE ON FOREIGN SERVER oss TO was_super; GRANT USAGE ON SCHEMA oss_labels TO was_super;'
	  . 'GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA oss_labels TO was_super;'
	  . "CREATE USER MAPPING FOR PUBLIC SERVER oss OPTIONS (credential_source 'config_file', superuser_required 'false')");
my $before = $test->oss_count('requests_total');
($out, $err) = $test->psql("SET ROLE was_super; $detect RESET ROLE; ALTER ROLE was_super NOSUPERUSER; SET ROLE was_super; $detect");
like($out, qr/^t$/m, 'a program gives a superuser a key');
like($err, qr/28000.*Only superusers may use a profile of mode External/s, 'its key is not used once the role is none any more');
is($test->oss_count('requests_total') - $before, 1, 'nor sent to OSS');
$test->psql_ok('DROP USER MAPPING FOR PUBLIC SERVER oss');
unlink $cli;

# ---- the default order in two sessions ----

$test->environment(
	ALIBABA_CLOUD_ROLE_ARN => $READER,
	ALIBABA_CLOUD_OIDC_PROVIDER_ARN => 'acs:ram::1:oidc-provider/p',
	ALIBABA_CLOUD_OIDC_TOKEN_FILE => write_file("$home/oidc", $OIDC));
($out, $err) = $test->detect(%default);
is("$out$err", 't', 'default: OIDC');
my $made = $test->oss_count('sts_requests');
$test->oss('/fault?kind=error&scope=sts&code=NoPermission&status=403');
$server->reset_counts;
($out, $err) = $test->psql("SELECT oss_labels.presign('examplebucket', 'example.jpg', '2 hours'); $detect");
cmp_ok($test->oss_count('sts_requests'), '>', $made, 'another session wants a key with a longer life');
is($server->count, 0, 'a renewal that fails does not lead to the key of another source');
like($oss->logged(1), qr/\bSTS\.made/, 'the key that is still good is used');
$test->oss('/unfault');

# ---- hosts ----

my $wrapper = 'CREATE SERVER other FOREIGN DATA WRAPPER oss_labels OPTIONS';
for my $endpoint ('https://{bucket}.com', 'https://cdn-{bucket}.com.:8443')
{
	($out, $err) = $test->psql("$wrapper (region 'cn-hangzhou', endpoint '$endpoint')");
	like($err, qr/22023.*top-level/s, "$endpoint: no bucket chooses a domain that anyone may register");
}
($out, $err) = $test->psql("$wrapper (region 'cn-hangzhou', endpoint 'http://oss.corp.example', plain_http 'private', proxy 'http://127.0.0.1:3128')");
like($err, qr/22023.*contradict.*resolves names itself/s, 'plain http to names that a proxy resolves is refused');
$test->psql_ok("ALTER SERVER oss OPTIONS (ADD bucket_domains E'\\n\\tbucket-a\\t=\\timg.example.com,\\r\\n\\tbucket-b = photos.example.org\\n')");
is($test->psql_ok('SELECT bucket, host FROM oss_labels.bucket_domain ORDER BY bucket'),
	"bucket-a|img.example.com\nbucket-b|photos.example.org", 'domains written over several lines');
$test->psql_ok("UPDATE oss_labels.bucket_domain SET host = 'new.example.com' WHERE bucket = 'bucket-a'; DELETE FROM oss_labels.bucket_domain WHERE bucket = 'bucket-b'");
is($test->psql_ok('SELECT bucket, host FROM oss_labels.bucket_domain'), 'bucket-a|new.example.com', 'and changed as rows');

done_testing();
