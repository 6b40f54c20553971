=head1 NAME

OssTest - a cluster with the extension, and a stand-in OSS

=head1 SYNOPSIS

  my $t = OssTest->new;
  my $outcome = $t->outcome("SELECT * FROM oss_labels.detect('b', 'k')");
  is($outcome->{sqlstate}, 'P0002');
  is($t->requests, 1);

=head1 DESCRIPTION

What the tests of requests have in common: foreign server C<oss> at the
stand-in over http, a mapping of the superuser, names that resolve as the test
wants, listeners that do as little as the test wants.

=cut

package OssTest;

use strict;
use warnings;

use Cwd ();
use Exporter 'import';
use IO::Socket::INET;
use IPC::Run ();
use JSON::PP ();
use Time::HiRes ();

use DeadPorts;
use OssServer;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

our @EXPORT_OK = qw(literal);
my $runs = 0;

# Start everything.  Options: conf (lines for postgresql.conf), env (of
# PostgreSQL), encoding, oss_args (further arguments of oss-server).
sub new
{
	my ($class, %option) = @_;
	my $certs = $ENV{OSS_CERTS} || PostgreSQL::Test::Utils::tempdir . '/certs';
	system('test/oss-server/make-certs', $certs) == 0 or die 'no certificates';
	system('make', '-s', '-C', 'test/resolver') == 0 or die 'no resolver';
	my @https = map { ('--https', uc($_) . ":$certs/$_.pem:$certs/$_.key") }
	  qw(wronghost expired selfsigned);
	my $dir = PostgreSQL::Test::Utils::tempdir;
	my $self = bless {
		oss => OssServer->new(certs => $certs, args => [ @https, @{ $option{oss_args} // [] } ]),
		node => PostgreSQL::Test::Cluster->new($option{name} // 'main'),
		names => "$dir/names",
		routes => "$dir/routes",
		env => { LD_PRELOAD => Cwd::abs_path('test/resolver/resolver.so'),
			OSS_TEST_NAMES => "$dir/names", OSS_TEST_ROUTES => "$dir/routes", %{ $option{env} // {} } }
	}, $class;
	my $node = $self->{node};

	$self->names;
	$node->init(%{ $option{init} // {} });
	$node->append_conf('postgresql.conf', $option{conf} // '');
	$self->start;
	$self->ok('CREATE EXTENSION oss_labels;' . $self->outcome_sql);
	$self->server;
	return $self;
}

# Start PostgreSQL, with the environment given to new().
sub start
{
	my ($self) = @_;
	local %ENV = (%ENV, %{ $self->{env} });
	$self->{node}->start;
	return;
}

# A function that runs a query and returns its number of rows, or its error.
sub outcome_sql
{
	return q{
		CREATE FUNCTION public.outcome(query text) RETURNS jsonb LANGUAGE plpgsql AS $$
		DECLARE n bigint; m text; d text; h text;
		BEGIN
			EXECUTE 'SELECT count(*) FROM (' || query || ') q' INTO n;
			RETURN pg_catalog.jsonb_build_object('rows', n);
		EXCEPTION WHEN OTHERS THEN
			GET STACKED DIAGNOSTICS m = MESSAGE_TEXT, d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT;
			RETURN pg_catalog.jsonb_build_object('sqlstate', SQLSTATE, 'message', m, 'detail', d, 'hint', h);
		END $$;};
}

# Quote a string for SQL.
sub literal
{
	my ($s) = @_;
	return "'" . ($s =~ s/'/''/gr) . "'";
}

# Make options of a hash.
sub options
{
	my %option = @_;
	return join ', ', map { "$_ " . literal($option{$_}) } sort keys %option;
}

# Replace the server oss and its mapping.  mapping => {...} gives other
# credentials; the rest are options of the server.
sub server_sql
{
	my ($self, %option) = @_;
	my $mapping = delete $option{mapping}
	  // { access_key_id => 'testid', access_key_secret => 'testsecret' };
	my $name = delete $option{name} // 'oss';
	%option = (region => 'cn-hangzhou', endpoint => $self->{oss}->http_endpoint, %option);
	return "DROP SERVER IF EXISTS $name CASCADE;"
	  . "CREATE SERVER $name FOREIGN DATA WRAPPER oss_labels OPTIONS (" . options(%option) . ');'
	  . "CREATE USER MAPPING FOR CURRENT_USER SERVER $name OPTIONS (" . options(%$mapping) . ');';
}

sub server
{
	my ($self, %option) = @_;
	$self->ok($self->server_sql(%option));
	return;
}

# The options of an https server at the stand-in.
sub https
{
	my ($self, $host, $port) = @_;
	return (
		endpoint => 'https://' . ($host // '127.0.0.1') . ':' . ($port // $self->{oss}->https_port),
		ca_file => $self->{oss}->ca_file);
}

# The port of one of the stand-in's other certificates.
sub port_of { return $_[0]{oss}{ports}{"OSS_HTTPS_$_[1]_PORT"} }

# Run SQL in a session of its own; returns what came out and what went wrong.
sub psql
{
	my ($self, $sql, %option) = @_;
	my ($out, $err) = ('', '');
	my $code = $self->{node}->psql($option{dbname} // 'postgres', $sql,
		stdout => \$out,
		stderr => \$err,
		on_error_stop => 0,
		extra_params => [ '-v', 'VERBOSITY=verbose', @{ $option{params} // [] } ]);
	$self->{shown} .= "$out\n$err\n";
	return ($out, $err, $code);
}

# The same, without errors.
sub ok
{
	my ($self, $sql, %option) = @_;
	my ($out, $err) = $self->psql($sql, %option);
	die "$sql\n$err" if $err =~ /ERROR|FATAL/;
	return $out;
}

# Run queries in one session, or in several at a time; returns what outcome()
# says of each.
sub outcomes
{
	my ($self, @queries) = @_;
	my $sessions = @queries < 8 ? 1 : 24;
	my (@runs, @outcomes);
	for my $i (0 .. $sessions - 1)
	{
		my $sql = join '', map { "SELECT '$_' || public.outcome(" . literal($queries[$_]) . ")::text;\n" }
		  grep { $_ % $sessions == $i } 0 .. $#queries;
		push @runs, $self->begin($sql);
	}
	for my $run (@runs)
	{
		my ($out, $err) = $self->finish($run);
		$outcomes[$1] = JSON::PP->new->utf8->decode($2) while $out =~ /^(\d+)(\{.*\})$/mg;
		die $err if $err =~ /ERROR|FATAL/;
	}
	die 'an outcome is missing' if grep { !$_ } @outcomes[ 0 .. $#queries ];
	return @outcomes;
}

# Begin a session that runs SQL and goes on while the test does.
sub begin
{
	my ($self, $sql, %option) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir . '/run' . $runs++;
	my %run = (file => $file, begun => Time::HiRes::time());

	# by files: nobody feeds or empties pipes meanwhile
	PostgreSQL::Test::Utils::append_to_file("$file.sql", $sql);
	$run{harness} = IPC::Run::start(
		[ 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-d',
			($option{node} // $self->{node})->connstr($option{dbname} // 'postgres'),
			'-f', "$file.sql" ],
		'<', '/dev/null', '>', "$file.out", '2>', "$file.err");
	return \%run;
}

# Wait for its end; returns what came out, what went wrong, and the seconds
# that it took from mark() on, else from its beginning.
sub finish
{
	my ($self, $run) = @_;
	$run->{harness}->finish;
	my $took = Time::HiRes::time() - ($run->{mark} // $run->{begun});
	my ($out, $err) = map { PostgreSQL::Test::Utils::slurp_file("$run->{file}.$_") } qw(out err);
	$self->{shown} .= "$out\n$err\n";
	return ($out, $err, $took);
}

# Note the moment from which a session's end is to be measured.
sub mark { $_[1]{mark} = Time::HiRes::time(); return }

sub outcome { return ($_[0]->outcomes($_[1]))[0] }

# SQL of one call.
sub detect_sql
{
	my ($key, $bucket) = @_;
	return 'SELECT * FROM oss_labels.detect(' . literal($bucket // 'examplebucket') . ', '
	  . literal($key // 'example.jpg') . ')';
}

# One call in a session of its own.
sub detect { my ($self, @object) = @_; return $self->outcome(detect_sql(@object)) }

# Label requests that the stand-in has seen.
sub requests { return $_[0]{oss}->count('label_requests') }

# Set one fault in place of all others, and the counters to zero.
sub fault
{
	my ($self, %fault) = @_;
	$self->{oss}->control('/reset');
	return %fault ? $self->{oss}->fault(%fault) : undef;
}

# Set which names resolve to what: name => 'address address', silent, unknown.
sub names
{
	my ($self, %name) = @_;
	open my $file, '>', $self->{names} or die $!;
	print $file "$_ $name{$_}\n" for sort keys %name;
	close $file;
	return;
}

# Set which addresses lead to which ports of this machine: 'address port' => port.
sub routes
{
	my ($self, %route) = @_;
	open my $file, '>', $self->{routes} or die $!;
	print $file "$_ $route{$_}\n" for sort keys %route;
	close $file;
	return;
}

# Return a port of 127.0.0.1 that nobody listens on.
sub closed_port
{
	my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1) or die $!;
	return $socket->sockport;
}

# Return a port of 127.0.0.1 that a connection is not accepted on, or on which
# nothing is said.
sub full_port { return ($_[0]{dead} //= DeadPorts->new)->full }
sub mute_port { return ($_[0]{dead} //= DeadPorts->new)->mute }

# Wait until a condition holds; dies when it does not in ten seconds.
sub wait_for
{
	my ($self, $what, $condition) = @_;
	my $until = Time::HiRes::time() + 10 * OssServer::patience();
	until ($condition->())
	{
		die "waited in vain for $what" if Time::HiRes::time() > $until;
		Time::HiRes::sleep(0.005);
	}
	return;
}

1;
