-- Errors come in their row's turn, as in the ordinary plan.
\i test/sql/include/pipeline.sql
\set VERBOSITY sqlstate
\! $OSS_CONTROL GET '/fault?status=404&code=NoSuchKey&key=p4.jpg' >/dev/null
CREATE VIEW labeled AS
SELECT p.id, l.label_name FROM photo p, LATERAL oss_labels.detect(p.bucket, p.key) l;

-- all labels of the images before it, then the error
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM labeled;
FETCH 9 FROM c;
FETCH 1 FROM c;
ROLLBACK;
-- a LIMIT that ends before it never sees it
SELECT count(*) FROM (SELECT FROM labeled LIMIT 9) x;
SELECT count(*) FROM (SELECT FROM labeled LIMIT 10) x;

-- an image that only a later row asks for fails there
SELECT count(*) FROM (SELECT FROM labeled WHERE id <> 4) x;
-- 4 to 7, 3 to 5, 4 to 7 and 99: an error or a LIMIT may come before what was
-- started last is sent
\! n=$($OSS_CONTROL GET '/count?name=label_requests'); [ $n -ge 110 ] && [ $n -le 118 ] && echo ok; $OSS_CONTROL GET '/reset?what=counters' >/dev/null

-- try_detect() gives its row in its place
SELECT p.id, l.label_name IS NOT NULL AS labeled, l.http_status, l.error_code
FROM photo p, LATERAL oss_labels.try_detect(p.bucket, p.key) l WHERE p.id BETWEEN 3 AND 5;
:requests
SELECT p.id, l.http_status, l.error_code
FROM photo p LEFT JOIN LATERAL oss_labels.try_detect(p.bucket, p.key) l
	ON l.error_code IS NOT NULL
WHERE p.id BETWEEN 3 AND 5;
:requests

-- arguments: the ordinary plan raises 22023 at the row, before any request for it
CREATE TABLE bad (id integer PRIMARY KEY, bucket text, key text, thr float8, server name);
INSERT INTO bad SELECT i, 'album', 'p' || i || '.jpg', 0.5, 'oss' FROM generate_series(11, 30) i;
ANALYZE bad;
CREATE FUNCTION rows_before_error(bad_id integer) RETURNS text LANGUAGE plpgsql AS
$$
DECLARE
	r record;
	n integer := 0;
BEGIN
	FOR r IN SELECT b.id, l.label_name
		FROM bad b, LATERAL oss_labels.detect(b.bucket, b.key, thr => b.thr, server => b.server) l
	LOOP
		n := n + 1;
		IF r.id >= bad_id THEN
			RETURN 'a row of ' || r.id;
		END IF;
	END LOOP;
	RETURN n || ' rows, no error';
EXCEPTION WHEN OTHERS THEN
	RETURN n || ' rows, ' || SQLSTATE;
END
$$;
SELECT rows_before_error(99);
\set QUIET on
UPDATE bad SET bucket = 'NOT A BUCKET' WHERE id = 15;
\set QUIET off
SELECT rows_before_error(15);
\set QUIET on
UPDATE bad SET bucket = 'album', thr = 7 WHERE id = 15;
\set QUIET off
SELECT rows_before_error(15);
\set QUIET on
UPDATE bad SET thr = 0.5, key = '' WHERE id = 15;
\set QUIET off
SELECT rows_before_error(15);
\set QUIET on
UPDATE bad SET key = 'p15.jpg', server = 'nowhere' WHERE id = 15;
\set QUIET off
SELECT rows_before_error(15);
\set QUIET on
UPDATE bad SET server = 'oss' WHERE id = 15;
\set QUIET off
:requests
-- the same without the pipeline
SET oss_labels.pipeline = off;
UPDATE bad SET server = 'nowhere' WHERE id = 15;
SELECT rows_before_error(15);
UPDATE bad SET server = 'oss', thr = 7 WHERE id = 15;
SELECT rows_before_error(15);
RESET oss_labels.pipeline;
:requests
-- an argument that can't be computed
UPDATE bad SET thr = 0.5;
BEGIN;
DECLARE c CURSOR FOR SELECT b.id
FROM (SELECT * FROM bad ORDER BY id) b,
	LATERAL oss_labels.detect(b.bucket, 'p' || 20 + 10 / (b.id - 13) || '.jpg') l;
FETCH 6 FROM c;
FETCH 1 FROM c;
ROLLBACK;
BEGIN;
DECLARE c CURSOR FOR SELECT b.id
FROM (SELECT * FROM bad ORDER BY id) b LEFT JOIN
	LATERAL oss_labels.detect(b.bucket, b.key) l ON 10 / (b.id - 13) > 0;
FETCH 2 FROM c;
FETCH 1 FROM c;
ROLLBACK;
-- a sublink that only later rows need is not run ahead of their turn
UPDATE bad SET key = NULL WHERE id > 13;
SELECT count(DISTINCT b.id) FROM (SELECT * FROM bad ORDER BY id) b,
	LATERAL oss_labels.detect(b.bucket, CASE WHEN b.id > 13 THEN
		(SELECT p.key FROM photo p WHERE p.id > 50 LIMIT 1) ELSE b.key END) l;
BEGIN;
DECLARE c CURSOR FOR SELECT b.id
FROM (SELECT * FROM bad ORDER BY id) b,
	LATERAL oss_labels.detect(b.bucket, coalesce(b.key,
		(SELECT (1 / count(*))::text FROM photo p WHERE p.id < 0))) l;
FETCH 9 FROM c;
FETCH 1 FROM c;
ROLLBACK;
UPDATE bad SET key = 'p' || id || '.jpg';
:requests
-- try_detect() has rows for bad arguments; they do not hold up the window
UPDATE bad SET bucket = 'NOT A BUCKET' WHERE id % 2 = 0;
UPDATE bad SET key = '' WHERE id % 5 = 0;
:requests
SELECT count(*) FILTER (WHERE error_code IS NULL) AS labels,
	count(DISTINCT id) FILTER (WHERE error_code IS NOT NULL) AS refused
FROM (SELECT b.id, l.error_code FROM bad b, LATERAL oss_labels.try_detect(b.bucket, b.key) l) x;
:requests

-- the set-up: one request, not ten thousand
ALTER USER MAPPING FOR CURRENT_USER SERVER oss OPTIONS (SET access_key_secret 'wrong');
SELECT count(*) FROM labeled;
:requests
SELECT count(*) FROM photo p, LATERAL oss_labels.try_detect(p.bucket, p.key) l;
:requests
DROP USER MAPPING FOR CURRENT_USER SERVER oss;
SELECT count(*) FROM labeled;
SELECT count(*) FROM photo p, LATERAL oss_labels.detect(p.bucket, p.key) l WHERE p.id < 0;
:requests

SET client_min_messages = warning;
DROP VIEW labeled;
DROP TABLE bad, photo;
DROP FUNCTION rows_before_error;
