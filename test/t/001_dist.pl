# make dist: the archive for PGXN has the version's name, the tracked files and
# nothing else, and builds and installs by itself.
use strict;
use warnings;
use Cwd qw(getcwd);
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'needs git and unzip' if grep { system("command -v $_ >/dev/null") } qw(git unzip);

my $dir = PostgreSQL::Test::Utils::tempdir;
my $version = decode_json(slurp_file('META.json'))->{version};
my $name = "oss_labels-$version";

# this runs below make installcheck, with variables for it alone
delete @ENV{qw(MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES)};

# the tests run in a copy without history
{
	local %ENV = (%ENV, GIT_DIR => "$dir/git", GIT_WORK_TREE => getcwd());
	system_or_bail('git', 'init', '-q', '.');
	system_or_bail('git', 'add', '-A');
	system_or_bail('git', '-c', 'user.name=test', '-c', 'user.email=test@localhost',
		'commit', '-q', '-m', 'all');
	command_ok([ 'make', '-s', 'dist' ], 'make dist');
}
ok(-f "$name.zip", "makes $name.zip");
system_or_bail('unzip', '-q', "$name.zip", '-d', $dir);
unlink "$name.zip";

my @top = map { s{.*/}{}r } glob "$dir/oss_labels*";
is("@top", $name, 'with one directory');
for my $file (qw(META.json Makefile oss_labels.control README.md CHANGELOG.md LICENSE sql/README.md
	src/README.md src/protocol/README.md test/README.md test/oss-server/README.md test/demo/session.svg
	test/demo/page.png),
	$version =~ s{^(\d+\.\d+)\..*}{sql/oss_labels--$1.sql}r)
{
	is(-f "$dir/$name/$file" ? slurp_file("$dir/$name/$file") : undef, slurp_file($file), "with $file");
}
is(qx(find $dir/$name -name '*.o' -o -name '*.so' -o -name '.build'), '', 'with nothing that was built');

# no optimisation, no JIT: that it compiles is the question
my @make = ('make', '-s', '-C', "$dir/$name", 'with_llvm=no', 'COPT=-O0 -w', "DESTDIR=$dir/stage");
command_ok([ @make, '-j2' ], 'it builds');
command_ok([ @make, 'install' ], 'and installs');
my $lib = qx(pg_config --pkglibdir) =~ s/\s+$//r;
my $share = qx(pg_config --sharedir) =~ s/\s+$//r;
ok(-f "$dir/stage$lib/oss_labels.so", 'its library');
is(join(' ', map { s{.*/}{}r } glob "$dir/stage$share/extension/*"),
	join(' ', sort map({ s{.*/}{}r } glob 'sql/*.sql'), 'oss_labels.control'), 'and its scripts');

done_testing;
