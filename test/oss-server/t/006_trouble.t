# Trouble that stays until control takes it away: of an account, a bucket, an
# object, a key, a domain or the connections; and who met how much of it.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../../perl";
use JSON::PP;
use Test::More;
use Time::HiRes qw(time sleep);

use OssRaw;
use OssServer;
use OssSign;

my $oss = OssServer->new;
my $port = $oss->http_port;
my @labels = ('x-oss-process' => 'image/labels');

sub labels
{
	my (%q) = @_;
	return OssRaw::signed(port => $port, bucket => 'everykey', key => 'a', query => \@labels, %q);
}
sub outcome { return "$_[0]{status} $_[0]{code}" }

# Ask at a Host of one's own.
sub at_host
{
	my ($host, %q) = @_;
	%q = (bucket => 'everykey', key => 'a', query => \@labels, %q);
	return OssRaw::exchange($port, 'GET', "/$q{key}?x-oss-process=image/labels",
		[ [ Host => $host ], @{ OssSign::sign_header(%q) } ]);
}

# ---- a bucket that may not be read at OSS's own public endpoints ----

my %every = (name => 'everykey', image => 'examplebucket/example.jpg');
$oss->set(bucket => %every, public_forbidden => 1);
my $r = at_host('everykey.oss-cn-hangzhou.aliyuncs.com');
is(outcome($r), '400 PublicEndpointForbidden', 'the public endpoint is forbidden');
is($r->{header}{'x-oss-ec'}, '0048-00000401', 'EC of PublicEndpointForbidden');
is(outcome(at_host('everykey.oss-cn-hangzhou-internal.aliyuncs.com')), '200 ', 'the internal one is not');
is(outcome(at_host('examplebucket.oss-cn-hangzhou.aliyuncs.com', bucket => 'examplebucket', key => 'example.jpg')),
	'200 ', 'another bucket is not concerned');
$oss->set(cname => host => 'img.example.com', bucket => 'everykey');
is(outcome(at_host('img.example.com')), '200 ', 'a custom domain is let in');
is(outcome(at_host('everykey.oss-cn-hangzhou.aliyuncs.com', secret => 'wrong')), '403 SignatureDoesNotMatch',
	'the signature comes first');

# ---- a custom domain belongs to one bucket ----

is(outcome(at_host('img.example.com', bucket => 'examplebucket', key => 'example.jpg')),
	'403 SignatureDoesNotMatch', 'who signs a second bucket at a custom domain');

# ---- the account of the bucket, and that of the requester ----

for my $code (qw(PublicEndpointForbidden BucketDisable AbnormalBucketOwnerStatus InDebt))
{
	$oss->set(bucket => %every, refuse => $code);
	$oss->control('/reset?what=faults');
	like(outcome(labels(key => $_)), qr/^40[03] $code$/, "$code: key $_") for qw(a b);
	is(labels(method => 'HEAD', query => [])->{header}{'x-oss-ec'},
		{ InDebt => '0003-00000806', PublicEndpointForbidden => '0048-00000401' }->{$code}, "$code: a HEAD");
	is(outcome(labels(bucket => 'tenlabels')), '200 ', "$code: not another bucket");
}
$oss->set(bucket => %every);
is(outcome(labels()), '200 ', 'the bucket is in order again');
for my $code (qw(UserDisable InDebt InDebtOverdue UbsmsInvalidBid))
{
	$oss->set(credential => id => 'poor', secret => 's', refuse => $code);
	is(outcome(labels(id => 'poor', secret => 's')), "403 $code", "$code of the requester");
	is(outcome(labels(id => 'poor', secret => 's', bucket => 'tenlabels')), "403 $code", "$code: in every bucket");
	is(outcome(labels()), '200 ', "$code: not another requester");
}
ok(!eval { $oss->set(bucket => name => 'everykey', refuse => 'NoSuchCode'); 1 }, 'an unknown code is refused');

# ---- a policy for some prefixes ----

$oss->set(credential => id => 'narrow', secret => 's', allow => [ 'everykey/photos/', 'tenlabels/' ]);
my %narrow = (id => 'narrow', secret => 's');
is(outcome(labels(%narrow, key => 'photos/a')), '200 ', 'within the prefix');
is(outcome(labels(%narrow, bucket => 'tenlabels')), '200 ', 'in the other bucket');
for my $key ('photo', 'a', 'Photos/a', '.oss_labels-check')
{
	$r = labels(%narrow, key => $key);
	is(outcome($r) . " $r->{header}{'x-oss-ec'}", '403 AccessDenied 0003-00000001', "outside: $key");
}
is(labels(%narrow, method => 'HEAD', query => [], key => 'b')->{status}, 403, 'a HEAD outside');
is(outcome(labels(%narrow, bucket => 'examplebucket', key => 'photos/beach.jpg')), '403 AccessDenied', 'another bucket');
$oss->set(credential => id => 'narrow', secret => 's', token => 't', allow => 'everykey/photos/');
is(labels(%narrow, token => 't')->{message}, 'Access denied by authorizer&#39;s policy.', 'a token is told otherwise');

# ---- limits that stay ----

$oss->control('/reset');
$oss->set(bucket => %every, throttle => 'QpsLimitExceeded');
$oss->control('/reset?what=faults');
is(outcome(labels(key => $_)), '503 QpsLimitExceeded', "always: key $_") for 1 .. 5;
is(outcome(labels(query => [])), '503 QpsLimitExceeded', 'a limit of OSS is of every request');
is(labels()->{header}{'retry-after'}, undef, 'without Retry-After');
is(outcome(labels(bucket => 'tenlabels')), '200 ', 'not of another bucket');
$oss->set(bucket => %every, throttle => 'TotalQpsLimitExceeded', retry_after => 3600);
is(labels()->{header}{'retry-after'}, 3600, 'with Retry-After');
$oss->set(bucket => %every, throttle => 'imm');
$r = labels();
is(outcome($r), '400 Imm Client', 'a limit of IMM');
like($r->{message}, qr/^Throttling\.User, .* flow control\. [0-9A-F-]{36}$/, 'in its words');
is(outcome(labels(query => [])), '200 ', 'is of labels only');
$oss->set(bucket => %every, throttle => 'QpsLimitExceeded', rate => 5);
my $begun = time;
my @met = map { labels(key => $_)->{status} } 1 .. 20;
my $allowed = 5 * int(1 + time - $begun);
cmp_ok(scalar(grep { $_ == 200 } @met), '<=', $allowed, "five a second, $allowed all in all");
is("@met[0 .. 4]", '200 200 200 200 200', 'the first five');
sleep 1.01;
is(outcome(labels()), '200 ', 'and again a second later');
$oss->set(bucket => %every);
is(outcome(labels()), '200 ', 'until it is taken away');
$oss->set(object => bucket => 'everykey', key => 'sick', throttle => 'imm');
is(outcome(labels(key => 'sick')), '400 Imm Client', 'one object always') for 1 .. 3;
is(outcome(labels(key => 'sick2')), '200 ', 'not another');
$oss->set(object => bucket => 'everykey', key => 'sick');
is(outcome(labels(key => 'sick')), '200 ', 'until that is taken away');
ok(!eval { $oss->set(bucket => %every, throttle => 'NoSuchCode'); 1 }, 'an unknown limit is refused');

# ---- the end of a token is the end of the URLs signed with it ----

$oss->set(credential => id => 'short', secret => 's', token => 'gone', expires_in => 100);
my %short = (port => $port, bucket => 'everykey', key => 'a', id => 'short', secret => 's', token => 'gone', expires => 604800);
is(outcome(OssRaw::presigned(%short)), '200 ', 'a URL signed with a token');
$oss->set(clock => shift => 200);
is(outcome(OssRaw::presigned(%short)), '403 SecurityTokenExpired', 'ends with the token, not after a week');
is(outcome(OssRaw::presigned(%short, id => 'testid', secret => 'testsecret', token => undef)), '200 ',
	'a URL signed with a key goes on');
$oss->set(clock => shift => 0);

# ---- the requester pays: in a header, or in the query ----

my %payer = (port => $port, bucket => 'payerbucket', key => 'example.jpg');
$oss->put('payerbucket', 'example.jpg', 'bytes');
is(OssRaw::presigned(%payer)->{header}{'x-oss-ec'}, '0003-00000703', 'a URL that does not say who pays');
is(outcome(OssRaw::presigned(%payer, query => [ 'x-oss-request-payer' => 'requester' ])), '200 ', 'a URL that says it');
is(outcome(OssRaw::presigned(%payer, query => [ 'x-oss-request-payer' => 'owner' ])), '403 AccessDenied', 'or says otherwise');

# ---- connections that end after some requests, as a proxy's do ----

for my $quiet (0, 1)
{
	$oss->set(keepalive => requests => 3, quiet => $quiet);
	my $socket = OssRaw::connect_to($port);
	my @answers = map { labels(socket => $socket) } 1 .. 3;
	is(join(' ', map { $_->{status} } @answers), '200 200 200', 'three requests are answered');
	is(join(' ', map { $_->{header}{connection} // '-' } @answers), $quiet ? '- - -' : '- - close',
		'the last answer ' . ($quiet ? 'does not tell' : 'tells'));
	my ($bytes, $end) = OssRaw::read_all($socket, 5, sub { 0 });
	is("$bytes$end", 'eof', 'and the connection ends');
}
$oss->set(keepalive => requests => 0);
my $socket = OssRaw::connect_to($port);
is(join(' ', map { labels(socket => $socket)->{status} } 1 .. 4), '200 200 200 200', 'for ever again');

# ---- errors in JSON ----

for my $form ('json', 'json-error')
{
	$oss->set(errors => xml => $form);
	$r = labels(bucket => 'examplebucket', key => 'nothing');
	is("$r->{status} $r->{header}{'content-type'}", '404 application/json', "$form: a JSON error");
	my $error = decode_json($r->{body});
	$error = $error->{Error} if $form eq 'json-error';
	is("$error->{Code} $error->{RequestId}", "NoSuchKey $r->{header}{'x-oss-request-id'}", "$form: what it says");
	is($r->{header}{'x-oss-ec'}, '0026-00000001', "$form: EC in the header");
}
$oss->set(errors => xml => 'plain');
is(outcome(labels(bucket => 'examplebucket', key => 'nothing')), '404 NoSuchKey', 'XML again');
ok(!eval { $oss->set(errors => xml => 'yaml'); 1 }, 'an unknown form is refused');

# ---- who met what ----

$oss->control('/reset');
$oss->set(object => bucket => 'everykey', key => 'sick', throttle => 'QpsLimitExceeded');
$oss->set(credential => id => 'second', secret => 's');
labels(key => $_) for 'sick', 'a', 'sick', 'b';
labels(bucket => 'tenlabels', key => $_) for 1 .. 3;
labels(bucket => 'tenlabels', id => 'second', secret => 's');
labels(bucket => 'examplebucket', key => 'nothing', id => 'second', secret => 's');
$oss->fault(code => 'InternalError', bucket => 'tenlabels');
labels(bucket => 'tenlabels', id => 'second', secret => 's');
ok($oss->wait_count(in_flight => 0), 'all is over');

# The counts of a tally, in one line.
sub counts
{
	my $tally = $oss->tally(@_);
	return join ' ', @$tally{qw(requests label_requests label_answers throttled refused failed abandoned)};
}
is(counts(bucket => 'everykey'), '4 4 2 2 0 0 0', 'of the bucket with a sick object');
is(counts(bucket => 'tenlabels'), '5 5 4 0 0 1 0', 'of another');
is(join(' ', @{ $oss->tally(bucket => 'everykey') }{qw(keys_distinct keys_repeated key_most)}), '3 1 2', 'its objects');
is(counts(requester => 'testid'), '7 7 5 2 0 0 0', 'of a requester');
is(counts(requester => 'second'), '3 3 1 0 1 1 0', 'of another');
is(counts(bucket => 'tenlabels', requester => 'second'), '2 2 1 0 0 1 0', 'of one in the other');
is(counts(bucket => 'nobodys'), '0 0 0 0 0 0 0', 'of what nobody asked for');
my $most = $oss->tally(bucket => 'everykey')->{label_max_per_second};
ok($most >= 1 && $most <= 4, 'the most in a second');
is($oss->tally(bucket => 'everykey')->{label_most_in_flight}, 1, 'the most in flight');
$oss->fault(kind => 'hang', bucket => 'everykey');
$oss->set(bucket => %every);
labels(seconds => 0.2);
ok($oss->wait_count(label_abandoned => 1), 'a client goes away');
is(counts(bucket => 'everykey'), '5 5 2 2 0 0 1', 'abandoned');
is($oss->tally(bucket => 'everykey')->{label_in_flight}, 0, 'nothing in flight');
$oss->control('/reset?what=counters');
is(counts(bucket => 'everykey'), '0 0 0 0 0 0 0', 'reset');

done_testing;
