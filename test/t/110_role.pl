# RAM roles: AssumeRole at a stand-in for STS that checks each signature, with
# the key of each source, through chains of roles, as options and as profiles;
# what STS refuses, and that no role gets another's key.

use strict;
use warnings;

use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use lib 'test/perl';
use CredentialServer;
use CredentialTest qw(write_file);

my $READER = 'acs:ram::1234567890123456:role/reader';
my $MIDDLE = 'acs:ram::2234567890123456:role/middle';
my $OUTER = 'acs:ram::3234567890123456:role/outer';
my $POD = 'acs:ram::1234567890123456:role/pod';
my $OIDC = 'eyJhbGciOi.oidc-token.4711';
my $home = PostgreSQL::Test::Utils::tempdir;
my $oidc_file = write_file("$home/oidc", "$OIDC\n");
my $config = "$home/config.json";

my $test = CredentialTest->new(
	conf => "shared_preload_libraries = 'oss_labels'\noss_labels.worker = off\n",
	env => {
		HOME => $home,
		ALIBABA_CLOUD_ACCESS_KEY_ID => 'envid',
		ALIBABA_CLOUD_ACCESS_KEY_SECRET => 'env-secret-4711',
		ALIBABA_CLOUD_SECURITY_TOKEN => ''
	});
my $server = $test->{credentials};
my $sts = $test->{oss}->http_endpoint;

# Make a role known to STS.
sub role
{
	my ($arn, %how) = @_;
	my %field = (arn => $arn, %how);
	$test->oss('/sts-role?' . join '&', map { "$_=" . OssServer::escape($field{$_}) } sort keys %field);
	return;
}

# Set everything back.
sub start_anew
{
	$test->oss('/reset');
	$server->answer($_) for qw(token roles key uri);
	$server->issue(id => 'issued', secret => 'issued-secret-4711', token => 'issued/token+4711==');
	$test->oss_key('issued', 'issued-secret-4711', 'issued/token+4711==');
	$test->oss_key('envid', 'env-secret-4711');
	role($READER);
	role($MIDDLE);
	role($OUTER, trust => $MIDDLE);
	role($POD, oidc_token => $OIDC);
	return;
}

# The calls of STS since the last reset, as lists of fields.
sub calls { return map { [ map { s/%(..)/chr hex $1/gre } split /\t/, $_, -1 ] } split /\n/, $test->oss('/sts-log'); }

my %role = (
	credential_source => 'ram_role_arn',
	role_arn => $READER,
	access_key_id => 'testid',
	access_key_secret => 'testsecret',
	sts_endpoint => $sts);
my %by = (credential_source => 'ram_role_arn', role_arn => $READER, sts_endpoint => $sts);

# One call gives labels, signed by a key that STS made, after so many calls of it.
sub works
{
	my ($name, $calls, %options) = @_;
	my $before = $test->oss_count('sts_requests');
	my ($out, $err) = $test->detect(%options);
	is("$out$err", 't', "$name: labels");
	is($test->oss_count('sts_requests') - $before, $calls, "$name: $calls calls of STS");
	like($test->{oss}->logged(1), qr/\bSTS\.made\d+\b/, "$name: signed by the role's key");
	return;
}

# One call fails like this; OSS is not asked.
sub fails
{
	my ($name, $expected, %options) = @_;
	my $before = $test->oss_count('requests_total');
	my ($out, $err) = $test->detect(%options);
	like($err, qr/ERROR:  28000: .*$expected/s, $name);
	like($err, qr/HINT:/, "$name: a hint");
	is($test->oss_count('requests_total'), $before, "$name: OSS not asked");
	return;
}

# ---- each source of the key that assumes the role ----

start_anew();
works('a static key', 1, %role);
is_deeply(
	(calls())[-1],
	[ 'AssumeRole', 'ok', $READER, 'oss-labels', '3600', '', '', 'testid', '' ],
	'what STS is asked for by default');
works(
	'a static key with a token', 1, %role,
	access_key_id => 'stsid',
	access_key_secret => 'stssecret',
	security_token => 'ststoken');
works('the environment', 1, %by, role_source => 'environment');
is((calls())[-1][7], 'envid', 'the environment: its key');
works('the role of the instance', 1, %by, role_source => 'ecs_ram_role');
is((calls())[-1][7], 'issued', 'the role of the instance: its key');
works(
	'a credentials URI', 1, %by,
	role_source => 'credentials_uri',
	credentials_uri => $server->url . '/credentials');
works(
	'OIDC', 2, %by,
	role_source => 'oidc',
	source_role_arn => $POD,
	oidc_provider_arn => 'acs:ram::1234567890123456:oidc-provider/ack',
	oidc_token_file => $oidc_file);
is_deeply([ map { $_->[0] } (calls())[ -2, -1 ] ], [ 'AssumeRoleWithOIDC', 'AssumeRole' ], 'OIDC: both actions');
my $policy = '{"Version": "1", "Statement": [{"Effect": "Allow", "Action": "oss:*", "Resource": "*/~ +%&="}]}';
role($READER, external_id => 'tenant=1/a:b', max_duration => 7200);
works(
	'everything', 1, %role,
	external_id => 'tenant=1/a:b',
	policy => $policy,
	role_session_name => 'labels.of-db@1',
	duration_seconds => 7200);
is_deeply(
	(calls())[-1],
	[ 'AssumeRole', 'ok', $READER, 'labels.of-db@1', '7200', $policy, 'tenant=1/a:b', 'testid', '' ],
	'everything: as given');

# ---- chains ----

role($READER, trust => $OUTER, external_id => 'last');
works(
	'a chain', 3, %role,
	source_role_arn => "$MIDDLE, $OUTER",
	policy => $policy,
	external_id => 'last');
is_deeply(
	[ map { [ @$_[ 2, 5, 6 ] ] } (calls())[ -3 .. -1 ] ],
	[ [ $MIDDLE, '', '' ], [ $OUTER, '', '' ], [ $READER, $policy, 'last' ] ],
	'a chain: in order, policy and external id for the last');
fails('a chain in the wrong order', 'code NoPermission.*HINT:  .*trust policy', %role,
	source_role_arn => "$OUTER,$MIDDLE");
start_anew();

# ---- profiles ----

my %key = (access_key_id => 'testid', access_key_secret => 'testsecret');

sub profiles
{
	my (@profiles) = @_;
	write_file($config, JSON::PP::encode_json({ current => 'main', profiles => \@profiles }));
	return;
}
my %file = (credential_source => 'config_file', config_file => $config, sts_endpoint => $sts);
role($READER, external_id => 'profile-id');
profiles(
	{
		name => 'main', mode => 'RamRoleArn', %key, ram_role_arn => $READER, sts_token => 'stale',
		ram_session_name => 'from-profile', expired_seconds => 1800, external_id => 'profile-id', policy => $policy
	});
works('profile RamRoleArn', 1, %file);
is_deeply(
	(calls())[-1],
	[ 'AssumeRole', 'ok', $READER, 'from-profile', '1800', $policy, 'profile-id', 'testid', '' ],
	'profile RamRoleArn: its fields');
role($READER);
my @chain = (
	{ name => 'main', mode => 'ChainableRamRoleArn', source_profile => 'way', ram_role_arn => $OUTER },
	{ name => 'way', mode => 'ChainableRamRoleArn', source_profile => 'key', ram_role_arn => $MIDDLE },
	{ name => 'key', mode => 'AK', %key });
profiles(@chain);
works('profile ChainableRamRoleArn', 2, %file);
profiles(@chain[ 0, 1 ], { name => 'key', mode => 'EcsRamRole', ram_role_name => 'TestRole' });
works('profile ChainableRamRoleArn of an instance', 2, %file);
profiles(@chain[ 0, 1 ], { name => 'key', mode => 'CredentialsURI', credentials_uri => $server->url . '/credentials' });
works('profile ChainableRamRoleArn of a URI', 2, %file);
profiles(
	@chain[ 0, 1 ],
	{
		name => 'key', mode => 'OIDC', ram_role_arn => $POD, oidc_token_file => $oidc_file,
		oidc_provider_arn => 'acs:ram::1234567890123456:oidc-provider/ack'
	});
works('profile ChainableRamRoleArn of OIDC', 3, %file);
profiles({ name => 'main', mode => 'AK', %key });
works('a role with the key of a profile', 1, %by, role_source => 'config_file', config_file => $config);
profiles(@chain[ 0, 1 ], { name => 'key', mode => 'ChainableRamRoleArn', source_profile => 'main', ram_role_arn => $READER });
fails('a circle of profiles', 'is a circle', %file);
profiles({ name => 'main', mode => 'ChainableRamRoleArn', source_profile => 'main', ram_role_arn => $READER });
fails('a profile that is its own source', 'is a circle', %file);
profiles((map { { name => $_ ? "p$_" : 'main', mode => 'ChainableRamRoleArn', source_profile => 'p' . ($_ + 1), ram_role_arn => $READER } } 0 .. 5),
	{ name => 'p6', mode => 'AK', %key });
fails('a long chain of profiles', 'more than 5 profiles', %file);
profiles($chain[0]);
fails('a source that is missing', 'does not have the profile', %file);
profiles({ name => 'main', mode => 'ChainableRamRoleArn', ram_role_arn => $READER });
fails('no source', 'has no source_profile', %file);
profiles({ name => 'main', mode => 'RamRoleArn', %key, ram_role_arn => 'secret-4711' });
fails('a role that is none', 'role_arn in the profile.*cannot be used', %file);
profiles({ name => 'main', mode => 'RamRoleArn', ram_role_arn => $READER });
fails('no key', 'has no access_key_id', %file);
profiles({ name => 'main', mode => 'RamRoleArn', %key });
fails('no role', 'No role', %file);
write_file("$home/ini", "[default]\ntype = ram_role_arn\naccess_key_id = testid\naccess_key_secret = testsecret\n"
	  . "role_arn = $READER\nrole_session_name = ini-session\n");
works('an INI profile', 1, %file, config_file => "$home/ini");
is((calls())[-1][3], 'ini-session', 'an INI profile: its session');
is($test->oss_count('sts_SignatureDoesNotMatch') + $test->oss_count('sts_SignatureNonceUsed'), 0,
	'all signatures were right, each nonce was new');

# ---- options that are refused when they are defined: STS is not asked ----

start_anew();
for my $case (
	[ 'no role_arn', { role_arn => undef }, 'option "role_arn" is missing' ],
	[ 'no key', { access_key_secret => undef }, 'option "access_key_secret" is missing' ],
	[ 'an ARN that is none', { role_arn => 'secret-4711' }, 'begins with "acs:ram::"' ],
	[ 'a user', { role_arn => 'acs:ram::1:user/me' }, 'looks like' ],
	[ 'a policy that is no JSON', { policy => '{"a": secret-4711}' }, 'not valid JSON' ],
	[ 'a policy that is no object', { policy => '[]' }, 'JSON object' ],
	[ 'a long policy', { policy => '{' . ' ' x 2048 . '}' }, '2048 bytes' ],
	[ 'a policy beyond ASCII', { policy => "{\"a\": \"\xc3\xa4\"}" }, 'ASCII' ],
	[ 'an external id with a space', { external_id => 'a b' }, 'is made of' ],
	[ 'a short external id', { external_id => 'a' }, '2 to 1224' ],
	[ 'a short duration', { duration_seconds => 899 }, 'from 900' ],
	[ 'a circle', { source_role_arn => "$MIDDLE,$READER" }, 'occurs twice' ],
	[ 'a smaller circle', { source_role_arn => "$MIDDLE, $MIDDLE" }, 'occurs twice' ],
	[ 'a long chain', { source_role_arn => join ',', map { "$MIDDLE$_" } 1 .. 5 }, 'at most 4' ],
	[ 'an empty role', { source_role_arn => "$MIDDLE," }, 'begins with' ],
	[ 'a role as role_source', { role_source => 'ram_role_arn' }, 'roles on the way' ],
	[ 'an option of another source', { role_source => 'environment' }, 'belongs to credential source' ],
	[ 'a VPC without a region', { enable_vpc => 'true' }, 'sts_region' ])
{
	my ($name, $options, $expected) = @$case;
	my %all = (%role, %$options);
	delete $all{$_} for grep { !defined $all{$_} } keys %all;
	my ($out, $err) = $test->psql($test->create_mapping(%all));
	like($err, qr/ERROR:  22023: .*$expected/s, "refused: $name");
	unlike($err, qr/secret-4711/, "refused: $name: the value is not shown");
}
is($test->oss_count('sts_requests'), 0, 'what is refused costs no call');

# ---- what STS refuses ----

role($READER, trust => 'somebody');
fails('not trusted', 'the RAM role cannot be assumed.*code NoPermission, request id \w+', %role);
role($READER, external_id => 'right-id');
fails('another external id', 'code NoPermission', %role, external_id => 'wrong-id');
fails('no external id', 'code NoPermission', %role);
fails('no such role', 'code EntityNotExist.Role', %role, role_arn => "${READER}2");
role($READER);
fails('too long', 'cannot be assumed in this way.*InvalidParameter.DurationSeconds', %role, duration_seconds => 43200);
fails('no such key', 'the key that assumes the RAM role is refused.*InvalidAccessKeyId.NotFound', %role,
	access_key_id => 'nosuchid');
fails('another secret', 'is refused.*SignatureDoesNotMatch', %role, access_key_secret => 'wrong-secret-4711');
fails('another token', 'is refused.*InvalidSecurityToken', %role, security_token => 'wrong-token-4711');
for my $style (qw(plain namespace json json-error))
{
	my ($id) = $test->oss("/fault?kind=error&scope=sts&code=NoPermission&status=403&xml=$style") =~ /(\d+)/;
	fails("a refusal as $style", 'code NoPermission', %role);
	$test->oss("/unfault?id=$id");
}

# ---- a second attempt ----

sub fault { my ($what) = @_; return $test->oss("/fault?scope=sts&$what"); }
fault('kind=error&status=500&times=1');
works('500 once', 2, %role);
fault('kind=drop&times=1');
works('a broken connection once', 2, %role);
fault('kind=error&code=Throttling.User&status=400&message=x&times=2');
my $begin = time;
works('throttled twice', 3, %role);
cmp_ok(time - $begin, '>', 1, 'throttled twice: with pauses');
$test->oss('/unfault');
$test->oss('/clock?shift=7200');
works('a clock that is two hours off', 2, %role);
$test->oss('/clock?shift=0');
is($test->oss_count('sts_SignatureNonceUsed') + 0, 0, 'each attempt is signed anew');

# ---- who may ----

start_anew();
$test->psql_ok("CREATE ROLE app; GRANT USAGE ON FOREIGN SERVER oss TO app; CREATE ROLE other; GRANT USAGE ON FOREIGN SERVER oss TO other;"
	  . 'GRANT USAGE ON SCHEMA oss_labels TO app, other; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA oss_labels TO app, other;');
my %own = %role;
delete $own{sts_endpoint};
my ($out, $err) = $test->psql('SET ROLE app;' . $test->create_mapping(%own));
is($err, '', 'a role may assume roles with a key of its own');
for my $case (
	[ sts_endpoint => $sts ],
	[ ca_file => '/etc/passwd' ],
	[ role_source => 'environment' ],
	[ role_source => 'ecs_ram_role' ],
	[ role_source => 'default' ])
{
	my %theirs = (%own, @$case);
	delete @theirs{qw(access_key_id access_key_secret)} if $case->[0] eq 'role_source';
	($out, $err) = $test->psql('SET ROLE app;' . $test->create_mapping(%theirs));
	like($err, qr/ERROR:  42501: only a superuser/, "$case->[0] $case->[1] is for superusers");
}
for my $who ('app', 'other', 'CURRENT_USER')
{
	$test->psql_ok("DROP USER MAPPING IF EXISTS FOR $who SERVER oss; CREATE USER MAPPING FOR $who SERVER oss OPTIONS (credential_source 'ram_role_arn',"
		  . "role_arn '$READER', sts_endpoint '$sts', access_key_id 'testid', access_key_secret 'testsecret', external_id 'id-$who');");
}
$test->oss('/reset?what=counters');
role($READER, external_id => 'id-app');
my $detect = $test->detect_sql;
is($test->psql_ok("SET ROLE app; $detect"), 't', 'one role has the right external id');
($out, $err) = $test->psql("SET ROLE other; $detect");
like($err, qr/NoPermission/, 'another one has not, and does not get its key');
is($test->psql_ok("SET ROLE app; $detect $detect"), "t\nt", 'the first goes on');
is($test->oss_count('sts_ok'), 1, 'with the key that it has, in another session too');
$test->psql_ok("CREATE ROLE third;");
is($test->psql_ok("SET ROLE app; $detect"), 't', 'after DDL of other roles');
is($test->oss_count('sts_ok'), 1, 'nothing is fetched anew');
$test->psql_ok("ALTER USER MAPPING FOR app SERVER oss OPTIONS (ADD policy '$policy')");
is($test->psql_ok("SET ROLE app; $detect"), 't', 'another policy');
is((calls())[-1][5], $policy, 'another policy is another key');
is($test->oss_count('sts_ok'), 2, 'which is fetched once');

# ---- renewal ----

start_anew();
role($READER, lifetime => 14);
$test->psql_ok($test->create_mapping(%role));
$out = $test->psql_ok("$detect SELECT pg_sleep(8); $detect SELECT pg_sleep(2); $detect");
is(() = $out =~ /^t$/mg, 3, 'a key that is about to expire');
cmp_ok($test->oss_count('sts_ok'), '>=', 2, 'is renewed');
is($test->oss_count('status_403') + 0, 0, 'before it expires');

# ---- nothing is told ----

my $log = slurp_file($test->{node}->logfile);
for my $secret ('testsecret', 'stssecret', 'ststoken', 'env-secret-4711', 'issued-secret-4711', 'made-secret-', 'made-token',
	'wrong-secret-4711', 'wrong-token-4711', $OIDC)
{
	ok(index($test->{shown}, $secret) < 0, "no message has $secret");
	ok(index($log, $secret) < 0, "the log does not have $secret");
}

done_testing();
