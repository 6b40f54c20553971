# Databases in other encodings than UTF8: keys and labels are converted, and
# what the database can't hold is 22P05, after one request.
use strict;
use warnings FATAL => 'all';
use utf8;
use Encode qw(encode_utf8);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use lib 'test/perl';
use OssServer;

$ENV{PGCLIENTENCODING} = 'UTF8';
my $oss = OssServer->new;
my $node = PostgreSQL::Test::Cluster->new('encodings');
$node->init;
$node->start;

# Return what a query prints in a database, or the SQLSTATE of its error.
sub answer
{
	my ($encoding, $sql) = @_;
	my ($out, $err);

	$node->psql($encoding eq '' ? 'postgres' : "d_$encoding", encode_utf8($sql),
		stdout => \$out, stderr => \$err,
		extra_params => [ '-v', 'VERBOSITY=sqlstate' ]);
	return $err =~ /ERROR:  (\w{5})/ ? $1 : $out;
}

# Make a database with the extension and a server.
sub make
{
	my ($encoding) = @_;

	$node->safe_psql('postgres', "CREATE DATABASE d_$encoding ENCODING '$encoding'
		TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'");
	$node->safe_psql("d_$encoding", "CREATE EXTENSION oss_labels;
		CREATE SERVER oss FOREIGN DATA WRAPPER oss_labels
			OPTIONS (region 'cn-hangzhou', endpoint '" . $oss->http_endpoint . "');
		CREATE USER MAPPING FOR CURRENT_USER SERVER oss
			OPTIONS (access_key_id 'testid', access_key_secret 'testsecret')");
}

# What label a database gets of a Chinese one, and for how many requests.
my %cat = (euc_cn => '猫', sql_ascii => '猫', latin1 => '22P05');
foreach my $encoding (sort keys %cat)
{
	make($encoding);
	$oss->control('/reset');
	$oss->fault(kind => 'labels', variant => 'chinese');
	is(answer($encoding, "SELECT label_name FROM oss_labels.detect('examplebucket', 'example.jpg')"),
		encode_utf8($cat{$encoding}), "$encoding: a Chinese label");
	is(answer($encoding, "SELECT DISTINCT error_code
			FROM oss_labels.try_detect('examplebucket', 'example.jpg')"),
		$cat{$encoding} eq '22P05' ? 'AnswerEncoding' : '', "$encoding: the same of try_detect");
	is($oss->count('label_requests'), 2, "$encoding: one request each");
}

# Rules in full-width characters; names that are the same letters are the same in UTF8 only.
is(answer('euc_cn', "SELECT '（猫｜狗）＆！“人 群”：0.5'::oss_labels.label_query"), encode_utf8('(猫 | 狗) & !"人 群":0.5'),
	'euc_cn: a full-width rule');
is(answer('euc_cn', "SELECT '猫＆＆狗'::oss_labels.label_query"), '42601', 'euc_cn: a wrong one');
is(answer('euc_cn', "SELECT E'\\xa2\\xa1'::oss_labels.label_query::text = E'\\xa2\\xa1'"), 't', 'euc_cn: a character without a form in UTF-8');
is(answer('latin1', "SELECT E'Caf\\xe9 & \\xa0d'::oss_labels.label_query"), encode_utf8('Café & d'), 'latin1: another kind of space');
is(answer('latin1', "SELECT oss_labels.import_labels('{\"Labels\": [{\"LabelName\": \"Café\"}]}', 'bucket', 'key');
	SELECT key FROM oss_labels.search('Café')"), "t\nkey", 'latin1: a name');
is(answer('sql_ascii', "SELECT oss_labels.nfc('é') = 'é', '猫：0.9'::oss_labels.label_query"), encode_utf8('t|猫：0.9'), 'sql_ascii: bytes');

# Keys go out in UTF-8, whatever the database writes them in.
my %key = (euc_cn => '照片.jpg', sql_ascii => '照片.jpg', latin1 => 'é.jpg');
foreach my $encoding (sort keys %key)
{
	my $escaped = join '', map { sprintf '%%%02X', ord } split //, encode_utf8(substr $key{$encoding}, 0, -4);

	$oss->control('/reset');
	like(answer($encoding, "SELECT count(*) FROM oss_labels.detect('everykey', '$key{$encoding}')"),
		qr/^[0-9]+$/, "$encoding: labels");
	is($oss->control('/keys'), "1\teverykey\t$escaped.jpg\n", "$encoding: the key on the wire");
}

# Bytes that are no UTF-8 are no key, and the image's own trouble.
$oss->control('/reset');
is(answer('sql_ascii', "SELECT * FROM oss_labels.detect('everykey', E'\\xff.jpg')"), '22023',
	'sql_ascii: a key that is not UTF-8');
is(answer('sql_ascii', "SELECT error_code, error_message LIKE '%oss://everykey/?.jpg%UTF-8.'
		FROM oss_labels.try_detect('everykey', E'\\xff.jpg')"), 'InvalidObjectName|t',
	'sql_ascii: the same of try_detect is a row');
is($oss->count('requests_total'), 0, 'nothing was sent');

# A watched table takes any bytes; the job of those that have no UTF-8 form
# fails by itself, and all others are tagged, whoever drains the queue.
my %bad = (euc_cn => ["E'\\xa2\\xa1.jpg'", 'NotInUtf8|22P05'], sql_ascii => ["E'\\xff.jpg'", 'InvalidObjectName|22023']);
foreach my $encoding (sort keys %bad)
{
	my ($bytes, $failure) = @{ $bad{$encoding} };

	$oss->control('/reset');
	answer($encoding, 'CREATE TABLE picture (id int, bucket text, key text);'
		  . " SELECT oss_labels.watch('picture', 'key', bucket_column => 'bucket');"
		  . " INSERT INTO picture VALUES (1, 'everykey', 'good1'), (2, 'everykey', $bytes), (3, $bytes, 'good'),"
		  . " (4, 'everykey', 'good2'), (5, 'tenlabels', 'good3')");
	is(answer($encoding, 'CALL oss_labels.process_queue()'), '', "$encoding: the queue is drained");
	is(answer($encoding, 'SELECT count(*) FROM oss_labels.image'), 3, "$encoding: the good ones are tagged");
	is(answer($encoding, 'SELECT count(*) FROM oss_labels.job'), 0, "$encoding: no job is left");
	is(answer($encoding, 'SELECT code, "sqlstate" FROM oss_labels.failed_job WHERE bucket = \'everykey\''), $failure,
		"$encoding: the bad key has failed");
	is(answer($encoding, 'SELECT count(*) FROM oss_labels.failed_job'), 2, "$encoding: so has the bad bucket");
	is($oss->count('label_requests'), 3, "$encoding: three requests");
}

# A row that can't be made into a job for another reason.
$oss->control('/reset');
answer('euc_cn', "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN IF NEW.lease IS NOT NULL AND NEW.key = 'poison'"
	  . " THEN RAISE 'not this one'; END IF; RETURN NEW; END \$\$;"
	  . ' CREATE TRIGGER refuse BEFORE UPDATE ON oss_labels.job FOR EACH ROW EXECUTE FUNCTION refuse();'
	  . " SELECT oss_labels.enqueue('everykey', k) FROM unnest('{a1,a2,poison,a3,a4}'::text[]) k");
is(answer('euc_cn', 'CALL oss_labels.process_queue()'), '', 'a row that cannot be claimed: the queue is drained');
is(answer('euc_cn', "SELECT count(*) FROM oss_labels.image WHERE key LIKE 'a_'"), 4, 'a row that cannot be claimed: the others are tagged');
is(answer('euc_cn', 'SELECT key, attempts, reason FROM oss_labels.job'), 'poison|1|not this one',
	'a row that cannot be claimed: it is charged, and put off');

$node->stop;
done_testing();
