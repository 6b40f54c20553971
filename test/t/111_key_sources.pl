# Sources of keys that are read or run on the server's machine: the default
# order, the variables of the SDKs, programs, CloudSSO; hostile and slow services;
# who may use them, and that nothing of them is told.

use strict;
use warnings;

use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use lib 'test/perl';
use CredentialServer;
use CredentialTest qw(write_file);

my $READER = 'acs:ram::1234567890123456:role/reader';
my $OIDC = 'eyJhbGciOi.oidc-token.4711';
my $home = PostgreSQL::Test::Utils::tempdir;
mkdir "$home/$_" or die for '.aliyun', '.alibabacloud';
my $cli = "$home/.aliyun/config.json";
my $ini = "$home/.alibabacloud/credentials";
my $oidc_file = write_file("$home/oidc", $OIDC);
my $test = CredentialTest->new(env => { HOME => $home });
my ($server, $node, $oss) = @$test{qw(credentials node oss)};
my $sts = $oss->http_endpoint;
my $detect = $test->detect_sql;

sub profile { my (%p) = @_; return write_file($cli, JSON::PP::encode_json({ current => 'main', profiles => [ { name => 'main', %p } ] })); }

sub works
{
	my ($name, $key, %options) = @_;
	my ($out, $err) = $test->detect(%options);
	is("$out$err", 't', "$name: labels");
	like($oss->logged(1), qr/\b$key/, "$name: signed by $key");
	return;
}

sub fails
{
	my ($name, $expected, %options) = @_;
	my $before = $test->oss_count('requests_total');
	my ($out, $err) = $test->detect(%options);
	like($err, qr/ERROR:  28000: .*DETAIL:  .*$expected.*HINT:/s, $name);
	is($test->oss_count('requests_total'), $before, "$name: OSS not asked");
	return $err;
}

$test->oss_key('envid', 'env-secret-4711');
$test->oss_key('cliid', 'cli-secret-4711');
$test->oss_key('iniid', 'ini-secret-4711');
$test->oss_key('progid', 'prog-secret-4711', 'prog-token-4711');
$test->oss_key('issued', 'issued-secret-4711', 'issued-token-4711');
$server->issue(id => 'issued', secret => 'issued-secret-4711', token => 'issued-token-4711');
$test->oss("/sts-role?arn=$READER&oidc_token=" . OssServer::escape($OIDC));

# ---- the default order: each source yields to those before it ----

my %default = (credential_source => 'default', sts_endpoint => $sts);
my %env = (ALIBABA_CLOUD_CREDENTIALS_URI => $server->url . '/credentials', ALIBABA_CLOUD_ECS_METADATA_DISABLED => 'True');
$test->environment(%env);
$server->reset_counts;
works('default: credentials URI', 'issued', %default);
is_deeply([ map { $server->count($_) } qw(uri token) ], [ 1, 0 ], 'the metadata service is not asked where that is forbidden');
fails('ecs_ram_role: forbidden', 'ALIBABA_CLOUD_ECS_METADATA_DISABLED', credential_source => 'ecs_ram_role');
%env = (ALIBABA_CLOUD_CREDENTIALS_URI => $env{ALIBABA_CLOUD_CREDENTIALS_URI}, ALIBABA_CLOUD_ECS_METADATA => 'TestRole');
$test->environment(%env);
$server->reset_counts;
works('default: the role of the instance', 'issued', %default);
is_deeply([ map { $server->count($_) } qw(uri token roles key) ], [ 0, 1, 0, 1 ], 'the role is that of the variable');
write_file($ini, "[default]\ntype = access_key\naccess_key_id = iniid\naccess_key_secret = ini-secret-4711\n");
works('default: INI file', 'iniid', %default);
profile(mode => 'AK', access_key_id => 'cliid', access_key_secret => 'cli-secret-4711');
works('default: file of the CLI', 'cliid', %default);
$test->environment(%env, ALIBABA_CLOUD_CLI_PROFILE_DISABLED => 'true');
works('default: without the file of the CLI', 'iniid', %default);
%env = (
	%env,
	ALIBABA_CLOUD_ROLE_ARN => $READER,
	ALIBABA_CLOUD_OIDC_PROVIDER_ARN => 'acs:ram::1:oidc-provider/p',
	ALIBABA_CLOUD_OIDC_TOKEN_FILE => $oidc_file);
$test->environment(%env);
works('default: OIDC', 'STS.made', %default);
$test->oss('/fault?kind=error&scope=sts&code=NoPermission&status=403');
works('default: OIDC fails', 'cliid', %default);
$test->oss('/unfault');
$test->environment(%env, ALIBABA_CLOUD_ACCESS_KEY_ID => 'envid', ALIBABA_CLOUD_ACCESS_KEY_SECRET => 'env-secret-4711');
works('default: environment', 'envid', %default);
$test->oss("/sts-role?arn=$READER");
works('a role by the default order', 'STS.made', %default, credential_source => 'ram_role_arn', role_source => 'default', role_arn => $READER);
unlink $cli, $ini;
$test->environment(ALIBABA_CLOUD_ECS_METADATA_DISABLED => 'true', ALIBABA_CLOUD_ACCESS_KEY_ID => '');
fails('default: nothing', 'No source of the default order.*ALIBABA_CLOUD_ACCESS_KEY_ID.*config.json.*credentials', %default);
$test->environment(ALIBABA_CLOUD_ECS_METADATA => '../../user-data');
fails('a path as the role', 'name of the RAM role', credential_source => 'ecs_ram_role');
$test->environment(ALIBABA_CLOUD_IMDSV1_DISABLED => 'TRUE');
$server->answer('token', status => 404);
fails('without token', 'ALIBABA_CLOUD_IMDSV1_DISABLED forbids', credential_source => 'ecs_ram_role');
$server->answer('token');

# ---- programs ----

my %file = (credential_source => 'config_file');
my $key = '{"mode":"StsToken","access_key_id":"progid","access_key_secret":"prog-secret-4711","sts_token":"prog-token-4711","expiration":"2037-01-01T00:00:00Z"}';
my $pids = "$home/pids";

sub program
{
	my ($body, $arguments) = @_;
	write_file("$home/my program", "#!/bin/sh\n$body\n", 0700);
	return profile(mode => 'External', process_command => "'$home/my program'" . ($arguments // ''));
}

# Does a process run?  Who is dead but not reaped does not.
sub runs
{
	my ($pid) = @_;
	open my $stat, '<', "/proc/$pid/stat" or return 0;
	return (<$stat> // '') =~ /\) [^ZX]/;
}

# Are all processes that the program noted gone, within five seconds?
sub all_gone
{
	my @pids = -e $pids ? split ' ', slurp_file($pids) : ();
	diag 'the program has noted no process' unless @pids;
	for (1 .. 100)
	{
		return scalar @pids unless grep { runs($_) } @pids;
		sleep 0.05;
	}
	diag "process $_ runs: " . slurp_file("/proc/$_/stat") for grep { runs($_) } @pids;
	return 0;
}
program("printf '%s' '$key'; cat; echo told-4711 >&2");
works('External', 'progid', %file);
program(qq([ "\$#:\$1:\$2" = '2:a b:\$HOME;x' ] && printf '%s' '$key'), q( "a b" '$HOME;x'));
works('External: arguments, no shell', 'progid', %file);
program("ls /proc/self/fd | wc -l >$home/fds; printf '%s' '$key'");
works('External: few descriptors', 'progid', %file);
cmp_ok(0 + slurp_file("$home/fds"), '<=', 6, 'it inherits none of the server');
for my $case (
	[ 'status 3', "printf '%s' '$key'; exit 3", 'ended with status 3' ],
	[ 'a signal', 'kill -9 $$', 'ended by signal 9' ],
	[ 'no output', 'true', 'not valid JSON' ],
	[ 'no JSON', 'echo secret-4711', 'not valid JSON' ],
	[ 'no key', 'echo "{}"', 'no access_key_id' ],
	[ 'no token', qq(echo '{"mode":"StsToken","access_key_id":"a","access_key_secret":"secret-4711"}'), 'no sts_token' ],
	[ 'an old key', "printf '%s' '$key' | sed s/2037/2020/", 'has expired' ],
	[ 'a strange time', "printf '%s' '$key' | sed s/2037/year/", 'malformed' ],
	[ 'too much', 'yes secret-4711', 'too long' ])
{
	my ($name, $body, $expected) = @$case;
	program("echo \$\$ >$pids; $body");
	fails("External: $name", $expected, %file);
	ok(all_gone(), "External: $name: it is gone");
}
profile(mode => 'External', process_command => '/nonexistent/program');
fails('External: no such program', 'could not be run', %file);
profile(mode => 'External', process_command => "sh 'secret-4711");
fails('External: half a quote', 'quote without its end', %file);
profile(mode => 'External');
fails('External: no command', 'command is empty', %file);
program("sleep 600 & echo \$\$ \$! >$pids; wait");
my $begin = time;
fails('External: too slow', 'did not end in time', %file, timeout_ms => 500);
cmp_ok(time - $begin, '<', 5, 'too slow: the limit is kept');
ok(all_gone(), 'too slow: program and child are gone');

my ($out, $err);

# A statement that fetches a key ends within 200 ms of its cancel after 700 ms, in
# the best of three attempts, as others use this machine too.
sub is_cancelled
{
	my ($name, %options) = @_;
	$test->psql_ok($test->create_mapping(%options));
	my $best = 1e9;
	for (1 .. 3)
	{
		($out, $err) = $test->psql("SET statement_timeout = 700; DO \$\$ DECLARE begun timestamptz := clock_timestamp(); BEGIN"
			  . " PERFORM * FROM oss_labels.detect('examplebucket', 'example.jpg'); EXCEPTION WHEN query_canceled THEN"
			  . " RAISE NOTICE 'took % ms', round(extract(epoch FROM clock_timestamp() - begun) * 1000); END \$\$;");
		my ($took) = $err =~ /took (\d+) ms/;
		$best = $took if defined $took && $took < $best;
		last if $best < 900;
	}
	cmp_ok($best, '>', 600, "$name: it waits");
	cmp_ok($best, '<', 900 * OssServer::patience(), "$name: cancelled within 200 ms");
	return;
}
unlink $pids;
is_cancelled('External', %file);
ok(all_gone(), 'External: a caught cancel: program and child are gone');
unlink $pids;
($out, $err) = $test->psql($test->create_mapping(%file) . "SET statement_timeout = 1000; $detect");
like($err, qr/57014/, 'External: statement_timeout');
ok(all_gone(), 'External: statement_timeout: program and child are gone');
program("echo ran >>$home/ran; printf '%s' '$key'");
$test->psql_ok('CREATE ROLE app; GRANT USAGE ON FOREIGN SERVER oss TO app;'
	  . 'GRANT USAGE ON SCHEMA oss_labels TO app; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA oss_labels TO app;'
	  . "DROP USER MAPPING FOR CURRENT_USER SERVER oss; CREATE USER MAPPING FOR PUBLIC SERVER oss OPTIONS (credential_source 'config_file', superuser_required 'false');");
is($test->psql_ok($detect), 't', 'External: a superuser by the mapping of PUBLIC');
unlink "$home/ran";
($out, $err) = $test->psql("SET ROLE app; $detect");
like($err, qr/28000.*Only superusers may use a profile of mode External/s, 'External: not for others');
ok(!-e "$home/ran", 'External: nothing was run for them');
$test->psql_ok('DROP USER MAPPING FOR PUBLIC SERVER oss');

# ---- CloudSSO ----

my %sso = (
	mode => 'CloudSSO', cloud_sso_sign_in_url => $server->url . '/start/login', cloud_sso_account_id => '12"3',
	cloud_sso_access_config => 'ac-1', access_token => 'sso-token-4711', cloud_sso_access_token_expire => time + 3600);
$server->answer('other', body => '{"CloudCredential":{"AccessKeyId":"issued","AccessKeySecret":"issued-secret-4711",'
	  . '"SecurityToken":"issued-token-4711","Expiration":"2037-01-01T00:00:00Z"},"RequestId":"R"}');
profile(%sso);
works('CloudSSO', 'issued', %file);
like($server->last_request('other'), qr{\APOST /cloud-credentials HTTP.*^Authorization: Bearer sso-token-4711\r\n.*"AccountId":"12\\"3"}ms, 'CloudSSO: what is sent');
profile(%sso, cloud_sso_access_token_expire => time - 1);
fails('CloudSSO: expired', 'Sign in again.*aliyun configure', %file);
profile(%sso, access_token => '');
fails('CloudSSO: no token', 'Sign in again', %file);
profile(%sso, access_token => "a\r\nX: b");
fails('CloudSSO: a header as token', 'lacks a proper', %file);
for my $url ('http://sso.example.com/login', 'secret-4711', 'https://user:secret-4711@host/')
{
	profile(%sso, cloud_sso_sign_in_url => $url);
	fails("CloudSSO: $url", 'lacks a proper', %file);
}
$server->answer('other', status => 401, body => '{"Code":"InvalidToken","Message":"sso-token-4711"}');
profile(%sso);
fails('CloudSSO: refused', 'status 401, code InvalidToken', %file);
unlink $cli;

# ---- services that are hostile or slow ----

my %role = (credential_source => 'ram_role_arn', role_arn => $READER, access_key_id => 'testid',
	access_key_secret => 'testsecret', sts_endpoint => $sts);
my %uri = (credential_source => 'credentials_uri', credentials_uri => $server->url . '/credentials');
for my $case (
	[ 'kind=hang', 'did not answer in time' ],
	[ 'kind=html', 'not valid JSON|status \d+' ],
	[ 'kind=huge&bytes=1000000', 'too long' ],
	[ 'kind=redirect&location=http://127.0.0.1:1/', 'status 30' ],
	[ 'kind=drop', 'connection broke' ],
	[ 'kind=garbage', 'broke|failed|in time' ],
	[ 'kind=truncate&bytes=20', 'broke|not valid' ])
{
	my ($fault, $expected) = @$case;
	$test->oss("/fault?scope=sts&$fault");
	my $start = time;
	fails("STS: $fault", "(?:$expected)", %role, timeout_ms => 700);
	cmp_ok(time - $start, '<', 6, "STS: $fault: soon");
	$test->oss('/unfault');
}
$server->answer('uri', delay => 5);
fails('URI: hangs', 'did not answer in time', %uri, timeout_ms => 500);
is_cancelled('URI hangs', %uri);
$server->answer('uri');
my %tls = (%role, sts_endpoint => $oss->https_endpoint);
fails('STS by TLS: an unknown CA', 'certificate was refused', %tls);
works('STS by TLS: ca_file', 'STS.made', %tls, ca_file => $oss->ca_file);
fails('STS by TLS: no such file', '.', %tls, ca_file => "$home/none.pem");
for my $case ([ timeout_ms => 0 ], [ timeout_ms => 'soon' ], [ connect_timeout_ms => -1 ], [ ca_file => 'ca.pem' ])
{
	($out, $err) = $test->psql($test->create_mapping(%role, @$case));
	like($err, qr/22023/, "refused: $case->[0] $case->[1]");
}
$test->oss('/fault?scope=sts&kind=hang');
is_cancelled('STS hangs', %role);
$test->oss('/unfault');

# ---- nothing is told ----

my $log = slurp_file($node->logfile);
for my $secret (qw(env-secret-4711 cli-secret-4711 ini-secret-4711 prog-secret-4711 prog-token-4711 issued-secret-4711
	issued-token-4711 sso-token-4711 made-secret- told-4711), $OIDC)
{
	ok(index($test->{shown}, $secret) < 0, "no message has $secret");
	ok(index($log, $secret) < 0, "the log does not have $secret");
}
unlike($test->{shown}, qr/\bsecret-4711/, 'nor what a file or program said');

done_testing();
