# What is stored and what is read of it: all labels are asked for, and those are read
# that have the confidence that an argument, a rule or the setting says.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use lib 'test/perl';
use QueueTest;

my $test = QueueTest->new;
my $node = $test->{node};
my $beach = q('examplebucket', 'photos/beach.jpg');

# Compare the answers of queries that need no request.
sub read_free
{
	my @cases = @_;
	my $asked = $test->count;

	while (my ($query, $expected, $name) = splice @cases, 0, 3)
	{
		is($test->sql("SELECT $query"), $expected, $name);
	}
	is($test->count, $asked, 'without a request');
	return;
}

# ---- all labels are stored; those from 0.7 on are read where nothing is said ----

$test->sql("SELECT oss_labels.enqueue($beach)");
ok($test->wait_empty, 'a job');
is($test->count, 1, 'one request');
read_free(
	"thr, label_count FROM oss_labels.image", '0|5', 'all labels are stored',
	"count(*) FROM oss_labels.label", '4', 'label',
	"count(*) FROM oss_labels.effective_label", '4', 'effective_label',
	"count(*) FROM oss_labels.effective_image_label", '4', 'effective_image_label',
	"sum(images) FROM oss_labels.label_rollup WHERE NOT total", '4', 'label_rollup',
	"count(*) FROM oss_labels.label_rarity()", '4', 'label_rarity',
	"count(*) FROM oss_labels.labels_of($beach)", '4', 'labels_of',
	"count(*) FROM oss_labels.tag($beach)", '4', 'tag',
	"count(*) FROM oss_labels.try_tag($beach)", '4', 'try_tag',
	"count(*) FROM oss_labels.search('Umbrella')", '0', 'search',
	"count(*) FROM oss_labels.search('!Umbrella')", '1', 'search: not',
	"count(*) FROM oss_labels.search('Beach & Umbrella')", '0', 'search: and',
	"oss_labels.matches($beach, 'Umbrella')", 'f', 'matches',
	"array_length(oss_labels.search_ids('Umbrella'), 1)", '', 'search_ids',
	"min_confidence FROM oss_labels.effective_name WHERE raw_label_name = 'Umbrella'", '0.7', 'effective_name',
	"oss_labels.read_threshold()", '0.7', 'read_threshold');

# ---- an argument ----

read_free(
	"count(*) FROM oss_labels.labels_of($beach, 0)", '5', 'labels_of with a threshold',
	"count(*) FROM oss_labels.tag($beach, 0)", '5', 'tag with a threshold',
	"count(*) FROM oss_labels.tag($beach, 0.95)", '2', 'tag with a higher one',
	"count(*) FROM oss_labels.try_tag($beach, 0.3)", '5', 'try_tag with a threshold',
	"count(*) FROM oss_labels.search('Umbrella:0.4')", '1', 'search with a confidence',
	"count(*) FROM oss_labels.search('Umbrella:0.5')", '0', 'search with a higher one',
	"count(*) FROM oss_labels.search('!Umbrella:0.4')", '0', 'search: not, with a confidence',
	"count(*) FROM oss_labels.search('Beach & Umbrella:0.4')", '1', 'search: and, with a confidence',
	"oss_labels.matches($beach, 'Umbrella:0.4')", 't', 'matches with a confidence',
	"oss_labels.matches($beach, 'Umbrella:0.5')", 'f', 'matches with a higher one');
is($test->sql("SELECT count(*) FROM oss_labels.detect($beach)"), '4', 'detect() asks with its own default');
is($test->sql("SELECT count(*) FROM oss_labels.detect($beach, 0)"), '5', 'and with what it is given');

# ---- a rule ----

$test->sql("INSERT INTO oss_labels.label_rule (label_name, min_confidence) VALUES ('Umbrella', 0.4); "
	. "INSERT INTO oss_labels.album (name, owner, rule) VALUES ('umbrellas', 'mei', 'Umbrella')");
read_free(
	"count(*) FROM oss_labels.label", '4', 'label knows no rules',
	"count(*) FROM oss_labels.effective_label", '5', 'effective_label with a rule',
	"count(*) FROM oss_labels.search('Umbrella')", '1', 'search with a rule',
	"oss_labels.matches($beach, 'Umbrella')", 't', 'matches with a rule',
	"count(*) FROM oss_labels.album_member", '1', 'album_member with a rule',
	"name FROM oss_labels.albums_of($beach)", 'umbrellas', 'albums_of with a rule');
$test->sql("UPDATE oss_labels.label_rule SET min_confidence = 0.5");
read_free(
	"count(*) FROM oss_labels.effective_label", '4', 'a rule that is higher',
	"count(*) FROM oss_labels.search('Umbrella:0.4')", '0', 'is not undone by a search',
	"count(*) FROM oss_labels.albums_of($beach)", '0', 'nor by an album');
$test->sql("UPDATE oss_labels.label_rule SET min_confidence = NULL, note = 'nothing is said'");
read_free("count(*) FROM oss_labels.effective_label", '4', 'a rule that says nothing');

# ---- the setting ----

$test->sql("ALTER DATABASE postgres SET oss_labels.read_threshold = 0.3");
read_free(
	"count(*) FROM oss_labels.label", '5', 'label with the setting',
	"count(*) FROM oss_labels.effective_label", '5', 'effective_label with the setting',
	"count(*) FROM oss_labels.search('Umbrella')", '1', 'search with the setting',
	"oss_labels.matches($beach, 'Umbrella')", 't', 'matches with the setting',
	"count(*) FROM oss_labels.labels_of($beach)", '5', 'labels_of with the setting');
$test->sql("ALTER DATABASE postgres RESET oss_labels.read_threshold");

# ---- labels without a confidence ----

$test->sql(q(SELECT oss_labels.import_labels('{"RequestId":"1","Labels":[{"LabelName":"Unrated"},{"LabelName":"Faint","LabelConfidence":0.2}]}', 'elsewhere', 'one', 0)));
read_free(
	"string_agg(label_name, ',') FROM oss_labels.label WHERE bucket = 'elsewhere'", 'Unrated', 'label without a confidence',
	"string_agg(label_name, ',') FROM oss_labels.effective_label WHERE bucket = 'elsewhere'", 'Unrated', 'effective_label',
	"count(*) FROM oss_labels.search('Unrated')", '1', 'search',
	"oss_labels.matches('elsewhere', 'one', 'Unrated')", 't', 'matches',
	"count(*) FROM oss_labels.search('Unrated:0.1')", '0', 'search with a confidence',
	"oss_labels.matches('elsewhere', 'one', 'Unrated:0.1')", 'f', 'matches with a confidence',
	"count(*) FROM oss_labels.related_images('elsewhere', 'one')", '0', 'related_images');

# ---- tag() asks for all, and each row gets what it wants of one answer ----

my $asked = $test->count;
is($test->sql("SELECT string_agg(n::text, ',' ORDER BY thr NULLS FIRST) FROM (SELECT v.thr, count(l.label_name) AS n"
		. " FROM (VALUES (NULL::float8), (0), (0.95)) v(thr) LEFT JOIN LATERAL oss_labels.tag('examplebucket', 'photos/street.jpg', v.thr) l ON true"
		. " GROUP BY v.thr) s"), $test->sql("SELECT string_agg(n::text, ',' ORDER BY thr NULLS FIRST) FROM (SELECT v.thr, count(l.label_name) AS n"
		. " FROM (VALUES (NULL::float8), (0), (0.95)) v(thr) LEFT JOIN LATERAL oss_labels.detect('examplebucket', 'photos/street.jpg', v.thr) l ON true"
		. " GROUP BY v.thr) s"), 'tag() in a join: as detect()');
is($test->count - $asked, 4, 'with one request instead of three');
is($test->sql("SELECT thr FROM oss_labels.image WHERE key = 'photos/street.jpg'"), '0', 'all labels are stored');
is($test->sql("SELECT count(*) FROM oss_labels.tag('examplebucket', 'photos/cat.png')"), '2', 'tag() alone');
is($test->sql("SELECT thr FROM oss_labels.image WHERE key = 'photos/cat.png'"), '0', 'stores all labels, too');

# ---- a server whose answers would get too long ----

for my $bad ('x', '1.5', '-0.1', 'nan', '')
{
	like($test->sql_error("ALTER SERVER oss OPTIONS (ADD stored_threshold '$bad')"), qr/22023: invalid value for option "stored_threshold"/,
		"stored_threshold '$bad' is refused");
}
$test->sql("ALTER SERVER oss OPTIONS (ADD stored_threshold '0.5'); SELECT oss_labels.enqueue('tenlabels', 'a'), oss_labels.enqueue('tenlabels', 'b', thr => 0.2)");
ok($test->wait_empty, 'another floor');
is($test->sql("SELECT string_agg(key || ' ' || thr, ',' ORDER BY key) FROM oss_labels.image WHERE bucket = 'tenlabels'"), 'a 0.5,b 0.2', 'is asked for, unless less is');
$test->sql("SELECT count(*) FROM oss_labels.tag('tenlabels', 'c')");
is($test->sql("SELECT thr FROM oss_labels.image WHERE key = 'c'"), '0.5', 'by tag(), too');
$asked = $test->count;
$test->sql("SELECT oss_labels.enqueue('tenlabels', 'b', max_age => '0')");
ok($test->wait_empty, 'a new answer');
$test->sql("SELECT count(*) FROM oss_labels.tag('tenlabels', 'b', max_age => '0')");
is($test->count - $asked, 2, 'costs a request each');
is($test->sql("SELECT thr FROM oss_labels.image WHERE key = 'b'"), '0.2', 'and holds no less than the one before');

# ---- who may only read ----

$test->sql("CREATE ROLE reader; CALL oss_labels.grant_reading('reader')");
is($test->sql("SET ROLE reader; SELECT (SELECT count(*) FROM oss_labels.label WHERE key = 'photos/beach.jpg'),"
		. " (SELECT count(*) FROM oss_labels.effective_label WHERE key = 'photos/beach.jpg'), oss_labels.matches($beach, 'Beach')"),
	'4|4|t', 'a reader reads the same');

$node->stop;
done_testing;
