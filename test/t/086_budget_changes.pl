# Budgets beside changes of what they belong to: the extension dropped and made
# anew, a database with the OID of one that was dropped, a dump restored step by
# step beside the worker, more budgets than there is room for, requests forbidden
# by a setting and allowed again; EXPLAIN below a LIMIT and by auto_explain.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use lib 'test/perl';
use QueueTest;

my $test = QueueTest->new(name => 'changes');
my ($node, $oss) = ($test->{node}, $test->{oss});

# Ask for n images: how many came, and how many a budget refused.
sub asks
{
	my ($n, $prefix, $database) = @_;
	return $test->sql("SELECT count(*) FILTER (WHERE error_code IS NULL) || ' ' || count(*) FILTER (WHERE error_code = 'BudgetExhausted')"
		  . " FROM (SELECT DISTINCT g, l.error_code FROM generate_series(1, $n) g,"
		  . " LATERAL oss_labels.try_detect('tenlabels', '$prefix' || g) l) q", $database);
}
my $again = 'DROP EXTENSION oss_labels CASCADE; ' . $test->create_sql;
my $ambiguous = 'SELECT coalesce(sum(ambiguous), 0) FROM oss_labels.usage';

# ---- the extension made anew ----

$test->sql('SELECT oss_labels.set_budget(2)');
is(asks(4, 'a'), '2 2', 'a budget');
$test->sql($again);
is(asks(4, 'b'), '4 0', 'does not outlive its extension');
$test->sql('SELECT oss_labels.set_budget(3)');
$test->sql("BEGIN; $again ROLLBACK");
is(asks(4, 'c'), '3 1', 'but a rollback');
$node->restart;
$test->sql($again);
is(asks(1, 'd'), '1 0', 'after a restart, too');
ok($test->wait_sql('SELECT sum(requests) FROM oss_labels.usage_day', 1), 'the new accounts have what was asked since');
is($test->sql($ambiguous), 0, 'and nothing that an older extension has accounted for');

# ---- a database with the OID of another ----

for my $round (1, 2)
{
	$test->sql('CREATE DATABASE second OID = 50001');
	$test->sql($test->create_sql, 'second');
	is(asks(2, "e$round", 'second'), '2 0', 'a new database has no budget');
	$test->sql('SELECT oss_labels.set_budget(0)', 'second');
	is(asks(1, "f$round", 'second'), '0 1', 'until it is set');
	$test->sql('DROP DATABASE second');
}

# ---- a dump restored beside the worker ----

$test->sql("SELECT oss_labels.set_budget(10, 'ever')");
is(asks(4, 'g'), '4 0', 'four of ten are spent');
ok($test->wait_sql('SELECT sum(spent) FROM oss_labels.budget_spent', 4), 'the worker writes that');
my @where = ('-h', $node->host, '-p', $node->port);
my $dump = $node->basedir . '/dump';
$node->command_ok([ 'pg_dump', @where, '-Fc', '-f', $dump, 'postgres' ], 'dumped');
$test->sql('CREATE DATABASE restored');
$node->command_ok([ 'pg_restore', @where, '-d', 'restored', @$_, $dump ], "restored: @$_")
  for [ '--section=pre-data' ], [ '--data-only', '-t', 'budget' ];
is($test->sql('SELECT spent FROM oss_labels.budget_status', 'restored'), 0, 'the budget is read before what it has spent');
$test->enqueue(0, 'none', 'restored');
$node->command_ok([ 'pg_restore', @where, '-d', 'restored', '--data-only', '-t', 'budget_spent', $dump ], 'restored: what it has spent');
is(asks(8, 'h', 'restored'), '6 2', 'which counts');
$test->sql('DROP DATABASE restored WITH (FORCE)');
$test->sql("SELECT oss_labels.set_budget(NULL, 'ever')");

# ---- more budgets than there is room for ----

my $set = "SELECT count(oss_labels.set_budget(5, bucket => 'b-' || g)) FROM generate_series";
$test->sql('CREATE DATABASE third');
$test->sql($test->create_sql, 'third');
$test->sql("$set(1, 200) g");
is(asks(1, 'i'), '1 0', 'two hundred budgets');
like($test->sql_error("$set(1, 57) g", 'third'), qr/ERROR:  54000: too many budgets/, 'leave room for 56 in other databases');
$test->sql("$set(1, 56) g", 'third');
is(asks(1, 'j', $_), '1 0', "database $_ sends requests") for 'postgres', 'third';
$test->sql('DROP DATABASE third WITH (FORCE)');
$test->sql('DELETE FROM oss_labels.budget');

# ---- requests forbidden, and allowed again ----

$test->sql('ALTER SYSTEM SET oss_labels.allow_requests = off');
$node->reload;
$test->wait_sql('SHOW oss_labels.allow_requests', 'off');
my $requests = $test->count;
$test->enqueue(3, 'k');
ok($test->wait_sql("SELECT count(*) > 0 FROM oss_labels.active_pause WHERE reason LIKE '%not allowed%'", 't'), 'the queue is paused');
$test->sql('ALTER SYSTEM RESET oss_labels.allow_requests');
$node->reload;
ok($test->wait_empty(seconds => 30), 'and goes on soon after requests are allowed');
is($test->count, $requests + 3, 'with one request each');

# ---- auto_explain ----

my ($status, $out, $err) = $node->psql('postgres', "LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0; SET client_min_messages = log;"
	  . " SELECT count(*) FROM generate_series(1, 3) g, LATERAL oss_labels.detect('tenlabels', 'l' || g)");
is($out, 30, 'a query that auto_explain logs gets its rows');
like($err, qr/Estimated Cost: /, 'and its cost');

# ---- EXPLAIN below a LIMIT ----

for my $limit (10, 100, 400)
{
	my $query = "SELECT * FROM (SELECT g::text k FROM generate_series(1, 1000) g) k, LATERAL oss_labels.try_detect('tenlabels', 'm$limit' || k) l LIMIT $limit";
	my ($estimated) = $test->sql("EXPLAIN $query") =~ /Estimated Requests: (\d+)/;
	my $before = $test->count;
	$test->sql($query);
	cmp_ok($test->count - $before, '>=', $limit / 10, "LIMIT $limit: ten labels an image");
	cmp_ok($test->count - $before, '<=', $estimated, 'and what is asked ahead, as EXPLAIN says');
	cmp_ok($estimated, '<=', $limit / 3, 'not what is never asked for');
}

$node->stop;
done_testing();
