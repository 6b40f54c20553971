# A search for a name that nobody knows is as good as one for a known name, also
# with 100 000 names: it reads vocabulary once a statement, however many images
# and searches it has, and by the rights of the caller.
use strict;
use warnings FATAL => 'all';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('names');
$node->init;
$node->append_conf('postgresql.conf', "autovacuum = off\nfsync = off\njit = off\n");
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION oss_labels;
	SELECT oss_labels.import_labels('{"Labels": [{"LabelName": "Giraffe", "LabelLevel": 1}]}', 'bucket', 'key ' || i)
		FROM generate_series(1, 20) i;
	BEGIN;
	ALTER TABLE oss_labels.vocabulary DISABLE TRIGGER USER;
	INSERT INTO oss_labels.vocabulary (label_id, label_name, effective_name)
		SELECT oss_labels.label_id(name), name, name
		FROM (SELECT left(md5(i::text), 4 + i % 9) || i AS name FROM generate_series(1, 100000) i) n;
	COMMIT;
	VACUUM ANALYZE oss_labels.vocabulary});

# Run a statement; returns what it says and how many rows of vocabulary sequential
# scans read for it.
sub said
{
	my ($sql) = @_;
	my ($out, $err) = ('', '');

	$node->psql('postgres', "SET search_path = oss_labels; $sql;
		SELECT pg_stat_force_next_flush()", stdout => \$out, stderr => \$err);
	return $err =~ s/^psql:\S+: //mgr;
}

sub rows_read
{
	return $node->safe_psql('postgres', "SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'vocabulary'");
}

my $notice = "NOTICE:  no label is named \"Girafe\"\nHINT:  The most similar name is \"Giraffe\".";
my %statement = (
	'one search' => "SELECT count(*) FROM search('Girafe')",
	'two searches' => "SELECT count(*) FROM search('Girafe') a FULL JOIN search('Girafe | Giraffe') b USING (key)",
	'many images' => "SELECT count(*) FROM image WHERE image_id + 0 @@ 'Girafe'",
	'images one by one' => "SELECT count(*) FROM image WHERE matches(bucket, key, 'Girafe')");
foreach my $what (sort keys %statement)
{
	my $before = rows_read();

	is(said($statement{$what}), $notice, "$what: said once");
	is(rows_read() - $before, 100001, "$what: each name is read once");
}
my $before = rows_read();
is(said("SELECT count(*) FROM search('Giraffe')"), '', 'a known name: nothing is said');
is(said("SET client_min_messages = warning; SELECT count(*) FROM search('Girafe')"), '', 'nobody wants to hear it');
is(rows_read() - $before, 0, 'and nothing is read for it');

# the time is for people, a bound for the kind of work
my $start = $node->safe_psql('postgres', 'SELECT clock_timestamp()');
said("SELECT count(*) FROM search('Girafe')");
my $ms = $node->safe_psql('postgres', "SELECT extract(epoch FROM clock_timestamp() - '$start') * 1000");
diag(sprintf 'an unknown name among 100 000: %d ms with its session', $ms);

$node->stop;
done_testing();
