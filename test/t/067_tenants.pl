# Tenants: whatever a role that is limited to a bucket, a prefix or by a policy of
# somebody's reads is the same whether or not others have images.  What it can read
# is taken from the catalog, so that nothing new is forgotten.
use strict;
use warnings;
use lib 'test/perl';
use QueueTest;
use Test::More;

my $test = QueueTest->new(name => 'tenants', preload => 0);
my $oss = $test->{oss};

# Run SQL as a role.
sub as
{
	my ($role, $sql) = @_;
	return $test->sql("SET ROLE $role; $sql");
}

# Run SQL as a role and return the error.
sub refused
{
	my ($role, $sql) = @_;
	return $test->sql_error("SET ROLE $role; $sql");
}

# Store an image with labels "name:parent:confidence"; without level if parent is "-".
sub import_sql
{
	my ($bucket, $key, @labels) = @_;
	my $labels = join ', ', map {
		my ($name, $parent, $confidence) = split /:/;
		my $level = $parent eq '-' ? '' : qq{"LabelLevel": 2, "ParentLabelName": "$parent", };
		qq[{$level"LabelName": "$name", "LabelConfidence": $confidence, "CentricScore": 0.5}]
	} @labels;
	return qq{SELECT oss_labels.import_labels('{"Labels": [$labels]}', '$bucket', '$key', 0, tagged_at => '2026-01-01');};
}

# ---- what each role has, and what others have ----

$test->sql("CREATE ROLE $_") for qw(everything bucketed prefixed policied group_of member other beta);
like($test->sql_error("BEGIN; DECLARE c CURSOR FOR SELECT bucket FROM oss_labels.image; FETCH c; CALL oss_labels.grant_reading('other', 'alpha')"),
	qr/55006: row security cannot be enabled.*HINT/s, 'a query that reads labels is in the way of the first grant');
is($test->sql('SELECT count(*) FROM oss_labels.bucket_grant'), '0', 'which is not made then');
$test->sql(q{
	GRANT group_of TO member;
	CALL oss_labels.grant_reading('everything');
	CALL oss_labels.grant_reading('bucketed', 'alpha');
	CALL oss_labels.grant_reading('prefixed', 'alpha', 'own/');
	CALL oss_labels.grant_reading('group_of', 'alpha');
	CALL oss_labels.grant_reading('policied');
	CREATE POLICY ours ON oss_labels.image TO policied USING (bucket = 'alpha');
	CALL oss_labels.grant_writing('beta', 'beta')});
is($test->sql(q{SELECT string_agg(relname, ' ' ORDER BY relname COLLATE "C") FROM pg_class
	WHERE relnamespace = 'oss_labels'::regnamespace AND relrowsecurity}),
	'album album_pin image image_label label_correction vocabulary', 'a grant of a bucket enables row security');
my @limited = qw(bucketed prefixed policied member);

sub store_alpha
{
	$test->sql(import_sql('alpha', 'own/1', 'Dog:Animal:0.9', 'Sky:Nature:0.8', 'Inhouse:-:0.7')
		  . import_sql('alpha', 'own/2', 'Dog:Animal:0.8', 'Cat:Animal:0.8')
		  . import_sql('alpha', 'own/3', 'Cat:Animal:0.6', 'Sky:Nature:0.8', 'Fog:Nature:0.3')
		  . "SELECT oss_labels.correct('alpha', 'own/1', 'Hound', true, 'Animal');"
		  . "INSERT INTO oss_labels.label_alias VALUES ('Kitten', 'Cat'); INSERT INTO oss_labels.label_rule VALUES ('Fog', 0.5, false)");
	for my $role (@limited, 'everything')
	{
		$test->sql("INSERT INTO oss_labels.album (name, owner, rule, role, created_at) VALUES ('Dogs', 'mei', 'Dog | Hound', '$role', '2026-01-01');"
			  . "INSERT INTO oss_labels.album_pin (album_id, bucket, key, pinned, role, pinned_at)"
			  . " SELECT album_id, 'alpha', 'own/3', true, role, '2026-01-01' FROM oss_labels.album WHERE role::text = '$role'");
	}
	return;
}

# Others' images: more of them, more confident, with the same labels and with names of their own.
sub store_beta
{
	my @buckets = ([ 'beta', 'own/' ], [ 'alphabet', 'own/' ], [ 'beta', 'alpha/own/' ]);
	$test->sql(join '', map {
		my ($bucket, $prefix) = @$_;
		map { import_sql($bucket, "$prefix$_", 'Dog:Animal:0.99', 'Sky:Nature:0.95', 'Cat:Animal:0.97', 'Fog:Nature:0.9', "Secret:-:0.9") } 1 .. 8
	} @buckets);
	$test->sql("SELECT oss_labels.correct('beta', 'own/1', 'Classified', true, 'Hidden', corrected_by => 'mallory');"
		  . "INSERT INTO oss_labels.album (name, owner, rule, role) VALUES ('Dogs', 'mei', 'Dog & Secret', 'beta'), ('Plans', 'mallory', 'Classified', 'beta');"
		  . "INSERT INTO oss_labels.album_pin (album_id, bucket, key, pinned, role)"
		  . " SELECT album_id, 'alpha', 'own/1', true, role FROM oss_labels.album WHERE role::text = 'beta'");
	# names without levels, whatever the format, are others'
	$test->sql(q{SELECT oss_labels.import_labels('{"labelAnnotations": [{"description": "Confidential", "score": 0.9, "locale": "en"}]}', 'beta', 'vision', format => 'google_vision');
		SELECT oss_labels.import_labels('{"Labels": [{"LabelName": "Inside", "Language": "en-us", "LabelConfidence": 0.9}]}', 'beta', 'language')});
	# for who is limited to a prefix, the rest of the bucket is others', too
	$test->sql(import_sql('alpha', 'other/1', 'Dog:Animal:0.99', 'Secret:-:0.9'));
	return;
}

# ---- how to read with each function; '' for those that tell nothing of what is stored ----

my %call = (
	(map { $_ => '' } qw(may_read_all read_threshold image_id label_id label_weight profile check_profile label_query_and label_query_or label_query_not)),
	(map { $_ => "SELECT oss_labels.$_()" } qw(reads_all reading_scope)),
	has_policy => "SELECT oss_labels.has_policy('{true,false}', '{r,*}')",
	labels_of => "SELECT k, l::text FROM keys k, LATERAL oss_labels.labels_of(k.b, k.k) l",
	search => q{SELECT q, s::text FROM unnest('{Dog,!Dog,Cat & !Sky,parent:Animal,Secret,Classified,parent:Hidden,Dog | Fog,Hound}'::text[]) q,
		unnest('{NULL,2}'::int[]) n, LATERAL oss_labels.search(q, n) s},
	search_ids => q{SELECT q, oss_labels.search_ids(q) FROM unnest('{Dog,!Dog,Secret,parent:Animal,parent:Hidden}'::text[]) q},
	image_matches => q{SELECT k, oss_labels.image_id(k.b, k.k) OPERATOR(pg_catalog.@@) 'Dog | !Dog' FROM keys k},
	matches => q{SELECT k, oss_labels.matches(k.b, k.k, 'Dog | !Dog') FROM keys k},
	albums_of => 'SELECT k, a::text FROM keys k, LATERAL oss_labels.albums_of(k.b, k.k) a',
	label_rarity => 'SELECT r::text FROM oss_labels.label_rarity() r',
	rarity_of_own => 'SELECT r::text FROM oss_labels.rarity_of_own() r',
	rank_images => q{SELECT r::text FROM oss_labels.rank_images('{Dog,Sky,Secret}', '{1,1,1}', NULL, 5, NULL, 100, NULL, NULL) r},
	related_images => 'SELECT k, r::text FROM keys k, LATERAL oss_labels.related_images(k.b, k.k, 5, max_likeness => NULL) r',
	images_for => q{SELECT r::text FROM oss_labels.images_for('{"Dog": 1, "Fog": 2, "Secret": 2}', 5) r},
	image_sparsevec => 'SELECT k, oss_labels.image_sparsevec(k.b, k.k) FROM keys k');

# Everything that a role reads, by the name of what it reads it from.
sub everything_of
{
	my ($role) = @_;
	my %read;
	my $keys = q{WITH keys (b, k) AS (VALUES ('alpha', 'own/1'), ('alpha', 'own/2'), ('beta', 'own/1'), ('alphabet', 'own/1'), ('beta', 'alpha/own/1')) };
	for my $relation (split /\n/, $test->sql("SELECT c.oid::regclass FROM pg_class c WHERE relnamespace = 'oss_labels'::regnamespace"
		  . " AND relkind IN ('r', 'v', 'm', 'f', 'p') AND has_table_privilege('$role', c.oid, 'SELECT') ORDER BY 1"))
	{
		$read{$relation} = as($role, qq{SELECT t::text COLLATE "C" FROM $relation t ORDER BY 1});
		$read{"count of $relation"} = as($role, "SELECT count(*) FROM $relation");
	}
	for my $function (split /\n/, $test->sql("SELECT DISTINCT p.proname FROM pg_proc p WHERE pronamespace = 'oss_labels'::regnamespace"
		  . " AND has_function_privilege('$role', p.oid, 'EXECUTE') ORDER BY 1"))
	{
		if (!defined $call{$function})
		{
			fail("$function() has a test here");
			next;
		}
		next if $call{$function} eq '';
		$read{"$function()"} = as($role, qq{$keys SELECT t::text COLLATE "C" FROM ($call{$function}) t ORDER BY 1});
	}
	return \%read;
}

store_alpha();
my %before = map { $_ => everything_of($_) } @limited, 'everything';
store_beta();
my $prefixed = everything_of('prefixed');
cmp_ok(scalar keys %$prefixed, '>', 30, 'a role reads many things');
is($prefixed->{$_}, $before{prefixed}{$_}, "prefixed, with others in the bucket: $_ is as without") for sort keys %$prefixed;

$test->sql("SELECT oss_labels.forget('alpha', 'other/1')");
for my $role (@limited)
{
	my $after = everything_of($role);
	is($after->{$_}, $before{$role}{$_}, "$role: $_ is as without others") for sort keys %$after;
	like($after->{'oss_labels.effective_label'}, qr/alpha,own\/1,,Hound/, "$role sees its own");
	like($after->{'search()'}, qr/alpha/, "$role finds its own");
	like($after->{'related_images()'}, qr/own\/2/, "$role has related images");
	like($after->{'albums_of()'}, qr/Dogs/, "$role has albums");
}
my $after = everything_of('everything');
my @same = grep { $after->{$_} eq $before{everything}{$_} } keys %$after;
is(join(' ', sort @same), join(' ', sort grep { /own_bucket|label_rule|label_alias|has_policy|reads_all|reading_scope/ } keys %$after),
	'who reads everything sees a difference everywhere');

# ---- nobody's views, prepared statements, definer's functions ----

$test->sql('GRANT SELECT ON oss_labels.image TO other');
like(refused('other', 'SELECT count(*) FROM oss_labels.image'), qr/42501/, 'SELECT alone is not enough where roles are limited');
is($test->sql(q{PREPARE p AS SELECT count(*) FROM oss_labels.label; EXECUTE p; SET ROLE bucketed; EXECUTE p; SET ROLE prefixed; EXECUTE p;
	RESET ROLE; EXECUTE p}), join("\n", $test->sql('SELECT count(*) FROM oss_labels.label'), 6, 6,
	$test->sql('SELECT count(*) FROM oss_labels.label')), 'a prepared statement reads as the role of the moment');
is($test->sql(q{SET plan_cache_mode = force_generic_plan; SELECT count(*) FROM oss_labels.search('Dog'); SET ROLE bucketed; SELECT count(*) FROM oss_labels.search('Dog');
	RESET ROLE; SELECT count(*) FROM oss_labels.search('Dog')}), "26\n2\n26", 'so does a function with plans of its own');
$test->sql(q{GRANT CREATE ON SCHEMA public TO bucketed; SET ROLE bucketed;
	CREATE FUNCTION public.of_bucketed() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM oss_labels.label';
	CREATE FUNCTION public.found() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM oss_labels.search(''!Nothing'')'});
is(as('beta', 'SELECT public.of_bucketed(), public.found()'), '6|3', 'a SECURITY DEFINER function reads as its owner');
is(as('everything', 'SELECT public.of_bucketed(), public.found()'), '6|3', 'also for who reads more');

# ---- what others may write ----

for my $sql (import_sql('alpha', 'own/1', 'Gun:Weapon:1'), import_sql('alpha', 'new', 'Gun:Weapon:1'),
	"SELECT oss_labels.forget('alpha', 'own/1')", "SELECT oss_labels.correct('alpha', 'own/1', 'Gun', true)",
	"SELECT oss_labels.forget('alpha', 'nothing here')")
{
	like(refused('beta', $sql), qr/42501.*\n.*grant_writing/, "another bucket: $sql");
}
is(as('bucketed', q{SELECT count(*) FROM oss_labels.label WHERE label_name = 'Gun'}), '0', 'nothing was written');
like(refused('bucketed', "SELECT oss_labels.forget('alpha', 'own/1')"), qr/42501/, 'who reads does not write');
is(as('beta', import_sql('beta', 'new', 'Gun:Weapon:1') . "SELECT oss_labels.correct('beta', 'new', 'Toy', true, corrected_by => 'bob');"
	  . "SELECT corrected_by, role FROM oss_labels.label_correction WHERE label_name = 'Toy'; SELECT oss_labels.forget('beta', 'new')"),
	"t\n\nbob|beta\nt", 'its own bucket: all of it');
$test->sql(q{GRANT EXECUTE ON FUNCTION oss_labels.import_labels, oss_labels.forget, oss_labels.correct, oss_labels.may_write TO policied});
is(as('policied', import_sql('alpha', 'hand', 'Gun:Weapon:1') . "SELECT oss_labels.forget('alpha', 'hand')"), "t\nt", 'a policy for all commands lets write');
like(refused('policied', import_sql('beta', 'hand', 'Gun:Weapon:1')), qr/42501: .*row-level security/, 'what it lets see');
is($test->sql("SELECT count(*) FROM oss_labels.image WHERE key = 'hand'"), '0', 'else all is undone');
like(refused('policied', import_sql('beta', 'own/2', 'Gun:Weapon:1')), qr/42501/, 'nor is a stored image replaced');
is(as('policied', "SELECT oss_labels.forget('beta', 'own/2')"), 'f', 'nor forgotten');
like(refused('policied', "SELECT oss_labels.correct('beta', 'own/2', 'Gun', true)"), qr/P0002/, 'nor corrected: it is not there');

# a policy on what an import changes
$test->sql("CREATE ROLE sourced; CALL oss_labels.grant_writing('sourced'); REVOKE EXECUTE ON FUNCTION oss_labels.may_write_all FROM sourced;"
	  . " CREATE POLICY sourced ON oss_labels.image TO sourced USING (source = 'sourced')");
my $sourced = "SELECT oss_labels.import_label_rows('alpha', '%s', '{Gun}', source => 'sourced', thr => 0);";
like(refused('sourced', sprintf $sourced, 'own/1'), qr/42501: labels of "oss:\/\/alpha\/own\/1" are hidden/, 'what a policy hides is not replaced by what it shows');
is(as('sourced', sprintf("$sourced $sourced", ('sourced') x 2) . "SELECT oss_labels.forget('alpha', 'sourced')"), "t\nt\nt", 'what it shows is');
$test->sql('DROP POLICY sourced ON oss_labels.image; DROP OWNED BY sourced; DROP ROLE sourced');

# ---- who said what ----

like(refused('beta', "INSERT INTO oss_labels.album (name, role) VALUES ('forged', 'bucketed')"), qr/42501/, 'an album in the name of another role');
like(refused('beta', "UPDATE oss_labels.album SET role = 'bucketed'"), qr/42501/, 'or given away');
is(as('beta', "WITH w AS (UPDATE oss_labels.album SET rule = NULL WHERE role::text <> 'beta' RETURNING 1) SELECT count(*) FROM w"), '0', "others' albums are out of reach");
is(as('beta', "WITH w AS (DELETE FROM oss_labels.album_pin WHERE role::text <> 'beta' RETURNING 1) SELECT count(*) FROM w"), '0', 'so are their pins');
my $album = $test->sql("SELECT album_id FROM oss_labels.album WHERE role::text = 'bucketed'");
like(refused('beta', "SELECT oss_labels.pin($album, 'beta', 'x')"), qr/42501/, "no pin in another's album");
is(as('beta', "SELECT oss_labels.pin(album_id, 'beta', 'own/1', false, 'bob') FROM oss_labels.album WHERE name = 'Plans';"
	  . "SELECT pinned_by, role FROM oss_labels.album_pin WHERE key = 'own/1' AND NOT pinned"), "\nbob|beta", 'a pin says which role it is of');
$test->sql('ALTER ROLE beta RENAME TO gamma; CREATE ROLE beta; GRANT group_of TO beta');
is(as('gamma', "SELECT count(*) FROM oss_labels.album"), '2', 'a renamed role keeps its albums');
is(as('beta', "SELECT count(*) FROM oss_labels.album; SELECT count(*) FROM oss_labels.label WHERE bucket = 'beta'"), "0\n0", 'a new one of that name has none');
is($test->sql("SELECT string_agg(DISTINCT role::text, ' ') FROM oss_labels.bucket_grant WHERE bucket = 'beta'"), 'gamma', 'nor its buckets');
$test->sql('ALTER TABLE oss_labels.image DISABLE ROW LEVEL SECURITY');
is($test->sql(q{SELECT count(*) FROM pg_class WHERE relnamespace = 'oss_labels'::regnamespace AND relrowsecurity}), '0', 'the other tables follow image');
$test->sql('GRANT USAGE ON SCHEMA oss_labels TO other; GRANT INSERT, UPDATE, SELECT ON oss_labels.album, oss_labels.album_pin, oss_labels.label_correction TO other;');
like(refused('other', "INSERT INTO oss_labels.album (name, role) VALUES ('forged', 'gamma')"), qr/42501: permission denied to write for role "gamma"/, 'nobody speaks for another without row security either');
like(refused('other', "UPDATE oss_labels.album_pin SET pinned = false WHERE role::text = 'gamma'"), qr/42501: permission denied to write for role "gamma"/, 'nor changes what he said');
$test->sql('GRANT DELETE ON oss_labels.album, oss_labels.album_pin, oss_labels.label_correction TO other; GRANT EXECUTE ON FUNCTION oss_labels.pin TO other');
like(refused('other', $_), qr/42501: permission denied to write for role "\w+"/, $_)
  for "UPDATE oss_labels.album SET role = 'other' WHERE role::text = 'gamma'", "UPDATE oss_labels.album SET rule = NULL WHERE role::text = 'gamma'",
  "DELETE FROM oss_labels.album WHERE role::text = 'gamma'", "DELETE FROM oss_labels.album_pin WHERE role::text = 'gamma'",
  "UPDATE oss_labels.album_pin SET pinned = false, role = 'other' WHERE role::text = 'gamma'", "DELETE FROM oss_labels.label_correction",
  "SELECT oss_labels.pin($album, 'beta', 'new')";
like(refused('other', "SELECT oss_labels.pin(4711, 'beta', 'new')"), qr/23503/, 'an album that does not exist is said to be none');
is(as('other', "INSERT INTO oss_labels.album (name) VALUES ('mine'); SELECT oss_labels.pin(album_id, 'beta', 'new'), oss_labels.pin(album_id, 'beta', 'new', false) FROM oss_labels.album WHERE name = 'mine';"
	  . "SELECT oss_labels.pin(album_id, 'beta', 'new', NULL) FROM oss_labels.album WHERE name = 'mine'; SELECT oss_labels.pin(album_id, 'beta', 'new') FROM oss_labels.album WHERE name = 'mine';"
	  . "DELETE FROM oss_labels.album WHERE name = 'mine'; SELECT count(*) FROM oss_labels.album_pin WHERE key = 'new'"), "|\n\n\n0", 'its own is its to pin, change and delete');
$test->sql("INSERT INTO oss_labels.album (name, role) VALUES ('shared', 'group_of'); GRANT EXECUTE ON FUNCTION oss_labels.pin TO group_of; GRANT INSERT, UPDATE, DELETE ON oss_labels.album, oss_labels.album_pin TO group_of; GRANT group_of TO other");
my $shared = "SELECT oss_labels.pin(album_id, 'beta', 'new', %s) FROM oss_labels.album WHERE name = 'shared'";
is(as('member', sprintf $shared, 'true') . as('other', sprintf $shared, 'false') . as('member', sprintf $shared, 'NULL'), '', 'who shares an album changes what another of them has pinned');
$test->sql("REVOKE group_of FROM other; DELETE FROM oss_labels.album WHERE name = 'shared'; ALTER TABLE oss_labels.image ENABLE ROW LEVEL SECURITY");

# ---- revoke ----

$test->sql("CALL oss_labels.grant_reading('gamma', 'alpha', 'own/')");
is(as('gamma', "SELECT count(*) FROM oss_labels.image WHERE bucket = 'alpha'"), '3', 'a second grant adds');
$test->sql("CALL oss_labels.revoke_reading('gamma', 'alpha')");
is(as('gamma', "SELECT count(*) FROM oss_labels.image WHERE bucket = 'alpha'; SELECT count(*) > 0 FROM oss_labels.image"), "0\nt", 'and is revoked alone');
$test->sql("CALL oss_labels.revoke_writing('gamma', 'beta')");
like(refused('gamma', "SELECT oss_labels.forget('beta', 'own/1')"), qr/42501/, 'writing is revoked');
is(as('gamma', 'SELECT count(*) > 0 FROM oss_labels.image'), 't', 'and reading remains');
$test->sql("CALL oss_labels.revoke_reading('gamma')");
like(refused('gamma', 'SELECT count(*) FROM oss_labels.image'), qr/42501/, 'all is revoked');
$test->sql("CALL oss_labels.grant_paying('gamma'); CALL oss_labels.revoke_paying('gamma'); CALL oss_labels.grant_priority('gamma'); CALL oss_labels.revoke_priority('gamma')");
is($test->sql(q{SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'oss_labels'::regnamespace AND relacl::text ~ 'gamma='
	UNION ALL SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'oss_labels'::regnamespace AND proacl::text ~ 'gamma=' ORDER BY 1}),
	"oss_labels.has_policy(boolean[],\"char\"[])\noss_labels.own_bucket_grant\noss_labels.reading_scope()\noss_labels.reads_all()",
	'nothing of what was granted is left but what tells a role its own grants');
$test->sql("CALL oss_labels.revoke_reading('everything'); CALL oss_labels.grant_reading('everything', 'alpha')");
is(as('everything', "SELECT count(*) FROM oss_labels.image"), '3', 'from everything to a bucket');
like($test->sql_error("CALL oss_labels.grant_reading('other', NULL, 'own/')"), qr/22023/, 'a prefix needs a bucket');
like($test->sql_error("CALL oss_labels.grant_reading('other', '$_')"), qr/22023.*HINT.*prefix/s, "$_ is no bucket")
  for 'alpha/own/', 'oss://alpha', 'Alpha', '';
like($test->sql_error("CALL oss_labels.grant_writing('other', 'alpha', '/own/')"), qr/22023.*HINT/s, 'a key has no slash first');
like(refused('bucketed', "CALL oss_labels.grant_reading('bucketed', 'beta')"), qr/42501/, 'nobody grants himself');

# ---- tag(): stored labels for who may read them, and no others ----

$test->sql("CALL oss_labels.grant_reading('$_', 'examplebucket', 'photos/'); CALL oss_labels.grant_paying('$_');"
	  . " GRANT USAGE ON FOREIGN SERVER oss TO $_;"
	  . " CREATE USER MAPPING FOR $_ SERVER oss OPTIONS (access_key_id 'testid', access_key_secret 'testsecret')") for 'bucketed';
my $tag = q{SELECT count(*) > 0 FROM oss_labels.tag('examplebucket', '%s', 0)};
my ($mine, $theirs) = map { sprintf $tag, $_ } 'photos/beach.jpg', 'example.jpg';
$test->sql("$mine; $theirs");
$oss->control('/reset?what=counters');
is(as('bucketed', $mine), 't', 'what it may read');
is($oss->count('label_requests'), 0, 'is given from the store');
my $stored = $test->sql('SELECT string_agg(i::text, chr(10) ORDER BY image_id) FROM oss_labels.image i');
is(as('bucketed', "$theirs; $theirs"), "t\nt", 'what it may not read');
is($oss->count('label_requests'), 2, 'is asked for, as if nothing was stored');
is($test->sql('SELECT string_agg(i::text, chr(10) ORDER BY image_id) FROM oss_labels.image i'), $stored, 'and not stored');
is(as('bucketed', q{SELECT count(*) > 0 FROM (VALUES ('photos/beach.jpg'), ('example.jpg')) v (k), LATERAL oss_labels.tag('examplebucket', k, 0)}), 't', 'so in a pipeline');
is($oss->count('label_requests'), 3, 'one request');
is($test->sql('SELECT string_agg(i::text, chr(10) ORDER BY image_id) FROM oss_labels.image i'), $stored, 'and nothing stored');
is(as('bucketed', sprintf "$tag; $tag", ('photos/cat.png') x 2), "t\nt", 'its own');
is($oss->count('label_requests'), 4, 'is stored, and found again');
is(as('bucketed', "SELECT count(*) FROM oss_labels.image WHERE key = 'photos/cat.png'"), '1', 'for it to read');

$test->sql("CREATE ROLE payer; CALL oss_labels.grant_paying('payer'); GRANT USAGE ON FOREIGN SERVER oss TO payer;"
	  . " CREATE USER MAPPING FOR payer SERVER oss OPTIONS (access_key_id 'testid', access_key_secret 'testsecret')");
is(as('payer', sprintf $tag, 'photos/garden.png'), 't', 'who only pays');
is($oss->count('label_requests'), 5, 'asks');
is($test->sql("SELECT count(*) FROM oss_labels.image WHERE key = 'photos/garden.png'"), '1', 'and what he has got is stored: he is not limited');
is(as('payer', sprintf $tag, 'photos/garden.png'), 't', 'a second time');
is($oss->count('label_requests'), 6, 'he asks again');

# ---- by index ----

$test->sql(q{
	INSERT INTO oss_labels.image (image_id, bucket, key, thr, tagged_at, label_count, response)
		SELECT oss_labels.image_id(b, 'many/' || i), b, 'many/' || i, 0, now(), 1, '{}' FROM generate_series(1, 5000) i, unnest('{alpha,beta}'::text[]) b;
	INSERT INTO oss_labels.image_label SELECT i.image_id, v.label_id, 0.4, 0.5 FROM oss_labels.image i, oss_labels.vocabulary v
		WHERE i.key LIKE 'many/%' AND v.label_name IN ('Dog', 'Cat', 'Sky');
	ANALYZE oss_labels.image, oss_labels.image_label, oss_labels.vocabulary});
for my $view (qw(label effective_label))
{
	my $plan = as('bucketed', "EXPLAIN (COSTS OFF) SELECT label_name FROM oss_labels.$view WHERE bucket = 'alpha' AND key = 'many/77'");
	like($plan, qr/Index.* on image_label/, "$view: labels of one image by index");
	unlike($plan, qr/Seq Scan on (image|image_label)\b/, 'and nothing else of these tables');
}
is(as('bucketed', "SELECT string_agg(bucket || key, ' ' ORDER BY score DESC) FROM oss_labels.search('Dog', 2)"), 'alphaown/1 alphaown/2', 'search cuts before it ranks');

# what is recommended does not depend on how many images others have
$test->sql(q{CREATE ROLE fan; CALL oss_labels.grant_reading('fan', 'gallery'); SELECT setseed(0.5);
	SELECT oss_labels.import_label_set('gallery', 'g' || i, names, NULL, NULL, 'test') FROM (SELECT i, array_agg(DISTINCT 'L' || (1 + floor(random() * 40))::int) AS names
		FROM generate_series(1, 2000) i, generate_series(1, 10) j GROUP BY i) s});
my $liked = q{SELECT g, r.key, r.score FROM generate_series(1, 20) g, LATERAL oss_labels.related_images('gallery', 'g' || g, 20, max_likeness => NULL) r ORDER BY 1, 3 DESC, 2};
my $alone = as('fan', $liked);
$test->sql("UPDATE pg_class SET reltuples = reltuples * 30 WHERE oid = 'oss_labels.image'::regclass");
is(as('fan', $liked), $alone, "others' images change no recommendation");
$test->sql("ANALYZE oss_labels.image; SELECT count(oss_labels.forget(bucket, key)) FROM oss_labels.image WHERE bucket = 'gallery'");

# ---- bucket and prefix as arguments ----

for my $query ('Dog', '!Dog', 'Cat & !Sky', 'parent:Animal:0.55', 'Hound | Dog:0.6', 'Secret')
{
	for my $scope ([ 'alpha', '' ], [ 'alpha', 'own/' ], [ 'beta', 'many/1' ], [ undef, 'own/' ], [ 'nowhere', '' ])
	{
		my ($bucket, $prefix) = @$scope;
		my $arguments = (defined $bucket ? "'$bucket'" : 'NULL') . ", '$prefix'";
		my $where = "starts_with(key, '$prefix')" . (defined $bucket ? " AND bucket = '$bucket'" : '');
		my $first = 'ORDER BY score DESC NULLS LAST, image_id LIMIT 7';
		is($test->sql("SELECT * FROM oss_labels.search('$query', 7, $arguments) $first"),
			$test->sql("SELECT * FROM oss_labels.search('$query') WHERE $where $first"), "search($query, $arguments)");
	}
}
for my $call ("related_images('alpha', 'own/1', 2, max_likeness => NULL, in_bucket => %s, prefix => %s)",
	q{images_for('{"Dog": 1, "Sky": 0.3}', 2, max_likeness => NULL, bucket => %s, prefix => %s)})
{
	for my $scope ([ q{'alpha'}, 'NULL' ], [ q{'alpha'}, q{'own/'} ], [ q{'beta'}, q{'own/'} ], [ 'NULL', q{'own/'} ])
	{
		my ($bucket, $prefix) = @$scope;
		my $cut = sprintf $call, @$scope;
		my $whole = sprintf($call, 'NULL', 'NULL') =~ s/, 2, /, 20000, /r;
		is($test->sql("SELECT bucket, split_part(key, '/', 1), round(score::numeric, 9) FROM oss_labels.$cut"), $test->sql("SELECT bucket, split_part(key, '/', 1), round(score::numeric, 9) FROM oss_labels.$whole"
			  . " WHERE coalesce(bucket = $bucket, true) AND coalesce(starts_with(key, $prefix), true) LIMIT 2"), "$cut cuts before it ranks");
	}
}
is($test->sql("SELECT count(*) FROM oss_labels.search('Dog', NULL, 'al''pha', E'\\\\')"), '0', 'names are quoted');

done_testing;
