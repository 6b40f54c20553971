# Which set-up for which network: each line of the table in sql/README.md is run as
# it stands; the wrong one says which was meant; plain http to private addresses.

use strict;
use warnings;

use IO::Socket::INET;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use lib 'test/perl';
use HttpProxy;
use OssTest qw(literal);

my $t = OssTest->new;
my $oss = $t->{oss};
my $proxy = HttpProxy->new;
$proxy->behave(ports => { 443 => $oss->https_port });
my @buckets = qw(examplebucket image-demo my_bucket);
$oss->put('my_bucket', 'example.jpg', slurp_file($oss->data_dir . '/examplebucket/example.jpg'));

# The networks of the test: which host is where.
my %address = (
	'oss-cn-hangzhou.aliyuncs.com' => '203.0.113.1',
	'oss-cn-hangzhou-internal.aliyuncs.com' => '100.118.28.50',
	'oss-accelerate.aliyuncs.com' => '203.0.113.2',
	'cn-hangzhou.oss.aliyuncs.com' => '2001:db8::3',
	'ep-1.oss.cn-hangzhou.privatelink.aliyuncs.com' => '10.20.0.1',
	'sts.cn-hangzhou.aliyuncs.com' => '203.0.113.8',
	'images.example.com' => '203.0.113.4',
	'photos.example.com' => '203.0.113.5',
	'img.example.com' => '203.0.113.6',
	'oss-cn-private-1.corp.example' => '10.20.0.2',
	'cb-f8z7yvzgwfkl9q0h.cn-hangzhou.oss-cloudbox-control.example' => '192.168.7.8');
my %route = map { ("$_ 443" => $oss->https_port, "$_ 80" => $oss->http_port) } values %address;

# Let names resolve and lead to the stand-in, but for these changes.
sub network
{
	my ($names, $routes) = @_;
	$t->names((map { my $host = $_; map { $_ => $address{$host} } $host, map { "$_.$host" } @buckets } keys %address), %{ $names // {} });
	$t->routes(%route, %{ $routes // {} });
	$oss->control('/reset');
	$oss->control('/scope?region=cn-hangzhou&product=oss');
	$oss->set(cname => host => 'images.example.com', bucket => 'examplebucket');
	$oss->set(cname => host => 'photos.example.com', bucket => 'image-demo');
	$oss->set(cname => host => "$_.img.example.com", bucket => $_) for @buckets;
	return;
}

# Create the server of a line, with the stand-in's authority where https is spoken.
my $ca = 'ca_file ' . literal($oss->ca_file);
sub create
{
	my ($options, $mapping) = @_;
	$mapping = defined $mapping ? "$mapping, $ca" : "access_key_id '…', access_key_secret '…'";
	$mapping =~ s/'…'(, access_key_secret) '…'/'testid'$1 'testsecret'/;
	$options .= ", $ca" unless $options =~ s/ca_file '[^']*'/$ca/ || $options =~ /endpoint 'http:/;
	$t->ok("DROP SERVER IF EXISTS oss CASCADE; CREATE SERVER oss FOREIGN DATA WRAPPER oss_labels OPTIONS ($options);"
		  . "CREATE USER MAPPING FOR CURRENT_USER SERVER oss OPTIONS ($mapping)");
	return;
}

sub detect { return $t->outcome(OssTest::detect_sql('example.jpg', $_[0] // 'examplebucket')) }
sub hosts
{
	my %host = map { (split /\t/)[2] => 1 } split /\n/, $oss->logged;
	return join ' ', sort keys %host;
}

# A line's requests arrive, for these buckets at these hosts.
sub arrives
{
	my ($line, %host) = @_;
	for my $bucket (sort keys %host)
	{
		my $scheme = $line->{options} =~ /endpoint 'http:/ ? 'http' : 'https';
		my $checked = $t->ok("SELECT string_agg(check_name || ' ' || detail, '; ') FROM oss_labels.check_server('oss', '$bucket', 'example.jpg') WHERE ok IS DISTINCT FROM true");
		is($checked, '', "$line->{network}: check_server() is content with $bucket");
		ok(detect($bucket)->{rows}, "$line->{network}: labels of $bucket");
		like($t->ok("SELECT oss_labels.presign('$bucket', 'example.jpg')"), qr{^$scheme://\Q$host{$bucket}\E/example\.jpg\?}, "$line->{network}: presign() for $bucket");
	}
	my @asked = grep { $host{ (split /\./)[0] } || !/^(?:oss|cn|ep|cb)-/ } split / /, hosts();
	is("@asked", join(' ', sort values %host), "$line->{network}: by these hosts");
	return;
}

# What a line must do, by its first column; each is run, and there are no others.
sub of_all { my ($endpoint, @of) = @_; return map { $_ => "$_.$endpoint" } @of ? @of : @buckets[ 0, 1 ] }
my %test = (
	'public' => sub { arrives($_[0], of_all('oss-cn-hangzhou.aliyuncs.com')) },
	'internal: from machines of Alibaba Cloud in the bucket\'s region' => sub { arrives($_[0], of_all('oss-cn-hangzhou-internal.aliyuncs.com')) },
	'VPC or PrivateLink endpoint' => sub { arrives($_[0], of_all('ep-1.oss.cn-hangzhou.privatelink.aliyuncs.com')) },
	'transfer acceleration' => sub { arrives($_[0], of_all('oss-accelerate.aliyuncs.com')) },
	'IPv6 and IPv4' => sub { arrives($_[0], of_all('cn-hangzhou.oss.aliyuncs.com')) },
	'custom domain of one bucket' => sub {
		arrives($_[0], examplebucket => 'images.example.com');
		like(detect('image-demo')->{message}, qr/custom domain is another bucket's/, "$_[0]{network}: another bucket is refused");
	},
	'custom domains by a pattern' => sub { arrives($_[0], of_all('img.example.com')) },
	'custom domains without a pattern' => sub {
		arrives($_[0], examplebucket => 'images.example.com', 'image-demo' => 'photos.example.com');
		my ($insert) = $_[0]{notes} =~ /`(INSERT INTO [^`]+)`/;
		$t->ok("DELETE FROM oss_labels.bucket_domain; $insert");
		is($t->ok('SELECT host FROM oss_labels.bucket_domain'), 'images.example.com', "$_[0]{network}: by INSERT");
		$oss->control('/reset?what=counters');
		ok(detect('image-demo')->{rows}, "$_[0]{network}: another bucket");
		like(hosts(), qr/image-demo\.oss-cn-hangzhou\.aliyuncs\.com/, "$_[0]{network}: at the region's endpoint");
	},
	'Apsara Stack, https with its own CA' => sub {
		$oss->control('/scope?region=cn-private-1&product=oss');
		arrives($_[0], of_all('oss-cn-private-1.corp.example'));
	},
	'Apsara Stack, plain http in a VPC' => sub {
		$oss->control('/scope?region=cn-private-1&product=oss');
		arrives($_[0], of_all('oss-cn-private-1.corp.example', @buckets));
		like($t->ok("SELECT detail FROM oss_labels.check_server('oss', 'examplebucket') WHERE check_name = 'tls'"), qr/plain http to .*plain_http/, "$_[0]{network}: check_server() says so");
	},
	'a role of another account' => sub {
		$oss->control('/sts-role?arn=' . OssServer::escape('acs:ram::1234567890123456:role/reader') . '&external_id=partner-7');
		arrives($_[0], of_all('oss-cn-hangzhou.aliyuncs.com'));
		cmp_ok($oss->count('sts_ok'), '>', 0, "$_[0]{network}: with a key of STS");
	},
	'an egress proxy' => sub {
		# nothing but the proxy can be resolved and reached
		$t->names('proxy.corp.example' => '10.20.0.9');
		$t->routes('10.20.0.9 3128' => $proxy->port);
		$proxy->forget;
		arrives($_[0], of_all('oss-cn-hangzhou.aliyuncs.com'));
		like($proxy->heads, qr/^CONNECT examplebucket\.oss-cn-hangzhou\.aliyuncs\.com:443 /m, "$_[0]{network}: through it");
	},
	'CloudBox, plain http in a VPC' => sub {
		$oss->control('/scope?region=cb-f8z7yvzgwfkl9q0h&product=oss-cloudbox');
		arrives($_[0], of_all('cb-f8z7yvzgwfkl9q0h.cn-hangzhou.oss-cloudbox-control.example'));
	});

my ($table) = slurp_file('sql/README.md') =~ /^\| network \| options \| what to know \|\n\|[-|]+\n((?:\|.*\n)+)/m;
my @lines = map {
	my (undef, $network, $options, $notes) = split / *\| */;
	my @spans = $options =~ /`([^`]+)`/g;
	{ network => $network, options => $spans[0], mapping => $spans[1], notes => $notes };
} split /\n/, $table // '';
is_deeply([ sort map { $_->{network} } @lines ], [ sort keys %test ], 'each line of the table has its test, and each test a line');
for my $line (grep { $test{ $_->{network} } } @lines)
{
	network();
	create(@$line{qw(options mapping)});
	$test{ $line->{network} }->($line);
}

# An old bucket's name in a certificate's wildcard.  The TLS library of the stand-in
# takes no name with an underscore, OpenSSL's server does.
my $tls_port = OssTest::closed_port;
my $tls = IPC::Run::start([ 'openssl', 's_server', '-accept', "127.0.0.1:$tls_port", '-www',
	'-cert', "$oss->{certs}/good.pem", '-key', "$oss->{certs}/good.key" ], '<', '/dev/null', '>', '/dev/null', '2>', '/dev/null');
$t->wait_for('s_server', sub { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $tls_port) });
network({}, { '203.0.113.1 443' => $tls_port, '203.0.113.6 443' => $tls_port });
for my $options ("endpoint_type 'public'", "endpoint 'https://{bucket}.img.example.com'")
{
	create("region 'cn-hangzhou', $options, max_attempts '1'");
	like(detect('my_bucket')->{message}, qr/is not a labels document/, "$options: my_bucket is connected to");
}
$tls->kill_kill;

# ---- the wrong one, and which was meant ----

# A call fails with this SQLSTATE and this hint.
sub meant
{
	my ($name, $options, $sqlstate, $hint, $names, $routes) = @_;
	network($names, $routes);
	create("region 'cn-hangzhou', $options, connect_timeout_ms '300', max_attempts '2'");
	my $outcome = detect();
	is($outcome->{sqlstate}, $sqlstate, "$name: $sqlstate");
	like($outcome->{hint}, $hint, "$name: which one was meant");
	like($t->ok("SELECT string_agg(hint, ' ') FROM oss_labels.check_server('oss', 'examplebucket') WHERE NOT ok"), $hint, "$name: in check_server(), too");
	return;
}
my $full = $t->full_port;
meant('internal from elsewhere', "endpoint_type 'internal'", '08001', qr/same region only.*endpoint_type 'public'/, {}, { '100.118.28.50 443' => $full });
meant('internal by endpoint', "endpoint 'https://oss-cn-hangzhou-internal.aliyuncs.com'", '08001', qr/same region only.*endpoint_type 'public'/, {}, { '100.118.28.50 443' => $full });
meant('internal without a name', "endpoint_type 'internal'", '08001', qr/endpoint_type 'public'/, { 'examplebucket.oss-cn-hangzhou-internal.aliyuncs.com' => 'unknown' });
meant('public without the internet', "endpoint_type 'public'", '08001', qr/endpoint_type 'internal'/, {}, { '203.0.113.1 443' => $full });
meant('a region without dual stack', "endpoint_type 'dualstack'", '08001', qr/Not all regions have a dual-stack/, { 'examplebucket.cn-hangzhou.oss.aliyuncs.com' => 'unknown' });
meant('accelerate without the internet', "endpoint_type 'accelerate'", '08001', qr/needs access to the internet.*'internal'/, {}, { '203.0.113.2 443' => $full });
meant("a bucket's own domain", "endpoint 'https://{bucket}.img.example.com'", '08001', qr/the bucket's own.*bucket_domain/, { 'examplebucket.img.example.com' => 'unknown' });
for my $case ([ 'not_accelerated', 'accelerate', qr/Enable transfer acceleration.*endpoint_type 'public'/ ],
	[ 'public_forbidden', 'public', qr/endpoint_type 'internal'.*bucket_domain.*\{bucket\}/ ])
{
	my ($trait, $type, $hint) = @$case;
	network();
	$oss->set(bucket => name => 'examplebucket', $trait => 1);
	create("region 'cn-hangzhou', endpoint_type '$type'");
	my $outcome = detect();
	is($outcome->{sqlstate}, '55000', "$trait: 55000");
	like($outcome->{hint}, $hint, "$trait: what to use");
	is($t->requests, 1, "$trait: by one request");
	$t->ok("ALTER SERVER oss OPTIONS (SET endpoint_type 'internal')");
	ok(detect()->{rows}, "$trait: which works");
}

my $region = 'r' x 59;
for my $bad ("endpoint_type 'vpc'", "endpoint_type ''", "endpoint_type 'Internal'", "endpoint_type 'internal', endpoint 'https://oss-cn-hangzhou.aliyuncs.com'",
	"endpoint_type 'public', endpoint 'https://{bucket}.img.example.com'", "endpoint_type 'internal', addressing 'cname'",
	"endpoint 'https://{bucket}.img.example.com', addressing 'virtual'", "endpoint 'https://{bucket}.img.example.com', addressing 'path'",
	"endpoint 'https://{bucket}'", "endpoint 'https://img.{bucket}'", "endpoint 'https://{key}.example.com'", "endpoint 'http://{bucket}.example.com'",
	"plain_http 'public'", "plain_http 'true'", "plain_http 'private', endpoint 'http://8.8.8.8'", "plain_http 'private', endpoint 'http://169.254.169.254'",
	"plain_http 'private', endpoint 'http://100.100.100.200'", "plain_http 'private', endpoint 'http://[fd00:ec2::254]'",
	"plain_http 'private', endpoint 'http://0x0a.1'", "endpoint 'http://10.20.0.2'", "plain_http 'loopback', endpoint 'http://10.20.0.2'",
	"bucket_domains 'examplebucket=http://10.20.0.2'")
{
	my ($out, $err) = $t->psql("CREATE SERVER bad FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', $bad)");
	like($err, qr/ERROR:  22023: .*HINT:  /s, "refused: $bad");
}
like(($t->psql("CREATE SERVER bad FOREIGN DATA WRAPPER oss_labels OPTIONS (region '$region', endpoint_type 'internal')"))[1], qr/ERROR:  22023: /, 'refused: a region too long for its internal endpoint');

# ---- plain http to private addresses ----

network();
my $plain = "region 'cn-hangzhou', endpoint 'http://oss-cn-private-1.corp.example', plain_http 'private', max_attempts '1'";
my ($out, $err) = $t->psql("DROP SERVER oss CASCADE; CREATE SERVER oss FOREIGN DATA WRAPPER oss_labels OPTIONS ($plain)");
like($err, qr/WARNING:  .*plain http to private addresses.*DETAIL:  .*repeat a request.*HINT:  /s, 'plain_http warns of what it gives up');
unlike($err, qr/ERROR/, 'and is set');
create($plain);
my $host = 'examplebucket.oss-cn-private-1.corp.example';
for my $private ('10.20.0.2', '192.168.7.8', '100.118.28.50')
{
	network({ $host => $private });
	ok(detect()->{rows}, "a name that resolves to $private");
}
network({ $host => 'fd12:3456::1' }, { 'fd12:3456::1 80' => $oss->http_port });
ok(detect()->{rows}, 'a name that resolves to fd12:3456::1');
network({ $host => '203.0.113.1 10.20.0.2' });
ok(detect()->{rows}, 'of several addresses the private one is used');
is($oss->count('requests_total'), 1, 'by one request');
for my $refused ('203.0.113.1', '8.8.8.8', '172.32.0.1', '100.128.0.1', '169.254.169.254', '100.100.100.200', '0.0.0.0', '224.0.0.1',
	'fd00:ec2::254', 'fe80::1', '2001:db8::3', '64:ff9b::a14:2', '::ffff:169.254.169.254', '::ffff:8.8.8.8')
{
	# routed to the stand-in, should it be connected to
	network({ $host => $refused }, { "$refused 80" => $oss->http_port });
	my $outcome = detect();
	is($outcome->{sqlstate}, '42501', "a name that resolves to $refused: 42501");
	is($oss->count('connections_http'), 0, "$refused: nobody was connected to");
}

# who may set it, and use it
$t->ok('CREATE ROLE chooser; CREATE ROLE tenant; GRANT USAGE ON FOREIGN DATA WRAPPER oss_labels TO chooser;'
	  . " CALL oss_labels.grant_paying('tenant'); GRANT USAGE ON FOREIGN SERVER oss TO tenant, chooser;"
	  . " CREATE USER MAPPING FOR tenant SERVER oss OPTIONS (access_key_id 'stsid', access_key_secret 'stssecret', security_token 'ststoken')");
($out, $err) = $t->psql("SET ROLE chooser; CREATE SERVER mine FOREIGN DATA WRAPPER oss_labels OPTIONS ($plain)");
like($err, qr/ERROR:  42501: permission denied to set option "plain_http"/, 'not for others than superusers');
$t->ok("SET ROLE chooser; CREATE SERVER mine FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou')");
($out, $err) = $t->psql("SET ROLE chooser; ALTER SERVER mine OPTIONS (ADD plain_http 'private')");
like($err, qr/ERROR:  42501: /, 'nor by ALTER SERVER');
network();
is($t->ok("SET ROLE tenant; SELECT count(*) FROM oss_labels.detect('examplebucket', 'example.jpg', server => 'oss')"), 2, 'a tenant uses it where a superuser has set it');
$t->ok('ALTER SERVER oss OWNER TO chooser');
for my $change ("SET endpoint 'http://images.example.com'", "SET endpoint 'https://images.example.com'", "ADD bucket_domains 'examplebucket=http://192.168.7.8'", "SET max_attempts '2'")
{
	($out, $err) = $t->psql("SET ROLE chooser; ALTER SERVER oss OPTIONS ($change)");
	like($err, qr/ERROR:  42501: /, "a later owner: $change");
}
network();
for my $role ('tenant', 'CURRENT_USER')
{
	my $set = $role eq 'tenant' ? 'SET ROLE tenant;' : '';
	($out, $err) = $t->psql("$set SELECT * FROM oss_labels.detect('examplebucket', 'example.jpg', server => 'oss')");
	like($err, qr/ERROR:  42501: server "oss" must be owned by a superuser.*plain_http/s, "it is not used for a later owner, by $role");
}
is($oss->count('requests_total'), 0, 'nothing was sent');
$t->ok("SET ROLE chooser; ALTER SERVER oss OPTIONS (SET endpoint 'https://oss-cn-hangzhou.aliyuncs.com', DROP plain_http)");
$t->ok("RESET ROLE; ALTER SERVER oss OWNER TO CURRENT_USER; ALTER SERVER oss OPTIONS (ADD $ca)");
ok($t->outcome("SELECT * FROM oss_labels.detect('examplebucket', 'example.jpg', server => 'oss')")->{rows}, 'without it the server is any other');

# ---- what one server's key signs goes to its hosts alone ----

network();
$t->ok('DROP SERVER mine; DROP SERVER oss CASCADE;'
	  . "CREATE SERVER one FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', endpoint 'https://{bucket}.img.example.com', $ca);"
	  . "CREATE SERVER two FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', endpoint 'http://oss-cn-private-1.corp.example', plain_http 'private');"
	  . "INSERT INTO oss_labels.bucket_domain VALUES ('one', 'examplebucket', 'images.example.com');"
	  . "CREATE USER MAPPING FOR CURRENT_USER SERVER one OPTIONS (access_key_id 'testid', access_key_secret 'testsecret');"
	  . "CREATE USER MAPPING FOR CURRENT_USER SERVER two OPTIONS (access_key_id 'stsid', access_key_secret 'stssecret', security_token 'ststoken')");
$t->ok(join ';', map { my $b = $_; map { "SELECT count(*) FROM oss_labels.detect('$b', 'example.jpg', server => '$_')" } qw(one two) } (@buckets[ 0, 1 ]) x 2);
my %seen = map { my @f = split /\t/; ("$f[11] at $f[2]" => 1) } split /\n/, $oss->logged;
is(join(', ', sort keys %seen), join(', ', sort 'testid at images.example.com', 'testid at image-demo.img.example.com',
		map { "stsid at $_.oss-cn-private-1.corp.example" } @buckets[ 0, 1 ]), 'two servers in a session: each key at its own hosts');
my $log = slurp_file($t->{node}->logfile);
unlike($log . $t->{shown}, qr/OSS4-HMAC-SHA256 Credential/, 'no signature in the log, nor in what was shown');
unlike($log =~ s/^.*(?:STATEMENT|statement): .*$//gmr, qr/ststoken|stssecret/, 'nor a secret of the other server');

done_testing();
