/* oss_labels--1.0.sql */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION oss_labels" to load this file. \quit

CREATE SCHEMA oss_labels;
COMMENT ON SCHEMA oss_labels IS
'AI labels for images stored in Alibaba Cloud OSS; nothing is granted to PUBLIC';

-- ---------------------------------------------------------------------
-- 1. Wrapper, servers, user mappings
-- ---------------------------------------------------------------------

CREATE FUNCTION oss_labels.validator(options text[], catalog oid)
RETURNS void
LANGUAGE c STRICT
AS 'MODULE_PATHNAME', 'oss_labels_validator';
REVOKE ALL ON FUNCTION oss_labels.validator(text[], oid) FROM PUBLIC;
COMMENT ON FUNCTION oss_labels.validator(text[], oid) IS
	'Internal: checks the options of servers, user mappings and foreign tables';

CREATE FUNCTION oss_labels.handler()
RETURNS fdw_handler
LANGUAGE c STRICT
AS 'MODULE_PATHNAME', 'oss_labels_handler';
REVOKE ALL ON FUNCTION oss_labels.handler() FROM PUBLIC;
COMMENT ON FUNCTION oss_labels.handler() IS 'Internal: lets a foreign table list a bucket';

CREATE FOREIGN DATA WRAPPER oss_labels
	HANDLER oss_labels.handler VALIDATOR oss_labels.validator;
COMMENT ON FOREIGN DATA WRAPPER oss_labels IS
	'Alibaba Cloud OSS: a server is an endpoint, a user mapping the credentials; USAGE on this is the right to choose endpoints';

/*
 * Domains of single buckets.  Not a table: the rows are an option of the server,
 * and so follow all that holds for its other options.
 */
CREATE VIEW oss_labels.bucket_domain WITH (security_invoker = true) AS
	SELECT s.srvname AS server, btrim(split_part(e.entry, '=', 1), E' \t\r\n') AS bucket,
		btrim(substr(e.entry, strpos(e.entry, '=') + 1), E' \t\r\n') AS host
	FROM pg_catalog.pg_foreign_server s
		JOIN pg_catalog.pg_foreign_data_wrapper w ON w.oid = s.srvfdw AND w.fdwname = 'oss_labels',
		LATERAL pg_catalog.pg_options_to_table(s.srvoptions) o,
		LATERAL pg_catalog.regexp_split_to_table(o.option_value, '\s*,\s*') e(entry)
	WHERE o.option_name = 'bucket_domains' AND btrim(e.entry, E' \t\r\n') <> '';
COMMENT ON VIEW oss_labels.bucket_domain IS
	'Domains of single buckets, which the server''s owner may insert, update and delete; the same as the option bucket_domains of the server';
COMMENT ON COLUMN oss_labels.bucket_domain.server IS 'name of the foreign server';
COMMENT ON COLUMN oss_labels.bucket_domain.bucket IS 'name of the bucket';
COMMENT ON COLUMN oss_labels.bucket_domain.host IS 'domain to which requests for the bucket go, with a port unless it is 443';
REVOKE ALL ON oss_labels.bucket_domain FROM PUBLIC;

CREATE FUNCTION oss_labels.bucket_domain_write()
RETURNS trigger
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'oss_labels_bucket_domain_write';
REVOKE ALL ON FUNCTION oss_labels.bucket_domain_write() FROM PUBLIC;
COMMENT ON FUNCTION oss_labels.bucket_domain_write() IS 'Internal: trigger that alters the server';
CREATE TRIGGER bucket_domain_write INSTEAD OF INSERT OR UPDATE OR DELETE ON oss_labels.bucket_domain
	FOR EACH ROW EXECUTE FUNCTION oss_labels.bucket_domain_write();
COMMENT ON TRIGGER bucket_domain_write ON oss_labels.bucket_domain IS 'alters the server';

-- ---------------------------------------------------------------------
-- 2. Calls that send one request
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
	'Labels of an image in OSS, one row per label, fetched with one paid request';

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
	'Like detect(), but returns an error of the image as a row with NULL labels and error_code set';

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
	'The complete response of the service for an image, fetched with one paid request';

CREATE FUNCTION oss_labels.object_info(
	bucket text,
	key text,
	version_id text DEFAULT NULL,
	server name DEFAULT NULL)
RETURNS TABLE (
	etag text,
	size bigint,
	last_modified timestamptz,
	content_type text,
	storage_class text,
	object_type text,
	current_version_id text,
	headers jsonb)
LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 1
AS 'MODULE_PATHNAME', 'oss_labels_object_info';
REVOKE ALL ON FUNCTION oss_labels.object_info(text, text, text, name) FROM PUBLIC;
COMMENT ON FUNCTION oss_labels.object_info(text, text, text, name) IS
	'Headers that the service returns for an object: ETag, size and others; one row, by one HEAD request, which has no price per label';

CREATE FUNCTION oss_labels.try_object_info(
	bucket text,
	key text,
	version_id text DEFAULT NULL,
	server name DEFAULT NULL)
RETURNS TABLE (
	etag text,
	size bigint,
	last_modified timestamptz,
	content_type text,
	storage_class text,
	object_type text,
	current_version_id text,
	headers jsonb,
	http_status integer,
	error_code text,
	error_message text,
	request_id text)
LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 1
AS 'MODULE_PATHNAME', 'oss_labels_try_object_info';
REVOKE ALL ON FUNCTION oss_labels.try_object_info(text, text, text, name) FROM PUBLIC;
COMMENT ON FUNCTION oss_labels.try_object_info(text, text, text, name) IS
	'Like object_info(), but an error that belongs to the object is one row with error_code set';

CREATE FUNCTION oss_labels.list_objects(
	bucket text,
	prefix text DEFAULT NULL,
	start_after text DEFAULT NULL,
	max_rows bigint DEFAULT 1000,
	server name DEFAULT NULL)
RETURNS TABLE (
	key text,
	size bigint,
	etag text,
	last_modified timestamptz,
	storage_class text,
	object_type text,
	restored boolean)
LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100000 ROWS 1000
AS 'MODULE_PATHNAME', 'oss_labels_list_objects';
REVOKE ALL ON FUNCTION oss_labels.list_objects(text, text, text, bigint, name) FROM PUBLIC;
COMMENT ON FUNCTION oss_labels.list_objects(text, text, text, bigint, name) IS
	'The first objects of a bucket in the byte order of their keys, one row each, by one listing request a thousand rows';

-- ---------------------------------------------------------------------
-- 3. The pipeline: many images in one query
-- ---------------------------------------------------------------------

CREATE FUNCTION oss_labels.detect_support(internal)
RETURNS internal
LANGUAGE c STRICT
AS 'MODULE_PATHNAME', 'oss_labels_detect_support';
REVOKE ALL ON FUNCTION oss_labels.detect_support(internal) FROM PUBLIC;
COMMENT ON FUNCTION oss_labels.detect_support(internal) IS
	'Internal: planner support for detect(), tag(), object_info() and their try_ forms: rows, costs, and the pipeline';

ALTER FUNCTION oss_labels.detect(text, text, double precision, text, name)
	SUPPORT oss_labels.detect_support;
ALTER FUNCTION oss_labels.try_detect(text, text, double precision, text, name)
	SUPPORT oss_labels.detect_support;
ALTER FUNCTION oss_labels.detect_json(text, text, double precision, text, name)
	SUPPORT oss_labels.detect_support;
ALTER FUNCTION oss_labels.object_info(text, text, text, name)
	SUPPORT oss_labels.detect_support;
ALTER FUNCTION oss_labels.try_object_info(text, text, text, name)
	SUPPORT oss_labels.detect_support;

-- ---------------------------------------------------------------------
-- 4. The store
-- ---------------------------------------------------------------------

/*
 * Bucket names are unique in all of OSS, so bucket, key and version_id name an
 * image whatever the server, and its id is a function of these three, the same
 * in each database.  No constraint compares texts.  Texts have the database's
 * collation, so that joins with tables of this collation and of "C" use indexes
 * on either side.  The first index is for joins with the former and for prefixes
 * in a bucket, the second for joins with the latter and for prefixes in all
 * buckets.
 */

CREATE FUNCTION oss_labels.image_id(bucket text, key text, version_id text DEFAULT NULL)
RETURNS bigint
LANGUAGE c IMMUTABLE PARALLEL SAFE COST 10
AS 'MODULE_PATHNAME', 'oss_labels_image_id';
REVOKE ALL ON FUNCTION oss_labels.image_id(text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION oss_labels.image_id(text, text, text) IS
	'The id of an image: the first 8 bytes of the SHA-256 of its names, each behind its length; null where no image has such a name. Free';

CREATE FUNCTION oss_labels.label_id(label_name text, parent_label_name text DEFAULT NULL,
	label_level integer DEFAULT NULL, language text DEFAULT NULL)
RETURNS bigint
LANGUAGE c IMMUTABLE PARALLEL SAFE COST 10
AS 'MODULE_PATHNAME', 'oss_labels_label_id';
REVOKE ALL ON FUNCTION oss_labels.label_id(text, text, integer, text) FROM PUBLIC;
COMMENT ON FUNCTION oss_labels.label_id(text, text, integer, text) IS
	'The number of a label in vocabulary: the first 8 bytes of a SHA-256, as image_id(). Free';

CREATE FUNCTION oss_labels.nfc(text)
RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'oss_labels_nfc';
REVOKE ALL ON FUNCTION oss_labels.nfc(text) FROM PUBLIC;
COMMENT ON FUNCTION oss_labels.nfc(text) IS
	'Internal: a name in normalization form C, as all names of labels are; the same where the encoding is not UTF8';

CREATE FUNCTION oss_labels.compress_answer(jsonb)
RETURNS jsonb
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'oss_labels_compress_answer';
REVOKE ALL ON FUNCTION oss_labels.compress_answer(jsonb) FROM PUBLIC;
COMMENT ON FUNCTION oss_labels.compress_answer(jsonb) IS
	'Internal: the same value, compressed: PostgreSQL does so by itself only where a row is longer than 2 kB';

CREATE TYPE oss_labels.role_name;

CREATE FUNCTION oss_labels.role_name_in(cstring)
RETURNS oss_labels.role_name
LANGUAGE c STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'oss_labels_role_name_in';
COMMENT ON FUNCTION oss_labels.role_name_in(cstring) IS 'Internal: input function of role_name';

CREATE FUNCTION oss_labels.role_name_out(oss_labels.role_name)
RETURNS cstring
LANGUAGE c STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'oss_labels_role_name_out';
COMMENT ON FUNCTION oss_labels.role_name_out(oss_labels.role_name) IS 'Internal: output function of role_name';

CREATE TYPE oss_labels.role_name
(
	INPUT = oss_labels.role_name_in,
	OUTPUT = oss_labels.role_name_out,
	ALIGNMENT = int4,
	STORAGE = extended
);
COMMENT ON TYPE oss_labels.role_name IS
	'Internal: a role, which follows renames, and is restored by name in another cluster';

/* For subscribers, which look up rows of tables without primary key by all columns. */
CREATE FUNCTION oss_labels.role_name_equal(oss_labels.role_name, oss_labels.role_name)
RETURNS boolean
LANGUAGE sql STABLE STRICT PARALLEL SAFE
RETURN $1::text = $2::text;
COMMENT ON FUNCTION oss_labels.role_name_equal(oss_labels.role_name, oss_labels.role_name) IS 'Internal: whether two values are of the same role';
CREATE FUNCTION oss_labels.role_name_hash(oss_labels.role_name)
RETURNS integer
LANGUAGE sql STABLE STRICT PARALLEL SAFE
RETURN pg_catalog.hashtext($1::text);
COMMENT ON FUNCTION oss_labels.role_name_hash(oss_labels.role_name) IS 'Internal: hash of a role''s name';
CREATE OPERATOR oss_labels.= (
	LEFTARG = oss_labels.role_name, RIGHTARG = oss_labels.role_name,
	FUNCTION = oss_labels.role_name_equal, COMMUTATOR = OPERATOR(oss_labels.=));
COMMENT ON OPERATOR oss_labels.= (oss_labels.role_name, oss_labels.role_name) IS 'the same role';
CREATE OPERATOR FAMILY oss_labels.role_name_ops USING hash;
COMMENT ON OPERATOR FAMILY oss_labels.role_name_ops USING hash IS 'Internal: equality of role_name';
CREATE OPERATOR CLASS oss_labels.role_name_ops DEFAULT FOR TYPE oss_labels.role_name
	USING hash FAMILY oss_labels.role_name_ops AS
	OPERATOR 1 oss_labels.=, FUNCTION 1 oss_labels.role_name_hash(oss_labels.role_name);
COMMENT ON OPERATOR CLASS oss_labels.role_name_ops USING hash IS 'Internal: equality of role_name';

/* Equal bytes are the same role: for unique indexes. */
CREATE CAST (oss_labels.role_name AS bytea) WITHOUT FUNCTION;
COMMENT ON CAST (oss_labels.role_name AS bytea) IS 'Internal: for unique indexes';

CREATE TABLE oss_labels.image
(
	image_id bigint PRIMARY KEY,
	tagged_at timestamptz NOT NULL,
	thr float8,
	label_count integer NOT NULL,
	bucket text NOT NULL,
	key text NOT NULL,
	version_id text,
	request_id text,
	source text NOT NULL DEFAULT 'oss',
	response jsonb NOT NULL,
	etag text,
	object_size bigint,
	last_modified timestamptz,
	CONSTRAINT image_id_is_of_name CHECK (image_id = oss_labels.image_id(bucket, key, version_id))
);
CREATE INDEX image_key_idx ON oss_labels.image (bucket, key text_pattern_ops);
CREATE INDEX image_key_c_idx ON oss_labels.image (key COLLATE "C", bucket COLLATE "C");
CREATE INDEX image_tagged_at_idx ON oss_labels.image (tagged_at);
CREATE INDEX image_version_idx ON oss_labels.image (image_id) WHERE version_id IS NOT NULL;

DO $$
BEGIN
	ALTER TABLE oss_labels.image ALTER response SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
	NULL;	-- a server built without it: pglz
END $$;

COMMENT ON TABLE oss_labels.image IS
	'One row per tagged image, with the service''s answer; bucket, key and version_id (null: the current version) name it';
COMMENT ON COLUMN oss_labels.image.image_id IS 'image_id(bucket, key, version_id), by which image_label and label_correction refer to the image';
COMMENT ON COLUMN oss_labels.image.tagged_at IS 'when the request for these labels was sent';
COMMENT ON COLUMN oss_labels.image.thr IS 'requested confidence threshold, 0 to 1; null: the service''s default; the labels also serve calls with a higher threshold';
COMMENT ON COLUMN oss_labels.image.label_count IS 'number of rows in image_label';
COMMENT ON COLUMN oss_labels.image.bucket IS 'name of the bucket, unique in all of OSS';
COMMENT ON COLUMN oss_labels.image.key IS 'key of the object';
COMMENT ON COLUMN oss_labels.image.version_id IS 'version that was asked for; null: the current one at that time';
COMMENT ON COLUMN oss_labels.image.request_id IS 'x-oss-request-id of the response, for the service''s support';
COMMENT ON COLUMN oss_labels.image.source IS 'where the labels are from; oss: the service answered a request of ours, or its answer was imported';
COMMENT ON COLUMN oss_labels.image.response IS 'the complete response of the service, including unknown fields';
COMMENT ON COLUMN oss_labels.image.etag IS 'ETag of the content that has these labels, in upper case without quotes: as the caller, the job or the answer named it; null: unknown';
COMMENT ON COLUMN oss_labels.image.object_size IS 'size of that content in bytes, as object_info() told before in the session; null: unknown';
COMMENT ON COLUMN oss_labels.image.last_modified IS 'when that content was written, as the answer or object_info() says; null: unknown';
COMMENT ON INDEX oss_labels.image_key_idx IS 'joins with keys of the database''s collation, and keys of a bucket that begin with a text';
COMMENT ON INDEX oss_labels.image_key_c_idx IS 'joins with keys of collation "C", and keys that begin with a text: key LIKE ''trip/%''';
COMMENT ON INDEX oss_labels.image_tagged_at_idx IS 'images tagged before a time';
COMMENT ON INDEX oss_labels.image_version_idx IS 'versions that were asked for by their id, which searches leave out';
COMMENT ON CONSTRAINT image_id_is_of_name ON oss_labels.image IS 'the id is that of the name';

/*
 * image_label has labels as numbers.  A number is a hash of the label's names, so
 * that each transaction finds it alone, and this table has its meaning.  The
 * transaction that first stores a label writes the row.  All sessions see it at
 * once, and a rollback does not remove it, since it stays true (store/vocabulary.c).
 * A row also has the name that the label is read as by aliases and rules, so that
 * reading compares numbers only.  Triggers on label_alias and label_rule update it.
 */
CREATE TABLE oss_labels.vocabulary
(
	label_id bigint PRIMARY KEY,
	min_confidence float8,
	label_level integer,
	shown boolean NOT NULL DEFAULT true,
	merged boolean NOT NULL DEFAULT false,
	is_new boolean NOT NULL DEFAULT true,
	label_name text,
	parent_label_name text,
	language text,
	effective_name text,
	effective_parent text,
	names bigint[] NOT NULL DEFAULT '{}',
	twins bigint[]
) WITH (autovacuum_analyze_threshold = 20, fillfactor = 70);
CREATE INDEX vocabulary_label_name_idx ON oss_labels.vocabulary (label_name);
CREATE INDEX vocabulary_effective_name_idx ON oss_labels.vocabulary (effective_name);
CREATE INDEX vocabulary_effective_parent_idx ON oss_labels.vocabulary (effective_parent);
CREATE INDEX vocabulary_merged_idx ON oss_labels.vocabulary (merged, label_id);

COMMENT ON TABLE oss_labels.vocabulary IS
	'Every label that was ever stored, and the label that it is read as by aliases and house rules';
COMMENT ON COLUMN oss_labels.vocabulary.label_id IS 'label_id(label_name, parent_label_name, label_level, language)';
COMMENT ON COLUMN oss_labels.vocabulary.min_confidence IS '0 to 1: a machine''s label below this does not count; null: below oss_labels.read_threshold';
COMMENT ON COLUMN oss_labels.vocabulary.label_level IS 'depth in the service''s hierarchy of labels, 1 is the top; null: a person named it';
COMMENT ON COLUMN oss_labels.vocabulary.shown IS 'it has a name, and no rule hides it';
COMMENT ON COLUMN oss_labels.vocabulary.merged IS 'others are read as the same label below the same parent: twins';
COMMENT ON COLUMN oss_labels.vocabulary.is_new IS 'twins are not determined yet. Internal';
COMMENT ON COLUMN oss_labels.vocabulary.label_name IS 'the label as the service or a person named it';
COMMENT ON COLUMN oss_labels.vocabulary.parent_label_name IS 'the label above it; null: none';
COMMENT ON COLUMN oss_labels.vocabulary.language IS 'language of the label''s name, such as en-us';
COMMENT ON COLUMN oss_labels.vocabulary.effective_name IS 'the label that it is read as, after aliases';
COMMENT ON COLUMN oss_labels.vocabulary.effective_parent IS 'the label above it, after aliases; null: none, or a hidden one';
COMMENT ON COLUMN oss_labels.vocabulary.names IS 'label_id() of effective_name and of its aliases, by each of which a correction may name the label';
COMMENT ON COLUMN oss_labels.vocabulary.twins IS 'all label_ids with the same effective_name and effective_parent, if there are others';
COMMENT ON INDEX oss_labels.vocabulary_label_name_idx IS 'is this label known';
COMMENT ON INDEX oss_labels.vocabulary_effective_name_idx IS 'labels that are read as one label';
COMMENT ON INDEX oss_labels.vocabulary_effective_parent_idx IS 'the labels below another';
COMMENT ON INDEX oss_labels.vocabulary_merged_idx IS 'the few that have twins';

/*
 * Narrow rows, written in bulk and never updated.  No foreign key: its check
 * per row would cost more than the row; the trigger below keeps the rows from
 * outliving their image.  Of a label that an answer has twice the most
 * confident row is here, so that it counts once.
 */
CREATE TABLE oss_labels.image_label
(
	image_id bigint NOT NULL,
	label_id bigint NOT NULL,
	label_confidence float8,
	centric_score float8
);

/* A publication FOR ALL TABLES must not keep rows from being deleted. */
ALTER TABLE oss_labels.image_label REPLICA IDENTITY FULL;

CREATE INDEX image_label_image_id_idx ON oss_labels.image_label (image_id);
-- no two entries are equal, so that looking for such on each full page is in vain
CREATE INDEX image_label_label_id_idx ON oss_labels.image_label
	(label_id, label_confidence DESC, image_id) WITH (deduplicate_items = off);

COMMENT ON TABLE oss_labels.image_label IS 'The labels of stored images, one row each; see the view label';
COMMENT ON COLUMN oss_labels.image_label.image_id IS 'image.image_id';
COMMENT ON COLUMN oss_labels.image_label.label_id IS 'vocabulary.label_id';
COMMENT ON COLUMN oss_labels.image_label.label_confidence IS 'confidence of the service, 0 to 1';
COMMENT ON COLUMN oss_labels.image_label.centric_score IS 'prominence of the label in the image, 0 to 1';
COMMENT ON INDEX oss_labels.image_label_image_id_idx IS 'the labels of an image';
COMMENT ON INDEX oss_labels.image_label_label_id_idx IS 'the images with a label, best first; holds all that search() and related_images() read of them';

CREATE FUNCTION oss_labels.drop_image_labels()
	RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'oss_labels_drop_image_labels';

COMMENT ON FUNCTION oss_labels.drop_image_labels() IS 'Internal: trigger function of image that deletes labels with their image';
REVOKE ALL ON FUNCTION oss_labels.drop_image_labels() FROM PUBLIC;

CREATE TRIGGER image_delete AFTER DELETE ON oss_labels.image
	REFERENCING OLD TABLE AS gone
	FOR EACH STATEMENT EXECUTE FUNCTION oss_labels.drop_image_labels();
CREATE TRIGGER image_truncate AFTER TRUNCATE ON oss_labels.image
	FOR EACH STATEMENT EXECUTE FUNCTION oss_labels.drop_image_labels();

COMMENT ON TRIGGER image_delete ON oss_labels.image IS 'deletes the labels of deleted images';
COMMENT ON TRIGGER image_truncate ON oss_labels.image IS 'truncates image_label with image';

CREATE FUNCTION oss_labels.read_threshold()
RETURNS double precision
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'oss_labels_read_threshold';
REVOKE ALL ON FUNCTION oss_labels.read_threshold() FROM PUBLIC;
COMMENT ON FUNCTION oss_labels.read_threshold() IS
	'The setting oss_labels.read_threshold: the least confidence of stored labels that are read, where no rule or argument says it; free';

/*
 * An outer join, which the planner leaves out where no column of vocabulary is
 * asked for.
 */
CREATE VIEW oss_labels.label WITH (security_invoker = true) AS
	SELECT i.bucket, i.key, i.version_id,
		v.label_name, v.parent_label_name, v.label_level,
		l.label_confidence, l.centric_score, v.language,
		i.tagged_at, i.image_id, i.source
	FROM oss_labels.image i
	JOIN oss_labels.image_label l ON l.image_id = i.image_id
	LEFT JOIN oss_labels.vocabulary v ON v.label_id = l.label_id
	WHERE i.version_id IS NULL
		AND (l.label_confidence >= oss_labels.read_threshold() OR l.label_confidence IS NULL);

COMMENT ON VIEW oss_labels.label IS 'Stored labels of current versions from oss_labels.read_threshold on, with bucket and key of their image; free';
COMMENT ON COLUMN oss_labels.label.bucket IS 'name of the bucket';
COMMENT ON COLUMN oss_labels.label.key IS 'key of the object';
COMMENT ON COLUMN oss_labels.label.version_id IS 'always null: labels of the current version';
COMMENT ON COLUMN oss_labels.label.label_name IS 'the label';
COMMENT ON COLUMN oss_labels.label.parent_label_name IS 'its parent; null: none';
COMMENT ON COLUMN oss_labels.label.label_level IS 'level in the service''s hierarchy of labels; 1: top level';
COMMENT ON COLUMN oss_labels.label.label_confidence IS 'confidence of the service, 0 to 1';
COMMENT ON COLUMN oss_labels.label.centric_score IS 'prominence of the label in the image, 0 to 1';
COMMENT ON COLUMN oss_labels.label.language IS 'language of the label''s name, such as en-us';
COMMENT ON COLUMN oss_labels.label.tagged_at IS 'when the request for these labels was sent';
COMMENT ON COLUMN oss_labels.label.image_id IS 'image.image_id';
COMMENT ON COLUMN oss_labels.label.source IS 'image.source: oss, or where the labels were imported from';

/* Answers that were requested before forget() must not be stored after it. */
CREATE TABLE oss_labels.forgotten (
	image_id bigint PRIMARY KEY,
	forgotten_at timestamptz NOT NULL,
	removed_at timestamptz
);
COMMENT ON TABLE oss_labels.forgotten IS
	'Notes of forget(): older answers that come later are not stored; the worker deletes notes after a week';
COMMENT ON COLUMN oss_labels.forgotten.image_id IS 'the forgotten image''s id';
COMMENT ON COLUMN oss_labels.forgotten.forgotten_at IS 'when forget() was called last, or removed_at';
COMMENT ON COLUMN oss_labels.forgotten.removed_at IS 'when the object was removed, as an event says: older events of contents are late; null: unknown';

REVOKE ALL ON oss_labels.image, oss_labels.image_label, oss_labels.vocabulary,
	oss_labels.label, oss_labels.forgotten FROM PUBLIC;

SELECT pg_catalog.pg_extension_config_dump('oss_labels.vocabulary', '');
SELECT pg_catalog.pg_extension_config_dump('oss_labels.image', '');
SELECT pg_catalog.pg_extension_config_dump('oss_labels.image_label', '');
SELECT pg_catalog.pg_extension_config_dump('oss_labels.forgotten', '');

-- ---------------------------------------------------------------------
-- 5. The queue
-- ---------------------------------------------------------------------

/*
 * A job is inserted once, leased by an update that touches no index (HOT, for
 * which fillfactor leaves room: one claim takes whole pages, so as much again as
 * the jobs have), and deleted once.  There is no unique
 * constraint: it would make two sessions that enqueue the same object wait for
 * each other.  Jobs for the same object are joined when they are claimed.
 *
 * A queue's dead rows are many times its live ones, so a share of the table
 * says nothing: autovacuum starts at a fixed number of dead rows, is not
 * throttled, and truncation (which needs an exclusive lock) is left out.
 */

/*
 * Requester, source table and server of a job: an OID, the name at that time, and
 * the database in which the OID is valid.  They are plain values, so that a dump
 * can be restored whatever objects are missing.
 */

CREATE FUNCTION oss_labels.origin()
	RETURNS bigint
	LANGUAGE c STABLE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'oss_labels_origin';

COMMENT ON FUNCTION oss_labels.origin() IS 'Internal: identifies cluster and database, in which the OIDs in a row of the queue are valid';

CREATE FUNCTION oss_labels.role_of(origin bigint, role oid, name text)
	RETURNS oid
	LANGUAGE c STABLE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'oss_labels_role_of';

COMMENT ON FUNCTION oss_labels.role_of(bigint, oid, text) IS
	'Internal: the requester of a row of the queue, by OID in the cluster where it was written, by name elsewhere';

CREATE FUNCTION oss_labels.table_of(origin bigint, source oid, name text)
	RETURNS oid
	LANGUAGE c STABLE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'oss_labels_table_of';

COMMENT ON FUNCTION oss_labels.table_of(bigint, oid, text) IS
	'Internal: the source table of a row of the queue, by OID in the database where it was written, by name elsewhere';

CREATE FUNCTION oss_labels.table_gone(origin bigint, source oid, name text)
	RETURNS boolean
	LANGUAGE c STABLE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'oss_labels_table_gone';

COMMENT ON FUNCTION oss_labels.table_gone(bigint, oid, text) IS 'Internal: whether the source table of a row of the queue was dropped; null if unknown';

CREATE FUNCTION oss_labels.server_of(origin bigint, server_id oid, name text)
	RETURNS text
	LANGUAGE c STABLE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'oss_labels_server_of';

COMMENT ON FUNCTION oss_labels.server_of(bigint, oid, text) IS 'Internal: the server of a row of the queue, by OID in the database where it was written, by name elsewhere';

CREATE FUNCTION oss_labels.lease_holder(lease bigint)
	RETURNS text
	LANGUAGE c VOLATILE STRICT
	AS 'MODULE_PATHNAME', 'oss_labels_lease_holder';

COMMENT ON FUNCTION oss_labels.lease_holder(bigint) IS 'Internal: state of the process that holds a lease: idle session, busy, or null if it has ended';

CREATE FUNCTION oss_labels.fingerprint(server text, requester oid)
	RETURNS text
	LANGUAGE c STABLE
	AS 'MODULE_PATHNAME', 'oss_labels_fingerprint';

COMMENT ON FUNCTION oss_labels.fingerprint(text, oid) IS
	'Internal: hash of the versions of a server and its user mappings; a change ends automatic pauses';

CREATE TABLE oss_labels.job
(
	job_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	enqueued_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	due timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	leased_until timestamptz,
	fresh_since timestamptz,
	lease bigint,
	thr float8,
	priority integer NOT NULL DEFAULT 0,
	attempts integer NOT NULL DEFAULT 0,
	throttles integer NOT NULL DEFAULT 0,
	requester oid NOT NULL,
	source oid,
	origin bigint NOT NULL DEFAULT oss_labels.origin(),
	requester_name text,
	source_name text,
	server text NOT NULL,
	server_id oid NOT NULL DEFAULT 0,
	bucket text NOT NULL,
	key text NOT NULL,
	version_id text,
	etag text,
	reason text,
	answer jsonb,
	asked_at timestamptz,
	asked_id text,
	once boolean NOT NULL DEFAULT false,
	object_size bigint,
	last_modified timestamptz,
	sync_id bigint
) WITH (fillfactor = 45,
	autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000,
	autovacuum_vacuum_insert_scale_factor = 0.2,
	autovacuum_analyze_scale_factor = 0.2, autovacuum_analyze_threshold = 20000,
	autovacuum_vacuum_cost_delay = 0, vacuum_truncate = off,
	toast.autovacuum_vacuum_cost_delay = 0);

CREATE INDEX job_claim_idx ON oss_labels.job
	(server, server_id, bucket, requester, origin, (~priority), due, job_id);
CREATE INDEX job_object_idx ON oss_labels.job (key, bucket);
CREATE INDEX job_sync_idx ON oss_labels.job (sync_id) WHERE sync_id IS NOT NULL;
CREATE UNIQUE INDEX job_event_idx ON oss_labels.job (sync_id, key, coalesce(etag, ''))
	WHERE sync_id IS NOT NULL AND fresh_since IS NOT NULL;

COMMENT ON TABLE oss_labels.job IS
	'One row per image to be tagged; deleted when its labels are stored, moved to failed_job on failure';
COMMENT ON COLUMN oss_labels.job.job_id IS 'number of the job, in the order of enqueueing';
COMMENT ON COLUMN oss_labels.job.enqueued_at IS 'when it was enqueued';
COMMENT ON COLUMN oss_labels.job.due IS 'earliest time of the next attempt';
COMMENT ON COLUMN oss_labels.job.fresh_since IS 'an answer that was asked for since then serves it, by max_age; null: any that is stored';
COMMENT ON COLUMN oss_labels.job.leased_until IS 'end of the lease of a worker; null: not leased';
COMMENT ON COLUMN oss_labels.job.lease IS 'identifies the process that holds the lease, by pid and start time';
COMMENT ON COLUMN oss_labels.job.thr IS 'labels from this confidence on are wanted, 0 to 1; null: from 0.7 on';
COMMENT ON COLUMN oss_labels.job.priority IS 'higher priorities come first';
COMMENT ON COLUMN oss_labels.job.attempts IS 'number of attempts, without throttled ones';
COMMENT ON COLUMN oss_labels.job.throttles IS 'number of throttled attempts in a row';
COMMENT ON COLUMN oss_labels.job.requester IS 'OID of the role that enqueued it, whose user mapping and rights are used';
COMMENT ON COLUMN oss_labels.job.source IS 'OID of the watched table it came from; null: enqueue()';
COMMENT ON COLUMN oss_labels.job.origin IS 'database in which it was enqueued and its OIDs are valid; elsewhere, as after a restore, the names count';
COMMENT ON COLUMN oss_labels.job.requester_name IS 'name of the role when it enqueued';
COMMENT ON COLUMN oss_labels.job.source_name IS 'qualified name of the table at that time; null: temporary or none';
COMMENT ON COLUMN oss_labels.job.server IS 'name of the foreign server, when enqueued or last renamed';
COMMENT ON COLUMN oss_labels.job.server_id IS 'OID of the server, which counts in the origin; 0: by name';
COMMENT ON COLUMN oss_labels.job.bucket IS 'name of the bucket';
COMMENT ON COLUMN oss_labels.job.key IS 'key of the object';
COMMENT ON COLUMN oss_labels.job.version_id IS 'version to ask for; null: the current one';
COMMENT ON COLUMN oss_labels.job.etag IS 'ETag of the content to ask for: labels stored for it serve the job; null: unknown';
COMMENT ON COLUMN oss_labels.job.reason IS 'error of the last attempt';
COMMENT ON COLUMN oss_labels.job.answer IS 'response that its process could not store; the next claim stores it without a request';
COMMENT ON COLUMN oss_labels.job.asked_at IS 'when that response was requested';
COMMENT ON COLUMN oss_labels.job.asked_id IS 'x-oss-request-id of that response';
COMMENT ON COLUMN oss_labels.job.once IS 'by retag(): one attempt, and exactly this threshold';
COMMENT ON COLUMN oss_labels.job.object_size IS 'size of that content, as a listing says; null: unknown';
COMMENT ON COLUMN oss_labels.job.last_modified IS 'when that content was written, the same';
COMMENT ON COLUMN oss_labels.job.sync_id IS 'the sync that enqueued it; null: none';
COMMENT ON SEQUENCE oss_labels.job_job_id_seq IS 'generates job_id';
COMMENT ON INDEX oss_labels.job_claim_idx IS 'order of claims within a server, bucket and requester';
COMMENT ON INDEX oss_labels.job_sync_idx IS 'jobs of a sync';
COMMENT ON INDEX oss_labels.job_event_idx IS 'a content that events name has one job, whoever brings them';
COMMENT ON INDEX oss_labels.job_object_idx IS 'jobs of an object, for deleted rows';

CREATE TABLE oss_labels.failed_job
(
	job_id bigint PRIMARY KEY,
	enqueued_at timestamptz NOT NULL,
	failed_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	fresh_since timestamptz,
	thr float8,
	priority integer NOT NULL,
	attempts integer NOT NULL,
	http_status integer,
	requester oid NOT NULL,
	source oid,
	origin bigint NOT NULL DEFAULT oss_labels.origin(),
	requester_name text,
	source_name text,
	server text NOT NULL,
	server_id oid NOT NULL DEFAULT 0,
	bucket text NOT NULL,
	key text NOT NULL,
	version_id text,
	etag text,
	"sqlstate" text NOT NULL,
	code text,
	message text NOT NULL,
	detail text,
	hint text,
	request_id text,
	permanent boolean NOT NULL DEFAULT false,
	seen text,
	sync_id bigint
);

CREATE INDEX failed_job_failed_at_idx ON oss_labels.failed_job (failed_at);
CREATE INDEX failed_job_object_idx ON oss_labels.failed_job (key, bucket);

COMMENT ON TABLE oss_labels.failed_job IS
	'One row per image whose jobs of a role and server failed, with the error of the last attempt; retry_failed() enqueues them again';
COMMENT ON COLUMN oss_labels.failed_job.job_id IS 'as it was in job, of the last one';
COMMENT ON COLUMN oss_labels.failed_job.fresh_since IS 'as it was in job';
COMMENT ON COLUMN oss_labels.failed_job.enqueued_at IS 'as it was in job';
COMMENT ON COLUMN oss_labels.failed_job.failed_at IS 'when it was given up';
COMMENT ON COLUMN oss_labels.failed_job.thr IS 'as it was in job';
COMMENT ON COLUMN oss_labels.failed_job.priority IS 'as it was in job';
COMMENT ON COLUMN oss_labels.failed_job.attempts IS 'number of attempts, those of earlier jobs that failed included';
COMMENT ON COLUMN oss_labels.failed_job.permanent IS 'the same request fails again: enqueue() does not cause it, unless max_age excludes this failure or the server or its mapping has changed';
COMMENT ON COLUMN oss_labels.failed_job.seen IS 'fingerprint of server and user mapping at that time';
COMMENT ON COLUMN oss_labels.failed_job.sync_id IS 'as it was in job';
COMMENT ON COLUMN oss_labels.failed_job.http_status IS 'HTTP status of the last response; null: none';
COMMENT ON COLUMN oss_labels.failed_job.requester IS 'as it was in job';
COMMENT ON COLUMN oss_labels.failed_job.source IS 'as it was in job';
COMMENT ON COLUMN oss_labels.failed_job.origin IS 'as it was in job';
COMMENT ON COLUMN oss_labels.failed_job.requester_name IS 'as it was in job';
COMMENT ON COLUMN oss_labels.failed_job.source_name IS 'as it was in job';
COMMENT ON COLUMN oss_labels.failed_job.server IS 'as it was in job';
COMMENT ON COLUMN oss_labels.failed_job.server_id IS 'as it was in job';
COMMENT ON COLUMN oss_labels.failed_job.bucket IS 'as it was in job';
COMMENT ON COLUMN oss_labels.failed_job.key IS 'as it was in job';
COMMENT ON COLUMN oss_labels.failed_job.version_id IS 'as it was in job';
COMMENT ON COLUMN oss_labels.failed_job.etag IS 'as it was in job';
COMMENT ON COLUMN oss_labels.failed_job."sqlstate" IS 'SQLSTATE, as detect() raises it';
COMMENT ON COLUMN oss_labels.failed_job.code IS 'error code of the service, or one of the extension such as AnswerTimeout or ProcessDied';
COMMENT ON COLUMN oss_labels.failed_job.message IS 'message, as of detect()';
COMMENT ON COLUMN oss_labels.failed_job.detail IS 'details of the service; null: none';
COMMENT ON COLUMN oss_labels.failed_job.hint IS 'next step; null: none';
COMMENT ON COLUMN oss_labels.failed_job.request_id IS 'x-oss-request-id of the last response, for the service''s support';
COMMENT ON INDEX oss_labels.failed_job_failed_at_idx IS 'for failed_job_retention';
COMMENT ON INDEX oss_labels.failed_job_object_idx IS 'the failures of an object, for its next job';

/*
 * A copy of the database has the function as it was made in another one; a
 * restored dump makes its own, and pg_upgrade keeps the database's OID.
 */
DO $$
BEGIN
	EXECUTE pg_catalog.format('CREATE FUNCTION oss_labels.own_database() RETURNS oid'
		' LANGUAGE sql STABLE PARALLEL SAFE RETURN %s::pg_catalog.oid',
		(SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()));
END $$;

COMMENT ON FUNCTION oss_labels.own_database() IS 'Internal: OID of the database in which the extension was created; in a copy of it, jobs wait for resume()';

/* pg_dump writes tables by their names: a pause is restored before any job that it keeps. */
CREATE TABLE oss_labels.active_pause
(
	server text,
	server_id oid NOT NULL DEFAULT 0,
	requester oid,
	requester_name text,
	origin bigint NOT NULL DEFAULT oss_labels.origin(),
	bucket text,
	automatic boolean NOT NULL,
	since timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	"sqlstate" text,
	reason text NOT NULL,
	seen text,
	lasts interval,
	directory text,
	storing boolean NOT NULL DEFAULT false,
	budget_id bigint,
	UNIQUE NULLS NOT DISTINCT (server, requester, bucket, directory, automatic, origin)
);

/* As image_label, for a publication FOR ALL TABLES. */
ALTER TABLE oss_labels.active_pause REPLICA IDENTITY FULL;

COMMENT ON TABLE oss_labels.active_pause IS 'Pauses, by pause() or by the worker because of an error in the set-up; resume() ends them';
COMMENT ON COLUMN oss_labels.active_pause.server IS 'name of the foreign server; null: the whole database';
COMMENT ON COLUMN oss_labels.active_pause.server_id IS 'as in job';
COMMENT ON COLUMN oss_labels.active_pause.requester IS 'OID of the role whose jobs are paused; null: all';
COMMENT ON COLUMN oss_labels.active_pause.requester_name IS 'name of the role at that time';
COMMENT ON COLUMN oss_labels.active_pause.origin IS 'as in job';
COMMENT ON COLUMN oss_labels.active_pause.bucket IS 'only this bucket; null: all';
COMMENT ON COLUMN oss_labels.active_pause.directory IS 'only keys with this prefix; a single slash: only keys without a slash; null: all';
COMMENT ON COLUMN oss_labels.active_pause.automatic IS 'true: by the worker; ends when the server or its user mapping is altered';
COMMENT ON COLUMN oss_labels.active_pause.since IS 'when it began';
COMMENT ON COLUMN oss_labels.active_pause.lasts IS 'maximal duration of an automatic pause';
COMMENT ON COLUMN oss_labels.active_pause."sqlstate" IS 'SQLSTATE of the error of an automatic pause';
COMMENT ON COLUMN oss_labels.active_pause.reason IS 'reason, as shown by the view queue';
COMMENT ON COLUMN oss_labels.active_pause.storing IS 'answers could not be stored; it ends when one can: tried every two minutes, without a request';
COMMENT ON COLUMN oss_labels.active_pause.budget_id IS 'the budget that is used up; it ends when the budget is raised or its period ends';
COMMENT ON COLUMN oss_labels.active_pause.seen IS 'fingerprint of server and user mapping at that time';

/*
 * The tables have no row security, which would keep pg_dump from reading them
 * for anybody but superusers: they are for the extension's owner and pg_monitor.
 * Other roles see their own rows in the views own_job, own_failed_job, own_pause
 * and queue.  PostgreSQL checks EXECUTE on the functions of a view for the caller,
 * so these views find the requester of a row as role_of() does, but with functions
 * of pg_catalog.
 */
REVOKE ALL ON oss_labels.job, oss_labels.failed_job, oss_labels.active_pause FROM PUBLIC;
GRANT SELECT ON oss_labels.job, oss_labels.failed_job, oss_labels.active_pause TO pg_monitor;

CREATE VIEW oss_labels.viewer AS
	SELECT pg_catalog.hashint8extended(c.system_identifier, 0) & -4294967296 AS cluster,
		pg_catalog.hashint8extended(c.system_identifier, 0) & -4294967296
			| (SELECT d.oid::bigint FROM pg_catalog.pg_database d
			WHERE d.datname = pg_catalog.current_database()) AS origin,
		pg_catalog.pg_has_role('pg_monitor', 'USAGE') OR pg_catalog.pg_has_role(
			(SELECT r.relowner FROM pg_catalog.pg_class r
			WHERE r.oid = 'oss_labels.job'::pg_catalog.regclass), 'USAGE') AS sees_all
	FROM pg_catalog.pg_control_system() c
	OFFSET 0;

COMMENT ON VIEW oss_labels.viewer IS 'Internal: facts about the caller for the views own_...';
COMMENT ON COLUMN oss_labels.viewer.cluster IS 'upper half of the origins in this cluster';
COMMENT ON COLUMN oss_labels.viewer.origin IS 'origin of this database';
COMMENT ON COLUMN oss_labels.viewer.sees_all IS 'the caller has pg_monitor or the rights of the extension''s owner';

CREATE VIEW oss_labels.own_job WITH (security_barrier = true) AS
	SELECT j.job_id, j.enqueued_at, j.due, j.leased_until, j.thr, j.priority, j.attempts,
		CASE WHEN j.origin & -4294967296 = v.cluster
			THEN pg_catalog.pg_get_userbyid(j.requester)::text
			ELSE j.requester_name END AS requester,
		j.source_name AS source, coalesce(s.srvname::text, j.server) AS server,
		j.bucket, j.key, j.version_id, j.reason
	FROM oss_labels.job j CROSS JOIN oss_labels.viewer v
	LEFT JOIN pg_catalog.pg_foreign_server s ON s.oid = j.server_id AND j.origin = v.origin
	WHERE v.sees_all OR pg_catalog.pg_has_role(
		CASE WHEN j.origin & -4294967296 = v.cluster THEN j.requester
			ELSE pg_catalog.to_regrole(pg_catalog.quote_ident(j.requester_name)) END, 'USAGE');

COMMENT ON VIEW oss_labels.own_job IS 'Jobs of the caller''s roles; for pg_monitor and the extension''s owner all jobs';

CREATE VIEW oss_labels.own_failed_job WITH (security_barrier = true) AS
	SELECT f.job_id, f.enqueued_at, f.failed_at, f.thr, f.priority, f.attempts, f.http_status,
		CASE WHEN f.origin & -4294967296 = v.cluster
			THEN pg_catalog.pg_get_userbyid(f.requester)::text
			ELSE f.requester_name END AS requester,
		f.source_name AS source, coalesce(s.srvname::text, f.server) AS server,
		f.bucket, f.key, f.version_id,
		f."sqlstate", f.code, f.message, f.detail, f.hint, f.request_id, f.permanent
	FROM oss_labels.failed_job f CROSS JOIN oss_labels.viewer v
	LEFT JOIN pg_catalog.pg_foreign_server s ON s.oid = f.server_id AND f.origin = v.origin
	WHERE v.sees_all OR pg_catalog.pg_has_role(
		CASE WHEN f.origin & -4294967296 = v.cluster THEN f.requester
			ELSE pg_catalog.to_regrole(pg_catalog.quote_ident(f.requester_name)) END, 'USAGE');

COMMENT ON VIEW oss_labels.own_failed_job IS 'Failed jobs of the caller''s roles; for pg_monitor and the extension''s owner all';

CREATE VIEW oss_labels.own_pause WITH (security_barrier = true) AS
	SELECT coalesce(s.srvname::text, h.server) AS server,
		CASE WHEN h.origin & -4294967296 = v.cluster
			THEN pg_catalog.pg_get_userbyid(h.requester)::text
			ELSE h.requester_name END AS requester,
		h.bucket, h.automatic, h.since, h."sqlstate", h.reason, h.directory, h.budget_id,
		CASE WHEN h.automatic THEN h.since + h.lasts END AS until
	FROM oss_labels.active_pause h CROSS JOIN oss_labels.viewer v
	LEFT JOIN pg_catalog.pg_foreign_server s ON s.oid = h.server_id AND h.origin = v.origin
	WHERE v.sees_all OR CASE WHEN h.requester IS NOT NULL THEN pg_catalog.pg_has_role(
			CASE WHEN h.origin & -4294967296 = v.cluster THEN h.requester
				ELSE pg_catalog.to_regrole(pg_catalog.quote_ident(h.requester_name)) END, 'USAGE')
		ELSE h.server IS NULL
			OR EXISTS (SELECT FROM oss_labels.own_job j WHERE j.server = coalesce(s.srvname::text, h.server)
				AND (h.bucket IS NULL OR j.bucket = h.bucket))
			OR EXISTS (SELECT FROM oss_labels.own_failed_job f WHERE f.server = coalesce(s.srvname::text, h.server)
				AND (h.bucket IS NULL OR f.bucket = h.bucket)) END;

COMMENT ON VIEW oss_labels.own_pause IS 'Pauses that concern the caller''s jobs; for pg_monitor and the extension''s owner all';
COMMENT ON COLUMN oss_labels.own_job.job_id IS 'as in job';
COMMENT ON COLUMN oss_labels.own_job.enqueued_at IS 'as in job';
COMMENT ON COLUMN oss_labels.own_job.due IS 'as in job';
COMMENT ON COLUMN oss_labels.own_job.leased_until IS 'as in job';
COMMENT ON COLUMN oss_labels.own_job.thr IS 'as in job';
COMMENT ON COLUMN oss_labels.own_job.priority IS 'as in job';
COMMENT ON COLUMN oss_labels.own_job.attempts IS 'as in job';
COMMENT ON COLUMN oss_labels.own_job.requester IS 'name of the role that enqueued it';
COMMENT ON COLUMN oss_labels.own_job.source IS 'name at that time of the watched table it came from; null: temporary or none';
COMMENT ON COLUMN oss_labels.own_job.server IS 'present name of the foreign server';
COMMENT ON COLUMN oss_labels.own_job.bucket IS 'as in job';
COMMENT ON COLUMN oss_labels.own_job.key IS 'as in job';
COMMENT ON COLUMN oss_labels.own_job.version_id IS 'as in job';
COMMENT ON COLUMN oss_labels.own_job.reason IS 'as in job';
COMMENT ON COLUMN oss_labels.own_failed_job.job_id IS 'as in failed_job';
COMMENT ON COLUMN oss_labels.own_failed_job.enqueued_at IS 'as in failed_job';
COMMENT ON COLUMN oss_labels.own_failed_job.failed_at IS 'as in failed_job';
COMMENT ON COLUMN oss_labels.own_failed_job.thr IS 'as in failed_job';
COMMENT ON COLUMN oss_labels.own_failed_job.priority IS 'as in failed_job';
COMMENT ON COLUMN oss_labels.own_failed_job.attempts IS 'as in failed_job';
COMMENT ON COLUMN oss_labels.own_failed_job.http_status IS 'as in failed_job';
COMMENT ON COLUMN oss_labels.own_failed_job.requester IS 'name of the role that enqueued it';
COMMENT ON COLUMN oss_labels.own_failed_job.source IS 'name at that time of the watched table it came from; null: temporary or none';
COMMENT ON COLUMN oss_labels.own_failed_job.server IS 'present name of the foreign server';
COMMENT ON COLUMN oss_labels.own_failed_job.bucket IS 'as in failed_job';
COMMENT ON COLUMN oss_labels.own_failed_job.key IS 'as in failed_job';
COMMENT ON COLUMN oss_labels.own_failed_job.version_id IS 'as in failed_job';
COMMENT ON COLUMN oss_labels.own_failed_job."sqlstate" IS 'as in failed_job';
COMMENT ON COLUMN oss_labels.own_failed_job.code IS 'as in failed_job';
COMMENT ON COLUMN oss_labels.own_failed_job.message IS 'as in failed_job';
COMMENT ON COLUMN oss_labels.own_failed_job.detail IS 'as in failed_job';
COMMENT ON COLUMN oss_labels.own_failed_job.hint IS 'as in failed_job';
COMMENT ON COLUMN oss_labels.own_failed_job.request_id IS 'as in failed_job';
COMMENT ON COLUMN oss_labels.own_failed_job.permanent IS 'as in failed_job';
COMMENT ON COLUMN oss_labels.own_pause.server IS 'present name of the foreign server; null: the whole database';
COMMENT ON COLUMN oss_labels.own_pause.requester IS 'name of the role whose jobs are paused; null: all';
COMMENT ON COLUMN oss_labels.own_pause.bucket IS 'as in active_pause';
COMMENT ON COLUMN oss_labels.own_pause.automatic IS 'as in active_pause';
COMMENT ON COLUMN oss_labels.own_pause.since IS 'as in active_pause';
COMMENT ON COLUMN oss_labels.own_pause."sqlstate" IS 'as in active_pause';
COMMENT ON COLUMN oss_labels.own_pause.reason IS 'as in active_pause';
COMMENT ON COLUMN oss_labels.own_pause.directory IS 'as in active_pause';
COMMENT ON COLUMN oss_labels.own_pause.budget_id IS 'as in active_pause';
COMMENT ON COLUMN oss_labels.own_pause.until IS 'when an automatic pause ends at the latest; null: with resume()';

REVOKE ALL ON oss_labels.viewer, oss_labels.own_job, oss_labels.own_failed_job,
	oss_labels.own_pause FROM PUBLIC;
GRANT SELECT ON oss_labels.own_job, oss_labels.own_failed_job, oss_labels.own_pause TO pg_monitor;

SELECT pg_catalog.pg_extension_config_dump('oss_labels.job', '');
SELECT pg_catalog.pg_extension_config_dump('oss_labels.job_job_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('oss_labels.failed_job', '');
SELECT pg_catalog.pg_extension_config_dump('oss_labels.active_pause', '');

CREATE FUNCTION oss_labels.may_prioritize()
	RETURNS boolean
	LANGUAGE sql STABLE PARALLEL SAFE
	RETURN true;

COMMENT ON FUNCTION oss_labels.may_prioritize() IS 'EXECUTE on this is the right to use priorities above 0; see grant_priority()';

CREATE FUNCTION oss_labels.enqueue(bucket text, key text,
		thr float8 DEFAULT NULL, version_id text DEFAULT NULL,
		server name DEFAULT NULL, priority integer DEFAULT 0,
		max_age interval DEFAULT NULL, etag text DEFAULT NULL)
	RETURNS bigint
	LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100
	AS 'MODULE_PATHNAME', 'oss_labels_enqueue';

COMMENT ON FUNCTION oss_labels.enqueue(text, text, float8, text, name, integer, interval, text) IS
	'Enqueue an image for tagging, in the caller''s transaction; returns job.job_id. A stored answer that is not older than max_age serves it';

CREATE FUNCTION oss_labels.enqueue_once(bucket text, key text, thr float8,
		version_id text, server name, priority integer, max_age interval, etag text DEFAULT NULL)
	RETURNS bigint
	LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100
	AS 'MODULE_PATHNAME', 'oss_labels_enqueue_once';

COMMENT ON FUNCTION oss_labels.enqueue_once(text, text, float8, text, name, integer, interval, text) IS
	'Internal: like enqueue(), for retag(): one attempt, and exactly this threshold';

CREATE FUNCTION oss_labels.enqueue_trigger()
	RETURNS trigger
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'oss_labels_enqueue_trigger';

COMMENT ON FUNCTION oss_labels.enqueue_trigger() IS
	'Trigger function that enqueues the images of inserted and updated rows and cancels those of deleted ones';

/*
 * The columns of a watched table: names in text and in dumps, OID and column
 * numbers in the database.
 */

CREATE TYPE oss_labels.watched_columns;

CREATE FUNCTION oss_labels.watched_columns_in(cstring)
	RETURNS oss_labels.watched_columns
	LANGUAGE c STABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'oss_labels_watched_columns_in';

COMMENT ON FUNCTION oss_labels.watched_columns_in(cstring) IS 'Internal: input of watched_columns';

CREATE FUNCTION oss_labels.watched_columns_out(oss_labels.watched_columns)
	RETURNS cstring
	LANGUAGE c STABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'oss_labels_watched_columns_out';

COMMENT ON FUNCTION oss_labels.watched_columns_out(oss_labels.watched_columns) IS 'Internal: output of watched_columns';

CREATE TYPE oss_labels.watched_columns
(
	INPUT = oss_labels.watched_columns_in,
	OUTPUT = oss_labels.watched_columns_out,
	ALIGNMENT = int4,
	STORAGE = extended
);

COMMENT ON TYPE oss_labels.watched_columns IS
	'Internal: a table and its columns, shown by their present names';

/* As for role_name. */
CREATE FUNCTION oss_labels.watched_columns_equal(oss_labels.watched_columns, oss_labels.watched_columns)
	RETURNS boolean
	LANGUAGE sql STABLE STRICT PARALLEL SAFE
	RETURN $1::text = $2::text;
COMMENT ON FUNCTION oss_labels.watched_columns_equal(oss_labels.watched_columns, oss_labels.watched_columns) IS 'Internal: whether two values have the same names';
CREATE FUNCTION oss_labels.watched_columns_hash(oss_labels.watched_columns)
	RETURNS integer
	LANGUAGE sql STABLE STRICT PARALLEL SAFE
	RETURN pg_catalog.hashtext($1::text);
COMMENT ON FUNCTION oss_labels.watched_columns_hash(oss_labels.watched_columns) IS 'Internal: hash of the names of a table and its columns';
CREATE OPERATOR oss_labels.= (
	LEFTARG = oss_labels.watched_columns, RIGHTARG = oss_labels.watched_columns,
	FUNCTION = oss_labels.watched_columns_equal, COMMUTATOR = OPERATOR(oss_labels.=));
COMMENT ON OPERATOR oss_labels.= (oss_labels.watched_columns, oss_labels.watched_columns) IS 'the same names';
CREATE OPERATOR FAMILY oss_labels.watched_columns_ops USING hash;
COMMENT ON OPERATOR FAMILY oss_labels.watched_columns_ops USING hash IS 'Internal: equality of watched_columns';
CREATE OPERATOR CLASS oss_labels.watched_columns_ops DEFAULT FOR TYPE oss_labels.watched_columns
	USING hash FAMILY oss_labels.watched_columns_ops AS
	OPERATOR 1 oss_labels.=, FUNCTION 1 oss_labels.watched_columns_hash(oss_labels.watched_columns);
COMMENT ON OPERATOR CLASS oss_labels.watched_columns_ops USING hash IS 'Internal: equality of watched_columns';

CREATE FUNCTION oss_labels.watched_table(columns oss_labels.watched_columns)
	RETURNS regclass
	LANGUAGE c STABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'oss_labels_watched_table';

COMMENT ON FUNCTION oss_labels.watched_table(oss_labels.watched_columns) IS 'Internal: the table of watched.columns; null if it was dropped';

CREATE TABLE oss_labels.watched
(
	watch text NOT NULL,
	columns oss_labels.watched_columns NOT NULL,
	names text[] NOT NULL,
	server text NOT NULL,
	server_id oid NOT NULL DEFAULT 0,
	origin bigint NOT NULL DEFAULT oss_labels.origin()
);

/* As image_label, for a publication FOR ALL TABLES. */
ALTER TABLE oss_labels.watched REPLICA IDENTITY FULL;

COMMENT ON TABLE oss_labels.watched IS 'Watched tables and their columns, tracked across renames; the rest is in the arguments of their triggers';
COMMENT ON COLUMN oss_labels.watched.watch IS 'key of the watch, an argument of its triggers';
COMMENT ON COLUMN oss_labels.watched.columns IS 'the table and its columns, by their present names';
COMMENT ON COLUMN oss_labels.watched.names IS 'names of the table and its columns at the time of watch(), which the condition uses';
COMMENT ON COLUMN oss_labels.watched.server IS 'name of the foreign server, when watched or last renamed';
COMMENT ON COLUMN oss_labels.watched.server_id IS 'as in job';
COMMENT ON COLUMN oss_labels.watched.origin IS 'as in job';

REVOKE ALL ON oss_labels.watched FROM PUBLIC;
GRANT SELECT ON oss_labels.watched TO pg_monitor;

SELECT pg_catalog.pg_extension_config_dump('oss_labels.watched', '');

CREATE TABLE oss_labels.deleted_row
(
	job_id bigint PRIMARY KEY,
	enqueued_at timestamptz NOT NULL,
	bucket text NOT NULL,
	key text NOT NULL,
	origin bigint NOT NULL DEFAULT oss_labels.origin()
);

COMMENT ON TABLE oss_labels.deleted_row IS 'Images of rows that were deleted from tables watched with forget_deleted; the worker forgets them';
COMMENT ON COLUMN oss_labels.deleted_row.job_id IS 'a number of the sequence of jobs';
COMMENT ON COLUMN oss_labels.deleted_row.enqueued_at IS 'when the row was deleted';
COMMENT ON COLUMN oss_labels.deleted_row.bucket IS 'name of the bucket';
COMMENT ON COLUMN oss_labels.deleted_row.key IS 'key of the object';
COMMENT ON COLUMN oss_labels.deleted_row.origin IS 'as in job; a restored row waits for the triggers of the watched tables';

REVOKE ALL ON oss_labels.deleted_row FROM PUBLIC;
GRANT SELECT ON oss_labels.deleted_row TO pg_monitor;

SELECT pg_catalog.pg_extension_config_dump('oss_labels.deleted_row', '');

CREATE FUNCTION oss_labels.check_watch(relation regclass, key_column name,
		bucket_column name, bucket text, thr float8, INOUT server name,
		condition text, etag_column name, forget_deleted boolean, OUT watch text)
	RETURNS record
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'oss_labels_check_watch';

COMMENT ON FUNCTION oss_labels.check_watch(regclass, name, name, text, float8, name, text, name, boolean) IS
	'Internal: checks the arguments of watch() and inserts into watched; callers of watch() need EXECUTE';

CREATE FUNCTION oss_labels.forget_watch(relation regclass)
	RETURNS void
	LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'oss_labels_forget_watch';

COMMENT ON FUNCTION oss_labels.forget_watch(regclass) IS 'Internal: deletes a table from watched; callers of watch() and unwatch() need EXECUTE';

CREATE FUNCTION oss_labels.watch(relation regclass, key_column name,
		bucket_column name DEFAULT NULL, bucket text DEFAULT NULL,
		thr float8 DEFAULT NULL, server name DEFAULT NULL,
		priority integer DEFAULT 0, condition text DEFAULT NULL,
		max_age interval DEFAULT NULL, etag_column name DEFAULT NULL,
		forget_deleted boolean DEFAULT false)
	RETURNS void
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
#variable_conflict use_variable
DECLARE
	checked record;
	arguments text;
BEGIN
	IF (bucket_column IS NULL) = (bucket IS NULL) THEN
		RAISE EXCEPTION 'either bucket_column or bucket must be given'
			USING ERRCODE = '22023',
			HINT = 'Give bucket_column if each row has its bucket, or bucket if all rows have the same.';
	END IF;
	IF bucket_column = key_column THEN
		RAISE EXCEPTION 'bucket_column and key_column must be different columns'
			USING ERRCODE = '22023',
			HINT = 'Give the column with the images'' keys as key_column.';
	END IF;
	IF max_age < '0'::interval THEN
		RAISE EXCEPTION 'max_age must not be negative' USING ERRCODE = '22023',
			HINT = 'Give the greatest age of a stored answer, or NULL for any age.';
	END IF;
	BEGIN
		PERFORM clock_timestamp() - max_age;
	EXCEPTION WHEN datetime_field_overflow THEN
		RAISE EXCEPTION '%', SQLERRM USING ERRCODE = '22008',
			HINT = 'Give a shorter max_age, or NULL for any age.';
	END;
	PERFORM oss_labels.unwatch(relation);
	checked := oss_labels.check_watch(relation, key_column, bucket_column,
									  bucket, thr, server, condition, etag_column,
									  forget_deleted);

	IF priority > 0 AND NOT has_function_privilege('oss_labels.may_prioritize()', 'EXECUTE') THEN
		RAISE EXCEPTION 'permission denied for priority %', priority
			USING ERRCODE = '42501',
			HINT = 'The extension''s owner grants priorities above 0: CALL oss_labels.grant_priority(''role'').';
	END IF;

	/* packed into one, which costs each statement on the table less */
	arguments := quote_literal(ARRAY['key_column', key_column]::text[]
		|| CASE WHEN bucket IS NULL THEN ARRAY['bucket_column', bucket_column]
			ELSE ARRAY['bucket', bucket] END
		|| CASE WHEN thr IS NOT NULL THEN ARRAY['thr', thr::text] END
		|| ARRAY['server', checked.server, 'watch', checked.watch]::text[]
		|| CASE WHEN priority <> 0 THEN ARRAY['priority', priority::text] END
		|| CASE WHEN condition IS NOT NULL THEN ARRAY['condition', condition] END
		|| CASE WHEN max_age IS NOT NULL THEN ARRAY['max_age', max_age::text] END
		|| CASE WHEN etag_column IS NOT NULL THEN ARRAY['etag_column', etag_column]::text[] END
		|| CASE WHEN forget_deleted THEN ARRAY['forget_deleted', 'true'] END);

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
	 * A logical replication worker fires the one for TRUNCATE, too.  The next one
	 * fires only there, where no other statement triggers do.  Partitions get a
	 * clone of it, whose name must not be one of theirs.
	 */
	EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER oss_labels_truncate', relation);
	EXECUTE format('CREATE TRIGGER oss_labels_replica_%s '
		'AFTER INSERT OR UPDATE OR DELETE ON %s '
		'FOR EACH ROW EXECUTE FUNCTION oss_labels.enqueue_trigger(%s)',
		checked.watch, relation, arguments);
	EXECUTE format('ALTER TABLE %s ENABLE REPLICA TRIGGER oss_labels_replica_%s',
		relation, checked.watch);
END $$;

COMMENT ON FUNCTION oss_labels.watch(regclass, name, name, text, float8, name, integer, text, interval, name, boolean) IS
	'Tag the images of a table''s rows, by triggers that enqueue inserted and changed rows and cancel deleted ones';

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
			AND (t.tgname IN ('oss_labels_insert', 'oss_labels_update', 'oss_labels_delete',
					'oss_labels_truncate')
				OR starts_with(t.tgname::text, 'oss_labels_replica'))
	LOOP
		EXECUTE format('DROP TRIGGER %I ON %s', name, relation);
	END LOOP;
	PERFORM oss_labels.forget_watch(relation);
END $$;

COMMENT ON FUNCTION oss_labels.unwatch(regclass) IS 'Undo watch(); queued jobs and other triggers remain';

/*
 * Follows DDL that renames servers or enables triggers.  ALWAYS: also with
 * session_replication_role = replica.
 */

CREATE FUNCTION oss_labels.follow_ddl()
	RETURNS event_trigger
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'oss_labels_follow_ddl';

COMMENT ON FUNCTION oss_labels.follow_ddl() IS
	'Internal: event trigger for renamed servers and enabled triggers; warns of watches broken by DDL';

CREATE EVENT TRIGGER oss_labels_follow_ddl ON ddl_command_end
	WHEN TAG IN ('ALTER SERVER', 'ALTER TABLE', 'ALTER FUNCTION', 'ALTER ROUTINE',
		'ALTER OPERATOR', 'ALTER TYPE', 'ALTER DOMAIN', 'ALTER COLLATION', 'ALTER VIEW',
		'ALTER MATERIALIZED VIEW', 'ALTER SCHEMA')
	EXECUTE FUNCTION oss_labels.follow_ddl();
ALTER EVENT TRIGGER oss_labels_follow_ddl ENABLE ALWAYS;

COMMENT ON EVENT TRIGGER oss_labels_follow_ddl IS 'updates names of renamed servers and enabled triggers; warns of watches broken by DDL';

CREATE EVENT TRIGGER oss_labels_follow_drop ON sql_drop
	EXECUTE FUNCTION oss_labels.follow_ddl();

COMMENT ON EVENT TRIGGER oss_labels_follow_drop IS 'warns of watches that use dropped objects';

CREATE FUNCTION oss_labels.retry_failed(server name DEFAULT NULL,
		bucket text DEFAULT NULL, code text DEFAULT NULL,
		younger_than interval DEFAULT NULL)
	RETURNS bigint
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'oss_labels_retry_failed';

COMMENT ON FUNCTION oss_labels.retry_failed(name, text, text, interval) IS
	'Enqueue failed jobs again, with a new count of attempts; returns their number';

CREATE FUNCTION oss_labels.pause(server name DEFAULT NULL)
	RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'oss_labels_pause';

COMMENT ON FUNCTION oss_labels.pause(name) IS
	'Stop starting requests of the queue for a server, or in the whole database if null; takes effect at commit';

CREATE FUNCTION oss_labels.resume(server name DEFAULT NULL)
	RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'oss_labels_resume';

COMMENT ON FUNCTION oss_labels.resume(name) IS
	'End pauses of a server, or pause() of the whole database if null; reset rates found by throttles';

-- ---------------------------------------------------------------------
-- 6. The worker
-- ---------------------------------------------------------------------

CREATE PROCEDURE oss_labels.process_queue(max_jobs bigint DEFAULT NULL,
		server name DEFAULT NULL)
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'oss_labels_process_queue';

COMMENT ON PROCEDURE oss_labels.process_queue(bigint, name) IS
	'Process the queue in this session, with commits in between; sends paid requests';

CREATE PROCEDURE oss_labels.wait_for_queue(timeout interval DEFAULT NULL)
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'oss_labels_wait_for_queue';

COMMENT ON PROCEDURE oss_labels.wait_for_queue(interval) IS
	'Wait until none of the caller''s jobs is queued or in flight, except for paused ones';

CREATE FUNCTION oss_labels.worker_status(OUT pid integer, OUT database name,
		OUT state text, OUT last_error text, OUT since timestamptz)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL SAFE ROWS 4
	AS 'MODULE_PATHNAME', 'oss_labels_worker_status';

COMMENT ON FUNCTION oss_labels.worker_status() IS
	'Internal: states of launcher and workers, for the view worker';

CREATE FUNCTION oss_labels.rate_status(INOUT server text DEFAULT NULL,
		INOUT bucket text DEFAULT NULL, OUT images_per_second float8,
		OUT requests_per_second_now float8, OUT slowed_down boolean,
		OUT throttled bigint, OUT held_until timestamptz)
	RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL RESTRICTED ROWS 4
	AS 'MODULE_PATHNAME', 'oss_labels_rate_status';

COMMENT ON FUNCTION oss_labels.rate_status(text, text) IS
	'Images per second, present limit, throttles and holds of this database''s servers and buckets';

CREATE VIEW oss_labels.queue WITH (security_barrier = true) AS
	WITH jobs AS (
		SELECT j.server, j.bucket, j.requester,
			pg_catalog.count(*) FILTER (WHERE coalesce(j.leased_until <= t.t, true) AND j.due <= t.t) AS queued,
			pg_catalog.count(*) FILTER (WHERE j.leased_until > t.t) AS in_flight,
			pg_catalog.count(*) FILTER (WHERE coalesce(j.leased_until <= t.t, true) AND j.due > t.t) AS deferred,
			pg_catalog.count(*) AS jobs,
			pg_catalog.min(j.enqueued_at) AS oldest,
			pg_catalog.max(j.reason) AS last_trouble
		FROM oss_labels.own_job j, (SELECT pg_catalog.clock_timestamp() AS t OFFSET 0) t
		GROUP BY j.server, j.bucket, j.requester
	), failures AS (
		SELECT f.server, f.bucket, f.requester, pg_catalog.count(*) AS failed
		FROM oss_labels.own_failed_job f
		GROUP BY f.server, f.bucket, f.requester
	), lines AS (
		SELECT server, bucket, requester, j.queued, j.in_flight, j.deferred, j.jobs,
			f.failed, j.oldest, j.last_trouble
		FROM jobs j FULL JOIN failures f USING (server, bucket, requester)
	), pauses AS (
		SELECT l.server, l.bucket, pg_catalog.string_agg(DISTINCT
			CASE WHEN p.requester IS NULL THEN p.reason
				ELSE pg_catalog.format('role %I: %s', p.requester, p.reason) END, '; ') AS paused
		FROM lines l
		JOIN oss_labels.own_pause p ON (p.server IS NULL OR p.server = l.server)
			AND (p.requester IS NULL OR p.requester = l.requester)
			AND (p.bucket IS NULL OR p.bucket = l.bucket)
		GROUP BY l.server, l.bucket
	), buckets AS (
		SELECT l.server, l.bucket,
			coalesce(pg_catalog.sum(l.queued), 0)::bigint AS queued,
			coalesce(pg_catalog.sum(l.in_flight), 0)::bigint AS in_flight,
			coalesce(pg_catalog.sum(l.deferred), 0)::bigint AS deferred,
			pg_catalog.sum(l.jobs)::bigint AS jobs,
			coalesce(pg_catalog.sum(l.failed), 0)::bigint AS failed,
			pg_catalog.min(l.oldest) AS oldest,
			pg_catalog.max(l.last_trouble) AS last_trouble
		FROM lines l
		GROUP BY l.server, l.bucket
	)
	SELECT b.server, b.bucket, b.queued, b.in_flight, b.deferred, p.paused,
		b.failed, b.oldest,
		CASE WHEN b.jobs > 0 THEN nullif(pg_catalog.concat_ws('; ',
			CASE WHEN s.held_until IS NOT NULL THEN pg_catalog.format('held until %s, as the service asked',
					pg_catalog.date_trunc('second', s.held_until))
				WHEN s.slowed_down THEN pg_catalog.format('throttled: at most %s requests a second now',
					pg_catalog.round(s.requests_per_second_now::numeric, 1)) END,
			b.last_trouble), '') END AS last_trouble,
		s.images_per_second,
		CASE WHEN s.images_per_second > 0 THEN
			pg_catalog.make_interval(secs => b.jobs / s.images_per_second)
		END AS eta
	FROM buckets b
	LEFT JOIN pauses p ON p.server = b.server AND p.bucket = b.bucket
	LEFT JOIN LATERAL oss_labels.rate_status(b.server, b.bucket) s ON true;

COMMENT ON VIEW oss_labels.queue IS
	'The queue by server and bucket; roles see their own jobs, pg_monitor and the extension''s owner all';
COMMENT ON COLUMN oss_labels.queue.server IS 'name of the foreign server';
COMMENT ON COLUMN oss_labels.queue.bucket IS 'name of the bucket';
COMMENT ON COLUMN oss_labels.queue.queued IS 'jobs that are due';
COMMENT ON COLUMN oss_labels.queue.in_flight IS 'jobs leased to a process';
COMMENT ON COLUMN oss_labels.queue.deferred IS 'jobs that are due later';
COMMENT ON COLUMN oss_labels.queue.paused IS 'reason of a pause of these jobs or of some role''s; null: none';
COMMENT ON COLUMN oss_labels.queue.failed IS 'jobs in failed_job';
COMMENT ON COLUMN oss_labels.queue.oldest IS 'when the oldest job was enqueued';
COMMENT ON COLUMN oss_labels.queue.last_trouble IS 'why jobs were deferred, or the bucket is held or slowed down; null: none';
COMMENT ON COLUMN oss_labels.queue.images_per_second IS 'rate of the bucket over the last ten seconds';
COMMENT ON COLUMN oss_labels.queue.eta IS 'expected time until the bucket''s jobs are done; null: unknown';

CREATE VIEW oss_labels.worker AS
	SELECT * FROM oss_labels.worker_status();

COMMENT ON VIEW oss_labels.worker IS
	'The launcher (database null) and one row per database; without shared_preload_libraries one row that says so';
COMMENT ON COLUMN oss_labels.worker.pid IS 'process id; null: not running';
COMMENT ON COLUMN oss_labels.worker.database IS 'name of the database; null: the launcher';
COMMENT ON COLUMN oss_labels.worker.state IS 'its state, or why it does not run';
COMMENT ON COLUMN oss_labels.worker.last_error IS 'its last error, until it succeeds again; null: none, or the caller lacks pg_monitor';
COMMENT ON COLUMN oss_labels.worker.since IS 'when that state began';

REVOKE ALL ON oss_labels.queue, oss_labels.worker FROM PUBLIC;
GRANT SELECT ON oss_labels.queue, oss_labels.worker TO pg_monitor;
GRANT EXECUTE ON FUNCTION oss_labels.worker_status(), oss_labels.rate_status(text, text) TO pg_monitor;
GRANT USAGE ON SCHEMA oss_labels TO pg_monitor;

-- Accounts: requests and their costs

/*
 * The worker adds to a row of usage_day at most once a second; newer counts are in
 * shared memory.  Each write increments "flush", so that a snapshot of the tables
 * tells which counts they include.
 */

CREATE TABLE oss_labels.usage_day
(
	day date NOT NULL,
	server text,
	requester oss_labels.role_name,
	bucket text,
	requests bigint NOT NULL DEFAULT 0,
	billed bigint NOT NULL DEFAULT 0,
	ambiguous bigint NOT NULL DEFAULT 0,
	throttled bigint NOT NULL DEFAULT 0,
	refused bigint NOT NULL DEFAULT 0,
	failed bigint NOT NULL DEFAULT 0,
	over_budget bigint NOT NULL DEFAULT 0,
	stored_hits bigint NOT NULL DEFAULT 0,
	shared bigint NOT NULL DEFAULT 0,
	listings bigint NOT NULL DEFAULT 0,
	heads bigint NOT NULL DEFAULT 0,
	bytes bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

CREATE UNIQUE INDEX usage_day_idx ON oss_labels.usage_day
	(day, server, (requester::bytea), bucket) NULLS NOT DISTINCT;

/* As image_label, for a publication FOR ALL TABLES. */
ALTER TABLE oss_labels.usage_day REPLICA IDENTITY FULL;

COMMENT ON TABLE oss_labels.usage_day IS
	'Requests by day, server, role and bucket, as far as they are written; the view usage has all';
COMMENT ON COLUMN oss_labels.usage_day.day IS 'in oss_labels.billing_time_zone';
COMMENT ON COLUMN oss_labels.usage_day.server IS 'name of the foreign server at that time; null: not known, as after a crash, or where a stored answer needed none';
COMMENT ON COLUMN oss_labels.usage_day.requester IS 'the role whose user mapping was used: for jobs the one that enqueued them; null: not known';
COMMENT ON COLUMN oss_labels.usage_day.bucket IS 'name of the bucket; null: not known';
COMMENT ON COLUMN oss_labels.usage_day.requests IS 'requests for labels that were sent, retries included: the sum of the next five';
COMMENT ON COLUMN oss_labels.usage_day.billed IS 'answered with status 200: the service bills them';
COMMENT ON COLUMN oss_labels.usage_day.ambiguous IS 'sent, and no complete answer came: they may be billed';
COMMENT ON COLUMN oss_labels.usage_day.throttled IS 'refused because of the rate';
COMMENT ON COLUMN oss_labels.usage_day.refused IS 'refused for other reasons (other 4xx)';
COMMENT ON COLUMN oss_labels.usage_day.failed IS 'the service failed (5xx)';
COMMENT ON COLUMN oss_labels.usage_day.over_budget IS 'not sent, as a budget or another limit of this database forbids';
COMMENT ON COLUMN oss_labels.usage_day.stored_hits IS 'images answered from the store';
COMMENT ON COLUMN oss_labels.usage_day.shared IS 'images answered by the request of another row, job or session';
COMMENT ON COLUMN oss_labels.usage_day.listings IS 'requests that list a bucket';
COMMENT ON COLUMN oss_labels.usage_day.heads IS 'requests for the headers of an object';
COMMENT ON COLUMN oss_labels.usage_day.bytes IS 'bytes received';
COMMENT ON INDEX oss_labels.usage_day_idx IS 'one row a day, server, role and bucket';

CREATE TABLE oss_labels.usage_written
(
	flush bigint NOT NULL,
	counted_to bigint NOT NULL DEFAULT 0,
	shared_since bigint NOT NULL DEFAULT 0
);

ALTER TABLE oss_labels.usage_written REPLICA IDENTITY FULL;

/* No number is given twice, whatever was dropped or restored. */
INSERT INTO oss_labels.usage_written (flush)
VALUES (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000);

COMMENT ON TABLE oss_labels.usage_written IS 'Internal: one row, how far the accounts are written';
COMMENT ON COLUMN oss_labels.usage_written.flush IS 'number of the last time that the worker wrote them';
COMMENT ON COLUMN oss_labels.usage_written.counted_to IS 'requests for labels that usage_day includes';
COMMENT ON COLUMN oss_labels.usage_written.shared_since IS 'the shared memory that it wrote';

CREATE FUNCTION oss_labels.usage_now(flush bigint)
	RETURNS TABLE (day date, server text, requester text, bucket text,
		requests bigint, billed bigint, ambiguous bigint, throttled bigint, refused bigint,
		failed bigint, over_budget bigint, stored_hits bigint, shared bigint, listings bigint,
		heads bigint, bytes bigint)
	LANGUAGE c VOLATILE PARALLEL RESTRICTED ROWS 10
	AS 'MODULE_PATHNAME', 'oss_labels_usage_now';

COMMENT ON FUNCTION oss_labels.usage_now(bigint) IS
	'Internal: accounts of the caller''s roles that this flush does not include, for the view usage';

/* With the owner's rights, as own_job: roles see their own rows. */
CREATE VIEW oss_labels.usage WITH (security_barrier = true) AS
	SELECT u.day, u.server, u.requester, u.bucket,
		pg_catalog.sum(u.requests)::bigint AS requests, pg_catalog.sum(u.billed)::bigint AS billed,
		pg_catalog.sum(u.ambiguous)::bigint AS ambiguous,
		pg_catalog.sum(u.throttled)::bigint AS throttled,
		pg_catalog.sum(u.refused)::bigint AS refused, pg_catalog.sum(u.failed)::bigint AS failed,
		pg_catalog.sum(u.over_budget)::bigint AS over_budget,
		pg_catalog.sum(u.stored_hits)::bigint AS stored_hits,
		pg_catalog.sum(u.shared)::bigint AS shared, pg_catalog.sum(u.listings)::bigint AS listings,
		pg_catalog.sum(u.heads)::bigint AS heads, pg_catalog.sum(u.bytes)::bigint AS bytes
	FROM (
		SELECT d.day, d.server, d.requester::text AS requester, d.bucket,
			d.requests, d.billed, d.ambiguous, d.throttled, d.refused, d.failed, d.over_budget,
			d.stored_hits, d.shared, d.listings, d.heads, d.bytes
		FROM oss_labels.usage_day d CROSS JOIN oss_labels.viewer v
		WHERE v.sees_all OR pg_catalog.pg_has_role(
			pg_catalog.to_regrole(pg_catalog.quote_ident(d.requester::text)), 'USAGE')
		UNION ALL
		SELECT n.* FROM oss_labels.usage_written w, LATERAL oss_labels.usage_now(w.flush) n
	) u
	GROUP BY u.day, u.server, u.requester, u.bucket;

COMMENT ON VIEW oss_labels.usage IS
	'Requests by day, server, role and bucket, and their outcomes; roles see their own, pg_monitor and the extension''s owner all';
COMMENT ON COLUMN oss_labels.usage.day IS 'as in usage_day';
COMMENT ON COLUMN oss_labels.usage.server IS 'as in usage_day';
COMMENT ON COLUMN oss_labels.usage.requester IS 'as in usage_day';
COMMENT ON COLUMN oss_labels.usage.bucket IS 'as in usage_day';
COMMENT ON COLUMN oss_labels.usage.requests IS 'as in usage_day';
COMMENT ON COLUMN oss_labels.usage.billed IS 'as in usage_day';
COMMENT ON COLUMN oss_labels.usage.ambiguous IS 'as in usage_day';
COMMENT ON COLUMN oss_labels.usage.throttled IS 'as in usage_day';
COMMENT ON COLUMN oss_labels.usage.refused IS 'as in usage_day';
COMMENT ON COLUMN oss_labels.usage.failed IS 'as in usage_day';
COMMENT ON COLUMN oss_labels.usage.over_budget IS 'as in usage_day';
COMMENT ON COLUMN oss_labels.usage.stored_hits IS 'as in usage_day';
COMMENT ON COLUMN oss_labels.usage.shared IS 'as in usage_day';
COMMENT ON COLUMN oss_labels.usage.listings IS 'as in usage_day';
COMMENT ON COLUMN oss_labels.usage.heads IS 'as in usage_day';
COMMENT ON COLUMN oss_labels.usage.bytes IS 'as in usage_day';

CREATE TABLE oss_labels.price
(
	item text NOT NULL CHECK (item IN ('label', 'listing', 'head')),
	server text,
	valid_from date NOT NULL DEFAULT '-infinity',
	per_1000 numeric NOT NULL CHECK (per_1000 >= 0),
	currency text NOT NULL,
	source text,
	standard boolean NOT NULL DEFAULT false,
	UNIQUE NULLS NOT DISTINCT (item, server, valid_from, standard)
);

ALTER TABLE oss_labels.price REPLICA IDENTITY FULL;

INSERT INTO oss_labels.price (item, per_1000, currency, source, standard)
VALUES ('label', 0.142, 'USD', 'ImageLabel, per 1 000 calls, by the price list of Alibaba Cloud IMM (international site), page of 2026-03-10', true);

COMMENT ON TABLE oss_labels.price IS
	'Prices of requests. Add rows of your contract: one of the server counts before one of all servers, then the latest, then yours';
COMMENT ON COLUMN oss_labels.price.item IS 'label, listing (of a bucket) or head (of an object)';
COMMENT ON COLUMN oss_labels.price.server IS 'name of the foreign server; null: all';
COMMENT ON COLUMN oss_labels.price.valid_from IS 'first day on which it counts';
COMMENT ON COLUMN oss_labels.price.per_1000 IS 'price of 1 000 requests';
COMMENT ON COLUMN oss_labels.price.currency IS 'as it is shown';
COMMENT ON COLUMN oss_labels.price.source IS 'where it is from';
COMMENT ON COLUMN oss_labels.price.standard IS 'the list price that the extension brings; a row of yours takes its place';

/* A row that a user has changed is the user's own, and is dumped. */
CREATE FUNCTION oss_labels.own_price()
	RETURNS trigger
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
BEGIN
	NEW.standard := false;
	RETURN NEW;
END $$;

COMMENT ON FUNCTION oss_labels.own_price() IS 'Internal: trigger function that makes a price that was changed the user''s own';

CREATE TRIGGER price_own BEFORE INSERT OR UPDATE ON oss_labels.price
	FOR EACH ROW EXECUTE FUNCTION oss_labels.own_price();

COMMENT ON TRIGGER price_own ON oss_labels.price IS 'the extension''s own row is the only standard one';

CREATE FUNCTION oss_labels.price_of(item text, server text, day date,
		OUT per_1000 numeric, OUT currency text)
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
	AS $$
	SELECT p.per_1000, p.currency FROM oss_labels.price p
	WHERE p.item = $1 AND (p.server IS NULL OR p.server = $2) AND p.valid_from <= $3
	ORDER BY p.server NULLS LAST, p.valid_from DESC, p.standard
	LIMIT 1
$$;

COMMENT ON FUNCTION oss_labels.price_of(text, text, date) IS
	'Internal: the price of 1 000 requests at a server on a day; null: unknown';

CREATE VIEW oss_labels.cost WITH (security_barrier = true) AS
	SELECT u.day, u.server, u.requester, u.bucket, u.billed, u.ambiguous,
		pg_catalog.trim_scale((u.billed * l.per_1000 + o.cost) / 1000) AS cost,
		pg_catalog.trim_scale(((u.billed + u.ambiguous) * l.per_1000 + o.cost) / 1000)
			AS cost_if_ambiguous,
		l.currency
	FROM oss_labels.usage u
	LEFT JOIN LATERAL oss_labels.price_of('label', u.server, u.day) l ON true
	LEFT JOIN LATERAL (
		SELECT coalesce(pg_catalog.sum(i.n * p.per_1000), 0) AS cost
		FROM (VALUES ('listing', u.listings), ('head', u.heads)) i (item, n),
			LATERAL oss_labels.price_of(i.item, u.server, u.day) p
		WHERE i.n > 0 AND p.currency = l.currency
	) o ON true;

COMMENT ON VIEW oss_labels.cost IS
	'Costs of the requests in the view usage, by the table price';
COMMENT ON COLUMN oss_labels.cost.day IS 'as in usage_day';
COMMENT ON COLUMN oss_labels.cost.server IS 'as in usage_day';
COMMENT ON COLUMN oss_labels.cost.requester IS 'as in usage_day';
COMMENT ON COLUMN oss_labels.cost.bucket IS 'as in usage_day';
COMMENT ON COLUMN oss_labels.cost.billed IS 'as in usage_day';
COMMENT ON COLUMN oss_labels.cost.ambiguous IS 'as in usage_day';
COMMENT ON COLUMN oss_labels.cost.cost IS 'price of billed requests, and of listings and headers if they have one in the same currency';
COMMENT ON COLUMN oss_labels.cost.cost_if_ambiguous IS 'the same if the service bills all that is ambiguous, too';
COMMENT ON COLUMN oss_labels.cost.currency IS 'of the price of labels';

REVOKE ALL ON oss_labels.usage_day, oss_labels.usage_written, oss_labels.usage,
	oss_labels.price, oss_labels.cost FROM PUBLIC;
GRANT SELECT ON oss_labels.usage_day, oss_labels.usage, oss_labels.price, oss_labels.cost TO pg_monitor;
GRANT EXECUTE ON FUNCTION oss_labels.usage_now(bigint), oss_labels.price_of(text, text, date) TO pg_monitor;

SELECT pg_catalog.pg_extension_config_dump('oss_labels.usage_day', '');
SELECT pg_catalog.pg_extension_config_dump('oss_labels.price', 'WHERE NOT standard');

CREATE FUNCTION oss_labels.announce()
	RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'oss_labels_announce';

COMMENT ON FUNCTION oss_labels.announce() IS 'Internal: tell the launcher at commit that this database has the extension and perhaps work';

SELECT oss_labels.announce();

REVOKE ALL ON ALL ROUTINES IN SCHEMA oss_labels FROM PUBLIC;

-- ---------------------------------------------------------------------
-- 7. Administration: errors, diagnosis, presigned URLs
-- ---------------------------------------------------------------------

CREATE FUNCTION oss_labels.presign(
	bucket text,
	key text,
	expires interval DEFAULT NULL,
	process text DEFAULT NULL,
	version_id text DEFAULT NULL,
	server name DEFAULT NULL)
RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'oss_labels_presign';
REVOKE ALL ON FUNCTION oss_labels.presign(text, text, interval, text, text, name) FROM PUBLIC;
COMMENT ON FUNCTION oss_labels.presign(text, text, interval, text, text, name) IS
	'A URL with which anybody can GET the object for a limited time; sends no request to OSS';

CREATE FUNCTION oss_labels.check_server(
	server name DEFAULT NULL,
	bucket text DEFAULT NULL,
	key text DEFAULT NULL)
RETURNS TABLE (check_name text, ok boolean, detail text, hint text)
LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 10
AS 'MODULE_PATHNAME', 'oss_labels_check_server';
REVOKE ALL ON FUNCTION oss_labels.check_server(name, text, text) FROM PUBLIC;
COMMENT ON FUNCTION oss_labels.check_server(name, text, text) IS
	'Diagnosis of a server, one row per check, from the catalogs to the labels; one paid request if a key is given';

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
	hint text,
	scope text)
LANGUAGE c STABLE PARALLEL SAFE ROWS 150
AS 'MODULE_PATHNAME', 'oss_labels_error_table';
REVOKE ALL ON FUNCTION oss_labels.error_table() FROM PUBLIC;
COMMENT ON FUNCTION oss_labels.error_table() IS
	'Errors of requests and how they are handled; the first rule that matches applies';

-- ---------------------------------------------------------------------
-- 8. Using labels: everything but tag() and try_tag() is free
-- ---------------------------------------------------------------------

/*
 * Bodies written BEGIN ATOMIC are parsed once, here, so no search_path can
 * change their meaning and the planner can still inline them.
 */

CREATE FUNCTION oss_labels.tag(
	bucket text,
	key text,
	thr double precision DEFAULT NULL,
	version_id text DEFAULT NULL,
	server name DEFAULT NULL,
	max_age interval DEFAULT NULL,
	etag text DEFAULT NULL)
RETURNS TABLE (
	label_name text,
	parent_label_name text,
	label_level integer,
	label_confidence double precision,
	centric_score double precision,
	language text,
	raw jsonb)
LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 10
SUPPORT oss_labels.detect_support
AS 'MODULE_PATHNAME', 'oss_labels_tag';
COMMENT ON FUNCTION oss_labels.tag(text, text, double precision, text, name, interval, text) IS
	'Labels of an image: the stored ones if they cover the call, else detected with one paid request and stored';

CREATE FUNCTION oss_labels.try_tag(
	bucket text,
	key text,
	thr double precision DEFAULT NULL,
	version_id text DEFAULT NULL,
	server name DEFAULT NULL,
	max_age interval DEFAULT NULL,
	etag text DEFAULT NULL)
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
SUPPORT oss_labels.detect_support
AS 'MODULE_PATHNAME', 'oss_labels_try_tag';
COMMENT ON FUNCTION oss_labels.try_tag(text, text, double precision, text, name, interval, text) IS
	'Like tag(), but an error that belongs to the image is one row with NULL labels and error_code set';

CREATE FUNCTION oss_labels.labels_of(
	bucket text,
	key text,
	thr double precision DEFAULT NULL,
	version_id text DEFAULT NULL)
RETURNS TABLE (
	label_name text,
	parent_label_name text,
	label_level integer,
	label_confidence double precision,
	centric_score double precision,
	language text,
	raw jsonb)
LANGUAGE c STABLE PARALLEL SAFE COST 100 ROWS 10
AS 'MODULE_PATHNAME', 'oss_labels_labels_of';
COMMENT ON FUNCTION oss_labels.labels_of(text, text, double precision, text) IS
	'Stored labels of an image, as the service sent them; free';

CREATE FUNCTION oss_labels.forget(bucket text, key text, version_id text DEFAULT NULL)
RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'oss_labels_forget';
COMMENT ON FUNCTION oss_labels.forget(text, text, text) IS
	'Delete the stored labels, response and corrections of an image; returns whether there were any';

CREATE FUNCTION oss_labels.estimate(
	query text,
	thr double precision DEFAULT NULL,
	max_age interval DEFAULT NULL,
	server name DEFAULT NULL)
RETURNS TABLE (
	objects bigint,
	stored bigint,
	queued bigint,
	invalid bigint,
	to_ask bigint,
	cost numeric,
	currency text,
	budget_left bigint,
	seconds double precision)
LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 1
AS 'MODULE_PATHNAME', 'oss_labels_estimate';
COMMENT ON FUNCTION oss_labels.estimate(text, double precision, interval, name) IS
	'Requests that tag() of a query''s images would send, and their cost; the query has columns bucket, key and perhaps version_id and etag. Sends none';

CREATE PROCEDURE oss_labels.retag(
	older_than interval,
	max_requests bigint,
	bucket text DEFAULT NULL,
	prefix text DEFAULT NULL,
	server name DEFAULT NULL,
	priority integer DEFAULT -10)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	before timestamptz := clock_timestamp() - older_than;
	n bigint;
BEGIN
	IF older_than IS NULL OR older_than < '0'::interval THEN
		RAISE EXCEPTION 'older_than must be given, and not negative'
			USING ERRCODE = '22023', HINT = 'Give the age from which images are asked for again, such as ''1 year''.';
	END IF;
	IF max_requests < 0 THEN
		RAISE EXCEPTION 'max_requests must not be negative'
			USING ERRCODE = '22023', HINT = 'Give the requests that may be paid for; null: no limit.';
	END IF;
	SELECT count(oss_labels.enqueue_once(o.bucket, o.key, o.thr, o.version_id, $5, $6, $1))
	INTO n
	FROM (
		SELECT i.bucket, i.key, i.thr, i.version_id
		FROM oss_labels.image i
		WHERE i.tagged_at < before AND i.source = 'oss'
			AND ($3 IS NULL OR i.bucket = $3) AND ($4 IS NULL OR starts_with(i.key, $4))
			AND NOT EXISTS (SELECT FROM oss_labels.own_job j
				WHERE j.key = i.key AND j.bucket = i.bucket
					AND j.version_id IS NOT DISTINCT FROM i.version_id)
			AND NOT EXISTS (SELECT FROM oss_labels.own_failed_job f
				WHERE f.key = i.key AND f.bucket = i.bucket
					AND f.version_id IS NOT DISTINCT FROM i.version_id AND f.failed_at >= before)
		ORDER BY i.tagged_at, i.image_id
		LIMIT $2
	) o;
	RAISE NOTICE 'queued % images', n;
END $$;
COMMENT ON PROCEDURE oss_labels.retag(interval, bigint, text, text, name, integer) IS
	'Queue the images that were tagged longest ago, each with its own threshold, for at most so many requests that may be billed';

CREATE FUNCTION oss_labels.watched_names(relation regclass,
	OUT key_column name, OUT bucket_column name, OUT bucket text, OUT condition text,
	OUT source text)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	arguments jsonb;
BEGIN
	SELECT jsonb_object(convert_from(substring(t.tgargs FROM 1
		FOR position('\x00'::bytea IN t.tgargs) - 1), getdatabaseencoding())::text[])
	INTO arguments
	FROM pg_trigger t
	WHERE t.tgrelid = relation AND t.tgname = 'oss_labels_insert'
		AND t.tgfoid = 'oss_labels.enqueue_trigger()'::regprocedure;
	SELECT arguments ->> 'key_column', arguments ->> 'bucket_column', arguments ->> 'bucket',
		arguments ->> 'condition',
		format('(SELECT %s FROM %s) AS %I', c.list, relation, w.names[1])
	INTO key_column, bucket_column, bucket, condition, source
	FROM oss_labels.watched w, LATERAL (
		SELECT string_agg(format('%I AS %I', n.now, n.was), ', ') AS list
		FROM unnest((w.columns::text::text[])[3:], w.names[2:]) n (now, was)
		JOIN pg_attribute a ON a.attrelid = relation AND a.attname = n.now AND NOT a.attisdropped
	) c
	WHERE w.watch = arguments ->> 'watch';
END $$;
COMMENT ON FUNCTION oss_labels.watched_names(regclass) IS
	'Internal: arguments of watch() for a table, and its names at that time, which the condition uses';

CREATE FUNCTION oss_labels.untagged(relation regclass)
RETURNS TABLE (
	bucket text,
	key text,
	state text,
	since timestamptz,
	reason text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE ROWS 100
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	watched record;
BEGIN
	watched := oss_labels.watched_names(relation);
	IF watched.source IS NULL THEN
		RAISE EXCEPTION 'table % is not watched', relation
			USING ERRCODE = '55000', HINT = 'SELECT oss_labels.watch(...) has its rows tagged.';
	END IF;
	RETURN QUERY EXECUTE format(
		$q$SELECT r.bucket, r.key, CASE WHEN j.enqueued_at IS NOT NULL THEN 'queued'
			WHEN f.failed_at IS NOT NULL THEN 'failed' ELSE 'never' END,
			coalesce(j.enqueued_at, f.failed_at),
			CASE WHEN j.enqueued_at IS NOT NULL THEN j.reason ELSE f.message END
		FROM (SELECT DISTINCT %s::text AS bucket, %I::text AS key FROM %s WHERE (%s)) r
		LEFT JOIN LATERAL (SELECT o.enqueued_at, o.reason FROM oss_labels.own_job o
			WHERE o.key = r.key AND o.bucket = r.bucket AND o.version_id IS NULL
			ORDER BY o.job_id LIMIT 1) j ON true
		LEFT JOIN LATERAL (SELECT o.failed_at, o.message FROM oss_labels.own_failed_job o
			WHERE o.key = r.key AND o.bucket = r.bucket AND o.version_id IS NULL
			ORDER BY o.failed_at DESC LIMIT 1) f ON true
		WHERE r.bucket IS NOT NULL AND r.key IS NOT NULL AND NOT EXISTS (
			SELECT FROM oss_labels.image i
			WHERE i.image_id = oss_labels.image_id(r.bucket, r.key)
				AND i.bucket = r.bucket AND i.key = r.key)$q$,
		CASE WHEN watched.bucket IS NULL THEN quote_ident(watched.bucket_column)
			ELSE quote_literal(watched.bucket) END,
		watched.key_column, watched.source, coalesce(watched.condition, 'true'));
END $$;
COMMENT ON FUNCTION oss_labels.untagged(regclass) IS
	'Images of a watched table that have no stored labels: never asked for, queued, or failed, and why';

CREATE FUNCTION oss_labels.import_labels(
	document jsonb,
	bucket text DEFAULT NULL,
	key text DEFAULT NULL,
	thr double precision DEFAULT NULL,
	version_id text DEFAULT NULL,
	tagged_at timestamptz DEFAULT NULL,
	format text DEFAULT 'oss',
	source text DEFAULT NULL)
RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000
AS 'MODULE_PATHNAME', 'oss_labels_import_labels';
COMMENT ON FUNCTION oss_labels.import_labels(jsonb, text, text, double precision, text, timestamptz, text, text) IS
	'Store an answer that was paid for elsewhere, of OSS, Rekognition or Google Vision; returns whether it was stored';

CREATE FUNCTION oss_labels.import_label_rows(
	bucket text,
	key text,
	names text[],
	confidences double precision[] DEFAULT NULL,
	parents text[] DEFAULT NULL,
	source text DEFAULT 'import',
	thr double precision DEFAULT NULL,
	version_id text DEFAULT NULL,
	tagged_at timestamptz DEFAULT NULL)
RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000
AS 'MODULE_PATHNAME', 'oss_labels_import_label_rows';
COMMENT ON FUNCTION oss_labels.import_label_rows(text, text, text[], double precision[], text[], text,
	double precision, text, timestamptz) IS
	'Store labels of any origin, given as arrays; returns whether they were stored';

CREATE FUNCTION oss_labels.import_set_add(internal, text, text, text[], double precision[], text[], text)
RETURNS internal
LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000
AS 'MODULE_PATHNAME', 'oss_labels_import_set_add';
COMMENT ON FUNCTION oss_labels.import_set_add(internal, text, text, text[], double precision[], text[], text) IS
	'Internal: transition function of import_label_set()';
CREATE FUNCTION oss_labels.import_set_end(internal)
RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'oss_labels_import_set_end';
COMMENT ON FUNCTION oss_labels.import_set_end(internal) IS 'Internal: final function of import_label_set()';

CREATE AGGREGATE oss_labels.import_label_set(
	bucket text, key text, names text[], confidences double precision[], parents text[], source text) (
	SFUNC = oss_labels.import_set_add,
	STYPE = internal,
	FINALFUNC = oss_labels.import_set_end,
	FINALFUNC_MODIFY = READ_WRITE);
COMMENT ON AGGREGATE oss_labels.import_label_set(text, text, text[], double precision[], text[], text) IS
	'import_label_rows() for all images of a query, many at a time; returns how many were stored';

-- House rules: applied when labels are read, never by rewriting them

CREATE TABLE oss_labels.label_rule
(
	label_name text PRIMARY KEY,
	min_confidence float8 CHECK (min_confidence BETWEEN 0 AND 1),
	hidden boolean NOT NULL DEFAULT false,
	note text
);
COMMENT ON TABLE oss_labels.label_rule IS 'House rules for labels, applied by effective_label, search() and other readers; stored labels do not change';
COMMENT ON COLUMN oss_labels.label_rule.label_name IS 'the label, after aliases';
COMMENT ON COLUMN oss_labels.label_rule.min_confidence IS '0 to 1: labels of the service below this confidence are not read; null: below oss_labels.read_threshold';
COMMENT ON COLUMN oss_labels.label_rule.hidden IS 'never shown';
COMMENT ON COLUMN oss_labels.label_rule.note IS 'reason, free text';

CREATE TABLE oss_labels.label_alias
(
	alias_name text PRIMARY KEY,
	label_name text NOT NULL CHECK (label_name <> alias_name)
);
CREATE INDEX label_alias_label_name_idx ON oss_labels.label_alias (label_name);
COMMENT ON TABLE oss_labels.label_alias IS 'Aliases of labels: synonyms, or translations of the service''s zh-Hans names; also applied to parents';
COMMENT ON COLUMN oss_labels.label_alias.alias_name IS 'the name as the service sends it';
COMMENT ON COLUMN oss_labels.label_alias.label_name IS 'the name that replaces it; must not be an alias itself';
COMMENT ON INDEX oss_labels.label_alias_label_name_idx IS 'the aliases of a label';

/*
 * Names are normalized as those of labels are.  There are no chains of aliases,
 * and no rules for aliases: the order in which they were written must not matter,
 * and each rule has an effect.  The lock keeps two sessions from making such a
 * chain together, when neither sees the row of the other.
 */
CREATE FUNCTION oss_labels.check_alias()
RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	NEW.alias_name := oss_labels.nfc(NEW.alias_name);
	NEW.label_name := oss_labels.nfc(NEW.label_name);
	PERFORM pg_advisory_xact_lock('oss_labels.label_alias'::regclass::oid::bigint);
	IF NEW.alias_name = NEW.label_name THEN
		RAISE EXCEPTION 'label "%" cannot be an alias of itself', NEW.label_name
			USING ERRCODE = 'check_violation',
			HINT = 'Leave the alias out: a label is read as itself.';
	END IF;
	IF EXISTS (SELECT FROM oss_labels.label_alias a WHERE a.alias_name = NEW.label_name) THEN
		RAISE EXCEPTION 'label "%" is itself an alias', NEW.label_name
			USING ERRCODE = 'check_violation',
			HINT = 'Use the label that it stands for.';
	END IF;
	IF EXISTS (SELECT FROM oss_labels.label_alias a WHERE a.label_name = NEW.alias_name) THEN
		RAISE EXCEPTION 'label "%" has aliases itself', NEW.alias_name
			USING ERRCODE = 'check_violation',
			HINT = 'Change these aliases to the new label first.';
	END IF;
	IF EXISTS (SELECT FROM oss_labels.label_rule r WHERE r.label_name = NEW.alias_name) THEN
		RAISE EXCEPTION 'label "%" has a house rule, which would have no effect', NEW.alias_name
			USING ERRCODE = 'check_violation',
			HINT = format('Change the rule to one for "%s" first.', NEW.label_name);
	END IF;
	RETURN NEW;
END $$;
COMMENT ON FUNCTION oss_labels.check_alias() IS 'Internal: trigger function of label_alias that refuses chains of aliases, and aliases that have rules';

CREATE FUNCTION oss_labels.check_rule()
RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	label text;
BEGIN
	NEW.label_name := oss_labels.nfc(NEW.label_name);
	IF NEW.min_confidence NOT BETWEEN 0 AND 1 THEN
		RAISE EXCEPTION 'min_confidence must be a number from 0 to 1'
			USING ERRCODE = 'check_violation',
			HINT = 'Give null for oss_labels.read_threshold, or hide the label by hidden.';
	END IF;
	PERFORM pg_advisory_xact_lock('oss_labels.label_alias'::regclass::oid::bigint);
	SELECT a.label_name INTO label FROM oss_labels.label_alias a WHERE a.alias_name = NEW.label_name;
	IF FOUND THEN
		RAISE EXCEPTION 'label "%" is an alias of "%"', NEW.label_name, label
			USING ERRCODE = 'check_violation',
			HINT = format('Make the rule for "%s".', label);
	END IF;
	RETURN NEW;
END $$;
COMMENT ON FUNCTION oss_labels.check_rule() IS 'Internal: trigger function of label_rule that refuses rules for aliases';

CREATE TRIGGER label_alias_check BEFORE INSERT OR UPDATE ON oss_labels.label_alias
	FOR EACH ROW EXECUTE FUNCTION oss_labels.check_alias();
CREATE TRIGGER label_rule_check BEFORE INSERT OR UPDATE ON oss_labels.label_rule
	FOR EACH ROW EXECUTE FUNCTION oss_labels.check_rule();
COMMENT ON TRIGGER label_alias_check ON oss_labels.label_alias IS 'refuses chains of aliases, and aliases that have rules';
COMMENT ON TRIGGER label_rule_check ON oss_labels.label_rule IS 'refuses rules for aliases';

CREATE TABLE oss_labels.label_correction
(
	image_id bigint NOT NULL,
	label_name text NOT NULL,
	parent_label_name text,
	label_confidence float8 NOT NULL DEFAULT 1 CHECK (label_confidence BETWEEN 0 AND 1),
	added boolean NOT NULL,
	corrected_by text NOT NULL DEFAULT CURRENT_USER,
	corrected_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	note text,
	role oss_labels.role_name NOT NULL DEFAULT CURRENT_USER::text::oss_labels.role_name,
	label_id bigint GENERATED ALWAYS AS (oss_labels.label_id(label_name, parent_label_name)) STORED,
	name_id bigint GENERATED ALWAYS AS (oss_labels.label_id(label_name)) STORED,
	PRIMARY KEY (image_id, label_name)
);
CREATE INDEX label_correction_label_id_idx ON oss_labels.label_correction
	(label_id, label_confidence DESC, image_id);
COMMENT ON TABLE oss_labels.label_correction IS
	'Labels that people added to images or removed; written by correct(), deleted by forget()';
COMMENT ON COLUMN oss_labels.label_correction.image_id IS 'image.image_id';
COMMENT ON COLUMN oss_labels.label_correction.label_name IS 'the label';
COMMENT ON COLUMN oss_labels.label_correction.parent_label_name IS 'parent of an added label; null: none';
COMMENT ON COLUMN oss_labels.label_correction.label_confidence IS 'confidence of an added label, 0 to 1';
COMMENT ON COLUMN oss_labels.label_correction.added IS 'true: added; false: removed';
COMMENT ON COLUMN oss_labels.label_correction.corrected_by IS 'person who corrected it, as given by the application';
COMMENT ON COLUMN oss_labels.label_correction.role IS 'the role that corrected it; a role cannot name another one';
COMMENT ON COLUMN oss_labels.label_correction.corrected_at IS 'time of the last correction';
COMMENT ON COLUMN oss_labels.label_correction.note IS 'reason, free text';
CREATE INDEX label_correction_name_id_idx ON oss_labels.label_correction (name_id);
COMMENT ON COLUMN oss_labels.label_correction.label_id IS 'vocabulary.label_id';
COMMENT ON COLUMN oss_labels.label_correction.name_id IS 'label_id(label_name), which vocabulary.names refers to';
COMMENT ON INDEX oss_labels.label_correction_name_id_idx IS 'the corrections of a label';
COMMENT ON INDEX oss_labels.label_correction_label_id_idx IS 'the images with an added label, as for image_label';

-- Contents of vocabulary, and the triggers that update it

CREATE FUNCTION oss_labels.vocabulary_reading()
RETURNS TABLE (label_id bigint, effective_name text, effective_parent text,
	min_confidence double precision, shown boolean, names bigint[], twins bigint[])
LANGUAGE sql STABLE PARALLEL SAFE ROWS 2000
BEGIN ATOMIC
	SELECT n.label_id, n.effective_name, n.effective_parent, n.min_confidence, n.shown,
		CASE WHEN n.effective_name IS NULL THEN '{}'::bigint[]
			ELSE pg_catalog.array_prepend(oss_labels.label_id(n.effective_name), ARRAY(
				SELECT oss_labels.label_id(x.alias_name) FROM oss_labels.label_alias x
				WHERE x.label_name = n.effective_name ORDER BY x.alias_name)) END AS names,
		CASE WHEN n.shown AND pg_catalog.count(*) OVER placed > 1 THEN
			pg_catalog.array_agg(n.label_id) OVER placed END AS twins
	FROM (SELECT v.label_id, coalesce(a.label_name, v.label_name) AS effective_name,
			CASE WHEN pr.hidden IS NOT TRUE THEN
				coalesce(pa.label_name, v.parent_label_name) END AS effective_parent,
			r.min_confidence,
			v.label_name IS NOT NULL AND r.hidden IS NOT TRUE AS shown
		FROM oss_labels.vocabulary v
		LEFT JOIN oss_labels.label_alias a ON a.alias_name = v.label_name
		LEFT JOIN oss_labels.label_alias pa ON pa.alias_name = v.parent_label_name
		LEFT JOIN oss_labels.label_rule r
			ON r.label_name = coalesce(a.label_name, v.label_name)
		LEFT JOIN oss_labels.label_rule pr
			ON pr.label_name = coalesce(pa.label_name, v.parent_label_name)) n
	WINDOW placed AS (PARTITION BY n.effective_name, n.effective_parent ORDER BY n.label_id
			ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING);
END;
COMMENT ON FUNCTION oss_labels.vocabulary_reading() IS 'Internal: the row that vocabulary should have for each label, by the present aliases and rules';

CREATE FUNCTION oss_labels.refresh_vocabulary()
RETURNS trigger
LANGUAGE c SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS 'MODULE_PATHNAME', 'oss_labels_refresh_vocabulary';
COMMENT ON FUNCTION oss_labels.refresh_vocabulary() IS 'Internal: trigger function that updates vocabulary after a change of aliases or rules, for the rest of the transaction';

CREATE FUNCTION oss_labels.settle_vocabulary()
RETURNS trigger
LANGUAGE c SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'oss_labels_settle_vocabulary';
COMMENT ON FUNCTION oss_labels.settle_vocabulary() IS 'Internal: trigger function that updates vocabulary again at commit, for labels that others have added since';

CREATE FUNCTION oss_labels.complete_label()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	NEW.label_name := oss_labels.nfc(NEW.label_name);
	NEW.parent_label_name := oss_labels.nfc(NEW.parent_label_name);
	NEW.label_id := oss_labels.label_id(NEW.label_name, NEW.parent_label_name,
		NEW.label_level, NEW.language);
	-- a dump's corrections, or a publisher's images, may have brought it before
	IF EXISTS (SELECT FROM oss_labels.vocabulary v WHERE v.label_id = NEW.label_id) THEN
		RETURN NULL;
	END IF;
	NEW.effective_name := coalesce(NEW.effective_name, NEW.label_name);
	IF NEW.names = '{}' AND NEW.effective_name IS NOT NULL THEN
		NEW.names := ARRAY[oss_labels.label_id(NEW.effective_name)];
	END IF;
	RETURN NEW;
END $$;
COMMENT ON FUNCTION oss_labels.complete_label() IS 'Internal: trigger on vocabulary for rows that are inserted by SQL; one that is there stays';

CREATE TRIGGER label_alias_insert AFTER INSERT ON oss_labels.label_alias
	REFERENCING NEW TABLE AS inserted
	FOR EACH STATEMENT EXECUTE FUNCTION oss_labels.refresh_vocabulary();
CREATE TRIGGER label_alias_refresh AFTER UPDATE OR DELETE OR TRUNCATE ON oss_labels.label_alias
	FOR EACH STATEMENT EXECUTE FUNCTION oss_labels.refresh_vocabulary();
CREATE CONSTRAINT TRIGGER label_alias_settle AFTER INSERT OR UPDATE OR DELETE ON oss_labels.label_alias
	DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION oss_labels.settle_vocabulary();
CREATE TRIGGER label_rule_insert AFTER INSERT ON oss_labels.label_rule
	REFERENCING NEW TABLE AS inserted
	FOR EACH STATEMENT EXECUTE FUNCTION oss_labels.refresh_vocabulary();
CREATE TRIGGER label_rule_refresh AFTER UPDATE OR DELETE OR TRUNCATE ON oss_labels.label_rule
	FOR EACH STATEMENT EXECUTE FUNCTION oss_labels.refresh_vocabulary();
CREATE CONSTRAINT TRIGGER label_rule_settle AFTER INSERT OR UPDATE OR DELETE ON oss_labels.label_rule
	DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION oss_labels.settle_vocabulary();
/*
 * A row of vocabulary that SQL inserts, as a restore does, belongs to its transaction.
 * A session that learns the same label waits for that transaction, which therefore
 * must not wait for the session.
 */
CREATE FUNCTION oss_labels.lock_vocabulary()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF TG_TABLE_NAME = 'vocabulary' THEN
		PERFORM pg_advisory_xact_lock('oss_labels.label_alias'::regclass::oid::bigint);
		PERFORM pg_advisory_xact_lock('oss_labels.vocabulary'::regclass::oid::bigint);
	ELSE
		PERFORM pg_advisory_xact_lock_shared('oss_labels.vocabulary'::regclass::oid::bigint);
	END IF;
	RETURN NULL;
END $$;
COMMENT ON FUNCTION oss_labels.lock_vocabulary() IS 'Internal: trigger function that keeps a restore of vocabulary apart from those of other tables';

CREATE TRIGGER vocabulary_lock BEFORE INSERT ON oss_labels.vocabulary
	FOR EACH STATEMENT EXECUTE FUNCTION oss_labels.lock_vocabulary();
CREATE TRIGGER label_correction_lock BEFORE INSERT ON oss_labels.label_correction
	FOR EACH STATEMENT EXECUTE FUNCTION oss_labels.lock_vocabulary();
COMMENT ON TRIGGER vocabulary_lock ON oss_labels.vocabulary IS 'keeps pg_restore --jobs from deadlocks';
COMMENT ON TRIGGER label_correction_lock ON oss_labels.label_correction IS 'keeps pg_restore --jobs from deadlocks';
CREATE TRIGGER vocabulary_complete BEFORE INSERT ON oss_labels.vocabulary
	FOR EACH ROW EXECUTE FUNCTION oss_labels.complete_label();
CREATE TRIGGER vocabulary_insert AFTER INSERT ON oss_labels.vocabulary
	REFERENCING NEW TABLE AS inserted
	FOR EACH STATEMENT EXECUTE FUNCTION oss_labels.refresh_vocabulary();
CREATE TRIGGER vocabulary_refresh AFTER DELETE ON oss_labels.vocabulary
	FOR EACH STATEMENT EXECUTE FUNCTION oss_labels.refresh_vocabulary();
CREATE CONSTRAINT TRIGGER vocabulary_settle AFTER INSERT ON oss_labels.vocabulary
	DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION oss_labels.settle_vocabulary();

CREATE FUNCTION oss_labels.learn_labels()
RETURNS trigger
LANGUAGE c SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'oss_labels_learn_labels';
COMMENT ON FUNCTION oss_labels.learn_labels() IS 'Internal: trigger that notes new labels in vocabulary: of a correction, or of an answer that replication brings';

CREATE TRIGGER label_correction_learn AFTER INSERT OR UPDATE ON oss_labels.label_correction
	FOR EACH ROW EXECUTE FUNCTION oss_labels.learn_labels();
CREATE TRIGGER image_learn AFTER INSERT OR UPDATE ON oss_labels.image
	FOR EACH ROW EXECUTE FUNCTION oss_labels.learn_labels();

/*
 * ALWAYS: also in a subscriber and with session_replication_role = replica.
 * image_learn is for these cases only: storing an answer learns its labels.
 */
ALTER TABLE oss_labels.label_alias ENABLE ALWAYS TRIGGER label_alias_insert,
	ENABLE ALWAYS TRIGGER label_alias_refresh,
	ENABLE ALWAYS TRIGGER label_alias_settle;
ALTER TABLE oss_labels.label_rule ENABLE ALWAYS TRIGGER label_rule_insert,
	ENABLE ALWAYS TRIGGER label_rule_refresh,
	ENABLE ALWAYS TRIGGER label_rule_settle;
ALTER TABLE oss_labels.vocabulary ENABLE ALWAYS TRIGGER vocabulary_complete,
	ENABLE ALWAYS TRIGGER vocabulary_insert, ENABLE ALWAYS TRIGGER vocabulary_refresh, ENABLE ALWAYS TRIGGER vocabulary_settle;
ALTER TABLE oss_labels.label_correction ENABLE ALWAYS TRIGGER label_correction_learn;
ALTER TABLE oss_labels.image ENABLE REPLICA TRIGGER image_learn;

COMMENT ON TRIGGER label_alias_insert ON oss_labels.label_alias IS 'keeps vocabulary right; an empty table that is restored takes no time';
COMMENT ON TRIGGER label_alias_refresh ON oss_labels.label_alias IS 'keeps vocabulary right';
COMMENT ON TRIGGER label_alias_settle ON oss_labels.label_alias IS 'keeps vocabulary right beside others';
COMMENT ON TRIGGER label_rule_insert ON oss_labels.label_rule IS 'keeps vocabulary right; an empty table that is restored takes no time';
COMMENT ON TRIGGER label_rule_refresh ON oss_labels.label_rule IS 'keeps vocabulary right';
COMMENT ON TRIGGER label_rule_settle ON oss_labels.label_rule IS 'keeps vocabulary right beside others';
COMMENT ON TRIGGER vocabulary_complete ON oss_labels.vocabulary IS 'gives a row its label_id';
COMMENT ON TRIGGER vocabulary_insert ON oss_labels.vocabulary IS 'keeps vocabulary right';
COMMENT ON TRIGGER vocabulary_refresh ON oss_labels.vocabulary IS 'keeps vocabulary right';
COMMENT ON TRIGGER vocabulary_settle ON oss_labels.vocabulary IS 'keeps vocabulary right beside others';
COMMENT ON TRIGGER label_correction_learn ON oss_labels.label_correction IS 'inserts new labels into vocabulary';
COMMENT ON TRIGGER image_learn ON oss_labels.image IS 'adds replicated labels to vocabulary';

CREATE FUNCTION oss_labels.write_correction(
	role text,
	bucket text,
	key text,
	label_name text,
	present boolean,
	parent_label_name text,
	version_id text,
	corrected_by text,
	note text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	image bigint;
BEGIN
	label_name := oss_labels.nfc(label_name);
	parent_label_name := oss_labels.nfc(parent_label_name);
	IF bucket IS NULL OR key IS NULL OR coalesce(label_name, '') = '' THEN
		RAISE EXCEPTION 'bucket, key and label_name must be given'
			USING ERRCODE = 'invalid_parameter_value',
			HINT = 'None of them may be null.';
	END IF;
	-- forget() must not overlook the correction; a re-tagging is not held up
	SELECT i.image_id INTO image FROM oss_labels.image i
	WHERE i.image_id = oss_labels.image_id(bucket, key, version_id)
		AND i.bucket = bucket AND i.key = key
	FOR KEY SHARE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'no labels are stored for "oss://%/%"', bucket, key
			USING ERRCODE = 'no_data_found', HINT = 'Tag the image first.';
	END IF;
	IF present IS NULL THEN
		DELETE FROM oss_labels.label_correction c
		WHERE c.image_id = image AND (c.label_name = label_name
			OR coalesce((SELECT a.label_name FROM oss_labels.label_alias a
					WHERE a.alias_name = c.label_name), c.label_name)
				= coalesce((SELECT a.label_name FROM oss_labels.label_alias a
					WHERE a.alias_name = label_name), label_name));
		RETURN;
	END IF;
	INSERT INTO oss_labels.label_correction AS c
		(image_id, label_name, parent_label_name, added, corrected_by, note, role)
	VALUES (image, label_name, parent_label_name, present,
		coalesce(corrected_by, session_user), note, role::oss_labels.role_name)
	ON CONFLICT ON CONSTRAINT label_correction_pkey DO UPDATE SET
		parent_label_name = excluded.parent_label_name, added = excluded.added,
		label_confidence = excluded.label_confidence,
		corrected_by = excluded.corrected_by, note = excluded.note, role = excluded.role,
		corrected_at = excluded.corrected_at;
END $$;
COMMENT ON FUNCTION oss_labels.write_correction(text, text, text, text, boolean, text, text, text, text) IS
	'Internal: the part of correct() that runs as the extension''s owner';

CREATE FUNCTION oss_labels.correct(
	bucket text,
	key text,
	label_name text,
	present boolean,
	parent_label_name text DEFAULT NULL,
	version_id text DEFAULT NULL,
	corrected_by text DEFAULT NULL,
	note text DEFAULT NULL)
RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'oss_labels_correct';
COMMENT ON FUNCTION oss_labels.correct(text, text, text, boolean, text, text, text, text) IS
	'Add a label to a stored image (true) or remove it (false), whatever the service returns; null reverts the correction';

CREATE VIEW oss_labels.effective_name WITH (security_invoker = true) AS
	SELECT v.label_name AS raw_label_name, v.effective_name AS label_name,
		coalesce(pg_catalog.max(v.min_confidence), oss_labels.read_threshold()) AS min_confidence,
		pg_catalog.bool_or(v.merged) AS merged
	FROM oss_labels.vocabulary v
	WHERE v.shown
	GROUP BY v.label_name, v.effective_name;
COMMENT ON VIEW oss_labels.effective_name IS
	'The label that each stored name is read as, after aliases and rules; without hidden ones';
COMMENT ON COLUMN oss_labels.effective_name.raw_label_name IS 'the name as stored';
COMMENT ON COLUMN oss_labels.effective_name.label_name IS 'the name that replaces it, or the same';
COMMENT ON COLUMN oss_labels.effective_name.min_confidence IS 'as in label_rule';
COMMENT ON COLUMN oss_labels.effective_name.merged IS 'other names are read as the same label';

/*
 * The planner orders join_collapse_limit (8) relations at most: beyond that, a
 * join with ten pictures reads all labels that there are.  effective_label is
 * four relations, and leaves room for four tables of the user's: which labels
 * are read as the same one is a list in vocabulary, not a join.  Nothing is a
 * correlated subquery, which would keep workers from helping.
 *
 * A row goes for a correction of its label, for a later one if it is a
 * correction, and for a more confident twin.  Twins are looked for among the
 * rows of the few labels that have any.
 */
CREATE VIEW oss_labels.readable_image_label WITH (security_invoker = true) AS
	SELECT l.image_id, v.effective_name AS label_name,
		v.effective_parent AS parent_label_name,
		v.label_level, l.label_confidence, l.centric_score, v.language,
		l.added IS NOT NULL AS corrected, v.label_name AS raw_label_name,
		coalesce(l.label_confidence >= oss_labels.read_threshold(), true)
			OR v.min_confidence IS NOT NULL OR l.added IS TRUE AS counts
	FROM (
		SELECT image_id, label_id, label_confidence, centric_score,
			NULL::boolean AS added, NULL::timestamptz AS corrected_at
		FROM oss_labels.image_label
		UNION ALL
		SELECT image_id, label_id, label_confidence, NULL::float8, added, corrected_at
		FROM oss_labels.label_correction) l
	JOIN oss_labels.vocabulary v ON v.label_id = l.label_id
	WHERE v.shown AND l.added IS NOT FALSE
		AND (v.min_confidence IS NULL OR v.min_confidence = 0 OR l.added
			OR l.label_confidence >= v.min_confidence)
		AND NOT EXISTS (
			SELECT FROM (
				SELECT image_id, label_id, name_id, label_confidence, corrected_at
				FROM oss_labels.label_correction
				UNION ALL
				SELECT image_id, label_id, NULL::bigint, label_confidence, NULL::timestamptz
				FROM oss_labels.image_label) o
			WHERE o.image_id = l.image_id
				AND (o.corrected_at IS NOT NULL OR o.label_id = ANY (ARRAY(
					SELECT m.label_id FROM oss_labels.vocabulary m WHERE m.merged)))
				AND CASE WHEN o.corrected_at IS NULL THEN
						v.merged AND l.added IS NULL AND o.label_id = ANY (v.twins)
						AND (coalesce(o.label_confidence, -1), o.label_id)
							> (coalesce(l.label_confidence, -1), l.label_id)
					ELSE o.name_id = ANY (v.names)
						AND (l.added IS NULL
							OR (o.corrected_at, o.label_id) > (l.corrected_at, l.label_id))
					END);
COMMENT ON VIEW oss_labels.readable_image_label IS 'Internal: effective_image_label, and the labels that count only where a confidence is asked for';
COMMENT ON COLUMN oss_labels.readable_image_label.image_id IS 'as in effective_image_label';
COMMENT ON COLUMN oss_labels.readable_image_label.label_name IS 'as in effective_image_label';
COMMENT ON COLUMN oss_labels.readable_image_label.parent_label_name IS 'as in effective_image_label';
COMMENT ON COLUMN oss_labels.readable_image_label.label_level IS 'as in effective_image_label';
COMMENT ON COLUMN oss_labels.readable_image_label.label_confidence IS 'as in effective_image_label';
COMMENT ON COLUMN oss_labels.readable_image_label.centric_score IS 'as in effective_image_label';
COMMENT ON COLUMN oss_labels.readable_image_label.language IS 'as in effective_image_label';
COMMENT ON COLUMN oss_labels.readable_image_label.corrected IS 'as in effective_image_label';
COMMENT ON COLUMN oss_labels.readable_image_label.raw_label_name IS 'as in effective_image_label';
COMMENT ON COLUMN oss_labels.readable_image_label.counts IS 'whether it is in effective_image_label: by a rule or a correction, or because its confidence reaches oss_labels.read_threshold or is missing';

CREATE VIEW oss_labels.effective_image_label WITH (security_invoker = true) AS
	SELECT r.image_id, r.label_name, r.parent_label_name, r.label_level,
		r.label_confidence, r.centric_score, r.language, r.corrected, r.raw_label_name
	FROM oss_labels.readable_image_label r
	WHERE r.counts;
COMMENT ON VIEW oss_labels.effective_image_label IS 'The rows of effective_label with image_id instead of bucket and key, and with raw_label_name; free';
COMMENT ON COLUMN oss_labels.effective_image_label.image_id IS 'image.image_id';
COMMENT ON COLUMN oss_labels.effective_image_label.label_name IS 'the label, after aliases';
COMMENT ON COLUMN oss_labels.effective_image_label.parent_label_name IS 'its parent, after aliases; null: none';
COMMENT ON COLUMN oss_labels.effective_image_label.label_level IS 'level in the service''s hierarchy of labels; 1: top level; null: added by a person';
COMMENT ON COLUMN oss_labels.effective_image_label.label_confidence IS 'confidence of the service or of the person, 0 to 1';
COMMENT ON COLUMN oss_labels.effective_image_label.centric_score IS 'prominence of the label in the image, 0 to 1; null: added by a person';
COMMENT ON COLUMN oss_labels.effective_image_label.language IS 'language of the name as stored; null: added by a person';
COMMENT ON COLUMN oss_labels.effective_image_label.corrected IS 'added by a person';
COMMENT ON COLUMN oss_labels.effective_image_label.raw_label_name IS 'the name as stored';

/*
 * Not over effective_image_label: one view less saves an eighth of the time to plan
 * a query for the labels of one image, and planning takes most of that query's time.
 */
CREATE VIEW oss_labels.effective_label WITH (security_invoker = true) AS
	SELECT i.bucket, i.key, i.version_id, e.label_name, e.parent_label_name,
		e.label_level, e.label_confidence, e.centric_score, e.language,
		i.tagged_at, i.image_id, e.corrected, i.source
	FROM oss_labels.image i
	JOIN oss_labels.readable_image_label e ON e.image_id = i.image_id
	WHERE i.version_id IS NULL AND e.counts;
COMMENT ON VIEW oss_labels.effective_label IS
	'Stored labels after aliases, house rules and corrections; for reports, joins USING (bucket, key)';
COMMENT ON COLUMN oss_labels.effective_label.bucket IS 'name of the bucket';
COMMENT ON COLUMN oss_labels.effective_label.key IS 'key of the object';
COMMENT ON COLUMN oss_labels.effective_label.version_id IS 'always null: labels of the current version';
COMMENT ON COLUMN oss_labels.effective_label.label_name IS 'the label, after aliases';
COMMENT ON COLUMN oss_labels.effective_label.parent_label_name IS 'its parent, after aliases; null: none';
COMMENT ON COLUMN oss_labels.effective_label.label_level IS 'level in the service''s hierarchy of labels; 1: top level; null: added by a person';
COMMENT ON COLUMN oss_labels.effective_label.label_confidence IS 'confidence of the service or of the person, 0 to 1';
COMMENT ON COLUMN oss_labels.effective_label.centric_score IS 'prominence of the label in the image, 0 to 1; null: added by a person';
COMMENT ON COLUMN oss_labels.effective_label.language IS 'language of the name as stored; null: added by a person';
COMMENT ON COLUMN oss_labels.effective_label.tagged_at IS 'when the request for these labels was sent';
COMMENT ON COLUMN oss_labels.effective_label.image_id IS 'image.image_id';
COMMENT ON COLUMN oss_labels.effective_label.corrected IS 'added by a person';
COMMENT ON COLUMN oss_labels.effective_label.source IS 'image.source: oss, or where the image''s other labels were imported from';

CREATE VIEW oss_labels.label_rollup WITH (security_invoker = true) AS
	SELECT e.parent_label_name, e.label_name,
		grouping(e.label_name) = 1 AS total,
		pg_catalog.count(DISTINCT e.image_id) AS images,
		pg_catalog.max(e.label_confidence) AS max_confidence,
		pg_catalog.avg(e.label_confidence) AS avg_confidence
	FROM oss_labels.effective_image_label e
	WHERE NOT EXISTS (SELECT FROM oss_labels.image i
		WHERE i.image_id = e.image_id AND i.version_id IS NOT NULL)
	GROUP BY GROUPING SETS ((e.parent_label_name), (e.parent_label_name, e.label_name));
COMMENT ON VIEW oss_labels.label_rollup IS
	'Images by parent and child label, after the house rules: a row per parent (total is true) and one per label';
COMMENT ON COLUMN oss_labels.label_rollup.parent_label_name IS 'parent; null: labels without parent';
COMMENT ON COLUMN oss_labels.label_rollup.label_name IS 'the label, after aliases; null in the row of the parent';
COMMENT ON COLUMN oss_labels.label_rollup.total IS 'whether this is the row of the parent';
COMMENT ON COLUMN oss_labels.label_rollup.images IS 'number of images';
COMMENT ON COLUMN oss_labels.label_rollup.max_confidence IS 'highest confidence, 0 to 1';
COMMENT ON COLUMN oss_labels.label_rollup.avg_confidence IS 'mean confidence, 0 to 1';

-- Search

CREATE TYPE oss_labels.label_query;

CREATE FUNCTION oss_labels.label_query_in(cstring) RETURNS oss_labels.label_query
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'oss_labels_label_query_in';
CREATE FUNCTION oss_labels.label_query_out(oss_labels.label_query) RETURNS cstring
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'oss_labels_label_query_out';
CREATE FUNCTION oss_labels.label_query_recv(internal) RETURNS oss_labels.label_query
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'oss_labels_label_query_recv';
CREATE FUNCTION oss_labels.label_query_send(oss_labels.label_query) RETURNS bytea
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'oss_labels_label_query_send';

CREATE TYPE oss_labels.label_query (
	INPUT = oss_labels.label_query_in,
	OUTPUT = oss_labels.label_query_out,
	RECEIVE = oss_labels.label_query_recv,
	SEND = oss_labels.label_query_send,
	INTERNALLENGTH = VARIABLE,
	STORAGE = EXTENDED,
	COLLATABLE = true
);
COMMENT ON TYPE oss_labels.label_query IS
	'A condition on the labels of an image, such as: Beach & (Sunset | Dog:0.9) & !parent:Food';
COMMENT ON FUNCTION oss_labels.label_query_in(cstring) IS 'Internal: input function of label_query';
COMMENT ON FUNCTION oss_labels.label_query_out(oss_labels.label_query) IS 'Internal: output function of label_query';
COMMENT ON FUNCTION oss_labels.label_query_recv(internal) IS 'Internal: binary input function of label_query';
COMMENT ON FUNCTION oss_labels.label_query_send(oss_labels.label_query) IS 'Internal: binary output function of label_query';

CREATE CAST (oss_labels.label_query AS text) WITHOUT FUNCTION AS IMPLICIT;
CREATE CAST (text AS oss_labels.label_query) WITH INOUT AS ASSIGNMENT;
COMMENT ON CAST (oss_labels.label_query AS text) IS 'returns the canonical text';
COMMENT ON CAST (text AS oss_labels.label_query) IS 'parses a label_query';

CREATE FUNCTION oss_labels.label_query_and(oss_labels.label_query, oss_labels.label_query)
RETURNS oss_labels.label_query
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'oss_labels_label_query_and';
CREATE FUNCTION oss_labels.label_query_or(oss_labels.label_query, oss_labels.label_query)
RETURNS oss_labels.label_query
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'oss_labels_label_query_or';
CREATE FUNCTION oss_labels.label_query_not(oss_labels.label_query)
RETURNS oss_labels.label_query
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'oss_labels_label_query_not';
COMMENT ON FUNCTION oss_labels.label_query_and(oss_labels.label_query, oss_labels.label_query) IS 'Internal: function of the operator &&';
COMMENT ON FUNCTION oss_labels.label_query_or(oss_labels.label_query, oss_labels.label_query) IS 'Internal: function of the operator ||';
COMMENT ON FUNCTION oss_labels.label_query_not(oss_labels.label_query) IS 'Internal: function of the operator !!';

/* In pg_catalog, so that they are found whatever search_path. */
CREATE OPERATOR pg_catalog.&& (
	LEFTARG = oss_labels.label_query, RIGHTARG = oss_labels.label_query,
	FUNCTION = oss_labels.label_query_and);
CREATE OPERATOR pg_catalog.|| (
	LEFTARG = oss_labels.label_query, RIGHTARG = oss_labels.label_query,
	FUNCTION = oss_labels.label_query_or);
CREATE OPERATOR pg_catalog.!! (
	RIGHTARG = oss_labels.label_query, FUNCTION = oss_labels.label_query_not);
COMMENT ON OPERATOR pg_catalog.&& (oss_labels.label_query, oss_labels.label_query) IS 'both queries';
COMMENT ON OPERATOR pg_catalog.|| (oss_labels.label_query, oss_labels.label_query) IS 'either query';
COMMENT ON OPERATOR pg_catalog.!! (NONE, oss_labels.label_query) IS 'not the query';

/*
 * Queries are text here: a label_query is cast to it, and so are parameters
 * without a type and of the types text and varchar.
 */
CREATE FUNCTION oss_labels.search(query text, max_rows bigint DEFAULT NULL,
	bucket text DEFAULT NULL, prefix text DEFAULT NULL)
RETURNS TABLE (
	bucket text,
	key text,
	version_id text,
	score double precision,
	image_id bigint)
LANGUAGE c STABLE PARALLEL RESTRICTED COST 10000 ROWS 1000
SET search_path = pg_catalog, pg_temp
SET jit = off
AS 'MODULE_PATHNAME', 'oss_labels_search';
COMMENT ON FUNCTION oss_labels.search(text, bigint, text, text) IS
	'Stored images whose labels match a query, after the house rules, of a bucket and with a prefix; best first; free';

CREATE FUNCTION oss_labels.search_ids(query text)
RETURNS bigint[]
LANGUAGE c STABLE STRICT PARALLEL RESTRICTED COST 10000
SET search_path = pg_catalog, pg_temp
SET jit = off
AS 'MODULE_PATHNAME', 'oss_labels_search_ids';
COMMENT ON FUNCTION oss_labels.search_ids(text) IS
'The image_ids that search() finds, in ascending order, for index scans of @@; free';

CREATE FUNCTION oss_labels.image_matches_support(internal)
RETURNS internal
LANGUAGE c STRICT
AS 'MODULE_PATHNAME', 'oss_labels_image_matches_support';
COMMENT ON FUNCTION oss_labels.image_matches_support(internal) IS 'Internal: planner support for the operator @@; turns it into a scan of an index on image_id';

CREATE FUNCTION oss_labels.image_matches(image_id bigint, query text)
RETURNS boolean
LANGUAGE c STABLE STRICT PARALLEL RESTRICTED COST 1000
SUPPORT oss_labels.image_matches_support
SET search_path = pg_catalog, pg_temp
SET jit = off
AS 'MODULE_PATHNAME', 'oss_labels_image_matches';
COMMENT ON FUNCTION oss_labels.image_matches(bigint, text) IS
	'Internal: function of the operator @@';

CREATE OPERATOR pg_catalog.@@ (
	LEFTARG = bigint, RIGHTARG = text,
	FUNCTION = oss_labels.image_matches,
	RESTRICT = contsel, JOIN = contjoinsel);
COMMENT ON OPERATOR pg_catalog.@@ (bigint, text) IS 'whether the image with this image_id matches the query';

CREATE FUNCTION oss_labels.matches(
	bucket text,
	key text,
	query text,
	version_id text DEFAULT NULL)
RETURNS boolean
LANGUAGE sql STABLE PARALLEL RESTRICTED
BEGIN ATOMIC
	SELECT EXISTS (
		SELECT FROM oss_labels.image i
		WHERE i.image_id = oss_labels.image_id(matches.bucket, matches.key, matches.version_id)
			AND i.bucket = matches.bucket AND i.key = matches.key
			AND oss_labels.image_matches(i.image_id, matches.query));
END;
COMMENT ON FUNCTION oss_labels.matches(text, text, text, text) IS
	'Whether the stored labels of an image match a query; for many images, join with search(); free';

-- Albums: rules, with people's pins and exclusions on top

CREATE TABLE oss_labels.album
(
	album_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	name text NOT NULL,
	owner text NOT NULL DEFAULT CURRENT_USER,
	rule oss_labels.label_query,
	created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	role oss_labels.role_name NOT NULL DEFAULT CURRENT_USER::text::oss_labels.role_name
);
CREATE UNIQUE INDEX album_name_idx ON oss_labels.album ((role::bytea), owner, name);
COMMENT ON INDEX oss_labels.album_name_idx IS 'names are unique for each owner within a role';
COMMENT ON TABLE oss_labels.album IS 'Smart albums; rule and album_pin decide which images are in album_member';
COMMENT ON COLUMN oss_labels.album.album_id IS 'identifies the album in album_pin';
COMMENT ON COLUMN oss_labels.album.name IS 'name, unique per role and owner';
COMMENT ON COLUMN oss_labels.album.owner IS 'owner: a role, or a user of the application, as it says';
COMMENT ON COLUMN oss_labels.album.role IS 'the role that it belongs to; a role cannot name another one';
COMMENT ON COLUMN oss_labels.album.rule IS 'query for its images; null: only pinned ones';
COMMENT ON COLUMN oss_labels.album.created_at IS 'when it was created';
COMMENT ON SEQUENCE oss_labels.album_album_id_seq IS 'generates album_id';

CREATE TABLE oss_labels.album_pin
(
	album_id bigint NOT NULL,
	bucket text NOT NULL,
	key text NOT NULL,
	pinned boolean NOT NULL,
	pinned_by text NOT NULL DEFAULT CURRENT_USER,
	pinned_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	role oss_labels.role_name NOT NULL DEFAULT CURRENT_USER::text::oss_labels.role_name,
	PRIMARY KEY (album_id, bucket, key)
);
/*
 * No foreign key: pg_restore --jobs loads the tables of an extension in any order.
 * check_role() and pin() refuse pins to albums that are not there.
 */
CREATE FUNCTION oss_labels.drop_album_pins()
	RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp
	AS $$
BEGIN
	IF TG_OP = 'TRUNCATE' THEN
		TRUNCATE oss_labels.album_pin;
	ELSE
		DELETE FROM oss_labels.album_pin p USING gone g WHERE p.album_id = g.album_id;
	END IF;
	RETURN NULL;
END $$;
COMMENT ON FUNCTION oss_labels.drop_album_pins() IS 'Internal: trigger function of album that deletes pins with their album';
CREATE TRIGGER album_delete AFTER DELETE ON oss_labels.album
	REFERENCING OLD TABLE AS gone
	FOR EACH STATEMENT EXECUTE FUNCTION oss_labels.drop_album_pins();
CREATE TRIGGER album_truncate AFTER TRUNCATE ON oss_labels.album
	FOR EACH STATEMENT EXECUTE FUNCTION oss_labels.drop_album_pins();
COMMENT ON TRIGGER album_delete ON oss_labels.album IS 'deletes the pins of deleted albums';
COMMENT ON TRIGGER album_truncate ON oss_labels.album IS 'truncates album_pin with album';
CREATE INDEX album_pin_key_idx ON oss_labels.album_pin (bucket, key);
COMMENT ON INDEX oss_labels.album_pin_key_idx IS 'decisions about an image';
COMMENT ON TABLE oss_labels.album_pin IS 'Images that people pinned to an album or excluded from it';
COMMENT ON COLUMN oss_labels.album_pin.album_id IS 'album.album_id';
COMMENT ON COLUMN oss_labels.album_pin.bucket IS 'bucket of the image';
COMMENT ON COLUMN oss_labels.album_pin.key IS 'key of the image';
COMMENT ON COLUMN oss_labels.album_pin.pinned IS 'true: pinned; false: excluded';
COMMENT ON COLUMN oss_labels.album_pin.pinned_by IS 'person who decided, as given by the application';
COMMENT ON COLUMN oss_labels.album_pin.role IS 'the role that decided; a role cannot name another one';
COMMENT ON COLUMN oss_labels.album_pin.pinned_at IS 'time of the last decision';

CREATE VIEW oss_labels.album_member WITH (security_invoker = true) AS
	SELECT a.album_id, a.name, a.owner, s.bucket, s.key, s.version_id, s.score,
		false AS pinned
	FROM oss_labels.album a
	CROSS JOIN LATERAL oss_labels.search(a.rule) s
	WHERE NOT EXISTS (
		SELECT FROM oss_labels.album_pin p
		WHERE p.album_id = a.album_id AND p.bucket = s.bucket AND p.key = s.key)
	UNION ALL
	SELECT a.album_id, a.name, a.owner, p.bucket, p.key, NULL::text, NULL::float8, true
	FROM oss_labels.album a
	JOIN oss_labels.album_pin p ON p.album_id = a.album_id
	WHERE p.pinned;
COMMENT ON VIEW oss_labels.album_member IS
	'Images of albums, evaluated by each query; restrict it to an album, since each rule is a search';
COMMENT ON COLUMN oss_labels.album_member.album_id IS 'album.album_id';
COMMENT ON COLUMN oss_labels.album_member.name IS 'album.name';
COMMENT ON COLUMN oss_labels.album_member.owner IS 'album.owner';
COMMENT ON COLUMN oss_labels.album_member.bucket IS 'name of the bucket';
COMMENT ON COLUMN oss_labels.album_member.key IS 'key of the object';
COMMENT ON COLUMN oss_labels.album_member.version_id IS 'always null: the current version';
COMMENT ON COLUMN oss_labels.album_member.score IS 'as by search(); null: pinned';
COMMENT ON COLUMN oss_labels.album_member.pinned IS 'pinned by a person';

CREATE FUNCTION oss_labels.albums_of(bucket text, key text, version_id text DEFAULT NULL)
RETURNS SETOF oss_labels.album
LANGUAGE c STABLE PARALLEL RESTRICTED COST 10000 ROWS 10
SET search_path = pg_catalog, pg_temp
SET jit = off
AS 'MODULE_PATHNAME', 'oss_labels_albums_of';
COMMENT ON FUNCTION oss_labels.albums_of(text, text, text) IS 'The albums that contain an image; free';

CREATE FUNCTION oss_labels.pin(
	album_id bigint,
	bucket text,
	key text,
	pinned boolean DEFAULT true,
	pinned_by text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF pinned IS NULL THEN
		DELETE FROM oss_labels.album_pin p
		WHERE p.album_id = $1 AND p.bucket = $2 AND p.key = $3;
		RETURN;
	END IF;
	INSERT INTO oss_labels.album_pin (album_id, bucket, key, pinned, pinned_by)
	VALUES ($1, $2, $3, $4, coalesce($5, session_user))
	ON CONFLICT ON CONSTRAINT album_pin_pkey DO UPDATE SET pinned = excluded.pinned,
		pinned_by = excluded.pinned_by, pinned_at = excluded.pinned_at, role = excluded.role;
	IF NOT EXISTS (SELECT FROM oss_labels.album a WHERE a.album_id = $1) THEN
		RAISE EXCEPTION 'album % does not exist', album_id USING ERRCODE = 'foreign_key_violation',
			HINT = 'The column album_id of oss_labels.album has the numbers of albums.';
	END IF;
END $$;
COMMENT ON FUNCTION oss_labels.pin(bigint, text, text, boolean, text) IS
	'Pin an image to an album (true), exclude it (false), or remove that decision (null)';

-- Recommendation

ALTER TABLE oss_labels.image_label ALTER label_id SET STATISTICS 1000;

CREATE FUNCTION oss_labels.label_weight(label_confidence double precision, centric_score double precision)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN coalesce(label_confidence, 0.5) * (1 + coalesce(centric_score, 0.5)) / 2;
COMMENT ON FUNCTION oss_labels.label_weight(double precision, double precision) IS
	'Weight of a label in its image, 0 to 1: its confidence, halved if it is not prominent';

CREATE FUNCTION oss_labels.rarity_of_all()
RETURNS TABLE (label_name text, rarity double precision)
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 2000
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	labels float8;		-- label rows
	images float8;
	stats record;
BEGIN
	SELECT c.reltuples INTO labels FROM pg_class c
	WHERE c.oid = 'oss_labels.image_label'::regclass;
	SELECT s.most_common_vals::text::bigint[] AS ids, s.most_common_freqs AS freqs,
		s.n_distinct AS n INTO stats
	FROM pg_stats s
	WHERE s.schemaname = 'oss_labels' AND s.tablename = 'image_label'
		AND s.attname = 'label_id';
	IF stats.ids IS NULL OR labels < 50000 THEN
		-- few enough to be counted, or nothing better is known
		SELECT count(*) INTO images FROM oss_labels.image;
		RETURN QUERY
			SELECT v.effective_name, ln(1 + images / sum(c.n)::float8)
			FROM (SELECT l.label_id, count(*) AS n FROM oss_labels.image_label l
				WHERE l.label_confidence >= oss_labels.read_threshold()
					OR l.label_confidence IS NULL
				GROUP BY l.label_id
				UNION ALL
				SELECT l.label_id, count(*) FROM oss_labels.label_correction l
				WHERE l.added GROUP BY l.label_id) c
			JOIN oss_labels.vocabulary v ON v.label_id = c.label_id
			WHERE v.shown
			GROUP BY v.effective_name;
		RETURN;
	END IF;
	SELECT greatest(c.reltuples, 1) INTO images FROM pg_class c
	WHERE c.oid = 'oss_labels.image'::regclass;
	RETURN QUERY
		SELECT v.effective_name, ln(1 + images / greatest(1, labels
			* sum(coalesce(m.freq, o.freq))))
		FROM oss_labels.vocabulary v
		LEFT JOIN unnest(stats.ids, stats.freqs) m (label_id, freq)
			ON m.label_id = v.label_id
		CROSS JOIN (SELECT greatest(0, 1 - sum(f)) / greatest(1,
				CASE WHEN stats.n < 0 THEN -stats.n * labels ELSE stats.n END - count(*)) AS freq
			FROM unnest(stats.freqs) f) o
		WHERE v.shown
		GROUP BY v.effective_name;
END $$;
COMMENT ON FUNCTION oss_labels.rarity_of_all() IS 'Internal: label_rarity() for callers who may read all images, from the statistics';

CREATE FUNCTION oss_labels.rarity_of_own()
RETURNS TABLE (label_name text, rarity double precision)
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 2000
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	buckets text[] := ARRAY(SELECT split_part(s, '/', 1)
		FROM unnest(oss_labels.reading_scope()) s WHERE s <> '');
	sample bigint[];
BEGIN
	IF buckets = '{}' THEN
		sample := ARRAY(SELECT i.image_id FROM oss_labels.image i LIMIT 10000);
	ELSE
		sample := ARRAY(SELECT i.image_id FROM oss_labels.image i
			WHERE i.bucket = ANY (buckets) LIMIT 10000);
	END IF;
	RETURN QUERY
		SELECT v.effective_name, ln(1 + cardinality(sample) / sum(c.n)::float8)
		FROM (SELECT l.label_id, count(*) AS n FROM oss_labels.image_label l
			WHERE l.image_id = ANY (sample)
				AND (l.label_confidence >= oss_labels.read_threshold()
					OR l.label_confidence IS NULL)
			GROUP BY l.label_id
			UNION ALL
			SELECT l.label_id, count(*) FROM oss_labels.label_correction l
			WHERE l.added AND l.image_id = ANY (sample) GROUP BY l.label_id) c
		JOIN oss_labels.vocabulary v ON v.label_id = c.label_id
		WHERE v.shown
		GROUP BY v.effective_name;
END $$;
COMMENT ON FUNCTION oss_labels.rarity_of_own() IS 'Internal: label_rarity() for callers who may read some images, from 10 000 of them';

CREATE FUNCTION oss_labels.label_rarity()
RETURNS TABLE (label_name text, rarity double precision)
LANGUAGE c STABLE PARALLEL SAFE ROWS 2000
AS 'MODULE_PATHNAME', 'oss_labels_label_rarity';
COMMENT ON FUNCTION oss_labels.label_rarity() IS
	'Rarity of each label, after the house rules: ln(1 + images / images with the label); free';

CREATE FUNCTION oss_labels.profile_add(internal, text, double precision, double precision, double precision)
RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'oss_labels_profile_add';
COMMENT ON FUNCTION oss_labels.profile_add(internal, text, double precision, double precision, double precision) IS 'Internal: transition function of profile()';

CREATE FUNCTION oss_labels.profile_result(internal)
RETURNS jsonb
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'oss_labels_profile_result';
COMMENT ON FUNCTION oss_labels.profile_result(internal) IS 'Internal: final function of profile()';

CREATE AGGREGATE oss_labels.profile(
	label_name text,
	label_confidence double precision,
	centric_score double precision,
	weight double precision)
(
	SFUNC = oss_labels.profile_add,
	STYPE = internal,
	FINALFUNC = oss_labels.profile_result,
	PARALLEL = SAFE
);
COMMENT ON AGGREGATE oss_labels.profile(text, double precision, double precision, double precision) IS
	'A profile for images_for(): an object of labels and weights, from labels of images that somebody looked at';

CREATE FUNCTION oss_labels.rank_images(
	names text[],
	weights double precision[],
	except_id bigint,
	max_rows integer,
	max_likeness double precision,
	candidates integer,
	bucket text,
	prefix text)
RETURNS TABLE (image_id bigint, score double precision)
LANGUAGE c STABLE PARALLEL RESTRICTED COST 100000 ROWS 20
SET search_path = pg_catalog, pg_temp
SET jit = off
SET max_parallel_workers_per_gather = 0
AS 'MODULE_PATHNAME', 'oss_labels_rank_images';
COMMENT ON FUNCTION oss_labels.rank_images(text[], double precision[], bigint, integer, double precision, integer, text, text) IS
	'Internal: images by the cosine between their labels and given ones, for related_images() and images_for()';

CREATE FUNCTION oss_labels.related_images(
	bucket text,
	key text,
	max_rows integer DEFAULT 20,
	version_id text DEFAULT NULL,
	max_likeness double precision DEFAULT 0.95,
	in_bucket text DEFAULT NULL,
	prefix text DEFAULT NULL)
RETURNS TABLE (bucket text, key text, version_id text, score double precision, image_id bigint)
LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 20
SET jit = off
BEGIN ATOMIC
	SELECT i.bucket, i.key, i.version_id, r.score, r.image_id
	FROM (SELECT e.image_id, pg_catalog.array_agg(e.label_name ORDER BY e.label_name) AS names,
			pg_catalog.array_agg(oss_labels.label_weight(e.label_confidence, e.centric_score)
				ORDER BY e.label_name) AS weights
		FROM oss_labels.effective_image_label e
		WHERE e.image_id = ANY (ARRAY(
			SELECT o.image_id FROM oss_labels.image o
			WHERE o.image_id = oss_labels.image_id(related_images.bucket,
					related_images.key, related_images.version_id)
				AND o.bucket = related_images.bucket AND o.key = related_images.key))
		GROUP BY e.image_id) q
	CROSS JOIN LATERAL oss_labels.rank_images(q.names, q.weights, q.image_id,
		related_images.max_rows, related_images.max_likeness, 2500,
		related_images.in_bucket, related_images.prefix) r
	JOIN oss_labels.image i ON i.image_id = r.image_id
	ORDER BY r.score DESC, r.image_id;
END;
COMMENT ON FUNCTION oss_labels.related_images(text, text, integer, text, double precision, text, text) IS
	'Stored images whose labels are most similar to those of a stored image, without near-duplicates; best first; free';

CREATE FUNCTION oss_labels.check_profile(profile jsonb)
	RETURNS jsonb
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'oss_labels_check_profile';
COMMENT ON FUNCTION oss_labels.check_profile(jsonb) IS 'Internal: a profile that is an object of numbers, else an error';

CREATE FUNCTION oss_labels.images_for(
	profile jsonb,
	max_rows integer DEFAULT 20,
	max_likeness double precision DEFAULT 0.95,
	bucket text DEFAULT NULL,
	prefix text DEFAULT NULL)
RETURNS TABLE (bucket text, key text, version_id text, score double precision, image_id bigint)
LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 20
SET jit = off
BEGIN ATOMIC
	SELECT i.bucket, i.key, i.version_id, r.score, r.image_id
	FROM (SELECT pg_catalog.array_agg(p.key ORDER BY p.key) AS names,
			pg_catalog.array_agg(p.value::pg_catalog.float8 ORDER BY p.key) AS weights
		FROM pg_catalog.jsonb_each_text(oss_labels.check_profile(images_for.profile)) p) q
	CROSS JOIN LATERAL oss_labels.rank_images(q.names, q.weights, NULL,
		images_for.max_rows, images_for.max_likeness, 2500,
		images_for.bucket, images_for.prefix) r
	JOIN oss_labels.image i ON i.image_id = r.image_id
	ORDER BY r.score DESC, r.image_id;
END;
COMMENT ON FUNCTION oss_labels.images_for(jsonb, integer, double precision, text, text) IS
	'Stored images that match a profile, from profile() or elsewhere; best first; free';

CREATE FUNCTION oss_labels.image_sparsevec(bucket text, key text, version_id text DEFAULT NULL)
RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
SET jit = off
BEGIN ATOMIC
	SELECT '{' || pg_catalog.string_agg(v.dimension || ':' || v.weight, ','
			ORDER BY v.dimension) || '}/268435456'
	FROM (SELECT 1 + ('x' || pg_catalog.left(pg_catalog.md5(e.label_name), 7))::bit(28)::integer
				AS dimension,
			pg_catalog.sum(oss_labels.label_weight(e.label_confidence, e.centric_score))::real
				AS weight
		FROM oss_labels.effective_image_label e
		WHERE e.image_id = ANY (ARRAY(
			SELECT i.image_id FROM oss_labels.image i
			WHERE i.image_id = oss_labels.image_id(image_sparsevec.bucket,
					image_sparsevec.key, image_sparsevec.version_id)
				AND i.bucket = image_sparsevec.bucket AND i.key = image_sparsevec.key))
		GROUP BY 1) v;
END;
COMMENT ON FUNCTION oss_labels.image_sparsevec(text, text, text) IS
	'The labels of a stored image, after the house rules, in the text form of pgvector''s sparsevec; free';

-- ---------------------------------------------------------------------
-- 9. Tenants: who reads and writes which buckets
-- ---------------------------------------------------------------------

/*
 * Row security of image hides stored images; the other tables follow it.  It is
 * off until a role is limited to a bucket: pg_dump can read tables with row
 * security only as superuser or owner.  pg_dump does not restore it, since these
 * are tables of an extension: the trigger on bucket_grant does.
 *
 * A scope is an array of texts "bucket/prefix", of which '' is everything.
 */

CREATE TABLE oss_labels.bucket_grant
(
	role oss_labels.role_name NOT NULL,
	bucket text NOT NULL CHECK (bucket <> '' AND bucket NOT LIKE '%/%'),
	prefix text NOT NULL DEFAULT '',
	writes boolean NOT NULL DEFAULT false
);
CREATE UNIQUE INDEX bucket_grant_idx ON oss_labels.bucket_grant ((role::bytea), bucket, prefix);
ALTER TABLE oss_labels.bucket_grant REPLICA IDENTITY FULL;
COMMENT ON TABLE oss_labels.bucket_grant IS 'The buckets that roles are limited to, by grant_reading() and grant_writing()';
COMMENT ON COLUMN oss_labels.bucket_grant.role IS 'the role';
COMMENT ON COLUMN oss_labels.bucket_grant.bucket IS 'the bucket that it reads';
COMMENT ON COLUMN oss_labels.bucket_grant.prefix IS 'only keys with this prefix; empty: all';
COMMENT ON COLUMN oss_labels.bucket_grant.writes IS 'it also writes: import_labels(), forget(), correct()';
COMMENT ON INDEX oss_labels.bucket_grant_idx IS 'a grant once';

CREATE VIEW oss_labels.own_bucket_grant WITH (security_barrier = true) AS
	SELECT g.role::text AS role, g.bucket, g.prefix, g.writes
	FROM oss_labels.bucket_grant g
	WHERE pg_catalog.pg_has_role(pg_catalog.to_regrole(pg_catalog.quote_ident(g.role::text)), 'USAGE');
COMMENT ON VIEW oss_labels.own_bucket_grant IS 'The grants of the caller''s roles';
COMMENT ON COLUMN oss_labels.own_bucket_grant.role IS 'as in bucket_grant';
COMMENT ON COLUMN oss_labels.own_bucket_grant.bucket IS 'as in bucket_grant';
COMMENT ON COLUMN oss_labels.own_bucket_grant.prefix IS 'as in bucket_grant';
COMMENT ON COLUMN oss_labels.own_bucket_grant.writes IS 'as in bucket_grant';

CREATE FUNCTION oss_labels.may_read_all()
	RETURNS boolean
	LANGUAGE sql STABLE PARALLEL SAFE
	RETURN true;
COMMENT ON FUNCTION oss_labels.may_read_all() IS 'EXECUTE on this is the right to read all buckets; see grant_reading()';

CREATE FUNCTION oss_labels.may_write_all()
	RETURNS boolean
	LANGUAGE sql STABLE PARALLEL SAFE
	RETURN true;
COMMENT ON FUNCTION oss_labels.may_write_all() IS 'EXECUTE on this is the right to write all buckets; see grant_writing()';

/* Policies on image that are not the extension's replace may_read_all(). */
CREATE FUNCTION oss_labels.has_policy(permissive boolean[], commands "char"[])
RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
	SELECT EXISTS (SELECT FROM pg_catalog.pg_policy p
		WHERE p.polrelid = 'oss_labels.image'::pg_catalog.regclass
			AND p.polname <> 'bucket_grant'
			AND p.polpermissive = ANY (has_policy.permissive)
			AND p.polcmd = ANY (has_policy.commands)
			AND EXISTS (SELECT FROM pg_catalog.unnest(p.polroles) r (role)
				WHERE r.role = 0 OR pg_catalog.pg_has_role(r.role, 'USAGE')));
END;
COMMENT ON FUNCTION oss_labels.has_policy(boolean[], "char"[]) IS 'Internal: whether image has policies for the caller that are not the extension''s';

CREATE FUNCTION oss_labels.reading_scope()
RETURNS text[]
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF has_function_privilege('oss_labels.may_read_all()', 'EXECUTE')
		AND NOT oss_labels.has_policy('{true}', '{r,*}') THEN
		RETURN '{""}';
	END IF;
	RETURN ARRAY(SELECT g.bucket || '/' || g.prefix FROM oss_labels.own_bucket_grant g);
END $$;
COMMENT ON FUNCTION oss_labels.reading_scope() IS 'Internal: which images the caller reads by grants';

CREATE FUNCTION oss_labels.reads_all()
RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN NOT row_security_active('oss_labels.image')
		OR has_function_privilege('oss_labels.may_read_all()', 'EXECUTE')
			AND NOT oss_labels.has_policy('{true,false}', '{r,*}');
END $$;
COMMENT ON FUNCTION oss_labels.reads_all() IS 'Internal: whether nothing of image is hidden from the caller';

CREATE FUNCTION oss_labels.may_write(bucket text, key text)
RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN CASE WHEN has_function_privilege('oss_labels.may_write_all()', 'EXECUTE')
			OR EXISTS (SELECT FROM oss_labels.own_bucket_grant g
				WHERE g.writes AND g.bucket = may_write.bucket
					AND starts_with(may_write.key, g.prefix)) THEN true
		WHEN NOT oss_labels.has_policy('{true}', '{*,a,w,d}') THEN false END;
END $$;
COMMENT ON FUNCTION oss_labels.may_write(text, text) IS 'Internal: whether the caller may write this image; null: if he sees it';

/* Null: whether it is hidden from him. */
CREATE FUNCTION oss_labels.may_keep(bucket text, key text)
RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF EXISTS (SELECT FROM oss_labels.own_bucket_grant g) THEN
		RETURN bucket || '/' || key ^@ ANY (oss_labels.reading_scope());
	END IF;
	RETURN CASE WHEN NOT oss_labels.has_policy('{true,false}', '{r,*}') THEN true END;
END $$;
COMMENT ON FUNCTION oss_labels.may_keep(text, text) IS 'Internal: whether the answer that tag() has got for the caller may be stored; null: unless the stored row is hidden from the caller';

/*
 * Policies without row security: nothing is done yet.  Scalar sub-selects, for
 * which the planner always looks rows up by the index: of EXISTS it may make a
 * hash of all images, to read the labels of one.
 */
CREATE POLICY bucket_grant ON oss_labels.image FOR SELECT
	USING ((SELECT oss_labels.reads_all())
		OR (bucket || '/' || key) ^@ ANY ((SELECT oss_labels.reading_scope())::text[]));
CREATE POLICY image ON oss_labels.image_label FOR SELECT
	USING ((SELECT oss_labels.reads_all())
		OR (SELECT true FROM oss_labels.image i WHERE i.image_id = image_label.image_id));
CREATE POLICY image ON oss_labels.label_correction FOR SELECT
	USING ((SELECT oss_labels.reads_all())
		OR (SELECT true FROM oss_labels.image i WHERE i.image_id = label_correction.image_id));
/* All roles see the service's labels; labels that were added by hand are private. */
CREATE POLICY image ON oss_labels.vocabulary FOR SELECT
	USING ((SELECT oss_labels.reads_all()) OR label_level IS NOT NULL
		OR (SELECT true FROM oss_labels.label_correction c WHERE c.label_id = vocabulary.label_id LIMIT 1)
		OR (SELECT true FROM oss_labels.image_label l WHERE l.label_id = vocabulary.label_id LIMIT 1));
CREATE POLICY own ON oss_labels.album
	USING (pg_catalog.pg_has_role(pg_catalog.to_regrole(pg_catalog.quote_ident(role::text)), 'USAGE'));
CREATE POLICY reading ON oss_labels.album FOR SELECT USING ((SELECT oss_labels.reads_all()));
CREATE POLICY own ON oss_labels.album_pin
	USING (EXISTS (SELECT FROM oss_labels.album a WHERE a.album_id = album_pin.album_id
		AND pg_catalog.pg_has_role(pg_catalog.to_regrole(pg_catalog.quote_ident(a.role::text)), 'USAGE')));
CREATE POLICY reading ON oss_labels.album_pin FOR SELECT USING ((SELECT oss_labels.reads_all()));

COMMENT ON POLICY bucket_grant ON oss_labels.image IS 'by grant_reading()';
COMMENT ON POLICY image ON oss_labels.image_label IS 'as the image';
COMMENT ON POLICY image ON oss_labels.label_correction IS 'as the image';
COMMENT ON POLICY image ON oss_labels.vocabulary IS 'as the images, for labels that the service did not name';
COMMENT ON POLICY own ON oss_labels.album IS 'of the caller''s roles';
COMMENT ON POLICY reading ON oss_labels.album IS 'for roles that may read everything';
COMMENT ON POLICY own ON oss_labels.album_pin IS 'as the album';
COMMENT ON POLICY reading ON oss_labels.album_pin IS 'for roles that may read everything';

CREATE PROCEDURE oss_labels.spread_row_security()
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	one record;
BEGIN
	FOR one IN SELECT c.oid::regclass AS name, i.relrowsecurity AS wanted
		FROM pg_class i, pg_class c
		WHERE i.oid = 'oss_labels.image'::regclass AND c.relrowsecurity <> i.relrowsecurity
			AND c.oid = ANY ('{oss_labels.image_label, oss_labels.label_correction, oss_labels.vocabulary,
				oss_labels.album, oss_labels.album_pin}'::regclass[])
	LOOP
		EXECUTE format('ALTER TABLE %s %s ROW LEVEL SECURITY', one.name,
			CASE WHEN one.wanted THEN 'ENABLE' ELSE 'DISABLE' END);
	END LOOP;
END $$;
COMMENT ON PROCEDURE oss_labels.spread_row_security() IS 'Internal: has row security of the other tables be as that of image';

CREATE PROCEDURE oss_labels.enforce_row_security()
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT (SELECT c.relrowsecurity FROM pg_class c WHERE c.oid = 'oss_labels.image'::regclass) THEN
		-- in the order in which a restore in parallel locks some of them
		LOCK TABLE oss_labels.image, oss_labels.image_label, oss_labels.label_correction,
			oss_labels.album_pin, oss_labels.album, oss_labels.vocabulary;
		ALTER TABLE oss_labels.image ENABLE ROW LEVEL SECURITY;
		CALL oss_labels.spread_row_security();
	END IF;
EXCEPTION WHEN object_in_use THEN
	RAISE EXCEPTION 'row security cannot be enabled while a query of this session reads labels'
		USING ERRCODE = 'object_in_use', DETAIL = SQLERRM,
		HINT = 'The first role that is limited to a bucket needs it: end loops and cursors over tables of oss_labels before, or read the buckets into an array.';
END $$;
COMMENT ON PROCEDURE oss_labels.enforce_row_security() IS 'Internal: enables row security, since a role is limited';

CREATE FUNCTION oss_labels.follow_row_security()
RETURNS event_trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	changed name;
BEGIN
	FOR changed IN SELECT c.relname FROM pg_event_trigger_ddl_commands() d
		JOIN pg_class c ON c.oid = d.objid AND d.classid = 'pg_class'::regclass
		JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = 'oss_labels' AND c.relname IN ('image', 'bucket_grant')
	LOOP
		IF changed = 'image' THEN
			CALL oss_labels.spread_row_security();
		ELSIF EXISTS (SELECT FROM oss_labels.bucket_grant) THEN
			CALL oss_labels.enforce_row_security();
		END IF;
	END LOOP;
END $$;
COMMENT ON FUNCTION oss_labels.follow_row_security() IS 'Internal: event trigger for ALTER TABLE image ENABLE or DISABLE ROW LEVEL SECURITY, and bucket_grant ENABLE TRIGGER';

CREATE EVENT TRIGGER oss_labels_follow_row_security ON ddl_command_end
	WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION oss_labels.follow_row_security();
ALTER EVENT TRIGGER oss_labels_follow_row_security ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER oss_labels_follow_row_security IS 'has row security of the other tables be as that of image, and that of image as bucket_grant demands';

CREATE FUNCTION oss_labels.enforce_bucket_grants()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	CALL oss_labels.enforce_row_security();
	RETURN NULL;
END $$;
COMMENT ON FUNCTION oss_labels.enforce_bucket_grants() IS 'Internal: trigger function that enables row security with the first grant of a bucket';
CREATE TRIGGER bucket_grant_enforce AFTER INSERT ON oss_labels.bucket_grant
	FOR EACH ROW EXECUTE FUNCTION oss_labels.enforce_bucket_grants();
ALTER TABLE oss_labels.bucket_grant ENABLE ALWAYS TRIGGER bucket_grant_enforce;
COMMENT ON TRIGGER bucket_grant_enforce ON oss_labels.bucket_grant IS 'enables row security, also after a restore';

/*
 * Runs as the role that writes, which the row must name.  A pin belongs to the role
 * of its album, as in the policies: roles that share an album decide together.
 */
CREATE FUNCTION oss_labels.check_role()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	roles text[];
	role text;
BEGIN
	IF TG_OP <> 'DELETE' THEN
		roles := ARRAY[NEW.role::text];
	END IF;
	IF TG_TABLE_NAME = 'album_pin' THEN
		roles := roles || ARRAY(SELECT a.role::text FROM oss_labels.album a
			WHERE a.album_id IN (OLD.album_id, NEW.album_id));
	ELSIF TG_OP <> 'INSERT' THEN
		roles := roles || OLD.role::text;
	END IF;
	SELECT r INTO role FROM unnest(roles) r
	WHERE NOT coalesce(pg_has_role(to_regrole(quote_ident(r)), 'USAGE'), false);
	IF FOUND AND NOT pg_has_role((SELECT c.relowner FROM pg_class c WHERE c.oid = TG_RELID), 'USAGE') THEN
		RAISE EXCEPTION 'permission denied to write for role "%"', role
			USING ERRCODE = 'insufficient_privilege',
			HINT = 'Write as this role, or a member of it.';
	END IF;
	IF TG_OP = 'DELETE' THEN
		RETURN OLD;
	END IF;
	RETURN NEW;
END $$;
COMMENT ON FUNCTION oss_labels.check_role() IS 'Internal: trigger function that refuses to write rows of another role';
CREATE TRIGGER album_check BEFORE INSERT OR UPDATE OR DELETE ON oss_labels.album
	FOR EACH ROW EXECUTE FUNCTION oss_labels.check_role();
CREATE TRIGGER album_pin_check BEFORE INSERT OR UPDATE OR DELETE ON oss_labels.album_pin
	FOR EACH ROW EXECUTE FUNCTION oss_labels.check_role();
CREATE TRIGGER label_correction_check BEFORE INSERT OR UPDATE OR DELETE ON oss_labels.label_correction
	FOR EACH ROW EXECUTE FUNCTION oss_labels.check_role();
COMMENT ON TRIGGER album_check ON oss_labels.album IS 'refuses rows in the name of another role';
COMMENT ON TRIGGER album_pin_check ON oss_labels.album_pin IS 'refuses rows in the name of another role';
COMMENT ON TRIGGER label_correction_check ON oss_labels.label_correction IS 'refuses rows in the name of another role';

-- ---------------------------------------------------------------------
-- 10. Budgets
-- ---------------------------------------------------------------------

/*
 * Limits on requests for labels.  Shared memory has the counters, and a file in the
 * data directory keeps them through crashes; budget_spent is for dumps and standbys.
 */
CREATE TABLE oss_labels.budget
(
	budget_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	server text,
	server_id oid NOT NULL DEFAULT 0,
	origin bigint NOT NULL DEFAULT oss_labels.origin(),
	requester oss_labels.role_name,
	bucket text,
	period text NOT NULL CHECK (period IN ('day', 'month', 'ever')),
	max_requests bigint NOT NULL CHECK (max_requests >= 0),
	counted_since timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	note text
);
CREATE UNIQUE INDEX budget_idx ON oss_labels.budget
	(server, (requester::bytea), bucket, period) NULLS NOT DISTINCT;
COMMENT ON TABLE oss_labels.budget IS 'How many requests for labels may be paid for, by set_budget(); a request must fit into all budgets that cover it';
COMMENT ON COLUMN oss_labels.budget.budget_id IS 'number of the budget';
COMMENT ON COLUMN oss_labels.budget.server IS 'name of the foreign server; null: all together';
COMMENT ON COLUMN oss_labels.budget.server_id IS 'as in job';
COMMENT ON COLUMN oss_labels.budget.origin IS 'as in job';
COMMENT ON COLUMN oss_labels.budget.requester IS 'role that pays: the caller, or the one that enqueued the job; null: all together';
COMMENT ON COLUMN oss_labels.budget.bucket IS 'name of the bucket; null: all together';
COMMENT ON COLUMN oss_labels.budget.period IS 'day or month of oss_labels.billing_time_zone, or ever';
COMMENT ON COLUMN oss_labels.budget.max_requests IS 'requests within a period, at most; 0: none';
COMMENT ON COLUMN oss_labels.budget.counted_since IS 'when the budget was set first; requests count from then on';
COMMENT ON COLUMN oss_labels.budget.note IS 'remark';
COMMENT ON SEQUENCE oss_labels.budget_budget_id_seq IS 'generates budget_id';
COMMENT ON INDEX oss_labels.budget_idx IS 'one budget of each scope and period';

CREATE TABLE oss_labels.budget_spent
(
	budget_id bigint PRIMARY KEY,
	counted_since timestamptz NOT NULL,
	period_start timestamptz NOT NULL,
	period_end timestamptz NOT NULL,
	spent bigint NOT NULL
);
COMMENT ON TABLE oss_labels.budget_spent IS 'Counters of budgets as of a moment ago, written by the worker for dumps and standbys; budget_status has the present ones';
COMMENT ON COLUMN oss_labels.budget_spent.budget_id IS 'as in budget';
COMMENT ON COLUMN oss_labels.budget_spent.counted_since IS 'as in budget, at that time';
COMMENT ON COLUMN oss_labels.budget_spent.period_start IS 'when the period began';
COMMENT ON COLUMN oss_labels.budget_spent.period_end IS 'when it ends; infinity: never';
COMMENT ON COLUMN oss_labels.budget_spent.spent IS 'requests that count, at most';

CREATE FUNCTION oss_labels.budget_changed()
RETURNS trigger
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'oss_labels_budget_changed';
COMMENT ON FUNCTION oss_labels.budget_changed() IS 'Internal: trigger that applies changes of budgets at commit';

CREATE TRIGGER budget_changed AFTER INSERT OR UPDATE OR DELETE ON oss_labels.budget
	FOR EACH ROW EXECUTE FUNCTION oss_labels.budget_changed();
CREATE TRIGGER budget_truncated AFTER TRUNCATE ON oss_labels.budget
	FOR EACH STATEMENT EXECUTE FUNCTION oss_labels.budget_changed();
ALTER TABLE oss_labels.budget ENABLE ALWAYS TRIGGER budget_changed;
ALTER TABLE oss_labels.budget ENABLE ALWAYS TRIGGER budget_truncated;
COMMENT ON TRIGGER budget_changed ON oss_labels.budget IS 'applies changes of budgets at commit';
COMMENT ON TRIGGER budget_truncated ON oss_labels.budget IS 'applies changes of budgets at commit';

CREATE FUNCTION oss_labels.budget_restored()
RETURNS trigger
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'oss_labels_budget_restored';
COMMENT ON FUNCTION oss_labels.budget_restored() IS 'Internal: trigger that applies counters from a dump at commit';

CREATE TRIGGER budget_restored AFTER INSERT OR UPDATE ON oss_labels.budget_spent
	FOR EACH STATEMENT EXECUTE FUNCTION oss_labels.budget_restored();
COMMENT ON TRIGGER budget_restored ON oss_labels.budget_spent IS 'applies counters from a dump at commit';

CREATE FUNCTION oss_labels.budget_created()
RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'oss_labels_budget_created';
COMMENT ON FUNCTION oss_labels.budget_created() IS 'Internal: at commit, forget counts from before the extension was created';
SELECT oss_labels.budget_created();

CREATE FUNCTION oss_labels.budget_room()
RETURNS bigint
LANGUAGE c VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'oss_labels_budget_room';
COMMENT ON FUNCTION oss_labels.budget_room() IS 'Internal: how many budgets other databases leave room for';

CREATE FUNCTION oss_labels.budget_counts()
RETURNS TABLE (budget_id bigint, period_start timestamptz, period_end timestamptz,
	spent bigint, in_flight integer)
LANGUAGE c VOLATILE PARALLEL RESTRICTED ROWS 10
AS 'MODULE_PATHNAME', 'oss_labels_budget_counts';
COMMENT ON FUNCTION oss_labels.budget_counts() IS
	'Internal: present counters of the budgets that concern the caller; no rows where the library is not preloaded';

CREATE FUNCTION oss_labels.budget_used_up(budget_id bigint)
RETURNS boolean
LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'oss_labels_budget_used_up';
COMMENT ON FUNCTION oss_labels.budget_used_up(bigint) IS 'Internal: whether a budget refuses requests now; false if there is no such budget';

CREATE VIEW oss_labels.budget_status WITH (security_barrier = true) AS
	SELECT b.budget_id, coalesce(f.srvname::text, b.server) AS server,
		b.requester::text AS requester, b.bucket, b.period, b.max_requests, b.note,
		coalesce(c.period_start, s.period_start) AS period_start,
		nullif(coalesce(c.period_end, s.period_end), 'infinity') AS resets_at,
		coalesce(c.spent, s.spent, 0) AS spent, coalesce(c.in_flight, 0) AS in_flight,
		greatest(b.max_requests - coalesce(c.spent, s.spent, 0), 0) AS "left",
		coalesce(c.spent, s.spent, 0) >= b.max_requests AS exhausted,
		pg_catalog.trim_scale(b.max_requests * p.per_1000 / 1000) AS max_cost, p.currency
	FROM oss_labels.budget b CROSS JOIN oss_labels.viewer v
	LEFT JOIN oss_labels.budget_counts() c ON c.budget_id = b.budget_id
	LEFT JOIN oss_labels.budget_spent s ON s.budget_id = b.budget_id
		AND s.counted_since = b.counted_since
	LEFT JOIN pg_catalog.pg_foreign_server f ON f.oid = b.server_id AND b.origin = v.origin
	LEFT JOIN LATERAL oss_labels.price_of('label', coalesce(f.srvname::text, b.server),
		(SELECT pg_catalog.clock_timestamp()::date)) p ON true
	WHERE v.sees_all OR b.requester IS NULL OR pg_catalog.pg_has_role(
		pg_catalog.to_regrole(pg_catalog.quote_ident(b.requester::text)), 'USAGE');
COMMENT ON VIEW oss_labels.budget_status IS
	'Budgets and the requests left in them; roles see those that concern them, pg_monitor and the extension''s owner all';
COMMENT ON COLUMN oss_labels.budget_status.budget_id IS 'as in budget';
COMMENT ON COLUMN oss_labels.budget_status.server IS 'present name of the foreign server; null: all together';
COMMENT ON COLUMN oss_labels.budget_status.requester IS 'name of the role; null: all together';
COMMENT ON COLUMN oss_labels.budget_status.bucket IS 'as in budget';
COMMENT ON COLUMN oss_labels.budget_status.period IS 'as in budget';
COMMENT ON COLUMN oss_labels.budget_status.max_requests IS 'as in budget';
COMMENT ON COLUMN oss_labels.budget_status.note IS 'as in budget';
COMMENT ON COLUMN oss_labels.budget_status.period_start IS 'when the present period began';
COMMENT ON COLUMN oss_labels.budget_status.resets_at IS 'when it ends; null: never';
COMMENT ON COLUMN oss_labels.budget_status.spent IS 'requests of this period that count: in flight, billed, or perhaps billed';
COMMENT ON COLUMN oss_labels.budget_status.in_flight IS 'of these, in flight';
COMMENT ON COLUMN oss_labels.budget_status."left" IS 'requests that may still be sent in this period';
COMMENT ON COLUMN oss_labels.budget_status.exhausted IS 'none may be sent';
COMMENT ON COLUMN oss_labels.budget_status.max_cost IS 'price of max_requests, by the table price; null: unknown';
COMMENT ON COLUMN oss_labels.budget_status.currency IS 'of that price';

CREATE FUNCTION oss_labels.budget_left(server text, requester regrole, bucket text)
RETURNS bigint
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT min(b."left") FROM oss_labels.budget_status b
	WHERE (b.server IS NULL OR b.server = $1)
		AND (b.requester IS NULL OR b.requester = pg_get_userbyid($2)::text)
		AND (b.bucket IS NULL OR b.bucket = $3)
$$;
COMMENT ON FUNCTION oss_labels.budget_left(text, regrole, text) IS
	'How many requests of a role for a bucket the budgets leave; null: no budget covers them';

CREATE FUNCTION oss_labels.set_budget(max_requests bigint, period text DEFAULT 'day',
	server name DEFAULT NULL, requester regrole DEFAULT NULL, bucket text DEFAULT NULL,
	note text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	role_value oss_labels.role_name;
	server_oid oid;
BEGIN
	IF set_budget.max_requests < 0 THEN
		RAISE EXCEPTION 'max_requests must not be negative' USING ERRCODE = '22023',
			HINT = 'Use 0 to allow no request, or NULL to remove the budget.';
	END IF;
	IF set_budget.period IS NULL OR set_budget.period NOT IN ('day', 'month', 'ever') THEN
		RAISE EXCEPTION 'there is no period "%"', set_budget.period USING ERRCODE = '22023',
			HINT = 'A period is day, month or ever.';
	END IF;
	IF set_budget.bucket !~ '^[a-z0-9][a-z0-9_-]{1,61}[a-z0-9]$' THEN
		RAISE EXCEPTION 'no bucket can have the name "%"', set_budget.bucket USING ERRCODE = '22023',
			HINT = 'A bucket''s name has 3 to 63 lower-case letters, digits and hyphens, old ones also underscores.';
	END IF;
	IF set_budget.requester IS NOT NULL THEN
		role_value := oss_labels.role_value(set_budget.requester);
	END IF;
	IF set_budget.max_requests IS NULL THEN
		DELETE FROM oss_labels.budget b
		WHERE oss_labels.server_of(b.origin, b.server_id, b.server) IS NOT DISTINCT FROM set_budget.server::text
			AND b.requester::bytea IS NOT DISTINCT FROM role_value::bytea
			AND b.bucket IS NOT DISTINCT FROM set_budget.bucket AND b.period = set_budget.period;
		RETURN;
	END IF;
	IF set_budget.server IS NOT NULL THEN
		server_oid := (SELECT s.oid FROM pg_foreign_server s
			JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw
			WHERE s.srvname = set_budget.server AND w.fdwname = 'oss_labels');
		IF server_oid IS NULL THEN
			RAISE EXCEPTION 'server "%" does not exist', set_budget.server USING ERRCODE = '42704',
				HINT = 'Give a foreign server of the wrapper oss_labels.';
		END IF;
	END IF;
	INSERT INTO oss_labels.budget AS b (server, server_id, requester, bucket, period, max_requests, note)
	VALUES (set_budget.server, coalesce(server_oid, 0), role_value, set_budget.bucket,
		set_budget.period, set_budget.max_requests, set_budget.note)
	ON CONFLICT (server, (requester::bytea), bucket, period) DO UPDATE
		SET max_requests = excluded.max_requests, note = excluded.note,
			server_id = excluded.server_id, origin = excluded.origin;
	IF (SELECT count(*) FROM oss_labels.budget) > oss_labels.budget_room() THEN
		RAISE EXCEPTION 'too many budgets' USING ERRCODE = '54000',
			HINT = 'All databases of a cluster together have at most 256.';
	END IF;
END $$;
COMMENT ON FUNCTION oss_labels.set_budget(bigint, text, name, regrole, text, text) IS
	'Set how many requests for labels a period allows, for a server, role, bucket or all together; null removes the budget';

REVOKE ALL ON oss_labels.budget, oss_labels.budget_spent, oss_labels.budget_status FROM PUBLIC;
GRANT SELECT ON oss_labels.budget, oss_labels.budget_spent, oss_labels.budget_status TO pg_monitor;

SELECT pg_catalog.pg_extension_config_dump('oss_labels.budget', '');
SELECT pg_catalog.pg_extension_config_dump('oss_labels.budget_budget_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('oss_labels.budget_spent', '');

-- ---------------------------------------------------------------------
-- 10b. Whole buckets in step: sync_bucket()
-- ---------------------------------------------------------------------

/*
 * A row of sync is a bucket, or the part of it below a prefix, that the worker
 * keeps in step with the store: what to take of it, and how far the present round
 * is.  A round lists all once.  A page is settled in one transaction: its objects
 * are judged, its jobs inserted, cursor and counters advanced.  Jobs count into
 * sync_tally, whose rows are added to sync's later, so that settling a job never
 * waits for whoever has locked the row of its sync.
 */
CREATE TABLE oss_labels.sync
(
	sync_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	state text NOT NULL CHECK (state IN ('listing', 'forgetting', 'tagging', 'waiting', 'done', 'paused', 'stopped')),
	due timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	lease bigint,
	requester oid NOT NULL,
	origin bigint NOT NULL DEFAULT oss_labels.origin(),
	requester_name text NOT NULL,
	server text NOT NULL,
	server_id oid NOT NULL DEFAULT 0,
	bucket text NOT NULL,
	prefix text NOT NULL,
	from_list boolean NOT NULL DEFAULT false,
	every interval,
	max_requests bigint,
	suffixes text[],
	max_size bigint,
	storage_classes text[],
	thr float8,
	priority integer NOT NULL,
	forget boolean,
	keep_corrected boolean NOT NULL,
	reason text,
	failures integer NOT NULL DEFAULT 0,
	round integer NOT NULL DEFAULT 1,
	cursor_key text,
	started_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	listed_at timestamptz,
	finished_at timestamptz,
	listed bigint NOT NULL DEFAULT 0,
	bytes bigint NOT NULL DEFAULT 0,
	new bigint NOT NULL DEFAULT 0,
	changed bigint NOT NULL DEFAULT 0,
	unchanged bigint NOT NULL DEFAULT 0,
	queued_already bigint NOT NULL DEFAULT 0,
	skipped_suffix bigint NOT NULL DEFAULT 0,
	skipped_folder bigint NOT NULL DEFAULT 0,
	skipped_size bigint NOT NULL DEFAULT 0,
	skipped_class bigint NOT NULL DEFAULT 0,
	skipped_invalid bigint NOT NULL DEFAULT 0,
	skipped_failed bigint NOT NULL DEFAULT 0,
	forgotten bigint NOT NULL DEFAULT 0,
	stored bigint NOT NULL DEFAULT 0,
	failed bigint NOT NULL DEFAULT 0,
	list_requests bigint NOT NULL DEFAULT 0,
	spent bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

CREATE UNIQUE INDEX sync_bucket_idx ON oss_labels.sync
	(bucket, prefix, requester, origin, server_id) WHERE NOT from_list;

COMMENT ON TABLE oss_labels.sync IS
	'Buckets that the worker keeps in step, by sync_bucket(): what to take of each, and how far the present round is';
COMMENT ON COLUMN oss_labels.sync.sync_id IS 'its number';
COMMENT ON COLUMN oss_labels.sync.state IS 'listing, forgetting, tagging (all is listed, jobs are left), waiting (for the next round), done, paused, stopped (see reason)';
COMMENT ON COLUMN oss_labels.sync.due IS 'when its next step is due';
COMMENT ON COLUMN oss_labels.sync.lease IS 'as in job: the process that lists the bucket';
COMMENT ON COLUMN oss_labels.sync.requester IS 'OID of the role that called sync_bucket(), whose user mapping and rights are used';
COMMENT ON COLUMN oss_labels.sync.origin IS 'as in job; elsewhere, as after a restore, it stands still until resume_sync()';
COMMENT ON COLUMN oss_labels.sync.requester_name IS 'name of the role at that time';
COMMENT ON COLUMN oss_labels.sync.server IS 'as in job';
COMMENT ON COLUMN oss_labels.sync.server_id IS 'as in job';
COMMENT ON COLUMN oss_labels.sync.bucket IS 'name of the bucket';
COMMENT ON COLUMN oss_labels.sync.prefix IS 'only keys that begin with this';
COMMENT ON COLUMN oss_labels.sync.from_list IS 'its objects are from a query instead of the bucket''s listing';
COMMENT ON COLUMN oss_labels.sync.every IS 'from the beginning of a round to that of the next; null: one round';
COMMENT ON COLUMN oss_labels.sync.max_requests IS 'requests for labels that it may spend in all; null: no limit';
COMMENT ON COLUMN oss_labels.sync.suffixes IS 'only keys that end with one of these, in either case; null: all';
COMMENT ON COLUMN oss_labels.sync.max_size IS 'only objects of at most so many bytes; null: any';
COMMENT ON COLUMN oss_labels.sync.storage_classes IS 'only objects of these storage classes, or restored ones; null: all';
COMMENT ON COLUMN oss_labels.sync.thr IS 'as in job';
COMMENT ON COLUMN oss_labels.sync.priority IS 'of its jobs';
COMMENT ON COLUMN oss_labels.sync.forget IS 'forget images that two complete listings did not have; null: if the role may';
COMMENT ON COLUMN oss_labels.sync.keep_corrected IS 'but not those that people have corrected';
COMMENT ON COLUMN oss_labels.sync.reason IS 'why it stands still, or the last error of its listing';
COMMENT ON COLUMN oss_labels.sync.failures IS 'listings in a row that failed';
COMMENT ON COLUMN oss_labels.sync.round IS 'number of the round; the counters from listed to failed are of this one';
COMMENT ON COLUMN oss_labels.sync.cursor_key IS 'the listing goes on after this key';
COMMENT ON COLUMN oss_labels.sync.started_at IS 'when the round began';
COMMENT ON COLUMN oss_labels.sync.listed_at IS 'when all was listed';
COMMENT ON COLUMN oss_labels.sync.finished_at IS 'when its last job was done';
COMMENT ON COLUMN oss_labels.sync.listed IS 'objects listed: the sum of the next ten but bytes';
COMMENT ON COLUMN oss_labels.sync.bytes IS 'their size together';
COMMENT ON COLUMN oss_labels.sync.new IS 'queued: not stored yet';
COMMENT ON COLUMN oss_labels.sync.changed IS 'queued: stored of another content, or from a higher confidence on';
COMMENT ON COLUMN oss_labels.sync.unchanged IS 'stored already, by their ETag';
COMMENT ON COLUMN oss_labels.sync.queued_already IS 'a job for this content is queued';
COMMENT ON COLUMN oss_labels.sync.skipped_suffix IS 'no image by suffixes';
COMMENT ON COLUMN oss_labels.sync.skipped_folder IS 'folders: keys that end with a slash';
COMMENT ON COLUMN oss_labels.sync.skipped_size IS 'empty or too large';
COMMENT ON COLUMN oss_labels.sync.skipped_class IS 'archived and not restored, by storage_classes';
COMMENT ON COLUMN oss_labels.sync.skipped_invalid IS 'keys that cannot be asked for, or not be written in the encoding of this database';
COMMENT ON COLUMN oss_labels.sync.skipped_failed IS 'this content was asked for before and refused, see failed_job';
COMMENT ON COLUMN oss_labels.sync.forgotten IS 'images forgotten, as the bucket has them no more';
COMMENT ON COLUMN oss_labels.sync.stored IS 'its jobs that have their labels, as far as sync_tally is added';
COMMENT ON COLUMN oss_labels.sync.failed IS 'its jobs that failed, the same';
COMMENT ON COLUMN oss_labels.sync.list_requests IS 'requests that listed the bucket, since it is registered';
COMMENT ON COLUMN oss_labels.sync.spent IS 'requests for labels that are billed or may be, since it is registered, as far as sync_tally is added';
COMMENT ON SEQUENCE oss_labels.sync_sync_id_seq IS 'generates sync_id';
COMMENT ON INDEX oss_labels.sync_bucket_idx IS 'a role has one of a bucket, prefix and server';

CREATE TABLE oss_labels.sync_tally
(
	sync_id bigint NOT NULL,
	stored bigint NOT NULL,
	failed bigint NOT NULL,
	spent bigint NOT NULL
);
CREATE INDEX sync_tally_idx ON oss_labels.sync_tally (sync_id);
ALTER TABLE oss_labels.sync_tally REPLICA IDENTITY FULL;

COMMENT ON TABLE oss_labels.sync_tally IS 'What became of the jobs of syncs, as far as it is not added to sync yet';
COMMENT ON COLUMN oss_labels.sync_tally.sync_id IS 'as in sync';
COMMENT ON COLUMN oss_labels.sync_tally.stored IS 'to be added to it';
COMMENT ON COLUMN oss_labels.sync_tally.failed IS 'the same';
COMMENT ON COLUMN oss_labels.sync_tally.spent IS 'the same';
COMMENT ON INDEX oss_labels.sync_tally_idx IS 'rows of a sync';

CREATE TABLE oss_labels.sync_missing
(
	sync_id bigint NOT NULL,
	image_id bigint NOT NULL,
	first_round integer NOT NULL,
	last_round integer NOT NULL,
	PRIMARY KEY (sync_id, image_id)
);

COMMENT ON TABLE oss_labels.sync_missing IS 'Stored images that a listing did not have; they are forgotten when the next one has them neither';
COMMENT ON COLUMN oss_labels.sync_missing.sync_id IS 'as in sync';
COMMENT ON COLUMN oss_labels.sync_missing.image_id IS 'image.image_id';
COMMENT ON COLUMN oss_labels.sync_missing.first_round IS 'the first round that missed it';
COMMENT ON COLUMN oss_labels.sync_missing.last_round IS 'the last one';

/* Jobs of paused syncs, so that nothing that claims jobs needs to know. */
CREATE TABLE oss_labels.sync_paused_job
(
	sync_id bigint NOT NULL,
	fresh_since timestamptz,
	etag text,
	object_size bigint,
	last_modified timestamptz,
	key text NOT NULL,
	thr float8,
	attempts integer NOT NULL,
	answer jsonb,
	asked_at timestamptz,
	asked_id text,
	reason text
);
CREATE INDEX sync_paused_job_idx ON oss_labels.sync_paused_job (sync_id, key);
ALTER TABLE oss_labels.sync_paused_job REPLICA IDENTITY FULL;

COMMENT ON TABLE oss_labels.sync_paused_job IS 'Jobs of paused syncs, which resume_sync() queues again';
COMMENT ON COLUMN oss_labels.sync_paused_job.sync_id IS 'as in sync';
COMMENT ON COLUMN oss_labels.sync_paused_job.fresh_since IS 'as in job';
COMMENT ON COLUMN oss_labels.sync_paused_job.etag IS 'as in job';
COMMENT ON COLUMN oss_labels.sync_paused_job.object_size IS 'as in job';
COMMENT ON COLUMN oss_labels.sync_paused_job.last_modified IS 'as in job';
COMMENT ON COLUMN oss_labels.sync_paused_job.key IS 'as in job';
COMMENT ON COLUMN oss_labels.sync_paused_job.thr IS 'as in job';
COMMENT ON COLUMN oss_labels.sync_paused_job.attempts IS 'as in job';
COMMENT ON COLUMN oss_labels.sync_paused_job.answer IS 'as in job';
COMMENT ON COLUMN oss_labels.sync_paused_job.asked_at IS 'as in job';
COMMENT ON COLUMN oss_labels.sync_paused_job.asked_id IS 'as in job';
COMMENT ON COLUMN oss_labels.sync_paused_job.reason IS 'as in job';
COMMENT ON INDEX oss_labels.sync_paused_job_idx IS 'jobs of a sync';

/*
 * The one place where listed objects are judged.  Of a key that is named twice the
 * last one counts.  A content that is known by its ETag is stored if the ETags are
 * equal.  Where one is unknown, it is if the object was written before the labels
 * were asked for: by more than clocks may differ, which is what a signature allows.
 */
CREATE FUNCTION oss_labels.judge_objects(rule oss_labels.sync, keys text[], sizes bigint[],
	etags text[], last_modified timestamptz[], storage_classes text[], restored boolean[])
RETURNS TABLE (n bigint, key text, size bigint, etag text, modified_at timestamptz, verdict text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE ROWS 1000
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	role oid := oss_labels.role_of(rule.origin, rule.requester, rule.requester_name);
	present text := oss_labels.server_of(rule.origin, rule.server_id, rule.server);
	seen text := oss_labels.fingerprint(present, role);
	failures boolean := EXISTS (SELECT FROM oss_labels.failed_job);
	jobs boolean := EXISTS (SELECT FROM oss_labels.job);
BEGIN
	RETURN QUERY
	SELECT o.n, o.key, o.size, o.etag, o.modified_at,
		CASE WHEN NOT o.latest THEN 'repeated'
			WHEN o.key IS NULL OR i.id IS NULL OR o.key !~ '^[^/\\]'
				OR octet_length(convert_to(o.key, 'UTF8')) > 1023 THEN 'invalid'
			WHEN NOT starts_with(o.key, rule.prefix) THEN 'elsewhere'
			WHEN rule.suffixes IS NOT NULL AND NOT EXISTS (SELECT FROM unnest(rule.suffixes) s
				WHERE lower(right(o.key, length(s))) = lower(s)) THEN 'suffix'
			WHEN o.key LIKE '%/' THEN 'folder'
			WHEN o.size <= 0 OR o.size > rule.max_size THEN 'size'
			WHEN rule.storage_classes IS NOT NULL AND NOT coalesce(o.restored, false)
				AND NOT EXISTS (SELECT FROM unnest(rule.storage_classes) c
				WHERE lower(c) = lower(o.storage_class)) THEN 'class'
			WHEN coalesce(m.thr, 0.7) <= coalesce(rule.thr, 0.7) AND CASE
				WHEN o.etag IS NULL AND o.modified_at IS NULL THEN true
				WHEN o.etag IS NOT NULL AND m.etag IS NOT NULL THEN o.etag = m.etag
				WHEN o.modified_at IS NULL THEN false
				ELSE m.tagged_at > o.modified_at + '15 min'::interval AND m.tagged_at <= clock_timestamp() END
				AND m.image_id IS NOT NULL THEN 'unchanged'
			WHEN jobs AND EXISTS (SELECT FROM oss_labels.job j
				WHERE j.key = o.key AND j.bucket = rule.bucket AND j.version_id IS NULL
				AND CASE WHEN o.etag IS NULL THEN j.leased_until IS NULL ELSE j.etag = o.etag END
				AND coalesce(j.thr, 0.7) <= coalesce(rule.thr, 0.7)
				AND (j.requester = rule.requester AND j.origin = rule.origin AND j.server_id = rule.server_id
					OR NOT EXISTS (SELECT FROM oss_labels.active_pause p
						WHERE (p.server IS NULL OR oss_labels.server_of(p.origin, p.server_id, p.server)
								= oss_labels.server_of(j.origin, j.server_id, j.server))
							AND (p.requester IS NULL OR p.requester = j.requester)
							AND (p.bucket IS NULL OR p.bucket = j.bucket)))) THEN 'queued'
			WHEN failures AND EXISTS (SELECT FROM oss_labels.failed_job f
				WHERE f.key = o.key AND f.bucket = rule.bucket AND f.version_id IS NULL
				AND f.requester = rule.requester AND f.origin = rule.origin
				AND f.server_id = rule.server_id AND f.etag = o.etag
				AND coalesce(f.thr, 0.7) <= coalesce(rule.thr, 0.7)
				AND (f.permanent AND f.seen = seen
					OR NOT f.permanent AND coalesce(f.http_status, 200) = 200)) THEN 'failed'
			WHEN m.image_id IS NULL THEN 'new'
			ELSE 'changed' END
	FROM (
		SELECT u.n, u.key, u.size, nullif(upper(regexp_replace(btrim(u.etag, E' \t"'), '^W/"', '')), '') AS etag,
			u.modified_at, coalesce(nullif(u.storage_class, ''), 'Standard') AS storage_class, u.restored,
			row_number() OVER (PARTITION BY u.key COLLATE "C" ORDER BY u.n DESC) = 1 AS latest
		FROM unnest($2, $3, $4, $5, $6, $7) WITH ORDINALITY
			u (key, size, etag, modified_at, storage_class, restored, n)
	) o
	CROSS JOIN LATERAL (SELECT oss_labels.image_id(rule.bucket, o.key) AS id OFFSET 0) i
	LEFT JOIN oss_labels.image m ON m.image_id = i.id AND m.bucket = rule.bucket AND m.key = o.key
	ORDER BY o.n;
END $$;
COMMENT ON FUNCTION oss_labels.judge_objects(oss_labels.sync, text[], bigint[], text[], timestamptz[], text[], boolean[]) IS
	'Internal: what a sync does with each of these objects: new, changed (both are to be queued), unchanged, queued, or why not';

/*
 * Judge objects and queue those that are new or changed, in their order, as far as
 * max_requests allows: the first that it does not has the verdict "limit", and so
 * have all after it that are to be queued.  With counted, the counters of the round
 * advance up to there.  With event, the objects are from events: their jobs ask again
 * for what failed before, and a content has one, also if two sessions bring its event.
 */
CREATE FUNCTION oss_labels.take_objects(sync_id bigint, keys text[], sizes bigint[],
	etags text[], last_modified timestamptz[], storage_classes text[], restored boolean[],
	counted boolean DEFAULT false, event boolean DEFAULT false)
RETURNS TABLE (n bigint, key text, verdict text, job_id bigint)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 1000
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	rule oss_labels.sync;
	room bigint;
	ns bigint[];
	verdicts text[];
	ids bigint[];
BEGIN
	IF counted OR EXISTS (SELECT FROM oss_labels.sync s WHERE s.sync_id = $1 AND s.max_requests IS NOT NULL) THEN
		SELECT * INTO rule FROM oss_labels.sync s WHERE s.sync_id = $1 FOR UPDATE;
	ELSE
		SELECT * INTO rule FROM oss_labels.sync s WHERE s.sync_id = $1;
	END IF;
	IF rule.sync_id IS NULL THEN
		RAISE EXCEPTION 'there is no sync %', $1 USING ERRCODE = '42704',
			HINT = 'The view oss_labels.bucket_sync lists them.';
	END IF;
	IF rule.max_requests IS NOT NULL THEN
		room := greatest(rule.max_requests - rule.spent
			- (SELECT coalesce(sum(t.spent), 0) FROM oss_labels.sync_tally t WHERE t.sync_id = $1)
			- (SELECT count(*) FROM oss_labels.job j WHERE j.sync_id = $1)
			- (SELECT count(*) FROM oss_labels.sync_paused_job j WHERE j.sync_id = $1), 0);
	END IF;
	WITH judged AS MATERIALIZED (
		SELECT o.*, count(*) FILTER (WHERE o.verdict IN ('new', 'changed')) OVER (ORDER BY o.n) AS k
		FROM oss_labels.judge_objects(rule, $2, $3, $4, $5, $6, $7) o
	), limited AS MATERIALIZED (
		SELECT o.n, o.key, o.size, o.etag, o.modified_at,
			CASE WHEN o.verdict IN ('new', 'changed') AND o.k > room THEN 'limit' ELSE o.verdict END AS verdict
		FROM judged o
	), queued AS (
		INSERT INTO oss_labels.job (requester, requester_name, origin, server, server_id, bucket, key,
			thr, priority, etag, object_size, last_modified, sync_id, fresh_since)
		SELECT rule.requester, rule.requester_name, rule.origin, rule.server, rule.server_id, rule.bucket,
			o.key, rule.thr, rule.priority, o.etag, o.size, o.modified_at, rule.sync_id,
			CASE WHEN event THEN least(o.modified_at, clock_timestamp()) END
		FROM limited o WHERE o.verdict IN ('new', 'changed') ORDER BY o.n
		ON CONFLICT DO NOTHING
		RETURNING key, job_id
	), verdict AS (
		SELECT o.n, o.key, o.verdict, q.job_id, o.size,
			o.n < coalesce((SELECT min(l.n) FROM limited l WHERE l.verdict = 'limit'), 9223372036854775807) AS taken
		FROM limited o LEFT JOIN queued q ON o.verdict IN ('new', 'changed')
			AND q.key COLLATE "C" = o.key COLLATE "C"
	), advanced AS (
		UPDATE oss_labels.sync s SET
			listed = s.listed + c.listed, bytes = s.bytes + c.bytes, new = s.new + c.new,
			changed = s.changed + c.changed, unchanged = s.unchanged + c.unchanged,
			queued_already = s.queued_already + c.queued, skipped_suffix = s.skipped_suffix + c.suffix,
			skipped_folder = s.skipped_folder + c.folder, skipped_size = s.skipped_size + c.size,
			skipped_class = s.skipped_class + c.class, skipped_invalid = s.skipped_invalid + c.invalid,
			skipped_failed = s.skipped_failed + c.failed
		FROM (
			SELECT count(*) AS listed, coalesce(sum(v.size), 0)::bigint AS bytes,
				count(*) FILTER (WHERE v.verdict = 'new') AS new,
				count(*) FILTER (WHERE v.verdict = 'changed') AS changed,
				count(*) FILTER (WHERE v.verdict = 'unchanged') AS unchanged,
				count(*) FILTER (WHERE v.verdict = 'queued') AS queued,
				count(*) FILTER (WHERE v.verdict = 'suffix') AS suffix,
				count(*) FILTER (WHERE v.verdict = 'folder') AS folder,
				count(*) FILTER (WHERE v.verdict = 'size') AS size,
				count(*) FILTER (WHERE v.verdict = 'class') AS class,
				count(*) FILTER (WHERE v.verdict = 'invalid') AS invalid,
				count(*) FILTER (WHERE v.verdict = 'failed') AS failed
			FROM verdict v WHERE v.taken AND v.verdict NOT IN ('repeated', 'elsewhere')
		) c
		WHERE s.sync_id = $1 AND counted AND c.listed > 0
	)
	SELECT array_agg(v.n ORDER BY v.n), array_agg(v.verdict ORDER BY v.n), array_agg(v.job_id ORDER BY v.n)
	INTO ns, verdicts, ids FROM verdict v;
	IF EXISTS (SELECT FROM unnest(ids) i WHERE i IS NOT NULL) THEN
		PERFORM oss_labels.announce();
	END IF;
	RETURN QUERY SELECT u.n, ($2)[u.n], u.verdict, u.job_id FROM unnest(ns, verdicts, ids) u (n, verdict, job_id);
END $$;
COMMENT ON FUNCTION oss_labels.take_objects(bigint, text[], bigint[], text[], timestamptz[], text[], boolean[], boolean, boolean) IS
	'Internal: judge objects by the rules of a sync, and queue those that are new or changed as its role; the verdict on each';

/*
 * Note the stored images that a page does not have: between the key after which it
 * began and that at which it ends, in the order of a listing, which is that of the
 * bytes of UTF-8.  upto null: it is the last one.
 */
CREATE FUNCTION oss_labels.note_missing(sync_id bigint, keys text[], upto text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	rule oss_labels.sync;
	after text;
	most text;
BEGIN
	SELECT * INTO rule FROM oss_labels.sync s WHERE s.sync_id = $1;
	after := coalesce(rule.cursor_key, '');
	IF getdatabaseencoding() IN ('UTF8', 'LATIN1', 'SQL_ASCII') THEN
		most := coalesce(upto, rule.prefix ||
			repeat(chr(CASE getdatabaseencoding() WHEN 'UTF8' THEN 1114111 ELSE 255 END), 1023));
		INSERT INTO oss_labels.sync_missing AS m (sync_id, image_id, first_round, last_round)
		SELECT rule.sync_id, i.image_id, rule.round, rule.round FROM oss_labels.image i
		WHERE i.key COLLATE "C" > after AND i.key COLLATE "C" >= rule.prefix
			AND i.key COLLATE "C" <= most AND i.bucket COLLATE "C" = rule.bucket
			AND starts_with(i.key, rule.prefix) AND i.version_id IS NULL
			AND i.tagged_at < rule.started_at AND i.key <> ALL (keys)
		ON CONFLICT (sync_id, image_id) DO UPDATE SET last_round = excluded.last_round;
	ELSE
		INSERT INTO oss_labels.sync_missing AS m (sync_id, image_id, first_round, last_round)
		SELECT rule.sync_id, i.image_id, rule.round, rule.round FROM oss_labels.image i
		WHERE convert_to(i.key, 'UTF8') > convert_to(after, 'UTF8')
			AND (upto IS NULL OR convert_to(i.key, 'UTF8') <= convert_to(upto, 'UTF8'))
			AND i.bucket = rule.bucket AND starts_with(i.key, rule.prefix) AND i.version_id IS NULL
			AND i.tagged_at < rule.started_at AND i.key <> ALL (keys)
		ON CONFLICT (sync_id, image_id) DO UPDATE SET last_round = excluded.last_round;
	END IF;
END $$;
COMMENT ON FUNCTION oss_labels.note_missing(bigint, text[], text) IS
	'Internal: note which stored images a page of a listing does not have';

CREATE FUNCTION oss_labels.sync_bucket(bucket text, prefix text DEFAULT NULL,
	every interval DEFAULT NULL, max_requests bigint DEFAULT NULL,
	suffixes text[] DEFAULT '{.jpg,.jpeg,.png}', max_size bigint DEFAULT 20971520,
	storage_classes text[] DEFAULT '{Standard,IA}', thr float8 DEFAULT NULL,
	priority integer DEFAULT -10, forget boolean DEFAULT NULL,
	keep_corrected boolean DEFAULT true, server name DEFAULT NULL,
	list boolean DEFAULT true)
RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100
AS 'MODULE_PATHNAME', 'oss_labels_sync_bucket';
COMMENT ON FUNCTION oss_labels.sync_bucket(text, text, interval, bigint, text[], bigint, text[], float8, integer, boolean, boolean, name, boolean) IS
	'Keep the labels of all images of a bucket, or below a prefix, in step with it: the worker lists it and queues what is new or changed';

CREATE FUNCTION oss_labels.estimate_bucket(bucket text, prefix text DEFAULT NULL,
	suffixes text[] DEFAULT '{.jpg,.jpeg,.png}', max_size bigint DEFAULT 20971520,
	storage_classes text[] DEFAULT '{Standard,IA}', thr float8 DEFAULT NULL,
	server name DEFAULT NULL)
RETURNS TABLE (
	listed bigint,
	bytes bigint,
	new bigint,
	changed bigint,
	unchanged bigint,
	queued_already bigint,
	skipped_suffix bigint,
	skipped_folder bigint,
	skipped_size bigint,
	skipped_class bigint,
	skipped_invalid bigint,
	skipped_failed bigint,
	to_ask bigint,
	cost numeric,
	currency text,
	budget_left bigint,
	seconds float8,
	list_requests bigint)
LANGUAGE c VOLATILE PARALLEL UNSAFE COST 1000000 ROWS 1
AS 'MODULE_PATHNAME', 'oss_labels_estimate_bucket';
COMMENT ON FUNCTION oss_labels.estimate_bucket(text, text, text[], bigint, text[], float8, name) IS
	'What a round of sync_bucket() would find and ask for, and its cost; sends the requests that list the bucket, and no other';

CREATE FUNCTION oss_labels.sync_list(bucket text, prefix text,
	every interval, max_requests bigint, suffixes text[], max_size bigint,
	storage_classes text[], thr float8, priority integer, forget boolean,
	keep_corrected boolean, server name)
RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100
AS 'MODULE_PATHNAME', 'oss_labels_sync_list';
COMMENT ON FUNCTION oss_labels.sync_list(text, text, interval, bigint, text[], bigint, text[], float8, integer, boolean, boolean, name) IS
	'Internal: the same for objects that come from a query instead, and are given to take_objects()';

CREATE FUNCTION oss_labels.pause_sync(sync_id bigint)
RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE STRICT
AS 'MODULE_PATHNAME', 'oss_labels_pause_sync';
COMMENT ON FUNCTION oss_labels.pause_sync(bigint) IS
	'Let a sync of the caller''s list and request nothing until resume_sync(); takes effect at commit';

CREATE FUNCTION oss_labels.resume_sync(sync_id bigint, max_requests bigint DEFAULT NULL)
RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'oss_labels_resume_sync';
COMMENT ON FUNCTION oss_labels.resume_sync(bigint, bigint) IS
	'Let a sync that is paused or has stopped go on where it was, or one that is done begin a round; max_requests sets a new limit';

CREATE FUNCTION oss_labels.cancel_sync(sync_id bigint)
RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE STRICT
AS 'MODULE_PATHNAME', 'oss_labels_cancel_sync';
COMMENT ON FUNCTION oss_labels.cancel_sync(bigint) IS
	'Remove a sync of the caller''s, and its jobs that have not been requested; what is stored remains';

CREATE VIEW oss_labels.bucket_sync WITH (security_barrier = true) AS
	SELECT s.sync_id, s.server, s.requester, s.bucket, s.prefix, s.state,
		CASE WHEN s.state IN ('listing', 'forgetting', 'tagging') THEN coalesce(s.reason, p.reason)
			ELSE s.reason END AS reason, s.round, s.listed, s.new, s.changed, s.unchanged, s.queued_already,
		j.queued + h.held AS queued, j.in_flight, s.stored + t.stored AS stored, s.failed + t.failed AS failed,
		s.skipped_suffix, s.skipped_folder, s.skipped_size, s.skipped_class, s.skipped_invalid,
		s.skipped_failed, s.forgotten, s.list_requests, s.spent + t.spent AS spent, s.max_requests,
		r.per_second AS images_per_second,
		CASE WHEN s.listed_at IS NOT NULL AND r.per_second > 0 AND s.state IN ('forgetting', 'tagging')
			THEN pg_catalog.make_interval(secs => (j.queued + j.in_flight) / r.per_second) END AS eta,
		s.started_at, s.listed_at, s.finished_at,
		CASE WHEN s.state IN ('waiting', 'stopped') THEN nullif(s.due, 'infinity') END AS next_at, s.every
	FROM (
		SELECT s.sync_id, coalesce(f.srvname::text, s.server) AS server,
			CASE WHEN s.origin & -4294967296 = v.cluster
				THEN pg_catalog.pg_get_userbyid(s.requester)::text ELSE s.requester_name END AS requester,
			s.bucket, s.prefix, CASE WHEN s.origin = v.origin THEN s.state ELSE 'stopped' END AS state,
			CASE WHEN s.origin = v.origin THEN s.reason
				ELSE 'it came from another database; resume_sync() accepts it' END AS reason,
			s.round, s.listed, s.new, s.changed, s.unchanged, s.queued_already, s.stored, s.failed,
			s.skipped_suffix, s.skipped_folder, s.skipped_size, s.skipped_class, s.skipped_invalid,
			s.skipped_failed, s.forgotten, s.list_requests, s.spent, s.max_requests, s.every,
			s.started_at, s.listed_at, s.finished_at, s.due
		FROM oss_labels.sync s CROSS JOIN oss_labels.viewer v
		LEFT JOIN pg_catalog.pg_foreign_server f ON f.oid = s.server_id AND s.origin = v.origin
		WHERE v.sees_all OR pg_catalog.pg_has_role(
			CASE WHEN s.origin & -4294967296 = v.cluster THEN s.requester
				ELSE pg_catalog.to_regrole(pg_catalog.quote_ident(s.requester_name)) END, 'USAGE')
	) s
	CROSS JOIN LATERAL (SELECT coalesce(pg_catalog.sum(t.stored), 0)::bigint AS stored,
		coalesce(pg_catalog.sum(t.failed), 0)::bigint AS failed,
		coalesce(pg_catalog.sum(t.spent), 0)::bigint AS spent
		FROM oss_labels.sync_tally t WHERE t.sync_id = s.sync_id) t
	CROSS JOIN LATERAL (SELECT
		pg_catalog.count(*) FILTER (WHERE coalesce(j.leased_until <= pg_catalog.clock_timestamp(), true)) AS queued,
		pg_catalog.count(*) FILTER (WHERE j.leased_until > pg_catalog.clock_timestamp()) AS in_flight
		FROM oss_labels.job j WHERE j.sync_id = s.sync_id) j
	CROSS JOIN LATERAL (SELECT pg_catalog.min(p.reason) AS reason FROM oss_labels.own_pause p
		WHERE (p.server IS NULL OR p.server = s.server) AND (p.requester IS NULL OR p.requester = s.requester)
			AND (p.bucket IS NULL OR p.bucket = s.bucket)) p
	CROSS JOIN LATERAL (SELECT pg_catalog.count(*) AS held
		FROM oss_labels.sync_paused_job h WHERE h.sync_id = s.sync_id) h
	CROSS JOIN LATERAL (SELECT (s.stored + t.stored + s.failed + t.failed) / nullif(extract(epoch FROM
		coalesce(s.finished_at, pg_catalog.clock_timestamp()) - s.started_at)::float8, 0) AS per_second) r;

COMMENT ON VIEW oss_labels.bucket_sync IS
	'What sync_bucket() keeps in step, and how far it is; roles see their own, pg_monitor and the extension''s owner all';
COMMENT ON COLUMN oss_labels.bucket_sync.sync_id IS 'as in sync';
COMMENT ON COLUMN oss_labels.bucket_sync.server IS 'present name of the foreign server';
COMMENT ON COLUMN oss_labels.bucket_sync.requester IS 'name of the role';
COMMENT ON COLUMN oss_labels.bucket_sync.bucket IS 'as in sync';
COMMENT ON COLUMN oss_labels.bucket_sync.prefix IS 'as in sync';
COMMENT ON COLUMN oss_labels.bucket_sync.state IS 'as in sync';
COMMENT ON COLUMN oss_labels.bucket_sync.reason IS 'as in sync';
COMMENT ON COLUMN oss_labels.bucket_sync.round IS 'as in sync';
COMMENT ON COLUMN oss_labels.bucket_sync.listed IS 'as in sync';
COMMENT ON COLUMN oss_labels.bucket_sync.new IS 'as in sync';
COMMENT ON COLUMN oss_labels.bucket_sync.changed IS 'as in sync';
COMMENT ON COLUMN oss_labels.bucket_sync.unchanged IS 'as in sync';
COMMENT ON COLUMN oss_labels.bucket_sync.queued_already IS 'as in sync';
COMMENT ON COLUMN oss_labels.bucket_sync.queued IS 'its jobs that wait';
COMMENT ON COLUMN oss_labels.bucket_sync.in_flight IS 'its jobs leased to a process';
COMMENT ON COLUMN oss_labels.bucket_sync.stored IS 'its jobs of this round that have their labels';
COMMENT ON COLUMN oss_labels.bucket_sync.failed IS 'its jobs of this round that failed, see failed_job';
COMMENT ON COLUMN oss_labels.bucket_sync.skipped_suffix IS 'as in sync';
COMMENT ON COLUMN oss_labels.bucket_sync.skipped_folder IS 'as in sync';
COMMENT ON COLUMN oss_labels.bucket_sync.skipped_size IS 'as in sync';
COMMENT ON COLUMN oss_labels.bucket_sync.skipped_class IS 'as in sync';
COMMENT ON COLUMN oss_labels.bucket_sync.skipped_invalid IS 'as in sync';
COMMENT ON COLUMN oss_labels.bucket_sync.skipped_failed IS 'as in sync';
COMMENT ON COLUMN oss_labels.bucket_sync.forgotten IS 'as in sync';
COMMENT ON COLUMN oss_labels.bucket_sync.list_requests IS 'as in sync';
COMMENT ON COLUMN oss_labels.bucket_sync.spent IS 'requests for labels that are billed or may be, since it is registered';
COMMENT ON COLUMN oss_labels.bucket_sync.max_requests IS 'as in sync';
COMMENT ON COLUMN oss_labels.bucket_sync.images_per_second IS 'rate of its jobs in this round';
COMMENT ON COLUMN oss_labels.bucket_sync.eta IS 'expected time until its jobs are done; null: unknown, as while the bucket is listed';
COMMENT ON COLUMN oss_labels.bucket_sync.started_at IS 'as in sync';
COMMENT ON COLUMN oss_labels.bucket_sync.listed_at IS 'as in sync';
COMMENT ON COLUMN oss_labels.bucket_sync.finished_at IS 'as in sync';
COMMENT ON COLUMN oss_labels.bucket_sync.next_at IS 'when the next round begins';
COMMENT ON COLUMN oss_labels.bucket_sync.every IS 'as in sync';

REVOKE ALL ON oss_labels.sync, oss_labels.sync_tally, oss_labels.sync_missing,
	oss_labels.sync_paused_job, oss_labels.bucket_sync FROM PUBLIC;
GRANT SELECT ON oss_labels.sync, oss_labels.bucket_sync TO pg_monitor;

SELECT pg_catalog.pg_extension_config_dump('oss_labels.sync', '');
SELECT pg_catalog.pg_extension_config_dump('oss_labels.sync_sync_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('oss_labels.sync_tally', '');
SELECT pg_catalog.pg_extension_config_dump('oss_labels.sync_missing', '');
SELECT pg_catalog.pg_extension_config_dump('oss_labels.sync_paused_job', '');

-- ---------------------------------------------------------------------
-- 10c. Events of buckets, and lists of objects
-- ---------------------------------------------------------------------

CREATE FUNCTION oss_labels.url_decode(escaped text)
RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'oss_labels_url_decode';
COMMENT ON FUNCTION oss_labels.url_decode(text) IS
	'A text that is escaped as in a query of a URL, in UTF-8: %20 and + are blanks; for keys of an inventory. Free';

/* The names that an inventory may have, and the columns that become of them. */
CREATE FUNCTION oss_labels.inventory_columns(manifest jsonb, relation text DEFAULT 'inventory')
RETURNS TABLE (create_table text, copy_from text, query text, files text[])
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	known constant jsonb := '{"Bucket": "bucket text", "Key": "key text", "VersionId": "version_id text",
		"IsLatest": "is_latest boolean", "IsDeleteMarker": "is_delete_marker boolean", "Size": "size bigint",
		"StorageClass": "storage_class text", "LastModifiedDate": "last_modified timestamptz",
		"ETag": "etag text", "IsMultipartUploaded": "is_multipart_uploaded boolean",
		"EncryptionStatus": "encryption_status text", "ObjectAcl": "object_acl text",
		"TaggingCount": "tagging_count integer", "ObjectType": "object_type text", "CRC64": "crc64 numeric"}';
	names text[];
	definitions text[];
	columns text[];
	target text;
	unknown text;
BEGIN
	IF jsonb_typeof(manifest -> 'fileSchema') IS DISTINCT FROM 'string'
		OR jsonb_typeof(manifest -> 'files') IS DISTINCT FROM 'array' THEN
		RAISE EXCEPTION 'this is no manifest of an inventory' USING ERRCODE = '22023',
			HINT = 'Give the content of manifest.json, which has fileFormat, fileSchema and files.';
	END IF;
	IF upper(manifest ->> 'fileFormat') IS DISTINCT FROM 'CSV' THEN
		RAISE EXCEPTION 'an inventory of format "%" cannot be read', manifest ->> 'fileFormat'
			USING ERRCODE = '22023', HINT = 'Have the inventory written as CSV.';
	END IF;
	SELECT array_agg(btrim(c) ORDER BY n) INTO names
	FROM string_to_table(manifest ->> 'fileSchema', ',') WITH ORDINALITY s (c, n);
	SELECT c INTO unknown FROM unnest(names) c WHERE NOT known ? c LIMIT 1;
	IF unknown IS NOT NULL THEN
		RAISE EXCEPTION 'an inventory''s column "%" is not known', unknown USING ERRCODE = '22023',
			DETAIL = 'Known are ' || (SELECT string_agg(k, ', ' ORDER BY k) FROM jsonb_object_keys(known) k) || '.',
			HINT = 'Make a table with a column for it yourself, and give backfill_listed() a query over that.';
	END IF;
	IF NOT names @> '{Key}' OR (SELECT count(DISTINCT c) FROM unnest(names) c) < cardinality(names) THEN
		RAISE EXCEPTION 'fileSchema names no column "Key", or a column twice' USING ERRCODE = '22023',
			DETAIL = manifest ->> 'fileSchema', HINT = 'Give manifest.json as OSS has written it.';
	END IF;
	IF EXISTS (SELECT FROM jsonb_array_elements(manifest -> 'files') f
		WHERE jsonb_typeof(f -> 'key') IS DISTINCT FROM 'string') THEN
		RAISE EXCEPTION 'a file of the manifest has no key' USING ERRCODE = '22023',
			HINT = 'Give manifest.json as OSS has written it.';
	END IF;
	SELECT string_agg(quote_ident(p), '.' ORDER BY n) INTO target
	FROM unnest(parse_ident(relation)) WITH ORDINALITY i (p, n);
	SELECT array_agg(known ->> c ORDER BY n), array_agg(split_part(known ->> c, ' ', 1) ORDER BY n)
	INTO definitions, columns FROM unnest(names) WITH ORDINALITY s (c, n);
	create_table := format('CREATE TABLE %s (%s)', target, array_to_string(definitions, ', '));
	copy_from := format('COPY %s (%s) FROM STDIN (FORMAT csv, FORCE_NULL (%2$s))', target, array_to_string(columns, ', '));
	query := format('SELECT %s, oss_labels.url_decode(key) AS key%s FROM %s%s',
		CASE WHEN columns @> '{bucket}' THEN 'bucket'
			ELSE quote_nullable(manifest ->> 'sourceBucket') || ' AS bucket' END,
		(SELECT string_agg(', ' || c, '' ORDER BY n) FROM unnest(columns) WITH ORDINALITY s (c, n)
			WHERE c IN ('size', 'etag', 'last_modified', 'storage_class')), target,
		(SELECT ' WHERE ' || string_agg(r.condition, ' AND ') FROM (VALUES
			('is_latest', 'is_latest IS NOT FALSE'),
			('is_delete_marker', 'is_delete_marker IS NOT TRUE')) r (c, condition) WHERE columns @> ARRAY[r.c]));
	files := ARRAY(SELECT 'oss://' || coalesce((manifest ->> 'destinationBucket') || '/', '') || (f ->> 'key')
		FROM jsonb_array_elements(manifest -> 'files') WITH ORDINALITY l (f, n) ORDER BY n);
	RETURN NEXT;
END $$;
COMMENT ON FUNCTION oss_labels.inventory_columns(jsonb, text) IS
	'From the manifest of an OSS inventory: the statements that make and fill a table, the query over it for backfill_listed(), and the files; free';

/*
 * A time of OSS's: null for what is none, or, in an event, does not name its zone, for
 * then it is of another clock.
 */
CREATE FUNCTION oss_labels.event_time(at jsonb, zoned boolean DEFAULT true)
RETURNS timestamptz
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	text_at text := regexp_replace(at #>> '{}', ' UTC$', '');
BEGIN
	RETURN CASE WHEN text_at ~ '^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,9})? ?(Z|[+-]\d\d(:?\d\d)?)?$'
		AND (text_at ~ '(Z|[+-]\d\d(:?\d\d)?)$' OR NOT zoned) THEN text_at::timestamptz END;
EXCEPTION WHEN data_exception THEN
	RETURN NULL;
END $$;
COMMENT ON FUNCTION oss_labels.event_time(jsonb, boolean) IS 'Internal: a time of an event or a list; null if it is none';

/*
 * The events in a document, one row each: OSS's own form, CloudEvents of
 * EventBridge, which has such a form in "data" or is around it, arrays of either.
 * What stands inside "oss" of some events stands beside it in others.
 */
CREATE FUNCTION oss_labels.event_items(event jsonb, depth integer DEFAULT 0)
RETURNS SETOF jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	inner_events jsonb := CASE jsonb_typeof(event) WHEN 'array' THEN event WHEN 'object' THEN event -> 'events' END;
	name jsonb;
	part jsonb;
BEGIN
	IF jsonb_typeof(inner_events) = 'array' AND depth < 5 THEN
		RETURN QUERY SELECT i.* FROM jsonb_array_elements(inner_events) e, oss_labels.event_items(e, depth + 1) i;
		RETURN;
	END IF;
	IF jsonb_typeof(event -> 'data') = 'object' THEN
		part := event -> 'data';
		IF jsonb_typeof(part -> 'events') = 'array' THEN
			RETURN QUERY SELECT i.* FROM oss_labels.event_items(part, depth + 1) i;
			RETURN;
		END IF;
		event := jsonb_build_object('eventName', event -> 'type', 'eventTime', event -> 'time') || jsonb_strip_nulls(part);
	END IF;
	part := CASE WHEN jsonb_typeof(event -> 'oss') = 'object' THEN event -> 'oss' ELSE event END;
	name := coalesce(event -> 'eventName', part -> 'eventName');
	IF jsonb_typeof(name) IS DISTINCT FROM 'string' OR name #>> '{}' !~ '^(oss:)?Object[A-Z]\w*:\w+$' THEN
		RAISE EXCEPTION 'this is not an event of OSS' USING ERRCODE = '22023',
			DETAIL = 'It has no eventName such as "ObjectCreated:PutObject".',
			HINT = 'Give an event as OSS or EventBridge sends it, and have only OSS''s events sent here.';
	END IF;
	RETURN NEXT jsonb_build_object('name', regexp_replace(name #>> '{}', '^oss:', ''),
		'at', oss_labels.event_time(coalesce(event -> 'eventTime', part -> 'eventTime')),
		'bucket', CASE WHEN jsonb_typeof(part -> 'bucket' -> 'name') = 'string' THEN part -> 'bucket' -> 'name' END,
		'key', CASE WHEN jsonb_typeof(part -> 'object' -> 'key') = 'string' THEN part -> 'object' -> 'key' END,
		'etag', CASE WHEN jsonb_typeof(part -> 'object' -> 'eTag') = 'string'
			AND length(part -> 'object' ->> 'eTag') <= 128 THEN part -> 'object' -> 'eTag' END,
		'size', CASE WHEN part -> 'object' ->> 'size' ~ '^\d{1,18}$' THEN (part -> 'object' ->> 'size')::bigint END);
END $$;
COMMENT ON FUNCTION oss_labels.event_items(jsonb, integer) IS 'Internal: the events in a document';

CREATE FUNCTION oss_labels.xml_text(xml text)
RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	unescaped text := xml;
	entity text;
	code bigint;
BEGIN
	IF xml ~ '^\s*<!\[CDATA\[' THEN
		RETURN regexp_replace(xml, '<!\[CDATA\[(.*?)\]\]>', '\1', 'g');
	END IF;

	/* a character beyond ASCII is one of a JSON text: in any encoding as its escape there */
	FOR entity IN SELECT DISTINCT m[1] FROM regexp_matches(xml, '&#(\d{1,7}|x[0-9A-Fa-f]{1,6});', 'g') m LOOP
		code := CASE WHEN starts_with(entity, 'x') THEN ('x' || lpad(substr(entity, 2), 16, '0'))::bit(64)::bigint
			ELSE entity::bigint END;
		unescaped := replace(unescaped, '&#' || entity || ';',
			CASE WHEN code BETWEEN 1 AND 127 THEN chr(code::integer)
				WHEN code < 65536 THEN '\u' || lpad(to_hex(code), 4, '0')
				ELSE '\u' || to_hex(55232 + (code >> 10)) || '\u' || to_hex(56320 + (code & 1023)) END);
	END LOOP;
	RETURN replace(replace(replace(replace(replace(unescaped, '&lt;', '<'), '&gt;', '>'),
		'&quot;', '"'), '&apos;', ''''), '&amp;', '&');
END $$;
COMMENT ON FUNCTION oss_labels.xml_text(text) IS 'Internal: the text that the content of an XML element means';

/*
 * The document in a message: Base64 of it, an XML or JSON notification that has
 * it as its Message, as it is or in Base64, or the document itself.
 */
CREATE FUNCTION oss_labels.message_document(message text)
RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	body text := message;
	document jsonb;
	base64 text;
BEGIN
	FOR i IN 1 .. 4 LOOP
		body := regexp_replace(body, '^[\s\ufeff]+', '');
		IF starts_with(body, '<') THEN
			body := oss_labels.xml_text((regexp_match(body,
				'<(?:\w+:)?Message(?:Body)?(?:\s[^<>]*)?>((?:[^<]|<!\[CDATA\[.*?\]\]>)*)</'))[1]);
		ELSIF body ~ '^[[{"]' THEN
			document := body;
			body := CASE jsonb_typeof(document) WHEN 'string' THEN document #>> '{}'
				WHEN 'object' THEN coalesce(document ->> 'Message', document ->> 'MessageBody') END;
			IF body IS NULL THEN
				RETURN document;
			END IF;
		ELSE
			base64 := rtrim(translate(regexp_replace(body, '\s', '', 'g'), '-_', '+/'), '=');
			body := CASE WHEN base64 ~ '^[A-Za-z0-9+/]+$' AND length(base64) % 4 <> 1 THEN
				convert_from(decode(rpad(base64, (length(base64) + 3) / 4 * 4, '='), 'base64'), 'UTF8') END;
		END IF;
		EXIT WHEN body IS NULL;
	END LOOP;
	RAISE EXCEPTION 'there is no event in the message' USING ERRCODE = '22023',
		HINT = 'Give the message as SMQ delivers it: JSON, Base64 of that, or a notification with either as its Message.';
EXCEPTION WHEN invalid_text_representation OR character_not_in_repertoire OR statement_too_complex THEN
	RAISE EXCEPTION 'the message cannot be read: %', SQLERRM USING ERRCODE = '22023',
		HINT = 'Give the message as SMQ delivers it: JSON, Base64 of that, or a notification with either as its Message.';
END $$;
COMMENT ON FUNCTION oss_labels.message_document(text) IS 'Internal: the document in a message of SMQ';

CREATE FUNCTION oss_labels.forget_as(role oid, bucket text, key text)
RETURNS boolean
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'oss_labels_forget_as';
COMMENT ON FUNCTION oss_labels.forget_as(oid, text, text) IS 'Internal: forget() with the rights of a role, for an event';

/*
 * The rule is one of a role, which forgets what it may write; corrections of
 * people are kept as by a round of the sync.  Returns what was done, or why nothing:
 * "forgotten", or a reason.
 */
CREATE FUNCTION oss_labels.event_removal(rule oss_labels.sync, key text, at timestamptz)
RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	id bigint := oss_labels.image_id(rule.bucket, key);
	role oid := oss_labels.role_of(rule.origin, rule.requester, rule.requester_name);
	queued boolean;
	written timestamptz;
BEGIN
	IF at IS NULL THEN
		RETURN 'no time';
	END IF;
	IF EXISTS (SELECT FROM oss_labels.job j WHERE j.key = key AND j.bucket = rule.bucket
		AND j.sync_id = rule.sync_id AND j.last_modified >= at)
		OR EXISTS (SELECT FROM oss_labels.sync_paused_job h
		WHERE h.sync_id = rule.sync_id AND h.key = key AND h.last_modified >= at) THEN
		RETURN 'older';
	END IF;
	DELETE FROM oss_labels.job j WHERE j.key = key AND j.bucket = rule.bucket
		AND j.version_id IS NULL AND j.sync_id = rule.sync_id;
	queued := FOUND;
	DELETE FROM oss_labels.sync_paused_job h WHERE h.sync_id = rule.sync_id AND h.key = key;
	queued := queued OR FOUND;
	SELECT coalesce(i.last_modified, i.tagged_at) INTO written FROM oss_labels.image i
	WHERE i.image_id = id AND i.bucket = rule.bucket AND i.key = key;
	IF written >= at THEN
		RETURN 'older';
	ELSIF NOT coalesce(rule.forget, true) THEN
		RETURN 'kept';
	ELSIF rule.keep_corrected AND EXISTS (SELECT FROM oss_labels.label_correction c WHERE c.image_id = id) THEN
		RETURN 'corrected';
	END IF;

	/* without labels, too: those that are asked for at present come later */
	IF written IS NOT NULL OR queued THEN
		PERFORM oss_labels.forget_as(role, rule.bucket, key);
	END IF;
	IF id IS NOT NULL THEN
		INSERT INTO oss_labels.forgotten AS f (image_id, forgotten_at, removed_at) VALUES (id, at, at)
		ON CONFLICT (image_id) DO UPDATE SET removed_at = greatest(f.removed_at, excluded.removed_at);
	END IF;
	RETURN CASE WHEN written IS NOT NULL OR queued THEN 'forgotten' ELSE 'not stored' END;
EXCEPTION WHEN insufficient_privilege THEN
	RETURN 'not permitted';
END $$;
COMMENT ON FUNCTION oss_labels.event_removal(oss_labels.sync, text, timestamptz) IS
	'Internal: what a sync does when an object was removed at a time: forget it, or why not';

CREATE FUNCTION oss_labels.event_content(rule oss_labels.sync, key text, size bigint, etag text,
	at timestamptz, restored boolean, OUT verdict text, OUT job_id bigint)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	known text := upper(btrim(etag, E' \t"'));
	id bigint := oss_labels.image_id(rule.bucket, key);
BEGIN
	IF EXISTS (SELECT FROM oss_labels.job j WHERE j.key = key AND j.bucket = rule.bucket
			AND j.sync_id = rule.sync_id AND j.last_modified > at)
		OR EXISTS (SELECT FROM oss_labels.sync_paused_job h
			WHERE h.sync_id = rule.sync_id AND h.key = key AND h.last_modified > at)
		OR EXISTS (SELECT FROM oss_labels.image i
			WHERE i.image_id = id AND i.bucket = rule.bucket AND i.key = key AND i.etag <> known
				AND (i.last_modified > at OR i.last_modified IS NULL
					AND i.tagged_at BETWEEN at + '15 min'::interval AND clock_timestamp()))
		OR EXISTS (SELECT FROM oss_labels.forgotten f WHERE f.image_id = id AND f.removed_at > at) THEN
		verdict := 'older';
		RETURN;
	ELSIF EXISTS (SELECT FROM oss_labels.sync_paused_job h
		WHERE h.sync_id = rule.sync_id AND h.key = key AND h.etag = known) THEN
		verdict := 'queued';
		RETURN;
	END IF;
	DELETE FROM oss_labels.failed_job f WHERE f.key = key AND f.bucket = rule.bucket
		AND f.version_id IS NULL AND f.requester = rule.requester AND f.origin = rule.origin AND f.failed_at < at;
	SELECT t.verdict, t.job_id INTO verdict, job_id FROM oss_labels.take_objects(rule.sync_id,
		ARRAY[key], ARRAY[size], ARRAY[known], ARRAY[at], ARRAY[NULL::text], ARRAY[restored], event => true) t;

	IF verdict IN ('new', 'changed') AND job_id IS NULL THEN
		verdict := 'queued';	-- by a session that has committed meanwhile
	END IF;

	/* resume_sync() queues it, and what it replaces is not asked for */
	IF job_id IS NOT NULL AND rule.state = 'paused' THEN
		DELETE FROM oss_labels.sync_paused_job h
		WHERE h.sync_id = rule.sync_id AND h.key = key AND h.answer IS NULL;
		WITH gone AS (DELETE FROM oss_labels.job j WHERE j.job_id = job_id RETURNING j.*)
		INSERT INTO oss_labels.sync_paused_job (sync_id, fresh_since, etag, object_size, last_modified,
			key, thr, attempts)
		SELECT g.sync_id, g.fresh_since, g.etag, g.object_size, g.last_modified, g.key, g.thr, g.attempts
		FROM gone g;
		UPDATE oss_labels.sync s SET finished_at = NULL
		WHERE s.sync_id = rule.sync_id AND s.finished_at IS NOT NULL;
		job_id := NULL;
	END IF;

	/* the worker adds up what becomes of jobs; whoever has locked the row does the same */
	IF job_id IS NOT NULL AND rule.state = 'done' THEN
		UPDATE oss_labels.sync s SET state = 'tagging', due = clock_timestamp(), finished_at = NULL
		WHERE s.sync_id IN (SELECT d.sync_id FROM oss_labels.sync d
			WHERE d.sync_id = rule.sync_id AND d.state = 'done' FOR UPDATE SKIP LOCKED);
	END IF;
END $$;
COMMENT ON FUNCTION oss_labels.event_content(oss_labels.sync, text, bigint, text, timestamptz, boolean) IS
	'Internal: what a sync does with a content that was written at a time: as take_objects(), or "older"';

/*
 * What an event tells is done as if the bucket had just been listed, by the rules
 * of a sync and as its role.  So whoever posts events needs no right but EXECUTE on
 * this, and chooses neither which buckets are asked for nor the threshold, the
 * priority or the credentials.  It therefore runs as the extension's owner: it
 * queues jobs of another role and looks up images that the poster must not see.  Of
 * these he reads the reason, for names that he has given.
 *
 * Events come more than once and in any order.  Times of events and of contents are
 * OSS's and compared with one another; tagged_at, which is by our clock, counts
 * where nothing else is known: for a new content with the tolerance of
 * judge_objects().  A time that is later than now by more than that is none: else an
 * invented event would make all true ones older.  A failure is moot once the object
 * was written again.
 */
CREATE FUNCTION oss_labels.ingest_event(event jsonb)
RETURNS TABLE (bucket text, key text, action text, reason text, job_id bigint)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 1
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $$
#variable_conflict use_variable
DECLARE
	item jsonb;
	tells text;
	at timestamptz;
	said text;
	rule oss_labels.sync;
BEGIN
	FOR item IN SELECT i FROM oss_labels.event_items(event) WITH ORDINALITY e (i, n)
		ORDER BY i ->> 'bucket', i ->> 'key', n
	LOOP
		bucket := item ->> 'bucket';
		key := item ->> 'key';
		at := item ->> 'at';
		at := CASE WHEN at <= clock_timestamp() + '15 min'::interval THEN at END;
		action := 'ignored';
		reason := NULL;
		job_id := NULL;
		tells := CASE WHEN item ->> 'name' IN ('ObjectCreated:PutObject', 'ObjectCreated:PostObject',
				'ObjectCreated:CopyObject', 'ObjectCreated:AppendObject', 'ObjectCreated:CompleteMultipartUpload',
				'ObjectCreated:PutSymlink', 'ObjectReplication:ObjectCreated', 'ObjectReplication:ObjectModified',
				'ObjectRestore:FinishRestore') THEN 'content'
			WHEN item ->> 'name' IN ('ObjectRemoved:DeleteObject', 'ObjectRemoved:DeleteObjects',
				'ObjectReplication:ObjectRemoved') THEN 'removal' END;
		IF tells IS NULL THEN
			reason := item ->> 'name';
		ELSIF bucket IS NULL OR key IS NULL THEN
			RAISE EXCEPTION 'the event "%" names no object', item ->> 'name' USING ERRCODE = '22023',
				DETAIL = 'The name of its bucket or the key of its object is missing, or no text.',
				HINT = 'Give the event as OSS or EventBridge sends it.';
		END IF;
		FOR rule IN SELECT s.* FROM oss_labels.sync s
			WHERE tells IS NOT NULL AND s.bucket = bucket AND starts_with(key, s.prefix)
				AND NOT s.from_list AND s.origin = oss_labels.origin()
				AND has_function_privilege(oss_labels.role_of(s.origin, s.requester, s.requester_name),
					'oss_labels.sync_bucket'::regproc, 'EXECUTE')
			ORDER BY length(s.prefix) DESC, s.sync_id
		LOOP
			/* not to be resumed before its job is set aside */
			IF rule.state = 'paused' THEN
				SELECT s.state INTO rule.state FROM oss_labels.sync s WHERE s.sync_id = rule.sync_id FOR UPDATE;
				CONTINUE WHEN rule.state IS NULL;
			END IF;
			IF tells = 'removal' THEN
				said := oss_labels.event_removal(rule, key, at);
			ELSE
				SELECT c.verdict, c.job_id INTO said, job_id FROM oss_labels.event_content(rule, key,
					(item ->> 'size')::bigint, item ->> 'etag', at, item ->> 'name' = 'ObjectRestore:FinishRestore') c;
			END IF;
			IF said IN ('new', 'changed', 'forgotten') THEN
				action := CASE said WHEN 'forgotten' THEN said ELSE 'enqueued' END;
				reason := nullif(said, 'forgotten');
				EXIT;
			END IF;
			reason := coalesce(reason, said);
			EXIT WHEN said IN ('unchanged', 'queued', 'older');
		END LOOP;
		reason := CASE WHEN action <> 'forgotten' THEN coalesce(reason, 'no rule') END;
		RETURN NEXT;
	END LOOP;
END $$;
COMMENT ON FUNCTION oss_labels.ingest_event(jsonb) IS
	'Do what an event of OSS tells, in buckets that sync_bucket() names: queue a new content, forget a removed object; one row per event';

CREATE FUNCTION oss_labels.ingest_message(message text)
RETURNS TABLE (bucket text, key text, action text, reason text, job_id bigint)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY SELECT * FROM oss_labels.ingest_event(oss_labels.message_document(message));
EXCEPTION WHEN untranslatable_character THEN
	/* no object of such a name can be stored; the message would come again for ever */
	action := 'ignored';
	reason := 'invalid';
	RETURN NEXT;
END $$;
COMMENT ON FUNCTION oss_labels.ingest_message(text) IS
	'ingest_event() for a message as SMQ delivers it: JSON, Base64 of that, or a notification in XML or JSON that has either';

/*
 * The rows of a caller's query, with his search path.  In parentheses and as a
 * cursor it can only be one SELECT.  What does not fit into work_mem is kept on
 * disk.  The cast takes the blanks off a character(n).
 */
CREATE FUNCTION oss_labels.listed_query(query text, path text, bucket text)
RETURNS TABLE (in_bucket text, key text, size bigint, etag text, modified_at timestamptz, storage_class text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE ROWS 100000
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	one record;
BEGIN
	PERFORM pg_catalog.set_config('search_path', path, true);
	FOR one IN EXECUTE pg_catalog.format(E'SELECT q.key::pg_catalog.text AS key, pg_catalog.to_jsonb(q) AS j FROM (%s\n) q', query) LOOP
		in_bucket := pg_catalog.substring(coalesce(one.j OPERATOR(pg_catalog.->>) 'bucket', bucket),
			'^ *([a-z0-9][a-z0-9_-]{1,61}[a-z0-9]) *$');
		key := one.key;
		size := CASE WHEN one.j OPERATOR(pg_catalog.->>) 'size' OPERATOR(pg_catalog.~) '^\d{1,18}$'
			THEN one.j OPERATOR(pg_catalog.->>) 'size' END;
		etag := pg_catalog.left(one.j OPERATOR(pg_catalog.->>) 'etag', 128);
		modified_at := oss_labels.event_time(one.j OPERATOR(pg_catalog.->) 'last_modified', false);
		storage_class := one.j OPERATOR(pg_catalog.->>) 'storage_class';
		RETURN NEXT;
	END LOOP;
EXCEPTION WHEN undefined_column THEN
	RAISE EXCEPTION '%', SQLERRM USING ERRCODE = '42703',
		HINT = 'The query''s result needs the column key, and may have bucket, size, etag, last_modified and storage_class.';
END $$;
COMMENT ON FUNCTION oss_labels.listed_query(text, text, text) IS
	'Internal: the rows of a query of backfill_listed()';

CREATE FUNCTION oss_labels.listed_rows(query text, path text, bucket text)
RETURNS TABLE (in_bucket text, key text, size bigint, etag text, modified_at timestamptz, storage_class text)
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 100000
AS 'MODULE_PATHNAME', 'oss_labels_listed_rows';
COMMENT ON FUNCTION oss_labels.listed_rows(text, text, text) IS
	'Internal: the same, for a query that can neither write nor send requests';

CREATE FUNCTION oss_labels.take_listed(sync_id bigint, keys text[], sizes bigint[], etags text[],
	last_modified timestamptz[], storage_classes text[], restored boolean[], dry_run boolean)
RETURNS jsonb
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'oss_labels_take_listed';
COMMENT ON FUNCTION oss_labels.take_listed(bigint, text[], bigint[], text[], timestamptz[], text[], boolean[], boolean) IS
	'Internal: take_objects() for a list of the caller''s, or judge_objects(); the number of objects by verdict';

/*
 * A sync for each bucket takes the rows in batches.  Of rows of one object that of
 * the latest content counts; they are sorted, in memory or on disk.  Rows without
 * a bucket that can be have none.  A dry run removes its syncs.
 */
CREATE FUNCTION oss_labels.backfill_rows(query text, path text, bucket text, max_requests bigint,
	suffixes text[], max_size bigint, storage_classes text[], thr float8, priority integer,
	server name, dry_run boolean)
RETURNS TABLE (sync_id bigint, in_bucket text, counts jsonb)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	one record;
	before text;
	verdicts jsonb;
	room bigint := max_requests;
	keys text[] := '{}';
	sizes bigint[] := '{}';
	etags text[] := '{}';
	times timestamptz[] := '{}';
	classes text[] := '{}';
BEGIN
	IF query IS NULL THEN
		RAISE EXCEPTION 'query must not be null' USING ERRCODE = '22004',
			HINT = 'Give a SELECT with the column key, and bucket unless that is an argument.';
	END IF;
	counts := '{}';
	FOR one IN
		SELECT r.*, false AS is_end FROM (
			SELECT l.* FROM oss_labels.listed_rows(query, path, bucket) l
			ORDER BY l.in_bucket COLLATE "C", l.key COLLATE "C", l.modified_at DESC NULLS LAST OFFSET 0
		) r
		UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, true
	LOOP
		IF cardinality(keys) > 0 AND (one.is_end OR cardinality(keys) = 1000
				OR one.in_bucket IS DISTINCT FROM in_bucket) THEN
			IF sync_id IS NULL THEN
				sync_id := oss_labels.sync_list(in_bucket, NULL, NULL, room, suffixes, max_size,
					storage_classes, thr, priority, NULL, true, server);
			END IF;
			verdicts := oss_labels.take_listed(sync_id, keys, sizes, etags, times, classes,
				array_fill(false, ARRAY[cardinality(keys)]), dry_run);
			counts := (SELECT jsonb_object_agg(v, n) FROM (
				SELECT e.key AS v, sum(e.value::bigint) AS n
				FROM (SELECT * FROM jsonb_each_text(counts) UNION ALL SELECT * FROM jsonb_each_text(verdicts)) e
				GROUP BY e.key) c);
			keys := '{}'; sizes := '{}'; etags := '{}'; times := '{}'; classes := '{}';
		END IF;
		IF one.is_end OR one.in_bucket IS DISTINCT FROM in_bucket THEN
			IF counts <> '{}' THEN
				IF dry_run AND sync_id IS NOT NULL THEN
					PERFORM oss_labels.cancel_sync(sync_id);
					sync_id := NULL;
				END IF;
				RETURN NEXT;
			END IF;
			room := CASE WHEN room IS NOT NULL THEN greatest(0, room
				- coalesce((counts ->> 'new')::bigint, 0) - coalesce((counts ->> 'changed')::bigint, 0)) END;
			sync_id := NULL;
			counts := '{}';
			in_bucket := one.in_bucket;
			before := NULL;
		END IF;
		CONTINUE WHEN one.is_end;
		IF one.key IS NULL OR one.in_bucket IS NULL THEN
			counts := jsonb_set(counts, '{invalid}', to_jsonb(coalesce((counts ->> 'invalid')::bigint, 0) + 1));
		ELSIF one.key = before THEN
			counts := jsonb_set(counts, '{repeated}', to_jsonb(coalesce((counts ->> 'repeated')::bigint, 0) + 1));
		ELSE
			before := one.key;
			keys := keys || one.key;
			sizes := sizes || one.size;
			etags := etags || one.etag;
			times := times || one.modified_at;
			classes := classes || one.storage_class;
		END IF;
	END LOOP;
END $$;
COMMENT ON FUNCTION oss_labels.backfill_rows(text, text, text, bigint, text[], bigint, text[], float8, integer, name, boolean) IS
	'Internal: backfill_listed() with the caller''s search path; the number of rows by verdict';

/* No search_path of its own: that of the caller is the query's. */
CREATE FUNCTION oss_labels.backfill_listed(query text, bucket text DEFAULT NULL,
	max_requests bigint DEFAULT NULL, suffixes text[] DEFAULT '{.jpg,.jpeg,.png}',
	max_size bigint DEFAULT 20971520, storage_classes text[] DEFAULT '{Standard,IA}',
	thr float8 DEFAULT NULL, priority integer DEFAULT -10, server name DEFAULT NULL,
	dry_run boolean DEFAULT false)
RETURNS TABLE (sync_id bigint, in_bucket text, listed bigint, new bigint, changed bigint,
	unchanged bigint, queued_already bigint, skipped_suffix bigint, skipped_folder bigint,
	skipped_size bigint, skipped_class bigint, skipped_invalid bigint, skipped_failed bigint,
	repeated bigint, over_limit bigint, cost numeric, currency text)
LANGUAGE sql VOLATILE PARALLEL UNSAFE ROWS 1
BEGIN ATOMIC
	SELECT b.sync_id, b.in_bucket,
		(SELECT pg_catalog.sum(e.value::bigint) FROM pg_catalog.jsonb_each_text(b.counts) e)::bigint,
		n.new, n.changed, coalesce((b.counts ->> 'unchanged')::bigint, 0),
		coalesce((b.counts ->> 'queued')::bigint, 0), coalesce((b.counts ->> 'suffix')::bigint, 0),
		coalesce((b.counts ->> 'folder')::bigint, 0), coalesce((b.counts ->> 'size')::bigint, 0),
		coalesce((b.counts ->> 'class')::bigint, 0), coalesce((b.counts ->> 'invalid')::bigint, 0),
		coalesce((b.counts ->> 'failed')::bigint, 0), coalesce((b.counts ->> 'repeated')::bigint, 0),
		coalesce((b.counts ->> 'limit')::bigint, 0),
		pg_catalog.trim_scale((n.new + n.changed) * p.per_1000 / 1000), p.currency
	FROM oss_labels.backfill_rows(backfill_listed.query, pg_catalog.current_setting('search_path'),
		backfill_listed.bucket, backfill_listed.max_requests, backfill_listed.suffixes,
		backfill_listed.max_size, backfill_listed.storage_classes, backfill_listed.thr,
		backfill_listed.priority, backfill_listed.server, coalesce(backfill_listed.dry_run, false)) b
	CROSS JOIN LATERAL (SELECT coalesce((b.counts ->> 'new')::bigint, 0) AS new,
		coalesce((b.counts ->> 'changed')::bigint, 0) AS changed) n
	LEFT JOIN LATERAL oss_labels.price_of('label', backfill_listed.server::text, CURRENT_DATE) p ON true;
END;
COMMENT ON FUNCTION oss_labels.backfill_listed(text, text, bigint, text[], bigint, text[], float8, integer, name, boolean) IS
	'Queue the images of a list, such as an inventory, by the rules of sync_bucket(); what becomes of its rows, or would in a dry run';

-- ---------------------------------------------------------------------
-- 11. Privileges
-- ---------------------------------------------------------------------

/* What belongs to a grant, as GRANT and REVOKE write it. */
CREATE FUNCTION oss_labels.granted_objects(family text)
RETURNS SETOF text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT objects FROM (VALUES
		('own', 'SELECT ON oss_labels.own_bucket_grant'),
		('own', 'EXECUTE ON FUNCTION oss_labels.has_policy, oss_labels.reads_all, '
			'oss_labels.reading_scope'),
		('reading', 'SELECT ON oss_labels.image, oss_labels.image_label, '
			'oss_labels.label, oss_labels.vocabulary, oss_labels.label_rule, '
			'oss_labels.label_alias, oss_labels.label_correction, '
			'oss_labels.effective_name, oss_labels.readable_image_label, '
			'oss_labels.effective_image_label, '
			'oss_labels.effective_label, oss_labels.label_rollup, oss_labels.album, '
			'oss_labels.album_pin, oss_labels.album_member'),
		('reading', 'EXECUTE ON FUNCTION oss_labels.image_id, oss_labels.label_id, '
			'oss_labels.read_threshold, oss_labels.labels_of, '
			'oss_labels.search, oss_labels.search_ids, oss_labels.image_matches, '
			'oss_labels.matches, oss_labels.label_query_and, '
			'oss_labels.label_query_or, oss_labels.label_query_not, '
			'oss_labels.albums_of, oss_labels.label_weight, oss_labels.label_rarity, '
			'oss_labels.rarity_of_own, oss_labels.rank_images, oss_labels.check_profile, oss_labels.related_images, '
			'oss_labels.images_for, oss_labels.profile, oss_labels.image_sparsevec'),
		('writing', 'INSERT, UPDATE, DELETE ON oss_labels.album, oss_labels.album_pin'),
		('writing', 'EXECUTE ON FUNCTION oss_labels.import_labels, '
			'oss_labels.import_label_rows, oss_labels.import_label_set, oss_labels.forget, '
			'oss_labels.correct, oss_labels.pin, oss_labels.may_write'),
		('paying', 'EXECUTE ON FUNCTION oss_labels.detect, '
			'oss_labels.try_detect, oss_labels.detect_json, oss_labels.tag, '
			'oss_labels.try_tag, oss_labels.object_info, oss_labels.try_object_info, '
			'oss_labels.list_objects, '
			'oss_labels.may_keep, oss_labels.usage_now, oss_labels.price_of, oss_labels.estimate, '
			'oss_labels.estimate_bucket, '
			'oss_labels.budget_counts, oss_labels.budget_left'),
		('paying', 'SELECT ON oss_labels.usage, oss_labels.price, oss_labels.cost, '
			'oss_labels.budget_status')
		) g (family, objects) WHERE g.family = $1
$$;
COMMENT ON FUNCTION oss_labels.granted_objects(text) IS 'Internal: the rights that a family of grants has';

CREATE PROCEDURE oss_labels.grant_family(family text, role regrole)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	objects text;
BEGIN
	EXECUTE format('GRANT USAGE ON SCHEMA oss_labels TO %s', role);
	FOR objects IN SELECT * FROM oss_labels.granted_objects('own')
		UNION ALL SELECT * FROM oss_labels.granted_objects(family) LOOP
		EXECUTE format('GRANT %s TO %s', objects, role);
	END LOOP;
END $$;
COMMENT ON PROCEDURE oss_labels.grant_family(text, regrole) IS 'Internal: grants the rights of a family, and those that tell a role its own grants';

CREATE PROCEDURE oss_labels.revoke_family(family text, role regrole)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	objects text;
BEGIN
	FOR objects IN SELECT * FROM oss_labels.granted_objects(family) LOOP
		EXECUTE format('REVOKE %s FROM %s', objects, role);
	END LOOP;
END $$;
COMMENT ON PROCEDURE oss_labels.revoke_family(text, regrole) IS 'Internal: revokes the rights of a family, except those to see its own grants';

CREATE FUNCTION oss_labels.role_value(role regrole)
RETURNS oss_labels.role_name
LANGUAGE c STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'oss_labels_role_value';
COMMENT ON FUNCTION oss_labels.role_value(regrole) IS 'Internal: a role as a value that outlives it';

CREATE PROCEDURE oss_labels.grant_reading(role regrole, bucket text DEFAULT NULL, prefix text DEFAULT NULL)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF bucket IS NULL AND prefix IS NOT NULL THEN
		RAISE EXCEPTION 'a prefix needs a bucket' USING ERRCODE = 'invalid_parameter_value',
			HINT = 'Give the bucket whose keys have the prefix.';
	END IF;
	IF bucket !~ '^[a-z0-9][a-z0-9_-]{1,61}[a-z0-9]$' THEN
		RAISE EXCEPTION 'no bucket can have the name "%"', bucket
			USING ERRCODE = 'invalid_parameter_value',
			HINT = 'A bucket''s name has 3 to 63 lower-case letters, digits and hyphens, old ones also underscores. Give the beginning of keys as prefix.';
	END IF;
	IF prefix ~ '^[/\\]' THEN
		RAISE EXCEPTION 'no key has the prefix "%"', prefix
			USING ERRCODE = 'invalid_parameter_value',
			HINT = 'Leave out the slash or backslash at the beginning.';
	END IF;
	IF bucket IS NULL THEN
		EXECUTE format('GRANT EXECUTE ON FUNCTION oss_labels.may_read_all TO %s', role);
	ELSE
		INSERT INTO oss_labels.bucket_grant (role, bucket, prefix)
		VALUES (oss_labels.role_value($1), $2, coalesce($3, ''))
		ON CONFLICT DO NOTHING;
	END IF;
	CALL oss_labels.grant_family('reading', role);
END $$;
COMMENT ON PROCEDURE oss_labels.grant_reading(regrole, text, text) IS
	'Grant a role the functions that cost nothing, and the right to read stored labels: all, of a bucket, or of keys with a prefix';

CREATE PROCEDURE oss_labels.revoke_reading(role regrole, bucket text DEFAULT NULL, prefix text DEFAULT NULL)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	DELETE FROM oss_labels.bucket_grant g
	WHERE g.role::text = pg_get_userbyid($1)
		AND ($2 IS NULL OR g.bucket = $2 AND ($3 IS NULL OR g.prefix = $3));
	IF bucket IS NULL THEN
		EXECUTE format('REVOKE EXECUTE ON FUNCTION oss_labels.may_read_all FROM %s', role);
		CALL oss_labels.revoke_family('reading', role);
		CALL oss_labels.revoke_writing(role);
	END IF;
END $$;
COMMENT ON PROCEDURE oss_labels.revoke_reading(regrole, text, text) IS
	'Undo grant_reading() and grant_writing(): all of them, or those of a bucket or a prefix';

CREATE PROCEDURE oss_labels.grant_writing(role regrole, bucket text DEFAULT NULL, prefix text DEFAULT NULL)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	CALL oss_labels.grant_reading(role, bucket, prefix);
	IF bucket IS NULL THEN
		EXECUTE format('GRANT EXECUTE ON FUNCTION oss_labels.may_write_all TO %s', role);
	ELSE
		UPDATE oss_labels.bucket_grant g SET writes = true
		WHERE g.role::text = pg_get_userbyid($1) AND g.bucket = $2
			AND g.prefix = coalesce($3, '');
	END IF;
	CALL oss_labels.grant_family('writing', role);
END $$;
COMMENT ON PROCEDURE oss_labels.grant_writing(regrole, text, text) IS
	'Grant a role to read, and albums, pins, corrections, import_labels() and forget(): everywhere, in a bucket, or for keys with a prefix';

CREATE PROCEDURE oss_labels.revoke_writing(role regrole, bucket text DEFAULT NULL, prefix text DEFAULT NULL)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	UPDATE oss_labels.bucket_grant g SET writes = false
	WHERE g.role::text = pg_get_userbyid($1)
		AND ($2 IS NULL OR g.bucket = $2 AND ($3 IS NULL OR g.prefix = $3));
	IF bucket IS NULL THEN
		EXECUTE format('REVOKE EXECUTE ON FUNCTION oss_labels.may_write_all FROM %s', role);
		CALL oss_labels.revoke_family('writing', role);
	END IF;
END $$;
COMMENT ON PROCEDURE oss_labels.revoke_writing(regrole, text, text) IS
	'Undo grant_writing(), but not the reading: all of it, or that of a bucket or a prefix';

CREATE PROCEDURE oss_labels.grant_paying(role regrole)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	CALL oss_labels.grant_family('paying', role);
END $$;
COMMENT ON PROCEDURE oss_labels.grant_paying(regrole) IS
	'Grant a role the functions that send paid requests; it also needs USAGE on a server and a user mapping';

CREATE PROCEDURE oss_labels.revoke_paying(role regrole)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	CALL oss_labels.revoke_family('paying', role);
END $$;
COMMENT ON PROCEDURE oss_labels.revoke_paying(regrole) IS
	'Undo grant_paying(); queued jobs remain';

CREATE PROCEDURE oss_labels.grant_priority(role regrole)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	EXECUTE format('GRANT EXECUTE ON FUNCTION oss_labels.may_prioritize TO %s', role);
END $$;
COMMENT ON PROCEDURE oss_labels.grant_priority(regrole) IS
	'Grant a role priorities above 0';

CREATE PROCEDURE oss_labels.revoke_priority(role regrole)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	EXECUTE format('REVOKE EXECUTE ON FUNCTION oss_labels.may_prioritize FROM %s', role);
END $$;
COMMENT ON PROCEDURE oss_labels.revoke_priority(regrole) IS
'Undo grant_priority(); queued jobs keep their priority';

REVOKE ALL ON ALL ROUTINES IN SCHEMA oss_labels FROM PUBLIC;
REVOKE ALL ON oss_labels.label_rule,
	oss_labels.label_alias, oss_labels.label_correction,
	oss_labels.effective_name, oss_labels.readable_image_label,
	oss_labels.effective_image_label, oss_labels.effective_label, oss_labels.label_rollup,
	oss_labels.album, oss_labels.album_pin, oss_labels.album_member,
	oss_labels.bucket_grant, oss_labels.own_bucket_grant FROM PUBLIC;
GRANT EXECUTE ON FUNCTION oss_labels.may_read_all, oss_labels.has_policy, oss_labels.reads_all,
	oss_labels.reading_scope TO pg_read_all_data;
GRANT EXECUTE ON FUNCTION oss_labels.budget_counts, oss_labels.budget_left TO pg_monitor;

SELECT pg_catalog.pg_extension_config_dump('oss_labels.label_rule', '');
SELECT pg_catalog.pg_extension_config_dump('oss_labels.label_alias', '');
SELECT pg_catalog.pg_extension_config_dump('oss_labels.label_correction', '');
SELECT pg_catalog.pg_extension_config_dump('oss_labels.album', '');
SELECT pg_catalog.pg_extension_config_dump('oss_labels.album_album_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('oss_labels.album_pin', '');
SELECT pg_catalog.pg_extension_config_dump('oss_labels.bucket_grant', '');
