# Many lanes: what one role has in thousands of buckets, good, missing or out of
# reach, holds up no single job of another.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use lib 'test/perl';
use QueueTest;

my $test = QueueTest->new;

$test->bucket('zebra');
$test->role($_) for 'ann', 'bob';
$test->sql("CREATE SERVER lost FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', endpoint 'http://127.0.0.1:1');"
	  . ' GRANT USAGE ON FOREIGN SERVER lost TO ann;'
	  . " CREATE USER MAPPING FOR ann SERVER lost OPTIONS (access_key_id 'a', access_key_secret 'b')");

# Bob's single jobs, one after the other, beside ann's.
sub singles
{
	my ($beside) = @_;

	for my $i (1 .. 3)
	{
		my $begun = time;
		$test->sql("SET ROLE bob; SELECT oss_labels.enqueue('zebra', '$beside $i', server => 'oss')");
		ok($test->wait_sql("SELECT count(*) FROM oss_labels.job WHERE bucket = 'zebra'", '0', seconds => 3),
			sprintf "$beside: another role's single job is done after %.1f s", time - $begun);
	}
	cmp_ok($test->sql("SELECT count(*) FROM oss_labels.job WHERE bucket <> 'zebra'"), '>', 0, "$beside: they are still there");
	return;
}

# Jobs of ann's in as many buckets, all at once.
sub enqueue
{
	my ($n, $server) = @_;
	$test->sql("SELECT oss_labels.pause(); SET ROLE ann;"
		  . " SELECT count(oss_labels.enqueue('bucket' || g, 'k', server => '$server')) FROM generate_series(1, $n) g;"
		  . ' RESET ROLE; SELECT oss_labels.resume()');
	return;
}

$test->{oss}->fault(kind => 'delay', delay => 100, prefix => 'k');
enqueue(12000, 'oss');
singles('buckets that do not exist');
my $requests = $test->count;
cmp_ok($requests, '<=', 12000 + 3, 'buckets that do not exist: none is asked for twice');
$test->sql('TRUNCATE oss_labels.job');
ok($test->wait_empty, 'forgotten');

enqueue(6000, 'lost');
singles('an endpoint out of reach');

is($test->sql("SELECT count(*) FROM oss_labels.image WHERE bucket = 'zebra'"), 6, 'all single jobs are stored');
$test->{node}->stop;
done_testing;
