=head1 NAME

HttpProxy - an HTTP proxy that does what a test wants

=head1 SYNOPSIS

  my $proxy = HttpProxy->new;
  $proxy->behave(answer => "HTTP/1.1 403 Forbidden\r\n\r\n");
  is($proxy->asked, 1);
  like($proxy->heads, qr/^CONNECT /);

=head1 DESCRIPTION

Forked processes, one a connection, on a port of 127.0.0.1.  What came before a
tunnel was open is kept.  Behaviours, of connections made from then on:

  {}                 tunnels, to 127.0.0.1 whatever the name is
  ports => {N => M}  to port M for N
  password => 'u:p'  the same for who shows it, and 407 for others
  answer => TEXT     this, and the end; hold => 1: and silence
  drip => TEXT       the same without an end, a byte every 10 ms
  flood => 1         header lines without an end
  cut => N           a tunnel that ends after N bytes of what comes back
  silent => 1        nothing
  greeting => TEXT   this, before anything was asked, and the end

=cut

package HttpProxy;

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;
use JSON::PP ();
use MIME::Base64 ();
use POSIX ();
use PostgreSQL::Test::Utils ();
use Time::HiRes ();

my $proxies = 0;

sub new
{
	my ($class, %option) = @_;
	my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 128) or die "no socket: $!";
	my $dir = PostgreSQL::Test::Utils::tempdir . '/proxy' . $proxies++;
	my $self = bless { port => $listen->sockport, dir => $dir, owner => $$, scheme => 'http' }, $class;

	mkdir $dir or die $!;
	$self->behave;
	$self->{pid} = fork // die "fork: $!";
	if ($self->{pid} == 0)
	{
		eval { serve($listen, $dir, $self->{owner}) };
		warn $@ if $@;
		POSIX::_exit(0);
	}
	return $self;
}

sub port { return $_[0]{port} }
sub url { return "http://127.0.0.1:$_[0]{port}" }

# Behave like this towards connections that are yet to come.
sub behave
{
	my ($self, %how) = @_;
	open my $file, '>', "$self->{dir}/new" or die $!;
	print $file JSON::PP::encode_json(\%how);
	close $file;
	rename "$self->{dir}/new", "$self->{dir}/how" or die $!;
	$self->forget;
	return;
}

# What it was asked since the last behave() or forget(), one head after another.
sub heads
{
	my ($self) = @_;
	return -e "$self->{dir}/heads" ? PostgreSQL::Test::Utils::slurp_file("$self->{dir}/heads") : '';
}
sub asked { my $n = () = $_[0]->heads =~ /^CONNECT /mg; return $n }
sub forget { unlink "$_[0]{dir}/heads"; return }

sub serve
{
	my ($listen, $dir, $parent) = @_;
	my $readable = IO::Select->new($listen);

	$SIG{CHLD} = 'IGNORE';
	while (getppid == $parent)
	{
		next unless $readable->can_read(0.2);
		my $client = $listen->accept or next;
		my $pid = fork // die "fork: $!";
		if ($pid == 0)
		{
			close $listen;
			alarm 60;
			eval { talk($client, $dir) };
			warn $@ if $@;
			POSIX::_exit(0);
		}
		close $client;
	}
	return;
}

# One connection.
sub talk
{
	my ($client, $dir) = @_;
	my $how = JSON::PP::decode_json(PostgreSQL::Test::Utils::slurp_file("$dir/how"));
	my ($head, $bytes) = ('');

	local $SIG{PIPE} = 'IGNORE';
	if ($how->{greeting})
	{
		syswrite $client, $how->{greeting};
		return;
	}
	while ($head !~ /\r\n\r\n/)
	{
		sysread $client, $bytes, 4096 or return;
		$head .= $bytes;
	}
	open my $file, '>>', "$dir/heads" or die $!;
	syswrite $file, $head;
	close $file;
	if ($how->{silent}) { wait_for_end($client) }
	elsif ($how->{flood}) { 1 while syswrite $client, "HTTP/1.1 200 OK\r\n" . 'X-Flood: ' . 'x' x 900 . "\r\n" }
	elsif (defined $how->{drip})
	{
		for my $byte (split //, $how->{drip} . 'x' x 5000)
		{
			syswrite $client, $byte or return;
			Time::HiRes::sleep(0.01);
		}
	}
	elsif (defined $how->{answer})
	{
		syswrite $client, $how->{answer};
		wait_for_end($client) if $how->{hold};
	}
	else { tunnel($client, $head, $how) }
	return;
}

sub wait_for_end { my ($client) = @_; 1 while sysread $client, my $ignored, 65536; return }

sub tunnel
{
	my ($client, $head, $how) = @_;
	my ($shown) = $head =~ /^Proxy-Authorization: Basic (\S+)/mi;

	if (defined $how->{password} && MIME::Base64::decode_base64($shown // '') ne $how->{password})
	{
		syswrite $client, "HTTP/1.1 407 Proxy Authentication Required\r\n"
		  . "Proxy-Authenticate: Basic realm=\"test\"\r\nContent-Length: 5\r\nx-oss-ec: 0003-00000001\r\n\r\nhello";
		return;
	}
	my ($port) = $head =~ /^CONNECT \S+:(\d+) / or return;
	$port = $how->{ports}{$port} // $port;
	my $server = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port);
	if (!$server)
	{
		syswrite $client, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n";
		return;
	}
	syswrite $client, "HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n";
	my $readable = IO::Select->new($client, $server);
	my $left = $how->{cut};
	while (my @ready = $readable->can_read)
	{
		for my $from (@ready)
		{
			sysread $from, my $bytes, 65536 or return;
			if ($from == $server && defined $left)
			{
				$bytes = substr $bytes, 0, $left;
				$left -= length $bytes;
			}
			syswrite $from == $client ? $server : $client, $bytes;
			return if defined $left && $left <= 0;
		}
	}
	return;
}

sub DESTROY
{
	my ($self) = @_;
	return unless $self->{owner} == $$;
	local ($?, $!);
	kill 'KILL', $self->{pid} if $self->{pid};
	waitpid $self->{pid}, 0 if $self->{pid};
	return;
}

1;
