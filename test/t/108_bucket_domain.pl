# Each bucket at its own host: endpoint with {bucket}, and the view bucket_domain;
# who may write it, when it takes effect, and what a wrong one costs and says.

use strict;
use warnings;

use HTTP::Tiny;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use lib 'test/perl';
use OssTest qw(literal);

my $t = OssTest->new(conf => "shared_preload_libraries = 'oss_labels'\n");
my ($oss, $node) = @$t{qw(oss node)};
my $port = $oss->http_port;
my @buckets = qw(bucket-a bucket-b my_bucket);
$oss->set(bucket => name => $_, image => 'examplebucket/example.jpg', labels => 3) for @buckets;
$oss->put($_, 'shown.jpg', slurp_file($oss->data_dir . '/examplebucket/example.jpg')) for @buckets;

# Domains of the stand-in: one for each bucket, by a pattern and by none.
sub domains
{
	$oss->control('/reset');
	$oss->set(bucket => name => $_, image => 'examplebucket/example.jpg', labels => 3) for @buckets;
	$oss->set(cname => host => "$_.img.localhost", bucket => $_) for @buckets;
	$oss->set(cname => host => 'holiday.localhost', bucket => 'bucket-a');
	$oss->set(cname => host => 'garden.localhost', bucket => 'bucket-b');
	return;
}
domains();

# The hosts that were asked since the last reset, each once, without the port.
sub hosts
{
	my %host = map { ((split /\t/)[2] =~ s/:\d+$//r) => 1 } split /\n/, $oss->logged;
	return join ' ', sort keys %host;
}

sub detect { return $t->outcome(OssTest::detect_sql($_[1] // 'k.jpg', $_[0])) }
sub insert { return "INSERT INTO oss_labels.bucket_domain VALUES ('$_[0]', '$_[1]', '$_[2]')" }
sub view { return $t->ok(q{SELECT string_agg(concat_ws(' ', server, bucket, host), ', ' ORDER BY server, bucket) FROM oss_labels.bucket_domain}) }

# ---- a pattern ----

$t->server(endpoint => "http://{bucket}.img.localhost:$port");
is(detect($_)->{rows}, 3, "$_: labels by its domain") for @buckets;
is($t->outcome("SELECT b, t.* FROM unnest(ARRAY['bucket-a','bucket-b','my_bucket']) b, generate_series(1, 5) g,"
	  . " LATERAL oss_labels.try_detect(b, 'k' || g) t WHERE t.error_code IS NULL")->{rows}, 45, 'try_detect() of three buckets at a time');
is($t->outcome("SELECT * FROM oss_labels.tag('bucket-b', 'tagged.jpg')")->{rows}, 3, 'tag()');
is($t->ok("SELECT size FROM oss_labels.object_info('bucket-a', 'shown.jpg')"), -s $oss->data_dir . '/bucket-a/shown.jpg', 'object_info()');
is($t->ok("SELECT string_agg(key, ' ') FROM oss_labels.list_objects('my_bucket')"), 'shown.jpg', 'list_objects() of an old name');
$t->ok("CREATE FOREIGN TABLE listed (bucket text, key text) SERVER oss");
is($t->ok("SELECT key FROM listed WHERE bucket = 'bucket-b'"), 'shown.jpg', 'a foreign table');
is(hosts(), 'bucket-a.img.localhost bucket-b.img.localhost my_bucket.img.localhost', 'all of it went to the domains');
for my $bucket (@buckets)
{
	my $url = $t->ok("SELECT oss_labels.presign('$bucket', 'shown.jpg')");
	like($url, qr{^http://\Q$bucket\E\.img\.localhost:$port/shown\.jpg\?}, "$bucket: presign() names its domain");
	is(HTTP::Tiny->new->get($url, { peer => '127.0.0.1' })->{status}, 200, "$bucket: and the URL opens");
}

sub checks
{
	my ($arguments) = @_;
	return $t->ok("SELECT check_name || ':' || coalesce(ok::text, '?') || ' ' || detail FROM oss_labels.check_server($arguments)");
}
my $checked = checks(q{'oss', 'bucket-a', 'k.jpg'});
unlike($checked, qr/:(false|\?)/, 'check_server() is content');
like($checked, qr/^options:true region cn-hangzhou, endpoint http:\/\/\{bucket\}\.img\.localhost:$port, addressing cname$/m, 'it shows the pattern');
like($checked, qr/^dns:true bucket-a\.img\.localhost is /m, "and looks up the bucket's host");
like(checks(q{'oss'}), qr/^dns:\? cannot tell: .*placeholder/m, 'without a bucket it cannot tell');
like(checks(q{'oss', 'Bucket.evil'}), qr/^arguments:false /m, 'no host is made of a bad name');

domains();
for my $bucket ('evil.example', 'a/b', 'x@evil.example', 'evil.example#', 'Bucket-A', '_bad', 'bad-', '{bucket}', '..', "b\nc")
{
	is(detect($bucket)->{sqlstate}, '22023', 'refused: ' . $bucket =~ s/\n/ /r);
	is($t->outcome('SELECT oss_labels.presign(' . literal($bucket) . q{, 'k')})->{sqlstate}, '22023', 'and no URL is made');
}
is($oss->count('requests_total'), 0, 'nothing was sent');
my $long = 'b' x 63;
$t->server(endpoint => "http://img-{bucket}.localhost:$port");
my $outcome = detect($long);
is($outcome->{sqlstate}, '55000', 'a bucket that makes the host too long: 55000');
like($outcome->{message}, qr/no domain for the bucket/, 'says so');
like($outcome->{hint}, qr/bucket_domain/, 'and what is missing');
is($t->outcome("SELECT oss_labels.presign('$long', 'k')")->{sqlstate}, '55000', 'no URL either');
like(checks("'oss', '$long'"), qr/^dns:false .*no domain/m, 'check_server() says it');
$t->ok(insert('oss', $long, "http://garden.localhost:$port"));
$oss->set(cname => host => 'garden.localhost', bucket => $long);
$oss->set(bucket => name => $long, image => 'examplebucket/example.jpg', labels => 2);
is(detect($long)->{rows}, 2, 'its row helps');

# ---- no pattern ----

domains();
$t->server;
$t->ok("INSERT INTO oss_labels.bucket_domain VALUES ('oss', 'bucket-a', 'http://holiday.localhost:$port'), ('oss', 'bucket-b', 'http://garden.localhost:$port')");
is(view(), "oss bucket-a http://holiday.localhost:$port, oss bucket-b http://garden.localhost:$port", 'the view shows its rows');
is(detect($_)->{rows}, 3, "$_: labels") for @buckets;
is(hosts(), '127.0.0.1 garden.localhost holiday.localhost', 'a bucket without a domain falls back to the endpoint');
$t->ok("ALTER SERVER oss OPTIONS (SET endpoint 'http://{bucket}.img.localhost:$port')");
domains();
is(detect($_)->{rows}, 3, "$_: labels") for @buckets;
is(hosts(), 'garden.localhost holiday.localhost my_bucket.img.localhost', 'a row comes before the pattern');

# what cannot be a row
my %bad = (
	'a host with a path' => [ 'oss', 'my_bucket', 'img.example.com/x', '22023' ],
	'plain http' => [ 'oss', 'my_bucket', 'http://img.example.com', '22023' ],
	'two in one' => [ 'oss', 'my_bucket', 'img.example.com, bucket-c=evil.example', '22023' ],
	'a password' => [ 'oss', 'my_bucket', 'https://me:topsecret@img.example.com', '22023' ],
	'a pattern' => [ 'oss', 'my_bucket', '{bucket}.example.com', '22023' ],
	'a numeric spelling' => [ 'oss', 'my_bucket', '0x7f.1', '22023' ],
	'an endpoint that all buckets share' => [ 'oss', 'my_bucket', 'oss-cn-hangzhou.aliyuncs.com', '22023' ],
	'no host' => [ 'oss', 'my_bucket', '', '22023' ],
	'a bad bucket' => [ 'oss', 'My.Bucket', 'img.example.com', '22023' ],
	'a bucket that has one' => [ 'oss', 'bucket-a', 'img.example.com', '23505' ],
	'no such server' => [ 'nosuch', 'my_bucket', 'img.example.com', '42704' ]);
for my $what (sort keys %bad)
{
	my ($server, $bucket, $host, $sqlstate) = @{ $bad{$what} };
	my ($out, $err) = $t->psql(insert($server, $bucket, $host));
	like($err, qr/ERROR:  $sqlstate: /, "$what: $sqlstate");
	like($err, qr/HINT:  /, "$what: has a hint");
	unlike($err, qr/topsecret/, "$what: tells no password") if $host =~ /topsecret/;
}
for my $null (q{NULL, 'b-1', 'h.example.com'}, q{'oss', NULL, 'h.example.com'}, q{'oss', 'b-1', NULL})
{
	my ($out, $err) = $t->psql("INSERT INTO oss_labels.bucket_domain VALUES ($null)");
	like($err, qr/ERROR:  23502: /, "($null): 23502");
}
$t->ok("CREATE FOREIGN DATA WRAPPER other; CREATE SERVER elsewhere FOREIGN DATA WRAPPER other");
like(($t->psql(insert('elsewhere', 'bucket-a', 'img.example.com')))[1], qr/ERROR:  42809: /, "another wrapper's server: 42809");
for my $value ('bucket-a', 'bucket-a=', '=img.example.com', 'bucket-a=x.com=y.com', 'bucket-a=x.com y.com',
	'bucket-a=x.com, bucket-a=y.com', 'bucket-a=x.com;bucket-b=y.com')
{
	like(($t->psql('ALTER SERVER oss OPTIONS (SET bucket_domains ' . literal($value) . ')'))[1], qr/ERROR:  22023: /, "bucket_domains '$value': 22023");
}
$t->ok("ALTER SERVER oss OPTIONS (SET bucket_domains E' bucket-b = GARDEN.localhost:1 ,\\n\\tbucket-a=holiday.localhost,')");
is(view(), 'oss bucket-a holiday.localhost, oss bucket-b GARDEN.localhost:1', 'the option, with blanks');
$t->ok("UPDATE oss_labels.bucket_domain SET host = 'http://garden.localhost:$port' WHERE bucket = 'bucket-b'");
$t->ok("DELETE FROM oss_labels.bucket_domain WHERE bucket = 'bucket-a'");
is(view(), "oss bucket-b http://garden.localhost:$port", 'UPDATE and DELETE');
$t->ok("UPDATE oss_labels.bucket_domain SET bucket = 'bucket-c'");
is(view(), "oss bucket-c http://garden.localhost:$port", 'UPDATE of the bucket');
is($t->ok('WITH d AS (DELETE FROM oss_labels.bucket_domain RETURNING *) SELECT count(*) FROM d'), '1', 'DELETE of the last');
is($t->ok("SELECT count(*) FROM pg_foreign_server WHERE srvoptions::text ~ 'bucket_domains'"), '0', 'leaves no option');

# ---- when it takes effect: in sessions that run, and when it is rolled back ----

my $other = 'psql -XAtq -d ' . literal($node->connstr('postgres')) . ' -c ';
my $host_a = "http://holiday.localhost:$port";
my $query = "SELECT count(*) FROM oss_labels.detect('bucket-a', 'k.jpg');\n";
domains();
my ($out, $err) = $t->psql($query . "\\! $other \"" . insert('oss', 'bucket-a', $host_a) . "\"\n" . $query
	  . "BEGIN;\nUPDATE oss_labels.bucket_domain SET host = 'http://garden.localhost:$port';\n"
	  . "SELECT 'own ' || host FROM oss_labels.bucket_domain;\nROLLBACK;\n" . $query
	  . "BEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT 'before ' || count(*) FROM oss_labels.bucket_domain;\n"
	  . "\\! $other \"" . insert('oss', 'bucket-b', "http://garden.localhost:$port") . "\"\n"
	  . insert('oss', 'my_bucket', "http://third.localhost:$port") . ";\nCOMMIT;\n");
is($out, "3\n3\nown http://garden.localhost:$port\n3\nbefore 1", 'a session sees what another has inserted, and no rollback');
is(join(' ', map { (split /\t/)[2] } split /\n/, $oss->logged), join(' ', map { "$_:$port" } qw(bucket-a.img.localhost holiday.localhost holiday.localhost)),
	'by the hosts that it asked');
is($t->ok('SELECT count(*) FROM oss_labels.bucket_domain'), 3, 'what REPEATABLE READ inserts keeps what was committed meanwhile');

# two sessions at a time: neither loses the other's rows, and no error
my @runs = map {
	my $i = $_;
	$t->begin(join '', map { insert('oss', "many-$i-$_", "m$i$_.localhost") . ";\n" } 1 .. 20)
} 1 .. 4;
is(join('', map { ($t->finish($_))[1] } @runs), '', 'four sessions insert at a time');
is($t->ok("SELECT count(*) FROM oss_labels.bucket_domain WHERE bucket LIKE 'many-%'"), 80, 'and all rows are there');
$t->ok("INSERT INTO oss_labels.bucket_domain SELECT 'oss', 'more-' || g, 'm' || g || '.example.com' FROM generate_series(1, 200) g");
is($t->ok("DELETE FROM oss_labels.bucket_domain WHERE bucket ~ '^m[ao]'; SELECT count(*) FROM oss_labels.bucket_domain"), 3, 'hundreds at a time');

# ---- it follows its server: renamed, dumped, dropped ----

$t->ok('ALTER SERVER oss RENAME TO renamed');
like(view(), qr/^renamed bucket-a .*, renamed bucket-b /, 'a renamed server keeps its domains');
domains();
is(detect('bucket-a')->{rows}, 3, 'and uses them');
is(hosts(), 'holiday.localhost', 'for its requests');
$t->ok('ALTER SERVER renamed RENAME TO oss; CREATE DATABASE restored');
$node->run_log([ 'bash', '-c', 'pg_dump -d ' . literal($node->connstr('postgres')) . ' | psql -Xq -v ON_ERROR_STOP=0 -d ' . literal($node->connstr('restored')) . ' >/dev/null 2>&1' ]);
is($t->ok('SELECT count(*) FROM oss_labels.bucket_domain', dbname => 'restored'), 3, 'a restored one has them');
$t->ok('DROP SERVER oss CASCADE');
is(view(), '', 'a dropped one has none');
$t->server;
is(view(), '', 'nor one that is created by its name');

# ---- who may write it: other tenants' requests cannot be led away ----

$t->ok(q{CREATE ROLE owner_a; CREATE ROLE member_a IN ROLE owner_a; CREATE ROLE tenant;
	GRANT USAGE ON FOREIGN DATA WRAPPER oss_labels TO owner_a;
	GRANT USAGE ON SCHEMA oss_labels TO owner_a, member_a, tenant;
	GRANT USAGE ON FOREIGN SERVER oss TO tenant;
	CREATE USER MAPPING FOR tenant SERVER oss OPTIONS (access_key_id 'stsid', access_key_secret 'stssecret', security_token 'ststoken');
	CREATE SERVER of_a FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou'); ALTER SERVER of_a OWNER TO owner_a;
	ALTER SERVER oss OWNER TO CURRENT_USER} . ';' . insert('oss', 'bucket-a', $host_a));
my @attacks = (insert('oss', 'bucket-b', 'evil.localhost'), insert('of_a', 'bucket-b', 'evil.localhost'),
	"UPDATE oss_labels.bucket_domain SET host = 'evil.localhost'", 'DELETE FROM oss_labels.bucket_domain',
	"ALTER SERVER oss OPTIONS (SET bucket_domains 'bucket-a=evil.localhost')");
for my $granted (0, 1)
{
	$t->ok('GRANT ALL ON ALL TABLES IN SCHEMA oss_labels TO tenant, owner_a; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA oss_labels TO tenant') if $granted;
	for my $attack (@attacks)
	{
		my ($out, $err) = $t->psql("SET ROLE tenant;\n$attack;\n");
		like($err, qr/ERROR:  42501: /, ($granted ? 'with' : 'without') . " grants: $attack");
	}
}
($out, $err) = $t->psql("SET ROLE owner_a;\n" . insert('oss', 'bucket-b', 'evil.localhost'));
like($err, qr/ERROR:  42501: /, "the owner of another server may not");
is(($t->psql("SET ROLE member_a;\n" . insert('of_a', 'bucket-b', "http://garden.localhost:$port")))[1], '', 'a member of the owner may');
($out, $err) = $t->psql("SET ROLE owner_a;\nUPDATE oss_labels.bucket_domain SET server = 'oss' WHERE server = 'of_a'");
like($err, qr/ERROR:  42501: /, 'nor move a row of his to it');
is(view(), "of_a bucket-b http://garden.localhost:$port, oss bucket-a $host_a", 'all of which changed nothing');
domains();
$t->psql("SET ROLE tenant; SET oss_labels.server = 'oss'; $query");
is(hosts(), 'holiday.localhost', "a tenant's request goes where the server's owner says");
is($oss->count('code_SignatureDoesNotMatch'), 0, 'signed for it');
($out, $err) = $t->psql("BEGIN READ ONLY;\n" . insert('oss', 'bucket-b', 'x.localhost'));
like($err, qr/ERROR:  25006: /, 'not in a read-only transaction');
$t->ok('DROP SERVER of_a');

# ---- the wrong domain is named as that ----

domains();
$t->ok("INSERT INTO oss_labels.bucket_domain VALUES ('oss', 'bucket-b', 'http://holiday.localhost:$port')");
$outcome = detect('bucket-b');
is($outcome->{sqlstate}, '28000', "another bucket's domain: 28000");
like($outcome->{message}, qr/: the custom domain is another bucket's/, 'named first');
like($outcome->{detail}, qr/The domain asked for bucket "bucket-b" is "holiday\.localhost"\./, 'with its name');
like($outcome->{hint}, qr/bucket_domain/, 'and where to look');
is($t->requests, 1, 'by one request');
is(detect('bucket-a')->{rows}, 3, "the domain's own bucket is in order");
like(checks(q{'oss', 'bucket-b'}), qr/^signature:false .*another bucket's.*holiday\.localhost/ms, 'check_server() says it, too');

# the worker: a watched table with both; one is paused, the other goes on
$t->ok("CREATE TABLE picture (bucket text, key text); SELECT oss_labels.watch('picture', 'key', bucket_column => 'bucket', server => 'oss')");
domains();
$t->ok(q{INSERT INTO picture SELECT b, 'w' || g FROM generate_series(1, 50) g, unnest(ARRAY['bucket-b', 'bucket-a']) b});
sub settled
{
	my ($what, $sql, $wanted) = @_;
	$t->wait_for($what, sub { $t->ok($sql) eq $wanted });
	return pass($what);
}
my $stored = "SELECT count(*) FROM oss_labels.image WHERE key LIKE 'w%' AND bucket = ";
settled("the worker tags the domain's own bucket", "$stored 'bucket-a'", '50');
settled('and pauses the other alone', "SELECT string_agg(DISTINCT bucket || ' ' || (reason ~ 'custom domain')::text, ',') FROM oss_labels.active_pause WHERE server = 'oss'", 'bucket-b true');
is($t->ok('SELECT count(*) FROM oss_labels.failed_job'), '0', 'no job has failed');
cmp_ok($oss->tally(bucket => 'bucket-a')->{label_requests}, '<=', 50 + 32, 'a few requests found it out');
is($oss->tally(bucket => 'bucket-b')->{label_requests} // 0, 0, 'of which none reached the other bucket');
$t->ok("UPDATE oss_labels.bucket_domain SET host = 'http://garden.localhost:$port' WHERE bucket = 'bucket-b'");
settled('the right domain ends the pause, at once', "$stored 'bucket-b'", '50');
is($oss->tally(bucket => 'bucket-b')->{label_requests}, 50, 'each image was asked for once');

# sync_bucket() of a bucket with a domain
domains();
$t->ok("SELECT oss_labels.sync_bucket('bucket-b', prefix => 'sho', server => 'oss')");
settled('sync_bucket() lists and tags there', "SELECT count(*) FROM oss_labels.image WHERE bucket = 'bucket-b' AND key = 'shown.jpg'", '1');
is(hosts(), 'garden.localhost', 'at its domain');

# ---- a domain that is not there harms no other bucket ----

domains();
$t->ok("UPDATE oss_labels.bucket_domain SET host = 'https://127.0.0.1:" . $t->port_of('EXPIRED') . "' WHERE bucket = 'bucket-b'");
$t->ok('ALTER SERVER oss OPTIONS (ADD ca_file ' . literal($oss->ca_file) . ", ADD max_attempts '1')");
my @calls = map { "SELECT public.outcome(" . literal(OssTest::detect_sql('k.jpg', $_)) . ") ->> 'message';\n" }
  (('bucket-b') x 7, 'bucket-a');
($out, $err) = $t->psql(join '', @calls);
is(scalar(() = $out =~ /certificate was refused/g), 7, 'a bad certificate of one domain');
$t->ok("UPDATE oss_labels.bucket_domain SET host = '127.0.0.1:" . OssTest::closed_port . "' WHERE bucket = 'bucket-b'");
($out, $err) = $t->psql(join '', @calls);
like($out, qr/several times in a row/, 'a domain that is not reached');
my $closed = OssTest::closed_port;
$t->ok("INSERT INTO oss_labels.bucket_domain VALUES ('oss', 'third-1', '127.0.0.1:$closed')");
($out, $err) = $t->psql(join '', @calls[ 0 .. 6 ], "SELECT public.outcome(" . literal(OssTest::detect_sql('k.jpg', 'third-1')) . ") ->> 'message';\n");
like($out, qr/several times in a row.*third-1\/k\.jpg": could not connect to the endpoint$/s, 'which says nothing of a third');
is($oss->count('label_answers'), 2, "the other bucket's requests are sent all the same");
$t->ok("INSERT INTO picture VALUES ('bucket-b', 'x1'), ('bucket-a', 'x1'), ('bucket-a', 'x2')");
settled('and the worker goes on with it', "SELECT count(*) FROM oss_labels.image WHERE bucket = 'bucket-a' AND key LIKE 'x%'", '2');
$t->ok("UPDATE oss_labels.bucket_domain SET host = 'https://127.0.0.1:" . $t->port_of('EXPIRED') . "' WHERE bucket = 'bucket-b'");
$t->ok("INSERT INTO picture VALUES ('bucket-b', 'x3'), ('bucket-a', 'x3')");
settled('beside a bad certificate, too', "SELECT count(*) FROM oss_labels.image WHERE bucket = 'bucket-a' AND key = 'x3'", '1');
$t->ok("UPDATE oss_labels.bucket_domain SET host = '169.254.1.1' WHERE bucket = 'bucket-b'");
$t->ok("INSERT INTO picture VALUES ('bucket-b', 'x4'), ('bucket-a', 'x4')");
settled('a domain at a forbidden address pauses its bucket', "SELECT string_agg(DISTINCT bucket, ',') FROM oss_labels.active_pause WHERE reason ~ 'ForbiddenAddress|may not go to'", 'bucket-b');
settled('and no other', "SELECT count(*) FROM oss_labels.image WHERE bucket = 'bucket-a' AND key = 'x4'", '1');
is($t->ok("SELECT count(*) FROM oss_labels.active_pause WHERE bucket IS DISTINCT FROM 'bucket-b'"), '0', 'nothing else is paused');

done_testing();
