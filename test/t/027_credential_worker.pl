# Credentials in the worker: fetched with no transaction open, renewed in the
# middle of a queue, waited for while the service of credentials is away.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use lib 'test/perl';
use CredentialServer;
use CredentialTest;

my $test = CredentialTest->new(conf => "shared_preload_libraries = 'oss_labels'\n");
my $server = $test->{credentials};
my $node = $test->{node};

# Keys STS.1 to STS.4, each good for so many requests.
$server->issue(id => 'STS.%d', secret => 'secret-%d', token => 'token-%d');
$test->oss_key("STS.$_", "secret-$_", "token-$_", uses => 400) for 1 .. 4;
$test->oss('/bucket?name=examplebucket&labels=2&image=examplebucket/example.jpg');
$test->psql_ok($test->create_mapping(credential_source => 'ecs_ram_role', role_name => 'TestRole'));

# The first key takes its time: what does the worker look like meanwhile?
$server->answer('key', delay => 2, times => 1);
$test->psql_ok(
	"SELECT count(oss_labels.enqueue('examplebucket', 'k' || i || '.jpg')) FROM generate_series(1, 1000) i");
my $waiting = "SELECT count(*) FROM pg_stat_activity"
  . " WHERE backend_type LIKE 'oss_labels%worker%' AND datname = 'postgres'";
ok($node->poll_query_until('postgres', "$waiting AND pid IS NOT NULL", '1'), 'there is a worker')
  or diag $test->psql_ok('SELECT backend_type, datname FROM pg_stat_activity');
ok( $node->poll_query_until('postgres', "$waiting AND xact_start IS NULL AND backend_xmin IS NULL", '1'),
	'no transaction while a key is fetched');
is($test->oss_count('label_requests'), 0, 'nothing is sent without a key');

ok( $node->poll_query_until('postgres', 'SELECT count(*) FROM oss_labels.image', '1000'),
	'1000 images have labels');
is($test->psql_ok('SELECT count(*) FROM oss_labels.failed_job'), 0, 'no job has failed')
  or diag $test->psql_ok('SELECT * FROM oss_labels.failed_job LIMIT 1');
is($server->count('key'), 3, 'three keys were fetched');
my $again = $test->oss_count('label_requests') - 1000;
is($test->oss_count('code_SecurityTokenExpired'), $again, 'what was sent again had been refused');
cmp_ok($again, '<=', 2 * 64, 'no more than what was in flight');

# The source is down while roles come and go, and other people's mappings, and the
# server is altered: the worker goes on with the good key that it has.
$test->oss_key("STS.$_", "secret-$_", "token-$_") for 1 .. 9;
$test->psql_ok("ALTER USER MAPPING FOR CURRENT_USER SERVER oss OPTIONS (SET role_name 'TestRole')");
my $enqueue = "SELECT count(oss_labels.enqueue('examplebucket', '%s' || i || '.jpg')) FROM generate_series(1, 50) i";
$test->psql_ok(sprintf $enqueue, 'a');
ok($node->poll_query_until('postgres', 'SELECT count(*) FROM oss_labels.image', '1050'), 'before the outage');
$server->answer('key', status => 500);
my $asked = $server->count('key');
$test->psql_ok("ALTER SERVER oss OPTIONS (ADD timeout_ms '50000')");
$test->psql_ok("CREATE ROLE r$_; CREATE USER MAPPING FOR r$_ SERVER oss"
	  . " OPTIONS (access_key_id 'a', access_key_secret 'b');" . sprintf $enqueue, "b$_") for 1 .. 4;
ok( $node->poll_query_until('postgres', 'SELECT count(*) FROM oss_labels.image', '1250'),
	'in the outage, beside changes of roles and of the server');
is($server->count('key'), $asked, 'in the outage: the source is not asked');
is($test->psql_ok('SELECT count(*) FROM oss_labels.active_pause'), 0, 'in the outage: nothing is paused');
is($test->psql_ok($test->detect_sql), 't', 'in the outage: a new session has the key of the worker');

# The source is down when the worker needs its first key, as after the machine's
# start: soon after it is back the worker goes on by itself.
$server->answer($_, status => 500) for qw(token roles key);
$test->psql_ok($test->create_mapping(credential_source => 'ecs_ram_role', role_name => 'TestRole') . sprintf $enqueue, 'first');
ok($node->poll_query_until('postgres', 'SELECT count(*) FROM oss_labels.active_pause', '1'), 'no first key: paused');
$asked = $test->oss_count('label_requests');
$server->answer($_) for qw(token roles key);
my $back = time;
ok($node->poll_query_until('postgres', 'SELECT count(*) FROM oss_labels.image', '1300'), 'the source is back: all is done');
cmp_ok(time - $back, '<', 60 * OssServer::patience(), 'the source is back: within seconds');
is($test->oss_count('label_requests') - $asked, 50, 'the source is back: a request each');
is($test->psql_ok('SELECT count(*) FROM oss_labels.failed_job'), 0, 'the source is back: no job has failed');

done_testing();
