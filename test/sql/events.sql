-- Events of buckets: all forms, each twice and in any order; what is no event, what
-- nobody named, who may post.  Processes that meet: t/094_events.pl.
\i test/sql/include/server.sql
\pset null NULL
\o /dev/null
SELECT oss_labels.pause();
SELECT oss_labels.cancel_sync(sync_id) FROM oss_labels.sync;
DELETE FROM oss_labels.job;
DELETE FROM oss_labels.failed_job;
DELETE FROM oss_labels.image;
\o

-- samples of documents and of real events, two of them unmasked
CREATE TABLE sample (name text PRIMARY KEY, event jsonb);
INSERT INTO sample VALUES ('1 Function Compute', $$
{"events":[{"eventName":"ObjectCreated:PostObject","eventSource":"acs:oss","eventTime":"2019-03-29T14:40:11.000Z","eventVersion":"1.0",
 "oss":{"bucket":{"arn":"acs:oss:ap-south-1:5939306421830868:storage-bucket-20190329","name":"storage-bucket-20190329","ownerIdentity":"5939306421830868","virtualBucket":""},
  "object":{"deltaSize":15,"eTag":"032447899E6C18DD3E30388764C0FF21","key":"test.txt","size":15},"ossSchemaVersion":"1.0","ruleId":"a11caf7c7e1ea63469d03b89abce96240dd95203"},
 "region":"ap-south-1","requestParameters":{"sourceIPAddress":"218.72.70.27"},"responseElements":{"requestId":"5C9E2E4B61E5D16D23E9CEC6"},"userIdentity":{"principalId":"5939306421830868"}}]}
$$), ('2 overwritten', $$
{"events":[{"eventName":"ObjectCreated:PostObject","eventSource":"acs:oss","eventTime":"2019-06-18T06:44:16.000Z","eventVersion":"1.0",
 "oss":{"bucket":{"arn":"acs:oss:cn-beijing:1041208914252405:testjian","name":"testjian","ownerIdentity":"1041208914252405","virtualBucket":""},
  "object":{"deltaSize":0,"eTag":"137138904F2E18D307D04EB38EA44CDA","key":"timg.jpg","size":12990},"ossSchemaVersion":"1.0","ruleId":"demo-image"},
 "region":"cn-beijing","requestParameters":{"sourceIPAddress":"42.120.74.107"},"responseElements":{"requestId":"5D08884070BC12B192C65CDF"},"userIdentity":{"principalId":"1041208914252405"}}]}
$$), ('3 help page', $$
{"events":[{"eventName":"ObjectDownloaded:GetObject","eventSource":"acs:oss","eventTime":"2016-07-01T11:17:30.000Z","eventVersion":"1.0",
 "oss":{"bucket":{"arn":"acs:oss:cn-shenzhen:114895646818****:event-notification-test-shenzhen","name":"event-notification-test-shenzhen","ownerIdentity":"114895646818****"},
  "object":{"deltaSize":0,"eTag":"0CC175B9C0F1B6468E1199E269772661","key":"test","readFrom":0,"readTo":1,"size":1},
  "ossSchemaVersion":"1.0","ruleId":"GetObjectRule","region":"cn-shenzhen","requestParameters":{"sourceIPAddress":"198.51.100.1"},
  "responseElements":{"requestId":"5FF16B65F05BC932307A3C3C"},"userIdentity":{"principalId":"114895646818****"},"xVars":{"x:callback-var1":"value1","x:vallback-var2":"value2"}}}]}
$$), ('4 EventBridge, masked', $$
{"datacontenttype":"application/json;charset=utf-8","aliyunaccountid":"1***********9",
 "data":{"eventVersion":"1.0","responseElements":{"requestId":"69B1***********C0A8"},"eventSource":"acs:oss","eventTime":"2026-03-11T05:40:45.000Z",
  "requestParameters":{"sourceIPAddress":"***********"},"eventName":"ObjectCreated:PostObject","userIdentity":{"principalId":"1***********9"},"region":"cn-hangzhou",
  "oss":{"bucket":{"name":"******","arn":"acs:oss:cn-hangzhou:1***********9:******","virtualBucket":"","ownerIdentity":"1***********9"},"ossSchemaVersion":"1.0",
   "object":{"size":59537,"objectMeta":{"mimeType":"text/csv"},"deltaSize":0,"eTag":"63***********D32","key":"input/***********.csv"}}},
 "subject":"acs:oss:cn-hangzhou:1***********9:dwoss1024/input/******.csv","aliyunoriginalaccountid":"1***********9","source":"acs.oss",
 "type":"oss:ObjectCreated:PostObject","aliyunpublishtime":"2026-03-11T05:40:45.682Z","specversion":"1.0",
 "aliyuneventbusname":"DATAWORKS_TRIGGER_FOR_BUCKET_******","id":"69B1***********0A8","time":"2026-03-11T05:40:45.000Z","aliyunregionid":"cn-hangzhou"}
$$), ('5 EventBridge', $$
{"data":{"eventVersion":"1.0","eventSource":"acs:oss","eventTime":"2026-03-11T05:40:45.000Z","eventName":"ObjectCreated:PostObject","region":"cn-hangzhou",
  "oss":{"bucket":{"name":"dwoss1024"},"object":{"size":59537,"deltaSize":0,"eTag":"63A1B2C3D4E5F60718293A4B5C6D7D32","key":"input/5.jpg"}}},
 "source":"acs.oss","type":"oss:ObjectCreated:PostObject","specversion":"1.0","id":"69B10A8","time":"2026-03-11T05:40:45.000Z"}
$$), ('6 without size', $$
{"id":"1","source":"acs.oss","type":"oss:ObjectCreated:PostObject","specversion":"1.0","time":"2020-08-17T16:04:46.149Asia/Shanghai",
 "data":{"region":"cn-hangzhou","eventVersion":"1.0","eventSource":"acs:oss","eventName":"ObjectCreated:PostObject","eventTime":"2020-08-17T08:04:46.000Z",
  "oss":{"bucket":{"name":"dwoss1024","ownerIdentity":{"id":"1"}},"object":{"key":"input/6.jpg","eTag":"B5000000000000000000000000000000","deltaSize":null},"ossSchemaVersion":"1.0"}}}
$$), ('7 without oss', $$
{"source":"acs.oss","type":"oss:ObjectCreated:PutObject","specversion":"1.0","time":"2020-08-17T16:04:46.149Asia/Shanghai",
 "data":{"bucket":{"name":"dwoss1024"},"object":{"key":"input/7.jpg","eTag":"b5000000000000000000000000000001"}}}
$$), ('8 enveloped', $$
{"source":"acs.oss","type":"oss:ObjectCreated:PutObject","specversion":"1.0","data":{"events":[{"eventName":"ObjectCreated:PutObject","eventTime":"2026-03-11T05:40:45.000Z",
  "oss":{"bucket":{"name":"dwoss1024"},"object":{"key":"input/8.jpg","eTag":"E8"}}}]}}
$$);
INSERT INTO sample SELECT '9 all of them', jsonb_agg(event) FROM sample;

-- what nobody named is ignored
SELECT s.name, e.* FROM sample s, oss_labels.ingest_event(s.event) e WHERE s.name < '9' ORDER BY s.name;
SELECT count(oss_labels.sync_bucket(b, list => false)) FROM unnest('{storage-bucket-20190329,testjian,
	event-notification-test-shenzhen}'::text[]) b;
SELECT count(oss_labels.sync_bucket('dwoss1024', 'input/', thr => 0.5, priority => -3, list => false));
SELECT sync_id FROM oss_labels.sync WHERE bucket = 'dwoss1024' \gset

-- each twice, and once more all together
SELECT s.name, e.key, e.action, e.reason FROM sample s, oss_labels.ingest_event(s.event) e WHERE s.name < '9' ORDER BY s.name;
SELECT s.name, e.key, e.action, e.reason FROM sample s, oss_labels.ingest_event(s.event) e ORDER BY s.name, e.key COLLATE "C";
SELECT bucket, key, etag, object_size, thr, priority, last_modified AT TIME ZONE 'UTC' AS written,
	requester = current_user::regrole AS mine FROM oss_labels.job ORDER BY key COLLATE "C";

-- every form of a message, of the same event
CREATE FUNCTION pg_temp.event(name text, key text, etag text, at text, bucket text DEFAULT 'dwoss1024') RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('events', jsonb_build_array(jsonb_build_object('eventName', name, 'eventTime', at,
		'oss', jsonb_build_object('bucket', jsonb_build_object('name', bucket), 'object', jsonb_build_object('key', key, 'eTag', etag)))))
$$;
CREATE TABLE message AS
WITH json AS (SELECT pg_temp.event('ObjectCreated:PutObject', 'input/猫 <&>"''é.jpg', 'AA', '2026-01-01T00:00:00.000Z')::text AS j),
	base AS (SELECT j, encode(convert_to(j, 'UTF8'), 'base64') AS b, replace(replace(replace(replace(j, '&', '&amp;'), '<', '&lt;'), '"', '&quot;'), '猫', '&#29483;') AS x FROM json)
SELECT n, m FROM base, LATERAL (VALUES (1, j), (2, E' \r\n' || j), (3, b), (4, replace(b, E'\n', '')), (5, rtrim(replace(b, E'\n', ''), '=')),
	(6, replace(b, E'\n', E'\r\n') || E'\r\n'), (7, translate(b, '+/', '-_')), (8, encode(convert_to(b, 'UTF8'), 'base64')),
	(9, '<?xml version="1.0" encoding="UTF-8"?><Notification xmlns="http://mns.aliyuncs.com/doc/v1/"><TopicName>t</TopicName><MessageId>6CC4</MessageId><Message>' || b || '</Message><MessageMD5>4</MessageMD5></Notification>'),
	(10, '<Notification><MessageId>6CC4</MessageId><Message>' || x || '</Message></Notification>'),
	(11, '<Notification><Message><![CDATA[' || j || ']]></Message></Notification>'),
	(12, '<mns:Notification xmlns:mns="x"><mns:Message>' || replace(x, '&quot;', '&#x22;') || '</mns:Message></mns:Notification>'),
	(13, '<Message xmlns="x"><MessageId>6CC4</MessageId><MessageBody>' || b || '</MessageBody></Message>'),
	(14, jsonb_build_object('TopicName', 't', 'Message', j)::text), (15, jsonb_build_object('Message', b)::text), (16, to_jsonb(j)::text)) v (n, m);
SELECT n, i ->> 'key' AS key, i ->> 'etag' AS etag FROM message, oss_labels.event_items(oss_labels.message_document(m)) i ORDER BY n;
SELECT action, reason, count(*), count(DISTINCT job_id) FROM message, oss_labels.ingest_message(m) GROUP BY 1, 2 ORDER BY 1;

-- a multipart upload is one job; downloads, parts and changes of properties are none
SELECT e.action, e.reason FROM unnest(ARRAY['ObjectCreated:InitiateMultipartUpload', 'ObjectCreated:UploadPart', 'ObjectCreated:UploadPartCopy',
	'ObjectCreated:CompleteMultipartUpload', 'ObjectDownloaded:GetObject', 'ObjectRemoved:AbortMultipartUpload', 'ObjectModified:UpdateObjectMeta',
	'ObjectModified:ChangeStorageClass', 'ObjectCreated:SomethingNew']) WITH ORDINALITY n (name, n),
	oss_labels.ingest_event(pg_temp.event(name, 'input/parts.jpg', CASE name WHEN 'ObjectCreated:CompleteMultipartUpload' THEN 'AB-3' END, '2026-01-01T00:00:00.000Z')) e ORDER BY n;
SELECT n, e.action, e.reason FROM unnest(ARRAY['PutObject', 'PostObject', 'CopyObject', 'AppendObject', 'CompleteMultipartUpload', 'PutSymlink']) n,
	oss_labels.ingest_event(pg_temp.event('ObjectCreated:' || n, 'input/' || n || '.jpg', 'A1', '2026-01-01T00:00:00.000Z')) e;
SELECT n, e.action, e.reason FROM unnest(ARRAY['ObjectCreated', 'ObjectModified']) n,
	oss_labels.ingest_event(pg_temp.event('ObjectReplication:' || n, 'input/r' || n || '.jpg', 'A1', '2026-01-01T00:00:00.000Z')) e;

-- the rules of the sync
SELECT e.* FROM oss_labels.ingest_event(pg_temp.event('ObjectCreated:PutObject', 'output/x.jpg', 'A', '2026-01-01T00:00:00.000Z')) e;
SELECT e.key, e.action, e.reason FROM unnest(ARRAY['input/x.gif', 'input/x.JPG', 'input/', 'input/.jpg/', 'input/' || repeat('k', 1100) || '.jpg']) k,
	oss_labels.ingest_event(pg_temp.event('ObjectCreated:PutObject', k, 'A', '2026-01-01T00:00:00.000Z')) e WHERE length(e.key) < 50 OR e.action <> 'ignored';
SELECT e.reason FROM oss_labels.ingest_event(jsonb_set(pg_temp.event('ObjectCreated:PutObject', 'input/big.jpg', 'A', '2026-01-01T00:00:00.000Z'),
	'{events,0,oss,object,size}', '20971521')) e;

-- any order: contents and removals of one object, at the seconds 1 to 4
CREATE FUNCTION pg_temp.say(key text, VARIADIC what text[]) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(coalesce(e.reason, e.action), ', ' ORDER BY n) FROM unnest(what) WITH ORDINALITY w (w, n),
		LATERAL (SELECT * FROM oss_labels.ingest_event(pg_temp.event(CASE WHEN w ~ '^-' THEN 'ObjectRemoved:DeleteObject' ELSE 'ObjectCreated:PutObject' END,
			key, CASE WHEN w !~ '^-' THEN substr(w, 1, 1) END, format('2026-01-01T00:00:0%s.000Z', right(w, 1)))) OFFSET 0) e
$$;
CREATE FUNCTION pg_temp.queued(k text) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(etag, ' ' ORDER BY job_id) FROM oss_labels.job WHERE key = k $$;
SELECT pg_temp.say('input/o1.jpg', 'A1', 'A1', '-2', '-2', 'A1'), pg_temp.queued('input/o1.jpg');
SELECT pg_temp.say('input/o2.jpg', 'A1', '-2', 'B3'), pg_temp.queued('input/o2.jpg');
SELECT pg_temp.say('input/o3.jpg', 'B3', '-2', 'A1'), pg_temp.queued('input/o3.jpg');
SELECT pg_temp.say('input/o4.jpg', '-2', 'B3', 'A1'), pg_temp.queued('input/o4.jpg');
SELECT pg_temp.say('input/o5.jpg', 'B3', 'A1', '-2', '-4'), pg_temp.queued('input/o5.jpg');
SELECT pg_temp.say('input/o7.jpg', '-2', '-2', 'A1', 'A2', 'B3', '-2'), pg_temp.queued('input/o7.jpg');
SELECT pg_temp.say('input/o6.jpg', 'A1', 'B3', 'B3', 'A1'), pg_temp.queued('input/o6.jpg');

-- the same beside stored labels: of a content whose time is known, and of one that was tagged at a time
\o /dev/null
SELECT oss_labels.import_labels('{"Labels": []}', 'dwoss1024', 'input/s' || n || '.jpg') FROM generate_series(1, 6) n;
UPDATE oss_labels.image SET etag = 'A', last_modified = '2026-01-01 00:00:02Z', source = 'oss', thr = 0.5;
UPDATE oss_labels.image SET last_modified = NULL, tagged_at = '2026-01-01 00:00:02Z' WHERE key IN ('input/s4.jpg', 'input/s5.jpg');
\o
SELECT pg_temp.say('input/s1.jpg', 'A2', 'A4', 'B1', '-1', '-2', 'B3', 'B3', 'A2', '-4'), pg_temp.queued('input/s1.jpg');
SELECT pg_temp.say('input/s2.jpg', '-3', '-3', 'A2'), pg_temp.queued('input/s2.jpg');
SELECT pg_temp.say('input/s4.jpg', 'A1', '-1', '-2', '-3');
SELECT pg_temp.say('input/s5.jpg', 'B1');
SELECT key, etag FROM oss_labels.image ORDER BY key;
SELECT oss_labels.correct('dwoss1024', 'input/s3.jpg', 'Mine', true);
SELECT pg_temp.say('input/s3.jpg', '-3') AS corrected;
UPDATE oss_labels.sync SET forget = false WHERE sync_id = :sync_id;
SELECT pg_temp.say('input/s6.jpg', '-3') AS kept;
UPDATE oss_labels.sync SET forget = NULL WHERE sync_id = :sync_id;

-- a failure is moot once the object is written again, or restored, and not before
\o /dev/null
INSERT INTO oss_labels.failed_job (job_id, enqueued_at, failed_at, thr, priority, attempts, requester, server, server_id, bucket, key, etag, "sqlstate", message, permanent, seen)
SELECT n, now(), '2026-01-01 00:00:02Z', 0.5, 0, 1, current_user::regrole, 'oss', s.oid, 'dwoss1024', 'input/f' || n || '.jpg', 'A', 'P0002', 'gone', true, oss_labels.fingerprint('oss', current_user::regrole)
FROM generate_series(1, 2) n, pg_foreign_server s WHERE s.srvname = 'oss';
\o
SELECT pg_temp.say('input/f1.jpg', 'A1', 'A3', 'A3');
SELECT e.action, e.reason FROM oss_labels.ingest_event(pg_temp.event('ObjectRestore:FinishRestore', 'input/f2.jpg', 'A', '2026-01-01T00:00:03.000Z')) e;
SELECT count(*) FROM oss_labels.failed_job;

-- what a removed object left is not stored: not the answer of a job in flight, nor that of a late event
SELECT pg_temp.say('input/n1.jpg', '-2', 'A1');
SELECT forgotten_at = removed_at AS at_once FROM oss_labels.forgotten WHERE image_id = oss_labels.image_id('dwoss1024', 'input/n1.jpg');

-- a limit, a pause
SELECT oss_labels.resume_sync(:sync_id, (SELECT count(*) + 1 FROM oss_labels.job WHERE sync_id = :sync_id));
SELECT pg_temp.say('input/l1.jpg', 'A1'), pg_temp.say('input/l2.jpg', 'A1'), pg_temp.say('input/l1.jpg', 'A1');
SELECT oss_labels.pause_sync(:sync_id);
SELECT pg_temp.say('input/l3.jpg', 'A1', '-2');
SELECT oss_labels.cancel_sync(:sync_id);
SELECT pg_temp.say('input/l3.jpg', 'A1', '-2');

-- what is no event
CREATE PROCEDURE pg_temp.try(message text) LANGUAGE plpgsql AS $$
DECLARE said text; hint text;
BEGIN
	SELECT string_agg(coalesce(e.reason, e.action), ' ') INTO said FROM oss_labels.ingest_message(message) e;
	RAISE NOTICE '% => %', left(message, 70), said;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
	RAISE NOTICE '% => % % %', left(message, 70), SQLSTATE, SQLERRM, left(hint, 20);
END $$;
CALL pg_temp.try(NULL);
CALL pg_temp.try('');
CALL pg_temp.try('   ');
CALL pg_temp.try('null');
CALL pg_temp.try('42');
CALL pg_temp.try('[]');
CALL pg_temp.try('{}');
CALL pg_temp.try('{"events": 3}');
CALL pg_temp.try('{"events": []}');
CALL pg_temp.try('{"events": [3]}');
CALL pg_temp.try('{"events": [[[[[[[[]]]]]]]]}');
CALL pg_temp.try('{"events": [{"eventName": "s3:ObjectCreated:Put"}]}');
CALL pg_temp.try('{"type": "ecs:Instance:StateChange", "data": {}}');
CALL pg_temp.try('{"eventName": 3, "oss": []}');
CALL pg_temp.try('{"eventName": ["ObjectCreated:PutObject"]}');
CALL pg_temp.try('{"eventName": "ObjectCreated:PutObject"}');
CALL pg_temp.try('{"eventName": "ObjectCreated:PutObject", "oss": null}');
CALL pg_temp.try('{"eventName": "ObjectCreated:PutObject", "oss": {"bucket": "b", "object": 3}}');
CALL pg_temp.try('{"eventName": "ObjectCreated:PutObject", "oss": {"bucket": {"name": "testjian"}, "object": {"key": ["x.jpg"]}}}');
CALL pg_temp.try('{"eventName": "ObjectCreated:PutObject", "oss": {"bucket": {"name": {"name": "testjian"}}, "object": {"key": "x.jpg"}}}');
CALL pg_temp.try('{"eventName": "ObjectDownloaded:GetObject"}');
CALL pg_temp.try('{"eventName": "ObjectCreated:PutObject", "eventTime": 3, "oss": {"bucket": {"name": "testjian"}, "object": {"key": "t1.jpg", "size": "x", "eTag": 3}}}');
CALL pg_temp.try('{"eventName": "ObjectCreated:PutObject", "eventTime": "2026-02-31T00:00:00Z", "oss": {"bucket": {"name": "testjian"}, "object": {"key": "t2.jpg", "size": -1, "eTag": []}}}');
CALL pg_temp.try('{"eventName": "ObjectCreated:PutObject", "eventTime": "infinity", "oss": {"bucket": {"name": "testjian"}, "object": {"key": "t3.jpg", "size": 1e400, "eTag": ""}}}');
CALL pg_temp.try('{"eventName": "ObjectRemoved:DeleteObject", "eventTime": "now", "oss": {"bucket": {"name": "testjian"}, "object": {"key": "t3.jpg"}}}');
CALL pg_temp.try('{"eventName": "ObjectCreated:PutObject", "oss": {"bucket": {"name": "testjian"}, "object": {"key": "t\u0000.jpg"}}}');
CALL pg_temp.try('{"eventName": "ObjectCreated:PutObject", "oss": {"bucket": {"name": "testjian"}, "object": {"key": "\ud800.jpg"}}}');
CALL pg_temp.try('{"eventName": "ObjectCreated:PutObject", "oss": {"bucket": {"name": "testjian''; DROP TABLE sample; --"}, "object": {"key": "x.jpg"}}}');
CALL pg_temp.try('{"eventName": "ObjectCreated:PutObject", "oss": {"bucket": {"name": "testjian"}, "object": {"key": "a''b\"c\\d\ne\u0001\t%20$$.jpg", "eTag": "' || repeat('E', 2000) || '"}}}');
CALL pg_temp.try('{"eventName": "ObjectCreated:PutObject", "junk": "' || repeat('x', 1000000) || '"}');
CALL pg_temp.try(repeat('[', 100000));
CALL pg_temp.try('{"Message": "{\"Message\": \"{\\\"Message\\\": \\\"{}\\\"}\"}"}');
CALL pg_temp.try('<Notification></Notification>');
CALL pg_temp.try('<Notification><Message>&#0;&#1114112;&bad;</Message></Notification>');
CALL pg_temp.try('AAAA');
CALL pg_temp.try('/w==');
CALL pg_temp.try('not base64!');
CALL pg_temp.try('{');
SELECT * FROM oss_labels.ingest_event(NULL);
SELECT key, etag, object_size FROM oss_labels.job WHERE bucket = 'testjian' ORDER BY job_id;

-- who posts needs nothing else, and gets nothing else
CREATE ROLE poster;
GRANT USAGE ON SCHEMA oss_labels TO poster;
GRANT EXECUTE ON FUNCTION oss_labels.ingest_message TO poster;
CREATE SCHEMA trap;
GRANT USAGE ON SCHEMA trap TO poster;
CREATE FUNCTION trap.upper(text) RETURNS text LANGUAGE sql AS $$ SELECT 'trapped' $$;
SET ROLE poster;
SET search_path = trap, pg_catalog;
SELECT bucket, key, action, reason FROM oss_labels.ingest_message((SELECT jsonb_build_object('eventName', 'ObjectCreated:PutObject', 'oss',
	'{"bucket": {"name": "testjian"}, "object": {"key": "posted.jpg", "eTag": "ab"}}'::jsonb)::text));
SELECT * FROM oss_labels.ingest_event('{}');
SELECT * FROM oss_labels.job;
SELECT * FROM oss_labels.sync;
SELECT count(*) FROM oss_labels.take_objects(1, '{}', '{}', '{}', '{}', '{}', '{}');
RESET search_path;
RESET ROLE;
SELECT requester::regrole = current_user::regrole AS mine, etag FROM oss_labels.job WHERE key = 'posted.jpg';
\! $OSS_CONTROL GET '/count?name=label_requests'; $OSS_CONTROL GET '/count?name=list_requests'
DROP SCHEMA trap CASCADE;
DROP OWNED BY poster;
DROP ROLE poster;
DROP TABLE sample, message;
\o /dev/null
DELETE FROM oss_labels.job;
SELECT oss_labels.cancel_sync(sync_id) FROM oss_labels.sync;
DELETE FROM oss_labels.image;
SELECT oss_labels.resume();
\o
