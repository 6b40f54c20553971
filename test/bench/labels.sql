-- A store of :images images with about ten labels each, of 2000 labels in 40
-- categories: half of them drawn from all (rank r with probability ~ 1/r), half
-- from the image's theme, of which there are 400.
SELECT setseed(0.42);
INSERT INTO oss_labels.image (image_id, tagged_at, thr, label_count, bucket, key, response)
SELECT oss_labels.image_id('bench', 'image/' || i || '.jpg'), now(), 0, 10, 'bench', 'image/' || i || '.jpg', '{"Labels": []}'
FROM generate_series(1, :images) i;
INSERT INTO oss_labels.vocabulary (label_name, parent_label_name, label_level, language)
SELECT 'Label ' || label, 'Category ' || label % 40, 2, 'en-us' FROM generate_series(1, 2000) label;
CREATE TEMP TABLE number AS
SELECT label, oss_labels.label_id('Label ' || label, 'Category ' || label % 40, 2, 'en-us') AS label_id
FROM generate_series(1, 2000) label;
INSERT INTO oss_labels.image_label (image_id, label_id, label_confidence, centric_score)
SELECT l.image_id, n.label_id, 0.3 + 0.7 * random(), random()
FROM (
	SELECT DISTINCT d.image_id, CASE WHEN d.draw <= 5
		THEN floor(2001 ^ d.r)::integer
		ELSE 1 + (d.i % 400 * 5 + floor(61 ^ d.r)::integer * 13) % 2000 END AS label
	FROM (
		SELECT i.image_id, substr(i.key, 7, length(i.key) - 10)::bigint AS i, n.draw, random() AS r
		FROM oss_labels.image i, generate_series(1, 10) n (draw)
		WHERE i.bucket = 'bench') d) l
JOIN number n USING (label)
ORDER BY l.image_id;
VACUUM (ANALYZE) oss_labels.image, oss_labels.image_label, oss_labels.vocabulary;
