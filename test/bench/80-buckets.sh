# A bucket of objects without files: a foreign table read from end to end against raw
# libcurl reading the same pages one after another, and what sync_bucket() makes of them.

pages=100
objects=$((pages * 1000))
images=5000
"$OSS_CONTROL" GET "/bucket?name=listed&keys=$objects" >/dev/null
"$OSS_CONTROL" GET "/bucket?name=synced&keys=$images&labels=10" >/dev/null
sql >/dev/null <<-'SQL' || return
	CREATE FOREIGN TABLE listed (key text, size bigint, etag text, last_modified timestamptz,
		storage_class text, object_type text) SERVER http OPTIONS (bucket 'listed');
SQL

listing_table() {
	local took
	took=$(timed <<-'SQL'
	SELECT key FROM listed LIMIT 1;
	-- go
	SELECT max(key), sum(size), max(etag), max(last_modified), max(storage_class), max(object_type) FROM listed;
	SQL
	) && calculate "$objects / ${took%%	*}"
}

listing_raw() {
	local bucket=listed
	calculate "1000 * $(raw "$pages" 1 http -l | cut -f 1)"
}

answer_after 0
figure listing-at-once "$(by_turns listing_table listing_raw 3)" '>=' 0.9
"$OSS_CONTROL" GET '/fault?kind=delay&delay=20&scope=list' >/dev/null
figure listing-20ms "$(by_turns listing_table listing_raw 3)" '>=' 0.9
answer_after 0

# Print the objects per second of a round of sync_bucket(), from its call to its end.
sync_round() {
	timed <<-'SQL' | awk -v n="$images" '{ printf "%.0f\n", n / $1 }'
	SET oss_labels.server = http;
	-- go
	SELECT oss_labels.sync_bucket('synced');
	CALL oss_labels.wait_for_queue('120 s');
	SQL
}

echo "#   sync_bucket() of $images new images: $(sync_round) a second" >&2
sql >/dev/null <<-'SQL' || return
	SELECT oss_labels.cancel_sync(sync_id) FROM oss_labels.bucket_sync;
SQL
count_from_zero
echo "#   the same again, nothing changed: $(sync_round) a second" >&2
figure "label requests of a round without a change" "$(counted label_requests)" '<=' 0
sql >/dev/null <<-'SQL' || return
	SELECT oss_labels.cancel_sync(sync_id) FROM oss_labels.bucket_sync;
	DROP FOREIGN TABLE listed;
SQL
