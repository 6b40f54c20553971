# pg_dump and pg_restore of a database with data of every table: equal before
# and after, and the sequences go on where they were.
use strict;
use warnings;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('dump');
$node->init;
$node->start;

# What the extension keeps, as text: each dumped table, each sequence.
sub kept
{
	my ($db) = @_;
	my $tables = $node->safe_psql($db, q{
		SELECT c.oid::pg_catalog.regclass FROM pg_catalog.pg_extension e, pg_catalog.unnest(e.extconfig) t
		JOIN pg_catalog.pg_class c ON c.oid = t
		WHERE e.extname = 'oss_labels' ORDER BY c.oid::pg_catalog.regclass::text COLLATE "C"});

	return join("\n", map {
		"$_: " . $node->safe_psql($db, /_seq$/ ? "SELECT last_value, is_called FROM $_" :
			"SELECT t::text COLLATE \"C\" FROM $_ t ORDER BY 1")
	} split /\n/, $tables);
}

$node->safe_psql('postgres', 'CREATE DATABASE source; CREATE DATABASE target');
$node->safe_psql('source', q{
	CREATE EXTENSION oss_labels;
	CREATE SERVER oss FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', endpoint 'http://127.0.0.1:1');
	INSERT INTO oss_labels.image (image_id, bucket, key, thr, tagged_at, label_count, response)
		SELECT oss_labels.image_id('album', 'photo ' || i), 'album', 'photo ' || i, 0, now(), 1, '{}' FROM generate_series(1, 20) i;
	INSERT INTO oss_labels.vocabulary (label_name, label_level, language) VALUES ('Cat', 1, 'en');
	INSERT INTO oss_labels.image_label
		SELECT image_id, oss_labels.label_id('Cat', NULL, 1, 'en'), 0.9, 0.5 FROM oss_labels.image;
	SELECT oss_labels.import_labels('{"Labels": [{"LabelName": "猫", "LabelLevel": 1, "LabelConfidence": 0.8}]}', 'album', 'photo 21');
	SELECT oss_labels.enqueue('album', 'waiting ' || i) FROM generate_series(1, 20) i;
	CREATE TABLE photo (id integer, key text);
	SELECT oss_labels.watch('photo', 'key', bucket => 'album');
	INSERT INTO oss_labels.label_alias VALUES ('猫', 'Cat'), ('Kitten', 'Cat');
	INSERT INTO oss_labels.label_rule VALUES ('Dog', 0.5, false, 'house rule'), ('Gun', NULL, true, NULL);
	SELECT oss_labels.correct('album', 'photo 1', 'Cat', false), oss_labels.correct('album', 'photo 2', 'Whale', true, 'Animal');
	INSERT INTO oss_labels.album (name, owner, rule) VALUES ('Pets', 'mei', 'Cat & !Dog | parent:Animal:0.5'), ('Pins', 'mei', NULL);
	SELECT oss_labels.pin(1, 'album', 'photo 3', false), oss_labels.pin(2, 'album', 'photo 4');
	INSERT INTO oss_labels.price (item, server, valid_from, per_1000, currency, source)
		VALUES ('label', 'oss', '2026-01-01', 0.1, 'USD', 'our contract');
	INSERT INTO oss_labels.usage_day (day, server, requester, bucket, requests, billed)
		VALUES ('2026-01-01', 'oss', current_user::text::oss_labels.role_name, 'album', 7, 7), ('2026-01-02', NULL, NULL, NULL, 1, 0);
});
is($node->safe_psql('source', q{SELECT count(*) FROM pg_catalog.pg_class
	WHERE relnamespace = 'oss_labels'::pg_catalog.regnamespace AND relpersistence <> 'p'}), '0', 'everything is logged');
my $before = kept('source');
like($before, qr/photo 20/, 'images are among what is kept');
like($before, qr/waiting 20/, 'so are jobs');
like($before, qr/猫/, 'aliases');
like($before, qr/house rule/, 'rules');
like($before, qr/Whale/, 'corrections');
like($before, qr/parent:Animal:0.5/, 'albums');
like($before, qr/album_pin: .*photo 3/, 'pins');
like($before, qr/usage_day: .*album,7,7/, 'accounts');
like($before, qr/our contract/, 'and prices');
my $read = q{SELECT key, label_name FROM oss_labels.effective_label
	UNION ALL SELECT key, name FROM oss_labels.album_member ORDER BY 1, 2};
my $reads = $node->safe_psql('source', $read);
like($reads, qr/photo 4\|Pins/, 'which are read');
unlike($reads, qr/photo 3\|Pets/, 'as they should be');
my $file = PostgreSQL::Test::Utils::tempdir . '/dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $file, $node->connstr('source') ], 'dump');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('target'), $file ], 'restore');
is(kept('target'), $before, 'restored as it was');
is($node->safe_psql('target', $read), $reads, 'and read as before');
$node->command_ok([ 'pg_dump', '-Fc', '-f', "$file.data", '--data-only', $node->connstr('source') ], 'dump of the data');

# A worker may run while a dump is restored: what a pause keeps must not be there
# before it.
my @restored = run_command([ 'pg_restore', '--list', $file ]);
my @queue = $restored[0] =~ /TABLE DATA oss_labels (active_pause|job) /g;
is("@queue", 'active_pause job', 'pauses are restored before jobs');
$node->safe_psql('postgres', 'CREATE DATABASE silent');
$node->safe_psql('silent', 'CREATE EXTENSION oss_labels; CREATE TABLE photo (id integer, key text)');
$node->command_ok([ 'pg_restore', '--exit-on-error', '--data-only', '--disable-triggers',
	'-d', $node->connstr('silent'), "$file.data" ], 'restore without triggers');
is($node->safe_psql('silent', $read), $reads, 'read as before, too');
my $next = "SELECT oss_labels.enqueue('album', 'next')";
is($node->safe_psql('target', $next), $node->safe_psql('source', $next), 'numbers go on');
$node->safe_psql('target', "INSERT INTO photo VALUES (1, 'new.jpg')");
is($node->safe_psql('target', "SELECT count(*) FROM oss_labels.job WHERE key = 'new.jpg'"), '1',
	'a watched table is watched');

done_testing;
