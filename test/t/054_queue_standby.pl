# Physical standbys: the worker waits, reading works, and after a promotion the
# queue goes on, with what was in flight on the old primary asked for again.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use lib 'test/perl';
use QueueTest;

my $test = QueueTest->new(standby => 1);
my $node = $test->{node};
my $oss = $test->{oss};
$test->sql("SELECT oss_labels.enqueue('tenlabels', 'stored')");
ok($test->wait_empty, 'something is stored');
$node->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'b', has_streaming => 1);
$standby->start;

sub on_standby { return $standby->safe_psql('postgres', $_[0]) }

# ---- what is in the queue is the primary's to do ----

$oss->fault(kind => 'delay', delay => 60000);
$test->enqueue(5, 'in flight');
ok($oss->wait_count(label_in_flight => 5), 'the primary has five in flight');
$node->wait_for_catchup($standby);
is(on_standby('SELECT count(*) FROM oss_labels.job WHERE lease IS NOT NULL'), '5', 'the standby has their leases');
is(on_standby("SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'oss_labels%'"), '0',
	'standby: no worker, no launcher');
is($test->count, 6, 'standby: nothing is asked for twice');

# ---- reading ----

is(on_standby("SELECT count(*) FROM oss_labels.label WHERE key = 'stored'"), '10', 'standby: label');
is(on_standby("SELECT count(*) FROM oss_labels.labels_of('tenlabels', 'stored')"), '10', 'standby: labels_of');
is(on_standby("SELECT count(*) FROM oss_labels.tag('tenlabels', 'stored')"), '10', 'standby: tag, of what is stored');
is(on_standby("SELECT bucket, queued + in_flight FROM oss_labels.queue WHERE server = 'oss'"), 'tenlabels|5', 'standby: the queue');
is(on_standby('SELECT count(*) FROM oss_labels.worker WHERE pid IS NOT NULL'), '0', 'standby: the view of workers');
$oss->control('/unfault');
is(on_standby("SELECT count(*) FROM oss_labels.detect('tenlabels', 'read')"), '10', 'standby: detect');
for my $write ("SELECT oss_labels.enqueue('tenlabels', 'x')", "SELECT FROM oss_labels.tag('tenlabels', 'x')",
	"SELECT count(*) FROM (VALUES ('x'), ('y')) v(k), LATERAL oss_labels.tag('tenlabels', k)",
	'SELECT oss_labels.pause()', 'CALL oss_labels.process_queue()')
{
	my ($status, $out, $err) = $standby->psql('postgres', $write, extra_params => [ '-v', 'VERBOSITY=verbose' ]);
	like($err, qr/ERROR:  25006/, "standby: refused: $write");
}
is($oss->count_key('tenlabels', 'x') + $oss->count_key('tenlabels', 'y'), 0, 'standby: what cannot be stored is not asked for');

# ---- promotion, with requests in flight on the primary that is lost ----

my $requests = $test->count;
$oss->fault(kind => 'delay', delay => 60000, times => 3);
$node->stop('immediate');
ok($oss->wait_count(label_in_flight => 0), 'the primary is gone');
$standby->promote;
ok($oss->wait_count(label_in_flight => 3, 60), 'promoted: what was in flight is asked for again');
$oss->control('/close-connections');
ok($standby->poll_query_until('postgres', 'SELECT count(*) = 0 FROM oss_labels.job'), 'promoted: the queue runs');
is(on_standby("SELECT count(*), min(label_count), max(label_count) FROM oss_labels.image WHERE key LIKE 'in flight%'"),
	'5|10|10', 'promoted: all are tagged');
is(on_standby('SELECT count(*) FROM oss_labels.failed_job'), '0', 'promoted: no job failed');
is($test->count, $requests + 5 + 3, 'promoted: once, but for the three that were cut off');
$standby->stop;
done_testing;
