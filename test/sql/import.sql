-- Answers that were paid for elsewhere.
\o /dev/null
DELETE FROM oss_labels.image;
\o
\i test/sql/include/server.sql
\pset null NULL
-- imm/tagimage, with its ImageUri
SELECT oss_labels.import_labels('{"ImageUri": "oss://oldbucket/dir/a.jpg", "RequestId": "5F2B",
	"Tags": [{"TagName": "Animal", "TagLevel": 1, "TagConfidence": 0.98},
		{"TagName": "Cat", "TagLevel": 2, "TagConfidence": 0.9, "ParentTagName": "Animal"}],
	"httpStatusCode": 200, "success": true}', thr => 0.6);
SELECT label_name, parent_label_name, label_level, label_confidence, centric_score, raw
FROM oss_labels.labels_of('oldbucket', 'dir/a.jpg');
SELECT label_name, label_level FROM oss_labels.label WHERE bucket = 'oldbucket' ORDER BY 1;
SELECT thr, label_count, response -> 'success' AS kept FROM oss_labels.image WHERE bucket = 'oldbucket';

-- DetectImageLabels, plain and as the SDKs save it
SELECT oss_labels.import_labels('{"RequestId": "A", "Labels": [{"LabelName": "Dog", "ParentLabelName": "Animal",
	"LabelLevel": 2, "LabelConfidence": 0.8, "CentricScore": 0.7, "Language": "en-us"}]}', 'oldbucket', 'b.jpg');
SELECT oss_labels.import_labels('{"headers": {}, "body": {"Labels": [{"LabelName": "Horse"}]}}', 'oldbucket', 'c.jpg', version_id => 'v1');
SELECT oss_labels.import_labels('{"RequestId": "A", "Labels": []}', 'oldbucket', 'none.jpg');
SELECT key, version_id, label_name, centric_score FROM oss_labels.label WHERE bucket = 'oldbucket' ORDER BY 1, 3;

-- switching costs nothing: none of these is asked for again
SELECT key, count(l.label_name) FROM (VALUES ('dir/a.jpg'), ('b.jpg'), ('none.jpg')) p (key)
LEFT JOIN LATERAL oss_labels.tag('oldbucket', p.key) l ON true GROUP BY key ORDER BY key;
\! $OSS_CONTROL GET '/count?name=requests_total'

-- what is younger stays
SELECT oss_labels.import_labels('{"Labels": [{"LabelName": "Wolf"}]}', 'oldbucket', 'b.jpg', tagged_at => '2020-01-01');
SELECT label_name FROM oss_labels.labels_of('oldbucket', 'b.jpg');
SELECT oss_labels.import_labels('{"Labels": [{"LabelName": "Fox"}]}', 'oldbucket', 'b.jpg', tagged_at => 'infinity');
SELECT oss_labels.import_labels('{"Labels": [{"LabelName": "Fox"}]}', 'oldbucket', 'b.jpg', tagged_at => clock_timestamp() + interval '2 s');
SELECT label_name, tagged_at <= now() + interval '1 hour' AS not_later FROM oss_labels.label WHERE key = 'b.jpg';

-- refused
SELECT oss_labels.import_labels(NULL, 'oldbucket', 'b.jpg');
SELECT oss_labels.import_labels('{"Tags": []}', 'oldbucket');
\echo :LAST_ERROR_SQLSTATE
SELECT oss_labels.import_labels('{"Code": "AccessDenied"}', 'oldbucket', 'd.jpg');
\echo :LAST_ERROR_SQLSTATE
SELECT oss_labels.import_labels('{"Labels": [{"LabelName": "Dog", "LabelConfidence": 93.5}]}', 'oldbucket', 'd.jpg');
\echo :LAST_ERROR_SQLSTATE
SELECT oss_labels.import_labels('{"Tags": [{"TagName": "Dog", "TagConfidence": -0.1}]}', 'oldbucket', 'd.jpg');
SELECT oss_labels.import_labels('[1]', 'oldbucket', 'd.jpg');
SELECT oss_labels.import_labels('{"body": {"body": {"Labels": []}}}', 'oldbucket', 'd.jpg');
SELECT oss_labels.import_labels('{"Labels": []}', 'No', 'd.jpg');
SELECT oss_labels.import_labels('{"Labels": []}', 'oldbucket', 'd.jpg', thr => 2);
SELECT bool_and(oss_labels.forget(bucket, key, version_id)) FROM oss_labels.image WHERE bucket = 'oldbucket';
SET client_min_messages = warning;
DROP SERVER oss CASCADE;
\o /dev/null
DELETE FROM oss_labels.image;
