# Soak: many jobs, of which one in a hundred meets a fault, of every kind that
# the stand-in knows.  In the end the books must balance: what was enqueued is
# stored or failed, what the stand-in counted is what the tables say, every
# failure has its SQLSTATE and code; and memory and the queue's size stay flat.
# All of it beside the trouble of a neighbour (see Trouble), which changes none of
# these figures; in the long form it comes and goes, and the images a second with
# and without it are compared.
#
# OSS_SOAK_JOBS=1000000, as test/soak sets it, is the long form.

use strict;
use warnings;

use List::Util qw(max sum0);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use lib 'test/perl';
use QueueTest;
use Trouble;

my $jobs = $ENV{OSS_SOAK_JOBS} // 4000;
my $attempts = $jobs < 100_000 ? 2 : 5;
my $test = QueueTest->new(
	conf => "oss_labels.job_attempts = $attempts\nautovacuum_naptime = 5s\nmax_wal_size = 4GB\n");
my $oss = $test->{oss};

sub unescape { return $_[0] =~ s/%([0-9A-F]{2})/chr hex $1/ger }

# Kinds of faults: what becomes of an image that meets it, and the fault.
# Those of "hasty" go to a server whose deadline is short.  "throttled" and
# "paused" ones, for which a job does not fail, happen so many times.
my $times = $jobs < 100_000 ? 1 : 3;
my %kind = (
	chunked => [ 'stored' ], close => [ 'stored' ],
	delay => [ 'stored', delay => '50-300' ],
	slow => [ 'stored', bytes => 100, interval => 5 ],
	pause => [ 'stored', bytes => 100, interval => 200 ],
	(map { $_ => ['failed'] } qw(redirect html image gzip nul utf8 truncate length garbage headers
		  nul-header drop reset drop-before)),
	'reset-body' => ['failed'], huge => [ 'failed', bytes => 20_000_000 ],
	body => [ 'failed', content => 'no labels' ],
	raw => [ 'failed', content => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}" ],
	(map { $_ => ['hasty'] } qw(hang hang-body)),
	throttle => [ 'throttled', rate => 0 ], active => [ 'throttled', limit => 0 ],
	(map { ("labels-$_" => [ 'stored', kind => 'labels', variant => $_ ]) }
		  qw(missing null empty no-id unknown level3 types fields-missing elements duplicates chinese escapes)),
	(map { ("labels-$_" => [ 'failed', kind => 'labels', variant => $_ ]) }
		  qw(object string number neither nul-escape broken trailing array empty-body)),
	'labels-many' => [ 'stored', kind => 'labels', variant => 'many', bytes => 300 ],
	'labels-deep' => [ 'failed', kind => 'labels', variant => 'deep', bytes => 100_000 ]);

# Codes that say that the server is not set up, and those of a service that is busy.
my %pausing = map { $_ => 1 } qw(InvalidAccessKeyId SignatureDoesNotMatch RequestTimeTooSkewed
  InvalidSecurityToken SecurityTokenExpired AccessKeyIdAndSecurityTokenNotMatch
  SecurityTokenNotSupported SecondLevelDomainForbidden NonStandardHostForbidden
  PermanentRedirect TransferAccelerationDisabled CnameDenied PublicEndpointForbidden UserDisable
  InDebt InDebtOverdue UbsmsInvalidBid BucketDisable AbnormalBucketOwnerStatus), 'Imm Client';
my %throttling = map { $_ => 1 } qw(CpuLimitExceeded TotalQpsLimitExceeded
  MetaOperationQpsLimitExceeded ActiveRequestLimitExceeded DownloadTrafficRateLimitExceeded
  QpsLimitExceeded SlowDown PartitionQpsLimitted);
for my $line (split /\n/, $oss->control('/codes'))
{
	my ($status, $code) = split /\t/, $line;
	$kind{"code-$code"} = [ $pausing{$code} ? 'paused' : $throttling{$code} ? 'throttled' : 'failed',
		kind => 'error', code => $code, status => $status ];
}
my %fate;
for my $name (sort keys %kind)
{
	my ($fate, %how) = @{ $kind{$name} };
	$fate{$name} = $fate;
	$how{kind} //= $name;
	$how{times} = $times if $fate eq 'throttled' || $fate eq 'paused';
	$oss->fault(%how, prefix => "$name/");
}
# this one is not of a request
$oss->fault(kind => 'refuse', times => $times);

# ---- what is to be done, in an order that mixes everything ----

my $kinds = keys %kind;
my $each = int($jobs / 100 / $kinds);
$each = $times + 1 if $each < $times + 1;
$oss->control('/bucket?name=soak&image=examplebucket/example.jpg&labels=2');

# In the short form each throttle slows down a server of its own.
sub server_of
{
	my ($name) = @_;
	return $fate{$name} eq 'hasty' ? 'hasty'
	  : $fate{$name} eq 'throttled' && $jobs < 100_000 ? "busy $name" : 'oss';
}
my $values = join ', ', map { "('$_', '" . server_of($_) . "')" } sort keys %kind;
my $endpoint = $oss->http_endpoint;
my %server = map { server_of($_) => 1 } keys %kind;
delete $server{oss};
my $servers = join '', map { <<"SQL" } sort keys %server;
CREATE SERVER "$_" FOREIGN DATA WRAPPER oss_labels
	OPTIONS (region 'cn-hangzhou', endpoint '$endpoint', timeout_ms '@{[ $_ eq 'hasty' ? 1500 : 60000 ]}');
CREATE USER MAPPING FOR CURRENT_USER SERVER "$_"
	OPTIONS (access_key_id 'testid', access_key_secret 'testsecret');
SQL
$test->sql(<<"SQL");
$servers
-- A server that answers nothing is asked seldom: few of its jobs, at first, else all wait for its last ones.
CREATE TABLE todo AS SELECT row_number() OVER (ORDER BY server <> 'hasty', hashtext(key)) AS n, key, server FROM (
	SELECT kind || '/' || i AS key, server FROM (VALUES $values) f(kind, server),
		generate_series(1, CASE server WHEN 'hasty' THEN $times + 1 ELSE $each END) i
	UNION ALL
	SELECT 'plain/' || i, 'oss' FROM generate_series(1, $jobs - $each * $kinds) i) all_jobs;
CREATE INDEX ON todo (n);
ANALYZE todo;
CREATE TABLE sample (at timestamptz DEFAULT clock_timestamp(), enqueued bigint, waiting bigint, stored bigint,
	failed bigint, table_bytes bigint, index_bytes bigint, private_kb bigint);

-- Enqueue everything up to a number, never so much that the queue could only grow; write down
-- what one snapshot shows each time another part is in.
CREATE PROCEDURE soak(most bigint, enqueued bigint, total bigint) LANGUAGE plpgsql AS \$\$
DECLARE
	part bigint := greatest((SELECT count(*) FROM todo) / 50, 500);
	next_sample bigint := enqueued + part;
BEGIN
	LOOP
		IF enqueued < total AND (SELECT count(*) FROM oss_labels.job WHERE bucket = 'soak') < most / 2 THEN
			PERFORM oss_labels.enqueue('soak', key, server => server)
				FROM todo WHERE n > enqueued AND n <= least(enqueued + most / 2, total);
			enqueued := least(enqueued + most / 2, total);
			COMMIT;
		END IF;
		PERFORM oss_labels.resume(server) FROM oss_labels.active_pause;
		COMMIT;
		IF enqueued >= next_sample THEN
			next_sample := enqueued + part;
			INSERT INTO sample (enqueued, waiting, stored, failed, table_bytes, index_bytes, private_kb)
				SELECT enqueued, (SELECT count(*) FROM oss_labels.job WHERE bucket = 'soak'),
					(SELECT count(*) FROM oss_labels.image WHERE bucket = 'soak'),
					(SELECT count(*) FROM oss_labels.failed_job WHERE bucket = 'soak'),
					pg_table_size('oss_labels.job'), pg_indexes_size('oss_labels.job'),
					(SELECT substring(pg_read_file('/proc/' || pid || '/status') FROM 'RssAnon:\\s+(\\d+)')::bigint
					 FROM oss_labels.worker WHERE database = current_database());
			COMMIT;
		END IF;
		EXIT WHEN enqueued = total AND NOT EXISTS (SELECT FROM oss_labels.job WHERE bucket = 'soak');
		PERFORM pg_sleep(0.02);
	END LOOP;
END \$\$;
SQL
my $total = $test->sql('SELECT count(*) FROM todo');
$oss->control('/reset?what=counters');
my $trouble = Trouble->new($test);
my ($done, $took, $asked) = (0, 0, 0);

# Do a part of all jobs; returns jobs a second, and requests a job.
sub soak
{
	my ($part) = @_;
	my $upto = int($total * $part);
	my $begun = time;
	# what stands still must not do so for ever
	$test->sql("SET statement_timeout = '@{[ $jobs < 100_000 ? 150 * OssServer::patience() : 36_000 ]}s';"
		  . " CALL soak(@{[ $jobs < 100_000 ? 1000 : 20_000 ]}, $done, $upto)");
	my $seconds = time - $begun;
	my $requests = $oss->tally(bucket => 'soak')->{label_requests};
	my @figures = (($upto - $done) / $seconds, ($requests - $asked) / ($upto - $done));
	($done, $asked, $took) = ($upto, $requests, $took + $seconds);
	return @figures;
}
if ($jobs < 100_000)
{
	$trouble->begin;
	soak(1);
	ok($trouble->end, "the neighbour's jobs come to their ends, too");
}
else
{
	my (@alone, @beside);

	# what happens only so many times happens in the first part
	soak(0.2);
	# by turns, so that a busy machine troubles both alike
	for my $turn (1 .. 4)
	{
		push @alone, [ soak(0.2 * $turn + 0.1) ];
		$trouble->begin;
		push @beside, [ soak(0.2 * $turn + 0.2) ];
		ok($trouble->end, "turn $turn: the neighbour's jobs come to their ends, too");
	}
	note sprintf 'jobs a second alone and beside trouble: %s; requests a job: %s', map {
		my $figure = $_;
		join ', ', map { sprintf "%.4g and %.4g", $alone[$_][$figure], $beside[$_][$figure] } 0 .. $#alone
	} 0, 1;
	cmp_ok(middle(map { $beside[$_][0] / $alone[$_][0] } 0 .. $#alone), '>=', 0.9, 'beside trouble: as fast as alone');
	cmp_ok(abs(middle(map { $beside[$_][1] / $alone[$_][1] } 0 .. $#alone) - 1), '<=', 0.1,
		'beside trouble: as many requests as alone');
}
my %neighbour = $trouble->asked;
note join ', ', map { "$_: $neighbour{$_}{label_requests} requests, $neighbour{$_}{throttled} throttled" } sort keys %neighbour;
$oss->wait_count(label_in_flight => 0);

# ---- the books ----

my ($stored, $failed) = split /\|/,
  $test->sql("SELECT (SELECT count(*) FROM oss_labels.image WHERE bucket = 'soak'),"
	  . " (SELECT count(*) FROM oss_labels.failed_job WHERE bucket = 'soak')");
is($stored + $failed, $total, "$total jobs: $stored stored, $failed failed, none lost");
is($test->sql('SELECT count(*) FROM sample WHERE waiting + stored + failed <> enqueued'),
	0, 'and so at every moment in between');
is($test->sql('SELECT count(*) FROM todo t WHERE NOT EXISTS (SELECT FROM oss_labels.image i WHERE i.key = t.key)'
		  . ' AND NOT EXISTS (SELECT FROM oss_labels.failed_job f WHERE f.key = t.key)'),
	0, 'each image is stored or failed');
is($test->sql("SELECT count(*) FROM oss_labels.failed_job WHERE \"sqlstate\" !~ '^[0-9A-Z]{5}\$'"
		  . " OR \"sqlstate\" = 'XX000' OR coalesce(code, '') = '' OR message = ''"),
	0, 'each failure has an SQLSTATE, a code and a message');
is($test->sql('SELECT count(*) FROM oss_labels.image i WHERE label_count <>'
		  . ' (SELECT count(*) FROM oss_labels.image_label l WHERE l.image_id = i.image_id)'),
	0, 'each image has its labels');

# What became of each kind, by the tables and by the stand-in.
my (%end, %attempts, %requests, %hits);
for my $row (split /\n/, $test->sql("SELECT split_part(key, '/', 1), count(*), count(*), 'stored' FROM oss_labels.image WHERE bucket = 'soak' GROUP BY 1"
	  . " UNION ALL SELECT split_part(key, '/', 1), count(*), sum(attempts), 'failed with ' || \"sqlstate\" || ' ' || code"
	  . " FROM oss_labels.failed_job WHERE bucket = 'soak' GROUP BY 1, \"sqlstate\", code"))
{
	my ($name, $n, $sum, $told) = split /\|/, $row;
	$end{$name}{$told} = $n;
	$attempts{$name} += $sum;
}
for my $line (split /\n/, $oss->control('/keys?bucket=soak'))
{
	my ($n, undef, $key) = split /\t/, $line;
	my ($name) = unescape($key) =~ m{^(.+)/} or die $line;
	$requests{$name} += $n;
}
for my $line (split /\n/, $oss->control('/faults'))
{
	my ($key, $n) = $line =~ /key=(\S+) .*hits=(\d+)/ or die $line;
	$hits{ unescape($key) =~ s{/$}{}r } = $n;
}
# Twenty refusals that may be the whole bucket's pause it, again and again here: the last
# one, and what was in flight then, is asked for again when the bucket goes on.  An image
# may be so unlucky twice, not all of them.
my ($asked, $allowed) = (0, 0);
my %denial = map { ($_ => 1) } split /\n/,
  $test->sql("SELECT DISTINCT code FROM oss_labels.error_table() WHERE scope = 'image or access' AND code IS NOT NULL");
ok($denial{AccessDenied}, 'some codes may be of an image or of the bucket');
for my $name (sort(keys %kind), 'plain')
{
	my $fate = $fate{$name} // 'stored';
	my $told = join ', ', map { "$end{$name}{$_} $_" } sort keys %{ $end{$name} };
	my $expected = $name eq 'drop-before' ? 0
	  : $attempts{$name} + ($fate =~ /^(throttled|paused)$/ ? $hits{$name} : 0);
	# a kept connection may be closed just when a request is sent on it
	my $broken = qr/\d failed with 08006 ConnectionBroken/;
	my $ended = $fate =~ /^(failed|hasty)$/ ?
	  qr/^(?:$broken, )?\d+ failed with [^,]+(?:, $broken)?$/ : qr/^\d+ stored$/;

	like($told, $ended, "$name: $told");
	# what meets its deadline or its connection's end before the stand-in has read
	# it is not counted; it is tried again then, so that each image was asked for
	my $images = sum0 values %{ $end{$name} };
	my $least = $fate eq 'hasty' ? $expected / 2
	  : $fate eq 'failed' && $expected > 0 ? max($images, $expected - max(3, $expected / 20)) : $expected;
	cmp_ok($requests{$name} // 0, '>=', $least, "$name: as many requests as attempts") if $least < $expected;
	if ($told =~ /failed with \S+ (\w+)/ && ($denial{$1} || $1 =~ /^HTTP/))
	{
		cmp_ok($requests{$name} // 0, '>=', $least, "$name: each was asked for");
		cmp_ok($requests{$name} // 0, '<=', $expected + 2 * $images, "$name: and twice more at most");
		$asked += $requests{$name} // 0;
		$allowed += $expected + $images;
	}
	else
	{
		cmp_ok($requests{$name} // 0, $least < $expected ? '<=' : '==', $expected, "$name: $expected requests");
	}
	cmp_ok($hits{$name}, '>', 0, "$name: it happened") unless $name eq 'plain';
}
cmp_ok($asked, '<=', $allowed, 'refused images are asked for once more at most, as a rule');
note "$asked requests, $allowed allowed";
is($oss->count('connections_refused'), $times, 'refuse: it happened');
my $sum = 0;
$sum += $_ for values %requests;
is($oss->tally(bucket => 'soak')->{label_requests}, $sum, "$sum requests in all");

# ---- what must not grow ----

# The first samples are left out: until then the queue fills and memory warms up.
my @sample = map { [ split /\|/ ] }
  split /\n/, $test->sql('SELECT enqueued, table_bytes, index_bytes, private_kb FROM sample ORDER BY at');
my $warm = int(@sample / 5);
for my $what ([ 1, 'the table of jobs', 1 ], [ 2, 'its indexes', 1 ], [ 3, q(the worker's memory), 1024 ])
{
	my ($column, $name, $unit) = @$what;
	my @bytes = map { $_->[$column] * $unit } grep { $_->[$column] ne '' } @sample;
	my ($early, $late) = (most(@bytes[ $warm .. $#bytes / 2 ]), most(@bytes[ $#bytes / 2 .. $#bytes ]));
	note sprintf '%s: at most %.1f MB in the first half, %.1f MB in the second', $name, $early / 1e6, $late / 1e6;
	next if $column == 3 && !OssServer::sizes_tell();
	cmp_ok($late, '<=', 1.25 * $early + ($jobs < 100_000 ? 32e6 : 4e6), "$name: flat");
}
note sprintf '%d jobs, %d stored, %d failed, %d requests, %d kinds of faults with up to %d images each: %.1f s, %.0f jobs/s',
  $total, $stored, $failed, $sum, $kinds, $each, $took, $total / $took;
$test->{node}->stop;
$oss->stop;
done_testing;

sub middle
{
	my @sorted = sort { $a <=> $b } @_;
	return ($sorted[ $#sorted / 2 ] + $sorted[ @sorted / 2 ]) / 2;
}
sub most { return (sort { $b <=> $a } @_)[0] }
