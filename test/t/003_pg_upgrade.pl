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
my $test = QueueTest->new(name => 'before', install_path => $from && dirname($from));
my $oss = $test->{oss};
my $old = $test->{node};
my $old_bindir = $old->config_data('--bindir');

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

my $new = PostgreSQL::Test::Cluster->new('after');
# PostgreSQL 18 began to have them by default
$new->init(extra => $new->pg_version >= 18 && $old->pg_version < 18 ? ['--no-data-checksums'] : []);
my $new_bindir = $new->config_data('--bindir');
my ($old_major, $new_major) = map { slurp_file($_->data_dir . '/PG_VERSION') + 0 } $old, $new;
is($from ? $old_major < $new_major : $old_major == $new_major, 1, "from $old_major to $new_major");
$new->append_conf('postgresql.conf', "shared_preload_libraries = 'oss_labels'");
chdir PostgreSQL::Test::Utils::tempdir or die;
command_ok(
	[
		"$new_bindir/pg_upgrade", '--no-sync',
		'-d', $old->data_dir, '-D', $new->data_dir,
		'-b', $old_bindir, '-B', $new_bindir,
		'-s', $new->host, '-p', $old->port, '-P', $new->port
	],
	'pg_upgrade');
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
