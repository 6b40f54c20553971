# Objects have an identity: PUT, DELETE, HEAD, conditions, versions, events.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../../perl";
use Digest::MD5 qw(md5_hex);
use JSON::PP;
use MIME::Base64;
use Test::More;

use OssRaw;
use OssServer;
use OssSign;

my $oss = OssServer->new;
my $port = $oss->http_port;
my $jpeg = do { open my $f, '<:raw', $oss->data_dir . '/examplebucket/example.jpg'; local $/; <$f> };

sub ask
{
	my ($method, $bucket, $key, %q) = @_;
	$q{query} = [ 'x-oss-process' => 'image/labels', @{ $q{query} || [] } ] if $method eq 'LABELS';
	return OssRaw::signed(port => $port, bucket => $bucket, key => $key, %q, method => $method eq 'LABELS' ? 'GET' : $method);
}
sub outcome { return "$_[0]{status} $_[0]{code}" }
sub etag_of { return '"' . uc(md5_hex($_[0])) . '"' }

# PUT and HEAD
my $r = ask(PUT => 'emptybucket', 'a.jpg', body => $jpeg);
is("$r->{status} $r->{header}{etag}", '200 ' . etag_of($jpeg), 'PUT tells the ETag');
for my $method (qw(GET HEAD))
{
	my $h = ask($method => 'emptybucket', 'a.jpg')->{header};
	is(join(' ', map { $h->{$_} } qw(etag x-oss-object-type x-oss-storage-class content-length)),
		join(' ', etag_of($jpeg), 'Normal Standard', length $jpeg), "$method tells the identity");
	like($h->{'last-modified'}, qr/^\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT$/, 'Last-Modified');
	like($h->{'x-oss-hash-crc64ecma'}, qr/^\d+$/, 'x-oss-hash-crc64ecma');
	is($h->{'x-oss-version-id'}, undef, 'no version');
}
$r = ask(HEAD => 'emptybucket', 'a.jpg', query => [ objectMeta => '' ]);
is(join(' ', $r->{status}, map { $r->{header}{$_} // '-' } qw(etag content-length x-oss-storage-class x-oss-object-type)),
	'200 ' . etag_of($jpeg) . ' ' . length($jpeg) . ' - -', 'HEAD ?objectMeta');
ask(PUT => 'emptybucket', 'a.jpg', body => "$jpeg.");
is(ask(HEAD => 'emptybucket', 'a.jpg')->{header}{etag}, etag_of("$jpeg."), 'PUT changes the ETag');
is(outcome(ask(PUT => 'no-such-bucket', 'a.jpg', body => 'x')), '404 NoSuchBucket', 'PUT into no bucket');

# what was said of it
$oss->set(object => bucket => 'emptybucket', key => 'a.jpg', etag => '"ABC"', class => 'IA', type => 'Appendable', size => 77);
$r = ask(HEAD => 'emptybucket', 'a.jpg')->{header};
is(join(' ', map { $r->{$_} } qw(etag x-oss-storage-class x-oss-object-type content-length)), '"ABC" IA Appendable 77', '/object');
$oss->set(object => bucket => 'emptybucket', key => 'a.jpg', type => 'Multipart');
is(ask(HEAD => 'emptybucket', 'a.jpg')->{header}{etag}, etag_of("$jpeg.") =~ s/"$/-2"/r, 'the ETag of a multipart upload');
$oss->set(object => bucket => 'emptybucket', key => 'a.jpg', class => 'Archive');
is(outcome(ask(LABELS => 'emptybucket', 'a.jpg')), '403 InvalidObjectState', 'archived: no labels');
is(outcome(ask(GET => 'emptybucket', 'a.jpg')), '403 InvalidObjectState', 'no bytes');
is(outcome(ask(HEAD => 'emptybucket', 'a.jpg')), '200 ', 'but HEAD');
$oss->set(object => bucket => 'emptybucket', key => 'a.jpg', class => 'Archive', restored => 'ongoing');
is(outcome(ask(LABELS => 'emptybucket', 'a.jpg')), '403 InvalidObjectState', 'being restored');
$oss->set(object => bucket => 'emptybucket', key => 'a.jpg', class => 'Archive', restored => 1);
is(outcome(ask(LABELS => 'emptybucket', 'a.jpg')), '200 ', 'restored');
like(ask(HEAD => 'emptybucket', 'a.jpg')->{header}{'x-oss-restore'}, qr/^ongoing-request="false"/, 'x-oss-restore');
ask(PUT => 'emptybucket', 'a.jpg', body => $jpeg);
is(ask(HEAD => 'emptybucket', 'a.jpg')->{header}{'x-oss-storage-class'}, 'Standard', 'PUT ends what was said');

# conditions
for my $method (qw(GET HEAD))
{
	my $with = sub { ask($method => 'emptybucket', 'a.jpg', headers => [@_])->{status} };
	is($with->('If-Match' => etag_of($jpeg)), 200, "$method If-Match");
	is($with->('If-Match' => '"X", ' . etag_of($jpeg)), 200, 'one of several');
	is($with->('If-Match' => '"X"'), 412, 'of another');
	is($with->('If-None-Match' => etag_of($jpeg)), 304, 'If-None-Match');
	is($with->('If-None-Match' => '"X"'), 200, 'of another');
}
is(ask(LABELS => 'emptybucket', 'a.jpg', headers => [ 'If-Match' => '"X"' ])->{status}, 200, 'labels requests do not heed it');

# labels answers tell the identity only when asked to
is(ask(LABELS => 'emptybucket', 'a.jpg')->{header}{etag}, undef, 'no ETag of labels');
$oss->set(set => labels_etag => 1);
$r = ask(LABELS => 'emptybucket', 'a.jpg');
is($r->{header}{etag}, etag_of($jpeg), 'labels_etag');
ok($r->{header}{'last-modified'}, 'and Last-Modified');
$oss->set(set => labels_etag => 0);
ok(!eval { $oss->set(set => other => 1); 1 }, 'another setting is refused');

# DELETE
is(outcome(ask(DELETE => 'emptybucket', 'a.jpg', id => 'deniedid', secret => 'deniedsecret')), '403 AccessDenied', 'DELETE denied');
is(outcome(ask(DELETE => 'emptybucket', 'a.jpg')), '204 ', 'DELETE');
is(outcome(ask(LABELS => 'emptybucket', 'a.jpg')), '404 NoSuchKey', 'it is gone');
is(ask(HEAD => 'emptybucket', 'a.jpg')->{status}, 404, 'for HEAD, too');
is(outcome(ask(DELETE => 'emptybucket', 'a.jpg')), '204 ', 'DELETE of nothing');
is(outcome(ask(DELETE => 'no-such-bucket', 'a.jpg')), '404 NoSuchBucket', 'in no bucket');
$oss->set(bucket => name => 'many', keys => 20);
is(outcome(ask(DELETE => 'many', $oss->made_up(3))), '204 ', 'DELETE of a made-up key');
is(outcome(ask(LABELS => 'many', $oss->made_up(3))), '404 NoSuchKey', 'it is gone, too');
ask(PUT => 'many', $oss->made_up(3), body => $jpeg);
is(ask(HEAD => 'many', $oss->made_up(3))->{header}{etag}, etag_of($jpeg), 'and comes back as what was stored');
ask(DELETE => 'many', $oss->made_up(3));
is(outcome(ask(LABELS => 'many', $oss->made_up(3))), '404 NoSuchKey', 'until it is deleted again');
my $before = ask(LABELS => 'many', $oss->made_up(4))->{body} =~ s/"RequestId":"[^"]*"//r;
my $etag = ask(HEAD => 'many', $oss->made_up(4))->{header}{etag};
$oss->set(objects => bucket => 'many', from => 4, to => 4, changed => 1);
isnt(ask(HEAD => 'many', $oss->made_up(4))->{header}{etag}, $etag, 'a changed object has another ETag');
isnt(ask(LABELS => 'many', $oss->made_up(4))->{body} =~ s/"RequestId":"[^"]*"//r, $before, 'and other labels');
$oss->wait_count(in_flight => 0);
is($oss->count('put_requests') . ' ' . $oss->count('delete_requests'), '5 6', 'counted');
is_deeply($oss->count_kind(delete => 'many'), { $oss->made_up(3) => 2 }, 'by key');

# versions
$oss->set(bucket => name => 'kept', keys => 2, versioning => 1);
sub versions
{
	my (%p) = @_;
	my $r = ask(GET => 'kept', '', query => [ versions => '', map { (my $n = $_) =~ tr/_/-/; ($n => $p{$_}) } sort keys %p ]);
	return outcome($r) if $r->{status} != 200;
	my $value = sub { $_[0] =~ m{<$_[1]>(.*?)</$_[1]>}s ? $1 : '' };
	my @found;
	push @found, join ' ', $1 eq 'Version' ? 'v' : 'd', map { $value->($2, $_) } qw(Key VersionId IsLatest)
	  while $r->{body} =~ m{<(Version|DeleteMarker)>(.*?)</\1>}gs;
	return (\@found, $value->($r->{body}, 'NextKeyMarker'), $value->($r->{body}, 'NextVersionIdMarker'), $r->{body});
}
my ($one, $two) = map { $oss->made_up($_) } 0, 1;
is_deeply((versions())[0], [ "v $one null true", "v $two null true" ], 'versions of objects that never changed');
my $v1 = ask(PUT => 'kept', $one, body => $jpeg)->{header}{'x-oss-version-id'};
my $v2 = ask(PUT => 'kept', $one, body => 'second')->{header}{'x-oss-version-id'};
is_deeply((versions())[0], [ "v $one $v2 true", "v $one $v1 false", "v $one null false", "v $two null true" ], 'PUT makes versions, the latest first');
is(ask(GET => 'kept', $one)->{body}, 'second', 'the current one');
is(ask(GET => 'kept', $one, query => [ versionId => $v1 ])->{body}, $jpeg, 'an older one');
is(ask(HEAD => 'kept', $one, query => [ versionId => $v1 ])->{header}{etag}, etag_of($jpeg), 'its ETag');
is(outcome(ask(LABELS => 'kept', $one, query => [ versionId => 'null' ])), '200 ', 'and the first');
is(ask(HEAD => 'kept', $one)->{header}{'x-oss-version-id'}, $v2, 'x-oss-version-id');
$r = ask(DELETE => 'kept', $one);
my $marker = $r->{header}{'x-oss-version-id'};
is("$r->{status} $r->{header}{'x-oss-delete-marker'}", '204 true', 'DELETE sets a marker');
$r = ask(LABELS => 'kept', $one);
is(outcome($r) . " $r->{header}{'x-oss-delete-marker'}", '404 NoSuchKey true', 'there is nothing now');
my @all = ("d $one $marker true", "v $one $v2 false", "v $one $v1 false", "v $one null false", "v $two null true");
is_deeply((versions())[0], \@all, 'the marker is listed');
unlike(ask(GET => 'kept', '', query => [ 'list-type' => 2 ])->{body}, qr/\Q$one/, 'but not by ListObjectsV2');
for my $size (1, 2, 3)
{
	my (@found, $key, $id);
	do
	{
		(my $page, $key, $id) = versions(max_keys => $size, length($key // '') ? (key_marker => $key, version_id_marker => $id) : ());
		push @found, @$page;
	} while $key ne '';
	is_deeply(\@found, \@all, "$size a page");
}
is_deeply((versions(key_marker => $one))[0], [ $all[4] ], 'after all versions of a key');
is(versions(version_id_marker => $v1), '400 InvalidArgument', 'a version needs its key');
is(versions(max_keys => 0), '400 InvalidArgument', 'max-keys');
is(outcome(ask(DELETE => 'kept', $one, query => [ versionId => $marker ])), '204 ', 'DELETE of the marker');
is(ask(GET => 'kept', $one)->{body}, 'second', 'brings the object back');
is(outcome(ask(DELETE => 'kept', $one, query => [ versionId => $v1 ])), '204 ', 'DELETE of an old version');
is_deeply((versions())[0], [ "v $one $v2 true", @all[ 3, 4 ] ], 'leaves the others');
ask(DELETE => 'kept', $one, query => [ versionId => $v2 ]);
is_deeply((versions())[0], [ "v $one null true", $all[4] ], 'DELETE of the current one leaves the one before');
is(outcome(ask(LABELS => 'kept', $one)), '200 ', 'as the object');
$oss->control("/object?bucket=kept&key=" . OssSign::escape($two) . '&delete_marker=1');
is_deeply((versions(key_marker => $one))[0], [ "d $two CAEQmarker true", "v $two null false" ], 'a marker that control set');

# events
$oss->control('/reset');
ask(PUT => 'emptybucket', "\xe7\x85\xa7 \"1\".jpg", body => $jpeg);
$oss->put('emptybucket', 'b.jpg', 'bytes');
ask(DELETE => 'emptybucket', 'b.jpg');
ask(DELETE => 'emptybucket', 'nothing');
my @events = map { decode_json($_)->{events}[0] } split /\n/, $oss->control('/events');
is_deeply([ map { [ @$_{qw(eventName eventSource)}, $_->{oss}{bucket}{name}, @{ $_->{oss}{object} }{qw(key size eTag)} ] } @events ],
	[ [ 'ObjectCreated:PutObject', 'acs:oss', 'emptybucket', "\x{7167} \"1\".jpg", length $jpeg, etag_of($jpeg) =~ tr/"//dr ],
		[ 'ObjectCreated:PutObject', 'acs:oss', 'emptybucket', 'b.jpg', 5, uc md5_hex('bytes') ],
		[ 'ObjectRemoved:DeleteObject', 'acs:oss', 'emptybucket', 'b.jpg', 0, '' ] ], 'events');
like($events[0]{eventTime}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, 'eventTime');
is($oss->control('/events'), '', 'only since the last call');
my $e = decode_json($oss->control('/event?bucket=emptybucket&key=k&name=ObjectRemoved:DeleteObject&shape=eventbridge&etag=E&size=7'));
is("$e->{type} $e->{source} $e->{subject}", 'oss:ObjectRemoved:DeleteObject acs.oss acs:oss:cn-hangzhou:5939306421830868:emptybucket/k', 'EventBridge');
is("$e->{data}{eventName} $e->{data}{oss}{object}{eTag} $e->{data}{oss}{object}{size}", 'ObjectRemoved:DeleteObject E 7', 'its data');
$e = decode_json(decode_base64($oss->control('/event?bucket=emptybucket&key=k&shape=smq-base64')));
is($e->{events}[0]{oss}{object}{key}, 'k', 'SMQ');
ok(!eval { $oss->control('/event?bucket=emptybucket&key=k&shape=other'); 1 }, 'another shape is refused');
sub delivered
{
	my ($how) = @_;
	$oss->put('emptybucket', $_, 'x') for 1 .. 100;
	return map { $_->{events}[0]{oss}{object}{key} } map { decode_json($_) } split /\n/, $oss->control("/events?$how");
}
my @dropped = delivered('drop=20&seed=3');
ok(@dropped > 60 && @dropped < 95, 'drop') or diag scalar @dropped;
is_deeply([ delivered('drop=20&seed=3') ], \@dropped, 'the same for the same seed');
is_deeply([ delivered('repeat=2') ], [ map { ($_, $_) } 1 .. 100 ], 'repeat');
my @shuffled = delivered('shuffle=1');
isnt("@shuffled", join(' ', 1 .. 100), 'shuffle');
is(join(' ', sort { $a <=> $b } @shuffled), join(' ', 1 .. 100), 'loses none');

done_testing;
