# ListObjectsV2: parameters, order, tokens, rights, odd pages, made-up keys.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../../perl";
use Test::More;

use OssRaw;
use OssServer;
use OssSign;

my $oss = OssServer->new;
my $port = $oss->http_port;

sub unxml { my ($s) = @_; s/&lt;/</g, s/&gt;/>/g, s/&quot;/"/g, s/&#39;/'/g, s/&amp;/&/g for $s; return $s }
sub unescape { my ($s) = @_; $s =~ tr/+/ /; $s =~ s/%([0-9A-F]{2})/chr hex $1/ge; return $s }

# One page of a bucket, taken apart.
sub page
{
	my ($bucket, %p) = @_;
	my %with = map { $_ => delete $p{$_} } grep { exists $p{$_} } qw(id secret token virtual headers method);
	my $r = OssRaw::signed(port => $port, bucket => $bucket, key => '', %with,
		query => [ 'list-type' => 2, map { (my $n = $_) =~ tr/_/-/; ($n => $p{$_}) } sort keys %p ]);
	my $read = $r->{body} =~ m{<EncodingType>url<} ? sub { unescape(unxml($_[0])) } : \&unxml;
	my $value = sub { my ($x, $name) = @_; return $x =~ m{<$name>(.*?)</$name>}s ? $1 : undef };
	my $whole = sub { defined $_[0] ? $read->($_[0]) : undef };
	$r->{objects} = [ map {
		my $x = $_;
		+{ key => $whole->($value->($x, 'Key')),
			map { $_ => $value->($x, $_) } qw(LastModified ETag Type Size StorageClass RestoreInfo Owner) }
	} $r->{body} =~ m{<Contents>(.*?)</Contents>}gs ];
	$r->{keys} = [ map { $_->{key} } @{ $r->{objects} } ];
	$r->{prefixes} = [ map { $read->($_) } $r->{body} =~ m{<CommonPrefixes><Prefix>(.*?)</Prefix>}gs ];
	$r->{$_} = $value->($r->{body}, $_) for qw(IsTruncated KeyCount MaxKeys Name Prefix);
	my $next = $value->($r->{body}, 'NextContinuationToken');
	$r->{next} = $read->($next) if defined $next;
	return $r;
}

# All pages: keys and common prefixes in one list, and how many pages.
sub all
{
	my ($bucket, %p) = @_;
	my (@found, $token, $pages);
	do
	{
		my $r = page($bucket, %p, defined $token ? (continuation_token => $token) : ());
		return "$r->{status} $r->{code}" if $r->{status} != 200;
		my @page = sort(@{ $r->{keys} }, @{ $r->{prefixes} });
		push @found, @page;
		is($r->{KeyCount}, @{ $r->{keys} } + @{ $r->{prefixes} }, 'KeyCount') if ($pages // 0) < 2;
		$token = $r->{next};
		$pages++;
	} while defined $token;
	return (\@found, $pages);
}

sub outcome { return "$_[0]{status} $_[0]{code}" }

# keys of every kind come back in the order of their bytes
my @keys = sort { $a cmp $b } ('plain', 'a b', 'a  b c', 'a+b', 'a%b', '%41', 'a*b', '~', 'a#b', 'a?b', 'a//b', 'a/./b', 'a/../b', '..', '.hidden',
	'dir/', 'a/b', 'a', "\xe7\x85\xa7\xe7\x89\x87", "\xf0\x9f\x98\x80.png", 'x' x 1023, ('z' x 230) . '/' . ('z' x 230),
	"tab\tkey", "line\nkey", "\x01", 'a\\b', '<&>"\'', 'a=b&c', 'lone.labels.json', 'Z', 'a-b', 'a.b', 'a0b');
$oss->put('emptybucket', $_, "bytes of $_") for @keys;
$oss->put('emptybucket', 'plain.labels.json', '[]');
for my $size (1, 2, 7, 1000)
{
	my ($found, $pages) = all('emptybucket', encoding_type => 'url', max_keys => $size);
	is_deeply($found, \@keys, "all keys, $size a page");
	is($pages, int((@keys + $size - 1) / $size), 'and no page too many');
}
my $r = page('emptybucket', prefix => 'a', encoding_type => 'url');
is_deeply($r->{keys}, [ grep { /^a/ } @keys ], 'prefix');
like($r->{body}, qr{<Key>a\+b</Key>|<Key>a%20b</Key>}, 'a blank is escaped');
like($r->{body}, qr{<Key>a%2Bb</Key>}, 'a plus, too');
is_deeply(page('emptybucket', start_after => 'a+b', encoding_type => 'url')->{keys}, [ grep { $_ gt 'a+b' } @keys ], 'start-after');
is_deeply(page('emptybucket', start_after => 'nothing', prefix => 'p')->{keys}, ['plain'], 'start-after need not exist');
is_deeply(page('emptybucket', prefix => 'none')->{keys}, [], 'nothing');
is(page('emptybucket', prefix => 'none')->{IsTruncated}, 'false', 'is not truncated');
$r = page('emptybucket', delimiter => '/', encoding_type => 'url');
is_deeply($r->{prefixes}, [ 'a/', 'dir/', ('z' x 230) . '/' ], 'delimiter');
is_deeply($r->{keys}, [ grep { !m{/} } @keys ], 'and the keys without');
is_deeply(page('emptybucket', delimiter => '/', prefix => 'a/')->{prefixes}, [ 'a/../', 'a/./', 'a//' ], 'below a prefix');
is_deeply(page('emptybucket', delimiter => '/./', prefix => 'a')->{prefixes}, ['a/./'], 'a long delimiter');
like(page('emptybucket', prefix => "\x01")->{body}, qr{<Key>\x01</Key>}, 'without encoding-type XML holds what it may not');
is_deeply([ (all('emptybucket', delimiter => '/', encoding_type => 'url', max_keys => 1))[0] ],
	[ [ sort { $a cmp $b } ((grep { !m{/} } @keys), 'a/', 'dir/', ('z' x 230) . '/') ] ], 'each common prefix once, one a page');

# what is said of an object
$r = page('examplebucket', prefix => 'example.jpg')->{objects}[0];
my $head = OssRaw::signed(port => $port, bucket => 'examplebucket', key => 'example.jpg', method => 'HEAD')->{header};
is(unxml($r->{ETag}), $head->{etag}, 'ETag');
is($r->{Size}, $head->{'content-length'}, 'Size');
like($r->{LastModified}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.000Z$/, 'LastModified');
is("$r->{Type} $r->{StorageClass}", 'Normal Standard', 'Type and StorageClass');
is($r->{Owner}, undef, 'no Owner');
like(page('examplebucket', prefix => 'example.jpg', fetch_owner => 'true')->{objects}[0]{Owner}, qr{<ID>\d+</ID>}, 'fetch-owner');
is(page('archivebucket')->{objects}[0]{StorageClass}, 'Archive', 'an archived object');
is_deeply(page('examplebucket', prefix => 'directory')->{objects}[0]{Size}, 0, 'a directory object');

# parameters
is(page('examplebucket')->{MaxKeys}, 100, 'max-keys is 100');
is(outcome(page('examplebucket', %$_)), '400 InvalidArgument', join ' ', map { substr $_, 0, 40 } %$_)
  for { max_keys => 0 }, { max_keys => 1001 }, { max_keys => -1 }, { max_keys => 'x' }, { max_keys => '' },
  { prefix => 'x' x 1024 }, { start_after => 'x' x 1024 }, { delimiter => 'x' x 1024 }, { encoding_type => 'xml' },
  { fetch_owner => 'yes' }, { continuation_token => '' }, { continuation_token => 'abcd' }, { continuation_token => 'Cg+/abcd' };
is(outcome(page('examplebucket', prefix => 'x' x 1023)), '200 ', '1023 bytes');

# rights and places
is(outcome(page('no-such-bucket')), '404 NoSuchBucket', 'no such bucket');
is(outcome(page('payerbucket')), '403 AccessDenied', 'requester pays');
is(outcome(page('payerbucket', headers => [ 'x-oss-request-payer' => 'requester' ])), '200 ', 'and did');
is(outcome(page('strictbucket')), '403 SecondLevelDomainForbidden', 'path style refused');
is(outcome(page('strictbucket', virtual => 1)), '200 ', 'virtual-hosted is not');
is(outcome(page('shanghaibucket')), '403 AccessDenied', 'another region');
is(outcome(page('examplebucket', id => 'noimmid', secret => 'noimmsecret')), '403 AccessDenied', 'no right to list');
is(outcome(page('examplebucket', secret => 'wrong')), '403 SignatureDoesNotMatch', 'signature');
$oss->set(credential => id => 'reader', secret => 's', deny_list => 1);
is(outcome(page('examplebucket', id => 'reader', secret => 's')), '403 AccessDenied', 'deny_list');
is(outcome(OssRaw::signed(port => $port, bucket => 'examplebucket', key => 'example.jpg', id => 'reader', secret => 's')), '200 ', 'but objects');
$oss->set(credential => id => 'some', secret => 's', allow => 'examplebucket/photos/');
is(outcome(page('examplebucket', prefix => 'photos/', id => 'some', secret => 's')), '403 AccessDenied', 'a right to objects is none to list');
is(outcome(OssRaw::signed(port => $port, bucket => 'examplebucket', key => '')), '400 NotImplemented', 'version 1 is not offered');

# tokens
$r = page('emptybucket', max_keys => 3);
like($r->{next}, qr/\+.*\/.*=$/, 'a token holds + / =');
isnt(page('emptybucket', max_keys => 3)->{next}, $r->{next}, 'and is another each time');
is_deeply(page('emptybucket', max_keys => 2, continuation_token => $r->{next})->{keys}, [ @keys[ 3, 4 ] ], 'the page may change its size');
is(outcome(page('emptybucket', prefix => 'a', continuation_token => $r->{next})), '400 InvalidArgument', 'but not the prefix');
is(outcome(page('examplebucket', continuation_token => $r->{next})), '400 InvalidArgument', 'nor the bucket');
(my $broken = $r->{next}) =~ s/(.{20})./$1A/;
$broken =~ s/(.{20})./$1B/ if $broken eq $r->{next};
is(outcome(page('emptybucket', continuation_token => $broken)), '400 InvalidArgument', 'nor itself');
$oss->set(set => token_ttl => 1);
is(outcome(page('emptybucket', continuation_token => page('emptybucket', max_keys => 3)->{next})), '200 ', 'a token in time');
select undef, undef, undef, 1.2;
is(outcome(page('emptybucket', continuation_token => $r->{next})), '400 InvalidArgument', 'it ends after token_ttl');
$oss->set(set => token_ttl => 0);
is(outcome(page('emptybucket', continuation_token => $r->{next})), '200 ', 'or never');

# keys made up from their number
$oss->set(bucket => name => 'many', keys => 1_000_000);
($r, my $pages) = all('many', max_keys => 1000, prefix => 'photos/050', encoding_type => 'url');
is("@{$r}[0, 9_999] " . @$r . " $pages", 'photos/0500/0500000.jpg photos/0509/0509999.jpg 10000 10', '10 pages of a million keys');
($r) = all('many', max_keys => 1000, delimiter => '/', prefix => 'photos/');
is("@{$r}[0, 999] " . @$r, 'photos/0000/ photos/0999/ 1000', 'its directories');
is(outcome(OssRaw::signed(port => $port, bucket => 'many', key => $_->[0], query => [ 'x-oss-process' => 'image/labels' ])),
	$_->[1], "labels of $_->[0]")
  for [ 'photos/0999/0999999.jpg', '200 ' ], [ 'photos/1000/1000000.jpg', '404 NoSuchKey' ], [ 'photos/0001/0000001.jpg', '404 NoSuchKey' ],
  [ 'else', '404 NoSuchKey' ];
is_deeply(page('many', start_after => 'photos/0999/0999997.jpg')->{keys}, [ map { "photos/0999/099999$_.jpg" } 8, 9 ], 'the end');
$oss->put('many', 'photos/0000/0000001.jpg', 'other bytes');
$oss->put('many', 'photos/0000/0000001a.jpg', 'new bytes');
$oss->control('/delete?bucket=many&key=photos/0000/0000002.jpg');
$r = page('many', max_keys => 4);
is_deeply($r->{keys}, [ map { "photos/0000/000000$_.jpg" } qw(0 1 1a 3) ], 'with what was stored and deleted');
is($r->{objects}[1]{Size}, 11, 'a file stands in place of a made-up key');
like($r->{objects}[0]{ETag}, qr/^&quot;[0-9A-F]{32}&quot;$/, 'ETag of a made-up key');

# what is said of many
my @before = map { $_->{ETag} } @{ page('many', max_keys => 10)->{objects} };
$oss->set(objects => bucket => 'many', from => 4, to => 9, every => 2, changed => 1);
$oss->set(objects => bucket => 'many', prefix => 'photos/0000/0000009', class => 'ColdArchive', size => 30_000_000);
$oss->set(objects => bucket => 'many', from => 5, to => 5, deleted => 1);
$r = page('many', max_keys => 10);
is_deeply([ map { substr $_, -6, 2 } @{ $r->{keys} } ], [qw(00 01 1a 03 04 06 07 08 09 10)], 'deleted by number');
is_deeply([ map { $r->{objects}[$_]{ETag} eq $before[ $_ + ($_ > 4) ] ? 0 : 1 } 0 .. 8 ], [ 0, 0, 0, 0, 1, 1, 0, 1, 0 ], 'every second changed');
is("$r->{objects}[8]{StorageClass} $r->{objects}[8]{Size}", 'ColdArchive 30000000', 'class and size by prefix');
is(outcome(OssRaw::signed(port => $port, bucket => 'many', key => 'photos/0000/0000009.jpg', query => [ 'x-oss-process' => 'image/labels' ])),
	'403 InvalidObjectState', 'an archived one has no labels');
$oss->set(object => bucket => 'many', key => 'photos/0000/0000009.jpg', restored => 1);
is(outcome(OssRaw::signed(port => $port, bucket => 'many', key => 'photos/0000/0000009.jpg', query => [ 'x-oss-process' => 'image/labels' ])),
	'400 ImageTooLarge', 'restored, it is too large');
like(page('many', prefix => 'photos/0000/0000009')->{objects}[0]{RestoreInfo}, qr/^ongoing-request=&quot;false&quot;, expiry-date=/, 'RestoreInfo');
$oss->control('/reset');
is(outcome(page('many')), '200 ', 'reset keeps the directory that PUT made');

# counters and the log
$oss->control('/reset');
page('emptybucket', max_keys => 3);
page('emptybucket', prefix => 'a', max_keys => 2);
page('no-such-bucket');
$oss->wait_count(in_flight => 0);
is($oss->count('list_requests') . ' ' . $oss->count('list_objects'), '3 5', 'list_requests and list_objects');
is($oss->count('label_requests'), 0, 'no label request');
my $tally = $oss->tally(bucket => 'emptybucket');
is("$tally->{list_requests} $tally->{list_objects}", '2 5', 'by bucket');
is(join('', sort split /^/, $oss->control('/keys?kind=list&bucket=emptybucket')), "1\temptybucket\t\n1\temptybucket\ta\n", 'listings by prefix');
like($oss->logged(1), qr/\tlist$/m, 'the log shows the kind');

# faults
$oss->set(fault => code => 'InternalError', status => 500, scope => 'list', skip => 2, times => 1);
is(join(' ', map { page('emptybucket')->{status} } 1 .. 4), '200 200 500 200', 'a fault on page three');
$oss->control('/reset?what=faults');
$oss->set(fault => code => 'MetaOperationQpsLimitExceeded', scope => 'list');
is(outcome(page('emptybucket')), '503 MetaOperationQpsLimitExceeded', 'a throttle of listings');
is(OssRaw::signed(port => $port, bucket => 'emptybucket', key => 'a')->{status}, 200, 'is none of objects');
$oss->control('/reset?what=faults');
for my $kind (qw(reset truncate))
{
	$oss->set(fault => kind => $kind, scope => 'list', times => 1);
	isnt(page('emptybucket')->{end}, 'complete', $kind);
}
sub odd
{
	my ($variant, %p) = @_;
	$oss->set(fault => kind => 'listing', variant => $variant, times => 1, %{ delete $p{fault} || {} });
	return page('emptybucket', max_keys => 5, encoding_type => 'url', %p);
}
my $plain = page('emptybucket', max_keys => 5, encoding_type => 'url');
unlike(odd('truncated')->{body}, qr{</ListBucketResult>}, 'truncated');
like(odd('broken')->{body}, qr{<Contents><Key>a</Contents>}, 'broken');
like(odd('namespace')->{body}, qr{<ListBucketResult xmlns="}, 'namespace');
like(odd('unknown-elements')->{body}, qr{<New b='2'>}, 'unknown-elements');
is(odd('no-truncated')->{IsTruncated}, undef, 'no-truncated');
is(odd('no-token')->{next}, undef, 'no-token');
is(odd('same-token', continuation_token => $plain->{next})->{next}, $plain->{next}, 'same-token');
$r = odd('empty-page');
is_deeply($r->{keys}, [], 'empty-page');
is_deeply(page('emptybucket', max_keys => 5, continuation_token => $r->{next}, encoding_type => 'url')->{keys}, $plain->{keys}, 'goes on where it began');
$r = odd('empty-page', continuation_token => $plain->{next});
is_deeply(page('emptybucket', max_keys => 1, continuation_token => $r->{next})->{keys}, [ $keys[5] ], 'an empty page between');
is_deeply(odd('duplicate')->{keys}, [ $keys[0], @keys[ 0 .. 4 ] ], 'duplicate');
is_deeply(odd('out-of-order')->{keys}, [ @keys[ 1, 0, 2 .. 4 ] ], 'out-of-order');
is(length odd('huge-keys', fault => { bytes => 5000 })->{keys}[0], 5000, 'huge-keys');
is(length odd('huge-keys')->{keys}[0], 1023, 'of 1023 bytes');
like(odd('control-characters')->{keys}[0], qr/\x01\x08\t\n\x0b\r\x1f\x7f/, 'control-characters');
like(odd('bad-escapes')->{body}, qr/<Key>%ZZ.*%4</, 'bad-escapes');
like(odd('not-utf8')->{body}, qr/%FF/, 'not-utf8');
like(odd('nul')->{body}, qr/%00/, 'nul');
like(odd('entity')->{body}, qr/<!ENTITY.*<Key>&b;/s, 'entity');
like(odd('encoding-last')->{body}, qr{EncodingType>\n?</List}, 'encoding-last');
unlike(odd('not-encoded')->{body}, qr{EncodingType}, 'not-encoded');
like(odd('wrong-root')->{body}, qr{<ListResult>}, 'wrong-root');
like(odd('bad-values')->{body}, qr{<Size>many</Size>}, 'bad-values');
ok(!eval { odd('unknown'); 1 }, 'another variant is refused');
$oss->set(fault => kind => 'listing', variant => 'broken');
is(outcome(OssRaw::signed(port => $port, bucket => 'emptybucket', key => 'a')), '200 ', 'odd listings concern listings alone');

done_testing;
