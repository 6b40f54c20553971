=head1 NAME

CredentialTest - a cluster, a stand-in OSS and a stand-in for its credentials

=head1 DESCRIPTION

What the tests of credentials have in common: foreign server C<oss>, the
metadata service's address set, everything logged.

=cut

package CredentialTest;

use strict;
use warnings;

use Exporter 'import';
use JSON::PP ();
use POSIX ();

use CredentialServer;
use OssServer;
use PostgreSQL::Test::Cluster;

our @EXPORT_OK = qw(write_file);

# Write a file, of credentials unless mode says otherwise.
sub write_file
{
	my ($name, $contents, $mode) = @_;
	open my $file, '>:raw', $name or die "$name: $!";
	print $file $contents;
	close $file;
	chmod $mode // 0600, $name;
	return $name;
}

# Start everything; env is the environment of PostgreSQL, conf more settings.
sub new
{
	my ($class, %option) = @_;
	my $self = bless {
		oss => OssServer->new,
		credentials => CredentialServer->new,
		env => $option{env} // {},
		shown => ''
	}, $class;
	my $node = $self->{node} = PostgreSQL::Test::Cluster->new('credential');

	$node->init;
	$node->append_conf('postgresql.conf',
		"log_statement = none\n"
		  . "log_min_error_statement = panic\n"
		  . "oss_labels.metadata_endpoint = '" . $self->{credentials}->url . "'\n"
		  . ($option{conf} // ''));
	{
		local %ENV = (%ENV, %{ $self->{env} });
		$node->start;
	}

	# Not from the start: the postmaster logs its environment at DEBUG3.
	$node->append_conf('postgresql.conf', "log_min_messages = debug5\n");
	$node->reload;
	$self->psql_ok($self->create_server);
	return $self;
}

# Start PostgreSQL anew with these variables beside those of new().
sub environment
{
	my ($self, %env) = @_;
	local %ENV = (%ENV, %{ $self->{env} }, %env);
	$self->{node}->adjust_conf('postgresql.conf', 'log_min_messages', 'warning');
	$self->{node}->restart;
	return;
}

# SQL that makes a database ready.
sub create_server
{
	my $self = shift;
	return "CREATE EXTENSION oss_labels; CREATE SERVER oss FOREIGN DATA WRAPPER oss_labels"
	  . " OPTIONS (region 'cn-hangzhou', endpoint '"
	  . $self->{oss}->http_endpoint . "');";
}

# Ask the stand-in OSS's control interface.
sub oss
{
	my ($self, $command, $body) = @_;
	return $self->{oss}->control($command, $body);
}

# One of the stand-in OSS's counters.
sub oss_count
{
	my ($self, $name) = @_;
	return $self->{oss}->count($name);
}

# Make an access key known to the stand-in OSS: uses and expires_in end it.
sub oss_key
{
	my ($self, $id, $secret, $token, %how) = @_;
	my %field = (id => $id, secret => $secret, token => $token // '', %how);
	my $answer = $self->oss('/credential?' . join '&', map { "$_=" . OssServer::escape($field{$_}) } sort keys %field);
	die "stand-in OSS: $answer" unless $answer eq "ok\n";
	return;
}

# SQL that gives the current user a mapping of these options.
sub create_mapping
{
	my ($self, %options) = @_;
	my $list = join ', ', map { "$_ '" . ($options{$_} =~ s/'/''/gr) . "'" } sort keys %options;
	return 'DROP USER MAPPING IF EXISTS FOR CURRENT_USER SERVER oss;'
	  . 'CREATE USER MAPPING FOR CURRENT_USER SERVER oss'
	  . ($list ne '' ? " OPTIONS ($list);" : ';');
}

# SQL of one call.
sub detect_sql { return "SELECT count(*) > 0 FROM oss_labels.detect('examplebucket', 'example.jpg');"; }

# Run a sub in a child process.
sub run_aside
{
	my $sub = shift;
	my $pid = fork // die "fork: $!";
	return $pid if $pid;
	eval { $sub->(); 1 } or print STDERR "while_running: $@";
	POSIX::_exit(0);
}

# Run SQL in a session of its own; returns what came out and the errors, which
# are also kept in shown.  while_running: what to do in the meantime.
sub psql
{
	my ($self, $sql, %option) = @_;
	my ($out, $err) = ('', '');
	my $helper = delete $option{while_running};
	my $database = delete $option{database} // 'postgres';
	my $helper_pid = $helper ? run_aside($helper) : undef;
	$self->{node}->psql($database, "\\set VERBOSITY verbose\n$sql",
		stdout => \$out,
		stderr => \$err,
		on_error_stop => 0,
		extra_params => [ '-v', 'VERBOSITY=verbose' ],
		%option);
	waitpid $helper_pid, 0 if $helper_pid;
	$err =~ s/^.*NOTICE:  00000: user mapping .* does not exist.*\n(?:LOCATION:.*\n?)?//mg;
	$self->{shown} .= "$out\n$err\n";
	return ($out, $err);
}

# The same, without errors.
sub psql_ok
{
	my ($self, $sql, %option) = @_;
	my ($out, $err) = $self->psql($sql, %option);
	die "$sql\n$err" if $err =~ /ERROR|FATAL/;
	return $out;
}

# One call in a new session with a mapping of these options.
sub detect
{
	my ($self, %options) = @_;
	return $self->psql($self->create_mapping(%options) . "\n" . $self->detect_sql);
}

1;
