=head1 NAME

DeadPorts - ports of 127.0.0.1 on which a connection gets no further

=head1 DESCRIPTION

They live as long as the object.

=cut

package DeadPorts;

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;
use POSIX ();
use Socket;

sub new { return bless { kept => [], children => [] }, $_[0] }

# Return a port whose queue of connections is full, so that further ones are
# neither accepted nor refused.
sub full
{
	my ($self) = @_;
	socket(my $listen, PF_INET, SOCK_STREAM, 0) or die $!;
	bind($listen, pack_sockaddr_in(0, inet_aton('127.0.0.1'))) or die $!;
	listen($listen, 0) or die $!;
	my $address = getsockname $listen;
	my @fillers = map {
		my $s = IO::Socket::INET->new(Proto => 'tcp', Blocking => 0) or die $!;
		connect($s, $address);
		$s;
	} 1 .. 4;
	push @{ $self->{kept} }, $listen, @fillers;
	return (unpack_sockaddr_in($address))[0];
}

# Return a port that accepts connections and says nothing.
sub mute
{
	my ($self) = @_;
	my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1024) or die $!;
	my $parent = $$;
	my $pid = fork // die $!;
	if ($pid == 0)
	{
		my $connections = IO::Select->new($listen);
		while (getppid == $parent)
		{
			for my $socket ($connections->can_read(1))
			{
				if ($socket == $listen) { $connections->add(scalar $listen->accept) }
				elsif (!sysread $socket, my $ignored, 65536)
				{
					$connections->remove($socket);
					close $socket;
				}
			}
		}
		POSIX::_exit(0);
	}
	push @{ $self->{children} }, $pid;
	return $listen->sockport;
}

sub DESTROY
{
	my ($self) = @_;
	local ($?, $!);
	kill 'KILL', @{ $self->{children} };
	waitpid $_, 0 for @{ $self->{children} };
	return;
}

1;
