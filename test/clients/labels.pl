# The official Python and Node.js SDKs get the same labels from the stand-in
# OSS as detect() does: so it checks signatures as OSS does, not as we do.
use strict;
use warnings FATAL => 'all';
use utf8;
use Encode qw(encode_utf8);
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use lib 'test/perl';
use OssServer;

my $sdks = $ENV{OSS_TEST_SDKS} // '';
my %program = (
	python => "$sdks/python/bin/python",
	node => 'node');
my %suffix = (python => 'py', node => 'js');

# Return why an SDK cannot be used, or undef.  In CI there is no excuse.
sub problem
{
	my ($sdk) = @_;
	my $file = "$sdks/$sdk.problem";
	my $why;

	$why = "test/run fetches the SDKs" if $sdks eq '';
	$why = slurp_file($file) if -e $file;
	return if !defined $why;
	chomp $why;
	die "$why, and CI=true" if ($ENV{CI} // '') eq 'true';
	return $why;
}

# Run a script of ours with an SDK, and return what it printed.
sub run_sdk
{
	my ($sdk, $script, @args) = @_;
	my ($out, $err);
	my @command = ($program{$sdk}, "test/clients/$script.$suffix{$sdk}",
		map { encode_utf8($_) } @args);

	IPC::Run::run(\@command, '<', \undef, '>', \$out, '2>', \$err)
	  or diag("@command: $err");
	return $out;
}

my $oss = OssServer->new;
$ENV{OSS_ENDPOINT} = $oss->http_endpoint;
$ENV{OSS_ACCESS_KEY_ID} = 'testid';
$ENV{OSS_ACCESS_KEY_SECRET} = 'testsecret';
$ENV{NODE_PATH} = "$sdks/node/node_modules";
$ENV{NO_PROXY} = $ENV{no_proxy} = '127.0.0.1';

my @keys = (
	'example.jpg',
	'exampledir/example.jpg',
	'a key with blanks.jpg',
	'plus+and%percent&more=1.jpg',
	'西湖/照片 1.jpg');
my $image = slurp_file($oss->data_dir . '/examplebucket/example.jpg');
$oss->put('examplebucket', encode_utf8($_), $image) for @keys[ 1 .. $#keys ];

my $node = PostgreSQL::Test::Cluster->new('clients');
$node->init;
$node->start;
$node->safe_psql(
	'postgres', qq{
	CREATE EXTENSION oss_labels;
	CREATE SERVER oss FOREIGN DATA WRAPPER oss_labels
		OPTIONS (region 'cn-hangzhou', endpoint '$ENV{OSS_ENDPOINT}');
	CREATE USER MAPPING FOR CURRENT_USER SERVER oss
		OPTIONS (access_key_id 'testid', access_key_secret 'testsecret');
});

# Check that a whole answer, as an SDK got it, has the labels of detect().
sub same_labels
{
	my ($answer, $key, $thr, $name) = @_;
	my ($out, $err);
	my $sql = q{
		WITH sdk AS MATERIALIZED (
			SELECT l->>'LabelName' AS label_name,
				l->>'ParentLabelName' AS parent_label_name,
				(l->>'LabelLevel')::int AS label_level,
				(l->>'LabelConfidence')::float8 AS label_confidence,
				(l->>'CentricScore')::float8 AS centric_score,
				l->>'Language' AS language, l AS raw
			FROM jsonb_array_elements(:'answer'::jsonb->'Labels') l),
		ours AS MATERIALIZED (
			SELECT * FROM oss_labels.detect('examplebucket', :'key', :thr))
		SELECT (SELECT count(*) > 0 FROM sdk),
			(SELECT count(*) FROM sdk) = (SELECT count(*) FROM ours),
			(SELECT count(*) FROM (TABLE sdk EXCEPT ALL TABLE ours) x)};

	$node->psql('postgres', $sql,
		stdout => \$out, stderr => \$err,
		extra_params => [
			'-v', "answer=$answer", '-v', 'key=' . encode_utf8($key),
			'-v', 'thr=' . ($thr // 'NULL') ]);
	is($out, 't|t|0', $name) or diag($err);
}

foreach my $sdk (sort keys %program)
{
  SKIP:
	{
		my $problem = problem($sdk);
		skip $problem, 1 if defined $problem;

		my $printed = run_sdk($sdk, 'sample');
		like($printed, qr/^Image labels:\n\{/, "$sdk: the help page's sample");
		$printed =~ s/^Image labels:\n//;
		same_labels($printed, 'example.jpg', undef, "$sdk: its labels");

		foreach my $key (@keys)
		{
			my $answer = run_sdk($sdk, 'labels', 'examplebucket', $key,
				'image/labels');
			same_labels($answer, $key, undef, encode_utf8("$sdk: $key"));
		}

		my $answer = run_sdk($sdk, 'labels', 'examplebucket', 'example.jpg',
			'image/labels,thr_0.85');
		same_labels($answer, 'example.jpg', 0.85, "$sdk: thr 0.85");
	}
}

$node->stop;
done_testing();
