# The README is true: its snippets run in order, as one session in one database,
# and print what it shows; names, signatures, links and commands on it exist, and
# nothing is missing.  The section on credentials has credential_readme.pl.

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
my $readme = slurp_file('README.md');

# ---- snippets ----

# Put the stand-in in the place of the bucket that the reader has.
sub localized
{
	my ($sql) = @_;
	my $endpoint = $oss->http_endpoint;
	$sql =~ s/(region 'cn-hangzhou')\)/$1, endpoint '$endpoint')/g;
	$sql =~ s/'…', access_key_secret '…'/'testid', access_key_secret 'testsecret'/g;
	return $sql;
}

# Make a pattern of what the README shows: white space and rules may differ in
# length, … stands for anything on its line, and what depends on time for any
# number.
sub pattern_of
{
	my ($shown) = @_;
	return join "\n", map {
		my $line = plain($_);
		$line = join '[^\n]*', map { quotemeta } split /…/, $line, -1;
		$line =~ s/^Most\\ in\\ Flight\\:\\ \K\d+/\\d+/r;
	} split /\n/, $shown;
}

sub plain
{
	my ($line) = @_;
	$line =~ s/-{2,}/--/g;
	$line =~ s/\s+/ /g;
	return $line =~ s/^ | $//gr;
}

# What the reader has before a section, beside what the sections before left.
my %before = ('Labels at work' =>
	  sub { system('test/demo/images', $oss->{data} . '/image-demo') == 0 or die });

my ($run, $compared) = (0, 0);
for my $text (split /^(?=## )/m, $readme)
{
	my ($section) = $text =~ /^## ([^\n]+)/ or next;
	next if $section eq 'Credentials';
	$before{$section}->() if $before{$section};
	while ($text =~ /^```sql\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?/msg)
	{
		my ($sql, $shown) = ($1, $2);
		my $title = "$section: " . ($sql =~ s/\n.*//sr);
		my $printed = '';
		my $ok = IPC::Run::run(
			[ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres') ],
			'<', \localized($sql), '>&', \$printed);
		$run++;
		ok($ok, "runs: $title") or diag($printed);
		next unless defined $shown;
		my $seen = join "\n", map { plain($_) } split /\n/, $printed;
		my $pattern = pattern_of($shown);
		$compared++;
		like($seen, qr/(?:\A|\n\n)$pattern\s*\z/, "prints what is shown: $title") or diag($printed);
	}
}
my $all = () = $readme =~ /^```sql$/mg;
my ($credentials) = $readme =~ /^## Credentials\n(.*?)^## /ms;
is($run + (() = $credentials =~ /^```sql$/mg), $all, 'no snippet is passed over');
is($compared, scalar(() = $readme =~ /^```text$/mg), 'nor anything that is shown');
is($oss->count('status_403'), 0, 'no request was refused');

# ---- the picture of a session ----

# Cover what is another one each time.
sub lasting { return $_[0] =~ s/\brequest id \w+/request id/gr }

my $svg = slurp_file('test/demo/session.svg');
my $pictured = join '', map { "$_\n" } $svg =~ m{<text [^>]*>(.*?)</text>}g;
my %entity = (amp => '&', lt => '<', gt => '>');
$pictured =~ s/<[^>]*>//g;
$pictured =~ s/&(\w+);/$entity{$1}/g;
$pictured =~ s/\xc2\xa0/ /g;
{
	local %ENV = (%ENV, PGHOST => $node->host, PGPORT => $node->port, PGDATABASE => 'postgres',
		OSS_HTTP_PORT => $oss->http_port, OSS_DATA => $oss->{data});
	my ($typed, $err) = run_command([ 'test/demo/session', '--text' ]);
	$typed = join '', map { "$_\n" } grep { length } split /\n/, $typed;
	is(lasting($typed), lasting($pictured), 'the picture shows what psql prints') or diag($err);
}

# ---- names ----

my %known = map { $_ => 1 } split /\n/, $node->safe_psql('postgres', q{
	SELECT proname FROM pg_proc WHERE pronamespace = 'oss_labels'::regnamespace
	UNION SELECT relname FROM pg_class WHERE relnamespace = 'oss_labels'::regnamespace
	UNION SELECT typname FROM pg_type WHERE typnamespace = 'oss_labels'::regnamespace
	UNION SELECT substr(name, 12) FROM pg_settings WHERE name LIKE 'oss\_labels.%'});
my %named = map { $_ => 1 } $readme =~ m{(?<!/)\boss_labels\.(\w+)}g;
is(join(' ', grep { !$known{$_} } sort keys %named), '', 'every name of oss_labels on it exists');

my @public = split /\n/, $node->safe_psql('postgres', q{
	SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'oss_labels'::regnamespace
	AND obj_description(oid, 'pg_proc') !~ 'Internal'
	ORDER BY 1});
cmp_ok(@public, '>', 30, 'there are functions for users');
is(join(' ', grep { $readme !~ /\b$_\b/ } @public), '', 'every function for users is on it');

my %arguments = map { split /=/ } split /\n/, $node->safe_psql('postgres', q{
	SELECT proname || '=' || array_to_string(proargnames, ', ') FROM pg_proc
	WHERE pronamespace = 'oss_labels'::regnamespace AND proargnames IS NOT NULL});
my $signatures = 0;
while ($readme =~ /(\w+)\(((?:\w+(?: DEFAULT [^,)]+)?, )+\w+)(?:, …)?\)/g)
{
	my ($function, $shown) = ($1, $2);
	next unless $arguments{$function} and $shown !~ /\d,|, \d/;
	$shown =~ s/ DEFAULT [^,)]+//g;
	$signatures++;
	is(substr($arguments{$function}, 0, length $shown), $shown, "$function(): its arguments");
}
cmp_ok($signatures, '>', 5, 'there are signatures');
my ($declared) = $readme =~ /^oss_labels\.detect(\(bucket text.*?\)\n +RETURNS TABLE \(.*?\))\n/ms;
is( ($declared // '') =~ s/\s+/ /gr,
	$node->safe_psql('postgres', q{SELECT '(' || replace(regexp_replace(pg_get_function_arguments(oid), '::[a-z ]+', '', 'g')
		|| ') RETURNS ' || replace(pg_get_function_result(oid), 'TABLE(', 'TABLE ('), 'double precision', 'float8')
		FROM pg_proc WHERE oid = 'oss_labels.detect'::regproc}),
	'detect(): its arguments and result, with their types');

# ---- links and commands ----

# Make the anchor that a forge gives a heading.
sub anchor { return lc($_[0]) =~ s/[^\w\- ]//gr =~ tr/ /-/r }

for my $target ($readme =~ /\]\(([^)\s]+)\)/g)
{
	my ($file, $anchor) = split /#/, $target;
	my $there = $file eq '' || -e $file;
	$there = grep { anchor($_) eq $anchor } slurp_file($file || 'README.md') =~ /^##+ (.+)$/mg
	  if $there && defined $anchor;
	ok($there, "link to $target");
}
my $makefile = slurp_file('Makefile');
my %goals = map { $_ => 1 } map { split ' ' } $makefile =~ /^([a-z][a-z \-]*):(?!=)/mg;
for my $goal ($readme =~ /\bmake ([a-z]+)\b(?=`| {2,}|$| &&|,)/mg)
{
	ok($goals{$goal} || $goal eq 'install' || $goal eq 'installcheck', "make $goal");
}
ok(-e $_, "$_ exists") for grep { !/NAME/ } $readme =~ m{\b((?:src|test)/[\w/.\-]+\.(?:c|h|pl))\b}g;

done_testing();
