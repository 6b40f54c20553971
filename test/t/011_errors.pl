# Every row of the error table on demand: SQLSTATE, retries (requests counted),
# message and hint; the codes of the protocol's tables against a list of our own;
# every trouble of the network; the reference's copy of the table.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use lib 'test/perl';
use OssTest qw(literal);

my $t = OssTest->new;
my $oss = $t->{oss};
my @columns = qw(rule http_status code ec message_has sqlstate retry setup message hint scope);
my @table = map { my %r; @r{@columns} = split /\x1f/, $_, -1; \%r }
  split /\n/, $t->ok('SELECT * FROM oss_labels.error_table()', params => [ '-F', "\x1f" ]);
cmp_ok(@table, '>', 90, 'the table has rows');

# Troubles that the service does not send a code for.
my %own = map { $_ => 1 } qw(CouldNotResolve CouldNotConnect ConnectTimeout TlsFailed
  CertificateRefused ForbiddenAddress Unreachable AnswerTimeout ConnectionBroken TransportError
  AnswerTooLarge OutOfMemory RateLimitTimeout NotLabels AnswerEncoding AnswerNotUtf8 InvalidVersionId
  InvalidThreshold InvalidPrefix NotListing ListingInconsistent CredentialsUnavailable RoleRefused
  RoleKeyRefused RoleCallRefused OtherDomain NoDomain IdCollision BudgetExhausted
  BudgetUnenforceable RequestsForbidden StatementLimit ProxyNotResolved ProxyNotConnected
  ProxyTimeout ProxyTlsFailed ProxyCertificateRefused ProxyForbiddenAddress ProxyAuthentication
  ProxyRefused ProxyFailed ProxyClosed ProxyGarbled TunnelTlsFailed TunnelCertificateRefused);

# Codes of the pages on overdue payment and public endpoints, and of IMM and other services behind
# OSS, which the table of the stand-in has not.
my %beyond = map { $_ => 1 } qw(PublicEndpointForbidden InDebt* UbsmsInvalidBid LimitExceededError
  ResourceNotFound Throttling* TooManyRequests FlowControl*);

# How many requests a retry class makes of two attempts and a static key.
my %requests = (never => 1, transient => 2, throttled => 2, credentials => 1, clock => 2);

$t->server(max_attempts => 2);

# Compare an outcome with a row of the table.
sub is_rule
{
	my ($outcome, $rule, $name) = @_;
	is_deeply(
		[ $outcome->{sqlstate}, ($outcome->{message} // '') =~ s/.*": //sr, $outcome->{hint} ],
		[ $rule->{sqlstate}, $rule->{message}, $rule->{hint} ],
		"$name: as the table says");
	return;
}

# ---- each row that speaks of an answer is reached, and does what it says ----

# The last row is for what is no redirect, no error and no success.
my @rows = grep { !$own{ $_->{code} } && $_->{rule} < @table } @table;
for my $rule (@rows)
{
	my $status = $rule->{http_status} || 418;
	$oss->fault(key => "row$rule->{rule}", kind => 'error',
		status => $status =~ s/xx/22/r,
		code => $rule->{code} || 'NewCode',
		ec => $rule->{ec} ? $rule->{ec} . ($rule->{ec} =~ /-$/ ? '00009999' : '') : '0099-00000001',
		message => "Says $rule->{message_has} here.");
}
my @outcomes = $t->outcomes(map { OssTest::detect_sql("row$_->{rule}", 'everykey') } @rows);
for my $rule (@rows)
{
	my $name = join ' ', grep { length } "row $rule->{rule}:", @$rule{qw(http_status code ec message_has)};
	is_rule(shift @outcomes, $rule, $name);
	is($oss->count_key('everykey', "row$rule->{rule}"), $requests{ $rule->{retry} }, "$name: requests");
}

like($t->detect('a', 'shanghaibucket')->{detail}, qr/endpoint oss-cn-shanghai\.aliyuncs\.com/,
	'a bucket in another region: the service says where');

# ---- the codes that the stand-in knows, against what they should give ----

my %expected = (
	InvalidArgument => '22023 1', BadRequest => '22023 2', MissingArgument => '22023 1',
	NotImplemented => '0A000 1', InvalidBucketName => '22023 1', InvalidObjectName => '22023 1',
	ImageTooLarge => '22000 1', TooManyPipes => '22023 1', OperationNotSupported => '0A000 1',
	InvalidTargetType => '22000 1', RequestTimeout => '08006 2', AccessDenied => '42501 1',
	InvalidAccessKeyId => '28000 1', SignatureDoesNotMatch => '28000 1',
	RequestTimeTooSkewed => '28000 2', InvalidSecurityToken => '28000 1',
	SecurityTokenExpired => '28000 1', AccessKeyIdAndSecurityTokenNotMatch => '28000 1',
	SecurityTokenNotSupported => '28000 1', ImageDamage => '22000 1', InvalidObjectState => '55000 1',
	SecondLevelDomainForbidden => '55000 1', NonStandardHostForbidden => '55000 1',
	PermanentRedirect => '55000 1', TransferAccelerationDisabled => '55000 1',
	CnameDenied => '42501 1', UserDisable => '42501 1', BucketDisable => '42501 1',
	AbnormalBucketOwnerStatus => '42501 1', KmsInDebt => '42501 1', KmsInDebtOverdue => '42501 1',
	KmsUbsmsInvalidBid => '42501 1', NoSuchBucket => 'P0002 1', NoSuchKey => 'P0002 1',
	NoSuchVersion => 'P0002 1', SymlinkTargetNotExist => 'P0002 1', NoSuchStyle => 'P0002 1',
	KeyNotFound => 'P0002 1', PreconditionFailed => '22023 1', InvalidRange => '22023 1',
	MirrorFailed => '58000 2', InternalError => '58000 2', ServiceUnavailable => '58000 2',
	CpuLimitExceeded => '53400 2', TotalQpsLimitExceeded => '53400 2',
	MetaOperationQpsLimitExceeded => '53400 2', ActiveRequestLimitExceeded => '53400 2',
	DownloadTrafficRateLimitExceeded => '53400 2', QpsLimitExceeded => '53400 2',
	SlowDown => '53400 2', PartitionQpsLimitted => '53400 2');

$t->fault;
my %listed;
for my $line (split /\n/, $oss->control('/codes'))
{
	my ($status, $code) = split /\t/, $line;
	$listed{$code} //= $status;
}
my @codes = grep { $listed{$_} } sort keys %expected;
$oss->fault(key => $_, kind => 'error', code => $_) for @codes;
@outcomes = $t->outcomes(map { OssTest::detect_sql($_, 'everykey') } @codes);
for my $code (@codes)
{
	my $outcome = shift @outcomes;
	is("$outcome->{sqlstate} " . $oss->count_key('everykey', $code), $expected{$code}, "code $code");
	like($outcome->{detail}, qr/^HTTP status $listed{$code}, Code \Q$code\E, (EC \S+, )?request id [0-9A-F]{24}/,
		"code $code: DETAIL has status, Code and request id");
}
is_deeply([ grep { !$listed{$_} } sort keys %expected ], [], 'the stand-in knows every code');
is_deeply([ grep { !$listed{$_} && !/^Imm/ } map { $_->{code} } grep { $_->{code} ne '' && !$own{ $_->{code} } && !$beyond{ $_->{code} } } @table ],
	[], 'the table knows no code that the stand-in has not');

# ---- memory that runs out in the middle of an answer ----

if (OssServer::sizes_tell)
{
	$t->fault(kind => 'huge', bytes => 100_000_000);
	my ($scarce) = $t->psql(q{
		SELECT pg_backend_pid() AS pid \gset
		\setenv BACKEND :pid
		SELECT FROM oss_labels.check_server('oss');
		SET oss_labels.max_response_size = '256MB';
		\! prlimit --pid $BACKEND --as=$(awk '/^VmSize/ {print ($2 + 32768) * 1024}' /proc/$BACKEND/status)
		SELECT public.outcome(} . literal(OssTest::detect_sql()) . q{)::text;
	});
	my ($scarce_rule) = grep { $_->{code} eq 'OutOfMemory' } @table;
	is_rule(JSON::PP::decode_json($scarce =~ /^(\{.*\})$/m ? $1 : '{}'), $scarce_rule, 'OutOfMemory');
	is($t->requests, 1, 'OutOfMemory: what was answered is not paid for again');
}

# ---- the same again by what the stand-in's objects and keys are ----

$t->fault;
my @real = (
	[ 'nosuch.jpg', 'examplebucket', 'P0002', 'NoSuchKey' ],
	[ 'example.jpg', 'nosuchbucket', 'P0002', 'NoSuchBucket' ],
	[ 'damaged.jpg', 'examplebucket', '22000', 'ImageDamage' ],
	[ 'notes.txt', 'examplebucket', '22000', 'ImageDamage' ],
	[ 'toowide.png', 'examplebucket', '22000', 'ImageTooLarge' ],
	[ 'example.jpg', 'archivebucket', '55000', 'InvalidObjectState' ],
	[ 'example.jpg', 'payerbucket', '42501', 'AccessDenied' ],
	[ 'example.jpg', 'strictbucket', '55000', 'SecondLevelDomainForbidden' ],
	[ 'example.jpg', 'unattached', '55000', 'Imm Client' ]);
for my $case (@real)
{
	my ($key, $bucket, $sqlstate, $code) = @$case;
	my $outcome = $t->detect($key, $bucket);
	is($outcome->{sqlstate}, $sqlstate, "$bucket/$key: $sqlstate");
	like($outcome->{detail}, qr/Code \Q$code\E,/, "$bucket/$key: $code");
}
my $unattached = $t->detect('example.jpg', 'unattached');
like($unattached->{detail},
	qr/request id [0-9A-F]{24}, IMM request id [0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}: ResourceNotFound/,
	'an IMM error names both request ids');
like($unattached->{hint}, qr/attach the bucket/, 'not attached: the next step');

# ---- troubles of the network ----

$t->names('unknown.test' => 'unknown', 'inner.test' => '169.254.1.1');
my %trouble = (
	CouldNotResolve => { endpoint => 'https://unknown.test' },
	CouldNotConnect => { endpoint => 'https://127.0.0.1:' . OssTest::closed_port },
	ConnectTimeout => { endpoint => 'https://127.0.0.1:' . $t->full_port, connect_timeout_ms => 150 },
	TlsFailed => { endpoint => 'https://127.0.0.1:' . $oss->http_port },
	CertificateRefused => { $t->https('127.0.0.1', $t->port_of('EXPIRED')) },
	ForbiddenAddress => { endpoint => 'https://inner.test', addressing => 'path' });
for my $code (sort keys %trouble)
{
	my ($rule) = grep { $_->{code} eq $code } @table;
	$t->fault;
	$t->server(max_attempts => 2, addressing => 'path', %{ $trouble{$code} });
	is_rule($t->detect, $rule, $code);
	is($t->requests, 0, "$code: no request");
}

# [code, fault, requests, sent] of answers that are of no use
my @useless = (
	[ 'AnswerTimeout', 1, kind => 'hang' ],
	[ 'AnswerTimeout', 1, kind => 'hang-body', bytes => 10 ],
	[ 'ConnectionBroken', 2, kind => 'drop' ],
	[ 'ConnectionBroken', 2, kind => 'reset' ],
	[ 'ConnectionBroken', 2, kind => 'truncate', bytes => 40 ],
	[ 'ConnectionBroken', 2, kind => 'reset-body', bytes => 40 ],
	[ 'ConnectionBroken', 2, kind => 'length' ],
	[ 'TransportError', 2, kind => 'garbage' ],
	[ 'AnswerTooLarge', 1, kind => 'huge', bytes => 10_000_000 ],
	[ 'AnswerTooLarge', 1, kind => 'headers', bytes => 1_000_000 ],
	[ 'NotLabels', 1, kind => 'html' ],
	[ 'NotLabels', 1, kind => 'image' ],
	[ 'NotLabels', 1, kind => 'nul' ],
	[ 'AnswerNotUtf8', 1, kind => 'utf8' ],
	[ 'AnswerEncoding', 1, kind => 'labels', variant => 'nul-escape' ]);
for my $case (@useless)
{
	my ($code, $requests, %fault) = @$case;
	my ($rule) = grep { $_->{code} eq $code } @table;
	my $name = "$code by $fault{kind}";
	$t->server(max_attempts => 2, timeout_ms => $code eq 'AnswerTimeout' ? 400 : 10000);
	$t->fault(%fault);
	is_rule($t->detect, $rule, $name);
	is($t->requests, $requests, "$name: requests");
}

# ---- before any request ----

$t->fault;
$t->server;
my @arguments = (
	[ 'InvalidBucketName', q{detect('Bad_Bucket', 'k')} ],
	[ 'InvalidObjectName', q{detect('examplebucket', '')} ],
	[ 'InvalidObjectName', q{detect('examplebucket', '/k')} ],
	[ 'InvalidObjectName', q{detect('examplebucket', repeat('k', 1024))} ],
	[ 'InvalidVersionId', q{detect('examplebucket', 'k', version_id => '')} ],
	[ 'InvalidThreshold', q{detect('examplebucket', 'k', 1.01)} ],
	[ 'InvalidThreshold', q{detect('examplebucket', 'k', -0.01)} ],
	[ 'InvalidThreshold', q{detect('examplebucket', 'k', 'NaN')} ]);
for my $case (@arguments)
{
	my ($code, $call) = @$case;
	my ($rule) = grep { $_->{code} eq $code } @table;
	my $outcome = $t->outcome("SELECT * FROM oss_labels.$call");
	is_rule($outcome, $rule, $call);
	is($outcome->{sqlstate}, '22023', "$call: 22023");
}
$t->server(mapping => { credential_source => 'environment' });
is_rule($t->detect, (grep { $_->{code} eq 'CredentialsUnavailable' } @table)[0], 'no credentials');
is($t->requests, 0, 'no request for bad arguments or without credentials');

# ---- the reference's copy ----

sub reference_has
{
	my ($table) = @_;
	local %ENV = (%ENV, PGHOST => $t->{node}->host, PGPORT => $t->{node}->port, PGDATABASE => 'postgres');
	my $printed = `test/readme-tables $table`;
	is($?, 0, "test/readme-tables $table");
	cmp_ok(length $printed, '>', 200, "test/readme-tables $table prints");
	ok(index(PostgreSQL::Test::Utils::slurp_file('sql/README.md'), $printed) >= 0,
		"sql/README.md has the table of $table, as test/readme-tables prints it");
	return;
}
reference_has($_) for qw(errors settings);

# the short table names each SQLSTATE
my ($short) = PostgreSQL::Test::Utils::slurp_file('sql/README.md') =~ /^\| SQLSTATE \|[^\n]*\n(.*?)\n\n/ms;
my %all = map { $_->{sqlstate} => 1 } @table;
is(join(' ', grep { $short !~ /^\|[^|]*\b$_\b/m } sort keys %all), '', 'sql/README.md: causes of each SQLSTATE');

# ---- refusals in JSON ----

$t->server(mapping => { access_key_id => 'testid', access_key_secret => 'testsecret' });
for my $form (qw(json json-error))
{
	$t->fault;
	$oss->control("/errors?xml=$form");
	for my $case (
		[ 'InvalidAccessKeyId', 'access key id' ],
		[ 'AccessDenied', 'denied' ],
		[ 'NoSuchKey', 'does not exist' ])
	{
		my ($code, $word) = @$case;
		$t->fault(kind => 'error', code => $code);
		my (undef, $err) = $t->psql(OssTest::detect_sql() . ';');
		like($err, qr/$word.*DETAIL:.*Code $code/s, "$form: $code is read");
	}
	$oss->control('/errors?xml=plain');
	$t->fault;
}

done_testing();
