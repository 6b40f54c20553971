# Keys and what else is known of a server outlive what concerns other servers,
# mappings and roles, and end at once with what concerns them.  What went out is
# what the servers counted.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use lib 'test/perl';
use CredentialServer;
use CredentialTest;

my $test = CredentialTest->new;
my $server = $test->{credentials};
my $call = $test->detect_sql;
my %ecs = (credential_source => 'ecs_ram_role', role_name => 'TestRole');

# SQL that another session runs meanwhile.
my $other = "\\! psql -X -q -o /dev/null -d '" . $test->{node}->connstr('postgres') . "' ";
sub elsewhere { return "\n$other -c \"$_[0]\"\n"; }

# Keys STS.1, STS.2, ... are given out one after another; OSS knows them.
sub keys_to_come
{
	my ($n) = @_;
	$test->oss('/reset');
	$server->reset_counts;
	$server->issue(id => 'STS.%d', secret => 'secret-%d', token => 'token-%d');
	$test->oss_key("STS.$_", "secret-$_", "token-$_") for 1 .. $n;
	return;
}

# Calls before, between and after these commands, in one session, need so many
# fetches and never fail.
sub fetches
{
	my ($name, $n, @between) = @_;
	keys_to_come(@between + 1);
	my ($out, $err) = $test->psql(join ' ', $call, map { ($_, $call) } @between);
	is("$out$err", join("\n", ('t') x (@between + 1)), "$name: all have labels");
	is($server->count('key'), $n, "$name: fetches");
	return;
}

# After these commands a call of the same session fails like this; neither OSS
# nor the source is asked.
sub refused
{
	my ($name, $expected, $change, %how) = @_;
	keys_to_come(2);
	my ($out, $err) = $test->psql(join ' ', $how{before} // '', $call, $change, $call,
		$how{after} // '');
	like($out, qr/\At(\n|\z)/, "$name: before it");
	like($err, $expected, "$name: refused");
	is($server->count('key'), 1, "$name: no fetch");
	is($test->oss_count('label_requests'), 1, "$name: no request");
	return;
}

# ---- other people's business ----

$test->psql_ok($test->create_mapping(%ecs));
my @churn = (
	'CREATE ROLE r1;',
	'CREATE ROLE r2 LOGIN;',
	"ALTER ROLE r1 PASSWORD 'x';",
	"ALTER ROLE r2 VALID UNTIL '2037-01-01';",
	'GRANT r1 TO r2;',
	'ALTER ROLE r2 RENAME TO r3;',
	'DROP ROLE r1;');
fetches('roles in this session', 1, @churn, 'DROP ROLE r3;');
fetches('roles in another session', 1, map { elsewhere($_) } @churn);
fetches(
	'servers and mappings of others', 1,
	'CREATE FOREIGN DATA WRAPPER other; CREATE SERVER o FOREIGN DATA WRAPPER other;',
	'CREATE USER MAPPING FOR r3 SERVER o;',
	elsewhere("ALTER USER MAPPING FOR r3 SERVER o OPTIONS (ADD user 'x')"),
	'CREATE USER MAPPING FOR r3 SERVER oss OPTIONS (access_key_id \'a\', access_key_secret \'b\');',
	'CREATE USER MAPPING FOR PUBLIC SERVER oss OPTIONS (access_key_id \'a\', access_key_secret \'b\');',
	elsewhere("ALTER SERVER o VERSION '2'"),
	'DROP USER MAPPING FOR PUBLIC SERVER oss; DROP USER MAPPING FOR r3 SERVER oss;',
	'SET client_min_messages = warning; DROP FOREIGN DATA WRAPPER other CASCADE;');
fetches(
	'this server, but not its options', 1,
	'GRANT USAGE ON FOREIGN SERVER oss TO r3;',
	elsewhere('REVOKE USAGE ON FOREIGN SERVER oss FROM r3'),
	"COMMENT ON SERVER oss IS 'x';",
	'ALTER SERVER oss RENAME TO oss2;',
	'ALTER SERVER oss2 RENAME TO oss;',
	"BEGIN; ALTER SERVER oss VERSION '2'; ROLLBACK;",
	'VACUUM FREEZE pg_user_mapping, pg_foreign_server; VACUUM FULL pg_user_mapping;');
fetches('so much that the session has lost count', 1,
	elsewhere("DO \\\$\\\$ BEGIN FOR i IN 1..3000 LOOP EXECUTE 'CREATE TEMP TABLE t'||i||'(a int)'; END LOOP; END \\\$\\\$"));

# The name is followed, in messages and as an argument.
my ($out, $err) = $test->psql("$call ALTER SERVER oss RENAME TO oss2;"
	  . "SELECT count(*) > 0 FROM oss_labels.detect('examplebucket', 'example.jpg', server => 'oss2');"
	  . "SELECT count(*) FROM oss_labels.detect('examplebucket', 'example.jpg', server => 'oss');");
is($out, "t\nt", 'a new name');
like($err, qr/ERROR:  42704: server "oss" does not exist/, 'the old name');
$test->psql_ok('ALTER SERVER oss2 RENAME TO oss');

# ---- an outage of the source ----

my $down = "\n\\! " . perl_call(q{$s->answer('key', status => 500)}) . "\n";
keys_to_come(1);
($out, $err) = $test->psql("$call $down $call CREATE ROLE anybody; $call DROP ROLE anybody; $call"
	  . "ALTER SERVER oss OPTIONS (ADD timeout_ms '9999'); $call ALTER SERVER oss OPTIONS (DROP timeout_ms); $call");
is("$out$err", join("\n", ('t') x 6), 'a good key is used while its source is down, roles come and go and the server is altered');
is($server->count('key'), 1, 'a good key: the source is not asked');
$server->answer('key');

# ---- the clock ----

keys_to_come(3);
$test->oss('/clock?shift=3600');
($out, $err) = $test->psql(join ' ', $call, map { ($_, $call) } 'CREATE ROLE r1;', 'ALTER ROLE r1 LOGIN;',
	'DROP ROLE r1;', "ALTER SERVER oss OPTIONS (ADD max_attempts '2');",
	'ALTER SERVER oss OPTIONS (DROP max_attempts);');
is("$out$err", join("\n", ('t') x 6), 'a wrong clock beside changes of roles');
is($test->oss_count('code_RequestTimeTooSkewed'), 1, 'a wrong clock: refused once');
$test->oss('/clock?shift=0');

# ---- our own business ----

fetches('the mapping is altered', 2,
	"ALTER USER MAPPING FOR CURRENT_USER SERVER oss OPTIONS (ADD disable_imds_v1 'false');");
fetches('the mapping is altered elsewhere', 2,
	elsewhere('ALTER USER MAPPING FOR CURRENT_USER SERVER oss OPTIONS (DROP disable_imds_v1)'));
fetches('the same options are set once more', 2,
	"ALTER USER MAPPING FOR CURRENT_USER SERVER oss OPTIONS (SET role_name 'TestRole');");

# no key depends on the server
fetches('the server is altered', 1, "ALTER SERVER oss OPTIONS (ADD timeout_ms '50000');",
	elsewhere("ALTER SERVER oss OPTIONS (SET timeout_ms '60000', ADD max_attempts '2')"),
	'BEGIN; ALTER SERVER oss OPTIONS (DROP max_attempts);', 'ROLLBACK;',
	elsewhere('ALTER SERVER oss OPTIONS (DROP timeout_ms)'), 'ALTER SERVER oss OPTIONS (DROP max_attempts);');
fetches('the server and then the mapping are altered', 2, "ALTER SERVER oss OPTIONS (ADD timeout_ms '50000');",
	'ALTER SERVER oss OPTIONS (DROP timeout_ms);'
	  . "ALTER USER MAPPING FOR CURRENT_USER SERVER oss OPTIONS (SET role_name 'TestRole');");
refused('the mapping is dropped', qr/ERROR:  42704: .*no user mapping/,
	'BEGIN; DROP USER MAPPING FOR CURRENT_USER SERVER oss;', after => 'ROLLBACK;');
refused('the mapping is dropped elsewhere', qr/ERROR:  42704: .*no user mapping/,
	elsewhere('DROP USER MAPPING FOR CURRENT_USER SERVER oss'));
$test->psql_ok($test->create_mapping(%ecs));
refused('the server is dropped', qr/ERROR:  55000: .*there is no server/,
	'BEGIN; DROP SERVER oss CASCADE;', after => 'ROLLBACK;');

# Another role's mapping of the machine's credentials, which it may use.
$test->psql_ok('CREATE ROLE app LOGIN; CALL oss_labels.grant_paying(\'app\');'
	  . 'GRANT USAGE ON FOREIGN SERVER oss TO app;'
	  . ($test->create_mapping(%ecs, superuser_required => 'false') =~ s/FOR CURRENT_USER/FOR app/gr));
my $as_app = 'SET SESSION AUTHORIZATION app;';
refused('the owner is no superuser any more', qr/ERROR:  42501: .*must be owned by a superuser/,
	elsewhere('ALTER FOREIGN DATA WRAPPER oss_labels OPTIONS (ADD a \'b\')') # refused, and of no effect
	. elsewhere('CREATE ROLE boss SUPERUSER; ALTER SERVER oss OWNER TO boss; ALTER ROLE boss NOSUPERUSER'),
	before => $as_app);
$test->psql_ok('ALTER SERVER oss OWNER TO CURRENT_USER');
refused('the role is no superuser any more', qr/ERROR:  42501: only superusers may use/,
	elsewhere('ALTER ROLE app NOSUPERUSER'),
	before => 'ALTER ROLE app SUPERUSER; ALTER USER MAPPING FOR app SERVER oss OPTIONS (DROP superuser_required);'
	  . $as_app);
$test->psql_ok("ALTER USER MAPPING FOR app SERVER oss OPTIONS (ADD superuser_required 'false')");
refused('USAGE is revoked', qr/ERROR:  42501: permission denied for foreign server oss/,
	elsewhere('REVOKE USAGE ON FOREIGN SERVER oss FROM app'), before => $as_app);
$test->psql_ok('GRANT USAGE ON FOREIGN SERVER oss TO app');

# The role itself changes its name, password and memberships.
keys_to_come(1);
($out, $err) = $test->psql(join ' ', $as_app, $call, map { (elsewhere($_), $call) }
	  "ALTER ROLE app PASSWORD 'x'", 'ALTER ROLE app RENAME TO app2', 'GRANT r3 TO app2',
	'ALTER ROLE app2 SUPERUSER', 'ALTER ROLE app2 NOSUPERUSER', 'ALTER ROLE app2 RENAME TO app');
is("$out$err", join("\n", ('t') x 7), 'the role is altered: all have labels');
is($server->count('key'), 1, 'the role is altered: one fetch');

# A mapping of its own in place of PUBLIC's, and back; each has keys of its own.
$test->oss_key('public', 'public-secret');
$test->psql_ok('DROP USER MAPPING FOR app SERVER oss;'
	  . "CREATE USER MAPPING FOR PUBLIC SERVER oss OPTIONS (access_key_id 'public', access_key_secret 'public-secret');");
keys_to_come(1);
$test->oss_key('public', 'public-secret');
($out, $err) = $test->psql(join ' ', $as_app, $call,
	elsewhere("CREATE USER MAPPING FOR app SERVER oss OPTIONS (access_key_id 'testid', access_key_secret 'testsecret')"),
	$call, elsewhere('DROP USER MAPPING FOR app SERVER oss'), $call);
is("$out$err", "t\nt\nt", 'a mapping of its own beside that of PUBLIC');
is_deeply([ map { /\b(public|testid)\b/ ? $1 : $_ } split /\n/, $test->{oss}->logged(3) ],
	[qw(public testid public)], 'the nearest mapping is used at once');

done_testing();

# A command that runs Perl with $s, the source.
sub perl_call
{
	my $code = shift;
	my $file = PostgreSQL::Test::Utils::tempdir . '/call.pl';
	open my $out, '>', $file or die;
	print $out "use lib 'test/perl'; use CredentialServer;"
	  . "my \$s = bless {port => " . $server->port . ", owner => 0}, 'CredentialServer'; $code;";
	close $out;
	return "$^X $file";
}
