# Each source of credentials, against servers that speak its protocol: what a
# healthy one gives, what a sick one gives, who may define and use a mapping,
# and that no secret is in a log or an error.

use strict;
use warnings;

use POSIX ();

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use lib 'test/perl';
use CredentialServer;
use CredentialTest qw(write_file);

my $ISSUED = 'issued-secret-4711';
my $TOKEN = 'issued/token+4711==';
my $OIDC = 'eyJhbGciOi.oidc-token.4711';

my $home = PostgreSQL::Test::Utils::tempdir;
mkdir "$home/.aliyun" or die;
my $oidc_file = write_file("$home/oidc", "$OIDC\n", 0644);

my $test = CredentialTest->new(
	env => {
		HOME => $home,
		ALIBABA_CLOUD_ACCESS_KEY_ID => 'envid',
		ALIBABA_CLOUD_ACCESS_KEY_SECRET => 'env-secret-4711',
		ALIBABA_CLOUD_SECURITY_TOKEN => 'env-token-4711'
	});
my $server = $test->{credentials};

$test->oss_key('envid', 'env-secret-4711', 'env-token-4711');
$test->oss_key('ossid', 'oss-secret-4711');
$test->oss_key('issued', $ISSUED, $TOKEN);
$server->issue(id => 'issued', secret => $ISSUED, token => $TOKEN);

# One call with a mapping of these options gives labels, signed by this key.
sub works
{
	my ($name, $key, %options) = @_;
	my $before = $test->oss_count("status_200");
	my ($out, $err) = $test->detect(%options);
	is("$out$err", 't', "$name: labels");
	ok($test->{oss}->wait_count('status_200', $before + 1), "$name: one request");
	like($test->{oss}->logged(1), qr/\b\Q$key\E\b/, "$name: signed by $key");
	return;
}

# One call with a mapping of these options fails like this, and OSS is not asked.
sub fails
{
	my ($name, $expected, %options) = @_;
	my $before = $test->oss_count('requests_total');
	my ($out, $err) = $test->detect(%options);
	like($err, qr/ERROR:  28000: .*DETAIL:  [^\n]*(?:$expected)/s, $name);
	is($test->oss_count('requests_total'), $before, "$name: OSS not asked");
	return;
}

my %ecs = (credential_source => 'ecs_ram_role');
my %oidc = (
	credential_source => 'oidc',
	role_arn => 'acs:ram::1234567890123456:role/oss-labels',
	oidc_provider_arn => 'acs:ram::1234567890123456:oidc-provider/ack',
	oidc_token_file => $oidc_file,
	sts_endpoint => $server->url);
my %uri = (
	credential_source => 'credentials_uri',
	credentials_uri => $server->url . '/credentials?for=oss');

# ---- static and environment ----

works('static', 'testid', access_key_id => 'testid', access_key_secret => 'testsecret');
works(
	'static with token', 'stsid',
	access_key_id => 'stsid',
	access_key_secret => 'stssecret',
	security_token => 'ststoken');
works('environment', 'envid', credential_source => 'environment');

# ---- ECS RAM role ----

$server->reset_counts;
$server->set(hardened => 1);
works('ecs', 'issued', %ecs);
is_deeply(
	[ map { $server->count($_) } qw(token roles key other) ],
	[ 1, 1, 1, 0 ],
	'ecs: a token, the role, the key');
like(
	$server->last_request('token'),
	qr{^PUT /latest/api/token HTTP/1\.1\r\n.*^X-aliyun-ecs-metadata-token-ttl-seconds: 21600\r$}msi,
	'ecs: the token is asked for as documented');
$server->reset_counts;
works('ecs with role_name', 'issued', %ecs, role_name => 'TestRole');
is($server->count('roles'), 0, 'ecs with role_name: the role is not asked for');

$server->answer('token', status => 404);
fails('hardened, no token', 'status 403', %ecs);
$server->set(hardened => 0);
works('ecs, plain', 'issued', %ecs);
unlike($server->last_request('key'), qr/metadata-token/i, 'ecs, plain: no token sent');
$server->reset_counts;
fails('ecs, plain mode forbidden', 'disable_imds_v1', %ecs, disable_imds_v1 => 'true');
is($server->count('key'), 0, 'ecs, plain mode forbidden: not asked');
$server->answer('token', status => 200, body => "two\r\nX-Injected: lines");
works('ecs, a token that is none', 'issued', %ecs);
unlike($server->last_request('key'), qr/Injected/, 'ecs: a header is not injected');
$server->answer('token');

$server->answer('roles', status => 404);
fails('no role attached', 'No RAM role is attached', %ecs);
$server->answer('roles', body => "<html>\n");
fails('a role that is none', 'not the name of a RAM role', %ecs);
$server->answer('roles', body => '');
fails('an empty role', 'not the name of a RAM role', %ecs);
$server->answer('roles');

$server->answer('key', status => 500, times => 1);
works('ecs, 500 once', 'issued', %ecs);
$server->answer('key', drop => 1, times => 1);
works('ecs, a broken connection once', 'issued', %ecs);

# ---- answers that hold no key ----

my %whole = (
	AccessKeyId => 'issued',
	AccessKeySecret => $ISSUED,
	SecurityToken => $TOKEN,
	Expiration => '2037-01-01T00:00:00Z',
	Code => 'Success');
my @sick = (
	[ 'status 500', [ status => 500 ], 'status 500' ],
	[ 'status 404', [ status => 404, body => 'no such role' ], 'status 404' ],
	[ 'an error code', [ status => 400, body => '{"Code":"Bad.Thing","Message":"m"}' ],
	  'status 400, code Bad\.Thing' ],
	[ 'a broken connection', [ drop => 1 ], 'the connection broke' ],
	[ 'nothing', [ body => '' ], 'not valid JSON' ],
	[ 'half', [ body => '{"Code":"Success","AccessKeyId":"is' ], 'not valid JSON' ],
	[ 'an array', [ body => '[]' ], '(has no AccessKeyId|is not Success)' ],
	[ 'bytes', [ body => "\x{1}\x{0}{" ], 'not valid JSON' ],
	[ 'deep nesting', [ body => '[' x 60000 ], 'not valid JSON' ],
	[ 'too much', [ body => 'x' x 70000 ], 'answer is too long' ],
	(map { [ "no $_", [ without($_) ], "has no $_" ] }
		  qw(AccessKeyId AccessKeySecret SecurityToken Expiration)),
	[ 'a null', [ with(AccessKeyId => undef) ], 'has no AccessKeyId' ],
	[ 'a list', [ with(AccessKeySecret => [1]) ], 'has no AccessKeySecret' ],
	[ 'an injected header', [ with(SecurityToken => "a\r\nX-A: b") ], 'malformed' ],
	[ 'not ASCII', [ with(AccessKeySecret => "\x{7167}") ], 'malformed' ],
	[ 'a slash in the id', [ with(AccessKeyId => 'a/b') ], 'malformed' ],
	[ 'an old key', [ with(Expiration => '2020-01-01T00:00:00Z') ], 'has expired already' ],
	[ 'a strange time', [ with(Expiration => 'tomorrow') ], 'is malformed' ]);

# A document with other values, as the answers of this kind are.
sub with
{
	my %other = @_;
	return (body => JSON::PP->new->ascii->encode({ %whole, %other }));
}

# A document without a field.
sub without
{
	my %rest = %whole;
	delete $rest{ $_[0] };
	return (body => JSON::PP->new->ascii->encode(\%rest));
}

for my $case (@sick)
{
	my ($name, $answer, $expected) = @$case;
	$server->answer('key', @$answer);
	fails("ecs: $name", $expected, %ecs, role_name => 'TestRole');
	$server->answer('uri', @$answer);
	fails("uri: $name", $expected, %uri);
}
$server->answer('key', with(Code => 'success'));
fails('Code must be Success', 'is not Success', %ecs);
$server->answer('key', without('Code'));
fails('Code must be there', 'is not Success', %ecs);
$server->answer($_) for qw(key uri);

# ---- answers that other programs write differently ----

for my $case (
	[ 'a fraction', with(Expiration => '2037-01-01T00:00:00.000Z') ],
	[ 'a long fraction', with(Expiration => '2037-01-01T00:00:00.123456789Z') ],
	[ 'an offset', with(Expiration => '2037-01-01T00:00:00+00:00') ],
	[ 'an offset and a fraction', with(Expiration => '2037-01-01T08:00:00.5+08:00') ],
	[ 'a byte order mark', body => "\xEF\xBB\xBF" . { with() }->{body} ],
	[ 'U+0000 beside the key', with(Note => "\0") ],
	[ 'half a pair beside the key', body => { with(Note => 'X') }->{body} =~ s/"X"/"\\ud83d \\udc00"/r ],
	[ 'an escaped escape', with(Note => '\\u0000\\') ],
	[ 'an emoji', with(Note => "\x{1F600}") ])
{
	my ($name, @answer) = @$case;
	$server->answer('key', @answer);
	works("ecs: $name", 'issued', %ecs, role_name => 'TestRole');
	$server->answer('uri', @answer);
	works("uri: $name", 'issued', %uri);
}
for my $time ('2037-01-01T00:00:00', '2037-01-01T00:00:00.Z', '2037-13-01T00:00:00Z',
	'2037-01-01T24:00:00Z', '2037-01-01T00:00:00+0000', '2037-01-01T00:00:00+25:00',
	'2037-01-01T00:00:00Z ', '2037-01-01')
{
	$server->answer('uri', with(Expiration => $time));
	fails("uri: it expires at '$time'", 'is malformed', %uri);
}

# The offset counts: this is in the past, though its digits are in the future.
$server->answer('uri', with(Expiration =>
	  POSIX::strftime('%Y-%m-%dT%H:%M:%S+08:00', gmtime(time + 3600))));
fails('uri: an hour from now, but in China', 'has expired already', %uri);
$server->answer('uri', with(Expiration =>
	  POSIX::strftime('%Y-%m-%dT%H:%M:%S-08:00', gmtime(time - 3600))));
works('uri: an hour ago, but in California', 'issued', %uri);
$server->answer($_) for qw(key uri);

# ---- credentials URI ----

works('uri', 'issued', %uri);
like($server->last_request('uri'), qr{^GET /credentials\?for=oss HTTP}, 'uri: the URL as given');

# ---- OIDC ----

works('oidc', 'issued', %oidc);
my ($head, $form) = split /\r\n\r\n/, $server->last_request('sts');
like(
	$head,
	qr{^POST /\?Action=AssumeRoleWithOIDC&Version=2015-04-01&Format=JSON&Timestamp=\d{4}-\d\d-\d\dT\d\d%3A\d\d%3A\d\dZ HTTP},
	'oidc: the query');
unlike($head, qr/authorization/i, 'oidc: not signed');
is( $form,
	'RoleArn=acs%3Aram%3A%3A1234567890123456%3Arole%2Foss-labels'
	  . '&OIDCProviderArn=acs%3Aram%3A%3A1234567890123456%3Aoidc-provider%2Fack'
	  . "&OIDCToken=$OIDC&RoleSessionName=oss-labels&DurationSeconds=3600",
	'oidc: the form');
works('oidc with options', 'issued', %oidc, role_session_name => 'me', duration_seconds => 900);
like($server->last_request('sts'), qr/RoleSessionName=me&DurationSeconds=900$/, 'oidc: options');
$server->answer(
	'sts',
	status => 400,
	body => qq({"Code":"AuthenticationFail.OIDCToken.Expired","Message":"$OIDC"}));
fails('oidc: refused', 'status 400, code AuthenticationFail\.OIDCToken\.Expired', %oidc);
$server->answer('sts', body => '{"RequestId":"x"}');
fails('oidc: no Credentials', 'has no AccessKeyId', %oidc);
$server->answer('sts');
fails('oidc: no such file', 'cannot be opened: No such file', %oidc, oidc_token_file => '/nowhere');
fails('oidc: a device', 'not a regular file', %oidc, oidc_token_file => '/dev/zero');
fails(
	'oidc: an empty file', 'does not hold an OIDC token',
	%oidc, oidc_token_file => write_file("$home/empty", ''));
fails(
	'oidc: a long file', 'is too large',
	%oidc, oidc_token_file => write_file("$home/long", 'x' x 70000));
fails('oidc: a scheme in capitals', 'no connection could be made|did not answer in time',
	%oidc, sts_endpoint => 'HTTPS://192.0.2.1');
fails('oidc: nothing given', 'option role_arn', credential_source => 'oidc');

# ---- configuration files ----

my %profiles = (
	ak => { mode => 'AK', access_key_id => 'ossid', access_key_secret => 'oss-secret-4711',
		sts_token => '', expired_seconds => 0 },
	sts => { mode => 'StsToken', access_key_id => 'issued', access_key_secret => $ISSUED,
		sts_token => $TOKEN },
	ecs => { mode => 'EcsRamRole', ram_role_name => 'TestRole' },
	external => { mode => 'OAuth', oauth_access_token => 'oauth-token-4711' },
	nokey => { mode => 'AK', access_key_id => 'ossid' },
	evil => { mode => 'EcsRamRole', ram_role_name => '../../user-data' });
my $json = JSON::PP->new->canonical->encode({
	current => 'ak',
	profiles => [ map { { name => $_, %{ $profiles{$_} } } } sort keys %profiles ]
});
my %file = (credential_source => 'config_file');

write_file("$home/.aliyun/config.json", $json);
works('config_file, default', 'ossid', %file);
works('config_file, ~', 'ossid', %file, config_file => '~/.aliyun/config.json');
works('config_file, StsToken', 'issued', %file, profile => 'sts');
works('config_file, EcsRamRole', 'issued', %file, profile => 'ecs');
fails('config_file: mode', 'a mode that is not supported', %file, profile => 'external');
fails('config_file: no key', 'has no access_key_id and access_key_secret', %file, profile => 'nokey');
fails('config_file: a path as role', 'role_name in the profile', %file, profile => 'evil');
fails('config_file: no such profile', 'does not have the profile', %file, profile => 'none');
fails(
	'config_file: others may read it', 'Others have access',
	%file, config_file => write_file("$home/open.json", $json, 0644));
fails(
	'config_file: not JSON', 'not valid JSON',
	%file, config_file => write_file("$home/half.json", '{"current":'));
fails('config_file: a directory', 'not a regular file', %file, config_file => $home);

# Names in Chinese beside it disturb nothing, whatever the database's encoding
# (in EUC_JP, the third byte of the name would begin a pair with the quote).
my $chinese = write_file("$home/chinese.json", $json =~ s/external/\xE7\x85\xA7/r);
for my $encoding (qw(UTF8 LATIN1 EUC_JP SQL_ASCII))
{
	$test->psql_ok("CREATE DATABASE in_$encoding TEMPLATE template0 ENCODING '$encoding' LOCALE 'C'");
	my ($out, $err) = $test->psql($test->create_server
		  . $test->create_mapping(%file, config_file => $chinese) . $test->detect_sql,
		database => lc "in_$encoding");
	is("$out$err", 't', "config_file in encoding $encoding");
}
works('config_file, a Chinese profile', 'stsid', %file,
	config_file => write_file("$home/zh.json", '{"profiles":[{"name":"'
	  . "\xE7\x85\xA7" . '","mode":"StsToken","access_key_id":"stsid","access_key_secret":"stssecret",'
	  . '"sts_token":"ststoken"}]}'),
	profile => "\xE7\x85\xA7");

# Written by other tools and by hand.
my $bom = "\xEF\xBB\xBF";
works('config_file, a byte order mark', 'ossid', %file,
	config_file => write_file("$home/bom.json", $bom . $json));
works('config_file, U+0000 in another field', 'ossid', %file,
	config_file => write_file("$home/nul.json", $json =~ s/\{/{"note":"\\u0000\\\\","last":"\\\\u0000",/r));
works('config_file, an escaped name', 'ossid', %file, profile => "\xE7\x85\xA7",
	config_file => write_file("$home/escaped.json", $json =~ s/"name":"ak"/"name":"\\u7167"/r));
works('config_file, mode CredentialsURI', 'issued', %file, profile => 'uri',
	config_file => write_file("$home/uri.json",
		qq({"profiles":[{"name":"uri","mode":"CredentialsURI","credentials_uri":"$uri{credentials_uri}"}]})));
works('config_file, a mode in other case', 'ossid', %file,
	config_file => write_file("$home/case.json", $json =~ s/"AK"/"ak"/gr));
fails('config_file: CredentialsURI that is none', 'credentials_uri in the profile', %file,
	config_file => write_file("$home/baduri.json",
		q({"profiles":[{"name":"default","mode":"CredentialsURI","credentials_uri":"file:///etc/passwd"}]})));
fails('config_file: says that it is JSON', 'does not have the profile\. It was taken for a configuration file of the Alibaba Cloud CLI',
	%file, profile => 'none');
fails('config_file: says that it is an INI file', 'does not have the profile\. It was taken for an INI file',
	%file, config_file => write_file("$home/comment.json", "// mine\n$json"));

my $ini = write_file("$home/credentials", <<"INI");
[default]
type = access_key
access_key_id = ossid   # a comment
access_key_secret = oss-secret-4711
[token]
type = sts
access_key_id = issued
access_key_secret = $ISSUED
security_token = $TOKEN
[ecs]
type = ecs_ram_role
role_name = TestRole
[arn]
type = rsa_key_pair
INI
works('INI, default', 'ossid', %file, config_file => $ini);
works('INI, sts', 'issued', %file, config_file => $ini, profile => 'token');
works('INI, ecs_ram_role', 'issued', %file, config_file => $ini, profile => 'ecs');
fails('INI: type', 'not supported', %file, config_file => $ini, profile => 'arn');
works('INI, a byte order mark', 'ossid', %file,
	config_file => write_file("$home/bom.ini", $bom . slurp_file($ini)));
works('INI, CR LF', 'ossid', %file,
	config_file => write_file("$home/crlf.ini", slurp_file($ini) =~ s/\n/\r\n/gr));
works('INI, a section in parts', 'issued', %file, profile => 'parts',
	config_file => write_file("$home/parts.ini", <<"PARTS"));
[parts] ; the first
type = access_key
access_key_id = issued
access_key_secret = old
[other]
access_key_secret = other
[parts] # the second
type = sts
access_key_secret = $ISSUED ; the secret
security_token = $TOKEN
PARTS
works('INI, enable = true', 'ossid', %file,
	config_file => write_file("$home/on.ini", slurp_file($ini) =~ s/^type/enable = true\ntype/mr));
fails('INI: enable = false', 'not to be used: it has enable = false', %file,
	config_file => write_file("$home/off.ini", slurp_file($ini) =~ s/^type/enable = false\ntype/mr));
works('INI, credentials_uri', 'issued', %file,
	config_file => write_file("$home/uri.ini",
		"[default]\ntype = credentials_uri\ncredentials_uri = $uri{credentials_uri}\n"));
fails('INI: no such section', 'does not have the profile', %file, config_file => $ini, profile => 'x');

# an OIDC profile goes to the real STS: that no endpoint can be set in a file
# is the point, so only its refusal to begin is seen here
fails(
	'INI, oidc_role_arn', 'does not hold an OIDC token',
	%file,
	config_file => write_file("$home/oidc.ini", <<"INI"));
[default]
type = oidc_role_arn
role_arn = $oidc{role_arn}
oidc_provider_arn = $oidc{oidc_provider_arn}
oidc_token_file_path = $home/empty
INI

# ---- a mapping's options ----

for my $case (
	[ 'incomplete', '22023', 'access_key_secret', access_key_id => 'a' ],
	[ 'no id', '22023', 'access_key_id', access_key_secret => 'a' ],
	[ 'unknown source', '22023', 'credential_source', credential_source => 'magic' ],
	[ 'of another source', '22023', 'belongs to', %ecs, access_key_id => 'a' ],
	[ 'white space', '22023', 'white space', access_key_id => 'a', access_key_secret => "s3cret\n" ],
	[ 'a role with a slash', '22023', 'role_name', %ecs, role_name => 'a/b' ],
	[ 'a relative file', '22023', 'config_file', %file, config_file => 'config.json' ],
	[ 'a URI that is none', '22023', 'http', %uri, credentials_uri => 'file:///etc/passwd' ],
	[ 'http to STS', '22023', 'sts_endpoint', %oidc, sts_endpoint => 'http://sts.aliyuncs.com' ],
	[ 'a region of another spelling', '22023', 'sts_region', %oidc, sts_region => 'oss-cn-hangzhou' ],
	[ 'a short life', '22023', 'seconds', %oidc, duration_seconds => 60 ],
	[ 'a VPC without region', '22023', 'sts_region', %oidc, enable_vpc => 'true' ],
	[ 'a misspelt name', 'HV00D', 'role_name', %ecs, rolename => 'a' ])
{
	my ($name, $sqlstate, $expected, %options) = @$case;
	my ($out, $err) = $test->psql($test->create_mapping(%options));
	like($err, qr/ERROR:  $sqlstate: .*\Q$expected\E/s, "definition: $name");
	unlike($err, qr/s3cret/, "definition: $name: value not shown");
	unlike($err, qr/^DETAIL:  (?:[a-z]|.*[^.]$)/m, "definition: $name: the detail is a sentence");
}
is(join('', $test->psql($test->create_mapping)), '', 'a mapping without options, as pg_dump writes it');
fails('a mapping without options', 'no access_key_id and access_key_secret');

# ---- who may ----

$test->psql_ok(
	'CREATE ROLE app LOGIN;'
	  . 'GRANT USAGE ON FOREIGN SERVER oss TO app;'
	  . 'GRANT USAGE ON SCHEMA oss_labels TO app;'
	  . 'GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA oss_labels TO app;');
for my $options (
	\%ecs, \%oidc, \%uri, \%file,
	{ credential_source => 'environment' },
	{ access_key_id => 'a', access_key_secret => 'b', superuser_required => 'false' })
{
	my ($out, $err) =
	  $test->psql('SET SESSION AUTHORIZATION app;' . $test->create_mapping(%$options));
	like($err, qr/ERROR:  42501: .*superuser/s,
		'definition refused: ' . ($options->{credential_source} // 'superuser_required'));
}
my $as_app = 'SET SESSION AUTHORIZATION app;' . $test->detect_sql;
my $define = sub { $test->create_mapping(@_) =~ s/FOR CURRENT_USER/FOR app/gr };

my ($out, $err) = $test->psql('SET SESSION AUTHORIZATION app;'
	  . $test->create_mapping(access_key_id => 'testid', access_key_secret => 'testsecret')
	  . $test->detect_sql);
is("$out$err", 't', 'a role may use keys of its own');

$server->reset_counts;
($out, $err) = $test->psql($define->(%ecs) . $as_app);
like($err, qr/ERROR:  42501: /, 'use refused to a role that is no superuser');
is($server->count, 0, 'use refused: nothing fetched');
($out, $err) = $test->psql($define->(%ecs, superuser_required => 'false') . $as_app);
is("$out$err", 't', 'use allowed by a superuser');
($out, $err) = $test->psql(
	"SET SESSION AUTHORIZATION app; ALTER USER MAPPING FOR app SERVER oss OPTIONS (ADD role_name 'Other')");
like($err, qr/ERROR:  42501: /, 'a role may not change such a mapping');

# The metadata service's address, set before and after the library is loaded.
my $elsewhere = CredentialServer->new;
for my $load ('', "LOAD 'oss_labels';")
{
	($out, $err) = $test->psql("SET SESSION AUTHORIZATION app; $load"
		  . "SET oss_labels.metadata_endpoint = '" . $elsewhere->url . "';"
		  . $test->detect_sql);
	like($err, qr/permission denied to set parameter "oss_labels.metadata_endpoint"/,
		$load ? 'metadata_endpoint refused' : 'metadata_endpoint refused at load');
	is($elsewhere->count, 0, 'the other address is not asked');
}
($out, $err) = $test->psql("LOAD 'oss_labels'; SET oss_labels.metadata_endpoint = 'ftp://a'");
like($err, qr/ERROR:  22023: /, 'metadata_endpoint is a URL');

# ---- what is nowhere ----

my $log = slurp_file($test->{node}->logfile);
cmp_ok(length $log, '>', 100_000, 'the log is a log at DEBUG5');
for my $secret ($ISSUED, $TOKEN, $OIDC, 'oss-secret-4711', 'env-secret-4711', 'env-token-4711',
	'metadata-token-1')
{
	my $at = index $log, $secret;
	is($at < 0 ? '' : substr($log, $at < 200 ? 0 : $at - 200, 300), '', "not in the log: $secret");
}
is($test->{shown}, $test->{shown} =~ s/4711//gr, 'no secret in any error seen by this test')
  or diag $test->{shown};

done_testing();
