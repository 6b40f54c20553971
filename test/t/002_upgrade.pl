# ALTER EXTENSION UPDATE from every released version gives what CREATE EXTENSION
# gives: the same objects with definitions, privileges and comments.  A release
# adds sql/oss_labels--OLD--NEW.sql and nothing here; that differences would be
# seen is shown with made-up versions.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('upgrade');
$node->init;
$node->start;
my $scripts = $node->config_data('--sharedir') . '/extension';

# Return all that an extension consists of, as paragraphs in an order of their
# own: as pg_upgrade has it dumped, without numbers and dropped columns.
sub contents
{
	my ($db, $extension) = @_;
	my ($dump, $errors);
	IPC::Run::run([ 'pg_dump', '--binary-upgrade', '--schema-only', '-d', $node->connstr($db) ],
		'>', \$dump, '2>', \$errors) or die "pg_dump: $errors";
	$dump =~ s/^(?:\\|SELECT pg_catalog\.binary_upgrade_|SET ).*\n//mg;
	$dump =~ s/^--.*\n//mg;
	$dump =~ s/^UPDATE pg_catalog\.pg_(?:class|attribute|database)\s[^;]*;\n//mg;
	$dump =~ s/^\s+"\.{8}pg\.dropped\.\d+\.{8}".*\n//mg;
	$dump =~ s/^ALTER TABLE ONLY \S+ DROP COLUMN "\.{8}pg\.dropped.*\n//mg;
	my $kept = $node->safe_psql($db, qq{
		SELECT 'kept by pg_dump: ' || c.t::pg_catalog.regclass || ' ' || c.condition
		FROM pg_catalog.pg_extension e, ROWS FROM (pg_catalog.unnest(e.extconfig),
			pg_catalog.unnest(e.extcondition)) AS c (t, condition)
		WHERE e.extname = '$extension'});
	return join("\n\n", sort split /\n\s*\n/, "$dump\n\n" . $kept =~ s/\n/\n\n/gr);
}

my $databases = 0;

# Return what there is of an extension after some statements.
sub contents_after
{
	my ($extension, @statements) = @_;
	my $db = 'db' . $databases++;
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	$node->safe_psql($db, join ';', @statements);
	my $contents = contents($db, $extension);
	$node->safe_psql('postgres', "DROP DATABASE $db");
	return $contents;
}

# The same of a version that was installed, or updated to from another.
sub installed
{
	my ($extension, $version) = @_;
	return contents_after($extension, "CREATE EXTENSION $extension VERSION '$version'");
}

sub updated
{
	my ($extension, $from, $to) = @_;
	return contents_after($extension, "CREATE EXTENSION $extension VERSION '$from'",
		"ALTER EXTENSION $extension UPDATE TO '$to'");
}

# Return what paragraphs are not in both of two contents.
sub difference
{
	my ($left, $right) = @_;
	my %count;

	# each database's own OID
	s/RETURN \(\d+\)::oid/RETURN its own/g for $left, $right;
	$count{$_}++ for split /\n\n/, $left;
	$count{$_}-- for split /\n\n/, $right;
	return join("\n", map { ($count{$_} > 0 ? '- ' : '+ ') . $_ } sort grep { $count{$_} } keys %count);
}

# ---- what was released ----

my $newest = $node->safe_psql('postgres',
	q{SELECT default_version FROM pg_available_extensions WHERE name = 'oss_labels'});
my @released = PostgreSQL::Test::Utils::slurp_file('CHANGELOG.md') =~ /^## *\[?v?(\d+\.\d+)/mg;
my $fresh = installed('oss_labels', $newest);
like($fresh, qr/^CREATE FUNCTION oss_labels\.detect\(/m, 'there is a fresh install');
ok((grep { $_ eq $newest } @released), "CHANGELOG.md has version $newest");
for my $version (grep { $_ ne $newest } @released)
{
	is(difference($fresh, updated('oss_labels', $version, $newest)), '', "updated from $version");
}

# ---- what would be seen ----

# Each of these can be forgotten, in an update script or in the other.
my @changes = (
	q{COMMENT ON TABLE oss_labels.made IS 'made up'},
	q{GRANT SELECT ON oss_labels.made TO pg_monitor},
	q{ALTER TABLE oss_labels.made ALTER note SET DEFAULT 'x'},
	q{ALTER TABLE oss_labels.made ADD CHECK (id > 0)},
	q{SELECT pg_catalog.pg_extension_config_dump('oss_labels.made', 'WHERE id > 1')},
	q{CREATE INDEX made_index ON oss_labels.image (label_count)},
	q{ALTER TABLE oss_labels.image ADD COLUMN made integer},
	q{COMMENT ON COLUMN oss_labels.label.bucket IS 'something else'},
	q{ALTER FUNCTION oss_labels.learn_labels() COST 7},
	q{ALTER FUNCTION oss_labels.learn_labels() SET work_mem = '1MB'},
	q{GRANT EXECUTE ON FUNCTION oss_labels.learn_labels() TO PUBLIC},
	q{CREATE OR REPLACE FUNCTION oss_labels.made() RETURNS integer LANGUAGE sql AS 'SELECT 2'},
	q{ALTER VIEW oss_labels.label SET (security_barrier = true)},
	q{ALTER TABLE oss_labels.label_correction DISABLE TRIGGER label_correction_learn},
	q{CREATE CAST (oss_labels.label_query AS jsonpath) WITH INOUT},
	q{CREATE TYPE oss_labels.made_up AS ENUM ('a')},
	q{ALTER EXTENSION made_up DROP FUNCTION oss_labels.made()});
my @always = (
	q{CREATE FUNCTION oss_labels.made() RETURNS integer LANGUAGE sql AS 'SELECT 1'},
	q{CREATE TABLE oss_labels.made (id integer, note text)});
my $oldest = PostgreSQL::Test::Utils::slurp_file("$scripts/oss_labels--$newest.sql");
my @written;

# Write a file of the extension made_up.
sub made_up
{
	my ($name, $text) = @_;
	my $file = "$scripts/made_up$name";
	open(my $out, '>', $file) or die "$file: $!";
	print $out $text;
	close($out) or die "$file: $!";
	push @written, $file;
	return;
}

END { unlink @written }

made_up('.control', "default_version = '1'\nschema = pg_catalog\nmodule_pathname = '\$libdir/oss_labels'\n");
made_up('--1.sql', $oldest);
made_up('--2.sql', join(";\n", $oldest, @always, @changes, ''));

# a column that an update drops is nobody's difference
made_up('--1--2.sql', join(";\n", $always[0],
	$always[1] =~ s/note/gone xml, note/r, 'ALTER TABLE oss_labels.made DROP COLUMN gone', @changes, ''));
my $made = installed('made_up', '2');
is(difference($made, updated('made_up', '1', '2')), '', 'an update that leaves nothing out');
for my $i (0 .. $#changes)
{
	made_up("--1--f$i.sql", join(";\n", @always, @changes[ grep { $_ != $i } 0 .. $#changes ], ''));
	isnt(difference($made, updated('made_up', '1', "f$i")), '', "an update without $changes[$i]");
}

$node->stop;
done_testing;
