\set ECHO none
-- Ask for an image whose answer is the given variant (see test/oss-server/README.md)
\setenv VARIANT :variant
\! $OSS_CONTROL GET /reset >/dev/null; $OSS_CONTROL GET "/fault?kind=labels&variant=$VARIANT" >/dev/null
\echo :variant
SELECT label_name AS name, parent_label_name AS parent, label_level AS level,
	   label_confidence AS confidence, centric_score AS centric, language, left(raw::text, 250) AS raw, error_code
FROM oss_labels.try_detect('examplebucket', 'example.jpg');
\! $OSS_CONTROL GET '/count?name=label_requests'
\set ECHO all
