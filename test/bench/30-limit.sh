# Requests that a query with LIMIT 10 starts: never 2 x delivered + 1 or more.

answer_after 20
count_from_zero
sql >/dev/null <<-'SQL' || return
	SET oss_labels.server = http;
	SELECT i, l.label_count
	FROM generate_series(1, 1000) i,
		LATERAL (SELECT count(*) AS label_count
			FROM oss_labels.detect(:'bucket', i || '.jpg')) l
	LIMIT 10;
SQL
figure limit-10-one-row-per-image "$(counted label_requests)" '<=' 21
count_from_zero
sql >/dev/null <<-'SQL' || return
	SET oss_labels.server = http;
	SELECT i, l.label_name
	FROM generate_series(1, 1000) i,
		LATERAL oss_labels.detect(:'bucket', i || '.jpg') l
	LIMIT 100;
SQL
figure limit-100-ten-rows-per-image "$(counted label_requests)" '<=' 21
answer_after 0
