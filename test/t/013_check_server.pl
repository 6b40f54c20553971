# check_server(): healthy and each kind of sick, what it spends; and where the
# time went when a request timed out.

use strict;
use warnings;

use Test::More;

use lib 'test/perl';
use OssTest qw(literal);

my $t = OssTest->new;
my $oss = $t->{oss};

# The findings as [check_name, ok, detail, hint].
sub check
{
	my ($arguments) = @_;
	return map { [ split /\x1f/, $_, -1 ] } split /\x1e/,
	  $t->ok("SELECT string_agg(concat_ws(E'\\x1f', check_name, CASE WHEN ok THEN 't' WHEN NOT ok THEN 'f' ELSE '' END, coalesce(detail, ''), coalesce(hint, '')), E'\\x1e')"
		  . ' FROM oss_labels.check_server(' . ($arguments // q{'oss', 'examplebucket', 'example.jpg'}) . ')');
}

# The last finding is the first sick one, of that check, and says this.
sub sick
{
	my ($name, $check, $detail, @checks) = @_;
	my @found = check(@checks);
	my ($bad) = grep { $_->[1] eq 'f' } @found;
	is($bad ? $bad->[0] : 'healthy', $check, "$name: $check");
	is($found[-1][0], $check, "$name: the checks stop there") unless $check eq 'clock';
	like($bad ? $bad->[2] : '', $detail, "$name: says so");
	isnt($bad ? $bad->[3] : '', '', "$name: has a hint");
	return @found;
}

# ---- healthy, and what it costs ----

my @healthy = check();
is(join(' ', map { "$_->[0]:$_->[1]" } @healthy),
	'server:t options:t mapping:t credentials:t budget:t dns:t tcp:t tls:t clock:t signature:t bucket:t key:t labels:t',
	'a healthy server, in order');
is($healthy[1][2], 'region cn-hangzhou, endpoint http://127.0.0.1:' . $oss->http_port . ', addressing path', 'the options that hold');
is($t->requests, 1, 'with a key: one paid request');
like($healthy[-1][2], qr/cost 1 paid request/, 'and it says so');
$t->fault;
is((grep { $_->[1] ne 't' } check(q{'oss', 'examplebucket'})), 0, 'healthy with a bucket');
is((grep { $_->[1] ne 't' } check(q{'oss'})), 0, 'healthy without');
is((grep { $_->[1] ne 't' } check('')), 0, 'healthy, the only server');
is($t->requests, 0, 'without a key: no paid request');
$t->server($t->https);
is((grep { $_->[1] ne 't' } check()), 0, 'healthy over https');
unlike(join(' ', map { @$_ } check()), qr/testsecret|testid/, 'no secret is shown');

# ---- sick ----

my %key = (access_key_id => 'testid', access_key_secret => 'testsecret');
$t->fault;
$t->server;
sick('no such server', 'server', qr/does not exist/, q{'nosuch'});
$t->ok('DROP USER MAPPING FOR CURRENT_USER SERVER oss');
sick('no mapping', 'mapping', qr/no user mapping/);
$t->server(mapping => { credential_source => 'environment' });
sick('no credentials', 'credentials', qr/ALIBABA_CLOUD_ACCESS_KEY_ID/);
$t->names('unknown.test' => 'unknown', 'silent.test' => 'silent', 'inner.test' => '169.254.169.254');
my %to = (addressing => 'path', connect_timeout_ms => 200);
$t->server(endpoint => 'https://unknown.test', %to);
sick('an unknown name', 'dns', qr/could not be resolved/);
$t->server(endpoint => 'https://silent.test', %to);
sick('silent DNS', 'dns', qr/all of it in DNS/);
$t->server(endpoint => 'https://127.0.0.1:' . OssTest::closed_port, %to);
sick('nobody listens', 'tcp', qr/could not connect/);
$t->server(endpoint => 'https://127.0.0.1:' . $t->full_port, %to);
sick('packets dropped', 'tcp', qr/connecting \d+ ms/);
$t->server(endpoint => 'https://inner.test', %to);
sick('a forbidden address', 'tcp', qr/may not go to/);
$t->server(endpoint => 'https://127.0.0.1:' . $t->mute_port, %to);
sick('no handshake', 'tls', qr/connected, TLS handshake unfinished/);
$t->server(endpoint => 'https://127.0.0.1:' . $oss->http_port, %to);
sick('no TLS at all', 'tls', qr/handshake failed/);
$t->server($t->https('127.0.0.1', $t->port_of('EXPIRED')));
sick('an expired certificate', 'tls', qr/expired/);
$t->server(timeout_ms => 300);
$oss->fault(kind => 'hang', scope => 'any');
sick('no answer', 'answer', qr/waiting for the answer \d+ ms/);
$t->fault;
$t->server;
$oss->control('/clock?shift=7200');
my @found = check();
is(join(' ', map { $_->[1] eq 't' ? () : $_->[0] } @found), 'clock', 'a clock two hours off: one finding');
like((grep { $_->[0] eq 'clock' } @found)[0][2], qr/differs by -?\d+ s/, 'by how much');
is($found[-1][0] . $found[-1][1], 'labelst', 'and labels come all the same');
$oss->control('/clock?shift=0');
$t->server(mapping => { %key, access_key_secret => 'wrong' });
sick('a wrong secret', 'signature', qr/signature does not match/);
$t->server(mapping => { %key, access_key_id => 'nobody' });
sick('an unknown key id', 'signature', qr/unknown or disabled/);
$t->server(mapping => { access_key_id => 'expiredid', access_key_secret => 'expiredsecret', security_token => 'expiredtoken' });
sick('an expired token', 'signature', qr/expired/);
$t->server(region => 'cn-shanghai');
sick('a wrong region', 'signature', qr/region/);
$t->server;
sick('no such bucket', 'bucket', qr/does not exist/, q{'oss', 'nosuchbucket'});
sick('a bucket elsewhere', 'bucket', qr/region/, q{'oss', 'shanghaibucket'});
sick('path style refused', 'bucket', qr/host name/, q{'oss', 'strictbucket'});
sick('no such key', 'key', qr/does not exist/, q{'oss', 'examplebucket', 'nosuch.jpg'});
sick('not attached', 'labels', qr/not attached/, q{'oss', 'unattached', 'example.jpg'});
sick('no right to label', 'labels', qr/denied|forbidden/i, q{'oss', 'examplebucket', 'example.jpg'})
  if $t->server(mapping => { access_key_id => 'noimmid', access_key_secret => 'noimmsecret' }) || 1;
$t->server;
sick('a bad bucket', 'arguments', qr/bucket/i, q{'oss', 'Bad'});
$t->fault;
check(q{'oss', 'examplebucket', 'nosuch.jpg'});
is($t->requests, 0, 'a key that is not there is not paid for');

# ---- accounts, policies, endpoints ----

sub find { my ($name, @found) = @_; return (grep { $_->[0] eq $name } @found)[0] // [ $name, 'no row', '', '' ] }
sub oks { return join ' ', map { "$_->[0]:" . ($_->[1] || '?') } grep { $_->[0] =~ /^(signature|bucket|key|labels)$/ } @_ }

# As whom the next checks ask, and how that key and the bucket are.
sub as_alice
{
	my ($alice, $bucket) = @_;
	$t->fault;
	$oss->control('/bucket?name=bucket-a&image=examplebucket/example.jpg' . ($bucket // ''));
	$oss->control('/credential?id=aliceid&secret=alicesecret' . ($alice // ''));
	$t->server(mapping => { access_key_id => 'aliceid', access_key_secret => 'alicesecret' });
	return;
}

# a policy for a prefix
my @with_key = (q{'oss', 'bucket-a', 'photos/beach.jpg'});
my @without_key = (q{'oss', 'bucket-a'});
as_alice('&allow=bucket-a/photos/');
is(oks(check(@with_key)), 'signature:t bucket:t key:t labels:t', 'a policy for a prefix: the key within it');
is($t->requests, 1, 'a policy for a prefix: one paid request');
@found = check(@without_key);
is(oks(@found), 'signature:t bucket:?', 'a policy for a prefix, without a key: neither sick nor healthy');
like(find('bucket', @found)->[2], qr/^cannot tell/, 'without a key: it says so');
like(find('bucket', @found)->[3], qr/Give a key/, 'without a key: and what would tell');
is($t->ok("SELECT bool_and(ok) FROM oss_labels.check_server(@without_key)"), 't', 'without a key: nothing is found to be wrong');
is(oks(sick('a key outside of the prefix', 'key', qr/access denied/, q{'oss', 'bucket-a', 'beach.jpg'})),
	'signature:t bucket:t key:f', 'a key outside of the prefix: the bucket is there');
as_alice('&deny_get=1');
is(oks(check(@without_key)), 'signature:t bucket:?', 'no right to anything, without a key: cannot tell');
sick('no right to anything', 'key', qr/access denied/, @with_key);
as_alice('&deny_imm=1');
sick('a right to read only', 'labels', qr/access denied/, @with_key);

# what concerns the whole bucket or account is no matter of the key
for my $case (
	[ 'public endpoint', undef, '&refuse=PublicEndpointForbidden', qr/public endpoint/, qr/internal endpoint.*addressing 'cname'/ ],
	[ 'overdue payment', '&refuse=InDebt', undef, qr/overdue/, qr/bills/ ],
	[ "the owner's overdue payment", undef, '&refuse=InDebt', qr/overdue/, qr/bills/ ],
	[ 'disabled account', '&refuse=UserDisable', undef, qr/account is disabled/, qr/bills/ ],
	[ 'disabled bucket', undef, '&refuse=BucketDisable', qr/bucket is disabled/, qr/bills/ ])
{
	my ($name, $alice, $bucket, $detail, $hint) = @$case;
	as_alice($alice, $bucket);
	for my $arguments (\@with_key, \@without_key)
	{
		@found = sick($name, 'bucket', $detail, @$arguments);
		like(find('bucket', @found)->[3], $hint, "$name: the next step");
	}
	is($t->requests, 0, "$name: nothing is paid for");
}
as_alice();
$oss->control('/bucket?name=bucket-a&image=examplebucket/example.jpg');

# a key that is there but cannot be had says that its bucket is in order
$oss->fault(kind => 'error', code => 'MirrorFailed', scope => 'any');
is(oks(sick('a mirror whose origin is down', 'key', qr/mirror/, @with_key)), 'signature:t bucket:t key:f', 'a mirror: the bucket is there');
is(oks(check(@without_key)), 'signature:t bucket:t', 'a mirror, without a key: the bucket is there');
$oss->control('/unfault');

# a custom domain is one bucket's
$oss->control('/bucket?name=bucket-b&image=examplebucket/example.jpg');
$oss->control('/cname?host=localhost&bucket=bucket-a');
$t->server(endpoint => 'http://localhost:' . $oss->http_port, addressing => 'cname');
is(oks(check(@with_key)), 'signature:t bucket:t key:t labels:t', "a custom domain: its own bucket");
$oss->control('/reset?what=counters');
for my $arguments (q{'oss', 'bucket-b', 'a.jpg'}, q{'oss', 'bucket-b'})
{
	@found = sick('a second bucket at a custom domain', 'signature', qr/custom domain is another bucket's/, $arguments);
	like(find('signature', @found)->[3], qr/belongs to one bucket/, 'a second bucket at a custom domain: what to look at');
}
is($t->requests, 0, 'a second bucket at a custom domain: nothing is paid for');

# ---- where the time went ----

my @slow = (
	[ 'DNS', qr/all of it in DNS/, endpoint => 'https://silent.test' ],
	[ 'connect', qr/DNS \d+ ms, connecting ([5-9]\d\d|1\d\d\d) ms/, endpoint => 'https://127.0.0.1:' . $t->full_port ],
	[ 'TLS', qr/DNS \d+ ms, connected, TLS handshake unfinished after ([5-9]\d\d|1\d\d\d) ms/, endpoint => 'https://127.0.0.1:' . $t->mute_port ]);
for my $case (@slow)
{
	my ($phase, $where, %option) = @$case;
	$t->server(%to, connect_timeout_ms => 1000, max_attempts => 1, %option);
	my $outcome = $t->detect;
	is($outcome->{sqlstate}, '08001', "$phase: 08001");
	like($outcome->{detail}, $where, "$phase: said to be slow");
}
$t->fault(kind => 'hang');
$t->server(timeout_ms => 1500);
my $outcome = $t->detect;
is($outcome->{sqlstate}, '08006', 'header: 08006');
like($outcome->{detail}, qr/waiting for the answer ([5-9]\d\d|1\d\d\d) ms/, 'header: said to be slow');
$t->fault(kind => 'hang-body', bytes => 20);
like($t->detect->{detail}, qr/first byte \d+ ms, body ([5-9]\d\d|1\d\d\d) ms/, 'body: said to be slow');

done_testing();
