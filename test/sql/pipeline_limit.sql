-- What queries that stop early cost: never more than 2 x images delivered + 1
-- requests.  Each image has three labels.
\i test/sql/include/pipeline.sql
\! $OSS_CONTROL GET '/bucket?name=single&image=examplebucket/example.jpg&labels=1' >/dev/null
CREATE VIEW labeled AS
SELECT p.id, l.label_name FROM photo p, LATERAL oss_labels.detect(p.bucket, p.key) l;
CREATE VIEW single AS
SELECT p.id, l.label_name FROM photo p, LATERAL oss_labels.detect('single', p.key) l;
-- Print the answer to "at most so many requests since the last time?"
\set at_most '\\! [ $($OSS_CONTROL GET \'/count?name=label_requests\') -le $MOST ] && echo ok; $OSS_CONTROL GET \'/reset?what=counters\' >/dev/null'
-- slow enough that all that is started is counted before the query ends
\! $OSS_CONTROL GET '/fault?delay=5' >/dev/null

-- one row of one image: one request
SELECT count(*) FROM (SELECT FROM labeled LIMIT 1) x;
:requests
SELECT count(*) FROM (SELECT FROM labeled LIMIT 3) x;
:requests
SELECT EXISTS (SELECT FROM labeled);
:requests
SELECT count(*) FROM (SELECT FROM labeled LIMIT 0) x;
:requests
-- the second image lets two more start
SELECT count(*) FROM (SELECT FROM labeled LIMIT 4) x;
\setenv MOST 3
:at_most
-- ten images: at most 21
SELECT count(*) FROM (SELECT FROM single LIMIT 10) x;
\setenv MOST 21
:at_most
SELECT count(*) FROM (SELECT FROM labeled LIMIT 30) x;
:at_most
-- with OFFSET it is the sum that counts
SELECT count(*) FROM (SELECT FROM single OFFSET 7 LIMIT 3) x;
:at_most
-- the window ends that growth: no more than 2 x concurrency beyond
SET oss_labels.concurrency = 2;
SELECT count(*) FROM (SELECT FROM single LIMIT 50) x;
\setenv MOST 54
:at_most
\! $OSS_CONTROL GET '/unfault'; $OSS_CONTROL GET '/fault?delay=5' >/dev/null
SELECT count(*) FROM single WHERE id <= 30;
\! $OSS_CONTROL GET '/count?name=label_most_in_flight'
:requests
-- two nodes share it
SELECT count(*) FROM photo p, LATERAL oss_labels.detect('single', p.key) l,
	LATERAL oss_labels.detect('album', p.key) m WHERE p.id <= 30;
\! $OSS_CONTROL GET '/count?name=label_most_in_flight'
:requests
RESET oss_labels.concurrency;
-- the server's own limit
ALTER SERVER oss OPTIONS (ADD max_concurrency '3');
SELECT count(*) FROM single;
\! $OSS_CONTROL GET '/count?name=label_most_in_flight'
:requests
ALTER SERVER oss OPTIONS (DROP max_concurrency);
-- images without a row count as delivered once they are passed over
SELECT count(*) FROM (SELECT FROM labeled WHERE label_name = 'no such label' LIMIT 1) x;
:requests

-- the hazards
-- ORDER BY a label's column needs all images, once each
SELECT count(*) FROM (SELECT FROM labeled ORDER BY label_name LIMIT 1) x;
:requests
-- ORDER BY the outer side's needs only the first
SET enable_seqscan = off;
SELECT id FROM labeled ORDER BY id DESC LIMIT 1;
:requests
RESET enable_seqscan;
-- conditions on the outer side, with and without an index, and by a join
SELECT count(*) FROM labeled WHERE id BETWEEN 11 AND 14;
:requests
SELECT count(*) FROM photo p, LATERAL oss_labels.detect(p.bucket, p.key) l WHERE p.key LIKE 'p1_.jpg';
:requests
SELECT count(*) FROM labeled JOIN photo q USING (id) WHERE q.key LIKE 'p2_.jpg';
:requests
-- a view joined to itself asks for each image once
SELECT count(*) FROM labeled a JOIN labeled b USING (id, label_name) WHERE a.id <= 20;
:requests
SELECT count(*) FROM labeled a JOIN labeled b USING (id) WHERE b.id <= 20;
:requests
-- a join on what labels say, that stops early
SELECT count(*) FROM (SELECT FROM (VALUES ('no such label'), ('nor this')) v (name)
	JOIN labeled ON label_name = v.name LIMIT 1) x;
:requests
SELECT count(*) FROM (SELECT FROM generate_series(1, 5) g, labeled LIMIT 20) x;
\setenv MOST 5
:at_most
-- EXISTS over one image
SELECT count(*) FROM photo p WHERE p.id <= 5
	AND EXISTS (SELECT FROM oss_labels.detect(p.bucket, p.key) l WHERE l.label_level = 2);
:requests
-- in a select list; (...).* is one call
SELECT count(*) FROM (SELECT oss_labels.detect(p.bucket, p.key) FROM photo p WHERE p.id <= 5) x;
:requests
CREATE TABLE expanded AS
SELECT (oss_labels.detect(p.bucket, p.key)).* FROM photo p WHERE p.id <= 5;
:requests

-- a cursor, row by row
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM labeled;
FETCH 1 FROM c;
:requests
FETCH 2 FROM c;
:requests
FETCH 1 FROM c;
:requests
-- nothing of the window is lost from one FETCH to the next
MOVE 296 FROM c;
:requests
FETCH 1 FROM c;
CLOSE c;
:requests
-- closed early: no more requests
DECLARE c CURSOR FOR SELECT id FROM labeled;
FETCH 4 FROM c;
:requests
CLOSE c;
SELECT pg_sleep(0.02);
:requests
-- one that can scroll
DECLARE s SCROLL CURSOR FOR SELECT id FROM labeled;
FETCH 4 FROM s;
FETCH ABSOLUTE 1 FROM s;
FETCH PRIOR FROM s;
FETCH FORWARD 2 FROM s;
:requests
COMMIT;
-- held after the transaction: read to its end once
BEGIN;
DECLARE h CURSOR WITH HOLD FOR SELECT id FROM labeled WHERE id <= 10;
FETCH 1 FROM h;
COMMIT;
:requests
MOVE ALL FROM h;
CLOSE h;
:requests

SET client_min_messages = warning;
DROP TABLE expanded;
DROP VIEW labeled, single;
DROP TABLE photo;
