# Each fault does what it says, and the counters tell it.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../../perl";
use Compress::Zlib qw(memGunzip);
use JSON::PP;
use Test::More;
use Time::HiRes qw(time sleep);

use OssRaw;
use OssServer;
use OssSign;

my $oss = OssServer->new;
my $port = $oss->http_port;

sub labels
{
	my (%q) = @_;
	return OssRaw::signed(port => $port, bucket => 'examplebucket', key => 'example.jpg',
		query => [ 'x-oss-process' => 'image/labels' ], %q);
}
sub outcome { return "$_[0]{status} $_[0]{code}" }
sub clean { $oss->control('/reset') }

# Set one fault, ask once, forget the fault.
sub with_fault
{
	my ($fault, %q) = @_;
	clean();
	$oss->fault(%$fault);
	return labels(%q);
}

# every code of the table, by its name alone
for (split /\n/, $oss->control('/codes'))
{
	my ($status, $code, $ec, $message) = split /\t/;
	my $r = with_fault({ code => $code });
	is(outcome($r), "$status $code", "$code on demand");
	is($r->{header}{'x-oss-ec'}, $ec eq '-' ? undef : $ec, "$code: EC");
}
my $r = with_fault({ code => 'SlowDown', status => 429, message => 'Wait <a bit>', ec => '0004-00000001',
	header => [ 'Retry-After: 7', 'x-oss-qos-delay-time: 1500' ], times => 2, skip => 1 });
is(outcome($r), '200 ', 'the first is skipped');
$r = labels();
is(outcome($r), '429 SlowDown', 'then the fault');
is($r->{message}, 'Wait &lt;a bit&gt;', 'message');
is("$r->{header}{'retry-after'} $r->{header}{'x-oss-qos-delay-time'} $r->{header}{'x-oss-ec'}",
	'7 1500 0004-00000001', 'headers and EC');
is(outcome(labels()), '429 SlowDown', 'twice');
is(outcome(labels()), '200 ', 'then all is fine');
is($oss->count('code_SlowDown'), 2, 'counted by code');
is($oss->count('status_429'), 2, 'counted by status');
is($oss->count('label_answers'), 2, 'answers delivered');
is($oss->count('label_requests'), 4, 'requests made');
like($oss->control('/faults'), qr/times=2 seen=4 hits=2/, 'the fault counts too');
with_fault({ code => 'InternalError', every => 3 });
is(join(' ', map { labels()->{status} } 1 .. 6), '200 200 500 200 200 500', 'every third');

# a fault does not hide a wrong signature
is(outcome(with_fault({ code => 'SlowDown' }, secret => 'wrong')), '403 SignatureDoesNotMatch',
	'authentication comes first');

# which requests
clean();
$oss->fault(code => 'SlowDown', bucket => 'examplebucket', key => 'a b');
is(outcome(labels()), '200 ', 'another key is not meant');
is(outcome(labels(key => 'a b')), '503 SlowDown', 'this key is');
is(outcome(labels(query => [])), '200 ', 'label requests only, by default');
$oss->fault(code => 'SlowDown', scope => 'any', prefix => 'photos/');
is(outcome(labels(key => 'photos/cat.png', query => [])), '503 SlowDown', 'any request under a prefix');
my $id = $oss->fault(code => 'InternalError');
is($oss->control("/unfault?id=$id"), "1\n", 'one fault removed');
is(outcome(labels()), '200 ', 'and gone');

# XML in other shapes
$r = with_fault({ code => 'SlowDown', xml => 'namespace' });
like($r->{body}, qr/<Error xmlns="[^"]+">/, 'namespace');
$r = with_fault({ code => 'SlowDown', xml => 'spaces' });
like($r->{body}, qr{<Code>\s+SlowDown\s+</Code>}, 'white space');
$r = with_fault({ code => 'Imm Client', xml => 'json' });
is(decode_json($r->{body})->{Code}, 'Imm Client', 'JSON');
$r = with_fault({ code => 'InternalError', xml => 'none' });
is("$r->{status} " . length $r->{body}, '500 0', 'no body');

# time
my $begin = time;
is(outcome(with_fault({ delay => 200 })), '200 ', 'delay');
cmp_ok(time - $begin, '>=', 0.2, 'took its time');
$begin = time;
with_fault({ delay => '50-100', code => 'SlowDown' });
cmp_ok(time - $begin, '>=', 0.05, 'delay of a range, with an error');
$begin = time;
$r = with_fault({ kind => 'pause', bytes => 30, interval => 200 });
is(scalar(@{ decode_json($r->{body})->{Labels} }), 2, 'pause in the body: whole answer');
cmp_ok(time - $begin, '>=', 0.2, 'took its time');
$begin = time;
$r = with_fault({ kind => 'slow', bytes => 50, interval => 20 });
is(scalar(@{ decode_json($r->{body})->{Labels} }), 2, 'slow bytes: whole answer');
cmp_ok(time - $begin, '>=', 0.1, 'took its time');

# no answer
for my $kind ('drop', 'reset', 'refuse', 'drop-before')
{
	$r = with_fault({ kind => $kind, times => 1 });
	is($r->{raw}, '', "$kind: not a byte");
	like($r->{end}, $kind eq 'reset' ? qr/reset/ : qr/eof|reset/, "$kind: how it ends");
	is($oss->count('label_requests'), $kind =~ /refuse|before/ ? 0 : 1, "$kind: counted");
	is(outcome(labels()), '200 ', "$kind: once");
}
$r = with_fault({ kind => 'hang' }, seconds => 0.3);
is($r->{end}, 'timeout', 'hang');
ok($oss->wait_count('label_abandoned', 1), 'the client that gave up is noticed');
is($oss->count('label_in_flight'), 0, 'nothing is in flight');
$r = with_fault({ delay => 5000 }, seconds => 0.2);
ok($oss->wait_count('label_abandoned', 1, 1), 'also while an answer is delayed');
is($oss->count('label_answers'), 0, 'and it does not count as delivered');

# bodies cut
$r = with_fault({ kind => 'truncate', bytes => 30 });
is(length($r->{body}) . " $r->{end}", '30 eof', 'truncate');
ok($r->{header}{'content-length'} > 30, 'Content-Length promised more');
$r = with_fault({ kind => 'reset-body', bytes => 30 });
is(length $r->{body}, 30, 'reset in the body');
like($r->{end}, qr/reset/, 'ends with a reset');
$r = with_fault({ kind => 'hang-body', bytes => 10 }, seconds => 0.3);
is(length($r->{body}) . " $r->{end}", '10 timeout', 'hang in the body');
$r = with_fault({ kind => 'length', bytes => 5 });
is($r->{header}{'content-length'} - length $r->{body}, 5, 'Content-Length too large');
is($r->{end}, 'eof', 'then closed');
$r = with_fault({ kind => 'length', bytes => -5 });
is(length($r->{body}) - $r->{header}{'content-length'}, 5, 'Content-Length too small');
$r = with_fault({ kind => 'chunked' });
is($r->{header}{'content-length'}, undef, 'chunked: no Content-Length');
like($r->{header}{'transfer-encoding'}, qr/chunked/, 'chunked');
like($r->{body}, qr/Outerwear/, 'chunked: the labels');
$r = with_fault({ kind => 'close' });
like($r->{header}{connection}, qr/close/i, 'Connection: close');

# no HTTP, or odd
$r = with_fault({ kind => 'garbage' });
is($r->{status}, 0, 'garbage is no HTTP');
isnt($r->{raw}, '', 'but something came');
$r = with_fault({ kind => 'headers', bytes => 1000000 });
cmp_ok(length $r->{head}, '>=', 1000000, 'a megabyte of headers');
$r = with_fault({ kind => 'nul-header' });
like($r->{raw}, qr/x-odd: a\0b/, 'NUL in a header');
$r = with_fault({ kind => 'raw', content => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi" });
is($r->{body}, 'hi', 'raw bytes');

# other answers
$r = with_fault({ kind => 'html' });
is("$r->{status} $r->{header}{'content-type'}", '200 text/html', 'HTML');
$r = with_fault({ kind => 'gzip' });
like(memGunzip($r->{body}), qr/Outerwear/, 'gzip');
is($r->{header}{'content-encoding'}, 'gzip', 'Content-Encoding');
$r = with_fault({ kind => 'image' });
is(substr($r->{body}, 0, 2) . " $r->{header}{'content-type'}", "\xff\xd8 image/jpeg", 'the image instead');
$r = with_fault({ kind => 'redirect', location => 'http://elsewhere.example.com/x', status => 302 });
is("$r->{status} $r->{header}{location}", '302 http://elsewhere.example.com/x', 'redirect');
$r = with_fault({ kind => 'huge', bytes => 3_000_000 });
is(length $r->{body}, 3_000_000, 'huge');
ok(decode_json($r->{body}), 'and still JSON');
$r = with_fault({ kind => 'nul' });
like($r->{body}, qr/Ca\0t/, 'NUL in the body');
$r = with_fault({ kind => 'utf8' });
like($r->{body}, qr/Ca\xfft/, 'invalid UTF-8');
$r = with_fault({ kind => 'body', content => '{"a":1}', status => 201, type => 'text/x' });
is("$r->{status} $r->{header}{'content-type'} $r->{body}", '201 text/x {"a":1}', 'a body of one\'s own');
my %check = (missing => qr/^\{"RequestId":"[^"]+"\}$/, null => qr/"Labels":null/, empty => qr/"Labels":\[\]/,
	unknown => qr/"NewField"/, level3 => qr/"LabelLevel":3/, types => qr/"LabelName":42/,
	duplicates => qr/"LabelName":"A","LabelName":"B"/, elements => qr/\[null,1,"x"/, broken => qr/"LabelName":$/,
	object => qr/"Labels":\{/, string => qr/"Labels":"/, number => qr/"Labels":7/, 'no-id' => qr/^\{"Labels"/,
	'fields-missing' => qr/\[\{\},/, chinese => qr/\xe7\x8c\xab/, escapes => qr/\\u732b/, 'nul-escape' => qr/\\u0000/,
	array => qr/^\[/, 'empty-body' => qr/^$/, neither => qr/"Message"/, trailing => qr/ trailing$/);
for my $variant (sort keys %check)
{
	$r = with_fault({ kind => 'labels', variant => $variant });
	is($r->{status}, 200, "labels $variant");
	like($r->{body}, $check{$variant}, "labels $variant: body");
}
$r = with_fault({ kind => 'labels', variant => 'many', bytes => 5000 });
is(scalar(@{ decode_json($r->{body})->{Labels} }), 5000, 'huge array');
is(outcome(with_fault({ kind => 'labels', variant => 'nonsense' })), '501 UnknownVariant', 'unknown variant');
ok(!eval { $oss->fault(kind => 'nonsense') }, 'unknown kind is refused');

# what is billed: the work that the service finishes, whatever becomes of the connection
sub billed { $oss->wait_count(in_flight => 0); return $oss->count('label_billed') }
for my $kind (qw(drop reset hang truncate reset-body garbage))
{
	with_fault({ kind => $kind }, seconds => 0.3);
	is(billed() . ' ' . $oss->count('label_answers'), '1 0', "$kind: billed, though no answer came");
	with_fault({ kind => $kind, bill => 0 }, seconds => 0.3);
	is(billed(), 0, "$kind: not billed if the fault says so");
}
with_fault({ delay => 5000 }, seconds => 0.2);
is(billed(), 1, 'a client that leaves does not stop the work');
with_fault({ delay => 10, bill => 0 });
is(billed() . ' ' . $oss->count('label_answers'), '0 1', 'a delay has a bill, too');
for my $code ('SlowDown', 'NoSuchKey', 'InternalError')
{
	with_fault({ code => $code });
	is(billed(), 0, "$code is not billed");
	with_fault({ code => $code, bill => 1 });
	is(billed(), 1, "$code is billed if the fault says so");
}
with_fault({ kind => 'hang', code => 'InternalError' }, seconds => 0.3);
is(billed(), 1, 'one answer');
clean();
$oss->fault(code => 'SlowDown');
$oss->fault(kind => 'hang');
labels(seconds => 0.3);
is(billed(), 0, 'a throttle that does not arrive');
ok(!eval { $oss->fault(kind => 'hang', bill => 2) }, 'a bill is 0 or 1');
with_fault({ kind => 'html' });
is(billed(), 1, 'any 200 is billed');
clean();
OssRaw::signed(port => $port, bucket => 'examplebucket', key => 'example.jpg', method => 'HEAD') for 1 .. 2;
labels(query => []);
is(billed() . ' ' . $oss->count('head_requests') . ' ' . $oss->count('keys_distinct'), '0 2 0', 'HEAD and GET are not');
is($oss->control('/keys?kind=head'), "2\texamplebucket\texample.jpg\n", 'objects asked for by HEAD');
is($oss->control('/keys'), '', 'none for labels');
labels();
is($oss->control('/keys?kind=label'), "1\texamplebucket\texample.jpg\n", 'one for labels');
ok(!eval { $oss->control('/keys?kind=x') }, 'another kind is refused');
$oss->wait_count(in_flight => 0);
is(join(' ', map { $_->{kind} } @{ decode_json($oss->control('/log?n=4&format=json')) }), 'head head other label', 'the log has kinds');
$oss->fault(code => $_, times => 1) for qw(SlowDown NoSuchKey InternalError);
labels() for 1 .. 3;
$oss->wait_count(in_flight => 0);
is(join(' ', @{ $oss->tally(bucket => 'examplebucket') }{qw(label_requests label_answers label_billed label_throttled
	label_refused label_failed head_requests)}), '4 1 1 1 1 1 2', 'label requests of a bucket by outcome');

# throttles
clean();
$oss->fault(kind => 'throttle', rate => 5);
my @status = map { labels()->{status} } 1 .. 12;
is(join(' ', @status), join(' ', (200) x 5, (503) x 7), 'five a second');
is($oss->count('code_TotalQpsLimitExceeded'), 7, 'with the documented code');
sleep 1.05;
is(labels()->{status}, 200, 'a second later');
clean();
$oss->fault(kind => 'active', limit => 2);
$oss->fault(delay => 300);
my @sockets = map { OssRaw::connect_to($port) } 1 .. 4;
my $h = OssSign::sign_header(bucket => 'examplebucket', key => 'example.jpg', query => [ 'x-oss-process' => 'image/labels' ]);
for (@sockets)
{
	syswrite $_, OssRaw::compose('GET', '/examplebucket/example.jpg?x-oss-process=image/labels',
		[ [ Host => '127.0.0.1' ], @$h ]);
	sleep 0.02;
}
my @codes = map { OssRaw::parse(OssRaw::read_all($_, 5, sub { OssRaw::is_complete($_[0], 'GET') }))->{code} } @sockets;
is_deeply(\@codes, [ '', '', ('ActiveRequestLimitExceeded') x 2 ], 'two at once');
is($oss->count('label_most_in_flight'), 4, 'most in flight');

# a thousand delayed answers at once take the time of one
clean();
$oss->fault(delay => 500);
$begin = time;
@sockets = map { OssRaw::connect_to($port) } 1 .. 500;
my $text = OssRaw::compose('GET', '/examplebucket/example.jpg?x-oss-process=image/labels', [ [ Host => '127.0.0.1' ], @$h ]);
syswrite $_, $text for @sockets;
my $good = grep { OssRaw::parse(OssRaw::read_all($_, 10, sub { OssRaw::is_complete($_[0], 'GET') }))->{status} == 200 } @sockets;
is($good, 500, 'five hundred delayed answers');
cmp_ok(time - $begin, '<', 5, 'all at once');
@sockets = ();
cmp_ok($oss->count('label_most_in_flight'), '>', 100, 'they were in flight together');
is($oss->count('label_answers'), 500, 'all delivered');

done_testing;
