=head1 NAME

CredentialServer - a stand-in for the services that give out credentials

=head1 SYNOPSIS

  my $server = CredentialServer->new;
  $server->issue(id => 'STS.one', secret => '...', token => '...',
                 lifetime => 3600);
  $server->answer('token', status => 404);
  is($server->count('key'), 1);

=head1 DESCRIPTION

One forked process answers, on a port of 127.0.0.1, as the metadata service of
ECS (kinds C<token>, C<roles>, C<key>), as STS (C<sts>) and as a credentials
URI (C<uri>).  It counts what it is asked, keeps the last request of each kind
and answers as it is told.

=cut

package CredentialServer;

use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;
use JSON::PP ();
use POSIX ();
use Time::HiRes ();

my $ROLES = '/latest/meta-data/ram/security-credentials/';

# Start a server.  hardened: refuse GETs without a token.
sub new
{
	my ($class, %option) = @_;
	my $listen = IO::Socket::INET->new(
		LocalAddr => '127.0.0.1',
		Listen => 128,
		ReuseAddr => 1) or die "no socket: $!";
	my $parent = $$;
	my $self = bless {
		port => $listen->sockport,
		owner => $parent,
		pid => fork() // die "fork: $!"
	}, $class;

	if ($self->{pid} == 0)
	{
		# Nothing of the test's own END blocks and destructors may run here.
		eval { serve($listen, $parent, { role => 'TestRole', %option }); 1 }
		  or print STDERR "CredentialServer: $@";
		POSIX::_exit(0);
	}
	close $listen;
	return $self;
}

sub DESTROY
{
	my $self = shift;
	return unless $self->{owner} == $$;
	local ($?, $!);
	kill 'KILL', $self->{pid};
	waitpid $self->{pid}, 0;
	return;
}

sub port { return shift->{port}; }
sub url { my $self = shift; return "http://127.0.0.1:$self->{port}"; }

# Give out this key from now on: id, secret, token, and lifetime in seconds or
# expiration.  "%d" in a field is the number of the document given out, from 1.
sub issue { my ($self, %key) = @_; return $self->control(issue => \%key); }

# Answer requests of a kind otherwise: status, body, delay (seconds), drop
# (close without an answer), times (so often, then as before).  Without status
# and body the answer is the usual one, and without options all is as before.
sub answer
{
	my ($self, $kind, %how) = @_;
	return $self->control(answer => { kind => $kind, %how });
}

# Change an option: role, hardened, date (of the header; the true one if empty).
sub set { my ($self, %how) = @_; return $self->control(set => \%how); }

# How often was a kind asked for, or everything?
sub count
{
	my ($self, $kind) = @_;
	my $counts = $self->control('counts');
	return $counts->{$kind} // 0 if defined $kind;
	my $sum = 0;
	$sum += $_ for values %$counts;
	return $sum;
}

# The last request of a kind, head and body, as it came.
sub last_request
{
	my ($self, $kind) = @_;
	return $self->control(last => { kind => $kind })->{request};
}

sub reset_counts { return shift->control('reset'); }

# Ask the server's process something.
sub control
{
	my ($self, $what, $how) = @_;
	my $body = JSON::PP::encode_json({ what => $what, how => $how // {} });
	my $socket = IO::Socket::INET->new(
		PeerAddr => '127.0.0.1',
		PeerPort => $self->{port},
		Timeout => 10) or die "no control connection: $!";
	print $socket "CONTROL / HTTP/1.1\r\nContent-Length: "
	  . length($body) . "\r\n\r\n$body";
	local $/;
	my $answer = <$socket>;
	$answer =~ s/\A.*?\r\n\r\n//s or die "no answer to control request $what";
	return JSON::PP::decode_json($answer);
}

# ---- the server's process ----

# Answer until the test's process is gone.
sub serve
{
	my ($listen, $parent, $state) = @_;
	my $select = IO::Select->new($listen);
	my (%input, @later);

	$SIG{PIPE} = 'IGNORE';
	$SIG{INT} = $SIG{TERM} = 'DEFAULT';
	while (getppid() == $parent)
	{
		for my $socket ($select->can_read(@later ? 0.01 : 0.2))
		{
			if ($socket == $listen)
			{
				my $client = $listen->accept or next;
				$select->add($client);
				$input{$client} = '';
				next;
			}
			my $more = sysread $socket, $input{$socket}, 65536,
			  length $input{$socket};
			my $whole = $more && complete($input{$socket});
			next if $more && !$whole;
			$select->remove($socket);
			push @later, respond($state, $socket, $input{$socket}) if $whole;
			delete $input{$socket};
		}
		my $now = Time::HiRes::time();
		for my $due (grep { $_->{at} <= $now } @later)
		{
			syswrite $due->{socket}, $due->{text} if defined $due->{text};
			close $due->{socket};
		}
		@later = grep { $_->{at} > $now } @later;
	}
	return;
}

# Is this a whole request?
sub complete
{
	my $text = shift;
	my ($head) = $text =~ /\A(.*?\r\n\r\n)/s or return 0;
	my ($len) = $head =~ /^Content-Length:\s*(\d+)/mi;
	return length($text) >= length($head) + ($len // 0);
}

# Which kind of request is this?
sub kind_of
{
	my ($method, $path, $role) = @_;
	return 'token' if $method eq 'PUT' && $path eq '/latest/api/token';
	return 'sts' if $method eq 'POST' && $path =~ m{^/\?};
	return 'uri' if $method eq 'GET' && $path =~ m{^/credentials};
	return 'roles' if $method eq 'GET' && $path eq $ROLES;
	return 'key' if $method eq 'GET' && $path eq "$ROLES$role";
	return 'other';
}

# Work out what to answer, and when.
sub respond
{
	my ($state, $socket, $text) = @_;
	my ($method, $path) = $text =~ /\A(\S+) (\S+)/;
	my $now = Time::HiRes::time();

	return { socket => $socket, at => $now, text => http(200, obey($state, $text)) }
	  if $method eq 'CONTROL';

	my $kind = kind_of($method, $path, $state->{role});
	$state->{counts}{$kind}++;
	$state->{last}{$kind} = $text;

	my $how = $state->{answer}{$kind} // {};
	if (defined $how->{times} && --$how->{times} < 0)
	{
		delete $state->{answer}{$kind};
		$how = {};
	}
	my ($status, $body) = ($how->{status} // 200, $how->{body});
	($status, $body) = usual($state, $kind, $text) unless exists $how->{status} || exists $how->{body};
	return {
		socket => $socket,
		at => $now + ($how->{delay} // 0),
		text => $how->{drop} ? undef : http($status, $body // '', $state->{date})
	};
}

# The answer that a healthy service gives.
sub usual
{
	my ($state, $kind, $text) = @_;
	my $in_metadata = $kind eq 'roles' || $kind eq 'key';

	return (403, 'forbidden')
	  if $in_metadata && $state->{hardened}
	  && $text !~ /^X-aliyun-ecs-metadata-token: metadata-token-1\r$/mi;
	return (200, 'metadata-token-1') if $kind eq 'token';
	return (200, "$state->{role}\n") if $kind eq 'roles';
	return (404, 'not found') if $kind eq 'other';

	my $n = ++$state->{issued};
	my %key = map { my $v = $state->{issue}{$_} // ''; $v =~ s/%d/$n/; ($_ => $v) }
	  qw(id secret token lifetime expiration);
	my $document = {
		AccessKeyId => $key{id},
		AccessKeySecret => $key{secret},
		SecurityToken => $key{token},
		Expiration => $key{expiration} || POSIX::strftime('%Y-%m-%dT%H:%M:%SZ',
			gmtime(time + ($key{lifetime} || 3600)))
	};
	$document = { RequestId => 'R-1', Credentials => $document } if $kind eq 'sts';
	$document->{Code} = 'Success' if $kind eq 'key';
	return (200, JSON::PP::encode_json($document));
}

# Do what a control request says.
sub obey
{
	my ($state, $text) = @_;
	my $order = JSON::PP::decode_json($text =~ s/\A.*?\r\n\r\n//sr);
	my ($what, $how) = @$order{qw(what how)};
	my $result = {};

	if ($what eq 'issue') { $state->{issue} = $how; }
	elsif ($what eq 'set') { $state->{$_} = $how->{$_} for keys %$how; }
	elsif ($what eq 'reset') { $state->{counts} = {}; $state->{issued} = 0; }
	elsif ($what eq 'counts') { $result = $state->{counts} // {}; }
	elsif ($what eq 'last') { $result = { request => $state->{last}{ $how->{kind} } }; }
	elsif ($what eq 'answer')
	{
		my $kind = delete $how->{kind};
		$state->{answer}{$kind} = %$how ? $how : undef;
	}
	return JSON::PP::encode_json($result);
}

# Write an answer.
sub http
{
	my ($status, $body, $date) = @_;
	$date ||= POSIX::strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime);
	return "HTTP/1.1 $status Said\r\nContent-Type: application/json\r\n"
	  . "Date: $date\r\nConnection: close\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
}

1;
