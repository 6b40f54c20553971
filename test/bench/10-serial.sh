# One detect() after another, answers at once, against one raw libcurl request
# after another: with the few labels that the stand-in makes up, and with ten.

requests=2000			# few, and many turns: the machine may be busy

serial_detect() {
	local took
	took=$(timed -v server="$scheme" -v requests="$requests" <<-'SQL'
	SET oss_labels.server = :'server';
	SELECT set_config('bench.bucket', :'bucket', false),
		set_config('bench.requests', :'requests', false);
	SELECT count(*) FROM oss_labels.detect(:'bucket', '1.jpg');
	-- go
	DO $$
	BEGIN
		FOR i IN 1 .. current_setting('bench.requests')::int LOOP
			PERFORM FROM oss_labels.detect(current_setting('bench.bucket'), i || '.jpg');
		END LOOP;
	END$$;
	SQL
	) && calculate "$requests / ${took%%	*}"
}

serial_raw() {
	raw "$requests" 1 "$scheme" | cut -f 1
}

answer_after 0
for scheme in http https; do
	bucket=everykey		# every key exists
	figure "serial-$scheme" "$(by_turns serial_detect serial_raw 15)" '>=' 0.7
	bucket=tenlabels
	figure "serial-$scheme-ten-labels" "$(by_turns serial_detect serial_raw 15)" '>=' 0.7
done
