# A join of a table with detect(), ten labels stored per image, against raw
# libcurl with as many requests in flight.
#
# The pipeline never starts more than 2 x delivered + 1 requests, so it takes
# log2(in flight) answers' time until it is full; what is measured is long
# enough for that not to matter, which with slow answers takes a while.

# Insert the labels of so many images; print the seconds and seconds of CPU.
fill_table() {
	timed -v server="$scheme" -v requests="$1" -v in_flight="$in_flight" <<-'SQL'
	SET oss_labels.server = :'server';
	SET oss_labels.concurrency = :in_flight;
	CREATE TEMP TABLE photo AS
		SELECT i || '.jpg' AS key FROM generate_series(1, :requests) i;
	CREATE TEMP TABLE found (key text, label_name text, confidence float8, raw jsonb);
	ANALYZE photo;
	SELECT count(*) FROM oss_labels.detect(:'bucket', '1.jpg');
	-- go
	INSERT INTO found
		SELECT p.key, l.label_name, l.label_confidence, l.raw
		FROM photo p, LATERAL oss_labels.detect(:'bucket', p.key) l;
	SQL
}

# Images per second, for $seconds at the speed of raw libcurl.
pipeline() {
	local requests=$((seconds * 1000 / delay * in_flight)) took
	took=$(fill_table "$requests") && calculate "$requests / ${took%%	*}"
}

# The same, and it needs less time to show.
raw_pipeline() {
	raw $((2000 / delay * in_flight)) "$in_flight" "$scheme" | cut -f 1
}

# CPU seconds per 1000 images.
pipeline_cpu() {
	local took
	took=$(fill_table 10000) && calculate "${took##*	} / 10"
}

raw_cpu() {
	calculate "$(raw 10000 "$in_flight" "$scheme" | cut -f 2) / 10"
}

# Measure a combination: SCHEME DELAY IN_FLIGHT GOAL SECONDS REPETITIONS
measure() {
	scheme=$1 delay=$2 in_flight=$3 seconds=$5
	answer_after "$delay"
	figure "pipeline-$1-$2ms-$3" "$(by_turns pipeline raw_pipeline "$6")" '>=' "$4"
}

measure http 20 16 0.95 4 3
measure http 20 64 0.95 5 3
measure http 20 256 0.90 5 3
measure http 200 16 0.95 20 1
measure http 200 64 0.95 30 1
measure http 200 256 0.90 20 1
measure https 20 64 0.95 5 3
measure https 20 256 0.90 5 3
measure https 200 64 0.95 30 1

for scheme in http https; do
	in_flight=64
	answer_after 20
	figure "pipeline-cpu-$scheme" "$(by_turns pipeline_cpu raw_cpu 3)" '<=' 4
done
answer_after 0
