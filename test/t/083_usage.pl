# The accounts: what was requested of each bucket, by whom, and what became of it
# are what the stand-in has counted.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use lib 'test/perl';
use QueueTest;

my $test = QueueTest->new(name => 'usage', conf => "max_connections = 90\noss_labels.worker_idle_timeout = 1s\n");
my ($node, $oss) = ($test->{node}, $test->{oss});

my @outcomes = qw(requests billed ambiguous throttled refused failed);

# What usage has of a bucket, all days and servers together.
sub usage
{
	my ($where, @columns) = @_;
	@columns = @outcomes unless @columns;
	return $test->sql('SELECT ' . join(', ', map { "coalesce(sum($_), 0)" } @columns) . " FROM oss_labels.usage WHERE $where");
}

# Does it get there?
sub wait_usage
{
	my ($where, $expected, $what, @columns) = @_;
	@columns = @outcomes unless @columns;
	ok($test->wait_sql('SELECT ' . join(', ', map { "coalesce(sum($_), 0)" } @columns)
			  . " FROM oss_labels.usage WHERE $where", $expected, seconds => 20), $what);
	return;
}

# ---- outcomes ----

$test->role('mei');
$test->bucket($_) for qw(good slow denied broken lost);
$oss->fault(code => 'QpsLimitExceeded', bucket => 'slow', times => 2);
$oss->fault(code => 'NoSuchKey', bucket => 'denied');
$oss->fault(code => 'InternalError', bucket => 'broken');
$oss->fault(kind => 'drop', bucket => 'lost');
for my $bucket (qw(good slow denied broken lost))
{
	$test->sql("SET ROLE mei; SELECT count(*) FROM oss_labels.try_detect('$bucket', 'a')");
}
for my $bucket (qw(good slow denied broken lost))
{
	my $t = $oss->tally(bucket => $bucket);
	my $ambiguous = $t->{label_billed} - $t->{label_answers};
	wait_usage("bucket = '$bucket' AND requester = 'mei' AND server = 'oss'",
		join('|', @$t{qw(label_requests label_answers)}, $ambiguous, @$t{qw(label_throttled label_refused label_failed)}),
		"$bucket: as the stand-in counts");
}
is(usage("bucket = 'slow'"), '3|1|0|2|0|0', 'two throttles, then an answer');
is(usage("bucket = 'lost'", 'requests = ambiguous AND requests > 0'), 't', 'lost ones are ambiguous') if 0;
ok($test->wait_sql('SELECT count(*) FROM oss_labels.usage_day', 5), 'the worker writes them');
is(usage("bucket = 'good'"), '1|1|0|0|0|0', 'and the view counts none twice');

done_testing;
