# Start, stop, restart, TLS, counters and the two wrappers around the server.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/../../perl";
use File::Basename qw(dirname);
use JSON::PP;
use Test::More;
use Time::HiRes qw(time sleep);

use OssRaw;
use OssServer;
use OssSign;

my $test = "$FindBin::RealBin/../..";

sub labels
{
	my ($oss, %q) = @_;
	return OssRaw::signed(port => $oss->http_port, bucket => 'examplebucket', key => 'example.jpg',
		query => [ 'x-oss-process' => 'image/labels' ], %q);
}

my $oss = OssServer->new;

# connections and counters
my $socket = OssRaw::connect_to($oss->http_port);
my @took;
for (1 .. 20)
{
	my $begin = time;
	is(labels($oss, socket => $socket)->{status}, 200, "keep-alive $_") if $_ <= 2;
	labels($oss, socket => $socket) if $_ > 2;
	push @took, time - $begin;
}
cmp_ok((sort { $a <=> $b } @took)[10], '<', 0.02, 'no answer waits for an acknowledgement');
ok($oss->wait_count('label_completed', 20), 'twenty requests');
is($oss->count('connections_http'), 1, 'over one connection');
is($oss->count('bucket_examplebucket'), 20, 'counted by bucket');
is($oss->count_key('examplebucket', 'example.jpg'), 20, 'counted by key');
is($oss->count_key('examplebucket', 'other'), 0, 'not by another');
is($oss->count('key_most'), 20, 'most often asked for');
like($oss->control('/keys'), qr{^20\texamplebucket\texample\.jpg$}m, 'keys');
cmp_ok($oss->count('label_max_per_second'), '>=', 10, 'most in a second');
my $all = decode_json($oss->control('/counters?format=json'));
is($all->{label_answers}, 20, 'counters as JSON');
like($oss->control('/counters'), qr/^label_answers 20$/m, 'counters as lines');
my $log = decode_json($oss->control('/log?n=2&format=json'));
is(scalar(@$log), 2, 'log of the last two');
is("$log->[1]{method} $log->[1]{status} $log->[1]{fate} $log->[1]{access_key_id}", 'GET 200 completed testid', 'what it says');
is($log->[0]{connection}, $log->[1]{connection}, 'same connection');
is($oss->control('/close-connections'), "1\n", 'connections closed');
is(labels($oss, socket => $socket)->{raw}, '', 'the old connection is dead');
$oss->control('/reset?what=counters');
is($oss->count('label_requests'), 0, 'reset');

# ports survive a restart, and a crash
my @ports = map { $oss->$_ } qw(http_port https_port control_port);
$oss->restart;
is_deeply([ map { $oss->$_ } qw(http_port https_port control_port) ], \@ports, 'restart keeps the ports');
is(labels($oss)->{status}, 200, 'and serves');
$oss->kill9;
ok(!eval { OssRaw::connect_to($ports[0]); 1 }, 'killed');
$oss->start;
is(labels($oss)->{status}, 200, 'and back');

# ends while requests hang
$oss->fault(kind => 'hang');
my $hanging = OssRaw::connect_to($oss->http_port);
my $h = OssSign::sign_header(bucket => 'examplebucket', key => 'example.jpg', query => [ 'x-oss-process' => 'image/labels' ]);
syswrite $hanging, OssRaw::compose('GET', '/examplebucket/example.jpg?x-oss-process=image/labels', [ [ Host => '127.0.0.1' ], @$h ]);
ok($oss->wait_count('label_in_flight', 1), 'a request hangs');
my $begin = time;
is($oss->stop, 0, 'SIGTERM ends it with status 0');
cmp_ok(time - $begin, '<', 2, 'at once');
$oss->start;

# connections that the server closes when they idle
{
	my $strict = OssServer->new(certs => $oss->{certs}, args => [ '--idle-timeout', 1 ]);
	my $idle = OssRaw::connect_to($strict->http_port);
	is(labels($strict, socket => $idle)->{status}, 200, 'a connection is kept');
	my ($bytes, $end) = OssRaw::read_all($idle, 5, sub { 0 });
	is("$bytes$end", 'eof', 'and closed when it idles');
}

# TLS with the certificate made for it
sub s_client
{
	my ($port, @args) = @_;
	my $out = `echo | openssl s_client -connect 127.0.0.1:$port -CAfile '@{[$oss->ca_file]}' -verify_return_error @args 2>&1`;
	return ($? >> 8, $out);
}
my ($status, $out) = s_client($oss->https_port, '-verify_hostname', 'examplebucket.localhost');
is($status, 0, 'TLS with the right name') or diag $out;
($status, $out) = s_client($oss->https_port, '-verify_ip', '127.0.0.1');
is($status, 0, 'TLS with the address');
($status, $out) = s_client($oss->https_port, '-verify_hostname', 'example.com');
isnt($status, 0, 'not for another name');
my $session = "$oss->{dir}/session";
system("(printf 'GET / HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\nConnection: close\\r\\n\\r\\n'; sleep 1) | openssl s_client -ign_eof -connect 127.0.0.1:$ports[1] -sess_out $session >/dev/null 2>&1");
system("(printf 'GET / HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\nConnection: close\\r\\n\\r\\n'; sleep 1) | openssl s_client -ign_eof -connect 127.0.0.1:$ports[1] -sess_in $session >/dev/null 2>&1");
is($oss->count('connections_https') >= 2 && $oss->count('tls_resumed'), 1, 'a TLS session is resumed');

# with-oss
my %clean = %ENV;
delete $clean{$_} for grep { /^OSS_/ && $_ ne 'OSS_CERTS' } keys %clean;
local %ENV = (%clean, OSS_CERTS => $oss->{certs});
my $env = `$test/with-oss env`;
like($env, qr/^$_=./m, "with-oss exports $_")
  for qw(OSS_HTTP_PORT OSS_HTTPS_PORT OSS_CA_FILE OSS_CONTROL OSS_DATA OSS_HTTPS_EXPIRED_PORT);
my ($dir) = $env =~ /^OSS_DATA=(.*)$/m;
ok(!-e $dir, 'and removes the directory');
my ($server) = $env =~ /^OSS_SERVER_PID=(\d+)$/m;
ok(!kill(0, $server), 'and stops the server');
system("$test/with-oss sh -c 'exit 7'");
is($? >> 8, 7, 'status of the command');
is(`echo in | $test/with-oss cat`, "in\n", 'standard input');
is(`$test/with-oss sh -c '\$OSS_CONTROL GET /count?name=label_requests'`, "0\n", 'OSS_CONTROL');
# a shell may have started us with SIGINT ignored, which is inherited
local $SIG{INT} = 'DEFAULT';
for my $signal ('TERM', 'INT', 'KILL')
{
	my $pid = open(my $pipe, '-|', "$test/with-oss", 'sh', '-c',
		'echo $OSS_SERVER_PID $$ $OSS_DATA; exec sleep 60') or die;
	my ($server, $command, $data) = <$pipe> =~ /^(\d+) (\d+) (.*)$/;
	ok(kill(0, $server), 'the server runs');
	kill $signal, $pid;
	my $until = time + 5;
	sleep 0.02 while kill(0, $server) && time < $until;
	ok(!kill(0, $server), "no server is left after SIG$signal");
	# after SIGKILL the command is nobody's child
	kill 'TERM', $command if $signal eq 'KILL';
	close $pipe;
	isnt($?, 0, 'and the status tells');
	ok(!-e dirname($data), 'no directory is left');
}

# a test that is killed leaves nothing either
{
	my $pid = open(my $pipe, '-|', $^X, "-I$test/perl", '-MOssServer', '-e',
		'$| = 1; my $o = OssServer->new; print $o->pid, " ", $o->data_dir, "\n"; sleep 60') or die;
	my ($server, $data) = <$pipe> =~ /^(\d+) (.*)$/;
	ok(-d $data, 'a server of a test');
	kill 'KILL', $pid;
	close $pipe;
	my $until = time + 5;
	sleep 0.02 while kill(0, $server) && time < $until;
	ok(!kill(0, $server), 'is gone with it');
	ok(!-e dirname($data), 'and its directory');
}

# refusals
isnt(system("$test/oss-server/oss-server --nonsense 2>/dev/null"), 0, 'unknown option');
isnt(system("$test/oss-server/oss-server --data /nowhere/at/all 2>/dev/null"), 0, 'no directory');
my $port = $oss->http_port;
isnt(system("$test/oss-server/oss-server --data $test --http-port $port 2>/dev/null"), 0, 'port in use');

done_testing;
