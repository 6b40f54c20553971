-- Recommendation: images like one, and images for somebody.
SET client_min_messages = warning;	-- which names are known depends on the tests before
\o /dev/null
DELETE FROM oss_labels.image;
\o
\pset null NULL
SELECT setseed(0.3);
CREATE FUNCTION pg_temp.store(k text, labels text[], confidences float8[], centric float8 DEFAULT 0.5) RETURNS boolean AS $$
	SELECT oss_labels.import_labels(jsonb_build_object('Labels', jsonb_agg(jsonb_build_object(
		'LabelName', n, 'LabelConfidence', c, 'CentricScore', centric))), 'related', k)
	FROM unnest(labels, confidences) u (n, c)
$$ LANGUAGE sql;
SELECT bool_and(pg_temp.store('common' || i, '{Sky,Tree}', ARRAY[random(), random()])) FROM generate_series(1, 200) i;
SELECT bool_and(pg_temp.store('cat' || i, '{Sky,Cat,Sofa}', ARRAY[0.5 + i * 0.05, 0.95 - i * 0.04, 0.4 + i * 0.06])) FROM generate_series(1, 8) i;
SELECT bool_and(pg_temp.store('burst' || i, '{Sky,Cat,Sofa,Lamp}', ARRAY[0.8, 0.9, 0.7, 0.6 + i * 0.001])) FROM generate_series(1, 10) i;
SELECT pg_temp.store('dog', '{Sky,Dog,Grass}', '{0.9,0.9,0.9}');

-- the rare label counts for more than the common one
SELECT key LIKE 'common%' AS common, count(*), max(score) < 1 AS below_one
FROM oss_labels.related_images('related', 'cat1', 15, max_likeness => NULL) GROUP BY 1;
SELECT r.rarity > o.rarity AS rarer FROM oss_labels.label_rarity() r, oss_labels.label_rarity() o
WHERE r.label_name = 'Cat' AND o.label_name = 'Sky';

-- of ten near-duplicates one is shown, unless all are asked for
SELECT count(*) FROM oss_labels.related_images('related', 'cat1') WHERE key LIKE 'burst%';
SELECT count(*) FROM oss_labels.related_images('related', 'cat1', max_likeness => NULL) WHERE key LIKE 'burst%';

-- the same order and scores as computing all of it
WITH vector AS (
	SELECT e.key, e.label_name, oss_labels.label_weight(e.label_confidence, e.centric_score) * r.rarity AS w
	FROM oss_labels.effective_label e JOIN oss_labels.label_rarity() r USING (label_name)
	WHERE e.bucket = 'related'),
norm AS (SELECT key, sqrt(sum(w * w)) AS n FROM vector GROUP BY key),
brute AS (
	SELECT b.key, sum(a.w * b.w) / (na.n * nb.n) AS score
	FROM vector a JOIN vector b USING (label_name) JOIN norm na ON na.key = a.key JOIN norm nb ON nb.key = b.key
	WHERE a.key = 'cat3' AND b.key <> 'cat3' GROUP BY b.key, na.n, nb.n
	ORDER BY score DESC LIMIT 20)
SELECT count(*), max(abs(b.score - r.score)) < 1e-9 AS equal
FROM brute b JOIN oss_labels.related_images('related', 'cat3', 20, max_likeness => NULL) r USING (key);
SELECT * FROM oss_labels.related_images('related', 'nope');

-- prominence counts
SELECT pg_temp.store('prominent', '{Piano,Cat}', '{0.9,0.9}', 1), pg_temp.store('aside', '{Piano,Horse}', '{0.9,0.9}', 0),
	   oss_labels.label_weight(0.9, 1), oss_labels.label_weight(0.9, 0), oss_labels.label_weight(NULL, NULL);

-- a profile of what somebody looked at, weighted by how
CREATE TEMP TABLE look (who text, key text, weight float8);
INSERT INTO look VALUES ('mei', 'cat1', 5), ('mei', 'cat2', 1), ('bo', 'dog', 1), ('none', 'nope', 1);
SELECT who, (SELECT array_agg(k ORDER BY k) FROM jsonb_object_keys(p.profile) k) AS labels,
	   round((p.profile ->> 'Cat')::numeric, 4) AS cat
FROM (SELECT who, oss_labels.profile(label_name, label_confidence, centric_score, weight) AS profile
	FROM look JOIN oss_labels.effective_label l USING (key) WHERE l.bucket = 'related' GROUP BY who) p ORDER BY who;
SELECT oss_labels.profile('Cat', 1, 1, 2), oss_labels.profile(NULL, 1, 1, 1);
SELECT oss_labels.profile(n, 1, 1, 1) FROM unnest('{}'::text[]) n;
SELECT key FROM oss_labels.images_for('{"Dog": 1, "Grass": 1}') LIMIT 1;
SELECT count(*) FROM oss_labels.images_for('{"Cat": 1}', 5);
SELECT count(*) FROM oss_labels.images_for('{"Cat": -1}');
SELECT count(*) FROM oss_labels.images_for('{}');
SELECT count(*) FROM oss_labels.images_for(NULL);
SELECT oss_labels.images_for('[1]');
SELECT oss_labels.images_for('{"Cat": "much"}');

-- bad weights, numbers of rows and likenesses are refused by name; huge ones are fine
SELECT oss_labels.images_for('{"Cat": "NaN"}');
SELECT oss_labels.images_for('{"Cat": "Infinity"}');
SELECT oss_labels.images_for('{"Cat": 1e400}');
\echo :LAST_ERROR_SQLSTATE
SELECT oss_labels.images_for('{"Cat": 1}', -1);
\echo :LAST_ERROR_SQLSTATE
SELECT oss_labels.images_for('{"Cat": 1}', 5, 'NaN');
SELECT oss_labels.related_images('related', 'cat1', max_likeness => 1.5);
\echo :LAST_ERROR_SQLSTATE
SELECT a.key = b.key AS same, abs(a.score - b.score) < 1e-9 AS equal
FROM oss_labels.images_for('{"Cat": 1e300, "Sofa": 1e300}', 1) a, oss_labels.images_for('{"Cat": 1, "Sofa": 1}', 1) b;
SELECT count(*), count(*) FILTER (WHERE score > 0 AND score <= 1 + 1e-9) AS cosines
FROM oss_labels.images_for('{"Cat": 1e-300, "Sofa": null, "Unicorn": 5}', 2147483647, NULL);
SELECT count(*) FROM oss_labels.images_for('{"Cat": 1}', 0);
SELECT count(*) FROM oss_labels.images_for('{"Cat": 1}', NULL, NULL);
SELECT key FROM oss_labels.images_for('{"Sky": 1, "Cat": -10, "Tree": -10}', 1);

-- of many images those that promise most are compared
SELECT count(*), count(*) FILTER (WHERE key LIKE 'common%') AS common
FROM oss_labels.rank_images('{Cat,Sky}', '{1,0.2}', NULL, 5, NULL, 15, NULL, NULL) JOIN oss_labels.image USING (image_id);

-- house rules and corrections count, and a label below two parents counts once
INSERT INTO oss_labels.label_alias VALUES ('Kitty', 'Cat');
SELECT pg_temp.store('kitty', '{Sky,Kitty,Sofa}', '{0.5,0.95,0.5}');
SELECT oss_labels.correct('related', 'dog', 'Cat', true), oss_labels.correct('related', 'cat2', 'Cat', false);
SELECT key FROM oss_labels.images_for('{"Cat": 1}', 1000, NULL) WHERE key IN ('kitty', 'dog', 'cat2') ORDER BY key;
INSERT INTO oss_labels.label_rule (label_name, hidden) VALUES ('Cat', true);
SELECT count(*) FROM oss_labels.images_for('{"Cat": 1}');
DELETE FROM oss_labels.label_rule;
DELETE FROM oss_labels.label_alias;
SELECT oss_labels.import_labels('{"Labels": [{"LabelName": "Yak", "ParentLabelName": "Animal", "LabelConfidence": 0.9},
	{"LabelName": "Yak", "ParentLabelName": "Cattle", "LabelConfidence": 0.5}]}', 'related', k) FROM unnest('{yak1,yak2}'::text[]) k;
SELECT key, round(score::numeric, 9) AS score FROM oss_labels.related_images('related', 'yak1');

-- neither versions nor labels that do not count take the room of candidates
SELECT count(oss_labels.import_labels('{"Labels": [{"LabelName": "Lion", "LabelConfidence": 0.99}]}', 'room', 'lion', version_id => i::text)) FROM generate_series(1, 60) i;
SELECT oss_labels.import_labels('{"Labels": [{"LabelName": "Lion", "LabelConfidence": 0.9}]}', 'room', 'lion');
SELECT key, version_id FROM oss_labels.rank_images('{Lion}', '{1}', NULL, 1, NULL, 2, NULL, NULL) JOIN oss_labels.image USING (image_id);
SELECT key, version_id FROM oss_labels.rank_images('{Lion}', '{1}', NULL, 1, NULL, 2, 'room', NULL) JOIN oss_labels.image USING (image_id);
SELECT key, version_id FROM oss_labels.related_images('room', 'lion', version_id => '7');
SELECT count(oss_labels.import_labels('{"Labels": [{"LabelName": "Lynx", "LabelConfidence": 0.6}, {"LabelName": "Puma", "LabelConfidence": 0.6}]}',
	'room', 'dim' || i)) FROM generate_series(1, 60) i;
SELECT oss_labels.import_labels('{"Labels": [{"LabelName": "Lynx", "LabelConfidence": 0.9}]}', 'room', 'lynx'),
	   oss_labels.import_labels('{"Labels": [{"LabelName": "Puma", "LabelConfidence": 0.8}]}', 'room', 'puma'),
	   oss_labels.import_labels('{"Labels": [{"LabelName": "Lynx"}]}', 'room', 'unrated');
SET oss_labels.read_threshold = 0.7;
SELECT count(*) FROM oss_labels.rank_images('{Lynx,Puma}', '{1,1}', NULL, 1, NULL, 2, NULL, NULL);
SELECT key FROM oss_labels.images_for('{"Lynx": 1}', max_likeness => NULL) ORDER BY key;
INSERT INTO oss_labels.label_rule (label_name, min_confidence) VALUES ('Lynx', 0.5);
SELECT count(*), count(*) FILTER (WHERE key = 'unrated') AS unrated FROM oss_labels.images_for('{"Lynx": 1}', 100, NULL);
DELETE FROM oss_labels.label_rule;
RESET oss_labels.read_threshold;
SELECT count(*) FROM (SELECT oss_labels.forget(bucket, key, version_id) FROM oss_labels.image WHERE bucket = 'room') f;

-- for pgvector
SELECT oss_labels.image_sparsevec('related', 'dog'), oss_labels.image_sparsevec('related', 'nope');
SELECT count(*) FROM (SELECT oss_labels.forget(bucket, key) FROM oss_labels.image WHERE bucket = 'related') f;
\o /dev/null
DELETE FROM oss_labels.image;
