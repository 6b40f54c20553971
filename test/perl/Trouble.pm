=head1 NAME

Trouble - what others do while a test looks at its own images

=head1 SYNOPSIS

  my $trouble = Trouble->new($test);    # a QueueTest
  $trouble->begin;
  ...
  $trouble->end;                        # and then all of it is over, until the next begin

=head1 DESCRIPTION

From C<begin> to C<end> a role C<neighbour> has jobs of its own: a backlog in
the bucket C<garden>, to which more is added; in C<desert>, which is always
throttled; in C<vault>, whose image rows an open transaction holds; and in
C<pipe>, whose connections are forgotten every two seconds.  Roles are created
and dropped all the time.  Whatever dies meanwhile, all this goes on.

A test asserts that its own images and requests are what they are without it.

=cut

package Trouble;

use strict;
use warnings;

use POSIX ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use StallingProxy;

# Settings of the buckets; everything else is as of QueueTest's bucket().
my %bucket = (garden => {}, vault => {}, pipe => {}, desert => { throttle => 'QpsLimitExceeded' });

sub new
{
	my ($class, $test) = @_;
	my $oss = $test->{oss};
	my $self = bless {
		test => $test,
		owner => $$,
		stop => PostgreSQL::Test::Utils::tempdir . '/stop',
		proxy => StallingProxy->new(to => $oss->http_port, every => 2),
		children => [] }, $class;

	for my $name (sort keys %bucket)
	{
		my %setting = (name => $name, image => 'examplebucket/example.jpg', labels => 10, %{ $bucket{$name} });

		$oss->set(bucket => %setting);
		# for when the stand-in is started again
		append_to_file($oss->data_dir . '/buckets', OssServer::query(%setting) . "\n");
	}
	# the stand-in knows this AccessKey whenever it is started
	$test->sql(<<"SQL");
CREATE ROLE neighbour;
CALL oss_labels.grant_paying('neighbour');
GRANT EXECUTE ON FUNCTION oss_labels.enqueue TO neighbour;
CREATE SERVER piped FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', timeout_ms '3000',
	endpoint 'http://127.0.0.1:@{[ $self->{proxy}->port ]}');
GRANT USAGE ON FOREIGN SERVER oss, piped TO neighbour;
CREATE USER MAPPING FOR neighbour SERVER oss OPTIONS (access_key_id 'ak', access_key_secret 'sk');
CREATE USER MAPPING FOR neighbour SERVER piped OPTIONS (access_key_id 'ak', access_key_secret 'sk');
CREATE TABLE public.trouble_over ();
CREATE SEQUENCE public.trouble_number;
GRANT USAGE ON SEQUENCE public.trouble_number TO neighbour;

-- A second of roles that come and go, and of jobs that are added.
CREATE PROCEDURE public.stir() LANGUAGE plpgsql AS \$\$
BEGIN
	FOR i IN 1 .. 5 LOOP
		DROP ROLE IF EXISTS passer;
		CREATE ROLE passer;
		ALTER ROLE passer CONNECTION LIMIT 5;
		COMMIT;
		DROP ROLE passer;
		SET LOCAL ROLE neighbour;
		PERFORM oss_labels.enqueue('garden', 'k' || nextval('public.trouble_number'), server => 'oss'),
			oss_labels.enqueue('pipe', 'k' || currval('public.trouble_number'), server => 'piped');
		IF i = 1 THEN
			PERFORM oss_labels.enqueue('vault', 'k' || k, server => 'oss') FROM generate_series(1, 12) k;
			PERFORM oss_labels.enqueue('desert', 'k' || currval('public.trouble_number'), server => 'oss');
		END IF;
		COMMIT;
		PERFORM pg_sleep(0.2);
	END LOOP;
END \$\$;
SQL
	return $self;
}

# Run SQL again and again until the end, whatever becomes of each.
sub again_and_again
{
	my ($self, $sql) = @_;
	my $connection = $self->{test}{node}->connstr('postgres');
	my $pid = fork // die "fork: $!";

	if ($pid == 0)
	{
		# PostgreSQL 18's Cluster.pm would die, and Test::More end the plan
		$SIG{TERM} = 'DEFAULT';
		open STDOUT, '>', '/dev/null';
		open STDERR, '>', '/dev/null';
		while (!-e $self->{stop} && getppid == $self->{owner})
		{
			system('psql', '-XAtq', '-d', $connection, map { ('-c', $_) } @$sql) == 0 or sleep 0.1;
		}
		POSIX::_exit(0);
	}
	push @{ $self->{children} }, $pid;
	return;
}

# Let it begin, the first time or again; returns when each part of it has.
sub begin
{
	my ($self) = @_;
	my $test = $self->{test};
	my $throttled = $test->{oss}->count('code_QpsLimitExceeded');

	unlink $self->{stop};
	$test->bucket('desert', %{ $bucket{desert} });
	$test->sql("TRUNCATE public.trouble_over; SET ROLE neighbour; SELECT count(*) FROM generate_series(1, 12) k, LATERAL oss_labels.tag('vault', 'k' || k, server => 'oss');"
		  . " SELECT count(oss_labels.enqueue('desert', 'd' || i, server => 'oss')) FROM generate_series(1, 100) i;"
		  . " SELECT count(oss_labels.enqueue('garden', 'g' || i, server => 'oss')) FROM generate_series(1, 200) i");
	$self->again_and_again([
		'BEGIN',
		q(SELECT count(*) FROM (SELECT FROM oss_labels.image WHERE bucket = 'vault' FOR UPDATE) held),
		q(DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM public.trouble_over) LOOP PERFORM pg_sleep(0.1); END LOOP; END $$),
		'COMMIT' ]);
	$self->again_and_again(['CALL public.stir()']);
	$test->wait_sql(q(SELECT count(*) FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND query LIKE 'DO %trouble_over%'), '1')
	  or die 'no transaction holds the rows';
	$test->{oss}->wait_counted(code_QpsLimitExceeded => $throttled + 1, 30) or die 'nothing is throttled';
	return;
}

# Let it end, and wait until the neighbour's jobs are stored or have failed;
# returns whether they are.
sub end
{
	my ($self, $seconds) = @_;
	my $test = $self->{test};

	append_to_file($self->{stop}, '');
	$test->sql('INSERT INTO public.trouble_over DEFAULT VALUES');
	waitpid $_, 0 for splice @{ $self->{children} };
	$test->bucket('desert');
	$test->sql("SELECT oss_labels.resume(name) FROM (VALUES ('oss'), ('piped')) s(name)");
	return $test->wait_sql("SELECT count(*) FROM oss_labels.job WHERE bucket IN ('garden', 'vault', 'pipe', 'desert')",
		'0', seconds => $seconds // 60);
}

# How many times the stand-in was asked for each bucket.
sub asked
{
	my ($self) = @_;
	return map { $_ => $self->{test}{oss}->tally(bucket => $_) } sort keys %bucket;
}

sub DESTROY
{
	my ($self) = @_;
	return unless $self->{owner} == $$;
	local ($?, $!, $@);
	append_to_file($self->{stop}, '');
	kill 'TERM', @{ $self->{children} };
	waitpid $_, 0 for @{ $self->{children} };
	return;
}

1;
