# Who sees what of the queue: roles their own jobs, failures and pauses, by views
# that no leaky function gets behind; pg_monitor everything; and members of
# pg_read_all_data dump it.
use strict;
use warnings;
use lib 'test/perl';
use PostgreSQL::Test::Utils;
use QueueTest;
use Test::More;

my $test = QueueTest->new(name => 'sight');
my $node = $test->{node};

$test->sql(join '', map { "CREATE ROLE $_; CALL oss_labels.grant_paying('$_'); GRANT USAGE ON FOREIGN SERVER oss TO $_;"
	  . " GRANT EXECUTE ON FUNCTION oss_labels.enqueue, oss_labels.rate_status, oss_labels.worker_status TO $_;"
	  . " GRANT EXECUTE ON PROCEDURE oss_labels.process_queue TO $_;"
	  . " GRANT SELECT ON oss_labels.queue, oss_labels.own_job, oss_labels.own_failed_job, oss_labels.own_pause, oss_labels.worker TO $_;" } qw(a b));
$test->sql("CREATE USER MAPPING FOR a SERVER oss OPTIONS (access_key_id 'testid', access_key_secret 'wrong');"
	  . " CREATE USER MAPPING FOR b SERVER oss OPTIONS (access_key_id 'testid', access_key_secret 'testsecret');"
	  . ' CREATE ROLE dumper LOGIN; GRANT pg_read_all_data TO dumper; CREATE ROLE monitor; GRANT pg_monitor TO monitor;'
	  . " GRANT CREATE ON SCHEMA public TO b; ALTER SERVER oss OPTIONS (ADD timeout_ms '600000')");

$test->{oss}->control("/put?bucket=unattached&key=$_", 'x') for 'secret%20in%20another%20bucket', 'theirs';

# Run SQL as a role.
sub as
{
	my ($role, $sql) = @_;
	return $test->sql("SET ROLE $role; $sql");
}

# All that a role can read of the queue.
sub sight
{
	my ($role) = @_;
	return as($role, "SELECT 'queue', q FROM oss_labels.queue q; SELECT 'job', j FROM oss_labels.own_job j;"
		  . " SELECT 'failed', f FROM oss_labels.own_failed_job f; SELECT 'pause', p FROM oss_labels.own_pause p;"
		  . " SELECT 'worker', w FROM oss_labels.worker w; SELECT 'flow', f FROM oss_labels.rate_status() f");
}

# ---- one role's pause is nobody else's ----

as('a', "SELECT oss_labels.enqueue('tenlabels', 'secret of a')");
ok($test->wait_sql('SELECT count(*) FROM oss_labels.active_pause', '1'), 'the wrong key of a pauses');
as('a', "SELECT oss_labels.enqueue('unattached', 'secret in another bucket')");
$test->{oss}->fault(kind => 'hang', key => 'work of b');
as('b', "SELECT oss_labels.enqueue('tenlabels', 'work of b')");
ok($test->wait_sql('SET ROLE b; SELECT in_flight, paused IS NULL FROM oss_labels.queue', '1|t'), 'the job of b is in flight and not paused');
unlike(sight('b'), qr/secret|unattached|does not match/, 'b sees nothing of a');
like(sight('a'), qr/"?role a: [^|]*secret of a.*does not match/, 'a sees its pause');
like(sight('monitor'), qr/role a: .*secret of a.*job\|.*work of b/s, 'pg_monitor sees all');
is($test->sql('SELECT count(*) FROM oss_labels.own_job'), '3', 'so does the owner');
$test->{oss}->control('/unfault');
# it is asked for again by another worker
$test->sql("SELECT pg_terminate_backend(pid) FROM oss_labels.worker WHERE database = 'postgres' AND pid IS NOT NULL");
ok($test->wait_sql("SELECT count(*) FROM oss_labels.image WHERE key = 'work of b'", '1'), 'and b is served');

# ---- a pause that concerns everybody says why without an object ----

$test->sql("ALTER USER MAPPING FOR a SERVER oss OPTIONS (SET access_key_secret 'testsecret')");
ok($test->wait_sql("SELECT count(*) FROM oss_labels.active_pause WHERE bucket = 'unattached'", '1'), 'a bucket without IMM is paused');
is(as('b', 'SELECT count(*) FROM oss_labels.own_pause'), '0', 'b has nothing there and sees no pause');
as('b', "SELECT oss_labels.enqueue('unattached', 'theirs')");
like(sight('b'), qr/pause.*unattached.*IMM/, 'b has a job there and sees why it waits');
unlike(sight('b'), qr/secret/, 'without the object of a');

# ---- nobody gets behind the views ----

$test->sql("INSERT INTO oss_labels.failed_job (job_id, enqueued_at, priority, attempts, requester, requester_name, server, bucket, key, \"sqlstate\", message, detail)"
	  . " VALUES (1000, now(), 0, 5, 'a'::regrole, 'a', 'oss', 'tenlabels', 'secret failure', '58000', 'secret x', 'secret y');"
	  . " INSERT INTO oss_labels.active_pause (server, requester, requester_name, bucket, automatic, reason)"
	  . " VALUES ('oss', 'a'::regrole, 'a', 'tenlabels', true, 'secret reason')");
as('b', 'CREATE FUNCTION public.leak(anyelement) RETURNS boolean COST 0.0000001 LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING $_$%$_$, $1; RETURN true; END $$');
for my $view (qw(queue own_job own_failed_job own_pause))
{
	my ($status, $out, $err) = $node->psql('postgres', "SET ROLE b; SELECT * FROM oss_labels.$view v WHERE public.leak(v::text);"
		  . " SELECT * FROM oss_labels.$view v WHERE public.leak(v.server) AND public.leak(v.bucket)");
	is($status, 0, "$view: read with a leaky function");
	unlike($err . $out, qr/secret/, "$view: it is shown nothing of a");
}
$test->sql("SELECT oss_labels.pause()");
ok($test->wait_sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event ~ 'secret' OR (query ~ 'secret' AND backend_type ~ 'oss_labels')", '0'), 'no activity shows an object');
like($test->sql_error('SET ROLE b; SELECT * FROM oss_labels.job'), qr/42501: permission denied for table job/, 'the table is not for b');
is(as('b', "SELECT count(*) FROM oss_labels.rate_status('oss', 'tenlabels')"), '1', 'the rate of a bucket that b names');
$test->sql('REVOKE USAGE ON FOREIGN SERVER oss FROM b');
is(as('b', "SELECT count(*) FROM oss_labels.rate_status('oss', 'tenlabels')"), '0', 'but not of a server that it may not use');
$test->sql('GRANT USAGE ON FOREIGN SERVER oss TO b');
is(as('b', 'SELECT count(*) FROM oss_labels.worker WHERE last_error IS NOT NULL'), '0', 'errors of the worker are not for b');

# process_queue() runs everybody's jobs, and tells b nothing of a's
$test->sql("ALTER SYSTEM SET oss_labels.worker = off; SELECT pg_reload_conf()");
$test->sql('TRUNCATE oss_labels.active_pause, oss_labels.failed_job, oss_labels.job');
$test->sql("ALTER USER MAPPING FOR a SERVER oss OPTIONS (SET access_key_secret 'wrong')");
ok($test->wait_sql("SHOW oss_labels.worker", 'off'), 'no worker');
as('a', "SELECT oss_labels.enqueue('tenlabels', 'secret of a', max_age => '0')");
my ($status, $out, $err) = $node->psql('postgres', 'SET ROLE b; CALL oss_labels.process_queue()');
is($status, 0, 'b processes the queue');
like($err, qr/pauses server "oss"\nDETAIL:  The cause concerns another role's jobs/, 'is told that something is paused');
unlike($err, qr/secret|tenlabels|Code/, 'but not what');
is($test->sql('SELECT count(*) FROM oss_labels.active_pause'), '1', 'it is');

# ---- dumps by members of pg_read_all_data ----

my $file = PostgreSQL::Test::Utils::tempdir . '/dump';
$node->command_ok([ 'pg_dump', '-U', 'dumper', '-f', $file, '-d', $node->connstr('postgres') ], 'pg_dump by a member of pg_read_all_data');
like(PostgreSQL::Test::Utils::slurp_file($file), qr/^COPY oss_labels\.job \(((?!^\\\.$).)*secret of a/ms, 'has the queue');
$node->command_ok([ 'pg_dump', '-U', 'dumper', '--enable-row-security', '-f', $file, '-d', $node->connstr('postgres') ], 'with row security, too');
like(PostgreSQL::Test::Utils::slurp_file($file), qr/secret of a/, 'the same');

done_testing;
