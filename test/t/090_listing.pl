# Listing a bucket: every key that there can be, whatever the size of pages and the
# service's ways of writing them; what fails in the middle is asked for again from
# the last key on; what can never end is an error; beside other roles' trouble.  What
# counts is what the stand-in counted.
use strict;
use warnings;

use IO::Socket::INET;
use IPC::Run;
use List::Util qw(min);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use lib 'test/perl';
use QueueTest;

my $test = QueueTest->new(name => 'listing');
my ($node, $oss) = ($test->{node}, $test->{oss});
$test->sql("ALTER SERVER oss OPTIONS (ADD max_attempts '3', ADD timeout_ms '30000')");

my $all = 'max_rows => NULL';

# Rows and distinct keys of a listing, and the requests that it took.
sub listed
{
	my ($bucket, $more) = @_;
	$oss->control('/reset?what=counters');
	my $rows = $test->sql("SELECT count(*) || ' ' || count(DISTINCT key) FROM oss_labels.list_objects('$bucket', $more)");
	return "$rows, " . $test->count('list_requests') . ' requests';
}

# The error of a listing of everything, and the requests that it took.
sub refused
{
	my ($bucket, $more) = @_;
	$oss->control('/reset?what=counters');
	my $error = $test->sql_error("SELECT count(*) FROM oss_labels.list_objects('$bucket', " . ($more // $all) . ')');
	return $error . ' after ' . $test->count('list_requests') . ' requests';
}

# ---- every key that there can be ----

# by its number, each character once in every place; / and \ are not the first, and no
# part of a key is . or ..
my @keys = map { my $c = chr; utf8::encode($c); "c/a${c}b", $c =~ m{[/\\]} ? () : ("${c}c", "d$c") }
  1 .. 0x45, 0x46 .. 0xff, 0x100, 0x2028, 0x4e2d, 0xd7ff, 0xe000, 0xfffd, 0x10000, 0x1f600, 0x10ffff;
push @keys, 'a b+c%2Bd&e=f?g#h<i>"j\'k;l', '%41', '%', '%%%', '+', '++ ++', ' lead', 'trail ', "line\nfeed", "tab\there",
  "\xe7\x85\xa7\xe7\x89\x87/1+2/a&b=c.jpg", map { substr(('k' x 199 . '/') x 6, 0, 1021) . "$_$_" } 'a', 'b';
my %once;
@keys = sort grep { !$once{$_}++ && !m{(^|/)\.\.?(/|$)} && !m{/$} } @keys;
$oss->put('strangekeys', $_, 'x') for @keys;
is($test->sql("SELECT string_agg(encode(convert_to(key, 'UTF8'), 'hex'), ' ') FROM oss_labels.list_objects('strangekeys', $all)"),
	join(' ', map { unpack 'H*', $_ } @keys), scalar(@keys) . ' keys of every character, in the order of their bytes');
is($test->sql("SELECT bool_and(key COLLATE \"C\" >= lag) FROM (SELECT key, lag(key) OVER () FROM oss_labels.list_objects('strangekeys', $all)) s"),
	't', 'as PostgreSQL sees it, too');
my @some = map { $keys[ $_ * 7 % @keys ] } 1 .. 60;
my $literals = join ',', map { "convert_from('\\x" . unpack('H*', $_) . "', 'UTF8')" } @some;
is($test->sql("SELECT count(*) FROM unnest(ARRAY[$literals]) WITH ORDINALITY k (key, n),"
		  . " LATERAL (SELECT l.key FROM oss_labels.list_objects('strangekeys', prefix => k.key, max_rows => 1) l) l WHERE l.key = k.key"),
	60, 'each is found by itself as prefix');
is($test->sql("SELECT count(*) FROM unnest(ARRAY[$literals]) k (key),"
		  . " LATERAL (SELECT min(l.key COLLATE \"C\") AS next FROM oss_labels.list_objects('strangekeys', start_after => k.key, max_rows => 1) l) l"
		  . " WHERE l.next COLLATE \"C\" <= k.key"),
	0, 'and is started after');

# what is said of an object
$oss->put('facts', 'a.jpg', 'abc');
$oss->put('facts', 'b.jpg', 'x');
$oss->set(object => bucket => 'facts', key => 'b.jpg', etag => '"abc-2"', class => 'ColdArchive', size => 5_000_000_000,
	modified => 1589780747, restored => 1, type => 'Multipart');
is($test->sql("SELECT key, size, etag, storage_class, object_type, restored FROM oss_labels.list_objects('facts') WHERE key = 'a.jpg'"),
	'a.jpg|3|900150983CD24FB0D6963F7D28E17F72|Standard|Normal|f', 'size, ETag, class and type of an object');
is($test->sql("SELECT key, size, etag, last_modified AT TIME ZONE 'UTC', storage_class, object_type, restored FROM oss_labels.list_objects('facts', 'b')"),
	'b.jpg|5000000000|ABC-2|2020-05-18 05:45:47|ColdArchive|Multipart|t', 'of a restored one');

# ---- pages ----

for my $n (1, 2, 999, 1000, 1001, 2000, 20_001)
{
	$oss->set(bucket => name => 'made-up', keys => $n);
	is(listed('made-up', $all), "$n $n, " . ($n > 1000 ? int(($n + 999) / 1000) : 1) . ' requests', "a bucket of $n objects");
}
is(listed('made-up', 'max_rows => 10'), '10 10, 1 requests', 'ten rows are one request');
is($test->count('list_objects'), 10, 'of ten objects');
is(listed('made-up', 'max_rows => 1000'), '1000 1000, 1 requests', 'a thousand, too');
is(listed('made-up', 'max_rows => 1500'), '1500 1500, 2 requests', 'more are two');
is($test->count('list_objects'), 1500, 'and no object too many');
is(listed('made-up', 'NULL'), '1000 1000, 1 requests', 'one page unless more are wanted');
is(listed('made-up', "'photos/0003/', $all"), '1000 1000, 1 requests', 'a prefix');
is(listed('made-up', "'photos/0003/', 'photos/0003/0003997.jpg', $all"), '2 2, 1 requests', 'a key to start after');
is(listed('made-up', "'nothing/', $all"), '0 0, 1 requests', 'a prefix without objects');

# ---- pages that are odd: the third of four ----

$oss->set(bucket => name => 'odd', keys => 4000);
for my $variant (qw(namespace unknown-elements encoding-last not-encoded duplicate))
{
	$oss->fault(kind => 'listing', scope => 'list', variant => $variant);
	is(listed('odd', $all), '4000 4000, 4 requests', "$variant on every page makes no difference");
	$oss->control('/reset?what=faults');
}
for my $variant (qw(broken truncated no-truncated no-token bad-escapes wrong-root entity))
{
	$oss->fault(kind => 'listing', scope => 'list', variant => $variant, skip => 2, times => 1);
	is(listed('odd', $all), '4000 4000, 5 requests', "$variant on page three: it is asked for again");
	$oss->control('/reset?what=faults');
	$oss->fault(kind => 'listing', scope => 'list', variant => $variant);
	like(refused('odd'), qr/ERROR:  22000: could not get the listing of "oss:\/\/odd\/": the answer is no page of a listing\n.*after 3 requests/s,
		"$variant for ever: an error after three attempts");
	$oss->control('/reset?what=faults');
}
$oss->fault(kind => 'listing', scope => 'list', variant => 'empty-page', skip => 2, times => 3);
is(listed('odd', $all), '4000 4000, 7 requests', 'three empty pages');
$oss->control('/reset?what=faults');
$oss->fault(kind => 'listing', scope => 'list', variant => 'empty-page', skip => 2);
like(refused('odd'), qr/ERROR:  22000: .*the pages of the listing contradict each other\nDETAIL:  101 pages in a row.*after 103 requests/s,
	'empty pages for ever: an error');
$oss->control('/reset?what=faults');
$oss->fault(kind => 'listing', scope => 'list', variant => 'same-token', skip => 2);
like(refused('odd'), qr/ERROR:  22000: .*contradict each other\nDETAIL:  A page goes on where it began.*after [34] requests/s, 'the same token twice: an error');
$oss->control('/reset?what=faults');
$oss->fault(kind => 'listing', scope => 'list', variant => 'out-of-order', skip => 2);
like(refused('odd'), qr/ERROR:  22000: .*contradict each other\nDETAIL:  The keys do not ascend.*after [34] requests/s, 'keys out of order: an error');
$oss->control('/reset?what=faults');
$oss->set(bucket => name => 'longkeys', keys => 2500);
for my $variant (qw(huge-keys control-characters))
{
	$oss->fault(kind => 'listing', scope => 'list', variant => $variant);
	is(listed('longkeys', $all), '2500 2500, 3 requests', "$variant");
	$oss->control('/reset?what=faults');
}
$oss->fault(kind => 'listing', scope => 'list', variant => 'huge-keys', bytes => 1100);
like(refused('longkeys'), qr/a key is longer than 1023 bytes.*after 3 requests/s, 'keys that are too long');
$oss->control('/reset?what=faults');

# what PostgreSQL cannot hold
for my $variant (qw(nul not-utf8))
{
	$oss->set(bucket => name => 'onekey', keys => 1);
	$oss->fault(kind => 'listing', scope => 'list', variant => $variant);
	my ($status, $out, $err) = $node->psql('postgres', "SELECT count(*) FROM oss_labels.list_objects('onekey')");
	is($out, '0', "$variant: left out");
	like($err, qr/WARNING:  1 object of bucket "onekey" is left out\nDETAIL/, 'with one warning');
	$oss->control('/reset?what=faults');
}
$test->sql(qq{CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'});
$test->sql($test->create_sql, 'latin');
{
	my ($status, $out, $err) = $node->psql('latin', "SELECT count(*), count(*) FILTER (WHERE key LIKE 'c/%') FROM oss_labels.list_objects('strangekeys', $all)");
	my $fit = grep { my $k = $_; utf8::decode($k); $k !~ /[^\x00-\xff]/ } @keys;
	is((split /\|/, $out)[0], $fit, 'LATIN1: the keys that it can hold');
	my $left = @keys - $fit;
	like($err, qr/WARNING:  $left objects of bucket "strangekeys" are left out\n(?!.*WARNING)/s, 'and one warning of the others');
	is($test->sql("SELECT count(*) FROM oss_labels.list_objects('strangekeys', prefix => chr(233))", 'latin'), 1, 'a prefix is converted');
}

# ---- faults on page three ----

for my $fault (
	[ '500', kind => 'error', code => 'InternalError' ],
	[ '503', kind => 'error', code => 'SlowDown' ],
	[ 'a throttle that asks to wait', kind => 'error', code => 'MetaOperationQpsLimitExceeded', header => 'Retry-After: 1' ],
	[ 'reset', kind => 'reset' ],
	[ 'reset in the body', kind => 'reset-body', bytes => 50_000 ],
	[ 'a cut body', kind => 'truncate', bytes => 50_000 ],
	[ 'an answer that is no listing', kind => 'html' ],
	[ 'an expired token', kind => 'error', status => 400, code => 'InvalidArgument', message => 'The continuation token is not valid.' ])
{
	my ($what, %fault) = @$fault;
	$oss->fault(scope => 'list', skip => 2, times => 1, %fault);
	is(listed('odd', $all), '4000 4000, 5 requests', "$what on page three: complete, once");
	$oss->control('/reset?what=faults');
}
$oss->fault(scope => 'list', skip => 2, times => 2, kind => 'error', code => 'InternalError');
is(listed('odd', $all), '4000 4000, 6 requests', 'two failures of one page');
$oss->control('/reset?what=faults');
$oss->fault(scope => 'list', skip => 2, kind => 'error', code => 'InternalError');
like(refused('odd'), qr/ERROR:  58000: could not get the listing of "oss:\/\/odd\/": the service failed.*after 5 requests/s, 'three are an error');
$oss->control('/reset?what=faults');

# a token that ends while the reader takes its time
$oss->set(set => token_ttl => 1);
$oss->control('/reset?what=counters');
$test->sql("CREATE FOREIGN TABLE slow (key text) SERVER oss OPTIONS (bucket 'odd')");
is($test->sql("BEGIN; DECLARE c CURSOR FOR SELECT key FROM slow; MOVE 1050 IN c; SELECT pg_sleep(2.5); MOVE ALL IN c;"
		  . " CLOSE c; SELECT count(DISTINCT key) FROM slow; COMMIT") =~ s/\s//gr,
	4000, 'a token that ended while the reader slept: complete');
is($test->count('list_requests'), 5 + 4, 'one request more');
is($test->count('code_InvalidArgument'), 1, 'as the service refused it');
$oss->set(set => token_ttl => 0);
is($test->count('label_requests'), 0, 'no label request');

# ---- refused ----

my @bad = (
	[ q{'Bad_Bucket'}, qr/22023: .*the bucket's name is not valid/ ],
	[ q{'ab'}, qr/22023/ ],
	[ q{''}, qr/22023/ ],
	[ q{'odd', '/photos/'}, qr/22023: .*"oss:\/\/odd\/\/photos\/".*\nDETAIL:  A prefix must not begin with a slash/ ],
	[ q{'odd', repeat('p', 1024)}, qr/22023: .*\nDETAIL:  A prefix has at most 1023 bytes/ ],
	[ q{'odd', NULL, repeat('p', 1024)}, qr/22023: .*\nDETAIL:  The key to start after/ ],
	[ q{'odd', max_rows => 0}, qr/22023: max_rows must be positive/ ],
	[ q{'odd', max_rows => -5}, qr/22023: max_rows must be positive/ ],
	[ q{'odd', server => 'nowhere'}, qr/42704/ ]);
for (@bad)
{
	$oss->control('/reset?what=counters');
	like($test->sql_error("SELECT * FROM oss_labels.list_objects($_->[0])"), $_->[1], "list_objects($_->[0]): refused");
	is($test->count('requests_total'), 0, 'before any request');
}
is($test->sql('SELECT count(*) FROM oss_labels.list_objects(NULL)'), 0, 'no bucket: no rows');
like($test->sql_error("SET oss_labels.allow_requests = off; SELECT * FROM oss_labels.list_objects('odd')"), qr/55000: .*requests are not allowed/,
	'where requests are not allowed');
is($test->count('requests_total'), 0, 'no request for these');
$oss->set(credential => id => 'nolist', secret => 's', deny_list => 1);
$test->sql("CREATE ROLE nolist; CREATE ROLE nobody_paid; CALL oss_labels.grant_paying('nolist'); GRANT USAGE ON FOREIGN SERVER oss TO nolist, nobody_paid;"
	  . " GRANT USAGE ON SCHEMA oss_labels TO nobody_paid;"
	  . " CREATE USER MAPPING FOR nolist SERVER oss OPTIONS (access_key_id 'nolist', access_key_secret 's')");
like($test->sql_error("SET ROLE nolist; SELECT * FROM oss_labels.list_objects('odd', 'p')"),
	qr/42501: could not get the listing of "oss:\/\/odd\/p": access denied.*HINT:  Grant the key's user oss:ListObjects/s, 'a denial names the right');
is($test->count('list_requests'), 1, 'after one request');
like($test->sql_error("SET ROLE nobody_paid; SELECT * FROM oss_labels.list_objects('odd', 'p')"), qr/42501: permission denied for function list_objects/,
	'who may not pay may not list');
like(refused('nosuchbucket'), qr/P0002: could not get the listing of "oss:\/\/nosuchbucket\/": the bucket does not exist.*after 1 requests/s, 'no such bucket');
$oss->set(bucket => name => 'payers', keys => 3, requester_pays => 1);
like(refused('payers'), qr/the bucket's requester pays.*after 1 requests/s, 'a bucket whose requester pays');
$test->sql("ALTER SERVER oss OPTIONS (ADD requester_pays 'true')");
is(listed('payers', $all), '3 3, 1 requests', 'and who does');
$test->sql('ALTER SERVER oss OPTIONS (DROP requester_pays)');

# ---- cancelled in each phase, at once ----

my $at_once = 200 * OssServer::patience();
my $mute = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die "no socket: $!";
$test->sql("CREATE SERVER mute FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', endpoint 'https://127.0.0.1:"
	  . $mute->sockport . "', addressing 'path', timeout_ms '60000', connect_timeout_ms '60000');"
	  . " CREATE USER MAPPING FOR CURRENT_USER SERVER mute OPTIONS (access_key_id 'a', access_key_secret 'b')");
$oss->set(bucket => name => $_, keys => 5000) for qw(waits withinbody third);
$oss->fault(bucket => 'waits', scope => 'list', kind => 'hang');
$oss->fault(bucket => 'withinbody', scope => 'list', kind => 'hang-body', bytes => 2000);
$oss->fault(bucket => 'third', scope => 'list', kind => 'hang', skip => 2);

# Begin a listing that says when it was cancelled.
sub begin_listing
{
	my ($arguments, $timeout) = @_;
	my $run = { out => '', err => '' };
	local ($ENV{PGOPTIONS}, $ENV{PGAPPNAME}) = ("-c statement_timeout=$timeout", 'lister');
	$run->{handle} = IPC::Run::start([ $node->installed_command('psql'), '-XAtq', '-d', $node->connstr('postgres'), '-c',
		"DO \$\$ BEGIN PERFORM count(*) FROM oss_labels.list_objects($arguments);
			EXCEPTION WHEN query_canceled THEN RAISE NOTICE 'cancelled at % after %',
				extract(epoch FROM clock_timestamp()), extract(epoch FROM clock_timestamp() - statement_timestamp()); END \$\$;" ],
		'<', \'', '>', \$run->{out}, '2>', \$run->{err});
	return $run;
}

for my $phase ([ connecting => q{'waits', server => 'mute'} ], [ waiting => q{'waits', server => 'oss'} ],
	[ 'within the body' => q{'withinbody', server => 'oss'} ], [ 'within page three' => "'third', $all, server => 'oss'" ])
{
	my ($name, $arguments) = @$phase;
	my ($timed, $cancelled) = (1e9, 1e9);
	for (1 .. 3)
	{
		my $run = begin_listing($arguments, 500);
		$run->{handle}->finish;
		my ($after) = $run->{err} =~ /cancelled at \S+ after (\S+)/;
		$timed = min($timed, 1000 * ($after // 1e9) - 500);
		last if $timed <= $at_once;
	}
	cmp_ok($timed, '<=', $at_once, "statement_timeout while $name");
	for (1 .. 3)
	{
		my $run = begin_listing($arguments, 60_000);
		$test->wait_sql(q{SELECT count(*) FROM pg_stat_activity WHERE application_name = 'lister' AND wait_event_type = 'Extension'}, 1)
		  or die "no listing waits: $run->{err}";
		my $at = $test->sql(q{SELECT extract(epoch FROM clock_timestamp()) WHERE pg_cancel_backend(}
			  . q{(SELECT pid FROM pg_stat_activity WHERE application_name = 'lister'))});
		$run->{handle}->finish;
		my ($seen) = $run->{err} =~ /cancelled at (\S+)/;
		$cancelled = min($cancelled, 1000 * (($seen // 1e9) - $at));
		last if $cancelled <= $at_once;
	}
	cmp_ok($cancelled, '<=', $at_once, "pg_cancel_backend() while $name");
}
$oss->control('/reset?what=faults');
$test->sql('DROP SERVER mute CASCADE');
is(listed('odd', $all), '4000 4000, 4 requests', 'and listings go on');

# ---- a million keys in constant memory ----

my $million = $ENV{OSS_TEST_LONG} ? 1_000_000 : 100_000;
$oss->set(bucket => name => 'million', keys => $million);
my $peak = q{substring(pg_read_file('/proc/' || pg_backend_pid() || '/status') FROM 'VmHWM:\s+(\d+)')::bigint};
my ($before, $count, $after) = split /\n/, $test->sql(
	"SELECT $peak FROM (SELECT count(*) FROM oss_labels.list_objects('million', max_rows => 5000)) s;"
	  . " SELECT count(*) FROM oss_labels.list_objects('million', $all); SELECT $peak");
is($count, $million, "$million objects");
cmp_ok($after - $before, '<', OssServer::sizes_tell() ? 8 * 1024 : 1e9, "in the memory of five thousand: $before kB, then $after kB");

# ---- beside trouble: a bucket that is throttled, another role's backlog, a budget used up ----

$test->role('anna');
$test->bucket('shared', keys => 3000, throttle => 'imm', rate => 5);
$test->sql("SET ROLE anna; SELECT count(oss_labels.enqueue('shared', 'k' || g, server => 'oss', max_age => '0')) FROM generate_series(1, 500) g");
ok($test->wait_sql("SELECT bool_or(slowed_down) FROM oss_labels.rate_status() WHERE bucket = 'shared'", 't'), 'a backlog of labels is throttled');
my $began = time;
like($test->sql("SELECT count(*) FROM oss_labels.list_objects('shared', $all)"), qr/^3000$/, 'a listing beside it is complete');
cmp_ok(time - $began, '<', 5 * OssServer::patience(), 'and does not wait for its rate');
$test->sql("SELECT oss_labels.set_budget(0, 'day')");
is($test->sql("SELECT count(*) FROM oss_labels.list_objects('shared', $all)"), 3000, 'nor for a budget of label requests that is used up');
$test->sql("SELECT oss_labels.set_budget(NULL, 'day')");

$test->bucket('lists-too-much', keys => 3000);
$oss->fault(bucket => 'lists-too-much', scope => 'list', kind => 'error', code => 'SlowDown', every => 2);
is($test->sql("SELECT count(*) FROM oss_labels.list_objects('lists-too-much', $all)"), 3000, 'a listing that is throttled');
is($test->sql("SELECT count(*) FROM oss_labels.rate_status() WHERE bucket = 'lists-too-much' AND slowed_down"), 0, 'slows down no labels of its bucket');
$oss->control('/reset?what=faults');

# a server's own limit holds for both
$test->sql("ALTER SERVER oss OPTIONS (ADD max_requests_per_second '2')");
$began = time;
is($test->sql("SELECT count(*) FROM oss_labels.list_objects('longkeys', max_rows => 2500)"), 2500, 'a listing at two requests a second');
cmp_ok(time - $began, '>', 0.9, 'takes its time');
$test->sql("ALTER SERVER oss OPTIONS (DROP max_requests_per_second)");

# ---- accounts ----

ok($test->wait_sql("SELECT coalesce(sum(listings), 0) FROM oss_labels.usage WHERE bucket = 'million'",
	$test->sql("SELECT (5000 + $million) / 1000")), 'requests for pages are accounted for');
is($test->sql("SELECT coalesce(sum(requests), 0) FROM oss_labels.usage WHERE bucket = 'million'"), 0, 'and are no label requests');

done_testing();
