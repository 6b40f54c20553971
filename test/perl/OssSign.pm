# Signature V4 of OSS in Perl, for tests only.  Written from the README of
# src/protocol, independent of the extension's signer and of the stand-in's check.
package OssSign;

use strict;
use warnings;
use Digest::SHA qw(hmac_sha256 hmac_sha256_hex sha256_hex);
use Exporter 'import';
use POSIX qw(strftime);

our @EXPORT_OK = qw(sign_header sign_url escape signing_key canonical_request
  string_to_sign);

my $algorithm = 'OSS4-HMAC-SHA256';

# Escape bytes; '/' stays when asked.
sub escape
{
	my ($bytes, $keep_slash) = @_;
	my $class = $keep_slash ? qr{[^A-Za-z0-9\-_.~/]} : qr{[^A-Za-z0-9\-_.~]};
	$bytes =~ s/($class)/sprintf('%%%02X', ord($1))/ge;
	return $bytes;
}

# Return whether a header is signed without being listed.
sub always_signed
{
	my ($name) = @_;
	return $name =~ /^x-oss-/ || $name eq 'content-type' || $name eq 'content-md5';
}

# Return pairs of an array reference of alternating names and values.
sub pairs_of
{
	my ($list) = @_;
	my @flat = @{ $list || [] };
	my @pairs;
	push @pairs, [ splice(@flat, 0, 2) ] while @flat;
	return @pairs;
}

sub canonical_query
{
	my (@pairs) = @_;
	my @escaped =
	  map { [ escape($_->[0]), escape(defined $_->[1] ? $_->[1] : '') ] } @pairs;
	return join '&', map { $_->[1] eq '' ? $_->[0] : "$_->[0]=$_->[1]" }
	  sort { $a->[0] cmp $b->[0] } @escaped;
}

# Return the canonical request.
sub canonical_request
{
	my (%q) = @_;
	my %extra = map { $_ => 1 } @{ $q{extra} };
	my %headers;
	for my $h (@{ $q{headers} })
	{
		my ($name, $value) = (lc $h->[0], $h->[1]);
		$value =~ s/^\s+|\s+$//g;
		push @{ $headers{$name} }, $value
		  if always_signed($name) || $extra{$name};
	}
	return join "\n", $q{method},
	  '/' . (defined $q{bucket} ? "$q{bucket}/" . escape($q{key}, 1) : ''),
	  canonical_query(@{ $q{query} }),
	  join('', map { "$_:" . join(',', @{ $headers{$_} }) . "\n" } sort keys %headers),
	  join(';', sort keys %extra), 'UNSIGNED-PAYLOAD';
}

sub string_to_sign
{
	my ($stamp, $scope, $request) = @_;
	return join "\n", $algorithm, $stamp, $scope, sha256_hex($request);
}

sub signing_key
{
	my ($secret, $day, $region, $product) = @_;
	my $key = hmac_sha256($day, "aliyun_v4$secret");
	$key = hmac_sha256($_, $key) for $region, $product, 'aliyun_v4_request';
	return $key;
}

# Fill in what a caller left out.
sub defaults
{
	my (%q) = @_;
	%q = (
		method => 'GET', id => 'testid', secret => 'testsecret',
		region => 'cn-hangzhou', product => 'oss', time => time, %q);
	$q{stamp} ||= strftime('%Y%m%dT%H%M%SZ', gmtime $q{time});
	$q{day} = substr $q{stamp}, 0, 8;
	$q{scope} = join '/', $q{day}, $q{region}, $q{product}, 'aliyun_v4_request';
	$q{query} = [ pairs_of($q{query}) ];
	$q{headers} = [ pairs_of($q{headers}) ];
	my %have = map { lc $_->[0] => 1 } @{ $q{headers} };
	my %extra = map { $_ => 1 }
	  grep { !always_signed($_) && $have{$_} } map { lc } @{ $q{additional} || [] };
	$q{extra} = [ sort keys %extra ];
	return %q;
}

sub signature_of
{
	my (%q) = @_;
	return hmac_sha256_hex(
		string_to_sign($q{stamp}, $q{scope}, canonical_request(%q)),
		signing_key($q{secret}, $q{day}, $q{region}, $q{product}));
}

# Return the headers (array reference of pairs) of a request signed in its
# headers.  Arguments: method, bucket, key, query and headers (array references
# of alternating names and values, raw bytes), additional, id, secret, token,
# region, product, time or stamp.
sub sign_header
{
	my %q = defaults(@_);
	push @{ $q{headers} }, [ 'x-oss-date', $q{stamp} ],
	  [ 'x-oss-content-sha256', 'UNSIGNED-PAYLOAD' ];
	push @{ $q{headers} }, [ 'x-oss-security-token', $q{token} ]
	  if defined $q{token};
	my $list =
	  @{ $q{extra} } ? ',AdditionalHeaders=' . join(';', @{ $q{extra} }) : '';
	return [ @{ $q{headers} },
		[ 'Authorization',
			"$algorithm Credential=$q{id}/$q{scope}$list,Signature="
			  . signature_of(%q) ] ];
}

# Return the query string of a presigned URL; expires in seconds.
sub sign_url
{
	my %q = defaults(expires => 900, @_);
	push @{ $q{query} }, [ 'x-oss-signature-version', $algorithm ],
	  [ 'x-oss-credential', "$q{id}/$q{scope}" ],
	  [ 'x-oss-date', $q{stamp} ], [ 'x-oss-expires', $q{expires} ];
	push @{ $q{query} }, [ 'x-oss-security-token', $q{token} ]
	  if defined $q{token};
	push @{ $q{query} },
	  [ 'x-oss-additional-headers', join(';', @{ $q{extra} }) ]
	  if @{ $q{extra} };
	return canonical_query(@{ $q{query} }) . '&x-oss-signature=' . signature_of(%q);
}

1;
