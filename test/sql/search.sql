-- The type label_query, and what search() finds.
\o /dev/null
DELETE FROM oss_labels.image;
\o
SET search_path = public, oss_labels;
\pset null NULL

-- canonical form
SELECT q::label_query FROM unnest(ARRAY[
	'Beach', ' ( ( Beach ) ) ', 'Beach&(Sunset|Sunrise)&!Crowd',
	'a|b&c', '(a|b)&c', '!(a&b)', '!!a', '! ! !a', 'a&(b&c)&d', 'a|(b|(c|d))',
	'Dog:0.90', 'Dog : .5', 'Dog:1', 'Dog:0', 'parent:Food', 'parent : Food : 0.8',
	'parent:0.9', 'parent', '"parent":0.5', 'parent:parent', 'parent:"0.9"',
	'"Night View"', '''it''''s'' & "say ""hi"""', '海滩 & !人群:0.75', '"夜 景" | parent:食物',
	'2024', 'T-shirt & R&B', '"a:b"', 'parent:"2024"', 'parent:".5":.5', 'parent:3D']) q;
SELECT 'Dog & Cat'::label_query && 'Beach|Sea', 'a'::label_query || 'b&c', !! 'a|b'::label_query;
SELECT 'a & b'::label_query = ' (a)&b'::label_query AS equal,
	   pg_catalog.array_agg(DISTINCT q) FROM unnest('{a,(a),b}'::label_query[]) q;

-- as Chinese keyboards and word processors write it; in quotes all stays as it is
SELECT q::label_query FROM unnest(ARRAY['猫：0.9', '猫　＆　宠物', '（猫｜狗）＆！“人 群”', '＂a b＂：.5', '‘it’’s’', 'parent：食物：0.8',
	'a﹠﹗﹙b﹕1﹚', E'\u00a0a\u2003&\u200b\ufeff b\u3000', '"猫：狗"', '”say ""hi"" & “', '-猫', '猫，狗']) q;
SELECT '猫＆＆狗'::label_query;
SELECT '猫　狗：０．９'::label_query;
SELECT '（猫'::label_query;
SELECT '猫）'::label_query;
SELECT '猫 & “狗'::label_query;
SELECT '"猫”'::label_query;
SELECT search('猫：2');

-- the same letters are the same name
SELECT q::label_query = U&'Caf\00e9'::label_query AS equal, length(q::label_query::text)
FROM unnest(ARRAY[U&'Cafe\0301', U&'"Cafe\0301"', U&'Caf\00e9']) q;
SELECT U&'\1112\1161\11ab'::label_query = U&'\d55c'::label_query AS equal, U&'\212b'::label_query = U&'\00c5'::label_query AS equal,
	U&'\FF21'::label_query = 'A'::label_query AS width_counts;

-- a threshold is kept exactly, whatever numbers are printed like
SET extra_float_digits = -15;
SELECT 'Dog:0.123456'::label_query, 'Dog:0.96'::label_query, 'Dog:1e-300'::label_query;
RESET extra_float_digits;

-- what is wrong, and where
SELECT ''::label_query;
\echo :LAST_ERROR_SQLSTATE
SELECT 'Beach & & Sunset'::label_query;
SELECT '(Beach | Sunset'::label_query;
SELECT 'Beach)'::label_query;
SELECT 'Night View'::label_query;
SELECT '海滩 夜景'::label_query;
SELECT 'Dog:1.5'::label_query;
SELECT 'Dog:high'::label_query;
SELECT 'Dog:0.9x'::label_query;
SELECT '"Dog'::label_query;
SELECT '"" | a'::label_query;
SELECT 'parent:'::label_query;
SELECT 'a !b'::label_query;
SELECT E'Beach &\n  海滩 夜景 &\nSunset'::label_query;
SELECT (repeat('Beach & ', 100) || '& ' || repeat('Sunset | ', 100))::label_query;
SET max_stack_depth = '100kB';
\set VERBOSITY terse
SELECT (repeat('(', 100000) || 'a' || repeat(')', 100000))::label_query;
\set VERBOSITY default
RESET max_stack_depth;

-- binary input and output
CREATE TEMP TABLE saved (q label_query);
INSERT INTO saved VALUES ('"Night View":0.5 & !parent:食物');
SELECT pg_catalog.encode(label_query_send(q), 'escape') = pg_catalog.encode(pg_catalog.convert_to(q::text, 'UTF8'), 'escape') AS same FROM saved;

-- a small store
INSERT INTO image (image_id, tagged_at, label_count, bucket, key, response)
SELECT image_id('searchbucket', k), now(), 0, 'searchbucket', k, '{"Labels": []}'
FROM unnest('{sunset beach,crowded beach,beach,market,empty}'::text[]) k;
CREATE TEMP TABLE given (image_id bigint, label_name text, parent_label_name text, label_confidence float8);
INSERT INTO given
SELECT i.image_id, v.name, v.parent, v.confidence
FROM (VALUES ('sunset beach', 'Beach', 'Landscape', 0.9), ('sunset beach', 'Sunset', 'Sky', 0.8),
	('crowded beach', 'Beach', 'Landscape', 0.95), ('crowded beach', 'Sunrise', 'Sky', 0.7),
	('crowded beach', 'Crowd', 'Person', 0.6),
	('beach', 'Beach', 'Landscape', NULL),
	('market', 'Dumpling', 'Food', 0.85), ('market', 'Crowd', 'Person', 0.99),
	('market', 'Night View', 'City Scene', 0.9)) v (key, name, parent, confidence)
JOIN image i USING (key) WHERE i.bucket = 'searchbucket';
INSERT INTO vocabulary (label_name, parent_label_name, label_level) SELECT DISTINCT label_name, parent_label_name, 2 FROM given;
INSERT INTO image_label SELECT image_id, label_id(label_name, parent_label_name, 2), label_confidence, 0.5 FROM given;
SELECT key, score FROM search('Beach & (Sunset | Sunrise) & !Crowd');
SELECT key, score FROM search('Beach');
SELECT key, score FROM search('Beach:0.9');
SET extra_float_digits = -15;
SELECT key FROM search('Beach:0.91');
RESET extra_float_digits;
SELECT key, score FROM search('Beach', 1);
SELECT key, score FROM search('Beach', 0);
SELECT key, score FROM search('Beach', -1);
SELECT key, score FROM search('parent:Sky | parent:Food:0.8');
SELECT key, score FROM search('"Night View" & Crowd');
SELECT key, score FROM search('!Beach');
SELECT key, score FROM search('!Beach & !Crowd');
SELECT key, score FROM search('Sunset | !Beach');
SELECT key FROM search('!(!Beach & !Crowd)') ORDER BY key;
SELECT key FROM search('!(!Beach | Crowd)') ORDER BY key;
SELECT key FROM search('!(!Beach & !Crowd) & !Sunset') ORDER BY key;
SET client_min_messages = warning;
SELECT key, score FROM search('Unicorn | parent:Unicorn');
RESET client_min_messages;
SELECT key, score FROM search(NULL);
SELECT key FROM image WHERE image_id @@ 'Crowd & !Beach';
SELECT matches('searchbucket', 'market', 'Crowd'), matches('searchbucket', 'market', 'Crowd', 'v1'),
	   matches('searchbucket', 'nope', '!Crowd');
SELECT key FROM (VALUES ('searchbucket', 'market'), ('searchbucket', 'beach')) photo (bucket, key)
WHERE (bucket, key) IN (SELECT bucket, key FROM search('Crowd'));

-- @@ is a scan of the index
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT key FROM image WHERE image_id @@ 'Crowd & !Beach';
RESET enable_seqscan;

-- parameters of any type of text, and operators whatever search_path
PREPARE by_text(text) AS SELECT key FROM search($1, 1);
EXECUTE by_text('Crowd');
PREPARE by_varchar(varchar(100)) AS
SELECT (SELECT key FROM search($1, 1)), pg_catalog.cardinality(search_ids($1)), matches('searchbucket', 'market', $1);
EXECUTE by_varchar('Crowd');
PREPARE by_unknown AS SELECT key FROM search($1, $2);
EXECUTE by_unknown('Crowd', 1);
PREPARE by_query(label_query) AS SELECT key FROM search($1, 1) WHERE image_id @@ $1;
EXECUTE by_query('Crowd');
EXECUTE by_text('Crowd &');
\echo :LAST_ERROR_SQLSTATE
SET search_path = pg_temp;
PREPARE by_operator AS SELECT key FROM oss_labels.image WHERE image_id @@ $1 ORDER BY key;
EXECUTE by_operator('Crowd');
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) EXECUTE by_operator('Crowd');
RESET enable_seqscan;
SELECT 'Dog & Cat'::oss_labels.label_query && 'Beach|Sea', 'a'::oss_labels.label_query || 'b&c', !! 'a|b'::oss_labels.label_query;
SELECT 'Dog' || ' & Cat' AS text, 'Dog'::oss_labels.label_query::text || ' & Cat' AS text;
DEALLOCATE ALL;
SET search_path = public, oss_labels;

-- equal to brute force: random labels, queries, house rules and corrections
INSERT INTO label_rule (label_name, min_confidence, hidden) VALUES ('L2', 0.4, false), ('L5', NULL, true);
INSERT INTO label_alias VALUES ('L7', 'L1'), ('P2', 'P1');
SELECT setseed(0.5);
INSERT INTO image (image_id, tagged_at, label_count, bucket, key, response)
SELECT image_id('randombucket', i::text), now(), 0, 'randombucket', i::text, '{"Labels": []}' FROM generate_series(1, 1200) i;
TRUNCATE given;
INSERT INTO given
SELECT image_id, 'L' || floor(12 ^ random()), 'P' || floor(random() * 4),
	   CASE WHEN random() < 0.95 THEN round(random()::numeric, 2) END
FROM image, generate_series(1, 4) WHERE bucket = 'randombucket';
INSERT INTO vocabulary (label_name, parent_label_name) SELECT DISTINCT label_name, parent_label_name FROM given;
INSERT INTO image_label SELECT image_id, label_id(label_name, parent_label_name), label_confidence, 0.5 FROM given;
INSERT INTO label_correction (image_id, label_name, parent_label_name, added, label_confidence)
SELECT image_id, 'L' || floor(random() * 12), 'P' || floor(random() * 4), random() < 0.6, round(random()::numeric, 2)
FROM image WHERE bucket = 'randombucket' AND random() < 0.3;
INSERT INTO label_correction (image_id, label_name, parent_label_name, added)
SELECT min(image_id), 'Rare', 'P1', true FROM image WHERE bucket = 'randombucket';

CREATE TEMP TABLE effective AS SELECT image_id, label_name, parent_label_name, label_confidence FROM effective_image_label;
CREATE INDEX ON effective (image_id);
ANALYZE effective;
CREATE FUNCTION pg_temp.random_query(depth integer, OUT query text, OUT condition text) AS $$
DECLARE
	a record;
	b record;
	term text := 'L' || floor(random() * 13);
	least text := round(random()::numeric, 1)::text;
	parent boolean := random() < 0.2;
	bound boolean := random() < 0.4;
BEGIN
	IF depth > 0 AND random() < 0.75 THEN
		SELECT * INTO a FROM pg_temp.random_query(depth - 1);
		SELECT * INTO b FROM pg_temp.random_query(depth - 1);
		CASE floor(random() * 3)
			WHEN 0 THEN query := '(' || a.query || ')&(' || b.query || ')';
				condition := '(' || a.condition || ') AND (' || b.condition || ')';
			WHEN 1 THEN query := '(' || a.query || ')|(' || b.query || ')';
				condition := '(' || a.condition || ') OR (' || b.condition || ')';
			ELSE query := '!(' || a.query || ')';
				condition := 'NOT (' || a.condition || ')';
		END CASE;
		RETURN;
	END IF;
	IF random() < 0.1 THEN term := 'Rare'; parent := false; END IF;
	IF parent THEN term := 'P' || floor(random() * 4); END IF;
	query := CASE WHEN parent THEN 'parent:' ELSE '' END || term
		|| CASE WHEN bound THEN ':' || least ELSE '' END;
	condition := format('EXISTS (SELECT FROM effective e WHERE e.image_id = i.image_id AND e.%I = %L%s)',
		CASE WHEN parent THEN 'parent_label_name' ELSE 'label_name' END,
		CASE term WHEN 'L7' THEN 'L1' WHEN 'P2' THEN 'P1' ELSE term END,
		CASE WHEN bound THEN ' AND e.label_confidence >= ' || least ELSE '' END);
END $$ LANGUAGE plpgsql;
SET client_min_messages = warning;	-- which names are known depends on the tests before
DO $$
DECLARE
	q record;
	wrong bigint;
	found bigint := 0;
	checked integer := 0;
BEGIN
	FOR n IN 1 .. 150 LOOP
		SELECT * INTO q FROM pg_temp.random_query(3);
		EXECUTE format('SELECT count(*) FROM (SELECT image_id FROM oss_labels.search(%L)) s '
			'FULL JOIN (SELECT i.image_id FROM oss_labels.image i WHERE %s) b USING (image_id) '
			'WHERE s.image_id IS NULL OR b.image_id IS NULL', q.query, q.condition) INTO wrong;
		IF wrong > 0 THEN
			RAISE WARNING '% images differ: %', wrong, q.query;
		END IF;
		EXECUTE format('SELECT count(*) FROM oss_labels.search(%L, 10) s '
			'WHERE NOT oss_labels.image_matches(s.image_id, %L)', q.query, q.query) INTO wrong;
		IF wrong > 0 THEN
			RAISE WARNING '% images do not match by themselves: %', wrong, q.query;
		END IF;
		EXECUTE format('SELECT count(*) FROM oss_labels.search(%L)', q.query) INTO wrong;
		IF q.query::oss_labels.label_query::text::oss_labels.label_query::text <> q.query::oss_labels.label_query::text THEN
			RAISE WARNING 'not canonical: %', q.query;
		END IF;
		found := found + wrong;
		checked := checked + 1;
	END LOOP;
	RAISE WARNING '% queries, some images found: %', checked, found > 1000;
END $$;

-- beyond work_mem the sets lie in a file, and give the same in the same order
CREATE FUNCTION pg_temp.all_of(query text, most bigint DEFAULT NULL) RETURNS text LANGUAGE sql
	AS 'SELECT md5(string_agg(format(''%s %s'', key, score), '','')) FROM oss_labels.search(query, most)';
SELECT string_agg('L' || i, ' | ') || ' | ' || string_agg('L' || i || ':0.' || i % 10, ' | ') AS many FROM generate_series(0, 12) i \gset
CREATE TEMP TABLE big AS SELECT q, most, pg_temp.all_of(q, most) AS found FROM unnest(ARRAY[:'many', '!(' || :'many' || ')',
	'(' || :'many' || ') & !(parent:P0 & parent:P1)', '(!L1 | L3:0.5) & (' || :'many' || ' | !parent:P3)', :'many' || ' | !L0']) q, unnest('{NULL,1,100}'::bigint[]) most;
SET work_mem = '64kB';
SELECT count(*), count(DISTINCT found) > 10 AS differ, bool_and(pg_temp.all_of(q, most) IS NOT DISTINCT FROM found) AS same FROM big;
SELECT count(*) = cardinality(oss_labels.search_ids(:'many')) AS all_ids FROM oss_labels.search(:'many');
SET temp_file_limit = 0;
\set VERBOSITY sqlstate
SELECT count(*) FROM oss_labels.search('L1', 1);
SELECT count(*) FROM oss_labels.search(:'many', 1);
\set VERBOSITY default
RESET work_mem;
SELECT count(*) FROM oss_labels.search(:'many', 1);
RESET temp_file_limit;

-- one query after another takes no more memory than one
SELECT sum(total_bytes) AS before FROM pg_backend_memory_contexts \gset
SELECT (SELECT sum(total_bytes) FROM pg_backend_memory_contexts WHERE n > 0) - :before < 4000000 AS flat
FROM (SELECT count(oss_labels.image_matches(1, (g || repeat('|x', 300))::oss_labels.label_query)) AS n
	FROM generate_series(1, 500) g) m;

DELETE FROM label_rule;
DELETE FROM label_alias;
DELETE FROM image WHERE bucket IN ('searchbucket', 'randombucket');
SELECT count(*) FROM image_label;
SELECT count(*) FROM label_correction;
\o /dev/null
DELETE FROM oss_labels.image;
