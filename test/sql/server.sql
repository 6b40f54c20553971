-- Servers and user mappings: options, their limits, who may set and use what.
\i test/sql/include/server.sql
\pset null NULL

-- a server
CREATE SERVER s FOREIGN DATA WRAPPER oss_labels;
CREATE SERVER s FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'oss-cn-hangzhou');
CREATE SERVER s FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'CN Hangzhou');
CREATE SERVER s FOREIGN DATA WRAPPER oss_labels OPTIONS (regoin 'cn-hangzhou');
CREATE SERVER s FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', colour 'blue');
CREATE SERVER s FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', host 'proxy.example.com');
CREATE SERVER s FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', max_request '5');
CREATE SERVER s FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', access_key_id 'x');
CREATE SERVER s FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', endpoint 'http://oss.example.com');
CREATE SERVER s FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', endpoint 'ftp://localhost');
CREATE SERVER s FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', endpoint 'https://me:secret@localhost');
CREATE SERVER s FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', endpoint 'https://localhost/path');
CREATE SERVER s FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', endpoint E'https://localhost\r\nX: y');
CREATE SERVER s FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', addressing 'sideways');
CREATE SERVER s FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', timeout_ms '0');
CREATE SERVER s FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', timeout_ms '10s');
CREATE SERVER s FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', connect_timeout_ms '-1');
CREATE SERVER s FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', max_attempts '11');
CREATE SERVER s FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', max_concurrency '1001');
CREATE SERVER s FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', max_requests_per_second 'NaN');
CREATE SERVER s FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', requester_pays 'maybe');
CREATE SERVER s FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', ca_file 'relative.pem');

-- endpoints with a bucket in them, as consoles and SDKs show them, and half ones
CREATE SERVER s FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', endpoint 'https://examplebucket.oss-cn-hangzhou.aliyuncs.com');
CREATE SERVER s FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', endpoint 'Examplebucket.OSS-cn-hangzhou-internal.aliyuncs.com.:443', addressing 'path');
CREATE SERVER s FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', endpoint 'https://examplebucket.oss-accelerate.aliyuncs.com', addressing 'virtual');
CREATE SERVER s FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', endpoint 'https://examplebucket.cn-hangzhou.oss.aliyuncs.com');
CREATE SERVER s FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', endpoint 'https://oss-cn-hangzhou.aliyuncs.com/examplebucket');
CREATE SERVER s FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', endpoint 'https://examplebucket.oss-cn-hangzhou.aliyuncs.com/example.jpg?x-oss-process=image');
CREATE SERVER s FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', endpoint 'oss-cn-hangzhou');
CREATE SERVER s FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', endpoint 'https://cn-hangzhou-internal');
CREATE SERVER s FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', endpoint 'internal');
CREATE SERVER s FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', endpoint 'https://Accelerate/');
CREATE SERVER s FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', endpoint 'https://examplebucket.oss-cn-hangzhou.aliyuncs.com', addressing 'cname');
ALTER SERVER s OPTIONS (DROP addressing);
ALTER SERVER s OPTIONS (SET endpoint 'https://oss-cn-hangzhou.aliyuncs.com', DROP addressing);
ALTER SERVER s OPTIONS (SET endpoint 'https://examplebucket.oss-cn-hangzhou.aliyuncs.com');
ALTER SERVER s OPTIONS (SET endpoint 'https://cb-1.cn-hangzhou.oss-cloudbox.aliyuncs.com');
DROP SERVER s;
CREATE FOREIGN DATA WRAPPER w VALIDATOR oss_labels.validator OPTIONS (region 'cn-hangzhou');

-- a legal one with everything
CREATE SERVER s FOREIGN DATA WRAPPER oss_labels OPTIONS (
	region 'cn-hangzhou', endpoint 'https://[::1]:8443', addressing 'cname',
	product 'oss', ca_file '/nowhere/ca.pem', connect_timeout_ms '1000',
	timeout_ms '3600000', max_attempts '10', max_concurrency '1000',
	max_requests_per_second '99.5', requester_pays 'on');
ALTER SERVER s OPTIONS (DROP region);
SELECT check_name, ok FROM oss_labels.check_server('s');
SELECT check_name, ok, hint FROM oss_labels.check_server('nope');

-- user mappings whose options do not go together
CREATE USER MAPPING FOR PUBLIC SERVER s OPTIONS (access_key_id 'testid', access_key_secret 'wrong', proxy_pass 'x');
CREATE USER MAPPING FOR PUBLIC SERVER s OPTIONS (access_key_id 'testid', access_key_secret 'wrong', role_arn 'acs:ram::1234567890123456:role/reader');
CREATE USER MAPPING FOR PUBLIC SERVER s OPTIONS (credential_source 'ram_role_arn', role_source 'environment', access_key_id 'testid', role_arn 'acs:ram::1234567890123456:role/reader');

-- which server: the argument, the setting, the only one
CREATE USER MAPPING FOR PUBLIC SERVER s OPTIONS (access_key_id 'testid', access_key_secret 'wrong');
SELECT * FROM oss_labels.detect('examplebucket', 'example.jpg');
SELECT count(*) FROM oss_labels.detect('examplebucket', 'example.jpg', server => 'oss');
SET oss_labels.server = 'oss';
SELECT count(*) FROM oss_labels.detect('examplebucket', 'example.jpg');
SET oss_labels.server = 'nope';
SELECT count(*) FROM oss_labels.detect('examplebucket', 'example.jpg');
RESET oss_labels.server;
DROP SERVER s CASCADE;
SELECT count(*) FROM oss_labels.detect('examplebucket', 'example.jpg');
SELECT count(*) FROM oss_labels.detect('examplebucket', 'example.jpg', server => 's');

-- a server of another wrapper
CREATE FOREIGN DATA WRAPPER other;
CREATE SERVER elsewhere FOREIGN DATA WRAPPER other;
SELECT count(*) FROM oss_labels.detect('examplebucket', 'example.jpg', server => 'elsewhere');
DROP FOREIGN DATA WRAPPER other CASCADE;

-- changed options take effect at once, and what went wrong costs one request
\! $OSS_CONTROL GET /reset
ALTER SERVER oss OPTIONS (SET region 'cn-shanghai');
\set VERBOSITY terse
SELECT * FROM oss_labels.detect('examplebucket', 'example.jpg');
\set VERBOSITY default
\echo :LAST_ERROR_SQLSTATE
ALTER SERVER oss OPTIONS (SET region 'cn-hangzhou');
ALTER USER MAPPING FOR CURRENT_USER SERVER oss OPTIONS (SET access_key_secret 'wrong');
DO $$
BEGIN
	PERFORM oss_labels.detect('examplebucket', 'example.jpg');
EXCEPTION WHEN invalid_authorization_specification THEN
	RAISE NOTICE '%', SQLERRM;
END $$;
ALTER USER MAPPING FOR CURRENT_USER SERVER oss OPTIONS (SET access_key_id 'nobody');
DO $$
BEGIN
	PERFORM oss_labels.detect('examplebucket', 'example.jpg');
EXCEPTION WHEN invalid_authorization_specification THEN
	RAISE NOTICE '%', SQLERRM;
END $$;
\! $OSS_CONTROL GET '/count?name=label_requests'
DROP USER MAPPING FOR CURRENT_USER SERVER oss;
DO $$
BEGIN
	PERFORM oss_labels.detect('examplebucket', 'example.jpg');
EXCEPTION WHEN undefined_object THEN
	RAISE NOTICE '%', regexp_replace(SQLERRM, 'role "[^"]*"', 'role');
END $$;

-- an endpoint where nobody listens: three attempts, none of them an answer
-- (terse, as libcurl says it differently in each version)
CREATE USER MAPPING FOR CURRENT_USER SERVER oss OPTIONS (access_key_id 'testid', access_key_secret 'testsecret');
ALTER SERVER oss OPTIONS (SET endpoint 'http://127.0.0.1:1');
\set VERBOSITY terse
SELECT http_status, error_code FROM oss_labels.try_detect('examplebucket', 'example.jpg');
SELECT http_status, error_code FROM oss_labels.try_detect('examplebucket', 'example.jpg');
\set VERBOSITY default
\! $OSS_CONTROL GET '/count?name=label_requests'

-- roles: EXECUTE, USAGE, and a mapping of one's own
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_oss_user;
RESET client_min_messages;
ALTER SERVER oss OPTIONS (SET endpoint :'endpoint');
CREATE ROLE regress_oss_user;
SET ROLE regress_oss_user;
SELECT count(*) FROM oss_labels.detect('examplebucket', 'example.jpg');
RESET ROLE;
GRANT USAGE ON SCHEMA oss_labels TO regress_oss_user;
SET ROLE regress_oss_user;
SELECT count(*) FROM oss_labels.detect('examplebucket', 'example.jpg');
RESET ROLE;
GRANT EXECUTE ON FUNCTION oss_labels.detect TO regress_oss_user;
SET ROLE regress_oss_user;
SELECT count(*) FROM oss_labels.detect('examplebucket', 'example.jpg');
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER oss TO regress_oss_user;
SET ROLE regress_oss_user;
SELECT count(*) FROM oss_labels.detect('examplebucket', 'example.jpg');
CREATE USER MAPPING FOR regress_oss_user SERVER oss OPTIONS (access_key_id 'testid', access_key_secret 'testsecret');
SELECT count(*) FROM oss_labels.detect('examplebucket', 'example.jpg');
CREATE SERVER mine FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou');
RESET ROLE;
\! $OSS_CONTROL GET '/count?name=label_requests'
GRANT USAGE ON FOREIGN DATA WRAPPER oss_labels TO regress_oss_user;
SET ROLE regress_oss_user;
CREATE SERVER mine FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', ca_file '/etc/passwd');
CREATE SERVER mine FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou');
DROP SERVER mine;
RESET ROLE;
SET client_min_messages = warning;
DROP SERVER oss CASCADE;
DROP OWNED BY regress_oss_user;
DROP ROLE regress_oss_user;
