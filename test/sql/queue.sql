-- The queue as its users see it: enqueue, pause, the views, rights.
-- nothing ends the waiting without a worker: expected/queue_1.out
SELECT current_setting('shared_preload_libraries') LIKE '%oss_labels%' AS preloaded \gset
\if :preloaded
\else
\quit
\endif
\i test/sql/include/server.sql
\pset null NULL
SELECT oss_labels.pause();

-- one image, and many by a query
SELECT oss_labels.enqueue('tenlabels', 'one.jpg') IS NOT NULL AS queued;
SELECT count(oss_labels.enqueue('tenlabels', 'many' || i, thr => 0.5, priority => 2))
FROM generate_series(1, 3) i;
SELECT server, bucket, key, thr, version_id, priority, attempts, requester = current_user::regrole AS mine,
	due <= clock_timestamp() AS due, lease, reason
FROM oss_labels.job ORDER BY job_id;

-- null enqueues nothing, what can't be asked for is refused
SELECT oss_labels.enqueue(NULL, 'a'), oss_labels.enqueue('tenlabels', NULL);
SELECT oss_labels.enqueue('Bad_Bucket', 'a');
SELECT oss_labels.enqueue('tenlabels', '');
SELECT oss_labels.enqueue('tenlabels', 'a', thr => 1.5);
SELECT oss_labels.enqueue('tenlabels', 'a', server => 'nowhere');

-- part of the transaction
BEGIN;
SELECT oss_labels.enqueue('tenlabels', 'undone') IS NOT NULL AS queued;
ROLLBACK;
BEGIN;
SAVEPOINT s;
SELECT oss_labels.enqueue('tenlabels', 'undone') IS NOT NULL AS queued;
ROLLBACK TO s;
COMMIT;
SELECT count(*) FROM oss_labels.job WHERE key = 'undone';

-- the view
SELECT server, bucket, queued, in_flight, deferred, paused IS NOT NULL AS paused, failed FROM oss_labels.queue;

-- waiting: not within a transaction, where it would wait for itself, and not
-- for what is paused
BEGIN;
CALL oss_labels.wait_for_queue();
ROLLBACK;
DO $$ BEGIN
	PERFORM oss_labels.enqueue('tenlabels', 'own');
	CALL oss_labels.wait_for_queue();
END $$;
BEGIN;
CALL oss_labels.process_queue();
ROLLBACK;
CALL oss_labels.wait_for_queue('5 s');

-- the queue runs, and each image is asked for once
\! $OSS_CONTROL GET /reset >/dev/null
SELECT oss_labels.enqueue('tenlabels', 'one.jpg') IS NOT NULL AS "the same again";
SELECT oss_labels.resume();
CALL oss_labels.wait_for_queue('60 s');
SELECT count(*) AS left FROM oss_labels.job;
\! $OSS_CONTROL GET '/count?name=label_requests'
SELECT bucket, key, version_id, thr, label_count, request_id IS NOT NULL AS id,
	jsonb_array_length(response -> 'Labels') AS labels
FROM oss_labels.image WHERE bucket = 'tenlabels' ORDER BY key;
SELECT key, count(*) FROM oss_labels.label WHERE bucket = 'tenlabels' GROUP BY key ORDER BY key;

-- the labels are detect()'s
SELECT count(*) FROM
	(SELECT label_name, parent_label_name, label_level, label_confidence, centric_score, language
	 FROM oss_labels.label WHERE key = 'one.jpg'
	 EXCEPT ALL
	 SELECT label_name, parent_label_name, label_level, label_confidence, centric_score, language
	 FROM oss_labels.detect('tenlabels', 'one.jpg')) d;

-- tagging again replaces
INSERT INTO oss_labels.vocabulary (label_name) VALUES ('old');
UPDATE oss_labels.image_label SET label_id = oss_labels.label_id('old')
WHERE image_id = oss_labels.image_id('tenlabels', 'one.jpg');
SELECT oss_labels.enqueue('tenlabels', 'one.jpg', max_age => '0') IS NOT NULL AS again;
CALL oss_labels.wait_for_queue('60 s');
SELECT count(*), count(*) FILTER (WHERE label_name = 'old') AS old FROM oss_labels.label WHERE key = 'one.jpg';
SELECT count(*) FROM oss_labels.image WHERE key = 'one.jpg';

-- deleting an image deletes its labels
DELETE FROM oss_labels.image WHERE key = 'many1';
SELECT count(*) FROM oss_labels.image_label l WHERE NOT EXISTS (SELECT FROM oss_labels.image i WHERE i.image_id = l.image_id);

-- an image of another encoding of trouble: no labels, no image, no object
SELECT oss_labels.enqueue('examplebucket', k) IS NOT NULL AS queued
FROM unnest('{photos/nothing.jpg,notes.txt,nosuch.jpg}'::text[]) k;
CALL oss_labels.wait_for_queue('60 s');
SELECT key, label_count FROM oss_labels.image WHERE bucket = 'examplebucket';
SELECT key, "sqlstate", code, http_status, attempts, message, hint IS NOT NULL AS hint, request_id IS NOT NULL AS id
FROM oss_labels.failed_job ORDER BY key;
SELECT oss_labels.pause();
SELECT oss_labels.retry_failed(code => 'NoSuchKey'), oss_labels.retry_failed(bucket => 'tenlabels');
SELECT key FROM oss_labels.job;
SELECT key FROM oss_labels.failed_job;

-- a poisoned answer loses nothing but itself
TRUNCATE oss_labels.job;
ALTER TABLE oss_labels.image_label ADD CONSTRAINT poison CHECK (label_id <> oss_labels.label_id('Poison'));
\! echo '{"RequestId":"1","Labels":[{"LabelName":"Poison"}]}' | $OSS_CONTROL POST '/fault?kind=body&key=poison' /dev/stdin >/dev/null
SELECT count(oss_labels.enqueue('tenlabels', k)) FROM unnest('{p1,p2,poison,p3,p4}'::text[]) k;
SELECT oss_labels.resume();
CALL oss_labels.wait_for_queue('60 s');
SELECT key, label_count FROM oss_labels.image WHERE key ~ '^p' AND bucket = 'tenlabels' ORDER BY key;
SELECT key, "sqlstate", code FROM oss_labels.failed_job WHERE key = 'poison';
ALTER TABLE oss_labels.image_label DROP CONSTRAINT poison;

-- and nor does one that breaks a rule of somebody's own
CREATE UNIQUE INDEX only_once ON oss_labels.image_label ((CASE WHEN centric_score IS NULL THEN image_id END));
\! echo '{"RequestId":"1","Labels":[{"LabelName":"Twice"},{"LabelName":"Again"}]}' | $OSS_CONTROL POST '/fault?kind=body&key=twice' /dev/stdin >/dev/null
SELECT count(oss_labels.enqueue('tenlabels', k)) FROM unnest('{t1,twice,t2}'::text[]) k;
CALL oss_labels.wait_for_queue('60 s');
SELECT key, label_count FROM oss_labels.image WHERE key ~ '^t' AND bucket = 'tenlabels' ORDER BY key;
SELECT key, "sqlstate", code FROM oss_labels.failed_job WHERE key = 'twice';
DROP INDEX oss_labels.only_once;

-- nor does an image that has the id of another one, which stays as it is
ALTER TABLE oss_labels.image DROP CONSTRAINT image_id_is_of_name;
INSERT INTO oss_labels.image (image_id, bucket, key, tagged_at, label_count, response)
VALUES (oss_labels.image_id('tenlabels', 'clash'), 'elsewhere', 'first', '2026-01-01', 0, '{"Labels": []}');
SELECT count(oss_labels.enqueue('tenlabels', k)) FROM unnest('{c1,clash,c2}'::text[]) k;
CALL oss_labels.wait_for_queue('60 s');
SELECT bucket, key, label_count FROM oss_labels.image WHERE key ~ '^(c|first)' ORDER BY key;
SELECT key, "sqlstate", code, message FROM oss_labels.failed_job WHERE key = 'clash';
SELECT oss_labels.import_labels('{"Labels": []}', 'tenlabels', 'clash');
\echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM oss_labels.labels_of('tenlabels', 'clash');
DELETE FROM oss_labels.image WHERE bucket = 'elsewhere';
ALTER TABLE oss_labels.image ADD CONSTRAINT image_id_is_of_name CHECK (image_id = oss_labels.image_id(bucket, key, version_id));
INSERT INTO oss_labels.image (image_id, bucket, key, tagged_at, label_count, response)
VALUES (1, 'elsewhere', 'first', '2026-01-01', 0, '{"Labels": []}');
\echo :LAST_ERROR_SQLSTATE

-- nor does a publication of all tables stand in the way of what is deleted
SET client_min_messages = error;
CREATE PUBLICATION everything FOR ALL TABLES;
RESET client_min_messages;
SELECT count(oss_labels.enqueue('tenlabels', k)) FROM unnest('{t1,t2}'::text[]) k;
CALL oss_labels.wait_for_queue('60 s');
SELECT oss_labels.pause('oss'), oss_labels.resume('oss');
DELETE FROM oss_labels.image WHERE key = 't2' AND bucket = 'tenlabels';
DROP PUBLICATION everything;
SELECT key, count(*) FROM oss_labels.label WHERE key ~ '^t' AND bucket = 'tenlabels' GROUP BY key;

-- every label is noted, and found by the index
SELECT count(*) FROM oss_labels.image_label l WHERE NOT EXISTS (
	SELECT FROM oss_labels.vocabulary v WHERE v.label_id = l.label_id AND NOT v.is_new);
SELECT count(*) FROM oss_labels.vocabulary
WHERE label_id <> oss_labels.label_id(label_name, parent_label_name, label_level, language);
SET enable_seqscan = off;
SELECT count(*) FROM oss_labels.image i WHERE label_count <> (
	SELECT count(*) FROM oss_labels.image_label l WHERE l.image_id = i.image_id);
RESET enable_seqscan;

-- rights: nothing for everybody, own jobs for those who may enqueue
CREATE ROLE queue_user;
CREATE ROLE queue_other;
SET ROLE queue_user;
SELECT oss_labels.enqueue('tenlabels', 'mine');
RESET ROLE;
GRANT USAGE ON SCHEMA oss_labels TO queue_user, queue_other;
GRANT EXECUTE ON FUNCTION oss_labels.enqueue, oss_labels.retry_failed, oss_labels.rate_status TO queue_user, queue_other;
GRANT SELECT ON oss_labels.own_job, oss_labels.own_failed_job, oss_labels.own_pause, oss_labels.queue TO queue_user, queue_other;
SET ROLE queue_user;
SELECT oss_labels.enqueue('tenlabels', 'mine');
INSERT INTO oss_labels.job (requester, server, bucket, key) VALUES (10, 'oss', 'tenlabels', 'forged');
RESET ROLE;
SELECT oss_labels.pause();
GRANT USAGE ON FOREIGN SERVER oss TO queue_user;
SET ROLE queue_user;
SELECT oss_labels.enqueue('tenlabels', 'mine') IS NOT NULL AS queued;
SELECT requester, key FROM oss_labels.own_job;
SET ROLE queue_other;
SELECT count(*) FROM oss_labels.own_job;
SELECT count(*) FROM oss_labels.queue;
RESET ROLE;
SELECT oss_labels.enqueue('tenlabels', 'ours') IS NOT NULL AS queued;
GRANT pg_monitor TO queue_other;
SET ROLE queue_other;
SELECT requester = 'queue_user' AS users, key FROM oss_labels.own_job ORDER BY job_id;
SELECT server, bucket, queued FROM oss_labels.queue WHERE queued > 0;
SELECT database IS NULL AS launcher, state <> '' AS state FROM oss_labels.worker WHERE database IS NULL OR database = current_database();
RESET ROLE;

-- rights are checked again when the job's turn comes: no mapping pauses that
-- role alone, no right fails its job
SELECT oss_labels.resume();
CALL oss_labels.wait_for_queue('60 s');
SELECT requester_name, server, bucket, automatic, "sqlstate", reason FROM oss_labels.active_pause;
SELECT key FROM oss_labels.job;
REVOKE USAGE ON FOREIGN SERVER oss FROM queue_user;
SELECT oss_labels.resume('oss');
CALL oss_labels.wait_for_queue('60 s');
SELECT key, "sqlstate", message FROM oss_labels.failed_job WHERE requester = 'queue_user'::regrole;

-- with a mapping of its own it is the role's
GRANT USAGE ON FOREIGN SERVER oss TO queue_user;
CREATE USER MAPPING FOR queue_user SERVER oss OPTIONS (access_key_id 'deniedid', access_key_secret 'deniedsecret');
SET ROLE queue_user;
SELECT oss_labels.retry_failed();
RESET ROLE;
CALL oss_labels.wait_for_queue('60 s');
SELECT key, "sqlstate", code FROM oss_labels.failed_job WHERE requester = 'queue_user'::regrole;

-- a role that is gone fails its own job and nobody else's
SELECT oss_labels.pause();
SET ROLE queue_user;
SELECT oss_labels.enqueue('tenlabels', 'orphan') IS NOT NULL AS queued;
RESET ROLE;
SELECT oss_labels.enqueue('tenlabels', 'after the orphan') IS NOT NULL AS queued;
DROP USER MAPPING FOR queue_user SERVER oss;
DROP OWNED BY queue_user, queue_other;
DROP ROLE queue_user, queue_other;
SELECT oss_labels.resume();
CALL oss_labels.wait_for_queue('60 s');
SELECT key, "sqlstate", code FROM oss_labels.failed_job WHERE key = 'orphan';
SELECT key FROM oss_labels.image WHERE key ~ 'orphan';
SELECT count(*) FROM oss_labels.job;

TRUNCATE oss_labels.failed_job, oss_labels.active_pause, oss_labels.image;
SELECT count(*) FROM oss_labels.image_label;
