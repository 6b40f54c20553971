-- An application: users post photos and click on them; labels come by themselves.
\set ON_ERROR_STOP on
\set QUIET on
\pset footer off
\pset null ''
\getenv port OSS_HTTP_PORT
\set endpoint http://127.0.0.1: :port
CREATE EXTENSION oss_labels;
CREATE SERVER oss FOREIGN DATA WRAPPER oss_labels
	OPTIONS (region 'cn-hangzhou', endpoint :'endpoint');
CREATE USER MAPPING FOR CURRENT_USER SERVER oss
	OPTIONS (access_key_id 'testid', access_key_secret 'testsecret');
CREATE TABLE app_user (user_id integer PRIMARY KEY, name text);
INSERT INTO app_user VALUES (1, 'Mei'), (2, 'Bo'), (3, 'Lin');
CREATE TABLE post (post_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	user_id integer, bucket text DEFAULT 'image-demo', key text);
CREATE TABLE click (user_id integer, post_id integer, weight float8 DEFAULT 1);

\echo '=== An application that watches its table of posts: inserting is all it does ==='
\set ECHO queries
SELECT oss_labels.watch('post', 'key', bucket_column => 'bucket');
\set ECHO none
\copy post (key) FROM PROGRAM 'test/demo/images "$OSS_DATA/image-demo"'
UPDATE post SET user_id = 1 + post_id % 3;
CALL oss_labels.wait_for_queue('60 s');
INSERT INTO click SELECT 1, post_id, 1 FROM post WHERE key IN ('album/cat-1.png', 'album/cat-3.png');
INSERT INTO click SELECT 2, post_id, 1 FROM post WHERE key IN ('album/beach-0.png', 'album/beach-3.png', 'album/city-2.png');
INSERT INTO click SELECT 3, post_id, 1 FROM post WHERE key LIKE 'album/dinner-%' AND post_id % 2 = 0;
\set ECHO queries

SELECT count(*) AS posts, count(i.image_id) AS tagged, sum(i.label_count) AS labels
FROM post LEFT JOIN oss_labels.image i USING (bucket, key);

\echo '=== Content identification: what is in the pictures, in the words of the house ==='
INSERT INTO oss_labels.label_alias VALUES ('猫', 'Cat');
INSERT INTO oss_labels.label_rule (label_name, hidden) VALUES ('Table', true);
SELECT parent_label_name, label_name, images, round(avg_confidence::numeric, 2) AS avg
FROM oss_labels.label_rollup WHERE NOT total ORDER BY images DESC, label_name LIMIT 8;

\echo '=== Scene analysis: search ==='
SELECT key, score FROM oss_labels.search('Beach & (Sunset | "Blue Sky") & !Crowd', 5);

\echo '=== Smart albums: rules, with people on top ==='
INSERT INTO oss_labels.album (name, owner, rule) VALUES
	('Quiet beaches', 'Mei', 'Beach & !Crowd'), ('Pets', 'Mei', 'parent:Animal'),
	('Dinners', 'Mei', 'parent:Food:0.8'), ('City nights', 'Mei', '"Night View"');
SELECT oss_labels.pin(album_id, 'image-demo', 'album/beach-9.png', false) FROM oss_labels.album WHERE name = 'Quiet beaches';
SELECT oss_labels.pin(album_id, 'image-demo', 'album/cat-0.png') FROM oss_labels.album WHERE name = 'City nights';
SELECT name, count(*) AS images, count(*) FILTER (WHERE pinned) AS pinned
FROM oss_labels.album_member GROUP BY name ORDER BY name;

\echo '=== Content recommendation: like this one, and for each user ==='
SELECT key, round(score::numeric, 3) AS score
FROM oss_labels.related_images('image-demo', 'album/beach-0.png', 4);
SELECT u.name, r.key, round(r.score::numeric, 3) AS score
FROM app_user u
CROSS JOIN LATERAL (
	SELECT oss_labels.profile(l.label_name, l.label_confidence, l.centric_score, c.weight) AS likes
	FROM click c JOIN post p USING (post_id) JOIN oss_labels.effective_label l USING (bucket, key)
	WHERE c.user_id = u.user_id) p
CROSS JOIN LATERAL (
	SELECT r.key, r.score FROM oss_labels.images_for(p.likes, 40) r
	WHERE NOT EXISTS (SELECT FROM click c JOIN post s USING (post_id)
		WHERE c.user_id = u.user_id AND s.key = r.key)
	ORDER BY r.score DESC LIMIT 2) r
ORDER BY u.name, score DESC;

\set ECHO none
\set requests `"$OSS_CONTROL" GET '/count?name=label_requests'`
\echo '=== All of that after one label request per picture ==='
\echo :requests
