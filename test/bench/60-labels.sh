# Labels at work, at a million images with ten labels each: latencies of reports,
# search and recommendation, and the recall of the last.  BENCH_IMAGES for fewer.

images=${BENCH_IMAGES:-1000000}

# Print the median milliseconds of a query over some runs; %n is a number that changes.
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

began=$(date +%s%N)
sql -v images="$images" -f labels.sql >/dev/null || return
figure "store us per image (SQL, all labels)" "$(calculate "($(date +%s%N) - $began) / 1000 / $images")" '<=' 300
figure "labels of an image, ms" "$(milliseconds_of "SELECT count(*) FROM oss_labels.label WHERE bucket = 'bench' AND key = 'image/%n.jpg'")" '<=' 5
figure "20 best of a label at 0.9, ms" "$(milliseconds_of "SELECT bucket, key FROM oss_labels.label WHERE label_name = 'Label 3' AND label_confidence >= 0.9 ORDER BY label_confidence DESC LIMIT 20")" '<=' 10
figure "search rare & common, ms" "$(milliseconds_of "SELECT count(*) FROM oss_labels.search('\"Label 900\" & (\"Label 2\" | \"Label 3\":0.9) & !\"Label 5\"', 20)")" '<=' 100
figure "search two commonest labels, ms" "$(milliseconds_of "SELECT count(*) FROM oss_labels.search('\"Label 1\" & \"Label 2\"', 20)")" '<=' 500
figure "20 related images, ms" "$(milliseconds_of "SELECT count(*) FROM oss_labels.related_images('bench', 'image/%n.jpg')")" '<=' 50
figure "recall of 20 related images" "$(sql -v images="$images" -f recall.sql | tail -1)" '>=' 0.8
