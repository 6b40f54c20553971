# Retries: how many, how long between, what ends them; the clock; a deadline
# over all attempts.

use strict;
use warnings;

use POSIX qw(strftime);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use lib 'test/perl';
use OssTest qw(literal);

my $clock = PostgreSQL::Test::Utils::tempdir . '/clock';
my $t = OssTest->new(env => { OSS_TEST_CLOCK => $clock });
my $oss = $t->{oss};

# Calls in one session, by key; returns the outcomes, and sets $took to their
# seconds.
my $took;
sub calls
{
	my @keys = @_;
	my @queries = map { OssTest::detect_sql($_, 'everykey') } @keys;
	my $begun = time;
	my @outcomes = $t->outcomes(@queries);
	$took = time - $begun;
	return @outcomes;
}

# Milliseconds between the arrivals of the last requests.
sub gaps
{
	my @arrived = map { (split /\t/)[7] / 1000 } split /\n/, $oss->logged;
	return map { $arrived[$_] - $arrived[ $_ - 1 ] } 1 .. $#arrived;
}

# ---- how many ----

for my $case ([ undef, 3 ], [ 1, 1 ], [ 5, 5 ])
{
	my ($max, $expected) = @$case;
	$t->server(defined $max ? (max_attempts => $max) : ());
	$t->fault(code => 'InternalError', status => 500);
	calls('a');
	is($t->requests, $expected, 'attempts with max_attempts ' . ($max // 'unset'));
}
$t->server;
$t->fault(code => 'InternalError', status => 500, times => 2);
my ($outcome) = calls('a');
is_deeply([ $outcome->{rows} > 0, $t->requests ], [ 1 == 1, 3 ], 'the third attempt brings labels');
is($oss->count('label_answers'), 1, 'and is the only one answered');

# ---- how long between: full jitter below 400 and 800 ms ----

# A busy machine makes some gaps longer, but not all.

my (@first, @second);
$t->fault(code => 'InternalError', status => 500);
calls(map { "jitter$_" } 1 .. 24) for 1 .. 2;
my %of;
for (split /\n/, $oss->logged)
{
	my @f = split /\t/;
	push @{ $of{$1} }, $f[7] / 1000 if $f[3] =~ /(jitter\d+)/;
}
for my $key (keys %of)
{
	my @at = sort { $a <=> $b } @{ $of{$key} };
	is(scalar @at, 6, "$key: three attempts in each of two calls");
	push @first, $at[1] - $at[0], $at[4] - $at[3];
	push @second, $at[2] - $at[1], $at[5] - $at[4];
}
cmp_ok(scalar(grep { $_ > 400 + 50 } @first), '<=', 10, 'first waits are below 400 ms');
cmp_ok(scalar(grep { $_ > 800 + 50 } @second), '<=', 10, 'second waits are below 800 ms');
cmp_ok(scalar(grep { $_ < 200 } @first), '>', 5, 'some first waits are in the lower half');
cmp_ok(scalar(grep { $_ > 200 } @first), '>', 5, 'some first waits are in the upper half');
cmp_ok(scalar(grep { $_ > 400 } @second), '>', 3, 'some second waits are beyond the first ceiling');

# ---- what the service asks for is honoured ----

my @asked = (
	[ 'Retry-After in seconds', 1000, 'Retry-After: 1', 'SlowDown' ],
	[ 'Retry-After as a date', 900, 'Retry-After: ' . strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime(time + 2)), 'ServiceUnavailable' ],
	[ 'x-oss-qos-delay-time', 700, 'x-oss-qos-delay-time: 700', 'ServiceUnavailable' ],
	[ 'the longer of both', 1200, "x-oss-qos-delay-time: 1200\nRetry-After: 1", 'SlowDown' ]);
for my $case (@asked)
{
	my ($name, $ms, $header, $code) = @$case;
	{
		$header = 'Retry-After: ' . strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime(time + 2)) if $name =~ /date/;
		$t->fault(code => $code, status => 503, times => 1, header => [ split /\n/, $header ]);
		($outcome) = calls('a');
		is($t->requests, 2, "$name, $code: one retry");
		ok($outcome->{rows}, "$name, $code: labels");
		my ($gap) = gaps();
		cmp_ok($gap, '>=', $ms, "$name, $code: not before");
		cmp_ok($gap, '<', $ms + 3000, "$name, $code: not long after");
	}
}

# A wait that is none, and would be a long one when multiplied carelessly.
$t->fault(code => 'SlowDown', status => 503, times => 1, header => 'Retry-After: -9223372036854776');
($outcome) = calls('a');
ok($outcome->{rows}, 'a Retry-After below zero asks for no wait');

# ---- the deadline covers all attempts ----

$t->server(timeout_ms => 20000);
$t->fault(code => 'SlowDown', header => 'Retry-After: 3600');
($outcome) = calls('a');
is($outcome->{sqlstate}, '53400', 'a wait beyond the deadline is not begun');
is($t->requests, 1, 'nor an attempt after it');
cmp_ok($took, '<', 10, 'the caller hears at once');
$t->server(timeout_ms => 600, max_attempts => 10);
$t->fault(code => 'InternalError', status => 500, delay => 250);
($outcome) = calls('a');
# ten attempts take 2.5 s without their waits
cmp_ok($took, '<', 2.4 * OssServer::patience(), 'the deadline ends retries');
cmp_ok($t->requests, '<=', 3, 'before there are many');
is($oss->count('label_abandoned'), 0, 'no request was sent whose answer could not be waited for')
  or note $oss->logged;
$t->server(timeout_ms => 500);
$t->fault(kind => 'hang');
($outcome) = calls('a');
is($outcome->{sqlstate}, '08006', 'no answer until the deadline: 08006');
is($t->requests, 1, 'is one request: it may have been paid for');
$t->server(timeout_ms => 700, max_concurrency => 1);

# ---- after a 200 has begun ----

$t->server(timeout_ms => 1500);
for my $case (
	[ 'hang-body', 1, bytes => 20 ], [ 'slow', 1, bytes => 1, interval => 100 ],
	[ 'huge', 1, bytes => 9_000_000 ], [ 'html', 1 ], [ 'image', 1 ], [ 'utf8', 1 ],
	[ 'truncate', 3, bytes => 30 ], [ 'reset-body', 3, bytes => 30 ])
{
	my ($kind, $requests, %fault) = @$case;
	$t->fault(kind => $kind, %fault);
	calls('a');
	is($t->requests, $requests, "after a 200, $kind: $requests requests");
}
$t->server;
$t->fault(kind => 'truncate', bytes => 30, times => 1);
($outcome) = calls('a');
ok($outcome->{rows}, 'a body that broke is fetched again');

# ---- the clock ----

$t->fault;
for my $shift (-4000, 90000)
{
	$oss->control('/reset');
	$oss->control("/clock?shift=$shift");
	my @outcomes = calls(qw(a b c));
	is_deeply([ map { $_->{rows} > 0 } @outcomes ], [ (1 == 1) x 3 ], "clock off by $shift s: labels");
	is($t->requests, 4, "clock off by $shift s: corrected once, and remembered");
	is($oss->count('code_RequestTimeTooSkewed'), 1, "clock off by $shift s: refused once");
}
$oss->control('/reset');
my $sql = join '', map { "\\! \$OSS_CONTROL GET '/clock?shift=$_' >\$OUT\n" . OssTest::detect_sql("k$_", 'everykey') . ";\n" }
  (5000, -5000, 0);
{
	local %ENV = (%ENV, $oss->environment, OUT => '/dev/null');
	$t->ok($sql);
}
is($oss->count('label_answers'), 3, 'a clock that is set twice: labels each time');
is($t->requests, 6, 'corrected at each change');
$oss->control('/reset');
$t->fault(code => 'RequestTimeTooSkewed', status => 403);
($outcome) = calls('a');
is($outcome->{sqlstate}, '28000', 'a clock that can not be corrected: 28000');
is($t->requests, 2, 'is tried once more, not for ever');
is($oss->count('label_answers'), 0, 'without labels');

# ---- this machine's clock is set while a request waits for its next attempt ----

sub set_clock
{
	open my $file, '>', "$clock.new" or die $!;
	print $file "$_[0]\n";
	close $file;
	rename "$clock.new", $clock or die $!;
}

# what is signed after the jump is refused once, for the service's clock stays
for my $jump (7200, -7200)
{
	$t->fault(code => 'SlowDown', status => 503, times => 1, header => 'Retry-After: 1');
	my $run = $t->begin(OssTest::detect_sql('a', 'everykey'));
	ok($oss->wait_count(code_SlowDown => 1), "clock set by $jump s: a request waits");
	set_clock($jump);
	ok($oss->wait_count(label_answers => 1), "clock set by $jump s: it goes on when its wait is over");
	set_clock(0);
	my (undef, $err) = $t->finish($run);
	is($err, '', "clock set by $jump s: with labels");
}

# ---- what is remembered does not count against max_attempts ----

$t->server(max_attempts => 1);
$oss->control('/reset');
$oss->control('/clock?shift=4000');
($outcome) = calls('a');
ok($outcome->{rows}, 'a clock is corrected with max_attempts 1');
$oss->control('/reset');

done_testing();
