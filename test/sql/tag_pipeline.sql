-- tag() in LATERAL is pipelined like detect(), and free where labels are stored.
\i test/sql/include/pipeline.sql
\pset null NULL
\o /dev/null
DELETE FROM oss_labels.image;
\o
EXPLAIN (COSTS OFF) SELECT p.id, l.label_name
FROM photo p, LATERAL oss_labels.tag(p.bucket, p.key) l;

-- many in flight, each answer stored, rows in outer order and those of detect()
\! $OSS_CONTROL GET '/reset?what=counters' >/dev/null
\! [ "$OSS_TEST_FLAVOUR" = valgrind ] && ms=1000 || ms=50; $OSS_CONTROL GET "/fault?kind=delay&delay=$ms" >/dev/null
CREATE TABLE tagged AS
SELECT row_number() OVER () AS n, p.id, l.*
FROM (SELECT * FROM photo ORDER BY id DESC) p, LATERAL oss_labels.tag(p.bucket, p.key) l;
\! [ $($OSS_CONTROL GET '/count?name=most_in_flight') -ge 8 ] && echo pipelined
\! $OSS_CONTROL GET /unfault >/dev/null
SELECT count(DISTINCT (bucket, key)) AS photos FROM photo \gset
\! $OSS_CONTROL GET '/count?name=label_requests'
SELECT count(*) = :photos AS all_stored FROM oss_labels.image;
SELECT count(*) FROM (
	SELECT n, id FROM tagged EXCEPT SELECT row_number() OVER (ORDER BY id DESC, n), id FROM tagged) d;
CREATE TABLE detected AS
SELECT p.id, l.* FROM photo p, LATERAL oss_labels.detect(p.bucket, p.key) l;
ALTER TABLE tagged DROP n;
SELECT count(*) FROM ((TABLE tagged EXCEPT ALL TABLE detected) UNION ALL (TABLE detected EXCEPT ALL TABLE tagged)) d;

-- again: nothing is asked for, nothing waited for
\! $OSS_CONTROL GET '/reset?what=counters' >/dev/null; $OSS_CONTROL GET '/fault?kind=delay&delay=5000' >/dev/null
SET statement_timeout = '4s';
SELECT count(*) FROM ((TABLE tagged EXCEPT ALL
	SELECT p.id, l.* FROM photo p, LATERAL oss_labels.tag(p.bucket, p.key) l)
	UNION ALL (SELECT p.id, l.* FROM photo p, LATERAL oss_labels.tag(p.bucket, p.key) l
	EXCEPT ALL TABLE tagged)) d;
\! $OSS_CONTROL GET '/count?name=requests_total'
RESET statement_timeout;
\! $OSS_CONTROL GET /unfault >/dev/null

-- only what is missing is asked for; equal ones once; LEFT JOIN keeps the others
SELECT bucket AS b, min(key) AS k FROM photo GROUP BY 1 LIMIT 1 \gset
SELECT oss_labels.forget(:'b', :'k');
SELECT count(DISTINCT v.n) FROM (VALUES (1, :'k'), (2, :'k'), (3, :'k'), (4, NULL)) v (n, key)
	LEFT JOIN LATERAL oss_labels.tag(:'b', v.key) l ON true;
\! $OSS_CONTROL GET '/count?name=label_requests'

-- an early end buys no more than detect() would, and what came is stored
DELETE FROM oss_labels.image;
\! $OSS_CONTROL GET '/reset?what=counters' >/dev/null
SELECT count(*) FROM (SELECT l.label_name FROM photo p, LATERAL oss_labels.tag(p.bucket, p.key) l LIMIT 3) l;
\! [ $($OSS_CONTROL GET '/count?name=label_requests') -le 7 ] && echo few

-- errors come in their row's turn, and what was paid for before is lost only with the transaction
DO $$ BEGIN
	PERFORM l.label_name FROM (VALUES ('example.jpg', interval '1 day'), ('example.jpg', '-1 day')) v (key, age),
		LATERAL oss_labels.tag('examplebucket', v.key, max_age => v.age) l;
EXCEPTION WHEN invalid_parameter_value THEN RAISE NOTICE '%', SQLERRM; END $$;

-- many images in one transaction
BEGIN;
SELECT count(*) > 0 AS some FROM generate_series(1, 300) i, LATERAL oss_labels.tag('tenlabels', i || '.jpg') l;
COMMIT;
SELECT count(*) FROM oss_labels.image WHERE bucket = 'tenlabels';
-- a savepoint that is rolled back takes nothing, where the library is preloaded
DELETE FROM oss_labels.image;
\! $OSS_CONTROL GET '/reset?what=counters' >/dev/null; $OSS_CONTROL GET '/fault?kind=delay&delay=100' >/dev/null
BEGIN;
DECLARE c CURSOR FOR SELECT i FROM generate_series(1, 60) i, LATERAL oss_labels.tag('tenlabels', 's' || i) l;
MOVE 101 FROM c;
SAVEPOINT outer_one;
SAVEPOINT inner_one;
MOVE 10 FROM c;
SELECT pg_sleep(0.5);
MOVE 10 FROM c;
RELEASE inner_one;
SELECT count(*) AS ahead FROM oss_labels.image \gset
ROLLBACK TO outer_one;
SELECT :ahead - count(*) >= 4 AS gone FROM oss_labels.image;
\! $OSS_CONTROL GET /unfault >/dev/null
MOVE 100 FROM c;
-- rows 112 to 121 are the first of images 12 and 13
SELECT count(*) FROM oss_labels.image WHERE ltrim(key, 's')::int BETWEEN 14 AND 20;
MOVE ALL FROM c;
COMMIT;
SELECT count(*) FROM oss_labels.image WHERE ltrim(key, 's')::int > 13;
\! $OSS_CONTROL GET '/count?name=label_requests'
DROP TABLE tagged, detected;
\o /dev/null
DELETE FROM oss_labels.image;
\o
DROP TABLE photo;
SET client_min_messages = warning;
DROP SERVER oss CASCADE;
