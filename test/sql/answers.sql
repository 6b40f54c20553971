-- Answers in odd forms never crash and never become a wrong label; and as they
-- were paid for, none is asked for twice.
\i test/sql/include/server.sql
\pset null NULL
\pset format unaligned
\set variant missing
\i test/sql/include/answer.sql
\set variant null
\i test/sql/include/answer.sql
\set variant empty
\i test/sql/include/answer.sql
\set variant object
\i test/sql/include/answer.sql
\set variant string
\i test/sql/include/answer.sql
\set variant number
\i test/sql/include/answer.sql
\set variant no-id
\i test/sql/include/answer.sql
\set variant neither
\i test/sql/include/answer.sql
\set variant unknown
\i test/sql/include/answer.sql
\set variant level3
\i test/sql/include/answer.sql
\set variant types
\i test/sql/include/answer.sql
\set variant fields-missing
\i test/sql/include/answer.sql
\set variant elements
\i test/sql/include/answer.sql
\set variant duplicates
\i test/sql/include/answer.sql
\set variant chinese
\i test/sql/include/answer.sql
\set variant escapes
\i test/sql/include/answer.sql
\set variant nul-escape
\i test/sql/include/answer.sql
\set variant broken
\i test/sql/include/answer.sql
\set variant trailing
\i test/sql/include/answer.sql
\set variant array
\i test/sql/include/answer.sql
\set variant empty-body
\i test/sql/include/answer.sql

-- many labels, if not beside valgrind's own lists; and more depth than the stack has
\set many `[ "$OSS_TEST_FLAVOUR" = valgrind ] && echo 500 || echo 20000`
\setenv MANY :many
\! $OSS_CONTROL GET /reset >/dev/null; $OSS_CONTROL GET "/fault?kind=labels&variant=many&bytes=$MANY" >/dev/null
SET oss_labels.max_response_size = '8MB';
SELECT count(*) = :many AS all, count(label_name) = :many AS named FROM oss_labels.detect('examplebucket', 'example.jpg');
RESET oss_labels.max_response_size;
\! $OSS_CONTROL GET /reset >/dev/null; $OSS_CONTROL GET '/fault?kind=labels&variant=deep&bytes=100000' >/dev/null
SELECT error_code FROM oss_labels.try_detect('examplebucket', 'example.jpg');
\! $OSS_CONTROL GET '/count?name=label_requests'
SET client_min_messages = warning;
DROP SERVER oss CASCADE;
