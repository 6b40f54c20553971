-- Watched tables: what is queued and what is cancelled.
-- nothing ends the waiting without a worker: expected/watch_1.out
SELECT current_setting('shared_preload_libraries') LIKE '%oss_labels%' AS preloaded \gset
\if :preloaded
\else
\quit
\endif
\i test/sql/include/server.sql
\pset null NULL
SELECT oss_labels.pause();
\set jobs 'SELECT coalesce(string_agg(bucket || ''/'' || key, '' '' ORDER BY job_id), ''none'') AS jobs FROM oss_labels.job'
CREATE TABLE watched (id int PRIMARY KEY, gone int, key text, note text);
ALTER TABLE watched DROP COLUMN gone;

-- what is wrong is said at once
SELECT oss_labels.watch('watched', 'key');
SELECT oss_labels.watch('watched', 'key', bucket_column => 'note', bucket => 'tenlabels');
SELECT oss_labels.watch('watched', 'nokey', bucket => 'tenlabels');
SELECT oss_labels.watch('watched', 'id', bucket => 'tenlabels');
SELECT oss_labels.watch('watched', 'key', bucket => 'Bad_Bucket');
SELECT oss_labels.watch('watched', 'key', bucket => 'tenlabels', thr => 2);
SELECT oss_labels.watch('watched', 'key', bucket => 'tenlabels', server => 'nowhere');
SELECT oss_labels.watch('watched', 'key', bucket => 'tenlabels', condition => 'nonsense >');
SELECT oss_labels.watch('pg_stat_activity', 'query', bucket => 'tenlabels');
SELECT oss_labels.watch(1, 'key', bucket => 'tenlabels');
\echo :LAST_ERROR_SQLSTATE
SELECT oss_labels.watch(NULL, 'key', bucket => 'tenlabels');
SELECT oss_labels.check_watch('watched', NULL, NULL, 'tenlabels', NULL, NULL, NULL, NULL, NULL);

SELECT oss_labels.watch('watched', key_column => 'key', bucket => 'tenlabels');

-- inserts
INSERT INTO watched VALUES (1, 'a'), (2, 'b'), (3, NULL);
:jobs;
INSERT INTO watched SELECT WHERE false;
COPY watched FROM stdin;
4	c	copied
5	d	copied
\.
:jobs;
SELECT DISTINCT source_name, requester = current_user::regrole AS mine, server FROM oss_labels.job;

-- updates: only what changed
UPDATE watched SET note = 'x';
UPDATE watched SET key = key;
SELECT count(*) FROM oss_labels.job;
UPDATE watched SET key = 'a2' WHERE id = 1;
:jobs;
-- two rows that swap their keys name nothing new
UPDATE watched SET key = CASE id WHEN 4 THEN 'd' ELSE 'c' END WHERE id IN (4, 5);
:jobs;
UPDATE watched SET key = NULL WHERE id = 2;
:jobs;

-- ON CONFLICT and MERGE
INSERT INTO watched VALUES (1, 'a3'), (6, 'e') ON CONFLICT (id) DO UPDATE SET key = excluded.key;
INSERT INTO watched VALUES (1, 'never') ON CONFLICT DO NOTHING;
:jobs;
MERGE INTO watched w USING (VALUES (1, 'a4'), (7, 'f'), (6, 'e')) AS v(id, key) ON w.id = v.id
	WHEN MATCHED AND w.key IS DISTINCT FROM v.key THEN UPDATE SET key = v.key
	WHEN MATCHED THEN DELETE
	WHEN NOT MATCHED THEN INSERT VALUES (v.id, v.key);
:jobs;

-- deletes: as many jobs as rows
INSERT INTO watched VALUES (10, 'twice'), (11, 'twice');
DELETE FROM watched WHERE id = 10;
:jobs;
DELETE FROM watched WHERE id = 11;
:jobs;
-- not what somebody else enqueued
SELECT oss_labels.enqueue('tenlabels', 'own') IS NOT NULL AS queued;
INSERT INTO watched VALUES (12, 'own');
DELETE FROM watched WHERE id = 12;
:jobs;
TRUNCATE watched;
:jobs;
TRUNCATE oss_labels.job;

-- renamed columns, tables and schemas are followed, and types within text
ALTER TABLE watched RENAME key TO object;
ALTER TABLE watched RENAME TO looked_after;
ALTER TABLE looked_after RENAME note TO key;
CREATE SCHEMA moved;
ALTER TABLE looked_after SET SCHEMA moved;
ALTER SCHEMA moved RENAME TO elsewhere;
INSERT INTO elsewhere.looked_after VALUES (1, 'renamed', 'not this');
:jobs;
SELECT columns, names, server FROM oss_labels.watched;
SELECT columns::text::oss_labels.watched_columns::text = columns::text AS reads_back FROM oss_labels.watched;
ALTER TABLE elsewhere.looked_after SET SCHEMA public;
DROP SCHEMA elsewhere;
ALTER TABLE looked_after ALTER COLUMN object TYPE varchar(100);
ALTER TABLE looked_after ALTER COLUMN object TYPE varchar(255);
ALTER TABLE looked_after ADD COLUMN added text DEFAULT 'x';
ALTER TABLE looked_after DROP COLUMN added;
INSERT INTO looked_after VALUES (2, 'retyped');
ALTER TABLE looked_after ALTER COLUMN object TYPE char(20);
INSERT INTO looked_after VALUES (3, 'padded');
ALTER TABLE looked_after ALTER COLUMN object TYPE text;
SELECT count(*) FILTER (WHERE key = 'padded') AS padded FROM oss_labels.job;
:jobs;

-- a thousand updates of other columns enqueue nothing
TRUNCATE looked_after;
:jobs;
INSERT INTO looked_after SELECT i, 'k' || i FROM generate_series(1, 1000) i;
SELECT count(*) FROM oss_labels.job;
UPDATE looked_after SET key = 'note' || id;
DO $$ BEGIN FOR i IN 1 .. 1000 LOOP UPDATE looked_after SET key = 'again' WHERE id = i; END LOOP; END $$;
SELECT count(*) FROM oss_labels.job;

-- what is queued for a table that was dropped is not asked for
DROP TABLE looked_after;
SELECT oss_labels.enqueue('tenlabels', 'stays') IS NOT NULL AS queued;
\! $OSS_CONTROL GET /reset >/dev/null
SELECT oss_labels.resume();
CALL oss_labels.wait_for_queue('60 s');
SELECT count(*) FROM oss_labels.job;
\! $OSS_CONTROL GET '/count?name=label_requests'
TRUNCATE oss_labels.image;
SELECT oss_labels.pause();

-- bucket and key from columns, a condition, thr and priority
CREATE TABLE pictures (id serial, bucket varchar(63), key varchar, ready boolean DEFAULT true);
SELECT oss_labels.watch('pictures', 'key', 'bucket', thr => 0.8, priority => 7, condition => 'pictures.ready AND length(key) > 1');
INSERT INTO pictures (bucket, key, ready) VALUES ('tenlabels', 'k1', true), ('everykey', 'k2', false), ('everykey', 'x', true), (NULL, 'k4', true);
:jobs;
SELECT thr, priority FROM oss_labels.job;
UPDATE pictures SET ready = true WHERE key = 'k2';
:jobs;
UPDATE pictures SET bucket = 'everykey' WHERE key = 'k1';
:jobs;
UPDATE pictures SET ready = false;
:jobs;
-- the condition is the inserting role's, not the extension owner's
CREATE FUNCTION whoami(text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'evaluated by %', CASE WHEN current_user = 'watch_user' THEN 'the user' ELSE 'somebody else' END; RETURN true; END $$;
CREATE ROLE watch_user;
GRANT INSERT, SELECT ON pictures TO watch_user;
GRANT USAGE ON SEQUENCE pictures_id_seq TO watch_user;
SELECT oss_labels.watch('pictures', 'key', 'bucket', condition => 'public.whoami(key)');
SET ROLE watch_user;
INSERT INTO pictures (bucket, key) VALUES ('tenlabels', 'by user');
RESET ROLE;
SELECT requester_name, key FROM oss_labels.job WHERE requester <> current_user::regrole;
SELECT oss_labels.unwatch('pictures');
SELECT count(*) AS triggers FROM pg_trigger WHERE tgrelid = 'pictures'::regclass;
DROP TABLE pictures;
DROP FUNCTION whoami;
-- many rows that a condition lets through take no more memory than a few
CREATE TABLE many (id int, key text);
CREATE TABLE memory (id int, bytes bigint);
CREATE FUNCTION note_memory(id int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
	IF id % 10000 = 0 THEN
		INSERT INTO public.memory SELECT id, sum(total_bytes) FROM pg_backend_memory_contexts;
	END IF;
	RETURN true; END $$;
SELECT oss_labels.watch('many', 'key', bucket => 'tenlabels', condition => 'public.note_memory(id)');
BEGIN;
INSERT INTO many SELECT i, lpad(i::text, 300, 'k') FROM generate_series(1, 50000) i;
SELECT count(*) FROM oss_labels.job WHERE source = 'many'::regclass;
SELECT a.bytes - b.bytes < 4000000 AS flat FROM memory a, memory b WHERE a.id = 50000 AND b.id = 20000;
ROLLBACK;
DROP TABLE many, memory;
DROP FUNCTION note_memory;
TRUNCATE oss_labels.job;
DROP ROLE watch_user;

-- partitions: statements that name the parent, rows that move
CREATE TABLE parts (id int, key text) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
CREATE TABLE parts_2 (key text, id int);
ALTER TABLE parts ATTACH PARTITION parts_2 FOR VALUES FROM (10) TO (20);
SELECT oss_labels.watch('parts', 'key', bucket => 'tenlabels');
INSERT INTO parts VALUES (1, 'p1'), (11, 'p2');
:jobs;
UPDATE parts SET id = 12 WHERE id = 1;
UPDATE parts SET id = 2, key = 'moved' WHERE id = 11;
:jobs;
DELETE FROM parts WHERE id = 12;
:jobs;
-- a statement that names a partition fires the partition's own triggers
INSERT INTO parts_1 VALUES (3, 'direct');
:jobs;
SELECT oss_labels.watch('parts_1', 'key', bucket => 'tenlabels');
INSERT INTO parts_1 VALUES (3, 'direct');
:jobs;
TRUNCATE parts;
:jobs;
DROP TABLE parts;
TRUNCATE oss_labels.job;

-- partitions that are truncated or dropped by their own names: their rows' jobs go
CREATE TABLE years (note text, key text, year int) PARTITION BY LIST (year);
CREATE TABLE y1 PARTITION OF years FOR VALUES IN (1);
CREATE TABLE y2 (year int, key text, note text);
ALTER TABLE years ATTACH PARTITION y2 FOR VALUES IN (2);
CREATE TABLE decade PARTITION OF years FOR VALUES IN (3, 4) PARTITION BY LIST (year);
CREATE TABLE y3 PARTITION OF decade FOR VALUES IN (3);
SELECT oss_labels.watch('years', 'key', bucket => 'tenlabels', condition => 'note <> ''no''');
INSERT INTO years VALUES ('', 'k1', 1), ('', 'k2', 2), ('', 'k3', 3), ('', 'both', 1), ('', 'both', 2), ('no', 'k1', 2);
BEGIN;
TRUNCATE y2;
:jobs;
ROLLBACK;
:jobs;
TRUNCATE decade;
:jobs;
TRUNCATE y2;
:jobs;
-- what is detached keeps its jobs, as the rows are there still
ALTER TABLE years DETACH PARTITION y1;
:jobs;
ALTER TABLE years ATTACH PARTITION y1 FOR VALUES IN (1);
-- a condition is the owner's code, which whoever drops a table does not run
INSERT INTO years VALUES ('', 'k2', 2);
DROP TABLE y3, y2;
:jobs;
-- who may not drop it cancels nothing
SELECT oss_labels.watch('years', 'key', bucket => 'tenlabels');
CREATE ROLE no_owner;
SET ROLE no_owner;
DROP TABLE y1;
RESET ROLE;
DROP ROLE no_owner;
:jobs;
DROP TABLE y1;
:jobs;
-- the owner of its schema may drop it
CREATE ROLE schema_owner;
CREATE SCHEMA own AUTHORIZATION schema_owner;
CREATE TABLE own.y5 PARTITION OF years FOR VALUES IN (5);
INSERT INTO years VALUES ('', 'k5', 5);
:jobs;
SET ROLE schema_owner;
DROP TABLE own.y5;
RESET ROLE;
:jobs;
DROP SCHEMA own;
DROP ROLE schema_owner;
DROP TABLE years;
TRUNCATE oss_labels.job;

-- triggers made by hand
CREATE TABLE byhand (id int, key text);
CREATE TRIGGER one AFTER INSERT ON byhand REFERENCING NEW TABLE AS added FOR EACH STATEMENT
	EXECUTE FUNCTION oss_labels.enqueue_trigger('key_column', 'key', 'bucket', 'tenlabels');
CREATE TRIGGER two AFTER UPDATE OR DELETE ON byhand FOR EACH ROW
	EXECUTE FUNCTION oss_labels.enqueue_trigger('key_column', 'key', 'bucket', 'tenlabels', 'condition', 'id > 0');
INSERT INTO byhand VALUES (1, 'h1'), (2, 'h2');
UPDATE byhand SET key = 'h3' WHERE id = 1;
UPDATE byhand SET key = key;
:jobs;
DELETE FROM byhand;
:jobs;
DROP TABLE byhand;
CREATE TABLE bad (id int, key text);
CREATE TRIGGER bad BEFORE INSERT ON bad FOR EACH ROW EXECUTE FUNCTION oss_labels.enqueue_trigger('key_column', 'key', 'bucket', 'tenlabels');
INSERT INTO bad VALUES (1, 'x');
DROP TRIGGER bad ON bad;
CREATE TRIGGER bad AFTER INSERT ON bad EXECUTE FUNCTION oss_labels.enqueue_trigger('key_column', 'key', 'bucket', 'tenlabels');
INSERT INTO bad VALUES (1, 'x');
DROP TRIGGER bad ON bad;
CREATE TRIGGER bad AFTER INSERT ON bad FOR EACH ROW EXECUTE FUNCTION oss_labels.enqueue_trigger('key_column', 'nokey', 'bucket', 'tenlabels');
INSERT INTO bad VALUES (1, 'x');
DROP TRIGGER bad ON bad;
CREATE TRIGGER bad AFTER INSERT ON bad FOR EACH ROW EXECUTE FUNCTION oss_labels.enqueue_trigger('column', 'key');
INSERT INTO bad VALUES (1, 'x');
DROP TRIGGER bad ON bad;
CREATE TRIGGER bad AFTER INSERT ON bad FOR EACH ROW EXECUTE FUNCTION oss_labels.enqueue_trigger('key_column', 'key', 'bucket', 'tenlabels', 'priority', 'high');
INSERT INTO bad VALUES (1, 'x');
DROP TABLE bad;

-- a bad row does not fail the insert, but its job
CREATE TABLE careless (key text);
SELECT oss_labels.watch('careless', 'key', bucket => 'tenlabels');
INSERT INTO careless VALUES ('/slash'), ('good');
SELECT oss_labels.resume();
CALL oss_labels.wait_for_queue('60 s');
SELECT key, "sqlstate", code FROM oss_labels.failed_job WHERE code IS DISTINCT FROM 'SourceGone';
SELECT key FROM oss_labels.image WHERE key IN ('/slash', 'good');

-- hostile names on the search path change nothing
CREATE SCHEMA evil;
CREATE TABLE evil.job (LIKE oss_labels.job);
CREATE FUNCTION evil.eq(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT false';
CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.eq);
SET search_path = evil, pg_catalog, public;
INSERT INTO public.careless VALUES ('hostile');
SELECT oss_labels.enqueue('tenlabels', 'hostile2') IS NOT NULL AS queued;
UPDATE public.careless SET key = 'hostile3' WHERE key OPERATOR(pg_catalog.=) 'hostile';
CALL oss_labels.wait_for_queue('60 s');
RESET search_path;
SELECT key FROM oss_labels.image WHERE key ~ '^hostile[23]' ORDER BY key;
SET client_min_messages = warning;
DROP SCHEMA evil CASCADE;
DROP TABLE careless;
TRUNCATE oss_labels.failed_job, oss_labels.image;

-- keys that only a collation of the column's own takes for the same differ
SELECT oss_labels.pause();
CREATE COLLATION anycase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE collated (id int PRIMARY KEY, key text COLLATE anycase);
SELECT oss_labels.watch('collated', 'key', bucket => 'tenlabels');
TRUNCATE oss_labels.job;
INSERT INTO collated VALUES (1, 'a.jpg'), (2, 'b.jpg');
UPDATE collated SET key = 'A.jpg' WHERE id = 1;
:jobs;
DELETE FROM collated WHERE id = 2;
:jobs;
DROP TABLE collated;
DROP COLLATION anycase;
TRUNCATE oss_labels.job;
SELECT oss_labels.resume();
