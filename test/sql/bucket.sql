-- A bucket as a foreign table: columns, options, what is listed, what is refused.
\i test/sql/include/server.sql
\set explain 'EXPLAIN (COSTS OFF)'
\set listed '\\! $OSS_CONTROL GET \'/count?name=list_requests\''
\! $OSS_CONTROL GET '/bucket?name=big&keys=2500' >/dev/null

-- options
CREATE FOREIGN TABLE t (key text) SERVER oss OPTIONS (bucket 'Big_Bucket');
CREATE FOREIGN TABLE t (key text) SERVER oss OPTIONS (bukcet 'big');
CREATE FOREIGN TABLE t (key text) SERVER oss OPTIONS (region 'cn-hangzhou');
CREATE FOREIGN TABLE t (key text) SERVER oss OPTIONS (access_key_id 'x');
CREATE FOREIGN TABLE t (key text) SERVER oss OPTIONS (versions 'maybe');
CREATE FOREIGN TABLE t (key text OPTIONS (column_name 'k')) SERVER oss;
CREATE FOREIGN TABLE t (key text OPTIONS (bucket 'k')) SERVER oss;
SELECT set_config('test.long', repeat('x', 1024), false) \g /dev/null
DO $$BEGIN EXECUTE format('CREATE FOREIGN TABLE t (key text) SERVER oss OPTIONS (prefix %L)', current_setting('test.long'));
EXCEPTION WHEN OTHERS THEN RAISE NOTICE '% %', SQLSTATE, left(SQLERRM, 50); END$$;
CREATE FOREIGN TABLE t (key text) SERVER oss OPTIONS (prefix '/photos/');
ALTER SERVER oss OPTIONS (ADD bucket 'big');
ALTER USER MAPPING FOR CURRENT_USER SERVER oss OPTIONS (ADD prefix 'a/');

-- columns, in any order and number, of some types
CREATE FOREIGN TABLE photos (
	bucket text, key text COLLATE "C", size bigint, etag text, last_modified timestamptz,
	storage_class text, object_type text, restored boolean)
	SERVER oss OPTIONS (bucket 'big');
SELECT * FROM photos LIMIT 2;
CREATE DOMAIN short_key AS text CHECK (VALUE LIKE '%.jpg');
CREATE FOREIGN TABLE few (size integer, gone text, key short_key, etag varchar(4), b text)
	SERVER oss OPTIONS (bucket 'big');
SELECT * FROM few LIMIT 1;
ALTER FOREIGN TABLE few DROP COLUMN gone, DROP COLUMN b;
SELECT * FROM few LIMIT 1;
ALTER FOREIGN TABLE few ALTER COLUMN etag TYPE varchar, ALTER COLUMN size TYPE numeric(10, 1), ADD COLUMN bucket varchar;
SELECT * FROM few LIMIT 1;
SELECT few, tableoid::regclass FROM few WHERE key = 'photos/0001/0001000.jpg';
ALTER FOREIGN TABLE few ALTER COLUMN size TYPE date;
SELECT * FROM few LIMIT 1;
ALTER FOREIGN TABLE few ALTER COLUMN size TYPE integer, ADD COLUMN version_id text;
EXPLAIN SELECT key FROM few;
DROP FOREIGN TABLE few;
CREATE FOREIGN TABLE nothing () SERVER oss OPTIONS (bucket 'big');
SELECT count(*) FROM nothing;

-- a schema is a bucket
CREATE SCHEMA imported;
IMPORT FOREIGN SCHEMA "Big_Bucket" FROM SERVER oss INTO imported;
IMPORT FOREIGN SCHEMA "big" FROM SERVER oss INTO imported OPTIONS (bucket 'other');
IMPORT FOREIGN SCHEMA "big" FROM SERVER oss INTO imported OPTIONS (versions 'maybe');
IMPORT FOREIGN SCHEMA "big" LIMIT TO (other) FROM SERVER oss INTO imported;
IMPORT FOREIGN SCHEMA "big" EXCEPT (big) FROM SERVER oss INTO imported;
IMPORT FOREIGN SCHEMA "big" LIMIT TO (big) FROM SERVER oss INTO imported;
IMPORT FOREIGN SCHEMA "big" FROM SERVER oss INTO imported
	OPTIONS (prefix 'photos/0002/', versions 'true', table_name 'Some Versions');
\d imported.*
\! $OSS_CONTROL GET /reset >/dev/null
\! $OSS_CONTROL GET '/bucket?name=big&keys=2500' >/dev/null

-- as many pages as are read
SELECT count(*) FROM (SELECT * FROM photos LIMIT 10) p;
:listed
SELECT count(*), count(DISTINCT key), min(key), max(key) FROM photos;
:listed

-- what narrows the listing
\! $OSS_CONTROL GET /reset >/dev/null
\! $OSS_CONTROL GET '/bucket?name=big&keys=2500' >/dev/null
CREATE FUNCTION try(condition text, OUT n bigint, OUT hash text, OUT requests bigint) LANGUAGE plpgsql AS
$$
DECLARE
	plan json;
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) SELECT key FROM photos WHERE ' || condition
	LOOP
		IF line ~ '^ *(Bucket|Prefix|Key|Start|Stop|Order|Versions)' THEN
			RAISE INFO '%', regexp_replace(trim(line), '\$0|\(InitPlan \w+\)\.col1', '$n');
		END IF;
	END LOOP;
	EXECUTE 'SELECT count(*), left(md5(string_agg(key, '','' ORDER BY key)), 8) FROM photos WHERE ' || condition
		INTO n, hash;
	EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, FORMAT json) SELECT key FROM photos WHERE ' || condition INTO plan;
	requests := plan -> 0 -> 'Plan' ->> 'Requests';
	-- the same rows without
	EXECUTE 'SELECT left(md5(string_agg(key, '','' ORDER BY key)), 8) FROM copied WHERE ' || condition INTO line;
	IF line IS DISTINCT FROM hash THEN
		RAISE EXCEPTION 'other rows: %', condition;
	END IF;
END
$$;
CREATE TABLE copied (LIKE photos);
INSERT INTO copied SELECT * FROM photos;
SELECT * FROM try($$key LIKE 'photos/0001/%'$$);
SELECT * FROM try($$key LIKE 'photos/0001/%7.jpg'$$);
SELECT * FROM try($$key LIKE 'photos/000\1/000_2%' AND size > 0$$);
SELECT * FROM try($$key LIKE 'photos/0001/0001999.jpg'$$);
SELECT * FROM try($$key LIKE 'photos|_0001/%' ESCAPE '|'$$);
SELECT * FROM try($$key LIKE '%0001/00010%'$$);
SELECT * FROM try($$key ^@ 'photos/0002/00021'$$);
SELECT * FROM try($$starts_with(key, 'photos/0002/') AND key ^@ 'photos/'$$);
SELECT * FROM try($$key ^@ 'photos/0001' AND key ^@ 'photos/0002'$$);
SELECT * FROM try($$key = 'photos/0001/0001000.jpg'$$);
SELECT * FROM try($$'photos/0001/0001000.jpg' = key AND bucket = 'big'$$);
SELECT * FROM try($$key = ''$$);
SELECT * FROM try($$key LIKE '/photos/%' OR key = '/'$$);
SELECT * FROM try($$key LIKE '/photos/%'$$);
SELECT * FROM try($$key IN ('photos/0001/0001000.jpg', 'photos/0002/0002000.jpg', 'photos', '', NULL)$$);
SELECT * FROM try($$key = ANY (SELECT 'photos/0001/00010' || lpad(i::text, 2, '0') || '.jpg' FROM generate_series(0, 50) i)$$);
SELECT * FROM try($$key = ANY (ARRAY(SELECT 'photos/0001/00010' || lpad(i::text, 2, '0') || '.jpg' FROM generate_series(0, 50) i))$$);
SELECT * FROM try($$key > 'photos/0002/0002300.jpg'$$);
SELECT * FROM try($$key >= 'photos/0002/0002300.jpg'$$);
SELECT * FROM try($$key < 'photos/0000/0000100.jpg'$$);
SELECT * FROM try($$key <= 'photos/0000/0000100.jpg' AND key > 'photos/0000/0000050.jpg'$$);
SELECT * FROM try($$key BETWEEN 'photos/0001/' AND 'photos/0002/'$$);
SELECT * FROM try($$key LIKE 'photos/0002/%' AND key < 'photos/0001/'$$);
SELECT * FROM try($$key ~>~ 'photos/0002/0002400.jpg'$$);
SELECT * FROM try($$key > E'photos/\u7167' AND key < E'photos/\U0010FFFE'$$);
SELECT * FROM try($$key > current_setting('test.long')$$);
SELECT * FROM try($$key = current_setting('test.long')$$);
SELECT * FROM try($$key > 'photos/0002/' COLLATE "en-x-icu"$$);
SELECT * FROM try($$bucket = 'other'$$);
SELECT * FROM try($$bucket IN ('big', 'other') AND key ^@ 'photos/0000/00001'$$);
SELECT * FROM try($$key LIKE lower('PHOTOS/0001/%') AND bucket = lower('BIG')$$);
SELECT * FROM try($$key LIKE (SELECT 'photos/0001/00011%') AND NOT restored$$);
SELECT * FROM try($$key = (SELECT NULL::text)$$);

-- a column that is not compared by bytes
ALTER FOREIGN TABLE photos ALTER COLUMN key TYPE text COLLATE "en-x-icu";
ALTER TABLE copied ALTER COLUMN key TYPE text COLLATE "en-x-icu";
SELECT * FROM try($$key > 'photos/0002/'$$);
SELECT * FROM try($$key LIKE 'photos/0002/%' AND key = 'photos/0002/0002000.jpg'$$);
SELECT * FROM try($$key COLLATE "C" > 'photos/0002/0002400.jpg'$$);
:explain SELECT key FROM photos ORDER BY key LIMIT 1;
:explain SELECT key FROM photos ORDER BY key COLLATE "C" LIMIT 1;
ALTER FOREIGN TABLE photos ALTER COLUMN key TYPE text COLLATE "C";

-- order
:explain SELECT key FROM photos ORDER BY key LIMIT 3;
:explain SELECT * FROM photos ORDER BY bucket, key, size DESC LIMIT 3;
:explain SELECT key FROM photos ORDER BY key DESC LIMIT 3;
:explain SELECT key FROM photos WHERE bucket IN ('big', 'b') ORDER BY key NULLS FIRST LIMIT 3;

-- parameters, generic plans, and options that change between two executions
SET plan_cache_mode = force_generic_plan;
PREPARE p(text, text) AS SELECT count(*), min(key), max(key) FROM photos WHERE key LIKE $1 AND key > $2;
:explain EXECUTE p('photos/0001/%', 'photos/0001/0001990.jpg');
EXECUTE p('photos/0001/%', 'photos/0001/0001990.jpg');
EXECUTE p(NULL, 'x');
ALTER FOREIGN TABLE photos OPTIONS (ADD prefix 'photos/0001/0001995');
EXECUTE p('photos/0001/%', 'photos/0001/0001990.jpg');
:explain EXECUTE p('photos/0001/%', 'photos/0001/0001990.jpg');
ALTER FOREIGN TABLE photos OPTIONS (SET bucket 'examplebucket', DROP prefix);
EXECUTE p('example%', 'a');
ALTER FOREIGN TABLE photos OPTIONS (SET bucket 'big');
ALTER SERVER oss OPTIONS (ADD max_attempts '1');
EXECUTE p('photos/0001/%', 'photos/0001/0001990.jpg');
RESET plan_cache_mode;

-- a table of any bucket
CREATE FUNCTION nodes(query text) RETURNS SETOF text LANGUAGE plpgsql AS
$$
DECLARE
	line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query
	LOOP
		IF line !~ ' (Filter|Disabled|Cache Mode):' THEN
			RETURN NEXT line;
		END IF;
	END LOOP;
END
$$;
CREATE FOREIGN TABLE any_bucket (bucket text, key text COLLATE "C", size bigint) SERVER oss;
CREATE TABLE buckets (name text, first text);
INSERT INTO buckets VALUES ('big', 'photos/0002/0002498.jpg'), ('examplebucket', 'example.j'), (NULL, NULL);
ANALYZE buckets;
SELECT nodes('SELECT * FROM any_bucket');
SELECT * FROM any_bucket;
SELECT * FROM any_bucket WHERE key = 'x' OR bucket = 'big';
SELECT * FROM any_bucket WHERE bucket = 'Big_Bucket';
SELECT count(*) FROM any_bucket WHERE bucket = 'big';
SELECT bucket, count(*) FROM any_bucket WHERE bucket IN ('examplebucket', 'big') AND key < 'photos/0001' GROUP BY 1 ORDER BY 1;
SET enable_memoize = off;
SELECT nodes('SELECT b.name, o.key FROM buckets b JOIN any_bucket o ON o.bucket = b.name AND o.key ^@ b.first');
RESET enable_memoize;
SELECT b.name, o.key FROM buckets b JOIN any_bucket o ON o.bucket = b.name AND o.key ^@ b.first ORDER BY 1, 2;
SELECT b.name, o.n FROM buckets b LEFT JOIN LATERAL
	(SELECT count(*) AS n FROM any_bucket a WHERE a.bucket = b.name AND a.key ^@ b.first) o ON true ORDER BY 1;
SELECT b.name FROM buckets b WHERE EXISTS (SELECT FROM any_bucket a WHERE a.bucket = b.name) ORDER BY 1;
SELECT count(*) FROM any_bucket a FULL JOIN buckets b ON a.bucket = b.name;

-- estimates put what is paid for last
CREATE TABLE wanted (key text COLLATE "C", owner text);
INSERT INTO wanted SELECT 'photos/0001/' || lpad(i::text, 7, '0') || '.jpg', 'me' FROM generate_series(1000, 1999) i;
ANALYZE wanted;
:explain SELECT o.key, l.* FROM photos o, LATERAL oss_labels.tag(o.bucket, o.key, etag => o.etag) l;
:explain SELECT o.key, l.* FROM photos o, LATERAL oss_labels.tag(o.bucket, o.key, etag => o.etag) l, wanted w
WHERE w.key = o.key AND o.size < 100000 AND o.storage_class = 'Standard';
:explain SELECT w.owner, l.* FROM photos o LEFT JOIN wanted w USING (key), LATERAL oss_labels.tag(o.bucket, o.key, etag => o.etag) l
WHERE o.key LIKE 'photos/0001/%';
-- few keys are looked up each
SELECT nodes($$SELECT o.size FROM photos o, (VALUES ('photos/0001/0001000.jpg'), ('x')) v (key) WHERE o.key = v.key$$);

-- what a listing does not do
INSERT INTO photos (key) VALUES ('a');
UPDATE photos SET key = 'a';
DELETE FROM photos;
TRUNCATE photos;
COPY photos FROM stdin;
\.
SELECT key FROM photos LIMIT 1 FOR UPDATE;
ANALYZE any_bucket;
ANALYZE photos;
SELECT reltuples FROM pg_class WHERE relname = 'photos';

-- a partition
CREATE TABLE everywhere (key text COLLATE "C", bucket text, size bigint) PARTITION BY LIST (bucket);
CREATE FOREIGN TABLE everywhere_big PARTITION OF everywhere FOR VALUES IN ('big') SERVER oss OPTIONS (bucket 'big');
CREATE TABLE everywhere_local PARTITION OF everywhere FOR VALUES IN ('local');
INSERT INTO everywhere VALUES ('here', 'local', 1);
INSERT INTO everywhere VALUES ('there', 'big', 1);
SELECT tableoid::regclass, count(*), min(key) FROM everywhere GROUP BY 1 ORDER BY 1;
:explain SELECT * FROM everywhere WHERE bucket = 'big' AND key LIKE 'photos/0001/%' ORDER BY key;
SELECT count(*) FROM everywhere WHERE bucket = 'local';
SELECT count(*) FROM everywhere WHERE key < 'photos/0000/0000010.jpg';

-- whose rights, whose mapping
CREATE ROLE regress_reader;
CREATE VIEW seen AS SELECT key FROM photos WHERE key < 'photos/0000/0000002.jpg';
GRANT SELECT ON seen TO regress_reader;
GRANT SELECT (key) ON photos TO regress_reader;
SET ROLE regress_reader;
SELECT * FROM seen;
SELECT key FROM photos LIMIT 1;
SELECT size FROM photos LIMIT 1;
EXPLAIN (COSTS OFF) SELECT key FROM photos;
RESET ROLE;
ALTER VIEW seen SET (security_invoker = true);
SET ROLE regress_reader;
SELECT * FROM seen;
RESET ROLE;
CREATE USER MAPPING FOR regress_reader SERVER oss OPTIONS (access_key_id 'testid', access_key_secret 'wrong');
SET ROLE regress_reader;
\set VERBOSITY terse
SELECT * FROM seen;
\set VERBOSITY default
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
ALTER USER MAPPING FOR regress_reader SERVER oss OPTIONS (SET access_key_secret 'testsecret');
SET ROLE regress_reader;
SELECT * FROM seen;
RESET ROLE;

-- nothing is asked for
\! $OSS_CONTROL GET /reset >/dev/null
SET oss_labels.allow_requests = off;
SELECT count(*) FROM photos;
RESET oss_labels.allow_requests;
EXPLAIN (COSTS OFF) SELECT count(*) FROM photos;
SELECT count(*) FROM photos WHERE bucket = 'other';
SELECT count(*) FROM photos WHERE key > 'b' AND key < 'a';
:listed
-- what the service says
\set VERBOSITY terse
SELECT count(*) FROM any_bucket WHERE bucket = 'nosuchbucket';
\set VERBOSITY default
\echo :LAST_ERROR_SQLSTATE

DROP SERVER oss;
DROP SERVER oss CASCADE;
DROP TABLE everywhere, wanted, buckets, copied;
DROP FUNCTION try, nodes;
DROP DOMAIN short_key;
DROP SCHEMA imported;
DROP ROLE regress_reader;
