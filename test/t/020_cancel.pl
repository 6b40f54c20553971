# Cancel, statement_timeout, terminate, fast shutdown, DROP DATABASE elsewhere
# and promotion while a request is in each of its phases: at once, with the
# right SQLSTATE, the session usable, nothing left behind.
#
# CANCEL_ROUNDS sets how many cancelled requests must leave nothing (10000 for
# the long run).

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time sleep);

use lib 'test/perl';
use OssTest qw(literal);

my $rounds = $ENV{CANCEL_ROUNDS} // 400;
my $at_once = 0.2 * OssServer::patience();

my $t = OssTest->new(
	init => { allows_streaming => 1 },
	conf => "max_connections = 40\nwal_level = replica\n");
my $oss = $t->{oss};
my $node = $t->{node};

$t->names('silent.test' => 'silent');
my %slow = (timeout_ms => 60000, connect_timeout_ms => 60000, max_attempts => 1, addressing => 'path');
my %phase = (
	dns => { endpoint => 'https://silent.test', %slow },
	connect => { endpoint => 'https://127.0.0.1:' . $t->full_port, %slow },
	tls => { endpoint => 'https://127.0.0.1:' . $t->mute_port, %slow },
	header => {%slow},
	body => {%slow});
my @phases = qw(dns connect tls header body);
$t->server(name => $_, %{ $phase{$_} }) for @phases;
$oss->fault(key => 'header', kind => 'hang');
$oss->fault(key => 'body', kind => 'hang-body', bytes => 20);

# SQL of a request that gets as far as a phase and stays there.
sub stuck { return "SELECT count(*) FROM oss_labels.detect('everykey', '$_[0]', server => '$_[0]');\n" }

my $usable = "SELECT 'usable ' || count(*) FROM oss_labels.detect('examplebucket', 'example.jpg', server => 'oss');\n";

# Wait until n sessions wait for a request.
sub wait_stuck
{
	my ($n, $where) = @_;
	my $stuck = q{SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Extension' AND query LIKE '%detect(''everykey%'};
	$t->wait_for("$n waiting sessions",
		sub { ($where // $node)->safe_psql('postgres', $stuck) == $n });
	return;
}

# Return the process of the one session that waits; never anything else, for
# it is going to be sent a signal.
sub pid_of_stuck
{
	my $pid = $node->safe_psql('postgres',
		q{SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Extension' AND query LIKE '%detect(''everykey%'});
	die "no process id: \"$pid\"" unless $pid =~ /^[1-9]\d+$/;
	return $pid;
}

# Run an attempt until it is fast enough, three times at most: others use this
# machine too.  Returns the shortest time.
sub fastest
{
	my ($attempt) = @_;
	my $best = 1e9;
	for (1 .. 3)
	{
		my $took = $attempt->();
		$best = $took if $took < $best;
		last if $best <= $at_once;
	}
	return $best;
}

# ---- cancel and terminate ----

for my $phase (@phases)
{
	my ($out, $err);
	my $took = fastest(sub {
		my $run = $t->begin(stuck($phase) . $usable);
		wait_stuck(1);
		my $pid = pid_of_stuck();
		$t->mark($run);
		kill 'INT', $pid;
		($out, $err, my $took) = $t->finish($run);
		return $took;
	});
	cmp_ok($took, '<=', $at_once, "$phase: cancelled at once");
	like($err, qr/ERROR:  57014: canceling statement due to user request/, "$phase: 57014");
	is($out, "usable 2\n", "$phase: the session is usable after a cancel");

	$took = fastest(sub {
		my $run = $t->begin(stuck($phase) . $usable);
		wait_stuck(1);
		my $pid = pid_of_stuck();
		$t->mark($run);
		kill 'TERM', $pid;
		($out, $err, my $took) = $t->finish($run);
		return $took;
	});
	cmp_ok($took, '<=', $at_once, "$phase: terminated at once");
	like($err, qr/FATAL:  57P01: terminating connection due to administrator command/, "$phase: 57P01");
}
is($oss->count('label_in_flight'), 0, 'nothing is in flight at the service')
  if $oss->wait_count('label_in_flight', 0, 5);

# ---- a request that is stuck holds up no other of its process ----

for my $phase (@phases)
{
	my $begun = time;
	my $run = $t->begin("SELECT count(*) FROM (VALUES (1, 'oss'), (2, '$phase'), (3, 'oss')) v(i, s),"
		  . " LATERAL oss_labels.try_detect('everykey', CASE s WHEN 'oss' THEN '$phase-' || i ELSE s END,"
		  . " server => s::name);\n");
	$t->wait_for("a request beside one in $phase", sub { $oss->count_key('everykey', "$phase-3") == 1 });
	cmp_ok(time - $begun, '<', 3 * OssServer::patience(), "$phase: others go on");
	wait_stuck(1);
	kill 'INT', pid_of_stuck();
	my ($out, $err) = $t->finish($run);
	like($err, qr/ERROR:  57014/, "$phase: cancelled with others of its query");
}

# ---- statement_timeout: in each phase, again and again, leaving nothing ----

# What a session has: descriptors, bytes of memory contexts, pages, threads.
my $census = q{
SELECT 'memory ' || sum(used_bytes) FROM pg_backend_memory_contexts;
\! echo fds $(ls /proc/$BACKEND/fd | wc -l)
\! awk '/^(VmRSS|Threads)/ {print $1, $2}' /proc/$BACKEND/status
};
my $begin = "SELECT pg_backend_pid() AS pid \\gset\n\\setenv BACKEND :pid\n" . $usable;

sub census
{
	my ($out) = @_;
	my @found;
	push @found, { memory => $1, fds => $2, rss => $3, threads => $4 }
	  while $out =~ /^memory (\d+)\nfds (\d+)\nVmRSS: (\d+)\nThreads: (\d+)$/mg;
	return @found;
}

my @runs;
for my $phase (@phases)
{
	# a thread of the resolver outlives its request by the ten seconds that
	# the silent resolver takes
	my $n = $phase eq 'dns' ? 10 : $rounds;
	my $warm = $phase eq 'dns' ? 2 : 50;
	my $sql = $begin . "SET statement_timeout = '200ms';\n\\timing on\n" . stuck($phase)
	  . "\\timing off\nSET statement_timeout = '10ms';\n" . stuck($phase) x $warm
	  . "SET statement_timeout = 0;\n$census"
	  . "SET statement_timeout = '10ms';\n" . stuck($phase) x $n
	  . "SET statement_timeout = 0;\n$census$usable";
	push @runs, [ $phase, 1 + $warm + $n, $t->begin($sql) ];
}
for (@runs)
{
	my ($phase, $n, $run) = @$_;
	my ($out, $err) = $t->finish($run);
	my ($before, $after) = census($out);
	my $timeouts = () = $err =~ /ERROR:  57014: canceling statement due to statement timeout/g;
	is($timeouts, $n, "$phase: $n times 57014 by statement_timeout");
	my ($ms) = $out =~ /^Time: ([\d.]+) ms/m;
	cmp_ok($ms, '<=', 200 + 1000 * $at_once, "$phase: timed out at once");
	like($out, qr/usable 2\n\z/, "$phase: the session is usable after $n timeouts");
	if ($phase ne 'dns')
	{
		cmp_ok($after->{fds}, q{<=}, $before->{fds}, "$phase: no descriptor left behind");
		is($after->{threads}, 1, "$phase: no thread left behind");
	}
	cmp_ok($after->{fds}, '<', 120, "$phase: few descriptors");
	cmp_ok($after->{memory} - $before->{memory}, '<=', 20000, "$phase: no memory left behind");
	cmp_ok($after->{rss} - $before->{rss}, '<=', 1000, "$phase: the process does not grow")
	  if OssServer::sizes_tell;
	note("$phase: fds $before->{fds} -> $after->{fds}, memory $before->{memory} -> $after->{memory},"
		  . " RSS $before->{rss} -> $after->{rss} kB");
}

# ---- DROP DATABASE of an unrelated one ----

my @alone = OssServer::drop_database_seconds($node);
my @stuck = map { $t->begin(stuck($_)) } @phases;
wait_stuck(scalar @phases);
my ($took) = OssServer::drop_database_seconds($node);
cmp_ok($took, '<', 2 * $alone[-1] + 0.3 * OssServer::patience(),
	sprintf 'an unrelated DROP DATABASE does not wait for requests: %.2f s, without %.2f s', $took, $alone[-1]);
is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Extension' AND query LIKE '%detect(''everykey%'}),
	scalar @phases, 'and does not disturb them');

# ---- fast shutdown ----

my ($postmaster) = PostgreSQL::Test::Utils::slurp_file($node->data_dir . '/postmaster.pid') =~ /^(\d+)/;
die 'no postmaster' unless ($postmaster // '') =~ /^[1-9]\d+$/;
my $before_stop = time;
$t->mark($_) for @stuck;
kill 'INT', $postmaster;
for my $i (0 .. $#phases)
{
	my ($out, $err, $took) = $t->finish($stuck[$i]);
	like($err, qr/FATAL:  57P01/, "$phases[$i]: ended by a fast shutdown");
	cmp_ok($took, '<=', 2 * $at_once, "$phases[$i]: at once");
}
$node->stop('fast', fail_ok => 1);
cmp_ok(time - $before_stop, '<', 10, 'the fast shutdown is fast');
$t->start;

# ---- a standby, which is promoted ----

my $standby = PostgreSQL::Test::Cluster->new('standby');
$node->backup('base');
$standby->init_from_backup($node, 'base', has_streaming => 1);
{
	local %ENV = (%ENV, %{ $t->{env} });
	$standby->start;
}
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
is($standby->safe_psql('postgres', $usable), 'usable 2', 'a standby gets labels');
@stuck = map { $t->begin(stuck($_) . $usable, node => $standby) } @phases;
wait_stuck(scalar @phases, $standby);
my $begun = time;
$standby->promote;
cmp_ok(time - $begun, '<', 5, 'requests in flight do not delay a promotion');
is($standby->safe_psql('postgres', 'SELECT pg_is_in_recovery()'), 'f', 'promoted');
wait_stuck(scalar @phases, $standby);
$t->mark($_) for @stuck;
$standby->safe_psql('postgres',
	q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Extension' AND query LIKE '%detect(''everykey%'});
for my $i (0 .. $#phases)
{
	my ($out, $err, $took) = $t->finish($stuck[$i]);
	like($err, qr/ERROR:  57014/, "$phases[$i]: cancelled after the promotion");
	is($out, "usable 2\n", "$phases[$i]: the session is usable");
}

done_testing();
