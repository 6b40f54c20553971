# Keys of any collation find their image by index, in databases of several
# collations: those of the database's and of "C" by bucket and key, all others
# by image_id().  So do keys that begin with a text, and images tagged before a
# time.
use strict;
use warnings FATAL => 'all';
use utf8;
use Encode qw(encode_utf8);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('collation');
$node->init;
$node->append_conf('postgresql.conf', "autovacuum = off\njit = off\nfsync = off\n");
$node->start;

my $icu = $node->safe_psql('postgres', "SELECT count(*) > 0 FROM pg_collation WHERE collname = 'und-x-icu'") eq 't';
my ($en_us) = grep { /^en_US\.utf-?8$/i } split /\n/, `locale -a`;
my %database = (
	c => "LOCALE 'C'",
	utf8 => "LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8'",
	$icu ? (icu => "LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LOCALE 'C.UTF-8'") : (),
	$en_us ? (en_us => "LOCALE '$en_us'") : ());

# Return the plan of a query.
sub plan_of
{
	my ($database, $query) = @_;
	return $node->safe_psql($database, encode_utf8("EXPLAIN (COSTS OFF) $query"));
}

# Check that a query uses an index of image, with conditions that match, and
# reads no more of image than these select.
sub uses_index
{
	my ($database, $query, $index, $conditions, $what) = @_;
	my $plan = plan_of($database, $query);

	like($plan, qr/using $index on image|Bitmap Index Scan on $index/, "$database: $what: by index");
	$plan =~ s/\((\w+)\)::text/$1/g;
	like($plan, qr/Index Cond: .*$_/, "$database: $what: condition $_") for @$conditions;
	unlike($plan, qr/Seq Scan on image/, "$database: $what: nothing is read from end to end");
	return;
}

foreach my $database (sort keys %database)
{
	my @kinds = ([ 'own', '', '' ], [ 'c', 'COLLATE "C"', 'COLLATE "C"' ], [ 'mixed', '', 'COLLATE "C"' ]);
	push @kinds, [ 'und', 'COLLATE "und-x-icu"', 'COLLATE "und-x-icu"' ], [ 'nocase', '', 'COLLATE nocase' ] if $icu;
	$node->safe_psql('postgres', "CREATE DATABASE $database TEMPLATE template0 ENCODING 'UTF8' $database{$database}");
	$node->safe_psql($database, encode_utf8(
		"CREATE EXTENSION oss_labels;
		INSERT INTO oss_labels.image (image_id, bucket, key, tagged_at, label_count, response)
			SELECT oss_labels.image_id(bucket, key), bucket, key, now() - i * interval '1 hour', 1, '{}'
			FROM generate_series(1, 3000) i,
				LATERAL (VALUES ('bucket-' || i % 10, CASE i % 3 WHEN 0 THEN 'trip ' || i WHEN 1 THEN 'trip/' || i ELSE 'été/' || i END)) v (bucket, key);
		INSERT INTO oss_labels.vocabulary (label_name) VALUES ('Cat');
		INSERT INTO oss_labels.image_label SELECT image_id, oss_labels.label_id('Cat'), 0.9, 0.5 FROM oss_labels.image;"
		. ($icu ? "CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);" : '')
		. join('', map {
			"CREATE TABLE $_->[0] (id integer PRIMARY KEY, bucket text $_->[1], key text $_->[2]);
			INSERT INTO $_->[0] SELECT row_number() OVER (ORDER BY image_id), bucket, key FROM oss_labels.image;
			CREATE INDEX ON $_->[0] (bucket, key);" } @kinds)
		. 'VACUUM ANALYZE'));

	# joins, from the table to its labels and back
	foreach my $kind ([ 'own', 'image_key_idx', [ 'bucket = ', 'key = ' ] ],
		[ 'c', 'image_key_c_idx', [ 'bucket = ', 'key = ' ] ], [ 'mixed', 'image_key_c_idx', ['key = '] ])
	{
		my ($table, $index, $conditions) = @$kind;

		for my $view (qw(label effective_label))
		{
			my $query = "SELECT l.label_name FROM $table p JOIN oss_labels.$view l USING (bucket, key) WHERE p.id = 7";
			uses_index($database, $query, $index, $conditions, "$view of $table");
			is($node->safe_psql($database, $query), 'Cat', "$database: $view of $table");
		}
		like(plan_of($database, "SELECT p.id FROM oss_labels.image i JOIN $table p USING (bucket, key) WHERE i.image_id = 7"),
			qr/Index.* ${table}_bucket_key_idx/, "$database: from the image to $table: by its index");
	}

	# by image_id(), whatever the collation
	foreach my $kind (@kinds)
	{
		my $query = "SELECT i.key = p.key COLLATE \"C\" FROM $kind->[0] p JOIN oss_labels.image i"
		  . ' ON i.image_id = oss_labels.image_id(p.bucket, p.key) WHERE p.id = 7';

		uses_index($database, $query, 'image_pkey', ['image_id = '], "image_id() of $kind->[0]");
		is($node->safe_psql($database, $query), 't', "$database: image_id() of $kind->[0]");
	}

	# other collations join by bucket and key, too, if not by index
	if ($icu)
	{
		is($node->safe_psql($database, 'SELECT count(*) FROM und JOIN oss_labels.label USING (bucket, key)'), '3000',
			"$database: another collation joins");
		is($node->safe_psql($database, "UPDATE nocase SET key = upper(key COLLATE \"und-x-icu\");
			SELECT count(*) FROM nocase JOIN oss_labels.label USING (bucket, key)"), '3000',
			"$database: one that takes capital letters for small ones finds other keys, as everywhere");
		is($node->safe_psql($database, 'SELECT count(*) FROM nocase p JOIN oss_labels.image i
			ON i.image_id = oss_labels.image_id(p.bucket, p.key)'), '0', "$database: but not by image_id()");
	}

	# prefixes
	for my $prefix ("key LIKE 'trip/29%'", "key ^\@ 'trip/29'", "starts_with(key, 'trip/29')")
	{
		uses_index($database, "SELECT key FROM oss_labels.image WHERE $prefix", 'image_key_c_idx',
			['key >= '], $prefix);
		uses_index($database, "SELECT l.label_name FROM oss_labels.label l WHERE bucket = 'bucket-3' AND $prefix", 'image_key_idx',
			[ 'bucket = ', 'key ~>=~ ', 'key ~<~ ' ], "$prefix in a bucket");
		is($node->safe_psql($database, "SELECT count(*), min(key COLLATE \"C\") FROM oss_labels.label WHERE bucket = 'bucket-3' AND $prefix"),
			'3|trip/2923', "$database: $prefix in a bucket");
	}
	is($node->safe_psql($database, encode_utf8("SELECT count(*) FROM oss_labels.image WHERE key LIKE 'été/%'")), '1000',
		"$database: another prefix");

	# tagged before
	my $old = "now() - interval '2990 hours 30 minutes'";
	uses_index($database, "SELECT key FROM oss_labels.image WHERE tagged_at < $old", 'image_tagged_at_idx',
		['tagged_at < '], 'tagged before');
	uses_index($database, "SELECT key FROM oss_labels.image ORDER BY tagged_at LIMIT 10", 'image_tagged_at_idx', [],
		'the oldest');
	unlike(plan_of($database, "SELECT key FROM oss_labels.image WHERE tagged_at < $old ORDER BY tagged_at LIMIT 10"),
		qr/Sort/, "$database: the oldest need not be sorted");
	is($node->safe_psql($database, "SELECT count(*) FROM oss_labels.image WHERE tagged_at < $old"), '10',
		"$database: tagged before");
}

$node->stop;
done_testing();
