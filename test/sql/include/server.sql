-- A server and a mapping for the stand-in OSS of this test (see test/with-oss)
\set QUIET on
SET client_min_messages = warning;
\getenv port OSS_HTTP_PORT
SELECT 'http://127.0.0.1:' || :'port' AS endpoint \gset
DROP SERVER IF EXISTS oss CASCADE;
CREATE SERVER oss FOREIGN DATA WRAPPER oss_labels
	OPTIONS (region 'cn-hangzhou', endpoint :'endpoint');
CREATE USER MAPPING FOR CURRENT_USER SERVER oss
	OPTIONS (access_key_id 'testid', access_key_secret 'testsecret');
RESET client_min_messages;
\set QUIET off
