/* oss_labels--1.0.sql */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION oss_labels" to load this file. \quit

CREATE SCHEMA oss_labels;
COMMENT ON SCHEMA oss_labels IS
'AI labels for images stored in Alibaba Cloud OSS. Nothing here is granted to PUBLIC.';

-- ---------------------------------------------------------------------
-- 1. Where requests go: wrapper, servers, user mappings
-- ---------------------------------------------------------------------

CREATE FUNCTION oss_labels.validator(options text[], catalog oid)
RETURNS void
LANGUAGE c STRICT
AS 'MODULE_PATHNAME', 'oss_labels_validator';
REVOKE ALL ON FUNCTION oss_labels.validator(text[], oid) FROM PUBLIC;
COMMENT ON FUNCTION oss_labels.validator(text[], oid) IS
'Checks the options of servers and user mappings of the wrapper oss_labels. Called by CREATE and ALTER SERVER and USER MAPPING. Errors: HV00D unknown option (with the nearest valid one), 22023 bad value, 42501 an option for superusers only.';

CREATE FOREIGN DATA WRAPPER oss_labels
	NO HANDLER VALIDATOR oss_labels.validator;
COMMENT ON FOREIGN DATA WRAPPER oss_labels IS
'Endpoints of Alibaba Cloud OSS. USAGE on it is the right to choose endpoints: not for PUBLIC. A server has the options region (required), endpoint, addressing, product, ca_file, connect_timeout_ms, timeout_ms, max_attempts, max_concurrency, max_requests_per_second and requester_pays; a user mapping holds the credentials.';

-- ---------------------------------------------------------------------
-- 2. Reading labels: each call sends one request, which costs money
-- ---------------------------------------------------------------------

CREATE FUNCTION oss_labels.detect(
	bucket text,
	key text,
	thr double precision DEFAULT NULL,
	version_id text DEFAULT NULL,
	server name DEFAULT NULL)
RETURNS TABLE (
	label_name text,
	parent_label_name text,
	label_level integer,
	label_confidence double precision,
	centric_score double precision,
	language text,
	raw jsonb)
LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 10
AS 'MODULE_PATHNAME', 'oss_labels_detect';
REVOKE ALL ON FUNCTION oss_labels.detect(text, text, double precision, text, name) FROM PUBLIC;
COMMENT ON FUNCTION oss_labels.detect(text, text, double precision, text, name) IS
'Labels of an image in OSS, fetched with one paid request. bucket: 3 to 63 of [a-z0-9-]; key: 1 to 1023 bytes of UTF-8; NULL in either gives no rows and no request. thr: least confidence, 0 to 1, NULL for the service''s default of 0.7. version_id: NULL for the current version. server: NULL for the setting oss_labels.server, else the only server. Returns a row a label, none for an image without labels; raw is the label as the service sent it. Errors: 22023 bad argument (no request is sent), 55000 set-up, 42704 no server or mapping, 28000 credentials, 42501 denied, P0002 no such object or bucket, 22000 image or answer of no use, 53400 throttled after all attempts, 08001 and 08006 connection, 58000 the service failed. Needs EXECUTE and USAGE on the server.';

CREATE FUNCTION oss_labels.try_detect(
	bucket text,
	key text,
	thr double precision DEFAULT NULL,
	version_id text DEFAULT NULL,
	server name DEFAULT NULL)
RETURNS TABLE (
	label_name text,
	parent_label_name text,
	label_level integer,
	label_confidence double precision,
	centric_score double precision,
	language text,
	raw jsonb,
	http_status integer,
	error_code text,
	error_message text,
	request_id text)
LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 10
AS 'MODULE_PATHNAME', 'oss_labels_try_detect';
REVOKE ALL ON FUNCTION oss_labels.try_detect(text, text, double precision, text, name) FROM PUBLIC;
COMMENT ON FUNCTION oss_labels.try_detect(text, text, double precision, text, name) IS
'Like detect(), but an error that belongs to the image is one row with NULL labels and error_code set. http_status is NULL when there was no answer; request_id is OSS''s. Errors of the set-up (no server or mapping, credentials, signature, region, certificate, IMM not attached, endpoint unreachable several times in a row) and a bad thr are raised as by detect(). Needs EXECUTE and USAGE on the server.';

CREATE FUNCTION oss_labels.detect_json(
	bucket text,
	key text,
	thr double precision DEFAULT NULL,
	version_id text DEFAULT NULL,
	server name DEFAULT NULL)
RETURNS jsonb
LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000000
AS 'MODULE_PATHNAME', 'oss_labels_detect_json';
REVOKE ALL ON FUNCTION oss_labels.detect_json(text, text, double precision, text, name) FROM PUBLIC;
COMMENT ON FUNCTION oss_labels.detect_json(text, text, double precision, text, name) IS
'The whole answer of the service for an image, as jsonb; NULL for a NULL bucket or key, without a request. Arguments, errors and privileges as detect().';

-- ---------------------------------------------------------------------
-- 3. The pipeline: many images in one query
-- ---------------------------------------------------------------------

-- ---------------------------------------------------------------------
-- 4. The store: labels that stay
-- ---------------------------------------------------------------------

-- ---------------------------------------------------------------------
-- 5. The queue
-- ---------------------------------------------------------------------

-- ---------------------------------------------------------------------
-- 6. The worker
-- ---------------------------------------------------------------------

-- ---------------------------------------------------------------------
-- 7. Looking after it: errors, doctor, presigned URLs
-- ---------------------------------------------------------------------

CREATE FUNCTION oss_labels.presign(
	bucket text,
	key text,
	expires interval DEFAULT '15 minutes',
	process text DEFAULT NULL,
	version_id text DEFAULT NULL,
	server name DEFAULT NULL)
RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'oss_labels_presign';
REVOKE ALL ON FUNCTION oss_labels.presign(text, text, interval, text, text, name) FROM PUBLIC;
COMMENT ON FUNCTION oss_labels.presign(text, text, interval, text, text, name) IS
'A URL with which anybody can GET the object for a while; sends no request. expires: 1 second to 7 days. process: basic image operations such as image/resize,w_200, or a style; label and other AI actions are refused, for the holder of the URL could spend money with them. NULL for a NULL bucket, key or expires. Errors: 22023 bad argument, and those of detect() for server and credentials. Needs EXECUTE and USAGE on the server. The URL is a secret while it lives.';

CREATE FUNCTION oss_labels.check_server(
	server name DEFAULT NULL,
	bucket text DEFAULT NULL,
	key text DEFAULT NULL)
RETURNS TABLE (check_name text, ok boolean, detail text, hint text)
LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 10
AS 'MODULE_PATHNAME', 'oss_labels_check_server';
REVOKE ALL ON FUNCTION oss_labels.check_server(name, text, text) FROM PUBLIC;
COMMENT ON FUNCTION oss_labels.check_server(name, text, text) IS
'The doctor: one row a check (server, options, credentials, dns, tcp, tls, clock; with a bucket signature and bucket; with a key also key and labels), with a hint where something is wrong. Spends nothing unless a key is given, then one labels request. Stops where the next check could not work. Shows no secret. Needs EXECUTE and USAGE on the server.';

CREATE FUNCTION oss_labels.error_table()
RETURNS TABLE (
	rule integer,
	http_status text,
	code text,
	ec text,
	message_has text,
	sqlstate text,
	retry text,
	setup boolean,
	message text,
	hint text)
LANGUAGE c STABLE PARALLEL SAFE ROWS 100
AS 'MODULE_PATHNAME', 'oss_labels_error_table';
REVOKE ALL ON FUNCTION oss_labels.error_table() FROM PUBLIC;
COMMENT ON FUNCTION oss_labels.error_table() IS
'What can go wrong with a request and what becomes of it: the first rule whose http_status, code (OSS''s Code, or a name of our own for troubles of the network), ec (beginning of OSS''s EC) and message_has match gives SQLSTATE, retry class (never, transient, throttled, credentials, clock), whether the set-up is at fault, message and hint. Free; needs EXECUTE.';
