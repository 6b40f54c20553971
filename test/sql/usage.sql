-- Accounts, prices, estimates, retag() and untagged().
\i test/sql/include/server.sql
\pset null NULL
\! $OSS_CONTROL GET '/reset?what=counters' >/dev/null
\o /dev/null
DELETE FROM oss_labels.job;
DELETE FROM oss_labels.image;
\o

-- an estimate sends nothing
CREATE TABLE estimated (bucket text, key varchar(40), version_id text, etag char(40));
INSERT INTO estimated (bucket, key) VALUES
	('tenlabels', 'a'), ('tenlabels', 'a'), ('tenlabels', 'b'), ('tenlabels', 'c'),
	('tenlabels', '/bad'), ('tenlabels', '/bad'), ('Bad', 'a'), (NULL, 'x'), ('tenlabels', NULL);
SELECT count(*) FROM oss_labels.tag('tenlabels', 'a');
SELECT oss_labels.pause('oss');
SELECT count(oss_labels.enqueue('tenlabels', 'b'));
SELECT * FROM oss_labels.estimate('SELECT bucket, key FROM estimated');
SELECT * FROM oss_labels.estimate('TABLE estimated', max_age => '0');
SELECT objects, stored, to_ask FROM oss_labels.estimate('SELECT * FROM estimated WHERE key = ''a''', thr => 0.2);
SELECT objects, to_ask FROM oss_labels.estimate($$ VALUES ('tenlabels', 'a') $$);
SELECT objects, to_ask FROM oss_labels.estimate($$ SELECT 'tenlabels' AS bucket, 'n' || g AS key FROM generate_series(1, 2500) g -- all $$);
SELECT objects, to_ask FROM oss_labels.estimate($$ SELECT 'tenlabels' AS bucket, 'a' AS key WHERE false $$);
SELECT objects, stored, to_ask FROM oss_labels.estimate($$ SELECT 'tenlabels' AS bucket, 'a' AS key, NULL AS version_id, e AS etag FROM (VALUES (NULL), ('x')) v (e) $$);
\! $OSS_CONTROL GET '/count?name=label_requests'

-- nor does it write, whatever the query says
CREATE FUNCTION pg_temp.writes() RETURNS text LANGUAGE sql VOLATILE AS $$ DELETE FROM estimated RETURNING key $$;
CREATE PROCEDURE pg_temp.try(query text) LANGUAGE plpgsql AS $$
DECLARE said text; hint text;
BEGIN
	PERFORM FROM oss_labels.estimate(query);
	RAISE NOTICE 'no error: %', query;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
	RAISE NOTICE '% %: % %', query, SQLSTATE, SQLERRM, hint;
END $$;
CALL pg_temp.try(NULL);
CALL pg_temp.try('');
CALL pg_temp.try('SELECT 1');
CALL pg_temp.try('SELECT bucket FROM estimated');
CALL pg_temp.try('SELECT bucket, 1 AS key FROM estimated');
CALL pg_temp.try('SELECT bucket, key FORM estimated');
CALL pg_temp.try('SELECT bucket, key FROM estimated; DROP TABLE estimated');
CALL pg_temp.try('SELECT bucket, key FROM estimated) q; DROP TABLE estimated; --');
CALL pg_temp.try('DROP TABLE estimated');
CALL pg_temp.try('DELETE FROM estimated RETURNING bucket, key');
CALL pg_temp.try('WITH d AS (DELETE FROM estimated RETURNING bucket, key) SELECT * FROM d');
CALL pg_temp.try('SELECT bucket, key FROM estimated FOR UPDATE');
CALL pg_temp.try('SELECT bucket, key INTO copy FROM estimated');
CALL pg_temp.try('SELECT bucket, pg_temp.writes() AS key FROM estimated');
CALL pg_temp.try('SELECT bucket, oss_labels.enqueue(bucket, key)::text AS key FROM estimated WHERE key = ''a''');
CALL pg_temp.try('SELECT bucket, set_config(''transaction_read_only'', ''off'', true) || pg_temp.writes() AS key FROM estimated');
CALL pg_temp.try('SELECT bucket, $1 AS key FROM estimated');
CALL pg_temp.try('EXPLAIN SELECT bucket, key FROM estimated');
SELECT * FROM oss_labels.estimate('SELECT bucket, key FROM estimated', thr => 2);
SELECT * FROM oss_labels.estimate('SELECT bucket, key FROM estimated', max_age => '-1 s');
SELECT * FROM oss_labels.estimate('SELECT bucket, key FROM estimated', server => 'nobody');
SELECT count(*), current_setting('transaction_read_only') FROM estimated;
\! $OSS_CONTROL GET '/count?name=label_requests'

-- EXPLAIN says what the planner expects
CREATE TABLE expected AS SELECT 'tenlabels' AS bucket, 'e' || g AS key FROM generate_series(1, 500) g;
ANALYZE expected;
CREATE FUNCTION pg_temp.expects(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN ' || query LOOP
		IF line ~ 'Estimated' THEN RETURN NEXT trim(line); END IF;
	END LOOP;
END $$;
SELECT pg_temp.expects('SELECT * FROM expected e, LATERAL oss_labels.tag(e.bucket, e.key)');
SELECT pg_temp.expects('SELECT * FROM expected e, LATERAL oss_labels.object_info(e.bucket, e.key)');
SELECT pg_temp.expects('(COSTS off) SELECT * FROM expected e, LATERAL oss_labels.tag(e.bucket, e.key)');

-- prices: one of the server, the latest, one's own
INSERT INTO oss_labels.price (item, per_1000, currency) VALUES ('label', 1, 'CNY');
INSERT INTO oss_labels.price (item, per_1000, currency, valid_from) VALUES ('label', 2, 'CNY', '2026-01-01');
INSERT INTO oss_labels.price (item, server, per_1000, currency) VALUES ('label', 'oss', 3, 'CNY');
SELECT server, day, p.* FROM (VALUES ('oss'), ('other'), (NULL)) s (server),
	(VALUES ('2025-12-31'::date), ('2026-06-01')) d (day), oss_labels.price_of('label', server, day) p ORDER BY 1, 2;
SELECT cost, currency FROM oss_labels.estimate('SELECT bucket, key FROM estimated', max_age => '0');
SELECT item, server, per_1000, currency, standard FROM oss_labels.price ORDER BY standard, per_1000;
DELETE FROM oss_labels.price WHERE NOT standard;
BEGIN;
UPDATE oss_labels.price SET per_1000 = 0.1 WHERE standard;
SELECT item, server, per_1000, currency, standard FROM oss_labels.price ORDER BY standard, per_1000;
DELETE FROM oss_labels.price;
SELECT cost, currency FROM oss_labels.estimate('SELECT bucket, key FROM estimated', max_age => '0');
ROLLBACK;
INSERT INTO oss_labels.price (item, per_1000, currency) VALUES ('label', -1, 'CNY');
INSERT INTO oss_labels.price (item, per_1000, currency) VALUES ('lable', 1, 'CNY');

-- cost, by what the tables have
\o /dev/null
DELETE FROM oss_labels.usage_day;
\o
INSERT INTO oss_labels.usage_day (day, server, requester, bucket, requests, billed, ambiguous, heads) VALUES
	('2026-03-01', 'oss', 'postgres', 'b', 3000, 2000, 1000, 5000), ('2026-03-02', NULL, NULL, NULL, 7, 0, 7, 0);
INSERT INTO oss_labels.price (item, per_1000, currency) VALUES ('head', 0.001, 'USD');
SELECT * FROM oss_labels.cost WHERE day < '2026-04-01' ORDER BY day;
\o /dev/null
DELETE FROM oss_labels.usage_day;
\o
DELETE FROM oss_labels.price WHERE NOT standard;

-- untagged(): never asked for, queued, failed
DROP TABLE estimated;
CREATE TABLE listed (id int, key text, "buck et" text, "Where" text, dropped int);
INSERT INTO listed VALUES (1, 'old', 'tenlabels', 'in'), (2, 'out', 'tenlabels', 'out'), (3, 'a', 'tenlabels', 'in');
SELECT oss_labels.watch('listed', 'key', bucket_column => 'buck et', condition => '"Where" = ''in''');
INSERT INTO listed VALUES (4, 'new', 'tenlabels', 'in'), (5, 'b', 'tenlabels', 'out'), (6, '/bad', 'tenlabels', 'in');
SELECT bucket, key, state, since IS NOT NULL AS since, reason FROM oss_labels.untagged('listed') ORDER BY key;
ALTER TABLE listed RENAME COLUMN key TO "bucket";
ALTER TABLE listed RENAME COLUMN "Where" TO place;
ALTER TABLE listed DROP COLUMN dropped;
ALTER TABLE listed RENAME TO "list ed";
SELECT key, state FROM oss_labels.untagged('"list ed"') ORDER BY key;
SELECT oss_labels.watch('expected', 'key', bucket => 'tenlabels');
SELECT state, count(*) FROM oss_labels.untagged('expected') GROUP BY state;
SELECT * FROM oss_labels.untagged('pg_class');
DROP TABLE "list ed", expected;

-- retag(): the oldest ones, with their thresholds
\o /dev/null
DELETE FROM oss_labels.job;
DELETE FROM oss_labels.failed_job;
DELETE FROM oss_labels.image;
\o
SELECT oss_labels.import_labels('{"Labels":[]}', 'tenlabels', 'r' || g, g / 10.0, tagged_at => now() - make_interval(days => 100 - g))
FROM generate_series(1, 6) g;
SELECT oss_labels.import_label_rows('tenlabels', 'elsewhere', '{Cat}', source => 'other', tagged_at => now() - interval '1 year');
CALL oss_labels.retag('96.5 days', 100, prefix => 'x');
CALL oss_labels.retag('95.5 days', 3);
CALL oss_labels.retag('95.5 days', 3);
CALL oss_labels.retag('95.5 days', 3);
SELECT key, thr, priority, once FROM oss_labels.job ORDER BY job_id;
CALL oss_labels.retag(NULL, 3);
CALL oss_labels.retag('-1 day', 3);
CALL oss_labels.retag('1 day', -3);
\! $OSS_CONTROL GET '/reset?what=counters' >/dev/null
SELECT oss_labels.resume('oss');
CALL oss_labels.wait_for_queue('1 min');
SELECT key, thr, tagged_at > now() - interval '1 hour' AS again FROM oss_labels.image WHERE key LIKE 'r%' ORDER BY key;
\! $OSS_CONTROL GET '/count?name=label_requests'
-- one attempt each: what fails is not asked for again, nor by the next call
UPDATE oss_labels.image SET tagged_at = now() - make_interval(days => 200 - substr(key, 2)::int) WHERE key LIKE 'r%';
\! $OSS_CONTROL GET '/fault?code=InternalError&prefix=r1' >/dev/null
\! $OSS_CONTROL GET '/fault?kind=drop&prefix=r2' >/dev/null
CALL oss_labels.retag('100 days', 3);
CALL oss_labels.wait_for_queue('1 min');
SELECT key, attempts, code FROM oss_labels.failed_job ORDER BY key;
\! $OSS_CONTROL GET '/count?name=label_requests'
CALL oss_labels.retag('100 days', 100);
CALL oss_labels.wait_for_queue('1 min');
\! $OSS_CONTROL GET '/count?name=label_requests'
SELECT key, thr, tagged_at > now() - interval '1 hour' AS again FROM oss_labels.image WHERE key LIKE 'r%' ORDER BY key;
\! $OSS_CONTROL GET '/reset' >/dev/null
\o /dev/null
DELETE FROM oss_labels.failed_job;
DELETE FROM oss_labels.image;
