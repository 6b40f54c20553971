# The demo of make demo: what it shows, in which order and for how many requests,
# and its page, which a browser opens, clicks and searches.
use strict;
use warnings;
use lib 'test/perl';
use Browser;
use JSON::PP;
use OssServer;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $oss = OssServer->new;
my $node = PostgreSQL::Test::Cluster->new('demo');
$node->init(extra => [ '-E', 'UTF8', '--locale=C' ]);
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'oss_labels'");
$node->start;
local %ENV = (%ENV, $oss->environment, PGHOST => $node->host, PGPORT => $node->port, PGDATABASE => 'postgres');

# ---- what it shows ----

my $transcript = $node->basedir . '/demo.txt';
is(system("psql -X -q -f test/demo/demo.sql >$transcript 2>&1"), 0, 'the demo runs');
my $text = slurp_file($transcript);
my (undef, @steps) = split /^=== (\d)\. .* ===\n/m, $text;
my %step = @steps;
is(join('', grep { /^\d$/ } @steps), '1234567', 'seven steps');
is(join(', ', $text =~ /^=== \d\. (\w+(?: \w+)?)/mg),
	'One call, One bucket, A budget, The account, Search, Albums, Recommendations', 'in this order');
is(scalar(() = $text =~ /ERROR:|WARNING:|NOTICE:/g), 2, 'two errors, which are shown on purpose');
like($step{1}, qr/^ Outerwear.*^HINT:  Check the key/ms, 'one call, and an error with its hint');
like($step{2}, qr/^ +50 \| +50 \| +0 \| +0 \| +0 \| +1 \| +50\n.*^ +50 \| +0 \| +1 \| +49 \| +0 \| +2 \| +51$/ms,
	'one call tags a bucket of 50 pictures, the next one what has changed');
unlike($text, qr/watch\(/, 'without a table of them');
is(scalar(() = $step{3} =~ /^ photos\/\S+ +\| +\|/mg), 4, 'a budget of four');
is(scalar(() = $step{3} =~ /^ photos\/\S+ +\| BudgetExhausted \|/mg), 2, 'stops the others');
like($step{3}, qr/ERROR: .* a budget is used up\nDETAIL:.*\nHINT:/, 'and says what to do');
like($step{4}, qr/^ examplebucket \| +6 \| +5 \| +1 \| +3 \| +0 \| 0\.000710\n image-demo +\| +51 \| +51 \| +0 \| +0 \| +2 \|/m,
	'the account');
is($oss->count('label_requests'), 57, 'is that of the service');
like($step{4}, qr/service counted: 57$/m, 'as it says');
like($step{5}, qr/^ album\/beach-2\.png \|  0\.92$/m, 'search');
like($step{6}, qr/^ City nights +\| +8 \| +1\n.*^ Quiet beaches +\| +6 \|/ms, 'albums follow their rules and the people');
like($step{7}, qr/^ Bo   \| album\/beach-9\.png/m, 'users get what they like and have not seen');

# ---- what is drawn has the labels that it is given ----

my @photos = $node->safe_psql('postgres', 'SELECT key FROM photo') =~ /\S+/g;
is(scalar(grep { !-e "$oss->{data}/examplebucket/$_.labels.json" } @photos), 0, 'no photo has labels of a hash');

# ---- names that would be HTML, script or an address ----

my $evil = q{</script><img src=x onerror="document.title='broken'">&amp;'"/#?%};
my $literal = $evil =~ s/'/''/gr;
$node->safe_psql('postgres', qq{
	INSERT INTO oss_labels.album (name, owner, rule) VALUES ('$literal', '$literal', 'Soup');
	INSERT INTO app_user VALUES (4, '$literal');
	SELECT oss_labels.correct('image-demo', 'album/dinner-1.png', '$literal', true, '$literal');});
my $page = $node->basedir . '/demo.html';
is(system("test/demo/page $transcript >$page"), 0, 'the page is made');
my $html = slurp_file($page);
is($oss->count('label_requests'), 57, 'for no request');
cmp_ok(length $html, '<', 400_000, 'it is not large');
unlike($html, qr/(?:src|href)\s*=\s*["']?https?:|url\(|\@import/, 'it needs nothing else');
unlike($html, qr/x-oss-signature/i, 'and gives no signature away');
is(scalar(() = $html =~ m{</script>}g), 2, 'no text ends its script');

SKIP:
{
	if (!Browser->path)
	{
		die 'no chromium' if ($ENV{CI} // '') eq 'true';
		skip 'no chromium to look at the page', 1;
	}
	my $browser = Browser->new($node->basedir . '/browser', $page);
	my $quoted = substr encode_json([$evil]), 1, -1;
	my $heading = sub { $browser->value('document.querySelector("main h2").textContent') };
	my $keys = sub { join ' ', @{ $browser->value('[...document.querySelectorAll("main .card > a")].map(a => decodeURIComponent(a.hash).replace("#picture/", ""))') } };
	my $go = sub {
		my ($selector, $link, $expected, $what) = @_;
		$browser->click($selector, $link);
		my $title = substr encode_json([$expected]), 1, -1;
		ok($browser->wait_for("document.querySelector('main h2').textContent === $title"), $what) or diag($heading->());
		return;
	};
	my $rows = sub { join ' ', split /\n/, $node->safe_psql('postgres', $_[0]) };

	# each picture, once
	my $sizes = $browser->value('Promise.all([...document.images].map(i => i.decode().then(() => i.naturalWidth)))');
	is(join(' ', grep { $_ != 200 } @$sizes), '', 'the browser decodes every picture');
	cmp_ok(scalar @$sizes, '>=', 30, 'of which there are many');
	is($browser->value('[...document.images].filter(i => !i.alt).length'), 0, 'each with a text in its place');
	like($browser->value('document.querySelector("#facts").textContent'), qr/pictures50.*label requests for them51.*USD 0\.0080/, 'figures');
	is($browser->value('[...document.querySelectorAll("main h2")].map(h => h.textContent[0]).join("")'), '1234567', 'the steps in their order');

	# albums, pictures, what is like them, labels
	$go->('main a', 'City nights', 'Album: City nights', 'an album by a click');
	is($keys->(), $rows->(q{SELECT key FROM oss_labels.album_member WHERE name = 'City nights' ORDER BY pinned DESC, score DESC, key}), 'has its members');
	is($browser->value('document.querySelectorAll(".pin").length'), 1, 'and what people pinned');
	is($browser->value('document.activeElement.textContent'), 'Album: City nights', 'a reader of the screen hears of it');
	is($browser->value('document.title'), 'Album: City nights · oss_labels' =~ s/·/\x{b7}/r, 'and so does the title');
	$go->('main .card a[href*="city-2"]', undef, 'Picture: city-2.png', 'a picture of it');
	is($keys->(), $rows->(q{SELECT key FROM oss_labels.related_images('image-demo', 'album/city-2.png', 5) ORDER BY score DESC, key}), 'and what is like it');
	$go->('main .card > a', undef, 'Picture: ' . ($keys->() =~ m{/(\S+)})[0], 'one of these');
	$go->('main .picture a', 'Skyscraper 90%', 'Label: Skyscraper', 'a label of it');
	is(scalar(split / /, $keys->()), 10, 'is on ten pictures');
	$browser->value('history.back()');
	ok($browser->wait_for('document.querySelector("main h2").textContent.startsWith("Picture")'), 'and back');
	$go->('h1 a', undef, '1. One call: the labels of an image', 'and home');

	# the box finds what oss_labels.search() finds
	for my $rule ('Beach & (Sunset | "Blue Sky") & !Crowd', 'parent:Food:0.8', 'Cat | !(Sofa | Beach | "Night View")', 'Snow:0.8 & Mountain')
	{
		$browser->click('#query');
		$browser->value('query.select()');
		$browser->type($rule);
		ok($browser->wait_for('/^\d+ pictures, best first$/.test(document.querySelector("[role=status]").textContent)'), "search for $rule");
		is(join(' ', sort split / /, $keys->()), $rows->("SELECT key FROM oss_labels.search(\$\$$rule\$\$) ORDER BY key"), 'finds what the server does');
	}
	is($keys->(), $rows->(q{SELECT key FROM oss_labels.search('Snow:0.8 & Mountain') ORDER BY score DESC, key}), 'in its order');
	is($browser->value('document.activeElement.id'), 'query', 'while one types on');
	for my $typed ([ 'sky sea', qr/^6 pictures/ ], [ 'beach &', qr/^Not a rule yet: a label is missing at the end/ ],
		[ '(beach', qr/^Not a rule yet: a \) is missing/ ], [ 'beach)', qr/^Not a rule yet: \) is one too many/ ],
		[ '&', qr/^Not a rule yet/ ], [ 'zebra', qr/^No picture/ ], [ '<b>%', qr/^No picture/ ])
	{
		$browser->value('query.select()');
		$browser->type($typed->[0]);
		like($browser->value('document.querySelector("[role=status]").textContent'), $typed->[1], "typed: $typed->[0]");
	}
	$browser->value('query.select()');
	$browser->type('soup');
	$browser->press('Enter');
	is($heading->(), 'Search: soup', 'Enter stays there');
	is($browser->value('document.querySelectorAll("main .card").length'), 5, 'with what was found');
	$browser->press('Tab') for 1 .. 2;
	is($browser->value('document.activeElement.tagName'), 'A', 'and the keyboard goes on');
	$browser->press('Enter');
	ok($browser->wait_for('/^(Picture|Label)/.test(document.querySelector("main h2").textContent)'), 'to what it is on');

	# text is text
	$go->('h1 a', undef, '1. One call: the labels of an image', 'home again');
	$go->('main h3 a', $evil, "Album: $evil", 'an album with a hostile name');
	$go->('main .card a', "$evil 100%", "Label: $evil", 'a label with a hostile name');
	is($keys->(), 'album/dinner-1.png', 'is on its picture');
	is($browser->value('document.querySelectorAll("[onerror]").length'), 0, 'none becomes an element');
	for my $hash ('#nothing/x', '#album/none', '#picture/none', '#label/none', '#search/%', '#constructor/x', '#')
	{
		$browser->value("location.hash = '$hash'");
		ok($browser->wait_for('document.querySelector("main h2")'), "an address that is nothing: $hash");
	}
	is($browser->value('[...document.querySelectorAll("input")].every(i => i.labels.length == 1)'), JSON::PP::true, 'the box has its label');
	is_deeply($browser->{complaints}, [], 'the browser complains of nothing');
	is_deeply([ grep { !/^(?:data|file|about):/ } @{ $browser->{urls} } ], [], 'and asks no one');
}
$node->stop;
done_testing();
