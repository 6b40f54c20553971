# A job, a pause and a watched table stay with their server, whatever it is
# called: rows queued in a transaction that was open when it was renamed, rows
# that others had locked, at every isolation level; and names that move from one
# server to another, are taken back, dropped and made again, or restored.
use strict;
use warnings;

use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use lib 'test/perl';
use QueueTest;

my $test = QueueTest->new(conf => "lock_timeout = 20s\n");
my $node = $test->{node};
my $dead = "FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', endpoint 'http://127.0.0.1:1')";
my $mapping = "CREATE USER MAPPING FOR CURRENT_USER SERVER %s OPTIONS (access_key_id 'testid', access_key_secret 'testsecret')";

# Run SQL in a session that stays open; more() runs more in it.
sub hold
{
	my ($sql) = @_;
	my ($in, $out) = ('', '');
	my $self = { in => \$in, out => \$out };
	$self->{session} = IPC::Run::start([ $node->installed_command('psql'), '-XAtq', '-d', $node->connstr('postgres') ],
		'<', \$in, '>', \$out, '2>&1');
	more($self, $sql);
	return $self;
}

sub more
{
	my ($self, $sql) = @_;
	${ $self->{out} } = '';
	${ $self->{in} } .= "$sql;\n\\echo so far\n";
	$self->{session}->pump until ${ $self->{out} } =~ /^so far$/m;
	unlike(${ $self->{out} }, qr/ERROR/, $sql);
	return;
}

sub end
{
	my ($self) = @_;
	${ $self->{in} } .= "\\q\n";
	$self->{session}->finish;
	return;
}

# All that is queued is done at the server that answers, one request an image.
sub all_done
{
	my ($how, $n) = @_;
	ok($test->wait_empty(seconds => 20), "$how: nothing is left");
	is($test->count, $n, "$how: $n requests");
	is($test->sql('SELECT count(*) FROM oss_labels.failed_job'), '0', "$how: none failed");
	$test->reset;
	return;
}

# --- the application's transaction is open while the server is renamed
$test->sql(q{CREATE TABLE photo (key text); SELECT oss_labels.watch('photo', 'key', bucket => 'tenlabels')});
my $open = hold(q{BEGIN; INSERT INTO photo VALUES ('w1'); SELECT oss_labels.enqueue('tenlabels', 'e1')});
$test->sql('ALTER SERVER oss RENAME TO second');
more($open, q{INSERT INTO photo VALUES ('w2'); COMMIT});
all_done('queued before, committed after', 3);

# its name is given to another server meanwhile
more($open, q{BEGIN; INSERT INTO photo VALUES ('w3'); SELECT oss_labels.enqueue('tenlabels', 'e3')});
$test->sql("ALTER SERVER second RENAME TO third; CREATE SERVER second $dead; " . sprintf($mapping, 'second'));
more($open, 'COMMIT');
all_done('another server has the name', 2);

# the two swap their names
more($open, q{BEGIN; INSERT INTO photo VALUES ('w4'); SELECT oss_labels.enqueue('tenlabels', 'e4', server => 'third')});
$test->sql('BEGIN; ALTER SERVER third RENAME TO aside; ALTER SERVER second RENAME TO third; ALTER SERVER aside RENAME TO second; COMMIT');
more($open, q{INSERT INTO photo VALUES ('w5'); COMMIT});
all_done('two swap their names', 3);
is($test->sql("SELECT server FROM oss_labels.watched"), 'second', 'a watched table names its own');

# a rename that is taken back
more($open, q{BEGIN; INSERT INTO photo VALUES ('w6')});
$test->sql("BEGIN; ALTER SERVER second RENAME TO never; INSERT INTO photo VALUES ('w7'); ROLLBACK");
more($open, 'COMMIT');
all_done('rolled back', 1);

# watch() and pause() in the open transaction
more($open, q{BEGIN; CREATE TABLE late (key text); SELECT oss_labels.watch('late', 'key', bucket => 'tenlabels', server => 'second');
	SELECT oss_labels.pause('second'); SELECT oss_labels.enqueue('tenlabels', 'e8', server => 'second')});
$test->sql("ALTER SERVER second RENAME TO fourth; CREATE SERVER second $dead; " . sprintf($mapping, 'second'));
more($open, q{COMMIT; INSERT INTO late VALUES ('l1')});
$test->sql("SELECT oss_labels.enqueue('tenlabels', 'l2', server => 'fourth')");
is($test->sql('SELECT server, queued, paused FROM oss_labels.queue'), "fourth|3|paused by " . $test->sql('SELECT current_user'), 'a pause stays with its server');
is($test->sql('SELECT DISTINCT server FROM oss_labels.own_job UNION SELECT server FROM oss_labels.own_pause'), 'fourth', 'and views have its name');
is($test->count, 0, 'which holds');
$test->sql("SELECT oss_labels.resume('fourth')");
all_done('watched and paused before', 3);

# --- rows that others have locked, or have changed since the snapshot
$test->sql("SELECT oss_labels.pause('fourth')");
$test->sql("SELECT oss_labels.enqueue('tenlabels', 'x' || i, server => 'fourth') FROM generate_series(1, 10) i");
my $locker = hold(q{BEGIN; SELECT FROM oss_labels.job WHERE key IN ('x1', 'x2') FOR UPDATE; SELECT FROM oss_labels.watched FOR UPDATE;
	SELECT FROM oss_labels.active_pause FOR UPDATE});
my $begun = time;
$test->sql('ALTER SERVER fourth RENAME TO fifth');
cmp_ok(time - $begun, '<', 10, 'who has locked rows of the queue holds no rename up');
$test->sql("INSERT INTO photo VALUES ('x11')");
is($test->sql('SELECT server, queued FROM oss_labels.queue WHERE paused IS NOT NULL'), 'fifth|11', 'all is paused as before');
more($locker, 'ROLLBACK');
$test->sql("SELECT oss_labels.resume('fifth')");
all_done('locked', 11);

foreach my $level ('REPEATABLE READ', 'SERIALIZABLE')
{
	$test->sql("SELECT oss_labels.pause('fifth')");
	$test->sql("SELECT oss_labels.enqueue('tenlabels', '$level' || i, server => 'fifth') FROM generate_series(1, 10) i");
	more($open, "BEGIN ISOLATION LEVEL $level; SELECT count(*) FROM photo");
	$test->sql("UPDATE oss_labels.job SET priority = 1; UPDATE oss_labels.active_pause SET since = clock_timestamp(); SELECT oss_labels.enqueue('tenlabels', '$level', server => 'fifth')");
	more($open, 'ALTER SERVER fifth RENAME TO sixth; ALTER SERVER sixth RENAME TO seventh; COMMIT');
	is($test->sql('SELECT DISTINCT server FROM oss_labels.job UNION SELECT server FROM oss_labels.active_pause'), 'seventh', "$level: all rows have the new name");
	$test->sql("SELECT oss_labels.resume('seventh')");
	all_done($level, 11);
	$test->sql('ALTER SERVER seventh RENAME TO fifth');
}
end($_) foreach $open, $locker;

# --- renamed again and again while the worker is at it
$test->{oss}->fault(kind => 'delay', delay => 100);
$test->sql("SELECT oss_labels.enqueue('tenlabels', 'r' || i, server => 'fifth') FROM generate_series(1, 200) i");
foreach my $i (1 .. 20)
{
	$test->sql("ALTER SERVER fifth RENAME TO other; INSERT INTO photo VALUES ('rw$i'); ALTER SERVER other RENAME TO fifth");
}
all_done('renamed at work', 220);

# --- a failed job is retried at its server
$test->sql("SELECT oss_labels.enqueue('missing-bucket', 'f1', server => 'fifth')");
ok($test->wait_sql('SELECT count(*) FROM oss_labels.failed_job', '1'), 'a job fails');
$test->sql("UPDATE oss_labels.failed_job SET bucket = 'tenlabels'");
$locker = hold('BEGIN; SELECT FROM oss_labels.failed_job FOR UPDATE');
$test->sql("ALTER SERVER fifth RENAME TO eighth; CREATE SERVER fifth $dead; " . sprintf($mapping, 'fifth'));
more($locker, 'ROLLBACK');
end($locker);
is($test->sql('SELECT server FROM oss_labels.own_failed_job'), 'eighth', 'a failed job has the new name');
is($test->sql("SELECT oss_labels.retry_failed(server => 'fifth')"), '0', 'it is not retried by the old one');
$test->reset;
is($test->sql("SELECT oss_labels.retry_failed(server => 'eighth')"), '1', 'but by the new one');
all_done('retried', 1);

# --- dropped and made again: by name, as the OID is gone
$test->sql("SELECT oss_labels.pause('eighth'), oss_labels.enqueue('tenlabels', 'd1', server => 'eighth')");
$test->sql('DROP SERVER eighth CASCADE');
$test->sql("ALTER SERVER fifth RENAME TO tenth; SELECT oss_labels.resume('eighth')");
$test->sql($test->create_sql . 'ALTER SERVER oss RENAME TO eighth');
$test->sql("INSERT INTO photo VALUES ('d2')");
all_done('dropped and made again', 2);

# --- a dump: names count, and OIDs that mean other servers do not
$test->sql("SELECT oss_labels.pause(); SELECT oss_labels.enqueue('tenlabels', 'p1', server => 'eighth'); INSERT INTO photo VALUES ('p2')");
my $dump = PostgreSQL::Test::Utils::tempdir . '/dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, $node->connstr('postgres') ], 'dump');
$test->sql('CREATE DATABASE copy');
$test->sql('ALTER DATABASE copy SET oss_labels.worker = off');
$node->command_ok([ 'pg_restore', '-d', $node->connstr('copy'), $dump ], 'restore');
$test->sql("UPDATE oss_labels.$_ SET server_id = (SELECT oid FROM pg_foreign_server WHERE srvname = 'tenth')", 'copy') foreach qw(job watched);
$test->sql("INSERT INTO photo VALUES ('p3'); SELECT oss_labels.resume()", 'copy');
is($test->sql('SELECT DISTINCT server FROM oss_labels.own_job', 'copy'), 'eighth', 'restored: its own server');
$test->sql('CALL oss_labels.process_queue(server => $$eighth$$)', 'copy');
is($test->count, 3, 'which is asked once an image');
is($test->sql('SELECT count(*) FROM oss_labels.job', 'copy'), '0', 'and nothing is left');

done_testing();
