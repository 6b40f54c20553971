-- Recall of related_images() at 20 against brute force, over 10 random images,
-- and the median of its milliseconds over 30.
SET jit = off;
SELECT setseed(0.1);
CREATE TEMP TABLE asked AS
	SELECT 1 + floor(random() * :images)::bigint AS n FROM generate_series(1, 10);
CREATE TEMP TABLE rarity AS SELECT * FROM oss_labels.label_rarity();
CREATE TEMP TABLE wanted AS
	SELECT i.image_id, l.label_name, oss_labels.label_weight(l.label_confidence, l.centric_score) * r.rarity AS w
	FROM asked a JOIN oss_labels.image i ON i.bucket = 'bench' AND i.key = 'image/' || a.n || '.jpg'
	JOIN oss_labels.image_label l USING (image_id) JOIN rarity r USING (label_name);
CREATE TEMP TABLE brute AS
	SELECT w.image_id AS asked, l.image_id,
		sum(w.w * oss_labels.label_weight(l.label_confidence, l.centric_score) * r.rarity) AS dot
	FROM wanted w JOIN oss_labels.image_label l USING (label_name) JOIN rarity r USING (label_name)
	WHERE w.image_id <> l.image_id GROUP BY 1, 2;
CREATE TEMP TABLE best AS
	SELECT asked, image_id, row_number() OVER (PARTITION BY asked ORDER BY score DESC) AS place
	FROM (SELECT b.asked, b.image_id, b.dot / n.norm AS score
		FROM (SELECT *, row_number() OVER (PARTITION BY asked ORDER BY dot DESC) AS p FROM brute) b
		CROSS JOIN LATERAL (SELECT sqrt(sum((oss_labels.label_weight(l.label_confidence, l.centric_score)
				* r.rarity) ^ 2)) AS norm
			FROM oss_labels.image_label l JOIN rarity r USING (label_name)
			WHERE l.image_id = b.image_id) n
		WHERE b.p <= 3000) s;
SELECT count(r.image_id)::float8 / count(*) AS recall
FROM best b
JOIN oss_labels.image i ON i.image_id = b.asked
LEFT JOIN LATERAL (
	SELECT r.image_id FROM oss_labels.related_images(i.bucket, i.key, 20, max_likeness => NULL) r
	WHERE r.image_id = b.image_id) r ON true
WHERE b.place <= 20;
