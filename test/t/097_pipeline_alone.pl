# What is made one at a time says so: EXPLAIN in a NOTICE, a query in a WARNING; and
# statements other than those of t/096_pipeline_forms.pl, such as UPDATE, that have
# many in flight do not.
#
# Each run has a bucket of its own, whose requests the stand-in counts apart.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use lib 'test/perl';
use OssTest;

my $t = OssTest->new(conf => "shared_preload_libraries = 'oss_labels'\noss_labels.concurrency = 16\n");
my $oss = $t->{oss};
my $delay = 60 * OssServer::patience();

$t->ok(<<'SQL');
CREATE TABLE photo (id integer PRIMARY KEY, key text, kind text, labels text[], note text);
INSERT INTO photo (id, key, kind) SELECT i, 'p' || i || '.jpg', 'kind' || i % 4 FROM generate_series(1, 20) i;
CREATE TABLE many AS SELECT i AS id, 'm' || i || '.jpg' AS key FROM generate_series(1, 1000) i;
ANALYZE photo;
ANALYZE many;

CREATE FUNCTION bucket() RETURNS text STABLE LANGUAGE sql RETURN current_setting('test.bucket');
CREATE VIEW photo_labels AS SELECT p.*,
	(SELECT array_agg(l.label_name) FROM oss_labels.detect(bucket(), p.key) l) AS names FROM photo p;
SQL

# A query for each form; P is the table, F a call of detect() up to its key, B the
# bucket.  "all": it needs all rows for the first one; "write": it has no LIMIT.
my @forms = (
	[ 'one row per image', 'SELECT p.id, s.names FROM P p, LATERAL (SELECT array_agg(l.label_name) AS names FROM F, p.key) l) s' ],
	[ 'UPDATE', 'UPDATE P p SET labels = (SELECT array_agg(l.label_name) FROM F, p.key) l)', 'write' ],
	[ 'UPDATE RETURNING', 'UPDATE P p SET labels = ARRAY(SELECT l.label_name FROM F, p.key) l) RETURNING p.id', 'write' ],
	[ 'UPDATE FROM', 'UPDATE P p SET labels = s.names FROM P q, LATERAL (SELECT array_agg(l.label_name) AS names FROM F, q.key) l) s WHERE p.id = q.id', 'write' ],
	[ 'INSERT SELECT', 'INSERT INTO photo (id, labels) SELECT p.id + 100, ARRAY(SELECT l.label_name FROM F, p.key) l) FROM P p', 'write' ],
	[ 'detect_json in UPDATE', q{UPDATE P p SET note = detect_json(B, p.key) ->> 'RequestId'}, 'write' ],
	[ 'a view with a sub-select', 'SELECT v.id, v.names FROM photo_labels v', 'all' ],
	[ 'in a CTE', 'WITH w AS MATERIALIZED (SELECT p.id, (SELECT count(*) FROM F, p.key) l) AS n FROM P p) SELECT * FROM w', 'all' ],
	[ 'UNION ALL', 'SELECT p.id, ARRAY(SELECT l.label_name FROM F, p.key) l) FROM P p WHERE p.id <= 20 UNION ALL SELECT p.id, ARRAY(SELECT l.label_name FROM F, p.key) l) FROM P p WHERE p.id > 20' ],
	[ 'a window function', 'SELECT p.id, row_number() OVER (ORDER BY p.id), s.n FROM P p, LATERAL (SELECT count(*) AS n FROM F, p.key) l) s', 'all' ],
	[ 'the select list of an aggregate', 'SELECT p.kind, sum((SELECT count(*) FROM F, p.key) l)) FROM P p GROUP BY p.kind', 'all' ],
	[ 'two calls', 'SELECT p.id, (SELECT count(*) FROM F, p.key) l), ARRAY(SELECT l.label_name FROM F, p.key) l) FROM P p' ],
	[ 'FOR UPDATE', 'SELECT p.id, (SELECT count(*) FROM F, p.key) l) FROM P p FOR UPDATE', 'all' ],
	[ 'object_info', 'SELECT p.id, o.size FROM P p, LATERAL (SELECT max(i.size) AS size FROM object_info(B, p.key) i) o', 'head' ],
);

# Complete a query.
sub complete
{
	my ($query, $table) = @_;
	$query =~ s/\bP (?=[a-z]\b)/$table /g;
	$query =~ s/\bF, /oss_labels.detect(bucket(), /g;
	$query =~ s/\b(detect_json|try_detect|try_tag|tag|object_info)\(B, /oss_labels.$1(bucket(), /g;
	return $query;
}

sub slug { return $_[0] =~ s/[^a-z]+/-/gir =~ s/^-|-$//gr }

# Make a bucket for a run, in which every key exists.
sub bucket_of
{
	my ($form, $what) = @_;
	my $bucket = lc(slug("$form->[0] $what"));
	$oss->set('bucket', name => $bucket, image => 'examplebucket/example.jpg', labels => 3);
	return $bucket;
}

# Run a script for each form, some at a time; return what each wrote.
sub run_all
{
	my ($what, $script, @of) = @_;
	my %result;
	my @left = map { [ $_, bucket_of($_, $what) ] } @of;
	while (my @some = splice @left, 0, 6)
	{
		my @runs = map { [ @$_, $t->begin("SET test.bucket = '$_->[1]';\n" . $script->($_->[0])) ] } @some;
		for my $run (@runs)
		{
			my ($form, $bucket, $session) = @$run;
			my ($out, $err) = $t->finish($session);
			$result{ $form->[0] } = { out => $out, err => $err, bucket => $bucket };
		}
	}
	$oss->wait_count(in_flight => 0);
	$_->{tally} = $oss->tally(bucket => $_->{bucket}) for values %result;
	return \%result;
}

sub is_written { return ($_[0][2] // '') eq 'write' }
sub is_head { return ($_[0][2] // '') eq 'head' }

# ---- everything: the rows of the ordinary plan, a request for each image, many at once ----

sub everything
{
	my ($form, $mode) = @_;
	my $query = complete($form->[1], 'photo');
	return "SET oss_labels.pipeline = $mode;\nBEGIN;\n$query;\nROLLBACK;\n";
}

# What a query prints, without what is new in each answer.
sub rows
{
	my ($result) = @_;
	return join "\n", sort split /\n/, $result->{out} =~ s/"RequestId": "[^"]*"//gr;
}

my $off = run_all('off', sub { everything($_[0], 'off') }, @forms);
$oss->fault(kind => 'delay', delay => $delay, scope => 'any');
my $on = run_all('on', sub { everything($_[0], 'on') }, @forms);
for my $form (@forms)
{
	my ($with, $without) = ($on->{ $form->[0] }, $off->{ $form->[0] });
	my $requests = is_head($form) ? 'head_requests' : 'label_requests';

	is($without->{err} . $with->{err}, '', "$form->[0]: no error");
	is(rows($with), rows($without), "$form->[0]: rows");
	is($with->{tally}{$requests}, 20, "$form->[0]: one request for each image");
	cmp_ok($with->{tally}{label_most_in_flight}, '>=', 8, "$form->[0]: many in flight") if !is_head($form);
}
# HEADs in flight are not counted by bucket
for my $form (grep { is_head($_) } @forms)
{
	$oss->control('/reset?what=counters');
	run_all('alone', sub { everything($_[0], 'on') }, $form);
	cmp_ok($oss->count('most_in_flight'), '>=', 8, "$form->[0]: many in flight");
}

# ---- with LIMIT 10: at most 21 requests ----

my @limited = grep { !$_->[2] || is_head($_) } @forms;
my $limit = run_all('limit', sub {
	my ($form) = @_;
	my $query = complete($form->[1], 'many');
	return "SET cursor_tuple_fraction = 1;\nBEGIN;\nDECLARE c CURSOR FOR $query;\n"
	  . "FETCH 10 FROM c;\nROLLBACK;\n";
}, @limited);
for my $form (@limited)
{
	my $with = $limit->{ $form->[0] };
	my $requests = $with->{tally}{ is_head($form) ? 'head_requests' : 'label_requests' };

	is(scalar(split /\n/, $with->{out}), 10, "$form->[0]: ten rows") or diag $with->{err};
	cmp_ok($requests, '<=', 21, "$form->[0]: $requests requests for them");
}

# ---- what is made one at a time says so ----

$t->ok(<<'SQL');
CREATE FUNCTION slow_labels(key text) RETURNS text[] LANGUAGE plpgsql
	AS $$BEGIN RETURN ARRAY(SELECT l.label_name FROM oss_labels.detect(bucket(), $1) l); END$$;
CREATE FUNCTION loop_labels() RETURNS void LANGUAGE plpgsql
	AS $$DECLARE k text; BEGIN FOR k IN SELECT key FROM photo LOOP PERFORM FROM oss_labels.detect(bucket(), k); END LOOP; END$$;
SQL

# Forms, and the function of which EXPLAIN says so.
my @alone = (
	[ 'in a CASE', 'SELECT p.id, CASE WHEN p.id > 0 THEN (SELECT count(*) FROM F, p.key) l) END FROM photo p', 'detect' ],
	[ 'in a COALESCE', 'SELECT p.id, coalesce(p.labels, ARRAY(SELECT l.label_name FROM F, p.key) l)) FROM photo p', 'detect' ],
	[ 'behind OR', 'SELECT p.id FROM photo p WHERE p.id < 0 OR EXISTS (SELECT FROM try_detect(B, p.key) l)', 'try_detect' ],
	[ 'in a CASE of a value', 'SELECT CASE WHEN p.id > 0 THEN detect_json(B, p.key) END FROM photo p', 'detect_json' ],
	[ 'with an argument that is a sub-select', 'SELECT p.id, l.label_name FROM photo p, LATERAL F, (SELECT max(q.key) FROM photo q WHERE q.id = p.id)) l', 'detect' ],
	[ 'tag in a CASE', 'SELECT CASE WHEN p.id > 0 THEN (SELECT count(*) FROM tag(B, p.key) l) END FROM photo p', 'tag' ],
	[ 'HEAD requests in a CASE', 'SELECT CASE WHEN p.id > 0 THEN (SELECT o.size FROM object_info(B, p.key) o) END FROM photo p', 'object_info' ],
	[ 'in a PL pgSQL function', 'SELECT slow_labels(p.key) FROM photo p' ],
	[ 'in a sub-select that reads one image for each row', 'SELECT q.id, (SELECT count(*) FROM photo p, LATERAL F, p.key) l WHERE p.id = q.id) FROM (SELECT id FROM photo UNION ALL SELECT 0) q', 'detect', 'no notice' ],
	[ 'in a loop of a function', 'SELECT loop_labels()' ],
);
my $said = qr/WARNING: .*: 20 requests of this query were made one at a time\n.*last is one of oss_labels\.(\w+)\(\)\.\nHINT: /;
my $notice = qr/NOTICE: .*: requests of oss_labels\.(\w+)\(\) are made one at a time in this plan\nHINT: /;

sub said { my ($result) = @_; my @functions = $result->{err} =~ /$said/g; return "@functions" }

my $warned = run_all('warn', sub { complete($_[0][1], 'photo') . ";\n" }, @alone);
my $explained = run_all('explain', sub { 'EXPLAIN ' . complete($_[0][1], 'photo') . ";\n" }, @alone);
for my $form (@alone)
{
	is(said($warned->{ $form->[0] }), $form->[2] // 'detect', "$form->[0]: says so, once");
	my @functions = $explained->{ $form->[0] }{err} =~ /$notice/g;
	is("@functions", $form->[3] ? '' : $form->[2] // '', "$form->[0]: EXPLAIN says so before");
	is($explained->{ $form->[0] }{tally}{requests}, 0, "$form->[0]: without a request");
}

# Rows of which each costs a request made alone are not read far ahead.
my $ahead = run_all('ahead', sub { "SELECT p.id, l.label_name, m.n FROM many p"
	  . " CROSS JOIN LATERAL oss_labels.detect(bucket(), (SELECT max(q.key) FROM many q WHERE q.id = p.id)) l"
	  . " CROSS JOIN LATERAL (SELECT count(*) AS n FROM oss_labels.detect(bucket(), 'same' || p.id % 2 || l.label_level * 0)) m LIMIT 10;\n" },
	$alone[0])->{ $alone[0][0] };
is(scalar(split /\n/, $ahead->{out}), 10, 'rows that cost a request each: ten of them') or diag $ahead->{err};
cmp_ok($ahead->{tally}{requests}, '<=', 2 * (4 + 2) + 2, "$ahead->{tally}{requests} requests for ten rows of six images");

# What must not say so, nor fail: the statements, and the words
my $case = $alone[0];
for my $quiet (
	[ '19 calls', sub { complete($_[0][1], 'photo') . " WHERE p.id <> 7;\n" }, '' ],
	[ 'another query', sub { (complete($_[0][1], 'photo') . " WHERE p.id < 15;\n") x 2 }, '' ],
	[ 'twice', sub { (complete($_[0][1], 'photo') . ";\n") x 2 }, 'detect detect' ],
	[ 'a cursor', sub { "BEGIN;\nDECLARE c CURSOR FOR " . complete($_[0][1], 'photo') . ";\n" . "FETCH 4 FROM c;\n" x 6 }, 'detect' ],
	[ 'two cursors', sub { "BEGIN;\n" . join('', map { "DECLARE c$_ CURSOR FOR " . complete($case->[1], 'photo') . ";\n" } 1, 2)
			  . "FETCH 4 FROM c1;\nFETCH 5 FROM c2;\n" x 6 }, 'detect detect' ],
	[ 'no pipeline', sub { "SET oss_labels.pipeline = off;\n" . complete($_[0][1], 'photo') . ";\n" }, '' ],
	[ 'nothing below errors', sub { "SET client_min_messages = error;\n" . complete($_[0][1], 'photo') . ";\n" }, '' ],
	[ 'a loop of queries', sub { "DO \$\$DECLARE k text; BEGIN FOR k IN SELECT key FROM photo LOOP PERFORM FROM oss_labels.detect(bucket(), k); END LOOP; END\$\$;\n" }, '' ],
	[ 'stored images', sub { my $tag = "SELECT count(*) FROM photo p, LATERAL oss_labels.tag(bucket(), p.key) l;\n";
			$tag . "SELECT CASE WHEN p.id > 0 THEN (SELECT count(*) FROM oss_labels.tag(bucket(), p.key) l) END FROM photo p;\n" }, '' ])
{
	my $result = run_all("quiet $quiet->[0]", $quiet->[1], $case)->{ $case->[0] };
	is(said($result), $quiet->[2], "$quiet->[0]: " . ($quiet->[2] ? 'each query says so' : 'says nothing'));
	unlike($result->{err}, qr/ERROR/, "$quiet->[0]: no error");
}

done_testing();
