# Fifty sessions that tag one image share one request and leave one row; and what
# is so without preloading.
use strict;
use warnings;
use lib 'test/perl';
use OssServer;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $oss = OssServer->new;
my $node = PostgreSQL::Test::Cluster->new('tag');
$node->init;
$node->append_conf('postgresql.conf', "max_connections = 70\nshared_preload_libraries = 'oss_labels'\noss_labels.worker = off");
$node->start;
$node->safe_psql('postgres', $_) for 'CREATE EXTENSION oss_labels', "
	CREATE SERVER oss FOREIGN DATA WRAPPER oss_labels
		OPTIONS (region 'cn-hangzhou', endpoint 'http://127.0.0.1:" . $oss->http_port . "')",
	"CREATE USER MAPPING FOR CURRENT_USER SERVER oss
		OPTIONS (access_key_id 'testid', access_key_secret 'testsecret')";

# Run a script in many sessions at once; return what the service counted.
sub tag_at_once
{
	my ($sessions, $sql) = @_;
	my $script = $node->basedir . '/script.sql';
	append_to_file($script, '');
	open my $file, '>', $script or die $!;
	print $file $sql;
	close $file;
	$oss->control('/reset?what=counters');
	$node->command_ok(
		[ 'pgbench', '-n', '-c', $sessions, '-j', 2, '-t', 1, '-f', $script, 'postgres' ],
		"$sessions sessions end well");
	return $oss->count('label_requests');
}

$oss->control('/fault?kind=delay&delay=500');
is(tag_at_once(50, "SELECT count(*) FROM oss_labels.tag('examplebucket', 'example.jpg');\n"),
	1, 'fifty sessions send one request');
is($node->safe_psql('postgres', 'SELECT count(*) FROM oss_labels.image'), 1, 'and leave one image');
is($node->safe_psql('postgres', 'SELECT count(*) FROM oss_labels.image_label'),
	$node->safe_psql('postgres', 'SELECT label_count FROM oss_labels.image'),
	'with its labels once');

# In opposite orders: nobody waits while he has what another waits for.
$oss->control('/unfault');
$oss->control('/fault?kind=delay&delay=200');
my @keys = map { "photos/$_" } 'beach.jpg', 'cat.png', 'street.jpg', 'mountain.jpg';
my $sql = "BEGIN;\n";
$sql .= "\\set n random(0, 1)\n\\if :n\n"
  . join('', map { "SELECT count(*) FROM oss_labels.tag('examplebucket', '$_');\n" } @keys)
  . "\\else\n"
  . join('', map { "SELECT count(*) FROM oss_labels.tag('examplebucket', '$_');\n" } reverse @keys)
  . "\\endif\nCOMMIT;\n";
is(tag_at_once(8, $sql), 4, 'each image was asked for once');
is($node->safe_psql('postgres', 'SELECT count(*) FROM oss_labels.image'), 5, 'each is stored once');
is($node->safe_psql('postgres', "SELECT count(*) FROM oss_labels.image i
	WHERE label_count <> (SELECT count(*) FROM oss_labels.image_label l WHERE l.image_id = i.image_id)"),
	0, 'with its labels once');

# What a process that drains the queue is asking for is not asked for too.
$oss->control('/unfault');
$node->safe_psql('postgres', 'DELETE FROM oss_labels.image');
my @waiting = map { "waiting/$_.jpg" } 1 .. 3;
$node->safe_psql('postgres', "SELECT oss_labels.enqueue('tenlabels', '$_')") for @waiting;
$oss->control('/fault?kind=delay&delay=4000');
$oss->control('/reset?what=counters');
my $drain = $node->background_psql('postgres');
$drain->query_until(qr/begun/, "\\echo begun\nCALL oss_labels.process_queue();\n\\echo drained\n");
ok($node->poll_query_until('postgres',
	'SELECT count(leased_until) = 3 FROM oss_labels.job'), 'a process has the jobs');
my ($out, $err);
is($node->psql('postgres', "SELECT * FROM oss_labels.tag('tenlabels', '$waiting[0]')",
	extra_params => [ '-v', 'VERBOSITY=sqlstate' ], stderr => \$err, on_error_stop => 1,
	timeout => 60, connstr => $node->connstr('postgres') . " options='-c statement_timeout=200'"),
	3, 'who waits for it can be cancelled');
like($err, qr/57014/, 'at once');
is($node->safe_psql('postgres', "SELECT count(*) FROM unnest('{" . join(',', @waiting) . "}'::text[]) k,
	LATERAL oss_labels.tag('tenlabels', k) l"), 30, 'who waits for it gets the labels');
is($node->safe_psql('postgres', "SELECT count(*) FROM oss_labels.tag('tenlabels', '$waiting[0]')"), 10,
	'as who comes later');
is($oss->count('label_requests'), 3, 'and each image was asked for once');
$drain->quit;

# ---- without preloading ----

$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
$node->safe_psql('postgres', "SELECT count(*) FROM oss_labels.tag('tenlabels', '$_')") for @waiting;

# An answer that could not be stored is not asked for.
$oss->control('/unfault');
my $old = $node->background_psql('postgres', on_error_stop => 0);
$old->query_until(qr/begun/,
	"BEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT count(*) FROM oss_labels.image;\n\\echo begun\n");
$node->safe_psql('postgres', "SELECT oss_labels.tag('examplebucket', 'example.jpg', 0.9)");
$oss->control('/reset?what=counters');
$old->query_until(qr/code 40001/, "\\set ON_ERROR_STOP off\n"
	  . "SELECT oss_labels.tag('examplebucket', 'example.jpg', max_age => '0');\n\\echo code :SQLSTATE\n");
is($oss->count('label_requests'), 0, 'who cannot store an answer does not ask for it');
$old->{stderr} = '';
is($old->query_safe("ROLLBACK; BEGIN ISOLATION LEVEL REPEATABLE READ;
	SELECT count(*) > 0 FROM oss_labels.tag('examplebucket', 'example.jpg', max_age => '0');
	SELECT count(*) > 0 FROM oss_labels.tag('examplebucket', 'example.jpg', max_age => '0'); COMMIT;"), "t\nt",
	'and asks when tried again, also for newer ones than it has stored itself');
is($oss->count('label_requests'), 2, 'once each');
$old->quit;

# Nobody waits for another's transaction: who cannot store an answer has paid for it.
my $first = $node->background_psql('postgres');
$first->query_until(qr/tagged/, "BEGIN;\nSELECT oss_labels.tag('tenlabels', 'contended.jpg');\n\\echo tagged\n");
is($node->safe_psql('postgres', "SET statement_timeout = '20s';
	SELECT count(*) FROM oss_labels.tag('tenlabels', 'contended.jpg');
	SELECT count(*) FROM oss_labels.image WHERE key = 'contended.jpg'"), "10\n0",
	'who meets the open transaction of another does not wait for it');
$first->query_safe('COMMIT');
is($node->safe_psql('postgres', "SELECT count(*) FROM oss_labels.tag('tenlabels', 'contended.jpg')"), 10, 'which stores its own');
is($oss->count_key('tenlabels', 'contended.jpg'), 2, 'two requests, as there is no worker to store the first');
$first->quit;

# forget() leaves no correction behind that is not committed yet.
my $image = "'tenlabels', '$waiting[0]'";
my $person = $node->background_psql('postgres');
$person->query_until(qr/said/, "BEGIN;\nSELECT oss_labels.correct($image, 'Dog', true);\n\\echo said\n");
$node->psql('postgres', "SET lock_timeout = 100; SELECT oss_labels.forget($image)",
	extra_params => [ '-v', 'VERBOSITY=sqlstate' ], stderr => \$err);
like($err, qr/55P03/, 'forget() waits for who corrects the image');
is($node->safe_psql('postgres', "SET lock_timeout = 1000;
	SELECT oss_labels.import_labels('{\"Labels\": []}', $image, 0)"), 't', 'a re-tagging does not');
$person->query_until(qr/done/, "COMMIT;\n\\echo done\n");
is($node->safe_psql('postgres', "SELECT oss_labels.forget($image)"), 't', 'and then deletes it');
is($node->safe_psql('postgres', 'SELECT count(*) FROM oss_labels.label_correction'), 0, 'with the correction');
$person->quit;

$node->stop;
done_testing();
