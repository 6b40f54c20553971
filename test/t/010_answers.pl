# Keys of every kind are asked for exactly, in every encoding of a database;
# labels documents of every kind give the right rows or a clear error.

use strict;
use warnings;

use Encode qw(encode);
use JSON::PP ();
use Test::More;

use lib 'test/perl';
use OssTest qw(literal);

my $t = OssTest->new;
my $oss = $t->{oss};

# ---- keys ----

my @keys = (
	'a b.jpg', 'a+b.jpg', '100%.jpg', '%41.jpg', '*', '~', '#1.jpg', 'what?.jpg', 'a=b&c=d', 'a//b.jpg', 'a/../b.jpg', '..', '.',
	'trailing/', "\x{732b}\x{548c}\x{72d7}.jpg", "\x{1f408}\x{200d}\x{2b1b}.jpg", "e\x{301} \x{e9}.jpg", "it's \"quoted\"",
	'\\back\\slash' =~ s/^.//r, "tab\there", "new\nline", "\x{7f}", 'k' x 1023, "\x{732b}" x 341, ' ', ';', '@:$,!()[]{}|^`<>');
my $n = 0;
for my $key (map { encode('UTF-8', $_) } @keys)
{
	(my $name = substr $key, 0, 20) =~ s/[^ -~]/?/g;
	my $labels = '{"RequestId":"R","Labels":[{"LabelName":"of key ' . ++$n . '"}]}';
	$t->fault(kind => 'body', bucket => 'everykey', key => $key, content => $labels);
	is($t->ok(q{SELECT label_name FROM oss_labels.detect('everykey', } . literal($key) . ')'), "of key $n", "key $name");
	is($oss->count_key('everykey', $key), 1, "key $name: asked for as it is");
}

# ---- encodings ----

# [encoding of the database, key in it as hex, key in UTF-8]
my @encodings = (
	[ 'LATIN1', '636166e92e6a7067', "caf\x{e9}.jpg" ], [ 'SQL_ASCII', '636166c3a92e6a7067', "caf\x{e9}.jpg" ],
	[ 'EUC_JP', 'c7ad2e6a7067', "\x{732b}.jpg" ], [ 'EUC_CN', 'c3a82e6a7067', "\x{732b}.jpg" ], [ 'WIN1251', 'eaeef22e6a7067', "\x{43a}\x{43e}\x{442}.jpg" ]);
$t->fault;
for my $case (@encodings)
{
	my ($encoding, $hex, $key) = @$case;
	my $db = lc $encoding;
	$t->ok("CREATE DATABASE $db ENCODING '$encoding' TEMPLATE template0 LOCALE 'C'");
	$t->ok('SET client_min_messages = error; CREATE EXTENSION oss_labels;' . $t->outcome_sql . $t->server_sql, dbname => $db);
	my $sql = "SELECT pg_catalog.count(*) FROM oss_labels.detect('everykey', pg_catalog.convert_from('\\x$hex', '$encoding'))";
	$sql =~ s/, '$encoding'\)/, 'SQL_ASCII')/ if $encoding eq 'SQL_ASCII';
	$t->ok($sql, dbname => $db);
	is($oss->count_key('everykey', encode('UTF-8', $key)), 1, "$encoding: the key is sent in UTF-8");

	# labels that the encoding has, and that it has not
	my ($has, $hasnot) = $encoding eq 'LATIN1' ? ("\x{e9}", "\x{732b}") : $encoding eq 'WIN1251' ? ("\x{43a}", "\x{732b}")
	  : $encoding eq 'SQL_ASCII' ? ("\x{732b}", undef) : ("\x{732b}", "\x{1f408}");
	my $document = sub { encode('UTF-8', '{"RequestId":"R","Labels":[{"LabelName":"' . $_[0] . '"}]}') };
	$oss->fault(kind => 'body', key => "has-$db", content => $document->($has));
	my $got = $t->ok("SELECT pg_catalog.encode(pg_catalog.convert_to(label_name, 'UTF8'), 'hex') FROM oss_labels.detect('everykey', 'has-$db')"
		  =~ s/pg_catalog.convert_to\(label_name, 'UTF8'\)/label_name::bytea/r =~ s/label_name::bytea/$encoding eq 'SQL_ASCII' ? 'label_name::bytea' : "pg_catalog.convert_to(label_name, 'UTF8')"/er, dbname => $db);
	is($got, unpack('H*', encode('UTF-8', $has)), "$encoding: labels arrive");
	next unless $hasnot;
	for my $spelling ($hasnot, join '', map { sprintf '\\u%04x', $_ } unpack 'n*', encode('UTF-16BE', $hasnot))
	{
		$oss->control('/reset');
		$oss->fault(kind => 'body', key => "hasnot-$db", content => $document->($spelling));
		my ($out, $err) = $t->psql("SELECT * FROM oss_labels.detect('everykey', 'hasnot-$db')", dbname => $db);
		like($err, qr/ERROR:  22P05: .*this database cannot hold/, "$encoding: labels that it has not are 22P05");
		($out) = $t->psql("SELECT error_code FROM oss_labels.try_detect('everykey', 'hasnot-$db')", dbname => $db);
		is($out, 'AnswerEncoding', "$encoding: which try_detect() tells in a row");
		is($t->requests, 2, "$encoding: and asks but once");
	}

	# what the service says about itself never fails to be shown
	$oss->fault(code => 'AccessDenied', key => 'said', message => encode('UTF-8', "\x{732b} \x{e9} \x{1f408}"));
	my ($out, $err) = $t->psql(q{SELECT error_code FROM oss_labels.try_detect('everykey', 'said')}, dbname => $db);
	is("$out$err", 'AccessDenied', "$encoding: a message in any language");
}

# ---- labels documents ----

my $columns = q{label_name, parent_label_name, label_level, label_confidence, centric_score, language};

# The rows of a document, columns separated by | and NULL as -.
sub rows
{
	my ($body) = @_;
	$t->fault(kind => 'body', content => $body);
	my ($out, $err) = $t->psql("\\pset null -\nSELECT $columns FROM oss_labels.detect('everykey', 'a')", params => [ '-q' ]);
	$out =~ s/^Null display is.*\n//m;
	return $err =~ /ERROR:  (\w{5})/ ? $1 : join ' ', split /\n/, $out;
}
my $cat = '"LabelName":"Cat","LabelLevel":2,"LabelConfidence":0.9,"CentricScore":0.5,"Language":"zh-Hans","ParentLabelName":"Animal"';
my $shuffled = '"ParentLabelName":"Animal","Language":"zh-Hans","CentricScore":0.5,"LabelConfidence":0.9,"LabelLevel":2,"LabelName":"Cat"';
my $row = 'Cat|Animal|2|0.9|0.5|zh-Hans';
my @documents = (
	[ 'as documented', "{\"RequestId\":\"R\",\"Labels\":[{$cat}]}", $row ],
	[ 'in another order', "{\"Labels\":[{$shuffled}],\"RequestId\":\"R\"}", $row ],
	[ 'without RequestId', "{\"Labels\":[{$cat}]}", $row ],
	[ 'with unknown fields', "{\"New\":1,\"Labels\":[{$cat,\"New\":{\"a\":[]}}]}", $row ],
	[ 'white space', " {\n\t\"Labels\" : [ { $cat } ] }\r\n ", $row ],
	[ 'two', "{\"Labels\":[{$cat},{$shuffled}]}", "$row $row" ],
	[ 'level 3', '{"Labels":[{"LabelName":"Siamese","LabelLevel":3}]}', 'Siamese|-|3|-|-|-' ],
	[ 'no fields', '{"Labels":[{}]}', '-|-|-|-|-|-' ],
	[ 'nulls', '{"Labels":[{"LabelName":null,"LabelLevel":null,"LabelConfidence":null}]}', '-|-|-|-|-|-' ],
	[ 'other types', '{"Labels":[{"LabelName":1,"LabelLevel":"2","LabelConfidence":"x","CentricScore":[],"Language":{},"ParentLabelName":true}]}', '-|-|-|-|-|-' ],
	[ 'numbers of all kinds', '{"Labels":[{"LabelLevel":2.5,"LabelConfidence":1,"CentricScore":1e400},{"LabelLevel":99999999999,"LabelConfidence":1.0},{"LabelLevel":2.0,"LabelConfidence":9.27e-1}]}',
		'-|-|-|1|-|- -|-|-|1|-|- -|-|2|0.927|-|-' ],
	[ 'what is no label', "{\"Labels\":[null,1,\"x\",[],{$cat}]}", $row ],
	[ 'empty strings', '{"Labels":[{"LabelName":"","ParentLabelName":""}]}', '||-|-|-|-' ],
	[ 'the last of duplicates', '{"Labels":[{"LabelName":"A","LabelName":"B"}]}', 'B|-|-|-|-|-' ],
	[ 'escapes', '{"Labels":[{"LabelName":"\u0041\"\\\\\/"}]}', 'A"\\/|-|-|-|-|-' ],
	[ 'none', '{"RequestId":"R","Labels":[]}', '' ], [ 'null', '{"RequestId":"R","Labels":null}', '' ],
	[ 'absent', '{"RequestId":"R"}', '' ],
	[ 'neither', '{"Message":"m"}', '22000' ], [ 'an object', "{\"Labels\":{$cat}}", '22000' ],
	[ 'a string', '{"Labels":"none"}', '22000' ], [ 'an array', '[]', '22000' ], [ 'a number', '1', '22000' ],
	[ 'an error of IMM', '{"RequestId":"R","Code":"InvalidArgument","Message":"m"}', '22000' ],
	[ 'half', "{\"Labels\":[{$cat}", '22000' ], [ 'more behind', '{"Labels":[]} x', '22000' ],
	[ 'a NUL', '{"Labels":[{"LabelName":"a\u0000b"}]}', '22P05' ], [ 'a lone surrogate', '{"Labels":[{"LabelName":"\ud83d"}]}', '22000' ],
	[ 'a real NUL', "{\"Labels\":[],\"a\":\"\x00\"}", '22000' ], [ 'Latin 1', "{\"Labels\":[{\"LabelName\":\"\xe9\"}]}", '22021' ],
	[ 'a BOM', "\xef\xbb\xbf{\"Labels\":[]}", '22000' ], [ 'nothing', '', '22000' ], [ 'blanks', '   ', '22000' ],
	[ 'deep nesting', '{"Labels":[{"a":' . '[' x 50_000 . ']' x 50_000 . '}]}', '22000' ]);
for my $case (@documents)
{
	my ($name, $body, $expected) = @$case;
	is(rows($body), $expected, "document: $name");
	is($t->requests, 1, "document: $name: one request");
}
$t->fault(kind => 'labels', variant => 'many', bytes => 4_000);
is($t->outcome(q{SELECT * FROM oss_labels.detect('everykey', 'a')})->{rows}, 4_000, 'four thousand labels');
$t->fault(kind => 'body', content => "{\"New\":1,\"Labels\":[{$cat,\"New\":[1.50]}]}");
is($t->ok(q{SELECT raw->'New', raw->>'LabelName' FROM oss_labels.detect('everykey', 'a')}), '[1.50]|Cat', 'raw has what the service sent');
is($t->ok(q{SELECT a->'New' FROM oss_labels.detect_json('everykey', 'a') a}), '1', 'detect_json() has it all');

done_testing();
