# Every error has a HINT with the next step: in the source, in the table of the
# service's errors, and as a session meets it.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

use lib 'test/perl';
use QueueTest;

# ---- in the source ----

# What no next step helps against, or what no session can reach.
my $without = qr/ERRCODE_(OUT_OF_MEMORY|INSUFFICIENT_RESOURCES|E_R_I_E_\w+|INTERNAL_ERROR)/;

for my $file (glob 'src/*/*.c')
{
	my $text = slurp_file($file);
	my @found;
	while ($text =~ /\bereport\((?:ERROR|FATAL),/g)
	{
		my $line = 1 + substr($text, 0, pos $text) =~ tr/\n//;
		my $call = substr $text, pos $text;
		$call =~ s/\)\);\n.*//s;
		push @found, "$file:$line" unless $call =~ /errhint/ || $call =~ $without;
	}
	is("@found", '', "$file: every error has a HINT") if $text =~ /ereport\(/;
}
my $script = slurp_file('sql/oss_labels--1.0.sql');
my @statements = $script =~ /(RAISE EXCEPTION.*?;\n)/gs;
cmp_ok(scalar @statements, '>', 10, 'errors of the SQL script');
is(join('', grep { !/HINT/ } @statements), '', 'each has a HINT');

# ---- as a session meets it ----

my $test = QueueTest->new(name => 'hints');
is($test->sql("SELECT string_agg(message, ', ') FROM oss_labels.error_table() WHERE hint IS NULL"), '',
	'every error of the service has a next step');
$test->sql("CREATE TABLE photo (bucket text, key text);
	SELECT oss_labels.import_label_rows('tenlabels', 'a', '{Cat}', '{0.9}')");

my @errors = (
	[ 'max_age below 0', "SELECT oss_labels.tag('tenlabels', 'a', max_age => '-1 day')", '22023' ],
	[ 'max_age below 0 (try)', "SELECT oss_labels.try_tag('tenlabels', 'a', max_age => '-1 day')", '22023' ],
	[ 'max_age below 0 (enqueue)', "SELECT oss_labels.enqueue('tenlabels', 'a', max_age => '-1 day')", '22023' ],
	[ 'max_age below 0 (watch)', "SELECT oss_labels.watch('photo', 'key', 'bucket', max_age => '-1 day')", '22023' ],
	[ 'max_age beyond the calendar', "SELECT oss_labels.tag('tenlabels', 'a', max_age => '9999 years')", '22008' ],
	[ 'max_age beyond the calendar (enqueue)', "SELECT oss_labels.enqueue('tenlabels', 'a', max_age => '9999 years')", '22008' ],
	[ 'max_age beyond the calendar (watch)', "SELECT oss_labels.watch('photo', 'key', 'bucket', max_age => '9999 years')", '22008' ],
	[ 'thr of labels_of', "SELECT oss_labels.labels_of('tenlabels', 'a', 1.5)", '22023' ],
	[ 'thr of labels_of, no number', "SELECT oss_labels.labels_of('tenlabels', 'a', 'NaN')", '22023' ],
	[ 'thr of tag', "SELECT oss_labels.tag('tenlabels', 'b', -1)", '22023' ],
	[ 'min_confidence', "INSERT INTO oss_labels.label_rule VALUES ('Cat', 70)", '23514' ],
	[ 'min_confidence, changed', "INSERT INTO oss_labels.label_rule VALUES ('Cat', 0.7); UPDATE oss_labels.label_rule SET min_confidence = 'NaN'", '23514' ],
	[ 'an alias of itself', "INSERT INTO oss_labels.label_alias VALUES ('Cat', 'Cat')", '23514' ],
	[ 'a profile that is an array', "SELECT oss_labels.images_for('[\"Cat\"]')", '22023' ],
	[ 'a profile that is a number', "SELECT oss_labels.images_for('1')", '22023' ],
	[ 'a weight that is a boolean', "SELECT oss_labels.images_for('{\"Cat\": true}')", '22023' ],
	[ 'max_rows of search', "SELECT oss_labels.search('Cat', -1)", '22023' ],
	[ 'max_rows of images_for', "SELECT oss_labels.images_for('{\"Cat\": 1}', -1)", '22023' ],
	[ 'max_likeness', "SELECT oss_labels.related_images('tenlabels', 'a', max_likeness => 2)", '22023' ],
	[ 'max_jobs', 'CALL oss_labels.process_queue(-1)', '22023' ],
	[ 'a transaction', 'BEGIN; CALL oss_labels.process_queue()', '25001' ],
	[ 'a long ETag', "SELECT oss_labels.tag('tenlabels', 'a', etag => repeat('x', 1000))", '22023' ],
	[ 'expires', "SELECT oss_labels.presign('tenlabels', 'a', '8 days')", '22023' ],
	[ 'an import without names', "SELECT oss_labels.import_label_rows('tenlabels', 'a', NULL)", '22023' ],
	[ 'an import with an empty name', "SELECT oss_labels.import_label_rows('tenlabels', 'a', '{\"\"}')", '22023' ],
	[ 'an import without a key', "SELECT oss_labels.import_label_rows('tenlabels', NULL, '{Cat}')", '22023' ],
	[ 'a server option', "ALTER SERVER oss OPTIONS (ADD timeout_ms 'soon')", '22023' ],
	[ 'correct() without a label', "SELECT oss_labels.correct('tenlabels', 'a', NULL, true)", '22023' ],
	[ 'one column for two', "SELECT oss_labels.watch('photo', 'key', 'key')", '22023' ],
	[ 'watch() without a column', "SELECT oss_labels.watch('photo', NULL, 'bucket')", '22023' ],
	[ 'watch() of a missing column', "SELECT oss_labels.watch('photo', 'nokey', 'bucket')", '42703' ]);
for my $error (@errors)
{
	my ($what, $sql, $state) = @$error;
	like($test->sql_error($sql), qr/ERROR:  $state: .*^HINT:  \w/ms, "$what: $state with a HINT");
}
is($test->count, 0, 'without a request');
is($test->sql(q{SELECT count(*) FROM oss_labels.images_for('{"Cat": "0.5", "Dog": null}')}), 1, 'a weight may be a text or null');
$test->{node}->stop;
done_testing();
