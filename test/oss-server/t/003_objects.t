# Buckets, keys, versions, and image/labels on real files.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../../perl";
use JSON::PP;
use Test::More;

use OssRaw;
use OssServer;
use OssSign;

my $oss = OssServer->new;
my $port = $oss->http_port;
my $json = JSON::PP->new->utf8->allow_bignum(0);

sub get
{
	my ($bucket, $key, $process, %q) = @_;
	my @query = defined $process ? ('x-oss-process' => $process) : ();
	return OssRaw::signed(port => $port, bucket => $bucket, key => $key, %q,
		query => [ @query, @{ $q{query} || [] } ]);
}

sub labels
{
	my ($bucket, $key, %q) = @_;
	return get($bucket, $key, $q{process} || 'image/labels', %q);
}

sub names { return join ',', map { $_->{LabelName} } @{ decode_json($_[0]{body})->{Labels} } }
sub outcome { return "$_[0]{status} $_[0]{code}" }

# the help page's samples
my $r = labels('examplebucket', 'example.jpg');
is($r->{status}, 200, 'labels of the first sample');
like($r->{header}{'content-type'}, qr{^application/json}, 'Content-Type');
is_deeply(decode_json($r->{body})->{Labels}, [
	{ CentricScore => 0.823, LabelConfidence => 1.0, LabelLevel => 2,
		LabelName => 'Outerwear', Language => 'zh-Hans', ParentLabelName => 'Clothing' },
	{ CentricScore => 0.721, LabelConfidence => 0.735, LabelLevel => 2,
		LabelName => 'Apparel', Language => 'zh-Hans', ParentLabelName => 'Clothing' } ],
	'they are the page\'s');
like($r->{body}, qr/"LabelConfidence":1\.0[,}]/, 'digits are kept as written');
isnt(decode_json($r->{body})->{RequestId},
	decode_json(labels('examplebucket', 'example.jpg')->{body})->{RequestId},
	'RequestId is fresh');
like(decode_json($r->{body})->{RequestId}, qr/^[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}$/, 'and a UUID');
is(names(labels('examplebucket', 'example.jpg', process => 'image/labels,thr_0.85')), 'Outerwear', 'thr 0.85');
$r = labels('image-demo', 'example.jpg', process => 'image/labels,thr_0.85');
is_deeply(decode_json($r->{body})->{Labels}, [
	{ CentricScore => 0.797, LabelConfidence => 0.927, LabelLevel => 2,
		LabelName => 'Apparel', Language => 'zh-Hans', ParentLabelName => 'Clothing' } ],
	'second sample');
is(names(labels('image-demo', 'example.jpg')), 'Apparel,Footwear', 'threshold 0.7 by default');
is(names(labels('image-demo', 'example.jpg', process => 'image/labels,thr_0')), 'Apparel,Footwear,Street', 'thr 0 gives all');
is(names(labels('image-demo', 'example.jpg', process => 'image/labels,thr_0.927')), 'Apparel', 'thr is inclusive');
is(names(labels('image-demo', 'example.jpg', process => 'image/labels,thr_1')), '', 'thr 1');
is(names(labels('examplebucket', 'photos/nothing.jpg')), '', 'an image without labels');
my $cat = labels('examplebucket', 'photos/cat.png')->{body};
is(names({ body => $cat }), "\x{732b},\x{5ba0}\x{7269}", 'Chinese names');
like($cat, qr/0\.9621000289916992/, 'long fractions are kept');
my %orders;
for my $thr (0 .. 60)
{
	my $b = labels('image-demo', 'example.jpg', process => "image/labels,thr_0.$thr")->{body};
	$orders{ $b =~ /^\{"(\w+)/ ? $1 : '?' }++;
	$orders{ $b =~ /"Labels":\[\{"(\w+)/ ? $1 : '?' }++;
}
cmp_ok(scalar(keys %orders), '>=', 6, 'the order of fields carries no meaning');

# thr and x-oss-process
is(outcome(labels('examplebucket', 'example.jpg', process => "image/labels$_")),
	'400 InvalidArgument', "image/labels$_ is refused")
  for ',thr_1.01', ',thr_', ',thr_-0.5', ',thr_7e-1', ',thr_0.5,thr_0.6', ',thr_x', ',abc_1',
  '/resize,w_100', '|sys/saveas,o_eA', ',thr_0.5/resize,w_1', ',thr_+0.5', ',thr_1..0', 'x', '/';
is(outcome(get('examplebucket', 'example.jpg', $_)), '400 InvalidArgument', "$_ is refused")
  for 'video/snapshot', 'image/resize,w_100/labels', 'image/nonsense', 'labels', 'image/';
is(outcome(get('examplebucket', 'example.jpg', 'style/my style')), '404 NoSuchStyle', 'style');
$r = get('examplebucket', 'example.jpg', 'image/resize,w_100');
is(substr($r->{body}, 0, 2), "\xff\xd8", 'basic actions answer an image');

# limits on real files
is(outcome(labels('examplebucket', 'toowide.png')), '400 ImageTooLarge', 'side of 30001');
is(outcome(labels('examplebucket', 'widest.png')), '200 ', 'side of 30000');
is(outcome(labels('examplebucket', 'toomanypixels.png')), '400 ImageTooLarge', '250 019 344 pixels');
is(outcome(labels('examplebucket', $_)), '403 ImageDamage', $_)
  for 'damaged.jpg', 'damaged.png', 'empty.jpg', 'animation.gif', 'notes.txt';
my $jpeg = do { open my $f, '<:raw', $oss->data_dir . '/examplebucket/example.jpg'; local $/; <$f> };
my $limit = 20 * 1024 * 1024;
for my $size ($limit, $limit + 1)
{
	$oss->put('examplebucket', "size-$size.jpg", $jpeg);
	truncate $oss->data_dir . "/examplebucket/size-$size.jpg", $size;
	is(outcome(labels('examplebucket', "size-$size.jpg")),
		$size == $limit ? '200 ' : '400 ImageTooLarge', "$size bytes");
}

# derived labels
my $first = labels('examplebucket', 'example.png', process => 'image/labels,thr_0')->{body};
my $again = labels('examplebucket', 'example.png', process => 'image/labels,thr_0')->{body};
s/"RequestId":"[^"]*"/"RequestId":""/ for $first, $again;
is($first, $again, 'derived labels are the same every time');
my $other = labels('examplebucket', 'exampledir/example.jpg', process => 'image/labels,thr_0')->{body};
isnt(names({ body => $first }), names({ body => $other }), 'and differ between images');
$oss->put('examplebucket', 'copy.jpg', $jpeg);
my $copy = names(labels('examplebucket', 'copy.jpg', process => 'image/labels,thr_0'));
is($copy, names(labels('examplebucket', 'no-extension', process => 'image/labels,thr_0')),
	'and depend on the bytes alone');
$oss->put('examplebucket', 'copy.jpg', $jpeg . 'x');
isnt($copy, names(labels('examplebucket', 'copy.jpg', process => 'image/labels,thr_0')),
	'a changed file is noticed');
open my $f, '>', $oss->data_dir . '/examplebucket/copy.jpg.labels.json' or die;
print $f '[{"LabelName":"New","LabelConfidence":0.9}]';
close $f;
is(names(labels('examplebucket', 'copy.jpg')), 'New', 'a label file that appears is noticed');
my (%seen, %parents);
$oss->control('/bucket?name=everykey&image=examplebucket/example.jpg&labels=340');
for my $l (@{ decode_json(labels('everykey', 'any')->{body})->{Labels} })
{
	$seen{"$l->{ParentLabelName}/$l->{LabelName}"}++;
	$parents{ $l->{ParentLabelName} }++;
}
cmp_ok(scalar(keys %seen), '>=', 300, 'at least 300 labels');
cmp_ok(scalar(keys %parents), '>=', 30, 'of at least 30 parents');
is(scalar(@{ decode_json(labels('tenlabels', "k$_")->{body})->{Labels} }), 10, "exactly ten labels of k$_")
  for 1 .. 20;
isnt(names(labels('tenlabels', 'a')), names(labels('tenlabels', 'b')), 'by key, not all the same');

# buckets
is(outcome(labels('no-such-bucket', 'example.jpg')), '404 NoSuchBucket', 'no such bucket');
like(labels('no-such-bucket', 'x')->{body}, qr{<BucketName>no-such-bucket</BucketName>}, 'BucketName');
like(labels('examplebucket', 'a&b')->{body}, qr{<Key>a&amp;b</Key>}, 'Key');
is(outcome(labels('Bad_Bucket', 'x')), '400 InvalidBucketName', 'bad bucket name');
is(outcome(labels('emptybucket', 'x')), '404 NoSuchKey', 'empty bucket');
is(outcome(labels('unattached', 'example.jpg')), '400 Imm Client', 'no IMM project');
like(labels('unattached', 'example.jpg')->{message}, qr/^ResourceNotFound, /, 'its message');
is(outcome(get('unattached', 'example.jpg')), '200 ', 'but the bytes are there');
is(outcome(labels('archivebucket', 'example.jpg')), '403 InvalidObjectState', 'archived');
$r = labels('payerbucket', 'example.jpg');
is(outcome($r), '403 AccessDenied', 'requester pays');
is($r->{header}{'x-oss-ec'}, '0003-00000703', 'its EC');
is(outcome(labels('payerbucket', 'example.jpg', headers => [ 'x-oss-request-payer' => 'requester' ])),
	'200 ', 'requester pays');
$r = labels('shanghaibucket', 'example.jpg');
is(outcome($r), '403 AccessDenied', 'another region');
like($r->{body}, qr{<Endpoint>oss-cn-shanghai\.aliyuncs\.com</Endpoint>}, 'its endpoint');
is(outcome(labels('strictbucket', 'example.jpg')), '403 SecondLevelDomainForbidden', 'path style refused');
is(outcome(labels('strictbucket', 'example.jpg', virtual => 1)), '200 ', 'virtual-hosted is not');

# where the bucket's name stands
sub by_host
{
	my ($host, $path) = @_;
	my $h = OssSign::sign_header(bucket => 'examplebucket', key => 'example.jpg',
		query => [ 'x-oss-process' => 'image/labels' ]);
	return outcome(OssRaw::exchange($port, 'GET', "$path?x-oss-process=image/labels",
		[ [ Host => $host ], @$h ]));
}
is(by_host('examplebucket.oss-cn-hangzhou.aliyuncs.com', '/example.jpg'), '200 ', 'public endpoint');
is(by_host('examplebucket.oss-cn-hangzhou-internal.aliyuncs.com', '/example.jpg'), '200 ', 'internal endpoint');
is(by_host('ExampleBucket.localhost', '/example.jpg'), '200 ', 'case of the host');
is(by_host('localhost:1', '/examplebucket/example.jpg'), '200 ', 'localhost');
is(by_host('[::1]:1', '/examplebucket/example.jpg'), '200 ', 'IPv6');
is(by_host('examplebucket.oss-cn-beijing.aliyuncs.com', '/example.jpg'), '403 AccessDenied', 'other region\'s endpoint');
is(by_host('images.example.com', '/example.jpg'), '403 SignatureDoesNotMatch', 'unknown CNAME: another bucket');
$oss->control('/cname?host=images.example.com&bucket=examplebucket');
is(by_host('images.example.com:8080', '/example.jpg'), '200 ', 'CNAME');
is(by_host('oss-cn-hangzhou.aliyuncs.com', '/examplebucket/example.jpg'), '403 SecondLevelDomainForbidden', 'no path style there');
is(by_host('nowhere', '/example.jpg'), '403 NonStandardHostForbidden', 'a host without bucket');

# every key comes back exactly
my @keys = ('plain', 'a b', 'a+b', 'a%b', '%41', 'a*b', '~', 'a#b', 'a?b', 'a//b', 'a/./b', 'a/../b',
	'../../etc/passwd', '..', '.', '.hidden', 'a/.keys/b', 'dir/', 'dir//', 'a/b', 'a',
	"\xe7\x85\xa7\xe7\x89\x87", "\xf0\x9f\x98\x80.png", 'x' x 1023, 'y' x 255, ('z' x 230) . '/' . ('z' x 230),
	"tab\tkey", "line\nkey", "\x01", 'a\\b', '<&>"\'', 'a=b&c', 'plain.labels.json', '%2e%2e/%2e%2e', 'a/b/c');
for my $key (@keys)
{
	my $bytes = "bytes of $key";
	my $put = OssRaw::signed(port => $port, bucket => 'emptybucket', key => $key,
		method => 'PUT', body => $bytes);
	is(outcome($put), '200 ', 'PUT ' . OssSign::escape(substr $key, 0, 40));
}
for my $key (@keys)
{
	my $r = get('emptybucket', $key);
	is($r->{body}, $key =~ m{/$} ? '' : "bytes of $key", 'GET ' . OssSign::escape(substr $key, 0, 40));
}
is(`find '@{[$oss->data_dir]}/..' -name passwd`, '', 'nothing escaped the directory');
is(outcome(get('emptybucket', $_)), '400 InvalidObjectName', 'key not allowed: ' . OssSign::escape(substr $_, 0, 20))
  for '/leading', '\\leading', 'x' x 1024, "bad\xffutf8", "\xc0\xaf";
$r = get('examplebucket', 'directory/', 'image/labels');
is("$r->{status} $r->{header}{'content-type'} $r->{header}{'content-length'}",
	'200 application/x-directory 0', 'a directory object');
is(outcome(get('examplebucket', 'photos/')), '404 NoSuchKey', 'a prefix is no object');

# the bytes
$r = get('examplebucket', 'example.jpg');
is($r->{body}, $jpeg, 'the bytes themselves');
my $etag = $r->{header}{etag};
like($etag, qr/^"[0-9A-F]{32}"$/, 'ETag');
is(get('examplebucket', 'example.jpg', undef, headers => [ 'If-None-Match' => $etag ])->{status}, 304, 'If-None-Match');
$r = get('examplebucket', 'example.jpg', undef, method => 'HEAD');
is("$r->{status} $r->{header}{'content-length'}", '200 ' . length($jpeg), 'HEAD');
is(outcome(get('examplebucket', 'example.jpg', undef, method => 'POST', body => '')), '405 MethodNotAllowed', 'POST');

# versions
sub version { return labels('examplebucket', 'example.jpg', query => [ versionId => $_[0] ]) }
is(outcome(version('null')), '200 ', 'version null');
is(outcome(version('')), '400 InvalidArgument', 'version empty');
like(version('')->{message}, qr/can not be the empty string/, 'its message');
is(outcome(version('CAEQ')), '404 NoSuchVersion', 'unknown version');
$oss->control('/object?bucket=examplebucket&key=example.jpg&version=CAEQ&content=photos/beach.jpg');
is(names(version('CAEQ')), 'Landscape,Beach,Blue Sky,Sandy Beach', 'an older version');
is(version('CAEQ')->{header}{'x-oss-version-id'}, 'CAEQ', 'x-oss-version-id');
$oss->control('/object?bucket=examplebucket&key=example.jpg&delete_marker=1');
is(outcome(labels('examplebucket', 'example.jpg')), '404 NoSuchKey', 'delete marker');
$oss->control('/object?bucket=examplebucket&key=example.jpg&archive=1');
is(outcome(labels('examplebucket', 'example.jpg')), '403 InvalidObjectState', 'archived object');
$oss->control('/reset');
is(outcome(labels('examplebucket', 'example.jpg')), '200 ', 'reset forgets states');
is(outcome(labels('payerbucket', 'example.jpg')), '403 AccessDenied', 'but not the data directory\'s buckets');

done_testing;
