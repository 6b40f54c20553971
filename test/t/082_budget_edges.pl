# Budgets where they are hard to keep: no shared memory, a standby, transactions
# that may not write, two databases, roles and servers that are renamed or
# dropped, the end of a month, a clock that goes backwards.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use lib 'test/perl';
use QueueTest;

# SQL that asks for n images and says how many came and how many a budget refused.
sub try_sql
{
	my ($n, $prefix) = @_;
	return "SELECT count(*) FILTER (WHERE error_code IS NULL) || ' ' || count(*) FILTER (WHERE error_code = 'BudgetExhausted')"
	  . " FROM (SELECT DISTINCT g, l.error_code FROM generate_series(1, $n) g,"
	  . " LATERAL oss_labels.try_detect('tenlabels', '$prefix' || g) l) q";
}
my $detect = "SELECT count(*) FROM oss_labels.detect('tenlabels', 'one')";

# ---- without shared memory ----

my $bare = QueueTest->new(name => 'bare', preload => 0);
is($bare->sql($detect), 10, 'without preloading and without a budget, requests are sent');
$bare->reset;
$bare->sql("SELECT oss_labels.set_budget(100, bucket => 'tenlabels')");
like($bare->sql_error($detect), qr/ERROR:  55000: .*a budget cannot be enforced here.*\n.*HINT:  .*shared_preload_libraries/s,
	'a budget refuses what it cannot count');
like($bare->sql_error("SELECT count(*) FROM oss_labels.try_detect('tenlabels', 'one')"), qr/ERROR:  55000/, 'as an error of the set-up');
$bare->enqueue(3);
my ($status, $out, $err) = $bare->{node}->psql('postgres', 'CALL oss_labels.process_queue()');
is($bare->sql('SELECT count(*) FROM oss_labels.job'), 3, 'process_queue() leaves the jobs');
like($bare->sql("SELECT max(paused) FROM oss_labels.queue"), qr/budget/, 'and says why');
is($bare->count, 0, 'no request was sent');
is($bare->sql("SELECT count(*) FROM oss_labels.detect('examplebucket', 'example.jpg')") > 0, 1, 'what no budget covers is sent');
$bare->sql("SELECT oss_labels.enqueue('examplebucket', 'example.jpg', max_age => '0')");
$bare->{node}->psql('postgres', 'CALL oss_labels.process_queue()');
is($bare->sql('SELECT string_agg(DISTINCT bucket, $$,$$) FROM oss_labels.job'), 'tenlabels', 'nor are its jobs paused');
is($bare->sql("SELECT spent || ' ' || exhausted FROM oss_labels.budget_status"), '0 false', 'the view has the budget');
my $other = $bare->session("SELECT 1;", qr/done/);
$bare->sql("SELECT oss_labels.set_budget(NULL, bucket => 'tenlabels')");
is($bare->sql($detect), 10, 'without the budget it is sent');
like($other->query_until(qr/done2/, "$detect;\n\\echo done2\n"), qr/^10$/m, 'by another session, too');
$other->quit;
$bare->{node}->stop;

# ---- preloaded, with a standby ----

my $clock = PostgreSQL::Test::Utils::tempdir . '/clock';
my $test = QueueTest->new(name => 'edges', standby => 1, clock => $clock, conf => "max_prepared_transactions = 5\noss_labels.worker = off\n");
my ($node, $oss) = ($test->{node}, $test->{oss});
my $spent = 'SELECT spent FROM oss_labels.budget_status';

$test->sql("SELECT oss_labels.set_budget(10, 'ever')");
is($test->sql("BEGIN READ ONLY; " . try_sql(4, 'ro')), '4 0', 'a READ ONLY transaction counts');
is($test->sql("BEGIN ISOLATION LEVEL SERIALIZABLE; " . try_sql(2, 'ser')), '2 0', 'so does a serializable one');
is($test->sql($spent), 6, 'in the same budget, with oss_labels.worker off');

# nobody else has read the new cap
my $reader = $test->session("BEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT count(*) FROM oss_labels.budget;", qr/done/);
$test->sql("SELECT oss_labels.set_budget(6, 'ever')");
like($reader->query_until(qr/done2/, try_sql(2, 'old') . ";\n\\echo done2\n"), qr/0 2/, 'an old snapshot does not show an old cap');
$reader->quit;
$test->sql("SELECT oss_labels.set_budget(10, 'ever')");
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);

# what may be spent by the primary is no count; a backup may leave it out
unlink glob $standby->data_dir . '/oss_labels_budget/*';
$standby->start;
$node->wait_for_catchup($standby);
my (undef, undef, $refused) = $standby->psql('postgres', $detect, extra_params => [ '-v', 'VERBOSITY=verbose' ]);
like($refused, qr/ERROR:  55000: .*\n.*a standby cannot count for the primary/s, 'a standby lets nothing through that a budget covers');
$node->safe_psql('postgres', 'ALTER SYSTEM SET oss_labels.worker = on');
$node->reload;
$test->sql("SELECT oss_labels.enqueue('tenlabels', 'wakes the worker')");
ok($test->wait_empty, 'the worker works');
ok($test->wait_sql("SELECT spent FROM oss_labels.budget_spent", 7), 'and writes what was spent');
$node->wait_for_catchup($standby);
my $label_requests = $oss->count('label_requests');
$node->stop;
$standby->promote;
is($standby->safe_psql('postgres', $spent), 7, 'after a failover it is known');
is($standby->safe_psql('postgres', try_sql(10, 'promoted')), '3 7', 'and the rest may be spent');
is($oss->count('label_requests'), $label_requests + 3, 'as the service has counted');
$standby->stop;
{
	local %ENV = (%ENV, LD_PRELOAD => Cwd::abs_path('test/resolver/resolver.so'), OSS_TEST_CLOCK => $clock);
	$node->start;
}
$test->sql("DELETE FROM oss_labels.budget");
$test->reset;

# ---- what a transaction may do ----

$test->sql("SELECT oss_labels.set_budget(3)");
like($test->sql_error("BEGIN; SELECT oss_labels.set_budget(100); " . try_sql(5, 'own')), qr/ERROR:  55000: .*\n.*commit it first/s,
	'a change that is not committed does not hold, and nothing is sent beside it');
is($test->sql(try_sql(5, 'own')), '3 2', 'the old budget holds');
like($test->sql_error("BEGIN; SELECT oss_labels.set_budget(100); PREPARE TRANSACTION 'x'"), qr/0A000/, 'and cannot be prepared');
is($test->sql("BEGIN; SAVEPOINT s; SELECT oss_labels.set_budget(0); ROLLBACK TO s; COMMIT; SELECT oss_labels.set_budget(4); " . try_sql(5, 'after')) =~ s/\n//gr, '1 4',
	'nor does one that was rolled back to a savepoint');

# ---- settings ----

$test->sql("SELECT oss_labels.set_budget(1000)");
like($test->sql_error("SET oss_labels.max_requests_per_statement = 5; SELECT count(*) FROM generate_series(1, 9) g, LATERAL oss_labels.try_detect('tenlabels', 'many' || g) l"),
	qr/ERROR:  54000: .*as many requests as it may/, 'a statement has its limit');
is($test->sql("SET oss_labels.max_requests_per_statement = 5; SELECT count(*) FROM oss_labels.detect('tenlabels', 'a'); " x 7), "10\n" x 6 . '10', 'each its own');
$label_requests = $oss->count('label_requests');
for my $call ("oss_labels.detect('tenlabels', 'f')", "oss_labels.try_detect('tenlabels', 'f')", "oss_labels.tag('tenlabels', 'f')",
	"oss_labels.try_tag('tenlabels', 'f')", "oss_labels.object_info('tenlabels', 'f')")
{
	like($test->sql_error("SET oss_labels.allow_requests = off; SELECT count(*) FROM $call"), qr/ERROR:  55000: .*requests are not allowed/, "$call is forbidden");
}
is($test->sql("SET oss_labels.allow_requests = off; SELECT bool_or(NOT ok) FROM oss_labels.check_server('oss', 'tenlabels', 'f')"), 't', 'check_server() says so');
is($oss->count('label_requests') . ' ' . $oss->count('requests_head'), "$label_requests 0", 'and nothing is sent');
$test->sql('DELETE FROM oss_labels.budget');

# ---- two databases ----

$test->sql('CREATE DATABASE second');
$test->sql($test->create_sql, 'second');
$test->sql("SELECT oss_labels.set_budget(2)", $_) for 'postgres', 'second';
is($test->sql(try_sql(5, $_), $_), '2 3', "database $_ has a budget of its own") for 'postgres', 'second';
my $dbid = $test->sql("SELECT oid FROM pg_database WHERE datname = 'second'");
ok(-f $node->data_dir . "/oss_labels_budget/$dbid", 'and a file');
$test->sql('DROP DATABASE second');
$test->sql('CREATE DATABASE third');
$test->sql($test->create_sql, 'third');
$test->sql("SELECT oss_labels.enqueue('tenlabels', 'x')", 'third');
ok($test->wait_sql("SELECT count(*) FROM pg_ls_dir('oss_labels_budget') f WHERE f = '$dbid'", 0), 'which goes with the database');
$test->sql('DELETE FROM oss_labels.budget');

# ---- names ----

$test->role('anna');
$test->sql("SELECT oss_labels.set_budget(5, server => 'oss', requester => 'anna')");
is($test->sql("SET ROLE anna; " . try_sql(2, 'anna')), '2 0', 'a role asks');
$test->sql("ALTER SERVER oss RENAME TO renamed; ALTER ROLE anna RENAME TO anne");
is($test->sql("SET ROLE anne; " . try_sql(5, 'anne')), '3 2', 'renaming server and role changes no budget');
is($test->sql("SELECT server || ' ' || requester || ' ' || spent FROM oss_labels.budget_status"), 'renamed anne 5', 'which has the new names');
$test->sql("DROP SERVER renamed CASCADE; " . $test->create_sql =~ s/ oss / renamed /gr);
$test->sql("GRANT USAGE ON FOREIGN SERVER renamed TO anne; CREATE USER MAPPING FOR anne SERVER renamed OPTIONS (access_key_id 'anna', access_key_secret 'secret-of-anna')");
is($test->sql("SET ROLE anne; " . try_sql(2, 'new')), '0 2', 'nor does making the server anew');
$test->sql("DROP OWNED BY anne; DROP ROLE anne");
is($test->sql(try_sql(1, 'gone')), '1 0', 'a role that was dropped spends nothing');
like($test->sql("SELECT requester FROM oss_labels.budget_status"), qr/^pg_dropped_role_\d+$/, 'its budget has its number');
$test->sql("DROP SERVER renamed CASCADE; DELETE FROM oss_labels.budget; " . $test->create_sql);

# ---- the end of a period ----

my ($to_month, $to_day) = split /\|/, $test->sql("SELECT extract(epoch FROM (date_trunc('month', now(), 'Asia/Shanghai') + interval '32 days') - now())::int,"
	  . " extract(epoch FROM date_trunc('day', now(), 'Asia/Shanghai') + interval '1 day' - now())::int");
my $month = $test->sql("SELECT extract(epoch FROM date_trunc('month', date_trunc('month', now(), 'Asia/Shanghai') + interval '32 days', 'Asia/Shanghai') - now())::int");
$test->sql("SELECT oss_labels.set_budget(2, 'day'), oss_labels.set_budget(5, 'month')");
is($test->sql("SELECT string_agg((resets_at AT TIME ZONE 'Asia/Shanghai')::time::text, ' ') FROM oss_labels.budget_status"), '00:00:00 00:00:00',
	'periods end at midnight of oss_labels.billing_time_zone');
is($test->sql(try_sql(4, 'day1-')), '2 2', 'the first day');
$test->set_clock($to_day + 60);
is($test->sql("SELECT string_agg(spent::text, ' ' ORDER BY max_requests) FROM oss_labels.budget_status"), '0 2', 'the next day begins by itself');
is($test->sql(try_sql(4, 'day2-')), '2 2', 'and has its own requests');
$test->set_clock($to_day - 60);
is($test->sql(try_sql(4, 'back-')), '0 4', 'a clock that goes back does not open the day that has ended, nor this one again');
$test->set_clock($month - 60);
is($test->sql(try_sql(4, 'last-')), '1 3', 'the last day of the month is limited by the month');
$test->sql("SELECT oss_labels.enqueue('tenlabels', 'waits')");
ok($test->wait_sql("SELECT count(*) FROM oss_labels.active_pause WHERE budget_id IS NOT NULL", 1), 'a job waits');
$test->set_clock($month + 60);
ok($test->wait_empty, 'until the month has ended');
is($test->sql("SELECT string_agg(spent::text, ' ' ORDER BY max_requests) FROM oss_labels.budget_status"), '1 1', 'and is counted in the next one');
$test->set_clock(0);

$node->stop;
done_testing();
