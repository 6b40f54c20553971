-- Budgets: arguments, rights, errors.  That they are exact is tested by t/080 to
-- t/082.
\o /dev/null
DELETE FROM oss_labels.budget;
\o
\i test/sql/include/server.sql
\pset null NULL

-- arguments
SELECT oss_labels.set_budget(-1);
SELECT oss_labels.set_budget(1, 'week');
SELECT oss_labels.set_budget(1, NULL);
SELECT oss_labels.set_budget(1, bucket => 'Not_a_bucket');
SELECT oss_labels.set_budget(1, bucket => '');
SELECT oss_labels.set_budget(1, server => 'nowhere');
SELECT oss_labels.set_budget(1, requester => 'nobody_at_all');
SELECT oss_labels.set_budget(NULL, server => 'nowhere');
SELECT count(*) FROM oss_labels.budget;

-- one of each scope and period; the same is replaced
SELECT oss_labels.set_budget(5000);
SELECT oss_labels.set_budget(100000, 'month');
SELECT oss_labels.set_budget(0, 'ever', server => 'oss', requester => CURRENT_USER::regrole, bucket => 'examplebucket', note => 'stop');
SELECT oss_labels.set_budget(6000, note => 'raised');
SELECT server, requester = CURRENT_USER AS own, bucket, period, max_requests, spent, in_flight, "left", exhausted, note
FROM oss_labels.budget_status ORDER BY budget_id;
SELECT oss_labels.set_budget(NULL, 'month');
SELECT oss_labels.set_budget(NULL, 'month');
SELECT period, max_requests FROM oss_labels.budget ORDER BY budget_id;
SELECT oss_labels.budget_left('oss', CURRENT_USER::regrole, 'examplebucket') AS of_bucket,
	oss_labels.budget_left('oss', CURRENT_USER::regrole, 'other') AS of_another;

-- more than there is memory for
BEGIN;
SELECT count(oss_labels.set_budget(1, bucket => 'bucket' || g)) FROM generate_series(1, 255) g;
ROLLBACK;

-- what a budget refuses is not sent
SELECT count(*) FROM oss_labels.detect('examplebucket', 'example.jpg');
SELECT count(*) FROM oss_labels.try_detect('examplebucket', 'example.jpg');
SELECT count(*) FROM oss_labels.tag('examplebucket', 'example.jpg', max_age => '0');
SELECT count(*) FROM (VALUES (1), (2)) v, oss_labels.try_tag('examplebucket', 'example.jpg', max_age => '0');
SELECT ok, detail, hint FROM oss_labels.check_server('oss') WHERE check_name = 'budget';
\! $OSS_CONTROL GET '/count?name=label_requests'
DELETE FROM oss_labels.budget;
SELECT count(*) > 0 AS some FROM oss_labels.detect('examplebucket', 'example.jpg');
SELECT ok, detail, hint FROM oss_labels.check_server('oss') WHERE check_name = 'budget';
\! $OSS_CONTROL GET '/count?name=label_requests'

-- settings
SET oss_labels.allow_requests = off;
SELECT count(*) FROM oss_labels.try_detect('examplebucket', 'example.jpg');
SELECT count(*) FROM oss_labels.object_info('examplebucket', 'example.jpg');
SELECT check_name, ok, detail FROM oss_labels.check_server('oss', 'examplebucket', 'example.jpg') WHERE NOT ok;
CALL oss_labels.process_queue();
RESET oss_labels.allow_requests;
SET oss_labels.max_requests_per_statement = 2;
SELECT count(*) > 0 AS some FROM (VALUES (1), (2)) v (i), oss_labels.detect('everykey', 'k' || i);
SELECT count(*) > 0 AS some FROM (VALUES (1), (2), (3)) v (i), oss_labels.try_detect('everykey', 'm' || i);
RESET oss_labels.max_requests_per_statement;
ALTER SYSTEM SET oss_labels.billing_time_zone = 'Nowhere/Atlantis';

-- rights
CREATE ROLE budget_user;
CALL oss_labels.grant_paying('budget_user');
SELECT oss_labels.set_budget(7, requester => 'budget_user'), oss_labels.set_budget(8, requester => CURRENT_USER::regrole);
SET ROLE budget_user;
SELECT requester, max_requests FROM oss_labels.budget_status;
SELECT oss_labels.set_budget(1);
SELECT * FROM oss_labels.budget;
RESET ROLE;
DELETE FROM oss_labels.budget;
DROP OWNED BY budget_user;
DROP ROLE budget_user;
