# A bucket as a foreign table, beside others' trouble: labels are paid for what changed
# alone, pages are asked for as they are read, a listing ends at once when it is
# cancelled, and what fails in its middle says so.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use lib 'test/perl';
use QueueTest;
use Trouble;

my $test = QueueTest->new(name => 'bucket');
my ($node, $oss) = ($test->{node}, $test->{oss});
my %spent = (album => {}, stack => {});

# Requests for labels and listings of a bucket since the last call.
sub spent
{
	my ($bucket) = @_;
	my $now = $oss->tally(bucket => $bucket);
	my $before = $spent{$bucket};
	$spent{$bucket} = $now;
	return join ', ', map { ($now->{"${_}_requests"} - ($before->{"${_}_requests"} // 0)) . " $_" } qw(label list);
}

sub sql { return $test->sql(@_) }

# A made-up bucket, and a table of it.
sub make
{
	my ($name, $keys, %more) = @_;
	$oss->set(bucket => name => $name, keys => $keys, labels => 10, %more);
	sql(qq{IMPORT FOREIGN SCHEMA "$name" FROM SERVER oss INTO public});
	$spent{$name} = {};
	return;
}

my $tagged = 'SELECT count(*), count(DISTINCT o.key) FROM album o, LATERAL oss_labels.tag(o.bucket, o.key, thr => 0, etag => o.etag) l';
my $trouble = Trouble->new($test);
$trouble->begin;
sql("ALTER DATABASE postgres SET oss_labels.server = 'oss'");
make('album', 300);
make('stack', 5000);

# ---- labels of a bucket ----

is(sql("$tagged WHERE o.key < 'photos/0000/0000010.jpg'"), '100|10', 'some objects are tagged');
is(spent('album'), '10 label, 1 list', 'for a request each');
is(sql($tagged), '3000|300', 'all objects are');
is(spent('album'), '290 label, 1 list', 'for a request for each other one');
is(sql($tagged), '3000|300', 'again');
is(spent('album'), '0 label, 1 list', 'for nothing but the listing');
$oss->set(objects => bucket => 'album', from => 0, to => 299, every => 43, changed => 1);
my $holder = $node->background_psql('postgres');
$holder->query_safe('BEGIN; SELECT FROM oss_labels.image WHERE bucket = \'album\' FOR UPDATE');
is(sql($tagged), '3000|300', 'seven are overwritten, while another transaction has locked what is stored');
is(spent('album'), '7 label, 1 list', 'they alone are asked for');
$holder->query_safe('ROLLBACK');
$holder->quit;
$oss->set(objects => bucket => 'album', from => 290, to => 299, deleted => 1);
is(sql($tagged), '2900|290', 'ten are deleted');
is(spent('album'), '0 label, 1 list', 'which costs nothing');

# ---- what is joined and filtered comes before what is paid for ----

sql("CREATE TABLE mine (key text COLLATE \"C\" PRIMARY KEY, note text);"
	  . "INSERT INTO mine SELECT 'photos/0000/' || lpad(i::text, 7, '0') || '.jpg', 'n' FROM generate_series(1, 1000, 10) i;"
	  . 'ANALYZE mine');
make('fresh', 3000);
my $of_fresh = 'LATERAL oss_labels.tag(o.bucket, o.key, thr => 0, etag => o.etag) l';
is(sql("SELECT count(DISTINCT o.key) FROM fresh o, $of_fresh, mine m WHERE m.key = o.key AND m.key < 'photos/0000/0000500.jpg'"),
	50, 'a join with a table of the user');
is(spent('fresh') =~ /^50 label/, 1, 'is made first');
$oss->set(objects => bucket => 'fresh', from => 0, to => 2999, size => 50_000_000);
$oss->set(objects => bucket => 'fresh', from => 2500, to => 2504, size => 1000);
is(sql("SELECT count(DISTINCT o.key) FROM fresh o, $of_fresh WHERE o.size <= 20971520"), 5, 'a condition on the size');
is(spent('fresh'), '5 label, 3 list', 'too');
is(sql("SELECT count(*), count(m.note) FROM stack o LEFT JOIN mine m USING (key) LEFT JOIN LATERAL oss_labels.tag(o.bucket, o.key, thr => 0, etag => o.etag) l ON l.label_level = 99 WHERE o.key < 'photos/0000/0000020.jpg'"),
	'20|2', 'outer joins');
is(spent('stack'), '20 label, 1 list', 'ask for each object once');
sql('CREATE TABLE kept AS SELECT o.key, l.label_name FROM stack o, LATERAL oss_labels.tag(o.bucket, o.key, thr => 0, etag => o.etag) l'
	  . " WHERE o.key ^@ 'photos/0000/00000'; INSERT INTO kept SELECT o.key, l.label_name FROM stack o,"
	  . " LATERAL oss_labels.tag(o.bucket, o.key, thr => 0, etag => o.etag) l WHERE o.key ^@ 'photos/0000/00001'");
is(sql('SELECT count(*), count(DISTINCT key) FROM kept'), '2000|200', 'CREATE TABLE AS and INSERT ... SELECT');
is(spent('stack'), '180 label, 2 list', 'ask for what is not stored yet');

# ---- pages ----

is(sql('SELECT count(*) FROM (SELECT * FROM stack LIMIT 10) s'), 10, 'LIMIT');
is(spent('stack'), '0 label, 1 list', 'is one request');
is(sql('SELECT count(*) FROM (SELECT * FROM stack ORDER BY key OFFSET 1500 LIMIT 10) s'), 10, 'LIMIT in the second page');
is(spent('stack') =~ /^0 label, [23] list$/, 1, 'asks for no page behind the next one');
my $reader = $node->background_psql('postgres');
$reader->query_safe('BEGIN; DECLARE c CURSOR FOR SELECT key FROM stack');
is(spent('stack'), '0 label, 0 list', 'a cursor asks for nothing before it is read');
$reader->query_safe('MOVE 50 FROM c');
is(spent('stack'), '0 label, 1 list', 'its first rows are one request');
$reader->query_safe('MOVE 200 FROM c');
my $until = time + 10;
sleep 0.02 while $oss->tally(bucket => 'stack')->{list_requests} == $spent{stack}->{list_requests} && time < $until;
is(spent('stack'), '0 label, 1 list', 'while a page is read, the next one is asked for');
# what others do meanwhile, the reader's own transaction first
$reader->query_safe('SAVEPOINT s; DECLARE d CURSOR FOR SELECT key FROM stack; MOVE 300 FROM d');
like($reader->query_safe('ROLLBACK TO s; FETCH 1 FROM c'), qr/0000250\.jpg/, 'a listing goes on when another one is rolled back');
sql('ALTER SERVER oss OPTIONS (ADD max_attempts \'4\')');
$reader->query_safe('MOVE 4000 FROM c');
like($reader->query_safe('FETCH 1 FROM c; COMMIT'), qr/0004251\.jpg/, 'and when the server is altered');
is(sql('SELECT pg_catalog.count(*) FROM (SELECT key, lag(key) OVER () AS last FROM stack) s WHERE last >= key'), 0,
	'keys come in the order of their bytes');
$reader->quit;
spent('stack');

# ---- rescans ----

is(sql('SET enable_material = off; SET enable_hashjoin = off; SET enable_mergejoin = off;'
	  . ' SELECT count(*) FROM generate_series(1, 3) g CROSS JOIN stack'), 15000, 'a listing that is read again');
spent('stack');
my $plan = sql('SET enable_material = off; EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF)'
	  . ' SELECT count(*) FROM (SELECT g FROM generate_series(1, 3) g OFFSET 0) g'
	  . " LEFT JOIN stack o ON o.key > 'photos/0004/' || g");
like($plan, qr/Listings: [13]\b/, 'EXPLAIN ANALYZE shows what is listed again');
my ($shown) = $plan =~ /Requests: (\d+)/;
is(spent('stack'), "0 label, $shown list", 'and the requests that it took');
sql('CREATE TABLE looked_up (key text COLLATE "C")');
sql("INSERT INTO looked_up VALUES ('photos/0001/0001000.jpg'), ('photos/0003/0003003.jpg'), ('no'), (NULL)");
sql('ANALYZE looked_up');
is(sql('SELECT count(*) FROM looked_up u JOIN stack o ON o.key = u.key'), 2, 'few keys of a join');
is(spent('stack'), '0 label, 3 list', 'are looked up each');

# ---- concurrent updates ----

sql("CREATE TABLE counted (key text COLLATE \"C\" PRIMARY KEY, size bigint, n integer DEFAULT 0)");
sql("INSERT INTO counted VALUES ('photos/0000/0000000.jpg')");
my ($one, $other) = map { $node->background_psql('postgres') } 1 .. 2;
$one->query_safe('BEGIN; UPDATE counted SET n = n + 1');
$other->query_until(qr/begun/, "\\echo begun\nUPDATE counted c SET n = c.n + 1, size = o.size FROM stack o WHERE o.key = c.key;\n");
ok($test->wait_sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'UPDATE counted c%'", 1),
	'an UPDATE from a bucket waits for another one');
$one->query_safe('COMMIT');
$other->query_safe('SELECT');
is(sql('SELECT n, size > 0 FROM counted'), '2|t', 'and then sees its row');
$_->quit for $one, $other;
spent('stack');

# ---- rights ----

$test->role('lister');
sql('GRANT SELECT ON stack TO lister; REVOKE USAGE ON FOREIGN SERVER oss FROM lister');
is(sql('SET ROLE lister; SELECT count(*) FROM (SELECT key FROM stack LIMIT 1) s'), 1,
	'who may read the table and has a mapping needs no USAGE on the server');
ok($test->wait_sql("SELECT sum(listings) FROM oss_labels.usage WHERE requester = 'lister'", 1), 'and is the one who is counted');
sql('CREATE VIEW through AS SELECT key FROM stack; GRANT SELECT ON through TO lister; DROP USER MAPPING FOR lister SERVER oss');
is(sql('SET ROLE lister; SELECT count(*) FROM (SELECT key FROM through LIMIT 1) s'), 1, "a view lists by its owner's mapping");
like($test->sql_error('SET ROLE lister; SELECT * FROM stack LIMIT 1'), qr/ERROR:  42704: role "lister" has no user mapping/,
	'without a mapping a table does not');
spent('stack');

# ---- what goes wrong in the middle ----

$oss->fault(bucket => 'stack', scope => 'list', kind => 'error', code => 'AccessDenied', skip => 2);
my $error = $test->sql_error('SELECT count(*) FROM stack');
like($error, qr/ERROR:  42501: could not get the listing of "oss:\/\/stack\/"/, 'page three is denied');
like($error, qr/HINT: .*oss:ListObjects/, 'with a hint that names the right');
is(spent('stack'), '0 label, 3 list', 'after two pages');
$oss->control('/unfault');
$oss->fault(bucket => 'stack', scope => 'list', kind => 'listing', variant => 'truncated', skip => 2, times => 1);
is(sql('SELECT count(*), count(DISTINCT key) FROM stack'), '5000|5000', 'a page that is cut off is asked for again');
is(spent('stack'), '0 label, 6 list', 'alone');

# ---- cancelled ----

$oss->fault(bucket => 'stack', scope => 'list', kind => 'hang', skip => 1);
my @took;
for my $how ('cancel', 'statement_timeout', 'terminate')
{
	my ($out, $err) = ('', '');
	my $setting = $how eq 'statement_timeout' ? "SET statement_timeout = '300ms';" : '';
	my $run = IPC::Run::start(
		[ $node->installed_command('psql'), '-XAtq', '-v', 'VERBOSITY=verbose', '-d', $node->connstr('postgres'),
			'-c', "$setting SELECT /* stuck */ count(*) FROM stack" ],
		'<', '/dev/null', '>', \$out, '2>', \$err);
	my $begun = time;
	if ($how eq 'statement_timeout')
	{
		$begun += 0.3;
	}
	else
	{
		ok($test->wait_sql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%/* stuck */%' AND wait_event_type = 'Extension' AND pid <> pg_backend_pid()", 1),
			"$how: a listing waits for its second page");
		my $done = sql("SELECT pg_${how}_backend(pid) FROM pg_stat_activity WHERE query LIKE '%/* stuck */%' AND pid <> pg_backend_pid()");
		is($done, 't', "$how: sent");
		$begun = time;
	}
	$run->finish;
	push @took, time - $begun;
	cmp_ok($took[-1], '<', 5 * OssServer::patience(), "$how: soon");
	like($err, $how eq 'terminate' ? qr/57P01|terminating connection/ : qr/ERROR:  57014/, "$how: ends it");
}
my $cancelled = (sort { $a <=> $b } @took)[0];
cmp_ok($cancelled, '<', 0.2 * OssServer::patience(), 'at once');
$oss->control('/unfault');
is(sql('SELECT count(*) FROM stack'), 5000, 'and the next one lists all');

# ---- a listing and its catalog elsewhere ----

my $dump = PostgreSQL::Test::Utils::tempdir . '/dump.sql';
$node->command_ok([ 'pg_dump', '-s', '-d', $node->connstr('postgres'), '-f', $dump ], 'a database with tables of buckets is dumped');
sql('CREATE DATABASE restored');
$node->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('restored'), '-f', $dump ], 'and restored');
sql("ALTER USER MAPPING FOR CURRENT_USER SERVER oss OPTIONS (SET access_key_secret 'testsecret')", 'restored');
is(sql('SELECT count(*) FROM stack', 'restored'), 5000, 'where the same is listed');
sql('DROP DATABASE restored WITH (FORCE)');

# ---- versions ----

$oss->put('versioned', 'a.jpg', 'first');
$oss->put('versioned', 'b.jpg', 'only');
$oss->set(object => bucket => 'versioned', key => 'a.jpg', version => 'V1', content => 'b.jpg');
$oss->set(object => bucket => 'versioned', key => 'c.jpg', version => 'V2', delete_marker => 1);
sql('IMPORT FOREIGN SCHEMA "versioned" FROM SERVER oss INTO public OPTIONS (versions \'true\')');
is( sql("SELECT key, is_latest, is_delete_marker, size IS NULL, etag IS NULL, version_id IN ('V1', 'V2') FROM versioned ORDER BY key, is_latest"),
	"a.jpg|f|f|f|f|t\na.jpg|t|f|f|f|f\nb.jpg|t|f|f|f|f\nc.jpg|t|t|t|t|t", 'versions and delete markers');
is(sql("SELECT string_agg(version_id, ',') FROM versioned WHERE key = 'a.jpg' AND NOT is_latest"), 'V1', 'of one key');

# ---- encodings ----

for my $encoding (qw(latin1 euc_cn))
{
	sql("CREATE DATABASE d_$encoding ENCODING '$encoding' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'");
	sql($test->create_sql . 'CREATE FOREIGN TABLE named (bucket text, key text COLLATE "C") SERVER oss OPTIONS (bucket \'named\')', "d_$encoding");
}
$oss->put('named', $_, 'x') for 'plain', "caf\xc3\xa9/1", "\xe7\x85\xa7\xe7\x89\x87/1", "\xf0\x9f\x90\x88";
sub named { return $test->sql("SET client_encoding = 'UTF8'; SELECT string_agg(key, ' ' ORDER BY key) FROM named WHERE $_[1]", "d_$_[0]") }
is(named('latin1', "key LIKE E'caf\\u00e9%'"), "caf\xc3\xa9/1", 'LATIN1: a prefix is converted');
is(named('latin1', "key > 'a'"), "caf\xc3\xa9/1 plain", 'keys that it does not have are left out');
like($test->sql_error('SELECT count(*) FROM named', 'd_latin1'), qr/WARNING:  22P05: 2 objects of bucket "named" are left out/, 'with a warning');
is(named('euc_cn', "key ^@ E'\\u7167\\u7247'"), "\xe7\x85\xa7\xe7\x89\x87/1", 'EUC_CN: a prefix is converted');
is(named('euc_cn', "key > E'\\u7167'"), "\xe7\x85\xa7\xe7\x89\x87/1", 'and bytes are compared as the database compares them');
done_testing();
