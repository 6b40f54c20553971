-- psql's start-up file in "make shell"
\ir setup.sql
\echo
\echo 'A throw-away PostgreSQL with oss_labels and a stand-in OSS; \\q ends both.'
\echo
\echo '  SELECT * FROM oss_labels.detect(''examplebucket'', ''example.jpg'');'
\echo '  SELECT p.key, l.* FROM photo p, LATERAL oss_labels.detect(''examplebucket'', p.key) l;'
\echo '  \\dx+ oss_labels'
\echo '  \\! "$OSS_CONTROL" GET /counters'
\echo
