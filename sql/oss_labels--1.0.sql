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

CREATE FUNCTION oss_labels.detect_support(internal)
RETURNS internal
LANGUAGE c STRICT
AS 'MODULE_PATHNAME', 'oss_labels_detect_support';
REVOKE ALL ON FUNCTION oss_labels.detect_support(internal) FROM PUBLIC;
COMMENT ON FUNCTION oss_labels.detect_support(internal) IS
'Planner support for detect() and try_detect(): tells rows and costs, and loads the library that plans their joins as a pipeline of requests. Called by the planner, by nobody else.';

ALTER FUNCTION oss_labels.detect(text, text, double precision, text, name)
	SUPPORT oss_labels.detect_support;
ALTER FUNCTION oss_labels.try_detect(text, text, double precision, text, name)
	SUPPORT oss_labels.detect_support;

-- ---------------------------------------------------------------------
-- 4. The store: labels that stay
-- ---------------------------------------------------------------------

/*
 * Bucket names are unique in all of OSS, so bucket, key and version_id name an
 * image whatever the server.  Texts have the database's collation, so that
 * they join with the texts of anybody's tables.
 */

CREATE TABLE oss_labels.image
(
	image_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	tagged_at timestamptz NOT NULL,
	thr float8,
	label_count integer NOT NULL,
	bucket text NOT NULL,
	key text NOT NULL,
	version_id text,
	request_id text,
	response jsonb NOT NULL,
	UNIQUE NULLS NOT DISTINCT (bucket, key, version_id)
);

COMMENT ON TABLE oss_labels.image IS 'One row per tagged image: bucket, key and version_id (null: the current version) name it; a re-tagging replaces the row''s contents. Written by the worker, process_queue() and tag()';
COMMENT ON COLUMN oss_labels.image.tagged_at IS 'when the request that brought these labels was made: they show the image as it was then or a moment later';
COMMENT ON COLUMN oss_labels.image.thr IS 'confidence threshold asked for, 0 to 1; null: the service''s own. Labels stored at a threshold answer every request at a higher one';
COMMENT ON COLUMN oss_labels.image.label_count IS 'number of rows in image_label';
COMMENT ON COLUMN oss_labels.image.request_id IS 'x-oss-request-id of the answer, for the service''s support';
COMMENT ON COLUMN oss_labels.image.response IS 'the whole answer as the service sent it, unknown fields included';

/*
 * Ten narrow rows per image, written in bulk and never updated.  No foreign
 * key: its check per row would cost more than the row; the trigger below keeps
 * the rows from outliving their image.  No unique constraint: the service may
 * name a label twice below different parents.
 */
CREATE TABLE oss_labels.image_label
(
	image_id bigint NOT NULL,
	label_confidence float8,
	centric_score float8,
	label_level integer,
	label_name text,
	parent_label_name text,
	language text
);

CREATE INDEX image_label_image_id_idx ON oss_labels.image_label (image_id);
CREATE INDEX image_label_label_name_idx ON oss_labels.image_label (label_name);

COMMENT ON TABLE oss_labels.image_label IS 'The labels of stored images, one row each; see the view label';
COMMENT ON COLUMN oss_labels.image_label.image_id IS 'image.image_id';
COMMENT ON COLUMN oss_labels.image_label.label_confidence IS '0 to 1: how sure the service is';
COMMENT ON COLUMN oss_labels.image_label.centric_score IS '0 to 1: how prominent the label is in the image';
COMMENT ON COLUMN oss_labels.image_label.label_level IS 'depth in the service''s hierarchy of labels, 1 is the top';
COMMENT ON COLUMN oss_labels.image_label.label_name IS 'the label, in the given language';
COMMENT ON COLUMN oss_labels.image_label.parent_label_name IS 'the label above it in the hierarchy';
COMMENT ON COLUMN oss_labels.image_label.language IS 'language of the label''s name, such as en-us';
COMMENT ON INDEX oss_labels.image_label_image_id_idx IS 'the labels of an image';
COMMENT ON INDEX oss_labels.image_label_label_name_idx IS 'the images with a label; equal names share their entry''s key, so it stays small';

CREATE FUNCTION oss_labels.drop_image_labels()
	RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
BEGIN
	IF TG_OP = 'TRUNCATE' THEN
		TRUNCATE oss_labels.image_label;
	ELSE
		DELETE FROM oss_labels.image_label l USING gone g
		WHERE l.image_id = g.image_id;
	END IF;
	RETURN NULL;
END $$;

COMMENT ON FUNCTION oss_labels.drop_image_labels() IS 'trigger on image: labels go with their image. Internal';
REVOKE ALL ON FUNCTION oss_labels.drop_image_labels() FROM PUBLIC;

CREATE TRIGGER image_delete AFTER DELETE ON oss_labels.image
	REFERENCING OLD TABLE AS gone
	FOR EACH STATEMENT EXECUTE FUNCTION oss_labels.drop_image_labels();
CREATE TRIGGER image_truncate AFTER TRUNCATE ON oss_labels.image
	FOR EACH STATEMENT EXECUTE FUNCTION oss_labels.drop_image_labels();

COMMENT ON TRIGGER image_delete ON oss_labels.image IS 'deletes the labels of deleted images';
COMMENT ON TRIGGER image_truncate ON oss_labels.image IS 'empties image_label with image';

CREATE VIEW oss_labels.label AS
	SELECT i.bucket, i.key, i.version_id,
		l.label_name, l.parent_label_name, l.label_level,
		l.label_confidence, l.centric_score, l.language,
		i.tagged_at
	FROM oss_labels.image i
	JOIN oss_labels.image_label l ON l.image_id = i.image_id;

COMMENT ON VIEW oss_labels.label IS 'Stored labels with the image they belong to: what reports join with. Reading it costs nothing';

REVOKE ALL ON oss_labels.image, oss_labels.image_label, oss_labels.label FROM PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('oss_labels.image', '');
SELECT pg_catalog.pg_extension_config_dump('oss_labels.image_image_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('oss_labels.image_label', '');

-- ---------------------------------------------------------------------
-- 5. The queue
-- ---------------------------------------------------------------------

/*
 * A job is inserted once, leased by an update that touches no index (HOT, for
 * which fillfactor leaves room), and deleted once.  There is no unique
 * constraint: it would make two sessions that enqueue the same object wait for
 * each other.  Jobs for the same object are joined when they are claimed.
 *
 * A queue's dead rows are many times its live ones, so a share of the table
 * says nothing: autovacuum starts at a fixed number of dead rows, is not
 * throttled, and truncation (which needs an exclusive lock) is left out.
 */

CREATE TABLE oss_labels.job
(
	job_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	enqueued_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	due timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	leased_until timestamptz,
	lease bigint,
	thr float8,
	priority integer NOT NULL DEFAULT 0,
	attempts integer NOT NULL DEFAULT 0,
	requester regrole NOT NULL,
	source regclass,
	server text NOT NULL,
	bucket text NOT NULL,
	key text NOT NULL,
	version_id text,
	reason text
) WITH (fillfactor = 80,
	autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000,
	autovacuum_vacuum_insert_scale_factor = 0.2,
	autovacuum_analyze_scale_factor = 0.2, autovacuum_analyze_threshold = 20000,
	autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off,
	toast.autovacuum_vacuum_cost_delay = 0);

CREATE INDEX job_claim_idx ON oss_labels.job (server, priority, due, job_id);
CREATE INDEX job_object_idx ON oss_labels.job (key, bucket);

COMMENT ON TABLE oss_labels.job IS 'One row per object waiting to be tagged or being tagged. A success deletes it, a failure moves it to failed_job. Filled by enqueue() and by the triggers of watch()';
COMMENT ON COLUMN oss_labels.job.enqueued_at IS 'when it was enqueued; a request made later than this, by whichever job, answers it';
COMMENT ON COLUMN oss_labels.job.due IS 'when it may be tried next';
COMMENT ON COLUMN oss_labels.job.leased_until IS 'a worker has it until then; null: nobody has';
COMMENT ON COLUMN oss_labels.job.lease IS 'which process has it: a number made from its pid and start';
COMMENT ON COLUMN oss_labels.job.thr IS 'confidence threshold to ask for, 0 to 1; null: the service''s own';
COMMENT ON COLUMN oss_labels.job.priority IS 'higher ones first';
COMMENT ON COLUMN oss_labels.job.attempts IS 'how often it was claimed, throttles not counted';
COMMENT ON COLUMN oss_labels.job.requester IS 'the role that enqueued it, whose user mapping and rights are used';
COMMENT ON COLUMN oss_labels.job.source IS 'the watched table it came from; null from enqueue()';
COMMENT ON COLUMN oss_labels.job.server IS 'name of the foreign server that is asked';
COMMENT ON COLUMN oss_labels.job.reason IS 'why it was put off, after a failed attempt';
COMMENT ON INDEX oss_labels.job_claim_idx IS 'the order of claiming within a server and priority';
COMMENT ON INDEX oss_labels.job_object_idx IS 'finds what a deleted row had enqueued';

CREATE TABLE oss_labels.failed_job
(
	job_id bigint PRIMARY KEY,
	enqueued_at timestamptz NOT NULL,
	failed_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	thr float8,
	priority integer NOT NULL,
	attempts integer NOT NULL,
	http_status integer,
	requester regrole NOT NULL,
	source regclass,
	server text NOT NULL,
	bucket text NOT NULL,
	key text NOT NULL,
	version_id text,
	"sqlstate" text NOT NULL,
	code text,
	message text NOT NULL,
	detail text,
	hint text,
	request_id text
);

CREATE INDEX failed_job_failed_at_idx ON oss_labels.failed_job (failed_at);

COMMENT ON TABLE oss_labels.failed_job IS 'Jobs given up, with the reason of the last attempt. retry_failed() enqueues them again; kept for oss_labels.failed_job_retention';
COMMENT ON COLUMN oss_labels.failed_job.http_status IS 'status of the last answer; null without one';
COMMENT ON COLUMN oss_labels.failed_job."sqlstate" IS 'the SQLSTATE that detect() would have raised';
COMMENT ON COLUMN oss_labels.failed_job.code IS 'the service''s error code, or our own such as Timeout';
COMMENT ON COLUMN oss_labels.failed_job.request_id IS 'x-oss-request-id of the last answer, for the service''s support';
COMMENT ON INDEX oss_labels.failed_job_failed_at_idx IS 'what is old enough to be forgotten';

CREATE TABLE oss_labels.paused
(
	server text,
	requester regrole,
	bucket text,
	automatic boolean NOT NULL,
	since timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	"sqlstate" text,
	reason text NOT NULL,
	seen text,
	UNIQUE NULLS NOT DISTINCT (server, requester, bucket, automatic)
);

COMMENT ON TABLE oss_labels.paused IS 'What the worker leaves alone: by pause(), or by itself because a set-up is wrong. resume() deletes rows here';
COMMENT ON COLUMN oss_labels.paused.server IS 'name of the foreign server; null: the whole database';
COMMENT ON COLUMN oss_labels.paused.requester IS 'only this role''s jobs; null: everybody''s';
COMMENT ON COLUMN oss_labels.paused.bucket IS 'only this bucket; null: all';
COMMENT ON COLUMN oss_labels.paused.automatic IS 'true: paused by the worker, which goes on when the server or its user mapping is altered';
COMMENT ON COLUMN oss_labels.paused.seen IS 'fingerprint of server and mapping when it was paused';

/* Who sees a job: the role that enqueued it, who has that role, pg_monitor. */
ALTER TABLE oss_labels.job ENABLE ROW LEVEL SECURITY;
ALTER TABLE oss_labels.failed_job ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_jobs ON oss_labels.job
	USING (pg_catalog.pg_has_role(requester, 'USAGE')
		OR pg_catalog.pg_has_role('pg_monitor', 'USAGE'));
CREATE POLICY own_jobs ON oss_labels.failed_job
	USING (pg_catalog.pg_has_role(requester, 'USAGE')
		OR pg_catalog.pg_has_role('pg_monitor', 'USAGE'));
COMMENT ON POLICY own_jobs ON oss_labels.job IS 'roles see their own jobs, pg_monitor all';
COMMENT ON POLICY own_jobs ON oss_labels.failed_job IS 'roles see their own jobs, pg_monitor all';

REVOKE ALL ON oss_labels.job, oss_labels.failed_job, oss_labels.paused FROM PUBLIC;
GRANT SELECT ON oss_labels.job, oss_labels.failed_job, oss_labels.paused TO pg_monitor;

SELECT pg_catalog.pg_extension_config_dump('oss_labels.job', '');
SELECT pg_catalog.pg_extension_config_dump('oss_labels.job_job_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('oss_labels.failed_job', '');
SELECT pg_catalog.pg_extension_config_dump('oss_labels.paused', '');

CREATE FUNCTION oss_labels.enqueue(bucket text, key text,
		thr float8 DEFAULT NULL, version_id text DEFAULT NULL,
		server name DEFAULT NULL, priority integer DEFAULT 0)
	RETURNS bigint
	LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100
	AS 'MODULE_PATHNAME', 'oss_enqueue';

COMMENT ON FUNCTION oss_labels.enqueue(text, text, float8, text, name, integer) IS 'Queue an image for tagging as part of the caller''s transaction; returns job.job_id, or null when bucket or key is null. thr: 0 to 1, null for the service''s own; server: null for the setting or the only one; priority: higher ones first. The caller''s user mapping and rights are used later. Errors: 22023 bad argument, 42501 no USAGE on the server, 42704 no such server, 55000 no or no single server. For roles with EXECUTE';

CREATE FUNCTION oss_labels.enqueue_trigger()
	RETURNS trigger
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'oss_enqueue_trigger';

COMMENT ON FUNCTION oss_labels.enqueue_trigger() IS 'Trigger function that queues the images that inserted and updated rows name and cancels those of deleted ones; what watch() installs, and for triggers made by hand. AFTER only; FOR EACH STATEMENT with transition tables, or FOR EACH ROW. Arguments are pairs of name and value: key_column (required), bucket_column or bucket (one is required), thr, server, priority, condition. Errors: 39P01 wrong kind of trigger, 22023 bad argument, 42703 no such column, 42804 column that is no text. For roles with EXECUTE';

CREATE FUNCTION oss_labels.check_watch(relation regclass, key_column name,
		bucket_column name, bucket text, thr float8, server name)
	RETURNS name
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'oss_check_watch';

COMMENT ON FUNCTION oss_labels.check_watch(regclass, name, name, text, float8, name) IS 'Raise what is wrong with the arguments of watch(), and return the name of the server that is meant. For roles that watch tables';

CREATE FUNCTION oss_labels.watch(relation regclass, key_column name,
		bucket_column name DEFAULT NULL, bucket text DEFAULT NULL,
		thr float8 DEFAULT NULL, server name DEFAULT NULL,
		priority integer DEFAULT 0, condition text DEFAULT NULL)
	RETURNS void
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
#variable_conflict use_variable
DECLARE
	arguments text;
	columns text;
	rows_of text;
BEGIN
	IF relation IS NULL OR key_column IS NULL THEN
		RAISE EXCEPTION 'relation and key_column must not be null'
			USING ERRCODE = '22023';
	END IF;
	IF (bucket_column IS NULL) = (bucket IS NULL) THEN
		RAISE EXCEPTION 'either bucket_column or bucket must be given'
			USING ERRCODE = '22023',
			HINT = 'Give bucket_column when each row names its bucket, bucket when all are in one.';
	END IF;
	IF bucket_column = key_column THEN
		RAISE EXCEPTION 'bucket_column and key_column must be different columns'
			USING ERRCODE = '22023';
	END IF;
	server := oss_labels.check_watch(relation, key_column, bucket_column,
									 bucket, thr, server);
	IF condition IS NOT NULL THEN
		EXECUTE format('SELECT FROM %s WHERE (%s) LIMIT 0', relation, condition);
	END IF;

	PERFORM oss_labels.unwatch(relation);

	arguments := 'key_column, ' || quote_literal(key_column)
		|| coalesce(', bucket_column, ' || quote_literal(bucket_column), '')
		|| coalesce(', bucket, ' || quote_literal(bucket), '')
		|| coalesce(', thr, ' || quote_literal(thr), '')
		|| ', server, ' || quote_literal(server)
		|| ', priority, ' || quote_literal(coalesce(priority, 0))
		|| coalesce(', condition, ' || quote_literal(condition), '');
	columns := quote_ident(key_column) || coalesce(', ' || quote_ident(bucket_column), '');

	EXECUTE format('CREATE TRIGGER oss_labels_insert AFTER INSERT ON %s '
		'REFERENCING NEW TABLE AS oss_labels_new '
		'FOR EACH STATEMENT EXECUTE FUNCTION oss_labels.enqueue_trigger(%s)',
		relation, arguments);
	EXECUTE format('CREATE TRIGGER oss_labels_update AFTER UPDATE ON %s '
		'REFERENCING OLD TABLE AS oss_labels_old NEW TABLE AS oss_labels_new '
		'FOR EACH STATEMENT EXECUTE FUNCTION oss_labels.enqueue_trigger(%s)',
		relation, arguments);
	EXECUTE format('CREATE TRIGGER oss_labels_delete AFTER DELETE ON %s '
		'REFERENCING OLD TABLE AS oss_labels_old '
		'FOR EACH STATEMENT EXECUTE FUNCTION oss_labels.enqueue_trigger(%s)',
		relation, arguments);
	EXECUTE format('CREATE TRIGGER oss_labels_truncate AFTER TRUNCATE ON %s '
		'FOR EACH STATEMENT EXECUTE FUNCTION oss_labels.enqueue_trigger(%s)',
		relation, arguments);

	/*
	 * Fires only in a logical replication worker, which fires no statement
	 * triggers.  Its column list is also where the others find their columns,
	 * as PostgreSQL keeps it right when columns are renamed.  A partition of
	 * a watched table has its parent's.
	 */
	IF EXISTS (SELECT FROM pg_trigger t
			WHERE t.tgrelid = relation AND t.tgname = 'oss_labels_replica') THEN
		RETURN;
	END IF;
	EXECUTE format('CREATE TRIGGER oss_labels_replica '
		'AFTER INSERT OR UPDATE OF %s OR DELETE ON %s '
		'FOR EACH ROW EXECUTE FUNCTION oss_labels.enqueue_trigger(%s)',
		columns, relation, arguments);
	EXECUTE format('ALTER TABLE %s ENABLE REPLICA TRIGGER oss_labels_replica',
		relation);
END $$;

COMMENT ON FUNCTION oss_labels.watch(regclass, name, name, text, float8, name, integer, text) IS 'Tag the images that a table names: from now on inserted rows, and rows whose bucket or key changes, are queued when their transaction commits, and deleted ones are cancelled if still queued. key_column and bucket_column are text columns; bucket: the one bucket of all rows, instead of bucket_column; thr: 0 to 1; server: null for the setting or the only one; priority: higher ones first; condition: SQL expression over the row''s columns, evaluated as the inserting role with search_path pg_catalog, and only rows for which it is true are queued. Watching again replaces. Statements that name a partition directly fire the partition''s triggers: watch it too. Errors: 22023 bad argument, 42703 no such column, 42804 column that is no text, 42501 not the table''s owner, and those of enqueue. For owners of the table with EXECUTE';

CREATE FUNCTION oss_labels.unwatch(relation regclass)
	RETURNS void
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	name name;
BEGIN
	FOR name IN
		SELECT t.tgname FROM pg_trigger t
		WHERE t.tgrelid = relation
			AND t.tgfoid = 'oss_labels.enqueue_trigger()'::regprocedure
			AND t.tgparentid = 0
			AND t.tgname IN ('oss_labels_insert', 'oss_labels_update', 'oss_labels_delete',
				'oss_labels_truncate', 'oss_labels_replica')
	LOOP
		EXECUTE format('DROP TRIGGER %I ON %s', name, relation);
	END LOOP;
END $$;

COMMENT ON FUNCTION oss_labels.unwatch(regclass) IS 'Undo watch(). What is queued stays queued. Triggers made by hand are left alone. Errors: 42501 not the table''s owner. For owners of the table with EXECUTE';

CREATE FUNCTION oss_labels.retry_failed(server name DEFAULT NULL,
		bucket text DEFAULT NULL, code text DEFAULT NULL,
		younger_than interval DEFAULT NULL)
	RETURNS bigint
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'oss_retry_failed';

COMMENT ON FUNCTION oss_labels.retry_failed(name, text, text, interval) IS 'Queue failed jobs again, with all their attempts; returns how many. Each argument narrows them down: server, bucket, code (the service''s error code or an SQLSTATE), younger_than (failed within that time). Roles retry their own jobs, the extension''s owner all. For roles with EXECUTE';

CREATE FUNCTION oss_labels.pause(server name DEFAULT NULL)
	RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'oss_pause';

COMMENT ON FUNCTION oss_labels.pause(name) IS 'Let the worker start nothing more for a server, or in the whole database when null; takes effect at commit, what is in flight ends. Errors: 42704 no such server. For roles with EXECUTE';

CREATE FUNCTION oss_labels.resume(server name DEFAULT NULL)
	RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'oss_resume';

COMMENT ON FUNCTION oss_labels.resume(name) IS 'Undo pause() for a server, and what the worker paused there by itself; null undoes pause() for the whole database and leaves servers as they are. For roles with EXECUTE';

-- ---------------------------------------------------------------------
-- 6. The worker
-- ---------------------------------------------------------------------

CREATE PROCEDURE oss_labels.process_queue(max_jobs bigint DEFAULT NULL,
		server name DEFAULT NULL)
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'oss_process_queue';

COMMENT ON PROCEDURE oss_labels.process_queue(bigint, name) IS 'Do the worker''s work here and now: tag what is queued and due, up to max_jobs jobs (null: all), for one server or all, committing as it goes and reporting by NOTICE. Each job runs with its requester''s user mapping and rights. Errors: 25001 within a transaction block, 22023 bad argument. For roles with EXECUTE';

CREATE PROCEDURE oss_labels.wait_for_queue(timeout interval DEFAULT NULL)
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'oss_wait_for_queue';

COMMENT ON PROCEDURE oss_labels.wait_for_queue(interval) IS 'Wait until none of the caller''s jobs is queued or in flight (paused ones are not waited for). Errors: 57014 not within the timeout, 25001 within a transaction block, where it would wait for itself. For roles with EXECUTE';

CREATE FUNCTION oss_labels.worker_status(OUT pid integer, OUT database name,
		OUT state text, OUT last_error text, OUT since timestamptz)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL SAFE ROWS 4
	AS 'MODULE_PATHNAME', 'oss_worker_status';

COMMENT ON FUNCTION oss_labels.worker_status() IS 'What the launcher and the workers are doing; see the view worker';

CREATE FUNCTION oss_labels.flow_status(OUT server text, OUT images_per_second float8,
		OUT requests_per_second_now float8, OUT slowed_down boolean, OUT throttled bigint)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL SAFE ROWS 4
	AS 'MODULE_PATHNAME', 'oss_flow_status';

COMMENT ON FUNCTION oss_labels.flow_status() IS 'How fast each server of this database is going now: images tagged a second over the last ten, the present limit on requests a second (null: none), whether throttles lowered it, and throttles since the start. Without preloading only this session''s own. See the view queue';

CREATE VIEW oss_labels.queue WITH (security_invoker = true) AS
	WITH jobs AS (
		SELECT j.server, j.bucket,
			pg_catalog.count(*) FILTER (WHERE coalesce(j.leased_until <= t.t, true) AND j.due <= t.t) AS queued,
			pg_catalog.count(*) FILTER (WHERE j.leased_until > t.t) AS in_flight,
			pg_catalog.count(*) FILTER (WHERE coalesce(j.leased_until <= t.t, true) AND j.due > t.t) AS deferred,
			pg_catalog.count(*) AS jobs,
			pg_catalog.min(j.enqueued_at) AS oldest,
			pg_catalog.max(j.reason) AS last_trouble
		FROM oss_labels.job j, (SELECT pg_catalog.clock_timestamp() AS t OFFSET 0) t
		GROUP BY j.server, j.bucket
	), failures AS (
		SELECT f.server, f.bucket, pg_catalog.count(*) AS failed
		FROM oss_labels.failed_job f
		GROUP BY f.server, f.bucket
	), lines AS (
		SELECT server, bucket, j.queued, j.in_flight, j.deferred, j.jobs,
			f.failed, j.oldest, j.last_trouble
		FROM jobs j FULL JOIN failures f USING (server, bucket)
	)
	SELECT l.server, l.bucket,
		coalesce(l.queued, 0) AS queued,
		coalesce(l.in_flight, 0) AS in_flight,
		coalesce(l.deferred, 0) AS deferred,
		(SELECT pg_catalog.string_agg(DISTINCT p.reason, '; ')
			FROM oss_labels.paused p
			WHERE (p.server IS NULL OR p.server = l.server)
				AND (p.bucket IS NULL OR p.bucket = l.bucket)) AS paused,
		coalesce(l.failed, 0) AS failed,
		l.oldest,
		l.last_trouble,
		s.images_per_second,
		CASE WHEN s.images_per_second > 0 THEN
			pg_catalog.make_interval(secs => (pg_catalog.sum(l.jobs)
				OVER (PARTITION BY l.server))::float8 / s.images_per_second)
		END AS eta
	FROM lines l
	LEFT JOIN oss_labels.flow_status() s ON s.server = l.server;

COMMENT ON VIEW oss_labels.queue IS 'The queue by server and bucket: queued (due now), in_flight (leased), deferred (due later), paused (why, null when not), failed (in failed_job), oldest (when the oldest was enqueued), last_trouble (why jobs were put off), images_per_second (of the server, over the last ten seconds), eta (until the server''s jobs are done at that rate). Roles see their own jobs, pg_monitor and the owner all';

CREATE VIEW oss_labels.worker AS
	SELECT * FROM oss_labels.worker_status();

COMMENT ON VIEW oss_labels.worker IS 'The launcher (database null) and one row per database: pid (null when not running), state, last error, since when. Without shared_preload_libraries one row that says so';

REVOKE ALL ON oss_labels.queue, oss_labels.worker FROM PUBLIC;
GRANT SELECT ON oss_labels.queue, oss_labels.worker TO pg_monitor;
GRANT EXECUTE ON FUNCTION oss_labels.worker_status(), oss_labels.flow_status() TO pg_monitor;
GRANT USAGE ON SCHEMA oss_labels TO pg_monitor;

CREATE FUNCTION oss_labels.announce()
	RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'oss_announce';

COMMENT ON FUNCTION oss_labels.announce() IS 'Tell the launcher at commit that this database has the extension and perhaps work. Internal';

SELECT oss_labels.announce();

REVOKE ALL ON ALL ROUTINES IN SCHEMA oss_labels FROM PUBLIC;

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
'The doctor: one row a check (server, options, mapping, credentials, dns, tcp, tls, clock; with a bucket signature and bucket; with a key also key and labels), with a hint where something is wrong. Spends nothing unless a key is given, then one labels request. Stops where the next check could not work. Shows no secret. Needs EXECUTE and USAGE on the server.';

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
