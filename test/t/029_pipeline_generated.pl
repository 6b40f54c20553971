# Queries made up at random, in all the forms in which people write them, with the
# pipeline and without: the same rows, the same error after the same rows, and with it
# no more requests, or where a query ends early at most 2 x used + 1.
#
# Each run of a query has a bucket of its own, so that the stand-in counts its
# requests apart.  PIPELINE_SEED=n tries others, PIPELINE_QUERIES=n so many; a failure
# prints both and the query.

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use lib 'test/perl';
use OssTest;

my $queries = $ENV{PIPELINE_QUERIES} // ($ENV{OSS_TEST_LONG} ? 4000 : 300);
my $seed = $ENV{PIPELINE_SEED} // 20;
my $t = OssTest->new(conf => "oss_labels.worker = off\n");
my $oss = $t->{oss};

$t->server(max_attempts => '1');
$t->ok(<<SQL);
CREATE TABLE photo (id integer PRIMARY KEY, key text, thr float8, kind text, other integer, note text);
INSERT INTO photo
	SELECT i, CASE WHEN i % 11 = 5 THEN NULL WHEN i % 7 = 3 THEN 'same' ELSE 'p' || i END || '.jpg',
		CASE WHEN i % 3 = 0 THEN i / 100.0 END, 'kind' || i % 4, i * 7 % 24
	FROM generate_series(1, 24) i;
CREATE TABLE parts (LIKE photo) PARTITION BY RANGE (id);
CREATE TABLE part1 PARTITION OF parts FOR VALUES FROM (MINVALUE) TO (12);
CREATE TABLE part2 PARTITION OF parts FOR VALUES FROM (12) TO (MAXVALUE);
INSERT INTO parts SELECT * FROM photo;
ANALYZE photo, parts;

-- Wrappers of one call
CREATE FUNCTION wrap_stable(bucket text, key text) RETURNS TABLE (label_name text, label_level integer, label_confidence float8)
	STABLE LANGUAGE sql AS 'SELECT l.label_name, l.label_level, l.label_confidence FROM oss_labels.detect(\$1, \$2) l';
CREATE FUNCTION wrap_volatile(bucket text, key text) RETURNS TABLE (label_name text, label_level integer, label_confidence float8)
	VOLATILE LANGUAGE sql AS 'SELECT l.label_name, l.label_level, l.label_confidence FROM oss_labels.detect(\$1, \$2) l';
CREATE FUNCTION wrap_definer(bucket text, key text) RETURNS TABLE (label_name text, label_level integer, label_confidence float8)
	SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	LANGUAGE sql AS 'SELECT l.label_name, l.label_level, l.label_confidence FROM oss_labels.try_detect(\$1, \$2) l';
CREATE FUNCTION wrap_plpgsql(bucket text, key text) RETURNS TABLE (label_name text, label_level integer, label_confidence float8)
	LANGUAGE plpgsql AS 'BEGIN RETURN QUERY SELECT l.label_name, l.label_level, l.label_confidence FROM oss_labels.try_detect(\$1, \$2) l; END';
CREATE FUNCTION wrap_first(bucket text, key text) RETURNS text VOLATILE
	LANGUAGE sql AS 'SELECT l.label_name FROM oss_labels.detect(\$1, \$2) l ORDER BY 1 LIMIT 1';
CREATE FUNCTION wrap_if(bucket text, key text) RETURNS TABLE (label_name text, label_level integer, label_confidence float8) VOLATILE
	LANGUAGE sql AS 'SELECT l.label_name, l.label_level, l.label_confidence FROM oss_labels.detect(\$1, \$2) l WHERE \$2 > ''p2''';

-- What a query returns, in any order where "sure" is not set, or after how many rows
-- it fails, and how.  It is run by a cursor row by row, of which only a few are
-- fetched if that is not 0, or in another way.
CREATE FUNCTION outcome(query text, how text, few integer, sure boolean) RETURNS text LANGUAGE plpgsql AS
\$\$
DECLARE
	c refcursor;
	r record;
	n integer := 0;
	seen text[] := '{}';
	way text;
BEGIN
	DEALLOCATE ALL;
	IF how = 'write' THEN
		EXECUTE query;
		GET DIAGNOSTICS n = ROW_COUNT;
		RAISE EXCEPTION USING ERRCODE = 'UNDO1', MESSAGE = n;
	ELSIF how = 'all' THEN
		EXECUTE 'SELECT count(*), coalesce(md5(string_agg(t::text, '';'' ORDER BY t::text)), '''') AS rows FROM ('
			|| query || ') t' INTO r;
		RETURN r.count || ' rows ' || r.rows;
	ELSIF how = 'loop' THEN
		FOR r IN EXECUTE query LOOP
			n := n + 1;
			seen := seen || r::text;
			EXIT WHEN n = few;
		END LOOP;
	ELSE
		IF how = 'prepared' THEN
			EXECUTE 'PREPARE s (text) AS ' || query;
			query := format('EXECUTE s (%L)', current_setting('test.bucket'));
		END IF;
		IF how = 'scroll' THEN
			OPEN c SCROLL FOR EXECUTE query;
		ELSIF how = 'hold' THEN
			c := 'held';
		ELSE
			OPEN c NO SCROLL FOR EXECUTE query;
		END IF;
		LOOP
			FETCH c INTO r;
			EXIT WHEN NOT FOUND;
			n := n + 1;
			seen := seen || r::text;
			EXIT WHEN n = few;
			IF how = 'scroll' AND n % 3 = 2 THEN
				FETCH PRIOR FROM c INTO r;
				seen := seen || ('<' || r::text);
				IF n % 4 = 1 THEN
					FETCH RELATIVE 0 FROM c INTO r;
					seen := seen || ('=' || r::text);
				END IF;
				FETCH NEXT FROM c INTO r;
			END IF;
		END LOOP;
		CLOSE c;
	END IF;
	IF NOT sure THEN
		seen := ARRAY(SELECT s FROM unnest(seen) s ORDER BY s);
	END IF;
	RETURN n || ' rows ' || CASE WHEN few > 0 AND NOT sure THEN '' ELSE md5(seen::text) END;
EXCEPTION WHEN OTHERS THEN
	IF SQLSTATE = 'UNDO1' THEN
		RETURN SQLERRM || ' rows changed';
	END IF;
	RETURN SQLSTATE || ' after ' || n || ' rows ' || CASE WHEN sure THEN md5(seen::text) ELSE '' END || ' '
		|| replace(SQLERRM, current_setting('test.bucket'), 'B');
END
\$\$;
SQL

sub any { return $_[ int rand @_ ] }
sub chance { return rand() < $_[0] }

# An outer side: an alias p with columns id, key, thr, kind, other.  Where a
# call may fail its order must be certain, for the first error ends the query.
sub outer
{
	my ($sure) = @_;
	my $n = any(1, 3, 8, 15);
	return any('photo p', 'photo p', "(SELECT * FROM photo ORDER BY id DESC LIMIT 2 * $n) p",
		"generate_series(1, 24) g (id), LATERAL (SELECT * FROM photo WHERE id = g.id OFFSET 0) p")
	  if $sure;
	return any(
		'photo p',
		'photo p',
		'photo p',
		'parts p',
		"(SELECT * FROM photo WHERE id <= $n) p",
		"(SELECT * FROM photo ORDER BY id DESC LIMIT $n) p",
		"(SELECT * FROM photo OFFSET 3) p",
		"(SELECT DISTINCT ON (kind) * FROM photo ORDER BY kind, id) p",
		"photo q JOIN photo p ON p.id = q.other",
		"photo q LEFT JOIN photo p ON p.id = q.other + $n",
		"photo q FULL JOIN photo p ON p.id = q.other + $n",
		"photo q RIGHT JOIN photo p ON p.id = q.other + $n AND q.id < 9",
		"parts q JOIN parts p ON p.id = q.id",
		"generate_series(1, $n) g JOIN photo p ON p.other = g",
		"generate_series(1, 2) g CROSS JOIN photo p",
		"(SELECT max(id) AS id, min(key) AS key, min(thr) AS thr, kind, max(other) AS other FROM photo GROUP BY kind) p",
		"unnest(ARRAY[1, 2, 2, NULL]) WITH ORDINALITY u (i, n) LEFT JOIN photo p ON p.id = u.i",
		"(VALUES (1, 'v1.jpg', 0.5::float8, 'kind1', 3), (2, NULL, NULL, 'kind0', 4)) p (id, key, thr, kind, other)",
		"(SELECT * FROM photo WHERE id < 4 UNION ALL SELECT * FROM photo WHERE id > 20) p",
		"(WITH w AS MATERIALIZED (SELECT * FROM photo WHERE id > $n) SELECT * FROM w) p",
		"(SELECT 7 AS id, 'one.jpg' AS key, 0.1::float8 AS thr, 'kind3' AS kind, 1 AS other) p");
}

# The key of a call.
sub key_of
{
	my ($p, $may_fail) = @_;
	my @keys = ("$p.key", "$p.key", "$p.key", "coalesce($p.key, 'none.jpg')", "$p.key || ''",
		"lower($p.key)", "CASE WHEN $p.id % 2 = 0 THEN $p.key END", "left($p.key, 2) || '.jpg'",
		"$p.kind || '.jpg'", "concat($p.kind, '.jpg')", "(SELECT max(q.key) FROM photo q WHERE q.id = $p.id)",
		"'constant.jpg'");
	@keys = ("CASE WHEN $p.id = 12 THEN '' ELSE $p.key END", "(100 / ($p.id - 9)) || '.jpg'",
		"CASE WHEN $p.id = 8 THEN 'missing.jpg' ELSE $p.key END")
	  if $may_fail && chance(0.5);
	return any(@keys);
}

# The arguments of a call.
sub arguments
{
	my ($p, $may_fail) = @_;
	my @thrs = ('', '', '', ', thr => 0.5', ", thr => $p.thr", ", thr => $p.id / 100.0");
	push @thrs, ", thr => $p.id / 30.0" if $may_fail;
	return ':BUCKET:, ' . key_of($p, $may_fail) . any(@thrs);
}

# A call in FROM that has the columns label_name, label_level and label_confidence.
sub call
{
	my ($p, $may_fail) = @_;
	return 'oss_labels.' . any(qw(detect detect detect try_detect)) . '(' . arguments($p, $may_fail) . ')' if chance(0.7);
	return 'oss_labels.' . any(qw(tag try_tag)) . '(:BUCKET:, ' . key_of($p, $may_fail) . ')' if chance(0.4);
	return any(qw(wrap_stable wrap_volatile wrap_definer wrap_plpgsql wrap_if)) . '(:BUCKET:, ' . key_of($p, $may_fail) . ')';
}

# A condition on labels, or sometimes on the outer side or nothing.
sub condition
{
	my ($l, $sure) = @_;
	return any("$l.label_confidence > 0.9", "$l.label_level = 2") if $sure;
	return any("$l.label_confidence > 0.9", "$l.label_level = 2", "$l.label_name > 'M'",
		"$l.label_name IS NOT NULL", "length($l.label_name) > 5", 'true',
		"p.id % 3 = 0", "p.thr IS NULL", "$l.label_level <> p.other", "p.id > 5 AND $l.label_level = 2",
		"current_setting('test.bucket') <> ''", "now() < '2000-01-01'", 'false');
}

# A sub-select of one value, of an image's labels.
sub scalar_sub
{
	my ($may_fail, $p) = @_;
	$p //= 'p';
	my $from = 'FROM ' . call($p, $may_fail) . ' l' . (chance(0.3) ? ' WHERE ' . condition('l', 1) : '');
	return any(
		"(SELECT array_agg(l.label_name) $from)",
		"(SELECT count(*) $from)",
		"(SELECT string_agg(l.label_name, ',' ORDER BY l.label_name DESC) $from)",
		"ARRAY(SELECT l.label_name $from)",
		"(SELECT l.label_name $from ORDER BY l.label_confidence DESC, l.label_name LIMIT 1)",
		"EXISTS (SELECT $from)",
		"(SELECT max(l.label_confidence) + $p.id $from)",
		"(SELECT (SELECT max(m.label_level) FROM (SELECT l.label_level) m) $from LIMIT 1)",
		"(oss_labels.detect_json(" . arguments($p, $may_fail) . ") -> 'Labels')",
		"(SELECT max(o.size) FROM oss_labels.try_object_info(:BUCKET:, " . key_of($p, 0) . ") o)",
		"wrap_first(:BUCKET:, " . key_of($p, $may_fail) . ")");
}

# A sub-select that may not be run.
sub guarded
{
	my ($may_fail) = @_;
	my $sub = scalar_sub($may_fail);
	return any(
		"CASE WHEN p.id % 3 = 0 THEN $sub END::text",
		"CASE p.kind WHEN 'kind1' THEN ($sub)::text ELSE 'no' END",
		"coalesce(p.thr::text, ($sub)::text)",
		"(p.id < 6 AND ($sub) IS NOT NULL)",
		"(p.id > 6 OR ($sub) IS NOT NULL)",
		"nullif(CASE WHEN p.key IS NULL THEN 'none' ELSE ($sub)::text END, 'x')");
}

# A sub-select in FROM, of an image's labels.
sub lateral_sub
{
	my ($may_fail) = @_;
	my $from = 'FROM ' . call('p', $may_fail) . ' l' . (chance(0.3) ? ' WHERE ' . condition('l', $may_fail) : '');
	my $call = call('p', $may_fail);
	return any(
		"(SELECT array_agg(l.label_name) AS v $from)",
		"(SELECT count(*) AS v $from)",
		"(SELECT l.label_name AS v $from ORDER BY l.label_confidence DESC, l.label_name LIMIT " . any(1, 2, 3) . ')',
		"(SELECT l.label_name AS v $from ORDER BY 1 LIMIT 2 OFFSET 1)",
		"(SELECT DISTINCT l.label_level AS v $from)",
		"(SELECT l.label_level AS v $from GROUP BY l.label_level HAVING count(*) > 0)",
		"(SELECT row_number() OVER (ORDER BY l.label_name) AS v $from)",
		"(SELECT l.label_name || p.id AS v $from OFFSET 0)",
		"(SELECT m.label_name AS v FROM $call l CROSS JOIN LATERAL oss_labels.try_detect(:BUCKET:, l.label_name || '.jpg') m WHERE m.label_level = 2)",
		"(SELECT l.label_name AS v $from UNION ALL SELECT 'end')");
}

# The tables of a call in FROM, other than detect() itself.
sub other_call
{
	my ($may_fail) = @_;
	my $arguments = arguments('p', $may_fail);
	return any(
		"(SELECT j - 'RequestId' AS v FROM oss_labels.detect_json($arguments) j)",
		"(SELECT l.c1 AS v, l.n FROM oss_labels.detect($arguments) WITH ORDINALITY l (c1, c2, c3, c4, c5, c6, c7, n))",
		"(SELECT l.c1 AS v, l.n FROM ROWS FROM (oss_labels.detect($arguments), generate_series(1, 2)) l (c1, c2, c3, c4, c5, c6, c7, n))",
		"(SELECT l.label_name AS v, l.error_code FROM oss_labels.try_detect($arguments) l)",
		"(SELECT o.etag AS v, o.size FROM oss_labels.try_object_info(:BUCKET:, " . key_of('p', $may_fail) . ') o)');
}

# Add one form to a query.
sub add_form
{
	my ($q) = @_;
	my $may_fail = $q->{may_fail};
	my $condition = condition('l', $q->{sure});
	my $shape = rand;

	if ($shape < 0.2 && !$q->{label})
	{
		my $call = call('p', $may_fail);
		$q->{label} = 1;
		$q->{from} .= any(" CROSS JOIN LATERAL $call l", " JOIN LATERAL $call l ON $condition",
			" LEFT JOIN LATERAL $call l ON " . any('true', $condition, $q->{sure} ? 'true' : 'p.id % 2 = 0'));
		push @{ $q->{select} }, any('l.label_name', 'l.label_name, l.label_confidence', 'l.label_level');
		push @{ $q->{select} }, "l" if !$q->{sure} && $call =~ /\.(detect|tag)\(/ && chance(0.2);
		push @{ $q->{where} }, 'l.label_name IS NULL' if !$q->{sure} && chance(0.15);
		if (!$q->{sure} && chance(0.3))
		{
			my $key = any('p.key', "l.label_name || '.jpg'", 'p.kind');
			my $second = "oss_labels.try_detect(:BUCKET:, $key)";
			$q->{from} .= any(" CROSS JOIN LATERAL $second m", " LEFT JOIN LATERAL $second m ON m.label_level = 2");
			push @{ $q->{select} }, 'm.label_name AS second';
		}
	}
	elsif ($shape < 0.45)
	{
		my $alias = 's' . $q->{n}++;
		my $sub = chance(0.7) ? lateral_sub($may_fail) : other_call($may_fail);
		$q->{from} .= any(" CROSS JOIN LATERAL $sub $alias", " LEFT JOIN LATERAL $sub $alias ON " . any('true', 'true', $q->{sure} ? 'true' : 'p.id % 4 > 0'));
		push @{ $q->{select} }, "$alias.v";
	}
	elsif ($shape < 0.62)
	{
		push @{ $q->{select} }, scalar_sub($may_fail) . ' AS x' . $q->{n}++;
	}
	elsif ($shape < 0.72)
	{
		push @{ $q->{select} }, guarded($may_fail) . ' AS x' . $q->{n}++;
	}
	elsif ($shape < 0.9)
	{
		my $call = call('p', $may_fail);
		push @{ $q->{where} },
		  any("EXISTS (SELECT FROM $call l WHERE l.label_level = 2)",
			"NOT EXISTS (SELECT FROM $call l WHERE l.label_name = 'Nothing')",
			"EXISTS (SELECT FROM $call l WHERE $condition)",
			"2 IN (SELECT l.label_level FROM $call l)",
			"p.id NOT IN (SELECT l.label_level FROM $call l)",
			"(SELECT count(*) FROM $call l) > 2",
			"p.id > ALL (SELECT l.label_level FROM $call l)",
			"(p.id % 2 = 0 OR EXISTS (SELECT FROM $call l))",
			"(p.kind = 'kind2') IS DISTINCT FROM (EXISTS (SELECT FROM $call l))");
	}
	elsif ($shape < 0.95 && !$q->{sure})
	{
		my $call = call('r', 0);
		$q->{from} .= ' LEFT JOIN (SELECT r.id, coalesce(l.label_name, \'x\') AS v FROM photo r CROSS JOIN LATERAL '
		  . "$call l WHERE r.id < 15) o" . $q->{n} . ' ON o' . $q->{n} . '.id = p.id';
		push @{ $q->{select} }, "o$q->{n}.v";
		$q->{n}++;
	}
	else
	{
		push @{ $q->{select} }, "(oss_labels.detect(" . arguments('p', $may_fail) . ')).label_name AS x' . $q->{n}++;
	}
	return;
}

# A statement that writes, which is undone.
sub write_query
{
	my $sub = scalar_sub(0);
	my $where = any('', '', " WHERE p.id < 15", " WHERE p.kind = 'kind1'", ' WHERE EXISTS (SELECT FROM ' . call('p', 0) . ' l)');
	my $table = any('photo', 'photo', 'parts');
	my $sql = any(
		"UPDATE $table p SET note = ($sub)::text$where",
		"UPDATE $table p SET (note, other) = (SELECT min(l.label_name), count(*) FROM " . call('p', 0) . " l)$where",
		"UPDATE $table p SET note = s.v::text FROM photo q CROSS JOIN LATERAL "
		  . lateral_sub(0) =~ s/\bp\./q./gr . " s WHERE q.id = p.id AND q.id < 20",
		"INSERT INTO $table (id, note) SELECT p.id + 100, ($sub)::text FROM photo p$where",
		"DELETE FROM $table p" . ($where || ' WHERE p.id > 10') . ' AND EXISTS (SELECT FROM ' . call('p', 0) . ' l WHERE l.label_level = 2)',
		"MERGE INTO $table p USING (SELECT p.id, ($sub)::text AS v FROM photo p$where) q ON p.id = q.id"
		  . " WHEN MATCHED THEN UPDATE SET note = q.v");
	return { sql => $sql, how => 'write', early => 0, sure => 0, few => 0 };
}

# A query: how it is run, whether it may stop early, whether its order is sure.
sub query
{
	return write_query() if chance(0.1);
	my $may_fail = chance(0.25);
	my $sure = $may_fail || chance(0.2);
	my %q = (may_fail => $may_fail, sure => $sure, from => outer($sure), select => ['p.id'], where => [], n => 1);

	add_form(\%q) for 1 .. any(1, 1, 1, $sure ? 1 : 2);
	push @{ $q{where} }, any('p.id < 12', "p.kind = 'kind1'", 'p.id % 5 = 1', "p.key LIKE 'p%'")
	  if !$may_fail && chance(0.4);

	my $sql = 'SELECT ' . join(', ', @{ $q{select} }) . " FROM $q{from}";
	$sql .= ' WHERE ' . join ' AND ', @{ $q{where} } if @{ $q{where} };
	my ($how, $few) = (any('cursor', 'cursor', 'cursor', 'loop', 'prepared'), chance(0.25) ? any(1, 3, 10) : 0);
	my $early = $few > 0;
	if ($sure)
	{
		$how = 'scroll' if !$may_fail && chance(0.3);
	}
	elsif (chance(0.2))
	{
		my $n = any(1, 5, 20);
		$sql = "SELECT count(*) FROM ($sql LIMIT $n" . (chance(0.3) ? ' OFFSET 2' : '') . ') x';
		$early = 1;
	}
	elsif (chance(0.35))
	{
		my @plain = map { s/.* AS //r } @{ $q{select} };
		$sql = any("WITH w AS MATERIALIZED ($sql) SELECT * FROM w",
			"WITH w AS ($sql) SELECT * FROM w UNION ALL SELECT * FROM w WHERE false",
			"SELECT g, x.* FROM generate_series(1, 2) g, LATERAL ($sql OFFSET g) x WHERE g < 0",
			"SELECT x.id, count(*) FROM ($sql) x GROUP BY x.id",
			"SELECT x.id, count(*) FROM ($sql) x GROUP BY GROUPING SETS ((x.id), ())",
			"SELECT x.*, row_number() OVER (PARTITION BY x.id ORDER BY x::text) FROM ($sql) x",
			"SELECT DISTINCT x.id FROM ($sql) x",
			"SELECT * FROM ($sql) x ORDER BY 1",
			"SELECT x.* FROM photo z LEFT JOIN ($sql) x ON x.id = z.id",
			"SELECT z.id FROM photo z WHERE z.id IN (SELECT x.id FROM ($sql) x)");
	}
	elsif ($sql =~ /FROM photo p(?! q)/ && $q{from} =~ /^photo p/ && $q{from} !~ /JOIN photo/ && chance(0.3))
	{
		$sql .= any(' FOR UPDATE OF p', ' FOR SHARE OF p SKIP LOCKED') if $sql !~ /\(oss_labels\.detect\([^)]*\)\)\.label_name/;
	}
	$how = any('all', 'hold') if !$few && !$sure && chance(0.3) && $sql !~ /FOR (UPDATE|SHARE)/;
	return { sql => $sql, how => $how, few => $few, early => $early, sure => $sure ? 1 : 0 };
}

# Settings of a query.
sub settings
{
	my @settings = ('oss_labels.concurrency=' . any(1, 2, 8, 8, 8, 16));
	return @settings if chance(0.35);
	push @settings, any(map { "enable_$_=off" } qw(hashjoin mergejoin nestloop memoize material sort hashagg seqscan))
	  for 1 .. any(1, 1, 2, 3);
	push @settings, 'join_collapse_limit=1', 'from_collapse_limit=1' if chance(0.2);
	push @settings, 'jit=on', 'jit_above_cost=0' if chance(0.05);
	push @settings, 'plan_cache_mode=' . any(qw(force_generic_plan force_custom_plan)) if chance(0.4);
	push @settings, ($t->{node}->pg_version >= 16 ? 'debug_parallel_query' : 'force_parallel_mode') . '=on',
	  'parallel_setup_cost=0', 'parallel_tuple_cost=0', 'min_parallel_table_scan_size=0' if chance(0.2);
	push @settings, 'work_mem=64kB' if chance(0.2);
	push @settings, 'enable_partitionwise_join=on', 'enable_partitionwise_aggregate=on' if chance(0.2);
	push @settings, 'cursor_tuple_fraction=' . any('1', '0.01') if chance(0.4);
	return @settings;
}

srand $seed;
my @queries = map { { %{ query() }, settings => [ settings() ], index => $_ } } 0 .. $queries - 1;
$oss->control('/fault?status=404&code=NoSuchKey&key=missing.jpg');
$oss->control('/fault?delay=1-3&every=4');

# The SQL of a run, with a line of its own before and after what it says.
sub run
{
	my ($q, $mode) = @_;
	my $bucket = sprintf 'q%04d-%s', $q->{index}, $mode;
	my $name = $q->{how} eq 'prepared' ? '$1' : chance(0.3) ? "current_setting('test.bucket')" : "'$bucket'";
	my $sql = $q->{sql} =~ s/:BUCKET:/$name/gr;
	$oss->control("/bucket?name=$bucket&image=examplebucket/example.jpg&labels=3");
	return join '', "RESET ALL;\nSET oss_labels.pipeline = $mode;\nSET test.bucket = '$bucket';\n",
	  (map { my ($n, $value) = split /=/; "SET $n = '$value';\n" } @{ $q->{settings} }),
	  $q->{how} eq 'hold' ? "BEGIN;\nDECLARE held CURSOR WITH HOLD FOR $sql;\nCOMMIT;\n" : '',
	  "SELECT '$q->{index} ' || outcome(\$q\$$sql\$q\$, '$q->{how}', $q->{few}, '$q->{sure}');\n",
	  $q->{how} eq 'hold' ? "CLOSE ALL;\n" : '';
}

# Both runs of a query choose alike.
my (%run, %outcome);
for my $mode (qw(off on))
{
	srand $seed;
	$run{$mode} = $t->begin(join '', "SET client_min_messages = error;\n", map { run($_, $mode) } @queries);
}
for my $mode (qw(off on))
{
	my ($out, $err) = $t->finish($run{$mode});
	unlike($err, qr/FATAL|PANIC|server closed/, "$mode: the session goes on to the end");
	$outcome{$mode}[$1] = $2 while $out =~ /^(\d+) (.*)$/mg;
}
$oss->wait_count(in_flight => 0);

my %how;
my ($fewer, $errors, $rows) = (0, 0, 0);
for my $q (@queries)
{
	my ($off, $on) = map { $outcome{$_}[ $q->{index} ] // 'nothing' } qw(off on);
	my ($requests_off, $requests_on) = map { $oss->tally(bucket => sprintf 'q%04d-%s', $q->{index}, $_)->{requests} // 0 } qw(off on);
	my $failed = $off =~ /^[0-9A-Z]{5} after/;
	# what stops early, at a LIMIT, an error or the end of the other side of a merge
	# join, may have begun one round more of each call
	my $calls = () = $q->{sql} =~ /:BUCKET:/g;
	my $merges = !grep { $_ eq 'enable_mergejoin=off' } @{ $q->{settings} };
	my $most = $q->{early} || $failed || $merges && $q->{sql} =~ / JOIN \(SELECT/ ? 2 * $requests_off + $calls : $requests_off;

	ok($on eq $off && $off ne 'nothing' && $requests_on <= $most, "query $q->{index}")
	  or diag "PIPELINE_SEED=$seed PIPELINE_QUERIES=$queries $q->{how}, few $q->{few}, "
	  . join(' ', @{ $q->{settings} }) . "\n$q->{sql}\noff: $off, $requests_off requests\non:  $on, $requests_on requests";
	$errors++ if $failed;
	$how{$1}++ if $off =~ /^([0-9A-Z]{5}) after/;
	diag("$off\n$q->{sql}") if $off =~ /^(42|0A)/;

	$rows++ if $off =~ /^[1-9][0-9]* /;
	$fewer++ if $requests_on < $requests_off;
}
note(join ', ', map { "$_: $how{$_}" } sort keys %how);
# the generator is worth something only if its queries do something
cmp_ok($rows, '>=', $queries * 0.6, "$rows queries return rows");
cmp_ok($errors, '>=', $queries / 20, "$errors queries fail");
cmp_ok($fewer, '>=', $queries / 60, "$fewer queries need fewer requests");

done_testing();
