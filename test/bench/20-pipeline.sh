# A join of a table with detect(), ten labels stored per image, against raw
# libcurl with as many requests in flight.

has_setting oss_labels.pipeline || { echo "# no pipeline yet"; return 0; }
seconds=4				# what a run shall take, at the speed of raw libcurl

pipeline() {
	local took
	took=$(seconds_of -v server="$scheme" -v requests="$requests" -v in_flight="$in_flight" <<-'SQL'
	SET oss_labels.server = :'server';
	SET oss_labels.concurrency = :in_flight;
	CREATE TEMP TABLE photo AS
		SELECT i || '.jpg' AS key FROM generate_series(1, :requests) i;
	CREATE TEMP TABLE found (LIKE photo);
	ALTER TABLE found ADD label_name text, ADD confidence float8, ADD raw jsonb;
	ANALYZE photo;
	SELECT count(*) FROM oss_labels.detect(:'bucket', '1.jpg');
	-- go
	INSERT INTO found
		SELECT p.key, l.label_name, l.label_confidence, l.raw
		FROM photo p, LATERAL oss_labels.detect(:'bucket', p.key) l;
	SQL
	) && calculate "$requests / $took"
}

raw_pipeline() {
	raw "$requests" "$in_flight" "$scheme" | cut -f 1
}

# Measure one combination: SCHEME DELAY IN_FLIGHT GOAL
measure() {
	scheme=$1
	in_flight=$3
	requests=$(calculate "int($seconds * 1000 / $2) * $3")
	answer_after "$2"
	figure "pipeline-$1-$2ms-$3" "$(by_turns pipeline raw_pipeline 3)" '>=' "$4"
}

for scheme in http https; do
	measure "$scheme" 20 16 0.95
	measure "$scheme" 20 64 0.95
	measure "$scheme" 20 256 0.90
	measure "$scheme" 200 64 0.95
	measure "$scheme" 200 256 0.90
done
answer_after 0
