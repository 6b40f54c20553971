# The worker, ten labels stored per image, against raw libcurl with as many
# requests in flight; its CPU and memory; and what watching a table costs.

sql -c "ALTER SYSTEM SET oss_labels.worker_idle_timeout = 600" \
	-c 'SELECT pg_reload_conf()' >/dev/null
sql -c 'SELECT oss_labels.announce()' >/dev/null

# Print the worker's pid, waiting for it.
worker_pid() {
	local pid
	for _ in {1..100}; do
		pid=$(sql -c "SELECT pid FROM oss_labels.worker
			WHERE database = current_database()")
		[ -n "$pid" ] && echo "$pid" && return
		sleep 0.1
	done
	return 1
}

# Put so many images into the paused queue, with the store emptied.
fill_queue() {
	sql -v n="$1" -v server="$scheme" <<-'SQL' >/dev/null
	SELECT oss_labels.pause();
	TRUNCATE oss_labels.image, oss_labels.job;
	SELECT count(oss_labels.enqueue(:'bucket', i || '.jpg', server => :'server'))
		FROM generate_series(1, :n) i;
	VACUUM ANALYZE oss_labels.job;
	SQL
}

# Let it run until it is empty; print the seconds by the rows' own times, if so
# many images have their labels.
drain_queue() {
	sql -v n="$1" <<-'SQL'
	SELECT extract(epoch FROM clock_timestamp()) AS t \gset
	SELECT oss_labels.resume() \g /dev/null
	CALL oss_labels.wait_for_queue('10 min');
	SELECT (extract(epoch FROM max(tagged_at)) - :t) FROM oss_labels.image HAVING count(*) = :n;
	SQL
}

# Print seconds of CPU of a process so far, all its threads together.
cpu_of() {
	awk '{ sum += $1 } END { print sum / 1e9 }' /proc/"$1"/task/*/schedstat
}

# Print a process's own memory in kB.  Shared buffers are not: which of them it
# has touched says nothing about it.
memory_of() {
	awk '/^RssAnon/ { print $2 }' /proc/"$1"/status
}

# Images per second.
worker() {
	fill_queue "$images" && calculate "$images / $(drain_queue "$images")"
}

raw_worker() {
	raw "$images" "$in_flight" "$scheme" | cut -f 1
}

# CPU seconds per 1000 images.
worker_cpu() {
	local pid before
	pid=$(worker_pid) && fill_queue "$images" && before=$(cpu_of "$pid") &&
		drain_queue "$images" | grep -q . &&
		calculate "($(cpu_of "$pid") - $before) * 1000 / $images"
}

raw_worker_cpu() {
	calculate "$(raw "$images" "$in_flight" "$scheme" | cut -f 2) * 1000 / $images"
}

# Measure a combination: SCHEME DELAY IN_FLIGHT GOAL IMAGES REPETITIONS
measure() {
	scheme=$1 delay=$2 in_flight=$3 images=$5
	answer_after "$delay"
	sql -c "ALTER SERVER $scheme OPTIONS (SET max_concurrency '$in_flight')" >/dev/null
	figure "worker-$1-$2ms-$3" "$(by_turns worker raw_worker "$6")" '>=' "$4"
}

measure http 0 64 0.33 40000 3
measure https 0 64 0.33 40000 3
measure http 20 64 0.95 20000 3
measure http 20 256 0.90 40000 3
measure http 200 64 0.95 6000 1
measure http 200 256 0.90 24000 1
measure https 20 64 0.95 20000 3
measure https 20 256 0.90 40000 1
measure https 200 64 0.95 6000 1

answer_after 20
for scheme in http https; do
	in_flight=64 images=20000
	sql -c "ALTER SERVER $scheme OPTIONS (SET max_concurrency '64')" >/dev/null
	figure "worker-cpu-$scheme" "$(by_turns worker_cpu raw_worker_cpu 3)" '<=' 4
done
answer_after 0
scheme=http

# Print microseconds of CPU an image, answers at once, a few times.
worker_cpu_us() {
	local i ms
	worker_cpu >/dev/null || return
	for i in 1 2 3; do
		ms=$(worker_cpu) || return
		echo "#   worker's CPU $ms ms an image" >&2
		calculate "1000 * $ms"
		echo
	done
}
in_flight=64 images=40000
figure worker-cpu-us-at-once "$(worker_cpu_us | median)" '<=' 90

# Memory of one and the same process after a million images, against that
# after the first 100 000.
worker_memory() {
	local pid i kb=()
	pid=$(worker_pid) || return
	for i in {1..10}; do
		fill_queue 100000 && drain_queue 100000 | grep -q . &&
			[ "$(worker_pid)" = "$pid" ] || return
		kb+=($(memory_of "$pid"))
	done
	echo "#   own memory of worker $pid in kB after each 100 000: ${kb[*]}" >&2
	calculate "${kb[9]} / ${kb[0]}"
}
[ -n "${BENCH_QUICK:-}" ] || figure worker-memory "$(worker_memory)" '<=' 1.05

# --- what watching costs ---------------------------------------------------

# Seconds of an INSERT ... SELECT of a million rows into a new table.
insert_into() {
	timed -v watched="$1" <<-'SQL' | cut -f 1
	SELECT oss_labels.pause();
	TRUNCATE oss_labels.job;
	DROP TABLE IF EXISTS photo, like_job;
	CREATE TABLE photo (id bigint PRIMARY KEY, key text, taken_at timestamptz, note text);
	SELECT oss_labels.watch('photo', 'key', bucket => :'bucket', server => 'http')
		WHERE :'watched' = 'watched';
	CHECKPOINT;
	-- go
	INSERT INTO photo SELECT i, 'photos/2026/' || i || '.jpg', now(), 'a note of some length'
		FROM generate_series(1, 1000000) i;
	SQL
}

# Seconds of the same rows into a table like job.
insert_jobs() {
	timed <<-'SQL' | cut -f 1
	DROP TABLE IF EXISTS like_job;
	CREATE TABLE like_job (LIKE oss_labels.job INCLUDING ALL);
	CHECKPOINT;
	-- go
	INSERT INTO like_job (requester, server, priority, source, enqueued_at, due, bucket, key, origin, requester_name, source_name)
		SELECT 10, 'http', 0, 'photo'::regclass, now(), now(), 'tenlabels', key, 0, current_user, 'public.photo' FROM photo;
	SQL
}

watched_insert() { insert_into watched; }
unwatched_and_jobs() {
	local plain
	plain=$(insert_into unwatched) && calculate "$plain + $(insert_jobs)"
}
figure watch-million "$(by_turns watched_insert unwatched_and_jobs 3)" '<=' 1.2

# Ten thousand transactions of one row, against the same with a row into a
# table like job by a second INSERT.
small_transactions() {
	timed -v watched="$1" <<-'SQL' | cut -f 1
	SELECT oss_labels.pause();
	TRUNCATE oss_labels.job;
	DROP TABLE IF EXISTS photo, like_job;
	CREATE TABLE photo (id bigint PRIMARY KEY, key text);
	CREATE TABLE like_job (LIKE oss_labels.job INCLUDING ALL);
	SELECT oss_labels.watch('photo', 'key', bucket => :'bucket', server => 'http')
		WHERE :'watched' = 'watched';
	CREATE OR REPLACE PROCEDURE small(n int, twice boolean) LANGUAGE plpgsql AS $$ BEGIN
		FOR i IN 1 .. n LOOP
			INSERT INTO photo VALUES (i, 'photos/' || i);
			IF twice THEN
				INSERT INTO like_job (requester, server, priority, source, bucket, key, origin, requester_name, source_name)
					VALUES (10, 'http', 0, 'photo'::regclass, 'tenlabels', 'photos/' || i, 0, current_user, 'public.photo');
			END IF;
			COMMIT;
		END LOOP; END $$;
	SET synchronous_commit = off;
	-- go
	CALL small(10000, :'watched' <> 'watched');
	SQL
}
small_watched() { small_transactions watched; }
small_twice() { small_transactions twice; }
figure watch-10000-transactions "$(by_turns small_watched small_twice 3)" '<=' 1.5
sql -c 'TRUNCATE oss_labels.job' -c 'SELECT oss_labels.resume()' >/dev/null
