-- Albums: rules that follow new images by themselves; people win over them.
SET client_min_messages = warning;	-- which names are known depends on the tests before
\o /dev/null
DELETE FROM oss_labels.image;
\o
\pset null NULL
INSERT INTO oss_labels.album (name, owner, rule) VALUES
	('Seaside', 'mei', 'Beach & !Crowd'), ('Pets', 'mei', 'Dog:0.8 | Cat'), ('Best of', 'mei', NULL);
SELECT album_id AS seaside FROM oss_labels.album WHERE name = 'Seaside' \gset
INSERT INTO oss_labels.album (name, owner, rule) VALUES ('Broken', 'mei', 'Beach &');
\set VERBOSITY terse
INSERT INTO oss_labels.album (name, owner, rule) VALUES ('Pets', 'mei', 'Dog');
\set VERBOSITY default
CREATE VIEW pg_temp.members AS
	SELECT name, key, score, pinned FROM oss_labels.album_member
	WHERE owner = 'mei' ORDER BY name, pinned, score DESC, key;
SELECT * FROM pg_temp.members;

-- new images come by themselves
SELECT oss_labels.import_labels(d, 'albums', k) FROM (VALUES
	('1', '{"Labels": [{"LabelName": "Beach", "LabelConfidence": 0.9}]}'::jsonb),
	('2', '{"Labels": [{"LabelName": "Beach", "LabelConfidence": 0.8}, {"LabelName": "Crowd", "LabelConfidence": 0.9}]}'),
	('3', '{"Labels": [{"LabelName": "Dog", "LabelConfidence": 0.7}, {"LabelName": "Beach", "LabelConfidence": 0.6}]}'),
	('4', '{"Labels": [{"LabelName": "Cat", "LabelConfidence": 0.9}]}')) v (k, d);
SELECT * FROM pg_temp.members;

-- pins and exclusions win, also over images without labels and over re-tagging
SELECT oss_labels.pin(:seaside, 'albums', '2', pinned_by => 'mei');
SELECT oss_labels.pin(:seaside, 'albums', '1', false);
SELECT oss_labels.pin(album_id, 'albums', 'new') FROM oss_labels.album WHERE name = 'Best of';
SELECT * FROM pg_temp.members;
SELECT oss_labels.import_labels('{"Labels": [{"LabelName": "Beach", "LabelConfidence": 1}]}', 'albums', '1');
SELECT * FROM pg_temp.members WHERE name = 'Seaside';
SELECT name FROM oss_labels.albums_of('albums', '1') ORDER BY name;
SELECT name FROM oss_labels.albums_of('albums', '3') ORDER BY name;
SELECT name FROM oss_labels.albums_of('albums', '2') ORDER BY name;
SELECT name FROM oss_labels.albums_of('albums', 'new') ORDER BY name;
SELECT pinned, pinned_by = 'mei' AS by_mei, pinned_at <= now() AS has_time
FROM oss_labels.album_pin WHERE key = '2';

-- left to the rule again
SELECT oss_labels.pin(:seaside, 'albums', '1', NULL);
SELECT * FROM pg_temp.members WHERE name = 'Seaside';
SELECT oss_labels.pin(0, 'albums', '1');

-- a rule can be changed, and albums are gone with their pins
UPDATE oss_labels.album SET rule = rule || 'Cat' WHERE name = 'Seaside';
SELECT name, rule FROM oss_labels.album ORDER BY name;
SELECT * FROM pg_temp.members WHERE name = 'Seaside';
DELETE FROM oss_labels.album;
SELECT count(*) FROM oss_labels.album_pin;
SELECT bool_and(oss_labels.forget('albums', k)) FROM unnest('{1,2,3,4}'::text[]) k;
\o /dev/null
DELETE FROM oss_labels.image;
