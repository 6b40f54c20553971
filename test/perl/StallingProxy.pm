=head1 NAME

StallingProxy - a TCP proxy that forgets its connections

=head1 SYNOPSIS

  my $proxy = StallingProxy->new(to => $port, every => 2);
  $proxy->port

=head1 DESCRIPTION

One forked process passes on what comes to a port of 127.0.0.1.  Every so many
seconds it forgets the connections that there are: they stay open, and nothing
is passed on any more, as a NAT or a load balancer does that was restarted.
New connections work.

=cut

package StallingProxy;

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;
use POSIX ();
use Time::HiRes qw(time);

# How long a forgotten connection stays open, in seconds.
my $KEPT = 30;

sub new
{
	my ($class, %option) = @_;
	my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 128) or die "no socket: $!";
	my $parent = $$;
	my $self = bless { port => $listen->sockport, owner => $parent, pid => fork() // die "fork: $!" }, $class;

	if ($self->{pid} == 0)
	{
		eval { pass_on($listen, $parent, %option); 1 } or print STDERR "StallingProxy: $@";
		POSIX::_exit(0);
	}
	close $listen;
	return $self;
}

sub port { return $_[0]{port} }

sub DESTROY
{
	my ($self) = @_;
	return unless $self->{owner} == $$;
	local ($?, $!);
	kill 'KILL', $self->{pid};
	waitpid $self->{pid}, 0;
	return;
}

# Pass on until the parent ends.
sub pass_on
{
	my ($listen, $parent, %option) = @_;
	my $select = IO::Select->new($listen);
	my %peer;
	my @forgotten;
	my $next = time + $option{every};

	$SIG{PIPE} = 'IGNORE';
	while (getppid == $parent)
	{
		for my $socket ($select->can_read(0.1))
		{
			if ($socket == $listen)
			{
				my $client = $listen->accept or next;
				my $server = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $option{to}) or next;
				@peer{ $client, $server } = ($server, $client);
				$select->add($client, $server);
			}
			elsif (my $peer = $peer{$socket})
			{
				my $n = sysread $socket, my $bytes, 65536;

				# what is written fits into a socket's buffer, or the other reads
				next if $n && syswrite($peer, $bytes);
				$select->remove($socket, $peer);
				delete @peer{ $socket, $peer };
				close $_ for $socket, $peer;
			}
		}
		next if time < $next;
		$next = time + $option{every};
		my @now = grep { $_ != $listen } $select->handles;
		$select->remove(@now);
		%peer = ();
		push @forgotten, [ time, @now ];
		shift @forgotten while $forgotten[0][0] < time - $KEPT;
	}
	return;
}

1;
