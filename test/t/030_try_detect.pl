# try_detect(): what belongs to the image is a row, what belongs to the set-up
# is an error; and an endpoint that is gone is set-up after a while.

use strict;
use warnings;

use JSON::PP ();
use Test::More;

use lib 'test/perl';
use OssTest qw(literal);

my $t = OssTest->new;
my $oss = $t->{oss};

sub try_sql
{
	my ($key, $bucket) = @_;
	return 'SELECT * FROM oss_labels.try_detect(' . literal($bucket // 'everykey') . ', ' . literal($key) . ')';
}

# ---- one bad key in a hundred ----

$oss->fault(key => 'photo42', code => 'ImageDamage');
for my $pipeline ('on', 'off')
{
	$oss->control('/reset?what=counters');
	my $out = $t->ok("SET oss_labels.pipeline = $pipeline;" . q{
		SELECT count(DISTINCT k), count(DISTINCT k) FILTER (WHERE label_name IS NOT NULL),
			count(*) FILTER (WHERE error_code IS NOT NULL),
			string_agg(k || ':' || http_status || ':' || error_code || ':' || coalesce(label_name, 'NULL'), ',')
				FILTER (WHERE error_code IS NOT NULL)
		FROM generate_series(1, 100) n, LATERAL (SELECT 'photo' || n) AS p(k),
			LATERAL oss_labels.try_detect('tenlabels', k)});
	is($out, '100|99|1|photo42:403:ImageDamage:NULL', "99 labelled images and one error row, pipeline $pipeline");
	is($t->requests, 100, "a hundred requests, pipeline $pipeline");
}

# ---- the four columns ----

$t->fault;
like($t->ok(q{SELECT bool_and(http_status = 200 AND error_code IS NULL AND error_message IS NULL
	AND request_id ~ '^[0-9A-F]{24}$') FROM oss_labels.try_detect('examplebucket', 'example.jpg')}),
	qr/^t$/, 'labels: status 200 and the request id');
like($t->ok(q{SELECT label_name IS NULL AND parent_label_name IS NULL AND label_level IS NULL
	AND label_confidence IS NULL AND centric_score IS NULL AND language IS NULL AND raw IS NULL,
	http_status, error_code, request_id ~ '^[0-9A-F]{24}$', error_message
	FROM oss_labels.try_detect('examplebucket', 'nosuch')}),
	qr/^t\|404\|NoSuchKey\|t\|could not get labels of "oss:\/\/examplebucket\/nosuch": the object does not exist\nHTTP status 404, Code NoSuchKey,/,
	'an error: NULL labels, and what went wrong');

# ---- image or set-up, by the table ----

my %setup = map { my ($code, $ec, $text, $setup) = split /\|/, $_, -1; $code && !$ec && !$text ? ($code => $setup) : () }
  split /\n/, $t->ok('SELECT code, ec, message_has, setup FROM oss_labels.error_table()');
my @codes = grep { exists $setup{$_} && !/^Imm/ } map { (split /\t/)[1] } split /\n/, $oss->control('/codes');
my %seen;
@codes = grep { !$seen{$_}++ } @codes;
$t->server(max_attempts => 1);
$oss->fault(key => $_, code => $_) for @codes;
my @outcomes = $t->outcomes(map { try_sql($_) } @codes);
for my $code (@codes)
{
	my $outcome = shift @outcomes;
	is(defined $outcome->{sqlstate} ? 't' : 'f', $setup{$code}, "$code: " . ($setup{$code} eq 't' ? 'raised' : 'a row'));
}
my %must = (
	InvalidAccessKeyId => 't', SignatureDoesNotMatch => 't', SecurityTokenExpired => 't',
	PermanentRedirect => 't', NoSuchKey => 'f', NoSuchBucket => 'f', AccessDenied => 'f',
	ImageDamage => 'f', ImageTooLarge => 'f', InternalError => 'f', SlowDown => 'f',
	InvalidObjectState => 'f', RequestTimeTooSkewed => 't', UserDisable => 't', BucketDisable => 't');
is_deeply({ map { $_ => $setup{$_} } keys %must }, \%must, 'what must be set-up is, what must not is not');

# ---- the set-up, as it really goes wrong ----

my @wrong = (
	[ 'an unknown key id', '28000', { access_key_id => 'nobody', access_key_secret => 'x' } ],
	[ 'a wrong secret', '28000', { access_key_id => 'testid', access_key_secret => 'wrong' } ],
	[ 'an expired token', '28000', { access_key_id => 'expiredid', access_key_secret => 'expiredsecret', security_token => 'expiredtoken' } ],
	[ 'no credentials', '28000', { credential_source => 'environment' } ],
	[ 'a wrong region', '55000', undef, region => 'cn-shanghai' ],
	[ 'a certificate', '08001', undef, $t->https('127.0.0.1', $t->port_of('EXPIRED')) ]);
for my $case (@wrong)
{
	my ($name, $sqlstate, $mapping, %option) = @$case;
	$t->fault;
	$t->server(%option, $mapping ? (mapping => $mapping) : ());
	is($t->outcome(try_sql('a'))->{sqlstate}, $sqlstate, "$name: raised");
	cmp_ok($t->requests, '<=', 1, "$name: one request at most");
}
$t->server;
is($t->outcome(try_sql('example.jpg', 'unattached'))->{sqlstate}, '55000', 'not attached to IMM: raised');
is($t->outcome(try_sql('example.jpg', 'examplebucket') =~ s/'\)/', 2)/r)->{sqlstate}, '22023', 'a bad threshold: raised');
$t->fault;
is($t->outcome(try_sql('example.jpg', 'Bad_Bucket'))->{rows}, 1, 'a bad bucket name: a row');
is($t->outcome(try_sql('/example.jpg', 'examplebucket'))->{rows}, 1, 'a bad key: a row');
is($t->requests, 0, 'without a request');
my $denied = 'DROP SERVER oss CASCADE';
$t->ok($denied);
is($t->outcome(try_sql('a'))->{sqlstate}, '55000', 'no server: raised');
$t->ok("CREATE SERVER oss FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou')");
is($t->outcome(try_sql('a'))->{sqlstate}, '42704', 'no mapping: raised');

# ---- unreachable ----

# Outcomes of calls one after another in one session.
sub in_a_row
{
	my ($out, $err) = $t->psql(join '', map { 'SELECT public.outcome(' . literal($_) . ')::text;' . "\n" } @_);
	return map { JSON::PP->new->utf8->decode($_) } grep { /^\{/ } split /\n/, $out;
}
my %gone = (endpoint => 'http://127.0.0.1:' . OssTest::closed_port);
$t->server(%gone);
my @gone = in_a_row((try_sql('a')) x 4);
is_deeply([ map { $_->{sqlstate} // 'row' } @gone ], [ 'row', '08001', '08001', '08001' ],
	'three attempts are a row; the fifth without an answer is raised, and so are the next');
like($gone[1]{message}, qr/several times in a row/, 'it says so');
like($gone[1]{detail}, qr/refused|connect/i, 'and what the last one was');
$t->server(%gone, max_attempts => 1);
is_deeply([ map { $_->{sqlstate} // 'row' } in_a_row((try_sql('a')) x 6) ],
	[ ('row') x 4, '08001', '08001' ], 'with max_attempts 1 the fifth call raises');
my $two = $t->server_sql(name => 'good') . 'SET oss_labels.server = oss;';
my $alter = "ALTER SERVER oss OPTIONS (SET endpoint '" . $oss->http_endpoint . "')";
my ($out) = $t->psql(join '', map { "$_;\n" } (map { 'SELECT public.outcome(' . literal(try_sql($_)) . ")::text" } qw(a a a a)),
	$alter, 'SELECT public.outcome(' . literal(try_sql('a')) . ")::text");
my @after = map { JSON::PP->new->utf8->decode($_) } grep { /^\{/ } split /\n/, $out;
ok($after[-1]{rows} && !$after[-1]{sqlstate}, 'a mended server is asked at once');

# with an answer between, it is not in a row
$t->server(max_attempts => 1);
{
	local %ENV = (%ENV, $oss->environment);
	my $reset = "\\! \$OSS_CONTROL GET '/fault?kind=refuse&times=3' >/dev/null\n\\! \$OSS_CONTROL GET '/close-connections' >/dev/null\n";
	my $sql = '';
	for (1 .. 3)
	{
		$sql .= $reset . ('SELECT public.outcome(' . literal(try_sql('a')) . ")::text;\n") x 5;
	}
	($out) = $t->psql($sql);
}
unlike($out, qr/several times in a row/, 'a success between starts the count anew');

# a burst of connections that fail together counts once
$t->server(%gone, max_attempts => 1);
is($t->ok(q{SELECT count(*) FROM generate_series(1, 4) n, LATERAL oss_labels.try_detect('everykey', 'k' || n) WHERE error_code IS NOT NULL}),
	4, 'what was in flight together counts once');

done_testing();
