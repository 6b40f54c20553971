-- One image: what comes back, and how many requests it took.
\i test/sql/include/server.sql
\pset null NULL

-- the help page's two samples
SELECT label_name, parent_label_name, label_level, label_confidence,
	   centric_score, language
FROM oss_labels.detect('examplebucket', 'example.jpg');
SELECT label_name, raw
FROM oss_labels.detect('examplebucket', 'example.jpg', thr => 0.85);
\! $OSS_CONTROL GET '/count?name=label_requests'

-- the whole answer; the service gives it an id of its own
SELECT jsonb_array_length(oss_labels.detect_json('examplebucket', 'example.jpg') -> 'Labels');
SELECT oss_labels.detect_json('examplebucket', 'example.jpg') ? 'RequestId';

-- an image without labels gives no rows, with try_detect() as well
SELECT count(*) FROM oss_labels.detect('examplebucket', 'photos/nothing.jpg');
SELECT count(*) FROM oss_labels.try_detect('examplebucket', 'photos/nothing.jpg');

-- NULL in bucket or key: no rows and no request
\! $OSS_CONTROL GET /reset
SELECT * FROM oss_labels.detect(NULL, 'example.jpg');
SELECT * FROM oss_labels.detect('examplebucket', NULL);
SELECT * FROM oss_labels.try_detect(NULL, NULL);
SELECT oss_labels.detect_json('examplebucket', NULL);
\! $OSS_CONTROL GET '/count?name=requests_total'

-- NULL elsewhere is the default
SELECT count(*) FROM oss_labels.detect('examplebucket', 'example.jpg', NULL, NULL, NULL);

-- thr: from 0 to 1, written without exponent
SELECT count(*) FROM oss_labels.detect('examplebucket', 'example.jpg', thr => 0);
SELECT count(*) FROM oss_labels.detect('examplebucket', 'example.jpg', thr => 1);
SELECT count(*) FROM oss_labels.detect('examplebucket', 'example.jpg', thr => 1e-5);
\! $OSS_CONTROL GET '/count?name=code_InvalidArgument'

-- bad arguments: one clear error, and nothing sent
\! $OSS_CONTROL GET /reset
SELECT * FROM oss_labels.detect('examplebucket', 'example.jpg', thr => 7);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM oss_labels.detect('examplebucket', 'example.jpg', thr => -0.1);
SELECT * FROM oss_labels.detect('examplebucket', 'example.jpg', thr => 'NaN');
SELECT * FROM oss_labels.detect('examplebucket', 'example.jpg', thr => 'Infinity');
SELECT * FROM oss_labels.detect('../etc', 'passwd');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM oss_labels.detect('Examplebucket', 'example.jpg');
SELECT * FROM oss_labels.detect('ab', 'example.jpg');
SELECT * FROM oss_labels.detect('-abc', 'example.jpg');
SELECT * FROM oss_labels.detect(repeat('a', 64), 'example.jpg');
SELECT * FROM oss_labels.detect('examplebucket', '');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM oss_labels.detect('examplebucket', '/example.jpg');
SELECT * FROM oss_labels.detect('examplebucket', E'\\example.jpg');
SELECT oss_labels.detect_json('examplebucket', 'example.jpg', version_id => '');
SELECT oss_labels.detect_json('examplebucket', 'example.jpg', version_id => E'a\r\nx-oss-meta: b');
SELECT * FROM oss_labels.detect('examplebucket', 'example.jpg', server => 'nowhere');
\echo :LAST_ERROR_SQLSTATE
\set VERBOSITY terse
SELECT http_status, error_code, length(error_message)
FROM oss_labels.try_detect('examplebucket', repeat('k', 1024));
SELECT http_status, error_code, length(error_message)
FROM oss_labels.try_detect('examplebucket', repeat('k', 1021) || '照');
\set VERBOSITY default
\! $OSS_CONTROL GET '/count?name=requests_total'

-- what belongs to the image is data for try_detect(), also without a request
SELECT label_name, http_status, error_code
FROM oss_labels.try_detect('examplebucket', '');
SELECT label_name, http_status, error_code
FROM oss_labels.try_detect('No', 'example.jpg');
SELECT * FROM oss_labels.try_detect('examplebucket', 'example.jpg', thr => 7);
\! $OSS_CONTROL GET '/count?name=requests_total'
SELECT label_name, http_status, error_code, request_id ~ '^[0-9A-F]{24}$' AS has_id
FROM oss_labels.try_detect('examplebucket', 'nope.jpg');
SELECT label_name, http_status, error_code, request_id ~ '^[0-9A-F]{24}$' AS has_id
FROM oss_labels.try_detect('examplebucket', 'example.jpg');
\! $OSS_CONTROL GET '/count?name=label_requests'

-- a longest key, and a real error with its SQLSTATE
DO $$
DECLARE
	key text;
	state text;
BEGIN
	FOREACH key IN ARRAY ARRAY['nope.jpg', repeat('k', 1023), 'damaged.jpg',
							   'notes.txt', 'toobig.jpg', 'toowide.png',
							   'animation.gif', 'empty.jpg']
	LOOP
		BEGIN
			PERFORM FROM oss_labels.detect('examplebucket', key);
			RAISE NOTICE '% has labels', left(key, 20);
		EXCEPTION WHEN OTHERS THEN
			GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE;
			RAISE NOTICE '%: % %', left(key, 20), state,
				regexp_replace(SQLERRM, '.*": ', '');
		END;
	END LOOP;
END $$;

-- what is not there
\set VERBOSITY terse
SELECT * FROM oss_labels.detect('nosuchbucket', 'example.jpg');
SELECT * FROM oss_labels.detect('examplebucket', 'example.jpg', version_id => 'nope');
SELECT * FROM oss_labels.detect('unattached', 'example.jpg');
SELECT * FROM oss_labels.try_detect('unattached', 'example.jpg');
SELECT * FROM oss_labels.detect('archivebucket', 'example.jpg');
SELECT * FROM oss_labels.detect('payerbucket', 'example.jpg');
ALTER SERVER oss OPTIONS (ADD requester_pays 'true');
SELECT count(*) > 0 AS paid FROM oss_labels.detect('payerbucket', 'example.jpg');

-- composable
SELECT k, l.label_name
FROM unnest(ARRAY['example.jpg', 'photos/nothing.jpg', NULL]) AS k
	 LEFT JOIN LATERAL oss_labels.detect('examplebucket', k) AS l ON true
ORDER BY k, l.label_name;
SELECT (oss_labels.detect('examplebucket', 'example.jpg')).label_name;
SELECT row_number() OVER (), ordinality, label_name
FROM oss_labels.detect('examplebucket', 'example.jpg') WITH ORDINALITY;

-- the first connection is still in use: none since the last reset
\! $OSS_CONTROL GET '/count?name=connections_http'
SET client_min_messages = warning;
DROP SERVER oss CASCADE;
