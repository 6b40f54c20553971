# presign(): URLs that a plain HTTP client opens, for as long as they live.

use strict;
use warnings;

use HTTP::Tiny;
use PostgreSQL::Test::Utils;
use Test::More;

use lib 'test/perl';
use CredentialServer;
use OssTest qw(literal);

my $keys = CredentialServer->new;
my $t = OssTest->new(conf => "oss_labels.metadata_endpoint = '" . $keys->url . "'\n");
my $oss = $t->{oss};
my $http = HTTP::Tiny->new(timeout => 10, max_redirect => 0);
delete @ENV{qw(http_proxy HTTP_PROXY all_proxy ALL_PROXY)};

sub presign
{
	my ($arguments, $setup) = @_;
	return $t->ok(($setup // '') . "SELECT oss_labels.presign($arguments)");
}

sub opens
{
	my ($name, $url, $status, $content) = @_;
	my $answer = $http->get($url);
	is($answer->{status}, $status, "$name: $status") or note $answer->{content};
	ok($answer->{content} eq $content, "$name: the object's bytes") if defined $content;
	return;
}

# ---- opens, for every kind of key ----

my $bytes = slurp_file($oss->data_dir . '/examplebucket/example.jpg');
opens('a plain key', presign(q{'examplebucket', 'example.jpg'}), 200, $bytes);
my @keys = ('a b+c.jpg', "\xe7\x8c\xab/\xf0\x9f\x90\x88.jpg", 'x?y=z&w#v', '100%.jpg', "it's*~(1)!.jpg", 'a//b/../c', 'k' x 1023);
for my $key (@keys)
{
	(my $name = substr $key, 0, 20) =~ s/[^ -~]/?/g;
	$oss->put('examplebucket', $key, "bytes of $name") if $key !~ m{//|\.\.} && length $key < 255;
	my $url = presign("'everykey', " . literal($key));
	opens("key $name", $url, 200, $bytes);
	unlike($url, qr/[^!-~]/, "key $name: a URL of printable ASCII");
}
is($oss->count('label_requests'), 0, 'presign() sends no paid request');
is($oss->count('requests_total'), 1 + @keys, 'nor any other');

# ---- how long ----

for my $case ([ '1 second', 1 ], [ '15 minutes', 900 ], [ '7 days', 604800 ], [ '1.9 seconds', 1 ], [ '36:00:00', 129600 ])
{
	my ($interval, $seconds) = @$case;
	like(presign("'examplebucket', 'example.jpg', expires => '$interval'"), qr/[?&]x-oss-expires=$seconds(&|$)/, "expires $interval");
}
like(presign(q{'examplebucket', 'example.jpg'}), qr/x-oss-expires=900(&|$)/, 'expires: 15 minutes unless told');
for my $interval ('0', '0.9 seconds', '-1 hour', '7 days 1 second', '1 month', '10 years')
{
	is($t->outcome("SELECT oss_labels.presign('examplebucket', 'example.jpg', expires => '$interval')")->{sqlstate},
		'22023', "expires $interval: refused");
}
my $short = presign(q{'examplebucket', 'example.jpg', expires => '100 seconds'});
opens('a living URL', $short, 200);
$oss->control('/clock?shift=200');
opens('a dead URL', $short, 403);
$oss->control('/clock?shift=0');
like(presign(q{'examplebucket', 'example.jpg', expires => NULL}), qr/[?&]x-oss-expires=900(&|$)/, 'expires NULL: 15 minutes');
is(presign(q{NULL, 'example.jpg'}), '', 'NULL bucket gives NULL');
is(presign(q{'examplebucket', NULL}), '', 'NULL key gives NULL');

# ---- process ----

opens('resize', presign(q{'examplebucket', 'example.jpg', process => 'image/resize,w_200'}), 200);
like(presign(q{'examplebucket', 'example.jpg', process => 'image/resize,w_200/rotate,90'}),
	qr{x-oss-process=image%2Fresize%2Cw_200%2Frotate%2C90&}, 'a chain of basic operations');
like(presign(q{'examplebucket', 'example.jpg', process => 'style/thumb'}), qr{x-oss-process=style%2Fthumb&}, 'a style');
for my $process ('image/labels', 'image/labels,thr_0.5', 'image/resize,w_1/labels', 'IMAGE/LABELS', 'image/Labels',
	'image/faces', 'image/detect', 'imm/tagimage', 'doc/preview', 'video/snapshot', 'image/resize,w_1|image/labels',
	'image/resize,w_1|sys/saveas,o_eA', 'sys/saveas,o_eA', 'image/', 'style/', '', 'image//labels', 'image/score')
{
	is($t->outcome('SELECT oss_labels.presign(\'examplebucket\', \'example.jpg\', process => ' . literal($process) . ')')->{sqlstate},
		'22023', "process \"$process\": refused");
}
my $url = presign(q{'examplebucket', 'example.jpg'});
opens('a URL with labels put in', $url =~ s/\?/?x-oss-process=image%2Flabels&/r, 403);
opens('a URL with another key', $url =~ s/example\.jpg/photos\/cat.png/r, 403);
is($oss->count('label_answers'), 0, 'the holder of a URL spends nothing');

# ---- credentials with a token, addressing ----

$t->server(mapping => { access_key_id => 'stsid', access_key_secret => 'stssecret', security_token => 'ststoken' });
$url = presign(q{'examplebucket', 'example.jpg'});
like($url, qr/x-oss-security-token=ststoken/, 'the token stands in the URL');
opens('credentials with a token', $url, 200, $bytes);
$t->server(endpoint => 'http://localhost:' . $oss->http_port, addressing => 'virtual');
$url = presign(q{'examplebucket', 'example.jpg'});
like($url, qr{^http://examplebucket\.localhost:}, 'addressing virtual');
my $answer = $http->get($url, { peer => '127.0.0.1' });
is($answer->{status}, 200, 'addressing virtual: opens') or note $answer->{content};
$oss->control('/cname?host=localhost&bucket=examplebucket');
$t->server(endpoint => 'http://localhost:' . $oss->http_port, addressing => 'cname');
opens('addressing cname', presign(q{'examplebucket', 'example.jpg'}), 200, $bytes);
$t->server(endpoint => 'http://localhost:' . $oss->http_port, addressing => 'cname');
$oss->control('/cname?host=localhost');
$t->server;
like(presign(q{'examplebucket', 'example.jpg', version_id => 'v1'}), qr/[?&]versionId=v1&/, 'version_id');
is($t->outcome(q{SELECT oss_labels.presign('Bad', 'k')})->{sqlstate}, '22023', 'a bad bucket is refused');
is($t->outcome(q{SELECT oss_labels.presign('examplebucket', '/k')})->{sqlstate}, '22023', 'a bad key is refused');

$t->server(requester_pays => 'true');
opens('a bucket whose requester pays', presign(q{'payerbucket', 'example.jpg'}), 200);
like(($t->psql(q{CREATE SERVER inward FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou-internal')}))[1],
	qr/22023.*HINT:  Write region 'cn-hangzhou', endpoint_type 'internal'\./s, 'an internal region is refused');
$t->server;

# ---- a URL never outlives its token ----

# Key number i, from 1 on, lives for the i-th of these seconds; the last for all
# further ones.
sub keys_living
{
	my (@lives) = @_;
	$t->server(mapping => { credential_source => 'ecs_ram_role', role_name => 'TestRole' });
	$keys->reset_counts;
	for my $i (1 .. 9)
	{
		my $life = $lives[$i - 1] // $lives[-1];
		$oss->control("/credential?id=STS.$i&secret=secret-$i&token=token-$i&expires_in=$life");
	}
	$keys->issue(id => 'STS.%d', secret => 'secret-%d', token => 'token-%d', lifetime => $lives[0]);
	return;
}

sub lives { return $_[0] =~ /[?&]x-oss-expires=(\d+)/ ? $1 : 0 }

# Open a URL in the last seconds of the life that it promises.
sub opens_to_the_end
{
	my ($name, $url) = @_;
	$oss->control('/clock?shift=' . (lives($url) - 3));
	opens("$name, at the end of its life", $url, 200, $bytes);
	$oss->control('/clock?shift=0');
	return;
}

# A command that tells the source of keys something in the middle of a session.
sub meanwhile
{
	my ($what, $how) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir . '/tell.pl';
	append_to_file($file, 'use lib "test/perl"; use CredentialServer; CredentialServer::control({ port => ' . $keys->port
		  . " }, '$what', {" . join(', ', map { "'$_' => '$how->{$_}'" } sort keys %$how) . '});');
	return "perl $file";
}

my $call = q{oss_labels.presign('examplebucket', 'example.jpg'};
keys_living(200);
my ($out, $err) = $t->psql("SELECT $call, '7 days');");
like($err, qr/22023: a presigned URL cannot outlive the key/, 'a key of 200 s, 7 days: refused');
like($err, qr/DETAIL:  The URL is to live for 604800 seconds, but the key from source "ecs_ram_role" ends in 19\d seconds, at 20\d\d-/, 'when the key ends');
like($err, qr/HINT:  Ask for a shorter expires, or use a user mapping with an access key that does not expire/, 'and what to do');
is($keys->count('key'), 1, 'a key that has just been fetched is not fetched again');

keys_living(200);
$url = presign(q{'examplebucket', 'example.jpg'});
ok(lives($url) > 180 && lives($url) <= 200, 'without expires, the URL lives as long as its key: ' . lives($url));
opens_to_the_end('without expires', $url);

keys_living(3600);
$url = presign(q{'examplebucket', 'example.jpg', '55 minutes'});
is(lives($url), 3300, 'a key of an hour, 55 minutes: as asked');
opens_to_the_end('55 minutes', $url);
is($keys->count('key'), 1, 'by one fetch');

# a key that is at hand and ends too soon is fetched anew, once in a minute
keys_living(1000, 7200);
($out, $err) = $t->psql("SELECT $call);\n\\! " . meanwhile(issue => { id => 'STS.%d', secret => 'secret-%d', token => 'token-%d', lifetime => 7200 })
	. "\nSELECT $call, '90 minutes');\nSELECT $call, '100 minutes');\nSELECT $call, '3 hours');\nSELECT $call, '4 hours');");
my @urls = grep { /^http/ } split /\n/, $out;
is(join(' ', map { lives($_) } @urls), '900 5400 6000', 'a key that ends too soon is renewed, and is enough for what follows');
like($urls[0] . $urls[1], qr/STS\.1.*STS\.2/s, 'by another key');
opens_to_the_end('a renewed key', $urls[2]);
is(() = $err =~ /22023/g, 2, 'what no key lives for is refused');
is($keys->count('key'), 2, 'by one more fetch');

# a source that does not answer: the old key is good for what it lives
keys_living(1000);
($out, $err) = $t->psql("SELECT $call);\n\\! " . meanwhile(answer => { kind => 'key', status => 500 })
	. "\nSELECT $call, '10 minutes');\nSELECT $call, '1 hour');\nSELECT $call, '1 hour');\nSELECT $call);");
@urls = grep { /^http/ } split /\n/, $out;
is(join(' ', map { lives($_) } @urls), '900 600 900', 'no renewal: what the key at hand lives for');
is(() = $err =~ /22023/g, 2, 'and no more');
cmp_ok($keys->count('key'), '<=', 3, 'a renewal that fails is tried again once, and not by the next call');
$keys->answer('key');
$t->server(mapping => { access_key_id => 'testid', access_key_secret => 'testsecret' });

# a clock that was found to be off counts for URLs too
$oss->control('/clock?shift=5000');
opens('with a corrected clock', presign(q{'examplebucket', 'example.jpg', expires => '60 s'}, OssTest::detect_sql() . ';') =~ s/.*\n//sr, 200);
$oss->control('/clock?shift=0');

done_testing();
