-- The four uses of the service's help page, as the README shows them.
\i test/sql/include/server.sql
\pset null NULL
\o /dev/null
DELETE FROM oss_labels.image;
\o
\! test/demo/images "$OSS_DATA/image-demo" >/dev/null
CREATE TABLE photo (id integer GENERATED ALWAYS AS IDENTITY, bucket text, key text);
INSERT INTO photo (bucket, key)
SELECT 'image-demo', 'album/' || t || '-' || n || '.png'
FROM unnest('{beach,cat,city,dinner,mountain}'::text[]) t, generate_series(0, 9) n ORDER BY t, n;

-- content identification
SELECT p.id, l.label_name, l.label_confidence
FROM photo p, LATERAL oss_labels.tag(p.bucket, p.key, thr => 0) l
WHERE l.label_confidence >= 0.95 ORDER BY p.id, l.label_name;
SELECT bucket, key, label_confidence FROM oss_labels.label
WHERE label_name = 'Beach' AND label_confidence >= 0.9
ORDER BY label_confidence DESC LIMIT 3;
SELECT label_name, count(*) FROM photo JOIN oss_labels.effective_label USING (bucket, key)
GROUP BY label_name ORDER BY count(*) DESC, label_name LIMIT 5;

-- smart albums
INSERT INTO oss_labels.album (name, owner, rule) VALUES
	('Quiet beaches', 'mei', 'Beach & !Crowd'), ('Good food', 'mei', 'parent:Food:0.8');
SELECT key, score FROM oss_labels.album_member
WHERE owner = 'mei' AND name = 'Quiet beaches' ORDER BY score DESC, key;
SELECT oss_labels.pin(album_id, 'image-demo', 'album/beach-9.png', false)
FROM oss_labels.album WHERE name = 'Quiet beaches';
SELECT name FROM oss_labels.albums_of('image-demo', 'album/dinner-1.png');

-- scene analysis
INSERT INTO oss_labels.label_alias VALUES ('猫', 'Cat');
INSERT INTO oss_labels.label_rule (label_name, min_confidence, hidden) VALUES
	('Sea', 0.8, false), ('Table', NULL, true);
SELECT oss_labels.correct('image-demo', 'album/cat-0.png', 'Kitten', true, 'Animal', corrected_by => 'mei');
SELECT parent_label_name, label_name, images FROM oss_labels.label_rollup
WHERE NOT total ORDER BY images DESC, label_name LIMIT 5;
SELECT key, score FROM oss_labels.search('Beach & (Sunset | "Blue Sky":0.9) & !Crowd', 3)
ORDER BY score DESC, key;
SELECT id FROM photo WHERE (bucket, key) IN (
	SELECT bucket, key FROM oss_labels.search('parent:Animal')) ORDER BY id;

-- content recommendation
SELECT key, round(score::numeric, 3) AS score
FROM oss_labels.related_images('image-demo', 'album/beach-0.png', max_rows => 3);
CREATE TABLE click (user_id integer, photo_id integer);
INSERT INTO click SELECT 1, id FROM photo WHERE key IN ('album/beach-0.png', 'album/beach-3.png');
SELECT r.key FROM oss_labels.images_for((
	SELECT oss_labels.profile(label_name, label_confidence, centric_score, 1)
	FROM click JOIN photo ON photo.id = photo_id JOIN oss_labels.effective_label USING (bucket, key)
	WHERE user_id = 1), 40) r
WHERE NOT EXISTS (SELECT FROM click JOIN photo ON photo.id = photo_id
	WHERE user_id = 1 AND photo.key = r.key)
ORDER BY r.score DESC LIMIT 2;

-- one request per photo, whatever was read
\! $OSS_CONTROL GET '/count?name=label_requests'
\o /dev/null
DELETE FROM oss_labels.album;
DELETE FROM oss_labels.label_alias;
DELETE FROM oss_labels.label_rule;
DELETE FROM oss_labels.image;
DROP TABLE photo, click;
SET client_min_messages = warning;
DROP SERVER oss CASCADE;
