-- The application's own writes on a watched table succeed, whatever its rows
-- hold and whatever DDL came before.
\i test/sql/include/server.sql
\pset null NULL
SET client_min_messages = warning;
SELECT oss_labels.pause();
\set jobs 'SELECT coalesce(string_agg(bucket || ''/'' || key, '' '' ORDER BY job_id), ''none'') AS jobs FROM oss_labels.job'
\set failed 'SELECT "sqlstate", code, message, detail, bucket, left(key, 10) AS key, source_name FROM oss_labels.failed_job ORDER BY job_id'
\set clear 'DO $$ BEGIN TRUNCATE oss_labels.job, oss_labels.failed_job; END $$'

-- names that no index of the queue takes
CREATE TABLE w (id int PRIMARY KEY, bucket text, key text, ready boolean DEFAULT true, n int DEFAULT 1);
SELECT oss_labels.watch('w', 'key', 'bucket');
CREATE FUNCTION noise(n int, seed text) RETURNS text LANGUAGE sql IMMUTABLE AS
	'SELECT left(string_agg(md5(seed || i), ''''), n) FROM generate_series(1, n / 32 + 1) i';
INSERT INTO w VALUES (1, 'tenlabels', noise(100000, 'a')), (2, 'tenlabels', 'good'), (3, noise(9000, 'b'), 'k'),
	(4, 'tenlabels', repeat('x', 1000000)), (5, 'tenlabels', repeat('é', 5000)), (6, '', ''), (7, 'tenlabels', E'a\nb'), (8, 'tenlabels', noise(2000, 'c'));
SELECT bucket, length(key), left(key, 5) AS key FROM oss_labels.job ORDER BY job_id;
:failed;
SELECT max(octet_length(key)) AS key, max(octet_length(bucket)) AS bucket FROM oss_labels.failed_job;
UPDATE w SET key = key || 'more' WHERE id IN (1, 2);
UPDATE w SET key = noise(3000, 'd') WHERE id = 2;
DELETE FROM w WHERE id IN (1, 4);
SELECT count(*) FROM oss_labels.failed_job;
-- they can be tried again, to no avail
SELECT oss_labels.retry_failed(code => 'InvalidObjectName') > 0 AS again;
:clear;
-- by row
CREATE TABLE r (key text);
CREATE TRIGGER r AFTER INSERT OR UPDATE OR DELETE ON r FOR EACH ROW
	EXECUTE FUNCTION oss_labels.enqueue_trigger('key_column', 'key', 'bucket', 'tenlabels', 'condition', 'key <> ''no''');
INSERT INTO r VALUES (noise(5000, 'e')), ('yes'), ('no');
:jobs;
UPDATE r SET key = 'now' WHERE key = 'no';
:jobs;
UPDATE r SET key = noise(6000, 'f');
DELETE FROM r;
:jobs;
:clear;
DROP TABLE r;

-- a condition is checked as it will be run
CREATE TABLE other (id int);
INSERT INTO other VALUES (1), (2);
\set VERBOSITY terse
SELECT oss_labels.watch('w', 'key', 'bucket', condition => 'public.w.ready');
SELECT oss_labels.watch('w', 'key', 'bucket', condition => 'tableoid > 0');
SELECT oss_labels.watch('w', 'key', 'bucket', condition => 'ctid IS NOT NULL');
SELECT oss_labels.watch('w', 'key', 'bucket', condition => 'count(*) > 0');
SELECT oss_labels.watch('w', 'key', 'bucket', condition => 'generate_series(1, n) > 0');
SELECT oss_labels.watch('w', 'key', 'bucket', condition => 'n');
SELECT oss_labels.watch('w', 'key', 'bucket', condition => 'true) AND (true');
\set VERBOSITY default
-- what was watched before still is
INSERT INTO w VALUES (10, 'tenlabels', 'still');
:jobs;
:clear;
-- a comment, the whole row, other tables
SELECT oss_labels.watch('w', 'key', 'bucket', condition => 'w.ready -- only these');
INSERT INTO w VALUES (11, 'tenlabels', 'c1', true), (12, 'tenlabels', 'c2', false);
SELECT oss_labels.watch('w', 'key', 'bucket', condition => 'NOT (w IS NULL) AND EXISTS (SELECT FROM public.other o WHERE o.id = w.n)');
INSERT INTO w VALUES (13, 'tenlabels', 'c3', true, 1), (14, 'tenlabels', 'c4', true, 3);
:jobs;
:clear;

-- it follows what is renamed and moved
SELECT oss_labels.watch('w', 'key', 'bucket', condition => 'w.ready AND length(key) < 100');
ALTER TABLE w RENAME ready TO published;
ALTER TABLE w RENAME key TO object;
ALTER TABLE w RENAME id TO ready;
ALTER TABLE w RENAME TO v;
CREATE SCHEMA s;
ALTER TABLE v SET SCHEMA s;
INSERT INTO s.v VALUES (20, 'tenlabels', 'r1', true), (21, 'tenlabels', 'r2', false);
:jobs;
UPDATE s.v SET published = NOT published WHERE ready IN (20, 21);
:jobs;
DELETE FROM s.v WHERE ready = 21;
:jobs;
ALTER TABLE s.v SET SCHEMA public;
ALTER TABLE v RENAME ready TO id;
ALTER TABLE v RENAME published TO ready;
ALTER TABLE v RENAME object TO key;
ALTER TABLE v RENAME TO w;
DROP SCHEMA s;
:clear;

-- one that fails for a row
SELECT oss_labels.watch('w', 'key', 'bucket', condition => '10 / n > 1');
INSERT INTO w VALUES (30, 'tenlabels', 'd1', true, 1), (31, 'tenlabels', 'd2', true, 0), (32, 'tenlabels', 'd3', true, 9), (33, 'tenlabels', 'd4', true, 2);
:jobs;
:failed;
UPDATE w SET n = 0 WHERE id = 30;
UPDATE w SET n = 1 WHERE id = 31;
:jobs;
DELETE FROM w WHERE id >= 30;
:jobs;
INSERT INTO w SELECT i, 'tenlabels', 'many' || i, true, 0 FROM generate_series(1000, 1999) i;
SELECT code, count(*) FROM oss_labels.failed_job GROUP BY code;
SELECT oss_labels.retry_failed(code => 'ConditionFailed');
:clear;
DELETE FROM w WHERE id >= 1000;

-- one whose column, function or rights are gone
SELECT oss_labels.watch('w', 'key', 'bucket', condition => 'ready');
ALTER TABLE w DROP COLUMN ready;
INSERT INTO w VALUES (40, 'tenlabels', 'g1');
UPDATE w SET n = 5 WHERE id = 40;
UPDATE w SET key = 'g2' WHERE id = 40;
DELETE FROM w WHERE id = 40;
:jobs;
SELECT code, detail, key FROM oss_labels.failed_job ORDER BY job_id;
:clear;
CREATE FUNCTION wanted(text) RETURNS boolean LANGUAGE sql AS 'SELECT $1 <> ''no''';
SELECT oss_labels.watch('w', 'key', 'bucket', condition => 'public.wanted(key)');
INSERT INTO w VALUES (41, 'tenlabels', 'f1'), (42, 'tenlabels', 'no');
ALTER FUNCTION wanted(text) RENAME TO unwanted;
INSERT INTO w VALUES (43, 'tenlabels', 'f2');
COPY w (id, bucket, key) FROM stdin;
44	tenlabels	f3
\.
:jobs;
SELECT code, detail, key FROM oss_labels.failed_job ORDER BY job_id;
ALTER FUNCTION unwanted(text) RENAME TO wanted;
INSERT INTO w VALUES (45, 'tenlabels', 'f4');
:jobs;
CREATE ROLE writer;
GRANT ALL ON w TO writer;
REVOKE EXECUTE ON FUNCTION wanted(text) FROM PUBLIC;
SET ROLE writer;
INSERT INTO w VALUES (46, 'tenlabels', 'p1');
RESET ROLE;
SELECT code, detail, requester_name, key FROM oss_labels.failed_job WHERE key = 'p1';
:clear;
-- what is no fault of the condition is passed on
CREATE OR REPLACE FUNCTION wanted(text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); RETURN true; END $$;
GRANT EXECUTE ON FUNCTION wanted(text) TO PUBLIC;
SET statement_timeout = '200ms';
INSERT INTO w VALUES (47, 'tenlabels', 't1');
RESET statement_timeout;
SELECT count(*) FROM w WHERE id = 47;
DROP FUNCTION wanted(text);

-- a prepared statement whose table changes
SELECT oss_labels.watch('w', 'key', 'bucket', condition => 'n > 0');
PREPARE put(int, text) AS INSERT INTO w (id, bucket, key) VALUES ($1, 'tenlabels', $2);
EXECUTE put(50, 's1');
ALTER TABLE w ALTER COLUMN key TYPE varchar(5000);
EXECUTE put(51, 's2');
ALTER TABLE w ADD COLUMN more text;
ALTER TABLE w ALTER COLUMN n TYPE bigint;
EXECUTE put(52, 's3');
SELECT oss_labels.unwatch('w');
EXECUTE put(53, 's4');
SELECT oss_labels.watch('w', 'key', 'bucket');
EXECUTE put(54, 's5');
:jobs;
:clear;

-- columns that are gone, or no text any more
CREATE DOMAIN name_of_object AS text;
CREATE TABLE d (id int, key name_of_object, gone text);
SELECT oss_labels.watch('d', 'key', bucket => 'tenlabels');
INSERT INTO d VALUES (1, 'dom');
:jobs;
ALTER TABLE d ALTER COLUMN key TYPE int USING 0;
INSERT INTO d VALUES (1, 7);
ALTER TABLE d ALTER COLUMN key TYPE name_of_object USING 'back';
INSERT INTO d VALUES (1, 'again');
:jobs;
DROP DOMAIN name_of_object CASCADE;
INSERT INTO d VALUES (2);
UPDATE d SET id = 3;
DELETE FROM d WHERE id = 3;
COPY d FROM stdin;
4	x
\.
TRUNCATE d;
-- a new column of that name is another one
ALTER TABLE d ADD COLUMN key text;
INSERT INTO d (id, key) VALUES (5, 'new');
:jobs;
ALTER TABLE d DROP COLUMN gone;
SELECT oss_labels.watch('d', 'key', bucket => 'tenlabels');
INSERT INTO d (id, key) VALUES (6, 'new');
:jobs;
ALTER TABLE d DROP COLUMN key CASCADE;
INSERT INTO d VALUES (7);
DROP TABLE d;
:clear;

-- DDL that ends a watch says so, and succeeds
CREATE TABLE d (id int, key text, b text, ready boolean, n int);
CREATE TABLE u (id int, key text);
CREATE FUNCTION wanted(text) RETURNS boolean LANGUAGE sql AS 'SELECT true';
SELECT oss_labels.watch('d', 'key', 'b', condition => 'Ready AND n > 0');
SELECT oss_labels.watch('u', 'key', bucket => 'tenlabels',
	condition => 'PUBLIC.Wanted(key) AND EXISTS (SELECT FROM public.other o WHERE o.id = u.id)');
-- not this
ALTER TABLE d ADD c int, ALTER key TYPE varchar(10);
ALTER TABLE d DROP c;
ALTER TABLE d RENAME key TO k;
CREATE TEMP TABLE temporary (ready int);
DROP TABLE temporary;
CREATE FUNCTION wanted(int) RETURNS boolean LANGUAGE sql AS 'SELECT true';
DROP FUNCTION wanted(int);
-- columns
BEGIN;
ALTER TABLE d DROP k, DROP b;
INSERT INTO d VALUES (1, true, 1);
ROLLBACK;
BEGIN;
ALTER TABLE d ALTER k TYPE int USING 0;
ROLLBACK;
BEGIN;
ALTER TABLE d DROP ready;
ROLLBACK;
BEGIN;
ALTER TABLE d ALTER n TYPE text;
ROLLBACK;
-- what the condition uses
BEGIN;
DROP FUNCTION wanted(text);
ROLLBACK;
BEGIN;
ALTER FUNCTION wanted(text) RENAME TO unwanted;
ROLLBACK;
BEGIN;
CREATE SCHEMA s;
ALTER FUNCTION wanted(text) SET SCHEMA s;
ROLLBACK;
BEGIN;
DROP TABLE other;
ROLLBACK;
BEGIN;
ALTER TABLE other RENAME id TO number;
ROLLBACK;
BEGIN;
ALTER TABLE other RENAME TO another;
ROLLBACK;
BEGIN;
ALTER TABLE other ALTER id TYPE text;
ROLLBACK;
-- a type that takes its column along; a partition says nothing of its own
BEGIN;
CREATE DOMAIN short_name AS text;
CREATE TABLE p (id int, key short_name) PARTITION BY LIST (id);
CREATE TABLE p_1 PARTITION OF p FOR VALUES IN (1);
SELECT oss_labels.watch('p', 'key', bucket => 'tenlabels');
DROP DOMAIN short_name CASCADE;
ROLLBACK;
-- a trigger made by hand, which has nothing but names
BEGIN;
CREATE TABLE h (key text);
CREATE TRIGGER h AFTER INSERT ON h FOR EACH ROW
	EXECUTE FUNCTION oss_labels.enqueue_trigger('key_column', 'key', 'bucket', 'tenlabels');
ALTER TABLE h RENAME key TO object;
ROLLBACK;
-- a role that may not see what the condition uses
BEGIN;
CREATE SCHEMA hidden;
CREATE FUNCTION hidden.wanted(text) RETURNS boolean LANGUAGE sql AS 'SELECT true';
SELECT oss_labels.watch('u', 'key', bucket => 'tenlabels', condition => 'hidden.wanted(key)');
GRANT CREATE ON SCHEMA public TO writer;
SET ROLE writer;
CREATE FUNCTION public.wanted(int, int) RETURNS boolean LANGUAGE sql AS 'SELECT true';
DROP FUNCTION public.wanted(int, int);
ROLLBACK;
-- the watch goes with its table
BEGIN;
DROP TABLE d, u;
ROLLBACK;
SELECT oss_labels.unwatch('d'), oss_labels.unwatch('u');
ALTER TABLE d DROP k;
DROP TABLE d, u;
DROP FUNCTION wanted(text);
:clear;

-- temporary tables
CREATE TEMP TABLE t (key text);
SELECT oss_labels.watch('t', 'key', bucket => 'tenlabels');
CREATE TRIGGER t AFTER INSERT ON t FOR EACH ROW
	EXECUTE FUNCTION oss_labels.enqueue_trigger('key_column', 'key', 'bucket', 'tenlabels');
START TRANSACTION READ ONLY;
INSERT INTO t VALUES ('a'), ('b');
COMMIT;
INSERT INTO t VALUES ('a'), ('b');
DROP TABLE t;

-- a trigger by hand whose server cannot be told
CREATE TABLE h (key text);
CREATE TRIGGER h AFTER INSERT ON h FOR EACH ROW
	EXECUTE FUNCTION oss_labels.enqueue_trigger('key_column', 'key', 'bucket', 'tenlabels');
SET oss_labels.server = 'nowhere';
INSERT INTO h VALUES ('a'), ('b');
RESET oss_labels.server;
SET ROLE writer;
RESET ROLE;
GRANT INSERT ON h TO writer;
SET ROLE writer;
INSERT INTO h VALUES ('a'), ('b');
RESET ROLE;
INSERT INTO h VALUES ('c');
:jobs;
DROP TABLE h;
:clear;

-- constraints and triggers that somebody has put on the queue
ALTER TABLE oss_labels.job ADD CONSTRAINT never CHECK (key <> 'never');
INSERT INTO w (id, bucket, key) VALUES (60, 'tenlabels', 'never');
ALTER TABLE oss_labels.job DROP CONSTRAINT never;
SELECT count(*) FROM w WHERE id = 60;
:clear;

-- a parent and its child: what one enqueued the other cancels
CREATE TABLE parent (id int, key text);
CREATE TABLE child () INHERITS (parent);
SELECT oss_labels.watch('parent', 'key', bucket => 'tenlabels');
SELECT oss_labels.watch('child', 'key', bucket => 'tenlabels');
INSERT INTO child VALUES (1, 'old'), (2, 'two');
UPDATE parent SET key = 'young' WHERE id = 1;
DELETE FROM child;
:jobs;
DROP TABLE parent CASCADE;
-- a parent's and a partition's, in either order
CREATE TABLE whole (id int, key text) PARTITION BY LIST (id);
CREATE TABLE part (key text, id int);
SELECT oss_labels.watch('part', 'key', bucket => 'tenlabels');
SELECT oss_labels.watch('whole', 'key', bucket => 'tenlabels');
ALTER TABLE whole ATTACH PARTITION part FOR VALUES IN (1);
SELECT oss_labels.watch('part', 'key', bucket => 'tenlabels');
SELECT oss_labels.watch('whole', 'key', bucket => 'tenlabels');
INSERT INTO whole VALUES (1, 'through');
INSERT INTO part VALUES ('direct', 1);
:jobs;
DELETE FROM part WHERE key = 'through';
DELETE FROM whole WHERE key = 'direct';
:jobs;
ALTER TABLE whole RENAME COLUMN key TO object;
ALTER TABLE whole DETACH PARTITION part;
INSERT INTO part VALUES ('alone', 1);
:jobs;
SELECT oss_labels.unwatch('part');
SELECT oss_labels.unwatch('whole');
SELECT count(*) FROM pg_trigger WHERE tgrelid IN ('whole'::regclass, 'part'::regclass);
DROP TABLE whole, part;
:clear;

-- BEFORE triggers, generated columns, and what an UPDATE names for nothing
CREATE TABLE b (id int, path text, key text GENERATED ALWAYS AS (path || '.jpg') STORED, n int DEFAULT 0);
SELECT oss_labels.watch('b', 'key', bucket => 'tenlabels');
INSERT INTO b VALUES (1, 'a'), (2, 'b');
UPDATE b SET n = 1;
UPDATE b SET path = path;
UPDATE b SET path = 'c' WHERE id = 1;
:jobs;
DROP TABLE b;
CREATE TABLE b (id int, key text, n int DEFAULT 0);
CREATE FUNCTION set_key() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.key := 'n' || NEW.n; RETURN NEW; END $$;
CREATE TRIGGER set_key BEFORE INSERT OR UPDATE ON b FOR EACH ROW EXECUTE FUNCTION set_key();
SELECT oss_labels.watch('b', 'key', bucket => 'tenlabels');
:clear;
INSERT INTO b (id) VALUES (1), (2);
UPDATE b SET n = 5 WHERE id = 1;
UPDATE b SET id = id;
:jobs;
DROP TABLE b;
DROP FUNCTION set_key();
:clear;

-- what cancelling and an UPDATE of other columns do, counted
SET track_functions = 'all';
CREATE TABLE c (id int, key text, n int DEFAULT 0);
CREATE FUNCTION wanted(key text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RETURN key <> 'no'; END $$;
SELECT oss_labels.watch('c', 'key', bucket => 'tenlabels', condition => 'public.wanted(key)');
INSERT INTO c SELECT i, 'c' || i FROM generate_series(1, 1000) i;
\set rows 'SELECT seq_scan, seq_tup_read, idx_scan, idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relid = ''oss_labels.job''::regclass'
\set calls 'SELECT coalesce(sum(calls), 0) AS calls FROM pg_stat_xact_user_functions WHERE funcname = ''wanted'''
-- in one transaction, as statistics are reported between two
BEGIN;
:rows \gset before_
:calls \gset before_
UPDATE c SET n = 1;
SELECT calls - :before_calls AS rows_evaluated FROM (:calls) s;
UPDATE c SET key = 'd' || id WHERE id > 995;
SELECT calls - :before_calls AS rows_evaluated FROM (:calls) s;
:rows \gset before_
DELETE FROM c WHERE id <= 10;
SELECT seq_scan - :before_seq_scan AS seq_scans, seq_tup_read - :before_seq_tup_read AS read_by_them,
	idx_scan - :before_idx_scan AS index_scans, idx_tup_fetch - :before_idx_tup_fetch AS read_by_index FROM (:rows) s;
COMMIT;
SELECT count(*) FROM oss_labels.job;
DROP TABLE c;
DROP FUNCTION wanted(text);
RESET track_functions;
:clear;

-- a server's new name
INSERT INTO w (id, bucket, key) VALUES (70, 'tenlabels', 'before');
ALTER SERVER oss RENAME TO oss_new;
INSERT INTO w (id, bucket, key) VALUES (71, 'tenlabels', 'after');
SELECT server, key FROM oss_labels.job ORDER BY job_id;
BEGIN;
ALTER SERVER oss_new RENAME TO oss_newer;
ROLLBACK;
INSERT INTO w (id, bucket, key) VALUES (72, 'tenlabels', 'undone');
SELECT server, key FROM oss_labels.job ORDER BY job_id;
ALTER SERVER oss_new RENAME TO oss;
SELECT DISTINCT server FROM oss_labels.job;

DROP TABLE w, other;
DROP FUNCTION noise(int, text);
DROP ROLE writer;
SELECT count(*) FROM oss_labels.watched WHERE oss_labels.watched_table(columns) IS NOT NULL;
TRUNCATE oss_labels.job, oss_labels.failed_job;
SELECT oss_labels.resume();
