-- Keys: any UTF-8 of 1 to 1023 bytes, each fetched exactly as given.
\i test/sql/include/server.sql

-- in this bucket every key exists, so only the service's count of what it was
-- asked for tells whether it was the right one
CREATE TEMP TABLE key (id int GENERATED ALWAYS AS IDENTITY, key text);
INSERT INTO key (key) VALUES
	('a'), ('a b'), (' '), ('a+b'), ('100%'), ('%41'), ('%2F'), ('%'), ('*'), ('~'),
	('a#b'), ('a?b'), ('?x-oss-process=image/resize'), ('a&b=c;d'), ('a//b'), ('a//'),
	('./a'), ('a/./b'), ('../a'), ('a/../b'), ('a/..'), ('../../etc/passwd'), ('.'), ('..'),
	('a\b'), ('''"(x)!'), ('a:b@c,d$e'), ('[x]{y}|^`<z>'), (E'a\tb\nc\rd\x01\x7f'),
	('照片/猫 & 狗+1%~*.jpg'), ('emoji-😀.jpg'), ('é'), (U&'e\0301'),
	(repeat('k', 1023)), (repeat('照', 341)), ('http://example.com/a'), ('a/');

-- as the stand-in writes the keys it saw
CREATE FUNCTION pg_temp.escaped(key text) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(CASE WHEN chr(b) ~ '^[A-Za-z0-9._~/-]$' THEN chr(b)
		ELSE '%' || upper(lpad(to_hex(b), 2, '0')) END, '' ORDER BY i)
	FROM (SELECT i, get_byte(convert_to(key, 'UTF8'), i) AS b
		  FROM generate_series(0, octet_length(key) - 1) i) bytes $$;

SET oss_labels.pipeline = off;
\! $OSS_CONTROL GET /reset
SELECT k.id, left(k.key, 20) AS key, o.error_code
FROM key k CROSS JOIN LATERAL (
	SELECT DISTINCT error_code FROM oss_labels.try_detect('everykey', k.key)) o
WHERE o.error_code IS NOT NULL;  -- what ends in a slash is a directory
\set seen `$OSS_CONTROL GET '/keys?bucket=everykey'`
CREATE TEMP TABLE seen AS
SELECT split_part(line, E'\t', 1) AS times, split_part(line, E'\t', 3) AS key
FROM regexp_split_to_table(trim(E'\n' FROM :'seen'), E'\n') line;
SELECT count(*), count(DISTINCT key) FROM seen WHERE times = '1';
SELECT left(k.key, 20) AS asked, left(s.key, 40) AS seen
FROM (SELECT key, pg_temp.escaped(key) FROM key) k FULL JOIN seen s ON s.key = k.escaped
WHERE k.key IS NULL OR s.key IS NULL;

-- the same through a signature of its version
SELECT left(k.key, 20) AS key, o.error_code
FROM key k CROSS JOIN LATERAL (
	SELECT DISTINCT error_code
	FROM oss_labels.try_detect('everykey', k.key, version_id => 'CAEQ+/=&')) o
WHERE o.error_code IS DISTINCT FROM 'NoSuchVersion';

-- what is too long to be sent is too long to be logged as well
SELECT error_code, octet_length(error_message) < 1300 AS short
FROM oss_labels.try_detect('everykey', repeat('照', 1000000));
SELECT error_code, octet_length(error_message) < 1300 AS short
FROM oss_labels.try_detect(repeat('a', 1000000), 'k');
SET client_min_messages = warning;
DROP SERVER oss CASCADE;
