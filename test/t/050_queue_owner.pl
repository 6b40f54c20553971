# The extension's owner need not be a superuser: the worker, process_queue() and
# who looks after the queue go on when it is one no more.
use strict;
use warnings;
use lib 'test/perl';
use QueueTest;
use Test::More;
use Time::HiRes qw(time);

# what credential_source 'environment' finds
@ENV{qw(OSS_ACCESS_KEY_ID OSS_ACCESS_KEY_SECRET)} = qw(testid testsecret);
my $test = QueueTest->new(name => 'owner', bare => 1, conf => "oss_labels.worker = off\n");
my $node = $test->{node};
my $mapping = "CREATE USER MAPPING FOR %s SERVER oss OPTIONS (access_key_id 'testid', access_key_secret 'testsecret');";

# Run SQL as a role.
sub as
{
	my ($role, $sql) = @_;
	return $test->sql("SET ROLE $role; $sql");
}

$test->sql('CREATE ROLE dba SUPERUSER; SET ROLE dba; CREATE EXTENSION oss_labels;'
	  . " CREATE SERVER oss FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', endpoint '" . $test->{oss}->http_endpoint . "');"
	  . 'CREATE ROLE app; GRANT USAGE ON SCHEMA oss_labels TO app; GRANT EXECUTE ON FUNCTION oss_labels.enqueue, oss_labels.retry_failed TO app;'
	  . ' GRANT EXECUTE ON PROCEDURE oss_labels.process_queue TO app; GRANT USAGE ON FOREIGN SERVER oss TO app;'
	  . sprintf($mapping, 'app') . sprintf($mapping, 'dba'));
$test->sql('ALTER ROLE dba NOSUPERUSER');

# ---- process_queue() ----

as('app', "SELECT oss_labels.enqueue('tenlabels', 'of app'); SELECT oss_labels.enqueue('examplebucket', 'nosuch.jpg')");
as('dba', "SELECT oss_labels.enqueue('tenlabels', 'of dba')");
as('app', 'CALL oss_labels.process_queue()');
is($test->sql("SELECT string_agg(key, ',' ORDER BY key) FROM oss_labels.image"), 'of app,of dba', 'process_queue() tags');
is($test->sql('SELECT count(*) FROM oss_labels.failed_job'), '1', 'and notes what failed');
is(as('dba', 'SELECT oss_labels.retry_failed()'), '1', 'the owner retries any role\'s jobs');
as('dba', 'CALL oss_labels.process_queue()');

# a wrong mapping pauses, and its being altered ends that
$test->sql("ALTER USER MAPPING FOR app SERVER oss OPTIONS (SET access_key_secret 'wrong')");
as('app', "SELECT oss_labels.enqueue('tenlabels', 'later')");
as('dba', 'CALL oss_labels.process_queue()');
is($test->sql('SELECT count(*) FROM oss_labels.active_pause'), '1', 'a wrong key pauses');
as('dba', 'CALL oss_labels.process_queue()');
is($test->sql('SELECT count(*) FROM oss_labels.active_pause'), '1', 'and it stays');
$test->sql("CREATE ROLE bystander; CREATE USER MAPPING FOR bystander SERVER oss OPTIONS (access_key_id 'a', access_key_secret 'b')");
as('dba', 'CALL oss_labels.process_queue()');
is($test->sql('SELECT count(*) FROM oss_labels.active_pause'), '1', 'whatever becomes of other roles\' mappings');
$test->sql("ALTER USER MAPPING FOR app SERVER oss OPTIONS (SET access_key_secret 'testsecret')");
as('dba', 'CALL oss_labels.process_queue()');
is($test->sql("SELECT count(*) FROM oss_labels.image WHERE key = 'later'"), '1', 'until the mapping is altered');
is($test->sql('SELECT * FROM oss_labels.active_pause'), '', 'the pause is over');

# ---- leases: those of the living are left alone, those of the dead are freed ----

$test->sql("INSERT INTO oss_labels.job (requester, requester_name, server, bucket, key, lease, leased_until, attempts)"
	  . " VALUES ('app'::regrole, 'app', 'oss', 'tenlabels', 'orphan', 4194304::bigint * 1000 + 7, clock_timestamp() + interval '1 hour', 1);"
	  . ' ALTER SYSTEM SET oss_labels.worker = on');
$node->restart;
ok($test->wait_sql("SELECT count(*) FROM oss_labels.image WHERE key = 'orphan'", '1'), 'the worker frees a dead process\'s job');
$test->reset;
$test->{oss}->fault(delay => 3000, prefix => 'slow');
as('app', "SELECT count(oss_labels.enqueue('tenlabels', 'slow' || i)) FROM generate_series(1, 8) i");
ok($test->wait_sql('SELECT count(*) FROM oss_labels.job WHERE lease IS NOT NULL', '8'), 'it has jobs in hand');
as('app', 'CALL oss_labels.process_queue()') for 1 .. 3;
is($test->sql('SELECT count(*) FROM oss_labels.job WHERE lease IS NOT NULL AND attempts = 1'), '8', 'nobody takes them from it');
ok($test->wait_empty, 'it tags them');
is($test->count, 8, 'each for one request');
unlike($test->log, qr/permission denied/, 'no error in the log');

# ---- what only superusers may use, and mappings and owners that change: a pause,
# ---- which ends at once with what it was for

my $n = 0;
my $paused = q{SELECT count(*) FROM oss_labels.active_pause WHERE server = 'own' AND requester = 'app'::regrole};

# Whatever breaks it: all jobs wait, none is asked for nor fails; mended, they go.
sub pauses
{
	my ($name, $break, $mend, $reason) = @_;
	$test->reset;
	$test->sql('TRUNCATE oss_labels.job, oss_labels.failed_job, oss_labels.active_pause');
	$test->sql($break);
	$n++;
	as('app', "SELECT count(oss_labels.enqueue('tenlabels', 'own$n-' || i, server => 'own')) FROM generate_series(1, 100) i");
	ok($test->wait_sql($paused, '1'), "$name: the server is paused for that role");
	like($test->sql("SELECT reason FROM oss_labels.active_pause WHERE server = 'own'"), $reason, "$name: the pause says why");
	is($test->sql('SELECT count(*) FROM oss_labels.job') . ' ' . $test->sql('SELECT count(*) FROM oss_labels.failed_job'), '100 0', "$name: no job fails");
	my $asked = $test->count;
	cmp_ok($asked, '<=', 64, "$name: few requests");
	my $begun = time;
	$test->sql($mend);
	ok($test->wait_empty, "$name: mended, they are done");
	cmp_ok(time - $begun, '<', 4 * OssServer::patience(), "$name: at once");
	is($test->sql("SELECT count(*) FROM oss_labels.image WHERE key LIKE 'own$n-%'"), '100', "$name: and tagged");
	return;
}

my $endpoint = $test->{oss}->http_endpoint;
my $machine = q{CREATE USER MAPPING FOR app SERVER own OPTIONS (credential_source 'environment')};
$test->sql("CREATE SERVER own FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', endpoint '$endpoint');"
	  . "GRANT USAGE ON FOREIGN SERVER own TO app; ALTER ROLE app SUPERUSER; $machine");
pauses('a role that is superuser no more', 'ALTER ROLE app NOSUPERUSER', 'ALTER ROLE app SUPERUSER', qr/only superusers may use this user mapping/);
pauses('an owner who is no superuser', 'ALTER SERVER own OWNER TO dba', 'ALTER SERVER own OWNER TO CURRENT_USER', qr/must be owned by a superuser/);
pauses('an owner, mended by REASSIGN OWNED',
	'CREATE ROLE late; GRANT USAGE ON FOREIGN DATA WRAPPER oss_labels TO late; ALTER SERVER own OWNER TO late',
	'REASSIGN OWNED BY late TO CURRENT_USER', qr/must be owned by a superuser/);
pauses('an owner who is superuser no more',
	'CREATE ROLE boss SUPERUSER; ALTER SERVER own OWNER TO boss; ALTER ROLE boss NOSUPERUSER',
	'ALTER ROLE boss SUPERUSER', qr/must be owned by a superuser/);
$test->sql('ALTER SERVER own OWNER TO CURRENT_USER; ALTER ROLE app NOSUPERUSER; DROP USER MAPPING FOR app SERVER own');
pauses('a wrong mapping, dropped for that of PUBLIC',
	q{CREATE USER MAPPING FOR PUBLIC SERVER own OPTIONS (access_key_id 'testid', access_key_secret 'testsecret');
	CREATE USER MAPPING FOR app SERVER own OPTIONS (access_key_id 'testid', access_key_secret 'wrong')},
	'DROP USER MAPPING FOR app SERVER own', qr/signature/);
pauses('no mapping', 'DROP USER MAPPING FOR PUBLIC SERVER own', sprintf($mapping, 'app') =~ s/SERVER oss/SERVER own/r, qr/has no user mapping/);

# who may not use the server at all has no set-up to be mended
$test->sql('REVOKE USAGE ON FOREIGN SERVER own FROM app');
$test->reset;
$test->sql("INSERT INTO oss_labels.job (requester, requester_name, server, bucket, key) SELECT 'app'::regrole, 'app', 'own', 'tenlabels', 'none' || i FROM generate_series(1, 3) i; SELECT oss_labels.announce()");
ok($test->wait_sql(q{SELECT count(*) FROM oss_labels.failed_job WHERE key LIKE 'none%'}, '3'), 'no USAGE: jobs fail');
is($test->count, 0, 'no USAGE: without a request');

done_testing;
