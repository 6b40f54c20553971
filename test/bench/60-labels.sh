# Labels at work, at a million images with ten labels each: how long it takes to
# store them, latencies of reports, search and recommendation, and how much of
# what brute force finds they find.  BENCH_IMAGES for fewer.

images=${BENCH_IMAGES:-1000000}

# Print the median milliseconds of a query over 20 runs; %n is a number that changes.
milliseconds_of() {
	sql <<-SQL
	DO \$\$
	DECLARE
		began timestamptz;
		took float8[];
	BEGIN
		FOR n IN 0 .. 20 LOOP
			began := clock_timestamp();
			EXECUTE replace(\$q\$ $1 \$q\$, '%n', (1 + n * 23117 % $images)::text);
			IF n > 0 THEN
				took := took || extract(epoch FROM clock_timestamp() - began)::float8 * 1000;
			END IF;
		END LOOP;
		SET client_min_messages = error;
		CREATE TEMP TABLE result AS SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY t) AS ms FROM unnest(took) t;
	END \$\$;
	SELECT round(ms::numeric, 2) FROM result;
	SQL
}

# latency NAME GOAL QUERY: print a figure of it.
latency() {
	figure "$1, ms" "$(milliseconds_of "$3")" '<=' "$2"
}

# Print 1 if a query's plan scans an index of image_label and sorts nothing.
scans_index() {
	sql -c "EXPLAIN (COSTS OFF) $1" | awk '
		/Scan using image_label_/ { scans = 1 }
		/Sort|Seq Scan on image_label/ { bad = 1 }
		END { print scans && !bad ? 1 : 0 }'
}

image="bucket = 'bench' AND key = 'image/%n.jpg'"
best="label_name = 'Label 3' AND label_confidence >= 0.9 ORDER BY label_confidence DESC LIMIT 20"
best_of="oss_labels.search('\"Label 3\":0.9', 20)"
rare='"Label 900" & ("Label 2" | "Label 3":0.9) & !"Label 5"'
looked="SELECT oss_labels.profile(label_name, label_confidence, centric_score, 1) FROM oss_labels.label
	WHERE bucket = 'bench' AND key IN ('image/%n.jpg', 'image/7.jpg', 'image/407.jpg', 'image/807.jpg', 'image/1999.jpg')"

began=$(date +%s%N)
sql -v images="$images" -f labels.sql >/dev/null || return
figure "load a store, us per image" "$(calculate "($(date +%s%N) - $began) / 1000 / $images")" '<=' 300
began=$(date +%s%N)
sql >/dev/null <<-'SQL' || return
	SELECT count(oss_labels.import_labels(jsonb_build_object('Labels', (
		SELECT jsonb_agg(jsonb_build_object('LabelName', 'Label ' || x, 'LabelLevel', 2, 'ParentLabelName', 'Category ' || x % 40,
			'LabelConfidence', 0.5, 'CentricScore', 0.5, 'Language', 'en-us'))
		FROM (SELECT DISTINCT 1 + (i * 7 + n * n * 31) % 2000 AS x FROM generate_series(1, 10) n) d)), 'import', i || '.jpg'))
	FROM generate_series(1, 5000) i;
SQL
figure "store an answer, us per image" "$(calculate "($(date +%s%N) - $began) / 1000 / 5000")" '<=' 1000

# as after a night: what was written is on the disk, what autovacuum would do is done
sql -c 'VACUUM (ANALYZE) oss_labels.image, oss_labels.image_label, oss_labels.vocabulary' -c CHECKPOINT

figure "labels of an image: index scan" "$(scans_index "SELECT * FROM oss_labels.label WHERE $image")" '>=' 1
latency "labels of an image" 5 "SELECT count(*) FROM oss_labels.label WHERE $image"
latency "labels of an image after house rules" 10 "SELECT count(*) FROM oss_labels.effective_label WHERE $image"
latency "20 best of a label at 0.9" 10 "SELECT count(*) FROM $best_of"
latency "search rare & common" 200 "SELECT count(*) FROM oss_labels.search('$rare', 20)"
latency "search a parent, least confidence" 500 "SELECT count(*) FROM oss_labels.search('parent:\"Category 7\":0.9 & \"Label 7\"', 20)"
latency "search two commonest labels" 500 "SELECT count(*) FROM oss_labels.search('\"Label 1\" & \"Label 2\"', 20)"
latency "20 related images" 50 "SELECT count(*) FROM oss_labels.related_images('bench', 'image/%n.jpg')"
latency "20 images for a profile" 50 "SELECT count(*) FROM oss_labels.images_for(($looked))"

result=$(sql -v images="$images" -v asked=20 -v best="$best" -f recall.sql | tail -1) || return
figure "recall of 20 best of a label" "$(cut -d '|' -f 1 <<<"$result")" '>=' 1
figure "recall and precision of search" "$(cut -d '|' -f 2 <<<"$result")" '>=' 1
figure "recall of 20 related images" "$(cut -d '|' -f 3 <<<"$result")" '>=' 0.95
figure "recall of 20 images for a profile" "$(cut -d '|' -f 4 <<<"$result")" '>=' 0.8

# --- house rules in force: every label has an alias, 50 have a rule, people corrected 10 000 images ---

sql >/dev/null <<-'SQL' || return
	INSERT INTO oss_labels.label_alias SELECT 'Label ' || i, 'L' || i FROM generate_series(1, 2000) i;
	INSERT INTO oss_labels.label_rule (label_name, min_confidence) SELECT 'L' || 7 * i, 0.5 FROM generate_series(1, 50) i;
	INSERT INTO oss_labels.label_correction (image_id, label_name, added)
	SELECT oss_labels.image_id('bench', 'image/' || 9 * i || '.jpg'), 'Label ' || 1 + i % 300, i % 2 = 0 FROM generate_series(1, 10000) i;
	INSERT INTO oss_labels.album (name, rule)
	SELECT i, format('"Label %s" & !"Label %s"', 1 + i % 2000, 1 + i * 7 % 2000)::oss_labels.label_query FROM generate_series(1, 10000) i;
	VACUUM (ANALYZE) oss_labels.vocabulary, oss_labels.label_correction, oss_labels.label_alias, oss_labels.album;
SQL

# Print the least milliseconds of three runs of a query.
least_ms() {
	local began
	for _ in 1 2 3; do
		began=$(date +%s%N)
		sql -c "$1" >/dev/null && echo $((($(date +%s%N) - began) / 1000000))
	done | sort -n | head -1
}

# Print by how many kB of its own memory a session grows at most in a search of
# 400 terms for so many labels, as a multiple of work_mem.
search_memory() {
	sql <<-SQL | awk '/VmSize/ && !before { before = $2 } /VmPeak/ { peak = $2 } END { printf "%.2f\n", (peak - before) / 4096 }'
	SET work_mem = '4MB';
	SELECT count(*) FROM oss_labels.search('"L900"') \g /dev/null
	SELECT pg_backend_pid() AS pid \gset
	\setenv BACKEND :pid
	\! grep VmSize /proc/\$BACKEND/status
	SELECT count(*) FROM oss_labels.search((SELECT string_agg(format('"L%s"', 1 + i % $1), ' | ') FROM generate_series(1, 400) i)::oss_labels.label_query) \g /dev/null
	\! grep VmPeak /proc/\$BACKEND/status
	SQL
}

figure "count of effective_label over count of label" \
	"$(calculate "$(least_ms 'SELECT count(*) FROM oss_labels.effective_label') / $(least_ms 'SELECT count(*) FROM oss_labels.label')")" '<=' 2
latency "labels of an image, rules in force" 1 "SELECT count(*) FROM oss_labels.effective_label WHERE $image"
sql >/dev/null <<-'SQL' || return
	CREATE FUNCTION effective_labels(of text) RETURNS bigint LANGUAGE plpgsql AS $$
	BEGIN
		RETURN (SELECT count(*) FROM oss_labels.effective_label WHERE bucket = 'bench' AND key = of);
	END $$;
SQL
latency "labels of an image, rules in force, prepared" 1 "SELECT effective_labels('image/%n.jpg')"
latency "albums of an image, of 10 000" 50 "SELECT count(*) FROM oss_labels.albums_of('bench', 'image/%n.jpg')"
latency "search a parent, rules in force" 300 "SELECT count(*) FROM oss_labels.search('parent:\"Category 7\"', 20)"
latency "20 related images, rules in force" 50 "SELECT count(*) FROM oss_labels.related_images('bench', 'image/%n.jpg')"
figure "memory of a search of 400 terms, in work_mem" "$(search_memory 3)" '<=' 4
figure "memory of a search of 400 labels, in work_mem" "$(search_memory 400)" '<=' 4
