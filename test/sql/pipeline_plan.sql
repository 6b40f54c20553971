-- Where the planner puts the pipeline, and where it keeps the ordinary plan.
\i test/sql/include/pipeline.sql
\set explain 'EXPLAIN (COSTS OFF)'
-- the nodes alone: what stands below them differs from one major to another
CREATE FUNCTION nodes_of(query text) RETURNS SETOF text LANGUAGE plpgsql AS
$$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query
	LOOP
		IF line !~ ': |SubPlan' THEN
			RETURN NEXT line;
		END IF;
	END LOOP;
END
$$;

-- the naive query, inner and left
:explain SELECT p.id, l.label_name
FROM photo p, LATERAL oss_labels.detect(p.bucket, p.key) l;
:explain SELECT p.id, l.label_name
FROM photo p LEFT JOIN LATERAL oss_labels.try_detect(p.bucket, p.key) l
	ON l.label_confidence > 0.9 AND p.id > 10;
EXPLAIN (VERBOSE, COSTS OFF) SELECT p.id, l.label_name
FROM photo p, LATERAL oss_labels.detect(p.bucket, p.key, thr => 0.5) l
WHERE l.label_level = 2;

-- conditions on the outer side come first, with and without an index
:explain SELECT * FROM photo p, LATERAL oss_labels.detect(p.bucket, p.key) l
WHERE p.id < 5;
:explain SELECT * FROM photo p, LATERAL oss_labels.detect(p.bucket, p.key) l
WHERE p.key LIKE 'p7%';

-- a join that drops images comes first, one that multiplies them after
:explain SELECT * FROM photo p, LATERAL oss_labels.detect(p.bucket, p.key) l, photo q
WHERE q.key = p.key AND q.id % 10 = 0;
:explain SELECT * FROM generate_series(1, 3) g, photo p,
	LATERAL oss_labels.detect(p.bucket, p.key) l;

-- never on a side that is read again and again, least of all below a LIMIT
:explain SELECT * FROM (VALUES ('Cat'), ('Dog')) v (name),
	photo p, LATERAL oss_labels.detect(p.bucket, p.key) l
WHERE l.label_name > v.name LIMIT 1;
:explain SELECT * FROM photo q, photo p, LATERAL oss_labels.detect(p.bucket, p.key) l
WHERE q.key > l.label_name LIMIT 1;

-- the order of the outer side is the order of the join: nothing to sort
SET enable_seqscan = off;
:explain SELECT * FROM photo p, LATERAL oss_labels.detect(p.bucket, p.key) l
ORDER BY p.id DESC LIMIT 3;
RESET enable_seqscan;

-- any outer side
:explain SELECT * FROM unnest(ARRAY['a', 'b']) k, LATERAL oss_labels.detect('album', k) l;
:explain SELECT * FROM (SELECT DISTINCT bucket, key FROM photo) p,
	LATERAL oss_labels.detect(p.bucket, p.key) l;
:explain WITH w AS MATERIALIZED (SELECT * FROM photo)
SELECT * FROM w p, LATERAL oss_labels.detect(p.bucket, p.key) l;

-- arguments from two relations that nothing else joins
CREATE TABLE config (bucket text);
INSERT INTO config VALUES ('album');
ANALYZE config;
:explain SELECT * FROM config c, photo p, LATERAL oss_labels.detect(c.bucket, p.key) l;

-- several calls
:explain SELECT * FROM photo p, LATERAL oss_labels.detect(p.bucket, p.key) l,
	LATERAL oss_labels.try_detect(p.bucket, l.label_name) m;

-- LEFT JOIN and IS NULL: photos without a cat
:explain SELECT p.id FROM photo p
	LEFT JOIN LATERAL oss_labels.detect(p.bucket, p.key) l ON l.label_name = 'Cat'
WHERE l.label_name IS NULL;

-- whole rows and row locks
:explain SELECT l FROM photo p, LATERAL oss_labels.detect(p.bucket, p.key) l
FOR UPDATE OF p;

-- a cursor that can scroll keeps the rows that it has read
BEGIN;
:explain DECLARE c SCROLL CURSOR FOR
SELECT p.id FROM photo p, LATERAL oss_labels.detect(p.bucket, p.key) l;
ROLLBACK;

-- in sublinks, lateral subqueries, select lists, with ordinality or other functions
:explain SELECT * FROM photo p, LATERAL oss_labels.detect(p.bucket, p.key) WITH ORDINALITY l;
:explain SELECT * FROM photo p,
	LATERAL ROWS FROM (oss_labels.detect(p.bucket, p.key), generate_series(1, 2)) l;
:explain SELECT oss_labels.detect(p.bucket, p.key) FROM photo p;
SELECT * FROM nodes_of('SELECT * FROM photo p WHERE id > 5
	AND EXISTS (SELECT FROM oss_labels.detect(p.bucket, p.key) l WHERE l.label_level = 2)');
SELECT * FROM nodes_of('SELECT * FROM photo p, LATERAL (
	SELECT array_agg(l.label_name) FROM oss_labels.detect(p.bucket, p.key) l) x');
SELECT * FROM nodes_of('UPDATE photo p SET key = (SELECT max(l.label_name) FROM oss_labels.detect(p.bucket, p.key) l)');
-- for the rows that are left of a condition before
SELECT * FROM nodes_of('SELECT id, oss_labels.detect_json(p.bucket, p.key) FROM photo p
	WHERE EXISTS (SELECT FROM oss_labels.detect(p.bucket, p.key) l WHERE l.label_level = 2)
	AND NOT EXISTS (SELECT FROM oss_labels.detect(p.bucket, p.key, thr => 0.5) l WHERE l.label_level = 2)');
-- not in a branch that may not be evaluated
:explain SELECT CASE WHEN id > 5 THEN oss_labels.detect_json(p.bucket, p.key) END FROM photo p;
:explain SELECT coalesce(to_jsonb(p.id), oss_labels.detect_json(p.bucket, p.key)) FROM photo p;
:explain SELECT FROM photo p WHERE p.id = 5 OR oss_labels.detect_json(p.bucket, p.key) ? 'Labels';
:explain SELECT count(oss_labels.detect_json(p.bucket, p.key)) FILTER (WHERE p.id = 5) FROM photo p;
SELECT * FROM nodes_of('SELECT * FROM photo p, LATERAL (SELECT FROM photo q, oss_labels.detect(p.bucket, q.key) LIMIT 1) x');
-- the ordinary plan: arguments without any column, volatile or with a sublink,
:explain SELECT * FROM photo p, LATERAL oss_labels.detect('album', 'p1.jpg') l;
:explain SELECT * FROM photo p, LATERAL oss_labels.detect(p.bucket, p.key || random()) l;
SELECT * FROM nodes_of('SELECT * FROM photo p,
	LATERAL oss_labels.detect(p.bucket, (SELECT q.key FROM photo q WHERE q.id = p.id)) l');
:explain SELECT * FROM photo p FULL JOIN oss_labels.detect('album', 'p1.jpg') l
	ON l.label_name = p.key;
-- the setting,
SET oss_labels.pipeline = off;
:explain SELECT * FROM photo p, LATERAL oss_labels.detect(p.bucket, p.key) l;
RESET oss_labels.pipeline;
-- other functions, of the same name or the same code,
CREATE SCHEMA other;
CREATE FUNCTION other.detect(bucket text, key text, thr float8 DEFAULT NULL,
	version_id text DEFAULT NULL, server name DEFAULT NULL)
RETURNS TABLE (label_name text) LANGUAGE sql VOLATILE
BEGIN ATOMIC SELECT 'other'::text; END;
:explain SELECT * FROM photo p, LATERAL other.detect(p.bucket, p.key) l;
CREATE FUNCTION other.same_code(bucket text, key text, thr float8 DEFAULT NULL,
	version_id text DEFAULT NULL, server name DEFAULT NULL)
RETURNS TABLE (label_name text, parent_label_name text, label_level integer,
	label_confidence float8, centric_score float8, language text, raw jsonb)
LANGUAGE c VOLATILE AS '$libdir/oss_labels', 'oss_labels_detect';
:explain SELECT * FROM photo p, LATERAL other.same_code(p.bucket, p.key) l;
SET client_min_messages = warning;
DROP SCHEMA other CASCADE;
RESET client_min_messages;
-- and ours, once it runs as somebody else
BEGIN;
ALTER FUNCTION oss_labels.detect SECURITY DEFINER;
:explain SELECT * FROM photo p, LATERAL oss_labels.detect(p.bucket, p.key) l;
ALTER FUNCTION oss_labels.detect SECURITY INVOKER;
:explain SELECT * FROM photo p, LATERAL oss_labels.detect(p.bucket, p.key) l;
ALTER FUNCTION oss_labels.detect SET search_path = pg_catalog;
:explain SELECT * FROM photo p, LATERAL oss_labels.detect(p.bucket, p.key) l;
ROLLBACK;
:explain SELECT * FROM photo p, LATERAL oss_labels.detect(p.bucket, p.key) l;

-- no planning and no EXPLAIN sends anything
:requests

-- rows and costs
CREATE FUNCTION plan_of(query text) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	plan jsonb;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT JSON) ' || query INTO plan;
	RETURN plan -> 0 -> 'Plan';
END
$$;
SELECT p ->> 'Plan Rows' AS rows, (p ->> 'Startup Cost')::float8 < 10 AS starts_early,
	(p ->> 'Total Cost')::float8 > 100 * 1000 AS pays_each_image
FROM plan_of('SELECT * FROM photo p, LATERAL oss_labels.detect(p.bucket, p.key) l') p;

-- EXPLAIN ANALYZE counts
SET oss_labels.concurrency = 4;
CREATE FUNCTION analyze_of(query text) RETURNS SETOF text LANGUAGE plpgsql AS
$$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE
		'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF) ' || query
	LOOP
		-- PostgreSQL 18 counts rows with decimals
		line := regexp_replace(line, '(rows=\d+)\.00', '\1');
		RETURN NEXT regexp_replace(line, 'Bytes Received: \d{4,}', 'Bytes Received: N');
	END LOOP;
END
$$;
\! $OSS_CONTROL GET '/fault?delay=20' >/dev/null
SELECT * FROM analyze_of(
	'SELECT p.id, l.label_name FROM photo p, LATERAL oss_labels.detect(p.bucket, p.key) l
	 WHERE p.id <= 30 AND l.label_level = 0');
:requests
-- rows that ask for the same image share one request
SELECT * FROM analyze_of(
	'SELECT c.n, l.label_name FROM generate_series(1, 30) c (n),
		LATERAL oss_labels.detect(''album'', ''p'' || c.n % 3 + 1 || ''.jpg'') l')
WHERE analyze_of ~ 'Requests|Coalesced';
:requests
\! $OSS_CONTROL GET /unfault >/dev/null
CREATE FUNCTION counters_of(query text) RETURNS jsonb LANGUAGE plpgsql AS
$$
DECLARE
	plan jsonb;
BEGIN
	EXECUTE 'EXPLAIN (ANALYZE, FORMAT JSON) ' || query INTO plan;
	RETURN jsonb_path_query_first(plan, '$.**{0 to last} ? (@."Custom Plan Provider" == "OSS Labels Pipeline")');
END
$$;
-- a retry
\! $OSS_CONTROL GET '/fault?status=500&code=InternalError&key=p3.jpg&times=1' >/dev/null
SELECT name, CASE name WHEN 'Bytes Received' THEN to_jsonb(value::integer > 10000) ELSE value END
FROM counters_of('SELECT * FROM photo p, LATERAL oss_labels.detect(p.bucket, p.key) l WHERE p.id <= 20') c,
	LATERAL jsonb_each(c) AS e (name, value)
WHERE name IN ('Function', 'Concurrency', 'Requests', 'Coalesced', 'Retries', 'Throttled',
	'Bytes Received', 'Started but not Delivered')
ORDER BY name;
:requests
-- what LIMIT leaves behind
\! $OSS_CONTROL GET /unfault >/dev/null
\! $OSS_CONTROL GET '/fault?delay=20' >/dev/null
SELECT c ->> 'Requests' AS requests, c ->> 'Started but not Delivered' AS undelivered
FROM counters_of('SELECT * FROM photo p, LATERAL oss_labels.detect(p.bucket, p.key) l LIMIT 7') c;
\! $OSS_CONTROL GET '/reset?what=counters' >/dev/null
\! $OSS_CONTROL GET /unfault >/dev/null
-- a throttle, after which the server is asked more slowly
\! $OSS_CONTROL GET '/fault?status=503&code=SlowDown&key=p4.jpg&times=1' >/dev/null
SELECT c ->> 'Requests' AS requests, c ->> 'Retries' AS retries, c ->> 'Throttled' AS throttled
FROM counters_of('SELECT * FROM photo p, LATERAL oss_labels.detect(p.bucket, p.key) l WHERE p.id <= 10') c;
:requests
RESET oss_labels.concurrency;

-- a plan in the cache goes with the function
PREPARE labels (integer) AS
SELECT count(*) FROM photo p, LATERAL oss_labels.detect(p.bucket, p.key) l WHERE p.id <= $1;
SET plan_cache_mode = force_generic_plan;
:explain EXECUTE labels (2);
EXECUTE labels (2);
BEGIN;
ALTER FUNCTION oss_labels.detect SECURITY DEFINER;
:explain EXECUTE labels (2);
ROLLBACK;
:explain EXECUTE labels (2);
SET plan_cache_mode = force_custom_plan;
EXECUTE labels (3);
DEALLOCATE labels;
RESET plan_cache_mode;
DROP FUNCTION nodes_of, analyze_of, plan_of, counters_of;
DROP TABLE config;
