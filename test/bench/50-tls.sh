# CPU of a new TLS connection: requests after each of which the stand-in closes
# the connection, less the same requests over one connection.

requests=300

# Print the milliseconds of CPU that a backend spends per request.
cpu_per_request() {
	sql -v requests="$requests" <<-'SQL'
	\o /dev/null
	SET oss_labels.server = https;
	SELECT set_config('bench.bucket', :'bucket', false),
		set_config('bench.requests', :'requests', false);
	SELECT count(*) FROM oss_labels.detect(:'bucket', '1.jpg');
	SELECT split_part(pg_read_file('/proc/self/schedstat'), ' ', 1)::bigint AS began \gset
	DO $$
	BEGIN
		FOR i IN 1 .. current_setting('bench.requests')::int LOOP
			PERFORM FROM oss_labels.detect(current_setting('bench.bucket'), i || '.jpg');
		END LOOP;
	END$$;
	SELECT split_part(pg_read_file('/proc/self/schedstat'), ' ', 1)::bigint AS ended \gset
	\o
	SELECT round((:ended - :began) / 1e6 / :requests, 4);
	SQL
}

answer_after 0
kept=$(cpu_per_request)
"$OSS_CONTROL" GET '/fault?kind=close' >/dev/null
count_from_zero
fresh=$(cpu_per_request)
opened=$(counted connections_https)
answer_after 0
echo "#   $kept ms per request kept, $fresh ms with a new connection, $opened connections" >&2
if [ "$opened" -lt "$requests" ]; then
	echo "bench: $opened connections for $requests requests" >&2
	return 1
fi
figure tls-new-connection-cpu-ms "$(calculate "$fresh - $kept")" '<=' 2
