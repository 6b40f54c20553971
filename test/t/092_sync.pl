# A bucket of 20,000 objects is kept in step by one call: what it counts is what is
# there, and what is paid for is what is new or changed, also when the worker and the
# server are killed five times.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);

use lib 'test/perl';
use QueueTest;

my $test = QueueTest->new;
my $oss = $test->{oss};
my $objects = 20_000;

# What a sync counted in its round, as "name=value ...".
sub counted
{
	my ($id, @names) = @_;
	my $columns = join " || ' ", map { "$_=' || $_" } @names;
	return $test->sql("SELECT '$columns FROM oss_labels.bucket_sync WHERE sync_id = $id");
}

# Wait until a sync is in a state; says why if it is not.
sub wait_state
{
	my ($id, $state, $what) = @_;
	ok($test->wait_sql("SELECT state FROM oss_labels.bucket_sync WHERE sync_id = $id", $state, seconds => 120), $what)
	  or diag($test->sql("SELECT * FROM oss_labels.bucket_sync WHERE sync_id = $id"));
	return;
}

# The worker's pid, as soon as there is one, while the server may start again.
sub worker
{
	for (1 .. 600)
	{
		my $pid = eval { local $SIG{PIPE} = 'IGNORE'; $test->worker_pid };
		return $pid if $pid;
		sleep 0.1;
	}
	die 'no worker';
}

# Begin a round of a sync that is done.
sub again
{
	my ($id, $what) = @_;
	$test->sql("SELECT oss_labels.resume_sync($id)");
	wait_state($id, 'done', $what);
	return;
}

$oss->set(bucket => name => 'bigbucket', keys => $objects);

# --- max_requests: exactly so many, and it goes on where it was
my $id = $test->sql("SELECT oss_labels.sync_bucket('bigbucket', max_requests => 500)");
wait_state($id, 'stopped', 'a sync stops when max_requests are spent');
is($test->count, 500, 'exactly so many were sent');
is(counted($id, 'spent', 'stored', 'new', 'queued'), 'spent=500 stored=500 new=500 queued=0', 'and are counted');
like($test->sql("SELECT reason FROM oss_labels.bucket_sync WHERE sync_id = $id"), qr/max_requests/, 'it says why it stopped');
$test->sql("SELECT oss_labels.resume_sync($id, 10000)");
wait_state($id, 'stopped', 'it goes on with a higher limit');
is($test->count, 10_000, 'up to that');
is(counted($id, 'spent', 'listed', 'new'), 'spent=10000 listed=10000 new=10000', 'nothing was judged twice');
is($test->sql('SELECT count(*) FROM oss_labels.image'), '10000', 'half is stored');
$test->sql("SELECT oss_labels.cancel_sync($id)");
is($test->sql('SELECT count(*) FROM oss_labels.bucket_sync'), '0', 'a sync is cancelled');

# --- the bucket changes
$oss->set(objects => bucket => 'bigbucket', from => 0, to => 9_999, every => 10, changed => 1);
$oss->set(objects => bucket => 'bigbucket', from => 5, to => 9_999, every => 50, deleted => 1);
$oss->set(objects => bucket => 'bigbucket', from => 10_000, to => 10_999, class => 'Archive');
$oss->set(objects => bucket => 'bigbucket', from => 10_000, to => 10_999, every => 10, restored => 1);
$oss->set(objects => bucket => 'bigbucket', from => 11_000, to => 11_499, size => 30_000_000);
$oss->set(objects => bucket => 'bigbucket', from => 11_500, to => 11_599, size => 0);
$oss->put('bigbucket', "photos/readme-$_.txt", 'no image') for 1 .. 40;
$oss->put('bigbucket', "photos/$_/", '') for 'a' .. 'e';
my %truth = (
	listed => 20_000 - 200 + 45,
	new => 100 + 8_400,
	changed => 1_000,
	unchanged => 10_000 - 1_000 - 200,
	skipped_suffix => 45,
	skipped_size => 600,
	skipped_class => 900,
	failed => 0);
my @names = sort keys %truth;

$oss->control('/reset?what=counters');

# --- what it would do, for the price of the listing
is($test->sql("SELECT concat_ws(' ', " . join(', ', map { "'$_=' || $_" } grep { $_ ne 'failed' } @names)
	. ", to_ask, list_requests, budget_left IS NULL, currency) FROM oss_labels.estimate_bucket('bigbucket')"),
	join(' ', map({ "$_=$truth{$_}" } grep { $_ ne 'failed' } @names), 9500, 20, 't', 'USD'),
	'estimate_bucket() says all of it');
is($test->count, 0, 'and asks for no labels');
is($test->count('list_requests'), 20, 'it lists');
is($test->sql('SELECT count(*) FROM oss_labels.job'), '0', 'and queues nothing');
$oss->control('/reset?what=counters');

# --- one call: counters are the truth, and what is paid for is new or changed
$id = $test->sql("SELECT oss_labels.sync_bucket('bigbucket')");
wait_state($id, 'done', 'one call');
is(counted($id, @names), join(' ', map { "$_=$truth{$_}" } @names), 'its counters are the truth');
is($test->count, 9_500, 'what is paid for is new or changed');
is($test->count('keys_repeated'), 0, 'each once');
is(counted($id, 'stored', 'spent', 'queued', 'forgotten'), 'stored=9500 spent=9500 queued=0 forgotten=0', 'and it says so');
is($test->count('list_requests'), 20, 'a request lists 1,000 objects');

# --- again: nothing is paid for; what two listings missed is forgotten
again($id, 'a second round');
is($test->count, 9_500, 'costs nothing');
is(counted($id, 'unchanged', 'new', 'changed', 'forgotten'), 'unchanged=18300 new=0 changed=0 forgotten=200',
	'all is unchanged, and what two listings missed is forgotten');
is($test->sql('SELECT count(*) FROM oss_labels.image'), '18300', 'the store is what the bucket has');

# --- five kills: nothing is left out, and what is asked for again was in flight
$oss->set(objects => bucket => 'bigbucket', from => 1, to => 9_999, every => 10, changed => 1);
$oss->set(objects => bucket => 'bigbucket', from => 12_000, to => 13_999, changed => 1);
$oss->fault(kind => 'delay', delay => 10);
$oss->control('/reset?what=counters');
my ($from, $stop);
sub stop_after_200
{
	# counted first: a worker may be up and asking already
	$from = $oss->count('label_requests');
	$stop = $oss->fault(kind => 'delay', delay => 600_000, skip => 200);
	return;
}
stop_after_200();
$test->sql("SELECT oss_labels.resume_sync($id)");
for my $kill (1 .. 5)
{
	# it has come up since the last one, and gets on, but not to the end
	my $pid = worker();
	ok($oss->wait_counted('label_requests', $from + 200, 60), "kill $kill");
	if ($kill % 2 == 0) { $test->kill_postmaster }
	else { kill 'KILL', $pid }
	sleep 0.1 while kill 0, $pid;
	$oss->control("/unfault?id=$stop");
	stop_after_200() if $kill < 5;
}
worker();
wait_state($id, 'done', 'it goes on after five kills');
is(counted($id, 'listed', 'changed', 'new', 'unchanged', 'stored', 'failed', 'forgotten'),
	'listed=19845 changed=3000 new=0 unchanged=15300 stored=3000 failed=0 forgotten=0',
	'its counters are the truth');
$oss->wait_count(in_flight => 0);
my $twice = $test->count - 3000;
cmp_ok($twice, '<=', 5 * ($oss->count('label_most_in_flight') + 256), "what is asked for twice was in flight, or not stored yet: $twice");
is($test->count('keys_distinct'), 3000, 'what is asked for is what changed');
cmp_ok($test->count('list_requests'), '<=', 20 + 5 * 2, 'pages are not listed again');
is($test->sql(q{SELECT count(*) FROM oss_labels.image}), '18300', 'no image is lost');

done_testing;
