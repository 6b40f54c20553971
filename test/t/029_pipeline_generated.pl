# Queries made up at random, with the pipeline and without: the same rows, the
# same errors, and with it no more requests.
#
# Each run of a query has a bucket of its own, so that the stand-in counts its
# requests apart.  PIPELINE_SEED=n tries others; a failure prints the query.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use lib 'test/perl';
use OssServer;

my $queries = $ENV{PIPELINE_QUERIES} // 300;
my $seed = $ENV{PIPELINE_SEED} // 20;
my $oss = OssServer->new;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;
$node->safe_psql('postgres', <<SQL);
CREATE EXTENSION oss_labels;
CREATE SERVER oss FOREIGN DATA WRAPPER oss_labels
	OPTIONS (region 'cn-hangzhou', endpoint '@{[ $oss->http_endpoint ]}', max_attempts '1');
CREATE USER MAPPING FOR CURRENT_USER SERVER oss
	OPTIONS (access_key_id 'testid', access_key_secret 'testsecret');
CREATE TABLE photo (id integer PRIMARY KEY, key text, thr float8, kind text, other integer);
INSERT INTO photo
	SELECT i, CASE WHEN i % 11 = 5 THEN NULL WHEN i % 7 = 3 THEN 'same' ELSE 'p' || i END || '.jpg',
		CASE WHEN i % 3 = 0 THEN i / 100.0 END, 'kind' || i % 4, i * 7 % 40
	FROM generate_series(1, 40) i;
ANALYZE photo;
-- What a query returns, in any order, or how it fails
CREATE FUNCTION outcome(query text) RETURNS text LANGUAGE plpgsql AS
\$\$
DECLARE
	rows text;
BEGIN
	EXECUTE 'SELECT count(*) || '' '' || coalesce(md5(string_agg(t::text, '';'' ORDER BY t::text)), '''') FROM ('
		|| query || ') t' INTO rows;
	RETURN rows;
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || ' ' || replace(SQLERRM, current_setting('test.bucket'), 'B');
END
\$\$;
SQL

sub any { return $_[ int rand @_ ] }
sub chance { return rand() < $_[0] }

# An outer side: an alias p with columns id, key, thr, kind, other.  Where a
# call may fail its order must be certain, for the first error ends the query.
sub outer
{
	my ($may_fail) = @_;
	my $n = any(1, 3, 10, 25);
	return any('photo p', "(SELECT * FROM photo ORDER BY id DESC LIMIT 2 * $n) p",
		"generate_series(1, 40) g (id), LATERAL (SELECT * FROM photo WHERE id = g.id OFFSET 0) p")
	  if $may_fail;
	return any(
		'photo p',
		'photo p',
		"(SELECT * FROM photo WHERE id <= $n) p",
		"(SELECT * FROM photo ORDER BY id DESC LIMIT $n) p",
		"(SELECT * FROM photo OFFSET 5) p",
		"(SELECT DISTINCT ON (kind) * FROM photo ORDER BY kind, id) p",
		"photo q JOIN photo p ON p.id = q.other",
		"photo q LEFT JOIN photo p ON p.id = q.other + $n",
		"generate_series(1, $n) g JOIN photo p ON p.other = g",
		"generate_series(1, 2) g CROSS JOIN photo p",
		"(SELECT max(id) AS id, min(key) AS key, min(thr) AS thr, kind, max(other) AS other FROM photo GROUP BY kind) p",
		"unnest(ARRAY[1, 2, 2, NULL]) WITH ORDINALITY u (i, n) LEFT JOIN photo p ON p.id = u.i",
		"(VALUES (1, 'v1.jpg', 0.5::float8, 'kind1', 3), (2, NULL, NULL, 'kind0', 4)) p (id, key, thr, kind, other)",
		"(SELECT * FROM photo WHERE id < 4 UNION ALL SELECT * FROM photo WHERE id > 36) p",
		"(WITH w AS MATERIALIZED (SELECT * FROM photo WHERE id > $n) SELECT * FROM w) p");
}

# Arguments of a call.
sub arguments
{
	my ($p, $may_fail) = @_;
	my @keys = ("$p.key", "$p.key", "$p.key", "coalesce($p.key, 'none.jpg')", "$p.key || ''",
		"lower($p.key)", "CASE WHEN $p.id % 2 = 0 THEN $p.key END", "left($p.key, 2) || '.jpg'",
		"$p.kind || '.jpg'", "concat($p.kind, '.jpg')");
	push @keys, "CASE WHEN $p.id = 12 THEN '' ELSE $p.key END", "(100 / ($p.id - 9)) || '.jpg'",
	  "CASE WHEN $p.id = 8 THEN 'missing.jpg' ELSE $p.key END"
	  if $may_fail;
	my @thrs = ('', '', '', ', thr => 0.5', ", thr => $p.thr", ", thr => $p.id / 100.0");
	push @thrs, ", thr => $p.id / 30.0" if $may_fail;
	return "current_setting('test.bucket'), " . any(@keys) . any(@thrs)
	  if chance(0.3);
	return "':BUCKET:', " . any(@keys) . any(@thrs);
}

# A condition on labels, or sometimes on the outer side.
sub condition
{
	my ($l, $may_fail) = @_;
	return any("$l.label_confidence > 0.9", "$l.label_level = 2") if $may_fail;
	return any("$l.label_confidence > 0.9", "$l.label_level = 2", "$l.label_name > 'M'",
		"$l.label_name IS NOT NULL", "length($l.label_name) > 5", "$l.raw ->> 'LabelName' < 'T'",
		"p.id % 3 = 0", "p.thr IS NULL", "$l.label_level <> p.other", "p.id > 5 AND $l.label_level = 2");
}

# A query, and whether it may stop early.
sub query
{
	my $may_fail = chance(0.25);
	my $function = any('detect', 'detect', 'try_detect');
	my $from = outer($may_fail);
	my @select = ('p.id', any('l.label_name', 'l.raw', 'l.label_name, l.label_confidence', 'l', 'to_jsonb(l) - \'request_id\' AS j'));
	my @where;
	my $limited = 0;

	@select = ('p.id', 'l.label_name', 'l.error_code', 'l.http_status') if $function eq 'try_detect';
	my $call = "oss_labels.$function(" . arguments('p', $may_fail) . ')';
	my $label = condition('l', $may_fail);
	my $shape = rand;
	if ($shape < 0.35)
	{
		$from .= " LEFT JOIN LATERAL $call l ON " . any('true', $label, $label, $may_fail ? 'true' : 'p.id % 2 = 0');
		push @where, 'l.label_name IS NULL' if !$may_fail && chance(0.3);
	}
	elsif ($shape < 0.42)
	{
		@select = ('p.id', "(SELECT count(*) FROM $call l) AS n");
	}
	elsif ($shape < 0.5)
	{
		@select = ('p.id');
		push @where, "EXISTS (SELECT FROM $call l WHERE l.label_level = 2)";
	}
	else
	{
		$from .= any(" CROSS JOIN LATERAL $call l", " JOIN LATERAL $call l ON $label");
		if (!$may_fail && chance(0.25))
		{
			my $key = any("p.key", "l.label_name || '.jpg'", "p.kind");
			my $second = "oss_labels.try_detect(':BUCKET:', $key)";
			$from .= any(" CROSS JOIN LATERAL $second m", " LEFT JOIN LATERAL $second m ON m.label_level = 2");
			push @select, 'm.label_name AS second';
		}
		elsif (!$may_fail && chance(0.1))
		{
			$from .= ' JOIN photo s ON s.id = p.other';
			push @where, 'l.label_name > s.kind';
		}
	}
	push @where, any('p.id < 12', "p.kind = 'kind1'", 'p.id % 5 = 1', "p.key LIKE 'p%'")
	  if !$may_fail && chance(0.5);
	push @where, $label if chance(0.3) && $from =~ /LATERAL oss/;

	my $query = 'SELECT ' . join(', ', @select) . " FROM $from";
	$query .= ' WHERE ' . join ' AND ', @where if @where;
	if (!$may_fail && chance(0.2) && "@select" !~ /\bsecond\b|\bl\b(?!\.)|\bn\b/)
	{
		# a LIMIT whose rows are certain, whatever the plan
		my $n = any(1, 5, 20);
		my $names = join ', ', 1 .. scalar split /, /, join ', ', @select;
		$query .= " ORDER BY $names LIMIT $n" if chance(0.5);
		$query = "SELECT count(*) FROM ($query" . ($query =~ /LIMIT \d+$/ ? '' : " LIMIT $n") . ') x';
		$limited = 1;
	}
	elsif (!$may_fail && chance(0.15))
	{
		$query = any("WITH w AS MATERIALIZED ($query) SELECT * FROM w",
			"SELECT g, x.* FROM generate_series(1, 2) g, LATERAL ($query OFFSET g) x WHERE g < 0",
			"SELECT x.id, count(*) FROM ($query) x GROUP BY x.id",
			"SELECT * FROM ($query) x ORDER BY 1");
	}
	return ($query, $limited);
}

srand $seed;
my @queries = map { [ query() ] } 1 .. $queries;
my @runs = map { my $n = $_; map { [ $n, $_, sprintf 'q%03d-%s', $n, $_ ] } qw(off on) } 0 .. $#queries;
for my $run (@runs)
{
	$oss->control("/bucket?name=$run->[2]&image=examplebucket/example.jpg&labels=3");
}
$oss->control('/fault?status=404&code=NoSuchKey&key=missing.jpg');
$oss->control('/fault?delay=0-3');

my $script = "SET oss_labels.concurrency = 8;\n";
for my $run (@runs)
{
	my ($n, $mode, $bucket) = @$run;
	my $sql = $queries[$n][0] =~ s/:BUCKET:/$bucket/gr;
	$script .= "SET oss_labels.pipeline = $mode; SET test.bucket = '$bucket';\n"
	  . "SELECT outcome(\$q\$$sql\$q\$);\n"
	  . "SELECT count(*) FROM (SELECT 1) x;\n";
}
my ($out, $err);
my $status = $node->psql('postgres', $script, stdout => \$out, stderr => \$err, on_error_stop => 0);
is($status, 0, 'the session goes on to the end') or diag $err;
my @outcomes = grep { $_ ne '1' } split /\n/, $out;
my %count = map { split ' ' } split /\n/, $oss->control('/counters');

my ($piped, $errors, $rows) = (0, 0, 0);
for my $n (0 .. $#queries)
{
	my ($query, $limited) = @{ $queries[$n] };
	my ($off, $on) = @outcomes[ 2 * $n, 2 * $n + 1 ];
	my ($requests_off, $requests_on) = map { $count{ sprintf 'bucket_q%03d-%s', $n, $_ } // 0 } qw(off on);
	# what stops early, at a LIMIT or an error, may have begun one round more
	my $most = $limited || $off =~ /^[0-9A-Z]{5} / ? 2 * $requests_off + 1 : $requests_off;

	ok($on eq $off && $requests_on <= $most, "query $n")
	  or diag "$query\noff: $off, $requests_off requests\non:  $on, $requests_on requests";
	$errors++ if $off =~ /^[0-9A-Z]{5} /;
	$rows++ if $off =~ /^[1-9][0-9]* /;
	$piped++ if $requests_on < $requests_off;
}
# the generator is worth something only if its queries do something
cmp_ok($rows, '>=', $queries / 2, "$rows queries return rows");
cmp_ok($errors, '>=', $queries / 60, "$errors queries fail");
cmp_ok($piped, '>=', $queries / 20, "$piped queries need fewer requests");

# and if the planner pipelines most of them
my $explain = join '', map { "EXPLAIN $_->[0];\n" } @queries;
$explain =~ s/:BUCKET:/bucket/g;
$node->psql('postgres', "SET test.bucket = 'bucket';\n$explain",
	stdout => \$out, stderr => \$err, on_error_stop => 0);
my $nodes = () = $out =~ /OSS Labels Pipeline/g;
cmp_ok($nodes, '>=', $queries * 0.7, "$nodes pipelines in $queries queries");

$node->stop;
$oss->stop;
done_testing();
