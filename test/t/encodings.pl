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

$node->stop;
done_testing();
