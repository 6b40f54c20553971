=head1 NAME

QueueTest - a cluster with the worker, and a stand-in OSS

=head1 DESCRIPTION

What the tests of the queue have in common.  Failures are seen by what the
stand-in counted and what is in the tables, never by time alone: C<wait_sql>
waits for a condition.

=cut

package QueueTest;

use strict;
use warnings;

use Cwd ();

use List::Util qw(max);
use OssServer;
use PostgreSQL::Test::Cluster;
use Test::More;
use Time::HiRes qw(sleep time);

# Start everything.  conf: further settings; preload => 0 leaves it out; clock: a
# file for set_clock.
sub new
{
	my ($class, %option) = @_;
	my $self = bless { oss => OssServer->new, clock => $option{clock} }, $class;
	my $node = $self->{node} = PostgreSQL::Test::Cluster->new($option{name} // 'queue',
		$option{install_path} ? (install_path => $option{install_path}) : ());
	my $preload = $option{preload} // 1;

	$node->init(allows_streaming => $option{standby} ? 1 : 0);
	$node->append_conf('postgresql.conf',
		"shared_preload_libraries = '" . ($preload ? 'oss_labels' : '') . "'\n"
		  . "restart_after_crash = on\n"
		  . ($option{conf} // ''));
	if ($option{clock})
	{
		system('make', '-s', '-C', 'test/resolver') == 0 or die 'no resolver';
		local %ENV = (%ENV, LD_PRELOAD => Cwd::abs_path('test/resolver/resolver.so'), OSS_TEST_CLOCK => $option{clock});
		$node->start;
	}
	else
	{
		$node->start;
	}
	$self->sql($self->create_sql) unless $option{bare};
	$self->{oss}->keep_ledger;
	return $self;
}

# SQL that makes a database ready.
sub create_sql
{
	my ($self, %server) = @_;
	$server{timeout_ms} //= 600000 if OssServer::patience() > 1;
	my $options = join '', map { ", $_ '$server{$_}'" } sort keys %server;
	return "CREATE EXTENSION IF NOT EXISTS oss_labels;"
	  . " CREATE SERVER oss FOREIGN DATA WRAPPER oss_labels"
	  . " OPTIONS (region 'cn-hangzhou', endpoint '"
	  . $self->{oss}->http_endpoint . "'$options);"
	  . " CREATE USER MAPPING FOR CURRENT_USER SERVER oss"
	  . " OPTIONS (access_key_id 'testid', access_key_secret 'testsecret');";
}

# Set PostgreSQL's clock of the day, and the one that nobody sets, by seconds.
sub set_clock
{
	my ($self, $seconds, $monotonic) = @_;
	open my $file, '>', "$self->{clock}.new" or die $!;
	print $file "$seconds ", $monotonic // 0, "\n";
	close $file;
	rename "$self->{clock}.new", $self->{clock} or die $!;
	return;
}

# Run SQL that must succeed and return what it says.
sub sql
{
	my ($self, $sql, $database) = @_;
	return $self->{node}->safe_psql($database // 'postgres', $sql);
}

# Run SQL and return its error.
sub sql_error
{
	my ($self, $sql, $database) = @_;
	my ($status, $out, $err) =
	  $self->{node}->psql($database // 'postgres', $sql,
		extra_params => [ '-v', 'VERBOSITY=verbose' ]);
	return $err;
}

# Wait until a query gives an answer; false after a while.  Works across
# crashes.
sub wait_sql
{
	my ($self, $query, $expected, %option) = @_;
	my $end = time + ($option{seconds} // 60) * OssServer::patience();
	my $out;

	$expected //= 't';
	do
	{
		my $status = $self->{node}->psql($option{database} // 'postgres',
			$query, stdout => \$out, stderr => \my $err);
		return 1 if defined $status && $status == 0 && $out eq $expected;
		sleep 0.05;
	} while (time < $end);
	diag("waited in vain for $expected, got " . ($out // 'nothing'));
	return 0;
}

# Wait until nothing is left in the queue.
sub wait_empty
{
	my ($self, %option) = @_;
	return $self->wait_sql('SELECT count(*) FROM oss_labels.job', '0', %option);
}

# A limit of requests a second is kept: within each second of the sender's clock, as
# signatures have it.  Where they arrive, what was held up on the way comes in bunches:
# of half a second at most.
sub rate_at_most
{
	my ($self, $limit, $name) = @_;
	my %signed = ('' => 0);
	for (map { [ (split /\t/)[ -2, -1 ] ] } split /\n/, $self->{oss}->logged)
	{
		$signed{ $_->[0] }++ if $_->[1] eq 'label';
	}
	my $most = max(values %signed);
	cmp_ok($most, '<=', $limit, $name);
	cmp_ok($most, '>', 0, "$name: of some");
	cmp_ok($self->count('label_max_per_second'), '<=', 1.5 * $limit, "$name: nearly so where they arrive");
	return;
}

# Put keys into the queue, for new answers; bucket tenlabels has every key with ten
# labels.
sub enqueue
{
	my ($self, $n, $prefix, $database) = @_;
	$prefix //= 'k';
	return $self->sql("SELECT count(oss_labels.enqueue('tenlabels',"
		  . " '$prefix' || g, server => 'oss', max_age => '0')) FROM generate_series(1, $n) g", $database);
}

# Make a role that may enqueue, with an AccessKey of its own on these servers,
# whose id is the role's name.
sub role
{
	my ($self, $role, @servers) = @_;
	@servers = ('oss') unless @servers;
	$self->{oss}->set(credential => id => $role, secret => "secret-of-$role");
	return $self->sql("CREATE ROLE $role; CALL oss_labels.grant_paying('$role');"
		  . " GRANT EXECUTE ON FUNCTION oss_labels.enqueue, oss_labels.rate_status TO $role;"
		  . " GRANT SELECT ON oss_labels.queue, oss_labels.job, oss_labels.failed_job, oss_labels.active_pause TO $role;"
		  . join '', map { "GRANT USAGE ON FOREIGN SERVER $_ TO $role;"
			  . " CREATE USER MAPPING FOR $role SERVER $_"
			  . " OPTIONS (access_key_id '$role', access_key_secret 'secret-of-$role');" } @servers);
}

# Make a bucket in which every key has ten labels; further settings as of the
# stand-in's /bucket.
sub bucket
{
	my ($self, $name, %setting) = @_;
	return $self->{oss}->set(bucket => name => $name, image => 'examplebucket/example.jpg', labels => 10, %setting);
}

# The pid of a database's worker, or ''.
sub worker_pid
{
	my ($self, $database) = @_;
	$database //= 'postgres';
	return $self->sql("SELECT pid FROM oss_labels.worker"
		  . " WHERE database = '$database'");
}

# Wait until a database's worker is in a state (a LIKE pattern).
sub wait_worker
{
	my ($self, $state, $database, $where) = @_;
	$database //= 'postgres';
	return $self->wait_sql("SELECT count(*) FROM oss_labels.worker"
		  . " WHERE database = '$database' AND state LIKE '$state'", '1',
		database => $where // 'postgres');
}

# One of the stand-in's counters.
sub count
{
	my ($self, $name) = @_;
	return $self->{oss}->count($name // 'label_requests');
}

# Forget counters and faults.
sub reset
{
	my ($self) = @_;
	return $self->{oss}->control('/reset');
}

# What the server logged since the last call.
sub log
{
	my ($self) = @_;
	my $all = PostgreSQL::Test::Utils::slurp_file($self->{node}->logfile);
	my $new = substr($all, $self->{logged} // 0);
	$self->{logged} = length $all;
	return $new;
}

# Kill the postmaster and start another, once its children are gone.  Subs that
# are called when it is killed, and when they are gone: killed, gone.
sub kill_postmaster
{
	my ($self, %call) = @_;
	my $node = $self->{node};
	my ($pid) = split /\n/,
	  PostgreSQL::Test::Utils::slurp_file($node->data_dir . '/postmaster.pid');
	my @children;

	for my $stat (glob '/proc/[0-9]*/stat')
	{
		open my $fh, '<', $stat or next;
		my $line = <$fh> // '';
		push @children, $1 if $line =~ /^(\d+) \(.*\) \S (\d+)/ && $2 == $pid;
	}
	$node->kill9;
	$call{killed}->() if $call{killed};
	my $end = time + 60 * OssServer::patience();
	sleep 0.05 while time < $end && grep { kill 0, $_ } $pid, @children;
	$call{gone}->() if $call{gone};
	$node->start;
	return;
}

# Images (of a bucket) that have exactly their ten labels, and images that do not.
sub stored
{
	my ($self, $bucket) = @_;
	my $where = defined $bucket ? "WHERE i.bucket = '$bucket'" : '';
	return $self->sql("SELECT count(*) FILTER (WHERE n = 10 AND label_count = 10),"
		  . " count(*) FILTER (WHERE n <> 10 OR label_count <> 10)"
		  . " FROM (SELECT i.label_count, count(l.image_id) AS n"
		  . " FROM oss_labels.image i LEFT JOIN oss_labels.image_label l"
		  . " USING (image_id) $where GROUP BY i.image_id) s");
}

# Wait until the stand-in has been asked so often.
sub wait_asked
{
	my ($self, $n, $what) = @_;
	my $end = time + 30 * OssServer::patience();
	sleep 0.02 while $self->count < $n && time < $end;
	is($self->count, $n, $what);
	return;
}

# Are the accounts of each bucket those of the stand-in?  For the end of a test in
# which neither it nor PostgreSQL has crashed.  What is ambiguous may have reached it
# or not, and with any answer.
sub accounts_agree
{
	my ($self) = @_;
	$self->{oss}->wait_count(in_flight => 0);
	my $ledger = $self->{oss}->add_to_ledger;
	my @columns = qw(requests billed ambiguous throttled refused failed);

	for my $bucket (sort grep { $ledger->{$_}{label_requests} } keys %$ledger)
	{
		my %asked = %{ $ledger->{$bucket} };
		my %limit = (billed => 'label_answers', throttled => 'label_throttled', refused => 'label_refused', failed => 'label_failed');
		my $right = join ' AND ', 'requests = ' . join('+', @columns[ 1 .. 5 ]),
		  "requests - $asked{label_requests} BETWEEN 0 AND ambiguous",
		  "$asked{label_billed} <= billed + ambiguous",
		  map { "$asked{$limit{$_}} - $_ BETWEEN 0 AND ambiguous" } sort keys %limit;
		my $of = 'FROM (SELECT ' . join(', ', map { "sum($_) AS $_" } @columns) . " FROM oss_labels.usage WHERE bucket = '$bucket') u";
		ok($self->wait_sql("SELECT $right $of", 't', seconds => 20), "the accounts of $bucket are right")
		  or diag($self->sql("SELECT u $of") . ' for ' . join ' ', map { "$_ $asked{$_}" } sort keys %asked);
	}
	return;
}

# Wait until no answer of a session waits in a file.
sub settled
{
	my ($self, $what) = @_;
	return ok($self->wait_sql("SELECT count(*) = 0 FROM pg_ls_dir('oss_labels') f"
			  . " WHERE (pg_stat_file('oss_labels/' || f)).size > 0"), "$what: all is settled");
}

# Let nothing be stored while code runs.  The worker is stopped when it has nothing
# to do, and so holds no lock; at_once does not wait for that.
my $stopped;

sub unstored
{
	my ($self, $code, $at_once) = @_;
	$self->settled('before') unless $at_once;
	$stopped = $self->worker_pid;
	sleep 0.05;
	kill 'STOP', $stopped or die "no worker: $stopped";
	$code->($stopped);
	kill 'CONT', $stopped;
	$stopped = undef;
	return;
}
END { kill 'CONT', $stopped if $stopped }

# A session that runs SQL and stays; with until, only that output is waited for.
sub session
{
	my ($self, $sql, $until) = @_;
	my $session = $self->{node}->background_psql('postgres', on_error_stop => 0);
	$session->query_until($until // qr/done/, "\\echo begun\n$sql\n\\echo done\n");
	return $session;
}

1;
