# The published signature vectors: each right one is let in, and each one with
# a single byte changed is refused.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../../perl";
use JSON::PP;
use POSIX qw(strftime);
use Time::Local qw(timegm);
use Test::More;

use OssRaw;
use OssServer;
use OssSign;

my $file = "$FindBin::RealBin/../../unit/v4-vectors.json";
open my $in, '<', $file or die "$file: $!";
my $vectors = do { local $/; decode_json(<$in>)->{vectors} };
my $oss = OssServer->new(empty => 1);
my $port = $oss->http_port;

sub bytes { my ($s) = @_; utf8::encode($s) if defined $s; return $s }

sub time_of
{
	my ($v) = @_;
	return $v->{sign_time_unix} if defined $v->{sign_time_unix};
	my $iso = $v->{sign_time_iso} || ($v->{signed_url} =~ /x-oss-date=(\w+)/)[0];
	my @t = $iso =~ /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/;
	return timegm(@t[5, 4, 3, 2], $t[1] - 1, $t[0]);
}

# Make the server believe in the vector's time, scope and credentials.
sub prepare
{
	my ($v) = @_;
	my $c = $v->{credentials};
	my $shift = time_of($v) - time;
	my ($region, $product) = ($v->{region} || 'cn-hangzhou', $v->{product} || 'oss');
	$oss->control("/clock?shift=$shift");
	$oss->control("/scope?region=$region&product=$product");
	my ($id) = $c->{access_key_id} || 'ak';
	# the URL vectors of a token do not repeat it beside the URL
	my ($token) = $c->{security_token};
	($token) = $v->{signed_url} =~ /x-oss-security-token=(\w+)/
	  if $v->{signed_url} && !defined $token;
	$oss->control("/credential?id=$id&secret=$c->{access_key_secret}"
		  . (defined $token ? '&token=' . OssSign::escape($token) : ''));
}

# Send a vector's request; %change alters what is sent after signing.
sub send_vector
{
	my ($v, %change) = @_;
	my $c = $v->{credentials};
	my @headers = map { [ map { bytes($_) } @$_ ] } @{ $v->{headers} };
	my ($target, @auth);
	if ($v->{mode} eq 'verify-url')
	{
		($target) = $v->{signed_url} =~ m{^https?://[^/]+(/.*)$};
		$target = "/bucket$target" unless $change{virtual};
	}
	else
	{
		my @pairs = map { [ map { bytes($_) } @$_ ] } @{ $v->{query} };
		my $stamp = $v->{sign_time_iso}
		  || strftime('%Y%m%dT%H%M%SZ', gmtime $v->{sign_time_unix});
		my $scope = join '/', substr($stamp, 0, 8), $v->{region}, $v->{product},
		  'aliyun_v4_request';
		my %have = map { lc $_->[0] => 1 } @headers;
		my %extra = map { $_ => 1 }
		  grep { $have{$_} && !OssSign::always_signed($_) }
		  map { lc } @{ $v->{additional_headers} };
		my $extra = join ';', sort keys %extra;
		my $signature = $v->{expected}{signature} || $v->{computed}{signature};
		if ($v->{mode} eq 'query')
		{
			push @pairs, [ 'x-oss-signature-version', 'OSS4-HMAC-SHA256' ],
			  [ 'x-oss-credential', "$c->{access_key_id}/$scope" ],
			  [ 'x-oss-date', $stamp ], [ 'x-oss-expires', $v->{expires_seconds} ],
			  [ 'x-oss-signature', $signature ];
			push @pairs, [ 'x-oss-security-token', $c->{security_token} ]
			  if defined $c->{security_token};
			push @pairs, [ 'x-oss-additional-headers', $extra ] if $extra ne '';
		}
		else
		{
			push @headers, [ 'x-oss-security-token', $c->{security_token} ]
			  if defined $c->{security_token};
			push @headers, [ 'x-oss-date', $stamp ]
			  unless grep { lc $_->[0] eq 'x-oss-date' } @headers;
			push @headers, [ 'x-oss-content-sha256', 'UNSIGNED-PAYLOAD' ]
			  unless grep { lc $_->[0] eq 'x-oss-content-sha256' } @headers;
			push @headers, [ 'Authorization',
				"OSS4-HMAC-SHA256 Credential=$c->{access_key_id}/$scope"
				  . ($extra ne '' ? ",AdditionalHeaders=$extra" : '')
				  . ",Signature=$signature" ];
		}
		my $query = join '&', map { OssSign::escape($_->[0]) . '=' . OssSign::escape($_->[1]) } @pairs;
		$target = ($change{virtual} ? '' : "/$v->{bucket}") . '/'
		  . OssSign::escape(bytes($v->{key} // ''), 1) . ($query ne '' ? "?$query" : '');
	}
	my $bucket = $v->{bucket} || 'bucket';
	unshift @headers, [ 'Host', $change{virtual} ? "$bucket.localhost" : '127.0.0.1' ]
	  unless grep { lc $_->[0] eq 'host' } @headers;
	$change{edit}->(\$target, \@headers) if $change{edit};
	# a signed Content-Length belongs to a body of that length
	my ($length) = map { $_->[1] } grep { lc $_->[0] eq 'content-length' } @headers;
	@headers = grep { lc $_->[0] ne 'content-length' } @headers;
	return OssRaw::exchange($port, $v->{method}, $target, \@headers,
		$v->{method} eq 'GET' ? () : (body => 'x' x ($length || 0)));
}

# Change the n-th byte that matters of a text into another legal one.
sub flip
{
	my ($text, $at) = @_;
	my $c = substr $text, $at, 1;
	my $other = $c =~ /[0-9]/ ? ($c eq '9' ? '0' : $c + 1)
	  : $c =~ /[a-y]|[A-Y]/ ? chr(ord($c) + 1) : $c =~ /[zZ]/ ? chr(ord($c) - 1) : undef;
	return unless defined $other;
	substr($text, $at, 1) = $other;
	return $text;
}

my %modes;
for my $v (@$vectors)
{
	$modes{ $v->{mode} }++;
	next unless $v->{mode} =~ /^(header|query|verify-url)$/;
	prepare($v);
	for my $virtual (0, 1)
	{
		# a vector that signs its Host can only be sent with that Host
		my $host = grep { lc $_->[0] eq 'host' } @{ $v->{headers} };
		next if $host && !$virtual;
		my $r = send_vector($v, virtual => $virtual);
		my $want = $v->{method} eq 'POST' ? 'MethodNotAllowed' : 'NoSuchBucket';
		is($r->{code}, $want, "$v->{id} is let in" . ($virtual ? ' (virtual)' : ''))
		  or diag $r->{raw};
	}
	my $host = grep { lc $_->[0] eq 'host' } @{ $v->{headers} };
	my ($wrong, $let_in) = (0, 0);
	for my $at (0 .. 63)
	{
		my $r = send_vector($v, virtual => $host, edit => sub {
			my ($target, $headers) = @_;
			if ($v->{mode} eq 'header')
			{
				my ($h) = grep { $_->[0] eq 'Authorization' } @$headers;
				$h->[1] =~ s/(Signature=)(\w+)/$1 . flip($2, $at)/e;
			}
			else { $$target =~ s/(x-oss-signature=)(\w+)/$1 . flip($2, $at)/e }
		});
		$r->{code} eq 'SignatureDoesNotMatch' ? $wrong++ : $let_in++;
	}
	is($wrong, 64, "$v->{id}: each wrong byte of the signature is refused");
	my $r = send_vector($v, virtual => $host, edit => sub {
		my ($target) = @_;
		my $path = length($$target) - length($$target =~ s{^[^?]*}{}r);
		my $changed = flip($$target, $path - 1) // flip($$target, $path - 2);
		$$target = $changed;
	});
	is($r->{code}, 'SignatureDoesNotMatch', "$v->{id}: another key is refused");
	next unless $v->{mode} eq 'header' && @{ $v->{headers} };
	$r = send_vector($v, virtual => $host, edit => sub {
		my ($target, $headers) = @_;
		my ($h) = grep { OssSign::always_signed(lc $_->[0]) } @$headers;
		$h->[1] .= 'x' if $h;
		$h->[1] =~ s/PAYLOADx/PAYLOAD/ if $h;
		push @$headers, [ 'x-oss-added', '1' ];
	});
	isnt($r->{status}, 404, "$v->{id}: a changed signed header is refused");
}
ok($modes{header} >= 9 && $modes{query} >= 8 && $modes{'verify-url'} == 4,
	'the vectors were all there');

# the block of canonical headers, as the server shows it on a mismatch
my ($c01) = grep { $_->{mode} eq 'canonical-headers' } @$vectors;
my @h = map { [@$_] } @{ $c01->{headers} };
my $shift = timegm(24, 6, 8, 14, 7, 2025) - time;
$oss->control("/clock?shift=$shift");
$oss->control('/scope?region=cn-hangzhou&product=oss');
$oss->control('/credential?id=ak&secret=sk');
my $r = OssRaw::exchange($port, 'GET', '/bucket/key', [
	[ 'Host', '127.0.0.1' ], @h, [ 'x-oss-content-sha256', 'UNSIGNED-PAYLOAD' ],
	[ 'Authorization', 'OSS4-HMAC-SHA256 Credential=ak/20250814/cn-hangzhou/oss/'
		  . 'aliyun_v4_request,Signature=' . '0' x 64 ] ]);
is($r->{code}, 'SignatureDoesNotMatch', 'C01 with a wrong signature');
(my $shown) = $r->{body} =~ m{<CanonicalRequest>(.*?)</CanonicalRequest>}s;
$shown =~ s/&#10;/\n/g;
$shown =~ s/x-oss-content-sha256:.*\n//;
like($shown, qr/\Q$c01->{expected}{canonical_headers}\E/, 'C01: canonical headers')
  or diag $r->{raw};

done_testing;
