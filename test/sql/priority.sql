-- Priorities above 0 are granted: enqueue() and watch() refuse them, triggers and
-- retry_failed() do without.
\set VERBOSITY terse
CREATE SERVER prio_oss FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou', endpoint 'http://127.0.0.1:1');
SET oss_labels.server = 'prio_oss';
SET client_min_messages = warning;
SELECT oss_labels.pause();
CREATE ROLE prio_user;
CREATE ROLE prio_group;
CREATE ROLE prio_member IN ROLE prio_group;
CREATE ROLE prio_owner;
GRANT USAGE ON FOREIGN SERVER prio_oss TO prio_user, prio_group, prio_owner;
GRANT USAGE ON SCHEMA oss_labels TO prio_user, prio_group, prio_owner;
GRANT EXECUTE ON FUNCTION oss_labels.enqueue, oss_labels.watch, oss_labels.unwatch, oss_labels.check_watch, oss_labels.forget_watch,
	oss_labels.retry_failed, oss_labels.enqueue_trigger TO prio_user, prio_group, prio_owner;
GRANT CREATE ON SCHEMA public TO prio_user, prio_group, prio_owner;

-- refused, but 0 and below are anybody's
SET ROLE prio_user;
SELECT oss_labels.enqueue('tenlabels', 'first', priority => 1);
\set VERBOSITY default
SELECT oss_labels.enqueue('tenlabels', 'first', priority => 2147483647);
\set VERBOSITY terse
SELECT oss_labels.enqueue('tenlabels', 'zero', priority => 0) > 0 AS queued;
SELECT oss_labels.enqueue('tenlabels', 'minus', priority => -1) > 0 AS queued;
SELECT oss_labels.enqueue('tenlabels', 'null', priority => NULL) > 0 AS queued;
CREATE TABLE prio_own (key text);
SELECT oss_labels.watch('prio_own', 'key', bucket => 'tenlabels', priority => 1);
SELECT oss_labels.watch('prio_own', 'key', bucket => 'tenlabels', priority => -5);
INSERT INTO prio_own VALUES ('background');

-- by a trigger made by hand: written, with one warning a transaction
CREATE TABLE prio_hand (key text);
CREATE TRIGGER hand AFTER INSERT ON prio_hand FOR EACH ROW
	EXECUTE FUNCTION oss_labels.enqueue_trigger('key_column', 'key', 'bucket', 'tenlabels', 'priority', '7');
INSERT INTO prio_hand VALUES ('hand1'), ('hand2');
RESET ROLE;

-- granted, to a role and so to its members
CALL oss_labels.grant_priority('prio_group');
SET ROLE prio_member;
SELECT oss_labels.enqueue('tenlabels', 'member', priority => 5) > 0 AS queued;
RESET ROLE;
CALL oss_labels.grant_priority('prio_owner');
SET ROLE prio_owner;
CREATE TABLE prio_table (key text);
SELECT oss_labels.watch('prio_table', 'key', bucket => 'tenlabels', priority => 3);
GRANT INSERT ON prio_table TO prio_user;
SET ROLE prio_user;
INSERT INTO prio_table VALUES ('owners');
RESET ROLE;
SELECT key, priority, requester_name FROM oss_labels.job ORDER BY job_id;

-- taken back
CALL oss_labels.revoke_priority('prio_owner');
SET ROLE prio_user;
INSERT INTO prio_table VALUES ('late');
RESET ROLE;
SELECT key, priority FROM oss_labels.job WHERE key = 'late';

-- retry_failed() keeps what its caller may use
TRUNCATE oss_labels.job;
INSERT INTO oss_labels.failed_job (job_id, enqueued_at, priority, attempts, requester, requester_name, server, bucket, key, "sqlstate", message)
	SELECT 1000 + i, now(), i, 5, r.oid, r.rolname, 'prio_oss', 'tenlabels', r.rolname || i, '58000', 'x'
	FROM generate_series(-1, 1) i, pg_roles r WHERE r.rolname IN ('prio_user') ORDER BY i;
SET ROLE prio_user;
SELECT oss_labels.retry_failed();
RESET ROLE;
SELECT key, priority FROM oss_labels.job ORDER BY key;
SELECT oss_labels.enqueue('tenlabels', 'the owner', priority => 9) > 0 AS queued;

TRUNCATE oss_labels.job, oss_labels.active_pause;
DROP TABLE prio_own, prio_hand, prio_table;
DROP SERVER prio_oss;
DROP OWNED BY prio_user, prio_member, prio_group, prio_owner;
DROP ROLE prio_user, prio_member, prio_group, prio_owner;
