-- What make demo shows: every statement and what it returns.  An application whose users
-- look at the photos of a bucket, from the first call to what it recommends to them.
\set ON_ERROR_STOP on
\pset footer off
\pset null ''

\echo '=== The extension, a server and the credentials of a role ==='
\set ECHO queries
\ir setup.sql
\set QUIET on
\set ECHO none

\echo '=== 1. One call: the labels of an image ==='
\set ECHO queries
SELECT label_name, parent_label_name, label_level, label_confidence, centric_score
FROM oss_labels.detect('examplebucket', 'example.jpg');

-- an error says what the service said, and what to do next
\set ON_ERROR_STOP off
SELECT * FROM oss_labels.detect('examplebucket', 'no-such.jpg');
\set ON_ERROR_STOP on
\if :ERROR
\else
DO $$BEGIN RAISE 'a missing image must be an error'; END$$;
\endif
\set ECHO none
\! test/demo/images "$OSS_DATA/image-demo" >/dev/null

\echo '=== 2. One bucket, kept in step: fifty pictures, no table of them ==='
\set ECHO queries
SELECT oss_labels.sync_bucket('image-demo', prefix => 'album/');
CALL oss_labels.wait_for_queue('60 s');
SELECT listed, new, changed, unchanged, failed, list_requests,
	spent AS label_requests
FROM oss_labels.bucket_sync;

-- one picture changes: one request
\! "$OSS_CONTROL" GET '/object?bucket=image-demo&key=album/beach-0.png&changed=1' >/dev/null
SELECT oss_labels.sync_bucket('image-demo', prefix => 'album/');
CALL oss_labels.wait_for_queue('60 s');
SELECT listed, new, changed, unchanged, failed, list_requests,
	spent AS label_requests
FROM oss_labels.bucket_sync;
\set ECHO none

\echo '=== 3. A budget that stops: four requests a day for six photos ==='
\set ECHO queries
SELECT oss_labels.set_budget(4, 'day', bucket => 'examplebucket') AS budget;
SELECT p.key, l.error_code,
	string_agg(l.label_name, ', ' ORDER BY l.label_confidence DESC) AS labels
FROM photo p, LATERAL oss_labels.try_detect('examplebucket', p.key) l
GROUP BY p.id, l.error_code ORDER BY p.id;
\set ON_ERROR_STOP off
SELECT label_name FROM oss_labels.detect('examplebucket', 'photos/street.jpg');
\set ON_ERROR_STOP on
\if :ERROR
\else
DO $$BEGIN RAISE 'a request over the budget must be an error'; END$$;
\endif
\set ECHO none

\echo '=== 4. The account of what was spent ==='
\set ECHO queries
SELECT bucket, requests, u.billed, refused, over_budget, listings,
	round(cost, 6) AS cost
FROM oss_labels.usage u
JOIN oss_labels.cost USING (day, server, requester, bucket)
ORDER BY bucket;
\set ECHO none
\set requests `"$OSS_CONTROL" GET '/count?name=label_requests'`
\echo 'Label requests that the service counted:' :requests
\echo

\echo '=== 5. Search: in the words of the house, with rules ==='
\set ECHO queries
INSERT INTO oss_labels.label_alias VALUES ('猫', 'Cat');
INSERT INTO oss_labels.label_rule (label_name, hidden)
VALUES ('Table', true);
SELECT parent_label_name, label_name, images,
	round(avg_confidence::numeric, 2) AS avg
FROM oss_labels.label_rollup
WHERE NOT total ORDER BY images DESC, label_name LIMIT 8;
SELECT key, score FROM oss_labels.search(
	'Beach & (Sunset | "Blue Sky") & !Crowd', 5);
\set ECHO none

\echo '=== 6. Albums: rules, with people on top ==='
\set ECHO queries
INSERT INTO oss_labels.album (name, owner, rule) VALUES
	('Quiet beaches', 'Mei', 'Beach & !Crowd'),
	('Pets', 'Mei', 'parent:Animal'),
	('Dinners', 'Mei', 'parent:Food:0.8'),
	('City nights', 'Mei', '"Night View" & !Crowd');
SELECT oss_labels.pin(album_id, 'image-demo', 'album/city-2.png')
FROM oss_labels.album WHERE name = 'City nights';
SELECT oss_labels.pin(album_id, 'image-demo', 'album/beach-7.png', false)
FROM oss_labels.album WHERE name = 'Quiet beaches';
SELECT name, count(*) AS images, count(*) FILTER (WHERE pinned) AS pinned
FROM oss_labels.album_member GROUP BY name ORDER BY name;
\set ECHO none

CREATE TABLE app_user (user_id integer PRIMARY KEY, name text);
INSERT INTO app_user VALUES (1, 'Mei'), (2, 'Bo'), (3, 'Lin');
CREATE TABLE click (user_id integer, key text);
INSERT INTO click VALUES (1, 'album/cat-1.png'), (1, 'album/cat-3.png'),
	(2, 'album/beach-0.png'), (2, 'album/beach-3.png'), (2, 'album/city-2.png');
INSERT INTO click SELECT 3, 'album/dinner-' || n || '.png' FROM generate_series(0, 8, 2) n;
\echo '=== 7. Recommendations: like this one, and for each user ==='
\set ECHO queries
SELECT key, round(score::numeric, 3) AS score
FROM oss_labels.related_images('image-demo', 'album/beach-0.png', 4);
SELECT u.name, r.key, round(r.score::numeric, 3) AS score
FROM app_user u
CROSS JOIN LATERAL (
	SELECT oss_labels.profile(l.label_name, l.label_confidence,
		l.centric_score, 1) AS likes
	FROM click c JOIN oss_labels.effective_label l USING (key)
	WHERE c.user_id = u.user_id AND l.bucket = 'image-demo') p
CROSS JOIN LATERAL (
	SELECT r.key, r.score FROM oss_labels.images_for(p.likes, 40) r
	WHERE NOT EXISTS (SELECT FROM click c
		WHERE c.user_id = u.user_id AND c.key = r.key)
	ORDER BY r.score DESC LIMIT 2) r
ORDER BY u.name, score DESC;
