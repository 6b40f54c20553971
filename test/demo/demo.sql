-- What make demo shows: every statement and what it returns.
\set ON_ERROR_STOP on
\pset footer off
\pset null '(null)'

\echo '=== The extension, a server and the credentials of a role ==='
\set ECHO queries
\ir setup.sql

\echo
\echo '=== The help page''s first sample: labels of an image ==='
SELECT label_name, parent_label_name, label_level, label_confidence,
       centric_score, language
FROM oss_labels.detect('examplebucket', 'example.jpg');

\echo '=== Its second: only those with a confidence of 0.85 at least ==='
SELECT label_name, parent_label_name, label_level, label_confidence,
       centric_score, language
FROM oss_labels.detect('image-demo', 'example.jpg', thr => 0.85);

\echo '=== Labels of the images of a table ==='
SELECT p.id, p.key, l.label_name, l.parent_label_name, l.label_confidence
FROM photo p, LATERAL oss_labels.detect('examplebucket', p.key) l
WHERE l.label_level = 2
LIMIT 8;

\echo '=== A label as the service sent it ==='
SELECT raw
FROM oss_labels.detect('examplebucket', 'example.jpg')
LIMIT 1;

\echo '=== An error says what the service said, and what to do next ==='
\set ON_ERROR_STOP off
SELECT * FROM oss_labels.detect('examplebucket', 'no-such.jpg');
\set ON_ERROR_STOP on
\if :ERROR
\else
DO $$BEGIN RAISE 'a missing image must be an error'; END$$;
\endif

\set ECHO none
\set requests `"$OSS_CONTROL" GET '/count?name=label_requests'`
\echo '=== What it would have cost: label requests that reached the service ==='
\echo :requests
