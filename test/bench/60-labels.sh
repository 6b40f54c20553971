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
figure "20 best of a label: index scan" "$(scans_index "SELECT * FROM oss_labels.label WHERE $best")" '>=' 1
latency "labels of an image" 5 "SELECT count(*) FROM oss_labels.label WHERE $image"
latency "labels of an image after house rules" 10 "SELECT count(*) FROM oss_labels.effective_label WHERE $image"
latency "20 best of a label at 0.9" 10 "SELECT count(*) FROM (SELECT bucket, key FROM oss_labels.label WHERE $best) b"
latency "search rare & common" 200 "SELECT count(*) FROM oss_labels.search('$rare', 20)"
latency "search a parent, least confidence" 500 "SELECT count(*) FROM oss_labels.search('parent:\"Category 7\":0.9 & \"Label 7\"', 20)"
latency "search two commonest labels" 500 "SELECT count(*) FROM oss_labels.search('\"Label 1\" & \"Label 2\"', 20)"
latency "20 related images" 50 "SELECT count(*) FROM oss_labels.related_images('bench', 'image/%n.jpg')"
latency "20 images for a profile" 50 "SELECT count(*) FROM oss_labels.images_for(($looked))"

result=$(sql -v images="$images" -v asked=5 -v best="$best" -f recall.sql | tail -1) || return
figure "recall of 20 best of a label" "$(cut -d '|' -f 1 <<<"$result")" '>=' 1
figure "recall and precision of search" "$(cut -d '|' -f 2 <<<"$result")" '>=' 1
figure "recall of 20 related images" "$(cut -d '|' -f 3 <<<"$result")" '>=' 0.95
figure "recall of 20 images for a profile" "$(cut -d '|' -f 4 <<<"$result")" '>=' 0.8
