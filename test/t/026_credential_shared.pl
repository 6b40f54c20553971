# Fetched keys are shared by the processes of a cluster that preloads the
# library: one fetch for all who may use the mapping, and for nobody else.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use HTTP::Tiny;
use IPC::Run ();
use Test::More;
use Time::HiRes qw(time);

use lib 'test/perl';
use CredentialServer;
use CredentialTest;

my $test = CredentialTest->new(
	conf => "shared_preload_libraries = 'oss_labels'\nmax_connections = 90\noss_labels.worker = off\n");
my $server = $test->{credentials};
my $node = $test->{node};
my $call = $test->detect_sql;
my %ecs = (credential_source => 'ecs_ram_role', role_name => 'TestRole');
my $script = PostgreSQL::Test::Utils::tempdir . '/call.sql';
append_to_file($script, $call);
my @running;
my $files = 0;

# Keys STS.1, STS.2, ... are given out one after another; OSS knows them.  The
# mapping is made anew: nobody has a key of it.
sub start_anew
{
	my (%options) = (%ecs, @_);
	$test->oss('/reset');
	$server->answer('key');
	$server->reset_counts;
	$server->issue(id => 'STS.%d', secret => 'secret-%d', token => 'token-%d');
	$test->oss_key("STS.$_", "secret-$_", "token-$_") for 1 .. 9;
	$test->psql_ok($test->create_mapping(%options));
	return;
}

# So many sessions, all at once, ask once each.
sub sessions
{
	my ($n) = @_;
	my ($out, $err) = ('', '');
	IPC::Run::run(
		[ 'pgbench', '-n', '-c', $n, '-j', 2, '-t', 1, '-f', $script, $node->connstr('postgres') ],
		'>', \$out, '2>', \$err);
	my ($done) = $out =~ m{transactions actually processed: (\d+)/};
	return ($done // 0, $err);
}

# A session that runs this in the background.
sub session
{
	my ($sql) = @_;
	my %session = (out => '', err => '');
	my $file = PostgreSQL::Test::Utils::tempdir . '/' . ++$files . '.sql';
	append_to_file($file, $sql);
	$session{run} = IPC::Run::start(
		[ 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-d', $node->connstr('postgres'), '-f', $file ],
		'<', '/dev/null', '>', \$session{out}, '2>', \$session{err});
	push @running, $session{run};
	return \%session;
}

# What a session gave in the end.
sub result
{
	my ($session) = @_;
	IPC::Run::finish($session->{run});
	chomp(my $text = $session->{out} . $session->{err});
	return $text;
}

# Wait until a condition holds.
sub await
{
	my ($what, $condition) = @_;
	my $until = time + 60;
	until ($condition->())
	{
		die "no $what" if time > $until;
		Time::HiRes::sleep(0.01);
	}
	return;
}

sub await_fetch { my $n = shift; await("fetch $n", sub { $server->count('key') >= $n }); return; }

# The backend that runs SQL with this mark, once it is there.
sub backend
{
	my ($mark) = @_;
	my $pid = '';
	await("backend $mark", sub {
		$pid = $test->psql_ok("SELECT pid FROM pg_stat_activity"
			  . " WHERE query LIKE '%$mark%' AND state = 'active' AND pid <> pg_backend_pid()");
		return $pid ne '';
	});
	return $pid;
}

# Which key signed the last so many requests?
sub signed_by { return join ' ', map { /\b(STS\.\d+)\b/ ? $1 : '?' } split /\n/, $test->{oss}->logged($_[0]); }

# ---- one fetch for all ----

start_anew();
$server->answer('key', delay => 1);
my ($done, $err) = sessions(60);
is("$done$err", '60', '60 new sessions have labels');
is($server->count('key'), 1, '60 new sessions: one fetch');
is($test->oss_count('label_requests'), 60, '60 new sessions: a request each');
$node->restart;
($done, $err) = sessions(60);
is("$done$err", '60', 'after a restart');
is($server->count('key'), 2, 'after a restart: one fetch');
$server->answer('key', status => 500);
($done, $err) = sessions(20);
is("$done$err", '20', 'new sessions while the source is down');
is($server->count('key'), 2, 'while the source is down: not asked');

# ---- a fetch that fails, for all ----

start_anew();
$server->answer('key', status => 404, delay => 1);
my @failing = map { session($call) } 1 .. 12;
is(scalar(grep { /ERROR:  28000: .*status 404/s } map { result($_) } @failing),
	12, 'a failed fetch is an error for all who wait');
cmp_ok($server->count('key'), '<=', 2, 'a failed fetch: not one for each');
$server->answer('key');
$test->psql_ok('SELECT pg_catalog.pg_sleep(1.1)');
is(result(session($call)), 't', 'a failed fetch: tried again after a second');

# ---- who fetches ends ----

for my $case (
	[ 'is terminated', sub { $test->psql_ok("SELECT pg_terminate_backend($_[0])") }, 4 ],
	[ 'is cancelled', sub { $test->psql_ok("SELECT pg_cancel_backend($_[0])") }, 4 ],
	[ 'hangs', sub { kill 'STOP', $_[0] }, 10 ])
{
	my ($name, $end, $patience) = @$case;
	start_anew();
	$server->answer('key', delay => 30, times => 1);
	my $first = session("SELECT 'first'; $call");
	await_fetch(1);
	my $pid = backend('oss_labels.detect');
	my @others = map { session("SET oss_labels.server = 'oss'; $call") } 1 .. 5;
	await('waiting sessions', sub {
		$test->psql_ok("SELECT count(*) FROM pg_stat_activity WHERE state = 'active'"
			  . " AND query LIKE '%oss_labels.detect%' AND pid <> pg_backend_pid()") == 6;
	});
	is($server->count('key'), 1, "who fetches $name: others wait");
	my $begin = time;
	$end->($pid);
	is(join(' ', map { result($_) } @others), 't t t t t', "who fetches $name: another takes over");
	cmp_ok(time - $begin, '<', $patience, "who fetches $name: soon");
	is($server->count('key'), 2, "who fetches $name: one more fetch for all the others");
	kill 'CONT', $pid if $name eq 'hangs';
	my $last = result($first);
	$name eq 'hangs'
	  ? is($last, "first\nt", 'who hung takes the key that is there')
	  : like($last, qr/\Afirst\n.*57(?:P01|014)/s, "who fetches $name: its own error");
	is($server->count('key'), 2, "who fetches $name: no other fetch");
}

# A fetch that a session has left unfinished and idle holds nobody up.
start_anew();
$server->answer('key', delay => 30, times => 1);
my $begin;
my $idle = session("SET statement_timeout = 300; $call RESET statement_timeout; SELECT pg_sleep(20);");
await_fetch(1);
$begin = time;
is(result(session($call)), 't', 'a session left its fetch');
cmp_ok(time - $begin, '<', 4, 'a session left its fetch: another begins soon');
$test->psql_ok("SELECT pg_terminate_backend(" . backend('pg_sleep') . ')');
result($idle);

# Those who wait may be cancelled, and have their deadline.
start_anew();
$server->answer('key', delay => 2, times => 1);
my $fetching = session($call);
await_fetch(1);
$begin = time;
like(result(session("SET statement_timeout = 500; $call")), qr/57014/, 'waiting is cancelled');
cmp_ok(time - $begin, '<', 1.8, 'waiting is cancelled: at once');
is(result($fetching), 't', 'waiting is cancelled: the fetch goes on');
is($server->count('key'), 1, 'waiting is cancelled: one fetch');

# ---- a key that is refused ----

start_anew();
my @old = map { session_in_steps($call) } 1 .. 2;
is($server->count('key'), 1, 'two sessions with one key');
$test->oss('/credential?id=STS.1&secret=gone&token=gone');
$test->oss('/fault?code=SecurityTokenExpired&times=1');
is(step($old[0], $call), 't', 'its key has expired: a new one');
is($server->count('key'), 2, 'its key has expired: fetched');
$test->oss('/fault?code=InvalidAccessKeyId&times=1');
is(step($old[1], $call), 't', 'its key is unknown: the new one');
is(result(session($call)), 't', 'a new session');
is($server->count('key'), 2, 'the new key is shared');
is(signed_by(2), 'STS.2 STS.2', 'the new key is used');

# A source that gives one bad key again and again.
start_anew();
$server->issue(id => 'testid', secret => 'wrong', token => 'bad');
like(result(session($call)), qr/28000/, 'a bad key');
is($server->count('key'), 2, 'a bad key: fetched again once');
like(result(session($call)), qr/28000/, 'a bad key for another session');
is($server->count('key'), 2, 'a bad key: not fetched for each session');

# ---- what changes, and who may ----

start_anew();
step($_, $call) for @old;
is($server->count('key'), 1, 'before ALTER USER MAPPING');
$test->psql_ok("ALTER USER MAPPING FOR CURRENT_USER SERVER oss OPTIONS (ADD disable_imds_v1 'false')");
is(step($_, $call), 't', 'after ALTER USER MAPPING') for @old;
is(result(session($call)), 't', 'after ALTER USER MAPPING, a new session');
is($server->count('key'), 2, 'after ALTER USER MAPPING: one fetch');

# What a transaction may yet roll back is its own.
my $tentative = session_in_steps("BEGIN; ALTER USER MAPPING FOR CURRENT_USER SERVER oss OPTIONS (SET disable_imds_v1 'true'); $call");
is($server->count('key'), 3, 'a mapping altered, not committed: a key of its own');
is(step($old[0], $call), 't', 'beside it');
is(result(session($call)), 't', 'beside it, a new session');
is(step($tentative, "ROLLBACK; $call"), 't', 'rolled back');
is($server->count('key'), 3, 'rolled back: the shared key');

# Roles with mappings of their own, though the options are the same.
$test->psql_ok('CREATE ROLE ann LOGIN; CREATE ROLE bob LOGIN;'
	  . join '', map { "CALL oss_labels.grant_paying('$_'); GRANT USAGE ON FOREIGN SERVER oss TO $_;" } qw(ann bob));
start_anew();
$test->psql_ok($test->create_mapping(%ecs, superuser_required => 'false') =~ s/FOR CURRENT_USER/FOR $_/gr)
  for qw(ann bob);
for my $role (qw(ann bob ann bob))
{
	is(result(session("SET SESSION AUTHORIZATION $role; $call")), 't', "$role has labels");
}
is($server->count('key'), 2, 'a fetch for each of two mappings');
is(signed_by(4), 'STS.1 STS.2 STS.1 STS.2', 'nobody has the key of another mapping');

# The mapping of PUBLIC is for all, but for superusers alone if it says so.
$test->psql_ok('DROP USER MAPPING FOR ann SERVER oss; DROP USER MAPPING FOR bob SERVER oss;'
	  . 'DROP USER MAPPING FOR CURRENT_USER SERVER oss;'
	  . "CREATE USER MAPPING FOR PUBLIC SERVER oss OPTIONS (credential_source 'ecs_ram_role', superuser_required 'false');");
is(result(session("SET SESSION AUTHORIZATION $_; $call")), 't', "$_ by the mapping of PUBLIC") for qw(ann bob);
is(result(session("$call SET SESSION AUTHORIZATION ann; $call SET SESSION AUTHORIZATION bob; $call")),
	"t\nt\nt", 'three roles in one session');
is($server->count('key'), 3, 'the mapping of PUBLIC: one fetch');
$test->psql_ok("ALTER USER MAPPING FOR PUBLIC SERVER oss OPTIONS (SET superuser_required 'true')");
is(result(session($call)), 't', 'a superuser by the mapping of PUBLIC');
like(result(session("SET SESSION AUTHORIZATION ann; $call")), qr/ERROR:  42501: only superusers/,
	'no key for who may not use the mapping');
$test->psql_ok('DROP USER MAPPING FOR PUBLIC SERVER oss');
$test->psql_ok('CREATE DATABASE copy TEMPLATE template0');

# Another metadata service, as a superuser's session may set it.
start_anew();
my $elsewhere = CredentialServer->new;
$elsewhere->issue(id => 'testid', secret => 'testsecret');
is(result(session($call)), 't', 'the metadata service of all');
$elsewhere->issue(id => 'stsid', secret => 'stssecret', token => 'ststoken');
is(result(session("LOAD 'oss_labels'; SET oss_labels.metadata_endpoint = '" . $elsewhere->url . "'; $call")),
	't', 'another one');
is($elsewhere->count('key'), 1, 'another one: is asked');
is(result(session($call)), 't', 'the metadata service of all again');
is(signed_by(1), 'STS.1', 'a key of another service is not shared');

# ---- keys from a file ----

my $config = PostgreSQL::Test::Utils::tempdir . '/config.json';
sub config_file
{
	my ($id, $secret) = @_;
	open my $file, '>', "$config.new" or die;
	print $file qq({"profiles":[{"name":"default","mode":"AK","access_key_id":"$id","access_key_secret":"$secret"}]});
	close $file;
	chmod 0600, "$config.new";
	rename "$config.new", $config;
	return;
}
start_anew();
$test->oss_key('old', 'old-secret');
config_file('old', 'old-secret');
$test->psql_ok($test->create_mapping(credential_source => 'config_file', config_file => $config));
is(result(session($call)), 't', 'a key from a file');
config_file('testid', 'testsecret');
is(result(session($call)), 't', 'another key in the file');
like($test->{oss}->logged(1), qr/\btestid\b/, 'a new session reads the file itself');

# ---- what is dropped is gone ----

SKIP:
{
	skip 'memory of the server cannot be read', 6 unless shared_memory_has('oss_labels') >= 0;
	start_anew();
	$server->issue(id => 'STS.%d', secret => 'topsecret-%d', token => 'toptoken-%d');
	$test->oss_key('STS.1', 'topsecret-1', 'toptoken-1');
	is(result(session($call)), 't', 'a key to be dropped');
	cmp_ok(shared_memory_has('topsecret-1'), '>', 0, 'it is in shared memory');
	$test->psql_ok('BEGIN; DROP SERVER oss CASCADE; ROLLBACK;');
	cmp_ok(shared_memory_has('topsecret-1'), '>', 0, 'a DROP that is rolled back leaves it');
	$test->psql_ok('DROP USER MAPPING FOR CURRENT_USER SERVER oss');
	is(shared_memory_has('topsecret-1'), 0, 'DROP USER MAPPING wipes it');

	$test->oss_key('STS.2', 'topsecret-2', 'toptoken-2');
	$test->psql_ok($test->create_server . $test->create_mapping(%ecs) . $call, database => 'copy');
	cmp_ok(shared_memory_has('topsecret-2'), '>', 0, 'a key of another database');
	$test->psql_ok('DROP DATABASE copy');
	is(shared_memory_has('topsecret-2'), 0, 'DROP DATABASE wipes it');
}

# ---- the clock ----

start_anew();
$test->oss('/clock?shift=3600');
is(result(session($call)), 't', 'a wrong clock');
is(result(session($call)), 't', 'a wrong clock, another session');
is($test->oss_count('code_RequestTimeTooSkewed'), 1, 'a wrong clock: refused once for all sessions');
my $url = result(session("SELECT oss_labels.presign('examplebucket', 'example.jpg');"));
my $answer = HTTP::Tiny->new(timeout => 10)->get($url);
is($answer->{status}, 200, 'a wrong clock: a new session presigns a good URL');
$test->oss('/clock?shift=0');

IPC::Run::kill_kill($_) for grep { $_->pumpable } @running;
done_testing();

# A session that stays, after it has run this.
sub session_in_steps
{
	my ($sql) = @_;
	my %session = (in => '', out => '', err => '');
	$session{run} = IPC::Run::start(
		[ 'psql', '-XAtq', '-d', $node->connstr('postgres') ],
		'<', \$session{in}, '>', \$session{out}, '2>', \$session{err},
		IPC::Run::timeout(120));
	push @running, $session{run};
	step(\%session, $sql);
	return \%session;
}

# What it gives for this.
sub step
{
	my ($session, $sql) = @_;
	@$session{qw(out err)} = ('', '');
	$session->{in} .= "$sql\n\\echo done\n";
	IPC::Run::pump($session->{run}) until $session->{out} =~ /^done$/m;
	return $session->{out} =~ s/\s*^done\n//mr . $session->{err};
}

# How often is a text in the server's shared memory?  -1: it cannot be read.
sub shared_memory_has
{
	my ($text) = @_;
	my $pid = ($node->data_dir && slurp_file($node->data_dir . '/postmaster.pid') =~ /\A(\d+)/)[0];
	my $n = 0;
	open my $maps, '<', "/proc/$pid/maps" or return -1;
	open my $memory, '<:raw', "/proc/$pid/mem" or return -1;
	for my $line (<$maps>)
	{
		my ($from, $to) = $line =~ m{^([0-9a-f]+)-([0-9a-f]+) rw-s .*/dev/zero} or next;
		($from, $to) = (hex $from, hex $to);
		my $rest = '';
		sysseek $memory, $from, 0;
		while ($from < $to)
		{
			my $got = sysread $memory, my $part, 1 << 20 or last;
			$from += $got;
			$rest = substr($rest, -length $text) . $part;
			$n++ while $rest =~ /\Q$text\E/g;
		}
	}
	return $n;
}
