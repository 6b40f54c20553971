# From a cancel to its error, the client's way included, with a request stuck in
# each of its phases: the longest of ten, in milliseconds.

times=10
timeout=100

# Let the service accept no connection on the first port, and say nothing on the
# second.
exec {dead_out}< <(exec perl -I../perl -MDeadPorts -e '
	my $dead = DeadPorts->new;
	$| = 1;
	print $dead->full, "\n", $dead->mute, "\n";
	sleep 600')
dead_pid=$!
read -r full_port <&"$dead_out" && read -r mute_port <&"$dead_out" ||
	{ echo "bench: no ports" >&2; return 1; }

# stuck_in PHASE ENDPOINT: make a server whose requests for key PHASE get no further.
stuck_in() {
	sql -c "CREATE SERVER stuck_$1 FOREIGN DATA WRAPPER oss_labels OPTIONS (region 'cn-hangzhou',
			endpoint '$2', addressing 'path', timeout_ms '60000', connect_timeout_ms '60000', max_attempts '1')" \
		-c "CREATE USER MAPPING FOR CURRENT_USER SERVER stuck_$1
			OPTIONS (access_key_id 'testid', access_key_secret 'testsecret')"
}

# Print how much longer than its timeout each statement took.
late_ms() {
	local i
	{
		echo "SET statement_timeout = $timeout; \\timing on"
		for ((i = 0; i < times; i++)); do
			echo "SELECT count(*) FROM oss_labels.detect(:'bucket', '$1', server => 'stuck_$1');"
		done
	} | psql -XqAt -v VERBOSITY=sqlstate -v bucket="$bucket" 2>&1 |
		awk -v times="$times" -v timeout="$timeout" '
			/ERROR:  57014/ { cancelled++ }
			/^Time: / && $2 > longest { longest = $2 }
			END { if (cancelled == times) printf "%.4g\n", longest - timeout }'
}

http=http://127.0.0.1:$OSS_HTTP_PORT
"$OSS_CONTROL" GET '/fault?kind=hang&key=header' >/dev/null
"$OSS_CONTROL" GET '/fault?kind=hang-body&key=body' >/dev/null
stuck_in dns https://silent.test
stuck_in connect "https://127.0.0.1:$full_port"
stuck_in tls "https://127.0.0.1:$mute_port"
stuck_in header "$http"
stuck_in body "$http"
for phase in dns connect tls header body; do
	figure "cancel-$phase-ms" "$(late_ms "$phase")" '<=' 200
done
kill "$dead_pid"
exec {dead_out}<&-
answer_after 0
