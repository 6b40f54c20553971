# The documents are true: the snippets of README.md and sql/README.md run in
# order, as one session in one database, and print what is shown; signatures,
# tables of functions, settings and options, names, links, commands and files in
# every document exist, and nothing is missing.  The section on credentials has
# credential_readme.pl.

use strict;
use warnings;

use File::Find;
use JSON::PP;
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

# All documents, by their path.
my %document;
find(
	sub {
		$File::Find::prune = 1 if -d && /^(?:\.git|\.build|node_modules|tmp_check.*)$/;
		$document{ $File::Find::name =~ s{^\./}{}r } = slurp_file($_) if -f && /\.md$/;
	},
	'.');
my ($readme, $reference) = @document{ 'README.md', 'sql/README.md' };
ok($document{$_}, "$_ exists")
  for qw(README.md sql/README.md src/README.md src/protocol/README.md test/README.md test/oss-server/README.md);
cmp_ok(scalar(() = $readme =~ /\n/g), '<=', 400, 'README.md has at most 400 lines');

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

# Make a pattern of what a document shows: white space and rules may differ in
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
my %before = ('Use labels' =>
	  sub { system('test/demo/images', $oss->{data} . '/image-demo') == 0 or die });

# Run a document's snippets.
sub run_snippets
{
	my ($file) = @_;
	my ($run, $compared) = (0, 0);
	my $apart = '';
	for my $text (split /^(?=## )/m, $document{$file})
	{
		my ($section) = $text =~ /^## ([^\n]+)/ or next;
		$apart = $text if $section eq 'Credentials';
		next if $section eq 'Credentials';
		$before{$section}->() if $before{$section};
		while ($text =~ /^```sql\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?/msg)
		{
			my ($sql, $shown) = ($1, $2);
			my $title = "$file, $section: " . ($sql =~ s/\n.*//sr);
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
	my $all = () = $document{$file} =~ /^```sql$/mg;
	is($run + (() = $apart =~ /^```sql$/mg), $all, "$file: no snippet is passed over");
	is($compared, scalar(() = $document{$file} =~ /^```text$/mg), "$file: nor anything that is shown");
	cmp_ok($run, '>', 5, "$file has snippets");
	return;
}
run_snippets('README.md');

# the rights that README.md grants to app suffice for a table of its own
$node->safe_psql('postgres', 'ALTER ROLE app LOGIN; CREATE SCHEMA shop AUTHORIZATION app');
is( $node->safe_psql('postgres', q{
	CREATE TABLE shop.product (image_key text);
	SELECT FROM oss_labels.watch('shop.product', 'image_key', bucket => 'examplebucket');
	INSERT INTO shop.product VALUES ('photos/garden.png');
	CALL oss_labels.wait_for_queue('1 min');
	SELECT count(*) FROM oss_labels.tag('examplebucket', 'photos/garden.png') HAVING count(*) > 0;
	SELECT count(*) FROM oss_labels.queue;
	SELECT FROM oss_labels.unwatch('shop.product')}, extra_params => [ '-U', 'app' ]) =~ s/\d+/N/gr,
	"N\nN", 'README.md: its grants suffice to watch a table');
is($node->safe_psql('postgres', q{SELECT count(*) FROM oss_labels.failed_job}), 0, 'and its jobs succeed');
is($oss->count_key('examplebucket', 'photos/garden.png'), 1, 'with one request');
$node->safe_psql('postgres', q{SELECT oss_labels.forget('examplebucket', 'photos/garden.png')});

run_snippets('sql/README.md');
is($oss->count('status_403'), 0, 'no request was refused');
for my $file (sort keys %document)
{
	unlike($document{$file}, qr/^```sql$/m, "$file: has no snippet that is not run")
	  unless $file eq 'README.md' || $file eq 'sql/README.md';
	ok(eval { decode_json($_) }, "$file: is JSON: " . substr($_, 0, 30)) for $document{$file} =~ /^```json\n(.*?)^```/msg;
}

# the snippets that tell the stand-in to fail; test/run and make are not run here
my ($told) = $document{'test/README.md'} =~ /^```perl\n(.*?)^```/ms;
$oss->control('/reset');
ok($told && defined eval "$told; 1", 'test/README.md: its Perl runs') or diag $@;
($told) = $document{'test/README.md'} =~ /^```sh\n(\$OSS_CONTROL.*?)^```/ms;
my ($answered, $refused) = run_command([ 'test/with-oss', 'bash', '-euc', $told // 'false' ]);
like($answered, qr/label_requests 0/, 'test/README.md: its commands run') or diag $refused;

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

# Return a query's lines.
sub lines { return split /\n/, $node->safe_psql('postgres', $_[0]) }

# Return the names in the first column of the table below a heading.
sub listed
{
	my ($file, $head) = @_;
	my ($table) = $document{$file} =~ /^\| \Q$head\E \|.*\n\|[-|]+\n((?:\|.*\n)+)/m;
	return map { /`([\w.]+)`/g } map { (split /\|/)[1] } split /\n/, $table // '';
}

my %known = map { $_ => 1 } lines(q{
	SELECT proname FROM pg_proc WHERE pronamespace = 'oss_labels'::regnamespace
	UNION SELECT relname FROM pg_class WHERE relnamespace = 'oss_labels'::regnamespace
	UNION SELECT typname FROM pg_type WHERE typnamespace = 'oss_labels'::regnamespace
	UNION SELECT substr(name, 12) FROM pg_settings WHERE name LIKE 'oss\_labels.%'});
for my $file (sort keys %document)
{
	my %named = map { $_ => 1 } $document{$file} =~ m{(?<![/\w])\boss_labels\.(\w+)}g;
	delete @named{qw(c control so conf)};
	is(join(' ', grep { !$known{$_} } sort keys %named), '', "$file: every name of oss_labels exists");
}

my @public = lines(q{SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'oss_labels'::regnamespace
	AND obj_description(oid, 'pg_proc') !~ 'Internal' ORDER BY 1});
my @relations = lines(q{SELECT relname FROM pg_class WHERE relnamespace = 'oss_labels'::regnamespace
	AND relkind IN ('r', 'v') ORDER BY 1});
my @shown = lines(q{SELECT relname FROM pg_class WHERE relnamespace = 'oss_labels'::regnamespace
	AND relkind IN ('r', 'v') AND obj_description(oid, 'pg_class') !~ 'Internal' ORDER BY 1});
cmp_ok(@public, '>', 30, 'there are functions for users');
is(join(' ', sort(listed('README.md', 'name'))), join(' ', sort(@public, @shown)),
	'README.md lists all functions, views and tables for users, each once, and nothing else');
is(join(' ', sort(listed('sql/README.md', 'name'))), join(' ', sort @relations),
	'sql/README.md lists all views and tables, and nothing else');

# a declaration begins a line of a block without a language, and ends before the next one
my ($functions) = $reference =~ /^## Functions\n(.*?)^## /ms;
my %declared;
for my $block ($functions =~ /^```\n(.*?)^```$/msg)
{
	for my $text (split /^(?=oss_labels\.)/m, $block)
	{
		my ($name) = $text =~ /^oss_labels\.(\w+)/;
		$declared{$name} = $text =~ s/\s+/ /gr =~ s/ $//r;
	}
}
my %catalog = map { split /=/, $_, 2 } lines(q{
	SELECT proname || '=oss_labels.' || proname
		|| replace(replace(replace(replace(
			'(' || regexp_replace(pg_get_function_arguments(oid), '::[a-z ]+(\[\])?(?=[,]|$)', '', 'g') || ')'
			|| coalesce(' RETURNS ' || pg_get_function_result(oid), ''),
			'TABLE(', 'TABLE ('), 'double precision', 'float8'), 'timestamp with time zone', 'timestamptz'),
			'SETOF oss_labels.', 'SETOF oss_labels.')
	FROM pg_proc WHERE pronamespace = 'oss_labels'::regnamespace});
is($declared{$_}, $catalog{$_}, "sql/README.md: declaration of $_") for @public;
is(join(' ', sort keys %declared), "@public", 'sql/README.md declares the functions for users, and nothing else');

# ---- settings and options ----

# errors.pl compares the reference's table of settings, credential_readme.pl that of user mappings
my %default = map { split /=/, $_, 2 } lines(q{LOAD 'oss_labels';
	SELECT name || '=' || CASE WHEN boot_val = '' THEN 'empty' ELSE current_setting(name) END
	FROM pg_settings WHERE name LIKE 'oss\_labels.%'});
my %brief = $readme =~ /^\| `(oss_labels\.\w+)` \| (.*?) \|/mg;
is_deeply(\%brief, \%default, 'README.md: all settings, with their defaults');

my ($known_options) = slurp_file('src/client/server_option.c') =~ /server_options\[\] = \{(.*?)\n\};/s;
my @options = sort $known_options =~ /\{"(\w+)"/g;
is(join(' ', sort(listed('sql/README.md', 'option of `CREATE SERVER`'))), "@options",
	'sql/README.md: all options of servers, and nothing else');
my ($paragraph) = $readme =~ /^(Options of `CREATE SERVER`.*?)Options of `CREATE USER/ms;
is(join(' ', sort(grep { /_|^[a-z]+$/ } $paragraph =~ /`(\w+)`/g)), "@options", 'README.md: all options of servers');

# ---- links, commands, files ----

# Make the anchor that a forge gives a heading.
sub anchor { return lc($_[0]) =~ s/[^\w\- ]//gr =~ tr/ /-/r }

# Resolve a path in a document; it is relative to that document.
sub resolved
{
	my ($file, $path) = @_;
	my @parts = $file =~ m{/} ? split(m{/}, $file =~ s{/[^/]*$}{}r) : ();
	for my $part (split m{/}, $path)
	{
		if ($part eq '..') { pop @parts; }
		elsif ($part ne '.') { push @parts, $part; }
	}
	return join '/', @parts;
}

# Find a file or test that a document names by its path, or by that below src/
# or test/, perhaps without its ending.
sub exists_somewhere
{
	my ($file, $path) = @_;
	for my $base ($path, resolved($file, $path), "src/$path", "test/$path")
	{
		return 1 if -e $base || grep { -e "$base.$_" } qw(sql spec pl t c);
	}
	return grep { -e } glob "src/$path*";
}

# Leave out what stands in blocks of code.
sub prose { return $_[0] =~ s/^```.*?^```$//msgr }

my $folders = join '|', qw(src sql test), map { s{.*/}{}r } grep { -d } glob 'src/* test/*';
my $makefile = slurp_file('Makefile');
my %goals = map { $_ => 1 } qw(install installcheck), map { split ' ' } $makefile =~ /^([a-z][a-z \-]*):(?!=)/mg;
for my $file (sort keys %document)
{
	my $prose = prose($document{$file});
	my %headings = map { anchor($_) => 1 } $prose =~ /^#+ (.+)$/mg;
	for my $target ($prose =~ /\]\(([^)\s]+)\)/g)
	{
		next if $target =~ m{^https://};
		my ($path, $anchor) = split /#/, $target;
		my $to = $path eq '' ? $file : resolved($file, $path);
		my $there = -e $to;
		$there = grep { anchor($_) eq $anchor } prose(slurp_file($to)) =~ /^#+ (.+)$/mg
		  if $there && defined $anchor;
		ok($there, "$file: link to $target");
	}
	for my $goal ($document{$file} =~ /\bmake ([a-z]+)\b(?=`| {2,}|$| &&|,)/mg)
	{
		ok($goals{$goal}, "$file: make $goal");
	}
	for my $path ($document{$file} =~ m{(?<![\w/.])((?:$folders)/[\w/.\-]+\w)}g)
	{
		next if $path =~ /NAME|FILE|OLD|\.o$|\.build/;
		ok(exists_somewhere($file, $path), "$file: $path exists");
	}
}

# ---- the ledger names tests that exist ----

my $proofs = 0;
for my $table ($document{'test/README.md'} =~ /^\|[^\n]*\| proof \|\n\|[-|]+\n((?:\|.*\n)+)/mg)
{
	for my $line (split /\n/, $table)
	{
		# tests begin what stands between semicolons
		for my $name (map { /`([a-z][\w\/.\-]+)`/g } map { /^ *((?:`[^` ]+`(?:, | and )?)+)/ } split /; /, (split /\|/, $line)[-1])
		{
			next if $name eq 'floors';
			my @numbered = glob "test/t/[0-9][0-9][0-9]_$name.pl";
			ok(@numbered || exists_somewhere('test/README.md', $name =~ m{/} ? $name : "t/$name"),
				"test/README.md: proof $name exists");
			$proofs++;
		}
	}
}
cmp_ok($proofs, '>', 100, 'there are proofs');

# ---- the architecture, and what comments cite ----

my $architecture = $document{'src/README.md'};
my ($lower) = slurp_file('test/floors') =~ /^lower="(.*)"$/m;
my ($upper) = slurp_file('test/floors') =~ /^upper="(.*)"$/m;
is(join(' ', listed('src/README.md', 'room')), "$lower $upper", 'src/README.md: the rooms, in the order of test/floors');

my %source;
find({ no_chdir => 1, wanted => sub { $source{$_} = slurp_file($_) if /\.(?:[chly]|pl|pm|t|sh|sql)$/ && !/\.build/ } }, 'src', 'test', 'sql');
my %word = map { $_ => 1 } map { /\b(\w+)\b/g } @source{ grep { /^(?:src|sql)/ } keys %source };
is(join(' ', grep { !$word{$_} } $architecture =~ /`(\w+)\(\)`/g), '', 'src/README.md: every function that it names exists');

my %section = map { $_ => 1 } $document{'src/protocol/README.md'} =~ /^##+ (\d+(?:\.\d+)?)/mg;
for my $file (sort keys %source)
{
	next if $file eq 'test/t/005_readme.pl';
	my $text = $source{$file} =~ s/\n[ \t]*(?:\*|#|--)?[ \t]*/ /gr;
	ok($text !~ /\bdesign section|\bprotocol (?:reference|section)|\(reference \d|\breference \d+\.\d/i,
		"$file cites nothing outside of the repository")
	  if $text =~ /design section|reference|protocol section/i;
	while ($text =~ m{README\.md,? ((?:\d+(?:\.\d+)?(?:, | and | to )?)+)}g)
	{
		ok($section{$_}, "$file: src/protocol/README.md has a section $_") for split /, | and | to /, $1;
	}
}

done_testing();
