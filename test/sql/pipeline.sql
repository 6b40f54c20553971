-- The pipeline gives the rows of the ordinary plan, in outer order, for no
-- more requests.
\i test/sql/include/pipeline.sql
\pset null NULL

-- rows in outer order, each image's labels together and in the order sent
\! $OSS_CONTROL GET '/fault?delay=1-30' >/dev/null
CREATE TABLE piped AS
SELECT row_number() OVER () AS n, p.id, l.*
FROM (SELECT * FROM photo ORDER BY id DESC) p, LATERAL oss_labels.detect(p.bucket, p.key) l;
:requests
\! $OSS_CONTROL GET /unfault >/dev/null
SET oss_labels.pipeline = off;
CREATE TABLE plain AS
SELECT row_number() OVER () AS n, p.id, l.*
FROM (SELECT * FROM photo ORDER BY id DESC) p, LATERAL oss_labels.detect(p.bucket, p.key) l;
:requests
RESET oss_labels.pipeline;
SELECT count(*), count(DISTINCT id) FROM piped;
(TABLE piped EXCEPT ALL TABLE plain) UNION ALL (TABLE plain EXCEPT ALL TABLE piped);

-- joins: inner, left, with conditions on labels and on the outer side
SELECT p.id, l.label_name, l.label_level
FROM photo p, LATERAL oss_labels.detect(p.bucket, p.key) l
WHERE p.id <= 4 AND l.label_confidence BETWEEN 0.8 AND 0.95;
SELECT p.id, l.label_name
FROM photo p LEFT JOIN LATERAL oss_labels.detect(p.bucket, p.key) l
	ON l.label_name = 'Cat' AND l.label_confidence > 0.92
WHERE p.id <= 4;
:requests
-- an outer condition of LEFT JOIN spares the requests that it makes useless
SELECT p.id, count(l.label_name)
FROM photo p LEFT JOIN LATERAL oss_labels.detect(p.bucket, p.key) l
	ON p.id % 3 = 0
WHERE p.id <= 6 GROUP BY p.id ORDER BY p.id;
:requests
-- what has no match
SELECT p.id
FROM photo p LEFT JOIN LATERAL oss_labels.detect(p.bucket, p.key) l
	ON l.label_name = 'Cat' AND l.label_confidence > 0.92
WHERE p.id <= 6 AND l.label_name IS NULL;
:requests

-- NULL in bucket or key: no request, and no row but for LEFT JOIN
SELECT v.*, l.label_name IS NOT NULL AS labeled
FROM (VALUES ('album', NULL), (NULL, 'p1.jpg'), ('album', 'p2.jpg'), (NULL, NULL)) v (bucket, key)
	LEFT JOIN LATERAL oss_labels.detect(v.bucket, v.key) l ON l.label_level = 2;
:requests
SELECT count(*)
FROM (VALUES ('album', NULL), (NULL, 'p1.jpg')) v (bucket, key),
	LATERAL oss_labels.detect(v.bucket, v.key) l;
:requests

-- thr and version_id from columns, server by name
SELECT t, count(l.label_name)
FROM (VALUES (0.0), (0.5), (1.0), (NULL)) v (t)
	LEFT JOIN LATERAL oss_labels.detect('examplebucket', 'example.jpg', thr => v.t, server => 'oss') l ON true
GROUP BY t ORDER BY t;
:requests

-- equal requests are one: neighbours, far apart, in other nodes of the query
SELECT count(*) FROM generate_series(1, 1000) i,
	LATERAL oss_labels.detect('album', 'p' || i % 7 + 1 || '.jpg') l;
:requests
SELECT count(*) FROM photo p,
	LATERAL oss_labels.detect(p.bucket, p.key) l,
	LATERAL oss_labels.detect(p.bucket, p.key) m
WHERE p.id <= 20;
:requests
-- but not those of another threshold
SELECT count(*) FROM (VALUES (0.1), (0.2), (0.1)) v (t),
	LATERAL oss_labels.detect('album', 'p1.jpg', thr => v.t) l;
:requests
-- and only as many as work_mem has room for are remembered
SET work_mem = '64kB';
SELECT count(*) FROM generate_series(1, 2) i, photo p,
	LATERAL oss_labels.detect(p.bucket, left(i::text, 0) || p.key) l;
\! [ $($OSS_CONTROL GET '/count?name=label_requests') = 200 ] && echo each again
:requests
RESET work_mem;

-- a chain: the second call asks for what the first one found
SELECT p.id, count(*), bool_and(m.http_status = 200)
FROM photo p, LATERAL oss_labels.detect(p.bucket, p.key) l,
	LATERAL oss_labels.try_detect(p.bucket, 'p' || length(l.label_name) || '.jpg') m
WHERE p.id <= 3 GROUP BY p.id ORDER BY p.id;
:requests

-- CTE, view, INSERT ... SELECT, DELETE, UPDATE
CREATE VIEW labeled AS
SELECT p.id, l.label_name, l.label_level FROM photo p, LATERAL oss_labels.detect(p.bucket, p.key) l;
WITH w AS MATERIALIZED (SELECT * FROM labeled WHERE id <= 5)
SELECT count(*) FROM w a JOIN w b USING (id, label_name);
:requests
CREATE TABLE stored (id integer, label_name text);
INSERT INTO stored SELECT id, label_name FROM labeled WHERE id <= 10;
:requests
SELECT count(*) FROM stored;
WITH gone AS (DELETE FROM stored WHERE id <= 2 RETURNING id)
SELECT count(*) FROM (SELECT DISTINCT id FROM gone) g JOIN photo p USING (id),
	LATERAL oss_labels.detect(p.bucket, p.key) l;
:requests
UPDATE stored SET label_name = upper(stored.label_name)
FROM photo p, LATERAL oss_labels.detect(p.bucket, p.key) l
WHERE p.id = stored.id AND l.label_name = stored.label_name;
:requests
SELECT count(*) FROM stored WHERE label_name = upper(label_name);

-- the whole row, under the names that the query gives
SELECT (to_jsonb(x) - 'raw' - 'label_confidence' - 'centric_score') ?& ARRAY['name', 'parent', 'label_level'] AS renamed,
	x IS NULL AS missing
FROM photo p LEFT JOIN LATERAL oss_labels.detect(p.bucket, p.key) x (name, parent)
	ON x.name = 'Cat' AND x.label_confidence > 0.92
WHERE p.id <= 3;
:requests

-- PL/pgSQL, and statements with parameters, planned once or each time
CREATE FUNCTION how_many(upto integer, lowest float8) RETURNS bigint LANGUAGE plpgsql AS
$$
DECLARE
	n bigint := 0;
	r record;
BEGIN
	FOR r IN SELECT p.id, l.label_name
		FROM photo p, LATERAL oss_labels.detect(p.bucket, p.key, thr => lowest) l
		WHERE p.id <= upto
	LOOP
		n := n + 1;
	END LOOP;
	RETURN n;
END
$$;
SELECT how_many(2, 0), how_many(3, 0), how_many(0, 0);
:requests
PREPARE labels (text, integer) AS
SELECT count(*) FROM photo p, LATERAL oss_labels.detect($1, p.key) l WHERE p.id <= $2;
SET plan_cache_mode = force_generic_plan;
EXECUTE labels ('album', 2);
EXECUTE labels ('album', 4);
EXECUTE labels (NULL, 4);
:requests
SET plan_cache_mode = force_custom_plan;
EXECUTE labels ('album', 2);
:requests
RESET plan_cache_mode;
DEALLOCATE labels;

-- started again by an outer loop, with other parameters each time
SELECT g, x.n FROM generate_series(1, 4) g, LATERAL (
	SELECT count(*) AS n FROM (
		SELECT FROM photo p, LATERAL oss_labels.detect(p.bucket, p.key) l
		WHERE p.id > g * 10 LIMIT 5) y) x;
\! [ $($OSS_CONTROL GET '/count?name=label_requests') -le 20 ] && echo few
:requests
SELECT q.id, (SELECT count(*) FROM photo p, LATERAL oss_labels.detect(p.bucket, p.key) l
	WHERE p.id IN (q.id, q.id + 1))
FROM photo q WHERE q.id <= 3;
:requests
-- by a recursive query
WITH RECURSIVE r (id, n) AS (
	SELECT 1, 0::bigint
	UNION ALL
	SELECT r.id + 1, (SELECT count(*) FROM photo p,
		LATERAL oss_labels.detect(p.bucket, p.key) l WHERE p.id = r.id)
	FROM r WHERE r.id < 4)
SELECT * FROM r;
:requests

-- arguments from two relations; the call restarts for each row of one
SELECT count(*) FROM (VALUES ('album'), ('album')) b (bucket),
	photo p, LATERAL oss_labels.detect(b.bucket, p.key) l WHERE p.id <= 10;
:requests

-- row locks see the labels that were fetched
BEGIN;
SELECT p.id, l.label_name IS NOT NULL AS labeled
FROM photo p, LATERAL oss_labels.detect(p.bucket, p.key) l
WHERE p.id <= 2 AND l.label_confidence > 0.8 FOR UPDATE OF p;
ROLLBACK;
:requests

-- security: row-level policies and barriers hide images from the service
CREATE ROLE regress_viewer;
GRANT USAGE ON SCHEMA oss_labels TO regress_viewer;
GRANT USAGE ON FOREIGN SERVER oss TO regress_viewer;
CREATE USER MAPPING FOR regress_viewer SERVER oss
	OPTIONS (access_key_id 'testid', access_key_secret 'testsecret');
GRANT SELECT ON photo TO regress_viewer;
ALTER TABLE photo ENABLE ROW LEVEL SECURITY;
CREATE POLICY few ON photo TO regress_viewer USING (id <= 3);
SET ROLE regress_viewer;
SELECT count(*) FROM photo p, LATERAL oss_labels.detect(p.bucket, p.key) l;
EXPLAIN SELECT count(*) FROM photo p, LATERAL oss_labels.detect(p.bucket, p.key) l;
RESET ROLE;
GRANT EXECUTE ON FUNCTION oss_labels.detect TO regress_viewer;
SET ROLE regress_viewer;
SELECT count(*) FROM photo p, LATERAL oss_labels.detect(p.bucket, p.key) l;
RESET ROLE;
:requests
CREATE VIEW barrier WITH (security_barrier) AS
SELECT p.id, l.label_name FROM photo p, LATERAL oss_labels.detect(p.bucket, p.key) l
WHERE l.label_confidence > 0.9;
CREATE FUNCTION tell(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS
$$ BEGIN RAISE NOTICE 'saw %', $1; RETURN true; END $$;
SELECT count(*) FROM barrier WHERE id <= 2 AND tell(label_name);
:requests

SET client_min_messages = warning;
DROP TABLE piped, plain, stored;
DROP VIEW labeled, barrier;
DROP FUNCTION how_many, tell;
DROP TABLE photo;
DROP OWNED BY regress_viewer;
DROP ROLE regress_viewer;
