# A private stand-in OSS for a test.
#
#   my $oss = OssServer->new(%options);
#   $oss->http_endpoint, $oss->https_endpoint, $oss->data_dir
#   $oss->control('/fault?code=SlowDown&times=2')    the answer's text
#   $oss->set('bucket', name => 'b', rate => 5)      the same, by parameters
#   $oss->count('label_requests')                    one counter
#   $oss->tally(bucket => 'b')->{throttled}          one of a bucket
#   $oss->put($bucket, $key, $bytes)                 store an object
#   $oss->delete($bucket, $key)                      delete it
#   $oss->made_up($number)                           a made-up key's name
#   $oss->count_kind(list => $bucket)                requests of a kind, {key => count}
#   $oss->request(...)                               a signed request
#   $oss->stop; $oss->kill9; $oss->restart;          restart keeps the ports
#
# Options: args (array reference of further arguments of oss-server), empty
# (start without the sample buckets), certs (directory of certificates).
package OssServer;

use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use HTTP::Tiny;
use POSIX qw(:sys_wait_h _exit);
use Time::HiRes qw(sleep time);

use OssSign;

my $test_dir = abs_path(dirname(__FILE__) . '/..');
my $server_dir = "$test_dir/oss-server";

# Percent-escape a string for a control request or a path.
sub escape { return OssSign::escape(@_) }

sub new
{
	my ($class, %options) = @_;
	my $self = bless { %options, owner => $$ }, $class;

	$self->{dir} = tempdir('oss-server-XXXXXX', TMPDIR => 1, CLEANUP => 0);
	$self->{data} = "$self->{dir}/data";
	if (!-x "$server_dir/oss-server")
	{
		system('make', '-s', '-C', $server_dir) == 0 or die "no oss-server\n";
	}
	if ($options{empty})
	{
		mkdir $self->{data} or die "$self->{data}: $!\n";
	}
	else
	{
		system('cp', '-R', "$server_dir/data", $self->{data}) == 0
		  or die "cannot copy the sample buckets\n";
		system('chmod', '-R', 'u+w', $self->{data});
	}
	$self->{certs} ||= $ENV{OSS_CERTS} || "$self->{dir}/certs";
	system("$server_dir/make-certs", $self->{certs}) == 0
	  or die "cannot make certificates\n";
	$self->start;
	return $self;
}

# Start the server, on the ports it had before if it ran before.
sub start
{
	my ($self) = @_;
	my $file = "$self->{dir}/ports";
	my $ports = $self->{ports} || {};
	my @args = ("$server_dir/oss-server", '--data', $self->{data},
		'--ports-file', $file, '--with-parent',
		# should we be killed, the server cleans up
		'--remove-if-orphaned', $self->{dir},
		'--cert', "$self->{certs}/good.pem", '--key', "$self->{certs}/good.key");

	push @args, "--$_-port", $ports->{ 'OSS_' . uc($_) . '_PORT' } || 0
	  for qw(http https control);
	push @args, @{ $self->{args} || [] };
	unlink $file;
	my $pid = fork;
	die "fork: $!\n" unless defined $pid;
	if ($pid == 0)
	{
		exec { $args[0] } @args or do { warn "exec: $!\n"; _exit(127) };
	}
	$self->{pid} = $pid;
	my $until = time + 10;
	until (-s $file)
	{
		if (waitpid($pid, WNOHANG) == $pid)
		{
			delete $self->{pid};
			die "oss-server did not start\n";
		}
		die "oss-server does not listen\n" if time > $until;
		sleep 0.01;
	}
	open my $in, '<', $file or die "$file: $!\n";
	$self->{ports} = { map { chomp; split /=/, $_, 2 } <$in> };
	return $self;
}

sub http_port { return $_[0]{ports}{OSS_HTTP_PORT} }
sub https_port { return $_[0]{ports}{OSS_HTTPS_PORT} }
sub control_port { return $_[0]{ports}{OSS_CONTROL_PORT} }
sub http_endpoint { return 'http://127.0.0.1:' . $_[0]->http_port }
sub https_endpoint { return 'https://127.0.0.1:' . $_[0]->https_port }
sub ca_file { return "$_[0]{certs}/ca.pem" }
sub data_dir { return $_[0]{data} }
sub pid { return $_[0]{pid} }

# The environment that with-oss gives, as a hash.
sub environment
{
	my ($self) = @_;
	return (%{ $self->{ports} }, OSS_DATA => $self->{data},
		OSS_CA_FILE => $self->ca_file, OSS_CONTROL => "$server_dir/control");
}

# Send a control request (POST when there is a body); die unless it succeeds.
sub control
{
	my ($self, $path, $body) = @_;
	local %ENV = %ENV;
	delete @ENV{qw(http_proxy HTTP_PROXY all_proxy ALL_PROXY)};
	$path .= ($path =~ /\?/ ? '&' : '?') . 'tell=1' if $self->{ledger} && $path =~ m{^/reset};
	my $answer = HTTP::Tiny->new(timeout => 60)->request(
		defined $body ? 'POST' : 'GET',
		'http://127.0.0.1:' . $self->control_port . $path,
		defined $body ? { content => $body } : {});
	die "control $path: $answer->{status} $answer->{content}"
	  unless $answer->{success};
	if ($self->{ledger} && $path =~ m{^/reset})
	{
		my $bucket;
		for (split /\n/, $answer->{content})
		{
			my ($name, $value) = split / /;
			$bucket = $value if $name eq 'bucket';
			$self->{ledger}{$bucket}{$name} += $value if defined $value && $name ne 'bucket';
		}
	}
	return $answer->{content};
}

# Send a control request with parameters: set('bucket', name => 'b', rate => 5).
sub set
{
	my ($self, $path, %p) = @_;
	return $self->control("/$path?" . query(%p));
}

# What was counted of a bucket, a requester (its AccessKey id), or both.
sub tally
{
	my ($self, %p) = @_;
	return { map { split / / } split /\n/, $self->set(tally => %p) };
}

# Keep the tallies of all buckets beyond resets, from now on, in $oss->{ledger}.
sub keep_ledger { $_[0]{ledger} = {}; return }

sub add_to_ledger
{
	my ($self) = @_;
	my $ledger = delete $self->{ledger};
	for my $bucket ($self->control('/counters') =~ /^bucket_(\S+) /mg)
	{
		my $tally = $self->tally(bucket => $bucket);
		$ledger->{$bucket}{$_} += $tally->{$_} for keys %$tally;
	}
	return $self->{ledger} = $ledger;
}

# Parameters, of which a reference to an array stands for several.
sub query
{
	my (%p) = @_;
	my @query;
	for my $name (sort keys %p)
	{
		push @query, "$name=" . escape($_)
		  for ref $p{$name} ? @{ $p{$name} } : $p{$name};
	}
	return join '&', @query;
}

# Set a fault: fault(kind => 'delay', delay => 50, header => [...]).
sub fault
{
	my ($self, %p) = @_;
	my $body = delete $p{content};
	my $id = $self->control('/fault?' . query(%p), $body);
	chomp $id;
	return $id;
}

# Return one counter.
sub count
{
	my ($self, $name) = @_;
	return 0 + $self->control("/count?name=$name");
}

# Return the label requests for one object.
sub count_key
{
	my ($self, $bucket, $key) = @_;
	return 0 + $self->control("/key?bucket=$bucket&key=" . escape($key));
}

# How many times longer things may take than on a server that is itself.
sub patience { return ($ENV{OSS_TEST_FLAVOUR} // '') eq 'valgrind' ? 20 : 1 }

# Create and drop a database a few times; returns the seconds that each DROP took,
# the shortest first.  Others use this machine too, so compare the shortest with
# requests in flight to the longest without.
sub drop_database_seconds
{
	my ($node) = @_;
	my @seconds;
	for (1 .. 3)
	{
		$node->safe_psql('postgres', 'CREATE DATABASE unrelated');
		my $begun = time;
		$node->safe_psql('postgres', 'DROP DATABASE unrelated');
		push @seconds, time - $begun;
	}
	return sort { $a <=> $b } @seconds;
}

# Does the size of a process say what the server uses?  Not with sanitizers,
# which keep what was freed, and have terabytes of address space.
sub sizes_tell { return ($ENV{OSS_TEST_FLAVOUR} // '') !~ /^(sanitize|valgrind)$/ }

# Wait until a counter has a value; false after $seconds.
sub wait_count
{
	my ($self, $name, $value, $seconds) = @_;
	my $until = time + ($seconds || 10) * patience();
	while ($self->count($name) != $value)
	{
		return 0 if time > $until;
		sleep 0.02;
	}
	return 1;
}

# Wait until a counter has at least a value; false after $seconds.
sub wait_counted
{
	my ($self, $name, $least, $seconds) = @_;
	my $until = time + ($seconds || 10);
	while ($self->count($name) < $least)
	{
		return 0 if time > $until;
		sleep 0.02;
	}
	return 1;
}

# The log's lines of the last n requests, or of all; they are written when a
# request is over.
sub logged
{
	my ($self, $n) = @_;
	$self->wait_count(in_flight => 0);
	return $self->control('/log' . ($n ? "?n=$n" : ''));
}

# Store an object; makes its bucket when that is missing.
sub put
{
	my ($self, $bucket, $key, $bytes) = @_;
	mkdir "$self->{data}/$bucket";
	return $self->control("/put?bucket=$bucket&key=" . escape($key), $bytes);
}

# Delete an object.
sub delete
{
	my ($self, $bucket, $key) = @_;
	return $self->control("/delete?bucket=$bucket&key=" . escape($key));
}

# The name of a bucket's made-up key, whose prefix is photos/ unless given.
sub made_up
{
	my ($self, $number, $prefix) = @_;
	return sprintf '%s%04d/%07d.jpg', $prefix // 'photos/', int($number / 1000), $number;
}

# How often each key of a bucket was asked for in a kind of requests.
sub count_kind
{
	my ($self, $kind, $bucket) = @_;
	my %count;
	for (split /\n/, $self->control("/keys?kind=$kind&bucket=$bucket"))
	{
		my ($n, undef, $key) = split /\t/, $_, -1;
		$key =~ s/%([0-9A-F]{2})/chr hex $1/ge;
		$count{$key} = 0 + $n;
	}
	return \%count;
}

# End the server and wait for its end.
sub end
{
	my ($self, $signal) = @_;
	my $pid = delete $self->{pid} or return;
	local $?;
	kill $signal, $pid;
	waitpid $pid, 0;
	return $?;
}

sub stop { return $_[0]->end('TERM') }
sub kill9 { return $_[0]->end('KILL') }

sub restart
{
	my ($self) = @_;
	$self->stop;
	return $self->start;
}

sub DESTROY
{
	my ($self) = @_;
	return unless $self->{owner} == $$;
	local ($?, $@, $!);
	$self->stop;
	system('rm', '-rf', $self->{dir}) if $self->{dir};
}

1;
