-- Recall of the best of a label, of search, and at 20 of related_images() and images_for() against brute force over
-- every stored image: :asked random images, and as many profiles of users who
-- looked at three of one theme and two of any.  Many images are equally similar, so
-- an image counts as found if it is as similar as the twentieth that brute force finds.
SET jit = off;
SET max_parallel_workers_per_gather = 2;
SET work_mem = '256MB';
SELECT setseed(0.1);
CREATE TEMP TABLE rarity AS SELECT * FROM oss_labels.label_rarity();
CREATE TEMP TABLE norm AS
	SELECT l.image_id, sqrt(sum((l.label_confidence * (1 + l.centric_score) / 2 * r.rarity) ^ 2)) AS norm
	FROM oss_labels.label l JOIN rarity r USING (label_name) GROUP BY l.image_id;
ALTER TABLE norm ADD PRIMARY KEY (image_id);
ANALYZE rarity, norm;
CREATE TEMP TABLE asked AS
	SELECT n AS who, 'bench' AS bucket, 'image/' || image || '.jpg' AS key, NULL::jsonb AS profile
	FROM (SELECT n, 1 + floor(random() * :images)::bigint AS image FROM generate_series(1, :asked) n) a
	UNION ALL
	SELECT n, NULL, NULL, oss_labels.profile(l.label_name, l.label_confidence, l.centric_score, 1)
	FROM (SELECT 1000 + u AS n, CASE WHEN i <= 3 THEN 1 + (u * 7 + i * 400) % :images
			ELSE 1 + floor(random() * :images)::bigint END AS image
		FROM generate_series(1, :asked) u, generate_series(1, 5) i) s
	JOIN oss_labels.label l ON l.bucket = 'bench' AND l.key = 'image/' || s.image || '.jpg'
	GROUP BY n;
CREATE TEMP TABLE wanted AS
	SELECT a.who, i.image_id AS except_id, l.label_name,
		oss_labels.label_weight(l.label_confidence, l.centric_score) * r.rarity AS weight
	FROM asked a JOIN oss_labels.image i USING (bucket, key)
	JOIN oss_labels.label l USING (image_id) JOIN rarity r USING (label_name)
	UNION ALL
	SELECT a.who, NULL, p.key, p.value::float8 * r.rarity
	FROM asked a, jsonb_each_text(a.profile) p JOIN rarity r ON r.label_name = p.key;
CREATE TEMP TABLE best AS
	SELECT who, min(score) AS least, count(*) AS images FROM (
		SELECT d.who, d.dot / n.norm AS score,
			row_number() OVER (PARTITION BY d.who ORDER BY d.dot / n.norm DESC) AS place
		FROM (SELECT w.who, l.image_id,
				sum(w.weight * l.label_confidence * (1 + l.centric_score) / 2 * r.rarity) AS dot
			FROM wanted w JOIN oss_labels.label l USING (label_name) JOIN rarity r USING (label_name)
			WHERE l.image_id IS DISTINCT FROM w.except_id GROUP BY w.who, l.image_id) d
		JOIN norm n USING (image_id)) s
	WHERE place <= 20 GROUP BY who;
CREATE TEMP TABLE found AS
	SELECT a.who, r.image_id FROM asked a
	CROSS JOIN LATERAL oss_labels.related_images(a.bucket, a.key, 20, max_likeness => NULL) r
	WHERE a.profile IS NULL
	UNION ALL
	SELECT a.who, r.image_id FROM asked a
	CROSS JOIN LATERAL oss_labels.images_for(a.profile, 20, NULL) r;
CREATE TEMP TABLE good AS
	SELECT who, count(*) AS images FROM (
		SELECT f.who, sum(w.weight * l.label_confidence * (1 + l.centric_score) / 2 * r.rarity) / n.norm AS score
		FROM found f JOIN norm n USING (image_id)
		JOIN oss_labels.label l USING (image_id) JOIN rarity r USING (label_name)
		JOIN wanted w ON w.who = f.who AND w.label_name = l.label_name
		GROUP BY f.who, f.image_id, n.norm) s
	JOIN best b USING (who) WHERE s.score >= b.least - 1e-9 GROUP BY who;
-- Searches against what the same says in SQL.
CREATE TEMP TABLE searched (query text, image_id bigint, wanted boolean);
INSERT INTO searched
	SELECT q, s.image_id, false
	FROM unnest(ARRAY['"Label 900" & ("Label 2" | "Label 3":0.9) & !"Label 5"', '"Label 1":0.99 & "Label 2"',
		'parent:"Category 7":0.995 & !"Label 7"']) q, oss_labels.search(q::oss_labels.label_query) s;
CREATE TEMP TABLE flags AS
	SELECT image_id, bool_or(label_name = 'Label 900') AS l900, bool_or(label_name = 'Label 2') AS l2,
		bool_or(label_name = 'Label 3' AND label_confidence >= 0.9) AS l3, bool_or(label_name = 'Label 5') AS l5,
		bool_or(label_name = 'Label 1' AND label_confidence >= 0.99) AS l1, bool_or(label_name = 'Label 7') AS l7,
		bool_or(parent_label_name = 'Category 7' AND label_confidence >= 0.995) AS c7
	FROM oss_labels.label
	WHERE parent_label_name = 'Category 7' OR label_name = ANY ('{Label 900,Label 2,Label 3,Label 5,Label 1}')
	GROUP BY image_id;
INSERT INTO searched
	SELECT '"Label 900" & ("Label 2" | "Label 3":0.9) & !"Label 5"', image_id, true FROM flags WHERE l900 AND (l2 OR l3) AND NOT l5
	UNION ALL SELECT '"Label 1":0.99 & "Label 2"', image_id, true FROM flags WHERE l1 AND l2
	UNION ALL SELECT 'parent:"Category 7":0.995 & !"Label 7"', image_id, true FROM flags WHERE c7 AND NOT l7;
CREATE TEMP TABLE top AS SELECT image_id, label_confidence FROM oss_labels.label WHERE :best;
SET enable_indexscan = off;
SET enable_indexonlyscan = off;
SET enable_bitmapscan = off;
SELECT
	(SELECT count(*) / 20.0 FROM top JOIN (
		SELECT label_confidence FROM oss_labels.label WHERE :best) b USING (label_confidence)),
	(SELECT count(*) FILTER (WHERE twice)::float8 / nullif(count(*), 0) FROM (
		SELECT count(DISTINCT wanted) = 2 AS twice FROM searched GROUP BY query, image_id) s),
	sum(g.images) FILTER (WHERE who < 1000) / sum(b.images) FILTER (WHERE who < 1000),
	sum(g.images) FILTER (WHERE who > 1000) / sum(b.images) FILTER (WHERE who > 1000)
FROM best b LEFT JOIN good g USING (who);
