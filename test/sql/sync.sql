-- Whole buckets in step: arguments, verdicts one by one, what a round does, rights.
-- Processes that meet, crashes and trouble: t/092_sync.pl, t/093_sync_trouble.pl.
\i test/sql/include/server.sql
\pset null NULL
\o /dev/null
SET client_min_messages = warning;
SELECT current_database() AS db \gset
ALTER DATABASE :"db" SET oss_labels.worker = off;
SELECT oss_labels.cancel_sync(sync_id) FROM oss_labels.sync;
ALTER TABLE oss_labels.sync ALTER sync_id RESTART;
DELETE FROM oss_labels.job;
DELETE FROM oss_labels.failed_job;
DELETE FROM oss_labels.image;
\o
\! $OSS_CONTROL GET '/bucket?name=album&keys=30' >/dev/null

-- arguments
SELECT oss_labels.sync_bucket(NULL);
SELECT oss_labels.sync_bucket('Album');
SELECT oss_labels.sync_bucket('album', '/photos');
SELECT oss_labels.sync_bucket('album', every => '0');
SELECT oss_labels.sync_bucket('album', every => '-1 day');
SELECT oss_labels.sync_bucket('album', max_requests => -1);
SELECT oss_labels.sync_bucket('album', max_size => -1);
SELECT oss_labels.sync_bucket('album', thr => 2);
SELECT oss_labels.sync_bucket('album', server => 'nowhere');
SELECT oss_labels.sync_bucket('album', every => '1 day', list => false);
SELECT oss_labels.pause_sync(0);
SELECT oss_labels.pause_sync(NULL), oss_labels.resume_sync(NULL), oss_labels.cancel_sync(NULL);
SELECT oss_labels.resume_sync(0);
SELECT oss_labels.resume_sync(1, -1);
SELECT oss_labels.cancel_sync(0);
SELECT oss_labels.take_objects(0, '{a.jpg}', NULL, NULL, NULL, NULL, NULL);
SELECT * FROM oss_labels.estimate_bucket('Album');
SELECT * FROM oss_labels.estimate_bucket(NULL);
SELECT listed FROM oss_labels.estimate_bucket('album', thr => -1);

-- each verdict
SELECT oss_labels.sync_bucket('album', 'a%_\', thr => 0.5, list => false) AS id \gset
INSERT INTO oss_labels.image (image_id, tagged_at, thr, label_count, bucket, key, response, etag)
	SELECT oss_labels.image_id('album', k), '2026-06-01', thr, 0, 'album', k, '{}', e
	FROM (VALUES ('a%_\same.jpg', 0.5, 'E1'), ('a%_\other.jpg', 0.5, 'E2'), ('a%_\lower.jpg', 0, 'E1'),
		('a%_\higher.jpg', NULL, 'E1'), ('a%_\unknown.jpg', 0.5, NULL)) v (k, thr, e);
INSERT INTO oss_labels.job (requester, server, server_id, bucket, key, etag, thr)
	SELECT requester, server, server_id, 'album', k, e, t
	FROM oss_labels.sync, (VALUES ('a%_\waits.jpg', 'E1', 0.5), ('a%_\waits.png', 'E1', NULL)) v (k, e, t)
	WHERE sync_id = :id;
INSERT INTO oss_labels.failed_job (job_id, enqueued_at, priority, attempts, requester, server, server_id, bucket, key, etag,
	thr, "sqlstate", message, permanent, seen, http_status)
	SELECT -n, now(), 0, 1, requester, server, server_id, 'album', k, 'E1', 0.5, '22000', 'no',
		p, oss_labels.fingerprint(server, requester), h
	FROM oss_labels.sync, (VALUES (1, 'a%_\refused.jpg', true, 400), (2, 'a%_\late.jpg', false, NULL),
		(3, 'a%_\outage.jpg', false, 503)) v (n, k, p, h)
	WHERE sync_id = :id;
CREATE FUNCTION verdict(key text, size bigint DEFAULT 1000, etag text DEFAULT 'E1', class text DEFAULT 'Standard',
	restored boolean DEFAULT false, at timestamptz DEFAULT '2026-01-01') RETURNS text
	RETURN (SELECT verdict FROM oss_labels.sync s, LATERAL oss_labels.judge_objects(s, ARRAY[$1], ARRAY[$2], ARRAY[$3],
		ARRAY[$6], ARRAY[$4], ARRAY[$5]) WHERE s.bucket = 'album');
SELECT k AS key, verdict(k) FROM unnest('{a%_\\same.jpg,a%_\\other.jpg,a%_\\lower.jpg,a%_\\higher.jpg,a%_\\unknown.jpg,
	a%_\\waits.jpg,a%_\\waits.png,a%_\\refused.jpg,a%_\\late.jpg,a%_\\outage.jpg,a%_\\new.JPEG,a%_\\notes.txt,a%_\\jpg,
	abc\\new.jpg,a%b.jpg,/a.jpg,\\a.jpg,"",a%_\\folder/}'::text[]) k;
SELECT verdict('a%_\' || repeat('x', 1016) || '.jpg') AS bytes_1024, verdict('a%_\' || repeat('x', 1015) || '.jpg') AS bytes_1023,
	verdict('a%_\' || repeat('猫', 340) || '.jpg') AS of_3_bytes, verdict(NULL) AS none;
SELECT verdict('a%_\n.jpg', 0) AS empty, verdict('a%_\n.jpg', 20971520) AS most, verdict('a%_\n.jpg', 20971521) AS larger,
	verdict('a%_\n.jpg', NULL) AS unknown;
SELECT c AS class, verdict('a%_\n.jpg', class => c), verdict('a%_\n.jpg', class => c, restored => true) AS restored
	FROM unnest('{Standard,STANDARD,IA,Archive,ColdArchive,DeepColdArchive,"",NULL}'::text[]) c;
SELECT e AS etag, verdict('a%_\same.jpg', etag => e), verdict('a%_\unknown.jpg', etag => e) AS stored_unknown,
	verdict('a%_\same.jpg', etag => e, at => '2026-07-01') AS written_later,
	verdict('a%_\unknown.jpg', etag => e, at => '2026-05-31 23:50') AS written_shortly_before
	FROM unnest('{E1,e1,"\"e1\"",E2,"",NULL}'::text[]) e;
UPDATE oss_labels.sync SET suffixes = NULL, max_size = NULL, storage_classes = NULL;
SELECT verdict('a%_\jpg'), verdict('a%_\folder/', 5), verdict('a%_\n', 99999999), verdict('a%_\n', class => 'Archive');
SELECT n, key, verdict, job_id IS NOT NULL AS queued
	FROM oss_labels.take_objects(:id, '{a%_\\x.jpg,a%_\\y.jpg,a%_\\x.jpg}', '{1,2,3}', '{X1,Y1,X2}', NULL, NULL, NULL);
SELECT key, etag, object_size, priority, sync_id = :id AS its FROM oss_labels.job WHERE etag ~ '^[XY]' ORDER BY job_id;

-- max_requests: what waits counts
UPDATE oss_labels.sync SET max_requests = 3;
SELECT n, verdict FROM oss_labels.take_objects(:id, '{a%_\\1.jpg,a%_\\same.jpg,a%_\\2.jpg,a%_\\3.txt}', NULL, '{A,E1,B,C}', NULL, NULL, NULL, true);
SELECT listed, new, unchanged FROM oss_labels.bucket_sync;

-- pausing sets its jobs aside, and nobody else's; what is stored meanwhile is not queued again
SELECT oss_labels.pause_sync(:id);
SELECT state, reason = 'paused by ' || current_user AS why, queued FROM oss_labels.bucket_sync;
SELECT count(*) FROM oss_labels.job WHERE sync_id IS NOT NULL;
INSERT INTO oss_labels.image (image_id, tagged_at, thr, label_count, bucket, key, response, etag)
	VALUES (oss_labels.image_id('album', 'a%_\y.jpg'), now(), 0, 0, 'album', 'a%_\y.jpg', '{}', 'Y1');
SELECT oss_labels.resume_sync(:id, 100);
SELECT state, queued, max_requests FROM oss_labels.bucket_sync;
SELECT key, etag FROM oss_labels.job WHERE sync_id = :id ORDER BY key COLLATE "C";
SELECT oss_labels.cancel_sync(:id);
SELECT count(*) FILTER (WHERE sync_id IS NOT NULL) AS its, count(*) AS jobs FROM oss_labels.job;
DELETE FROM oss_labels.job;

-- process_queue() does it all; another call changes the rule
SELECT oss_labels.sync_bucket('album', 'photos/') AS id \gset
SELECT state, listed, queued FROM oss_labels.bucket_sync;
CALL oss_labels.process_queue();
SELECT state, round, listed, new, unchanged, queued, stored, failed, spent, list_requests, eta FROM oss_labels.bucket_sync;
SELECT oss_labels.sync_bucket('album', 'photos/', thr => 0.1, every => '1 day') = :id AS the_same;
CALL oss_labels.process_queue();
SELECT state, round, listed, new, changed, unchanged, stored, spent, next_at > now() AS will_go_on FROM oss_labels.bucket_sync;
CALL oss_labels.process_queue();
SELECT round, spent FROM oss_labels.bucket_sync;
CALL oss_labels.wait_for_queue('10 s');
SELECT new, changed, unchanged, to_ask, cost, list_requests FROM oss_labels.estimate_bucket('album', thr => 0.1);

-- a bucket that is not there, and one that may not be listed
SELECT oss_labels.sync_bucket('nosuchbucket') AS none \gset
CALL oss_labels.process_queue();
SELECT state, substring(reason FROM '^[^:]*:[^:]*:[^:]*'), next_at FROM oss_labels.bucket_sync WHERE sync_id = :none;
SELECT oss_labels.cancel_sync(:none);

-- from another database it stands still until it is accepted
UPDATE oss_labels.sync SET origin = 1, due = now();
SELECT state, reason FROM oss_labels.bucket_sync;
CALL oss_labels.process_queue();
SELECT round FROM oss_labels.bucket_sync;
SELECT oss_labels.resume_sync(:id);
CALL oss_labels.process_queue();
SELECT state, round, spent FROM oss_labels.bucket_sync;

-- rights
CREATE ROLE regress_syncer;
CALL oss_labels.grant_paying('regress_syncer');
GRANT SELECT ON oss_labels.bucket_sync TO regress_syncer;
SET ROLE regress_syncer;
SELECT oss_labels.sync_bucket('album');
RESET ROLE;
GRANT EXECUTE ON FUNCTION oss_labels.sync_bucket, oss_labels.pause_sync, oss_labels.resume_sync, oss_labels.cancel_sync TO regress_syncer;
SET ROLE regress_syncer;
SELECT oss_labels.sync_bucket('album');
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER oss TO regress_syncer;
SET ROLE regress_syncer;
SELECT oss_labels.sync_bucket('album', forget => true);
SELECT oss_labels.sync_bucket('album', priority => 1);
SELECT count(*) FROM oss_labels.bucket_sync;
SELECT oss_labels.pause_sync(:id);
SELECT oss_labels.sync_bucket('album') AS own \gset
SELECT requester, state FROM oss_labels.bucket_sync;
SELECT oss_labels.take_objects(:own, '{a.jpg}', NULL, NULL, NULL, NULL, NULL);
RESET ROLE;
CALL oss_labels.process_queue();
SELECT state, reason FROM oss_labels.bucket_sync WHERE sync_id = :own;
SELECT oss_labels.cancel_sync(sync_id) FROM oss_labels.bucket_sync;
DROP OWNED BY regress_syncer;
DROP ROLE regress_syncer;
DROP FUNCTION verdict;
SELECT count(*) FROM oss_labels.sync_tally;
DELETE FROM oss_labels.failed_job;
DELETE FROM oss_labels.image;
ALTER DATABASE :"db" RESET oss_labels.worker;
