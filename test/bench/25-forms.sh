# Each form in which people ask for many images, 64 in flight, answers after 20 ms,
# against raw libcurl with as many: no form is slow for how it is written.  And the
# requests that each starts for LIMIT 10.  BENCH_FORMS=REGEXP selects some.

scheme=http delay=20 in_flight=64
seconds=${BENCH_FORM_SECONDS:-4}	# at the speed of raw libcurl
requests=$(calculate "int($seconds * 1000 / $delay * $in_flight)")

# Run $statement about the table photo; print the seconds and seconds of CPU.
form() {
	timed -v requests="$requests" -v in_flight="$in_flight" <<-SQL
	SET oss_labels.server = http;
	SET oss_labels.concurrency = :in_flight;
	CREATE TEMP TABLE photo AS
		SELECT i || '.jpg' AS key, NULL::text[] AS labels FROM generate_series(1, :requests) i;
	ANALYZE photo;
	SELECT count(*) FROM oss_labels.detect(:'bucket', '1.jpg');
	-- go
	$statement;
	SQL
}

form_rate() {
	local took
	took=$(form) && calculate "$requests / ${took%%	*}"
}

raw_rate() {
	raw $((2000 / delay * in_flight)) "$in_flight" "$scheme" | cut -f 1
}

# measure NAME GOAL STATEMENT
measure() {
	[[ $1 =~ ${BENCH_FORMS:-.} ]] || return 0
	statement=$3
	figure "form-$1" "$(by_turns form_rate raw_rate 1)" '>=' "$2"
}

# measure_query NAME GOAL QUERY: the same, and its requests for LIMIT 10
measure_query() {
	[[ $1 =~ ${BENCH_FORMS:-.} ]] || return 0
	measure "$1" "$2" "CREATE TEMP TABLE found AS $3"
	count_from_zero
	sql >/dev/null <<-SQL || return
	SET oss_labels.server = http;
	CREATE TEMP TABLE photo AS SELECT 'limit' || i || '.jpg' AS key FROM generate_series(1, 1000) i;
	ANALYZE photo;
	$3 LIMIT 10;
	SQL
	figure "form-$1-limit-10" "$(counted label_requests)" '<=' 21
}

detect="oss_labels.detect(:'bucket', p.key)"
answer_after "$delay"
measure_query lateral 0.95 "SELECT p.key, l.label_name FROM photo p, LATERAL $detect l"
measure_query left-join 0.95 "SELECT p.key, l.label_name FROM photo p LEFT JOIN LATERAL $detect l ON l.label_level = 2"
measure_query array-per-image 0.9 "SELECT p.key, s.names
	FROM photo p, LATERAL (SELECT array_agg(l.label_name) AS names FROM $detect l) s"
measure_query top-three 0.9 "SELECT p.key, s.*
	FROM photo p, LATERAL (SELECT l.label_name FROM $detect l ORDER BY l.label_confidence DESC LIMIT 3) s"
measure_query distinct 0.9 "SELECT p.key, s.* FROM photo p, LATERAL (SELECT DISTINCT l.label_level FROM $detect l) s"
measure_query exists 0.9 "SELECT p.key FROM photo p WHERE EXISTS (SELECT FROM $detect l WHERE l.label_level = 2)"
measure_query not-exists 0.9 "SELECT p.key FROM photo p WHERE NOT EXISTS (SELECT FROM $detect l WHERE l.label_name = 'x')"
measure_query not-in 0.9 "SELECT p.key FROM photo p WHERE 'x' NOT IN (SELECT l.label_name FROM $detect l)"
measure_query select-list 0.9 "SELECT p.key, (SELECT array_agg(l.label_name) FROM $detect l) AS names FROM photo p"
measure_query array 0.9 "SELECT p.key, ARRAY(SELECT l.label_name FROM $detect l) AS names FROM photo p"
measure update 0.9 "UPDATE photo p SET labels = (SELECT array_agg(l.label_name) FROM $detect l)"
measure_query json-from 0.9 "SELECT p.key, j FROM photo p, LATERAL oss_labels.detect_json(:'bucket', p.key) j"
measure_query json-select-list 0.9 "SELECT p.key, oss_labels.detect_json(:'bucket', p.key) AS j FROM photo p"
measure_query ordinality 0.9 "SELECT p.key, l.label_name, l.ordinality FROM photo p, LATERAL $detect WITH ORDINALITY l"
measure_query tag 0.9 "SELECT p.key, s.names
	FROM photo p, LATERAL (SELECT array_agg(l.label_name) AS names FROM oss_labels.tag(:'bucket', p.key) l) s"

# CPU of the join
join_cpu() {
	local took
	took=$(form) && calculate "${took##*	} * 1000 / $requests"
}

raw_join_cpu() {
	calculate "$(raw "$requests" "$in_flight" "$scheme" | cut -f 2) * 1000 / $requests"
}

statement="SELECT count(l.label_name) FROM photo p, LATERAL $detect l"
figure form-lateral-cpu "$(by_turns join_cpu raw_join_cpu 3)" '<=' 4
answer_after 0
