# The README's snippets run as they stand, section by section (that on
# credentials has a test of its own: credential_readme.pl).

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use lib 'test/perl';
use OssServer;

my $oss = OssServer->new;
my $node = PostgreSQL::Test::Cluster->new('readme');
$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'oss_labels'");
$node->start;

# What the reader has before a section, beside what the sections before left.
my %before = (
	'Many images in one query' => q{
		CREATE TABLE photo (id int, bucket text, key text);
		INSERT INTO photo SELECT i, 'examplebucket', k
		FROM unnest(ARRAY['example.jpg', 'photos/beach.jpg', 'photos/cat.png'])
			WITH ORDINALITY AS x(k, i)},
	'Tagging as rows arrive' => 'DROP TABLE photo',
	'Privileges' => 'CREATE ROLE app');

# What a snippet prints somewhere, per section.
my %prints = (
	'Sixty seconds, with a real bucket' => qr/Outerwear\|Clothing/,
	'Many images in one query' => qr/^2\|Beach$/m,
	'Tagging as rows arrive' => qr/^1\|Outerwear\|1$/m,
	'When something is wrong' => qr/^labels\|t\|/m,
	'Errors' => qr/NOTICE:  no such object/);

# Put the stand-in in the place of the bucket that the reader has.
sub localized
{
	my ($sql) = @_;
	my $endpoint = $oss->http_endpoint;
	$sql =~ s/(region 'cn-hangzhou')\)/$1, endpoint '$endpoint')/g;
	$sql =~ s/'…', access_key_secret '…'/'testid', access_key_secret 'testsecret'/g;
	return $sql;
}

# Fold white space, by which README and test differ.
sub words
{
	return join ' ', split ' ', $_[0];
}

my $uses = words(slurp_file('test/sql/uses.sql'));
my $readme = slurp_file('README.md');
my $snippets = 0;
while ($readme =~ /^## ([^\n]+)\n(.*?)(?=^## |\z)/msg)
{
	my ($section, $text) = ($1, $2);
	next if $section eq 'Credentials';
	my @sql = $text =~ /^```sql\n(.*?)^```/msg or next;
	if ($section eq 'Labels at work')
	{
		is(index($uses, words($_)) >= 0, 1, "$section: a snippet is in test/sql/uses.sql") for @sql;
		next;
	}
	my $all = '';
	$node->safe_psql('postgres', $before{$section}) if $before{$section};
	for my $sql (@sql)
	{
		my ($out, $err);
		my $status = $node->psql('postgres', localized($sql),
			stdout => \$out, stderr => \$err, on_error_stop => 1);
		is($status, 0, "$section: a snippet runs") or diag("$sql\n$err");
		$all .= "$out\n$err\n";
		$snippets++;
	}
	like($all, $prints{$section}, "$section: what it prints") if $prints{$section};
}
cmp_ok($snippets, '>=', 7, 'there are snippets');
is($oss->count('status_403'), 0, 'no request was refused');

done_testing();
