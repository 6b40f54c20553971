-- An application: users look at the photos of a bucket; one call names it, and labels
-- come by themselves.
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
CREATE TABLE click (user_id integer, key text);
INSERT INTO click VALUES (1, 'album/cat-1.png'), (1, 'album/cat-3.png'),
	(2, 'album/beach-0.png'), (2, 'album/beach-3.png'), (2, 'album/city-2.png');
INSERT INTO click SELECT 3, 'album/dinner-' || n || '.png' FROM generate_series(0, 8, 2) n;
\! test/demo/images "$OSS_DATA/image-demo" >/dev/null

\echo '=== A bucket of fifty pictures, tagged by one call: there is no table of them ==='
\set ECHO queries
SELECT oss_labels.sync_bucket('image-demo', prefix => 'album/');
CALL oss_labels.wait_for_queue('60 s');

SELECT listed, new, stored, failed, list_requests, spent AS label_requests
FROM oss_labels.bucket_sync;

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
	SELECT oss_labels.profile(l.label_name, l.label_confidence, l.centric_score, 1) AS likes
	FROM click c JOIN oss_labels.effective_label l USING (key)
	WHERE c.user_id = u.user_id AND l.bucket = 'image-demo') p
CROSS JOIN LATERAL (
	SELECT r.key, r.score FROM oss_labels.images_for(p.likes, 40) r
	WHERE NOT EXISTS (SELECT FROM click c WHERE c.user_id = u.user_id AND c.key = r.key)
	ORDER BY r.score DESC LIMIT 2) r
ORDER BY u.name, score DESC;

\set ECHO none
\set requests `"$OSS_CONTROL" GET '/count?name=label_requests'`
\echo '=== All of that after one label request per picture ==='
\echo :requests
