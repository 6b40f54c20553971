# pg_upgrade with the library preloaded, labels stored and jobs queued: no
# worker gets in its way, nothing is lost, and the queue goes on.  From the
# same version, or from OSS_TEST_OLD_BINDIR's.

use strict;
use warnings;

use File::Basename qw(dirname);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use lib 'test/perl';
use QueueTest;

my $from = $ENV{OSS_TEST_OLD_BINDIR};

# Make a cluster for what $old has, and return it.
sub make_new
{
	my ($name, $old) = @_;
	my $new = PostgreSQL::Test::Cluster->new($name);
	# PostgreSQL 18 began to have them by default
	$new->init(extra => $new->pg_version >= 18 && $old->pg_version < 18 ? ['--no-data-checksums'] : []);
	return $new;
}

# Return pg_upgrade's command line.
sub upgrade_command
{
	my ($old, $new) = @_;
	my ($old_bindir, $new_bindir) = map { $_->config_data('--bindir') } $old, $new;
	return (
		"$new_bindir/pg_upgrade", '--no-sync',
		'-d', $old->data_dir, '-D', $new->data_dir,
		'-b', $old_bindir, '-B', $new_bindir,
		'-s', $new->host, '-p', $old->port, '-P', $new->port);
}

# Some pairs of releases upgrade no cluster that has a table: 17.12 stores an
# attribute option that 18.6 refuses.
if ($from)
{
	my $old = PostgreSQL::Test::Cluster->new('plain_before', install_path => dirname($from));
	$old->init;
	$old->start;
	$old->safe_psql('postgres', 'CREATE TABLE plain (a text)');
	$old->stop;
	my $new = make_new('plain_after', $old);
	chdir PostgreSQL::Test::Utils::tempdir or die;
	my ($out, $err) = ('', '');
	run_log([ upgrade_command($old, $new) ], '>', \$out, '2>', \$err)
	  or plan skip_all => "PostgreSQL's own: a cluster without oss_labels of " . $old->pg_version
	  . ' is not upgraded to ' . $new->pg_version;
}

my $test = QueueTest->new(name => 'before', install_path => $from && dirname($from));
my $oss = $test->{oss};
my $old = $test->{node};

$test->sql("SELECT oss_labels.enqueue('examplebucket', 'example.jpg')");
ok($test->wait_sql('SELECT count(*) FROM oss_labels.image', '1'), 'an image is stored');

# Nothing but pg_upgrade itself keeps these jobs from being done: the worker is
# off while they are queued, and on again when pg_upgrade starts the cluster.
$test->sql('ALTER SYSTEM SET oss_labels.worker = off');
$old->restart;
$test->sql("CREATE TABLE photo (key text); SELECT oss_labels.watch('photo', 'key', bucket => 'tenlabels');"
	  . "INSERT INTO photo SELECT 'k' || i FROM generate_series(1, 30) i");
$test->sql('ALTER SYSTEM RESET oss_labels.worker');
my $stored = 'SELECT string_agg(label_name, E\' \' ORDER BY label_name) FROM oss_labels.label'
  . " WHERE key = 'example.jpg'";
my $labels = $test->sql($stored);
my $requests = $oss->count('label_requests');
is($requests, 1, 'one request so far');
$old->stop;

my $new = make_new('after', $old);
my ($old_major, $new_major) = map { slurp_file($_->data_dir . '/PG_VERSION') + 0 } $old, $new;
is($from ? $old_major < $new_major : $old_major == $new_major, 1, "from $old_major to $new_major");
$new->append_conf('postgresql.conf', "shared_preload_libraries = 'oss_labels'");
chdir PostgreSQL::Test::Utils::tempdir or die;
command_ok([ upgrade_command($old, $new) ], 'pg_upgrade');
is($oss->count('label_requests'), $requests, 'nothing was requested meanwhile');

$new->append_conf('postgresql.conf', 'oss_labels.worker = off');
$new->start;
$test->{node} = $new;
is($test->sql($stored), $labels, 'the labels are there');
is($test->sql('SELECT count(*) FROM oss_labels.job'), '30', 'the jobs are there');
$new->append_conf('postgresql.conf', 'oss_labels.worker = on');
$new->restart;
$test->sql("INSERT INTO photo VALUES ('after')");
ok($test->wait_sql("SELECT count(DISTINCT key) FROM oss_labels.label WHERE bucket = 'tenlabels'", '31'),
	'the queue goes on, and the table is still watched');
is($oss->count('label_requests'), $requests + 31, 'each image was requested once');

done_testing();
