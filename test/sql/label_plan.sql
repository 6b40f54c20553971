-- The questions that reports ask most are index scans.
\o /dev/null
DELETE FROM oss_labels.image;
\o
SELECT setseed(0.7);
INSERT INTO oss_labels.image (image_id, tagged_at, thr, label_count, bucket, key, response)
SELECT oss_labels.image_id('plan', i || '.jpg'), now(), 0, 10, 'plan', i || '.jpg', '{"Labels": []}' FROM generate_series(1, 4000) i;
CREATE TEMP TABLE given AS
SELECT image_id, 'Label ' || floor(200 ^ random()) AS label_name, 'Parent ' || floor(random() * 10) AS parent_label_name
FROM oss_labels.image, generate_series(1, 10);
INSERT INTO oss_labels.vocabulary (label_name, parent_label_name) SELECT DISTINCT label_name, parent_label_name FROM given;
INSERT INTO oss_labels.image_label
SELECT image_id, oss_labels.label_id(label_name, parent_label_name), random(), random() FROM given;
INSERT INTO oss_labels.label_rule (label_name, min_confidence) VALUES ('Label 1', 0.5);
VACUUM (ANALYZE) oss_labels.image, oss_labels.image_label, oss_labels.vocabulary, oss_labels.label_rule;
CREATE FUNCTION pg_temp.plan(query text, OUT scans_index boolean, OUT sorts boolean, OUT reads_all boolean) AS $$
DECLARE
	line text;
BEGIN
	scans_index := false;
	sorts := false;
	reads_all := false;
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		scans_index := scans_index OR line ~ 'Index .*image_label_(label_id|image_id)_idx';
		sorts := sorts OR line ~ 'Sort';
		reads_all := reads_all OR line ~ 'Seq Scan on image(_label)?\M';
	END LOOP;
END $$ LANGUAGE plpgsql;

-- bitmap scans would do too where autovacuum keeps pages from being all visible
SET enable_bitmapscan = off;

-- images with a label at a confidence, best first
SELECT * FROM pg_temp.plan($$SELECT bucket, key, label_confidence FROM oss_labels.label
	WHERE label_name = 'Label 3' AND label_confidence >= 0.9 ORDER BY label_confidence DESC LIMIT 20$$);
SELECT * FROM pg_temp.plan($$SELECT bucket, key, label_confidence FROM oss_labels.label
	WHERE label_name = 'Label 150' AND label_confidence >= 0.5 ORDER BY label_confidence DESC$$);

-- labels of an image, as stored, by its id, and after the house rules
SELECT * FROM pg_temp.plan($$SELECT * FROM oss_labels.label WHERE bucket = 'plan' AND key = '77.jpg'$$);
SELECT * FROM pg_temp.plan($$SELECT * FROM oss_labels.image_label WHERE image_id = oss_labels.image_id('plan', '77.jpg')$$);
SELECT scans_index, reads_all FROM pg_temp.plan($$SELECT * FROM oss_labels.effective_image_label WHERE image_id = ANY ('{77,78}')$$);

-- labels of a few rows of somebody's tables
CREATE TEMP TABLE picture AS SELECT row_number() OVER () AS id, bucket, key FROM oss_labels.image;
CREATE TEMP TABLE click AS SELECT id AS picture_id, id % 1000 AS user_id FROM picture;
ALTER TABLE picture ADD PRIMARY KEY (id);
CREATE INDEX ON click (user_id);
ANALYZE picture;
ANALYZE click;
SELECT scans_index, reads_all FROM pg_temp.plan($$SELECT * FROM picture
	JOIN oss_labels.effective_label USING (bucket, key) WHERE id BETWEEN 100 AND 110$$);
SELECT scans_index, reads_all FROM pg_temp.plan($$SELECT * FROM click JOIN picture ON picture.id = picture_id
	JOIN oss_labels.effective_label USING (bucket, key) WHERE user_id = 7$$);
CREATE TEMP TABLE visitor AS SELECT id AS user_id, 'visitor ' || id AS name FROM picture WHERE id <= 1000;
ALTER TABLE visitor ADD PRIMARY KEY (user_id);
ANALYZE visitor;
SELECT scans_index, reads_all FROM pg_temp.plan($$SELECT * FROM visitor JOIN click USING (user_id) JOIN picture ON picture.id = picture_id
	JOIN oss_labels.effective_label USING (bucket, key) WHERE user_id BETWEEN 7 AND 8$$);

-- of four tables, too, and of keys in any collation
CREATE TEMP TABLE country AS SELECT user_id, 'country ' || user_id AS country FROM visitor;
ALTER TABLE country ADD PRIMARY KEY (user_id);
CREATE TEMP TABLE file AS SELECT id, bucket COLLATE "C" AS bucket, key COLLATE "C" AS key FROM picture;
ALTER TABLE file ADD PRIMARY KEY (id);
ANALYZE country;
ANALYZE file;
SELECT scans_index, reads_all FROM pg_temp.plan($$SELECT * FROM country JOIN visitor USING (user_id) JOIN click USING (user_id) JOIN picture ON picture.id = picture_id
	JOIN oss_labels.effective_label USING (bucket, key) WHERE user_id BETWEEN 7 AND 8$$);
SELECT scans_index, reads_all FROM pg_temp.plan($$SELECT * FROM file JOIN oss_labels.label USING (bucket, key) WHERE id = 7$$);
SELECT scans_index, reads_all FROM pg_temp.plan($$SELECT * FROM file JOIN oss_labels.effective_label USING (bucket, key) WHERE id = 7$$);

-- keys that begin with a text
SELECT scans_index, reads_all FROM pg_temp.plan($$SELECT * FROM oss_labels.effective_label WHERE bucket = 'plan' AND key LIKE '77.%'$$);

-- all labels are read in parallel, with rules, aliases and corrections in force
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
CREATE FUNCTION pg_temp.gathers(query text) RETURNS boolean AS $$
DECLARE
	line text;
	found boolean := false;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		found := found OR line ~ 'Gather';
		IF line ~ 'SubPlan' THEN
			RAISE WARNING 'correlated: %', line;
		END IF;
	END LOOP;
	RETURN found;
END $$ LANGUAGE plpgsql;
SELECT pg_temp.gathers('SELECT count(*) FROM oss_labels.label'), pg_temp.gathers('SELECT count(*) FROM oss_labels.effective_label'),
	   pg_temp.gathers('SELECT label_name, count(*) FROM oss_labels.effective_image_label GROUP BY 1');

RESET enable_bitmapscan;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;

-- a label that people gave to all images is not a rare one, whose images are read whole
INSERT INTO oss_labels.label_correction (image_id, label_name, added) SELECT image_id, 'Fav', true FROM oss_labels.image;
VACUUM ANALYZE oss_labels.label_correction;
BEGIN;
SELECT count(*) AS found FROM oss_labels.search('Fav & "Label 150"', 20);
SELECT sum(pg_stat_get_xact_tuples_returned(oid)) < 5000 AS reads_few FROM pg_class WHERE relname LIKE 'image_label%';
COMMIT;

\o /dev/null
DELETE FROM oss_labels.label_rule;
DELETE FROM oss_labels.image;
