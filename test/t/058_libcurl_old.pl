# A libcurl before 7.80 does not say when it sends a request again by itself, on
# a new connection: the library that is built with it keeps no connections, so
# that one attempt is one request.  It is built here, from the newer one's
# objects and what depends on the version.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use lib 'test/perl';
use OssTest;

# the objects of these need libraries that the make below does not link
plan skip_all => 'instrumented objects' if ($ENV{OSS_TEST_FLAVOUR} // '') =~ /^(sanitize|coverage)$/;

my $dir = PostgreSQL::Test::Utils::tempdir;

# this runs below make installcheck, with variables for it alone
delete @ENV{qw(MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES)};

# to today's libcurl the old one's options are deprecated, which CI takes for errors
delete $ENV{CI};

mkdir "$dir/tree" or die $!;
system_or_bail('cp', '-a', qw(Makefile oss_labels.control src sql), "$dir/tree");
my $http = "$dir/tree/src/client/http.c";
my $source = slurp_file($http);
ok($source =~ s{(#include <curl/curl\.h>\n)}{$1#undef LIBCURL_VERSION_NUM\n#define LIBCURL_VERSION_NUM 0x074c00\n}, 'http.c takes libcurl for 7.76');
open(my $file, '>', $http) or die $!;
print $file $source;
close $file or die $!;
unlink glob("$dir/tree/src/client/http.o $dir/tree/src/client/http.bc $dir/tree/oss_labels.so");
command_ok([ 'make', '-s', '-C', "$dir/tree", 'oss_labels.so' ], 'it builds');

my $t = OssTest->new;
my $oss = $t->{oss};
$t->server(max_attempts => 1);

# A session whose second request loses its connection when it has come, and
# then how many connections five calls of a session take.
sub session
{
	my ($key) = @_;
	$oss->control('/reset?what=counters');
	$oss->fault(kind => 'drop', key => $key);
	my ($out) = $t->psql("SELECT count(*) FROM oss_labels.detect('tenlabels', 'first');"
		  . "SELECT error_code FROM oss_labels.try_detect('tenlabels', '$key');"
		  . "SELECT count(*) FROM oss_labels.detect('tenlabels', 'last');");
	is($out, "10\nConnectionBroken\n10", "$key: one fails");
	is($oss->count_key('tenlabels', $key), 1, "$key: asked for once");
	$oss->control('/reset?what=counters');
	$t->psql("SELECT count(*) FROM oss_labels.detect('tenlabels', 'kept');" x 5);
	is($oss->count('label_requests'), 5, "$key: five calls");
	return $oss->count('connections_http');
}

is(session('newer'), 1, 'newer: one connection is kept');
$t->ok("SET allow_system_table_mods = on; UPDATE pg_proc SET probin = '$dir/tree/oss_labels' WHERE probin = '\$libdir/oss_labels'");
is(session('older'), 5, 'older: each request has a connection of its own');

$t->{node}->stop;
done_testing;
