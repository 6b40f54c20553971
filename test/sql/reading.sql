-- A role with the reading family alone runs all reports, and spends nothing.
\i test/sql/include/server.sql
\pset null NULL
\o /dev/null
DELETE FROM oss_labels.image;
SELECT * FROM unnest('{example.jpg,photos/beach.jpg,photos/cat.png,photos/street.jpg}'::text[]) k,
	LATERAL oss_labels.tag('examplebucket', k, 0);
INSERT INTO oss_labels.album (name, owner, rule) VALUES ('All', 'mei', '!Unicorn');
CREATE ROLE regress_reader;
CREATE ROLE regress_payer;
CREATE ROLE regress_nobody;
CALL oss_labels.grant_reading('regress_reader');
CALL oss_labels.grant_paying('regress_payer');
GRANT USAGE ON FOREIGN SERVER oss TO regress_reader, regress_payer, regress_nobody;
CREATE USER MAPPING FOR PUBLIC SERVER oss OPTIONS (access_key_id 'testid', access_key_secret 'testsecret');
\o
\! $OSS_CONTROL GET /reset
SET ROLE regress_reader;
SELECT count(*) > 0 AS ok FROM oss_labels.label;
SELECT count(*) > 0 AS ok FROM oss_labels.effective_label;
SELECT count(*) > 0 AS ok FROM oss_labels.label_rollup;
SELECT count(*) > 0 AS ok FROM oss_labels.labels_of('examplebucket', 'example.jpg');
SET client_min_messages = warning;	-- which names are known depends on the tests before
SELECT count(*) > 0 AS ok FROM oss_labels.search('!Unicorn & (parent:Sky | !Cat)');
SELECT count(*) > 0 AS ok FROM oss_labels.image WHERE image_id @@ '!Unicorn';
SELECT oss_labels.matches('examplebucket', 'example.jpg', '!Unicorn') AS ok;
SELECT count(*) > 0 AS ok FROM oss_labels.album_member WHERE name = 'All';
SELECT count(*) > 0 AS ok FROM oss_labels.albums_of('examplebucket', 'example.jpg');
SELECT count(*) >= 0 AS ok FROM oss_labels.related_images('examplebucket', 'photos/beach.jpg');
SELECT count(*) > 0 AS ok FROM oss_labels.images_for((
	SELECT oss_labels.profile(label_name, label_confidence, centric_score, 1) FROM oss_labels.effective_label
	WHERE key = 'photos/beach.jpg'));
SELECT oss_labels.image_sparsevec('examplebucket', 'example.jpg') IS NOT NULL AS ok;

-- nothing that pays or writes
SELECT * FROM oss_labels.tag('examplebucket', 'example.jpg');
SELECT * FROM oss_labels.detect('examplebucket', 'example.jpg');
SELECT * FROM oss_labels.try_detect('examplebucket', 'example.jpg');
SELECT oss_labels.detect_json('examplebucket', 'example.jpg');
SELECT oss_labels.enqueue('examplebucket', 'example.jpg');
SELECT oss_labels.forget('examplebucket', 'example.jpg');
SELECT oss_labels.import_labels('{"Labels": []}', 'examplebucket', 'x.jpg');
SELECT oss_labels.correct('examplebucket', 'example.jpg', 'Dog', true);
INSERT INTO oss_labels.album (name) VALUES ('mine');
\! $OSS_CONTROL GET '/count?name=requests_total'

-- one that pays needs no right on the tables: tag() stores as the owner
SET ROLE regress_payer;
SELECT count(*) > 0 AS ok FROM oss_labels.tag('examplebucket', 'photos/garden.png');
SELECT count(*) FROM oss_labels.image;
\! $OSS_CONTROL GET '/count?name=label_requests'

-- without grants nothing is to be had
SET ROLE regress_nobody;
SELECT count(*) FROM oss_labels.label;
SELECT * FROM oss_labels.search('Dog');
RESET ROLE;

\o /dev/null
DELETE FROM oss_labels.album;
DELETE FROM oss_labels.image;
SET client_min_messages = warning;
DROP SERVER oss CASCADE;
DROP OWNED BY regress_reader, regress_payer, regress_nobody;
DROP ROLE regress_reader, regress_payer, regress_nobody;
