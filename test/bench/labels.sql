-- A store of :images images with about ten labels each, of 2000 labels in 40
-- categories: half of them drawn from all (rank r with probability ~ 1/r), half
-- from the image's theme, of which there are 400.
SELECT setseed(0.42);
INSERT INTO oss_labels.image (tagged_at, thr, label_count, bucket, key, response)
SELECT now(), 0, 10, 'bench', 'image/' || i || '.jpg', '{"Labels": []}'
FROM generate_series(1, :images) i;
INSERT INTO oss_labels.image_label (image_id, label_confidence, centric_score,
	label_level, label_name, parent_label_name, language)
SELECT image_id, 0.3 + 0.7 * random(), random(), 2, 'Label ' || label,
	'Category ' || label % 40, 'en-us'
FROM (
	SELECT DISTINCT d.image_id, CASE WHEN d.draw <= 5
		THEN floor(2001 ^ d.r)::integer
		ELSE 1 + (d.image_id % 400 * 5 + floor(61 ^ d.r)::integer * 13) % 2000 END AS label
	FROM (
		SELECT i.image_id, n.draw, random() AS r
		FROM oss_labels.image i, generate_series(1, 10) n (draw)
		WHERE i.bucket = 'bench') d) l
ORDER BY image_id;
VACUUM (ANALYZE) oss_labels.image, oss_labels.image_label, oss_labels.known_label;
