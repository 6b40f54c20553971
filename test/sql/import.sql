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
SELECT key, version_id, label_name, centric_score FROM oss_labels.image JOIN oss_labels.effective_image_label USING (image_id)
WHERE bucket = 'oldbucket' ORDER BY 1, 3;

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
SELECT oss_labels.import_labels('{"RequestId": "A"}', 'oldbucket', 'd.jpg');
SELECT oss_labels.import_labels('{"Labels": null, "Tags": {}}', 'oldbucket', 'd.jpg');
SELECT oss_labels.import_labels('{"Labels": [{"LabelName": "Dog"}, "Cat"]}', 'oldbucket', 'd.jpg');
SELECT oss_labels.import_labels('{"Labels": [{"LabelName": "Dog"}, {"LabelConfidence": 0.5}]}', 'oldbucket', 'd.jpg');
\echo :LAST_ERROR_SQLSTATE
SELECT oss_labels.import_labels('{"Tags": [{"TagName": null}]}', 'oldbucket', 'd.jpg');
SELECT oss_labels.import_labels('{"Labels": [{"LabelName": 7}]}', 'oldbucket', 'd.jpg');
SELECT oss_labels.import_labels('{"Labels": [{"LabelName": " "}]}', 'oldbucket', 'd.jpg');
SELECT oss_labels.import_labels(jsonb_build_object('Labels', jsonb_build_array(jsonb_build_object('LabelName', repeat('狗', 256)))), 'oldbucket', 'd.jpg');
SELECT oss_labels.import_labels('{"Labels": [{"LabelName": "Dog", "ParentLabelName": ["Animal"]}]}', 'oldbucket', 'd.jpg');
SELECT oss_labels.import_labels('{"Labels": [{"LabelName": "Dog", "LabelLevel": 1.5}]}', 'oldbucket', 'd.jpg');
SELECT oss_labels.import_labels('{"Labels": [{"LabelName": "Dog", "LabelConfidence": "0.9"}]}', 'oldbucket', 'd.jpg');
SELECT oss_labels.import_labels('{"Labels": [{"LabelName": "Dog", "LabelConfidence": 1e400}]}', 'oldbucket', 'd.jpg');
SELECT oss_labels.import_labels('{"Labels": [{"LabelName": "Dog", "CentricScore": 2}]}', 'oldbucket', 'd.jpg');
SELECT oss_labels.import_labels('{"Labels": [{"LabelName": "Dog", "Language": {}}]}', 'oldbucket', 'd.jpg');
SELECT oss_labels.import_labels((SELECT jsonb_build_object('Labels', jsonb_agg(jsonb_build_object('LabelName', i)))
	FROM generate_series(1, 10001) i), 'oldbucket', 'd.jpg');
\echo :LAST_ERROR_SQLSTATE
SELECT oss_labels.import_labels(jsonb_build_object('Labels', '[]'::jsonb, 'Other', repeat('x', 17000000)), 'oldbucket', 'd.jpg');
\echo :LAST_ERROR_SQLSTATE
-- a document nested too deeply is refused by jsonb, or here: not by a crash
DO $$
DECLARE
	depth integer := 100;
BEGIN
	LOOP
		PERFORM oss_labels.import_labels(('{"Labels": [], "Deep": ' || repeat('[', depth)
			|| repeat(']', depth) || '}')::jsonb, 'deepbucket', depth::text);
		depth := depth * 2;
	END LOOP;
EXCEPTION WHEN statement_too_complex THEN
	RAISE NOTICE '%', SQLSTATE;
END $$;
SELECT oss_labels.import_labels('{"Labels": []}', 'oldbucket', 'd.jpg', source => '');
SELECT oss_labels.import_labels('{"Labels": []}', 'oldbucket', 'd.jpg', source => repeat('x', 64));
SELECT oss_labels.import_labels('{"Labels": []}', 'oldbucket', 'd.jpg', format => 'Rekognition');
\echo :LAST_ERROR_SQLSTATE
SELECT oss_labels.import_labels('{"Labels": []}', format => 'rekognition');
SELECT count(*) FROM oss_labels.image WHERE key = 'd.jpg' OR bucket = 'deepbucket';

-- a statement that is refused stores nothing of its images before, and a rollback all
SELECT oss_labels.import_labels(d::jsonb, 'oldbucket', k) FROM (VALUES ('{"Labels": [{"LabelName": "Dog"}]}', 'one.jpg'),
	('{"Labels": [{"LabelName": ""}]}', 'two.jpg')) v (d, k);
BEGIN;
SELECT oss_labels.import_labels('{"Labels": [{"LabelName": "Zebra", "LabelConfidence": 1}]}', 'oldbucket', 'one.jpg');
ROLLBACK;
SELECT count(*) FROM oss_labels.image WHERE key IN ('one.jpg', 'two.jpg');
BEGIN READ ONLY;
SELECT oss_labels.import_labels('{"Labels": [{"LabelName": "Okapi"}]}', 'oldbucket', 'one.jpg');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
SELECT count(*) FROM oss_labels.vocabulary WHERE label_name = 'Okapi';

-- what a service says without a parent or language
SELECT oss_labels.import_labels('{"Labels": [{"LabelName": "Sky", "ParentLabelName": "", "Language": "", "LabelLevel": null}]}', 'oldbucket', 'sky.jpg');
SELECT label_name, parent_label_name, language, label_level, raw FROM oss_labels.labels_of('oldbucket', 'sky.jpg');

-- Rekognition: percentages, a row for each parent, and all that it said
SELECT oss_labels.import_labels('{"Labels": [
	{"Name": "Car", "Confidence": 98.5, "Parents": [{"Name": "Vehicle"}, {"Name": "Transportation"}],
		"Aliases": [{"Name": "Automobile"}], "Categories": [{"Name": "Vehicles and Automotive"}],
		"Instances": [{"BoundingBox": {"Width": 0.1, "Height": 0.2, "Left": 0.3, "Top": 0.4}, "Confidence": 97.1}]},
	{"Name": "Vehicle", "Confidence": 100, "Parents": [], "Instances": []},
	{"Name": "Road", "Confidence": 0}],
	"LabelModelVersion": "3.0", "ResponseMetadata": {"HTTPStatusCode": 200}}',
	'oldbucket', 'car.jpg', format => 'rekognition', thr => 0.55);
SELECT label_name, parent_label_name, label_level, label_confidence, raw FROM oss_labels.labels_of('oldbucket', 'car.jpg');
SELECT label_name, parent_label_name, label_confidence, source FROM oss_labels.label WHERE key = 'car.jpg' ORDER BY 1, 2;
SELECT thr, label_count, source, response -> 'LabelModelVersion' AS kept FROM oss_labels.image WHERE key = 'car.jpg';
SELECT key FROM oss_labels.search('parent:Transportation & Road');
SELECT oss_labels.import_labels('{"Labels": []}', 'oldbucket', 'empty.jpg', format => 'rekognition', source => 'old shop');
SELECT label_count, source FROM oss_labels.image WHERE key = 'empty.jpg';
SELECT oss_labels.import_labels('{"Labels": [{"Name": "Dog", "Confidence": 98.5, "Parents": [{"Name": "Animal"}]}]}', 'oldbucket', 'd.jpg');
\echo :LAST_ERROR_SQLSTATE
\set rekognition 'SELECT oss_labels.import_labels(d::jsonb, $$oldbucket$$, $$d.jpg$$, format => $$rekognition$$) FROM (VALUES'
:rekognition ('{"Labels": [{"LabelName": "Dog", "LabelConfidence": 0.9}]}')) v (d);
:rekognition ('{"ModerationLabels": []}')) v (d);
:rekognition ('{"__type": "InvalidS3ObjectException", "Message": "no"}')) v (d);
:rekognition ('{"Labels": {}}')) v (d);
:rekognition ('{"Labels": [{"Timestamp": 0, "Label": {"Name": "Dog", "Confidence": 98.5}}]}')) v (d);
:rekognition ('{"Labels": [{"Name": "Dog"}]}')) v (d);
:rekognition ('{"Labels": [{"Name": "Dog", "Confidence": 100.5}]}')) v (d);
:rekognition ('{"Labels": [{"Name": "Dog", "Confidence": 98.5, "Parents": ["Animal"]}]}')) v (d);
:rekognition ('{"Labels": [{"Name": "Dog", "Confidence": 98.5, "Parents": [{"Name": "Animal"}, {}]}]}')) v (d);
:rekognition ('{"Labels": [{"Name": "Dog", "Confidence": 98.5, "Parents": {"Name": "Animal"}}]}')) v (d);
:rekognition ('{"Labels": [{"Name": "Dog", "Confidence": 98.5, "Aliases": [{"Name": ""}]}]}')) v (d);
:rekognition ('{"Labels": [{"Name": "Dog", "Confidence": 98.5, "Categories": [{"Name": 1}]}]}')) v (d);
:rekognition ('{"Labels": [{"Name": "Dog", "Confidence": 98.5, "Instances": [{"Confidence": -1}]}]}')) v (d);

-- Vision: an image, with the context that names its key
SELECT oss_labels.import_labels('{"labelAnnotations": [
	{"mid": "/m/0bt9lr", "description": "Dog", "score": 0.97, "topicality": 0.9},
	{"mid": "/m/0jbk", "description": "Animal", "score": 0.6, "locale": "en"}],
	"context": {"uri": "gs://elsewhere/dir/v.jpg"}, "safeSearchAnnotation": {"adult": "UNLIKELY"}}',
	'oldbucket', format => 'google_vision');
SELECT label_name, label_confidence, centric_score, language, raw FROM oss_labels.labels_of('oldbucket', 'dir/v.jpg');
SELECT source, response ? 'labelAnnotations' AS twice, response -> 'safeSearchAnnotation' AS kept
FROM oss_labels.image WHERE key = 'dir/v.jpg';
-- a batch: labels, nothing found, and an image that failed
SELECT oss_labels.import_labels('{"responses": [
	{"labelAnnotations": [{"description": "Tree", "score": 0.8}], "context": {"uri": "gs://elsewhere/b/1.jpg"}},
	{"context": {"uri": "gs://elsewhere/b/2.jpg"}},
	{"error": {"code": 3, "message": "Bad image data."}, "context": {"uri": "gs://elsewhere/b/3.jpg"}}]}',
	'oldbucket', format => 'google_vision');
SELECT key, label_count, source FROM oss_labels.image WHERE key LIKE 'b/%' ORDER BY key;
SELECT oss_labels.import_labels('{"responses": [{"labelAnnotations": [{"description": "Tree", "score": 0.8}]}]}',
	'oldbucket', 'b/4.jpg', format => 'google_vision');
\set vision 'SELECT oss_labels.import_labels(d::jsonb, $$oldbucket$$, $$d.jpg$$, format => $$google_vision$$) FROM (VALUES'
:vision ('{"error": {"code": 3, "message": "Bad image data."}}')) v (d);
:vision ('{"error": "Bad image data."}')) v (d);
:vision ('{}')) v (d);
:vision ('{"responses": []}')) v (d);
:vision ('{"responses": {}}')) v (d);
:vision ('{"responses": [[]]}')) v (d);
:vision ('{"responses": [{"faceAnnotations": []}]}')) v (d);
:vision ('{"responses": [{"labelAnnotations": []}, {"labelAnnotations": []}]}')) v (d);
:vision ('{"labelAnnotations": [{"score": 0.8}]}')) v (d);
:vision ('{"labelAnnotations": [{"description": "Dog"}]}')) v (d);
:vision ('{"responses": [{"labelAnnotations": [{"description": "Dog", "score": 97}]}]}')) v (d);
:vision ('{"labelAnnotations": [{"description": "Dog", "score": 0.9, "topicality": "high"}]}')) v (d);
SELECT oss_labels.import_labels('{"responses": [{"labelAnnotations": []}]}', 'oldbucket', format => 'google_vision');
SELECT oss_labels.import_labels('{"labelAnnotations": [], "context": {"uri": "gs://elsewhere/a.jpg"}}', format => 'google_vision');
SELECT oss_labels.import_labels('{"responses": [
	{"labelAnnotations": [], "context": {"uri": "gs://elsewhere/b/5.jpg"}},
	{"labelAnnotations": [], "context": {"uri": "gs://elsewhere/b/5.jpg"}}]}', 'oldbucket', format => 'google_vision');
SELECT count(*) FROM oss_labels.image WHERE key IN ('d.jpg', 'b/5.jpg');

-- rows
SELECT oss_labels.import_label_rows('oldbucket', 'r/1.jpg', '{Dog,Animal}', '{0.9,0.5}', '{Animal,NULL}');
SELECT oss_labels.import_label_rows('oldbucket', 'r/2.jpg', '{Cat}', '{0.9}'::real[], source => 'own model', thr => 0.3,
	version_id => 'v1', tagged_at => '2020-01-01');
SELECT oss_labels.import_label_rows('oldbucket', 'r/3.jpg', '{}');
SELECT oss_labels.import_label_rows('oldbucket', 'r/4.jpg', '{Same,Same}', parents => '{A,B}');
SELECT key, label_name, parent_label_name, label_confidence, source FROM oss_labels.label WHERE key LIKE 'r/%' ORDER BY 1, 2, 3;
SELECT key, version_id, thr, label_count, source FROM oss_labels.image WHERE key LIKE 'r/%' ORDER BY 1;
SELECT label_name FROM oss_labels.tag('oldbucket', 'r/1.jpg', 0.7);
\! $OSS_CONTROL GET '/count?name=requests_total'
SELECT oss_labels.import_label_rows('oldbucket', 'd.jpg', '{Dog,Cat}', '{0.9}');
\echo :LAST_ERROR_SQLSTATE
SELECT oss_labels.import_label_rows('oldbucket', 'd.jpg', '{Dog}', '{0.9}', '{A,B}');
SELECT oss_labels.import_label_rows('oldbucket', 'd.jpg', '{Dog,NULL}', '{0.9,0.9}');
SELECT oss_labels.import_label_rows('oldbucket', 'd.jpg', '{Dog,Cat}', '{0.9,NULL}');
SELECT oss_labels.import_label_rows('oldbucket', 'd.jpg', '{Dog,Cat}', '{0.9,NaN}');
SELECT oss_labels.import_label_rows('oldbucket', 'd.jpg', '{Dog,Cat}', '{0.9,98.5}');
SELECT oss_labels.import_label_rows('oldbucket', 'd.jpg', '{Dog,Cat}', '{-Infinity,1}');
SELECT oss_labels.import_label_rows('oldbucket', 'd.jpg', '{Dog,""}', '{0.9,0.9}');
SELECT oss_labels.import_label_rows('oldbucket', 'd.jpg', '{Dog,Cat}', parents => '{Animal,""}');
SELECT oss_labels.import_label_rows('oldbucket', 'd.jpg', ARRAY[repeat('x', 256)]);
SELECT oss_labels.import_label_rows('oldbucket', 'd.jpg', '{Dog,Cat,Dog}', '{0.9,0.8,0.7}');
SELECT oss_labels.import_label_rows('oldbucket', 'd.jpg', '{{Dog,Cat}}');
SELECT oss_labels.import_label_rows('oldbucket', 'd.jpg', NULL);
SELECT oss_labels.import_label_rows('oldbucket', NULL, '{Dog}');
SELECT oss_labels.import_label_rows('No', 'd.jpg', '{Dog}');
SELECT oss_labels.import_label_rows('oldbucket', 'd.jpg', '{Dog}', thr => 'NaN');
SELECT oss_labels.import_label_rows('oldbucket', 'd.jpg', '{Dog}', tagged_at => 'infinity');
SELECT oss_labels.import_label_rows('oldbucket', 'd.jpg', (SELECT array_agg(i::text) FROM generate_series(1, 10001) i));

-- many images in one statement
SELECT oss_labels.import_label_set('oldbucket', 's/' || i, ARRAY['Dog', 'Label ' || i % 7], ARRAY[0.9, 0.8], ARRAY['Animal', NULL], 'bulk')
FROM generate_series(1, 2500) i;
SELECT count(*), sum(label_count), min(source) FROM oss_labels.image WHERE key LIKE 's/%';
SELECT count(*), count(DISTINCT image_id) FROM oss_labels.label WHERE source = 'bulk';
SELECT i % 2 AS half, oss_labels.import_label_set('oldbucket', 't/' || i, '{Dog}', NULL, NULL, NULL) AS stored
FROM generate_series(1, 2500) i GROUP BY 1 ORDER BY 1;
SELECT oss_labels.import_label_set('oldbucket', 's/1', '{Dog}', NULL, NULL, NULL) WHERE false;
SELECT oss_labels.import_label_set('oldbucket', 'u/' || i, ARRAY[CASE WHEN i < 1500 THEN 'Dog' ELSE '' END], NULL, NULL, NULL)
FROM generate_series(1, 2500) i;
SELECT oss_labels.import_label_set('oldbucket', 'u/' || i % 1500, '{Dog}', NULL, NULL, NULL) FROM generate_series(1, 2500) i;
\echo :LAST_ERROR_SQLSTATE
SELECT oss_labels.import_label_set('oldbucket', 'u/1', '{Dog}', NULL, NULL, NULL) OVER () FROM generate_series(1, 2);
SELECT count(*) FROM oss_labels.image WHERE key = 'd.jpg' OR key LIKE 'u/%';

SELECT bool_and(oss_labels.forget(bucket, key, version_id)) FROM oss_labels.image;
SET client_min_messages = warning;
DROP SERVER oss CASCADE;
\o /dev/null
DELETE FROM oss_labels.image;
