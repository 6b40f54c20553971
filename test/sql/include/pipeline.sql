-- A hundred photos with three labels each, and :requests to count by
\i test/sql/include/server.sql
\! test/sql/include/album
\set QUIET on
SET client_min_messages = warning;
DROP TABLE IF EXISTS photo;
RESET client_min_messages;
CREATE TABLE photo (id integer PRIMARY KEY, bucket text, key text);
INSERT INTO photo SELECT i, 'album', 'p' || i || '.jpg' FROM generate_series(1, 100) i;
ANALYZE photo;
\set QUIET off
-- print the requests since the last time, and count from zero
\set requests '\\! $OSS_CONTROL GET \'/count?name=label_requests\'; $OSS_CONTROL GET \'/reset?what=counters\' >/dev/null'
