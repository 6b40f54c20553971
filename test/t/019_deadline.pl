# timeout_ms is the deadline of a call: it covers waiting for the limit on the
# rate, for what throttles taught, for what the service asked to wait and for
# credentials.  What gives up has sent nothing.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

use lib 'test/perl';
use OssTest qw(literal);

my $t = OssTest->new(conf => "shared_preload_libraries = 'oss_labels'\n");
my $oss = $t->{oss};

# Run a query, and return its outcome and the seconds that it took.
sub timed
{
	my ($sql) = @_;
	my $begin = time;
	my $outcome = $t->outcome($sql);
	return ($outcome, time - $begin);
}

# Return the label requests since the last time.
sub requests
{
	my $n = $t->requests;
	$oss->control('/reset?what=counters');
	return $n;
}

my $detect = q(SELECT * FROM oss_labels.detect('examplebucket', 'example.jpg'));
my $seconds;
my $outcome;

# ---- the limit on the rate ----

$t->server(timeout_ms => 1500, max_requests_per_second => '0.05');
ok($t->outcome($detect)->{rows}, 'the first one goes');
is(requests(), 1, 'the first one: one request');
for my $call ($detect,
	q(SELECT oss_labels.detect_json('examplebucket', 'example.jpg')),
	q(SELECT * FROM oss_labels.tag('examplebucket', 'example.jpg')),
	q(SELECT l.* FROM (VALUES ('example.jpg')) v (k), LATERAL oss_labels.detect('examplebucket', v.k) l))
{
	my ($name) = $call =~ /(oss_labels.*)/;

	($outcome, $seconds) = timed($call);
	is($outcome->{sqlstate}, '53400', "$name: times out");
	like($outcome->{message}, qr/timed out waiting for the server's rate limit/, "$name: says why");
	like($outcome->{detail}, qr/max_requests_per_second 0\.05/, "$name: says which limit");
	cmp_ok($seconds, '>=', 1.2, sprintf '%s: not before %.1f s', $name, $seconds);
	cmp_ok($seconds, '<', 4 * OssServer::patience(), "$name: not much later");
}
is($t->ok(q(SELECT error_code, http_status IS NULL FROM oss_labels.try_detect('examplebucket', 'example.jpg'))),
	"RateLimitTimeout|t", 'try_detect: a row');
is(requests(), 0, 'nothing was sent');

# ---- requests that stand in their own query's line ----

# 24 images at 6 a second take 4 s: each of them is served within 1.5 s of its
# row's turn.
$t->server(timeout_ms => 1500 * OssServer::patience(), max_requests_per_second => '6');
is($t->ok(q(SELECT count(*) FROM generate_series(1, 24) g,
	LATERAL oss_labels.detect('tenlabels', 'line' || g) l)),
	'240', 'in line: nobody times out');
is(requests(), 24, 'in line: one request for each');

# A call goes before what nobody waits for yet: when the first of eight images is
# through, about as many more stand in line, which takes two seconds.
$t->server(timeout_ms => 1200 * OssServer::patience(), max_requests_per_second => '4');
is($t->ok(q(SELECT count(inner_call) FROM (SELECT CASE WHEN g = 8 THEN oss_labels.detect_json('tenlabels', 'inner') END AS inner_call
	FROM generate_series(1, 24) g, LATERAL oss_labels.detect('tenlabels', 'outer' || g) l LIMIT 71) x)),
	'1', 'a call within a pipeline does not stand behind it');
cmp_ok(requests(), '<=', 10, 'and those behind it are not sent before it');

# ---- what the worker brought upon a bucket ----

$t->server(timeout_ms => 1500);
$t->fault(code => 'QpsLimitExceeded', status => 503, bucket => 'tenlabels', header => 'Retry-After: 3600');
$t->ok(q(SELECT oss_labels.enqueue('tenlabels', 'held' || g) FROM generate_series(1, 5) g));
ok($t->{node}->poll_query_until('postgres',
		q(SELECT EXISTS (SELECT FROM oss_labels.rate_status() WHERE bucket = 'tenlabels' AND held_until > now() + '30 s'))),
	'the worker holds a bucket');
is($t->ok(q(SELECT bool_and(held_until < now() + '61 s') FROM oss_labels.rate_status() WHERE bucket = 'tenlabels')),
	't', 'for a minute, though it was asked for an hour');
$oss->control('/unfault');
requests();
($outcome, $seconds) = timed(q(SELECT * FROM oss_labels.detect('tenlabels', 'call')));
is($outcome->{sqlstate}, '53400', 'a call to that bucket times out');
like($outcome->{detail}, qr/slowed down bucket "tenlabels"/, 'and says why');
cmp_ok($seconds, '<', 4 * OssServer::patience(), sprintf 'after %.1f s', $seconds);
is(requests(), 0, 'and sends nothing');
ok($t->outcome($detect)->{rows}, 'a call to another bucket goes');
is(requests(), 1, 'with one request');

# ---- credentials that do not come ----


$t->server(timeout_ms => 1200, mapping => { credential_source => 'credentials_uri',
		credentials_uri => 'http://127.0.0.1:' . $t->mute_port . '/' });
($outcome, $seconds) = timed($detect);
is($outcome->{sqlstate}, '28000', 'credentials that do not come: times out');
cmp_ok($seconds, '<', 3.5 * OssServer::patience(), sprintf 'after %.1f s', $seconds);
is(requests(), 0, 'and sends nothing');

$t->{node}->stop;
done_testing;
