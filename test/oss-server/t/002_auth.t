# Who may do what: every way to be refused, with the service's own words.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../../perl";
use MIME::Base64 qw(decode_base64);
use POSIX qw(strftime);
use Test::More;

use OssRaw;
use OssServer;
use OssSign;

my $oss = OssServer->new;
my $port = $oss->http_port;
my %base = (port => $port, bucket => 'examplebucket', key => 'example.jpg',
	query => [ 'x-oss-process' => 'image/labels' ]);
my $path = '/examplebucket/example.jpg?x-oss-process=image%2Flabels';

# Check one refusal.
sub refused
{
	my ($r, $status, $code, $pattern, $name) = @_;
	is("$r->{status} $r->{code}", "$status $code", $name) or diag $r->{raw};
	like($r->{body}, $pattern, "$name: what it says") if $pattern;
	return $r;
}

# Send with the Authorization header edited after signing.
sub edited
{
	my ($edit, %q) = @_;
	my $headers = OssSign::sign_header(%base, %q);
	for my $h (@$headers) { $edit->($h) }
	return OssRaw::exchange($port, 'GET', $path,
		[ [ Host => '127.0.0.1' ], grep { defined $_->[1] } @$headers ]);
}

my $r = OssRaw::signed(%base);
is($r->{status}, 200, 'a good signature is let in');
like($r->{header}{'x-oss-request-id'}, qr/^[0-9A-F]{24}$/, 'request id');
is($r->{header}{server}, 'AliyunOSS', 'Server');
like($r->{header}{date}, qr/^\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT$/, 'Date');
like($r->{header}{'x-oss-server-time'}, qr/^\d+$/, 'x-oss-server-time');
is(OssRaw::signed(%base, virtual => 1)->{status}, 200, 'virtual-hosted');
is(OssRaw::presigned(%base)->{status}, 200, 'presigned');

# the Authorization header in other shapes
is(edited(sub { $_[0][1] =~ s/,/ , /g if $_[0][0] eq 'Authorization' })->{status},
	200, 'blanks are tolerated');
is(edited(sub { $_[0][1] =~ s/ (Credential=[^,]*),(Signature=.*)/ $2, $1/ })->{status},
	200, 'another order is tolerated');
is(edited(sub { $_[0][1] =~ s/AdditionalHeaders=abc;zabc/AdditionalHeaders=zabc;ABC;abc/ },
	headers => [ abc => 1, ZAbc => 2 ], additional => [ 'abc', 'zabc' ])->{status},
	200, 'additional headers in another order, twice');
is(OssRaw::signed(%base, headers => [ 'x-oss-meta-a' => ' 1', 'x-oss-meta-a' => '2 ' ])
	->{status}, 200, 'repeated headers are joined');
my $auth = OssSign::sign_header(%base);
is(OssRaw::exchange($port, 'GET', $path =~ s/%2F/\//r,
	[ [ Host => '127.0.0.1' ], @$auth ])->{status},
	200, 'the query may travel unescaped');
is(OssRaw::exchange($port, 'GET', $path =~ s/%2F/%2f/r,
	[ [ Host => '127.0.0.1' ], @$auth ])->{status},
	200, 'or escaped in lower case');

refused(OssRaw::exchange($port, 'GET', $path, [ [ Host => '127.0.0.1' ] ]),
	403, 'AccessDenied', qr/Anonymous access is forbidden/, 'anonymous');
refused(OssRaw::exchange($port, 'GET', '/examplebucket/example.jpg',
	[ [ Host => '127.0.0.1' ] ]), 403, 'AccessDenied', undef, 'anonymous, the bytes');
$r = refused(OssRaw::signed(%base, secret => 'wrong'), 403, 'SignatureDoesNotMatch',
	qr{<SignatureProvided>[0-9a-f]{64}</SignatureProvided>}, 'wrong secret');
is($r->{header}{'x-oss-ec'}, '0002-00000040', 'its EC');
like($r->{body}, qr{<CanonicalRequest>GET&#10;/examplebucket/example.jpg&#10;x-oss-process=image%2Flabels&#10;},
	'the canonical request is shown');
like($r->{body}, qr{<StringToSign>OSS4-HMAC-SHA256&#10;}, 'the string to sign is shown');
refused(OssRaw::signed(%base, id => 'nobody'), 403, 'InvalidAccessKeyId',
	qr/does not exist in our records.*0002-00000902/s, 'unknown key');
refused(OssRaw::signed(%base, id => 'disabledid', secret => 'disabledsecret'),
	403, 'InvalidAccessKeyId', qr/is disabled/, 'disabled key');
refused(OssRaw::signed(%base, id => 'deniedid', secret => 'deniedsecret'),
	403, 'AccessDenied', qr/no right to access/, 'denied');
refused(OssRaw::signed(%base, id => 'noimmid', secret => 'noimmsecret'),
	403, 'AccessDenied', qr{<Message>AccessDenied\.</Message>}, 'denied ProcessImm');
is(OssRaw::signed(%base, id => 'noimmid', secret => 'noimmsecret', query => [])->{status},
	200, 'who has GetObject alone gets the bytes');

# scope
refused(OssRaw::signed(%base, region => 'oss-cn-hangzhou'), 400, 'InvalidArgument',
	qr/Invalid signing region in Authorization header\..*0002-00000226/s, 'wrong region');
refused(OssRaw::signed(%base, product => 's3'), 400, 'InvalidArgument',
	qr/Invalid signing product in Authorization header\..*0002-00000227/s, 'wrong product');
refused(OssRaw::presigned(%base, region => 'cn-beijing'), 400, 'InvalidArgument',
	qr/signing region/, 'wrong region in a URL');
refused(edited(sub { $_[0][1] =~ s{/aliyun_v4_request}{/aws4_request} }), 400,
	'InvalidArgument', qr/0002-00000213/, 'wrong terminator');
refused(edited(sub { $_[0][1] =~ s{/\d{8}/}{/20200101/} }), 400, 'InvalidArgument',
	qr/signing date/, 'day that is not the date\'s');

# malformed
refused(edited(sub { $_[0][1] =~ s/^OSS4-HMAC-SHA256 // }), 400, 'InvalidArgument',
	qr/Authorization header is invalid/, 'no algorithm');
refused(edited(sub { $_[0][1] = 'OSS testid:c2lnbmF0dXJl' if $_[0][0] eq 'Authorization' }),
	400, 'InvalidArgument', qr/Unsupported/, 'V1 in the header');
refused(OssRaw::exchange($port, 'GET',
	"$path&OSSAccessKeyId=testid&Expires=9999999999&Signature=abc",
	[ [ Host => '127.0.0.1' ] ]), 400, 'InvalidArgument', qr/Unsupported/, 'V1 in the URL');
refused(edited(sub { $_[0][1] =~ s/Signature=/Extra=1,Signature=/ }), 400,
	'InvalidArgument', qr/Unknown parameter/, 'unknown item');
refused(edited(sub { $_[0][1] =~ s/,Signature=.*// }), 400, 'InvalidArgument', undef,
	'no signature');
refused(edited(sub { $_[0][1] =~ s/,Signature/,AdditionalHeaders=,Signature/ }), 400,
	'InvalidArgument', qr/0002-00000209/, 'empty AdditionalHeaders');
refused(edited(sub { $_[0][1] =~ s/,Signature/,AdditionalHeaders=absent,Signature/ }),
	400, 'InvalidArgument', undef, 'additional header that is absent');
refused(edited(sub { $_[0][1] = undef if $_[0][0] eq 'x-oss-content-sha256' }), 400,
	'InvalidArgument', qr/x-oss-content-sha256/, 'no x-oss-content-sha256');
refused(edited(sub { $_[0][1] = 'e' x 64 if $_[0][0] eq 'x-oss-content-sha256' }), 400,
	'InvalidArgument', qr/x-oss-content-sha256/, 'another x-oss-content-sha256');
refused(edited(sub { $_[0][1] = undef if $_[0][0] eq 'x-oss-date' }), 400,
	'InvalidArgument', qr/valid Date.*0002-00000503/s, 'no date');
my $url = OssSign::sign_url(%base);
refused(OssRaw::exchange($port, 'GET', "/examplebucket/example.jpg?$url",
	[ [ Host => '127.0.0.1' ], @{ OssSign::sign_header(%base) } ]),
	400, 'InvalidArgument', undef, 'signed in header and URL');

# time
for my $late (-890, 890)
{
	is(OssRaw::signed(%base, time => time + $late)->{status}, 200, "clock off by $late s");
}
for my $late (-910, 910)
{
	$r = refused(OssRaw::signed(%base, time => time + $late), 403, 'RequestTimeTooSkewed',
		qr{<MaxAllowedSkewMilliseconds>900000<}, "clock off by $late s");
	my $iso = strftime('%Y-%m-%dT%H:%M', gmtime(time + $late));
	like($r->{body}, qr{<RequestTime>\Q$iso\E|<RequestTime>}, 'RequestTime');
	like($r->{body}, qr{<ServerTime>\d{4}-\d\d-\d\dT[\d:]{8}\.000Z</ServerTime>}, 'ServerTime');
}
$oss->control('/clock?shift=7200');
$r = refused(OssRaw::signed(%base), 403, 'RequestTimeTooSkewed', undef, 'server two hours ahead');
my $hour = strftime('%H:', gmtime(time + 7200));
like($r->{header}{date}, qr/ \Q$hour\E/, 'Date is the server\'s');
is(OssRaw::signed(%base, time => time + 7200)->{status}, 200, 'corrected clock');
$oss->control('/clock?shift=0');

# URLs
refused(OssRaw::presigned(%base, time => time - 100, expires => 60), 403, 'AccessDenied',
	qr/Request has expired/, 'expired URL');
is(OssRaw::presigned(%base, time => time - 86000, expires => 604800)->{status}, 200,
	'URL of yesterday');
refused(OssRaw::presigned(%base, expires => 604801), 400, 'InvalidArgument', undef, 'lives too long');
refused(OssRaw::presigned(%base, expires => 0), 400, 'InvalidArgument', undef, 'lives no time');
refused(OssRaw::presigned(%base, time => time + 1000), 403, 'RequestTimeTooSkewed', undef,
	'URL of the future');
$url = OssSign::sign_url(%base);
refused(OssRaw::exchange($port, 'GET', '/examplebucket/example.jpg?' . ($url =~ s/labels/labels%2Cthr_0.1/r),
	[ [ Host => '127.0.0.1' ] ]), 403, 'SignatureDoesNotMatch', undef,
	'x-oss-process of a URL cannot be changed');
for my $name ('x-oss-expires', 'x-oss-credential', 'x-oss-date', 'x-oss-signature')
{
	refused(OssRaw::exchange($port, 'GET',
		'/examplebucket/example.jpg?' . ($url =~ s/&?$name=[^&]*//r),
		[ [ Host => '127.0.0.1' ] ]), 400, 'InvalidArgument', undef, "URL without $name");
}

# tokens
my @sts = (id => 'stsid', secret => 'stssecret');
is(OssRaw::signed(%base, @sts, token => 'ststoken')->{status}, 200, 'token');
is(OssRaw::presigned(%base, @sts, token => 'ststoken')->{status}, 200, 'token in the URL');
refused(OssRaw::signed(%base, @sts), 403, 'InvalidSecurityToken', undef, 'token missing');
refused(OssRaw::signed(%base, @sts, token => 'other'), 403, 'InvalidSecurityToken', undef,
	'token wrong');
refused(OssRaw::signed(%base, token => 'ststoken'), 403,
	'AccessKeyIdAndSecurityTokenNotMatch', undef, 'token of another id');
refused(OssRaw::signed(%base, id => 'expiredid', secret => 'expiredsecret',
	token => 'expiredtoken'), 403, 'SecurityTokenExpired', undef, 'token expired');
refused(edited(sub { }, @sts, token => 'ststoken', query => [ 'x-oss-process' => 'image/labels',
	'x-oss-security-token' => 'ststoken' ]), 403, 'SignatureDoesNotMatch', undef,
	'signed for another query');
refused(OssRaw::signed(%base, @sts, token => 'ststoken',
	query => [ 'x-oss-security-token' => 'ststoken' ]), 400, 'InvalidArgument',
	qr/0002-00000010/, 'token in header and URL');

# HEAD carries the error in a header
$r = OssRaw::signed(%base, method => 'HEAD', key => 'nothing-here', query => []);
is($r->{status}, 404, 'HEAD of nothing');
is($r->{body}, '', 'HEAD has no body');
like(decode_base64($r->{header}{'x-oss-err'}), qr{<Code>NoSuchKey</Code>}, 'x-oss-err');

# credentials that end while they are used
$oss->control('/credential?id=short&secret=s&token=t&uses=5');
my @codes = map { OssRaw::signed(%base, id => 'short', secret => 's', token => 't')->{code} } 1 .. 7;
is_deeply(\@codes, [ ('') x 5, ('SecurityTokenExpired') x 2 ], 'expires after five requests');
$oss->control('/credential?id=timed&secret=s&token=t&expires_in=100');
is(OssRaw::signed(%base, id => 'timed', secret => 's', token => 't')->{status}, 200, 'before its time');
$oss->control('/clock?shift=101');
refused(OssRaw::signed(%base, id => 'timed', secret => 's', token => 't'), 403,
	'SecurityTokenExpired', undef, 'after its time');
$oss->control('/clock?shift=0');
$oss->control('/credential-remove?id=timed');
refused(OssRaw::signed(%base, id => 'timed', secret => 's', token => 't'), 403,
	'InvalidAccessKeyId', undef, 'removed');

# nothing secret in what the server remembers
my $log = $oss->control('/log') . $oss->control('/log?format=json') . $oss->control('/credentials');
ok($log !~ /ststoken|testsecret|signature=[0-9a-z]/i, 'no secrets in the log');
ok($log =~ /x-oss-signature=\*\*\*/, 'signatures are replaced in the log');

done_testing;
