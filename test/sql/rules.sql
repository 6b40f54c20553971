-- House rules and corrections: applied when labels are read, never by rewriting.
\o /dev/null
DELETE FROM oss_labels.image;
\o
\i test/sql/include/server.sql
\pset null NULL
SELECT oss_labels.import_labels(d, 'rules', k) FROM (VALUES
	('a', '{"Labels": [{"LabelName": "狗", "ParentLabelName": "动物", "LabelConfidence": 0.95, "LabelLevel": 2, "Language": "zh-Hans"},
		{"LabelName": "Dog", "ParentLabelName": "Animal", "LabelConfidence": 0.8},
		{"LabelName": "Weapon", "LabelConfidence": 0.9}, {"LabelName": "Cat", "LabelConfidence": 0.6}]}'::jsonb),
	('b', '{"Labels": [{"LabelName": "Dog", "ParentLabelName": "Animal", "LabelConfidence": 0.5},
		{"LabelName": "Cat", "LabelConfidence": 0.9}]}')) v (k, d);
CREATE VIEW pg_temp.seen AS
	SELECT key, label_name, parent_label_name, label_confidence, corrected
	FROM oss_labels.effective_label WHERE bucket = 'rules'
	ORDER BY key, label_name, label_confidence;
SELECT * FROM pg_temp.seen;
CREATE TEMP TABLE before AS SELECT * FROM oss_labels.label WHERE bucket = 'rules';

-- hidden, minimum confidence, translations
INSERT INTO oss_labels.label_rule (label_name, min_confidence, hidden) VALUES
	('Weapon', NULL, true), ('Cat', 0.7, false), ('Dog', 0.6, false);
INSERT INTO oss_labels.label_alias VALUES ('狗', 'Dog'), ('动物', 'Animal');
SELECT * FROM pg_temp.seen;
SELECT key, score FROM oss_labels.search('Dog');
SELECT key, score FROM oss_labels.search('狗 | Weapon');
SELECT key, score FROM oss_labels.search('parent:Animal');
SELECT * FROM oss_labels.label_rollup ORDER BY 1, 2, 3;

-- chains and nonsense are refused
INSERT INTO oss_labels.label_alias VALUES ('Puppy', '狗');
INSERT INTO oss_labels.label_alias VALUES ('Dog', 'Pet');
INSERT INTO oss_labels.label_alias VALUES ('Cat', 'Cat');
INSERT INTO oss_labels.label_rule (label_name, min_confidence) VALUES ('Horse', 2);

-- people know better, and are named
SELECT oss_labels.correct('rules', 'b', 'Dog', true, 'Animal', corrected_by => 'mei');
SELECT oss_labels.correct('rules', 'b', 'Cat', false, corrected_by => 'mei', note => 'a fox');
SELECT oss_labels.correct('rules', 'a', '狗', false);
SELECT oss_labels.correct('rules', 'a', 'Wedding', true, 'Event');
SELECT * FROM pg_temp.seen;
SELECT key, score FROM oss_labels.search('Dog | Wedding');
SELECT label_name, added, corrected_by = 'mei' AS by_mei, corrected_at <= now() AS has_time, note
FROM oss_labels.label_correction ORDER BY label_name, corrected_by;

-- of names that are read as one label the last word counts, and is taken back whole
SELECT oss_labels.correct('rules', 'b', '狗', false, corrected_by => 'bo');
SELECT count(*) FROM pg_temp.seen WHERE key = 'b' AND label_name = 'Dog';
SELECT key FROM oss_labels.search('Dog');
SELECT oss_labels.correct('rules', 'b', 'Dog', true, 'Animal', corrected_by => 'mei');
SELECT count(*) FROM pg_temp.seen WHERE key = 'b' AND label_name = 'Dog';
SELECT key FROM oss_labels.search('Dog');
SELECT oss_labels.correct('rules', 'b', '狗', NULL);
SELECT label_confidence, corrected FROM pg_temp.seen WHERE key = 'b' AND label_name = 'Dog';
SELECT count(*) FROM oss_labels.label_correction WHERE label_name IN ('Dog', '狗') AND corrected_by <> session_user;
SELECT oss_labels.correct('rules', 'b', 'Dog', true, 'Animal', corrected_by => 'mei');

-- a parent that is named later is searched, too
SELECT oss_labels.correct('rules', 'a', 'Lantern', true);
SELECT oss_labels.correct('rules', 'a', 'Lantern', true, 'Lamp');
SELECT key FROM oss_labels.search('parent:Lamp');
SELECT oss_labels.correct('rules', 'a', 'Lantern', NULL);
SELECT oss_labels.correct('rules', 'nope', 'Dog', true);
\echo :LAST_ERROR_SQLSTATE
SELECT oss_labels.correct('rules', 'a', '', true);
\echo :LAST_ERROR_SQLSTATE

-- what is stored is as it was
SELECT count(*) FROM (TABLE before EXCEPT SELECT * FROM oss_labels.label WHERE bucket = 'rules') d;

-- and corrections survive a re-tagging
SELECT oss_labels.import_labels('{"Labels": [{"LabelName": "Cat", "LabelConfidence": 0.99},
	{"LabelName": "Grass", "LabelConfidence": 0.8}]}', 'rules', 'b');
SELECT * FROM pg_temp.seen WHERE key = 'b';
SELECT count(*) > 0 AS some FROM oss_labels.tag('examplebucket', 'example.jpg');
SELECT label_name AS first FROM oss_labels.label WHERE bucket = 'examplebucket' ORDER BY 1 LIMIT 1 \gset
SELECT oss_labels.correct('examplebucket', 'example.jpg', :'first', false);
SELECT count(*) > 0 AS some FROM oss_labels.tag('examplebucket', 'example.jpg', max_age => '0');
SELECT count(*) FROM oss_labels.label WHERE bucket = 'examplebucket' AND label_name = :'first';
SELECT count(*) FROM oss_labels.effective_label WHERE bucket = 'examplebucket' AND label_name = :'first';

-- taken back
SELECT oss_labels.correct('rules', 'b', 'Cat', NULL);
SELECT * FROM pg_temp.seen WHERE key = 'b';
SELECT oss_labels.forget('rules', k) FROM unnest('{a,b}'::text[]) k;
SELECT oss_labels.forget('examplebucket', 'example.jpg');
SELECT count(*) FROM oss_labels.label_correction;
DELETE FROM oss_labels.label_rule;
DELETE FROM oss_labels.label_alias;

-- a label counts once, however often an answer has it and whatever it is called; of a label
-- that is merged all parents are kept, and a hidden one is nobody's parent
SELECT oss_labels.import_labels('{"Labels": [{"LabelName": "Dog", "ParentLabelName": "Animal", "LabelConfidence": 0.7, "LabelLevel": 2},
	{"LabelName": "Dog", "ParentLabelName": "Animal", "LabelConfidence": 0.95, "LabelLevel": 2},
	{"LabelName": "Puppy", "ParentLabelName": "Animal", "LabelConfidence": 0.9}, {"LabelName": "狗", "ParentLabelName": "宠物", "LabelConfidence": 0.96},
	{"LabelName": "Nameless", "LabelConfidence": null}]}', 'rules', 'm');
-- a service may leave out a name
INSERT INTO oss_labels.image_label SELECT image_id, oss_labels.label_id(NULL), 0.5 FROM oss_labels.image WHERE key = 'm';
SELECT label_count, (SELECT count(*) FROM oss_labels.label l WHERE l.image_id = i.image_id) FROM oss_labels.image i WHERE bucket = 'rules';
INSERT INTO oss_labels.label_alias VALUES ('Puppy', 'Dog'), ('狗', 'Dog');
SELECT * FROM pg_temp.seen;
SELECT key, score FROM oss_labels.search('parent:Animal') UNION ALL SELECT key, score FROM oss_labels.search('parent:宠物 & Puppy');
INSERT INTO oss_labels.label_rule (label_name, hidden) VALUES ('宠物', true);
SELECT * FROM pg_temp.seen;
SELECT key FROM oss_labels.search('parent:宠物');
SELECT parent_label_name, label_name, images FROM oss_labels.label_rollup ORDER BY 1, 2;
BEGIN;
DELETE FROM oss_labels.label_rule;
TRUNCATE oss_labels.label_alias;
SELECT * FROM pg_temp.seen;
ROLLBACK;
SELECT * FROM pg_temp.seen;
SELECT raw_label_name, label_name FROM oss_labels.effective_name WHERE label_name = 'Dog' ORDER BY 1;

-- an album and a profile in a name that became an alias go on finding
INSERT INTO oss_labels.album (name, owner, rule) VALUES ('Puppies', 'mei', 'Puppy & !Cat');
SELECT key FROM oss_labels.album_member WHERE name = 'Puppies';
SELECT name FROM oss_labels.albums_of('rules', 'm');
SELECT key FROM oss_labels.images_for('{"Puppy": 1}');
SELECT oss_labels.matches('rules', 'm', 'Puppy'), oss_labels.matches('rules', 'm', '狗:0.97');
DELETE FROM oss_labels.album;
SELECT oss_labels.forget('rules', 'm');
DELETE FROM oss_labels.label_rule;
DELETE FROM oss_labels.label_alias;

-- names are the same however their letters are encoded, wherever they come from
SELECT oss_labels.import_labels(jsonb_build_object('Labels', jsonb_build_array(
	jsonb_build_object('LabelName', U&'Cafe\0301', 'ParentLabelName', U&'E\0301tablissement', 'LabelConfidence', 0.9),
	jsonb_build_object('LabelName', U&'Caf\00e9', 'ParentLabelName', U&'\00c9tablissement', 'LabelConfidence', 0.8))), 'rules', 'n');
SELECT label_name = U&'Caf\00e9' AS name, parent_label_name = U&'\00c9tablissement' AS parent, label_confidence FROM oss_labels.label WHERE key = 'n';
SELECT label_name = U&'Caf\00e9' AS name FROM oss_labels.labels_of('rules', 'n');
SELECT q = U&'Cafe\0301' AS decomposed, (SELECT count(*) FROM oss_labels.search(q)) AS found, (SELECT count(*) FROM oss_labels.search('parent:' || p)) AS below,
	oss_labels.matches('rules', 'n', q), (SELECT count(*) FROM oss_labels.images_for(jsonb_build_object(q, 1))) AS liked,
	oss_labels.label_id(q, p) = oss_labels.label_id(U&'Caf\00e9', U&'\00c9tablissement') AS same_id
FROM (VALUES (U&'Cafe\0301', U&'E\0301tablissement'), (U&'Caf\00e9', U&'\00c9tablissement')) v (q, p);
SELECT oss_labels.correct('rules', 'n', U&'Cafe\0301', false);
SELECT count(*) FROM pg_temp.seen WHERE key = 'n';
SELECT oss_labels.correct('rules', 'n', U&'Caf\00e9', true);
SELECT label_name = U&'Caf\00e9' AS name, corrected FROM pg_temp.seen WHERE key = 'n';
SELECT oss_labels.correct('rules', 'n', U&'Cafe\0301', NULL);
INSERT INTO oss_labels.label_correction (image_id, label_name, added) VALUES (oss_labels.image_id('rules', 'n'), U&'Cafe\0301', false);
SELECT count(*) FROM pg_temp.seen WHERE key = 'n';
DELETE FROM oss_labels.label_correction;
INSERT INTO oss_labels.label_rule VALUES (U&'Cafe\0301', 0.85);
SELECT label_name = U&'Caf\00e9' AS name FROM oss_labels.label_rule;
SELECT label_confidence FROM pg_temp.seen WHERE key = 'n';
UPDATE oss_labels.label_rule SET min_confidence = 0.95;
SELECT count(*) FROM pg_temp.seen WHERE key = 'n';
DELETE FROM oss_labels.label_rule;
INSERT INTO oss_labels.label_alias VALUES (U&'Cafe\0301', U&'Bistro\0302'), (U&'E\0301tablissement', 'Place');
SELECT label_name = U&'Bistr\00f4' AS name, parent_label_name FROM pg_temp.seen WHERE key = 'n';
INSERT INTO oss_labels.label_alias VALUES (U&'o\0301', U&'\00f3');

-- a rule is for what a label is read as: one for an alias would have no effect
INSERT INTO oss_labels.label_rule VALUES (U&'Cafe\0301', 0.5);
\echo :LAST_ERROR_SQLSTATE
INSERT INTO oss_labels.label_rule (label_name, hidden) VALUES ('Place', false), ('Weapon', true);
UPDATE oss_labels.label_rule SET label_name = U&'Caf\00e9' WHERE label_name = 'Weapon';
INSERT INTO oss_labels.label_alias VALUES ('Weapon', 'Tool');
\echo :LAST_ERROR_SQLSTATE
UPDATE oss_labels.label_alias SET alias_name = 'Weapon' WHERE label_name = 'Place';
DELETE FROM oss_labels.label_rule;
DELETE FROM oss_labels.label_alias;
SELECT oss_labels.forget('rules', 'n');

-- versions do not multiply what is named by bucket and key; all of them are read by image_id
SELECT oss_labels.import_labels(jsonb_build_object('Labels', jsonb_build_array(jsonb_build_object('LabelName', 'Cat', 'LabelConfidence', c),
	jsonb_build_object('LabelName', n, 'LabelConfidence', 0.9))), 'rules', k, 0, v)
FROM (VALUES ('v', NULL, 0.5, 'Dog'), ('v', 'v1', 0.9, 'Wolf'), ('v', 'v2', 0.8, 'Dog'), ('w', NULL, 0.6, 'Dog')) v (k, v, c, n);
CREATE TEMP TABLE photo AS SELECT 'rules' AS bucket, k AS key FROM unnest('{v,w}'::text[]) k;
SELECT key, label_name, label_confidence FROM photo JOIN oss_labels.label USING (bucket, key) ORDER BY 1, 2;
SELECT key, label_name, label_confidence FROM photo JOIN oss_labels.effective_label USING (bucket, key) ORDER BY 1, 2;
SELECT label_name, images, max_confidence FROM oss_labels.label_rollup ORDER BY 1;
SELECT key, score FROM photo JOIN oss_labels.search('Cat') USING (bucket, key) ORDER BY 2;
SELECT key, score FROM oss_labels.search('Cat', 1);
SELECT key FROM oss_labels.search('!Wolf & Cat', 2) ORDER BY 1;
SELECT count(*) FROM oss_labels.search('Wolf');
INSERT INTO oss_labels.album (name, owner, rule) VALUES ('Cats', 'mei', 'Cat');
SELECT key, score FROM oss_labels.album_member ORDER BY 1;
SELECT oss_labels.pin(album_id, 'rules', 'v', false) FROM oss_labels.album;
SELECT key, score FROM oss_labels.album_member ORDER BY 1;
SELECT key FROM oss_labels.related_images('rules', 'w', max_likeness => NULL);
SELECT key FROM oss_labels.images_for('{"Cat": 1}', max_likeness => NULL) ORDER BY 1;
SELECT i.key, i.version_id, l.label_name, l.label_confidence FROM oss_labels.image i JOIN oss_labels.effective_image_label l USING (image_id)
WHERE bucket = 'rules' AND label_name <> 'Dog' ORDER BY 1, 2 NULLS FIRST, 3;
SELECT key, version_id FROM oss_labels.image WHERE image_id @@ 'Wolf';
SELECT oss_labels.matches('rules', 'v', 'Wolf'), oss_labels.matches('rules', 'v', 'Wolf', 'v1'), cardinality(oss_labels.search_ids('Cat'));
SELECT key FROM oss_labels.related_images('rules', 'v', version_id => 'v1', max_likeness => NULL) ORDER BY 1;
DELETE FROM oss_labels.album;
DELETE FROM oss_labels.image WHERE bucket = 'rules';

-- a name that nobody knows is said once a statement, with the nearest
\o /dev/null
DELETE FROM oss_labels.vocabulary;
\o
SELECT oss_labels.import_labels('{"Labels": [{"LabelName": "Dog", "ParentLabelName": "Animal", "LabelConfidence": 0.9},
	{"LabelName": "猫"}, {"LabelName": "Night View"}, {"LabelName": "Weapon"}]}', 'rules', k) FROM unnest('{u,v}'::text[]) k;
INSERT INTO oss_labels.label_alias VALUES ('Hound', 'Dog'), ('Nix', 'Nux');
INSERT INTO oss_labels.label_rule (label_name, hidden) VALUES ('Weapon', true);
SELECT count(*) FROM oss_labels.search('Animal');
SELECT count(*) FROM oss_labels.search('Dgo') a, oss_labels.search('Dgo') b;
SELECT count(*) FROM oss_labels.search('-猫 | "night view" | 狗 | parent:Animl | Hond');
SELECT count(*) FROM oss_labels.search('Dog | Hound | Nix | Nux | Weapon | parent:Animal');
SELECT count(*) FROM oss_labels.search('Weapons | parent:Dog | "' || repeat('x', 300) || '"');
SELECT count(*) FROM oss_labels.search('x1 | x2 | x3 | x4 | x5 | x6');
SELECT count(*) FROM oss_labels.image WHERE oss_labels.matches(bucket, key, 'Dgo');
SELECT count(*) FROM oss_labels.image WHERE image_id @@ '!Dgo';
SELECT key FROM oss_labels.images_for('{"Dgo": 1, "Hound": 1}', 1, NULL);
INSERT INTO oss_labels.album (name, rule) VALUES ('a', 'Dgo'), ('b', 'Dog & Dgo');
SELECT count(*) FROM oss_labels.album_member;
SELECT count(*) FROM oss_labels.albums_of('rules', 'u');
BEGIN;
SET LOCAL client_min_messages = warning;
SELECT count(*) FROM oss_labels.search('Dgo');
ROLLBACK;
-- who does not see a name is not told of it
CREATE ROLE rules_reader;
CALL oss_labels.grant_reading('rules_reader');
BEGIN;
ALTER TABLE oss_labels.vocabulary ENABLE ROW LEVEL SECURITY;
CREATE POLICY rules_hide ON oss_labels.vocabulary AS RESTRICTIVE FOR SELECT TO rules_reader USING (label_name <> 'Dog');
CREATE POLICY rules_show ON oss_labels.vocabulary FOR SELECT TO rules_reader USING (true);
DELETE FROM oss_labels.label_alias;
SET LOCAL ROLE rules_reader;
SELECT count(*) FROM oss_labels.search('Dog');
SELECT count(*) FROM oss_labels.search('Dgo');
ROLLBACK;
DROP OWNED BY rules_reader;
DROP ROLE rules_reader;
DELETE FROM oss_labels.album;
DELETE FROM oss_labels.label_rule;
DELETE FROM oss_labels.label_alias;
DELETE FROM oss_labels.image WHERE bucket = 'rules';

-- what replication brings is learnt from the answers
BEGIN;
\o /dev/null
DELETE FROM oss_labels.vocabulary;
\o
SET LOCAL session_replication_role = replica;
INSERT INTO oss_labels.image (image_id, bucket, key, tagged_at, label_count, response) VALUES (oss_labels.image_id('rules', 'r'), 'rules', 'r', now(), 1,
	'{"Labels": [{"LabelName": "Quoll", "ParentLabelName": "Marsupial", "LabelLevel": 2, "Language": "en-us", "LabelConfidence": 0.9}]}');
INSERT INTO oss_labels.image_label VALUES (oss_labels.image_id('rules', 'r'), oss_labels.label_id('Quoll', 'Marsupial', 2, 'en-us'), 0.9, 0.5);
INSERT INTO oss_labels.label_correction (image_id, label_name, added) VALUES (oss_labels.image_id('rules', 'r'), 'Numbat', true);
INSERT INTO oss_labels.label_alias VALUES ('Numbat', 'Banded anteater');
SELECT * FROM pg_temp.seen;
SELECT key FROM oss_labels.search('Numbat & parent:Marsupial');
ROLLBACK;

-- a label is learnt again when what taught it was rolled back
BEGIN;
SELECT oss_labels.import_labels('{"Labels": [{"LabelName": "Echidna"}]}', 'rules', 'e');
ROLLBACK;
SELECT oss_labels.import_labels('{"Labels": [{"LabelName": "Echidna"}]}', 'rules', 'e');
SELECT key, label_name FROM oss_labels.effective_label WHERE label_name = 'Echidna';
SELECT oss_labels.forget('rules', 'e');
BEGIN;
SELECT oss_labels.import_labels('{"Labels": [{"LabelName": "Platypus", "ParentLabelName": "Monotreme"}]}', 'rules', 'p');
ROLLBACK;
BEGIN;
SAVEPOINT s;
SELECT oss_labels.import_labels('{"Labels": [{"LabelName": "Platypus", "ParentLabelName": "Monotreme"}]}', 'rules', 'p');
ROLLBACK TO s;
SELECT oss_labels.import_labels('{"Labels": [{"LabelName": "Platypus", "ParentLabelName": "Monotreme", "LabelConfidence": 1}]}', 'rules', 'p');
COMMIT;
SELECT key, label_name FROM oss_labels.effective_label WHERE label_name = 'Platypus';
SELECT key FROM oss_labels.search('parent:Monotreme');
SELECT oss_labels.forget('rules', 'p');
SET client_min_messages = warning;
DROP SERVER oss CASCADE;
\o /dev/null
DELETE FROM oss_labels.image;
