=head1 NAME

ForgetfulProxy - a TCP proxy that forgets connections without a word

=head1 SYNOPSIS

  my $proxy = ForgetfulProxy->new($port_of_service);
  # ... connections to 127.0.0.1, port $proxy->{port} ...
  kill 'USR1', $proxy->{pid};

=head1 DESCRIPTION

From a signal USR1 on, the connections there are at that time are as after the
failover of a gateway: what is sent on them is not acknowledged and nothing
comes back, not even an end.  New connections work.  A socket filter drops what
arrives before TCP sees it.  Some kernels ask for CAP_NET_RAW for that, which
C<own_network> gives to a test.

=cut

package ForgetfulProxy;

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;
use POSIX ();
use Socket qw(SOL_SOCKET);

use constant SO_ATTACH_FILTER => 26;

# Start it in a process of its own, before a port of 127.0.0.1.
sub new
{
	my ($class, $service) = @_;
	my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 128) or die $!;
	my $self = bless { port => $listener->sockport }, $class;

	$self->{pid} = fork // die $!;
	if ($self->{pid} == 0)
	{
		# nothing of the test's is to be ended here
		eval { serve($listener, $service) };
		warn $@;
		POSIX::_exit(1);
	}
	return $self;
}

# Run the test again in a network namespace of its own, if that is possible; to
# be called before anything is started.
sub own_network
{
	my @unshare = qw(unshare --user --net --map-current-user --keep-caps sh -c);

	return if $ENV{OSS_TEST_OWN_NETWORK};
	return if system(@unshare, 'ip link set lo up 2>/dev/null') != 0;
	$ENV{OSS_TEST_OWN_NETWORK} = 1;
	$ENV{PERL5LIB} = join ':', @INC;
	exec @unshare, 'ip link set lo up; exec "$@"', 'sh', $^X, $0 or die $!;
}

# May connections be forgotten here?
sub possible
{
	my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1) or die $!;

	return defined eval { forget($socket); 1 };
}

# Let a socket drop whatever arrives.
sub forget
{
	my ($socket) = @_;
	my $drop = pack('SCCL', 6, 0, 0, 0);

	setsockopt($socket, SOL_SOCKET, SO_ATTACH_FILTER, pack('S x![P] P', 1, $drop)) or die "SO_ATTACH_FILTER: $!";
	return;
}

# Forward until killed.
sub serve
{
	my ($listener, $service) = @_;
	my $readable = IO::Select->new($listener);
	my (%peer, %is_client);
	my $forget = 0;
	my @forgotten;		# not closed, which the other side would hear
	local $SIG{USR1} = sub { $forget = 1 };
	local $SIG{PIPE} = 'IGNORE';

	while (1)
	{
		my @ready = $readable->can_read(0.1);
		if ($forget)
		{
			forget($_) for values %is_client;
			$readable->remove($_, $peer{$_}) for values %is_client;
			push @forgotten, %peer, %is_client;
			@ready = grep { $_ == $listener } @ready;
			%peer = %is_client = ();
			$forget = 0;
		}
		for my $socket (@ready)
		{
			if ($socket == $listener)
			{
				my $client = $listener->accept or next;
				my $server = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $service) or next;
				$peer{$client} = $server;
				$peer{$server} = $client;
				$is_client{$client} = $client;
				$readable->add($client, $server);
				next;
			}
			my $other = $peer{$socket} // next;
			my $bytes;
			next if sysread($socket, $bytes, 65536) && syswrite($other, $bytes);
			for my $end ($socket, $other)
			{
				$readable->remove($end);
				delete $peer{$end};
				delete $is_client{$end};
				close $end;
			}
		}
	}
	return;
}

sub DESTROY
{
	my ($self) = @_;
	local ($?, $!);
	kill 'KILL', $self->{pid};
	waitpid $self->{pid}, 0;
	return;
}

1;
