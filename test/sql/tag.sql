-- tag(), labels_of(), forget(): what is paid for once is never paid for again.
\o /dev/null
DELETE FROM oss_labels.image;
\o
\i test/sql/include/server.sql
\pset null NULL

-- twice is one request
SELECT label_name, label_confidence, raw ->> 'LabelName' AS raw
FROM oss_labels.tag('examplebucket', 'example.jpg', thr => 0.5);
SELECT count(*) FROM oss_labels.tag('examplebucket', 'example.jpg', thr => 0.5);
\! $OSS_CONTROL GET '/count?name=label_requests'
SELECT bucket, key, version_id, thr, label_count,
	   (SELECT count(*) FROM oss_labels.image_label l WHERE l.image_id = i.image_id) AS labels,
	   request_id ~ '^[0-9A-F]{24}$' AS has_id, response ? 'Labels' AS whole
FROM oss_labels.image i;

-- a higher threshold is answered from the store, with the same labels as detect()
SELECT label_name, raw FROM oss_labels.tag('examplebucket', 'example.jpg', thr => 0.85);
SELECT count(*) FROM oss_labels.tag('examplebucket', 'example.jpg');
\! $OSS_CONTROL GET '/count?name=label_requests'
SELECT 'different' AS result FROM (
	SELECT * FROM oss_labels.detect('examplebucket', 'example.jpg', thr => 0.85)
	EXCEPT ALL
	SELECT * FROM oss_labels.tag('examplebucket', 'example.jpg', thr => 0.85)) d;

-- a lower one needs no second request: all labels are stored
\! $OSS_CONTROL GET /reset
SELECT image_id AS before FROM oss_labels.image \gset
SELECT count(*) > 0 AS some FROM oss_labels.tag('examplebucket', 'example.jpg', thr => 0.1);
\! $OSS_CONTROL GET '/count?name=label_requests'
SELECT image_id = :before AS same, thr FROM oss_labels.image;
SELECT count(*) > 0 AS some FROM oss_labels.tag('examplebucket', 'example.jpg', thr => 0.5);
\! $OSS_CONTROL GET '/count?name=label_requests'

-- no threshold is 0.7, and any other needs no request either
\! $OSS_CONTROL GET /reset
SELECT count(*) > 0 AS some FROM oss_labels.tag('examplebucket', 'photos/cat.png');
SELECT count(*) > 0 AS some FROM oss_labels.tag('examplebucket', 'photos/cat.png', thr => 0.7);
SELECT count(*) >= 0 AS some FROM oss_labels.tag('examplebucket', 'photos/cat.png', thr => 0.95);
\! $OSS_CONTROL GET '/count?name=label_requests'
SELECT count(*) > 0 AS some FROM oss_labels.tag('examplebucket', 'photos/cat.png', thr => 0.69);
\! $OSS_CONTROL GET '/count?name=label_requests'

-- max_age: NULL is any age
UPDATE oss_labels.image SET tagged_at = tagged_at - interval '2 days' WHERE key = 'photos/cat.png';
SELECT count(*) > 0 AS some FROM oss_labels.tag('examplebucket', 'photos/cat.png', max_age => NULL);
SELECT count(*) > 0 AS some FROM oss_labels.tag('examplebucket', 'photos/cat.png', max_age => '3 days');
\! $OSS_CONTROL GET '/count?name=label_requests'
SELECT count(*) > 0 AS some FROM oss_labels.tag('examplebucket', 'photos/cat.png', max_age => '1 day');
\! $OSS_CONTROL GET '/count?name=label_requests'
SELECT count(*) > 0 AS some FROM oss_labels.tag('examplebucket', 'photos/cat.png', max_age => '0');
\! $OSS_CONTROL GET '/count?name=label_requests'
SELECT * FROM oss_labels.tag('examplebucket', 'photos/cat.png', max_age => '-1 day');
\echo :LAST_ERROR_SQLSTATE

-- a version is an image of its own
\! $OSS_CONTROL GET /reset
SELECT count(*) FROM oss_labels.labels_of('examplebucket', 'example.jpg', version_id => 'v1');
SELECT oss_labels.import_labels('{"Labels": [{"LabelName": "Old", "LabelConfidence": 1}]}',
	'examplebucket', 'example.jpg', version_id => 'v1');
SELECT label_name FROM oss_labels.tag('examplebucket', 'example.jpg', version_id => 'v1');
SELECT count(*) FROM oss_labels.tag('examplebucket', 'example.jpg') WHERE label_name = 'Old';
\! $OSS_CONTROL GET '/count?name=label_requests'

-- an image without labels is stored as such
SELECT count(*) FROM oss_labels.tag('examplebucket', 'photos/nothing.jpg');
SELECT count(*) FROM oss_labels.tag('examplebucket', 'photos/nothing.jpg');
\! $OSS_CONTROL GET '/count?name=label_requests'

-- NULLs and bad arguments cost nothing; a failure is not stored
\! $OSS_CONTROL GET /reset
SELECT * FROM oss_labels.tag(NULL, 'example.jpg');
SELECT * FROM oss_labels.tag('examplebucket', NULL);
SELECT * FROM oss_labels.tag('examplebucket', 'example.jpg', thr => 7);
SELECT * FROM oss_labels.labels_of('examplebucket', 'example.jpg', thr => 7);
\! $OSS_CONTROL GET '/count?name=requests_total'
\set VERBOSITY terse
SELECT * FROM oss_labels.tag('examplebucket', 'nope.jpg');
\set VERBOSITY default
SELECT count(*) FROM oss_labels.image WHERE key = 'nope.jpg';

-- a rollback keeps what was paid for, where the library is preloaded
\! $OSS_CONTROL GET /reset
BEGIN;
SELECT count(*) > 0 AS some FROM oss_labels.tag('examplebucket', 'photos/beach.jpg');
SELECT count(*) > 0 AS some FROM oss_labels.tag('examplebucket', 'photos/beach.jpg');
ROLLBACK;
SELECT count(*) FROM oss_labels.image WHERE key = 'photos/beach.jpg';
SELECT count(*) > 0 AS some FROM oss_labels.tag('examplebucket', 'photos/beach.jpg');
\! $OSS_CONTROL GET '/count?name=label_requests'

-- with an older snapshot, what others stored since is still not paid for again
\! $OSS_CONTROL GET /reset
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) > 0 AS some FROM oss_labels.image;
\setenv OTHER :DBNAME
\! psql -X -q -c "SET client_min_messages = warning" -c "SELECT oss_labels.import_labels('{\"Labels\": [{\"LabelName\": \"New\"}]}', 'examplebucket', 'photos/street.jpg')" -o /dev/null -d "$OTHER"
SELECT label_name FROM oss_labels.tag('examplebucket', 'photos/street.jpg');
COMMIT;
\! $OSS_CONTROL GET '/count?name=label_requests'

-- labels_of() never asks
SELECT count(*) FROM oss_labels.labels_of('examplebucket', 'photos/garden.png');
SELECT count(*) FROM oss_labels.labels_of(NULL, 'photos/garden.png');
SELECT label_name FROM oss_labels.labels_of('examplebucket', 'example.jpg', thr => 0.85);
\! $OSS_CONTROL GET '/count?name=label_requests'
SELECT provolatile, proparallel FROM pg_proc WHERE oid = 'oss_labels.labels_of'::regproc;

-- forget: the next one pays again
SELECT oss_labels.forget('examplebucket', 'photos/beach.jpg');
SELECT oss_labels.forget('examplebucket', 'photos/beach.jpg');
SELECT count(*) FROM oss_labels.image_label l
WHERE NOT EXISTS (SELECT FROM oss_labels.image i WHERE i.image_id = l.image_id);
SELECT count(*) > 0 AS some FROM oss_labels.tag('examplebucket', 'photos/beach.jpg');
\! $OSS_CONTROL GET '/count?name=label_requests'

-- the view joins with anybody's tables
CREATE TEMP TABLE post (id integer, bucket text, key text);
INSERT INTO post VALUES (1, 'examplebucket', 'example.jpg'), (2, 'examplebucket', 'nope.jpg');
SELECT id, count(label_name) FROM post LEFT JOIN oss_labels.label USING (bucket, key)
WHERE version_id IS NULL GROUP BY id ORDER BY id;

SET client_min_messages = warning;
DROP SERVER oss CASCADE;
\o /dev/null
DELETE FROM oss_labels.image;
