# An HTTP client that sends exactly the bytes it is told to, for tests of the
# stand-in OSS: no normalised paths, no headers of its own.
package OssRaw;

use strict;
use warnings;
use Exporter 'import';
use IO::Socket::INET;
use IO::Select;
use MIME::Base64;
use Time::HiRes qw(time);

use OssSign;

our @EXPORT_OK = qw(exchange signed presigned);

# Open a connection to a port of 127.0.0.1.
sub connect_to
{
	my ($port) = @_;
	my $socket = IO::Socket::INET->new(
		PeerAddr => '127.0.0.1', PeerPort => $port, Proto => 'tcp')
	  or die "connect: $!\n";
	binmode $socket;
	return $socket;
}

# Return the bytes of a request.
sub compose
{
	my ($method, $target, $headers, $body) = @_;
	my $text = "$method $target HTTP/1.1\r\n";
	$text .= "$_->[0]: $_->[1]\r\n" for @$headers;
	$text .= 'Content-Length: ' . length($body) . "\r\n" if defined $body;
	return "$text\r\n" . (defined $body ? $body : '');
}

# Read until end of file or error or deadline; returns bytes and how it ended.
sub read_all
{
	my ($socket, $seconds, $enough) = @_;
	my $data = '';
	my $until = time + $seconds;
	my $select = IO::Select->new($socket);
	for (;;)
	{
		my $left = $until - time;
		return ($data, 'timeout') if $left <= 0 || !$select->can_read($left);
		my $n = sysread $socket, $data, 65536, length $data;
		return ($data, "$!") unless defined $n;
		return ($data, 'eof') if $n == 0;
		return ($data, 'complete') if $enough->($data);
	}
}

# Return whether a response with Content-Length is all there.
sub is_complete
{
	my ($data, $method) = @_;
	return 0 unless $data =~ /\A(.*?)\r\n\r\n/s;
	my ($head, $got) = ($1, length($data) - length($1) - 4);
	return 1 if $method eq 'HEAD' || $head =~ m{\AHTTP/1\.1 304};
	return $data =~ /\r\n0\r\n\r\n\z/ if $head =~ /^transfer-encoding: *chunked/mi;
	return $head =~ /^content-length: *(\d+)/mi && $got >= $1;
}

# Take a response apart.
sub parse
{
	my ($data, $end) = @_;
	my %r = (raw => $data, end => $end, status => 0, body => '', header => {});
	if ($data =~ m{\AHTTP/1\.1 (\d+)[^\r]*\r\n(.*?)\r\n\r\n(.*)\z}s)
	{
		@r{qw(status head body)} = ($1, $2, $3);
		for (split /\r\n/, $2)
		{
			my ($name, $value) = split /: */, $_, 2;
			$r{header}{ lc $name } = $value;
		}
	}
	# errors of HEAD have no body
	my $error = $r{body} eq '' ? decode_base64($r{header}{'x-oss-err'} // '') : $r{body};
	($r{code}) = $error =~ m{<Code>\s*(.*?)\s*</Code>}s;
	($r{message}) = $error =~ m{<Message>\s*(.*?)\s*</Message>}s;
	$r{code} = '' unless defined $r{code};
	return \%r;
}

# Send one request and return its parsed response.  Options: socket (keep-alive
# connection), seconds (how long to wait), body.
sub exchange
{
	my ($port, $method, $target, $headers, %o) = @_;
	my $socket = $o{socket} || connect_to($port);
	local $SIG{PIPE} = 'IGNORE';
	syswrite $socket, compose($method, $target, $headers, $o{body});
	return parse(
		read_all($socket, $o{seconds} || 10,
			sub { is_complete($_[0], $method) }));
}

# Return target and host of an object: path style, or virtual with a host.
sub place
{
	my (%q) = @_;
	my $key = OssSign::escape($q{key}, 1);
	return ("/$q{bucket}/$key", "127.0.0.1:$q{port}") unless $q{virtual};
	return ("/$key", "$q{bucket}.localhost:$q{port}");
}

# Send a request signed in its headers.  Arguments are those of
# OssSign::sign_header, and port, virtual, body, socket, seconds.
sub signed
{
	my (%q) = @_;
	my $headers = OssSign::sign_header(%q);
	my ($path, $host) = place(%q);
	my $query = OssSign::canonical_query(OssSign::pairs_of($q{query}));
	$path .= "?$query" if $query ne '';
	return exchange($q{port}, $q{method} || 'GET', $path,
		[ [ 'Host', $host ], @$headers ],
		map { $_ => $q{$_} } grep { defined $q{$_} } qw(socket seconds body));
}

# Send a request with a presigned URL.
sub presigned
{
	my (%q) = @_;
	my ($path, $host) = place(%q);
	return exchange($q{port}, $q{method} || 'GET',
		"$path?" . OssSign::sign_url(%q),
		[ [ 'Host', $host ], OssSign::pairs_of($q{headers}) ],
		map { $_ => $q{$_} } grep { defined $q{$_} } qw(socket seconds body));
}

1;
